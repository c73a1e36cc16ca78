package ipmi

import (
	"math"
	"testing"
	"time"

	"dewline/collector/collectortest"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
)

func TestTheCollectorsSuiteOnARealSimulator(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	m.ipmitool(t, "sel", "time", "set", "now")
	m.tell(t, "sensor_set_bit 0x20 0 28 1 1 1", "sensor_set_value 0x20 0 7 95 1")
	collectortest.TestSource(t, func(t *testing.T) (collectortest.Source, func()) { return m.open(t), nil })
}

func TestTheCollectorsSuiteOnSimulatedServers(t *testing.T) {
	for _, p := range bmcsim.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			srv, err := bmcsim.ServeIPMI(bmcsim.NewMachine(p, "m", 1), bmcsim.IPMIOptions{MaxSessions: 16})
			if err != nil {
				t.Fatalf("serve IPMI: %v", err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			open := func(t *testing.T) (collectortest.Source, func()) {
				return openAt(t, srv.Addr(), func(o *Options) { o.Username, o.Password = srv.Username(), secret.New(srv.Password()) }), nil
			}
			collectortest.TestSource(t, open)
			if st := srv.Stats(); st.Writes != 0 || st.Bad != 0 || st.OpenSessions != 0 || st.LoginFailures != 0 {
				t.Errorf("what the BMC saw: %+v", st)
			}
		})
	}
}

// Values that a simulated server has are those that are read.
func TestSimulatedServersAreReadRight(t *testing.T) {
	for _, p := range bmcsim.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			srv, err := bmcsim.ServeIPMI(bmcsim.NewMachine(p, "m", 1), bmcsim.IPMIOptions{})
			if err != nil {
				t.Fatalf("serve IPMI: %v", err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			c := openAt(t, srv.Addr(), func(o *Options) { o.Username, o.Password = srv.Username(), secret.New(srv.Password()) })
			s := mustRead(t, c, health.Request{Tiers: health.EveryTier})
			if len(s.Gaps) != 0 {
				t.Errorf("gaps: %+v", s.Gaps)
			}
			for _, class := range []health.Class{health.ClassFan, health.ClassPSU, health.ClassTemperature} {
				n := 0
				for _, c := range s.Components {
					if c.Class == class && c.Presence != health.Absent {
						n++
					}
				}
				if n == 0 {
					t.Errorf("no component of class %s", class)
				}
			}
		})
	}
}

func TestPrivilegeBeyondTheUserIsDenied(t *testing.T) {
	m := bmcsim.NewMachine(bmcsim.Profiles()[0], "m", 1)
	for _, p := range bmcsim.Profiles() {
		if p.Name == "legacy" {
			m = bmcsim.NewMachine(p, "m", 1)
		}
	}
	for _, x := range []struct {
		asked   string
		allowed byte
		reason  health.Reason
	}{{"operator", 2, health.ReasonDenied}, {"admin", 3, health.ReasonDenied}, {"user", 2, ""}, {"admin", 4, ""}} {
		t.Run(x.asked+" of an account that may "+[]string{2: "user", 3: "operator", 4: "admin"}[x.allowed], func(t *testing.T) {
			srv, err := bmcsim.ServeIPMI(m, bmcsim.IPMIOptions{Privilege: x.allowed})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			c := openAt(t, srv.Addr(), func(o *Options) {
				o.Username, o.Password, o.Privilege = srv.Username(), secret.New(srv.Password()), x.asked
			})
			s, err := c.Read(t.Context(), health.Request{Tiers: readings})
			if (err == nil) != (x.reason == "") || err != nil && health.ReasonFor(err) != x.reason {
				t.Errorf("error %v", err)
			}
			if x.reason != "" && (len(s.Readings) != 0 || srv.Stats().Attempts > 1) {
				t.Errorf("%d readings, %d attempts", len(s.Readings), srv.Stats().Attempts)
			}
			if err := c.Close(t.Context()); err != nil || srv.Stats().OpenSessions != 0 {
				t.Errorf("close: %v, %+v", err, srv.Stats())
			}
		})
	}
}

// What of a log that is met is news can only be told by its BMC's clock: it is read with the log, once.
func TestTheClockIsReadWithALogThatIsMet(t *testing.T) {
	srv, err := bmcsim.ServeIPMI(bmcsim.NewMachine(bmcsim.ProfileBoard, "m", 1), bmcsim.IPMIOptions{Now: func() time.Time { return time.Now().Add(8 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	c := openAt(t, srv.Addr(), func(o *Options) { o.Username, o.Password = srv.Username(), secret.New(srv.Password()) })
	skew := func(s *health.Snapshot) (hours float64, read bool) {
		for _, r := range s.Readings {
			if r.Quantity == health.ClockSkew {
				return math.Round(r.Value / 3600), true
			}
		}
		return 0, false
	}
	req := health.Request{Tiers: health.TiersOf(health.TierEvents)}
	s := mustRead(t, c, req)
	if h, read := skew(s); !read || h != 8 {
		t.Errorf("the first visit: %v hours, read %v", h, read)
	}
	req.Cursors, req.Memory = s.NextCursors, s.Memory
	if _, read := skew(mustRead(t, c, req)); read {
		t.Error("read again with each visit of the log")
	}
}

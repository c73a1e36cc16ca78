package ipmi

import (
	"testing"

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
				t.Skipf("not a machine with IPMI: %v", err)
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
				t.Skipf("not a machine with IPMI: %v", err)
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

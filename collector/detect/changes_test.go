package detect_test

import (
	"fmt"
	"testing"
	"time"

	"dewline/collector/detect"
	"dewline/health"
)

func TestWhatComesAndGoesIsOneFault(t *testing.T) {
	fan := func(s health.State) *health.Snapshot { return snap(part("fan/1", health.ClassFan, s)) }
	t.Run("polled", func(t *testing.T) {
		m := newMachine(t)
		m.visit(fan(health.OK))
		for range detect.FlapCount - 1 {
			m.expect(m.visit(fan(health.Critical)), "fan/1 failed critical asserted")
			m.expect(m.visit(fan(health.OK)), "fan/1 failed ok cleared")
		}
		m.expect(m.visit(fan(health.Critical)), "fan/1 failed critical asserted") // at once, and flagged
		for range 3 {
			m.expect(m.visit(fan(health.OK)))
			m.expect(m.visit(fan(health.Critical)))
		}
		for _, f := range m.known.Faults {
			if !f.Flap.Flapping || f.Flap.Count != detect.FlapCount+3 {
				t.Errorf("%+v", f.Flap)
			}
		}
		away := m.now
		for m.now.Sub(away) < detect.FlapHold {
			m.expect(m.visit(fan(health.OK)))
		}
		m.expect(m.visit(fan(health.OK)), "fan/1 failed ok cleared")
		m.now = m.now.Add(detect.FlapWindow)
		m.expect(m.visit(fan(health.OK)))
		if len(m.known.Recent) != 0 {
			t.Errorf("still remembered: %v", m.known.Recent)
		}
		m.expect(m.visit(fan(health.Critical)), "fan/1 failed critical asserted")
		m.expect(m.visit(fan(health.OK)), "fan/1 failed ok cleared")
	})
	t.Run("a fault that stays is no longer flapping", func(t *testing.T) {
		m := newMachine(t)
		m.visit(fan(health.OK))
		for range detect.FlapCount {
			m.visit(fan(health.Critical))
			m.visit(fan(health.OK))
		}
		for range 17 {
			m.expect(m.visit(fan(health.Critical)))
		}
		m.expect(m.visit(fan(health.OK)), "fan/1 failed ok cleared")
	})
	t.Run("logged: every entry stays an event", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(snap()))
		var es []health.LogEntry
		for range 10 {
			es = append(es, named(l.begins("drive/1", health.KindFailed, health.SeverityCritical), "A"), named(l.over("drive/1", health.KindFailed), "A"))
		}
		events := m.visit(logged(snap(), es...))
		count := map[health.Transition]int{}
		for _, e := range events {
			count[e.Transition]++
		}
		if len(events) != 20 || count[health.Asserted] != detect.FlapCount || count[health.Cleared] != detect.FlapCount-1 || len(m.known.Faults) != 1 {
			t.Errorf("%v, open %q", count, m.open())
		}
		m.now = m.now.Add(detect.FlapHold)
		m.expect(m.visit(logged(snap())), "log/sel failed ok cleared")
	})
	t.Run("a severity that goes up and down", func(t *testing.T) {
		m := newMachine(t)
		at := func(s health.Severity) *health.Snapshot {
			return snap(part("temp/1", health.ClassTemperature, health.OK, cond(health.KindOverThreshold, s)))
		}
		m.visit(at(health.SeverityOK))
		n := 0
		for range 10 {
			n += len(m.visit(at(health.SeverityWarning))) + len(m.visit(at(health.SeverityCritical)))
		}
		if n > 2*detect.FlapCount || len(m.known.Faults) != 1 {
			t.Errorf("%d events, open %q", n, m.open())
		}
		for range 20 {
			m.visit(at(health.SeverityWarning))
		}
		if got := m.open(); len(got) != 1 || got[0] != "temp/1 over_threshold warning" {
			t.Errorf("open %q", got)
		}
	})
}

func TestFewerPartsThanExpected(t *testing.T) {
	want := func(fans, drives int) *health.Target {
		return &health.Target{ID: "db-1", Expect: health.Expect{Fans: &fans, Drives: &drives}}
	}
	visit := func(m *machine, where *health.Target, s *health.Snapshot) []health.Event {
		v := &health.Visit{Target: "db-1", Where: where, Started: m.now, Result: health.Done, Snapshot: s, Due: map[health.Tier]time.Time{}}
		for _, tier := range health.AllTiers {
			v.Due[tier] = m.now
		}
		return m.apply(v)
	}
	fans := func(n int) *health.Snapshot {
		s := snap(part("system/1", health.ClassSystem, health.OK))
		for i := range n {
			s.Components = append(s.Components, part(health.ComponentID(fmt.Sprint("fan/", i)), health.ClassFan, health.OK))
		}
		return s
	}
	t.Run("is a fault of the machine, found at the start", func(t *testing.T) {
		m := newMachine(t)
		m.expect(visit(m, want(6, 0), fans(5)), "system/1 absent_removed warning asserted at start")
		m.expect(visit(m, want(6, 0), fans(5)))
		m.expect(visit(m, want(6, 0), fans(6)), "fan/5 inserted info momentary", "system/1 absent_removed ok cleared")
	})
	t.Run("more than expected is none", func(t *testing.T) {
		m := newMachine(t)
		m.expect(visit(m, want(4, 0), fans(6)))
	})
	t.Run("a part that is known to be gone says it itself", func(t *testing.T) {
		m := newMachine(t)
		m.expect(visit(m, want(6, 0), fans(6)))
		m.expect(visit(m, want(6, 0), fans(5)), "fan/5 absent_removed warning asserted")
		m.expect(visit(m, want(6, 0), fans(5)))
		m.expect(visit(m, want(7, 0), fans(5)), "system/1 absent_removed warning asserted") // one that nobody ever saw
	})
	t.Run("what was not read is not judged", func(t *testing.T) {
		m := newMachine(t)
		m.expect(visit(m, want(6, 8), fans(6))) // no drives are listed by this BMC, nor their place
		unread := fans(5)
		unread.Gaps = []health.Gap{{Place: "all", Reason: health.ReasonTimeout}}
		m.expect(visit(m, want(6, 8), unread))
		off := fans(0)
		off.HostPower = health.HostOff
		m.expect(visit(m, want(6, 8), off))
		unknown := fans(5)
		u := part("fan/5", health.ClassFan, health.Unknown)
		u.Presence = health.PresenceUnknown
		unknown.Components = append(unknown.Components, u)
		m.expect(visit(m, want(6, 8), unknown))
	})
	t.Run("what is no longer expected is over", func(t *testing.T) {
		m := newMachine(t)
		visit(m, want(6, 0), fans(5))
		m.expect(visit(m, &health.Target{ID: "db-1"}, fans(5)), "system/1 absent_removed ok cleared")
	})
}

func TestChangesOfTheMachine(t *testing.T) {
	m := newMachine(t)
	s := func(bmc, serial, drive string, skew float64) *health.Snapshot {
		d := part("drive/1", health.ClassDrive, health.OK)
		d.Firmware = drive
		s := snap(d, part("bmc/clock", health.ClassBMC, health.OK))
		s.Identity = &health.Identity{BMCFirmware: bmc, Serial: serial}
		s.Readings = []health.Reading{{Component: "bmc/clock", Quantity: health.ClockSkew, Unit: health.Second, Value: skew}}
		return s
	}
	visit := func(x *health.Snapshot) []health.Event {
		t.Helper()
		id := *x.Identity
		e := m.visit(x)
		m.known.Identity = id
		return e
	}
	m.expect(visit(s("1.0", "A", "F1", 3)))
	m.expect(visit(s("1.1", "A", "F1", 4)), "bmc info info momentary")
	m.expect(visit(s("1.1", "A", "F2", 5)), "drive/1 info info momentary")
	m.expect(visit(s("1.1", "B", "F2", 2)), "system info warning momentary")
	m.expect(visit(s("1.1", "B", "F2", -3600)), "bmc info info momentary")
	m.expect(visit(s("1.1", "B", "F2", -3601)))
	m.now = m.now.Add(12 * time.Hour)
	m.expect(visit(s("1.1", "B", "F2", -3590))) // drift
	m.expect(visit(s("1.1", "B", "F2", 5)), "bmc info info momentary")
}

// A Redfish service answers from a cache: that its clock seems to stand for a minute is no step.
func TestClockOfACache(t *testing.T) {
	m := newMachine(t)
	s := func(skew float64) *health.Snapshot {
		s := snap(part("bmc/1", health.ClassBMC, health.OK))
		s.Driver = health.DriverRedfish
		s.Readings = []health.Reading{{Component: "bmc/1", Quantity: health.ClockSkew, Unit: health.Second, Value: skew}}
		return s
	}
	m.expect(m.visit(s(0)))
	m.expect(m.visit(s(-60)))
	m.expect(m.visit(s(5)))
	m.expect(m.visit(s(-3600)), "bmc info info momentary")
}

// Our clock was a day ahead and is set right: what was noted then holds nothing open for a day.
func TestOurClockIsSetBack(t *testing.T) {
	fan := func(s health.State) *health.Snapshot { return snap(part("fan/1", health.ClassFan, s)) }
	t.Run("what flaps ends when it was away for a while", func(t *testing.T) {
		for name, last := range map[string]health.State{"away when it is set": health.OK, "there when it is set": health.Critical} {
			t.Run(name, func(t *testing.T) {
				m := newMachine(t)
				m.now = t0.Add(24 * time.Hour)
				m.visit(fan(health.OK))
				for range detect.FlapCount {
					m.visit(fan(health.Critical))
					m.visit(fan(health.OK))
				}
				m.visit(fan(last))
				m.now = t0
				begun := m.now
				m.visit(fan(last))
				for len(m.known.Faults) > 0 {
					m.visit(fan(health.OK))
					if m.now.Sub(begun) > time.Hour {
						t.Fatalf("still open: %+v", m.known.Faults)
					}
				}
				if m.now.Sub(begun) < detect.FlapHold {
					t.Errorf("over after %s", m.now.Sub(begun))
				}
			})
		}
	})
	t.Run("a reading ends what a log told of", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.now = t0.Add(24 * time.Hour)
		m.visit(logged(fan(health.OK)))
		m.expect(m.visit(logged(fan(health.OK), l.begins("fan/1", health.KindFailed, health.SeverityCritical))), "fan/1 failed critical asserted")
		m.now = t0
		m.expect(m.visit(logged(fan(health.OK))), "fan/1 failed ok cleared")
	})
	t.Run("what began at a time to come does not count as lately", func(t *testing.T) {
		m := newMachine(t)
		m.now = t0.Add(24 * time.Hour)
		m.visit(fan(health.OK))
		for range detect.FlapCount - 1 {
			m.visit(fan(health.Critical))
			m.visit(fan(health.OK))
		}
		m.now = t0
		m.visit(fan(health.OK))
		m.visit(fan(health.Critical))
		for _, f := range m.known.Faults {
			if f.Flap.Flapping {
				t.Errorf("%+v", f)
			}
		}
	})
}

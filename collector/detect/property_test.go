package detect_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dewline/collector/detect"
	"dewline/health"
)

var (
	classes    = rapid.SampledFrom(health.Classes)
	states     = rapid.SampledFrom([]health.State{health.Unknown, health.OK, health.Warning, health.Critical})
	presences  = rapid.SampledFrom([]health.Presence{health.PresenceUnknown, health.Present, health.Present, health.Absent})
	severities = rapid.SampledFrom([]health.Severity{health.SeverityUnknown, health.SeverityOK, health.SeverityInfo, health.SeverityWarning, health.SeverityCritical})
	powers     = rapid.SampledFrom([]health.HostPower{health.HostPowerUnknown, health.HostOn, health.HostOn, health.HostOff})
)

// parts is a machine: its classes and places stay, visit after visit.
func parts(t *rapid.T) []health.Component {
	cs := make([]health.Component, rapid.IntRange(1, 5).Draw(t, "parts"))
	for i := range cs {
		cs[i] = health.Component{
			ID: health.ComponentID(fmt.Sprintf("part/%d", i)), Class: classes.Draw(t, "class"), Place: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "place"),
		}
	}
	return cs
}

func anySnapshot(t *rapid.T, cs []health.Component) *health.Snapshot {
	s := &health.Snapshot{Target: "db-1", HostPower: powers.Draw(t, "host")}
	for _, p := range []string{"a", "b"} {
		if rapid.Bool().Draw(t, "read "+p) {
			s.Scope = append(s.Scope, p)
		}
	}
	for _, c := range cs {
		if rapid.IntRange(0, 4).Draw(t, "listed") == 0 {
			continue
		}
		c.Presence, c.State = presences.Draw(t, "presence"), states.Draw(t, "state")
		c.StateNotRead = rapid.IntRange(0, 9).Draw(t, "only described") == 0
		c.Serial = rapid.SampledFrom([]string{"", "", "A", "B"}).Draw(t, "serial")
		for range rapid.IntRange(0, 2).Draw(t, "conditions") {
			c.Conditions = append(c.Conditions, health.Condition{Kind: rapid.SampledFrom(health.Kinds).Draw(t, "kind"), Severity: severities.Draw(t, "severity")})
		}
		s.Components = append(s.Components, c)
		if rapid.Bool().Draw(t, "margin") {
			s.Readings = append(s.Readings, health.Reading{
				Component: c.ID, Quantity: health.CondensationMargin, Unit: health.Kelvin, Value: rapid.Float64Range(-5, 10).Draw(t, "kelvin"), Derived: true,
			})
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "gap") == 0 {
		s.Gaps = append(s.Gaps, health.Gap{Place: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "gap place"), Reason: health.ReasonTimeout})
	}
	return s
}

// healthySnapshot says of every part, and of every kind that was ever named, that it is well.
func healthySnapshot(cs []health.Component) *health.Snapshot {
	s := &health.Snapshot{Target: "db-1", HostPower: health.HostOn, Scope: []string{"a", "b"}}
	for _, c := range cs {
		c.Presence, c.State = health.Present, health.OK
		for _, k := range health.Kinds {
			c.Conditions = append(c.Conditions, health.Condition{Kind: k, Severity: health.SeverityOK})
		}
		s.Components = append(s.Components, c)
		s.Readings = append(s.Readings, health.Reading{Component: c.ID, Quantity: health.CondensationMargin, Unit: health.Kelvin, Value: 20, Derived: true})
	}
	return s
}

func TestDetectionHasItsProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := parts(t)
		m := newMachine(t)
		for range rapid.IntRange(1, 12).Draw(t, "visits") {
			s := anySnapshot(t, cs)
			for _, e := range m.visit(s) { // which fails if an ID comes twice, or one kind opens twice
				switch e.Transition {
				case health.Asserted, health.Cleared, health.Escalated, health.Deescalated:
					if e.FaultID == "" {
						t.Fatalf("%s without a fault", say(e))
					}
				case health.Momentary:
				default:
					t.Fatalf("%s", say(e))
				}
			}
			// The same again is no news. (A roll-up may be late: what a part's fault explained may be gone.)
			if news := m.visit(s); len(news) > 0 {
				for _, e := range news {
					if e.Class != health.ClassSystem && e.Class != health.ClassChassis && e.Class != health.ClassBMC {
						t.Fatalf("an unchanged snapshot gave %s", say(e))
					}
				}
				if news := m.visit(s); len(news) > 0 {
					t.Fatalf("an unchanged snapshot gave %s the third time", say(news[0]))
				}
			}
		}
		m.visit(healthySnapshot(cs))
		m.now = m.now.Add(detect.FlapHold) // what was flapping is damped that long
		m.visit(healthySnapshot(cs))
		if open := m.open(); len(open) != 0 {
			t.Fatalf("all is well and these are open: %q", open)
		}
	})
}

// Whoever follows the events knows the faults: each opens once, changes and closes while it is open, and what is open at the end is
// what the target is known to be at fault with. Each log entry that counts is one event.
func TestEventsTellTheWholeStoryOfFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := parts(t)
		m := newMachine(t)
		open := map[string]health.Severity{}
		closed := map[string]bool{}
		n := 0
		m.visit(logged(anySnapshot(t, cs)))
		for _, f := range m.known.Faults {
			open[f.ID] = f.Severity
		}
		for range rapid.IntRange(1, 25).Draw(t, "visits") {
			s := logged(anySnapshot(t, cs))
			for range rapid.IntRange(0, 4).Draw(t, "entries") {
				n++
				s.Log = append(s.Log, anyEntry(t, cs, n))
			}
			m.now = m.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
			entries := map[string]int{}
			for i := range s.Log {
				entries[health.LogEventID("db-1", &s.Log[i])] = 0
			}
			for _, e := range m.visit(s) {
				if _, ok := entries[e.ID]; ok {
					entries[e.ID]++
				}
				severity, isOpen := open[e.FaultID]
				switch e.Transition {
				case health.Asserted:
					if isOpen || closed[e.FaultID] || e.FaultID != e.ID {
						t.Fatalf("%s opens what is open or closed", say(e))
					}
					open[e.FaultID] = e.Severity
				case health.Escalated, health.Deescalated:
					if !isOpen || (e.Transition == health.Escalated) != (e.Severity > severity) || e.Severity == severity {
						t.Fatalf("%s of a fault that is %s, open %v", say(e), severity, isOpen)
					}
					open[e.FaultID] = e.Severity
				case health.Cleared:
					if !isOpen || e.Severity != health.SeverityOK {
						t.Fatalf("%s closes what is not open", say(e))
					}
					delete(open, e.FaultID)
					closed[e.FaultID] = true
				case health.Momentary:
					if e.FaultID != "" && !isOpen && !closed[e.FaultID] {
						t.Fatalf("%s names a fault that nobody knows", say(e))
					}
				}
			}
			for i := range s.Log {
				e := &s.Log[i]
				counts := e.Kind != "" && e.Kind != health.KindInfo || e.Severity >= health.SeverityWarning
				if got := entries[health.LogEventID("db-1", e)]; counts && got != 1 {
					t.Fatalf("entry %+v made %d events", e, got)
				}
			}
			for id, f := range m.known.Faults {
				if severity, ok := open[id]; !ok || severity != f.Severity {
					t.Fatalf("open is %+v; the events said %v %s", f, ok, severity)
				}
			}
			if len(open) != len(m.known.Faults) {
				t.Fatalf("by the events %d are open, known are %q", len(open), m.open())
			}
		}
	})
}

func anyEntry(t *rapid.T, cs []health.Component, n int) health.LogEntry {
	c := rapid.SampledFrom(cs).Draw(t, "of")
	e := health.LogEntry{
		Source: "sel", ID: fmt.Sprint(n), Key: fmt.Append(nil, n), Kind: rapid.SampledFrom(append([]health.Kind{""}, health.Kinds...)).Draw(t, "kind"),
		Severity: severities.Draw(t, "severity"),
		Message:  "entry", Created: t0.Add(time.Hour), Cleared: rapid.Bool().Draw(t, "over"),
		Decoded: health.Decoded{Class: c.Class, Severity: severities.Draw(t, "ours")},
	}
	switch rapid.IntRange(0, 2).Draw(t, "certain") {
	case 0:
		e.Component = c.ID
	case 1:
		e.Decoded.Names = []string{rapid.SampledFrom([]string{"A", "B"}).Draw(t, "name")}
	}
	e.Decoded.Lasts = !e.Cleared && rapid.Bool().Draw(t, "lasts")
	e.Decoded.Vague = rapid.Bool().Draw(t, "vague")
	e.Decoded.Ends = rapid.SliceOfN(rapid.SampledFrom(health.Kinds), 0, 3).Draw(t, "ends")
	return e
}

func TestNothingReadClearsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := parts(t)
		m := newMachine(t)
		for range rapid.IntRange(1, 6).Draw(t, "visits") {
			m.visit(anySnapshot(t, cs))
		}
		before := m.open()
		blind := &health.Snapshot{Target: "db-1", HostPower: powers.Draw(t, "host"), Gaps: []health.Gap{{Reason: health.ReasonTimeout}}}
		if rapid.Bool().Draw(t, "listed without a state") {
			for _, c := range cs {
				c.Presence, c.State = health.PresenceUnknown, health.Unknown
				blind.Components = append(blind.Components, c)
			}
		}
		if rapid.Bool().Draw(t, "place read with a gap in it") {
			blind.Scope = []string{"a", "b"}
			blind.Gaps = append(blind.Gaps, health.Gap{Place: "a"}, health.Gap{Place: "b"})
		}
		if events := m.visit(blind); len(events) > 0 {
			t.Fatalf("a visit that read nothing gave %s", say(events[0]))
		}
		if after := m.open(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Fatalf("open before %q, after %q", before, after)
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	var cs []health.Component
	for i := range 120 {
		cs = append(cs, part(health.ComponentID(fmt.Sprintf("temp/%d", i)), health.ClassTemperature, health.OK))
	}
	m := newMachine(b)
	s := snap(cs...)
	m.visit(s)
	v := &health.Visit{Target: "db-1", Started: m.now, Result: health.Done, Snapshot: s}
	for b.Loop() {
		if events := detect.Judge(m.known, v).Events; len(events) != 0 {
			b.Fatal(events)
		}
	}
}

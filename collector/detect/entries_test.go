package detect_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dewline/collector/detect"
	"dewline/health"
)

// logbook makes log entries as drivers do.
type logbook struct{ n int }

func (l *logbook) entry(c health.ComponentID, k health.Kind, s health.Severity) health.LogEntry {
	l.n++
	id := fmt.Sprint(l.n)
	class, _, _ := strings.Cut(string(c), "/")
	return health.LogEntry{
		Source: "sel", ID: id, Key: []byte(id), Severity: s, Kind: k, Created: t0, Message: "entry " + id, Component: c,
		Decoded: health.Decoded{Rule: string(k), Severity: s, Class: health.Class(class)},
	}
}

func (l *logbook) begins(c health.ComponentID, k health.Kind, s health.Severity) health.LogEntry {
	e := l.entry(c, k, s)
	e.Decoded.Lasts = true
	return e
}

func (l *logbook) over(c health.ComponentID, k health.Kind, ends ...health.Kind) health.LogEntry {
	e := l.entry(c, k, health.SeverityOK)
	e.Cleared, e.Decoded.Ends = true, ends
	return e
}

// named is an entry whose part is known by a name alone.
func named(e health.LogEntry, names ...string) health.LogEntry {
	e.Component, e.Decoded.Names = "", names
	return e
}

func logged(s *health.Snapshot, es ...health.LogEntry) *health.Snapshot {
	s.Log, s.Logs, s.NextCursors = es, []health.LogInfo{{ID: "sel", Path: "sel"}}, health.Cursors{"sel": []byte("1")}
	return s
}

func TestPolledAndLoggedAreOneFault(t *testing.T) {
	const c, w = health.SeverityCritical, health.SeverityWarning
	ok, bad := part("fan/1", health.ClassFan, health.OK), part("fan/1", health.ClassFan, health.Critical)
	start := func(t *testing.T, s *health.Snapshot) (*machine, *logbook) {
		m := newMachine(t)
		m.expect(m.visit(logged(s)))
		return m, &logbook{}
	}
	t.Run("in one visit", func(t *testing.T) {
		m, l := start(t, snap(ok))
		m.expect(m.visit(logged(snap(bad), l.begins("fan/1", health.KindFailed, c))), "fan/1 failed critical asserted", "fan/1 failed critical momentary")
		m.evidence("fan/1", "sel 1")
		m.expect(m.visit(logged(snap(ok), l.over("fan/1", health.KindFailed))), "fan/1 failed ok cleared", "fan/1 failed ok momentary")
	})
	t.Run("first the log, then the reading", func(t *testing.T) {
		m, l := start(t, snap(ok))
		m.expect(m.visit(logged(snap(ok), l.begins("fan/1", health.KindFailed, c))), "fan/1 failed critical asserted")
		bad := bad
		bad.Status = "Enabled/Critical"
		m.expect(m.visit(logged(snap(bad))))
		m.evidence("fan/1", "sel 1", "Enabled/Critical")
		m.expect(m.visit(logged(snap(bad), l.over("fan/1", health.KindFailed))), "fan/1 failed ok momentary") // the reading's word goes before
		m.expect(m.visit(logged(snap(ok))), "fan/1 failed ok cleared")
	})
	t.Run("first the reading, then the log", func(t *testing.T) {
		m, l := start(t, snap(ok))
		m.expect(m.visit(logged(snap(bad))), "fan/1 failed critical asserted")
		m.expect(m.visit(logged(snap(bad), l.begins("fan/1", health.KindFailed, c))), "fan/1 failed critical momentary")
		m.evidence("fan/1", "sel 1")
	})
	t.Run("over before the log is read", func(t *testing.T) {
		m, l := start(t, snap(ok))
		m.visitTiers(snap(bad), health.TiersOf(health.TierReadings))
		m.expect(m.visitTiers(snap(ok), health.TiersOf(health.TierReadings)), "fan/1 failed ok cleared")
		m.expect(m.visit(logged(snap(ok), l.begins("fan/1", health.KindFailed, c), l.over("fan/1", health.KindFailed))),
			"fan/1 failed critical momentary", "fan/1 failed ok momentary")
		// The next time it is news.
		m.expect(m.visit(logged(snap(ok), l.begins("fan/1", health.KindFailed, c))), "fan/1 failed critical asserted")
	})
	t.Run("the log says what is wrong, the state only that something is", func(t *testing.T) {
		psu := func(s health.State) health.Component { return part("psu/1", health.ClassPSU, s) }
		m, l := start(t, snap(psu(health.OK)))
		m.expect(m.visit(logged(snap(psu(health.Critical)), l.begins("psu/1", health.KindInputLost, c))),
			"psu/1 input_lost critical asserted", "psu/1 input_lost critical momentary")
		m.expect(m.visit(logged(snap(psu(health.Critical)))))
		m.expect(m.visit(logged(snap(psu(health.OK)))), "psu/1 input_lost ok cleared")
		// In other visits, both ways.
		m.expect(m.visit(logged(snap(psu(health.OK)), l.begins("psu/1", health.KindInputLost, c))), "psu/1 input_lost critical asserted")
		m.expect(m.visit(logged(snap(psu(health.Warning)))))
		m.expect(m.visit(logged(snap(psu(health.Warning)))))
		m.expect(m.visit(logged(snap(psu(health.OK)))), "psu/1 input_lost ok cleared")
		m.expect(m.visit(logged(snap(psu(health.Critical)))), "psu/1 failed critical asserted")
		m.expect(m.visit(logged(snap(psu(health.Critical)), l.begins("psu/1", health.KindInputLost, c))), "psu/1 input_lost critical momentary")
		m.expect(m.visit(logged(snap(psu(health.OK)))), "psu/1 failed ok cleared")
	})
	t.Run("changed health adds nothing to what is open", func(t *testing.T) {
		m, l := start(t, snap(part("psu/1", health.ClassPSU, health.OK)))
		lost := part("psu/1", health.ClassPSU, health.Critical, cond(health.KindInputLost, c))
		vague := l.begins("psu/1", health.KindFailed, c)
		vague.Decoded.Vague = true
		m.expect(m.visit(logged(snap(lost), vague)), "psu/1 input_lost critical asserted", "psu/1 failed critical momentary")
	})
	t.Run("two different things of one part are two faults", func(t *testing.T) {
		m, l := start(t, snap(part("drive/1", health.ClassDrive, health.OK)))
		m.expect(m.visit(logged(snap(part("drive/1", health.ClassDrive, health.OK)), l.begins("drive/1", health.KindPredictedFailure, w), l.begins("drive/1", health.KindFailed, c))),
			"drive/1 predicted_failure warning asserted", "drive/1 failed critical asserted")
	})
	t.Run("two parts are never one", func(t *testing.T) {
		two := snap(part("fan/1", health.ClassFan, health.OK), part("fan/2", health.ClassFan, health.OK))
		m, l := start(t, two)
		s := snap(part("fan/1", health.ClassFan, health.Critical), part("fan/2", health.ClassFan, health.OK))
		m.expect(m.visit(logged(s, l.begins("fan/2", health.KindFailed, c))), "fan/1 failed critical asserted", "fan/2 failed critical asserted")
	})
}

func (m *machine) evidence(c health.ComponentID, want ...string) {
	m.t.Helper()
	for _, f := range m.known.Faults {
		if f.Component != c {
			continue
		}
		all := strings.Join(f.Evidence, "; ")
		for _, w := range want {
			if !strings.Contains(all, w) {
				m.t.Fatalf("evidence of %s %s is %q, without %q", f.Component, f.Kind, all, w)
			}
		}
		return
	}
	m.t.Fatalf("no fault of %s", c)
}

func TestAFaultThatOnlyALogTellsOf(t *testing.T) {
	const c, w = health.SeverityCritical, health.SeverityWarning
	drive := func(s health.State) *health.Snapshot { return snap(part("drive/1", health.ClassDrive, s)) }
	t.Run("is over by its entry", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(drive(health.OK)))
		m.expect(m.visit(logged(drive(health.OK), l.begins("drive/1", health.KindPredictedFailure, w))), "drive/1 predicted_failure warning asserted")
		for range 5 {
			m.expect(m.visit(logged(drive(health.OK)))) // its state need not show it
		}
		m.expect(m.visit(logged(drive(health.OK), l.over("drive/1", health.KindFailed, health.KindPredictedFailure))), "drive/1 predicted_failure ok cleared")
	})
	t.Run("is over by a reading that shows it, after a while", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(drive(health.OK)))
		m.expect(m.visit(logged(drive(health.OK), l.begins("drive/1", health.KindFailed, c))), "drive/1 failed critical asserted")
		m.expect(m.visit(logged(drive(health.OK)))) // may be from before
		m.expect(m.visit(logged(drive(health.OK))), "drive/1 failed ok cleared")
	})
	t.Run("is not over by a gap, an unknown state, a cleared log or a host that is off", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(drive(health.OK)))
		m.expect(m.visit(logged(drive(health.OK), l.begins("drive/1", health.KindFailed, c))), "drive/1 failed critical asserted")
		m.now = m.now.Add(time.Hour)
		m.expect(m.visit(logged(drive(health.Unknown))))
		gap := snap()
		gap.Gaps = []health.Gap{{Place: "all", Reason: health.ReasonTimeout}}
		m.expect(m.visit(logged(gap)))
		cleared := logged(drive(health.Unknown))
		cleared.Logs[0].Cleared = true
		m.expect(m.visit(cleared), "log/sel log_cleared warning momentary")
		off := logged(drive(health.OK), l.over("drive/1", health.KindFailed))
		off.HostPower = health.HostOff
		m.expect(m.visit(off), "drive/1 failed ok momentary")
		if len(m.known.Faults) != 1 {
			t.Fatalf("open: %q", m.open())
		}
	})
	t.Run("lessens and worsens with its entries", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		air := func() *health.Snapshot { return snap(part("humidity/1", health.ClassHumidity, health.Unknown)) }
		m.visit(logged(air()))
		m.expect(m.visit(logged(air(), l.begins("humidity/1", health.KindHumidityHigh, w), l.begins("humidity/1", health.KindHumidityHigh, c))),
			"humidity/1 humidity_high warning asserted", "humidity/1 humidity_high critical escalated")
		m.expect(m.visit(logged(air(), l.begins("humidity/1", health.KindHumidityHigh, w))), "humidity/1 humidity_high warning deescalated")
		m.expect(m.visit(logged(air(), l.over("humidity/1", health.KindHumidityHigh))), "humidity/1 humidity_high ok cleared")
	})
	t.Run("begins and ends in one visit, and again: two faults", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(drive(health.OK)))
		m.expect(m.visit(logged(drive(health.OK), l.begins("drive/1", health.KindFailed, c), l.over("drive/1", health.KindFailed),
			l.begins("drive/1", health.KindFailed, c), l.over("drive/1", health.KindFailed))),
			"drive/1 failed critical asserted", "drive/1 failed ok cleared", "drive/1 failed critical asserted", "drive/1 failed ok cleared")
	})
	t.Run("ends with its part", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(drive(health.OK)))
		m.visit(logged(drive(health.OK), l.begins("drive/1", health.KindFailed, c)))
		removed := l.begins("drive/1", health.KindAbsentRemoved, w)
		removed.Decoded.Ends = []health.Kind{health.KindFailed}
		m.expect(m.visit(logged(drive(health.OK), removed)), "drive/1 failed ok cleared", "drive/1 absent_removed warning asserted")
		gone := snap()
		m.expect(m.visit(logged(gone)))
		m.evidence("drive/1", "sel 2", "place: all")
		m.expect(m.visit(logged(drive(health.OK), l.over("drive/1", health.KindAbsentRemoved))),
			"drive/1 inserted info momentary", "drive/1 absent_removed ok cleared", "drive/1 absent_removed ok momentary")
	})
}

func TestAnEntryFindsItsPart(t *testing.T) {
	const c = health.SeverityCritical
	parts := func() *health.Snapshot {
		s := snap()
		for _, x := range [][2]string{{"fan/Fan.Embedded.1A", "System Board Fan1A"}, {"fan/Fan.Embedded.1B", "System Board Fan1B"}, {"psu/a", "PS1 Status"}, {"psu/b", "PS2 Status"}, {"fan/Fan_1", "Fan 10"}} {
			class, _, _ := strings.Cut(x[0], "/")
			p := part(health.ComponentID(x[0]), health.Class(class), health.OK)
			p.Name = x[1]
			s.Components = append(s.Components, p)
		}
		red := part("power_unit/red", health.ClassPowerUnit, health.OK, cond(health.KindRedundancyLost, health.SeverityOK))
		s.Components = append(s.Components, red, part("system/1", health.ClassSystem, health.OK))
		return s
	}
	for name, x := range map[string]struct {
		class health.Class
		kind  health.Kind
		names []string
		want  string
	}{
		"by name":                                 {health.ClassFan, health.KindFailed, []string{"System Board Fan1A", "1200"}, "fan/Fan.Embedded.1A"},
		"by name, written otherwise":              {health.ClassFan, health.KindFailed, []string{"system board FAN 1B"}, "fan/Fan.Embedded.1B"},
		"by the end of its identifier":            {health.ClassFan, health.KindFailed, []string{"Fan.Embedded.1A"}, "fan/Fan.Embedded.1A"},
		"by its number":                           {health.ClassPSU, health.KindInputLost, []string{"2"}, "psu/b"},
		"not by a number that no part has":        {health.ClassPSU, health.KindInputLost, []string{"3"}, "log/sel"},
		"not by a number of another class's part": {health.ClassDrive, health.KindFailed, []string{"1"}, "log/sel"},
		"not by half a name":                      {health.ClassFan, health.KindFailed, []string{"Fan 1"}, "fan/Fan_1"}, // the identifier fits, "Fan 10" does not
		"not by a name of another class":          {health.ClassPSU, health.KindFailed, []string{"System Board Fan1A"}, "log/sel"},
		"the one group that states redundancy":    {health.ClassPowerUnit, health.KindRedundancyLost, nil, "power_unit/red"},
	} {
		t.Run(name, func(t *testing.T) {
			m, l := newMachine(t), &logbook{}
			m.visit(logged(parts()))
			e := named(l.begins("x/y", x.kind, c), x.names...)
			e.Decoded.Class = x.class
			m.expect(m.visit(logged(parts(), e)), fmt.Sprintf("%s %s critical asserted", x.want, x.kind))
		})
	}
	t.Run("what two parts are called is one fault each, of the log", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(parts()))
		a, b := named(l.begins("x/y", health.KindFailed, c), "Disk A"), named(l.begins("x/y", health.KindFailed, c), "Disk B")
		a.Decoded.Class, b.Decoded.Class = health.ClassDrive, health.ClassDrive
		m.expect(m.visit(logged(parts(), a, b)), "log/sel failed critical asserted", "log/sel failed critical asserted")
		over := named(l.over("x/y", health.KindFailed), "Disk B")
		over.Decoded.Class = health.ClassDrive
		m.expect(m.visit(logged(parts(), over)), "log/sel failed ok cleared")
		for _, f := range m.known.Faults {
			if f.Subject != "drive Disk A" || f.Class != health.ClassDrive {
				t.Errorf("open: %+v", f)
			}
		}
	})
	t.Run("nothing tells what it is of: it only happened", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(parts()))
		m.expect(m.visit(logged(parts(), named(l.begins("x/y", health.KindFailed, c)))), "log/sel failed critical momentary")
	})
}

func TestEntriesThatMeanNoFault(t *testing.T) {
	const c, w = health.SeverityCritical, health.SeverityWarning
	t.Run("an absence of what was never there", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		empty := part("psu/2", health.ClassPSU, health.Unknown)
		empty.Presence = health.Absent
		m.visit(logged(snap(empty)))
		m.expect(m.visit(logged(snap(empty), l.begins("psu/2", health.KindAbsentRemoved, w))), "psu/2 absent_removed info momentary")
	})
	t.Run("a fan that stops with its host", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(snap(part("fan/1", health.ClassFan, health.OK))))
		off := logged(snap(part("fan/1", health.ClassFan, health.Unknown)), l.begins("fan/1", health.KindFailed, c))
		off.HostPower = health.HostOff
		m.expect(m.visit(off), "fan/1 failed critical momentary")
	})
	t.Run("an unmapped entry is kept as unknown and counted", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(snap()))
		e := l.entry("", "", c)
		e.Decoded = health.Decoded{}
		v := &health.Visit{Target: "db-1", Started: m.now, Result: health.Done, Snapshot: logged(snap(), e)}
		j := detect.Judge(m.known, v)
		m.expect(j.Events, "log/sel unknown critical momentary")
		if j.Unmapped != 1 || j.Events[0].SourceSeverity != c {
			t.Errorf("%d unmapped, %+v", j.Unmapped, j.Events[0])
		}
	})
	t.Run("our severity, and the source's beside it", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.visit(logged(snap(part("fan/1", health.ClassFan, health.OK))))
		e := l.begins("fan/1", health.KindFailed, w)
		e.Decoded.Severity = c
		events := m.visit(logged(snap(part("fan/1", health.ClassFan, health.OK)), e))
		if len(events) != 1 || events[0].Severity != c || events[0].SourceSeverity != w || events[0].Rule != "log:failed" {
			t.Errorf("%+v", events)
		}
	})
}

func TestOneThingToldTwiceIsOneFault(t *testing.T) {
	const c = health.SeverityCritical
	t.Run("a state whose condition is read more rarely", func(t *testing.T) {
		m := newMachine(t)
		psu := func(s health.State, conditions ...health.Condition) *health.Snapshot {
			return snap(part("psu/1", health.ClassPSU, s, conditions...))
		}
		m.visit(psu(health.OK, cond(health.KindInputLost, health.SeverityOK)))
		m.expect(m.visit(psu(health.Critical, cond(health.KindInputLost, c))), "psu/1 input_lost critical asserted")
		m.expect(m.visit(psu(health.Critical)))
		m.expect(m.visit(psu(health.Critical, cond(health.KindInputLost, health.SeverityOK))), "psu/1 input_lost ok cleared", "psu/1 failed critical asserted")
	})
	t.Run("a sensor of a part that says so itself", func(t *testing.T) {
		m := newMachine(t)
		pwm := func(s health.State) health.Component {
			p := part("sensor/pwm", health.ClassSensor, s)
			p.Of = "fan/1"
			return p
		}
		fan := func(s health.State) health.Component { return part("fan/1", health.ClassFan, s) }
		m.visit(snap(pwm(health.OK), fan(health.OK)))
		m.expect(m.visit(snap(pwm(health.Critical), fan(health.Critical))), "fan/1 failed critical asserted")
		m.expect(m.visit(snap(pwm(health.Critical), fan(health.OK))), "fan/1 failed ok cleared") // as it stood when the visit began
		m.expect(m.visit(snap(pwm(health.Critical), fan(health.OK))), "sensor/pwm unknown critical asserted")
		m.expect(m.visit(snap(pwm(health.OK), fan(health.OK))), "sensor/pwm unknown ok cleared")
		gone := pwm(health.Unknown)
		gone.Presence = health.Absent
		m.expect(m.visit(snap(gone)), "fan/1 absent_removed warning asserted")
	})
	t.Run("a sum of parts that names a condition", func(t *testing.T) {
		m := newMachine(t)
		cooling := func(s health.Severity) health.Component {
			return part("chassis/cooling", health.ClassChassis, health.OK, cond(health.KindFailed, s))
		}
		fan := func(s health.State) health.Component { return part("fan/1", health.ClassFan, s) }
		m.visit(snap(cooling(health.SeverityOK), fan(health.OK)))
		m.expect(m.visit(snap(cooling(c), fan(health.Critical))), "fan/1 failed critical asserted")
		m.expect(m.visit(snap(cooling(health.SeverityOK), fan(health.OK))), "fan/1 failed ok cleared")
		m.expect(m.visit(snap(cooling(c), fan(health.OK))), "chassis/cooling failed critical asserted")
		m.expect(m.visit(snap(cooling(health.SeverityOK), fan(health.OK))), "chassis/cooling failed ok cleared")
	})
	t.Run("a sum of parts that shows before its part is read, and the log tells why", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		system := func(s health.State) health.Component { return part("system/1", health.ClassSystem, s) }
		m.visit(logged(snap(system(health.OK), part("drive/1", health.ClassDrive, health.OK))))
		readings := snap(system(health.Critical))
		readings.Scope = nil
		m.expect(m.visit(logged(readings, l.begins("drive/1", health.KindFailed, c))), "drive/1 failed critical asserted")
	})
}

func TestALogThatNamesEverNewPartsOpensABoundedNumberOfFaults(t *testing.T) {
	m, l := newMachine(t), &logbook{}
	m.visit(logged(snap()))
	n := 0
	for range 20 {
		var es []health.LogEntry
		for range 50 {
			es = append(es, named(l.begins("drive/x", health.KindFailed, health.SeverityCritical), fmt.Sprint("part ", l.n)))
		}
		n += len(m.visit(logged(snap(), es...)))
	}
	if n != 1000 || len(m.known.Faults) != 512 || len(m.known.Recent) > 1024 {
		t.Errorf("%d events of 1000 entries, %d open faults, %d remembered", n, len(m.known.Faults), len(m.known.Recent))
	}
}

// What of a log is history is a matter of the BMC's clock, which may show local time, or any other.
func TestALogThatIsMet(t *testing.T) {
	at := func(l *logbook, when time.Time) health.LogEntry {
		e := l.begins("fan/1", health.KindFailed, health.SeverityCritical)
		e.Created = when
		return e
	}
	clock := func(s *health.Snapshot, ahead time.Duration) *health.Snapshot {
		s.Components = append(s.Components, part("bmc/clock", health.ClassBMC, health.OK))
		s.Readings = append(s.Readings, health.Reading{Component: "bmc/clock", Quantity: health.ClockSkew, Unit: health.Second, Value: ahead.Seconds()})
		return s
	}
	fan := func() *health.Snapshot { return snap(part("fan/1", health.ClassFan, health.OK)) }
	t.Run("with its target is history, whatever its clock shows", func(t *testing.T) {
		m, l := newMachine(t), &logbook{}
		m.expect(m.visit(logged(fan(), at(l, t0.Add(-time.Hour)), at(l, t0.Add(8*time.Hour)), at(l, t0.AddDate(70, 0, 0)))))
	})
	for name, c := range map[string]struct {
		ahead time.Duration
		noted bool // by an earlier visit
	}{"a clock that is right": {}, "eight hours ahead": {8 * time.Hour, false}, "eight hours behind": {-8 * time.Hour, false}, "ahead, as was noted before": {8 * time.Hour, true}} {
		t.Run("later: "+name, func(t *testing.T) {
			m, l := newMachine(t), &logbook{}
			s := fan()
			if c.noted {
				s = clock(s, c.ahead)
			}
			m.visit(s)
			m.now = t0.Add(10 * time.Minute)
			s = fan()
			if c.noted {
				s.Components = append(s.Components, part("bmc/clock", health.ClassBMC, health.OK))
			}
			s = logged(s, at(l, t0.Add(c.ahead-time.Hour)), at(l, t0.Add(c.ahead+5*time.Minute)))
			if !c.noted {
				s = clock(s, c.ahead)
			}
			m.expect(m.visit(s), "fan/1 failed critical asserted")
		})
	}
}

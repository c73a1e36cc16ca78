package detect_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/collector/detect"
	"dewline/health"
)

var t0 = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// machine is a target read visit after visit, as the collector does it.
type machine struct {
	known *health.Known
	now   time.Time
	seen  map[string]bool // event IDs
	t     interface {
		Helper()
		Fatalf(string, ...any)
	}
}

func newMachine(t interface {
	Helper()
	Fatalf(string, ...any)
}) *machine {
	return &machine{known: health.NewKnown("db-1"), now: t0, seen: map[string]bool{}, t: t}
}

func (m *machine) visit(s *health.Snapshot) []health.Event {
	m.t.Helper()
	return m.visitTiers(s, health.EveryTier)
}

func (m *machine) visitTiers(s *health.Snapshot, tiers health.Tiers) []health.Event {
	m.t.Helper()
	v := &health.Visit{Target: "db-1", Started: m.now, Result: health.Done, Snapshot: s, Due: map[health.Tier]time.Time{}}
	for _, t := range tiers.List() {
		v.Due[t] = m.now
	}
	return m.apply(v)
}

func (m *machine) apply(v *health.Visit) []health.Event {
	m.t.Helper()
	before := len(m.known.Faults)
	j := detect.Judge(m.known, v)
	events := j.Events
	if len(m.known.Faults) != before {
		m.t.Fatalf("Events changed what is known")
	}
	again := detect.Judge(m.known, v).Events
	if fmt.Sprint(again) != fmt.Sprint(events) {
		m.t.Fatalf("the same visit gave other events: %v and %v", events, again)
	}
	for i, e := range events {
		if m.seen[e.ID] {
			m.t.Fatalf("event given twice: %s", say(e))
		}
		m.seen[e.ID] = true
		if want := v.At().Add(time.Duration(i)); !e.At.Equal(want) {
			m.t.Fatalf("event %d is at %s, want %s", i, e.At, want)
		}
		if len(e.Message) > health.MaxText || e.Message == "" || e.Rule == "" || e.Kind == "" {
			m.t.Fatalf("event %+v", e)
		}
	}
	j.Apply(v)
	if s := v.Snapshot; s != nil && v.Result == health.Done {
		if m.known.FirstSeen.IsZero() {
			v.Delta.FirstSeen = m.now
		}
		v.Delta.HostPower = &s.HostPower
		v.Delta.Places, v.Delta.PlacesAt = s.Scope, m.now
		v.Delta.Cursors = s.NextCursors
		listed := map[health.ComponentID]bool{}
		for _, c := range s.Components {
			listed[c.ID] = true
			merged, _ := m.known.Components[c.ID].Merge(c, m.now)
			v.Delta.Components = append(v.Delta.Components, merged)
		}
		for id, c := range m.known.Components {
			if !listed[id] && m.known.Gone(c.Component, v) {
				c.Presence, c.State = health.Absent, health.Unknown
				v.Delta.Components = append(v.Delta.Components, c)
			}
		}
	}
	v.Delta.Ticks = map[health.Tier]health.Tick{}
	for t, due := range v.Due {
		v.Delta.Ticks[t] = health.Tick{Due: due, Result: v.Result}
	}
	m.known.Apply(&v.Delta)
	kinds := map[string]bool{}
	for _, f := range m.known.Faults {
		k := string(f.Component) + " " + string(f.Kind) + " " + f.Subject
		if kinds[k] {
			m.t.Fatalf("two open faults of %s", k)
		}
		kinds[k] = true
	}
	m.now = m.now.Add(time.Minute)
	return events
}

func (m *machine) open() []string {
	var l []string
	for _, f := range m.known.Faults {
		l = append(l, fmt.Sprintf("%s %s %s", f.Component, f.Kind, f.Severity))
	}
	slices.Sort(l)
	return l
}

func say(e health.Event) string {
	s := fmt.Sprintf("%s %s %s %s", e.Component, e.Kind, e.Severity, e.Transition)
	if e.AtStart {
		s += " at start"
	}
	return s
}

func (m *machine) expect(events []health.Event, want ...string) {
	m.t.Helper()
	var got []string
	for _, e := range events {
		got = append(got, say(e))
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		m.t.Fatalf("events %q\nwant   %q", got, want)
	}
}

func part(id health.ComponentID, class health.Class, state health.State, conditions ...health.Condition) health.Component {
	return health.Component{ID: id, Class: class, Name: string(id), Presence: health.Present, State: state, Place: "all", Conditions: conditions}
}

func snap(cs ...health.Component) *health.Snapshot {
	return &health.Snapshot{Target: "db-1", HostPower: health.HostOn, Scope: []string{"all"}, Components: cs}
}

func cond(k health.Kind, s health.Severity) health.Condition {
	return health.Condition{Kind: k, Severity: s, Evidence: string(k) + "=" + s.String()}
}

func TestAStateOpensAndClearsAFault(t *testing.T) {
	m := newMachine(t)
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.OK))))
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.Warning))), "fan/1 degraded warning asserted")
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.Critical))), "fan/1 degraded ok cleared", "fan/1 failed critical asserted")
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.Warning))), "fan/1 failed ok cleared", "fan/1 degraded warning asserted")
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.Unknown))))
	gap := snap()
	gap.Scope, gap.Gaps = nil, []health.Gap{{Place: "all", Reason: health.ReasonTimeout}}
	m.expect(m.visit(gap))
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.OK))), "fan/1 degraded ok cleared")
	if len(m.known.Faults) != 0 {
		t.Fatalf("open: %q", m.open())
	}
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.Critical))), "fan/1 failed critical asserted")
}

func TestALeakThatGetsWorseIsStillTheSameFault(t *testing.T) {
	m := newMachine(t)
	m.visit(snap(part("leak/1", health.ClassLeakDetector, health.OK)))
	m.expect(m.visit(snap(part("leak/1", health.ClassLeakDetector, health.Warning))), "leak/1 leak_detected warning asserted")
	m.expect(m.visit(snap(part("leak/1", health.ClassLeakDetector, health.Critical))), "leak/1 leak_detected critical escalated")
	m.expect(m.visit(snap(part("leak/1", health.ClassLeakDetector, health.Warning))), "leak/1 leak_detected warning deescalated")
	m.expect(m.visit(snap(part("leak/1", health.ClassLeakDetector, health.OK))), "leak/1 leak_detected ok cleared")
}

func TestTwoRulesForOneKindAreOneFaultAtItsWorst(t *testing.T) {
	m := newMachine(t)
	m.visit(snap(part("fan/1", health.ClassFan, health.OK)))
	both := snap(part("fan/1", health.ClassFan, health.Critical, cond(health.KindFailed, health.SeverityWarning)))
	m.expect(m.visit(both), "fan/1 failed critical asserted")
	m.expect(m.visit(both))
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.OK)))) // the condition was not named: it stands
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.OK, cond(health.KindFailed, health.SeverityOK)))), "fan/1 failed ok cleared")
}

func TestAFaultFoundAtTheFirstVisitIsMarked(t *testing.T) {
	m := newMachine(t)
	m.expect(m.visit(snap(part("psu/1", health.ClassPSU, health.Critical))), "psu/1 failed critical asserted at start")
	m.expect(m.visit(snap(part("psu/1", health.ClassPSU, health.Critical))))
	// A place read for the first time later, as drives are, was also there before.
	late := snap(part("psu/1", health.ClassPSU, health.Critical))
	drive := part("drive/1", health.ClassDrive, health.OK, cond(health.KindPredictedFailure, health.SeverityWarning))
	drive.Place = "drives"
	late.Components, late.Scope = append(late.Components, drive), append(late.Scope, "drives")
	m.expect(m.visit(late), "drive/1 predicted_failure warning asserted at start")
}

func TestAConditionClearsOnlyByItsOwnWord(t *testing.T) {
	m := newMachine(t)
	bad := part("drive/1", health.ClassDrive, health.OK, cond(health.KindPredictedFailure, health.SeverityWarning))
	unnamed := part("drive/1", health.ClassDrive, health.OK)
	good := part("drive/1", health.ClassDrive, health.OK, cond(health.KindPredictedFailure, health.SeverityOK))
	m.expect(m.visit(snap(good)))
	m.expect(m.visit(snap(bad)), "drive/1 predicted_failure warning asserted")
	m.expect(m.visit(snap(unnamed)))
	m.expect(m.visit(snap(good)), "drive/1 predicted_failure ok cleared")
}

func TestAStateThatAConditionExplainsIsOneFault(t *testing.T) {
	m := newMachine(t)
	m.visit(snap(part("psu/1", health.ClassPSU, health.OK)))
	m.expect(m.visit(snap(part("psu/1", health.ClassPSU, health.Critical, cond(health.KindInputLost, health.SeverityCritical)))), "psu/1 input_lost critical asserted")
	// More severe than what is named: something else is wrong too.
	m.expect(m.visit(snap(part("psu/1", health.ClassPSU, health.Critical, cond(health.KindInputLost, health.SeverityOK), cond(health.KindPredictedFailure, health.SeverityWarning)))),
		"psu/1 input_lost ok cleared", "psu/1 predicted_failure warning asserted", "psu/1 failed critical asserted")
	m.expect(m.visit(snap(part("psu/1", health.ClassPSU, health.OK, cond(health.KindPredictedFailure, health.SeverityOK)))),
		"psu/1 predicted_failure ok cleared", "psu/1 failed ok cleared")
}

func TestStatesBecomeKindsByClass(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	limits := &health.Thresholds{LowerCritical: f(10), LowerCaution: f(15), UpperCaution: f(40), UpperCritical: f(45)}
	for name, c := range map[string]struct {
		class health.Class
		state health.State
		value float64
		conds []health.Condition
		want  string
	}{
		"a temperature over its threshold":            {health.ClassTemperature, health.Critical, 50, nil, "over_threshold critical"},
		"a temperature at its caution threshold":      {health.ClassTemperature, health.Warning, 40, nil, "over_threshold warning"},
		"a voltage under its threshold":               {health.ClassVoltage, health.Critical, 9, nil, "under_threshold critical"},
		"a temperature within its thresholds":         {health.ClassTemperature, health.Warning, 20, nil, "unknown warning"},
		"wet air":                                     {health.ClassHumidity, health.Warning, 41, nil, "humidity_high warning"},
		"dry air":                                     {health.ClassHumidity, health.Warning, 12, nil, "humidity_low warning"},
		"a leak detector at warning is wet":           {health.ClassLeakDetector, health.Warning, 0, nil, "leak_detected warning"},
		"a leak detector at critical is wet":          {health.ClassLeakDetector, health.Critical, 0, nil, "leak_detected critical"},
		"a leak detector that denies it is at fault":  {health.ClassLeakDetector, health.Warning, 0, []health.Condition{cond(health.KindLeakDetected, health.SeverityOK)}, "detector_fault warning"},
		"a critical fan":                              {health.ClassFan, health.Critical, 0, nil, "failed critical"},
		"a degraded volume":                           {health.ClassVolume, health.Warning, 0, nil, "degraded warning"},
		"an open chassis":                             {health.ClassIntrusion, health.Warning, 0, nil, "intrusion warning"},
		"a sensor without thresholds":                 {health.ClassSensor, health.Critical, -1, nil, "unknown critical"},
		"a condition without severity is a warning":   {health.ClassBattery, health.OK, 0, []health.Condition{{Kind: health.KindDegraded}}, "degraded warning"},
		"a condition named twice counts at its worst": {health.ClassMemory, health.OK, 0, []health.Condition{cond(health.KindUncorrectableError, health.SeverityWarning), cond(health.KindUncorrectableError, health.SeverityCritical)}, "uncorrectable_error critical"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			s := snap(part("x", c.class, c.state, c.conds...))
			if c.value != 0 {
				r := health.Reading{Component: "x", Quantity: health.Temperature, Value: c.value, Thresholds: limits}
				if c.value < 0 {
					r.Thresholds = nil
				}
				s.Readings = append(s.Readings, r)
			}
			m.expect(m.visit(s), "x "+c.want+" asserted at start")
			m.expect(m.visit(s))
		})
	}
}

func TestThresholdsReadNowAndThenDoNotSplitAFault(t *testing.T) {
	m := newMachine(t)
	limit := 40.0
	with := snap(part("temp/1", health.ClassTemperature, health.Warning))
	with.Readings = []health.Reading{{Component: "temp/1", Quantity: health.Temperature, Value: 42, Thresholds: &health.Thresholds{UpperCaution: &limit}}}
	without := snap(part("temp/1", health.ClassTemperature, health.Warning))
	m.expect(m.visit(with), "temp/1 over_threshold warning asserted at start")
	m.expect(m.visit(without))
	m.expect(m.visit(with))
}

func TestAbsence(t *testing.T) {
	fan1, fan2 := part("fan/1", health.ClassFan, health.OK), part("fan/2", health.ClassFan, health.Critical)
	t.Run("a part gone from a place that was read is removed, and its other faults end", func(t *testing.T) {
		m := newMachine(t)
		m.visit(snap(fan1, fan2))
		m.expect(m.visit(snap(fan1)), "fan/2 failed ok cleared", "fan/2 absent_removed warning asserted")
		m.expect(m.visit(snap(fan1)))
		back := fan2
		back.State = health.OK
		m.expect(m.visit(snap(fan1, back)), "fan/2 inserted info momentary", "fan/2 absent_removed ok cleared")
	})
	t.Run("a part reported absent is removed", func(t *testing.T) {
		m := newMachine(t)
		m.visit(snap(fan1))
		gone := fan1
		gone.Presence, gone.State = health.Absent, health.Unknown
		m.expect(m.visit(snap(gone)), "fan/1 absent_removed warning asserted")
		m.expect(m.visit(snap(gone)))
	})
	t.Run("a slot that was always empty is no fault", func(t *testing.T) {
		m := newMachine(t)
		empty := part("psu/2", health.ClassPSU, health.Unknown)
		empty.Presence = health.Absent
		m.expect(m.visit(snap(empty)))
		m.expect(m.visit(snap(empty)))
	})
	t.Run("a place not read, a gap and a failed visit remove nothing", func(t *testing.T) {
		m := newMachine(t)
		m.visit(snap(fan1, fan2))
		unread := snap(fan1)
		unread.Scope = nil
		m.expect(m.visit(unread))
		gap := snap(fan1)
		gap.Gaps = []health.Gap{{Component: "fan/2", Reason: health.ReasonMalformed}}
		m.expect(m.visit(gap))
		m.expect(m.apply(&health.Visit{Target: "db-1", Started: m.now, Result: health.Failed, Snapshot: snap(), Reason: health.ReasonTimeout}))
	})
	t.Run("a leak detector that is gone can say nothing", func(t *testing.T) {
		m := newMachine(t)
		leak := part("leak/1", health.ClassLeakDetector, health.OK)
		m.visit(snap(fan1, leak))
		m.expect(m.visit(snap(fan1)), "leak/1 detector_fault warning asserted")
		m.expect(m.visit(snap(fan1, leak)), "leak/1 detector_fault ok cleared")
	})
	t.Run("a part in a place known before is inserted, with a new serial exchanged", func(t *testing.T) {
		m := newMachine(t)
		m.visit(snap(fan1))
		drive := part("drive/1", health.ClassDrive, health.OK)
		drive.Serial = "A"
		m.expect(m.visit(snap(fan1, drive)), "drive/1 inserted info momentary")
		drive.State = health.Critical
		m.expect(m.visit(snap(fan1, drive)), "drive/1 failed critical asserted")
		drive.Serial, drive.State = "B", health.OK
		m.expect(m.visit(snap(fan1, drive)), "drive/1 failed ok cleared", "drive/1 inserted info momentary")
		drive.Serial = ""
		m.expect(m.visit(snap(fan1, drive)))
		drive.Serial = "B"
		m.expect(m.visit(snap(fan1, drive)))
	})
}

func TestAHostThatIsOffOpensAndClearsNothing(t *testing.T) {
	m := newMachine(t)
	m.visit(snap(part("fan/1", health.ClassFan, health.Critical), part("fan/2", health.ClassFan, health.OK), part("psu/1", health.ClassPSU, health.OK)))
	off := snap(part("fan/1", health.ClassFan, health.OK), part("fan/2", health.ClassFan, health.Critical), part("psu/1", health.ClassPSU, health.Critical))
	off.HostPower = health.HostOff
	m.expect(m.visit(off), "psu/1 failed critical asserted")
	gone := snap(part("psu/1", health.ClassPSU, health.Critical))
	gone.HostPower = health.HostOff
	m.expect(m.visit(gone))
	m.expect(m.visit(snap(part("fan/1", health.ClassFan, health.OK), part("fan/2", health.ClassFan, health.OK), part("psu/1", health.ClassPSU, health.OK))),
		"fan/1 failed ok cleared", "psu/1 failed ok cleared")
}

func TestRollUpsSpeakOnlyForWhatNoPartSays(t *testing.T) {
	m := newMachine(t)
	sys := func(s health.State) health.Component { return part("system/1", health.ClassSystem, s) }
	fan := func(s health.State) health.Component { return part("fan/1", health.ClassFan, s) }
	m.visit(snap(sys(health.OK), fan(health.OK)))
	m.expect(m.visit(snap(sys(health.Critical), fan(health.Critical))), "fan/1 failed critical asserted")
	m.expect(m.visit(snap(sys(health.Critical), fan(health.OK))), "fan/1 failed ok cleared") // it lags
	m.expect(m.visit(snap(sys(health.OK), fan(health.OK))))
	m.expect(m.visit(snap(sys(health.Critical), fan(health.OK))), "system/1 failed critical asserted")
	m.expect(m.visit(snap(sys(health.Critical), fan(health.Critical))), "fan/1 failed critical asserted")
	m.expect(m.visit(snap(sys(health.OK), fan(health.OK))), "fan/1 failed ok cleared", "system/1 failed ok cleared")
}

func TestCondensationRisk(t *testing.T) {
	m := newMachine(t)
	at := func(margin float64) *health.Snapshot {
		s := snap(part("temp/inlet", health.ClassTemperature, health.OK))
		s.Readings = []health.Reading{{Component: "temp/inlet", Quantity: health.CondensationMargin, Unit: health.Kelvin, Value: margin, Derived: true}}
		return s
	}
	m.expect(m.visit(at(8)))
	m.expect(m.visit(at(5)))
	m.expect(m.visit(at(4.9)), "temp/inlet condensation_risk warning asserted")
	m.expect(m.visit(at(5.2))) // hysteresis
	m.expect(m.visit(at(1.9)), "temp/inlet condensation_risk critical escalated")
	m.expect(m.visit(at(2.3)))
	m.expect(m.visit(at(2.6)), "temp/inlet condensation_risk warning deescalated")
	m.expect(m.visit(snap(part("temp/inlet", health.ClassTemperature, health.OK)))) // no margin clears nothing
	m.expect(m.visit(at(5.5)), "temp/inlet condensation_risk ok cleared")
}

func TestCommunicationLost(t *testing.T) {
	m := newMachine(t)
	fail := func(state health.AccessState) []health.Event {
		v := &health.Visit{Target: "db-1", Started: m.now, Result: health.Failed, Reason: health.ReasonTimeout, Snapshot: &health.Snapshot{}}
		v.Delta.Access = &health.Access{State: state, Reason: health.ReasonTimeout, Error: "i/o timeout"}
		return m.apply(v)
	}
	ok := snap(part("fan/1", health.ClassFan, health.OK))
	m.visit(ok)
	m.expect(fail(health.AccessSuspect))
	m.expect(fail(health.AccessUnreachable), "bmc comm_lost warning asserted")
	m.expect(fail(health.AccessUnreachable))
	m.expect(m.apply(&health.Visit{Target: "db-1", Result: health.Missed, Due: map[health.Tier]time.Time{health.TierReadings: m.now}}))
	m.expect(m.visit(ok), "bmc comm_lost ok cleared")
}

func TestLogs(t *testing.T) {
	entry := func(id string, severity health.Severity, kind health.Kind, created time.Time) health.LogEntry {
		return health.LogEntry{Source: "sel", ID: id, Key: []byte(id), Severity: severity, Kind: kind, Created: created, Message: "entry " + id}
	}
	withLog := func(l health.LogInfo, es ...health.LogEntry) *health.Snapshot {
		s := snap()
		l.ID, l.Path = "sel", "/Logs/sel"
		s.Log, s.Logs, s.NextCursors = es, []health.LogInfo{l}, health.Cursors{"/Logs/sel": []byte("1")}
		return s
	}
	t.Run("history is recorded and makes no events", func(t *testing.T) {
		m := newMachine(t)
		m.expect(m.visit(withLog(health.LogInfo{}, entry("1", health.SeverityCritical, health.KindFailed, t0.Add(-time.Hour)), entry("2", health.SeverityCritical, "", time.Time{}),
			entry("3", health.SeverityWarning, "", t0.Add(time.Second)))),
			"log/sel unknown warning momentary at start")
	})
	t.Run("a new entry that is serious or has a kind is an event, once", func(t *testing.T) {
		m := newMachine(t)
		m.visit(withLog(health.LogInfo{}))
		e := entry("4", health.SeverityOK, health.KindAbsentRemoved, t0.Add(-time.Hour)) // its clock is wrong: no matter
		cleared := entry("5", health.SeverityCritical, health.KindInputLost, t0)
		cleared.Cleared, cleared.Component = true, "psu/1"
		s := withLog(health.LogInfo{}, e, e, cleared, entry("6", health.SeverityInfo, health.KindInfo, t0), entry("7", health.SeverityOK, "", t0), entry("8", health.SeverityCritical, "", t0))
		m.expect(m.visit(s), "log/sel absent_removed ok momentary", "psu/1 input_lost ok momentary", "log/sel unknown critical momentary")
	})
	t.Run("a log that is cleared, full or has lost entries", func(t *testing.T) {
		m := newMachine(t)
		m.visit(withLog(health.LogInfo{}))
		m.expect(m.visit(withLog(health.LogInfo{Cleared: true})), "log/sel log_cleared warning momentary")
		m.expect(m.visit(withLog(health.LogInfo{Cleared: true}, entry("1", health.SeverityWarning, health.KindLogCleared, t0))), "log/sel log_cleared warning momentary")
		m.expect(m.visit(withLog(health.LogInfo{Full: true, Lost: true})), "log/sel log_full_overflow warning momentary", "log/sel log_full_overflow critical asserted")
		m.expect(m.visit(withLog(health.LogInfo{Full: true})))
		m.expect(m.visit(withLog(health.LogInfo{Skipped: "journal"})))
		m.expect(m.visit(withLog(health.LogInfo{})), "log/sel log_full_overflow ok cleared")
	})
}

func TestFullLogsOfANewNameAtEachVisitAreBounded(t *testing.T) {
	m := newMachine(t)
	for i := range 30 {
		s := snap()
		for k := range 20 {
			s.Logs = append(s.Logs, health.LogInfo{ID: fmt.Sprint(i, "/", k), Path: "x", Full: true})
		}
		m.visit(s)
	}
	if n := len(m.known.Faults); n != 256 {
		t.Errorf("%d open faults", n)
	}
}

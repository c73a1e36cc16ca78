package verification

import (
	"slices"
	"testing"
	"time"

	"dewline/health"
)

// A fault that was there before the baseline ended is not new, but it is not nothing either: while the incident happened it stood.
// A leak is never merely old, for a detector that reports liquid all the time cannot tell whether more came or any of it went.
func TestFaultsThatAreOlderThanTheIncident(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	h := func(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Hour))) }
	// The baseline is from 0 h to 60 h, the water comes at 84 h, the host is on all the time.
	const baseline, water, end = 60, 84, 120
	for _, c := range []struct {
		name            string
		kind            health.Kind
		severity        health.Severity
		opened, cleared float64 // 0: open
		gate, text      string  // "" for none
		restarted       float64 // 0: not
	}{
		{"a leak that cleared before the baseline ended", health.KindLeakDetected, health.SeverityCritical, -9, 50, "", "", 0},
		{"a leak that cleared after the baseline and before the water", health.KindLeakDetected, health.SeverityCritical, -9, 70, "observed", "reason.was_open", 0},
		{"a leak that stood through the water and cleared in the soak", health.KindLeakDetected, health.SeverityCritical, -9, 88.5, "observed", "reason.was_open", 89},
		{"a small leak that did", health.KindLeakDetected, health.SeverityWarning, -9, 88.5, "observed", "reason.was_open", 89},
		{"a leak that still stands", health.KindLeakDetected, health.SeverityCritical, -9, 0, "critical_open", "reason.leak_stands", 0},
		{"a small leak that still stands", health.KindLeakDetected, health.SeverityWarning, -9, 0, "critical_open", "reason.leak_stands", 0},
		{"a leak that came with the water and stands", health.KindLeakDetected, health.SeverityCritical, 84, 0, "critical_open", "reason.open", 0},
		{"a fan that had failed and still has", health.KindFailed, health.SeverityCritical, -9, 0, "observed", "reason.open_before", 0},
		{"a fan that had failed and was mended in the soak", health.KindFailed, health.SeverityCritical, -9, 88.5, "observed", "reason.was_open", 0},
		{"a fan that had failed and was mended in the baseline", health.KindFailed, health.SeverityCritical, -9, 50, "", "", 0},
		{"a detector at fault that still is", health.KindDetectorFault, health.SeverityWarning, -9, 0, "observed", "reason.open_before", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := health.Fault{ID: "f1", Component: "x/1", Kind: c.kind, Severity: c.severity, State: health.Asserted, Opened: h(c.opened), Message: "x"}
			if c.cleared > 0 {
				f.State, f.Cleared = health.Cleared, h(c.cleared)
			}
			s := &history{baseFrom: t0, base: h(baseline), until: h(end), faults: []health.Fault{f}}
			for i := range end {
				s.hours = append(s.hours, &health.HourFacts{
					At: h(float64(i)), Whole: true, Power: health.PowerCount{On: 12}, Ticks: []health.TickCount{{Tier: health.TierReadings, Done: 12}},
				})
			}
			var rs reasons
			s.judgeFaults(&rs, &Request{}, s.base)
			var want []Reason
			if c.gate != "" {
				want = []Reason{{Gate: c.gate, Limit: gate(c.gate).Limit, Key: c.text}}
			}
			if !slices.EqualFunc(rs.list, want, func(a, b Reason) bool { return a.Gate == b.Gate && a.Limit == b.Limit && a.Key == b.Key }) {
				t.Errorf("got %+v, want %+v", rs.list, want)
			}
			w, _ := s.windows(&Request{Incident: h(water), Soak: 72 * time.Hour}, h(water))
			var restarted time.Time
			if c.restarted > 0 {
				restarted = h(c.restarted)
			}
			if !w.Restarted.Equal(restarted) {
				t.Errorf("the soak begins anew at %v, want %v", w.Restarted, restarted)
			}
		})
	}
}

// A fault that closed because nobody watched any more is not over by that: something must have shown that it is.
func TestFaultsThatWereLostSightOf(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	h := func(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Hour))) }
	const baseline, lost, end = 60, 90, 120
	psu := health.HourPart{Component: "psu/1", Class: health.ClassPSU}
	ok, unread, bad := psu, psu, psu
	ok.OK, unread.Unread, bad.Critical = 12, 12, 12
	fault := health.Fault{
		ID: "f1", Component: "psu/1", Class: health.ClassPSU, Kind: health.KindFailed, Severity: health.SeverityCritical, Rule: "state", State: health.Unmonitored,
		Opened: h(85), Cleared: h(lost), Message: "x",
	}
	with := func(change func(*health.Fault)) health.Fault {
		f := fault
		change(&f)
		return f
	}
	for _, c := range []struct {
		name   string
		faults []health.Fault
		after  health.HourPart // from 100 h on; nothing is read between
		want   []string
	}{
		{"its part was not read since", []health.Fault{fault}, unread, []string{"unwatched"}},
		{"its part is well now", []health.Fault{fault}, ok, []string{"observed"}},
		{"its part is well now, but a log alone told of it", []health.Fault{with(func(f *health.Fault) { f.Rule = "log:failed" })}, ok, []string{"unwatched"}},
		{"it was found anew and stands", []health.Fault{fault, with(func(f *health.Fault) {
			f.ID, f.State, f.Opened, f.Cleared = "f2", health.Asserted, h(100), time.Time{}
		})}, bad, []string{"observed", "critical_open"}},
		{"it was found anew and cleared", []health.Fault{fault, with(func(f *health.Fault) { f.ID, f.State, f.Opened, f.Cleared = "f2", health.Cleared, h(100), h(101) })}, ok, []string{"observed", "observed"}},
		{"it had cleared before", []health.Fault{with(func(f *health.Fault) { f.State = health.Cleared })}, unread, []string{"observed"}},
		{"it was so before the incident", []health.Fault{with(func(f *health.Fault) { f.Opened = h(-9) })}, unread, []string{"observed"}},
		{"a leak, however old", []health.Fault{with(func(f *health.Fault) { f.Kind, f.Opened = health.KindLeakDetected, h(-9) })}, unread, []string{"unwatched"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &history{baseFrom: t0, base: h(baseline), until: h(end), faults: c.faults}
			for i := range end {
				f := &health.HourFacts{At: h(float64(i)), Whole: true, Parts: []health.HourPart{ok}}
				switch {
				case i >= 100:
					f.Parts = []health.HourPart{c.after}
				case i >= lost:
					f.Parts = nil
				case i >= 85:
					f.Parts = []health.HourPart{bad}
				}
				s.hours = append(s.hours, f)
			}
			var rs reasons
			s.judgeFaults(&rs, &Request{}, s.base)
			var got []string
			for _, r := range rs.list {
				got = append(got, r.Gate)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Without a baseline a part that was met and is gone is gone all the same, and so is one that says nothing any more.
func TestPartsThatAreGone(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	hour := func(n int, p health.HourPart) *health.HourFacts {
		p.Component, p.Class = "memory/1", health.ClassMemory
		return &health.HourFacts{At: t0.Add(time.Duration(n) * time.Hour), Whole: true, Parts: []health.HourPart{p}}
	}
	known := map[health.ComponentID]health.KnownComponent{"memory/1": {Component: health.Component{ID: "memory/1", Class: health.ClassMemory, Name: "DIMM 1"}}}
	removed := []health.Fault{{ID: "f1", Component: "memory/1", Kind: health.KindAbsentRemoved, Severity: health.SeverityCritical, State: health.Asserted, Opened: t0.Add(3 * time.Hour)}}
	for _, c := range []struct {
		name   string
		known  bool // what was there before
		before []*health.HourFacts
		after  []*health.HourFacts
		faults []health.Fault
		want   []string
	}{
		{"removed, without a baseline", false, nil, []*health.HourFacts{hour(2, health.HourPart{OK: 12}), hour(3, health.HourPart{Absent: 12})}, removed, []string{"part_missing"}},
		{"removed, with one", true, []*health.HourFacts{hour(0, health.HourPart{OK: 12})}, []*health.HourFacts{hour(3, health.HourPart{Absent: 12})}, removed, []string{"part_missing"}},
		{"there, without a baseline", false, nil, []*health.HourFacts{hour(2, health.HourPart{OK: 12})}, nil, nil},
		{"well before, and says nothing now", true, []*health.HourFacts{hour(0, health.HourPart{OK: 12})}, []*health.HourFacts{hour(3, health.HourPart{Unknown: 12})}, nil, []string{"expected"}},
		{"ill before, and says nothing now", true, []*health.HourFacts{hour(0, health.HourPart{Warning: 12})}, []*health.HourFacts{hour(3, health.HourPart{Unknown: 12})}, nil, []string{"expected"}},
		{"said nothing before", true, []*health.HourFacts{hour(0, health.HourPart{Unknown: 12})}, []*health.HourFacts{hour(3, health.HourPart{Unknown: 12})}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &history{known: c.known, now: known, faults: c.faults}
			if c.known {
				h.before = known
			}
			var rs reasons
			h.judgeParts(&rs, &Request{}, h.parts(c.before, c.after, t0))
			var got []string
			for _, r := range rs.list {
				got = append(got, r.Gate)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A critical fault or a leak in the soak makes it begin anew, unless somebody explains that very one, of that server.
func TestWhatAnExplanationExplains(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	h := func(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Hour))) }
	const water, end = 60, 140
	for _, c := range []struct {
		name      string
		attested  []Attestation
		restarted float64 // 0: not
	}{
		{"nobody explains it", nil, 101},
		{"its event is explained", []Attestation{{What: "explanation", Event: "e1e1e1e1e1"}}, 0},
		{"by the beginning of its ID", []Attestation{{What: "explanation", Event: "e1e1e1"}}, 0},
		{"its fault is", []Attestation{{What: "explanation", Event: "f1f1f1f1"}}, 0},
		{"of this server", []Attestation{{What: "explanation", Event: "e1e1e1", Targets: []health.TargetID{"a"}}}, 0},
		{"of another server", []Attestation{{What: "explanation", Event: "e1e1e1", Targets: []health.TargetID{"b"}}}, 101},
		{"by too little of its ID", []Attestation{{What: "explanation", Event: "e1e1e"}}, 101},
		{"another event is", []Attestation{{What: "explanation", Event: "e2e2e2e2"}}, 101},
		{"something else is attested of it", []Attestation{{What: "inspection", Event: "e1e1e1"}}, 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &history{
				target: health.Target{ID: "a"}, baseFrom: t0, base: h(30), until: h(end),
				events: []health.Event{{ID: "e1e1e1e1e1", FaultID: "f1f1f1f1f1", At: h(99.5), Kind: health.KindFailed, Severity: health.SeverityCritical, Transition: health.Asserted}},
				faults: []health.Fault{{ID: "f1f1f1f1f1", Kind: health.KindFailed, Severity: health.SeverityCritical, State: health.Cleared, Opened: h(99.5), Cleared: h(100.5)}},
			}
			for i := range end {
				s.hours = append(s.hours, &health.HourFacts{
					At: h(float64(i)), Whole: true, Power: health.PowerCount{On: 12}, Ticks: []health.TickCount{{Tier: health.TierReadings, Done: 12}},
				})
			}
			w, _ := s.windows(&Request{Incident: h(water), Soak: 72 * time.Hour, Attestations: c.attested}, h(water))
			counted := end - c.restarted
			if c.restarted == 0 {
				counted = end - water
			}
			if got := w.Restarted; got.IsZero() != (c.restarted == 0) || !got.IsZero() && !got.Equal(h(c.restarted)) || w.SoakCounted != counted {
				t.Errorf("it begins anew at %v, %v hours are counted; want %v, %v", got, w.SoakCounted, c.restarted, counted)
			}
		})
	}
}

// A machine that says as a whole that it is not well, and does not say why, is not one to be verified.
func TestAMachineThatIsNotWellAndDoesNotSayWhy(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	h := func(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Hour))) }
	const baseline, end = 60, 120
	system := health.Fault{ID: "f1f1f1f1", Component: "system", Class: health.ClassSystem, Kind: health.KindDegraded, Severity: health.SeverityWarning, State: health.Asserted, Opened: h(100.5)}
	fan := health.Fault{ID: "f2f2f2f2", Component: "fan/1", Class: health.ClassFan, Kind: health.KindDegraded, Severity: health.SeverityWarning, State: health.Asserted, Opened: h(100.5)}
	at := func(f health.Fault, opened float64) health.Fault { f.Opened = h(opened); return f }
	gone := func(f health.Fault) health.Fault { f.State, f.Cleared = health.Cleared, h(101); return f }
	for _, c := range []struct {
		name   string
		faults []health.Fault
		read   int // the hour in which the slow parts were read last
		attest []Attestation
		want   []string
	}{
		{"no part says why", []health.Fault{system}, 110, nil, []string{"unexplained"}},
		{"a part says why", []health.Fault{system, fan}, 110, nil, []string{"observed", "observed"}},
		{"a part says why, and the slow ones were not read since", []health.Fault{system, fan}, 100, nil, []string{"unexplained", "observed"}},
		{"a part said why, and is well again", []health.Fault{system, gone(fan)}, 110, nil, []string{"unexplained", "observed"}},
		{"a part was ill before already", []health.Fault{system, at(fan, 5)}, 110, nil, []string{"unexplained", "observed"}},
		{"it was so before", []health.Fault{at(system, 5)}, 110, nil, []string{"observed"}},
		{"it is well again", []health.Fault{gone(system)}, 110, nil, []string{"observed"}},
		{"somebody explains it", []health.Fault{system}, 110, []Attestation{{What: "explanation", Event: "f1f1f1"}}, []string{"observed"}},
		{"a part alone is ill", []health.Fault{fan}, 110, nil, []string{"observed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &history{baseFrom: t0, base: h(baseline), until: h(end), faults: c.faults}
			for i := range end {
				f := &health.HourFacts{At: h(float64(i)), Whole: true}
				if i%10 == 0 && i <= c.read {
					f.Ticks = []health.TickCount{{Tier: health.TierHealth, Done: 1}}
				}
				s.hours = append(s.hours, f)
			}
			var rs reasons
			s.judgeFaults(&rs, &Request{Attestations: c.attest}, s.base)
			var got []string
			for _, r := range rs.list {
				got = append(got, r.Gate)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

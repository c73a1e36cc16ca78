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
			s.judgeFaults(&rs, s.base)
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

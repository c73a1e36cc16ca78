package verification

import (
	"testing"
	"time"

	"dewline/health"
)

// A detector stands for its neighbours while it works and reports no liquid: one that is wet all the time, or may be broken where only its
// vendor knows, cannot tell of more.
func TestADetectorThatStandsForItsNeighbours(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const hours = 40
	for _, c := range []struct {
		name             string
		hour             health.HourPart // of each hour from the tenth on
		working, verdict bool            // verdict: its neighbour's is not bounded
	}{
		{"it reports no liquid", health.HourPart{OK: 12}, true, true},
		{"it reports liquid", health.HourPart{Critical: 12}, true, false},
		{"it reports what may be liquid or its own fault", health.HourPart{Warning: 12}, true, false},
		{"it is not read", health.HourPart{Unread: 12}, false, false},
		{"it cannot tell", health.HourPart{Unknown: 12}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &history{baseFrom: t0, base: t0, until: t0.Add(hours * time.Hour)}
			for i := range hours {
				p := health.HourPart{OK: 12}
				if i >= 10 {
					p = c.hour
				}
				p.Component, p.Class = "leak/1", health.ClassLeakDetector
				h.hours = append(h.hours, &health.HourFacts{
					At: t0.Add(time.Duration(i) * time.Hour), Whole: true, Parts: []health.HourPart{p}, Ticks: []health.TickCount{{Tier: health.TierReadings, Done: 12}},
				})
			}
			ds := h.detectors(t0, t0.Add(10*time.Hour), h.until)
			if len(ds) != 1 || ds[0].Working != c.working {
				t.Fatalf("%+v", ds)
			}
			out := &Report{Servers: []Server{{Target: "wet", Rack: "A1", Detectors: ds}, {Target: "neighbour", Rack: "A1"}, {Target: "elsewhere", Rack: "B1"}}}
			out.conclude(&Request{})
			for i, bounded := range []bool{!c.verdict, !c.verdict, true} {
				if got := len(out.Servers[i].Reasons) == 1 && out.Servers[i].Reasons[0].Gate == "no_detector"; got != bounded {
					t.Errorf("%s: %+v", out.Servers[i].Target, out.Servers[i].Reasons)
				}
			}
		})
	}
}

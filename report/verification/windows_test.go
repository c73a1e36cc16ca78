package verification

import (
	"testing"
	"time"

	"dewline/health"
)

// An hour of rollups tells no host power: it is neither an outage nor soak. One in which nothing answered is an outage whatever it is made of.
func TestHoursThatDoNotTellHostPower(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	draw := []health.HourSeries{{Component: "psu/1", Quantity: health.InputPower, Unit: health.Watt, N: 12, Min: 300, Max: 310, Median: 305}}
	read := []health.TickCount{{Tier: health.TierReadings, Done: 12}}
	failed := []health.TickCount{{Tier: health.TierReadings, Failed: 12}}
	visits := health.HourFacts{Whole: true, Ticks: read, Series: draw, Power: health.PowerCount{On: 12}}
	rollup := health.HourFacts{Source: health.HourOfRollups, Ticks: read, Series: draw}
	influx := health.HourFacts{Source: health.HourOfInflux, Whole: true, Ticks: read, Series: draw, Power: health.PowerCount{On: 12}}
	before := health.HourFacts{Source: health.HourOfInflux, Whole: true, Ticks: read, Series: draw, Power: health.PowerCount{Unknown: 12}}
	for _, c := range []struct {
		name             string
		first            health.HourFacts // after the evidence; the other hours are of visits
		outage           bool
		counted, unknown float64
	}{
		{"visits with the host on", visits, false, 5, 0},
		{"visits with the host off", health.HourFacts{Whole: true, Ticks: read, Power: health.PowerCount{Off: 12}}, true, 4, 0},
		{"a rollup", rollup, false, 4, 1},
		{"a rollup in which nothing answered", health.HourFacts{Source: health.HourOfRollups, Ticks: failed}, true, 4, 0},
		{"InfluxDB with the host on", influx, false, 5, 0},
		{"InfluxDB, written before it told host power", before, false, 4, 1},
		{"rollup and InfluxDB", health.HourFacts{Source: health.HourOfBoth, Whole: true, Ticks: read, Series: draw, Power: health.PowerCount{On: 12}}, false, 5, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &history{baseFrom: t0, base: t0.Add(60 * time.Hour), until: t0.Add(65 * time.Hour)}
			for i := range 65 {
				f := visits
				switch {
				case i < 60 && i%2 == 0: // a baseline of both kinds
					f = rollup
				case i == 60:
					f = c.first
				}
				f.At = t0.Add(time.Duration(i) * time.Hour)
				h.hours = append(h.hours, &f)
			}
			evidence := t0.Add(60 * time.Hour)
			w, _ := h.windows(&Request{Incident: evidence, Soak: 72 * time.Hour}, evidence)
			if w.PowerMedian == nil || *w.PowerMedian != 305 {
				t.Errorf("the baseline of rollups has no power: %v", w.PowerMedian)
			}
			if got := !w.OutageFrom.IsZero(); got != c.outage || w.SoakCounted != c.counted || w.SoakUnknown != c.unknown {
				t.Errorf("outage %t, counted %v, unknown %v; want %t, %v, %v", got, w.SoakCounted, w.SoakUnknown, c.outage, c.counted, c.unknown)
			}
		})
	}
}

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

// The outage is the one in which the host was seen off; a BMC that was silent before it had lost its network. If the host was never seen off,
// the silence may be the power that was taken away.
func TestWhichOutageIsTheOutage(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	read, failed := []health.TickCount{{Tier: health.TierReadings, Done: 12}}, []health.TickCount{{Tier: health.TierReadings, Failed: 12}}
	hours := map[byte]health.HourFacts{
		'+': {Whole: true, Ticks: read, Power: health.PowerCount{On: 12}}, '-': {Whole: true, Ticks: read, Power: health.PowerCount{Off: 12}},
		'/': {Whole: true, Ticks: read, Power: health.PowerCount{On: 6, Off: 6}}, '?': {Whole: true, Ticks: failed},
	}
	for _, c := range []struct {
		name, hours    string // since the evidence; a blank is an hour in which dewline did not run
		from, to, soak int    // hours; -1: none
	}{
		{"never off", "++++++", -1, -1, 0},
		{"off", "+/-/++", 1, 4, 4},
		{"off, and still off", "+/---", 1, -1, -1},
		{"silent", "+??+++", 1, 3, 3},
		{"silent while dewline did not run for an hour", "+? ?++", 1, 4, 4},
		{"dewline did not run", "+  +++", -1, -1, 0},
		{"silent, then off", "+??++--++", 5, 7, 7},
		{"silent and off at a stretch", "+??--+++", 1, 5, 5},
		{"silent, and later silent again", "+?++??++", 1, 2, 2},
		{"off, and later off again", "+--+++-++", 1, 3, 3},
		{"off, and later silent", "+--+++??+", 1, 3, 3},
		{"silent, on, and silent at the end", "+??+??", 1, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := func(n int) time.Time {
				if n < 0 {
					return time.Time{}
				}
				return t0.Add(time.Duration(n) * time.Hour)
			}
			h := &history{baseFrom: t0, base: t0, until: at(len(c.hours))}
			for i := range len(c.hours) {
				if f, ok := hours[c.hours[i]]; ok {
					f.At = at(i)
					h.hours = append(h.hours, &f)
				}
			}
			w, _ := h.windows(&Request{Incident: t0, Soak: time.Hour}, t0)
			if !w.OutageFrom.Equal(at(c.from)) || !w.OutageTo.Equal(at(c.to)) || !w.SoakFrom.Equal(at(c.soak)) {
				t.Errorf("outage %v to %v, soak from %v", w.OutageFrom, w.OutageTo, w.SoakFrom)
			}
		})
	}
}

package health

import (
	"testing"
	"time"
)

func TestHoursReadAsAWhole(t *testing.T) {
	at := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	moved, stood, once := HourSeries{N: 12, Min: 1, Max: 2}, HourSeries{N: 12, Min: 3, Max: 3}, HourSeries{N: 1, Min: 4, Max: 4}
	skew, derived := HourSeries{Quantity: ClockSkew, N: 4, Min: 0, Max: 1}, HourSeries{Derived: true, N: 4, Min: 0, Max: 1}
	for _, c := range []struct {
		name   string
		series []HourSeries
		still  bool
	}{
		{"one moved", []HourSeries{stood, moved}, false},
		{"none moved", []HourSeries{stood, once}, true},
		{"what is computed and clocks do not count", []HourSeries{stood, skew, derived}, true},
		{"each was read once: nothing is known", []HourSeries{once, once}, false},
		{"nothing was read", nil, false},
	} {
		f := &HourFacts{At: at, Series: c.series}
		f.ReadAsAWhole()
		if got := len(f.Still) == 1 && f.Still[0].To.Sub(f.Still[0].From) == time.Hour-1; got != c.still || f.FirstAt.IsZero() != (len(c.series) == 0) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

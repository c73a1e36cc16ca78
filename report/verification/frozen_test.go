package verification

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"dewline/health"
)

// TestWhatStandsStill: visits every 20 minutes, of which some repeat the one before ("=") and some are not answered (".").
func TestWhatStandsStill(t *testing.T) {
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		visits string // of whole hours
		frozen []int  // hours
	}{
		{"values that move", "mmm mmm mmm", nil},
		{"two visits alike", "mmm m=m mmm", nil},
		{"an hour alike", "mmm m== =mm mmm", []int{1, 2}},
		{"alike before a silence: for how long, nobody knows", "mmm m== ... ..m mmm", []int{1}},
		{"alike after a silence", "mmm ... ..m =mm mmm", []int{2, 3}},
		{"alike where a silence is shorter", "mmm mm= .mm mmm", nil},
		{"alike, and nothing since", "mmm m== ... ...", []int{1}},
		{"moving before and after a silence", "mmm mmm ... ... mmm", nil},
		{"alike on both sides of a silence, and the same", "mmm mm= ... ..= mmm", []int{1, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var hours []*health.HourFacts
			value, at := 0.0, begin
			var f *health.HourFacts
			varying := map[seriesKey]bool{}
			for i, r := range slices.DeleteFunc([]rune(c.visits), func(r rune) bool { return r == ' ' }) {
				if i%3 == 0 {
					f = &health.HourFacts{At: at, Whole: true}
					hours = append(hours, f)
				}
				if r == 'm' {
					value++
				}
				if r != '.' {
					f.Power.On++
					f.Read(at, r == 'm')
					for k := range minVarying {
						if len(f.Series) <= k {
							s := health.HourSeries{First: value, Min: value, Max: value}
							s.Component, s.Quantity, s.Unit = health.ComponentID(fmt.Sprint("temperature/", k)), health.Temperature, health.Celsius
							f.Series = append(f.Series, s)
							varying[keyOf(&f.Series[k])] = true
						}
						s := &f.Series[k]
						s.N, s.Last, s.Max = s.N+1, value, max(s.Max, value)
					}
				}
				at = at.Add(20 * time.Minute)
			}
			var got []int
			for at := range frozenHours(hours, varying) {
				got = append(got, int(at.Sub(begin)/time.Hour))
			}
			if slices.Sort(got); !slices.Equal(got, c.frozen) {
				t.Errorf("%s: hours %v stand still, want %v", c.visits, got, c.frozen)
			}
		})
	}
}

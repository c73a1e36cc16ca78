package sqlite

import (
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"dewline/health"
)

// TestDaysOfAnyState: hours that are packed alone, together, again with late visits, or not yet read as in the plain way.
func TestDaysOfAnyState(t *testing.T) {
	var several, open, plain, n int
	most := 3 // a check makes a store
	if os.Getenv("DEWLINE_LONG") != "" {
		most = 100
	}
	midnight := start.Truncate(24 * time.Hour)
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n > most {
			return
		}
		db := openIn(t, t.TempDir(), Options{CommitEvery: time.Millisecond, CommitMax: 1 << 10})
		defer db.Close()
		series := func(k int) health.SeriesID {
			return health.SeriesID{Component: health.ComponentID(fmt.Sprint("psu/", k)), Quantity: health.InputPower, Unit: health.Watt}
		}
		want := []health.DayQuery{
			{Target: "a", Aligned: []health.SeriesID{series(0), series(3), series(5)}, Daily: []health.SeriesID{series(1), series(0), series(4)}},
			{Target: "b", Aligned: []health.SeriesID{series(2)}, Daily: []health.SeriesID{series(2), series(3)}},
		}
		from := midnight.Add(time.Duration(rapid.IntRange(0, 30).Draw(rt, "from")) * rollupSpan)
		until := midnight.Add(48*time.Hour - time.Duration(rapid.IntRange(0, 30).Draw(rt, "until"))*rollupSpan)
		at := midnight
		const visit, compact, merge, late = 0, 1, 2, 3
		acts := append([]int{visit, visit}, rapid.SliceOfN(rapid.IntRange(visit, late), 0, 6).Draw(rt, "acts")...)
		for _, act := range append(acts, compact, late, merge, compact) {
			switch act {
			case compact:
				if err := db.CompactBefore(t.Context(), at.Truncate(time.Hour).Add(time.Hour)); err != nil {
					rt.Fatal(err)
				}
			case merge:
				if err := db.MergeDaysBefore(t.Context(), at); err != nil {
					rt.Fatal(err)
				}
			default:
				begin := at
				if act == late {
					begin = midnight.Add(time.Duration(rapid.IntRange(0, max(1, int(at.Sub(midnight)/time.Minute))).Draw(rt, "when")) * time.Minute)
				}
				derived := rapid.IntRange(0, 9).Draw(rt, "derived") == 0
				var visits []*health.Visit
				for k := range rapid.IntRange(20, 40).Draw(rt, "visits") {
					values := map[health.SeriesID]float64{}
					for i := range rapid.IntRange(1, 6).Draw(rt, "series") {
						values[series(i)] = float64(rapid.IntRange(-20, 300).Draw(rt, "value")) / float64(1+2*(i%2))
					}
					begin = begin.Add(time.Duration(rapid.IntRange(1, 25).Draw(rt, "minutes")) * time.Minute)
					visits = append(visits, dayVisit([]health.TargetID{"a", "b"}[k%2], begin, values, derived))
				}
				record(t, db, visits...)
				if begin.After(at) {
					at = begin
				}
			}
			got := map[string]*health.DayFacts{}
			if err := db.Days(t.Context(), from, until, want, func(f *health.DayFacts) error {
				x := *f
				x.Aligned, x.Daily, x.Ticks = nil, nil, append([]health.TickCount(nil), f.Ticks...)
				for _, a := range f.Aligned {
					x.Aligned = append(x.Aligned, append([]float64(nil), a...))
				}
				for _, d := range f.Daily {
					d.Hist = append(health.Histogram(nil), d.Hist...)
					x.Daily = append(x.Daily, d)
				}
				got[fmt.Sprint(f.Target, f.Day)] = &x
				return nil
			}); err != nil {
				rt.Fatal(err)
			}
			for day := midnight; day.Before(until); day = day.Add(24 * time.Hour) {
				l := dayLoad{day: day}
				for i := range want {
					number, err := targetNumber(t.Context(), db.read, want[i].Target)
					if err != nil {
						rt.Fatal(err)
					}
					l.reads = append(l.reads, dayReader{query: &want[i], number: number, from: from, until: until})
				}
				if err := db.load(t.Context(), &l); err != nil {
					rt.Fatal(err)
				}
				for i := range l.reads {
					switch p := l.packed[i]; {
					case p.plain:
						plain++
					case len(p.open) > 0:
						open++
					case len(p.parts) > 1:
						several++
					}
					whole, err := l.reads[i].read(t.Context(), db, day)
					if err != nil {
						rt.Fatal(err)
					}
					same := cmp.Comparer(func(a, b float64) bool { return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9 })
					if diff := cmp.Diff(whole, got[fmt.Sprint(want[i].Target, day)], same, cmpopts.EquateEmpty()); diff != "" {
						rt.Fatalf("%s of %s (-plain +read by the day):\n%s", day, want[i].Target, diff)
					}
				}
			}
		}
	})
	if several == 0 || open == 0 || plain == 0 {
		t.Errorf("%d days of several parts, %d with visits that are not packed, %d read in the plain way", several, open, plain)
	}
	t.Logf("%d days of several parts, %d with visits that are not packed, %d read in the plain way", several, open, plain)
}

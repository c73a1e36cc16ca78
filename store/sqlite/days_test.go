package sqlite

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
)

// dayVisit is a visit that read the given values.
func dayVisit(id health.TargetID, at time.Time, values map[health.SeriesID]float64, derived bool) *health.Visit {
	v := &health.Visit{
		Target: id, Due: map[health.Tier]time.Time{health.TierReadings: at}, Started: at, Took: time.Second, Result: health.Done,
		Snapshot: &health.Snapshot{Target: id, Driver: health.DriverRedfish, At: at, Took: time.Second, Tiers: health.TiersOf(health.TierReadings), HostPower: health.HostOn},
	}
	for s, x := range values {
		v.Snapshot.Components = append(v.Snapshot.Components, health.Component{ID: s.Component, Class: health.ClassPSU, State: health.OK, Presence: health.Present})
		v.Snapshot.Readings = append(v.Snapshot.Readings, health.Reading{Component: s.Component, Quantity: s.Quantity, Unit: s.Unit, Value: x, Derived: derived})
	}
	v.ID = health.VisitID(v)
	return v
}

func TestDays(t *testing.T) {
	power := health.SeriesID{Component: "psu/1", Quantity: health.InputPower, Unit: health.Watt}
	other := health.SeriesID{Component: "psu/2", Quantity: health.InputPower, Unit: health.Watt}
	midnight := start.Truncate(24 * time.Hour)
	from, until := midnight.Add(6*time.Hour), midnight.Add(54*time.Hour)
	for _, compacted := range []bool{false, true} {
		name := "of visits that are not compacted"
		if compacted {
			name = "of days that are compacted and merged"
		}
		t.Run(name, func(t *testing.T) {
			db := openIn(t, t.TempDir(), Options{})
			type sample struct {
				at time.Time
				v  float64
			}
			var visits []*health.Visit
			read := map[health.TargetID][]sample{}
			for i, id := range []health.TargetID{"a", "b"} {
				for k := range 54 * 12 {
					at := midnight.Add(time.Duration(k) * 5 * time.Minute).Add(time.Duration(i+1) * time.Second)
					if k%7 == 3 || k >= 200 && k < 320 && i == 1 {
						continue
					}
					for n := range 1 + k%2 {
						s := sample{at.Add(time.Duration(n) * time.Minute), 100 + float64(k%50)*1.5 + float64(n)}
						read[id] = append(read[id], s)
						visits = append(visits, dayVisit(id, s.at, map[health.SeriesID]float64{power: s.v}, k > 400))
					}
				}
			}
			for some := range slices.Chunk(visits, 200) {
				record(t, db, some...)
			}
			if compacted {
				for _, err := range []error{db.CompactBefore(t.Context(), until), db.MergeDaysBefore(t.Context(), until)} {
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			want := []health.DayQuery{
				{Target: "b", Aligned: []health.SeriesID{other, power}, Daily: []health.SeriesID{power}},
				{Target: "nobody", Aligned: []health.SeriesID{power}},
				{Target: "a", Daily: []health.SeriesID{other, power}},
			}
			type call struct {
				id  health.TargetID
				day time.Time
			}
			var calls []call
			if err := db.Days(t.Context(), from, until, want, func(f *health.DayFacts) error {
				calls = append(calls, call{f.Target, f.Day})
				sums, counts := make([]float64, health.StepsPerDay), make([]int, health.StepsPerDay)
				var values []float64
				for _, s := range read[f.Target] {
					if !s.at.Before(from) && s.at.Before(until) && s.at.Truncate(24*time.Hour).Equal(f.Day) {
						k := int(s.at.Sub(f.Day) / health.AlignStep)
						sums[k], counts[k], values = sums[k]+s.v, counts[k]+1, append(values, s.v)
					}
				}
				if f.Target == "b" {
					if f.Aligned[0] != nil {
						t.Errorf("%s has values of a series that was never read", f.Day)
					}
					for k, n := range counts {
						got := math.NaN()
						if f.Aligned[1] != nil {
							got = f.Aligned[1][k]
						}
						if n == 0 != math.IsNaN(got) || n > 0 && math.Abs(got-sums[k]/float64(n)) > 1e-9 {
							t.Fatalf("%s step %d: %v, want the mean of %d values that sum up to %v", f.Day, k, got, n, sums[k])
						}
					}
				}
				d := f.Daily[len(f.Daily)-1]
				steps := len(counts) - len(slices.DeleteFunc(slices.Clone(counts), func(n int) bool { return n > 0 }))
				if int(d.N) != len(values) || d.Steps != steps {
					t.Fatalf("%s: %d values in %d steps, want %d in %d", f.Day, d.N, d.Steps, len(values), steps)
				}
				if len(values) > 0 {
					if d.Min != slices.Min(values) || d.Max != slices.Max(values) || d.Last != values[len(values)-1] || d.Unit != health.Watt {
						t.Errorf("%s: %+v", f.Day, d.Rollup)
					}
					if diff := cmp.Diff(health.HistogramOf(values), d.Hist); diff != "" {
						t.Errorf("%s: histogram (-want +got):\n%s", f.Day, diff)
					}
				}
				due := 0
				for _, s := range read[f.Target] {
					if h := s.at.Truncate(time.Hour); !h.Before(from) && h.Before(until) && s.at.Truncate(24*time.Hour).Equal(f.Day) {
						due++
					}
				}
				if len(f.Ticks) != 1 || f.Ticks[0].Done != due {
					t.Errorf("%s: ticks %+v, want %d done", f.Day, f.Ticks, due)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			d := func(n int) time.Time { return midnight.Add(time.Duration(n) * 24 * time.Hour) }
			if diff := cmp.Diff([]call{{"b", d(0)}, {"a", d(0)}, {"b", d(1)}, {"a", d(1)}, {"b", d(2)}, {"a", d(2)}}, calls, cmp.AllowUnexported(call{})); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

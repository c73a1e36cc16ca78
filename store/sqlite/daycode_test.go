package sqlite

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"dewline/health"
)

// drawRolled makes a day's rollup: series of whole numbers, decimals, values with all digits and wide ones, read once or several times in five minutes.
func drawRolled(t *rapid.T) *rolled {
	r := &rolled{hours: 1<<hoursPerDay - 1}
	for id := range rapid.IntRange(0, 6).Draw(t, "series") {
		kind := rapid.IntRange(0, 4).Draw(t, "kind")
		most := rapid.SampledFrom([]int{1, 2, 5}).Draw(t, "values in a bucket")
		value := func() float64 {
			x := rapid.IntRange(-300, 4000).Draw(t, "value")
			switch kind {
			case 0:
				return float64(x)
			case 1:
				return float64(x) / 100
			case 2:
				return float64(x) / 7
			case 3:
				return float64(x) * 1e9
			}
			return 12.5
		}
		s := rolledSeries{id: uint32(2 * id)}
		hours := map[int][]float64{}
		for at := 0; at < bucketsPerDay; at += rapid.SampledFrom([]int{1, 3, 40}).Draw(t, "step") {
			var v []float64
			for range rapid.IntRange(1, most).Draw(t, "n") {
				v = append(v, value())
			}
			s.buckets = append(s.buckets, bucketOf(at, v))
			hours[at/bucketsPerHour] = append(hours[at/bucketsPerHour], v...)
		}
		for h := range hoursPerDay {
			if v := hours[h]; len(v) > 0 {
				slices.Sort(v)
				s.medians = append(s.medians, median{h, v[(len(v)-1)/2]})
			}
		}
		r.series = append(r.series, s)
	}
	for h := range rapid.IntRange(0, hoursPerDay).Draw(t, "hours with ticks") {
		for tier := range tierCount {
			x := rolledTicks{hour: h, tier: tier}
			x.counts[rapid.IntRange(0, 3).Draw(t, "result")] = uint32(rapid.IntRange(0, 60).Draw(t, "ticks"))
			r.ticks = append(r.ticks, x)
		}
	}
	return r
}

// TestADayIsDecodedAsInThePlainWay: what a review reads is decoded without the steps between, and must be the same.
func TestADayIsDecodedAsInThePlainWay(t *testing.T) {
	var w dayWorker
	var slot daySlot // as it is used: again and again
	rapid.Check(t, func(t *rapid.T) {
		day := start.Truncate(24 * time.Hour)
		roll := drawRolled(t)
		q := &health.DayQuery{Target: "t"}
		r := &dayReader{query: q, number: 1, learned: true, series: 100, from: day.Add(-time.Hour), until: day.Add(48 * time.Hour)}
		if rapid.Bool().Draw(t, "part of the day") {
			r.from = day.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "from")) * rollupSpan)
			r.until = r.from.Add(time.Duration(rapid.IntRange(1, 88).Draw(t, "steps")) * rollupSpan)
		}
		for i, s := range roll.series {
			if i%3 != 2 { // aligned and daily
				r.places = append(r.places, dayPlace{s.id, uint32(len(q.Aligned))})
				q.Aligned = append(q.Aligned, health.SeriesID{Quantity: health.Power})
			}
		}
		for i, s := range roll.series {
			if i%4 != 3 {
				r.places = append(r.places, dayPlace{s.id, uint32(len(q.Aligned) + len(q.Daily))})
				q.Daily = append(q.Daily, health.SeriesID{Unit: health.Watt})
			}
		}
		slices.SortFunc(r.places, func(a, b dayPlace) int { return int(a.series)<<8 + int(a.at) - int(b.series)<<8 - int(b.at) })
		data := encodeRollup(roll)
		plain, err := decodeRollup(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		from, until := day, day.Add(24*time.Hour)
		if r.from.After(from) {
			from = r.from
		}
		if r.until.Before(until) {
			until = r.until
		}
		want := r.facts(plain, day, from, until)
		slot.begin(q, day)
		ok, err := r.unpackDay(day, 1, data, &slot, &w)
		slot.end()
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		same := cmp.Comparer(func(a, b float64) bool {
			return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*max(math.Abs(a), math.Abs(b), float64(bucketsPerDay)*4000)
		})
		if diff := cmp.Diff(want, &slot.facts, same, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-plain +fast):\n%s", diff)
		}
		// Bytes that are cut short or changed are refused, or decode to something: they never end the program.
		bad := slices.Clone(data)
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		_, _ = r.unpackDay(day, 1, bad, &slot, &w)
		if open, err := unpack(data); err == nil && len(open) > 0 { // as if the checksum were right
			open = slices.Clone(open)
			open[rapid.IntRange(0, len(open)-1).Draw(t, "plain byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "plain by"))
			_, _ = r.unpackDay(day, 1, pack(open, false), &slot, &w)
		}
	})
}

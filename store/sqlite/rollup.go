package sqlite

import (
	"cmp"
	"math"
	"slices"

	"dewline/health"
)

const (
	// rollupSpan is the length of a bucket.
	rollupSpan     = 5 * 60 * 1_000_000_000 // nanoseconds
	bucketsPerHour = int(hour / rollupSpan)
	hoursPerDay    = 24
	bucketsPerDay  = hoursPerDay * bucketsPerHour
)

// rolled is what is left of some hours of one target and day when their visits are gone.
type rolled struct {
	hours  uint32 // bit h: hour h of the day is in it
	series []rolledSeries
	ticks  []rolledTicks // in order of hour and tier
	skips  []rolledSkip  // in order of hour
}

type rolledSeries struct {
	id      uint32
	buckets []bucket // in order
	medians []median // in order
}

// bucket is one series in five minutes of a day: bucket 0 begins at midnight UTC.
type bucket struct {
	at                  int
	n                   uint32
	min, max, sum, last float64
	hist                health.Histogram
}

// median is the lower median of a series in an hour of the day: a value that was read.
type median struct {
	hour  int
	value float64
}

// rolledTicks accounts for a tier's answered ticks in an hour.
type rolledTicks struct {
	hour, tier int
	counts     [4]uint32 // done, late, failed, missed
	minutes    uint64    // bit m: a visit that was read answered a tick due, or begun, in minute m
	failed     uint64    // bit m: one failed or was missed
	reasons    []reasonCount
}

type reasonCount struct {
	reason health.Reason
	n      uint32
}

// rolledSkip is a run of ticks that were not tried, told by a visit of the hour.
type rolledSkip struct {
	hour int
	health.TickRange
}

// dayOf is the day, counted from 1970, of an hour, and which of its hours it is.
func dayOf(h int64) (day int64, hourOfDay int) {
	day = h / hoursPerDay
	if h%hoursPerDay < 0 {
		day--
	}
	return day, int(h - day*hoursPerDay)
}

type value struct {
	at int64
	v  float64
}

// rollUp makes the rollup of an hour from all its visits. The same visits make the same rollup, in whatever order they come.
func rollUp(frames []*frame, h int64) *rolled {
	_, of := dayOf(h)
	r := &rolled{hours: 1 << of}
	frames = slices.Clone(frames)
	slices.SortFunc(frames, func(a, b *frame) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
	place := map[uint32]int{}
	var ids []uint32
	var values [][]value
	for _, f := range frames {
		for i, id := range f.shape.series {
			k, ok := place[id]
			if !ok {
				k = len(ids)
				place[id] = k
				ids, values = append(ids, id), append(values, make([]value, 0, len(frames)))
			}
			values[k] = append(values[k], value{f.at, f.values[i]})
		}
		r.tick(f, of)
	}
	r.series = make([]rolledSeries, len(ids))
	var scratch []float64
	for k, id := range ids {
		s := rolledSeries{id: id, buckets: make([]bucket, 0, bucketsPerHour)}
		scratch = scratch[:0]
		for rest := values[k]; len(rest) > 0; {
			at := int((rest[0].at - h*hour) / rollupSpan)
			n := 1
			for n < len(rest) && int((rest[n].at-h*hour)/rollupSpan) == at {
				n++
			}
			from := len(scratch)
			for _, x := range rest[:n] {
				scratch = append(scratch, x.v)
			}
			s.buckets = append(s.buckets, bucketOf(of*bucketsPerHour+at, scratch[from:]))
			rest = rest[n:]
		}
		slices.Sort(scratch)
		s.medians = []median{{of, scratch[(len(scratch)-1)/2]}}
		r.series[k] = s
	}
	r.sort()
	return r
}

// bucketOf makes a bucket of values in order of time.
func bucketOf(at int, v []float64) bucket {
	return bucket{
		at: at, n: uint32(len(v)), min: slices.Min(v), max: slices.Max(v), sum: sumOf(v), last: v[len(v)-1], hist: health.HistogramOf(v),
	}
}

// sumOf adds as decimals where the values are such, so that the sum of 0.1 and 0.2 is 0.3: which is also what packs well.
func sumOf(v []float64) float64 {
	exp := 0
	for _, f := range v {
		_, e, ok := decimal(f)
		if !ok {
			return plainSum(v)
		}
		exp = max(exp, e)
	}
	var m int64
	for _, f := range v {
		s, ok := scaled(f, exp)
		if m += s; !ok || m > 1<<53 || m < -1<<53 {
			return plainSum(v)
		}
	}
	return float64(m) / pow10[exp]
}

func plainSum(v []float64) float64 {
	s := 0.0
	for _, f := range v {
		s = health.FiniteSum(s, f)
	}
	return s
}

// tick accounts for the ticks that a visit answered, and for those it tells were not tried.
func (r *rolled) tick(f *frame, of int) {
	// At: when it began, or was due if it never did. One place for both, so that each tick of an hour's visits is there once.
	minute := f.at / 60_000_000_000 % 60
	if minute < 0 {
		minute += 60
	}
	for _, t := range f.due.List() {
		k := slices.IndexFunc(r.ticks, func(x rolledTicks) bool { return x.hour == of && x.tier == int(t) })
		if k < 0 {
			k = len(r.ticks)
			r.ticks = append(r.ticks, rolledTicks{hour: of, tier: int(t)})
		}
		x := &r.ticks[k]
		c := slices.Index(tickResults[:], f.result)
		if c < 0 {
			c = slices.Index(tickResults[:], health.Failed) // a result this program does not know is not one of success
		}
		x.counts[c]++
		if f.result == health.Done || f.result == health.Late {
			x.minutes |= 1 << minute
			continue
		}
		x.failed |= 1 << minute
		x.add(f.reason, 1)
	}
	for _, s := range f.skip {
		r.skips = append(r.skips, rolledSkip{of, s})
	}
}

var tickResults = [...]health.Result{health.Done, health.Late, health.Failed, health.Missed}

func (t *rolledTicks) add(reason health.Reason, n uint32) {
	k := slices.IndexFunc(t.reasons, func(r reasonCount) bool { return r.reason == reason })
	if k < 0 {
		k = len(t.reasons)
		t.reasons = append(t.reasons, reasonCount{reason: reason})
	}
	t.reasons[k].n += n
}

func (r *rolled) sort() {
	slices.SortFunc(r.series, func(a, b rolledSeries) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(r.ticks, func(a, b rolledTicks) int { return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.tier, b.tier)) })
	for i := range r.ticks {
		slices.SortFunc(r.ticks[i].reasons, func(a, b reasonCount) int { return cmp.Compare(a.reason, b.reason) })
	}
	slices.SortStableFunc(r.skips, func(a, b rolledSkip) int { return cmp.Compare(a.hour, b.hour) })
}

// only is the part of r of the given hours.
func (r *rolled) only(hours uint32) *rolled {
	in := func(h int) bool { return hours>>h&1 != 0 }
	out := &rolled{hours: r.hours & hours}
	for _, s := range r.series {
		k := rolledSeries{id: s.id}
		for _, b := range s.buckets {
			if in(b.at / bucketsPerHour) {
				k.buckets = append(k.buckets, b)
			}
		}
		for _, m := range s.medians {
			if in(m.hour) {
				k.medians = append(k.medians, m)
			}
		}
		if len(k.buckets) > 0 {
			out.series = append(out.series, k)
		}
	}
	for _, t := range r.ticks {
		if in(t.hour) {
			out.ticks = append(out.ticks, t)
		}
	}
	for _, s := range r.skips {
		if in(s.hour) {
			out.skips = append(out.skips, s)
		}
	}
	return out
}

// with is r with the hours of o: they take the place of r's.
func (r *rolled) with(o *rolled) *rolled { return merged([]*rolled{r, o}) }

// merged is the parts in one: of an hour that several have, that of the last one.
func merged(parts []*rolled) *rolled {
	out := &rolled{}
	kept := make([]uint32, len(parts))
	for i, p := range slices.Backward(parts) {
		kept[i] = p.hours &^ out.hours
		out.hours |= p.hours
	}
	at := map[uint32]int{}
	for i, p := range parts {
		if kept[i] != p.hours {
			p = p.only(kept[i])
		}
		for _, s := range p.series {
			k, ok := at[s.id]
			if !ok {
				k = len(out.series)
				at[s.id] = k
				out.series = append(out.series, rolledSeries{id: s.id, buckets: make([]bucket, 0, len(s.buckets)*len(parts))})
			}
			x := &out.series[k]
			x.buckets, x.medians = append(x.buckets, s.buckets...), append(x.medians, s.medians...)
		}
		out.ticks, out.skips = append(out.ticks, p.ticks...), append(out.skips, p.skips...)
	}
	for i := range out.series {
		slices.SortFunc(out.series[i].buckets, func(a, b bucket) int { return cmp.Compare(a.at, b.at) })
		slices.SortFunc(out.series[i].medians, func(a, b median) int { return cmp.Compare(a.hour, b.hour) })
	}
	out.sort()
	return out
}

// plus is r and more visits of its hours, which came when those that r was made of were gone: medians then are those of the
// histograms, and of two last values the one that came first stays.
func (r *rolled) plus(o *rolled) *rolled {
	out := r.only(^uint32(0))
	out.hours |= o.hours
	for _, s := range o.series {
		k := slices.IndexFunc(out.series, func(x rolledSeries) bool { return x.id == s.id })
		if k < 0 {
			out.series = append(out.series, s)
			continue
		}
		out.series[k] = out.series[k].plus(s)
	}
	for _, t := range o.ticks {
		k := slices.IndexFunc(out.ticks, func(x rolledTicks) bool { return x.hour == t.hour && x.tier == t.tier })
		if k < 0 {
			out.ticks = append(out.ticks, t)
			continue
		}
		x := &out.ticks[k]
		for i := range x.counts {
			x.counts[i] += t.counts[i]
		}
		x.minutes |= t.minutes
		x.failed |= t.failed
		x.reasons = slices.Clone(x.reasons)
		for _, c := range t.reasons {
			x.add(c.reason, c.n)
		}
	}
	out.skips = append(out.skips, o.skips...)
	out.sort()
	return out
}

func (s rolledSeries) plus(o rolledSeries) rolledSeries {
	out := rolledSeries{id: s.id, buckets: slices.Clone(s.buckets)}
	for _, b := range o.buckets {
		k := slices.IndexFunc(out.buckets, func(x bucket) bool { return x.at == b.at })
		if k < 0 {
			out.buckets = append(out.buckets, b)
			continue
		}
		x := &out.buckets[k]
		x.n += b.n
		x.min, x.max, x.sum = min(x.min, b.min), max(x.max, b.max), health.FiniteSum(x.sum, b.sum)
		x.hist = x.hist.Merge(b.hist)
	}
	slices.SortFunc(out.buckets, func(a, b bucket) int { return cmp.Compare(a.at, b.at) })
	for _, h := range hoursOf(out.buckets) {
		var all health.Histogram
		low, high := math.Inf(1), math.Inf(-1)
		for _, b := range out.buckets {
			if b.at/bucketsPerHour == h {
				all, low, high = all.Merge(b.hist), min(low, b.min), max(high, b.max)
			}
		}
		m := median{h, min(max(all.Quantile(0.5), low), high)}
		has := func(x median) bool { return x.hour == h }
		if k := slices.IndexFunc(s.medians, has); k >= 0 && !slices.ContainsFunc(o.medians, has) {
			m = s.medians[k]
		}
		out.medians = append(out.medians, m)
	}
	return out
}

func hoursOf(buckets []bucket) (hours []int) {
	for _, b := range buckets {
		if h := b.at / bucketsPerHour; len(hours) == 0 || hours[len(hours)-1] != h {
			hours = append(hours, h)
		}
	}
	return hours
}

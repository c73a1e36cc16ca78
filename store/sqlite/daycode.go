package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"dewline/health"
)

// dayWorker decodes one day at a time, into memory that it uses again: a review of ten thousand servers decodes a million of them.
type dayWorker struct {
	plain   []byte
	ids     []uint32
	sets    []uint32 // the buckets of all pieces, one after the other
	ends    []int    // where a piece ends in sets
	which   []int64  // which of the pieces each series has
	hours   []int64  // which of the pieces of hours
	hoursOf []int    // how many hours such a piece has
	run     []int64
	lists   [5][]int64
	floats  [4][]float64
	counts  []uint32
	low     int32            // the key of counts[0]
	hist    health.Histogram // of a bucket
}

// room is n items of memory that is used again.
func room[T any](v *[]T, n int) []T {
	if cap(*v) < n {
		*v = make([]T, n, n+n/4)
	}
	*v = (*v)[:n]
	return *v
}

// unpackDay decodes a packed day without building what read builds of it. It is false where that is needed: a series that is not in the dictionary
// as it was read, one that was both read and computed.
func (r *dayReader) unpackDay(day time.Time, data []byte, s *daySlot, w *dayWorker) (ok bool, err error) {
	plain, err := w.unpack(data)
	if err != nil {
		return false, err
	}
	d := dayUnpacking{r: r, w: w, s: s, day: day, until: bucketsPerDay}
	if r.from.After(day) {
		d.from = int(r.from.Sub(day) / rollupSpan)
	}
	if end := day.Add(24 * time.Hour); r.until.Before(end) {
		d.until = int(r.until.Sub(day) / rollupSpan)
	}
	s.begin(r.query, day)
	c, err := w.open(plain)
	if err != nil {
		return false, err
	}
	places := r.places
	for i, id := range w.ids {
		one := columnsReader{head: wire{b: c.head.bytes()}}
		one.data = wire{b: c.data.take(c.head.count(len(c.data.b)))}
		switch {
		case c.failed() != nil:
			return false, c.failed()
		case i > 0 && id <= w.ids[i-1]:
			return false, corrupt("series out of order")
		case int(id) >= r.series:
			return false, nil
		}
		for len(places) > 0 && places[0].series < id {
			places = places[1:]
		}
		n := 0
		for n < len(places) && places[n].series == id {
			n++
		}
		if n == 0 {
			continue // not decoded
		}
		first := 0
		if k := w.which[i]; k > 0 {
			first = w.ends[k-1]
		}
		if whole, err := d.series(&one, places[:n], w.sets[first:w.ends[w.which[i]]], w.hoursOf[w.hours[i]]); err != nil || !whole {
			return false, err
		}
	}
	if s.facts.Ticks, err = d.ticks(&c, s.facts.Ticks[:0]); err != nil {
		return false, err
	}
	s.found = d.had || len(s.facts.Ticks) > 0
	return true, nil
}

// begin makes a slot ready for another day.
func (s *daySlot) begin(q *health.DayQuery, day time.Time) {
	for len(s.aligned) < len(q.Aligned) {
		s.aligned = append(s.aligned, nil)
	}
	out := &s.facts
	out.Target, out.Day = q.Target, day
	clear(room(&out.Aligned, len(q.Aligned)))
	clear(room(&out.Daily, len(q.Daily)))
	s.bins = s.bins[:0]
}

// open reads what stands before the series of a rollup.
func (w *dayWorker) open(plain []byte) (c columnsReader, err error) {
	all := wire{b: plain}
	c.head = wire{b: all.bytes()}
	c.data = wire{b: all.b}
	if all.err != nil {
		return c, all.err
	}
	c.head.count(1<<hoursPerDay - 1)
	w.ids = readRunsInto(w.ids[:0], &c.head, maxDictionary)
	n := len(w.ids)
	w.sets, w.ends, w.hoursOf = w.sets[:0], w.ends[:0], w.hoursOf[:0]
	for range c.head.count(min(n, len(c.head.b))) {
		one := wire{b: c.head.bytes()}
		first := len(w.sets)
		w.sets = readRunsInto(w.sets, &one, bucketsPerDay)
		if err := one.end(); err != nil {
			return c, err
		}
		for i, at := range w.sets[first:] {
			if at >= uint32(bucketsPerDay) || i > 0 && at <= w.sets[first+i-1] {
				return c, corrupt("buckets out of order")
			}
		}
		w.ends = append(w.ends, len(w.sets))
	}
	c.intsInto(room(&w.which, n))
	for range c.head.count(min(n, len(c.head.b))) {
		one := wire{b: c.head.bytes()}
		hours := 0
		for m := one.count(1<<hoursPerDay - 1); m != 0; m &= m - 1 {
			hours++
		}
		if err := one.end(); err != nil {
			return c, err
		}
		w.hoursOf = append(w.hoursOf, hours)
	}
	c.intsInto(room(&w.hours, n))
	if err := c.failed(); err != nil {
		return c, err
	}
	for i := range n {
		if k, h := w.which[i], w.hours[i]; k < 0 || k >= int64(len(w.ends)) || h < 0 || h >= int64(len(w.hoursOf)) {
			return c, corrupt("no such piece")
		}
	}
	return c, nil
}

// dayUnpacking is a day that is being decoded.
type dayUnpacking struct {
	r           *dayReader
	w           *dayWorker
	s           *daySlot
	day         time.Time
	from, until int // buckets
	had         bool
}

// series decodes one series to where it is wanted. It is false if another one stands there already.
func (d *dayUnpacking) series(c *columnsReader, places []dayPlace, at []uint32, hours int) (whole bool, err error) {
	if len(at) == 0 {
		return false, corrupt("series without a bucket")
	}
	first, end := 0, len(at)
	for first < end && int(at[first]) < d.from {
		first++
	}
	for end > first && int(at[end-1]) >= d.until {
		end--
	}
	before := *c
	run, single := d.w.singles(c, len(at), hours)
	if !single {
		*c = before
		if err := d.w.buckets(c, len(at), hours); err != nil {
			return false, err
		}
	}
	if first == end {
		return true, nil
	}
	d.had = true
	for _, p := range places {
		if k := int(p.at) - len(d.r.query.Aligned); k >= 0 {
			x := &d.s.facts.Daily[k]
			switch {
			case x.N > 0:
				return false, nil
			case single:
				d.w.daily(x, d.s, run, first, end)
			default:
				ahead := *c
				if err := d.w.dailyOf(x, d.s, &ahead, len(at), first, end); err != nil {
					return false, err
				}
			}
			x.At = d.day.Add(time.Duration(at[first]) * rollupSpan)
			x.Span, x.Steps, x.Unit = time.Duration(at[end-1]-at[first]+1)*rollupSpan, end-first, d.r.query.Daily[k].Unit
			continue
		}
		to := d.s.steps(int(p.at))
		if to == nil {
			return false, nil
		}
		if single {
			for i := first; i < end; i++ {
				to[at[i]] = run.at(i)
			}
			continue
		}
		n, least, most, sum := d.w.lists[4], d.w.floats[0], d.w.floats[1], d.w.floats[3]
		for i := first; i < end; i++ {
			to[at[i]] = min(max(sum[i]/float64(n[i]), least[i]), most[i])
		}
	}
	return true, nil
}

// steps is memory for an aligned series, with nothing read; nil if it was given already.
func (s *daySlot) steps(k int) []float64 {
	if s.facts.Aligned[k] != nil {
		return nil
	}
	if s.aligned[k] == nil {
		s.aligned[k] = make([]float64, health.StepsPerDay)
	}
	to := s.aligned[k]
	for i := range to {
		to[i] = math.NaN()
	}
	s.facts.Aligned[k] = to
	return to
}

// ticks are those of the hours that begin in the time asked for. What follows the counts is not read.
func (d *dayUnpacking) ticks(c *columnsReader, out []health.TickCount) ([]health.TickCount, error) {
	n := c.head.count(hoursPerDay * tierCount)
	if n == 0 {
		return out, c.failed()
	}
	var places [hoursPerDay * tierCount][2]byte
	distinct := c.head.count(min(n, len(c.head.b)))
	for i := range distinct {
		if b := c.head.bytes(); len(b) == 2 && b[0] < hoursPerDay && int(b[1]) < tierCount {
			places[i] = [2]byte{b[0], b[1]}
		} else {
			c.head.fail("ticks of no hour")
		}
	}
	which := room(&d.w.run, n)
	c.intsInto(which)
	var all [tierCount]health.TickCount
	for k := range tickResults {
		v := room(&d.w.lists[0], n)
		c.intsInto(v)
		if err := c.failed(); err != nil {
			return out, err
		}
		for i, x := range v {
			if which[i] < 0 || which[i] >= int64(distinct) {
				return out, corrupt("no such piece")
			}
			p := places[which[i]]
			// An hour counts if it begins in the time.
			if at := int(p[0]) * bucketsPerHour; at < d.from || at >= d.until {
				continue
			}
			t := &all[p[1]]
			switch n := int(uint32(x)); k {
			case 0:
				t.Done += n
			case 1:
				t.Late += n
			case 2:
				t.Failed += n
			default:
				t.Missed += n
			}
		}
	}
	for tier, t := range all {
		if t.Done+t.Late+t.Failed+t.Missed > 0 {
			t.Tier = health.Tier(tier)
			out = append(out, t)
		}
	}
	return out, nil
}

// unpack is the function of that name into memory of the worker's.
func (w *dayWorker) unpack(b []byte) ([]byte, error) {
	if len(b) < packHeader || b[0] != packZstd {
		return unpack(b)
	}
	var err error
	if w.plain, err = coder().dec.DecodeAll(b[packHeader:], w.plain[:0]); err != nil {
		return nil, corrupt("decompress: %v", err)
	}
	if crc32.Checksum(w.plain, castagnoli) != binary.LittleEndian.Uint32(b[1:]) {
		return nil, corrupt("checksum does not match")
	}
	return w.plain, nil
}

// multiples reads a column as multiples of its step: number i is first + v[i]·step.
func (c *columnsReader) multiples(v []int64) (first, step int64, extra byte) {
	head := c.head.byte()
	first, extra = c.head.int(), head>>2
	v[0] = 0
	mode := head & 3
	if mode == intsConst {
		clear(v)
		return first, 0, extra
	}
	step = int64(c.head.uint())
	c.data.ints(v[1:])
	switch mode {
	case intsDelta:
		sum := int64(0)
		for i, x := range v[1:] {
			sum += x
			v[i+1] = sum
		}
	case intsTwice:
		sum, by := int64(0), int64(0)
		for i, x := range v[1:] {
			by += x
			sum += by
			v[i+1] = sum
		}
	}
	return first, step, extra
}

// intsInto is ints into memory that is there.
func (c *columnsReader) intsInto(v []int64) (extra byte) {
	if len(v) == 0 {
		return 0
	}
	first, step, extra := c.multiples(v)
	for i, k := range v {
		v[i] = first + k*step
	}
	return extra
}

// run is a series that was read once in each bucket: value i is first + k[i]·step, divided by scale, a power of ten.
type run struct {
	k           []int64
	first, step int64
	scale       float64
}

func (r *run) at(i int) float64 { return float64(r.first+r.k[i]*r.step) / r.scale }

// singles reads a series of which every bucket has one value. If it is none it is false.
func (w *dayWorker) singles(c *columnsReader, n, hours int) (run, bool) {
	constant := func(want int64) bool { return c.head.byte()&3 == intsConst && c.head.int() == want }
	if !constant(1) {
		return run{}, false
	}
	how := c.head.byte()
	if how > maxExponent || c.failed() != nil {
		return run{}, false
	}
	r := run{k: room(&w.run, n), scale: pow10[how]}
	r.first, r.step, _ = c.multiples(r.k)
	// Relative to the least, the greatest, the last and the sum of one value are nought.
	for range 3 {
		if !constant(0) {
			return run{}, false
		}
	}
	if hours > 0 {
		var medians [hoursPerDay]int64
		c.multiples(medians[:hours])
	}
	low, high := int64(0), int64(0)
	for _, k := range r.k {
		low, high = min(low, k), max(high, k)
	}
	// What is larger than the integers that are floats was never written.
	fits := func(k int64) bool { return math.Abs(float64(r.first)+float64(k)*float64(r.step)) <= 1<<53 }
	return r, errors.Join(c.head.end(), c.data.end()) == nil && r.step >= 0 && fits(low) && fits(high) && fits(0)
}

// dense is how many bins or steps are counted side by side at most.
const dense = 1 << 14

// daily makes the day of a series of single values.
func (w *dayWorker) daily(d *health.DaySeries, s *daySlot, r run, first, end int) {
	some := r.k[first:end]
	low, high, sum := some[0], some[0], int64(0)
	for _, k := range some {
		low, high, sum = min(low, k), max(high, k), sum+k
	}
	value := func(k int64) float64 { return float64(r.first+k*r.step) / r.scale }
	d.N, d.Min, d.Max, d.Last = uint32(len(some)), value(low), value(high), r.at(end-1)
	d.Sum = float64(int64(len(some))*r.first+sum*r.step) / r.scale
	begin := len(s.bins)
	if high-low < dense {
		counts := room(&w.counts, int(high-low)+1)
		clear(counts)
		for _, k := range some {
			counts[k-low]++
		}
		for i, n := range counts { // in order of value, and so of bin
			if n == 0 {
				continue
			}
			key := health.BinOf(value(low + int64(i)))
			if last := len(s.bins) - 1; last >= begin && s.bins[last].Key == key {
				s.bins[last].N += n
			} else {
				s.bins = append(s.bins, health.HistogramBin{Key: key, N: n})
			}
		}
	} else {
		values := room(&w.floats[0], len(some))
		for i, k := range some {
			values[i] = value(k)
		}
		s.bins = append(s.bins, health.HistogramOf(values)...)
	}
	d.Hist = s.bins[begin:len(s.bins):len(s.bins)]
}

// buckets reads the numbers of a series of any kind, up to its histograms: how many values into lists[4], the least, the greatest, the last and
// the sum into floats.
func (w *dayWorker) buckets(c *columnsReader, n, hours int) error {
	counts := room(&w.lists[4], n)
	c.intsInto(counts)
	for k := range w.floats {
		room(&w.floats[k], n)
	}
	how := c.head.byte()
	switch {
	case c.failed() != nil:
		return c.failed()
	case how <= maxExponent:
		for k := range 4 {
			c.intsInto(room(&w.lists[k], n))
		}
		scale := pow10[how]
		for i, base := range w.lists[0] {
			w.floats[0][i] = float64(base) / scale
			w.floats[1][i] = float64(base+w.lists[1][i]) / scale
			w.floats[2][i] = float64(base+w.lists[2][i]) / scale
			w.floats[3][i] = float64(w.lists[3][i]+base*counts[i]) / scale
		}
		if hours > 0 {
			var medians [hoursPerDay]int64
			c.multiples(medians[:hours])
		}
	case how == floatTable:
		before := *c
		c.floatsInto(w.floats[0], room(&w.lists[0], n))
		head, data := before.head.b[:len(before.head.b)-len(c.head.b)], before.data.b[:len(before.data.b)-len(c.data.b)]
		for k := range 3 {
			// Of single values the least, the greatest, the last and the sum are one, and their columns the same bytes.
			if c.failed() == nil && bytes.HasPrefix(c.head.b, head) && bytes.HasPrefix(c.data.b, data) {
				c.head.b, c.data.b = c.head.b[len(head):], c.data.b[len(data):]
				copy(w.floats[k+1], w.floats[0])
				continue
			}
			c.floatsInto(w.floats[k+1], room(&w.lists[0], n))
		}
		if hours > 0 {
			var medians [hoursPerDay]float64
			var scratch [hoursPerDay]int64
			c.floatsInto(medians[:hours], scratch[:hours])
		}
	default:
		return corrupt("unknown kind of rollup")
	}
	if err := c.failed(); err != nil {
		return err
	}
	for i, x := range counts {
		if x < 1 || x > math.MaxUint32 || !(w.floats[0][i] <= w.floats[2][i] && w.floats[2][i] <= w.floats[1][i]) {
			return corrupt("a bucket contradicts itself")
		}
	}
	return nil
}

// floatsInto is floats into memory that is there.
func (c *columnsReader) floatsInto(v []float64, m []int64) {
	how := c.intsInto(m)
	switch {
	case c.failed() != nil:
	case how <= maxExponent:
		for i, x := range m {
			v[i] = float64(x) / pow10[how]
		}
	case how == floatTable:
		table := c.head.take(8 * c.head.count(len(c.head.b)/8))
		for i, x := range m {
			if x < 0 || x >= int64(len(table)/8) {
				c.head.fail("value not in its table")
				return
			}
			v[i] = math.Float64frombits(binary.LittleEndian.Uint64(table[8*x:]))
		}
	default:
		c.head.fail("unknown kind of column")
	}
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			c.head.fail("no finite number")
			return
		}
	}
}

// dailyOf makes the day of the series that buckets read last, of n buckets, with their histograms.
func (w *dayWorker) dailyOf(d *health.DaySeries, s *daySlot, c *columnsReader, n, first, end int) error {
	counts, least, most, last, sum := w.lists[4], w.floats[0], w.floats[1], w.floats[2], w.floats[3]
	d.Min, d.Max, d.Last = least[first], most[first], last[end-1]
	for i := first; i < end; i++ {
		d.N += uint32(counts[i])
		d.Min, d.Max, d.Sum = min(d.Min, least[i]), max(d.Max, most[i]), health.FiniteSum(d.Sum, sum[i])
	}
	w.low = health.BinOf(d.Min)
	span := int64(health.BinOf(d.Max)) - int64(w.low) + 1
	begin := len(s.bins)
	var sparse health.Histogram
	if span <= dense {
		clear(room(&w.counts, int(span)))
	}
	b := bucket{hist: w.hist}
	for i := range n {
		b.n, b.min, b.max = uint32(counts[i]), least[i], most[i]
		inside := i >= first && i < end
		if low := health.BinOf(b.min); b.n == 1 || low == health.BinOf(b.max) { // most of them
			switch {
			case !inside:
			case span <= dense:
				w.counts[low-w.low] += b.n
			default:
				sparse = sparse.Merge(health.Histogram{{Key: low, N: b.n}})
			}
			continue
		}
		if c.hist(&b); !inside {
			continue
		}
		if span > dense {
			sparse = sparse.Merge(b.hist)
			continue
		}
		for _, x := range b.hist {
			w.counts[x.Key-w.low] += x.N
		}
	}
	w.hist = b.hist
	if err := errors.Join(c.head.end(), c.data.end()); err != nil {
		return err
	}
	if span <= dense {
		for k, n := range w.counts {
			if n > 0 {
				s.bins = append(s.bins, health.HistogramBin{Key: w.low + int32(k), N: n})
			}
		}
	} else {
		s.bins = append(s.bins, sparse...)
	}
	d.Hist = s.bins[begin:len(s.bins):len(s.bins)]
	return nil
}

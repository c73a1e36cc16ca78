package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"dewline/health"
)

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
		d.Min, d.Max, d.Sum = min(d.Min, least[i]), max(d.Max, most[i]), d.Sum+sum[i]
	}
	if math.IsNaN(d.Sum) || math.IsInf(d.Sum, 0) {
		d.Sum = 0
		for _, x := range sum[first:end] {
			d.Sum = health.FiniteSum(d.Sum, x)
		}
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

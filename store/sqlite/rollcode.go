package sqlite

import (
	"encoding/binary"
	"errors"
	"slices"

	"dewline/health"
)

// maxBuckets bounds the buckets of one packed rollup: a whole day of 29,000 series.
const maxBuckets = 1 << 23

// encodeRollup writes a rollup of one target. Hist is not written where n, min and max already tell it.
func encodeRollup(r *rolled) []byte {
	var c columns
	n := len(r.series)
	c.head = binary.AppendUvarint(c.head, uint64(r.hours))
	ids := make([]uint32, n)
	for i, s := range r.series {
		ids[i] = s.id
	}
	c.head = appendRuns(c.head, ids)
	c.pieces(n, func(i int, b []byte) []byte {
		at := make([]uint32, len(r.series[i].buckets))
		for k, x := range r.series[i].buckets {
			at[k] = uint32(x.at)
		}
		return appendRuns(b, at)
	})
	c.pieces(n, func(i int, b []byte) []byte {
		var hours uint64
		for _, m := range r.series[i].medians {
			hours |= 1 << m.hour
		}
		return binary.AppendUvarint(b, hours)
	})
	for i := range r.series { // each with its lengths: most readers want one of them
		var one columns
		one.rolledSeries(&r.series[i])
		c.head = appendBytes(c.head, one.head)
		c.head = binary.AppendUvarint(c.head, uint64(len(one.data)))
		c.data = append(c.data, one.data...)
	}
	c.ticks(r.ticks)
	c.head = binary.AppendUvarint(c.head, uint64(len(r.skips)))
	for _, s := range r.skips {
		c.head = append(c.head, byte(s.hour))
		c.head = appendBytes(c.head, appendSkips(nil, []health.TickRange{s.TickRange}))
	}
	return pack(append(appendBytes(nil, c.head), c.data...), true)
}

func column[T any](of []T, get func(*T) int64) []int64 {
	v := make([]int64, len(of))
	for i := range of {
		v[i] = get(&of[i])
	}
	return v
}

func floatsOf[T any](of []T, get func(*T) float64) []float64 {
	v := make([]float64, len(of))
	for i := range of {
		v[i] = get(&of[i])
	}
	return v
}

// rolledSeries writes the buckets' numbers: as integers of one power of ten, relative to each other, where every one is such a
// decimal, else column by column.
func (c *columns) rolledSeries(s *rolledSeries) {
	b := s.buckets
	c.ints(column(b, func(x *bucket) int64 { return int64(x.n) }), 0)
	lists := [...][]float64{
		floatsOf(b, func(x *bucket) float64 { return x.min }), floatsOf(b, func(x *bucket) float64 { return x.max }),
		floatsOf(b, func(x *bucket) float64 { return x.last }), floatsOf(b, func(x *bucket) float64 { return x.sum }),
		floatsOf(s.medians, func(m *median) float64 { return m.value }),
	}
	if exp, m, ok := decimals(lists[:]); ok {
		c.head = append(c.head, byte(exp))
		for i := range b {
			m[1][i] -= m[0][i]
			m[2][i] -= m[0][i]
			m[3][i] -= m[0][i] * int64(b[i].n) // may wrap; wraps back
		}
		for _, v := range m {
			c.ints(v, 0)
		}
	} else {
		c.head = append(c.head, floatTable)
		for _, v := range lists {
			if len(v) > 0 {
				c.floats(v)
			}
		}
	}
	for i := range b {
		c.hist(&b[i])
	}
}

// decimals is the lists as integers at one power of ten.
func decimals(lists [][]float64) (exp int, out [][]int64, ok bool) {
	for _, l := range lists {
		for _, f := range l {
			_, e, ok := decimal(f)
			if !ok {
				return 0, nil, false
			}
			exp = max(exp, e)
		}
	}
	for _, l := range lists {
		m := make([]int64, len(l))
		for i, f := range l {
			s, ok := scaled(f, exp)
			if !ok {
				return 0, nil, false
			}
			m[i] = s
		}
		out = append(out, m)
	}
	return exp, out, true
}

// hist writes what is not clear from n, min and max: with one bin, or two values, all is.
func (c *columns) hist(b *bucket) {
	h := b.hist
	if b.n <= 2 || len(h) < 2 {
		return
	}
	mid := h[1 : len(h)-1]
	if h[len(h)-1].Key-h[0].Key > 1 {
		c.data = binary.AppendUvarint(c.data, uint64(len(mid)))
	}
	c.data = binary.AppendUvarint(c.data, uint64(h[0].N-1))
	last := h[0].Key
	for _, x := range mid {
		c.data = binary.AppendUvarint(c.data, uint64(x.Key-last-1))
		c.data = binary.AppendUvarint(c.data, uint64(x.N-1))
		last = x.Key
	}
}

func (c *columns) ticks(ticks []rolledTicks) {
	c.head = binary.AppendUvarint(c.head, uint64(len(ticks)))
	if len(ticks) == 0 {
		return
	}
	c.pieces(len(ticks), func(i int, b []byte) []byte { return append(b, byte(ticks[i].hour), byte(ticks[i].tier)) })
	for k := range tickResults {
		c.ints(column(ticks, func(t *rolledTicks) int64 { return int64(t.counts[k]) }), 0)
	}
	c.ints(column(ticks, func(t *rolledTicks) int64 { return int64(t.minutes) }), 0)
	c.ints(column(ticks, func(t *rolledTicks) int64 { return int64(t.failed) }), 0)
	c.pieces(len(ticks), func(i int, b []byte) []byte {
		for _, r := range ticks[i].reasons {
			b = appendWord(b, r.reason)
			b = binary.AppendUvarint(b, uint64(r.n))
		}
		return b
	})
}

// decodeRollup reads what encodeRollup wrote. wanted chooses the series whose numbers are decoded; nil: all.
func decodeRollup(data []byte, wanted func(id uint32) bool) (*rolled, error) {
	plain, err := unpack(data)
	if err != nil {
		return nil, err
	}
	return decodeRolled(plain, wanted)
}

func decodeRolled(plain []byte, wanted func(id uint32) bool) (*rolled, error) {
	var all []rolledSeries
	r, err := walkRolled(plain, func(id uint32, one *columnsReader, at []uint32, hours []int) (bool, error) {
		if wanted != nil && !wanted(id) {
			return true, nil
		}
		s := rolledSeries{id: id}
		one.rolledSeries(&s, at, hours)
		if err := errors.Join(one.head.end(), one.data.end()); err != nil {
			return false, err
		}
		all = append(all, s)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	r.series = all
	return r, nil
}

// walkRolled calls f with what is to be decoded of each series, until it is false, and reads the rest.
func walkRolled(plain []byte, f func(id uint32, one *columnsReader, at []uint32, hours []int) (bool, error)) (*rolled, error) {
	w := wire{b: plain}
	c := &columnsReader{head: wire{b: w.bytes()}}
	c.data = wire{b: w.b}
	if w.err != nil {
		return nil, w.err
	}
	r := &rolled{hours: uint32(c.head.count(1<<hoursPerDay - 1))}
	ids := readRuns(&c.head, maxDictionary)
	n := len(ids)
	sets, which := readPieces(c, n, func(w *wire) []uint32 { return readRuns(w, bucketsPerDay) })
	hours, ofHours := readPieces(c, n, func(w *wire) []int { return bitsIn(uint32(w.count(1<<hoursPerDay - 1))) })
	if err := c.failed(); err != nil {
		return nil, err
	}
	total := 0
	for i := range ids {
		total += len(sets[which[i]])
	}
	if total > maxBuckets {
		return nil, corrupt("too many buckets in a rollup")
	}
	for _, set := range sets {
		for i, at := range set {
			if at >= uint32(bucketsPerDay) || i > 0 && at <= set[i-1] {
				return nil, corrupt("buckets out of order")
			}
		}
	}
	for i, id := range ids {
		if i > 0 && id <= ids[i-1] {
			return nil, corrupt("series out of order")
		}
		one := &columnsReader{head: wire{b: c.head.bytes()}}
		one.data = wire{b: c.data.take(c.head.count(len(c.data.b)))}
		if err := c.failed(); err != nil {
			return nil, err
		}
		if more, err := f(id, one, sets[which[i]], hours[ofHours[i]]); err != nil || !more {
			return r, err
		}
	}
	r.ticks = c.ticks()
	for range c.head.count(len(c.head.b)) {
		s := rolledSkip{hour: int(c.head.byte())}
		one := wire{b: c.head.bytes()}
		ranges := readSkips(&one)
		if err := one.end(); err != nil {
			return nil, err
		}
		if len(ranges) != 1 || s.hour >= hoursPerDay {
			return nil, corrupt("not one run of ticks")
		}
		s.TickRange = ranges[0]
		r.skips = append(r.skips, s)
	}
	if err := c.failed(); err != nil {
		return nil, err
	}
	if len(c.head.b) != 0 || len(c.data.b) != 0 {
		return nil, corrupt("bytes left over in a rollup")
	}
	return r, nil
}

func bitsIn(m uint32) (bits []int) {
	for i := range hoursPerDay {
		if m>>i&1 != 0 {
			bits = append(bits, i)
		}
	}
	return bits
}

func (c *columnsReader) rolledSeries(s *rolledSeries, at []uint32, hours []int) {
	n := len(at)
	if n == 0 {
		c.head.fail("series without a bucket")
		return
	}
	counts, _ := c.ints(n)
	how := c.head.byte()
	var lists [5][]float64
	lengths := [...]int{n, n, n, n, len(hours)}
	switch {
	case c.failed() != nil:
	case how <= maxExponent:
		var m [5][]int64
		for k, l := range lengths {
			m[k], _ = c.ints(l)
		}
		if c.failed() != nil {
			return
		}
		for i := range n {
			m[1][i] += m[0][i]
			m[2][i] += m[0][i]
			m[3][i] += m[0][i] * counts[i]
		}
		for k := range m {
			lists[k] = make([]float64, len(m[k]))
			for i, x := range m[k] {
				lists[k][i] = float64(x) / pow10[how]
			}
		}
	case how == floatTable:
		for k, l := range lengths {
			lists[k] = c.floats(l)
		}
	default:
		c.head.fail("unknown kind of rollup")
	}
	if c.failed() != nil {
		return
	}
	s.buckets = make([]bucket, n)
	for i := range s.buckets {
		b := &s.buckets[i]
		b.at, b.min, b.max, b.last, b.sum = int(at[i]), lists[0][i], lists[1][i], lists[2][i], lists[3][i]
		if b.n = uint32(counts[i]); counts[i] < 1 || int64(b.n) != counts[i] || !(b.min <= b.last && b.last <= b.max) {
			c.head.fail("a bucket contradicts itself")
			return
		}
		c.hist(b)
	}
	s.medians = make([]median, len(hours))
	for i, h := range hours {
		s.medians[i] = median{h, lists[4][i]}
	}
}

// hist reads a histogram, into the memory of b's.
func (c *columnsReader) hist(b *bucket) {
	low, high := health.BinOf(b.min), health.BinOf(b.max)
	if low == high || b.n == 1 {
		b.hist = append(b.hist[:0], health.HistogramBin{Key: low, N: b.n})
		return
	}
	if b.n == 2 {
		b.hist = append(b.hist[:0], health.HistogramBin{Key: low, N: 1}, health.HistogramBin{Key: high, N: 1})
		return
	}
	mid := 0
	if high-low > 1 {
		mid = c.data.count(min(int(min(b.n-2, 1<<20)), len(c.data.b)/2))
	}
	first := c.data.uint()
	left := int64(b.n) - 1 - int64(min(first, 1<<32))
	b.hist = append(slices.Grow(b.hist[:0], mid+2), health.HistogramBin{Key: low, N: uint32(first + 1)})
	last := low
	for range mid {
		key := int64(last) + 1 + int64(c.data.count(1<<20))
		n := int64(c.data.count(1<<31)) + 1
		if left -= n; key >= int64(high) || left < 1 {
			c.data.fail("a histogram contradicts its bucket")
			return
		}
		last = int32(key)
		b.hist = append(b.hist, health.HistogramBin{Key: last, N: uint32(n)})
	}
	if left < 1 {
		c.data.fail("a histogram contradicts its bucket")
		return
	}
	b.hist = append(b.hist, health.HistogramBin{Key: high, N: uint32(left)})
}

func (c *columnsReader) ticks() []rolledTicks {
	n := c.head.count(hoursPerDay * tierCount)
	if n == 0 {
		return nil
	}
	places, which := readPieces(c, n, func(w *wire) [2]byte { return [2]byte{w.byte(), w.byte()} })
	var counts [len(tickResults)][]int64
	for k := range counts {
		counts[k], _ = c.ints(n)
	}
	minutes, _ := c.ints(n)
	failed, _ := c.ints(n)
	reasons, ofReasons := readPieces(c, n, func(w *wire) (out []reasonCount) {
		for len(w.b) > 0 {
			r := reasonCount{reason: readWord[health.Reason](w)}
			r.n = uint32(w.count(1 << 31))
			out = append(out, r)
		}
		return out
	})
	if c.failed() != nil {
		return nil
	}
	out := make([]rolledTicks, n)
	for i := range out {
		p := places[which[i]]
		if p[0] >= hoursPerDay || int(p[1]) >= tierCount || i > 0 && slices.Compare(p[:], places[which[i-1]][:]) <= 0 {
			c.head.fail("ticks out of order")
			return nil
		}
		out[i] = rolledTicks{hour: int(p[0]), tier: int(p[1]), minutes: uint64(minutes[i]), failed: uint64(failed[i]), reasons: reasons[ofReasons[i]]}
		for k := range counts {
			out[i].counts[k] = uint32(counts[k][i])
		}
	}
	return out
}

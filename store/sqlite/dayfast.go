package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"math"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dewline/health"
)

// dayChunk is how many targets' days are read, decoded and handed over together.
const dayChunk = 256

// packedDay is the rollup of a target's day as it lies in the store, if it is one whole and nothing is to be added to it.
type packedDay struct {
	data  []byte
	plain bool // false: it has several parts, or visits that are not compacted
}

// daySlot holds one target's day until it was handed over, and its memory for the next.
type daySlot struct {
	facts   health.DayFacts
	aligned [][]float64 // of StepsPerDay, for each series that may be asked for
	bins    []health.HistogramBin
	found   bool
}

// dayWorker decodes one day at a time.
type dayWorker struct {
	plain  []byte
	column []int64
	counts []uint32
}

// chunk reads, decodes and hands over one day of some targets, in their order.
func (db *DB) chunk(ctx context.Context, day time.Time, reads []dayReader, slots []daySlot, workers []dayWorker, f func(*health.DayFacts) error) error {
	packed, err := db.packedDays(ctx, day, reads)
	if err != nil {
		return err
	}
	done := make([]chan error, len(reads))
	for i := range done {
		done[i] = make(chan error, 1)
	}
	next := make(chan int)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(next)
		for i := range reads {
			select {
			case next <- i:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	for k := range workers {
		g.Go(func() error {
			for i := range next {
				err := reads[i].into(gctx, db, day, packed[i], &slots[i], &workers[k])
				if done[i] <- err; err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		for i := range reads {
			select {
			case err := <-done[i]:
				if err != nil {
					return err
				}
			case <-gctx.Done():
				return gctx.Err()
			}
			if slots[i].found {
				if err := f(&slots[i].facts); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return g.Wait()
}

// packedDays are the rollups of a day, by the place of their target.
func (db *DB) packedDays(ctx context.Context, day time.Time, reads []dayReader) ([]packedDay, error) {
	out := make([]packedDay, len(reads))
	place := make(map[int64][]int, len(reads))
	var numbers []int64
	for i := range reads {
		if n := reads[i].number; n != 0 {
			if place[n] == nil {
				numbers = append(numbers, n)
			}
			place[n] = append(place[n], i)
		}
		out[i].plain = true
	}
	list, err := json.Marshal(numbers)
	if err != nil {
		return nil, err
	}
	first := hourOf(day.UnixNano())
	d, _ := dayOf(first)
	return out, db.snapshotTx(ctx, func(tx *sql.Tx) error {
		if err := each(ctx, tx, func(rows *sql.Rows) error {
			var n int64
			err := rows.Scan(&n)
			for _, i := range place[n] {
				out[i].plain = false
			}
			return err
		}, "SELECT DISTINCT target FROM fresh WHERE hour BETWEEN ? AND ?", first, first+hoursPerDay-1); err != nil {
			return err
		}
		return each(ctx, tx, func(rows *sql.Rows) error {
			var n, part int64
			var data []byte
			if err := rows.Scan(&n, &part, &data); err != nil {
				return err
			}
			for _, i := range place[n] {
				if part != 0 || out[i].data != nil {
					out[i].plain = false
				}
				out[i].data = data
			}
			return nil
		}, "SELECT r.target, r.part, r.data FROM json_each(?) j CROSS JOIN rollups r ON r.target = j.value AND r.day = ?", string(list), d)
	})
}

// into reads a day into a slot: from what is packed if that is all there is, else in the plain way.
func (r *dayReader) into(ctx context.Context, db *DB, day time.Time, p packedDay, s *daySlot, w *dayWorker) error {
	s.found = false
	if r.number == 0 || p.plain && p.data == nil {
		return nil
	}
	if p.plain {
		if r.places == nil {
			if err := db.snapshotTx(ctx, func(tx *sql.Tx) error { return r.learn(ctx, tx) }); err != nil {
				return err
			}
		}
		ok, err := r.unpackDay(day, p.data, s, w)
		if ok || err != nil {
			return err
		}
	}
	facts, err := r.read(ctx, db, day)
	if facts != nil {
		s.facts, s.found = *facts, true
	}
	return err
}

// unpackDay decodes a packed day without building what read builds of it. It is false where that is needed: a series that is not in the dictionary
// as it was read, one that was both read and computed.
func (r *dayReader) unpackDay(day time.Time, data []byte, s *daySlot, w *dayWorker) (ok bool, err error) {
	plain, err := w.unpack(data)
	if err != nil {
		return false, err
	}
	from, until := 0, bucketsPerDay
	if r.from.After(day) {
		from = int(r.from.Sub(day) / rollupSpan)
	}
	if end := day.Add(24 * time.Hour); r.until.Before(end) {
		until = int(r.until.Sub(day) / rollupSpan)
	}
	q := r.query
	if s.aligned == nil {
		s.aligned = make([][]float64, len(q.Aligned))
	}
	for len(s.aligned) < len(q.Aligned) {
		s.aligned = append(s.aligned, nil)
	}
	out := &s.facts
	out.Target, out.Day = q.Target, day
	out.Aligned, out.Daily = slices.Grow(out.Aligned[:0], len(q.Aligned))[:len(q.Aligned)], slices.Grow(out.Daily[:0], len(q.Daily))[:len(q.Daily)]
	clear(out.Aligned)
	clear(out.Daily)
	s.bins = s.bins[:0]
	had, whole := false, true
	roll, err := walkRolled(plain, func(id uint32, c *columnsReader, at []uint32, hours []int) (bool, error) {
		if int(id) >= r.series {
			whole = false
			return false, nil
		}
		places := r.places[id]
		if places == nil {
			return true, nil // not decoded
		}
		values, single := w.singles(c, len(at), len(hours))
		var other rolledSeries
		if !single {
			other.id = id
			c.rolledSeries(&other, at, hours)
			if err := errors.Join(c.head.end(), c.data.end()); err != nil {
				return false, err
			}
		}
		for _, k := range places {
			if k < len(q.Aligned) {
				if out.Aligned[k] != nil {
					whole = false
					return false, nil
				}
				if s.aligned[k] == nil {
					s.aligned[k] = make([]float64, health.StepsPerDay)
				}
				to, any := s.aligned[k], false
				for i := range to {
					to[i] = math.NaN()
				}
				for i, b := range at {
					if int(b) < from || int(b) >= until {
						continue
					}
					any = true
					if single {
						to[b] = values.at(i)
					} else {
						x := &other.buckets[i]
						to[b] = min(max(x.sum/float64(x.n), x.min), x.max)
					}
				}
				if any {
					out.Aligned[k], had = to, true
				}
				continue
			}
			d := &out.Daily[k-len(q.Aligned)]
			if d.N > 0 {
				whole = false
				return false, nil
			}
			if single {
				w.daily(d, s, values, at, from, until, day)
			} else {
				dailyOf(d, other.buckets, from, until, day)
			}
			d.Unit = q.Daily[k-len(q.Aligned)].Unit
			had = had || d.N > 0
		}
		return true, nil
	})
	if err != nil || !whole {
		return false, err
	}
	lo, hi := day.Add(time.Duration(from)*rollupSpan), day.Add(time.Duration(until)*rollupSpan)
	out.Ticks = ticksWithin(roll, day, lo, hi)
	s.found = had || len(out.Ticks) > 0
	return true, nil
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

// single is a series that was read once in each bucket, as integers of one power of ten.
type single struct {
	m     []int64
	scale float64
}

func (s single) at(i int) float64 { return float64(s.m[i]) / s.scale }

// singles reads a series of which every bucket has one value. If it is none it is false, and the reader stands where it stood.
func (w *dayWorker) singles(c *columnsReader, n, hours int) (single, bool) {
	before := *c
	fail := func() (single, bool) {
		*c = before
		return single{}, false
	}
	if n == 0 {
		return fail()
	}
	constant := func(of int, want int64) bool {
		return of == 0 || c.head.byte()&3 == intsConst && c.head.int() == want
	}
	if !constant(n, 1) {
		return fail()
	}
	how := c.head.byte()
	if how > maxExponent {
		return fail()
	}
	w.column = slices.Grow(w.column[:0], n)[:n]
	if !c.intsInto(w.column) {
		return fail()
	}
	// Relative to the least, the greatest, the last and the sum of one value are nought.
	for range 3 {
		if !constant(n, 0) {
			return fail()
		}
	}
	if hours > 0 {
		var medians [hoursPerDay]int64
		if hours > len(medians) || !c.intsInto(medians[:hours]) {
			return fail()
		}
	}
	if errors.Join(c.head.end(), c.data.end()) != nil {
		return fail()
	}
	return single{w.column, pow10[how]}, true
}

// intsInto is ints into memory that is there.
func (c *columnsReader) intsInto(v []int64) bool {
	mode := c.head.byte() & 3
	v0 := c.head.int()
	v[0] = v0
	if mode == intsConst {
		for i := range v {
			v[i] = v0
		}
		return c.failed() == nil
	}
	g, last := int64(c.head.uint()), int64(0)
	for i := 1; i < len(v); i++ {
		switch x := c.data.int() * g; mode {
		case intsLevel:
			v[i] = v0 + x
		case intsDelta:
			v[i] = v[i-1] + x
		default:
			last += x
			v[i] = v[i-1] + last
		}
	}
	return c.failed() == nil
}

// daily makes the day of a series of single values.
func (w *dayWorker) daily(d *health.DaySeries, s *daySlot, v single, at []uint32, from, until int, day time.Time) {
	first := 0
	for first < len(at) && int(at[first]) < from {
		first++
	}
	end := len(at)
	for end > first && int(at[end-1]) >= until {
		end--
	}
	if first == end {
		return
	}
	low, high := int32(math.MaxInt32), int32(math.MinInt32)
	x := v.at(first)
	d.Min, d.Max = x, x
	for i := first; i < end; i++ {
		x = v.at(i)
		d.Min, d.Max, d.Sum = min(d.Min, x), max(d.Max, x), health.FiniteSum(d.Sum, x)
		k := health.BinOf(x)
		low, high = min(low, k), max(high, k)
	}
	d.Last, d.N, d.Steps = x, uint32(end-first), end-first
	d.At = day.Add(time.Duration(at[first]) * rollupSpan)
	d.Span = time.Duration(at[end-1]-at[first]+1) * rollupSpan
	begin := len(s.bins)
	if span := int64(high) - int64(low) + 1; span <= 1<<14 {
		w.counts = slices.Grow(w.counts[:0], int(span))[:span]
		clear(w.counts)
		for i := first; i < end; i++ {
			w.counts[health.BinOf(v.at(i))-low]++
		}
		for k, n := range w.counts {
			if n > 0 {
				s.bins = append(s.bins, health.HistogramBin{Key: low + int32(k), N: n})
			}
		}
	} else {
		values := make([]float64, 0, end-first)
		for i := first; i < end; i++ {
			values = append(values, v.at(i))
		}
		s.bins = append(s.bins, health.HistogramOf(values)...)
	}
	d.Hist = s.bins[begin:len(s.bins):len(s.bins)]
}

// dailyOf makes the day of a series of any kind.
func dailyOf(d *health.DaySeries, buckets []bucket, from, until int, day time.Time) {
	for i := range buckets {
		b := &buckets[i]
		if b.at < from || b.at >= until {
			continue
		}
		x := health.Rollup{At: day.Add(time.Duration(b.at) * rollupSpan), Span: rollupSpan, N: b.n, Min: b.min, Max: b.max, Sum: b.sum, Last: b.last, Hist: b.hist}
		if d.N > 0 {
			x = d.Merge(x)
		}
		d.Rollup, d.Steps = x, d.Steps+1
	}
}

// dayWorkers is one for each processor.
func dayWorkers() []dayWorker { return make([]dayWorker, max(1, runtime.GOMAXPROCS(0))) }

package sqlite

import (
	"encoding/binary"
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

// unpackDay decodes a packed part of a day without building what read builds of it, and adds it to the parts before. It is false where that is
// needed: a series that is not in the dictionary as it was read, one that was both read and computed.
func (r *dayReader) unpackDay(day time.Time, part int, data []byte, s *daySlot, w *dayWorker) (ok bool, err error) {
	plain, err := w.unpack(data)
	if err != nil {
		return false, err
	}
	d := dayUnpacking{r: r, w: w, s: s, day: day, part: part, until: bucketsPerDay}
	if r.from.After(day) {
		d.from = int(r.from.Sub(day) / rollupSpan)
	}
	if end := day.Add(24 * time.Hour); r.until.Before(end) {
		d.until = int(r.until.Sub(day) / rollupSpan)
	}
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
	if err := d.ticks(&c); err != nil {
		return false, err
	}
	s.found = s.found || d.had
	return true, nil
}

// begin makes a slot ready for another day.
func (s *daySlot) begin(q *health.DayQuery, day time.Time) {
	for len(s.aligned) < len(q.Aligned) {
		s.aligned = append(s.aligned, nil)
	}
	clear(room(&s.given, len(q.Aligned)+len(q.Daily)))
	s.ticks = [tierCount]health.TickCount{}
	out := &s.facts
	out.Target, out.Day = q.Target, day
	clear(room(&out.Aligned, len(q.Aligned)))
	clear(room(&out.Daily, len(q.Daily)))
	s.bins = s.bins[:0]
}

// end makes of the parts a day.
func (s *daySlot) end() {
	out := s.facts.Ticks[:0]
	for tier, t := range s.ticks {
		if t.Done+t.Late+t.Failed+t.Missed > 0 {
			t.Tier = health.Tier(tier)
			out = append(out, t)
		}
	}
	s.facts.Ticks = out
	s.found = s.found || len(out) > 0
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
	part        int // from 1
	from, until int // buckets
	had         bool
}

// series decodes one series to where it is wanted. It is false if another one of this part stands there already.
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
		if d.s.given[p.at] == d.part {
			return false, nil
		}
		earlier := d.s.given[p.at] > 0
		d.s.given[p.at] = d.part
		if k := int(p.at) - len(d.r.query.Aligned); k >= 0 {
			var x health.DaySeries
			if single {
				d.w.daily(&x, d.s, run, first, end)
			} else {
				ahead := *c
				if err := d.w.dailyOf(&x, d.s, &ahead, len(at), first, end); err != nil {
					return false, err
				}
			}
			x.At = d.day.Add(time.Duration(at[first]) * rollupSpan)
			x.Span, x.Steps, x.Unit = time.Duration(at[end-1]-at[first]+1)*rollupSpan, end-first, d.r.query.Daily[k].Unit
			if earlier {
				x = after(&d.s.facts.Daily[k], &x)
			}
			d.s.facts.Daily[k] = x
			continue
		}
		to := d.s.steps(int(p.at))
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

// steps is the memory for an aligned series: as earlier parts left it, or with nothing read.
func (s *daySlot) steps(k int) []float64 {
	if to := s.facts.Aligned[k]; to != nil {
		return to
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

// ticks adds those of the hours that begin in the time asked for. What follows the counts is not read.
func (d *dayUnpacking) ticks(c *columnsReader) error {
	n := c.head.count(hoursPerDay * tierCount)
	if n == 0 {
		return c.failed()
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
	for k := range tickResults {
		v := room(&d.w.lists[0], n)
		c.intsInto(v)
		if err := c.failed(); err != nil {
			return err
		}
		for i, x := range v {
			if which[i] < 0 || which[i] >= int64(distinct) {
				return corrupt("no such piece")
			}
			p := places[which[i]]
			// An hour counts if it begins in the time.
			if at := int(p[0]) * bucketsPerHour; at < d.from || at >= d.until {
				continue
			}
			t := &d.s.ticks[p[1]]
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
	return nil
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

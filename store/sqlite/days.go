package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dewline/health"
)

// Days calls f for each UTC day that touches from to until and each target of want: all targets of a day before those of the next, in
// the order of want. Days of which a target has nothing are left out. What f is given is valid until it returns.
func (db *DB) Days(ctx context.Context, from, until time.Time, want []health.DayQuery, f func(*health.DayFacts) error) error {
	if !from.Before(until) {
		return nil
	}
	reads := make([]dayReader, len(want))
	for i := range want {
		n, err := targetNumber(ctx, db.read, want[i].Target)
		if err != nil {
			return fmt.Errorf("read days of %q: %w", want[i].Target, err)
		}
		reads[i] = dayReader{query: &want[i], number: n, from: from, until: until}
	}
	slots, workers := make([]daySlot, min(dayChunk, len(want))), dayWorkers()
	loaded, free := make(chan *dayLoad), make(chan *dayLoad, 2) // one is read while another is decoded
	for range cap(free) {
		free <- &dayLoad{}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(loaded)
		for day := from.UTC().Truncate(24 * time.Hour); day.Before(until); day = day.Add(24 * time.Hour) {
			for some := range slices.Chunk(reads, dayChunk) {
				var l *dayLoad
				select {
				case l = <-free:
				case <-gctx.Done():
					return gctx.Err()
				}
				l.day, l.reads = day, some
				if err := db.load(gctx, l); err != nil {
					return fmt.Errorf("read %s: %w", day.Format(time.DateOnly), err)
				}
				select {
				case loaded <- l:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
		}
		return nil
	})
	g.Go(func() error {
		for l := range loaded {
			if err := db.chunk(gctx, l, slots, workers, func(x *health.DayFacts) error {
				if err := f(x); err != nil {
					return given{err}
				}
				return nil
			}); err != nil {
				return fmt.Errorf("read %s: %w", l.day.Format(time.DateOnly), err)
			}
			free <- l
		}
		return nil
	})
	err := g.Wait()
	if by, ok := errors.AsType[given](err); ok {
		return by.error
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// given is an error of the one who asked.
type given struct{ error }

// dayReader reads the days of one target.
type dayReader struct {
	query       *health.DayQuery
	number      int64
	from, until time.Time
	learned     bool
	series      int // of the dictionary when places was made
	// places are where the wanted series stand, in order of their number.
	places []dayPlace
}

// dayPlace is where a series of the dictionary stands: in query.Aligned, or after its end in query.Daily.
type dayPlace struct{ series, at uint32 }

// of are the places of a series: a part of places.
func (r *dayReader) of(series uint32) []dayPlace {
	first, _ := slices.BinarySearchFunc(r.places, series, func(p dayPlace, s uint32) int { return cmp.Compare(p.series, s) })
	end := first
	for end < len(r.places) && r.places[end].series == series {
		end++
	}
	return r.places[first:end]
}

// learn finds the wanted series in the target's dictionary.
func (r *dayReader) learn(ctx context.Context, tx *sql.Tx) error {
	d, err := loadDict(ctx, tx, r.number)
	if err != nil {
		return err
	}
	wanted := make(map[health.SeriesID][]uint32, len(r.query.Aligned)+len(r.query.Daily))
	for i, w := range r.query.Aligned {
		wanted[w] = append(wanted[w], uint32(i))
	}
	for i, w := range r.query.Daily {
		wanted[w] = append(wanted[w], uint32(len(r.query.Aligned)+i))
	}
	r.learned, r.series, r.places = true, len(d.series), r.places[:0]
	for n, s := range d.series {
		for _, at := range wanted[health.SeriesID{Component: d.component(uint32(n)), Quantity: s.quantity, Unit: s.unit}] {
			r.places = append(r.places, dayPlace{uint32(n), at})
		}
	}
	return nil
}

// wanted are the series asked for, and those that came into the dictionary since it was read.
func (r *dayReader) wanted(s uint32) bool { return int(s) >= r.series || len(r.of(s)) > 0 }

// read is nil if the day has nothing.
func (r *dayReader) read(ctx context.Context, db *DB, day time.Time) (*health.DayFacts, error) {
	if r.number == 0 {
		return nil, nil
	}
	from, until := day, day.Add(24*time.Hour)
	if r.from.After(from) {
		from = r.from
	}
	if r.until.Before(until) {
		until = r.until
	}
	var out *health.DayFacts
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		if !r.learned {
			if err := r.learn(ctx, tx); err != nil {
				return err
			}
		}
		return db.eachDay(ctx, tx, r.number, from, until, r.wanted, func(_ int64, roll *rolled) error {
			if slices.ContainsFunc(roll.series, func(s rolledSeries) bool { return int(s.id) >= r.series }) {
				if err := r.learn(ctx, tx); err != nil {
					return err
				}
			}
			if f := r.facts(roll, day, from, until); len(f.Ticks) > 0 || slices.ContainsFunc(f.Aligned, func(a []float64) bool { return a != nil }) ||
				slices.ContainsFunc(f.Daily, func(d health.DaySeries) bool { return d.N > 0 }) {
				out = f
			}
			return nil
		})
	})
	return out, err
}

func (r *dayReader) facts(roll *rolled, day, from, until time.Time) *health.DayFacts {
	found := make([]*rolledSeries, len(r.query.Aligned)+len(r.query.Daily))
	for i := range roll.series {
		s := &roll.series[i]
		for _, p := range r.of(s.id) {
			k := p.at
			if found[k] != nil { // one that was read, and one that was computed
				both := found[k].plus(*s)
				found[k] = &both
				continue
			}
			found[k] = s
		}
	}
	out := &health.DayFacts{
		Target: r.query.Target, Day: day, Aligned: make([][]float64, len(r.query.Aligned)), Daily: make([]health.DaySeries, len(r.query.Daily)),
		Ticks: ticksWithin(roll, day, from, until),
	}
	for k, s := range found {
		if s == nil {
			continue
		}
		for i := range s.buckets {
			b := &s.buckets[i]
			at := day.Add(time.Duration(b.at) * rollupSpan)
			if at.Before(from) || !at.Before(until) {
				continue
			}
			x := health.Rollup{At: at, Span: rollupSpan, N: b.n, Min: b.min, Max: b.max, Sum: b.sum, Last: b.last, Hist: b.hist}
			if k < len(out.Aligned) {
				if out.Aligned[k] == nil {
					out.Aligned[k] = slices.Repeat([]float64{math.NaN()}, health.StepsPerDay)
				}
				out.Aligned[k][b.at] = x.Mean()
				continue
			}
			d := &out.Daily[k-len(out.Aligned)]
			if x.Unit = r.query.Daily[k-len(out.Aligned)].Unit; d.N > 0 {
				x = d.Merge(x)
			}
			d.Rollup, d.Steps = x, d.Steps+1
		}
	}
	return out
}

// ticksWithin are the ticks of the hours that begin in the time asked for.
func ticksWithin(r *rolled, day, from, until time.Time) []health.TickCount {
	var ticks [tierCount]health.TickCount
	for _, t := range r.ticks {
		at := day.Add(time.Duration(t.hour) * time.Hour)
		if t.tier >= len(ticks) || at.Before(from) || !at.Before(until) {
			continue
		}
		c := &ticks[t.tier]
		c.Done, c.Late, c.Failed, c.Missed = c.Done+int(t.counts[0]), c.Late+int(t.counts[1]), c.Failed+int(t.counts[2]), c.Missed+int(t.counts[3])
	}
	var out []health.TickCount
	for t, c := range ticks {
		if c.Done+c.Late+c.Failed+c.Missed > 0 {
			c.Tier = health.Tier(t)
			out = append(out, c)
		}
	}
	return out
}

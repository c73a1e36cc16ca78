package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"math/bits"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dewline/health"
)

// dayChunk is how many targets' days are read, decoded and handed over together.
const dayChunk = 256

// packedDay is the rollup of a target's day as it lies in the store.
type packedDay struct {
	parts [][]byte // each of hours after those of the one before
	open  []int64  // hours after those, of which visits are not compacted
	last  int      // hour of the day that is in a part
	plain bool     // its parts are not so, and it must be read in the plain way
}

// add takes a part of the hours given.
func (p *packedDay) add(hours uint32, data []byte) {
	of := func(h int64) int { _, of := dayOf(h); return of }
	switch {
	case hours == 0 || p.plain:
		p.plain = true
	case len(p.open) > 0 && bits.OnesCount32(hours) == 1 && slices.ContainsFunc(p.open, func(h int64) bool { return hours == 1<<of(h) }):
		// It is made anew with the visits that came since.
	case len(p.parts) > 0 && bits.TrailingZeros32(hours) <= p.last, len(p.open) > 0 && bits.Len32(hours) > of(p.open[0]):
		p.plain = true
	default:
		p.parts, p.last = append(p.parts, data), bits.Len32(hours)-1
	}
}

// dayLoad is a day of some targets as it lies in the store.
type dayLoad struct {
	day    time.Time
	reads  []dayReader
	packed []packedDay // beside reads
	arena  []byte      // what they lie in
}

// daySlot holds one target's day until it was handed over, and its memory for the next.
type daySlot struct {
	facts   health.DayFacts
	aligned [][]float64 // of StepsPerDay, for each series that may be asked for
	bins    []health.HistogramBin
	given   []int // which part gave a series of the query last, from 1
	ticks   [tierCount]health.TickCount
	found   bool
}

// chunk decodes and hands over one day of some targets, in their order.
func (db *DB) chunk(ctx context.Context, l *dayLoad, slots []daySlot, workers []dayWorker, f func(*health.DayFacts) error) error {
	reads := l.reads
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
				err := reads[i].into(gctx, db, l.day, l.packed[i], &slots[i], &workers[k])
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

// load reads the rollups of a day.
func (db *DB) load(ctx context.Context, l *dayLoad) error {
	l.arena = l.arena[:0]
	out := room(&l.packed, len(l.reads))
	for i := range out {
		out[i] = packedDay{parts: out[i].parts[:0], open: out[i].open[:0]}
	}
	place := make(map[int64][]int, len(l.reads))
	var numbers []int64
	for i := range l.reads {
		if n := l.reads[i].number; n != 0 {
			if place[n] == nil {
				numbers = append(numbers, n)
			}
			place[n] = append(place[n], i)
		}
	}
	list, err := json.Marshal(numbers)
	if err != nil {
		return err
	}
	first := hourOf(l.day.UnixNano())
	d, _ := dayOf(first)
	return db.snapshotTx(ctx, func(tx *sql.Tx) error {
		if err := each(ctx, tx, func(rows *sql.Rows) error {
			var n, h int64
			err := rows.Scan(&n, &h)
			for _, i := range place[n] {
				out[i].open = append(out[i].open, h)
			}
			return err
		}, "SELECT DISTINCT target, hour FROM fresh WHERE hour BETWEEN ? AND ? ORDER BY hour", first, first+hoursPerDay-1); err != nil {
			return err
		}
		return each(ctx, tx, func(rows *sql.Rows) error {
			var n int64
			var hours uint32
			var raw sql.RawBytes // the driver's; copied once
			if err := rows.Scan(&n, &hours, &raw); err != nil {
				return err
			}
			begin := len(l.arena)
			l.arena = append(l.arena, raw...)
			data := l.arena[begin:len(l.arena):len(l.arena)]
			for _, i := range place[n] {
				out[i].add(hours, data)
			}
			return nil
		}, "SELECT r.target, r.hours, r.data FROM json_each(?) j CROSS JOIN rollups r ON r.target = j.value AND r.day = ?", string(list), d)
	})
}

// into reads a day into a slot: what is packed is decoded where it lies, what is not is read in the plain way.
func (r *dayReader) into(ctx context.Context, db *DB, day time.Time, p packedDay, s *daySlot, w *dayWorker) error {
	s.found = false
	if r.number == 0 || !p.plain && len(p.parts)+len(p.open) == 0 {
		return nil
	}
	if !p.plain {
		if ok, err := r.unpackParts(ctx, db, day, p, s, w); ok || err != nil {
			return err
		}
	}
	facts, err := r.read(ctx, db, day)
	if s.found = facts != nil; s.found {
		s.facts = *facts
	}
	return err
}

// dayWorkers is one for each processor.
func dayWorkers() []dayWorker { return make([]dayWorker, max(1, runtime.GOMAXPROCS(0))) }

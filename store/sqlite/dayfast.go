package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"runtime"
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
	clear(out)
	place := make(map[int64][]int, len(l.reads))
	var numbers []int64
	for i := range l.reads {
		if n := l.reads[i].number; n != 0 {
			if place[n] == nil {
				numbers = append(numbers, n)
			}
			place[n] = append(place[n], i)
		}
		out[i].plain = true
	}
	list, err := json.Marshal(numbers)
	if err != nil {
		return err
	}
	first := hourOf(l.day.UnixNano())
	d, _ := dayOf(first)
	return db.snapshotTx(ctx, func(tx *sql.Tx) error {
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
			var raw sql.RawBytes // the driver's; copied once
			if err := rows.Scan(&n, &part, &raw); err != nil {
				return err
			}
			begin := len(l.arena)
			l.arena = append(l.arena, raw...)
			data := l.arena[begin:len(l.arena):len(l.arena)]
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
		if !r.learned {
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

// dayWorkers is one for each processor.
func dayWorkers() []dayWorker { return make([]dayWorker, max(1, runtime.GOMAXPROCS(0))) }

package sqlite

import (
	"context"
	"database/sql"
	"time"

	"dewline/health"
)

// unpackParts decodes a day of several parts, and visits that are not compacted after them. It is false where the plain way is needed.
func (r *dayReader) unpackParts(ctx context.Context, db *DB, day time.Time, p packedDay, s *daySlot, w *dayWorker) (ok bool, err error) {
	if !r.learned {
		if err := db.snapshotTx(ctx, func(tx *sql.Tx) error { return r.learn(ctx, tx) }); err != nil {
			return false, err
		}
	}
	s.begin(r.query, day)
	for i, data := range p.parts {
		if ok, err := r.unpackDay(day, i+1, data, s, w); !ok || err != nil {
			return false, err
		}
	}
	if len(p.open) > 0 {
		if ok, err := r.openParts(ctx, db, day, p.open, s); !ok || err != nil {
			return false, err
		}
	}
	s.end()
	return true, nil
}

// openParts adds the hours of which visits are not compacted. It is false if they were compacted meanwhile.
func (r *dayReader) openParts(ctx context.Context, db *DB, day time.Time, hours []int64, s *daySlot) (ok bool, err error) {
	from, until := day, day.Add(24*time.Hour)
	if r.from.After(from) {
		from = r.from
	}
	if r.until.Before(until) {
		until = r.until
	}
	err = db.snapshotTx(ctx, func(tx *sql.Tx) error {
		for _, h := range hours {
			roll, err := db.liveRollup(ctx, tx, r.number, h)
			if err != nil {
				return err
			}
			if ok = roll != nil; !ok {
				return nil
			}
			for _, x := range roll.series {
				if ok = int(x.id) < r.series; !ok {
					return nil
				}
			}
			s.take(r.facts(roll, day, from, until))
		}
		return nil
	})
	return ok, err
}

// take adds what came after the parts before.
func (s *daySlot) take(f *health.DayFacts) {
	for k, a := range f.Aligned {
		if a == nil {
			continue
		}
		to := s.steps(k)
		for i, v := range a {
			if v == v { // not NaN
				to[i] = v
			}
		}
		s.found = true
	}
	for k := range f.Daily {
		switch x := &f.Daily[k]; {
		case x.N == 0:
			continue
		case s.facts.Daily[k].N == 0:
			s.facts.Daily[k] = *x
		default:
			s.facts.Daily[k] = after(&s.facts.Daily[k], x)
		}
		s.found = true
	}
	for _, t := range f.Ticks {
		x := &s.ticks[t.Tier]
		x.Done, x.Late, x.Failed, x.Missed = x.Done+t.Done, x.Late+t.Late, x.Failed+t.Failed, x.Missed+t.Missed
	}
}

// after is a day's series with what came after it. The bins of the first are written to.
func after(before, x *health.DaySeries) health.DaySeries {
	a, b := before.Rollup, x.Rollup
	a.Hist, b.Hist = nil, nil
	out := health.DaySeries{Rollup: a.Merge(b), Steps: before.Steps + x.Steps}
	out.Hist = added(before.Hist, x.Hist)
	return out
}

// added is h with the counts of o: in its own memory if it has all bins of o, as most have.
func added(h, o health.Histogram) health.Histogram {
	i := 0
	for k, b := range o {
		for i < len(h) && h[i].Key < b.Key {
			i++
		}
		if i == len(h) || h[i].Key != b.Key {
			return h.Merge(o[k:])
		}
		h[i].N += b.N
	}
	return h
}

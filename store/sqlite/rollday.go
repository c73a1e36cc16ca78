package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"dewline/health"
)

// RollupDays calls f for the five-minute rollups of every series of a target that begin from <= At < to, day by day, in order of
// component, quantity and unit: of hours that are not closed yet too, and of visits that are gone. What f is given is its to keep.
func (db *DB) RollupDays(ctx context.Context, id health.TargetID, from, to time.Time, f func(health.RollupDay) error) error {
	fail := func(err error) error { return fmt.Errorf("read rollups of %q: %w", id, err) }
	n, err := targetNumber(ctx, db.read, id)
	if err != nil {
		return fail(err)
	}
	if n == 0 {
		return nil
	}
	days, err := daysOf(ctx, db.read, n, hourOf(from.UnixNano()), hourOf(to.UnixNano()-1))
	if err != nil {
		return fail(err)
	}
	for _, day := range days { // a transaction for each: a long report must not keep the log from being checkpointed
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		begin := hourTime(day * hoursPerDay)
		a, b := begin, begin.Add(24*time.Hour)
		if a.Before(from) {
			a = from
		}
		if b.After(to) {
			b = to
		}
		var out []health.RollupDay
		if err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
			d, err := loadDict(ctx, tx, n)
			if err != nil {
				return err
			}
			return db.eachDay(ctx, tx, n, a, b, nil, func(_ int64, r *rolled) error {
				for i := range r.series {
					s := &r.series[i]
					if int(s.id) >= len(d.series) {
						return corrupt("series %d of %d", s.id, len(d.series))
					}
					head := seriesHead(d, s.id)
					x := health.RollupDay{SeriesID: health.SeriesID{Component: head.Component, Quantity: head.Quantity, Unit: head.Unit}, Derived: head.Derived, Day: begin}
					for _, u := range s.buckets {
						at := begin.Add(time.Duration(u.at) * rollupSpan)
						if within(at, from, to) {
							x.Rollups = append(x.Rollups, health.Rollup{
								At: at, Span: rollupSpan, N: u.n, Min: u.min, Max: u.max, Sum: u.sum, Last: u.last, Unit: head.Unit, Hist: u.hist,
							})
						}
					}
					if len(x.Rollups) > 0 {
						out = append(out, x)
					}
				}
				return nil
			})
		}); err != nil {
			return fail(err)
		}
		slices.SortFunc(out, func(a, b health.RollupDay) int {
			return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Quantity, b.Quantity), cmp.Compare(a.Unit, b.Unit), cmp.Compare(fmt.Sprint(a.Derived), fmt.Sprint(b.Derived)))
		})
		for _, x := range out {
			if err := f(x); err != nil {
				return err
			}
		}
	}
	return nil
}

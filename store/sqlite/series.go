package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"dewline/health"
)

// Sample is one value of a series.
type Sample struct {
	At    time.Time // of the visit that read it
	Value float64
	Unit  health.Unit
	Seq   int64
}

// Series is the values of one quantity of a component with from <= At < to, in order of time, whether their hours are compacted or not.
// A zero time is no bound. A time at which nothing was read has no sample: there is no last value here. None for what is not
// known.
func (db *DB) Series(ctx context.Context, id health.TargetID, c health.ComponentID, q health.Quantity, from, to time.Time) ([]Sample, error) {
	var out []Sample
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		n, err := targetNumber(ctx, tx, id)
		if err != nil || n == 0 {
			return err
		}
		out, err = db.series(ctx, tx, n, c, q, from, to)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read series %s %s of %q: %w", c, q, id, err)
	}
	slices.SortStableFunc(out, func(a, b Sample) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Seq, b.Seq)) })
	return out, nil
}

func (db *DB) series(ctx context.Context, tx *sql.Tx, n int64, c health.ComponentID, q health.Quantity, from, to time.Time) ([]Sample, error) {
	first, last := int64(math.MinInt64), int64(math.MaxInt64)
	if !from.IsZero() {
		first = from.UnixNano()
	}
	if !to.IsZero() {
		last = to.UnixNano() - 1
	}
	var out []Sample
	var d *target
	wanted := func(frames []*frame) (func(uint32) bool, error) {
		var err error
		if d, err = db.target(ctx, tx, n, frames...); err != nil {
			return nil, err
		}
		return func(s uint32) bool { return d.dict.series[s].quantity == q && d.component(s) == c }, nil
	}
	add := func(data []byte) error {
		return pickSeries(data, wanted, func(f *frame, s uint32, v float64) {
			if f.at >= first && f.at <= last {
				out = append(out, Sample{time.Unix(0, f.at).UTC(), v, d.dict.series[s].unit, f.seq})
			}
		})
	}
	// The rows are read before they are decoded: a dictionary may have to be read in between.
	var all [][]byte
	addAll := func() error {
		for _, data := range all {
			if err := add(data); err != nil {
				return err
			}
		}
		all = all[:0]
		return nil
	}
	if err := db.eachBlock(ctx, tx, n, hourOf(first), hourOf(last), func(_ int64, data []byte) error {
		all = append(all, data)
		return nil
	}); err != nil {
		return nil, err
	}
	if err := addAll(); err != nil {
		return nil, err
	}
	hours, err := openHours(ctx, tx, hourOf(first), hourOf(last))
	if err != nil {
		return nil, err
	}
	for _, h := range hours {
		if err := each(ctx, tx, func(rows *sql.Rows) error {
			var data []byte
			err := rows.Scan(&data)
			all = append(all, data)
			return err
		}, "SELECT data FROM fresh WHERE hour = ? AND target = ? ORDER BY seq", h, n); err != nil {
			return nil, err
		}
		if err := addAll(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// openHours is the hours, in order, that have visits which are not compacted. They are few; the visits in them are many, so
// that each hour is sought in the index.
func openHours(ctx context.Context, q querier, first, last int64) ([]int64, error) {
	var hours []int64
	err := each(ctx, q, func(rows *sql.Rows) error {
		var h int64
		err := rows.Scan(&h)
		hours = append(hours, h)
		return err
	}, `WITH RECURSIVE h(hour) AS (SELECT min(hour) FROM fresh WHERE hour >= ?1
		UNION ALL SELECT (SELECT min(hour) FROM fresh WHERE hour > h.hour) FROM h WHERE h.hour IS NOT NULL)
		SELECT hour FROM h WHERE hour <= ?2`, first, last)
	return hours, err
}

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

// Inventory is what was installed of a target, as its visits up to a moment had told, and which series were ever read of it; nothing of a
// target that is not known. Known is false where visits up to then had told nothing, or are gone.
func (db *DB) Inventory(ctx context.Context, id health.TargetID, at time.Time) (*health.PartFacts, error) {
	out := &health.PartFacts{}
	if err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		n, err := targetNumber(ctx, tx, id)
		if err != nil || n == 0 {
			return err
		}
		if out.Parts, out.Identity, out.Known, err = partsAt(ctx, tx, n, at); err != nil {
			return err
		}
		classes := map[health.ComponentID]health.Class{}
		absent := map[health.ComponentID]bool{} // an empty bay is listed too
		if err := each(ctx, tx, func(rows *sql.Rows) error {
			var c health.KnownComponent
			err := rows.Scan(&c.ID, &c.Class, textOf(&c.Presence), nsTime{&c.Since})
			classes[c.ID] = c.Class
			absent[c.ID] = c.Presence == health.Absent && !c.Since.After(at)
			return err
		}, "SELECT id, class, presence, since_ns FROM components WHERE target = ?", n); err != nil {
			return err
		}
		out.Parts = slices.DeleteFunc(out.Parts, func(c health.KnownComponent) bool { return absent[c.ID] })
		out.Series, err = seriesFacts(ctx, tx, n, classes)
		return err
	}); err != nil {
		return nil, fmt.Errorf("read the inventory of %q: %w", id, err)
	}
	return out, nil
}

// seriesFacts are the series of a target's components, in order of component, quantity and unit: one that was read and computed is one.
func seriesFacts(ctx context.Context, tx *sql.Tx, target int64, classes map[health.ComponentID]health.Class) ([]health.SeriesFacts, error) {
	d, err := loadDict(ctx, tx, target)
	if err != nil {
		return nil, err
	}
	levels, err := thresholdsInForce(ctx, tx, target)
	if err != nil {
		return nil, err
	}
	var out []health.SeriesFacts
	place := map[health.SeriesID]int{}
	for n, s := range d.series {
		c := d.component(uint32(n))
		class, ok := classes[c]
		if !ok {
			continue
		}
		id := health.SeriesID{Component: c, Quantity: s.quantity, Unit: s.unit}
		var t *health.Thresholds
		if l, ok := levels[uint32(n)]; ok {
			t = l.thresholds()
		}
		k, ok := place[id]
		if !ok {
			place[id] = len(out)
			out = append(out, health.SeriesFacts{SeriesID: id, Class: class, Derived: s.derived, Thresholds: t})
			continue
		}
		x := &out[k]
		if x.Derived = x.Derived && s.derived; x.Thresholds == nil {
			x.Thresholds = t
		}
	}
	slices.SortFunc(out, func(a, b health.SeriesFacts) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Quantity, b.Quantity), cmp.Compare(a.Unit, b.Unit))
	})
	return out, nil
}

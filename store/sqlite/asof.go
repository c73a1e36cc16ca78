package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dewline/health"
)

// lastTold is up to which visit of target ?1 those until the end of hour ?2 (?3 is when it ends) told what its parts are: the last one, if that is not later;
// else the last of those that changed something. It looks at no other visits: there are a hundred million of a large fleet. What was told by
// visits that are gone was told before all that are left.
const lastTold = `SELECT CASE WHEN (SELECT at FROM latest WHERE target = ?1) < ?3 THEN (SELECT seq FROM latest WHERE target = ?1)
	WHEN ?2 >= (SELECT hour FROM visits ORDER BY seq LIMIT 1) THEN
		(SELECT max(h.seq) FROM (SELECT seq FROM component_history WHERE target = ?1 UNION SELECT seq FROM identity_history WHERE target = ?1) h
		LEFT JOIN visits v ON v.seq = h.seq WHERE v.hour IS NULL OR v.hour <= ?2) END`

// PartsAt is what the parts of a target were, as its visits up to a moment had told: serial, firmware, place, and when it became so
// (zero where those visits are gone). Presence and state are not of that time, and left unknown. It needs the visits of that hour
// or of one before: ok is false if there are none.
func (db *DB) PartsAt(ctx context.Context, id health.TargetID, at time.Time) (parts []health.KnownComponent, identity health.Identity, ok bool, err error) {
	err = db.snapshotTx(ctx, func(tx *sql.Tx) error {
		n, err := targetNumber(ctx, tx, id)
		if err != nil || n == 0 {
			return err
		}
		parts, identity, ok, err = partsAt(ctx, tx, n, at)
		return err
	})
	if err != nil {
		return nil, health.Identity{}, false, fmt.Errorf("read what the parts of %q were at %s: %w", id, at.UTC().Format(time.RFC3339), err)
	}
	return parts, identity, ok, nil
}

func partsAt(ctx context.Context, tx *sql.Tx, n int64, at time.Time) (parts []health.KnownComponent, identity health.Identity, ok bool, err error) {
	var seq sql.NullInt64
	h := hourOf(at.UnixNano())
	if err := tx.QueryRowContext(ctx, lastTold, n, h, (h+1)*hour).Scan(&seq); err != nil || !seq.Valid {
		return nil, identity, false, err
	}
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var c, detail health.KnownComponent
		var since sql.NullInt64
		if err := rows.Scan(&c.ID, &c.Class, &c.Name, fromJSON{&detail.Component}, &since); err != nil {
			return err
		}
		detail.ID, detail.Class, detail.Name = c.ID, c.Class, c.Name
		if since.Valid {
			detail.Since = hourTime(since.Int64)
		}
		if last := len(parts) - 1; last >= 0 && parts[last].ID == c.ID { // the later one holds
			parts = parts[:last]
		}
		parts = append(parts, detail)
		return nil
	}, `SELECT h.id, h.class, h.name, h.detail, v.hour FROM component_history h LEFT JOIN visits v ON v.seq = h.seq
		WHERE h.target = ? AND h.seq <= ? ORDER BY h.id, h.seq`, n, seq.Int64)
	if err != nil {
		return nil, identity, false, err
	}
	err = each(ctx, tx, func(rows *sql.Rows) error { return rows.Scan(fromJSON{&identity}) },
		"SELECT identity FROM identity_history WHERE target = ? AND seq <= ? ORDER BY seq DESC LIMIT 1", n, seq.Int64)
	return parts, identity, true, err
}

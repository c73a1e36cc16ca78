package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"dewline/health"
)

// Recall is what the committed visits left known of a target: what their Deltas made of health.NewKnown, which is what a new
// target has. The caller owns what it gets.
func (db *DB) Recall(ctx context.Context, id health.TargetID) (*health.Known, error) {
	k := health.NewKnown(id)
	if err := db.snapshotTx(ctx, func(tx *sql.Tx) error { return recall(ctx, tx, k) }); err != nil {
		return nil, fmt.Errorf("recall %q: %w", id, err)
	}
	return k, nil
}

func recall(ctx context.Context, tx *sql.Tx, k *health.Known) error {
	var n int64
	found := false
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&n, &k.Endpoint, &k.Driver, &k.Before, fromJSON{&k.Identity}, textOf(&k.HostPower), nsTime{&k.FirstSeen},
			&k.Clock.Skew, nsTime{&k.Clock.At})
	}, "SELECT id, endpoint, driver, driver_before, identity, host_power, first_seen_ns, clock_skew, clock_ns FROM targets WHERE name = ?", string(k.Target)); err != nil || !found {
		return err
	}
	components, err := componentsOf(ctx, tx, n)
	if err != nil {
		return err
	}
	for _, c := range components {
		k.Components[c.ID] = c
	}
	if err := eachFault(ctx, tx, func(f *health.Fault) error {
		k.Faults[f.ID] = *f
		return nil
	}, "WHERE f.target = ? AND "+faultOpen, n); err != nil {
		return err
	}
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		var source string
		var value []byte
		if err := rows.Scan(&source, &value); err != nil {
			return err
		}
		k.Cursors[source] = json.RawMessage(value)
		return nil
	}, "SELECT source, value FROM cursors WHERE target = ?", n); err != nil {
		return err
	}
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		var value []byte
		err := rows.Scan(&value)
		k.Memory = value
		return err
	}, "SELECT value FROM memory WHERE target = ?", n); err != nil {
		return err
	}
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		a := &k.Access
		return rows.Scan(&a.State, nsTime{&a.Since}, nsTime{&a.NextTry}, &a.Failures, &a.Reason, &a.Error)
	}, "SELECT state, since_ns, next_try_ns, failures, reason, error FROM access WHERE target = ?", n); err != nil {
		return err
	}
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		var place string
		var at time.Time
		if err := rows.Scan(&place, nsTime{&at}); err != nil {
			return err
		}
		k.Places[place] = at
		return nil
	}, "SELECT place, at FROM places WHERE target = ?", n); err != nil {
		return err
	}
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		return rows.Scan(fromJSON{&k.Air})
	}, "SELECT value FROM air WHERE target = ?", n); err != nil {
		return err
	}
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		var r health.Recent
		if err := rows.Scan(&r.Component, &r.Kind, &r.Subject, fromJSON{&r.Begun}, &r.Fault, nsTime{&r.Ended}, &r.Polled); err != nil {
			return err
		}
		k.Recent[r.RecentKey] = r
		return nil
	}, "SELECT component, kind, subject, begun, fault, ended_ns, polled FROM recent WHERE target = ?", n); err != nil {
		return err
	}
	k.Ticks, err = ticksOf(ctx, tx, n)
	return err
}

func ticksOf(ctx context.Context, q querier, target int64) (map[health.Tier]health.Tick, error) {
	m := map[health.Tier]health.Tick{}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var tier health.Tier
		var t health.Tick
		if err := rows.Scan(&tier, nsTime{&t.Due}, &t.Result, &t.Lateness); err != nil {
			return err
		}
		m[tier] = t
		return nil
	}, "SELECT tier, due_ns, result, lateness FROM ticks WHERE target = ?", target)
	return m, err
}

// componentsOf is what is known of a target's components, in order of ID.
func componentsOf(ctx context.Context, q querier, target int64) ([]health.KnownComponent, error) {
	var out []health.KnownComponent
	err := each(ctx, q, func(rows *sql.Rows) error {
		var c, detail health.KnownComponent
		if err := rows.Scan(&c.ID, &c.Class, &c.Name, textOf(&c.Presence), textOf(&c.State), nsTime{&c.Since},
			fromJSON{&detail.Component}); err != nil {
			return err
		}
		detail.ID, detail.Class, detail.Name, detail.Presence, detail.State = c.ID, c.Class, c.Name, c.Presence, c.State
		detail.Since = c.Since
		out = append(out, detail)
		return nil
	}, "SELECT id, class, name, presence, state, since_ns, detail FROM components WHERE target = ? ORDER BY id", target)
	return out, err
}

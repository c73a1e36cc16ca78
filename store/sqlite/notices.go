package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dewline/health"
)

// RegisterNotifiers enters receivers into the store before anything is recorded: a new one begins behind the newest event, one that
// was there goes on where it was. Receivers that are named no more lose what waits for them, and are returned.
func (db *DB) RegisterNotifiers(ctx context.Context, names []string) (dropped []string, err error) {
	err = db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		dropped = nil
		keep := map[string]bool{}
		for _, name := range names {
			keep[name] = true
			if err := w.exec(ctx, `INSERT INTO notifiers (name, cursor) VALUES (?, (SELECT coalesce(max(n), 0) FROM events))
				ON CONFLICT (name) DO NOTHING`, name); err != nil {
				return err
			}
		}
		var all []string
		if err := each(ctx, w, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			all = append(all, name)
			return err
		}, "SELECT name FROM notifiers ORDER BY name"); err != nil {
			return err
		}
		for _, name := range all {
			if keep[name] {
				continue
			}
			dropped = append(dropped, name)
			for _, q := range [...]string{"DELETE FROM notices WHERE notifier = ?", "DELETE FROM notifiers WHERE name = ?"} {
				if err := w.exec(ctx, q, name); err != nil {
					return err
				}
			}
		}
		return nil
	}})
	if err != nil {
		return nil, fmt.Errorf("enter receivers of notifications: %w", err)
	}
	return dropped, nil
}

// NotifierStates is how delivery stands, by name of the receiver.
func (db *DB) NotifierStates(ctx context.Context) ([]health.NotifierState, error) {
	var out []health.NotifierState
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var s health.NotifierState
		err := rows.Scan(&s.Name, &s.Cursor, &s.Muted, &s.Sent, nsTime{&s.LastSent}, &s.LastError, nsTime{&s.ErrorAt}, &s.Waiting, &s.Silenced,
			nsTime{&s.Oldest})
		out = append(out, s)
		return err
	}, `SELECT m.name, m.cursor, m.muted, m.sent, m.sent_ns, m.error, m.error_ns,
		(SELECT count(*) FROM notices q WHERE q.notifier = m.name AND q.silence = ''),
		(SELECT count(*) FROM notices q WHERE q.notifier = m.name AND q.silence <> ''),
		(SELECT e.at FROM notices q JOIN events e ON e.n = q.event WHERE q.notifier = m.name AND q.silence = '' ORDER BY q.event LIMIT 1)
		FROM notifiers m ORDER BY m.name`)
	if err != nil {
		return nil, fmt.Errorf("read how notifications stand: %w", err)
	}
	return out, nil
}

// Notices is up to limit events that a receiver is to be told of, oldest first: those that nothing holds back, or those that a
// silence does.
func (db *DB) Notices(ctx context.Context, name string, silenced bool, limit int) ([]health.Notice, error) {
	var out []health.Notice
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		of := "q.silence = ''"
		if silenced {
			of = "q.silence <> ''"
		}
		at := map[string]int{}
		if err := each(ctx, tx, func(rows *sql.Rows) error {
			var x health.Notice
			var id string
			if err := rows.Scan(&x.N, &x.Silence, &id, &x.Incident); err != nil {
				return err
			}
			at[id] = len(out)
			out = append(out, x)
			return nil
		}, `SELECT q.event, q.silence, e.id, coalesce(
			(SELECT x.incident FROM incident_events x WHERE x.event = e.id),
			(SELECT x.incident FROM incident_events x WHERE x.fault = e.fault AND e.fault <> '' LIMIT 1), '')
			FROM notices q JOIN events e ON e.n = q.event WHERE q.notifier = ? AND `+of+` ORDER BY q.event LIMIT ?`, name, limit); err != nil {
			return err
		}
		if len(out) == 0 {
			return nil
		}
		return eachEvent(ctx, tx, func(_ int64, e *health.Event) error {
			if i, ok := at[e.ID]; ok {
				out[i].Event = *e
			}
			return nil
		}, "WHERE e.n IN (SELECT q.event FROM notices q WHERE q.notifier = ? AND "+of+") AND e.n <= ? ORDER BY e.n", name, out[len(out)-1].N)
	})
	if err != nil {
		return nil, fmt.Errorf("read what %s is to be told: %w", name, err)
	}
	return out, nil
}

// ChangeNotices applies a change: all of it or nothing. It is on disk when it returns.
func (db *DB) ChangeNotices(ctx context.Context, name string, c health.NoticeChange) error {
	err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		for _, x := range c.Add {
			if err := w.exec(ctx, "INSERT INTO notices (notifier, event, silence) VALUES (?1, ?2, ?3) ON CONFLICT (notifier, event) DO UPDATE SET silence = ?3",
				name, x.N, x.Silence); err != nil {
				return err
			}
		}
		for _, n := range c.Remove {
			if err := w.exec(ctx, "DELETE FROM notices WHERE notifier = ? AND event = ?", name, n); err != nil {
				return err
			}
		}
		muted := ", muted = muted + ?"
		if c.SetMuted {
			muted = ", muted = ?"
		}
		sent := any(nil)
		if !c.SentAt.IsZero() {
			sent = c.SentAt.UnixNano()
		}
		if err := w.exec(ctx, "UPDATE notifiers SET cursor = max(cursor, ?)"+muted+", sent = sent + ?, sent_ns = coalesce(?, sent_ns) WHERE name = ?",
			c.Cursor, c.Muted, c.Sent, sent, name); err != nil {
			return err
		}
		if c.Error != nil {
			at := any(nil)
			if *c.Error != "" {
				at = c.ErrorAt.UnixNano()
			}
			return w.exec(ctx, "UPDATE notifiers SET error = ?, error_ns = ? WHERE name = ?", *c.Error, at, name)
		}
		return nil
	}})
	if err != nil {
		return fmt.Errorf("keep what %s was told: %w", name, err)
	}
	return nil
}

// Beat writes a receiver's heartbeat: what cannot be written must not be sent.
func (db *DB) Beat(ctx context.Context, name string, at time.Time) error {
	err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		return w.exec(ctx, "UPDATE notifiers SET beat_ns = ? WHERE name = ?", at.UnixNano(), name)
	}})
	if err != nil {
		return fmt.Errorf("write heartbeat of %s: %w", name, err)
	}
	return nil
}

// OpenFaults is the faults that are open, in the order in which they opened.
func (db *DB) OpenFaults(ctx context.Context) ([]health.Fault, error) {
	return db.Faults(ctx, FaultFilter{Open: true})
}

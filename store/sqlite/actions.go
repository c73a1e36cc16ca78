package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dewline/health"
)

// AddAction appends to the operators' log; it is on disk when it returns, and a has its place and, if it had none, its ID. The same
// action again changes nothing. It wakes who waits for Changed.
func (db *DB) AddAction(ctx context.Context, a *health.Action) error {
	if a.ID == "" {
		a.ID = health.ActionID(a)
	}
	err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		match := health.Matcher{}
		if a.Match != nil {
			match = *a.Match
		}
		if err := w.exec(ctx, `INSERT INTO actions (id, kind, at_ns, by_whom, why, fault, ends, from_ns, until_ns, match)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			a.ID, string(a.Kind), a.At.UnixNano(), a.By, a.Why, a.Fault, a.Ends, nsOrNull(a.From), nsOrNull(a.Until), asJSON(match)); err != nil {
			return err
		}
		return each(ctx, w, func(rows *sql.Rows) error { return rows.Scan(&a.N) }, "SELECT n FROM actions WHERE id = ?", a.ID)
	}})
	if err != nil {
		return fmt.Errorf("keep what %s did: %w", a.By, err)
	}
	db.notify()
	return nil
}

func nsOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixNano()
}

// Actions is the operators' log, oldest first.
func (db *DB) Actions(ctx context.Context) ([]health.Action, error) {
	var out []health.Action
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var a health.Action
		var match health.Matcher
		if err := rows.Scan(&a.N, &a.ID, &a.Kind, nsTime{&a.At}, &a.By, &a.Why, &a.Fault, &a.Ends, nsTime{&a.From}, nsTime{&a.Until},
			fromJSON{&match}); err != nil {
			return err
		}
		if a.Kind == health.ActionSilence {
			a.Match = &match
		}
		out = append(out, a)
		return nil
	}, "SELECT n, id, kind, at_ns, by_whom, why, fault, ends, from_ns, until_ns, match FROM actions ORDER BY n")
	if err != nil {
		return nil, fmt.Errorf("read what operators did: %w", err)
	}
	return out, nil
}

// ActionCount grows with every action.
func (db *DB) ActionCount(ctx context.Context) (n int64, err error) {
	err = db.read.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) FROM actions").Scan(&n)
	return n, err
}

// FaultsByID is the faults whose IDs begin with a text, at most limit of them.
func (db *DB) FaultsByID(ctx context.Context, prefix string, limit int) ([]health.Fault, error) {
	var out []health.Fault
	err := eachFault(ctx, db.read, func(x *health.Fault) error {
		out = append(out, *x)
		return nil
	}, `WHERE f.id LIKE ? ESCAPE '\' ORDER BY f.id LIMIT ?`, likePrefix(prefix), limit)
	if err != nil {
		return nil, fmt.Errorf("find fault %q: %w", prefix, err)
	}
	return out, nil
}

// Places is every target as it was configured last, by name. One whose visits never told has its name alone.
func (db *DB) Places(ctx context.Context) (map[health.TargetID]health.Target, error) {
	out := map[health.TargetID]health.Target{}
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var name, detail string
		if err := rows.Scan(&name, &detail); err != nil {
			return err
		}
		t := health.Target{}
		if err := (fromJSON{&t}).Scan(detail); err != nil {
			return err
		}
		t.ID = health.TargetID(name)
		out[t.ID] = t
		return nil
	}, `SELECT t.name, coalesce((SELECT c.detail FROM configured c WHERE c.target = t.id ORDER BY c.n DESC LIMIT 1), '{}') FROM targets t`)
	if err != nil {
		return nil, fmt.Errorf("read where targets stand: %w", err)
	}
	return out, nil
}

// LastEvent is the number of the newest event, 0 if there is none.
func (db *DB) LastEvent(ctx context.Context) (n int64, err error) {
	err = db.read.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) FROM events").Scan(&n)
	return n, err
}

// EventBefore is the number of the last event before a time.
func (db *DB) EventBefore(ctx context.Context, at time.Time) (n int64, err error) {
	err = db.read.QueryRowContext(ctx, "SELECT coalesce(min(n) - 1, (SELECT coalesce(max(n), 0) FROM events)) FROM events WHERE at >= ?", at.UnixNano()).Scan(&n)
	return n, err
}

// FaultHistory is the events of a fault, oldest first.
func (db *DB) FaultHistory(ctx context.Context, id string) ([]health.Event, error) {
	var out []health.Event
	err := eachEvent(ctx, db.read, func(_ int64, e *health.Event) error {
		out = append(out, *e)
		return nil
	}, "WHERE e.fault = ? ORDER BY e.n", id)
	if err != nil {
		return nil, fmt.Errorf("read events of fault %s: %w", id, err)
	}
	return out, nil
}

// FaultNow is a fault as it stands, nil if the store knows none with this ID.
func (db *DB) FaultNow(ctx context.Context, id string) (*health.Fault, error) {
	var out *health.Fault
	err := eachFault(ctx, db.read, func(x *health.Fault) error { out = x; return nil }, "WHERE f.id = ?", id)
	if err != nil {
		return nil, fmt.Errorf("read fault %s: %w", id, err)
	}
	return out, nil
}

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"dewline/health"
)

// SaveVerification keeps a verification whole, in place of what was there of it, and what is to be told of it: all of it or nothing.
// It is on disk when it returns. The time at which it was opened first stays. An event that is there already stays as it was.
func (db *DB) SaveVerification(ctx context.Context, v *health.Verification, events []health.Event) error {
	return db.saveVerification(ctx, v, events, false)
}

// RenewVerification is SaveVerification of one that was computed anew: it does nothing if that was closed meanwhile, or is asked for
// otherwise.
func (db *DB) RenewVerification(ctx context.Context, v *health.Verification, events []health.Event) error {
	return db.saveVerification(ctx, v, events, true)
}

func (db *DB) saveVerification(ctx context.Context, v *health.Verification, events []health.Event, renewed bool) error {
	err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		if renewed {
			n, err := w.number(ctx, "SELECT count(*) FROM verifications WHERE id = ? AND closed_ns IS NULL AND request = ?", v.ID, string(v.Request))
			if err != nil || n == 0 {
				return err
			}
		}
		for i := range events {
			if err := w.eventBeside(ctx, &events[i]); err != nil {
				return err
			}
		}
		request := string(v.Request)
		if request == "" {
			request = "{}"
		}
		return w.exec(ctx, `INSERT INTO verifications (id, pin_ns, opened_ns, closed_ns, detail, request) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
			ON CONFLICT (id) DO UPDATE SET pin_ns = ?2, closed_ns = ?4, detail = ?5, request = ?6`,
			v.ID, v.From.UnixNano(), v.Opened.UnixNano(), nsOrNull(v.Closed), asJSON(v), request)
	}})
	if err != nil {
		return fmt.Errorf("keep verification %s: %w", v.ID, err)
	}
	db.notify()
	return nil
}

// eventBeside writes an event that no visit brought, of a target that there are visits of. Followers of visits do not meet it,
// those of events do.
func (w *writer) eventBeside(ctx context.Context, e *health.Event) error {
	n, err := w.number(ctx, "SELECT id FROM targets WHERE name = ?", string(e.Target))
	if err != nil || n == 0 {
		return err
	}
	seq := w.seq
	w.seq = 0
	defer func() { w.seq = seq }()
	return w.event(ctx, &writerTarget{n: n, name: e.Target}, e.ID, e)
}

// Verifications is those that are open, or all, in the order in which they were opened.
func (db *DB) Verifications(ctx context.Context, all bool) ([]health.Verification, error) {
	where := "WHERE closed_ns IS NULL "
	if all {
		where = ""
	}
	var out []health.Verification
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var v health.Verification
		var request string
		if err := rows.Scan(fromJSON{&v}, nsTime{&v.Opened}, &request); err != nil {
			return err
		}
		v.Request = json.RawMessage(request)
		out = append(out, v)
		return nil
	}, "SELECT detail, opened_ns, request FROM verifications "+where+"ORDER BY opened_ns, id")
	if err != nil {
		return nil, fmt.Errorf("read verifications: %w", err)
	}
	return out, nil
}

// pinned is the hour from which on nothing is dropped, since an open verification rests on it. Without one it is beyond all hours.
func (db *DB) pinned(ctx context.Context) (int64, error) {
	var pin sql.NullInt64
	err := db.read.QueryRowContext(ctx, "SELECT min(pin_ns) FROM verifications WHERE closed_ns IS NULL").Scan(&pin)
	if err != nil || !pin.Valid {
		return math.MaxInt64, err
	}
	return hourOf(pin.Int64), nil
}

// pinnedSince is since when data is kept for open verifications; zero: there is none.
func (db *DB) pinnedSince(ctx context.Context) (time.Time, error) {
	h, err := db.pinned(ctx)
	if err != nil || h == math.MaxInt64 {
		return time.Time{}, err
	}
	return hourTime(h), nil
}

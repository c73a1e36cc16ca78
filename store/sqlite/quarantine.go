package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dewline/health"
)

// MaxQuarantined bounds how many lines are kept aside for a sink: some tens of megabytes at worst. A field that is of the
// wrong type is refused in every point, for ever.
const MaxQuarantined = 50_000

// ErrNotQuarantined is wrapped when a line that is asked for does not stand in quarantine.
var ErrNotQuarantined = errors.New("not in quarantine")

// Quarantine keeps lines aside that a sink's far end refused for ever. The same line of the same visit is kept once, with its
// first error, so that a repeated call changes nothing. All rows are kept or none. Beyond MaxQuarantined the oldest go, those that
// are released last; how many went is counted (Sinks).
func (db *DB) Quarantine(ctx context.Context, sink string, rows []health.Rejected) error {
	if len(rows) == 0 {
		return nil
	}
	now := time.Now().UnixNano()
	err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		for _, r := range rows {
			key := sha256.Sum256(append(appendBytes(appendInt(nil, r.Seq), sink), r.Line...))
			if err := w.exec(ctx, `INSERT INTO quarantine (key, sink, seq, line, error, at) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT DO NOTHING`, key[:16], sink, r.Seq, r.Line, r.Error, now); err != nil {
				return err
			}
		}
		return w.boundQuarantine(ctx, sink, MaxQuarantined)
	}})
	if err != nil {
		return fmt.Errorf("quarantine %d lines of sink %q: %w", len(rows), sink, err)
	}
	return nil
}

func (w *writer) boundQuarantine(ctx context.Context, sink string, most int) error {
	var n int
	if err := each(ctx, w, func(rows *sql.Rows) error { return rows.Scan(&n) },
		"SELECT count(*) FROM quarantine WHERE sink = ?", sink); err != nil || n <= most {
		return err
	}
	if err := w.exec(ctx, `DELETE FROM quarantine WHERE id IN
		(SELECT id FROM quarantine WHERE sink = ? ORDER BY released, id LIMIT ?)`, sink, n-most); err != nil {
		return err
	}
	return w.exec(ctx, `INSERT INTO sinks (name, cursor, quarantine_dropped) VALUES (?, 0, ?)
		ON CONFLICT DO UPDATE SET quarantine_dropped = quarantine_dropped + excluded.quarantine_dropped`, sink, n-most)
}

// Quarantined is how many lines stand in quarantine, all sinks together.
func (db *DB) Quarantined(ctx context.Context) (int, error) {
	var n int
	err := db.read.QueryRowContext(ctx, "SELECT count(*) FROM quarantine").Scan(&n)
	return n, err
}

// Rejected is what stands in quarantine for a sink, oldest first.
func (db *DB) Rejected(ctx context.Context, sink string) ([]health.Rejected, error) {
	return db.rejected(ctx, "WHERE sink = ? ORDER BY id", sink)
}

// Released is up to limit lines that a person has released and the sink has not settled yet, oldest first.
func (db *DB) Released(ctx context.Context, sink string, limit int) ([]health.Rejected, error) {
	return db.rejected(ctx, "WHERE sink = ? AND released = 1 ORDER BY id LIMIT ?", sink, limit)
}

func (db *DB) rejected(ctx context.Context, where string, args ...any) ([]health.Rejected, error) {
	var out []health.Rejected
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var r health.Rejected
		var at int64
		if err := rows.Scan(&r.ID, &r.Line, &r.Error, &r.Seq, &at, &r.Released); err != nil {
			return err
		}
		r.At = time.Unix(0, at).UTC()
		out = append(out, r)
		return nil
	}, "SELECT id, line, error, seq, at, released FROM quarantine "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read the quarantine: %w", err)
	}
	return out, nil
}

// Release has lines sent again: the sink takes them in their order (Released), beside what else it delivers. Nil ids: all. It says
// how many there are. If one is not in quarantine, none is released, and the error wraps ErrNotQuarantined.
func (db *DB) Release(ctx context.Context, sink string, ids []int64) (int, error) {
	n, err := db.choose(ctx, sink, ids, "UPDATE quarantine SET released = 1")
	if err != nil {
		return 0, fmt.Errorf("release from quarantine: %w", err)
	}
	db.notify() // a sink may be waiting for the next visit
	return n, nil
}

// Discard takes lines out of quarantine for ever, as Release chooses them.
func (db *DB) Discard(ctx context.Context, sink string, ids []int64) (int, error) {
	n, err := db.choose(ctx, sink, ids, "DELETE FROM quarantine")
	if err != nil {
		return 0, fmt.Errorf("drop from quarantine: %w", err)
	}
	return n, nil
}

func (db *DB) choose(ctx context.Context, sink string, ids []int64, what string) (n int, err error) {
	err = db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		n = 0
		if ids == nil {
			all, err := w.changes(ctx, what+" WHERE sink = ?", sink)
			n = int(all)
			return err
		}
		for _, id := range ids {
			one, err := w.changes(ctx, what+" WHERE sink = ? AND id = ?", sink, id)
			if err != nil {
				return err
			}
			if one == 0 {
				return fmt.Errorf("point %d: %w", id, ErrNotQuarantined)
			}
			n++
		}
		return nil
	}})
	return n, err
}

// Settle ends the release of lines: delivered ones go, refused ones stay, with the far end's new words. What a person has dropped
// meanwhile is gone.
func (db *DB) Settle(ctx context.Context, sink string, delivered []int64, refused []health.Rejected) error {
	err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		for _, id := range delivered {
			if err := w.exec(ctx, "DELETE FROM quarantine WHERE sink = ? AND id = ?", sink, id); err != nil {
				return err
			}
		}
		for _, r := range refused {
			if err := w.exec(ctx, "UPDATE quarantine SET released = 0, error = ? WHERE sink = ? AND id = ?", r.Error, sink, r.ID); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return fmt.Errorf("settle released points of sink %q: %w", sink, err)
	}
	return nil
}

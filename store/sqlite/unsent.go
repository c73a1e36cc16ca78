package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"

	"dewline/health"
)

// Visits that a sink cannot have since they cannot be read hold up nothing that comes after them: the sink goes past them at once, and takes them
// when their file is back. docs/decisions/retention.md says why.

// unsentPage is how many visits are looked at in one transaction.
const unsentPage = 5000

// unsentState is what the daemon remembers of its looks at unsent visits.
type unsentState struct {
	mu     sync.Mutex
	said   map[int64]bool // days of which it was said that visits cannot be read
	looked map[string]unsentLook
}

// unsentLook is how far a sink's unsent visits were looked at while the files stood as in mark.
type unsentLook struct {
	mark   string
	beyond int64 // those up to it cannot be read
}

// PassUnread moves a sink's cursor from seq past the visits next to it that cannot be read, and gives the new cursor: seq, if the next one can be.
// They are kept in mind as unsent (Returned).
func (db *DB) PassUnread(ctx context.Context, sink string, seq int64) (int64, error) {
	for {
		run, err := db.unreadRun(ctx, seq, math.MaxInt64)
		if err != nil {
			return seq, fmt.Errorf("look for visits after %d that can be read: %w", seq, err)
		}
		if run.n == 0 {
			return seq, nil
		}
		if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
			n, err := w.changes(ctx, "UPDATE unsent SET last = ?3 WHERE sink = ?1 AND last = ?2", sink, seq, run.end)
			if err == nil && n == 0 {
				err = w.exec(ctx, "INSERT INTO unsent (sink, first, last) VALUES (?, ?, ?)", sink, seq+1, run.end)
			}
			if err != nil {
				return err
			}
			return w.exec(ctx, `INSERT INTO sinks (name, cursor) VALUES (?, ?)
				ON CONFLICT DO UPDATE SET cursor = excluded.cursor WHERE excluded.cursor > cursor`, sink, run.end)
		}}); err != nil {
			return seq, fmt.Errorf("go past visits that cannot be read: %w", err)
		}
		db.sayUnsent(sink, run)
		if seq = run.end; !run.more {
			return seq, nil
		}
	}
}

// sayUnsent says it once for each day of visits. The files may change from now on: what is unsent is looked at again.
func (db *DB) sayUnsent(sink string, run unreadRun) {
	u := &db.unsent
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.looked, sink)
	day, _ := dayOf(run.hour)
	if u.said == nil {
		u.said = map[int64]bool{}
	}
	if u.said[day] {
		return
	}
	u.said[day] = true
	db.o.Log.Error("visits cannot be read: the sink goes on without them, and gets them when they can be. Bring their file back from a backup, before retention drops their day",
		"sink", sink, "day", hourTime(day*hoursPerDay).Format("2006-01-02"), "error", run.why)
}

// unreadRun is visits, one after the other, that cannot be read.
type unreadRun struct {
	n    int
	end  int64 // the seq of the last one
	hour int64 // of the first one
	why  error // of the first one; wraps ErrCorrupt
	more bool  // there may be more
}

// unreadRun finds those that come next after seq, up to last.
func (db *DB) unreadRun(ctx context.Context, seq, last int64) (run unreadRun, err error) {
	err = db.snapshotTx(ctx, func(tx *sql.Tx) error {
		rows, err := visitRows(ctx, tx, seq, last, unsentPage)
		if err != nil {
			return err
		}
		find := frameFinder{db: db, q: tx}
		for _, r := range rows {
			f, err := find.frame(ctx, r)
			if err == nil {
				_, err = db.target(ctx, tx, r.target, f)
			}
			if !errors.Is(err, ErrCorrupt) {
				return err
			}
			if run.n == 0 {
				run.hour, run.why = r.hour, err
			}
			run.n, run.end = run.n+1, r.seq
		}
		run.more = len(rows) == unsentPage
		return nil
	})
	return run, err
}

// Returned is up to limit visits, in order, that a sink went past and that can be read now: none if no file of closed days has come back since the
// last look. Who has delivered them says so by SettleReturned.
func (db *DB) Returned(ctx context.Context, sink string, limit int) ([]*health.Visit, error) {
	visits, err := db.returned(ctx, sink, limit)
	if err != nil {
		return nil, fmt.Errorf("look for visits that can be read again: %w", err)
	}
	return visits, nil
}

func (db *DB) returned(ctx context.Context, sink string, limit int) ([]*health.Visit, error) {
	type span struct{ first, last int64 }
	var spans []span
	if err := each(ctx, db.read, func(rows *sql.Rows) error {
		var s span
		err := rows.Scan(&s.first, &s.last)
		spans = append(spans, s)
		return err
	}, "SELECT first, last FROM unsent WHERE sink = ? ORDER BY first", sink); err != nil || len(spans) == 0 {
		return nil, err
	}
	mark, err := db.periodsMark(ctx)
	if err != nil {
		return nil, err
	}
	db.unsent.mu.Lock()
	look := db.unsent.looked[sink]
	db.unsent.mu.Unlock()
	if look.mark != mark {
		look = unsentLook{mark: mark}
	}
	defer func() {
		db.unsent.mu.Lock()
		defer db.unsent.mu.Unlock()
		if db.unsent.looked == nil {
			db.unsent.looked = map[string]unsentLook{}
		}
		db.unsent.looked[sink] = look
	}()
	for _, s := range spans {
		for at := max(s.first-1, look.beyond); at < s.last; {
			run, err := db.unreadRun(ctx, at, s.last)
			if err != nil {
				return nil, err
			}
			if run.n > 0 {
				at = run.end
				look.beyond = at
			}
			if run.more {
				continue
			}
			visits, err := db.After(ctx, at, limit)
			if errors.Is(err, ErrCorrupt) { // it went between the two
				break
			} else if err != nil {
				return nil, err
			}
			n := 0
			for n < len(visits) && visits[n].Seq <= s.last {
				n++
			}
			if n > 0 {
				return visits[:n], nil
			}
			break // the rest was dropped
		}
		look.beyond = max(look.beyond, s.last)
	}
	return nil, nil
}

// SettleReturned says that a sink has delivered what Returned gave it, from the first to the last.
func (db *DB) SettleReturned(ctx context.Context, sink string, first, last int64) error {
	if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		// What is left of the one that they are of: before them, and after.
		for _, x := range []struct {
			query string
			args  []any
		}{
			{"INSERT INTO unsent (sink, first, last) SELECT sink, ?3 + 1, last FROM unsent WHERE sink = ?1 AND first <= ?2 AND last > ?3", []any{sink, first, last}},
			{"UPDATE unsent SET last = ?2 - 1 WHERE sink = ?1 AND first <= ?2 AND last >= ?3", []any{sink, first, last}},
			{"DELETE FROM unsent WHERE sink = ? AND last < first", []any{sink}},
		} {
			if err := w.exec(ctx, x.query, x.args...); err != nil {
				return err
			}
		}
		return nil
	}}); err != nil {
		return fmt.Errorf("settle visits that could be read again: %w", err)
	}
	return nil
}

// periodsMark changes when one of the files in which blocks stand comes, goes, or is another one.
func (db *DB) periodsMark(ctx context.Context) (string, error) {
	h := sha256.New()
	err := db.eachPeriod(ctx, func(name string, _ int64) {
		st, err := os.Stat(filepath.Join(db.periodsDir(), name))
		if err != nil {
			fmt.Fprintln(h, name, "lost")
			return
		}
		fmt.Fprintln(h, name, st.Size(), st.Mode(), st.ModTime().UnixNano())
	}, "WHERE "+periodInUse)
	return hex.EncodeToString(h.Sum(nil)), err
}

// forgetUnsent forgets visits that are not there any more: dropVisits has counted them.
func (db *DB) forgetUnsent(ctx context.Context) error {
	const gone = "FROM unsent WHERE NOT EXISTS (SELECT 1 FROM visits WHERE seq BETWEEN first AND last)"
	var n int
	if err := db.read.QueryRowContext(ctx, "SELECT count(*) "+gone).Scan(&n); err != nil || n == 0 {
		return err
	}
	return db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error { return w.exec(ctx, "DELETE "+gone) }})
}

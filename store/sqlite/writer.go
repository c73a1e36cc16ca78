package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"dewline/health"
)

// op is one thing to be done in a commit.
type op struct {
	visit *health.Visit                        // a visit to record, or
	do    func(context.Context, *writer) error // something else, that waits for no others
	seq   int64                                // of the visit, once done
	err   error
	done  chan struct{}
}

// writer is the one goroutine that writes. Everything it holds is rebuilt from the store when a commit fails.
type writer struct {
	db      *DB
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt
	seq     int64 // the last one given
	link    link  // the last event written
	closed  int64 // hours below have, or may have, blocks
	targets map[string]*writerTarget
	touched map[string]*writerTarget // by the transaction under way

	checkpoint bool // asked for: cannot be done inside a transaction

	unmoved string    // the last error of a checkpoint
	failing time.Time // since when commits fail; zero: they do not
	failed  int       // visits that failed since
	said    string    // the last error that was logged
}

// connect takes the connection and reads where the log ends.
func (w *writer) connect(ctx context.Context) error {
	conn, err := w.db.write.Conn(ctx)
	if err != nil {
		return err
	}
	w.conn, w.stmts = conn, map[string]*sql.Stmt{}
	// Not the last visit alone: its row may go one day, its number may never be given again.
	err = conn.QueryRowContext(ctx, `SELECT max(
		coalesce((SELECT max(seq) FROM visits), 0), coalesce((SELECT max(seq) FROM latest), 0),
		coalesce((SELECT max(cursor) FROM sinks), 0)),
		coalesce((SELECT max(hour) + 1 FROM blocks), 0)`).Scan(&w.seq, &w.closed)
	if err == nil {
		err = w.loadLink(ctx)
	}
	if err != nil {
		return errors.Join(err, w.disconnect())
	}
	return nil
}

func (w *writer) disconnect() error {
	if w.conn == nil {
		return nil
	}
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	// Else it would go back to the pool, and come out of it as it went in.
	if err := w.conn.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		errs = append(errs, err)
	}
	if err := w.conn.Close(); !errors.Is(err, sql.ErrConnDone) {
		errs = append(errs, err)
	}
	w.conn, w.stmts = nil, nil
	return errors.Join(errs...)
}

// run commits what comes until the channel is closed and drained.
func (w *writer) run() {
	defer close(w.db.finished)
	ops := w.db.ops
	for first := range ops {
		batch := []*op{first}
		if first.visit != nil {
			batch = w.gather(batch)
		}
		w.commit(batch)
		for _, o := range batch {
			close(o.done)
		}
	}
	if err := w.disconnect(); err != nil {
		w.db.o.Log.Warn("close store", "error", err)
	}
}

// gather waits for more visits to share the commit, until it is full, old, or something comes that cannot wait.
func (w *writer) gather(batch []*op) []*op {
	t := time.NewTimer(w.db.o.CommitEvery)
	defer t.Stop()
	for len(batch) < w.db.o.CommitMax {
		select {
		case o, open := <-w.db.ops:
			if !open {
				return batch
			}
			batch = append(batch, o)
			if o.visit == nil {
				return batch
			}
		case <-t.C:
			return batch
		}
	}
	return batch
}

// commit does a batch in one transaction. If one op fails, all is done again with each op in a savepoint, so that it fails
// alone; if the transaction itself fails (a full disk), all of them do.
func (w *writer) commit(batch []*op) {
	// Not a caller's context: the batch is many callers', and a visit that was read is recorded even when the daemon stops.
	ctx := context.Background()
	alone, err := w.transact(ctx, batch, false)
	if err != nil && alone {
		_, err = w.transact(ctx, batch, true)
	}
	if err != nil {
		if visits := countVisits(batch); visits > 0 {
			w.troubled(err, visits)
		} // of what is no visit, who asked for it is told
		for _, o := range batch {
			o.seq, o.err = 0, fmt.Errorf("commit: %w", err)
		}
		return
	}
	for _, o := range batch {
		if o.visit != nil && o.err == nil {
			w.recovered()
			w.db.notify()
			break
		}
	}
	if w.checkpoint {
		w.checkpoint = false
		// With the busy time-out of every statement, a reader could hold up the visits that wait.
		for _, q := range [...]string{"PRAGMA busy_timeout = 0", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA busy_timeout = 10000"} {
			_, err := w.conn.ExecContext(ctx, q)
			if text := fmt.Sprint(err); err != nil && text != w.unmoved {
				w.unmoved = text
				w.db.o.Log.Warn("the WAL cannot be moved into the database now", "error", err)
			}
		}
	}
}

func countVisits(batch []*op) (n int) {
	for _, o := range batch {
		if o.visit != nil {
			n++
		}
	}
	return n
}

// troubled says once that nothing can be recorded, and again when there is another reason: a full disk stays full for hours.
func (w *writer) troubled(err error, lost int) {
	if w.failing.IsZero() {
		w.failing = time.Now()
	}
	w.failed += lost
	if text := err.Error(); text != w.said {
		w.said = text
		w.db.o.Log.Error("nothing can be recorded now; each visit tries anew", "store", w.db.path, "error", err)
	}
}

func (w *writer) recovered() {
	if w.failing.IsZero() {
		return
	}
	w.db.o.Log.Info("recording again", "after", time.Since(w.failing).Round(time.Second), "failed", w.failed)
	w.failing, w.failed, w.said = time.Time{}, 0, ""
}

// transact does the batch. Without savepoints the first error ends it; alone tells that it was an op's own error.
func (w *writer) transact(ctx context.Context, batch []*op, savepoints bool) (alone bool, err error) {
	if err := w.db.inPlace(); err != nil {
		return false, err
	}
	if w.conn == nil {
		if err := w.connect(ctx); err != nil {
			return false, err
		}
	}
	w.touched = map[string]*writerTarget{}
	seq, end := w.seq, w.link
	defer func() {
		if err != nil {
			w.seq, w.link = seq, end
			w.forget()
			// SQLite rolls back by itself on some errors; then there is nothing left to roll back, and that is no error.
			if _, err := w.conn.ExecContext(ctx, "ROLLBACK"); err != nil && !alone {
				w.db.o.Log.Debug("roll back", "error", err)
			}
			if !alone {
				// Whatever state the connection is in, the next commit begins with a new one.
				if err := w.disconnect(); err != nil {
					w.db.o.Log.Debug("drop connection", "error", err)
				}
			}
		}
	}()
	if err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return false, err
	}
	for _, o := range batch {
		o.err = nil
		if savepoints {
			if err := w.exec(ctx, "SAVEPOINT op"); err != nil {
				return false, err
			}
		}
		before, link := w.seq, w.link
		if o.visit != nil {
			o.seq, o.err = w.visit(ctx, o.visit)
		} else {
			o.err = o.do(ctx, w)
		}
		switch {
		case o.err == nil:
		case fatal(o.err):
			return false, o.err
		case !savepoints:
			return true, o.err
		default:
			w.link = link
			w.seq, o.seq, o.err = before, 0, fmt.Errorf("%w: %w", health.ErrRefused, o.err)
			w.forget()
			if err := w.exec(ctx, "ROLLBACK TO op"); err != nil {
				return false, err
			}
		}
		if savepoints {
			if err := w.exec(ctx, "RELEASE op"); err != nil {
				return false, err
			}
		}
	}
	if err := w.exec(ctx, "COMMIT"); err != nil {
		return false, err
	}
	for _, t := range w.touched {
		if t.grown {
			t.grown = false
			w.db.names.put(&target{n: t.n, name: t.name, dict: t.dict})
		}
	}
	return false, nil
}

// forget drops what was held of targets that the failed part touched; it is read again from the store.
func (w *writer) forget() {
	for name := range w.touched {
		delete(w.targets, name)
	}
	clear(w.touched)
}

// fatal tells errors of the store from those of one visit.
func fatal(err error) bool {
	if errors.Is(err, ErrCorrupt) {
		return false // of one target's rows
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return errors.Is(err, sql.ErrConnDone)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return false
	}
	return true
}

func (w *writer) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := w.stmts[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	_, err := w.changes(ctx, query, args...)
	return err
}

// changes is exec that tells how many rows changed.
func (w *writer) changes(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := w.stmt(ctx, query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// QueryContext makes the writer a querier that sees its own transaction.
func (w *writer) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := w.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// Record commits a visit, whole or not at all, and returns when it is on disk; it then sets v.Seq, and v.ID if that was empty. Visits
// of other goroutines share the commit, which ends CommitEvery after its first visit or with CommitMax. A visit whose ID is
// recorded already is not recorded again: it gets the Seq it has. v must not be changed until Record returns; it must not be nil.
//
// A visit that cannot be stored (no target, no time, …) gets an error of its own, which wraps health.ErrRefused, and takes no other with it. When the disk is
// full, every visit of the commit gets the error, and the next Record tries anew. ctx ends only the wait for a place in the
// queue: a visit that was accepted is committed, and Record returns what came of it.
func (db *DB) Record(ctx context.Context, v *health.Visit) error {
	id := v.ID
	clean, err := prepare(v)
	if err != nil {
		return fmt.Errorf("record visit of %q: %w", v.Target, err)
	}
	o := &op{visit: clean}
	if err := db.submit(ctx, o); err != nil {
		return fmt.Errorf("record visit of %q: %w", v.Target, err)
	}
	v.Seq = o.seq
	if id == "" {
		v.ID = clean.ID
	}
	return nil
}

// submit hands an op to the writer and waits for it.
func (db *DB) submit(ctx context.Context, o *op) error {
	o.done = make(chan struct{})
	if err := db.hand(ctx, o); err != nil {
		return err
	}
	<-o.done
	return o.err
}

func (db *DB) hand(ctx context.Context, o *op) error {
	db.closing.RLock()
	defer db.closing.RUnlock()
	if db.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case db.ops <- o:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

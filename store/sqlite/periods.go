package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// How blocks come into files, and files go. docs/decisions/retention.md says why each step stands where it stands.
const (
	// periodRest is how long after its end a day's blocks stay rows: visits may come late, and a file is never changed.
	periodRest = 24 * time.Hour
	// maxPeriods is how many files one day may have. What comes late after that stays in rows.
	maxPeriods = 4
	// moveBlocks and moveBytes are what one transaction moves at most.
	moveBlocks = 64
	moveBytes  = 4 << 20
	// periodRetry is how long moving waits after it failed: while a disk is full it would fill it each time.
	periodRetry = time.Hour
)

// openPeriods makes the folder of files, takes away what a killed process was writing there, and says which files are not what they were.
func (db *DB) openPeriods(ctx context.Context) error {
	dir := db.periodsDir()
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		if err := syncFile(db.dir); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if err := removeParts(dir, periodPart); err != nil {
		return err
	}
	bad, err := db.lostPeriods(ctx)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		db.o.Log.Error("files of closed days are missing or cut short: their visits cannot be read. Were they left behind when the store was moved or restored?",
			"folder", dir, "files", len(bad), "first", bad[0])
	}
	return db.sayUnknown(ctx)
}

// sayUnknown tells of files that no row names: of another store, or newer than the copy that was restored. They are left alone: who put
// a store into its folder to look at it may want to put the one before back.
func (db *DB) sayUnknown(ctx context.Context) error {
	es, err := os.ReadDir(db.periodsDir())
	if err != nil {
		return err
	}
	known := map[string]bool{}
	if err := db.eachPeriod(ctx, func(name string, _ int64) { known[name] = true }, ""); err != nil {
		return err
	}
	n, first := 0, ""
	for _, e := range es {
		if isPeriod.MatchString(e.Name()) && !known[e.Name()] {
			if n++; n == 1 {
				first = e.Name()
			}
		}
	}
	if n > 0 {
		db.o.Log.Warn("files of closed days that this store does not know are left alone: they may be removed if they are not wanted for another store",
			"folder", db.periodsDir(), "files", n, "first", first)
	}
	return nil
}

// eachPeriod calls f for the files that the rows of periods p name.
func (db *DB) eachPeriod(ctx context.Context, f func(name string, bytes int64), where string, args ...any) error {
	return each(ctx, db.read, func(rows *sql.Rows) error {
		var name string
		var bytes int64
		if err := rows.Scan(&name, &bytes); err != nil {
			return err
		}
		f(name, bytes)
		return nil
	}, "SELECT p.name, p.bytes FROM periods p "+where+" ORDER BY p.day, p.id", args...)
}

// periodInUse is true of rows p of periods in whose files blocks stand.
const periodInUse = "EXISTS (SELECT 1 FROM blocks WHERE period = p.id)"

// lostPeriods are the files in which blocks should stand and that are missing or have another size.
func (db *DB) lostPeriods(ctx context.Context) (names []string, err error) {
	err = db.eachPeriod(ctx, func(name string, bytes int64) {
		if st, err := os.Stat(filepath.Join(db.periodsDir(), name)); err != nil || st.Size() != bytes {
			names = append(names, name)
		}
	}, "WHERE "+periodInUse)
	return names, err
}

// periodBytes is what the files take in which blocks stand.
func (db *DB) periodBytes(ctx context.Context) (n int64, err error) {
	err = db.eachPeriod(ctx, func(_ string, bytes int64) { n += bytes }, "WHERE "+periodInUse)
	return n, err
}

// periodMover moves closed days once a day: every file is one for good, and late visits would make many small ones.
type periodMover struct {
	db    *DB
	done  int64 // the day on which all was moved that there was
	again time.Time
}

// step moves one day, if there is one to be moved; so that the store's other upkeep waits no longer.
func (m *periodMover) step(ctx context.Context, now time.Time) error {
	today, _ := dayOf(hourOf(now.UnixNano()))
	if m.done == today || now.Before(m.again) && m.again.Sub(now) <= periodRetry {
		return nil
	}
	before, _ := dayOf(hourOf(now.Add(-periodRest).UnixNano()))
	more, err := m.db.moveDays(ctx, before, 1)
	switch {
	case err != nil:
		m.again = now.Add(periodRetry)
	case !more:
		m.done = today
	}
	return err
}

// moveDays moves the blocks of up to some days before the given one into files, the oldest first. more tells that there may be others.
// It can be interrupted at any moment: the next call goes on, and nothing is moved twice.
func (db *DB) moveDays(ctx context.Context, before int64, some int) (more bool, err error) {
	if db.readOnly {
		return false, ErrClosed
	}
	db.compact.Lock()
	defer db.compact.Unlock()
	if err := db.finishMoves(ctx); err != nil {
		return true, err
	}
	days, err := db.unmovedDays(ctx, before)
	if err != nil {
		return true, err
	}
	for _, day := range days {
		if err := ctx.Err(); err != nil {
			return true, err
		}
		if some == 0 {
			return true, nil
		}
		moved, err := db.moveDay(ctx, day)
		if err != nil {
			return true, fmt.Errorf("move the visits of %s into a file: %w", hourTime(day*hoursPerDay).Format(time.DateOnly), err)
		}
		if moved {
			some--
		}
	}
	return false, nil
}

// unmovedDays are the days before the given one that have blocks in rows, and may be moved: not those that have visits which are not compacted,
// since their blocks are about to be made anew, and not those that have files enough.
func (db *DB) unmovedDays(ctx context.Context, before int64) (days []int64, err error) {
	err = each(ctx, db.read, func(rows *sql.Rows) error {
		var h int64
		if err := rows.Scan(&h); err != nil {
			return err
		}
		if day, _ := dayOf(h); len(days) == 0 || days[len(days)-1] != day {
			days = append(days, day)
		}
		return nil
	}, `WITH RECURSIVE b(hour) AS (SELECT min(hour) FROM blocks WHERE period IS NULL
			UNION ALL SELECT (SELECT min(hour) FROM blocks WHERE period IS NULL AND hour > b.hour) FROM b WHERE b.hour < ?1)
		SELECT hour FROM b WHERE hour < ?1`, before*hoursPerDay)
	if err != nil {
		return nil, err
	}
	kept := days[:0]
	for _, day := range days {
		var n int
		if err := db.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM fresh WHERE hour BETWEEN ?1 AND ?2)
			OR (SELECT count(*) FROM periods WHERE day = ?3) >= ?4`, day*hoursPerDay, day*hoursPerDay+hoursPerDay-1, day, maxPeriods).Scan(&n); err != nil {
			return nil, err
		}
		if n == 0 {
			kept = append(kept, day)
		}
	}
	return kept, nil
}

// moveDay writes a day's blocks into a file and points their rows to it. In this order: the bytes are on disk; a row says that a
// file of that name is ours; the file has its name, on disk too; the blocks' rows give up their bytes.
func (db *DB) moveDay(ctx context.Context, day int64) (moved bool, err error) {
	if err := db.inPlace(); err != nil {
		return false, err
	}
	var ids []int64
	if err := each(ctx, db.read, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT id FROM blocks WHERE hour BETWEEN ? AND ? AND period IS NULL ORDER BY target, hour, first_seq",
		day*hoursPerDay, day*hoursPerDay+hoursPerDay-1); err != nil || len(ids) == 0 {
		return false, err
	}
	dir := db.periodsDir()
	w, err := newPeriod(dir)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			w.discard()
		}
	}()
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var b filed
		if err := db.read.QueryRowContext(ctx, "SELECT target, hour, first_seq, last_seq, visits, samples, data FROM blocks WHERE id = ?", id).
			Scan(&b.target, &b.hour, &b.first, &b.last, &b.visits, &b.samples, &b.data); err != nil {
			return false, err
		}
		if err := w.add(&b); err != nil {
			return false, err
		}
	}
	name, err := w.finish(day)
	if err != nil {
		return false, err
	}
	if err := db.submit(ctx, &op{do: func(ctx context.Context, wr *writer) error {
		return wr.exec(ctx, `INSERT INTO periods (name, day, bytes) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET moved = 0`, name, day, w.size)
	}}); err != nil {
		return false, err
	}
	if err := os.Rename(w.f.Name(), filepath.Join(dir, name)); err != nil {
		return false, err
	}
	if err := syncFile(dir); err != nil {
		return false, err
	}
	return true, db.moveInto(ctx, name)
}

// finishMoves goes on with what was interrupted.
func (db *DB) finishMoves(ctx context.Context) error {
	var names []string
	if err := db.eachPeriod(ctx, func(name string, _ int64) { names = append(names, name) }, "WHERE moved = 0"); err != nil {
		return err
	}
	for _, name := range names {
		err := syncFile(db.periodsDir()) // it may have its name since a moment, and not yet on disk
		if err == nil {
			err = db.moveInto(ctx, name)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrCorrupt):
			// It never had its name, or is damaged: the rows that still have their bytes keep them, for another file.
			if !errors.Is(err, fs.ErrNotExist) {
				db.o.Log.Error("a file of closed days is damaged", "error", err)
			}
			if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
				return w.exec(ctx, "UPDATE periods SET moved = 1 WHERE name = ?", name)
			}}); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("move visits into %s: %w", name, err)
		}
	}
	return nil
}

// moveInto points rows to the blocks of a file, as long as the very bytes that the row has stand there, and takes them from the row. To do it
// again changes nothing.
func (db *DB) moveInto(ctx context.Context, name string) error {
	var some []*filed
	bytes := 0
	move := func(last bool) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
			id, err := w.number(ctx, "SELECT id FROM periods WHERE name = ?", name)
			if err != nil {
				return err
			}
			for _, b := range some {
				if err := w.exec(ctx, `UPDATE blocks SET data = x'', period = ?, place = ?, size = ?
					WHERE target = ? AND hour = ? AND first_seq = ? AND last_seq = ? AND period IS NULL AND data = ?`,
					id, b.place, len(b.data), b.target, b.hour, b.first, b.last, b.data); err != nil {
					return err
				}
			}
			if last {
				return w.exec(ctx, "UPDATE periods SET moved = 1 WHERE id = ?", id)
			}
			return nil
		}})
		some, bytes = some[:0], 0
		return err
	}
	if err := eachFiled(filepath.Join(db.periodsDir(), name), func(b *filed) error {
		some, bytes = append(some, b), bytes+len(b.data)
		if len(some) < moveBlocks && bytes < moveBytes {
			return nil
		}
		return move(false)
	}); err != nil {
		return err
	}
	return move(true)
}

// removePeriods removes the files in which no block stands any more. While anybody reads or copies the store it leaves them for the next time.
func (db *DB) removePeriods(ctx context.Context) error {
	db.compact.Lock()
	defer db.compact.Unlock()
	var names []string
	const unused = "moved = 1 AND NOT " + periodInUse
	if err := db.eachPeriod(ctx, func(name string, _ int64) { names = append(names, name) }, "WHERE "+unused); err != nil || len(names) == 0 {
		return err
	}
	if err := db.inPlace(); err != nil {
		return err
	}
	free, err := db.held.alone(db.periodsDir())
	if err != nil || free == nil {
		return err
	}
	defer free()
	for _, name := range names {
		if err := os.Remove(filepath.Join(db.periodsDir(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// They are gone for good before they are forgotten: one that came back after a power cut would be nobody's.
	if err := syncFile(db.periodsDir()); err != nil {
		return err
	}
	free() // who reads must not wait for the writer too
	return db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		for _, name := range names {
			if err := w.exec(ctx, "DELETE FROM periods AS p WHERE name = ? AND "+unused, name); err != nil {
				return err
			}
		}
		return nil
	}})
}

// removeParts removes what is called by the pattern in dir, whose own name may have what is special in a pattern.
func removeParts(dir, pattern string) error {
	es, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range es {
		if is, _ := filepath.Match(pattern, e.Name()); is {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

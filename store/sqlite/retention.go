package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Retention says what Run drops when. Events, log entries, faults, and what is known of components are kept for ever; what an open
// verification rests on is kept until it is closed.
type Retention struct {
	Raw     time.Duration // age at which an hour's visits are dropped; their rollups stay. 0: never
	Rollups time.Duration // age at which a day's rollups are dropped. 0: never
	// MaxBytes is what the pages in use and the files of closed days may take. It wins over both ages: beyond it the oldest hours of visits are dropped, and
	// when there are no more, the oldest days of rollups. 0: no bound.
	MaxBytes int64
	// MaxLag is, by sink of Options.Sinks, how old a visit may become that the sink has not taken: until then it is not dropped
	// for its age, and its hour waits to be compacted. Then it is dropped when it is due, and counted. 0 or none: there is no end.
	MaxLag map[string]time.Duration
}

// RetentionState is what retention has left.
type RetentionState struct {
	RawSince     time.Time // the oldest hour with visits; zero: there are none
	RollupsSince time.Time // the oldest day with rollups; zero: there are none
	// CappedBefore is the time up to which visits were dropped to keep the store below MaxBytes, earlier than their age asks
	// for; zero: never.
	CappedBefore time.Time
	// PinnedSince is since when nothing is dropped, for its age or for the store's size, since an open verification rests on it; zero:
	// there is none.
	PinnedSince time.Time
	// LostFiles are the files of closed days that are missing or not whole: their visits cannot be read.
	LostFiles []string
	Used      int64 // bytes of pages in use, and of the files of closed days
	Free      int64 // bytes of pages that new data will use
}

const (
	// dropBlocks and dropVisits are how many rows one transaction takes away; so long at most does a visit wait to be recorded.
	dropBlocks = 64
	dropVisits = 20_000
	dropDays   = 64 // rollups of a target's day
	// vacuumPages is how many pages one transaction gives back to the file system.
	vacuumPages = 256
	vacuumFrom  = 64 // fewer are left alone
)

// tooOld tells whether an hour ended more than age before now. An age of 0 is no age.
func (db *DB) tooOld(h int64, age time.Duration, now time.Time) bool {
	return age > 0 && (h+1)*hour < now.Add(-age).UnixNano()
}

// Retain drops what is too old at now, or too much: what Run does by itself.
func (db *DB) Retain(ctx context.Context, now time.Time) error { return db.retain(ctx, now) }

// retain drops what is too old at now, or too much. Each step is a small transaction; interrupted at any moment, the next
// call goes on where it was.
func (db *DB) retain(ctx context.Context, now time.Time) error {
	r := db.o.Retention
	if r.Raw <= 0 && r.Rollups <= 0 && r.MaxBytes <= 0 {
		return nil
	}
	before, err := db.givenUp(ctx)
	if err != nil {
		return err
	}
	closed := hourOf(now.Add(-compactGrace).UnixNano()) // hours before it are closed
	pinned, err := db.pinned(ctx)
	if err != nil {
		return err
	}
	closed = min(closed, pinned)
	if r.Raw > 0 {
		if err := db.dropAged(ctx, closed, now); err != nil {
			return err
		}
	}
	if r.Rollups > 0 {
		day, _ := dayOf(min(pinned, hourOf(now.Add(-r.Rollups).UnixNano())))
		if err := db.dropRollups(ctx, day); err != nil {
			return err
		}
	}
	if err := db.capSize(ctx, closed); err != nil {
		return err
	}
	if err := db.shrink(ctx); err != nil {
		return err
	}
	return db.sayGivenUp(ctx, before)
}

// oldestRaw is the oldest hour before the given one that has visits.
func (db *DB) oldestRaw(ctx context.Context, before int64) (h int64, ok bool, err error) {
	var oldest sql.NullInt64
	err = db.read.QueryRowContext(ctx, `SELECT min(hour) FROM (SELECT min(hour) AS hour FROM blocks UNION ALL SELECT min(hour) FROM fresh)`).
		Scan(&oldest)
	return oldest.Int64, err == nil && oldest.Valid && oldest.Int64 < before, err
}

// dropAged drops every hour that is older than Raw and that no sink waits for.
func (db *DB) dropAged(ctx context.Context, closed int64, now time.Time) error {
	passed, err := db.passed(ctx, now)
	if err != nil {
		return err
	}
	end := min(closed, hourOf(now.Add(-db.o.Retention.Raw).UnixNano()))
	hours, err := rawHours(ctx, db.read, math.MinInt64, end-1)
	if err != nil {
		return err
	}
	for _, h := range hours {
		var last sql.NullInt64
		if err := db.read.QueryRowContext(ctx, `SELECT max(seq) FROM (SELECT max(last_seq) AS seq FROM blocks WHERE hour = ?1
			UNION ALL SELECT max(seq) FROM fresh WHERE hour = ?1)`, h).Scan(&last); err != nil {
			return err
		}
		if last.Int64 > passed(h) {
			continue // a sink is behind, and not yet too far
		}
		if err := db.dropHour(ctx, h, false); err != nil {
			return err
		}
	}
	return nil
}

// rawHours is the hours, in order, that have visits, compacted or not.
func rawHours(ctx context.Context, q querier, first, last int64) ([]int64, error) {
	var hours []int64
	err := each(ctx, q, func(rows *sql.Rows) error {
		var h int64
		err := rows.Scan(&h)
		hours = append(hours, h)
		return err
	}, `WITH RECURSIVE
		b(hour) AS (SELECT min(hour) FROM blocks WHERE hour >= ?1
			UNION ALL SELECT (SELECT min(hour) FROM blocks WHERE hour > b.hour) FROM b WHERE b.hour IS NOT NULL AND b.hour < ?2),
		f(hour) AS (SELECT min(hour) FROM fresh WHERE hour >= ?1
			UNION ALL SELECT (SELECT min(hour) FROM fresh WHERE hour > f.hour) FROM f WHERE f.hour IS NOT NULL AND f.hour < ?2)
		SELECT hour FROM b WHERE hour <= ?2 UNION SELECT hour FROM f WHERE hour <= ?2 ORDER BY hour`, first, last)
	return hours, err
}

// dropHour drops the visits of an hour, all targets', and counts those that a sink had not taken. Their rollups are made first.
// Rows of the log go before the blocks that hold what the visits brought, so that no follower meets one without the other.
func (db *DB) dropHour(ctx context.Context, h int64, capped bool) error {
	db.compact.Lock()
	defer db.compact.Unlock()
	err := db.compactHour(ctx, h, math.MaxInt64)
	damaged := errors.Is(err, ErrCorrupt) // waiting does not mend it
	if damaged {
		db.o.Log.Error("visits that cannot be read are dropped", "hour", time.Unix(0, h*hour).UTC(), "error", err)
	} else if err != nil {
		return err
	}
	if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		for key, set := range map[string]bool{metaDropped: true, metaCapped: capped} {
			if !set {
				continue
			}
			old, ok, err := metaInt(ctx, w, key)
			if err == nil && (!ok || old < h+1) {
				err = w.setMeta(ctx, key, strconv.FormatInt(h+1, 10))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}}); err != nil {
		return err
	}
	// A visit that comes for this hour from now on has its turn the next time.
	const notFresh = "AND seq NOT IN (SELECT seq FROM fresh)"
	if err := db.dropRows(ctx, h, notFresh); err != nil || !damaged {
		return err
	}
	// What came late beside blocks that could not be read gets into the rollup now that they are away. What cannot be read itself goes.
	switch err := db.compactHour(ctx, h, math.MaxInt64); {
	case errors.Is(err, ErrCorrupt):
		return db.dropRows(ctx, h, "")
	case err != nil:
		return err
	}
	return db.dropRows(ctx, h, notFresh)
}

// dropRows drops what stands of an hour in visits and blocks; if kept chooses all, in fresh too.
func (db *DB) dropRows(ctx context.Context, h int64, kept string) error {
	var first, last sql.NullInt64
	if err := db.read.QueryRowContext(ctx, `SELECT min(a), max(b) FROM (SELECT min(first_seq) AS a, max(last_seq) AS b FROM blocks WHERE hour = ?1
		UNION ALL SELECT min(seq), max(seq) FROM fresh WHERE hour = ?1)`, h).Scan(&first, &last); err != nil {
		return err
	}
	for from := first.Int64; first.Valid && from <= last.Int64; {
		if err := ctx.Err(); err != nil {
			return err
		}
		// One visit that came very late makes the range long: what belongs to other hours is passed over beside the writer.
		var next, end sql.NullInt64
		if err := db.read.QueryRowContext(ctx, `SELECT min(seq), max(seq) FROM (SELECT seq FROM visits
			WHERE seq BETWEEN ? AND ? AND hour = ? `+kept+` ORDER BY seq LIMIT ?)`, from, last.Int64, h, dropVisits).Scan(&next, &end); err != nil {
			return err
		}
		if !next.Valid {
			break
		}
		for a := next.Int64; a <= end.Int64; a += dropVisits {
			if err := db.dropVisits(ctx, h, kept, a, min(a+dropVisits-1, end.Int64)); err != nil {
				return err
			}
		}
		from = end.Int64 + 1
	}
	if err := db.deleteAll(ctx, "DELETE FROM blocks WHERE id IN (SELECT id FROM blocks WHERE hour = ? LIMIT ?)", h, dropBlocks); err != nil {
		return err
	}
	if err := db.forgetUnsent(ctx); err != nil {
		return err
	}
	if kept != "" {
		return nil
	}
	return db.deleteAll(ctx, "DELETE FROM fresh WHERE seq IN (SELECT seq FROM fresh WHERE hour = ? AND seq <= ? LIMIT ?)", h, last.Int64, dropVisits)
}

func (db *DB) dropVisits(ctx context.Context, h int64, kept string, first, last int64) error {
	return db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		for _, s := range db.o.Sinks {
			if err := w.exec(ctx, `UPDATE sinks SET given_up = given_up +
				(SELECT count(*) FROM visits WHERE seq BETWEEN max(?2, cursor + 1) AND ?3 AND hour = ?4 `+kept+`)
				WHERE name = ?1 AND cursor < ?3`, s, first, last, h); err != nil {
				return err
			}
			// Those that it went past since they could not be read, and that it will not get any more.
			if err := w.exec(ctx, `UPDATE sinks SET given_up = given_up +
				(SELECT count(*) FROM visits v WHERE seq BETWEEN ?2 AND ?3 AND hour = ?4 `+kept+`
					AND (SELECT last FROM unsent WHERE sink = ?1 AND first <= v.seq ORDER BY first DESC LIMIT 1) >= v.seq)
				WHERE name = ?1 AND EXISTS (SELECT 1 FROM unsent WHERE sink = ?1)`, s, first, last, h); err != nil {
				return err
			}
		}
		return w.exec(ctx, "DELETE FROM visits WHERE seq BETWEEN ? AND ? AND hour = ? "+kept, first, last, h)
	}})
}

// deleteAll repeats a DELETE, each time in a transaction of its own, until it takes nothing away.
func (db *DB) deleteAll(ctx context.Context, query string, args ...any) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var n int64
		if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) (err error) {
			n, err = w.changes(ctx, query, args...)
			return err
		}}); err != nil || n == 0 {
			return err
		}
	}
}

// dropRollups drops the rollups of days before the given one.
func (db *DB) dropRollups(ctx context.Context, day int64) error {
	var n int
	if err := db.read.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM rollups WHERE day < ? LIMIT 1)", day).Scan(&n); err != nil || n == 0 {
		return err
	}
	db.compact.Lock()
	defer db.compact.Unlock()
	return db.deleteAll(ctx, "DELETE FROM rollups WHERE rowid IN (SELECT rowid FROM rollups WHERE day < ? LIMIT ?)", day, dropDays)
}

// pages is the size of a page, how many the file has, and how many of them are free.
func (db *DB) pages(ctx context.Context) (size, all, free int64, err error) {
	for pragma, n := range map[string]*int64{"page_size": &size, "page_count": &all, "freelist_count": &free} {
		if err := db.read.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(n); err != nil {
			return 0, 0, 0, err
		}
	}
	return size, all, free, nil
}

// capSize drops the oldest until the store is below MaxBytes, or has nothing left that may be dropped: hours before closed, then
// days of rollups before that.
func (db *DB) capSize(ctx context.Context, closed int64) error {
	limit := db.o.Retention.MaxBytes
	for limit > 0 {
		size, all, free, err := db.pages(ctx)
		if err != nil {
			return err
		}
		files, err := db.periodBytes(ctx)
		if err != nil {
			return err
		}
		used := (all-free)*size + files
		if used <= limit {
			db.setOverCap(false, used)
			return nil
		}
		h, ok, err := db.oldestRaw(ctx, closed)
		if err != nil {
			return err
		}
		if ok {
			if err := db.dropHour(ctx, h, true); err != nil {
				return err
			}
			continue
		}
		today, _ := dayOf(closed)
		var oldest sql.NullInt64
		if err := db.read.QueryRowContext(ctx, "SELECT min(day) FROM rollups").Scan(&oldest); err != nil {
			return err
		}
		if !oldest.Valid || oldest.Int64 >= today {
			db.setOverCap(true, used)
			return nil
		}
		if err := db.dropRollups(ctx, oldest.Int64+1); err != nil {
			return err
		}
	}
	return nil
}

// setOverCap says once that the store cannot be brought below its size, and once that it is again.
func (db *DB) setOverCap(over bool, used int64) {
	if over == db.overCap {
		return
	}
	db.overCap = over
	if over {
		db.o.Log.Error("the store is larger than its max_size: all that is left are events, logs and the last hour, which are kept, and what open verifications rest on (dewline report list)",
			"used_bytes", used, "max_bytes", db.o.Retention.MaxBytes)
		return
	}
	db.o.Log.Info("the store is below its max_size again", "used_bytes", used)
}

// shrink gives free pages back to the file system where they are many; the others are left for new data. A store made before
// schema 2 keeps its free pages and fills them again.
func (db *DB) shrink(ctx context.Context) error {
	for {
		size, all, free, err := db.pages(ctx)
		if err != nil {
			return err
		}
		files, err := db.periodBytes(ctx)
		if err != nil {
			return err
		}
		limit := db.o.Retention.MaxBytes
		if free < vacuumFrom || free < all/8 && (limit <= 0 || all*size+files <= limit) {
			return nil
		}
		var left int64
		if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
			// Each step of the statement frees a page: it has to be run to its end.
			if err := each(ctx, w, func(*sql.Rows) error { return nil }, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages)); err != nil {
				return err
			}
			left, err = w.number(ctx, "PRAGMA freelist_count")
			return err
		}}); err != nil {
			return err
		}
		if left >= free {
			return nil // no auto_vacuum in this store
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (db *DB) givenUp(ctx context.Context) (map[string]int64, error) {
	sinks, err := db.Sinks(ctx)
	m := map[string]int64{}
	for _, s := range sinks {
		m[s.Name] = s.GivenUp
	}
	return m, err
}

func (db *DB) sayGivenUp(ctx context.Context, before map[string]int64) error {
	after, err := db.givenUp(ctx)
	for name, n := range after {
		if n > before[name] {
			db.o.Log.Warn("visits are dropped that a sink has not taken", "sink", name, "visits", n-before[name], "in_all", n)
		}
	}
	return err
}

// Retention is what retention has left.
func (db *DB) Retention(ctx context.Context) (RetentionState, error) {
	var s RetentionState
	fail := func(err error) (RetentionState, error) { return s, fmt.Errorf("read state of retention: %w", err) }
	if h, ok, err := db.oldestRaw(ctx, math.MaxInt64); err != nil {
		return fail(err)
	} else if ok {
		s.RawSince = time.Unix(0, h*hour).UTC()
	}
	var day sql.NullInt64
	if err := db.read.QueryRowContext(ctx, "SELECT min(day) FROM rollups").Scan(&day); err != nil {
		return fail(err)
	}
	if day.Valid {
		s.RollupsSince = time.Unix(0, day.Int64*hoursPerDay*hour).UTC()
	}
	if h, ok, err := metaInt(ctx, db.read, metaCapped); err != nil {
		return fail(err)
	} else if ok {
		s.CappedBefore = time.Unix(0, h*hour).UTC()
	}
	var err error
	if s.PinnedSince, err = db.pinnedSince(ctx); err != nil {
		return fail(err)
	}
	size, all, free, err := db.pages(ctx)
	if err != nil {
		return fail(err)
	}
	files, err := db.periodBytes(ctx)
	if err != nil {
		return fail(err)
	}
	if s.LostFiles, err = db.lostPeriods(ctx); err != nil {
		return fail(err)
	}
	s.Used, s.Free = (all-free)*size+files, free*size
	return s, nil
}

// clockJump is how far the clock may be ahead of where it was before retention believes it, and clockBelieve for how long it must
// have been so: a clock that is years ahead for an hour must not empty the store.
const (
	clockJump    = 25 * time.Hour
	clockBelieve = 24 * time.Hour
)

// agingClock is the time by which things age.
type agingClock struct {
	wall    time.Time // what the clock showed when it was last believed,
	at      time.Time // and when that was, on the monotonic clock
	doubted time.Time // since when it is too far ahead; zero: it is not
}

// now is the clock, or if it jumped ahead of late, what it would show without the jump.
func (c *agingClock) now(clock time.Time) time.Time {
	if c.at.IsZero() {
		c.at = clock
		if c.wall.IsZero() {
			c.wall = clock.Round(0)
		}
	}
	expected := c.wall.Add(clock.Sub(c.at))
	if clock.Round(0).Sub(expected) > clockJump {
		if c.doubted.IsZero() {
			c.doubted = clock
		}
		if clock.Sub(c.doubted) < clockBelieve {
			return expected
		}
	}
	c.wall, c.at, c.doubted = clock.Round(0), clock, time.Time{}
	return clock
}

// loadClock takes the clock up where the last run left it.
func (db *DB) loadClock(ctx context.Context) (*agingClock, error) {
	c := &agingClock{}
	s, ok, err := metaInt(ctx, db.read, metaClock)
	if ok {
		c.wall = time.Unix(s, 0)
	}
	return c, err
}

// saveClock keeps what the clock was believed to show, once an hour.
func (db *DB) saveClock(ctx context.Context, now time.Time) error {
	s, ok, err := metaInt(ctx, db.read, metaClock)
	if err != nil || ok && max(now.Unix()-s, s-now.Unix()) < 3600 {
		return err
	}
	return db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		return w.setMeta(ctx, metaClock, strconv.FormatInt(now.Unix(), 10))
	}})
}

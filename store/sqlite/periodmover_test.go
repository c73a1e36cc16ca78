package sqlite

import (
	"context"
	"math"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"dewline/store/storetest"
)

// A day is moved when it has been over for a day, one at a time; what comes late for it, a day later; and not at once again after it failed.
func TestClosedDaysAreMovedOnceADay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storeOfThreeDays(t, dir, Options{})
	m := periodMover{db: db, done: math.MinInt64}
	third := midnight.Add(48 * time.Hour)
	step := func(after time.Duration, files, rows int64, fails bool) {
		t.Helper()
		if err := m.step(t.Context(), third.Add(after)); (err != nil) != fails {
			t.Errorf("%v after the third midnight: %v", after, err)
		}
		if inFiles(t, db) != files || inRows(t, db) != rows {
			t.Errorf("%v after the third midnight: %d in files, %d in rows", after, inFiles(t, db), inRows(t, db))
		}
	}
	step(-time.Second, 0, 36, false)
	must(t, os.Rename(db.periodsDir(), db.periodsDir()+".away"))
	step(time.Second, 0, 36, true)
	must(t, os.Rename(db.periodsDir()+".away", db.periodsDir()))
	step(time.Minute, 0, 36, false)
	step(2*time.Hour, 12, 24, false)
	record(t, db, storetest.NewMachine("a", 3, 2).Visit(midnight.Add(time.Minute)))
	step(3*time.Hour, 12, 24, false)
	must(t, db.CompactBefore(t.Context(), at(1000)))
	step(4*time.Hour, 11, 25, false)
	step(24*time.Hour, 12, 24, false) // the rest of the first day,
	step(24*time.Hour+time.Minute, 24, 12, false)
	step(25*time.Hour, 24, 12, false)
	step(48*time.Hour, 36, 0, false)
	if n := len(filesOf(t, dir)); n != 4 {
		t.Errorf("%d files", n)
	}
}

func TestRunMovesClosedDays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{CommitEvery: time.Millisecond})
		must(t, err)
		defer func() { must(t, db.Close()) }()
		record(t, db, storetest.NewMachine("t", 3, 1).Visit(time.Now().Add(-50*time.Hour)), storetest.NewMachine("u", 3, 1).Visit(time.Now().Add(-50*time.Hour)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- db.Run(ctx) }()
		time.Sleep(2 * heartbeat)
		synctest.Wait()
		if inFiles(t, db) != 2 || inRows(t, db) != 0 {
			t.Errorf("%d in files, %d in rows", inFiles(t, db), inRows(t, db))
		}
		onWriter(t, db, "DELETE FROM blocks")
		time.Sleep(heartbeat)
		synctest.Wait()
		if n := len(filesOf(t, dir)); n != 0 {
			t.Errorf("%d files are left", n)
		}
		cancel()
		must(t, <-done)
	})
}

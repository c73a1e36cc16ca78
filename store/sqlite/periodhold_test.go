package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dewline/store/storetest"
)

// A file that is there and cannot be read, as on a bad sector, is no more than a lost one: other hours are compacted.
func TestAFileThatCannotBeReadHoldsNothingElseUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storeOfThreeDays(t, dir, Options{})
	moveAll(t, db)
	record(t, db, storetest.NewMachine("a", 3, 5).Visit(midnight.Add(time.Minute))) // late, for the first file
	record(t, db, storetest.NewMachine("a", 3, 6).Visit(at(900)))
	var name string
	must(t, db.read.QueryRowContext(t.Context(), "SELECT name FROM periods ORDER BY day LIMIT 1").Scan(&name))
	path := filepath.Join(dir, periodsName, name)
	must(t, errors.Join(os.Remove(path), os.Mkdir(path, 0o700))) // it opens, and each read of it fails
	if err := db.CompactBefore(t.Context(), at(2000)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("compact: %v", err)
	}
	if n := count(t, db, "SELECT count(*) FROM fresh"); n != 1 {
		t.Errorf("%d visits wait to be compacted, not the one of the damaged hour alone", n)
	}
}

// Who reads waits for the removal of a file, and not for what the writer is at.
func TestReadersDoNotWaitForTheWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storeOfThreeDays(t, dir, Options{Retention: Retention{Raw: time.Hour}})
	moveAll(t, db)
	must(t, db.retain(t.Context(), midnight.Add(200*time.Hour)))
	busy, release, written, removed := make(chan struct{}), make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() {
		written <- db.submit(t.Context(), &op{do: func(context.Context, *writer) error { close(busy); <-release; return nil }})
	}()
	<-busy
	go func() { removed <- db.removePeriods(t.Context()) }()
	free := func() bool {
		f, err := db.held.alone(db.periodsDir())
		must(t, err)
		if f == nil {
			return false
		}
		f()
		return true
	}
	for end := time.Now().Add(10 * time.Second); len(namesIn(t, dir)) > 0 || !free(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Error("the folder is locked while the writer is at something else")
			break
		}
	}
	close(release)
	must(t, <-written)
	must(t, <-removed)
	if n := count(t, db, "SELECT count(*) FROM periods"); n != 0 {
		t.Errorf("%d files are not forgotten", n)
	}
}

// The name of a folder is no pattern.
func TestAStoreInAFolderOfAnyName(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a[b")
	must(t, openIn(t, dir, Options{}).Close())
	part := filepath.Join(dir, periodsName, ".period-1.part")
	must(t, os.WriteFile(part, nil, 0o600))
	openIn(t, dir, Options{})
	if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed process was writing is left: %v", err)
	}
}

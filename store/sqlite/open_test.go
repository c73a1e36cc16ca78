package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dewline/store/storetest"
)

func TestFilesAreOurOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data?x=1 %41") // a path that must not be taken for a query
	db := openIn(t, dir, Options{})
	record(t, db, storetest.NewMachine("t", 2, 1).Visit(start))
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", st.Mode(), err)
	}
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
		mode := fs.FileMode(0o600)
		if e.Name() == periodsName {
			mode = fs.ModeDir | 0o700
		}
		if i, err := e.Info(); err != nil || i.Mode() != mode {
			t.Errorf("%s: %v, %v", e.Name(), i.Mode(), err)
		}
	}
	if want := []string{"dewline.db", "dewline.db-shm", "dewline.db-wal", "dewline.lock", "periods"}; !slices.Equal(names, want) {
		t.Errorf("files %q", names)
	}
	if n, err := db.Size(t.Context()); err != nil || n < 4096 {
		t.Errorf("size %d, %v", n, err)
	}
}

func TestOneDaemonPerStore(t *testing.T) {
	dir := t.TempDir()
	db := openIn(t, dir, Options{})
	_, err := Open(t.Context(), dir, Options{})
	if l, ok := errors.AsType[*ErrLocked](err); !ok || l.PID != os.Getpid() {
		t.Errorf("second open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openIn(t, dir, Options{})
}

func TestAnUnwritableDirectoryIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), filepath.Join(file, "data"), Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("open below a file: %v", err)
	}
}

func TestForeignAndDamagedFilesAreRefused(t *testing.T) {
	for name, b := range map[string]string{"no database": strings.Repeat("not a database ", 300), "half a page": "SQLite format 3\x00"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, FileName)
			if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("open: %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != b {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

// withMore is the real migrations and one more.
func withMore(t *testing.T, sql string) migrations {
	t.Helper()
	ms, err := readMigrations(embedded)
	if err != nil {
		t.Fatal(err)
	}
	return append(ms, migration{"9999_more.sql", sql})
}

func TestMigration(t *testing.T) {
	dir := t.TempDir()
	v := storetest.NewMachine("t", 4, 1).Visit(start)
	db := openIn(t, dir, Options{})
	record(t, db, v)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	t.Run("one that fails changes nothing", func(t *testing.T) {
		_, err := open(t.Context(), dir, Options{}, withMore(t, "CREATE TABLE more (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);"))
		if err == nil || !strings.Contains(err.Error(), "9999_more.sql") {
			t.Fatalf("open: %v", err)
		}
		db := openIn(t, dir, Options{})
		if n := count(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'more'"); n != 0 {
			t.Error("half of the migration is there")
		}
	})
	t.Run("one that works comes after a copy and keeps all", func(t *testing.T) {
		db, err := open(t.Context(), dir, Options{}, withMore(t, "CREATE TABLE more (x INTEGER) STRICT;"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := db.After(t.Context(), 0, 10)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d visits, %v", len(got), err)
		}
		if d := storetest.Diff(storetest.Kept(v), got[0]); d != "" {
			t.Error(d)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		copied, err := filepath.Glob(filepath.Join(dir, FileName+".before-schema-*"))
		if err != nil || len(copied) != 1 {
			t.Fatalf("copies: %q, %v", copied, err)
		}
		if st, err := os.Stat(copied[0]); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("copy: %v, %v", st.Mode(), err)
		}
		// The copy is the store as it was: this program opens it.
		old := t.TempDir()
		if err := os.Rename(copied[0], filepath.Join(old, FileName)); err != nil {
			t.Fatal(err)
		}
		if n, err := openIn(t, old, Options{}).MaxSeq(t.Context()); err != nil || n != 1 {
			t.Errorf("copy ends at visit %d, %v", n, err)
		}
	})
	t.Run("a newer store is refused", func(t *testing.T) {
		if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, ErrNewer) {
			t.Errorf("Open: %v", err)
		}
		if _, err := OpenReadOnly(t.Context(), dir); !errors.Is(err, ErrNewer) {
			t.Errorf("OpenReadOnly: %v", err)
		}
	})
}

func TestMigrationsAreNumberedWithoutAHole(t *testing.T) {
	if _, err := readMigrations(fstest.MapFS{"migrations/0001_a.sql": {}, "migrations/0003_c.sql": {}}); err == nil {
		t.Error("a hole went unnoticed")
	}
	if ms, err := readMigrations(embedded); err != nil || len(ms) == 0 {
		t.Errorf("%d migrations, %v", len(ms), err)
	}
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReadOnly(t.Context(), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
	db := openIn(t, dir, Options{})
	m := storetest.NewMachine("t", 4, 1)
	record(t, db, m.Visit(start))
	look := func(name string, visits int) {
		t.Helper()
		ro, err := OpenReadOnly(t.Context(), dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer ro.Close()
		if vs, err := ro.After(t.Context(), 0, 10); err != nil || len(vs) != visits {
			t.Errorf("%s: %d visits, %v", name, len(vs), err)
		}
		if s, err := ro.Statuses(t.Context()); err != nil || len(s) != 1 || s[0].LastSeq != int64(visits) {
			t.Errorf("%s: statuses %+v, %v", name, s, err)
		}
		for what, err := range map[string]error{
			"Record": ro.Record(t.Context(), m.Visit(start)), "SetSinkCursor": ro.SetSinkCursor(t.Context(), "s", 1),
			"CompactBefore": ro.CompactBefore(t.Context(), start), "Run": ro.Run(t.Context()),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %s gives %v", name, what, err)
			}
		}
		if _, err := ro.read.ExecContext(t.Context(), "DELETE FROM visits"); err == nil {
			t.Errorf("%s: it writes", name)
		}
	}
	look("while a daemon runs", 1)
	ro, err := OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	if vs, err := ro.After(t.Context(), 0, 10); err != nil || len(vs) != 1 {
		t.Fatalf("%d visits, %v", len(vs), err)
	}
	other := storetest.NewMachine("t", 9, 2) // new dictionary entries, which the reader has not seen
	record(t, db, other.Visit(start.Add(time.Minute)))
	if vs, err := ro.After(t.Context(), 1, 10); err != nil || len(vs) != 1 || len(vs[0].Snapshot.Readings) != 9 {
		t.Errorf("a later visit: %+v, %v", vs, err)
	}
	look("while a daemon runs, later", 2)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	look("after it stopped", 2)
}

func TestCloseCommitsWhatWasAccepted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{CommitEvery: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		m := storetest.NewMachine("t", 2, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- db.Record(ctx, m.Visit(start)) }()
		synctest.Wait() // it waits for others to share its commit
		cancel()        // too late: it was accepted
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- db.Close() }()
		if err := <-done; err != nil {
			t.Errorf("Record: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("Close waited %v for more visits", took)
		}
		if err := db.Record(t.Context(), m.Visit(start.Add(time.Minute))); !errors.Is(err, ErrClosed) {
			t.Errorf("Record after Close: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
	if n, err := openIn(t, dir, Options{}).MaxSeq(t.Context()); err != nil || n != 1 {
		t.Errorf("%d visits, %v", n, err)
	}
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	db, err := Open(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	record(t, db, storetest.NewMachine("t", 2, 1).Visit(start))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReadOnlyAfterACrash(t *testing.T) {
	dir, left := t.TempDir(), t.TempDir()
	db := openIn(t, dir, Options{})
	record(t, db, storetest.NewMachine("t", 4, 1).Visit(start))
	// What a killed daemon leaves: the visit is in the WAL alone. Read by another process, as raw files must be.
	for _, suffix := range []string{"", "-wal"} {
		out, err := exec.Command("cat", filepath.Join(dir, FileName+suffix)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(left, FileName+suffix), out, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ro, err := OpenReadOnly(t.Context(), left)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	if vs, err := ro.After(t.Context(), 0, 10); err != nil || len(vs) != 1 {
		t.Errorf("%d visits, %v", len(vs), err)
	}
}

// A child that another goroutine is just starting holds a copy of every descriptor until it executes its program.
func TestAClosedStoreIsFreeThoughAChildHasItsDescriptors(t *testing.T) {
	dir := t.TempDir()
	db := openIn(t, dir, Options{})
	copied, err := syscall.Dup(int(db.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(copied)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	again, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

package sqlite

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/store/storetest"
)

// restore does what docs/OPERATIONS.md says: the copy becomes dewline.db of an empty folder, and what stands in "periods" beside it comes along.
func restore(t *testing.T, copied string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	b, err := os.ReadFile(copied)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, FileName), b, 0o600))
	if from := filepath.Join(filepath.Dir(copied), periodsName); filepath.Base(copied) != FileName {
		must(t, os.CopyFS(filepath.Join(dir, periodsName), os.DirFS(from)))
		for name := range maps.Keys(namesIn(t, dir)) {
			must(t, os.Chmod(filepath.Join(dir, periodsName, name), 0o600))
		}
	}
	return dir
}

func namesIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	es, err := os.ReadDir(filepath.Join(folder, periodsName))
	must(t, err)
	names := map[string]bool{}
	for _, e := range es {
		names[e.Name()] = true
	}
	return names
}

func TestBackupsOfFiles(t *testing.T) {
	t.Parallel()
	dir, folder := t.TempDir(), t.TempDir()
	db := storeOfThreeDays(t, dir, Options{Retention: Retention{Raw: 24 * time.Hour}})
	day, _ := dayOf(hourOf(midnight.UnixNano()))
	_, err := db.moveDays(t.Context(), day+2, 9)
	must(t, err)
	want := everythingOf(t, db)
	same := func(what, copied string) {
		t.Helper()
		must(t, VerifyBackup(t.Context(), copied))
		var log lockedLog
		back := openIn(t, restore(t, copied), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if d := storetest.Diff(want, everythingOf(t, back)); d != "" {
			t.Errorf("%s: %s", what, d)
		}
		integrity(t, back)
		moveAll(t, back)
		record(t, back, storetest.NewMachine("a", 3, 1).Visit(at(900)))
		if strings.Contains(log.String(), "missing") {
			t.Errorf("%s: it said %s", what, &log)
		}
	}
	// In one file there is everything.
	one := filepath.Join(t.TempDir(), FileName)
	must(t, db.Backup(t.Context(), one))
	same("one file", one)

	// In a folder, what two copies share is there once, and is not written again.
	unlock, err := LockBackups(folder)
	must(t, err)
	if _, err := LockBackups(folder); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("two at once: %v", err)
	}
	first, second := filepath.Join(folder, "1.db"), filepath.Join(folder, "2.db")
	must(t, db.BackupInto(t.Context(), folder, "1.db"))
	files := filesOf(t, folder)
	if len(files) != 2 || !maps.Equal(files, filesOf(t, dir)) {
		t.Errorf("copied %v", namesIn(t, folder))
	}
	if n, err := BackupBytes(t.Context(), first); err != nil || n <= int64(len(strings.Join(listOfValues(files), ""))) {
		t.Errorf("a backup of %d bytes, %v", n, err)
	}
	before := map[string]time.Time{}
	for name := range files {
		path := filepath.Join(folder, periodsName, name)
		must(t, os.Chtimes(path, start, start))
		before[name] = start
	}
	moveAll(t, db)
	must(t, db.BackupInto(t.Context(), folder, "2.db"))
	if n := len(filesOf(t, folder)); n != 3 {
		t.Errorf("%d files", n)
	}
	for name := range before {
		if st, err := os.Stat(filepath.Join(folder, periodsName, name)); err != nil || !st.ModTime().Equal(start) {
			t.Errorf("%s was written again: %v", name, err)
		}
	}
	same("the first of a folder", first)
	same("the second of a folder", second)

	// What retention takes from the store stays in the copies that need it, and goes when none of them does.
	must(t, errors.Join(db.retain(t.Context(), midnight.Add(50*time.Hour)), db.removePeriods(t.Context())))
	if n := len(filesOf(t, dir)); n != 2 {
		t.Errorf("%d files in the store", n)
	}
	must(t, db.BackupInto(t.Context(), folder, "3.db"))
	must(t, RemoveUnneeded(t.Context(), folder))
	same("after files went from the store", second)
	must(t, os.WriteFile(filepath.Join(folder, "not ours.db"), []byte("SQLite format 3\x00 of somebody else"), 0o600))
	must(t, os.WriteFile(filepath.Join(folder, periodsName, "not ours"), nil, 0o600))
	must(t, errors.Join(os.Remove(first), RemoveUnneeded(t.Context(), folder)))
	if n := len(namesIn(t, folder)); n != 4 {
		t.Errorf("%d files while the second copy needs them", n)
	}
	must(t, os.Rename(second, filepath.Join(folder, "renamed by hand")))
	must(t, RemoveUnneeded(t.Context(), folder))
	if n := len(namesIn(t, folder)); n != 4 {
		t.Errorf("%d files while a copy under another name needs them", n)
	}
	must(t, errors.Join(os.Remove(filepath.Join(folder, "renamed by hand")), RemoveUnneeded(t.Context(), folder)))
	if n := len(namesIn(t, folder)); n != 3 {
		t.Errorf("%d files once only the third copy is left", n)
	}
	must(t, VerifyBackup(t.Context(), filepath.Join(folder, "3.db")))
	// A copy that cannot be asked: nothing is removed.
	third, err := os.ReadFile(filepath.Join(folder, "3.db"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "3.db"), third[:5000], 0o600))
	if err := RemoveUnneeded(t.Context(), folder); err == nil || !strings.Contains(err.Error(), "3.db") || len(namesIn(t, folder)) != 3 {
		t.Errorf("with a damaged copy: %v, %d files", err, len(namesIn(t, folder)))
	}
	unlock()
	if unlock, err := LockBackups(folder); err != nil {
		t.Error(err)
	} else {
		unlock()
	}
	if err := db.BackupInto(t.Context(), dir, "x.db"); err == nil || !strings.Contains(err.Error(), "the folder of the store itself") {
		t.Errorf("into its own folder: %v", err)
	}
}

// A copy without the folder beside it, and one of a store that has lost a file, say so.
func TestABackupThatLacksFilesSaysSo(t *testing.T) {
	t.Parallel()
	dir, folder := t.TempDir(), t.TempDir()
	db := storeOfThreeDays(t, dir, Options{})
	moveAll(t, db)
	name := lastName(t, db)
	path := filepath.Join(dir, periodsName, name)
	whole, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(slices.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1), 0o600))
	lacking := filepath.Join(folder, "1.db")
	if err := db.BackupInto(t.Context(), folder, "1.db"); !errors.Is(err, ErrLacking) || !strings.Contains(err.Error(), path) {
		t.Errorf("a store with a damaged file: %v", err)
	}
	if err := VerifyBackup(t.Context(), lacking); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), name) {
		t.Errorf("verify: %v", err)
	}
	if n := len(filesOf(t, folder)); n != 2 {
		t.Errorf("%d files: %v", n, namesIn(t, folder))
	}
	must(t, os.WriteFile(path, whole, 0o600)) // somebody brought it back
	must(t, db.BackupInto(t.Context(), folder, "2.db"))
	must(t, VerifyBackup(t.Context(), lacking))

	alone := t.TempDir()
	must(t, os.Rename(filepath.Join(folder, "2.db"), filepath.Join(alone, FileName)))
	if err := VerifyBackup(t.Context(), filepath.Join(alone, FileName)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a copy without its folder: %v", err)
	}
	var log lockedLog
	back := openIn(t, alone, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "files=3") || !strings.Contains(log.String(), "Were they left behind") {
		t.Errorf("it said %s", &log)
	}
	if _, err := back.After(t.Context(), 0, 100); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("After: %v", err)
	}
	if s, err := back.Retention(t.Context()); err != nil || len(s.LostFiles) != 3 {
		t.Errorf("lost %v, %v", s.LostFiles, err)
	}
	record(t, back, storetest.NewMachine("a", 3, 1).Visit(at(900)))
}

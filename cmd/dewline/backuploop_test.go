package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dewline/internal/config"
	"dewline/internal/schedule"
	"dewline/store/sqlite"
)

// A daemon that dies again and again, before it could note that it had made a backup, or while it makes one, pushes out no older copy.
func TestACrashLoopPushesOutNoBackup(t *testing.T) {
	t.Parallel()
	dir, folder := filepath.Join(t.TempDir(), "data"), t.TempDir()
	spec, err := schedule.Parse("30 2 * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), dir, sqlite.Options{CommitEvery: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		const old = "dewline-19991201T023000Z.db" // the one that must stay
		if err := os.WriteFile(filepath.Join(folder, old), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		start := func(runs time.Duration) {
			t.Helper()
			k := newBackupKeeper(&config.Backup{Path: folder, Schedule: spec, Keep: 3}, db, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- k.run(ctx) }()
			time.Sleep(runs)
			synctest.Wait()
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		made := func() int {
			t.Helper()
			all, err := backups(folder)
			if err != nil || len(all) == 0 || filepath.Base(all[0]) != old {
				t.Fatalf("the old one is gone: %v, %v", all, err)
			}
			return len(all) - 1
		}
		for i := range 6 {
			start(2 * time.Minute)
			if n := made(); n != 1 {
				t.Fatalf("after %d starts there are %d new ones", i+1, n)
			}
			if err := db.SetBackupState(t.Context(), nil); err != nil { // it died before it could note it
				t.Fatal(err)
			}
		}
		// The next one is due, and kills the process: it is not tried at each start.
		time.Sleep(24 * time.Hour)
		tried := time.Now()
		if err := db.SetBackupState(t.Context(), &sqlite.BackupState{Folder: folder, Next: tried.Add(backupRetry)}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			start(4 * time.Minute)
			if n := made(); n != 1 {
				t.Fatalf("%v after one that was cut short there are %d", time.Since(tried), n)
			}
		}
		start(4 * time.Minute)
		if n := made(); n != 2 {
			t.Fatalf("a quarter of an hour after one that was cut short there are %d", n)
		}
	})
}

// A backup that failed is tried again when it would have been without a restart; one that was stopped has not failed.
func TestAFailedBackupIsNotTriedAtEachStart(t *testing.T) {
	t.Parallel()
	_, db := storeWith(t)
	folder := filepath.Join(t.TempDir(), "not", "mounted")
	spec, err := schedule.Parse("30 2 * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	c := &config.Backup{Path: folder, Schedule: spec, Keep: 3}
	k := newBackupKeeper(c, db, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it is stopped in the middle: nothing more is noted
	if k.make(ctx, day1); k.state.Error != "" {
		t.Errorf("stopping is a failure: %+v", k.state)
	}
	next := k.make(t.Context(), day1)
	kept, err := db.BackupState(t.Context())
	if err != nil || kept == nil || kept.Error == "" || !kept.Next.Equal(day1.Add(backupRetry)) || !next.Equal(kept.Next) {
		t.Fatalf("%+v, %v", kept, err)
	}
	again := newBackupKeeper(c, db, slog.New(slog.DiscardHandler))
	again.state = *kept
	for after, want := range map[time.Duration]time.Time{
		time.Minute:      day1.Add(backupRetry),
		20 * time.Minute: day1.Add(20 * time.Minute), // now
		-2 * time.Hour:   day1.Add(-2 * time.Hour),   // the clock was set back: not for hours
	} {
		if got := again.first(day1.Add(after)); !got.Equal(want) {
			t.Errorf("%v after it: due %v, not %v", after, got, want)
		}
	}
}

// Two backups into one folder exclude each other, also where one is into a file.
func TestABackupToAFileLocksItsFolder(t *testing.T) {
	t.Parallel()
	dir, db := storeWith(t)
	folder := t.TempDir()
	unlock, err := sqlite.LockBackups(folder) // as another one does while it runs
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "x.db")
	code, _, stderr := runProgram(t, "backup", "--data-dir", dir, "--to", file)
	if _, err := os.Lstat(file); code != exitFailed || !strings.Contains(stderr, "another backup is under way in "+folder) || !os.IsNotExist(err) {
		t.Errorf("beside another: exit %d, %s, %v", code, stderr, err)
	}
	unlock()
	// The half-made copy of one under way stays while a scheduled one is due.
	unlock, err = sqlite.LockBackups(folder)
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(folder, ".dewline-backup-1.part")
	if err := os.WriteFile(part, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := schedule.Parse("30 2 * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	k := newBackupKeeper(&config.Backup{Path: folder, Schedule: spec, Keep: 3}, db, slog.New(slog.DiscardHandler))
	k.make(t.Context(), day1)
	if _, err := os.Lstat(part); err != nil || !strings.Contains(k.state.Error, "another backup is under way") {
		t.Errorf("the scheduled one beside it: %v, %+v", err, k.state)
	}
	unlock()
	if code, _, stderr := runProgram(t, "backup", "--data-dir", dir, "--to", file); code != exitOK {
		t.Errorf("alone: exit %d, %s", code, stderr)
	}
}

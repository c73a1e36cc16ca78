package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dewline/store/storetest"
)

const fullEnv = "DEWLINE_TEST_FULL"

// TestFillTheDisk is no test of its own: TestADiskThatIsReallyFull starts it in a process with a small file system, or a small limit
// of files. It records until the disk is full, and on for a while; makes room; and records again.
func TestFillTheDisk(t *testing.T) {
	how, dir, _ := strings.Cut(os.Getenv(fullEnv), " ")
	if dir == "" {
		t.Skip("started by TestADiskThatIsReallyFull")
	}
	var full, room, fullForFiles func()
	switch how {
	case "tmpfs":
		must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m,mode=0700"))
		ballast := filepath.Join(dir, "ballast")
		must(t, os.WriteFile(ballast, make([]byte, 3<<20), 0o600))
		full, room = func() {}, func() { must(t, os.Remove(ballast)) }
		fullForFiles = func() {
			var s syscall.Statfs_t
			must(t, syscall.Statfs(dir, &s))
			must(t, os.WriteFile(ballast, make([]byte, int64(s.Bavail)*s.Bsize-4096), 0o600))
		}
	case "limit":
		signal.Ignore(syscall.SIGXFSZ) // the write then fails with EFBIG
		limit := func(n uint64) {
			var l syscall.Rlimit
			must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l))
			l.Cur = n
			must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l))
		}
		var before syscall.Rlimit
		must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
		full, room = func() { limit(1 << 20) }, func() { limit(before.Cur) }
		fullForFiles = func() { limit(4096) }
	}
	var log lockedLog
	db, err := Open(t.Context(), dir, Options{CommitEvery: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	full()
	m := storetest.NewMachine("t", 400, 1)
	i, stored, refused := 0, 0, 0
	next := func() error {
		i++
		return db.Record(context.Background(), m.Visit(start.Add(time.Duration(i)*time.Second)))
	}
	for refused < 25 && i < 20_000 {
		switch err := next(); {
		case err == nil:
			stored++
		default:
			refused++
			// What a daemon goes on doing meanwhile.
			_ = db.CompactBefore(t.Context(), at(100))
			_ = db.checkpoint(t.Context())
		}
	}
	if refused < 25 {
		t.Fatalf("the disk did not fill with %d visits", stored)
	}
	if vs := storetest.All(t, db); len(vs) != stored {
		t.Errorf("%d visits while it is full, %d were acknowledged", len(vs), stored)
	}
	room()
	for range 20 {
		must(t, next())
		stored++
	}
	must(t, db.CompactBefore(t.Context(), at(100)))
	if vs := storetest.All(t, db); len(vs) != stored {
		t.Errorf("%d visits, %d were acknowledged", len(vs), stored)
	}
	// The file of a closed day does not fit: it is said, nothing of it stays, and nothing is lost.
	fullForFiles()
	if _, err := db.moveDays(t.Context(), farDay, 9); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "move the visits of 2026-11-23") {
		t.Errorf("to move without room: %v", err)
	}
	if es, _ := os.ReadDir(db.periodsDir()); len(es) != 0 || inFiles(t, db) != 0 || inRows(t, db) == 0 {
		t.Errorf("left %v, %d in files, %d in rows", es, inFiles(t, db), inRows(t, db))
	}
	if vs := storetest.All(t, db); len(vs) != stored {
		t.Errorf("%d visits without room for a file, %d were acknowledged", len(vs), stored)
	}
	room()
	_, err = db.moveDays(t.Context(), farDay, 9)
	must(t, err)
	if inFiles(t, db) == 0 || inRows(t, db) != 0 {
		t.Errorf("with room: %d in files, %d in rows", inFiles(t, db), inRows(t, db))
	}
	integrity(t, db)
	must(t, db.Close())
	db = openIn(t, dir, Options{})
	if vs := storetest.All(t, db); len(vs) != stored {
		t.Errorf("%d visits after opening anew, %d were acknowledged", len(vs), stored)
	}
	if n := strings.Count(log.String(), "nothing can be recorded now"); n < 1 || n > 5 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if !strings.Contains(log.String(), "recording again") {
		t.Errorf("it does not say that it records again:\n%s", &log)
	}
	fmt.Printf("stored %d, refused %d\n%s", stored, refused, &log)
}

func TestADiskThatIsReallyFull(t *testing.T) {
	exe, err := os.Executable()
	must(t, err)
	child := func(t *testing.T, how string) (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command(exe, "-test.run=^TestFillTheDisk$", "-test.v")
		cmd.Env = append(os.Environ(), fullEnv+"="+how+" "+t.TempDir())
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd, &out
	}
	check := func(t *testing.T, out string, err error) {
		t.Helper()
		if err != nil || !strings.Contains(out, "stored ") {
			t.Errorf("%v\n%s", err, out)
		}
		t.Log(out)
	}
	t.Run("a limit of the size of files", func(t *testing.T) {
		cmd, out := child(t, "limit")
		err := cmd.Run()
		check(t, out.String(), err)
	})
	t.Run("a small file system", func(t *testing.T) {
		cmd, out := child(t, "tmpfs")
		// Namespaces of its own: nobody else sees the mount, and it goes with the process.
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		err := cmd.Run()
		if err != nil && (out.Len() == 0 || strings.Contains(out.String(), "operation not permitted") || strings.Contains(out.String(), "permission denied")) {
			t.Skipf("no namespace to mount a file system in (the other test covers it): %v %s", err, out)
		}
		check(t, out.String(), err)
	})
}

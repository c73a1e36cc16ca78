package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"dewline/health"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// limitFiles sets how large files of a running process may grow: a write beyond that fails, as on a full disk.
func limitFiles(t *testing.T, pid int, bytes uint64) {
	t.Helper()
	l := syscall.Rlimit{Cur: bytes, Max: ^uint64(0)}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&l)), 0, 0, 0); errno != 0 {
		t.Fatalf("limit the files of process %d: %v", pid, errno)
	}
}

// TestDiskFullUnderTheDaemon: nothing more can be written for a while. It is said once, the daemon lives and answers, it records again
// when there is room, and each tick is accounted for once, those of the while too.
func TestDiskFullUnderTheDaemon(t *testing.T) {
	t.Parallel()
	demo, config, dataDir, env := room(t, "")
	d := startDaemon(t, config, env...)
	eventually(t, "it records", func() bool { return storeExists(t, dataDir) && lastSeq(t, dataDir) > 12 })
	limitFiles(t, d.cmd.Process.Pid, 16<<10)
	eventually(t, "it says that the disk is full", func() bool { return strings.Contains(d.stderr.String(), "nothing can be recorded now") })
	full := lastSeq(t, dataDir)
	demo.Servers[0].Machine.FailFan(0) // what happens meanwhile is told afterwards
	if out, errs, code := command(t, "poll", "-c", config, "-o", "json", demo.Servers[0].Name); code != exitOK || !strings.Contains(out, `"readings":[{`) {
		t.Errorf("poll beside a full disk: exit %d: %s", code, errs)
	}
	time.Sleep(5 * time.Second) // more visits that cannot be recorded: it must not be said at each
	if seq := lastSeq(t, dataDir); seq != full {
		t.Errorf("%d visits were recorded on a full disk", seq-full)
	}
	if _, _, code := command(t, "status", "-c", config); code != exitOK {
		t.Errorf("status beside a full disk: exit %d", code)
	}
	limitFiles(t, d.cmd.Process.Pid, ^uint64(0))
	eventually(t, "it records again", func() bool { return lastSeq(t, dataDir) > full+12 })
	eventually(t, "and says so", func() bool { return strings.Contains(d.stderr.String(), "recording again") })
	d.stop()

	log := d.stderr.String()
	// Another error is another line: the first may be of the file, the next of the new connection.
	if n := strings.Count(log, "nothing can be recorded now"); n < 1 || n > 3 {
		t.Errorf("said %d times", n)
	}
	if n := strings.Count(log, "level=ERROR") + strings.Count(log, "level=WARN"); n > 8 {
		t.Errorf("%d lines of errors and warnings", n)
	}
	db, err := sqlite.Open(t.Context(), dataDir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	visits := storetest.All(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	accountedOnce(t, visits, map[health.Tier]time.Duration{health.TierReadings: time.Second, health.TierEvents: time.Second, health.TierHealth: 2 * time.Second})
	told := 0
	for _, v := range visits {
		for _, e := range v.Events {
			if v.Seq > full && string(v.Target) == demo.Servers[0].Name && e.Transition == health.Asserted && e.Kind == health.KindFailed && strings.HasPrefix(string(e.Component), "fan/") {
				told++
			}
		}
	}
	if told == 0 {
		t.Error("the fan that failed meanwhile is not told")
	}
	integrityOf(t, fmt.Sprint(dataDir, "/dewline.db"))
}

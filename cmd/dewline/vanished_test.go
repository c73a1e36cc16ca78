package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// TestDataDirVanishesUnderTheDaemon: data_dir is moved away, as by an unmount, then another stands there, then it is back. Nothing is recorded where
// nobody would look for it, it is said once for each reason, the daemon lives and answers, and then each tick is accounted for once.
func TestDataDirVanishesUnderTheDaemon(t *testing.T) {
	t.Parallel()
	demo, config, dataDir, env := room(t, "")
	d := startDaemon(t, config, env...)
	eventually(t, "it records", func() bool { return storeExists(t, dataDir) && lastSeq(t, dataDir) > 12 })
	away := dataDir + ".away"
	if err := os.Rename(dataDir, away); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it says that the store is gone", func() bool { return strings.Contains(d.stderr.String(), "gone from its place") })
	gone := lastSeq(t, away)
	demo.Servers[0].Machine.FailFan(0) // what happens meanwhile is told afterwards
	if err := os.Mkdir(dataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dataDir, "dewline.db"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it does not take another file for its own", func() bool { return strings.Contains(d.stderr.String(), "another file than the one") })
	if b, err := os.ReadFile(filepath.Join(dataDir, "dewline.db")); err != nil || string(b) != "another" {
		t.Errorf("the other file is %q, %v", b, err)
	}
	if seq := lastSeq(t, away); seq != gone {
		t.Errorf("%d visits were recorded where nobody looks for them", seq-gone)
	}
	if err := os.RemoveAll(dataDir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, dataDir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it records again", func() bool { return lastSeq(t, dataDir) > gone+12 })
	eventually(t, "and says so", func() bool { return strings.Contains(d.stderr.String(), "recording again") })
	if out, errs, code := command(t, "poll", "-c", config, "-o", "json", demo.Servers[0].Name); code != exitOK || !strings.Contains(out, `"readings":[{`) {
		t.Errorf("poll: exit %d: %s", code, errs)
	}
	d.stop()

	if n := strings.Count(d.stderr.String(), "nothing can be recorded now"); n < 2 || n > 4 { // gone, another, and perhaps gone once more
		t.Errorf("said %d times", n)
	}
	if n := strings.Count(d.stderr.String(), "level=ERROR") + strings.Count(d.stderr.String(), "level=WARN"); n > 12 {
		t.Errorf("%d lines of errors and warnings", n)
	}
	for _, s := range demo.Servers {
		if n := s.OpenSessions(); n > 0 {
			t.Errorf("%s: %d sessions are open", s.Name, n)
		}
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
			if v.Seq > gone && string(v.Target) == demo.Servers[0].Name && e.Transition == health.Asserted && e.Kind == health.KindFailed && strings.HasPrefix(string(e.Component), "fan/") {
				told++
			}
		}
	}
	if told == 0 {
		t.Error("the fan that failed meanwhile is not told")
	}
	integrityOf(t, filepath.Join(dataDir, "dewline.db"))
}

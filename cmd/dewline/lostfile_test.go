package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
	"dewline/store/influx"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// storeWithAFile is a store with three visits of "t", of 2000-01-01, in a file of closed days, and one two days later that is not.
func storeWithAFile(t *testing.T) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), dir, sqlite.Options{CommitEvery: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		m := storetest.NewMachine("t", 3, 1)
		record := func() {
			if err := db.Record(t.Context(), m.Visit(time.Now())); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			record()
			time.Sleep(time.Minute)
		}
		time.Sleep(50 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- db.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		record()
	})
	files, err := filepath.Glob(filepath.Join(dir, "periods", "*.blocks"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	return dir, files[0]
}

// The file of the days that a sink is to take next is lost: what comes after is delivered at once, and the rest when the file is back.
func TestALostFileOfClosedDaysHoldsNoSinkUp(t *testing.T) {
	t.Parallel()
	dir, file := storeWithAFile(t)
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(file, away); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{CommitEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := newLake(t)
	deliver := func(what string, points int, until func(sqlite.Sink) bool) {
		t.Helper()
		s, err := influx.New(influx.Options{URL: l.URL, Bucket: "hw/autogen"}, db, func(health.TargetID) (health.Target, bool) { return health.Target{}, false })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		eventually(t, what, func() bool {
			sinks, err := db.Sinks(t.Context())
			return err == nil && len(sinks) == 1 && until(sinks[0])
		})
		if st := s.State(); st.LastError != "" {
			t.Errorf("%s: %+v", what, st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := l.count(); n != points {
			t.Errorf("%s: %d points came, not %d", what, n, points)
		}
	}
	each := len(influx.Encode(storetest.NewMachine("t", 3, 1).Visit(time.Now()), health.Target{}))
	if each == 0 {
		t.Fatal("a visit makes no point")
	}
	deliver("the visit after the lost ones", each, func(s sqlite.Sink) bool { return s.Cursor == 4 && s.Unsent == 3 && s.GivenUp == 0 })
	_, stdout, _ := runProgram(t, "status", "--data-dir", dir)
	for _, want := range []string{"influxdb 0s behind", "3 VISITS NOT SENT to influxdb", "FILE OF CLOSED DAYS LOST", filepath.Base(file)} {
		if !strings.Contains(stdout, want) {
			t.Errorf("status lacks %q: %s", want, stdout)
		}
	}
	if err := os.Rename(away, file); err != nil {
		t.Fatal(err)
	}
	deliver("the lost ones, with their file again", 4*each, func(s sqlite.Sink) bool { return s.Cursor == 4 && s.Unsent == 0 && s.GivenUp == 0 })
}

// An export gives what there is, and says what it lacks.
func TestAnExportBesideALostFile(t *testing.T) {
	t.Parallel()
	dir, file := storeWithAFile(t)
	_, whole, _ := runProgram(t, "export", "--data-dir", dir, "--what", "visits")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "visits.jsonl")
	for _, to := range []string{"-", out} {
		code, stdout, stderr := runProgram(t, "export", "--data-dir", dir, "--what", "visits", "--out", to)
		if to == out {
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			stdout = string(b)
		}
		if code != exitFailed || strings.Count(stdout, "\n") != 1 || !strings.HasSuffix(whole, stdout) {
			t.Errorf("exit %d, %s", code, stdout)
		}
		for _, want := range []string{"NOT WHOLE", "1 hour of 1 target", "2000-01-01T00:00:00Z", file + ", which holds visits of 2000-01-01, is missing"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("it does not say %q: %s", want, stderr)
			}
		}
	}
	for _, what := range []string{"events", "faults"} {
		if code, _, stderr := runProgram(t, "export", "--data-dir", dir, "--what", what); code != exitOK || stderr != "" {
			t.Errorf("%s: exit %d, %s", what, code, stderr)
		}
	}
}

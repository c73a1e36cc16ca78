package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
	"dewline/internal/config"
	"dewline/internal/schedule"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

var day1 = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// storeWith makes a store of two machines' six hours, and an event and a log entry that are not to be trusted.
func storeWith(t *testing.T) (dir string, db *sqlite.DB) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{CommitEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, name := range []health.TargetID{"db-1", "db-2"} {
		m := storetest.NewMachine(name, 4, 1)
		for i := range 12 {
			v := m.Visit(day1.Add(time.Duration(i) * 30 * time.Minute))
			v.Snapshot.Readings[0].Value = -2.5 - float64(i)
			if i == 3 {
				v.Events = []health.Event{{ID: "e-" + string(name), Target: name, Component: "fan/1", Class: health.ClassFan, Kind: health.KindFailed,
					Severity: health.SeverityCritical, Transition: health.Asserted, At: v.At(), Message: "=cmd|' /C calc'!A0", Evidence: []string{"a", "b"}}}
				v.Snapshot.Log = []health.LogEntry{{Source: "sel", ID: "1", Observed: v.At(), Message: "two\nlines, \"quoted\"", MessageID: "@SUM(A1)", Raw: []byte{1, 2}}}
				v.Snapshot.Gaps = []health.Gap{{Part: "/redfish/v1/Chassis/1", Reason: health.ReasonTimeout}}
				v.Delta.Faults = []health.Fault{{ID: "f-" + string(name), Target: name, Kind: health.KindFailed, State: health.Asserted, Opened: v.At(), Message: "+1"}}
			}
			if err := db.Record(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.CompactBefore(t.Context(), day1.Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	return dir, db
}

func runProgram(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	code = p.main(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestExportHasEveryRowOnce(t *testing.T) {
	dir, _ := storeWith(t)
	for what, want := range map[string]int{"readings": 96, "visits": 24, "events": 2, "log": 2, "faults": 2} {
		code, stdout, stderr := runProgram(t, "export", "--data-dir", dir, "--what", what)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		if code != exitOK || stderr != "" || len(lines) != want {
			t.Errorf("%s: exit %d, %d rows, want %d; %s", what, code, len(lines), want, stderr)
			continue
		}
		var last string
		for _, l := range lines {
			var row map[string]any
			if err := json.Unmarshal([]byte(l), &row); err != nil {
				t.Fatalf("%s: %v: %s", what, err, l)
			}
			for k := range row {
				if !slices.Contains(exportColumns[what], k) {
					t.Errorf("%s: key %q is no column", what, k)
				}
			}
			if l == last {
				t.Errorf("%s: a row twice: %s", what, l)
			}
			last = l
		}
		code, stdout, _ = runProgram(t, "export", "--data-dir", dir, "--what", what, "--format", "csv")
		rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
		if code != exitOK || err != nil || len(rows) != want+1 || !slices.Equal(rows[0], exportColumns[what]) {
			t.Errorf("%s as CSV: exit %d, %d rows, %v", what, code, len(rows), err)
		}
	}
}

func TestExportChooses(t *testing.T) {
	dir, _ := storeWith(t)
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"one target":           {[]string{"--target", "db-2"}, 48},
		"both":                 {[]string{"--target", "db-2", "--target", "db-1"}, 96},
		"from a time":          {[]string{"--since", "2026-11-23T10:00:00Z"}, 48},
		"with another zone":    {[]string{"--since", "2026-11-23T18:00:00+08:00"}, 48},
		"up to a time":         {[]string{"--until", "2026-11-23T08:00:00Z"}, 16},
		"a day":                {[]string{"--since", "2026-11-23", "--until", "2026-11-24"}, 96},
		"another day":          {[]string{"--since", "2026-11-24"}, 0},
		"an age before it all": {[]string{"--until", "36500d"}, 0},
	} {
		code, stdout, stderr := runProgram(t, append([]string{"export", "--data-dir", dir}, c.args...)...)
		if n := strings.Count(stdout, "\n"); code != exitOK || n != c.want {
			t.Errorf("%s: exit %d, %d rows, want %d; %s", name, code, n, c.want, stderr)
		}
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a kind that is none":    {[]string{"--what", "secrets"}, "one of readings, events"},
		"a format that is none":  {[]string{"--format", "xml"}, "jsonl or csv"},
		"a time that is none":    {[]string{"--since", "yesterday"}, "no time"},
		"a time out of range":    {[]string{"--since", "9999-01-01"}, "out of range"},
		"an end before the time": {[]string{"--since", "1d", "--until", "2d"}, "not before"},
		"a target unknown":       {[]string{"--target", "db-3"}, `no target "db-3"`},
		"no name for the file":   {[]string{"--out", ""}, "--out is empty"},
	} {
		code, stdout, stderr := runProgram(t, append([]string{"export", "--data-dir", dir}, c.args...)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %s%s", name, code, stdout, stderr)
		}
	}
}

func TestExportedCellsAreHarmlessAndNumbersStayNumbers(t *testing.T) {
	dir, _ := storeWith(t)
	table := func(what string) (rows []map[string]string) {
		_, stdout, _ := runProgram(t, "export", "--data-dir", dir, "--what", what, "--format", "csv", "--target", "db-1")
		all, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, cells := range all[1:] {
			row := map[string]string{}
			for i, c := range cells {
				row[all[0][i]] = c
			}
			rows = append(rows, row)
		}
		return rows
	}
	if r := table("readings")[0]; r["value"] != "-2.5" || r["unit"] != string(health.Celsius) || r["state"] != "ok" || r["name"] != "temperature 0" {
		t.Errorf("reading %v", r)
	}
	if r := table("events")[0]; r["message"] != "'=cmd|' /C calc'!A0" || r["evidence"] != "a; b" || r["source_time"] != "" {
		t.Errorf("event %v", r)
	}
	if r := table("log")[0]; r["message_id"] != "'@SUM(A1)" || r["message"] != "two\nlines, \"quoted\"" || r["raw"] != "AQI=" {
		t.Errorf("log entry %v", r)
	}
	if r := table("faults")[0]; r["message"] != "'+1" || r["cleared"] != "" || r["at_start"] != "false" {
		t.Errorf("fault %v", r)
	}
	if r := table("visits")[3]; r["gaps"] != "/redfish/v1/Chassis/1: timeout" || r["readings"] != "4" || r["tiers"] != "readings; events" {
		t.Errorf("visit %v", r)
	}
	for in, want := range map[string]string{"-1": "'-1", "\tx": "'\tx", "+": "'+", "a=b": "a=b", "": "", "@": "'@", "=": "'="} {
		if got := csvCell(in); got != want {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}

func TestAnExportedFileIsWholeOrAsItWas(t *testing.T) {
	dir, _ := storeWith(t)
	out := filepath.Join(t.TempDir(), "r.csv")
	if err := os.WriteFile(out, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeWhole(out, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half a file")
		return fmt.Errorf("the disk is full")
	}); err == nil {
		t.Error("no error")
	}
	if b, _ := os.ReadFile(out); string(b) != "precious" {
		t.Errorf("it holds %q", b)
	}
	link := out + ".link"
	if err := os.Symlink(out, link); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runProgram(t, "export", "--data-dir", dir, "--format", "csv", "--out", link)
	if code != exitOK || stdout+stderr != "" {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if b, _ := os.ReadFile(out); bytes.Count(b, []byte("\n")) != 97 {
		t.Errorf("%d lines", bytes.Count(b, []byte("\n")))
	}
	if es, _ := os.ReadDir(filepath.Dir(out)); len(es) != 2 {
		t.Errorf("%v are left", es)
	}
	code, _, stderr = runProgram(t, "export", "--data-dir", dir, "--out", filepath.Join(dir, "none", "x"))
	if code != exitFailed || !strings.Contains(stderr, "no such file") {
		t.Errorf("into no folder: exit %d, %s", code, stderr)
	}
}

func TestBackupCommand(t *testing.T) {
	dir, db := storeWith(t)
	to := t.TempDir()
	code, stdout, stderr := runProgram(t, "backup", "--data-dir", dir, "--to", to) // while it is open for writing
	made, err := backups(to)
	if code != exitOK || err != nil || len(made) != 1 || !strings.Contains(stdout, made[0]) {
		t.Fatalf("exit %d, made %v: %s%s", code, made, stdout, stderr)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(to, "x.db")
	if code, _, stderr := runProgram(t, "backup", "--data-dir", dir, "--to", file); code != exitOK {
		t.Fatalf("without a daemon: exit %d, %s", code, stderr)
	}
	if code, _, stderr := runProgram(t, "backup", "--data-dir", dir, "--to", file); code != exitFailed || !strings.Contains(stderr, "exists") {
		t.Errorf("onto a file: exit %d, %s", code, stderr)
	}
	if code, _, stderr := runProgram(t, "backup", "--data-dir", dir); code != exitUsage || !strings.Contains(stderr, "--to") {
		t.Errorf("to nowhere: exit %d, %s", code, stderr)
	}
	// What docs/OPERATIONS.md says of restoring.
	back := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(back, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file, filepath.Join(back, "dewline.db")); err != nil {
		t.Fatal(err)
	}
	restored, err := sqlite.Open(t.Context(), back, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if n, err := restored.MaxSeq(t.Context()); err != nil || n != 24 {
		t.Errorf("%d visits, %v", n, err)
	}
}

func TestScheduledBackups(t *testing.T) {
	dir, folder := t.TempDir(), filepath.Join(t.TempDir(), "mnt")
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), dir, sqlite.Options{CommitEvery: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Record(t.Context(), storetest.NewMachine("t", 3, 1).Visit(time.Now())); err != nil {
			t.Fatal(err)
		}
		spec, err := schedule.Parse("30 2 * * *", time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		log := &lockedBuffer{}
		start := func() (stop func()) {
			k := newBackupKeeper(&config.Backup{Path: folder, Schedule: spec, Keep: 3}, db, slog.New(slog.NewTextHandler(log, nil)))
			done := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { done <- k.run(ctx) }()
			return func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		stop := start()
		time.Sleep(3 * time.Hour) // the mount is not there
		synctest.Wait()
		if n := strings.Count(log.String(), "no backup is made"); n != 1 {
			t.Errorf("said %d times: %s", n, log)
		}
		if s, err := db.BackupState(t.Context()); err != nil || s == nil || !strings.Contains(s.Error, "no such file") || s.Since.IsZero() {
			t.Errorf("state %+v, %v", s, err)
		}
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"dewline.db", "dewline-20200101T000000Z.db.old", ".dewline-backup-7.part"} {
			if err := os.WriteFile(filepath.Join(folder, other), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * 24 * time.Hour)
		synctest.Wait()
		made, err := backups(folder)
		if err != nil || len(made) != 3 || strings.Count(log.String(), "backups are made again") != 1 {
			t.Errorf("made %v, %v; said %s", made, err, log)
		}
		for _, path := range made {
			if !strings.HasSuffix(path, "T023000Z.db") {
				t.Errorf("made at another time: %s", path)
			}
			if err := sqlite.VerifyBackup(t.Context(), path); err != nil {
				t.Error(err)
			}
		}
		stop()
		if es, _ := os.ReadDir(folder); len(es) != 5 { // what is not ours stays; what a killed process left goes
			t.Errorf("%v", es)
		}
		// The next process makes none before it is due, and one at once that was due while it did not run.
		stop = start()
		time.Sleep(time.Hour)
		synctest.Wait()
		if again, _ := backups(folder); !slices.Equal(again, made) {
			t.Errorf("made %v", again)
		}
		stop()
		time.Sleep(30 * time.Hour)
		stop = start()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if again, _ := backups(folder); len(again) != 3 || again[1] != made[2] {
			t.Errorf("made %v after %v", again, made)
		}
		stop()
		if s, err := db.BackupState(t.Context()); err != nil || s.Error != "" || s.Bytes < 4096 || s.Last.IsZero() {
			t.Errorf("state %+v, %v", s, err)
		}
	})
}

// TestScheduledBackupsShareClosedDays: what docs/OPERATIONS.md says of restoring a copy of a folder with closed days, and of one without them.
func TestScheduledBackupsShareClosedDays(t *testing.T) {
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
		for _, hours := range []time.Duration{-50, -20, -10, 0} { // the day of the first is over for more than a day
			if err := db.Record(t.Context(), storetest.NewMachine("t", 3, 1).Visit(time.Now().Add(hours*time.Hour))); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.SetSinkCursor(t.Context(), "influxdb", 0); err != nil { // it has everything before it
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- db.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		k := newBackupKeeper(&config.Backup{Path: folder, Schedule: spec, Keep: 2}, db, slog.New(slog.DiscardHandler))
		for i := range 3 {
			k.make(t.Context(), day1.Add(time.Duration(i)*24*time.Hour))
			if k.state.Error != "" {
				t.Fatal(k.state.Error)
			}
		}
		// One that is made counts, though what is old cannot be removed: another every 15 minutes would push all days out.
		wal := k.state.Path + "-wal"
		if err := os.WriteFile(wal, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		now := day1.Add(3 * 24 * time.Hour)
		if next := k.make(t.Context(), now); !next.Equal(spec.Next(now, "", 0)) || !strings.Contains(k.state.Error, "may be in use") || !k.state.Last.Equal(now) {
			t.Errorf("next %v, %+v", next, k.state)
		}
		if err := os.Remove(wal); err != nil {
			t.Fatal(err)
		}
		if k.make(t.Context(), now.Add(time.Hour)); k.state.Error != "" {
			t.Fatal(k.state.Error)
		}
	})
	made, err := backups(folder)
	shared, errShared := os.ReadDir(filepath.Join(folder, "periods"))
	if err != nil || errShared != nil || len(made) != 2 || len(shared) != 1 {
		t.Fatalf("made %v, %v; shared %v, %v", made, err, shared, errShared)
	}
	_, want, _ := runProgram(t, "export", "--data-dir", dir, "--what", "readings")
	file, err := os.ReadFile(made[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, with := range []bool{true, false} {
		back := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(back, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(back, "dewline.db"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		if with {
			if err := os.CopyFS(filepath.Join(back, "periods"), os.DirFS(filepath.Join(folder, "periods"))); err != nil {
				t.Fatal(err)
			}
		}
		restored, err := sqlite.Open(t.Context(), back, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := restored.Close(); err != nil {
			t.Fatal(err)
		}
		code, got, stderr := runProgram(t, "export", "--data-dir", back, "--what", "readings")
		codeOfStatus, status, _ := runProgram(t, "status", "--data-dir", back)
		_, inJSON, _ := runProgram(t, "status", "--data-dir", back, "-o", "json")
		unknown := strings.Contains(status, "how far influxdb is behind is NOT KNOWN") && strings.Contains(inJSON, `"lag_seconds":{},"lag_unknown":{"influxdb":"`)
		if codeOfStatus != exitOK || unknown == with || !strings.Contains(status, "influxdb") {
			t.Errorf("status, with its folder %v: exit %d, %s%s", with, codeOfStatus, status, inJSON)
		}
		lost := strings.Contains(status, "FILE OF CLOSED DAYS LOST: readings of 1999-12-29")
		switch {
		case with && (code != exitOK || got != want || stderr != "" || lost):
			t.Errorf("with its folder: exit %d, %d of %d bytes, %s%s", code, len(got), len(want), stderr, status)
		case !with && (code != exitFailed || !strings.Contains(stderr, "is missing") || !strings.Contains(stderr, shared[0].Name()) || !lost):
			t.Errorf("without its folder: exit %d, %s%s", code, stderr, status)
		}
	}
}

func TestStatusTellsOfRetentionAndBackups(t *testing.T) {
	dir, db := storeWith(t)
	state := &sqlite.BackupState{Folder: "/mnt", Error: "folder of backups: not mounted", Since: day1}
	if err := db.SetBackupState(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	_, stdout, _ := runProgram(t, "status", "--data-dir", dir)
	for _, want := range []string{"BACKUPS FAIL since 2026-11-23T07:00:00.000Z: folder of backups: not mounted (last: never)", "readings are kept since 2026-11-23T07:00:00.000Z"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("status lacks %q:\n%s", want, stdout)
		}
	}
	_, stdout, _ = runProgram(t, "status", "--data-dir", dir, "-o", "json")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var doc collectorDoc
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &doc); err != nil || doc.Collector.Backup == nil ||
		doc.Collector.Backup.Error != state.Error || doc.Collector.RawSince != "2026-11-23T07:00:00.000Z" || doc.Collector.GivenUp == nil {
		t.Errorf("%v: %s", err, lines[len(lines)-1])
	}
}

// TestDaemonBacksUpWhileOthersLook: a real daemon on the simulated room makes its backup at the start; export, backup and status work
// beside it; and what it keeps is stopped clean.
func TestDaemonBacksUpWhileOthersLook(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	_, conf, dataDir, env := room(t, fmt.Sprintf("[backup]\npath = %q\nschedule = \"@every 2s\"\nkeep = 2\n[retention]\nmax_size = \"64MiB\"\n", folder))
	d := startDaemon(t, conf, env...)
	eventually(t, "three scheduled backups, of which two are kept", func() bool {
		made, err := backups(folder)
		return err == nil && len(made) == 2 && lastSeq(t, dataDir) > 20
	})
	code, stdout, stderr := runProgram(t, "export", "--data-dir", dataDir, "--what", "readings")
	if n := strings.Count(stdout, "\n"); code != exitOK || n < 50 {
		t.Errorf("export beside the daemon: exit %d, %d rows, %s", code, n, stderr)
	}
	file := filepath.Join(t.TempDir(), "now.db")
	if code, _, stderr := runProgram(t, "backup", "--data-dir", dataDir, "--to", file); code != exitOK {
		t.Errorf("backup beside the daemon: exit %d, %s", code, stderr)
	}
	if _, stdout, _ := runProgram(t, "status", "--data-dir", dataDir); !strings.Contains(stdout, "last backup 20") {
		t.Errorf("status: %s", stdout)
	}
	d.stop()
	if strings.Contains(d.stderr.String(), "no [backup] is configured") || !strings.Contains(d.stderr.String(), "same file system") {
		t.Errorf("it said: %s", d.stderr)
	}
	if err := sqlite.VerifyBackup(t.Context(), file); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, ".dewline-backup-*")); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

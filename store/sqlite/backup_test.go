package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

func TestBackupWhileVisitsAreRecorded(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	db := openIn(t, dir, Options{})
	randomVisits(t, db, 1, 100)
	must(t, db.CompactBefore(t.Context(), at(1)))
	ctx, cancel := context.WithCancel(t.Context())
	recorded := make(chan error)
	go func() {
		m := storetest.NewMachine("busy", 5, 1)
		var err error
		for i := 0; err == nil && ctx.Err() == nil; i++ {
			err = db.Record(t.Context(), m.Visit(start.Add(time.Duration(i)*time.Minute)))
		}
		recorded <- err
	}()
	before, err := db.MaxSeq(t.Context())
	must(t, err)
	path := filepath.Join(to, FileName)
	must(t, db.Backup(t.Context(), path))
	cancel()
	must(t, <-recorded)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("backup: %v, %v", st.Mode(), err)
	}
	if left, _ := os.ReadDir(to); len(left) != 1 {
		t.Errorf("%v are left", left)
	}
	// Restoring is putting it into an empty data_dir.
	back := openIn(t, to, Options{})
	integrity(t, back)
	got, want := storetest.All(t, back), storetest.All(t, db)
	if int64(len(got)) < before || len(got) > len(want) {
		t.Fatalf("%d visits are in the backup; %d were there before, %d after", len(got), before, len(want))
	}
	if d := storetest.Diff(want[:len(got)], got); d != "" {
		t.Error(d)
	}
	if n := count(t, back, "PRAGMA auto_vacuum"); n != 2 {
		t.Errorf("auto_vacuum %d", n)
	}
	record(t, back, storetest.NewMachine("t", 3, 1).Visit(at(900)))
}

func TestBackupOfAStoreNobodyWrites(t *testing.T) {
	dir := t.TempDir()
	db := openIn(t, dir, Options{})
	randomVisits(t, db, 2, 30)
	must(t, db.Close())
	ro, err := OpenReadOnly(t.Context(), dir)
	must(t, err)
	defer ro.Close()
	path := filepath.Join(t.TempDir(), FileName)
	must(t, ro.Backup(t.Context(), path))
	if n := len(storetest.All(t, openIn(t, filepath.Dir(path), Options{}))); n != 30 {
		t.Errorf("%d visits", n)
	}
}

func TestABackupIsWholeOrNotThere(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	randomVisits(t, db, 3, 30)
	dir := t.TempDir()
	there := filepath.Join(dir, "there.db")
	must(t, os.WriteFile(there, []byte("precious"), 0o600))
	if err := db.Backup(t.Context(), there); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file: %v", err)
	}
	if b, _ := os.ReadFile(there); string(b) != "precious" {
		t.Error("a file was overwritten")
	}
	if err := db.Backup(t.Context(), filepath.Join(dir, "none", "x.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no folder: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Backup(ended, filepath.Join(dir, "x.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if es, _ := os.ReadDir(dir); len(es) != 1 {
		t.Errorf("%v are left", es)
	}
	must(t, os.WriteFile(filepath.Join(dir, ".dewline-backup-1.part"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, ".dewline-backup-1.part-journal"), nil, 0o600))
	must(t, RemoveBackupParts(dir))
	if es, _ := os.ReadDir(dir); len(es) != 1 {
		t.Errorf("%v are left", es)
	}
}

func TestADamagedCopyIsNoBackup(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	randomVisits(t, db, 4, 60)
	path := filepath.Join(t.TempDir(), "x.db")
	must(t, db.Backup(t.Context(), path))
	must(t, VerifyBackup(t.Context(), path))
	whole, err := os.ReadFile(path)
	must(t, err)
	for name, b := range map[string][]byte{
		"empty": {}, "half of it": whole[:len(whole)/2], "something else": []byte("SQLite format 3\x00, or not"),
		"a page of noise": append(append(whole[:8192:8192], make([]byte, 4096)...), whole[12288:]...),
	} {
		must(t, os.WriteFile(path, b, 0o600))
		if err := VerifyBackup(t.Context(), path); err == nil {
			t.Errorf("%s passes for a backup", name)
		}
	}
	if err := VerifyBackup(t.Context(), path+".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestBackupStateIsKept(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	if s, err := db.BackupState(t.Context()); s != nil || err != nil {
		t.Errorf("%+v, %v", s, err)
	}
	want := &BackupState{Folder: "/mnt", Last: start, Path: "/mnt/x.db", Bytes: 5, Error: "no space", Since: at(1), Next: at(2)}
	must(t, db.SetBackupState(t.Context(), want))
	s, err := db.BackupState(t.Context())
	must(t, err)
	if d := storetest.Diff(want, s); d != "" {
		t.Error(d)
	}
	must(t, db.SetBackupState(t.Context(), nil))
	if s, err := db.BackupState(t.Context()); s != nil || err != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWalksMeetEverythingOnceInOrder(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		v := storetest.Random(r, health.TargetID(fmt.Sprint("t", i%3)), start.Add(time.Duration(i)*7*time.Minute))
		for k := range 40 {
			e := health.Event{ID: fmt.Sprint(i, "-", k), Target: v.Target, Kind: health.KindInfo, Transition: health.Momentary, At: v.At()}
			v.Events = append(v.Events, e)
			v.Delta.Faults = append(v.Delta.Faults, health.Fault{ID: e.ID, Target: v.Target, State: health.Asserted, Opened: v.At().Truncate(time.Hour)})
			if v.Snapshot != nil && v.Result == health.Done {
				v.Snapshot.Log = append(v.Snapshot.Log, health.LogEntry{Source: "sel", ID: e.ID, Observed: v.At()})
			}
		}
		record(t, db, v)
	}
	must(t, db.CompactBefore(t.Context(), at(2)))
	type id = health.TargetID
	for name, c := range map[string]struct {
		r       Range
		targets map[id]bool
	}{
		"everything":        {Range{}, map[id]bool{"t0": true, "t1": true, "t2": true}},
		"some hours":        {Range{Since: at(1), Until: at(3)}, map[id]bool{"t0": true, "t1": true, "t2": true}},
		"two targets":       {Range{Since: at(0.5), Targets: []id{"t2", "t0"}}, map[id]bool{"t0": true, "t2": true}},
		"a target unknown":  {Range{Targets: []id{"stranger"}}, nil},
		"nothing that soon": {Range{Until: start}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			in := func(target id, at time.Time) bool { return c.targets[target] && within(at, c.r.Since, c.r.Until) }
			var wantVisits, gotVisits []string
			for _, v := range storetest.All(t, db) {
				if in(v.Target, v.At()) {
					wantVisits = append(wantVisits, fmt.Sprint(v.At().Truncate(time.Hour).UTC(), v.Target, v.At().UTC(), v.Seq, len(v.Unread)))
				}
			}
			last := -1
			must(t, db.WalkVisits(t.Context(), c.r, func(done, all int) {
				if done <= last || done >= all {
					t.Errorf("progress %d of %d after %d", done, all, last)
				}
				last = done
			}, func(v *health.Visit) error {
				gotVisits = append(gotVisits, fmt.Sprint(v.At().Truncate(time.Hour).UTC(), v.Target, v.At().UTC(), v.Seq, len(v.Unread)))
				return nil
			}))
			slices.Sort(wantVisits)
			if d := storetest.Diff(wantVisits, gotVisits); d != "" {
				t.Error("visits" + d)
			}
			all, err := db.Events(t.Context(), time.Time{}, time.Time{}, "")
			must(t, err)
			wantEvents, gotEvents := map[string]int{}, map[string]int{}
			for _, e := range all {
				if in(e.Target, e.At) {
					wantEvents[e.ID]++
				}
			}
			must(t, db.WalkEvents(t.Context(), c.r, func(e *health.Event) error { gotEvents[e.ID]++; return nil }))
			if d := storetest.Diff(wantEvents, gotEvents); d != "" {
				t.Error("events" + d)
			}
			logs, err := db.LogEntries(t.Context(), time.Time{}, time.Time{}, "")
			must(t, err)
			var wantLog, gotLog []string
			for _, e := range logs {
				if in(e.Target, e.Observed) {
					wantLog = append(wantLog, fmt.Sprint(e.Target, e.ID, e.Seq))
				}
			}
			must(t, db.WalkLog(t.Context(), c.r, func(e *LogEntry) error { gotLog = append(gotLog, fmt.Sprint(e.Target, e.ID, e.Seq)); return nil }))
			if d := storetest.Diff(wantLog, gotLog); d != "" {
				t.Error("log" + d)
			}
			faults, err := db.Faults(t.Context(), FaultFilter{})
			must(t, err)
			var wantFaults, gotFaults []string
			for _, f := range faults {
				if in(f.Target, f.Opened) {
					wantFaults = append(wantFaults, f.ID)
				}
			}
			must(t, db.WalkFaults(t.Context(), c.r, func(f *health.Fault) error { gotFaults = append(gotFaults, f.ID); return nil }))
			if d := storetest.Diff(wantFaults, gotFaults); d != "" {
				t.Error("faults" + d)
			}
		})
	}
	stop := errors.New("enough")
	for name, err := range map[string]error{
		"visits": db.WalkVisits(t.Context(), Range{}, nil, func(*health.Visit) error { return stop }),
		"events": db.WalkEvents(t.Context(), Range{}, func(*health.Event) error { return stop }),
		"log":    db.WalkLog(t.Context(), Range{}, func(*LogEntry) error { return stop }),
		"faults": db.WalkFaults(t.Context(), Range{}, func(*health.Fault) error { return stop }),
	} {
		if !errors.Is(err, stop) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// onWriter runs a statement on the writer's own connection.
func onWriter(t testing.TB, db *DB, query string) {
	t.Helper()
	if err := db.submit(t.Context(), &op{do: func(ctx context.Context, w *writer) error {
		_, err := w.conn.ExecContext(ctx, query)
		return err
	}}); err != nil {
		t.Fatal(err)
	}
}

func TestVisitsShareACommit(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{CommitEvery: 250 * time.Millisecond, CommitMax: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		took := func(n int) time.Duration {
			begun := time.Now()
			vs := make([]*health.Visit, n)
			for i := range vs {
				vs[i] = storetest.NewMachine(health.TargetID(fmt.Sprint(i)), 2, 1).Visit(begun)
			}
			record(t, db, vs...)
			return time.Since(begun)
		}
		if d := took(10); d != 0 {
			t.Errorf("a full commit waited %v", d)
		}
		if d := took(3); d != 250*time.Millisecond {
			t.Errorf("a small commit waited %v", d)
		}
		if d := took(12); d != 250*time.Millisecond {
			t.Errorf("what is left of a full commit waited %v", d)
		}
		begun := time.Now()
		if err := db.SetSinkCursor(t.Context(), "s", 1); err != nil || time.Since(begun) != 0 {
			t.Errorf("a cursor waited %v, %v", time.Since(begun), err)
		}
	})
}

// trap makes visits of the target named poison fail in the middle of their transaction.
const trap = `CREATE TEMP TRIGGER trap BEFORE INSERT ON main.log_entries WHEN NEW.message = 'poison'
	BEGIN SELECT raise(ABORT, 'poisoned'); END`

func TestAPoisonedVisitFailsAlone(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{CommitEvery: time.Hour, CommitMax: 5})
	onWriter(t, db, trap)
	type outcome struct {
		v   *health.Visit
		err error
	}
	out := make(chan outcome)
	for i := range 5 {
		v := storetest.NewMachine(health.TargetID(fmt.Sprint("t", i)), 3, 1).Visit(start)
		v.Snapshot.Log = []health.LogEntry{{Source: "sel", ID: "1", Observed: start, Message: "fine"}}
		if i == 2 {
			v.Snapshot.Log = append(v.Snapshot.Log, health.LogEntry{Source: "sel", ID: "2", Observed: start, Message: "poison"})
			v.Delta.Driver = "redfish"
		}
		go func() { out <- outcome{v, db.Record(t.Context(), v)} }()
	}
	for range 5 {
		o := <-out
		switch {
		case o.v.Target == "t2":
			if o.err == nil || !strings.Contains(o.err.Error(), "poisoned") || !strings.Contains(o.err.Error(), "t2") || o.v.Seq != 0 {
				t.Errorf("the poisoned visit: seq %d, %v", o.v.Seq, o.err)
			}
		case o.err != nil || o.v.Seq == 0:
			t.Errorf("%s: seq %d, %v", o.v.Target, o.v.Seq, o.err)
		}
	}
	vs := storetest.All(t, db)
	if len(vs) != 4 || vs[3].Seq != 4 {
		t.Errorf("%d visits, the last is %d", len(vs), vs[len(vs)-1].Seq)
	}
	if n := count(t, db, "SELECT count(*) FROM parts p JOIN targets t ON t.id = p.target WHERE t.name = 't2'"); n != 0 {
		t.Errorf("%d dictionary entries of the poisoned visit are left", n)
	}
	// The target itself is not poisoned. Its dictionary in RAM was dropped with the visit; now it is made anew.
	onWriter(t, db, "DROP TRIGGER temp.trap")
	v := storetest.NewMachine("t2", 3, 1).Visit(start)
	done := make(chan error)
	go func() { done <- db.Record(t.Context(), v) }()
	for len(done) == 0 && count(t, db, "SELECT count(*) FROM visits") < 5 {
		onWriter(t, db, "SELECT 1") // ends the commit that waits for more visits
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	vs, err := db.After(t.Context(), 4, 1)
	if err != nil || len(vs) != 1 {
		t.Fatalf("%d visits, %v", len(vs), err)
	}
	if d := storetest.Diff(storetest.Kept(v), vs[0]); d != "" {
		t.Error(d)
	}
	integrity(t, db)
}

func TestADiskThatFillsAndHasRoomAgain(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	m := storetest.NewMachine("t", 50, 1)
	i := 0
	next := func() *health.Visit { i++; return m.Visit(start.Add(time.Duration(i) * time.Minute)) }
	record(t, db, next())
	// Pages past the limit cannot be had: SQLite's own "database or disk is full". A new connection knows of no limit, as a
	// disk with room again does not.
	onWriter(t, db, fmt.Sprintf("PRAGMA max_page_count = %d", count(t, db, "PRAGMA page_count")+3))
	var full error
	stored := int64(1)
	for full == nil && i < 1000 {
		if full = db.Record(t.Context(), next()); full == nil {
			stored++
		}
	}
	if full == nil || !strings.Contains(full.Error(), "full") {
		t.Fatalf("the disk did not fill: %v", full)
	}
	v := next()
	if err := db.Record(t.Context(), v); err != nil || v.Seq != stored+1 {
		t.Errorf("with room again: seq %d after %d, %v", v.Seq, stored, err)
	}
	if n := len(storetest.All(t, db)); int64(n) != stored+1 {
		t.Errorf("%d visits, %d acknowledged", n, stored+1)
	}
	integrity(t, db)
}

func TestAStoreThatCannotBeWritten(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	m := storetest.NewMachine("t", 2, 1)
	record(t, db, m.Visit(start))
	onWriter(t, db, "PRAGMA query_only = 1")
	if err := db.Record(t.Context(), m.Visit(start.Add(time.Minute))); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("Record: %v", err)
	}
	v := m.Visit(start.Add(2 * time.Minute))
	if err := db.Record(t.Context(), v); err != nil || v.Seq != 2 {
		t.Errorf("once it can be written again: seq %d, %v", v.Seq, err)
	}
}

func TestWhatIsNoValueBecomesAGap(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	v := storetest.NewMachine("t", 5, 1).Visit(start)
	v.Snapshot.Readings[1].Value = math.NaN()
	v.Snapshot.Readings[3].Value = math.Inf(-1)
	v.Snapshot.Readings[4].Thresholds = &health.Thresholds{UpperFatal: new(math.NaN()), LowerFatal: new(1.5)}
	given := storetest.Clone(v)
	record(t, db, v)
	given.Seq = v.Seq
	if d := storetest.Diff(given, v); d != "" {
		t.Error("the caller's visit was changed: " + d)
	}
	got, err := db.After(t.Context(), 0, 1)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d visits, %v", len(got), err)
	}
	s := got[0].Snapshot
	if len(s.Readings) != 3 || len(s.Gaps) != 2 || s.Gaps[0].Component != "fan/1" || s.Gaps[0].Reason != health.ReasonMalformed {
		t.Errorf("readings %+v, gaps %+v", s.Readings, s.Gaps)
	}
	want := []health.ComponentRef{{ID: "fan/1", Class: health.ClassFan}, {ID: "power/3", Class: health.ClassPower}}
	if d := storetest.Diff(want, got[0].Unread); d != "" {
		t.Error("unread" + d)
	}
	if n := count(t, db, "SELECT count(*) FROM thresholds WHERE lower_fatal = 1.5 AND upper_fatal IS NULL"); n != 1 {
		t.Error("the finite threshold is not kept alone")
	}
}

func TestInvalidVisitsAreRefusedAndSaid(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	for name, spoil := range map[string]func(*health.Visit){
		"no target":                  func(v *health.Visit) { v.Target = "" },
		"a time past nanoseconds":    func(v *health.Visit) { v.Started = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a tick that was never due":  func(v *health.Visit) { v.Due[health.TierHealth] = time.Time{} },
		"a tier that does not exist": func(v *health.Visit) { v.Due[9] = start },
		"a state that does not":      func(v *health.Visit) { v.Snapshot.Components[0].State = 9 },
		"skipped ticks of no time":   func(v *health.Visit) { v.Skipped = []health.TickRange{{}} },
	} {
		v := storetest.NewMachine("t", 2, 1).Visit(start)
		spoil(v)
		if err := db.Record(t.Context(), v); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := db.MaxSeq(t.Context()); err != nil || n != 0 {
		t.Errorf("%d visits, %v", n, err)
	}
}

func TestLogEntriesAndEventsComeOnce(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	m := storetest.NewMachine("t", 1, 1)
	for i := range 2 {
		v := m.Visit(start.Add(time.Duration(i) * time.Minute))
		e := health.LogEntry{Source: "sel", Generation: "g", ID: "1", Key: []byte("key"), Raw: fmt.Append(nil, "raw ", i), Observed: v.Started}
		v.Snapshot.Log = []health.LogEntry{e, {Source: "sel", ID: fmt.Sprint(i + 2), Observed: v.Started}}
		v.Events = []health.Event{
			{ID: health.LogEventID("t", &e), Target: "t", At: v.Started}, {Target: "t", At: v.Started, Kind: health.KindInfo},
		}
		record(t, db, v)
	}
	es, err := db.LogEntries(t.Context(), time.Time{}, time.Time{}, "t")
	if err != nil || len(es) != 3 || string(es[0].Raw) != "raw 0" || es[0].Seq != 1 || es[2].Seq != 2 {
		t.Errorf("log entries %+v, %v", es, err)
	}
	evs, err := db.Events(t.Context(), time.Time{}, time.Time{}, "")
	if err != nil || len(evs) != 3 {
		t.Errorf("events %+v, %v", evs, err)
	}
	if n := count(t, db, "SELECT max(n) FROM events"); n != 3 {
		t.Errorf("3 events, the last is number %d", n)
	}
}

func TestADamagedBlobIsAnErrorAndNoPanic(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	m := storetest.NewMachine("t", 30, 1)
	record(t, db, m.Visit(start))
	if err := db.submit(t.Context(), &op{do: func(ctx context.Context, w *writer) error {
		var data []byte
		if err := w.conn.QueryRowContext(ctx, "SELECT data FROM fresh").Scan(&data); err != nil {
			return err
		}
		data[len(data)/2] ^= 0x10
		return w.exec(ctx, "UPDATE fresh SET data = ?", data)
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.After(t.Context(), 0, 1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("After: %v", err)
	}
	if _, err := db.Series(t.Context(), "t", "fan/1", health.Speed, time.Time{}, time.Time{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Series: %v", err)
	}
	if err := db.CompactBefore(t.Context(), start.Add(2*time.Hour)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("CompactBefore: %v", err)
	}
	if n := count(t, db, "SELECT count(*) FROM fresh"); n != 1 {
		t.Errorf("compaction threw the damaged visit away")
	}
	record(t, db, m.Visit(start.Add(time.Minute))) // what is damaged stops nothing new
}

//go:fix inline

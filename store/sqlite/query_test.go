package sqlite

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

func TestStatusesFaultsAndEvents(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	quiet := storetest.NewMachine("quiet", 2, 1).Visit(start)
	bad := storetest.NewMachine("bad", 2, 1).Visit(start.Add(time.Minute))
	bad.Origin = health.OriginDemo
	power := health.HostOff
	open := health.Fault{
		ID: "f1", Target: "bad", Component: "fan/1", Class: health.ClassFan, Kind: health.KindFailed, Severity: health.SeverityCritical,
		State: health.Asserted, Rule: "state", Message: "fan failed", Evidence: []string{"Critical"}, Opened: start, Changed: start,
	}
	cleared := open
	cleared.ID, cleared.Kind, cleared.Severity, cleared.State = "f2", health.KindLeakDetected, health.SeverityWarning, health.Cleared
	cleared.Opened, cleared.Cleared = start.Add(time.Second), start.Add(time.Minute)
	bad.Delta.Faults = []health.Fault{open, cleared}
	bad.Delta.HostPower, bad.Delta.Identity = &power, &health.Identity{Serial: "S1"}
	bad.Delta.Access = &health.Access{State: health.AccessSuspect, Since: start, NextTry: start.Add(time.Hour), Failures: 2, Reason: health.ReasonTimeout}
	bad.Events = []health.Event{{ID: "e1", Target: "bad", Kind: health.KindFailed, At: bad.Started, FaultID: "f1"}}
	record(t, db, quiet)
	record(t, db, bad)

	got, err := db.Statuses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Status{
		{
			Target: "bad", Driver: "redfish", Origin: health.OriginDemo, Access: *bad.Delta.Access, Ticks: bad.Delta.Ticks,
			Identity: health.Identity{Serial: "S1"}, HostPower: health.HostOff, OpenFaults: 1, LastSeq: 2, LastAt: bad.Started,
		},
		{
			Target: "quiet", Driver: "redfish", Access: health.Access{State: health.AccessOK}, Ticks: quiet.Delta.Ticks, LastSeq: 1,
			LastAt: quiet.Started,
		},
	}
	if d := storetest.Diff(want, got); d != "" {
		t.Error("statuses" + d)
	}

	for name, c := range map[string]struct {
		choose FaultFilter
		want   []health.Fault
	}{
		"all":            {FaultFilter{}, []health.Fault{open, cleared}},
		"open":           {FaultFilter{Open: true}, []health.Fault{open}},
		"of a target":    {FaultFilter{Target: "quiet"}, nil},
		"of a kind":      {FaultFilter{Kind: health.KindLeakDetected, Target: "bad"}, []health.Fault{cleared}},
		"since":          {FaultFilter{Since: start.Add(time.Millisecond)}, []health.Fault{cleared}},
		"until":          {FaultFilter{Until: start.Add(time.Millisecond)}, []health.Fault{open}},
		"critical alone": {FaultFilter{AtLeast: health.SeverityCritical}, []health.Fault{open}},
	} {
		fs, err := db.Faults(t.Context(), c.choose)
		if err != nil {
			t.Fatal(err)
		}
		if d := storetest.Diff(c.want, fs); d != "" {
			t.Errorf("faults, %s%s", name, d)
		}
	}
	for _, c := range []struct {
		since, until time.Time
		target       health.TargetID
		want         int
	}{
		{want: 1}, {target: "quiet", want: 0}, {since: bad.Started, want: 1}, {until: bad.Started, want: 0},
		{since: bad.Started.Add(1), want: 0}, {since: start, until: bad.Started.Add(1), target: "bad", want: 1},
	} {
		if es, err := db.Events(t.Context(), c.since, c.until, c.target); err != nil || len(es) != c.want {
			t.Errorf("%+v: %d events, %v", c, len(es), err)
		}
	}
}

func TestComponentsAndTheirHistory(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	m := storetest.NewMachine("t", 2, 1)
	visit := func(i int, serial string, state health.State, upper float64) {
		v := m.Visit(start.Add(time.Duration(i) * time.Minute))
		v.Snapshot.Readings[1].Thresholds = &health.Thresholds{LowerCritical: new(600.0), UpperFatal: &upper}
		v.Delta.Components = []health.KnownComponent{{Since: start, Component: health.Component{
			ID: "fan/1", Class: health.ClassFan, Name: "Fan 1", Serial: serial, State: state, Status: state.String(),
		}}}
		record(t, db, v)
	}
	visit(0, "A", health.OK, 9000)
	visit(1, "A", health.Critical, 9000) // no other part
	visit(2, "B", health.OK, 9000)       // another part
	visit(3, "B", health.OK, 9500)       // other thresholds
	if n := count(t, db, "SELECT count(*) FROM component_history"); n != 2 {
		t.Errorf("%d parts in the history", n)
	}
	if n := count(t, db, "SELECT count(*) FROM thresholds"); n != 2 {
		t.Errorf("%d rows of thresholds", n)
	}
	got, err := db.Components(t.Context(), "t")
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := Component{
		health.KnownComponent{Since: start, Component: health.Component{
			ID: "fan/1", Class: health.ClassFan, Name: "Fan 1", Serial: "B", State: health.OK, Status: "ok",
		}},
		[]Quantity{{health.Speed, health.RPM, false, &health.Thresholds{LowerCritical: new(600.0), UpperFatal: new(9500.0)}}},
	}
	if d := storetest.Diff(want, got[0]); d != "" {
		t.Error(d)
	}
	if got, err := db.Components(t.Context(), "stranger"); err != nil || got != nil {
		t.Errorf("a stranger: %v, %v", got, err)
	}
}

func TestACursorPastTheEndIsRefused(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	if err := db.SetSinkCursor(t.Context(), "influx", 1); err == nil {
		t.Error("a cursor stands at a visit that does not exist")
	}
}

func TestRunMarksItsTimeAndCompacts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		begun := time.Now()
		m := storetest.NewMachine("t", 3, 1)
		record(t, db, m.Visit(begun))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- db.Run(ctx) }()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if n := count(t, db, "SELECT count(*) FROM fresh"); n != 1 {
			t.Error("an hour that is not over was compacted")
		}
		runs, err := db.Runs(t.Context())
		if err != nil || len(runs) != 1 || !runs[0].Stopped.IsZero() || runs[0].PID != os.Getpid() ||
			time.Since(runs[0].Alive) > time.Minute || runs[0].Started.Sub(begun) > time.Second {
			t.Errorf("while it runs: %+v, %v", runs, err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if fresh, blocks := count(t, db, "SELECT count(*) FROM fresh"), count(t, db, "SELECT count(*) FROM blocks"); fresh != 0 || blocks != 1 {
			t.Errorf("hours later: %d visits as rows, %d blocks", fresh, blocks)
		}
		if st, err := os.Stat(db.path + "-wal"); err != nil || st.Size() > 256<<10 {
			t.Errorf("WAL: %v, %v", st.Size(), err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		runs, err = db.Runs(t.Context())
		if err != nil || len(runs) != 1 || !runs[0].Stopped.Equal(time.Now()) {
			t.Errorf("after it: %+v, %v", runs, err)
		}
	})
}

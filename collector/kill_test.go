package collector_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dewline/collector"
	"dewline/collector/detect"
	"dewline/health"
	"dewline/internal/schedule"
	"dewline/store/influx"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

const (
	killDir     = "DEWLINE_TEST_KILL_DIR"
	killWorld   = "DEWLINE_TEST_KILL_WORLD"
	killTargets = 20
	killFans    = 3
	// killsPerWorld bounds what is held of one world.
	killsPerWorld = 40
)

func openKilled(ctx context.Context, dir, url string) (*sqlite.DB, *influx.Sink, error) {
	db, err := sqlite.Open(ctx, dir, sqlite.Options{CommitEvery: 5 * time.Millisecond, CommitMax: 8, Sinks: []string{influx.DefaultName}})
	if err != nil {
		return nil, nil, err
	}
	sink, err := influx.New(influx.Options{URL: url, Bucket: "hardware/autogen", BatchLines: 200}, db,
		func(id health.TargetID) (health.Target, bool) { return health.Target{ID: id}, true })
	return db, sink, err
}

// runUntilKilled is the daemon.
func runUntilKilled(dir, url string) error {
	ctx, end := context.WithTimeout(context.Background(), 10*time.Minute) // if nobody kills it
	defer end()
	db, sink, err := openKilled(ctx, dir, url)
	if err != nil {
		return err
	}
	every, err := schedule.Parse("@every 1s", nil)
	if err != nil {
		return err
	}
	var jobs []collector.Job
	for i := range killTargets {
		id := fmt.Sprintf("db-%d", i)
		jobs = append(jobs, collector.Job{
			Target:   health.Target{ID: health.TargetID(id), Address: url + "/bmc/" + id, Driver: health.DriverRedfish},
			Schedule: map[health.Tier]schedule.Spec{health.TierReadings: every, health.TierEvents: every},
		})
	}
	c := collector.New(collector.Options{
		Recorder: db, Spread: 300 * time.Millisecond,
		Open: func(t health.Target, _ string) (collector.Source, error) { return remote{t.Address}, nil },
	})
	failed := make(chan error, 3)
	go func() { failed <- c.Run(ctx, jobs) }()
	go func() { failed <- sink.Run(ctx) }()
	go func() {
		for {
			if err := db.CompactBefore(ctx, time.Now().Add(2*time.Hour)); err != nil {
				failed <- err
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return <-failed
}

func TestKilledDaemonTellsTheTruth(t *testing.T) {
	t.Parallel()
	kills, r, seed := storetest.Kills(t, storetest.KillEngine)
	for done := 0; done < kills && !t.Failed(); done += killsPerWorld {
		killAWorld(t, r, seed+uint64(done), min(killsPerWorld, kills-done))
	}
}

// killAWorld kills the daemon of a new world some times, and holds what was recorded and delivered against what happened there.
func killAWorld(t *testing.T, r *rand.Rand, seed uint64, kills int) {
	t.Helper()
	w := newWorld(seed)
	srv := httptest.NewServer(w)
	defer srv.Close()
	dir := t.TempDir()
	for range kills {
		// After so many questions, whatever the machine's speed: a BMC is asked again when its visit is committed.
		w.runAndKill(t, dir, srv.URL, r.IntN(2*killTargets), time.Duration(r.IntN(30))*time.Millisecond)
	}
	db, sink, err := openKilled(t.Context(), dir, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.drain(t, db, sink)

	visits := map[health.TargetID][]*health.Visit{}
	var events []string
	for _, v := range storetest.All(t, db) {
		visits[v.Target] = append(visits[v.Target], v)
		for _, e := range v.Events {
			events = append(events, e.ID)
		}
	}
	if !slices.Equal(events, w.events) {
		t.Errorf("%d events in the store, %d in the sink, or in another order", len(events), len(w.events))
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(events))); len(unique) != len(events) {
		t.Errorf("%d events, %d different", len(events), len(unique))
	}
	total := 0
	for id, b := range w.bmcs {
		total += len(visits[health.TargetID(id)])
		w.checkTarget(t, db, id, b, visits[health.TargetID(id)])
	}
	t.Logf("%d visits, %d events, %d points", total, len(events), len(w.points))
	if total < killTargets*kills/4 || len(events) < total/8 {
		t.Error("the test proves little")
	}
}

func (w *world) runAndKill(t *testing.T, dir, url string, questions int, after time.Duration) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for len(w.asked) > 0 {
		<-w.asked
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killDir+"="+dir, killWorld+"="+url)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for range questions {
		select {
		case <-w.asked:
		case err := <-ended:
			t.Fatalf("the daemon ended by itself: %v", err)
		}
	}
	time.Sleep(after)
	_ = cmd.Process.Kill()
	if <-ended; cmd.ProcessState.Exited() {
		t.Fatalf("the daemon ended by itself: %s", cmd.ProcessState)
	}
}

// drain delivers what the last daemon had not.
func (w *world) drain(t *testing.T, db *sqlite.DB, sink *influx.Sink) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	last, err := db.MaxSeq(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- sink.Run(ctx) }()
	for sink.State().Cursor < last && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if c := sink.State(); c.Cursor != last || c.Quarantined != 0 {
		t.Errorf("the sink stands at %d of %d: %s", c.Cursor, last, c.LastError)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n, err := db.Quarantined(t.Context()); err != nil || n != 0 {
		t.Errorf("%d points in quarantine, %v", n, err)
	}
}

// checkTarget holds what was recorded of a BMC against what it answered.
func (w *world) checkTarget(t *testing.T, db *sqlite.DB, id string, b *bmc, visits []*health.Visit) {
	t.Helper()
	var end cursor
	last := 0
	m := model{}
	for _, v := range visits {
		var want []string
		var a *answer
		if v.Result != health.Failed {
			n := int(v.Snapshot.Readings[0].Value)
			got := b.answers[n]
			a = &got
			// What the daemon knew when it asked is what it had committed then, no more and no less.
			if q := b.asked[n-1]; q.Last != last || (q.Cursor == nil) != (last == 0) || q.Cursor != nil && *q.Cursor != end {
				t.Errorf("%s: asked for %d with %+v; committed were %d and %+v", id, n, q, last, end)
			}
			last, end = n, a.Cursor
			want = m.events(a)
		}
		var got []string
		for _, e := range v.Events {
			got = append(got, fmt.Sprint(e.Component, " ", e.Kind, " ", e.Transition))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s, visit %d: events %v, want %v", id, v.Seq, got, want)
		}
		for i := range killFans {
			w.checkPoint(t, v, i, m, a)
		}
	}
	// Each entry up to the last cursor once, and none beyond it.
	var want, got []entry
	for _, e := range b.made {
		if e.Gen < end.Gen || e.Gen == end.Gen && e.ID <= end.ID {
			e.Critical = false
			want = append(want, e)
		}
	}
	entries, err := db.LogEntries(t.Context(), time.Time{}, time.Time{}, health.TargetID(id))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		gen, _ := strconv.Atoi(e.Generation)
		n, _ := strconv.Atoi(e.ID)
		got = append(got, entry{Gen: gen, ID: n})
	}
	if !slices.Equal(want, got) {
		t.Errorf("%s: log entries %v, want %v", id, got, want)
	}
	known, err := db.Recall(t.Context(), health.TargetID(id))
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for i := range killFans {
		for _, x := range m[i].faults {
			if x.open {
				open++
			}
		}
	}
	if len(known.Faults) != open {
		t.Errorf("%s: %d faults are open, want %d", id, len(known.Faults), open)
	}
}

// checkPoint: a fan's point tells its state as it was read, and unknown where nothing was.
func (w *world) checkPoint(t *testing.T, v *health.Visit, i int, m model, a *answer) {
	t.Helper()
	want := health.Unknown
	switch {
	case a == nil && (!m[i].seen || m[i].absent):
		return
	case a != nil && !a.Fans[i].Absent:
		want = a.Fans[i].State
	}
	key := fmt.Sprintf("hw_fan,component=%s,target=%s %d", fanID(i), v.Target, v.At().UnixNano())
	if fields := w.points[key]; !strings.HasSuffix(fields, fmt.Sprintf("state=%di", want.Rank())) {
		t.Errorf("%s: %q, want state %s", key, fields, want)
	}
}

// model is the truth of a machine's fans, visit after visit, in the simplest words.
type model [killFans]struct {
	seen, absent bool
	faults       map[health.Kind]*modelFault
}

type modelFault struct {
	open  bool
	begun int // from detect.FlapCount on it is flapping, and its end is held back for longer than the test takes
}

func (m *model) events(a *answer) (events []string) {
	for i, f := range a.Fans {
		k := &m[i]
		if k.faults == nil {
			k.faults = map[health.Kind]*modelFault{health.KindDegraded: {}, health.KindFailed: {}, health.KindAbsentRemoved: {}}
		}
		say := func(kind health.Kind, tr health.Transition) {
			events = append(events, fmt.Sprint(fanID(i), " ", kind, " ", tr))
		}
		ends := func(kind health.Kind, atOnce bool) {
			if x := k.faults[kind]; x.open && (atOnce || x.begun < detect.FlapCount) {
				x.open = false
				say(kind, health.Cleared)
			}
		}
		begins := func(kind health.Kind) {
			if x := k.faults[kind]; !x.open {
				x.open = true
				x.begun++
				say(kind, health.Asserted)
			}
		}
		switch {
		case f.Absent && k.seen && !k.absent:
			ends(health.KindDegraded, true)
			ends(health.KindFailed, true)
			begins(health.KindAbsentRemoved)
		case !f.Absent:
			if k.absent {
				say(health.KindInserted, health.Momentary)
			}
			ends(health.KindAbsentRemoved, false)
			for state, kind := range map[health.State]health.Kind{health.Warning: health.KindDegraded, health.Critical: health.KindFailed} {
				if f.State == state {
					begins(kind)
				} else {
					ends(kind, false)
				}
			}
		}
		k.seen, k.absent = true, f.Absent
	}
	for _, e := range a.Log {
		if e.Critical {
			events = append(events, "log/sel unknown momentary")
		}
	}
	if a.Cleared {
		events = append(events, "log/sel log_cleared momentary")
	}
	return events
}

package collector_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/schedule"
	"dewline/store/influx"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// The world of TestKilledDaemonTellsTheTruth: BMCs and an InfluxDB in this process, and a daemon (collector, embedded
// store, sink) in another, which is killed and started again. What the BMCs answered is known, so that the events, log
// entries and states that must follow are known too.

const (
	killDir     = "DEWLINE_TEST_KILL_DIR"
	killWorld   = "DEWLINE_TEST_KILL_WORLD"
	killsEnv    = "DEWLINE_KILLS" // how many times it is killed; each costs about two seconds
	killTargets = 20
	killFans    = 3
)

// answer is what a BMC says when it is read. It is also the form in which it travels.
type answer struct {
	N       int // counts the answers of this BMC
	Fans    [killFans]fanState
	Log     []entry
	Cursor  cursor
	Cleared bool
}

type fanState struct {
	Absent bool
	State  health.State
}

type entry struct {
	Gen, ID  int
	Critical bool
}

type cursor struct{ Gen, ID int }

// question is what the daemon knows when it reads: the cursor and the memory of its last committed visit.
type question struct {
	Cursor *cursor
	Last   int // N of that visit, 0: none
}

// bmc changes by chance each time it is asked.
type bmc struct {
	mu      sync.Mutex
	r       *rand.Rand
	fans    [killFans]fanState
	gen     int
	log     []entry // of this generation
	made    []entry // of all
	answers map[int]answer
	asked   []question // by N-1
	failed  int        // in a row
}

func (b *bmc) read(q question) (answer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.fans {
		if b.r.IntN(4) == 0 {
			b.fans[i].State = health.State(1 + b.r.IntN(3))
		}
		if b.r.IntN(12) == 0 {
			b.fans[i].Absent = !b.fans[i].Absent
		}
	}
	a := answer{N: len(b.asked) + 1, Fans: b.fans}
	b.asked = append(b.asked, q)
	if q.Cursor != nil { // a log read for the first time holds history
		// Only what was committed may be cleared, or the loss would not be the daemon's.
		if *q.Cursor == (cursor{b.gen, len(b.log)}) && b.r.IntN(6) == 0 {
			b.gen, b.log = b.gen+1, nil
		}
		for range b.r.IntN(4) {
			e := entry{b.gen, len(b.log) + 1, b.r.IntN(3) > 0}
			b.log, b.made = append(b.log, e), append(b.made, e)
		}
	}
	// Three failures in a row would make dewline leave it alone for minutes.
	if b.failed < 2 && q.Last == b.lastAnswer() && b.r.IntN(6) == 0 {
		b.failed++
		return a, false
	}
	b.failed = 0
	from := 0
	if c := q.Cursor; c != nil {
		if a.Cleared = c.Gen != b.gen; !a.Cleared {
			from = c.ID
		}
	}
	a.Log = slices.Clone(b.log[from:])
	a.Log = a.Log[:min(len(a.Log), 5)] // as a driver that reads so many in one visit
	a.Cursor = cursor{b.gen, from + len(a.Log)}
	b.answers[a.N] = a
	return a, true
}

func (b *bmc) lastAnswer() int {
	last := 0
	for n := range b.answers {
		last = max(last, n)
	}
	return last
}

// world serves BMCs under /bmc/ID and an InfluxDB.
type world struct {
	bmcs  map[string]*bmc
	asked chan struct{} // one for each time that a BMC was asked

	mu     sync.Mutex
	r      *rand.Rand
	points map[string]string // by series and time: what stands before and after the fields
	events []string          // IDs in the order of their first arrival
}

func newWorld(seed uint64) *world {
	w := &world{bmcs: map[string]*bmc{}, asked: make(chan struct{}, 1024), r: rand.New(rand.NewPCG(seed, 1)), points: map[string]string{}}
	for i := range killTargets {
		b := &bmc{r: rand.New(rand.NewPCG(seed, 100+uint64(i))), answers: map[int]answer{}}
		for f := range b.fans {
			b.fans[f].State = health.OK
		}
		w.bmcs[fmt.Sprintf("db-%d", i)] = b
	}
	return w
}

var eventID = regexp.MustCompile(`event_id="([0-9a-f]+)"`)

func (w *world) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if id, ok := strings.CutPrefix(req.URL.Path, "/bmc/"); ok {
		var q question
		if err := json.NewDecoder(req.Body).Decode(&q); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case w.asked <- struct{}{}:
		default:
		}
		a, ok := w.bmcs[id].read(q)
		if !ok {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(rw).Encode(a) // a daemon that was killed does not listen any more
		return
	}
	z, err := gzip.NewReader(req.Body)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return // the daemon was killed while it sent
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.r.IntN(20) == 0 {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		first, last := strings.Index(line, " "), strings.LastIndex(line, " ") // no series here holds a space
		key := line[:first] + line[last:]
		if m := eventID.FindStringSubmatch(line); m != nil && w.points[key] == "" {
			w.events = append(w.events, m[1])
		}
		w.points[key] = line[first:last]
	}
	if w.r.IntN(20) == 0 {
		panic(http.ErrAbortHandler) // stored, and the daemon does not learn it
	}
	rw.WriteHeader(http.StatusNoContent)
}

// remote is the driver of the BMCs in the world.
type remote struct{ url string }

func (s remote) Close(context.Context) error { return nil }

func (s remote) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	snap := &health.Snapshot{Driver: health.DriverRedfish, HostPower: health.HostOn, Cost: health.Cost{Requests: 1}}
	fail := func(err error) (*health.Snapshot, error) {
		return snap, &health.Error{Reason: health.ReasonUnreachable, Op: "read", Err: err}
	}
	var q question
	if c := req.Cursors["sel"]; c != nil {
		q.Cursor = &cursor{}
		if err := json.Unmarshal(c, q.Cursor); err != nil {
			return fail(err)
		}
	}
	if req.Memory != nil {
		if err := json.Unmarshal(req.Memory, &q.Last); err != nil {
			return fail(err)
		}
	}
	body, err := json.Marshal(q)
	if err != nil {
		return fail(err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return fail(err)
	}
	resp, err := http.DefaultClient.Do(post)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fail(errors.New(resp.Status))
	}
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return fail(err)
	}
	snap.Scope = []string{"fans", "sensors"}
	snap.Components = []health.Component{{ID: "sensor/n", Class: health.ClassSensor, Presence: health.Present, State: health.OK, Place: "sensors"}}
	snap.Readings = []health.Reading{{Component: "sensor/n", Quantity: health.Count, Unit: health.Number, Value: float64(a.N)}}
	for i, f := range a.Fans {
		c := health.Component{ID: fanID(i), Class: health.ClassFan, Presence: health.Present, State: f.State, Place: "fans"}
		if f.Absent {
			c.Presence, c.State = health.Absent, health.Unknown
		}
		snap.Components = append(snap.Components, c)
	}
	for _, e := range a.Log {
		l := health.LogEntry{
			Source: "sel", Generation: fmt.Sprint(e.Gen), ID: fmt.Sprint(e.ID), Key: fmt.Append(nil, e), Observed: time.Now(), Message: "entry", Severity: health.SeverityInfo,
		}
		if e.Critical {
			l.Severity = health.SeverityCritical
		}
		snap.Log = append(snap.Log, l)
	}
	snap.Logs = []health.LogInfo{{ID: "sel", Path: "sel", Cleared: a.Cleared}}
	next, err := json.Marshal(a.Cursor)
	if err != nil {
		return fail(err)
	}
	snap.NextCursors, snap.Memory = health.Cursors{"sel": next}, fmt.Append(nil, a.N)
	return snap, nil
}

func fanID(i int) health.ComponentID { return health.ComponentID(fmt.Sprint("fan/", i)) }

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
	ctx, end := context.WithTimeout(context.Background(), time.Minute) // if nobody kills it
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
	kills := 4
	if s := os.Getenv(killsEnv); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s: %v", killsEnv, err)
		}
		kills = n
	}
	seed := uint64(time.Now().UnixNano()) % 1e6
	t.Logf("seed %d, %d kills", seed, kills)
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(seed)
	srv := httptest.NewServer(w)
	defer srv.Close()
	dir := t.TempDir()
	for range kills {
		// After so many questions, whatever the machine's speed: a BMC is asked again when its visit is committed.
		w.runAndKill(t, dir, srv.URL, killTargets+r.IntN(3*killTargets), time.Duration(r.IntN(30))*time.Millisecond)
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
	if total < killTargets*(kills-1) || len(events) < total/4 {
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
		if m[i].fault != "" {
			open++
		}
		if m[i].gone {
			open++
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
	seen, absent, gone bool
	fault              health.Kind
}

func (m *model) events(a *answer) (events []string) {
	for i, f := range a.Fans {
		k := &m[i]
		say := func(kind health.Kind, tr health.Transition) {
			events = append(events, fmt.Sprint(fanID(i), " ", kind, " ", tr))
		}
		switch {
		case f.Absent && k.seen && !k.absent:
			if k.fault != "" {
				say(k.fault, health.Cleared)
				k.fault = ""
			}
			say(health.KindAbsentRemoved, health.Asserted)
			k.gone = true
		case !f.Absent:
			if k.absent {
				say(health.KindInserted, health.Momentary)
			}
			if k.gone {
				say(health.KindAbsentRemoved, health.Cleared)
				k.gone = false
			}
			now := map[health.State]health.Kind{health.Warning: health.KindDegraded, health.Critical: health.KindFailed}[f.State]
			if now != k.fault {
				if k.fault != "" {
					say(k.fault, health.Cleared)
				}
				if now != "" {
					say(now, health.Asserted)
				}
				k.fault = now
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

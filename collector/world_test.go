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
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"dewline/health"
)

// The world of TestKilledDaemonTellsTheTruth: BMCs and an InfluxDB in this process, and a daemon (collector, embedded
// store, sink) in another, which is killed and started again. What the BMCs answered is known, so that the events, log
// entries and states that must follow are known too.

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

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/secret"
	"dewline/notify"
	"dewline/store/sqlite"
)

// hook is a webhook receiver that remembers.
type hook struct {
	*httptest.Server
	mu       sync.Mutex
	messages []health.Message
	keys     []string
	down     bool
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		var m health.Message
		if h.down || err != nil || json.Unmarshal(b, &m) != nil {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		h.messages, h.keys = append(h.messages, m), append(h.keys, r.Header.Get("Idempotency-Key"))
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) got() []health.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.messages)
}

func (h *hook) fail(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

// ids is how often each event was told.
func (h *hook) ids() map[string]int {
	out := map[string]int{}
	for _, m := range h.got() {
		for _, e := range m.Events {
			out[e.ID]++
		}
	}
	return out
}

func (h *hook) receiver(name string) notify.Receiver {
	return notify.Receiver{
		Name: name, Match: health.Matcher{AtLeast: health.SeverityWarning}, Wait: 30 * time.Millisecond, Interval: 400 * time.Millisecond, Timeout: 5 * time.Second,
		Sender: notify.NewWebhook(notify.HTTP{URL: secret.New(h.URL), Now: time.Now, Agent: "test"}, secret.Secret{}, nil),
	}
}

// tell runs followers until the test ends, or stop.
func tell(t *testing.T, db *sqlite.DB, now func() time.Time, rs ...notify.Receiver) (stop func()) {
	t.Helper()
	var names []string
	for _, r := range rs {
		names = append(names, r.Name)
	}
	if _, err := db.RegisterNotifiers(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, r := range rs {
		wg.Go(func() {
			if err := notify.New(notify.Options{Store: db, Log: slog.New(slog.DiscardHandler), Now: now}, r).Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

func TestAStormIsFewMessagesAndEveryEventIsTold(t *testing.T) {
	t.Parallel()
	w, h := newWard(t), newHook(t)
	w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted) // before it was configured
	tell(t, w.db, time.Now, h.receiver("hook"))
	var want []string
	for range 200 {
		want = append(want, w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted))
	}
	w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityInfo, health.Asserted) // not grave enough
	eventually(t, "all are told", func() bool { return len(h.ids()) >= len(want) })
	ids := h.ids()
	for _, id := range want {
		if ids[id] != 1 {
			t.Errorf("%s was told %d times", id, ids[id])
		}
	}
	if len(ids) != 200 {
		t.Errorf("%d events were told", len(ids))
	}
	messages := h.got()
	span := messages[len(messages)-1].Events[0].At.Sub(messages[0].Events[0].At)
	if most := 3 + int(span/(400*time.Millisecond)); len(messages) > most {
		t.Errorf("%d messages within %s: %d at most", len(messages), span, most)
	}
	for i, m := range messages {
		if m.Group != "rack bontang/A1" || m.Rack != "A1" || h.keys[i] != m.ID || m.Text == "" {
			t.Errorf("message %+v, key %s", m, h.keys[i])
		}
	}
	eventually(t, "what was confirmed leaves the queue", func() bool { // the receiver has it before the store knows
		states, err := w.db.NotifierStates(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(states) == 1 && states[0].Waiting == 0 && states[0].Sent == int64(len(h.got()))
	})
}

func TestAnOutageBlocksNobodyElseAndEndsInASummary(t *testing.T) {
	t.Parallel()
	w, dead, well := newWard(t), newHook(t), newHook(t)
	dead.fail(true)
	stop := tell(t, w.db, time.Now, dead.receiver("dead"), well.receiver("well"))
	var want []string
	for i := range 9 {
		want = append(want, w.change(fmt.Sprintf("db-%d", i%3), fmt.Sprintf("A%d", i%3), "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted))
	}
	eventually(t, "the other is told", func() bool { return len(well.ids()) == len(want) })
	eventually(t, "the failure shows", func() bool {
		states, err := w.db.NotifierStates(t.Context())
		return err == nil && states[0].Name == "dead" && states[0].Waiting == 9 && strings.Contains(states[0].LastError, "503")
	})
	stop() // and dewline ends in the middle of it
	dead.fail(false)
	tell(t, w.db, time.Now, dead.receiver("dead"), well.receiver("well"))
	eventually(t, "all is told after a restart", func() bool { return len(dead.ids()) == len(want) })
	if m := dead.got(); len(m) != 1 || !m[0].Summary || len(m[0].Events) != 9 {
		t.Errorf("a backlog of three racks is %d messages: %+v", len(m), m)
	}
	eventually(t, "the failure is over", func() bool {
		states, err := w.db.NotifierStates(t.Context())
		return err == nil && states[0].LastError == "" && states[0].Waiting == 0
	})
	for id, n := range well.ids() {
		if n != 1 {
			t.Errorf("%s was told %d times to the one that was well", id, n)
		}
	}
}

func TestASilenceMutesAndLosesNothing(t *testing.T) {
	t.Parallel()
	w, h := newWard(t), newHook(t)
	var clock atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	tell(t, w.db, now, h.receiver("hook"))
	known := w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted)
	eventually(t, "what was before is told", func() bool { return h.ids()[known] == 1 })
	silence := &health.Action{
		Kind: health.ActionSilence, At: time.Now(), By: "rina", Why: "new PDU", From: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Hour),
		Match: &health.Matcher{Racks: []string{"A1"}},
	}
	if err := w.db.AddAction(t.Context(), silence); err != nil {
		t.Fatal(err)
	}
	w.change("db-1", "A1", known, health.KindFailed, health.ClassFan, health.SeverityCritical, health.Cleared)
	stays := w.change("db-1", "A1", "", health.KindFailed, health.ClassPSU, health.SeverityCritical, health.Asserted)
	passing := w.change("db-1", "A1", "", health.KindIntrusion, health.ClassChassis, health.SeverityCritical, health.Asserted)
	w.change("db-1", "A1", passing, health.KindIntrusion, health.ClassChassis, health.SeverityCritical, health.Cleared)
	other := w.change("db-2", "A2", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted)
	eventually(t, "another rack is told", func() bool { return h.ids()[other] == 1 })
	eventually(t, "four events are held back", func() bool {
		states, err := w.db.NotifierStates(t.Context())
		return err == nil && states[0].Silenced == 4 && states[0].Waiting == 0
	})
	if n := len(h.ids()); n != 2 {
		t.Errorf("%d events were told", n)
	}
	end := &health.Action{Kind: health.ActionSilenceEnd, At: time.Now(), By: "rina", Why: "done", Ends: silence.ID}
	if err := w.db.AddAction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what is still open is told", func() bool { return h.ids()[stays] == 1 })
	eventually(t, "the end of what was told before is told", func() bool { return len(h.ids()) == 4 })
	muted := int64(0)
	for _, m := range h.got() {
		muted += m.Muted
		for _, e := range m.Events {
			if e.Fault == passing {
				t.Errorf("what came and went in the silence is told: %+v", e)
			}
		}
	}
	if muted != 2 {
		t.Errorf("messages speak of %d muted events", muted)
	}
	events, err := w.db.Events(t.Context(), time.Time{}, time.Time{}, "")
	if err != nil || len(events) != 6 {
		t.Errorf("the record has %d events (%v)", len(events), err)
	}
}

func TestWhatTheRateLimitHoldsBackIsInTheNextMessage(t *testing.T) {
	t.Parallel()
	w, h := newWard(t), newHook(t)
	var clock atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	r := h.receiver("hook")
	r.PerHour = 4 // three at once, then one in a quarter of an hour
	tell(t, w.db, now, r)
	for i := range 3 {
		id := w.change(fmt.Sprintf("db-%d", i), fmt.Sprintf("A%d", i), "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted)
		eventually(t, "three are told at once", func() bool { return h.ids()[id] == 1 })
	}
	var held []string
	for i := 3; i < 8; i++ {
		held = append(held, w.change(fmt.Sprintf("db-%d", i), fmt.Sprintf("A%d", i), "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted))
	}
	eventually(t, "five wait", func() bool {
		states, err := w.db.NotifierStates(t.Context())
		return err == nil && states[0].Waiting == 5 && strings.Contains(states[0].LastError, "rate limit of 4 messages an hour")
	})
	clock.Store(int64(time.Minute)) // the wait of all of them is over
	if err := w.db.AddAction(t.Context(), &health.Action{Kind: health.ActionAck, At: time.Now(), By: "rina", Why: "x", Fault: held[1]}); err != nil {
		t.Fatal(err)
	}
	if len(h.got()) != 3 {
		t.Fatalf("%d messages", len(h.got()))
	}
	clock.Store(int64(20 * time.Minute))
	wake := &health.Action{Kind: health.ActionAck, At: time.Now(), By: "rina", Why: "x", Fault: held[0]}
	if err := w.db.AddAction(t.Context(), wake); err != nil { // wakes the follower
		t.Fatal(err)
	}
	eventually(t, "what was held back is told", func() bool { return len(h.ids()) == 8 })
	m := h.got()
	if len(m) != 4 || !m[3].Summary || m[3].HeldBack == 0 || !strings.Contains(m[3].Text, fmt.Sprintf("%d of these events were held back", m[3].HeldBack)) {
		t.Errorf("%d messages, the last %+v", len(m), m[len(m)-1])
	}
}

func TestTheEndOfAFaultGoesToWhoeverWasToldOfItsWorst(t *testing.T) {
	t.Parallel()
	w, h := newWard(t), newHook(t)
	r := h.receiver("critical-only")
	r.Match.AtLeast = health.SeverityCritical
	tell(t, w.db, time.Now, r)
	bad := w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted)
	w.change("db-1", "A1", bad, health.KindFailed, health.ClassFan, health.SeverityWarning, health.Deescalated)
	w.change("db-1", "A1", bad, health.KindFailed, health.ClassFan, health.SeverityWarning, health.Cleared)
	mild := w.change("db-1", "A1", "", health.KindFailed, health.ClassPSU, health.SeverityWarning, health.Asserted)
	w.change("db-1", "A1", mild, health.KindFailed, health.ClassPSU, health.SeverityWarning, health.Cleared)
	last := w.change("db-1", "A1", "", health.KindIntrusion, health.ClassChassis, health.SeverityCritical, health.Asserted)
	eventually(t, "the last is told", func() bool { return h.ids()[last] == 1 })
	var states []string
	for _, m := range h.got() {
		for _, e := range m.Events {
			states = append(states, string(e.State))
		}
	}
	if got := strings.Join(states, " "); got != "asserted deescalated cleared asserted" {
		t.Errorf("told: %s", got)
	}
}

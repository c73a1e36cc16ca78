package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/secret"
	"dewline/notify"
	"dewline/notify/notifytest"
)

// The running daemon tells a real Alertmanager: a fault fires and ends there, the heartbeat fires with the head of the chain of events, and a
// daemon that is killed leaves a heartbeat that ends by itself.
func TestTheDaemonTellsARealAlertmanager(t *testing.T) {
	t.Parallel()
	url := notifytest.Alertmanager(t)
	demo, config, dataDir, env := room(t, fmt.Sprintf("\n[[notify.alertmanager]]\nname = \"alerts\"\nurl = %q\nseverity = \"warning\"\nresend = \"10s\"\n", url))
	m := demo.Servers[0].Machine
	d := startDaemon(t, config, env...)
	eventually(t, "the daemon's socket", func() bool { _, err := os.Stat(controlSocket(dataDir)); return err == nil })
	eventually(t, "all targets were read", func() bool { return lastSeq(t, dataDir) > 12 })
	has := func(severity string) (notifytest.Alert, bool) {
		for _, a := range notifytest.All(t, url) {
			if a.Labels["target"] == demo.Servers[0].Name && a.Labels["class"] == "psu" && a.Labels["alertname"] == "failed" && a.Labels["severity"] == severity {
				return a, true
			}
		}
		return notifytest.Alert{}, false
	}
	m.FailPSU(0)
	eventually(t, "the fault fires", func() bool { _, ok := has("critical"); return ok })
	a, _ := has("critical")
	if _, ok := storedEvents(t, dataDir)[a.Labels["fault"]]; !ok || a.Labels["rack"] != demo.Servers[0].Rack {
		t.Errorf("the alert's fault is not in the record, or its rack wrong: %v", a.Labels)
	}
	m.RepairPSU(0)
	eventually(t, "its end is told", func() bool { _, ok := has("critical"); return !ok })
	eventually(t, "the heartbeat fires, with the head of the chain", func() bool {
		x, ok := notifytest.Firing(t, url)["DewlineHeartbeat/none"]
		return ok && len(x.Annotations["chain_head"]) == 64 && x.Annotations["chain_length"] != ""
	})
	d.kill()
	killed := time.Now()
	x := notifytest.Firing(t, url)["DewlineHeartbeat/none"]
	if x.EndsAt.Before(x.StartsAt) || x.EndsAt.After(killed.Add(41*time.Second)) {
		t.Errorf("the heartbeat of a dead dewline lasts until %s; it was killed at %s", x.EndsAt, killed)
	}
}

// A heartbeat stops when dewline does not do its work, not only when it is dead, and comes again.
func TestHeartbeatsStopWithTheWork(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted)
	var beats atomic.Int64
	var mu sync.Mutex
	last := ""
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		last = string(b)
		beats.Add(1)
	}))
	defer srv.Close()
	var stuck atomic.Bool
	var asked atomic.Int64
	b := &notify.Beat{
		Options: notify.Options{Store: w.db, Log: slog.New(slog.DiscardHandler), Now: time.Now, Alive: func(context.Context) error {
			asked.Add(1)
			if stuck.Load() {
				return errors.New("target db-1: no sign of life")
			}
			return nil
		}},
		Name: "alive", Every: 5 * time.Millisecond, Timeout: 10 * time.Second,
		Ping: notify.NewPing(notify.HTTP{URL: secret.New(srv.URL), Now: time.Now, Agent: "test"}, http.MethodPost),
	}
	if _, err := w.db.RegisterNotifiers(t.Context(), []string{"alive"}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	eventually(t, "beats", func() bool { return beats.Load() > 2 })
	mu.Lock()
	if !strings.Contains(last, `"chain":{"head":"`) || !strings.Contains(last, `"length":1}`) {
		t.Errorf("the body of a beat: %s", last)
	}
	mu.Unlock()
	work := func(times int64) {
		t.Helper()
		until := asked.Load() + times
		eventually(t, "it looks at its work", func() bool { return asked.Load() >= until })
	}
	stuck.Store(true)
	work(2) // one may have been under way
	before := beats.Load()
	work(10)
	if n := beats.Load(); n != before {
		t.Errorf("%d beats while it does no work", n-before)
	}
	stuck.Store(false)
	eventually(t, "beats again", func() bool { return beats.Load() > before })
	if err := w.db.Close(); err != nil { // the store takes nothing: dewline must not look well
		t.Fatal(err)
	}
	work(2)
	before = beats.Load()
	work(10)
	if n := beats.Load(); n != before {
		t.Errorf("%d beats while the store takes nothing", n-before)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What belongs to an incident is one message, whatever its racks; the rest is grouped by rack.
func TestMessagesAreGroupedByIncidentAndRack(t *testing.T) {
	t.Parallel()
	w, h := newWard(t), newHook(t)
	r := h.receiver("hook")
	r.Wait, r.Interval = time.Hour, time.Second // the incident is found before the first message
	var clock atomic.Int64
	tell(t, w.db, func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }, r)
	passed := func() { // the receiver is through with all that was before
		t.Helper()
		w.change("db-9", "C1", "", health.KindFailed, health.ClassFan, health.SeverityInfo, health.Asserted) // not grave enough
		last, err := w.db.LastEvent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the receiver's cursor moves", func() bool {
			states, err := w.db.NotifierStates(t.Context())
			return err == nil && states[0].Cursor >= last
		})
	}
	passed() // nothing waits from before its start
	var ids []string
	for i, rack := range []string{"A1", "A2", "A1", "A2", "B1"} {
		ids = append(ids, w.change(fmt.Sprintf("db-%d", i), rack, "", health.KindLeakDetected, health.ClassLeakDetector, health.SeverityCritical, health.Asserted))
	}
	incident := health.Incident{ID: health.IncidentID("x"), State: health.IncidentOpen, Racks: []string{"A1", "A2"}}
	members := []health.IncidentMember{{Incident: incident.ID, Event: ids[0], Fault: ids[0]}, {Incident: incident.ID, Event: ids[1], Fault: ids[1]}}
	if err := w.db.SaveIncidents(t.Context(), 0, []health.Incident{incident}, members); err != nil {
		t.Fatal(err)
	}
	eventually(t, "five wait", func() bool {
		states, err := w.db.NotifierStates(t.Context())
		return err == nil && states[0].Waiting == 5
	})
	passed() // it has seen them wait before the clock goes on
	clock.Store(int64(2 * time.Hour))
	passed() // and wakes
	eventually(t, "all are told", func() bool { return len(h.ids()) == 5 })
	got := map[string][]string{}
	for _, m := range h.got() {
		for _, e := range m.Events {
			got[m.Group] = append(got[m.Group], string(e.Target))
		}
		if m.Summary {
			t.Errorf("a summary, without an outage: %+v", m)
		}
		if in := m.Incident != ""; in != strings.HasPrefix(m.Group, "incident ") || in && (m.Incident != incident.ID || m.Rack != "") {
			t.Errorf("group %q, incident %q, rack %q", m.Group, m.Incident, m.Rack)
		}
		if m.Chain == nil || len(m.Chain.Head) != 64 || !strings.Contains(m.Text, m.Chain.Head) {
			t.Errorf("the chain is not told: %+v", m.Chain)
		}
	}
	want := map[string][]string{"incident " + incident.ID: {"db-0", "db-1"}, "rack bontang/A1": {"db-2"}, "rack bontang/A2": {"db-3"}, "rack bontang/B1": {"db-4"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("groups %v, want %v", got, want)
	}
}

// A silence of critical faults mutes their ends, too: they are cleared at severity ok, and are no news to whoever was not told.
func TestASilenceBySeverityHoldsBackTheEndsOfWhatItMuted(t *testing.T) {
	t.Parallel()
	w, h := newWard(t), newHook(t)
	silence := &health.Action{
		Kind: health.ActionSilence, At: time.Now(), By: "rina", Why: "x", From: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Hour),
		Match: &health.Matcher{AtLeast: health.SeverityCritical},
	}
	if err := w.db.AddAction(t.Context(), silence); err != nil {
		t.Fatal(err)
	}
	tell(t, w.db, time.Now, h.receiver("hook"))
	id := w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted)
	w.change("db-1", "A1", id, health.KindFailed, health.ClassFan, health.SeverityOK, health.Cleared)
	mild := w.change("db-1", "A1", "", health.KindFailed, health.ClassPSU, health.SeverityWarning, health.Asserted)
	eventually(t, "what is not chosen is told", func() bool { return h.ids()[mild] == 1 })
	for _, m := range h.got() {
		for _, e := range m.Events {
			if e.Fault == id {
				t.Errorf("told of a silenced fault: %s", e.State)
			}
		}
	}
}

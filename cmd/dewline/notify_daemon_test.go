package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/sqlite"
)

// storedEvents is the events of a store by ID.
func storedEvents(t *testing.T, dir string) map[string]health.Event {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	events, err := db.Events(t.Context(), time.Time{}, time.Time{}, "")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]health.Event{}
	for _, e := range events {
		out[e.ID] = e
	}
	return out
}

// A daemon whose receiver is down is killed, twice; the next one tells all that was committed, with the same IDs. A reload changes
// receivers in place and loses no cursor.
func TestEventsCommittedBeforeAKillAreNotified(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.fail(true)
	var beats atomic.Int64
	alive := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats.Add(1) }))
	defer alive.Close()
	table := fmt.Sprintf(`
[[notify.webhook]]
name = "hook"
url = "env:HOOK_URL"
secret = "env:HOOK_SECRET"
severity = "info"
wait = "1s"
interval = "1s"
max_per_hour = 0
[[notify.heartbeat]]
name = "alive"
url = %q
every = "10s"
`, alive.URL)
	demo, config, dataDir, env := room(t, table)
	env = append(env, "HOOK_URL="+h.URL+"/the-key-in-the-url", "HOOK_SECRET=sesame-4711")
	d := startDaemon(t, config, env...)
	eventually(t, "the daemon reads", func() bool { _, err := os.Stat(controlSocket(dataDir)); return err == nil })
	eventually(t, "all targets were read", func() bool { return lastSeq(t, dataDir) > 12 })
	before := len(storedEvents(t, dataDir))
	demo.Servers[0].Machine.FailPSU(0)
	eventually(t, "its fault is committed", func() bool { return len(storedEvents(t, dataDir)) > before })
	d.kill()
	said := d.stderr.String()
	d = startDaemon(t, config, env...)
	demo.Servers[1].Machine.LosePSUInput(0)
	before = len(storedEvents(t, dataDir))
	eventually(t, "another is committed", func() bool { return len(storedEvents(t, dataDir)) > before })
	d.kill()
	said += d.stderr.String()
	h.fail(false)
	d = startDaemon(t, config, env...)
	told := func() bool {
		ids := h.ids()
		for id, e := range storedEvents(t, dataDir) {
			// Less than info is not asked for, and further evidence of a fault is no change of it.
			if ids[id] == 0 && e.Severity >= health.SeverityInfo && !(e.Transition == health.Momentary && e.FaultID != "") {
				return false
			}
		}
		return true
	}
	eventually(t, "all that was committed is told", told)
	eventually(t, "heartbeats", func() bool { return beats.Load() > 0 })
	for id := range h.ids() {
		if _, ok := storedEvents(t, dataDir)[id]; !ok {
			t.Errorf("told of %s, which is not in the record", id)
		}
	}

	// Another receiver in its place, which has the name of the first: it goes on where that was.
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `interval = "1s"`, `interval = "2s"`, 1)
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	doc, err := reloadDaemon(t.Context(), dataDir)
	if err != nil || !strings.Contains(strings.Join(doc.Applied, " "), "notify") {
		t.Fatalf("reload: %+v, %v", doc, err)
	}
	before = len(storedEvents(t, dataDir))
	demo.Servers[2].Machine.FailDrive(0)
	eventually(t, "one more", func() bool { return len(storedEvents(t, dataDir)) > before })
	eventually(t, "it is told by the new receiver", told)
	d.stop()
	said += d.stderr.String()
	for _, secret := range []string{"sesame-4711", "the-key-in-the-url"} {
		if strings.Contains(said, secret) {
			t.Errorf("the log holds %s", secret)
		}
	}

	out := &bytes.Buffer{}
	p := &program{stdout: out, stderr: os.Stderr, getenv: os.Getenv}
	if code := p.main(t.Context(), []string{"status", "--data-dir", dataDir}); code != exitOK || !strings.Contains(out.String(), "notify hook: ") {
		t.Errorf("status, exit %d: %s", code, out)
	}
}

func TestNotifyTestSaysWhatTheReceiverAnswered(t *testing.T) {
	t.Parallel()
	good, bad := newHook(t), newHook(t)
	bad.fail(true)
	config := t.TempDir() + "/dewline.toml"
	text := fmt.Sprintf("[[notify.webhook]]\nname = \"good\"\nurl = %q\n[[notify.webhook]]\nname = \"bad\"\nurl = %q\n", good.URL, bad.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		p := &program{stdout: &out, stderr: &errs, getenv: os.Getenv}
		code := p.main(t.Context(), append([]string{"notify", "test", "-c", config}, args...))
		return out.String(), errs.String(), code
	}
	out, _, code := run("good", "-o", "json")
	var doc notifyTestDoc
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitOK || !doc.OK || !strings.Contains(doc.Answer, "200 OK") {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if m := good.got(); len(m) != 1 || !m[0].Test || !strings.HasPrefix(m[0].Text, "TEST") {
		t.Errorf("the message is not marked: %+v", m)
	}
	out, errs, code := run()
	if code != exitFailed || !strings.Contains(out, "503") || !strings.Contains(errs, "1 of 2 receivers") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if _, errs, code = run("god"); code != exitUsage || !strings.Contains(errs, `did you mean "good"?`) {
		t.Errorf("exit %d: %s", code, errs)
	}
}

package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"text/template"
	"time"

	"dewline/health"
	"dewline/internal/secret"
	"dewline/notify"
	"dewline/notify/notifytest"
)

var at = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func event(n int64, state health.Transition, sev health.Severity, message string) health.MessageEvent {
	return health.MessageEvent{
		ID: fmt.Sprintf("%032x", n), N: n, Target: "db-1", Site: "bontang", Rack: "A1", Labels: map[string]string{"owner": "lab"}, Component: "fan/1",
		Class: health.ClassFan, Kind: health.KindFailed, Severity: sev, State: state, Message: message, Rule: "state", At: at, Fault: fmt.Sprintf("%032x", 1), Opened: at,
	}
}

func message(events ...health.MessageEvent) *health.Message {
	m := &health.Message{
		Version: 1, ID: health.MessageID("r", events), Receiver: "r", Group: "rack bontang/A1", Site: "bontang", Rack: "A1", Severity: health.SeverityCritical,
		Events: events,
	}
	m.Text = notify.Text(m)
	return m
}

func httpTo(url string, now func() time.Time) notify.HTTP {
	return notify.HTTP{URL: secret.New(url), Now: now, Agent: "dewline/test"}
}

func TestAWebhookIsSignedAsDocumented(t *testing.T) {
	t.Parallel()
	key := secret.New("the key")
	got := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m health.Message
		switch {
		case err != nil:
		case r.Header.Get("X-Dewline-Timestamp") != fmt.Sprint(at.Unix()):
			err = fmt.Errorf("timestamp %q", r.Header.Get("X-Dewline-Timestamp"))
		case r.Header.Get("X-Dewline-Signature") != "sha256="+notify.Sign(key, at.Unix(), body):
			err = errors.New("the signature does not fit")
		case r.Header.Get("Idempotency-Key") != fmt.Sprintf("%032x", 7):
			err = fmt.Errorf("idempotency key %q: the message has one event", r.Header.Get("Idempotency-Key"))
		case json.Unmarshal(body, &m) != nil || len(m.Events) != 1 || m.Events[0].ID != fmt.Sprintf("%032x", 7):
			err = fmt.Errorf("body %s", body)
		}
		got <- err
		_, _ = io.WriteString(w, "thanks")
	}))
	defer srv.Close()
	w := notify.NewWebhook(httpTo(srv.URL, func() time.Time { return at }), key, nil)
	answer, err := w.Send(t.Context(), message(event(7, health.Asserted, health.SeverityCritical, "fan 1 has failed")))
	if err != nil || answer != "200 OK thanks" {
		t.Errorf("answer %q, %v", answer, err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	// printf '1.{}' | openssl dgst -sha256 -hmac key
	if s := notify.Sign(secret.New("key"), 1, []byte("{}")); s != "1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224" {
		t.Errorf("signature %q", s)
	}
}

func TestFailuresOfHTTPReceiversSayWhatToDoAndHideSecrets(t *testing.T) {
	t.Parallel()
	const key = "sesame-4711"
	for name, c := range map[string]struct {
		status    int
		header    map[string]string
		body      string
		permanent bool
		after     time.Duration
		want      string
	}{
		"refused for ever":                 {400, nil, "bad json", true, 0, "answers 400 Bad Request bad json"},
		"wrong token, of every message":    {401, nil, "no " + key, false, 0, "answers 401 Unauthorized no ***"},
		"busy, asks for a pause":           {429, map[string]string{"Retry-After": "120"}, "", false, 2 * time.Minute, "429"},
		"busy, asks for a pause by a date": {503, map[string]string{"Retry-After": at.Add(time.Minute).Format(http.TimeFormat)}, "", false, time.Minute, "503"},
		"asks for more than there is":      {503, map[string]string{"Retry-After": "99999999999"}, "", false, time.Hour, "503"},
		"elsewhere":                        {302, map[string]string{"Location": "http://127.0.0.1:1/"}, "", false, 0, "redirects are not followed"},
		"control characters in the answer": {500, nil, "a\x1b[2Jb", false, 0, "a�[2Jb"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer srv.Close()
			h := httpTo(srv.URL+"/"+key, func() time.Time { return at })
			h.Token = secret.New(key)
			_, err := notify.NewWebhook(h, secret.Secret{}, nil).Send(t.Context(), message(event(1, health.Asserted, health.SeverityCritical, "x")))
			f, ok := errors.AsType[*notify.Failure](err)
			if !ok || f.Permanent != c.permanent || f.After != c.after || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), key) {
				t.Errorf("%#v: %v", f, err)
			}
		})
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := dead.Addr().String()
	dead.Close()
	_, err = notify.NewWebhook(httpTo("http://"+address+"/"+key, time.Now), secret.Secret{}, nil).Send(t.Context(), message(event(1, health.Asserted, health.SeverityCritical, "x")))
	if err == nil || strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), address) {
		t.Errorf("a dead receiver: %v", err)
	}
}

func TestATemplateMakesTheBody(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- r.Header.Get("Content-Type") + " " + string(b)
	}))
	defer srv.Close()
	tmpl := template.Must(template.New("body").Parse(`{"text":{{printf "%q" .Text}},"n":{{len .Events}}}`))
	m := message(event(1, health.Asserted, health.SeverityCritical, "x"))
	if _, err := notify.NewWebhook(httpTo(srv.URL, time.Now), secret.Secret{}, tmpl).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if s := <-got; !strings.HasPrefix(s, "application/json {\"text\":") || !strings.HasSuffix(s, `"n":1}`) {
		t.Error(s)
	}
}

func TestATextIsShortAndHarmlessAndSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	var events []health.MessageEvent
	for i := range int64(200) {
		events = append(events, event(i+1, health.Asserted, health.SeverityWarning, "fan\r\nBcc: x@example.org\x1b[2J"))
	}
	m := message(events...)
	m.HeldBack, m.Muted = 12, 7
	text := notify.Text(m)
	if n := strings.Count(text, "\n"); n > 60 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{"and 150 more", "150 × failed asserted", "12 of these events were held back", "7 further events were silenced"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") || strings.Contains(text, "\nBcc") {
		t.Errorf("what the BMC said is not harmless: %q", text)
	}
}

func TestARealAlertmanagerKnowsWhatIsOpen(t *testing.T) {
	t.Parallel()
	url := notifytest.Alertmanager(t)
	a := notify.NewAlertmanager(httpTo(url, time.Now), time.Minute, true)
	now := time.Now().UTC()
	with := func(n int64, state health.Transition, sev health.Severity) health.MessageEvent {
		e := event(n, state, sev, "fan 1 has failed")
		e.At, e.Opened = now.Add(-time.Minute), now.Add(-time.Minute)
		return e
	}
	send := func(es ...health.MessageEvent) {
		t.Helper()
		if _, err := a.Send(t.Context(), message(es...)); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(what string, ok func(map[string]notifytest.Alert) bool) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for !ok(notifytest.Firing(t, url)) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", what, notifytest.Firing(t, url))
			}
			time.Sleep(50 * time.Millisecond) // another process
		}
	}
	send(with(1, health.Asserted, health.SeverityWarning))
	wait("the fault fires", func(f map[string]notifytest.Alert) bool {
		x, ok := f["failed/warning"]
		return ok && len(f) == 1 && x.Labels["target"] == "db-1" && x.Labels["rack"] == "A1" && x.Labels["owner"] == "lab" && x.Annotations["event_id"] == fmt.Sprintf("%032x", 1) &&
			x.EndsAt.After(now.Add(2*time.Minute)) && x.EndsAt.Before(now.Add(6*time.Minute))
	})
	send(with(2, health.Escalated, health.SeverityCritical))
	wait("it got worse, and is one alert", func(f map[string]notifytest.Alert) bool { _, ok := f["failed/critical"]; return ok && len(f) == 1 })
	open := with(1, health.Asserted, health.SeverityCritical)
	if err := a.Refresh(t.Context(), []health.MessageEvent{open}, true, &health.Chain{Head: "c0ffee", Length: 7}); err != nil {
		t.Fatal(err)
	}
	wait("the heartbeat beside it", func(f map[string]notifytest.Alert) bool {
		x, ok := f["DewlineHeartbeat/none"]
		return ok && len(f) == 2 && x.Annotations["chain_head"] == "c0ffee" && x.Annotations["chain_length"] == "7"
	})
	over := with(3, health.Cleared, health.SeverityCritical)
	send(over)
	wait("it is over", func(f map[string]notifytest.Alert) bool { _, ok := f["failed/critical"]; return !ok && len(f) == 1 })
	// Begun and over in one message: two requests, since an alert has one state in each.
	again := with(4, health.Asserted, health.SeverityCritical)
	again.Fault = fmt.Sprintf("%032x", 4)
	end := with(5, health.Cleared, health.SeverityCritical)
	end.Fault = again.Fault
	send(again, end)
	wait("what came and went does not fire", func(f map[string]notifytest.Alert) bool { return len(f) == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Refresh(ctx, nil, true, nil); err == nil {
		t.Error("a cancelled refresh is no success")
	}
}

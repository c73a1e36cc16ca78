package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dewline/health"
	"dewline/internal/secret"
	"dewline/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reply is what a fake server gives instead of storing. A zero status stores.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // no answer at all
	hang   bool  // until the request is given up
}

func says(status int, body string, header ...string) reply {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return reply{status: status, body: body, header: h}
}

// fake stands for a server where a real 1.8 cannot: the answers of 2.x, proxies, time-outs. It stores points as InfluxDB
// does: same series and time, same point. judge sees every write before it is stored.
type fake struct {
	mu     sync.Mutex
	judge  func(lines []string) reply
	points map[string]string // series and time -> line
	order  []string          // lines as they came, with repeats
	writes [][]string        // of every request
	at     []time.Time
	heads  []http.Header
	paths  []string
}

func newFake(judge func([]string) reply) *fake {
	return &fake{judge: judge, points: map[string]string{}}
}

func (f *fake) handle(r *http.Request) (reply, error) {
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return reply{}, fmt.Errorf("the body must be gzip: %w", err)
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return reply{}, err
	}
	lines := strings.Split(string(body), "\n")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes, f.at, f.heads, f.paths = append(f.writes, lines), append(f.at, time.Now()), append(f.heads, r.Header), append(f.paths, r.URL.String())
	if f.judge != nil {
		if rep := f.judge(lines); rep.status != 0 || rep.err != nil || rep.hang {
			return rep, nil
		}
	}
	f.store(lines)
	return reply{status: http.StatusNoContent}, nil
}

func (f *fake) store(lines []string) {
	for _, l := range lines {
		if strings.HasPrefix(l, "#") {
			continue
		}
		p, err := parseLine(l)
		if err != nil {
			panic(fmt.Sprintf("%v: %q", err, l))
		}
		f.points[fmt.Sprint(p.series(), p.time)] = l
		f.order = append(f.order, l)
	}
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	rep, err := f.handle(r)
	switch {
	case err != nil:
		return nil, err
	case rep.err != nil:
		return nil, rep.err
	case rep.hang:
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if rep.header == nil {
		rep.header = http.Header{}
	}
	return &http.Response{
		StatusCode: rep.status, Header: rep.header, Body: io.NopCloser(strings.NewReader(rep.body)), Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// serve puts the fake behind a real socket.
func (f *fake) serve(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := f.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func (f *fake) count() (points, writes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.points), len(f.writes)
}

const theToken = "s3cret-token-of-the-sink"

func options() Options {
	return Options{URL: "http://influx.test:8086", Organization: "lab", Bucket: "hardware", Token: secret.New(theToken)}
}

func known(health.TargetID) (health.Target, bool) { return target(), true }

// newSink gives a sink whose transport is rt, if that is not nil, and what it logs.
func newSink(t *testing.T, o Options, log Log, rt http.RoundTripper) (*Sink, *logged) {
	t.Helper()
	out := &logged{}
	o.Log = slog.New(slog.NewTextHandler(out, nil))
	s, err := New(o, log, known)
	if err != nil {
		t.Fatal(err)
	}
	if rt != nil {
		s.connect(rt)
	}
	t.Cleanup(func() {
		if strings.Contains(out.String(), theToken) {
			t.Errorf("the token is in the log:\n%s", out)
		}
	})
	return s, out
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) count(sub string) int { return strings.Count(l.String(), sub) }

// run starts a sink and gives what stops it and waits for its end.
func run(t *testing.T, s *Sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// simple is visit number n of one fan: two points.
func simple(n int) *health.Visit {
	at := t0.Add(time.Duration(n) * time.Minute)
	return &health.Visit{
		Target: "db-1", Started: at, Result: health.Done, Due: map[health.Tier]time.Time{health.TierReadings: at},
		Snapshot: &health.Snapshot{
			Components: []health.Component{{ID: "fan/1", Class: health.ClassFan, Presence: health.Present, State: health.OK}},
			Readings:   []health.Reading{{Component: "fan/1", Quantity: health.Speed, Unit: health.RPM, Value: float64(n)}},
		},
	}
}

func record(t *testing.T, m *storetest.Memory, visits ...*health.Visit) {
	t.Helper()
	for _, v := range visits {
		if err := m.Record(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
}

func memoryOf(t *testing.T, n int) *storetest.Memory {
	t.Helper()
	m := storetest.NewMemory()
	for i := range n {
		record(t, m, simple(i))
	}
	return m
}

func cursor(t *testing.T, m *storetest.Memory) int64 {
	t.Helper()
	c, err := m.SinkCursor(t.Context(), DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sameLines(t *testing.T, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("got %d lines, want %d\ngot  %q\nwant %q", len(got), len(want), got, want)
	}
}

var errRefusedConnection = errors.New("dial tcp 127.0.0.1:8086: connect: connection refused")

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// until waits for a condition that a real server brings about.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come about in a minute")
		}
	}
}

package main

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/influx"
	"dewline/store/storetest"
)

// lake takes points and counts how often it got each.
type lake struct {
	*httptest.Server
	mu     sync.Mutex
	points map[string]int
	down   bool
}

func newLake(t *testing.T) *lake {
	l := &lake{points: map[string]int{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil || l.down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		for line := range strings.Lines(string(b)) {
			l.points[strings.TrimSpace(line)]++
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *lake) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.points)
}

// A sink that is replaced while it delivers, twice, loses nothing: what the first server did not get, the next one does.
func TestASinkIsReplacedInPlace(t *testing.T) {
	t.Parallel()
	store := storetest.NewMemory()
	record := func(from, to int) {
		for i := from; i < to; i++ {
			at := time.Date(2026, 11, 23, 7, 0, i, 0, time.UTC)
			v := &health.Visit{Target: "db-1", Started: at, Due: map[health.Tier]time.Time{health.TierReadings: at}, Result: health.Done}
			if err := store.Record(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	sink := func(l *lake) *influx.Sink {
		s, err := influx.New(influx.Options{URL: l.URL, Bucket: "hw/autogen"}, store, func(health.TargetID) (health.Target, bool) { return health.Target{}, false })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	lakes := []*lake{newLake(t), newLake(t), newLake(t)}
	d := newDelivery(sink(lakes[0]))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	record(0, 10)
	eventually(t, "ten points in the first", func() bool { return lakes[0].count() == 10 })
	eventually(t, "the cursor after them", func() bool { return d.State().Cursor == 10 })
	lakes[0].mu.Lock()
	lakes[0].down = true
	lakes[0].mu.Unlock()
	record(10, 20)
	d.replace(sink(lakes[1]))
	eventually(t, "the next ten in the second", func() bool { return lakes[1].count() == 10 })
	eventually(t, "the cursor after them", func() bool { return d.State().Cursor == 20 })
	for range 5 { // the newest of them counts
		d.replace(sink(lakes[2]))
	}
	record(20, 30)
	// A write that was cut by the change may have arrived: then the next one repeats it, and the point is the same.
	distinct := func() int {
		seen := map[string]bool{}
		for _, l := range lakes {
			l.mu.Lock()
			for p := range l.points {
				seen[p] = true
			}
			l.mu.Unlock()
		}
		return len(seen)
	}
	eventually(t, "the last ten", func() bool { return distinct() == 30 && d.State().Cursor == 30 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := lakes[0].count(); n != 10 {
		t.Errorf("the server that was left has %d points", n)
	}
}

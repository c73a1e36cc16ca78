package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"dewline/health"
)

// Store is what collectors and sinks ask of a store.
type Store interface {
	Recall(ctx context.Context, id health.TargetID) (*health.Known, error)
	Record(ctx context.Context, v *health.Visit) error
	After(ctx context.Context, seq int64, limit int) ([]*health.Visit, error)
	Changed() <-chan struct{}
	SinkCursor(ctx context.Context, sink string) (int64, error)
	SetSinkCursor(ctx context.Context, sink string, seq int64) error
	Quarantine(ctx context.Context, sink string, rows []health.Rejected) error
	Quarantined(ctx context.Context) (int, error)
}

var _ Store = (*Memory)(nil)

// Run runs the suite. open gives a new, empty store each time and closes it with the test.
func Run(t *testing.T, open func(t *testing.T) Store) {
	start := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	t.Run("what was recorded comes back after, in order and whole", func(t *testing.T) {
		s := open(t)
		r := rand.New(rand.NewPCG(1, 2))
		var want []*health.Visit
		for i := range 60 {
			v := Random(r, health.TargetID(fmt.Sprintf("t%d", i%3)), start.Add(time.Duration(i)*7*time.Minute))
			want = append(want, v)
			must(t, s.Record(t.Context(), v))
			if v.Seq != int64(i)+1 {
				t.Fatalf("visit %d has Seq %d", i, v.Seq)
			}
		}
		got := All(t, s)
		if len(got) != len(want) {
			t.Fatalf("%d visits came back of %d", len(got), len(want))
		}
		for i := range want {
			if d := Diff(Kept(want[i]), got[i]); d != "" {
				t.Errorf("visit %d: %s", i, d)
			}
		}
	})
	t.Run("what is recalled is what the deltas made of it", func(t *testing.T) {
		s := open(t)
		r := rand.New(rand.NewPCG(3, 4))
		known := health.NewKnown("t")
		for i := range 80 {
			v := Random(r, "t", start.Add(time.Duration(i)*time.Minute))
			must(t, s.Record(t.Context(), v))
			known.Apply(&v.Delta)
			got, err := s.Recall(t.Context(), "t")
			must(t, err)
			if d := Diff(known, got); d != "" {
				t.Fatalf("after visit %d: %s", i, d)
			}
		}
		k, err := s.Recall(t.Context(), "stranger")
		must(t, err)
		if d := Diff(health.NewKnown("stranger"), k); d != "" {
			t.Errorf("a new target: %s", d)
		}
	})
	runLeave(t, open)
	t.Run("a visit recorded twice is recorded once", func(t *testing.T) {
		s := open(t)
		v := NewMachine("t", 3, 1).Visit(start)
		must(t, s.Record(t.Context(), v))
		again := Clone(v)
		again.Seq = 0
		must(t, s.Record(t.Context(), again))
		if again.Seq != v.Seq || len(All(t, s)) != 1 {
			t.Errorf("Seq %d, then %d; %d visits", v.Seq, again.Seq, len(All(t, s)))
		}
	})
	t.Run("many record at once", func(t *testing.T) {
		s := open(t)
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				m := NewMachine(health.TargetID(fmt.Sprint(g)), 4, uint64(g))
				for i := range 5 {
					if err := s.Record(t.Context(), m.Visit(start.Add(time.Duration(i)*time.Minute))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for i, v := range All(t, s) {
			if v.Seq != int64(i)+1 {
				t.Fatalf("visit %d has Seq %d", i, v.Seq)
			}
		}
	})
	t.Run("a commit wakes every follower", func(t *testing.T) {
		s := open(t)
		a, b := s.Changed(), s.Changed()
		must(t, s.Record(t.Context(), NewMachine("t", 1, 1).Visit(start)))
		for _, c := range []<-chan struct{}{a, b} {
			select {
			case <-c:
			case <-t.Context().Done():
			case <-time.After(10 * time.Second):
				t.Fatal("a follower sleeps on")
			}
		}
	})
	t.Run("a sink's cursor stays and never goes back", func(t *testing.T) {
		s := open(t)
		m := NewMachine("t", 1, 1)
		for i := range 3 {
			must(t, s.Record(t.Context(), m.Visit(start.Add(time.Duration(i)*time.Minute))))
		}
		for _, step := range []struct{ set, want int64 }{{2, 2}, {1, 2}, {3, 3}} {
			must(t, s.SetSinkCursor(t.Context(), "influx", step.set))
			if c, err := s.SinkCursor(t.Context(), "influx"); err != nil || c != step.want {
				t.Errorf("set to %d: %d, %v", step.set, c, err)
			}
		}
		if c, err := s.SinkCursor(t.Context(), "other"); err != nil || c != 0 {
			t.Errorf("a new sink: %d, %v", c, err)
		}
	})
	t.Run("a line is quarantined once", func(t *testing.T) {
		s := open(t)
		rows := []health.Rejected{{Line: "a", Error: "type conflict", Seq: 1}, {Line: "a", Error: "x", Seq: 2}, {Line: "b", Seq: 1}}
		for range 2 {
			must(t, s.Quarantine(t.Context(), "influx", rows))
		}
		must(t, s.Quarantine(t.Context(), "other", rows[:1]))
		if n, err := s.Quarantined(t.Context()); err != nil || n != 4 {
			t.Errorf("%d lines, %v", n, err)
		}
	})
	t.Run("an ended context records nothing", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Record(ctx, NewMachine("t", 1, 1).Visit(start)); !errors.Is(err, context.Canceled) {
			t.Errorf("Record: %v", err)
		}
		if n := len(All(t, s)); n != 0 {
			t.Errorf("%d visits", n)
		}
	})
	t.Run("a visit without target or time is refused", func(t *testing.T) {
		s := open(t)
		for _, v := range []*health.Visit{{Started: start}, {Target: "t"}} {
			if err := s.Record(t.Context(), v); err == nil {
				t.Errorf("%+v was recorded", v)
			}
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// All is every visit of a store, read in small pieces.
func All(t *testing.T, s interface {
	After(ctx context.Context, seq int64, limit int) ([]*health.Visit, error)
}) []*health.Visit {
	t.Helper()
	var all []*health.Visit
	for seq := int64(0); ; {
		vs, err := s.After(t.Context(), seq, 7)
		must(t, err)
		if len(vs) == 0 {
			return all
		}
		all = append(all, vs...)
		seq = vs[len(vs)-1].Seq
	}
}

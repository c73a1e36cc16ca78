package collector_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"dewline/collector"
	"dewline/health"
)

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		f := r.add("db-1", everyMinute, nil)
		denied := r.add("db-2", everyMinute, func(context.Context, int, health.Request) (*health.Snapshot, error) {
			return &health.Snapshot{}, &health.Error{Reason: health.ReasonDenied, Op: "log in", Err: errors.New("wrong password")}
		})
		ctx, stop := context.WithCancel(t.Context())
		c := collector.New(r.options)
		done := make(chan error)
		go func() { done <- c.Run(ctx, r.jobs) }()
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		before, visits, attempts := f.reads(), len(r.visits()), denied.reads()

		v, err := c.Ask(ctx, "db-1", health.EveryTier, 200)
		if err != nil || v.Result != health.Done || len(v.Snapshot.Components) != 2 {
			t.Errorf("asked: %+v, %v", v, err)
		}
		if f.reads() != before+1 {
			t.Errorf("the source was read %d times for one ask", f.reads()-before)
		}
		if n := len(r.visits()); n != visits {
			t.Errorf("an ask recorded %d visits", n-visits)
		}
		v, err = c.Ask(ctx, "db-2", health.EveryTier, 200)
		if err != nil || v.Result != health.Failed || v.Reason != health.ReasonDenied {
			t.Errorf("asked of one that denied us: %+v, %v", v, err)
		}
		if denied.reads() != attempts {
			t.Error("an ask tried a login that was denied a while ago")
		}
		if _, err := c.Ask(ctx, "db-3", health.EveryTier, 200); !errors.Is(err, collector.ErrNoTarget) {
			t.Errorf("asked of a target that is not there: %v", err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := c.Ask(t.Context(), "db-1", health.EveryTier, 200); !errors.Is(err, collector.ErrNoTarget) {
			t.Errorf("asked after the end: %v", err)
		}
		if f.abused {
			t.Error("the source was called from two goroutines at once")
		}
	})
}

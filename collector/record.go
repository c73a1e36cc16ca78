package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"dewline/health"
	"dewline/internal/schedule"
)

const (
	retryFirst = time.Second
	retryMost  = time.Minute
	// poisonAfter is how often a visit is tried that the store refuses before it is taken for the visit's fault.
	poisonAfter = 5
)

// storeState says of the store, once per change, that it refuses or takes visits.
type storeState struct {
	mu      sync.Mutex
	failing bool
	again   chan struct{} // closed when it takes visits again
}

func (s *storeState) failed(log *slog.Logger, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing {
		s.failing, s.again = true, make(chan struct{})
		log.Error("the store takes no visits: they are kept in memory and tried again", "err", err)
	}
}

func (s *storeState) took(log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing {
		s.failing = false
		close(s.again)
		log.Info("the store takes visits again")
	}
}

// recovery is closed when the store takes visits again; nil if it takes them.
func (s *storeState) recovery() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing {
		return nil
	}
	return s.again
}

// recall reads what is known of the target, however long that takes; false when dewline stops first.
func (w *watcher) recall() bool {
	w.pulse.none()
	known, ok := insist(w.c, w.ctx, "recall "+string(w.job.Target.ID), func(ctx context.Context) (*health.Known, error) {
		return w.c.recorder.Recall(ctx, w.job.Target.ID)
	})
	if !ok {
		return false
	}
	w.moved = known.Endpoint != "" && known.Endpoint != health.Endpoint(w.job.Target)
	w.known = known.For(w.job.Target)
	if w.known.Access.State == "" {
		w.known.Access.State = health.AccessOK
	}
	return true
}

// commit records a visit with the skipped ticks before it, and then advances what is known.
func (w *watcher) commit(v *health.Visit) {
	v.Skipped = w.ranges()
	for _, s := range v.Skipped {
		// So that a restart does not account for them again.
		if t := v.Delta.Ticks[s.Tier]; s.Last.After(t.Due) {
			if _, answered := v.Due[s.Tier]; !answered {
				t = health.Tick{Result: health.Missed}
			}
			t.Due = s.Last
			v.Delta.Ticks[s.Tier] = t
		}
	}
	// Also what the skipped ticks would have read.
	if len(v.Skipped) > 0 && v.Reason != health.ReasonStopped {
		for _, u := range w.known.UnreadBy(v) {
			if !slices.Contains(v.Unread, u) {
				v.Unread = append(v.Unread, u)
			}
		}
	}
	owed := w.owed
	if v.Delta.Access == nil {
		v.Delta.Access = owed
	}
	if !w.record(v) {
		return
	}
	w.spans = nil
	if v.Delta.Access != nil && w.owed == owed { // an ask may have learned more while the visit waited
		w.owed = nil
	}
	before := w.known.Access
	w.known.Apply(&v.Delta)
	if w.owed != nil {
		w.known.Access = *w.owed
	}
	w.publish()
	w.sayAccess(before, w.known.Access, v)
	w.gaps.say(context.WithoutCancel(w.ctx), w.log, v)
	if before.State != health.AccessOK && w.known.Access.State == health.AccessOK {
		w.catchUp()
	}
	w.c.onVisit(v)
}

// record tries until the visit is recorded or dewline has stopped; then it is lost, and said so.
func (w *watcher) record(v *health.Visit) bool {
	stopping := w.stop.Done()
	for try, pause := 1, retryFirst; ; try, pause = try+1, min(2*pause, retryMost) {
		w.pulse.promise("records a visit", recordPromise)
		begun := time.Now()
		err := w.c.recorder.Record(w.hard, v)
		if err == nil {
			w.c.commits.add(time.Since(begun))
			w.c.visits.Add(1)
			w.c.unmapped.Add(unmapped(v))
			if !v.Started.IsZero() && len(v.Due) > 0 {
				w.c.lateness.add(v.Lateness())
			}
			w.c.store.took(w.c.log)
			return true
		}
		if w.hard.Err() != nil {
			w.log.Error("dewline stops, and a visit could not be recorded", "due", v.At(), "err", err)
			return false
		}
		w.c.store.failed(w.c.log, fmt.Errorf("record visit of %s: %w", w.job.Target.ID, err))
		// Only the store's own word condemns a visit: on a full disk small ones go in and large ones do not.
		if try%poisonAfter == 0 && errors.Is(err, health.ErrRefused) {
			if v.Snapshot == nil && v.Result == health.Failed { // even a visit without content
				w.log.Error("the store refuses this target's visits and takes others: the visit is dropped", "err", err)
				w.recall()
				return false
			}
			w.log.Error("the store refuses a visit and takes others: only that it failed is recorded", "err", err)
			*v = *refused(v, err)
			v.Unread = w.known.UnreadBy(v)
		}
		if w.stop.Err() != nil {
			stopping = nil
			pause = min(pause, 200*time.Millisecond) // there is little time left
		}
		asks := w.asks
		if w.ctx.Err() != nil {
			asks = nil
		}
		w.pulse.promise("waits to record a visit again", pause)
		select {
		case <-w.hard.Done():
		case a := <-asks: // a full disk is no reason not to say how the machine is
			w.answer(a)
		case <-stopping: // now, and then often: what is kept in memory must reach the disk before the end
		case <-w.c.store.recovery():
			pause = retryFirst
		case <-time.After(pause):
		}
	}
}

// refused is a visit in the place of one that the store will not take: nothing of it is kept but that it was.
func refused(v *health.Visit, err error) *health.Visit {
	r := &health.Visit{
		Target: v.Target, Where: v.Where, Driver: v.Driver, Origin: v.Origin, Due: v.Due, Started: v.Started, Took: v.Took, Cost: v.Cost, Skipped: v.Skipped,
		Result: health.Failed, Reason: health.ReasonMalformed, Error: clip("the store refused the visit: " + err.Error()),
	}
	r.Delta = health.Delta{Endpoint: v.Delta.Endpoint, Ticks: map[health.Tier]health.Tick{}}
	for t, tick := range v.Delta.Ticks {
		if tick.Result != health.Missed {
			tick.Result = health.Failed
		}
		r.Delta.Ticks[t] = tick
	}
	r.ID = health.VisitID(r)
	return r
}

// account records the ticks skipped so far as one missed visit.
func (w *watcher) account() {
	due, why := w.popLast()
	where := w.job.Target
	v := &health.Visit{
		Target: where.ID, Where: &where, Origin: where.Origin, Due: due, Result: health.Missed, Reason: why,
	}
	b := builder{target: where, known: w.known}
	v.Driver = b.driver()
	if why == health.ReasonBackOff {
		v.Error = silentText(w.known.Access)
	}
	b.finish(v)
	w.commit(v)
}

// catchUp reads the slow tiers soon after a target came back, if their last ticks went unanswered.
func (w *watcher) catchUp() { w.readSlow(false) }

// readSlow reads the slow tiers soon: all, or those whose last ticks went unanswered.
func (w *watcher) readSlow(all bool) {
	at := time.Now().Round(0).Add(time.Second + schedule.Phase(string(w.job.Target.ID), time.Minute)).UTC()
	for _, t := range []health.Tier{health.TierHealth, health.TierInventory} {
		if r := w.known.Ticks[t].Result; all || r == health.Failed || r == health.Missed {
			w.soon(t, at)
		}
	}
}

// sayAccess logs how we get on with a target, on change only.
func (w *watcher) sayAccess(before, now health.Access, v *health.Visit) {
	if before.State == now.State || now.Reason == health.ReasonSuspended { // the suspension itself was said once, for all
		return
	}
	level, args := slog.LevelWarn, []any{"state", string(now.State)}
	if now.State == health.AccessOK {
		level = slog.LevelInfo
		args = append(args, "was", string(before.State), "since", before.Since.UTC())
	} else {
		args = append(args, "reason", string(now.Reason), "err", now.Error)
		if !now.NextTry.IsZero() {
			args = append(args, "next_try", now.NextTry.UTC())
		}
	}
	w.log.Log(context.WithoutCancel(w.ctx), level, "target is "+string(now.State), append(args, "driver", v.Driver)...)
}

package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dewline/health"
)

// ErrNoTarget is that the collector reads no target of that name.
var ErrNoTarget = errors.New("no such target")

// ask is a wish to read a target now, outside its schedule.
type ask struct {
	tiers    health.Tiers
	logLimit int
	answer   chan *health.Visit
}

// Ask reads a target now over the session that its visits use, between two of them, as Poll would: with an empty Known, so
// that faults come from this reading alone, and nothing of it is recorded or moves a cursor. A target that denied us is
// not tried before its time; the visit then says so. It returns ErrNoTarget, or the error of ctx.
func (c *Collector) Ask(ctx context.Context, id health.TargetID, tiers health.Tiers, logLimit int) (*health.Visit, error) {
	c.asksMu.Lock()
	l, ok := c.asks[id]
	c.asksMu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNoTarget, id)
	}
	a := ask{tiers, logLimit, make(chan *health.Visit, 1)}
	select {
	case l.asks <- a:
	case <-l.gone:
		return nil, fmt.Errorf("%w: %q", ErrNoTarget, id)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case v := <-a.answer:
		return v, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// asked is where a target's goroutine takes wishes, until it is gone.
type asked struct {
	asks chan ask
	gone chan struct{}
}

// listen makes a target known to Ask until the returned function is called.
func (c *Collector) listen(id health.TargetID) (asks chan ask, stop func()) {
	l := asked{make(chan ask), make(chan struct{})}
	c.asksMu.Lock()
	defer c.asksMu.Unlock()
	if c.asks == nil {
		c.asks = map[health.TargetID]asked{}
	}
	c.asks[id] = l
	return l.asks, func() {
		c.asksMu.Lock()
		defer c.asksMu.Unlock()
		delete(c.asks, id)
		close(l.gone)
	}
}

// answer reads the target for an ask, in the target's own goroutine.
func (w *watcher) answer(a ask) {
	now := time.Now().Round(0).UTC()
	due := map[health.Tier]time.Time{}
	for _, t := range a.tiers.List() {
		due[t] = now
	}
	known := health.NewKnown(w.job.Target.ID).For(w.job.Target)
	known.Driver, known.Memory = w.known.Driver, w.known.Memory // learned already: asking again would only cost the BMC
	b := builder{target: w.job.Target, known: known, due: due, at: now, deadline: w.c.deadlineOf(a.tiers), logLimit: a.logLimit, log: w.log}
	b.air = w.c.air(b.target, now)
	b.air.Rules.Delay = 0 // it is asked how things are, not how they have been
	suspended := w.c.guard.suspended(w.job.Credential)
	switch {
	case w.isStuck():
		b.opened = &health.Error{Reason: health.ReasonBusy, Op: "read", Err: errors.New("the visit before has not returned")}
	case suspended != "":
		b.opened = &health.Error{Reason: health.ReasonDenied, Op: "read", Err: errors.New("not tried: " + suspended)}
	case w.known.Access.State == health.AccessDenied && resting(w.known.Access, now):
		b.opened = &health.Error{Reason: health.ReasonDenied, Op: "read", Err: fmt.Errorf("not tried, since accounts lock: denied since %s, next try %s: %s",
			w.known.Access.Since.UTC().Format(time.RFC3339), w.known.Access.NextTry.UTC().Format(time.RFC3339), w.known.Access.Error)}
	case w.src == nil:
		b.opened = w.openSource()
	}
	tried := b.opened == nil
	w.pulse.promise("answers an ask", b.deadline+stuckGrace)
	v, out := b.build(w.ctx, w.src)
	if tried {
		w.c.guard.note(&w.job, v, now)
		if v.Result == health.Failed && v.Reason == health.ReasonDenied { // so that no tick is one more attempt
			if a, changed := accessAfter(w.known.Access, w.job.Target.ID, v.Result, v.Reason, v.Error, now); changed {
				w.denied = true
				w.owe(a)
			}
		}
	}
	if out.stuck != nil {
		w.stuck = out.stuck
	} else if out.broken {
		w.close()
	}
	a.answer <- v
}

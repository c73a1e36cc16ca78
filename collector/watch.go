package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dewline/health"
)

const (
	maxSleep   = time.Minute // a step of the clock is noticed within it
	clockSlack = 2 * time.Second
)

// watcher is one target's goroutine: everything in it belongs to that goroutine alone.
type watcher struct {
	c    *Collector
	ctx  context.Context // ends when dewline stops
	hard context.Context // ends StopGrace later: for recording
	log  *slog.Logger
	plan

	known *health.Known
	src   Source
	asks  <-chan ask
	stuck <-chan struct{} // closed when a source that did not return has returned
}

func (c *Collector) watch(ctx, hard context.Context, j Job) {
	w := &watcher{c: c, ctx: ctx, hard: hard, log: c.log.With("target", j.Target.ID), plan: newPlan(j, c.spread)}
	if !w.recall() {
		return
	}
	asks, stop := c.listen(j.Target.ID)
	defer stop()
	w.asks = asks
	w.start(time.Now(), w.known.Ticks)
	for w.wait() {
		w.step()
	}
	if w.pending() {
		w.account()
	}
	w.close()
}

// wait sleeps until a tick is due; false when dewline stops. It looks at the clock once a minute, since a sleep does not
// notice that the clock was set.
func (w *watcher) wait() bool {
	for {
		now := time.Now()
		if back := w.checkClock(now); back {
			w.log.Warn("the clock went back: ticks are planned anew", "now", now.UTC())
		}
		next, ok := w.earliest()
		sleep := maxSleep
		if ok {
			if !next.After(now) {
				return w.ctx.Err() == nil
			}
			sleep = min(sleep, next.Sub(now.Round(0)))
		}
		timer := time.NewTimer(sleep)
		select {
		case <-w.ctx.Done():
			timer.Stop()
			return false
		case a := <-w.asks:
			timer.Stop()
			w.answer(a)
		case <-timer.C:
		}
	}
}

// step answers the ticks that are due: by a visit, or by accounting for them.
func (w *watcher) step() {
	now := time.Now()
	switch {
	case w.isStuck():
		w.skipDue(now, health.ReasonOverrun)
		if w.unaccounted(now) >= probeEvery {
			w.account() // no silence, however long it takes
		}
		return
	case resting(w.known.Access, now):
		w.skipDue(now, health.ReasonBackOff)
		if w.unaccounted(now) >= probeEvery && w.known.Access.NextTry.Sub(now) > probeEvery {
			w.account()
		}
		return
	}
	release, ok := w.slot()
	if !ok {
		return // dewline stops, or the ticks were skipped while waiting
	}
	now = time.Now()
	due, late := w.take(now)
	if len(due) == 0 {
		release()
		return
	}
	v, out := w.visit(due, late, now)
	release()
	if out.stuck != nil {
		w.stuck = out.stuck
		w.log.Error("the driver did not return after its deadline: the target is not read until it does")
	} else if out.broken {
		w.close()
	}
	w.commit(v)
}

func (w *watcher) visit(due map[health.Tier]time.Time, late bool, now time.Time) (*health.Visit, outcome) {
	b := builder{
		target: w.job.Target, known: w.known, due: due, at: now.Round(0).UTC(), late: late, deadline: w.c.deadlineOf(tiersOf(due)), log: w.log,
	}
	if w.src == nil {
		b.opened = w.openSource()
	}
	return b.build(w.ctx, w.src)
}

func (w *watcher) openSource() (err error) {
	defer func() {
		if r := recover(); r != nil {
			b := builder{log: w.log}
			err = b.panicked("driver", r)
		}
	}()
	src, err := w.c.open(w.job.Target, w.known.Driver)
	if err != nil {
		return fmt.Errorf("open driver: %w", err)
	}
	if src == nil {
		return &health.Error{Reason: health.ReasonUnsupported, Op: "open driver", Err: errors.New("there is none")}
	}
	w.src = src
	return nil
}

// slot waits for leave to read the target. False means that dewline stops, or that every tick waited for has been
// accounted for meanwhile.
func (w *watcher) slot() (release func(), ok bool) {
	if w.known.Access.State == health.AccessOK {
		if !w.c.healthy.take(w.ctx, nil) {
			return nil, false
		}
		return w.c.hold(), true
	}
	// The queue of the failing can be long. A tick whose successor is due is not tried any more.
	for {
		now := time.Now()
		w.skipPassed(now, health.ReasonBackOff)
		timer := time.NewTimer(max(w.nextPassing(now).Sub(now.Round(0)), time.Millisecond))
		taken := w.c.failing.take(w.ctx, timer.C)
		timer.Stop()
		switch {
		case taken:
			return w.c.failing.give, true
		case w.ctx.Err() != nil:
			return nil, false
		}
	}
}

func (w *watcher) isStuck() bool {
	if w.stuck == nil {
		return false
	}
	select {
	case <-w.stuck:
		w.stuck = nil
		w.close() // whatever state it is in, the next visit starts afresh
		return false
	default:
		return true
	}
}

// close logs the source out, within StopGrace. The next visit opens another.
func (w *watcher) close() {
	src := w.src
	w.src = nil
	if src == nil {
		return
	}
	if w.stuck != nil {
		select {
		case <-w.stuck:
		case <-time.After(stuckGrace):
			w.log.Error("the driver still does not return: it is left behind")
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.c.stopGrace)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				b := builder{log: w.log}
				done <- b.panicked("driver", r)
			}
		}()
		done <- src.Close(ctx)
	}()
	select {
	case err := <-done:
		if err != nil {
			w.log.Debug("log out", "err", err)
		}
	case <-time.After(w.c.stopGrace + stuckGrace):
		w.log.Error("the driver does not return from logging out: it is left behind")
	}
}

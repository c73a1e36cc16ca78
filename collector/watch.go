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
	ctx  context.Context // ends when dewline stops, or a reload ends this target
	stop context.Context // ends when dewline stops
	hard context.Context // ends StopGrace later: for recording
	log  *slog.Logger
	plan

	known *health.Known
	owed  *health.Access // known's, if the store has not got it yet
	src   Source
	gaps  gapLog
	asks  <-chan ask
	post  <-chan Job
	pulse *pulse
	stuck <-chan struct{} // closed when a source that did not return has returned

	denied bool // the last thing the target said, since this start, was that it denies us
	moved  bool // what is known was learned from another endpoint
}

// entry is why a target's goroutine begins.
type entry uint8

const (
	atStart       entry = iota // of dewline
	byReload                   // which added the target, or changed how it is reached
	withNewSecret              // by a reload that changed its credential
)

func (c *Collector) watch(ctx context.Context, l *live, wd *watched, j Job, why entry) {
	w := &watcher{
		c: c, ctx: ctx, stop: l.ctx, hard: l.hard, log: c.log.With("target", j.Target.ID), plan: newPlan(j, c.spread),
		post: wd.post, pulse: &wd.pulse, stuck: c.stuckOf(j.Target.ID),
	}
	if !w.recall() {
		return
	}
	w.enter(why)
	asks, stop := c.listen(j.Target.ID)
	defer stop()
	w.asks = asks
	w.start(time.Now(), w.known.Ticks)
	if w.moved { // perhaps another machine: its slow tiers do not wait for their next tick
		w.readSlow(true)
	}
	for w.wait() {
		w.step()
	}
	if w.pending() {
		w.account()
	}
	w.close()
	c.handOver(j.Target.ID, w.stuck)
}

// enter settles how we get on with the target from what is stored of it.
func (w *watcher) enter(why entry) {
	if w.known.Access.State == health.AccessUnmonitored {
		w.owe(watchedAgain(w.known.Access, w.now()))
	}
	a := w.known.Access
	if met := w.job.Denied; met != nil && why == atStart && (a.State != health.AccessDenied || a.Reason != health.ReasonSuspended && met.NextTry.After(a.NextTry)) {
		w.owe(*met) // the guard counted it when the collector began
	}
	a = w.known.Access
	switch {
	case a.State != health.AccessDenied:
	case why == withNewSecret:
		w.owe(forgiven(w.now()))
	case a.Reason != health.ReasonSuspended:
	case why == atStart && !w.c.guard.recalled(&w.job, a):
		w.owe(forgiven(w.now()))
	case why == byReload && !w.c.guard.isSuspended(w.job.Credential):
		w.owe(resumed(a, w.now()))
	}
	w.publish()
}

func (w *watcher) publish() { w.pulse.access(w.known.Access.State) }

func (w *watcher) now() time.Time { return time.Now().Round(0).UTC() }

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
		w.pulse.promise("sleeps until its next tick", sleep)
		timer := time.NewTimer(sleep)
		select {
		case <-w.ctx.Done():
			timer.Stop()
			return false
		case j := <-w.post:
			timer.Stop()
			w.reloaded(j)
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
	switch suspended := w.c.guard.suspended(w.job.Credential); {
	case w.isStuck():
		w.skipDue(now, health.ReasonOverrun)
		if w.unaccounted(now) >= probeEvery {
			w.account() // no silence, however long it takes
		}
		return
	case suspended != "":
		w.suspend(now, suspended)
		return
	case resting(w.known.Access, now):
		w.skipDue(now, health.ReasonBackOff)
		if w.owed != nil || w.unaccounted(now) >= probeEvery && w.known.Access.NextTry.Sub(now) > probeEvery {
			w.account()
		}
		return
	}
	w.pulse.slot()
	free, ok := w.slot()
	if !ok {
		return // dewline stops, or the ticks were skipped while waiting
	}
	release := func() {
		free()
		w.c.given.Store(int64(time.Since(w.c.epoch)))
	}
	if w.c.guard.isSuspended(w.job.Credential) { // meanwhile
		release()
		return
	}
	now = time.Now()
	due, late := w.take(now)
	if len(due) == 0 {
		release()
		return
	}
	v, out := w.visit(due, late, now)
	release()
	w.c.guard.note(&w.job, v, now)
	if v.Result == health.Failed || v.Answered() {
		w.denied = v.Result == health.Failed && v.Reason == health.ReasonDenied
	}
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
	b.air = w.c.air(b.target, b.at)
	if next, ok := w.earliest(); ok {
		b.patience = max(next.Sub(now.Round(0))-together, leastPatience)
	}
	if w.src == nil {
		b.opened = w.openSource()
	}
	w.pulse.promise("reads its target", b.deadline+stuckGrace)
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
		if !w.c.takeHealthy(w.ctx) {
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
	w.pulse.promise("logs out", 2*stuckGrace+w.c.stopGrace)
	if w.stuck != nil {
		select {
		case <-w.stuck:
		case <-time.After(stuckGrace):
			w.log.Error("the driver still does not return: it is left behind")
			w.stuck = w.c.leave(src, w.stuck, w.hard, w.log)
			return
		}
	}
	w.c.logOut(src, w.log)
}

package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dewline/health"
)

// errReloaded is why the context of a target's goroutine ends, when it is not that dewline stops.
var errReloaded = errors.New("the configuration was reloaded")

// live is a running collector: which targets are read, and how. Its fields are guarded by Collector.liveMu.
type live struct {
	ctx, hard context.Context // as of watcher
	wg        sync.WaitGroup
	watched   map[health.TargetID]*watched
	// tails is the end of the last thing that was begun for a target: what comes next for it waits for that, so that a BMC
	// never has two readers or two sessions.
	tails map[health.TargetID]chan struct{}
}

// watched is a target that is read.
type watched struct {
	job    Job
	cancel context.CancelCauseFunc
	post   chan Job // the newest definition that keeps the session; holds one
	pulse  pulse
}

// begin makes the collector run; false if it does already.
func (c *Collector) begin(ctx, hard context.Context, jobs []Job) (*live, bool) {
	c.liveMu.Lock()
	defer c.liveMu.Unlock()
	if c.live != nil {
		return nil, false
	}
	l := &live{ctx: ctx, hard: hard, watched: map[health.TargetID]*watched{}, tails: map[health.TargetID]chan struct{}{}}
	c.live = l
	c.guard.take(jobs)
	for i := range jobs { // all of them before the first attempt
		if met := jobs[i].Denied; met != nil {
			c.guard.deny(&jobs[i], met.Since)
		}
	}
	for _, j := range jobs {
		why := atStart
		if j.Renewed {
			why = withNewSecret
		}
		c.start(l, j, why)
	}
	l.wg.Go(func() { c.retireAbsent(l) })
	return l, true
}

// end waits until everything is over. Nothing begins any more.
func (c *Collector) end(l *live) {
	c.liveMu.Lock()
	c.live = nil
	c.liveMu.Unlock()
	l.wg.Wait()
}

// next does something for a target after all that was begun for it before. liveMu is held.
func (c *Collector) next(l *live, id health.TargetID, do func()) {
	before, over := l.tails[id], make(chan struct{})
	l.tails[id] = over
	l.wg.Go(func() {
		if before != nil {
			<-before // it ends: its context has
		}
		do()
		c.liveMu.Lock()
		defer c.liveMu.Unlock()
		close(over)
		if l.tails[id] == over {
			delete(l.tails, id)
		}
	})
}

// start begins to read a target. liveMu is held.
func (c *Collector) start(l *live, j Job, why entry) {
	ctx, cancel := context.WithCancelCause(l.ctx)
	w := &watched{job: j, cancel: cancel, post: make(chan Job, 1)}
	l.watched[j.Target.ID] = w
	c.next(l, j.Target.ID, func() {
		defer cancel(nil)
		c.watch(ctx, l, w, j, why)
		w.pulse.none()
	})
}

// stop begins to end the reading of a target. liveMu is held.
func (l *live) stop(id health.TargetID) {
	l.watched[id].cancel(errReloaded)
	delete(l.watched, id)
}

// stuckOf takes over the call that a source of this target did not return from, if there is one; handOver leaves it to
// whoever reads the target next.
func (c *Collector) stuckOf(id health.TargetID) <-chan struct{} {
	c.liveMu.Lock()
	defer c.liveMu.Unlock()
	s := c.stuck[id]
	delete(c.stuck, id)
	return s
}

func (c *Collector) handOver(id health.TargetID, stuck <-chan struct{}) {
	if stuck == nil {
		return
	}
	c.liveMu.Lock()
	defer c.liveMu.Unlock()
	if c.stuck == nil {
		c.stuck = map[health.TargetID]<-chan struct{}{}
	}
	c.stuck[id] = stuck
}

// leave leaves a source behind that does not return from Read. Should it return while the collector runs, it is logged out;
// then the channel is closed.
func (c *Collector) leave(src Source, stuck <-chan struct{}, hard context.Context, log *slog.Logger) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-stuck:
			c.logOut(src, log)
		case <-hard.Done():
		}
	}()
	return over
}

// logOut closes a source, within StopGrace.
func (c *Collector) logOut(src Source, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), c.stopGrace)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				b := builder{log: log}
				done <- b.panicked("driver", r)
			}
		}()
		done <- src.Close(ctx)
	}()
	select {
	case err := <-done:
		if err != nil {
			log.Debug("log out", "err", err)
		}
	case <-time.After(c.stopGrace + stuckGrace):
		log.Error("the driver does not return from logging out: it is left behind")
	}
}

// distinct refuses jobs of which two are of one target.
func distinct(jobs []Job) error {
	seen := make(map[health.TargetID]bool, len(jobs))
	for _, j := range jobs {
		if j.Target.ID == "" {
			return errors.New("a target without an ID")
		}
		if seen[j.Target.ID] {
			return fmt.Errorf("target %q is given twice", j.Target.ID)
		}
		seen[j.Target.ID] = true
	}
	return nil
}

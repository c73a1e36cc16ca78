package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dewline/health"
)

// Census is what a Recorder may be as well: then targets that left the configuration while dewline did not run are found,
// and their faults closed. Targets is every target that was ever recorded; Configured how one was configured last, nil if
// that is not known.
type Census interface {
	Targets(ctx context.Context) ([]health.TargetID, error)
	Configured(ctx context.Context, id health.TargetID) (*health.Target, error)
}

// unmonitoredText is the Error of the visit that ends a target's watch.
const unmonitoredText = "the target is no longer in the configuration"

// retireAbsent ends the watch of recorded targets that are not configured.
func (c *Collector) retireAbsent(l *live) {
	census, ok := c.recorder.(Census)
	if !ok {
		return
	}
	ids, ok := insist(c, l.ctx, "list the recorded targets", census.Targets)
	if !ok {
		return
	}
	c.liveMu.Lock()
	defer c.liveMu.Unlock()
	if c.live != l {
		return
	}
	for _, id := range ids {
		if l.watched[id] != nil || l.tails[id] != nil || c.elsewhere != nil && c.elsewhere(id) {
			continue
		}
		c.next(l, id, func() {
			where, ok := insist(c, l.ctx, "read how "+string(id)+" was configured", func(ctx context.Context) (*health.Target, error) {
				return census.Configured(ctx, id)
			})
			if ok {
				c.retire(l, id, where)
			}
		})
	}
}

// retire records that a target is no longer watched: its open faults close as unmonitored, and its components are written
// as unknown once, so that no sink shows their last state for ever. It does so once; a target that was never visited has
// nothing to end.
func (c *Collector) retire(l *live, id health.TargetID, where *health.Target) {
	known, ok := insist(c, l.ctx, "recall "+string(id), func(ctx context.Context) (*health.Known, error) {
		return c.recorder.Recall(ctx, id)
	})
	if !ok || known.Access.State == health.AccessUnmonitored ||
		len(known.Ticks) == 0 && len(known.Components) == 0 && len(known.Faults) == 0 {
		return
	}
	v := unmonitored(known, where, time.Now().Round(0).UTC())
	w := &watcher{c: c, ctx: l.ctx, stop: l.ctx, hard: l.hard, log: c.log.With("target", id), plan: plan{job: Job{Target: health.Target{ID: id}}}, known: known, pulse: &pulse{}}
	if w.record(v) {
		w.log.Info("target is no longer watched", "faults_closed", len(v.Delta.Faults))
		c.onVisit(v)
	}
}

// unmonitored is the visit that ends a target's watch.
func unmonitored(known *health.Known, where *health.Target, at time.Time) *health.Visit {
	v := &health.Visit{
		Target: known.Target, Where: where, Driver: known.Driver, Started: at,
		Result: health.Missed, Reason: health.ReasonUnmonitored, Error: unmonitoredText,
	}
	if where != nil {
		v.Origin = where.Origin
		if where.Driver != health.DriverAuto && where.Driver != "" {
			v.Driver = where.Driver
		}
	}
	access := known.Access
	access.State = health.AccessUnmonitored
	v.Delta.Access = &access
	for id, k := range known.Components {
		if k.Presence != health.Absent {
			v.Unread = append(v.Unread, health.ComponentRef{ID: id, Class: k.Class})
		}
	}
	slices.SortFunc(v.Unread, func(a, b health.ComponentRef) int { return cmp.Compare(a.ID, b.ID) })
	for _, f := range known.Faults {
		f.State, f.Cleared, f.Changed = health.Unmonitored, at, at
		v.Delta.Faults = append(v.Delta.Faults, f)
	}
	endWatch(v, at, "unmonitored", unmonitoredText+": nobody knows whether this still holds")
	v.ID = health.VisitID(v)
	return v
}

// watchedAgain is the access of a target that is watched again: how it stood before follows from what was kept.
func watchedAgain(a health.Access, now time.Time) health.Access {
	switch {
	case a.Reason == health.ReasonDenied || a.Reason == health.ReasonSuspended:
		a.State = health.AccessDenied
	case a.Failures >= unreachableAfter:
		a.State = health.AccessUnreachable
	case a.Failures > 0:
		a.State = health.AccessSuspect
	default:
		a = health.Access{State: health.AccessOK, Since: now}
	}
	return a
}

// insist asks the store until it answers; false when ctx ends first.
func insist[T any](c *Collector, ctx context.Context, what string, ask func(context.Context) (T, error)) (T, bool) {
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		got, err := ask(ctx)
		if err == nil {
			return got, true
		}
		if ctx.Err() != nil || errors.Is(err, context.Canceled) {
			return got, false
		}
		c.store.failed(c.log, fmt.Errorf("%s: %w", what, err))
		select {
		case <-ctx.Done():
			return got, false
		case <-time.After(pause):
		}
	}
}

package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"dewline/collector/detect"
	"dewline/collector/moisture"
	"dewline/health"
)

// Visit reads a target once, for the given ticks, and records what it brought: read, derive, detect, record, advance. At
// is when the visit began; for a live visit, now. It returns the visit also beside an error, which is that it was not
// recorded; known has then not advanced, and Recall must be called before the next visit.
func (c *Collector) Visit(ctx context.Context, t health.Target, known *health.Known, src Source, due map[health.Tier]time.Time, at time.Time) (*health.Visit, error) {
	b := builder{target: t, known: known, due: due, at: at, deadline: c.deadlineOf(tiersOf(due)), log: c.log.With("target", t.ID), air: c.air(t, at)}
	v, _ := b.build(ctx, src)
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.stopGrace)
	defer cancel()
	if err := c.recorder.Record(record, v); err != nil {
		return v, fmt.Errorf("record visit of %s: %w", t.ID, err)
	}
	known.Apply(&v.Delta)
	c.onVisit(v)
	return v, nil
}

// Poll reads a target once, as if never seen before, and records nothing. LogLimit is health.Request's. The faults are in
// the visit's Delta. A deadline of ctx bounds the visit, as that of the tiers does: a target that passes it is a timeout.
// Cancelling ctx is a stop of ours.
func Poll(ctx context.Context, src Source, t health.Target, tiers health.Tiers, logLimit int) *health.Visit {
	now := time.Now()
	due := map[health.Tier]time.Time{}
	for _, tier := range tiers.List() {
		due[tier] = now
	}
	deadline := longest(DefaultDeadlines, tiers)
	if end, ok := ctx.Deadline(); ok {
		deadline = min(deadline, time.Until(end))
		var cancel context.CancelFunc
		ctx, cancel = withoutDeadline(ctx)
		defer cancel()
	}
	b := builder{
		target: t, known: health.NewKnown(t.ID).For(t), due: due, at: now, deadline: deadline, logLimit: logLimit, log: slog.New(slog.DiscardHandler),
		air: moisture.Input{Rules: moisture.DefaultRules()},
	}
	v, _ := b.build(ctx, src)
	return v
}

// withoutDeadline is a context that ends when ctx is cancelled, not when its time is over.
func withoutDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	return out, func() {
		stop()
		cancel()
	}
}

func tiersOf(due map[health.Tier]time.Time) health.Tiers {
	var s health.Tiers
	for t := range due {
		s = s.With(t)
	}
	return s
}

// builder makes one visit. Only build does I/O, through the source.
type builder struct {
	target   health.Target
	known    *health.Known
	due      map[health.Tier]time.Time
	at       time.Time
	late     bool
	deadline time.Duration
	patience time.Duration // until another visit would be late; 0: as long as it takes
	logLimit int
	log      *slog.Logger
	opened   error // why there is no source
	air      moisture.Input
	left     []health.ComponentRef // parts that only another protocol told of
}

// outcome is what became of a source during a visit.
type outcome struct {
	broken bool            // it panicked: use another
	stuck  <-chan struct{} // it did not return; closed when it does
}

type answer struct {
	snap     *health.Snapshot
	err      error
	panicked bool
}

func (b *builder) build(ctx context.Context, src Source) (*health.Visit, outcome) {
	where := b.target
	v := &health.Visit{
		Target: b.target.ID, Where: &where, Driver: b.driver(), Origin: b.target.Origin, Due: b.due, Started: b.at, Result: health.Done,
	}
	if b.late {
		v.Result = health.Late
	}
	began := time.Now()
	a, out := b.read(ctx, src)
	v.Took = time.Since(began)

	s := a.snap
	if s == nil {
		s = &health.Snapshot{}
		if a.err == nil { // a driver that breaks its contract must not pass for a BMC without faults
			a.err = &health.Error{Reason: health.ReasonMalformed, Op: "read", Err: errors.New("the driver returned nothing")}
		}
	}
	s.Target, s.At, s.Took, s.Tiers = b.target.ID, b.at, v.Took, tiersOf(b.due)
	if s.Driver != "" {
		v.Driver = s.Driver
	}
	v.Snapshot, v.Cost = s, s.Cost
	switch {
	case ctx.Err() != nil && (a.err != nil || cutShort(s)):
		v.Result, v.Reason, v.Error = health.Missed, health.ReasonStopped, stopText(ctx)
	case a.err != nil:
		v.Result, v.Reason, v.Error = health.Failed, health.ReasonFor(a.err), clip(a.err.Error())
		if v.Reason == health.ReasonStopped { // it was not us
			v.Reason = health.ReasonTimeout
		}
	case !v.Answered() && b.silent():
		// It asked nothing, and what was asked last got no answer: nobody may count it as done.
		v.Result, v.Reason, v.Error = health.Missed, health.ReasonBackOff, "nothing was asked: "+silentText(b.known.Access)
	default:
		if err := b.judge(v); err != nil {
			out.broken = true
			v.Result, v.Reason, v.Error = health.Failed, health.ReasonMalformed, clip(err.Error())
		}
	}
	if v.Result == health.Missed {
		v.Snapshot, v.Started, v.Took = nil, time.Time{}, 0
	}
	if v.Result == health.Failed {
		v.Snapshot = &health.Snapshot{Target: s.Target, Driver: s.Driver, At: s.At, Took: s.Took, Tiers: s.Tiers, Gaps: s.Gaps, Cost: s.Cost}
		v.Events, v.Delta = nil, health.Delta{}
		b.access(v)
		b.detect(v)
	}
	b.finish(v)
	if v.Snapshot != nil {
		tidyGaps(v.Snapshot) // of a failed visit too
		boundGaps(v.Snapshot)
	}
	return v, out
}

// silent says whether the target did not answer when it was last asked.
func (b *builder) silent() bool {
	a := b.known.Access
	return !a.Since.IsZero() && a.State != health.AccessOK && a.State != health.AccessUnmonitored && a.State != ""
}

func silentText(a health.Access) string {
	return clip(fmt.Sprintf("%s since %s: %s", a.State, a.Since.UTC().Format(time.RFC3339), a.Error))
}

// stopText says who cut the visit: dewline's stop, or a reload that ended the reading of its target.
func stopText(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), errReloaded) {
		return "cut while reading, since " + errReloaded.Error()
	}
	return "dewline stopped while reading"
}

func (b *builder) driver() string {
	if b.target.Driver != health.DriverAuto && b.target.Driver != "" {
		return b.target.Driver
	}
	return b.known.Driver
}

// cutShort says whether the driver itself says that the end of its context cut it.
func cutShort(s *health.Snapshot) bool {
	for _, g := range s.Gaps {
		if g.Reason == health.ReasonStopped {
			return true
		}
	}
	return false
}

// read calls the source in a goroutine of its own, so that one that does not obey its context costs this target and
// nothing else.
func (b *builder) read(ctx context.Context, src Source) (answer, outcome) {
	if b.opened != nil {
		return answer{err: b.opened}, outcome{}
	}
	rctx, cancel := context.WithTimeout(ctx, b.deadline)
	done := make(chan struct{})
	got := make(chan answer, 1)
	req := health.Request{Tiers: tiersOf(b.due), Cursors: b.known.Cursors, Memory: b.known.Memory, LogLimit: b.logLimit, Patience: b.patience}
	go func() {
		defer close(done)
		defer cancel()
		got <- b.guarded(rctx, src, req)
	}()
	select {
	case a := <-got:
		return a, outcome{broken: a.panicked}
	case <-rctx.Done():
	}
	grace := time.NewTimer(stuckGrace)
	defer grace.Stop()
	select {
	case a := <-got:
		return a, outcome{broken: a.panicked}
	case <-grace.C:
		return answer{err: &health.Error{Reason: health.ReasonTimeout, Op: "read", Err: errors.New("the driver did not return after its deadline")}}, outcome{stuck: done}
	}
}

func (b *builder) guarded(ctx context.Context, src Source, req health.Request) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			a = answer{err: b.panicked("driver", r), panicked: true}
		}
	}()
	snap, err := src.Read(ctx, req)
	return answer{snap: snap, err: err}
}

// panicked makes an error of a panic. Its value may hold anything a driver held, also a secret, so only what the
// runtime itself says is repeated.
func (b *builder) panicked(who string, r any) error {
	what := fmt.Sprintf("a value of type %T", r)
	if e, ok := r.(runtime.Error); ok {
		what = e.Error()
	}
	b.log.Error("panic: its visit fails, dewline goes on", "in", who, "panic", what, "stack", string(debug.Stack()))
	return &health.Error{Reason: health.ReasonMalformed, Op: "read", Err: fmt.Errorf("the %s panicked: %s", who, what)}
}

// judge derives, detects and works out the delta of a visit that was read.
func (b *builder) judge(v *health.Visit) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = b.panicked("detector", r)
		}
	}()
	s := v.Snapshot
	old := b.known
	if otherProtocol(old, s) {
		b.known = without(old)
		defer func() { b.known = old }() // it is the watcher's until this visit is committed
	}
	quench(s, b.known)
	bound(s, b.known)
	in := b.air
	in.Memory = b.known.Air
	v.Delta.Air = moisture.Derive(s, in)
	s.Sanitize()
	b.access(v)
	b.detect(v)
	if e := detect.HostPower(b.known, v, len(v.Events)); e != nil {
		v.Events = append(v.Events, *e)
	}
	b.delta(v)
	if b.known != old {
		b.endProtocol(v, old)
	}
	return nil
}

func (b *builder) detect(v *health.Visit) {
	j := detect.Judge(b.known, v)
	j.Apply(v)
	if j.Unmapped > 0 {
		b.log.Debug("log entries of severity warning or critical that no table knows: kept as kind unknown", "entries", j.Unmapped)
	}
}

func (b *builder) access(v *health.Visit) {
	if v.Result != health.Failed && !v.Answered() {
		return
	}
	if a, changed := accessAfter(b.known.Access, b.target.ID, v.Result, v.Reason, v.Error, b.at.Add(v.Took)); changed {
		v.Delta.Access = &a
	}
}

package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"dewline/collector/moisture"
	"dewline/health"
	"dewline/internal/schedule"
)

// Source reads one target. Read is never called from two goroutines at once. It returns a snapshot also beside an error, so
// that the cost is counted; an error means that nothing could be read, and carries a *health.Error. Close logs out; the
// source can be used again afterwards.
type Source interface {
	Read(ctx context.Context, req health.Request) (*health.Snapshot, error)
	Close(ctx context.Context) error
}

// OpenFunc makes the source of a target. It does no I/O. Chosen is the driver that answered before, of a target whose
// driver is auto; "" if none has.
type OpenFunc func(t health.Target, chosen string) (Source, error)

// Recorder keeps visits. Recall gives health.NewKnown for a target without any. Record returns when the visit is durable;
// recording a visit with the same ID again changes nothing. An error that wraps health.ErrRefused is about this visit, now and
// later; any other is about the store, and the visit is tried until it is taken.
type Recorder interface {
	Recall(ctx context.Context, id health.TargetID) (*health.Known, error)
	Record(ctx context.Context, v *health.Visit) error
}

// Job is a target and when each of its tiers is read. A tier without a schedule is never read.
type Job struct {
	Target   health.Target
	Schedule map[health.Tier]schedule.Spec

	// Credential is the name of what the target is logged in with: when several targets deny it, it is suspended for all.
	// "" is never suspended.
	Credential string
	// Secret and Session are digests, kept in RAM alone: of the credential's user and secret, and of whatever else the
	// driver's session hangs on and Target does not say (TLS, privilege). A job of which one differs gets a new session.
	Secret, Session string

	// What was met outside of this collector, and counts at its start alone. Denied: a command's login was denied since, with
	// this secret. Renewed: the secret is another one than that which was denied before.
	Denied  *health.Access
	Renewed bool
}

// Options of a Collector. Open and Recorder must be set.
type Options struct {
	Open     OpenFunc
	Recorder Recorder

	// Slots is how many visits run at once; a tenth of them, at least one, are kept for targets that fail. Default 64.
	Slots int
	// Deadline of a visit is the longest of its tiers'. Default: DefaultDeadlines, tier by tier.
	Deadline map[health.Tier]time.Duration
	// Spread is over how long the targets of a cron spec with fields are spread; default an hour. It also bounds the ten
	// minutes over which a new fleet's first visits are.
	Spread time.Duration
	// StopGrace is how long recording may take after a stop, and then closing each source. Default 10 s.
	StopGrace time.Duration
	Log       *slog.Logger
	// Elsewhere tells the targets that are configured but read by no job of the collector: their watch does not end because no job
	// names them. Default: none.
	Elsewhere func(health.TargetID) bool
	// Air is by what rules the air of a target is judged, and which air of elsewhere it stands in. It must be quick, and safe to
	// be called from many goroutines. Default: moisture.DefaultRules, and none.
	Air func(t health.Target, at time.Time) moisture.Input
	// OnVisit is told of each visit after it was recorded, from its target's goroutine. It must be quick, safe to be called
	// from many goroutines, and leave the visit as it is.
	OnVisit func(*health.Visit)
}

const (
	defaultSlots     = 64
	defaultStopGrace = 10 * time.Second

	// firstSpread is over how long the first visits of a new fleet, and those made up for after a restart, are spread.
	firstSpread = 10 * time.Minute

	// SlotPatience is how long a visit holds a slot before it moves to the second set. What takes longer waits for its
	// BMC, and costs a connection and little else.
	SlotPatience = 2 * time.Second
	// slotHaste is the same while other visits wait for a slot: a rack of BMCs that hangs at once does not hold up the others
	// for SlotPatience each. It is also how often that is looked at.
	slotHaste = 200 * time.Millisecond
	// slowSlots is how many times larger the second set is: a fifth of the fleet may hang in one minute.
	slowSlots = 16
	// together is how far apart tiers may be due and still be one visit.
	together = time.Second
	// leastPatience is what a visit that waited long for its slot has: else the slow parts of a busy fleet were never read.
	leastPatience = 5 * time.Second
	// stuckGrace is how long after its deadline a source may take to return before it is given up on.
	stuckGrace = 5 * time.Second
)

// DefaultDeadlines of a visit, by tier.
var DefaultDeadlines = map[health.Tier]time.Duration{
	health.TierReadings: 30 * time.Second, health.TierEvents: 30 * time.Second, health.TierHealth: 5 * time.Minute, health.TierInventory: 10 * time.Minute,
}

// Collector reads targets on their schedules.
type Collector struct {
	open      OpenFunc
	recorder  Recorder
	deadline  map[health.Tier]time.Duration
	spread    time.Duration
	stopGrace time.Duration
	log       *slog.Logger
	onVisit   func(*health.Visit)
	air       func(health.Target, time.Time) moisture.Input
	elsewhere func(health.TargetID) bool

	healthy, failing, slow slots
	queued                 atomic.Int64 // visits that wait for a healthy slot
	store                  storeState

	asksMu sync.Mutex
	asks   map[health.TargetID]asked

	guard guard
	gauges

	liveMu sync.Mutex
	live   *live                               // nil: it does not run
	stuck  map[health.TargetID]<-chan struct{} // sources left behind in Read; closed when they are logged out
}

// New makes a Collector. It starts nothing.
func New(o Options) *Collector {
	c := &Collector{
		open: o.Open, recorder: o.Recorder, deadline: maps.Clone(DefaultDeadlines), spread: o.Spread, stopGrace: o.StopGrace,
		log: o.Log, onVisit: o.OnVisit, air: o.Air, elsewhere: o.Elsewhere,
	}
	if c.air == nil {
		c.air = func(health.Target, time.Time) moisture.Input { return moisture.Input{Rules: moisture.DefaultRules()} }
	}
	for t, d := range o.Deadline {
		if d > 0 {
			c.deadline[t] = d
		}
	}
	if o.Slots <= 0 {
		o.Slots = defaultSlots
	}
	if c.spread <= 0 {
		c.spread = schedule.DefaultSpread
	}
	if c.stopGrace <= 0 {
		c.stopGrace = defaultStopGrace
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.onVisit == nil {
		c.onVisit = func(*health.Visit) {}
	}
	c.guard.log, c.epoch = c.log, time.Now()
	failing := max(1, o.Slots/10)
	c.failing = newSlots(failing)
	c.healthy = newSlots(max(1, o.Slots-failing))
	c.slow = newSlots(slowSlots * o.Slots)
	return c
}

// Run reads the jobs' targets, or those of the last Reload, until ctx ends, and returns nil then, when everything it started
// is over. It returns an error without having read anything if jobs name a target twice, or if it runs already.
func (c *Collector) Run(ctx context.Context, jobs []Job) error {
	if err := distinct(jobs); err != nil {
		return fmt.Errorf("run collector: %w", err)
	}
	// What was read is recorded also after the stop, for a while.
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopHard := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(c.stopGrace):
			cancel()
		case <-hard.Done():
		}
	})
	defer stopHard()

	l, ok := c.begin(ctx, hard, jobs)
	if !ok {
		return errors.New("run collector: it runs already")
	}
	<-ctx.Done() // no jobs: nothing to do is no reason to end
	c.end(l)
	return nil
}

// deadlineOf is the longest deadline of the given tiers.
func (c *Collector) deadlineOf(tiers health.Tiers) time.Duration {
	return longest(c.deadline, tiers)
}

func longest(deadline map[health.Tier]time.Duration, tiers health.Tiers) time.Duration {
	d := time.Second
	for _, t := range tiers.List() {
		d = max(d, deadline[t])
	}
	return d
}

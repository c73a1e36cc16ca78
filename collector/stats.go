package collector

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dewline/collector/detect"
	"dewline/health"
)

const (
	// promiseSlack is how much later than promised a target's goroutine may show up before it counts as stuck: a machine
	// under load is no hang.
	promiseSlack = 30 * time.Second
	// recordPromise is how long one Record may take: a disk that is about to fail answers after a minute.
	recordPromise = 2 * time.Minute
	// keptSamples of lateness and of commit times.
	keptSamples = 4096
)

// Stats are the collector's own numbers.
type Stats struct {
	Targets int
	Access  map[health.AccessState]int // targets by how we get on with them
	// Slots in use and in all: of targets that are well, of those that are not, and of visits that take long.
	Healthy, Failing, Slow SlotStats
	Waiting                int   // targets that wait for a slot
	Visits                 int64 // recorded since the start
	Unmapped               int64 // log entries of severity warning and critical among them that no table knows: events of kind unknown
	// Of the last 4096 visits that began, and the last 4096 that were recorded.
	Lateness, Commit Percentiles
	Suspended        []string // credentials that are not used
}

// SlotStats is how many of a set of slots are taken.
type SlotStats struct{ Used, Size int }

// Percentiles of what was measured last; all zero if nothing was.
type Percentiles struct {
	Count         int
	P50, P99, Max time.Duration
}

// Stats is how the collector does now.
func (c *Collector) Stats() Stats {
	s := Stats{
		Access: map[health.AccessState]int{}, Healthy: c.healthy.stats(), Failing: c.failing.stats(), Slow: c.slow.stats(),
		Visits: c.visits.Load(), Unmapped: c.unmapped.Load(), Lateness: c.lateness.percentiles(), Commit: c.commits.percentiles(), Suspended: c.Suspended(),
	}
	c.liveMu.Lock()
	defer c.liveMu.Unlock()
	if c.live == nil {
		return s
	}
	s.Targets = len(c.live.watched)
	for _, w := range c.live.watched {
		state, waits := w.pulse.show()
		if state != "" {
			s.Access[state]++
		}
		if waits {
			s.Waiting++
		}
	}
	return s
}

func (s slots) stats() SlotStats { return SlotStats{len(s), cap(s)} }

// Stalled says which target's goroutine did not show up when it promised to, nil if all did: then schedule, slots, drivers
// and store all move. A store that refuses visits moves; one that does not answer does not.
func (c *Collector) Stalled() error {
	c.liveMu.Lock()
	defer c.liveMu.Unlock()
	if c.live == nil {
		return nil
	}
	now := time.Now()
	given := c.epoch.Add(time.Duration(c.given.Load()))
	for id, w := range c.live.watched {
		if what, since, ok := w.pulse.broken(now, given, longest(c.deadline, health.EveryTier)+stuckGrace); ok {
			return fmt.Errorf("target %s: no sign of life since %s: %s", id, since.UTC().Format(time.RFC3339), what)
		}
	}
	return nil
}

// pulse is what a target's goroutine is doing, and until when it will have done it.
type pulse struct {
	mu    sync.Mutex
	what  string
	since time.Time
	until time.Time // zero: no promise
	waits bool      // for a slot: as long as others give theirs back
	state health.AccessState
}

func (p *pulse) promise(what string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.since, p.waits = what, time.Now(), false
	p.until = p.since.Add(d + promiseSlack)
}

func (p *pulse) slot() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.since, p.until, p.waits = "waits for a slot", time.Now(), time.Time{}, true
}

func (p *pulse) none() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.waits = time.Time{}, false
}

func (p *pulse) access(s health.AccessState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
}

func (p *pulse) show() (s health.AccessState, waits bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.waits
}

// broken tells whether the promise was not kept. A wait for a slot is broken if nobody gave one back for as long as the
// longest visit takes.
func (p *pulse) broken(now, given time.Time, longest time.Duration) (what string, since time.Time, broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := p.until
	if p.waits {
		until = p.since
		if given.After(until) {
			until = given
		}
		until = until.Add(longest + promiseSlack)
	}
	return p.what, p.since, !until.IsZero() && now.After(until)
}

// samples is a ring of the last durations measured.
type samples struct {
	mu  sync.Mutex
	buf []time.Duration
	n   int64
}

func (s *samples) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.buf) < keptSamples {
		s.buf = append(s.buf, d)
	} else {
		s.buf[s.n%keptSamples] = d
	}
	s.n++
}

func (s *samples) percentiles() Percentiles {
	s.mu.Lock()
	sorted := slices.Sorted(slices.Values(s.buf))
	s.mu.Unlock()
	if len(sorted) == 0 {
		return Percentiles{}
	}
	at := func(p float64) time.Duration { return sorted[min(len(sorted)-1, int(float64(len(sorted))*p))] }
	return Percentiles{Count: len(sorted), P50: at(0.5), P99: at(0.99), Max: sorted[len(sorted)-1]}
}

// gauges are the numbers that visits leave behind.
type gauges struct {
	visits            atomic.Int64
	unmapped          atomic.Int64
	epoch             time.Time
	given             atomic.Int64 // when a slot was last given back, in nanoseconds since epoch
	lateness, commits samples
}

// unmapped counts the events of log entries that no driver's table knows.
func unmapped(v *health.Visit) (n int64) {
	for i := range v.Events {
		if e := &v.Events[i]; e.Rule == detect.RuleLog && e.Kind == health.KindUnknown {
			n++
		}
	}
	return n
}

package collector

import (
	"context"
	"time"
)

// slots bound how many visits run at once. Waiters are served in order of arrival.
type slots chan struct{}

func newSlots(n int) slots { return make(slots, n) }

// take waits for a slot until ctx ends or, if it is not nil, alarm fires.
func (s slots) take(ctx context.Context, alarm <-chan time.Time) (taken bool) {
	select {
	case s <- struct{}{}:
		return true
	default:
	}
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	case <-alarm:
		return false
	}
}

func (s slots) tryTake() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() { <-s }

// takeHealthy waits for a slot of the healthy; who holds one for long makes room meanwhile.
func (c *Collector) takeHealthy(ctx context.Context) bool {
	if c.healthy.tryTake() {
		return true
	}
	c.queued.Add(1)
	defer c.queued.Add(-1)
	return c.healthy.take(ctx, nil)
}

// hold keeps a slot of the healthy for a visit that has one, and moves it to the slow ones if there is room: when it has taken
// SlotPatience, or slotHaste while others wait. The returned function gives back whatever is held.
func (c *Collector) hold() (release func()) {
	held := make(chan slots, 1) // whoever has it in hand may change it
	held <- c.healthy
	begun := time.Now()
	var timer *time.Timer
	set := make(chan struct{})
	look := func() {
		<-set
		h := <-held
		defer func() { held <- h }()
		if h == nil {
			return // given back
		}
		if (c.queued.Load() > 0 || time.Since(begun) >= SlotPatience) && c.slow.tryTake() {
			h.give()
			h = c.slow
			return
		}
		timer.Reset(slotHaste)
	}
	timer = time.AfterFunc(slotHaste, look)
	close(set)
	return func() {
		timer.Stop()
		if h := <-held; h != nil {
			h.give()
		}
		held <- nil // for a timer that fired too late
	}
}

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

// hold keeps a slot of the healthy for a visit that has one, and moves it to the slow ones when it has taken SlotPatience,
// if there is room. The returned function gives back whatever is held.
func (c *Collector) hold() (release func()) {
	held := make(chan slots, 1) // whoever has it in hand may change it
	held <- c.healthy
	timer := time.AfterFunc(SlotPatience, func() {
		h := <-held
		if h != nil && c.slow.tryTake() {
			h.give()
			h = c.slow
		}
		held <- h
	})
	return func() {
		timer.Stop()
		if h := <-held; h != nil {
			h.give()
		}
		held <- nil // for a timer that fired too late
	}
}

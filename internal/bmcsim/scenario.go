package bmcsim

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// AllMachines, as the only entry of a step's Who, is every machine.
const AllMachines = -1

// Step is one thing that happens at a fixed time of a scenario.
type Step struct {
	At time.Duration // since the start of the scenario, or of each repeat
	// Who are the machines it happens to, by index: the first in the first round, the second in the next repeat, and so on.
	Who []int
	Do  func(*Machine)
}

// Scenario is a script over machines. The zero Period plays it once; another one repeats it.
type Scenario struct {
	Machines []*Machine
	Steps    []Step
	Period   time.Duration
	// Start is the time that entries in the machines' logs count from.
	Start time.Time

	mu   sync.Mutex
	done int // steps applied, repeats included
}

// Apply lets happen everything that is due at a time since the start and has not happened yet, in order, and says how many
// steps that were. The machines' logs carry the times of the steps, not of the call: however often it is called, the end is
// the same. A time before the last one does nothing.
func (s *Scenario) Apply(at time.Duration) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.Steps) == 0 {
		return 0
	}
	slices.SortStableFunc(s.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	n := 0
	for {
		round, step := s.done/len(s.Steps), s.Steps[s.done%len(s.Steps)]
		due := step.At + time.Duration(round)*s.Period
		if due > at || (s.Period <= 0 && round > 0) {
			return n
		}
		for i, m := range s.Machines {
			if who := step.Who[round%len(step.Who)]; who == i || who == AllMachines {
				m.during(s.Start.Add(due), step.Do)
			}
		}
		s.done++
		n++
	}
}

// Run applies the scenario at every tick until ctx is done or ticks is closed. Ticks are times; the scenario's is what passed
// since Start.
func (s *Scenario) Run(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case t, ok := <-ticks:
			if !ok {
				return
			}
			s.Apply(t.Sub(s.Start))
		}
	}
}

// Room moves the air of every machine's room evenly from one humidity to another, with a step each second.
func Room(from, to time.Duration, tempC, fromRH, toRH float64) []Step {
	var out []Step
	for t := from; t <= to; t += time.Second {
		f := 1.0
		if to > from {
			f = float64(t-from) / float64(to-from)
		}
		rh := fromRH + (toRH-fromRH)*f
		out = append(out, Step{At: t, Who: []int{AllMachines}, Do: func(m *Machine) { m.SetRoom(tempC, rh) }})
	}
	return out
}

package bmcsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Lab is several simulated BMCs and the faults that are ordered for them.
type Lab struct {
	Nodes []*Node

	mu      sync.Mutex
	pending []change
	active  []string // orders in force, as text, in the order they came
	seq     int
	wake    chan struct{}
}

// change is one fault that begins or ends at a time.
type change struct {
	at   time.Time
	seq  int
	do   Order
	on   bool
	step *ScriptStep // of a scenario that repeats: again after its period
}

// NewLab makes a lab. Names must be unique.
func NewLab(nodes ...*Node) (*Lab, error) {
	seen := map[string]bool{}
	for _, n := range nodes {
		if n.Name == "" || n.Name == "*" || seen[n.Name] {
			return nil, fmt.Errorf("two simulated BMCs are named %q, or one has no name", n.Name)
		}
		seen[n.Name] = true
	}
	return &Lab{Nodes: nodes, wake: make(chan struct{}, 1)}, nil
}

// Close ends all BMCs.
func (l *Lab) Close() error {
	var errs []error
	for _, n := range l.Nodes {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}

// targets are the nodes an order is for.
func (l *Lab) targets(name string) ([]*Node, error) {
	if name == "*" {
		return l.Nodes, nil
	}
	for _, n := range l.Nodes {
		if n.Name == name {
			return []*Node{n}, nil
		}
	}
	var names []string
	for _, n := range l.Nodes {
		names = append(names, n.Name)
	}
	return nil, fmt.Errorf("no simulated BMC is named %q; there are: %v, or * for all", name, names)
}

// Order has a fault happen: at once if its time has come, otherwise when Run or Apply find that it has.
func (l *Lab) Order(o Order, now time.Time) error {
	if err := o.complete(); err != nil {
		return err
	}
	if _, err := l.targets(o.Target); err != nil {
		return err
	}
	l.mu.Lock()
	l.plan(now.Add(o.After), o, nil)
	l.mu.Unlock()
	err := l.Apply(now)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return err
}

// plan notes the beginning and the end of an order.
func (l *Lab) plan(at time.Time, o Order, step *ScriptStep) {
	l.seq++
	l.pending = append(l.pending, change{at: at, seq: l.seq, do: o, on: true, step: step})
	if o.For > 0 {
		l.seq++
		l.pending = append(l.pending, change{at: at.Add(o.For), seq: l.seq, do: o})
	}
}

// Play orders all of a scenario, counted from start.
func (l *Lab) Play(s *Script, start time.Time) error {
	for _, step := range s.Steps {
		if _, err := l.targets(step.Order.Target); err != nil {
			return s.fault(step.targetAt, err.Error())
		}
	}
	l.mu.Lock()
	for i := range s.Steps {
		step := &s.Steps[i]
		step.period = s.Repeat
		l.plan(start.Add(step.Order.After), step.Order, step)
	}
	l.mu.Unlock()
	return l.Apply(start)
}

// Apply has everything happen that is due, in order; the machines' logs carry the times it was due. What cannot happen is
// told and does not keep the rest from happening.
func (l *Lab) Apply(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for {
		slices.SortFunc(l.pending, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq)) })
		if len(l.pending) == 0 || l.pending[0].at.After(now) {
			return errors.Join(errs...)
		}
		c := l.pending[0]
		l.pending = l.pending[1:]
		if c.on && c.step != nil && c.step.period > 0 {
			l.plan(c.at.Add(c.step.period), c.do, c.step)
		}
		if err := l.happen(c); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.do, err))
		}
	}
}

func (l *Lab) happen(c change) error {
	all := NamedFaults()
	f := all[slices.IndexFunc(all, func(f NamedFault) bool { return f.Name == c.do.Fault })]
	nodes, err := l.targets(c.do.Target)
	if err != nil {
		return err
	}
	var errs []error
	done := 0
	for _, n := range nodes {
		err := l.one(n, f, c)
		if err == nil {
			done++
		} else if !(c.do.Target == "*" && errors.Is(err, errNotHere)) { // of all, those that can
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
		}
	}
	if done == 0 && len(errs) == 0 {
		errs = append(errs, errNotHere)
	}
	if i := slices.Index(l.active, c.do.String()); i >= 0 {
		l.active = slices.Delete(l.active, i, i+1)
	}
	if c.on && !f.Momentary && done > 0 {
		l.active = append(l.active, c.do.String())
	}
	return errors.Join(errs...)
}

func (l *Lab) one(n *Node, f NamedFault, c change) (err error) {
	if n.Machine == nil {
		return f.apply(n, c.do.Value, c.on)
	}
	n.Machine.during(c.at, func(*Machine) { err = f.apply(n, c.do.Value, c.on) })
	return err
}

// Clear ends the faults in force that an order names: NAME[=VALUE]@TARGET, or all if it is empty. What is still to come of
// them does not come.
func (l *Lab) Clear(order string, now time.Time) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	var errs []error
	for _, a := range slices.Clone(l.active) {
		if order != "" && a != order {
			continue
		}
		o, err := ParseOrder(a)
		if err == nil {
			err = l.happen(change{at: now, do: o})
		}
		if err != nil {
			errs = append(errs, err)
		}
		n++
	}
	before := len(l.pending)
	l.pending = slices.DeleteFunc(l.pending, func(c change) bool { return order == "" || c.do.String() == order })
	if n == 0 {
		n = before - len(l.pending)
	}
	return n, errors.Join(errs...)
}

// Active are the faults in force.
func (l *Lab) Active() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.active)
}

// next is when something is due, zero for never.
func (l *Lab) next() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var t time.Time
	for _, c := range l.pending {
		if t.IsZero() || c.at.Before(t) {
			t = c.at
		}
	}
	return t
}

// Run applies what is due until ctx is done. Failed is told what could not happen.
func (l *Lab) Run(ctx context.Context, now func() time.Time, failed func(error)) {
	for {
		var due <-chan time.Time
		var timer *time.Timer
		if next := l.next(); !next.IsZero() {
			timer = time.NewTimer(max(next.Sub(now()), 0))
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-due:
			if err := l.Apply(now()); err != nil {
				failed(err)
			}
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

package sqlite

import (
	"fmt"
	"math"
	"slices"
	"time"

	"dewline/health"
)

// ErrInvalid is wrapped when a visit breaks the rules of its type so that it cannot be kept.
var ErrInvalid = fmt.Errorf("visit cannot be kept: %w", health.ErrRefused)

// prepare is v in a form that can be stored: itself, or a copy without what no store can hold. Drivers send no NaN and no
// infinity (health.Snapshot.Sanitize); should one come all the same, losing the whole visit for it, log entries included, would
// be worse: the reading becomes a gap, and its component unread.
func prepare(v *health.Visit) (*health.Visit, error) {
	c := *v
	if c.Target == "" {
		return nil, fmt.Errorf("%w: no target", ErrInvalid)
	}
	at := c.At()
	if !storable(at) {
		return nil, fmt.Errorf("%w: its time is %v", ErrInvalid, at)
	}
	for t, d := range c.Due {
		if int(t) >= tierCount || !storable(d) {
			return nil, fmt.Errorf("%w: tick of tier %v due %v", ErrInvalid, t, d)
		}
	}
	for _, s := range c.Skipped {
		if int(s.Tier) >= tierCount || !storable(s.First) || !storable(s.Last) {
			return nil, fmt.Errorf("%w: ticks of tier %v from %v to %v skipped", ErrInvalid, s.Tier, s.First, s.Last)
		}
	}
	if c.ID == "" {
		c.ID = health.VisitID(v)
	}
	if s := c.Snapshot; s != nil {
		if !s.At.IsZero() && !storable(s.At) {
			return nil, fmt.Errorf("%w: its snapshot's time is %v", ErrInvalid, s.At)
		}
		if s.HostPower > health.HostOff {
			return nil, fmt.Errorf("%w: host power %v", ErrInvalid, s.HostPower)
		}
		for _, p := range s.Components {
			if p.State > health.Critical || p.Presence > health.Absent {
				return nil, fmt.Errorf("%w: %s is %v, %v", ErrInvalid, p.ID, p.State, p.Presence)
			}
		}
		if len(s.Components)+len(s.Readings)+len(c.Unread) > maxCells/2 {
			return nil, fmt.Errorf("%w: %d components and %d readings", ErrInvalid, len(s.Components), len(s.Readings))
		}
		withoutInfinities(&c)
	}
	return &c, nil
}

// storable tells whether t fits into nanoseconds since 1970.
func storable(t time.Time) bool { return t.Year() >= 1700 && t.Year() <= 2261 }

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func withoutInfinities(v *health.Visit) {
	bad := func(r health.Reading) bool { return !finite(r.Value) }
	if !slices.ContainsFunc(v.Snapshot.Readings, bad) {
		return
	}
	s := *v.Snapshot
	s.Gaps, v.Unread = slices.Clip(s.Gaps), slices.Clip(v.Unread)
	for _, r := range s.Readings {
		if !bad(r) {
			continue
		}
		s.Gaps = append(s.Gaps, health.Gap{
			Part: string(r.Component) + " " + string(r.Quantity), Reason: health.ReasonMalformed,
			Error: "value is not finite", Component: r.Component,
		})
		i := slices.IndexFunc(s.Components, func(c health.Component) bool { return c.ID == r.Component })
		unread := func(u health.ComponentRef) bool { return u.ID == r.Component }
		if i >= 0 && !slices.ContainsFunc(v.Unread, unread) {
			v.Unread = append(v.Unread, health.ComponentRef{ID: r.Component, Class: s.Components[i].Class})
		}
	}
	s.Readings = slices.DeleteFunc(slices.Clone(s.Readings), bad)
	v.Snapshot = &s
}

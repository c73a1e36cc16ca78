package collector

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dewline/health"
)

// RuleProtocol is the rule of the events that close what another protocol told.
const RuleProtocol = "protocol_changed"

const protocolText = "the BMC is read by another protocol now, which names its parts differently: nobody knows whether this still holds under that name"

// otherProtocol tells whether a visit was read by another protocol than what is known of the target.
func otherProtocol(k *health.Known, s *health.Snapshot) bool {
	before := cmp.Or(k.Driver, k.Before)
	return before != "" && s.Driver != "" && s.Driver != before
}

// without is what is known of a target, without what only the other protocol could go on telling: its parts, their faults, its places and its
// cursors. What still holds is found anew, as at the start; that the BMC does not answer is known by any protocol.
func without(k *health.Known) *health.Known {
	c := *k
	c.Components, c.Places, c.Cursors = map[health.ComponentID]health.KnownComponent{}, map[string]time.Time{}, health.Cursors{}
	c.Recent = map[health.RecentKey]health.Recent{}
	c.Faults = maps.Clone(k.Faults)
	maps.DeleteFunc(c.Faults, func(_ string, f health.Fault) bool {
		return f.Kind != health.KindCommLost || f.Class != health.ClassBMC
	})
	return &c
}

// endProtocol closes the faults that the other protocol told as unmonitored, and forgets its parts: written as unknown once, no sink shows their
// last state for ever.
func (b *builder) endProtocol(v *health.Visit, old *health.Known) {
	for id, f := range old.Faults {
		if _, kept := b.known.Faults[id]; !kept {
			f.State, f.Cleared, f.Changed = health.Unmonitored, b.at, b.at
			v.Delta.Faults = append(v.Delta.Faults, f)
		}
	}
	endWatch(v, b.at, RuleProtocol, protocolText)
	listed := map[health.ComponentID]bool{}
	for _, c := range v.Snapshot.Components {
		listed[c.ID] = true
	}
	for id, c := range old.Components {
		if listed[id] {
			continue
		}
		v.Delta.Forget = append(v.Delta.Forget, id)
		if c.Presence != health.Absent {
			b.left = append(b.left, health.ComponentRef{ID: id, Class: c.Class})
		}
	}
	slices.Sort(v.Delta.Forget)
}

// endWatch makes the events of a visit's faults that are no longer watched, in order of ID, after those that it has.
func endWatch(v *health.Visit, at time.Time, rule, text string) {
	slices.SortStableFunc(v.Delta.Faults, func(a, b health.Fault) int { return cmp.Compare(a.ID, b.ID) })
	for _, f := range v.Delta.Faults {
		if f.State != health.Unmonitored {
			continue
		}
		when := at.Add(time.Duration(len(v.Events)))
		v.Events = append(v.Events, health.Event{
			ID: health.PolledEventID(f.Target, f.Component, f.Kind, health.Unmonitored, when), Target: f.Target, Component: f.Component,
			Class: f.Class, Kind: f.Kind, Severity: f.Severity, Transition: health.Unmonitored, Rule: rule, Message: text, Evidence: f.Evidence, At: when,
			Source: "poll", FaultID: f.ID,
		})
	}
}

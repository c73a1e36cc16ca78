package collector

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"dewline/collector/detect"
	"dewline/health"
)

// forgetAfter is how long an absent part without an open fault is still held.
const forgetAfter = 90 * 24 * time.Hour

// delta works out what a visit that was read changes of what is known, beyond access and faults.
func (b *builder) delta(v *health.Visit) {
	k, s, d := b.known, v.Snapshot, &v.Delta
	if k.FirstSeen.IsZero() && v.Answered() {
		d.FirstSeen = b.at
	}
	// The choice of an auto target is sticky: a visit makes it once. A source that chose anew says so by its driver's name.
	if s.Driver != "" && s.Driver != k.Driver {
		d.Driver = s.Driver
	}
	if s.Identity != nil && *s.Identity != k.Identity {
		d.Identity = s.Identity
	}
	if s.Tiers.Has(health.TierReadings) && s.HostPower != k.HostPower {
		d.HostPower = &s.HostPower
	}
	if s.Memory != nil && !bytes.Equal(s.Memory, k.Memory) {
		d.Memory = s.Memory
	}
	for log, c := range s.NextCursors {
		if old, ok := k.Cursors[log]; !ok || !bytes.Equal(old, c) {
			if d.Cursors == nil {
				d.Cursors = health.Cursors{}
			}
			d.Cursors[log] = c
		}
	}
	for _, p := range s.Scope {
		if len(k.Places)+len(d.Places) >= maxPlaces {
			break
		}
		if _, ok := k.Places[p]; !ok && !slices.Contains(d.Places, p) {
			d.Places, d.PlacesAt = append(d.Places, p), b.at
		}
	}
	b.components(v)
}

func (b *builder) components(v *health.Visit) {
	k, d := b.known, &v.Delta
	listed := make(map[health.ComponentID]bool, len(v.Snapshot.Components))
	off := hostOff(v.Snapshot, k)
	for _, c := range v.Snapshot.Components {
		listed[c.ID] = true
		before := k.Components[c.ID]
		if off && c.Presence == health.PresenceUnknown && detect.SleepsWithHost(c.Class) {
			c.Presence = before.Presence // else nobody would miss it, or take it for new, when the host is on again
		}
		if merged, changed := before.Merge(c, b.at); changed {
			d.Components = append(d.Components, merged)
		}
	}
	open := map[health.ComponentID]bool{}
	for _, f := range k.Faults {
		open[f.Component] = true
	}
	var gone []health.Component
	for id, c := range k.Components {
		switch {
		case listed[id]:
		case c.Presence == health.Absent:
			if !open[id] && b.at.Sub(c.Since) > forgetAfter {
				d.Forget = append(d.Forget, id)
			}
		case k.Gone(c.Component, v):
			c.Presence, c.State, c.Status, c.Conditions, c.Since = health.Absent, health.Unknown, "", nil, b.at
			d.Components = append(d.Components, c)
			gone = append(gone, health.Component{ID: id, Class: c.Class, Name: c.Name, Presence: health.Absent, Place: c.Place, Tier: c.Tier})
		case v.Snapshot.HostPower == health.HostOff && v.Tiers().Has(health.TierReadings) && detect.SleepsWithHost(c.Class) && c.State != health.Unknown:
			// Some BMCs drop what the sleeping host powers: it is still there, and how it is nobody knows.
			c.State, c.Status, c.Since = health.Unknown, "", b.at
			d.Components = append(d.Components, c)
		}
	}
	// Said in the snapshot too: who follows the visits would keep what was last read of the part.
	slices.SortFunc(gone, func(x, y health.Component) int { return cmp.Compare(x.ID, y.ID) })
	v.Snapshot.Components = append(v.Snapshot.Components, gone...)
	slices.Sort(d.Forget)
	slices.SortFunc(d.Components, func(x, y health.KnownComponent) int { return cmp.Compare(x.ID, y.ID) })
}

// finish sets what every visit has, however it ended.
func (b *builder) finish(v *health.Visit) {
	d := &v.Delta
	d.Endpoint = b.known.Endpoint
	if d.Ticks == nil {
		d.Ticks = map[health.Tier]health.Tick{}
	}
	for t, due := range v.Due {
		d.Ticks[t] = health.Tick{Due: due, Result: v.Result, Lateness: v.Lateness()}
	}
	// That dewline stops says nothing of the parts.
	if v.Reason != health.ReasonStopped {
		v.Unread = b.known.UnreadBy(v)
		for _, c := range b.left {
			if !slices.Contains(v.Unread, c) {
				v.Unread = append(v.Unread, c)
			}
		}
		slices.SortFunc(v.Unread, func(x, y health.ComponentRef) int { return cmp.Compare(x.ID, y.ID) })
	}
	v.ID = health.VisitID(v)
}

package health

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Endpoint is what Known was learned from: the address and the configured driver.
func Endpoint(t Target) string { return t.Driver + " " + t.Address }

// For drops what was learned from another endpoint: the machine behind a new address, or another protocol's cursors, may
// not be taken for this one. Components, faults and ticks stay: they are the target's history.
func (k *Known) For(t Target) *Known {
	if e := Endpoint(t); k.Endpoint != e {
		k.moved(e)
	}
	return k
}

func (k *Known) moved(endpoint string) {
	if k.Endpoint != "" {
		k.Before = cmp.Or(k.Driver, k.Before)
		k.Driver, k.Cursors, k.Memory, k.Access, k.Clock = "", Cursors{}, nil, Access{State: AccessOK}, BMCClock{}
	}
	k.Endpoint, k.Air = endpoint, AirMemory{}
}

// Merge is c over what was known, and whether that changes anything worth keeping. Empty descriptive fields keep what was
// read before. The words of Status and of evidence alone are no change: some services put the value into them.
func (k KnownComponent) Merge(c Component, at time.Time) (KnownComponent, bool) {
	if k.ID == "" {
		if c.StateNotRead {
			c.Presence, c.State, c.Status, c.Conditions = PresenceUnknown, Unknown, "", nil
		}
		c.StateNotRead, c.TierMoved = false, false
		return KnownComponent{Component: c, Since: at}, true
	}
	m := c
	m.Class = cmp.Or(c.Class, k.Class)
	for _, f := range []struct{ to, from *string }{
		{&m.Name, &k.Name}, {&m.Location, &k.Location}, {&m.Context, &k.Context}, {&m.Manufacturer, &k.Manufacturer},
		{&m.Model, &k.Model}, {&m.Serial, &k.Serial}, {&m.PartNumber, &k.PartNumber}, {&m.Firmware, &k.Firmware},
		{&m.Place, &k.Place}, {(*string)(&m.Of), (*string)(&k.Of)},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if m.CapacityBytes == 0 {
		m.CapacityBytes = k.CapacityBytes
	}
	if !c.TierMoved {
		m.Tier = min(c.Tier, k.Tier)
	}
	m.TierMoved = false
	since := k.Since
	if c.StateNotRead {
		m.Presence, m.State, m.Status, m.Conditions = k.Presence, k.State, k.Status, k.Conditions
		m.Tier = k.Tier
	} else {
		m.Conditions = mergeConditions(k.Conditions, c.Conditions)
		if m.State != k.State || m.Presence != k.Presence {
			since = at
		}
	}
	m.StateNotRead = false
	return KnownComponent{Component: m, Since: since}, !sameComponent(k.Component, m)
}

// mergeConditions is the conditions of a visit over the known ones; kinds that it does not name stay.
func mergeConditions(known, read []Condition) []Condition {
	out := slices.Clone(read)
	for _, c := range known {
		if !slices.ContainsFunc(read, func(r Condition) bool { return r.Kind == c.Kind }) {
			out = append(out, c)
		}
	}
	return out
}

func sameComponent(a, b Component) bool {
	sameConditions := len(a.Conditions) == len(b.Conditions)
	for _, c := range a.Conditions {
		sameConditions = sameConditions && slices.ContainsFunc(b.Conditions, func(d Condition) bool {
			return c.Kind == d.Kind && c.Severity == d.Severity
		})
	}
	return sameConditions && a.Class == b.Class && a.Name == b.Name && a.Location == b.Location && a.Context == b.Context &&
		a.Manufacturer == b.Manufacturer && a.Model == b.Model && a.Serial == b.Serial && a.PartNumber == b.PartNumber &&
		a.Firmware == b.Firmware && a.Of == b.Of && a.Presence == b.Presence && a.State == b.State && a.Place == b.Place && a.Tier == b.Tier &&
		a.CapacityBytes == b.CapacityBytes
}

// Gone tells whether a visit shows that a known component is no longer there: a visit of its tier read its place whole, it
// was not in it, no gap concerns it, and the host does not sleep (BMCs drop drives and memory modules of a host that is off).
func (k *Known) Gone(c Component, v *Visit) bool {
	s := v.Snapshot
	if s == nil || v.Result == Failed || v.Result == Missed || c.Place == "" || !v.Tiers().Has(c.Tier) || !slices.Contains(s.Scope, c.Place) {
		return false
	}
	power := k.HostPower
	if v.Tiers().Has(TierReadings) {
		power = s.HostPower
	}
	if power == HostOff {
		return false
	}
	if slices.ContainsFunc(s.Components, func(x Component) bool { return x.ID == c.ID }) {
		return false
	}
	return !slices.ContainsFunc(s.Gaps, func(g Gap) bool { return g.Place == c.Place || g.Component == c.ID })
}

// UnreadBy lists the known components that a visit should have read and did not: present or of unknown presence, of the
// visit's tiers or of those whose ticks were skipped before it while dewline ran, without a state in its snapshot, and not
// gone. Gaps explain why; they do not decide it.
func (k *Known) UnreadBy(v *Visit) []ComponentRef {
	read := map[ComponentID]bool{}
	if v.Snapshot != nil && v.Result != Failed && v.Result != Missed {
		for _, c := range v.Snapshot.Components {
			read[c.ID] = read[c.ID] || !c.StateNotRead
		}
	}
	var refs []ComponentRef
	tiers := v.Tiers()
	for _, r := range v.Skipped {
		if r.Reason == ReasonBackOff || r.Reason == ReasonOverrun {
			tiers = tiers.With(r.Tier)
		}
	}
	for id, c := range k.Components {
		if c.Presence != Absent && tiers.Has(c.Tier) && !read[id] && !k.Gone(c.Component, v) {
			refs = append(refs, ComponentRef{id, c.Class})
		}
	}
	slices.SortFunc(refs, func(a, b ComponentRef) int { return cmp.Compare(a.ID, b.ID) })
	return refs
}

// MaxComponents bounds what one BMC can make us hold: the largest machine seen has under 1,500 parts.
const MaxComponents = 4096

// Sanitize makes a snapshot fit its own rules, whatever a BMC or a driver did: unique components and readings, every
// reading finite and of a component that is there, bounded numbers of both. What it takes out it adds as gaps.
func (s *Snapshot) Sanitize() {
	type key struct {
		c ComponentID
		q Quantity
	}
	dropped := map[string]int{}
	seen := map[ComponentID]bool{}
	s.Components = slices.DeleteFunc(s.Components, func(c Component) bool {
		switch {
		case c.ID == "" || seen[c.ID]:
			dropped["component listed twice: "+string(c.ID)]++
			return true
		case len(seen) >= MaxComponents:
			dropped[fmt.Sprintf("components past the first %d", MaxComponents)]++
			return true
		}
		seen[c.ID] = true
		return false
	})
	read := map[key]bool{}
	s.Readings = slices.DeleteFunc(s.Readings, func(r Reading) bool {
		k := key{r.Component, r.Quantity}
		if !seen[r.Component] || read[k] || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
			dropped["reading without its component, given twice or not finite: "+string(r.Component)+" "+string(r.Quantity)]++
			return true
		}
		read[k] = true
		return false
	})
	parts := make([]string, 0, len(dropped))
	for p := range dropped {
		parts = append(parts, p)
	}
	slices.Sort(parts)
	for _, p := range parts[:min(len(parts), 20)] {
		s.Gaps = append(s.Gaps, Gap{Part: p, Reason: ReasonMalformed, Error: fmt.Sprintf("%d taken out of the snapshot", dropped[p])})
	}
}

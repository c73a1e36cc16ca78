package detect

import (
	"fmt"
	"slices"

	"dewline/health"
)

// expected judges whether there are as many fans, supplies and drives as the configuration expects. Fewer is a fault of the machine,
// unless faults of the missing parts say so already; more is none. It is judged only where all places of such parts were read.
func (p *pass) expected(s *health.Snapshot) {
	if p.visit.Where == nil {
		return
	}
	for _, x := range []struct {
		want  *int
		class health.Class
		what  string
	}{
		{p.visit.Where.Expect.Fans, health.ClassFan, "fans"}, {p.visit.Where.Expect.PSUs, health.ClassPSU, "power supplies"},
		{p.visit.Where.Expect.Drives, health.ClassDrive, "drives"},
	} {
		k := p.expectedKey(s, x.what)
		if x.want == nil {
			p.denies(k, RuleExpected, "no number of "+x.what+" is expected any more")
			continue
		}
		present, unsure, read := p.count(s, x.class)
		if !read {
			continue
		}
		missing := *x.want - present - p.missed(x.class)
		says := fmt.Sprintf("%d %s present, %d expected", present, x.what, *x.want)
		switch {
		case missing > 0 && unsure >= missing: // they may be there
		case missing > 0:
			p.holds(finding{
				component: k.component, class: health.ClassSystem, kind: k.kind, subject: k.subject, severity: health.SeverityWarning, rule: RuleExpected,
				message: says, evidence: []string{says}, atStart: p.known.FirstSeen.IsZero(),
			})
		default:
			p.denies(k, RuleExpected, says)
		}
	}
}

// expectedKey is the machine, or the part of it that an open fault of that kind names.
func (p *pass) expectedKey(s *health.Snapshot, what string) key {
	for k, f := range p.open {
		if k.subject == what && f.Rule == RuleExpected {
			return k
		}
	}
	var ids []health.ComponentID
	for id, c := range p.known.Components {
		if c.Class == health.ClassSystem {
			ids = append(ids, id)
		}
	}
	for _, c := range s.Components {
		if c.Class == health.ClassSystem {
			ids = append(ids, c.ID)
		}
	}
	id := health.ComponentID("system")
	if len(ids) > 0 {
		id = slices.Min(ids)
	}
	return key{id, health.KindAbsentRemoved, what}
}

// count is how many parts of a class are present, how many may be, and whether all their places were read.
func (p *pass) count(s *health.Snapshot, class health.Class) (present, unsure int, read bool) {
	if p.hostOff() && SleepsWithHost(class) {
		return 0, 0, false
	}
	places := map[string]bool{}
	tiers := p.visit.Tiers()
	asked := true
	for _, c := range p.known.Components {
		if c.Class == class {
			places[c.Place] = true
			asked = asked && tiers.Has(c.Tier)
		}
	}
	for i := range s.Components {
		c := &s.Components[i]
		if c.Class != class {
			continue
		}
		places[c.Place] = true
		switch {
		case slices.ContainsFunc(s.Components, func(o health.Component) bool { return !o.StateNotRead && c.Shadows(&o) }):
		case c.StateNotRead || c.Presence == health.PresenceUnknown:
			unsure++
		case c.Presence == health.Present:
			present++
		}
	}
	if len(places) == 0 || places[""] || !asked {
		return 0, 0, false
	}
	for place := range places {
		if !slices.Contains(s.Scope, place) {
			return 0, 0, false
		}
	}
	for _, g := range s.Gaps {
		if places[g.Place] || g.Place == "" && g.Component == "" {
			return 0, 0, false
		}
		if g.Component != "" && p.known.Components[g.Component].Class == class {
			unsure++
		}
	}
	return present, unsure, true
}

// missed is how many parts of a class have a fault of their own that says that they are gone.
func (p *pass) missed(class health.Class) (n int) {
	gone := map[health.ComponentID]bool{}
	for k, f := range p.wanted {
		if f.class == class && k.kind == health.KindAbsentRemoved && k.subject == "" {
			gone[k.component] = true
		}
	}
	for k, f := range p.open {
		if f.Class == class && k.kind == health.KindAbsentRemoved && k.subject == "" && !slices.ContainsFunc(p.denied, func(d denial) bool { return d.key == k }) {
			gone[k.component] = true
		}
	}
	return len(gone)
}

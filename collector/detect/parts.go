package detect

import (
	"slices"
	"strings"

	"dewline/health"
)

// components judges the parts that the snapshot lists.
func (p *pass) components(s *health.Snapshot) {
	byComponent := map[health.ComponentID][]health.Reading{}
	for _, r := range s.Readings {
		if r.Thresholds != nil {
			byComponent[r.Component] = append(byComponent[r.Component], r)
		}
	}
	for i := range s.Components {
		c := &s.Components[i]
		before, seen := p.known.Components[c.ID]
		p.identity(c, before.Component, seen)
		if c.StateNotRead || p.asleep(c) {
			continue
		}
		if c.Presence == health.Absent {
			if seen && before.Presence == health.Present && !p.alsoGone(c.Of) {
				p.removed(before.Component, "reported absent", words(c.Status)...)
			} else if f, ok := p.open[of(c.ID, goneKind(c.Class))]; ok && f.Rule == RulePresence {
				p.absent(before.Component, "reported absent", words(c.Status)) // still so
			}
			p.conditions(c, seen, false) // a detector that is absent says so by a condition
			continue
		}
		if c.Presence == health.Present {
			p.returned(c)
		}
		if c.Of != "" {
			continue
		}
		p.conditions(c, seen, false)
		if !isRollUp(c.Class) {
			p.state(c, seen, byComponent[c.ID])
		}
	}
	for i := range s.Components { // then what measures parts
		c := &s.Components[i]
		if c.Of == "" || c.StateNotRead || c.Presence == health.Absent || p.asleep(c) {
			continue
		}
		_, seen := p.known.Components[c.ID]
		p.conditions(c, seen, false)
		if isRollUp(c.Class) {
			continue
		}
		if (c.State == health.Warning || c.State == health.Critical) && !p.hasStateFault(c.ID) && p.partExplains(c.Of, severityOf(c.State)) {
			if kind, _ := StateKind(c, byComponent[c.ID]); kind == health.KindUnknown {
				continue
			}
		}
		p.state(c, seen, byComponent[c.ID])
	}
}

// partExplains says whether a fault of a part, found now or open before, is as severe as the state of a sensor of it.
func (p *pass) partExplains(part health.ComponentID, severity health.Severity) bool {
	for k, f := range p.wanted {
		if k.component == part && f.severity >= severity {
			return true
		}
	}
	for k, f := range p.open {
		if k.component == part && f.Severity >= severity {
			return true
		}
	}
	return false
}

// saidOf says whether a fault is found now or was open before.
func (p *pass) saidOf(k key) bool {
	_, found := p.wanted[k]
	_, open := p.open[k]
	return found || open
}

// asleep says whether a part draws its life from a host that is off: then it is unknown, whatever a service says of it.
func (p *pass) asleep(c *health.Component) bool {
	return p.hostOff() && SleepsWithHost(c.Class)
}

func (p *pass) hostOff() bool {
	if p.visit.Tiers().Has(health.TierReadings) {
		return p.visit.Snapshot.HostPower == health.HostOff
	}
	return p.known.HostPower == health.HostOff
}

// SleepsWithHost lists the classes that are unknown while the host is off: fans stand still, rails have no volts, drives
// do not answer, and none of that is a fault.
func SleepsWithHost(c health.Class) bool {
	switch c {
	case health.ClassFan, health.ClassVoltage, health.ClassDrive, health.ClassVolume, health.ClassStorageController, health.ClassMemory,
		health.ClassCPU, health.ClassGPU, health.ClassPCIe:
		return true
	}
	return false
}

// identity reports parts put in and parts exchanged.
func (p *pass) identity(c *health.Component, before health.Component, seen bool) {
	if c.Presence == health.Absent {
		return
	}
	was := finding{component: c.ID, class: c.Class, kind: health.KindInserted, severity: health.SeverityInfo, rule: RulePresence}
	switch {
	case seen && before.Serial != "" && c.Serial != "" && before.Serial != c.Serial:
		was.message = label(c, &before) + " was exchanged: another serial number"
		was.evidence = []string{"serial before: " + before.Serial, "serial now: " + c.Serial}
		// Another part: what was wrong with the old one is not known of this one. If it is, this visit says so anew.
		p.dropFaults(c.ID, was.message)
	case c.StateNotRead && seen || !c.StateNotRead && c.Presence == health.Present && seen && before.Presence != health.Absent:
		if before.Serial == c.Serial || before.Serial == "" || c.Serial == "" {
			p.changed(c.ID, c.Class, RuleFirmware, "firmware of "+label(c, &before), before.Firmware, c.Firmware, health.SeverityInfo)
		}
		return
	case c.StateNotRead || c.Presence != health.Present || !isHardware(c.Class):
		return
	case seen && before.Presence == health.Absent:
		was.message = label(c, &before) + " was put in"
		was.evidence = words(c.Status)
	case !seen && p.placeKnown(c):
		was.message = label(c, nil) + " was put in: its place had been read before without it"
	default:
		return
	}
	p.emit(p.event(was, health.Momentary))
}

func (p *pass) placeKnown(c *health.Component) bool {
	_, ok := p.known.Places[c.Place]
	return ok && c.Place != ""
}

// isHardware lists what a hand can put in: new sensors come with firmware.
func isHardware(c health.Class) bool {
	switch c {
	case health.ClassFan, health.ClassPSU, health.ClassDrive, health.ClassStorageController, health.ClassMemory, health.ClassCPU, health.ClassGPU,
		health.ClassPCIe, health.ClassNIC, health.ClassBattery, health.ClassPump:
		return true
	}
	return false
}

// goneKind: of a leak detector that is gone nobody may say "dry" any more.
func goneKind(c health.Class) health.Kind {
	if c == health.ClassLeakDetector {
		return health.KindDetectorFault
	}
	return health.KindAbsentRemoved
}

// removed is the end of a part: its faults are over, and its absence is one.
func (p *pass) removed(c health.Component, how string, evidence ...string) {
	kind := goneKind(c.Class)
	for _, k := range p.faultsOf(c.ID) {
		if k.kind != kind && k.kind != health.KindLeakDetected { // that its detector went away dries no floor
			p.clear(k, label(&c, nil)+" was removed", how)
		}
	}
	p.absent(c, how, evidence)
}

func (p *pass) absent(c health.Component, how string, evidence []string) {
	kind := goneKind(c.Class)
	message := label(&c, nil) + " is gone: " + how
	if kind == health.KindDetectorFault {
		message += "; it can detect nothing"
	}
	p.holds(finding{
		component: c.ID, class: c.Class, kind: kind, severity: health.SeverityWarning, rule: RulePresence, message: message, evidence: evidence,
	})
}

func (p *pass) returned(c *health.Component) {
	for _, kind := range []health.Kind{health.KindAbsentRemoved, health.KindDetectorFault} {
		if k := (of(c.ID, kind)); p.isOpen(k, RulePresence) {
			p.denies(k, RulePresence, label(c, nil)+" is present again", words(c.Status)...)
		}
		if kind == health.KindAbsentRemoved {
			p.deniesLog(of(c.ID, kind), label(c, nil)+" is present", words(c.Status)...)
		}
	}
}

// gone judges the parts that are no longer listed.
func (p *pass) gone() {
	var ids []health.ComponentID
	for id, c := range p.known.Components {
		if c.Presence == health.Present && p.known.Gone(c.Component, p.visit) && !p.alsoGone(c.Of) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		c := p.known.Components[id].Component
		p.removed(c, "its place was read and no longer lists it", "place: "+c.Place)
	}
}

// alsoGone says whether the part that a sensor measured is gone with it.
func (p *pass) alsoGone(part health.ComponentID) bool {
	if part == "" {
		return false
	}
	c, known := p.known.Components[part]
	if known && p.known.Gone(c.Component, p.visit) {
		return true
	}
	for i := range p.visit.Snapshot.Components {
		if x := &p.visit.Snapshot.Components[i]; x.ID == part {
			return x.Presence == health.Absent
		}
	}
	return known && c.Presence == health.Absent
}

func (p *pass) dropFaults(id health.ComponentID, why string) {
	for _, k := range p.faultsOf(id) {
		if p.open[k].Rule != RulePresence && k.kind != health.KindLeakDetected { // another detector dries no floor: it must say so itself
			p.clear(k, why)
		}
	}
}

func (p *pass) faultsOf(id health.ComponentID) []key {
	var ks []key
	for k := range p.open {
		if k.component == id {
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, compareKeys)
	return ks
}

// conditions opens and clears what the service names. Of a roll-up those that say only that something is wrong come last (summed): they
// sum up the parts, as IPMI's chassis status does ("cooling or fan fault").
func (p *pass) conditions(c *health.Component, seen, summed bool) {
	if len(c.Conditions) == 0 {
		return
	}
	skip := func(n health.Condition) bool { return (isRollUp(c.Class) && isGeneric(n.Kind)) != summed }
	asserted := map[health.Kind]finding{}
	var order []health.Kind
	for _, n := range c.Conditions {
		if n.Kind == "" || n.Severity == health.SeverityOK || skip(n) {
			continue
		}
		if c.Of != "" && p.saidOf(of(c.Of, n.Kind)) {
			continue
		}
		if _, open := p.open[of(c.ID, n.Kind)]; summed && !open && p.explained(effective(n.Severity)) {
			continue
		}
		f, twice := asserted[n.Kind]
		if !twice {
			order = append(order, n.Kind)
			f = finding{
				component: c.ID, class: c.Class, kind: n.Kind, rule: RuleCondition, message: label(c, nil) + ": " + plain(n.Kind),
				atStart: p.foundAtStart(c, seen),
			}
		}
		f.severity = max(f.severity, effective(n.Severity))
		if n.Evidence != "" && !slices.Contains(f.evidence, n.Evidence) {
			f.evidence = append(f.evidence, n.Evidence)
		}
		asserted[n.Kind] = f
	}
	for _, kind := range order {
		f := asserted[kind]
		if len(f.evidence) > 0 {
			f.message += " (" + strings.Join(f.evidence, ", ") + ")"
		}
		p.holds(f)
	}
	for _, n := range c.Conditions {
		if skip(n) {
			continue
		}
		if k := of(c.ID, n.Kind); n.Severity == health.SeverityOK && p.isOpen(k, RuleCondition) {
			p.denies(k, RuleCondition, label(c, nil)+": no longer "+plain(n.Kind), words(n.Evidence)...)
		} else if n.Severity == health.SeverityOK {
			p.deniesLog(k, label(c, nil)+": not "+plain(n.Kind), words(n.Evidence)...)
		}
	}
}

func (p *pass) foundAtStart(c *health.Component, seen bool) bool {
	return p.known.FirstSeen.IsZero() || (!seen && !p.placeKnown(c))
}

func label(c, before *health.Component) string {
	switch {
	case c.Name != "":
		return c.Name
	case before != nil && before.Name != "":
		return before.Name
	}
	return string(c.ID)
}

func plain(k health.Kind) string { return strings.ReplaceAll(string(k), "_", " ") }

package ipmi

import (
	"fmt"
	"slices"
	"strings"

	"dewline/health"
)

// LeakProfile says which states of a discrete leak sensor are which. Without one the polarity of a rope is the vendor's secret: its
// states of generic type 03h, and a vendor's own, are warnings at most, and never dry.
type LeakProfile struct {
	Sensor string // its name in the SDR, in any case
	Wet    []int  // offsets that mean water
	Dry    []int  // offsets that mean none; empty: every other state does
}

// confirm makes leak detectors of the sensors that profiles name, with the states that they state.
func (r *repository) confirm(profiles []LeakProfile) {
	if r == nil || len(profiles) == 0 {
		return
	}
	for _, p := range r.sensors {
		if p.event == eventThreshold {
			continue
		}
		i := slices.IndexFunc(profiles, func(l LeakProfile) bool { return strings.EqualFold(strings.TrimSpace(l.Sensor), p.name) })
		if i < 0 {
			continue
		}
		p.class, p.confirmed, p.table = health.ClassLeakDetector, true, map[uint8]effect{}
		for _, off := range profiles[i].Dry {
			p.table[uint8(off)] = fine
		}
		for _, off := range profiles[i].Wet {
			p.table[uint8(off)] = fault(critical, health.KindLeakDetected)
		}
	}
	nameParts(r.sensors)
}

// suspicious tells whether a detector of unknown polarity states what would be a fault of another sensor.
func (p *part) suspicious(states uint16) bool {
	if p.event == eventState {
		return states&2 != 0 // "State Asserted"
	}
	table := effects(p.typ, p.event, "")
	for off := range uint8(15) {
		if e := table[off]; states&(1<<off) != 0 && e.kind != "" && !e.momentary {
			return true
		}
	}
	return false
}

// ambiguousLeak is what a detector says whose states have no agreed meaning. Generic "asserted" is taken for water, with a
// warning and not more; so is every state other than that in which the detector was first seen. The opposite is never taken
// for a dry floor: the state stays unknown.
func (v *visit) ambiguousLeak(p *part, r raw, o *observed) {
	if p.table != nil || p.event == eventThreshold || r.unavailable || !r.scanning || !r.has {
		return
	}
	mask := p.mask & 0x7fff
	if mask == 0 {
		mask = 0x7fff
	}
	states := r.states & mask
	first, known := v.mem.Leaks[p.key.String()]
	if !known {
		if v.mem.Leaks == nil {
			v.mem.Leaks = map[string]uint16{}
		}
		v.mem.Leaks[p.key.String()], first = states, states
	}
	c := &o.component
	leak := health.Condition{Kind: health.KindLeakDetected, Severity: health.SeverityOK, Evidence: c.Status + " (polarity unconfirmed)"}
	switch {
	case states != first:
		leak.Severity = warning
		leak.Evidence = fmt.Sprintf("possible leak, polarity unconfirmed: %s, first seen as: %s", c.Status, p.asserted(first))
	case p.suspicious(states):
		leak.Severity = warning
		leak.Evidence = "possible leak, polarity unconfirmed: " + c.Status
	}
	leak.Evidence = clip(leak.Evidence)
	c.Conditions = append(c.Conditions, leak)
	c.State = health.Unknown
	if leak.Severity == warning {
		c.State = health.Warning
	}
	c.Status = leak.Evidence
}

package detect

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dewline/health"
)

// Rules, as events and faults name them.
const (
	RuleCondition = "condition"
	RuleState     = "state"
	RulePresence  = "presence"
	RuleMargin    = "condensation_margin"
	RuleAccess    = "access"
	RuleLog       = "log"       // an entry of a log
	RuleLogState  = "log_state" // a log itself: cleared, full, entries lost
)

// BMC is the component of faults that concern a BMC as such. A driver need not list it.
const BMC health.ComponentID = "bmc"

type key struct {
	component health.ComponentID
	kind      health.Kind
}

// pass is one run of Events.
type pass struct {
	known  *health.Known
	visit  *health.Visit
	at     time.Time
	open   map[key]health.Fault // as they stand in this pass
	dirty  map[key]bool
	faults []health.Fault // cleared in this pass
	events []health.Event
	ids    map[string]bool
}

// Events compares a visit with what was known before it. It returns what changed, in order, and the faults that are
// new, changed or cleared, whole. The visit's Result, Snapshot and Delta.Access must be set; known is not changed.
func Events(known *health.Known, v *health.Visit) ([]health.Event, []health.Fault) {
	if v.Result == health.Missed {
		return nil, nil
	}
	p := &pass{
		known: known, visit: v, at: v.At(), open: make(map[key]health.Fault, len(known.Faults)), dirty: map[key]bool{}, ids: map[string]bool{},
	}
	// In order of ID, so that of two open faults of one kind, which a damaged store might hold, always the same one counts.
	for _, id := range slices.Sorted(maps.Keys(known.Faults)) {
		f := known.Faults[id]
		p.open[key{f.Component, f.Kind}] = f
	}
	p.access()
	if s := v.Snapshot; s != nil && v.Result != health.Failed {
		p.components(s)
		p.gone()
		p.margins(s)
		p.rollUps(s)
		p.logs(s)
		p.entries(s)
	}
	for _, k := range slices.SortedFunc(maps.Keys(p.dirty), compareKeys) {
		p.faults = append(p.faults, p.open[k])
	}
	return p.events, p.faults
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.component, b.component), cmp.Compare(a.kind, b.kind))
}

// finding is a condition that holds.
type finding struct {
	component health.ComponentID
	class     health.Class
	kind      health.Kind
	severity  health.Severity
	rule      string
	message   string
	evidence  []string
	atStart   bool
}

// holds opens a fault for a finding, or changes the severity of the open one.
func (p *pass) holds(f finding) {
	k := key{f.component, f.kind}
	f.message = cut(f.message)
	open, ok := p.open[k]
	switch {
	case !ok:
		e := p.event(f, health.Asserted)
		e.FaultID = e.ID
		if !p.emit(e) {
			return
		}
		p.open[k] = health.Fault{
			ID: e.ID, Target: p.visit.Target, Component: f.component, Class: f.class, Kind: f.kind, Severity: f.severity, State: health.Asserted,
			Rule: f.rule, Message: f.message, Evidence: f.evidence, Opened: p.at, Changed: p.at, AtStart: f.atStart,
		}
	case open.Severity == f.severity:
		return
	default:
		tr := health.Escalated
		if f.severity < open.Severity {
			tr = health.Deescalated
		}
		f.atStart = false
		e := p.event(f, tr)
		e.FaultID = open.ID
		p.emit(e)
		open.Severity, open.Message, open.Evidence, open.Changed = f.severity, f.message, f.evidence, p.at
		p.open[k] = open
	}
	p.dirty[k] = true
}

// clear ends an open fault; nothing happens if there is none.
func (p *pass) clear(k key, message string, evidence ...string) {
	f, ok := p.open[k]
	if !ok {
		return
	}
	e := p.event(finding{
		component: f.Component, class: f.Class, kind: f.Kind, severity: health.SeverityOK, rule: f.Rule, message: cut(message), evidence: evidence,
	}, health.Cleared)
	e.FaultID = f.ID
	p.emit(e)
	f.State, f.Cleared, f.Changed = health.Cleared, p.at, p.at
	delete(p.open, k)
	delete(p.dirty, k)
	p.faults = append(p.faults, f)
}

func (p *pass) event(f finding, tr health.Transition) health.Event {
	return health.Event{
		ID:     health.PolledEventID(p.visit.Target, f.component, f.kind, tr, p.at),
		Target: p.visit.Target, Component: f.component, Class: f.class, Kind: f.kind, Severity: f.severity, Transition: tr,
		Rule: f.rule, Message: f.message, Evidence: f.evidence, Source: "poll", AtStart: f.atStart,
	}
}

// emit appends an event, once: a hostile log can name one entry many times.
func (p *pass) emit(e health.Event) bool {
	if p.ids[e.ID] {
		return false
	}
	p.ids[e.ID] = true
	e.At = p.at.Add(time.Duration(len(p.events)))
	p.events = append(p.events, e)
	return true
}

// access opens and clears comm_lost.
func (p *pass) access() {
	if p.visit.Result != health.Failed {
		p.clear(key{BMC, health.KindCommLost}, "the BMC answers again")
		return
	}
	a := p.visit.Delta.Access
	if a == nil || a.State != health.AccessUnreachable {
		return
	}
	p.holds(finding{
		component: BMC, class: health.ClassBMC, kind: health.KindCommLost, severity: health.SeverityWarning, rule: RuleAccess,
		message: "the BMC cannot be read: " + string(a.Reason), evidence: words(string(a.Reason), a.Error),
	})
}

func words(ws ...string) []string {
	return slices.DeleteFunc(ws, func(w string) bool { return w == "" })
}

// cut keeps texts within what a store takes.
func cut(s string) string {
	if len(s) <= health.MaxText {
		return s
	}
	n := health.MaxText - len("…")
	for n > 0 && s[n]&0xC0 == 0x80 { // not within a rune
		n--
	}
	return s[:n] + "…"
}

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
	known *health.Known
	visit *health.Visit
	at    time.Time
	open  map[key]health.Fault // as they stand in this pass
	dirty map[key]bool

	wanted map[key]finding // what holds, by all rules together
	order  []key           // of wanted
	denied []denial
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
		known: known, visit: v, at: v.At(), open: make(map[key]health.Fault, len(known.Faults)), dirty: map[key]bool{},
		wanted: map[key]finding{}, ids: map[string]bool{},
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
		p.settle()
		p.entries(s)
	} else {
		p.settle()
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

// denial is a rule's word that what it opened is over.
type denial struct {
	key
	rule, message string
	evidence      []string
}

// precedence of rules for one kind: of those that say it holds, the fault is the one whose word must end it.
func precedence(rule string) int {
	switch rule {
	case RulePresence:
		return 4
	case RuleCondition:
		return 3
	case RuleMargin, RuleEnvelope:
		return 2
	case RuleState:
		return 1
	}
	return 0
}

// holds notes a finding. Several rules may find the same: it counts at its worst, with all the evidence.
func (p *pass) holds(f finding) {
	k := key{f.component, f.kind}
	w, also := p.wanted[k]
	if !also {
		p.order = append(p.order, k)
		p.wanted[k] = f
		return
	}
	if f.severity > w.severity {
		w.severity, w.message = f.severity, f.message
	}
	if precedence(f.rule) > precedence(w.rule) {
		w.rule = f.rule
	}
	for _, e := range f.evidence {
		if !slices.Contains(w.evidence, e) {
			w.evidence = append(w.evidence, e)
		}
	}
	p.wanted[k] = w
}

func (p *pass) denies(k key, rule, message string, evidence ...string) {
	if p.isOpen(k, rule) {
		p.denied = append(p.denied, denial{k, rule, message, evidence})
	}
}

// isOpen saves the healthy, who are nearly all, the making of messages that nobody reads.
func (p *pass) isOpen(k key, rule string) bool {
	return len(p.open) > 0 && p.open[k].Rule == rule
}

// settle makes events and faults of all that was found: first what ends, then what begins or changes.
func (p *pass) settle() {
	for _, d := range p.denied {
		if _, wanted := p.wanted[d.key]; !wanted && p.open[d.key].Rule == d.rule {
			p.clear(d.key, d.message, d.evidence...)
		}
	}
	for _, k := range p.order {
		p.begin(k, p.wanted[k])
	}
}

// begin opens a fault for a finding, or changes the open one.
func (p *pass) begin(k key, f finding) {
	f.message = cut(f.message)
	open, ok := p.open[k]
	if !ok {
		e := p.event(f, health.Asserted)
		e.FaultID = e.ID
		if !p.emit(e) {
			return
		}
		p.open[k] = health.Fault{
			ID: e.ID, Target: p.visit.Target, Component: f.component, Class: f.class, Kind: f.kind, Severity: f.severity, State: health.Asserted,
			Rule: f.rule, Message: f.message, Evidence: f.evidence, Opened: p.at, Changed: p.at, AtStart: f.atStart,
		}
		p.dirty[k] = true
		return
	}
	over := slices.ContainsFunc(p.denied, func(d denial) bool { return d.key == k && d.rule == open.Rule })
	if rule := f.rule; rule != open.Rule && (over || precedence(rule) > precedence(open.Rule)) {
		open.Rule = rule
		p.dirty[k] = true
	}
	if open.Severity != f.severity {
		tr := health.Escalated
		if f.severity < open.Severity {
			tr = health.Deescalated
		}
		f.atStart = false
		e := p.event(f, tr)
		e.FaultID = open.ID
		p.emit(e)
		open.Severity, open.Message, open.Evidence, open.Changed = f.severity, f.message, f.evidence, p.at
		p.dirty[k] = true
	}
	p.open[k] = open
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
		p.denies(key{BMC, health.KindCommLost}, RuleAccess, "the BMC answers again")
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

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
	RuleExpected  = "expected" // fewer parts than the configuration expects
	RuleFirmware  = "firmware"
	RuleClock     = "clock"
	RuleLog       = "log"       // an entry of a log
	RuleLogState  = "log_state" // a log itself: cleared, full, entries lost
)

// BMC is the component of faults that concern a BMC as such. A driver need not list it.
const BMC health.ComponentID = "bmc"

type key struct {
	component health.ComponentID
	kind      health.Kind
	subject   string
}

// of is the key of what a part is at fault with.
func of(c health.ComponentID, k health.Kind) key { return key{component: c, kind: k} }

func (k key) recent() health.RecentKey {
	return health.RecentKey{Component: k.component, Kind: k.kind, Subject: k.subject}
}

// pass is one run of Judge.
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

	told   []told                // the log entries that count
	recent map[key]health.Recent // those that changed in this pass
	ended  map[key]bool          // conditions that a reading ended in this pass
	clock  *health.BMCClock
	// unmapped counts log entries of severity warning and critical that no row of a driver's table knows.
	unmapped int
}

// Judgement is what a visit shows.
type Judgement struct {
	Events   []health.Event  // what changed, in order
	Faults   []health.Fault  // new, changed and cleared ones, whole
	Recent   []health.Recent // for health.Delta, as Clock
	Clock    *health.BMCClock
	Unmapped int // log entries of severity warning and critical that no table knows; they are events of kind unknown
}

// Apply puts a judgement into its visit.
func (j *Judgement) Apply(v *health.Visit) {
	v.Events, v.Delta.Faults, v.Delta.Recent, v.Delta.Clock = j.Events, j.Faults, j.Recent, j.Clock
}

// Judge compares a visit with what was known before it. The visit's Result, Snapshot, Where and Delta.Access must be set; neither the
// visit nor known is changed.
func Judge(known *health.Known, v *health.Visit) Judgement {
	if v.Result == health.Missed {
		return Judgement{}
	}
	p := &pass{
		known: known, visit: v, at: v.At(), open: make(map[key]health.Fault, len(known.Faults)), dirty: map[key]bool{},
		wanted: map[key]finding{}, ids: map[string]bool{}, recent: map[key]health.Recent{}, ended: map[key]bool{},
	}
	// In order of ID, so that of two open faults of one kind, which a damaged store might hold, always the same one counts.
	for _, id := range slices.Sorted(maps.Keys(known.Faults)) {
		f := known.Faults[id]
		p.open[key{f.Component, f.Kind, f.Subject}] = f
	}
	p.access()
	if s := v.Snapshot; s != nil && v.Result != health.Failed {
		p.told = p.tell(s)
		p.changes(s)
		p.components(s)
		p.gone()
		p.margins(s)
		p.rollUps(s)
		p.logs(s)
		p.refine(p.told)
		p.expected(s)
		p.settle()
		p.entries(p.told)
		p.quiet()
	} else {
		p.settle()
	}
	for _, k := range slices.SortedFunc(maps.Keys(p.dirty), compareKeys) {
		p.faults = append(p.faults, p.open[k])
	}
	return Judgement{Events: p.events, Faults: p.faults, Recent: p.lately(), Clock: p.clock, Unmapped: p.unmapped}
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.component, b.component), cmp.Compare(a.kind, b.kind), cmp.Compare(a.subject, b.subject))
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
	subject   string
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
	case RuleMargin:
		return 2
	case RuleState:
		return 1
	}
	return 0 // also of RuleEnvelope: what the machine says of itself explains its roll-ups
}

// holds notes a finding. Several rules may find the same: it counts at its worst, with all the evidence.
func (p *pass) holds(f finding) {
	k := key{f.component, f.kind, f.subject}
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
			p.end(d.key, d.message, d.evidence...)
		}
	}
	for _, k := range p.order {
		p.begin(k, p.wanted[k])
	}
}

func (p *pass) event(f finding, tr health.Transition) health.Event {
	return health.Event{
		ID:     health.PolledEventID(p.visit.Target, health.Subjected(f.component, f.subject), f.kind, tr, p.at),
		Target: p.visit.Target, Component: f.component, Class: f.class, Kind: f.kind, Severity: f.severity, Transition: tr,
		Rule: f.rule, Message: f.message, Evidence: f.evidence, Source: "poll", AtStart: f.atStart, Subject: f.subject,
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
	if p.visit.Answered() {
		p.denies(of(BMC, health.KindCommLost), RuleAccess, "the BMC answers again")
		return
	}
	a := p.visit.Delta.Access
	if p.visit.Result != health.Failed || a == nil || a.State != health.AccessUnreachable {
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

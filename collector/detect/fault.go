package detect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"dewline/health"
)

// Damping. A condition that began, or got worse, FlapCount times within FlapWindow is one fault that is flapping: it stays open, at its
// worst, until it was away, or the same, for FlapHold.
const (
	FlapCount  = 4
	FlapWindow = time.Hour
	FlapHold   = 15 * time.Minute
)

// Bounds of what one BMC can make us hold.
const (
	maxRecent   = 1024
	maxEvidence = 12  // of one fault
	maxLogged   = 512 // open faults that only logs tell of: their ends may never come
)

// begin opens a fault for a polled finding, or changes the open one.
func (p *pass) begin(k key, f finding) {
	f.message = cut(f.message)
	open, ok := p.open[k]
	if !ok {
		e := p.event(f, health.Asserted)
		p.openFault(k, e, f.rule, f.evidence)
		return
	}
	over := slices.ContainsFunc(p.denied, func(d denial) bool { return d.key == k && d.rule == open.Rule })
	if rule := f.rule; rule != open.Rule && (over || precedence(rule) > precedence(open.Rule)) {
		if open.Rule == RuleLog {
			open.Evidence = more(open.Evidence, f.evidence...)
		}
		open.Rule = rule
		p.dirty[k] = true
	}
	p.open[k] = open
	p.grade(k, p.event(f, ""), f.evidence)
}

// openFault opens a fault by an event.
func (p *pass) openFault(k key, e health.Event, rule string, evidence []string) {
	e.Transition, e.FaultID = health.Asserted, e.ID
	begun := p.begun(k)
	flap := health.Flap{}
	if len(begun) >= FlapCount {
		flap = health.Flap{Flapping: true, Count: len(begun), Last: p.at}
		e.Message = cut(fmt.Sprintf("%s; it comes and goes: %d times within %s", e.Message, len(begun), plainDuration(FlapWindow)))
	}
	if !p.emit(e) {
		return
	}
	p.open[k] = health.Fault{
		ID: e.ID, Target: p.visit.Target, Component: e.Component, Class: e.Class, Kind: e.Kind, Severity: e.Severity, State: health.Asserted, Rule: rule,
		Message: e.Message, Evidence: more(nil, evidence...), Opened: p.at, Changed: p.at, AtStart: e.AtStart, Subject: e.Subject, Flap: flap,
	}
	p.dirty[k] = true
	p.note(k, health.Recent{Begun: begun, Fault: e.ID})
}

// grade takes in that an open fault holds, with an event that tells its severity now. It says whether it made an event of it.
func (p *pass) grade(k key, e health.Event, evidence []string) bool {
	f := p.open[k]
	e.AtStart, e.FaultID = false, f.ID
	before := f.Flap
	if f.Flap.Flapping {
		if !f.Flap.Away.IsZero() {
			f.Flap.Away, f.Flap.Last, f.Flap.Count = time.Time{}, p.at, f.Flap.Count+1
		}
		if f.Flap.Last.After(p.at) { // our clock was ahead then
			f.Flap.Last = p.at
		}
		steady := p.at.Sub(f.Flap.Last) >= FlapHold
		if steady {
			f.Flap = health.Flap{Count: f.Flap.Count}
		} else if e.Severity <= f.Severity {
			e.Severity = f.Severity
		}
	}
	if e.Severity != f.Severity {
		e.Transition = health.Deescalated
		if e.Severity > f.Severity {
			e.Transition = health.Escalated
			begun := p.begun(k)
			p.note(k, health.Recent{Begun: begun, Fault: f.ID})
			switch {
			case f.Flap.Flapping:
				f.Flap.Last, f.Flap.Count = p.at, f.Flap.Count+1
			case len(begun) >= FlapCount:
				f.Flap = health.Flap{Flapping: true, Count: len(begun), Last: p.at}
			}
		}
		if e.ID == "" || e.Source == "poll" {
			e.ID = health.PolledEventID(p.visit.Target, health.Subjected(e.Component, e.Subject), e.Kind, e.Transition, p.at)
		}
		if p.emit(e) {
			f.Severity, f.Message, f.Evidence, f.Changed = e.Severity, e.Message, more(nil, evidence...), p.at
			p.dirty[k] = true
			p.open[k] = f
			return true
		}
	}
	if f.Flap != before {
		p.dirty[k] = true
	}
	p.open[k] = f
	return false
}

// end closes an open fault of which a reading or an entry says that it is over. A flapping one closes when it was away for a while.
// It says whether it closed.
func (p *pass) end(k key, message string, evidence ...string) bool {
	f, ok := p.open[k]
	if !ok || p.held(k, f) {
		return false
	}
	p.clear(k, message, evidence...)
	return true
}

// held keeps a flapping fault open, and notes since when it is away.
func (p *pass) held(k key, f health.Fault) bool {
	if !f.Flap.Flapping {
		return false
	}
	if f.Flap.Away.IsZero() || f.Flap.Away.After(p.at) { // our clock was ahead then
		f.Flap.Away = p.at
		p.open[k] = f
		p.dirty[k] = true
	}
	return p.at.Sub(f.Flap.Away) < FlapHold
}

// clear closes an open fault at once: its part is gone, or another one.
func (p *pass) clear(k key, message string, evidence ...string) {
	f, ok := p.open[k]
	if !ok {
		return
	}
	p.close(k, p.event(finding{
		component: f.Component, class: f.Class, kind: f.Kind, severity: health.SeverityOK, rule: f.Rule, message: cut(message), evidence: evidence,
		subject: f.Subject,
	}, health.Cleared), true)
}

// close closes an open fault by an event.
func (p *pass) close(k key, e health.Event, polled bool) {
	f := p.open[k]
	e.FaultID = f.ID
	if f.Flap.Flapping {
		e.Message = cut(fmt.Sprintf("%s; it came and went, %d times", e.Message, f.Flap.Count))
	}
	p.emit(e)
	f.State, f.Cleared, f.Changed = health.Cleared, p.at, p.at
	delete(p.open, k)
	delete(p.dirty, k)
	p.faults = append(p.faults, f)
	r := p.lastly(k)
	p.note(k, health.Recent{Begun: r.Begun, Fault: f.ID, Ended: p.at, Polled: polled && !p.logsRead()})
	p.ended[k] = p.ended[k] || polled
}

// join adds further evidence to an open fault.
func (p *pass) join(k key, evidence ...string) {
	f := p.open[k]
	f.Evidence, f.Changed = more(f.Evidence, evidence...), p.at
	p.open[k] = f
	p.dirty[k] = true
}

// more is evidence with further evidence, each once, within the bound.
func more(have []string, further ...string) []string {
	out := slices.Clone(have)
	for _, e := range further {
		if e != "" && !slices.Contains(out, e) && len(out) < maxEvidence {
			out = append(out, e)
		}
	}
	return out
}

// lastly is what is remembered of a condition that began lately.
func (p *pass) lastly(k key) health.Recent {
	if r, ok := p.recent[k]; ok {
		return r
	}
	return p.known.Recent[k.recent()]
}

// begun are the times within the window at which the condition began, this one included.
func (p *pass) begun(k key) []time.Time {
	var out []time.Time
	for _, t := range p.lastly(k).Begun {
		if age := p.at.Sub(t); age >= 0 && age < FlapWindow { // what is of a time to come was noted when our clock was ahead
			out = append(out, t)
		}
	}
	out = append(out, p.at)
	return out[max(0, len(out)-FlapCount):]
}

func (p *pass) note(k key, r health.Recent) {
	if _, held := p.known.Recent[k.recent()]; !held && len(p.known.Recent)+len(p.recent) >= maxRecent {
		return
	}
	r.RecentKey = k.recent()
	p.recent[k] = r
}

// lately is what changed of what is remembered, in order, and what need not be remembered any more.
func (p *pass) lately() []health.Recent {
	var out []health.Recent
	for _, k := range slices.SortedFunc(maps.Keys(p.recent), compareKeys) {
		out = append(out, p.recent[k])
	}
	var old []health.RecentKey
	for rk, r := range p.known.Recent {
		_, changed := p.recent[key{rk.Component, rk.Kind, rk.Subject}]
		last := r.Ended
		if n := len(r.Begun); n > 0 && r.Begun[n-1].After(last) {
			last = r.Begun[n-1]
		}
		if !changed && p.at.Sub(last).Abs() >= FlapWindow {
			old = append(old, rk)
		}
	}
	slices.SortFunc(old, func(a, b health.RecentKey) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
	})
	for _, rk := range old {
		out = append(out, health.Recent{RecentKey: rk})
	}
	return out
}

// plainDuration is a duration without units of zero: "1h", "15m".
func plainDuration(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// quiet closes flapping faults that only a log tells of, when their log was read and has brought nothing of them for a while.
func (p *pass) quiet() {
	if !p.logsRead() {
		return
	}
	for _, k := range slices.SortedFunc(maps.Keys(p.open), compareKeys) {
		f := p.open[k]
		if f.Rule == RuleLog && f.Flap.Flapping && !f.Flap.Away.IsZero() && p.at.Sub(f.Flap.Away) >= FlapHold {
			p.clear(k, plain(f.Kind)+" is over, as far as the log tells")
		}
	}
}

// logsRead says whether the visit read all there is in the logs.
func (p *pass) logsRead() bool {
	s := p.visit.Snapshot
	return s != nil && p.visit.Tiers().Has(health.TierEvents) && len(s.Logs) > 0 && !slices.ContainsFunc(s.Logs, func(l health.LogInfo) bool {
		return l.More || l.Lost || l.Skipped == "not_read"
	})
}

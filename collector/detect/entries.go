package detect

import (
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// logSettle is how long a fault that a log told of stands before a reading that says ok may end it: BMCs log first and update their
// sensors, caches and roll-ups up to a minute or two later.
const logSettle = 2 * time.Minute

// told is a log entry that counts, and the part it speaks of.
type told struct {
	*health.LogEntry
	component health.ComponentID
	class     health.Class
	subject   string
	kind      health.Kind
	severity  health.Severity
	lasts     bool // a condition begins
	over      bool // one ends
}

func (t *told) key() key { return key{t.component, t.kind, t.subject} }

// tell picks the entries that count: those with a kind, or of severity warning or critical, that came after the target was met.
func (p *pass) tell(s *health.Snapshot) []told {
	if len(s.Log) == 0 {
		return nil
	}
	// Cursors are keyed by where a log lives, entries by its short name.
	read := map[string]bool{}
	for _, l := range s.Logs {
		if _, ok := p.known.Cursors[l.Path]; ok {
			read[l.ID] = true
		}
	}
	skew := p.skewNow(s)
	index := newIndex(p.known, s)
	var out []told
	for i := range s.Log {
		e := &s.Log[i]
		serious := e.Severity == health.SeverityWarning || e.Severity == health.SeverityCritical
		t := told{LogEntry: e, kind: e.Kind}
		switch {
		case serious && e.Kind == "":
			t.kind = health.KindUnknown
		case !serious && (e.Kind == "" || e.Kind == health.KindInfo && len(e.Decoded.Ends) == 0):
			continue
		}
		_, cursor := p.known.Cursors[e.Source]
		if !cursor && !read[e.Source] && p.history(e.Created, skew) {
			continue
		}
		if serious && e.Decoded.Rule == "" && e.Kind == "" {
			p.unmapped++
		}
		t.severity = entrySeverity(e)
		t.component, t.class, t.subject = index.partOf(e)
		asleep := p.hostOff() && SleepsWithHost(t.class)
		known, seen := p.known.Components[t.component]
		switch {
		case asleep:
			// Fans that stop with their host are logged by some. What lasts shows when the host is on again.
		case e.Decoded.Lasts && t.kind == health.KindAbsentRemoved && (t.subject != "" && e.SEL != nil || seen && known.Presence == health.Absent && !p.removedNow(t.component)):
			// Empty bays report absent for ever, at each boot anew: only what was there can be gone.
			t.severity = health.SeverityInfo
		case e.Decoded.Lasts:
			t.lasts = t.subject != "" || t.component != logComponent(e)
		case e.Cleared:
			t.over = true
		}
		out = append(out, t)
	}
	return out
}

// history says whether an entry of a log that is met was there before its target was. A time is of the BMC's clock, which may be ahead; in the
// visit that meets both, only what came during it is news.
func (p *pass) history(created time.Time, skew time.Duration) bool {
	if created.IsZero() {
		return true
	}
	created = created.Add(-skew)
	if first := p.known.FirstSeen; !first.IsZero() {
		return !created.After(first)
	}
	return !created.After(p.at) || created.After(p.at.Add(p.visit.Took+time.Minute))
}

// removedNow says whether a part's absence is an open fault.
func (p *pass) removedNow(c health.ComponentID) bool {
	_, open := p.open[of(c, health.KindAbsentRemoved)]
	return open
}

func logComponent(e *health.LogEntry) health.ComponentID {
	return health.ComponentID("log/" + e.Source)
}

// entries makes an event of each entry, and of those that tell of the beginning or the end of a condition what they do to its fault.
// There is one fault for a condition, whether the log told of it, a reading, or both; a reading's word goes before the log's.
func (p *pass) entries(all []told) {
	for i := range all {
		t := &all[i]
		e := p.entryEvent(t)
		ended := false
		if t.lasts || len(t.Decoded.Ends) > 0 || t.over {
			ended = p.ends(t, &e)
		}
		switch {
		case t.lasts:
			p.lasts(t, e)
		case ended:
		default:
			p.happened(t, e)
		}
	}
}

func (p *pass) entryEvent(t *told) health.Event {
	e := health.Event{
		ID: health.LogEventID(p.visit.Target, t.LogEntry), Target: p.visit.Target, Component: t.component, Class: t.class, Kind: t.kind,
		Severity: t.severity, Transition: health.Momentary, Rule: RuleLog, Message: cut(entryMessage(t.LogEntry)), Evidence: t.evidence(),
		Source: t.Source, SourceTime: t.Created, AtStart: p.known.FirstSeen.IsZero(), Subject: t.subject,
	}
	if t.Decoded.Rule != "" {
		e.Rule = RuleLog + ":" + t.Decoded.Rule
	}
	if t.SEL == nil { // a SEL record states none
		e.SourceSeverity = t.Severity
	}
	return e
}

func (t *told) evidence() []string { return words(t.MessageID, t.Origin, t.Source+" "+t.ID) }

// lasts opens a fault for a condition that began, or joins the one there is.
func (p *pass) lasts(t *told, e health.Event) {
	k, open := p.sameCondition(t)
	if !open {
		if r := p.lastly(k); r.Fault != "" && (p.ended[k] || r.Polled && !r.Ended.Before(p.logsReadBefore())) {
			e.FaultID = r.Fault // a reading saw it begin and end before the log was read
			p.emit(e)
			return
		}
		if p.logged() >= maxLogged {
			p.happened(t, e)
			return
		}
		p.openFault(k, e, RuleLog, append(slices.Clone(e.Evidence), e.Message))
		return
	}
	f := p.open[k]
	if f.Rule == RuleLog {
		e.Kind = f.Kind
		if p.grade(k, e, append(slices.Clone(f.Evidence), e.Evidence...)) {
			return
		}
	}
	if e.FaultID = f.ID; !p.emit(e) {
		return
	}
	p.join(k, append(slices.Clone(e.Evidence), e.Message)...)
}

// logged is how many faults are open that only logs tell of.
func (p *pass) logged() (n int) {
	for _, f := range p.open {
		if f.Rule == RuleLog {
			n++
		}
	}
	return n
}

// sameCondition finds the open fault that an entry is further word of.
func (p *pass) sameCondition(t *told) (key, bool) {
	k := t.key()
	if _, open := p.open[k]; open {
		return k, true
	}
	for _, o := range p.faultsOf(t.component) {
		f := p.open[o]
		switch {
		case o.subject != t.subject:
		case sameGroup(o.kind, k.kind), // failed and degraded are grades of one thing
			t.Decoded.Vague && readable(o.kind) && f.Severity >= t.severity,       // "its health is critical" says no more than what is open says
			f.Rule == RuleState && isGeneric(o.kind) && readable(k.kind),          // the reading said that something is wrong, the log says what
			f.Rule == RuleLog && isGeneric(o.kind) && isThreshold(k.kind),         // "its health is warning", then which threshold
			isThreshold(o.kind) && k.kind == health.KindUnknown && t.severity > 0: // a threshold whose side the entry does not say
			return o, true
		}
	}
	return k, false
}

// ends closes the log's own faults that an entry says are over, and gives the first of those events the entry's ID. It says whether
// the entry's event is made.
func (p *pass) ends(t *told, e *health.Event) bool {
	kinds := t.Decoded.Ends
	if t.over {
		kinds = append([]health.Kind{t.kind}, kinds...)
	}
	var made bool
	n := 0
	for _, k := range p.faultsOf(t.component) {
		if k.subject != t.subject || !slices.Contains(kinds, k.kind) && !(t.over && slices.ContainsFunc(kinds, func(x health.Kind) bool { return sameGroup(x, k.kind) })) {
			continue
		}
		f := p.open[k]
		own := *e
		if t.over && !made {
			own.FaultID = f.ID
		} else {
			n++
			own.ID = health.FurtherEventID(e.ID, n)
		}
		if f.Rule != RuleLog || p.held(k, f) {
			if t.over && !made { // a reading ends it, or the damping
				p.emit(own)
				made = true
			}
			continue
		}
		own.Kind, own.Severity, own.Transition, own.Class = f.Kind, health.SeverityOK, health.Cleared, f.Class
		p.close(k, own, false)
		made = made || t.over
	}
	return made
}

// happened is an entry that neither began nor ended a fault.
func (p *pass) happened(t *told, e health.Event) {
	k := t.key()
	if f, open := p.open[k]; open {
		e.FaultID = f.ID
	} else if r := p.lastly(k); t.over && r.Fault != "" && !r.Ended.Before(p.logsReadBefore()) {
		e.FaultID = r.Fault
	}
	if t.over && t.kind == health.KindAbsentRemoved && e.FaultID == "" {
		e.Kind, e.Severity = health.KindInserted, health.SeverityInfo
	}
	if t.kind == health.KindInfo && t.severity < health.SeverityWarning && t.Decoded.Rule != "" && len(t.Decoded.Ends) > 0 {
		return // it told only that something is over, and that was no fault
	}
	p.emit(e)
}

// logsReadBefore is when the logs were last read: entries read now may be as old.
func (p *pass) logsReadBefore() time.Time { return p.known.Ticks[health.TierEvents].Due }

// refine takes the log's word for what is wrong with a part whose reading says only that something is.
func (p *pass) refine(all []told) {
	for i := range all {
		t := &all[i]
		if !t.lasts || t.subject != "" || !readable(t.kind) || isGeneric(t.kind) || p.overLater(all[i+1:], t) {
			continue
		}
		for _, kind := range []health.Kind{health.KindFailed, health.KindDegraded, health.KindUnknown} {
			k := of(t.component, kind)
			f, found := p.wanted[k]
			_, open := p.open[k]
			_, taken := p.wanted[t.key()]
			if !found || open || taken || f.rule != RuleState {
				continue
			}
			delete(p.wanted, k)
			p.order = slices.DeleteFunc(p.order, func(x key) bool { return x == k })
			f.kind, f.severity = t.kind, max(f.severity, t.severity)
			f.message = strings.Replace(f.message, plain(kind), plain(t.kind), 1)
			p.holds(f)
		}
	}
}

func (p *pass) overLater(later []told, t *told) bool {
	return slices.ContainsFunc(later, func(l told) bool {
		return l.over && l.component == t.component && l.subject == t.subject && (l.kind == t.kind || slices.Contains(l.Decoded.Ends, t.kind))
	})
}

// isGeneric kinds say that something is wrong, not what.
func isGeneric(k health.Kind) bool {
	return k == health.KindFailed || k == health.KindDegraded || k == health.KindUnknown
}

// sameGroup kinds are grades of one thing.
func sameGroup(a, b health.Kind) bool {
	group := func(k health.Kind) int {
		switch k {
		case health.KindFailed, health.KindDegraded:
			return 1
		case health.KindRedundancyLost, health.KindRedundancyDegraded:
			return 2
		}
		return 0
	}
	return a == b || group(a) != 0 && group(a) == group(b)
}

// readable kinds show in the state of a part: if that is ok, none of them holds. A predicted failure, lost redundancy or an opened lid
// need not.
func readable(k health.Kind) bool {
	switch k {
	case health.KindFailed, health.KindDegraded, health.KindUnknown, health.KindOverThreshold, health.KindUnderThreshold, health.KindHumidityHigh,
		health.KindHumidityLow, health.KindInputLost, health.KindInputOutOfRange, health.KindLeakDetected, health.KindDetectorFault,
		health.KindConfigError, health.KindUncorrectableError:
		return true
	}
	return false
}

// deniesLog lets a reading that says ok end what a log told of the part, once the BMC had time to notice.
func (p *pass) deniesLog(k key, message string, evidence ...string) {
	if f, open := p.open[k]; open && f.Rule == RuleLog && p.at.Sub(f.Changed).Abs() >= logSettle { // also if our clock was ahead then
		p.denies(k, RuleLog, message, evidence...)
	}
}

// entrySeverity: the end of a condition is no alarm, whatever severity its entry carries; the table's word goes before the source's.
func entrySeverity(e *health.LogEntry) health.Severity {
	switch {
	case e.Cleared:
		return health.SeverityOK
	case e.Decoded.Severity != health.SeverityUnknown:
		return e.Decoded.Severity
	case e.Severity == health.SeverityUnknown && e.Kind != "" && e.Kind != health.KindInfo && e.Kind != health.KindInserted && e.Kind != health.KindUnknown:
		return health.SeverityWarning // its driver found it worth a kind
	case e.Severity == health.SeverityUnknown:
		return health.SeverityInfo
	}
	return e.Severity
}

func entryMessage(e *health.LogEntry) string {
	switch {
	case e.Message != "":
		return e.Message
	case e.MessageID != "":
		return e.MessageID
	case e.Origin != "":
		return e.Origin
	}
	return e.Source + " " + e.ID
}

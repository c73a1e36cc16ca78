package detect

import "dewline/health"

// maxLogFaults bounds the open faults of logs: one that is never listed again is never known to have room again.
const maxLogFaults = 256

func (p *pass) logFaults() (n int) {
	for _, f := range p.open {
		if f.Class == health.ClassLog {
			n++
		}
	}
	return n
}

// logs judges the logs themselves.
func (p *pass) logs(s *health.Snapshot) {
	room := maxLogFaults - p.logFaults()
	for _, l := range s.Logs {
		if l.Skipped != "" {
			continue
		}
		f := finding{component: health.ComponentID("log/" + l.ID), class: health.ClassLog, rule: RuleLogState}
		name := l.Name
		if name == "" {
			name = l.ID
		}
		if l.Cleared && !toldCleared(s, l.ID) {
			f := f
			f.kind, f.severity, f.message = health.KindLogCleared, health.SeverityWarning, "log "+name+" was cleared"
			p.emit(p.event(f, health.Momentary))
		}
		if l.Lost {
			f := f
			f.kind, f.severity = health.KindLogFull, health.SeverityWarning
			f.message = "log " + name + ": entries were overwritten before they were read"
			p.emit(p.event(f, health.Momentary))
		}
		f.kind, f.severity = health.KindLogFull, health.SeverityCritical
		f.message = "log " + name + " is full: new entries are not kept"
		f.atStart = p.known.FirstSeen.IsZero()
		if l.Full {
			if _, open := p.open[key{f.component, f.kind}]; !open {
				if room--; room < 0 {
					continue
				}
			}
			p.holds(f)
		} else {
			p.denies(key{f.component, f.kind}, RuleLogState, "log "+name+" has room again")
		}
	}
}

// toldCleared says whether an entry of the log reports the clearing, which is then its event.
func toldCleared(s *health.Snapshot, source string) bool {
	for i := range s.Log {
		if s.Log[i].Source == source && s.Log[i].Kind == health.KindLogCleared {
			return true
		}
	}
	return false
}

// entries makes momentary events of log entries.
func (p *pass) entries(s *health.Snapshot) {
	if len(s.Log) == 0 {
		return
	}
	// Cursors are keyed by where a log lives, entries by its short name.
	read := map[string]bool{}
	for _, l := range s.Logs {
		if _, ok := p.known.Cursors[l.Path]; ok {
			read[l.ID] = true
		}
	}
	first := p.known.FirstSeen
	if first.IsZero() {
		first = p.at
	}
	classes := map[health.ComponentID]health.Class{}
	for id, c := range p.known.Components {
		classes[id] = c.Class
	}
	for i := range s.Components {
		classes[s.Components[i].ID] = s.Components[i].Class
	}
	for i := range s.Log {
		e := &s.Log[i]
		kind := e.Kind
		serious := e.Severity == health.SeverityWarning || e.Severity == health.SeverityCritical
		switch {
		case serious && kind == "":
			kind = health.KindUnknown
		case !serious && (kind == "" || kind == health.KindInfo):
			continue
		}
		_, cursor := p.known.Cursors[e.Source]
		if !cursor && !read[e.Source] && (e.Created.IsZero() || !e.Created.After(first)) {
			continue // history
		}
		class, ok := classes[e.Component]
		if !ok {
			class = health.ClassLog
		}
		component := e.Component
		if component == "" {
			component = health.ComponentID("log/" + e.Source)
		}
		p.emit(health.Event{
			ID: health.LogEventID(p.visit.Target, e), Target: p.visit.Target, Component: component, Class: class, Kind: kind,
			Severity: entrySeverity(e), Transition: health.Momentary, Rule: RuleLog, Message: cut(entryMessage(e)),
			Evidence: words(e.MessageID, e.Origin, e.Source+" "+e.ID), Source: e.Source, SourceTime: e.Created,
			AtStart: p.known.FirstSeen.IsZero(),
		})
	}
}

// entrySeverity: the end of a condition is no alarm, whatever severity its entry carries.
func entrySeverity(e *health.LogEntry) health.Severity {
	switch {
	case e.Cleared:
		return health.SeverityOK
	case e.Severity == health.SeverityUnknown && e.Kind != "" && e.Kind != health.KindInfo && e.Kind != health.KindInserted:
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
	}
	return e.Origin
}

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
		off := l.Skipped == "disabled"
		if _, read := p.known.Cursors[l.Path]; l.Skipped != "" && (!off || !read) { // one that was never on is no log that went off
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
		if off {
			f.severity, f.message = health.SeverityWarning, "log "+name+" is switched off: new entries are not kept"
		}
		f.atStart = p.known.FirstSeen.IsZero()
		if l.Full || off {
			if _, open := p.open[of(f.component, f.kind)]; !open {
				if room--; room < 0 {
					continue
				}
			}
			p.holds(f)
		} else {
			p.denies(of(f.component, f.kind), RuleLogState, "log "+name+" keeps new entries again")
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

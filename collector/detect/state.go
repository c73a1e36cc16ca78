package detect

import (
	"fmt"
	"slices"
	"strconv"

	"dewline/health"
)

// state opens and clears the fault of a state that nothing explains.
func (p *pass) state(c *health.Component, seen bool, readings []health.Reading) {
	switch c.State {
	case health.Unknown:
		return
	case health.OK:
		for _, k := range p.faultsOf(c.ID) {
			if p.open[k].Rule == RuleState {
				p.denies(k, RuleState, label(c, nil)+" is ok", words(c.Status)...)
			}
			if readable(k.kind) && !isRollUp(c.Class) {
				p.deniesLog(k, label(c, nil)+" is ok", words(c.Status)...)
			}
		}
		return
	}
	severity := severityOf(c.State)
	kind, why := StateKind(c, readings)
	for _, n := range c.Conditions {
		switch s := effective(n.Severity); {
		case s >= severity:
			return // explained
		case s > health.SeverityOK && kind == health.KindUnknown && isThreshold(n.Kind):
			kind = n.Kind // worse than the condition says, and of the same thing
		}
	}
	for _, k := range p.faultsOf(c.ID) {
		if kind == health.KindUnknown && isThreshold(k.kind) {
			kind = k.kind // thresholds may be read only now and then: still the same fault
		}
	}
	kind, severity, said := p.adopt(c, kind, severity)
	if said {
		return
	}
	for _, k := range p.faultsOf(c.ID) {
		if p.open[k].Rule == RuleState && k.kind != kind {
			p.denies(k, RuleState, label(c, nil)+" is now "+plain(kind), words(c.Status)...) // one unexplained state is one fault
		}
	}
	p.holds(finding{
		component: c.ID, class: c.Class, kind: kind, severity: severity, rule: RuleState, message: stateMessage(c, kind, why),
		evidence: words(c.Status, why), atStart: p.foundAtStart(c, seen),
	})
}

// adopt gives an unexplained state the kind of a fault that is open already: what a log said is wrong is what is read now. A state
// that is worse than what the log said takes its place; one that is milder adds nothing to it.
func (p *pass) adopt(c *health.Component, kind health.Kind, severity health.Severity) (health.Kind, health.Severity, bool) {
	for _, k := range p.faultsOf(c.ID) {
		f := p.open[k]
		switch {
		case k.subject != "" || k.kind == kind || !readable(k.kind):
		case f.Rule == RuleState && (isGeneric(kind) && !isGeneric(k.kind) && !isThreshold(k.kind) || k.kind == health.KindUnknown && isThreshold(kind)):
			return k.kind, max(severity, f.Severity), false
		case f.Rule == RuleCondition && severity <= f.Severity && !names(c, k.kind):
			return kind, severity, true // its condition is read more rarely than its state
		case f.Rule != RuleLog:
		case sameGroup(k.kind, kind) && severity <= f.Severity:
			if c.Status != "" && !slices.Contains(f.Evidence, c.Status) && len(f.Evidence) < maxEvidence {
				p.join(k, c.Status)
			}
			return kind, severity, true
		case isGeneric(k.kind) && severity > f.Severity:
			p.denied = append(p.denied, denial{k, RuleLog, label(c, nil) + " is now " + plain(kind), words(c.Status)})
		case isGeneric(kind) || isGeneric(k.kind):
			return k.kind, max(severity, f.Severity), false
		}
	}
	return kind, severity, false
}

func names(c *health.Component, k health.Kind) bool {
	return slices.ContainsFunc(c.Conditions, func(n health.Condition) bool { return n.Kind == k })
}

// effective is the severity that a condition counts with: one of unknown severity its driver found worth naming.
func effective(s health.Severity) health.Severity {
	if s == health.SeverityUnknown {
		return health.SeverityWarning
	}
	return s
}

func isThreshold(k health.Kind) bool {
	switch k {
	case health.KindOverThreshold, health.KindUnderThreshold, health.KindHumidityHigh, health.KindHumidityLow:
		return true
	}
	return false
}

func stateMessage(c *health.Component, kind health.Kind, why string) string {
	m := label(c, nil) + ": " + plain(kind)
	if kind == health.KindUnknown {
		m = label(c, nil) + " is " + c.State.String()
	}
	switch {
	case why != "":
		m += " (" + why + ")"
	case c.Status != "":
		m += " (" + c.Status + ")"
	}
	return m
}

func severityOf(s health.State) health.Severity {
	if s == health.Critical {
		return health.SeverityCritical
	}
	return health.SeverityWarning
}

// StateKind is the kind of fault that a component's state of warning or critical stands for when no condition says, and
// what shows it. Readings are the component's own, with thresholds.
//
// A part failed (critical) or is degraded (warning). A sensor is over or under its threshold if its value is; a state
// without that is of unknown kind. A leak detector fails wet: leak_detected, unless it says in so many words that it is
// not wet; then it is the detector that is at fault.
func StateKind(c *health.Component, readings []health.Reading) (health.Kind, string) {
	kind, why := stateKind(c, readings)
	for _, n := range c.Conditions {
		if n.Kind == kind && n.Severity == health.SeverityOK { // denied
			if kind == health.KindLeakDetected {
				return health.KindDetectorFault, n.Evidence
			}
			return health.KindUnknown, ""
		}
	}
	return kind, why
}

func stateKind(c *health.Component, readings []health.Reading) (health.Kind, string) {
	switch c.Class {
	case health.ClassLeakDetector:
		return health.KindLeakDetected, ""
	case health.ClassIntrusion:
		return health.KindIntrusion, ""
	case health.ClassTemperature, health.ClassVoltage, health.ClassCurrent, health.ClassPower, health.ClassFlow, health.ClassSensor:
		return beyond(readings, health.KindOverThreshold, health.KindUnderThreshold)
	case health.ClassHumidity:
		return beyond(readings, health.KindHumidityHigh, health.KindHumidityLow)
	}
	if c.State == health.Critical {
		return health.KindFailed, ""
	}
	return health.KindDegraded, ""
}

// beyond finds the threshold that a value has reached.
func beyond(readings []health.Reading, over, under health.Kind) (health.Kind, string) {
	for _, r := range readings {
		t := r.Thresholds
		if t == nil || r.Derived {
			continue
		}
		// The worst first, so that the evidence names it.
		for _, l := range []struct {
			limit *float64
			name  string
		}{{t.UpperFatal, "upper fatal"}, {t.UpperCritical, "upper critical"}, {t.UpperCaution, "upper caution"}} {
			if l.limit != nil && r.Value >= *l.limit {
				return over, threshold(r, l.name, *l.limit)
			}
		}
		for _, l := range []struct {
			limit *float64
			name  string
		}{{t.LowerFatal, "lower fatal"}, {t.LowerCritical, "lower critical"}, {t.LowerCaution, "lower caution"}} {
			if l.limit != nil && r.Value <= *l.limit {
				return under, threshold(r, l.name, *l.limit)
			}
		}
	}
	return health.KindUnknown, ""
}

func threshold(r health.Reading, name string, limit float64) string {
	return fmt.Sprintf("%s %s, %s %s %s", number(r.Value), r.Unit, name, number(limit), r.Unit)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func isRollUp(c health.Class) bool {
	return c == health.ClassSystem || c == health.ClassChassis || c == health.ClassBMC
}

// rollUps judges the states that sum up the parts, last, when it is clear what the parts say.
func (p *pass) rollUps(s *health.Snapshot) {
	for i := range s.Components {
		c := &s.Components[i]
		if !isRollUp(c.Class) || c.StateNotRead || c.Presence == health.Absent {
			continue
		}
		_, seen := p.known.Components[c.ID]
		p.conditions(c, seen, true)
		if c.State == health.Warning || c.State == health.Critical {
			if !p.hasStateFault(c.ID) && p.explained(severityOf(c.State)) {
				continue
			}
		}
		p.state(c, seen, nil)
	}
}

func (p *pass) hasStateFault(id health.ComponentID) bool {
	for _, k := range p.faultsOf(id) {
		if p.open[k].Rule == RuleState {
			return true
		}
	}
	return false
}

// explained says whether a part's fault, found now or open when the visit began (roll-ups lag), is as severe.
func (p *pass) explained(severity health.Severity) bool {
	part := func(c health.Class, s health.Severity, rule string) bool {
		return s >= severity && !isRollUp(c) && c != health.ClassLog && rule != RuleMargin && rule != RuleEnvelope
	}
	for _, f := range p.wanted {
		if part(f.class, f.severity, f.rule) {
			return true
		}
	}
	for _, f := range p.known.Faults {
		if part(f.Class, f.Severity, f.Rule) {
			return true
		}
	}
	for i := range p.told { // the log tells of parts that are read more rarely than the roll-up
		if t := &p.told[i]; t.lasts && part(t.class, t.severity, RuleLog) {
			return true
		}
	}
	// A part whose own state is as bad, whatever rule its fault is of: humidity is judged by the envelope, and by the BMC too.
	bad := func(c *health.Component) bool {
		return !c.StateNotRead && (c.State == health.Warning || c.State == health.Critical) && part(c.Class, severityOf(c.State), RuleState)
	}
	for i := range p.visit.Snapshot.Components {
		if bad(&p.visit.Snapshot.Components[i]) {
			return true
		}
	}
	for _, k := range p.known.Components {
		if bad(&k.Component) {
			return true
		}
	}
	return false
}

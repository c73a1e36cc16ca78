package detect

import (
	"fmt"
	"slices"

	"dewline/health"
)

// RuleEnvelope is that of air outside the limits of its class.
const RuleEnvelope = "air_envelope"

// Condensation margins in kelvin: how far a cold part is above the dew point of its air. They count for margins that the service
// itself states; those that dewline computes are judged with their error and an alarm delay (package moisture).
const (
	MarginWarning    = 5.0
	MarginCritical   = 2.0
	MarginHysteresis = 0.5 // a fault lessens and ends this far above where it began
)

// margins judges condensation margins, and takes what was judged of the air already.
func (p *pass) margins(s *health.Snapshot) {
	if len(s.Judged) == 0 && !slices.ContainsFunc(s.Readings, func(r health.Reading) bool { return r.Quantity == health.CondensationMargin }) {
		return
	}
	components := map[health.ComponentID]*health.Component{}
	for i := range s.Components {
		components[s.Components[i].ID] = &s.Components[i]
	}
	judged := map[key]bool{}
	for _, j := range s.Judged {
		c := components[j.Component]
		if c == nil || c.Presence == health.Absent {
			continue
		}
		k := of(c.ID, j.Kind)
		judged[k] = true
		message := label(c, nil) + ": " + j.Evidence
		if j.Severity <= health.SeverityOK {
			p.denies(k, j.Rule, message, j.Evidence)
			continue
		}
		p.holds(finding{
			component: c.ID, class: c.Class, kind: j.Kind, severity: j.Severity, rule: j.Rule, message: label(c, nil) + ": " + plain(j.Kind) + " (" + j.Evidence + ")",
			evidence: words(j.Evidence), atStart: p.known.FirstSeen.IsZero(),
		})
	}
	for _, r := range s.Readings {
		c := components[r.Component]
		if r.Quantity != health.CondensationMargin || c == nil || c.Presence == health.Absent || judged[of(c.ID, health.KindCondensationRisk)] {
			continue
		}
		p.margin(c, r.Value)
	}
}

func (p *pass) margin(c *health.Component, margin float64) {
	k := of(c.ID, health.KindCondensationRisk)
	open, isOpen := p.open[k]
	warning, critical := MarginWarning, MarginCritical
	if isOpen {
		warning += MarginHysteresis
		if open.Severity >= health.SeverityCritical {
			critical += MarginHysteresis
		}
	}
	says := fmt.Sprintf("%.1f K above the dew point", margin)
	f := finding{
		component: c.ID, class: c.Class, kind: k.kind, rule: RuleMargin, message: label(c, nil) + " is " + says, evidence: []string{says},
		atStart: p.known.FirstSeen.IsZero(),
	}
	switch {
	case margin < critical:
		f.severity = health.SeverityCritical
	case margin < warning:
		f.severity = health.SeverityWarning
	default:
		p.denies(k, RuleMargin, f.message, says)
		return
	}
	p.holds(f)
}

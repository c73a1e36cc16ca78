package ipmi

import (
	"slices"
	"testing"

	"dewline/health"
)

// One reading past several thresholds asserts one kind: the worst. The kinds it left are named as over, so that a fault opened
// on the way up ends when the next one opens, and the other way round.
func TestOnlyTheWorstOfASensorIsAsserted(t *testing.T) {
	type step struct {
		crossed uint8
		state   health.State
		kind    health.Kind // asserted; empty: none
		why     string
	}
	down := func(low, high health.Kind, name string) []step {
		return []step{
			{0, health.OK, "", ""},
			{0x01, health.Warning, low, "threshold: lower non-critical"},
			{0x03, health.Critical, high, "threshold: lower critical"},
			{0x07, health.Critical, high, "threshold: lower non-recoverable"},
			{0x01, health.Warning, low, "threshold: lower non-critical"},
			{0, health.OK, "", ""},
			{0x09, health.Warning, "", name}, // low and high at once: one of them, whichever
			{0x3f, health.Critical, "", name},
		}
	}
	for _, x := range []struct {
		name  string
		rec   []byte
		kinds []health.Kind
		steps []step
	}{
		{"a fan", fullRecord(1, 1, typeFan, 18, "Fan 1"), []health.Kind{health.KindDegraded, health.KindFailed, health.KindOverThreshold},
			down(health.KindDegraded, health.KindFailed, "fan")},
		{"a temperature", fullRecord(1, 1, typeTemperature, 1, "T"), []health.Kind{health.KindOverThreshold, health.KindUnderThreshold},
			down(health.KindUnderThreshold, health.KindUnderThreshold, "temperature")},
	} {
		t.Run(x.name, func(t *testing.T) {
			d, err := decodeRecord(x.rec)
			if err != nil {
				t.Fatal(err)
			}
			p := newPart(d.sensors[0])
			for _, s := range x.steps {
				c := p.observe(raw{value: 20, scanning: true, has: true, states: uint16(s.crossed)}, p.factors, nil, health.HostOn).component
				var asserted []health.Condition
				var named []health.Kind
				for _, n := range c.Conditions {
					named = append(named, n.Kind)
					if n.Severity != health.SeverityOK {
						asserted = append(asserted, n)
					}
				}
				slices.Sort(named)
				if !slices.Equal(named, slices.Sorted(slices.Values(x.kinds))) || c.State != s.state {
					t.Errorf("crossed %#x: state %v, named %v", s.crossed, c.State, named)
				}
				switch {
				case s.crossed == 0 && len(asserted) != 0, s.crossed != 0 && len(asserted) != 1:
					t.Errorf("crossed %#x: asserted %+v", s.crossed, asserted)
				case s.kind != "" && (asserted[0].Kind != s.kind || asserted[0].Evidence != s.why):
					t.Errorf("crossed %#x: asserted %+v, want %s for %q", s.crossed, asserted[0], s.kind, s.why)
				}
			}
		})
	}
}

func TestGradesOfSeverityAreOneFault(t *testing.T) {
	c := discretePart(typeOther, eventSeverity, 0x7f, "Health").observe(raw{scanning: true, has: true, states: 0x06}, discretePart(typeOther, eventSeverity, 0x7f, "H").factors, nil, health.HostOn).component
	if sev, _ := conditionOf(c, health.KindFailed); sev != health.SeverityCritical {
		t.Errorf("failed: %v", sev)
	}
	if sev, named := conditionOf(c, health.KindDegraded); !named || sev != health.SeverityOK {
		t.Errorf("degraded: %v, named %v", sev, named)
	}
}

package detect_test

import (
	"testing"

	"dewline/health"
)

// A wet detector that goes away, or is reported absent, has not become dry: the leak stays until the detector itself says otherwise.
func TestAWetDetectorThatGoesAwayHasNotDried(t *testing.T) {
	fan := part("fan/1", health.ClassFan, health.OK)
	wet := part("leak/1", health.ClassLeakDetector, health.Critical, cond(health.KindLeakDetected, health.SeverityCritical))
	dry := part("leak/1", health.ClassLeakDetector, health.OK, cond(health.KindLeakDetected, health.SeverityOK))
	absent := part("leak/1", health.ClassLeakDetector, health.Unknown, cond(health.KindDetectorFault, health.SeverityWarning))
	absent.Presence = health.Absent
	for name, away := range map[string]*health.Snapshot{"no longer listed": snap(fan), "reported absent": snap(fan, absent)} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.visit(snap(fan, part("leak/1", health.ClassLeakDetector, health.OK)))
			m.expect(m.visit(snap(fan, wet)), "leak/1 leak_detected critical asserted")
			m.expect(m.visit(away), "leak/1 detector_fault warning asserted")
			m.visit(away)
			if open := m.open(); len(open) != 2 {
				t.Fatalf("open: %q", open)
			}
			m.visit(snap(fan, dry, part("fan/2", health.ClassFan, health.OK)))
			for _, f := range m.known.Faults {
				if f.Kind == health.KindLeakDetected {
					t.Errorf("dry again, and still open: %+v", f)
				}
			}
		})
	}
}

// What dewline judges of the air is a fault by its own rule: it neither explains what the service says of the sensor, nor is it cleared by it.
func TestWhatIsJudgedOfTheAirAndWhatTheServiceSays(t *testing.T) {
	judged := func(state, air health.Severity) *health.Snapshot {
		states := map[health.Severity]health.State{health.SeverityOK: health.OK, health.SeverityWarning: health.Warning}
		s := snap(part("humidity/1", health.ClassHumidity, states[state]))
		s.Judged = []health.Judgement{{Component: "humidity/1", Kind: health.KindHumidityHigh, Severity: air, Rule: "air_envelope", Evidence: "85 %"}}
		limit := 80.0
		s.Readings = []health.Reading{{Component: "humidity/1", Quantity: health.RelativeHumidity, Unit: health.Percent, Value: 79, Thresholds: &health.Thresholds{UpperCaution: &limit}}}
		if state > health.SeverityOK {
			s.Readings[0].Value = 85
		}
		return s
	}
	const ok, warning = health.SeverityOK, health.SeverityWarning
	m := newMachine(t)
	m.visit(judged(ok, ok))
	m.expect(m.visit(judged(ok, warning)), "humidity/1 humidity_high warning asserted")
	m.expect(m.visit(judged(warning, warning)))
	m.expect(m.visit(judged(warning, ok))) // the service still says so
	m.expect(m.visit(judged(ok, warning))) // now the limits of the air do
	m.expect(m.visit(judged(ok, ok)), "humidity/1 humidity_high ok cleared")
	m.expect(m.visit(judged(warning, ok)), "humidity/1 humidity_high warning asserted")
	s := judged(ok, ok)
	s.Judged = nil
	m.expect(m.visit(s), "humidity/1 humidity_high ok cleared") // nothing judged: the service's word ends what it began
}

// A wet detector that is exchanged has not dried the floor: the leak stays until the new one says that it is dry.
func TestAWetDetectorThatIsExchangedHasNotDried(t *testing.T) {
	detector := func(serial string, s health.State, cs ...health.Condition) *health.Snapshot {
		c := part("leak/1", health.ClassLeakDetector, s, cs...)
		c.Serial = serial
		return snap(c)
	}
	m := newMachine(t)
	m.visit(detector("A", health.OK, cond(health.KindLeakDetected, health.SeverityOK)))
	m.expect(m.visit(detector("A", health.Critical, cond(health.KindLeakDetected, health.SeverityCritical))), "leak/1 leak_detected critical asserted")
	m.expect(m.visit(detector("B", health.Unknown)), "leak/1 inserted info momentary")
	if open := m.open(); len(open) != 1 {
		t.Fatalf("open: %q", open)
	}
	m.expect(m.visit(detector("B", health.OK, cond(health.KindLeakDetected, health.SeverityOK))), "leak/1 leak_detected ok cleared")
}

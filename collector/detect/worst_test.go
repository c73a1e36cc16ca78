package detect_test

import (
	"testing"

	"dewline/health"
)

// As a driver names the thresholds of one sensor: only the worst is asserted, the other kinds are named as not so. At any time
// one fault is open.
func TestAThresholdSensorHasOneOpenFaultAtATime(t *testing.T) {
	ok, warning, critical := health.SeverityOK, health.SeverityWarning, health.SeverityCritical
	type step struct {
		state      health.State
		conditions []health.Condition
		events     []string
		open       int
	}
	for _, x := range []struct {
		name  string
		id    health.ComponentID
		class health.Class
		steps []step
	}{
		{"a fan that slows, stops and recovers", "fan/1", health.ClassFan, []step{
			{health.OK, []health.Condition{cond(health.KindDegraded, ok), cond(health.KindFailed, ok)}, nil, 0},
			{health.Warning, []health.Condition{cond(health.KindDegraded, warning), cond(health.KindFailed, ok)}, []string{"fan/1 degraded warning asserted"}, 1},
			{health.Critical, []health.Condition{cond(health.KindDegraded, ok), cond(health.KindFailed, critical)},
				[]string{"fan/1 degraded ok cleared", "fan/1 failed critical asserted"}, 1},
			{health.Warning, []health.Condition{cond(health.KindDegraded, warning), cond(health.KindFailed, ok)},
				[]string{"fan/1 failed ok cleared", "fan/1 degraded warning asserted"}, 1},
			{health.OK, []health.Condition{cond(health.KindDegraded, ok), cond(health.KindFailed, ok)}, []string{"fan/1 degraded ok cleared"}, 0},
		}},
		{"a temperature that rises and falls", "temp/1", health.ClassTemperature, []step{
			{health.OK, []health.Condition{cond(health.KindOverThreshold, ok), cond(health.KindUnderThreshold, ok)}, nil, 0},
			{health.Warning, []health.Condition{cond(health.KindOverThreshold, warning), cond(health.KindUnderThreshold, ok)}, []string{"temp/1 over_threshold warning asserted"}, 1},
			{health.Critical, []health.Condition{cond(health.KindOverThreshold, critical), cond(health.KindUnderThreshold, ok)}, []string{"temp/1 over_threshold critical escalated"}, 1},
			{health.Warning, []health.Condition{cond(health.KindOverThreshold, warning), cond(health.KindUnderThreshold, ok)}, []string{"temp/1 over_threshold warning deescalated"}, 1},
			{health.OK, []health.Condition{cond(health.KindOverThreshold, ok), cond(health.KindUnderThreshold, ok)}, []string{"temp/1 over_threshold ok cleared"}, 0},
		}},
		{"without conditions, a fan by its state alone", "fan/2", health.ClassFan, []step{
			{health.Warning, nil, []string{"fan/2 degraded warning asserted at start"}, 1},
			{health.Critical, nil, []string{"fan/2 degraded ok cleared", "fan/2 failed critical asserted"}, 1},
			{health.Warning, nil, []string{"fan/2 failed ok cleared", "fan/2 degraded warning asserted"}, 1},
			{health.OK, nil, []string{"fan/2 degraded ok cleared"}, 0},
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			m := newMachine(t)
			for _, s := range x.steps {
				m.expect(m.visit(snap(part(x.id, x.class, s.state, s.conditions...))), s.events...)
				if n := len(m.known.Faults); n != s.open {
					t.Fatalf("%d open faults, want %d: %q", n, s.open, m.open())
				}
			}
		})
	}
}

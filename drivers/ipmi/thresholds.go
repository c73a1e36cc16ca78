package ipmi

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"dewline/health"
	"dewline/internal/quirk"
)

// thresholds of a sensor as raw values, LNC LC LNR UNC UC UNR, and the mask of those that mean something.
type thresholds struct {
	mask uint8
	raw  [6]uint8
}

// thresholds in force: as last asked for, else as the record says if the record's are those the sensor was set to.
func (v *visit) thresholds(p *part) *thresholds {
	if t, ok := v.mem.Thresholds[p.key.String()]; ok {
		return &thresholds{t[0], [6]uint8(t[1:])}
	}
	if p.limitsSet && p.mask&0x3f != 0 {
		return &thresholds{uint8(p.mask) & 0x3f, p.limits}
	}
	return nil
}

// limitsOf converts thresholds to the reading's unit. Functions that fall (1/x) and negative factors turn lower into upper:
// as stated is how they are given, since the BMC compares raw values.
func (p *part) limitsOf(t *thresholds) *health.Thresholds {
	if t == nil || t.mask&0x3f == 0 {
		return nil
	}
	var out health.Thresholds
	for i, to := range []**float64{
		&out.LowerCaution, &out.LowerCritical, &out.LowerFatal, &out.UpperCaution, &out.UpperCritical, &out.UpperFatal,
	} {
		if t.mask&(1<<i) == 0 {
			continue
		}
		if x := p.measure.value(&p.sensor, t.raw[i], p.factors); !math.IsNaN(x) && math.Abs(x) <= maxNumber {
			*to = &x
		}
	}
	if out == (health.Thresholds{}) {
		return nil
	}
	return &out
}

// readThresholds asks every sensor that can tell for its thresholds in force (section 35.9).
func (v *visit) readThresholds(ctx context.Context) error {
	got := map[string][7]uint8{}
	left := 0
	defer func() {
		if left > 0 {
			v.gap(health.Gap{
				Part: fmt.Sprintf("thresholds of %d sensors", left), Place: "thresholds", Reason: health.ReasonBudget,
				Error: "a slow BMC: those known before, or of the records, stand in",
			})
		}
	}()
	for _, p := range v.mem.SDR.sensors {
		if p.eventOnly || !p.canAsk || p.measure == nil || p.unreadable() != "" && !v.quirk(quirk.BMCOwnsSensors) {
			continue
		}
		if v.spent(forLimits) {
			left++
			if old, ok := v.mem.Thresholds[p.key.String()]; ok {
				got[p.key.String()] = old
			}
			continue
		}
		b, err := v.c.call(ctx, command{
			op: "get sensor thresholds " + p.name, netFn: netFnSensor, cmd: 0x27, lun: p.key.lun, data: []byte{p.key.number}, want: 7,
		})
		if err != nil {
			if !isAnyCode(err) && !isRecordError(err) {
				return err
			}
			if !isCode(err, codeNotPresent, codeNotInThisState, codeInvalidCommand, codeIllegalForType) {
				v.gap(health.Gap{Part: "thresholds of sensor " + p.name, Component: p.id, Reason: health.ReasonFor(err), Error: clip(err.Error())})
			}
			if old, ok := v.mem.Thresholds[p.key.String()]; ok {
				got[p.key.String()] = old
			}
			continue
		}
		got[p.key.String()] = [7]uint8(b[:7])
	}
	v.mem.Thresholds = got
	return nil
}

// addConditions sets a component's conditions, in a fixed order, and the state that follows from them: what was read and is
// not so counts for it, what is so against it.
func addConditions(s *health.Component, byKind map[health.Kind]health.Condition) {
	for _, x := range byKind {
		s.Conditions = append(s.Conditions, x)
	}
	slices.SortFunc(s.Conditions, func(a, b health.Condition) int { return cmp.Compare(a.Kind, b.Kind) })
	s.State = health.OK
	for _, x := range s.Conditions {
		switch {
		case x.Kind == health.KindDetectorFault && x.Severity == health.SeverityOK:
		case x.Severity == critical:
			s.State = health.Critical
		case x.Severity == warning && s.State != health.Critical:
			s.State = health.Warning
		}
	}
}

package ipmi

import (
	"context"

	"dewline/health"
)

// chassisFault is one bit of Get Chassis Status (IPMI 2.0 section 28.2).
type chassisFault struct {
	byte, bit uint8
	effect    effect
	words     string
}

// chassisParts are what chassis status tells about. Each is a component of its own, so that a drive fault and a fan fault are
// two faults.
var chassisParts = []struct {
	id     health.ComponentID
	class  health.Class
	name   string
	faults []chassisFault
}{
	{"chassis/Chassis power", health.ClassChassis, "Chassis power", []chassisFault{
		{0, 1, fault(critical, health.KindInputOutOfRange), "power overload"},
		{0, 3, fault(critical, health.KindFailed), "main power fault"},
		{0, 4, fault(critical, health.KindDegraded), "power control fault"},
	}},
	{"chassis/Chassis drives", health.ClassChassis, "Chassis drives", []chassisFault{
		{2, 2, fault(critical, health.KindFailed), "drive fault"},
	}},
	{"chassis/Chassis cooling", health.ClassChassis, "Chassis cooling", []chassisFault{
		{2, 3, fault(critical, health.KindFailed), "cooling or fan fault"},
	}},
	{"intrusion/Chassis intrusion", health.ClassIntrusion, "Chassis intrusion", []chassisFault{
		{2, 0, fault(warning, health.KindIntrusion), "chassis intrusion active"},
	}},
}

// readChassis reads host power and the chassis' own fault bits: one exchange.
func (v *visit) readChassis(ctx context.Context) error {
	b, err := v.c.call(ctx, command{op: "get chassis status", netFn: netFnChassis, cmd: 0x01, want: 3})
	if err != nil {
		if isCode(err, codeInvalidCommand, codeInvalidForLUN) { // satellites and shelves have no chassis
			return nil
		}
		v.gap(health.Gap{Part: "chassis status", Place: placeChassis, Reason: health.ReasonFor(err), Error: clip(err.Error())})
		return err
	}
	v.snap.HostPower = health.HostOff
	if b[0]&1 != 0 {
		v.snap.HostPower = health.HostOn
	}
	v.snap.Components = append(v.snap.Components, chassisComponents([3]uint8(b))...)
	v.scope(placeChassis)
	return nil
}

// linkIntrusion says of which sensor the chassis' own bit is a repetition. It comes after the records were read.
func (v *visit) linkIntrusion() {
	for i := range v.snap.Components {
		if c := &v.snap.Components[i]; c.Class == health.ClassIntrusion && c.Place == placeChassis {
			c.Of = v.intrusionSensor()
		}
	}
}

// intrusionSensor is the one sensor of physical security, where there is one: the chassis' bit repeats it.
func (v *visit) intrusionSensor() (id health.ComponentID) {
	if v.mem.SDR == nil {
		return ""
	}
	for _, p := range v.mem.SDR.sensors {
		if p.typ == typePhysicalSecurity && p.event == eventSpecific && p.id != "" {
			if id != "" {
				return ""
			}
			id = p.id
		}
	}
	return id
}

func chassisComponents(b [3]uint8) []health.Component {
	var out []health.Component
	for _, p := range chassisParts {
		c := health.Component{
			ID: p.id, Class: p.class, Name: p.name, Presence: health.Present, Place: placeChassis, Tier: health.TierReadings,
			Status: "no fault reported",
		}
		conditions := map[health.Kind]health.Condition{}
		for _, f := range p.faults {
			sev := health.SeverityOK
			if b[f.byte]&(1<<f.bit) != 0 {
				sev, c.Status = f.effect.severity, f.words
			}
			conditions[f.effect.kind] = health.Condition{Kind: f.effect.kind, Severity: sev, Evidence: "chassis status: " + f.words}
		}
		addConditions(&c, conditions)
		out = append(out, c)
	}
	return out
}

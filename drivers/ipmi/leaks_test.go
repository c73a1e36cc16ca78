package ipmi

import (
	"strings"
	"testing"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
)

// What tells a presence, a use or a role tells nothing of water: any change from what was first seen may be water, and no state
// of it is a dry floor. Read and logged alike.
func TestARopeWhoseStatesAreNotOfWaterIsWatchedForChange(t *testing.T) {
	for name, c := range map[string]struct {
		typ, event uint8
		first, now uint16
		logged     uint8 // offset that is asserted in the log
	}{
		"device absent, then present (08h)":   {typeCooling, eventPresence, 1, 2, 1},
		"device present, then absent (08h)":   {typeCooling, eventPresence, 2, 1, 0},
		"disabled, then enabled (09h)":        {0x0b, eventEnabled, 1, 2, 1},
		"running, then degraded (0Ah)":        {0x0b, eventAvailability, 1, 0x40, 6},
		"fully redundant, then not (0Bh)":     {typeCooling, eventRedundancy, 1, 2, 1},
		"idle, then active (02h)":             {0x0b, eventUsage, 1, 2, 1},
		"an entity that was absent (25h/6Fh)": {typeEntityPresence, eventSpecific, 2, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			now := c.first
			f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{0, 0xc0, byte(now), byte(now >> 8)}, nil })
			v := f.visit(health.TierReadings)
			p := newPart(sensor{key: sensorKey{addrBMC, 0, 9}, name: "Leak Rope", typ: c.typ, event: c.event, mask: 0x7f, unit: types.SensorUnit{AnalogDataFormat: 3}})
			o, err := v.read(t.Context(), p)
			if sev, named := conditionOf(o.component, health.KindLeakDetected); err != nil || p.class != health.ClassLeakDetector || !named || sev != health.SeverityOK || o.component.State != health.Unknown {
				t.Errorf("as first seen: %+v %v", o.component, err)
			}
			e := health.LogEntry{SEL: &health.SELEvent{SensorType: c.typ, EventType: c.event, Data: [3]byte{c.logged}}}
			v.interpret(&e, p.class, p)
			if e.Kind != health.KindLeakDetected || e.Severity != warning || e.Cleared {
				t.Errorf("logged: %+v", e)
			}
			now = c.now
			o, err = v.read(t.Context(), p)
			if sev, _ := conditionOf(o.component, health.KindLeakDetected); err != nil || sev != warning || o.component.State != health.Warning ||
				!strings.Contains(o.component.Status, "possible leak, polarity unconfirmed") {
				t.Errorf("after the change: %+v %v", o.component, err)
			}
		})
	}
}

// What would be a fault of any other sensor is no dry floor when a detector is first seen with it.
func TestARopeThatIsFirstSeenWithAFaultIsAPossibleLeak(t *testing.T) {
	for name, p := range map[string]*part{
		"intrusion":        discretePart(typePhysicalSecurity, eventSpecific, 0x7f, "Water Leak"),
		"degraded":         discretePart(0x0b, eventAvailability, 0x1ff, "Leak Rope"),
		"entity disabled":  discretePart(typeEntityPresence, eventSpecific, 7, "Flood"),
		"asserted, as 03h": discretePart(typeCooling, eventState, 3, "Rope 1"),
	} {
		states := map[string]uint16{"intrusion": 1, "degraded": 0x40, "entity disabled": 4, "asserted, as 03h": 2}[name]
		f := newFake(t)
		f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{0, 0xc0, byte(states), byte(states >> 8)}, nil })
		o, err := f.visit(health.TierReadings).read(t.Context(), p)
		if sev, _ := conditionOf(o.component, health.KindLeakDetected); err != nil || sev != warning || o.component.State != health.Warning {
			t.Errorf("%s: %+v %v", name, o.component, err)
		}
	}
}

// A rope that is closed while dry states "asserted" for dry: any change from what was first seen may be water.
func TestARopeOfEitherPolarityIsNoticed(t *testing.T) {
	for name, states := range map[string][2]byte{"wet is asserted": {1, 2}, "dry is asserted": {2, 1}, "nothing asserted while dry": {0, 2}} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			now := states[0]
			f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{0, 0xc0, now, 0}, nil })
			v := f.visit(health.TierReadings)
			p := discretePart(typeCooling, eventState, 3, "Rope 1")
			if _, err := v.read(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			now = states[1]
			o, err := v.read(t.Context(), p)
			if sev, _ := conditionOf(o.component, health.KindLeakDetected); err != nil || sev != health.SeverityWarning || o.component.State != health.Warning {
				t.Errorf("%+v %v", o.component, err)
			}
		})
	}
}

func TestAProfileConfirmsPolarity(t *testing.T) {
	rope := func(name string) *part {
		return newPart(sensor{key: sensorKey{addrBMC, 0, 9}, name: name, typ: typeCooling, event: eventState, mask: 3, entity: 7, unit: types.SensorUnit{AnalogDataFormat: 3}})
	}
	for name, c := range map[string]struct {
		sensor  string
		profile LeakProfile
		states  uint16
		state   health.State
		leak    health.Severity
		named   bool
	}{
		"wet":                                {"Rope 1", LeakProfile{Sensor: "rope 1", Wet: []int{0}, Dry: []int{1}}, 1, health.Critical, critical, true},
		"dry":                                {"Rope 1", LeakProfile{Sensor: "Rope 1", Wet: []int{0}, Dry: []int{1}}, 2, health.OK, health.SeverityOK, true},
		"both: wet":                          {"Rope 1", LeakProfile{Sensor: "Rope 1", Wet: []int{0}, Dry: []int{1}}, 3, health.Critical, critical, true},
		"neither state is no dry floor":      {"Rope 1", LeakProfile{Sensor: "Rope 1", Wet: []int{0}, Dry: []int{1}}, 0, health.Unknown, 0, false},
		"not wet is dry where none is named": {"Rope 1", LeakProfile{Sensor: "Rope 1", Wet: []int{0}}, 2, health.OK, health.SeverityOK, true},
		"a name that says nothing":           {"Zone 7", LeakProfile{Sensor: "Zone 7", Wet: []int{1}}, 2, health.Critical, critical, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := rope(c.sensor)
			r := &repository{sensors: []*part{p}}
			r.confirm([]LeakProfile{c.profile})
			if p.class != health.ClassLeakDetector || p.id != health.ComponentID("leak_detector/"+c.sensor) {
				t.Fatalf("%s is a %s", p.id, p.class)
			}
			o := p.observe(raw{states: c.states, has: true, scanning: true}, p.factors, nil, health.HostOn)
			sev, named := conditionOf(o.component, health.KindLeakDetected)
			if o.component.State != c.state || sev != c.leak || named != c.named {
				t.Errorf("%+v", o.component)
			}
			e := health.LogEntry{SEL: &health.SELEvent{SensorType: typeCooling, EventType: eventState, Data: [3]byte{byte(c.profile.Wet[0])}}}
			newFake(t).visit(health.TierEvents).interpret(&e, p.class, p)
			if e.Kind != health.KindLeakDetected || e.Severity != critical || e.Cleared {
				t.Errorf("logged: %+v", e)
			}
		})
	}
}

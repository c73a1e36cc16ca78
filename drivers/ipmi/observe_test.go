package ipmi

import (
	"testing"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
)

func discretePart(typ, event uint8, mask uint16, name string) *part {
	return newPart(sensor{key: sensorKey{addrBMC, 0, 9}, name: name, typ: typ, event: event, mask: mask, entity: 7, unit: types.SensorUnit{AnalogDataFormat: 3}})
}

func TestDiscreteStates(t *testing.T) {
	for _, x := range []struct {
		name       string
		part       *part
		states     uint16
		state      health.State
		presence   health.Presence
		kind       health.Kind
		severity   health.Severity
		notNamed   bool
		hostPower  health.HostPower
		notScanned bool
	}{
		{name: "a supply that is there and well", part: discretePart(typePSU, eventSpecific, 0x7f, "P"), states: 1, state: health.OK, presence: health.Present, kind: health.KindFailed, severity: health.SeverityOK},
		{name: "a supply without input", part: discretePart(typePSU, eventSpecific, 0x7f, "P"), states: 9, state: health.Critical, presence: health.Present, kind: health.KindInputLost, severity: health.SeverityCritical},
		{name: "a supply's predicted failure is a warning", part: discretePart(typePSU, eventSpecific, 0x7f, "P"), states: 5, state: health.Warning, presence: health.Present, kind: health.KindPredictedFailure, severity: health.SeverityWarning},
		{name: "an empty bay is not well", part: discretePart(typePSU, eventSpecific, 0x7f, "P"), states: 0, state: health.Unknown, presence: health.Absent, kind: health.KindFailed, notNamed: true},
		{name: "a record without mask cannot tell absence", part: discretePart(typePSU, eventSpecific, 0, "P"), states: 0, state: health.OK, presence: health.PresenceUnknown, kind: health.KindFailed, severity: health.SeverityOK},
		{name: "redundant", part: discretePart(typePowerUnit, eventRedundancy, 0xff, "R"), states: 1, state: health.OK, kind: health.KindRedundancyLost, severity: health.SeverityOK},
		{name: "redundancy lost", part: discretePart(typePowerUnit, eventRedundancy, 0xff, "R"), states: 2, state: health.Warning, kind: health.KindRedundancyLost, severity: health.SeverityWarning},
		{name: "insufficient", part: discretePart(typePowerUnit, eventRedundancy, 0xff, "R"), states: 0x20, state: health.Critical, kind: health.KindRedundancyLost, severity: health.SeverityCritical},
		{name: "redundancy that says nothing", part: discretePart(typePowerUnit, eventRedundancy, 0xff, "R"), states: 0, state: health.Unknown, kind: health.KindRedundancyLost, notNamed: true},
		{name: "a state whose polarity is the vendor's", part: discretePart(typePSU, eventState, 3, "P"), states: 2, state: health.Unknown, kind: health.KindFailed, notNamed: true},
		{name: "a rebuild is no fault of state", part: discretePart(typeDriveSlot, eventSpecific, 0x1ff, "D"), states: 0x81, state: health.OK, presence: health.Present, kind: health.KindRebuild, severity: health.SeverityInfo},
		{name: "a drive of a host that is off", part: discretePart(typeDriveSlot, eventSpecific, 0x1ff, "D"), states: 1, hostPower: health.HostOff, state: health.Unknown, kind: health.KindFailed, notNamed: true},
		{name: "a sensor that does not scan", part: discretePart(typeDriveSlot, eventSpecific, 0x1ff, "D"), states: 1, notScanned: true, state: health.Unknown, kind: health.KindFailed, notNamed: true},
		{name: "a leak detector that does not scan", part: discretePart(typeCooling, eventState, 3, "Leak"), states: 1, notScanned: true, state: health.Unknown, kind: health.KindDetectorFault, severity: health.SeverityWarning},
		{name: "a leak detector with severities", part: discretePart(typeOther, eventSeverity, 0xf, "Leak"), states: 4, state: health.Critical, kind: health.KindLeakDetected, severity: health.SeverityCritical},
		{name: "a leak detector that says dry", part: discretePart(typeOther, eventSeverity, 0xf, "Leak"), states: 1, state: health.OK, kind: health.KindLeakDetected, severity: health.SeverityOK},
		{name: "a state outside the mask", part: discretePart(typeDriveSlot, eventSpecific, 1, "D"), states: 3, state: health.Unknown, presence: health.Present, kind: health.KindFailed, notNamed: true},
		{name: "a log that was cleared once, for ever set", part: discretePart(typeEventLog, eventSpecific, 0x3f, "L"), states: 4, state: health.OK, kind: health.KindLogCleared, notNamed: true},
		{name: "a lid that is open", part: discretePart(typePhysicalSecurity, eventSpecific, 0x7f, "I"), states: 1, state: health.Warning, kind: health.KindIntrusion, severity: health.SeverityWarning},
		{name: "a present sensor that knows no health", part: discretePart(typePSU, eventPresence, 3, "P"), states: 2, state: health.Unknown, presence: health.Present, kind: health.KindFailed, notNamed: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			power := x.hostPower
			if power == health.HostPowerUnknown {
				power = health.HostOn
			}
			o := x.part.observe(raw{scanning: !x.notScanned, has: true, states: x.states}, types.ReadingFactors{}, nil, power)
			c := o.component
			sev, named := conditionOf(c, x.kind)
			if c.State != x.state || c.Presence != x.presence || named == x.notNamed || sev != x.severity || o.gap != nil || c.Status == "" {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestThresholdStates(t *testing.T) {
	fan := func(change func(*sensor)) *part {
		d, err := decodeRecord(fullRecord(1, 1, typeFan, 18, "Fan 1"))
		if err != nil {
			t.Fatal(err)
		}
		change(&d.sensors[0])
		return newPart(d.sensors[0])
	}
	same := func(*sensor) {}
	for _, x := range []struct {
		name  string
		part  *part
		raw   raw
		state health.State
		value bool
	}{
		{"within", fan(same), raw{value: 60, scanning: true, has: true, states: 0xc0}, health.OK, true},
		{"slow", fan(same), raw{value: 9, scanning: true, has: true, states: 1}, health.Warning, true},
		{"far too slow", fan(same), raw{value: 5, scanning: true, has: true, states: 3}, health.Critical, true},
		{"reserved bits say nothing", fan(same), raw{value: 60, scanning: true, has: true, states: 0xc0}, health.OK, true},
		{"a crossing the record does not promise", fan(func(s *sensor) { s.returned = 0x38 }), raw{value: 5, scanning: true, has: true, states: 3}, health.OK, true},
		{"no thresholds: standing still is not well", fan(func(s *sensor) { s.returned, s.mask = 0, 0 }), raw{value: 0, scanning: true, has: true}, health.Unknown, true},
		{"a short answer", fan(same), raw{value: 60, scanning: true}, health.Unknown, true},
		{"unavailable", fan(same), raw{value: 60, scanning: true, unavailable: true, has: true}, health.Unknown, false},
		{"not scanning", fan(same), raw{value: 60, has: true}, health.Unknown, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			o := x.part.observe(x.raw, x.part.factors, nil, health.HostOn)
			if o.component.State != x.state || (o.reading != nil) != x.value || o.gap != nil {
				t.Errorf("%+v %+v", o.component, o.reading)
			}
		})
	}
	t.Run("a reading that converts to no number", func(t *testing.T) {
		p := fan(func(s *sensor) { s.linear = types.LinearizationFunc_1X })
		o := p.observe(raw{value: 0, scanning: true, has: true}, p.factors, nil, health.HostOn)
		if o.reading != nil || o.gap == nil || o.gap.Reason != health.ReasonMalformed {
			t.Errorf("%+v", o)
		}
	})
}

func TestANonLinearSensorIsAskedForItsFactors(t *testing.T) {
	f := newFake(t)
	f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{100, 0xc0, 0}, nil })
	f.on(netFnSensor, 0x23, func(c command) ([]byte, error) {
		if c.data[1] != 100 {
			t.Errorf("asked for raw %d", c.data[1])
		}
		return []byte{101, 3, 0, 5, 0, 0, 0x10}, nil // M 3, B 5, result exponent 1
	})
	d, err := decodeRecord(fullRecord(1, 1, typeTemperature, 1, "T"))
	if err != nil {
		t.Fatal(err)
	}
	d.sensors[0].linear = 0x70
	p := newPart(d.sensors[0])
	o, err := f.visit(health.TierReadings).read(t.Context(), p)
	if err != nil || o.reading == nil || o.reading.Value != 3050 {
		t.Errorf("%+v %v", o, err)
	}
}

func TestRefusalsOfASensor(t *testing.T) {
	for _, x := range []struct {
		name    string
		code    uint8
		reason  health.Reason // "": the answer says why, no gap
		notRead bool
	}{
		{"not present", codeNotPresent, "", false},
		{"not in this state", codeNotInThisState, "", false},
		{"privilege", codePrivilege, health.ReasonDenied, true},
		{"unspecified", codeUnspecified, health.ReasonServerError, true},
		{"busy", codeNodeBusy, health.ReasonBusy, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFake(t)
			f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return nil, refusal(x.code) })
			p := discretePart(typeDriveSlot, eventSpecific, 0x1ff, "D")
			o, _ := f.visit(health.TierReadings).read(t.Context(), p)
			if (o.gap == nil) != (x.reason == "") || o.component.StateNotRead != x.notRead || o.component.State != health.Unknown {
				t.Fatalf("%+v", o)
			}
			if o.gap != nil && o.gap.Reason != x.reason {
				t.Errorf("%+v", o.gap)
			}
		})
	}
}

func TestALeakDetectorOfUnknownPolarityIsNeverCalledDry(t *testing.T) {
	f := newFake(t)
	states := byte(0)
	f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{0, 0xc0, states, 0}, nil })
	oem := newPart(sensor{key: sensorKey{addrBMC, 0, 9}, name: "Leak OEM", typ: 0xc8, event: eventSpecific, mask: 7, unit: types.SensorUnit{AnalogDataFormat: 3}})
	generic := discretePart(typeCooling, eventState, 3, "Water Leak")
	v := f.visit(health.TierReadings)
	for _, x := range []struct {
		part   *part
		states byte
		state  health.State
		leak   health.Severity
	}{
		{generic, 1, health.Unknown, health.SeverityOK}, {generic, 2, health.Warning, health.SeverityWarning},
		{generic, 1, health.Unknown, health.SeverityOK},
		{oem, 1, health.Unknown, health.SeverityOK}, {oem, 2, health.Warning, health.SeverityWarning}, {oem, 1, health.Unknown, health.SeverityOK},
	} {
		states = x.states
		o, err := v.read(t.Context(), x.part)
		sev, _ := conditionOf(o.component, health.KindLeakDetected)
		if err != nil || o.component.State != x.state || sev != x.leak {
			t.Errorf("%s with states %x: %+v %v", x.part.name, x.states, o.component, err)
		}
	}
}

func TestChassisStatus(t *testing.T) {
	f := newFake(t)
	f.on(netFnChassis, 1, func(command) ([]byte, error) { return []byte{0x09, 0, 0x0d}, nil })
	v := f.visit(health.TierReadings)
	if err := v.readChassis(t.Context()); err != nil || v.snap.HostPower != health.HostOn {
		t.Fatalf("%v %v", v.snap.HostPower, err)
	}
	for id, kind := range map[health.ComponentID]health.Kind{
		"chassis/Chassis power": health.KindFailed, "chassis/Chassis drives": health.KindFailed,
		"chassis/Chassis cooling": health.KindFailed, "intrusion/Chassis intrusion": health.KindIntrusion,
	} {
		if sev, _ := conditionOf(componentOf(t, v.snap, id), kind); sev < health.SeverityWarning {
			t.Errorf("%s: %v", id, sev)
		}
	}
}

func TestDCMIPower(t *testing.T) {
	f := newFake(t)
	answer := []byte{0xdc, 0x39, 0, 0x38, 0, 0x3b, 0, 0x39, 0, 0xe3, 0x6f, 0x0a, 0x39, 0xe8, 3, 0, 0, 0x40}
	f.on(netFnGroup, 2, func(c command) ([]byte, error) { return answer, nil })
	v := f.visit(health.TierReadings)
	if err := v.readDCMI(t.Context()); err != nil || v.mem.DCMI != dcmiYes || len(v.snap.Readings) != 1 || v.snap.Readings[0].Value != 57 {
		t.Errorf("%+v %v", v.snap.Readings, err)
	}
	answer[17] = 0
	v = f.visit(health.TierReadings)
	if err := v.readDCMI(t.Context()); err != nil || len(v.snap.Readings) != 0 || len(v.snap.Components) != 1 {
		t.Errorf("inactive: %+v %v", v.snap.Readings, err)
	}
	f = newFake(t)
	v = f.visit(health.TierReadings)
	for range 3 {
		if err := v.readDCMI(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if f.total != 1 || v.mem.DCMI != dcmiNo {
		t.Errorf("a BMC without DCMI is asked %d times", f.total)
	}
}

func TestWhatConvertsToNoNumberIsNoReading(t *testing.T) {
	for _, x := range []struct {
		name    string
		linear  types.LinearizationFunc
		factors types.ReadingFactors
		raw     uint8
	}{
		{"the tenth power, past every float", types.LinearizationFunc_EXP10, types.ReadingFactors{M: 511, R_Exp: 7}, 255},
		{"the tenth power, within the floats and past all sense", types.LinearizationFunc_EXP10, types.ReadingFactors{M: 2}, 154},
		{"e to the power, past every float", types.LinearizationFunc_E, types.ReadingFactors{M: 511, R_Exp: 3}, 255},
		{"the logarithm of nothing", types.LinearizationFunc_LN, types.ReadingFactors{M: 1}, 0},
		{"the logarithm of less", types.LinearizationFunc_LOG10, types.ReadingFactors{M: -1}, 9},
		{"one by nothing", types.LinearizationFunc_1X, types.ReadingFactors{M: 1}, 0},
		{"the root of less than nothing", types.LinearizationFunc_SQRT, types.ReadingFactors{M: -1}, 9},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFake(t)
			f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{x.raw, 0xc0, 0}, nil })
			d, err := decodeRecord(fullRecord(1, 1, typeTemperature, 1, "T"))
			if err != nil {
				t.Fatal(err)
			}
			d.sensors[0].linear, d.sensors[0].factors = x.linear, x.factors
			o, err := f.visit(health.TierReadings).read(t.Context(), newPart(d.sensors[0]))
			if err != nil || o.reading != nil || o.gap == nil || o.gap.Reason != health.ReasonMalformed {
				t.Errorf("reading %+v, gap %+v, %v", o.reading, o.gap, err)
			}
		})
	}
}

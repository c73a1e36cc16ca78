package bmcsim

import (
	"fmt"
	"math"
)

// Sensor types, entities and units of the IPMI tables 42-3, 43-13, 43-15.
const (
	typeTemperature, typeVoltage, typeFan        = 0x01, 0x02, 0x04
	typePhysicalSecurity, typePSU, typePowerUnit = 0x05, 0x08, 0x09
	typeCoolingDevice, typeOther, typeMemory     = 0x0a, 0x0b, 0x0c
	typeDriveSlot, typeEventLog, typeSystemEvent = 0x0d, 0x10, 0x12
	typeACPI, typeOEM                            = 0x22, 0xc8
	entityProcessor, entityDrive, entityBoard    = 0x03, 0x04, 0x07
	entityPSU, entityChassis, entityFan          = 0x0a, 0x17, 0x1d
	entityMemory, entityInlet, entityRoom        = 0x20, 0x37, 0x28
	unitNone, unitC, unitV, unitW, unitRPM       = 0, 1, 4, 6, 18
	eventThreshold, eventState, eventSeverity    = 0x01, 0x03, 0x07
	eventPresent, eventRedundancy, eventSpecific = 0x08, 0x0b, 0x6f
	formatUnsigned, formatTwos, formatNone       = 0x00, 0x80, 0xc0
	lnc, lc, lnr, unc, uc, unr                   = 0, 1, 2, 3, 4, 5
	offsetLCLow, offsetUNCHigh, offsetUCHigh     = 2, 7, 9
)

// sensor is one sensor of the repository, or several that share a compact record.
type sensor struct {
	num              byte
	name             string
	entity, instance byte
	typ, event       byte

	// Threshold sensors: value in the sensor's unit; false: there is none now.
	full    bool
	unit    byte
	percent bool
	format  byte
	m, b    int
	k1, k2  int
	limits  [6]float64 // by lnc..unr; NaN: there is none
	value   func(State) (float64, bool)

	// Discrete sensors: which offsets are set; false: no reading now.
	mask      uint16 // offsets it can report
	bits      func(s State, i int) (uint16, bool)
	share     int // how many sensors share the record; 0 is one
	eventOnly bool

	part  Part // what the log says of it
	index int
}

func noLimits() [6]float64 {
	n := math.NaN()
	return [6]float64{n, n, n, n, n, n}
}

func limits(pairs ...float64) [6]float64 {
	l := noLimits()
	for i := 0; i+1 < len(pairs); i += 2 {
		l[int(pairs[i])] = pairs[i+1]
	}
	return l
}

func pow10(k int) float64 { return math.Pow(10, float64(k)) }

// raw is the reading byte of a value, the nearest there is.
func (x *sensor) raw(v float64) byte {
	r := math.Round((v/pow10(x.k2) - float64(x.b)*pow10(x.k1)) / float64(x.m))
	if x.format == formatTwos {
		return byte(int8(min(max(r, -128), 127)))
	}
	return byte(min(max(r, 0), 255))
}

// cooked is the value of a reading byte.
func (x *sensor) cooked(raw byte) float64 {
	r := float64(raw)
	if x.format == formatTwos {
		r = float64(int8(raw))
	}
	return (float64(x.m)*r + float64(x.b)*pow10(x.k1)) * pow10(x.k2)
}

// factors are M, tolerance, B, accuracy and exponents as in a full record and in Get Sensor Reading Factors.
func (x *sensor) factors() [6]byte {
	return [6]byte{byte(x.m), byte(x.m >> 8 & 3 << 6), byte(x.b), byte(x.b >> 8 & 3 << 6), 0, byte(x.k2&0x0f)<<4 | byte(x.k1&0x0f)}
}

// thresholds are the readable mask and the six thresholds in the order of Get Sensor Thresholds.
func (x *sensor) thresholds() (mask byte, raw [6]byte) {
	for i, v := range x.limits {
		if !math.IsNaN(v) {
			mask |= 1 << i
			raw[i] = x.raw(v)
		}
	}
	return mask, raw
}

// reading is the answer of Get Sensor Reading; i counts the sensors that share the record.
func (x *sensor) reading(s State, i int) []byte {
	const scanning, unavailable = 0xc0, 0xe0
	if !x.full {
		bits, ok := x.bits(s, i)
		if !ok {
			return []byte{0, unavailable, 0, 0x80}
		}
		return []byte{0, scanning, byte(bits), byte(bits>>8) | 0x80}
	}
	v, ok := x.value(s)
	if !ok {
		return []byte{0, unavailable, 0xc0}
	}
	raw := x.raw(v)
	v = x.cooked(raw)
	state := byte(0xc0)
	for i, l := range x.limits {
		if !math.IsNaN(l) && ((i <= lnr && v <= x.cooked(x.raw(l))) || (i >= unc && v >= x.cooked(x.raw(l)))) {
			state |= 1 << i
		}
	}
	return []byte{raw, scanning, state}
}

// sensorList numbers sensors as it goes.
type sensorList struct {
	list []*sensor
	next byte
	step byte
}

func (l *sensorList) add(x sensor) {
	x.num = l.next
	l.next += byte(max(x.share, 1)-1) + l.step
	l.list = append(l.list, &x)
}

func (l *sensorList) analog(name string, entity, instance, typ, unit byte, format byte, m, b, k1, k2 int, lim [6]float64, value func(State) (float64, bool)) *sensor {
	l.add(sensor{name: name, entity: entity, instance: instance, typ: typ, event: eventThreshold, full: true, unit: unit, format: format, m: m, b: b, k1: k1, k2: k2, limits: lim, value: value})
	return l.list[len(l.list)-1]
}

func (l *sensorList) discrete(x sensor) *sensor {
	l.add(x)
	return l.list[len(l.list)-1]
}

func always(f func(State) float64) func(State) (float64, bool) {
	return func(s State) (float64, bool) { return f(s), true }
}

func whileOn(f func(State) float64) func(State) (float64, bool) {
	return func(s State) (float64, bool) { return f(s), s.HostOn }
}

// sensorsOf are the sensors of a profile in the order of its repository.
func sensorsOf(p Profile) []*sensor {
	l := &sensorList{next: 1, step: 1}
	if p.IPMI == ShapeBoard {
		l.next = 0x20
	}
	l.temperatures(p)
	l.fans(p)
	l.volts(p)
	l.supplies(p)
	l.drives(p)
	l.leaks(p)
	l.rest(p)
	return l.list
}

func (l *sensorList) temperatures(p Profile) {
	inlet := limits(lnc, inletLowerCaution, unc, inletUpperCaution, uc, inletUpperCritical, unr, 47)
	l.analog("Inlet Temp", entityInlet, 1, typeTemperature, unitC, formatTwos, 5, 0, 0, -1, inlet, always(func(s State) float64 { return s.InletC }))
	// B is in use here: raw 0 is -20 °C.
	l.analog("Exhaust Temp", entityBoard, 2, typeTemperature, unitC, formatUnsigned, 1, -20, 0, 0, limits(unc, 70, uc, 75), always(func(s State) float64 { return s.ExhaustC }))
	for i := range p.CPUs {
		temp := func(s State) float64 { return s.CPUs[i].TempC }
		lim := limits(unc, cpuUpperCaution, uc, cpuUpperCritical)
		if p.IPMI == ShapeBoard {
			l.analog(fmt.Sprintf("P%d Therm Margin", i+1), entityProcessor, byte(i+1), typeTemperature, unitC, formatTwos, 1, 0, 0, 0, noLimits(), whileOn(func(s State) float64 { return temp(s) - 98 }))
		}
		l.analog(fmt.Sprintf("CPU%d Temp", i+1), entityProcessor, byte(i+1), typeTemperature, unitC, formatUnsigned, 1, 0, 0, 0, lim, whileOn(temp))
	}
	if !p.Room {
		return
	}
	l.analog("Room Temp", entityRoom, 1, typeTemperature, unitC, formatTwos, 5, 0, 0, -1, noLimits(), always(func(s State) float64 { return s.RoomTempC }))
	rh := limits(lc, roomRHLowerCritical, lnc, roomRHLowerCaution, unc, roomRHUpperCaution, uc, roomRHUpperCritical)
	m, k := 5, -1
	if p.IPMI == ShapeWhitebox {
		m, k = 1, 0
	}
	x := l.analog("Room Humidity", entityRoom, 1, typeOther, unitNone, formatUnsigned, m, 0, 0, k, rh, always(func(s State) float64 { return s.RoomRH }))
	x.percent, x.part = true, PartHumidity // relative humidity has no unit of its own: percent of nothing
}

func (l *sensorList) fans(p Profile) {
	for i := range p.Fans {
		rpm := func(s State) (float64, bool) { return s.Fans[i].RPM, !s.Fans[i].Absent && s.HostOn }
		var x *sensor
		switch p.IPMI {
		case ShapeBoard:
			x = l.analog(fmt.Sprintf("System Fan %d", i+1), entityFan, byte(i+1), typeFan, unitRPM, formatUnsigned, 75, 0, 0, 0, limits(lnc, fanLowCaution, lc, fanLowCritical), rpm)
		case ShapeBlade:
			x = l.analog(fmt.Sprintf("FAN%d DUTY", i+1), entityFan, byte(i+1), typeFan, unitNone, formatUnsigned, 4, 0, 0, -1, limits(lc, 10), func(s State) (float64, bool) {
				return s.Fans[i].Duty, !s.Fans[i].Absent && s.HostOn
			})
			x.percent = true
		default:
			x = l.analog(fmt.Sprintf("FAN%d", i+1), entityFan, byte(i+1), typeFan, unitRPM, formatUnsigned, 100, 0, 0, 0, limits(lnr, 500, lc, fanLowCritical, lnc, fanLowCaution), rpm)
		}
		x.part, x.index = PartFan, i
	}
	if p.IPMI == ShapeWhitebox {
		return
	}
	if p.IPMI == ShapeBlade { // one record for all of them
		l.discrete(sensor{name: "FAN PRSNT ", entity: entityFan, instance: 1, typ: typeFan, event: eventPresent, mask: 3, share: p.Fans, part: PartFan, bits: func(s State, i int) (uint16, bool) {
			return presentBits(!s.Fans[i].Absent), true
		}})
	} else {
		for i := range p.Fans {
			l.discrete(sensor{name: fmt.Sprintf("Fan %d Present", i+1), entity: entityFan, instance: byte(i + 1), typ: typeFan, event: eventPresent, mask: 3, part: PartFan, index: i, bits: func(s State, _ int) (uint16, bool) {
				return presentBits(!s.Fans[i].Absent), true
			}})
		}
	}
	l.discrete(sensor{name: "Fan Redundancy", entity: entityFan, instance: 99, typ: typeFan, event: eventRedundancy, mask: 0xff, part: PartFanRedundancy, bits: func(s State, _ int) (uint16, bool) {
		return redundancyBits(s.FanRedundant), s.HostOn
	}})
}

func presentBits(present bool) uint16 {
	if present {
		return 2
	}
	return 1
}

func redundancyBits(full bool) uint16 {
	if full {
		return 1
	}
	return 2
}

func (l *sensorList) volts(p Profile) {
	l.analog("12V", entityBoard, 1, typeVoltage, unitV, formatUnsigned, 63, 0, 0, -3, limits(lc, 10.8, uc, 13.2), whileOn(func(s State) float64 { return s.Volts12 }))
	l.analog("5V", entityBoard, 1, typeVoltage, unitV, formatUnsigned, 26, 0, 0, -3, limits(lc, 4.5, uc, 5.5), whileOn(func(s State) float64 { return s.Volts5 }))
	l.analog("3.3V Standby", entityBoard, 1, typeVoltage, unitV, formatUnsigned, 17, 0, 0, -3, limits(lc, 3, uc, 3.6), always(func(s State) float64 { return s.Volts33Standby }))
}

func (l *sensorList) supplies(p Profile) {
	for i := range p.PSUs {
		watts, name := 4, fmt.Sprintf("PS%d Input Power", i+1)
		if p.IPMI == ShapeBlade {
			watts, name = 5, fmt.Sprintf("PSU%d POWER", i+1)
		}
		l.analog(name, entityPSU, byte(i+1), typeOther, unitW, formatUnsigned, watts, 0, 0, 0, noLimits(), func(s State) (float64, bool) {
			return s.PSUs[i].InputWatts, !s.PSUs[i].Absent
		})
		l.discrete(sensor{name: fmt.Sprintf("PS%d Status", i+1), entity: entityPSU, instance: byte(i + 1), typ: typePSU, event: eventSpecific, mask: 0x7f, part: PartPSU, index: i, bits: func(s State, _ int) (uint16, bool) {
			x := s.PSUs[i]
			return uint16(boolInt(!x.Absent) | boolInt(x.Failed && !x.Absent)<<1 | boolInt(x.InputLost && !x.Absent)<<3), true
		}})
	}
	l.discrete(sensor{name: "PS Redundancy", entity: entityPSU, instance: 99, typ: typePowerUnit, event: eventRedundancy, mask: 0xff, part: PartPSURedundancy, bits: func(s State, _ int) (uint16, bool) {
		return redundancyBits(s.PSURedundant), true
	}})
}

func (l *sensorList) drives(p Profile) {
	bits := func(s State, i int) (uint16, bool) {
		d := s.Drives[i]
		if d.Removed {
			return 0, true
		}
		return uint16(1 | boolInt(d.Failed)<<1 | boolInt(d.Predicted)<<2), true
	}
	if p.IPMI == ShapeBlade {
		l.discrete(sensor{name: "DRIVE ", entity: entityDrive, instance: 1, typ: typeDriveSlot, event: eventSpecific, mask: 0x1ff, share: p.Drives, part: PartDrive, bits: bits})
		return
	}
	for i := range p.Drives {
		l.discrete(sensor{name: fmt.Sprintf("Drive %d", i), entity: entityDrive, instance: byte(i + 1), typ: typeDriveSlot, event: eventSpecific, mask: 0x1ff, part: PartDrive, index: i, bits: func(s State, _ int) (uint16, bool) {
			return bits(s, i)
		}})
	}
}

// leaks show the three ways that a protocol without a sensor type for leaks is used for them.
func (l *sensorList) leaks(p Profile) {
	for i, name := range p.Leaks {
		x := sensor{name: name, entity: entityChassis, instance: byte(i + 1), part: PartLeak, index: i}
		if len(x.name) > 16 {
			x.name = fmt.Sprintf("Leak Detect %d", i+1)
		}
		switch p.IPMI {
		case ShapeBoard: // an OEM type: 0 wet, 1 detector fault
			x.typ, x.event, x.mask = typeOEM, eventSpecific, 3
			x.bits = func(s State, _ int) (uint16, bool) { return uint16(s.Leaks[i].State), true }
		case ShapeBlade: // severities: 0 OK, 2 critical
			x.typ, x.event, x.mask = typeCoolingDevice, eventSeverity, 5
			x.bits = func(s State, _ int) (uint16, bool) {
				return []uint16{1, 4, 0}[s.Leaks[i].State], s.Leaks[i].State != LeakFault
			}
		default: // state: 0 deasserted, 1 asserted
			x.typ, x.event, x.mask = typeCoolingDevice, eventState, 3
			x.bits = func(s State, _ int) (uint16, bool) {
				return []uint16{1, 2, 0}[s.Leaks[i].State], s.Leaks[i].State != LeakFault
			}
		}
		l.discrete(x)
	}
}

func (l *sensorList) rest(p Profile) {
	l.discrete(sensor{name: "Chassis Intru", entity: entityChassis, instance: 1, typ: typePhysicalSecurity, event: eventSpecific, mask: 0x7f, part: PartLid, bits: func(s State, _ int) (uint16, bool) {
		return uint16(boolInt(s.Intrusion)), true
	}})
	l.discrete(sensor{name: "ACPI State", entity: entityBoard, instance: 1, typ: typeACPI, event: eventSpecific, mask: 0x41, part: PartHost, bits: func(s State, _ int) (uint16, bool) {
		if s.HostOn {
			return 1, true
		}
		return 1 << 6, true
	}})
	l.discrete(sensor{name: "SEL", entity: entityBoard, instance: 1, typ: typeEventLog, event: eventSpecific, mask: 0x34, part: PartLog, bits: func(State, int) (uint16, bool) { return 0, true }})
	l.discrete(sensor{name: "Memory", entity: entityMemory, instance: 1, typ: typeMemory, event: eventSpecific, part: PartDIMM, eventOnly: true})
	l.discrete(sensor{name: "System Event", entity: entityBoard, instance: 1, typ: typeSystemEvent, event: eventSpecific, part: PartSystem, eventOnly: true})
}

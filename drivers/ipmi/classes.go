package ipmi

import (
	"regexp"

	"dewline/health"
)

// Sensor types (IPMI 2.0 table 42-3).
const (
	typeTemperature      = 0x01
	typeVoltage          = 0x02
	typeCurrent          = 0x03
	typeFan              = 0x04
	typePhysicalSecurity = 0x05
	typePlatformSecurity = 0x06
	typeProcessor        = 0x07
	typePSU              = 0x08
	typePowerUnit        = 0x09
	typeCooling          = 0x0a
	typeOther            = 0x0b
	typeMemory           = 0x0c
	typeDriveSlot        = 0x0d
	typeFirmwareProgress = 0x0f
	typeEventLog         = 0x10
	typeWatchdog1        = 0x11
	typeSystemEvent      = 0x12
	typeCriticalIntr     = 0x13
	typeButton           = 0x14
	typeModule           = 0x15
	typeAddInCard        = 0x17
	typeChassis          = 0x18
	typeCable            = 0x1b
	typeBootInitiated    = 0x1d
	typeBootError        = 0x1e
	typeOSBoot           = 0x1f
	typeOSStop           = 0x20
	typeSlot             = 0x21
	typeACPI             = 0x22
	typeWatchdog2        = 0x23
	typeEntityPresence   = 0x25
	typeLAN              = 0x27
	typeSubsystemHealth  = 0x28
	typeBattery          = 0x29
	typeSessionAudit     = 0x2a
	typeVersionChange    = 0x2b
	typeFRUState         = 0x2c
	typeOEM              = 0xc0 // and above
)

// Entity IDs (IPMI 2.0 table 43-13) that tell a sensor's part.
const (
	entityProcessor = 0x03
	entityDisk      = 0x04
	entityPSU       = 0x0a
	entityFan       = 0x1d
)

var entityClasses = map[uint8]health.Class{
	entityProcessor: health.ClassCPU, 0x41: health.ClassCPU, 0x09: health.ClassCPU, 0x12: health.ClassCPU,
	entityDisk: health.ClassDrive, 0x1a: health.ClassDrive,
	0x08: health.ClassMemory, 0x20: health.ClassMemory,
	entityPSU: health.ClassPSU,
	0x13:      health.ClassPowerUnit, 0x14: health.ClassPowerUnit, 0x15: health.ClassPowerUnit, 0x0e: health.ClassPowerUnit,
	0x0b: health.ClassPCIe, 0x30: health.ClassPCIe, 0x31: health.ClassPCIe, 0x10: health.ClassPCIe,
	entityFan: health.ClassFan,
	0x06:      health.ClassBMC, 0x2e: health.ClassBMC,
	0x07: health.ClassChassis, 0x0c: health.ClassChassis, 0x0d: health.ClassChassis, 0x0f: health.ClassChassis,
	0x16: health.ClassChassis, 0x17: health.ClassChassis, 0x18: health.ClassChassis, 0x1e: health.ClassChassis, 0x42: health.ClassChassis,
	0x22: health.ClassSystem, 0x23: health.ClassSystem, 0x28: health.ClassBattery,
}

var typeClasses = map[uint8]health.Class{
	typeTemperature: health.ClassTemperature, typeVoltage: health.ClassVoltage, typeCurrent: health.ClassCurrent,
	typeFan: health.ClassFan, typePhysicalSecurity: health.ClassIntrusion, typePlatformSecurity: health.ClassIntrusion,
	typeProcessor: health.ClassCPU, typePSU: health.ClassPSU, typePowerUnit: health.ClassPowerUnit,
	typeMemory: health.ClassMemory, typeDriveSlot: health.ClassDrive, typeEventLog: health.ClassLog,
	typeFirmwareProgress: health.ClassSystem, typeWatchdog1: health.ClassSystem, typeSystemEvent: health.ClassSystem,
	typeCriticalIntr: health.ClassSystem, typeBootInitiated: health.ClassSystem, typeBootError: health.ClassSystem,
	typeOSBoot: health.ClassSystem, typeOSStop: health.ClassSystem, typeACPI: health.ClassSystem,
	typeWatchdog2: health.ClassSystem, typeButton: health.ClassChassis, typeModule: health.ClassChassis,
	typeChassis: health.ClassChassis, typeAddInCard: health.ClassPCIe, typeLAN: health.ClassNIC,
	typeSubsystemHealth: health.ClassBMC, typeBattery: health.ClassBattery, typeVersionChange: health.ClassBMC,
	typeSessionAudit: health.ClassBMC,
}

var quantityClasses = map[health.Quantity]health.Class{
	health.RelativeHumidity: health.ClassHumidity, health.AbsoluteHumidity: health.ClassHumidity,
	health.DewPoint: health.ClassTemperature, health.Temperature: health.ClassTemperature,
	health.TemperatureMargin: health.ClassTemperature,
	health.Voltage:           health.ClassVoltage, health.InputVoltage: health.ClassVoltage, health.OutputVoltage: health.ClassVoltage,
	health.Current: health.ClassCurrent, health.InputCurrent: health.ClassCurrent, health.OutputCurrent: health.ClassCurrent,
	health.Power: health.ClassPower, health.InputPower: health.ClassPower, health.OutputPower: health.ClassPower,
	health.Energy: health.ClassPower, health.Flow: health.ClassFlow, health.AirFlow: health.ClassFlow,
	health.Speed: health.ClassFan, health.Duty: health.ClassFan,
}

// No sensor type says "leak": a detector is known by its name alone. "Liquid cooling" names a cooling system, not a leak.
var (
	leakName    = regexp.MustCompile(`(?i)leak|moist|flood|(^|[^a-z])(water|wet|drip|rope)`)
	pumpName    = regexp.MustCompile(`(?i)pump`)
	airFlowName = regexp.MustCompile(`(?i)air|fan`)
)

// classOf is the class of a sensor's component. Redundancy of fans or supplies is a property of the group, not one more fan.
func classOf(s *sensor, m *measure) health.Class {
	if m != nil { // analog: the unit tells more than the type
		c, known := quantityClasses[m.quantity]
		if known && (c != health.ClassFan || s.typ == typeFan || s.typ == typeCooling || s.entity == entityFan || s.typ == typeOther) {
			if c == health.ClassFan && pumpName.MatchString(s.name) {
				return health.ClassPump
			}
			return c
		}
		// A leak rope that measures something without a unit is a detector; one that measures volts is a voltage.
		if m.quantity == health.Value && leakName.MatchString(s.name) {
			return health.ClassLeakDetector
		}
		return health.ClassSensor
	}
	if leakName.MatchString(s.name) {
		return health.ClassLeakDetector
	}
	if humidityName.MatchString(s.name) && s.event != eventSpecific {
		return health.ClassHumidity
	}
	if pumpName.MatchString(s.name) && (s.typ == typeFan || s.typ == typeCooling) {
		return health.ClassPump
	}
	if s.event == eventRedundancy {
		switch {
		case s.typ == typePSU || s.typ == typePowerUnit || s.entity == entityPSU:
			return health.ClassPowerUnit
		case s.typ == typeFan || s.typ == typeCooling || s.entity == entityFan || s.entity == 0x1e:
			return health.ClassChassis
		}
	}
	if c, ok := typeClasses[s.typ]; ok {
		return c
	}
	switch s.typ {
	case typeCooling:
		if s.entity == entityFan {
			return health.ClassFan
		}
		return health.ClassSensor
	case typeSlot:
		if c := entityClasses[s.entity]; c == health.ClassMemory || c == health.ClassDrive {
			return c
		}
		return health.ClassPCIe
	case typeEntityPresence, typeFRUState, typeCable:
		if c, ok := entityClasses[s.entity]; ok {
			return c
		}
	}
	return health.ClassSensor
}

// contexts is the air a sensor stands in, where the entity says so.
var contexts = map[uint8]string{0x37: "intake", 0x40: "intake", 0x27: "room"}

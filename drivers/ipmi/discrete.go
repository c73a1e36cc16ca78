package ipmi

import "dewline/health"

// Event/reading types (IPMI 2.0 table 42-1).
const (
	eventThreshold    = 0x01
	eventUsage        = 0x02
	eventState        = 0x03
	eventPredictive   = 0x04
	eventLimit        = 0x05
	eventPerformance  = 0x06
	eventSeverity     = 0x07
	eventPresence     = 0x08
	eventEnabled      = 0x09
	eventAvailability = 0x0a
	eventRedundancy   = 0x0b
	eventACPI         = 0x0c
	eventSpecific     = 0x6f
)

// effect is what an asserted offset means.
type effect struct {
	severity health.Severity // OK: it says that all is well. Info: nothing about health. Others: a fault
	kind     health.Kind     // of a fault, or of a momentary event; empty: none
	presence health.Presence
	// momentary: an event in the log, not a condition that lasts. Some BMCs leave its bit set for ever.
	momentary bool
}

func fault(sev health.Severity, k health.Kind) effect { return effect{severity: sev, kind: k} }
func passing(sev health.Severity, k health.Kind) effect {
	return effect{severity: sev, kind: k, momentary: true}
}

const (
	info     = health.SeverityInfo
	warning  = health.SeverityWarning
	critical = health.SeverityCritical
)

var (
	fine    = effect{severity: health.SeverityOK}
	present = effect{severity: info, presence: health.Present}
	absent  = effect{severity: info, presence: health.Absent}
)

// generic is what the offsets of the generic event types mean (table 42-2). The polarity of type 03h is the vendor's own:
// it is not here. Redundancy lost is a warning as long as resources suffice.
var generic = map[uint8]map[uint8]effect{
	eventPredictive:  {0: fine, 1: fault(warning, health.KindPredictedFailure)},
	eventLimit:       {0: fine, 1: fault(warning, health.KindOverThreshold)},
	eventPerformance: {0: fine, 1: fault(warning, health.KindDegraded)},
	eventSeverity: {
		0: fine, 1: fault(warning, health.KindDegraded), 2: fault(critical, health.KindFailed), 3: fault(critical, health.KindFailed),
		4: fault(warning, health.KindDegraded), 5: fault(critical, health.KindFailed), 6: fault(critical, health.KindFailed),
	},
	eventPresence: {0: absent, 1: present},
	eventAvailability: {
		0: fine, 3: fine, 6: fault(warning, health.KindDegraded), 8: fault(warning, health.KindConfigError),
	},
	eventRedundancy: {
		0: fine, 1: fault(warning, health.KindRedundancyLost), 2: fault(warning, health.KindRedundancyDegraded),
		3: fault(warning, health.KindRedundancyLost), 4: fault(warning, health.KindRedundancyLost),
		5: fault(critical, health.KindRedundancyLost), 6: fault(warning, health.KindRedundancyDegraded),
		7: fault(warning, health.KindRedundancyDegraded),
	},
}

// specific is what the offsets of type 6Fh mean, by sensor type (table 42-3). Severities are ours: a predicted failure is a
// warning, an opened lid is a warning (it is opened for cleaning), an absent part is judged by whoever knows it was there.
var specific = map[uint8]map[uint8]effect{
	typePhysicalSecurity: {
		0: fault(warning, health.KindIntrusion), 1: fault(warning, health.KindIntrusion), 2: fault(warning, health.KindIntrusion),
		3: fault(warning, health.KindIntrusion), 4: fault(warning, health.KindCommLost), 5: fault(warning, health.KindIntrusion),
		6: fault(warning, health.KindIntrusion),
	},
	typePlatformSecurity: {
		0: passing(warning, health.KindIntrusion), 1: passing(warning, health.KindIntrusion), 2: passing(warning, health.KindIntrusion),
		3: passing(warning, health.KindIntrusion), 4: passing(warning, health.KindIntrusion), 5: passing(warning, health.KindIntrusion),
	},
	typeProcessor: {
		0: fault(critical, health.KindFailed), 1: fault(critical, health.KindFailed), 2: fault(critical, health.KindFailed),
		3: fault(critical, health.KindFailed), 4: fault(critical, health.KindFailed), 5: fault(critical, health.KindConfigError),
		6: fault(critical, health.KindUncorrectableError), 7: present, 8: fault(critical, health.KindDegraded),
		0xa: fault(warning, health.KindDegraded), 0xb: fault(critical, health.KindUncorrectableError),
		0xc: fault(warning, health.KindCorrectableError),
	},
	typePSU: {
		0: present, 1: fault(critical, health.KindFailed), 2: fault(warning, health.KindPredictedFailure),
		3: fault(critical, health.KindInputLost), 4: fault(critical, health.KindInputLost),
		5: fault(warning, health.KindInputOutOfRange), 6: fault(critical, health.KindConfigError),
		7: {severity: info}, // standby: how cold redundancy works
	},
	typePowerUnit: {
		0: {severity: info}, 1: {severity: info}, 2: fault(warning, health.KindFailed), 3: fault(warning, health.KindFailed),
		4: fault(critical, health.KindInputLost), 5: fault(critical, health.KindFailed), 6: fault(critical, health.KindFailed),
		7: fault(warning, health.KindPredictedFailure),
	},
	typeMemory: {
		0: fault(warning, health.KindCorrectableError), 1: fault(critical, health.KindUncorrectableError),
		2: fault(critical, health.KindUncorrectableError), 3: fault(critical, health.KindUncorrectableError),
		4: fault(critical, health.KindFailed), 5: fault(warning, health.KindCorrectableError), 6: present,
		7: fault(critical, health.KindConfigError), 8: {severity: info}, 9: fault(warning, health.KindDegraded),
		0xa: fault(critical, health.KindOverThreshold),
	},
	typeDriveSlot: {
		0: present, 1: fault(critical, health.KindFailed), 2: fault(warning, health.KindPredictedFailure), 3: {severity: info},
		4: {severity: info}, 5: fault(critical, health.KindDegraded), 6: fault(critical, health.KindFailed),
		7: fault(info, health.KindRebuild), 8: fault(critical, health.KindRebuild),
	},
	typeFirmwareProgress: {
		0: fault(critical, health.KindFailed), 1: fault(critical, health.KindFailed), 2: {severity: info},
	},
	typeEventLog: {
		0: fault(critical, health.KindDegraded), 1: fault(critical, health.KindDegraded), 2: passing(warning, health.KindLogCleared),
		3: fault(critical, health.KindLogFull), 4: fault(critical, health.KindLogFull), 5: fault(warning, health.KindLogFull),
		6: fault(critical, health.KindDegraded),
	},
	typeSystemEvent: {
		0: passing(warning, health.KindInfo), 1: {severity: info}, 2: fault(critical, health.KindFailed), 3: {severity: info},
		4: {severity: info}, 5: passing(info, health.KindInfo),
	},
	typeCriticalIntr: {
		0: fault(critical, health.KindFailed), 1: fault(critical, health.KindFailed), 2: fault(critical, health.KindFailed),
		3: fault(warning, health.KindUnknown), 4: fault(critical, health.KindUncorrectableError),
		5: fault(critical, health.KindUncorrectableError), 6: fault(critical, health.KindFailed),
		7: fault(warning, health.KindCorrectableError), 8: fault(critical, health.KindUncorrectableError),
		9: fault(critical, health.KindUncorrectableError), 0xa: fault(critical, health.KindUncorrectableError),
		0xb: fault(warning, health.KindDegraded),
	},
	typeCable: {0: fine, 1: fault(critical, health.KindConfigError)},
	typeBootError: {
		0: passing(warning, health.KindConfigError), 1: passing(warning, health.KindConfigError),
		2: passing(warning, health.KindConfigError), 3: passing(warning, health.KindConfigError), 4: passing(warning, health.KindConfigError),
	},
	typeOSStop: {0: passing(critical, health.KindFailed), 1: passing(critical, health.KindFailed)},
	typeSlot: {
		0: fault(critical, health.KindFailed), 1: {severity: info}, 2: present, 3: {severity: info}, 4: {severity: info},
		5: {severity: info}, 6: {severity: info}, 7: fault(warning, health.KindDegraded), 8: fault(warning, health.KindDegraded),
		9: {severity: info},
	},
	typeWatchdog2: {
		0: passing(warning, health.KindWatchdogReset), 1: passing(critical, health.KindWatchdogReset),
		2: passing(critical, health.KindWatchdogReset), 3: passing(critical, health.KindWatchdogReset),
		8: passing(warning, health.KindWatchdogReset),
	},
	typeEntityPresence: {0: present, 1: absent, 2: fault(warning, health.KindDegraded)},
	typeSubsystemHealth: {
		0: fault(critical, health.KindDegraded), 1: fault(critical, health.KindDegraded), 2: fault(critical, health.KindFailed),
		3: fault(critical, health.KindFailed), 4: fault(critical, health.KindFailed), 5: fault(critical, health.KindFailed),
	},
	typeBattery: {
		0: fault(warning, health.KindDegraded), 1: fault(critical, health.KindFailed), 2: present,
	},
	typeVersionChange: {
		0: passing(warning, health.KindInfo), 1: passing(warning, health.KindInfo), 2: fault(critical, health.KindConfigError),
		3: fault(critical, health.KindConfigError), 4: fault(critical, health.KindConfigError),
		5: fault(critical, health.KindConfigError), 6: {severity: info}, 7: {severity: info},
	},
	typeFRUState: {
		0: absent, 1: {severity: info}, 2: {severity: info}, 3: {severity: info}, 4: fine, 5: {severity: info}, 6: {severity: info},
		7: fault(critical, health.KindCommLost),
	},
}

// effects is the table for a discrete sensor, nil if its offsets have no meaning known to us: OEM types, and generic states
// whose polarity only the vendor knows.
func effects(typ, event uint8, class health.Class) map[uint8]effect {
	switch {
	case class == health.ClassLeakDetector:
		return leakEffects[event]
	case event == eventSpecific:
		return specific[typ]
	}
	return generic[event]
}

// A leak detector that states a severity says how wet it is. One that states a presence (type 08h, "Device Absent" and "Device
// Present"; also an entity's) may mean the water, or the rope that is plugged in: neither state is a dry floor, and a change of
// it is told. So it is with all other types: that a detector is running, or redundant, says nothing of water, and no sensor type's
// own states do.
var leakEffects = map[uint8]map[uint8]effect{
	eventSeverity: {
		0: fine, 1: fault(warning, health.KindLeakDetected), 2: fault(critical, health.KindLeakDetected),
		3: fault(critical, health.KindLeakDetected), 4: fault(warning, health.KindLeakDetected),
		5: fault(critical, health.KindLeakDetected), 6: fault(critical, health.KindLeakDetected),
	},
	eventLimit:       {0: fine, 1: fault(warning, health.KindLeakDetected)},
	eventPredictive:  {0: fine, 1: fault(warning, health.KindLeakDetected)},
	eventPerformance: {0: fine, 1: fault(warning, health.KindLeakDetected)},
}

// presenceOffset is the offset that says the part is there, where no other says that it is not: if it is not asserted, the part
// is absent.
func presenceOffset(table map[uint8]effect) (offset uint8, ok bool) {
	for off, e := range table {
		switch e.presence {
		case health.Present:
			offset, ok = off, true
		case health.Absent:
			return 0, false
		}
	}
	return offset, ok
}

// crossing is one threshold comparison of a reading, bits as in Get Sensor Reading (section 35.14).
type crossing struct {
	name     string
	severity health.Severity
	high     bool
}

var crossings = [6]crossing{
	{"lower non-critical", warning, false}, {"lower critical", critical, false}, {"lower non-recoverable", critical, false},
	{"upper non-critical", warning, true}, {"upper critical", critical, true}, {"upper non-recoverable", critical, true},
}

// crossingKind is what a crossed threshold of a class means: a fan that is too slow is failing, not merely under a limit.
func crossingKind(class health.Class, sev health.Severity, high bool) health.Kind {
	switch class {
	case health.ClassFan, health.ClassPump:
		if !high && sev == critical {
			return health.KindFailed
		}
		if !high {
			return health.KindDegraded
		}
	case health.ClassHumidity:
		if high {
			return health.KindHumidityHigh
		}
		return health.KindHumidityLow
	case health.ClassLeakDetector:
		return health.KindLeakDetected
	}
	if high {
		return health.KindOverThreshold
	}
	return health.KindUnderThreshold
}

// thresholdOffsets maps the offsets of a threshold event (table 42-2) to crossings. Only "going low" of a lower threshold and
// "going high" of an upper one are faults; the others report the way back and decide nothing.
var thresholdOffsets = map[uint8]int{0: 0, 2: 1, 4: 2, 7: 3, 9: 4, 0xb: 5}

package incident

import (
	"strings"

	"dewline/health"
)

// Words by which rules elsewhere mark their evidence.
const (
	// Unconfirmed: a leak sensor of which nobody knows which state is the wet one.
	Unconfirmed = "polarity unconfirmed"
	// NotReported: a probe pushes no readings any more.
	NotReported = "not reported"
	// RuleHostPower is the rule of the event that a host went off, or came on.
	RuleHostPower = "host_power"
	// RuleEnvelope is the rule of air outside the limits of its class.
	RuleEnvelope = "air_envelope"
)

// signOf says what an event is a sign of, "" for none.
func signOf(e *health.Event) health.IncidentSign {
	switch e.Transition {
	case health.Asserted, health.Escalated:
	case health.Momentary:
		if e.FaultID != "" {
			return "" // further evidence of a fault that is a sign already
		}
	default:
		return ""
	}
	if e.AtStart {
		return ""
	}
	if e.Rule == RuleHostPower {
		if says(e, "now: "+health.HostOff.String()) {
			return health.SignSilence
		}
		return ""
	}
	if e.Severity < health.SeverityWarning {
		return ""
	}
	switch e.Kind {
	case health.KindLeakDetected:
		if says(e, Unconfirmed) {
			return health.SignMoisture
		}
		return health.SignLeak
	case health.KindCondensationRisk:
		return health.SignMoisture
	case health.KindHumidityHigh:
		if e.Rule == RuleEnvelope && e.Severity < health.SeverityCritical {
			return "" // beyond what is recommended is not wet yet; where it is, a margin says so
		}
		return health.SignMoisture
	case health.KindDetectorFault:
		switch {
		case says(e, NotReported):
			return health.SignSilence
		case e.Class == health.ClassLeakDetector:
			return health.SignMoisture
		}
	case health.KindIntrusion:
		return health.SignIntrusion
	case health.KindCommLost:
		if e.Class == health.ClassBMC {
			return health.SignSilence
		}
	}
	switch e.Class {
	case health.ClassPSU, health.ClassPowerUnit:
		switch e.Kind {
		case health.KindInputLost, health.KindInputOutOfRange:
			return health.SignPower
		case health.KindFailed:
			return health.SignElectrical
		}
	case health.ClassVoltage, health.ClassCurrent:
		switch e.Kind {
		case health.KindOverThreshold, health.KindUnderThreshold, health.KindFailed:
			return health.SignElectrical
		}
	case health.ClassPCIe, health.ClassNIC:
		if e.Kind == health.KindUncorrectableError {
			return health.SignElectrical
		}
	}
	return ""
}

func says(e *health.Event, words string) bool {
	for _, s := range e.Evidence {
		if strings.Contains(s, words) {
			return true
		}
	}
	return strings.Contains(e.Message, words)
}

// detectorFault tells the signs of moisture that are a detector's own trouble.
func detectorFault(k health.Kind) bool { return k == health.KindDetectorFault }

package redfish

import (
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

func TestTheMessageTableIsSound(t *testing.T) {
	keys := map[string]bool{}
	for _, m := range messages {
		if k := strings.ToLower(m.key); keys[k] {
			t.Errorf("%s stands twice", m.key)
		} else {
			keys[k] = true
		}
		if !slices.Contains(health.Kinds, m.kind) || m.class != "" && !slices.Contains(health.Classes, m.class) {
			t.Errorf("%s: kind %q, class %q", m.key, m.kind, m.class)
		}
		if (m.effect == over) != (m.severity == health.SeverityOK) {
			t.Errorf("%s: the end of a condition is ok, and nothing else is", m.key)
		}
	}
	for _, m := range messages {
		// Each message of a repair has one of a fault that it takes back, of the same class.
		if m.effect != over || m.class == "" {
			continue
		}
		kinds := append(slices.Clone(m.ends), m.kind)
		if !slices.ContainsFunc(messages, func(x message) bool {
			return x.effect != over && x.class == m.class && slices.Contains(kinds, x.kind)
		}) {
			t.Errorf("%s takes back what no message of class %s says", m.key, m.class)
		}
	}
}

// The facts that a mapping by registry gets wrong (research: all published versions of the DMTF registries, HPE's, OpenBMC's, field
// reports), each with the entry that shows it.
func TestMessagesMeanWhatTheyMean(t *testing.T) {
	const w, c, ok = health.SeverityWarning, health.SeverityCritical, health.SeverityOK
	fan := said{class: health.ClassFan}
	with := func(s said, id string) said { s.id = id; return s }
	leak := said{origin: "/redfish/v1/Chassis/Chassis_0/ThermalSubsystem/LeakDetection/LeakDetectors/Chassis_0_LeakDetector_1_ColdPlate"}
	for name, x := range map[string]struct {
		said     said
		kind     health.Kind
		severity health.Severity
		effect   effect
	}{
		"a failed fan is critical, although Environmental 1.0 calls it a Warning": {with(fan, "Environmental.1.0.FanFailed"), health.KindFailed, c, begins},
		"a version of three parts":     {with(fan, "Environmental.1.1.0.FanFailed"), health.KindFailed, c, begins},
		"no registry":                  {with(fan, "FanFailed"), health.KindFailed, c, begins},
		"another case":                 {with(fan, "environmental.1.1.fanfailed"), health.KindFailed, c, begins},
		"a registry without a version": {with(fan, "iLOEvents.FanDegraded"), health.KindDegraded, w, begins},
		"a removed fan is a warning, although the registry says OK":                             {with(fan, "Environmental.1.0.FanRemoved"), health.KindAbsentRemoved, w, begins},
		"a removed supply is a warning, although the registry says OK":                          {said{id: "Power.1.0.PowerSupplyRemoved"}, health.KindAbsentRemoved, w, begins},
		"an inserted fan ends an absence":                                                       {with(fan, "Environmental.1.0.FanInserted"), health.KindAbsentRemoved, ok, over},
		"a failed supply is critical, although Power 1.0.1 says Warning":                        {said{id: "Power.1.0.1.PowerSupplyFailed"}, health.KindFailed, c, begins},
		"lost input is critical, although the registry says Warning":                            {said{id: "Power.1.0.LossOfInputPower"}, health.KindInputLost, c, begins},
		"a restored PCIe link is a recovery, although Critical, and a key that ends in a space": {said{id: "Platform.1.3.PCIeLinkRestored ", severity: c}, health.KindUncorrectableError, ok, over},
		"below the upper critical threshold is still too humid":                                 {said{id: "Environmental.1.0.HumidityBelowUpperCriticalThreshold"}, health.KindHumidityHigh, w, begins},
		"above the lower critical threshold is still too dry":                                   {said{id: "Environmental.1.0.HumidityAboveLowerCriticalThreshold"}, health.KindHumidityLow, w, begins},
		"above the upper caution threshold":                                                     {said{id: "Environmental.1.0.HumidityAboveUpperCautionThreshold"}, health.KindHumidityHigh, w, begins},
		"normal humidity":                                                                       {said{id: "Environmental.1.0.HumidityNormal"}, health.KindHumidityHigh, ok, over},
		"below the upper fatal threshold is still critical":                                     {said{id: "Environmental.1.3.TemperatureBelowUpperFatalThreshold"}, health.KindOverThreshold, c, begins},
		"a temperature no longer critical is still a warning":                                   {said{id: "Environmental.1.3.TemperatureNoLongerCritical"}, health.KindOverThreshold, w, begins},
		"a flow rate no longer fatal is still critical":                                         {said{id: "Environmental.1.3.FlowRateNoLongerFatal"}, health.KindUnknown, c, begins},
		"a voltage too low":              {said{id: "Power.1.0.VoltageBelowLowerCriticalThreshold"}, health.KindUnderThreshold, c, begins},
		"a reading of a humidity sensor": {said{id: "SensorEvent.1.0.ReadingAboveUpperCriticalThreshold", class: health.ClassHumidity}, health.KindHumidityHigh, c, begins},
		"a reading of a fan below its critical threshold is its failure":       {said{id: "SensorEvent.1.0.ReadingBelowLowerCriticalThreshold", class: health.ClassFan}, health.KindFailed, c, begins},
		"an offline volume as StorageDevice 1.1 spells it":                     {said{id: "StorageDevice.1.1.VolumeOffine"}, health.KindFailed, c, begins},
		"a drive's predicted failure is a warning, although HPE says Critical": {said{id: "iLOEvents.3.7.DriveSmartError", severity: c}, health.KindPredictedFailure, w, begins},
		"a degraded fan is a warning, although HPE says Critical":              {said{id: "iLOEvents.3.7.FanDegraded", severity: c}, health.KindDegraded, w, begins},
		"an open chassis is a warning":                                         {said{id: "OpenBMC.0.1.ChassisIntrusionDetected", severity: c}, health.KindIntrusion, w, begins},
		"Lenovo's open chassis":                                                {said{id: "FQXSPSE0000F"}, health.KindIntrusion, w, begins},
		"Lenovo's closed chassis":                                              {said{id: "FQXSPSE2000I"}, health.KindIntrusion, ok, over},
		"Lenovo's removed supply is informational there":                       {said{id: "FQXSPPW2001I"}, health.KindAbsentRemoved, w, begins},
		"Lenovo's sensor that turned critical":                                 {said{id: "FQXSPCA0017M", text: "Sensor Fan 1 Tach has transitioned to critical from a less severe state.", class: health.ClassFan}, health.KindFailed, c, begins},
		"Lenovo takes 0nnn back by 2nnn":                                       {said{id: "FQXSPCA2017M", text: "Sensor Fan 1 Tach has transitioned to a less severe state from critical.", class: health.ClassFan}, health.KindFailed, ok, over},
		"Dell's lost input, with a registry before it":                         {said{id: "IDRAC.2.7.PSU0003"}, health.KindInputLost, c, begins},
		"Dell's message that is no row goes by its letters and words":          {said{id: "PSU0017", text: "Power supply 1 is operating normally."}, health.KindFailed, ok, over},
		"Dell's redundancy":                                                    {said{id: "RDU0012"}, health.KindRedundancyLost, w, begins},
		"NVIDIA reports a leak as changed health":                              {with(leak, "ResourceEvent.1.0.ResourceStatusChangedCritical"), health.KindLeakDetected, c, begins},
		"NVIDIA reports a leak as a detected error":                            {said{id: "ResourceEvent.1.0.ResourceErrorsDetected", args: []string{"Leakage Sensor", "Leakage"}}, health.KindLeakDetected, w, begins},
		"and its end as health that is OK again":                               {with(leak, "ResourceEvent.1.0.ResourceStatusChangedOK"), health.KindLeakDetected, ok, over},
		"SONiC's leak":                                                         {with(leak, "Environmental.1.1.0.LeakDetectedCritical"), health.KindLeakDetected, c, begins},
		"a leak detector that failed is not wet":                               {with(leak, "Environmental.1.3.LeakDetectorFailure"), health.KindDetectorFault, w, begins},
		"liquid cooling is no leak":                                            {said{id: "iLOEvents.3.7.LiquidCoolingModuleFailed", severity: c}, health.KindFailed, c, begins},
		"changed health of a drive":                                            {said{id: "ResourceEvent.1.0.ResourceStatusChangedWarning", class: health.ClassDrive}, health.KindDegraded, w, begins},
		"changed health of a temperature does not say which threshold":         {said{id: "ResourceEvent.1.0.ResourceStatusChangedWarning", class: health.ClassTemperature}, health.KindUnknown, w, begins},
		"OpenBMC's threshold":                                                  {said{id: "OpenBMC.0.4.SensorThresholdCriticalHighGoingHigh", class: health.ClassTemperature}, health.KindOverThreshold, c, begins},
		"OpenBMC's critical threshold passed downwards leaves the other":       {said{id: "OpenBMC.0.4.SensorThresholdCriticalHighGoingLow", class: health.ClassTemperature}, health.KindOverThreshold, w, begins},
		"OpenBMC's warning threshold passed upwards again":                     {said{id: "OpenBMC.0.1.SensorThresholdWarningLowGoingHigh", class: health.ClassTemperature}, health.KindUnderThreshold, ok, over},
		"a SEL record's code: too warm":                                        {said{id: "0x01594342", sensorType: "Temperature"}, health.KindOverThreshold, c, begins},
		"a SEL record's code: its direction bit":                               {said{id: "0x81594342", sensorType: "Temperature", severity: c}, health.KindOverThreshold, ok, over},
		"a SEL record's code: redundancy degraded":                             {said{id: "0x0b02ffff", sensorType: "Power Supply / Converter"}, health.KindRedundancyDegraded, w, begins},
		"a SEL record's code: insufficient resources":                          {said{id: "0x0b05ffff", sensorType: "Fan"}, health.KindRedundancyLost, c, begins},
		"words with a deassert are the end":                                    {said{id: "0x6f01ffff", code: "Deassert", deassert: true, sensorType: "Power Supply / Converter", text: "PSU 1: Failure detected"}, health.KindFailed, ok, over},
		"words of SEL entries: Fan":                                            {said{code: "Lower Critical - going low", sensorType: "Fan"}, health.KindFailed, c, begins},
		"an uncorrectable error happened":                                      {said{id: "Platform.1.3.MemoryUncorrectableError"}, health.KindUncorrectableError, c, tells},
		"a cleared log":                                                        {said{id: "OpenBMC.0.1.EventLogCleared"}, health.KindLogCleared, w, tells},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := interpret(x.said)
			if !found || got.kind != x.kind || got.severity != x.severity || got.effect != x.effect || got.rule == "" {
				t.Errorf("found %v: %s %s effect %d by %q", found, got.kind, got.severity, got.effect, got.rule)
			}
		})
	}
	for name, x := range map[string]said{
		"a registry without a key":                        {id: "OpenBMC.0.1", severity: c},
		"a code of three bytes (DMTF's mockups)":          {id: "0x592A28", severity: c},
		"an unknown key of a part of unknown class":       {id: "Acme.1.0.SprocketFailed", text: "Sprocket 3 has failed", severity: c},
		"a SEL record on its way back over one threshold": {code: "Lower Critical - going high", sensorType: "Fan"},
		"a message of no health":                          {id: "Event.1.0.LoginWeb", text: "User logged in"},
	} {
		t.Run("not mapped: "+name, func(t *testing.T) {
			if got, found := interpret(x); found {
				t.Errorf("%s %s by %q", got.kind, got.severity, got.rule)
			}
		})
	}
}

// What a repair takes back is ours: the registries' ClearingLogic names messages that do not exist and misses others.
func TestRepairsTakeBackWhatTheyRepair(t *testing.T) {
	for fault, repair := range map[string]string{
		"PowerSupplyFailed": "PowerSupplyRestored", "LossOfInputPower": "PowerSupplyRestored", "FanRemoved": "FanInserted", "FanFailed": "FanRestored",
		"VolumeOffline": "VolumeOK", "VolumeOffine": "VolumeOK", "VolumeDegraded": "VolumeOK", "DrivePredictedMediaLifeLow": "DriveOK", "DriveOffline": "DriveOK",
		"DriveMissing": "DriveMissingCleared", "LeakDetectedWarning": "LeakDetectedNormal", "LeakDetectedCritical": "LeakDetectedNormal",
		"LeakDetectorDisconnected": "LeakDetectorConnected", "FanGroupCritical": "FanGroupNormal", "FanGroupWarning": "FanGroupNormal",
		"PCIeIncorrectLinkSpeed": "PCIeLinkRestored", "PowerSupplyACPowerLoss": "PowerSupplyOK", "DriveRemoved": "DriveInserted",
		"HumidityAboveUpperCriticalThreshold": "HumidityNormal", "HumidityBelowLowerCautionThreshold": "HumidityNormal",
		"FrequencyAboveUpperCriticalThreshold": "FrequencyNormal", "VoltageCritical": "VoltageNormal",
	} {
		f, ok := interpret(said{id: fault})
		r, ok2 := interpret(said{id: repair})
		if !ok || !ok2 || f.effect != begins || r.effect != over || r.kind != f.kind && !slices.Contains(r.ends, f.kind) {
			t.Errorf("%s (%s) does not end %s (%s)", repair, r.kind, fault, f.kind)
		}
	}
	// And not more: another class, another quantity.
	for _, x := range [][2]string{{"PowerCritical", "FrequencyNormal"}, {"DriveMissing", "DriveOK"}} {
		f, _ := interpret(said{id: x[0]})
		r, _ := interpret(said{id: x[1]})
		if r.class == f.class && (r.kind == f.kind || slices.Contains(r.ends, f.kind)) {
			t.Errorf("%s ends %s", x[1], x[0])
		}
	}
}

func FuzzInterpret(f *testing.F) {
	needFolder(f)
	f.Add("Environmental.1.0.FanFailed", "Fan 1 failed", "Assert", "Fan", "/redfish/v1/Chassis/1/Thermal#/Fans/0")
	f.Add("0x6f01ffff", "", "Deassert", "", "")
	f.Add(" .1.", "rope", "Lower Critical - going low", "", "/")
	f.Fuzz(func(t *testing.T, id, text, code, sensorType, origin string) {
		v, ok := interpret(said{id: id, text: text, code: code, sensorType: sensorType, origin: origin, args: []string{text}})
		if ok && (!slices.Contains(health.Kinds, v.kind) || (v.effect == over) != (v.severity == health.SeverityOK)) {
			t.Errorf("%+v", v)
		}
	})
}

package redfish

import (
	"testing"

	"dewline/health"
)

// Each row of the closed vocabulary that a Redfish message or property tells, with the severity that is ours; the rows with a
// pitfall are in TestMessagesMeanWhatTheyMean.
func TestEachKindThatRedfishTells(t *testing.T) {
	const i, w, c, ok = health.SeverityInfo, health.SeverityWarning, health.SeverityCritical, health.SeverityOK
	type row struct {
		said     said
		kind     health.Kind
		severity health.Severity
		effect   effect
	}
	of := func(class health.Class, id string) said { return said{id: id, class: class} }
	for _, x := range []row{
		{said{id: "Environmental.1.1.LeakDetectedCritical"}, health.KindLeakDetected, c, begins},
		{said{id: "Environmental.1.1.LeakDetectedWarning"}, health.KindLeakDetected, w, begins},
		{said{id: "Environmental.1.1.LeakDetectedNormal"}, health.KindLeakDetected, ok, over},
		{of(health.ClassLeakDetector, "ResourceEvent.1.0.ResourceStatusChangedWarning"), health.KindLeakDetected, w, begins},
		{of(health.ClassLeakDetector, "ResourceEvent.1.0.ResourceErrorsDetected"), health.KindLeakDetected, w, begins},
		{said{id: "Environmental.1.1.LeakDetectorDisconnected"}, health.KindDetectorFault, w, begins},
		{said{id: "Environmental.1.0.HumidityAboveUpperCriticalThreshold"}, health.KindHumidityHigh, c, begins},
		{said{id: "Environmental.1.0.HumidityBelowLowerCautionThreshold"}, health.KindHumidityLow, w, begins},
		{said{id: "Environmental.1.0.HumidityBelowLowerCriticalThreshold"}, health.KindHumidityLow, c, begins},
		{of(health.ClassHumidity, "SensorEvent.1.0.ReadingBelowLowerCriticalThreshold"), health.KindHumidityLow, c, begins},
		{of(health.ClassFan, "iLOEvents.3.7.FanFailed"), health.KindFailed, c, begins},
		{of(health.ClassFan, "ResourceEvent.1.0.ResourceStatusChangedCritical"), health.KindFailed, c, begins},
		{of(health.ClassFan, "Environmental.1.0.FanWarning"), health.KindDegraded, w, begins},
		{said{id: "Environmental.1.0.FanGroupCritical"}, health.KindRedundancyLost, c, begins},
		{said{id: "Environmental.1.0.FanGroupWarning"}, health.KindRedundancyDegraded, w, begins},
		{said{id: "iLOEvents.3.7.FanRedundancyLost"}, health.KindRedundancyLost, w, begins},
		{said{id: "Power.1.0.PowerSupplyGroupCritical"}, health.KindRedundancyLost, c, begins},
		{said{id: "Power.1.0.PowerSupplyGroupWarning"}, health.KindRedundancyDegraded, w, begins},
		{said{id: "Power.1.0.PowerSupplyPredictiveFailure"}, health.KindPredictedFailure, w, begins},
		{said{id: "OpenBMC.0.1.LineInputPowerFault", severity: w}, health.KindInputLost, c, begins},
		{said{id: "StorageDevice.1.1.DriveFailure"}, health.KindFailed, c, begins},
		{said{id: "StorageDevice.1.1.DriveOffline"}, health.KindFailed, c, begins},
		{said{id: "StorageDevice.1.1.DrivePredictiveFailure"}, health.KindPredictedFailure, w, begins},
		{said{id: "StorageDevice.1.1.DrivePredictedMediaLifeLow"}, health.KindPredictedFailure, w, begins},
		{said{id: "StorageDevice.1.1.DriveMissing"}, health.KindAbsentRemoved, w, begins},
		{said{id: "StorageDevice.1.1.DriveRemoved"}, health.KindAbsentRemoved, w, begins},
		{said{id: "StorageDevice.1.1.VolumeFailure"}, health.KindFailed, c, begins},
		{said{id: "StorageDevice.1.1.VolumeOffline"}, health.KindFailed, c, begins},
		{said{id: "StorageDevice.1.1.VolumeDegraded"}, health.KindDegraded, w, begins},
		{said{id: "StorageDevice.1.1.VolumeRebuilding"}, health.KindRebuild, i, begins},
		{said{id: "Environmental.1.3.TemperatureAboveUpperCautionThreshold"}, health.KindOverThreshold, w, begins},
		{said{id: "Environmental.1.3.TemperatureAboveUpperCriticalThreshold"}, health.KindOverThreshold, c, begins},
		{said{id: "Power.1.0.VoltageAboveUpperCriticalThreshold"}, health.KindOverThreshold, c, begins},
		{said{id: "Power.1.0.CurrentAboveUpperCautionThreshold"}, health.KindOverThreshold, w, begins},
		{said{id: "Power.1.0.CurrentBelowLowerCriticalThreshold"}, health.KindUnderThreshold, c, begins},
		{said{id: "OpenBMC.0.1.MemoryECCCorrectable"}, health.KindCorrectableError, w, tells},
		{said{id: "Platform.1.3.PCIeUncorrectableError"}, health.KindUncorrectableError, c, tells},
		{said{id: "Platform.1.3.PCIeLinkDown"}, health.KindUncorrectableError, c, begins},
		{said{id: "OpenBMC.0.1.ChassisIntrusionReset"}, health.KindIntrusion, ok, over},
	} {
		got, found := interpret(x.said)
		if !found || got.kind != x.kind || got.severity != x.severity || got.effect != x.effect || got.rule == "" {
			t.Errorf("%s of %q: found %v: %s %s effect %d by %q, want %s %s effect %d", x.said.id, x.said.class, found, got.kind, got.severity, got.effect, got.rule,
				x.kind, x.severity, x.effect)
		}
	}
}

// What is told by a property, and not by a message.
func TestEachConditionThatRedfishTells(t *testing.T) {
	const w, c, ok = health.SeverityWarning, health.SeverityCritical, health.SeverityOK
	const cha = "/redfish/v1/Chassis/1"
	supply := func(line string) func(t *testing.T, tree map[string]string) {
		return func(t *testing.T, tree map[string]string) {
			tree[cha+"/Power"] = `{"PowerSupplies":[{"MemberId":"0","Name":"PSU 0","LineInputStatus":"` + line + `","Status":{"State":"Enabled","Health":"OK"}}]}`
		}
	}
	detector := func(body string) func(t *testing.T, tree map[string]string) {
		return func(t *testing.T, tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["LeakDetectors"] = map[string]any{"@odata.id": cha + "/LeakDetectors"} })
			tree[cha+"/LeakDetectors"] = `{"Members":[{"@odata.id":"` + cha + `/LeakDetectors/1"}]}`
			tree[cha+"/LeakDetectors/1"] = `{"Id":"1","Name":"Rope",` + body + `}`
		}
	}
	sensor := func(value string) func(t *testing.T, tree map[string]string) {
		return func(t *testing.T, tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["Sensors"] = map[string]any{"@odata.id": cha + "/Sensors"} })
			tree[cha+"/Sensors"] = `{"Members":[{"@odata.id":"` + cha + `/Sensors/Leak"}]}`
			tree[cha+"/Sensors/Leak"] = `{"Id":"Leak","Name":"Liquid leak","Status":{"State":"Enabled"},"Oem":{"Supermicro":{"SensorValue":"` + value + `"}}}`
		}
	}
	drive := func(key string, value any) func(t *testing.T, tree map[string]string) {
		return func(t *testing.T, tree map[string]string) {
			change(t, tree, "/redfish/v1/Systems/1/Storage/RAID/Drives/0", func(d map[string]any) { d[key] = value })
		}
	}
	for name, x := range map[string]struct {
		set      func(t *testing.T, tree map[string]string)
		class    health.Class
		kind     health.Kind
		severity health.Severity
	}{
		"LineInputStatus LossOfInput":    {supply("LossOfInput"), health.ClassPSU, health.KindInputLost, c},
		"LineInputStatus OutOfRange":     {supply("OutOfRange"), health.ClassPSU, health.KindInputOutOfRange, w},
		"LineInputStatus Normal":         {supply("Normal"), health.ClassPSU, health.KindInputLost, ok},
		"DetectorState Critical":         {detector(`"DetectorState":"Critical"`), health.ClassLeakDetector, health.KindLeakDetected, c},
		"DetectorState Warning":          {detector(`"DetectorState":"Warning"`), health.ClassLeakDetector, health.KindLeakDetected, w},
		"DetectorState OK":               {detector(`"DetectorState":"OK","Status":{"State":"Enabled"}`), health.ClassLeakDetector, health.KindLeakDetected, ok},
		"DetectorState Unavailable":      {detector(`"DetectorState":"Unavailable"`), health.ClassLeakDetector, health.KindDetectorFault, w},
		"DetectorState Absent":           {detector(`"DetectorState":"Absent"`), health.ClassLeakDetector, health.KindDetectorFault, w},
		"a detector's State of Degraded": {detector(`"DetectorState":"OK","Status":{"State":"Degraded"}`), health.ClassLeakDetector, health.KindDetectorFault, w},
		"Supermicro: not responding":     {sensor("Leak detector is not responding"), health.ClassLeakDetector, health.KindDetectorFault, w},
		"Supermicro: no leak":            {sensor("No leakage detected"), health.ClassLeakDetector, health.KindLeakDetected, ok},
		"FailurePredicted":               {drive("FailurePredicted", true), health.ClassDrive, health.KindPredictedFailure, w},
		"IntrusionSensor": {func(t *testing.T, tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["PhysicalSecurity"] = map[string]any{"IntrusionSensor": "HardwareIntrusion"} })
		}, health.ClassIntrusion, health.KindIntrusion, w},
	} {
		t.Run(name, func(t *testing.T) {
			tree := ownTree(t, "classic")
			x.set(t, tree)
			srv := newService(t, tree)
			s := read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
			for _, p := range ofClass(s, x.class) {
				if hasCondition(&p, x.kind, x.severity) {
					return
				}
			}
			t.Errorf("no %s %s: %+v", x.kind, x.severity, ofClass(s, x.class))
		})
	}
	t.Run("LogService.Overflow", func(t *testing.T) {
		tree := ownTree(t, "classic")
		const log = "/redfish/v1/Systems/1/LogServices/Sel"
		change(t, tree, log, func(d map[string]any) { d["Overflow"] = true })
		s := read(t, newService(t, tree).open(t), health.Request{Tiers: health.EveryTier})
		full := 0
		for _, l := range s.Logs {
			if l.Path == log && l.Full {
				full++
			}
		}
		if full != 1 {
			t.Errorf("%+v", s.Logs)
		}
	})
}

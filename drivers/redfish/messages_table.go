package redfish

import "dewline/health"

// effect is what a message does to a condition.
type effect uint8

const (
	tells  effect = iota // it happened, and is over
	begins               // the condition holds from now on
	over                 // it holds no longer
)

// message is one row of the table: what a message key means, whatever registry and version it comes from. Severities are ours: those
// of the registries differ from patch to patch (FanFailed was a Warning before Environmental 1.1.1), and services replace them.
type message struct {
	key      string
	class    health.Class // empty: that of the origin
	kind     health.Kind
	severity health.Severity
	effect   effect
	ends     []health.Kind // kinds that are over besides
	vague    bool          // it tells of the part's health only
}

const (
	good = health.SeverityOK
	info = health.SeverityInfo
	warn = health.SeverityWarning
	crit = health.SeverityCritical
)

// What a repair ends. The registries' own ClearingLogic names messages that do not exist (PowerSupplyFailure), leaves some out
// (VolumeOK does not end VolumeOffline), and mixes others up (FrequencyNoLongerCritical ends PowerCritical): it is not used.
var (
	faults   = []health.Kind{health.KindFailed, health.KindDegraded}
	supply   = []health.Kind{health.KindFailed, health.KindDegraded, health.KindPredictedFailure, health.KindInputLost, health.KindInputOutOfRange, health.KindConfigError}
	inputs   = []health.Kind{health.KindInputLost, health.KindInputOutOfRange}
	driveAll = []health.Kind{health.KindFailed, health.KindDegraded, health.KindPredictedFailure}
	groups   = []health.Kind{health.KindRedundancyLost, health.KindRedundancyDegraded}
	volumes  = []health.Kind{health.KindFailed, health.KindDegraded, health.KindRebuild}
	anything = []health.Kind{
		health.KindFailed, health.KindDegraded, health.KindPredictedFailure, health.KindInputLost, health.KindInputOutOfRange, health.KindOverThreshold,
		health.KindUnderThreshold, health.KindLeakDetected, health.KindDetectorFault, health.KindHumidityHigh, health.KindHumidityLow, health.KindConfigError,
	}
)

// messages is the table. Sources: the DMTF registries Environmental 1.0 to 1.4, Power 1.0 to 1.2, StorageDevice 1.0 to 1.5, ResourceEvent
// 1.0 to 1.4, SensorEvent 1.0 and 1.1, Platform 1.0 to 1.3; OpenBMC 0.1 to 0.6; HPE's iLOEvents; Dell's and Lenovo's message references.
// Threshold messages are in thresholdSubjects, words of messages without a known key in phrases.
var messages = []message{
	// Fans. FanRemoved is OK in the registry: a fan that is gone is none to us.
	{key: "FanFailed", class: health.ClassFan, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "FanWarning", class: health.ClassFan, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "FanDegraded", class: health.ClassFan, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "FanRestored", class: health.ClassFan, kind: health.KindFailed, severity: good, effect: over, ends: faults},
	{key: "FanStatusOK", class: health.ClassFan, kind: health.KindFailed, severity: good, effect: over, ends: faults},
	{key: "FanRemoved", class: health.ClassFan, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: faults},
	{key: "FanInserted", class: health.ClassFan, kind: health.KindAbsentRemoved, severity: good, effect: over},
	{key: "FanGroupCritical", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: crit, effect: begins},
	{key: "FanGroupWarning", class: health.ClassSensor, kind: health.KindRedundancyDegraded, severity: warn, effect: begins},
	{key: "FanGroupNormal", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: good, effect: over, ends: groups},
	{key: "FanRedundancyLost", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: warn, effect: begins},
	{key: "FanRedundancyRegained", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: good, effect: over, ends: groups},
	{key: "FanRedundancyRestored", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: good, effect: over, ends: groups},
	{key: "StorageSystemFanFailed", class: health.ClassFan, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "StorageSystemFanDegraded", class: health.ClassFan, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "StorageSystemFanOK", class: health.ClassFan, kind: health.KindFailed, severity: good, effect: over, ends: faults},

	// Leaks.
	{key: "LeakDetectedCritical", class: health.ClassLeakDetector, kind: health.KindLeakDetected, severity: crit, effect: begins},
	{key: "LeakDetectedWarning", class: health.ClassLeakDetector, kind: health.KindLeakDetected, severity: warn, effect: begins},
	{key: "LeakDetectedNormal", class: health.ClassLeakDetector, kind: health.KindLeakDetected, severity: good, effect: over},
	{key: "LeakDetectorFailure", class: health.ClassLeakDetector, kind: health.KindDetectorFault, severity: warn, effect: begins},
	{key: "LeakDetectorDisconnected", class: health.ClassLeakDetector, kind: health.KindDetectorFault, severity: warn, effect: begins},
	{key: "LeakDetectorRestored", class: health.ClassLeakDetector, kind: health.KindDetectorFault, severity: good, effect: over},
	{key: "LeakDetectorConnected", class: health.ClassLeakDetector, kind: health.KindDetectorFault, severity: good, effect: over},

	// Liquid cooling.
	{key: "PumpFailed", class: health.ClassPump, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "PumpRestored", class: health.ClassPump, kind: health.KindFailed, severity: good, effect: over, ends: faults},
	{key: "PumpRemoved", class: health.ClassPump, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: faults},
	{key: "PumpInserted", class: health.ClassPump, kind: health.KindAbsentRemoved, severity: good, effect: over},
	{key: "FilterRequiresService", class: health.ClassSensor, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "FilterRestored", class: health.ClassSensor, kind: health.KindDegraded, severity: good, effect: over},
	{key: "FilterRemoved", class: health.ClassSensor, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: faults},
	{key: "FilterInserted", class: health.ClassSensor, kind: health.KindAbsentRemoved, severity: good, effect: over},
	{key: "ValveUnableToReachSetPoint", class: health.ClassSensor, kind: health.KindFailed, severity: warn, effect: begins},
	{key: "ValveUnableToReachSetPointPercent", class: health.ClassSensor, kind: health.KindFailed, severity: warn, effect: begins},
	{key: "CoolingUnitGroupCritical", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: crit, effect: begins},
	{key: "CoolingUnitGroupWarning", class: health.ClassSensor, kind: health.KindRedundancyDegraded, severity: warn, effect: begins},
	{key: "CoolingUnitGroupNormal", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: good, effect: over, ends: groups},
	{key: "LiquidCoolingModuleFailed", class: health.ClassPump, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "LiquidCoolingModuleDegraded", class: health.ClassPump, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "LiquidCoolingModuleStatusOK", class: health.ClassPump, kind: health.KindFailed, severity: good, effect: over, ends: faults},
	{key: "LiquidCoolingModuleRedundancyLost", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: warn, effect: begins},
	{key: "LiquidCoolingModuleRedundancyRestored", class: health.ClassSensor, kind: health.KindRedundancyLost, severity: good, effect: over, ends: groups},

	// Power supplies. PowerSupplyRemoved is OK in the registry, LossOfInputPower a Warning.
	{key: "PowerSupplyFailed", class: health.ClassPSU, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "PowerSupplyWarning", class: health.ClassPSU, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "PowerSupplyDegraded", class: health.ClassPSU, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "PowerSupplyPredictiveFailure", class: health.ClassPSU, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "PowerSupplyFailurePredicted", class: health.ClassPSU, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "PowerSupplyPredictedFailureRecovered", class: health.ClassPSU, kind: health.KindPredictedFailure, severity: good, effect: over},
	{key: "PowerSupplyRestored", class: health.ClassPSU, kind: health.KindFailed, severity: good, effect: over, ends: supply},
	{key: "PowerSupplyRecovered", class: health.ClassPSU, kind: health.KindFailed, severity: good, effect: over, ends: faults},
	{key: "PowerSupplyOK", class: health.ClassPSU, kind: health.KindFailed, severity: good, effect: over, ends: supply},
	{key: "PowerSupplyRemoved", class: health.ClassPSU, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: supply},
	{key: "PowerSupplyInserted", class: health.ClassPSU, kind: health.KindAbsentRemoved, severity: good, effect: over},
	{key: "LossOfInputPower", class: health.ClassPSU, kind: health.KindInputLost, severity: crit, effect: begins},
	{key: "LineInputPowerFault", class: health.ClassPSU, kind: health.KindInputLost, severity: crit, effect: begins},
	{key: "LineInputPowerRestored", class: health.ClassPSU, kind: health.KindInputLost, severity: good, effect: over, ends: inputs},
	{key: "PowerSupplyACPowerLoss", class: health.ClassPSU, kind: health.KindInputLost, severity: crit, effect: begins},
	{key: "PowerSupplyPowerLost", class: health.ClassPSU, kind: health.KindInputLost, severity: crit, effect: begins},
	{key: "PowerSupplyPowerRestored", class: health.ClassPSU, kind: health.KindInputLost, severity: good, effect: over, ends: inputs},
	{key: "PowerSupplyConfigurationError", class: health.ClassPSU, kind: health.KindConfigError, severity: crit, effect: begins},
	{key: "PowerSupplyConfigurationErrorRecovered", class: health.ClassPSU, kind: health.KindConfigError, severity: good, effect: over},
	{key: "UnsupportedPowerSupplyUnitDetected", class: health.ClassPSU, kind: health.KindConfigError, severity: crit, effect: begins},
	{key: "UnsupportedPowerSupplyUnitRemoved", class: health.ClassPSU, kind: health.KindConfigError, severity: good, effect: over},
	{key: "PowerSupplyFanFailed", class: health.ClassPSU, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "PowerSupplyFanRecovered", class: health.ClassPSU, kind: health.KindDegraded, severity: good, effect: over},
	{key: "PowerSupplyGroupCritical", class: health.ClassPowerUnit, kind: health.KindRedundancyLost, severity: crit, effect: begins},
	{key: "PowerSupplyGroupWarning", class: health.ClassPowerUnit, kind: health.KindRedundancyDegraded, severity: warn, effect: begins},
	{key: "PowerSupplyGroupNormal", class: health.ClassPowerUnit, kind: health.KindRedundancyLost, severity: good, effect: over, ends: groups},
	{key: "PowerRedundancyLost", class: health.ClassPowerUnit, kind: health.KindRedundancyLost, severity: warn, effect: begins},
	{key: "PowerRedundancyRestored", class: health.ClassPowerUnit, kind: health.KindRedundancyLost, severity: good, effect: over, ends: groups},
	{key: "PowerUnitRedundancyLost", class: health.ClassPowerUnit, kind: health.KindRedundancyLost, severity: warn, effect: begins},
	{key: "PowerUnitRedundancyRegained", class: health.ClassPowerUnit, kind: health.KindRedundancyLost, severity: good, effect: over, ends: groups},
	{key: "BreakerTripped", class: health.ClassPowerUnit, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "BreakerFault", class: health.ClassPowerUnit, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "BreakerReset", class: health.ClassPowerUnit, kind: health.KindFailed, severity: good, effect: over},
	{key: "VoltageRegulatorFault", class: health.ClassVoltage, kind: health.KindFailed, severity: crit, effect: begins},

	// Drives, volumes, controllers.
	{key: "DriveFailure", class: health.ClassDrive, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "DriveFailed", class: health.ClassDrive, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "DriveFailed2", class: health.ClassDrive, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "DriveFailureCleared", class: health.ClassDrive, kind: health.KindFailed, severity: good, effect: over},
	{key: "DriveOffline", class: health.ClassDrive, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "DriveOfflineCleared", class: health.ClassDrive, kind: health.KindFailed, severity: good, effect: over},
	{key: "DriveError", class: health.ClassDrive, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "DriveErrorNormal", class: health.ClassDrive, kind: health.KindDegraded, severity: good, effect: over},
	{key: "DrivePredictiveFailure", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "DrivePredictedMediaLifeLow", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "DriveSmartError", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "DriveSmartError2", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "DriveWearOut", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "DriveWearOut2", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "DriveWearStatusOk", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: good, effect: over},
	{key: "DrivePredictiveFailureCleared", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: good, effect: over},
	{key: "DriveOK", class: health.ClassDrive, kind: health.KindFailed, severity: good, effect: over, ends: driveAll},
	{key: "DriveOk2", class: health.ClassDrive, kind: health.KindFailed, severity: good, effect: over, ends: driveAll},
	{key: "DriveMissing", class: health.ClassDrive, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: driveAll},
	{key: "DriveMissingCleared", class: health.ClassDrive, kind: health.KindAbsentRemoved, severity: good, effect: over},
	{key: "DriveRemoved", class: health.ClassDrive, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: driveAll},
	{key: "DriveRemoved2", class: health.ClassDrive, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: driveAll},
	{key: "DriveInserted", class: health.ClassDrive, kind: health.KindAbsentRemoved, severity: good, effect: over},
	{key: "DriveInserted2", class: health.ClassDrive, kind: health.KindAbsentRemoved, severity: good, effect: over},
	{key: "SASDriveFailure", class: health.ClassDrive, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "SASDriveOffline", class: health.ClassDrive, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "SASDrivePredictiveFailure", class: health.ClassDrive, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "VolumeFailure", class: health.ClassVolume, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "VolumeOffline", class: health.ClassVolume, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "VolumeOffine", class: health.ClassVolume, kind: health.KindFailed, severity: crit, effect: begins}, // so StorageDevice 1.1 spells it
	{key: "VolumeDegraded", class: health.ClassVolume, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "VolumeRebuilding", class: health.ClassVolume, kind: health.KindRebuild, severity: info, effect: begins},
	{key: "VolumeReconfiguring", class: health.ClassVolume, kind: health.KindInfo, severity: info, effect: tells},
	{key: "VolumeOfflineCleared", class: health.ClassVolume, kind: health.KindFailed, severity: good, effect: over},
	{key: "VolumeOK", class: health.ClassVolume, kind: health.KindFailed, severity: good, effect: over, ends: volumes},
	{key: "ControllerFailure", class: health.ClassStorageController, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "ControllerDegraded", class: health.ClassStorageController, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "ControllerOK", class: health.ClassStorageController, kind: health.KindFailed, severity: good, effect: over, ends: faults},
	{key: "ControllerPortFailure", class: health.ClassStorageController, kind: health.KindDegraded, severity: crit, effect: begins},
	{key: "ControllerPortDegraded", class: health.ClassStorageController, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "ControllerPortOK", class: health.ClassStorageController, kind: health.KindDegraded, severity: good, effect: over},
	{key: "ControllerPreviousError", class: health.ClassStorageController, kind: health.KindInfo, severity: warn, effect: tells},
	{key: "DrvArrControllerFailed", class: health.ClassStorageController, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "DrvArrControllerOK", class: health.ClassStorageController, kind: health.KindFailed, severity: good, effect: over, ends: faults},
	{key: "BatteryFailure", class: health.ClassBattery, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "BatteryMissing", class: health.ClassBattery, kind: health.KindAbsentRemoved, severity: crit, effect: begins},
	{key: "BatteryOK", class: health.ClassBattery, kind: health.KindFailed, severity: good, effect: over, ends: []health.Kind{health.KindFailed, health.KindDegraded, health.KindAbsentRemoved}},
	{key: "SystemBatteryFailed", class: health.ClassBattery, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "SystemBatteryRemoved", class: health.ClassBattery, kind: health.KindAbsentRemoved, severity: warn, effect: begins},
	{key: "WriteCacheDegraded", class: health.ClassStorageController, kind: health.KindDegraded, severity: crit, effect: begins},
	{key: "WriteCacheTemporarilyDegraded", class: health.ClassStorageController, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "WriteCacheDataLoss", class: health.ClassStorageController, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "WriteCacheProtected", class: health.ClassStorageController, kind: health.KindDegraded, severity: good, effect: over},

	// Any resource. NVIDIA reports leaks this way: the class of the origin decides which kind it is (see decoded).
	{key: "ResourceStatusChangedCritical", kind: health.KindFailed, severity: crit, effect: begins, vague: true},
	{key: "ResourceStatusChangedWarning", kind: health.KindDegraded, severity: warn, effect: begins, vague: true},
	{key: "ResourceStatusChangedOK", kind: health.KindFailed, severity: good, effect: over, ends: anything, vague: true},
	{key: "ResourceErrorsDetected", kind: health.KindUnknown, severity: warn, effect: begins},
	{key: "ResourceErrorsCorrected", kind: health.KindUnknown, severity: good, effect: over},
	{key: "ResourceErrorThresholdExceeded", kind: health.KindOverThreshold, severity: crit, effect: begins},
	{key: "ResourceErrorThresholdCleared", kind: health.KindOverThreshold, severity: good, effect: over},
	{key: "ResourceWarningThresholdExceeded", kind: health.KindOverThreshold, severity: warn, effect: begins},
	{key: "ResourceWarningThresholdCleared", kind: health.KindOverThreshold, severity: good, effect: over},
	{key: "ResourceRemoved", kind: health.KindInfo, severity: info, effect: tells, ends: anything},
	{key: "ResourceStateChanged", kind: health.KindInfo, severity: info, effect: tells},

	// Sensors as such.
	{key: "SensorFailure", kind: health.KindFailed, severity: warn, effect: begins},
	{key: "InvalidSensorReading", kind: health.KindFailed, severity: warn, effect: begins},
	{key: "SensorDisconnected", kind: health.KindFailed, severity: warn, effect: begins},
	{key: "SensorRestored", kind: health.KindFailed, severity: good, effect: over},

	// Memory, processors, PCIe. An error that was met is an occurrence: nothing says when it is over. PCIeLinkRestored is Critical in
	// Platform 1.3 and, in 1.3.0, ends in a space.
	{key: "MemoryUncorrectableError", class: health.ClassMemory, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "MemoryContainedError", class: health.ClassMemory, kind: health.KindUncorrectableError, severity: warn, effect: tells},
	{key: "MemoryRowRemappingError", class: health.ClassMemory, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "MemoryRowRemappingPending", class: health.ClassMemory, kind: health.KindDegraded, severity: warn, effect: tells},
	{key: "MemoryECCUncorrectable", class: health.ClassMemory, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "MemoryECCCorrectable", class: health.ClassMemory, kind: health.KindCorrectableError, severity: warn, effect: tells},
	{key: "ADDDCCorrectable", class: health.ClassMemory, kind: health.KindCorrectableError, severity: warn, effect: tells},
	{key: "CorrectableOrUncorrectableMemoryErrors", class: health.ClassMemory, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "MemoryThermTrip", class: health.ClassMemory, kind: health.KindOverThreshold, severity: crit, effect: tells},
	{key: "SeCpuUncorrectableError", class: health.ClassCPU, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "CPUError", class: health.ClassCPU, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "CPUThermalTrip", class: health.ClassCPU, kind: health.KindOverThreshold, severity: crit, effect: tells},
	{key: "CPUMismatch", class: health.ClassCPU, kind: health.KindConfigError, severity: crit, effect: tells},
	{key: "PCIeLinkDown", class: health.ClassPCIe, kind: health.KindUncorrectableError, severity: crit, effect: begins},
	{key: "PCIeLinkTrainingError", class: health.ClassPCIe, kind: health.KindUncorrectableError, severity: crit, effect: begins},
	{key: "PCIeIncorrectLinkSpeed", class: health.ClassPCIe, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "PCIeIncorrectLinkWidth", class: health.ClassPCIe, kind: health.KindDegraded, severity: warn, effect: begins},
	{key: "PCIeLinkSpeedChange", class: health.ClassPCIe, kind: health.KindDegraded, severity: warn, effect: tells},
	{key: "PCIeLinkWidthChange", class: health.ClassPCIe, kind: health.KindDegraded, severity: warn, effect: tells},
	{key: "PCIeUncorrectableError", class: health.ClassPCIe, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "PCIeLinkRestored", class: health.ClassPCIe, kind: health.KindUncorrectableError, severity: good, effect: over, ends: []health.Kind{health.KindDegraded}},
	{key: "DeviceMissing", kind: health.KindAbsentRemoved, severity: warn, effect: begins},
	{key: "DeviceDisabled", kind: health.KindDegraded, severity: warn, effect: tells},
	{key: "DeviceWatchdogTimeout", kind: health.KindWatchdogReset, severity: crit, effect: tells},
	{key: "PlatformResetWatchdogTimer", class: health.ClassSystem, kind: health.KindWatchdogReset, severity: warn, effect: tells},
	{key: "PlatformError", kind: health.KindUnknown, severity: warn, effect: tells},
	{key: "PlatformErrorAtLocation", kind: health.KindUnknown, severity: warn, effect: tells},
	{key: "OperatingSystemCrash", class: health.ClassSystem, kind: health.KindFailed, severity: crit, effect: tells},
	{key: "UnhandledExceptionDetectedAfterReset", class: health.ClassSystem, kind: health.KindFailed, severity: crit, effect: tells},

	// The chassis. A lid is opened for cleaning too: a warning, whatever the source says.
	{key: "ChassisIntrusionDetected", class: health.ClassIntrusion, kind: health.KindIntrusion, severity: warn, effect: begins},
	{key: "ChassisIntrusionReset", class: health.ClassIntrusion, kind: health.KindIntrusion, severity: good, effect: over},
	{key: "HoodRemoved", class: health.ClassIntrusion, kind: health.KindIntrusion, severity: warn, effect: begins},
	{key: "HoodRemovedOnPowerOff", class: health.ClassIntrusion, kind: health.KindIntrusion, severity: warn, effect: begins},
	{key: "HoodReplaced", class: health.ClassIntrusion, kind: health.KindIntrusion, severity: good, effect: over},

	// Logs.
	{key: "EventLogCleared", class: health.ClassLog, kind: health.KindLogCleared, severity: warn, effect: tells},
	{key: "LogCleared", class: health.ClassLog, kind: health.KindLogCleared, severity: warn, effect: tells},
	{key: "SELCleared", class: health.ClassLog, kind: health.KindLogCleared, severity: warn, effect: tells},

	// Dell: letters for the area, digits for the message. The rest of an area is decoded by the words (see areas, phrases).
	{key: "FAN0001", class: health.ClassFan, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "PSU0001", class: health.ClassPSU, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "PSU0002", class: health.ClassPSU, kind: health.KindPredictedFailure, severity: warn, effect: begins},
	{key: "PSU0003", class: health.ClassPSU, kind: health.KindInputLost, severity: crit, effect: begins},
	{key: "PDR1001", class: health.ClassDrive, kind: health.KindFailed, severity: crit, effect: begins},
	{key: "PDR1016", class: health.ClassDrive, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: driveAll},
	{key: "MEM0001", class: health.ClassMemory, kind: health.KindUncorrectableError, severity: crit, effect: tells},
	{key: "MEM0702", class: health.ClassMemory, kind: health.KindCorrectableError, severity: warn, effect: tells},
	{key: "RDU0012", class: health.ClassPowerUnit, kind: health.KindRedundancyLost, severity: warn, effect: begins},

	// Lenovo: FQXS, two letters of the area, four digits, a letter for the severity; 2nnn takes 0nnn back (see lenovo).
	{key: "FQXSPSE0000F", class: health.ClassIntrusion, kind: health.KindIntrusion, severity: warn, effect: begins},
	{key: "FQXSPSE2000I", class: health.ClassIntrusion, kind: health.KindIntrusion, severity: good, effect: over},
	{key: "FQXSPPW0001I", class: health.ClassPSU, kind: health.KindAbsentRemoved, severity: good, effect: over},
	{key: "FQXSPPW2001I", class: health.ClassPSU, kind: health.KindAbsentRemoved, severity: warn, effect: begins, ends: supply},
}

// thresholdSubjects are what the standard threshold messages are of: "TemperatureAboveUpperCriticalThreshold", "VoltageNoLongerCritical".
var thresholdSubjects = []struct {
	prefix      string
	class       health.Class
	over, under health.Kind
}{
	{"Humidity", health.ClassHumidity, health.KindHumidityHigh, health.KindHumidityLow},
	{"Temperature", health.ClassTemperature, health.KindOverThreshold, health.KindUnderThreshold},
	{"Voltage", health.ClassVoltage, health.KindOverThreshold, health.KindUnderThreshold},
	{"Current", health.ClassCurrent, health.KindOverThreshold, health.KindUnderThreshold},
	{"Power", health.ClassPower, health.KindOverThreshold, health.KindUnderThreshold},
	{"Frequency", health.ClassSensor, health.KindOverThreshold, health.KindUnderThreshold},
	{"FlowRate", health.ClassFlow, health.KindOverThreshold, health.KindUnderThreshold},
	{"Pressure", health.ClassSensor, health.KindOverThreshold, health.KindUnderThreshold},
	{"FluidLevel", health.ClassSensor, health.KindOverThreshold, health.KindUnderThreshold},
	{"FluidQuality", health.ClassSensor, health.KindOverThreshold, health.KindUnderThreshold},
	{"Reading", "", health.KindOverThreshold, health.KindUnderThreshold},
}

// areas are the letters before the digits of Dell's identifiers, and the letters after FQXS and one more of Lenovo's.
var areas = map[string]health.Class{
	"FAN": health.ClassFan, "RFM": health.ClassSensor, "PSU": health.ClassPSU, "RDU": health.ClassPowerUnit, "PWR": health.ClassPSU,
	"TMP": health.ClassTemperature, "VLT": health.ClassVoltage, "AMP": health.ClassCurrent, "PDR": health.ClassDrive, "VDR": health.ClassVolume,
	"CTL": health.ClassStorageController, "BAT": health.ClassBattery, "MEM": health.ClassMemory, "CPU": health.ClassCPU, "PCI": health.ClassPCIe,
	"SEC": health.ClassIntrusion, "SEL": health.ClassLog, "LOG": health.ClassLog, "LKD": health.ClassLeakDetector, "HUM": health.ClassHumidity,
}

// phrase is what words of a message mean, for identifiers that are no row of the table. The first that fits counts.
type phrase struct {
	pattern  string       // of the lower-case message
	class    health.Class // the message is of this class; empty: any but those in not
	kind     health.Kind  //
	severity health.Severity
	effect   effect
	ends     []health.Kind
}

// phrases speak of parts whose class is known: by the identifier's area, by the origin, or by the sensor type of a SEL entry.
var phrases = []phrase{
	{`redundancy (is |has been )?(lost|degraded)|no longer redundant|non-redundant`, "", health.KindRedundancyLost, warn, begins, nil},
	{`redundancy (is |has been )?(restored|regained)|(is|are) now redundant|fully redundant`, "", health.KindRedundancyLost, good, over, groups},
	{`predict(ed|ive) failure.*(clear|recover|no longer)`, "", health.KindPredictedFailure, good, over, nil},
	{`predict(ed|ive) failure|predicted to fail`, "", health.KindPredictedFailure, warn, begins, nil},
	{`(no longer detects|no) (a )?leak`, health.ClassLeakDetector, health.KindLeakDetected, good, over, nil},
	{`is responding|reconnected`, health.ClassLeakDetector, health.KindDetectorFault, good, over, nil},
	{`not responding|disconnected`, health.ClassLeakDetector, health.KindDetectorFault, warn, begins, nil},
	{`leak`, health.ClassLeakDetector, health.KindLeakDetected, crit, begins, nil},
	{`input.*(restored|regained)`, health.ClassPSU, health.KindInputLost, good, over, inputs},
	{`input.*(is |was )?(lost|missing)|a/?c (power )?loss|lost ac`, health.ClassPSU, health.KindInputLost, crit, begins, nil},
	{`input.*(out of|outside).*range`, health.ClassPSU, health.KindInputOutOfRange, warn, begins, nil},
	{`\b(is|was|has been)? ?removed\b|is absent|not present`, "", health.KindAbsentRemoved, warn, begins, anything},
	{`\b(is|was|has been)? ?(inserted|installed|added)\b`, "", health.KindAbsentRemoved, good, over, nil},
	{`uncorrectable|multi-bit`, health.ClassMemory, health.KindUncorrectableError, crit, tells, nil},
	{`correctable|single-bit`, health.ClassMemory, health.KindCorrectableError, warn, tells, nil},
	{`chassis.*(is |was )?(closed|replaced)|intrusion.*(reset|recovered)`, health.ClassIntrusion, health.KindIntrusion, good, over, nil},
	{`chassis.*(is |was )?open|intrusion|hood.*removed`, health.ClassIntrusion, health.KindIntrusion, warn, begins, nil},
	{`log.*cleared`, health.ClassLog, health.KindLogCleared, warn, tells, nil},
	{`to a less severe state|transitioned from critical|operating normally|within (its |normal )?(operating )?range|has been restored|has recovered`, "", health.KindFailed, good, over, anything},
	{`less than the lower critical|critical from a less severe|non-recoverable from a less severe`, "", health.KindFailed, crit, begins, nil},
	{`less than the lower warning`, "", health.KindDegraded, warn, begins, nil},
	{`fault detected|has failed|\bfailed\b|has failed|failure (is )?detected`, "", health.KindFailed, crit, begins, nil},
	{`rebuild.*(fail|abort)`, "", health.KindRebuild, crit, tells, nil},
	{`degraded`, "", health.KindDegraded, warn, begins, nil},
}

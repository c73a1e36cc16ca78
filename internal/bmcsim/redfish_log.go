package bmcsim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (b *treeBuilder) logs() {
	services := map[string][]string{}
	for _, l := range b.ids.logs {
		dir := l.path[:strings.LastIndexByte(l.path, '/')]
		services[dir] = append(services[dir], l.path)
		b.add(l.path, "LogService.v1_3_0.LogService", l.name, func() doc {
			d := doc{
				"ServiceEnabled": l.empty || !b.logInfo.off, "LogEntryType": l.entryType, "OverWritePolicy": l.overwrites, "MaxNumberOfRecords": b.logInfo.capacity,
				"DateTime": b.s.Time.UTC().Format(time.RFC3339), "DateTimeLocalOffset": "+00:00", "Status": status("OK", "Enabled"),
				"Actions": doc{"#LogService.ClearLog": doc{"target": l.path + "/Actions/LogService.ClearLog"}},
			}
			if !b.logInfo.wraps && !l.empty && !l.noEntries {
				d["OverWritePolicy"] = "NeverOverWrites"
			}
			if b.logInfo.overflow && !l.empty {
				d["Overflow"] = true
			}
			if !l.noEntries {
				d["Entries"] = link(l.path + "/Entries")
			}
			return d
		})
		if l.noEntries {
			continue
		}
		entries := b.log
		if l.empty {
			entries = nil
		}
		b.docs[l.path+"/Entries"] = func() doc {
			members := make([]any, 0, len(entries))
			for _, e := range entries {
				members = append(members, b.logEntry(l, e))
			}
			if l.newestFirst {
				slices.Reverse(members)
			}
			d := collection(l.path+"/Entries", "LogEntryCollection", l.name+" Entries", nil)
			d["Members"], d["Members@odata.count"] = members, len(members)
			return d
		}
		for _, e := range entries {
			b.docs[l.path+"/Entries/"+num(e.ID)] = func() doc { return b.logEntry(l, e) }
		}
	}
	for dir, members := range services {
		b.addCollection(dir, "LogServiceCollection", "Log Service Collection", members)
	}
}

func (b *treeBuilder) logEntry(l redfishLog, e Event) doc {
	w := b.p.words(b.ids, e)
	d := doc{
		"@odata.id": l.path + "/Entries/" + num(e.ID), "@odata.type": "#LogEntry.v1_9_0.LogEntry", "Id": num(e.ID), "Name": "Log Entry " + num(e.ID),
		"EntryType": l.entryType, "Created": e.Time.UTC().Format(time.RFC3339), "Severity": w.severity, "Message": w.message, "MessageId": w.id, "MessageArgs": w.args,
	}
	if l.entryType == "SEL" {
		d["EntryCode"] = map[bool]string{true: "Assert", false: "Deassert"}[e.Asserted]
	}
	if w.origin != "" && b.p.Redfish != ShapeLegacy {
		d["Links"] = doc{"OriginOfCondition": link(w.origin)}
	}
	return d
}

// words are an event in one make's language.
type words struct {
	id, severity, message, origin string
	args                          []any
}

// eventName is what a machine calls the part an event is about.
func (p Profile) eventName(e Event) string {
	switch e.Part {
	case PartFan:
		return fmt.Sprintf("Fan %d", e.Index+1)
	case PartPSU:
		return fmt.Sprintf("PSU %d", e.Index+1)
	case PartDrive:
		return fmt.Sprintf("Bay %d", e.Index)
	case PartDIMM:
		return fmt.Sprintf("DIMM_%c%d", 'A'+e.Index/2, e.Index%2+1)
	case PartLeak:
		if p.LeakBoolean {
			return "Liquid Cooling Leakage" // the boolean has no other name
		}
		return p.Leaks[e.Index]
	case PartHumidity:
		return "Room Humidity"
	}
	return "System Board"
}

func (p Profile) words(ids treeIDs, e Event) words {
	name := p.eventName(e)
	switch p.Redfish {
	case ShapeModern:
		return modernWords(ids, e, name)
	case ShapeMixed:
		return mixedWords(ids, e, name)
	}
	return legacyWords(e, name)
}

// message is an event in plain English, with the severity every make gives it.
func message(e Event, name string) (text, severity string) {
	pick := func(on, off, sev string) (string, string) {
		if e.Asserted {
			return on, sev
		}
		return off, "OK"
	}
	switch e.What {
	case Failed:
		switch e.Part {
		case PartFan:
			return pick(name+" RPM is less than the lower critical threshold.", name+" RPM is within range.", "Critical")
		case PartPSU:
			return pick(name+" has failed.", name+" is operating normally.", "Critical")
		case PartDrive:
			return pick("Fault detected on drive in "+name+".", "Drive in "+name+" is operating normally.", "Critical")
		case PartDIMM:
			return pick("Multi-bit memory errors detected on "+name+".", name+" is operating normally.", "Critical")
		}
	case Removed:
		return pick(name+" is removed.", name+" is inserted.", "Warning")
	case Predicted:
		return pick("Predictive failure reported for drive in "+name+".", "Predictive failure of drive in "+name+" is cleared.", "Warning")
	case InputLost:
		return pick("The power input for "+name+" is lost.", "The input power for "+name+" has been restored.", "Critical")
	case RedundancyLost:
		what := "Fan"
		if e.Part == PartPSURedundancy {
			what = "Power supply"
		}
		return pick(what+" redundancy is lost.", what+" redundancy is restored.", "Warning")
	case Corrected:
		return "Correctable memory error on " + name + ".", "Warning"
	case Wet:
		return pick("A leak was detected at "+name+".", name+" no longer detects a leak.", "Critical")
	case DetectorFault:
		return pick("Leak detector "+name+" is not responding.", "Leak detector "+name+" is responding.", "Warning")
	case OverThreshold:
		limit, sev := "upper caution", "Warning"
		if e.Index == 2 {
			limit, sev = "upper critical", "Critical"
		}
		return pick(fmt.Sprintf("%s of %.0f %% is above its %s threshold.", name, e.Value, limit), fmt.Sprintf("%s of %.0f %% is below its %s threshold.", name, e.Value, limit), sev)
	case PoweredOff:
		if e.Asserted {
			return "The system is powered off.", "OK"
		}
		return "The system is powered on.", "OK"
	case Intrusion:
		return pick("The chassis is open while the power is off.", "The chassis is closed.", "Critical")
	case Cleared:
		return "Log cleared.", "OK"
	case Booted:
	}
	return "System boot completed.", "OK"
}

// legacyIDs are identifiers of iDRAC that its documentation and users give; the others are made up, in its style.
var legacyIDs = map[Part]map[What]string{
	PartFan: {Failed: "FAN0001"}, PartPSU: {Failed: "PSU0001", InputLost: "PSU0003"}, PartDrive: {Failed: "PDR1001", Removed: "PDR1016"},
	PartPSURedundancy: {RedundancyLost: "RDU0012"},
}

// legacyWords are in the style of a maker's own registry: letters for the area, digits for the message.
func legacyWords(e Event, name string) words {
	text, sev := message(e, name)
	area := map[Part]string{PartSystem: "SYS", PartFan: "FAN", PartFanRedundancy: "RFM", PartPSU: "PSU", PartPSURedundancy: "RDU", PartDrive: "PDR",
		PartDIMM: "MEM", PartLeak: "LKD", PartHumidity: "HUM", PartHost: "SYS", PartLid: "SEC", PartLog: "LOG"}[e.Part]
	id := fmt.Sprintf("%s9%03d", area, 2*int(e.What)+boolInt(e.Asserted))
	if known := legacyIDs[e.Part][e.What]; known != "" && e.Asserted {
		id = known
	}
	return words{id: id, severity: sev, message: text, args: []any{name}}
}

// modernWords use the standard registries.
func modernWords(ids treeIDs, e Event, name string) words {
	text, sev := message(e, name)
	w := words{severity: sev, message: text, args: []any{name}}
	th, pw := ids.chassis+"/ThermalSubsystem", ids.chassis+"/PowerSubsystem/PowerSupplies/PSU_"+num(e.Index)
	pick := func(on, off string) string {
		if e.Asserted {
			return on
		}
		return off
	}
	const statusOK = "ResourceEvent.1.0.ResourceStatusChangedOK"
	switch e.Part {
	case PartFan:
		w.origin = th + "/Fans/Fan_" + num(e.Index)
		if e.What == Removed {
			w.id = pick("Environmental.1.0.FanRemoved", "Environmental.1.0.FanInserted")
			w.severity = "OK" // so the registry has it
		} else {
			w.id = pick("Environmental.1.0.FanFailed", "Environmental.1.0.FanRestored")
		}
	case PartFanRedundancy:
		w.origin, w.id = th, pick("Environmental.1.0.FanGroupWarning", "Environmental.1.0.FanGroupNormal")
	case PartPSU:
		w.origin = pw
		switch e.What {
		case Removed:
			w.id = pick("Power.1.0.PowerSupplyRemoved", "Power.1.0.PowerSupplyInserted")
			w.severity = "OK"
		case InputLost:
			w.id = pick("Power.1.0.LossOfInputPower", statusOK)
		default:
			w.id = pick("Power.1.0.PowerSupplyFailed", "Power.1.0.PowerSupplyRestored")
		}
	case PartPSURedundancy:
		w.origin, w.id = ids.chassis+"/PowerSubsystem", pick("Power.1.0.PowerSupplyGroupWarning", "Power.1.0.PowerSupplyGroupNormal")
	case PartDrive:
		w.origin = ids.system + "/Storage/Raid.1/Drives/Disk.Bay." + num(e.Index)
		switch e.What {
		case Removed:
			w.id = pick("StorageDevice.1.1.DriveRemoved", "StorageDevice.1.1.DriveInserted")
		case Predicted:
			w.id = pick("StorageDevice.1.1.DrivePredictiveFailure", "StorageDevice.1.1.DrivePredictiveFailureCleared")
		default:
			w.id = pick("StorageDevice.1.1.DriveFailure", "StorageDevice.1.1.DriveFailureCleared")
		}
	case PartLeak:
		w.origin = th + "/LeakDetection/LeakDetectors/LeakDetector_" + num(e.Index)
		if e.What == DetectorFault {
			w.id = pick("Environmental.1.3.LeakDetectorFailure", "Environmental.1.3.LeakDetectorRestored")
		} else {
			w.id = pick("Environmental.1.1.LeakDetectedCritical", "Environmental.1.1.LeakDetectedNormal")
		}
	case PartHumidity:
		w.origin = ids.chassis + "/Sensors/humidity_room"
		w.args = []any{name, fmt.Sprintf("%.1f", e.Value)}
		switch {
		case e.Index == 2:
			w.id = pick("Environmental.1.0.HumidityAboveUpperCriticalThreshold", "Environmental.1.0.HumidityBelowUpperCriticalThreshold")
			if !e.Asserted {
				w.severity = "Warning" // better, and still out of range
			}
		default:
			w.id = pick("Environmental.1.0.HumidityAboveUpperCautionThreshold", "Environmental.1.0.HumidityNormal")
		}
	case PartDIMM:
		w.origin = ids.system + "/Memory/" + name
		w.id = pick("ResourceEvent.1.0.ResourceStatusChangedCritical", statusOK)
		if e.What == Corrected {
			w.id = "ResourceEvent.1.0.ResourceErrorsDetected"
		}
	case PartLid:
		w.origin, w.id = ids.chassis, pick("OpenBMC.0.1.ChassisIntrusionDetected", "OpenBMC.0.1.ChassisIntrusionReset")
	case PartHost:
		w.origin, w.id = ids.system, pick("OpenBMC.0.1.DCPowerOff", "OpenBMC.0.1.DCPowerOn")
	case PartLog:
		w.id = "OpenBMC.0.1.EventLogCleared"
	case PartSystem:
		w.id = "OpenBMC.0.1.BIOSBoot"
	}
	return w
}

// mixedWords are identifiers with no registry: the last letter is the severity, 2xxx takes 0xxx back.
func mixedWords(ids treeIDs, e Event, name string) words {
	text, sev := message(e, name)
	area := map[Part]string{PartFan: "CA", PartFanRedundancy: "CA", PartPSU: "PW", PartPSURedundancy: "PW", PartDrive: "SD", PartDIMM: "MA",
		PartLeak: "CA", PartHumidity: "CA", PartLid: "SE", PartHost: "PP", PartLog: "EM", PartSystem: "OC"}[e.Part]
	n, letter := 30+int(e.What), "I"
	if e.Asserted {
		letter = map[string]string{"Critical": "M", "Warning": "J", "OK": "I"}[sev]
	} else {
		n += 2000
	}
	if e.Part == PartFan && e.What == Failed {
		n, text = 17, "Sensor "+name+" Tach has transitioned to critical from a less severe state."
		if !e.Asserted {
			n, text = 2017, "Sensor "+name+" Tach has transitioned to a less severe state from critical."
		}
	}
	w := words{id: fmt.Sprintf("FQXSP%s%04d%s", area, n, letter), severity: sev, message: text, args: []any{name}}
	switch e.Part {
	case PartLeak:
		w.origin = ids.chassis + "/LeakDetectors/LeakDetector_" + num(e.Index)
	case PartDrive:
		w.origin = ids.system + "/Storage/Raid.1/Drives/Disk.Bay." + num(e.Index)
	case PartFan:
		w.origin = ids.chassis + "/ThermalSubsystem/Fans/Fan_" + num(e.Index)
	case PartPSU:
		w.origin = ids.chassis + "/PowerSubsystem/PowerSupplies/PSU_" + num(e.Index)
	}
	return w
}

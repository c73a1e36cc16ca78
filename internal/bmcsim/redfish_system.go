package bmcsim

import (
	"maps"
	"strings"
)

// system is what stands under /redfish/v1/Systems: the same in every shape, apart from where drives are when they are gone.
func (b *treeBuilder) system() {
	p := b.ids.system
	b.add(p, "ComputerSystem.v1_20_0.ComputerSystem", "System", func() doc {
		d := doc{
			"SystemType": "Physical", "Manufacturer": b.p.Manufacturer, "Model": b.p.Model, "SerialNumber": b.id.serial, "SKU": b.id.partNumber,
			"UUID": b.id.uuid, "AssetTag": b.id.assetTag, "HostName": b.name, "BiosVersion": b.p.BIOS, "PowerState": b.powerState(),
			"Status":           doc{"State": "Enabled", "Health": b.rollup(), "HealthRollup": b.rollup()},
			"ProcessorSummary": doc{"Count": len(b.s.CPUs), "Model": "Sim Xeon 6338", "Status": status("OK", "Enabled")},
			"MemorySummary":    doc{"TotalSystemMemoryGiB": 32 * len(b.s.DIMMs), "Status": status("OK", "Enabled")},
			"Processors":       link(p + "/Processors"), "Memory": link(p + "/Memory"), "Storage": link(p + "/Storage"),
			"Links": doc{"Chassis": links([]string{b.ids.chassis}), "ManagedBy": links([]string{b.ids.manager})},
		}
		if b.hasLogs(p) {
			d["LogServices"] = link(p + "/LogServices")
		}
		return d
	})
	b.processors(p + "/Processors")
	b.memory(p + "/Memory")
	b.storage(p + "/Storage")
}

func (b *treeBuilder) processors(p string) {
	var members []string
	for i, c := range b.s.CPUs {
		id := p + "/" + c.Name
		members = append(members, id)
		b.add(id, "Processor.v1_14_0.Processor", c.Name, func() doc {
			return doc{
				"ProcessorType": "CPU", "Manufacturer": "Sim Silicon", "Model": "Sim Xeon 6338", "Socket": num(i), "TotalCores": 32, "TotalThreads": 64,
				"Status": status("OK", "Enabled"), "MaxSpeedMHz": 3200,
			}
		})
	}
	b.addCollection(p, "ProcessorCollection", "Processors Collection", members)
}

func (b *treeBuilder) memory(p string) {
	var members []string
	for _, m := range b.s.DIMMs {
		id := p + "/" + m.Name
		members = append(members, id)
		b.add(id, "Memory.v1_16_0.Memory", m.Name, func() doc {
			health := "OK"
			if m.Failed {
				health = "Critical"
			}
			return doc{
				"CapacityMiB": m.CapacityMiB, "DeviceLocator": m.Name, "Manufacturer": "Sim Memory", "PartNumber": "SM32G-3200", "SerialNumber": m.Serial,
				"MemoryDeviceType": "DDR4", "MemoryType": "DRAM", "OperatingSpeedMhz": 3200, "ErrorCorrection": "MultiBitECC",
				"Status": status(health, "Enabled"), "Metrics": link(id + "/MemoryMetrics"),
			}
		})
		b.add(id+"/MemoryMetrics", "MemoryMetrics.v1_7_0.MemoryMetrics", "Memory Metrics", func() doc {
			return doc{
				"CurrentPeriod": doc{"CorrectableECCErrorCount": m.Correctable, "UncorrectableECCErrorCount": boolInt(m.Failed)},
				"HealthData":    doc{"AlarmTrips": doc{"CorrectableECCError": m.Correctable > 0, "UncorrectableECCError": m.Failed}},
			}
		})
	}
	b.addCollection(p, "MemoryCollection", "Memory Collection", members)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (b *treeBuilder) storage(p string) {
	ctrl := p + "/Raid.1"
	b.addCollection(p, "StorageCollection", "Storage Collection", []string{ctrl})
	var drives []string
	bad := false
	for i, d := range b.s.Drives {
		bad = bad || d.Failed || d.Removed
		// Older services forget a bay with its drive; newer ones show it as absent.
		if d.Removed && b.p.Redfish == ShapeLegacy {
			continue
		}
		id := ctrl + "/Drives/Disk.Bay." + num(i)
		drives = append(drives, id)
		b.add(id, "Drive.v1_14_0.Drive", d.Name, func() doc {
			out := b.drive(d, i)
			if b.p.DriveMetrics && !d.Removed {
				out["Metrics"] = link(id + "/Metrics")
			}
			return out
		})
		if b.p.DriveMetrics && !d.Removed {
			b.driveMetrics(id, d)
		}
	}
	b.add(ctrl, "Storage.v1_13_0.Storage", "RAID Controller 1", func() doc {
		health := "OK"
		if bad {
			health = "Warning"
		}
		return doc{
			"Drives": links(drives), "Drives@odata.count": len(drives), "Volumes": link(ctrl + "/Volumes"), "Status": status(health, "Enabled"),
			"StorageControllers": []any{doc{
				"@odata.id": ctrl + "#/StorageControllers/0", "MemberId": "0", "Name": "RAID Controller 1", "Manufacturer": "Sim Storage",
				"Model": "SR-940", "FirmwareVersion": "52.21.0", "SerialNumber": "C" + b.id.boardSerial, "SpeedGbps": 12,
				"Status": status("OK", "Enabled"),
			}},
		}
	})
	var volumes []string
	if n := len(b.s.Drives); n >= 2 {
		id := ctrl + "/Volumes/1"
		volumes = append(volumes, id)
		lost := boolInt(b.s.Drives[0].Failed || b.s.Drives[0].Removed) + boolInt(b.s.Drives[1].Failed || b.s.Drives[1].Removed)
		b.add(id, "Volume.v1_9_0.Volume", "Virtual Disk 1", func() doc {
			return doc{
				"CapacityBytes": b.s.Drives[0].CapacityBytes, "RAIDType": "RAID1", "Encrypted": false, "Operations": []any{},
				"Status": status([]string{"OK", "Warning", "Critical"}[lost], "Enabled"),
				"Links":  doc{"Drives": links([]string{ctrl + "/Drives/Disk.Bay.0", ctrl + "/Drives/Disk.Bay.1"})},
			}
		})
	}
	b.addCollection(ctrl+"/Volumes", "VolumeCollection", "Volume Collection", volumes)
}

func (b *treeBuilder) drive(d DriveState, i int) doc {
	out := doc{
		"PhysicalLocation": doc{"PartLocation": doc{"LocationType": "Bay", "LocationOrdinalValue": i, "ServiceLabel": "Bay=" + num(i)}},
	}
	if d.Removed {
		out["Status"] = status("", "Absent")
		return out
	}
	health, indicator := "OK", "OK"
	switch {
	case d.Failed:
		health, indicator = "Critical", "Fail"
	case d.Predicted:
		health, indicator = "Warning", "PredictiveFailureAnalysis"
	}
	maps.Copy(out, doc{
		"Manufacturer": "Sim Storage", "Model": d.Model, "SerialNumber": d.Serial, "PartNumber": "SN-1920", "Revision": "1.0.4",
		"CapacityBytes": d.CapacityBytes, "BlockSizeBytes": 512, "MediaType": "SSD", "Protocol": "NVMe", "HotspareType": "None",
		"FailurePredicted": d.Predicted, "PredictedMediaLifeLeftPercent": d.LifeLeft, "StatusIndicator": indicator,
		"Status": status(health, "Enabled"),
	})
	return out
}

func (b *treeBuilder) hasLogs(under string) bool {
	for _, l := range b.ids.logs {
		if strings.HasPrefix(l.path, under+"/") {
			return true
		}
	}
	return false
}

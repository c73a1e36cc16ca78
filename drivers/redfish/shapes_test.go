package redfish

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

// twoVisits reads a machine in full, then each tier warm: the parts are the same, and nothing seems gone or new.
func twoVisits(t *testing.T, tree map[string]string) *health.Snapshot {
	t.Helper()
	srv := newService(t, tree)
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	checkSnapshot(t, s)
	for _, tier := range health.AllTiers {
		w := read(t, c, health.Request{Tiers: health.TiersOf(tier), Memory: s.Memory, Cursors: s.NextCursors})
		checkSnapshot(t, w)
		for _, x := range w.Components {
			if component(s, x.ID) == nil {
				t.Errorf("tier %s: %s is new", tier, x.ID)
			}
		}
		for _, x := range s.Components {
			if x.Tier == tier && component(w, x.ID) == nil && slices.Contains(w.Scope, x.Place) {
				t.Errorf("tier %s: %s seems gone from %s", tier, x.ID, x.Place)
			}
		}
	}
	return s
}

// Machines as other firmware describes them; each shape with what must come of it.
func TestShapes(t *testing.T) {
	link := func(uri string) map[string]any { return map[string]any{"@odata.id": uri} }
	const (
		sys = "/redfish/v1/Systems/1"
		cha = "/redfish/v1/Chassis/1"
	)
	drive := func(id, serial string) string {
		return fmt.Sprintf(`{"Id":%q,"Name":"Disk %s","SerialNumber":%q,"Model":"D","Status":{"Health":"OK","State":"Enabled"}}`, id, id, serial)
	}
	for name, x := range map[string]struct {
		change func(tree map[string]string)
		check  func(t *testing.T, s *health.Snapshot)
	}{
		"drives under the chassis' Drives alone": {func(tree map[string]string) {
			change(t, tree, sys, func(d map[string]any) { delete(d, "Storage") })
			change(t, tree, cha, func(d map[string]any) { d["Drives"] = link(cha + "/Drives") })
			tree[cha+"/Drives"] = `{"Members":[{"@odata.id":"` + cha + `/Drives/A"},{"@odata.id":"` + cha + `/Drives/B"}]}`
			tree[cha+"/Drives/A"], tree[cha+"/Drives/B"] = drive("A", "S1"), drive("B", "S1")
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassDrive, 1) }}, // one serial number, one drive
		"drives that the chassis' Links alone name": {func(tree map[string]string) {
			change(t, tree, sys, func(d map[string]any) { delete(d, "Storage") })
			change(t, tree, cha, func(d map[string]any) {
				d["Links"] = map[string]any{"Drives": []any{link(cha + "/Drives/A"), link(cha + "/Drives/B"), link(cha + "/Drives/A")}}
			})
			tree[cha+"/Drives/A"], tree[cha+"/Drives/B"] = drive("A", "S1"), drive("B", "S2")
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassDrive, 2) }},
		"drives of Storage that the chassis' Links name as well": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) {
				d["Links"] = map[string]any{"Drives": []any{link(sys + "/Storage/RAID/Drives/0"), link(sys + "/Storage/AHCI/Drives/0")}}
			})
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassDrive, 3) }},
		"Storage is the one storage, no collection": {func(tree map[string]string) {
			change(t, tree, sys, func(d map[string]any) { d["Storage"] = link(sys + "/Storage/RAID") })
			change(t, tree, sys+"/Storage/RAID", func(d map[string]any) { d["@odata.type"] = "#Storage.v1_8_0.Storage" })
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassDrive, 2) }},
		"Chassis and Systems are single objects": {func(tree map[string]string) {
			change(t, tree, rootURI, func(d map[string]any) { d["Chassis"], d["Systems"] = link(cha), link(sys) })
			change(t, tree, cha, func(d map[string]any) { d["@odata.type"] = "#Chassis.v1_10_0.Chassis" })
			change(t, tree, sys, func(d map[string]any) { d["@odata.type"] = "#ComputerSystem.v1_10_0.ComputerSystem" })
		}, func(t *testing.T, s *health.Snapshot) {
			wantCount(t, s, health.ClassFan, 5)
			wantCount(t, s, health.ClassDrive, 3)
		}},
		"an empty collection is none": {func(tree map[string]string) {
			tree[sys+"/Memory"] = `{"@odata.type":"#MemoryCollection.MemoryCollection","Members":[],"Members@odata.count":0}`
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassMemory, 0) }},
		"memory and processors that are absent, disabled, failed": {func(tree map[string]string) {
			for i, st := range []string{`{"State":"Absent"}`, `{"State":"Disabled","Health":"OK"}`, `{"State":"UnavailableOffline","Health":"Critical"}`, `{"State":"Enabled","Health":"Warning"}`} {
				tree[fmt.Sprintf("%s/Memory/D%d", sys, i)] = fmt.Sprintf(`{"Id":"D%d","CapacityMiB":16384,"SerialNumber":"SAME","Status":%s}`, i, st)
				tree[fmt.Sprintf("%s/Processors/P%d", sys, i)] = fmt.Sprintf(`{"Id":"P%d","ProcessorType":"CPU","Status":%s}`, i, st)
			}
			for _, c := range []string{"Memory/D", "Processors/P"} {
				place, _, _ := strings.Cut(c, "/")
				var l []string
				for i := range 4 {
					l = append(l, fmt.Sprintf(`{"@odata.id":"%s/%s%d"}`, sys, c, i))
				}
				l = append(l, fmt.Sprintf(`{"@odata.id":"%s/Processors/Settings"}`, sys))
				if place == "Memory" {
					l = l[:4]
				}
				tree[sys+"/"+place] = `{"Members":[` + strings.Join(l, ",") + `]}`
			}
		}, func(t *testing.T, s *health.Snapshot) {
			for _, class := range []string{"memory/D", "cpu/P"} {
				wantState(t, s, health.ComponentID(class+"0"), health.Absent, health.Unknown)
				wantState(t, s, health.ComponentID(class+"1"), health.Present, health.Unknown)
				wantState(t, s, health.ComponentID(class+"2"), health.Present, health.Critical)
				wantState(t, s, health.ComponentID(class+"3"), health.Present, health.Warning)
			}
			wantCount(t, s, health.ClassMemory, 4) // with one serial number: within a system they are four
			wantCount(t, s, health.ClassCPU, 4)
		}},
		"four nodes in one chassis": {func(tree map[string]string) {
			var systems, chassis []string
			for n := range 4 {
				for u, b := range maps.Clone(tree) {
					for _, root := range []string{"/redfish/v1/Systems", "/redfish/v1/Chassis"} {
						if rest, ok := strings.CutPrefix(u, root+"/1"); ok && (rest == "" || rest[0] == '/') {
							b = strings.ReplaceAll(b, root+"/1", fmt.Sprintf("%s/Node%d", root, n))
							b = strings.ReplaceAll(b, "/redfish/v1/Chassis/1", fmt.Sprintf("/redfish/v1/Chassis/Node%d", n))
							tree[fmt.Sprintf("%s/Node%d%s", root, n, rest)] = b
						}
					}
				}
				systems = append(systems, fmt.Sprintf(`{"@odata.id":"/redfish/v1/Systems/Node%d"}`, n))
				chassis = append(chassis, fmt.Sprintf(`{"@odata.id":"/redfish/v1/Chassis/Node%d"}`, n))
				for u, b := range tree { // their parts have serial numbers of their own
					if strings.Contains(u, fmt.Sprintf("/Node%d/", n)) {
						tree[u] = strings.ReplaceAll(b, `"SerialNumber": "`, fmt.Sprintf(`"SerialNumber": "N%d-`, n))
					}
				}
			}
			tree["/redfish/v1/Systems"], tree["/redfish/v1/Chassis"] = `{"Members":[`+strings.Join(systems, ",")+`]}`, `{"Members":[`+strings.Join(chassis, ",")+`]}`
		}, func(t *testing.T, s *health.Snapshot) {
			for class, n := range map[health.Class]int{health.ClassSystem: 4, health.ClassFan: 20, health.ClassPSU: 8, health.ClassDrive: 12, health.ClassMemory: 8} {
				wantCount(t, s, class, n)
			}
		}},
		"environment excerpts that name no sensor": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["EnvironmentMetrics"] = link(cha + "/EnvironmentMetrics") })
			tree[cha+"/EnvironmentMetrics"] = `{"HumidityPercent":{"Reading":48.5},"DewPointCelsius":11.5,"TemperatureCelsius":{"Reading":23},"PowerWatts":{"Reading":0}}`
		}, func(t *testing.T, s *health.Snapshot) {
			wantMeasured(t, s, health.RelativeHumidity, 48.5)
			wantMeasured(t, s, health.DewPoint, 11.5)
		}},
		"HPE's boolean": {func(tree map[string]string) {
			change(t, tree, thermal, func(d map[string]any) {
				d["Oem"] = map[string]any{"Hpe": map[string]any{"LiquidCoolingLeakageDetected": true}}
			})
		}, func(t *testing.T, s *health.Snapshot) { wantLeak(t, s, health.SeverityCritical) }},
		"Supermicro's text": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["Sensors"] = link(cha + "/Sensors") })
			tree[cha+"/Sensors"] = `{"Members":[{"@odata.id":"` + cha + `/Sensors/Leakage1"}]}`
			tree[cha+"/Sensors/Leakage1"] = `{"Id":"Leakage1","Name":"Leakage Sensor 1","Status":{"State":"Enabled","Health":"OK"},"Oem":{"Supermicro":{"SensorValue":"Leakage Detected"}}}`
		}, func(t *testing.T, s *health.Snapshot) { wantLeak(t, s, health.SeverityCritical) }},
		"Supermicro's text of something abnormal": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["Sensors"] = link(cha + "/Sensors") })
			tree[cha+"/Sensors"] = `{"Members":[{"@odata.id":"` + cha + `/Sensors/Leakage1"}]}`
			tree[cha+"/Sensors/Leakage1"] = `{"Id":"Leakage1","Name":"Leakage Sensor 1","Status":{"State":"Enabled","Health":"OK"},"Oem":{"Supermicro":{"SensorValue":"Abnormal"}}}`
		}, func(t *testing.T, s *health.Snapshot) { wantLeak(t, s, health.SeverityCritical) }},
		"a wet detector in capitals, beside a Health of OK": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["ThermalSubsystem"] = link(cha + "/ThermalSubsystem") })
			tree[cha+"/ThermalSubsystem"] = `{"LeakDetection":{"@odata.id":"` + cha + `/LeakDetection"}}`
			tree[cha+"/LeakDetection"] = `{"Id":"LeakDetection","Name":"Leak","DetectorState":"CRITICAL","Status":{"Health":"OK","State":"Enabled"}}`
		}, func(t *testing.T, s *health.Snapshot) { wantLeak(t, s, health.SeverityCritical) }},
		"a detector in a state that has no meaning known to us": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["ThermalSubsystem"] = link(cha + "/ThermalSubsystem") })
			tree[cha+"/ThermalSubsystem"] = `{"LeakDetection":{"@odata.id":"` + cha + `/LeakDetection"}}`
			tree[cha+"/LeakDetection"] = `{"Id":"LeakDetection","Name":"Leak","DetectorState":"Seeping","Status":{"Health":"OK","State":"Enabled"}}`
		}, func(t *testing.T, s *health.Snapshot) {
			l := ofClass(s, health.ClassLeakDetector)
			if len(l) != 1 || l[0].State != health.Unknown || hasCondition(&l[0], health.KindLeakDetected, health.SeverityOK) {
				t.Errorf("taken for dry: %+v", l)
			}
		}},
		"Cray's alarm": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["Oem"] = map[string]any{"Alarms": link(cha + "/Oem/Alarms")} })
			tree[cha+"/Oem/Alarms"] = `{"Members":[{"@odata.id":"` + cha + `/Oem/Alarms/LeakAlarm1"},{"@odata.id":"` + cha + `/Oem/Alarms/DoorAlarm"}]}`
			tree[cha+"/Oem/Alarms/LeakAlarm1"] = `{"Id":"LeakAlarm1","Name":"Leak Alarm 1","AlarmState":"Triggered","Severity":"Critical"}`
		}, func(t *testing.T, s *health.Snapshot) { wantLeak(t, s, health.SeverityCritical) }},
		"a power shelf, a PDU and a cooling unit": {func(tree map[string]string) {
			change(t, tree, rootURI, func(d map[string]any) {
				d["PowerEquipment"], d["ThermalEquipment"] = link("/redfish/v1/PowerEquipment"), link("/redfish/v1/ThermalEquipment")
			})
			shelf, pdu, cdu := "/redfish/v1/PowerEquipment/PowerShelves/1", "/redfish/v1/PowerEquipment/RackPDUs/7", "/redfish/v1/ThermalEquipment/CDUs/3"
			tree["/redfish/v1/PowerEquipment"] = `{"PowerShelves":{"@odata.id":"/redfish/v1/PowerEquipment/PowerShelves"},"RackPDUs":{"@odata.id":"/redfish/v1/PowerEquipment/RackPDUs"}}`
			tree["/redfish/v1/PowerEquipment/PowerShelves"] = `{"Members":[{"@odata.id":"` + shelf + `"}]}`
			tree["/redfish/v1/PowerEquipment/RackPDUs"] = `{"Members":[{"@odata.id":"` + pdu + `"}]}`
			tree["/redfish/v1/ThermalEquipment"] = `{"CDUs":{"@odata.id":"/redfish/v1/ThermalEquipment/CDUs"}}`
			tree["/redfish/v1/ThermalEquipment/CDUs"] = `{"Members":[{"@odata.id":"` + cdu + `"}]}`
			tree[shelf] = `{"Id":"1","Name":"Shelf","Status":{"Health":"Warning","State":"Enabled"},"PowerSupplies":{"@odata.id":"` + shelf + `/PowerSupplies"}}`
			tree[shelf+"/PowerSupplies"] = `{"Members":[{"@odata.id":"` + shelf + `/PowerSupplies/A"},{"@odata.id":"` + shelf + `/PowerSupplies/B"}]}`
			tree[shelf+"/PowerSupplies/A"] = `{"Id":"A","Name":"Rectifier A","SerialNumber":"R1","Status":{"Health":"OK","State":"Enabled"}}`
			tree[shelf+"/PowerSupplies/B"] = `{"Id":"B","Name":"Supply again","SerialNumber":"P1","Status":{"Health":"OK","State":"Enabled"}}`
			tree[pdu] = `{"Id":"7","Name":"PDU","Status":{"Health":"OK","State":"Enabled"},"EnvironmentMetrics":{"@odata.id":"` + pdu + `/EnvironmentMetrics"}}`
			tree[pdu+"/EnvironmentMetrics"] = `{"HumidityPercent":{"Reading":61},"PowerWatts":{"Reading":2200}}`
			tree[cdu] = `{"Id":"3","Name":"CDU","Status":{"Health":"Critical","State":"Enabled"},"LeakDetection":{"@odata.id":"` + cdu + `/LeakDetection"}}`
			tree[cdu+"/LeakDetection"] = `{"LeakDetectorGroups":[{"GroupName":"Tray","Detectors":[{"DeviceName":"Rope","DetectorState":"Critical"}]}]}`
		}, func(t *testing.T, s *health.Snapshot) {
			wantCount(t, s, health.ClassPSU, 3) // the third again in the chassis: once
			wantState(t, s, "psu/1:A", health.Present, health.OK)
			wantState(t, s, "power_unit/1", health.Present, health.Warning)
			wantState(t, s, "chassis/3", health.Present, health.Critical)
			wantMeasured(t, s, health.RelativeHumidity, 61)
			wantLeak(t, s, health.SeverityCritical)
		}},
		"two trees that disagree": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["ThermalSubsystem"] = link(cha + "/ThermalSubsystem") })
			tree[cha+"/ThermalSubsystem"] = `{"Fans":{"@odata.id":"` + cha + `/ThermalSubsystem/Fans"}}`
			tree[cha+"/ThermalSubsystem/Fans"] = `{"Members":[{"@odata.id":"` + cha + `/ThermalSubsystem/Fans/F1"},{"@odata.id":"` + cha + `/ThermalSubsystem/Fans/F9"}]}`
			tree[cha+"/ThermalSubsystem/Fans/F1"] = `{"Id":"F1","Name":"Fan 1","SpeedPercent":{"Reading":40,"SpeedRPM":100},"Status":{"Health":"Critical","State":"Enabled"}}`
			tree[cha+"/ThermalSubsystem/Fans/F9"] = `{"Id":"F9","Name":"Fan 9","Status":{"Health":"OK","State":"Enabled"}}`
		}, func(t *testing.T, s *health.Snapshot) {
			wantCount(t, s, health.ClassFan, 6)
			wantState(t, s, "fan/Fan_1", health.Present, health.Critical) // the worse word counts
			wantValue(t, s, "fan/Fan_1", health.Speed, 6000)              // the first number stands
		}},
		"links that lead nowhere": {func(tree map[string]string) {
			for _, u := range []string{sys + "/Memory", sys + "/Processors/CPU1", cha + "/Power"} {
				delete(tree, u)
			}
		}, func(t *testing.T, s *health.Snapshot) {
			if len(missing(s)) != 3 { // Power, the list of modules, one processor
				t.Errorf("gaps %+v", s.Gaps)
			}
			wantCount(t, s, health.ClassFan, 5)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := ownTree(t, "classic")
			x.change(tree)
			x.check(t, twoVisits(t, tree))
		})
	}
}

func wantCount(t testing.TB, s *health.Snapshot, class health.Class, n int) {
	t.Helper()
	if got := ids(s, class); len(got) != n {
		t.Errorf("%d of class %s, want %d: %v", len(got), class, n, got)
	}
}

// wantMeasured: one humidity sensor measures the quantity.
func wantMeasured(t testing.TB, s *health.Snapshot, q health.Quantity, v float64) {
	t.Helper()
	var got []health.Reading
	for _, r := range s.Readings {
		if r.Quantity == q && strings.HasPrefix(string(r.Component), string(health.ClassHumidity)+"/") {
			got = append(got, r)
		}
	}
	if len(got) != 1 || got[0].Value != v {
		t.Errorf("%s: %+v, want %v", q, got, v)
	}
}

func wantLeak(t testing.TB, s *health.Snapshot, sev health.Severity) {
	t.Helper()
	l := ofClass(s, health.ClassLeakDetector)
	if len(l) != 1 || !hasCondition(&l[0], health.KindLeakDetected, sev) {
		t.Errorf("leak detectors %+v", l)
	}
}

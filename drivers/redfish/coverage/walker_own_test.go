package coverage_test

import (
	"strings"
	"testing"

	"dewline/health"
)

// small makes a tree of hand-written documents; a service root that links to all of them is added unless one is given.
func small(t *testing.T, docs map[string]string) *tree {
	t.Helper()
	raw := map[string][]byte{}
	var all []string
	for url, text := range docs {
		raw[root+url] = []byte(text)
		all = append(all, `{"@odata.id":"`+root+url+`"}`)
	}
	if _, given := docs[""]; !given {
		raw[root] = []byte(`{"@odata.type":"#ServiceRoot.v1_9_0.ServiceRoot","All":[` + strings.Join(all, ",") + `]}`)
	}
	tr := parseTree(raw)
	if len(tr.broken) > 0 {
		t.Fatalf("broken documents: %v", tr.broken)
	}
	return tr
}

func TestWalkerCountsPhysicalParts(t *testing.T) {
	for name, c := range map[string]struct {
		docs map[string]string
		want map[health.Class]int
	}{
		"a fan of both trees once, a rotor of its own, a duty sensor of neither": {
			map[string]string{
				"/Chassis/1/Thermal":                   `{"@odata.type":"#Thermal.v1_0_0.Thermal","Fans":[{"MemberId":"0","Name":"System Board Fan1A","Reading":9,"ReadingUnits":"RPM"},{"MemberId":"1","Name":"Fan 7","Reading":9,"ReadingUnits":"RPM"}]}`,
				"/Chassis/1/ThermalSubsystem/Fans/F.1": `{"@odata.type":"#Fan.v1_0_0.Fan","Id":"F.1","Name":"Fan 1A","SpeedPercent":{"SpeedRPM":9}}`,
				"/Chassis/1/Sensors/R":                 `{"@odata.type":"#Sensor.v1_0_0.Sensor","Id":"R","Name":"Rear rotor","ReadingType":"Rotational","ReadingUnits":"RPM","Reading":8}`,
				"/Chassis/1/Sensors/PWM":               `{"@odata.type":"#Sensor.v1_0_0.Sensor","Id":"PWM","Name":"FAN PWM","ReadingType":"Percent","ReadingUnits":"%","Reading":8}`,
			},
			map[health.Class]int{health.ClassFan: 3},
		},
		"two supplies of one name by their serials, and the same serial in both trees once": {
			map[string]string{
				"/Chassis/1/Power":                          `{"@odata.type":"#Power.v1_0_0.Power","PowerSupplies":[{"MemberId":"0","Name":"PSU","SerialNumber":"A"},{"MemberId":"1","Name":"PSU","SerialNumber":"B"}]}`,
				"/Chassis/1/PowerSubsystem/PowerSupplies/1": `{"@odata.type":"#PowerSupply.v1_0_0.PowerSupply","Id":"1","Name":"Supply","SerialNumber":"A"}`,
			},
			map[health.Class]int{health.ClassPSU: 2},
		},
		"one temperature under three names and three of one name": {
			map[string]string{
				"/Chassis/1/Thermal":    `{"Temperatures":[{"MemberId":"0","Name":"Inlet Temp","ReadingCelsius":20},{"MemberId":"1","Name":"X","ReadingCelsius":20},{"MemberId":"2","Name":"X","ReadingCelsius":21},{"MemberId":"3","Name":"other","DataSourceUri":"/redfish/v1/Chassis/1/Sensors/T2"},{"@odata.id":"#/Temperatures/4"},{"Name":""}]}`,
				"/Chassis/1/Sensors/T1": `{"@odata.type":"#Sensor.v1_0_0.Sensor","Id":"T1","Name":"Inlet Temperature","ReadingType":"Temperature","ReadingUnits":"Cel","Reading":20}`,
				"/Chassis/1/Sensors/T2": `{"@odata.type":"#Sensor.v1_0_0.Sensor","Id":"T2","Name":"Y","ReadingUnits":"Cel","Reading":20}`,
				"/Chassis/2/Sensors/T1": `{"@odata.type":"#Sensor.v1_0_0.Sensor","Id":"T1","Name":"Inlet Temperature","ReadingType":"Temperature","ReadingUnits":"Cel","Reading":20}`,
			},
			map[health.Class]int{health.ClassTemperature: 5},
		},
		"a drive in two places once, an inner one, and no SimpleStorage beside them": {
			map[string]string{
				"/Chassis/1/Drives/0":           `{"@odata.type":"#Drive.v1_0_0.Drive","Id":"0","SerialNumber":"S1"}`,
				"/Systems/1/Storage/1/Drives/0": `{"@odata.type":"#Drive.v1_0_0.Drive","Id":"0","SerialNumber":"S1"}`,
				"/Systems/1/Storage/2":          `{"@odata.type":"#Storage.v1_0_0.Storage","Drives":[{"@odata.id":"/redfish/v1/Systems/1/Storage/2#/Drives/0","Id":"9","SerialNumber":"S2"},{"@odata.id":"/redfish/v1/Chassis/1/Drives/0"}]}`,
				"/Systems/1/SimpleStorage/1":    `{"@odata.type":"#SimpleStorage.v1_0_0.SimpleStorage","Devices":[{"Name":"Slot 0"}]}`,
			},
			map[health.Class]int{health.ClassDrive: 2},
		},
		"SimpleStorage where there is nothing else": {
			map[string]string{"/Systems/1/SimpleStorage/1": `{"@odata.type":"#SimpleStorage.v1_0_0.SimpleStorage","Devices":[{"Name":"Bay 1"},{"Name":"Bay 2","Status":{"State":"Absent"}}]}`},
			map[health.Class]int{health.ClassDrive: 2},
		},
		"modules of one list with one serial are two, of two systems one": {
			map[string]string{
				"/Systems/1/Memory/A":          `{"@odata.type":"#Memory.v1_0_0.Memory","Id":"A","SerialNumber":"77"}`,
				"/Systems/1/Memory/B":          `{"@odata.type":"#Memory.v1_0_0.Memory","Id":"B","SerialNumber":"77"}`,
				"/Systems/2/Memory/A":          `{"@odata.type":"#Memory.v1_0_0.Memory","Id":"A","SerialNumber":"77"}`,
				"/Systems/2/Memory/A/Settings": `{"@odata.type":"#Memory.v1_0_0.Memory","Id":"Settings"}`,
			},
			map[health.Class]int{health.ClassMemory: 2},
		},
		"processors without settings, GPUs apart, an FPGA among them": {
			map[string]string{
				"/Systems/1/Processors/1":          `{"@odata.type":"#Processor.v1_0_0.Processor","Id":"1","ProcessorType":"CPU"}`,
				"/Systems/1/Processors/1/Settings": `{"@odata.type":"#Processor.v1_0_0.Processor","Id":"Settings"}`,
				"/Systems/1/Processors/G0":         `{"@odata.type":"#Processor.v1_0_0.Processor","Id":"G0","ProcessorType":"GPU","SerialNumber":"000"}`,
				"/Systems/2/Processors/G0":         `{"@odata.type":"#Processor.v1_0_0.Processor","Id":"G0","ProcessorType":"GPU","SerialNumber":"000"}`,
				"/Systems/1/Processors/F":          `{"@odata.type":"#Processor.v1_0_0.Processor","Id":"F","ProcessorType":"FPGA"}`,
			},
			map[health.Class]int{health.ClassCPU: 1, health.ClassGPU: 3},
		},
		"leak detectors as resources, as excerpts, as alarms": {
			map[string]string{
				"/Chassis/1/TS/LD/LeakDetectors/1": `{"@odata.type":"#LeakDetector.v1_1_0.LeakDetector","Id":"1","DetectorState":"OK"}`,
				"/Chassis/1/TS/LD":                 `{"@odata.type":"#LeakDetection.v1_0_0.LeakDetection","LeakDetectorGroups":[{"GroupName":"G","Detectors":[{"DataSourceUri":"/redfish/v1/Chassis/1/TS/LD/LeakDetectors/1","DetectorState":"OK"},{"DeviceName":"rope","DetectorState":"Critical"}]}]}`,
				"/Chassis/1/Oem/Alarms/LeakEarly":  `{"@odata.type":"#Alarm.v0_9_0.Alarm","Id":"LeakEarly","AlarmState":"Armed"}`,
				"/Chassis/1/Oem/Alarms/Door":       `{"@odata.type":"#Alarm.v0_9_0.Alarm","Id":"Door","AlarmState":"Armed"}`,
			},
			map[health.Class]int{health.ClassLeakDetector: 3},
		},
		"humidity": {
			map[string]string{"/Chassis/1/Sensors/RH": `{"@odata.type":"#Sensor.v1_0_0.Sensor","Id":"RH","ReadingType":"Humidity","ReadingUnits":"%","Reading":41}`},
			map[health.Class]int{health.ClassHumidity: 1},
		},
		"members written out in their collection, and an error for a document": {
			map[string]string{
				"/Chassis/1/PowerSubsystem/PowerSupplies": `{"@odata.type":"#PowerSupplyCollection.PowerSupplyCollection","Members":[{"@odata.id":"/redfish/v1/Chassis/1/PowerSubsystem/PowerSupplies/1","@odata.type":"#PowerSupply.v1_0_0.PowerSupply","Id":"1","SerialNumber":"REDACTED"},{"@odata.id":"/redfish/v1/Chassis/1/PowerSubsystem/PowerSupplies/2","@odata.type":"#PowerSupply.v1_0_0.PowerSupply","Id":"2","SerialNumber":"REDACTED"}]}`,
				"/Chassis/1/Power":                        `{"error":{"code":"Base.1.4.ResourceMissingAtURI"}}`,
			},
			map[health.Class]int{health.ClassPSU: 2},
		},
		"nothing that no link reaches": {
			map[string]string{
				"":                   `{"@odata.type":"#ServiceRoot.v1_9_0.ServiceRoot","Chassis":{"@odata.id":"/redfish/v1/Chassis"}}`,
				"/Chassis":           `{"@odata.type":"#ChassisCollection.ChassisCollection","Members":["/redfish/v1/Chassis/1/"]}`,
				"/Chassis/1":         `{"@odata.type":"#Chassis.v1_0_0.Chassis","Thermal":{"@odata.id":"/redfish/v1/Chassis/1/Thermal#/x"}}`,
				"/Chassis/1/Thermal": `{"@odata.type":"#Thermal.v1_0_0.Thermal","Fans":[{"MemberId":"0","Name":"F"}]}`,
				"/Chassis/2/Thermal": `{"@odata.type":"#Thermal.v1_0_0.Thermal","Fans":[{"MemberId":"0","Name":"F"}]}`,
			},
			map[health.Class]int{health.ClassFan: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := walk(small(t, c.docs))
			for _, class := range walked {
				if got := len(w.of(class)); got != c.want[class] {
					t.Errorf("%s: %d, want %d", class, got, c.want[class])
				}
			}
		})
	}
}

func TestWalkerReadsValuesAndStates(t *testing.T) {
	w := walk(small(t, map[string]string{
		"/Chassis/1/Thermal": `{"Temperatures":[
			{"MemberId":"0","Name":"CPU","ReadingCelsius":41.5,"Status":{"State":"Enabled","Health":"OK"}},
			{"MemberId":"1","Name":"Empty","ReadingCelsius":0,"Status":{"State":"Absent"}},
			{"MemberId":"2","Name":"Off","ReadingCelsius":0,"Status":{"State":"Disabled"}},
			{"MemberId":"3","Name":"P1 Therm Margin","ReadingCelsius":-71}]}`,
		"/Chassis/1/Sensors/O":               `{"@odata.type":"#Sensor.v1_0_0.Sensor","Id":"O","Name":"PCIe OverTemp","ReadingType":"Temperature","ReadingUnits":"","Reading":0}`,
		"/Chassis/1/ThermalSubsystem/Fans/1": `{"@odata.type":"#Fan.v1_0_0.Fan","Id":"1","Name":"Fan 1","SpeedPercent":{"SpeedRPM":6431,"Reading":6431}}`,
	}))
	byName := map[string]*part{}
	for _, p := range w.parts {
		byName[p.names[0]] = p
	}
	for name, c := range map[string]struct {
		q                   health.Quantity
		v                   float64
		demanded, forbidden bool
	}{
		"CPU":             {health.Temperature, 41.5, true, false},
		"Empty":           {health.Temperature, 0, false, false},
		"Off":             {health.Temperature, 0, false, false},
		"P1 Therm Margin": {health.TemperatureMargin, -71, true, false},
		"Fan 1":           {health.Speed, 6431, true, false},
	} {
		p := byName[name]
		if p == nil {
			t.Errorf("%s was not found", name)
			continue
		}
		if v := p.values[c.q]; len(v) != 1 || v[0] != c.v {
			t.Errorf("%s: %s %v, want %v", name, c.q, v, c.v)
		}
		if got := len(p.demand) > 0; got != c.demanded {
			t.Errorf("%s: demanded %v, want %v", name, p.demand, c.demanded)
		}
	}
	if !byName["Empty"].absent() || byName["Off"].absent() {
		t.Error("only State Absent is absent")
	}
	if p := byName["PCIe OverTemp"]; len(p.values) != 0 || len(p.forbid) != 1 || p.forbid[0] != health.Temperature {
		t.Errorf("a state without a unit is no temperature: %+v", p)
	}
	if f := byName["Fan 1"].forbid; len(f) != 1 || f[0] != health.Duty {
		t.Errorf("6431 is no percentage: %v", f)
	}
}

func TestWalkerCountsLogsAndEntries(t *testing.T) {
	w := walk(small(t, map[string]string{
		"/Managers/1/LogServices/Sel":           `{"@odata.type":"#LogService.v1_0_0.LogService","Id":"Sel","Name":"SEL","Entries":{"@odata.id":"/redfish/v1/Managers/1/LogServices/Sel/Entries"}}`,
		"/Managers/1/LogServices/Sel/Entries":   `{"@odata.type":"#LogEntryCollection.LogEntryCollection","Members":[{"@odata.id":"/x/1","Id":"1","Message":"in line"},{"@odata.id":"/redfish/v1/Managers/1/LogServices/Sel/Entries/2"},{"@odata.id":"/gone"}],"Members@odata.nextLink":"/redfish/v1/Managers/1/LogServices/Sel/Next"}`,
		"/Managers/1/LogServices/Sel/Entries/2": `{"@odata.type":"#LogEntry.v1_0_0.LogEntry","Id":"2"}`,
		"/Managers/1/LogServices/Sel/Next":      `{"@odata.type":"#LogEntryCollection.LogEntryCollection","Members":[{"Id":"3","Message":"next page"}]}`,
		"/Managers/1/LogServices/Journal":       `{"@odata.type":"#LogService.v1_0_0.LogService","Id":"Journal","Name":"Journal","Entries":{"@odata.id":"/redfish/v1/x"}}`,
		"/Managers/1/LogServices/None":          `{"@odata.type":"#LogService.v1_0_0.LogService","Id":"None","Name":"SEL"}`,
		"/Managers/1/Remote":                    `{"@odata.type":"#LogEntryCollection.LogEntryCollection","Members":[]}`,
	}))
	if len(w.logs) != 3 {
		t.Fatalf("%d log services, want 3", len(w.logs))
	}
	for i, want := range []logTruth{{id: "Journal", kind: otherLog}, {id: "None", kind: noEntries}, {id: "Sel", kind: hardwareLog, entries: 3}} {
		if got := w.logs[i]; got.id != want.id || got.kind != want.kind || got.entries != want.entries {
			t.Errorf("log %d: %s %s %d, want %s %s %d", i, got.id, got.kind, got.entries, want.id, want.kind, want.entries)
		}
	}
}

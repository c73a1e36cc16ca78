package redfish

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/health"
)

// Machines that no recording is of: what their firmware may write all the same, and what must come of it.
func TestStrangeMachines(t *testing.T) {
	link := func(uri string) map[string]any { return map[string]any{"@odata.id": uri} }
	const (
		sys = "/redfish/v1/Systems/1"
		cha = "/redfish/v1/Chassis/1"
	)
	dimms := sys + "/Memory"
	gapOf := func(t *testing.T, s *health.Snapshot, part, words string) {
		t.Helper()
		if !slices.ContainsFunc(s.Gaps, func(g health.Gap) bool { return strings.Contains(g.Part, part) && strings.Contains(g.Error, words) }) {
			t.Errorf("no gap of %s that says %q: %+v", part, words, s.Gaps)
		}
	}
	for name, x := range map[string]struct {
		change func(tree map[string]string)
		check  func(t *testing.T, s *health.Snapshot)
	}{
		"a list that counts more than it has": {func(tree map[string]string) {
			change(t, tree, dimms, func(d map[string]any) { d["Members@odata.count"] = "4" })
		}, func(t *testing.T, s *health.Snapshot) {
			wantCount(t, s, health.ClassMemory, 2)
			gapOf(t, s, dimms, "2 of the 4")
			if slices.Contains(s.Scope, dimms) {
				t.Error("what it does not list would be taken for gone")
			}
		}},
		"a list that counts fewer than it has": {func(tree map[string]string) {
			change(t, tree, dimms, func(d map[string]any) { d["Members@odata.count"] = 1 })
		}, func(t *testing.T, s *health.Snapshot) {
			wantCount(t, s, health.ClassMemory, 2)
			if !slices.Contains(s.Scope, dimms) {
				t.Error("it is not read whole")
			}
		}},
		"the list of chassis counts more than it has": {func(tree map[string]string) {
			change(t, tree, "/redfish/v1/Chassis", func(d map[string]any) { d["Members@odata.count"] = 9 })
		}, func(t *testing.T, s *health.Snapshot) {
			wantCount(t, s, health.ClassFan, 5)
			gapOf(t, s, "/redfish/v1/Chassis", "1 of the 9")
		}},
		"a member on another host, and one that is null": {func(tree map[string]string) {
			change(t, tree, dimms, func(d map[string]any) {
				d["Members"] = []any{nil, link(dimms + "/DIMM1"), link("https://elsewhere.invalid" + dimms + "/DIMM2")}
				delete(d, "Members@odata.count")
			})
		}, func(t *testing.T, s *health.Snapshot) {
			wantCount(t, s, health.ClassMemory, 1)
			gapOf(t, s, dimms, "1 of them lead nowhere")
		}},
		"a first page without members": {func(tree map[string]string) {
			tree[dimms+"/page2"] = tree[dimms]
			tree[dimms] = `{"Members":[],"Members@odata.nextLink":"` + dimms + `/page2"}`
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassMemory, 2) }},
		"a sensor with a per cent sign in its link": {func(tree map[string]string) {
			change(t, tree, cha, func(d map[string]any) { d["Sensors"] = link(cha + "/Sensors") })
			tree[cha+"/Sensors"] = `{"Members":[{"@odata.id":"` + cha + `/Sensors/Humidity %"}]}`
			tree[cha+"/Sensors/Humidity %"] = `{"Id":"Humidity %","Name":"Room","ReadingUnits":"%RH","Reading":41,"Status":{"State":"Enabled"}}`
		}, func(t *testing.T, s *health.Snapshot) {
			if h := ofClass(s, health.ClassHumidity); len(h) != 1 || reading(s, h[0].ID, health.RelativeHumidity) == nil || reading(s, h[0].ID, health.RelativeHumidity).Value != 41 {
				t.Errorf("%+v", h)
			}
		}},
		"temperatures as CurrentReading": {func(tree map[string]string) {
			tree[thermal] = `{"Temperatures":[{"Name":"Inlet","CurrentReading":23,"Status":{"State":"Enabled","Health":"OK"}}]}`
		}, func(t *testing.T, s *health.Snapshot) { wantValue(t, s, "temperature/Inlet", health.Temperature, 23) }},
		"fans without a unit": {func(tree map[string]string) {
			tree[thermal] = `{"Fans":[{"Name":"Fan 1","Reading":42},{"Name":"Fan 2","Reading":5400},{"Name":"Fan 3","Reading":30,"ReadingUnits":"RPM"}]}`
		}, func(t *testing.T, s *health.Snapshot) {
			wantValue(t, s, "fan/Fan_1", health.Duty, 42)
			wantNone(t, s, "fan/Fan_1", health.Speed)
			wantValue(t, s, "fan/Fan_2", health.Speed, 5400)
			wantValue(t, s, "fan/Fan_3", health.Speed, 30)
		}},
		"Drives is a collection": {func(tree map[string]string) {
			change(t, tree, sys+"/Storage/RAID", func(d map[string]any) { d["Drives"] = link(sys + "/Storage/RAID/Drives") })
			tree[sys+"/Storage/RAID/Drives"] = `{"Members":[{"@odata.id":"` + drive0 + `"},{"@odata.id":"` + sys + `/Storage/RAID/Drives/1"}]}`
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassDrive, 3) }},
		"two nodes that list the supplies they share": {func(tree map[string]string) {
			tree["/redfish/v1/Chassis"] = `{"Members":[{"@odata.id":"` + cha + `"},{"@odata.id":"/redfish/v1/Chassis/2"}]}`
			tree["/redfish/v1/Chassis/2"] = `{"Id":"2","Power":{"@odata.id":"/redfish/v1/Chassis/2/Power"}}`
			tree["/redfish/v1/Chassis/2/Power"] = tree[power]
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassPSU, 2) }},
		"a supply of another model with the same serial number is another": {func(tree map[string]string) {
			tree["/redfish/v1/Chassis"] = `{"Members":[{"@odata.id":"` + cha + `"},{"@odata.id":"/redfish/v1/Chassis/2"}]}`
			tree["/redfish/v1/Chassis/2"] = `{"Id":"2","Power":{"@odata.id":"/redfish/v1/Chassis/2/Power"}}`
			tree["/redfish/v1/Chassis/2/Power"] = `{"PowerSupplies":[{"Name":"PSU","Model":"Y","SerialNumber":"P1"}]}`
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassPSU, 3) }},
		"the supplies of a legacy chassis again in the PowerSubsystem of another": {func(tree map[string]string) {
			tree["/redfish/v1/Chassis"] = `{"Members":[{"@odata.id":"` + cha + `"},{"@odata.id":"/redfish/v1/Chassis/Shelf"}]}`
			tree["/redfish/v1/Chassis/Shelf"] = `{"Id":"Shelf","PowerSubsystem":{"@odata.id":"/redfish/v1/Chassis/Shelf/PowerSubsystem"}}`
			tree["/redfish/v1/Chassis/Shelf/PowerSubsystem"] = `{"PowerSupplies":{"@odata.id":"/redfish/v1/Chassis/Shelf/PowerSubsystem/PowerSupplies"}}`
			tree["/redfish/v1/Chassis/Shelf/PowerSubsystem/PowerSupplies"] = `{"Members":[{"@odata.id":"/redfish/v1/Chassis/Shelf/PowerSubsystem/PowerSupplies/1"},{"@odata.id":"/redfish/v1/Chassis/Shelf/PowerSubsystem/PowerSupplies/3"}]}`
			tree["/redfish/v1/Chassis/Shelf/PowerSubsystem/PowerSupplies/1"] = `{"Id":"1","Name":"PSU 1","Model":"X","SerialNumber":"P1","Status":{"State":"Enabled","Health":"OK"}}`
			tree["/redfish/v1/Chassis/Shelf/PowerSubsystem/PowerSupplies/3"] = `{"Id":"3","Name":"PSU 3","Model":"X","SerialNumber":"P3","Status":{"State":"Enabled","Health":"OK"}}`
		}, func(t *testing.T, s *health.Snapshot) { wantCount(t, s, health.ClassPSU, 3) }},
		"a slot that is called Empty": {func(tree map[string]string) {
			change(t, tree, dimms+"/DIMM2", func(d map[string]any) { d["Status"] = map[string]any{"State": "Empty"} })
		}, func(t *testing.T, s *health.Snapshot) {
			wantState(t, s, "memory/DIMM2", health.Absent, health.Unknown)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := ownTree(t, "classic")
			x.change(tree)
			x.check(t, twoVisits(t, tree))
		})
	}
}

// The supply that two chassis list keeps its name while the one that named it cannot be read.
func TestASharedSupplyKeepsItsName(t *testing.T) {
	tree := ownTree(t, "classic")
	tree["/redfish/v1/Chassis"] = `{"Members":[{"@odata.id":"/redfish/v1/Chassis/1"},{"@odata.id":"/redfish/v1/Chassis/2"}]}`
	tree["/redfish/v1/Chassis/2"] = `{"Id":"2","Power":{"@odata.id":"/redfish/v1/Chassis/2/Power"}}`
	tree["/redfish/v1/Chassis/2/Power"] = tree[power]
	srv := newService(t, tree)
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	srv.set(power, "<html>busy</html>")
	w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	for _, p := range ofClass(w, health.ClassPSU) {
		if component(s, p.ID) == nil {
			t.Errorf("%s is new", p.ID)
		}
	}
	wantCount(t, w, health.ClassPSU, 2)
}

func TestTimesOfLogEntries(t *testing.T) {
	want := time.Date(2026, 11, 23, 7, 4, 5, 0, time.UTC)
	for said, want := range map[string]time.Time{
		"2026-11-23T07:04:05Z": want, "2026-11-23T07:04:05.000Z": want, "2026-11-23T08:04:05+01:00": want, "2026-11-23T08:04:05+0100": want,
		"2026-11-23T07:04:05": want, "2026-11-23 07:04:05": want, "2026-11-23 07:04:05 UTC": want, "2026-11-23 07:04:05UTC": want,
		"2026/11/23 07:04:05": want, "Mon Nov 23 07:04:05 2026": want, "11/23/2026 07:04:05": want, "2026-11-23 08:04:05+01:00": want,
		"1970-01-01T00:00:12Z": {}, "0000-00-00T00:00:00Z": {}, "2026-11-23 07:04:05 CST": {}, "": {}, "[NOT SET]": {}, "4294967295": {},
	} {
		if got := created(&entryDoc{Created: text(said)}); !got.Equal(want) {
			t.Errorf("%q is %v, want %v", said, got, want)
		}
		if got := created(&entryDoc{Created: "1970-01-01T00:00:00Z", EventTimestamp: text(said)}); !got.Equal(want) {
			t.Errorf("EventTimestamp %q is %v, want %v", said, got, want)
		}
	}
}

func TestUnitsBesideTheSchemas(t *testing.T) {
	for _, x := range []struct {
		typ, unit, name string
		value           float64
		q               health.Quantity
		unitOut         health.Unit
		want            float64
	}{
		{"Power", "kW", "Rack", 1.5, health.Power, health.Watt, 1500},
		{"Power", "W", "Rack", 1500, health.Power, health.Watt, 1500},
		{"Voltage", "mV", "12V", 12100, health.Voltage, health.Volt, 12.1},
		{"Current", "mA", "Rail", 2500, health.Current, health.Ampere, 2.5},
		{"", "mA", "Rail", 2500, health.Current, health.Ampere, 2.5},
		{"", "kW", "Rack", 1.5, health.Power, health.Watt, 1500},
		{"", "Degrees Celsius", "Inlet", 23, health.Temperature, health.Celsius, 23},
		{"", "℃", "Inlet", 23, health.Temperature, health.Celsius, 23},
		{"", "%RH", "Room", 41, health.RelativeHumidity, health.Percent, 41},
		{"", "Wh", "Meter", 2000, health.Energy, health.KilowattHour, 2},
		{"", "CFM", "Air", 100, health.AirFlow, health.CubicMPerHour, 169.901082},
	} {
		u := text(x.unit)
		m := measureOf(&sensorDoc{Name: text(x.name), ReadingType: text(x.typ), ReadingUnits: &u})
		n, unit := m.value(number{V: x.value, OK: true})
		if m.q != x.q || unit != x.unitOut || fmt.Sprintf("%.6g", n.V) != fmt.Sprintf("%.6g", x.want) {
			t.Errorf("%s in %s: %s %v %s, want %s %v %s", x.typ, x.unit, m.q, n.V, unit, x.q, x.want, x.unitOut)
		}
	}
}

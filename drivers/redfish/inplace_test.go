package redfish

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

// A collection's members stand where the link to it belongs: as links, as whole objects, as objects with a link into the
// document itself, or as an array around the link.
func TestMembersInPlaceOfTheLinkToTheirCollection(t *testing.T) {
	const (
		sys     = "/redfish/v1/Systems/1"
		cha     = "/redfish/v1/Chassis/1"
		cooling = cha + "/ThermalSubsystem"
		supply  = cha + "/PowerSubsystem"
		leaks   = cooling + "/LeakDetection"
		ok      = `"Status":{"Health":"OK","State":"Enabled"}`
	)
	bare := func(t *testing.T, tree map[string]string) { // no tree that states the same
		change(t, tree, cha, func(d map[string]any) {
			delete(d, "Thermal")
			delete(d, "Power")
			d["ThermalSubsystem"] = map[string]any{"@odata.id": cooling}
			d["PowerSubsystem"] = map[string]any{"@odata.id": supply}
		})
		tree[cooling] = `{"Id":"ThermalSubsystem","LeakDetection":{"@odata.id":"` + leaks + `"}}`
		tree[supply] = `{"Id":"PowerSubsystem"}`
		tree[leaks] = `{"Id":"LeakDetection","Name":"Leak detection"}`
		change(t, tree, sys, func(d map[string]any) {
			delete(d, "Memory")
			delete(d, "Processors")
			delete(d, "Storage")
		})
	}
	for _, x := range []struct {
		doc, property string
		class         health.Class
		member        string // %[1]s is its name
		setup         func(tree map[string]string)
	}{
		{cooling, "Fans", health.ClassFan, `"Id":"%[1]s","SpeedPercent":{"Reading":40,"SpeedRPM":6000},` + ok, nil},
		{cooling, "Pumps", health.ClassPump, `"Id":"%[1]s","PumpSpeedPercent":{"Reading":40},` + ok, nil},
		{supply, "PowerSupplies", health.ClassPSU, `"Id":"%[1]s","SerialNumber":"S%[1]s","PowerCapacityWatts":800,` + ok, nil},
		{supply, "Batteries", health.ClassBattery, `"Id":"%[1]s","SerialNumber":"S%[1]s",` + ok, nil},
		{leaks, "LeakDetectors", health.ClassLeakDetector, `"Id":"%[1]s","DetectorState":"OK",` + ok, nil},
		{cha, "LeakDetectors", health.ClassLeakDetector, `"Id":"%[1]s","DetectorState":"OK",` + ok, nil},
		{cha, "Sensors", health.ClassTemperature, `"Id":"%[1]s","ReadingType":"Temperature","ReadingUnits":"Cel","Reading":31,` + ok, nil},
		{cha, "Drives", health.ClassDrive, `"Id":"%[1]s","SerialNumber":"S%[1]s",` + ok, nil},
		{sys, "Memory", health.ClassMemory, `"Id":"%[1]s","CapacityMiB":16384,` + ok, nil},
		{sys, "Processors", health.ClassCPU, `"Id":"%[1]s","ProcessorType":"CPU",` + ok, nil},
		{sys + "/Storage/RAID", "Drives", health.ClassDrive, `"Id":"%[1]s","SerialNumber":"S%[1]s",` + ok, func(tree map[string]string) {
			change(t, tree, sys, func(d map[string]any) { d["Storage"] = map[string]any{"@odata.id": sys + "/Storage"} })
			tree[sys+"/Storage"] = `{"Members":[{"@odata.id":"` + sys + `/Storage/RAID"}]}`
			tree[sys+"/Storage/RAID"] = `{"Id":"RAID"}`
		}},
	} {
		home := x.doc + "/" + x.property
		set := func(t *testing.T, tree map[string]string, v string) {
			change(t, tree, x.doc, func(d map[string]any) { d[x.property] = json.RawMessage(v) })
		}
		body := func(name string) string { return fmt.Sprintf(x.member, name) }
		for form, shape := range map[string]func(t *testing.T, tree map[string]string){
			"an array of links": func(t *testing.T, tree map[string]string) {
				set(t, tree, `[{"@odata.id":"`+home+`/A"},{"@odata.id":"`+home+`/B"}]`)
				tree[home+"/A"], tree[home+"/B"] = "{"+body("A")+"}", "{"+body("B")+"}"
			},
			"an array of one link": func(t *testing.T, tree map[string]string) {
				set(t, tree, `["`+home+`/A"]`)
				tree[home+"/A"] = "{" + body("A") + "}"
			},
			"an array of objects": func(t *testing.T, tree map[string]string) { set(t, tree, `[{`+body("A")+`},{`+body("B")+`}]`) },
			"an array of objects that link into the document": func(t *testing.T, tree map[string]string) {
				set(t, tree, fmt.Sprintf(`[{"@odata.id":"%s#/%s/0",%s},{"@odata.id":"%s#/%s/1",%s}]`, x.doc, x.property, body("A"), x.doc, x.property, body("B")))
			},
			"an array of excerpts with links": func(t *testing.T, tree map[string]string) {
				set(t, tree, `[{"@odata.id":"`+home+`/A","Id":"A","Name":"A","Odd":1},{"@odata.id":"`+home+`/B","Id":"B","Name":"B"}]`)
				tree[home+"/A"], tree[home+"/B"] = "{"+body("A")+"}", "{"+body("B")+"}"
			},
			"the collection as an object": func(t *testing.T, tree map[string]string) {
				set(t, tree, `{"Members@odata.count":2,"Members":[{`+body("A")+`},{`+body("B")+`}]}`)
			},
			"an array around the link": func(t *testing.T, tree map[string]string) {
				set(t, tree, `[{"@odata.id":"`+home+`"}]`)
				tree[home] = `{"Members":[{"@odata.id":"` + home + `/A"},{"@odata.id":"` + home + `/B"}]}`
				tree[home+"/A"], tree[home+"/B"] = "{"+body("A")+"}", "{"+body("B")+"}"
			},
		} {
			if x.property != "Fans" && x.class != health.ClassDrive && x.doc != leaks && form != "an array of links" && form != "an array of objects" {
				continue // the forms are read by the same code
			}
			t.Run(strings.TrimPrefix(home, "/redfish/v1/")+" is "+form, func(t *testing.T) {
				tree := ownTree(t, "classic")
				bare(t, tree)
				if x.setup != nil {
					x.setup(tree)
				}
				shape(t, tree)
				s := twoVisits(t, tree)
				want := 2
				if form == "an array of one link" {
					want = 1
				}
				wantCount(t, s, x.class, want)
				for _, c := range ofClass(s, x.class) {
					if c.State != health.OK || c.Presence != health.Present {
						t.Errorf("%+v", c)
					}
				}
				if len(missing(s)) > 0 {
					t.Errorf("gaps %+v", s.Gaps)
				}
			})
		}
	}
}

// One that leaves the array is gone; an array of which a member leads elsewhere is not whole, and nothing is gone from it.
func TestMemberThatLeavesTheArray(t *testing.T) {
	const cha = "/redfish/v1/Chassis/1"
	fan := func(id string) string { return `{"Id":"` + id + `","Status":{"Health":"OK","State":"Enabled"}}` }
	tree := ownTree(t, "classic")
	change(t, tree, cha, func(d map[string]any) {
		delete(d, "Thermal")
		d["ThermalSubsystem"] = map[string]any{"@odata.id": cha + "/ThermalSubsystem"}
	})
	subsystem := func(members ...string) string { return `{"Fans":[` + strings.Join(members, ",") + `]}` }
	tree[cha+"/ThermalSubsystem"] = subsystem(fan("A"), fan("B"), fan("C"))
	srv := newService(t, tree)
	c := srv.open(t)
	first := read(t, c, health.Request{Tiers: health.EveryTier})
	s, _, memory := rounds(t, srv, c, first.Memory, 3)
	wantCount(t, s, health.ClassFan, 3)

	srv.set(cha+"/ThermalSubsystem", subsystem(fan("B"), fan("C")))
	s, _, memory = rounds(t, srv, c, memory, 1)
	if component(s, "fan/A") != nil || component(s, "fan/B") == nil || !slices.Contains(s.Scope, cha+"/ThermalSubsystem#Fans") {
		t.Errorf("fans %v, scope %v", ids(s, health.ClassFan), s.Scope)
	}
	srv.set(cha+"/ThermalSubsystem", subsystem(fan("B"), `{"@odata.id":"https://203.0.113.9/redfish/v1/Fan"}`))
	s, _, memory = rounds(t, srv, c, memory, 1)
	if slices.Contains(s.Scope, cha+"/ThermalSubsystem#Fans") || len(missing(s)) == 0 {
		t.Errorf("a member elsewhere, and the array is taken for whole: gaps %+v", s.Gaps)
	}
	// A new firmware has the collection.
	srv.set(cha+"/ThermalSubsystem", `{"Fans":{"@odata.id":"`+cha+`/ThermalSubsystem/Fans"}}`)
	srv.set(cha+"/ThermalSubsystem/Fans", `{"Members":[{"@odata.id":"`+cha+`/ThermalSubsystem/Fans/B"}]}`)
	srv.set(cha+"/ThermalSubsystem/Fans/B", fan("B"))
	s, _, _ = rounds(t, srv, c, memory, 3)
	wantCount(t, s, health.ClassFan, 1)
	wantState(t, s, "fan/B", health.Present, health.OK)
	if len(missing(s)) > 0 {
		t.Errorf("gaps %+v", s.Gaps)
	}
}

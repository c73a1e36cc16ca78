package redfish

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dewline/health"
	"dewline/internal/quirk"
)

// change edits one document of a tree.
func change(t testing.TB, tree map[string]string, uri string, f func(d map[string]any)) {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal([]byte(tree[uri]), &d); err != nil {
		t.Fatalf("%s: %v", uri, err)
	}
	f(d)
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	tree[uri] = string(b)
}

// of is the classic machine under another maker's name.
func of(t testing.TB, vendor, product, firmware string) map[string]string {
	tree := ownTree(t, "classic")
	change(t, tree, rootURI, func(d map[string]any) { d["Vendor"], d["Product"] = vendor, product })
	change(t, tree, "/redfish/v1/Systems/1", func(d map[string]any) { d["Manufacturer"] = vendor })
	if firmware != "" {
		change(t, tree, "/redfish/v1/Managers/1", func(d map[string]any) { d["FirmwareVersion"] = firmware })
	}
	return tree
}

const (
	power   = "/redfish/v1/Chassis/1/Power"
	thermal = "/redfish/v1/Chassis/1/Thermal"
	drive0  = "/redfish/v1/Systems/1/Storage/RAID/Drives/0"
	entries = "/redfish/v1/Systems/1/LogServices/Sel/Entries"
)

func everything(t testing.TB, tree map[string]string, o ...func(*Options)) (*health.Snapshot, *service) {
	t.Helper()
	srv := newService(t, tree)
	s := read(t, srv.open(t, o...), health.Request{Tiers: health.EveryTier})
	checkSnapshot(t, s)
	return s, srv
}

func off(names ...string) func(*Options) { return func(o *Options) { o.QuirksOff = names } }

// wasAsked tells whether a request's text begins with a part.
func wasAsked(srv *service, part string) bool {
	reqs, _ := srv.counts()
	return slices.ContainsFunc(reqs, func(r string) bool { return strings.Contains(r, part) })
}

// supplies replaces the supplies of a machine.
func supplies(t testing.TB, tree map[string]string, list string) {
	change(t, tree, power, func(d map[string]any) {
		var l any
		if err := json.Unmarshal([]byte(list), &l); err != nil {
			t.Fatal(err)
		}
		d["PowerSupplies"] = l
	})
}

func wantState(t testing.TB, s *health.Snapshot, id health.ComponentID, p health.Presence, st health.State) {
	t.Helper()
	if c := component(s, id); c == nil || c.Presence != p || c.State != st {
		t.Errorf("%s is %+v, want %v and %v", id, c, p, st)
	}
}

func wantValue(t testing.TB, s *health.Snapshot, id health.ComponentID, q health.Quantity, v float64) {
	t.Helper()
	if r := reading(s, id, q); r == nil || r.Value != v {
		t.Errorf("%s of %s is %+v, want %v", q, id, r, v)
	}
}

func wantNone(t testing.TB, s *health.Snapshot, id health.ComponentID, q health.Quantity) {
	t.Helper()
	if component(s, id) == nil {
		t.Errorf("no %s", id)
	}
	if r := reading(s, id, q); r != nil {
		t.Errorf("%s of %s reads %v", q, id, r.Value)
	}
}

// driveOnce changes the first drive and gives it as read.
func driveOnce(t testing.TB, tree map[string]string, f func(d map[string]any), o ...func(*Options)) *health.Snapshot {
	t.Helper()
	change(t, tree, drive0, f)
	s, _ := everything(t, tree, o...)
	return s
}

// quirkTests has one test for each row of the table, on bytes shaped like the device's.
var quirkTests = map[string]func(t *testing.T){
	"idrac-raid-enclosure": func(t *testing.T) {
		for _, id := range []string{"RAID.Integrated.1-1", "Enclosure.Internal.0-1:RAID.Integrated.1-1", "MyRAIDBox", "enclosure_2"} {
			for _, vendor := range []string{"Dell", "Dell Inc.", ""} {
				tree := of(t, vendor, "Integrated Dell Remote Access Controller", "")
				harm := "/redfish/v1/Chassis/" + id
				tree["/redfish/v1/Chassis"] = fmt.Sprintf(`{"Members":[{"@odata.id":"/redfish/v1/Chassis/1"},{"@odata.id":%q},{"@odata.id":"%s?x=1"}]}`, harm, harm)
				tree[harm] = `{"Id":"x","Thermal":{"@odata.id":"` + harm + `/Thermal"}}`
				// Every way by which a document leads there.
				change(t, tree, "/redfish/v1/Chassis/1", func(d map[string]any) {
					d["Links"] = map[string]any{"Contains": []any{map[string]any{"@odata.id": harm}}}
					d["Drives"] = map[string]any{"@odata.id": harm + "/Drives"}
					d["Sensors"] = map[string]any{"@odata.id": harm + "/Sensors"}
					d["LeakDetectors"] = map[string]any{"@odata.id": harm + "/LeakDetectors"}
					d["EnvironmentMetrics"] = map[string]any{"@odata.id": strings.Replace(harm, "R", "%52", 1) + "/EnvironmentMetrics"}
				})
				change(t, tree, "/redfish/v1/Systems/1/Storage/RAID", func(d map[string]any) {
					d["Drives"] = append(d["Drives"].([]any), map[string]any{"@odata.id": harm + "/Drives/Disk.1"})
				})
				srv := newService(t, tree)
				c := srv.open(t)
				mem := read(t, c, health.Request{Tiers: health.EveryTier}).Memory
				for _, tier := range health.AllTiers {
					read(t, srv.open(t), health.Request{Tiers: health.TiersOf(tier), Memory: mem})
				}
				reqs, _ := srv.counts()
				for _, r := range reqs {
					if low := strings.ToLower(r); strings.Contains(low, "/chassis/") && !strings.Contains(low, "/chassis/1") {
						t.Errorf("%s of %q: %s restarts an iDRAC", id, vendor, r)
					}
				}
			}
		}
	},
	"idrac-fqdd": func(t *testing.T) {
		tree := of(t, "", "", "") // an iDRAC 8 before its vendor is known
		tree["/redfish/v1/Chassis"] = `{"Members":["/redfish/v1/Chassis/1","/redfish/v1/Chassis/Enclosure.External.0-0:RAID.Slot.4-1","/redfish/v1/Chassis/RAID.Slot.1-1"]}`
		if _, srv := everything(t, tree); wasAsked(srv, "Enclosure") || wasAsked(srv, "RAID.Slot") {
			t.Error("a chassis with an FQDD of Dell's was asked for")
		}
		if _, srv := everything(t, tree, off("idrac-fqdd")); !wasAsked(srv, "/Chassis/RAID.Slot.1-1") {
			t.Error("switched off, it is not asked for")
		}
	},
	"firmware-inventory-slow": func(t *testing.T) {
		tree := of(t, "NVIDIA", "DGX H100", "")
		change(t, tree, rootURI, func(d map[string]any) {
			d["UpdateService"] = map[string]any{"@odata.id": "/redfish/v1/UpdateService"}
			d["Facilities"] = map[string]any{"@odata.id": "/redfish/v1/UpdateService/FirmwareInventory"}
		})
		if _, srv := everything(t, tree); wasAsked(srv, "FirmwareInventory") {
			t.Error("FirmwareInventory was asked for")
		}
	},
	"session-table-full": func(t *testing.T) {
		srv := newService(t, of(t, "Dell", "", ""))
		full := true
		srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
			if full && r.Method == http.MethodPost {
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprint(w, `{"error":{"@Message.ExtendedInfo":[{"MessageId":"IDRAC.1.6.RAC0218","Message":"The maximum number of user sessions is reached."}]}}`)
				return true
			}
			return false
		})
		c := srv.open(t)
		if s := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)}); len(ofClass(s, health.ClassFan)) != 5 || srv.basic == 0 {
			t.Errorf("%d fans, %d requests with Basic", len(ofClass(s, health.ClassFan)), srv.basic)
		}
		full = false
		before := srv.basic
		for range 5 {
			read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
		}
		if srv.created != 1 || srv.basic != before {
			t.Errorf("afterwards %d sessions, %d requests with Basic", srv.created, srv.basic-before)
		}
	},
	"idrac-sessions-elsewhere": func(t *testing.T) {
		for _, told := range []bool{true, false} {
			tree := of(t, "", "", "")
			change(t, tree, rootURI, func(d map[string]any) {
				delete(d, "Links")
				if told {
					d["Links"] = map[string]any{"Sessions": map[string]any{"@odata.id": "/redfish/v1/Sessions"}}
				}
			})
			srv := newService(t, tree)
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost && r.URL.Path != "/redfish/v1/Sessions" {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return true
				}
				return false
			})
			read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings)})
			if srv.created != 1 || srv.basic != 0 {
				t.Errorf("told %t: %d sessions, %d requests with Basic", told, srv.created, srv.basic)
			}
		}
	},
	"expand-lies": func(t *testing.T) {
		for name, answer := range map[string]string{
			"invalid JSON":      `{"Members":[{"@odata.id":"/redfish/v1/Systems/1/Memory/DIMM1","Id":`,
			"fields left out":   `{"Members":[{"@odata.id":"/redfish/v1/Systems/1/Memory/DIMM1","Id":"DIMM1"},{"@odata.id":"/redfish/v1/Systems/1/Memory/DIMM2","Id":"DIMM2"}]}`,
			"refused":           "",
			"a member left out": `{"Members":[{"@odata.id":"/redfish/v1/Systems/1/Memory/DIMM1","Id":"DIMM1","Name":"x"}]}`,
		} {
			tree := of(t, "Dell", "", "")
			change(t, tree, rootURI, func(d map[string]any) {
				d["ProtocolFeaturesSupported"] = map[string]any{"ExpandQuery": map[string]any{"NoLinks": true}}
			})
			srv := newService(t, tree)
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.RawQuery, "expand") {
					return false
				}
				if answer == "" {
					w.WriteHeader(http.StatusBadRequest)
				}
				fmt.Fprint(w, answer)
				return true
			})
			c := srv.open(t)
			first := read(t, c, health.Request{Tiers: health.EveryTier})
			if !wasAsked(srv, "expand") {
				t.Errorf("%s: $expand was never probed", name)
			}
			srv.reset()
			again := read(t, c, health.Request{Tiers: health.EveryTier, Memory: first.Memory})
			if wasAsked(srv, "expand") || !slices.Equal(ids(first, health.ClassMemory), ids(again, health.ClassMemory)) || len(ids(again, health.ClassMemory)) != 2 {
				t.Errorf("%s: it is asked again, or modules were lost: %v", name, ids(again, health.ClassMemory))
			}
		}
	},
	"huawei-expand": func(t *testing.T) { noExpand(t, "Huawei", "5.61.00.00", "5.62.00.00", "huawei-expand") },
	"irmc-expand":   func(t *testing.T) { noExpand(t, "FUJITSU", "2.63P", "2.64P", "irmc-expand") },
	"idrac-starting": func(t *testing.T) {
		srv := newService(t, of(t, "Dell", "", ""))
		srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == rootURI {
				return false
			}
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"@Message.ExtendedInfo":[{"MessageId":"IDRAC.2.8.SYS518","Message":"iDRAC is currently unable to display any information because data sources are unavailable. Retry the operation in 30 seconds."}]}}`)
			return true
		})
		s, err := srv.open(t).Read(t.Context(), health.Request{Tiers: health.EveryTier})
		if health.ReasonFor(err) != health.ReasonBusy || !strings.Contains(err.Error(), "SYS518") || s.Cost.Requests > 6 {
			t.Errorf("%v, %d requests", err, s.Cost.Requests)
		}
	},
	"dell-numbers": func(t *testing.T) {
		tree := of(t, "Dell", "", "")
		change(t, tree, "/redfish/v1/Systems/1", func(d map[string]any) { d["LastResetTime"] = "0000-00-00T00:00:00Z" })
		change(t, tree, thermal, func(d map[string]any) {
			for _, f := range d["Temperatures"].([]any) {
				f.(map[string]any)["MaxReadingRangeTemp"] = "None"
				f.(map[string]any)["UpperThresholdFatal"] = "None"
			}
		})
		s, _ := everything(t, tree)
		wantValue(t, s, "psu/ServerPowerSupply#0", health.Efficiency, 90)
		wantValue(t, s, "temperature/Inlet_Temp", health.Temperature, 21.5)
	},
	"dell-twins": func(t *testing.T) {
		tree := of(t, "Dell", "", "")
		change(t, tree, thermal, func(d map[string]any) {
			d["Fans"] = []any{
				map[string]any{"MemberId": "0x17||Fan.Embedded.1", "Name": "System Board Fan", "Reading": 6000, "ReadingUnits": "RPM"},
				map[string]any{"MemberId": "0x17||Fan.Embedded.1", "Name": "System Board Fan", "Reading": 6100, "ReadingUnits": "RPM"},
			}
		})
		change(t, tree, "/redfish/v1/Chassis/1", func(d map[string]any) {
			d["PCIeDevices"] = map[string]any{"@odata.id": "/redfish/v1/Chassis/1/PCIeDevices"}
		})
		tree["/redfish/v1/Chassis/1/PCIeDevices"] = `{"Members":[{"@odata.id":"/redfish/v1/Chassis/1/PCIeDevices/59-0"},{"@odata.id":"/redfish/v1/Chassis/1/PCIeDevices/59-0"}]}`
		tree["/redfish/v1/Chassis/1/PCIeDevices/59-0"] = `{"Id":"59-0","Name":"NIC"}`
		s, _ := everything(t, tree)
		if len(ofClass(s, health.ClassFan)) != 2 || len(ofClass(s, health.ClassPCIe)) != 1 {
			t.Errorf("fans %v, devices %v", ids(s, health.ClassFan), ids(s, health.ClassPCIe))
		}
	},
	"dell-uncertified-wear": func(t *testing.T) {
		uncertified := func(d map[string]any) {
			d["PredictedMediaLifeLeftPercent"] = 0
			d["Oem"] = map[string]any{"Dell": map[string]any{"DellPhysicalDisk": map[string]any{"Certified": "No"}}}
		}
		wantNone(t, driveOnce(t, of(t, "Dell", "", ""), uncertified), "drive/RAID:0", health.LifeLeft)
		wantValue(t, driveOnce(t, of(t, "Dell", "", ""), uncertified, off("dell-uncertified-wear")), "drive/RAID:0", health.LifeLeft, 0)
		wantValue(t, driveOnce(t, of(t, "Dell", "", ""), func(d map[string]any) { d["PredictedMediaLifeLeftPercent"] = 0 }), "drive/RAID:0", health.LifeLeft, 0)
	},
	"dell-log-paths": func(t *testing.T) {
		for _, at := range []string{"/redfish/v1/Managers/1/Logs/Sel", "/redfish/v1/Managers/1/LogServices/Sel/Entries"} {
			tree := of(t, "Dell", "", "")
			change(t, tree, "/redfish/v1/Managers/1/LogServices/Sel", func(d map[string]any) { d["Entries"] = map[string]any{"@odata.id": at} })
			tree[at] = `{"Members":[{"@odata.id":"` + at + `/1","Id":"1","Message":"The power supply lost its input.","Severity":"Critical","Created":"2026-11-23T07:00:00-06:00"}]}`
			s, _ := everything(t, tree)
			if !slices.ContainsFunc(s.Log, func(e health.LogEntry) bool {
				return strings.Contains(e.Message, "lost its input") && e.Created.Hour() == 13
			}) {
				t.Errorf("%s: log %+v", at, s.Log)
			}
		}
	},
	"ilo4-odata-version": func(t *testing.T) {
		for _, x := range []struct {
			root string
			sent bool
		}{
			{`"Oem":{"Hp":{"Manager":[{"ManagerType":"iLO 4","ManagerFirmwareVersion":"2.55"}]}}`, false},
			{`"Vendor":"HPE","Product":"ProLiant DL380 Gen9"`, false},
			{`"Vendor":"HPE","Product":"ProLiant DL385 Gen10 Plus v2","Oem":{"Hpe":{"Manager":[{"ManagerType":"iLO 5"}]}}`, true},
		} {
			tree := ownTree(t, "classic")
			change(t, tree, rootURI, func(d map[string]any) {
				delete(d, "Vendor")
				delete(d, "Product")
				if err := json.Unmarshal([]byte("{"+x.root+"}"), &d); err != nil {
					t.Fatal(err)
				}
			})
			srv := newService(t, tree)
			sent := 0
			srv.onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != rootURI && r.Header.Get("OData-Version") != "" {
					sent++
				}
				return false
			})
			read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings)})
			if (sent > 0) != x.sent {
				t.Errorf("%s: the header was sent %d times", x.root, sent)
			}
		}
	},
	"slash-redirects": func(t *testing.T) {
		srv := newService(t, of(t, "Supermicro", "", ""))
		srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/") {
				return false
			}
			w.Header().Set("Location", r.URL.Path+"/")
			w.WriteHeader(http.StatusPermanentRedirect)
			return true
		})
		s := read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings)})
		if srv.created != 1 || len(srv.noAuth) != 0 || len(ofClass(s, health.ClassFan)) != 5 {
			t.Errorf("%d sessions, %v without credential, %d fans", srv.created, srv.noAuth, len(ofClass(s, health.ClassFan)))
		}
	},
	"ilo-smartstorage": func(t *testing.T) {
		for _, both := range []bool{true, false} {
			tree := of(t, "HPE", "", "")
			smart := "/redfish/v1/Systems/1/SmartStorage"
			change(t, tree, "/redfish/v1/Systems/1", func(d map[string]any) {
				d["Oem"] = map[string]any{"Hpe": map[string]any{"Links": map[string]any{"SmartStorage": map[string]any{"@odata.id": smart}}}}
				if !both {
					delete(d, "Storage")
				}
			})
			var d0 struct{ SerialNumber, Model string }
			_ = json.Unmarshal([]byte(tree[drive0]), &d0)
			tree[smart] = `{"Links":{"ArrayControllers":{"@odata.id":"` + smart + `/ArrayControllers"}}}`
			tree[smart+"/ArrayControllers"] = `{"Members":[{"@odata.id":"` + smart + `/ArrayControllers/0"}]}`
			tree[smart+"/ArrayControllers/0"] = `{"Model":"P408i","SerialNumber":"C1","Status":{"Health":"OK","State":"Enabled"},"Links":{"PhysicalDrives":{"@odata.id":"` + smart + `/ArrayControllers/0/DiskDrives"}}}`
			tree[smart+"/ArrayControllers/0/DiskDrives"] = `{"Members":[{"@odata.id":"` + smart + `/ArrayControllers/0/DiskDrives/0"}]}`
			tree[smart+"/ArrayControllers/0/DiskDrives/0"] = fmt.Sprintf(`{"Id":"0","SerialNumber":%q,"Model":%q,"SSDEnduranceUtilizationPercentage":-1,"CurrentTemperatureCelsius":31,"Status":{"Health":"OK","State":"Enabled"}}`, d0.SerialNumber, d0.Model)
			s, _ := everything(t, tree)
			want := 3
			if !both {
				want = 1
			}
			if got := ids(s, health.ClassDrive); len(got) != want {
				t.Errorf("both trees %t: %v", both, got)
			}
			if !both && reading(s, ids(s, health.ClassDrive)[0], health.LifeLeft) != nil {
				t.Error("an endurance of -1 was taken for wear")
			}
		}
	},
	"ilo-hours": func(t *testing.T) {
		hours := func(n int) func(d map[string]any) {
			return func(d map[string]any) { d["PowerOnHours"] = n }
		}
		wantNone(t, driveOnce(t, of(t, "HPE", "", ""), hours(65536+1200)), "drive/RAID:0", health.PowerOnHours)
		wantValue(t, driveOnce(t, of(t, "HPE", "", ""), hours(1200)), "drive/RAID:0", health.PowerOnHours, 1200)
		wantValue(t, driveOnce(t, of(t, "Contoso", "", ""), hours(65536+1200)), "drive/RAID:0", health.PowerOnHours, 66736)
	},
	"ilo-phantom-psu": func(t *testing.T) {
		list := `[{"MemberId":"0","FirmwareVersion":"1.00","SerialNumber":"5WBXT","Status":{"Health":"OK","State":"Enabled"},"Oem":{"Hpe":{"BayNumber":1}}},
			{"MemberId":"1","FirmwareVersion":"0.00","SerialNumber":"","Status":{"State":"Enabled"},"Oem":{"Hpe":{"BayNumber":2,"PowerSupplyStatus":{"State":"Unknown"}}}}]`
		tree := of(t, "HPE", "", "")
		supplies(t, tree, list)
		s, _ := everything(t, tree)
		wantState(t, s, "psu/Power_Supply_1", health.Present, health.OK)
		wantState(t, s, "psu/Power_Supply_2", health.Absent, health.Unknown)
		s, _ = everything(t, tree, off("ilo-phantom-psu"))
		wantState(t, s, "psu/Power_Supply_2", health.Present, health.Unknown)
	},
	"ilo-repaired": func(t *testing.T) {
		tree := of(t, "HPE", "", "")
		tree[entries] = `{"Members":[
			{"@odata.id":"` + entries + `/1","Id":"1","Severity":"Critical","Message":"DIMM failed","Created":"2026-11-20T07:00:00Z","Oem":{"Hpe":{"Repaired":true}}},
			{"@odata.id":"` + entries + `/2","Id":"2","Severity":"Critical","Message":"fan failed","Created":"2026-11-21T07:00:00Z","Oem":{"Hpe":{"Repaired":false}}}]}`
		s, _ := everything(t, tree)
		for _, e := range s.Log {
			if strings.Contains(e.Message, "DIMM failed") != e.Cleared && strings.Contains(e.Message, "failed") {
				t.Errorf("%s: cleared %t", e.Message, e.Cleared)
			}
		}
	},
	"drive-ids-collide": func(t *testing.T) {
		s, _ := everything(t, of(t, "HPE", "", ""))
		if got := ids(s, health.ClassDrive); !slices.Equal(got, []health.ComponentID{"drive/AHCI:0", "drive/RAID:0", "drive/RAID:1"}) {
			t.Errorf("%v", got)
		}
	},
	"supermicro-drives": func(t *testing.T) {
		s := driveOnce(t, of(t, "Supermicro", "", ""), func(d map[string]any) {
			delete(d, "PredictedMediaLifeLeftPercent")
			d["Oem"] = map[string]any{"Supermicro": map[string]any{"Temperature": 33, "PercentageDriveLifeUsed": 4, "DriveFunctional": false}}
		})
		wantValue(t, s, "drive/RAID:0", health.LifeLeft, 96)
		wantValue(t, s, "drive/RAID:0", health.Temperature, 33)
		if !hasCondition(component(s, "drive/RAID:0"), health.KindFailed, health.SeverityCritical) {
			t.Error("a drive that does not function is no failed one")
		}
	},
	"xcc-slow-drives": func(t *testing.T) {
		srv := newService(t, of(t, "Lenovo", "", ""))
		c := srv.open(t)
		mem := read(t, c, health.Request{Tiers: health.EveryTier}).Memory
		srv.reset()
		read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings, health.TierEvents), Memory: mem})
		if wasAsked(srv, "/Drives/") || wasAsked(srv, "/Storage") {
			t.Error("readings and events wait for drives")
		}
	},
	"xcc-logs": func(t *testing.T) {
		tree := of(t, "Lenovo", "", "")
		change(t, tree, "/redfish/v1/Systems/1/LogServices", func(d map[string]any) {
			d["Members"] = []any{map[string]any{"@odata.id": "/redfish/v1/Systems/1/LogServices/PlatformLog"}}
		})
		at := "/redfish/v1/Systems/1/LogServices/PlatformLog/Entries"
		tree["/redfish/v1/Systems/1/LogServices/PlatformLog"] = `{"Id":"PlatformLog","Name":"Platform Log","Entries":{"@odata.id":"` + at + `"}}`
		entry := func(n int) string {
			return fmt.Sprintf(`{"@odata.id":"%s/%d","Id":"%d","Severity":"Warning","Message":"m%d","Created":"2026-11-23T07:00:%02dZ"}`, at, n, n, n, n)
		}
		tree[at] = `{"Members":[` + entry(3) + "," + entry(2) + "," + entry(1) + `]}`
		srv := newService(t, tree)
		c := srv.open(t)
		s := read(t, c, health.Request{Tiers: health.EveryTier})
		srv.set(at, `{"Members":[`+entry(4)+","+entry(3)+","+entry(2)+","+entry(1)+`]}`)
		again := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Memory: s.Memory, Cursors: s.NextCursors})
		of := func(l []health.LogEntry) (ids []string) {
			for _, e := range l {
				if e.Source == "PlatformLog" {
					ids = append(ids, e.ID)
				}
			}
			return ids
		}
		if got := of(s.Log); !slices.Equal(got, []string{"1", "2", "3"}) || !slices.Equal(of(again.Log), []string{"4"}) {
			t.Errorf("%v, then %v", got, of(again.Log))
		}
	},
	"cimc-values": func(t *testing.T) {
		tree := of(t, "Cisco Systems Inc", "", "")
		change(t, tree, power, func(d map[string]any) {
			d["PowerControl"] = map[string]any{"MemberId": "1", "PowerConsumedWatts": "N/A", "PowerMetrics": map[string]any{"AverageConsumedWatts": 228}, "Name": "System Power"}
		})
		change(t, tree, drive0, func(d map[string]any) {
			d["CapacityBytes"], d["PredictedMediaLifeLeftPercent"] = "N/A", "N/A"
			d["Status"] = map[string]any{"Health": "OK", "State": "Absent"}
		})
		tree[entries] = `{"Members":[{"@odata.id":"` + entries + `/1","Id":"1","Severity":"NORMAL","Message":"a"},{"@odata.id":"` + entries + `/2","Id":"2","Severity":"INFORMATIONAL","Message":"b"}]}`
		s, _ := everything(t, tree)
		wantState(t, s, "drive/RAID:0", health.Absent, health.Unknown)
		wantNone(t, s, "drive/RAID:0", health.LifeLeft)
		wantNone(t, s, "power/System_Power", health.Power)
		for _, e := range s.Log {
			if want := map[string]health.Severity{"a": health.SeverityOK, "b": health.SeverityInfo}; want[e.Message] != e.Severity && len(e.Message) == 1 {
				t.Errorf("%s: severity %v", e.Message, e.Severity)
			}
		}
	},
	"cimc-pacing": func(t *testing.T) {
		for vendor, most := range map[string]int{"Cisco Systems Inc": 1, "Contoso": 2} {
			tree := of(t, vendor, "", "")
			srv := newService(t, tree)
			var now, highest atomic.Int64
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				n := now.Add(1)
				for m := highest.Load(); n > m && !highest.CompareAndSwap(m, n); m = highest.Load() {
				}
				srv.serve(w, r)
				now.Add(-1)
				return true
			})
			read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
			if _, conns := srv.counts(); int(highest.Load()) > most || conns > most {
				t.Errorf("%s: %d requests at once on %d connections", vendor, highest.Load(), conns)
			}
		}
	},
	"huawei-supply-oem": func(t *testing.T) {
		for _, key := range []string{"Huawei", "xFusion", "Public"} {
			tree := of(t, "Huawei", "", "")
			supplies(t, tree, `[{"MemberId":"0","Name":"PSU1","Status":{"Health":"OK","State":"Enabled"},"Oem":{"`+key+`":{"PowerInputWatts":143,"PowerOutputWatts":128,"Protocol":"PSU"}}}]`)
			s, _ := everything(t, tree)
			wantValue(t, s, "psu/PSU1", health.InputPower, 143)
			wantValue(t, s, "psu/PSU1", health.OutputPower, 128)
		}
	},
	"huawei-deassert": func(t *testing.T) {
		tree := of(t, "Huawei", "", "")
		tree[entries] = `{"Members":[
			{"@odata.id":"` + entries + `/1","Id":"1","Severity":"Critical","Message":"PSU 2 lost its input","MessageId":"iBMC.1.0.PSUInputLost","Created":"2026-11-23T07:00:00Z"},
			{"@odata.id":"` + entries + `/2","Id":"2","Severity":"OK","Message":"PSU 2 lost its input","Created":"2026-11-23T07:10:00Z"},
			{"@odata.id":"` + entries + `/3","Id":"3","Severity":"OK","EntryCode":"Deassert","Message":"PSU 2 lost its input","Created":"2026-11-23T07:10:00Z"}]}`
		s, _ := everything(t, tree)
		for _, e := range s.Log {
			if e.Message == "PSU 2 lost its input" && e.Cleared != (e.ID == "3") {
				t.Errorf("entry %s: cleared %t", e.ID, e.Cleared)
			}
		}
	},
	"irmc-supply-oem": func(t *testing.T) {
		tree := of(t, "FUJITSU", "", "")
		supplies(t, tree, `[{"MemberId":"0","Name":"PSU1","Status":{"Health":"OK","State":"Enabled"}},{"MemberId":"1","Name":"PSU10","Status":{"Health":"OK","State":"Enabled"}}]`)
		change(t, tree, power, func(d map[string]any) {
			d["Oem"] = map[string]any{"ts_fujitsu": map[string]any{"ChassisPowerSensors": []any{
				map[string]any{"Designation": "Total Power", "CurrentPowerConsumptionW": 300},
				map[string]any{"Designation": "PSU1 Power", "CurrentPowerConsumptionW": 152},
				map[string]any{"Designation": "PSU10 Power", "CurrentPowerConsumptionW": 148},
			}}}
		})
		s, _ := everything(t, tree)
		wantValue(t, s, "psu/PSU1", health.InputPower, 152)
		wantValue(t, s, "psu/PSU10", health.InputPower, 148)
	},
	"irmc-storage-twice": func(t *testing.T) {
		tree := of(t, "FUJITSU", "", "3.06P")
		again := "/redfish/v1/Systems/1/Storage/RAID-2"
		change(t, tree, "/redfish/v1/Systems/1/Storage", func(d map[string]any) {
			d["Members"] = append(d["Members"].([]any), map[string]any{"@odata.id": again})
		})
		tree[again] = strings.ReplaceAll(tree["/redfish/v1/Systems/1/Storage/RAID"], "Storage/RAID/Drives", "Storage/RAID-2/Drives")
		for _, n := range []string{"0", "1"} {
			tree[again+"/Drives/"+n] = tree["/redfish/v1/Systems/1/Storage/RAID/Drives/"+n]
		}
		if s, _ := everything(t, tree); len(ids(s, health.ClassDrive)) != 3 {
			t.Errorf("%v", ids(s, health.ClassDrive))
		}
	},
	"openbmc-modern-only": func(t *testing.T) {
		s, _ := everything(t, ownTree(t, "modern"))
		for _, class := range []health.Class{health.ClassFan, health.ClassPSU, health.ClassTemperature} {
			if len(ids(s, class)) == 0 {
				t.Errorf("no %s", class)
			}
		}
	},
	"openbmc-huge-logs": func(t *testing.T) {
		tree := ownTree(t, "classic")
		change(t, tree, "/redfish/v1/Systems/1/LogServices", func(d map[string]any) {
			for _, id := range []string{"Dump", "FaultLog", "PostCodes", "HostLogger"} {
				at := "/redfish/v1/Systems/1/LogServices/" + id
				d["Members"] = append(d["Members"].([]any), map[string]any{"@odata.id": at})
				tree[at] = `{"Id":"` + id + `","Name":"` + id + `","Entries":{"@odata.id":"` + at + `/Entries"}}`
			}
		})
		tree[entries] = `{"Members":[{"@odata.id":"` + entries + `/1700000000_1","Id":"1700000000_1","Severity":"Warning","Message":"m","Created":"2026-11-23T07:00:00+00:00"}]}`
		s, srv := everything(t, tree)
		skipped := map[string]string{}
		for _, l := range s.Logs {
			skipped[l.ID] = l.Skipped
		}
		for _, id := range []string{"Journal", "Dump", "FaultLog", "PostCodes", "HostLogger"} {
			if skipped[id] == "" || wasAsked(srv, id+"/Entries") {
				t.Errorf("%s is read, or not named as skipped: %q", id, skipped[id])
			}
		}
		if !slices.ContainsFunc(s.Log, func(e health.LogEntry) bool { return e.ID == "1700000000_1" }) {
			t.Errorf("log %+v", s.Log)
		}
	},
	"openbmc-nan": func(t *testing.T) {
		tree := ownTree(t, "classic")
		tree[thermal] = strings.Replace(tree[thermal], "21.5", "nan", 1)
		s, _ := everything(t, tree)
		wantNone(t, s, "temperature/Inlet_Temp", health.Temperature)
		wantValue(t, s, "fan/Fan_1", health.Speed, 6000)
	},
	"missing-under-200": func(t *testing.T) {
		tree := ownTree(t, "classic")
		tree["/redfish/v1/Chassis"] = `{"Members":[{"@odata.id":"/redfish/v1/Chassis/1"},{"@odata.id":"/redfish/v1/Chassis/2"}]}`
		tree["/redfish/v1/Chassis/2"] = `{"error":{"code":"Base.1.8.ResourceNotFound","message":"The requested resource of type Chassis named 2 was not found."}}`
		s, _ := everything(t, tree)
		if gaps := missing(s); component(s, "chassis/2") != nil || len(gaps) != 1 || gaps[0].Reason != health.ReasonNotFound {
			t.Errorf("chassis %v, gaps %+v", ids(s, health.ClassChassis), s.Gaps)
		}
	},
	"ami-shapes": func(t *testing.T) {
		tree := of(t, "", "AMI Redfish Server", "")
		change(t, tree, rootURI, func(d map[string]any) {
			delete(d, "Systems")
			delete(d, "Chassis")
			delete(d, "Managers")
		})
		tree["/redfish/v1/Chassis"] = `{"Members":[null,{"@odata.id":"/redfish/v1/Chassis/1"},null]}`
		supplies(t, tree, `[{"MemberId":0,"Name":"PSU0","PowerOutputWatts":100},{"MemberId":1,"Name":"PSU1","Status":{"State":"Present","Health":"OK"}}]`)
		s, _ := everything(t, tree)
		wantState(t, s, "psu/PSU0", health.Present, health.Unknown)
		wantState(t, s, "psu/PSU1", health.Present, health.OK)
		wantValue(t, s, "psu/PSU0", health.OutputPower, 100)
	},
	"h3c-65535": func(t *testing.T) {
		for vendor, rpm := range map[string]bool{"H3C": false, "Contoso": true} {
			tree := of(t, vendor, "", "")
			tree[thermal] = strings.Replace(tree[thermal], "6000", "65535", 1)
			change(t, tree, power, func(d map[string]any) {
				d["PowerControl"] = map[string]any{"Name": "System Power", "PowerConsumedWatts": 65535}
			})
			s, _ := everything(t, tree)
			wantNone(t, s, "power/System_Power", health.Power)
			if got := reading(s, "fan/Fan_1", health.Speed) != nil; got != rpm {
				t.Errorf("%s: 65535 rpm is a reading: %t", vendor, got)
			}
		}
	},
	"h3c-shapes": func(t *testing.T) {
		tree := of(t, "H3C", "", "")
		tree["/redfish/v1/Systems"] = `{"Members":["/redfish/v1/Systems/1"]}`
		tree["/redfish/v1/Chassis"] = `{"Members":["/redfish/v1/Chassis/1"]}`
		change(t, tree, "/redfish/v1/Systems/1", func(d map[string]any) {
			d["Storages"] = map[string]any{"@odata.id": "/redfish/v1/Systems/1/Storages"}
			delete(d, "Storage")
		})
		tree["/redfish/v1/Systems/1/Storages"] = `{"Members":["/redfish/v1/Systems/1/Storage/RAID","/redfish/v1/Systems/1/Storage/AHCI"]}`
		tree[drive0] = strings.Replace(tree[drive0], `"SerialNumber": "`, "\"SerialNumber\": \"\r", 1)
		supplies(t, tree, `[{"MemberId":"0","Name":"PSU1","Status":{"State":"Enabled","Health":"Enabled"}}]`)
		s, _ := everything(t, tree)
		wantState(t, s, "psu/PSU1", health.Present, health.OK)
		if len(ids(s, health.ClassDrive)) != 3 || component(s, "drive/RAID:0").Serial == "" {
			t.Errorf("drives %v", ofClass(s, health.ClassDrive))
		}
	},
	"host-off": func(t *testing.T) {
		tree := ownTree(t, "classic")
		change(t, tree, "/redfish/v1/Systems/1", func(d map[string]any) { d["PowerState"] = "Off" })
		s, _ := everything(t, tree)
		wantState(t, s, "fan/Fan_1", health.Present, health.Unknown)
		wantState(t, s, "fan/Fan_4", health.Present, health.Unknown)
		wantState(t, s, "psu/ServerPowerSupply#1", health.Present, health.Critical)
	},
	"leak-detection-single": func(t *testing.T) {
		at := "/redfish/v1/Chassis/1/ThermalSubsystem/LeakDetection"
		for name, docs := range map[string]map[string]string{
			"the object is the detector": {at: `{"Id":"LeakDetection","Name":"Leak","DetectorState":"Critical","Status":{"Health":"Critical","State":"Enabled"}}`},
			"a collection of detectors": {
				at: `{"LeakDetectors":{"@odata.id":"` + at + `/LeakDetectors"}}`, at + "/LeakDetectors": `{"Members":[{"@odata.id":"` + at + `/LeakDetectors/1"}]}`,
				at + "/LeakDetectors/1": `{"Id":"1","Name":"Leak","DetectorState":"Critical","Status":{"Health":"Critical","State":"Enabled"}}`,
			},
			"a collection of one LeakDetection": {
				at: `{"Members":[{"@odata.id":"` + at + `/0"}]}`, at + "/0": `{"LeakDetectorGroups":[{"GroupName":"G","Detectors":[{"DeviceName":"Leak","DetectorState":"Critical"}]}]}`,
			},
		} {
			tree := ownTree(t, "classic")
			change(t, tree, "/redfish/v1/Chassis/1", func(d map[string]any) {
				d["ThermalSubsystem"] = map[string]any{"@odata.id": "/redfish/v1/Chassis/1/ThermalSubsystem"}
			})
			tree["/redfish/v1/Chassis/1/ThermalSubsystem"] = `{"LeakDetection":{"@odata.id":"` + at + `"}}`
			maps.Copy(tree, docs)
			srv := newService(t, tree)
			c := srv.open(t)
			s := read(t, c, health.Request{Tiers: health.EveryTier})
			warm := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
			for what, x := range map[string]*health.Snapshot{"first": s, "warm": warm} {
				l := ofClass(x, health.ClassLeakDetector)
				if len(l) != 1 || !hasCondition(&l[0], health.KindLeakDetected, health.SeverityCritical) {
					t.Errorf("%s, %s: %+v", name, what, l)
				}
			}
		}
	},
	"failed-is-not-enabled": func(t *testing.T) {
		tree := ownTree(t, "classic")
		supplies(t, tree, `[{"MemberId":"0","Name":"PSU0","Status":{"State":"UnavailableOffline","Health":"Critical"}},{"MemberId":"1","Name":"PSU1","Status":{"State":"Absent","Health":"Critical"}},
			{"MemberId":"2","Name":"PSU2","Status":{"State":"Disabled","Health":"OK"}}]`)
		s, _ := everything(t, tree)
		wantState(t, s, "psu/PSU0", health.Present, health.Critical)
		wantState(t, s, "psu/PSU2", health.Present, health.Unknown)
		if c := component(s, "psu/PSU1"); c == nil || c.Presence != health.Absent || !strings.Contains(c.Status, "Critical") {
			t.Errorf("a pulled supply is %+v", c)
		}
	},
	"no-power-meter": func(t *testing.T) {
		tree := ownTree(t, "classic")
		change(t, tree, power, func(d map[string]any) {
			d["PowerControl"] = []any{map[string]any{"Name": "System Power", "PowerConsumedWatts": 0}}
		})
		s, _ := everything(t, tree)
		wantNone(t, s, "power/System_Power", health.Power)
	},
}

// noExpand: a BMC that names $expand as supported is asked for it only outside the range of a row.
func noExpand(t *testing.T, vendor, bad, good, row string) {
	for _, x := range []struct {
		firmware string
		o        func(*Options)
		asked    bool
	}{{bad, off(), false}, {good, off(), true}, {bad, off(row), true}} {
		tree := of(t, vendor, "", x.firmware)
		change(t, tree, rootURI, func(d map[string]any) {
			d["ProtocolFeaturesSupported"] = map[string]any{"ExpandQuery": map[string]any{"NoLinks": true}}
		})
		if _, srv := everything(t, tree, x.o); wasAsked(srv, "expand") != x.asked {
			t.Errorf("%s %s: $expand asked: %t", vendor, x.firmware, !x.asked)
		}
	}
}

func TestEveryQuirk(t *testing.T) {
	tests := maps.Clone(quirkTests)
	maps.Copy(tests, moreQuirkTests)
	seen := map[string]bool{}
	for _, q := range Quirks() {
		if seen[q.Name] {
			t.Errorf("two rows are named %s", q.Name)
		}
		seen[q.Name] = true
		if q.What == "" || !strings.HasPrefix(q.Source, "https://github.com/") {
			t.Errorf("%s says not what it is about, or has no link: %+v", q.Name, q)
		}
		for _, e := range q.Effects {
			if !slices.Contains(quirk.Effects("redfish"), e) {
				t.Errorf("%s: effect %s is none of this driver", q.Name, e)
			}
		}
		test := tests[q.Name]
		if test == nil {
			t.Errorf("row %s has no test", q.Name)
			continue
		}
		t.Run(q.Name, test)
	}
	for name := range tests {
		if !seen[name] {
			t.Errorf("the test of %s is about no row", name)
		}
	}
}

// Rows of a configuration act like ours, and a name that no row has is refused.
func TestQuirksOfAConfiguration(t *testing.T) {
	contoso := pattern("^contoso")
	for _, x := range []struct {
		name  string
		row   quirk.Quirk
		holds func(srv *service, s *health.Snapshot) bool
	}{
		{"a denied path", quirk.Quirk{Vendor: contoso, Deny: pattern("/Chassis/1/Power")}, func(srv *service, _ *health.Snapshot) bool { return !wasAsked(srv, "/Power") }},
		{"Basic", quirk.Quirk{Effects: []quirk.Effect{quirk.BasicAuth}}, func(srv *service, _ *health.Snapshot) bool { return srv.created == 0 && srv.basic > 0 }},
		{"for another maker", quirk.Quirk{Vendor: pattern("^acme"), Deny: pattern("/Power")}, func(srv *service, _ *health.Snapshot) bool { return wasAsked(srv, "/Power") }},
	} {
		x.row.Name = "mine"
		s, srv := everything(t, ownTree(t, "classic"), func(o *Options) { o.Quirks = []quirk.Quirk{x.row} })
		if !x.holds(srv, s) {
			reqs, _ := srv.counts()
			t.Errorf("%s: %v", x.name, reqs)
		}
	}
	if _, err := Open("t", Options{Address: "https://127.0.0.1:1", QuirksOff: []string{"idrac-raid"}}); err == nil || !strings.Contains(err.Error(), `"idrac-raid"`) {
		t.Errorf("an unknown name: %v", err)
	}
}

package redfish

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

// dellQuirkTests are of rows about Dell and HPE, and of those at the top of the table.
var dellQuirkTests = map[string]func(t *testing.T){
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

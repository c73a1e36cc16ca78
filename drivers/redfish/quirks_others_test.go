package redfish

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dewline/health"
)

// otherQuirkTests are of rows about other makers.
var otherQuirkTests = map[string]func(t *testing.T){
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

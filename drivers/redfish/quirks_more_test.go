package redfish

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dewline/health"
)

// moreQuirkTests are of rows that record what is done for every machine.
var moreQuirkTests = map[string]func(t *testing.T){
	"ilo4-log-by-entry": func(t *testing.T) {
		tree := of(t, "HPE", "iLO 4", "")
		links := func(n int) string {
			var l []string
			for i := 1; i <= n; i++ {
				u := fmt.Sprintf("%s/%d", entries, i)
				tree[u] = fmt.Sprintf(`{"@odata.id":%q,"Id":"%d","Severity":"OK","Message":"m%d","Created":"2026-11-20T07:%02d:%02dZ"}`, u, i, i, i/60, i%60)
				l = append(l, fmt.Sprintf(`{"@odata.id":%q}`, u))
			}
			return `{"Members":[` + strings.Join(l, ",") + `]}`
		}
		tree[entries] = links(130)
		srv := newService(t, tree)
		c := srv.open(t)
		s := read(t, c, health.Request{Tiers: health.EveryTier})
		had := map[string]bool{}
		for _, e := range s.Log {
			had[e.Message] = true
		}
		if !had["m130"] || !had["m31"] || had["m30"] {
			t.Errorf("%d entries", len(had))
		}
		more := links(133)
		for _, i := range []int{131, 132, 133} {
			u := fmt.Sprintf("%s/%d", entries, i)
			srv.set(u, tree[u])
		}
		srv.set(entries, more)
		srv.reset()
		again := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Memory: s.Memory, Cursors: s.NextCursors})
		var got []string
		for _, e := range again.Log {
			if strings.HasPrefix(e.Message, "m") {
				got = append(got, e.Message)
			}
		}
		if slices.Sort(got); !slices.Equal(got, []string{"m131", "m132", "m133"}) || again.Cost.Requests > 8 {
			t.Errorf("%v by %d requests", got, again.Cost.Requests)
		}
	},
	"ilo-supply-status": func(t *testing.T) {
		tree := of(t, "HPE", "", "")
		supplies(t, tree, `[{"MemberId":"0","FirmwareVersion":"1.00","SerialNumber":"5WBXT1","Status":{"Health":"OK","State":"Enabled"},"Oem":{"Hpe":{"BayNumber":1,"PowerSupplyStatus":{"State":"Unknown"}}}},
			{"MemberId":"1","FirmwareVersion":"1.00","SerialNumber":"5WBXT2","Status":{"Health":"Critical","State":"Enabled"},"Oem":{"Hpe":{"BayNumber":2,"PowerSupplyStatus":{"State":"FanFailed"}}}}]`)
		s, _ := everything(t, tree)
		wantState(t, s, "psu/Power_Supply_1", health.Present, health.OK)
		wantState(t, s, "psu/Power_Supply_2", health.Present, health.Critical)
		for id, word := range map[health.ComponentID]string{"psu/Power_Supply_1": "Unknown", "psu/Power_Supply_2": "FanFailed"} {
			if c := component(s, id); c == nil || !strings.Contains(c.Status, word) {
				t.Errorf("%s is %+v", id, c)
			}
		}
	},
	"ilo-views": func(t *testing.T) {
		tree := of(t, "HPE", "iLO 5", "")
		change(t, tree, rootURI, func(d map[string]any) {
			d["Oem"] = map[string]any{"Hpe": map[string]any{"Links": map[string]any{"Views": map[string]any{"@odata.id": "/redfish/v1/Views"}}}}
		})
		_, srv := everything(t, tree)
		reqs, _ := srv.counts()
		for _, r := range reqs {
			if strings.HasPrefix(r, "POST") && !strings.Contains(r, "/Sessions") || strings.Contains(r, "/Views") {
				t.Errorf("asked: %s", r)
			}
		}
	},
	"imm-other-port": TestRedirectedLogin,
	"xcc-stuck-drives": func(t *testing.T) {
		s := driveOnce(t, of(t, "Lenovo", "", ""), func(d map[string]any) {
			d["Status"] = map[string]any{"Health": "Critical", "State": "Enabled"}
			d["FailurePredicted"], d["PredictedMediaLifeLeftPercent"] = false, 99
		})
		wantState(t, s, "drive/RAID:0", health.Present, health.Critical)
	},
	"cimc-system-id": func(t *testing.T) {
		want, _ := everything(t, of(t, "Cisco Systems Inc", "", ""))
		tree := map[string]string{}
		for u, b := range of(t, "Cisco Systems Inc", "", "") {
			tree[strings.ReplaceAll(u, "/Systems/1", "/Systems/FCH2109V0AB")] = strings.ReplaceAll(b, "/Systems/1", "/Systems/FCH2109V0AB")
		}
		got, _ := everything(t, tree)
		for _, class := range []health.Class{health.ClassDrive, health.ClassMemory, health.ClassCPU, health.ClassFan} {
			if a, b := ids(want, class), ids(got, class); !slices.Equal(a, b) || len(a) == 0 {
				t.Errorf("%v, with the serial number for a name %v", a, b)
			}
		}
	},
	"irmc-role": func(t *testing.T) {
		srv := newService(t, of(t, "FUJITSU", "", ""))
		var asked atomic.Int64
		srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || r.URL.Path == rootURI || r.URL.Path == rootURI+"/" {
				return false
			}
			asked.Add(1)
			w.WriteHeader(http.StatusForbidden)
			return true
		})
		s, err := srv.open(t).Read(t.Context(), health.Request{Tiers: health.EveryTier})
		denied := err != nil && health.ReasonFor(err) == health.ReasonDenied
		for _, g := range s.Gaps {
			denied = denied || g.Reason == health.ReasonDenied
		}
		if !denied || asked.Load() > 12 {
			t.Errorf("error %v, gaps %+v, %d requests", err, s.Gaps, asked.Load())
		}
	},
	"irmc-stale-event": func(t *testing.T) {
		tree := of(t, "FUJITSU", "", "")
		tree[entries] = `{"Members":[{"@odata.id":"` + entries + `/1","Id":"1","MessageId":"0x180055","Severity":"Warning","Message":"stale","Created":"2026-11-20T07:00:00Z"}]}`
		srv := newService(t, tree)
		c := srv.open(t)
		s := read(t, c, health.Request{Tiers: health.EveryTier})
		again := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Memory: s.Memory, Cursors: s.NextCursors})
		told := func(l []health.LogEntry) (n int) {
			for _, e := range l {
				if e.MessageID == "0x180055" {
					n++
					if e.Kind != "" {
						t.Errorf("it is of kind %s", e.Kind)
					}
				}
			}
			return n
		}
		if told(s.Log) != 1 || told(again.Log) != 0 {
			t.Errorf("told %d times, then %d", told(s.Log), told(again.Log))
		}
	},
	"openbmc-sessions": func(t *testing.T) {
		t.Run("a session that ended", TestExpiredSessionIsOneNewLogin)
		t.Run("a wrong password", TestWrongPasswordIsOneAttempt)
	},
	"ami-values": func(t *testing.T) {
		tree := of(t, "AMI", "", "")
		cpu := "/redfish/v1/Systems/1/Processors/CPU1"
		change(t, tree, cpu, func(d map[string]any) { d["MaxSpeedMHz"] = ""; delete(d, "Name") })
		change(t, tree, "/redfish/v1/Chassis/1", func(d map[string]any) { delete(d, "ChassisType"); delete(d, "Name") })
		change(t, tree, power, func(d map[string]any) {
			d["PowerControl"] = []any{map[string]any{"MemberId": "0", "Name": "Chassis", "PowerConsumedWatts": 344, "PowerMetrics": map[string]any{"IntervalInMin": 0.08, "AverageConsumedWatts": 340}}}
		})
		s, _ := everything(t, tree)
		if c := component(s, "cpu/CPU1"); c == nil || c.Name == "" {
			t.Errorf("%+v of %v", c, ids(s, health.ClassCPU))
		}
		wantValue(t, s, "power/Chassis", health.Power, 344)
	},
}

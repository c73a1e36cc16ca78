package redfish

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dewline/health"
)

// ownTree is one of the trees in testdata: an object of URI to resource.
func ownTree(t testing.TB, name string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "trees", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	tree := map[string]string{}
	for k, v := range raw {
		tree[k] = string(v)
	}
	return tree
}

func TestClassicMachine(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	checkSnapshot(t, s)
	// What stands where a number should be is the reason why there is none.
	if len(missing(s)) > 0 || len(s.Gaps) != 2 || s.Gaps[0].Reason != health.ReasonMalformed || s.Gaps[1].Reason != health.ReasonMalformed {
		t.Errorf("gaps %+v", s.Gaps)
	}
	if s.HostPower != health.HostOn {
		t.Errorf("host power %v", s.HostPower)
	}
	want := health.Identity{
		Manufacturer: "Contoso", Model: "R1", Serial: "SYS1", SKU: "K1", UUID: "38947555-7742-3448-3784-823347823834",
		HostName: "db-1", BIOS: "1.2.3", BMCModel: "BMC 5", BMCFirmware: "2.72",
	}
	if s.Identity == nil || *s.Identity != want {
		t.Errorf("identity %+v", s.Identity)
	}
	for class, n := range map[health.Class]int{
		health.ClassFan: 5, health.ClassTemperature: 5, health.ClassPSU: 2, health.ClassVoltage: 1, health.ClassPower: 1,
		health.ClassDrive: 3, health.ClassVolume: 1, health.ClassStorageController: 2, health.ClassMemory: 2, health.ClassCPU: 1,
		health.ClassGPU: 1, health.ClassIntrusion: 1, health.ClassPowerUnit: 1, health.ClassBMC: 1, health.ClassSystem: 1,
	} {
		if got := ofClass(s, class); len(got) != n {
			t.Errorf("%d of class %s, want %d: %+v", len(got), class, n, got)
		}
	}
	for _, w := range []struct {
		id       health.ComponentID
		state    health.State
		presence health.Presence
	}{
		{"fan/Fan_1", health.OK, health.Present},
		{"fan/Fan_4", health.Critical, health.Present}, // failed and not Enabled
		{"fan/Fan_5", health.Unknown, health.Absent},   // OK and absent
		{"gpu/GPU1", health.Unknown, health.Present},   // no Health
		{"psu/ServerPowerSupply#1", health.Critical, health.Present},
		{"drive/RAID:1", health.Warning, health.Present},
		{"intrusion/IntrusionSensor", health.Warning, health.Present},
	} {
		c := component(s, w.id)
		if c == nil || c.State != w.state || c.Presence != w.presence {
			t.Errorf("%s: %+v, want %v %v", w.id, c, w.state, w.presence)
		}
	}
	for _, w := range []struct {
		id   health.ComponentID
		kind health.Kind
		sev  health.Severity
	}{
		{"psu/ServerPowerSupply#1", health.KindInputLost, health.SeverityCritical},
		{"psu/ServerPowerSupply#0", health.KindInputLost, health.SeverityOK},
		{"drive/RAID:1", health.KindPredictedFailure, health.SeverityWarning},
		{"drive/RAID:0", health.KindPredictedFailure, health.SeverityOK},
		{"power_unit/PSU_Redundancy", health.KindRedundancyDegraded, health.SeverityWarning},
		{"sensor/Fan_Redundancy", health.KindRedundancyLost, health.SeverityCritical},
		{"intrusion/IntrusionSensor", health.KindIntrusion, health.SeverityWarning},
	} {
		if c := component(s, w.id); !hasCondition(c, w.kind, w.sev) {
			t.Errorf("%s has no %s %v: %+v", w.id, w.kind, w.sev, c)
		}
	}
	for _, w := range []struct {
		id    health.ComponentID
		q     health.Quantity
		value float64
	}{
		{"fan/Fan_1", health.Speed, 6000},
		{"temperature/Inlet_Temp", health.Temperature, 21.5},
		{"temperature/CPU2_Temp", health.Temperature, 44}, // a string
		{"temperature/CPU1_DTS", health.TemperatureMargin, -51},
		{"psu/ServerPowerSupply#0", health.Efficiency, 90}, // a fraction
		{"power/System_Power", health.Power, 344.5},        // an object where a list belongs
		{"drive/RAID:0", health.LifeLeft, 97},
	} {
		if r := reading(s, w.id, w.q); r == nil || r.Value != w.value {
			t.Errorf("%s %s: %+v, want %v", w.id, w.q, r, w.value)
		}
	}
	for _, id := range []health.ComponentID{"temperature/CPU1_Temp", "temperature/Broken"} {
		if r := reading(s, id, health.Temperature); r != nil {
			t.Errorf("%s has no value and reads %v", id, r.Value)
		}
	}
	if r := reading(s, "temperature/Inlet_Temp", health.Temperature); r.Thresholds == nil || *r.Thresholds.UpperCritical != 42 {
		t.Errorf("thresholds %+v", r.Thresholds)
	}
	if x := component(s, "temperature/Inlet_Temp"); x.Context != "intake" || x.Place != "/redfish/v1/Chassis/1/Thermal#Temperatures" {
		t.Errorf("inlet %+v", x)
	}
	if dimms := ofClass(s, health.ClassMemory); dimms[0].Serial != dimms[1].Serial {
		t.Errorf("memory %+v", dimms)
	}
	logs := map[string]health.LogInfo{}
	for _, l := range s.Logs {
		logs[l.ID] = l
	}
	if logs["Systems/1/Sel"].Read != 5 || logs["Managers/1/Sel"].Read != 3 || logs["Journal"].Skipped != "journal" || logs["AuditLog"].Skipped != "audit" {
		t.Errorf("logs %+v", s.Logs)
	}
	e := s.Log[len(s.Log)-1]
	if len(s.Log) != 8 || e.Component != "memory/DIMM1" || e.Severity != health.SeverityWarning || len(e.Args) != 2 || e.Created.IsZero() || len(e.Key) == 0 {
		t.Errorf("log %d, last %+v", len(s.Log), e)
	}
}

func TestModernMachine(t *testing.T) {
	for _, expand := range []bool{false, true} {
		srv := newService(t, ownTree(t, "modern"))
		srv.expand = expand
		c := srv.open(t)
		s := read(t, c, health.Request{Tiers: health.EveryTier})
		checkSnapshot(t, s)
		if len(missing(s)) > 0 {
			t.Errorf("gaps %+v", s.Gaps)
		}
		for class, n := range map[health.Class]int{
			health.ClassFan: 2, health.ClassPSU: 1, health.ClassLeakDetector: 6, health.ClassFlow: 1,
			health.ClassTemperature: 6, health.ClassHumidity: 6, health.ClassVoltage: 1, health.ClassPower: 0,
		} {
			if got := ofClass(s, class); len(got) != n {
				t.Errorf("%d of class %s, want %d", len(got), class, n)
				for _, g := range got {
					t.Log(g.ID, g.Place)
				}
			}
		}
		for _, w := range []struct {
			id    health.ComponentID
			state health.State
			kind  health.Kind
			sev   health.Severity
		}{
			{"leak_detector/ColdPlate", health.Critical, health.KindLeakDetected, health.SeverityCritical},
			{"leak_detector/ColdPlate", health.Critical, health.KindDetectorFault, health.SeverityWarning},
			{"leak_detector/Manifold", health.OK, health.KindLeakDetected, health.SeverityOK},
			{"leak_detector/Gone", health.Unknown, health.KindDetectorFault, health.SeverityWarning},
			{"leak_detector/Leak_Detection_Rope_1", health.Warning, health.KindLeakDetected, health.SeverityWarning},
			{"leak_detector/LiquidLeak", health.Critical, health.KindLeakDetected, health.SeverityCritical},
			{"psu/PSU1", health.OK, health.KindInputOutOfRange, health.SeverityWarning},
		} {
			if x := component(s, w.id); x == nil || x.State != w.state || !hasCondition(x, w.kind, w.sev) {
				t.Errorf("%s: %+v, want %v %s %v", w.id, x, w.state, w.kind, w.sev)
			}
		}
		for _, w := range []struct {
			id    health.ComponentID
			q     health.Quantity
			value float64
		}{
			{"fan/Fan1", health.Speed, 6100.5}, {"fan/Fan1", health.Duty, 45.5}, {"psu/PSU1", health.InputPower, 500.5},
			{"psu/PSU1", health.OutputPower, 450}, {"temperature/inlet", health.Temperature, 19.25},
			{"temperature/pdu:inlet", health.Temperature, 23}, {"temperature/delta", health.TemperatureMargin, -4},
			{"temperature/headroom", health.TemperatureMargin, 12}, {"humidity/humidity_front", health.RelativeHumidity, 41},
			{"humidity/pdu:Humidity", health.RelativeHumidity, 55}, {"flow/flow", health.Flow, 7.5},
		} {
			if r := reading(s, w.id, w.q); r == nil || r.Value != w.value {
				t.Errorf("%s %s: %+v, want %v", w.id, w.q, r, w.value)
			}
		}
		if r := reading(s, "fan/Fan1", health.Speed); r != nil && (r.Thresholds == nil || *r.Thresholds.LowerCritical != 500) {
			t.Error("the fan's sensor gives its thresholds")
		}
		if x := component(s, "humidity/pdu:Humidity"); x == nil || x.Context != "room" || x.Tier != health.TierReadings {
			t.Errorf("room humidity %+v", x)
		}
		for _, id := range []health.ComponentID{"temperature/discrete", "voltage/nan"} {
			if x := component(s, id); x == nil {
				t.Errorf("%s is missing", id)
			}
			for _, r := range s.Readings {
				if r.Component == id {
					t.Errorf("%s has no value and reads %v", id, r.Value)
				}
			}
		}
		// Warm: the same parts, with $expand in fewer requests.
		warm := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
		for _, x := range s.Components {
			if y := component(warm, x.ID); x.Tier == health.TierReadings && (y == nil || y.State != x.State || y.Place != x.Place) {
				t.Errorf("expand %v: %s in a warm visit: %+v, was %+v", expand, x.ID, y, x)
			}
		}
		t.Logf("expand %v: cold %d requests, warm %d", expand, s.Cost.Requests, warm.Cost.Requests)
		reqs, _ := srv.counts()
		n := 0
		for _, r := range reqs[s.Cost.Requests:] {
			if strings.Contains(r, "$expand") {
				n++
			}
		}
		if expand && n == 0 || !expand && n > 0 {
			t.Errorf("expand %v: %d expanded requests in the warm visit", expand, n)
		}
	}
}

func TestExpandThatLeavesFieldsOutIsNotTrusted(t *testing.T) {
	tree := ownTree(t, "modern")
	srv := newService(t, tree)
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("$expand") || !strings.HasSuffix(r.URL.Path, "/Chassis/tray/Sensors") {
			return false
		}
		srv.expand = true
		body := srv.expanded(tree[r.URL.Path])
		srv.expand = false
		_, _ = w.Write([]byte(strings.ReplaceAll(body, `"Reading"`, `"Left out"`)))
		return true
	})
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	srv.reset()
	warm := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	reqs, _ := srv.counts()
	for _, r := range reqs {
		if strings.Contains(r, "expand") {
			t.Errorf("%s is asked after it lied", r)
		}
	}
	if r := reading(warm, "temperature/inlet", health.Temperature); r == nil || r.Value != 19.25 {
		t.Errorf("inlet %+v", r)
	}
}

func TestWarmReadingsVisitIsThreeRequestsOnNoNewConnection(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	made := 0
	for range 3 {
		srv.reset()
		w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory, Cursors: s.NextCursors})
		reqs, conns := srv.counts()
		made += conns
		if len(reqs) > 3 || w.Cost.Requests != len(reqs) || w.Cost.Connections < conns || w.Cost.Bytes == 0 {
			t.Errorf("%d requests on %d new connections, cost %+v: %v", len(reqs), conns, w.Cost, reqs)
		}
		if w.Memory != nil {
			t.Error("an unchanged memory is given again")
		}
	}
	if made > 1 { // one, where this machine is too busy for net/http to note in time that a connection is free again
		t.Errorf("%d new connections in three warm visits", made)
	}
	// After a restart: the login more, no discovery.
	srv.reset()
	w := read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if reqs, conns := srv.counts(); len(reqs) != 4 || conns != 1 || len(ofClass(w, health.ClassFan)) != 5 {
		t.Errorf("after a restart: %d connections, %v", conns, reqs)
	}
	// Events, too: one request per hardware log.
	srv.reset()
	e := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Cursors: s.NextCursors})
	if reqs, _ := srv.counts(); len(reqs) != 2 || len(e.Log) != 0 {
		t.Errorf("events: %v, %d entries", reqs, len(e.Log))
	}
}

func TestHostOff(t *testing.T) {
	tree := ownTree(t, "classic")
	tree["/redfish/v1/Systems/1"] = strings.Replace(tree["/redfish/v1/Systems/1"], `"PowerState": "On"`, `"PowerState": "Off"`, 1)
	s := read(t, newService(t, tree).open(t), health.Request{Tiers: health.EveryTier})
	if s.HostPower != health.HostOff {
		t.Fatalf("host power %v", s.HostPower)
	}
	for _, x := range s.Components {
		switch x.Class {
		case health.ClassFan, health.ClassVoltage:
			if x.State != health.Unknown {
				t.Errorf("%s is %v with the host off", x.ID, x.State)
			}
		case health.ClassDrive:
			if x.State == health.OK {
				t.Errorf("%s is ok with the host off", x.ID)
			}
		case health.ClassPSU:
			if x.ID == "psu/ServerPowerSupply#0" && x.State != health.OK {
				t.Errorf("%s is %v: supplies work with the host off", x.ID, x.State)
			}
		}
	}
	if r := reading(s, "fan/Fan_4", health.Speed); r != nil {
		t.Errorf("0 rpm with the host off is no reading: %+v", r)
	}
}

func TestRemovedPartIsNotInAPlaceReadWhole(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	var d map[string]any
	_ = json.Unmarshal([]byte(ownTree(t, "classic")["/redfish/v1/Chassis/1/Power"]), &d)
	d["PowerSupplies"] = d["PowerSupplies"].([]any)[:1]
	delete(d, "Redundancy")
	b, _ := json.Marshal(d)
	srv.set("/redfish/v1/Chassis/1/Power", string(b))
	w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	k := health.NewKnown("t")
	for _, x := range s.Components {
		k.Components[x.ID] = health.KnownComponent{Component: x}
	}
	v := &health.Visit{Result: health.Done, Snapshot: w, Due: map[health.Tier]time.Time{health.TierReadings: w.At}}
	if !k.Gone(*component(s, "psu/ServerPowerSupply#1"), v) {
		t.Errorf("the second supply is gone: scope %v", w.Scope)
	}
	if x := component(w, "psu/ServerPowerSupply#0"); x == nil {
		t.Errorf("the first supply keeps its name: %+v", ofClass(w, health.ClassPSU))
	}
	if k.Gone(*component(s, "power_unit/PSU_Redundancy"), v) {
		t.Error("a missing Redundancy array says nothing of the group")
	}
}

func TestUnreadDocumentIsAGapOfItsArrays(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/Thermal") {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	})
	w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	places := map[string]health.Reason{}
	for _, g := range w.Gaps {
		places[g.Place] = g.Reason
	}
	for _, a := range []string{"Fans", "Temperatures", "Redundancy"} {
		if places["/redfish/v1/Chassis/1/Thermal#"+a] != health.ReasonServerError {
			t.Errorf("gaps %+v", w.Gaps)
		}
	}
	if component(w, "psu/ServerPowerSupply#0") == nil {
		t.Error("Power is read although Thermal is not")
	}
	for _, p := range w.Scope {
		if strings.Contains(p, "Thermal") {
			t.Errorf("%s is in scope and was not read", p)
		}
	}
}

package bmcsim

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2026, time.November, 23, 7, 0, 0, 0, time.UTC)

func testMachine(p Profile) *Machine {
	m := NewMachine(p, "sim-"+p.Name, 1)
	m.SetClock(func() time.Time { return testTime })
	return m
}

func serveMachine(t *testing.T, m *Machine, o RedfishOptions) (*RedfishServer, *testClient) {
	t.Helper()
	o.Now = func() time.Time { return testTime }
	s, err := ServeRedfish(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, newTestClient(t, s)
}

// walk gets every document a client can reach from the service root.
func walk(c *testClient) map[string]map[string]any {
	docs := map[string]map[string]any{}
	todo := []string{"/redfish/v1"}
	var find func(v any)
	find = func(v any) {
		switch d := v.(type) {
		case []any:
			for _, x := range d {
				find(x)
			}
		case map[string]any:
			for k, x := range d {
				switch id, ok := x.(string); {
				case ok && (k == "@odata.id" || k == "DataSourceUri" || k == "Members@odata.nextLink") && !strings.Contains(id, "#"):
					todo = append(todo, id)
				case k != "Actions":
					find(x)
				}
			}
		}
	}
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		if _, ok := docs[p]; ok {
			continue
		}
		docs[p] = c.get(p)
		find(docs[p])
	}
	return docs
}

func TestEveryLinkOfEveryProfileLeadsToADocument(t *testing.T) {
	for _, p := range Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			_, c := serveMachine(t, testMachine(p), RedfishOptions{})
			docs := walk(c)
			if len(docs) < 20 {
				t.Fatalf("only %d documents", len(docs))
			}
			for path, d := range docs {
				if strings.Contains(path, "?") {
					continue
				}
				if d["@odata.id"] != path || d["@odata.type"] == nil || d["Name"] == nil {
					t.Errorf("%s: @odata.id %v, type %v, name %v", path, d["@odata.id"], d["@odata.type"], d["Name"])
				}
			}
			has := func(part string) bool {
				for path := range docs {
					if strings.HasSuffix(path, part) {
						return true
					}
				}
				return false
			}
			for part, want := range map[string]bool{
				"/Thermal": p.Redfish != ShapeModern, "/Power": p.Redfish != ShapeModern, "/Sensors": p.Redfish != ShapeLegacy,
				"/ThermalSubsystem": p.Redfish != ShapeLegacy, "/PowerSubsystem": p.Redfish != ShapeLegacy,
				"/LeakDetection": p.Redfish == ShapeModern, "/Sensors/humidity_room": p.Redfish != ShapeLegacy && p.Room,
			} {
				if has(part) != want {
					t.Errorf("%s served: %v, want %v", part, !want, want)
				}
			}
		})
	}
}

func TestLegacyDocumentsShowWhatTheMachineMeasures(t *testing.T) {
	m := testMachine(ProfileLegacy)
	m.FailFan(1)
	m.RemoveFan(2)
	m.LosePSUInput(0)
	m.FailDrive(1)
	m.PredictDrive(2)
	m.RemoveDrive(3)
	_, c := serveMachine(t, m, RedfishOptions{})
	st := m.At(testTime)
	fans := c.get("/redfish/v1/Chassis/System.Embedded.1/Thermal")["Fans"].([]any)
	if f := fans[0].(map[string]any); f["Reading"] != st.Fans[0].RPM || f["ReadingUnits"] != "RPM" {
		t.Errorf("fan 1: %v, want %v rpm", f, st.Fans[0].RPM)
	}
	if f := fans[1].(map[string]any); f["Reading"] != 0.0 || health(f) != "Critical" {
		t.Errorf("failed fan: %v", f)
	}
	if f := fans[2].(map[string]any); f["Reading"] != nil || f["Status"].(map[string]any)["State"] != "Absent" {
		t.Errorf("absent fan: %v", f)
	}
	psus := c.get("/redfish/v1/Chassis/System.Embedded.1/Power")["PowerSupplies"].([]any)
	if p := psus[0].(map[string]any); p["LineInputVoltage"] != 0.0 || health(p) != "Critical" {
		t.Errorf("supply without input: %v", p)
	}
	if p := psus[1].(map[string]any); p["PowerInputWatts"] != st.PSUs[1].InputWatts || st.PSUs[1].InputWatts < 100 {
		t.Errorf("good supply: %v, want %v W", p, st.PSUs[1].InputWatts)
	}
	drives := c.get("/redfish/v1/Systems/System.Embedded.1/Storage/Raid.1")["Drives"].([]any)
	if len(drives) != 3 {
		t.Errorf("%d drives listed after one was pulled", len(drives))
	}
	if d := c.get("/redfish/v1/Systems/System.Embedded.1/Storage/Raid.1/Drives/Disk.Bay.2"); d["FailurePredicted"] != true {
		t.Errorf("drive that predicts failure: %v", d)
	}
	if h := health(c.get("/redfish/v1/Systems/System.Embedded.1/Storage/Raid.1/Volumes/1")); h != "Warning" {
		t.Errorf("volume with one drive: %v", h)
	}
	entries := c.get("/redfish/v1/Managers/RAC.Embedded.1/LogServices/Sel/Entries")["Members"].([]any)
	if len(entries) != len(m.Log()) {
		t.Errorf("%d log entries, machine has %d", len(entries), len(m.Log()))
	}
	if e := entries[0].(map[string]any); e["Id"] != num(m.Log()[len(m.Log())-1].ID) {
		t.Errorf("newest entry is not first: %v", e["Id"])
	}
	m.HostOff()
	if f := c.get("/redfish/v1/Chassis/System.Embedded.1/Thermal")["Fans"].([]any)[0].(map[string]any); f["Reading"] != nil {
		t.Errorf("fan of a host that is off: %v", f)
	}
	if got := c.get("/redfish/v1/Systems/System.Embedded.1")["PowerState"]; got != "Off" {
		t.Errorf("power state %v", got)
	}
}

func health(d map[string]any) any { return d["Status"].(map[string]any)["Health"] }

func TestModernDocumentsShowLeaksAndHumidity(t *testing.T) {
	m := testMachine(ProfileModern)
	m.WetLeak(1)
	m.SetRoom(24, 92)
	_, c := serveMachine(t, m, RedfishOptions{Expand: true})
	const ch = "/redfish/v1/Chassis/Tray_0"
	if d := c.get(ch + "/ThermalSubsystem/LeakDetection/LeakDetectors/LeakDetector_1"); d["DetectorState"] != "Critical" || health(d) != "Critical" {
		t.Errorf("wet detector: %v", d)
	}
	if d := c.get(ch + "/Sensors/humidity_room"); math.Abs(d["Reading"].(float64)-92) > 0.5 || d["ReadingType"] != "Humidity" || d["PhysicalContext"] != "Room" || health(d) != "Critical" {
		t.Errorf("humidity: %v", d)
	}
	if d := c.get(ch + "/Sensors/temp_room"); d["PhysicalContext"] != "Room" || d["ReadingType"] != "Temperature" {
		t.Errorf("room temperature: %v", d)
	}
	all := c.get(ch + "/Sensors?$expand=.($levels=1)")
	for _, x := range all["Members"].([]any) {
		one := x.(map[string]any)
		if single := c.get(one["@odata.id"].(string)); one["Name"] == nil || single["Reading"] != one["Reading"] {
			t.Errorf("expanded member %v differs from %v", one, single)
		}
	}
	var ids []string
	for _, x := range c.get("/redfish/v1/Systems/system/LogServices/EventLog/Entries")["Members"].([]any) {
		ids = append(ids, x.(map[string]any)["MessageId"].(string))
	}
	for _, want := range []string{"Environmental.1.1.LeakDetectedCritical", "Environmental.1.0.HumidityAboveUpperCautionThreshold", "Environmental.1.0.HumidityAboveUpperCriticalThreshold"} {
		if !slices.Contains(ids, want) {
			t.Errorf("log %v lacks %s", ids, want)
		}
	}
	m.BreakLeak(1)
	if d := c.get(ch + "/ThermalSubsystem/LeakDetection/LeakDetectors/LeakDetector_1"); d["Status"].(map[string]any)["State"] != "Degraded" {
		t.Errorf("broken detector: %v", d)
	}
}

func TestTheLeakBooleanOfALegacyTree(t *testing.T) {
	m := testMachine(ProfileLegacyPercent)
	_, c := serveMachine(t, m, RedfishOptions{})
	leak := func() any {
		return c.get("/redfish/v1/Chassis/1/Thermal")["Oem"].(map[string]any)["Hpe"].(map[string]any)["LiquidCoolingLeakageDetected"]
	}
	steps := []struct {
		do   func()
		want any
	}{{func() {}, false}, {func() { m.WetLeak(0) }, true}, {func() { m.BreakLeak(0) }, nil}, {func() { m.DryLeak(0) }, false}}
	for i, s := range steps {
		s.do()
		if got := leak(); got != s.want {
			t.Errorf("step %d: %v, want %v", i, got, s.want)
		}
	}
	if f := c.get("/redfish/v1/Chassis/1/Thermal")["Fans"].([]any)[0].(map[string]any); f["ReadingUnits"] != "Percent" || f["Reading"].(float64) > 100 {
		t.Errorf("fan in percent: %v", f)
	}
}

func TestLongLogsArePagedAndClearedOnesStartAnew(t *testing.T) {
	m := testMachine(ProfileMixed)
	for range 100 {
		m.CorrectError(0)
	}
	_, c := serveMachine(t, m, RedfishOptions{})
	const entries = "/redfish/v1/Systems/1/LogServices/PlatformLog/Entries"
	seen := map[any]bool{}
	pages := 0
	for next := entries; next != ""; pages++ {
		d := c.get(next)
		for _, x := range d["Members"].([]any) {
			seen[x.(map[string]any)["Id"]] = true
		}
		next, _ = d["Members@odata.nextLink"].(string)
	}
	if len(seen) != len(m.Log()) || pages != 3 {
		t.Errorf("%d entries on %d pages, machine has %d", len(seen), pages, len(m.Log()))
	}
	if d := c.get("/redfish/v1/Systems/1/LogServices/SEL"); d["Entries"] != nil {
		t.Errorf("the log without entries has them: %v", d)
	}
	m.ClearLog()
	d := c.get(entries)
	if n := len(d["Members"].([]any)); n != 1 {
		t.Errorf("%d entries after a clear", n)
	}
	m.SetLogCapacity(3, false)
	for range 5 {
		m.CorrectError(0)
	}
	if d := c.get("/redfish/v1/Systems/1/LogServices/PlatformLog"); d["Overflow"] != true {
		t.Errorf("overflow not told: %v", d)
	}
	if n := len(m.Log()); n != 3 {
		t.Errorf("a log of 3 holds %d", n)
	}
}

func TestAPowerLimitIsToldWhileItIsInForce(t *testing.T) {
	for _, p := range []Profile{ProfileLegacy, ProfileModern, ProfileMixed} {
		m := testMachine(p)
		_, c := serveMachine(t, m, RedfishOptions{})
		for _, watts := range []float64{0, 450, 0} {
			m.SetPowerLimit(watts)
			var told []any
			for _, d := range walk(c) {
				if l, ok := d["PowerLimitWatts"].(map[string]any); ok {
					told = append(told, l["SetPoint"])
				}
				controls, _ := d["PowerControl"].([]any)
				for _, x := range controls {
					if l := x.(map[string]any)["PowerLimit"].(map[string]any)["LimitInWatts"]; l != nil {
						told = append(told, l)
					}
				}
			}
			if watts == 0 && len(told) > 0 || watts > 0 && (len(told) == 0 || slices.ContainsFunc(told, func(v any) bool { return v != watts })) {
				t.Errorf("%s with a limit of %v W tells %v", p.Name, watts, told)
			}
		}
	}
}

func TestTheSameSeedGivesTheSameMachine(t *testing.T) {
	a, b := testMachine(ProfileModern), testMachine(ProfileModern)
	sa, sb := a.At(testTime), b.At(testTime)
	if sa.InletC != sb.InletC || sa.PowerWatts != sb.PowerWatts || !slices.Equal(sa.Fans, sb.Fans) || a.UUID() != b.UUID() {
		t.Errorf("%+v\n%+v", sa, sb)
	}
	other := NewMachine(ProfileModern, a.Name(), 2).At(testTime)
	if other.InletC == sa.InletC && other.PowerWatts == sa.PowerWatts {
		t.Error("another seed measures the same")
	}
	for s := range 600 {
		st := a.At(testTime.Add(time.Duration(s) * time.Second))
		if math.Abs(st.RoomRH-45) > 0.31 || math.Abs(st.RoomTempC-24) > 0.11 || math.Abs(st.InletC-23.7) > 0.11 {
			t.Fatalf("noise is not small: %+v", st)
		}
	}
	if a.At(testTime.Add(time.Minute)).PowerWatts == sa.PowerWatts && a.At(testTime.Add(2*time.Minute)).PowerWatts == sa.PowerWatts {
		t.Error("no noise at all")
	}
}

func TestAMachineIsReadAndChangedAtOnce(t *testing.T) {
	m := NewMachine(ProfileModern, "busy", 1)
	s, c := serveMachine(t, m, RedfishOptions{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			m.FailFan(i % 6)
			m.RepairFan(i % 6)
			m.SetRoom(24, float64(40+i%60))
		}
	}()
	for range 20 {
		c.get("/redfish/v1/Chassis/Tray_0/ThermalSubsystem")
	}
	<-done
	if s.Stats().ByPath["/redfish/v1/Chassis/Tray_0/ThermalSubsystem"] != 20 {
		t.Errorf("stats %v", slices.Sorted(maps.Keys(s.Stats().ByPath)))
	}
	if got := c.status(http.MethodGet, "/redfish/v1/Chassis/Nowhere", ""); got != 404 {
		t.Errorf("missing resource: %d", got)
	}
}

func TestServicesWithOneKindOfLogin(t *testing.T) {
	_, basic := serveMachine(t, testMachine(ProfileLegacy), RedfishOptions{BasicOnly: true})
	basic.get("/redfish/v1/Chassis")
	if got := basic.status(http.MethodPost, sessionsPath, `{"UserName":"monitor","Password":"`+DefaultPassword+`"}`); got != 404 {
		t.Errorf("log in without a session service: %d", got)
	}
	s, session := serveMachine(t, testMachine(ProfileLegacy), RedfishOptions{SessionOnly: true})
	if got := session.status(http.MethodGet, "/redfish/v1/Chassis", ""); got != 401 {
		t.Errorf("Basic where only sessions are: %d", got)
	}
	session.login()
	s.SetPassword("changed")
	session.get("/redfish/v1/Chassis") // the session stays
	if got := session.status(http.MethodPost, sessionsPath, `{"UserName":"monitor","Password":"`+DefaultPassword+`"}`); got != 401 {
		t.Errorf("the old password: %d", got)
	}
}

package redfish

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		json string
		v    float64
		ok   bool
	}{
		{"1", 1, true}, {"-4.25", -4.25, true}, {"1e3", 1000, true}, {`"42"`, 42, true}, {`" 42.5 "`, 42.5, true}, {`"55%"`, 55, true},
		{`"N/A"`, 0, false}, {`""`, 0, false}, {"null", 0, false}, {"true", 0, false}, {"{}", 0, false}, {"[1]", 0, false},
		{`"NaN"`, 0, false}, {`"Infinity"`, 0, false}, {"1.7e308", 0, false}, {"-1.79769313486232E+308", 0, false}, {`"1e999"`, 0, false}, {`"0x10"`, 0, false}, {`"1_000"`, 0, false},
	} {
		var d struct{ N number }
		if err := json.Unmarshal([]byte(`{"N":`+c.json+`}`), &d); err != nil || d.N.OK != c.ok || d.N.V != c.v {
			t.Errorf("%s: %+v, %v", c.json, d.N, err)
		}
	}
}

func TestOneOddValueCostsOneValue(t *testing.T) {
	var d thermalDoc
	err := decode([]byte(`{"Fans":{"Name":7,"Reading":"6100.5","Status":"OK","RelatedItem":"x"},
		"Temperatures":[1,"x",null,{"Name":{"a":1},"ReadingCelsius":20,"MemberId":3,"Status":{"State":5,"Health":"Critical"}}],"Redundancy":"none","Oem":[]}`), &d)
	if err != nil {
		t.Fatal(err)
	}
	if d.Fans == nil || len(*d.Fans) != 1 || (*d.Fans)[0].Name != "7" || (*d.Fans)[0].Reading.V != 6100.5 || (*d.Fans)[0].Status.Health != "OK" {
		t.Errorf("fans %+v", d.Fans)
	}
	last := (*d.Temperatures)[len(*d.Temperatures)-1]
	if last.ReadingCelsius.V != 20 || last.MemberID != "3" || last.Status.Health != "Critical" {
		t.Errorf("temperatures %+v", d.Temperatures)
	}
}

func TestRepair(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a raw carriage return in a string", "{\"S\":\"a\rb\"}", `{"S":"a b"}`},
		{"a bare nan", `{"R": nan, "X": -inf}`, `{"R": null, "X": null}`},
		{"NaN in words stays", `{"S":"nan inf", "R":NaN}`, `{"S":"nan inf", "R":null}`},
		{"a byte order mark", "\xef\xbb\xbf{\"a\":1}", `{"a":1}`},
		{"an escaped quote before it", "{\"S\":\"\\\"\r\"}", `{"S":"\" "}`},
		{"half of it", `{"a":`, ""},
	} {
		if got := string(repair([]byte(c.in))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		status   string
		rollup   bool
		state    health.State
		presence health.Presence
	}{
		{`{"State":"Enabled","Health":"OK"}`, false, health.OK, health.Present},
		{`{"State":"Enabled"}`, false, health.Unknown, health.Present},
		{`{"State":"Enabled","HealthRollup":"OK"}`, false, health.Unknown, health.Present},
		{`{"State":"Enabled","HealthRollup":"OK"}`, true, health.OK, health.Present},
		{`{"State":"Absent","Health":"OK"}`, false, health.Unknown, health.Absent},
		{`{"State":"Absent","Health":"Critical"}`, false, health.Critical, health.Absent},
		{`{"State":"UnavailableOffline","Health":"Critical"}`, false, health.Critical, health.Present},
		{`{"State":"Disabled","Health":"OK"}`, false, health.Unknown, health.Present},
		{`{"State":"StandbyOffline","Health":"OK"}`, false, health.Unknown, health.Present},
		{`{"State":"StandbySpare","Health":"OK"}`, false, health.OK, health.Present},
		{`{"State":"Degraded","Health":"OK"}`, false, health.Warning, health.Present},
		{`{"State":"Present","Health":"NORMAL"}`, false, health.OK, health.Present},
		{`{"State":"Enabled","Health":"Enabled"}`, false, health.OK, health.Present},
		{`{}`, false, health.Unknown, health.Present},
		{`"OK"`, false, health.OK, health.Present},
	} {
		var s status
		if err := json.Unmarshal([]byte(c.status), &s); err != nil {
			t.Fatal(err)
		}
		if st, p := stateOf(s, c.rollup); st != c.state || p != c.presence {
			t.Errorf("%s rollup %v: %v %v, want %v %v", c.status, c.rollup, st, p, c.state, c.presence)
		}
	}
}

func TestSmallWords(t *testing.T) {
	for in, want := range map[string]string{"Intake": "intake", "ColdPlate": "cold_plate", "CPU": "cpu", "SystemBoard": "system_board", "Room": "room", "": "", "Power Supply": "power_supply", "GPUSubsystem": "gpusubsystem"} {
		if got := snake(in); got != want {
			t.Errorf("snake(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"Fan 1": "Fan_1", "a/b": "a_b", " ": "_", "": "_", strings.Repeat("x", 300): strings.Repeat("x", 128)} {
		if got := idText(in); got != want {
			t.Errorf("idText(%q) = %q", in, got)
		}
	}
	if norm("CPU #1 Temperature") != norm("CPU1 Temp") {
		t.Error("two names of one sensor")
	}
	for in, want := range map[string]string{"sysfan1a": "1a", "fan10": "10", "fan": "", "psu2status": "2", "bay01": "1"} {
		if got := ordinal(in); got != want {
			t.Errorf("ordinal(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTextsHoldNoControlCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[2Jb": "a [2Jb", "a\u009b31mb": "a 31mb", "\u0085a\r\nb\t": "a b", "a\u2028b": "a b", "风扇 1": "风扇 1", "a\xffb": "a\uFFFDb",
		"a\u202egnp.exe": "a gnp.exe", "\u2066a\u2069": "a", "ابج 1": "ابج 1",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestQuickStatusIsWhatTheDecoderSays(t *testing.T) {
	slow := func(b string) status {
		var o struct{ State, Health, HealthRollup text }
		if err := json.Unmarshal([]byte(b), &o); err != nil {
			t.Fatal(err)
		}
		return status{State: string(o.State), Health: string(o.Health), Rollup: string(o.HealthRollup)}
	}
	for _, c := range []struct {
		body  string
		quick bool
	}{
		{`{"State":"Enabled","Health":"OK","HealthRollup":"OK"}`, true},
		{`{}`, true},
		{"{ \"Health\" : null ,\n\t\"State\":\" Absent \" }", true},
		{`{"@odata.type":"#Resource.Status","Health":"Critical"}`, true},
		{`{"health":"Critical"}`, false},
		{`{"State":"En\u0061bled"}`, false},
		{`{"State":1,"Health":true}`, false},
		{`{"Health":"OK","Oem":{"Health":"Critical"}}`, false},
	} {
		var q, whole status
		if got := q.quick([]byte(c.body)); got != c.quick {
			t.Errorf("%s: quick %v", c.body, got)
		}
		if err := json.Unmarshal([]byte(c.body), &whole); err != nil || whole.words() != slow(c.body).words() {
			t.Errorf("%s: %+v, the decoder says %+v (%v)", c.body, whole, slow(c.body), err)
		}
	}
}

func TestElementsAreWhatTheDecoderSays(t *testing.T) {
	for _, list := range []string{
		`[]`, ` [ ] `, `[1]`, "[ 1 ,\n\t2\r\n]", `[null, null]`, `[[],[1,[2,"],["]],{}]`, `[{"a":[1,2],"b":{"c":"},{"}},{"@odata.id":"/x\"],\\"}]`, `["a,b","\\","\"",""]`,
		`[{"a":1},null,"x",true,-1.5e3,[{}],{"b":[]}]`, `["风扇 1",{"ü":"ö,"}]`,
	} {
		var want []json.RawMessage
		if err := json.Unmarshal([]byte(list), &want); err != nil {
			t.Fatal(err)
		}
		var got []json.RawMessage
		for e := range elements([]byte(strings.TrimSpace(list))) {
			got = append(got, e)
		}
		if !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
	// A list of what decodes itself: null is none, what is odd is empty, and the list ends where it must.
	var links many[link]
	if err := json.Unmarshal([]byte(`[{"@odata.id":"/a"},null,"/b",7,{"href":"/c"}]`), &links); err != nil || !slices.Equal(links, many[link]{"/a", "/b", "", "/c"}) {
		t.Errorf("%q, %v", links, err)
	}
	if err := json.Unmarshal([]byte("["+strings.Repeat(`"/a",`, maxMany+5)+`"/a"]`), &links); err != nil || len(links) != maxMany {
		t.Errorf("%d, %v", len(links), err)
	}
}

package influx

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
)

var t0 = time.Date(2026, 11, 23, 7, 0, 0, 123456789, time.UTC) // 1795417200123456789

func target() health.Target {
	return health.Target{ID: "db-1", Site: "bontang", Rack: "A1", Labels: map[string]string{"owner": "diskominfo"}}
}

// visit is one of every kind of thing a visit can bring.
func visit() *health.Visit {
	return &health.Visit{
		Seq: 7, Target: "db-1", Driver: "redfish", Result: health.Late, Started: t0, Took: 410 * time.Millisecond,
		Due:  map[health.Tier]time.Time{health.TierReadings: t0.Add(-time.Second), health.TierEvents: t0.Add(-1500 * time.Millisecond)},
		Cost: health.Cost{Requests: 4, Connections: 1, Exchanges: 0, Bytes: 18211},
		Snapshot: &health.Snapshot{
			Components: []health.Component{
				{ID: "fan/1", Class: health.ClassFan, Presence: health.Present, State: health.OK},
				{ID: "psu/2", Class: health.ClassPSU, Presence: health.Absent, State: health.Unknown},
				{ID: "humidity/room", Class: health.ClassHumidity, State: health.Warning},
				{ID: "drive/0", Class: health.ClassDrive, Presence: health.Present, State: health.OK, StateNotRead: true},
			},
			Readings: []health.Reading{
				{Component: "humidity/room", Quantity: health.RelativeHumidity, Unit: health.Percent, Value: 81.5},
				{Component: "fan/1", Quantity: health.Speed, Unit: health.RPM, Value: 6120},
				{Component: "fan/1", Quantity: health.Duty, Unit: health.Percent, Value: 40},
				{Component: "humidity/room", Quantity: health.DewPoint, Unit: health.Celsius, Value: math.NaN()},
			},
			Gaps: []health.Gap{{Part: "x", Reason: health.ReasonTimeout}},
		},
		Unread: []health.ComponentRef{{ID: "temperature/Inlet", Class: health.ClassTemperature}},
		Events: []health.Event{
			{
				ID: "e1", Target: "db-1", Component: "psu/2", Class: health.ClassPSU, Kind: health.KindInputLost,
				Severity: health.SeverityCritical, Transition: health.Asserted, Message: `input "lost", all of it`, At: t0,
				Source: "sel", SourceTime: t0.Add(-time.Hour).Truncate(time.Second),
			},
			{
				ID: "e2", Target: "db-1", Component: "psu/2", Class: health.ClassPSU, Kind: health.KindInputLost,
				Severity: health.SeverityCritical, Transition: health.Asserted, Message: `input "lost", all of it`, At: t0.Add(1),
				Source: "poll",
			},
		},
	}
}

func TestEncode(t *testing.T) {
	want := []string{
		`hw_fan,component=fan/1,owner=diskominfo,rack=A1,site=bontang,target=db-1 duty_percent=40,present=1,speed_rpm=6120,state=0i 1795417200123456789`,
		`hw_psu,component=psu/2,owner=diskominfo,rack=A1,site=bontang,target=db-1 present=0,state=1i 1795417200123456789`,
		`hw_humidity,component=humidity/room,owner=diskominfo,rack=A1,site=bontang,target=db-1 relative_humidity_percent=81.5,state=2i 1795417200123456789`,
		`hw_temperature,component=temperature/Inlet,owner=diskominfo,rack=A1,site=bontang,target=db-1 state=1i 1795417200123456789`,
		`hw_event,class=psu,component=psu/2,kind=input_lost,severity=critical,target=db-1 event_id="e1",message="input \"lost\", all of it",source="sel",source_time="2026-11-23T06:00:00Z",state="asserted" 1795417200123456789`,
		`hw_event,class=psu,component=psu/2,kind=input_lost,severity=critical,target=db-1 event_id="e2",message="input \"lost\", all of it",source="poll",state="asserted" 1795417200123456790`,
		`hw_visit,result=late,target=db-1,tier=readings exchanges=0,gaps=1,late_seconds=1,requests=4,ticks=1,took_seconds=0.41 1795417200123456789`,
		`hw_visit,result=late,target=db-1,tier=events exchanges=0,gaps=1,late_seconds=1.5,requests=4,ticks=1,took_seconds=0.41 1795417200123456789`,
	}
	for range 20 { // maps are walked in another order each time
		if diff := cmp.Diff(want, Encode(visit(), target())); diff != "" {
			t.Fatalf("lines (-want +got):\n%s", diff)
		}
	}
}

func TestEncodeRules(t *testing.T) {
	lines := func(change func(*health.Visit, *health.Target)) []string {
		v, tg := visit(), target()
		change(v, &tg)
		return Encode(v, tg)
	}
	for _, c := range []struct {
		name   string
		change func(*health.Visit, *health.Target)
		want   []string // lines, or parts of lines, that must be there
		never  []string
	}{
		{
			"a failed visit tells of no component but the unread ones",
			func(v *health.Visit, _ *health.Target) {
				v.Result, v.Reason, v.Events = health.Failed, health.ReasonTimeout, nil
			},
			[]string{"hw_temperature,component=temperature/Inlet", "state=1i", "result=failed"},
			[]string{"hw_fan", "hw_psu", "hw_humidity"},
		},
		{
			"a missed visit is written at its first due time and has no lateness",
			func(v *health.Visit, _ *health.Target) {
				v.Result, v.Started, v.Took, v.Cost, v.Snapshot, v.Events = health.Missed, time.Time{}, 0, health.Cost{}, nil, nil
			},
			[]string{
				"hw_visit,result=missed,target=db-1,tier=readings exchanges=0,gaps=0,requests=0,ticks=1,took_seconds=0 1795417198623456789",
				"hw_temperature,component=temperature/Inlet,owner=diskominfo,rack=A1,site=bontang,target=db-1 state=1i 1795417198623456789",
			},
			[]string{"late_seconds", "hw_fan"},
		},
		{
			"skipped ticks are one point with their number, at the first of them",
			func(v *health.Visit, _ *health.Target) {
				v.Skipped = []health.TickRange{{Tier: health.TierHealth, First: time.Unix(1000, 0), Last: time.Unix(4600, 0), Count: 5, Reason: health.ReasonNotRunning}}
			},
			[]string{"hw_visit,result=missed,target=db-1,tier=health exchanges=0,gaps=0,requests=0,span_seconds=3600,ticks=5,took_seconds=0 1000000000000"},
			nil,
		},
		{
			"a component read ok and named as unread is unknown",
			func(v *health.Visit, _ *health.Target) {
				v.Unread = []health.ComponentRef{{ID: "fan/1", Class: health.ClassFan}}
			},
			[]string{"speed_rpm=6120,state=1i"}, []string{"state=0i"},
		},
		{
			"a component read as warning and named as unread stays warning",
			func(v *health.Visit, _ *health.Target) {
				v.Unread = []health.ComponentRef{{ID: "humidity/room", Class: health.ClassHumidity}}
			},
			[]string{"relative_humidity_percent=81.5,state=2i"}, nil,
		},
		{
			"a component that was only described has no state, but a reading of it is kept",
			func(v *health.Visit, _ *health.Target) {
				v.Snapshot.Readings = append(v.Snapshot.Readings, health.Reading{Component: "drive/0", Quantity: health.LifeLeft, Unit: health.Percent, Value: 97})
			},
			[]string{"hw_drive,component=drive/0,owner=diskominfo,rack=A1,site=bontang,target=db-1 life_left_percent=97 "}, nil,
		},
		{
			"a reading without its component goes where its ID says",
			func(v *health.Visit, _ *health.Target) {
				v.Snapshot.Readings = []health.Reading{{Component: "pump/A", Quantity: health.Flow, Unit: health.LitrePerMin, Value: 2}, {Component: "odd", Quantity: health.Value, Unit: health.Number, Value: 3}}
			},
			[]string{"hw_pump,component=pump/A", "flow_litres_per_minute=2 ", "hw_sensor,component=odd", "value=3 "}, nil,
		},
		{
			"values that are not finite are left out",
			func(v *health.Visit, _ *health.Target) {
				for i := range v.Snapshot.Readings {
					v.Snapshot.Readings[i].Value = math.Inf(1 - 2*(i%2))
				}
			},
			[]string{"present=1,state=0i"}, []string{"Inf", "NaN", "speed_rpm", "humidity_percent"},
		},
		{
			"labels whose names are taken get a prefix",
			func(_ *health.Visit, tg *health.Target) {
				tg.Labels = map[string]string{
					"target": "a", "label_target": "b", "state": "kaltim", "time": "now", "_field": "f", "site": "", "x y": "1,2=3",
				}
			},
			[]string{`hw_fan,component=fan/1,label__field=f,label_label_target=a,label_state=kaltim,label_target=b,label_time=now,rack=A1,site=bontang,target=db-1,x\ y=1\,2\=3 `},
			nil,
		},
		{
			"data that is not of a real machine says so on every point",
			func(v *health.Visit, _ *health.Target) { v.Origin = health.OriginDemo },
			[]string{"component=fan/1,origin=demo,", "severity=critical,target=db-1", "hw_visit,origin=demo"}, nil,
		},
		{
			"a target without site, rack or labels has its name alone",
			func(_ *health.Visit, tg *health.Target) { *tg = health.Target{} },
			[]string{"hw_fan,component=fan/1,target=db-1 "}, []string{"site", "rack"},
		},
		{
			"newlines and long text do not break a point",
			func(v *health.Visit, _ *health.Target) {
				v.Events[0].Message = "one\ntwo\r\n\x00" + strings.Repeat("é", 2000)
				v.Snapshot.Components[0].ID = "fan/back\\"
				v.Snapshot.Components[1].ID = "psu/line\nbreak"
			},
			[]string{`message="one two   é`, `component=fan/back_,`, `component=psu/line\ break,`}, []string{"\n", "\r", "\x00", "�"},
		},
		{
			"an event without a time stands at the visit's, in its turn",
			func(v *health.Visit, _ *health.Target) { v.Events[0].At, v.Events[1].At = time.Time{}, time.Time{} },
			[]string{`state="asserted" 1795417200123456789`, `state="asserted" 1795417200123456790`}, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := lines(c.change)
			all := strings.Join(got, "\x01")
			for _, w := range c.want {
				if !strings.Contains(all, w) {
					t.Errorf("missing: %s", w)
				}
			}
			for _, n := range c.never {
				if strings.Contains(all, n) {
					t.Errorf("must not be there: %q", n)
				}
			}
			for _, l := range got {
				if _, err := parseLine(l); err != nil {
					t.Errorf("%v: %s", err, l)
				}
			}
			if t.Failed() {
				t.Log(strings.Join(got, "\n"))
			}
		})
	}
	if got := Encode(&health.Visit{Target: "db-1", Result: health.Missed}, target()); got != nil {
		t.Errorf("a visit without any time: %q", got)
	}
}

func TestEncodeForThoseWhoReadItBack(t *testing.T) {
	v := visit()
	v.Snapshot.HostPower = health.HostOff
	v.Events[0].Rule, v.Events[0].FaultID, v.Events[0].AtStart = "sel:04.01.2", "f1", true
	v.Skipped = []health.TickRange{
		{Tier: health.TierReadings, First: t0.Add(-time.Hour), Last: t0.Add(-30 * time.Minute), Count: 7, Reason: health.ReasonNotRunning},
		{Tier: health.TierEvents, First: t0.Add(-time.Hour), Last: t0.Add(-time.Hour), Count: 1, Reason: health.ReasonNotRunning},
	}
	want := []string{
		`hw_event,class=psu,component=psu/2,kind=input_lost,severity=critical,target=db-1 at_start=1,event_id="e1",fault_id="f1",message="input \"lost\", all of it",rule="sel:04.01.2",source="sel",source_time="2026-11-23T06:00:00Z",state="asserted" 1795417200123456789`,
		`hw_visit,result=missed,target=db-1,tier=readings exchanges=0,gaps=0,requests=0,span_seconds=1800,ticks=7,took_seconds=0 1795413600123456789`,
		`hw_visit,result=missed,target=db-1,tier=events exchanges=0,gaps=0,requests=0,ticks=1,took_seconds=0 1795413600123456789`,
		`hw_visit,result=late,target=db-1,tier=readings exchanges=0,gaps=1,host_on=0,late_seconds=1,requests=4,ticks=1,took_seconds=0.41 1795417200123456789`,
		`hw_visit,result=late,target=db-1,tier=events exchanges=0,gaps=1,late_seconds=1.5,requests=4,ticks=1,took_seconds=0.41 1795417200123456789`,
	}
	got := slices.DeleteFunc(Encode(v, target()), func(l string) bool { return !strings.HasPrefix(l, "hw_visit") && !strings.Contains(l, "at_start") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	v.Result = health.Failed
	for _, l := range Encode(v, target()) {
		if strings.Contains(l, "host_on") {
			t.Errorf("a visit that read nothing tells of the host: %s", l)
		}
	}
}

func TestEveryUnitHasItsOwnField(t *testing.T) {
	seen := map[string]health.Quantity{}
	for _, q := range []health.Quantity{health.Speed, health.Temperature, health.Power, health.Energy, health.Count, health.Value, "state", "present"} {
		f := fieldName(q, health.Number)
		if f == fieldState || f == fieldPresent || seen[f] != "" {
			t.Errorf("%s: field %s is taken", q, f)
		}
		seen[f] = q
	}
}

func FuzzEncodedLinesParse(f *testing.F) {
	f.Add("fan/1", "A1", "owner", "diskominfo", "input lost", 1.5, int64(t0.UnixNano()))
	f.Add(`a\`, `\\`, `k=`, ` `, "x\ny\"\\", math.Inf(1), int64(0))
	f.Add("a, b=c", "\xff\xfe", "_x", "é\u2028", `\"`, math.Copysign(0, -1), int64(-1))
	f.Add("", "", "", "", "", math.MaxFloat64, int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, component, rack, label, value, message string, x float64, ns int64) {
		at := time.Unix(0, ns)
		v := &health.Visit{
			Target: health.TargetID("t" + rack), Started: at, Result: health.Done, Due: map[health.Tier]time.Time{health.TierReadings: at},
			Snapshot: &health.Snapshot{
				Components: []health.Component{{ID: health.ComponentID(component), Class: health.ClassFan, State: health.OK}},
				Readings:   []health.Reading{{Component: health.ComponentID(component), Quantity: health.Speed, Unit: health.RPM, Value: x}},
			},
			Events: []health.Event{{ID: value, Component: health.ComponentID(component), Message: message, At: at, Kind: health.KindInfo}},
		}
		lines := Encode(v, health.Target{Rack: rack, Labels: map[string]string{label: value, value: rack}})
		if len(lines) != 3 {
			t.Fatalf("%d lines: %q", len(lines), lines)
		}
		for i, l := range lines {
			p, err := parseLine(l)
			if err != nil {
				t.Fatalf("%v: %q", err, l)
			}
			if want := []string{"hw_fan", "hw_event", "hw_visit"}[i]; p.measurement != want || p.time != ns {
				t.Errorf("measurement %q, time %d: %q", p.measurement, p.time, l)
			}
			if i == 0 {
				got, is := p.fields["speed_rpm"].(float64)
				if finite := !math.IsNaN(x) && !math.IsInf(x, 0); is != finite || is && got != x || p.fields["state"] != int64(0) {
					t.Errorf("value %v became %v: %q", x, p.fields, l)
				}
				if p.tags["component"] != tagText(component) {
					t.Errorf("component %q became %q", component, p.tags["component"])
				}
			}
			if i == 1 && p.fields["message"] != fieldText(message) {
				t.Errorf("message %q became %q", message, p.fields["message"])
			}
		}
		if !slices.Equal(lines, Encode(v, health.Target{Rack: rack, Labels: map[string]string{label: value, value: rack}})) {
			t.Error("encoded twice, the lines differ")
		}
	})
}

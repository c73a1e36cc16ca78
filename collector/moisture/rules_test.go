package moisture_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dewline/collector/moisture"
	"dewline/health"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// machine derives visit after visit, as the engine does.
type machine struct {
	rules  moisture.Rules
	air    []moisture.Air
	mapped bool
	memory health.AirMemory
	now    time.Time
}

func (m *machine) visit(sensors ...sensor) *health.Snapshot {
	s := snapshot(sensors...)
	s.At = m.now
	if next := moisture.Derive(s, moisture.Input{Rules: m.rules, Mapped: m.mapped, Air: m.air, Memory: m.memory}); next != nil {
		m.memory = *next
	}
	m.now = m.now.Add(time.Minute)
	return s
}

func judged(s *health.Snapshot) string {
	var out []string
	for _, j := range s.Judged {
		if j.Severity > health.SeverityOK {
			out = append(out, fmt.Sprintf("%s %s %s", j.Component, j.Kind, j.Severity))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestAirOutsideItsClassIsSaidSo(t *testing.T) {
	room := func(temperature, humidity float64) []sensor {
		return []sensor{{"Room Humidity", "", "a", true, humidity}, {"Room Temp", "", "a", false, temperature}}
	}
	inlet := func(temperature float64) []sensor { return []sensor{{"Inlet Temp", "", "a", false, temperature}} }
	for name, c := range map[string]struct {
		class   string
		clean   bool
		sensors []sensor
		want    string
	}{
		"a good room":              {"A2", false, room(22, 45), ""},
		"a dew point above 21 °C":  {"A2", false, room(30, 65), "Room Humidity humidity_high warning"},
		"more than 80 %":           {"A2", false, room(15, 82), "Room Humidity humidity_high warning"},
		"class A4 takes 85 %":      {"A4", false, room(15, 85), ""},
		"less than 8 %":            {"A1", false, room(25, 7), "Room Humidity humidity_low warning"},
		"a dew point below -12 °C": {"A2", false, room(15, 10), "Room Humidity humidity_low warning"},
		"55 % are too much where corrosion is not known":   {"recommended", false, room(20, 55), "Room Humidity humidity_high warning"},
		"55 % are well where copper and silver stay clean": {"recommended", true, room(20, 55), ""},
		"an inlet of 36 °C":                                {"A2", false, inlet(36), "Inlet Temp over_threshold warning"},
		"an inlet of 9 °C":                                 {"A2", false, inlet(9), "Inlet Temp under_threshold warning"},
		"an inlet of 28 °C is allowed, not recommended":    {"recommended", false, inlet(28), "Inlet Temp over_threshold warning"},
		"the same under A1":                                {"A1", false, inlet(28), ""},
		"no class, no limit":                               {"none", false, append(inlet(60), room(30, 95)...), ""},
		"exhaust air is hot, and that is well":             {"A2", false, []sensor{{"Exhaust Temp", "Exhaust", "a", false, 50}, {"RH", "Exhaust", "a", true, 5}}, ""},
		"a coolant is no air":                              {"A2", false, []sensor{{"Supply", "LiquidInlet", "a", false, 45}}, ""},
		"a humidity alone can be too high":                 {"A2", false, []sensor{{"RH", "Room", "a", true, 90}}, "RH humidity_high warning"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine{rules: moisture.DefaultRules(), now: noon}
			m.rules.Envelope, m.rules.Clean, m.rules.MarginWarning, m.rules.MarginCritical = c.class, c.clean, -99, -99
			m.rules.TemperatureError, m.rules.HumidityError = 0, 0
			if got := judged(m.visit(c.sensors...)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A humidity without its dew point may say that air is too wet; that it is not, it cannot say.
func TestWithoutADewPointNothingIsCalledWell(t *testing.T) {
	m := machine{rules: moisture.DefaultRules(), now: noon}
	if s := m.visit(sensor{"RH", "Room", "a", true, 50}); len(s.Judged) != 0 {
		t.Errorf("%+v", s.Judged)
	}
}

func TestAlarmsAreDelayedBothWaysAndHaveHysteresis(t *testing.T) {
	m := machine{rules: moisture.DefaultRules(), now: noon}
	m.rules.Delay = 2 * time.Minute
	var got []string
	for _, celsius := range []float64{34, 36, 34, 36, 36, 36, 34.8, 34.8, 34.8, 34, 36, 34, 34, 34} {
		got = append(got, judged(m.visit(sensor{"Inlet Temp", "", "a", false, celsius})))
	}
	const hot = "Inlet Temp over_threshold warning"
	want := []string{"", "", "", "", "", hot, hot, hot, hot, hot, hot, hot, hot, ""}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestMarginsAreJudgedWithTheirError(t *testing.T) {
	for name, c := range map[string]struct {
		humidityError, temperatureError, inlet float64
		want                                   string
	}{
		"far above": {3, 1, 22, ""},
		"4 K above": {3, 1, 20.7, "Inlet Temp condensation_risk warning"},
		"1 K above": {3, 1, 17.7, "Inlet Temp condensation_risk critical"},
		"6 K above, with sensors of ±10 % and ±3 K":   {10, 3, 22.7, "Inlet Temp condensation_risk warning"},
		"4 K above, with sensors of ±10 % and ±3 K":   {10, 3, 20.7, "Inlet Temp condensation_risk critical"},
		"6 K above, with sensors of the usual errors": {3, 1, 22.7, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine{rules: moisture.DefaultRules(), now: noon}
			m.rules.HumidityError, m.rules.TemperatureError, m.rules.Envelope = c.humidityError, c.temperatureError, "none"
			s := m.visit(sensor{"Room Humidity", "", "a", true, 60}, sensor{"Room Temp", "", "a", false, 25}, sensor{"Inlet Temp", "", "a", false, c.inlet})
			if got := judged(s); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			e, ok := value(s, "Inlet Temp", health.MarginError)
			if want := math.Hypot(m.rules.DewPointError(25, 60), c.temperatureError); !ok || math.Abs(e-want) > 1e-9 {
				t.Errorf("error %g (%v), want %g", e, ok, want)
			}
		})
	}
}

func TestARoomThatChangesTooFast(t *testing.T) {
	for name, c := range map[string]struct {
		tape  bool
		every time.Duration
		step  float64
		want  bool
	}{
		"6 K within an hour with tapes":      {true, 10 * time.Minute, 1.2, true},
		"6 K within an hour without":         {false, 10 * time.Minute, 1.2, false},
		"21 K within an hour":                {false, 10 * time.Minute, 4.2, true},
		"6 K within three hours, with tapes": {true, 30 * time.Minute, 1.2, false},
		"falling counts as rising":           {true, 10 * time.Minute, -1.2, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine{rules: moisture.DefaultRules(), now: noon}
			m.rules.Tape = c.tape
			celsius, got := 22.0, ""
			if c.step > 1.2 {
				celsius = 11
			}
			for range 6 {
				s := m.visit(sensor{"Inlet Temp", "", "a", false, celsius})
				for _, j := range s.Judged {
					if j.Severity > health.SeverityOK {
						got = j.Evidence
					}
				}
				celsius += c.step
				m.now = m.now.Add(c.every - time.Minute)
			}
			if strings.Contains(got, "within an hour") != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestAirIsCarriedAcross(t *testing.T) {
	fresh := moisture.Air{Source: "pdu-1", DewPoint: 16, Error: 1, At: noon}
	inlet := []sensor{{"Inlet Temp", "", "a", false, 20}}
	for name, c := range map[string]struct {
		air     []moisture.Air
		sensors []sensor
		margin  float64 // -1: none
		gap     string  // contained in one; "": none
	}{
		"the room's dew point":                 {[]moisture.Air{fresh}, inlet, 4, ""},
		"of two the wetter":                    {[]moisture.Air{fresh, {Source: "pdu-2", DewPoint: 18, At: noon}}, inlet, 2, ""},
		"of two the one that is not too old":   {[]moisture.Air{fresh, {Source: "pdu-2", DewPoint: 18, At: noon.Add(-time.Hour)}}, inlet, 4, ""},
		"too old: a gap, never the last value": {[]moisture.Air{{Source: "pdu-1", DewPoint: 16, At: noon.Add(-6 * time.Minute)}}, inlet, -1, "pdu-1: last read 6m0s ago"},
		"never read: a gap":                    {[]moisture.Air{{Source: "pdu-1"}}, inlet, -1, "nothing was read yet"},
		"read without a dew point: a gap":      {[]moisture.Air{{Source: "pdu-1", At: noon, Why: "its humidity and temperature were taken 9m0s apart"}}, inlet, -1, "9m0s apart"},
		"its own air counts before the room's": {[]moisture.Air{fresh}, []sensor{{"RH", "Intake", "a", true, 60}, {"T", "Intake", "a", false, 25}}, 25 - 16.693, ""},
		"too old, but the machine has a room sensor": {[]moisture.Air{{Source: "pdu-1", At: noon.Add(-time.Hour)}},
			[]sensor{{"Inlet Temp", "", "a", false, 20}, {"Room Humidity", "", "a", true, 60}, {"Room Temp", "", "a", false, 25}}, 20 - 16.693, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine{rules: moisture.DefaultRules(), now: noon, mapped: true, air: c.air}
			s := m.visit(c.sensors...)
			of := health.ComponentID(c.sensors[0].name)
			if c.sensors[0].humidity {
				of = health.ComponentID(c.sensors[1].name)
			}
			got, ok := value(s, of, health.CondensationMargin)
			if ok != (c.margin != -1) || ok && math.Abs(got-c.margin) > 0.001 {
				t.Errorf("margin %g (%v), want %g", got, ok, c.margin)
			}
			if c.gap == "" != (len(s.Gaps) == 0) || c.gap != "" && (!strings.Contains(s.Gaps[0].Error, c.gap) || s.Gaps[0].Reason != health.ReasonStale) {
				t.Errorf("gaps %+v", s.Gaps)
			}
			if !ok && judged(s) != "" {
				t.Errorf("judged without a margin: %s", judged(s))
			}
		})
	}
}

func TestHumidityBeyondItsScaleIsSaidSo(t *testing.T) {
	for humidity, want := range map[float64]string{103: "taken as 100 %", 0: "no dew point"} {
		m := machine{rules: moisture.DefaultRules(), now: noon}
		s := m.visit(sensor{"Room Humidity", "", "a", true, humidity}, sensor{"Room Temp", "", "a", false, 25})
		if len(s.Gaps) != 1 || !strings.Contains(s.Gaps[0].Error, want) {
			t.Errorf("%g %%: gaps %+v", humidity, s.Gaps)
		}
	}
}

func push(target string, at time.Time, readings ...health.Reading) *health.Visit {
	return &health.Visit{Target: health.TargetID(target), Started: at, Result: health.Done, Snapshot: &health.Snapshot{Readings: readings}}
}

func TestRoomsKeepWhatWasReadLast(t *testing.T) {
	humidity := health.Reading{Component: "humidity/rh", Quantity: health.RelativeHumidity, Unit: health.Percent, Value: 60}
	celsius := health.Reading{Component: "temperature/t", Quantity: health.Temperature, Unit: health.Celsius, Value: 25}
	dew := health.Reading{Component: "humidity/rh", Quantity: health.DewPoint, Unit: health.Celsius, Value: 16}
	other := health.Reading{Component: "humidity/other", Quantity: health.RelativeHumidity, Unit: health.Percent, Value: 30}
	named := moisture.Mapping{Target: "pdu-1", Humidity: "humidity/rh", Temperature: "temperature/t", Racks: []string{"A1"}}
	unnamed := moisture.Mapping{Target: "pdu-1", Racks: []string{"A1"}}
	for name, c := range map[string]struct {
		mapping moisture.Mapping
		visits  []*health.Visit
		dew     float64
		why     string
	}{
		"humidity and temperature of one visit": {named, []*health.Visit{push("pdu-1", noon, humidity, celsius)}, 16.693, ""},
		"of two visits":                         {named, []*health.Visit{push("pdu-1", noon, celsius), push("pdu-1", noon.Add(4*time.Minute), humidity)}, 16.693, ""},
		"of two visits too far apart":           {named, []*health.Visit{push("pdu-1", noon, celsius), push("pdu-1", noon.Add(6*time.Minute), humidity)}, 0, "6m0s apart"},
		"the dew point that the target derived": {unnamed, []*health.Visit{push("pdu-1", noon, humidity, dew)}, 16, ""},
		"two sensors and no name":               {unnamed, []*health.Visit{push("pdu-1", noon, humidity, other, dew)}, 0, "names none"},
		"a humidity without a temperature":      {unnamed, []*health.Visit{push("pdu-1", noon, humidity)}, 0, "no temperature"},
		"an older visit that comes later":       {named, []*health.Visit{push("pdu-1", noon, humidity, celsius), push("pdu-1", noon.Add(-time.Minute), health.Reading{Component: "humidity/rh", Quantity: health.RelativeHumidity, Value: 99})}, 16.693, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rooms, rules := &moisture.Rooms{}, moisture.DefaultRules()
			rooms.Set([]moisture.Mapping{c.mapping})
			for _, v := range c.visits {
				rooms.Take(v)
			}
			rooms.Set([]moisture.Mapping{c.mapping}) // a reload forgets nothing
			air, mapped := rooms.Of(&health.Target{ID: "db-1", Rack: "A1"}, &rules)
			if !mapped || len(air) != 1 {
				t.Fatalf("%v %v", air, mapped)
			}
			a := air[0]
			if (a.Why == "") != (c.why == "") || !strings.Contains(a.Why, c.why) || c.why == "" && (math.Abs(a.DewPoint-c.dew) > 0.001 || a.Error <= 0) || a.At.IsZero() {
				t.Errorf("%+v", a)
			}
			for _, other := range []health.Target{{ID: "db-2", Rack: "A2"}, {ID: "pdu-1", Rack: "A1"}} {
				if _, mapped := rooms.Of(&other, &rules); mapped {
					t.Errorf("%s stands in that air", other.ID)
				}
			}
		})
	}
}

// What a restart finds in the store is what the memory was: the rest of the visits then judge alike.
func TestMemoryIsAllThatMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := machine{rules: moisture.DefaultRules(), now: noon}
		a.rules.Delay = 90 * time.Second
		for range rapid.IntRange(1, 40).Draw(t, "visits") {
			s := []sensor{{"Inlet Temp", "", "a", false, rapid.Float64Range(5, 40).Draw(t, "inlet")}}
			if rapid.Bool().Draw(t, "humid") {
				s = append(s, sensor{"Room Humidity", "", "a", true, rapid.Float64Range(1, 104).Draw(t, "humidity")}, sensor{"Room Temp", "", "a", false, 25})
			}
			x := a.visit(s...)
			for _, j := range x.Judged {
				if j.Evidence == "" || j.Rule == "" {
					t.Fatalf("unexplained: %+v", j)
				}
			}
			if len(a.memory.Spans) > 1 || len(a.memory.Alarms) > 8 {
				t.Fatalf("memory grows: %+v", a.memory)
			}
			for _, c := range a.memory.Spans {
				if len(c.Cells) > 14 {
					t.Fatalf("%d cells", len(c.Cells))
				}
			}
		}
	})
}

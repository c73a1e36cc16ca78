package moisture_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"dewline/collector/moisture"
	"dewline/health"
)

func TestDewPointOfKnownAir(t *testing.T) {
	// Sonntag's constants, and Buck's formula as an independent witness.
	for _, c := range []struct{ temperature, humidity, want, buck float64 }{
		{20, 50, 9.255, 9.271}, {22, 45, 9.515, 9.532}, {25, 60, 16.693, 16.700}, {27, 60, 18.571, 18.575}, {18, 80, 14.496, 14.501},
		{24, 90, 22.257, 22.258}, {30, 30, 10.529, 10.546}, {35, 20, 8.688, 8.705}, {15, 8, -19.094, -19.036}, {5, 80, 1.834, 1.841},
		{45, 90, 42.973, 42.967},
	} {
		got, clamped, ok := moisture.DewPoint(c.temperature, c.humidity)
		if !ok || clamped || math.Abs(got-c.want) > 0.0006 {
			t.Errorf("%g °C, %g %%: %.4f (%v), want %.3f", c.temperature, c.humidity, got, ok, c.want)
		}
		if math.Abs(got-c.buck) > 0.06 {
			t.Errorf("%g °C, %g %%: %.4f, Buck says %.3f", c.temperature, c.humidity, got, c.buck)
		}
	}
}

func TestDewPointAtTheEdges(t *testing.T) {
	for name, c := range map[string]struct {
		temperature, humidity float64
		ok, clamped           bool
	}{
		"no humidity at all is a broken sensor":    {20, 0, false, false},
		"negative humidity":                        {20, -3, false, false},
		"saturated air":                            {20, 100, true, false},
		"a little over saturation counts as 100":   {20, 103, true, true},
		"far over saturation is a broken sensor":   {20, 150, false, false},
		"no number for a temperature":              {math.NaN(), 50, false, false},
		"no number for a humidity":                 {20, math.NaN(), false, false},
		"infinite humidity":                        {20, math.Inf(1), false, false},
		"a temperature in no room":                 {120, 50, false, false},
		"the pole of the formula":                  {-243.12, 50, false, false},
		"next to no humidity":                      {20, 1e-300, false, false},
		"the largest number that a BMC can send":   {math.MaxFloat64, 50, false, false},
		"a cold room":                              {-20, 60, true, false},
		"a temperature a hair above the boundary":  {100.001, 50, false, false},
		"a humidity a hair above what is believed": {20, 105.001, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, clamped, ok := moisture.DewPoint(c.temperature, c.humidity)
			if ok != c.ok || clamped != c.clamped {
				t.Errorf("%g, clamped %v, ok %v", got, clamped, ok)
			}
			if ok && c.clamped && math.Abs(got-c.temperature) > 1e-9 {
				t.Errorf("the dew point of saturated air is %g, its temperature %g", got, c.temperature)
			}
		})
	}
}

func TestDewPointProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		temperature := rapid.Float64Range(-40, 100).Draw(t, "temperature")
		humidity := rapid.Float64Range(0.1, 100).Draw(t, "humidity")
		dew, _, ok := moisture.DewPoint(temperature, humidity)
		if !ok {
			return
		}
		if math.IsNaN(dew) || dew > temperature+1e-9 {
			t.Fatalf("dew point %g of air of %g", dew, temperature)
		}
		if wetter, _, ok := moisture.DewPoint(temperature, math.Min(100, humidity+1)); !ok || wetter < dew {
			t.Fatalf("wetter air has dew point %g, drier %g", wetter, dew)
		}
	})
}

// The error follows from the sensors' by the slope of the formula: held against the formula itself.
func TestDewPointErrorIsTheFormulasOwnSlope(t *testing.T) {
	for _, c := range []struct{ temperature, humidity float64 }{{22, 50}, {27, 60}, {35, 20}, {15, 8}, {24, 99}} {
		slope := func(dT, dH float64) float64 {
			low, _, _ := moisture.DewPoint(c.temperature-dT, c.humidity-dH)
			high, _, _ := moisture.DewPoint(c.temperature+dT, c.humidity+dH)
			return (high - low) / 2
		}
		for _, e := range []struct{ humidity, temperature float64 }{{0.1, 0}, {0, 0.1}, {0.1, 0.1}} {
			r := moisture.Rules{HumidityError: e.humidity, TemperatureError: e.temperature}
			want := math.Hypot(slope(0, e.humidity), slope(e.temperature, 0))
			if got := r.DewPointError(c.temperature, c.humidity); math.Abs(got-want) > 0.001 {
				t.Errorf("%+v with %+v: %g, the formula gives %g", c, e, got, want)
			}
		}
	}
	r := moisture.DefaultRules()
	if e := r.DewPointError(22, 50); math.Abs(e-1.3) > 0.05 {
		t.Errorf("documented as 1.3 K at 22 °C and 50 %%: %g", e)
	}
}

var plain = moisture.Input{Rules: moisture.DefaultRules()}

type sensor struct {
	name, context, place string
	humidity             bool
	value                float64
}

func snapshot(sensors ...sensor) *health.Snapshot {
	s := &health.Snapshot{}
	for _, x := range sensors {
		c := health.Component{
			ID: health.ComponentID(x.name), Class: health.ClassTemperature, Name: x.name, Context: x.context, Place: x.place, Presence: health.Present,
		}
		r := health.Reading{Component: c.ID, Quantity: health.Temperature, Unit: health.Celsius, Value: x.value}
		if x.humidity {
			c.Class = health.ClassHumidity
			r.Quantity, r.Unit = health.RelativeHumidity, health.Percent
		}
		s.Components = append(s.Components, c)
		s.Readings = append(s.Readings, r)
	}
	return s
}

func value(s *health.Snapshot, c health.ComponentID, q health.Quantity) (float64, bool) {
	for _, r := range s.Readings {
		if r.Component == c && r.Quantity == q {
			return r.Value, true
		}
	}
	return 0, false
}

func TestDerivePairsSensorsOfTheSameAir(t *testing.T) {
	const none = -1000
	for name, c := range map[string]struct {
		sensors []sensor
		dew     float64            // of the first sensor
		margins map[string]float64 // of others; none listed means there must be none
	}{
		"by name: room humidity and room temperature": {
			[]sensor{{"Room Humidity", "", "sdr", true, 60}, {"Room Temperature", "", "sdr", false, 25}, {"Inlet Temp", "", "sdr", false, 20}},
			16.693, map[string]float64{"Inlet Temp": 20 - 16.693}},
		"by context": {
			[]sensor{{"RH", "Intake", "a", true, 60}, {"T1", "Intake", "a", false, 25}, {"T2", "CPU", "a", false, 60}},
			16.693, map[string]float64{"T1": 25 - 16.693}},
		"never a room's humidity with a server's inlet": {
			[]sensor{{"Room Humidity", "Room", "a", true, 60}, {"Inlet Temp", "Intake", "a", false, 20}}, none, nil},
		"never by name when the contexts differ": {
			[]sensor{{"Front Humidity", "Room", "a", true, 60}, {"Front Temp", "Exhaust", "a", false, 20}}, none, nil},
		"never by a number alone": {
			[]sensor{{"Humidity 1", "", "sdr", true, 60}, {"Temp 1", "", "sdr", false, 20}}, none, nil},
		"not with two candidates": {
			[]sensor{{"RH", "Intake", "a", true, 60}, {"T1", "Intake", "a", false, 25}, {"T2", "Intake", "a", false, 35}}, none, nil},
		"of two candidates the one in the same chassis": {
			[]sensor{{"RH", "Intake", "/redfish/v1/Chassis/1/Sensors", true, 60}, {"T1", "Intake", "/redfish/v1/Chassis/2/Thermal#Temperatures", false, 35},
				{"T2", "Intake", "/redfish/v1/Chassis/1/Thermal#Temperatures", false, 25}},
			16.693, map[string]float64{"T1": 35 - 16.693, "T2": 25 - 16.693}},
		"never with the coolant": {
			[]sensor{{"Rack Humidity", "", "a", true, 60}, {"Rack Temp", "LiquidInlet", "a", false, 25}}, none, nil},
		"a cold plate is held against the room's dew point": {
			[]sensor{{"Room Humidity", "Room", "a", true, 60}, {"Room Temp", "Room", "a", false, 25}, {"CP0", "ColdPlate", "a", false, 17}},
			16.693, map[string]float64{"CP0": 17 - 16.693}},
		"a broken humidity sensor gives nothing": {
			[]sensor{{"Room Humidity", "", "a", true, 0}, {"Room Temp", "", "a", false, 25}, {"Inlet Temp", "", "a", false, 20}}, none, nil},
		"a humidity without any temperature": {[]sensor{{"Room Humidity", "Room", "a", true, 60}}, none, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(c.sensors...)
			moisture.Derive(s, plain)
			dew, ok := value(s, health.ComponentID(c.sensors[0].name), health.DewPoint)
			if c.dew == none && ok || c.dew != none && (!ok || math.Abs(dew-c.dew) > 0.001) {
				t.Errorf("dew point %g (%v), want %g", dew, ok, c.dew)
			}
			for _, x := range c.sensors {
				m, ok := value(s, health.ComponentID(x.name), health.CondensationMargin)
				want, wanted := c.margins[x.name]
				if ok != wanted || math.Abs(m-want) > 0.001 {
					t.Errorf("%s: margin %g (%v), want %g (%v)", x.name, m, ok, want, wanted)
				}
			}
			for _, r := range s.Readings[len(c.sensors):] {
				if !r.Derived {
					t.Errorf("%s %s is not marked as derived", r.Component, r.Quantity)
				}
			}
			n := len(s.Readings)
			if moisture.Derive(s, plain); len(s.Readings) != n {
				t.Error("deriving twice gives more")
			}
		})
	}
}

func TestDeriveTakesTheServicesOwnDewPoint(t *testing.T) {
	s := snapshot(sensor{"Room Humidity", "Room", "a", true, 60}, sensor{"Room Temp", "Room", "a", false, 25}, sensor{"Inlet", "Intake", "a", false, 20})
	s.Readings = append(s.Readings, health.Reading{Component: "Room Humidity", Quantity: health.DewPoint, Unit: health.Celsius, Value: 12})
	moisture.Derive(s, plain)
	if m, ok := value(s, "Inlet", health.CondensationMargin); !ok || m != 8 {
		t.Errorf("margin %g (%v), want 8", m, ok)
	}
}

func TestDeriveHoldsAgainstTheWettestAir(t *testing.T) {
	s := snapshot(sensor{"Left Humidity", "", "a", true, 60}, sensor{"Left Temp", "", "a", false, 25},
		sensor{"Right Humidity", "", "a", true, 90}, sensor{"Right Temp", "", "a", false, 24}, sensor{"Inlet Temp", "", "a", false, 25})
	moisture.Derive(s, plain)
	if m, ok := value(s, "Inlet Temp", health.CondensationMargin); !ok || math.Abs(m-(25-22.257)) > 0.001 {
		t.Errorf("margin %g (%v)", m, ok)
	}
}

func TestDeriveTakesAReadingThatCameTwiceOnce(t *testing.T) {
	s := snapshot(sensor{"Room Humidity", "", "a", true, 60}, sensor{"Room Temp", "", "a", false, 25}, sensor{"Inlet Temp", "", "a", false, 25})
	n := len(s.Readings)
	s.Readings = append(s.Readings, s.Readings...)
	moisture.Derive(s, plain)
	got := map[health.Quantity]int{}
	for _, r := range s.Readings[2*n:] {
		got[r.Quantity]++
	}
	for _, q := range []health.Quantity{health.DewPoint, health.DewPointError, health.CondensationMargin, health.MarginError} {
		if got[q] != 1 {
			t.Errorf("%s derived %d times", q, got[q])
		}
	}
}

func TestDeriveSurvivesAnySnapshot(t *testing.T) {
	moisture.Derive(nil, moisture.Input{})
	rapid.Check(t, func(t *rapid.T) {
		s := &health.Snapshot{}
		for range rapid.IntRange(0, 12).Draw(t, "components") {
			s.Components = append(s.Components, health.Component{
				ID:      health.ComponentID(rapid.SampledFrom([]string{"a", "b", "c", "d", ""}).Draw(t, "id")),
				Class:   rapid.SampledFrom([]health.Class{health.ClassTemperature, health.ClassHumidity, health.ClassFan}).Draw(t, "class"),
				Name:    rapid.String().Draw(t, "name"),
				Context: rapid.SampledFrom([]string{"", "Room", "Intake", "ColdPlate", "\xff"}).Draw(t, "context"),
				Place:   rapid.SampledFrom([]string{"", "/Chassis", "/redfish/v1/Chassis/1/Sensors", "sdr"}).Draw(t, "place"),
			})
		}
		for range rapid.IntRange(0, 12).Draw(t, "readings") {
			s.Readings = append(s.Readings, health.Reading{
				Component: health.ComponentID(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "of")),
				Quantity:  rapid.SampledFrom([]health.Quantity{health.Temperature, health.RelativeHumidity, health.DewPoint, health.Speed}).Draw(t, "quantity"),
				Unit:      rapid.SampledFrom([]health.Unit{health.Celsius, health.Percent}).Draw(t, "unit"),
				Value:     rapid.OneOf(rapid.Float64(), rapid.Float64Range(-50, 120), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), 0})).Draw(t, "value"),
			})
		}
		n := len(s.Readings)
		moisture.Derive(s, plain)
		seen := map[health.Reading]bool{}
		for _, r := range s.Readings[n:] {
			if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
				t.Fatalf("derived %+v", r)
			}
			if r.Thresholds = nil; seen[r] {
				t.Fatalf("derived twice: %+v", r)
			}
			seen[r] = true
		}
	})
}

func BenchmarkDerive(b *testing.B) {
	s := snapshot(sensor{"Room Humidity", "Room", "a", true, 60}, sensor{"Room Temp", "Room", "a", false, 25}, sensor{"Inlet", "Intake", "a", false, 20})
	for range 60 {
		s.Components = append(s.Components, health.Component{ID: health.ComponentID(string(rune('A' + len(s.Components)))), Class: health.ClassFan})
	}
	for b.Loop() {
		s.Readings = s.Readings[:3]
		moisture.Derive(s, plain)
	}
}

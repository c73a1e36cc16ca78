package health

import "strings"

// Quantity is what a reading measures. The list is closed and documented in docs/SCHEMA.md.
type Quantity string

const (
	Speed              Quantity = "speed" // rpm
	Duty               Quantity = "duty"  // %
	Temperature        Quantity = "temperature"
	TemperatureMargin  Quantity = "temperature_margin" // a Delta or Headroom sensor: no absolute temperature
	Power              Quantity = "power"
	InputPower         Quantity = "input_power"
	OutputPower        Quantity = "output_power"
	Voltage            Quantity = "voltage"
	InputVoltage       Quantity = "input_voltage"
	OutputVoltage      Quantity = "output_voltage"
	Current            Quantity = "current"
	InputCurrent       Quantity = "input_current"
	OutputCurrent      Quantity = "output_current"
	Energy             Quantity = "energy"
	PowerCapacity      Quantity = "power_capacity"
	PowerLimit         Quantity = "power_limit" // a cap that is in force: what is drawn then is not what is wanted
	Efficiency         Quantity = "efficiency"
	Frequency          Quantity = "frequency"
	RelativeHumidity   Quantity = "relative_humidity"
	AbsoluteHumidity   Quantity = "absolute_humidity"
	DewPoint           Quantity = "dew_point"
	CondensationMargin Quantity = "condensation_margin"
	DewPointError      Quantity = "dew_point_error"           // ±, of a dew point that dewline computed
	MarginError        Quantity = "condensation_margin_error" // ±, of a margin that dewline computed
	LifeLeft           Quantity = "life_left"
	SpareLeft          Quantity = "spare_left"
	MediaErrors        Quantity = "media_errors"
	PowerOnHours       Quantity = "power_on_hours"
	CorrectableErrors  Quantity = "correctable_errors"
	UncorrectableErr   Quantity = "uncorrectable_errors"
	Flow               Quantity = "flow"
	AirFlow            Quantity = "air_flow"
	Pressure           Quantity = "pressure"
	Volume             Quantity = "volume"
	Utilisation        Quantity = "utilisation"
	Count              Quantity = "count"
	LinkSpeed          Quantity = "link_speed" // of a network port; 0 of one whose link is down
	ClockSkew          Quantity = "clock_skew" // how far a BMC's clock is ahead of ours
	Value              Quantity = "value"      // a sensor whose unit the field has no word for
)

// Quantities lists every quantity.
var Quantities = []Quantity{
	Speed, Duty, Temperature, TemperatureMargin, Power, InputPower, OutputPower, Voltage, InputVoltage, OutputVoltage,
	Current, InputCurrent, OutputCurrent, Energy, PowerCapacity, PowerLimit, Efficiency, Frequency, RelativeHumidity, AbsoluteHumidity,
	DewPoint, CondensationMargin, DewPointError, MarginError, LifeLeft, SpareLeft, MediaErrors, PowerOnHours,
	CorrectableErrors, UncorrectableErr, Flow, AirFlow, Pressure, Volume, Utilisation, Count, LinkSpeed, ClockSkew, Value,
}

// Unit of a reading: SI, or the one the field uses.
type Unit string

const (
	RPM           Unit = "rpm"
	Percent       Unit = "%"
	Celsius       Unit = "°C"
	Kelvin        Unit = "K" // differences of temperature
	Watt          Unit = "W"
	VoltAmpere    Unit = "VA"
	Volt          Unit = "V"
	Ampere        Unit = "A"
	KilowattHour  Unit = "kWh"
	Hertz         Unit = "Hz"
	GramPerM3     Unit = "g/m3"
	LitrePerMin   Unit = "L/min"
	CubicMPerHour Unit = "m3/h"
	Kilopascal    Unit = "kPa"
	Litre         Unit = "L"
	Hour          Unit = "h"
	Second        Unit = "s"
	MegabitPerS   Unit = "Mbit/s"
	Number        Unit = "1"
)

var unitFields = map[Unit]string{
	RPM: "rpm", Percent: "percent", Celsius: "celsius", Kelvin: "kelvin", Watt: "watts", VoltAmpere: "volt_amperes",
	Volt: "volts", Ampere: "amperes", KilowattHour: "kilowatt_hours", Hertz: "hertz", GramPerM3: "grams_per_cubic_metre",
	LitrePerMin: "litres_per_minute", CubicMPerHour: "cubic_metres_per_hour", Kilopascal: "kilopascals", Litre: "litres",
	Hour: "hours", Second: "seconds", MegabitPerS: "megabits_per_second", Number: "",
}

// FieldName is the name of a reading's field in time series: quantity and unit, "temperature_celsius", "life_left_percent";
// plain numbers have the quantity alone.
func FieldName(q Quantity, u Unit) string {
	f, ok := unitFields[u]
	if !ok || f == "" {
		return string(q)
	}
	return string(q) + "_" + f
}

// FieldOf is the quantity and unit whose FieldName it is; ok is false if it is none. A unit that is not one of ours has no name of
// its own: it comes back as Number.
func FieldOf(name string) (q Quantity, u Unit, ok bool) {
	best := -1
	for _, x := range Quantities {
		rest, has := strings.CutPrefix(name, string(x))
		if !has || len(x) <= best { // power_on_hours is no "power_on" in hours
			continue
		}
		for unit, field := range unitFields {
			if rest == "" && field == "" || field != "" && rest == "_"+field {
				q, u, ok, best = x, unit, true, len(x)
			}
		}
	}
	return q, u, ok
}

// Reading is one measured value. Value is finite, always. (component, quantity) is unique in a snapshot.
type Reading struct {
	Component  ComponentID
	Quantity   Quantity
	Unit       Unit
	Value      float64
	Thresholds *Thresholds // nil: the service gives none, or this tier does not read them
	Derived    bool        // computed by dewline (dew point, condensation margin), not read
}

// Thresholds as the service states them; nil means not set.
type Thresholds struct {
	LowerFatal, LowerCritical, LowerCaution *float64
	UpperCaution, UpperCritical, UpperFatal *float64
}

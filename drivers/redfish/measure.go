package redfish

import (
	"regexp"
	"strings"

	"dewline/health"

	"github.com/stmcginnis/gofish/schemas"
)

// Names that say what a sensor without a ReadingType is. Older OpenBMC left it out of humidity sensors
// (ibm-openbmc/bmcweb PR #327). "liquid cooling" alone names the cooling, not a leak.
var (
	leakName     = regexp.MustCompile(`(?i)leak|moist|flood|drip|(^|[^a-z])(water|wet|rope)([^a-z]|$)`)
	humidityName = regexp.MustCompile(`(?i)humid|(^|[^a-z])rh([^a-z]|$)`)
	dewName      = regexp.MustCompile(`(?i)dew.?point`)
	usageName    = regexp.MustCompile(`(?i)usage|utili[sz]ation|util([^a-z]|$)`)
	pumpName     = regexp.MustCompile(`(?i)(^|[^a-z])pump`)
	// Not absolute: the digital thermal sensor of Lenovo XCC ("CPU 1 DTS", -51 °C below throttling), the T.Limit of NVIDIA,
	// "Agg Therm Mrgn 1" and "P1 DIMM Thrm 1" of Intel S2600 boards.
	marginName = regexp.MustCompile(`(?i)(^|[^a-z])DTS([^a-z]|$)|margin|mrgn|dimm thrm|headroom|temp_?limit|t\.?limit`)
	fanName    = regexp.MustCompile(`(?i)(^|[^a-z])(fan|pwm)|fan\d|pwm`)
)

// Units that are converted at once.
const (
	fahrenheit     health.Unit = "[degF]"
	kelvinAbsolute health.Unit = "[K]"
)

// prefixed are units that some firmware writes where the schema has another for the type: case tells a milliwatt from a megawatt.
var prefixed = map[string]struct {
	of health.Unit
	by float64
}{
	"mV": {health.Volt, 1e-3}, "mA": {health.Ampere, 1e-3}, "mW": {health.Watt, 1e-3}, "kW": {health.Watt, 1e3}, "KW": {health.Watt, 1e3}, "kV": {health.Volt, 1e3},
	"kV.A": {health.VoltAmpere, 1e3}, "kVA": {health.VoltAmpere, 1e3},
}

// measure is what a sensor measures: its class, quantity, unit and the factor to that unit.
type measure struct {
	class  health.Class
	q      health.Quantity
	u      health.Unit
	factor float64
}

// measureOf decides by ReadingType, then by unit, then by name. q is empty for a sensor that measures nothing: Lenovo XCC
// lists its discrete sensors as sensors with Reading 0 and the unit "".
func measureOf(d *sensorDoc) measure {
	name := string(d.Name) + " " + string(d.ID)
	units := ""
	if d.ReadingUnits != nil {
		units = strings.TrimSpace(string(*d.ReadingUnits))
	}
	typ := schemas.ReadingType(d.ReadingType)
	discrete := d.ReadingUnits != nil && units == ""
	m := measure{health.ClassSensor, health.Value, health.Number, 1}
	switch typ {
	case schemas.TemperatureReadingType:
		m = measure{health.ClassTemperature, health.Temperature, health.Celsius, 1}
		if dewName.MatchString(name) {
			m = measure{health.ClassHumidity, health.DewPoint, health.Celsius, 1}
		}
	case schemas.HumidityReadingType:
		m = measure{health.ClassHumidity, health.RelativeHumidity, health.Percent, 1}
	case schemas.AbsoluteHumidityReadingType:
		m = measure{health.ClassHumidity, health.AbsoluteHumidity, health.GramPerM3, 1}
	case schemas.PowerReadingType:
		m = measure{health.ClassPower, health.Power, health.Watt, 1}
		if strings.EqualFold(units, "V.A") || strings.EqualFold(units, "VA") {
			m.u = health.VoltAmpere
		}
	case schemas.VoltageReadingType:
		m = measure{health.ClassVoltage, health.Voltage, health.Volt, 1}
	case schemas.CurrentReadingType:
		m = measure{health.ClassCurrent, health.Current, health.Ampere, 1}
	case schemas.EnergykWhReadingType:
		m = measure{health.ClassSensor, health.Energy, health.KilowattHour, 1}
	case schemas.EnergyWhReadingType:
		m = measure{health.ClassSensor, health.Energy, health.KilowattHour, 1e-3}
	case schemas.EnergyJoulesReadingType:
		m = measure{health.ClassSensor, health.Energy, health.KilowattHour, 1 / 3.6e6}
	case schemas.FrequencyReadingType:
		m = measure{health.ClassSensor, health.Frequency, health.Hertz, 1}
	case schemas.RotationalReadingType:
		m = measure{health.ClassFan, health.Speed, health.RPM, 1}
		if pumpName.MatchString(name) {
			m.class = health.ClassPump
		}
	case schemas.LiquidFlowLPMReadingType:
		m = measure{health.ClassFlow, health.Flow, health.LitrePerMin, 1}
	case schemas.LiquidFlowReadingType: // L/s
		m = measure{health.ClassFlow, health.Flow, health.LitrePerMin, 60}
	case schemas.AirFlowReadingType: // cubic feet per minute
		m = measure{health.ClassFlow, health.AirFlow, health.CubicMPerHour, 1.69901082}
	case schemas.AirFlowCMMReadingType:
		m = measure{health.ClassFlow, health.AirFlow, health.CubicMPerHour, 60}
	case schemas.PressurekPaReadingType, schemas.BarometricReadingType:
		m = measure{health.ClassSensor, health.Pressure, health.Kilopascal, 1}
	case schemas.PressurePaReadingType, schemas.PressureReadingType:
		m = measure{health.ClassSensor, health.Pressure, health.Kilopascal, 1e-3}
	case schemas.PercentReadingType:
		m = percentOf(name)
	case "":
		m = measureByUnit(units, name)
	}
	if typ == "" && m.class == health.ClassSensor || typ == schemas.PercentReadingType {
		switch {
		case dewName.MatchString(name):
			m = measure{health.ClassHumidity, health.DewPoint, health.Celsius, 1}
		case humidityName.MatchString(name):
			m = measure{health.ClassHumidity, health.RelativeHumidity, health.Percent, 1}
		}
	}
	// The type says the quantity, the unit may be a thousandth or thousandfold of the schema's.
	if scale, ok := prefixed[units]; ok && typ != "" && scale.of == m.u {
		m.factor *= scale.by
	}
	// The voltage behind a detector (NVIDIA) stays a voltage.
	if (m.class == health.ClassSensor || m.class == health.ClassHumidity && m.q == health.RelativeHumidity && typ == "") && leakName.MatchString(name) {
		m = measure{class: health.ClassLeakDetector}
	}
	if rpm := strings.EqualFold(units, "RPM") || strings.EqualFold(units, "{rev}/min"); rpm && m.q != health.Speed {
		m = measure{health.ClassFan, health.Speed, health.RPM, 1} // Lenovo XCC types its tachometers AirFlow
		if pumpName.MatchString(name) {
			m.class = health.ClassPump
		}
	}
	switch basis := schemas.ReadingBasisType(d.ReadingBasis); {
	case m.q == health.Temperature && (basis == "" && marginName.MatchString(name) || basis == schemas.DeltaReadingBasisType || basis == schemas.HeadroomReadingBasisType):
		m.q, m.u = health.TemperatureMargin, health.Kelvin
	case basis == schemas.DeltaReadingBasisType || basis == schemas.HeadroomReadingBasisType:
		m.q, m.u, m.factor = health.Value, health.Number, 1
	}
	if m.class == health.ClassTemperature || m.q == health.DewPoint {
		switch strings.ToLower(units) {
		case "[degf]", "degf", "f", "fahrenheit":
			m.u = fahrenheit
		case "k", "kelvin":
			if m.q != health.TemperatureMargin {
				m.u = kelvinAbsolute
			}
		}
	}
	if discrete && m.class != health.ClassHumidity {
		m.q = ""
	}
	if typ == "" && units == "" && m.class == health.ClassSensor {
		m.q = "" // a number without type or unit is no measurement
	}
	return m
}

func percentOf(name string) measure {
	switch {
	case usageName.MatchString(name):
		return measure{health.ClassSensor, health.Utilisation, health.Percent, 1}
	case fanName.MatchString(name), pumpName.MatchString(name):
		return measure{health.ClassSensor, health.Duty, health.Percent, 1}
	}
	return measure{health.ClassSensor, health.Value, health.Percent, 1}
}

func measureByUnit(units, name string) measure {
	switch strings.ToLower(units) {
	case "cel", "c", "°c", "℃", "degc", "deg_c", "degree c", "celsius", "degrees c", "degrees celsius", "degree celsius", "[degf]":
		if dewName.MatchString(name) {
			return measure{health.ClassHumidity, health.DewPoint, health.Celsius, 1}
		}
		return measure{health.ClassTemperature, health.Temperature, health.Celsius, 1}
	case "v", "volts":
		return measure{health.ClassVoltage, health.Voltage, health.Volt, 1}
	case "mv", "millivolts":
		return measure{health.ClassVoltage, health.Voltage, health.Volt, 1e-3}
	case "ma":
		return measure{health.ClassCurrent, health.Current, health.Ampere, 1e-3}
	case "kw":
		return measure{health.ClassPower, health.Power, health.Watt, 1e3}
	case "mw":
		return measure{health.ClassPower, health.Power, health.Watt, 1e-3}
	case "a", "amps", "amperes":
		return measure{health.ClassCurrent, health.Current, health.Ampere, 1}
	case "w", "watts":
		return measure{health.ClassPower, health.Power, health.Watt, 1}
	case "rpm", "{rev}/min":
		if pumpName.MatchString(name) {
			return measure{health.ClassPump, health.Speed, health.RPM, 1}
		}
		return measure{health.ClassFan, health.Speed, health.RPM, 1}
	case "hz":
		return measure{health.ClassSensor, health.Frequency, health.Hertz, 1}
	case "kw.h", "kwh":
		return measure{health.ClassSensor, health.Energy, health.KilowattHour, 1}
	case "j":
		return measure{health.ClassSensor, health.Energy, health.KilowattHour, 1 / 3.6e6}
	case "w.h", "wh":
		return measure{health.ClassSensor, health.Energy, health.KilowattHour, 1e-3}
	case "[ft_i]3/min", "cfm":
		return measure{health.ClassFlow, health.AirFlow, health.CubicMPerHour, 1.69901082}
	case "l/min", "lpm":
		return measure{health.ClassFlow, health.Flow, health.LitrePerMin, 1}
	case "kpa":
		return measure{health.ClassSensor, health.Pressure, health.Kilopascal, 1}
	case "pa":
		return measure{health.ClassSensor, health.Pressure, health.Kilopascal, 1e-3}
	case "g/m3":
		return measure{health.ClassHumidity, health.AbsoluteHumidity, health.GramPerM3, 1}
	case "%", "percent":
		return percentOf(name)
	case "%rh", "rh%", "% rh":
		return measure{health.ClassHumidity, health.RelativeHumidity, health.Percent, 1}
	}
	return measure{health.ClassSensor, health.Value, health.Number, 1}
}

// value applies unit and factor.
func (m measure) value(n number) (number, health.Unit) {
	switch m.u {
	case fahrenheit:
		if m.q == health.TemperatureMargin {
			return n.as(n.V * 5 / 9), health.Kelvin
		}
		return n.as((n.V - 32) * 5 / 9), health.Celsius
	case kelvinAbsolute:
		return n.as(n.V - 273.15), health.Celsius
	}
	return n.as(n.V * m.factor), m.u
}

func (m measure) thresholds(t *health.Thresholds) *health.Thresholds {
	if t == nil || m.factor == 1 && m.u != fahrenheit && m.u != kelvinAbsolute {
		return t
	}
	conv := func(p *float64) *float64 {
		if p == nil {
			return nil
		}
		n, _ := m.value(number{V: *p, OK: true})
		return &n.V
	}
	return &health.Thresholds{
		LowerFatal: conv(t.LowerFatal), LowerCritical: conv(t.LowerCritical), LowerCaution: conv(t.LowerCaution),
		UpperCaution: conv(t.UpperCaution), UpperCritical: conv(t.UpperCritical), UpperFatal: conv(t.UpperFatal),
	}
}

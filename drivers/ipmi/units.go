package ipmi

import (
	"regexp"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
)

// measure is what an analog sensor measures and how its own unit becomes that of the field.
type measure struct {
	quantity health.Quantity
	unit     health.Unit
	scale    func(float64) float64 // nil: as it is
}

func times(k float64) func(float64) float64 { return func(v float64) float64 { return v * k } }

// IPMI has no unit for relative humidity: it is a percentage of nothing in particular, and only the name tells it from
// the duty of a fan or the load of a CPU (IPMI 2.0 section 43.17).
var (
	humidityName = regexp.MustCompile(`(?i)humid|(^|[^a-z])rh([^a-z]|$)`)
	dewPointName = regexp.MustCompile(`(?i)dew[ _-]?p`)
	// A margin counts down to a limit: it is a difference, whatever its record says.
	marginName = regexp.MustCompile(`(?i)margin|mgn|headroom|delta|tjmax|distance`)
	inputName  = regexp.MustCompile(`(?i)(^|[^a-z])(in|input|pin|vin|iin|ac)([^a-z]|$)|input`)
	outputName = regexp.MustCompile(`(?i)(^|[^a-z])(out|output|pout|vout|iout)([^a-z]|$)|output`)
)

// perMinute is how many of a rate's periods make a minute, 0 if it is no rate.
func perMinute(u types.SensorUnit) float64 {
	switch u.RateUnit { // IPMI 2.0 table 43-1, sensor units 1
	case 1:
		return 60e6
	case 2:
		return 60e3
	case 3:
		return 60
	case 4:
		return 1
	case 5:
		return 1.0 / 60
	case 6:
		return 1.0 / 1440
	}
	if u.ModifierRelation == types.SensorModifierRelation_Div { // base unit / modifier unit
		switch uint8(u.ModifierUnit) {
		case 20:
			return 60e6
		case 21:
			return 60e3
		case 22:
			return 60
		case 23:
			return 1
		case 24:
			return 1.0 / 60
		case 25:
			return 1.0 / 1440
		}
	}
	return 0
}

// litres of the volume units of table 43-15.
var litres = map[uint8]float64{
	30: 0.016387064, // cubic inch
	31: 28.316846592,
	35: 0.001, // cubic centimetre
	36: 1000,
	37: 1,
	38: 0.0295735295625, // US fluid ounce
}

// measureOf says what an analog sensor measures.
func measureOf(s *sensor) measure {
	u := s.unit
	if u.Percentage {
		switch {
		case humidityName.MatchString(s.name):
			return measure{health.RelativeHumidity, health.Percent, nil}
		case s.typ == typeFan || s.entity == entityFan:
			return measure{health.Duty, health.Percent, nil}
		}
		return measure{health.Utilisation, health.Percent, nil}
	}
	if rate := perMinute(u); rate != 0 {
		if l, ok := litres[uint8(u.BaseUnit)]; ok {
			if airFlowName.MatchString(s.name) {
				return measure{health.AirFlow, health.CubicMPerHour, times(l * rate * 60 / 1000)}
			}
			return measure{health.Flow, health.LitrePerMin, times(l * rate)}
		}
		switch uint8(u.BaseUnit) {
		case 7: // joule a time is power
			return measure{health.Power, health.Watt, times(rate / 60)}
		case 41, 42: // revolutions, cycles
			if s.typ == typeFan || s.entity == entityFan {
				return measure{health.Speed, health.RPM, times(rate)}
			}
			return measure{health.Frequency, health.Hertz, times(rate / 60)}
		case 18, 19: // the rate is in the unit already; firmware that says it twice is common
		default:
			return measure{health.Value, health.Number, nil}
		}
	}
	if u.ModifierRelation == types.SensorModifierRelation_Mul && uint8(u.BaseUnit) == 6 && uint8(u.ModifierUnit) == 24 {
		return measure{health.Energy, health.KilowattHour, times(0.001)}
	}
	switch uint8(u.BaseUnit) {
	case 0:
		if humidityName.MatchString(s.name) && s.typ == typeOther { // the percentage bit is often forgotten
			return measure{health.RelativeHumidity, health.Percent, nil}
		}
		return measure{health.Value, health.Number, nil}
	case 1, 2, 3:
		return temperatureMeasure(s, uint8(u.BaseUnit))
	case 4:
		return measure{directed(s, health.Voltage, health.InputVoltage, health.OutputVoltage), health.Volt, nil}
	case 5:
		return measure{directed(s, health.Current, health.InputCurrent, health.OutputCurrent), health.Ampere, nil}
	case 6:
		return measure{directed(s, health.Power, health.InputPower, health.OutputPower), health.Watt, nil}
	case 7:
		return measure{health.Energy, health.KilowattHour, times(1 / 3.6e6)}
	case 9:
		return measure{directed(s, health.Power, health.InputPower, health.OutputPower), health.VoltAmpere, nil}
	case 14:
		return measure{health.Pressure, health.Kilopascal, nil}
	case 15:
		return measure{health.Pressure, health.Kilopascal, times(6.894757293168)}
	case 17: // cubic feet per minute
		return measure{health.AirFlow, health.CubicMPerHour, times(1.69901079552)}
	case 18:
		return measure{health.Speed, health.RPM, nil}
	case 19:
		return measure{health.Frequency, health.Hertz, nil}
	case 24:
		return measure{health.PowerOnHours, health.Hour, nil}
	case 30, 31, 35, 36, 37, 38:
		return measure{health.Volume, health.Litre, times(litres[uint8(u.BaseUnit)])}
	case 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 90, 91: // hits, misses, retries, … errors: counts
		return measure{health.Count, health.Number, nil}
	}
	return measure{health.Value, health.Number, nil}
}

func temperatureMeasure(s *sensor, base uint8) measure {
	fahrenheit := base == 2
	if marginName.MatchString(s.name) {
		if fahrenheit {
			return measure{health.TemperatureMargin, health.Kelvin, times(5.0 / 9)}
		}
		return measure{health.TemperatureMargin, health.Kelvin, nil}
	}
	q := health.Temperature
	if dewPointName.MatchString(s.name) {
		q = health.DewPoint
	}
	switch base {
	case 2:
		return measure{q, health.Celsius, func(v float64) float64 { return (v - 32) * 5 / 9 }}
	case 3:
		return measure{q, health.Celsius, func(v float64) float64 { return v - 273.15 }}
	}
	return measure{q, health.Celsius, nil}
}

// directed picks the quantity of a power supply's side. The direction field of a record is not trusted for it: firmware
// marks nearly every sensor "input", since every sensor is one to the BMC.
func directed(s *sensor, plain, in, out health.Quantity) health.Quantity {
	if s.entity != entityPSU && s.typ != typePSU {
		return plain
	}
	switch {
	case outputName.MatchString(s.name):
		return out
	case inputName.MatchString(s.name):
		return in
	}
	return plain
}

// value converts a raw reading to the field's unit.
func (m measure) value(s *sensor, raw uint8, f types.ReadingFactors) float64 {
	v := s.convert(raw, f)
	if m.scale != nil {
		v = m.scale(v)
	}
	return v
}

package moisture

import "math"

// Sonntag's constants for the Magnus formula over water.
const (
	magnusB = 17.62
	magnusC = 243.12 // °C
)

// DewPointError is the error of a dew point in kelvin, from those of the two sensors it is computed of, by the formula's own slope
// and added as squares: the sensors are two. With ±3 % and ±1 K it is ±1.3 K at 22 °C and 50 %.
func (r *Rules) DewPointError(temperature, humidity float64) float64 {
	humidity = math.Min(humidity, 100)
	g := math.Log(humidity/100) + magnusB*temperature/(magnusC+temperature)
	slope := magnusC * magnusB / ((magnusB - g) * (magnusB - g))
	byHumidity := slope / humidity
	byTemperature := slope * magnusB * magnusC / ((magnusC + temperature) * (magnusC + temperature))
	return math.Hypot(byHumidity*r.HumidityError, byTemperature*r.TemperatureError)
}

// Beyond these a sensor is broken or not what it says: no air that a server stands in is so.
const (
	minAir, maxAir = -40.0, 100.0 // °C
	maxHumidity    = 105.0        // %; a sensor in saturated air reads a little over 100
)

// DewPoint is the dew point in °C of air of the given temperature (°C) and relative humidity (%). Humidity above 100 is
// taken as 100 and says so by clamped. There is none (ok is false) for a humidity of 0 or less or above 105, a temperature
// outside -40 to 100, and what is no number.
func DewPoint(temperature, humidity float64) (dewPoint float64, clamped, ok bool) {
	// Written so that NaN fails too.
	if !(humidity > 0 && humidity <= maxHumidity) || !(temperature >= minAir && temperature <= maxAir) {
		return 0, false, false
	}
	if humidity > 100 {
		humidity, clamped = 100, true
	}
	g := math.Log(humidity/100) + magnusB*temperature/(magnusC+temperature)
	dewPoint = magnusC * g / (magnusB - g)
	if math.IsNaN(dewPoint) || math.IsInf(dewPoint, 0) || dewPoint < -100 {
		return 0, false, false // a humidity of next to nothing: the formula is far outside its range
	}
	return dewPoint, clamped, true
}

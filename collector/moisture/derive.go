package moisture

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"dewline/health"
)

// Derive appends to the snapshot's readings the dew point of each humidity sensor that has a temperature of the same air,
// and the condensation margin of each inlet, cold plate and coolant supply. What the service gave itself stays as it is.
func Derive(s *health.Snapshot) {
	if s == nil || !slices.ContainsFunc(s.Readings, func(r health.Reading) bool {
		return r.Quantity == health.RelativeHumidity || r.Quantity == health.DewPoint
	}) {
		return // most machines have no sense of water
	}
	v := gather(s)
	dews := v.dewPoints(s)
	if len(dews) == 0 {
		return
	}
	for _, c := range v.cold {
		dew, ok := airOf(c, dews)
		if !ok || v.has[key{c.ID, health.CondensationMargin}] {
			continue
		}
		s.Readings = append(s.Readings, health.Reading{
			Component: c.ID, Quantity: health.CondensationMargin, Unit: health.Kelvin, Value: c.value - dew.value, Derived: true,
		})
	}
}

type key struct {
	id health.ComponentID
	q  health.Quantity
}

// probe is a component with the one value that matters here.
type probe struct {
	*health.Component
	value   float64
	context string
	stem    string
}

type view struct {
	has      map[key]bool
	humidity []probe
	air      []probe // temperatures
	cold     []probe // those of air that a dew point must be held against
	told     []probe // dew points that the service gives itself
}

func gather(s *health.Snapshot) view {
	v := view{has: map[key]bool{}}
	components := make(map[health.ComponentID]*health.Component, len(s.Components))
	for i := range s.Components {
		components[s.Components[i].ID] = &s.Components[i]
	}
	for _, r := range s.Readings {
		v.has[key{r.Component, r.Quantity}] = true
		c := components[r.Component]
		if c == nil || c.Presence == health.Absent {
			continue
		}
		p := probe{Component: c, value: r.Value, context: fold(c.Context), stem: stem(c.Name)}
		switch {
		case r.Quantity == health.RelativeHumidity && r.Unit == health.Percent:
			v.humidity = append(v.humidity, p)
		case r.Quantity == health.DewPoint && r.Unit == health.Celsius && r.Value >= -100 && r.Value <= maxAir:
			v.told = append(v.told, p)
		case r.Quantity == health.Temperature && r.Unit == health.Celsius && r.Value >= minAir && r.Value <= maxAir:
			v.air = append(v.air, p)
			if c.Class == health.ClassTemperature && isCold(p) {
				v.cold = append(v.cold, p)
			}
		}
	}
	byID := func(a, b probe) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(v.humidity, byID)
	slices.SortFunc(v.air, byID)
	slices.SortFunc(v.cold, byID)
	return v
}

func (v *view) dewPoints(s *health.Snapshot) []probe {
	dews := slices.Clone(v.told)
	for _, h := range v.humidity {
		if v.has[key{h.ID, health.DewPoint}] {
			continue
		}
		t, ok := sameAir(h, v.air)
		if !ok {
			continue
		}
		dew, _, ok := DewPoint(t.value, h.value)
		if !ok {
			continue
		}
		s.Readings = append(s.Readings, health.Reading{
			Component: h.ID, Quantity: health.DewPoint, Unit: health.Celsius, Value: dew, Derived: true,
		})
		h.value = dew
		dews = append(dews, h)
	}
	return dews
}

// sameAir is the one temperature that is certainly of the humidity sensor's air.
func sameAir(h probe, air []probe) (probe, bool) {
	var named, placed []probe
	for _, t := range air {
		if t.ID == h.ID {
			return t, true // one sensor that gives both
		}
		if t.Class != health.ClassTemperature || (h.context != "" && t.context != "" && h.context != t.context) {
			continue
		}
		if isLiquid(t) {
			continue
		}
		if h.stem != "" && h.stem == t.stem {
			named = append(named, t)
		}
		if h.context != "" && h.context == t.context && isAir(h.context) {
			placed = append(placed, t)
		}
	}
	for _, candidates := range [][]probe{named, placed} {
		if len(candidates) > 1 {
			candidates = slices.DeleteFunc(slices.Clone(candidates), func(t probe) bool { return chassis(t.Place) != chassis(h.Place) })
		}
		if len(candidates) == 1 {
			return candidates[0], true
		}
		if len(candidates) > 1 {
			return probe{}, false
		}
	}
	return probe{}, false
}

// airOf is the dew point to hold a cold part against: of its own air, else the room's, else the wettest.
func airOf(c probe, dews []probe) (probe, bool) {
	for _, own := range []func(probe) bool{
		func(d probe) bool { return c.context != "" && d.context == c.context },
		func(d probe) bool { return d.context == "room" || strings.Contains(" "+d.stem+" ", " room ") },
		func(probe) bool { return true },
	} {
		var wettest probe
		found := false
		for _, d := range dews {
			if own(d) && (!found || d.value > wettest.value) {
				wettest, found = d, true
			}
		}
		if found {
			return wettest, true
		}
	}
	return probe{}, false
}

// chassis is the part of a place that names the machine or enclosure: ".../Chassis/1" of ".../Chassis/1/Sensors".
func chassis(place string) string {
	parts := strings.Split(place, "/")
	for i, p := range parts {
		switch p {
		case "Chassis", "RackPDUs", "FloorPDUs", "CDUs", "Facilities":
			if i+1 < len(parts) {
				return p + "/" + parts[i+1]
			}
		}
	}
	return place
}

// fold makes contexts comparable: "LiquidInlet", "liquid_inlet" and "liquid inlet" are one.
func fold(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
	if s == "inlet" {
		return "intake"
	}
	return s
}

func isAir(context string) bool {
	switch context {
	case "room", "intake", "exhaust", "ambient", "ambientair", "front", "back", "rack":
		return true
	}
	return false
}

func isCold(p probe) bool {
	switch p.context {
	case "intake", "coldplate", "liquidinlet", "coolantsupply", "liquidsupply":
		return true
	case "":
		// IPMI has no contexts, only names: "Inlet Temp", "Coolant Supply".
		words := " " + p.stem + " "
		return strings.Contains(words, " inlet ") || strings.Contains(words, " intake ") || strings.Contains(words, " cold plate ") ||
			strings.Contains(words, " coldplate ") || (strings.Contains(words, " coolant ") && strings.Contains(words, " supply "))
	}
	return false
}

func isLiquid(p probe) bool {
	return strings.Contains(p.context, "liquid") || strings.Contains(p.context, "coolant") || p.context == "coldplate"
}

// stem is a sensor's name without the words for what it measures: "Room Humidity" and "Room Temperature" are both "room".
// A stem without a letter is none: "Humidity 1" and "Temp 1" may be anywhere.
func stem(name string) string {
	var words []string
	letters := false
	for _, w := range strings.FieldsFunc(strings.ToLower(splitCamel(name)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		switch w {
		case "humidity", "relative", "rh", "hum", "temperature", "temp", "sensor", "reading", "percent", "celsius", "air":
			continue
		}
		letters = letters || strings.IndexFunc(w, unicode.IsLetter) >= 0
		words = append(words, w)
	}
	if !letters {
		return ""
	}
	return strings.Join(words, " ")
}

// splitCamel puts a blank before each upper-case letter that follows a lower-case one: "RoomHumidity".
func splitCamel(s string) string {
	var b strings.Builder
	var last rune
	for _, r := range s {
		if unicode.IsUpper(r) && unicode.IsLower(last) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		last = r
	}
	return b.String()
}

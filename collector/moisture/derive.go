package moisture

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"dewline/health"
)

// Air is air that is carried across to a machine: the dew point that a probe elsewhere in its air measured.
type Air struct {
	Source   string // for people: the target and the component
	DewPoint float64
	Error    float64
	At       time.Time // of the older of its measurements; zero: none was ever read
	Why      string    // why there is no dew point although something was read; empty: there is one
}

// placeAir is the place of gaps in what is derived: no component is there, and those that were read stay read.
const placeAir = "air"

// Input is what deriving needs beside the snapshot.
type Input struct {
	Rules  Rules
	Mapped bool  // the configuration says which air the machine stands in
	Air    []Air // that air
	Memory health.AirMemory
}

// Derive appends to the snapshot's readings the dew point of each humidity sensor that has a temperature of the same air,
// and the condensation margin of each inlet, cold plate and coolant supply, both with their errors; and it judges them, and the
// air, by the rules. What the service gave itself stays as it is. Air that is too old, or not there, is a gap, never the last value.
// It returns what the next visit must know, nil if that is what was known.
func Derive(s *health.Snapshot, in Input) *health.AirMemory {
	if s == nil || len(s.Readings) == 0 {
		return nil
	}
	v := gather(s)
	j := &judge{rules: in.Rules, at: s.At, before: in.Memory, s: s}
	j.after.Alarms, j.after.Spans = slices.Clone(in.Memory.Alarms), slices.Clone(in.Memory.Spans)
	v.rules = in.Rules
	dews := v.dewPoints(s)
	for _, h := range v.humidity {
		if h.context != "" && (!isAir(h.context) || h.context == "exhaust" || h.context == "back") {
			continue // the limits are those of the air that machines take in
		}
		var dew *float64
		if i := slices.IndexFunc(dews, func(d probe) bool { return d.ID == h.ID }); i >= 0 {
			dew = &dews[i].value
		}
		j.air(h.ID, h.value, dew)
	}
	for _, c := range v.cold {
		if isIntake(c) {
			j.inlet(c.ID, c.value)
		}
	}
	carried, why := fresh(s, in)
	for _, c := range v.cold {
		if v.has[key{c.ID, health.CondensationMargin}] {
			continue
		}
		dew, of, ok := v.airOf(c, dews, carried, in.Mapped)
		if !ok {
			if in.Mapped {
				s.Gaps = append(s.Gaps, health.Gap{Part: "condensation margin of " + cmp.Or(c.Name, string(c.ID)), Reason: health.ReasonStale, Error: why, Place: placeAir})
			}
			continue
		}
		margin := c.value - dew.value
		err := math.Hypot(dew.err, in.Rules.TemperatureError)
		s.Readings = append(s.Readings,
			health.Reading{Component: c.ID, Quantity: health.CondensationMargin, Unit: health.Kelvin, Value: margin, Derived: true},
			health.Reading{Component: c.ID, Quantity: health.MarginError, Unit: health.Kelvin, Value: err, Derived: true})
		j.margin(c.ID, margin, err, of)
	}
	return j.finish()
}

// fresh is the carried air that may be used, and why there is none.
func fresh(s *health.Snapshot, in Input) (usable []Air, why string) {
	whys := []string{}
	for _, a := range in.Air {
		age := s.At.Sub(a.At)
		switch {
		case a.At.IsZero():
			whys = append(whys, a.Source+": nothing was read yet")
		case age > in.Rules.MaxAge:
			whys = append(whys, fmt.Sprintf("%s: last read %s ago", a.Source, age.Round(time.Second)))
		case a.Why != "":
			whys = append(whys, a.Source+": "+a.Why)
		default:
			usable = append(usable, a)
		}
	}
	if len(in.Air) == 0 {
		whys = append(whys, "none of its air was read yet")
	}
	return usable, strings.Join(whys, "; ")
}

type key struct {
	id health.ComponentID
	q  health.Quantity
}

// probe is a component with the one value that matters here.
type probe struct {
	*health.Component
	value   float64
	err     float64 // of a dew point
	context string
	stem    string
}

type view struct {
	rules    Rules
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
		k := key{r.Component, r.Quantity}
		if v.has[k] {
			continue // a driver that gives one quantity of one part twice: the first counts, and is judged once
		}
		v.has[k] = true
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
	for i := range dews { // the service does not say how well it measures: as we would, with sensors in the usual air
		dews[i].err = v.rules.DewPointError(22, 50)
	}
	for _, h := range v.humidity {
		if v.has[key{h.ID, health.DewPoint}] {
			continue
		}
		t, ok := sameAir(h, v.air)
		if !ok {
			continue
		}
		dew, clamped, ok := DewPoint(t.value, h.value)
		if clamped || !ok {
			what := "no dew point follows from it"
			if ok {
				what = "taken as 100 %"
			}
			s.Gaps = append(s.Gaps, health.Gap{
				Part: "dew point of " + cmp.Or(h.Name, string(h.ID)), Reason: health.ReasonMalformed, Place: placeAir,
				Error: fmt.Sprintf("%g %% relative humidity at %g °C: %s", h.value, t.value, what),
			})
		}
		if !ok {
			continue
		}
		h.err = v.rules.DewPointError(t.value, h.value)
		s.Readings = append(s.Readings,
			health.Reading{Component: h.ID, Quantity: health.DewPoint, Unit: health.Celsius, Value: dew, Derived: true},
			health.Reading{Component: h.ID, Quantity: health.DewPointError, Unit: health.Kelvin, Value: h.err, Derived: true})
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

// airOf is the dew point to hold a cold part against: of its own air as the machine measures it, else of the air that the
// configuration says it stands in, else the machine's own room sensor. Only where the configuration says nothing the wettest that the
// machine knows of will do.
func (v *view) airOf(c probe, dews []probe, carried []Air, mapped bool) (dew probe, of string, ok bool) {
	wettest := func(own func(probe) bool) (w probe, found bool) {
		for _, d := range dews {
			if own(d) && (!found || d.value > w.value) {
				w, found = d, true
			}
		}
		return w, found
	}
	if d, ok := wettest(func(d probe) bool { return c.context != "" && d.context == c.context }); ok {
		return d, cmp.Or(d.Name, string(d.ID)), true
	}
	for _, a := range carried {
		if !ok || a.DewPoint > dew.value {
			dew, of, ok = probe{value: a.DewPoint, err: a.Error}, a.Source, true
		}
	}
	if ok {
		return dew, of, true
	}
	if d, ok := wettest(func(d probe) bool { return d.context == "room" || strings.Contains(" "+d.stem+" ", " room ") }); ok {
		return d, cmp.Or(d.Name, string(d.ID)), true
	}
	if mapped {
		return probe{}, "", false
	}
	d, ok := wettest(func(probe) bool { return true })
	if !ok {
		return probe{}, "", false
	}
	return d, cmp.Or(d.Name, string(d.ID)), true
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

// isIntake tells the cold parts that are air.
func isIntake(p probe) bool {
	words := " " + p.stem + " "
	return p.context == "intake" || p.context == "" && !strings.Contains(words, " plate ") && !strings.Contains(words, " coldplate ") &&
		!strings.Contains(words, " coolant ") && !strings.Contains(words, " liquid ") && !strings.Contains(words, " water ")
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

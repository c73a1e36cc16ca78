package coverage_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dewline/health"
)

// fragment names an element of a document's array.
func fragment(url, array string, i int) string { return fmt.Sprintf("%s#/%s/%d", url, array, i) }

// plain is a name without case, spaces and punctuation.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}

func shareName(a, b *part) bool {
	for _, x := range a.names {
		for _, y := range b.names {
			if plain(x) == plain(y) {
				return true
			}
		}
	}
	return false
}

// union joins two accounts of the same parts. A pair is the same part only if it is alone on both sides: HPE names three
// sensors of one list "32-PCI 2-Add-in card". What the older account has beyond the newer one stays. It may be left out if
// the newer one has an unpaired part in the same chassis and context, which may be the same under another name: nothing
// shows whether dmtf-rackmount1's "BaseBoard System Fan" is its "Fan Bay 1".
func union(newer, older []*part, same func(a, b *part) bool) []*part {
	l := slices.Clone(newer)
	paired := map[*part]bool{}
	for _, o := range older {
		twins := matching(newer, func(n *part) bool { return same(n, o) })
		if len(twins) == 1 && len(matching(older, func(x *part) bool { return same(twins[0], x) })) == 1 {
			twins[0].absorb(o)
			paired[twins[0]] = true
			continue
		}
		l = append(l, o)
	}
	for _, o := range l[len(newer):] {
		perhaps := func(n *part) bool {
			return !paired[n] && n.scope() == o.scope() && len(n.also) == 0 && (n.context == "" || o.context == "" || n.context == o.context)
		}
		if o.optional == "" && slices.ContainsFunc(newer, perhaps) {
			o.optional = "the newer tree may tell of it under another name"
		}
	}
	return l
}

func matching(l []*part, f func(*part) bool) []*part {
	return slices.DeleteFunc(slices.Clone(l), func(p *part) bool { return !f(p) })
}

var fanNumber = regexp.MustCompile(`(?i)fan[^a-z0-9]*(?:embedded[^a-z0-9]*)?(\d+[^a-z0-9]*[a-z]?)\b`)

// fanKey is the number a fan's name has: "System Board Fan1A", "Fan 1A" and "Fan.Embedded.1A" are one (Dell).
func fanKey(s string) string {
	if m := fanNumber.FindStringSubmatch(s); m != nil {
		return plain(m[1])
	}
	return ""
}

// sameFan: in one chassis, with the same name, ID or number.
func sameFan(a, b *part) bool {
	if a.scope() != b.scope() {
		return false
	}
	for _, x := range slices.Concat(a.names, a.ids) {
		for _, y := range slices.Concat(b.names, b.ids) {
			if len(plain(x)) > 2 && plain(x) == plain(y) || fanKey(x) != "" && fanKey(x) == fanKey(y) {
				return true
			}
		}
	}
	return false
}

// fans: Thermal.Fans, Fan resources, and rotating sensors that neither of them tells of: GB200 has twelve rotors as Sensors
// and eighteen empty Fan collections.
func fans(t *tree) []*part {
	var legacy, modern, rotors []*part
	t.each(func(url, kind string, d doc) {
		switch kind {
		case "Fan":
			modern = append(modern, modernFan(url, d))
		case "Sensor":
			// Lenovo calls its tachometers AirFlow in RPM.
			units := strings.ToUpper(str(d, "ReadingUnits"))
			if str(d, "ReadingType") == "Rotational" || units == "RPM" {
				p := newPart(health.ClassFan, url, d)
				if units == "%" {
					p.says2(health.Duty, d, "Reading", true)
				} else {
					p.says2(health.Speed, d, "Reading", true)
				}
				rotors = append(rotors, p)
			}
		default:
			for i, r := range rows(d, "Fans") {
				legacy = append(legacy, legacyFan(fragment(url, "Fans", i), r))
			}
		}
	})
	l := union(modern, legacy, sameFan)
	told := slices.Clone(l)
	for _, r := range rotors {
		if k := slices.IndexFunc(told, func(p *part) bool { return p.source == r.url() || sameFan(p, r) }); k >= 0 {
			for q, v := range r.values {
				told[k].values[q] = append(told[k].values[q], v...)
			}
			continue
		}
		l = append(l, r)
	}
	return l
}

func modernFan(url string, d doc) *part {
	p := newPart(health.ClassFan, url, d)
	s := obj(d, "SpeedPercent")
	p.source = cleanURL(str(s, "DataSourceUri"))
	rpm, isRPM := num(s, "SpeedRPM")
	duty, isDuty := num(s, "Reading")
	if isRPM {
		p.says(health.Speed, rpm, true)
	}
	switch {
	case isDuty && isRPM && duty == rpm: // Lenovo XCC writes the RPM into the percentage too
		p.forbid = append(p.forbid, health.Duty)
	case isDuty:
		p.says(health.Duty, duty, !isRPM)
	}
	return p
}

func legacyFan(url string, r doc) *part {
	p := newPart(health.ClassFan, url, r)
	key := "Reading"
	if _, ok := r[key]; !ok {
		key = "CurrentReading" // HPE iLO 4
	}
	switch strings.ToLower(first(str(r, "ReadingUnits"), str(r, "Units"))) {
	case "percent", "%":
		p.says2(health.Duty, r, key, true)
	case "rpm":
		p.says2(health.Speed, r, key, true)
	default: // not told which
		p.says2(health.Duty, r, key, false)
		p.says2(health.Speed, r, key, false)
	}
	return p
}

var margin = regexp.MustCompile(`(?i)mar?gi?n|mrgn|\bmgn\b|\bdts\b|headroom`)

// temperatures: Thermal.Temperatures and Sensors that measure a temperature.
func temperatures(t *tree) []*part {
	var legacy, modern []*part
	t.each(func(url, kind string, d doc) {
		if kind == "Sensor" {
			if p := temperatureSensor(url, d); p != nil {
				modern = append(modern, p)
			}
			return
		}
		for i, r := range rows(d, "Temperatures") {
			// HPE Cray EX has an element without a name, a context or a value among its 36.
			if str(r, "Name") == "" && str(r, "MemberId") == "" {
				continue
			}
			p := newPart(health.ClassTemperature, fragment(url, "Temperatures", i), r)
			p.source, p.context = cleanURL(str(r, "DataSourceUri")), str(r, "PhysicalContext")
			if v, ok := num(r, "ReadingCelsius"); ok {
				p.celsius(v)
			}
			// Dell has a Thermal document of a GPU under Processors/…/Oem: of the vendor's own making.
			if !t.standard[url] {
				p.optional = "only an Oem object links to it"
			}
			legacy = append(legacy, p)
		}
	})
	return union(modern, legacy, sameTemperature)
}

// celsius notes a temperature, unless it is a margin to a limit: by its name (Intel: "P1 Therm Margin" -71, "Agg Therm Mrgn
// 1" -32; Lenovo: "CPU 1 DTS" -51), or because no server is so cold (Intel: "P1 DIMM Thrm 1" -58).
func (p *part) celsius(v float64) {
	switch {
	case slices.ContainsFunc(p.names, margin.MatchString):
		p.says(health.TemperatureMargin, v, true)
		p.forbid = append(p.forbid, health.Temperature)
	case v < -40:
		p.says(health.TemperatureMargin, v, false)
		p.forbid = append(p.forbid, health.Temperature)
	default:
		p.says(health.Temperature, v, true)
	}
}

// temperatureSensor is a Sensor that measures a temperature, nil for another one. dmtf-rackmount1 has sensors without a
// ReadingType, in Cel. Lenovo has two kinds with ReadingUnits "": "PCIe 5 OverTemp" with Reading 0 is a state and no
// temperature, "CPU 1 DTS" a margin.
func temperatureSensor(url string, d doc) *part {
	units, hasUnits := d["ReadingUnits"].(string)
	celsius := units == "Cel" || units == "C"
	switch kind := str(d, "ReadingType"); {
	case kind == "Temperature":
	case kind == "" && celsius:
	default:
		return nil
	}
	p := newPart(health.ClassTemperature, url, d)
	p.context = str(d, "PhysicalContext")
	v, ok := num(d, "Reading")
	switch {
	case hasUnits && units == "" && !slices.ContainsFunc(p.names, margin.MatchString):
		p.also = []health.Class{health.ClassSensor}
		p.forbid = append(p.forbid, health.Temperature)
	case ok && onlyLower(obj(d, "Thresholds")):
		p.says(health.TemperatureMargin, v, true)
		p.forbid = append(p.forbid, health.Temperature)
	case ok && hasUnits && units == "": // a margin by its name, in what unit is not told
		p.says(health.TemperatureMargin, v, false)
		p.forbid = append(p.forbid, health.Temperature)
	case ok:
		p.celsius(v)
	}
	switch str(d, "ReadingBasis") {
	case "Delta", "Headroom":
		delete(p.values, health.Temperature)
		p.demand, p.forbid = nil, []health.Quantity{health.Temperature}
	}
	return p
}

// onlyLower tells a margin to a limit by its thresholds: nothing is too hot, all that is bad is below nought. NVIDIA's
// TempLimit sensors say neither Headroom nor margin; theirs are 0, -4 and -5.
func onlyLower(thresholds doc) bool {
	lower := 0
	for k, v := range thresholds {
		t, _ := v.(doc)
		r, ok := num(t, "Reading")
		switch {
		case !ok:
		case strings.HasPrefix(k, "Lower") && r <= 0:
			lower++
		default:
			return false
		}
	}
	return lower > 0
}

// sameTemperature: the one is the other's source, or they have one name in one chassis, with or without "temp" at its end
// (HPE Cray EX: Sensor "PDB SIVOC48" and Thermal "PDB SIVOC48 Temperature").
func sameTemperature(a, b *part) bool {
	if b.source != "" && b.source == a.url() || a.source != "" && a.source == b.url() {
		return true
	}
	if a.scope() != b.scope() {
		return false
	}
	for _, x := range a.names {
		for _, y := range b.names {
			if tempName(x) == tempName(y) {
				return true
			}
		}
	}
	return false
}

func tempName(s string) string {
	n := plain(s)
	for _, end := range []string{"temperature", "temp"} {
		if c, ok := strings.CutSuffix(n, end); ok && c != "" {
			return c
		}
	}
	return n
}

// humidities: Sensors of relative or absolute humidity. No capture has one; the walker's own trees do.
func humidities(t *tree) []*part {
	var l []*part
	t.each(func(url, kind string, d doc) {
		if kind != "Sensor" {
			return
		}
		switch str(d, "ReadingType") {
		case "Humidity":
			p := newPart(health.ClassHumidity, url, d)
			p.says2(health.RelativeHumidity, d, "Reading", true)
			l = append(l, p)
		case "AbsoluteHumidity":
			p := newPart(health.ClassHumidity, url, d)
			p.says2(health.AbsoluteHumidity, d, "Reading", true)
			l = append(l, p)
		}
	})
	return l
}

package redfish

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"dewline/health"
)

// legacySensor is an element of Thermal.Temperatures, Thermal.Fans or Power.Voltages.
type legacySensor struct {
	ID                        text `json:"@odata.id"`
	Name, FanName, MemberID   text
	PhysicalContext           text
	Status                    status
	ReadingCelsius            number
	Reading                   number
	CurrentReading            number // fans and temperatures of Redfish 1.0 OEM (iLO 4)
	ReadingUnits, Units       text
	ReadingVolts              number
	SensorNumber              text
	RelatedItem               many[link]
	DataSourceURI             link `json:"DataSourceUri"`
	Manufacturer, Model       text
	SerialNumber, PartNumber  text
	Location                  location
	UpperThresholdNonCritical number
	UpperThresholdCritical    number
	UpperThresholdFatal       number
	LowerThresholdNonCritical number
	LowerThresholdCritical    number
	LowerThresholdFatal       number
	Oem                       object[struct {
		Hpe, Hp object[struct{ Location, BayNumber text }]
	}]
}

func (l *legacySensor) thresholds() *health.Thresholds {
	return thresholds(l.LowerThresholdFatal, l.LowerThresholdCritical, l.LowerThresholdNonCritical,
		l.UpperThresholdNonCritical, l.UpperThresholdCritical, l.UpperThresholdFatal)
}

// thresholds is nil if none is set.
func thresholds(lf, lc, ln, un, uc, uf number) *health.Thresholds {
	t := &health.Thresholds{
		LowerFatal: lf.ptr(), LowerCritical: lc.ptr(), LowerCaution: ln.ptr(),
		UpperCaution: un.ptr(), UpperCritical: uc.ptr(), UpperFatal: uf.ptr(),
	}
	if *t == (health.Thresholds{}) {
		return nil
	}
	return t
}

type location struct{ label string }

func (l *location) UnmarshalJSON(b []byte) error {
	*l = location{}
	var list many[struct {
		PartLocation object[struct{ ServiceLabel text }]
		Info         text
	}]
	_ = list.UnmarshalJSON(b)
	for _, x := range list {
		if l.label = string(cmp.Or(x.PartLocation.V.ServiceLabel, x.Info)); l.label != "" {
			return nil
		}
	}
	return nil
}

type redundancyDoc struct {
	ID                   text `json:"@odata.id"`
	Name, MemberID, Mode text
	RedundancyType       text
	Status               status
	RedundancySet        many[link]
	RedundancyGroup      many[link]
	MinNumNeeded         number
	RedundancyEnabled    flag
}

type thermalDoc struct {
	Fans, Temperatures *many[legacySensor]
	Redundancy         *many[redundancyDoc]
	Oem                object[struct {
		Hpe object[struct {
			LiquidCoolingLeakageDetected flag
		}]
	}]
}

// readThermal reads the legacy Thermal (deprecated since Chassis v1.15, and still the cheapest: one request).
func (v *visit) readThermal(c *chassis) {
	var d thermalDoc
	if e := v.into(c.Thermal, &d); e != nil {
		v.gapDoc(c.Thermal, e, "Fans", "Temperatures", "Redundancy")
		return
	}
	if d.Fans != nil {
		v.legacyArray(c, c.Thermal+"#Fans", *d.Fans, health.ClassFan, func(p *part, s *legacySensor) {
			n, unit := s.Reading, string(cmp.Or(s.ReadingUnits, s.Units))
			if !n.OK {
				n = s.CurrentReading
			}
			// Where the unit is not told: no fan turns at less than 100 rpm.
			if strings.EqualFold(unit, "percent") || unit == "%" || unit == "" && n.V > 0 && n.V <= 100 {
				p.set(health.Duty, health.Percent, n, s.thresholds())
			} else {
				p.set(health.Speed, health.RPM, n, s.thresholds())
			}
		})
	}
	if d.Temperatures != nil {
		v.legacyArray(c, c.Thermal+"#Temperatures", *d.Temperatures, health.ClassTemperature, func(p *part, s *legacySensor) {
			n := s.ReadingCelsius
			if !n.OK && s.CurrentReading.OK {
				n = s.CurrentReading
			}
			if bogusZero(n, s.Status) {
				return
			}
			q, unit := health.Temperature, health.Celsius
			if marginName.MatchString(string(s.Name)) {
				q, unit = health.TemperatureMargin, health.Kelvin
			}
			p.set(q, unit, n, s.thresholds())
		})
	}
	if d.Redundancy != nil {
		v.redundancy(c.URI, c.Thermal+"#Redundancy", *d.Redundancy, health.ClassSensor, "Fan Redundancy", health.TierReadings)
	}
	if f := d.Oem.V.Hpe.V.LiquidCoolingLeakageDetected; f.OK {
		v.hpeLeak(c, f.V)
	}
}

// bogusZero: 0 °C of a sensor that is not running is no temperature (iLO lists empty sockets so).
func bogusZero(n number, s status) bool { return n.OK && n.V == 0 && !running(s) }

// legacyArray adds the elements of an array of Thermal or Power.
func (v *visit) legacyArray(c *chassis, place string, list []legacySensor, class health.Class, read func(*part, *legacySensor)) {
	// Cray EX lists elements that say nothing but their own link.
	list = slices.DeleteFunc(list, func(s legacySensor) bool {
		return s.Name == "" && s.FanName == "" && s.MemberID == "" && s.Status.State == "" && s.Status.Health == "" &&
			!s.Reading.OK && !s.CurrentReading.OK && !s.ReadingCelsius.OK && !s.ReadingVolts.OK
	})
	names := make([]string, len(list))
	alts := make([]string, len(list))
	for i := range list {
		s := &list[i]
		names[i] = string(cmp.Or(s.Name, s.FanName))
		if class == health.ClassFan {
			names[i] = string(cmp.Or(s.FanName, s.Name))
		}
		alts[i] = cmp.Or(string(s.MemberID), strconv.Itoa(i))
	}
	bases := v.distinct(place, names, alts)
	for i := range list {
		s := &list[i]
		p := &part{home: c.URI, legacy: true}
		p.Class, p.Name, p.Place, p.Tier = class, cmp.Or(names[i], bases[i]), place, health.TierReadings
		p.ID = v.union.identity(class, c.URI, bases[i])
		p.Context = snake(string(s.PhysicalContext))
		p.Location = cmp.Or(s.Location.label, string(s.Oem.V.Hpe.V.Location))
		p.Manufacturer, p.Model = string(s.Manufacturer), string(s.Model)
		p.Serial, p.PartNumber = serialNumber(string(s.SerialNumber)), string(s.PartNumber)
		p.names = norms(names[i], string(s.FanName), s.Location.label)
		p.related = v.measured(s.RelatedItem)
		p.judge(s.Status, false)
		read(p, s)
		q := v.union.add(p, place+"/"+bases[i])
		if ds := resolve(v.c.base, s.DataSourceURI); ds != "" {
			v.union.byURI[ds] = q
		}
	}
	v.listed(place, len(list))
}

// measured is the one part a sensor is about: chassis, systems and the like are no parts.
func (v *visit) measured(items []link) string {
	found := ""
	for _, l := range items {
		u := resolve(v.c.base, l)
		for _, kind := range []string{"/Processors/", "/Memory/", "/Drives/", "/PCIeDevices/", "/NetworkAdapters/"} {
			if strings.Contains(u, kind) {
				if found != "" && found != u {
					return ""
				}
				found = u
			}
		}
	}
	return found
}

// distinct gives each element of an array a base for its ID: its name, and where names are no identity the member id as
// well (every supply of an iLO is called HpeServerPowerSupply). Which names are none is kept: a twin that goes must not
// rename the one that stays.
//
// Supplies and fans come in sets: a name of theirs without a number is the whole set's, also while only one of it is
// there.
func (v *visit) distinct(place string, names, alts []string) []string {
	count := map[string]int{}
	set := strings.HasSuffix(place, "#PowerSupplies") || strings.HasSuffix(place, "#Fans")
	for _, n := range names {
		count[n]++
		if set && !strings.ContainsAny(n, "0123456789") {
			count[n]++
		}
	}
	for n, k := range count {
		if (k > 1 || n == "") && !slices.Contains(v.mem.Twins[place], n) && len(v.mem.Twins[place]) < 256 {
			v.mem.Twins[place] = append(v.mem.Twins[place], n)
			slices.Sort(v.mem.Twins[place])
		}
	}
	bases := make([]string, len(names))
	seen, again := map[string]bool{}, map[string]int{}
	for i, n := range names {
		b := n
		if slices.Contains(v.mem.Twins[place], n) {
			b = strings.Trim(n+"#"+alts[i], "#")
			if n == "" {
				b = alts[i]
			}
		}
		for twin := n + "#" + alts[i]; seen[b]; { // Dell: the same MemberId twice
			again[twin]++
			b = twin + "." + strconv.Itoa(again[twin]+1)
		}
		seen[b] = true
		bases[i] = b
	}
	return bases
}

// listed notes an array or collection as read whole, and that it lists parts.
func (v *visit) listed(place string, n int) {
	v.inScope(place)
	doc, sub, ok := strings.Cut(place, "#")
	if ok && n > 0 && !slices.Contains(v.mem.Parts[doc], sub) {
		v.mem.Parts[doc] = append(v.mem.Parts[doc], sub)
		slices.Sort(v.mem.Parts[doc])
	}
}

// gapDoc notes that the arrays of a document were not read: those that ever listed a part, all if none is known.
func (v *visit) gapDoc(doc string, e *health.Error, arrays ...string) {
	known := v.mem.Parts[doc]
	if len(known) == 0 && e.Reason == health.ReasonNotFound {
		v.gap(doc, e, doc, "") // linked, and never there
		return
	}
	if len(known) > 0 {
		arrays = known
	}
	for _, a := range arrays {
		v.gap(doc, e, doc+"#"+a, "")
	}
	v.goneLink(e)
}

// goneLink: a link that was learned and is there no more means that the machine changed.
func (v *visit) goneLink(e *health.Error) {
	if e.Reason == health.ReasonNotFound && v.mem.Learned && !v.learning && !errors.Is(e, errMissing) {
		v.mem.Stale = true
	}
}

// snake is a PhysicalContext in our spelling: "ColdPlate" -> "cold_plate".
func snake(s string) string {
	var b strings.Builder
	low := true
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z':
			if !low {
				b.WriteByte('_')
			}
			b.WriteRune(r + 'a' - 'A')
			low = true
			continue
		case r == ' ' || r == '-' || r == '_' || r == '/':
			if b.Len() > 0 && !low {
				b.WriteByte('_')
			}
			low = true
			continue
		default:
			b.WriteRune(r)
		}
		low = false
	}
	return cut(strings.Trim(b.String(), "_"), 64)
}

// redundancy adds redundancy groups. Supplies make a power unit; fans have no class of their own.
func (v *visit) redundancy(home, place string, list []redundancyDoc, class health.Class, generic string, tier health.Tier) {
	names := make([]string, len(list))
	alts := make([]string, len(list))
	for i, r := range list {
		names[i] = string(cmp.Or(r.Name, text(generic)))
		alts[i] = cmp.Or(string(r.MemberID), strconv.Itoa(i))
	}
	bases := v.distinct(place, names, alts)
	for i, r := range list {
		p := &part{home: home, legacy: true}
		p.Class, p.Name, p.Place, p.Tier = class, names[i], place, tier
		p.ID = v.union.identity(class, home, bases[i])
		p.names = norms(generic)
		p.judge(r.Status, false)
		mode := string(cmp.Or(r.Mode, r.RedundancyType))
		p.Status = strings.TrimPrefix(p.Status+"; "+mode, "; ")
		evidence := names[i] + " Status.Health=" + r.Status.Health
		switch p.State {
		case health.Warning:
			p.condition(health.KindRedundancyDegraded, health.SeverityWarning, evidence)
		case health.Critical:
			p.condition(health.KindRedundancyLost, health.SeverityCritical, evidence)
		}
		if p.State != health.Unknown {
			fine(p, health.KindRedundancyDegraded, true, evidence)
			fine(p, health.KindRedundancyLost, true, evidence)
		}
		v.union.add(p, place+"/"+bases[i])
	}
	v.listed(place, len(list))
}

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
	CurrentReading            number // Fans of Redfish 1.0 OEM (iLO 4)
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
			if strings.EqualFold(unit, "percent") || unit == "%" {
				p.set(health.Duty, health.Percent, n, s.thresholds())
			} else {
				p.set(health.Speed, health.RPM, n, s.thresholds())
			}
		})
	}
	if d.Temperatures != nil {
		v.legacyArray(c, c.Thermal+"#Temperatures", *d.Temperatures, health.ClassTemperature, func(p *part, s *legacySensor) {
			if bogusZero(s.ReadingCelsius, s.Status) {
				return
			}
			q, unit := health.Temperature, health.Celsius
			if marginName.MatchString(string(s.Name)) {
				q, unit = health.TemperatureMargin, health.Kelvin
			}
			p.set(q, unit, s.ReadingCelsius, s.thresholds())
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
	v.listed(c.URI, place, len(list))
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
func (v *visit) distinct(place string, names, alts []string) []string {
	count := map[string]int{}
	for _, n := range names {
		count[n]++
	}
	for n, k := range count {
		if (k > 1 || n == "") && !slices.Contains(v.mem.Twins[place], n) && len(v.mem.Twins[place]) < 256 {
			v.mem.Twins[place] = append(v.mem.Twins[place], n)
			slices.Sort(v.mem.Twins[place])
		}
	}
	bases := make([]string, len(names))
	seen := map[string]bool{}
	for i, n := range names {
		b := n
		if slices.Contains(v.mem.Twins[place], n) {
			b = strings.Trim(n+"#"+alts[i], "#")
			if n == "" {
				b = alts[i]
			}
		}
		for k := 2; seen[b]; k++ { // Dell: the same MemberId twice
			b = n + "#" + alts[i] + "." + strconv.Itoa(k)
		}
		seen[b] = true
		bases[i] = b
	}
	return bases
}

// listed notes an array or collection as read whole, and that it lists parts.
func (v *visit) listed(home, place string, n int) {
	v.inScope(place)
	doc, sub, ok := strings.Cut(place, "#")
	if ok && n > 0 && !slices.Contains(v.mem.Parts[doc], sub) {
		v.mem.Parts[doc] = append(v.mem.Parts[doc], sub)
		slices.Sort(v.mem.Parts[doc])
	}
	_ = home
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
	v.listed(home, place, len(list))
}

// excerpt is a SensorExcerpt, or the one sensor's number alone.
type excerpt struct {
	Reading, SpeedRPM number
	Source            link
	Device            string
	set               bool
}

func (x *excerpt) UnmarshalJSON(b []byte) error {
	*x = excerpt{}
	var o struct {
		Reading, SpeedRPM number
		DataSourceURI     link `json:"DataSourceUri"`
		ID                link `json:"@odata.id"`
		DeviceName        text
	}
	if len(b) > 0 && b[0] == '{' {
		if decode(b, &o) != nil {
			return nil
		}
		*x = excerpt{Reading: o.Reading, SpeedRPM: o.SpeedRPM, Source: cmp.Or(o.DataSourceURI, o.ID), Device: string(o.DeviceName), set: true}
		return nil
	}
	_ = x.Reading.UnmarshalJSON(b)
	x.set = x.Reading.OK
	return nil
}

type coolingDoc struct {
	Fans          link
	Pumps         link
	LeakDetection many[link]
	FanRedundancy *many[redundancyDoc]
	Oem           object[struct {
		Hpe object[struct{ LiquidCoolingLeakageDetected flag }]
	}]
}

type fanDoc struct {
	ID                                            text `json:"Id"`
	Name, PhysicalContext                         text
	Status                                        status
	SpeedPercent                                  excerpt
	PumpSpeedPercent                              excerpt
	PowerWatts                                    excerpt
	Location                                      location
	Manufacturer, Model, SerialNumber, PartNumber text
	FirmwareVersion                               text
	Thresholds                                    object[sensorThresholds]
}

// readCooling reads ThermalSubsystem. In a readings visit only what Thermal does not state.
func (v *visit) readCooling(c *chassis, full bool) {
	if !full {
		v.readFans(c, c.Fans, "", health.ClassFan)
		return
	}
	var d coolingDoc
	if e := v.into(c.Cooling, &d); e != nil {
		v.gap(c.Cooling, e, c.Cooling, "")
		v.goneLink(e)
		return
	}
	if d.FanRedundancy != nil && c.Thermal == "" {
		v.redundancy(c.URI, c.Cooling+"#FanRedundancy", *d.FanRedundancy, health.ClassSensor, "Fan Redundancy", health.TierHealth)
	}
	if f := d.Oem.V.Hpe.V.LiquidCoolingLeakageDetected; f.OK {
		v.hpeLeak(c, f.V)
	}
	if place := v.link(d.Fans); place != "" {
		uris, ok := v.collection(place, "fans")
		before := len(c.Fans)
		extra := v.readFans(c, uris, place, health.ClassFan)
		if ok && extra.whole {
			v.inScope(place)
			c.Fans = extra.own
		} else if before == 0 {
			c.Fans = extra.own
		}
	}
	if place := v.link(d.Pumps); place != "" {
		uris, ok := v.collection(place, "pumps")
		if r := v.readFans(c, uris, place, health.ClassPump); ok && r.whole {
			v.inScope(place)
		}
	}
	for _, l := range d.LeakDetection {
		if u := v.link(l); u != "" {
			v.readLeakDetection(c.URI, u, &c.Leak)
		}
	}
}

// memberResult says what reading a collection's members brought.
type memberResult struct {
	whole bool     // every member was read
	own   []string // members that are parts of their own, not stated by another tree
}

// readFans reads Fan or Pump resources. place is their collection, "" to take it from each URI.
func (v *visit) readFans(c *chassis, uris []string, place string, class health.Class) memberResult {
	r := memberResult{whole: true}
	v.direct(uris)
	type item struct {
		p      *part
		uri    string
		source string
		place  string
	}
	var items []item
	for _, u := range uris {
		var d fanDoc
		at := cmp.Or(place, parent(u))
		if e := v.into(u, &d); e != nil {
			r.whole = false
			v.gapMember(u, e, at, v.union.identity(class, c.URI, segment(u)))
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.Place, p.Tier = class, at, health.TierReadings
		p.ID = v.union.identity(class, c.URI, segment(u))
		p.Name = string(cmp.Or(d.Name, text(segment(u))))
		p.Location, p.Context = d.Location.label, snake(string(d.PhysicalContext))
		p.Manufacturer, p.Model, p.Firmware = string(d.Manufacturer), string(d.Model), string(d.FirmwareVersion)
		p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
		p.names = norms(p.Name, p.Location, segment(u))
		p.judge(d.Status, false)
		x := d.SpeedPercent
		if !x.set {
			x = d.PumpSpeedPercent
		}
		setSpeed(p, x)
		p.set(health.Power, health.Watt, d.PowerWatts.Reading, nil)
		items = append(items, item{p, u, v.link(x.Source), at})
	}
	var legacy, loose []*part
	for _, p := range v.union.list {
		if p.Class == class && p.home == c.URI && p.legacy {
			legacy = append(legacy, p)
		}
	}
	matched := false
	for _, it := range items {
		if v.union.match(it.p, it.uri, it.place, it.source) != nil {
			matched = true
		}
		loose = append(loose, it.p)
	}
	var pairs map[*part]*part
	if !matched {
		pairs = pairOrdinals(legacy, loose)
	}
	for _, it := range items {
		if l := pairs[it.p]; l != nil {
			v.mem.Same[it.uri] = alias{ID: l.ID, Place: l.Place, Name: l.Name}
		}
		p, isNew := v.union.merge(it.p, it.uri, it.place, it.source)
		if it.source != "" {
			v.union.byURI[it.source] = p
		}
		if _, same := v.mem.Same[it.uri]; isNew && !same {
			r.own = append(r.own, it.uri)
		}
	}
	return r
}

// setSpeed takes a FanSpeedPercent excerpt. Lenovo XCC writes the speed in rpm into the percentage as well.
func setSpeed(p *part, x excerpt) {
	p.set(health.Speed, health.RPM, x.SpeedRPM, nil)
	if !x.Reading.OK {
		return
	}
	switch {
	case x.SpeedRPM.OK && (x.Reading.V == x.SpeedRPM.V && x.Reading.V != 0 || x.Reading.V > 200):
	case x.Reading.V > 200:
		p.set(health.Speed, health.RPM, x.Reading, nil)
	default:
		p.set(health.Duty, health.Percent, x.Reading, nil)
	}
}

// parent is the collection a member stands in.
func parent(uri string) string {
	uri, _, _ = strings.Cut(uri, "?")
	if i := strings.LastIndexByte(uri, '/'); i > 0 {
		return uri[:i]
	}
	return uri
}

// gapMember notes a member that was listed and not read. Its ID is what it would have been, or what it was learned as.
func (v *visit) gapMember(uri string, e *health.Error, place string, id health.ComponentID) {
	if a, ok := v.mem.Same[uri]; ok {
		// Another resource states it too; only if that was not read either is there a gap.
		if v.union.byID[a.ID] != nil {
			return
		}
		id = a.ID
	}
	v.gap(uri, e, "", id)
	v.goneLink(e)
	_ = place
}

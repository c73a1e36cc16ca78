package redfish

import (
	"cmp"
	"strings"

	"dewline/health"
)

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
	Fans          collectionLink
	Pumps         collectionLink
	LeakDetection many[link]
	Temps         link `json:"ThermalMetrics"`
	FanRedundancy *many[redundancyDoc]
	Oem           object[struct {
		Hpe object[struct{ LiquidCoolingLeakageDetected flag }]
	}]
}

// links are what a brief visit needs, nil if the document says more than them.
func (d *coolingDoc) links(c *chassis) any {
	if d.FanRedundancy != nil && c.Thermal == "" || d.Oem.V.Hpe.V.LiquidCoolingLeakageDetected.OK {
		return nil
	}
	return struct{ Fans, Pumps, LeakDetection, ThermalMetrics any }{d.Fans, d.Pumps, d.LeakDetection, d.Temps}
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
	if e := v.contain(c.Cooling, &d, func() any { return d.links(c) }); e != nil {
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
	v.temps[c.URI] = v.link(d.Temps)
	if place := v.collectionAt(c.Cooling, "Fans", d.Fans); place != "" {
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
	if place := v.collectionAt(c.Cooling, "Pumps", d.Pumps); place != "" {
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
		at := cmp.Or(place, v.placeOf(u))
		if e := v.into(u, &d); e != nil {
			r.whole = false
			v.gapMember(u, e, v.union.identity(class, c.URI, segment(u)))
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.Place, p.Tier = class, at, health.TierReadings
		p.ID = v.union.identity(class, c.URI, segment(u))
		v.rotors[rotor(class, c.URI, segment(u))] = u
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

// rotor is the key under which a fan and its tachometer find each other: iDRAC gives both the same Id and links neither to
// the other.
func rotor(class health.Class, home, id string) string {
	return string(class) + "\x00" + home + "\x00" + strings.ToLower(id)
}

// turns finds the Fan or Pump resource whose speed a tachometer tells, "" for none: the one it names, if no other
// tachometer of the collection names it (a fan may have several rotors), or the one with its Id.
func (v *visit) turns(class health.Class, home, uri string, d *sensorDoc, named map[string]int) string {
	if class != health.ClassFan && class != health.ClassPump {
		return ""
	}
	if u := v.namedFan(d); u != "" && named[u] == 1 {
		if p := v.union.byURI[u]; p != nil && p.Class == class {
			return u
		}
	}
	return v.rotors[rotor(class, home, segment(uri))]
}

// namedFan is the one Fan or Pump resource that a sensor names as what it measures.
func (v *visit) namedFan(d *sensorDoc) string {
	found := ""
	for _, l := range d.RelatedItem {
		u := resolve(v.c.base, l)
		if in := segment(parent(u)); in != "Fans" && in != "Pumps" || strings.Contains(string(l), "#") {
			continue
		}
		if found != "" && found != u {
			return ""
		}
		found = u
	}
	return found
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
func (v *visit) gapMember(uri string, e *health.Error, id health.ComponentID) {
	if a, ok := v.mem.Same[uri]; ok {
		// Another resource states it too; only if that was not read either is there a gap.
		if v.union.byID[a.ID] != nil {
			return
		}
		id = a.ID
	}
	v.gap(uri, e, "", id)
	v.goneLink(e)
}

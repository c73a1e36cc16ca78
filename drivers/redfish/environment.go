package redfish

import (
	"cmp"
	"slices"

	"dewline/health"
)

type envDoc struct {
	TemperatureCelsius, AmbientTemperatureCelsius excerpt
	HumidityPercent, AbsoluteHumidity             excerpt
	DewPointCelsius                               excerpt
	PowerWatts                                    excerpt
	EnergykWh                                     excerpt
	PowerLimitWatts                               object[struct {
		SetPoint    number
		ControlMode text
	}]
	// PDU metrics have the last two names above as well.
}

// readEnv reads EnvironmentMetrics (or a PDU's Metrics). What cites a sensor that is read is that sensor; the rest are
// parts of their own. It reports whether it brought any that a readings visit needs.
func (v *visit) readEnv(home, uri string) (own bool) {
	var d envDoc
	if e := v.contain(uri, &d, func() any { return v.quietEnv(home, &d) }); e != nil {
		v.gap(uri, e, uri, "")
		v.goneLink(e)
		return false
	}
	for _, x := range d.values() {
		n := x.n
		if !n.OK || v.statedElsewhere(home, x) {
			continue
		}
		p := &part{home: home}
		p.Class, p.Place, p.Tier = x.class, uri, health.TierReadings
		if !x.often {
			p.Tier = health.TierHealth
		}
		p.Name = segment(home) + " " + x.name
		p.ID = v.union.identity(x.class, home, "EnvironmentMetrics."+x.name)
		p.Presence = health.Present // no Status here: state unknown
		p.set(x.q, x.u, n, nil)
		v.union.add(p, uri+"#"+x.name)
		own = own || x.often
	}
	v.inScope(uri)
	return own
}

// envValue is one number of EnvironmentMetrics.
type envValue struct {
	n     number
	src   link
	class health.Class
	q     health.Quantity
	u     health.Unit
	name  string
	often bool
}

func (d *envDoc) values() []envValue {
	return []envValue{
		{relative(d.HumidityPercent.Reading), d.HumidityPercent.Source, health.ClassHumidity, health.RelativeHumidity, health.Percent, "Humidity", true},
		{d.AbsoluteHumidity.Reading, d.AbsoluteHumidity.Source, health.ClassHumidity, health.AbsoluteHumidity, health.GramPerM3, "AbsoluteHumidity", true},
		{d.DewPointCelsius.Reading, d.DewPointCelsius.Source, health.ClassHumidity, health.DewPoint, health.Celsius, "DewPoint", true},
		{d.AmbientTemperatureCelsius.Reading, d.AmbientTemperatureCelsius.Source, health.ClassTemperature, health.Temperature, health.Celsius, "AmbientTemperature", true},
		{d.TemperatureCelsius.Reading, d.TemperatureCelsius.Source, health.ClassTemperature, health.Temperature, health.Celsius, "Temperature", true},
		{d.PowerWatts.Reading, d.PowerWatts.Source, health.ClassPower, health.Power, health.Watt, "Power", true},
		{d.EnergykWh.Reading, d.EnergykWh.Source, health.ClassSensor, health.Energy, health.KilowattHour, "Energy", false},
		{d.limit(), "", health.ClassPower, health.PowerLimit, health.Watt, "PowerLimit", false},
	}
}

// limit is the cap that is in force.
func (d *envDoc) limit() number {
	l := d.PowerLimitWatts.V
	if l.ControlMode == "Disabled" || l.SetPoint.V <= 0 {
		return number{}
	}
	return l.SetPoint
}

// statedElsewhere reports whether a sensor that is read has the value, or Power.PowerControl without a link between them.
func (v *visit) statedElsewhere(home string, x envValue) bool {
	src := v.link(x.src)
	if src == "" {
		return v.statedAlready(home, x.class)
	}
	_, cited := v.union.cited[src]
	return cited || v.union.byURI[src] != nil || v.mem.Sensors[src].ID != ""
}

// quietEnv: metrics without a number of their own are asked for by the inventory only.
func (v *visit) quietEnv(home string, d *envDoc) any {
	for _, x := range d.values() {
		if x.n.OK && !v.statedElsewhere(home, x) {
			return nil
		}
	}
	return struct{}{}
}

// statedAlready reports whether the home has a part of the class from another resource. Temperatures are many: one more
// is no repetition.
func (v *visit) statedAlready(home string, class health.Class) bool {
	return class == health.ClassPower && slices.ContainsFunc(v.union.list, func(p *part) bool {
		return p.Class == class && p.home == home && p.has(health.Power)
	})
}

// equipment lists the collections outside Chassis that hold sensors or detectors.
var equipment = []struct {
	kind  string
	field func(*equipmentDoc) link
}{
	{"cdu", func(d *equipmentDoc) link { return d.CDUs }},
	{"heat_exchanger", func(d *equipmentDoc) link { return d.HeatExchangers }},
	{"immersion_unit", func(d *equipmentDoc) link { return d.ImmersionUnits }},
	{"rpu", func(d *equipmentDoc) link { return d.RPUs }},
	{"pdu", func(d *equipmentDoc) link { return d.RackPDUs }},
	{"floor_pdu", func(d *equipmentDoc) link { return d.FloorPDUs }},
	{"power_shelf", func(d *equipmentDoc) link { return d.PowerShelves }},
	{"switchgear", func(d *equipmentDoc) link { return d.Switchgear }},
	{"transfer_switch", func(d *equipmentDoc) link { return d.TransferSwitches }},
}

type equipmentDoc struct {
	CDUs, HeatExchangers, ImmersionUnits, RPUs                      link
	RackPDUs, FloorPDUs, PowerShelves, Switchgear, TransferSwitches link
}

// discoverUnits finds cooling units, PDUs and facilities.
func (v *visit) discoverUnits(r rootDoc) {
	type entry struct{ uri, kind string }
	var found []entry
	for _, l := range []link{r.ThermalEquipment, r.PowerEquipment} {
		u := v.link(l)
		if u == "" {
			continue
		}
		var d equipmentDoc
		if e := v.into(u, &d); e != nil {
			if e.Reason != health.ReasonNotFound {
				v.gap(u, e, u, "")
			}
			continue
		}
		for _, q := range equipment {
			if c := v.link(q.field(&d)); c != "" {
				for _, m := range v.unitsOf(c) {
					found = append(found, entry{m, q.kind})
				}
			}
		}
	}
	if c := v.link(r.Facilities); c != "" {
		for _, m := range v.unitsOf(c) {
			found = append(found, entry{m, "facility"})
		}
	}
	uris := make([]string, len(found))
	for i, f := range found {
		uris[i] = f.uri
	}
	v.prefetch(uris)
	var l []unit
	for _, f := range found {
		var d resourceDoc
		if e := v.into(f.uri, &d); e != nil {
			v.gap(f.uri, e, f.uri, "")
			continue
		}
		x := unit{URI: f.uri, ID: segment(f.uri), Kind: f.kind, Logs: v.link(d.LogServices)}
		x.Sensors, x.Env = v.collectionAt(f.uri, "Sensors", d.Sensors), v.link(d.EnvironmentMetrics)
		x.Leak, x.Metrics, x.Pumps = v.link(d.LeakDetection), v.link(d.Metrics), v.collectionAt(f.uri, "Pumps", d.Pumps)
		x.Supply = v.collectionAt(f.uri, "PowerSupplies", d.PowerSupplies)
		if at := slices.IndexFunc(v.mem.Units, func(o unit) bool { return o.URI == f.uri }); at >= 0 {
			x.Leaks = v.mem.Units[at].Leaks
		}
		l = append(l, x)
	}
	v.mem.Units = l
}

func (v *visit) unitsOf(collection string) []string {
	list, e := v.members(collection, false)
	if e != nil && e.Reason != health.ReasonNotFound {
		v.gap(collection, e, collection, "")
	}
	slices.Sort(list)
	return v.allowed(list)
}

// readUnit reads the sensors and detectors of equipment outside Chassis.
func (v *visit) readUnit(u *unit, full bool) {
	if full {
		v.unitItself(u)
	}
	if u.Supply != "" {
		v.unitSupplies(u)
	}
	if u.Sensors != "" && !v.sensorsOfChassis(u) {
		v.readSensors(u.URI, u.Sensors, full)
	}
	switch {
	case u.Leak != "" && full:
		v.readLeakDetection(u.URI, u.Leak, &u.Leaks)
	case len(u.Leaks) > 0:
		v.readLearnedLeaks(u.URI, u.Leaks)
	}
	for _, m := range []string{u.Env, u.Metrics} {
		if m != "" && (full || u.Kind != "power_shelf") {
			v.readEnv(u.URI, m)
		}
	}
	if u.Pumps != "" && full {
		c := &chassis{URI: u.URI, ID: u.ID}
		uris, ok := v.collection(u.Pumps, "pumps")
		if r := v.readFans(c, uris, u.Pumps, health.ClassPump); ok && r.whole {
			v.inScope(u.Pumps)
		}
	}
}

// unitItself reads the health of a unit as a whole: what ails it may be a part of which it tells no more.
func (v *visit) unitItself(u *unit) {
	var d struct {
		Name, Manufacturer, Model, SerialNumber, PartNumber, FirmwareVersion text
		Status                                                               status
	}
	p := &part{home: u.URI}
	p.Class = health.ClassChassis
	switch u.Kind {
	case "pdu", "floor_pdu", "power_shelf", "switchgear", "transfer_switch":
		p.Class = health.ClassPowerUnit
	}
	p.ID = health.ComponentID(string(p.Class) + "/" + idText(u.ID))
	if e := v.into(u.URI, &d); e != nil {
		v.gap(u.URI, e, "", p.ID)
		v.goneLink(e)
		return
	}
	if d.Status.words() == "" {
		return // a building has none
	}
	p.Place, p.Tier = u.URI+"#Status", health.TierHealth
	p.Name = string(cmp.Or(d.Name, text(u.ID)))
	p.Manufacturer, p.Model, p.Firmware = string(d.Manufacturer), string(d.Model), string(d.FirmwareVersion)
	p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
	p.judge(d.Status, true)
	v.union.add(p, p.Place)
	v.inScope(p.Place)
}

// unitSupplies reads the supplies of a power shelf, but for those that a chassis stated already.
func (v *visit) unitSupplies(u *unit) {
	uris, ok := v.collection(u.Supply, "supplies")
	v.prefetch(uris)
	uris = slices.DeleteFunc(uris, func(uri string) bool {
		if v.union.byURI[uri] != nil {
			return true
		}
		var d supplyDoc
		if v.into(uri, &d) != nil {
			return false // readSupplies tells
		}
		serial := serialNumber(string(d.SerialNumber))
		i := slices.IndexFunc(v.union.list, func(p *part) bool {
			return p.Class == health.ClassPSU && serial != "" && p.Serial == serial && p.home != u.URI
		})
		if i >= 0 {
			v.union.byURI[uri] = v.union.list[i]
		}
		return i >= 0
	})
	c := &chassis{URI: u.URI, ID: u.ID}
	if v.readSupplies(c, uris, u.Supply).whole && ok {
		v.inScope(u.Supply)
	}
}

// sensorsOfChassis reports whether the unit's Sensors is a chassis' own, which is read there.
func (v *visit) sensorsOfChassis(u *unit) bool {
	return slices.ContainsFunc(v.mem.Chassis, func(c chassis) bool { return c.Sensors == u.Sensors })
}

// readLearnedLeaks reads detectors, and groups without detectors of their own, without their collections.
func (v *visit) readLearnedLeaks(home string, uris []string) {
	v.direct(uris)
	for _, u := range uris {
		var d struct {
			DetectorState      text
			LeakDetectorGroups many[struct{ GroupName text }]
			Detectors          many[link]
		}
		if e := v.into(u, &d); e != nil {
			v.gapMember(u, e, v.union.identity(health.ClassLeakDetector, home, segment(u)))
			continue
		}
		if d.DetectorState == "" && (len(d.LeakDetectorGroups) > 0 || len(d.Detectors) > 0) {
			var ignore []string
			v.readLeakDetection(home, u, &ignore)
			continue
		}
		if v.union.byURI[u] == nil {
			v.readDetectors(home, "", []string{u})
		}
	}
}

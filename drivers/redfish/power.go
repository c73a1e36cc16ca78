package redfish

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"dewline/health"
	"dewline/internal/quirk"
)

type powerControl struct {
	Name, MemberID, PhysicalContext text
	Status                          status
	PowerConsumedWatts              number
	PowerCapacityWatts              number
	PowerMetrics                    object[struct{ AverageConsumedWatts, MaxConsumedWatts number }]
	PowerLimit                      object[struct{ LimitInWatts number }] // null: no limit is in force
}

type legacySupply struct {
	ID                                            text `json:"@odata.id"`
	Name, MemberID                                text
	Status                                        status
	Manufacturer, Model, SerialNumber, PartNumber text
	FirmwareVersion, LineInputStatus              text
	LineInputVoltage                              number
	PowerInputWatts, PowerOutputWatts             number
	LastPowerOutputWatts, PowerCapacityWatts      number
	EfficiencyPercent                             number
	Location                                      location
	Oem                                           object[struct {
		Hpe, Hp object[struct {
			BayNumber         number
			PowerSupplyStatus object[struct{ State text }]
		}]
		Huawei, XFusion, Public object[struct{ PowerInputWatts, PowerOutputWatts number }]
	}]
}

type powerDoc struct {
	PowerControl  *many[powerControl]
	PowerSupplies *many[legacySupply]
	Voltages      *many[legacySensor]
	Redundancy    *many[redundancyDoc]
	PowerMetrics  object[struct{ AverageConsumedWatts number }] // CIMC without a PowerControl
	Consumed      number                                        `json:"PowerConsumedWatts"`
	Oem           object[struct {
		Hpe     object[struct{ HasPowerMetering flag }]
		Fujitsu object[struct {
			ChassisPowerSensors many[fujitsuSensor]
		}] `json:"ts_fujitsu"`
	}]
}

// fujitsuSensor is a sensor of an iRMC: its designation begins with the name of the supply it measures.
type fujitsuSensor struct {
	Designation             text
	CurrentPowerConsumption number `json:"CurrentPowerConsumptionW"`
}

// readPower reads the legacy Power.
func (v *visit) readPower(c *chassis) {
	var d powerDoc
	if e := v.into(c.Power, &d); e != nil {
		v.gapDoc(c.Power, e, "PowerSupplies", "PowerControl", "Voltages", "Redundancy")
		return
	}
	if d.PowerSupplies != nil {
		v.legacySupplies(c, *d.PowerSupplies, d.Oem.V.Fujitsu.V.ChassisPowerSensors)
	}
	if d.PowerControl == nil && (d.Consumed.OK || d.PowerMetrics.V.AverageConsumedWatts.OK) {
		n := d.Consumed
		if !n.OK {
			n = d.PowerMetrics.V.AverageConsumedWatts
		}
		d.PowerControl = &many[powerControl]{{Name: "Power Control", PowerConsumedWatts: n}}
	}
	if d.PowerControl != nil {
		place := c.Power + "#PowerControl"
		names, alts := make([]string, len(*d.PowerControl)), make([]string, len(*d.PowerControl))
		for i, x := range *d.PowerControl {
			names[i], alts[i] = string(cmp.Or(x.Name, "Power Control")), cmp.Or(string(x.MemberID), strconv.Itoa(i))
		}
		bases := v.distinct(place, names, alts)
		metered := !d.Oem.V.Hpe.V.HasPowerMetering.OK || d.Oem.V.Hpe.V.HasPowerMetering.V
		for i, x := range *d.PowerControl {
			p := &part{home: c.URI, legacy: true}
			p.Class, p.Name, p.Place, p.Tier = health.ClassPower, names[i], place, health.TierReadings
			p.ID = v.union.identity(health.ClassPower, c.URI, bases[i])
			p.Context = snake(string(x.PhysicalContext))
			p.names = norms(names[i])
			p.judge(x.Status, true)
			// A box without a power meter says 0 W (fishymetrics #85): that is no measurement.
			if metered && x.PowerConsumedWatts.V != 0 {
				p.set(health.Power, health.Watt, x.PowerConsumedWatts, nil)
			}
			if x.PowerCapacityWatts.V > 0 {
				p.set(health.PowerCapacity, health.Watt, x.PowerCapacityWatts, nil)
			}
			if l := x.PowerLimit.V.LimitInWatts; l.V > 0 {
				p.set(health.PowerLimit, health.Watt, l, nil)
			}
			v.union.add(p, place+"/"+bases[i])
		}
		v.listed(place, len(*d.PowerControl))
	}
	if d.Voltages != nil {
		v.legacyArray(c, c.Power+"#Voltages", *d.Voltages, health.ClassVoltage, func(p *part, s *legacySensor) {
			p.set(health.Voltage, health.Volt, s.ReadingVolts, s.thresholds())
		})
	}
	if d.Redundancy != nil {
		v.redundancy(c.URI, c.Power+"#Redundancy", *d.Redundancy, health.ClassPowerUnit, "Power Supply Redundancy", health.TierReadings)
	}
}

func (v *visit) legacySupplies(c *chassis, list []legacySupply, fujitsu []fujitsuSensor) {
	place := c.Power + "#PowerSupplies"
	names, alts := make([]string, len(list)), make([]string, len(list))
	for i, s := range list {
		names[i], alts[i] = string(s.Name), cmp.Or(string(s.MemberID), strconv.Itoa(i))
		bay := s.Oem.V.Hpe.V.BayNumber
		if !bay.OK {
			bay = s.Oem.V.Hp.V.BayNumber
		}
		if bay.OK { // every supply of an iLO has the same name
			names[i] = "Power Supply " + strconv.FormatFloat(bay.V, 'f', -1, 64)
		}
	}
	bases := v.distinct(place, names, alts)
	for i, s := range list {
		p := &part{home: c.URI, legacy: true}
		p.Class, p.Name, p.Place, p.Tier = health.ClassPSU, cmp.Or(names[i], bases[i]), place, health.TierReadings
		p.ID = v.union.identity(health.ClassPSU, c.URI, bases[i])
		p.Location = s.Location.label
		p.Manufacturer, p.Model = string(s.Manufacturer), string(s.Model)
		p.Serial, p.PartNumber, p.Firmware = serialNumber(string(s.SerialNumber)), string(s.PartNumber), string(s.FirmwareVersion)
		p.names = norms(names[i], s.Location.label)
		p.judge(s.Status, false)
		v.phantom(p, s.Status)
		v.supplyConditions(p, string(s.LineInputStatus))
		// iLO words what Status does not (check_redfish's HPE rules); "Unknown" says nothing.
		if w := string(cmp.Or(s.Oem.V.Hpe.V.PowerSupplyStatus.V.State, s.Oem.V.Hp.V.PowerSupplyStatus.V.State)); w != "" && !strings.EqualFold(w, "ok") {
			p.Status = cut(p.Status+"; "+w, health.MaxText)
		}
		v.supplyValues(p, s.PowerInputWatts, s.PowerOutputWatts, s.PowerCapacityWatts, s.EfficiencyPercent, s.LineInputVoltage)
		if !s.PowerOutputWatts.OK { // LastPowerOutputWatts is the last known: of a running supply only
			if p.Presence == health.Present && running(s.Status) && s.LastPowerOutputWatts.V > 0 {
				p.set(health.OutputPower, health.Watt, s.LastPowerOutputWatts, nil)
			}
		}
		for _, o := range []object[struct{ PowerInputWatts, PowerOutputWatts number }]{s.Oem.V.Huawei, s.Oem.V.XFusion, s.Oem.V.Public} {
			p.set(health.InputPower, health.Watt, o.V.PowerInputWatts, nil)
			p.set(health.OutputPower, health.Watt, o.V.PowerOutputWatts, nil)
		}
		for _, x := range fujitsu {
			if s.Name != "" && named(string(x.Designation), string(s.Name)) {
				p.set(health.InputPower, health.Watt, x.CurrentPowerConsumption, nil)
			}
		}
		if at := place + "/" + bases[i]; !v.sharedSupply(p, at, place) {
			v.union.add(p, at)
		}
	}
	v.listed(place, len(list))
}

// sharedSupply merges a supply into the one that another chassis states under the same serial number: the nodes of an enclosure
// all list the supplies they share. It reports false where there is none; if there was one, the supply keeps that name.
func (v *visit) sharedSupply(p *part, uri, from string) bool {
	if p.Serial == "" {
		return false
	}
	alike := func(a, b string) bool { return a == "" || b == "" || a == b }
	for _, q := range v.union.list {
		if q.Class == p.Class && q.home != p.home && q.Serial == p.Serial && alike(q.Model, p.Model) && alike(q.PartNumber, p.PartNumber) && !q.claimed[from] {
			if q.claimed == nil {
				q.claimed = map[string]bool{}
			}
			q.claimed[from] = true
			q.also(p)
			v.union.byURI[uri] = q
			v.mem.Same[uri] = alias{q.ID, q.Place, q.Name}
			return true
		}
	}
	if a, ok := v.mem.Same[uri]; ok && a.fits(p) && v.union.byID[a.ID] == nil {
		p.ID, p.Place, p.Name = a.ID, a.Place, cmp.Or(a.Name, p.Name)
	}
	return false
}

// named reports whether a designation begins with a name, and goes on with another word: PSU1 is not PSU10.
func named(designation, name string) bool {
	rest, ok := strings.CutPrefix(designation, name)
	return ok && (rest == "" || !unicode.IsDigit(rune(rest[0])))
}

// phantom takes a supply that is an empty bay for absent.
func (v *visit) phantom(p *part, s status) {
	if p.Firmware == "0.00" && p.Serial == "" && s.Health == "" && v.c.quirk(quirk.PhantomSupply) {
		p.Presence, p.State = health.Absent, health.Unknown
	}
}

// supplyValues sets what both trees name alike. A capacity of 0 is not told.
func (v *visit) supplyValues(p *part, in, out, capacity, eff, volts number) {
	p.set(health.InputPower, health.Watt, in, nil)
	p.set(health.OutputPower, health.Watt, out, nil)
	if capacity.V > 0 {
		p.set(health.PowerCapacity, health.Watt, capacity, nil)
	}
	if eff.OK && eff.V > 0 && eff.V <= 1 { // Dell writes a fraction (jenningsloy318 #13)
		eff.V *= 100
	}
	if eff.V > 0 && eff.V <= 100 {
		p.set(health.Efficiency, health.Percent, eff, nil)
	}
	p.set(health.InputVoltage, health.Volt, volts, nil)
}

// supplyConditions maps PowerSupply.LineInputStatus.
func (v *visit) supplyConditions(p *part, line string) {
	switch strings.ToLower(line) {
	case "lossofinput":
		p.condition(health.KindInputLost, health.SeverityCritical, "LineInputStatus="+line)
	case "outofrange":
		p.condition(health.KindInputOutOfRange, health.SeverityWarning, "LineInputStatus="+line)
	}
	if line != "" {
		fine(p, health.KindInputLost, true, "LineInputStatus="+line)
		fine(p, health.KindInputOutOfRange, true, "LineInputStatus="+line)
	}
}

type supplyDoc struct {
	Name                                          text
	Status                                        status
	Manufacturer, Model, SerialNumber, PartNumber text
	FirmwareVersion, LineInputStatus              text
	PowerCapacityWatts                            number
	Location                                      location
	Metrics                                       link
}

type supplyMetrics struct {
	InputVoltage, InputCurrentAmps, InputPowerWatts, OutputPowerWatts excerpt
	EnergykWh, FrequencyHz, TemperatureCelsius, FanSpeedPercent       excerpt
	RailVoltage, RailCurrentAmps, RailPowerWatts                      many[excerpt]
}

type supplySystemDoc struct {
	PowerSupplies         collectionLink
	Batteries             collectionLink
	PowerSupplyRedundancy *many[redundancyDoc]
}

// readSupply reads PowerSubsystem. In a readings visit only the supplies that Power does not state, and their metrics.
func (v *visit) readSupply(c *chassis, full bool) {
	if !full {
		v.readSupplies(c, c.Supplies, "")
		return
	}
	var d supplySystemDoc
	keep := func() any {
		if d.PowerSupplyRedundancy != nil && c.Power == "" {
			return nil
		}
		return struct{ PowerSupplies, Batteries collectionLink }{d.PowerSupplies, d.Batteries}
	}
	if e := v.contain(c.Supply, &d, keep); e != nil {
		v.gap(c.Supply, e, c.Supply, "")
		v.goneLink(e)
		return
	}
	if d.PowerSupplyRedundancy != nil && c.Power == "" {
		v.redundancy(c.URI, c.Supply+"#PowerSupplyRedundancy", *d.PowerSupplyRedundancy, health.ClassPowerUnit, "Power Supply Redundancy", health.TierHealth)
	}
	if place := v.collectionAt(c.Supply, "PowerSupplies", d.PowerSupplies); place != "" {
		uris, ok := v.collection(place, "supplies")
		r := v.readSupplies(c, uris, place)
		if ok && r.whole {
			v.inScope(place)
			c.Supplies = r.own
		} else if len(c.Supplies) == 0 {
			c.Supplies = r.own
		}
	}
	if place := v.collectionAt(c.Supply, "Batteries", d.Batteries); place != "" {
		v.readBatteries(c, place)
	}
}

func (v *visit) readSupplies(c *chassis, uris []string, place string) memberResult {
	r := memberResult{whole: true}
	v.direct(uris)
	var metrics []string
	docs := map[string]supplyDoc{}
	for _, u := range uris {
		var d supplyDoc
		if e := v.into(u, &d); e != nil {
			r.whole = false
			v.gapMember(u, e, v.union.identity(health.ClassPSU, c.URI, segment(u)))
			continue
		}
		docs[u] = d
		if m := v.link(d.Metrics); !v.bySensors(m) {
			metrics = append(metrics, m)
		}
	}
	v.prefetch(metrics)
	type item struct {
		p   *part
		uri string
	}
	var items []item
	var legacy, loose []*part
	for _, u := range uris {
		d, ok := docs[u]
		if !ok {
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.Place, p.Tier = health.ClassPSU, cmp.Or(place, v.placeOf(u)), health.TierReadings
		p.ID = v.union.identity(health.ClassPSU, c.URI, segment(u))
		p.Name = string(cmp.Or(d.Name, text(segment(u))))
		p.Location = d.Location.label
		p.Manufacturer, p.Model, p.Firmware = string(d.Manufacturer), string(d.Model), string(d.FirmwareVersion)
		p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
		p.names = norms(p.Name, p.Location, segment(u))
		p.judge(d.Status, false)
		v.phantom(p, d.Status)
		v.supplyConditions(p, string(d.LineInputStatus))
		if d.PowerCapacityWatts.V > 0 {
			p.set(health.PowerCapacity, health.Watt, d.PowerCapacityWatts, nil)
		}
		items = append(items, item{p, u})
		loose = append(loose, p)
	}
	for _, p := range v.union.list {
		if p.Class == health.ClassPSU && p.home == c.URI && p.legacy {
			legacy = append(legacy, p)
		}
	}
	matched := false
	for _, it := range items {
		matched = matched || v.union.match(it.p, it.uri, it.p.Place) != nil
	}
	var pairs map[*part]*part
	if !matched {
		pairs = pairOrdinals(legacy, loose)
	}
	for _, it := range items {
		if l := pairs[it.p]; l != nil {
			v.mem.Same[it.uri] = alias{ID: l.ID, Place: l.Place, Name: l.Name}
		}
		if v.union.match(it.p, it.uri, it.p.Place) == nil && v.sharedSupply(it.p, it.uri, it.p.Place) {
			continue
		}
		p, isNew := v.union.merge(it.p, it.uri, it.p.Place)
		if m := v.link(docs[it.uri].Metrics); m != "" && !v.bySensors(m) {
			v.supplyMetrics(p, m)
		}
		if _, same := v.mem.Same[it.uri]; isNew && !same {
			r.own = append(r.own, it.uri)
		}
	}
	return r
}

// supplyMetrics adds PowerSupplyMetrics to its supply. The sensors it cites are the supply's own readings.
func (v *visit) supplyMetrics(p *part, uri string) {
	var d supplyMetrics
	if e := v.into(uri, &d); e != nil {
		if e.Reason != health.ReasonNotFound {
			v.gap(uri, e, "", "")
		}
		return
	}
	var places []string
	loose := false // it has values that no sensor has
	note := func(x excerpt) {
		if src := v.link(x.Source); x.Reading.OK && src == "" {
			loose = true
		} else if x.Reading.OK && !slices.Contains(places, parent(src)) {
			places = append(places, parent(src))
		}
	}
	for _, x := range []struct {
		x excerpt
		q health.Quantity
		u health.Unit
	}{
		{d.InputPowerWatts, health.InputPower, health.Watt}, {d.OutputPowerWatts, health.OutputPower, health.Watt},
		{d.InputVoltage, health.InputVoltage, health.Volt}, {d.InputCurrentAmps, health.InputCurrent, health.Ampere},
		{d.EnergykWh, health.Energy, health.KilowattHour}, {d.FrequencyHz, health.Frequency, health.Hertz},
	} {
		p.set(x.q, x.u, x.x.Reading, nil)
		v.cites(p, x.x, x.q)
		note(x.x)
	}
	if len(d.RailVoltage) == 1 {
		note(d.RailVoltage[0])
		p.set(health.OutputVoltage, health.Volt, d.RailVoltage[0].Reading, nil)
		v.cites(p, d.RailVoltage[0], health.OutputVoltage)
	}
	if len(d.RailCurrentAmps) == 1 {
		note(d.RailCurrentAmps[0])
		p.set(health.OutputCurrent, health.Ampere, d.RailCurrentAmps[0].Reading, nil)
		v.cites(p, d.RailCurrentAmps[0], health.OutputCurrent)
	}
	if v.full && !v.brief() {
		delete(v.mem.Metrics, uri)
		if !loose && len(places) > 0 {
			v.mem.Metrics[uri] = places
		}
	}
}

// bySensors reports whether the values of a metrics document are those of sensors that this visit reads anyway, each
// collection in one request.
func (v *visit) bySensors(metrics string) bool {
	places := v.mem.Metrics[metrics]
	if len(places) == 0 || v.full && !v.brief() {
		return false
	}
	return !slices.ContainsFunc(places, func(p string) bool {
		return !v.proven(p) || !slices.ContainsFunc(v.mem.Chassis, func(c chassis) bool { return c.Sensors == p })
	})
}

// cites notes that a part states the value of a sensor.
func (v *visit) cites(p *part, x excerpt, q health.Quantity) {
	if u := v.link(x.Source); u != "" && x.Reading.OK {
		v.union.cited[u] = citation{p, q}
	}
}

type batteryDoc struct {
	Name                                          text
	Status                                        status
	Manufacturer, Model, SerialNumber, PartNumber text
	FirmwareVersion                               text
	Location                                      location
	StateOfHealthPercent                          excerpt
}

func (v *visit) readBatteries(c *chassis, place string) {
	uris, ok := v.collection(place, "batteries")
	whole := ok
	v.prefetch(uris)
	for _, u := range uris {
		var d batteryDoc
		id := v.union.identity(health.ClassBattery, c.URI, segment(u))
		if e := v.into(u, &d); e != nil {
			whole = false
			v.gapMember(u, e, id)
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.Place, p.Tier, p.ID = health.ClassBattery, place, health.TierHealth, id
		p.Name, p.Location = string(cmp.Or(d.Name, text(segment(u)))), d.Location.label
		p.Manufacturer, p.Model, p.Firmware = string(d.Manufacturer), string(d.Model), string(d.FirmwareVersion)
		p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
		p.judge(d.Status, false)
		p.set(health.LifeLeft, health.Percent, d.StateOfHealthPercent.Reading, nil)
		v.cites(p, d.StateOfHealthPercent, health.LifeLeft)
		v.union.add(p, u)
	}
	if whole {
		v.inScope(place)
	}
}

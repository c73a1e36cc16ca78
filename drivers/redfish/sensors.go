package redfish

import (
	"cmp"
	"slices"
	"strings"

	"dewline/health"

	"github.com/stmcginnis/gofish/schemas"
)

type threshold struct{ n number }

func (t *threshold) UnmarshalJSON(b []byte) error {
	*t = threshold{}
	var o struct {
		Reading    number
		Activation text
	}
	if decode(b, &o) == nil && schemas.ThresholdActivation(o.Activation) != schemas.DisabledThresholdActivation {
		t.n = o.Reading
	}
	return nil
}

type sensorThresholds struct {
	LowerFatal, LowerCritical, LowerCaution, UpperCaution, UpperCritical, UpperFatal threshold
}

func (t sensorThresholds) health() *health.Thresholds {
	return thresholds(t.LowerFatal.n, t.LowerCritical.n, t.LowerCaution.n, t.UpperCaution.n, t.UpperCritical.n, t.UpperFatal.n)
}

type sensorDoc struct {
	ID              text `json:"Id"`
	Name            text
	ReadingType     text
	ReadingUnits    *text
	ReadingBasis    text
	PhysicalContext text
	PhysicalSub     text `json:"PhysicalSubContext"`
	Status          status
	Reading         number
	SpeedRPM        number
	Enabled         flag
	Location        location
	RelatedItem     many[link]
	Thresholds      object[sensorThresholds]
	Oem             object[struct {
		Supermicro object[struct{ SensorValue text }]
	}]
}

// How many sensors a readings visit reads one by one, without $expand: where there is no other tree, and beside Thermal
// and Power, which have most of it. What is over goes with the health tier. Leaks and humidity are never cut.
const (
	oftenSensors = 64
	besideLegacy = 4
)

// sensorRank orders what is read often when there are too many.
var sensorRank = map[health.Class]int{
	health.ClassLeakDetector: 0, health.ClassHumidity: 1, health.ClassFan: 2, health.ClassPump: 3, health.ClassTemperature: 4,
	health.ClassFlow: 5, health.ClassPower: 6,
}

// readSensors reads a Sensors collection: all of it, or the ones that were learned to be read often.
func (v *visit) readSensors(home, place string, full bool) {
	var uris []string
	ok := true
	if full || v.proven(place) {
		uris, ok = v.collection(place, "sensors")
	} else {
		for u, k := range v.mem.Sensors {
			if k.Often && !k.Covered && cmp.Or(k.Place, parent(u)) == place {
				uris = append(uris, u)
			}
		}
		slices.Sort(uris)
		ok = false
	}
	if full && v.mem.Learned { // those that cannot wait were read before
		v.unhurry(true)
	}
	v.direct(uris)
	v.unhurry(false)
	whole := ok
	docs := make([]sensorDoc, len(uris))
	for i, u := range uris {
		if e := v.into(u, &docs[i]); e != nil {
			if v.later(u, e) {
				uris[i] = ""
				continue
			}
			whole = false
			k := v.mem.Sensors[u]
			if k.ID == "" {
				v.gap(u, e, place, "")
			} else {
				v.gapMember(u, e, k.ID)
			}
			uris[i] = ""
		}
	}
	measures := make([]measure, len(uris))
	named := map[string]int{} // Fan -> tachometers that name it
	for i, u := range uris {
		if u == "" {
			continue
		}
		if measures[i] = measureOf(&docs[i]); measures[i].q == health.Speed {
			named[v.namedFan(&docs[i])]++
		}
	}
	for i, u := range uris {
		if u != "" {
			v.addSensor(home, place, u, &docs[i], measures[i], named)
		}
	}
	if whole {
		v.inScope(place)
	}
}

func (v *visit) addSensor(home, place, uri string, d *sensorDoc, m measure, named map[string]int) {
	key := sensorKey{Place: place}
	if old := v.mem.Sensors[uri]; old.Often {
		v.often[uri] = true
	} else if old.Covered && (!v.full || v.brief()) {
		// An expanded collection has it. What states its value may not be read in this visit, or is not read since it is here.
		if p := v.union.byID[old.ID]; p != nil && old.Q != "" {
			n, unit := m.value(d.Reading)
			p.set(old.Q, unit, n, m.thresholds(d.Thresholds.V.health()))
		}
		return
	}
	if c, ok := v.union.cited[uri]; ok {
		// A supply's metrics or a fan state this value; the sensor adds its thresholds.
		for i := range c.p.values {
			if c.p.values[i].Quantity == c.q && c.p.values[i].Thresholds == nil {
				c.p.values[i].Thresholds = m.thresholds(d.Thresholds.V.health())
			}
		}
		key.ID, key.Covered, key.Q = c.p.ID, true, c.q
		v.mem.Sensors[uri] = key
		return
	}
	if q := v.union.byURI[uri]; q != nil && q.Class != m.class {
		// A fan or supply names this sensor as the source of its own value.
		key.ID, key.Covered = q.ID, true
		v.mem.Sensors[uri] = key
		return
	}
	p := &part{home: home}
	p.Class, p.Place, p.Tier = m.class, place, health.TierHealth
	p.Name = string(cmp.Or(d.Name, d.ID, text(segment(uri))))
	p.Location, p.Context = d.Location.label, snake(string(d.PhysicalContext))
	p.names = sensorNames(p, m.class, segment(uri))
	p.related, p.of = v.measured(d.RelatedItem), v.sole(d.RelatedItem)
	p.ID = v.union.identity(m.class, home, segment(uri))
	p.judge(d.Status, false)
	if w := string(d.Oem.V.Supermicro.V.SensorValue); w != "" {
		p.Status = cut(strings.TrimPrefix(p.Status+"; "+w, "; "), health.MaxText)
		if m.class == health.ClassLeakDetector {
			supermicroLeak(p, w)
		}
	}
	if m.class == health.ClassLeakDetector {
		leakSensor(p, d)
	} else if m.q != "" && d.Status.State != string(schemas.AbsentState) {
		n := d.Reading
		if !n.OK && m.q == health.Speed {
			n = d.SpeedRPM
		}
		n, unit := m.value(n)
		p.set(m.q, unit, n, m.thresholds(d.Thresholds.V.health()))
	}
	if m.q == health.RelativeHumidity && len(p.values) > 0 && (p.values[0].Value < 0 || p.values[0].Value > 100) {
		p.values = nil
	}
	if a, ok := v.mem.Same[uri]; ok {
		key.ID = a.ID
	}
	// In a readings visit nothing is learned of a sensor: other trees were not read beside it. Nor in a brief one, which
	// leaves sensors out.
	learn := v.full && !v.brief()
	if _, known := v.mem.Sensors[uri]; !known {
		learn = true
	}
	old := v.mem.Sensors[uri]
	p.Tier = health.TierHealth
	if old.Often && !learn {
		p.Tier = health.TierReadings
	}
	var sources []string
	stated := true // by what is read with the readings as well
	if fan := v.turns(m.class, home, uri, d, named); fan != "" && learn {
		sources = append(sources, fan)
		if q := v.union.match(p, uri, place, fan); q != nil {
			stated = q.has(m.q)
		}
	}
	q, isNew := v.union.merge(p, uri, place, sources...)
	if !isNew && len(sources) > 0 {
		v.mem.Same[uri] = alias{q.ID, q.Place, q.Name}
	}
	key.ID = q.ID
	key.Covered = (!isNew && q != p || v.aliased(uri)) && stated
	_, ranked := sensorRank[m.class]
	key.Often = !key.Covered && (ranked || v.proven(place))
	// How busy each core is says nothing of the hardware: not one request each (144 on a GB200).
	key.Rare = m.q == health.Utilisation && isNew && !v.proven(place)
	if learn {
		v.mem.Sensors[uri] = key
	} else {
		key = old
	}
	switch {
	case isNew && key.Often:
		q.Tier = health.TierReadings
	case isNew && key.Rare:
		q.Tier, q.TierMoved = health.TierInventory, true
	case isNew && learn && v.full:
		q.TierMoved = true // it may have been read more often, by $expand under another firmware
	}
}

// sensorNames are the names Thermal and Power may have for a sensor. Cray EX adds there what is measured and where
// ("CPU0 VCORE Voltage Input" for the sensor "CPU0 VCORE" with the Id …InputVoltage).
func sensorNames(p *part, class health.Class, id string) []string {
	names := []string{p.Name, p.Location}
	switch class {
	case health.ClassTemperature:
		names = append(names, p.Name+" Temp")
	case health.ClassVoltage, health.ClassCurrent:
		for _, end := range []string{"Input", "Output"} {
			if strings.Contains(id, end) {
				names = append(names, p.Name+" Voltage "+end)
			}
		}
		names = append(names, p.Name+" Voltage")
	}
	return norms(names...)
}

// legacyPlace reports whether a Sensors collection is of a chassis that has Thermal or Power as well.
func (v *visit) legacyPlace(place string) bool {
	return slices.ContainsFunc(v.mem.Chassis, func(c chassis) bool { return c.Sensors == place && (c.Thermal != "" || c.Power != "") })
}

func (v *visit) aliased(uri string) bool { _, ok := v.mem.Same[uri]; return ok }

// boundOften keeps the sensors read one by one in every readings visit to a bearable number, the most telling first.
func (v *visit) boundOften() {
	type often struct {
		uri  string
		rank int
	}
	var l []often
	for u, k := range v.mem.Sensors {
		if k.Often && !v.proven(cmp.Or(k.Place, parent(u))) {
			class, _, _ := strings.Cut(string(k.ID), "/")
			r, ok := sensorRank[health.Class(class)]
			if !ok {
				r = 99
			}
			l = append(l, often{u, r})
		}
	}
	// Those read often before stay so: a part whose tier rose would count as unread in every visit between.
	before := func(o often) int {
		if v.often[o.uri] {
			return 0
		}
		return 1
	}
	slices.SortFunc(l, func(a, b often) int { return cmp.Or(before(a)-before(b), a.rank-b.rank, strings.Compare(a.uri, b.uri)) })
	beside, alone := 0, 0
	for _, o := range l {
		if o.rank <= 1 {
			if alone++; alone <= 4*oftenSensors {
				continue
			}
		} else if v.legacyPlace(parent(o.uri)) {
			if beside++; v.often[o.uri] || beside <= besideLegacy && o.rank <= 4 {
				continue
			}
		} else if alone++; v.often[o.uri] || alone <= oftenSensors {
			continue
		}
		k := v.mem.Sensors[o.uri]
		k.Often = false
		v.mem.Sensors[o.uri] = k
		if p := v.union.byID[k.ID]; p != nil && p.member && p.Place == parent(o.uri) && p.Tier == health.TierReadings {
			p.Tier, p.TierMoved = health.TierHealth, true
		}
	}
}

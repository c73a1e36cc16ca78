package redfish

import (
	"slices"
	"strings"

	"dewline/health"
)

type tempsDoc struct {
	Readings many[excerpt] `json:"TemperatureReadingsCelsius"`
}

// tempsFrom is how many temperature sensors make their ThermalMetrics the cheaper way.
const tempsFrom = 2

// chooseTemps finds the chassis whose ThermalMetrics has the values of the temperature sensors that a readings visit would
// read one by one. It has no states: those come with the health tier.
func (v *visit) chooseTemps() {
	for i := range v.mem.Chassis {
		c := &v.mem.Chassis[i]
		c.Temps = ""
		at := v.temps[c.URI]
		if at == "" || c.Sensors == "" || v.proven(c.Sensors) {
			continue
		}
		n := 0
		for _, k := range v.mem.Sensors {
			if k.Place == c.Sensors && v.byMetrics(k) {
				n++
			}
		}
		if n < tempsFrom {
			continue
		}
		var d tempsDoc
		if v.into(at, &d) != nil {
			continue // the sensors are there all the same
		}
		var given []string
		for _, x := range d.Readings {
			src := v.link(x.Source)
			if k := v.mem.Sensors[src]; x.Reading.OK && k.Place == c.Sensors && v.byMetrics(k) && !slices.Contains(given, src) {
				given = append(given, src)
			}
		}
		if len(given) < tempsFrom {
			continue
		}
		c.Temps = at
		for _, src := range given {
			k := v.mem.Sensors[src]
			p := v.union.byID[k.ID]
			k.Often, k.Excerpt, k.Q, k.U = false, true, p.values[0].Quantity, p.values[0].Unit
			v.mem.Sensors[src] = k
			p.Tier, p.TierMoved = health.TierHealth, true
		}
	}
}

// byMetrics tells a temperature sensor that is read often, a part of its own.
func (v *visit) byMetrics(k sensorKey) bool {
	if !k.Often || !strings.HasPrefix(string(k.ID), string(health.ClassTemperature)+"/") {
		return false
	}
	p := v.union.byID[k.ID]
	return p != nil && p.member && p.Place == k.Place && len(p.values) == 1
}

// readTemps reads the values of a chassis' temperature sensors in one request.
func (v *visit) readTemps(c *chassis) {
	var d tempsDoc
	if e := v.into(c.Temps, &d); e != nil {
		v.gap(c.Temps, e, "", "")
		v.goneLink(e)
		return
	}
	for _, x := range d.Readings {
		src := v.link(x.Source)
		k := v.mem.Sensors[src]
		if !k.Excerpt || v.union.byID[k.ID] != nil {
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.ID, p.Place, p.Tier, p.StateNotRead = health.ClassTemperature, k.ID, k.Place, health.TierHealth, true
		p.Name = x.Device
		if p.Name == "" {
			p.Name = segment(src)
		}
		p.set(k.Q, k.U, x.Reading, nil)
		v.union.add(p, src)
	}
}

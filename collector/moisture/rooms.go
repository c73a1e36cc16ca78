package moisture

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"dewline/health"
)

// Mapping says whose air a probe measures: a sensor of a rack PDU, of another BMC, or one whose readings are pushed.
type Mapping struct {
	Target      health.TargetID
	Humidity    health.ComponentID // "": the only one that the target has
	Temperature health.ComponentID // "": the one that is certainly of the same air
	// Who stands in this air: the named targets, those in the racks (of Site, if that is given), or all of Site.
	Targets []health.TargetID
	Site    string
	Racks   []string
}

func (m *Mapping) holds(t *health.Target) bool {
	switch {
	case slices.Contains(m.Targets, t.ID):
		return true
	case m.Site != "" && m.Site != t.Site:
		return false
	case len(m.Racks) > 0:
		return slices.Contains(m.Racks, t.Rack)
	}
	return m.Site != ""
}

// apart is how far apart in time a humidity and a temperature may be and still be one air.
const apart = 5 * time.Minute

type sample struct {
	value float64
	at    time.Time // zero: none
}

// room is what was last read of the air of a mapping.
type room struct {
	Mapping
	humidity, temperature sample
	dew                   sample // as the target itself derived or told it
	dewError              float64
	several               bool // sensors, and none is named
}

// Rooms holds the air that was read last, of every mapping. It may be used from many goroutines.
type Rooms struct {
	mu    sync.Mutex
	rooms []*room
}

// Set puts mappings in force. What was read of those that stay is kept.
func (r *Rooms) Set(mappings []Mapping) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.rooms
	r.rooms = nil
	for _, m := range mappings {
		n := &room{Mapping: m}
		for _, o := range old {
			if o.Target == m.Target && o.Humidity == m.Humidity && o.Temperature == m.Temperature {
				*n = *o
				n.Mapping = m
				break
			}
		}
		r.rooms = append(r.rooms, n)
	}
}

// Sources are the targets whose air is carried to others.
func (r *Rooms) Sources() []health.TargetID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []health.TargetID
	for _, m := range r.rooms {
		if !slices.Contains(out, m.Target) {
			out = append(out, m.Target)
		}
	}
	return out
}

// Take takes up what a committed visit says of the air. The visit may come from the store.
func (r *Rooms) Take(v *health.Visit) {
	if v.Snapshot == nil || v.Result == health.Failed || v.Result == health.Missed {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.rooms {
		if m.Target == v.Target {
			m.take(v.Snapshot, v.At())
		}
	}
}

func (m *room) take(s *health.Snapshot, at time.Time) {
	// The wettest would be the wrong room's: without a name there must be one alone.
	only := func(q health.Quantity, named health.ComponentID) (found *health.Reading, several bool) {
		for i := range s.Readings {
			if x := &s.Readings[i]; x.Quantity == q && (named == "" || x.Component == named) {
				if found != nil {
					return nil, true
				}
				found = x
			}
		}
		return found, false
	}
	note := func(to *sample, x *health.Reading) bool {
		if x == nil || at.Before(to.at) {
			return false
		}
		*to = sample{x.Value, at}
		return true
	}
	h, several := only(health.RelativeHumidity, m.Humidity)
	m.several = several
	if several {
		return
	}
	note(&m.humidity, h)
	if m.Temperature != "" {
		t, _ := only(health.Temperature, m.Temperature)
		note(&m.temperature, t)
		return
	}
	component := m.Humidity
	if component == "" && h != nil {
		component = h.Component
	}
	if d, _ := only(health.DewPoint, component); note(&m.dew, d) {
		m.dewError = 0
		if e, _ := only(health.DewPointError, d.Component); e != nil {
			m.dewError = e.Value
		}
	}
}

// Of is the air that a target stands in, as it was read last, and whether the configuration says any.
func (r *Rooms) Of(t *health.Target, rules *Rules) (air []Air, mapped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.rooms {
		if m.holds(t) && m.Target != t.ID {
			air, mapped = append(air, m.air(rules)), true
		}
	}
	return air, mapped
}

func (m *room) air(rules *Rules) Air {
	a := Air{Source: string(m.Target)}
	if m.Humidity != "" {
		a.Source += " " + string(m.Humidity)
	}
	switch {
	case m.several:
		a.At, a.Why = m.humidity.at, "it has several humidity sensors, and the configuration names none"
		if a.At.IsZero() {
			a.At = time.Unix(0, 0) // it was read
		}
	case m.Temperature == "":
		a.At, a.DewPoint, a.Error = m.dew.at, m.dew.value, cmp.Or(m.dewError, rules.DewPointError(22, 50))
		if a.At.IsZero() && !m.humidity.at.IsZero() {
			a.At, a.Why = m.humidity.at, "no temperature is certainly of the same air as its humidity: name one"
		}
	case m.humidity.at.IsZero() || m.temperature.at.IsZero():
		// nothing to say yet
	default:
		a.At = m.humidity.at
		if m.temperature.at.Before(a.At) {
			a.At = m.temperature.at
		}
		if d := m.humidity.at.Sub(m.temperature.at).Abs(); d > apart {
			a.Why = "its humidity and temperature were taken " + d.Round(time.Second).String() + " apart"
			break
		}
		dew, _, ok := DewPoint(m.temperature.value, m.humidity.value)
		if !ok {
			a.Why = "its humidity and temperature give no dew point"
		}
		a.DewPoint, a.Error = dew, rules.DewPointError(m.temperature.value, m.humidity.value)
	}
	return a
}

package push

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dewline/health"
)

// Quantities of a sensor.
const (
	Humidity    = "humidity"
	Temperature = "temperature"
	Leak        = "leak"
)

// Sensor is one sensor of a probe, and which lines are its.
type Sensor struct {
	Name        string
	Quantity    string // Humidity, Temperature or Leak
	Measurement string
	Field       string
	Tags        map[string]string // that a line must have; it may have more
	Scale       float64           // by which a number is multiplied; 0 is 1
	Context     string            // whose air: "room" if empty
	Wet, Dry    []string          // of a Leak: the values that mean so; no Dry: all others do
}

// Probe is a target whose readings are pushed.
type Probe struct {
	Target  health.Target
	Sensors []Sensor
}

// Driver is that of every pushed target.
const Driver = "push"

// ID is the sensor's component.
func (s *Sensor) ID() health.ComponentID {
	return health.ComponentID(string(s.class()) + "/" + s.Name)
}

func (s *Sensor) class() health.Class {
	switch s.Quantity {
	case Humidity:
		return health.ClassHumidity
	case Leak:
		return health.ClassLeakDetector
	}
	return health.ClassTemperature
}

func (s *Sensor) takes(p *point) bool {
	if p.measurement != s.Measurement {
		return false
	}
	found := 0
	for _, t := range p.tags {
		if want, ok := s.Tags[t.key]; ok && want == t.value {
			found++
		}
	}
	return found == len(s.Tags)
}

// report is one value of a sensor.
type report struct {
	sensor *Sensor
	at     time.Time
	value  any
}

// component is the sensor as a report tells it, its reading if there is one, and what is wrong with the report.
func (s *Sensor) component(value any) (health.Component, *health.Reading, *health.Gap) {
	c := s.blank()
	c.Presence, c.State, c.Status = health.Present, health.OK, clip(s.Field+"="+text(value))
	c.Conditions = []health.Condition{{Kind: health.KindDetectorFault, Severity: health.SeverityOK, Evidence: "it reports"}}
	bad := func(why string) (health.Component, *health.Reading, *health.Gap) {
		c.State = health.Unknown
		c.Conditions = []health.Condition{{Kind: health.KindDetectorFault, Severity: health.SeverityWarning, Evidence: c.Status + ": " + why}}
		return c, nil, &health.Gap{Part: s.Name, Component: c.ID, Reason: health.ReasonMalformed, Error: c.Status + ": " + why}
	}
	if s.Quantity == Leak {
		v := text(value)
		leak := health.Condition{Kind: health.KindLeakDetected, Severity: health.SeverityOK, Evidence: c.Status}
		switch {
		case s.wet(value):
			leak.Severity, c.State = health.SeverityCritical, health.Critical
		case len(s.Dry) > 0 && !slices.Contains(s.Dry, v):
			return bad("neither wet nor dry")
		}
		c.Conditions = append(c.Conditions, leak)
		return c, nil, nil
	}
	n, ok := number(value)
	if s.Scale != 0 {
		n *= s.Scale
	}
	r := &health.Reading{Component: c.ID, Quantity: health.Temperature, Unit: health.Celsius, Value: n}
	low, high := -60.0, 150.0
	if s.Quantity == Humidity {
		r.Quantity, r.Unit = health.RelativeHumidity, health.Percent
		low, high = 0, 110
	}
	switch {
	case !ok:
		return bad("no number")
	case !(n >= low && n <= high):
		return bad(fmt.Sprintf("%g %s is no %s of a room: is `scale` right?", n, r.Unit, s.Quantity))
	}
	return c, r, nil
}

// wet tells whether a value means a leak.
func (s *Sensor) wet(value any) bool {
	return s.Quantity == Leak && slices.Contains(s.Wet, text(value))
}

func (s *Sensor) blank() health.Component {
	context := s.Context
	if context == "" {
		context = "room"
	}
	// Not of the readings tier: a push that tells of some sensors does not make the others unread. What is not reported, expire says.
	return health.Component{ID: s.ID(), Class: s.class(), Name: s.Name, Context: context, Place: "push", Tier: health.TierInventory}
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	}
	return 0, false
}

// text is a value as the configuration writes it: 1, 0.5, true, wet.
func text(v any) string {
	switch x := v.(type) {
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case string:
		return x
	}
	return fmt.Sprint(v)
}

func clip(s string) string {
	if len(s) > health.MaxText/2 {
		return strings.ToValidUTF8(s[:health.MaxText/2], "") // not half a rune
	}
	return s
}

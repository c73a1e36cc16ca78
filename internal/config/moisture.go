package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// Moisture is by what air and cold parts are judged.
type Moisture struct {
	Class            string // none, recommended, A1 to A4
	Corrosion        string // unknown or G1
	Tape             bool
	AlarmDelay       time.Duration
	MaxAge           time.Duration // of readings of elsewhere
	HumidityError    float64       // of the sensors, % relative humidity
	TemperatureError float64       // K
	MarginWarning    float64       // K
	MarginCritical   float64       // K
}

// Air says whose air a sensor measures.
type Air struct {
	Target                health.TargetID
	Humidity, Temperature health.ComponentID
	Site                  string
	Racks                 []string
	Targets               []health.TargetID
}

// LeakSensor says what the states of an IPMI leak sensor mean.
type LeakSensor struct {
	Sensor   string
	Wet, Dry []int
}

type rawMoisture struct {
	Class            string  `toml:"class"`
	Corrosion        string  `toml:"corrosion"`
	Tape             bool    `toml:"tape"`
	AlarmDelay       string  `toml:"alarm_delay"`
	MaxAge           string  `toml:"max_age"`
	HumidityError    float64 `toml:"humidity_error"`
	TemperatureError float64 `toml:"temperature_error"`
	MarginWarning    float64 `toml:"margin_warning"`
	MarginCritical   float64 `toml:"margin_critical"`
}

type rawAir struct {
	Target      string   `toml:"target"`
	Humidity    string   `toml:"humidity"`
	Temperature string   `toml:"temperature"`
	Site        string   `toml:"site"`
	Racks       []string `toml:"racks"`
	Targets     []string `toml:"targets"`
}

type rawLeakSensor struct {
	Sensor string `toml:"sensor"`
	Wet    []int  `toml:"wet"`
	Dry    []int  `toml:"dry"`
}

func (c *checker) moisture(m *Moisture, raw *rawMoisture) {
	if c.has("moisture.class") && c.oneOf("moisture.class", raw.Class, "none", "recommended", "A1", "A2", "A3", "A4") {
		m.Class = raw.Class
	}
	if c.has("moisture.corrosion") && c.oneOf("moisture.corrosion", raw.Corrosion, "unknown", "G1") {
		m.Corrosion = raw.Corrosion
	}
	m.Tape = raw.Tape
	if d, ok := c.duration("moisture.alarm_delay", raw.AlarmDelay, 0, time.Hour); ok {
		m.AlarmDelay = d
	}
	if d, ok := c.duration("moisture.max_age", raw.MaxAge, 30*time.Second, time.Hour); ok {
		m.MaxAge = d
	}
	c.within("moisture.humidity_error", raw.HumidityError, 0.1, 20, &m.HumidityError)
	c.within("moisture.temperature_error", raw.TemperatureError, 0.1, 10, &m.TemperatureError)
	c.within("moisture.margin_warning", raw.MarginWarning, 0, 30, &m.MarginWarning)
	c.within("moisture.margin_critical", raw.MarginCritical, 0, 30, &m.MarginCritical)
	if m.MarginCritical > m.MarginWarning {
		at := "moisture.margin_critical"
		if !c.has(at) {
			at = "moisture.margin_warning"
		}
		c.fault(at, fmt.Sprintf("`margin_critical` (%g K) is above `margin_warning` (%g K)", m.MarginCritical, m.MarginWarning), "the warning comes first")
	}
}

// within reads a number.
func (c *checker) within(path string, n, least, most float64, to *float64) {
	switch {
	case !c.has(path):
	case n < least || n > most || math.IsNaN(n):
		c.fault(path, fmt.Sprintf("%s is %g: it must be from %g to %g", quote(path[strings.LastIndexByte(path, '.')+1:]), n, least, most), "")
	default:
		*to = n
	}
}

// airs reads whose air is whose. It comes after the targets.
func (c *checker) airs(cfg *Config, raw *rawFile) {
	known := map[health.TargetID]bool{}
	racks, sites := map[string]bool{}, map[string]bool{}
	for _, t := range cfg.Targets {
		known[t.ID], racks[t.Rack], sites[t.Site] = true, true, true
	}
	for _, p := range cfg.Probes {
		known[p.ID] = true
	}
	var names []string
	for id := range known {
		names = append(names, string(id))
	}
	slices.Sort(names)
	target := func(at, name string) {
		if c.name(at, "a target", name) && c.whole && !known[health.TargetID(name)] {
			c.fault(at, "no target is named "+quote(name), didYouMean(name, names))
		}
	}
	for i := range raw.Airs {
		path := fmt.Sprintf("air[%d]", i)
		if !c.has(path) {
			continue
		}
		r := &raw.Airs[i]
		a := Air{Target: health.TargetID(r.Target), Humidity: health.ComponentID(r.Humidity), Temperature: health.ComponentID(r.Temperature), Site: r.Site, Racks: r.Racks}
		if c.required(path+".target", "[[air]]") {
			target(path+".target", r.Target)
		}
		for key, id := range map[string]string{"humidity": r.Humidity, "temperature": r.Temperature} {
			if at := path + "." + key; c.has(at) && id != "" && !strings.Contains(id, "/") {
				c.fault(at, quote(key)+" is no component", `as "dewline poll -o json" names it, for example "humidity/Room Humidity"`)
			}
		}
		for k, rack := range r.Racks {
			if at := fmt.Sprintf("%s.racks[%d]", path, k); c.has(at) && c.name(at, "a rack", rack) && !racks[rack] && c.whole {
				c.warn(at, "no target stands in rack "+quote(rack), "")
			}
		}
		for k, name := range r.Targets {
			if at := fmt.Sprintf("%s.targets[%d]", path, k); c.has(at) {
				target(at, name)
				a.Targets = append(a.Targets, health.TargetID(name))
			}
		}
		if at := path + ".site"; c.has(at) && r.Site != "" && c.name(at, "`site`", r.Site) && !sites[r.Site] && c.whole {
			c.warn(at, "no target stands in site "+quote(r.Site), "")
		}
		if len(r.Racks) == 0 && len(r.Targets) == 0 && r.Site == "" && c.whole {
			c.fault(path, "[[air]] does not say who stands in this air", "give it `racks`, `targets`, or a `site`")
		}
		cfg.Airs = append(cfg.Airs, a)
	}
}

func (c *checker) leakSensors(cfg *Config, raw *rawFile) {
	seen := map[string]bool{}
	for i := range raw.LeakSensors {
		path := fmt.Sprintf("leak_sensor[%d]", i)
		if !c.has(path) {
			continue
		}
		r := &raw.LeakSensors[i]
		if c.required(path+".sensor", "[[leak_sensor]]") && c.name(path+".sensor", "`sensor`", r.Sensor) {
			if name := strings.ToLower(r.Sensor); seen[name] {
				c.fault(path+".sensor", "sensor "+quote(r.Sensor)+" is described twice", "")
			} else {
				seen[name] = true
			}
		}
		if c.required(path+".wet", "[[leak_sensor]]") && len(r.Wet) == 0 {
			c.fault(path+".wet", "`wet` is empty: no state would ever be a leak", "the offsets that mean water, for example [1]")
		}
		used := map[int]bool{}
		for _, list := range []struct {
			key     string
			offsets []int
		}{{"wet", r.Wet}, {"dry", r.Dry}} {
			for k, off := range list.offsets {
				at := fmt.Sprintf("%s.%s[%d]", path, list.key, k)
				if !c.has(at) {
					continue
				}
				if off < 0 || off > 14 {
					c.fault(at, fmt.Sprintf("%d is no state of an IPMI sensor", off), "offsets are from 0 to 14")
				} else if used[off] {
					c.fault(at, fmt.Sprintf("state %d is named twice", off), "it is wet or dry, not both")
				}
				used[off] = true
			}
		}
		cfg.LeakSensors = append(cfg.LeakSensors, LeakSensor{r.Sensor, r.Wet, r.Dry})
	}
	for i := range cfg.Targets {
		cfg.Targets[i].LeakSensors = cfg.LeakSensors
	}
}

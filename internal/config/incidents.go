package config

import (
	"fmt"
	"slices"
	"time"
)

// Incidents is when faults of several targets are one incident.
type Incidents struct {
	Window   time.Duration // how far apart signs may be
	Quiet    time.Duration // after how long without one it is over
	Scope    string        // whose faults belong together: those of a rack, or of a site
	Adjacent [][]string    // racks that are neighbours
}

const (
	scopeRack = "rack"
	scopeSite = "site"
)

type rawIncidents struct {
	Window   string     `toml:"window"`
	Quiet    string     `toml:"quiet"`
	Scope    string     `toml:"scope"`
	Adjacent [][]string `toml:"adjacent"`
}

func (c *checker) incidents(i *Incidents, raw *rawIncidents) {
	if d, ok := c.duration("incidents.window", raw.Window, time.Minute, time.Hour); ok {
		i.Window = d
	}
	if d, ok := c.duration("incidents.quiet", raw.Quiet, time.Minute, 24*time.Hour); ok {
		i.Quiet = d
	}
	if c.has("incidents.scope") && c.oneOf("incidents.scope", raw.Scope, scopeRack, scopeSite) {
		i.Scope = raw.Scope
	}
	for n, group := range raw.Adjacent {
		path := fmt.Sprintf("incidents.adjacent[%d]", n)
		if !c.has(path) {
			continue
		}
		if len(group) < 2 {
			c.fault(path, "a rack alone is adjacent to none", `for example adjacent = [["A1", "A2"], ["A2", "A3"]]`)
			continue
		}
		for k, rack := range group {
			at := fmt.Sprintf("%s[%d]", path, k)
			if c.has(at) && c.name(at, "a rack", rack) && slices.Index(group, rack) < k {
				c.fault(at, "rack "+quote(rack)+" is named twice", "")
			}
		}
		i.Adjacent = append(i.Adjacent, group)
	}
}

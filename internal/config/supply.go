package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// Supply is what a breaker may carry, or several that are one budget.
type Supply struct {
	Amps, Volts float64
	Phases      int     // 1, or 3: then Volts is between two of them
	Derating    float64 // the share of the breaker that may be drawn all the time
	PowerFactor float64 // of the servers: W = VA × PowerFactor
}

// VoltAmperes is the budget.
func (s Supply) VoltAmperes() float64 {
	va := s.Amps * s.Volts * s.Derating
	if s.Phases == 3 {
		va *= math.Sqrt(3)
	}
	return va
}

// Budget is that of a site or of a rack.
type Budget struct {
	Name string
	Site string // of a rack
	Supply
}

// Feed is a breaker that feeds power supplies of one or more racks.
type Feed struct {
	Name, Site string
	Racks      []string          // whose servers it feeds; empty: those of the site
	Targets    []health.TargetID // those alone
	PSUs       []string          // which of their power supplies: IDs or names of components
	Partner    string            // the feed that carries its load when it is lost, and the other way round
	Supply
}

func defaultSupply() Supply { return Supply{Phases: 1, Derating: 0.8, PowerFactor: 0.95} }

type rawSite struct {
	Name        string  `toml:"name"`
	Amps        float64 `toml:"amps"`
	Volts       float64 `toml:"volts"`
	Phases      int     `toml:"phases"`
	Derating    float64 `toml:"derating"`
	PowerFactor float64 `toml:"power_factor"`
}

type rawRack struct {
	Name        string  `toml:"name"`
	Site        string  `toml:"site"`
	Amps        float64 `toml:"amps"`
	Volts       float64 `toml:"volts"`
	Phases      int     `toml:"phases"`
	Derating    float64 `toml:"derating"`
	PowerFactor float64 `toml:"power_factor"`
}

type rawFeed struct {
	Name        string   `toml:"name"`
	Site        string   `toml:"site"`
	Racks       []string `toml:"racks"`
	Targets     []string `toml:"targets"`
	PSUs        []string `toml:"psus"`
	Partner     string   `toml:"partner"`
	Amps        float64  `toml:"amps"`
	Volts       float64  `toml:"volts"`
	Phases      int      `toml:"phases"`
	Derating    float64  `toml:"derating"`
	PowerFactor float64  `toml:"power_factor"`
}

// supplies reads the budgets of power. They are checked against the targets, so these come first.
func (c *checker) supplies(cfg *Config, raw *rawFile) {
	sites, racks, names := map[string]bool{}, map[string]bool{}, []string{}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		names = append(names, string(t.ID))
		if t.Site != "" {
			sites[t.Site] = true
		}
		if t.Rack != "" {
			racks[t.Rack] = true
		}
	}
	for i := range raw.Sites {
		path, r := fmt.Sprintf("site[%d]", i), &raw.Sites[i]
		if !c.has(path) {
			continue
		}
		b := Budget{Name: r.Name}
		if c.required(path+".name", "[[site]]") && c.name(path+".name", "`name`", r.Name) {
			c.standing(path+".name", "site", r.Name, sites)
			if k := slices.IndexFunc(cfg.SiteBudgets, func(x Budget) bool { return x.Name == r.Name }); k >= 0 {
				c.twice(path+".name", fmt.Sprintf("site[%d].name", k), "site "+quote(r.Name))
			}
		}
		b.Supply = c.supply(path, "[[site]]", Supply{r.Amps, r.Volts, r.Phases, r.Derating, r.PowerFactor})
		cfg.SiteBudgets = append(cfg.SiteBudgets, b)
	}
	for i := range raw.Racks {
		path, r := fmt.Sprintf("rack[%d]", i), &raw.Racks[i]
		if !c.has(path) {
			continue
		}
		b := Budget{Name: r.Name, Site: r.Site}
		if c.required(path+".name", "[[rack]]") && c.name(path+".name", "`name`", r.Name) {
			c.standing(path+".name", "rack", r.Name, racks)
			if k := slices.IndexFunc(cfg.RackBudgets, func(x Budget) bool { return x.Name == r.Name && x.Site == r.Site }); k >= 0 {
				c.twice(path+".name", fmt.Sprintf("rack[%d].name", k), "rack "+quote(r.Name))
			}
		}
		if at := path + ".site"; c.has(at) && r.Site != "" && c.name(at, "`site`", r.Site) {
			c.standing(at, "site", r.Site, sites)
		}
		b.Supply = c.supply(path, "[[rack]]", Supply{r.Amps, r.Volts, r.Phases, r.Derating, r.PowerFactor})
		cfg.RackBudgets = append(cfg.RackBudgets, b)
	}
	for i := range raw.Feeds {
		if path := fmt.Sprintf("feed[%d]", i); c.has(path) {
			c.feed(cfg, path, &raw.Feeds[i], sites, racks, names)
		}
	}
	c.partners(cfg, raw)
}

func (c *checker) feed(cfg *Config, path string, r *rawFeed, sites, racks map[string]bool, names []string) {
	f := Feed{Name: r.Name, Site: r.Site, Partner: r.Partner}
	if c.required(path+".name", "[[feed]]") && c.name(path+".name", "`name`", r.Name) {
		if k := slices.IndexFunc(cfg.Feeds, func(x Feed) bool { return x.Name == r.Name }); k >= 0 {
			c.twice(path+".name", fmt.Sprintf("feed[%d].name", k), "feed "+quote(r.Name))
		}
	}
	if at := path + ".site"; c.has(at) && r.Site != "" && c.name(at, "`site`", r.Site) {
		c.standing(at, "site", r.Site, sites)
	}
	for k, rack := range r.Racks {
		if at := fmt.Sprintf("%s.racks[%d]", path, k); c.has(at) && c.name(at, "a rack", rack) {
			c.standing(at, "rack", rack, racks)
			f.Racks = append(f.Racks, rack)
		}
	}
	for k, name := range r.Targets {
		if at := fmt.Sprintf("%s.targets[%d]", path, k); c.has(at) && c.name(at, "a target", name) {
			if c.whole && !slices.Contains(names, name) {
				c.fault(at, "no target is named "+quote(name), didYouMean(name, names))
			}
			f.Targets = append(f.Targets, health.TargetID(name))
		}
	}
	for k, psu := range r.PSUs {
		if at := fmt.Sprintf("%s.psus[%d]", path, k); c.has(at) && c.name(at, "a power supply", psu) {
			f.PSUs = append(f.PSUs, psu)
		}
	}
	if c.required(path+".psus", "[[feed]]") && len(r.PSUs) == 0 {
		c.fault(path+".psus", "`psus` is empty: nothing hangs on this feed", `their IDs or names as "dewline poll -o json" gives them, for example ["psu/1", "PSU 1"]`)
	}
	f.Supply = c.supply(path, "[[feed]]", Supply{r.Amps, r.Volts, r.Phases, r.Derating, r.PowerFactor})
	cfg.Feeds = append(cfg.Feeds, f)
}

// partners checks that two feeds name each other.
func (c *checker) partners(cfg *Config, raw *rawFile) {
	var names []string
	for _, r := range raw.Feeds {
		names = append(names, r.Name)
	}
	for i, r := range raw.Feeds {
		at := fmt.Sprintf("feed[%d].partner", i)
		if !c.has(at) || r.Partner == "" || !c.whole {
			continue
		}
		k := slices.Index(names, r.Partner)
		switch {
		case r.Partner == r.Name:
			c.fault(at, "a feed is no partner of itself", "")
		case k < 0:
			c.fault(at, "no [[feed]] is named "+quote(r.Partner), didYouMean(r.Partner, names))
		case raw.Feeds[k].Partner != r.Name:
			c.fault(at, fmt.Sprintf("feed %s does not name %s as its partner", quote(r.Partner), quote(r.Name)), "partners name each other")
		}
	}
}

// standing warns of a place where no target stands, if targets say where they stand.
func (c *checker) standing(at, what, name string, known map[string]bool) {
	if c.whole && len(known) > 0 && !known[name] {
		c.warn(at, "no target stands in "+what+" "+quote(name), "")
	}
}

func (c *checker) supply(path, table string, raw Supply) Supply {
	s := defaultSupply()
	for _, x := range []struct {
		key         string
		value       float64
		to          *float64
		least, most float64
		must        bool
	}{
		{"amps", raw.Amps, &s.Amps, 0.5, 10000, true},
		{"volts", raw.Volts, &s.Volts, 12, 50000, true},
		{"derating", raw.Derating, &s.Derating, 0.1, 1, false},
		{"power_factor", raw.PowerFactor, &s.PowerFactor, 0.3, 1, false},
	} {
		at := path + "." + x.key
		if x.must && !c.required(at, table) || !c.has(at) {
			continue
		}
		if x.value < x.least || x.value > x.most {
			c.fault(at, fmt.Sprintf("%s is %v: it must be from %v to %v", quote(x.key), x.value, x.least, x.most), "")
			continue
		}
		*x.to = x.value
	}
	if at := path + ".phases"; c.has(at) {
		if raw.Phases != 1 && raw.Phases != 3 {
			c.fault(at, fmt.Sprintf("`phases` is %d: it must be 1 or 3", raw.Phases), "")
		} else {
			s.Phases = raw.Phases
		}
	}
	return s
}

// dates reads when a target was installed and until when its warranty runs.
func (c *checker) dates(path string, t *Target, raw *rawTarget) {
	for _, x := range []struct {
		key, text string
		to        *time.Time
	}{{"installed", raw.Installed, &t.Installed}, {"warranty_until", raw.WarrantyUntil, &t.WarrantyUntil}} {
		at := path + "." + x.key
		if !c.has(at) || x.text == "" {
			continue
		}
		d, err := time.Parse(time.DateOnly, x.text)
		switch {
		case err != nil:
			c.fault(at, fmt.Sprintf("%s is no date: %s", quote(x.key), quote(x.text)), `for example "2023-04-01"`)
		case d.Year() < 1990 || d.Year() > 2100:
			c.fault(at, fmt.Sprintf("%s is %s: that is no time of a server", quote(x.key), x.text), "")
		default:
			*x.to = d
		}
	}
	if !t.Installed.IsZero() && !t.WarrantyUntil.IsZero() && t.WarrantyUntil.Before(t.Installed) {
		c.fault(path+".warranty_until", "the warranty ended before the server was installed", "")
	}
}

// FeedsPSU tells whether a feed has a power supply of this ID or name on it.
func (f *Feed) FeedsPSU(id, name string) bool {
	return slices.ContainsFunc(f.PSUs, func(p string) bool { return p == id || strings.EqualFold(p, name) })
}

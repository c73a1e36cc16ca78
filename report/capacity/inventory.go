package capacity

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// Model of servers.
type Model struct {
	Manufacturer  string    `json:"manufacturer,omitempty"`
	Model         string    `json:"model"` // "": not told
	Servers       int       `json:"servers"`
	BIOS          []Version `json:"bios"`
	BMC           []Version `json:"bmc_firmware"`
	AgeYears      *float64  `json:"median_age_years,omitempty"` // of those whose date of installation is configured
	Dated         int       `json:"servers_with_date"`
	OutOfWarranty int       `json:"out_of_warranty"`
	EndsSoon      int       `json:"warranty_ends_within_a_year"`
	NoWarranty    int       `json:"warranty_not_told"`
}

// Firmware is how the firmware of one model of parts is spread.
type Firmware struct {
	Class    health.Class `json:"class"`
	Model    string       `json:"model"`
	Parts    int          `json:"parts"`
	Versions []Version    `json:"versions"`
}

// Version is a version and how many have it. "" is not told.
type Version struct {
	Version string `json:"version"`
	Count   int    `json:"count"`
}

// Memory is a module or processor with corrected errors.
type Memory struct {
	Target    health.TargetID    `json:"target"`
	Component health.ComponentID `json:"component,omitempty"`
	Name      string             `json:"name,omitempty"`
	Class     health.Class       `json:"class"`
	Serial    string             `json:"serial,omitempty"`
	// Counted is how many errors its counter gained in the window; nil: it has none. A counter that was reset counts from there.
	Counted *float64 `json:"counted,omitempty"`
	Logged  int      `json:"logged_events"`
	Recent  *float64 `json:"second_half_share,omitempty"` // of them: half of the time, so more than a half is a rise; nil: there is none
	Trend   string   `json:"trend"`                       // rising, steady, falling, few
	Open    bool     `json:"open_fault"`
}

// Use is how far something was used, where the BMC tells.
type Use struct {
	Target    health.TargetID    `json:"target"`
	Component health.ComponentID `json:"component"`
	Name      string             `json:"name,omitempty"`
	Percent   *Spread            `json:"percent"`
}

func tally(m map[string]int) []Version {
	out := []Version{}
	for v, n := range m {
		out = append(out, Version{v, n})
	}
	slices.SortFunc(out, func(a, b Version) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Version, b.Version))
	})
	return out
}

func (f *fleet) models() []Model {
	type key struct{ maker, model string }
	by := map[key][]*server{}
	for _, s := range f.servers {
		k := key{s.identity.Manufacturer, s.identity.Model}
		by[k] = append(by[k], s)
	}
	out := []Model{}
	for k, servers := range by {
		m := Model{Manufacturer: k.maker, Model: k.model, Servers: len(servers)}
		bios, bmc := map[string]int{}, map[string]int{}
		var ages []float64
		for _, s := range servers {
			bios[s.identity.BIOS]++
			bmc[s.identity.BMCFirmware]++
			a := f.q.Assets[s.target.ID]
			if !a.Installed.IsZero() {
				ages = append(ages, f.q.Until.Sub(a.Installed).Hours()/year)
			}
			switch w := a.WarrantyUntil; {
			case w.IsZero():
				m.NoWarranty++
			case w.Before(f.q.Until):
				m.OutOfWarranty++
			case w.Before(f.q.Until.AddDate(1, 0, 0)):
				m.EndsSoon++
			}
		}
		m.BIOS, m.BMC, m.Dated = tally(bios), tally(bmc), len(ages)
		if len(ages) > 0 {
			slices.Sort(ages)
			m.AgeYears = new((ages[(len(ages)-1)/2] + ages[len(ages)/2]) / 2)
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Model) int {
		return cmp.Or(cmp.Compare(b.Servers, a.Servers), cmp.Compare(a.Manufacturer, b.Manufacturer), cmp.Compare(a.Model, b.Model))
	})
	return out
}

// firmware is the spread of versions in each model of parts.
func (f *fleet) firmware() []Firmware {
	type key struct {
		class health.Class
		model string
	}
	by := map[key]map[string]int{}
	for _, s := range f.servers {
		for _, p := range s.parts {
			if p.Firmware == "" || p.Model == "" {
				continue
			}
			k := key{p.Class, strings.TrimSpace(p.Manufacturer + " " + p.Model)}
			if by[k] == nil {
				by[k] = map[string]int{}
			}
			by[k][p.Firmware]++
		}
	}
	out := []Firmware{}
	for k, versions := range by {
		x := Firmware{Class: k.class, Model: k.model, Versions: tally(versions)}
		for n := range maps.Values(versions) {
			x.Parts += n
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Firmware) int {
		return cmp.Or(cmp.Compare(len(b.Versions), len(a.Versions)), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Model, b.Model))
	})
	return out
}

// minErrors is under how many no trend of errors is told.
const minErrors = 8

// memory are the parts whose errors were corrected.
func (f *fleet) memory() []Memory {
	out := []Memory{}
	half := f.first.Add(f.q.Until.Sub(f.first) / 2)
	for _, s := range f.servers {
		rows := map[health.ComponentID]*Memory{}
		late, all := map[health.ComponentID]float64{}, map[health.ComponentID]float64{}
		row := func(id health.ComponentID, class health.Class) *Memory {
			if rows[id] == nil {
				p := s.part(id)
				rows[id] = &Memory{Target: s.target.ID, Component: id, Name: p.Name, Class: cmp.Or(p.Class, class), Serial: p.Serial, Trend: "few"}
			}
			return rows[id]
		}
		for _, t := range s.of(health.CorrectableErrors) {
			gained, recent := gainOf(t.lasts.values(), half)
			if gained == 0 {
				continue
			}
			row(t.Component, t.Class).Counted = new(gained)
			late[t.Component], all[t.Component] = recent, gained
		}
		for id, days := range f.correctable[s.target.ID] {
			x := row(id, "")
			recent := 0
			for day, n := range days {
				x.Logged += n
				if !day.Before(half) {
					recent += n
				}
			}
			if x.Counted == nil { // the counter, where there is one, is the better account
				late[id], all[id] = float64(recent), float64(x.Logged)
			}
		}
		for _, x := range f.faultsOf(s.target.ID) {
			if x.Kind == health.KindCorrectableError && !x.Closed() {
				row(x.Component, x.Class).Open = true
			}
		}
		for id, x := range rows {
			if n := all[id]; n > 0 {
				x.Recent = new(late[id] / n)
				if n >= minErrors {
					x.Trend = halves(late[id], n)
				}
			}
			out = append(out, *x)
		}
	}
	slices.SortFunc(out, func(a, b Memory) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Component, b.Component))
	})
	return out
}

// halves compares the second half of the window with the first: beyond what chance does to a coin (two standard deviations) is a trend.
func halves(late, all float64) string {
	switch d := 2*late - all; {
	case d*d <= 4*all:
		return "steady"
	case d > 0:
		return "rising"
	}
	return "falling"
}

// gain is what a counter gained. One that fell was reset, or its part exchanged: it counts from 0.
func gain(before, now float64) float64 {
	if now < before {
		return max(now, 0)
	}
	return now - before
}

// gainOf is what a counter gained, and what of it in days that begin at half or later.
func gainOf(days []dayValue, half time.Time) (gained, recent float64) {
	for i := 1; i < len(days); i++ {
		d := gain(days[i-1].v, days[i].v)
		gained += d
		if !dayTime(days[i].day).Before(half) {
			recent += d
		}
	}
	return gained, recent
}

// utilisation is only what BMCs truly give.
func (f *fleet) utilisation() []Use {
	out := []Use{}
	for _, s := range f.servers {
		for _, t := range s.of(health.Utilisation) {
			out = append(out, Use{Target: s.target.ID, Component: t.Component, Name: s.part(t.Component).Name, Percent: t.spread()})
		}
	}
	return out
}

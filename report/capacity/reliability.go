package capacity

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"dewline/health"
	"dewline/report"
)

// Reliability is how often things failed.
type Reliability struct {
	ServerYears float64      `json:"server_years"`    // in which anything was read
	AtStart     int          `json:"faults_at_start"` // were there when the server was first seen: in no rate
	Classes     []ClassRate  `json:"classes"`
	Models      []ModelRate  `json:"models"`
	Offenders   []Offender   `json:"repeat_offenders"`
	Redundancy  []Redundancy `json:"redundancy_lost"`
	Clearing    []Clearing   `json:"time_to_clear"`
}

// ClassRate is the rate of faults of a kind in a class, per year of such a part.
type ClassRate struct {
	Class health.Class `json:"class"`
	Kind  health.Kind  `json:"kind"`
	Parts int          `json:"parts,omitempty"` // 0: how many there are is not known, and the rate is per server
	Rate
}

// ModelRate is the rate of faults of servers of a model, per year of a server.
type ModelRate struct {
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model"`
	Servers      int    `json:"servers"`
	Rate
}

// Offender had one fault again and again.
type Offender struct {
	Target    health.TargetID    `json:"target"`
	Component health.ComponentID `json:"component,omitempty"`
	Name      string             `json:"name,omitempty"`
	Class     health.Class       `json:"class"`
	Kind      health.Kind        `json:"kind"`
	Times     int                `json:"times"`
	Last      time.Time          `json:"last"`
	Open      bool               `json:"open"`
}

// repeats is from how many times on.
const repeats = 3

// Redundancy is for how long a server had none.
type Redundancy struct {
	Target   health.TargetID `json:"target"`
	Class    health.Class    `json:"class"`
	Lost     float64         `json:"lost_hours"`
	Degraded float64         `json:"degraded_hours"`
	Times    int             `json:"times"`
	Open     bool            `json:"open"`
}

// Clearing is how long faults stayed.
type Clearing struct {
	Class   health.Class `json:"class"`
	Cleared int          `json:"cleared"`
	Mean    *float64     `json:"mean_hours,omitempty"` // nil, and the median: none was cleared
	Median  *float64     `json:"median_hours,omitempty"`
	Open    int          `json:"still_open"` // not in the mean, which is too short by that
}

// own tells the faults that opened in the window, at a time when the server was watched.
func (f *fleet) own(x *health.Fault) bool {
	return !x.AtStart && !x.Opened.Before(f.q.From) && x.Kind != health.KindInfo
}

func (f *fleet) reliability() Reliability {
	r := Reliability{Classes: []ClassRate{}, Models: []ModelRate{}, Offenders: []Offender{}, Redundancy: []Redundancy{}, Clearing: []Clearing{}}
	type classKind struct {
		class health.Class
		kind  health.Kind
	}
	type modelKey struct{ maker, model string }
	type again struct {
		target    health.TargetID
		component health.ComponentID
		kind      health.Kind
		subject   string
	}
	counts, models, offenders := map[classKind]int{}, map[modelKey]*ModelRate{}, map[again]*Offender{}
	years := map[modelKey]float64{}
	parts, partYears := map[health.Class]int{}, map[health.Class]float64{}
	for _, s := range f.servers {
		y := s.watchedYears()
		r.ServerYears += y
		k := modelKey{s.identity.Manufacturer, s.identity.Model}
		if models[k] == nil {
			models[k] = &ModelRate{Manufacturer: k.maker, Model: k.model}
		}
		models[k].Servers++
		years[k] += y
		for _, c := range health.Classes {
			n := len(s.partsOf(c))
			parts[c] += n
			partYears[c] += float64(n) * y
		}
	}
	times := map[health.Class][]float64{}
	open := map[health.Class]int{}
	for _, x := range f.faults {
		if x.AtStart {
			r.AtStart++
		}
		if !f.own(x) {
			continue
		}
		counts[classKind{x.Class, x.Kind}]++
		id := f.byID[x.Target].identity
		models[modelKey{id.Manufacturer, id.Model}].Count++
		k := again{x.Target, x.Component, x.Kind, x.Subject}
		if offenders[k] == nil {
			offenders[k] = &Offender{Target: x.Target, Component: x.Component, Name: f.byID[x.Target].part(x.Component).Name, Class: x.Class, Kind: x.Kind}
		}
		o := offenders[k]
		o.Times += max(1, x.Flap.Count)
		o.Open = o.Open || !x.Closed()
		if x.Opened.After(o.Last) {
			o.Last = x.Opened
		}
		switch {
		case !x.Closed():
			open[x.Class]++
		case x.State == health.Cleared:
			times[x.Class] = append(times[x.Class], x.Cleared.Sub(x.Opened).Hours())
		}
	}
	for k, n := range counts {
		c := ClassRate{Class: k.class, Kind: k.kind, Parts: parts[k.class]}
		c.Rate = rateOf(n, partYears[k.class])
		if c.Parts == 0 {
			c.Rate = rateOf(n, r.ServerYears)
		}
		r.Classes = append(r.Classes, c)
	}
	// Parts that never failed are worth as much: their interval says how rare it may be.
	for _, c := range []health.Class{health.ClassFan, health.ClassPSU, health.ClassDrive, health.ClassMemory} {
		if parts[c] > 0 && counts[classKind{c, health.KindFailed}] == 0 {
			r.Classes = append(r.Classes, ClassRate{Class: c, Kind: health.KindFailed, Parts: parts[c], Rate: rateOf(0, partYears[c])})
		}
	}
	slices.SortFunc(r.Classes, func(a, b ClassRate) int { return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Kind, b.Kind)) })
	for k, m := range models {
		m.Rate = rateOf(m.Count, years[k])
		r.Models = append(r.Models, *m)
	}
	slices.SortFunc(r.Models, func(a, b ModelRate) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.Servers, a.Servers), cmp.Compare(a.Manufacturer, b.Manufacturer), cmp.Compare(a.Model, b.Model))
	})
	for _, o := range offenders {
		if o.Times >= repeats {
			r.Offenders = append(r.Offenders, *o)
		}
	}
	slices.SortFunc(r.Offenders, func(a, b Offender) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Component, b.Component), cmp.Compare(a.Kind, b.Kind), a.Last.Compare(b.Last))
	})
	for _, c := range health.Classes {
		if len(times[c])+open[c] == 0 {
			continue
		}
		x := Clearing{Class: c, Cleared: len(times[c]), Open: open[c]}
		if len(times[c]) > 0 {
			x.Mean, x.Median = new(stat.Mean(times[c], nil)), new(report.Median(times[c]))
		}
		r.Clearing = append(r.Clearing, x)
	}
	r.Redundancy = f.redundancy()
	return r
}

// redundancy merges the spans in which a server had no redundancy of a class, so that two faults at once count once.
func (f *fleet) redundancy() []Redundancy {
	type key struct {
		target health.TargetID
		class  health.Class
	}
	lost, degraded := map[key][]span{}, map[key][]span{}
	rows := map[key]*Redundancy{}
	for _, x := range f.faults {
		into := lost
		switch x.Kind {
		case health.KindRedundancyLost:
		case health.KindRedundancyDegraded:
			into = degraded
		default:
			continue
		}
		k := key{x.Target, redundantClass(x)}
		if rows[k] == nil {
			rows[k] = &Redundancy{Target: x.Target, Class: k.class}
		}
		rows[k].Times++
		rows[k].Open = rows[k].Open || !x.Closed()
		s := span{x.Opened, f.q.Until}
		if x.Closed() {
			s.to = x.Cleared
		}
		if s.from.Before(f.q.From) {
			s.from = f.q.From
		}
		into[k] = append(into[k], s)
	}
	out := []Redundancy{}
	for k, r := range rows {
		r.Lost, r.Degraded = covered(lost[k]).Hours(), covered(degraded[k]).Hours()
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Redundancy) int {
		return cmp.Or(cmp.Compare(b.Lost, a.Lost), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Class, b.Class))
	})
	return out
}

// redundantClass is what of a server is not redundant: a group of parts may be told of as a part of its own.
func redundantClass(x *health.Fault) health.Class {
	text := strings.ToLower(string(x.Component) + " " + x.Message)
	switch {
	case x.Class == health.ClassFan || x.Class == health.ClassPSU:
		return x.Class
	case strings.Contains(text, "fan") || strings.Contains(text, "cooling"):
		return health.ClassFan
	case strings.Contains(text, "ps ") || strings.Contains(text, "psu") || strings.Contains(text, "power"):
		return health.ClassPSU
	}
	return x.Class
}

// covered is how much time spans cover together.
func covered(spans []span) time.Duration {
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var sum time.Duration
	var end time.Time
	for _, s := range spans {
		if s.from.Before(end) {
			s.from = end
		}
		if s.to.After(s.from) {
			sum += s.to.Sub(s.from)
			end = s.to
		}
	}
	return sum
}

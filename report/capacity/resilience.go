package capacity

import (
	"cmp"
	"slices"

	"dewline/health"
)

// Resilience is what the loss of a place would take away, all at once, as water does.
type Resilience struct {
	Losses []Loss    `json:"losses"` // the worst rack, and the worst site; by servers, then by power
	Buy    *Purchase `json:"purchase,omitempty"`
	// Whole is for the worst site, where it is more than the worst rack.
	Whole *Purchase `json:"purchase_site,omitempty"`
}

// Loss of a place.
type Loss struct {
	Kind    string      `json:"kind"` // rack, site
	Site    string      `json:"site,omitempty"`
	Name    string      `json:"name"`
	Servers int         `json:"servers"`
	Models  []ModelLost `json:"models"`
	Draw    *float64    `json:"p99_watts,omitempty"` // of their time-aligned sum
	AtLeast *float64    `json:"at_least_watts,omitempty"`
	Left    int         `json:"servers_left"` // elsewhere in the review
	// Room is what the budgets of the other racks of that site still have, at P99; nil: some have no budget or no figure.
	Room *float64 `json:"headroom_elsewhere_volt_amperes,omitempty"`
}

// ModelLost is how many of a model would be lost.
type ModelLost struct {
	Model   string `json:"model"`
	Servers int    `json:"servers"`
	Left    int    `json:"left"` // of that model, elsewhere
}

// Purchase is what would carry the loss of the worst place: the arithmetic of it.
type Purchase struct {
	Kind    string      `json:"kind"`
	Site    string      `json:"site,omitempty"`
	Name    string      `json:"name"`
	Servers int         `json:"spare_servers"` // one for each that is lost
	Watts   *float64    `json:"p99_watts,omitempty"`
	Growth  []Sensitive `json:"colocation"` // with no growth, and with that of the trend and of its interval
	Percent float64     `json:"margin_percent"`
}

// Sensitive is a figure under an assumption.
type Sensitive struct {
	Growth       string  `json:"growth"` // none, low, mid, high
	PercentAYear float64 `json:"percent_a_year"`
	KW           float64 `json:"kilowatts"`
}

// purchaseMargin is what is put on top for what the window did not show: sums of five-minute means miss shorter peaks, and servers that
// start together draw more.
const purchaseMargin = 10.0

func (f *fleet) resilience(groups []Group) Resilience {
	r := Resilience{Losses: []Loss{}}
	var racks, sites []Loss
	for i := range groups {
		g := &groups[i]
		if g.Kind != "rack" && g.Kind != "site" {
			continue
		}
		l := f.loss(g, groups)
		if g.Kind == "rack" {
			racks = append(racks, l)
		} else {
			sites = append(sites, l)
		}
	}
	worst := func(ls []Loss) {
		slices.SortStableFunc(ls, func(a, b Loss) int {
			return cmp.Or(cmp.Compare(b.Servers, a.Servers), cmp.Compare(value(b.Draw), value(a.Draw)), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Name, b.Name))
		})
		if len(ls) > 0 {
			r.Losses = append(r.Losses, ls[0])
		}
	}
	worst(racks)
	worst(sites)
	if len(r.Losses) > 0 {
		r.Buy = purchase(&r.Losses[0], groups)
	}
	if len(r.Losses) > 1 && r.Losses[1].Servers > r.Losses[0].Servers {
		r.Whole = purchase(&r.Losses[1], groups)
	}
	return r
}

func value(p *float64) float64 {
	if p == nil {
		return 0
	}
	return *p
}

func (f *fleet) loss(g *Group, groups []Group) Loss {
	l := Loss{Kind: g.Kind, Site: g.Site, Name: g.Name, Servers: g.Servers, Models: []ModelLost{}, Left: len(f.servers) - g.Servers}
	if g.Draw != nil {
		l.Draw = new(g.Draw.P99)
	} else if g.AtLeast != nil {
		l.AtLeast = new(g.AtLeast.P99)
	}
	lost, all := map[string]int{}, map[string]int{}
	for _, s := range f.servers {
		m := s.identity.Model
		all[m]++
		if s.target.Site == g.Site && (g.Kind == "site" || s.target.Rack == g.Name) {
			lost[m]++
		}
	}
	for m, n := range lost {
		l.Models = append(l.Models, ModelLost{m, n, all[m] - n})
	}
	slices.SortFunc(l.Models, func(a, b ModelLost) int {
		return cmp.Or(cmp.Compare(b.Servers, a.Servers), cmp.Compare(a.Model, b.Model))
	})
	if g.Kind == "rack" {
		room, known := 0.0, false
		for i := range groups {
			x := &groups[i]
			if x.Kind != "rack" || x.Site != g.Site || x.Name == g.Name {
				continue
			}
			if x.Budget == nil || x.Budget.P99 == nil {
				return l
			}
			room, known = room+max(0, x.Budget.VoltAmperes-*x.Budget.P99), true
		}
		if known {
			l.Room = &room
		}
	}
	return l
}

// purchase is what would carry a loss elsewhere: a server for each that is lost, since no BMC tells what runs on which, and its power with
// a margin, today and after a year at the trend.
func purchase(l *Loss, groups []Group) *Purchase {
	p := &Purchase{Kind: l.Kind, Site: l.Site, Name: l.Name, Servers: l.Servers, Watts: l.Draw, Growth: []Sensitive{}, Percent: purchaseMargin}
	if l.Draw == nil {
		return p
	}
	kw := *l.Draw * (1 + purchaseMargin/100) / 1000
	p.Growth = append(p.Growth, Sensitive{"none", 0, kw})
	k := slices.IndexFunc(groups, func(g Group) bool { return g.Kind == l.Kind && g.Site == l.Site && g.Name == l.Name })
	if k < 0 || !groups[k].Trend.OK() || groups[k].Trend.Level <= 0 {
		return p
	}
	t := groups[k].Trend
	for _, s := range []struct {
		name  string
		slope float64
	}{{"low", t.Low}, {"mid", t.Slope}, {"high", t.High}} {
		part := s.slope * 365.25 / monthDays / t.Level
		p.Growth = append(p.Growth, Sensitive{s.name, 100 * part, max(0, kw*(1+part))})
	}
	return p
}

// faultsOf are the faults of a server.
func (f *fleet) faultsOf(id health.TargetID) []*health.Fault { return f.byFault[id] }

package capacity

import (
	"cmp"
	"math"
	"slices"
	"time"

	"dewline/health"
)

// Group is several servers, or the power supplies on a feed, whose draws are added up step by step.
type Group struct {
	Kind    string `json:"kind"` // all, site, rack, feed, feeds (two that carry each other)
	Site    string `json:"site,omitempty"`
	Name    string `json:"name"`
	Servers int    `json:"servers"`
	// Draw is of the time-aligned sum, in five-minute means.
	Draw *Spread `json:"draw_watts,omitempty"`
	// AtLeast is of the sum of what was read, whatever was not, where Draw is not known: the group drew that, and more.
	AtLeast  *Spread  `json:"at_least_watts,omitempty"`
	Coverage float64  `json:"coverage"`
	Sampling float64  `json:"sampling_interval_seconds,omitempty"` // of the member that was read most rarely
	Counted  int      `json:"steps_counted"`
	Scaled   int      `json:"steps_scaled"`         // of those: some servers, 5 % at most, were not read; they are taken to draw the mean of the others
	Excluded int      `json:"steps_excluded"`       // under 95 % of the servers were read
	Energy   *float64 `json:"energy_kwh,omitempty"` // nil: no step counts
	Hours    float64  `json:"energy_hours"`
	Gap      float64  `json:"gap_hours"`
	Unread   int      `json:"members_never_read"`
	Others   int      `json:"servers_not_chosen,omitempty"`   // stand there too, and are in no figure: there is no budget then
	Rated    *float64 `json:"supplies_rated_watts,omitempty"` // what its supplies could give, all of them rated
	Budget   *Used    `json:"budget,omitempty"`
	Trend    *Trend   `json:"trend,omitempty"`
	Reach    *Reach   `json:"reaches_budget,omitempty"`
	Line     []Day    `json:"days"`
}

// Used is a budget and what of it is used.
type Used struct {
	VoltAmperes float64  `json:"volt_amperes"`
	PowerFactor float64  `json:"power_factor"`
	P99         *float64 `json:"p99_volt_amperes,omitempty"`
	Max         *float64 `json:"max_volt_amperes,omitempty"`
	Share       *float64 `json:"p99_share,omitempty"`
	// Stranded is what was budgeted and never drawn: the budget less the highest draw.
	Stranded *float64 `json:"stranded_volt_amperes,omitempty"`
	Over     bool     `json:"over"` // P99 is above the budget
}

// Day of a group.
type Day struct {
	Day  time.Time `json:"day"`
	N    int       `json:"steps"`
	Mean float64   `json:"mean_watts"`
	P95  float64   `json:"p95_watts"`
	Max  float64   `json:"max_watts"`
}

// minRead is the share of a group's members that must be read for a step to count.
const minRead = 0.95

// group is one in the making.
type group struct {
	Group
	budget  *Budget
	paired  bool // a feed with a partner
	members int  // that are to be read, since they were first read
	first   time.Time

	sum  [health.StepsPerDay]float64
	read [health.StepsPerDay]int

	draw  dist
	kWh   float64
	least dist
	days  []dayValue
	what  *WhatIf // a group in thought
}

type membership struct {
	group  *group
	weight float64 // 1; in thought, how many such servers there would be
	joined bool
}

// feedPart is the supplies of a server that hang on a feed, or on two that carry each other.
type feedPart struct {
	group  *group
	places []int // in query.Aligned
	// unread are supplies that hang there and tell no input, or may: they are missing in every step.
	unread int
	joined bool
}

func newGroup(kind, site, name string) *group {
	return &group{Group: Group{Kind: kind, Site: site, Name: name, Line: []Day{}}}
}

// join makes the groups, and puts each server into its own.
func (f *fleet) join() {
	find := func(kind, site, name string) *group {
		k := slices.IndexFunc(f.groups, func(g *group) bool { return g.Kind == kind && g.Site == site && g.Name == name && g.what == nil })
		if k < 0 {
			k = len(f.groups)
			f.groups = append(f.groups, newGroup(kind, site, name))
		}
		return f.groups[k]
	}
	put := func(s *server, g *group) {
		g.Servers++
		s.memberships = append(s.memberships, membership{group: g, weight: 1})
	}
	index := map[Place]*group{}
	for _, s := range f.servers {
		put(s, find("all", "", ""))
		if s.target.Site != "" {
			put(s, find("site", s.target.Site, s.target.Site))
		}
		if s.target.Rack != "" {
			p := Place{s.target.Site, s.target.Rack}
			if index[p] == nil {
				index[p] = find("rack", p.Site, p.Rack)
			}
			put(s, index[p])
		}
	}
	for i := range f.q.Sites {
		if g := find("site", f.q.Sites[i].Name, f.q.Sites[i].Name); g.Servers > 0 {
			g.budget = &f.q.Sites[i]
		}
	}
	for i := range f.q.Racks {
		for _, g := range f.groups {
			if b := &f.q.Racks[i]; g.Kind == "rack" && g.Name == b.Name && (b.Site == "" || b.Site == g.Site) {
				g.budget = b
			}
		}
	}
	f.joinFeeds()
	f.leaveOut()
	f.groups = slices.DeleteFunc(f.groups, func(g *group) bool { return g.Servers == 0 })
	f.imagine()
}

// joinFeeds hangs power supplies on their feeds. Two feeds that carry each other make a third group: when one is lost the other has all.
func (f *fleet) joinFeeds() {
	var feeds []*group
	for i := range f.q.Feeds {
		x := &f.q.Feeds[i]
		g := newGroup("feed", x.Site, x.Name)
		g.budget, g.paired = &x.Budget, x.Partner != ""
		feeds = append(feeds, g)
	}
	pairs := map[string]*group{}
	for i := range f.q.Feeds {
		x := &f.q.Feeds[i]
		k := slices.IndexFunc(f.q.Feeds, func(y Feed) bool { return y.Name == x.Partner })
		if x.Partner == "" || k < i {
			continue
		}
		g := newGroup("feeds", x.Site, x.Name+" + "+x.Partner)
		g.budget = &x.Budget
		if y := &f.q.Feeds[k]; y.VoltAmperes < x.VoltAmperes {
			g.budget = &y.Budget // either must carry it alone
		}
		pairs[x.Name], pairs[x.Partner] = g, g
		feeds = append(feeds, g)
	}
	for _, s := range f.servers {
		by := map[*group]*feedPart{}
		hang := func(i, place, unread int) {
			for _, g := range []*group{feeds[i], pairs[f.q.Feeds[i].Name]} {
				if g == nil {
					continue
				}
				if by[g] == nil {
					by[g] = &feedPart{group: g}
					g.Servers++
				}
				switch by[g].unread += unread; {
				case place < 0:
				case slices.Contains(by[g].places, place): // on both of two feeds: once in their sum
					f.twice = append(f.twice, string(s.target.ID)+" "+string(s.query.Aligned[place].Component))
				default:
					by[g].places = append(by[g].places, place)
				}
			}
		}
		f.hang(s, hang)
		for _, g := range feeds {
			if p := by[g]; p != nil {
				s.feeds = append(s.feeds, *p)
			}
		}
	}
	f.unmapped(feeds, pairs)
	f.groups = append(f.groups, feeds...)
}

// leaveOut takes the budget from what others draw from too.
func (f *fleet) leaveOut() {
	for _, g := range f.groups {
		if g.Servers == 0 {
			continue
		}
		serves := []func(health.Target) bool{}
		for k := range f.q.Feeds {
			x := &f.q.Feeds[k]
			its := g.Kind == "feed" && x.Name == g.Name || g.Kind == "feeds" && (x.Name+" + "+x.Partner == g.Name || x.Partner+" + "+x.Name == g.Name)
			if its && x.Serves != nil {
				serves = append(serves, x.Serves)
			}
		}
		for i := range f.q.Others {
			t := &f.q.Others[i]
			if g.Kind == "all" || g.Kind == "site" && t.Site == g.Site || g.Kind == "rack" && t.Site == g.Site && t.Rack == g.Name ||
				slices.ContainsFunc(serves, func(is func(health.Target) bool) bool { return is(*t) }) {
				g.Others++
			}
		}
		if g.Others > 0 && g.budget != nil {
			g.budget = nil
			f.shares = append(f.shares, placeName(g.Kind, g.Site, g.Name))
		}
	}
}

// hang says which supplies of a server are on which feed: those that tell their input by their place, and how many do not. A server of which no
// supply is on any feed that serves it, or known at all, draws from one of them all the same.
func (f *fleet) hang(s *server, on func(feed, place, unread int)) {
	found := false
	for i := range f.q.Feeds {
		x := &f.q.Feeds[i]
		told := map[health.ComponentID]bool{}
		for _, k := range s.inputs {
			id := s.query.Aligned[k].Component
			told[id] = true
			if x.Feeds(s.target, id, s.name(id)) {
				found = true
				on(i, k, 0)
			}
		}
		for _, id := range s.partsOf(health.ClassPSU) {
			if s.part(id).Of == "" && !told[id] && x.Feeds(s.target, id, s.name(id)) {
				found = true
				on(i, -1, 1)
			}
		}
	}
	for i := range f.q.Feeds {
		if x := &f.q.Feeds[i]; !found && x.Serves != nil && x.Serves(s.target) {
			on(i, -1, 1)
		}
	}
}

// unmapped finds feeds of which no supply was found, though they serve chosen servers. With one of two missing there is no sum of both.
func (f *fleet) unmapped(feeds []*group, pairs map[string]*group) {
	none := func(g *group) {
		g.Servers = 0
		for _, s := range f.servers {
			s.feeds = slices.DeleteFunc(s.feeds, func(p feedPart) bool { return p.group == g })
		}
	}
	for i := range f.q.Feeds {
		x, g := &f.q.Feeds[i], feeds[i]
		read, missing := false, false
		for _, s := range f.servers {
			for _, p := range s.feeds {
				read, missing = read || p.group == g && len(p.places) > 0, missing || p.group == g && p.unread > 0
			}
		}
		if read {
			if missing {
				f.partly = append(f.partly, x.Name)
			}
			continue
		}
		none(g)
		if slices.ContainsFunc(f.servers, func(s *server) bool { return x.Serves == nil || x.Serves(s.target) }) {
			f.bare = append(f.bare, x.Name)
		}
		if g := pairs[x.Name]; g != nil {
			none(g)
		}
	}
}

// take adds a server's draw of a day.
func (m *membership) take(since time.Time, draw []float64) {
	g, weight := m.group, m.weight
	if !m.joined {
		m.joined = true
		g.enter(1, since)
	}
	for i, v := range draw {
		if !math.IsNaN(v) {
			g.sum[i] += weight * v
			g.read[i]++
		}
	}
}

func (g *group) enter(members int, first time.Time) {
	g.members += members
	if g.first.IsZero() || first.Before(g.first) {
		g.first = first
	}
}

// take adds what the supplies on a feed drew in a day. One that is known to be out drew nothing.
func (p *feedPart) take(s *server, since time.Time, x *health.DayFacts) {
	if !p.joined {
		p.joined = true
		p.group.enter(len(p.places)+p.unread, since)
	}
	for _, k := range p.places {
		id := s.query.Aligned[k].Component
		for i := range health.StepsPerDay {
			if v := at(x.Aligned[k], i); !math.IsNaN(v) {
				p.group.sum[i] += v
				p.group.read[i]++
			} else if s.power.isOut(id, x.Day.Add(time.Duration(i)*health.AlignStep)) {
				p.group.read[i]++
			}
		}
	}
}

// close counts a day, from its first step in the window to its last, and makes room for the next.
func (g *group) close(day time.Time, from, until int) {
	if g.members > 0 {
		if first := int(g.first.Sub(day) / health.AlignStep); g.first.After(day) {
			from = max(from, first)
		}
		var values, least []float64
		for i := from; i < until; i++ {
			read := g.read[i]
			v := g.sum[i]
			if read > 0 {
				least = append(least, v)
			}
			switch {
			case read == 0 || float64(read) < minRead*float64(g.members):
				g.Excluded++
				continue
			case read < g.members:
				v *= float64(g.members) / float64(read)
				g.Scaled++
			}
			g.Counted++
			values = append(values, v)
			g.kWh += v * health.AlignStep.Hours() / 1000
		}
		g.draw.add(values)
		g.least.add(least)
		if d := dayOf(day, values); d != nil {
			g.days = append(g.days, *d)
			g.Line = append(g.Line, Day{Day: day, N: len(values), Mean: meanOf(values), P95: d.v, Max: slices.Max(values)})
		}
	}
	clear(g.sum[:])
	clear(g.read[:])
}

// figures ends a group.
func (g *group) figures(f *fleet) Group {
	out := g.Group
	out.Draw, out.Hours = g.draw.spread(), hours(g.Counted)
	if all := f.allSteps(); all > 0 {
		out.Coverage, out.Gap = float64(g.Counted)/float64(all), hours(all-g.Counted)
	}
	out.Unread, out.Sampling = g.unread(f), g.sampling(f)
	if out.Draw != nil {
		out.Energy = new(g.kWh)
		out.Trend = trendOf(g.days, f.q.Until)
	} else {
		out.AtLeast = g.least.spread()
	}
	if b := g.budget; b != nil {
		out.Budget = usedOf(b, out.Draw)
		if out.Trend != nil {
			r := reachOf(out.Trend, b.VoltAmperes*b.PowerFactor, false, f.q.Until, f.q.Until.Sub(f.first))
			out.Reach = &r
		}
	}
	if g.Kind == "rack" || g.Kind == "site" || g.Kind == "all" {
		out.Rated = g.rated(f)
	}
	return out
}

func usedOf(b *Budget, draw *Spread) *Used {
	u := &Used{VoltAmperes: b.VoltAmperes, PowerFactor: b.PowerFactor}
	if draw != nil {
		p99, most := draw.P99/b.PowerFactor, draw.Max/b.PowerFactor
		u.P99, u.Max, u.Share, u.Stranded = &p99, &most, new(p99/b.VoltAmperes), new(max(0, b.VoltAmperes-most))
		u.Over = p99 > b.VoltAmperes
	}
	return u
}

// of are the servers of a group.
func (g *group) of(f *fleet) []*server {
	var out []*server
	for _, s := range f.servers {
		in := slices.ContainsFunc(s.memberships, func(m membership) bool { return m.group == g }) ||
			slices.ContainsFunc(s.feeds, func(p feedPart) bool { return p.group == g })
		if in {
			out = append(out, s)
		}
	}
	return out
}

// unread is how many members told nothing in all the time.
func (g *group) unread(f *fleet) (n int) {
	for _, s := range g.of(f) {
		if s.power.draw.n == 0 {
			n++
		}
	}
	return n
}

// sampling is how often the series of a feed were read, or those that the servers' draws are made of: of the rarest.
func (g *group) sampling(f *fleet) (rarest float64) {
	onFeed := g.Kind == "feed" || g.Kind == "feeds"
	for _, s := range g.of(f) {
		if !onFeed {
			rarest = max(rarest, s.sampling)
			continue
		}
		for _, p := range s.feeds {
			for _, k := range p.places {
				for _, t := range s.of(health.InputPower) {
					if p.group == g && t.SeriesID == s.query.Aligned[k] {
						rarest = max(rarest, t.sampling())
					}
				}
			}
		}
	}
	return rarest
}

// rated is what the supplies of all servers could give together; nil if one is not rated.
func (g *group) rated(f *fleet) *float64 {
	sum := 0.0
	for _, s := range g.of(f) {
		var p Power
		p.supplies(s)
		if p.Capacity == nil {
			return nil
		}
		sum += *p.Capacity
	}
	return &sum
}

func (f *fleet) groupFigures() []Group {
	out := []Group{}
	for _, g := range f.groups {
		if g.what == nil {
			out = append(out, g.figures(f))
		}
	}
	rank := func(kind string) int { return slices.Index([]string{"all", "site", "rack", "feeds", "feed"}, kind) }
	slices.SortStableFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Name, b.Name))
	})
	return out
}

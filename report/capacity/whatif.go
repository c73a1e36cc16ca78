package capacity

import (
	"slices"

	"dewline/health"
)

// WhatIf is a change, and what would have been drawn with it in a place: step by step, the servers added drawing what those they are
// like drew on average in that step.
type WhatIf struct {
	Change   string            `json:"change"`
	Servers  int               `json:"servers"` // added; negative: removed from there
	Like     []health.TargetID `json:"like"`
	Kind     string            `json:"kind"` // of the place: rack, site, feed, feeds
	Site     string            `json:"site,omitempty"`
	Name     string            `json:"name"`
	Before   *Spread           `json:"before_watts,omitempty"`
	After    *Spread           `json:"after_watts,omitempty"`
	Counted  int               `json:"steps_counted"`
	Excluded int               `json:"steps_excluded"`
	Budget   *Used             `json:"budget,omitempty"` // as it would be used
	Result   string            `json:"result"`           // fits, over, no_budget, not_known
	PerUnit  *float64          `json:"p99_watts_each,omitempty"`
}

// imagine makes the groups in thought: each place as it would be with a change.
func (f *fleet) imagine() {
	var made []*group
	for i := range f.q.Changes {
		c := &f.q.Changes[i]
		var like []*server
		sites := map[string]bool{}
		for _, id := range c.Like {
			if s := f.byID[id]; s != nil {
				like, sites[s.target.Site] = append(like, s), true
			}
		}
		if len(like) == 0 {
			continue
		}
		for _, g := range f.groups {
			if !c.concerns(f, g, sites) {
				continue
			}
			x := newGroup(g.Kind, g.Site, g.Name)
			x.budget, x.what = g.budget, &WhatIf{Change: c.Text, Servers: c.N, Like: c.Like, Kind: g.Kind, Site: g.Site, Name: g.Name}
			if !c.build(x, g, f, like) {
				continue
			}
			made = append(made, x)
		}
	}
	f.groups = append(f.groups, made...)
}

// concerns tells whether a change is to be seen in a group: its racks, or all of the site if none are named, their feeds, and the site.
func (c *Change) concerns(f *fleet, g *group, sites map[string]bool) bool {
	switch g.Kind {
	case "feed", "feeds": // those of the racks
		return slices.ContainsFunc(g.of(f), func(s *server) bool {
			if len(c.Racks) > 0 {
				return slices.Contains(c.Racks, Place{s.target.Site, s.target.Rack})
			}
			return sites[s.target.Site]
		})
	case "site":
		return sites[g.Site] || slices.ContainsFunc(c.Racks, func(p Place) bool { return p.Site == g.Site })
	case "rack":
		if len(c.Racks) > 0 {
			return slices.Contains(c.Racks, Place{g.Site, g.Name})
		}
		return sites[g.Site]
	}
	return false
}

// build puts the members of g into x, and the change with them. It is false where nothing changes: none stands there that could be removed.
func (c *Change) build(x, g *group, f *fleet, like []*server) bool {
	each := float64(c.N) / float64(len(like))
	if g.Kind == "feed" && g.paired {
		each /= 2 // the other one has the other half
	}
	members := g.of(f)
	if c.N < 0 { // the first so many of them that stand there are taken away
		all, left := len(members), -c.N
		members = slices.DeleteFunc(members, func(s *server) bool {
			if left > 0 && slices.Contains(like, s) {
				left--
				return true
			}
			return false
		})
		if x.what.Servers = len(members) - all; x.what.Servers == 0 {
			return false
		}
		each = 0
	}
	onFeed := g.Kind == "feed" || g.Kind == "feeds"
	for _, s := range members {
		if k := slices.IndexFunc(s.feeds, func(p feedPart) bool { return p.group == g }); onFeed {
			s.feeds = append(s.feeds, feedPart{group: x, places: s.feeds[k].places, unread: s.feeds[k].unread})
			continue
		}
		w := 1.0
		if slices.Contains(like, s) {
			w += each
		}
		s.memberships = append(s.memberships, membership{group: x, weight: w})
	}
	x.Servers = len(members) + max(c.N, 0)
	if each == 0 {
		return true
	}
	for _, s := range like { // on a feed, or where they do not stand, only what they draw counts
		if onFeed || !slices.Contains(members, s) {
			s.memberships = append(s.memberships, membership{group: x, weight: each})
		}
	}
	return true
}

func (f *fleet) whatIfs(groups []Group) []WhatIf {
	out := []WhatIf{}
	for _, g := range f.groups {
		if g.what == nil {
			continue
		}
		w := *g.what
		w.After, w.Counted, w.Excluded, w.Result = g.draw.spread(), g.Counted, g.Excluded, "no_budget"
		if k := slices.IndexFunc(groups, func(x Group) bool { return x.Kind == w.Kind && x.Site == w.Site && x.Name == w.Name }); k >= 0 {
			w.Before = groups[k].Draw
		}
		if g.budget != nil {
			w.Budget = usedOf(g.budget, w.After)
			w.Result = "fits"
			if w.Budget.Over {
				w.Result = "over"
			}
		}
		switch {
		case w.After == nil:
			w.Result = "not_known"
		case w.Before != nil:
			w.PerUnit = new((w.After.P99 - w.Before.P99) / float64(w.Servers))
		}
		out = append(out, w)
	}
	return out
}

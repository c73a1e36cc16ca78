package capacity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dewline/health"
	"dewline/report"
)

// decide says what the figures amount to: what to buy, what to retire, what to watch, and what could not be seen.
func (out *Report) decide(f *fleet) {
	d := &out.Decision
	*d = Decision{Buy: []Note{}, Retire: []Note{}, Watch: []Note{}, Unseen: []Note{}}
	out.decidePower(d)
	out.decideDrives(d)
	out.decideServers(d)
	if p := out.Resilience.Buy; p != nil {
		d.Buy = append(d.Buy, p.note())
	}
	if p := out.Resilience.Whole; p != nil {
		d.Buy = append(d.Buy, p.note())
	}
	out.unseen(d, f)
}

// note is a purchase in a sentence: at the end of its growth that asks for most.
func (p *Purchase) note() Note {
	place := placeName(p.Kind, p.Site, p.Name)
	if len(p.Growth) == 0 {
		return note("buy.spares_only", p.Servers, place)
	}
	last := slices.MaxFunc(p.Growth, func(a, b Sensitive) int { return cmp.Compare(a.KW, b.KW) })
	if len(p.Growth) == 1 {
		return note("buy.spares_today", p.Servers, last.KW, place, *p.Watts, p.Percent)
	}
	return note("buy.spares", p.Servers, last.KW, place, *p.Watts, p.Percent, last.PercentAYear)
}

func note(key string, args ...any) Note { return Note{Key: key, Args: args} }

// Say is a note in a language.
func (n Note) Say(t *report.Texts) string { return t.Say("decision."+n.Key, n.Args...) }

func placeName(kind, site, name string) string {
	if kind == "rack" && site != "" {
		return site + "/" + name
	}
	return name
}

// some names the first few of many.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s, … (%d)", strings.Join(names[:most], ", "), len(names))
}

func (out *Report) decidePower(d *Decision) {
	for i := range out.Groups {
		g := &out.Groups[i]
		if g.Budget == nil {
			continue
		}
		name := placeName(g.Kind, g.Site, g.Name)
		switch {
		case g.Budget.Over:
			d.Buy = append(d.Buy, note("buy.over_budget", name, *g.Budget.P99, g.Budget.VoltAmperes))
		case g.Reach != nil && g.Reach.Result == "date":
			d.Watch = append(d.Watch, note("watch.budget", name, g.Reach.At.Format("2006-01-02"), earliest(g.Reach)))
		}
	}
	var weak, perhaps, capped []string
	for i := range out.Servers {
		s := &out.Servers[i]
		switch surely, may := s.Power.short(); {
		case surely:
			weak = append(weak, string(s.Target))
		case may:
			perhaps = append(perhaps, string(s.Target))
		}
		if s.Power.Capped {
			capped = append(capped, string(s.Target))
		}
	}
	if len(weak) > 0 {
		d.Buy = append(d.Buy, note("buy.supplies", len(weak), some(weak)))
	}
	if len(perhaps) > 0 {
		d.Watch = append(d.Watch, note("watch.supplies", len(perhaps), some(perhaps)))
	}
	if len(capped) > 0 {
		d.Watch = append(d.Watch, note("watch.capped", len(capped), some(capped)))
	}
	for _, w := range out.WhatIf {
		if w.Result == "over" {
			d.Watch = append(d.Watch, note("watch.what_if", w.Change, placeName(w.Kind, w.Site, w.Name), *w.Budget.P99, w.Budget.VoltAmperes))
		}
	}
}

func earliest(r *Reach) string {
	if r.Earliest.IsZero() {
		return "?"
	}
	return r.Earliest.Format("2006-01-02")
}

func (out *Report) decideDrives(d *Decision) {
	var now, soon []string
	for i := range out.Drives {
		x := &out.Drives[i]
		name := string(x.Target) + " " + string(x.Component)
		switch x.Replace {
		case "":
		case "wears_out":
			soon = append(soon, name)
		default:
			now = append(now, name)
		}
	}
	if len(now) > 0 {
		d.Buy = append(d.Buy, note("buy.drives_now", len(now), some(now)))
	}
	if len(soon) > 0 {
		d.Buy = append(d.Buy, note("buy.drives_soon", len(soon), some(soon)))
	}
}

func (out *Report) decideServers(d *Decision) {
	var expired []string
	faults := map[health.TargetID]int{}
	for i := range out.Servers {
		s := &out.Servers[i]
		faults[s.Target] = s.Faults
		if !s.Warranty.IsZero() && s.Warranty.Before(out.Until) {
			expired = append(expired, string(s.Target))
		}
	}
	if len(expired) > 0 {
		d.Retire = append(d.Retire, note("retire.warranty", len(expired), some(expired)))
	}
	var again []string
	for _, o := range out.Reliability.Offenders {
		name := fmt.Sprintf("%s %s (%d × %s)", o.Target, o.Component, o.Times, o.Kind)
		again = append(again, name)
	}
	if len(again) > 0 {
		d.Retire = append(d.Retire, note("retire.offenders", len(again), some(again)))
	}
	var errs []string
	for _, m := range out.Memory {
		if m.Trend == "rising" || m.Open {
			errs = append(errs, string(m.Target)+" "+string(m.Component))
		}
	}
	if len(errs) > 0 {
		d.Retire = append(d.Retire, note("retire.errors", len(errs), some(errs)))
	}
	var hot, high, moist []string
	for i := range out.Servers {
		c := &out.Servers[i].Cooling
		if c.Hot != nil && *c.Hot >= hotBy {
			hot = append(hot, string(out.Servers[i].Target))
		}
		if c.Headroom != nil && *c.Headroom < 0 {
			high = append(high, string(out.Servers[i].Target))
		}
		if c.DewHeadroom != nil && *c.DewHeadroom < 0 {
			moist = append(moist, string(out.Servers[i].Target))
		}
	}
	if len(high) > 0 {
		d.Watch = append(d.Watch, note("watch.inlet", len(high), out.AirLimits.Class, some(high)))
	}
	if len(moist) > 0 {
		d.Watch = append(d.Watch, note("watch.dew_point", len(moist), out.AirLimits.Class, some(moist)))
	}
	if len(hot) > 0 {
		d.Watch = append(d.Watch, note("watch.hot", len(hot), some(hot)))
	}
}

// lowCoverage is under which share a server's figures are named as thin.
const lowCoverage = 0.95

// unseen is what bounds the decision.
func (out *Report) unseen(d *Decision, f *fleet) {
	add := func(key string, args ...any) { d.Unseen = append(d.Unseen, note(key, args...)) }
	if out.Days < minTrendDays {
		add("unseen.short", out.Days, minTrendDays)
	}
	if asked := f.q.Until.Sub(f.q.From).Hours() / 24; out.Days < 0.95*asked && out.Days >= minTrendDays {
		add("unseen.window", out.Days, asked)
	}
	if silent := f.q.Until.Sub(out.DataUntil).Hours(); !out.DataUntil.IsZero() && silent >= 12 {
		add("unseen.ended", silent)
	}
	if out.Stopped != nil && *out.Stopped >= 0.5 {
		add("unseen.stopped", *out.Stopped)
	}
	if n := len(f.q.NeverRead); n > 0 {
		add("unseen.never", n, some(names(f.q.NeverRead)))
	}
	if n := len(f.q.Retired); n > 0 {
		add("unseen.retired", n, some(names(f.q.Retired)))
	}
	if n := len(f.shares); n > 0 {
		add("unseen.others", n, some(f.shares))
	}
	list := func(key string, is func(*Server) bool) {
		var l []string
		for i := range out.Servers {
			if is(&out.Servers[i]) {
				l = append(l, string(out.Servers[i].Target))
			}
		}
		if len(l) > 0 {
			add(key, len(l), some(l))
		}
	}
	list("unseen.power", func(s *Server) bool { return s.Power.Draw == nil })
	list("unseen.coverage", func(s *Server) bool { return s.Power.Draw != nil && s.Power.Coverage < lowCoverage })
	list("unseen.board", func(s *Server) bool { return s.Power.Draw != nil && s.Power.Source != "psu_input" && !s.Power.Shared })
	list("unseen.shared", func(s *Server) bool { return s.Power.Shared })
	list("unseen.ratings", func(s *Server) bool { return s.Power.Supplies == 0 || s.Power.Unrated > 0 })
	if n := len(f.equipment); n > 0 {
		add("unseen.equipment", n, some(names(f.equipment)))
	}
	list("unseen.inlet", func(s *Server) bool { return s.Cooling.Inlet == nil })
	list("unseen.moisture", func(s *Server) bool { return s.Cooling.DewPoint == nil })
	if len(out.Budgets) == 0 {
		add("unseen.budgets")
	}
	if len(f.q.Feeds) == 0 {
		add("unseen.feeds")
	}
	if n := len(f.bare); n > 0 {
		add("unseen.feed_map", n, some(f.bare))
	}
	if n := len(f.twice); n > 0 {
		add("unseen.feed_twice", n, some(f.twice))
	}
	if n := len(f.partly); n > 0 {
		add("unseen.feed_part", n, some(f.partly))
	}
	wear := 0
	for _, x := range out.Drives {
		if x.LifeLeft == nil {
			wear++
		}
	}
	if wear > 0 {
		add("unseen.wear", wear, len(out.Drives))
	}
	if len(out.Use) == 0 {
		add("unseen.utilisation")
	}
	if n := len(out.Servers) - datedOf(out.Models); n > 0 {
		add("unseen.dates", n)
	}
	for _, l := range out.Lacks {
		add("unseen.lack." + string(l))
	}
	add("unseen.peaks")
	add("unseen.work")
}

func datedOf(models []Model) (n int) {
	for _, m := range models {
		n += m.Dated
	}
	return n
}

func names(ids []health.TargetID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

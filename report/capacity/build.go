package capacity

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dewline/health"
	"dewline/report"
)

// Build makes the review. It reads the window once.
func Build(ctx context.Context, r report.FleetReader, q Request) (*Report, error) {
	q.From, q.Until = q.From.UTC().Truncate(health.AlignStep), q.Until.UTC().Truncate(health.AlignStep)
	switch {
	case len(q.Targets) == 0:
		return nil, errors.New("no server to review")
	case !q.From.Before(q.Until):
		return nil, fmt.Errorf("the window from %s to %s has no length", q.From.Format(time.RFC3339), q.Until.Format(time.RFC3339))
	case q.GeneratedAt.IsZero() || q.Until.After(q.GeneratedAt):
		return nil, errors.New("the window ends after the time of the report")
	}
	f, err := plan(ctx, r, &q)
	if err != nil {
		return nil, err
	}
	if len(f.servers) == 0 {
		return nil, errors.New("no server to review: what is chosen distributes power or cools")
	}
	if err := f.read(ctx, r); err != nil {
		return nil, err
	}
	out := &Report{
		Version: 1, Kind: "capacity", Title: q.Title, Reference: q.Reference, GeneratedAt: q.GeneratedAt, Program: q.Program, ConfigSum: q.ConfigSum, MadeBy: q.MadeBy,
		Source: r.Source(), Lacks: append([]report.Lack{}, r.Lacks()...), Selection: q.Selection, From: q.From, Until: q.Until, DataFrom: f.first,
		Step: health.AlignStep.Seconds(), Budgets: []BudgetUsed{},
		AirLimits: AirLimits{q.Air.Edition, q.Air.Class, q.Air.Recommended, q.Air.Allowable},
		Minimums:  Minimums{minTrendDays, minTrendValues, minDayShare, horizonFactor},
	}
	if !f.first.IsZero() {
		out.DataUntil = f.last
		out.Days = f.last.Sub(f.first).Hours()/24 - float64(f.silent)
	}
	runs, err := r.Runs(ctx)
	if err != nil {
		return nil, err
	}
	out.Stopped = stopped(runs, f.first, q.Until)
	out.Servers = make([]Server, len(f.servers))
	var g errgroup.Group // each has two trends, of four thousand slopes
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range f.servers {
		g.Go(func() error {
			out.Servers[i] = f.server(s)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, s := range f.servers {
		out.Simulated = out.Simulated || s.target.Origin != health.OriginReal
	}
	hotSpots(out.Servers)
	out.Groups = f.groupFigures()
	out.WhatIf = f.whatIfs(out.Groups)
	out.Drives, out.DriveModels = f.drives()
	out.Capacity, out.Models, out.Firmware, out.Memory, out.Use = f.sizes(), f.models(), f.firmware(), f.memory(), f.utilisation()
	out.Reliability = f.reliability()
	out.Resilience = f.resilience(out.Groups)
	for kind, budgets := range map[string][]Budget{"site": q.Sites, "rack": q.Racks} {
		for _, b := range budgets {
			out.Budgets = append(out.Budgets, BudgetUsed{kind, b.Site, b.Name, b.VoltAmperes, b.PowerFactor, b.Sum})
		}
	}
	for _, b := range q.Feeds {
		out.Budgets = append(out.Budgets, BudgetUsed{"feed", b.Site, b.Name, b.VoltAmperes, b.PowerFactor, b.Sum})
	}
	slices.SortStableFunc(out.Budgets, func(a, b BudgetUsed) int {
		order := []string{"site", "rack", "feed"}
		return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
	})
	out.decide(f)
	return out, out.inEnglish()
}

// stopped is how long of a time none of the runs covers; nil if no run is known of.
func stopped(runs []report.Run, from, until time.Time) *float64 {
	if len(runs) == 0 || from.IsZero() {
		return nil
	}
	var spans []span
	for _, x := range runs {
		s := span{x.Started, x.Ended}
		if s.from.Before(from) {
			s.from = from
		}
		if s.to.After(until) {
			s.to = until
		}
		spans = append(spans, s)
	}
	return new((until.Sub(from) - covered(spans)).Hours())
}

// read reads the window, and closes each day of each group when it is over, also those of which nothing was read.
func (f *fleet) read(ctx context.Context, r report.FleetReader) error {
	day := f.q.From.Truncate(24 * time.Hour)
	begun, empty := false, 0 // days since the last in which anything was read
	next := func() {
		from, until := f.steps(day)
		for _, g := range f.groups {
			g.close(day, from, until)
		}
		day = day.Add(24 * time.Hour)
		empty++
	}
	want := make([]health.DayQuery, len(f.servers))
	for i, s := range f.servers {
		want[i] = s.query
	}
	if err := r.Days(ctx, f.q.From, f.q.Until, want, func(x *health.DayFacts) error {
		for day.Before(x.Day) {
			next()
		}
		if f.day(x) {
			if begun {
				f.silent += max(empty, 0)
			}
			begun, empty = true, -1 // this one is none
		}
		return nil
	}); err != nil {
		return err
	}
	for day.Before(f.q.Until) {
		next()
	}
	for _, s := range f.servers {
		if end := s.last.Add(health.AlignStep); !s.last.IsZero() && end.After(f.last) {
			f.last = end
		}
		if !s.first.IsZero() && (f.first.IsZero() || s.first.Before(f.first)) {
			f.first = s.first
		}
	}
	return nil
}

func (f *fleet) server(s *server) Server {
	id, a := s.identity, f.q.Assets[s.target.ID]
	out := Server{
		Target: s.target.ID, Site: s.target.Site, Rack: s.target.Rack, Position: s.target.Position, Manufacturer: id.Manufacturer, Model: id.Model, Serial: id.Serial,
		First: s.first, Watched: hours(s.watched) / 24, Installed: a.Installed, Warranty: a.WarrantyUntil, Power: s.power.figures(s, f), Cooling: s.air.figures(s, f),
	}
	if all := f.allSteps(); all > 0 {
		out.Coverage = float64(s.watched) / float64(all)
	}
	for _, x := range f.faultsOf(s.target.ID) {
		if f.own(x) {
			out.Faults++
		}
	}
	return out
}

// inEnglish says each note in the language of reference, for the JSON.
func (out *Report) inEnglish() error {
	t, err := report.TextsIn(report.Reference)
	if err != nil {
		return err
	}
	for _, list := range [][]Note{out.Decision.Buy, out.Decision.Retire, out.Decision.Watch, out.Decision.Unseen} {
		for i := range list {
			list[i].Detail = list[i].Say(t)
		}
	}
	return nil
}

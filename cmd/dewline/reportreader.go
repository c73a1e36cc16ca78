package main

import (
	"context"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dewline/health"
	"dewline/report"
	"dewline/store/sqlite"
)

// storeReader is the embedded store as reports read it.
type storeReader struct{ db *sqlite.DB }

var (
	_ report.Reader      = storeReader{}
	_ report.FleetReader = storeReader{}
)

func (r storeReader) Source() string { return "the embedded store" }

func (r storeReader) Targets(ctx context.Context) ([]health.Target, error) {
	statuses, err := r.db.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	var out []health.Target
	for _, s := range statuses {
		t, err := r.db.Configured(ctx, s.Target)
		if err != nil {
			return nil, err
		}
		if t == nil {
			t = &health.Target{}
		}
		t.ID, t.Origin = s.Target, s.Origin // what the visits say, whatever the configuration does
		out = append(out, *t)
	}
	return out, nil
}

func (r storeReader) Hours(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.HourFacts) error) error {
	return r.db.Hours(ctx, id, from, to, f)
}

func (r storeReader) Parts(ctx context.Context, id health.TargetID, at time.Time) ([]health.KnownComponent, health.Identity, bool, error) {
	return r.db.PartsAt(ctx, id, at)
}

func (r storeReader) Events(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.Event, error) {
	return r.db.Events(ctx, since, until, id)
}

func (r storeReader) LogEntries(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.LogEntry, error) {
	entries, err := r.db.LogEntries(ctx, since, until, id)
	if err != nil {
		return nil, err
	}
	out := make([]health.LogEntry, len(entries))
	for i, e := range entries {
		out[i] = e.LogEntry
	}
	return out, nil
}

func (r storeReader) Faults(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.Fault, error) {
	all, err := r.db.Faults(ctx, sqlite.FaultFilter{Target: id, Until: until})
	if err != nil {
		return nil, err
	}
	var out []health.Fault
	for _, f := range all {
		if x := report.OpenIn(f, since, until); x != nil {
			out = append(out, *x)
		}
	}
	return out, nil
}

func (r storeReader) Runs(ctx context.Context) ([]report.Run, error) {
	runs, err := r.db.Runs(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]report.Run, len(runs))
	for i, x := range runs {
		out[i] = report.Run{Started: x.Started, Ended: x.Alive, Clean: !x.Stopped.IsZero()}
		if out[i].Clean {
			out[i].Ended = x.Stopped
		}
	}
	return out, nil
}

func (r storeReader) Rollups(ctx context.Context, id health.TargetID, c health.ComponentID, q health.Quantity, from, to time.Time) ([]health.Rollup, error) {
	return r.db.Rollups(ctx, id, c, q, from, to)
}

func (r storeReader) Visits(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.Visit) error) error {
	return r.db.WalkVisits(ctx, sqlite.Range{Since: from, Until: to, Targets: []health.TargetID{id}}, nil, f)
}

// Lacks is nothing: the embedded store holds everything.
func (r storeReader) Lacks() []report.Lack { return nil }

// someInventories is how many are read ahead.
const someInventories = 128

func (r storeReader) EachInventory(ctx context.Context, ids []health.TargetID, at time.Time, f func(health.TargetID, *health.PartFacts) error) error {
	for some := range slices.Chunk(ids, someInventories) {
		facts := make([]*health.PartFacts, len(some))
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(runtime.GOMAXPROCS(0))
		for i, id := range some {
			g.Go(func() (err error) {
				facts[i], err = r.db.Inventory(gctx, id, at)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for i, id := range some {
			if err := f(id, facts[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r storeReader) Days(ctx context.Context, from, until time.Time, want []health.DayQuery, f func(*health.DayFacts) error) error {
	return r.db.Days(ctx, from, until, want, f)
}

func (r storeReader) EachFault(ctx context.Context, from, until time.Time, f func(*health.Fault) error) error {
	return r.db.EachFault(ctx, sqlite.FaultFilter{Until: until}, func(x *health.Fault) error {
		if open := report.OpenIn(*x, from, until); open != nil {
			return f(open)
		}
		return nil
	})
}

func (r storeReader) EachEvent(ctx context.Context, from, until time.Time, f func(*health.Event) error) error {
	return r.db.EachEvent(ctx, from, until, "", f)
}

func (r storeReader) RollupDays(ctx context.Context, id health.TargetID, from, to time.Time, f func(health.RollupDay) error) error {
	return r.db.RollupDays(ctx, id, from, to, f)
}

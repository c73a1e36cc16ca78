package main

import (
	"context"
	"time"

	"dewline/health"
	"dewline/report"
	"dewline/store/influx"
)

// influxFleet is InfluxDB as a capacity review reads it.
type influxFleet struct {
	*influx.Reader
	drops bool // what is old, as far as is known: a fault that began then and is open still cannot be seen
}

var _ report.FleetReader = (*influxFleet)(nil)

func (r *influxFleet) Lacks() []report.Lack {
	lacks := []report.Lack{report.LackInventory, report.LackThresholds, report.LackRuns}
	if r.drops {
		lacks = append(lacks, report.LackFaults)
	}
	return lacks
}

func (r *influxFleet) Targets(ctx context.Context) ([]health.Target, error) {
	targets, err := r.Reader.Targets(ctx)
	if err == nil {
		r.drops, err = r.Drops(ctx)
	}
	return targets, err
}

func (r *influxFleet) EachInventory(ctx context.Context, ids []health.TargetID, _ time.Time, f func(health.TargetID, *health.PartFacts) error) error {
	return r.EachSeries(ctx, ids, func(id health.TargetID, series []health.SeriesFacts) error {
		return f(id, &health.PartFacts{Series: series})
	})
}

func (r *influxFleet) EachEvent(ctx context.Context, from, until time.Time, f func(*health.Event) error) error {
	return r.Reader.EachEvent(ctx, "", from, until, f)
}

func (r *influxFleet) Runs(context.Context) ([]report.Run, error) { return nil, nil }

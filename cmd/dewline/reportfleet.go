package main

import (
	"context"
	"time"

	"dewline/health"
	"dewline/report"
	"dewline/store/influx"
)

// influxFleet is InfluxDB as a capacity review reads it.
type influxFleet struct{ *influx.Reader }

var _ report.FleetReader = influxFleet{}

func (r influxFleet) Lacks() []report.Lack {
	return []report.Lack{report.LackInventory, report.LackThresholds, report.LackRuns}
}

func (r influxFleet) EachInventory(ctx context.Context, ids []health.TargetID, _ time.Time, f func(health.TargetID, *health.PartFacts) error) error {
	return r.EachSeries(ctx, ids, func(id health.TargetID, series []health.SeriesFacts) error {
		return f(id, &health.PartFacts{Series: series})
	})
}

func (r influxFleet) EachEvent(ctx context.Context, from, until time.Time, f func(*health.Event) error) error {
	return r.Reader.EachEvent(ctx, "", from, until, f)
}

func (r influxFleet) Runs(context.Context) ([]report.Run, error) { return nil, nil }

package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"dewline/health"
	"dewline/report"
	"dewline/report/capacity"
)

// mostKept is up to how many servers the evidence has their days without being asked for it (--raw).
const mostKept = 200

// keptDays writes the days down that a review reads.
type keptDays struct {
	report.FleetReader
	days, raw bool
	targets   map[health.TargetID]*health.Target // those that are reviewed
	put       func(any) error                    // a line of data/days.jsonl
	part      func(any) error                    // of data/inventory.jsonl
}

// keptDay is a line of the evidence: what a server's series did in a day.
type keptDay struct {
	Target health.TargetID    `json:"target"`
	Day    time.Time          `json:"day"`
	Ticks  []health.TickCount `json:"ticks"`
	Series []keptSeries       `json:"series"`
	Steps  []keptSteps        `json:"steps,omitempty"`
}

type keptSeries struct {
	Component health.ComponentID `json:"component"`
	Quantity  health.Quantity    `json:"quantity"`
	Unit      health.Unit        `json:"unit"`
	N         uint32             `json:"n"`
	Steps     int                `json:"steps"`
	Min       float64            `json:"min"`
	Mean      float64            `json:"mean"`
	P50       float64            `json:"p50"`
	P95       float64            `json:"p95"`
	P99       float64            `json:"p99"`
	Max       float64            `json:"max"`
	Last      float64            `json:"last"`
}

// keptSteps are the means of five minutes; null where nothing was read.
type keptSteps struct {
	Component health.ComponentID `json:"component"`
	Quantity  health.Quantity    `json:"quantity"`
	Unit      health.Unit        `json:"unit"`
	Means     []*float64         `json:"means"`
}

// build makes the review, and data/inventory.jsonl and data/days.jsonl beside it, of what it read.
func (k *keptDays) build(ctx context.Context, dir string, q capacity.Request) (rep *capacity.Report, err error) {
	folder := filepath.Join(dir, "data")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("write evidence: %w", err)
	}
	k.targets = map[health.TargetID]*health.Target{}
	for i := range q.Targets {
		k.targets[q.Targets[i].ID] = &q.Targets[i]
	}
	err = jsonLines(filepath.Join(folder, "inventory.jsonl"), func(part func(any) error) error {
		k.part = part
		build := func(put func(any) error) (err error) {
			k.put = put
			rep, err = capacity.Build(ctx, k, q)
			return err
		}
		if !k.days {
			return build(nil)
		}
		return jsonLines(filepath.Join(folder, "days.jsonl"), build)
	})
	return rep, err
}

// EachInventory writes down what was told of the servers that are reviewed, once: the review asks once.
func (k *keptDays) EachInventory(ctx context.Context, ids []health.TargetID, at time.Time, f func(health.TargetID, *health.PartFacts) error) error {
	return k.FleetReader.EachInventory(ctx, ids, at, func(id health.TargetID, facts *health.PartFacts) error {
		if t := k.targets[id]; t != nil {
			if err := k.part(struct {
				Target health.Target
				*health.PartFacts
			}{*t, facts}); err != nil {
				return err
			}
		}
		return f(id, facts)
	})
}

func (k *keptDays) Days(ctx context.Context, from, until time.Time, want []health.DayQuery, f func(*health.DayFacts) error) error {
	if !k.days {
		return k.FleetReader.Days(ctx, from, until, want, f)
	}
	queries := map[health.TargetID]*health.DayQuery{}
	for i := range want {
		queries[want[i].Target] = &want[i]
	}
	return k.FleetReader.Days(ctx, from, until, want, func(x *health.DayFacts) error {
		if err := k.put(k.line(queries[x.Target], x)); err != nil {
			return err
		}
		return f(x)
	})
}

func (k *keptDays) line(q *health.DayQuery, x *health.DayFacts) keptDay {
	out := keptDay{Target: x.Target, Day: x.Day, Ticks: append([]health.TickCount{}, x.Ticks...), Series: []keptSeries{}}
	for i := range x.Daily {
		if d := &x.Daily[i]; d.N > 0 {
			s := q.Daily[i]
			out.Series = append(out.Series, keptSeries{s.Component, s.Quantity, s.Unit, d.N, d.Steps, d.Min, d.Mean(), d.Quantile(0.5), d.Quantile(0.95), d.Quantile(0.99), d.Max, d.Last})
		}
	}
	if !k.raw {
		return out
	}
	for i, a := range x.Aligned {
		if a == nil {
			continue
		}
		s := keptSteps{q.Aligned[i].Component, q.Aligned[i].Quantity, q.Aligned[i].Unit, make([]*float64, len(a))}
		for j, v := range a {
			if !math.IsNaN(v) {
				s.Means[j] = new(v)
			}
		}
		out.Steps = append(out.Steps, s)
	}
	return out
}

// capacityEvidence writes what else the review rests on: the faults and events of its servers.
func capacityEvidence(ctx context.Context, dir string, r report.FleetReader, q *capacity.Request, rep *capacity.Report) error {
	folder := filepath.Join(dir, "data")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	in := map[health.TargetID]bool{}
	for _, t := range q.Targets {
		in[t.ID] = true
	}
	if err := jsonLines(filepath.Join(folder, "faults.jsonl"), func(put func(any) error) error {
		return r.EachFault(ctx, rep.From, rep.Until, func(x *health.Fault) error {
			if !in[x.Target] {
				return nil
			}
			return put(x)
		})
	}); err != nil {
		return err
	}
	return jsonLines(filepath.Join(folder, "events.jsonl"), func(put func(any) error) error {
		return r.EachEvent(ctx, rep.From, rep.Until, func(x *health.Event) error {
			if !in[x.Target] {
				return nil
			}
			return put(x)
		})
	})
}

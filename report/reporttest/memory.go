// Package reporttest has a fleet in memory, of raw samples, that tests compare readers and reports with. It computes in the plainest
// way there is.
package reporttest

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"dewline/health"
	"dewline/report"
)

// Sample is one value as a visit read it.
type Sample struct {
	At    time.Time
	Value float64
}

// Machine is what was read of one server.
type Machine struct {
	Target   health.Target
	Identity health.Identity
	Parts    []health.KnownComponent
	Facts    map[health.SeriesID]health.SeriesFacts
	Samples  map[health.SeriesID][]Sample // in order of time
}

// NewMachine has read nothing yet.
func NewMachine(t health.Target) *Machine {
	return &Machine{Target: t, Facts: map[health.SeriesID]health.SeriesFacts{}, Samples: map[health.SeriesID][]Sample{}}
}

// Read adds a value.
func (m *Machine) Read(id health.SeriesID, class health.Class, at time.Time, v float64) {
	m.Facts[id] = health.SeriesFacts{SeriesID: id, Class: class}
	m.Samples[id] = append(m.Samples[id], Sample{at, v})
}

// Fleet is a report.FleetReader over machines.
type Fleet struct {
	Machines []*Machine
	Faults   []health.Fault
	Events   []health.Event
}

var _ report.FleetReader = (*Fleet)(nil)

func (f *Fleet) Source() string       { return "memory" }
func (f *Fleet) Lacks() []report.Lack { return nil }

func (f *Fleet) Targets(context.Context) ([]health.Target, error) {
	var out []health.Target
	for _, m := range f.Machines {
		out = append(out, m.Target)
	}
	slices.SortFunc(out, func(a, b health.Target) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func (f *Fleet) machine(id health.TargetID) *Machine {
	for _, m := range f.Machines {
		if m.Target.ID == id {
			return m
		}
	}
	return nil
}

// EachInventory is FleetReader's.
func (f *Fleet) EachInventory(_ context.Context, ids []health.TargetID, _ time.Time, give func(health.TargetID, *health.PartFacts) error) error {
	for _, id := range ids {
		if err := give(id, f.inventory(id)); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) inventory(id health.TargetID) *health.PartFacts {
	m := f.machine(id)
	if m == nil {
		return &health.PartFacts{}
	}
	out := &health.PartFacts{Known: true, Identity: m.Identity, Parts: slices.Clone(m.Parts)}
	for _, s := range m.Facts {
		out.Series = append(out.Series, s)
	}
	slices.SortFunc(out.Parts, func(a, b health.KnownComponent) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(out.Series, func(a, b health.SeriesFacts) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Quantity, b.Quantity), cmp.Compare(a.Unit, b.Unit))
	})
	return out
}

// within are the samples of from <= t < until.
func within(all []Sample, from, until time.Time) []Sample {
	i, _ := slices.BinarySearchFunc(all, from, func(s Sample, t time.Time) int { return s.At.Compare(t) })
	k, _ := slices.BinarySearchFunc(all, until, func(s Sample, t time.Time) int { return s.At.Compare(t) })
	return all[i:k]
}

// Days is FleetReader's. A tick of the readings tier was done whenever anything was read.
func (f *Fleet) Days(_ context.Context, from, until time.Time, want []health.DayQuery, give func(*health.DayFacts) error) error {
	for day := from.Truncate(24 * time.Hour); day.Before(until); day = day.Add(24 * time.Hour) {
		begin, end := day, day.Add(24*time.Hour)
		if from.After(begin) {
			begin = from
		}
		if until.Before(end) {
			end = until
		}
		for i := range want {
			m := f.machine(want[i].Target)
			if m == nil {
				continue
			}
			if x := m.day(&want[i], day, begin, end); x != nil {
				if err := give(x); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (m *Machine) day(q *health.DayQuery, day, begin, end time.Time) *health.DayFacts {
	visits := map[time.Time]bool{}
	for _, all := range m.Samples {
		for _, s := range within(all, begin, end) {
			visits[s.At] = true
		}
	}
	if len(visits) == 0 {
		return nil
	}
	x := &health.DayFacts{
		Target: q.Target, Day: day, Aligned: make([][]float64, len(q.Aligned)), Daily: make([]health.DaySeries, len(q.Daily)),
		Ticks: []health.TickCount{{Tier: health.TierReadings, Done: len(visits)}},
	}
	for k, id := range q.Aligned {
		steps := make([][]float64, health.StepsPerDay)
		any := false
		for _, s := range within(m.Samples[id], begin, end) {
			i := int(s.At.Sub(day) / health.AlignStep)
			steps[i], any = append(steps[i], s.Value), true
		}
		if !any {
			continue
		}
		x.Aligned[k] = make([]float64, len(steps))
		for i, v := range steps {
			x.Aligned[k][i] = math.NaN()
			if len(v) > 0 {
				x.Aligned[k][i] = mean(v)
			}
		}
	}
	for k, id := range q.Daily {
		some := within(m.Samples[id], begin, end)
		if len(some) == 0 {
			continue
		}
		steps := map[time.Time]bool{}
		values := make([]float64, len(some))
		for i, s := range some {
			values[i], steps[s.At.Truncate(health.AlignStep)] = s.Value, true
		}
		first, last := some[0].At.Truncate(health.AlignStep), some[len(some)-1].At.Truncate(health.AlignStep)
		x.Daily[k] = health.DaySeries{Steps: len(steps), Rollup: health.Rollup{
			At: first, Span: last.Add(health.AlignStep).Sub(first), N: uint32(len(values)), Min: slices.Min(values), Max: slices.Max(values), Sum: mean(values) * float64(len(values)),
			Last: values[len(values)-1], Unit: id.Unit, Hist: health.HistogramOf(values),
		}}
	}
	return x
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

func (f *Fleet) EachFault(_ context.Context, from, until time.Time, give func(*health.Fault) error) error {
	all := slices.Clone(f.Faults)
	slices.SortStableFunc(all, func(a, b health.Fault) int { return a.Opened.Compare(b.Opened) })
	for i := range all {
		x := &all[i]
		if !x.Opened.Before(until) || x.Closed() && x.Cleared.Before(from) {
			continue
		}
		if x.Closed() && !x.Cleared.Before(until) {
			x.State, x.Cleared = health.Asserted, time.Time{}
		}
		if err := give(x); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) EachEvent(_ context.Context, from, until time.Time, give func(*health.Event) error) error {
	all := slices.Clone(f.Events)
	slices.SortStableFunc(all, func(a, b health.Event) int { return a.At.Compare(b.At) })
	for i := range all {
		if all[i].At.Before(from) || !all[i].At.Before(until) {
			continue
		}
		if err := give(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) Runs(context.Context) ([]report.Run, error) { return nil, nil }

package influx

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// dayTargets is how many targets one request asks for.
const dayTargets = 25

// EachSeries calls f for each of ids, in their order, with the series that were ever read of it, in order of component, quantity and unit. Thresholds are
// not in InfluxDB.
func (r *Reader) EachSeries(ctx context.Context, ids []health.TargetID, f func(health.TargetID, []health.SeriesFacts) error) error {
	classes, err := r.classes(ctx)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(ids, dayTargets) {
		found, err := r.seriesOf(ctx, some, classes)
		if err != nil {
			return err
		}
		for _, id := range some {
			if err := f(id, found[id]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Reader) seriesOf(ctx context.Context, ids []health.TargetID, classes []health.Class) (map[health.TargetID][]health.SeriesFacts, error) {
	if len(classes) == 0 {
		return nil, nil
	}
	targets := make([]string, len(ids))
	for i, id := range ids {
		targets[i] = ofTarget(id)
	}
	var statements []string
	for _, c := range classes {
		statements = append(statements, fmt.Sprintf("SELECT last(*) FROM %s WHERE (%s) GROUP BY %s, %s", name(measurement(c)), strings.Join(targets, " OR "), tagTarget, tagComponent))
	}
	var found map[health.TargetID][]health.SeriesFacts
	if err := r.ask(ctx, statements, func() { found = map[health.TargetID][]health.SeriesFacts{} }, func(n int, s *rows) error {
		if n >= len(classes) || len(s.Values) == 0 {
			return nil
		}
		has := func(field string) bool { return !get(s.Values[0], s.column("last_"+field)).null }
		id := health.TargetID(s.Tags[tagTarget])
		for i, c := range s.Columns {
			field, ok := strings.CutPrefix(c, "last_")
			if !ok || get(s.Values[0], i).null {
				continue
			}
			q, u, ok := health.FieldOf(strings.TrimPrefix(field, "value_"))
			if !ok {
				continue
			}
			found[id] = append(found[id], health.SeriesFacts{
				SeriesID: health.SeriesID{Component: health.ComponentID(s.Tags[tagComponent]), Quantity: q, Unit: u}, Class: classes[n],
				Derived: q == health.DewPointError || q == health.MarginError || q == health.DewPoint && has(fieldName(health.DewPointError, health.Kelvin)) ||
					q == health.CondensationMargin && has(fieldName(health.MarginError, health.Kelvin)),
			})
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, series := range found {
		slices.SortFunc(series, func(a, b health.SeriesFacts) int {
			return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Quantity, b.Quantity), cmp.Compare(a.Unit, b.Unit))
		})
	}
	return found, nil
}

// Days calls f for each UTC day that touches from to until and each target of want: all targets of a day before those of the next, in the
// order of want. It is made of every value, as the embedded store makes it of rollups.
func (r *Reader) Days(ctx context.Context, from, until time.Time, want []health.DayQuery, f func(*health.DayFacts) error) error {
	for day := from.UTC().Truncate(24 * time.Hour); day.Before(until); day = day.Add(24 * time.Hour) {
		begin, end := day, day.Add(24*time.Hour)
		if from.After(begin) {
			begin = from
		}
		if until.Before(end) {
			end = until
		}
		for some := range slices.Chunk(want, dayTargets) {
			days, err := r.daysOf(ctx, day, begin, end, some)
			if err != nil {
				return err
			}
			for i := range days {
				if days[i] == nil {
					continue
				}
				if err := f(days[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// daySeries gathers the values of one series in a day.
type daySeries struct {
	sums   [health.StepsPerDay]float64
	counts [health.StepsPerDay]int
	values []float64
}

func (r *Reader) daysOf(ctx context.Context, day, begin, end time.Time, want []health.DayQuery) ([]*health.DayFacts, error) {
	targets := make([]string, len(want))
	fields := map[string]map[string]bool{} // by measurement
	for i, q := range want {
		targets[i] = ofTarget(q.Target)
		for _, id := range slices.Concat(q.Aligned, q.Daily) {
			m := measurement(classFromID(id.Component))
			if fields[m] == nil {
				fields[m] = map[string]bool{}
			}
			fields[m][fieldName(id.Quantity, id.Unit)] = true
		}
	}
	where := "(" + strings.Join(targets, " OR ") + ")" + during(begin, end)
	hours := "(" + strings.Join(targets, " OR ") + ")" + during(begin.Add(time.Hour-1).Truncate(time.Hour), end.Add(time.Hour-1).Truncate(time.Hour))
	statements := []string{fmt.Sprintf("SELECT count(ticks) FROM %s WHERE %s AND ticks < 2 GROUP BY %s, tier, result", VisitMeasurement, hours, tagTarget)}
	for _, m := range slices.Sorted(maps.Keys(fields)) {
		names := slices.Sorted(maps.Keys(fields[m]))
		for i := range names {
			names[i] = name(names[i])
		}
		statements = append(statements, fmt.Sprintf("SELECT %s FROM %s WHERE %s GROUP BY %s, %s", strings.Join(names, ", "), name(m), where, tagTarget, tagComponent))
	}
	type key struct {
		target health.TargetID
		health.SeriesID
	}
	var found map[key]*daySeries
	var ticks map[health.TargetID]map[health.Tier]*health.TickCount
	if err := r.ask(ctx, statements, func() { found, ticks = map[key]*daySeries{}, map[health.TargetID]map[health.Tier]*health.TickCount{} }, func(n int, s *rows) error {
		id := health.TargetID(s.Tags[tagTarget])
		if n == 0 {
			return addTicks(ticks, id, s)
		}
		at := s.column("time")
		for c, field := range s.Columns {
			if c == at {
				continue
			}
			q, u, ok := health.FieldOf(strings.TrimPrefix(field, "value_"))
			if !ok {
				continue
			}
			k := key{id, health.SeriesID{Component: health.ComponentID(s.Tags[tagComponent]), Quantity: q, Unit: u}}
			x := found[k]
			for _, row := range s.Values {
				v := get(row, c)
				if v.null {
					continue
				}
				if x == nil {
					x = &daySeries{}
					found[k] = x
				}
				step := (get(row, at).whole - day.UnixNano()) / int64(health.AlignStep)
				if step < 0 || step >= int64(health.StepsPerDay) {
					continue
				}
				x.sums[step] = health.FiniteSum(x.sums[step], v.num)
				x.counts[step]++
				x.values = append(x.values, v.num)
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	out := make([]*health.DayFacts, len(want))
	for i, q := range want {
		d := &health.DayFacts{Target: q.Target, Day: day, Aligned: make([][]float64, len(q.Aligned)), Daily: make([]health.DaySeries, len(q.Daily))}
		any := false
		for k, id := range q.Aligned {
			if x := found[key{q.Target, id}]; x != nil {
				d.Aligned[k], any = x.steps(), true
			}
		}
		for k, id := range q.Daily {
			if x := found[key{q.Target, id}]; x != nil {
				d.Daily[k], any = x.day(day, id.Unit), true
			}
		}
		for _, tier := range health.AllTiers {
			if t := ticks[q.Target][tier]; t != nil && t.Done+t.Late+t.Failed+t.Missed > 0 {
				d.Ticks, any = append(d.Ticks, *t), true
			}
		}
		if any {
			out[i] = d
		}
	}
	return out, nil
}

func addTicks(all map[health.TargetID]map[health.Tier]*health.TickCount, id health.TargetID, s *rows) error {
	tier, err := tierOf(s)
	if err != nil || len(s.Values) == 0 {
		return err
	}
	if all[id] == nil {
		all[id] = map[health.Tier]*health.TickCount{}
	}
	t := all[id][tier]
	if t == nil {
		t = &health.TickCount{Tier: tier}
		all[id][tier] = t
	}
	n := int(get(s.Values[0], s.column("count")).num)
	switch health.Result(s.Tags["result"]) {
	case health.Done:
		t.Done += n
	case health.Late:
		t.Late += n
	case health.Missed:
		t.Missed += n
	default:
		t.Failed += n
	}
	return nil
}

// steps are the means of the steps; NaN where nothing was read.
func (x *daySeries) steps() []float64 {
	out := make([]float64, health.StepsPerDay)
	for i, n := range x.counts {
		if out[i] = math.NaN(); n > 0 {
			out[i] = x.sums[i] / float64(n)
		}
	}
	return out
}

func (x *daySeries) day(day time.Time, unit health.Unit) health.DaySeries {
	first, last, steps := -1, 0, 0
	for i, n := range x.counts {
		if n > 0 {
			if first < 0 {
				first = i
			}
			last, steps = i, steps+1
		}
	}
	if steps == 0 {
		return health.DaySeries{}
	}
	d := health.DaySeries{Steps: steps, Rollup: health.Rollup{
		At: day.Add(time.Duration(first) * health.AlignStep), Span: time.Duration(last-first+1) * health.AlignStep, N: uint32(len(x.values)), Min: slices.Min(x.values), Max: slices.Max(x.values),
		Last: x.values[len(x.values)-1], Unit: unit, Hist: health.HistogramOf(x.values),
	}}
	for _, s := range x.sums {
		d.Sum = health.FiniteSum(d.Sum, s)
	}
	return d
}

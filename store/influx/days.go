package influx

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"dewline/health"
)

const (
	// dayTargets is how many targets one request asks for.
	dayTargets = 100
	// daysAtOnce is how many requests for days are under way at once: the server has others to serve.
	daysAtOnce = 2
)

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
// order of want. It is made of every value, as the embedded store makes it of rollups. A few requests are under way at once; what is held is the
// days of their targets, and of one series the values.
func (r *Reader) Days(ctx context.Context, from, until time.Time, want []health.DayQuery, f func(*health.DayFacts) error) error {
	type part struct {
		days []*health.DayFacts
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	var ahead []chan part // requests under way, in the order of what they ask for
	give := func() error {
		p := <-ahead[0]
		ahead = ahead[1:]
		if p.err != nil {
			return p.err
		}
		for _, d := range p.days {
			if d == nil {
				continue
			}
			if err := f(d); err != nil {
				return err
			}
		}
		return nil
	}
	for day := from.UTC().Truncate(24 * time.Hour); day.Before(until); day = day.Add(24 * time.Hour) {
		begin, end := day, day.Add(24*time.Hour)
		if from.After(begin) {
			begin = from
		}
		if until.Before(end) {
			end = until
		}
		for some := range slices.Chunk(want, dayTargets) {
			if len(ahead) == daysAtOnce {
				if err := give(); err != nil {
					return err
				}
			}
			answer := make(chan part, 1)
			ahead = append(ahead, answer)
			asking.Go(func() {
				days, err := r.daysOf(ctx, day, begin, end, some)
				answer <- part{days, err}
			})
		}
	}
	for len(ahead) > 0 {
		if err := give(); err != nil {
			return err
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

// wanted is where a series of an answer belongs.
type wanted struct {
	target         int   // in the queries
	aligned, daily []int // of its query
	had            bool  // of this day
}

// dayKey names a series of a target.
type dayKey struct {
	target health.TargetID
	health.SeriesID
}

// dayMaker makes the days of one request. The server gives the series of a measurement one after the other: of a series that is over only what is
// wanted is kept.
type dayMaker struct {
	day    time.Time
	wanted map[dayKey]*wanted
	days   []*health.DayFacts
	any    []bool
	ticks  map[health.TargetID]map[health.Tier]*health.TickCount
	of     [3]string // measurement, target and component of the rows before
	now    map[string]*daySeries
	spare  []*daySeries
}

func (m *dayMaker) begin(want []health.DayQuery) {
	m.days, m.any = make([]*health.DayFacts, len(want)), make([]bool, len(want))
	for i, q := range want {
		m.days[i] = &health.DayFacts{Target: q.Target, Day: m.day, Aligned: make([][]float64, len(q.Aligned)), Daily: make([]health.DaySeries, len(q.Daily))}
	}
	for _, w := range m.wanted {
		w.had = false
	}
	m.ticks, m.of, m.now = map[health.TargetID]map[health.Tier]*health.TickCount{}, [3]string{}, map[string]*daySeries{}
}

// id is the series of a column.
func (m *dayMaker) id(column string) (dayKey, bool) {
	q, u, ok := health.FieldOf(strings.TrimPrefix(column, "value_"))
	return dayKey{health.TargetID(m.of[1]), health.SeriesID{Component: health.ComponentID(m.of[2]), Quantity: q, Unit: u}}, ok
}

func (m *dayMaker) take(s *rows) error {
	if of := [3]string{s.Name, s.Tags[tagTarget], s.Tags[tagComponent]}; of != m.of {
		if err := m.end(); err != nil {
			return err
		}
		m.of = of
	}
	at := s.column("time")
	for c, column := range s.Columns {
		key, ok := m.id(column)
		if c == at || !ok || m.wanted[key] == nil {
			continue
		}
		x := m.now[column]
		for _, row := range s.Values {
			v := get(row, c)
			if v.null {
				continue
			}
			step := (get(row, at).whole - m.day.UnixNano()) / int64(health.AlignStep)
			if step < 0 || step >= int64(health.StepsPerDay) {
				continue
			}
			if x == nil {
				x = m.fresh()
				m.now[column] = x
			}
			x.sums[step] = health.FiniteSum(x.sums[step], v.num)
			x.counts[step]++
			x.values = append(x.values, v.num)
		}
	}
	return nil
}

func (m *dayMaker) fresh() *daySeries {
	n := len(m.spare)
	if n == 0 {
		return &daySeries{}
	}
	x := m.spare[n-1]
	m.spare = m.spare[:n-1]
	*x = daySeries{values: x.values[:0]}
	return x
}

// end keeps of the series before what is wanted.
func (m *dayMaker) end() error {
	for column, x := range m.now {
		key, _ := m.id(column)
		w := m.wanted[key]
		if w.had {
			return final(&failure{text: fmt.Sprintf("the answer gives %s of %s, %s in two pieces", column, key.target, key.Component)})
		}
		w.had = true
		d := m.days[w.target]
		for _, k := range w.aligned {
			d.Aligned[k] = x.steps()
		}
		for _, k := range w.daily {
			d.Daily[k] = x.day(m.day, key.Unit)
		}
		m.any[w.target] = true
		m.spare = append(m.spare, x)
	}
	clear(m.now)
	return nil
}

// daysOf is the day of some targets, nil for one of which it has nothing.
func (r *Reader) daysOf(ctx context.Context, day, begin, end time.Time, want []health.DayQuery) ([]*health.DayFacts, error) {
	m := dayMaker{day: day, wanted: map[dayKey]*wanted{}}
	targets := make([]string, len(want))
	type selection struct{ fields, components map[string]bool }
	by := map[string]selection{} // by measurement
	for i, q := range want {
		targets[i] = ofTarget(q.Target)
		note := func(id health.SeriesID) *wanted {
			c := measurement(classFromID(id.Component))
			if by[c].fields == nil {
				by[c] = selection{map[string]bool{}, map[string]bool{}}
			}
			by[c].fields[name(fieldName(id.Quantity, id.Unit))] = true
			by[c].components[tagComponent+" = "+quoted(tagText(string(id.Component)))] = true
			key := dayKey{q.Target, id}
			w := m.wanted[key]
			if w == nil {
				w = &wanted{target: i}
				m.wanted[key] = w
			}
			return w
		}
		for k, id := range q.Aligned {
			w := note(id)
			w.aligned = append(w.aligned, k)
		}
		for k, id := range q.Daily {
			w := note(id)
			w.daily = append(w.daily, k)
		}
	}
	of := "(" + strings.Join(targets, " OR ") + ")"
	hours := of + during(begin.Add(time.Hour-1).Truncate(time.Hour), end.Add(time.Hour-1).Truncate(time.Hour))
	statements := []string{fmt.Sprintf("SELECT count(ticks) FROM %s WHERE %s AND ticks < 2 GROUP BY %s, tier, result", VisitMeasurement, hours, tagTarget)}
	for _, c := range slices.Sorted(maps.Keys(by)) {
		// Only the parts that are wanted: a server has many sensors that nobody asks for.
		parts := strings.Join(slices.Sorted(maps.Keys(by[c].components)), " OR ")
		statements = append(statements, fmt.Sprintf("SELECT %s FROM %s WHERE %s AND (%s)%s GROUP BY %s, %s",
			strings.Join(slices.Sorted(maps.Keys(by[c].fields)), ", "), name(c), of, parts, during(begin, end), tagTarget, tagComponent))
	}
	if err := r.ask(ctx, statements, func() { m.begin(want) }, func(n int, s *rows) error {
		if n == 0 {
			return addTicks(m.ticks, health.TargetID(s.Tags[tagTarget]), s)
		}
		return m.take(s)
	}); err != nil {
		return nil, err
	}
	if err := m.end(); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.Source(), err)
	}
	for i, d := range m.days {
		for _, tier := range health.AllTiers {
			if t := m.ticks[d.Target][tier]; t != nil && t.Done+t.Late+t.Failed+t.Missed > 0 {
				d.Ticks, m.any[i] = append(d.Ticks, *t), true
			}
		}
		if !m.any[i] {
			m.days[i] = nil
		}
	}
	return m.days, nil
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

package influx

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// EachEvent calls f for the events of one target, or ("") of all, with since <= At < until, in order of time. What InfluxDB does not hold of them
// (evidence, the source's severity, subject) is empty; of events that an earlier version wrote, the rule and the fault too. Those of all targets are
// read day by day, and no more than a day of them is held.
func (r *Reader) EachEvent(ctx context.Context, id health.TargetID, since, until time.Time, f func(*health.Event) error) error {
	if id != "" {
		return r.eventsOf(ctx, ofTarget(id), since, until, f)
	}
	first, last, ok, err := r.ends(ctx, fieldEventID, EventMeasurement, during(since, until))
	if err != nil || !ok {
		return err
	}
	if since.IsZero() || first.After(since) {
		since = first
	}
	if until.IsZero() || last.Before(until) {
		until = last.Add(1)
	}
	for since.Before(until) {
		end := since.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		if until.Before(end) {
			end = until
		}
		if err := r.eventsOf(ctx, tagTarget+" != ''", since, end, f); err != nil {
			return err
		}
		since = end
	}
	return nil
}

func (r *Reader) eventsOf(ctx context.Context, where string, since, until time.Time, f func(*health.Event) error) error {
	q := fmt.Sprintf("SELECT %s FROM %s WHERE %s GROUP BY %s, class, %s, kind, severity", eventColumns, EventMeasurement, where+during(since, until), tagTarget, tagComponent)
	var out []health.Event
	seen := map[string]bool{}
	if err := r.ask(ctx, []string{q}, func() { out, seen = nil, map[string]bool{} }, func(_ int, s *rows) error {
		read := r.events(s)
		for _, row := range s.Values {
			e, err := read(row)
			if err != nil {
				return err
			}
			if e.ID == "" || seen[e.ID] {
				continue
			}
			seen[e.ID] = true
			out = append(out, e)
		}
		return nil
	}); err != nil {
		return err
	}
	slices.SortStableFunc(out, func(a, b health.Event) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Target, b.Target), cmp.Compare(a.ID, b.ID))
	})
	for i := range out {
		if err := f(&out[i]); err != nil {
			return err
		}
	}
	return nil
}

// Rollups is the five-minute rollups of one quantity of a component that begin from <= At < to, in order of time.
func (r *Reader) Rollups(ctx context.Context, id health.TargetID, c health.ComponentID, q health.Quantity, from, to time.Time) ([]health.Rollup, error) {
	const span = 5 * time.Minute
	first, last, ok, err := r.span(ctx, id)
	if err != nil || !ok {
		return nil, err
	}
	begin := from
	if from.IsZero() || first.After(from) {
		from = first
	}
	if to.IsZero() || last.Before(to) {
		to = last.Add(1)
	}
	class := classFromID(c)
	fields := map[string]health.Unit{}
	if err := r.ask(ctx, []string{"SHOW FIELD KEYS FROM " + name(measurement(class))}, func() { clear(fields) }, func(_ int, s *rows) error {
		for _, row := range s.Values {
			field := get(row, s.column("fieldKey")).text
			if has, unit, ok := health.FieldOf(field); ok && has == q {
				fields[field] = unit
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var out []health.Rollup
	for field, unit := range fields {
		var values []float64
		var at time.Time
		var some []health.Rollup
		end := func() {
			if len(values) == 0 {
				return
			}
			x := health.Rollup{At: at, Span: span, N: uint32(len(values)), Min: slices.Min(values), Max: slices.Max(values), Last: values[len(values)-1], Unit: unit, Hist: health.HistogramOf(values)}
			for _, v := range values {
				x.Sum = health.FiniteSum(x.Sum, v)
			}
			some, values = append(some, x), values[:0]
		}
		where := fmt.Sprintf("%s AND %s = %s", ofTarget(id), tagComponent, quoted(tagText(string(c)))) + during(from, to)
		if err := r.ask(ctx, []string{fmt.Sprintf("SELECT %s FROM %s WHERE %s", name(field), name(measurement(class)), where)}, func() { some, values = nil, nil }, func(_ int, s *rows) error {
			when, v := s.column("time"), s.column(field)
			for _, row := range s.Values {
				x := get(row, v)
				if x.null {
					continue
				}
				if t := time.Unix(0, get(row, when).whole).UTC().Truncate(span); !t.Equal(at) {
					end()
					at = t
				}
				values = append(values, x.num)
			}
			return nil
		}); err != nil {
			return nil, err
		}
		end()
		out = append(out, some...)
	}
	out = slices.DeleteFunc(out, func(x health.Rollup) bool { return x.At.Before(begin) })
	slices.SortStableFunc(out, func(a, b health.Rollup) int { return a.At.Compare(b.At) })
	return out, nil
}

// Point is one point as it stands in InfluxDB.
type Point struct {
	Measurement string            `json:"measurement"`
	Tags        map[string]string `json:"tags"`
	Time        time.Time         `json:"time"`
	Fields      map[string]any    `json:"fields"`
}

// Points calls f for every point of a target with from <= time < to, series by series. They are held in memory: ask for hours, not for months.
func (r *Reader) Points(ctx context.Context, id health.TargetID, from, to time.Time, f func(*Point) error) error {
	var statements []string
	if err := r.ask(ctx, []string{"SHOW MEASUREMENTS"}, func() { statements = nil }, func(_ int, s *rows) error {
		for _, row := range s.Values {
			if m := get(row, 0).text; strings.HasPrefix(m, Prefix) { // each by itself: hw_event has a state that is text
				statements = append(statements, fmt.Sprintf("SELECT * FROM %s WHERE %s GROUP BY *", name(m), ofTarget(id)+during(from, to)))
			}
		}
		return nil
	}); err != nil || len(statements) == 0 {
		return err
	}
	var out []Point
	if err := r.ask(ctx, statements, func() { out = nil }, func(_ int, s *rows) error {
		p := Point{Measurement: s.Name, Tags: map[string]string{}}
		for k, v := range s.Tags {
			if v != "" { // a tag that another series of the measurement has
				p.Tags[k] = v
			}
		}
		for _, row := range s.Values {
			p.Fields = map[string]any{}
			for i, c := range s.Columns {
				switch x := get(row, i); {
				case c == "time":
					p.Time = time.Unix(0, x.whole).UTC()
				case x.null:
				case x.text != "":
					p.Fields[c] = x.text
				default:
					p.Fields[c] = x.num
				}
			}
			out = append(out, p)
		}
		return nil
	}); err != nil {
		return err
	}
	for i := range out {
		if err := f(&out[i]); err != nil {
			return err
		}
	}
	return nil
}

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
// (evidence, the source's severity, subject) is empty; of events that an earlier version wrote, the rule and the fault too.
func (r *Reader) EachEvent(ctx context.Context, id health.TargetID, since, until time.Time, f func(*health.Event) error) error {
	where := tagTarget + " != ''"
	if id != "" {
		where = ofTarget(id)
	}
	q := fmt.Sprintf("SELECT %s, %s, %s, message, rule, source, source_time, state FROM %s WHERE %s GROUP BY %s, class, %s, kind, severity",
		fieldEventID, fieldFaultID, fieldAtStart, EventMeasurement, where+during(since, until), tagTarget, tagComponent)
	var out []health.Event
	seen := map[string]bool{}
	if err := r.ask(ctx, []string{q}, func() { out, seen = nil, map[string]bool{} }, func(_ int, s *rows) error {
		var severity health.Severity
		if err := severity.UnmarshalText([]byte(s.Tags["severity"])); err != nil {
			return final(&failure{text: EventMeasurement + ": " + err.Error()})
		}
		col := map[string]int{}
		for i, c := range s.Columns {
			col[c] = i
		}
		for _, row := range s.Values {
			text := func(c string) string { return get(row, col[c]).text }
			e := health.Event{
				ID: text(fieldEventID), Target: health.TargetID(s.Tags[tagTarget]), Component: health.ComponentID(s.Tags[tagComponent]),
				Class: health.Class(s.Tags["class"]), Kind: health.Kind(s.Tags["kind"]), Severity: severity, Transition: health.Transition(text(fieldState)),
				Message: text("message"), Rule: text("rule"), Source: text("source"), FaultID: text(fieldFaultID),
				At: time.Unix(0, get(row, col["time"]).whole).UTC(), AtStart: get(row, col[fieldAtStart]).num == 1, From: r.Source(),
			}
			if t := text("source_time"); t != "" {
				at, err := time.Parse(time.RFC3339Nano, t)
				if err != nil {
					return final(&failure{text: EventMeasurement + ": source_time: " + err.Error()})
				}
				e.SourceTime = at
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

// FaultsOf is the faults that events tell of, in the order in which they opened. The events are all there are, in order of time. An event that does not
// say which fault it belongs to ends the one of its component and kind that opened last; one of a fault whose beginning is not told begins it.
func FaultsOf(events []health.Event) []health.Fault {
	var out []health.Fault
	byID := map[string]int{}
	last := func(e *health.Event) int {
		for i, f := range slices.Backward(out) {
			if !f.Closed() && f.Target == e.Target && f.Component == e.Component && f.Kind == e.Kind {
				return i
			}
		}
		return -1
	}
	for i := range events {
		e := &events[i]
		if e.Transition == health.Momentary {
			continue
		}
		k, known := byID[e.FaultID]
		if !known || e.FaultID == "" {
			k = -1
			if e.FaultID == "" && e.Transition != health.Asserted {
				k = last(e)
			}
		}
		if k < 0 {
			id := cmp.Or(e.FaultID, e.ID)
			byID[id] = len(out)
			out = append(out, health.Fault{
				ID: id, Target: e.Target, Component: e.Component, Class: e.Class, Kind: e.Kind, Severity: e.Severity, State: health.Asserted, Rule: e.Rule,
				Message: e.Message, Opened: e.At, Changed: e.At, AtStart: e.AtStart,
			})
			k = len(out) - 1
		}
		f := &out[k]
		f.Changed = e.At
		switch e.Transition {
		case health.Cleared, health.Unmonitored:
			f.State, f.Cleared = e.Transition, e.At
		case health.Asserted, health.Escalated, health.Deescalated:
			f.State, f.Cleared, f.Severity = health.Asserted, time.Time{}, e.Severity
		}
	}
	return out
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

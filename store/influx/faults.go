package influx

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// eventColumns are what is asked for of an event, beside the tags that an answer is grouped by.
const eventColumns = fieldEventID + ", " + fieldFaultID + ", " + fieldAtStart + ", message, rule, source, source_time, " + fieldState

// events makes events of the rows of an answer. Tags that the answer is not grouped by stand in its columns.
func (r *Reader) events(s *rows) func(row []cell) (health.Event, error) {
	col := map[string]int{}
	for i, c := range s.Columns {
		col[c] = i
	}
	source := r.Source()
	return func(row []cell) (health.Event, error) {
		text := func(c string) string {
			if i, ok := col[c]; ok {
				return get(row, i).text
			}
			return s.Tags[c]
		}
		e := health.Event{
			ID: text(fieldEventID), Target: health.TargetID(text(tagTarget)), Component: health.ComponentID(text(tagComponent)),
			Class: health.Class(text("class")), Kind: health.Kind(text("kind")), Transition: health.Transition(text(fieldState)),
			Message: text("message"), Rule: text("rule"), Source: text("source"), FaultID: text(fieldFaultID),
			At: time.Unix(0, get(row, col["time"]).whole).UTC(), AtStart: get(row, s.column(fieldAtStart)).num == 1, From: source,
		}
		if err := e.Severity.UnmarshalText([]byte(text("severity"))); err != nil {
			return e, final(&failure{text: EventMeasurement + ": " + err.Error()})
		}
		if t := text("source_time"); t != "" {
			at, err := time.Parse(time.RFC3339Nano, t)
			if err != nil {
				return e, final(&failure{text: EventMeasurement + ": source_time: " + err.Error()})
			}
			e.SourceTime = at
		}
		return e, nil
	}
}

// EachFault calls f for each fault of any target that opened before until and was not closed before from, in the order in which they opened, as
// FaultsOf makes them of the events before until. The events of all time pass by, some targets at a time; what is held is the faults that f is given.
func (r *Reader) EachFault(ctx context.Context, from, until time.Time, f func(*health.Fault) error) error {
	targets := map[health.TargetID]bool{}
	if err := r.ask(ctx, []string{fmt.Sprintf("SHOW TAG VALUES FROM %s WITH KEY = %s", EventMeasurement, tagTarget)}, func() { clear(targets) }, func(_ int, s *rows) error {
		for _, row := range s.Values {
			if id := get(row, s.column("value")).text; id != "" {
				targets[health.TargetID(id)] = true
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var all []health.Fault
	for some := range slices.Chunk(slices.Sorted(maps.Keys(targets)), dayTargets) {
		found, err := r.faultsOf(ctx, some, from, until)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b health.Fault) int {
		return cmp.Or(a.Opened.Compare(b.Opened), cmp.Compare(a.Target, b.Target), cmp.Compare(a.ID, b.ID))
	})
	for i := range all {
		if err := f(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// faultsOf is those of some targets. A group of the answer is the events of one kind of a component, in order of time: no fault has any other.
func (r *Reader) faultsOf(ctx context.Context, ids []health.TargetID, from, until time.Time) ([]health.Fault, error) {
	targets := make([]string, len(ids))
	for i, id := range ids {
		targets[i] = ofTarget(id)
	}
	q := fmt.Sprintf("SELECT %s, class, severity FROM %s WHERE (%s)%s GROUP BY %s, %s, kind",
		eventColumns, EventMeasurement, strings.Join(targets, " OR "), during(time.Time{}, until), tagTarget, tagComponent)
	var found []health.Fault
	group, tags := fold{from: from}, [3]string{}
	end := func() { found, group = append(found, group.end()...), fold{from: from} }
	if err := r.ask(ctx, []string{q}, func() { found, group = nil, fold{from: from} }, func(_ int, s *rows) error {
		if of := [3]string{s.Tags[tagTarget], s.Tags[tagComponent], s.Tags["kind"]}; of != tags {
			end()
			tags = of
		}
		read := r.events(s)
		for _, row := range s.Values {
			e, err := read(row)
			if err != nil {
				return err
			}
			group.next(e)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	end()
	return found, nil
}

// FaultsOf is the faults that events tell of, in the order in which they opened. The events are all there are, in order of time. An event that does not
// say which fault it belongs to ends the one of its component and kind that opened last; one of a fault whose beginning is not told begins it.
func FaultsOf(events []health.Event) []health.Fault {
	var all fold
	for i := range events {
		all.take(&events[i])
	}
	return all.faults
}

// fold makes faults of events that it is given in order of time.
type fold struct {
	from   time.Time      // faults that were closed before it may be forgotten: of one that is closed there are no more events that change it
	faults []health.Fault // in the order in which they opened
	byID   map[string]int
	same   []health.Event // of one moment
	limit  int            // how many faults there may be before those that are closed are forgotten
}

// next is take for events of one moment that may come in any order, and more than once.
func (x *fold) next(e health.Event) {
	if len(x.same) > 0 && !x.same[0].At.Equal(e.At) {
		x.flush()
	}
	if e.ID != "" && !slices.ContainsFunc(x.same, func(o health.Event) bool { return o.ID == e.ID }) {
		x.same = append(x.same, e)
	}
}

func (x *fold) flush() {
	slices.SortFunc(x.same, func(a, b health.Event) int { return cmp.Compare(a.ID, b.ID) })
	for i := range x.same {
		x.take(&x.same[i])
	}
	x.same = x.same[:0]
	if len(x.faults) > x.limit {
		x.forget()
		x.limit = 2*len(x.faults) + 16
	}
}

// end is the faults that were not closed before from.
func (x *fold) end() []health.Fault {
	x.flush()
	x.forget()
	return x.faults
}

func (x *fold) forget() {
	x.faults = slices.DeleteFunc(x.faults, func(f health.Fault) bool { return f.Closed() && f.Cleared.Before(x.from) })
	clear(x.byID)
	for i := range x.faults {
		x.byID[x.faults[i].ID] = i
	}
}

func (x *fold) take(e *health.Event) {
	if e.Transition == health.Momentary {
		return
	}
	k, known := x.byID[e.FaultID]
	if !known || e.FaultID == "" {
		k = -1
		if e.FaultID == "" && e.Transition != health.Asserted {
			k = x.last(e)
		}
	}
	if k < 0 {
		if x.byID == nil {
			x.byID = map[string]int{}
		}
		id := cmp.Or(e.FaultID, e.ID)
		k = len(x.faults)
		x.byID[id] = k
		x.faults = append(x.faults, health.Fault{
			ID: id, Target: e.Target, Component: e.Component, Class: e.Class, Kind: e.Kind, Severity: e.Severity, State: health.Asserted, Rule: e.Rule,
			Message: e.Message, Opened: e.At, Changed: e.At, AtStart: e.AtStart,
		})
	}
	f := &x.faults[k]
	f.Changed = e.At
	switch e.Transition {
	case health.Cleared, health.Unmonitored:
		f.State, f.Cleared = e.Transition, e.At
	case health.Asserted, health.Escalated, health.Deescalated:
		f.State, f.Cleared, f.Severity = health.Asserted, time.Time{}, e.Severity
	}
}

// last is the fault of an event's component and kind that opened last and is open, -1 if there is none.
func (x *fold) last(e *health.Event) int {
	for i, f := range slices.Backward(x.faults) {
		if !f.Closed() && f.Target == e.Target && f.Component == e.Component && f.Kind == e.Kind {
			return i
		}
	}
	return -1
}

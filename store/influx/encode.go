package influx

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/influxdb-client-go/v2/api/write"

	"dewline/health"
)

// Prefix stands before a component's class in the name of its measurement.
const Prefix = "hw_"

// Measurements that are of no class of component.
const (
	EventMeasurement = Prefix + "event"
	VisitMeasurement = Prefix + "visit"
)

// Encode is a visit as lines of line protocol, without newlines: one point for each component that was read or should
// have been, one for each event, one for each tier whose tick the visit answers. t gives site, rack and labels.
//
// It is a pure function, and the same visit gives the same lines: times are the visit's own, in nanoseconds, tags and
// fields are in order of their names. A visit that never had a time, which no collector makes, gives no lines, since the
// server would put its own clock in.
func Encode(v *health.Visit, t health.Target) []string {
	at := visitTime(v)
	if at.IsZero() {
		return nil
	}
	e := encoder{tags: targetTags(v, t)}
	e.components(v, at)
	e.events(v, at)
	e.ticks(v, at)
	return e.lines()
}

func visitTime(v *health.Visit) time.Time {
	at := v.At()
	if at.IsZero() && v.Snapshot != nil {
		at = v.Snapshot.At
	}
	return at
}

// read says whether the visit's snapshot tells of components: that of a failed one holds only its cost.
func read(v *health.Visit) bool {
	return v.Snapshot != nil && v.Result != health.Failed && v.Result != health.Missed
}

type encoder struct {
	tags []tag // of every component's point, by key; the component's own has no value yet
	text strings.Builder
	ends []int // where each line ends in text, its newline included
}

func (e *encoder) add(p *write.Point) {
	write.PointToLineProtocolBuffer(p, &e.text, time.Nanosecond)
	e.ends = append(e.ends, e.text.Len())
}

func (e *encoder) lines() []string {
	text, from := e.text.String(), 0
	out := make([]string, len(e.ends))
	for i, to := range e.ends {
		out[i], from = text[from:to-1], to
	}
	return out
}

// part is what a visit says of one component.
type part struct {
	id       health.ComponentID
	class    health.Class
	presence health.Presence
	stated   bool // false: only a reading speaks of it
	met      bool // the visit read it
	state    health.State
	readings []field
}

type field struct {
	key   string
	value float64
}

// components writes one point for each component. One that is both read and named as unread, or listed twice, has the
// worse of its states, unknown being worse than ok.
func (e *encoder) components(v *health.Visit, at time.Time) {
	parts := partsOf(v)
	for i := range parts {
		p := &parts[i]
		if !p.stated && len(p.readings) == 0 {
			continue
		}
		pt := write.NewPointWithMeasurement(measurement(p.class)).SetTime(at)
		for _, t := range e.tags {
			if t.key == tagComponent {
				t.value = tagText(string(p.id))
			}
			if t.value != "" {
				pt.AddTag(t.key, t.value)
			}
		}
		for _, f := range p.readings {
			pt.AddField(f.key, f.value)
		}
		switch p.presence {
		case health.Present:
			pt.AddField(fieldPresent, 1.0)
		case health.Absent:
			pt.AddField(fieldPresent, 0.0)
		}
		if p.stated {
			pt.AddField(fieldState, int64(p.state.Rank()))
			if p.met && p.state == health.Unknown && p.presence == health.PresenceUnknown {
				pt.AddField(fieldSeen, 1.0) // else it would look like one that was not
			}
		}
		e.add(pt.SortFields())
	}
}

func partsOf(v *health.Visit) []part {
	var parts []part
	index := map[health.ComponentID]int{}
	at := func(id health.ComponentID, c health.Class) *part {
		i, ok := index[id]
		if !ok {
			i = len(parts)
			index[id] = i
			parts = append(parts, part{id: id, class: c})
		}
		return &parts[i]
	}
	say := func(p *part, s health.State) {
		if p.stated {
			s = health.Worst(p.state, s)
		}
		p.state, p.stated = s, true
	}
	described := map[health.ComponentID]health.Class{}
	if read(v) {
		parts = make([]part, 0, len(v.Snapshot.Components)+len(v.Unread))
		for i := range v.Snapshot.Components {
			c := &v.Snapshot.Components[i]
			if c.StateNotRead { // only what the part is: it adds no state, and takes none away
				described[c.ID] = c.Class
				continue
			}
			p := at(c.ID, c.Class)
			p.presence, p.met = cmp.Or(p.presence, c.Presence), true
			say(p, c.State)
		}
		for i := range v.Snapshot.Readings {
			r := &v.Snapshot.Readings[i]
			if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
				continue // line protocol has no word for it
			}
			p := at(r.Component, cmp.Or(described[r.Component], classFromID(r.Component)))
			p.readings = append(p.readings, field{fieldName(r.Quantity, r.Unit), r.Value})
		}
	}
	for _, u := range v.Unread {
		say(at(u.ID, u.Class), health.Unknown)
	}
	return parts
}

func (e *encoder) events(v *health.Visit, at time.Time) {
	for i := range v.Events {
		ev := &v.Events[i]
		when := ev.At
		if when.IsZero() {
			when = at.Add(time.Duration(i))
		}
		pt := write.NewPointWithMeasurement(EventMeasurement).SetTime(when)
		for _, t := range []tag{ // by key
			{"class", string(ev.Class)},
			{tagComponent, string(ev.Component)},
			{"kind", string(ev.Kind)},
			{tagOrigin, string(v.Origin)},
			{"severity", ev.Severity.String()},
			{tagTarget, string(v.Target)},
		} {
			if t.value = tagText(t.value); t.value != "" {
				pt.AddTag(t.key, t.value)
			}
		}
		if ev.AtStart {
			pt.AddField(fieldAtStart, 1.0)
		}
		pt.AddField(fieldEventID, fieldText(ev.ID))
		if ev.FaultID != "" {
			pt.AddField(fieldFaultID, fieldText(ev.FaultID))
		}
		pt.AddField("message", fieldText(ev.Message))
		if ev.Rule != "" {
			pt.AddField("rule", fieldText(ev.Rule))
		}
		pt.AddField("source", fieldText(ev.Source))
		if !ev.SourceTime.IsZero() {
			pt.AddField("source_time", ev.SourceTime.Format(time.RFC3339Nano))
		}
		pt.AddField(fieldState, fieldText(string(ev.Transition)))
		e.add(pt)
	}
}

// ticks writes one point for each tier whose tick the visit answers, all with what the whole visit cost, and one for each
// run of ticks that was skipped before it.
func (e *encoder) ticks(v *health.Visit, at time.Time) {
	gaps := 0
	if v.Snapshot != nil {
		gaps = len(v.Snapshot.Gaps)
	}
	for _, r := range v.Skipped {
		if r.Count > 0 && !r.First.IsZero() {
			pt := tickPoint(v, r.Tier, health.Missed, r.First, r.Count)
			if r.Last.After(r.First) {
				pt.AddField(fieldSpan, r.Last.Sub(r.First).Seconds())
			}
			for _, f := range []string{"exchanges", "gaps", "requests", "took_seconds"} {
				pt.AddField(f, 0.0) // nothing was done
			}
			e.add(pt.SortFields())
		}
	}
	for _, tier := range v.Tiers().List() {
		pt := tickPoint(v, tier, v.Result, at, 1)
		pt.AddField("exchanges", float64(v.Cost.Exchanges))
		pt.AddField("gaps", float64(gaps))
		if tier == health.TierReadings && read(v) {
			switch v.Snapshot.HostPower {
			case health.HostOn:
				pt.AddField(fieldHostOn, 1.0)
			case health.HostOff:
				pt.AddField(fieldHostOn, 0.0)
			}
		}
		if !v.Started.IsZero() { // what never began has no lateness, not one of zero
			pt.AddField("late_seconds", max(0, v.Started.Sub(v.Due[tier]).Seconds()))
		}
		pt.AddField("requests", float64(v.Cost.Requests))
		pt.AddField("took_seconds", v.Took.Seconds())
		e.add(pt.SortFields())
	}
}

func tickPoint(v *health.Visit, tier health.Tier, r health.Result, at time.Time, ticks int) *write.Point {
	pt := write.NewPointWithMeasurement(VisitMeasurement).SetTime(at)
	for _, t := range []tag{ // by key
		{tagOrigin, string(v.Origin)}, {"result", string(r)}, {tagTarget, string(v.Target)}, {"tier", tier.String()},
	} {
		if t.value = tagText(t.value); t.value != "" {
			pt.AddTag(t.key, t.value)
		}
	}
	return pt.AddField("ticks", float64(ticks))
}

func measurement(c health.Class) string {
	if c == "" {
		c = health.ClassSensor
	}
	return Prefix + string(c)
}

// classFromID is the class of a component that only a reading names. An ID begins with its class.
func classFromID(id health.ComponentID) health.Class {
	c, _, _ := strings.Cut(string(id), "/")
	if slices.Contains(health.Classes, health.Class(c)) {
		return health.Class(c)
	}
	return health.ClassSensor
}

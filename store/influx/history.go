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

// queryHours is how many hours of a target one request asks for.
const queryHours = 96

// lookBack is how far before a time a run of skipped ticks may have begun to be found.
const lookBack = 31 * 24 * time.Hour

// classes are those of which the database has points. A field that some shards hold in another type than dewline writes is a failure: InfluxDB
// gives the values of one of the types and leaves the others out, without a word.
func (r *Reader) classes(ctx context.Context) ([]health.Class, error) {
	var out []health.Class
	err := r.ask(ctx, []string{"SHOW MEASUREMENTS", "SHOW FIELD KEYS"}, func() { out = nil }, func(n int, s *rows) error {
		if n == 1 {
			return checkTypes(s)
		}
		for _, row := range s.Values {
			if name, ok := strings.CutPrefix(get(row, 0).text, Prefix); ok && slices.Contains(health.Classes, health.Class(name)) {
				out = append(out, health.Class(name))
			}
		}
		return nil
	})
	return out, err
}

// checkTypes finds fields of ours that are of another type, in the rows of SHOW FIELD KEYS.
func checkTypes(s *rows) error {
	class, ours := strings.CutPrefix(s.Name, Prefix)
	isClass := slices.Contains(health.Classes, health.Class(class))
	if !ours || !isClass && s.Name != EventMeasurement && s.Name != VisitMeasurement {
		return nil
	}
	for _, row := range s.Values {
		field, has := get(row, s.column("fieldKey")).text, get(row, s.column("fieldType")).text
		want := "number"
		_, _, quantity := health.FieldOf(strings.TrimPrefix(field, "value_"))
		switch {
		case s.Name == EventMeasurement && slices.Contains(strings.Split(eventColumns, ", "), field):
			if field != fieldAtStart {
				want = "string"
			}
		case s.Name == VisitMeasurement && slices.Contains([]string{"ticks", "gaps", fieldHostOn, fieldSpan}, field):
		case isClass && (quantity || field == fieldState || field == fieldPresent || field == fieldSeen):
		default: // not ours, or not read
			continue
		}
		is := has
		if has == "float" || has == "integer" || has == "unsigned" {
			is = "number"
		}
		if is != want {
			return final(&failure{text: fmt.Sprintf("%s has %s as %s, where dewline writes a %s: InfluxDB would leave values out", s.Name, field, has, want), hint: "another program wrote it; drop the shards that hold it, or use --source store"})
		}
	}
	return nil
}

// Drops tells whether the server drops what is old, as far as it says: what is no longer there may have begun a fault that is still open.
func (r *Reader) Drops(ctx context.Context) (bool, error) {
	db, policy, _ := strings.Cut(r.o.Bucket, "/")
	drops := true
	err := r.ask(ctx, []string{"SHOW RETENTION POLICIES ON " + name(db)}, func() { drops = true }, func(_ int, s *rows) error {
		for _, row := range s.Values {
			if get(row, s.column("name")).text == policy || policy == "" && get(row, s.column("default")).num == 1 {
				drops = get(row, s.column("duration")).text != "0s"
			}
		}
		return nil
	})
	return drops, err
}

// Targets are those of which there are visits, as they were placed last, in order of ID. What InfluxDB does not hold of a target
// (address, position, labels, what to expect) is empty.
func (r *Reader) Targets(ctx context.Context) ([]health.Target, error) {
	classes, err := r.classes(ctx)
	if err != nil {
		return nil, err
	}
	type found struct {
		health.Target
		seen, placed int64
	}
	var by map[health.TargetID]*found
	statements := []string{fmt.Sprintf("SELECT last(ticks) FROM %s GROUP BY %s, %s", VisitMeasurement, tagTarget, tagOrigin)}
	for _, c := range classes {
		statements = append(statements, fmt.Sprintf(`SELECT last(state) FROM %s GROUP BY %s, %s, %s`, name(measurement(c)), tagTarget, tagSite, tagRack))
	}
	if err := r.ask(ctx, statements, func() { by = map[health.TargetID]*found{} }, func(n int, s *rows) error {
		id := health.TargetID(s.Tags[tagTarget])
		if id == "" || len(s.Values) == 0 {
			return nil
		}
		at := get(s.Values[0], s.column("time")).whole
		t := by[id]
		if t == nil {
			t = &found{Target: health.Target{ID: id}}
			by[id] = t
		}
		if n == 0 {
			if at >= t.seen {
				t.seen, t.Origin = at, health.Origin(s.Tags[tagOrigin])
			}
		} else if at >= t.placed {
			t.placed, t.Site, t.Rack = at, s.Tags[tagSite], s.Tags[tagRack]
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var out []health.Target
	for _, id := range slices.Sorted(maps.Keys(by)) {
		if by[id].seen > 0 {
			out = append(out, by[id].Target)
		}
	}
	return out, nil
}

// name is a name as InfluxQL writes it.
func name(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

func ofTarget(id health.TargetID) string { return tagTarget + " = " + quoted(tagText(string(id))) }

// span is the time of the first and last visit of a target; ok is false if there is none.
func (r *Reader) span(ctx context.Context, id health.TargetID) (first, last time.Time, ok bool, err error) {
	return r.ends(ctx, "ticks", VisitMeasurement, " AND "+ofTarget(id))
}

// ends is the time of the first and last point of a measurement that has a field, under conditions that each begin with AND.
func (r *Reader) ends(ctx context.Context, field, from, conditions string) (first, last time.Time, ok bool, err error) {
	where := tagTarget + " != ''" + conditions
	err = r.ask(ctx, []string{fmt.Sprintf("SELECT first(%s) FROM %s WHERE %s", field, from, where), fmt.Sprintf("SELECT last(%s) FROM %s WHERE %s", field, from, where)}, func() { ok = false }, func(n int, s *rows) error {
		if len(s.Values) > 0 {
			at := time.Unix(0, get(s.Values[0], s.column("time")).whole).UTC()
			if ok = true; n == 0 {
				first = at
			} else {
				last = at
			}
		}
		return nil
	})
	return first, last, ok, err
}

// Hours calls f for each hour of a target that begins from <= At < to and of which there are points, in order. A zero time is no bound.
// They are as the embedded store makes them of the same visits, but for this: a part that one visit both read and did not read is counted
// once; a single tick that was skipped counts as missed; a longer run of them stands in the hour in which it begins; readings that stood still are seen
// by the hour.
func (r *Reader) Hours(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.HourFacts) error) error {
	first, last, ok, err := r.span(ctx, id)
	if err != nil || !ok {
		return err
	}
	classes, err := r.classes(ctx)
	if err != nil {
		return err
	}
	if first = first.Truncate(time.Hour); from.IsZero() || first.After(from) {
		from = first
	}
	if end := last.Truncate(time.Hour).Add(time.Hour); to.IsZero() || end.Before(to) {
		to = end
	}
	if whole := from.Truncate(time.Hour); whole.Before(from) { // hours that begin in the time
		from = whole.Add(time.Hour)
	}
	if whole := to.Truncate(time.Hour); whole.Before(to) {
		to = whole.Add(time.Hour)
	}
	for at := from; at.Before(to); at = at.Add(queryHours * time.Hour) {
		end := at.Add(queryHours * time.Hour)
		if end.After(to) {
			end = to
		}
		since := at
		if at.Equal(from) {
			since = at.Add(-lookBack)
		}
		hours, err := r.hours(ctx, id, classes, since, at, end)
		if err != nil {
			return err
		}
		for _, h := range hours {
			if err := f(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// hourMaker gathers the hours of one request.
type hourMaker struct {
	from    time.Time
	hours   map[int64]*health.HourFacts
	mixed   map[int64]bool // hours with parts that were met in more than one way
	skipped map[hourTier]int
	gaps    map[int64]int // by time of the visit
}

type hourTier struct {
	at   int64
	tier health.Tier
}

func (m *hourMaker) hour(ns int64) *health.HourFacts {
	at := ns - ns%int64(time.Hour)
	h := m.hours[at]
	if h == nil {
		h = &health.HourFacts{At: time.Unix(0, at).UTC(), Whole: true, Source: health.HourOfInflux}
		m.hours[at] = h
	}
	return h
}

func (r *Reader) hours(ctx context.Context, id health.TargetID, classes []health.Class, since, from, to time.Time) ([]*health.HourFacts, error) {
	where := ofTarget(id) + during(from, to)
	statements := []string{
		fmt.Sprintf("SELECT gaps FROM %s WHERE %s AND gaps > 0", VisitMeasurement, where),
		fmt.Sprintf("SELECT ticks, %s FROM %s WHERE %s AND ticks > 1 GROUP BY tier", fieldSpan, VisitMeasurement, ofTarget(id)+during(since, to)),
		fmt.Sprintf("SELECT count(ticks), count(%[1]s), sum(%[1]s) FROM %s WHERE %s GROUP BY time(1h), tier, result fill(none)", fieldHostOn, VisitMeasurement, where),
	}
	const fixed = 3
	for _, c := range classes {
		statements = append(statements, fmt.Sprintf("SELECT count(*), min(*), max(*), percentile(*, 50), first(*), last(*) FROM %s WHERE %s GROUP BY time(1h), %s fill(none)",
			name(measurement(c)), where, tagComponent))
	}
	var m *hourMaker
	if err := r.ask(ctx, statements, func() {
		m = &hourMaker{from: from, hours: map[int64]*health.HourFacts{}, mixed: map[int64]bool{}, skipped: map[hourTier]int{}, gaps: map[int64]int{}}
	}, func(n int, s *rows) error {
		switch n {
		case 0:
			m.takeGaps(s)
		case 1:
			return m.takeSkipped(s)
		case 2:
			return m.takeTicks(s)
		default:
			if n < len(statements) {
				m.takeComponents(classes[n-fixed], s)
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := r.mixedParts(ctx, id, classes, m); err != nil {
		return nil, err
	}
	return m.done(), nil
}

func (m *hourMaker) takeGaps(s *rows) {
	at, gaps := s.column("time"), s.column("gaps")
	for _, row := range s.Values { // a visit of several tiers stands there once for each
		m.gaps[get(row, at).whole] = int(get(row, gaps).num)
	}
}

func tierOf(s *rows) (t health.Tier, err error) {
	if err := t.UnmarshalText([]byte(s.Tags["tier"])); err != nil {
		return 0, final(&failure{text: "hw_visit: " + err.Error()})
	}
	return t, nil
}

// maxTicks bounds what one point may count: dewline did not run for years.
const maxTicks = 1 << 26

func (m *hourMaker) takeSkipped(s *rows) error {
	tier, err := tierOf(s)
	if err != nil {
		return err
	}
	at, ticks, span := s.column("time"), s.column("ticks"), s.column(fieldSpan)
	for _, row := range s.Values {
		ns := get(row, at).whole
		first := time.Unix(0, ns).UTC()
		x := health.TickRange{Tier: tier, First: first, Last: first.Add(time.Duration(get(row, span).num * float64(time.Second))), Count: int(min(get(row, ticks).num, maxTicks))}
		if first.Before(m.from) {
			if x.Last.Before(m.from) {
				continue
			}
			ns = m.from.UnixNano() // told in the first hour there is
		} else {
			m.skipped[hourTier{ns - ns%int64(time.Hour), tier}]++
		}
		h := m.hour(ns)
		h.Skipped = append(h.Skipped, x)
	}
	return nil
}

func (m *hourMaker) takeTicks(s *rows) error {
	tier, err := tierOf(s)
	if err != nil {
		return err
	}
	at, count, told, on := s.column("time"), s.column("count"), s.column("count_1"), s.column("sum")
	for _, row := range s.Values {
		h := m.hour(get(row, at).whole)
		k := slices.IndexFunc(h.Ticks, func(t health.TickCount) bool { return t.Tier == tier })
		if k < 0 {
			k = len(h.Ticks)
			h.Ticks = append(h.Ticks, health.TickCount{Tier: tier})
		}
		t, n := &h.Ticks[k], int(get(row, count).num)
		switch health.Result(s.Tags["result"]) {
		case health.Done:
			t.Done += n
		case health.Late:
			t.Late += n
		case health.Missed:
			t.Missed += n
			continue
		default:
			t.Failed += n
			continue
		}
		if tier == health.TierReadings {
			known, up := int(get(row, told).num), int(get(row, on).num)
			h.Power.On += up
			h.Power.Off += known - up
			h.Power.Unknown += n - known
		}
	}
	return nil
}

func (m *hourMaker) takeComponents(class health.Class, s *rows) {
	at := s.column("time")
	id := health.ComponentID(s.Tags[tagComponent])
	type columns struct {
		q                                    health.Quantity
		u                                    health.Unit
		n, min, max, median, first, last, by int
	}
	series := []columns{}
	of := func(field string) columns {
		return columns{
			n: s.column("count_" + field), min: s.column("min_" + field), max: s.column("max_" + field),
			median: s.column("percentile_" + field), first: s.column("first_" + field), last: s.column("last_" + field), by: -1,
		}
	}
	for _, c := range s.Columns {
		field, ok := strings.CutPrefix(c, "count_")
		if !ok {
			continue
		}
		q, u, ok := health.FieldOf(strings.TrimPrefix(field, "value_"))
		if !ok {
			continue // not ours
		}
		x := of(field)
		x.q, x.u = q, u
		// What dewline computed has the error beside it.
		switch q {
		case health.DewPoint:
			x.by = s.column("count_" + fieldName(health.DewPointError, health.Kelvin))
		case health.CondensationMargin:
			x.by = s.column("count_" + fieldName(health.MarginError, health.Kelvin))
		case health.DewPointError, health.MarginError:
			x.by = x.n
		}
		series = append(series, x)
	}
	state, present, met := of(fieldState), of(fieldPresent), s.column("count_"+fieldSeen)
	for _, row := range s.Values {
		ns := get(row, at).whole
		for _, c := range series {
			n := int(get(row, c.n).num)
			if n == 0 {
				continue
			}
			h := m.hour(ns)
			h.Series = append(h.Series, health.HourSeries{
				Component: id, Quantity: c.q, Unit: c.u, Derived: c.by >= 0 && int(get(row, c.by).num) == n, N: n,
				Min: get(row, c.min).num, Max: get(row, c.max).num, Median: get(row, c.median).num, First: get(row, c.first).num, Last: get(row, c.last).num,
			})
		}
		n := int(get(row, state.n).num)
		if n == 0 {
			continue
		}
		h := m.hour(ns)
		worst, told, read := get(row, state.max).num, int(get(row, present.n).num), int(get(row, met).num)
		if get(row, state.min).num != worst || told != 0 && told != n || told == n && get(row, present.min).num != get(row, present.max).num || read != 0 && read != n {
			m.mixed[h.At.UnixNano()] = true
			continue
		}
		p := partOf(h, id, class)
		p.count(worst, get(row, present.max), read == n, n)
	}
}

type hourPart struct{ *health.HourPart }

func partOf(h *health.HourFacts, id health.ComponentID, class health.Class) hourPart {
	k := slices.IndexFunc(h.Parts, func(p health.HourPart) bool { return p.Component == id })
	if k < 0 {
		k = len(h.Parts)
		h.Parts = append(h.Parts, health.HourPart{Component: id, Class: class})
	}
	return hourPart{&h.Parts[k]}
}

// count notes n points of one kind.
func (p hourPart) count(state float64, present cell, read bool, n int) {
	switch {
	case !present.null && present.num == 0:
		p.Absent += n
	case state == 0:
		p.OK += n
	case state == 2:
		p.Warning += n
	case state == 3:
		p.Critical += n
	case !present.null || read:
		p.Unknown += n
	default: // how a part that should have been read is written
		p.Unread += n
	}
}

// mixedParts counts the parts of hours in which some were met in more than one way, point by point.
func (r *Reader) mixedParts(ctx context.Context, id health.TargetID, classes []health.Class, m *hourMaker) error {
	for _, ns := range slices.Sorted(maps.Keys(m.mixed)) {
		from := time.Unix(0, ns)
		var statements []string
		for _, c := range classes {
			statements = append(statements, fmt.Sprintf("SELECT %s, %s, %s FROM %s WHERE %s GROUP BY %s", fieldState, fieldPresent, fieldSeen, name(measurement(c)),
				ofTarget(id)+during(from, from.Add(time.Hour)), tagComponent))
		}
		h := m.hours[ns]
		if err := r.ask(ctx, statements, func() { h.Parts = nil }, func(n int, s *rows) error {
			if n >= len(classes) {
				return nil
			}
			state, present, read := s.column(fieldState), s.column(fieldPresent), s.column(fieldSeen)
			for _, row := range s.Values {
				if st := get(row, state); !st.null {
					partOf(h, health.ComponentID(s.Tags[tagComponent]), classes[n]).count(st.num, get(row, present), !get(row, read).null, 1)
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// done is the hours in order.
func (m *hourMaker) done() []*health.HourFacts {
	for at, n := range m.gaps {
		m.hour(at).Gaps += n
	}
	var out []*health.HourFacts
	for _, at := range slices.Sorted(maps.Keys(m.hours)) {
		h := m.hours[at]
		for i := range h.Ticks { // a run of skipped ticks is a point that was missed too
			h.Ticks[i].Missed -= m.skipped[hourTier{at, h.Ticks[i].Tier}]
		}
		h.Ticks = slices.DeleteFunc(h.Ticks, func(t health.TickCount) bool { return t.Done+t.Late+t.Failed+t.Missed <= 0 })
		slices.SortFunc(h.Ticks, func(a, b health.TickCount) int { return cmp.Compare(a.Tier, b.Tier) })
		slices.SortFunc(h.Series, func(a, b health.HourSeries) int {
			return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Quantity, b.Quantity), cmp.Compare(a.Unit, b.Unit))
		})
		h.ReadAsAWhole()
		slices.SortFunc(h.Parts, func(a, b health.HourPart) int { return cmp.Compare(a.Component, b.Component) })
		out = append(out, h)
	}
	return out
}

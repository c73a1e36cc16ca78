package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"dewline/health"
)

// Hours calls f for each hour of a target that begins from <= At < to and has visits, or had, in order. A zero time is no bound.
// What f is given is its to keep.
func (db *DB) Hours(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.HourFacts) error) error {
	fail := func(err error) error { return fmt.Errorf("read hours of %q: %w", id, err) }
	n, err := targetNumber(ctx, db.read, id)
	if err != nil {
		return fail(err)
	}
	if n == 0 {
		return nil
	}
	first, last := int64(math.MinInt64), int64(math.MaxInt64)
	if !from.IsZero() {
		first = from.UnixNano()
	}
	if !to.IsZero() {
		last = to.UnixNano() - 1
	}
	days, err := daysOf(ctx, db.read, n, hourOf(first), hourOf(last))
	if err != nil {
		return fail(err)
	}
	for _, day := range days { // a transaction for each: a long report must not keep the log from being checkpointed
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		var hours []*health.HourFacts
		if err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
			hours, err = db.hoursOfDay(ctx, tx, n, day)
			return err
		}); err != nil {
			return fail(err)
		}
		for _, h := range hours {
			if within(h.At, from, to) {
				if err := f(h); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// WholeSince is the hour from which on the visits of a target are in the store; ok is false if there are none.
func (db *DB) WholeSince(ctx context.Context, id health.TargetID) (at time.Time, ok bool, err error) {
	err = db.snapshotTx(ctx, func(tx *sql.Tx) error {
		n, err := targetNumber(ctx, tx, id)
		if err != nil || n == 0 {
			return err
		}
		var h sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT min(hour) FROM (SELECT min(hour) AS hour FROM blocks WHERE target = ?1
			UNION ALL SELECT min(hour) FROM fresh WHERE target = ?1)`, n).Scan(&h); err != nil || !h.Valid {
			return err
		}
		dropped, _, err := metaInt(ctx, tx, metaDropped)
		at, ok = hourTime(max(h.Int64, dropped)), true
		return err
	})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read since when %q is in the store: %w", id, err)
	}
	return at, ok, nil
}

// daysOf are the days of which there are visits or rollups.
func daysOf(ctx context.Context, q querier, target, firstHour, lastHour int64) (days []int64, err error) {
	firstDay, _ := dayOf(firstHour)
	lastDay, _ := dayOf(lastHour)
	err = each(ctx, q, func(rows *sql.Rows) error {
		var day int64
		err := rows.Scan(&day)
		days = append(days, day)
		return err
	}, `SELECT day FROM (SELECT day FROM rollups WHERE target = ?1 AND day BETWEEN ?2 AND ?3
		UNION SELECT hour / 24 FROM blocks WHERE target = ?1 AND hour BETWEEN ?4 AND ?5
		UNION SELECT hour / 24 FROM fresh WHERE target = ?1 AND hour BETWEEN ?4 AND ?5) ORDER BY day`,
		target, firstDay, lastDay, firstHour, lastHour)
	return days, err
}

func (db *DB) hoursOfDay(ctx context.Context, tx *sql.Tx, target, day int64) ([]*health.HourFacts, error) {
	dropped, ok, err := metaInt(ctx, tx, metaDropped)
	if err != nil {
		return nil, err
	}
	if !ok {
		dropped = math.MinInt64
	}
	var frames [hoursPerDay][]*frame
	first := day * hoursPerDay
	take := func(h int64, data []byte) error {
		f, err := decodeFrames(data)
		if err != nil {
			return fmt.Errorf("hour %s: %w", hourTime(h).Format(time.RFC3339), err)
		}
		frames[h-first] = append(frames[h-first], f...)
		return nil
	}
	if err := db.eachBlock(ctx, tx, target, first, first+hoursPerDay-1, take); err != nil {
		return nil, err
	}
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		var h int64
		var data []byte
		if err := rows.Scan(&h, &data); err != nil {
			return err
		}
		return take(h, data)
	}, "SELECT hour, data FROM fresh WHERE target = ? AND hour BETWEEN ? AND ? ORDER BY hour, seq", target, first, first+hoursPerDay-1); err != nil {
		return nil, err
	}
	var out []*health.HourFacts
	var gone uint32 // hours of which visits are gone
	for of, fs := range frames {
		h := first + int64(of)
		if h < dropped { // visits may have come since: its rollup has them too
			gone |= 1 << of
			continue
		}
		if len(fs) == 0 {
			continue
		}
		d, err := db.target(ctx, tx, target, fs...)
		if err != nil {
			return nil, err
		}
		out = append(out, factsOf(fs, h, &d.dict))
	}
	if gone == 0 {
		return out, nil
	}
	d, err := loadDict(ctx, tx, target)
	if err != nil {
		return nil, err
	}
	var left *rolled
	r, err := rollupOf(ctx, tx, target, day, nil)
	if err != nil {
		return nil, err
	}
	if r != nil {
		left = r.only(gone)
	}
	for of, fs := range frames { // what came late and is not in the rollup yet
		if gone>>of&1 == 0 || len(fs) == 0 {
			continue
		}
		late := rollUp(fs, first+int64(of))
		if left == nil {
			left = late
		} else {
			left = left.plus(late)
		}
	}
	if left != nil {
		out = append(out, rolledFacts(left, day, d)...)
		slices.SortFunc(out, func(a, b *health.HourFacts) int { return a.At.Compare(b.At) })
	}
	return out, nil
}

func hourTime(h int64) time.Time { return time.Unix(0, h*hour).UTC() }

// factsOf counts the visits of one hour.
func factsOf(frames []*frame, h int64, d *dict) *health.HourFacts {
	out := &health.HourFacts{At: hourTime(h), Whole: true}
	slices.SortFunc(frames, func(a, b *frame) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
	var ticks [tierCount]health.TickCount
	parts := map[health.ComponentID]*health.HourPart{}
	byNumber := make([]*health.HourPart, len(d.parts)) // a component has a number for each name it had
	part := func(n uint32) *health.HourPart {
		p := byNumber[n]
		if p == nil {
			id := d.parts[n].id
			if p = parts[id]; p == nil {
				p = &health.HourPart{Component: id, Class: d.parts[n].class}
				parts[id] = p
			}
			byNumber[n] = p
		}
		return p
	}
	values := make([][]float64, len(d.series))
	for _, f := range frames {
		for _, t := range f.due.List() {
			countTick(&ticks[t], f.result)
		}
		out.Gaps += len(f.gaps)
		out.Skipped = append(out.Skipped, f.skip...)
		for _, n := range f.unread {
			part(n).Unread++
		}
		if f.result != health.Done && f.result != health.Late || !f.hasSnap {
			continue
		}
		if f.snapTiers.Has(health.TierReadings) || f.due.Has(health.TierReadings) {
			switch f.hostPower {
			case health.HostOn:
				out.Power.On++
			case health.HostOff:
				out.Power.Off++
			default:
				out.Power.Unknown++
			}
		}
		for i, n := range f.shape.parts {
			s := f.states[i]
			if s>>4 != 0 { // only described
				continue
			}
			p := part(n)
			if health.Presence(s>>2&3) == health.Absent {
				p.Absent++
				continue
			}
			switch health.State(s & 3) {
			case health.OK:
				p.OK++
			case health.Warning:
				p.Warning++
			case health.Critical:
				p.Critical++
			default:
				p.Unknown++
			}
		}
		moved, met := false, false
		for i, n := range f.shape.series {
			v := values[n]
			if e := d.series[n]; !e.derived && e.quantity != health.ClockSkew {
				met = true
				moved = moved || len(v) > 0 && v[len(v)-1] != f.values[i]
			}
			if v == nil {
				v = make([]float64, 0, len(frames))
			}
			values[n] = append(v, f.values[i])
		}
		if met && f.due.Has(health.TierReadings) {
			out.Read(time.Unix(0, f.at).UTC(), moved)
		}
	}
	for t := range ticks {
		if c := ticks[t]; c.Done+c.Late+c.Failed+c.Missed > 0 {
			c.Tier = health.Tier(t)
			out.Ticks = append(out.Ticks, c)
		}
	}
	for _, p := range parts {
		out.Parts = append(out.Parts, *p)
	}
	slices.SortFunc(out.Parts, func(a, b health.HourPart) int { return cmp.Compare(a.Component, b.Component) })
	out.Series = make([]health.HourSeries, 0, len(values))
	for n, v := range values {
		if len(v) == 0 {
			continue
		}
		s := seriesHead(d, uint32(n))
		s.N, s.First, s.Last = len(v), v[0], v[len(v)-1]
		slices.Sort(v)
		s.Min, s.Max, s.Median = v[0], v[len(v)-1], v[(len(v)-1)/2]
		out.Series = append(out.Series, s)
	}
	if len(out.Series) == 0 {
		out.Series = nil
	}
	sortSeries(out.Series)
	return out
}

func countTick(c *health.TickCount, r health.Result) {
	switch r {
	case health.Done:
		c.Done++
	case health.Late:
		c.Late++
	case health.Missed:
		c.Missed++
	default: // a result this program does not know is not one of success
		c.Failed++
	}
}

func seriesHead(d *dict, n uint32) health.HourSeries {
	e := d.series[n]
	return health.HourSeries{Component: d.component(n), Quantity: e.quantity, Unit: e.unit, Derived: e.derived}
}

func sortSeries(s []health.HourSeries) {
	slices.SortFunc(s, func(a, b health.HourSeries) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Quantity, b.Quantity), cmp.Compare(a.Unit, b.Unit))
	})
}

// rolledFacts is what is left of hours whose visits are gone.
func rolledFacts(r *rolled, day int64, d *dict) []*health.HourFacts {
	by := map[int]*health.HourFacts{}
	at := func(of int) *health.HourFacts {
		if by[of] == nil {
			by[of] = &health.HourFacts{At: hourTime(day*hoursPerDay + int64(of)), Source: health.HourOfRollups}
		}
		return by[of]
	}
	for _, t := range r.ticks {
		h := at(t.hour)
		h.Ticks = append(h.Ticks, health.TickCount{
			Tier: health.Tier(t.tier), Done: int(t.counts[0]), Late: int(t.counts[1]), Failed: int(t.counts[2]), Missed: int(t.counts[3]),
		})
	}
	for _, s := range r.skips {
		at(s.hour).Skipped = append(at(s.hour).Skipped, s.TickRange)
	}
	for i := range r.series {
		s := &r.series[i]
		if int(s.id) >= len(d.series) {
			continue
		}
		medians := map[int]float64{}
		for _, m := range s.medians {
			medians[m.hour] = m.value
		}
		for k := 0; k < len(s.buckets); {
			of := s.buckets[k].at / bucketsPerHour
			x := seriesHead(d, s.id)
			x.Min, x.Max, x.First = math.Inf(1), math.Inf(-1), s.buckets[k].last
			for ; k < len(s.buckets) && s.buckets[k].at/bucketsPerHour == of; k++ {
				b := &s.buckets[k]
				x.N += int(b.n)
				x.Min, x.Max, x.Last = min(x.Min, b.min), max(x.Max, b.max), b.last
			}
			var ok bool
			if x.Median, ok = medians[of]; ok {
				at(of).Series = append(at(of).Series, x)
			}
		}
	}
	var out []*health.HourFacts
	for _, h := range by {
		sortSeries(h.Series)
		h.ReadAsAWhole()
		out = append(out, h)
	}
	return out
}

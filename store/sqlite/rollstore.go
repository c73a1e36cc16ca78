package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"dewline/health"
)

// Keys of the table meta.
const (
	// metaDropped is the hour up to which visits are dropped: rollups of hours before it are added to, never made anew.
	metaDropped = "raw_dropped_before"
	// metaCapped is the hour up to which they were dropped to keep the store below its size, not for their age.
	metaCapped = "raw_capped_before"
	// metaMissing tells that some blocks have no rollups yet.
	metaMissing = "rollups_missing"
	// metaClock is the time by which things age, in seconds since 1970.
	metaClock = "aging_clock"
)

// metaInt is a number of the table meta; ok tells whether it is there.
func metaInt(ctx context.Context, q querier, key string) (n int64, ok bool, err error) {
	err = each(ctx, q, func(rows *sql.Rows) error {
		var s string
		if err := rows.Scan(&s); err != nil {
			return err
		}
		ok = true
		if n, err = strconv.ParseInt(s, 10, 64); err != nil {
			return corrupt("%s is %q", key, s)
		}
		return nil
	}, "SELECT value FROM meta WHERE key = ?", key)
	return n, ok, err
}

func (w *writer) setMeta(ctx context.Context, key, value string) error {
	return w.exec(ctx, "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2", key, value)
}

// rollup keeps the rollup of one hour.
func (w *writer) rollup(ctx context.Context, target, h int64, data []byte) error {
	day, of := dayOf(h)
	return w.exec(ctx, "INSERT OR REPLACE INTO rollups (target, day, part, hours, data) VALUES (?, ?, ?, ?, ?)",
		target, day, of+1, 1<<of, data)
}

// rollupOf is the rollup of a target's day. wanted: see decodeRollup. It is nil if there is none.
func rollupOf(ctx context.Context, q querier, target, day int64, wanted func(uint32) bool) (*rolled, error) {
	var parts []*rolled
	if err := each(ctx, q, func(rows *sql.Rows) error {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return err
		}
		r, err := decodeRollup(data, wanted)
		parts = append(parts, r)
		return err
	}, "SELECT data FROM rollups WHERE target = ? AND day = ? ORDER BY part", target, day); err != nil {
		return nil, fmt.Errorf("rollup of target %d, day %d: %w", target, day, err)
	}
	switch len(parts) {
	case 0:
		return nil, nil
	case 1:
		return parts[0], nil
	}
	return merged(parts), nil
}

// goneRollup is the rollup of an hour whose visits were dropped; nil if they were not.
func goneRollup(ctx context.Context, q querier, target, h int64) (*rolled, error) {
	dropped, ok, err := metaInt(ctx, q, metaDropped)
	if err != nil || !ok || h >= dropped {
		return nil, err
	}
	day, of := dayOf(h)
	r, err := rollupOf(ctx, q, target, day, nil)
	if err != nil || r == nil || r.hours>>of&1 == 0 {
		return nil, err
	}
	return r.only(1 << of), nil
}

// mergeBatch is how many days of a target are packed anew in one transaction.
const mergeBatch = 8

// MergeDaysBefore packs the rollups of the hours of days that ended by t together. Interrupted at any moment, it has done whole days or nothing of them.
func (db *DB) MergeDaysBefore(ctx context.Context, t time.Time) error {
	db.compact.Lock()
	defer db.compact.Unlock()
	today, _ := dayOf(hourOf(t.UnixNano()))
	type place struct{ target, day int64 }
	var places []place
	if err := each(ctx, db.read, func(rows *sql.Rows) error {
		var p place
		err := rows.Scan(&p.target, &p.day)
		places = append(places, p)
		return err
	}, "SELECT DISTINCT target, day FROM rollups WHERE part > 0 AND day < ? ORDER BY day, target", today); err != nil {
		return fmt.Errorf("merge rollups: %w", err)
	}
	for chunk := range slices.Chunk(places, mergeBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		type day struct {
			place
			hours uint32
			data  []byte
		}
		var done []day
		for _, p := range chunk {
			r, err := rollupOf(ctx, db.read, p.target, p.day, nil)
			if err != nil {
				return fmt.Errorf("merge rollups: %w", err)
			}
			if r == nil || r.buckets() > maxBuckets { // too much for one: its hours stay as they are
				continue
			}
			done = append(done, day{p, r.hours, encodeRollup(r)})
		}
		if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
			for _, d := range done {
				if err := w.exec(ctx, "DELETE FROM rollups WHERE target = ? AND day = ?", d.target, d.day); err != nil {
					return err
				}
				if err := w.exec(ctx, "INSERT INTO rollups (target, day, part, hours, data) VALUES (?, ?, 0, ?, ?)",
					d.target, d.day, d.hours, d.data); err != nil {
					return err
				}
			}
			return nil
		}}); err != nil {
			return fmt.Errorf("merge rollups: %w", err)
		}
	}
	return nil
}

func (r *rolled) buckets() (n int) {
	for _, s := range r.series {
		n += len(s.buckets)
	}
	return n
}

// makeMissing makes the rollups of blocks that an earlier version made. It can be interrupted: what is there is not made again.
func (db *DB) makeMissing(ctx context.Context) error {
	_, missing, err := metaInt(ctx, db.read, metaMissing)
	if err != nil || !missing {
		return err
	}
	db.compact.Lock()
	defer db.compact.Unlock()
	type place struct{ target, hour int64 }
	var places []place
	if err := each(ctx, db.read, func(rows *sql.Rows) error {
		var p place
		err := rows.Scan(&p.target, &p.hour)
		places = append(places, p)
		return err
	}, "SELECT DISTINCT target, hour FROM blocks ORDER BY target, hour"); err != nil {
		return err
	}
	covered := map[place]uint32{} // by target and day
	if err := each(ctx, db.read, func(rows *sql.Rows) error {
		var p place
		var hours uint32
		err := rows.Scan(&p.target, &p.hour, &hours)
		covered[p] |= hours
		return err
	}, "SELECT target, day, hours FROM rollups"); err != nil {
		return err
	}
	places = slices.DeleteFunc(places, func(p place) bool {
		day, of := dayOf(p.hour)
		return covered[place{p.target, day}]>>of&1 != 0
	})
	for chunk := range slices.Chunk(places, compactBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		made := make([][]byte, len(chunk))
		for i, p := range chunk {
			frames, err := db.blockFrames(ctx, db.read, p.target, p.hour)
			if err != nil {
				db.o.Log.Error("make rollup of damaged visits", "error", err)
				continue
			}
			made[i] = encodeRollup(rollUp(frames, p.hour))
		}
		if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
			for i, p := range chunk {
				if made[i] == nil {
					continue
				}
				if err := w.rollup(ctx, p.target, p.hour, made[i]); err != nil {
					return err
				}
			}
			return nil
		}}); err != nil {
			return err
		}
	}
	return db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		return w.exec(ctx, "DELETE FROM meta WHERE key = ?", metaMissing)
	}})
}

// HourMedian is the lower median of a series in an hour: a value that was read. Where visits came after the others of their hour
// were dropped, it is within health.HistogramError of it.
type HourMedian struct {
	At    time.Time // where the hour begins
	Value float64
	Unit  health.Unit
}

// Rollups is the five-minute rollups of one quantity of a component that begin from <= At < to, in order of time, also of hours
// that are not closed yet, and also when the visits they were made of are gone. A zero time is no bound. Five minutes in
// which nothing was read have none. Where a component's quantity has come in two units, or both read and computed, there is one for each.
func (db *DB) Rollups(ctx context.Context, id health.TargetID, c health.ComponentID, q health.Quantity, from, to time.Time) ([]health.Rollup, error) {
	var out []health.Rollup
	err := db.eachRolled(ctx, id, c, q, from, to, func(day int64, unit health.Unit, s *rolledSeries) {
		for _, b := range s.buckets {
			at := time.Unix(0, day*hoursPerDay*hour+int64(b.at)*rollupSpan).UTC()
			if within(at, from, to) {
				out = append(out, health.Rollup{
					At: at, Span: rollupSpan, N: b.n, Min: b.min, Max: b.max, Sum: b.sum, Last: b.last, Unit: unit, Hist: b.hist,
				})
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read rollups of %s %s of %q: %w", c, q, id, err)
	}
	slices.SortStableFunc(out, func(a, b health.Rollup) int { return a.At.Compare(b.At) })
	return out, nil
}

// HourlyMedians is the medians of the hours that begin from <= At < to, as Rollups.
func (db *DB) HourlyMedians(ctx context.Context, id health.TargetID, c health.ComponentID, q health.Quantity, from, to time.Time) ([]HourMedian, error) {
	var out []HourMedian
	err := db.eachRolled(ctx, id, c, q, from, to, func(day int64, unit health.Unit, s *rolledSeries) {
		for _, m := range s.medians {
			at := time.Unix(0, (day*hoursPerDay+int64(m.hour))*hour).UTC()
			if within(at, from, to) {
				out = append(out, HourMedian{at, m.value, unit})
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read medians of %s %s of %q: %w", c, q, id, err)
	}
	slices.SortStableFunc(out, func(a, b HourMedian) int { return a.At.Compare(b.At) })
	return out, nil
}

func within(at, from, to time.Time) bool {
	return (from.IsZero() || !at.Before(from)) && (to.IsZero() || at.Before(to))
}

// eachRolled calls f for the wanted series of each day.
func (db *DB) eachRolled(ctx context.Context, id health.TargetID, c health.ComponentID, q health.Quantity, from, to time.Time,
	f func(day int64, unit health.Unit, s *rolledSeries)) error {
	return db.snapshotTx(ctx, func(tx *sql.Tx) error {
		n, err := targetNumber(ctx, tx, id)
		if err != nil || n == 0 {
			return err
		}
		d, err := loadDict(ctx, tx, n)
		if err != nil {
			return err
		}
		wanted := func(s uint32) bool {
			return int(s) < len(d.series) && d.series[s].quantity == q && d.component(s) == c
		}
		return db.eachDay(ctx, tx, n, from, to, wanted, func(day int64, r *rolled) error {
			for i := range r.series {
				if s := &r.series[i]; wanted(s.id) {
					f(day, d.series[s.id].unit, s)
				}
			}
			return nil
		})
	})
}

// eachDay calls f for the rollup of each day that touches from to to, in order: with the hours that are not closed yet.
func (db *DB) eachDay(ctx context.Context, q querier, target int64, from, to time.Time, wanted func(uint32) bool, f func(day int64, r *rolled) error) error {
	first, last := int64(math.MinInt64), int64(math.MaxInt64)
	if !from.IsZero() {
		first = from.UnixNano()
	}
	if !to.IsZero() {
		last = to.UnixNano() - 1
	}
	firstHour, lastHour := hourOf(first), hourOf(last)
	firstDay, _ := dayOf(firstHour)
	lastDay, _ := dayOf(lastHour)
	var days []int64
	if err := each(ctx, q, func(rows *sql.Rows) error {
		var day int64
		err := rows.Scan(&day)
		days = append(days, day)
		return err
	}, "SELECT DISTINCT day FROM rollups WHERE target = ? AND day BETWEEN ? AND ? ORDER BY day", target, firstDay, lastDay); err != nil {
		return err
	}
	hours, err := openHours(ctx, q, firstHour, lastHour)
	if err != nil {
		return err
	}
	open := map[int64]*rolled{} // by day
	for _, h := range hours {
		r, err := db.liveRollup(ctx, q, target, h)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		day, _ := dayOf(h)
		if before := open[day]; before != nil {
			r = before.with(r)
		} else if !slices.Contains(days, day) {
			days = append(days, day)
		}
		open[day] = r
	}
	slices.SortFunc(days, cmp.Compare)
	for _, day := range days {
		r, err := rollupOf(ctx, q, target, day, wanted)
		if err != nil {
			return err
		}
		switch o := open[day]; {
		case r == nil:
			r = o
		case o != nil:
			r = r.with(o)
		}
		if r == nil {
			continue
		}
		if err := f(day, r); err != nil {
			return err
		}
	}
	return nil
}

// liveRollup is the rollup of an hour that has visits which are not compacted; nil if the target has none in it.
func (db *DB) liveRollup(ctx context.Context, q querier, target, h int64) (*rolled, error) {
	fresh, _, err := freshFrames(ctx, q, target, h)
	if err != nil || len(fresh) == 0 {
		return nil, err
	}
	before, err := goneRollup(ctx, q, target, h)
	if err != nil {
		return nil, err
	}
	if before != nil {
		return before.plus(rollUp(fresh, h)), nil
	}
	old, err := db.blockFrames(ctx, q, target, h)
	if errors.Is(err, ErrCorrupt) { // they cannot be read any more: their rollup was made when they could
		day, of := dayOf(h)
		switch r, err := rollupOf(ctx, q, target, day, nil); {
		case err != nil:
			return nil, err
		case r == nil || r.hours>>of&1 == 0:
			return rollUp(fresh, h), nil
		default:
			return r.only(1 << of).plus(rollUp(fresh, h)), nil
		}
	} else if err != nil {
		return nil, err
	}
	return rollUp(append(old, fresh...), h), nil
}

// freshFrames is the visits of a target's hour that are not compacted.
func freshFrames(ctx context.Context, q querier, target, h int64) (frames []*frame, seqs []int64, err error) {
	err = each(ctx, q, func(rows *sql.Rows) error {
		var data []byte
		var seq int64
		if err := rows.Scan(&seq, &data); err != nil {
			return err
		}
		f, err := decodeFrames(data)
		if err != nil {
			return fmt.Errorf("visit %d: %w", seq, err)
		}
		frames, seqs = append(frames, f[0]), append(seqs, seq)
		return nil
	}, "SELECT seq, data FROM fresh WHERE hour = ? AND target = ? ORDER BY seq", h, target)
	return frames, seqs, err
}

// TickHour accounts for the ticks of one tier in one hour: those of the visits that belong to the hour by their time.
type TickHour struct {
	At   time.Time // where the hour begins
	Tier health.Tier
	Done, Late, Failed,
	Missed int
	// Answered has bit m set if a visit in minute m answered a tick; Unanswered if one failed or was missed.
	Answered, Unanswered uint64
	Reasons              map[health.Reason]int // of Failed and Missed
	// Skipped are runs of ticks that were not tried, told by visits of this hour; they may lie before it.
	Skipped []health.TickRange
}

// Ticks accounts for a target's ticks by hour and tier, in this order, for hours that begin from <= At < to: also when the visits
// are gone. A zero time is no bound.
func (db *DB) Ticks(ctx context.Context, id health.TargetID, from, to time.Time) ([]TickHour, error) {
	var out []TickHour
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		n, err := targetNumber(ctx, tx, id)
		if err != nil || n == 0 {
			return err
		}
		none := func(uint32) bool { return false }
		return db.eachDay(ctx, tx, n, from, to, none, func(day int64, r *rolled) error {
			for _, t := range r.tickHours(day) {
				if within(t.At, from, to) {
					out = append(out, t)
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read ticks of %q: %w", id, err)
	}
	return out, nil
}

func (r *rolled) tickHours(day int64) []TickHour {
	var out []TickHour
	at := func(hourOfDay, tier int) *TickHour {
		t := time.Unix(0, (day*hoursPerDay+int64(hourOfDay))*hour).UTC()
		k := slices.IndexFunc(out, func(x TickHour) bool { return x.At.Equal(t) && int(x.Tier) == tier })
		if k < 0 {
			k = len(out)
			out = append(out, TickHour{At: t, Tier: health.Tier(tier)})
		}
		return &out[k]
	}
	for _, t := range r.ticks {
		x := at(t.hour, t.tier)
		x.Done, x.Late, x.Failed, x.Missed = int(t.counts[0]), int(t.counts[1]), int(t.counts[2]), int(t.counts[3])
		x.Answered, x.Unanswered = t.minutes, t.failed
		for _, c := range t.reasons {
			if x.Reasons == nil {
				x.Reasons = map[health.Reason]int{}
			}
			x.Reasons[c.reason] += int(c.n)
		}
	}
	for _, s := range r.skips {
		x := at(s.hour, int(s.Tier))
		x.Skipped = append(x.Skipped, s.TickRange)
	}
	slices.SortStableFunc(out, func(a, b TickHour) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Tier, b.Tier)) })
	return out
}

package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"dewline/health"
)

// Range chooses what is walked over; the zero value chooses all.
type Range struct {
	Since, Until time.Time         // since <= time < until; a zero time is no bound
	Targets      []health.TargetID // none: every target
	// Unread is told of hours of a target of which WalkVisits cannot read all, and that it gives without that; the error wraps ErrCorrupt. nil:
	// WalkVisits fails.
	Unread func(target health.TargetID, hour time.Time, err error)
}

// walkPage is how many rows a walk reads at a time, between which it holds nothing of the store up.
const walkPage = 500

// Each walk calls f for what it chooses, and holds little in memory whatever the store holds. What is committed meanwhile may
// be met or not; what was there before and is not dropped is met once.

// WalkVisits goes over visits, by hour, target and time. They are as After gives them, without events and log entries. Progress is
// called before each hour with its number and how many there are; nil: nobody.
func (db *DB) WalkVisits(ctx context.Context, r Range, progress func(done, all int), f func(*health.Visit) error) error {
	fail := func(err error) error { return fmt.Errorf("walk visits: %w", err) }
	first, last := int64(math.MinInt64), int64(math.MaxInt64)
	if !r.Since.IsZero() {
		first = r.Since.UnixNano()
	}
	if !r.Until.IsZero() {
		last = r.Until.UnixNano() - 1
	}
	hours, err := rawHours(ctx, db.read, hourOf(first), hourOf(last))
	if err != nil {
		return fail(err)
	}
	targets, err := db.targetsOf(ctx, r)
	if err != nil {
		return fail(err)
	}
	for i, h := range hours {
		if progress != nil {
			progress(i, len(hours))
		}
		for _, t := range targets {
			var visits []*health.Visit
			var unread error
			if err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
				var err error
				visits, unread, err = db.hourVisits(ctx, tx, t.number, h)
				return err
			}); err != nil {
				return fail(err)
			}
			if unread != nil {
				if r.Unread == nil {
					return fail(unread)
				}
				r.Unread(t.name, hourTime(h), unread)
			}
			for _, v := range visits {
				if at := v.At().UnixNano(); at < first || at > last {
					continue
				}
				if err := f(v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// hourVisits is a target's visits of an hour in order of time, those that can be read; unread, which wraps ErrCorrupt, is why that is not all.
func (db *DB) hourVisits(ctx context.Context, q querier, target, h int64) (visits []*health.Visit, unread, err error) {
	frames, inBlocks := db.blockFrames(ctx, q, target, h)
	fresh, _, beside := freshFrames(ctx, q, target, h)
	for _, err := range [...]error{inBlocks, beside} {
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, nil, err
		}
	}
	unread = errors.Join(inBlocks, beside)
	if beside == nil {
		frames = append(frames, fresh...)
	}
	if len(frames) == 0 {
		return nil, unread, nil
	}
	d, err := db.target(ctx, q, target, frames...)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(frames, func(a, b *frame) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
	visits = make([]*health.Visit, len(frames))
	for i, f := range frames {
		visits[i] = f.visit(d)
	}
	return visits, unread, nil
}

type numbered struct {
	number int64
	name   health.TargetID
}

// targetsOf is the chosen targets in order of name.
func (db *DB) targetsOf(ctx context.Context, r Range) (targets []numbered, err error) {
	err = each(ctx, db.read, func(rows *sql.Rows) error {
		var t numbered
		if err := rows.Scan(&t.number, &t.name); err != nil {
			return err
		}
		if r.has(t.name) {
			targets = append(targets, t)
		}
		return nil
	}, "SELECT id, name FROM targets ORDER BY name")
	return targets, err
}

// walk reads rows page by page. page calls its argument with each row's place in the order, and is asked for those beyond a place.
func walk[K any](ctx context.Context, first K, page func(beyond K, row func(K)) error) error {
	for beyond := first; ; {
		n := 0
		if err := page(beyond, func(k K) { n, beyond = n+1, k }); err != nil || n < walkPage {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (r Range) filter(time string) filter {
	var f filter
	f.add(!r.Since.IsZero(), time+" >= ?", r.Since.UnixNano())
	f.add(!r.Until.IsZero(), time+" < ?", r.Until.UnixNano())
	return f
}

func (r Range) has(t health.TargetID) bool {
	return len(r.Targets) == 0 || slices.Contains(r.Targets, t)
}

// WalkEvents goes over events by time of the event, in the order in which they were committed.
func (db *DB) WalkEvents(ctx context.Context, r Range, f func(*health.Event) error) error {
	return walk(ctx, int64(0), func(beyond int64, row func(int64)) error {
		c := r.filter("e.at")
		c.add(true, "e.n > ?", beyond)
		var events []*health.Event
		if err := eachEvent(ctx, db.read, func(_ int64, e *health.Event) error {
			events = append(events, e)
			return nil
		}, c.String()+fmt.Sprintf(" ORDER BY e.n LIMIT %d", walkPage), c.args...); err != nil {
			return fmt.Errorf("walk events: %w", err)
		}
		if len(events) == 0 {
			return nil
		}
		// n is not among what eachEvent gives: that of the last one tells where the next page begins.
		var n int64
		if err := db.read.QueryRowContext(ctx, "SELECT n FROM events WHERE id = ?", events[len(events)-1].ID).Scan(&n); err != nil {
			return fmt.Errorf("walk events: %w", err)
		}
		for _, e := range events {
			row(n)
			if !r.has(e.Target) {
				continue
			}
			if err := f(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// WalkLog goes over log entries by when we observed them, in the order in which they were committed.
func (db *DB) WalkLog(ctx context.Context, r Range, f func(*LogEntry) error) error {
	return walk(ctx, int64(0), func(beyond int64, row func(int64)) error {
		c := r.filter("l.observed")
		c.add(true, "l.n > ?", beyond)
		// The numbers first: those of the page, whichever rows there are.
		var ns []int64
		if err := each(ctx, db.read, func(rows *sql.Rows) error {
			var n int64
			err := rows.Scan(&n)
			ns = append(ns, n)
			return err
		}, "SELECT l.n FROM log_entries l "+c.String()+fmt.Sprintf(" ORDER BY l.n LIMIT %d", walkPage), c.args...); err != nil {
			return fmt.Errorf("walk log: %w", err)
		}
		if len(ns) == 0 {
			return nil
		}
		c.add(true, "l.n <= ?", ns[len(ns)-1])
		var entries []*LogEntry
		if err := eachLogEntry(ctx, db.read, func(seq int64, t health.TargetID, e *health.LogEntry) error {
			entries = append(entries, &LogEntry{t, seq, *e})
			return nil
		}, c.String()+" ORDER BY l.n", c.args...); err != nil {
			return fmt.Errorf("walk log: %w", err)
		}
		for _, n := range ns {
			row(n)
		}
		for _, e := range entries {
			if !r.has(e.Target) {
				continue
			}
			if err := f(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// never stands for NULL in an order: the least time.
const never = "-9223372036854775807"

// WalkFaults goes over faults by when they opened, in that order.
func (db *DB) WalkFaults(ctx context.Context, r Range, f func(*health.Fault) error) error {
	type key struct {
		opened int64
		id     string
	}
	return walk(ctx, key{opened: math.MinInt64}, func(beyond key, row func(key)) error {
		c := r.filter("f.opened_ns")
		c.where = append(c.where, "(coalesce(f.opened_ns, "+never+"), f.id) > (?, ?)")
		c.args = append(c.args, beyond.opened, beyond.id)
		var faults []*health.Fault
		if err := eachFault(ctx, db.read, func(x *health.Fault) error {
			faults = append(faults, x)
			return nil
		}, c.String()+fmt.Sprintf(" ORDER BY coalesce(f.opened_ns, %s), f.id LIMIT %d", never, walkPage), c.args...); err != nil {
			return fmt.Errorf("walk faults: %w", err)
		}
		for _, x := range faults {
			opened := int64(-math.MaxInt64)
			if !x.Opened.IsZero() {
				opened = x.Opened.UnixNano()
			}
			row(key{opened, x.ID})
			if !r.has(x.Target) {
				continue
			}
			if err := f(x); err != nil {
				return err
			}
		}
		return nil
	})
}

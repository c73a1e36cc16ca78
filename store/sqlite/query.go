package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"dewline/health"
)

// Status is how a target stands.
type Status struct {
	Target     health.TargetID
	Driver     string        // of its last visit
	Origin     health.Origin // of its last visit
	Access     health.Access
	Ticks      map[health.Tier]health.Tick // the last answered tick of each tier
	Identity   health.Identity
	HostPower  health.HostPower
	OpenFaults int
	LastSeq    int64     // its newest visit
	LastAt     time.Time // the latest time of a visit
}

// Statuses is every target that was ever visited, in order of name.
func (db *DB) Statuses(ctx context.Context) ([]Status, error) {
	var out []Status
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		index := map[int64]int{}
		if err := each(ctx, tx, func(rows *sql.Rows) error {
			s := Status{Ticks: map[health.Tier]health.Tick{}}
			a := &s.Access
			var n int64
			if err := rows.Scan(&n, &s.Target, &s.Driver, &s.Origin, fromJSON{&s.Identity}, textOf(&s.HostPower), &s.LastSeq,
				nsTime{&s.LastAt}, &a.State, nsTime{&a.Since}, nsTime{&a.NextTry}, &a.Failures, &a.Reason, &a.Error,
				&s.OpenFaults); err != nil {
				return err
			}
			index[n] = len(out)
			out = append(out, s)
			return nil
		}, `SELECT t.id, t.name, t.last_driver, t.origin, t.identity, t.host_power, coalesce(l.seq, 0), l.at,
			coalesce(a.state, 'ok'), a.since_ns, a.next_try_ns, coalesce(a.failures, 0), coalesce(a.reason, ''),
			coalesce(a.error, ''), (SELECT count(*) FROM faults f WHERE f.target = t.id AND `+faultOpen+`)
			FROM targets t LEFT JOIN latest l ON l.target = t.id LEFT JOIN access a ON a.target = t.id
			ORDER BY t.name`); err != nil {
			return err
		}
		return each(ctx, tx, func(rows *sql.Rows) error {
			var n int64
			var tier health.Tier
			var t health.Tick
			if err := rows.Scan(&n, &tier, nsTime{&t.Due}, &t.Result, &t.Lateness); err != nil {
				return err
			}
			if i, ok := index[n]; ok {
				out[i].Ticks[tier] = t
			}
			return nil
		}, "SELECT target, tier, due_ns, result, lateness FROM ticks")
	})
	if err != nil {
		return nil, fmt.Errorf("read statuses: %w", err)
	}
	return out, nil
}

// FaultFilter chooses faults; the zero value chooses all.
type FaultFilter struct {
	Open    bool            // only those that are neither cleared nor unmonitored
	Target  health.TargetID // "": of every target
	Kind    health.Kind     // "": of every kind
	Since   time.Time       // opened then or later; zero: from the beginning
	Until   time.Time       // opened before; zero: to the end
	AtLeast health.Severity
}

// filter builds a WHERE clause of the conditions that are asked for.
type filter struct {
	where []string
	args  []any
}

func (f *filter) add(cond bool, clause string, arg any) {
	if cond {
		f.where, f.args = append(f.where, clause), append(f.args, arg)
	}
}

func (f *filter) String() string {
	if len(f.where) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(f.where, " AND ")
}

// Faults is the chosen faults in the order in which they opened.
func (db *DB) Faults(ctx context.Context, choose FaultFilter) ([]health.Fault, error) {
	var out []health.Fault
	err := db.EachFault(ctx, choose, func(x *health.Fault) error {
		out = append(out, *x)
		return nil
	})
	return out, err
}

// EachFault is Faults one by one, while they are read. An error of f ends it and is returned as it is.
func (db *DB) EachFault(ctx context.Context, choose FaultFilter, give func(*health.Fault) error) error {
	var f filter
	f.add(choose.Open, "f.state <> ? AND f.state <> 'unmonitored'", string(health.Cleared))
	f.add(choose.Target != "", "t.name = ?", string(choose.Target))
	f.add(choose.Kind != "", "f.kind = ?", string(choose.Kind))
	f.add(!choose.Since.IsZero(), "f.opened_ns >= ?", choose.Since.UnixNano())
	f.add(!choose.Until.IsZero(), "f.opened_ns < ?", choose.Until.UnixNano())
	var own error
	if err := eachFault(ctx, db.read, func(x *health.Fault) error {
		if x.Severity >= choose.AtLeast {
			own = give(x)
		}
		return own
	}, f.String()+" ORDER BY f.opened_ns, f.id", f.args...); err != nil && own == nil {
		return fmt.Errorf("read faults: %w", err)
	}
	return own
}

// Events is the events with since <= At < until, of one target or ("") all, oldest first. A zero time is no bound.
func (db *DB) Events(ctx context.Context, since, until time.Time, id health.TargetID) ([]health.Event, error) {
	var out []health.Event
	err := db.EachEvent(ctx, since, until, id, func(e *health.Event) error {
		out = append(out, *e)
		return nil
	})
	return out, err
}

// EachEvent is Events one by one, while they are read. An error of f ends it and is returned as it is.
func (db *DB) EachEvent(ctx context.Context, since, until time.Time, id health.TargetID, give func(*health.Event) error) error {
	var f filter
	f.add(id != "", "t.name = ?", string(id))
	f.add(!since.IsZero(), "e.at >= ?", since.UnixNano())
	f.add(!until.IsZero(), "e.at < ?", until.UnixNano())
	var own error
	if err := eachEvent(ctx, db.read, func(_ int64, e *health.Event) error {
		own = give(e)
		return own
	}, f.String()+" ORDER BY e.at, e.n", f.args...); err != nil && own == nil {
		return fmt.Errorf("read events: %w", err)
	}
	return own
}

// LogEntry is a log entry and the visit that brought it.
type LogEntry struct {
	Target health.TargetID
	Seq    int64
	health.LogEntry
}

// LogEntries is the log entries that we observed from since to before until, of one target or ("") all, in the order in which
// they came. A zero time is no bound.
func (db *DB) LogEntries(ctx context.Context, since, until time.Time, id health.TargetID) ([]LogEntry, error) {
	var f filter
	f.add(id != "", "t.name = ?", string(id))
	f.add(!since.IsZero(), "l.observed >= ?", since.UnixNano())
	f.add(!until.IsZero(), "l.observed < ?", until.UnixNano())
	var out []LogEntry
	err := eachLogEntry(ctx, db.read, func(seq int64, t health.TargetID, e *health.LogEntry) error {
		out = append(out, LogEntry{t, seq, *e})
		return nil
	}, f.String()+" ORDER BY l.n", f.args...)
	if err != nil {
		return nil, fmt.Errorf("read log entries: %w", err)
	}
	return out, nil
}

// Component is a component as it is known, with the series that were ever read of it.
type Component struct {
	health.KnownComponent
	Series []Quantity
}

// Quantity describes a series of a component.
type Quantity struct {
	Quantity   health.Quantity
	Unit       health.Unit
	Derived    bool
	Thresholds *health.Thresholds // in force; nil: the service stated none
}

// Components is what is known of a target's components, in order of ID; none for a target that is not known.
func (db *DB) Components(ctx context.Context, id health.TargetID) ([]Component, error) {
	var out []Component
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		n, err := targetNumber(ctx, tx, id)
		if err != nil || n == 0 {
			return err
		}
		known, err := componentsOf(ctx, tx, n)
		if err != nil {
			return err
		}
		d, err := loadDict(ctx, tx, n)
		if err != nil {
			return err
		}
		levels, err := thresholdsInForce(ctx, tx, n)
		if err != nil {
			return err
		}
		series := map[health.ComponentID][]Quantity{}
		for s, e := range d.series {
			c := d.component(uint32(s))
			series[c] = append(series[c], Quantity{e.quantity, e.unit, e.derived, levels[uint32(s)].thresholds()})
		}
		for _, c := range known {
			out = append(out, Component{c, series[c.ID]})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read components of %q: %w", id, err)
	}
	return out, nil
}

// targetNumber is 0 for a target that is not known.
func targetNumber(ctx context.Context, q querier, id health.TargetID) (n int64, err error) {
	err = each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&n) }, "SELECT id FROM targets WHERE name = ?", string(id))
	return n, err
}

// Run is a span in which the daemon ran.
type Run struct {
	PID     int
	Started time.Time
	Alive   time.Time // the last sign of life
	Stopped time.Time // zero: it still runs, or ended without a word soon after Alive
}

// Runs is the spans in which the daemon ran, oldest first. Between them nothing was read.
func (db *DB) Runs(ctx context.Context) ([]Run, error) {
	var out []Run
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var r Run
		if err := rows.Scan(&r.PID, nsTime{&r.Started}, nsTime{&r.Alive}, nsTime{&r.Stopped}); err != nil {
			return err
		}
		out = append(out, r)
		return nil
	}, "SELECT pid, started_ns, alive_ns, stopped_ns FROM runs ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	return out, nil
}

// Size is the bytes that the store's files take: database, WAL and its index, and the files of closed days.
func (db *DB) Size(context.Context) (int64, error) {
	var n int64
	for _, suffix := range [...]string{"", "-wal", "-shm"} {
		st, err := os.Stat(db.path + suffix)
		switch {
		case err == nil:
			n += st.Size()
		case !errors.Is(err, fs.ErrNotExist):
			return 0, fmt.Errorf("size of store: %w", err)
		}
	}
	es, err := os.ReadDir(db.periodsDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("size of store: %w", err)
	}
	for _, e := range es {
		st, err := e.Info()
		switch {
		case err == nil && st.Mode().IsRegular():
			n += st.Size()
		case err != nil && !errors.Is(err, fs.ErrNotExist): // it was just removed
			return 0, fmt.Errorf("size of store: %w", err)
		}
	}
	return n, nil
}

// Unmapped is how many events are of log entries of severity warning or critical that no driver's table knows.
func (db *DB) Unmapped(ctx context.Context) (int, error) {
	var n int
	if err := db.read.QueryRowContext(ctx, "SELECT count(*) FROM events WHERE kind = 'unknown' AND rule = 'log'").Scan(&n); err != nil {
		return 0, fmt.Errorf("count unmapped log entries: %w", err)
	}
	return n, nil
}

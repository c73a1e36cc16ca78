package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"dewline/health"
)

// visitID is the visit's ID, from the frame alone.
func (f *frame) visitID(target health.TargetID) string {
	if f.id != "" {
		return f.id
	}
	v := &health.Visit{Target: target}
	f.times(v)
	return health.VisitID(v)
}

func (f *frame) times(v *health.Visit) {
	if f.started {
		v.Started = time.Unix(0, f.at).UTC()
	}
	for _, t := range f.due.List() {
		if v.Due == nil {
			v.Due = map[health.Tier]time.Time{}
		}
		v.Due[t] = time.Unix(0, f.at+f.dueAt[t]).UTC()
	}
}

// visit is what the frame holds of a visit; d must hold the frame.
func (f *frame) visit(d *target) *health.Visit {
	v := &health.Visit{
		Seq: f.seq, Target: d.name, Driver: f.driver, Origin: f.origin, Took: time.Duration(f.took), Result: f.result,
		Reason: f.reason, Error: f.err, Cost: f.cost.cost(),
	}
	f.times(v)
	v.ID = f.visitID(d.name)
	v.Skipped = append(v.Skipped, f.skip...)
	if f.where != 0 {
		where := *d.configured[f.where-1]
		v.Where = &where
	}
	for _, n := range f.unread {
		v.Unread = append(v.Unread, health.ComponentRef{ID: d.parts[n].id, Class: d.parts[n].class})
	}
	if !f.hasSnap {
		return v
	}
	s := &health.Snapshot{
		Target: d.name, Driver: f.snapDriver, Took: time.Duration(f.snap.took), Tiers: f.snapTiers, HostPower: f.hostPower,
		Cost: f.snap.cost.cost(),
	}
	if f.snapTarget != "" {
		s.Target = health.TargetID(f.snapTarget)
	}
	if !f.snapNoTime {
		s.At = time.Unix(0, f.snap.at).UTC()
	}
	s.Gaps = append(s.Gaps, f.gaps...)
	if len(f.shape.parts) > 0 {
		s.Components = make([]health.Component, len(f.shape.parts))
	}
	for i, n := range f.shape.parts {
		p, state := d.parts[n], f.states[i]
		s.Components[i] = health.Component{
			ID: p.id, Class: p.class, Name: p.name, State: health.State(state & 3), Presence: health.Presence(state >> 2 & 3),
			StateNotRead: state>>4 != 0,
		}
	}
	if len(f.shape.series) > 0 {
		s.Readings = make([]health.Reading, len(f.shape.series))
	}
	for i, n := range f.shape.series {
		e := d.series[n]
		s.Readings[i] = health.Reading{
			Component: d.component(n), Quantity: e.quantity, Unit: e.unit, Value: f.values[i], Derived: e.derived,
		}
	}
	v.Snapshot = s
	return v
}

// blockFrames is every frame in the blocks of one target and hour.
func (db *DB) blockFrames(ctx context.Context, q querier, target, hour int64) ([]*frame, error) {
	var all []*frame
	err := db.eachBlock(ctx, q, target, hour, hour, func(_ int64, data []byte) error {
		frames, err := decodeFrames(data)
		all = append(all, frames...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("block of target %d, hour %d: %w", target, hour, err)
	}
	return all, nil
}

// snapshotTx runs f in one read transaction: what f reads belongs together, whatever is committed meanwhile, and the files that it
// names stay until it ends.
func (db *DB) snapshotTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	if err := db.held.enter(db.periodsDir()); err != nil {
		return err
	}
	defer db.held.leave()
	tx, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written
	return f(tx)
}

// After is up to limit committed visits with a Seq above seq, in order of commit: an empty list when there are none. A visit
// comes back with the snapshot's components (ID, class, name, presence, state, StateNotRead), readings without thresholds, gaps
// and log entries; its events, unread parts, skipped ticks, cost and due times; but without its Delta, and of the snapshot without
// scope, identity, list of logs, cursors and memory. Our own times are UTC. It is the same before and after compaction. A log entry or
// event that an earlier visit brought already is given with that one only.
//
// It ends before a visit that cannot be read, as one whose file of closed days is lost; if that is the first one, the error wraps ErrCorrupt
// (PassUnread).
//
// Visits that retention dropped are not given: After goes on with the next one there is. How many of them a sink of Options.Sinks
// had not taken is counted when they are dropped (Sinks).
//
// Visits of one answer may share memory in their gaps, skipped ticks and labels: take them as read-only.
func (db *DB) After(ctx context.Context, seq int64, limit int) ([]*health.Visit, error) {
	var out []*health.Visit
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		var err error
		out, err = db.after(ctx, tx, seq, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read visits after %d: %w", seq, err)
	}
	return out, nil
}

// visitRow is where a visit stands.
type visitRow struct {
	seq, target, hour int64
	fresh             []byte // nil: in a block
}

// visitRows are those of up to limit visits with a seq above after, up to last, in order.
func visitRows(ctx context.Context, q querier, after, last int64, limit int) (rs []visitRow, err error) {
	err = each(ctx, q, func(rows *sql.Rows) error {
		var r visitRow
		if err := rows.Scan(&r.seq, &r.target, &r.hour, &r.fresh); err != nil {
			return err
		}
		rs = append(rs, r)
		return nil
	}, `SELECT v.seq, v.target, v.hour, f.data FROM visits v LEFT JOIN fresh f ON f.seq = v.seq
		WHERE v.seq > ? AND v.seq <= ? ORDER BY v.seq LIMIT ?`, after, last, limit)
	return rs, err
}

// frameFinder gives the frames of visits, and reads each block once.
type frameFinder struct {
	db     *DB
	q      querier
	blocks map[[2]int64]inBlocks // by target and hour
}

type inBlocks struct {
	frames map[int64]*frame // by seq
	err    error            // wraps ErrCorrupt: they cannot be read
}

func (r *frameFinder) frame(ctx context.Context, v visitRow) (*frame, error) {
	if v.fresh != nil {
		frames, err := decodeFrames(v.fresh)
		if err != nil {
			return nil, fmt.Errorf("visit %d: %w", v.seq, err)
		}
		return frames[0], nil
	}
	place := [2]int64{v.target, v.hour}
	in, ok := r.blocks[place]
	if !ok {
		frames, err := r.db.blockFrames(ctx, r.q, v.target, v.hour)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
		in = inBlocks{make(map[int64]*frame, len(frames)), err}
		for _, f := range frames {
			in.frames[f.seq] = f
		}
		if r.blocks == nil {
			r.blocks = map[[2]int64]inBlocks{}
		}
		r.blocks[place] = in
	}
	if in.err != nil {
		return nil, in.err
	}
	f := in.frames[v.seq]
	if f == nil {
		return nil, corrupt("visit %d is in no block", v.seq)
	}
	return f, nil
}

func (db *DB) after(ctx context.Context, tx *sql.Tx, seq int64, limit int) ([]*health.Visit, error) {
	rs, err := visitRows(ctx, tx, seq, math.MaxInt64, limit)
	if err != nil || len(rs) == 0 {
		return nil, err
	}
	find := frameFinder{db: db, q: tx}
	var out []*health.Visit
	bySeq := make(map[int64]*health.Visit, len(rs))
	for i, r := range rs {
		f, err := find.frame(ctx, r)
		var t *target
		if err == nil {
			t, err = db.target(ctx, tx, r.target, f)
		}
		if errors.Is(err, ErrCorrupt) && i > 0 { // it is told when it is the first
			rs = rs[:i]
			break
		} else if err != nil {
			return nil, err
		}
		out = append(out, f.visit(t))
		bySeq[r.seq] = out[i]
	}
	first, last := rs[0].seq, rs[len(rs)-1].seq
	if err := eachEvent(ctx, tx, func(seq int64, e *health.Event) error {
		v := bySeq[seq]
		if v == nil {
			return nil // events stay when their visit is dropped
		}
		v.Events = append(v.Events, *e)
		return nil
	}, "WHERE e.seq BETWEEN ? AND ? ORDER BY e.n", first, last); err != nil {
		return nil, err
	}
	return out, eachLogEntry(ctx, tx, func(seq int64, _ health.TargetID, e *health.LogEntry) error {
		v := bySeq[seq]
		if v == nil {
			return nil
		}
		if v.Snapshot == nil {
			return corrupt("log entry of visit %d, which is not there", seq)
		}
		v.Snapshot.Log = append(v.Snapshot.Log, *e)
		return nil
	}, "WHERE l.seq BETWEEN ? AND ? ORDER BY l.n", first, last)
}

// MaxSeq is the Seq of the newest committed visit, 0 if there is none.
func (db *DB) MaxSeq(ctx context.Context) (int64, error) {
	var n int64
	err := db.read.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM visits").Scan(&n)
	return n, err
}

// SinkCursor is the Seq up to which a sink has delivered, 0 for a new sink.
func (db *DB) SinkCursor(ctx context.Context, sink string) (int64, error) {
	var n int64
	err := db.read.QueryRowContext(ctx, "SELECT cursor FROM sinks WHERE name = ?", sink).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// SetSinkCursor keeps the Seq up to which a sink has delivered; it is on disk when it returns. A cursor never goes back: a
// lower seq changes nothing. One above the newest visit is an error.
func (db *DB) SetSinkCursor(ctx context.Context, sink string, seq int64) error {
	err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		if seq > w.seq {
			return fmt.Errorf("no visit %d yet", seq)
		}
		return w.exec(ctx, `INSERT INTO sinks (name, cursor) VALUES (?, ?)
			ON CONFLICT DO UPDATE SET cursor = excluded.cursor WHERE excluded.cursor > cursor`, sink, seq)
	}})
	if err != nil {
		return fmt.Errorf("set cursor of sink %q: %w", sink, err)
	}
	return nil
}

package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"dewline/health"
)

// compactBatch is how many target hours become blocks in one transaction: enough to share its fsync, few enough that visits
// which wait to be recorded do not notice.
const compactBatch = 32

// CompactBefore turns the hours that ended by t, and whose visits every configured sink has passed, into blocks: one per
// target and hour. Visits that came late for a compacted hour are merged into its blocks. What After and Series give stays the
// same. It may run beside everything else; interrupted at any moment, it has done whole hours or nothing of them.
func (db *DB) CompactBefore(ctx context.Context, t time.Time) error {
	if db.readOnly {
		return ErrClosed
	}
	db.compact.Lock()
	defer db.compact.Unlock()
	passed, err := db.passed(ctx, t)
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	end := hourOf(t.UnixNano())
	hours, err := openHours(ctx, db.read, -1<<62, end-1)
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	var damaged []error
	for _, h := range hours {
		if err := db.compactHour(ctx, h, passed(h)); err != nil {
			err = fmt.Errorf("compact hour %v: %w", time.Unix(0, h*hour).UTC(), err)
			if !errors.Is(err, ErrCorrupt) {
				return err
			}
			damaged = append(damaged, err)
		}
	}
	return errors.Join(damaged...)
}

// passed gives, for an hour, the Seq that every configured sink has delivered; without sinks, every visit. A sink that is further
// behind at t than its MaxLag holds nothing up.
func (db *DB) passed(ctx context.Context, t time.Time) (func(h int64) int64, error) {
	newest, err := db.MaxSeq(ctx)
	if err != nil {
		return nil, err
	}
	cursors := make([]int64, len(db.o.Sinks))
	for i, s := range db.o.Sinks {
		if cursors[i], err = db.SinkCursor(ctx, s); err != nil {
			return nil, err
		}
	}
	return func(h int64) int64 {
		least := newest
		for i, s := range db.o.Sinks {
			if !db.tooOld(h, db.o.Retention.MaxLag[s], t) {
				least = min(least, cursors[i])
			}
		}
		return least
	}, nil
}

// compacted is the new blocks of one target and hour.
type compacted struct {
	target, hour int64
	seqs         []int64 // the visits that were merged in
	twice        []int64 // those of them that stand in a block already, under another seq
	blocks       []block
	rollup       []byte
}

type block struct {
	first, last int64
	visits      int
	samples     int
	data        []byte
}

// compactHour leaves a target's hour that cannot be read as it is, and goes on with the next; the error then wraps ErrCorrupt.
func (db *DB) compactHour(ctx context.Context, h, passed int64) error {
	var damaged []error
	var targets []int64
	if err := each(ctx, db.read, func(rows *sql.Rows) error {
		var n int64
		err := rows.Scan(&n)
		targets = append(targets, n)
		return err
	}, "SELECT target FROM fresh WHERE hour = ? GROUP BY target HAVING max(seq) <= ? ORDER BY target", h, passed); err != nil {
		return err
	}
	for chunk := range slices.Chunk(targets, compactBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Read and encoded beside the writer. Only compaction takes rows away, and there is one at a time; visits that come
		// for this hour meanwhile are left for the next.
		var done []*compacted
		for _, t := range chunk {
			c, err := db.encodeHour(ctx, t, h)
			switch {
			case errors.Is(err, ErrCorrupt):
				damaged = append(damaged, err)
			case err != nil:
				return err
			default:
				done = append(done, c)
			}
		}
		if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error { return w.replace(ctx, done) }}); err != nil {
			return err
		}
	}
	return errors.Join(damaged...)
}

func (db *DB) encodeHour(ctx context.Context, target, h int64) (*compacted, error) {
	c := &compacted{target: target, hour: h}
	var frames []*frame
	var before *rolled // of the visits that are gone
	inBlocks := 0
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		var err error
		if before, err = goneRollup(ctx, tx, target, h); err != nil {
			return err
		}
		if frames, err = db.blockFrames(ctx, tx, target, h); err != nil {
			return err
		}
		inBlocks = len(frames)
		fresh, seqs, err := freshFrames(ctx, tx, target, h)
		if err != nil {
			return err
		}
		c.seqs = seqs
		if inBlocks > 0 && len(fresh) > 0 {
			if fresh, c.twice, err = onlyNew(ctx, tx, target, frames, fresh); err != nil {
				return err
			}
		}
		frames = append(frames, fresh...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if before != nil { // what stands in blocks is in it
		c.rollup = encodeRollup(before.plus(rollUp(frames[inBlocks:], h)))
	} else {
		c.rollup = encodeRollup(rollUp(frames, h))
	}
	slices.SortFunc(frames, func(a, b *frame) int { return cmp.Compare(a.seq, b.seq) })
	for _, some := range split(frames) {
		samples := 0
		for _, f := range some {
			samples += len(f.values)
		}
		c.blocks = append(c.blocks, block{some[0].seq, some[len(some)-1].seq, len(some), samples, encodeFrames(some, true)})
	}
	return c, nil
}

// onlyNew leaves out those of fresh whose visits stand among the others: they were recorded while these could not be read.
func onlyNew(ctx context.Context, q querier, target int64, others, fresh []*frame) (left []*frame, twice []int64, err error) {
	var name health.TargetID
	if err := each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&name) }, "SELECT name FROM targets WHERE id = ?", target); err != nil {
		return nil, nil, err
	}
	known := map[string]bool{}
	for _, f := range others {
		known[f.visitID(name)] = true
	}
	for _, f := range fresh {
		if known[f.visitID(name)] {
			twice = append(twice, f.seq)
		} else {
			left = append(left, f)
		}
	}
	return left, twice, nil
}

// split cuts frames into what one block may hold.
func split(frames []*frame) (blocks [][]*frame) {
	for len(frames) > 0 {
		n, cells := 0, 0
		for n < len(frames) && n < maxVisits && (n == 0 || cells+frames[n].cells() <= maxCells) {
			cells += frames[n].cells()
			n++
		}
		blocks = append(blocks, frames[:n])
		frames = frames[n:]
	}
	return blocks
}

// replace puts new blocks in place of the old ones and of the visits they hold.
func (w *writer) replace(ctx context.Context, done []*compacted) error {
	for _, c := range done {
		if err := w.exec(ctx, "DELETE FROM blocks WHERE target = ? AND hour = ?", c.target, c.hour); err != nil {
			return err
		}
		for _, b := range c.blocks {
			if err := w.exec(ctx, `INSERT INTO blocks (target, hour, first_seq, last_seq, visits, samples, data)
				VALUES (?, ?, ?, ?, ?, ?, ?)`, c.target, c.hour, b.first, b.last, b.visits, b.samples, b.data); err != nil {
				return err
			}
		}
		if err := w.rollup(ctx, c.target, c.hour, c.rollup); err != nil {
			return err
		}
		for _, seq := range c.seqs {
			if err := w.exec(ctx, "DELETE FROM fresh WHERE seq = ?", seq); err != nil {
				return err
			}
		}
		for _, seq := range c.twice {
			if err := w.exec(ctx, "DELETE FROM visits WHERE seq = ?", seq); err != nil {
				return err
			}
		}
		// Even if this transaction fails: to look into blocks in vain costs little.
		w.closed = max(w.closed, c.hour+1)
	}
	return nil
}

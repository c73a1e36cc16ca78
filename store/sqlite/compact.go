package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
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
	passed, err := db.passed(ctx)
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	end := hourOf(t.UnixNano())
	hours, err := openHours(ctx, db.read, -1<<62, end-1)
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	for _, h := range hours {
		if err := db.compactHour(ctx, h, passed); err != nil {
			return fmt.Errorf("compact hour %v: %w", time.Unix(0, h*hour).UTC(), err)
		}
	}
	return nil
}

// passed is the Seq that every configured sink has delivered; without sinks, every visit.
func (db *DB) passed(ctx context.Context) (int64, error) {
	least, err := db.MaxSeq(ctx)
	for _, s := range db.o.Sinks {
		if err != nil {
			return 0, err
		}
		var c int64
		c, err = db.SinkCursor(ctx, s)
		least = min(least, c)
	}
	return least, err
}

// compacted is the new blocks of one target and hour.
type compacted struct {
	target, hour int64
	seqs         []int64 // the visits that were merged in
	blocks       []block
}

type block struct {
	first, last int64
	visits      int
	samples     int
	data        []byte
}

func (db *DB) compactHour(ctx context.Context, h, passed int64) error {
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
			if err != nil {
				return err
			}
			done = append(done, c)
		}
		if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error { return w.replace(ctx, done) }}); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) encodeHour(ctx context.Context, target, h int64) (*compacted, error) {
	c := &compacted{target: target, hour: h}
	var frames []*frame
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		var err error
		if frames, err = blockFrames(ctx, tx, target, h); err != nil {
			return err
		}
		return each(ctx, tx, func(rows *sql.Rows) error {
			var data []byte
			var seq int64
			if err := rows.Scan(&seq, &data); err != nil {
				return err
			}
			f, err := decodeFrames(data)
			if err != nil {
				return fmt.Errorf("visit %d: %w", seq, err)
			}
			frames = append(frames, f[0])
			c.seqs = append(c.seqs, seq)
			return nil
		}, "SELECT seq, data FROM fresh WHERE hour = ? AND target = ?", h, target)
	})
	if err != nil {
		return nil, err
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
		for _, seq := range c.seqs {
			if err := w.exec(ctx, "DELETE FROM fresh WHERE seq = ?", seq); err != nil {
				return err
			}
		}
		// Even if this transaction fails: to look into blocks in vain costs little.
		w.closed = max(w.closed, c.hour+1)
	}
	return nil
}

package sqlite

import (
	"encoding/binary"

	"dewline/health"
)

// encodeFrames writes frames of one target, packed. There is at least one, and no more than a block may hold.
func encodeFrames(frames []*frame, best bool) []byte {
	return pack(encodeColumns(frames), best)
}

func encodeColumns(frames []*frame) []byte {
	n := len(frames)
	var c columns
	each := func(get func(*frame) int64) {
		v := make([]int64, n)
		for i, f := range frames {
			v[i] = get(f)
		}
		c.ints(v, 0)
	}
	each(func(f *frame) int64 { return f.seq })
	each(func(f *frame) int64 { return f.at })
	each(func(f *frame) int64 { return f.took })
	c.pieces(n, func(i int, b []byte) []byte { return frames[i].frameKind.append(b, frames[i].started) })
	var due health.Tiers
	snaps := false
	for _, f := range frames {
		due |= f.due
		snaps = snaps || f.hasSnap
	}
	for _, t := range due.List() {
		each(func(f *frame) int64 { return f.dueAt[t] })
	}
	for k := range costFields {
		each(func(f *frame) int64 { return f.cost[k] })
	}
	if snaps {
		each(func(f *frame) int64 { return f.snap.at - f.at })
		each(func(f *frame) int64 { return f.snap.took - f.took })
		for k := range costFields {
			each(func(f *frame) int64 { return f.snap.cost[k] - f.cost[k] })
		}
	}
	c.pieces(n, func(i int, b []byte) []byte { return appendRuns(b, frames[i].shape.parts) })
	c.pieces(n, func(i int, b []byte) []byte { return appendRuns(b, frames[i].shape.series) })
	c.pieces(n, func(i int, b []byte) []byte { return appendGaps(b, frames[i].gaps) })
	c.pieces(n, func(i int, b []byte) []byte { return appendRuns(b, frames[i].unread) })
	c.pieces(n, func(i int, b []byte) []byte { return appendSkips(b, frames[i].skip) })

	for _, s := range gather(frames, func(f *frame) ([]uint32, []byte) { return f.shape.parts, f.states }) {
		c.small(s)
	}
	for _, v := range gather(frames, func(f *frame) ([]uint32, []float64) { return f.shape.series, f.values }) {
		c.floats(v)
	}

	b := binary.AppendUvarint(nil, uint64(n))
	return append(appendBytes(b, c.head), c.data...)
}

// gather turns rows into columns: one per dictionary number, in order of first appearance.
func gather[T any](frames []*frame, row func(*frame) ([]uint32, []T)) [][]T {
	place := map[uint32]int{}
	var cols [][]T
	for _, f := range frames {
		ids, vals := row(f)
		for i, id := range ids {
			k, ok := place[id]
			if !ok {
				k = len(cols)
				place[id] = k
				cols = append(cols, make([]T, 0, len(frames)))
			}
			cols[k] = append(cols[k], vals[i])
		}
	}
	return cols
}

// decodeFrames reads what encodeFrames wrote. Frames of one block share their shapes, gaps and lists of unread parts:
// none of these may be changed.
func decodeFrames(b []byte) ([]*frame, error) {
	plain, err := unpack(b)
	if err != nil {
		return nil, err
	}
	return decodeColumns(plain)
}

func decodeColumns(b []byte) ([]*frame, error) {
	frames, c, err := decodeHead(b)
	if err != nil {
		return nil, err
	}
	scatter(frames, c.small, func(f *frame) ([]uint32, *[]byte) { return f.shape.parts, &f.states })
	scatter(frames, c.floats, func(f *frame) ([]uint32, *[]float64) { return f.shape.series, &f.values })
	if err := c.failed(); err != nil {
		return nil, err
	}
	if len(c.head.b) != 0 || len(c.data.b) != 0 {
		return nil, corrupt("bytes left over in a block")
	}
	for _, f := range frames {
		for _, s := range f.states {
			if s>>4 > 1 || s>>2&3 > byte(health.Absent) {
				return nil, corrupt("unknown presence")
			}
		}
	}
	return frames, nil
}

// decodeHead reads all but states and values, and leaves the reader where those begin.
func decodeHead(b []byte) ([]*frame, *columnsReader, error) {
	w := wire{b: b}
	n := w.count(maxVisits)
	c := &columnsReader{head: wire{b: w.bytes()}}
	c.data = wire{b: w.b}
	if w.err != nil || n == 0 {
		return nil, nil, corrupt("no visits in a block")
	}
	all := make([]frame, n)
	frames := make([]*frame, n)
	for i := range all {
		frames[i] = &all[i]
	}
	each := func(set func(*frame, int64)) {
		v, _ := c.ints(n)
		for i := range v {
			set(frames[i], v[i])
		}
	}
	each(func(f *frame, v int64) { f.seq = v })
	each(func(f *frame, v int64) { f.at = v })
	each(func(f *frame, v int64) { f.took = v })
	kinds, which := readPieces(c, n, readKind)
	var due health.Tiers
	snaps := false
	for i, k := range which {
		f := frames[i]
		f.frameKind, f.started = kinds[k].frameKind, kinds[k].started
		due |= f.due
		snaps = snaps || f.hasSnap
	}
	for _, t := range due.List() {
		each(func(f *frame, v int64) { f.dueAt[t] = v })
	}
	for k := range costFields {
		each(func(f *frame, v int64) { f.cost[k] = v })
	}
	if snaps {
		each(func(f *frame, v int64) { f.snap.at = f.at + v })
		each(func(f *frame, v int64) { f.snap.took = f.took + v })
		for k := range costFields {
			each(func(f *frame, v int64) { f.snap.cost[k] = f.cost[k] + v })
		}
	}
	left := maxCells // of all runs together: a few bytes can claim a long run
	runs := func(w *wire) []uint32 {
		ids := readRuns(w, left)
		left -= len(ids)
		return ids
	}
	parts, ofParts := readPieces(c, n, runs)
	series, ofSeries := readPieces(c, n, runs)
	gaps, ofGaps := readPieces(c, n, readGaps)
	unread, ofUnread := readPieces(c, n, runs)
	skips, ofSkips := readPieces(c, n, readSkips)
	if err := c.failed(); err != nil {
		return nil, nil, err
	}
	shapes := map[[2]int64]*shape{}
	cells := 0
	for i, f := range frames {
		k := [2]int64{ofParts[i], ofSeries[i]}
		if f.shape = shapes[k]; f.shape == nil {
			f.shape = &shape{parts[k[0]], series[k[1]]}
			shapes[k] = f.shape
		}
		f.gaps, f.unread, f.skip = gaps[ofGaps[i]], unread[ofUnread[i]], skips[ofSkips[i]]
		if cells += f.cells(); cells > maxCells {
			return nil, nil, corrupt("too many values in a block")
		}
	}
	return frames, c, nil
}

func (c *columnsReader) failed() error {
	if c.head.err != nil {
		return c.head.err
	}
	return c.data.err
}

// scatter turns columns back into rows: the inverse of gather.
func scatter[T any](frames []*frame, column func(n int) []T, row func(*frame) ([]uint32, *[]T)) {
	names, counts := lengths(frames, func(f *frame) []uint32 { ids, _ := row(f); return ids })
	place := make(map[uint32]int, len(names))
	for k, id := range names {
		place[id] = k
	}
	cols := make([][]T, len(counts))
	for k, n := range counts {
		if cols[k] = column(n); cols[k] == nil {
			return // the reader holds the error
		}
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	cells := make([]T, total)
	places := map[*shape][]int{} // frames share their shapes: where its numbers stand is looked up once for each
	for _, f := range frames {
		ids, out := row(f)
		if len(ids) == 0 {
			continue
		}
		at, ok := places[f.shape]
		if !ok {
			at = make([]int, len(ids))
			for i, id := range ids {
				at[i] = place[id]
			}
			places[f.shape] = at
		}
		to := cells[:len(ids):len(ids)]
		cells = cells[len(ids):]
		for i, k := range at {
			to[i], cols[k] = cols[k][0], cols[k][1:]
		}
		*out = to
	}
}

package sqlite

// pickSeries calls f for every value of the wanted series in packed frames, in order of frames, and decodes no other. wanted may
// refuse the frames: it is asked once, with all of them, before any value is read.
func pickSeries(b []byte, wanted func(frames []*frame) (func(series uint32) bool, error), f func(*frame, uint32, float64)) error {
	plain, err := unpack(b)
	if err != nil {
		return err
	}
	frames, c, err := decodeHead(plain)
	if err != nil {
		return err
	}
	want, err := wanted(frames)
	if err != nil {
		return err
	}
	_, parts := lengths(frames, func(f *frame) []uint32 { return f.shape.parts })
	for _, n := range parts {
		c.skipSmall(n)
	}
	ids, counts := lengths(frames, func(f *frame) []uint32 { return f.shape.series })
	for k, id := range ids {
		if !want(id) {
			c.skipFloats(counts[k])
			continue
		}
		v := c.floats(counts[k])
		if v == nil {
			break
		}
		for _, fr := range frames {
			for _, s := range fr.shape.series {
				if s == id {
					f(fr, id, v[0])
					v = v[1:]
				}
			}
		}
	}
	return c.failed()
}

// lengths is the dictionary numbers of the columns and how long each column is, in the order of the format: of first appearance.
func lengths(frames []*frame, row func(*frame) []uint32) (ids []uint32, n []int) {
	place := map[uint32]int{}
	var last *shape
	times := 0
	count := func(of []uint32) {
		for _, id := range of {
			k, ok := place[id]
			if !ok {
				k = len(n)
				place[id] = k
				ids, n = append(ids, id), append(n, 0)
			}
			n[k] += times
		}
	}
	// Frames share their shape with the one before: each run of like ones is counted once.
	for i, f := range frames {
		if f.shape != last && last != nil {
			count(row(frames[i-1]))
			times = 0
		}
		last = f.shape
		times++
	}
	count(row(frames[len(frames)-1]))
	return ids, n
}

// skipInts passes over a column of n values and gives its extra bits.
func (c *columnsReader) skipInts(n int) byte {
	if n == 0 {
		return 0
	}
	first := c.head.byte()
	c.head.int()
	if first&3 != intsConst {
		c.head.uint()
		c.data.skip(n - 1)
	}
	return first >> 2
}

func (c *columnsReader) skipFloats(n int) {
	if how := c.skipInts(n); how == floatTable {
		c.head.take(8 * c.head.count(len(c.head.b)/8))
	} else if how > maxExponent {
		c.head.fail("unknown kind of column")
	}
}

func (c *columnsReader) skipSmall(n int) {
	if n == 0 || c.head.byte()&1 == 0 {
		return
	}
	for n > 0 && c.head.err == nil {
		run := c.head.count(n)
		if run == 0 {
			c.head.fail("bad run")
		}
		if n -= run; n > 0 {
			c.head.byte()
		}
	}
}

// skip passes over n numbers.
func (w *wire) skip(n int) {
	for i, b := range w.b {
		if n == 0 {
			w.b = w.b[i:]
			return
		}
		if b < 0x80 {
			n--
		}
	}
	if n > 0 {
		w.fail("cut short")
		return
	}
	w.b = nil
}

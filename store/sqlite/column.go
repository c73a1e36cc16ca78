package sqlite

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// columns is where columns are written: what describes a column apart from its steps, so that the steps, which are alike,
// stand together and compress together.
type columns struct {
	head, data []byte
}

// A column of integers is written as one number, or as first values and what each later one differs by, in units of the
// greatest common divisor of all differences: the quantisation step of a sensor, or a millisecond.
const (
	intsConst = iota // one value
	intsLevel        // each against the first
	intsDelta        // each against the one before
	intsTwice        // each difference against the difference before
)

// ints writes v. extra goes into bits 2 and up of the column's first byte (at most 63).
func (c *columns) ints(v []int64, extra byte) {
	if len(v) == 0 {
		return
	}
	mode := byte(intsConst)
	var steps [3][]int64
	if !constant(v) {
		mode = intsDelta
		best := uint64(math.MaxUint64)
		for _, m := range [...]byte{intsDelta, intsLevel, intsTwice} {
			s := differences(v, m)
			steps[m-1] = s
			if bitsOf(s) < best {
				best, mode = bitsOf(s), m
			}
		}
	}
	c.head = append(c.head, extra<<2|mode)
	c.head = appendInt(c.head, v[0])
	if mode == intsConst {
		return
	}
	s := steps[mode-1]
	g := divisor(s)
	c.head = binary.AppendUvarint(c.head, uint64(g))
	for _, d := range s {
		c.data = appendInt(c.data, d/g)
	}
}

func constant[T comparable](v []T) bool {
	for _, x := range v[1:] {
		if x != v[0] {
			return false
		}
	}
	return true
}

// differences of v by mode, one fewer than v has. They may wrap; adding them wraps back.
func differences(v []int64, mode byte) []int64 {
	s := make([]int64, len(v)-1)
	var last int64
	for i := range s {
		switch mode {
		case intsLevel:
			s[i] = v[i+1] - v[0]
		case intsDelta:
			s[i] = v[i+1] - v[i]
		case intsTwice:
			d := v[i+1] - v[i]
			s[i] = d - last
			last = d
		}
	}
	return s
}

// bitsOf guesses what s costs once compressed.
func bitsOf(s []int64) uint64 {
	g := divisor(s)
	n := uint64(0)
	for _, d := range s {
		n += uint64(bits.Len64(zigzag(d/g))) + 1
	}
	return n
}

func divisor(s []int64) int64 {
	g := uint64(0)
	for _, d := range s {
		if d == math.MinInt64 { // has no absolute value
			return 1
		}
		a := uint64(max(d, -d))
		for a != 0 {
			g, a = a, g%a
		}
		if g == 1 {
			break
		}
	}
	return max(int64(g), 1)
}

// columnsReader reads what columns wrote.
type columnsReader struct {
	head, data wire
}

// ints reads a column of n values and its extra bits.
func (c *columnsReader) ints(n int) ([]int64, byte) {
	if n == 0 {
		return nil, 0
	}
	first := c.head.byte()
	return c.intsOf(n, first), first >> 2
}

func (c *columnsReader) intsOf(n int, first byte) []int64 {
	v0 := c.head.int()
	var g int64
	mode := first & 3
	if mode != intsConst {
		g = int64(c.head.uint())
		if n-1 > len(c.data.b) { // each step has a byte at least: refuse before making room
			c.data.fail("column cut short")
		}
	}
	if c.head.err != nil || c.data.err != nil {
		return nil
	}
	v := make([]int64, n)
	v[0] = v0
	var last int64
	for i := 1; i < n; i++ {
		switch mode {
		case intsConst:
			v[i] = v0
		case intsLevel:
			v[i] = v0 + c.data.int()*g
		case intsDelta:
			v[i] = v[i-1] + c.data.int()*g
		case intsTwice:
			last += c.data.int() * g
			v[i] = v[i-1] + last
		}
	}
	return v
}

// A column of floats is written as integers: the values times a power of ten where every one is exactly such a decimal
// (0 … maxExponent in the extra bits), else numbers of a table of the distinct bit patterns.
const (
	maxExponent = 15
	floatTable  = 16
)

var pow10 = [maxExponent + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// decimal is m and the smallest e with m / 10^e exactly v. Division rounds correctly, so the way back gives v's bits.
func decimal(v float64) (m int64, e int, ok bool) {
	for e := range maxExponent + 1 {
		if m, ok := scaled(v, e); ok {
			return m, e, true
		}
	}
	return 0, 0, false
}

func scaled(v float64, e int) (int64, bool) {
	r := math.RoundToEven(v * pow10[e])
	if !(math.Abs(r) <= 1<<53) || r/pow10[e] != v || r == 0 && math.Signbit(v) {
		return 0, false // too large, or no number, or no such decimal, or the negative zero
	}
	return int64(r), true
}

func (c *columns) floats(v []float64) {
	exp := 0
	for _, f := range v {
		_, e, ok := decimal(f)
		if !ok {
			c.floatTable(v)
			return
		}
		exp = max(exp, e)
	}
	m := make([]int64, len(v))
	for i, f := range v {
		s, ok := scaled(f, exp)
		if !ok { // too large at the finer scale
			c.floatTable(v)
			return
		}
		m[i] = s
	}
	c.ints(m, byte(exp))
}

func (c *columns) floatTable(v []float64) {
	seen := map[uint64]int64{}
	var table []byte
	m := make([]int64, len(v))
	for i, f := range v {
		b := math.Float64bits(f)
		n, ok := seen[b]
		if !ok {
			n = int64(len(seen))
			seen[b] = n
			table = binary.LittleEndian.AppendUint64(table, b)
		}
		m[i] = n
	}
	c.ints(m, floatTable)
	c.head = binary.AppendUvarint(c.head, uint64(len(seen)))
	c.head = append(c.head, table...)
}

func (c *columnsReader) floats(n int) []float64 {
	m, how := c.ints(n)
	if m == nil {
		return nil
	}
	v := make([]float64, n)
	switch {
	case how <= maxExponent:
		for i, x := range m {
			v[i] = float64(x) / pow10[how]
		}
	case how == floatTable:
		table := c.head.take(8 * c.head.count(len(c.head.b)/8))
		for i, x := range m {
			if x < 0 || x >= int64(len(table)/8) {
				c.head.fail("value not in its table")
				return nil
			}
			v[i] = math.Float64frombits(binary.LittleEndian.Uint64(table[8*x:]))
		}
	default:
		c.head.fail("unknown kind of column")
		return nil
	}
	for _, f := range v {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			c.head.fail("value is not finite")
			return nil
		}
	}
	return v
}

// small writes a column of bytes below 0x40 that seldom change: states.
func (c *columns) small(v []byte) {
	if len(v) == 0 {
		return
	}
	if constant(v) {
		c.head = append(c.head, v[0]<<1)
		return
	}
	c.head = append(c.head, v[0]<<1|1)
	last, run := v[0], uint64(0)
	for _, x := range v {
		if x == last {
			run++
			continue
		}
		c.head = append(binary.AppendUvarint(c.head, run), x)
		last, run = x, 1
	}
	c.head = binary.AppendUvarint(c.head, run)
}

func (c *columnsReader) small(n int) []byte {
	if n == 0 {
		return nil
	}
	first := c.head.byte()
	if c.head.err != nil {
		return nil
	}
	x := first >> 1
	if first&1 == 0 {
		return slices.Repeat([]byte{x}, n)
	}
	v := make([]byte, 0, n)
	for {
		run := c.head.count(n - len(v))
		if c.head.err != nil || run == 0 {
			c.head.fail("bad run")
			return nil
		}
		v = append(v, slices.Repeat([]byte{x}, run)...)
		if len(v) == n {
			return v
		}
		x = c.head.byte()
	}
}

// pieces writes, for each of n visits, a piece of bytes that is mostly the same as another visit's: each distinct one once.
func (c *columns) pieces(n int, piece func(i int, b []byte) []byte) {
	index := map[string]int64{}
	which := make([]int64, n)
	var distinct [][]byte
	var buf []byte
	for i := range n {
		buf = piece(i, buf[:0])
		k, ok := index[string(buf)]
		if !ok {
			k = int64(len(distinct))
			p := slices.Clone(buf)
			index[string(p)] = k
			distinct = append(distinct, p)
		}
		which[i] = k
	}
	c.head = binary.AppendUvarint(c.head, uint64(len(distinct)))
	for _, p := range distinct {
		c.head = appendBytes(c.head, p)
	}
	c.ints(which, 0)
}

// readPieces gives the decoded pieces and which of them each of n visits has.
func readPieces[T any](c *columnsReader, n int, decode func(*wire) T) ([]T, []int64) {
	count := c.head.count(min(n, len(c.head.b)))
	out := make([]T, 0, count)
	for range count {
		w := wire{b: c.head.bytes()}
		out = append(out, decode(&w))
		if err := w.end(); err != nil && c.head.err == nil {
			c.head.err = err
		}
	}
	which, _ := c.ints(n)
	for _, k := range which {
		if k < 0 || k >= int64(len(out)) {
			c.head.fail("no such piece")
			return nil, nil
		}
	}
	if c.head.err != nil || c.data.err != nil {
		return nil, nil
	}
	return out, which
}

package health

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Rollup is what one series did within a span of time: the beginning At, and how many values there were, which, and how they
// were spread. Rollups of one series merge into that of a longer span without loss.
type Rollup struct {
	At   time.Time     // where the span begins, UTC
	Span time.Duration // how long it is
	N    uint32        // values; never 0
	Min, Max, Sum,
	Last float64
	Unit Unit
	Hist Histogram
}

// Mean of the values.
func (r Rollup) Mean() float64 { return min(max(r.Sum/float64(r.N), r.Min), r.Max) }

// Quantile is the value below which the part q (0 to 1) of the values lies, within HistogramError of it.
func (r Rollup) Quantile(q float64) float64 { return min(max(r.Hist.Quantile(q), r.Min), r.Max) }

// Merge adds what o holds: a later one of the same series. The span grows to hold both.
func (r Rollup) Merge(o Rollup) Rollup {
	end := r.At.Add(r.Span)
	if e := o.At.Add(o.Span); e.After(end) {
		end = e
	}
	if o.At.Before(r.At) {
		r.At = o.At
	}
	r.Span = end.Sub(r.At)
	r.N += o.N
	r.Min, r.Max, r.Sum, r.Last = min(r.Min, o.Min), max(r.Max, o.Max), FiniteSum(r.Sum, o.Sum), o.Last
	r.Hist = r.Hist.Merge(o.Hist)
	return r
}

// FiniteSum is a + b, or the greatest float where that is too large for one.
func FiniteSum(a, b float64) float64 { return min(max(a+b, -math.MaxFloat64), math.MaxFloat64) }

// HistogramError is how far a quantile of a histogram may be from the true one, relative to it: 0.8 %.
const HistogramError = 1.0 / 128

// Histogram counts values in bins that are narrow for small values and wide for large ones: each power of two is cut into 64.
// A bin is a value's sign, exponent and six highest bits of its mantissa, so that two machines always put a value into the same
// one, and histograms merge by adding counts. Bins are in order of value and none is empty. Zero and what is nearer to it
// than 2.3e-308 share bin 0.
type Histogram []HistogramBin

// HistogramBin is one bin and its count.
type HistogramBin struct {
	Key int32
	N   uint32
}

const binShift = 52 - 6

// BinOf is the key of the bin a finite value falls into. Keys rise with values.
func BinOf(v float64) int32 {
	b := math.Float64bits(v)
	k := int32(b &^ (1 << 63) >> binShift)
	if k < 1<<(52-binShift) {
		return 0
	}
	if b>>63 != 0 {
		return -k
	}
	return k
}

// Value is the middle of the bin: within HistogramError of every value in it.
func (b HistogramBin) Value() float64 {
	switch {
	case b.Key > 0:
		return math.Float64frombits(uint64(b.Key)<<binShift | 1<<(binShift-1))
	case b.Key < 0:
		return -math.Float64frombits(uint64(-b.Key)<<binShift | 1<<(binShift-1))
	}
	return 0
}

// HistogramOf counts the values.
func HistogramOf(values []float64) Histogram {
	keys := make([]int32, len(values))
	for i, v := range values {
		keys[i] = BinOf(v)
	}
	slices.Sort(keys)
	var h Histogram
	for _, k := range keys {
		if n := len(h); n > 0 && h[n-1].Key == k {
			h[n-1].N++
		} else {
			h = append(h, HistogramBin{k, 1})
		}
	}
	return h
}

// Count is how many values it holds.
func (h Histogram) Count() uint64 {
	var n uint64
	for _, b := range h {
		n += uint64(b.N)
	}
	return n
}

// Merge is a histogram of the values of both.
func (h Histogram) Merge(o Histogram) Histogram {
	out := make(Histogram, 0, len(h)+len(o))
	for len(h) > 0 && len(o) > 0 {
		switch cmp.Compare(h[0].Key, o[0].Key) {
		case -1:
			out, h = append(out, h[0]), h[1:]
		case 1:
			out, o = append(out, o[0]), o[1:]
		default:
			out, h, o = append(out, HistogramBin{h[0].Key, h[0].N + o[0].N}), h[1:], o[1:]
		}
	}
	return append(append(out, h...), o...)
}

// Quantile is the middle of the bin that holds the value of rank ceil(q·n), q from 0 to 1: within HistogramError of that value.
// NaN for an empty histogram.
func (h Histogram) Quantile(q float64) float64 {
	n := h.Count()
	if n == 0 {
		return math.NaN()
	}
	rank := uint64(max(1, math.Ceil(min(max(q, 0), 1)*float64(n))))
	for _, b := range h {
		if uint64(b.N) >= rank {
			return b.Value()
		}
		rank -= uint64(b.N)
	}
	return h[len(h)-1].Value()
}

package health

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantilesAreWithinTheStatedErrorAndMergingLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64Range(-400, 400), rapid.Float64Range(-1e300, 1e300), rapid.Float64Range(1e-300, 1e-290),
			rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, 5e-324, 64, 63.999, 1}))
		a, b := rapid.SliceOfN(value, 1, 60).Draw(t, "a"), rapid.SliceOfN(value, 0, 60).Draw(t, "b")
		all := slices.Concat(a, b)
		h := HistogramOf(a).Merge(HistogramOf(b))
		if !slices.Equal(h, HistogramOf(all)) {
			t.Fatalf("merged %v, of all %v", h, HistogramOf(all))
		}
		if h.Count() != uint64(len(all)) {
			t.Fatalf("%d counted of %d", h.Count(), len(all))
		}
		slices.Sort(all)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		want := all[max(1, int(math.Ceil(q*float64(len(all)))))-1]
		got := h.Quantile(q)
		if math.Abs(got-want) > math.Abs(want)*HistogramError+2.3e-308 {
			t.Fatalf("quantile %v is %v, want %v", q, got, want)
		}
	})
}

func TestBinsRiseWithValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64().Draw(t, "a"), rapid.Float64().Draw(t, "b")
		if math.IsNaN(a) || math.IsNaN(b) || math.IsInf(a, 0) || math.IsInf(b, 0) {
			t.Skip()
		}
		if a <= b != (BinOf(a) <= BinOf(b)) && BinOf(a) != BinOf(b) {
			t.Fatalf("%v in bin %d, %v in bin %d", a, BinOf(a), b, BinOf(b))
		}
		if v := (HistogramBin{BinOf(a), 1}).Value(); BinOf(v) != BinOf(a) {
			t.Fatalf("the middle %v of the bin of %v is in bin %d", v, a, BinOf(v))
		}
	})
}

func TestAnEmptyHistogramHasNoQuantile(t *testing.T) {
	if q := (Histogram{}).Quantile(0.5); !math.IsNaN(q) {
		t.Errorf("%v", q)
	}
}

var first = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func TestRollupsMerge(t *testing.T) {
	a := Rollup{At: first, Span: 5 * 60e9, N: 2, Min: 1, Max: 3, Sum: 4, Last: 3, Hist: HistogramOf([]float64{1, 3})}
	b := Rollup{At: first.Add(5 * 60e9), Span: 5 * 60e9, N: 1, Min: 9, Max: 9, Sum: 9, Last: 9, Hist: HistogramOf([]float64{9})}
	m := a.Merge(b)
	if m.N != 3 || m.Min != 1 || m.Max != 9 || m.Last != 9 || m.Span != 10*60e9 || !m.At.Equal(first) || m.Hist.Count() != 3 {
		t.Errorf("%+v", m)
	}
	if mean := m.Mean(); math.Abs(mean-13.0/3) > 1e-12 {
		t.Errorf("mean %v", mean)
	}
	if q := m.Quantile(1); q != 9 {
		t.Errorf("the greatest is %v", q)
	}
}

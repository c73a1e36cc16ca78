package capacity

import (
	"cmp"
	"math"
	"slices"

	"dewline/health"
)

// minWarmest is how many steps the warmest twentieth must have with both the inlet and the fans read: five hours.
const minWarmest = 60

// Warmest is what the fans did in the warmest twentieth of the time: in the steps with the inlet at or above its 95th percentile, each to a tenth
// of a kelvin.
type Warmest struct {
	From float64  `json:"inlet_from_celsius"`
	N    int      `json:"n"`                     // steps in which the fans were read too
	Duty *float64 `json:"p95_percent,omitempty"` // nil: fewer than minWarmest
}

// warmTally keeps which duties went with which inlet, of the inlets that may yet be among the warmest twentieth of the window.
type warmTally struct {
	most  int // steps of the window
	n     int // in which the inlet was read
	floor int32
	kept  []warmDuty // by inlet and duty
}

type warmDuty struct {
	inlet int32 // tenths of a degree
	duty  int32 // the bin; unread if the fans were not read
	n     uint32
}

// order is by inlet, then by duty.
func (d warmDuty) order() int64 { return int64(d.inlet)<<32 + int64(d.duty) }

const unread = math.MinInt32

func inletTenths(v float64) int32 { return int32(math.Round(min(max(10*v, -1e6), 1e6))) }

// day takes the steps of a day, NaN where nothing was read. No fan was read if duty is nil.
func (w *warmTally) day(inlet, duty []float64) {
	if len(w.kept) == 0 {
		w.floor = math.MinInt32
	}
	for i, v := range inlet {
		if v != v { // NaN
			continue
		}
		w.n++
		if 10*v < float64(w.floor)-0.5 { // as most are, without rounding
			continue
		}
		x := warmDuty{inletTenths(v), unread, 1}
		if x.inlet < w.floor {
			continue
		}
		if duty != nil && duty[i] == duty[i] { // not NaN
			x.duty = health.BinOf(duty[i])
		}
		k, found := slices.BinarySearchFunc(w.kept, x.order(), func(a warmDuty, at int64) int { return cmp.Compare(a.order(), at) })
		if found {
			w.kept[k].n++
		} else {
			w.kept = slices.Insert(w.kept, k, x)
		}
	}
	w.forget()
}

// above is where in kept the warmest n steps begin, with all that are as warm as the coolest of them.
func (w *warmTally) above(n int) int {
	k, count := len(w.kept), 0
	for k > 0 && (count < n || w.kept[k-1].inlet == w.kept[k].inlet) {
		k--
		count += int(w.kept[k].n)
	}
	return k
}

// forget drops what so many steps were warmer than that it is below the percentile however the window ends.
func (w *warmTally) forget() {
	if n := w.most/20 + 2; w.n > n { // as many as can be at or above it, and ties
		w.kept = slices.Delete(w.kept, 0, w.above(n))
		w.floor = w.kept[0].inlet
	}
}

// figure is nil where the inlet or the fans were never read.
func (w *warmTally) figure(duty *dist) *Warmest {
	if w.n == 0 || duty.n == 0 {
		return nil
	}
	first := w.above(w.n - int(math.Ceil(0.95*float64(w.n))) + 1)
	out := &Warmest{From: float64(w.kept[first].inlet) / 10}
	var hot dist
	for _, x := range w.kept[first:] {
		if x.duty != unread {
			hot.n += int(x.n)
			hot.put(health.Histogram{{Key: x.duty, N: x.n}})
		}
	}
	if out.N = hot.n; hot.n >= minWarmest {
		out.Duty = new(min(max(hot.hist.Quantile(0.95), duty.min), duty.max))
	}
	return out
}

package verification

import (
	"cmp"
	"math"
	"slices"
	"time"

	"dewline/health"
	"dewline/report"
)

// margins are within which a sensor counts as unchanged, and beyond which as changed. They are published with every report.
var margins = map[health.Quantity]struct {
	absolute, relative float64
}{
	health.Temperature:   {3, 0},
	health.Speed:         {0, 0.10},
	health.Duty:          {10, 0},
	health.Voltage:       {0, 0.03},
	health.InputVoltage:  {0, 0.05},
	health.OutputVoltage: {0, 0.03},
	health.Current:       {0.5, 0.25},
}

// marginOf is the margin for a quantity at a level; ok is false for what is not compared.
func marginOf(q health.Quantity, level float64) (float64, bool) {
	m, ok := margins[q]
	return max(m.absolute, m.relative*math.Abs(level)), ok && max(m.absolute, m.relative*math.Abs(level)) > 0
}

const (
	minHoursCompared = 24 // in each window
	normal90         = 1.6449
	normal99         = 2.5758
	medianError      = 1.2533 // of a median against a mean, for normal values
)

// linesOf gathers the medians of all series that are compared.
func linesOf(hours []*health.HourFacts) map[seriesKey][]hourValue {
	out := map[seriesKey][]hourValue{}
	for _, f := range hours {
		for i := range f.Series {
			s := &f.Series[i]
			if _, ok := margins[s.Quantity]; ok && !s.Derived {
				out[keyOf(s)] = append(out[keyOf(s)], hourValue{f.At, s.Median})
			}
		}
	}
	return out
}

// covariates of a server: what its sensors follow without being damaged.
type covariates struct {
	inlet, power map[time.Time]float64
}

func (h *history) covariatesOf(hours []*health.HourFacts) (covariates, seriesKey, bool) {
	c := covariates{map[time.Time]float64{}, map[time.Time]float64{}}
	power, hasPower := mainPower(hours)
	inlet, hasInlet := h.inletKey(hours)
	for _, f := range hours {
		if s := find(f, power); hasPower && s != nil {
			c.power[f.At] = s.Median
		}
		if s := find(f, inlet); hasInlet && s != nil {
			c.inlet[f.At] = s.Median
		}
	}
	return c, inlet, hasInlet
}

// inletKey is the temperature sensor in the intake air; of several, the first by ID.
func (h *history) inletKey(hours []*health.HourFacts) (seriesKey, bool) {
	var best seriesKey
	found := false
	for _, f := range hours {
		for i := range f.Series {
			s := &f.Series[i]
			if s.Quantity != health.Temperature || s.Derived || !report.IsInlet(h.part(s.Component).Component) {
				continue
			}
			if !found || s.Component < best.component {
				best, found = keyOf(s), true
			}
		}
	}
	return best, found
}

// deviations compares every series of two windows, hour by hour, adjusted for inlet and power where the baseline shows how the
// sensor follows them.
func (h *history) deviations(before, after []*health.HourFacts) []Deviation {
	was, is := linesOf(before), linesOf(after)
	cov, inlet, hasInlet := h.covariatesOf(slices.Concat(before, after))
	var out []Deviation
	for k, b := range was {
		a := is[k]
		d := Deviation{
			Component: k.component, Name: h.part(k.component).Name, Quantity: k.quantity, Unit: k.unit, NBefore: len(b), NAfter: len(a),
			Before: report.Median(valuesOf(b)), After: report.Median(valuesOf(a)), Adjusted: []string{}, Result: "not_shown",
		}
		var ok bool
		if d.Margin, ok = marginOf(k.quantity, d.Before); !ok {
			continue
		}
		if len(b) >= minHoursCompared && len(a) >= minHoursCompared {
			d.compare(b, a, cov, hasInlet && k == inlet)
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Deviation) int {
		return cmp.Or(cmp.Compare(rankOf(a.Result), rankOf(b.Result)), cmp.Compare(a.Component, b.Component), cmp.Compare(a.Quantity, b.Quantity))
	})
	return out
}

func rankOf(result string) int {
	return slices.Index([]string{"changed", "not_shown", "unchanged"}, result)
}

func valuesOf(vs []hourValue) []float64 {
	out := make([]float64, len(vs))
	for i, v := range vs {
		out[i] = v.v
	}
	return out
}

// compare fits the baseline to the covariates, takes what the fit explains out of both windows, and tests the difference of the
// medians: unchanged if its 90 % interval lies within the margin (two one-sided tests at 5 %), changed if its 99 % interval
// lies beyond it; else nothing is shown.
func (d *Deviation) compare(before, after []hourValue, cov covariates, isInlet bool) {
	x, names := design(before, after, cov, isInlet)
	step := stepOf(before, after)
	var rb, ra []float64
	for _, names := range candidates(names) {
		fit, ok := leastSquares(before, x, names)
		if !ok {
			continue
		}
		b, okB := residuals(before, x, names, fit)
		a, okA := residuals(after, x, names, fit)
		if !okB || !okA {
			continue
		}
		rb, ra, d.Adjusted = b, a, append([]string{}, names...)
		break
	}
	if rb == nil {
		rb, ra = valuesOf(before), valuesOf(after)
	}
	mb, ma := report.Median(rb), report.Median(ra)
	d.Difference = ma - mb
	sb, sa := max(spread(rb, mb), step), max(spread(ra, ma), step)
	d.Scale = sb
	d.Score = d.Difference / d.Scale
	se := medianError * math.Hypot(sb/math.Sqrt(report.Effective(rb)), sa/math.Sqrt(report.Effective(ra)))
	se = max(se, step/2/math.Sqrt(3)) // a sensor cannot be known better than its step lets it
	d.Low, d.High = d.Difference-normal90*se, d.Difference+normal90*se
	switch {
	case d.Low > -d.Margin && d.High < d.Margin:
		d.Result = "unchanged"
	case math.Abs(d.Difference)-normal99*se > d.Margin:
		d.Result = "changed"
	}
}

// design is the covariates by hour, centred on the baseline, for those that vary there and are known in both windows.
func design(before, after []hourValue, cov covariates, isInlet bool) (map[string]map[time.Time]float64, []string) {
	x := map[string]map[time.Time]float64{}
	var names []string
	for _, c := range []struct {
		name string
		by   map[time.Time]float64
	}{{"inlet", cov.inlet}, {"power", cov.power}} {
		if c.name == "inlet" && isInlet {
			continue
		}
		known := func(vs []hourValue) (out []float64) {
			for _, v := range vs {
				if f, ok := c.by[v.at]; ok {
					out = append(out, f)
				}
			}
			return out
		}
		b, a := known(before), known(after)
		// A covariate that is not there for nearly every hour would take hours away; one that stands still explains nothing.
		if 10*len(b) < 9*len(before) || 10*len(a) < 9*len(after) || spread(b, report.Median(b)) == 0 {
			continue
		}
		centre := report.Median(b)
		x[c.name] = map[time.Time]float64{}
		for at, v := range c.by {
			x[c.name][at] = v - centre
		}
		names = append(names, c.name)
	}
	return x, names
}

// candidates are the sets of covariates to try, the largest first.
func candidates(names []string) [][]string {
	switch len(names) {
	case 2:
		return [][]string{names, names[:1], names[1:]}
	case 1:
		return [][]string{names}
	}
	return nil
}

// leastSquares fits value = c0 + sum ci·xi over the baseline. It is refused where covariates go together so closely that it
// cannot tell them apart, or where there are few hours.
func leastSquares(vs []hourValue, x map[string]map[time.Time]float64, names []string) ([]float64, bool) {
	n := len(names) + 1
	var m [3][3]float64
	var y [3]float64
	count := 0
	row := make([]float64, n)
	for _, v := range vs {
		row[0] = 1
		ok := true
		for i, name := range names {
			f, has := x[name][v.at]
			row[i+1], ok = f, ok && has
		}
		if !ok {
			continue
		}
		count++
		for i := range n {
			for k := range n {
				m[i][k] += row[i] * row[k]
			}
			y[i] += row[i] * v.v
		}
	}
	if count < 10*n {
		return nil, false
	}
	if n == 3 { // |correlation| of the two covariates
		c := float64(count)
		cov := m[1][2] - m[0][1]*m[0][2]/c
		v1, v2 := m[1][1]-m[0][1]*m[0][1]/c, m[2][2]-m[0][2]*m[0][2]/c
		if v1 <= 0 || v2 <= 0 || math.Abs(cov)/math.Sqrt(v1*v2) > 0.95 {
			return nil, false
		}
	}
	return solve(m, y, n)
}

// solve is Gauss' elimination with pivots, of at most three unknowns.
func solve(m [3][3]float64, y [3]float64, n int) ([]float64, bool) {
	for i := range n {
		p := i
		for k := i + 1; k < n; k++ {
			if math.Abs(m[k][i]) > math.Abs(m[p][i]) {
				p = k
			}
		}
		m[i], m[p], y[i], y[p] = m[p], m[i], y[p], y[i]
		if math.Abs(m[i][i]) < 1e-12 {
			return nil, false
		}
		for k := i + 1; k < n; k++ {
			f := m[k][i] / m[i][i]
			for j := i; j < n; j++ {
				m[k][j] -= f * m[i][j]
			}
			y[k] -= f * y[i]
		}
	}
	out := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		v := y[i]
		for j := i + 1; j < n; j++ {
			v -= m[i][j] * out[j]
		}
		out[i] = v / m[i][i]
	}
	return out, true
}

// residuals are the values less what the covariates explain; ok is false if too few hours have them.
func residuals(vs []hourValue, x map[string]map[time.Time]float64, names []string, fit []float64) ([]float64, bool) {
	var out []float64
	for _, v := range vs {
		r, ok := v.v, true
		for i, name := range names {
			f, has := x[name][v.at]
			ok = ok && has
			r -= fit[i+1] * f
		}
		if ok {
			out = append(out, r)
		}
	}
	return out, 10*len(out) >= 9*len(vs)
}

// spread is the median absolute deviation, scaled to be the standard deviation of normal values.
func spread(v []float64, m float64) float64 {
	d := make([]float64, len(v))
	for i, x := range v {
		d[i] = math.Abs(x - m)
	}
	return 1.4826 * report.Median(d)
}

// stepOf is the least difference between two values that a sensor gave: what it can tell apart.
func stepOf(a, b []hourValue) float64 {
	all := slices.Sorted(slices.Values(slices.Concat(valuesOf(a), valuesOf(b))))
	step := math.Inf(1)
	for i := 1; i < len(all); i++ {
		if d := all[i] - all[i-1]; d > 1e-9*math.Max(1, math.Abs(all[i])) {
			step = min(step, d)
		}
	}
	if math.IsInf(step, 1) {
		return math.Max(1e-6, math.Abs(report.Median(all))*1e-3)
	}
	return step
}

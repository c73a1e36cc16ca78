package capacity

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/mathext"

	"dewline/health"
	"dewline/report"
)

// dist gathers values without keeping them.
type dist struct {
	hist          health.Histogram
	n             int
	sum, min, max float64
}

// sideBySide is how many bins of a day's values are counted side by side: those of eight powers of two.
const sideBySide = 8 * 64

// add takes finite values.
func (d *dist) add(values []float64) {
	for len(values) > 0 { // not slices.Chunk: for its sake every day's values would be on the heap
		n := min(len(values), health.StepsPerDay)
		d.some(values[:n])
		values = values[n:]
	}
}

// some takes as many as a day has steps. They are counted first: most of a day's values share a few dozen bins.
func (d *dist) some(values []float64) {
	if d.n == 0 {
		d.min, d.max = values[0], values[0]
	}
	var keys [health.StepsPerDay]int32
	low, high := health.BinOf(values[0]), health.BinOf(values[0])
	for i, v := range values {
		d.sum, d.min, d.max = d.sum+v, min(d.min, v), max(d.max, v)
		k := health.BinOf(v)
		keys[i], low, high = k, min(low, k), max(high, k)
	}
	d.n += len(values)
	if int64(high)-int64(low) >= sideBySide {
		d.put(health.HistogramOf(values))
		return
	}
	var counts [sideBySide]uint32
	for _, k := range keys[:len(values)] {
		counts[k-low]++
	}
	i, _ := slices.BinarySearchFunc(d.hist, low, func(b health.HistogramBin, k int32) int { return cmp.Compare(b.Key, k) })
	for k, n := range counts[:high-low+1] {
		if n > 0 {
			i = d.bin(i, health.HistogramBin{Key: low + int32(k), N: n})
		}
	}
}

// bin adds a bin that stands at place i or after it, and is its place.
func (d *dist) bin(i int, b health.HistogramBin) int {
	for i < len(d.hist) && d.hist[i].Key < b.Key {
		i++
	}
	if i < len(d.hist) && d.hist[i].Key == b.Key {
		d.hist[i].N += b.N
	} else {
		d.hist = slices.Insert(d.hist, i, b)
	}
	return i
}

func (d *dist) put(h health.Histogram) {
	i := 0
	for _, b := range h {
		i = d.bin(i, b)
	}
}

func (d *dist) merge(h health.Histogram, n int, sum, least, most float64) {
	if d.n == 0 {
		d.min, d.max = least, most
	}
	d.put(h)
	d.n, d.sum, d.min, d.max = d.n+n, health.FiniteSum(d.sum, sum), min(d.min, least), max(d.max, most)
}

// quantile is the value of rank ceil(q·n), within health.HistogramError of it.
func (d *dist) quantile(q float64) float64 { return min(max(d.hist.Quantile(q), d.min), d.max) }

func (d *dist) spread() *Spread {
	if d.n == 0 {
		return nil
	}
	return &Spread{N: d.n, Min: d.min, Mean: min(max(d.sum/float64(d.n), d.min), d.max), P50: d.quantile(0.5), P95: d.quantile(0.95), P99: d.quantile(0.99), Max: d.max}
}

// Spread of values.
type Spread struct {
	N    int     `json:"n"`
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// Minimums of a forecast. They are printed with it.
const (
	minTrendDays   = 30   // between the first day and the last
	minTrendValues = 24   // days that count in that time
	minDayShare    = 0.5  // of a day's steps, for the day to count
	horizonFactor  = 4    // a date further away than so many windows is not named
	monthDays      = 30.0 // slopes are given for
)

// Why there is no trend.
const (
	whyShort = "short" // the time with data is shorter than minTrendDays
	whyFew   = "few"   // fewer than minTrendValues days count
	whyRose  = "rose"  // what can only fall has risen: a part was exchanged, or its counter reset
	whySteps = "steps" // it changed by less than two of its steps
	whyFlat  = "flat"  // the interval of the slope cannot be told
	whyNone  = "none"  // there is no value
)

// Trend of a resource: Theil and Sen's slope over its days, with the interval of Sen, widened for days that are alike.
type Trend struct {
	Days   int    `json:"days"`   // from the first value to the last
	Values int    `json:"values"` // days that count
	Why    string `json:"why_not,omitempty"`
	// Slope, Low and High are per 30 days; Level is the line's at the end of the window. Nothing of them means anything where Why says something.
	Slope float64 `json:"slope_per_30_days"`
	Low   float64 `json:"slope_low_95"`
	High  float64 `json:"slope_high_95"`
	Level float64 `json:"level_at_end"`
}

// MarshalJSON leaves out what is not known: where Why says something there is no slope.
func (t Trend) MarshalJSON() ([]byte, error) {
	type all Trend // without this method
	if t.Why == "" {
		return json.Marshal(all(t))
	}
	return json.Marshal(struct {
		Days   int    `json:"days"`
		Values int    `json:"values"`
		Why    string `json:"why_not"`
	}{t.Days, t.Values, t.Why})
}

// OK tells that it has a slope.
func (t *Trend) OK() bool { return t != nil && t.Why == "" }

// dayValue is a value of a day.
type dayValue struct {
	day int32 // since 1970
	v   float64
}

func dayNumber(day time.Time) int32 { return int32(day.Unix() / (24 * 60 * 60)) }

func dayTime(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }

// dayRuns are values of days that mostly are that of the day before: each with its first day and its last.
type dayRuns []struct {
	first, last int32
	v           float64
}

func (r *dayRuns) add(d dayValue) {
	if n := len(*r); n > 0 && (*r)[n-1].v == d.v && (*r)[n-1].last == d.day-1 {
		(*r)[n-1].last = d.day
		return
	}
	*r = append(*r, struct {
		first, last int32
		v           float64
	}{d.day, d.day, d.v})
}

// values are those of each day.
func (r dayRuns) values() []dayValue {
	var out []dayValue
	for _, x := range r {
		for day := x.first; day <= x.last; day++ {
			out = append(out, dayValue{day, x.v})
		}
	}
	return out
}

// shortTrend says whether there are days enough for one.
func shortTrend(days []dayValue) *Trend {
	t := &Trend{Values: len(days)}
	if len(days) == 0 {
		t.Why = whyNone
		return t
	}
	t.Days = int(days[len(days)-1].day-days[0].day) + 1
	switch {
	case t.Days < minTrendDays:
		t.Why = whyShort
	case len(days) < minTrendValues:
		t.Why = whyFew
	}
	return t
}

// trendOf fits the days. least is how long and how many they must be; end is where Level is told.
func trendOf(days []dayValue, end time.Time) *Trend {
	t := shortTrend(days)
	if t.Why != "" {
		return t
	}
	first := days[0].day
	x, y := make([]float64, len(days)), make([]float64, len(days))
	for i, d := range days {
		x[i], y[i] = float64(d.day-first), d.v
	}
	slope, low, high, ok := theilSen(x, y)
	if !ok {
		t.Why = whyFlat
		return t
	}
	rest := make([]float64, len(y))
	for i := range y {
		rest[i] = y[i] - slope*x[i]
	}
	t.Slope, t.Low, t.High = slope*monthDays, low*monthDays, high*monthDays
	t.Level = report.Median(rest) + slope*end.Sub(dayTime(first)).Hours()/24
	return t
}

// theilSen is the median of the slopes between all pairs, and its 95 % interval (P. K. Sen 1968, by way of Kendall's S; tied values
// lessen the variance of S). Days that follow each other are alike, so that they count for fewer: the variance is raised by
// n / effective n of what is left when the slope is taken out. ok is false where the interval reaches beyond all slopes there are.
func theilSen(x, y []float64) (slope, low, high float64, ok bool) {
	n := len(x)
	slopes := make([]float64, 0, n*(n-1)/2)
	for i := range n {
		for k := i + 1; k < n; k++ {
			if x[k] != x[i] {
				slopes = append(slopes, (y[k]-y[i])/(x[k]-x[i]))
			}
		}
	}
	if len(slopes) < 3 {
		return 0, 0, 0, false
	}
	slices.Sort(slopes)
	m := len(slopes)
	slope = (slopes[(m-1)/2] + slopes[m/2]) / 2
	nn := float64(n)
	variance := nn * (nn - 1) * (2*nn + 5)
	sorted := slices.Sorted(slices.Values(y))
	for i := 0; i < n; {
		k := i
		for k < n && sorted[k] == sorted[i] {
			k++
		}
		t := float64(k - i)
		variance -= t * (t - 1) * (2*t + 5)
		i = k
	}
	variance = max(variance, 0) / 18
	rest := make([]float64, n)
	for i := range y {
		rest[i] = y[i] - slope*x[i]
	}
	if off := slices.Max(rest) - slices.Min(rest); off > 1e-9*max(math.Abs(sorted[0]), math.Abs(sorted[n-1])) { // not what rounding leaves of a line
		variance *= nn / report.Effective(rest)
	}
	c := normal95 * math.Sqrt(variance)
	from, to := int(math.Floor((float64(m)-c)/2))-1, int(math.Ceil((float64(m)+c)/2))
	if from < 0 || to >= m {
		return slope, slopes[0], slopes[m-1], false
	}
	return slope, slopes[from], slopes[to], true
}

const normal95 = 1.959964

// Reach says when a resource comes to a limit at its slope.
type Reach struct {
	Limit float64 `json:"limit"`
	// Result: "over" (it is there already), "date", "not_rising" (not at this slope; Earliest may still be set), "beyond" (further away than
	// the horizon), "no_trend".
	Result   string    `json:"result"`
	At       time.Time `json:"at,omitzero"`
	Earliest time.Time `json:"earliest,omitzero"` // at the steepest slope of the interval
	Latest   time.Time `json:"latest,omitzero"`   // at the flattest; zero: never, or beyond the horizon
}

// reachOf asks when a trend comes to a limit, from below or (falling) from above, seen from end over a horizon.
func reachOf(t *Trend, limit float64, falling bool, end time.Time, window time.Duration) Reach {
	r := Reach{Limit: limit, Result: "no_trend"}
	if !t.OK() {
		return r
	}
	left, mid, fast, slow := limit-t.Level, t.Slope, t.High, t.Low
	if falling {
		left, mid, fast, slow = -left, -mid, -t.Low, -t.High
	}
	if left <= 0 {
		r.Result = "over"
		return r
	}
	horizon := end.Add(horizonFactor * window)
	when := func(slope float64) time.Time {
		if slope <= 0 {
			return time.Time{}
		}
		days := left / slope * monthDays
		if days > horizon.Sub(end).Hours()/24 {
			return time.Time{}
		}
		return end.Add(time.Duration(days * 24 * float64(time.Hour))).UTC().Truncate(24 * time.Hour)
	}
	r.At, r.Earliest, r.Latest = when(mid), when(fast), when(slow)
	switch {
	case mid <= 0:
		r.Result = "not_rising"
	case r.At.IsZero():
		r.Result = "beyond"
	default:
		r.Result = "date"
	}
	return r
}

// poisson is the exact 95 % interval of the mean of a count (Garwood 1936): half of the chi-square quantiles of 2k and 2k+2 degrees
// of freedom, which are quantiles of gamma distributions.
func poisson(k int) (low, high float64) {
	if k > 0 {
		low = mathext.GammaIncRegInv(float64(k), 0.025)
	}
	return low, mathext.GammaIncRegInv(float64(k)+1, 0.975)
}

// Rate of faults in an exposure.
type Rate struct {
	Count    int     `json:"count"`
	Exposure float64 `json:"exposure_years"`
	// PerYear, Low and High are nil where the exposure is none.
	PerYear *float64 `json:"per_year,omitempty"`
	Low     *float64 `json:"low_95,omitempty"`
	High    *float64 `json:"high_95,omitempty"`
}

func rateOf(count int, years float64) Rate {
	r := Rate{Count: count, Exposure: years}
	if years > 0 {
		low, high := poisson(count)
		r.PerYear, r.Low, r.High = new(float64(count)/years), new(low/years), new(high/years)
	}
	return r
}

package capacity

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/report/reporttest"
)

// wanted is a figure as it must be, and how far off it may be.
type wanted struct{ v, tolerance float64 }

// oracle computes every figure of the small fleet's report from raw samples, its own way: sorted values in place of histograms, one server
// after the other in place of days.
type oracle struct {
	t       *testing.T
	f       *reporttest.Fleet
	want    map[string]wanted
	times   map[string]time.Time
	truths  map[string]bool
	draws   map[health.TargetID][]float64
	watched map[health.TargetID]int
	sampled map[health.TargetID]float64 // every how many seconds, of the series that the draw is made of
}

const bin = health.HistogramError * 1.0001

var all = int(end.Sub(begin) / health.AlignStep)

func (o *oracle) put(path string, v float64) { o.want[path] = wanted{v, 1e-6 * max(1, math.Abs(v))} }
func (o *oracle) about(path string, v, tolerance float64) {
	o.want[path] = wanted{v, tolerance + 1e-6*max(1, math.Abs(v))}
}

func rank(sorted []float64, q float64) float64 {
	return sorted[int(math.Ceil(q*float64(len(sorted))))-1]
}

func real(v []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(v), math.IsNaN)
}

func total(v []float64) (sum float64) {
	for _, x := range v {
		sum += x
	}
	return sum
}

// spread puts the spread of values; nothing where there are none.
func (o *oracle) spread(path string, values []float64) {
	v := slices.Sorted(slices.Values(real(values)))
	if len(v) == 0 {
		return
	}
	o.put(path+".n", float64(len(v)))
	o.put(path+".min", v[0])
	o.put(path+".max", v[len(v)-1])
	o.put(path+".mean", total(v)/float64(len(v)))
	for name, q := range map[string]float64{"p50": 0.5, "p95": 0.95, "p99": 0.99} {
		o.about(path+"."+name, rank(v, q), bin*math.Abs(rank(v, q)))
	}
}

func p99Of(values []float64) float64 { return rank(slices.Sorted(slices.Values(real(values))), 0.99) }

// stepMeans are the means of each step.
func stepMeans(m *reporttest.Machine, id health.SeriesID) []float64 {
	sums, counts := make([]float64, all), make([]float64, all)
	for _, s := range m.Samples[id] {
		k := int(s.At.Sub(begin) / health.AlignStep)
		sums[k], counts[k] = sums[k]+s.Value, counts[k]+1
	}
	for k := range sums {
		sums[k] /= counts[k] // NaN where nothing was read
	}
	return sums
}

func (o *oracle) fault(target health.TargetID, c health.ComponentID, k int) bool {
	at := begin.Add(time.Duration(k) * health.AlignStep)
	for _, x := range o.f.Faults {
		if x.Target == target && x.Component == c && x.Kind == health.KindFailed && !at.Before(x.Opened.Truncate(health.AlignStep)) && at.Before(x.Cleared) {
			return true
		}
	}
	return false
}

func hoursOf(steps int) float64 { return float64(steps) / 12 }

// trend puts Theil and Sen's slope. days are by number of day since the first midnight.
func (o *oracle) trend(path string, days map[int]float64) (slope, low, high, level float64, ok bool) {
	var xs []int
	for x := range days {
		xs = append(xs, x)
	}
	slices.Sort(xs)
	n := len(xs)
	o.put(path+".values", float64(n))
	o.put(path+".days", 0)
	if n > 0 {
		o.put(path+".days", float64(xs[n-1]-xs[0]+1))
	}
	if n < 24 || xs[n-1]-xs[0]+1 < 30 {
		return 0, 0, 0, 0, false
	}
	var slopes []float64
	tie := map[float64]float64{}
	for i, x := range xs {
		tie[days[x]]++
		for _, y := range xs[i+1:] {
			slopes = append(slopes, (days[y]-days[x])/float64(y-x))
		}
	}
	slices.Sort(slopes)
	m := len(slopes)
	slope = (slopes[(m-1)/2] + slopes[m/2]) / 2
	fn := float64(n)
	variance := fn * (fn - 1) * (2*fn + 5)
	for _, t := range tie {
		variance -= t * (t - 1) * (2*t + 5)
	}
	var rest []float64
	for _, x := range xs {
		rest = append(rest, days[x]-slope*float64(x-xs[0]))
	}
	mean := total(rest) / fn
	var c0, c1 float64
	for i := range rest {
		c0 += (rest[i] - mean) * (rest[i] - mean)
		if i > 0 {
			c1 += (rest[i] - mean) * (rest[i-1] - mean)
		}
	}
	rho := 0.0
	if c0 > 0 {
		rho = min(max(c1/c0, 0), 0.99)
	}
	effective := max(1, fn*(1-rho)/(1+rho))
	c := 1.959964 * math.Sqrt(max(variance, 0)/18*fn/effective)
	a, b := int(math.Floor((float64(m)-c)/2))-1, int(math.Ceil((float64(m)+c)/2))
	if a < 0 || b >= m {
		return 0, 0, 0, 0, false
	}
	low, high = slopes[a], slopes[b]
	sorted := slices.Sorted(slices.Values(rest))
	level = (sorted[(n-1)/2]+sorted[n/2])/2 + slope*end.Sub(midnight(xs[0])).Hours()/24
	o.put(path+".slope_per_30_days", 30*slope)
	o.put(path+".slope_low_95", 30*low)
	o.put(path+".slope_high_95", 30*high)
	o.put(path+".level_at_end", level)
	return slope, low, high, level, true
}

// reach puts when a line comes to a limit; down tells that it falls towards it.
func (o *oracle) reach(path string, limit, slope, low, high, level float64, ok, down bool) {
	o.put(path+".limit", limit)
	if !ok {
		return
	}
	distance := limit - level
	fast := high
	slow := low
	if down {
		distance, slope, fast, slow = -distance, -slope, -low, -high
	}
	if distance <= 0 {
		return
	}
	for key, s := range map[string]float64{"at": slope, "earliest": fast, "latest": slow} {
		if days := distance / s; s > 0 && days <= 4*end.Sub(begin).Hours()/24 {
			o.times[path+"."+key] = end.Add(time.Duration(days * 24 * float64(time.Hour))).Truncate(24 * time.Hour)
		}
	}
}

func midnight(day int) time.Time {
	return begin.Truncate(24 * time.Hour).Add(time.Duration(day) * 24 * time.Hour)
}

// perDay divides steps into days, those of which at least half was read.
func perDay(steps []float64, of func([]float64) float64) map[int]float64 {
	parts := map[int][]float64{}
	for k, v := range steps {
		if !math.IsNaN(v) {
			d := int(begin.Add(time.Duration(k)*health.AlignStep).Sub(midnight(0)).Hours() / 24)
			parts[d] = append(parts[d], v)
		}
	}
	out := map[int]float64{}
	for d, v := range parts {
		if len(v) >= 144 {
			out[d] = of(v)
		}
	}
	return out
}

func p95Of(v []float64) float64   { return rank(slices.Sorted(slices.Values(v)), 0.95) }
func meanOfV(v []float64) float64 { return total(v) / float64(len(v)) }

// rate puts a rate and its exact interval, found by halving: the mean at which so many or more (fewer) are 2.5 % likely.
func (o *oracle) rate(path string, count int, years float64) {
	o.put(path+".count", float64(count))
	o.put(path+".exposure_years", years)
	if years <= 0 {
		return
	}
	atMost := func(k int, mean float64) float64 {
		p, sum := math.Exp(-mean), 0.0
		for i := 0; i <= k; i++ {
			if i > 0 {
				p *= mean / float64(i)
			}
			sum += p
		}
		return sum
	}
	solve := func(f func(float64) bool) float64 {
		a, b := 0.0, 1000.0
		for range 200 {
			if m := (a + b) / 2; f(m) {
				b = m
			} else {
				a = m
			}
		}
		return a
	}
	low := 0.0
	if count > 0 {
		low = solve(func(m float64) bool { return 1-atMost(count-1, m) > 0.025 })
	}
	high := solve(func(m float64) bool { return atMost(count, m) < 0.025 })
	o.put(path+".per_year", float64(count)/years)
	o.put(path+".low_95", low/years)
	o.put(path+".high_95", high/years)
}

// identifying are the fields by which an element of a list is called.
var identifying = []string{"kind", "site", "name", "target", "component", "class", "manufacturer", "model", "age", "change", "growth", "day", "version"}

// flatten gives each number, truth and time of a document a path.
func flatten(path string, v any, numbers map[string]float64, truths map[string]bool, times map[string]time.Time) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(strings.TrimPrefix(path+"."+k, "."), x, numbers, truths, times)
		}
	case []any:
		for i, x := range v {
			key := strconv.Itoa(i)
			if m, ok := x.(map[string]any); ok {
				var names []string
				for _, k := range identifying {
					if s, ok := m[k].(string); ok {
						names = append(names, s)
					}
				}
				if len(names) > 0 {
					key = strings.Join(names, "|")
				}
			}
			flatten(path+"["+key+"]", x, numbers, truths, times)
		}
	case float64:
		numbers[path] = v
	case bool:
		truths[path] = v
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil && !strings.HasSuffix(path, ".day") {
			times[path] = t
		}
	}
}

// TestEveryNumberIsRecomputedFromRawSamples compares every number, date and yes-or-no of the JSON with the oracle's, in both directions.
func TestEveryNumberIsRecomputedFromRawSamples(t *testing.T) {
	const seed = 20260302
	t.Logf("seed %d", seed)
	o := &oracle{t: t, f: smallFleet(seed), want: map[string]wanted{}, times: map[string]time.Time{}, truths: map[string]bool{}, draws: map[health.TargetID][]float64{}, watched: map[health.TargetID]int{}, sampled: map[health.TargetID]float64{}}
	q := smallRequest(o.f)
	rep, err := Build(t.Context(), o.f, q)
	if err != nil {
		t.Fatal(err)
	}
	o.report()
	b, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	numbers, truths, times := map[string]float64{}, map[string]bool{}, map[string]time.Time{}
	flatten("", doc, numbers, truths, times)
	if len(numbers) < 700 {
		t.Fatalf("only %d numbers in the report", len(numbers))
	}
	wrong := 0
	say := func(format string, args ...any) {
		if wrong++; wrong <= 60 {
			t.Errorf(format, args...)
		}
	}
	for _, k := range sortedKeys(numbers) {
		w, ok := o.want[k]
		switch {
		case !ok:
			say("%s = %v was not recomputed", k, numbers[k])
		case math.Abs(numbers[k]-w.v) > w.tolerance:
			say("%s = %v, want %v ± %v", k, numbers[k], w.v, w.tolerance)
		}
	}
	for k, w := range o.want {
		if _, ok := numbers[k]; !ok {
			say("%s is not in the report, want %v", k, w.v)
		}
	}
	for k, v := range times {
		if w, ok := o.times[k]; !ok || !w.Equal(v) {
			say("%s = %v, want %v", k, v, w)
		}
	}
	for k, w := range o.times {
		if _, ok := times[k]; !ok {
			say("%s is not in the report, want %v", k, w)
		}
	}
	for k, v := range truths {
		if o.truths[k] != v {
			say("%s = %v", k, v)
		}
	}
	for k, v := range o.truths {
		if _, ok := truths[k]; !ok {
			say("%s is not in the report, want %v", k, v)
		}
	}
	t.Logf("%d numbers, %d dates, %d truths", len(numbers), len(times), len(truths))
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// smallRequest has budgets, feeds, dates and changes.
func smallRequest(f *reporttest.Fleet) Request {
	q := Request{
		From: begin, Until: end, GeneratedAt: end, Program: "test",
		Sites: []Budget{{Name: "bontang", VoltAmperes: 9000, PowerFactor: 0.9}}, Racks: []Budget{{Name: "A1", Site: "bontang", VoltAmperes: 1300, PowerFactor: 0.95}},
		Air: Air{Edition: "E", Class: "A2", HasAllowable: true, Recommended: Envelope{18, 27, -9, 15, 0, 50}, Allowable: Envelope{10, 35, -12, 17, 45, 80}},
		Assets: map[health.TargetID]Asset{
			"web-1": {Installed: begin.AddDate(-4, 0, 0), WarrantyUntil: begin.AddDate(-1, 0, 0)}, "web-2": {Installed: begin.AddDate(-2, 0, 0), WarrantyUntil: end.AddDate(0, 6, 0)},
		},
		Changes: []Change{{Text: "add 4 x web", N: 4, Like: []health.TargetID{"web-1", "web-2"}}, {Text: "remove 1 x web-2", N: -1, Like: []health.TargetID{"web-2"}, Racks: []Place{{"bontang", "A1"}}}},
	}
	for _, side := range []struct{ name, partner, psu string }{{"left", "right", "psu/1"}, {"right", "left", "psu/2"}} {
		va := map[string]float64{"left": 700, "right": 650}[side.name]
		q.Feeds = append(q.Feeds, Feed{Budget: Budget{Name: side.name, VoltAmperes: va, PowerFactor: 0.95}, Partner: side.partner, Feeds: func(t health.Target, psu health.ComponentID, _ string) bool {
			return t.Rack == "A1" && t.ID != "db-1" && string(psu) == side.psu
		}, Serves: func(t health.Target) bool { return t.Rack == "A1" && t.ID != "db-1" }})
	}
	for _, m := range f.Machines {
		q.Targets = append(q.Targets, m.Target)
	}
	return q
}

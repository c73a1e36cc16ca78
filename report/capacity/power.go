package capacity

import (
	"math"
	"slices"
	"time"

	"dewline/health"
)

// Power is what a server drew.
type Power struct {
	// Source: "psu_input" (what its power supplies took in), "board" (its own meter), "mixed", or "none": it tells no power.
	Source   string   `json:"source"`
	Draw     *Spread  `json:"draw_watts,omitempty"` // of five-minute means
	Coverage float64  `json:"coverage"`             // of the time with data
	Sampling float64  `json:"sampling_interval_seconds,omitempty"`
	Highest  *float64 `json:"highest_sample_watts,omitempty"` // of several supplies: the sum of their highest on a day, which it cannot have exceeded in what was read
	Energy   *float64 `json:"energy_kwh,omitempty"`           // over Hours; nil: no power was told
	Hours    float64  `json:"energy_hours"`
	Gap      float64  `json:"gap_hours"` // within the time with data
	Board    float64  `json:"board_hours"`
	Refused  int      `json:"readings_of_zero"` // steps that said 0 W while the BMC answered: no measurement

	Supplies int      `json:"supplies"`
	Capacity *float64 `json:"capacity_watts,omitempty"`          // of all
	OneLost  *float64 `json:"capacity_one_lost_watts,omitempty"` // without the largest
	Headroom *float64 `json:"headroom_one_lost_watts,omitempty"` // OneLost less Highest
	Unrated  int      `json:"supplies_without_rating"`
	Shared   bool     `json:"supplies_shared"` // with other servers of a chassis: what they take in is not this one alone
	Limit    *float64 `json:"limit_watts,omitempty"`
	Capped   bool     `json:"capped"` // on CappedDays it drew so close to the limit of the day that the draw is not the demand
	Trend    *Trend   `json:"trend,omitempty"`
	// CappedDays are days on which a limit was told, and the draw came close to it.
	CappedDays int `json:"capped_days"`

	summed bool // Highest is a sum of several supplies': a bound, and no sample
}

// short tells whether a server drew more than is left when a supply is lost; perhaps where only the bound says so.
func (p *Power) short() (surely, perhaps bool) {
	if p.Headroom == nil || *p.Headroom >= 0 || p.Supplies < 2 {
		return false, false
	}
	surely = !p.summed || p.Draw.Max > *p.OneLost
	return surely, !surely
}

// cappedAt is how close to its limit a server draws when it is held down by it.
const cappedAt = 0.95

type span struct{ from, to time.Time }

// powerTally gathers a server's draw.
type powerTally struct {
	draw                  dist
	out                   map[health.ComponentID][]span // supplies that failed, were taken out or had no input
	expected              []bool                        // inputs that were read at some time
	board                 int                           // the meter that reads most: that of the whole
	boardMean             float64
	fromInputs, fromBoard int
	refused               int
	kWh                   float64
	days                  []dayValue
	inputsMost            float64 // the greatest sum of the inputs' highest samples of a day
	summed                bool    // of several
	capped                int     // days
	limit                 float64 // on the last of them
}

// fault notes when a supply need not be read: it is known to draw nothing, or next to it.
func (p *powerTally) fault(x *health.Fault, until time.Time) {
	switch {
	case x.Class != health.ClassPSU:
		return
	case x.Kind != health.KindFailed && x.Kind != health.KindAbsentRemoved && x.Kind != health.KindInputLost:
		return
	}
	if p.out == nil {
		p.out = map[health.ComponentID][]span{}
	}
	to := until
	if x.Closed() {
		to = x.Cleared
	}
	p.out[x.Component] = append(p.out[x.Component], span{x.Opened.Truncate(health.AlignStep), to})
}

func (p *powerTally) isOut(c health.ComponentID, at time.Time) bool {
	return slices.ContainsFunc(p.out[c], func(s span) bool { return !at.Before(s.from) && at.Before(s.to) })
}

// day fills draw with what the server drew in each step of a day: what its supplies took in if each of them was read, or is known to be out; else
// what its own meter says; else nothing is known (NaN).
func (p *powerTally) day(s *server, x *health.DayFacts, from, until int, draw []float64) {
	if p.expected == nil {
		p.expected, p.board = make([]bool, len(x.Aligned)), -1
		for _, k := range s.inputs { // what is installed and was not read yet draws something all the same
			p.expected[k] = s.part(s.query.Aligned[k].Component).ID != ""
		}
	}
	for _, k := range s.inputs {
		if x.Aligned[k] != nil {
			p.expected[k] = true
		}
	}
	for _, k := range s.boards {
		if m := meanOf(x.Aligned[k]); m > p.boardMean {
			p.board, p.boardMean = k, m
		}
	}
	for i := range draw {
		draw[i] = math.NaN()
	}
	var scratch [health.StepsPerDay]float64
	values := scratch[:0]
	for i := from; i < until; i++ {
		sum, read, missing := 0.0, 0, false
		for _, k := range s.inputs {
			if v := at(x.Aligned[k], i); v == v { // not NaN
				sum, read = sum+v, read+1
			} else if p.expected[k] && !p.isOut(s.query.Aligned[k].Component, x.Day.Add(time.Duration(i)*health.AlignStep)) {
				missing = true
			}
		}
		board := math.NaN()
		if p.board >= 0 {
			board = at(x.Aligned[p.board], i)
		}
		var v float64
		switch {
		case read > 0 && !missing && sum > 0:
			v = sum
			p.fromInputs++
		case board > 0:
			v = board
			p.fromBoard++
		case read > 0 && !missing || board == 0:
			p.refused++ // a BMC that answers is fed by something
			continue
		default:
			continue
		}
		draw[i] = v
		values = append(values, v)
		p.kWh += v * health.AlignStep.Hours() / 1000
	}
	p.draw.add(values)
	p.samples(s, x)
	if len(values) > 0 {
		p.limited(s, x, slices.Max(values))
	}
	if day := dayOf(x.Day, values); day != nil { // the order of the values is lost
		p.days = append(p.days, *day)
	}
}

// samples adds up the highest samples of a day: what the inputs of another day had says nothing of this one, as when a supply is lost and
// another has its load.
func (p *powerTally) samples(s *server, x *health.DayFacts) {
	sum, n := 0.0, 0
	for i, t := range s.daily {
		if d := &x.Daily[i]; d.N > 0 && t.Quantity == health.InputPower {
			sum, n = sum+d.Max, n+1
		}
	}
	if sum > p.inputsMost {
		p.inputsMost = sum
	}
	p.summed = p.summed || n > 1
}

// limited holds the highest draw of a day against the limit of that day: the highest that was told on it, and of several limits the lowest.
func (p *powerTally) limited(s *server, x *health.DayFacts, most float64) {
	limit := math.Inf(1)
	for i, t := range s.daily {
		if d := &x.Daily[i]; d.N > 0 && t.Quantity == health.PowerLimit && d.Max > 0 {
			limit = min(limit, d.Max)
		}
	}
	if most >= cappedAt*limit {
		p.capped++
		p.limit = limit
	}
}

// dayOf is the 95th percentile of a day, if half of it was read.
func dayOf(day time.Time, values []float64) *dayValue {
	if float64(len(values)) < minDayShare*float64(health.StepsPerDay) {
		return nil
	}
	return &dayValue{dayNumber(day), nth(values, int(math.Ceil(0.95*float64(len(values))))-1)}
}

// nth is the value of rank n, counted from 0. The order of the values is lost.
func nth(v []float64, n int) float64 {
	for len(v) > 16 {
		p := v[len(v)/2]
		i, k := 0, len(v)-1
		for i <= k {
			for v[i] < p {
				i++
			}
			for v[k] > p {
				k--
			}
			if i <= k {
				v[i], v[k] = v[k], v[i]
				i, k = i+1, k-1
			}
		}
		switch {
		case n <= k:
			v = v[:k+1]
		case n >= i:
			v, n = v[i:], n-i
		default:
			return v[n]
		}
	}
	slices.Sort(v)
	return v[n]
}

func at(steps []float64, i int) float64 {
	if steps == nil {
		return math.NaN()
	}
	return steps[i]
}

func meanOf(steps []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range steps {
		if !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

// figures are a server's, over the time with data.
func (p *powerTally) figures(s *server, f *fleet) Power {
	out := Power{Source: "none", Shared: s.shared, Draw: p.draw.spread(), Refused: p.refused, Hours: hours(p.draw.n), Board: hours(p.fromBoard)}
	if out.Draw != nil {
		out.Energy = new(p.kWh)
	}
	all := f.allSteps()
	switch {
	case p.fromInputs > 0 && p.fromBoard > 0:
		out.Source = "mixed"
	case p.fromInputs > 0:
		out.Source = "psu_input"
	case p.fromBoard > 0:
		out.Source = "board"
	}
	if all > 0 {
		out.Coverage = float64(p.draw.n) / float64(all)
	}
	out.Gap = hours(all - p.draw.n)
	// How often it was sampled: of the series that its draw is made of, the rarest.
	highest := p.inputsMost
	for _, t := range s.daily {
		input := t.Quantity == health.InputPower && p.fromInputs > 0
		meter := t.Quantity == health.Power && p.fromInputs == 0 && p.board >= 0 && t.SeriesID == s.query.Aligned[p.board]
		if !input && !meter || t.n == 0 {
			continue
		}
		if meter {
			highest, p.summed = t.max, false
		}
		out.Sampling = max(out.Sampling, t.sampling())
	}
	if out.Sampling > 0 && out.Draw != nil {
		s.sampling = out.Sampling
		out.Highest, out.summed = new(max(highest, out.Draw.Max)), p.summed
	}
	out.supplies(s)
	if out.Capped, out.CappedDays = p.capped > 0, p.capped; out.Capped {
		out.Limit = new(p.limit)
	} else {
		for _, t := range s.of(health.PowerLimit) { // of several limits the lowest holds
			if l := t.last.v; l > 0 && (out.Limit == nil || l < *out.Limit) {
				out.Limit = new(l)
			}
		}
	}
	if out.Draw != nil {
		out.Trend = trendOf(p.days, f.q.Until)
	}
	return out
}

// supplies holds the highest draw against what is left when the largest supply is lost. A rating is of the output, the draw of the
// input, which is larger: on the safe side.
func (out *Power) supplies(s *server) {
	rated := map[health.ComponentID]float64{}
	for _, t := range s.of(health.PowerCapacity) {
		if t.last.v > 0 {
			rated[t.Component] = t.last.v
		}
	}
	known := map[health.ComponentID]bool{}
	for _, p := range s.parts {
		if p.Class == health.ClassPSU && p.Of == "" {
			known[p.ID] = true
		}
	}
	for id := range rated {
		known[id] = true
	}
	for _, k := range s.inputs {
		known[s.query.Aligned[k].Component] = true
	}
	out.Supplies, out.Unrated = len(known), len(known)-len(rated)
	if len(rated) == 0 || out.Unrated > 0 || s.shared {
		return
	}
	sum, largest := 0.0, 0.0
	for _, w := range rated {
		sum, largest = sum+w, max(largest, w)
	}
	out.Capacity, out.OneLost = new(sum), new(sum-largest)
	if out.Highest != nil {
		out.Headroom = new(sum - largest - *out.Highest)
	}
}

func hours(steps int) float64 { return float64(steps) * health.AlignStep.Hours() }

// allSteps are those from the first reading to the end of the window.
func (f *fleet) allSteps() int {
	if f.first.IsZero() {
		return 0
	}
	return int(f.q.Until.Sub(f.first) / health.AlignStep)
}

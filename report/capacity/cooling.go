package capacity

import (
	"math"

	"dewline/health"
	"dewline/report"
)

// Cooling is a server's air and its fans.
type Cooling struct {
	Inlet       *Spread `json:"inlet_celsius,omitempty"`
	InletOf     string  `json:"inlet_sensor,omitempty"`
	Sampling    float64 `json:"inlet_sampling_interval_seconds,omitempty"`
	Coverage    float64 `json:"inlet_coverage"`
	DewPoint    *Spread `json:"dew_point_celsius,omitempty"`
	DewPointOf  string  `json:"dew_point_sensor,omitempty"`
	DewComputed bool    `json:"dew_point_computed"`
	Humidity    *Spread `json:"relative_humidity_percent,omitempty"`
	HumidityOf  string  `json:"relative_humidity_sensor,omitempty"`
	// Headroom is the limit less P99; nil: there is no limit, or no reading.
	Headroom    *float64 `json:"inlet_headroom_kelvin,omitempty"`
	DewHeadroom *float64 `json:"dew_point_headroom_kelvin,omitempty"`
	Margin      *Spread  `json:"condensation_margin_kelvin,omitempty"` // of all its parts; its Min is what counts
	Outside     Outside  `json:"outside"`
	Duty        *Spread  `json:"fan_duty_percent,omitempty"` // of the mean of its fans
	DutyTrend   *Trend   `json:"fan_duty_trend,omitempty"`
	Warmest     *Warmest `json:"fan_duty_at_warmest,omitempty"` // nil: the inlet or the fans were never read
	// Hot is how far P95 is above the median of the servers in its rack; nil: there are fewer than three to compare.
	Hot *float64 `json:"above_rack_kelvin,omitempty"`
}

// Outside are the hours outside the envelopes, and how many could be judged.
type Outside struct {
	TemperatureHours float64 `json:"temperature_judged_hours"`
	MoistureHours    float64 `json:"moisture_judged_hours"`
	// Nil: nothing could be judged, or there is no limit.
	RecommendedWarm      *float64 `json:"recommended_temperature_hours,omitempty"`
	RecommendedMoisture  *float64 `json:"recommended_moisture_hours,omitempty"`
	AllowableTemperature *float64 `json:"allowable_temperature_hours,omitempty"`
	AllowableMoisture    *float64 `json:"allowable_moisture_hours,omitempty"`
}

// hotBy is what makes a hot spot, in kelvin above the median of the rack.
const hotBy = 3.0

type airTally struct {
	inlet, dew, humidity, duty dist
	warm, moist                int // steps that could be judged
	outside                    [4]int
	days                       []dayValue // of the fans
	warmest                    warmTally
}

func (e Envelope) warm(v float64) bool { return v < e.Low || v > e.High }

// moist judges what of the two is known.
func (e Envelope) moist(dew, rh float64) bool {
	return dew < e.DewLow || dew > e.DewHigh || e.Dry > 0 && rh < e.Dry || e.Wet > 0 && rh > e.Wet
}

func (a *airTally) day(s *server, x *health.DayFacts, from, until int) {
	column := func(place int) []float64 {
		if place < 0 || x.Aligned[place] == nil {
			return nil
		}
		return x.Aligned[place][from:until]
	}
	var scratch [health.StepsPerDay]float64
	air := s.limits
	inlet, dew, rh := column(s.inlet), column(s.dew), column(s.humidity)
	values := known(scratch[:0], inlet)
	a.inlet.add(values)
	a.warm += len(values)
	for _, v := range values {
		count(&a.outside[0], air.Recommended.warm(v))
		count(&a.outside[2], air.HasAllowable && air.Allowable.warm(v))
	}
	a.humidity.add(known(scratch[:0], rh))
	values = known(scratch[:0], dew)
	a.dew.add(values)
	a.moist += len(values)
	for i, v := range dew {
		if v == v { // not NaN
			count(&a.outside[1], air.Recommended.moist(v, at(rh, i)))
			count(&a.outside[3], air.HasAllowable && air.Allowable.moist(v, at(rh, i)))
		}
	}
	var both [health.StepsPerDay]float64
	duty := s.fans(x, from, until, &both)
	values = known(scratch[:0], duty)
	a.duty.add(values)
	a.warmest.day(inlet, duty)
	if float64(len(values)) >= minDayShare*float64(health.StepsPerDay) {
		sum := 0.0
		for _, v := range values {
			sum += v
		}
		a.days = append(a.days, dayValue{dayNumber(x.Day), sum / float64(len(values))})
	}
}

// known appends what is not missing.
func known(to, of []float64) []float64 {
	for _, v := range of {
		if v == v { // not NaN
			to = append(to, v)
		}
	}
	return to
}

// fans is the mean duty of those fans that were read, of each step from one to another; NaN where none was, nil if none was in any.
func (s *server) fans(x *health.DayFacts, from, until int, to *[health.StepsPerDay]float64) []float64 {
	if len(s.duties) == 1 {
		if one := x.Aligned[s.duties[0]]; one != nil {
			return one[from:until]
		}
		return nil
	}
	var read [health.StepsPerDay]int
	any := false
	for _, k := range s.duties {
		for i, v := range x.Aligned[k] {
			if v == v { // not NaN
				to[i] += v
				read[i]++
				any = true
			}
		}
	}
	if !any {
		return nil
	}
	for i, n := range read {
		if to[i] /= float64(n); n == 0 {
			to[i] = math.NaN()
		}
	}
	return to[from:until]
}

func count(n *int, yes bool) {
	if yes {
		*n++
	}
}

func (a *airTally) figures(s *server, f *fleet) Cooling {
	air := &f.q.Air
	out := Cooling{
		Inlet: a.inlet.spread(), DewPoint: a.dew.spread(), Humidity: a.humidity.spread(), Duty: a.duty.spread(),
		Outside: Outside{TemperatureHours: hours(a.warm), MoistureHours: hours(a.moist)},
	}
	for i, to := range []**float64{&out.Outside.RecommendedWarm, &out.Outside.RecommendedMoisture, &out.Outside.AllowableTemperature, &out.Outside.AllowableMoisture} {
		if judged := []int{a.warm, a.moist}[i%2]; judged > 0 && (i < 2 || air.HasAllowable) {
			*to = new(hours(a.outside[i]))
		}
	}
	sensor := func(place int) string {
		if place < 0 {
			return ""
		}
		return s.name(s.query.Aligned[place].Component)
	}
	out.InletOf, out.DewPointOf, out.HumidityOf = sensor(s.inlet), sensor(s.dew), sensor(s.humidity)
	for _, t := range s.daily {
		switch {
		case t.n == 0:
		case s.inlet >= 0 && t.SeriesID == s.query.Aligned[s.inlet]:
			out.Sampling = t.sampling()
		case s.dew >= 0 && t.SeriesID == s.query.Aligned[s.dew]:
			out.DewComputed = t.Derived
		}
	}
	if all := f.allSteps(); all > 0 {
		out.Coverage = float64(a.inlet.n) / float64(all)
	}
	if air.HasAllowable && out.Inlet != nil {
		out.Headroom = new(air.Allowable.High - out.Inlet.P99)
	}
	if air.HasAllowable && out.DewPoint != nil {
		out.DewHeadroom = new(air.Allowable.DewHigh - out.DewPoint.P99)
	}
	var margin dist
	for _, t := range s.of(health.CondensationMargin) {
		margin.merge(t.hist, t.n, t.sum, t.min, t.max)
	}
	out.Margin = margin.spread()
	if out.Duty != nil {
		out.DutyTrend = trendOf(a.days, f.q.Until)
	}
	out.Warmest = a.warmest.figure(&a.duty)
	return out
}

// hotSpots compares each server's inlet with its rack.
func hotSpots(servers []Server) {
	byRack := map[Place][]float64{}
	for i := range servers {
		if s := &servers[i]; s.Rack != "" && s.Cooling.Inlet != nil {
			p := Place{s.Site, s.Rack}
			byRack[p] = append(byRack[p], s.Cooling.Inlet.P95)
		}
	}
	for i := range servers {
		s := &servers[i]
		if v := byRack[Place{s.Site, s.Rack}]; s.Rack != "" && s.Cooling.Inlet != nil && len(v) >= 3 {
			s.Cooling.Hot = new(s.Cooling.Inlet.P95 - report.Median(v))
		}
	}
}

package moisture

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// Edition of the thermal guidelines whose limits are used.
const Edition = "ASHRAE TC 9.9 2021"

// Rules, as events and faults name them.
const (
	RuleMargin   = "condensation_margin"
	RuleEnvelope = "air_envelope"
)

// Rules are by what air and cold parts are judged.
type Rules struct {
	// HumidityError and TemperatureError are those of the sensors, in % relative humidity and in kelvin.
	HumidityError, TemperatureError float64
	// MarginWarning and MarginCritical are condensation margins in kelvin.
	MarginWarning, MarginCritical float64
	// Delay is for how long a condition must have been measured before it counts, and must have been away before it is over.
	Delay time.Duration
	// MaxAge is how old air of another target may be.
	MaxAge time.Duration
	// Envelope is the class whose limits air must keep: "recommended", "A1" to "A4", or "none".
	Envelope string
	// Clean: corrosion is of severity G1 (ISA 71.04) for copper and silver. It raises the recommended humidity from 50 to 70 %.
	Clean bool
	// Tape: there are tape drives; then 5 K an hour is the most that temperatures may change, else 20 K.
	Tape bool
}

// DefaultRules are those of a configuration that says nothing, except that nothing is delayed.
func DefaultRules() Rules {
	return Rules{HumidityError: 3, TemperatureError: 1, MarginWarning: 5, MarginCritical: 2, MaxAge: 5 * time.Minute, Envelope: "A2"}
}

// envelope is the limits of a class.
type envelope struct {
	low, high       float64 // °C dry bulb
	dewLow, dewHigh float64 // °C dew point
	dry, wet        float64 // % relative humidity; 0: no limit of its own
}

// Limits are those of a class of air, for reports.
type Limits struct {
	Low, High       float64 // °C dry bulb
	DewLow, DewHigh float64 // °C dew point
	Dry, Wet        float64 // % relative humidity; 0: no limit of its own
}

// LimitsOf are the limits of a class; ok is false if it has none.
func LimitsOf(class string, clean bool) (l Limits, ok bool) {
	r := Rules{Envelope: class, Clean: clean}
	e, ok := r.envelope()
	return Limits{e.low, e.high, e.dewLow, e.dewHigh, e.dry, e.wet}, ok
}

// Envelopes are the classes there are.
var Envelopes = []string{"none", "recommended", "A1", "A2", "A3", "A4"}

func (r *Rules) envelope() (envelope, bool) {
	switch r.Envelope {
	case "recommended":
		wet := 50.0
		if r.Clean {
			wet = 70
		}
		return envelope{18, 27, -9, 15, 0, wet}, true
	case "A1":
		return envelope{15, 32, -12, 17, 8, 80}, true
	case "A2":
		return envelope{10, 35, -12, 21, 8, 80}, true
	case "A3":
		return envelope{5, 40, -12, 24, 8, 85}, true
	case "A4":
		return envelope{5, 45, -12, 24, 8, 90}, true
	}
	return envelope{}, false
}

// rate is the most that a temperature may change within an hour, in kelvin.
func (r *Rules) rate() float64 {
	if r.Tape {
		return 5
	}
	return 20
}

// Hysteresis: a condition is over only this far inside its limit.
const (
	marginHysteresis      = 0.5 // K
	temperatureHysteresis = 0.5 // K
	dewHysteresis         = 0.5 // K
	humidityHysteresis    = 2.0 // % relative humidity
)

// judge is one judging of a snapshot.
type judge struct {
	rules  Rules
	at     time.Time
	before health.AirMemory
	after  health.AirMemory
	s      *health.Snapshot
}

// limit is a value against the limit that it must not pass, as far inside as it must come to be well again.
type limit struct {
	value, limit, hysteresis float64
	low                      bool // the limit is a lower one
	text                     string
}

func (l limit) broken(was bool) bool {
	h := 0.0
	if was {
		h = l.hysteresis
	}
	if l.low {
		return l.value < l.limit+h
	}
	return l.value > l.limit-h
}

// level is what an alarm stood at.
func (j *judge) level(c health.ComponentID, k health.Kind) health.Severity {
	for _, a := range j.before.Alarms {
		if a.Component == c && a.Kind == k {
			return a.Level
		}
	}
	return health.SeverityOK
}

// set notes how a condition was measured, and judges it as it counts, with the delay.
func (j *judge) set(c health.ComponentID, k health.Kind, rule string, measured health.Severity, evidence string) {
	a := health.AirAlarm{Component: c, Kind: k, Level: health.SeverityOK, Next: health.SeverityOK}
	for _, b := range j.before.Alarms {
		if b.Component == c && b.Kind == k {
			a = b
		}
	}
	switch {
	case measured == a.Level:
		a.Next, a.Since = a.Level, time.Time{}
	case a.Since.IsZero() || (measured > a.Level) != (a.Next > a.Level) || a.Next == a.Level: // another direction than before
		a.Since = j.at
	}
	a.Next = measured
	if measured != a.Level && j.at.Sub(a.Since) >= j.rules.Delay {
		a.Level, a.Since = measured, time.Time{}
	}
	j.after.Alarms = slices.DeleteFunc(j.after.Alarms, func(b health.AirAlarm) bool { return b.Component == c && b.Kind == k })
	if a.Level != health.SeverityOK || a.Next != health.SeverityOK {
		j.after.Alarms = append(j.after.Alarms, a)
	}
	if a.Level != a.Next {
		evidence += fmt.Sprintf(" (counts after %s)", j.rules.Delay)
	}
	j.s.Judged = append(j.s.Judged, health.Judgement{Component: c, Kind: k, Severity: a.Level, Rule: rule, Evidence: evidence})
}

// margin judges a condensation margin with its error. With sensors of the usual errors the margin itself decides; those of worse
// ones are judged by the lowest margin that their errors allow.
func (j *judge) margin(c health.ComponentID, margin, err float64, of string) {
	was := j.level(c, health.KindCondensationRisk)
	below := func(limit float64, open bool) bool {
		if open {
			limit += marginHysteresis
		}
		return margin < limit
	}
	least := margin - err
	level := health.SeverityOK
	switch {
	case below(j.rules.MarginCritical, was == health.SeverityCritical) || least < 0:
		level = health.SeverityCritical
	case below(j.rules.MarginWarning, was >= health.SeverityWarning) || least < j.rules.MarginCritical:
		level = health.SeverityWarning
	}
	j.set(c, health.KindCondensationRisk, RuleMargin, level, fmt.Sprintf("%.1f ±%.1f K above the dew point of %s", margin, err, of))
}

// air judges a humidity and a dew point. Without a dew point the relative humidity alone is judged, and what only the dew
// point could say is left open.
func (j *judge) air(c health.ComponentID, humidity float64, dew *float64) {
	e, ok := j.rules.envelope()
	if !ok {
		return
	}
	high := []limit{{humidity, e.wet, humidityHysteresis, false, fmt.Sprintf("%.1f %%", humidity)}}
	low := []limit{}
	if e.dry > 0 {
		low = append(low, limit{humidity, e.dry, humidityHysteresis, true, fmt.Sprintf("%.1f %%", humidity)})
	}
	if dew != nil {
		high = append(high, limit{*dew, e.dewHigh, dewHysteresis, false, fmt.Sprintf("dew point %.1f °C", *dew)})
		low = append(low, limit{*dew, e.dewLow, dewHysteresis, true, fmt.Sprintf("dew point %.1f °C", *dew)})
	}
	j.limits(c, health.KindHumidityHigh, high, dew != nil)
	j.limits(c, health.KindHumidityLow, low, dew != nil)
}

// limits asserts a kind if any of its limits is broken. It is denied only if whole: nothing that could assert it is missing.
func (j *judge) limits(c health.ComponentID, k health.Kind, limits []limit, whole bool) {
	was := j.level(c, k) > health.SeverityOK
	var broken, said []string
	for _, l := range limits {
		said = append(said, l.text)
		if l.broken(was) {
			side := "above"
			if l.low {
				side = "below"
			}
			broken = append(broken, fmt.Sprintf("%s, %s the limit of %g", l.text, side, l.limit))
		}
	}
	switch {
	case len(broken) > 0:
		j.set(c, k, RuleEnvelope, health.SeverityWarning, strings.Join(broken, "; ")+" ("+j.class()+")")
	case whole:
		j.set(c, k, RuleEnvelope, health.SeverityOK, strings.Join(said, ", ")+" ("+j.class()+")")
	}
}

func (j *judge) class() string {
	if j.rules.Envelope == "recommended" {
		return Edition + ", recommended"
	}
	return Edition + ", class " + j.rules.Envelope
}

// cell is how much time a cell of a span covers; an hour has twelve.
const (
	cell     = 5 * time.Minute
	spanTime = time.Hour
)

// inlet judges a temperature of intake air: its limits, and how much it changed within the last hour.
func (j *judge) inlet(c health.ComponentID, celsius float64) {
	cells := j.remember(c, celsius)
	low, high := celsius, celsius
	for _, x := range cells {
		low, high = math.Min(low, x.Low), math.Max(high, x.High)
	}
	e, ok := j.rules.envelope()
	if !ok {
		return
	}
	text := fmt.Sprintf("%.1f °C", celsius)
	over := limit{celsius, e.high, temperatureHysteresis, false, text}
	rate := limit{high - low, j.rules.rate(), temperatureHysteresis, false, fmt.Sprintf("changed by %.1f K within an hour", high-low)}
	j.limits(c, health.KindOverThreshold, []limit{over, rate}, true)
	j.limits(c, health.KindUnderThreshold, []limit{{celsius, e.low, temperatureHysteresis, true, text}}, true)
}

// remember puts a temperature into its span and gives the cells of the last hour.
func (j *judge) remember(c health.ComponentID, celsius float64) []health.AirCell {
	i := slices.IndexFunc(j.after.Spans, func(s health.AirSpan) bool { return s.Component == c })
	if i < 0 {
		j.after.Spans = append(j.after.Spans, health.AirSpan{Component: c})
		i = len(j.after.Spans) - 1
	}
	s := &j.after.Spans[i]
	from := j.at.Truncate(cell)
	cells := slices.DeleteFunc(slices.Clone(s.Cells), func(x health.AirCell) bool { return j.at.Sub(x.From) > spanTime || x.From.After(from) })
	if n := len(cells); n > 0 && cells[n-1].From.Equal(from) {
		cells[n-1].Low, cells[n-1].High = math.Min(cells[n-1].Low, celsius), math.Max(cells[n-1].High, celsius)
	} else {
		cells = append(cells, health.AirCell{From: from, Low: celsius, High: celsius})
	}
	s.Cells = cells
	return cells
}

// maxSpans bounds what a hostile BMC can make us remember.
const maxSpans = 32

// finish gives the memory for the next visit. What is of components that were not judged now stays, for as long as it can matter.
func (j *judge) finish() *health.AirMemory {
	j.after.Spans = slices.DeleteFunc(j.after.Spans, func(s health.AirSpan) bool {
		return len(s.Cells) == 0 || j.at.Sub(s.Cells[len(s.Cells)-1].From) > spanTime
	})
	slices.SortFunc(j.after.Spans, func(a, b health.AirSpan) int { return cmp.Compare(a.Component, b.Component) })
	j.after.Spans = j.after.Spans[:min(len(j.after.Spans), maxSpans)]
	slices.SortFunc(j.after.Alarms, func(a, b health.AirAlarm) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Kind, b.Kind))
	})
	j.after.Alarms = j.after.Alarms[:min(len(j.after.Alarms), 4*maxSpans)]
	if j.after.Equal(j.before) {
		return nil
	}
	return &j.after
}

package health

import (
	"slices"
	"time"
)

// AirMemory is what judging a target's air and its cold parts needs of earlier visits.
type AirMemory struct {
	Alarms []AirAlarm `json:"alarms,omitempty"`
	Spans  []AirSpan  `json:"spans,omitempty"`
}

// AirAlarm is a condition that is so, or has been for less than the alarm delay.
type AirAlarm struct {
	Component ComponentID `json:"component"`
	Kind      Kind        `json:"kind"`
	Level     Severity    `json:"level"`          // as it counts
	Next      Severity    `json:"next"`           // as it was measured last
	Since     time.Time   `json:"since,omitzero"` // since when Next is another than Level
}

// AirSpan is how a temperature went in the last hour, in cells of a few minutes.
type AirSpan struct {
	Component ComponentID `json:"component"`
	Cells     []AirCell   `json:"cells"`
}

// AirCell is the lowest and highest of some values within a few minutes.
type AirCell struct {
	From time.Time `json:"from"`
	Low  float64   `json:"low"`
	High float64   `json:"high"`
}

// Equal tells whether two memories hold the same.
func (m AirMemory) Equal(o AirMemory) bool {
	return slices.Equal(m.Alarms, o.Alarms) && slices.EqualFunc(m.Spans, o.Spans, func(a, b AirSpan) bool {
		return a.Component == b.Component && slices.Equal(a.Cells, b.Cells)
	})
}

// Judgement is what dewline itself finds of a component from its readings: a kind that holds (Severity above SeverityOK), or that
// does not. What could not be judged has none: it opens and clears nothing.
type Judgement struct {
	Component ComponentID
	Kind      Kind
	Severity  Severity
	Rule      string
	Evidence  string
}

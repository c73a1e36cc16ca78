package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dewline/health"
)

// moment is RFC 3339 with a space between date and time, which that allows for people: a narrow column breaks it there.
const moment = "2006-01-02 15:04:05Z07:00"

// TimeCell is a time, or a dash for none.
func TimeCell(t time.Time) Cell {
	if t.IsZero() {
		return None()
	}
	return Cell{Text: t.Format(moment), Value: t}
}

// None is a cell of which there is nothing to say.
func None() Cell { return Cell{Text: "–", Value: "", Tone: Faint} }

// Count is a whole number.
func Count(n int) Cell { return Cell{Text: strconv.Itoa(n), Value: n} }

// Number is a figure, rounded for people.
func Number(v float64) Cell { return Cell{Text: Digits(v), Value: v} }

// Digits writes a value with as many digits as are worth reading.
func Digits(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// Percent writes a share. It is never rounded up to what it is not: 98.96 % is not 99 %.
func Percent(share float64) string {
	return strconv.FormatFloat(math.Floor(share*1000)/10, 'f', 1, 64)
}

// Stamp writes a time, or a dash for none.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(moment)
}

// IsInlet tells a sensor in the air that a machine takes in.
func IsInlet(c health.Component) bool {
	name := strings.ToLower(c.Name)
	return c.Class == health.ClassTemperature && (c.Context == "intake" || strings.Contains(name, "inlet") || strings.Contains(name, "intake"))
}

// Median of values; 0 of none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Effective is how many independent values a series is worth: values that follow each other are alike (first-order autocorrelation).
func Effective(v []float64) float64 {
	n := float64(len(v))
	if n < 3 {
		return 1
	}
	mean := 0.0
	for _, x := range v {
		mean += x / n
	}
	var c0, c1 float64
	for i, x := range v {
		c0 += (x - mean) * (x - mean)
		if i > 0 {
			c1 += (x - mean) * (v[i-1] - mean)
		}
	}
	if c0 == 0 {
		return n
	}
	rho := min(max(c1/c0, 0), 0.99)
	return max(1, n*(1-rho)/(1+rho))
}

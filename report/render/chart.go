package render

import (
	"math"
	"time"

	"dewline/report"
)

// A chart is as wide as the text of an A4 page.
const (
	chartWidth = 480.0
	labelSize  = 7.0
	nameWidth  = 110.0 // of the names beside strips and bars
	rowHeight  = 13.0
	barsTop    = 14.0 // room for the mark
)

// chartHeight of a figure, which draw keeps to.
func chartHeight(f report.Figure) float64 {
	switch f := f.(type) {
	case *report.Lines:
		return 150 + legendHeight(len(f.Series))
	case *report.Strip:
		return 22 + rowHeight*float64(len(f.Rows)) + legendHeight(len(f.Legend))
	case *report.Bars:
		return barsTop + 6 + rowHeight*float64(len(f.Rows))
	}
	return 0
}

func legendHeight(n int) float64 {
	if n == 0 {
		return 0
	}
	return 12 * math.Ceil(float64(n)/4)
}

// draw draws a figure with its upper left corner at 0, 0. Mark is written across it, if it is not empty.
func draw(c canvas, f report.Figure, mark string) {
	switch f := f.(type) {
	case *report.Lines:
		drawLines(c, f)
	case *report.Strip:
		drawStrip(c, f)
	case *report.Bars:
		drawBars(c, f)
	}
	if mark != "" {
		c.text(point{chartWidth - 2, 8}, mark, 9, right, red)
	}
}

// span maps times or values to a stretch of the canvas.
type span struct{ from, to, a, b float64 }

func (s span) at(v float64) float64 {
	if s.to == s.from {
		return s.a
	}
	return s.a + (v-s.from)/(s.to-s.from)*(s.b-s.a)
}

func timeSpan(from, to time.Time, a, b float64) func(time.Time) float64 {
	s := span{0, to.Sub(from).Seconds(), a, b}
	return func(t time.Time) float64 { return min(max(s.at(t.Sub(from).Seconds()), min(a, b)), max(a, b)) }
}

// timeAxis draws the dates below a figure, UTC offset as the times have it.
func timeAxis(c canvas, from, to time.Time, x func(time.Time) float64, y, top float64) {
	step, format := timeStep(to.Sub(from))
	for t := firstTick(from, step); !t.After(to); t = t.Add(step) {
		c.line(point{x(t), top}, point{x(t), y}, 0.4, pale, false)
		a, at := middle, x(t)
		if half := c.width(t.Format(format), labelSize) / 2; at+half > chartWidth {
			a, at = right, chartWidth
		}
		c.text(point{at, y + 9}, t.Format(format), labelSize, a, grey)
	}
}

// timeStep is the distance of ticks, so that there are at most about eight.
func timeStep(d time.Duration) (time.Duration, string) {
	const day = 24 * time.Hour
	for _, s := range []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour} {
		if d/s <= 8 {
			if d > day {
				return s, "01-02 15:04"
			}
			return s, "15:04"
		}
	}
	for _, n := range []time.Duration{1, 2, 5, 7, 14, 30, 60, 90} {
		if d/(n*day) <= 8 {
			return n * day, "01-02"
		}
	}
	return 180 * day, "2006-01"
}

// firstTick is the first whole step at or after from, in from's zone.
func firstTick(from time.Time, step time.Duration) time.Time {
	_, offset := from.Zone()
	o := time.Duration(offset) * time.Second
	t := from.Add(o).Truncate(step).Add(-o)
	if t.Before(from) {
		t = t.Add(step)
	}
	return t
}

// valueStep gives round levels for an axis: 1, 2 or 5 times a power of ten.
func valueStep(d float64) float64 {
	if d <= 0 || math.IsInf(d, 0) || math.IsNaN(d) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(d/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if d/(m*p) <= 5 {
			return m * p
		}
	}
	return 10 * p
}

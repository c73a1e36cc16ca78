package render

import (
	"math"
	"strconv"
	"time"

	"dewline/report"
)

func drawLines(c canvas, f *report.Lines) {
	const leftX, rightX, top, bottom = 38.0, chartWidth - 6, 14.0, 132.0
	x := timeSpan(f.From, f.To, leftX, rightX)
	low, high := math.Inf(1), math.Inf(-1)
	take := func(v float64) { low, high = min(low, v), max(high, v) }
	for _, s := range f.Series {
		for _, p := range s.Points {
			take(p.Value)
		}
	}
	for _, l := range f.Limits {
		take(l.Value)
	}
	empty := math.IsInf(low, 0)
	if empty {
		low, high = 0, 1
	}
	pad := max((high-low)*0.06, valueStep(max(high-low, math.Abs(high)*0.01))*0.2)
	low, high = low-pad, high+pad
	y := span{low, high, bottom, top}

	for _, b := range f.Bands {
		if b.To.Before(f.From) || b.From.After(f.To) {
			continue
		}
		c.rect(x(b.From), top, x(b.To)-x(b.From), bottom-top, wash(b.Tone))
		c.text(point{(x(b.From) + x(b.To)) / 2, top + 7}, shorten(b.Name, x(b.To)-x(b.From), labelSize-1), labelSize-1, middle, grey)
	}
	step := valueStep(high - low)
	for v := math.Ceil(low/step) * step; v <= high; v += step {
		c.line(point{leftX, y.at(v)}, point{rightX, y.at(v)}, 0.4, pale, false)
		c.text(point{leftX - 3, y.at(v) + 2.5}, level(v, step), labelSize, right, grey)
	}
	c.text(point{2, 8}, f.Unit, labelSize, left, grey)
	timeAxis(c, f.From, f.To, x, bottom, top)
	c.line(point{leftX, bottom}, point{rightX, bottom}, 0.6, grey, false)
	for _, l := range f.Limits {
		c.line(point{leftX, y.at(l.Value)}, point{rightX, y.at(l.Value)}, 0.8, ink(l.Tone), true)
		c.text(point{rightX, y.at(l.Value) - 2}, l.Name, labelSize-1, right, ink(l.Tone))
	}
	for i, s := range f.Series {
		for _, run := range runs(s, x, y) {
			col := seriesColour(i, s)
			if len(run) == 1 { // a lone point between two gaps is still data
				c.rect(run[0].x-0.7, run[0].y-0.7, 1.4, 1.4, col)
				continue
			}
			c.polyline(run, 0.9, col)
		}
	}
	if empty && f.Empty != "" {
		c.text(point{(leftX + rightX) / 2, (top + bottom) / 2}, f.Empty, labelSize+2, middle, grey)
	}
	marks(c, f.Marks, f.From, f.To, x, top, bottom)
	for i, s := range f.Series {
		lx, ly := leftX+float64(i%4)*(rightX-leftX)/4, bottom+22+12*float64(i/4)
		c.rect(lx, ly-4, 8, 2, seriesColour(i, s))
		c.text(point{lx + 11, ly}, shorten(s.Name, (rightX-leftX)/4-14, labelSize), labelSize, left, black)
	}
}

func seriesColour(i int, s report.Series) colour {
	if s.Tone != report.Plain {
		return ink(s.Tone)
	}
	return palette[i%len(palette)]
}

func marks(c canvas, ms []report.Mark, from, to time.Time, x func(time.Time) float64, top, bottom float64) {
	for i, m := range ms {
		if m.At.Before(from) || m.At.After(to) {
			continue
		}
		c.line(point{x(m.At), top - 4}, point{x(m.At), bottom}, 0.9, ink(m.Tone), true)
		a := left
		if x(m.At) > chartWidth*0.75 {
			a = right
		}
		c.text(point{x(m.At) + map[align]float64{left: 2, right: -2}[a], top - 3 - 6*float64(i%2)}, m.Name, labelSize-1, a, ink(m.Tone))
	}
}

// level writes an axis' level with the decimals its step has.
func level(v, step float64) string {
	decimals := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	if math.Abs(v) < step/1e6 {
		v = 0
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// runs are the stretches of a series without a gap, thinned to the least and greatest value of each third of a point of
// width: what sticks out stays.
func runs(s report.Series, x func(time.Time) float64, y span) [][]point {
	const bin = 1.0 / 3
	var out [][]point
	var run []point
	var last time.Time
	var inBin []point
	var binAt float64
	flush := func() {
		if len(inBin) == 0 {
			return
		}
		low, high := 0, 0
		for i, p := range inBin {
			if p.y < inBin[low].y {
				low = i
			}
			if p.y > inBin[high].y {
				high = i
			}
		}
		first, second := min(low, high), max(low, high)
		run = append(run, inBin[first])
		if second != first {
			run = append(run, inBin[second])
		}
		inBin = inBin[:0]
	}
	for _, p := range s.Points {
		if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			continue
		}
		if !last.IsZero() && s.Gap > 0 && p.At.Sub(last) > s.Gap {
			flush()
			out, run = append(out, run), nil
		}
		last = p.At
		q := point{x(p.At), y.at(p.Value)}
		if b := math.Floor(q.x / bin); len(inBin) > 0 && b != binAt {
			flush()
			binAt = b
		} else {
			binAt = b
		}
		inBin = append(inBin, q)
	}
	flush()
	if len(run) > 0 {
		out = append(out, run)
	}
	return out
}

func drawStrip(c canvas, f *report.Strip) {
	const top = 14.0
	x := timeSpan(f.From, f.To, nameWidth, chartWidth-6)
	bottom := top + rowHeight*float64(len(f.Rows))
	for i, r := range f.Rows {
		y := top + rowHeight*float64(i)
		c.text(point{0, y + 8.5}, shorten(r.Name, nameWidth-6, labelSize), labelSize, left, black)
		c.rect(nameWidth, y+1.5, chartWidth-6-nameWidth, rowHeight-3, palest)
		for _, s := range r.Spans {
			if s.To.Before(f.From) || s.From.After(f.To) {
				continue
			}
			// What is worth seeing is seen, however short it was.
			w := max(x(s.To)-x(s.From), 0.6)
			c.rect(x(s.From), y+1.5, w, rowHeight-3, stripColour(s.Tone))
		}
	}
	timeAxis(c, f.From, f.To, x, bottom, bottom-2)
	marks(c, f.Marks, f.From, f.To, x, top, bottom)
	for i, k := range f.Legend {
		lx, ly := nameWidth+float64(i%4)*(chartWidth-nameWidth)/4, bottom+20+12*float64(i/4)
		c.rect(lx, ly-6, 8, 6, stripColour(k.Tone))
		c.text(point{lx + 11, ly}, shorten(k.Name, (chartWidth-nameWidth)/4-14, labelSize), labelSize, left, black)
	}
}

// stripColour is stronger than a background: a strip has nothing else.
func stripColour(t report.Tone) colour {
	switch t {
	case report.Good:
		return colour{0x5f, 0xb1, 0x86}
	case report.Notice:
		return colour{0xe5, 0xa0, 0x3c}
	case report.Bad:
		return colour{0xc9, 0x3c, 0x30}
	case report.Faint:
		return colour{0xb8, 0xbe, 0xc6}
	}
	return colour{0x6f, 0x9b, 0xcf}
}

func drawBars(c canvas, f *report.Bars) {
	const top, valueWidth = barsTop, 86.0
	greatest := 0.0
	for _, r := range f.Rows {
		if !r.Missing {
			greatest = max(greatest, r.Value)
		}
		greatest = max(greatest, r.Limit)
	}
	x := span{0, max(greatest, math.SmallestNonzeroFloat64), nameWidth, chartWidth - valueWidth}
	for i, r := range f.Rows {
		y := top + rowHeight*float64(i)
		c.text(point{0, y + 8.5}, shorten(r.Name, nameWidth-6, labelSize), labelSize, left, black)
		if r.Missing {
			c.text(point{nameWidth + 2, y + 8.5}, "?", labelSize, left, grey)
			continue
		}
		c.rect(nameWidth, y+2, max(0, x.at(r.Value)-nameWidth), rowHeight-4, stripColour(r.Tone))
		if r.Limit > 0 {
			c.line(point{x.at(r.Limit), y + 0.5}, point{x.at(r.Limit), y + rowHeight - 0.5}, 1.2, black, false)
		}
		t := short(r.Value)
		if r.Limit > 0 {
			t += " / " + short(r.Limit)
		}
		c.text(point{chartWidth - 2, y + 8.5}, t+" "+f.Unit, labelSize, right, black)
	}
}

// short writes a value with three digits that count.
func short(v float64) string {
	if v == 0 {
		return "0"
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return strconv.FormatFloat(v, 'f', min(max(decimals, 0), 3), 64)
}

package render

import (
	"dewline/report"
)

// table draws a table; its head is repeated on each page. Cells wrap, up to maxCellLines lines.
func (p *pdf) table(t *report.Table) {
	const maxCellLines = 12
	if t.Title != "" {
		p.y += 2
		p.room(60)
		p.paragraph(t.Title, "B", 9, black, marginX, bodyWidth)
	}
	widths := p.columnWidths(t)
	const lineHeight, padX, padY = tableSize * 1.3, 3.0, 2.0
	cellLines := func(s string, w float64, style string) []string {
		p.font(style, tableSize, black)
		ls := p.lines(drawable(s), w-2*padX)
		if len(ls) > maxCellLines {
			ls = append(ls[:maxCellLines-1], "…")
		}
		return ls
	}
	drawRow := func(cells [][]string, style string, tones []report.Tone, ground bool) {
		n := 1
		for _, ls := range cells {
			n = max(n, len(ls))
		}
		h := float64(n)*lineHeight + 2*padY
		if ground {
			p.fill(palest)
			p.f.Rect(marginX, p.y, bodyWidth, h, "F")
		}
		x := marginX
		for i, ls := range cells {
			c, st := black, style
			if tones != nil && tones[i] != report.Plain {
				c = ink(tones[i])
				if tones[i] == report.Bad {
					st = "B"
				}
			}
			p.font(st, tableSize, c)
			for k, l := range ls {
				lx := x + padX
				if t.Columns[i].Right {
					lx = x + widths[i] - padX - p.f.GetStringWidth(l)
				}
				p.f.Text(lx, p.y+padY+tableSize+float64(k)*lineHeight, l)
			}
			x += widths[i]
		}
		p.y += h
		p.f.SetDrawColor(int(pale.r), int(pale.g), int(pale.b))
		p.f.SetLineWidth(0.4)
		p.f.Line(marginX, p.y, marginX+bodyWidth, p.y)
	}
	var head [][]string
	for i, c := range t.Columns {
		head = append(head, cellLines(c.Title, widths[i], "B"))
	}
	p.room(3 * (lineHeight + 2*padY))
	drawRow(head, "B", nil, true)
	for _, r := range shown(*t) {
		var cells [][]string
		var tones []report.Tone
		n := 1
		for i, c := range r {
			style := ""
			if c.Tone == report.Bad {
				style = "B"
			}
			ls := cellLines(c.Text, widths[i], style)
			n = max(n, len(ls))
			cells, tones = append(cells, ls), append(tones, c.Tone)
		}
		if h := float64(n)*lineHeight + 2*padY; p.y+h > pageHeight-marginFoot {
			p.page()
			drawRow(head, "B", nil, true)
		}
		drawRow(cells, "", tones, false)
	}
	p.y += 3
	if m := more(*t); m != "" {
		p.paragraph(m, "", smallSize, grey, marginX, bodyWidth)
	}
	if t.Note != "" {
		p.paragraph(t.Note, "", smallSize, grey, marginX, bodyWidth)
	}
	p.y += 5
}

// breakable is the width of a word that may be broken where a table has too many columns.
const breakable = 50.0

// columnWidths shares out the width: by what the columns ask for, and never less than a column's longest word if there is
// room for that.
func (p *pdf) columnWidths(t *report.Table) []float64 {
	ws := make([]float64, len(t.Columns))
	sum := 0.0
	for i, c := range t.Columns {
		ws[i] = width(c)
		sum += ws[i]
	}
	least := make([]float64, len(ws))
	need := 0.0
	for i, c := range t.Columns {
		p.font("B", tableSize, black)
		for _, w := range splitWords(drawable(c.Title)) {
			least[i] = max(least[i], p.f.GetStringWidth(w)+7)
		}
		p.font("", tableSize, black)
		for k, r := range shown(*t) {
			if k >= 200 {
				break
			}
			for _, w := range splitWords(drawable(r[i].Text)) {
				least[i] = max(least[i], min(p.f.GetStringWidth(w)+7, 110))
			}
		}
		need += least[i]
	}
	for i := range ws {
		ws[i] = ws[i] / sum * bodyWidth
	}
	if need > bodyWidth { // long words are broken before short ones are
		over := 0.0
		for _, l := range least {
			over += max(0, l-breakable)
		}
		if over > 0 {
			take := min(1, (need-bodyWidth)/over)
			need = 0
			for i, l := range least {
				least[i] = l - take*max(0, l-breakable)
				need += least[i]
			}
		}
	}
	if need > bodyWidth {
		for i := range ws {
			ws[i] = least[i] / need * bodyWidth
		}
		return ws
	}
	// Those that are too narrow take from those that have more than they need.
	short, spare := 0.0, 0.0
	for i := range ws {
		if ws[i] < least[i] {
			short += least[i] - ws[i]
		} else {
			spare += ws[i] - least[i]
		}
	}
	for i := range ws {
		if ws[i] < least[i] {
			ws[i] = least[i]
		} else if spare > 0 {
			ws[i] -= (ws[i] - least[i]) / spare * short
		}
	}
	return ws
}

package render

import (
	"fmt"
	"io"
	"math"

	"codeberg.org/go-pdf/fpdf"

	"dewline/report"
)

// Page geometry in points: A4.
const (
	pageWidth, pageHeight          = 595.28, 841.89
	marginX, marginTop, marginFoot = 57.0, 54.0, 50.0
	bodyWidth                      = pageWidth - 2*marginX
	bodySize, smallSize, tableSize = 9.5, 7.5, 7.5
	leading                        = 1.4
)

// pdf writes a document down the pages. Its y is where the next thing begins.
type pdf struct {
	f    *fpdf.Fpdf
	d    *report.Document
	y    float64
	mark string
}

// PDF writes the document as PDF 1.3 with the fonts it needs in it.
func PDF(w io.Writer, d *report.Document) error {
	f := fpdf.NewCustom(&fpdf.InitType{OrientationStr: "P", UnitStr: "pt", SizeStr: "A4"})
	f.SetCatalogSort(true)
	f.SetCreationDate(d.GeneratedAt.UTC())
	f.SetModificationDate(d.GeneratedAt.UTC())
	f.SetProducer("dewline", true)
	f.SetTitle(drawable(d.Title), true)
	f.SetLang(d.Lang)
	f.SetMargins(marginX, marginTop, marginX)
	f.SetAutoPageBreak(false, 0)
	f.SetCellMargin(0)
	f.AddUTF8FontFromBytes("go", "", regularTTF)
	f.AddUTF8FontFromBytes("go", "B", boldTTF)
	p := &pdf{f: f, d: d, mark: drawable(d.Mark)}
	p.page()
	p.title()
	for i := range d.Sections {
		p.section(&d.Sections[i], i == 0)
	}
	p.feet()
	if err := f.Output(w); err != nil {
		return fmt.Errorf("render PDF: %w", err)
	}
	return nil
}

func (p *pdf) page() {
	p.f.AddPage()
	p.y = marginTop
	if p.mark != "" {
		p.font("B", 10, red)
		p.f.Text(pageWidth-marginX-p.f.GetStringWidth(p.mark), 36, p.mark)
	}
}

// feet writes the foot of every page, when it is known how many there are.
func (p *pdf) feet() {
	n := p.f.PageCount()
	for i := 1; i <= n; i++ {
		p.f.SetPage(i)
		p.font("", smallSize-1, grey)
		y := pageHeight - 28.0
		foot := drawable(p.d.Footer)
		p.f.Text(marginX, y, shorten(foot, bodyWidth-70, smallSize-1))
		if p.d.PageOf != "" {
			t := fmt.Sprintf(p.d.PageOf, i, n)
			p.f.Text(pageWidth-marginX-p.f.GetStringWidth(t), y, t)
		}
	}
}

func (p *pdf) font(style string, size float64, c colour) {
	p.f.SetFont("go", style, size)
	p.f.SetTextColor(int(c.r), int(c.g), int(c.b))
}

func (p *pdf) fill(c colour) { p.f.SetFillColor(int(c.r), int(c.g), int(c.b)) }

// room begins a new page if there is no room for h.
func (p *pdf) room(h float64) {
	if p.y+h > pageHeight-marginFoot && p.y > marginTop {
		p.page()
	}
}

// lines cuts a text to a width in the font that is set. A word that is wider than that is cut too.
func (p *pdf) lines(s string, width float64) []string {
	var out []string
	line := ""
	fits := func(t string) bool { return p.f.GetStringWidth(t) <= width }
	flush := func() {
		if line != "" {
			out, line = append(out, line), ""
		}
	}
	for _, w := range splitWords(s) {
		try := w
		if line != "" {
			try = line + " " + w
		}
		if fits(try) {
			line = try
			continue
		}
		flush()
		for !fits(w) {
			rs := []rune(w)
			n := len(rs) - 1
			for n > 1 && !fits(string(rs[:n])) {
				n--
			}
			if n < 1 {
				break
			}
			out, w = append(out, string(rs[:n])), string(rs[n:])
		}
		line = w
	}
	flush()
	if len(out) == 0 {
		out = []string{""}
	}
	return out
}

func splitWords(s string) []string {
	var ws []string
	start := -1
	for i, r := range s {
		if r == ' ' {
			if start >= 0 {
				ws = append(ws, s[start:i])
			}
			start = -1
		} else if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		ws = append(ws, s[start:])
	}
	return ws
}

// paragraph writes a text over the width, from x.
func (p *pdf) paragraph(s, style string, size float64, c colour, x, width float64) {
	p.font(style, size, c)
	for _, l := range p.lines(drawable(s), width) {
		p.room(size * leading)
		p.font(style, size, c)
		p.f.Text(x, p.y+size, l)
		p.y += size * leading
	}
}

func (p *pdf) title() {
	p.paragraph(p.d.Title, "B", 20, black, marginX, bodyWidth)
	if p.d.Subtitle != "" {
		p.paragraph(p.d.Subtitle, "", bodySize, grey, marginX, bodyWidth)
	}
	p.y += 6
}

func (p *pdf) section(s *report.Section, first bool) {
	if s.NewPage && !first && p.y > marginTop {
		p.page()
	}
	p.y += 8
	p.room(60)
	p.f.Bookmark(drawable(s.Title), 0, p.y)
	if !first {
		p.f.SetDrawColor(int(pale.r), int(pale.g), int(pale.b))
		p.f.SetLineWidth(0.6)
		p.f.Line(marginX, p.y, marginX+bodyWidth, p.y)
		p.y += 8
	}
	p.paragraph(s.Title, "B", 13, black, marginX, bodyWidth)
	p.y += 3
	for _, b := range s.Blocks {
		p.block(b)
	}
}

func (p *pdf) block(b report.Block) {
	switch b := b.(type) {
	case report.Heading:
		p.y += 5
		p.room(50)
		p.paragraph(b.Text, "B", 10.5, black, marginX, bodyWidth)
		p.y += 2
	case report.Paragraph:
		c := black
		if b.Tone != report.Plain {
			c = ink(b.Tone)
		}
		p.paragraph(b.Text, "", bodySize, c, marginX, bodyWidth)
		p.y += 4
	case report.Banner:
		p.banner(b)
	case report.List:
		for _, it := range b.Items {
			p.room(bodySize * leading)
			p.font("", bodySize, black)
			p.f.Text(marginX+2, p.y+bodySize, "•")
			p.paragraph(it, "", bodySize, black, marginX+12, bodyWidth-12)
			p.y += 1.5
		}
		p.y += 3
	case report.Facts:
		p.facts(b)
	case report.Table:
		p.table(&b)
	case report.Chart:
		p.chart(&b)
	}
}

func (p *pdf) banner(b report.Banner) {
	const pad = 9.0
	p.font("B", 15, black)
	label := p.lines(drawable(b.Label), bodyWidth-2*pad-6)
	p.font("", bodySize, black)
	text := p.lines(drawable(b.Text), bodyWidth-2*pad-6)
	h := 2*pad + float64(len(label))*15*leading + float64(len(text))*bodySize*leading
	p.room(h + 6)
	p.fill(wash(b.Tone))
	p.f.Rect(marginX, p.y, bodyWidth, h, "F")
	p.fill(ink(b.Tone))
	p.f.Rect(marginX, p.y, 5, h, "F")
	y := p.y + pad
	p.font("B", 15, ink(b.Tone))
	for _, l := range label {
		p.f.Text(marginX+pad+6, y+15, l)
		y += 15 * leading
	}
	p.font("", bodySize, black)
	for _, l := range text {
		p.f.Text(marginX+pad+6, y+bodySize, l)
		y += bodySize * leading
	}
	p.y += h + 8
}

func (p *pdf) facts(b report.Facts) {
	const nameShare = 0.30
	for _, r := range b.Rows {
		p.font("", bodySize, grey)
		name := p.lines(drawable(r.Name), bodyWidth*nameShare-8)
		p.font("", bodySize, black)
		val := p.lines(drawable(r.Cell.Text), bodyWidth*(1-nameShare))
		h := float64(max(len(name), len(val))) * bodySize * leading
		p.room(min(h, 200))
		p.font("", bodySize, grey)
		for i, l := range name {
			p.f.Text(marginX, p.y+bodySize+float64(i)*bodySize*leading, l)
		}
		c := black
		if r.Cell.Tone != report.Plain {
			c = ink(r.Cell.Tone)
		}
		for _, l := range val {
			p.room(bodySize * leading)
			p.font("", bodySize, c)
			p.f.Text(marginX+bodyWidth*nameShare, p.y+bodySize, l)
			p.y += bodySize * leading
		}
		p.y += max(0, float64(len(name)-len(val))) * bodySize * leading
	}
	p.y += 5
}

func (p *pdf) chart(c *report.Chart) {
	h := chartHeight(c.Figure) * bodyWidth / chartWidth
	p.room(min(h+bodySize*leading+4, pageHeight-marginFoot-marginTop))
	p.paragraph(c.Title, "B", 9, black, marginX, bodyWidth)
	cv := &pdfCanvas{f: p.f, x: marginX, y: p.y, scale: bodyWidth / chartWidth}
	draw(cv, c.Figure, p.mark)
	p.y += h + 2
	if c.Caption != "" {
		p.paragraph(c.Caption, "", smallSize, grey, marginX, bodyWidth)
	}
	p.y += 6
}

// pdfCanvas is the canvas of charts, at its place on the page.
type pdfCanvas struct {
	f           *fpdf.Fpdf
	x, y, scale float64
}

func (c *pdfCanvas) at(p point) (float64, float64) { return c.x + p.x*c.scale, c.y + p.y*c.scale }

func (c *pdfCanvas) pen(width float64, col colour, dash bool) {
	c.f.SetDrawColor(int(col.r), int(col.g), int(col.b))
	c.f.SetLineWidth(width * c.scale)
	if dash {
		c.f.SetDashPattern([]float64{3 * c.scale, 2 * c.scale}, 0)
	} else {
		c.f.SetDashPattern(nil, 0)
	}
}

func (c *pdfCanvas) line(a, b point, width float64, col colour, dash bool) {
	c.pen(width, col, dash)
	ax, ay := c.at(a)
	bx, by := c.at(b)
	c.f.Line(ax, ay, bx, by)
	c.f.SetDashPattern(nil, 0)
}

func (c *pdfCanvas) polyline(ps []point, width float64, col colour) {
	if len(ps) == 0 {
		return
	}
	c.pen(width, col, false)
	x, y := c.at(ps[0])
	c.f.MoveTo(x, y)
	for _, p := range ps[1:] {
		x, y = c.at(p)
		c.f.LineTo(x, y)
	}
	c.f.DrawPath("D")
}

func (c *pdfCanvas) rect(x, y, w, h float64, fill colour) {
	c.f.SetFillColor(int(fill.r), int(fill.g), int(fill.b))
	px, py := c.at(point{x, y})
	c.f.Rect(px, py, w*c.scale, h*c.scale, "F")
}

func (c *pdfCanvas) text(at point, s string, size float64, a align, col colour) {
	s = drawable(s)
	c.f.SetFont("go", "", size*c.scale)
	c.f.SetTextColor(int(col.r), int(col.g), int(col.b))
	x, y := c.at(at)
	switch w := c.f.GetStringWidth(s); a {
	case middle:
		x -= w / 2
	case right:
		x -= w
	}
	c.f.Text(math.Max(x, 0), y, s)
}

func (c *pdfCanvas) width(s string, size float64) float64 { return textWidth(s, size) }

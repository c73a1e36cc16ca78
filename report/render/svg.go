package render

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// svg is a canvas that becomes an inline <svg>.
type svg struct{ b strings.Builder }

// num has two decimals at most: a hundredth of a point is less than any printer resolves.
func num(f float64) string {
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(f, 'f', 2, 64), "0"), ".")
}

func (c colour) hex() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

func (s *svg) line(a, b point, width float64, c colour, dash bool) {
	fmt.Fprintf(&s.b, `<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s" stroke-width="%s"`, num(a.x), num(a.y), num(b.x), num(b.y), c.hex(), num(width))
	if dash {
		s.b.WriteString(` stroke-dasharray="3 2"`)
	}
	s.b.WriteString("/>")
}

func (s *svg) polyline(ps []point, width float64, c colour) {
	s.b.WriteString(`<polyline fill="none" stroke-linejoin="round" stroke="` + c.hex() + `" stroke-width="` + num(width) + `" points="`)
	for i, p := range ps {
		if i > 0 {
			s.b.WriteByte(' ')
		}
		s.b.WriteString(num(p.x) + "," + num(p.y))
	}
	s.b.WriteString(`"/>`)
}

func (s *svg) rect(x, y, w, h float64, fill colour) {
	fmt.Fprintf(&s.b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`, num(x), num(y), num(w), num(h), fill.hex())
}

func (s *svg) text(at point, t string, size float64, a align, c colour) {
	anchor := [...]string{left: "start", middle: "middle", right: "end"}[a]
	fmt.Fprintf(&s.b, `<text x="%s" y="%s" font-size="%s" text-anchor="%s" fill="%s">%s</text>`, num(at.x), num(at.y), num(size), anchor, c.hex(), html.EscapeString(clean(t)))
}

// width is that of the font of the PDF: the browser's differs little.
func (s *svg) width(t string, size float64) float64 { return textWidth(t, size) }

// wrap gives the finished element.
func (s *svg) wrap(w, h float64, title string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" role="img" aria-label="%s">%s</svg>`,
		num(w), num(h), html.EscapeString(clean(title)), s.b.String())
}

package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable makes text from a BMC safe for a terminal: control characters (an escape sequence in a sensor's name could
// rewrite the screen) become visible, line breaks stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || (unicode.IsPrint(r) && r != utf8.RuneError) {
			return r
		}
		return '�'
	}, s)
}

// cellText is printable on one line.
func cellText(s string) string {
	return strings.Join(strings.Fields(printable(s)), " ")
}

// table prints columns that fit the width of the terminal; off a terminal nothing is cut.
type table struct {
	out    io.Writer
	width  int // 0: not a terminal, do not cut
	colour bool
	head   []string
	rows   [][]string
}

func (p *program) newTable(head ...string) *table {
	width, _, tty := terminal(p.stdout)
	t := &table{out: p.stdout, head: head, colour: tty && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"}
	if tty {
		t.width = width
	}
	return t
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = cellText(cells[i])
		if cells[i] == "" {
			cells[i] = "-"
		}
	}
	t.rows = append(t.rows, cells)
}

// flush prints the table. The last column takes what is left of the width; if the others alone are too wide, the
// widest of them are cut.
func (t *table) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, r := range t.rows {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	if t.width > 0 {
		shrink(widths, t.width-2*(len(widths)-1))
	}
	var b strings.Builder
	line := func(cells []string, head bool) {
		for i, c := range cells {
			text := cut(c, widths[i])
			if i < len(cells)-1 {
				text += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2)
			}
			if !head && t.colour {
				text = paint(c, text)
			}
			b.WriteString(text)
		}
		b.WriteByte('\n')
	}
	line(t.head, true)
	for _, r := range t.rows {
		line(r, false)
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

// shrink narrows the widest columns until the sum fits, no column under 4.
func shrink(widths []int, total int) {
	sum := 0
	for _, w := range widths {
		sum += w
	}
	for sum > total {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= 4 {
			return
		}
		widths[widest]--
		sum--
	}
}

func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// paint colours a cell that says how something is.
func paint(cell, text string) string {
	word, _, _ := strings.Cut(cell, " ")
	switch word {
	case "ok", "done", "cleared":
		return "\x1b[32m" + text + "\x1b[0m"
	case "warning", "late", "suspect":
		return "\x1b[33m" + text + "\x1b[0m"
	case "critical", "failed", "unreachable", "denied", "asserted":
		return "\x1b[31m" + text + "\x1b[0m"
	case "unknown", "missed":
		return "\x1b[2m" + text + "\x1b[0m"
	}
	return text
}

// number prints a value the short way: 6120, 23.5, 12.096.
func number(v float64) string {
	s := fmt.Sprintf("%.3f", v)
	s = strings.TrimRight(s, "0")
	return strings.TrimSuffix(s, ".")
}

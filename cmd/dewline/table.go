package main

import (
	"fmt"
	"io"
	"slices"
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

// liveTable is a table to be drawn again and again, nil where standard output cannot: no terminal, or one that knows no
// escape sequences.
func (p *program) liveTable() *table {
	if _, _, tty := terminal(p.stdout); !tty || p.getenv("TERM") == "dumb" {
		return nil
	}
	return p.newTable()
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

// flush prints the table. Where it is wider than the terminal its widest columns are cut, names last; where nothing would be left
// of them each row is printed over several lines.
func (t *table) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		widths[i] = cells(h)
	}
	for _, r := range t.rows {
		for i, c := range r {
			widths[i] = max(widths[i], cells(c))
		}
	}
	if t.width > 0 && !t.fit(widths, t.width-2*(len(widths)-1)) {
		return t.stack()
	}
	var b strings.Builder
	line := func(row []string, head bool) {
		for i, c := range row {
			text := cut(c, widths[i])
			if i < len(row)-1 {
				text += strings.Repeat(" ", widths[i]-cells(text)+2)
			}
			if !head && t.colour && slices.Contains(coloured, t.head[i]) {
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

// narrow is what a column is not cut below, and narrowName what one is not that says which thing the row is about.
const (
	narrow     = 6
	narrowName = 16
)

// naming are the heads of columns without which a row is about nobody knows what.
var naming = []string{"TARGET", "COMPONENT", "NAME", "ID"}

// fit narrows the widest columns until the sum fits: names last. It reports false if they would have to be cut to stumps.
func (t *table) fit(widths []int, total int) bool {
	named := func(i int) bool { return slices.Contains(naming, t.head[i]) }
	for _, names := range []bool{false, true} {
		for {
			sum, widest := 0, -1
			for i, w := range widths {
				sum += w
				least := narrow
				if named(i) {
					least = narrowName
				}
				if named(i) == names && w > least && (widest < 0 || w > widths[widest]) {
					widest = i
				}
			}
			if sum <= total {
				return true
			}
			if widest < 0 {
				break
			}
			widths[widest]--
		}
	}
	return false
}

// stack prints each row over several lines, for a terminal too narrow for the columns: the first cell, and below it the others,
// each behind its head. Nothing is cut; what is longer than a line the terminal breaks.
func (t *table) stack() error {
	widest := 0
	for _, h := range t.head[1:] {
		widest = max(widest, cells(h))
	}
	var b strings.Builder
	for _, r := range t.rows {
		for i, c := range r {
			text := c
			if t.colour && slices.Contains(coloured, t.head[i]) {
				text = paint(c, c)
			}
			if i == 0 {
				b.WriteString(text + "\n")
			} else if c != "-" {
				b.WriteString("  " + t.head[i] + strings.Repeat(" ", widest-cells(t.head[i])+2) + text + "\n")
			}
		}
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

// cells is how many columns of a terminal a text takes: Chinese, Japanese and Korean characters and emoji take two,
// combining marks none.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

func runeCells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), // halfwidth forms excepted
		r >= 0x3000 && r <= 0x303e, r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
		if r >= 0xff61 && r <= 0xffdc {
			return 1
		}
		return 2
	}
	return 1
}

// cut shortens a text to width cells.
func cut(s string, width int) string {
	if cells(s) <= width {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeCells(r); n > width-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// coloured are the heads of columns that hold words of ours: a server named ok must not be green for it.
var coloured = []string{"STATE", "SEVERITY", "BMC", "FANS", "LEAK"}

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
	s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}

// count is a number of things: 1 target, 2 targets.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if stem, ok := strings.CutSuffix(thing, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

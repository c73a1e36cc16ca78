package render

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"dewline/report"
)

//go:embed page.html.tmpl
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"clean":  clean,
	"svg":    inlineSVG,
	"tone":   toneClass,
	"kind":   blockKind,
	"shown":  shown,
	"more":   more,
	"time":   func(t time.Time) string { return t.Format(time.RFC3339) },
	"wide":   wide,
	"shares": shares,
	"long":   long,
	"moment": func(c report.Cell) bool { _, ok := c.Value.(time.Time); return ok && strings.Contains(c.Text, " ") },
	"words":  strings.Fields,
}).Parse(pageText))

// HTML writes one self-contained page: no script, nothing loaded from elsewhere, made to be printed as well.
func HTML(w io.Writer, d *report.Document) error {
	if err := page.Execute(w, d); err != nil {
		return fmt.Errorf("render HTML: %w", err)
	}
	return nil
}

func toneClass(t report.Tone) string {
	return [...]string{report.Plain: "plain", report.Good: "good", report.Notice: "notice", report.Bad: "bad", report.Faint: "faint"}[t]
}

func blockKind(b report.Block) string {
	switch b.(type) {
	case report.Heading:
		return "heading"
	case report.Paragraph:
		return "paragraph"
	case report.Banner:
		return "banner"
	case report.List:
		return "list"
	case report.Facts:
		return "facts"
	case report.Table:
		return "table"
	case report.Chart:
		return "chart"
	}
	return ""
}

// inlineSVG is markup of ours: every text in it was escaped where it was put in.
func inlineSVG(c report.Chart, mark string) template.HTML {
	var s svg
	draw(&s, c.Figure, mark)
	return template.HTML(s.wrap(chartWidth, chartHeight(c.Figure), c.Title))
}

// long is the class of a text with a word that would make its column too wide: it is broken wherever it must be, a shorter one on paper only.
func long(s string) string {
	most := 0
	for _, w := range splitWords(s) {
		most = max(most, len(w))
	}
	switch {
	case most > 26:
		return " long"
	case most > 14:
		return " wordy"
	}
	return ""
}

// wide tells a table of so many columns that on paper its words must give way.
func wide(t report.Table) bool { return len(t.Columns) > 9 }

// shares are the widths of a table's columns in percent.
func shares(cs []report.Column) []string {
	sum := 0.0
	for _, c := range cs {
		sum += width(c)
	}
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = num(100 * width(c) / sum)
	}
	return out
}

// width of a column against the others.
func width(c report.Column) float64 {
	if c.Width <= 0 {
		return 1
	}
	return c.Width
}

// shown are the rows of a table that are drawn.
func shown(t report.Table) [][]report.Cell {
	if t.Shown > 0 && len(t.Rows) > t.Shown {
		return t.Rows[:t.Shown]
	}
	return t.Rows
}

// more says how many rows are in the CSV alone; "" if none are.
func more(t report.Table) string {
	if n := len(t.Rows) - len(shown(t)); n > 0 && t.More != "" {
		return fmt.Sprintf(t.More, n, t.ID+".csv")
	}
	return ""
}

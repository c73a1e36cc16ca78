package render

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dewline/report"
)

// CSV writes a table for spreadsheets: a head, then every row, also those a page does not show. Texts that a spreadsheet
// would run as a formula get an apostrophe in front; numbers stay numbers.
func CSV(w io.Writer, t *report.Table) error {
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	head := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = c.Key
	}
	if err := out.Write(head); err != nil {
		return fmt.Errorf("write %s.csv: %w", t.ID, err)
	}
	for _, r := range t.Rows {
		row := make([]string, len(r))
		for i, c := range r {
			row[i] = csvValue(c)
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("write %s.csv: %w", t.ID, err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write %s.csv: %w", t.ID, err)
	}
	if bytes.ContainsFunc(b.Bytes(), func(r rune) bool { return r >= utf8.RuneSelf }) {
		if _, err := io.WriteString(w, mark); err != nil {
			return fmt.Errorf("write %s.csv: %w", t.ID, err)
		}
	}
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("write %s.csv: %w", t.ID, err)
	}
	return nil
}

// mark stands before what is not ASCII alone: without it spreadsheets read UTF-8 as the letters of their country.
const mark = "\ufeff"

func csvValue(c report.Cell) string {
	switch v := c.Value.(type) {
	case nil:
		return harmless(clean(c.Text))
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64) // no exponent: a spreadsheet would show it
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.Format(time.RFC3339)
	case string:
		return harmless(clean(v))
	default:
		return harmless(clean(fmt.Sprint(v)))
	}
}

func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}

// Tables of a document, in order.
func Tables(d *report.Document) []*report.Table {
	var ts []*report.Table
	for _, s := range d.Sections {
		for _, b := range s.Blocks {
			if t, ok := b.(report.Table); ok && t.ID != "" {
				ts = append(ts, &t)
			}
		}
	}
	return ts
}

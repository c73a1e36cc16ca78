package main

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"dewline/health"
	"dewline/store/sqlite"
)

// exportRow is the cells of a row in the order of its kind's columns: string, float64, int64, bool, time.Time, []string, or nil
// for nothing.
type exportRow []any

// exportColumns is the columns of each kind (docs/SCHEMA.md): only added to, at the end.
var exportColumns = map[string][]string{
	"readings": {"time", "target", "component", "class", "name", "quantity", "unit", "value", "derived", "state", "origin"},
	"visits": {"time", "target", "seq", "driver", "tiers", "result", "reason", "error", "took_seconds", "late_seconds", "host_power",
		"requests", "connections", "exchanges", "bytes", "components", "readings", "gaps", "unread", "skipped_ticks", "origin"},
	"events": {"time", "target", "component", "class", "kind", "severity", "state", "message", "rule", "evidence", "source", "source_time",
		"at_start", "event_id", "fault_id", "subject", "source_severity"},
	"log": {"time", "target", "source", "generation", "id", "created", "severity", "message", "message_id", "args", "component", "origin",
		"kind", "cleared", "raw"},
	"faults": {"opened", "target", "component", "class", "kind", "severity", "state", "message", "rule", "evidence", "changed", "cleared",
		"at_start", "id", "subject", "flapping", "times"},
	"actions": {"time", "action", "by", "why", "fault", "silence", "from", "until", "match", "n", "id"},
}

func eachReading(v *health.Visit, f func(exportRow) error) error {
	if v.Snapshot == nil {
		return nil
	}
	parts := make(map[health.ComponentID]*health.Component, len(v.Snapshot.Components))
	for i := range v.Snapshot.Components {
		parts[v.Snapshot.Components[i].ID] = &v.Snapshot.Components[i]
	}
	for _, r := range v.Snapshot.Readings {
		var class, name, state any
		if c := parts[r.Component]; c != nil {
			class, name = string(c.Class), c.Name
			if !c.StateNotRead {
				state = c.State.String()
			}
		}
		if err := f(exportRow{v.At(), string(v.Target), string(r.Component), class, name, string(r.Quantity), string(r.Unit), r.Value, r.Derived,
			state, string(v.Origin)}); err != nil {
			return err
		}
	}
	return nil
}

func visitRow(v *health.Visit) exportRow {
	var tiers []string
	for _, t := range v.Tiers().List() {
		tiers = append(tiers, t.String())
	}
	var gaps []string
	var power any
	components, readings := int64(0), int64(0)
	if s := v.Snapshot; s != nil {
		components, readings = int64(len(s.Components)), int64(len(s.Readings))
		power = s.HostPower.String()
		for _, g := range s.Gaps {
			gaps = append(gaps, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", g.Part, g.Reason, g.Error), ": "))
		}
	}
	var unread, skipped []string
	for _, u := range v.Unread {
		unread = append(unread, string(u.ID))
	}
	for _, s := range v.Skipped {
		skipped = append(skipped, fmt.Sprintf("%s: %d from %s to %s: %s", s.Tier, s.Count, s.First.Format(time.RFC3339), s.Last.Format(time.RFC3339), s.Reason))
	}
	return exportRow{v.At(), string(v.Target), v.Seq, v.Driver, tiers, string(v.Result), string(v.Reason), v.Error, v.Took.Seconds(),
		v.Lateness().Seconds(), power, int64(v.Cost.Requests), int64(v.Cost.Connections), int64(v.Cost.Exchanges), v.Cost.Bytes, components, readings,
		gaps, unread, skipped, string(v.Origin)}
}

func eventRow(e *health.Event) exportRow {
	return exportRow{e.At, string(e.Target), string(e.Component), string(e.Class), string(e.Kind), e.Severity.String(), string(e.Transition),
		e.Message, e.Rule, e.Evidence, e.Source, e.SourceTime, e.AtStart, e.ID, e.FaultID, e.Subject, e.SourceSeverity.String()}
}

func logRow(e *sqlite.LogEntry) exportRow {
	return exportRow{e.Observed, string(e.Target), e.Source, e.Generation, e.ID, e.Created, e.Severity.String(), e.Message, e.MessageID, e.Args,
		string(e.Component), e.Origin, string(e.Kind), e.Cleared, base64.StdEncoding.EncodeToString(e.Raw)}
}

func faultRow(f *health.Fault) exportRow {
	return exportRow{f.Opened, string(f.Target), string(f.Component), string(f.Class), string(f.Kind), f.Severity.String(), string(f.State),
		f.Message, f.Rule, f.Evidence, f.Changed, f.Cleared, f.AtStart, f.ID, f.Subject, f.Flap.Flapping, int64(f.Flap.Count)}
}

// rowWriter writes rows in a format.
type rowWriter struct {
	columns []string
	csv     *csv.Writer // nil: JSON Lines
	w       io.Writer
	buf     bytes.Buffer
	json    *json.Encoder
	cells   []string
}

// newRowWriter begins; CSV has its head even without a row.
func newRowWriter(w io.Writer, format string, columns []string) *rowWriter {
	r := &rowWriter{columns: columns, w: w}
	if format == "csv" {
		r.csv = csv.NewWriter(w)
		_ = r.csv.Write(columns) // the error stays in it: flush tells it
		return r
	}
	r.json = json.NewEncoder(&r.buf)
	r.json.SetEscapeHTML(false)
	return r
}

func (r *rowWriter) write(row exportRow) error {
	if r.csv != nil {
		r.cells = r.cells[:0]
		for _, c := range row {
			r.cells = append(r.cells, csvCell(c))
		}
		return r.csv.Write(r.cells)
	}
	r.buf.Reset()
	sep := byte('{')
	for i, c := range row {
		if isEmpty(c) {
			continue
		}
		if t, ok := c.(time.Time); ok {
			c = t.Format(time.RFC3339Nano)
		}
		r.buf.WriteByte(sep)
		sep = ','
		r.buf.WriteString(strconv.Quote(r.columns[i])) // plain words
		r.buf.WriteByte(':')
		if err := r.json.Encode(c); err != nil {
			return fmt.Errorf("export %s: %w", r.columns[i], err)
		}
		r.buf.Truncate(r.buf.Len() - 1) // the encoder ends lines
	}
	r.buf.WriteString("}\n")
	_, err := r.w.Write(r.buf.Bytes())
	return err
}

// isEmpty tells what JSON leaves out: no text, no time, an empty list. Numbers and false stay.
func isEmpty(c any) bool {
	switch c := c.(type) {
	case nil:
		return true
	case string:
		return c == ""
	case []string:
		return len(c) == 0
	case time.Time:
		return c.IsZero()
	}
	return false
}

// csvCell is a cell as CSV has it: lists with "; " between. Texts that a spreadsheet would run as a formula get an apostrophe:
// BMCs and their logs are not to be trusted with that. Numbers are ours, and stay numbers.
func csvCell(c any) string {
	if isEmpty(c) {
		return ""
	}
	switch c := c.(type) {
	case float64:
		return strconv.FormatFloat(c, 'g', -1, 64)
	case int64:
		return strconv.FormatInt(c, 10)
	case bool:
		return strconv.FormatBool(c)
	case time.Time:
		return c.Format(time.RFC3339Nano)
	case []string:
		return harmless(strings.Join(c, "; "))
	case string:
		return harmless(c)
	}
	return harmless(fmt.Sprint(c))
}

func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (r *rowWriter) flush() error {
	if r.csv == nil {
		return nil
	}
	r.csv.Flush()
	return r.csv.Error()
}

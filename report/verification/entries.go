package verification

import (
	"slices"
	"strings"
	"time"

	"dewline/health"
	"dewline/report"
)

func joined(list []string) string { return strings.Join(list, "; ") }

// entries are what operators entered since the evidence, or is still in force then.
func (q *Request) entries(evidence time.Time, servers []Server) []Entry {
	out := []Entry{}
	faults := map[string]*health.Fault{}
	for i := range servers {
		for k := range servers[i].acted {
			f := &servers[i].acted[k]
			faults[f.ID] = f
		}
	}
	acks := health.Acks(q.Actions, evidence)
	for i := range q.Actions {
		a := &q.Actions[i]
		if a.At.After(q.GeneratedAt) {
			continue
		}
		if a.At.Before(evidence) {
			ack, inForce := acks[a.Fault]
			inForce = inForce && a.Kind == health.ActionAck && ack.At.Equal(a.At) && faults[a.Fault] != nil
			if silence := a.Kind == health.ActionSilence && a.Until.After(evidence); !inForce && !silence {
				continue
			}
		}
		e := Entry{At: a.At, Action: a.Kind, By: a.By, Why: a.Why, Fault: a.Fault, From: a.From, Until: a.Until}
		if f := faults[a.Fault]; f != nil {
			e.Target, e.What = f.Target, f.Message
		}
		if a.Match != nil {
			e.What = chosen(a.Match)
		}
		out = append(out, e)
	}
	return out
}

// actedOn is the faults that operators did something about.
func (h *history) actedOn(q *Request) (out []health.Fault) {
	for _, f := range h.faults {
		if slices.ContainsFunc(q.Actions, func(a health.Action) bool { return a.Fault == f.ID }) {
			out = append(out, f)
		}
	}
	return out
}

// chosen says what a silence chooses, shortly.
func chosen(m *health.Matcher) string {
	var parts []string
	for _, t := range m.Targets {
		parts = append(parts, string(t))
	}
	parts = append(append(parts, m.Racks...), m.Sites...)
	for _, c := range m.Classes {
		parts = append(parts, string(c))
	}
	for _, k := range m.Kinds {
		parts = append(parts, string(k))
	}
	for name, v := range m.Labels {
		parts = append(parts, name+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// operators is the table of what operators entered.
func (w writer) operators() []report.Block {
	if len(w.r.Entries) == 0 {
		return []report.Block{report.Paragraph{Text: w.Say("operators.none"), Tone: report.Faint}}
	}
	table := report.Table{ID: "operators-log", Title: w.Say("table.operators"), Note: w.Say("operators.note"), Columns: []report.Column{
		{Key: "at", Title: w.Say("col.at"), Width: 1.5}, {Key: "action", Title: w.Say("col.what"), Width: 1.2}, {Key: "by", Title: w.Say("col.by")}, {Key: "server", Title: w.Say("col.server")},
		{Key: "concerns", Title: w.Say("col.concerns"), Width: 2.5}, {Key: "why", Title: w.Say("col.why"), Width: 2.5}, {Key: "until", Title: w.Say("col.until"), Width: 1.5}, {Key: "fault", Title: w.Say("col.fault")},
	}}
	for _, e := range w.r.Entries {
		fault := report.Text(e.Fault)
		if len(e.Fault) > 8 {
			fault = report.Cell{Text: e.Fault[:8], Value: e.Fault}
		}
		table.Rows = append(table.Rows, []report.Cell{
			report.TimeCell(e.At), {Text: w.Say("action." + string(e.Action)), Value: string(e.Action)}, report.Text(e.By), report.Text(string(e.Target)), report.Text(e.What), report.Text(e.Why), report.TimeCell(e.Until), fault,
		})
	}
	return []report.Block{table}
}

package verification

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dewline/health"
	"dewline/report"
)

func (w writer) drives() report.Section {
	table := report.Table{ID: "drives", Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "component", Title: w.Say("col.component"), Width: 2}, {Key: "serial", Title: w.Say("col.serial"), Width: 1.4},
		{Key: "life_left_before_percent", Title: w.Say("col.life_before"), Right: true}, {Key: "life_left_percent", Title: w.Say("col.life_now"), Right: true},
		{Key: "spare_left_before_percent", Title: w.Say("col.spare_before"), Right: true}, {Key: "spare_left_percent", Title: w.Say("col.spare_now"), Right: true},
		{Key: "media_errors_before", Title: w.Say("col.errors_before"), Right: true}, {Key: "media_errors", Title: w.Say("col.errors_now"), Right: true}, {Key: "predicted_failure", Title: w.Say("col.predicted")},
	}}
	value := func(v *float64, unit string) report.Cell {
		if v == nil {
			return report.Cell{Text: w.Say("not.told"), Value: "", Tone: report.Faint}
		}
		return report.Cell{Text: report.Digits(*v) + unit, Value: *v}
	}
	for _, s := range w.r.Servers {
		for _, d := range s.Drives {
			predicted := report.Cell{Text: w.Say("no"), Value: false}
			if d.Predicted {
				predicted = report.Cell{Text: w.Say("yes"), Value: true, Tone: report.Bad}
			}
			table.Rows = append(table.Rows, []report.Cell{
				report.Text(string(s.Target)), {Text: cmp.Or(d.Name, string(d.Component)), Value: string(d.Component)}, report.Text(d.Serial), value(d.Life[0], " %"), value(d.Life[1], " %"), value(d.Spare[0], " %"), value(d.Spare[1], " %"), value(d.MediaErrors[0], ""), value(d.MediaErrors[1], ""), predicted,
			})
		}
	}
	if len(table.Rows) == 0 {
		return w.section("drives", false, report.Paragraph{Text: w.Say("drives.none"), Tone: report.Faint})
	}
	return w.section("drives", false, table)
}

func (w writer) moisture() report.Section {
	var blocks []report.Block
	strip := &report.Strip{Legend: []report.Key{{Name: w.Say("strip.no_liquid"), Tone: report.Good}, {Name: w.Say("strip.liquid"), Tone: report.Bad}, {Name: w.Say("strip.not_read"), Tone: report.Faint}}, Marks: w.marks()}
	table := report.Table{ID: "leak-detectors", Title: w.Say("table.detectors"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "detector", Title: w.Say("col.detector"), Width: 1.6}, {Key: "location", Title: w.Say("col.location"), Width: 1.2}, {Key: "reported", Title: w.Say("col.reported"), Width: 4}, {Key: "working", Title: w.Say("col.working")},
	}}
	lines := []struct {
		id   string
		unit string
		get  func(charts) []pointsOf
		out  *report.Lines
	}{
		{"margin", "K", func(c charts) []pointsOf { return c.margin }, &report.Lines{Unit: "K", Limits: []report.Limit{{Value: 2, Name: w.Say("limit.margin_critical"), Tone: report.Bad}, {Value: 5, Name: w.Say("limit.margin_warning"), Tone: report.Notice}}}},
		{"humidity", "%", func(c charts) []pointsOf { return c.humidity }, &report.Lines{Unit: "%"}},
		{"inlet", "°C", func(c charts) []pointsOf { return c.inlet }, &report.Lines{Unit: "°C"}},
	}
	ranges := report.Table{ID: "moisture", Title: w.Say("table.moisture"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "sensor", Title: w.Say("col.sensor"), Width: 2}, {Key: "quantity", Title: w.Say("col.quantity"), Width: 1.4}, {Key: "unit", Title: w.Say("col.unit"), Width: 0.6}, {Key: "hours", Title: w.Say("col.hours"), Right: true},
		{Key: "min", Title: w.Say("col.min"), Right: true}, {Key: "max", Title: w.Say("col.max"), Right: true}, {Key: "last", Title: w.Say("col.last"), Right: true}, {Key: "last_at", Title: w.Say("col.last_at"), Width: 1.6},
	}, Note: w.Say("moisture.note")}
	for _, s := range w.r.Servers {
		for _, d := range s.Detectors {
			row := report.StripRow{Name: string(s.Target) + " " + cmp.Or(d.Name, string(d.Component))}
			for _, x := range []struct {
				spans []Span
				tone  report.Tone
			}{{d.Dry, report.Good}, {d.Lost, report.Faint}, {d.Wet, report.Bad}} {
				for _, sp := range x.spans {
					row.Spans = append(row.Spans, report.Span{From: sp.From, To: sp.To, Tone: x.tone})
				}
			}
			strip.Rows = append(strip.Rows, row)
			working := report.Cell{Text: w.Say("yes"), Value: true, Tone: report.Good}
			if !d.Working {
				working = report.Cell{Text: w.Say("no"), Value: false, Tone: report.Notice}
			}
			table.Rows = append(table.Rows, []report.Cell{
				report.Text(string(s.Target)), {Text: cmp.Or(d.Name, string(d.Component)), Value: string(d.Component)}, report.Text(d.Location), report.Text(w.reported(d)), working,
			})
		}
		for _, m := range s.Moisture {
			name := cmp.Or(m.Name, string(m.Component))
			if m.Derived {
				name = w.Say("computed", name)
			}
			ranges.Rows = append(ranges.Rows, []report.Cell{
				report.Text(string(s.Target)), {Text: name, Value: string(m.Component)}, report.Text(w.quantity(m.Quantity)), report.Text(string(m.Unit)), report.Count(m.Hours), report.Number(m.Min), report.Number(m.Max), report.Number(m.Last), report.TimeCell(m.LastAt),
			})
		}
		for i := range lines {
			ps := lines[i].get(s.Charts)
			if len(ps) == 0 || len(lines[i].out.Series) >= 8 {
				continue
			}
			// One line for each server: the one that came closest, or the first.
			p := ps[0]
			if lines[i].id == "margin" {
				for _, o := range ps[1:] {
					if lowest(o) < lowest(p) {
						p = o
					}
				}
			}
			line := report.Series{Name: string(s.Target) + " " + p.name, Gap: 90 * time.Minute}
			for _, v := range p.points {
				line.Points = append(line.Points, report.Point{At: v.at, Value: v.v})
			}
			lines[i].out.Series = append(lines[i].out.Series, line)
		}
	}
	if len(strip.Rows) > 0 {
		w.frame(&strip.From, &strip.To)
		strip.From = w.r.Incident.FirstEvidence.Add(-beforeEvidence)
		blocks = append(blocks, report.Chart{ID: "leaks", Title: w.Say("chart.leaks"), Figure: strip, Caption: w.Say("chart.leaks.caption")}, table)
	} else {
		blocks = append(blocks, report.Paragraph{Text: w.Say("moisture.no_detector"), Tone: report.Notice})
	}
	for _, l := range lines {
		if len(l.out.Series) == 0 {
			continue
		}
		w.frame(&l.out.From, &l.out.To)
		l.out.Marks = w.marks()
		blocks = append(blocks, report.Chart{ID: l.id, Title: w.Say("chart." + l.id), Figure: l.out, Caption: w.Say("chart.medians")})
	}
	if len(ranges.Rows) > 0 {
		blocks = append(blocks, ranges)
	}
	return w.section("moisture", true, blocks...)
}

func lowest(p pointsOf) float64 {
	low := p.points[0].v
	for _, v := range p.points {
		low = min(low, v.v)
	}
	return low
}

// reported says what a detector may be said to have reported, and no more.
func (w writer) reported(d Detector) string {
	var parts []string
	say := func(key string, spans []Span) {
		for i, s := range spans {
			if i == 3 {
				parts = append(parts, w.Say("and.more", len(spans)-3))
				return
			}
			parts = append(parts, w.Say(key, report.Stamp(s.From), report.Stamp(s.To)))
		}
	}
	say("detector.liquid", d.Wet)
	say("detector.no_liquid", d.Dry)
	say("detector.not_read", d.Lost)
	return strings.Join(parts, "; ")
}

func (w writer) soak() report.Section {
	bars := &report.Bars{Unit: "h"}
	table := report.Table{ID: "soak", Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "counted_hours", Title: w.Say("col.counted"), Right: true}, {Key: "planned_hours", Title: w.Say("col.planned"), Right: true}, {Key: "host_off_hours", Title: w.Say("col.off"), Right: true},
		{Key: "low_power_hours", Title: w.Say("col.idle"), Right: true}, {Key: "power_unknown_hours", Title: w.Say("col.unknown_power"), Right: true}, {Key: "baseline_watts", Title: w.Say("col.baseline_power"), Right: true}, {Key: "restarted", Title: w.Say("col.restarted"), Width: 1.6},
	}, Note: w.Say("soak.note")}
	for _, s := range w.r.Servers {
		x := s.Windows
		tone := report.Notice
		if x.SoakCounted >= x.SoakPlanned {
			tone = report.Good
		}
		bars.Rows = append(bars.Rows, report.Bar{Name: string(s.Target), Value: x.SoakCounted, Limit: x.SoakPlanned, Missing: x.SoakFrom.IsZero(), Tone: tone})
		power := report.Cell{Text: w.Say("not.told"), Value: "", Tone: report.Faint}
		if x.PowerMedian != nil {
			power = report.Cell{Text: report.Digits(*x.PowerMedian) + " W", Value: *x.PowerMedian}
		}
		hours := func(v float64) report.Cell { return report.Cell{Text: fmt.Sprintf("%.0f", v), Value: v} }
		table.Rows = append(table.Rows, []report.Cell{report.Text(string(s.Target)), hours(x.SoakCounted), hours(x.SoakPlanned), hours(x.SoakOff), hours(x.SoakIdle), hours(x.SoakUnknown), power, report.TimeCell(x.Restarted)})
	}
	return w.section("soak", false, report.Chart{ID: "soak", Title: w.Say("chart.soak"), Figure: bars}, table)
}

func (w writer) attestations() report.Section {
	table := report.Table{ID: "attestations", Columns: []report.Column{
		{Key: "what", Title: w.Say("col.what")}, {Key: "by", Title: w.Say("col.by"), Width: 1.5}, {Key: "at", Title: w.Say("col.at"), Width: 1.5}, {Key: "servers", Title: w.Say("col.servers"), Width: 1.2}, {Key: "text", Title: w.Say("col.text"), Width: 3}, {Key: "event", Title: w.Say("col.event")},
	}}
	for _, a := range w.r.Attestations {
		var names []string
		for _, t := range a.Targets {
			names = append(names, string(t))
		}
		servers := strings.Join(names, ", ")
		if servers == "" {
			servers = w.Say("all.servers")
		}
		table.Rows = append(table.Rows, []report.Cell{{Text: w.Say("attest." + a.What), Value: a.What}, report.Text(a.By), report.TimeCell(a.At), report.Text(servers), report.Text(a.Text), report.Text(a.Event)})
	}
	var missing []string
	for _, what := range []string{"drying", "inspection", "cleaning", "power_on"} {
		found := false
		for _, a := range w.r.Attestations {
			found = found || a.What == what
		}
		if !found {
			missing = append(missing, w.Say("attest."+what))
		}
	}
	blocks := []report.Block{report.Paragraph{Text: w.Say("attestations.intro")}}
	if len(table.Rows) > 0 {
		blocks = append(blocks, table)
	}
	if len(missing) > 0 {
		blocks = append(blocks, report.Paragraph{Text: w.Say("attestations.missing", strings.Join(missing, ", ")), Tone: report.Notice})
	}
	return w.section("attestations", false, blocks...)
}

func (w writer) method() report.Section {
	gates := report.Table{ID: "gates", Title: w.Say("table.gates"), Columns: []report.Column{{Key: "gate", Title: w.Say("col.gate"), Width: 1.2}, {Key: "at_most", Title: w.Say("col.at_most"), Width: 1.4}, {Key: "rule", Title: w.Say("col.rule"), Width: 4}}}
	for _, g := range w.r.Gates {
		gates.Rows = append(gates.Rows, []report.Cell{report.Text(g.ID), {Text: w.Say("verdict." + g.Limit.String()), Value: g.Limit.String()}, report.Text(w.Say("gate." + g.ID))})
	}
	ms := report.Table{ID: "margins", Title: w.Say("table.margins"), Columns: []report.Column{{Key: "quantity", Title: w.Say("col.quantity")}, {Key: "absolute", Title: w.Say("col.absolute"), Right: true}, {Key: "relative", Title: w.Say("col.relative"), Right: true}}}
	for _, q := range []health.Quantity{health.Temperature, health.Speed, health.Duty, health.Voltage, health.InputVoltage, health.OutputVoltage, health.Current} {
		m := margins[q]
		abs, rel := report.Cell{Text: "–", Value: ""}, report.Cell{Text: "–", Value: ""}
		if m.absolute > 0 {
			abs = report.Number(m.absolute)
		}
		if m.relative > 0 {
			rel = report.Cell{Text: report.Digits(100*m.relative) + " %", Value: m.relative}
		}
		ms.Rows = append(ms.Rows, []report.Cell{report.Text(w.quantity(q)), abs, rel})
	}
	r := w.r
	facts := []report.Fact{{Name: w.Say("fact.program"), Cell: report.Text(r.Program)}, {Name: w.Say("fact.generated"), Cell: report.TimeCell(r.GeneratedAt)}}
	if r.MadeBy != "" {
		facts = append(facts, report.Fact{Name: w.Say("fact.made_by"), Cell: report.Text(r.MadeBy)})
	}
	if r.ConfigSum != "" {
		facts = append(facts, report.Fact{Name: w.Say("fact.config"), Cell: report.Text(r.ConfigSum)})
	}
	if r.Chain.Head != "" {
		facts = append(facts, report.Fact{Name: w.Say("fact.chain"), Cell: report.Text(fmt.Sprintf("%s (%d)", r.Chain.Head, r.Chain.Length))})
	}
	controls := w.Say("controls.none")
	if len(r.Controls) > 0 {
		controls = w.Say("controls.some", strings.Join(r.Controls, ", "))
	}
	sources := w.Say("method.sources")
	switch {
	case r.Elsewhere != "":
		sources += " " + w.Say("method.elsewhere", r.Elsewhere)
	case r.Unasked != "":
		sources += " " + w.Say("method.unasked", r.Unasked)
	}
	return w.section("method", true, report.List{Items: []string{w.Say("method.hours"), sources, w.Say("method.windows"), w.Say("method.coverage"), w.Say("method.frozen"), w.Say("method.deviation"), w.Say("method.words"), w.Say("method.kept", report.Stamp(w.keptSince())), controls}}, gates, ms,
		report.Heading{Text: w.Say("heading.made")}, report.Facts{Rows: facts}, report.Paragraph{Text: w.Say("method.evidence")})
}

// keptSince is since when data is kept while the verification is open.
func (w writer) keptSince() time.Time {
	var since time.Time
	for _, s := range w.r.Servers {
		if since.IsZero() || s.Windows.BaselineFrom.Before(since) {
			since = s.Windows.BaselineFrom
		}
	}
	return since
}

func (w writer) deviations() report.Section {
	table := report.Table{ID: "deviations", Shown: 80, More: w.Say("more.rows"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "component", Title: w.Say("col.component"), Width: 1.8}, {Key: "quantity", Title: w.Say("col.quantity")}, {Key: "unit", Title: w.Say("col.unit"), Width: 0.6},
		{Key: "hours_before", Title: w.Say("col.n_before"), Right: true, Width: 0.7}, {Key: "hours_after", Title: w.Say("col.n_after"), Right: true, Width: 0.7},
		{Key: "median_before", Title: w.Say("col.before"), Right: true}, {Key: "median_after", Title: w.Say("col.after"), Right: true},
		{Key: "difference", Title: w.Say("col.difference"), Right: true}, {Key: "interval", Title: w.Say("col.interval"), Right: true, Width: 1.4}, {Key: "margin", Title: w.Say("col.margin"), Right: true},
		{Key: "adjusted_for", Title: w.Say("col.adjusted"), Width: 1.1}, {Key: "controls", Title: w.Say("col.controls"), Right: true}, {Key: "result", Title: w.Say("col.result"), Width: 1.2},
	}, Note: w.Say("deviations.note")}
	for _, s := range w.r.Servers {
		for _, d := range s.Deviations {
			tone := map[string]report.Tone{"unchanged": report.Good, "changed": report.Notice, "not_shown": report.Faint}[d.Result]
			control := report.Cell{Text: "–", Value: "", Tone: report.Faint}
			if d.Control != nil {
				control = report.Number(*d.Control)
			}
			interval := report.Cell{Text: "–", Value: "", Tone: report.Faint}
			diff := interval
			if d.NBefore >= minHoursCompared && d.NAfter >= minHoursCompared {
				interval = report.Cell{Text: report.Digits(d.Low) + " … " + report.Digits(d.High), Value: report.Digits(d.Low) + " … " + report.Digits(d.High)}
				diff = report.Number(d.Difference)
			}
			var adjusted []string
			for _, a := range d.Adjusted {
				adjusted = append(adjusted, w.Say("adjusted."+a))
			}
			table.Rows = append(table.Rows, []report.Cell{
				report.Text(string(s.Target)), {Text: cmp.Or(d.Name, string(d.Component)), Value: string(d.Component)}, report.Text(w.quantity(d.Quantity)), report.Text(string(d.Unit)), report.Count(d.NBefore), report.Count(d.NAfter),
				report.Number(d.Before), report.Number(d.After), diff, interval, report.Number(d.Margin), report.Text(strings.Join(adjusted, ", ")), control, {Text: w.Say("result." + d.Result), Value: d.Result, Tone: tone},
			})
		}
	}
	st := w.r.Statistics
	blocks := []report.Block{report.Paragraph{Text: w.Say("deviations.count", st.Compared, st.Unchanged, st.Changed, st.NotShown)}}
	if len(table.Rows) > 0 {
		slices.SortStableFunc(table.Rows, func(a, b []report.Cell) int {
			return cmp.Compare(rankOf(a[len(a)-1].Value.(string)), rankOf(b[len(b)-1].Value.(string)))
		})
		blocks = append(blocks, table)
	}
	return w.section("deviations", true, blocks...)
}

package verification

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dewline/health"
	"dewline/report"
)

// Document writes the report down in a language.
func (out *Report) Document(t *report.Texts) *report.Document {
	w := writer{t, out}
	d := &report.Document{
		Lang: t.Lang, Title: cmp.Or(out.Title, t.Say("verification.title")), Subtitle: out.Reference, GeneratedAt: out.GeneratedAt,
		Footer: t.Say("verification.footer", out.Program, report.Stamp(out.Incident.Reported)), PageOf: t.Say("page.of"),
	}
	if out.Simulated {
		d.Mark = t.Say("simulated")
	}
	d.Sections = []report.Section{w.verdict(), w.incident(), w.identity(), w.coverage(), w.components(), w.events(), w.deviations(), w.redundancy(), w.drives(), w.moisture(), w.soak(), w.attestations(), w.method()}
	return d
}

type writer struct {
	*report.Texts
	r *Report
}

func (w writer) section(id string, newPage bool, blocks ...report.Block) report.Section {
	return report.Section{ID: id, Title: w.Say("section." + id), NewPage: newPage, Blocks: blocks}
}

func toneOf(v Verdict) report.Tone {
	switch v {
	case Verified:
		return report.Good
	case FaultFound:
		return report.Bad
	}
	return report.Notice
}

func (w writer) verdictText(v Verdict, s Stage) string {
	text := w.Say("verdict." + v.String())
	if s != "" {
		text += " (" + w.Say("stage."+string(s)) + ")"
	}
	return text
}

func (w writer) verdict() report.Section {
	r := w.r
	text := w.Say("verdict." + r.Verdict.String() + ".means")
	switch {
	case r.SoakLeft > 0 && r.Verdict != FaultFound:
		text += " " + w.Say("verdict.soak_left", r.SoakLeft)
	case !r.WatchUntil.IsZero() && r.Stage == Initial:
		text += " " + w.Say("verdict.watch", r.WatchUntil.Format("2006-01-02"))
	case !r.WatchUntil.IsZero() && r.Stage == Final:
		text += " " + w.Say("verdict.watch_on", r.WatchUntil.Format("2006-01-02"))
	}
	table := report.Table{ID: "verdicts", Title: w.Say("table.verdicts"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server"), Width: 1}, {Key: "rack", Title: w.Say("col.rack"), Width: 0.7}, {Key: "verdict", Title: w.Say("col.verdict"), Width: 1.3},
		{Key: "soak_hours", Title: w.Say("col.soak"), Right: true, Width: 0.8}, {Key: "coverage", Title: w.Say("col.coverage"), Right: true, Width: 0.8},
		{Key: "reasons", Title: w.Say("col.reasons"), Width: 4},
	}}
	for _, s := range r.Servers {
		cov := report.Cell{Text: w.Say("no.data"), Value: "", Tone: report.Faint}
		for _, c := range s.Coverage {
			if c.Window == "soak" && c.Due > 0 {
				cov = report.Cell{Text: report.Percent(c.Share) + " %", Value: c.Share}
			}
		}
		table.Rows = append(table.Rows, []report.Cell{
			report.Text(string(s.Target)), report.Text(place(s)), {Text: w.verdictText(s.Verdict, s.Stage), Value: s.Verdict.String(), Tone: toneOf(s.Verdict)},
			{Text: fmt.Sprintf("%.0f / %.0f", s.Windows.SoakCounted, s.Windows.SoakPlanned), Value: s.Windows.SoakCounted}, cov, report.Cell{Text: w.reasonsShort(s.Reasons), Value: w.reasonsText(s.Reasons, len(s.Reasons))},
		})
	}
	limits := make([]string, 0, len(r.Limits))
	for _, l := range r.Limits {
		limits = append(limits, w.Say("limit."+l))
	}
	stats := w.Say("statistics.none")
	if r.Statistics.UpperBound > 0 {
		stats = w.Say("statistics.bound", r.Statistics.Servers, r.Statistics.ServerYears, r.Statistics.UpperBound)
	}
	blocks := []report.Block{report.Banner{Label: w.verdictText(r.Verdict, r.Stage), Text: text, Tone: toneOf(r.Verdict)}}
	if r.Redacted {
		blocks = append(blocks, report.Paragraph{Text: w.Say("redacted.note"), Tone: report.Notice})
	}
	bounds := []report.Block{report.Heading{Text: w.Say("heading.limits")}, report.List{Items: limits}, report.Paragraph{Text: stats}}
	if len(r.Servers) > firstPage { // the limits stand on the first page, however many servers there are
		blocks = append(append(blocks, bounds...), table)
	} else {
		blocks = append(append(blocks, table), bounds...)
	}
	return w.section("verdict", false, append(blocks, w.reasons())...)
}

const (
	// firstPage is how many servers have room on the first page beside the limits.
	firstPage = 8
	// shortReasons and shortReason bound what is said there of each: how many reasons, of how many letters.
	shortReasons, shortReason = 2, 84
)

// reasonsShort are the gravest reasons, cut to what there is room for; the table of reasons has all of them.
func (w writer) reasonsShort(rs []Reason) string {
	if len(rs) == 0 {
		return w.Say("reason.none")
	}
	var parts []string
	for _, r := range rs[:min(len(rs), shortReasons)] {
		text := []rune(w.Say(r.Key, r.Args...))
		if len(text) > shortReason {
			text = append(text[:shortReason-1], '…')
		}
		parts = append(parts, string(text))
	}
	if n := len(rs) - len(parts); n > 0 {
		parts = append(parts, w.Say("and.more", n))
	}
	return strings.Join(parts, "; ")
}

// reasons are all of them, one by one.
func (w writer) reasons() report.Block {
	table := report.Table{ID: "reasons", Title: w.Say("table.reasons"), Shown: 100, More: w.Say("more.rows"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "at_most", Title: w.Say("col.at_most"), Width: 1.2}, {Key: "gate", Title: w.Say("col.gate")}, {Key: "window", Title: w.Say("col.window"), Width: 0.7},
		{Key: "reason", Title: w.Say("col.reason"), Width: 5},
	}}
	for _, s := range w.r.Servers {
		for _, r := range s.Reasons {
			window := report.Cell{}
			if r.Window != "" {
				window = report.Cell{Text: w.Say("window." + r.Window), Value: r.Window}
			}
			table.Rows = append(table.Rows, []report.Cell{
				report.Text(string(s.Target)), {Text: w.Say("verdict." + r.Limit.String()), Value: r.Limit.String(), Tone: toneOf(r.Limit)}, report.Text(r.Gate), window, report.Text(w.Say(r.Key, r.Args...)),
			})
		}
	}
	if len(table.Rows) == 0 {
		return report.Paragraph{Text: w.Say("reason.none")}
	}
	return table
}

func place(s Server) string {
	p := s.Rack
	if s.Position > 0 {
		p += " U" + strconv.Itoa(s.Position)
	}
	return strings.TrimSpace(p)
}

// reasonsText are the reasons in this language, at most n of them.
func (w writer) reasonsText(rs []Reason, n int) string {
	var parts []string
	for i, r := range rs {
		if i == n && len(rs) > n {
			parts = append(parts, w.Say("and.more", len(rs)-n))
			break
		}
		parts = append(parts, w.Say(r.Key, r.Args...))
	}
	if len(parts) == 0 {
		return w.Say("reason.none")
	}
	return strings.Join(parts, "; ")
}

func (w writer) incident() report.Section {
	i := w.r.Incident
	rows := []report.Fact{
		{Name: w.Say("fact.reported"), Cell: report.TimeCell(i.Reported)},
		{Name: w.Say("fact.first_evidence"), Cell: report.TimeCell(i.FirstEvidence)},
	}
	if i.Evidence != "" {
		rows = append(rows, report.Fact{Name: w.Say("fact.evidence"), Cell: report.Text(i.Evidence)})
	}
	if i.ID != "" {
		rows = append(rows, report.Fact{Name: w.Say("fact.incident_id"), Cell: report.Text(i.ID)})
	}
	if !i.PowerRestored.IsZero() {
		rows = append(rows, report.Fact{Name: w.Say("fact.power_restored"), Cell: report.TimeCell(i.PowerRestored)})
	}
	source := w.r.Source
	if w.r.Elsewhere != "" {
		source += ", " + w.r.Elsewhere
	}
	rows = append(rows, report.Fact{Name: w.Say("fact.source"), Cell: report.Text(source)})
	table := report.Table{ID: "windows", Title: w.Say("table.windows"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "baseline_from", Title: w.Say("col.baseline_from"), Width: 1.4}, {Key: "baseline_to", Title: w.Say("col.baseline_to"), Width: 1.4},
		{Key: "outage_from", Title: w.Say("col.outage_from"), Width: 1.4}, {Key: "outage_to", Title: w.Say("col.outage_to"), Width: 1.4},
		{Key: "restored", Title: w.Say("col.restored")}, {Key: "soak_from", Title: w.Say("col.soak_from"), Width: 1.4}, {Key: "soak_to", Title: w.Say("col.soak_to"), Width: 1.4},
	}}
	for _, s := range w.r.Servers {
		x := s.Windows
		table.Rows = append(table.Rows, []report.Cell{
			report.Text(string(s.Target)), report.TimeCell(x.BaselineFrom), report.TimeCell(x.BaselineTo), report.TimeCell(x.OutageFrom), report.TimeCell(x.OutageTo),
			{Text: w.Say("restored." + x.Restored), Value: x.Restored}, report.TimeCell(maxTime(x.SoakFrom, x.Restarted)), report.TimeCell(x.SoakTo),
		})
	}
	return w.section("incident", false, report.Facts{Rows: rows}, table, report.Paragraph{Text: w.Say("incident.note")})
}

func (w writer) identity() report.Section {
	table := report.Table{ID: "identity", Title: "", Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "manufacturer", Title: w.Say("col.manufacturer")}, {Key: "model", Title: w.Say("col.model"), Width: 1.6}, {Key: "serial", Title: w.Say("col.serial"), Width: 1.4},
		{Key: "asset_tag", Title: w.Say("col.asset_tag")}, {Key: "bios", Title: w.Say("col.bios")}, {Key: "bmc_firmware", Title: w.Say("col.bmc_firmware"), Width: 1.2},
	}}
	for _, s := range w.r.Servers {
		i := s.Identity.Now
		was := func(now, before string) report.Cell {
			if s.Identity.Known && before != "" && now != "" && before != now {
				return report.Cell{Text: w.Say("was", now, before), Value: now, Tone: report.Notice}
			}
			return report.Text(now)
		}
		b := s.Identity.Before
		table.Rows = append(table.Rows, []report.Cell{
			report.Text(string(s.Target)), was(i.Manufacturer, b.Manufacturer), was(i.Model, b.Model), was(i.Serial, b.Serial), was(i.AssetTag, b.AssetTag), was(i.BIOS, b.BIOS), was(i.BMCFirmware, b.BMCFirmware),
		})
	}
	parts := report.Table{ID: "parts", Title: w.Say("table.parts"), Shown: 60, More: w.Say("more.rows"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "class", Title: w.Say("col.class")}, {Key: "component", Title: w.Say("col.component"), Width: 1.8}, {Key: "model", Title: w.Say("col.model"), Width: 1.4},
		{Key: "serial", Title: w.Say("col.serial"), Width: 1.4}, {Key: "firmware", Title: w.Say("col.firmware")}, {Key: "change", Title: w.Say("col.change"), Width: 1.2}, {Key: "was", Title: w.Say("col.was"), Width: 1.2},
	}}
	for _, s := range w.r.Servers {
		for _, p := range s.Parts {
			if !isHardware(p.Class) {
				continue
			}
			tone := report.Plain
			switch p.Change {
			case changeMissing:
				tone = report.Bad
			case changeNone:
			default:
				tone = report.Notice
			}
			parts.Rows = append(parts.Rows, []report.Cell{
				report.Text(string(s.Target)), report.Text(string(p.Class)), {Text: cmp.Or(p.Name, string(p.Component)), Value: string(p.Component)}, report.Text(p.Model), report.Text(p.Serial), report.Text(p.Firmware),
				{Text: w.Say("change." + p.Change), Value: p.Change, Tone: tone}, report.Text(p.Was),
			})
		}
	}
	// What changed comes first, then what has a number; the rest is in the file.
	told := func(r []report.Cell) int {
		switch {
		case r[6].Value != changeNone:
			return 0
		case r[4].Text != "":
			return 1
		}
		return 2
	}
	slices.SortStableFunc(parts.Rows, func(a, b []report.Cell) int { return cmp.Compare(told(a), told(b)) })
	return w.section("identity", false, table, parts)
}

func (w writer) coverage() report.Section {
	table := report.Table{ID: "coverage", Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "window", Title: w.Say("col.window")}, {Key: "from", Title: w.Say("col.from"), Width: 1.6}, {Key: "to", Title: w.Say("col.to"), Width: 1.6},
		{Key: "due", Title: w.Say("col.due"), Right: true}, {Key: "read", Title: w.Say("col.read"), Right: true}, {Key: "share", Title: w.Say("col.share"), Right: true},
		{Key: "longest_gap_hours", Title: w.Say("col.longest"), Right: true}, {Key: "frozen_hours", Title: w.Say("col.frozen"), Right: true}, {Key: "parts_below", Title: w.Say("col.below"), Right: true},
		{Key: "data_from", Title: w.Say("fact.source"), Width: 1.4},
	}, Note: w.Say("coverage.note")}
	below := report.Table{ID: "coverage-parts", Title: w.Say("table.below"), Shown: 40, More: w.Say("more.rows"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "window", Title: w.Say("col.window")}, {Key: "component", Title: w.Say("col.component"), Width: 2}, {Key: "quantity", Title: w.Say("col.quantity")},
		{Key: "due", Title: w.Say("col.due"), Right: true}, {Key: "read", Title: w.Say("col.read"), Right: true}, {Key: "share", Title: w.Say("col.share"), Right: true},
	}}
	strip := &report.Strip{Legend: []report.Key{{Name: w.Say("strip.read"), Tone: report.Good}, {Name: w.Say("strip.partly"), Tone: report.Notice}, {Name: w.Say("strip.unread"), Tone: report.Bad}, {Name: w.Say("strip.off"), Tone: report.Faint}}}
	for _, s := range w.r.Servers {
		for _, c := range s.Coverage {
			tone := report.Plain
			if c.Share < minVisits {
				tone = report.Bad
			}
			part := report.Plain
			if len(c.Worst) > 0 {
				part = report.Bad
			}
			table.Rows = append(table.Rows, []report.Cell{
				report.Text(string(s.Target)), {Text: w.Say("window." + c.Window), Value: c.Window}, report.TimeCell(c.From), report.TimeCell(c.To), report.Count(c.Due), report.Count(c.Done), {Text: report.Percent(c.Share) + " %", Value: c.Share, Tone: tone},
				{Text: fmt.Sprintf("%.0f", c.Longest), Value: c.Longest}, report.Count(c.Frozen), {Text: fmt.Sprintf("%d / %d", len(c.Worst), c.Tracked), Value: len(c.Worst), Tone: part},
				w.sources(c.Sources),
			})
			for _, x := range c.Worst {
				below.Rows = append(below.Rows, []report.Cell{
					report.Text(string(s.Target)), {Text: w.Say("window." + c.Window), Value: c.Window}, report.Text(string(x.Component)), report.Text(w.quantity(x.Quantity)), report.Count(x.Due), report.Count(x.Read), {Text: report.Percent(x.Share) + " %", Value: x.Share},
				})
			}
		}
		row := report.StripRow{Name: string(s.Target)}
		for _, m := range s.Hours {
			tone := map[string]report.Tone{"read": report.Good, "partly": report.Notice, "frozen": report.Notice, "off": report.Faint}[m.Kind]
			if m.Kind == "unread" {
				tone = report.Bad
			}
			if n := len(row.Spans); n > 0 && row.Spans[n-1].Tone == tone && row.Spans[n-1].To.Equal(m.At) {
				row.Spans[n-1].To = m.At.Add(time.Hour)
			} else {
				row.Spans = append(row.Spans, report.Span{From: m.At, To: m.At.Add(time.Hour), Tone: tone})
			}
		}
		strip.Rows = append(strip.Rows, row)
	}
	w.frame(&strip.From, &strip.To)
	strip.Marks = w.marks()
	blocks := []report.Block{report.Chart{ID: "coverage", Title: w.Say("chart.coverage"), Figure: strip, Caption: w.Say("chart.coverage.caption")}, table}
	if len(below.Rows) > 0 {
		blocks = append(blocks, below)
	}
	return w.section("coverage", true, blocks...)
}

func (w writer) quantity(q health.Quantity) string {
	if q == "" {
		return w.Say("state")
	}
	return strings.ReplaceAll(string(q), "_", " ")
}

// sources are how many hours of a window are of what.
func (w writer) sources(all []SourceHours) report.Cell {
	var text, value []string
	for _, s := range all {
		text = append(text, w.Say("source."+s.Source, s.Hours))
		value = append(value, fmt.Sprintf("%s: %d", s.Source, s.Hours))
	}
	c := report.Cell{Text: strings.Join(text, ", "), Value: strings.Join(value, "; ")}
	if len(all) > 1 || len(all) == 1 && all[0].Source != "visits" {
		c.Tone = report.Notice
	}
	return c
}

// frame is from the first baseline to the end of the data.
func (w writer) frame(from, to *time.Time) {
	for _, s := range w.r.Servers {
		if from.IsZero() || s.Windows.BaselineFrom.Before(*from) {
			*from = s.Windows.BaselineFrom
		}
		for _, c := range s.Coverage {
			*to = maxTime(*to, c.To)
		}
	}
	if to.Before(*from) || to.IsZero() {
		*to = maxTime(w.r.GeneratedAt, from.Add(time.Hour))
	}
}

func (w writer) marks() []report.Mark {
	ms := []report.Mark{{At: w.r.Incident.Reported, Name: w.Say("mark.incident"), Tone: report.Bad}}
	var restored time.Time
	for _, s := range w.r.Servers {
		restored = maxTime(restored, s.Windows.SoakFrom)
	}
	if !restored.IsZero() {
		ms = append(ms, report.Mark{At: restored, Name: w.Say("mark.soak"), Tone: report.Good})
	}
	return ms
}

func stateTone(s string) report.Tone {
	switch s {
	case "ok":
		return report.Good
	case "warning":
		return report.Notice
	case "critical", "absent":
		return report.Bad
	}
	return report.Faint
}

func (w writer) components() report.Section {
	table := report.Table{ID: "components", Shown: 80, More: w.Say("more.rows"), Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "class", Title: w.Say("col.class")}, {Key: "component", Title: w.Say("col.component"), Width: 2}, {Key: "location", Title: w.Say("col.location"), Width: 1.2},
		{Key: "before", Title: w.Say("col.before")}, {Key: "now", Title: w.Say("col.now")}, {Key: "faults", Title: w.Say("col.faults"), Right: true},
	}, Note: w.Say("components.note")}
	type row struct {
		rank  int
		cells []report.Cell
	}
	var rows []row
	for _, s := range w.r.Servers {
		for _, p := range s.Parts {
			rank := 3
			switch {
			case p.Now == "critical" || p.Now == "absent" && p.Before != "absent":
				rank = 0
			case p.Now != p.Before || p.Faults > 0:
				rank = 1
			case isHardware(p.Class):
				rank = 2
			}
			rows = append(rows, row{rank, []report.Cell{
				report.Text(string(s.Target)), report.Text(string(p.Class)), {Text: cmp.Or(p.Name, string(p.Component)), Value: string(p.Component)}, report.Text(p.Location),
				{Text: w.Say("state." + p.Before), Value: p.Before, Tone: stateTone(p.Before)}, {Text: w.Say("state." + p.Now), Value: p.Now, Tone: stateTone(p.Now)}, report.Count(p.Faults),
			}})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.rank, b.rank) })
	for _, r := range rows {
		table.Rows = append(table.Rows, r.cells)
	}
	return w.section("components", true, table)
}

func (w writer) events() report.Section {
	table := report.Table{ID: "events", Shown: 150, More: w.Say("more.rows"), Columns: []report.Column{
		{Key: "time", Title: w.Say("col.time"), Width: 1.5}, {Key: "server", Title: w.Say("col.server")}, {Key: "component", Title: w.Say("col.component"), Width: 1.4}, {Key: "kind", Title: w.Say("col.kind"), Width: 1.2},
		{Key: "severity", Title: w.Say("col.severity")}, {Key: "state", Title: w.Say("col.state")}, {Key: "message", Title: w.Say("col.message"), Width: 3}, {Key: "source", Title: w.Say("col.source")},
		{Key: "source_time", Title: w.Say("col.source_time"), Width: 1.5}, {Key: "clock_skew_seconds", Title: w.Say("col.skew"), Right: true},
	}}
	raw := report.Table{ID: "events-raw", Title: w.Say("table.raw"), Shown: 60, More: w.Say("more.rows"), Columns: []report.Column{
		{Key: "event_id", Title: w.Say("col.id")}, {Key: "server", Title: w.Say("col.server"), Width: 0.7}, {Key: "rule", Title: w.Say("col.rule"), Width: 0.7}, {Key: "raw", Title: w.Say("col.raw"), Width: 4},
	}}
	for _, s := range w.r.Servers {
		for _, e := range s.Events {
			tone := map[health.Severity]report.Tone{health.SeverityWarning: report.Notice, health.SeverityCritical: report.Bad}[e.Severity]
			skew := report.Cell{}
			if e.Skew != nil {
				skew = report.Cell{Text: strconv.Itoa(int(math.Round(*e.Skew))), Value: *e.Skew}
			}
			state := w.Say("event." + string(e.State))
			if e.Open {
				state += ", " + w.Say("event.open")
			}
			if e.Explained {
				state += ", " + w.Say("event.explained")
			}
			src := report.TimeCell(e.SourceTime)
			if e.SourceTime.IsZero() {
				src = report.Cell{}
			}
			table.Rows = append(table.Rows, []report.Cell{
				report.TimeCell(e.At), report.Text(string(s.Target)), report.Text(string(e.Component)), report.Text(string(e.Kind)), {Text: e.Severity.String(), Tone: tone}, {Text: state, Value: string(e.State)},
				report.Text(e.Message), report.Text(e.Source), src, skew,
			})
			if e.Raw != "" {
				raw.Rows = append(raw.Rows, []report.Cell{report.Text(e.ID), report.Text(string(s.Target)), report.Text(e.Rule), report.Text(e.Raw)})
			}
		}
	}
	if len(table.Rows) == 0 {
		return w.section("events", false, append([]report.Block{report.Paragraph{Text: w.Say("events.none")}}, w.operators()...)...)
	}
	blocks := []report.Block{table}
	if len(raw.Rows) > 0 {
		blocks = append(blocks, raw)
	}
	return w.section("events", true, append(blocks, w.operators()...)...)
}

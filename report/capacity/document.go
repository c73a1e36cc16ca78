package capacity

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

// Document writes the review down in a language.
func (out *Report) Document(t *report.Texts) *report.Document {
	w := writer{t, out}
	d := &report.Document{
		Lang: t.Lang, Title: cmp.Or(out.Title, t.Say("capacity.title")), Subtitle: out.Reference, GeneratedAt: out.GeneratedAt,
		Footer: t.Say("capacity.footer", out.Program, out.From.Format(time.DateOnly), out.Until.Format(time.DateOnly)), PageOf: t.Say("page.of"),
	}
	if out.Simulated {
		d.Mark = t.Say("simulated")
	}
	d.Sections = []report.Section{w.decision(), w.window(), w.power(), w.servers(), w.whatIf(), w.cooling(), w.drives(), w.inventory(), w.reliability(), w.forecast(), w.resilience(), w.method()}
	return d
}

type writer struct {
	*report.Texts
	r *Report
}

// shown is how many rows of a table are drawn; the CSV has all.
const shown = 60

// bars is how many rows a chart has.
const bars = 40

func (w writer) section(id string, newPage bool, blocks ...report.Block) report.Section {
	return report.Section{ID: id, Title: w.Say("csection." + id), NewPage: newPage, Blocks: blocks}
}

// table has columns by key: ">" after it is for numbers, "*2" makes it twice as wide.
func (w writer) table(id string, columns ...string) report.Table {
	t := report.Table{ID: id, Shown: shown, More: w.Say("more.rows")}
	if title, ok := w.Raw("ctable." + id); ok {
		t.Title = title
	}
	for _, c := range columns {
		key, wide, _ := strings.Cut(c, "*")
		width, _ := strconv.ParseFloat(wide, 64)
		key, right := strings.CutSuffix(key, ">")
		t.Columns = append(t.Columns, report.Column{Key: key, Title: w.Say("ccol." + key), Right: right, Width: width})
	}
	return t
}

func text[S ~string](s S) report.Cell {
	if s == "" {
		return report.None()
	}
	return report.Text(string(s))
}

// word is a value of a closed list: its word for people, itself for programs.
func (w writer) word(list, v string) report.Cell {
	if v == "" {
		return report.None()
	}
	return report.Cell{Text: w.Say(list + "." + v), Value: v}
}

func number(v *float64) report.Cell {
	if v == nil {
		return report.None()
	}
	return report.Number(*v)
}

func figure(s *Spread, of func(*Spread) float64) report.Cell {
	if s == nil {
		return report.None()
	}
	return report.Number(of(s))
}

func p50(s *Spread) float64   { return s.P50 }
func p95(s *Spread) float64   { return s.P95 }
func p99(s *Spread) float64   { return s.P99 }
func most(s *Spread) float64  { return s.Max }
func least(s *Spread) float64 { return s.Min }

func samples(s *Spread) report.Cell {
	if s == nil {
		return report.Count(0)
	}
	return report.Count(s.N)
}

// interval is every how many seconds something was read; 0 is never.
func interval(v float64) report.Cell {
	if v <= 0 {
		return report.None()
	}
	return report.Number(v)
}

func share(v float64) report.Cell {
	c := report.Cell{Text: report.Percent(v) + " %", Value: v}
	if v < lowCoverage {
		c.Tone = report.Notice
	}
	return c
}

func toned(c report.Cell, t report.Tone) report.Cell {
	c.Tone = t
	return c
}

func day(t time.Time) report.Cell {
	if t.IsZero() {
		return report.None()
	}
	return report.Cell{Text: t.Format(time.DateOnly), Value: t.Format(time.DateOnly)}
}

func (w writer) yes(b bool) report.Cell {
	if b {
		return report.Cell{Text: w.Say("yes"), Value: true, Tone: report.Notice}
	}
	return report.Cell{Text: w.Say("no"), Value: false}
}

// Line is the first line of the report: what to buy or retire, with the figures it rests on, and what could not be seen.
func (out *Report) Line(t *report.Texts) string {
	d := &out.Decision
	var parts []string
	for _, x := range []struct {
		key   string
		notes []Note
	}{{"line.buy", d.Buy}, {"line.retire", d.Retire}, {"line.watch", d.Watch}} {
		if len(x.notes) > 0 {
			parts = append(parts, t.Say(x.key, join(t, x.notes, 4)))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, t.Say("line.nothing"))
	}
	if len(d.Unseen) > 0 {
		parts = append(parts, t.Say("line.unseen", join(t, d.Unseen, 3)))
	}
	return strings.Join(parts, " ")
}

func join(t *report.Texts, notes []Note, most int) string {
	var out []string
	for i, n := range notes {
		if i == most {
			out = append(out, t.Say("and.more", len(notes)-most))
			break
		}
		out = append(out, n.Say(t))
	}
	return strings.Join(out, "; ")
}

func (w writer) decision() report.Section {
	d := &w.r.Decision
	label, tone := "capacity.decision.nothing", report.Good
	switch {
	case len(d.Buy) > 0 || len(d.Retire) > 0:
		label, tone = "capacity.decision.act", report.Notice
	case len(d.Watch) > 0:
		label, tone = "capacity.decision.watch", report.Notice
	}
	blocks := []report.Block{report.Banner{Label: w.Say(label), Text: w.r.Line(w.Texts), Tone: tone}}
	table := w.table("decision", "what", "statement*6")
	for _, x := range []struct {
		what  string
		notes []Note
		tone  report.Tone
	}{{"buy", d.Buy, report.Notice}, {"retire", d.Retire, report.Notice}, {"watch", d.Watch, report.Plain}, {"unseen", d.Unseen, report.Faint}} {
		for _, n := range x.notes {
			table.Rows = append(table.Rows, []report.Cell{toned(w.word("what", x.what), x.tone), report.Text(n.Say(w.Texts))})
		}
	}
	return w.section("decision", false, append(blocks, table)...)
}

func (w writer) window() report.Section {
	r := w.r
	facts := []report.Fact{
		{Name: w.Say("cfact.window"), Cell: report.Text(report.Stamp(r.From) + " … " + report.Stamp(r.Until))},
		{Name: w.Say("cfact.data_from"), Cell: report.TimeCell(r.DataFrom)},
		{Name: w.Say("cfact.data_until"), Cell: report.TimeCell(r.DataUntil)},
		{Name: w.Say("cfact.days"), Cell: report.Number(r.Days)},
		{Name: w.Say("cfact.servers"), Cell: report.Count(len(r.Servers))},
		{Name: w.Say("fact.source"), Cell: report.Text(r.Source)},
	}
	if r.Selection != "" {
		facts = append(facts, report.Fact{Name: w.Say("cfact.selection"), Cell: report.Text(r.Selection)})
	}
	blocks := []report.Block{report.Facts{Rows: facts}}
	if r.Days < minTrendDays {
		blocks = append(blocks, report.Paragraph{Text: w.Say("capacity.short", r.Days, minTrendDays), Tone: report.Notice})
	}
	table := w.table("coverage", "server", "rack", "model*1.6", "first_read*1.4", "watched_days>", "coverage>", "power_coverage>", "inlet_coverage>")
	for i := range r.Servers {
		s := &r.Servers[i]
		table.Rows = append(table.Rows, []report.Cell{
			text(s.Target), text(s.Rack), text(s.Model), report.TimeCell(s.First), report.Number(s.Watched), share(s.Coverage), share(s.Power.Coverage), share(s.Cooling.Coverage),
		})
	}
	return w.section("window", false, append(blocks, table)...)
}

func groupName(w writer, kind, site, name string) string {
	if kind == "all" {
		return w.Say("group.all")
	}
	return placeName(kind, site, name)
}

func (w writer) power() report.Section {
	groups := w.table("power-groups", "group*1.4", "kind", "servers>", "p50_watts>", "p95_watts>", "p99_watts>", "max_watts>", "steps>", "sampling_seconds>", "coverage>", "excluded>", "scaled>", "kwh>", "gap_hours>")
	groups.Note = w.Say("power.groups.note")
	budgets := w.table("budgets", "group*1.4", "kind", "budget_va>", "power_factor>", "p99_va>", "max_va>", "share>", "stranded_va>", "rated_watts>", "sum*1.6")
	budgets.Note = w.Say("power.budgets.note")
	chart := &report.Bars{Unit: "W"}
	for i := range w.r.Groups {
		g := &w.r.Groups[i]
		draw := func(of func(*Spread) float64) report.Cell {
			if g.Draw == nil && g.AtLeast != nil {
				v := of(g.AtLeast)
				return report.Cell{Text: "≥ " + report.Digits(v), Value: "", Tone: report.Faint}
			}
			return figure(g.Draw, of)
		}
		groups.Rows = append(groups.Rows, []report.Cell{
			{Text: groupName(w, g.Kind, g.Site, g.Name), Value: valueName(g)}, w.word("group", g.Kind), report.Count(g.Servers), draw(p50), draw(p95), draw(p99), draw(most), samples(g.Draw), interval(g.Sampling), share(g.Coverage),
			report.Count(g.Excluded), report.Count(g.Scaled), number(g.Energy), report.Number(g.Gap),
		})
	}
	for _, g := range mostUsed(w.r.Groups) { // where there are more than a page shows, those that matter are shown
		name := groupName(w, g.Kind, g.Site, g.Name)
		bar := report.Bar{Name: name, Missing: g.Draw == nil, Tone: report.Good}
		if g.Draw != nil {
			bar.Value = g.Draw.P99
		}
		if b := g.Budget; b != nil {
			bar.Limit = b.VoltAmperes * b.PowerFactor
			if b.Over {
				bar.Tone = report.Bad
			}
			budgets.Rows = append(budgets.Rows, []report.Cell{
				{Text: name, Value: valueName(g)}, w.word("group", g.Kind), report.Number(b.VoltAmperes), report.Number(b.PowerFactor), number(b.P99), number(b.Max), toned(percent(b.Share), bar.Tone), number(b.Stranded), number(g.Rated),
				text(w.sum(g)),
			})
		}
		if g.Kind != "all" && len(chart.Rows) < bars {
			chart.Rows = append(chart.Rows, bar)
		}
	}
	blocks := []report.Block{}
	if c := w.lines("power-all", func(g *Group) bool { return g.Kind == "all" }); c != nil {
		blocks = append(blocks, *c)
	}
	if len(chart.Rows) > 0 {
		blocks = append(blocks, report.Chart{ID: "power-groups", Title: w.Say("cchart.power_groups"), Figure: chart, Caption: w.Say("cchart.power_groups.caption")})
	}
	blocks = append(blocks, groups)
	switch {
	case len(budgets.Rows) > 0:
		blocks = append(blocks, budgets)
	case len(w.r.Budgets) > 0:
		blocks = append(blocks, report.Paragraph{Text: w.Say("power.no_whole"), Tone: report.Notice})
	default:
		blocks = append(blocks, report.Paragraph{Text: w.Say("power.no_budgets"), Tone: report.Notice})
	}
	return w.section("power", true, blocks...)
}

// mostUsed puts the groups that use most of their budget first, and those of which that is not known last.
func mostUsed(groups []Group) []*Group {
	out := make([]*Group, len(groups))
	for i := range groups {
		out[i] = &groups[i]
	}
	used := func(g *Group) float64 {
		if g.Budget == nil {
			return -1
		}
		return value(g.Budget.Share)
	}
	slices.SortStableFunc(out, func(a, b *Group) int { return cmp.Compare(used(b), used(a)) })
	return out
}

func percent(v *float64) report.Cell {
	if v == nil {
		return report.None()
	}
	return report.Cell{Text: report.Percent(*v) + " %", Value: *v}
}

// sum is how a group's budget was made.
func (w writer) sum(g *Group) string {
	for _, b := range w.r.Budgets {
		if b.VoltAmperes == g.Budget.VoltAmperes && (b.Kind == g.Kind && b.Name == g.Name || b.Kind == "feed" && g.Kind == "feeds" && strings.Contains(g.Name, b.Name)) {
			return b.Sum
		}
	}
	return ""
}

// lines draws the days of the first group that is meant.
func (w writer) lines(id string, is func(*Group) bool) *report.Chart {
	k := slices.IndexFunc(w.r.Groups, func(g Group) bool { return is(&g) && len(g.Line) > 0 })
	if k < 0 {
		return nil
	}
	g := &w.r.Groups[k]
	f := &report.Lines{From: w.r.DataFrom, To: w.r.Until, Unit: "W", Empty: w.Say("no.data")}
	for _, x := range []struct {
		key string
		of  func(Day) float64
	}{{"mean", func(d Day) float64 { return d.Mean }}, {"p95", func(d Day) float64 { return d.P95 }}, {"max", func(d Day) float64 { return d.Max }}} {
		s := report.Series{Name: w.Say("series." + x.key), Gap: 36 * time.Hour}
		for _, d := range g.Line {
			s.Points = append(s.Points, report.Point{At: d.Day.Add(12 * time.Hour), Value: x.of(d)})
		}
		f.Series = append(f.Series, s)
	}
	if b := g.Budget; b != nil {
		f.Limits = append(f.Limits, report.Limit{Value: b.VoltAmperes * b.PowerFactor, Name: w.Say("limit.budget"), Tone: report.Bad})
	}
	return &report.Chart{ID: id, Title: w.Say("cchart.lines", groupName(w, g.Kind, g.Site, g.Name)), Figure: f, Caption: w.Say("cchart.lines.caption")}
}

func (w writer) servers() report.Section {
	table := w.table("power-servers", "server", "rack", "source*1.2", "p50_watts>", "p95_watts>", "p99_watts>", "max_watts>", "highest_sample_watts>", "steps>", "sampling_seconds>", "coverage>", "kwh>", "gap_hours>", "cap")
	table.Note = w.Say("power.servers.note")
	psus := w.table("supplies", "server", "rack", "supplies>", "rated_watts>", "one_lost_watts>", "highest_sample_watts>", "headroom_watts>", "not_rated>", "limit_watts>", "cap")
	psus.Note = w.Say("power.supplies.note")
	for i := range w.r.Servers {
		s := &w.r.Servers[i]
		p := &s.Power
		source := w.word("source", p.Source)
		if p.Source != "psu_input" {
			source.Tone = report.Notice
		}
		capped := report.None()
		switch {
		case p.Capped:
			capped = report.Cell{Text: w.Say("capped"), Value: "capped", Tone: report.Bad}
		case p.Limit != nil:
			capped = report.Cell{Text: w.Say("capped.no"), Value: "limit_not_reached"}
		}
		table.Rows = append(table.Rows, []report.Cell{
			text(s.Target), text(s.Rack), source, figure(p.Draw, p50), figure(p.Draw, p95), figure(p.Draw, p99), figure(p.Draw, most), number(p.Highest), samples(p.Draw), interval(p.Sampling), share(p.Coverage),
			number(p.Energy), report.Number(p.Gap), capped,
		})
		room := number(p.Headroom)
		if p.Headroom != nil && *p.Headroom < 0 {
			room.Tone = report.Bad
		}
		psus.Rows = append(psus.Rows, []report.Cell{
			text(s.Target), text(s.Rack), report.Count(p.Supplies), number(p.Capacity), number(p.OneLost), number(p.Highest), room, report.Count(p.Unrated), number(p.Limit), capped,
		})
	}
	return w.section("power-servers", false, table, psus)
}

func (w writer) whatIf() report.Section {
	if len(w.r.WhatIf) == 0 {
		return w.section("what-if", false, report.Paragraph{Text: w.Say("what_if.none")})
	}
	table := w.table("what-if", "change*1.4", "group*1.2", "kind", "like*1.4", "before_p99_watts>", "after_p99_watts>", "each_watts>", "after_p99_va>", "budget_va>", "result")
	table.Note = w.Say("what_if.note")
	for _, x := range w.r.WhatIf {
		result := w.word("fits", x.Result)
		result.Tone = map[string]report.Tone{"fits": report.Good, "over": report.Bad, "no_budget": report.Faint, "not_known": report.Faint}[x.Result]
		va, budget := report.None(), report.None()
		if x.Budget != nil {
			va, budget = number(x.Budget.P99), report.Number(x.Budget.VoltAmperes)
		}
		table.Rows = append(table.Rows, []report.Cell{
			report.Text(x.Change), {Text: placeName(x.Kind, x.Site, x.Name)}, w.word("group", x.Kind), report.Text(some(names(x.Like))), figure(x.Before, p99), figure(x.After, p99), number(x.PerUnit), va, budget, result,
		})
	}
	return w.section("what-if", false, table)
}

func (w writer) trend(t *Trend) []report.Cell {
	switch {
	case t == nil:
		return []report.Cell{report.None(), report.None(), report.None(), {Text: w.Say("why.none"), Value: "none", Tone: report.Faint}}
	case !t.OK():
		return []report.Cell{report.None(), report.None(), report.None(), {Text: w.Say("why." + t.Why), Value: t.Why, Tone: report.Faint}}
	}
	return []report.Cell{report.Number(t.Slope), report.Number(t.Low), report.Number(t.High), {Text: w.Say("why.ok", t.Values), Value: "ok"}}
}

func (w writer) reach(r *Reach) []report.Cell {
	if r == nil {
		return []report.Cell{report.None(), report.None(), report.None(), report.None()}
	}
	result := w.word("reach", r.Result)
	if r.Result == "over" {
		result.Tone = report.Bad
	}
	return []report.Cell{result, day(r.At), day(r.Earliest), day(r.Latest)}
}

func (w writer) forecast() report.Section {
	table := w.table("forecast", "resource*1.6", "kind", "days>", "level>", "slope>", "slope_low>", "slope_high>", "trend*1.4", "limit>", "result", "at", "earliest", "latest")
	table.Note = w.Say("forecast.note", minTrendDays, minTrendValues, horizonFactor)
	row := func(name, kind string, t *Trend, r *Reach) {
		level, days := report.None(), report.Count(0)
		if t != nil {
			days = report.Count(t.Days)
		}
		if t.OK() {
			level = report.Number(t.Level)
		}
		limit := report.None()
		if r != nil {
			limit = report.Number(r.Limit)
		}
		cells := []report.Cell{report.Text(name), w.word("resource", kind), days, level}
		cells = append(cells, w.trend(t)...)
		cells = append(cells, limit)
		table.Rows = append(table.Rows, append(cells, w.reach(r)...))
	}
	for i := range w.r.Groups {
		g := &w.r.Groups[i]
		row(groupName(w, g.Kind, g.Site, g.Name), "power", g.Trend, g.Reach)
	}
	for i := range w.r.Servers {
		if s := &w.r.Servers[i]; s.Power.Draw != nil {
			row(string(s.Target), "power", s.Power.Trend, nil)
		}
	}
	for i := range w.r.Servers {
		if s := &w.r.Servers[i]; s.Cooling.Duty != nil {
			row(string(s.Target), "duty", s.Cooling.DutyTrend, nil)
		}
	}
	for i := range w.r.Drives {
		if d := &w.r.Drives[i]; d.Wear != nil {
			row(string(d.Target)+" "+string(d.Component), "wear", d.Wear, d.Reach)
		}
	}
	blocks := []report.Block{}
	if w.r.Days < minTrendDays {
		blocks = append(blocks, report.Paragraph{Text: w.Say("forecast.short", w.r.Days, minTrendDays), Tone: report.Notice})
	}
	for i := range w.r.Groups {
		if g := &w.r.Groups[i]; g.Budget != nil && len(blocks) < 6 {
			if c := w.lines(fmt.Sprintf("forecast-%d", i), func(x *Group) bool { return x.Kind == g.Kind && x.Site == g.Site && x.Name == g.Name }); c != nil {
				blocks = append(blocks, *c)
			}
		}
	}
	return w.section("forecast", true, append(blocks, table)...)
}

func gigabytes(n int64) report.Cell {
	if n <= 0 {
		return report.None()
	}
	v := float64(n) / 1e9
	return report.Cell{Text: report.Digits(v), Value: math.Round(v*1000) / 1000}
}

func label(name string, id health.ComponentID) report.Cell {
	return report.Cell{Text: cmp.Or(name, string(id)), Value: string(id)}
}

// valueName is a group's name for programs.
func valueName(g *Group) string {
	if g.Kind == "all" {
		return "all"
	}
	return placeName(g.Kind, g.Site, g.Name)
}

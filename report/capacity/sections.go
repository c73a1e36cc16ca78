package capacity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dewline/report"
)

func (w writer) cooling() report.Section {
	table := w.table("cooling", "server", "rack", "position>", "inlet_sensor*1.4", "p50_celsius>", "p95_celsius>", "p99_celsius>", "max_celsius>", "steps>", "sampling_seconds>", "headroom_kelvin>", "above_rack>", "duty_p95>", "duty_trend>")
	table.Note = w.Say("cooling.note", hotBy)
	fans := w.table("fans", "server", "rack", "duty_p50>", "duty_p95>", "duty_max>", "steps>", "inlet_from>", "warmest_steps>", "warmest_duty_p95>")
	fans.Note = w.Say("fans.note", minWarmest)
	outside := w.table("envelopes", "server", "rack", "judged_hours>", "outside_recommended_hours>", "outside_allowable_hours>", "moisture_judged_hours>", "moisture_outside_recommended_hours>", "moisture_outside_allowable_hours>")
	a := w.r.AirLimits
	outside.Note = w.Say("envelopes.note", a.Edition, a.Class)
	air := w.table("moisture", "server", "rack", "dew_point_sensor*1.4", "dew_point_p99>", "dew_point_headroom>", "humidity_min>", "humidity_p99>", "margin_min>", "margin_p50>", "steps>")
	air.Note = w.Say("moisture.capacity.note")
	chart := &report.Bars{Unit: "°C"}
	sorted := make([]*Server, len(w.r.Servers))
	for i := range w.r.Servers {
		sorted[i] = &w.r.Servers[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Server) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Rack, b.Rack), cmp.Compare(b.Position, a.Position), cmp.Compare(a.Target, b.Target))
	})
	for _, s := range sorted {
		c := &s.Cooling
		position := report.None()
		if s.Position > 0 {
			position = report.Count(s.Position)
		}
		room, above, dry := number(c.Headroom), number(c.Hot), number(c.DewHeadroom)
		if c.Headroom != nil && *c.Headroom < 0 {
			room.Tone = report.Bad
		}
		if c.DewHeadroom != nil && *c.DewHeadroom < 0 {
			dry.Tone = report.Bad
		}
		if c.Hot != nil && *c.Hot >= hotBy {
			above.Tone = report.Notice
		}
		table.Rows = append(table.Rows, []report.Cell{
			text(s.Target), text(s.Rack), position, text(c.InletOf), figure(c.Inlet, p50), figure(c.Inlet, p95), figure(c.Inlet, p99), figure(c.Inlet, most), samples(c.Inlet), interval(c.Sampling), room, above,
			figure(c.Duty, p95), w.trend(c.DutyTrend)[0],
		})
		if c.Duty != nil {
			row := []report.Cell{text(s.Target), text(s.Rack), figure(c.Duty, p50), figure(c.Duty, p95), figure(c.Duty, most), samples(c.Duty), report.None(), report.None(), report.None()}
			if x := c.Warmest; x != nil {
				row = append(row[:6], report.Number(x.From), report.Count(x.N), number(x.Duty))
			}
			fans.Rows = append(fans.Rows, row)
		}
		o := c.Outside
		hours := func(v *float64) report.Cell {
			cell := number(v)
			if v != nil && *v > 0 {
				cell.Tone = report.Notice
			}
			return cell
		}
		limited := a.Class != "none"
		outside.Rows = append(outside.Rows, []report.Cell{
			text(s.Target), text(s.Rack), report.Number(o.TemperatureHours), hours(o.RecommendedWarm), hours(o.AllowableTemperature),
			report.Number(o.MoistureHours), hours(o.RecommendedMoisture), hours(o.AllowableMoisture),
		})
		sensor := text(c.DewPointOf)
		if c.DewPoint == nil {
			sensor = report.None()
		} else if c.DewComputed {
			sensor = report.Cell{Text: w.Say("computed", c.DewPointOf), Value: c.DewPointOf}
		}
		air.Rows = append(air.Rows, []report.Cell{
			text(s.Target), text(s.Rack), sensor, figure(c.DewPoint, p99), dry, figure(c.Humidity, least), figure(c.Humidity, p99), figure(c.Margin, least), figure(c.Margin, p50), samples(c.DewPoint),
		})
		if len(chart.Rows) < bars && s.Rack != "" {
			name := s.Rack
			if s.Position > 0 {
				name += fmt.Sprintf(" U%d", s.Position)
			}
			bar := report.Bar{Name: name + " " + string(s.Target), Missing: c.Inlet == nil, Tone: report.Good}
			if c.Inlet != nil {
				bar.Value = c.Inlet.P99
			}
			if limited {
				bar.Limit = a.Allowable.High
			}
			if above.Tone == report.Notice {
				bar.Tone = report.Notice
			}
			if room.Tone == report.Bad {
				bar.Tone = report.Bad
			}
			chart.Rows = append(chart.Rows, bar)
		}
	}
	var blocks []report.Block
	if len(chart.Rows) > 0 {
		blocks = append(blocks, report.Chart{ID: "inlet", Title: w.Say("cchart.inlet"), Figure: chart, Caption: w.Say("cchart.inlet.caption")})
	}
	return w.section("cooling", true, append(blocks, table, fans, outside, air)...)
}

func (w writer) drives() report.Section {
	if len(w.r.Drives) == 0 {
		return w.section("drives", false, report.Paragraph{Text: w.Say("drives.none")}, w.sizes())
	}
	table := w.table("drives", "server", "component*1.4", "model*1.6", "serial*1.2", "gigabytes>", "life_left>", "slope>", "slope_low>", "slope_high>", "trend*1.3", "at", "earliest", "latest", "media_errors>", "new_errors>", "power_on_hours>", "replace")
	table.Note = w.Say("drives.note", lifeLimit)
	rows := slices.Clone(w.r.Drives)
	slices.SortStableFunc(rows, func(a, b Drive) int { return cmp.Compare(replaceRank(a.Replace), replaceRank(b.Replace)) })
	for i := range rows {
		d := &rows[i]
		replace := w.word("replace", d.Replace)
		if d.Replace != "" {
			replace.Tone = report.Bad
		}
		cells := []report.Cell{text(d.Target), label(d.Name, d.Component), text(d.Model), text(d.Serial), gigabytes(d.Bytes), number(d.LifeLeft)}
		cells = append(cells, w.trend(d.Wear)...)
		cells = append(cells, w.reach(d.Reach)[1:]...)
		table.Rows = append(table.Rows, append(cells, number(d.MediaErrors), number(d.NewErrors), number(d.PowerOn), replace))
	}
	models := w.table("drive-models", "model*2", "age", "drives>", "exposure_years>", "failures>", "failure_rate>", "failure_low>", "failure_high>", "predicted>", "predicted_rate>", "predicted_low>", "predicted_high>")
	models.Note = w.Say("drives.models.note")
	for _, m := range w.r.DriveModels {
		cells := []report.Cell{w.model(m.Model), w.word("age", m.Age), report.Count(m.Drives), exposure(m.Failed), report.Count(m.Failed.Count)}
		cells = append(cells, rate(m.Failed)...)
		cells = append(cells, report.Count(m.Predicted.Count))
		models.Rows = append(models.Rows, append(cells, rate(m.Predicted)...))
	}
	return w.section("drives", true, table, models, w.sizes())
}

func replaceRank(s string) int {
	return slices.Index([]string{"failed", "predicted", "worn", "wears_out", ""}, s)
}

func (w writer) model(m string) report.Cell {
	if m == "" {
		return report.Cell{Text: w.Say("not.told"), Value: "", Tone: report.Faint}
	}
	return report.Text(m)
}

func rate(r Rate) []report.Cell {
	if r.PerYear == nil {
		return []report.Cell{report.None(), report.None(), report.None()}
	}
	return []report.Cell{report.Number(*r.PerYear), report.Number(*r.Low), report.Number(*r.High)}
}

// exposure is for how long something was watched; of what is gone it is not known.
func exposure(r Rate) report.Cell {
	if r.Exposure <= 0 {
		return report.None()
	}
	return report.Number(r.Exposure)
}

func (w writer) sizes() report.Table {
	table := w.table("capacity", "class", "parts>", "terabytes>", "unsized>")
	for _, c := range w.r.Capacity {
		tb := report.None()
		if c.Bytes > 0 {
			tb = report.Number(float64(c.Bytes) / 1e12)
		}
		table.Rows = append(table.Rows, []report.Cell{text(c.Class), report.Count(c.Parts), tb, report.Count(c.Unsized)})
	}
	return table
}

func (w writer) versions(vs []Version) report.Cell {
	var out []string
	for _, v := range vs {
		out = append(out, fmt.Sprintf("%s (%d)", cmp.Or(v.Version, w.Say("not.told")), v.Count))
	}
	c := report.Text(strings.Join(out, ", "))
	if len(vs) > 1 {
		c.Tone = report.Notice
	}
	return c
}

func (w writer) inventory() report.Section {
	models := w.table("models", "manufacturer", "model*1.6", "servers>", "age_years>", "dated>", "out_of_warranty>", "ends_soon>", "no_warranty>", "bios*2", "bmc_firmware*2")
	models.Note = w.Say("inventory.note")
	for _, m := range w.r.Models {
		models.Rows = append(models.Rows, []report.Cell{
			text(m.Manufacturer), w.model(m.Model), report.Count(m.Servers), number(m.AgeYears), report.Count(m.Dated), report.Count(m.OutOfWarranty), report.Count(m.EndsSoon), report.Count(m.NoWarranty), w.versions(m.BIOS), w.versions(m.BMC),
		})
	}
	fw := w.table("firmware", "class", "model*2", "parts>", "versions*4")
	for _, x := range w.r.Firmware {
		fw.Rows = append(fw.Rows, []report.Cell{text(x.Class), text(x.Model), report.Count(x.Parts), w.versions(x.Versions)})
	}
	blocks := []report.Block{models}
	if len(fw.Rows) > 0 {
		blocks = append(blocks, fw)
	}
	if len(w.r.Memory) > 0 {
		table := w.table("memory-errors", "server", "component*1.6", "class", "serial*1.2", "counted>", "logged>", "second_half>", "trend", "open")
		table.Note = w.Say("memory.note", minErrors)
		for _, m := range w.r.Memory {
			second := report.None()
			if m.Trend != "few" && m.Recent != nil {
				second = report.Cell{Text: report.Percent(*m.Recent) + " %", Value: *m.Recent}
			}
			trend := w.word("errors", m.Trend)
			if m.Trend == "rising" {
				trend.Tone = report.Bad
			}
			table.Rows = append(table.Rows, []report.Cell{
				text(m.Target), label(m.Name, m.Component), text(m.Class), text(m.Serial), number(m.Counted), report.Count(m.Logged), second, trend, w.yes(m.Open),
			})
		}
		blocks = append(blocks, table)
	} else {
		blocks = append(blocks, report.Paragraph{Text: w.Say("memory.none")})
	}
	if len(w.r.Use) > 0 {
		table := w.table("utilisation", "server", "component*2", "p50_percent>", "p95_percent>", "max_percent>", "samples>")
		for _, u := range w.r.Use {
			table.Rows = append(table.Rows, []report.Cell{text(u.Target), label(u.Name, u.Component), figure(u.Percent, p50), figure(u.Percent, p95), figure(u.Percent, most), samples(u.Percent)})
		}
		blocks = append(blocks, table)
	} else {
		blocks = append(blocks, report.Paragraph{Text: w.Say("utilisation.none")})
	}
	return w.section("inventory", true, blocks...)
}

func (w writer) reliability() report.Section {
	r := &w.r.Reliability
	classes := w.table("fault-rates", "class", "fault_kind*1.3", "parts>", "exposure_years>", "count>", "rate>", "rate_low>", "rate_high>")
	classes.Note = w.Say("reliability.note")
	for _, c := range r.Classes {
		parts := report.None()
		if c.Parts > 0 {
			parts = report.Count(c.Parts)
		}
		cells := []report.Cell{text(c.Class), text(c.Kind), parts, report.Number(c.Exposure), report.Count(c.Count)}
		classes.Rows = append(classes.Rows, append(cells, rate(c.Rate)...))
	}
	models := w.table("fault-models", "manufacturer", "model*2", "servers>", "exposure_years>", "count>", "rate>", "rate_low>", "rate_high>")
	for _, m := range r.Models {
		cells := []report.Cell{text(m.Manufacturer), w.model(m.Model), report.Count(m.Servers), report.Number(m.Exposure), report.Count(m.Count)}
		models.Rows = append(models.Rows, append(cells, rate(m.Rate)...))
	}
	blocks := []report.Block{report.Paragraph{Text: w.Say("reliability.exposure", r.ServerYears, r.AtStart)}, classes, models}
	if len(r.Offenders) > 0 {
		t := w.table("repeat-offenders", "server", "component*1.6", "class", "fault_kind*1.3", "times>", "last*1.4", "open")
		for _, o := range r.Offenders {
			t.Rows = append(t.Rows, []report.Cell{text(o.Target), label(o.Name, o.Component), text(o.Class), text(o.Kind), report.Count(o.Times), report.TimeCell(o.Last), w.yes(o.Open)})
		}
		blocks = append(blocks, t)
	} else {
		blocks = append(blocks, report.Paragraph{Text: w.Say("offenders.none", repeats)})
	}
	if len(r.Redundancy) > 0 {
		t := w.table("redundancy", "server", "class", "lost_hours>", "degraded_hours>", "times>", "open")
		for _, x := range r.Redundancy {
			t.Rows = append(t.Rows, []report.Cell{text(x.Target), text(x.Class), report.Number(x.Lost), report.Number(x.Degraded), report.Count(x.Times), w.yes(x.Open)})
		}
		blocks = append(blocks, t)
	} else {
		blocks = append(blocks, report.Paragraph{Text: w.Say("redundancy.none")})
	}
	if len(r.Clearing) > 0 {
		t := w.table("time-to-clear", "class", "cleared>", "mean_hours>", "median_hours>", "still_open>")
		t.Note = w.Say("clearing.note")
		for _, x := range r.Clearing {
			t.Rows = append(t.Rows, []report.Cell{text(x.Class), report.Count(x.Cleared), number(x.Mean), number(x.Median), report.Count(x.Open)})
		}
		blocks = append(blocks, t)
	}
	return w.section("reliability", true, blocks...)
}

func (w writer) resilience() report.Section {
	r := &w.r.Resilience
	if len(r.Losses) == 0 {
		return w.section("resilience", false, report.Paragraph{Text: w.Say("resilience.no_place"), Tone: report.Notice})
	}
	blocks := []report.Block{report.Paragraph{Text: w.Say("resilience.intro")}}
	table := w.table("losses", "group*1.2", "kind", "model*2", "lost_servers>", "left_servers>", "p99_watts>", "room_va>")
	for _, l := range r.Losses {
		watts := number(l.Draw)
		if l.Draw == nil && l.AtLeast != nil {
			watts = report.Cell{Text: "≥ " + report.Digits(*l.AtLeast), Value: "", Tone: report.Faint}
		}
		name := report.Text(placeName(l.Kind, l.Site, l.Name))
		table.Rows = append(table.Rows, []report.Cell{name, w.word("group", l.Kind), report.Text(w.Say("all.servers")), report.Count(l.Servers), report.Count(l.Left), watts, number(l.Room)})
		for _, m := range l.Models {
			table.Rows = append(table.Rows, []report.Cell{name, w.word("group", l.Kind), w.model(m.Model), report.Count(m.Servers), report.Count(m.Left), report.None(), report.None()})
		}
	}
	blocks = append(blocks, table)
	blocks = w.purchase(blocks, r.Buy, "purchase")
	blocks = w.purchase(blocks, r.Whole, "purchase-site")
	return w.section("resilience", true, blocks...)
}

// purchase appends a purchase line, with its arithmetic.
func (w writer) purchase(blocks []report.Block, p *Purchase, id string) []report.Block {
	if p == nil {
		return blocks
	}
	place := placeName(p.Kind, p.Site, p.Name)
	if p.Watts == nil {
		return append(blocks, report.Paragraph{Text: w.Say("purchase.no_power", p.Servers, place), Tone: report.Notice})
	}
	blocks = append(blocks, report.Banner{Label: w.Say("purchase.label"), Text: w.Say("purchase.line", p.Servers, place, *p.Watts, p.Percent, p.Growth[0].KW), Tone: report.Notice})
	sums := w.table("purchase", "growth", "percent_a_year>", "arithmetic*3", "kilowatts>")
	sums.ID, sums.Note = id, w.Say("purchase.note")
	for _, g := range p.Growth {
		sums.Rows = append(sums.Rows, []report.Cell{
			w.word("growth", g.Growth), report.Number(g.PercentAYear), report.Text(fmt.Sprintf("%.1f W × %.2f × %.3f ÷ 1000", *p.Watts, 1+p.Percent/100, max(0, 1+g.PercentAYear/100))), report.Number(g.KW),
		})
	}
	if len(p.Growth) == 1 {
		blocks = append(blocks, report.Paragraph{Text: w.Say("purchase.no_growth", minTrendDays), Tone: report.Notice})
	}
	return append(blocks, sums)
}

func (w writer) method() report.Section {
	r := w.r
	var items []string
	for _, k := range []string{"samples", "power", "sums", "energy", "supplies", "va", "air", "trend", "wear", "rates", "purchase", "words"} {
		items = append(items, w.Say("cmethod."+k))
	}
	air := w.table("air-limits", "envelope", "low_celsius>", "high_celsius>", "dew_low>", "dew_high>", "dry>", "wet>")
	limit := func(v float64) report.Cell {
		if v == 0 {
			return report.None()
		}
		return report.Number(v)
	}
	for _, x := range []struct {
		name string
		e    Envelope
	}{{w.Say("envelope.recommended"), r.AirLimits.Recommended}, {w.Say("envelope.allowable", r.AirLimits.Class), r.AirLimits.Allowable}} {
		if x.e == (Envelope{}) {
			continue
		}
		air.Rows = append(air.Rows, []report.Cell{report.Text(x.name), report.Number(x.e.Low), report.Number(x.e.High), report.Number(x.e.DewLow), report.Number(x.e.DewHigh), limit(x.e.Dry), limit(x.e.Wet)})
	}
	facts := []report.Fact{{Name: w.Say("fact.program"), Cell: report.Text(r.Program)}, {Name: w.Say("fact.generated"), Cell: report.TimeCell(r.GeneratedAt)}}
	if r.MadeBy != "" {
		facts = append(facts, report.Fact{Name: w.Say("fact.made_by"), Cell: report.Text(r.MadeBy)})
	}
	if r.ConfigSum != "" {
		facts = append(facts, report.Fact{Name: w.Say("fact.config"), Cell: report.Text(r.ConfigSum)})
	}
	return w.section("method", true, report.List{Items: items}, air, report.Heading{Text: w.Say("heading.made")}, report.Facts{Rows: facts}, report.Paragraph{Text: w.Say("method.evidence")})
}

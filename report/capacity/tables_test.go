package capacity

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"dewline/health"
	"dewline/report"
)

// given is what a cell is to hold: nothing where there is no figure.
func given[T any](p *T) any {
	if p == nil {
		return ""
	}
	return *p
}

func spreadOf(s *Spread, of func(*Spread) float64) any {
	if s == nil {
		return ""
	}
	return of(s)
}

// TestTheTablesShowTheFiguresOfTheJSON: a figure under another head would be believed. Every number of every table is compared with that of the
// report by the name of its column.
func TestTheTablesShowTheFiguresOfTheJSON(t *testing.T) {
	f := smallFleet(5)
	q := smallRequest(f)
	// Figures that are alike would hide that they stand under each other's head.
	q.Assets["web-2"] = Asset{Installed: begin.AddDate(-2, 0, 0), WarrantyUntil: end.AddDate(2, 0, 0)}
	for i := range f.Faults {
		if x := &f.Faults[i]; x.Class == health.ClassFan && x.Cleared.Sub(x.Opened) == 3*time.Hour {
			x.Cleared = x.Cleared.Add(5 * time.Hour)
		}
	}
	rep, err := Build(t.Context(), f, q)
	if err != nil {
		t.Fatal(err)
	}
	en, err := report.TextsIn(report.Reference)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]report.Table{}
	for _, s := range rep.Document(en).Sections {
		for _, b := range s.Blocks {
			if x, ok := b.(report.Table); ok {
				tables[x.ID] = x
			}
		}
	}
	compared := map[string]bool{}
	// check compares row n of a table with values by column, in the order of want: some names, and then columns and figures by turns.
	check := func(id string, names []any, want ...any) {
		t.Helper()
		x := tables[id]
		place := map[string]int{}
		for i, c := range x.Columns {
			place[c.Key] = i
		}
		for _, r := range x.Rows {
			same := true
			for i, n := range names {
				same = same && (r[i].Text == fmt.Sprint(n) || fmt.Sprint(r[i].Value) == fmt.Sprint(n))
			}
			if !same {
				continue
			}
			for i := 0; i < len(want); i += 2 {
				k, ok := place[want[i].(string)]
				if !ok {
					t.Errorf("%s has no column %v", id, want[i])
					continue
				}
				compared[id+"."+x.Columns[k].Key] = true
				got := r[k].Value
				if got == nil {
					got = r[k].Text
				}
				if got != want[i+1] {
					t.Errorf("%s %v: %v = %v (%T), want %v (%T)", id, names, want[i], got, got, want[i+1], want[i+1])
				}
			}
			return
		}
		t.Errorf("%s has no row %v", id, names)
	}
	for i := range rep.Groups {
		g := &rep.Groups[i]
		d := func(of func(*Spread) float64) any { return spreadOf(g.Draw, of) }
		check("power-groups", []any{valueName(g), g.Kind}, "servers", g.Servers, "p50_watts", d(p50), "p95_watts", d(p95), "p99_watts", d(p99), "max_watts", d(most),
			"sampling_seconds", g.Sampling, "coverage", g.Coverage, "excluded", g.Excluded, "scaled", g.Scaled, "kwh", given(g.Energy), "gap_hours", g.Gap)
		if g.Draw != nil {
			check("power-groups", []any{valueName(g), g.Kind}, "steps", g.Draw.N)
		}
		if b := g.Budget; b != nil {
			check("budgets", []any{valueName(g), g.Kind}, "budget_va", b.VoltAmperes, "power_factor", b.PowerFactor, "p99_va", given(b.P99), "max_va", given(b.Max), "share", given(b.Share), "stranded_va", given(b.Stranded), "rated_watts", given(g.Rated))
		}
		if x := g.Trend; x.OK() {
			check("forecast", []any{groupName(writer{en, rep}, g.Kind, g.Site, g.Name), "power"}, "days", x.Days, "level", x.Level, "slope", x.Slope, "slope_low", x.Low, "slope_high", x.High)
		}
		if r := g.Reach; r != nil {
			check("forecast", []any{groupName(writer{en, rep}, g.Kind, g.Site, g.Name), "power"}, "limit", r.Limit, "result", r.Result, "at", day(r.At).Value, "earliest", day(r.Earliest).Value, "latest", day(r.Latest).Value)
		}
	}
	for i := range rep.Servers {
		s := &rep.Servers[i]
		p, c := &s.Power, &s.Cooling
		d := func(of func(*Spread) float64) any { return spreadOf(p.Draw, of) }
		in := func(of func(*Spread) float64) any { return spreadOf(c.Inlet, of) }
		check("coverage", []any{s.Target}, "watched_days", s.Watched, "coverage", s.Coverage, "power_coverage", p.Coverage, "inlet_coverage", c.Coverage)
		check("power-servers", []any{s.Target}, "source", p.Source, "p50_watts", d(p50), "p95_watts", d(p95), "p99_watts", d(p99), "max_watts", d(most), "highest_sample_watts", given(p.Highest),
			"coverage", p.Coverage, "kwh", given(p.Energy), "gap_hours", p.Gap)
		check("supplies", []any{s.Target}, "supplies", p.Supplies, "rated_watts", given(p.Capacity), "one_lost_watts", given(p.OneLost), "highest_sample_watts", given(p.Highest), "headroom_watts", given(p.Headroom),
			"not_rated", p.Unrated, "limit_watts", given(p.Limit))
		check("cooling", []any{s.Target}, "p50_celsius", in(p50), "p95_celsius", in(p95), "p99_celsius", in(p99), "max_celsius", in(most), "headroom_kelvin", given(c.Headroom), "above_rack", given(c.Hot),
			"duty_p95", spreadOf(c.Duty, p95))
		if c.Duty != nil {
			check("fans", []any{s.Target}, "duty_p50", c.Duty.P50, "duty_p95", c.Duty.P95, "duty_max", c.Duty.Max, "steps", c.Duty.N, "inlet_from", c.Warmest.From, "warmest_steps", c.Warmest.N, "warmest_duty_p95", given(c.Warmest.Duty))
		}
		o := c.Outside
		check("envelopes", []any{s.Target}, "judged_hours", o.TemperatureHours, "outside_recommended_hours", given(o.RecommendedWarm), "outside_allowable_hours", given(o.AllowableTemperature),
			"moisture_judged_hours", o.MoistureHours, "moisture_outside_recommended_hours", given(o.RecommendedMoisture), "moisture_outside_allowable_hours", given(o.AllowableMoisture))
		check("moisture", []any{s.Target}, "dew_point_p99", spreadOf(c.DewPoint, p99), "dew_point_headroom", given(c.DewHeadroom), "humidity_min", spreadOf(c.Humidity, least), "humidity_p99", spreadOf(c.Humidity, p99),
			"margin_min", spreadOf(c.Margin, least), "margin_p50", spreadOf(c.Margin, p50))
	}
	for i := range rep.WhatIf {
		x := &rep.WhatIf[i]
		var va, budget any = "", ""
		if x.Budget != nil {
			va, budget = given(x.Budget.P99), x.Budget.VoltAmperes
		}
		for _, r := range tables["what-if"].Rows {
			if r[0].Text == x.Change && r[1].Text == placeName(x.Kind, x.Site, x.Name) && r[2].Value == x.Kind {
				for k, want := range map[int]any{4: spreadOf(x.Before, p99), 5: spreadOf(x.After, p99), 6: given(x.PerUnit), 7: va, 8: budget, 9: x.Result} {
					if r[k].Value != want {
						t.Errorf("what-if %s %s: %s = %v, want %v", x.Change, x.Name, tables["what-if"].Columns[k].Key, r[k].Value, want)
					}
				}
				compared["what-if"] = true
			}
		}
	}
	for i := range rep.Drives {
		d := &rep.Drives[i]
		want := []any{"life_left", given(d.LifeLeft), "media_errors", given(d.MediaErrors), "new_errors", given(d.NewErrors), "power_on_hours", given(d.PowerOn), "replace", d.Replace}
		if d.Wear.OK() {
			want = append(want, "slope", d.Wear.Slope, "slope_low", d.Wear.Low, "slope_high", d.Wear.High, "at", day(d.Reach.At).Value, "earliest", day(d.Reach.Earliest).Value, "latest", day(d.Reach.Latest).Value)
		}
		check("drives", []any{d.Target, d.Component}, want...)
	}
	for _, m := range rep.DriveModels {
		check("drive-models", []any{m.Model, m.Age}, "drives", m.Drives, "exposure_years", m.Failed.Exposure, "failures", m.Failed.Count, "failure_rate", given(m.Failed.PerYear), "failure_low", given(m.Failed.Low),
			"failure_high", given(m.Failed.High), "predicted", m.Predicted.Count, "predicted_rate", given(m.Predicted.PerYear), "predicted_low", given(m.Predicted.Low), "predicted_high", given(m.Predicted.High))
	}
	for _, c := range rep.Capacity {
		check("capacity", []any{c.Class}, "parts", c.Parts, "terabytes", float64(c.Bytes)/1e12, "unsized", c.Unsized)
	}
	for _, m := range rep.Models {
		check("models", []any{m.Manufacturer, m.Model}, "servers", m.Servers, "age_years", given(m.AgeYears), "dated", m.Dated, "out_of_warranty", m.OutOfWarranty, "ends_soon", m.EndsSoon, "no_warranty", m.NoWarranty)
	}
	for _, m := range rep.Memory {
		check("memory-errors", []any{m.Target, m.Component}, "counted", given(m.Counted), "logged", m.Logged, "trend", m.Trend, "open", m.Open)
	}
	for _, u := range rep.Use {
		check("utilisation", []any{u.Target, u.Component}, "p50_percent", u.Percent.P50, "p95_percent", u.Percent.P95, "max_percent", u.Percent.Max, "samples", u.Percent.N)
	}
	for _, c := range rep.Reliability.Classes {
		var parts any = c.Parts
		if c.Parts == 0 {
			parts = ""
		}
		check("fault-rates", []any{c.Class, c.Kind}, "parts", parts, "exposure_years", c.Exposure, "count", c.Count, "rate", given(c.PerYear), "rate_low", given(c.Low), "rate_high", given(c.High))
	}
	for _, m := range rep.Reliability.Models {
		check("fault-models", []any{m.Manufacturer, m.Model}, "servers", m.Servers, "exposure_years", m.Exposure, "count", m.Count, "rate", given(m.PerYear), "rate_low", given(m.Low), "rate_high", given(m.High))
	}
	for _, o := range rep.Reliability.Offenders {
		check("repeat-offenders", []any{o.Target, o.Component}, "times", o.Times, "last", o.Last, "open", o.Open)
	}
	for _, x := range rep.Reliability.Redundancy {
		check("redundancy", []any{x.Target, x.Class}, "lost_hours", x.Lost, "degraded_hours", x.Degraded, "times", x.Times, "open", x.Open)
	}
	for _, x := range rep.Reliability.Clearing {
		check("time-to-clear", []any{x.Class}, "cleared", x.Cleared, "mean_hours", given(x.Mean), "median_hours", given(x.Median), "still_open", x.Open)
	}
	for _, l := range rep.Resilience.Losses {
		check("losses", []any{placeName(l.Kind, l.Site, l.Name), l.Kind, en.Say("all.servers")}, "lost_servers", l.Servers, "left_servers", l.Left, "p99_watts", given(l.Draw), "room_va", given(l.Room))
		for _, m := range l.Models {
			check("losses", []any{placeName(l.Kind, l.Site, l.Name), l.Kind, m.Model}, "lost_servers", m.Servers, "left_servers", m.Left)
		}
	}
	for _, g := range rep.Resilience.Buy.Growth {
		check("purchase", []any{g.Growth}, "percent_a_year", g.PercentAYear, "kilowatts", g.KW)
	}
	if len(compared) < 110 {
		t.Errorf("only %d columns were compared", len(compared))
	}
}

func TestWhatUsesMostOfItsBudgetComesFirst(t *testing.T) {
	l := newLab(t, 1, "a", "b", "c")
	for i, rack := range []string{"A1", "A2", "A3"} {
		l.fleet.Machines[i].Target.Rack, l.q.Targets[i].Rack = rack, rack
		l.reads(string(l.q.Targets[i].ID), board, always([]float64{100, 300, 200}[i]))
		l.q.Racks = append(l.q.Racks, Budget{Name: rack, VoltAmperes: 250, PowerFactor: 1})
	}
	rep := l.build()
	var names []string
	for _, g := range mostUsed(rep.Groups) {
		names = append(names, g.Kind+" "+g.Name)
	}
	if want := []string{"rack A2", "rack A3", "rack A1", "all ", "site x"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if b := rep.Groups[3].Budget; !b.Over || *b.Stranded != 0 {
		t.Errorf("over its budget, and %v VA are stranded", *b.Stranded)
	}
}

// TestTheArithmeticOfThePurchaseIsThatOfItsKilowatts: whoever follows it with a pocket calculator must come to the same.
func TestTheArithmeticOfThePurchaseIsThatOfItsKilowatts(t *testing.T) {
	f := smallFleet(5)
	rep, err := Build(t.Context(), f, smallRequest(f))
	if err != nil {
		t.Fatal(err)
	}
	en, err := report.TextsIn(report.Reference)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, b := range (writer{en, rep}).resilience().Blocks {
		x, ok := b.(report.Table)
		if !ok || x.ID != "purchase" {
			continue
		}
		for _, r := range x.Rows {
			var watts, margin, growth float64
			if _, err := fmt.Sscanf(r[2].Text, "%f W × %f × %f ÷ 1000", &watts, &margin, &growth); err != nil {
				t.Fatalf("%q: %v", r[2].Text, err)
			}
			if kw := watts * margin * growth / 1000; kw/r[3].Value.(float64) > 1.002 || kw/r[3].Value.(float64) < 0.998 {
				t.Errorf("%s is %.4f kW, and %.4f are told", r[2].Text, kw, r[3].Value)
			}
			rows++
		}
	}
	if rows != 4 {
		t.Errorf("%d rows", rows)
	}
}

package capacity

import (
	"math"
	"slices"
	"strings"
	"testing"

	"dewline/health"
	"dewline/report"
)

func TestDisksToReplace(t *testing.T) {
	l := newLab(t, 40, "s").reads("s", board, always(100))
	daily := func(v func(day int) float64) func(int) float64 {
		return func(k int) float64 {
			if k%288 == 0 {
				return v(k / 288)
			}
			return nan
		}
	}
	drive := func(n string, q health.Quantity, u health.Unit, v func(day int) float64) {
		l.reads("s", series("drive/"+n, q, u), daily(v))
	}
	for _, n := range []string{"1", "2", "3", "4", "5"} {
		l.has("s", part("drive/"+n, health.ClassDrive, "D", "", 1e12))
	}
	drive("1", health.LifeLeft, health.Percent, func(int) float64 { return 7 })
	drive("2", health.LifeLeft, health.Percent, func(d int) float64 { return 60 - float64(d)/2 })
	drive("3", health.LifeLeft, health.Percent, func(int) float64 { return 90 })
	drive("3", health.MediaErrors, health.Number, func(d int) float64 { return []float64{50, 53, 2}[min(d/10, 2)] }) // exchanged on the twentieth day
	l.fault("s", "drive/4", health.ClassDrive, health.KindFailed, 500, 0)
	l.fault("s", "drive/5", health.ClassDrive, health.KindPredictedFailure, 500, 0)
	l.fault("s", "drive/3", health.ClassDrive, health.KindFailed, 5, 10).AtStart = true
	l.fault("s", "drive/9", health.ClassDrive, health.KindFailed, 600, 20) // taken out
	l.fault("s", "drive/9", health.ClassDrive, health.KindPredictedFailure, 550, 20)
	rep := l.build()
	want := map[health.ComponentID]string{"drive/1": "worn", "drive/2": "wears_out", "drive/3": "", "drive/4": "failed", "drive/5": "predicted"}
	for _, d := range rep.Drives {
		if d.Replace != want[d.Component] {
			t.Errorf("%s: %q, want %q", d.Component, d.Replace, want[d.Component])
		}
		if d.Component == "drive/3" && (d.NewErrors == nil || *d.NewErrors != 3+2) {
			t.Errorf("new errors of a drive that was exchanged: %v", *d.NewErrors)
		}
	}
	if n := said(rep.Decision.Buy, "buy.drives_now"); n == nil || !strings.HasSuffix(n.Detail, "(3): s drive/1, s drive/4, s drive/5") {
		t.Errorf("%+v", rep.Decision.Buy)
	}
	if n := said(rep.Decision.Buy, "buy.drives_soon"); n == nil || !strings.HasSuffix(n.Detail, "(1): s drive/2") {
		t.Errorf("%+v", rep.Decision.Buy)
	}
	// One that failed and was taken out failed all the same; nothing tells its model, nor for how long it was watched.
	if len(rep.DriveModels) != 2 {
		t.Fatalf("%+v", rep.DriveModels)
	}
	for _, m := range rep.DriveModels {
		drives, failed, predicted := 5, 1, 1
		if m.Age == gone {
			drives = 1
		}
		if m.Drives != drives || m.Failed.Count != failed || m.Predicted.Count != predicted || (m.Failed.PerYear == nil) != (m.Age == gone) {
			t.Errorf("%+v", m)
		}
	}
}

func TestAgesOfDisks(t *testing.T) {
	for h, want := range map[float64]string{0: "under_1y", 8765: "under_1y", 8767: "1_3y", 26297: "1_3y", 26299: "3_5y", 43829: "3_5y", 43831: "over_5y"} {
		if got := ageOf(&h); got != want {
			t.Errorf("%v hours: %s, want %s", h, got, want)
		}
	}
	if got := ageOf(nil); got != "unknown" {
		t.Error(got)
	}
}

func TestCorrectedErrorsRiseOnlyBeyondChance(t *testing.T) {
	for _, c := range []struct {
		late, all float64
		want      string
	}{{8, 8, "rising"}, {0, 8, "falling"}, {6, 8, "steady"}, {2, 8, "steady"}, {60, 100, "steady"}, {61, 100, "rising"}, {39, 100, "falling"}} {
		if got := halves(c.late, c.all); got != c.want {
			t.Errorf("%v of %v in the second half: %s, want %s", c.late, c.all, got, c.want)
		}
	}
	l := newLab(t, 4, "s").reads("s", board, always(100))
	event := func(c string, day, n int, tr health.Transition) {
		for range n {
			l.fleet.Events = append(l.fleet.Events, health.Event{Target: "s", Component: health.ComponentID(c), Class: health.ClassMemory, Kind: health.KindCorrectableError, Transition: tr, At: dawn.AddDate(0, 0, day)})
		}
	}
	event("memory/1", 3, 9, health.Momentary)
	event("memory/2", 3, 7, health.Momentary)
	event("memory/3", 3, 9, health.Cleared) // the end of a condition is no error
	event("memory/4", 3, 9, health.Unmonitored)
	rep := l.build()
	if len(rep.Memory) != 2 || rep.Memory[0].Trend != "rising" || rep.Memory[0].Logged != 9 || rep.Memory[1].Trend != "few" {
		t.Errorf("%+v", rep.Memory)
	}
	if n := said(rep.Decision.Retire, "retire.errors"); n == nil || !strings.HasSuffix(n.Detail, "(1): s memory/1") {
		t.Errorf("%+v", rep.Decision.Retire)
	}
}

func TestWarranties(t *testing.T) {
	l := newLab(t, 10, "over", "over-now", "soon", "later", "untold")
	for _, m := range l.fleet.Machines {
		l.reads(string(m.Target.ID), board, always(100))
	}
	l.q.Assets = map[health.TargetID]Asset{
		"over": {WarrantyUntil: dawn.AddDate(-1, 0, 0)}, "over-now": {WarrantyUntil: dawn.AddDate(0, 0, 5)}, "soon": {WarrantyUntil: l.q.Until.AddDate(0, 11, 0)}, "later": {WarrantyUntil: l.q.Until.AddDate(2, 0, 0)},
	}
	rep := l.build()
	if m := rep.Models[0]; m.OutOfWarranty != 2 || m.EndsSoon != 1 || m.NoWarranty != 1 || m.AgeYears != nil {
		t.Errorf("%+v", m)
	}
	if n := said(rep.Decision.Retire, "retire.warranty"); n == nil || !strings.HasSuffix(n.Detail, "(2): over, over-now") {
		t.Errorf("%+v", rep.Decision.Retire)
	}
}

func TestWhichFaultsCountForWhat(t *testing.T) {
	l := newLab(t, 4, "s").reads("s", board, always(100)).has("s", part("fan/1", health.ClassFan, "", "", 0), part("fan/2", health.ClassFan, "", "", 0), part("fan/3", health.ClassFan, "", "", 0))
	l.fault("s", "fan/1", health.ClassFan, health.KindFailed, 100, 24)
	l.fault("s", "fan/1", health.ClassFan, health.KindFailed, 300, 48)                  // twice is no repeat offender
	l.fault("s", "fan/2", health.ClassFan, health.KindDegraded, 400, 12).Flap.Count = 5 // one fault that came and went
	l.fault("s", "fan/3", health.ClassFan, health.KindFailed, 20, 10).AtStart = true
	l.fault("s", "fan/3", health.ClassFan, health.KindInfo, 30, 10)
	l.fault("s", "fan/3", health.ClassFan, health.KindOverThreshold, 700, 24).State = health.Unmonitored // nobody knows whether it was cleared
	rep := l.build()
	r := &rep.Reliability
	counts := map[health.Kind]int{}
	for _, c := range r.Classes {
		counts[c.Kind] += c.Count
	}
	if r.AtStart != 1 || counts[health.KindFailed] != 2 || counts[health.KindDegraded] != 1 || counts[health.KindInfo] != 0 || counts[health.KindOverThreshold] != 1 || rep.Servers[0].Faults != 4 {
		t.Errorf("%d at start, %v, %d of the server", r.AtStart, counts, rep.Servers[0].Faults)
	}
	if len(r.Offenders) != 1 || r.Offenders[0].Component != "fan/2" || r.Offenders[0].Times != 5 {
		t.Errorf("repeat offenders: %+v", r.Offenders)
	}
	if n := said(rep.Decision.Retire, "retire.offenders"); n == nil || !strings.HasSuffix(n.Detail, "(1): s fan/2 (5 × degraded)") {
		t.Errorf("%+v", rep.Decision.Retire)
	}
	if c := r.Clearing[0]; c.Cleared != 3 || math.Abs(*c.Mean-(2+4+1)/3.0) > 1e-9 || *c.Median != 2 || c.Open != 0 {
		t.Errorf("time to clear: %+v", c)
	}
}

func TestTheWorstLossAndTheRoomElsewhere(t *testing.T) {
	build := func(budgets ...Budget) (*Report, *Loss) {
		l := newLab(t, 1, "a", "b", "c")
		for i, rack := range []string{"A1", "A2", "A3"} {
			l.fleet.Machines[i].Target.Rack, l.q.Targets[i].Rack = rack, rack
			l.reads(string(l.q.Targets[i].ID), board, always([]float64{100, 300, 200}[i]))
		}
		l.q.Racks = budgets
		rep := l.build()
		return rep, &rep.Resilience.Losses[0]
	}
	b := func(name string, va float64) Budget {
		return Budget{Name: name, Site: "x", VoltAmperes: va, PowerFactor: 1}
	}
	rep, worst := build(b("A1", 500), b("A2", 5000), b("A3", 150))
	if worst.Name != "A2" || worst.Servers != 1 || worst.Left != 2 {
		t.Errorf("of racks with as many servers that which draws most is the worst: %+v", worst)
	}
	if worst.Room == nil || math.Abs(*worst.Room-400) > 1 { // none in A3, which is over its budget, and its own does not count
		t.Errorf("room elsewhere: %v", worst.Room)
	}
	if p := rep.Resilience.Whole; p == nil || p.Kind != "site" || p.Servers != 3 || math.Abs(p.Growth[0].KW-0.66) > 0.006 {
		t.Errorf("the purchase line of the room: %+v", p)
	}
	var lines []string
	for _, n := range rep.Decision.Buy {
		if strings.HasPrefix(n.Key, "buy.spares") {
			lines = append(lines, n.Key+": "+n.Detail)
		}
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "spares_today: spare servers (1) and 0.33 kW of colocation, to carry the loss of x/A2") || !strings.Contains(lines[1], "spare servers (3) and 0.66 kW of colocation, to carry the loss of x ") ||
		!strings.Contains(lines[0], "no growth is in it") {
		t.Errorf("%q", lines)
	}
	if _, worst = build(b("A1", 500), b("A2", 5000)); worst.Room != nil {
		t.Errorf("a rack without a budget has room that is not known: %v", *worst.Room)
	}
	if rep, _ = build(); rep.Resilience.Losses[0].Room != nil {
		t.Error("room without any budget")
	}
}

func TestOneRackThatIsTheRoomIsBoughtForOnce(t *testing.T) {
	l := newLab(t, 1, "a", "b").reads("a", board, always(100)).reads("b", board, always(100))
	if rep := l.build(); rep.Resilience.Whole != nil || rep.Resilience.Buy == nil || len(rep.Resilience.Losses) != 2 {
		t.Errorf("%+v", rep.Resilience)
	}
}

// TestSerialNumbersThatManySuppliesHave are no sign of one chassis.
func TestSerialNumbersThatManySuppliesHave(t *testing.T) {
	for serial, shared := range map[string]bool{"CH12345": true, "00000000": false, "N/A": false, "": false} {
		l := newLab(t, 1, "a", "b")
		for _, n := range []string{"a", "b"} {
			p := part("psu/1", health.ClassPSU, "", "", 0)
			p.Serial = serial
			l.reads(n, psu1, always(100)).reads(n, board, always(40)).has(n, p)
		}
		if got := l.build().Servers[0].Power.Shared; got != shared {
			t.Errorf("%q: %v", serial, got)
		}
	}
}

// TestWhatCouldNotBeSeenIsSaid: each limit of a review is named on its first page, and not where there is none.
func TestWhatCouldNotBeSeenIsSaid(t *testing.T) {
	good := func() *Report {
		day := &Spread{N: 1}
		return &Report{Days: 90, Servers: []Server{{Target: "s", Power: Power{Source: "psu_input", Draw: day, Coverage: 1, Supplies: 2}, Cooling: Cooling{Inlet: day, DewPoint: day}}}, Budgets: []BudgetUsed{{}},
			Drives: []Drive{{LifeLeft: new(50.0)}}, Use: []Use{{}}, Models: []Model{{Dated: 1}}}
	}
	plain := func() *fleet {
		return &fleet{q: &Request{From: dawn, Until: dawn.AddDate(0, 0, 90), Feeds: []Feed{{}}}}
	}
	for key, spoil := range map[string]func(*Report, *fleet){
		"":                   func(*Report, *fleet) {},
		"unseen.short":       func(r *Report, f *fleet) { r.Days, f.q.From = 29.9, f.q.Until.AddDate(0, 0, -30) },
		"unseen.window":      func(r *Report, _ *fleet) { r.Days = 60 },
		"unseen.stopped":     func(r *Report, _ *fleet) { r.Stopped = new(0.5) },
		"unseen.never":       func(_ *Report, f *fleet) { f.q.NeverRead = []health.TargetID{"n"} },
		"unseen.retired":     func(_ *Report, f *fleet) { f.q.Retired = []health.TargetID{"n"} },
		"unseen.power":       func(r *Report, _ *fleet) { r.Servers[0].Power.Draw = nil },
		"unseen.coverage":    func(r *Report, _ *fleet) { r.Servers[0].Power.Coverage = 0.94 },
		"unseen.board":       func(r *Report, _ *fleet) { r.Servers[0].Power.Source = "mixed" },
		"unseen.shared":      func(r *Report, _ *fleet) { r.Servers[0].Power.Shared = true },
		"unseen.ratings":     func(r *Report, _ *fleet) { r.Servers[0].Power.Unrated = 1 },
		"unseen.equipment":   func(_ *Report, f *fleet) { f.equipment = []health.TargetID{"pdu"} },
		"unseen.inlet":       func(r *Report, _ *fleet) { r.Servers[0].Cooling.Inlet = nil },
		"unseen.moisture":    func(r *Report, _ *fleet) { r.Servers[0].Cooling.DewPoint = nil },
		"unseen.budgets":     func(r *Report, _ *fleet) { r.Budgets = nil },
		"unseen.feeds":       func(_ *Report, f *fleet) { f.q.Feeds = nil },
		"unseen.feed_map":    func(_ *Report, f *fleet) { f.bare = []string{"left"} },
		"unseen.wear":        func(r *Report, _ *fleet) { r.Drives[0].LifeLeft = nil },
		"unseen.utilisation": func(r *Report, _ *fleet) { r.Use = nil },
		"unseen.dates":       func(r *Report, _ *fleet) { r.Models[0].Dated = 0 },
		"unseen.lack.runs":   func(r *Report, _ *fleet) { r.Lacks = []report.Lack{report.LackRuns} },
	} {
		r, f := good(), plain()
		spoil(r, f)
		r.decide(f)
		var keys []string
		for _, n := range r.Decision.Unseen {
			keys = append(keys, n.Key)
		}
		want := []string{"unseen.peaks", "unseen.work"} // never seen
		if key != "" {
			want = append([]string{key}, want...)
		}
		if !slices.Equal(keys, want) {
			t.Errorf("not seen: %q, want %q", keys, want)
		}
		if len(r.Decision.Buy)+len(r.Decision.Retire)+len(r.Decision.Watch) != 0 {
			t.Errorf("%s: %+v", key, r.Decision)
		}
	}
}

// TestATimeThatEndedWithoutReadings is no time with data.
func TestATimeThatEndedWithoutReadings(t *testing.T) {
	rep := newLab(t, 5, "a", "b").reads("a", board, until(288, 100, nan)).reads("b", board, func(k int) float64 {
		if k >= 100 && k < 300 || k == 3*288 {
			return 100
		}
		return nan
	}).build()
	// From the first day to the begin of the fourth, and nothing on the third.
	if want := dawn.AddDate(0, 0, 3).Add(health.AlignStep); !rep.DataUntil.Equal(want) || math.Abs(rep.Days-(2+1.0/288)) > 1e-9 {
		t.Errorf("%v days with data, until %v", rep.Days, rep.DataUntil)
	}
	if n := said(rep.Decision.Unseen, "unseen.ended"); n == nil || !strings.HasPrefix(n.Detail, "the last 48 hours") {
		t.Errorf("%+v", rep.Decision.Unseen)
	}
}

func TestABudgetThatIsReachedSoonIsToWatch(t *testing.T) {
	l := newLab(t, 40, "s").reads("s", board, func(k int) float64 { return 400 + float64(k)/288 })
	l.q.Racks = []Budget{{Name: "A1", VoltAmperes: 500, PowerFactor: 1}}
	rep := l.build()
	if n := said(rep.Decision.Watch, "watch.budget"); n == nil || !strings.HasPrefix(n.Detail, "x/A1 reaches its budget on "+l.q.Until.AddDate(0, 0, 59).Format("2006-01-02")) {
		t.Errorf("%+v %+v", rep.Decision.Watch, rep.Groups[2].Reach)
	}
}

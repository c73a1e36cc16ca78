package capacity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dewline/health"
	"dewline/report"
	"dewline/report/reporttest"
)

var dawn = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// room is n servers of one rack that draw 100 W each for some hours; missing tells which were not read in which step.
func room(n, steps int, missing func(server, step int) bool) (*reporttest.Fleet, Request) {
	f := &reporttest.Fleet{}
	q := Request{From: dawn, Until: dawn.Add(time.Duration(steps) * health.AlignStep), GeneratedAt: dawn.AddDate(1, 0, 0)}
	for i := range n {
		m := reporttest.NewMachine(health.Target{ID: health.TargetID(fmt.Sprintf("s-%02d", i)), Site: "x", Rack: "A1"})
		for k := range steps {
			if !missing(i, k) {
				m.Read(board, health.ClassPower, dawn.Add(time.Duration(k)*health.AlignStep), 100+float64(i))
			}
		}
		f.Machines = append(f.Machines, m)
		q.Targets = append(q.Targets, m.Target)
	}
	return f, q
}

func rackOf(t *testing.T, f report.FleetReader, q Request) *Group {
	t.Helper()
	rep, err := Build(t.Context(), f, q)
	if err != nil {
		t.Fatal(err)
	}
	k := slices.IndexFunc(rep.Groups, func(g Group) bool { return g.Kind == "rack" })
	if k < 0 {
		t.Fatal("no rack")
	}
	return &rep.Groups[k]
}

func TestSumsOfServersOfWhichSomeAreMissing(t *testing.T) {
	sum := 40*100.0 + 39*40/2 // of forty servers
	for _, c := range []struct {
		name                      string
		servers                   int
		missing                   func(server, step int) bool
		counted, scaled, excluded int
		most, atLeast             float64
	}{
		{"all are read", 40, func(int, int) bool { return false }, 12, 0, 0, sum, 0},
		{"two of forty are missing: 95 % are read, and the sum is scaled", 40, func(s, k int) bool { return s < 2 && k < 4 }, 12, 4, 0, (sum - 201) * 40 / 38, 0},
		{"three of forty are missing: the step is excluded", 40, func(s, k int) bool { return s < 3 && k > 0 && k < 5 }, 8, 0, 4, sum, 0},
		{"one of nineteen is missing: the step is excluded", 19, func(s, k int) bool { return s == 0 && k == 3 }, 11, 0, 1, 19*100 + 18*19/2, 0},
		{"one of ten is never read after the first step: there is no sum but that step's", 10, func(s, k int) bool { return s == 0 && k > 0 }, 1, 0, 11, 1045, 0},
		{"none of two is read at once: a lower bound", 2, func(s, k int) bool { return k%2 == s }, 0, 0, 12, 0, 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, q := room(c.servers, 12, c.missing)
			g := rackOf(t, f, q)
			if g.Counted != c.counted || g.Scaled != c.scaled || g.Excluded != c.excluded {
				t.Errorf("counted %d, scaled %d, excluded %d; want %d, %d, %d", g.Counted, g.Scaled, g.Excluded, c.counted, c.scaled, c.excluded)
			}
			switch {
			case c.counted == 0:
				if g.Draw != nil || g.AtLeast == nil || g.AtLeast.Max != c.atLeast {
					t.Errorf("draw %+v, at least %+v", g.Draw, g.AtLeast)
				}
			case g.Draw == nil || math.Abs(g.Draw.Max-c.most) > 1e-6 || g.AtLeast != nil:
				t.Errorf("draw %+v, at least %+v; want a maximum of %v", g.Draw, g.AtLeast, c.most)
			}
		})
	}
}

// TestDaysWithoutAnyReadingAreExcluded: when dewline did not run at all, no day is told of, and none may be forgotten.
func TestDaysWithoutAnyReadingAreExcluded(t *testing.T) {
	f, q := room(3, 288*5, func(_, k int) bool { return k >= 288+100 && k < 3*288+50 })
	g := rackOf(t, f, q)
	rep, err := Build(t.Context(), f, q)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Days != 4 || !rep.DataUntil.Equal(q.Until) || said(rep.Decision.Unseen, "unseen.ended") != nil { // the third day had nothing
		t.Errorf("%v days with data, until %v", rep.Days, rep.DataUntil)
	}
	if want := 3*288 + 50 - (288 + 100); g.Excluded != want || g.Counted != 5*288-want || math.Abs(g.Gap-float64(want)/12) > 1e-9 {
		t.Errorf("excluded %d, counted %d, gap %v h", g.Excluded, g.Counted, g.Gap)
	}
	if math.Abs(*g.Energy-g.Hours*303/1000) > 1e-9 {
		t.Errorf("%v kWh in %v h: gaps are not filled", *g.Energy, g.Hours)
	}
}

func TestAFleetOfWhichNothingWasReadHasNoFigures(t *testing.T) {
	f, q := room(2, 12, func(int, int) bool { return true })
	rep, err := Build(t.Context(), f, q)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.DataFrom.IsZero() || rep.Days != 0 || rep.Servers[0].Power.Draw != nil || rep.Groups[0].Draw != nil || rep.Groups[0].AtLeast != nil {
		t.Errorf("%+v", rep)
	}
	for _, lang := range report.Languages() {
		texts, err := report.TextsIn(lang)
		if err != nil {
			t.Fatal(err)
		}
		if d := rep.Document(texts); len(d.Sections) != 12 {
			t.Errorf("%s: %d sections", lang, len(d.Sections))
		}
	}
}

func TestBadRequests(t *testing.T) {
	f, good := room(1, 12, func(int, int) bool { return false })
	for name, spoil := range map[string]func(*Request){
		"no server to review":                    func(q *Request) { q.Targets = nil },
		"has no length":                          func(q *Request) { q.From = q.Until },
		"ends after the time of the report":      func(q *Request) { q.GeneratedAt = q.Until.Add(-time.Hour) },
		"the window ends after the time of the ": func(q *Request) { q.GeneratedAt = time.Time{} },
	} {
		q := good
		spoil(&q)
		if _, err := Build(t.Context(), f, q); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// TestPoissonIntervals compares with published values (Garwood; the usual table of exact limits of a Poisson count, 95 %).
func TestPoissonIntervals(t *testing.T) {
	for k, want := range map[int][2]float64{0: {0, 3.689}, 1: {0.0253, 5.572}, 2: {0.242, 7.225}, 5: {1.623, 11.668}, 10: {4.795, 18.390}, 50: {37.111, 65.919}, 100: {81.364, 121.627}} {
		if low, high := poisson(k); math.Abs(low-want[0]) > 0.002 || math.Abs(high-want[1]) > 0.002 {
			t.Errorf("%d: %v to %v, want %v", k, low, high, want)
		}
	}
	if r := rateOf(3, 0); r.PerYear != nil || r.Low != nil || r.High != nil {
		t.Errorf("a rate without exposure: %+v", r)
	}
}

func line(n int, at func(day int) float64) []dayValue {
	var out []dayValue
	for i := range n {
		out = append(out, dayValue{dayNumber(dawn) + int32(i), at(i)})
	}
	return out
}

func TestTrends(t *testing.T) {
	end := dawn.Add(60 * 24 * time.Hour)
	r := rand.New(rand.NewPCG(3, 3))
	for _, c := range []struct {
		name       string
		days       []dayValue
		why        string
		slope, off float64
	}{
		{"of nothing", nil, whyNone, 0, 0},
		{"of 29 days", line(29, func(d int) float64 { return float64(d) }), whyShort, 0, 0},
		{"of 30 days", line(30, func(d int) float64 { return float64(d) }), "", 30, 1e-9},
		{"of few days in a long time", append(line(12, func(d int) float64 { return 1 }), dayValue{dayNumber(dawn) + 50, 2}), whyFew, 0, 0},
		{"of a line with noise and outliers", line(60, func(d int) float64 {
			if d%10 == 3 {
				return 9000 // a robust slope does not mind
			}
			return 500 + 2*float64(d) + 10*r.NormFloat64()
		}), "", 60, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := trendOf(c.days, end)
			if x.Why != c.why || math.Abs(x.Slope-c.slope) > c.off {
				t.Errorf("%+v", x)
			}
			if c.why == "" && (x.Low > x.Slope || x.High < x.Slope) {
				t.Errorf("the interval %v to %v does not hold %v", x.Low, x.High, x.Slope)
			}
		})
	}
}

func TestWear(t *testing.T) {
	end := dawn.Add(60 * 24 * time.Hour)
	for name, c := range map[string]struct {
		at  func(d int) float64
		why string
	}{
		"falls by a percent in five days":  {func(d int) float64 { return 90 - math.Floor(float64(d)/5) }, ""},
		"rose, since it was exchanged":     {func(d int) float64 { return 90 - float64(d)/5 + 20*float64(d/30) }, whyRose},
		"fell by one step only":            {func(d int) float64 { return 90 - float64(d/45) }, whySteps},
		"did not move":                     {func(int) float64 { return 100 }, whySteps},
		"falls, and jitters within a step": {func(d int) float64 { return 90 - float64(d)/4 + 0.2*float64(d%2) }, ""},
	} {
		if x := wearOf(line(60, c.at), end); x.Why != c.why || c.why == "" && x.Slope >= 0 {
			t.Errorf("%s: %+v", name, x)
		}
	}
	if x := wearOf(line(20, func(d int) float64 { return 90 - float64(d) }), end); x.Why != whyShort {
		t.Errorf("twenty days: %+v", x)
	}
}

func TestReach(t *testing.T) {
	end := dawn
	window := 90 * 24 * time.Hour
	in := func(days int) time.Time { return end.Add(time.Duration(days) * 24 * time.Hour) }
	rising := &Trend{Slope: 30, Low: 15, High: 60, Level: 100}
	for _, c := range []struct {
		name    string
		t       *Trend
		limit   float64
		falling bool
		want    Reach
	}{
		{"without a trend", &Trend{Why: whyShort}, 200, false, Reach{Limit: 200, Result: "no_trend"}},
		{"rising", rising, 190, false, Reach{190, "date", in(90), in(45), in(180)}},
		{"there already", rising, 90, false, Reach{Limit: 90, Result: "over"}},
		{"beyond the horizon", rising, 1000, false, Reach{Limit: 1000, Result: "beyond"}},
		{"beyond the horizon, and perhaps within it", rising, 600, false, Reach{Limit: 600, Result: "beyond", Earliest: in(250)}},
		{"not rising, and perhaps rising", &Trend{Slope: -1, Low: -9, High: 9, Level: 100}, 127, false, Reach{Limit: 127, Result: "not_rising", Earliest: in(90)}},
		{"falling", &Trend{Slope: -3, Low: -6, High: -1, Level: 40}, 10, true, Reach{10, "date", in(300), in(150), time.Time{}}},
	} {
		if got := reachOf(c.t, c.limit, c.falling, end, window); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestDistIsAHistogram compares the histogram that grows value by value with one that is made at once.
func TestDistIsAHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 300).Draw(t, "values")
		var d dist
		d.add(v)
		if !slices.Equal(d.hist, health.HistogramOf(v)) || d.min != slices.Min(v) || d.max != slices.Max(v) || d.n != len(v) {
			t.Fatalf("%+v", d)
		}
		sorted := slices.Sorted(slices.Values(v))
		for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
			exact := rank(sorted, q)
			if got := d.quantile(q); math.Abs(got-exact) > health.HistogramError*math.Abs(exact)+3e-308 {
				t.Fatalf("quantile %v: %v, exactly %v", q, got, exact)
			}
		}
		n := rapid.IntRange(0, len(v)-1).Draw(t, "n")
		if got := nth(slices.Clone(v), n); got != sorted[n] {
			t.Fatalf("rank %d: %v, want %v", n, got, sorted[n])
		}
	})
}

// TestNodesOfOneChassis: each of two nodes tells of the same two supplies; a PDU of the rack tells of all of it. What is drawn counts once.
func TestNodesOfOneChassis(t *testing.T) {
	f, q := room(4, 12, func(int, int) bool { return false })
	for i, m := range f.Machines {
		switch i {
		case 0, 1: // nodes
			for k := range 12 {
				at := dawn.Add(time.Duration(k) * health.AlignStep)
				m.Read(psu1, health.ClassPSU, at, 900)
				m.Read(rated1, health.ClassPSU, at, 2000)
			}
			m.Parts = []health.KnownComponent{part("psu/1", health.ClassPSU, "P", "", 0)}
			m.Parts[0].Serial = "CH12345"
		case 2: // a server whose supply has a serial number that many have
			m.Parts = []health.KnownComponent{part("psu/1", health.ClassPSU, "P", "", 0)}
			m.Parts[0].Serial = "000000"
		case 3: // a PDU
			m.Parts = []health.KnownComponent{part("power/System Power", health.ClassPower, "", "", 0)}
			m.Parts[0].Place = "/redfish/v1/PowerEquipment/RackPDUs/1/Metrics"
		}
	}
	rep, err := Build(t.Context(), f, q)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Servers) != 3 {
		t.Fatalf("%d servers", len(rep.Servers))
	}
	for i, s := range rep.Servers {
		if s.Power.Source != "board" || s.Power.Draw.Max != 100+float64(i) || s.Power.Shared != (i < 2) || s.Power.Capacity != nil {
			t.Errorf("%s: %+v", s.Target, s.Power)
		}
	}
	if g := rackOf(t, f, q); g.Servers != 3 || g.Draw == nil || g.Draw.Max != 303 {
		t.Errorf("%+v", g)
	}
	var keys []string
	for _, n := range rep.Decision.Unseen {
		keys = append(keys, n.Key)
	}
	if !slices.Contains(keys, "unseen.shared") || !slices.Contains(keys, "unseen.equipment") {
		t.Errorf("not seen: %q", keys)
	}
}

// TestAirAboveTheLimitIsOnTheFirstPage: what a table tells in red, whoever reads the first page alone must know.
func TestAirAboveTheLimitIsOnTheFirstPage(t *testing.T) {
	f, q := room(3, 12, func(int, int) bool { return false })
	q.Air = Air{Class: "A2", HasAllowable: true, Allowable: Envelope{10, 35, -12, 21, 0, 80}}
	for i, values := range [][2]float64{{24, 22.5}, {36, 20}} { // nothing is read of the third
		for k := range 12 {
			at := dawn.Add(time.Duration(k) * health.AlignStep)
			f.Machines[i].Read(inlet, health.ClassTemperature, at, values[0])
			f.Machines[i].Read(dew, health.ClassHumidity, at, values[1])
		}
	}
	rep, err := Build(t.Context(), f, q)
	if err != nil {
		t.Fatal(err)
	}
	if h := rep.Servers[0].Cooling.DewHeadroom; h == nil || *h >= 0 || rep.Servers[2].Cooling.DewHeadroom != nil {
		t.Fatalf("headroom of the dew point %+v", rep.Servers[0].Cooling)
	}
	for lang, want := range map[string][2]string{
		"en": {"servers (1) in air above the dew-point limit of class A2 at P99: s-00", "servers (1) above the inlet limit of class A2 at P99: s-01"},
		"id": {"server (1) dalam udara di atas batas titik embun kelas A2 pada P99: s-00", "server (1) di atas batas udara masuk kelas A2 pada P99: s-01"},
	} {
		texts, err := report.TextsIn(lang)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, b := range rep.Document(texts).Sections[0].Blocks {
			if x, ok := b.(report.Table); ok {
				for _, r := range x.Rows {
					if r[0].Value == "watch" {
						said = append(said, r[1].Text)
					}
				}
			}
		}
		if !slices.Contains(said, want[0]) || !slices.Contains(said, want[1]) {
			t.Errorf("%s: to watch on the first page: %q, want %q", lang, said, want)
		}
	}
	if k := slices.IndexFunc(rep.Decision.Watch, func(n Note) bool { return n.Key == "watch.dew_point" }); k < 0 || rep.Decision.Watch[k].Detail == "" {
		t.Errorf("watch: %+v", rep.Decision.Watch)
	}
}

func TestCoveredTimeCountsOverlapsOnce(t *testing.T) {
	at := func(h int) time.Time { return dawn.Add(time.Duration(h) * time.Hour) }
	if got := covered([]span{{at(5), at(9)}, {at(0), at(3)}, {at(2), at(6)}, {at(20), at(21)}, {at(7), at(8)}}); got != 10*time.Hour {
		t.Error(got)
	}
}

func TestTheTimeInWhichDewlineDidNotRun(t *testing.T) {
	at := func(h int) time.Time { return dawn.Add(time.Duration(h) * time.Hour) }
	runs := []report.Run{{Started: at(-9), Ended: at(2)}, {Started: at(5), Ended: at(6)}, {Started: at(8), Ended: at(99)}}
	if got := stopped(runs, at(0), at(10)); got == nil || *got != 5 {
		t.Error(got)
	}
	if got := stopped(nil, at(0), at(10)); got != nil {
		t.Errorf("no run is known of: %v", *got)
	}
}

func TestACounterThatIsResetCountsFromZero(t *testing.T) {
	days := line(6, func(d int) float64 { return []float64{10, 14, 2, 2, 9, 0}[d] })
	if all, late := gainOf(days, dawn.Add(3*24*time.Hour)); all != 4+2+7 || late != 7 {
		t.Error(all, late)
	}
}

// TestEveryRowHasItsColumns: a cell too many or too few would stand under another head.
func TestEveryRowHasItsColumns(t *testing.T) {
	f := smallFleet(5)
	rep, err := Build(t.Context(), f, smallRequest(f))
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range report.Languages() {
		texts, err := report.TextsIn(lang)
		if err != nil {
			t.Fatal(err)
		}
		tables := 0
		for _, s := range rep.Document(texts).Sections {
			for _, b := range s.Blocks {
				x, ok := b.(report.Table)
				if !ok {
					continue
				}
				if tables++; len(x.Rows) == 0 {
					t.Errorf("%s: table %s has no row in a fleet that has everything", lang, x.ID)
				}
				for _, r := range x.Rows {
					if len(r) != len(x.Columns) {
						t.Fatalf("%s: table %s: %d cells under %d heads", lang, x.ID, len(r), len(x.Columns))
					}
				}
			}
		}
		if tables < 24 {
			t.Errorf("%s: %d tables", lang, tables)
		}
		if line := rep.Line(texts); strings.Contains(line, "%!") || strings.Contains(line, "⟨") {
			t.Error(line)
		}
	}
}

package capacity

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/report/reporttest"
)

// lab is servers of one rack, of which a test says what was read in each step.
type lab struct {
	t     *testing.T
	fleet *reporttest.Fleet
	q     Request
	steps int
}

func newLab(t *testing.T, days float64, names ...string) *lab {
	t.Helper()
	l := &lab{t: t, fleet: &reporttest.Fleet{}, steps: int(days * float64(health.StepsPerDay))}
	l.q = Request{From: dawn, Until: dawn.Add(time.Duration(l.steps) * health.AlignStep), GeneratedAt: dawn.AddDate(1, 0, 0)}
	for i, n := range names {
		m := reporttest.NewMachine(health.Target{ID: health.TargetID(n), Site: "x", Rack: "A1", Position: i + 1})
		l.fleet.Machines = append(l.fleet.Machines, m)
		l.q.Targets = append(l.q.Targets, m.Target)
	}
	return l
}

func (l *lab) machine(name string) *reporttest.Machine {
	k := slices.IndexFunc(l.fleet.Machines, func(m *reporttest.Machine) bool { return string(m.Target.ID) == name })
	return l.fleet.Machines[k]
}

// reads gives a series a value in each step; NaN is not read.
func (l *lab) reads(name string, id health.SeriesID, v func(k int) float64) *lab {
	m := l.machine(name)
	for k := range l.steps {
		if x := v(k); !math.IsNaN(x) {
			m.Read(id, classOf(id), dawn.Add(time.Duration(k)*health.AlignStep), x)
		}
	}
	return l
}

func (l *lab) has(name string, parts ...health.KnownComponent) *lab {
	m := l.machine(name)
	m.Parts = append(m.Parts, parts...)
	return l
}

// fault opens after so many steps, and is cleared so many later; 0 is open.
func (l *lab) fault(name, component string, class health.Class, kind health.Kind, at, length int) *health.Fault {
	return testFaults{&l.fleet.Faults}.add(name, component, class, kind, dawn.Add(time.Duration(at)*health.AlignStep), time.Duration(length)*health.AlignStep)
}

func (l *lab) build() *Report {
	l.t.Helper()
	rep, err := Build(l.t.Context(), l.fleet, l.q)
	if err != nil {
		l.t.Fatal(err)
	}
	return rep
}

func always(v float64) func(int) float64 { return func(int) float64 { return v } }

func until(k int, v, then float64) func(int) float64 {
	return func(i int) float64 {
		if i < k {
			return v
		}
		return then
	}
}

var nan = math.NaN()

func said(notes []Note, key string) *Note {
	if k := slices.IndexFunc(notes, func(n Note) bool { return n.Key == key }); k >= 0 {
		return &notes[k]
	}
	return nil
}

func TestAServersDrawIsThatOfAllOfItsSupplies(t *testing.T) {
	for _, c := range []struct {
		name       string
		fault      health.Kind // of psu/2, after an hour
		installed  bool
		psu2, own  func(int) float64
		steps      int
		min, max   float64
		source     string
		fromBoard  float64 // hours
		psu1IsRead func(int) float64
	}{
		{"a supply that failed draws nothing", health.KindFailed, true, until(12, 100, nan), always(150), 24, 100, 200, "psu_input", 0, always(100)},
		{"so does one that was taken out", health.KindAbsentRemoved, true, until(12, 100, nan), always(150), 24, 100, 200, "psu_input", 0, always(100)},
		{"and one without input", health.KindInputLost, true, until(12, 100, nan), always(150), 24, 100, 200, "psu_input", 0, always(100)},
		{"one that is not read may draw: the meter stands in", "", true, until(12, 100, nan), always(150), 24, 150, 200, "mixed", 1, always(100)},
		{"one that is installed and is read later drew before", "", true, until(12, nan, 100), always(150), 24, 150, 200, "mixed", 1, always(100)},
		{"without a meter nothing is known of that time", "", true, until(12, nan, 100), nil, 12, 200, 200, "psu_input", 0, always(100)},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 1.0/12, "s").reads("s", psu1, c.psu1IsRead).reads("s", psu2, c.psu2)
			if c.own != nil {
				l.reads("s", board, c.own)
			}
			if c.installed {
				l.has("s", part("psu/1", health.ClassPSU, "", "", 0), part("psu/2", health.ClassPSU, "", "", 0))
			}
			if c.fault != "" {
				l.fault("s", "psu/2", health.ClassPSU, c.fault, 12, 0)
			}
			p := l.build().Servers[0].Power
			if p.Draw == nil || p.Draw.N != c.steps || p.Draw.Min != c.min || p.Draw.Max != c.max || p.Source != c.source || p.Board != c.fromBoard {
				t.Errorf("%+v %+v", p, p.Draw)
			}
		})
	}
}

func TestASupplyThatIsReadLateDrewBeforeIfItIsInstalled(t *testing.T) {
	for _, installed := range []bool{true, false} {
		l := newLab(t, 2, "s").reads("s", psu1, always(100)).reads("s", psu2, until(288, nan, 100))
		if installed {
			l.has("s", part("psu/1", health.ClassPSU, "", "", 0), part("psu/2", health.ClassPSU, "", "", 0))
		}
		p := l.build().Servers[0].Power
		if installed && (p.Draw.Min != 200 || p.Gap != 24) || !installed && (p.Draw.Min != 100 || p.Gap != 0) {
			t.Errorf("installed %v: %+v, %v hours are not known", installed, p.Draw, p.Gap)
		}
	}
}

func TestAServerWithOneSupplyHasNoneToLose(t *testing.T) {
	rep := newLab(t, 1, "s").reads("s", psu1, always(100)).reads("s", rated1, always(500)).build()
	if p := rep.Servers[0].Power; p.Supplies != 1 || *p.OneLost != 0 || *p.Headroom != -100 || said(rep.Decision.Buy, "buy.supplies") != nil || said(rep.Decision.Watch, "watch.supplies") != nil {
		t.Errorf("%+v %+v", p, rep.Decision)
	}
}

func TestWithoutTheServerThatIsNotReadTheRestIsKnown(t *testing.T) {
	l := newLab(t, 1, "a", "b").reads("a", board, always(100)).reads("b", inlet, always(20))
	l.q.Racks = []Budget{{Name: "A1", VoltAmperes: 150, PowerFactor: 1}}
	l.q.Changes = []Change{{Text: "remove 1 x b", N: -1, Like: []health.TargetID{"b"}}, {Text: "add 1 x a", N: 1, Like: []health.TargetID{"a"}}}
	want := map[string]string{"remove 1 x b rack": "fits", "remove 1 x b site": "no_budget", "add 1 x a rack": "not_known", "add 1 x a site": "not_known"}
	for _, x := range l.build().WhatIf {
		if x.Result != want[x.Change+" "+x.Kind] || x.Before != nil || x.PerUnit != nil {
			t.Errorf("%+v", x)
		}
	}
}

// TestABoundIsNoDraw: the highest samples of two supplies, added up, are above what one gives; whether the server was is not known.
func TestABoundIsNoDraw(t *testing.T) {
	for _, c := range []struct {
		name          string
		psu1, psu2    func(int) float64
		highest       float64
		surely, maybe bool
	}{
		{"each was at its highest on another day: one had the load of both", until(288, 300, 0.5), until(288, 0.5, 300), 300.5, false, false},
		{"each was at its highest on the same day, at another time", until(10, 300, 1), until(10, 1, 300), 600, false, true},
		{"both were, at once", always(300), always(300), 600, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 2, "s").reads("s", psu1, c.psu1).reads("s", psu2, c.psu2).reads("s", rated1, always(550)).reads("s", rated2, always(550))
			rep := l.build()
			if h := rep.Servers[0].Power.Highest; h == nil || *h != c.highest {
				t.Errorf("highest %v, want %v", *h, c.highest)
			}
			if got := said(rep.Decision.Buy, "buy.supplies") != nil; got != c.surely {
				t.Errorf("to buy: %v", got)
			}
			if got := said(rep.Decision.Watch, "watch.supplies") != nil; got != c.maybe {
				t.Errorf("to watch: %v", got)
			}
		})
	}
}

func TestTheCapacityOfSuppliesIsKnownOnlyIfEachIsRated(t *testing.T) {
	for _, c := range []struct {
		name   string
		second func(int) float64
		rated  float64
	}{{"both are", always(700), 1200}, {"one is not", always(nan), 0}, {"one is said to give 0 W", always(0), 0}} {
		l := newLab(t, 1, "s").reads("s", psu1, always(100)).reads("s", psu2, always(100)).reads("s", rated1, always(500)).reads("s", rated2, c.second)
		p := l.build().Servers[0].Power
		if (p.Capacity == nil) != (c.rated == 0) || c.rated > 0 && (*p.Capacity != c.rated || *p.OneLost != 500 || *p.Headroom != 300) || (p.Unrated == 0) != (c.rated > 0) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

func TestWhatTheMeterShowsCountsWhereItIsAboveTheSuppliesHighest(t *testing.T) {
	l := newLab(t, 1, "s").reads("s", psu1, until(100, 200, nan)).reads("s", board, until(100, 190, 260))
	if p := l.build().Servers[0].Power; p.Source != "mixed" || *p.Highest != 260 {
		t.Errorf("%s, highest %v", p.Source, *p.Highest)
	}
}

// TestADrawIsHeldAgainstTheLimitOfItsDay: one that was lowered, raised or lifted says nothing of other days.
func TestADrawIsHeldAgainstTheLimitOfItsDay(t *testing.T) {
	second := series("power/Other", health.PowerLimit, health.Watt)
	for _, c := range []struct {
		name        string
		limit, more func(int) float64
		draw        func(int) float64
		days        int
		told        float64
	}{
		{"at its limit on both days", always(400), nil, always(390), 2, 400},
		{"under it", always(400), nil, always(300), 0, 400},
		{"raised later: it was held down before", until(288, 400, 900), nil, always(390), 1, 400},
		{"lowered later: it had drawn more, and was not held down", until(288, 900, 400), nil, until(288, 500, 200), 0, 400},
		{"lifted: what it draws now is its demand", until(288, 400, nan), nil, until(288, 100, 390), 0, 400},
		{"of two limits the lowest holds", always(900), always(400), always(390), 2, 400},
		{"not at the lowest of two", always(400), always(900), always(300), 0, 400},
		{"lowered within the day, and not at the higher one", until(100, 900, 400), nil, until(100, 500, 300), 0, 400},
		{"lowered within the day, and at the higher one", until(100, 900, 400), nil, until(100, 890, 300), 1, 900},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 2, "s").reads("s", board, c.draw).reads("s", limit, c.limit)
			if c.more != nil {
				l.reads("s", second, c.more)
			}
			rep := l.build()
			p := rep.Servers[0].Power
			if p.CappedDays != c.days || p.Capped != (c.days > 0) || p.Limit == nil || *p.Limit != c.told {
				t.Errorf("capped on %d days, limit %v", p.CappedDays, *p.Limit)
			}
			if got := said(rep.Decision.Watch, "watch.capped") != nil; got != p.Capped {
				t.Errorf("told on the first page: %v", got)
			}
		})
	}
}

func TestABudgetIsThatOfTheRackOfItsSite(t *testing.T) {
	l := newLab(t, 1, "s", "r")
	l.machine("r").Target.Site, l.q.Targets[1].Site = "y", "y"
	l.reads("s", board, always(950)).reads("r", board, always(950))
	l.q.Racks = []Budget{{Name: "A1", Site: "x", VoltAmperes: 900, PowerFactor: 1}}
	l.q.Changes = []Change{{Text: "add 1 x s", N: 1, Like: []health.TargetID{"s"}, Racks: []Place{{"x", "A1"}}}}
	rep := l.build()
	for _, g := range rep.Groups {
		if want := g.Kind == "rack" && g.Site == "x"; (g.Budget != nil) != want || want && !g.Budget.Over {
			t.Errorf("%s %s/%s: budget %+v", g.Kind, g.Site, g.Name, g.Budget)
		}
	}
	if n := said(rep.Decision.Buy, "buy.over_budget"); n == nil || !strings.HasPrefix(n.Detail, "x/A1 draws more than its budget: P99 95") {
		t.Errorf("%+v", rep.Decision.Buy)
	}
	if n := said(rep.Decision.Watch, "watch.what_if"); n == nil || !strings.HasPrefix(n.Detail, "with “add 1 x s”, x/A1 would draw P99 19") {
		t.Errorf("%+v", rep.Decision.Watch)
	}
}

func TestAFeedOfWhichNoSupplyIsFoundHasNoFigureNorItsPair(t *testing.T) {
	l := newLab(t, 1, "s").reads("s", psu1, always(100)).reads("s", psu2, always(100))
	on := func(psu string) func(health.Target, health.ComponentID, string) bool {
		return func(_ health.Target, id health.ComponentID, _ string) bool { return string(id) == psu }
	}
	b := Budget{VoltAmperes: 900, PowerFactor: 1}
	l.q.Feeds = []Feed{{Budget: b, Partner: "right", Feeds: on("psu/1")}, {Budget: b, Partner: "left", Feeds: on("psu/9")}}
	l.q.Feeds[0].Name, l.q.Feeds[1].Name = "left", "right"
	rep := l.build()
	var names []string
	for _, g := range rep.Groups {
		names = append(names, strings.TrimSpace(g.Kind+" "+g.Name))
	}
	if want := []string{"all", "site x", "rack A1", "feed left"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if n := said(rep.Decision.Unseen, "unseen.feed_map"); n == nil || !strings.HasSuffix(n.Detail, "(1): right") {
		t.Errorf("%+v", rep.Decision.Unseen)
	}
}

// TestAFeedWithSuppliesThatTellNothingIsALowerBound: a breaker must not look free because some of what hangs on it cannot be read.
func TestAFeedWithSuppliesThatTellNothingIsALowerBound(t *testing.T) {
	for _, c := range []struct {
		name   string
		other  func(l *lab) // what is known of the server "o"
		serves bool
		bound  bool
	}{
		{"both are read", func(l *lab) { l.reads("o", psu1, always(100)) }, true, false},
		{"a supply of the other is installed and tells no input", func(l *lab) { l.reads("o", board, always(100)).has("o", part("psu/1", health.ClassPSU, "", "", 0)) }, true, true},
		{"of the other's supplies only the rating is told", func(l *lab) { l.reads("o", rated1, always(500)).reads("o", board, always(100)) }, true, true},
		{"nothing is known of the other's supplies", func(l *lab) { l.reads("o", board, always(100)) }, true, true},
		{"the other's supply has a name that no feed has", func(l *lab) { l.reads("o", psu2, always(100)) }, true, true},
		{"the feed does not serve the other", func(l *lab) { l.reads("o", board, always(100)) }, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 1, "s", "o").reads("s", psu1, always(100))
			c.other(l)
			serves := func(x health.Target) bool { return c.serves || x.ID == "s" }
			l.q.Feeds = []Feed{{Budget: Budget{Name: "left", VoltAmperes: 150, PowerFactor: 1}, Serves: serves, Feeds: func(x health.Target, id health.ComponentID, _ string) bool { return serves(x) && id == "psu/1" }}}
			l.q.Changes = []Change{{Text: "add 1 x s", N: 1, Like: []health.TargetID{"s"}}}
			rep := l.build()
			g := rep.Groups[len(rep.Groups)-1]
			if g.Kind != "feed" || (g.Draw == nil) != c.bound || c.bound && (g.AtLeast == nil || g.AtLeast.Max != 100 || g.Budget.P99 != nil || g.Servers != 2) {
				t.Errorf("%+v, draw %+v, at least %+v", g, g.Draw, g.AtLeast)
			}
			if got := said(rep.Decision.Unseen, "unseen.feed_part") != nil; got != c.bound {
				t.Errorf("told on the first page: %v", got)
			}
			if x := rep.WhatIf[len(rep.WhatIf)-1]; x.Kind != "feed" || (x.Result == "not_known") != c.bound {
				t.Errorf("what if: %+v", x)
			}
		})
	}
}

// TestWhatOthersDrawFromTooIsHeldAgainstNoBudget: half of a rack fits well into the budget of a rack.
func TestWhatOthersDrawFromTooIsHeldAgainstNoBudget(t *testing.T) {
	for _, c := range []struct {
		name  string
		other health.Target
		pdu   bool
		want  []string // what has a budget
	}{
		{"nobody was left out", health.Target{}, false, []string{"site x", "rack A1", "feed left", "feed right", "feeds left + right"}},
		{"a server of the rack", health.Target{ID: "o", Site: "x", Rack: "A1"}, false, nil},
		{"a server of another rack", health.Target{ID: "o", Site: "x", Rack: "A2"}, false, []string{"rack A1", "feed left", "feed right", "feeds left + right"}},
		{"a server of a rack of that name elsewhere", health.Target{ID: "o", Site: "y", Rack: "A1"}, false, []string{"site x", "rack A1", "feed left", "feed right", "feeds left + right"}},
		{"a PDU of the rack", health.Target{ID: "o", Site: "x", Rack: "A1"}, true, []string{"site x", "rack A1", "feed left", "feed right", "feeds left + right"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 1, "s").reads("s", psu1, always(100)).reads("s", psu2, always(100))
			b := func(name string) Budget { return Budget{Name: name, Site: "x", VoltAmperes: 900, PowerFactor: 1} }
			serves := func(x health.Target) bool { return x.Site == "x" && x.Rack == "A1" }
			on := func(psu string) func(health.Target, health.ComponentID, string) bool {
				return func(x health.Target, id health.ComponentID, _ string) bool { return serves(x) && string(id) == psu }
			}
			l.q.Sites, l.q.Racks = []Budget{b("x")}, []Budget{b("A1")}
			l.q.Feeds = []Feed{{Budget: b("left"), Partner: "right", Serves: serves, Feeds: on("psu/1")}, {Budget: b("right"), Partner: "left", Serves: serves, Feeds: on("psu/2")}}
			if c.other.ID != "" {
				m := reporttest.NewMachine(c.other)
				if c.pdu {
					m.Parts = []health.KnownComponent{part("power/Total", health.ClassPower, "", "", 0)}
					m.Parts[0].Place = "/redfish/v1/PowerEquipment/RackPDUs/1"
				}
				l.fleet.Machines = append(l.fleet.Machines, m)
				l.q.Others = []health.Target{c.other}
			}
			rep := l.build()
			var got []string
			for _, g := range rep.Groups {
				if g.Budget != nil {
					got = append(got, g.Kind+" "+g.Name)
				}
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("budgets of %q, want %q", got, c.want)
			}
			if n := said(rep.Decision.Unseen, "unseen.others"); (n != nil) != (len(c.want) < 5) {
				t.Errorf("on the first page: %+v", rep.Decision.Unseen)
			}
		})
	}
}

func TestASupplyThatIsOnBothOfTwoFeedsCountsOnceInTheirSum(t *testing.T) {
	l := newLab(t, 1, "s").reads("s", psu1, always(100))
	all := func(health.Target, health.ComponentID, string) bool { return true }
	l.q.Feeds = []Feed{{Budget: Budget{Name: "left", VoltAmperes: 900, PowerFactor: 1}, Partner: "right", Feeds: all}, {Budget: Budget{Name: "right", VoltAmperes: 900, PowerFactor: 1}, Partner: "left", Feeds: all}}
	rep := l.build()
	for _, g := range rep.Groups {
		if g.Draw == nil || g.Draw.Max != 100 {
			t.Errorf("%s %s: %+v", g.Kind, g.Name, g.Draw)
		}
	}
	if n := said(rep.Decision.Unseen, "unseen.feed_twice"); n == nil || !strings.HasSuffix(n.Detail, "(1): s psu/1") {
		t.Errorf("%+v", rep.Decision.Unseen)
	}
}

func TestOnlySoManyAreTakenAwayAsAskedForAndAsStandThere(t *testing.T) {
	l := newLab(t, 1, "w-1", "w-2", "w-3", "db")
	for i, m := range l.fleet.Machines {
		if i == 2 {
			m.Target.Rack, l.q.Targets[i].Rack = "A2", "A2"
		}
		l.reads(string(m.Target.ID), board, always(float64(100*(i+1))))
	}
	l.q.Changes = []Change{
		{Text: "one", N: -1, Like: []health.TargetID{"w-1", "w-2", "w-3"}},
		{Text: "two", N: -2, Like: []health.TargetID{"w-1", "w-2", "w-3"}},
		{Text: "db", N: -1, Like: []health.TargetID{"db"}},
	}
	type result struct {
		servers   int
		max, each float64
	}
	got := map[string]result{}
	for _, x := range l.build().WhatIf {
		r := result{servers: x.Servers, each: -1}
		if x.After != nil {
			r.max = x.After.Max
		}
		if x.PerUnit != nil {
			r.each = math.Round(*x.PerUnit / 20)
		}
		got[x.Change+" "+x.Kind+" "+x.Name] = r
	}
	// Of A2 the only one is taken away: nothing is left of which a draw could be told.
	want := map[string]result{
		"one site x": {-1, 900, 5}, "one rack A1": {-1, 600, 5}, "one rack A2": {-1, 0, -1},
		"two site x": {-2, 700, 7}, "two rack A1": {-2, 400, 7}, "two rack A2": {-1, 0, -1},
		"db site x": {-1, 600, 20}, "db rack A1": {-1, 300, 20},
	}
	for k, w := range want {
		if g, ok := got[k]; !ok || g.servers != w.servers || g.max != w.max || math.Abs(g.each-w.each) > 1 {
			t.Errorf("%s: %+v (%v), want %+v", k, g, ok, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d results, want %d: %v", len(got), len(want), got)
	}
}

func TestAirIsJudgedByBothEndsOfItsEnvelope(t *testing.T) {
	at := func(values ...float64) func(int) float64 {
		return func(k int) float64 { return values[k*len(values)/288] }
	}
	// A day in four quarters: fine, low, high, fine.
	l := newLab(t, 1, "s").reads("s", inlet, at(22, 9, 36, 22)).reads("s", dew, at(8, -13, 22, 8)).reads("s", rh, at(40, 40, 40, 85))
	l.q.Air = Air{Class: "A2", HasAllowable: true, Recommended: Envelope{18, 27, -9, 15, 0, 50}, Allowable: Envelope{10, 35, -12, 21, 8, 80}}
	c := l.build().Servers[0].Cooling
	for name, h := range map[string]*float64{"recommended": c.Outside.RecommendedWarm, "allowable": c.Outside.AllowableTemperature} {
		if h == nil || *h != 12 {
			t.Errorf("%s temperature: %v hours", name, h)
		}
	}
	if m := c.Outside.AllowableMoisture; m == nil || *m != 18 {
		t.Errorf("moisture: %v hours", m)
	}
	// Headroom is to P99, not to P95 nor to the highest.
	l = newLab(t, 1, "s")
	peaks := func(k int) float64 { // 1 of 288 at 34, 8 at 30, the others at 20
		switch {
		case k == 0:
			return 34
		case k < 9:
			return 30
		}
		return 20
	}
	l.reads("s", inlet, peaks).reads("s", dew, func(k int) float64 { return peaks(k) - 16 })
	l.q.Air = Air{Class: "A2", HasAllowable: true, Allowable: Envelope{10, 35, -12, 21, 8, 80}}
	c = l.build().Servers[0].Cooling
	if math.Abs(*c.Headroom-5) > 0.3 || math.Abs(*c.DewHeadroom-7) > 0.2 {
		t.Errorf("headroom %v and %v", *c.Headroom, *c.DewHeadroom)
	}
	// Without a class there is no limit to hold it against.
	l.q.Air = Air{Class: "none", Allowable: Envelope{High: 35}}
	l.machine("s").Facts[dew] = health.SeriesFacts{SeriesID: dew, Class: health.ClassTemperature, Derived: true}
	c = l.build().Servers[0].Cooling
	if c.Headroom != nil || c.DewHeadroom != nil || c.Outside.AllowableTemperature != nil || c.Outside.AllowableMoisture != nil || c.Outside.RecommendedWarm == nil || !c.DewComputed {
		t.Errorf("%+v", c)
	}
}

// TestDutyOfFansThatOnlySensorsTell: where no fan tells its duty, sensors of that name do.
func TestDutyOfFansThatOnlySensorsTell(t *testing.T) {
	pwm, pump := series("sensor/fanpwm_fan0", health.Duty, health.Percent), series("sensor/pump0", health.Duty, health.Percent)
	l := newLab(t, 1, "s").reads("s", pwm, always(40)).reads("s", pump, always(90))
	if d := l.build().Servers[0].Cooling.Duty; d == nil || d.Max != 40 {
		t.Errorf("of sensors: %+v", d)
	}
	l.reads("s", fan1, always(50))
	if d := l.build().Servers[0].Cooling.Duty; d == nil || d.Max != 50 || d.Min != 50 {
		t.Errorf("of fans: %+v", d)
	}
}

func TestAHotSpotIsHotterThanThreeOfItsRack(t *testing.T) {
	for _, c := range []struct {
		servers int
		inlet   float64
		hot     bool
	}{{3, 26, true}, {3, 23, false}, {2, 40, false}} {
		l := newLab(t, 1, []string{"a", "b", "c"}[:c.servers]...)
		for _, m := range l.fleet.Machines {
			l.reads(string(m.Target.ID), inlet, always(22))
		}
		l.machine("a").Samples[inlet] = nil
		l.reads("a", inlet, always(c.inlet))
		rep := l.build()
		if n := said(rep.Decision.Watch, "watch.hot"); (n != nil) != c.hot || n != nil && !strings.HasSuffix(n.Detail, "(1): a") {
			t.Errorf("%+v: %+v", c, rep.Decision.Watch)
		}
		if got := rep.Servers[0].Cooling.Hot != nil; got != (c.servers == 3) {
			t.Errorf("%+v: compared %v", c, got)
		}
	}
}

package collector_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// stage is one simulated BMC in fake time, read by the real driver, judged by the collector and recorded in the real store, which can
// be restarted: driver, collector and store are made anew, and what is known is what the store recalls.
type stage struct {
	t       testing.TB
	machine *bmcsim.Machine
	target  health.Target
	dir     string
	open    func(health.Target) (collector.Source, error)

	now   atomic.Int64
	db    *sqlite.DB
	src   collector.Source
	known *health.Known
	c     *collector.Collector
}

var stageStart = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func newStage(t testing.TB, p bmcsim.Profile, protocol string) *stage {
	t.Helper()
	s := &stage{t: t, machine: bmcsim.NewMachine(p, "db-1", 7), dir: t.TempDir()}
	s.now.Store(stageStart.UnixNano())
	clock := func() time.Time { return time.Unix(0, s.now.Load()).UTC() }
	s.machine.SetClock(clock)
	password := secret.New(bmcsim.DefaultPassword)
	closing := func(c interface{ Close() error }) {
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if protocol == health.DriverIPMI {
		srv, err := bmcsim.ServeIPMI(s.machine, bmcsim.IPMIOptions{})
		if err != nil {
			t.Fatal(err)
		}
		closing(srv)
		s.target = health.Target{ID: "db-1", Address: srv.URL(), Driver: protocol}
		s.open = func(t health.Target) (collector.Source, error) {
			return ipmi.Open(t.ID, ipmi.Options{Address: t.Address, Username: bmcsim.DefaultUsername, Password: password})
		}
	} else {
		srv, err := bmcsim.ServeRedfish(s.machine, bmcsim.RedfishOptions{Now: clock, Expand: p.Redfish != bmcsim.ShapeLegacy})
		if err != nil {
			t.Fatal(err)
		}
		closing(srv)
		s.target = health.Target{ID: "db-1", Address: srv.URL(), Driver: protocol}
		s.open = func(t health.Target) (collector.Source, error) {
			return redfish.Open(t.ID, redfish.Options{
				Address: t.Address, Username: bmcsim.DefaultUsername, Password: password, TLS: redfish.TLS{Fingerprint: srv.CertFingerprint()},
			})
		}
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *stage) start() {
	s.t.Helper()
	var err error
	if s.db, err = sqlite.Open(context.Background(), s.dir, sqlite.Options{CommitEvery: time.Millisecond}); err != nil {
		s.t.Fatal(err)
	}
	if s.known, err = s.db.Recall(context.Background(), s.target.ID); err != nil {
		s.t.Fatal(err)
	}
	s.known = s.known.For(s.target)
	if s.src, err = s.open(s.target); err != nil {
		s.t.Fatal(err)
	}
	s.c = collector.New(collector.Options{Recorder: s.db, Open: func(t health.Target, _ string) (collector.Source, error) { return s.open(t) }})
}

func (s *stage) stop() {
	s.t.Helper()
	_ = s.src.Close(context.Background()) // the BMC may be silent by then
	if err := s.db.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *stage) restart() {
	s.t.Helper()
	s.stop()
	s.start()
}

// visit moves the time to so long after the start and reads what is due then at the default tiers.
func (s *stage) visit(at time.Duration) *health.Visit {
	s.t.Helper()
	now := stageStart.Add(at)
	s.now.Store(now.UnixNano())
	due := map[health.Tier]time.Time{health.TierReadings: now, health.TierEvents: now}
	if at%(15*time.Minute) == 0 {
		due[health.TierHealth] = now
	}
	if at == 0 {
		due[health.TierInventory] = now
	}
	v, err := s.c.Visit(s.t.Context(), s.target, s.known, s.src, due, now)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// outcome of a scenario: what of the expected faults did not open or close, what did so more than once, and what else did.
type outcome struct{ missed, doubled, invented []string }

func (o *outcome) add(p outcome) {
	o.missed, o.doubled, o.invented = append(o.missed, p.missed...), append(o.doubled, p.doubled...), append(o.invented, p.invented...)
}

func (o *outcome) good() bool { return len(o.missed)+len(o.doubled)+len(o.invented) == 0 }

// compare holds the faults that the store recorded against those that must be there: "class kind" -> it closes.
func (s *stage) compare(t *testing.T, want map[string]bool, may []string) outcome {
	s.t.Helper()
	var o outcome
	opened, closed, happened := map[string]int{}, map[string]int{}, map[string]int{}
	ids := map[string]bool{}
	for _, v := range storetest.All(t, s.db) {
		for _, e := range v.Events {
			if ids[e.ID] {
				o.doubled = append(o.doubled, "event "+e.ID)
			}
			ids[e.ID] = true
			what := fmt.Sprint(e.Class, " ", e.Kind)
			switch e.Transition {
			case health.Asserted:
				opened[what]++
			case health.Cleared:
				closed[what]++
			case health.Momentary:
				if e.FaultID == "" && e.Severity >= health.SeverityWarning {
					happened[what]++
				}
			}
		}
	}
	for what, closes := range want {
		n := opened[what] + happened[what]
		if n == 0 {
			o.missed = append(o.missed, what)
		}
		if n > 1 {
			o.doubled = append(o.doubled, fmt.Sprintf("%s: %d times", what, n))
		}
		if closes && closed[what] == 0 {
			o.missed = append(o.missed, "the end of "+what)
		}
		if closed[what] > opened[what] {
			o.doubled = append(o.doubled, "the end of "+what)
		}
	}
	for _, m := range []map[string]int{opened, happened} {
		for what, n := range m {
			_, wanted := want[what]
			switch {
			case wanted:
			case !slices.Contains(may, what):
				o.invented = append(o.invented, what)
			case n > 1:
				o.doubled = append(o.doubled, fmt.Sprintf("%s: %d times", what, n))
			}
		}
	}
	slices.Sort(o.invented)
	return o
}

// act is one thing that happens to a machine, and the faults that must come of it.
type act struct {
	name       string
	begin, end func(*bmcsim.Machine)
	want       []string // "class kind"; a trailing ! is a fault or event that has no end
	may        []string // what else it may be told as: consequences that not every BMC tells
	atStart    bool     // it is so when the target is first read
	not        []string // profiles whose BMC does not tell of it, by protocol and name: "ipmi board"
}

var redundancy = []string{
	"sensor redundancy_lost", "sensor redundancy_degraded", "chassis redundancy_lost", "chassis redundancy_degraded", "power_unit redundancy_lost",
	"power_unit redundancy_degraded",
}

func acts() []act {
	type m = *bmcsim.Machine
	return []act{
		{name: "a fan fails", begin: func(m m) { m.FailFan(1) }, end: func(m m) { m.RepairFan(1) }, want: []string{"fan failed"}, may: redundancy},
		{name: "a fan is taken out", begin: func(m m) { m.RemoveFan(2) }, end: func(m m) { m.InsertFan(2) }, want: []string{"fan absent_removed"}, may: redundancy,
			not: []string{"ipmi whitebox"}}, // no presence sensors: its reading goes away, which is a gap,
		{name: "a supply fails", begin: func(m m) { m.FailPSU(0) }, end: func(m m) { m.RepairPSU(0) }, want: []string{"psu failed"}, may: redundancy},
		{name: "a supply loses its input", begin: func(m m) { m.LosePSUInput(1) }, end: func(m m) { m.RestorePSUInput(1) }, want: []string{"psu input_lost"}, may: redundancy},
		{name: "a supply is taken out", begin: func(m m) { m.RemovePSU(1) }, end: func(m m) { m.InsertPSU(1) }, want: []string{"psu absent_removed"}, may: redundancy},
		{name: "a drive fails", begin: func(m m) { m.FailDrive(1) }, end: func(m m) { m.RepairDrive(1) }, want: []string{"drive failed"}, may: []string{"volume degraded"}},
		{name: "a drive predicts its failure", begin: func(m m) { m.PredictDrive(0) }, end: func(m m) { m.UnpredictDrive(0) }, want: []string{"drive predicted_failure"}},
		{name: "a drive is taken out", begin: func(m m) { m.RemoveDrive(0) }, end: func(m m) { m.InsertDrive(0) }, want: []string{"drive absent_removed"}, may: []string{"volume degraded"}},
		{name: "a leak detector is wet", begin: func(m m) { m.WetLeak(0) }, end: func(m m) { m.DryLeak(0) }, want: []string{"leak_detector leak_detected"}},
		{name: "a leak detector fails", begin: func(m m) { m.BreakLeak(0) }, end: func(m m) { m.DryLeak(0) }, want: []string{"leak_detector detector_fault"},
			may: []string{"leak_detector leak_detected"}, // "leak or failed detector: inspect", where it says Critical and Degraded
			not: []string{"ipmi board"}},                 // a state of its own that only its maker knows,
		{name: "the air is wet", begin: func(m m) { m.SetRoom(24, 84) }, end: func(m m) { m.SetRoom(24, 45) }, want: []string{"humidity humidity_high"}, may: []string{"temperature condensation_risk"}},
		{name: "a chassis is open", begin: func(m m) { m.OpenLid() }, end: func(m m) { m.CloseLid() }, want: []string{"intrusion intrusion"}},
		{name: "a memory module corrects an error", begin: func(m m) { m.CorrectError(0) }, want: []string{"memory correctable_error!"}},
		{name: "the log is cleared", begin: func(m m) { m.ClearLog() }, want: []string{"log log_cleared!"}},
		{name: "the host is off for a while", begin: func(m m) { m.HostOff() }, end: func(m m) { m.HostOn() }},
		{name: "a fan had failed before the first visit", begin: func(m m) { m.FailFan(0) }, end: func(m m) { m.RepairFan(0) }, want: []string{"fan failed"}, may: redundancy, atStart: true},
	}
}

// machines are the makes of the scenarios.
var scenarioMachines = []struct {
	profile  bmcsim.Profile
	protocol string
}{
	{bmcsim.ProfileLegacy, health.DriverRedfish}, {bmcsim.ProfileLegacyPercent, health.DriverRedfish}, {bmcsim.ProfileModern, health.DriverRedfish},
	{bmcsim.ProfileMixed, health.DriverRedfish}, {bmcsim.ProfileWhitebox, health.DriverIPMI}, {bmcsim.ProfileBoard, health.DriverIPMI},
	{bmcsim.ProfileBlade, health.DriverIPMI},
}

// scenario is an act on a make of machine.
type scenario struct {
	act      act
	profile  bmcsim.Profile
	protocol string
}

func (x *scenario) make() string { return x.protocol + " " + x.profile.Name }

// allScenarios is each act on all makes whose BMC tells of it.
func allScenarios() []scenario {
	var all []scenario
	for _, a := range acts() {
		for _, m := range scenarioMachines {
			x := scenario{a, m.profile, m.protocol}
			if slices.Contains(a.not, x.make()) || strings.HasPrefix(strings.Join(a.want, ""), "humidity") && !tellsHumidity(x.profile, x.protocol) {
				continue
			}
			all = append(all, x)
		}
	}
	return all
}

// someScenarios is a share of them by chance, with each act and each make.
func someScenarios(r *rand.Rand, n int) []scenario {
	all := allScenarios()
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	acts, makes := map[string]bool{}, map[string]bool{}
	var some, rest []scenario
	for _, x := range all {
		if acts[x.act.name] && makes[x.make()] {
			rest = append(rest, x)
			continue
		}
		acts[x.act.name], makes[x.make()] = true, true
		some = append(some, x)
	}
	return append(some, rest[:max(n-len(some), 0)]...)
}

// Of each kind of fault, on each make of machine, with restarts before it is read, in its midst and after its end: nothing is missed,
// doubled or invented. DEWLINE_LONG=1 plays all of them, which is the table of docs/EVENTS.md; else a share is drawn, DEWLINE_SEED the same again.
func TestScenarios(t *testing.T) {
	t.Parallel()
	all := allScenarios()
	play := all
	if os.Getenv("DEWLINE_LONG") == "" {
		seed := rand.Uint64N(1e6)
		if s := os.Getenv("DEWLINE_SEED"); s != "" {
			var err error
			if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
				t.Fatalf("DEWLINE_SEED: %v", err)
			}
		}
		play = someScenarios(rand.New(rand.NewPCG(seed, 5)), 24)
		t.Logf("%d of %d scenarios; DEWLINE_SEED=%d for the same ones", len(play), len(all), seed)
	}
	var mu sync.Mutex
	results := map[string]outcome{}
	var played int
	t.Run("each", func(t *testing.T) {
		for _, x := range play {
			t.Run(x.act.name+", "+x.make(), func(t *testing.T) {
				t.Parallel()
				o := playScenario(t, x.act, x.profile, x.protocol)
				mu.Lock()
				defer mu.Unlock()
				played++
				sum := results[x.act.name]
				sum.add(o)
				results[x.act.name] = sum
				if !o.good() {
					t.Errorf("missed %q, doubled %q, invented %q", o.missed, o.doubled, o.invented)
				}
			})
		}
	})
	if played != len(play) || len(all) < 60 {
		t.Errorf("%d scenarios were played of %d, of %d in all", played, len(play), len(all))
	}
	runs := map[string]int{}
	for _, x := range all {
		runs[x.act.name]++
	}
	var b strings.Builder
	b.WriteString("| scenario | runs | missed | doubled | invented |\n| --- | --- | --- | --- | --- |\n")
	var sum outcome
	for _, a := range acts() {
		o := results[a.name]
		sum.add(o)
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", a.name, runs[a.name], len(o.missed), len(o.doubled), len(o.invented))
	}
	fmt.Fprintf(&b, "| **all** | %d | %d | %d | %d |\n", len(all), len(sum.missed), len(sum.doubled), len(sum.invented))
	if !t.Failed() && (len(play) == len(all) || os.Getenv("DEWLINE_UPDATE_DOCS") == "") { // only what was played is written
		compareEventsPage(t, "scenarios", b.String())
	}
}

func tellsHumidity(p bmcsim.Profile, protocol string) bool {
	return p.Room && (protocol == health.DriverIPMI || p.Redfish != bmcsim.ShapeLegacy)
}

// playScenario plays one act, and looks for a quarter of an hour after its end.
func playScenario(t *testing.T, a act, p bmcsim.Profile, protocol string) outcome {
	s := newStage(t, p, protocol)
	const m = time.Minute
	if a.atStart {
		a.begin(s.machine)
	}
	s.visit(0)
	s.visit(15 * m)
	s.now.Store(stageStart.Add(16*m + 20*time.Second).UnixNano())
	if !a.atStart {
		a.begin(s.machine)
	}
	s.restart()
	s.visit(17 * m)
	s.visit(18 * m)
	s.restart()
	for _, at := range []time.Duration{19, 30, 31} {
		s.visit(at * m)
	}
	s.now.Store(stageStart.Add(45*m + 40*time.Second).UnixNano())
	if a.end != nil {
		a.end(s.machine)
	}
	for _, at := range []time.Duration{46, 47} {
		s.visit(at * m)
	}
	s.restart()
	for _, at := range []time.Duration{60, 61} {
		s.visit(at * m)
	}
	want := map[string]bool{}
	for _, w := range a.want {
		w, endless := strings.CutSuffix(w, "!")
		want[w] = !endless
	}
	o := s.compare(t, want, a.may)
	for _, f := range s.known.Faults {
		if a.end != nil {
			o.missed = append(o.missed, fmt.Sprintf("the end of %s %s (%s)", f.Component, f.Kind, f.Rule))
		}
	}
	if !o.good() {
		for _, v := range storetest.All(t, s.db) {
			for _, e := range v.Events {
				t.Logf("%s %s %s %s %s %s fault %.6s by %s: %s", e.At.Format("15:04"), e.Component, e.Class, e.Kind, e.Severity, e.Transition, e.FaultID, e.Rule, e.Message)
			}
		}
	}
	return o
}

// compareEventsPage compares a section of docs/EVENTS.md with what it must be; DEWLINE_UPDATE_DOCS=1 writes it anew.
func compareEventsPage(t *testing.T, section, want string) {
	t.Helper()
	const page = "../docs/EVENTS.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- begin "+section+" -->\n", "<!-- end "+section+" -->"
	head, rest, ok := strings.Cut(string(b), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("docs/EVENTS.md has no section %q", section)
	case os.Getenv("DEWLINE_UPDATE_DOCS") != "":
		if err := os.WriteFile(page, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != want:
		t.Errorf("section %q of docs/EVENTS.md is not what was measured:\n%s", section, cmp.Or(want, "nothing"))
	}
}

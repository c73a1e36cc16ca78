package incident_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dewline/collector/incident"
	"dewline/health"
)

var start = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// step is one event: when (in seconds), on which target (rack/name), what.
type step struct {
	at     int
	target string // "A1/db-1"
	what   string // class kind severity [transition]
	n      string // tells like events apart
}

func (s step) place() health.Target {
	rack, name, _ := strings.Cut(s.target, "/")
	t := health.Target{ID: health.TargetID(name), Site: "bontang", Rack: rack}
	_, _ = fmt.Sscanf(name, "u%d", &t.Position)
	return t
}

func (s step) event() *health.Event {
	w := strings.Fields(s.what)
	t := s.place()
	e := &health.Event{
		Target: t.ID, Class: health.Class(w[0]), Kind: health.Kind(w[1]), Transition: health.Asserted, At: start.Add(time.Duration(s.at) * time.Second),
		Component: health.ComponentID(w[0] + "/1"),
	}
	_ = e.Severity.UnmarshalText([]byte(w[2]))
	for _, x := range w[3:] {
		switch x {
		case "start":
			e.AtStart = true
		case "unconfirmed":
			e.Evidence = []string{incident.Unconfirmed}
		case "off":
			e.Rule, e.Evidence = incident.RuleHostPower, []string{"now: off"}
		case "envelope":
			e.Rule = incident.RuleEnvelope
		case "on":
			e.Rule, e.Evidence = incident.RuleHostPower, []string{"now: on"}
		default:
			e.Transition = health.Transition(x)
		}
	}
	e.FaultID = fmt.Sprintf("%s %s %s%s", t.ID, e.Component, e.Kind, s.n)
	e.ID = fmt.Sprintf("%s %s %d", e.FaultID, e.Transition, s.at)
	if e.Transition == health.Momentary && s.n != "evidence" {
		e.FaultID = ""
	}
	return e
}

const (
	leak     = "leak_detector leak_detected critical"
	dry      = "leak_detector leak_detected ok cleared"
	damp     = "temperature condensation_risk warning"
	inputOff = "psu input_lost critical"
	rail     = "voltage under_threshold critical"
	lid      = "intrusion intrusion warning"
	silent   = "bmc comm_lost warning"
	answers  = "bmc comm_lost ok cleared"
	broken   = "leak_detector detector_fault warning"
)

func play(e *incident.Engine, neighbours int, steps ...step) {
	for _, s := range steps {
		e.Event(s.event(), s.place(), neighbours)
	}
}

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		o          incident.Options
		neighbours int
		steps      []step
		want       string // cause rule targets; "" for none
	}{
		"a leak on one machine alone is a fault, no incident": {steps: []step{{0, "A1/a", leak, ""}, {5, "A1/a", rail, ""}}},
		"a leak, and a neighbour's rail sags":                 {steps: []step{{0, "A1/a", leak, ""}, {90, "A1/b", rail, ""}}, want: "water leak_spreads a b"},
		"the rail first, then the leak":                       {steps: []step{{0, "A1/b", rail, ""}, {90, "A1/a", leak, ""}}, want: "water leak_spreads b a"},
		"two leaks":                                           {steps: []step{{0, "A1/b", leak, ""}, {90, "A1/a", leak, ""}}, want: "water leak_spreads b a"},
		"two leaks an hour apart":                             {steps: []step{{0, "A1/b", leak, ""}, {3600, "A1/a", leak, ""}}},
		"another rack is no neighbour":                        {steps: []step{{0, "A1/a", leak, ""}, {90, "A2/b", rail, ""}}},
		"an adjacent rack is": {
			o: incident.Options{Adjacent: [][]string{{"A1", "A2"}}}, steps: []step{{0, "A1/a", leak, ""}, {90, "A2/b", rail, ""}}, want: "water leak_spreads a b",
		},
		"with scope site every rack is":          {o: incident.Options{Site: true}, steps: []step{{0, "A1/a", leak, ""}, {90, "C9/b", rail, ""}}, want: "water leak_spreads a b"},
		"targets without a rack are neighbours":  {steps: []step{{0, "/a", leak, ""}, {90, "/b", inputOff, ""}}, want: "water leak_spreads a b"},
		"damp air and lost power next door":      {steps: []step{{0, "A1/a", damp, ""}, {90, "A1/b", inputOff, ""}}, want: "possible_water moisture_and_electrical a b"},
		"damp air and lost power on one machine": {steps: []step{{0, "A1/a", damp, ""}, {90, "A1/a", inputOff, ""}}},
		"damp air on two":                        {steps: []step{{0, "A1/a", damp, ""}, {9, "A1/b", damp, ""}}, want: "condensation condensation a b"},
		"detectors that fail together":           {steps: []step{{0, "A1/a", broken, ""}, {9, "A1/b", broken, ""}}, want: "possible_water detectors a b"},
		"a sensor of unknown polarity is no leak": {steps: []step{
			{0, "A1/a", "leak_detector leak_detected warning unconfirmed", ""}, {9, "A1/b", inputOff, ""}}, want: "possible_water moisture_and_electrical a b"},
		"all BMCs of a rack silent, as by a switch that restarts": {
			neighbours: 4, steps: []step{{0, "A1/a", silent, ""}, {1, "A1/b", silent, ""}, {2, "A1/c", silent, ""}, {3, "A1/d", silent, ""}},
			want: "undetermined silence a b c d",
		},
		"hosts that go off together":                   {steps: []step{{0, "A1/a", "system info info momentary off", ""}, {1, "A1/b", "system info info momentary off", ""}, {2, "A1/c", silent, ""}}, want: "undetermined silence a b c"},
		"a room beyond what is recommended is not wet": {steps: []step{{0, "A1/a", "humidity humidity_high warning envelope", ""}, {1, "A1/b", "humidity humidity_high warning envelope", ""}, {2, "A1/c", inputOff, ""}}},
		"hosts that come on together are no sign":      {steps: []step{{0, "A1/a", "system info info momentary on", ""}, {1, "A1/b", "system info info momentary on", ""}, {2, "A1/c", "system info info momentary on", ""}}},
		"three silent of many are no incident":         {neighbours: 40, steps: []step{{0, "A1/a", silent, ""}, {1, "A1/b", silent, ""}, {2, "A1/c", silent, ""}}},
		"two silent are no incident":                   {steps: []step{{0, "A1/a", silent, ""}, {1, "A1/b", silent, ""}}},
		"opened lids are maintenance":                  {steps: []step{{0, "A1/a", lid, ""}, {1, "A1/b", lid, ""}, {2, "A1/c", lid, ""}, {3, "A1/d", lid, ""}}},
		"opened lids and pulled cords are maintenance": {steps: []step{{0, "A1/a", lid, ""}, {1, "A1/b", inputOff, ""}, {2, "A1/c", lid, ""}, {3, "A1/a", silent, ""}}},
		"a feed that fails is not called water":        {steps: []step{{0, "A1/a", inputOff, ""}, {1, "A1/b", inputOff, ""}, {2, "A1/c", inputOff, ""}}, want: "undetermined silence a b c"},
		"rails, cords and silence of three":            {steps: []step{{0, "A1/a", rail, ""}, {1, "A1/b", inputOff, ""}, {2, "A1/c", silent, ""}}, want: "possible_water mixed_faults a b c"},
		"what was there at the start is history":       {steps: []step{{0, "A1/a", leak + " start", ""}, {1, "A1/b", rail, ""}}},
		"silence grows into water":                     {steps: []step{{0, "A1/a", silent, ""}, {1, "A1/b", silent, ""}, {2, "A1/c", silent, ""}, {300, "A1/d", leak, ""}}, want: "water leak_spreads a b c d"},
		"water stays water, whatever comes":            {steps: []step{{0, "A1/a", leak, ""}, {1, "A1/b", rail, ""}, {2, "A1/c", silent, ""}}, want: "water leak_spreads a b c"},
		"moisture and two silent neighbours":           {steps: []step{{0, "A1/a", damp, ""}, {1, "A1/b", silent, ""}, {2, "A1/c", silent, ""}}, want: "possible_water moisture_and_silence a b c"},
		"a fan is no sign":                             {steps: []step{{0, "A1/a", leak, ""}, {1, "A1/b", "fan failed critical", ""}}},
		"a log entry counts":                           {steps: []step{{0, "A1/a", leak, ""}, {1, "A1/b", "psu input_lost critical momentary", ""}}, want: "water leak_spreads a b"},
		"events committed out of order":                {steps: []step{{500, "A1/b", rail, ""}, {0, "A1/a", leak, ""}}, want: "water leak_spreads a b"},
	} {
		t.Run(name, func(t *testing.T) {
			e := incident.New(c.o, nil)
			play(e, c.neighbours, c.steps...)
			got, members := e.Take()
			if c.want == "" {
				if len(got) > 0 {
					t.Fatalf("found %s: %s", got[0].Cause, got[0].Explanation)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d incidents", len(got))
			}
			x := got[0]
			var said strings.Builder
			said.WriteString(fmt.Sprintf("%s %s", x.Cause, x.Rule))
			for _, ts := range x.Targets {
				said.WriteString(" " + string(ts.Target))
			}
			if said.String() != c.want {
				t.Errorf("%s, want %s", said.String(), c.want)
			}
			if x.Explanation == "" || len(x.Alternatives) == 0 || x.Summary == "" || x.ID == "" || len(x.Evidence) != len(members) {
				t.Errorf("not explained: %+v", x)
			}
			if x.Opened != x.Evidence[0].At || x.FirstSign == "" {
				t.Errorf("opened %s by %s, first evidence %+v", x.Opened, x.FirstSign, x.Evidence[0])
			}
		})
	}
}

// A log entry that comes later, about a fault that is known already, is no new sign: nothing happened when it was read.
func TestFurtherEvidenceOfAFaultIsNoSign(t *testing.T) {
	e := incident.New(incident.Options{}, nil)
	play(e, 0, step{0, "A1/a", leak + " start", ""}, step{5, "A1/b", rail + " start", ""}, // old faults, found at the start
		step{60, "A1/a", leak + " momentary", "evidence"}, step{65, "A1/b", rail + " momentary", "evidence"})
	if got, _ := e.Take(); len(got) != 0 {
		t.Errorf("an incident of faults that were there before: %+v", got[0])
	}
	if ev := (step{60, "A1/a", leak + " momentary", "evidence"}).event(); incident.Sign(ev) {
		t.Error("further evidence is a sign")
	}
	if ev := (step{60, "A1/a", leak + " momentary", ""}).event(); !incident.Sign(ev) {
		t.Error("what happened and has no fault is none")
	}
}

func TestAnIncidentIsOverWhenItIsQuiet(t *testing.T) {
	e := incident.New(incident.Options{}, nil)
	play(e, 0, step{0, "A1/a", leak, ""}, step{60, "A1/b", leak, ""})
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	e.Sweep(at(600))
	if got, _ := e.Take(); got[0].State != health.IncidentOpen {
		t.Error("closed although detectors are wet")
	}
	play(e, 0, step{660, "A1/a", dry, ""}, step{720, "A1/b", dry, ""})
	e.Sweep(at(51))
	if got, _ := e.Take(); len(got) != 1 || got[0].State != health.IncidentOpen || got[0].Changed != at(12) {
		t.Errorf("%+v", got)
	}
	e.Sweep(at(52))
	got, _ := e.Take()
	if len(got) != 1 || got[0].State != health.IncidentClosed || got[0].Closed != at(42) || got[0].Targets[0].Open != 0 {
		t.Fatalf("%+v", got)
	}
	play(e, 0, step{3600, "A1/a", leak, ""}, step{3660, "A1/b", leak, ""})
	again, _ := e.Take()
	if len(again) != 1 || again[0].ID == got[0].ID {
		t.Errorf("the next leak is part of the old incident: %+v", again)
	}
}

func TestWaterThatRunsDownIsSaidTo(t *testing.T) {
	e := incident.New(incident.Options{}, nil)
	play(e, 0, step{0, "A1/u20", leak, ""}, step{60, "A1/u18", rail, ""}, step{120, "A1/u16", inputOff, ""})
	got, _ := e.Take()
	if !strings.Contains(got[0].Explanation, "down the rack, from U20 to U16") {
		t.Error(got[0].Explanation)
	}
}

// A storm of events makes one incident that stays within bounds.
func TestAStormIsBounded(t *testing.T) {
	fleet := incident.New(incident.Options{Site: true}, nil)
	for i := range 2000 {
		play(fleet, 2000, step{i / 10, fmt.Sprintf("A%d/t%d", i%50, i), silent, ""})
	}
	if got, members := fleet.Take(); len(got) != 1 || len(got[0].Targets) != health.MaxIncidentTargets || got[0].Signs != 2000 || got[0].More != 1500 || len(members) != 2000 {
		t.Errorf("%d incidents, %d members", len(got), len(members))
	}
	e := incident.New(incident.Options{}, nil)
	for i := range 1000 {
		play(e, 0, step{i / 10, fmt.Sprintf("A1/t%d", i%50), rail + " momentary", fmt.Sprint(i)}, step{i / 10, "A1/a", leak, fmt.Sprint(i)})
	}
	got, members := e.Take()
	if len(got) != 1 || len(got[0].Evidence) > health.MaxIncidentEvidence || got[0].Signs != len(members) || len(got[0].Targets) != 51 {
		t.Errorf("%d incidents, %d signs, %d members", len(got), got[0].Signs, len(members))
	}
}

// Whenever the process dies between two commits, the incidents are the same: what is kept and what is remembered is all there is.
func TestARestartChangesNothing(t *testing.T) {
	whats := []string{leak, dry, damp, inputOff, rail, lid, silent, answers, broken, "fan failed critical", rail + " momentary"}
	rapid.Check(t, func(t *rapid.T) {
		var steps []step
		at, open := 0, map[string]string{}
		for i := range rapid.IntRange(1, 40).Draw(t, "events") {
			at += rapid.IntRange(-60, 600).Draw(t, "after")
			s := step{at, rapid.SampledFrom([]string{"A1/a", "A1/b", "A1/c", "A2/d", "A2/e", "A2/f"}).Draw(t, "target"), rapid.SampledFrom(whats).Draw(t, "what"), fmt.Sprint(" #", i)}
			ev := s.event()
			switch key := string(ev.Target) + string(ev.Component) + string(ev.Kind); ev.Transition {
			case health.Asserted:
				if open[key] != "" {
					continue // as detection has it: one open fault of a kind
				}
				open[key] = s.n
			case health.Cleared:
				if s.n = open[key]; s.n == "" {
					continue
				}
				delete(open, key)
			}
			steps = append(steps, s)
		}
		whole := incident.New(incident.Options{}, nil)
		play(whole, 4, steps...)
		want, _ := whole.Take()

		stop := rapid.IntRange(0, len(steps)).Draw(t, "stop")
		first := incident.New(incident.Options{}, nil)
		play(first, 4, steps[:stop]...)
		kept, members := first.Take()
		second := incident.New(incident.Options{}, kept)
		for _, s := range steps[:stop] {
			ev := s.event()
			if !slices.ContainsFunc(members, func(m health.IncidentMember) bool { return m.Event == ev.ID }) {
				second.Remember(ev, s.place(), 4)
			}
		}
		play(second, 4, steps[stop:]...)
		changed, _ := second.Take()
		got := slices.DeleteFunc(kept, func(x health.Incident) bool {
			return slices.ContainsFunc(changed, func(c health.Incident) bool { return c.ID == x.ID })
		})
		got = append(got, changed...)
		slices.SortFunc(got, func(a, b health.Incident) int { return strings.Compare(a.ID, b.ID) })
		slices.SortFunc(want, func(a, b health.Incident) int { return strings.Compare(a.ID, b.ID) })
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

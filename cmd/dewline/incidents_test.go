package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/collector/incident"
	"dewline/health"
	"dewline/internal/config"
	"dewline/store/sqlite"
)

const incidentsDir = "DEWLINE_TEST_INCIDENTS_DIR"

// oneByOne gives a follower one event at a time, so that there are many commits to be killed between.
type oneByOne struct{ *sqlite.DB }

func (o oneByOne) EventsFrom(ctx context.Context, n int64, _ int) ([]health.NumberedEvent, error) {
	return o.DB.EventsFrom(ctx, n, 1)
}

// wetRack is six targets with signs of every kind, over some days.
func wetRack(t *testing.T, dir string, seed uint64) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{CommitEvery: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r := rand.New(rand.NewPCG(seed, 1))
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	open := map[string]health.Fault{}
	for i := range 120 {
		at = at.Add(time.Duration(r.IntN(600)) * time.Second)
		if r.IntN(20) == 0 {
			at = at.Add(2 * time.Hour)
		}
		target := health.Target{ID: health.TargetID(fmt.Sprintf("db-%d", r.IntN(6))), Rack: "A1", Site: "bontang"}
		what := []struct {
			class health.Class
			kind  health.Kind
		}{
			{health.ClassLeakDetector, health.KindLeakDetected}, {health.ClassPSU, health.KindInputLost}, {health.ClassVoltage, health.KindUnderThreshold},
			{health.ClassTemperature, health.KindCondensationRisk}, {health.ClassBMC, health.KindCommLost},
		}[r.IntN(5)]
		e := health.Event{
			ID: fmt.Sprintf("e%d", i), Target: target.ID, Component: health.ComponentID(what.class + "/1"), Class: what.class, Kind: what.kind,
			Severity: health.SeverityCritical, Transition: health.Asserted, At: at, FaultID: fmt.Sprintf("e%d", i), Rule: "condition",
		}
		key := string(target.ID) + string(what.kind)
		v := &health.Visit{Target: target.ID, Where: &target, Started: at, Result: health.Done, Due: map[health.Tier]time.Time{health.TierReadings: at}, Snapshot: &health.Snapshot{}}
		if f, ok := open[key]; ok {
			e.Transition, e.Severity, e.FaultID = health.Cleared, health.SeverityOK, f.ID
			delete(open, key)
		} else {
			open[key] = health.Fault{ID: e.ID}
		}
		v.Events = []health.Event{e}
		if err := db.Record(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
}

func followOne(db *sqlite.DB) *incident.Follower {
	f := followIncidents(db, config.Default().Incidents, nil, slog.New(slog.DiscardHandler))
	f.Store = oneByOne{db}
	f.Now = func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) } // all that can be over is
	return f
}

func incidentsOf(t *testing.T, dir string) []health.Incident {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Incidents(t.Context(), health.IncidentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestIncidentsSurviveKills: a follower that is killed at random finds what one finds that is not, each incident once.
func TestIncidentsSurviveKills(t *testing.T) {
	catchUp := func(ctx context.Context, dir string) error {
		db, err := sqlite.Open(ctx, dir, sqlite.Options{})
		if err != nil {
			return err
		}
		defer db.Close()
		return followOne(db).CatchUp(ctx)
	}
	if dir := os.Getenv(incidentsDir); dir != "" { // the process that is killed
		if err := catchUp(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	killed, whole := t.TempDir(), t.TempDir()
	wetRack(t, killed, seed)
	wetRack(t, whole, seed)
	if err := catchUp(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	want := incidentsOf(t, whole)
	if len(want) == 0 {
		t.Fatalf("%d incidents: the test shows nothing", len(want))
	}
	r := rand.New(rand.NewPCG(seed, 2))
	kills := 0
	for range 15 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestIncidentsSurviveKills$")
		cmd.Env = append(os.Environ(), incidentsDir+"="+killed)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(20+r.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		if cmd.Wait() != nil {
			kills++
		}
		timer.Stop()
	}
	if err := catchUp(t.Context(), killed); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, incidentsOf(t, killed)); d != "" {
		t.Errorf("after %d kills: %s", kills, d)
	}
}

func TestIncidentsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	x := health.Incident{
		ID: health.IncidentID("e1"), State: health.IncidentOpen, Cause: health.CauseWater, Severity: health.SeverityCritical, Rule: incident.RuleLeakSpreads,
		Summary: "water: 2 targets\x1b[31m", Explanation: "because", Alternatives: []string{"a failed detector"}, Racks: []string{"A1"},
		Opened: at, Found: at, Changed: at.Add(time.Minute), FirstSign: "e1", Signs: 3,
		Targets: []health.IncidentTarget{{Target: "db-1", Rack: "A1", Position: 7, First: at, Kind: health.KindLeakDetected, Kinds: []health.IncidentSign{health.SignLeak}, Count: 1, Open: 1},
			{Target: "db-2", Rack: "A1", First: at.Add(time.Minute), Kind: health.KindInputLost, Kinds: []health.IncidentSign{health.SignPower}, Count: 1}},
		Evidence: []health.IncidentEvidence{{Event: "e1", Fault: "e1", Target: "db-1", Kind: health.KindLeakDetected, Sign: health.SignLeak, At: at, Message: "wet"},
			{Event: "e2", Target: "db-2", Kind: health.KindInputLost, Sign: health.SignPower, At: at.Add(time.Minute)}},
	}
	y := x
	y.ID, y.State, y.Racks, y.Opened, y.Targets = health.IncidentID("e9"), health.IncidentClosed, []string{"A2"}, at.Add(-time.Hour), slices.Clone(x.Targets[1:])
	y.Targets[0].Rack = "A2"
	if err := db.SaveIncidents(t.Context(), 0, []health.Incident{x, y}, nil); err != nil {
		t.Fatal(err)
	}
	for i, rack := range []string{"A1", "A2"} { // where they stand
		id := health.TargetID(fmt.Sprintf("db-%d", i+1))
		v := &health.Visit{
			Target: id, Where: &health.Target{ID: id, Rack: rack, Site: "bontang", Labels: map[string]string{"owner": rack}}, Started: at,
			Result: health.Done, Due: map[health.Tier]time.Time{health.TierReadings: at}, Snapshot: &health.Snapshot{},
		}
		if err := db.Record(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args  []string
		code  int
		says  []string
		never string
	}{
		"the list":               {nil, 0, []string{x.ID[:8], y.ID[:8], "water", "2026-11-23T07:00:00Z"}, "\x1b"},
		"only open ones":         {[]string{"--open"}, 0, []string{x.ID[:8]}, y.ID[:8]},
		"of a rack":              {[]string{"--rack", "A2"}, 0, []string{y.ID[:8]}, x.ID[:8]},
		"of a rack that is not":  {[]string{"--rack", "A3"}, 2, []string{"the store knows no rack \"A3\""}, ""},
		"of a label":             {[]string{"--label", "owner=A1"}, 0, []string{x.ID[:8]}, y.ID[:8]},
		"of a kind":              {[]string{"--kind", "leak_detected", "--target", "db-2"}, 0, []string{x.ID[:8], y.ID[:8]}, ""},
		"of another kind":        {[]string{"--kind", "intrusion"}, 0, []string{"no incidents"}, x.ID[:8]},
		"of a class":             {[]string{"--class", "fan"}, 0, []string{"no incidents"}, x.ID[:8]},
		"until it began":         {[]string{"--until", "2026-11-23T07:00:00Z"}, 0, []string{y.ID[:8]}, x.ID[:8]},
		"fail on an open one":    {[]string{"--fail-on", "critical"}, 4, []string{x.ID[:8]}, ""},
		"fail on a closed one":   {[]string{"--rack", "A2", "--fail-on", "warning"}, 0, []string{y.ID[:8]}, x.ID[:8]},
		"follow to an end":       {[]string{"--follow", "--until", "1h"}, 2, []string{"--follow has no end"}, ""},
		"follow to a code":       {[]string{"--follow", "--fail-on", "critical"}, 2, []string{"--follow has no end"}, ""},
		"of a target":            {[]string{"--target", "db-1"}, 0, []string{x.ID[:8]}, y.ID[:8]},
		"none":                   {[]string{"--since", "1h"}, 0, []string{"no incidents"}, x.ID[:8]},
		"one in full":            {[]string{"show", x.ID[:5]}, 0, []string{"because", "a failed detector", "L-----", "P\n", "+1m0s", "wet", "momentary", "and 1 further sign"}, "\x1b"},
		"one that is not there":  {[]string{"show", "zz"}, 2, []string{"no incident \"zz\""}, ""},
		"none named":             {[]string{"show"}, 2, []string{"which incident?"}, ""},
		"no time":                {[]string{"--since", "soon"}, 2, []string{"is no time"}, ""},
		"a word that is no flag": {[]string{"open"}, 2, []string{"unknown command"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := dewline(t, slices.Concat([]string{"incidents"}, c.args, []string{"--data-dir", dir})...)
			if code != c.code {
				t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
			}
			for _, s := range c.says {
				if !strings.Contains(stdout+stderr, s) {
					t.Errorf("does not say %q:\n%s%s", s, stdout, stderr)
				}
			}
			if c.never != "" && strings.Contains(stdout, c.never) {
				t.Errorf("says %q:\n%s", c.never, stdout)
			}
		})
	}
	code, stdout, _ := dewline(t, "incidents", "-o", "json", "--data-dir", dir)
	if code != 0 || strings.Count(stdout, "\n") != 2 {
		t.Fatalf("exit %d\n%s", code, stdout)
	}
	last := strings.Split(strings.TrimSpace(stdout), "\n")[1]
	var doc incidentDoc
	dec := json.NewDecoder(bytes.NewReader([]byte(last)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil || doc.Version != 1 {
		t.Fatalf("%v\n%s", err, last)
	}
	if d := cmp.Diff(x, doc.Incident); d != "" {
		t.Error(d)
	}
}

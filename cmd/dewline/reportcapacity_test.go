package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dewline/health"
	"dewline/report/capacity"
	"dewline/report/reporttest"
	"dewline/store/sqlite"
)

var reviewEnd = time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)

const reviewSpan = 30 * time.Hour

// reviewFleet is three servers in two racks, read every five minutes, now and then twice, with gaps.
func reviewFleet() *reporttest.Fleet {
	f := &reporttest.Fleet{}
	psu := func(n int) health.SeriesID {
		return health.SeriesID{Component: health.ComponentID(fmt.Sprintf("psu/%d", n)), Quantity: health.InputPower, Unit: health.Watt}
	}
	inlet := health.SeriesID{Component: "temperature/Inlet", Quantity: health.Temperature, Unit: health.Celsius}
	for i, name := range []string{"db-1", "db-2", "web-1"} {
		rack := "A1"
		if i == 2 {
			rack = "A2"
		}
		m := reporttest.NewMachine(health.Target{ID: health.TargetID(name), Address: "https://10.0.0." + fmt.Sprint(i+1), Driver: "redfish", Site: "bontang", Rack: rack, Position: i + 1, Labels: map[string]string{"owner": "lab"}})
		m.Identity = health.Identity{Manufacturer: "Acme", Model: "R" + fmt.Sprint(1+i/2), Serial: "S" + name}
		for n := 1; n <= 2; n++ {
			m.Parts = append(m.Parts, health.KnownComponent{Component: health.Component{ID: psu(n).Component, Class: health.ClassPSU, Name: fmt.Sprintf("PSU %d", n), Presence: health.Present, State: health.OK, Serial: fmt.Sprint("P", i, n)}})
		}
		m.Parts = append(m.Parts, health.KnownComponent{Component: health.Component{ID: inlet.Component, Class: health.ClassTemperature, Name: "Inlet", Context: "intake", Presence: health.Present, State: health.OK}})
		for at, k := reviewEnd.Add(-reviewSpan), 0; at.Before(reviewEnd); at, k = at.Add(health.AlignStep), k+1 {
			if i == 1 && k > 100 && k < 110 {
				continue
			}
			for n := range 1 + (k%17)/16 {
				t := at.Add(time.Duration(7+60*n) * time.Second)
				v := 100 + 40*math.Sin(float64(k)/40) + float64(10*i+k%5+n)
				m.Read(psu(1), health.ClassPSU, t, math.Round(v))
				m.Read(psu(2), health.ClassPSU, t, math.Round(v)-3)
				m.Read(inlet, health.ClassTemperature, t, 22+float64(k%7)/2)
			}
		}
		f.Machines = append(f.Machines, m)
	}
	return f
}

// visitsOf makes the visits that would have brought a machine's samples.
func visitsOf(m *reporttest.Machine) []*health.Visit {
	readings := map[time.Time][]health.Reading{}
	for id, samples := range m.Samples {
		for _, s := range samples {
			readings[s.At] = append(readings[s.At], health.Reading{Component: id.Component, Quantity: id.Quantity, Unit: id.Unit, Value: s.Value})
		}
	}
	var times []time.Time
	for at := range readings {
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	var out []*health.Visit
	for i, at := range times {
		v := &health.Visit{
			Target: m.Target.ID, Where: &m.Target, Driver: "redfish", Due: map[health.Tier]time.Time{health.TierReadings: at}, Started: at, Took: time.Second, Result: health.Done,
			Snapshot: &health.Snapshot{Target: m.Target.ID, Driver: "redfish", At: at, Took: time.Second, Tiers: health.TiersOf(health.TierReadings), HostPower: health.HostOn, Readings: readings[at]},
		}
		if i == 0 {
			v.Delta.Components, v.Delta.Identity = m.Parts, &m.Identity
		}
		for _, c := range m.Parts {
			v.Snapshot.Components = append(v.Snapshot.Components, c.Component)
		}
		v.ID = health.VisitID(v)
		out = append(out, v)
	}
	return out
}

// reviewStore records the fleet. It is compacted when it is closed and opened again by nobody: some hours are, some are not.
func reviewStore(t *testing.T, dir string, f *reporttest.Fleet) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range f.Machines {
		visits := visitsOf(m)
		for some := range slices.Chunk(append(visits[:1:1], visits[1:]...), 128) {
			var wg sync.WaitGroup
			errs := make([]error, len(some))
			if some[0] == visits[0] { // what is installed comes first
				errs[0] = db.Record(t.Context(), some[0])
				some = some[1:]
				errs = errs[1:]
			}
			for i, v := range some {
				wg.Go(func() { errs[i] = db.Record(t.Context(), v) })
			}
			wg.Wait()
			for _, err := range errs {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := db.CompactBefore(t.Context(), reviewEnd.Add(-reviewSpan/3)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

const reviewConfig = `
[[credential]]
name = "bmc"
username = "monitor"
password = "env:NONE"
[[target]]
name = "db-1"
address = "10.0.0.1"
credential = "bmc"
site = "bontang"
rack = "A1"
labels = { owner = "lab" }
installed = "2020-01-01"
warranty_until = "2025-01-01"
[[target]]
name = "db-2"
address = "10.0.0.2"
credential = "bmc"
site = "bontang"
rack = "A1"
labels = { owner = "lab" }
[[target]]
name = "new-1"
address = "10.0.0.9"
credential = "bmc"
site = "bontang"
rack = "A1"
labels = { owner = "lab" }
[[rack]]
name = "A1"
amps = 10.0
volts = 100.0
power_factor = 1.0
[[feed]]
name = "left"
racks = ["A1"]
psus = ["psu 1"]
partner = "right"
amps = 10.0
volts = 100.0
[[feed]]
name = "right"
racks = ["A1"]
psus = ["psu/2"]
partner = "left"
amps = 10.0
volts = 100.0
`

// numbersOf are the numbers of a report, by path.
func numbersOf(t *testing.T, rep *capacity.Report) map[string]float64 {
	t.Helper()
	b, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				walk(path+"."+k, x)
			}
		case []any:
			for i, x := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), x)
			}
		case float64:
			out[path] = v
		}
	}
	walk("", doc)
	return out
}

// TestTheStoresReviewIsThatOfTheSamples makes the review of one fleet from the embedded store and from the samples themselves.
func TestTheStoresReviewIsThatOfTheSamples(t *testing.T) {
	t.Parallel()
	f, dir := reviewFleet(), t.TempDir()
	reviewStore(t, dir, f)
	db, err := openStore(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	targets, err := storeReader{db}.Targets(t.Context())
	if err != nil || len(targets) != 3 {
		t.Fatal(targets, err)
	}
	q := capacity.Request{From: reviewEnd.Add(-reviewSpan).Add(25 * time.Minute), Until: reviewEnd.Add(-10 * time.Minute), GeneratedAt: reviewEnd, Targets: targets}
	q.Changes = []capacity.Change{{Text: "add 2 x db", N: 2, Like: []health.TargetID{"db-1", "db-2"}}}
	stored, err := capacity.Build(t.Context(), storeReader{db}, q)
	if err != nil {
		t.Fatal(err)
	}
	sampled, err := capacity.Build(t.Context(), f, q)
	if err != nil {
		t.Fatal(err)
	}
	got, want := numbersOf(t, stored), numbersOf(t, sampled)
	if len(want) < 200 {
		t.Errorf("only %d numbers", len(want))
	}
	for k, w := range want {
		if g, ok := got[k]; !ok || math.Abs(g-w) > 1e-9*max(1, math.Abs(w)) {
			t.Errorf("%s = %v (%v), want %v", k, g, ok, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d numbers, want %d", len(got), len(want))
	}
}

func TestReportCapacity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, conf := filepath.Join(dir, "data"), filepath.Join(dir, "dewline.toml")
	reviewStore(t, data, reviewFleet())
	if err := os.WriteFile(conf, []byte(fmt.Sprintf("data_dir = %q\n", data)+reviewConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	at := reviewEnd.Format(time.RFC3339)
	args := func(more ...string) []string {
		return append([]string{"report", "capacity", "-c", conf, "--since", "2d", "--generated-at", at}, more...)
	}
	out := filepath.Join(dir, "out")
	code, stdout, stderr := dewline(t, args("--label", "owner=lab", "--add", "2 x db in A1", "--out", out)...)
	if code != 0 || !strings.HasPrefix(stdout, "Buy: ") || !strings.Contains(stderr, "made a signing key") {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	var rep capacity.Report
	b, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &rep); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, g := range rep.Groups {
		kinds = append(kinds, g.Kind+" "+g.Name)
		if g.Draw == nil {
			t.Errorf("%s %s: no figure", g.Kind, g.Name)
		}
	}
	if want := []string{"all ", "site bontang", "rack A1", "feeds left + right", "feed left", "feed right"}; !slices.Equal(kinds, want) {
		t.Errorf("groups %q, want %q", kinds, want)
	}
	if len(rep.Servers) != 2 || rep.Servers[0].Warranty.IsZero() || rep.ConfigSum == "" || rep.Simulated {
		t.Errorf("%+v", rep.Servers)
	}
	var places []string
	for _, x := range rep.WhatIf {
		places = append(places, x.Kind+" "+x.Name+" "+x.Result)
	}
	if want := []string{"site bontang no_budget", "rack A1 over", "feed left fits", "feed right fits", "feeds left + right over"}; !slices.Equal(places, want) {
		t.Errorf("what if: %q, want %q", places, want)
	}
	for _, want := range []string{"\nsite bontang  ", "\nrack bontang/A1  ", "\nfeed left + right  "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the terminal lacks %q:\n%s", want, stdout)
		}
	}
	line := stdout[:strings.IndexByte(stdout, '\n')]
	for _, want := range []string{"spare servers", "Retire or repair: out of warranty (1): db-1", "1.2 days of data, and 30 are needed for a forecast", "configured servers without any data (1): new-1", "no longer configured, left out (1): web-1"} {
		if !strings.Contains(line, want) {
			t.Errorf("the first line lacks %q:\n%s", want, line)
		}
	}
	if code, stdout, stderr := dewline(t, "report", "verify", out, "--public-key", filepath.Join(data, "report.key.pub")); code != 0 || !strings.Contains(stdout, "Whole: all") {
		t.Errorf("verify: exit %d\n%s\n%s", code, stdout, stderr)
	}
	if code, _, _ := dewline(t, "report", "verify", out+".zip"); code != 0 {
		t.Errorf("verify the ZIP: exit %d", code)
	}
	// The same input gives the same bytes.
	again := filepath.Join(dir, "again")
	if code, _, stderr := dewline(t, args("--label", "owner=lab", "--add", "2 x db in A1", "--out", again)...); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	for _, name := range []string{"report.json", "report.html", "report.pdf", "tables/power-servers.csv", "data/days.jsonl", "data/inventory.jsonl", "MANIFEST"} {
		a, errA := os.ReadFile(filepath.Join(out, name))
		b, errB := os.ReadFile(filepath.Join(again, name))
		if errA != nil || errB != nil || len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("%s differs from run to run (%v, %v)", name, errA, errB)
		}
	}
	// Of one server of the rack alone it is not said how much of the rack's budget is used.
	one := filepath.Join(dir, "one")
	if code, stdout, stderr := dewline(t, args("--target", "db-1", "--zip=false", "--out", one)...); code != 0 || !strings.Contains(stdout, "what servers draw that were not chosen, so that these are held against no budget (4): bontang/A1, ") ||
		strings.Contains(stdout, " VA of ") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	if b, err := os.ReadFile(filepath.Join(one, "data", "inventory.jsonl")); err != nil || strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), `"db-1"`) {
		t.Errorf("the evidence has others' inventory: %s, %v", b, err)
	}
	// Another language, without a configuration.
	id := filepath.Join(dir, "kapasitas")
	if code, stdout, stderr := dewline(t, "report", "capacity", "--data-dir", data, "--since", "1d", "--generated-at", at, "--lang", "id", "--raw", "--zip=false", "--out", id); code != 0 || !strings.HasPrefix(stdout, "Beli: ") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	page, err := os.ReadFile(filepath.Join(id, "report.html"))
	if err != nil || !bytes.Contains(page, []byte("Tinjauan kapasitas")) || bytes.Contains(page, []byte("⟨")) || bytes.Contains(page, []byte("%!")) {
		t.Errorf("the page in Indonesian: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(id, "data", "days.jsonl")); err != nil || !bytes.Contains(b, []byte(`"means":[`)) {
		t.Errorf("--raw has no steps: %v", err)
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		{args(), "--out is missing"},
		{args("--out", out), "is not empty"},
		{args("--out", "x", "--lang", "fr"), `no texts in language "fr"`},
		{args("--out", "x", "--rack", "A3"), `the store knows no rack "A3"`},
		{args("--out", "x", "--label", "owner"), `"owner" is no label`},
		{args("--out", "x", "--label", "owner=nobody"), "no server is chosen"},
		{args("--out", "x", "--add", "db"), `says not how many of what`},
		{args("--out", "x", "--add", "0 x db"), "from 1 to 100000 servers"},
		{args("--out", "x", "--add", "4 x bd-1"), `did you mean "db-1"?`},
		{args("--out", "x", "--remove", "1 x db in B9"), `no chosen server stands in rack "B9"`},
		{args("--out", "x", "--until", "2026-11-21"), "lies after the report"},
		{args("--out", "x", "--remove", "3 x db"), `only 2 servers of that kind can be taken away there`},
		{args("--out", "x", "--remove", "3 x db in A1"), `only 2 servers of that kind can be taken away there`},
		{args("--out", "x", "--data-dir", data), "--config and --data-dir: give one"},
		{args("--out", "x", "--target", "web-1"), `it lacks 1 server that there is data of, such as "web-1"`},
		{append(args("--out", "x"), "--since", "soon"), `"soon" is no time`},
	} {
		code, _, stderr := dewline(t, c.args...)
		if code != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d, %s; want %q", c.args[4:], code, stderr, c.want)
		}
	}
	if _, err := os.Stat("x"); err == nil {
		t.Error("a refused report left a folder")
	}
}

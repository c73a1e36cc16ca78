package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/report"
	"dewline/report/capacity"
	"dewline/store/influx"
	"dewline/store/influx/influxtest"
	"dewline/store/sqlite"
)

// TestReportCapacityFromInfluxDB makes the review of one fleet with the command twice: from the embedded store, and from a real InfluxDB that took its
// visits. What both can tell is the same; what InfluxDB cannot is said, and not made up.
func TestReportCapacityFromInfluxDB(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hw`)
	dir := t.TempDir()
	data, conf := filepath.Join(dir, "data"), filepath.Join(dir, "dewline.toml")
	reviewStore(t, data, reviewFleet())
	db, err := sqlite.Open(t.Context(), data, sqlite.Options{Sinks: []string{influx.DefaultName}})
	if err != nil {
		t.Fatal(err)
	}
	deliverRest(t, db, srv.URL)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	configure := func(text string) {
		t.Helper()
		if err := os.WriteFile(conf, fmt.Appendf(nil, "data_dir = %q\n%s[influxdb]\nurl = %q\nbucket = \"hw/autogen\"\n", data, text, srv.URL), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure(strings.Replace(reviewConfig, `"psu 1"`, `"psu/1"`, 1)) // by ID: names are not in InfluxDB
	review := func(source string, more ...string) (*capacity.Report, map[string]float64) {
		t.Helper()
		out := filepath.Join(dir, source)
		code, stdout, stderr := dewline(t, append([]string{"report", "capacity", "-c", conf, "--since", "2d", "--generated-at", reviewEnd.Format(time.RFC3339), "--source", source, "--add", "2 x db in A1", "--zip=false", "--out", out}, more...)...)
		if code != 0 {
			t.Fatalf("%s: exit %d\n%s\n%s", source, code, stdout, stderr)
		}
		b, err := os.ReadFile(filepath.Join(out, "report.json"))
		if err != nil {
			t.Fatal(err)
		}
		rep := &capacity.Report{}
		if err := json.Unmarshal(b, rep); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := dewline(t, "report", "verify", out); code != 0 {
			t.Errorf("%s: verify: exit %d, %s", source, code, stderr)
		}
		return rep, numbersOf(t, rep)
	}
	_, want := review(sourceStore)
	rep, got := review(sourceInflux)
	// Of the inventory it knows nothing, so nothing may be there of it, and everything else must be the same.
	inventory := func(key string) bool {
		for _, part := range []string{".models", ".firmware", ".capacity[", ".fault", ".reliability", "_one_lost", "capacity_watts", ".dewline_not_running_hours"} {
			if strings.HasPrefix(key, part) || strings.Contains(key, part) && strings.HasPrefix(key, ".servers") {
				return true
			}
		}
		return false
	}
	compared := 0
	for k, w := range want {
		if inventory(k) {
			continue
		}
		compared++
		if g, ok := got[k]; !ok || math.Abs(g-w) > 1e-9*max(1, math.Abs(w)) {
			t.Errorf("%s = %v (%v), want %v as from the store", k, g, ok, w)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok && !inventory(k) {
			t.Errorf("%s is told, and the store tells nothing of it", k)
		}
	}
	if compared < 150 {
		t.Errorf("only %d figures were compared", compared)
	}
	if !strings.Contains(rep.Source, "InfluxDB at "+srv.URL) || !slices.Equal(rep.Lacks, []report.Lack{report.LackInventory, report.LackThresholds, report.LackRuns}) || rep.Servers[0].Model != "" || rep.Stopped != nil {
		t.Errorf("source %q, lacks %q, %+v", rep.Source, rep.Lacks, rep.Servers[0])
	}
	var said strings.Builder
	for _, n := range rep.Decision.Unseen {
		said.WriteString(n.Key + " ")
	}
	for _, l := range rep.Lacks {
		if !strings.Contains(said.String(), "unseen.lack."+string(l)) {
			t.Errorf("it does not say that the source lacks %s: %s", l, said.String())
		}
	}

	// A feed that is mapped by name has no supply there: no figure for it, and none for the two that carry each other.
	configure(reviewConfig)
	if err := os.RemoveAll(filepath.Join(dir, sourceInflux)); err != nil {
		t.Fatal(err)
	}
	rep, _ = review(sourceInflux)
	for _, g := range rep.Groups {
		if g.Kind == "feeds" || g.Name == "left" {
			t.Errorf("%s %s: a figure of %d servers, and a map of names that are not known", g.Kind, g.Name, g.Servers)
		}
	}
	if !slices.ContainsFunc(rep.Decision.Unseen, func(n capacity.Note) bool { return n.Key == "unseen.feed_map" && strings.HasSuffix(n.Detail, ": left") }) {
		t.Errorf("it does not say that nothing was found on the feed: %+v", rep.Decision.Unseen)
	}

	srv.Kill()
	code, _, stderr := dewline(t, "report", "capacity", "-c", conf, "--since", "2d", "--source", "influxdb", "--out", filepath.Join(dir, "none"))
	if code != 1 || !strings.Contains(stderr, "InfluxDB at "+srv.URL) {
		t.Errorf("without the server: exit %d, %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a review that failed left a folder")
	}
	if code, _, stderr := dewline(t, "report", "capacity", "--data-dir", data, "--source", "influxdb", "--out", filepath.Join(dir, "none")); code != 2 || !strings.Contains(stderr, "there is no [influxdb] in a configuration") {
		t.Errorf("without a configuration: exit %d, %s", code, stderr)
	}
}

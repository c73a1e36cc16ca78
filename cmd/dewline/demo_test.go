package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/report/capacity"
	"dewline/report/evidence"
)

// TestDemo runs the README's main command as a process, off a terminal: within 50 seconds a fan fails, a leak detector gets
// wet and condensation threatens, and each of them clears.
func TestDemo(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(os.Args[0], "demo", "--for", "50s", "--no-report")
	cmd.Env = append(os.Environ(), runAsDewline+"=1", "TMPDIR="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	line := regexp.MustCompile(`^(\S+) (\S+) (\S+) (\S+) (asserted|cleared)$`)
	seen := map[string]int{}
	for l := range strings.Lines(stdout.String()) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			t.Errorf("not an event line: %q", l)
			continue
		}
		component, _, _ := strings.Cut(m[3], "/")
		seen[component+" "+m[4]+" "+m[5]]++
		seen[m[4]+" "+m[5]]++
	}
	for _, want := range []string{"fan failed asserted", "fan failed cleared", "leak_detected asserted", "leak_detected cleared", "condensation_risk asserted", "condensation_risk cleared"} {
		if seen[want] == 0 {
			t.Errorf("no %q in:\n%s\n%s", want, stdout.String(), stderr.String())
		}
	}
	// The roof leak is one incident, and it is called what it is.
	if !regexp.MustCompile(`^incident [0-9a-f]{8} \(simulated\): water: [2-6] targets in rack A1, .*\n$`).MatchString(stderr.String()) {
		t.Errorf("standard error:\n%s", stderr.String())
	}
}

// TestThePastOfTheDemoEndsInAReport plays a shorter past than the demo does: six days, a visit an hour.
func TestThePastOfTheDemoEndsInAReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "verification")
	y := story{length: 6 * 24 * time.Hour, every: time.Hour, leak: 50 * time.Hour, lateFail: 3 * time.Hour, soak: 24 * time.Hour}
	verdict, review, err := y.play(t.Context(), filepath.Join(dir, "past"), dir, 1, time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC), slog.New(slog.DiscardHandler))
	if err != nil || verdict != "Fault found" {
		t.Fatalf("verdict %q, %v", verdict, err)
	}
	b, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rep struct {
		Simulated bool
		Servers   []struct {
			Target  health.TargetID
			Verdict string
			Reasons []struct{ Gate, Detail string }
		}
	}
	if err := json.Unmarshal(b, &rep); err != nil || !rep.Simulated || len(rep.Servers) != 6 {
		t.Fatalf("%+v, %v", rep, err)
	}
	for _, s := range rep.Servers {
		want := "verified_with_observations"
		if s.Target == "app-1" {
			want = "fault_found"
		}
		if s.Verdict != want {
			t.Errorf("%s: %s, want %s: %+v", s.Target, s.Verdict, want, s.Reasons)
		}
	}
	for _, name := range []string{"report.html", "report.pdf", "tables/events.csv", "tables/coverage.csv", "data/01/visits.jsonl", "data/chain.jsonl", "MANIFEST.minisig"} {
		if st, err := os.Stat(filepath.Join(out, name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !bytes.Contains(page, []byte("SIMULATED")) || bytes.Contains(page, []byte("⟨")) {
		t.Errorf("the page does not say that it is simulated, or lacks a text: %v", err)
	}
	if r, err := evidence.CheckPath(out, nil); err != nil || !r.Whole() {
		t.Errorf("%+v, %v", r, err)
	}
	if err := os.WriteFile(filepath.Join(out, "report.json"), append(b, ' '), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := evidence.CheckPath(out, nil); err != nil || r.Whole() {
		t.Errorf("a changed report passes: %+v, %v", r, err)
	}
	checkDemoReview(t, filepath.Join(dir, "capacity"), review)
}

// checkDemoReview looks at the capacity review that the demo leaves.
func checkDemoReview(t *testing.T, out, line string) {
	t.Helper()
	if !strings.Contains(line, "6 spare servers and") || !strings.Contains(line, "days of data, and 30 are needed for a forecast") {
		t.Errorf("first line: %s", line)
	}
	b, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rep capacity.Report
	if err := json.Unmarshal(b, &rep); err != nil || !rep.Simulated || len(rep.Servers) != 6 {
		t.Fatalf("%d servers, simulated %v, %v", len(rep.Servers), rep.Simulated, err)
	}
	for _, g := range rep.Groups {
		if g.Draw == nil || g.Draw.P99 < 1000 || g.Trend.OK() {
			t.Errorf("%s %s: draw %+v, trend %+v", g.Kind, g.Name, g.Draw, g.Trend)
		}
	}
	for _, name := range []string{"report.html", "report.pdf", "tables/power-servers.csv", "tables/what-if.csv", "data/days.jsonl", "data/faults.jsonl", "MANIFEST.minisig"} {
		if st, err := os.Stat(filepath.Join(out, name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !bytes.Contains(page, []byte("SIMULATED")) || bytes.Contains(page, []byte("⟨")) || bytes.Contains(page, []byte("%!")) {
		t.Errorf("the page does not say that it is simulated, or lacks a text: %v", err)
	}
	if r, err := evidence.CheckPath(out, nil); err != nil || !r.Whole() {
		t.Errorf("%+v, %v", r, err)
	}
}

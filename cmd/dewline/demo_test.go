package main

import (
	"bytes"
	"encoding/json"
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

// TestDemo runs the README's main command off a terminal: within 50 seconds a fan fails, a leak detector gets wet and condensation
// threatens, and each of them clears. Beside it a shorter past is played than the command's own: five days, a visit an hour.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
	past := story{length: 123 * time.Hour, every: time.Hour, health: 3 * time.Hour, leak: 46 * time.Hour, lateFail: 3 * time.Hour, soak: 24 * time.Hour}
	if err := p.demo(t.Context(), 50*time.Second, dir, 1, &past); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	t.Run("live", func(t *testing.T) { checkDemo(t, stdout.String(), stderr.String()) })
	t.Run("report", func(t *testing.T) {
		if want := "a late failure: Fault found\n" + filepath.Join(dir, "verification", "report.html"); !strings.Contains(stderr.String(), want) {
			t.Errorf("standard error does not say %q:\n%s", want, stderr.String())
		}
		checkPast(t, filepath.Join(dir, "verification"))
		checkDemoReview(t, filepath.Join(dir, "capacity"), stderr.String())
	})
	t.Run("browser", func(t *testing.T) {
		inBrowser(t, map[string]string{filepath.Join(dir, "verification", "report.html"): "Fault found", filepath.Join(dir, "capacity", "report.html"): "Buy"})
	})
}

// TestTheWholeDemo is the command as it stands in the README, fourteen days in a minute, as a process.
func TestTheWholeDemo(t *testing.T) {
	if os.Getenv("DEWLINE_LONG") == "" {
		t.Skip("TestDemo is a small share of it; DEWLINE_LONG=1 runs it whole")
	}
	dir := t.TempDir()
	dewline := filepath.Join(dir, "dewline") // as it is shipped: the race detector takes ten times as long
	if out, err := exec.Command("go", "build", "-o", dewline, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(dewline, "demo", "--for", "60s", "--out", filepath.Join(dir, "demo"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	checkDemo(t, stdout.String(), stderr.String())
	checkDemoReview(t, filepath.Join(dir, "demo", "capacity"), stderr.String())
	folder := filepath.Join(dir, "demo", "verification")
	if out, err := exec.Command(dewline, "report", "verify", folder).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	checkPast(t, folder)
	if out, err := exec.Command(dewline, "report", "verify", folder).CombinedOutput(); exitCode(err) != "1" {
		t.Errorf("a changed report: exit %s\n%s", exitCode(err), out)
	}
}

// checkDemo checks what the live minute printed.
func checkDemo(t *testing.T, stdout, stderr string) {
	line := regexp.MustCompile(`^(\S+) (\S+) (\S+) (\S+) (asserted|cleared)$`)
	seen := map[string]int{}
	for l := range strings.Lines(stdout) {
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
			t.Errorf("no %q in:\n%s\n%s", want, stdout, stderr)
		}
	}
	// The roof leak is one incident, and it is called what it is.
	if !regexp.MustCompile(`(?m)^incident [0-9a-f]{8} \(simulated\): water: [2-6] targets in rack A1, .*$`).MatchString(stderr) || strings.Count(stderr, "incident ") != 1 {
		t.Errorf("standard error:\n%s", stderr)
	}
}

// checkPast checks the report on the past, and leaves it changed by a byte.
func checkPast(t *testing.T, out string) {
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
}

// checkDemoReview looks at the capacity review that the demo leaves.
func checkDemoReview(t *testing.T, out, line string) {
	t.Helper()
	if !strings.Contains(line, "spare servers (6) and") || !strings.Contains(line, "days of data, and 30 are needed for a forecast") {
		t.Errorf("standard error: %s", line)
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

package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestDemo runs the README's main command as a process, off a terminal: within 50 seconds a fan fails, a leak detector gets
// wet and condensation threatens, and each of them clears.
func TestDemo(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(os.Args[0], "demo", "--for", "50s")
	cmd.Env = append(os.Environ(), runAsDewline+"=1", "TMPDIR="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	line := regexp.MustCompile(`^(\S+) (\S+) (\S+) (\S+) (asserted|cleared)$`)
	seen := map[string]int{}
	incident := ""
	for l := range strings.Lines(stdout.String()) {
		if strings.HasPrefix(l, "incident ") {
			incident += l
			continue
		}
		if strings.HasPrefix(l, "verification report on ") || strings.HasSuffix(l, "report.html\n") { // what the demo's past amounts to
			continue
		}
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
	if !regexp.MustCompile(`^incident [0-9a-f]{8} \(simulated\): water: [2-6] targets in rack A1, .*\n$`).MatchString(incident) {
		t.Errorf("incidents:\n%s", incident)
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error:\n%s", stderr.String())
	}
}

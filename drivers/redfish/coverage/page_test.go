package coverage_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

var update = flag.Bool("update", false, "write docs/COMPATIBILITY.md anew; read the difference before committing it")

const (
	page      = "../../../docs/COMPATIBILITY.md"
	pageBegin = "<!-- from here on: make compatibility -->\n"
)

// row is one machine of the page.
type row struct {
	name  string
	cells []string // by column of the first table
	cost  []string // of the second
}

var pageClasses = []struct {
	class health.Class
	head  string
}{
	{health.ClassFan, "fans"}, {health.ClassPSU, "supplies"}, {health.ClassTemperature, "temperatures"}, {health.ClassHumidity, "humidity"},
	{health.ClassLeakDetector, "leak detectors"}, {health.ClassDrive, "drives"}, {health.ClassMemory, "memory"}, {health.ClassCPU, "CPUs"}, {health.ClassGPU, "GPUs"},
}

// TestCompatibilityPage: docs/COMPATIBILITY.md says what this code measures. `make compatibility` writes it.
func TestCompatibilityPage(t *testing.T) {
	if underRace {
		t.Skip("it takes all recordings: `make test` runs this package without the race detector as well")
	}
	var rows []row
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := captures(t)
	for name, file := range sorted(all) {
		r := measure(t, name, file)
		if expanding(t, all, name) {
			r.cost = append(r.cost, costOf(visited(t, file, true))...)
		} else if r.cost = append(r.cost, slices.Repeat([]string{"–"}, len(r.cost))...); name == heaviest(t, all) {
			r.cost = standing(t, string(old), r)
		}
		rows = append(rows, r)
	}
	head, _, found := strings.Cut(string(old), pageBegin)
	if !found {
		t.Fatalf("%s has no line %q", page, strings.TrimSpace(pageBegin))
	}
	want := head + pageBegin + written(rows)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil { //nolint:gosec // a page of the documentation
			t.Fatal(err)
		}
		return
	}
	if string(old) == want {
		return
	}
	have, now := strings.Split(string(old), "\n"), strings.Split(want, "\n")
	for i := range max(len(have), len(now)) {
		var a, b string
		if i < len(have) {
			a = have[i]
		}
		if i < len(now) {
			b = now[i]
		}
		if a != b {
			t.Errorf("%s, line %d:\nhas  %s\nbut  %s\n(make compatibility writes it)", page, i+1, a, b)
		}
	}
}

func measure(t *testing.T, name, file string) row {
	t.Helper()
	tr, _, err := loadTree(file)
	if err != nil {
		t.Fatal(err)
	}
	plain := visited(t, file, false)
	r := row{name: name, cells: cellsOf(walk(tr), plain.first)}
	r.cost = costOf(plain)
	return r
}

// standing is a row of requests as it stands on the page, with what was measured now in its first half.
func standing(t *testing.T, page string, r row) []string {
	t.Helper()
	_, requests, _ := strings.Cut(page, "\n## Requests\n")
	for line := range strings.Lines(requests) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if cells[0] == r.name && len(cells) == 1+len(r.cost) {
			half := len(r.cost) / 2
			return slices.Concat(r.cost[:half], cells[1+half:])
		}
	}
	return r.cost
}

// costOf is what the visits asked for: the first one, then each tier alone by a client that has learned.
func costOf(s *service) []string {
	l := []string{fmt.Sprint(s.first.Cost.Requests)}
	for _, tier := range health.AllTiers {
		l = append(l, fmt.Sprint(s.alone[tier].Cost.Requests))
	}
	return l
}

// cellsOf compares walker and driver, class by class: "6" where both found six, "5 of 6" where the driver missed one; in
// brackets the empty bays.
func cellsOf(w *truth, snap *health.Snapshot) []string {
	comps := reportedOf(snap)
	var cells []string
	for _, c := range pageClasses {
		parts := w.of(c.class)
		missed := len(disagreements(w, c.class, comps))
		present, absent := 0, 0
		for _, x := range comps {
			switch {
			case x.Class != c.class:
			case x.Presence == health.Absent:
				absent++
			default:
				present++
			}
		}
		cell := fmt.Sprint(present)
		if present == 0 && len(parts) == 0 {
			cell = "–"
		}
		if absent > 0 {
			cell += fmt.Sprintf(" (+%d empty)", absent)
		}
		if missed > 0 {
			cell += fmt.Sprintf(", %d differences", missed)
		}
		cells = append(cells, cell)
	}
	entries, skipped := 0, map[string]bool{}
	for _, l := range snap.Logs {
		if l.Skipped != "" {
			skipped[cleanURL(l.Path)] = true
		}
	}
	for _, l := range w.logs {
		if l.kind == hardwareLog || !skipped[l.url] {
			entries += l.entries
		}
	}
	return append(cells, fmt.Sprintf("%d of %d", len(snap.Logs)-len(skipped), len(w.logs)), fmt.Sprintf("%d of %d", len(snap.Log), entries), fmt.Sprint(len(snap.Gaps)))
}

func written(rows []row) string {
	var b strings.Builder
	line := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	b.WriteString("\n## What is found\n\n")
	head := []string{"recorded machine"}
	for _, c := range pageClasses {
		head = append(head, c.head)
	}
	head = append(head, "logs read", "log entries", "gaps")
	line(head...)
	line(slices.Repeat([]string{"---"}, len(head))...)
	for _, r := range rows {
		line(append([]string{r.name}, r.cells...)...)
	}
	b.WriteString("\n## Requests\n\n")
	head = []string{"recorded machine", "first visit"}
	for _, t := range health.AllTiers {
		head = append(head, t.String())
	}
	head = append(head, "first visit, `$expand`")
	for _, t := range health.AllTiers {
		head = append(head, t.String()+", `$expand`")
	}
	line(head...)
	line(slices.Repeat([]string{"---"}, len(head))...)
	for _, r := range rows {
		line(append([]string{r.name}, r.cost...)...)
	}
	return b.String()
}

package capacity

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dewline/report"
)

// TestEveryTextUsedIsThere looks for keys in the source: a key that is missing would be printed as itself.
func TestEveryTextUsedIsThere(t *testing.T) {
	en, err := report.TextsIn(report.Reference)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	used := map[string]bool{}
	need := func(file, key string) {
		used[key] = true
		if _, ok := en.Raw(key); !ok {
			t.Errorf("%s uses %q, which the catalogue lacks", file, key)
		}
	}
	say := regexp.MustCompile(`Say\("([a-z_.-]+)"`)
	label := regexp.MustCompile(`"(capacity\.decision\.[a-z]+|line\.[a-z]+)"`)
	note := regexp.MustCompile(`(?:note|add|list)\("([a-z_.]+)"`)
	table := regexp.MustCompile(`w\.table\(([^)]*)\)`)
	section := regexp.MustCompile(`w\.section\("([a-z-]+)"`)
	column := regexp.MustCompile(`"([a-z0-9_]+)[>*0-9.]*"`)
	word := regexp.MustCompile(`why[A-Z][a-z]+ += "([a-z]+)"`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, m := range say.FindAllStringSubmatch(text, -1) {
			if !strings.HasSuffix(m[1], ".") {
				need(f, m[1])
			}
		}
		for _, m := range label.FindAllStringSubmatch(text, -1) {
			need(f, m[1])
		}
		for _, m := range note.FindAllStringSubmatch(text, -1) {
			if !strings.HasSuffix(m[1], ".") {
				need(f, "decision."+m[1])
			}
		}
		for _, m := range section.FindAllStringSubmatch(text, -1) {
			need(f, "csection."+m[1])
		}
		for _, m := range table.FindAllStringSubmatch(text, -1) {
			_, columns, _ := strings.Cut(m[1], ",")
			for _, c := range column.FindAllStringSubmatch(columns, -1) {
				need(f, "ccol."+c[1])
			}
		}
		for _, m := range word.FindAllStringSubmatch(text, -1) {
			need(f, "why."+m[1])
		}
	}
	for list, words := range map[string][]string{
		"group": {"site", "rack", "feed", "feeds", "all"}, "source": {"psu_input", "board", "mixed", "none"}, "fits": {"fits", "over", "no_budget", "not_known"},
		"reach": {"over", "date", "not_rising", "beyond", "no_trend"}, "age": ages, "replace": {"failed", "predicted", "worn", "wears_out"},
		"errors": {"rising", "steady", "falling", "few"}, "growth": {"none", "low", "mid", "high"}, "what": {"buy", "retire", "watch", "unseen"},
		"resource": {"power", "duty", "wear"}, "series": {"mean", "p95", "max"},
		"cmethod":              {"samples", "power", "sums", "energy", "supplies", "va", "air", "trend", "wear", "rates", "purchase", "words"},
		"decision.unseen.lack": {string(report.LackInventory), string(report.LackThresholds), string(report.LackFaults), string(report.LackRuns), string(report.LackTicks), string(report.LackSamples)},
	} {
		for _, w := range words {
			need("a closed list", list+"."+w)
		}
	}
	if len(used) < 200 {
		t.Errorf("only %d keys found", len(used))
	}
	b, err := os.ReadFile("../catalogue/capacity.en.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^"([^"]+)" = `).FindAllStringSubmatch(string(b), -1) {
		if !used[m[1]] && !strings.HasPrefix(m[1], "ctable.") {
			t.Errorf("%q is used nowhere", m[1])
		}
	}
}

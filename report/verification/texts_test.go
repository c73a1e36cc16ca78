package verification

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
	literal := regexp.MustCompile(`"((?:reason|verdict|col|table|chart|fact|method|limit|strip|mark|detector|deviations|stage|statistics|controls|heading|moisture|events|soak|attestations|incident|coverage|components|redundancy|operators|redacted|section|result|adjusted|action)\.[a-z_.]+)"`)
	used := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range literal.FindAllStringSubmatch(string(b), -1) {
			if strings.HasSuffix(m[1], ".") {
				continue
			}
			used++
			if _, ok := en.Raw(m[1]); !ok {
				t.Errorf("%s uses %q, which the catalogue lacks", f, m[1])
			}
		}
	}
	if used < 100 {
		t.Errorf("only %d keys found", used)
	}
	for _, g := range Gates {
		if got, ok := en.Raw("gate." + g.ID); !ok || got != g.Text {
			t.Errorf("gate %s: catalogue %q, table %q", g.ID, got, g.Text)
		}
		for _, lang := range report.Languages() {
			texts, err := report.TextsIn(lang)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := texts.Raw("verdict." + g.Limit.String()); !ok {
				t.Errorf("%s lacks verdict %s", lang, g.Limit)
			}
		}
	}
}

// TestTheDocumentHasTheGates compares docs/VERIFICATION.md with the table that judges.
func TestTheDocumentHasTheGates(t *testing.T) {
	b, err := os.ReadFile("../../docs/VERIFICATION.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "| gate | at most | when |\n| --- | --- | --- |\n")
	if !ok {
		t.Fatal("no table of gates")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for _, g := range Gates {
		want = append(want, "| `"+g.ID+"` | "+strings.ReplaceAll(g.Limit.String(), "_", " ")+" | "+g.Text+" |")
	}
	if got := strings.TrimSpace(table); got != strings.Join(want, "\n") {
		t.Errorf("docs/VERIFICATION.md has\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

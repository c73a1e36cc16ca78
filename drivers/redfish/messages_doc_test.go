package redfish

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"dewline/health"
)

// updateDocs set, the tests write the tables into docs/EVENTS.md instead of comparing them.
const updateDocs = "DEWLINE_UPDATE_DOCS"

func TestEventsPageHasTheTables(t *testing.T) {
	ends := func(kind health.Kind, e effect, severity health.Severity, kinds []health.Kind) string {
		does := [...]string{"tells", "begins", "over"}[e]
		var more []string
		for _, k := range kinds {
			if k != kind {
				more = append(more, string(k))
			}
		}
		if len(more) == len(anything)-1 || len(more) == len(anything) {
			more = []string{"all that a state shows"}
		}
		s := fmt.Sprintf("%s | %s | %s", kind, severity, does)
		if len(more) > 0 {
			s += " [" + strings.Join(more, ", ") + "]"
		}
		return s
	}
	class := func(c health.Class) string {
		if c == "" {
			return "the origin's"
		}
		return string(c)
	}
	var rows, subjects, words strings.Builder
	rows.WriteString("| message | class | kind | severity | effect |\n| --- | --- | --- | --- | --- |\n")
	for _, m := range messages {
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", m.key, class(m.class), ends(m.kind, m.effect, m.severity, m.ends))
	}
	subjects.WriteString("| subject | class | above | below |\n| --- | --- | --- | --- |\n")
	for _, s := range thresholdSubjects {
		fmt.Fprintf(&subjects, "| `%s` | %s | %s | %s |\n", s.prefix, class(s.class), s.over, s.under)
	}
	words.WriteString("| words | class | kind | severity | effect |\n| --- | --- | --- | --- | --- |\n")
	for _, p := range phrases {
		c := "any"
		if p.class != "" {
			c = string(p.class)
		}
		fmt.Fprintf(&words, "| `%s` | %s | %s |\n", strings.ReplaceAll(p.pattern, "|", `\|`), c, ends(p.kind, p.effect, p.severity, p.ends))
	}
	compareSections(t, map[string]string{"redfish": rows.String(), "thresholds": subjects.String(), "phrases": words.String()})
}

// compareSections compares parts of docs/EVENTS.md with what they must be.
func compareSections(t *testing.T, sections map[string]string) {
	t.Helper()
	const page = "../../docs/EVENTS.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, want := range sections {
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
		head, rest, ok := strings.Cut(text, begin)
		got, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("docs/EVENTS.md has no section %q", name)
		}
		if got != want && os.Getenv(updateDocs) == "" {
			t.Errorf("section %q of docs/EVENTS.md is not what the table says; %s=1 writes it anew", name, updateDocs)
		}
		text = head + begin + want + end + tail
	}
	if os.Getenv(updateDocs) != "" && text != string(b) {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

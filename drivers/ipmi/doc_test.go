package ipmi

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
)

// updateDocs set, the test writes the table into docs/EVENTS.md instead of comparing it.
const updateDocs = "DEWLINE_UPDATE_DOCS"

func TestEventsPageHasTheTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("| type | sensor type | offset | meaning | kind | severity | |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	row := func(event, typ uint8, sensor string, off uint8, x effect) {
		kind, note := string(x.kind), ""
		switch {
		case x.presence == health.Present:
			kind, note = "", "present"
		case x.presence == health.Absent:
			kind, note = string(health.KindAbsentRemoved), "absent, if it was present before"
		case x.severity == health.SeverityOK:
			note = "all is well"
		case x.kind == "":
			note = "no word about health"
		case x.momentary || occurrences[x.kind]:
			note = "of a log, it happened"
		}
		fmt.Fprintf(&b, "| %02xh | %s | %x | %s | %s | %s | %s |\n", event, sensor, off, strings.ReplaceAll(eventName(typ, event, off), "|", "/"), kind, x.severity, note)
	}
	for _, event := range slices.Sorted(maps.Keys(generic)) {
		for _, off := range slices.Sorted(maps.Keys(generic[event])) {
			row(event, 0, "any", off, generic[event][off])
		}
	}
	for _, event := range slices.Sorted(maps.Keys(leakEffects)) {
		for _, off := range slices.Sorted(maps.Keys(leakEffects[event])) {
			row(event, 0, "of a leak detector", off, leakEffects[event][off])
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(specific)) {
		for _, off := range slices.Sorted(maps.Keys(specific[typ])) {
			row(eventSpecific, typ, fmt.Sprintf("%02xh %s", typ, types.SensorType(typ)), off, specific[typ][off])
		}
	}
	const page = "../../docs/EVENTS.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- begin ipmi -->\n", "<!-- end ipmi -->"
	head, rest, ok := strings.Cut(string(text), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/EVENTS.md has no section for IPMI")
	}
	if os.Getenv(updateDocs) != "" {
		if err := os.WriteFile(page, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != b.String() {
		t.Errorf("the table in docs/EVENTS.md is not that of the driver; %s=1 writes it anew", updateDocs)
	}
}

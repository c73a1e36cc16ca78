package influx

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"dewline/health"
)

// constants lists the values of a file's constants of the given type.
func constants(t *testing.T, file, typ string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != typ {
				continue
			}
			for _, e := range v.Values {
				text, err := strconv.Unquote(e.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, text)
			}
		}
	}
	return out
}

func TestSchemaPageNamesEverything(t *testing.T) {
	page, err := os.ReadFile("../../docs/SCHEMA.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n## InfluxDB\n")
	text, _, ok := strings.Cut(rest, "\n## JSON\n")
	if !ok {
		t.Fatal("the page has no section InfluxDB before its section JSON")
	}
	var want []string
	for _, c := range health.Classes {
		want = append(want, measurement(c))
	}
	quantities, units := constants(t, "../../health/reading.go", "Quantity"), constants(t, "../../health/reading.go", "Unit")
	if len(quantities) < 30 || len(units) < 15 {
		t.Fatalf("%d quantities, %d units", len(quantities), len(units))
	}
	if len(quantities) != len(health.Quantities) {
		t.Errorf("health.Quantities lists %d of %d", len(health.Quantities), len(quantities))
	}
	want = append(want, quantities...)
	for _, u := range units {
		name := strings.TrimPrefix(health.FieldName("q", health.Unit(u)), "q")
		switch {
		case name != "":
			want = append(want, strings.TrimPrefix(name, "_"))
		case health.Unit(u) != health.Number:
			t.Errorf("unit %q has no name in fields: it would be mixed with plain numbers", u)
		}
	}
	want = append(want, taken...)
	whole := visit()
	whole.Snapshot.HostPower = health.HostOn
	whole.Events[0].Rule, whole.Events[0].FaultID, whole.Events[0].AtStart = "r", "f", true
	whole.Skipped = []health.TickRange{{Tier: health.TierReadings, First: t0.Add(-2), Last: t0.Add(-1), Count: 2}}
	for _, l := range Encode(whole, target()) {
		p, err := parseLine(l)
		if err != nil {
			t.Fatal(err)
		}
		if p.measurement != EventMeasurement && p.measurement != VisitMeasurement {
			continue
		}
		want = append(want, p.measurement)
		for k := range p.tags {
			want = append(want, k)
		}
		for k := range p.fields {
			want = append(want, k)
		}
	}
	for _, w := range want {
		if !strings.Contains(text, "`"+w+"`") {
			t.Errorf("docs/SCHEMA.md does not name `%s`", w)
		}
	}
}

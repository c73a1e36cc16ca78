package render

import (
	"bytes"
	"encoding/csv"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
	"dewline/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

var t0 = time.Date(2026, 11, 1, 0, 0, 0, 0, time.FixedZone("WITA", 8*3600))

// sample has one of everything, with texts that try to break out.
func sample() *report.Document {
	var temps, gappy []report.Point
	for i := range 14 * 24 * 12 {
		at := t0.Add(time.Duration(i) * 5 * time.Minute)
		temps = append(temps, report.Point{At: at, Value: 22 + 3*math.Sin(float64(i)/140)})
		if i < 1500 || i > 2200 {
			gappy = append(gappy, report.Point{At: at, Value: 19 + math.Cos(float64(i)/90)})
		}
	}
	end := t0.AddDate(0, 0, 14)
	incident := t0.Add(100 * time.Hour)
	long := report.Table{
		ID: "events", Title: "Events", Shown: 40, More: "%d more rows in %s", Note: "Times are the collector's.",
		Columns: []report.Column{{Key: "time", Title: "Time", Width: 2}, {Key: "component", Title: "Component", Width: 2}, {Key: "message", Title: "Message", Width: 4}, {Key: "inlet_celsius", Title: "Inlet °C", Right: true}},
	}
	for i := range 60 {
		at := t0.Add(time.Duration(i) * time.Hour)
		long.Rows = append(long.Rows, []report.Cell{
			{Text: at.Format(time.RFC3339), Value: at}, {Text: "fan/1"}, {Text: "Fan 1 <script>alert(1)</script> is over its threshold and a_very_long_word_without_any_space_in_it_at_all_0123456789"},
			{Text: "22.5", Value: 22.4987654321, Tone: report.Bad},
		})
	}
	long.Rows[1][2] = report.Cell{Text: "=HYPERLINK(\"http://evil\")"}
	return &report.Document{
		Lang: "en", Title: "Hardware verification report", Subtitle: "Rack A1, Bontang · ref 17/2026", Mark: "SIMULATED", GeneratedAt: t0.AddDate(0, 1, 0),
		Footer: "dewline 0.1.0 · verification · rack A1", PageOf: "page %d of %d",
		Sections: []report.Section{
			{ID: "verdict", Title: "Verdict", Blocks: []report.Block{
				report.Banner{Label: "Inconclusive", Text: "The soak is not complete: 31 of 72 hours.", Tone: report.Notice},
				report.Banner{Label: "Fault found", Text: "db-1: power supply 2 failed.", Tone: report.Bad},
				report.Banner{Label: "Verified", Text: "No evidence of damage within the window.", Tone: report.Good},
				report.Paragraph{Text: "A name in another script: 服务器-1, сервер, \u202eevil\u202c, and \x1b[31mred\x1b[0m. " + strings.Repeat("Long text wraps over the lines of the page. ", 12)},
				report.List{Items: []string{"one point", strings.Repeat("another point that is rather long ", 8)}},
				report.Facts{Rows: []report.Fact{{Name: "Incident", Cell: report.Text("2026-11-05T04:00:00+08:00")}, {Name: "Host power", Cell: report.Cell{Text: "not read", Tone: report.Faint}}}},
			}},
			{ID: "charts", Title: "Charts", NewPage: true, Blocks: []report.Block{
				report.Chart{ID: "inlet", Title: "Inlet temperature", Caption: "Gaps are drawn as gaps.", Figure: &report.Lines{
					From: t0, To: end, Unit: "°C",
					Series: []report.Series{{Name: "db-1", Points: temps, Gap: 10 * time.Minute}, {Name: "web-1", Points: gappy, Gap: 10 * time.Minute}},
					Bands:  []report.Band{{From: t0, To: t0.Add(76 * time.Hour), Name: "baseline", Tone: report.Good}, {From: incident, To: incident.Add(20 * time.Hour), Name: "outage", Tone: report.Faint}},
					Limits: []report.Limit{{Value: 27, Name: "recommended, A1", Tone: report.Notice}},
					Marks:  []report.Mark{{At: incident, Name: "incident", Tone: report.Bad}},
				}},
				report.Chart{ID: "coverage", Title: "Coverage", Figure: &report.Strip{
					From: t0, To: end, Legend: []report.Key{{Name: "read", Tone: report.Good}, {Name: "not read", Tone: report.Bad}},
					Rows: []report.StripRow{
						{Name: "db-1", Spans: []report.Span{{From: t0, To: incident, Tone: report.Good}, {From: incident, To: incident.Add(time.Minute), Tone: report.Bad}, {From: incident.Add(time.Hour), To: end, Tone: report.Good}}},
						{Name: "a server with a very long name indeed", Spans: []report.Span{{From: t0, To: end, Tone: report.Good}}},
					},
					Marks: []report.Mark{{At: incident, Name: "incident", Tone: report.Bad}},
				}},
				report.Chart{ID: "power", Title: "Power by server", Figure: &report.Bars{Unit: "W", Rows: []report.Bar{
					{Name: "db-1", Value: 412, Limit: 750}, {Name: "web-1", Missing: true}, {Name: "gpu-1", Value: 1312, Limit: 1200, Tone: report.Bad},
				}}},
				report.Chart{ID: "empty", Title: "A series without data", Figure: &report.Lines{From: t0, To: end, Unit: "W", Empty: "no data", Series: []report.Series{{Name: "db-1"}}}},
			}},
			{ID: "events", Title: "Events", Blocks: []report.Block{report.Heading{Text: "All of them"}, long}},
		},
	}
}

func TestHTMLIsAsItWas(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, sample()); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.html", b.Bytes())
	for _, bad := range []string{"<script", "\x1b", "\u202e", "http://evil\">", "src=", "href=\"http"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}

func TestPDFIsTheSameEachTime(t *testing.T) {
	one, two := pdfOf(t), pdfOf(t)
	if !bytes.Equal(one, two) {
		t.Fatal("the same document gave other bytes")
	}
	if !bytes.HasPrefix(one, []byte("%PDF-1.")) || len(one) < 20_000 {
		t.Fatalf("%d bytes, beginning with %q", len(one), one[:8])
	}
	golden(t, "sample.pdf", one)
}

func pdfOf(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := PDF(&b, sample()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCSVIsHarmlessAndWhole(t *testing.T) {
	ts := Tables(sample())
	if len(ts) != 1 || ts[0].ID != "events" {
		t.Fatalf("tables %v", ts)
	}
	var b bytes.Buffer
	if err := CSV(&b, ts[0]); err != nil {
		t.Fatal(err)
	}
	golden(t, "events.csv", b.Bytes())
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 61 {
		t.Errorf("%d lines, want the head and all 60 rows", len(lines))
	}
	if !strings.Contains(lines[2], `"'=HYPERLINK(`) || !strings.Contains(lines[1], ",22.4987654321") {
		t.Errorf("rows %q, %q", lines[1], lines[2])
	}
	if strings.HasPrefix(b.String(), mark) {
		t.Error("ASCII needs no mark")
	}
	b.Reset()
	sum := &report.Table{ID: "sum", Columns: []report.Column{{Key: "sum"}}, Rows: [][]report.Cell{{report.Text("32 A × 230 V")}}}
	if err := CSV(&b, sum); err != nil || b.String() != "\ufeffsum\n32 A × 230 V\n" {
		t.Errorf("%q, %v: a spreadsheet must see that it is UTF-8", b.String(), err)
	}
}

// TestNoTextIsAFormula: a BMC's name or serial number must not run in a spreadsheet, whether it stands as a text or as a value; numbers stay numbers.
func TestNoTextIsAFormula(t *testing.T) {
	for in, want := range map[string]string{
		`=1+1`: `'=1+1`, `+1`: `'+1`, `-2+3`: `'-2+3`, `@SUM(A1)`: `'@SUM(A1)`, `-`: `'-`, "\t=1": `'=1`, "\r\n=1": `'=1`, "x=1": "x=1", "2 x db": "2 x db", "a,b": "a,b", `a"b`: `a"b`, "a;b": "a;b", "a\nb": "a b",
	} {
		for _, cell := range []report.Cell{report.Text(in), {Text: "shown", Value: in}, {Text: "shown", Value: health.TargetID(in)}} {
			var b bytes.Buffer
			if err := CSV(&b, &report.Table{ID: "x", Columns: []report.Column{{Key: "a"}, {Key: "b"}}, Rows: [][]report.Cell{{cell, report.Number(-1)}}}); err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(&b).ReadAll()
			if err != nil || len(rows) != 2 || rows[1][1] != "-1" {
				t.Fatalf("%q: %q, %v", in, rows, err)
			}
			if got := rows[1][0]; got != want {
				t.Errorf("%q (%T) is %q, want %q", in, cell.Value, got, want)
			}
		}
	}
}

func TestNumbersOfCSVAreWrittenOut(t *testing.T) {
	for v, want := range map[float64]string{17736200.2695053: "17736200.2695053", -0.5: "-0.5", 0: "0", 642.4414999: "642.4414999", 0.0000012: "0.0000012", 1e20: "100000000000000000000"} {
		if got := csvValue(report.Number(v)); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
	for v, want := range map[any]string{true: "true", 12: "12", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC): "2026-03-01T00:00:00Z", (time.Time{}): ""} {
		if got := csvValue(report.Cell{Value: v}); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".pdf") {
		if !bytes.Equal(want, got) {
			t.Errorf("%s differs: look at both, then run with -update", name)
		}
		return
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

package push

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLineProtocol(t *testing.T) {
	at := func(ns int64) time.Time { return time.Unix(0, ns) }
	for text, want := range map[string][]point{
		"a b=1":                                  {{line: 1, measurement: "a", fields: []field{{"b", 1.0}}}},
		"a,t=v b=1i,c=2u,d=\"x\",e=t 5":          {{line: 1, measurement: "a", tags: []pair{{"t", "v"}}, fields: []field{{"b", int64(1)}, {"c", uint64(2)}, {"d", "x"}, {"e", true}}, at: at(5)}},
		`a\ b\,c,t\=1=v\ w f\,=1`:                {{line: 1, measurement: "a b,c", tags: []pair{{"t=1", "v w"}}, fields: []field{{"f,", 1.0}}}},
		`a b="say \"hi\" \\ now"`:                {{line: 1, measurement: "a", fields: []field{{"b", `say "hi" \ now`}}}},
		"a b=\"two\nlines\"\nc d=1":              {{line: 1, measurement: "a", fields: []field{{"b", "two\nlines"}}}, {line: 3, measurement: "c", fields: []field{{"d", 1.0}}}},
		"# it's a \"comment\n\n a b=-1.5e3 \r\n": {{line: 3, measurement: "a", fields: []field{{"b", -1500.0}}}},
		`a\b c=1`:                                {{line: 1, measurement: `a\b`, fields: []field{{"c", 1.0}}}},
		`a"b c=1`:                                {{line: 1, measurement: `a"b`, fields: []field{{"c", 1.0}}}},
		"":                                       nil,
	} {
		got, err := parseLines([]byte(text), time.Nanosecond)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(point{}, pair{}, field{})); err != nil || d != "" {
			t.Errorf("%q: %v %s", text, err, d)
		}
	}
	for text, says := range map[string]string{
		`\`: "line 1, column 2: a field is missing", "a": "line 1, column 2: a field is missing", "a b": "field \"b\" has no value", "a b=": "column 5",
		"a b=1x": "\"1x\" is no value", "a b=0x10": "no value", "a b=NaN": "no value", "a b=1_0": "no value", "a b=1e999": "no value",
		"a b=9223372036854775808i": "no value", "a,=v b=1": "a tag's name is missing", "a,t b=1": "has no value", "a,t= b=1": "the value of tag \"t\" is missing",
		"a b=\"x": "closing quote", "a b=\"x\"y": "should follow", "a b=1 yesterday": "\"yesterday\" is no timestamp", "a b=1 5 6": "no timestamp",
		"x y=1\nz": "line 2", "\xff b=1": "no UTF-8",
	} {
		if _, err := parseLines([]byte(text), time.Nanosecond); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", text, err, says)
		}
	}
	if _, err := parseLines([]byte("a b=1 1763892000000000000"), time.Second); err == nil || !strings.Contains(err.Error(), "precision") {
		t.Error(err)
	}
}

func FuzzLineProtocol(f *testing.F) {
	for _, s := range []string{"a,b=c d=1i,e=\"f\" 5", `\`, "a b=\"\\", "#\n\"", "a\\ b=1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		points, err := parseLines(b, time.Nanosecond)
		if err != nil && points != nil {
			t.Error("points beside an error")
		}
		for _, p := range points {
			if p.measurement == "" || len(p.fields) == 0 || p.line < 1 {
				t.Errorf("%+v", p)
			}
		}
	})
}

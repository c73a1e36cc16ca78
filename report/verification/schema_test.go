package verification

import (
	"encoding"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the list of fields in docs/SCHEMA.md anew")

// fieldsOf lists what a type's JSON has: path and type, * for what may be left out.
func fieldsOf(t reflect.Type, path string, out *[]string) {
	text := reflect.TypeFor[encoding.TextMarshaler]()
	switch {
	case t == reflect.TypeFor[time.Time]():
		*out = append(*out, path+" time")
	case t.Implements(text):
		*out = append(*out, path+" string")
	case t.Kind() == reflect.Pointer:
		fieldsOf(t.Elem(), path, out)
		(*out)[len(*out)-1] += " or null"
	case t.Kind() == reflect.Slice:
		fieldsOf(t.Elem(), path+"[]", out)
	case t.Kind() == reflect.Array:
		fieldsOf(t.Elem(), path+"[2]", out)
	case t.Kind() == reflect.Struct:
		for f := range t.Fields() {
			name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || name == "-" {
				continue
			}
			if name == "" {
				name = f.Name
			}
			p := path
			if p != "" {
				p += "."
			}
			p += name
			if strings.Contains(rest, "omit") {
				p += "*"
			}
			fieldsOf(f.Type, p, out)
		}
	default:
		kind := "string"
		switch t.Kind() {
		case reflect.Bool:
			kind = "bool"
		case reflect.Int, reflect.Int64, reflect.Float64, reflect.Uint8:
			kind = "number"
		}
		*out = append(*out, path+" "+kind)
	}
}

// TestTheSchemaNamesEveryField compares docs/SCHEMA.md with what a report's JSON has.
func TestTheSchemaNamesEveryField(t *testing.T) {
	const path, begin, end = "../../docs/SCHEMA.md", "<!-- verification report.json: a test compares this list with the code -->\n\n", "\n<!-- end of the list -->"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	list, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/SCHEMA.md has no list of the fields of report.json")
	}
	var fields []string
	fieldsOf(reflect.TypeFor[Report](), "", &fields)
	want := "    " + strings.Join(fields, "\n    ") + "\n"
	if len(fields) < 100 {
		t.Fatalf("only %d fields", len(fields))
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if list != want {
		t.Errorf("docs/SCHEMA.md lists other fields than the JSON has; -update writes them anew")
	}
}

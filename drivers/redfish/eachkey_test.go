package redfish

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// FuzzEachKey compares the pass over keys with encoding/json.
func FuzzEachKey(f *testing.F) {
	needFolder(f)
	for _, s := range []string{
		`{}`, `{"@odata.id":"/redfish/v1/Chassis/1"}`, `{ "a" : {"b":[1,{"c":"}"}]} , "d":"x\"y,{" , "e":[], "f":null}`, `[]`, `"x"`, `{"a\"b":1}`, `{"":"", "é":-1.5e3}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := map[string]string{}
		eachKey(b, func(key string, value []byte) { got[key] = string(value) }) // never panics, whatever it is
		var want map[string]json.RawMessage
		if !json.Valid(b) || json.Unmarshal(b, &want) != nil || want == nil {
			return
		}
		for k := range got { // escapes are left as they are
			if strings.ContainsRune(k, '\\') || strings.ContainsRune(k, '\uFFFD') {
				return
			}
		}
		for k := range want {
			if strings.ContainsRune(k, '\uFFFD') {
				return
			}
		}
		if a, b := slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)); !slices.Equal(a, b) {
			t.Fatalf("keys %q, want %q", b, a)
		}
		for k, v := range want {
			if !strings.HasPrefix(got[k], string(v)) {
				t.Errorf("after %q stands %q, want %q", k, got[k], v)
			}
		}
	})
}

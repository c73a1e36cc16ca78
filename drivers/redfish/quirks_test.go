package redfish

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"dewline/health"
	"dewline/internal/quirk"
)

// change edits one document of a tree.
func change(t testing.TB, tree map[string]string, uri string, f func(d map[string]any)) {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal([]byte(tree[uri]), &d); err != nil {
		t.Fatalf("%s: %v", uri, err)
	}
	f(d)
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	tree[uri] = string(b)
}

// of is the classic machine under another maker's name.
func of(t testing.TB, vendor, product, firmware string) map[string]string {
	tree := ownTree(t, "classic")
	change(t, tree, rootURI, func(d map[string]any) { d["Vendor"], d["Product"] = vendor, product })
	change(t, tree, "/redfish/v1/Systems/1", func(d map[string]any) { d["Manufacturer"] = vendor })
	if firmware != "" {
		change(t, tree, "/redfish/v1/Managers/1", func(d map[string]any) { d["FirmwareVersion"] = firmware })
	}
	return tree
}

const (
	power   = "/redfish/v1/Chassis/1/Power"
	thermal = "/redfish/v1/Chassis/1/Thermal"
	drive0  = "/redfish/v1/Systems/1/Storage/RAID/Drives/0"
	entries = "/redfish/v1/Systems/1/LogServices/Sel/Entries"
)

func everything(t testing.TB, tree map[string]string, o ...func(*Options)) (*health.Snapshot, *service) {
	t.Helper()
	srv := newService(t, tree)
	s := read(t, srv.open(t, o...), health.Request{Tiers: health.EveryTier})
	checkSnapshot(t, s)
	return s, srv
}

func off(names ...string) func(*Options) { return func(o *Options) { o.QuirksOff = names } }

// wasAsked tells whether a request's text begins with a part.
func wasAsked(srv *service, part string) bool {
	reqs, _ := srv.counts()
	return slices.ContainsFunc(reqs, func(r string) bool { return strings.Contains(r, part) })
}

// supplies replaces the supplies of a machine.
func supplies(t testing.TB, tree map[string]string, list string) {
	change(t, tree, power, func(d map[string]any) {
		var l any
		if err := json.Unmarshal([]byte(list), &l); err != nil {
			t.Fatal(err)
		}
		d["PowerSupplies"] = l
	})
}

func wantState(t testing.TB, s *health.Snapshot, id health.ComponentID, p health.Presence, st health.State) {
	t.Helper()
	if c := component(s, id); c == nil || c.Presence != p || c.State != st {
		t.Errorf("%s is %+v, want %v and %v", id, c, p, st)
	}
}

func wantValue(t testing.TB, s *health.Snapshot, id health.ComponentID, q health.Quantity, v float64) {
	t.Helper()
	if r := reading(s, id, q); r == nil || r.Value != v {
		t.Errorf("%s of %s is %+v, want %v", q, id, r, v)
	}
}

func wantNone(t testing.TB, s *health.Snapshot, id health.ComponentID, q health.Quantity) {
	t.Helper()
	if component(s, id) == nil {
		t.Errorf("no %s", id)
	}
	if r := reading(s, id, q); r != nil {
		t.Errorf("%s of %s reads %v", q, id, r.Value)
	}
}

// driveOnce changes the first drive and gives it as read.
func driveOnce(t testing.TB, tree map[string]string, f func(d map[string]any), o ...func(*Options)) *health.Snapshot {
	t.Helper()
	change(t, tree, drive0, f)
	s, _ := everything(t, tree, o...)
	return s
}

// TestEveryQuirk: each row of the table has one test, on bytes shaped like the device's.
func TestEveryQuirk(t *testing.T) {
	tests := map[string]func(t *testing.T){}
	for _, l := range []map[string]func(t *testing.T){dellQuirkTests, otherQuirkTests, moreQuirkTests} {
		maps.Copy(tests, l)
	}
	seen := map[string]bool{}
	for _, q := range Quirks() {
		if seen[q.Name] {
			t.Errorf("two rows are named %s", q.Name)
		}
		seen[q.Name] = true
		if q.What == "" || !strings.HasPrefix(q.Source, "https://github.com/") {
			t.Errorf("%s says not what it is about, or has no link: %+v", q.Name, q)
		}
		for _, e := range q.Effects {
			if !slices.Contains(quirk.Effects("redfish"), e) {
				t.Errorf("%s: effect %s is none of this driver", q.Name, e)
			}
		}
		test := tests[q.Name]
		if test == nil {
			t.Errorf("row %s has no test", q.Name)
			continue
		}
		t.Run(q.Name, test)
	}
	for name := range tests {
		if !seen[name] {
			t.Errorf("the test of %s is about no row", name)
		}
	}
}

// Rows of a configuration act like ours, and a name that no row has is refused.
func TestQuirksOfAConfiguration(t *testing.T) {
	contoso := pattern("^contoso")
	for _, x := range []struct {
		name  string
		row   quirk.Quirk
		holds func(srv *service, s *health.Snapshot) bool
	}{
		{"a denied path", quirk.Quirk{Vendor: contoso, Deny: pattern("/Chassis/1/Power")}, func(srv *service, _ *health.Snapshot) bool { return !wasAsked(srv, "/Power") }},
		{"Basic", quirk.Quirk{Effects: []quirk.Effect{quirk.BasicAuth}}, func(srv *service, _ *health.Snapshot) bool { return srv.created == 0 && srv.basic > 0 }},
		{"for another maker", quirk.Quirk{Vendor: pattern("^acme"), Deny: pattern("/Power")}, func(srv *service, _ *health.Snapshot) bool { return wasAsked(srv, "/Power") }},
	} {
		x.row.Name = "mine"
		s, srv := everything(t, ownTree(t, "classic"), func(o *Options) { o.Quirks = []quirk.Quirk{x.row} })
		if !x.holds(srv, s) {
			reqs, _ := srv.counts()
			t.Errorf("%s: %v", x.name, reqs)
		}
	}
	if _, err := Open("t", Options{Address: "https://127.0.0.1:1", QuirksOff: []string{"idrac-raid"}}); err == nil || !strings.Contains(err.Error(), `"idrac-raid"`) {
		t.Errorf("an unknown name: %v", err)
	}
}

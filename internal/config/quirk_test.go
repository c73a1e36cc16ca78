package config

import (
	"slices"
	"strings"
	"testing"

	"dewline/health"
	"dewline/internal/quirk"
)

const twoQuirks = `
[[credential]]
name = "bmc"
username = "monitor"
password = "env:BMC"

[[target]]
name = "a"
address = "10.0.0.7"
credential = "bmc"
[target.redfish]
quirks_off = ["idrac-fqdd", "acme-shelf", "ilo-hour"]
[target.ipmi]
quirks_off = ["nothing-like-it"]

[[quirk]]
name = "acme-shelf"
driver = "redfish"
vendor = "^ACME"
firmware = ">=2.60, <2.64"
effects = ["no-expand", "one-request"]
deny = ["/chassis/shelf", "/Fabrics/"]
why = "reading the shelf hangs the BMC"

[[quirk]]
name = "ilo-hours"
driver = "redfish"
effects = ["hours-overflow"]
why = "again"
`

func TestQuirksOfAFile(t *testing.T) {
	cfg, err := Parse("a.toml", []byte(twoQuirks))
	if err != nil {
		t.Fatal(err)
	}
	rows := cfg.Targets[0].Quirks[health.DriverRedfish]
	if len(rows) != 2 || len(cfg.Quirks[health.DriverIPMI]) != 0 {
		t.Fatalf("%+v", rows)
	}
	q := rows[0]
	in, out := &quirk.Machine{Vendors: []string{"Acme Corp"}, Firmware: []string{"2.61"}}, &quirk.Machine{Vendors: []string{"Acme"}, Firmware: []string{"2.64"}}
	if !q.Applies(in) || q.Applies(out) || !slices.Contains(q.Effects, quirk.OneRequest) || q.Source != "configuration" {
		t.Errorf("%+v", q)
	}
	for path, denied := range map[string]bool{"/redfish/v1/Chassis/Shelf1": true, "/redfish/v1/Fabrics/1": true, "/redfish/v1/Chassis/1": false} {
		if q.Deny.MatchString(path) != denied {
			t.Errorf("%s is denied: %t", path, !denied)
		}
	}
	if off := cfg.Targets[0].QuirksOff; !slices.Equal(off[health.DriverRedfish], []string{"idrac-fqdd", "acme-shelf", "ilo-hour"}) {
		t.Errorf("%v", off)
	}
	var got []string
	for _, f := range cfg.QuirkFaults(map[string][]string{health.DriverRedfish: {"idrac-fqdd", "ilo-hours"}, health.DriverIPMI: {"short-record"}}) {
		got = append(got, f.Error())
	}
	want := []string{
		"a.toml:12:43: no quirk of the redfish driver is named `ilo-hour` (did you mean `ilo-hours`?)",
		"a.toml:14:15: no quirk of the ipmi driver is named `nothing-like-it` (`dewline quirks` lists them)",
		"a.toml:26:8: dewline has a quirk `ilo-hours` of its own (take another name; switch that one off with quirks_off)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

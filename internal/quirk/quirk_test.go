package quirk

import (
	"strings"
	"testing"
)

func TestRanges(t *testing.T) {
	for _, x := range []struct {
		in       string
		firmware string
		want     bool
	}{
		{"", "anything", true},
		{"2.60", "2.60P", true},
		{"2.60", "2.60.60.60", true},
		{"2.60", "2.6", false},
		{"2.60", "2.61P", false},
		{"<5.62", "5.61", true},
		{"<5.62", "5.62", false},
		{"<5.62", "5.100", false},
		{"<5.62", "iBMC 3.01.12", true},
		{">=2.60, <2.64", "2.63P", true},
		{">=2.60, <2.64", "2.64P", false},
		{">=2.60, <=2.63", "2.63.1", true},
		{">2.60", "2.60.1", false},
		{">2.60", "2.61", true},
		{">=2", "iLO 5 v2.44", true},
		{"<1.50", "iLO 5 v1.40", true},
		{"<1.5", "no digits", false},
		{"7", "7.00.00.00", true},
	} {
		r, err := ParseRange(x.in)
		if err != nil {
			t.Errorf("%q: %v", x.in, err)
			continue
		}
		if got := r.Contains(x.firmware); got != x.want {
			t.Errorf("%q contains %q: %t", x.in, x.firmware, got)
		}
		again, err := ParseRange(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q is written %q, which reads as %q, %v", x.in, r, again, err)
		}
	}
	for _, bad := range []string{"x", ">=", "2.60 <3", ">=2.60;<3", "^2", "2..3", ">=3, <2", "99999999999999999999"} {
		if _, err := ParseRange(bad); err == nil {
			t.Errorf("%q is taken for a range", bad)
		}
	}
}

func TestARowIsAboutTheMachinesItNames(t *testing.T) {
	dell, err := Match("^dell")
	if err != nil {
		t.Fatal(err)
	}
	q := Quirk{Vendor: dell, Firmware: MustRange("<3"), Effects: []Effect{NoExpand}}
	for _, x := range []struct {
		name string
		m    Machine
		want bool
	}{
		{"vendor and firmware fit", Machine{Vendors: []string{"DELL Inc."}, Firmware: []string{"2.85"}}, true},
		{"one of several controllers", Machine{Vendors: []string{"Dell"}, Firmware: []string{"9.0", "2.1"}}, true},
		{"newer firmware", Machine{Vendors: []string{"Dell"}, Firmware: []string{"3.0"}}, false},
		{"firmware not known yet", Machine{Vendors: []string{"Dell"}}, true},
		{"firmware that is no version", Machine{Vendors: []string{"Dell"}, Firmware: []string{"unknown"}}, true},
		{"another vendor", Machine{Vendors: []string{"HPE"}, Firmware: []string{"2.85"}}, false},
		{"no vendor told", Machine{Firmware: []string{"2.85"}}, false},
	} {
		if got := q.Applies(&x.m); got != x.want {
			t.Errorf("%s: %t", x.name, got)
		}
	}
}

func TestRowsAreAddedAndSwitchedOff(t *testing.T) {
	base := Table{{Name: "a", Effects: []Effect{NoExpand}}, {Name: "b", Effects: []Effect{OneRequest}}}
	m := &Machine{}
	on, err := base.With([]Quirk{{Name: "mine", Effects: []Effect{BasicAuth}}}, []string{"a"})
	if err != nil || on.Has(NoExpand, m) || !on.Has(OneRequest, m) || !on.Has(BasicAuth, m) {
		t.Errorf("%v %v", on.Names(), err)
	}
	if !base.Has(NoExpand, m) || len(base) != 2 {
		t.Error("the driver's own table was changed")
	}
	if _, err := base.With(nil, []string{"c"}); err == nil || !strings.Contains(err.Error(), `"c"`) {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestEveryEffectHasOneDriver(t *testing.T) {
	seen := map[Effect]bool{}
	for _, d := range []string{"redfish", "ipmi"} {
		if len(Effects(d)) == 0 {
			t.Errorf("%s has no effects", d)
		}
		for _, e := range Effects(d) {
			if seen[e] {
				t.Errorf("%s is known twice", e)
			}
			seen[e] = true
			if e.Does() == "" {
				t.Errorf("%s is not explained", e)
			}
		}
	}
	if Effects("auto") != nil {
		t.Error("auto is no driver of its own")
	}
}

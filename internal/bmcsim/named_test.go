package bmcsim

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// labFor is a lab of one Redfish BMC, one IPMI BMC and one recorded tree.
func labFor(t *testing.T) *Lab {
	t.Helper()
	clock := func() time.Time { return labStart }
	a, b := NewMachine(ProfileModern, "a", 1), NewMachine(ProfileBoard, "b", 2)
	red, err := ServeRedfish(a, RedfishOptions{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	lan, err := ServeIPMI(b, IPMIOptions{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := ServeTree(map[string][]byte{"/redfish/v1": []byte(`{"Id":"r"}`)}, RedfishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLab(&Node{Name: "a", Machine: a, Redfish: red}, &Node{Name: "b", Machine: b, IPMI: lan}, &Node{Name: "r", Redfish: tree})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

var labStart = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// TestEveryNamedFaultCanBeginAndEnd: by its documented value, on every BMC that has such a thing, and on one at least.
func TestEveryNamedFaultCanBeginAndEnd(t *testing.T) {
	l := labFor(t)
	for _, f := range NamedFaults() {
		value := f.Default
		if value == "" {
			value = map[string]string{"path": "/redfish/v1", "percent": "85", "celsius": "31"}[f.Value]
		}
		done := 0
		for _, n := range l.Nodes {
			o := Order{Fault: f.Name, Value: value, Target: n.Name}
			err := l.Order(o, labStart)
			if errors.Is(err, errNotHere) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", o, err)
				continue
			}
			done++
			if active := l.Active(); f.Momentary != (len(active) == 0) {
				t.Errorf("%s: in force %v", o, active)
			}
			if cleared, err := l.Clear("", labStart); err != nil || f.Momentary != (cleared == 0) {
				t.Errorf("%s: %d cleared, %v", o, cleared, err)
			}
		}
		if done == 0 {
			t.Errorf("%s happens nowhere", f.Name)
		}
	}
}

func TestEveryNamedFaultIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/SCENARIOS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range NamedFaults() {
		if !strings.Contains(string(doc), "| `"+f.Name+"` |") {
			t.Errorf("docs/SCENARIOS.md lacks %s", f.Name)
		}
	}
	if n := strings.Count(string(doc), "\n| `"); n != len(NamedFaults()) {
		t.Errorf("docs/SCENARIOS.md has %d faults, there are %d", n, len(NamedFaults()))
	}
	_, example, _ := strings.Cut(string(doc), "    # A leak at a pipe")
	example, _, _ = strings.Cut("    #"+example, "\nDurations")
	if _, err := ParseScript("docs/SCENARIOS.md", []byte(example)); err != nil {
		t.Errorf("its example: %v", err)
	}
}

func TestFaultsChangeWhatTheMachineShows(t *testing.T) {
	l := labFor(t)
	m := l.Nodes[0].Machine
	for _, c := range []struct {
		order string
		holds func(State) bool
	}{
		{"fan-failed=1@a", func(s State) bool { return s.Fans[1].Failed }},
		{"wet=1@a", func(s State) bool { return s.Leaks[1].State == LeakWet }},
		{"drive-failed@a", func(s State) bool { return s.Drives[0].Failed }},
		{"host-off@a", func(s State) bool { return !s.HostOn }},
		{"humidity=93@a", func(s State) bool { return s.RoomRH > 90 }},
	} {
		o, err := ParseOrder(c.order)
		if err != nil {
			t.Fatal(err)
		}
		if c.holds(m.At(labStart)) {
			t.Errorf("%s holds before it is ordered", c.order)
		}
		if err := l.Order(o, labStart); err != nil || !c.holds(m.At(labStart)) {
			t.Errorf("%s does not hold: %v", c.order, err)
		}
		if _, err := l.Clear(o.String(), labStart); err != nil || c.holds(m.At(labStart)) {
			t.Errorf("%s holds after it was cleared: %v", c.order, err)
		}
	}
}

func TestOrdersBeginAndEndAtTheirTimes(t *testing.T) {
	l := labFor(t)
	o, err := ParseOrder("wet=1@a+10s/20s")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Order(o, labStart); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		wet   bool
	}{{0, false}, {9 * time.Second, false}, {10 * time.Second, true}, {29 * time.Second, true}, {31 * time.Second, false}} {
		if err := l.Apply(labStart.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		if wet := l.Nodes[0].Machine.At(labStart).Leaks[1].State == LeakWet; wet != c.wet {
			t.Errorf("after %s wet is %v", c.after, wet)
		}
	}
	log := l.Nodes[0].Machine.Log()
	last := log[len(log)-2:]
	if !last[0].Time.Equal(labStart.Add(10*time.Second)) || !last[1].Time.Equal(labStart.Add(30*time.Second)) {
		t.Errorf("the log has the times of the calls, not of the faults: %v, %v", last[0].Time, last[1].Time)
	}
}

func TestOrdersAreReadAndRefused(t *testing.T) {
	for text, want := range map[string]string{
		"wet@a":                                  "wet=0@a",
		"fan-failed=2@web-1+10s/1m":              "fan-failed=2@web-1",
		"503=/redfish/v1/Chassis@a":              "503=/redfish/v1/Chassis@a",
		"half-json=/redfish/v1/x@odata@b":        "half-json=/redfish/v1/x@odata@b",
		"latency=250ms@*":                        "latency=250ms@*",
		"hang@a/30s":                             "hang@a",
		"restart@a+5s":                           "restart@a",
		"":                                       "! NAME[=VALUE]@TARGET",
		"wet":                                    "! NAME[=VALUE]@TARGET",
		"wet@":                                   "! NAME[=VALUE]@TARGET",
		"drowned@a":                              `! no fault is named "drowned"`,
		"host-off=1@a":                           "! takes no value",
		"half-json@a":                            "! needs a path",
		"humidity=120@a":                         "! no number from 0 to 100",
		"humidity=NaN@a":                         "! no number from 0 to 100",
		"fan-failed=-1@a":                        "! no number from 0",
		"latency=fast@a":                         "! no duration",
		"wet@a+soon":                             "! no duration",
		"wet@a/0s":                               "! lasts no time at all",
		"restart@a/5s":                           "! it cannot last",
		"503=Chassis@a":                          "! no path",
		"fan-failed=1@+10s":                      "! names no target",
		"fan-failed=99999999999999999999@a":      "! no number from 0",
		"packet-loss=" + "9" + "e" + "99" + "@b": "! no number from 0 to 100",
	} {
		o, err := ParseOrder(text)
		if says, refused := strings.CutPrefix(want, "! "); refused {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v, %v; want %s", text, o, err, says)
			}
		} else if err != nil || o.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, o, err, want)
		}
	}
	l := labFor(t)
	for order, says := range map[string]string{"wet@nobody": "no simulated BMC is named", "fan-failed=77@a": "number 77 of 6", "forged@a": "speaks Redfish", "503@b": "speaks IPMI", "wet@r": "it is a recording"} {
		o, err := ParseOrder(order)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Order(o, labStart); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %s", order, err, says)
		}
	}
}

const scenario = `# A leak, once a minute.
repeat = "1m"

[[step]]
at = "5s"
target = "a"
fault = "wet"
value = 1
for = "20s"

[[step]]
at = "10s"
target = "*"
fault = "latency"
value = "1ms"
for = "5s"
`

func TestAScenarioPlaysAndRepeats(t *testing.T) {
	s, err := ParseScript("s.toml", []byte(scenario))
	if err != nil {
		t.Fatal(err)
	}
	l := labFor(t)
	if err := l.Play(s, labStart); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after  time.Duration
		active string
	}{{0, ""}, {6 * time.Second, "wet=1@a"}, {12 * time.Second, "wet=1@a latency=1ms@*"}, {16 * time.Second, "wet=1@a"}, {30 * time.Second, ""}, {66 * time.Second, "wet=1@a"}, {131 * time.Second, "wet=1@a latency=1ms@*"}} {
		if err := l.Apply(labStart.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(l.Active(), " "); got != c.active {
			t.Errorf("after %s in force: %q, want %q", c.after, got, c.active)
		}
	}
}

func TestWhatIsWrongWithAScenarioIsToldWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":               {"", "s.toml:1:1: there is no [[step]]"},
		"no TOML":               {"repeat = \n", "s.toml:1:10: "},
		"an unknown key":        {"[[step]]\ntarget = \"a\"\nfault = \"wet\"\n  when = \"5s\"\n", "s.toml:4:3: unknown key `when`"},
		"an unknown table":      {"[step]\nx = 1\n", "s.toml:1:2: unknown table"},
		"an unknown fault":      {"[[step]]\ntarget = \"a\"\nfault = \"drowned\"\n", "s.toml:3:1: no fault is named"},
		"a bad value":           {"[[step]]\ntarget = \"a\"\nfault = \"humidity\"\nvalue = \"wet\"\n", "s.toml:4:1: humidity"},
		"no target":             {"[[step]]\nfault = \"wet\"\n", "s.toml:1:3: this step lacks `target`"},
		"a time without quotes": {"[[step]]\nat = 5\ntarget = \"a\"\nfault = \"wet\"\n", "s.toml:2:1: `at` is a duration in quotes"},
		"a key twice":           {"[[step]]\nfault = \"wet\"\nfault = \"wet\"\ntarget = \"a\"\n", "s.toml:3:1: `fault` is here twice"},
		"an overlap":            {"repeat = \"10s\"\n[[step]]\nat = \"5s\"\nfor = \"6s\"\ntarget = \"a\"\nfault = \"wet\"\n", "s.toml:2:3: this step ends after `repeat`"},
		"a repeat of nothing":   {"repeat = \"0s\"\n[[step]]\ntarget = \"a\"\nfault = \"wet\"\n", "s.toml:1:1: `repeat` is at least 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseScript("s.toml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %s", err, c.want)
			}
			if e, ok := errors.AsType[*ScriptError](err); !ok || e.Line < 1 || e.Column < 1 {
				t.Errorf("%v has no place", err)
			}
		})
	}
	s, err := ParseScript("s.toml", []byte("[[step]]\nfault = \"wet\"\ntarget = \"nobody\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := labFor(t).Play(s, labStart); err == nil || !strings.Contains(err.Error(), "s.toml:3:1: no simulated BMC is named") {
		t.Errorf("%v", err)
	}
}

func FuzzScript(f *testing.F) {
	f.Add([]byte(scenario))
	f.Add([]byte("[[step]]\n[[step.x]]\na.b.c = [1, {x=2}]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseScript("s.toml", b)
		if err == nil && len(s.Steps) == 0 {
			t.Error("no step and no error")
		}
	})
}

package floors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "dewline"

// room is a package, or with /* every package below a folder, and who may import it.
type room struct {
	path  string
	floor int
	// forTests: other packages import it in tests only; cmd may always (demo, benchmarks).
	forTests bool
	// joined: only cmd imports it outside tests; others see it as an interface of their own.
	joined bool
}

// rooms is the table of docs/ARCHITECTURE.md. The longest path that fits a package counts.
var rooms = []room{
	{path: "health", floor: 0},
	{path: "internal/secret", floor: 0},
	{path: "internal/privatefile", floor: 0},
	{path: "internal/schedule", floor: 0},
	{path: "internal/capture", floor: 0},
	{path: "internal/quirk", floor: 0},
	{path: "internal/floors", floor: 0},

	{path: "internal/config", floor: 1, joined: true},
	{path: "internal/bmcsim", floor: 1, forTests: true},
	{path: "internal/bmcsim/*", floor: 1, forTests: true},
	{path: "drivers", floor: 1, joined: true},
	{path: "drivers/*", floor: 1, joined: true},
	{path: "store", floor: 1, joined: true},
	{path: "store/*", floor: 1, joined: true},
	{path: "store/storetest", floor: 1, forTests: true},
	{path: "store/influx/influxtest", floor: 1, forTests: true},
	{path: "report", floor: 1},
	{path: "report/*", floor: 1},
	{path: "report/reporttest", floor: 1, forTests: true},
	{path: "report/verification/truth", floor: 3, forTests: true},
	{path: "notify", floor: 1, joined: true},
	{path: "notify/notifytest", floor: 1, forTests: true},
	{path: "collector/detect", floor: 1},
	{path: "collector/moisture", floor: 1},
	{path: "collector/incident", floor: 1},

	{path: "collector", floor: 2, joined: true},
	{path: "collector/push", floor: 2, joined: true},
	{path: "collector/collectortest", floor: 2, forTests: true},
	{path: "web", floor: 2, joined: true},

	{path: "cmd/*", floor: 3},
}

// noModules are the packages that import nothing beyond the standard library and the module itself.
var noModules = []string{"health", "internal/secret", "collector/detect", "collector/moisture", "collector/incident"}

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// find is the room of a package, by its path inside the module.
func find(path string) (room, bool) {
	var best room
	found := false
	for _, r := range rooms {
		prefix, below := strings.CutSuffix(r.path, "/*")
		if fits := path == r.path || below && strings.HasPrefix(path, prefix+"/"); fits && (!found || len(r.path) > len(best.path)) {
			best, found = r, true
		}
	}
	return best, found
}

// inTree tells whether one of two packages stands above the other in the tree of folders.
func inTree(a, b string) bool {
	return strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// check says what is wrong with the imports of the given packages, one sentence each.
func check(pkgs []pkg) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, p := range pkgs {
		path := strings.TrimPrefix(p.ImportPath, module+"/")
		from, known := find(path)
		if !known {
			say("package %s stands on no floor: add it to rooms in internal/floors/floors_test.go and to docs/ARCHITECTURE.md", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			to, inside := strings.CutPrefix(imported, module+"/")
			if !inside {
				if slices.Contains(noModules, path) && strings.Contains(strings.Split(imported, "/")[0], ".") {
					say("%s imports %s: it must do with the standard library", path, imported)
				}
				continue
			}
			if why := refuse(from, path, to); why != "" {
				say("%s imports %s: %s", path, to, why)
			}
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			to, inside := strings.CutPrefix(imported, module+"/")
			if !inside || to == path {
				continue
			}
			if why := refuseInTest(from, path, to); why != "" {
				say("tests of %s import %s: %s", path, to, why)
			}
		}
	}
	return wrong
}

const program = 3 // the floor of cmd

// refuse says why code of path must not import to, "" if it may.
func refuse(from room, path, to string) string {
	r, known := find(to)
	switch {
	case !known:
		return "" // told of the package itself
	case inTree(path, to) && !r.forTests:
		return ""
	case r.floor > from.floor:
		return fmt.Sprintf("floor %d is above floor %d", r.floor, from.floor)
	case from.floor == program && r.floor < program:
		return ""
	case r.forTests && !from.forTests:
		return "only tests and cmd may"
	case r.floor == from.floor:
		return fmt.Sprintf("siblings on floor %d do not import each other", r.floor)
	case r.joined:
		return "only cmd joins it to others; declare an interface where it is used"
	}
	return ""
}

// refuseInTest is refuse for test files, which may also import what is made for tests, and lower rooms that are joined.
func refuseInTest(from room, path, to string) string {
	r, known := find(to)
	if known && (r.forTests || r.joined && r.floor < from.floor) {
		return ""
	}
	return refuse(from, path, to)
}

func list(t *testing.T) []pkg {
	t.Helper()
	// -e: a package that does not build yet is no concern of this test.
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var pkgs []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportsGoDown(t *testing.T) {
	pkgs := list(t)
	if !slices.ContainsFunc(pkgs, func(p pkg) bool { return p.ImportPath == module+"/health" }) {
		t.Fatalf("go list did not find the module: %v", pkgs)
	}
	for _, w := range check(pkgs) {
		t.Error(w)
	}
}

func TestCheck(t *testing.T) {
	one := func(path, imported string) []pkg {
		return []pkg{{ImportPath: module + "/" + path, Imports: []string{"fmt", imported}}}
	}
	inTest := func(path, imported string) []pkg {
		return []pkg{{ImportPath: module + "/" + path, XTestImports: []string{module + "/" + path, module + "/" + imported}}}
	}
	for name, c := range map[string]struct {
		pkgs []pkg
		want string // part of the one sentence; "" for none
	}{
		"a driver imports the words":                       {one("drivers/redfish", "dewline/health"), ""},
		"cmd imports everything":                           {one("cmd/dewline", "dewline/drivers/ipmi"), ""},
		"cmd imports the simulator":                        {one("cmd/dewline", "dewline/internal/bmcsim"), ""},
		"the collector imports its own pure parts":         {one("collector", "dewline/collector/detect"), ""},
		"a part imports the root of its tree":              {one("report/capacity", "dewline/report"), ""},
		"a driver's own folder":                            {one("drivers/ipmi", "dewline/drivers/ipmi/lanplus"), ""},
		"the suite of stores imports the words":            {one("store/storetest", "dewline/health"), ""},
		"the suite of drivers imports the collector":       {one("collector/collectortest", "dewline/collector"), ""},
		"the suite of drivers imports the simulator":       {one("collector/collectortest", "dewline/internal/bmcsim"), ""},
		"a test imports the simulator":                     {inTest("drivers/redfish", "internal/bmcsim"), ""},
		"a test of a driver runs the suite":                {inTest("drivers/redfish", "collector/collectortest"), ""},
		"a test of the collector uses a real store":        {inTest("collector", "store/sqlite"), ""},
		"the words import a driver":                        {one("health", "dewline/drivers/ipmi"), "health imports drivers/ipmi: floor 1 is above floor 0"},
		"a driver imports the collector":                   {one("drivers/redfish", "dewline/collector"), "floor 2 is above floor 1"},
		"one driver imports the other":                     {one("drivers/redfish", "dewline/drivers/ipmi"), "siblings on floor 1"},
		"a store imports a driver":                         {one("store/sqlite", "dewline/drivers/ipmi"), "siblings on floor 1"},
		"the configuration imports a store":                {one("internal/config", "dewline/store/sqlite"), "siblings on floor 1"},
		"pure parts import each other":                     {one("collector/detect", "dewline/collector/moisture"), "siblings on floor 1"},
		"the collector imports a driver":                   {one("collector", "dewline/drivers/ipmi"), "only cmd joins it"},
		"the collector imports the configuration":          {one("collector", "dewline/internal/config"), "only cmd joins it"},
		"a driver imports the simulator":                   {one("drivers/redfish", "dewline/internal/bmcsim"), "only tests and cmd may"},
		"the collector imports the simulator":              {one("collector", "dewline/internal/bmcsim"), "only tests and cmd may"},
		"the collector imports its own suite":              {one("collector", "dewline/collector/collectortest"), "only tests and cmd may"},
		"a store imports its own test server":              {one("store/influx", "dewline/store/influx/influxtest"), "only tests and cmd may"},
		"something imports cmd":                            {one("collector", "dewline/cmd/dewline"), "floor 3 is above floor 2"},
		"the simulator imports a driver":                   {one("internal/bmcsim", "dewline/drivers/ipmi"), "siblings on floor 1"},
		"a test of a driver imports the other driver":      {inTest("drivers/redfish", "drivers/ipmi"), "tests of drivers/redfish import drivers/ipmi: siblings"},
		"a test of a store imports the collector":          {inTest("store/sqlite", "collector"), "floor 2 is above floor 1"},
		"the words import a module":                        {one("health", "example.org/x/y"), "it must do with the standard library"},
		"a package that nobody entered":                    {one("helpers", "fmt"), "package dewline/helpers stands on no floor: add it to rooms in internal/floors/floors_test.go"},
		"a folder whose name only begins like a known one": {one("healthy", "fmt"), "package dewline/healthy stands on no floor"},
	} {
		t.Run(name, func(t *testing.T) {
			got := check(c.pkgs)
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("refused: %v", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Each direct dependency has its line in the table of docs/ARCHITECTURE.md.
func TestEveryDependencyHasAReason(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(doc), "## Direct dependencies")
	if !found || len(mod.Require) == 0 {
		t.Fatal("no table of direct dependencies in docs/ARCHITECTURE.md, or no module in go.mod")
	}
	for _, r := range mod.Require {
		// One line may name two modules of one family: "github.com/spf13/cobra, pflag".
		if name := r.Path[strings.LastIndexByte(r.Path, '/')+1:]; !r.Indirect && !strings.Contains(table, r.Path) && !strings.Contains(table, ", "+name+" |") {
			t.Errorf("%s has no reason in the table of docs/ARCHITECTURE.md", r.Path)
		}
	}
}

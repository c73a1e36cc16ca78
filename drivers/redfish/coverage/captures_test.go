package coverage_test

import (
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dewline/health"
)

// captures are the .tar.gz files of DEWLINE_CAPTURES, by name.
func captures(t *testing.T) map[string]string {
	t.Helper()
	dir := os.Getenv("DEWLINE_CAPTURES")
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("DEWLINE_CAPTURES is not set: in CI the captures must be read")
		}
		t.Skip("DEWLINE_CAPTURES is not set: a folder of captures (*.tar.gz)")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no capture (*.tar.gz) in %s: %v", dir, err)
	}
	named := map[string]string{}
	for _, f := range files {
		named[strings.TrimSuffix(filepath.Base(f), ".tar.gz")] = f
	}
	if !underRace {
		return named
	}
	// What these tests prove of recordings they prove without the race detector, under which they cost ten times as much: `make test`
	// runs them both ways. Here it looks at what is parallel in a visit, and a few recordings have all of that.
	few := map[string]string{}
	for _, name := range sample(t, "recordings under the race detector", slices.Sorted(maps.Keys(named)), raceCaptures, func(s string) string { return s }) {
		few[name] = named[name]
	}
	return few
}

const raceCaptures = 3

// share is how many of n are taken under the race detector.
func share(n int) int {
	if underRace {
		return max(1, n/3)
	}
	return n
}

// counted is what a person counted in a capture's JSON: the walker must find as much, so that it cannot silently change
// what is true.
type counted struct {
	fans, psus, temperatures, leaks, drives, memory, cpus, gpus int

	absent           int // of all of them
	optional         int
	services, hwLogs int // log services; those that are hardware logs with entries in the capture
	entries          int // of the hardware logs
}

var byHand = map[string]counted{
	"dell-r750-idrac9": {fans: 6, psus: 2, temperatures: 6 + 3, drives: 3, memory: 16, cpus: 2, gpus: 1, optional: 3, services: 3, hwLogs: 3, entries: 10},
	"delta-powershelf": {fans: 6 * 2, psus: 6, temperatures: 2 + 6*5}, // recorded with $expand: no document of their own
	"dmtf-rackmount1": {
		fans: 4 + 2, psus: 2 + 1, temperatures: 8 + 2, drives: 4, memory: 4, cpus: 2, gpus: 1, absent: 5, optional: 4 + 1, services: 2, hwLogs: 2, entries: 3,
	},
	"hpe-cray-ex235a": {temperatures: 52, leaks: 3, memory: 8, cpus: 1, gpus: 8, services: 3, hwLogs: 2, entries: 24},
	"hpe-dl385-ilo5":  {fans: 6, psus: 2, temperatures: 53, drives: 18, memory: 32, cpus: 2, absent: 16 + 6, services: 4, hwLogs: 3, entries: 15},
	"intel-s2600bpb":  {fans: 6, psus: 2, temperatures: 28, memory: 6, cpus: 2, services: 2, hwLogs: 1, entries: 10},
	"lenovo-sr670v2-xcc": {
		fans: 10, psus: 4, temperatures: 39 + 1, drives: 4, memory: 32, cpus: 2, gpus: 8, absent: 16 + 1, services: 7, hwLogs: 3, entries: 10,
	},
	"nvidia-gb200":  {fans: 12, temperatures: 40, leaks: 4, drives: 9, memory: 2 + 4, cpus: 2, gpus: 4, absent: 5, services: 16, hwLogs: 5, entries: 40},
	"openbmc-stock": {services: 3, hwLogs: 1},
	"supermicro-sys821ge": {
		fans: 6, psus: 8, temperatures: 38, drives: 8, memory: 32, cpus: 2, absent: 2, services: 2, hwLogs: 1, entries: 82,
	},
	"supermicro-x10": {fans: 4, temperatures: 8, memory: 4, cpus: 1, absent: 12, services: 1, hwLogs: 1, entries: 65},
}

func TestWalkerFindsWhatAPersonCounted(t *testing.T) {
	sum := counted{}
	for name, file := range sorted(captures(t)) {
		tr, _, err := loadTree(file)
		if err != nil {
			t.Fatal(err)
		}
		got := count(walk(tr))
		sum.add(got)
		t.Logf("%s: %+v", name, got)
		if want, known := byHand[name]; known && got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
	if underRace {
		return // not all of them
	}
	if sum.fans == 0 || sum.psus == 0 || sum.temperatures == 0 || sum.leaks == 0 || sum.drives == 0 || sum.memory == 0 ||
		sum.cpus == 0 || sum.gpus == 0 || sum.absent == 0 || sum.entries == 0 {
		t.Errorf("a class was found in no capture at all: %+v", sum)
	}
}

func count(w *truth) counted {
	n := func(c health.Class) int { return len(w.of(c)) }
	c := counted{
		fans: n(health.ClassFan), psus: n(health.ClassPSU), temperatures: n(health.ClassTemperature), leaks: n(health.ClassLeakDetector),
		drives: n(health.ClassDrive), memory: n(health.ClassMemory), cpus: n(health.ClassCPU), gpus: n(health.ClassGPU), services: len(w.logs),
	}
	for _, p := range w.parts {
		if p.absent() {
			c.absent++
		}
		if p.optional != "" {
			c.optional++
		}
	}
	for _, l := range w.logs {
		if l.kind == hardwareLog {
			c.hwLogs++
			c.entries += l.entries
		}
	}
	return c
}

func (c *counted) add(o counted) {
	c.fans += o.fans
	c.psus += o.psus
	c.temperatures += o.temperatures
	c.leaks += o.leaks
	c.drives += o.drives
	c.memory += o.memory
	c.cpus += o.cpus
	c.gpus += o.gpus
	c.absent += o.absent
	c.entries += o.entries
}

// expanding: a recording is also read with $expand, unless its service does not offer that, and so is asked for none. The
// largest recording, a third of what all of them cost, is read with it only where DEWLINE_LONG is set or the page is written.
func expanding(t *testing.T, all map[string]string, name string) bool {
	t.Helper()
	tr, _, err := loadTree(all[name])
	if err != nil {
		t.Fatal(err)
	}
	return offersExpand(tr) && (name != heaviest(t, all) || *update || os.Getenv("DEWLINE_LONG") != "")
}

// heaviest is the recording whose first visit asks for most.
func heaviest(t *testing.T, all map[string]string) string {
	t.Helper()
	most, which := 0, ""
	for name, file := range sorted(all) {
		if n := fullVisit(t, file).Cost.Requests; n > most {
			most, which = n, name
		}
	}
	return which
}

func sorted(m map[string]string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// defaultSeed is the sample that a run without DEWLINE_SEED takes.
const defaultSeed = 1

// sample chooses n of all, or all of them where DEWLINE_LONG is set, and logs which: nothing is left out in silence.
// DEWLINE_SEED chooses other ones.
func sample[T any](t *testing.T, what string, all []T, n int, name func(T) string) []T {
	t.Helper()
	if os.Getenv("DEWLINE_LONG") != "" || len(all) <= n {
		t.Logf("%s: all %d", what, len(all))
		return all
	}
	seed := uint64(defaultSeed)
	if s := os.Getenv("DEWLINE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("DEWLINE_SEED: %v", err)
		}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(what))
	picks := rand.New(rand.NewPCG(seed, h.Sum64())).Perm(len(all))[:n] //nolint:gosec // a repeatable choice
	slices.Sort(picks)
	var l []T
	var names []string
	for _, i := range picks {
		l, names = append(l, all[i]), append(names, name(all[i]))
	}
	t.Logf("%s: %d of %d with DEWLINE_SEED=%d, DEWLINE_LONG=1 for all: %s", what, n, len(all), seed, strings.Join(names, "; "))
	return l
}

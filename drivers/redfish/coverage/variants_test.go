package coverage_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dewline/health"
	"dewline/internal/bmcsim"
)

// variants are what other firmware makes of the same machine: the captures are a sample, and the driver is for machines
// that are not among them.
var variants = []struct {
	name string
	make func(t *testing.T, tr *tree, raw map[string][]byte) map[string][]byte
	// same: the walker's account of the recording itself is the truth, for it does not read such a variant.
	same bool
}{
	{"with the older tree only", func(t *testing.T, tr *tree, raw map[string][]byte) map[string][]byte {
		return remove(t, raw, ofKind(tr, "ThermalSubsystem", "PowerSubsystem", "SensorCollection", "EnvironmentMetrics"))
	}, false},
	{"with the newer tree only", func(t *testing.T, tr *tree, raw map[string][]byte) map[string][]byte {
		return remove(t, raw, ofKind(tr, "Thermal", "Power"))
	}, false},
	{"with a slash at the end of every link", func(t *testing.T, _ *tree, raw map[string][]byte) map[string][]byte {
		return rewrite(t, raw, func(key string, v any) any {
			if s, ok := v.(string); ok && key == "@odata.id" && !strings.ContainsAny(s, "#?") && !strings.HasSuffix(s, "/") {
				return s + "/"
			}
			return v
		})
	}, false},
	{"without counts", func(t *testing.T, _ *tree, raw map[string][]byte) map[string][]byte {
		return rewrite(t, raw, func(key string, v any) any {
			if strings.HasSuffix(key, "@odata.count") {
				return dropped{}
			}
			return v
		})
	}, false},
	{"with numbers in quotes", func(t *testing.T, _ *tree, raw map[string][]byte) map[string][]byte {
		return rewrite(t, raw, func(key string, v any) any {
			if f, ok := v.(float64); ok && slices.Contains(quoted, key) {
				return strconv.FormatFloat(f, 'f', -1, 64)
			}
			return v
		})
	}, true},
	{"with collections in pages", pages, true},
	{"with null for what is not told", func(t *testing.T, _ *tree, raw map[string][]byte) map[string][]byte {
		return rewrite(t, raw, func(key string, v any) any {
			switch v := v.(type) {
			case string:
				if v == "" && key != "ReadingUnits" { // Lenovo's empty unit means something
					return nil
				}
			case []any:
				if len(v) == 0 && key != "Members" {
					return nil
				}
			}
			return v
		})
	}, true},
}

// pages cuts every collection of more than three members in two; what comes after stands behind a nextLink.
func pages(t *testing.T, _ *tree, raw map[string][]byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	put := func(url string, d doc) {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		out[url] = text
	}
	for u, b := range raw {
		var d doc
		out[u] = b
		if json.Unmarshal(b, &d) != nil || !strings.HasSuffix(kindOf(d), "Collection") {
			continue
		}
		members := list(d["Members"])
		if len(members) < 4 || d["@odata.nextLink"] != nil || d["Members@odata.nextLink"] != nil {
			continue
		}
		next := cleanURL(u) + "/PageTwo"
		second := doc{}
		maps.Copy(second, d)
		second["Members"] = members[len(members)/2:]
		d["Members"] = members[:len(members)/2]
		d["Members@odata.nextLink"] = next
		put(u, d)
		put(next, second)
	}
	return out
}

var quoted = []string{
	"Reading", "ReadingCelsius", "SpeedRPM", "LastPowerOutputWatts", "PowerOutputWatts", "PowerInputWatts", "LineInputVoltage",
	"PredictedMediaLifeLeftPercent", "CapacityMiB", "CapacityBytes", "Members@odata.count",
}

func ofKind(tr *tree, kinds ...string) []string {
	var l []string
	tr.each(func(url, kind string, _ doc) {
		if slices.Contains(kinds, kind) {
			l = append(l, url)
		}
	})
	return l
}

// dropped, returned by the function of rewrite, takes a property out.
type dropped struct{}

// rewrite passes every property of every document through f.
func rewrite(t *testing.T, raw map[string][]byte, f func(key string, v any) any) map[string][]byte {
	t.Helper()
	var change func(v any)
	change = func(v any) {
		switch v := v.(type) {
		case doc:
			for k, x := range v {
				change(x)
				switch y := f(k, x).(type) {
				case dropped:
					delete(v, k)
				default:
					v[k] = y
				}
			}
		case []any:
			for _, x := range v {
				change(x)
			}
		}
	}
	out := map[string][]byte{}
	for u, b := range raw {
		var d doc
		if json.Unmarshal(b, &d) != nil {
			out[u] = b
			continue
		}
		change(d)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		out[u] = text
	}
	return out
}

func TestDriverReportsEveryPartOfOtherFirmware(t *testing.T) {
	type job struct {
		capture, file string
		variant       int
		expand        bool
	}
	name := func(j job) string {
		return fmt.Sprintf("%s/%s/expand %t", j.capture, variants[j.variant].name, j.expand)
	}
	var jobs []job
	for c, file := range sorted(captures(t)) {
		for i := range variants {
			jobs = append(jobs, job{c, file, i, false}, job{c, file, i, true})
		}
	}
	for _, j := range sample(t, "other firmware", jobs, share(6), name) {
		t.Run(name(j), func(t *testing.T) {
			t.Parallel()
			compareVariant(t, j.file, j.variant, j.expand)
		})
	}
}

func compareVariant(t *testing.T, file string, variant int, expand bool) {
	tr, raw, err := loadTree(file)
	if err != nil {
		t.Fatal(err)
	}
	v := variants[variant]
	other := v.make(t, tr, raw)
	otherTree := parseTree(other)
	truly := walk(otherTree)
	if v.same {
		truly = walk(tr)
	}
	srv, err := bmcsim.ServeTree(other, bmcsim.RedfishOptions{Expand: expand})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	client := open(t, srv)
	snap := read(t, client, full)
	comps := reportedOf(snap)
	for _, class := range walked {
		for _, s := range disagreements(truly, class, comps) {
			t.Error(s)
		}
	}
	compareLogs(t, truly, snap)
	compareGaps(t, otherTree, snap)
	checkUnique(t, snap)
	sameIDs(t, "a second reading", snap, read(t, client, health.Request{
		Tiers: health.EveryTier, LogLimit: -1, Memory: snap.Memory, Cursors: snap.NextCursors,
	}))
}

// TestIDsSurviveAnotherOrder: a BMC that lists what it has in another order, and one link twice, has the same machine.
func TestIDsSurviveAnotherOrder(t *testing.T) {
	all := captures(t)
	for _, c := range sample(t, "another order", slices.Sorted(maps.Keys(all)), 3, func(c string) string { return c }) {
		t.Run(c, func(t *testing.T) {
			t.Parallel()
			_, raw, err := loadTree(all[c])
			if err != nil {
				t.Fatal(err)
			}
			lists := 0
			other := rewrite(t, raw, func(key string, v any) any {
				members := list(v)
				if key != "Members" || len(members) < 2 || strings.Contains(str(asDoc(members[0]), "@odata.id"), "/LogServices/") {
					return v
				}
				lists++
				members = slices.Clone(members)
				slices.Reverse(members)
				return append(members, members[0])
			})
			t.Logf("%d lists", lists) // a stock OpenBMC without a machine has none
			srv, err := bmcsim.ServeTree(other, bmcsim.RedfishOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			before := fullVisit(t, all[c])
			sameIDs(t, "another order, met anew", before, read(t, open(t, srv), full))
			sameIDs(t, "another order, known before", before, read(t, open(t, srv), health.Request{
				Tiers: health.EveryTier, LogLimit: -1, Memory: slices.Clone(before.Memory), Cursors: before.NextCursors,
			}))
		})
	}
}

func asDoc(v any) doc {
	d, _ := v.(doc)
	return d
}

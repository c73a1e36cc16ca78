package redfish

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/health"
)

// A module that is taken out of a collection whose count is never right is gone; a list that is short is a gap all the same.
func TestCollectionThatCountsMoreThanItLists(t *testing.T) {
	type step struct {
		list  string // one letter for each module
		count int
		whole bool
	}
	same := func(n int, s step) []step { return slices.Repeat([]step{s}, n) }
	after := func(l []step, more ...step) []step { return slices.Concat(l, more) }
	always := after(same(4, step{"ABC", 4, false}), step{"ABC", 4, true}) // four visits in 18 hours, and one a day after the first
	for name, steps := range map[string][]step{
		"one taken out is gone":                                 after(always, step{"AC", 3, true}, step{"A", 2, true}),
		"one put in is whole":                                   after(always, step{"ABCD", 5, true}, step{"ABC", 4, true}),
		"one that is left out is not gone":                      after(always, step{"AC", 4, false}, step{"AC", 4, false}, step{"AC", 4, false}, step{"AC", 4, false}, step{"ABC", 4, true}),
		"an empty answer is not the end of all":                 after(always, step{"", 4, false}, step{"", 4, false}),
		"one in the place of another is not gone":               after(always, step{"ABD", 4, false}, step{"ABD", 4, false}),
		"one counted and not listed is short at first":          after(always, step{"ABC", 5, false}),
		"one that counts truly once is short from then on":      after(always, step{"ABC", 3, true}, step{"ABC", 4, false}, step{"ABC", 4, false}, step{"ABC", 4, false}, step{"ABC", 4, false}, step{"ABC", 4, false}),
		"one that counted truly at first stays short":           after([]step{{"ABC", 3, true}}, same(7, step{"AB", 3, false})...),
		"one that was short from when a module failed":          after(same(2, step{"ABC", 4, false}), same(6, step{"AB", 4, false})...),
		"a BMC that has just started lists more and more":       {{"A", 4, false}, {"AB", 4, false}, {"ABC", 4, false}, {"ABCD", 4, true}, {"ABC", 4, false}},
		"one of which a module fails before it is known so":     after(same(3, step{"ABC", 4, false}), step{"AB", 3, false}, step{"AB", 3, false}, step{"AB", 3, false}),
		"one that lists some in turns is never known for whole": {{"AB", 4, false}, {"BC", 4, false}, {"AC", 4, false}, {"AB", 4, false}, {"BC", 4, false}, {"AC", 4, false}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := ownTree(t, "classic")
			for _, id := range "ABCD" {
				tree[dimms+"/"+string(id)] = fmt.Sprintf(`{"Id":"%[1]c","Name":"DIMM %[1]c","CapacityMiB":16384,"Status":{"Health":"OK","State":"Enabled"}}`, id)
			}
			for uri, others := range map[string][]string{
				"/redfish/v1/Systems/1": {"Storage", "Processors", "LogServices"}, "/redfish/v1/Chassis/1": {"Thermal", "Power"},
				"/redfish/v1/Managers/1": {"LogServices"},
			} {
				change(t, tree, uri, func(d map[string]any) {
					maps.DeleteFunc(d, func(k string, _ any) bool { return slices.Contains(others, k) })
				})
			}
			srv := newService(t, tree)
			now := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
			c := srv.open(t, func(o *Options) { o.Now = func() time.Time { return now } })
			var memory []byte
			for i, x := range steps {
				refs := []string{}
				for _, id := range x.list {
					refs = append(refs, fmt.Sprintf(`{"@odata.id":"%s/%c"}`, dimms, id))
				}
				srv.set(dimms, fmt.Sprintf(`{"Members@odata.count":%d,"Members":[%s]}`, x.count, strings.Join(refs, ",")))
				s := read(t, c, health.Request{Tiers: health.EveryTier, Memory: memory})
				if s.Memory != nil {
					memory = s.Memory
				}
				gap := slices.ContainsFunc(s.Gaps, func(g health.Gap) bool { return g.Place == dimms })
				if whole := slices.Contains(s.Scope, dimms); whole != x.whole || gap == whole {
					t.Fatalf("visit %d, %q of %d: whole %v, a gap %v, want whole %v", i+1, x.list, x.count, whole, gap, x.whole)
				}
				wantCount(t, s, health.ClassMemory, len(x.list))
				now = now.Add(6 * time.Hour)
			}
		})
	}
}

// What was learned of a count is told, is of use to $expand, and is learned anew with a new firmware.
func TestOvercountIsToldAndForgottenWithTheFirmware(t *testing.T) {
	const sensors = "/redfish/v1/Chassis/tray/Sensors"
	tree := ownTree(t, "modern")
	change(t, tree, sensors, func(d map[string]any) { d["Members@odata.count"] = len(d["Members"].([]any)) + 2 })
	srv := newService(t, tree)
	srv.expand = true
	now := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
	c := srv.open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	told := func(memory []byte) string {
		t.Helper()
		l, ok := Learned(memory)
		i := slices.IndexFunc(l.Facts, func(f health.Fact) bool { return f.Name == "overcount" })
		if !ok || i < 0 {
			t.Fatalf("not told: %+v", l)
		}
		return l.Facts[i].Value
	}
	var memory []byte
	for range 5 {
		s := read(t, c, health.Request{Tiers: health.EveryTier, Memory: memory})
		if slices.Contains(s.Scope, sensors) {
			t.Fatal("whole before a day is over")
		}
		memory = s.Memory
		now = now.Add(5 * time.Hour)
	}
	if w := told(memory); !strings.Contains(w, sensors+" counts 2 more than it lists: a gap") {
		t.Error(w)
	}
	s := read(t, c, health.Request{Tiers: health.EveryTier, Memory: memory})
	if w := told(s.Memory); !slices.Contains(s.Scope, sensors) || !strings.Contains(w, "way of counting") {
		t.Errorf("not learned: %s, gaps %+v", w, s.Gaps)
	}
	if !c.mem.Expand[sensors] {
		t.Fatalf("not proven: %v", c.mem.Expand)
	}
	srv.reset()
	s = read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if requests, _ := srv.counts(); !c.mem.Expand[sensors] || len(missing(s)) > 0 || !slices.ContainsFunc(requests, func(r string) bool { return strings.HasPrefix(r, "GET "+sensors+"?") }) {
		t.Errorf("$expand is given up for the count: gaps %+v, %v", s.Gaps, requests)
	}
	// The same in the next process; then a new firmware.
	next := srv.open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	memory = c.mem.encode()
	s = read(t, next, health.Request{Tiers: health.EveryTier, Memory: memory})
	if !slices.Contains(s.Scope, sensors) {
		t.Errorf("forgotten over a restart: %+v", s.Gaps)
	}
	for uri, body := range tree {
		if strings.Contains(body, "FirmwareVersion") && strings.Contains(uri, "/Managers/") {
			change(t, tree, uri, func(d map[string]any) { d["FirmwareVersion"] = "99.9" })
			srv.set(uri, tree[uri])
		}
	}
	s = read(t, next, health.Request{Tiers: health.EveryTier, Memory: memory})
	s = read(t, next, health.Request{Tiers: health.EveryTier, Memory: s.Memory})
	if slices.Contains(s.Scope, sensors) {
		t.Error("what the old firmware counted is held of the new one")
	}
}

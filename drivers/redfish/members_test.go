package redfish

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

// rounds reads the health tier n times, as after a restart each time: with the memory of the last.
func rounds(t *testing.T, srv *service, c *Client, memory []byte, n int) (s *health.Snapshot, requests []string, next []byte) {
	t.Helper()
	next = memory
	for range n {
		srv.reset()
		s = read(t, c, health.Request{Tiers: health.TiersOf(health.TierHealth), Memory: next})
		if s.Memory != nil {
			next = s.Memory
		}
	}
	requests, _ = srv.counts()
	return s, requests, next
}

const dimms = "/redfish/v1/Systems/1/Memory"

func compact(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(s)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func asked(requests []string, uri string) bool { return slices.Contains(requests, "GET "+uri) }

func TestHealthVisitsDoNotListAgainWhatDidNotChange(t *testing.T) {
	tree := ownTree(t, "classic")
	srv := newService(t, tree)
	c := srv.open(t)
	cold := read(t, c, health.Request{Tiers: health.EveryTier})
	_, first, memory := rounds(t, srv, c, cold.Memory, 1)
	if !asked(first, dimms) {
		t.Error("a list seen once is taken for granted: the BMC may have been starting")
	}
	s, warm, memory := rounds(t, srv, c, memory, 1)
	if asked(warm, dimms) || len(warm) >= len(first) {
		t.Errorf("%d requests, then %d: %v", len(first), len(warm), warm)
	}
	if got, want := len(ofClass(s, health.ClassMemory)), len(ofClass(cold, health.ClassMemory)); got != want || want == 0 {
		t.Fatalf("%d memory modules, %d at first", got, want)
	}
	if len(missing(s)) > 0 || !slices.Contains(s.Scope, dimms) {
		t.Errorf("gaps %+v, scope %v", s.Gaps, s.Scope)
	}

	// One leaves, and is replaced.
	list, module := tree[dimms], tree[dimms+"/DIMM1"]
	if module == "" {
		t.Fatal("the tree has no DIMM1")
	}
	without := compact(t, list)
	without = strings.Replace(without, `{"@odata.id":"`+dimms+`/DIMM1"},`, "", 1)
	srv.set(dimms, without)
	delete(tree, dimms+"/DIMM1")
	s, _, memory = rounds(t, srv, c, memory, 1)
	if slices.Contains(s.Scope, dimms) || len(missing(s)) == 0 {
		t.Errorf("a list of one that counts two: gaps %+v, scope %v", s.Gaps, s.Scope)
	}
	srv.set(dimms, strings.Replace(without, `"Members@odata.count":2`, `"Members@odata.count":1`, 1))
	s, _, memory = rounds(t, srv, c, memory, 1)
	if component(s, "memory/DIMM1") != nil || !slices.Contains(s.Scope, dimms) || len(missing(s)) > 0 {
		t.Errorf("a module that left: gaps %+v, scope %v", s.Gaps, s.Scope)
	}
	srv.set(dimms, list)
	srv.set(dimms+"/DIMM1", module)
	s, _, memory = rounds(t, srv, c, memory, 1)
	if component(s, "memory/DIMM1") == nil {
		t.Error("the new module is not seen by the next health visit")
	}

	// The host is switched: its parts come and go.
	sys := tree["/redfish/v1/Systems/1"]
	_, _, memory = rounds(t, srv, c, memory, 1)
	s = read(t, c, health.Request{Tiers: health.EveryTier, Memory: memory})
	_, warm, memory = rounds(t, srv, c, s.Memory, 3)
	if asked(warm, dimms) {
		t.Error("the inventory does not make lists be trusted again")
	}
	srv.set("/redfish/v1/Systems/1", strings.Replace(compact(t, sys), `"PowerState":"On"`, `"PowerState":"Off"`, 1))
	if _, off, _ := rounds(t, srv, c, memory, 1); !asked(off, dimms) {
		t.Error("the host was switched off, and its lists are trusted")
	}
}

func TestExpandedAnswerThatLosesMembersIsGivenUp(t *testing.T) {
	tree := ownTree(t, "modern")
	srv := newService(t, tree)
	srv.expand = true
	c := srv.open(t)
	cold := read(t, c, health.Request{Tiers: health.EveryTier})
	const sensors = "/redfish/v1/Chassis/tray/Sensors"
	if !c.mem.Expand[sensors] {
		t.Fatalf("not proven: %v", c.mem.Expand)
	}
	want := len(cold.Readings)
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("$expand") || r.URL.Path != sensors {
			return false
		}
		_, _ = w.Write([]byte(`{"@odata.id":"` + sensors + `","Members":[],"Members@odata.count":5}`))
		return true
	})
	warm := read(t, c, health.Request{Tiers: health.EveryTier.Without(health.TierInventory), Memory: cold.Memory})
	if len(warm.Readings) != want {
		t.Errorf("%d readings, %d before: an empty answer was believed", len(warm.Readings), want)
	}
	srv.reset()
	read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: warm.Memory})
	requests, _ := srv.counts()
	for _, r := range requests {
		if strings.HasPrefix(r, "GET "+sensors+"?") {
			t.Errorf("%s is asked again", r)
		}
	}
}

func TestExpandThatIsIgnoredIsAskedTwice(t *testing.T) {
	srv := newService(t, ownTree(t, "modern")) // offers $expand in its root
	c := srv.open(t)
	read(t, c, health.Request{Tiers: health.EveryTier})
	requests, _ := srv.counts()
	n := 0
	for _, r := range requests {
		if strings.Contains(r, "expand") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d expanded requests", n)
	}
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	if len(missing(s)) > 0 || c.mem.Root.Expand != "" {
		t.Errorf("expand %q, gaps %+v", c.mem.Root.Expand, s.Gaps)
	}
}

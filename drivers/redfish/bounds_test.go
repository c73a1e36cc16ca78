package redfish

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

// The bounds that no document of the fuzzer can pass, since they are below what its bytes may name or above what it sends.
func TestBoundsOfOneVisit(t *testing.T) {
	const (
		sys = "/redfish/v1/Systems/1"
		sel = sys + "/LogServices/Sel/Entries"
		cha = "/redfish/v1/Chassis/1"
	)
	visit := func(t *testing.T, tree map[string]string) (*health.Snapshot, []string, *Client, *service) {
		srv := newService(t, tree)
		c := srv.open(t)
		s := read(t, c, health.Request{Tiers: health.EveryTier})
		checkSnapshot(t, s)
		requests, _ := srv.counts()
		return s, requests, c, srv
	}
	t.Run("of a log of links so many entries are asked for, the newest", func(t *testing.T) {
		tree := ownTree(t, "classic")
		var refs []string
		for i := range 300 {
			u := fmt.Sprintf("%s/%d", sel, i+1)
			refs = append(refs, `{"@odata.id":"`+u+`"}`)
			tree[u] = fmt.Sprintf(`{"Id":"%d","Created":"2026-11-20T10:00:00Z","Message":"m%d","Severity":"OK"}`, i+1, i+1)
		}
		tree[sel] = `{"Members":[` + strings.Join(refs, ",") + `]}`
		_, requests, _, _ := visit(t, tree)
		n := 0
		for _, r := range requests {
			if strings.HasPrefix(r, "GET "+sel+"/") {
				n++
			}
		}
		if n != 100 || !asked(requests, sel+"/300") {
			t.Errorf("%d entries asked for", n)
		}
	})
	t.Run("of a document so many bytes are read", func(t *testing.T) {
		tree := ownTree(t, "classic")
		rest := 0
		for _, doc := range tree {
			rest += len(doc)
		}
		tree[cha+"/Thermal"] = `{"Fans":[]` + strings.Repeat(" ", 2*maxBody) + `}`
		s, _, _, _ := visit(t, tree)
		if !slices.ContainsFunc(s.Gaps, func(g health.Gap) bool { return g.Reason == health.ReasonTooLarge }) {
			t.Errorf("gaps %+v", s.Gaps)
		}
		if most := int64(maxBody + 1 + 4*rest); s.Cost.Bytes > most {
			t.Errorf("%d bytes were read, %d at most", s.Cost.Bytes, most)
		}
	})
	t.Run("chassis that contain each other are read once", func(t *testing.T) {
		tree := ownTree(t, "classic")
		other := "/redfish/v1/Chassis/2"
		contains := []any{map[string]any{"@odata.id": cha}, map[string]any{"@odata.id": other}, map[string]any{"@odata.id": other}}
		change(t, tree, cha, func(d map[string]any) { d["Links"] = map[string]any{"Contains": contains} })
		tree[other] = `{"Id":"2","Name":"two","Links":{"Contains":[{"@odata.id":"` + cha + `"},{"@odata.id":"` + other + `"}]}}`
		_, _, c, _ := visit(t, tree)
		if len(c.mem.Chassis) != 2 {
			t.Errorf("%d chassis are remembered", len(c.mem.Chassis))
		}
	})
	t.Run("pages of a log that overlap give each entry once", func(t *testing.T) {
		tree := ownTree(t, "classic")
		page := func(from, to int, next string) string {
			var l []string
			for i := from; i <= to; i++ {
				l = append(l, fmt.Sprintf(`{"@odata.id":"%s/%d","Id":"%d","Created":"2026-11-20T10:00:%02dZ","Message":"page %d","Severity":"OK"}`, sel, i, i, i, i))
			}
			return `{"Members":[` + strings.Join(l, ",") + `]` + next + `}`
		}
		next := sel + "/Page2"
		tree[sel] = page(1, 5, `,"@odata.nextLink":"`+next+`"`)
		tree[next] = page(4, 9, "")
		s, _, _, _ := visit(t, tree)
		seen := map[string]int{}
		for _, e := range s.Log {
			if strings.HasPrefix(e.Message, "page ") {
				seen[e.ID]++
			}
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("entry %s: %d times", id, n)
			}
		}
		if len(seen) != 9 {
			t.Errorf("%d entries", len(seen))
		}
	})
	t.Run("a link that leads nowhere is asked for once until the inventory", func(t *testing.T) {
		tree := ownTree(t, "classic")
		change(t, tree, cha, func(d map[string]any) { d["Thermal"] = map[string]any{"@odata.id": cha + "/Nowhere"} })
		s, first, c, srv := visit(t, tree)
		srv.reset()
		read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings, health.TierHealth), Memory: s.Memory, Cursors: s.NextCursors})
		if second, _ := srv.counts(); !asked(first, cha+"/Nowhere") || asked(second, cha+"/Nowhere") {
			t.Error("asked for again and again")
		}
	})
}

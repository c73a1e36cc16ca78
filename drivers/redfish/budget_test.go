package redfish

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
	"dewline/internal/secret"
)

// slug is a BMC in fake time whose documents take as long as the test says.
type slug struct {
	mu     sync.Mutex
	tree   map[string]string
	takes  map[string]time.Duration // by part of the path
	asked  []string
	log    strings.Builder
	client *Client
	known  *health.Known
}

func newSlug(t *testing.T, drives int) *slug {
	t.Helper()
	s := &slug{tree: ownTree(t, "classic"), takes: map[string]time.Duration{}, known: health.NewKnown("t")}
	const raid = "/redfish/v1/Systems/1/Storage/RAID"
	var links []string
	for i := range drives {
		at := fmt.Sprintf("%s/Drives/Bay%02d", raid, i)
		links = append(links, fmt.Sprintf(`{"@odata.id":%q}`, at))
		s.tree[at] = fmt.Sprintf(`{"@odata.id":%q,"Id":"Bay%02d","Name":"Drive %d","SerialNumber":"S%02d","Status":{"State":"Enabled","Health":"OK"}}`, at, i, i, i)
	}
	s.tree[raid] = `{"@odata.id":"` + raid + `","Id":"RAID","Name":"RAID","Status":{"State":"Enabled","Health":"OK"},"Drives":[` + strings.Join(links, ",") + `]}`
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.URL.Path)
		wait := time.Millisecond
		for part, d := range s.takes {
			if strings.Contains(r.URL.Path, part) {
				wait = d
			}
		}
		body, ok := s.tree[r.URL.Path]
		s.mu.Unlock()
		time.Sleep(wait)
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("X-Auth-Token", "token-1")
			w.Header().Set("Location", "/redfish/v1/SessionService/Sessions/1")
			w.WriteHeader(http.StatusCreated)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprint(w, body)
		}
	})
	var err error
	s.client, err = Open("t", Options{
		Address: "http://127.0.0.1:1", Username: testUser, Password: secret.New(testPassword), Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.client.http.Transport = count{capped{inProcess{h}}}
	return s
}

// inProcess answers requests with a handler, without a network.
type inProcess struct{ h http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	p.h.ServeHTTP(w, r)
	return w.Result(), nil
}

// visit reads tiers as the collector does, and checks that nothing seems gone.
func (s *slug) visit(t *testing.T, patience time.Duration, tiers ...health.Tier) (*health.Snapshot, []health.ComponentRef) {
	t.Helper()
	s.asked = nil
	snap, err := s.client.Read(t.Context(), health.Request{Tiers: health.TiersOf(tiers...), Memory: s.known.Memory, Cursors: s.known.Cursors, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	v := &health.Visit{Result: health.Done, Snapshot: snap, Started: snap.At, Due: map[health.Tier]time.Time{}}
	for _, tier := range tiers {
		v.Due[tier] = snap.At
	}
	for _, c := range s.known.Components {
		if s.known.Gone(c.Component, v) {
			t.Errorf("%s seems gone", c.ID)
		}
	}
	unread := s.known.UnreadBy(v)
	for _, c := range snap.Components {
		k, _ := s.known.Components[c.ID].Merge(c, snap.At)
		s.known.Components[c.ID] = k
	}
	if snap.Memory != nil {
		s.known.Memory = snap.Memory
	}
	return snap, unread
}

func (s *slug) drives(snap *health.Snapshot) []string {
	var l []string
	for _, c := range snap.Components {
		if c.Class == health.ClassDrive && strings.Contains(string(c.ID), "Bay") {
			l = append(l, string(c.ID))
		}
	}
	return l
}

func (s *slug) said(text string) int { return strings.Count(s.log.String(), text) }

const inTurn = "is read in turn from now on"

var routine = []health.Tier{health.TierReadings, health.TierEvents, health.TierHealth}

func TestSlowDrivesAreReadInTurnAndReadingsStayOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlug(t, 26)
		s.takes["/Drives/"] = 11 * time.Second // Lenovo XCC (check_redfish #80)
		cold, _ := s.visit(t, time.Minute, health.AllTiers[:]...)
		if n := len(s.drives(cold)); n != 26 || len(missing(cold)) > 0 {
			t.Fatalf("the first visit reads everything: %d drives, gaps %+v", n, cold.Gaps)
		}
		if s.said(inTurn) != 1 {
			t.Errorf("said %d times: %s", s.said(inTurn), s.log.String())
		}
		if k := s.known.Components["drive/Bay00"]; k.Tier != health.TierInventory {
			t.Errorf("a slow drive is of the %s tier", k.Tier)
		}
		seen := map[string]int{}
		visits := 0
		for ; len(seen) < 26 && visits < 30; visits++ {
			snap, unread := s.visit(t, time.Minute, routine...)
			if snap.Took > time.Minute {
				t.Fatalf("visit %d took %s: the next readings are late", visits, snap.Took)
			}
			if len(unread) > 0 || len(missing(snap)) > 0 {
				t.Errorf("visit %d: unread %v, gaps %+v", visits, unread, snap.Gaps)
			}
			if ofClass(snap, health.ClassMemory) == nil || ofClass(snap, health.ClassFan) == nil {
				t.Error("what is fast is not read")
			}
			got := s.drives(snap)
			if len(got) == 0 {
				t.Fatalf("visit %d reads no slow part at all", visits)
			}
			done := len(seen)
			for _, id := range got {
				if seen[id]++; seen[id] > 1 && done+len(got) < 26 {
					t.Errorf("visit %d: %s has its second turn before all had one", visits, id)
				}
			}
		}
		if len(seen) != 26 {
			t.Errorf("%d of 26 drives in %d visits", len(seen), visits)
		}
		t.Logf("all 26 drives in %d health visits", visits)

		// The inventory visit is on time too. What it leaves is said, and is not gone.
		snap, unread := s.visit(t, time.Minute, health.AllTiers[:]...)
		if snap.Took > time.Minute {
			t.Errorf("the inventory took %s", snap.Took)
		}
		read := len(s.drives(snap))
		left := slices.DeleteFunc(slices.Clone(snap.Gaps), func(g health.Gap) bool { return g.Reason != health.ReasonBudget || g.Component == "" })
		if read == 0 || len(unread) != 26-read || len(left) != 26-read {
			t.Errorf("inventory: %d drives read, %d unread, %d gaps with reason budget: %+v", read, len(unread), len(left), snap.Gaps)
		}

		// A drive that is pulled is seen to be gone by an inventory.
		s.tree["/redfish/v1/Systems/1/Storage/RAID"] = strings.Replace(s.tree["/redfish/v1/Systems/1/Storage/RAID"], `{"@odata.id":"/redfish/v1/Systems/1/Storage/RAID/Drives/Bay07"},`, "", 1)
		gone, err := s.client.Read(t.Context(), health.Request{Tiers: health.EveryTier, Memory: s.known.Memory, Patience: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		v := &health.Visit{Result: health.Done, Snapshot: gone, Started: gone.At, Due: map[health.Tier]time.Time{health.TierInventory: gone.At}}
		var missing []health.ComponentID
		for id, k := range s.known.Components {
			if s.known.Gone(k.Component, v) {
				missing = append(missing, id)
			}
		}
		if len(missing) != 1 || missing[0] != "drive/Bay07" {
			t.Errorf("gone: %v", missing)
		}
		delete(s.known.Components, "drive/Bay07")

		// A BMC that was mended is read as usual again.
		s.takes = map[string]time.Duration{}
		s.visit(t, time.Minute, routine...)
		back, unread := s.visit(t, time.Minute, routine...)
		if n := len(s.drives(back)); n != 25 || s.said("fast again") != 1 || s.known.Components["drive/Bay00"].Tier != health.TierHealth || len(unread) > 0 {
			t.Errorf("%d drives, unread %v, tier %v: %s", n, unread, s.known.Components["drive/Bay00"].Tier, s.log.String())
		}
		if s.said(inTurn) != 1 {
			t.Errorf("said %d times", s.said(inTurn))
		}
	})
}

func TestBMCThatBecomesSlowLeavesAGapOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlug(t, 26)
		s.visit(t, time.Minute, health.AllTiers[:]...)
		s.takes["/Drives/"] = 11 * time.Second
		first, unread := s.visit(t, time.Minute, routine...)
		if first.Took > time.Minute {
			t.Errorf("took %s", first.Took)
		}
		budgets := 0
		for _, g := range first.Gaps {
			if g.Reason == health.ReasonBudget {
				budgets++
			}
		}
		if budgets == 0 || len(unread) != budgets || len(s.drives(first)) == 0 {
			t.Errorf("%d gaps, unread %v, %d drives read", budgets, unread, len(s.drives(first)))
		}
		second, _ := s.visit(t, time.Minute, routine...)
		if len(missing(second)) > 0 || second.Took > time.Minute {
			t.Errorf("took %s, gaps %+v", second.Took, second.Gaps)
		}
		for range 12 {
			s.visit(t, time.Minute, routine...)
		}
		if _, unread := s.visit(t, time.Minute, routine...); len(unread) > 0 {
			t.Errorf("after a whole round unread: %v", unread)
		}
		if s.said(inTurn) != 1 {
			t.Errorf("said %d times", s.said(inTurn))
		}
	})
}

func TestBMCThatIsSlowInAllTakesTurnsWithTheLargestPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlug(t, 60)
		s.visit(t, time.Minute, health.AllTiers[:]...)
		s.takes["/redfish/"] = 1700 * time.Millisecond // 60 drives: 51 s, two at a time
		seen := map[string]bool{}
		for i := range 12 {
			snap, unread := s.visit(t, time.Minute, routine...)
			if snap.Took > time.Minute {
				t.Errorf("visit %d took %s", i, snap.Took)
			}
			if i > 4 && (len(missing(snap)) > 0 || len(unread) > 0) {
				t.Errorf("visit %d: gaps %+v, unread %v", i, snap.Gaps, unread)
			}
			for _, id := range s.drives(snap) {
				seen[id] = true
			}
		}
		if len(seen) != 60 {
			t.Errorf("%d of 60 drives", len(seen))
		}
	})
}

func TestPlaceThatDoesNotAnswerCostsItsPartsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlug(t, 8)
		s.visit(t, time.Minute, health.AllTiers[:]...)
		s.client.http.Transport = hung{s.client.http.Transport, "/Drives/"}
		snap, _ := s.visit(t, 2*time.Minute, routine...)
		if len(ofClass(snap, health.ClassMemory)) == 0 || len(snap.Logs) == 0 || snap.Took > 2*time.Minute {
			t.Errorf("took %s: %d memory modules, %d logs, gaps %+v", snap.Took, len(ofClass(snap, health.ClassMemory)), len(snap.Logs), snap.Gaps)
		}
		if slices.ContainsFunc(snap.Gaps, func(g health.Gap) bool { return g.Part == "visit" }) {
			t.Error("the visit ended")
		}
	})
}

// hung never answers what has a part in its path.
type hung struct {
	next http.RoundTripper
	part string
}

func (h hung) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, h.part) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return h.next.RoundTrip(r)
}

func TestTokensBoundWhatASillyScheduleAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlug(t, 40)
		s.client.o.RequestBudget = 100 // a minute
		spent := 0
		left := false
		for range 60 { // the health tier every second
			snap, _ := s.visit(t, 0, health.TierReadings, health.TierHealth)
			spent += snap.Cost.Requests
			left = left || slices.ContainsFunc(snap.Gaps, func(g health.Gap) bool { return g.Reason == health.ReasonBudget })
			if ofClass(snap, health.ClassFan) == nil {
				t.Fatal("readings are bounded too")
			}
			time.Sleep(time.Second)
		}
		if !left || spent > 10*100+2*100+60*10 {
			t.Errorf("%d requests in a minute, something left %v", spent, left)
		}
	})
}

func TestFirmwareForgetsWhatWasSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlug(t, 26)
		s.takes["/Drives/"] = 11 * time.Second
		s.visit(t, time.Minute, health.AllTiers[:]...)
		if len(s.client.mem.Slow) == 0 {
			t.Fatal("nothing is slow")
		}
		for uri, body := range s.tree {
			s.tree[uri] = strings.ReplaceAll(body, `"2.72"`, `"2.73"`)
		}
		s.takes = map[string]time.Duration{}
		s.visit(t, time.Minute, routine...)
		snap, _ := s.visit(t, time.Minute, routine...)
		if len(s.client.mem.Slow) > 0 || len(s.drives(snap)) != 26 {
			t.Errorf("slow %v, %d drives: %s", s.client.mem.Slow, len(s.drives(snap)), s.log.String())
		}
	})
}

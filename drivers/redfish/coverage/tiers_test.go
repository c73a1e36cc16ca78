package coverage_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
)

// visitOf is a snapshot as the collector would record it.
func visitOf(tiers health.Tiers, s *health.Snapshot) *health.Visit {
	v := &health.Visit{Result: health.Done, Snapshot: s, Started: s.At, Due: map[health.Tier]time.Time{}}
	for _, t := range tiers.List() {
		v.Due[t] = s.At
	}
	return v
}

// learn is what is known after a visit.
func learn(k *health.Known, s *health.Snapshot) {
	for _, c := range s.Components {
		kc, _ := k.Components[c.ID].Merge(c, s.At)
		k.Components[c.ID] = kc
	}
	if s.Tiers.Has(health.TierReadings) {
		k.HostPower = s.HostPower
	}
	maps.Copy(k.Cursors, s.NextCursors)
	if s.Memory != nil {
		k.Memory = s.Memory
	}
}

// compareTiers: a machine is the same machine whichever tiers a visit has. What one tier reads alone has the IDs of the full
// visit; nothing that is there seems gone or unread; and the tiers one after the other bring all that a full visit does.
func compareTiers(t *testing.T, c, fresh *redfish.Client, snap *health.Snapshot) {
	known := health.NewKnown(snap.Target)
	learn(known, snap)
	sameMachine(t, "warm", c, known, false)

	parts := health.NewKnown(snap.Target)
	sameMachine(t, "from nothing", fresh, parts, true)
	sameMachine(t, "from nothing, the second time", fresh, parts, false)
	for id, want := range known.Components {
		got, ok := parts.Components[id]
		switch {
		case !ok:
			t.Errorf("tier by tier: %s is not found", id)
		case got.Presence != want.Presence || got.State != want.State || got.Place != want.Place || got.Serial != want.Serial:
			t.Errorf("tier by tier: %s is %s %s at %s, serial %q; at once %s %s at %s, serial %q", id,
				got.Presence, got.State, got.Place, got.Serial, want.Presence, want.State, want.Place, want.Serial)
		}
	}
	for id := range parts.Components {
		if _, ok := known.Components[id]; !ok {
			t.Errorf("tier by tier: %s is found, and not at once", id)
		}
	}
}

func sameMachine(t *testing.T, what string, c *redfish.Client, known *health.Known, grows bool) {
	t.Helper()
	var cost []string
	defer func() { t.Logf("%s, requests: %s", what, strings.Join(cost, ", ")) }()
	for _, tier := range health.AllTiers {
		tiers := health.TiersOf(tier)
		s := read(t, c, health.Request{Tiers: tiers, Cursors: known.Cursors, Memory: known.Memory, LogLimit: -1})
		cost = append(cost, fmt.Sprintf("%s %d", tier, s.Cost.Requests))
		v := visitOf(tiers, s)
		for _, k := range known.Components {
			if known.Gone(k.Component, v) {
				t.Errorf("%s, tier %s: %s seems gone from %s", what, tier, k.ID, k.Place)
			}
		}
		for _, u := range known.UnreadBy(v) {
			t.Errorf("%s, tier %s: %s (tier %s) was not read", what, tier, u.ID, known.Components[u.ID].Tier)
		}
		for _, x := range s.Components {
			if _, ok := known.Components[x.ID]; !ok && !grows {
				t.Errorf("%s, tier %s: %s is new", what, tier, x.ID)
			}
		}
		learn(known, s)
	}
}

// checkTiers: what tells of water is read with every readings visit; fans and supplies are, too. Of temperatures a service
// without $expand may have too many.
func checkTiers(t *testing.T, comps []*reported) {
	always := []health.Class{health.ClassLeakDetector, health.ClassHumidity, health.ClassFan, health.ClassPSU}
	slow := 0
	for _, c := range comps {
		if c.Tier == health.TierReadings {
			continue
		}
		if slices.Contains(always, c.Class) {
			t.Errorf("%s is read in the %s tier only", c.ID, c.Tier)
		}
		if c.Class == health.ClassTemperature && c.Presence != health.Absent {
			slow++
		}
	}
	if slow > 0 {
		t.Logf("%d temperatures are read in slower tiers", slow)
	}
}

// compareScope: a part whose place no visit reads whole could vanish unseen. A machine does not vanish from itself.
func compareScope(t *testing.T, snap *health.Snapshot) {
	whole := map[string]bool{}
	for _, p := range snap.Scope {
		whole[p] = true
	}
	for _, c := range snap.Components {
		if c.Class != health.ClassSystem && (c.Place == "" || !whole[c.Place]) {
			t.Errorf("%s: its place %q was not read whole: it could vanish unseen", c.ID, c.Place)
		}
	}
}

// checkManners: a reader changes nothing, has one session for each client and at most two requests in flight.
func checkManners(t *testing.T, srv *bmcsim.RedfishServer, basicOnly bool) {
	const clients = 4
	writes := 0
	if basicOnly { // the try to log in, where there is no session service
		writes = clients
	}
	if s := srv.Stats(); s.Writes > writes || s.InFlightMax > 2 || s.Logins > clients {
		t.Errorf("%d clients wrote %d times, had %d requests in flight, logged in %d times", clients, s.Writes, s.InFlightMax, s.Logins)
	}
}

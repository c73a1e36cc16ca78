package redfish

import (
	"math"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"dewline/health"
)

func TestCapturesAreReadWhole(t *testing.T) {
	for name, file := range captures(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newService(t, treeFromTar(t, file))
			c := srv.open(t)
			s := read(t, c, health.Request{Tiers: health.EveryTier})
			checkSnapshot(t, s)
			if os.Getenv("DEWLINE_SHOW") != "" {
				show(t, s)
			}
			for _, g := range s.Gaps {
				// The tree lacks what it links: that is the capture's, not ours.
				if g.Reason != health.ReasonNotFound {
					t.Errorf("gap %s: %s %s", g.Part, g.Reason, g.Error)
				}
			}
			first := map[health.ComponentID]bool{}
			for _, x := range s.Components {
				first[x.ID] = true
			}

			// The same from a fresh client with the memory, and a readings visit: no other IDs.
			c2 := srv.open(t)
			for _, tiers := range []health.Tiers{health.EveryTier, health.TiersOf(health.TierReadings), health.TiersOf(health.TierHealth)} {
				s2 := read(t, c2, health.Request{Tiers: tiers, Memory: s.Memory, Cursors: s.NextCursors})
				checkSnapshot(t, s2)
				for _, x := range s2.Components {
					if !first[x.ID] {
						t.Errorf("%v: component %s was not there before", tiers.List(), x.ID)
					}
				}
				if tiers == health.EveryTier && len(s2.Components) != len(s.Components) {
					t.Errorf("%d components, then %d", len(s.Components), len(s2.Components))
				}
				if len(s2.Log) > 0 {
					t.Errorf("%v: %d log entries are new in an unchanged log", tiers.List(), len(s2.Log))
				}
				if tiers == health.TiersOf(health.TierReadings) {
					for _, x := range s.Components {
						if x.Tier == health.TierReadings && component(s2, x.ID) == nil {
							t.Errorf("%s is of the readings tier and not in a readings visit", x.ID)
						}
					}
					t.Logf("warm readings visit: %d requests, %d components", s2.Cost.Requests, len(s2.Components))
				}
			}
		})
	}
}

// checkSnapshot holds for every snapshot, whatever the BMC.
func checkSnapshot(t testing.TB, s *health.Snapshot) {
	t.Helper()
	ids := map[health.ComponentID]bool{}
	for _, c := range s.Components {
		if ids[c.ID] || c.ID == "" || c.Class == "" || !strings.HasPrefix(string(c.ID), string(c.Class)+"/") || !slices.Contains(health.Classes, c.Class) {
			t.Errorf("component %q of class %q: twice, or no ID", c.ID, c.Class)
		}
		ids[c.ID] = true
		if c.Place == "" {
			t.Errorf("component %s has no place", c.ID)
		}
		if len(c.Status) > health.MaxText || len(c.Name) > health.MaxText {
			t.Errorf("component %s: text too long", c.ID)
		}
		kinds := map[health.Kind]bool{}
		for _, k := range c.Conditions {
			if kinds[k.Kind] || !slices.Contains(health.Kinds, k.Kind) {
				t.Errorf("component %s: condition %s twice or unknown", c.ID, k.Kind)
			}
			kinds[k.Kind] = true
		}
	}
	type key struct {
		c health.ComponentID
		q health.Quantity
	}
	seen := map[key]bool{}
	for _, r := range s.Readings {
		k := key{r.Component, r.Quantity}
		if seen[k] || !ids[r.Component] || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
			t.Errorf("reading %v %v = %v: twice, of no component or not finite", r.Component, r.Quantity, r.Value)
		}
		seen[k] = true
	}
	for _, g := range s.Gaps {
		if g.Reason == "" || g.Part == "" || len(g.Error) > health.MaxText || strings.Contains(g.Error, testPassword) {
			t.Errorf("gap %+v", g)
		}
	}
	if strings.Contains(string(s.Memory), testPassword) || strings.Contains(string(s.Memory), "token-") {
		t.Error("the memory holds a secret")
	}
}

func show(t *testing.T, s *health.Snapshot) {
	count := map[health.Class]int{}
	for _, c := range s.Components {
		count[c.Class]++
	}
	var l []string
	for k := range count {
		l = append(l, string(k))
	}
	sort.Strings(l)
	for _, k := range l {
		t.Logf("%-20s %d", k, count[health.Class(k)])
	}
	for _, c := range s.Components {
		var vals []string
		for _, r := range s.Readings {
			if r.Component == c.ID {
				vals = append(vals, string(r.Quantity)+"="+formatNumber(r.Value)+string(r.Unit))
			}
		}
		t.Logf("%-60s %-9s %-8s %-10s %s | %s | %s", c.ID, c.State, c.Presence, c.Tier, c.Name, strings.Join(vals, " "), c.Status)
	}
	for _, g := range s.Gaps {
		t.Logf("GAP %s %s place=%s component=%s %s", g.Part, g.Reason, g.Place, g.Component, g.Error)
	}
	for _, l := range s.Logs {
		t.Logf("LOG %+v", l)
	}
	t.Logf("identity %+v power %v cost %+v memory %d bytes, log %d", s.Identity, s.HostPower, s.Cost, len(s.Memory), len(s.Log))
}

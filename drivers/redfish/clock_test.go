package redfish

import (
	"slices"
	"testing"
	"time"

	"dewline/health"
)

// The clock by which a service dates its logs is held against ours, without a request of its own.
func TestClockOfTheBMC(t *testing.T) {
	const mgr = "/redfish/v1/Managers/1"
	now := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
	open := func(t *testing.T, tree map[string]string, change ...func(*Options)) (*service, *Client) {
		srv := newService(t, tree)
		return srv, srv.open(t, append(change, func(o *Options) { o.Now = func() time.Time { return now } })...)
	}
	skews := func(s *health.Snapshot) (l []health.Reading) {
		for _, r := range s.Readings {
			if r.Quantity == health.ClockSkew {
				l = append(l, r)
			}
		}
		return l
	}
	for name, x := range map[string]struct {
		written any
		told    bool
		ahead   time.Duration
	}{
		"right":                           {"2026-03-01T06:00:00Z", true, 0},
		"in a zone of its own":            {"2026-03-01T14:00:03+08:00", true, 3 * time.Second},
		"three days behind":               {"2026-02-26T06:00:00+00:00", true, -72 * time.Hour},
		"ten years behind, without NTP":   {"2016-03-01T06:00:00Z", true, -3652 * 24 * time.Hour},
		"a year ahead":                    {"2027-03-01T06:00:00Z", true, 365 * 24 * time.Hour},
		"without a zone, as its logs are": {"2026-03-01T05:00:00", true, -time.Hour},
		"not set":                         {"1970-01-01T00:14:02Z", false, 0},
		"null":                            {nil, false, 0},
		"no time":                         {"N/A", false, 0},
		"a number":                        {1772344800, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tree := ownTree(t, "classic")
			change(t, tree, mgr, func(d map[string]any) { d["DateTime"] = x.written })
			_, c := open(t, tree)
			s := read(t, c, health.Request{Tiers: health.TiersOf(health.TierHealth)})
			got := skews(s)
			if !x.told && len(got) == 0 {
				return
			}
			if len(got) != 1 || !x.told || got[0].Component != "bmc/1" || got[0].Unit != health.Second || got[0].Value != x.ahead.Seconds() {
				t.Errorf("%+v, want %s", got, x.ahead)
			}
		})
	}
	t.Run("one of several managers, always the same", func(t *testing.T) {
		tree := ownTree(t, "classic")
		tree["/redfish/v1/Managers"] = `{"Members":[{"@odata.id":"/redfish/v1/Managers/0"},{"@odata.id":"` + mgr + `"},{"@odata.id":"/redfish/v1/Managers/2"}]}`
		other := func(at string) string {
			return `{"Id":"0","ManagerType":"EnclosureManager","FirmwareVersion":"1","DateTime":"` + at + `"}`
		}
		tree["/redfish/v1/Managers/0"], tree["/redfish/v1/Managers/2"] = other("2020-01-01T00:00:00Z"), `{"Id":"2","ManagerType":"BMC","FirmwareVersion":"1","DateTime":"2021-01-01T00:00:00Z"}`
		change(t, tree, mgr, func(d map[string]any) { d["DateTime"], d["ManagerType"] = "2026-03-01T07:00:00Z", "BMC" })
		srv, c := open(t, tree)
		s := read(t, c, health.Request{Tiers: health.EveryTier})
		if got := skews(s); len(got) != 1 || got[0].Component != "bmc/1" || got[0].Value != 3600 {
			t.Fatalf("%+v", got)
		}
		// While it does not answer, no other clock is taken for its.
		srv.set(mgr, `{"error":{"code":"Base.1.0.GeneralError"}}`)
		if got := skews(read(t, c, health.Request{Tiers: health.TiersOf(health.TierHealth), Memory: s.Memory})); len(got) > 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("costs no request, and a replay has none", func(t *testing.T) {
		var requests [][]string
		for _, told := range []bool{false, true} {
			tree := ownTree(t, "classic")
			change(t, tree, mgr, func(d map[string]any) {
				delete(d, "DateTime")
				if told {
					d["DateTime"] = "2026-03-01T07:00:00Z"
				}
			})
			srv, c := open(t, tree, func(o *Options) { o.NoClock = !told })
			read(t, c, health.Request{Tiers: health.EveryTier})
			l, _ := srv.counts()
			requests = append(requests, l)
			if told {
				_, replayed := open(t, tree, func(o *Options) { o.NoClock = true })
				if got := skews(read(t, replayed, health.Request{Tiers: health.EveryTier})); len(got) > 0 {
					t.Errorf("%+v", got)
				}
			}
		}
		if a, b := slices.Sorted(slices.Values(requests[0])), slices.Sorted(slices.Values(requests[1])); !slices.Equal(a, b) {
			t.Errorf("%d requests without, %d with a clock", len(a), len(b))
		}
	})
	t.Run("an answer that took long tells no time", func(t *testing.T) {
		tree := ownTree(t, "classic")
		change(t, tree, mgr, func(d map[string]any) { d["DateTime"] = "2026-03-01T06:00:00Z" })
		srv := newService(t, tree)
		calls := now
		c := srv.open(t, func(o *Options) {
			o.Now = func() time.Time { calls = calls.Add(5 * time.Second); return calls }
		})
		if got := skews(read(t, c, health.Request{Tiers: health.TiersOf(health.TierHealth)})); len(got) > 0 {
			t.Errorf("%+v", got)
		}
	})
}

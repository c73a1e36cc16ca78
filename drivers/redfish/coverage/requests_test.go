package coverage_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/schedule"
	"dewline/internal/secret"
)

// defaults is the schedule of internal/config.
var defaults = map[health.Tier]string{
	health.TierReadings: "@every 60s", health.TierEvents: "@every 60s", health.TierHealth: "@every 15m", health.TierInventory: "0 3 * * *",
}

// ticks are the visits of a stretch of time: when, and which tiers.
func ticks(t testing.TB, from, to time.Time) (visits []health.Tiers) {
	t.Helper()
	due := map[int64]health.Tiers{}
	for tier, text := range defaults {
		s, err := schedule.Parse(text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		for at := s.Next(from, "machine", schedule.DefaultSpread); at.Before(to); at = s.Next(at, "machine", schedule.DefaultSpread) {
			due[at.Unix()] = due[at.Unix()].With(tier)
		}
	}
	for at := from.Unix(); at < to.Unix(); at++ {
		if tiers, ok := due[at]; ok {
			visits = append(visits, tiers)
		}
	}
	return visits
}

// played is the clock of a schedule that is played without its pauses: a minute goes by before each visit. A driver gives a BMC no more requests
// than it bears in a time.
type played struct{ ahead time.Duration }

func (p *played) now() time.Time { return time.Now().Add(p.ahead) }

// spent is what a service counted over visits.
type spent struct {
	requests, connections, visits int
}

// live reads a service through the visits of some hours, one inventory among them, after it was met: its own counters tell
// what that cost.
func live(t testing.TB, srv *bmcsim.RedfishServer, hours int) spent {
	t.Helper()
	var clock played
	c, err := redfish.Open("machine", redfish.Options{
		Address: srv.URL(), Username: srv.Username(), Password: secret.New(srv.Password()), TLS: redfish.TLS{Fingerprint: srv.CertFingerprint()}, Now: clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	known := health.NewKnown("machine")
	see := func(tiers health.Tiers) {
		clock.ahead += time.Minute
		s, err := c.Read(t.Context(), health.Request{Tiers: tiers, Cursors: known.Cursors, Memory: known.Memory})
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if len(s.Gaps) > 0 {
			t.Fatalf("gaps %+v", s.Gaps)
		}
		v := visitOf(tiers, s)
		if unread := known.UnreadBy(v); len(unread) > 0 {
			t.Fatalf("%v: not read: %v", tiers.List(), unread)
		}
		learn(known, s)
	}
	see(health.EveryTier)
	srv.ResetStats()
	inventory := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	all := ticks(t, inventory, inventory.Add(time.Duration(hours)*time.Hour))
	inventories := 0
	for _, tiers := range all {
		see(tiers)
		if tiers.Has(health.TierInventory) {
			inventories++
		}
	}
	if inventories != 1 || len(all) < hours*60 {
		t.Fatalf("%d visits, %d inventories", len(all), inventories)
	}
	st := srv.Stats()
	return spent{st.Requests, st.Connections, len(all)}
}

// TestRequestsAtTheDefaultSchedule: full coverage of the common server costs a BMC at most nine requests a minute, seven with
// $expand, and no new connection. The two hours (six with DEWLINE_LONG=1) hold a whole daily inventory: a day costs less.
func TestRequestsAtTheDefaultSchedule(t *testing.T) {
	hours := 2
	if os.Getenv("DEWLINE_LONG") != "" {
		hours = 6
	}
	for _, c := range []struct {
		name   string
		expand bool
		most   float64 // a minute
	}{
		{"without expand", false, 9},
		{"with expand", true, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv, err := bmcsim.ServeRedfish(bmcsim.NewMachine(bmcsim.ProfileFleet, "machine", 1), bmcsim.RedfishOptions{Expand: c.expand})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			s := live(t, srv, hours)
			rate := float64(s.requests) / float64(hours*60)
			t.Logf("%d requests in %d visits of %d hours: %.2f a minute; %d new connections", s.requests, s.visits, hours, rate, s.connections)
			if rate > c.most {
				t.Errorf("%.2f requests a minute, at most %g", rate, c.most)
			}
			// None, unless this machine is so busy that net/http has not noted within 50 ms that a request was written whose answer it has: then it
			// does not use that connection again. A driver that does not keep its connections makes one for each visit at least.
			if s.connections > s.visits/4 {
				t.Errorf("%d new connections in %d visits", s.connections, s.visits)
			}
		})
	}
}

// TestRequestsOfAReadingsVisit: what each shape of service is asked for every minute.
func TestRequestsOfAReadingsVisit(t *testing.T) {
	for _, c := range []struct {
		profile bmcsim.Profile
		expand  bool
		most    int
	}{
		{bmcsim.ProfileFleet, false, 3}, // system, Thermal, Power
		{bmcsim.ProfileLegacy, false, 3},
		{bmcsim.ProfileModern, true, 5}, // system, Fans, PowerSupplies, Sensors, LeakDetectors
		{bmcsim.ProfileMixed, true, 5},  // system, Thermal, Power, one detector, Sensors for the humidity
	} {
		t.Run(fmt.Sprintf("%s, expand %v", c.profile.Name, c.expand), func(t *testing.T) {
			srv, err := bmcsim.ServeRedfish(bmcsim.NewMachine(c.profile, "machine", 1), bmcsim.RedfishOptions{Expand: c.expand})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			client := open(t, srv)
			cold := read(t, client, health.Request{Tiers: health.EveryTier})
			srv.ResetStats()
			warm := read(t, client, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: cold.Memory})
			st := srv.Stats()
			if st.Requests > c.most || st.Connections > 0 || st.Requests != warm.Cost.Requests {
				t.Errorf("%d requests, at most %d; %d new connections; the driver counted %d: %v", st.Requests, c.most, st.Connections, warm.Cost.Requests, st.ByQuery)
			}
			had := map[health.ComponentID]bool{}
			for _, r := range warm.Readings {
				had[r.Component] = true
			}
			tier := map[health.ComponentID]health.Tier{}
			for _, p := range cold.Components {
				tier[p.ID] = p.Tier
			}
			for _, r := range cold.Readings {
				if tier[r.Component] == health.TierReadings && !had[r.Component] {
					t.Errorf("%s has no value in the warm visit", r.Component)
				}
			}
		})
	}
}

// TestAnUnchangedLogIsOneRequest: the events tier alone.
func TestAnUnchangedLogIsOneRequest(t *testing.T) {
	m := bmcsim.NewMachine(bmcsim.ProfileModern, "machine", 1)
	srv, err := bmcsim.ServeRedfish(m, bmcsim.RedfishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	client := open(t, srv)
	s := read(t, client, health.Request{Tiers: health.EveryTier})
	cursors := maps.Clone(s.NextCursors)
	srv.ResetStats()
	w := read(t, client, health.Request{Tiers: health.TiersOf(health.TierEvents), Memory: s.Memory, Cursors: cursors})
	if st := srv.Stats(); st.Requests != 1 || len(w.Log) > 0 {
		t.Errorf("%d requests, %d entries: %v", st.Requests, len(w.Log), st.ByQuery)
	}
}

// BenchmarkRequestsLive reads the service that DEWLINE_REDFISH names ("https://127.0.1.1:8443", not verified) through the
// visits of a day at the default schedule, one after the other.
func BenchmarkRequestsLive(b *testing.B) {
	address := os.Getenv("DEWLINE_REDFISH")
	if address == "" {
		b.Skip("DEWLINE_REDFISH names no service")
	}
	var clock played
	c, err := redfish.Open("machine", redfish.Options{
		Address: address, Username: os.Getenv("DEWLINE_REDFISH_USERNAME"), Password: secret.New(os.Getenv("DEWLINE_REDFISH_PASSWORD")),
		TLS: redfish.TLS{Insecure: true}, Now: clock.now,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(b.Context()))
	known := health.NewKnown("machine")
	see := func(tiers health.Tiers) health.Cost {
		clock.ahead += time.Minute
		s, err := c.Read(b.Context(), health.Request{Tiers: tiers, Cursors: known.Cursors, Memory: known.Memory})
		if err != nil || len(s.Gaps) > 0 {
			b.Fatalf("read: %v, gaps %+v", err, s.Gaps)
		}
		learn(known, s)
		return s.Cost
	}
	cold := see(health.EveryTier)
	day := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	all := ticks(b, day, day.Add(24*time.Hour))
	var cost health.Cost
	days := 0
	for b.Loop() {
		for _, tiers := range all {
			cost = cost.Add(see(tiers))
		}
		days++
	}
	b.ReportMetric(float64(cost.Requests)/float64(days)/(24*60), "requests/minute")
	b.ReportMetric(float64(cost.Connections)/float64(days), "connections/day")
	b.ReportMetric(float64(cold.Requests), "cold-requests")
}

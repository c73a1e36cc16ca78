package main

import (
	"math"
	"slices"
	"strings"
	"testing"

	"dewline/collector/push"
	"dewline/health"
	"dewline/internal/config"
	"dewline/report/capacity"
	"dewline/report/reporttest"
)

func TestWhatAConfigurationSaysOfBudgets(t *testing.T) {
	cfg := &config.Config{Moisture: config.Moisture{Class: "A1", Corrosion: "G1"}}
	one := config.Supply{Amps: 32, Volts: 230, Phases: 1, Derating: 0.8, PowerFactor: 0.9}
	three := config.Supply{Amps: 32, Volts: 400, Phases: 3, Derating: 0.8, PowerFactor: 0.95}
	cfg.SiteBudgets = []config.Budget{{Name: "x", Supply: three}}
	cfg.RackBudgets = []config.Budget{{Name: "A1", Site: "x", Supply: one}}
	cfg.Feeds = []config.Feed{
		{Name: "all", PSUs: []string{"psu/1"}, Supply: one}, {Name: "site", Site: "x", PSUs: []string{"psu/1"}, Supply: one},
		{Name: "racks", Racks: []string{"A1"}, PSUs: []string{"PSU 1"}, Supply: one}, {Name: "targets", Targets: []health.TargetID{"b"}, PSUs: []string{"psu/1"}, Supply: one},
	}
	q := &capacity.Request{}
	planOf(cfg, q)
	for _, c := range []struct {
		b      capacity.Budget
		sum    string
		va, pf float64
	}{{q.Sites[0], "32 A × 400 V × 0.8 × √3", 17736.2, 0.95}, {q.Racks[0], "32 A × 230 V × 0.8", 5888, 0.9}, {q.Feeds[0].Budget, "32 A × 230 V × 0.8", 5888, 0.9}} {
		if c.b.Sum != c.sum || math.Abs(c.b.VoltAmperes-c.va) > 0.01 || c.b.PowerFactor != c.pf {
			t.Errorf("%+v, want %s = %v VA", c.b, c.sum, c.va)
		}
	}
	servers := []health.Target{{ID: "a", Site: "x", Rack: "A1"}, {ID: "b", Site: "x", Rack: "A2"}, {ID: "c", Site: "y", Rack: "A1"}}
	for i, want := range [][]health.TargetID{{"a", "b", "c"}, {"a", "b"}, {"a", "c"}, {"b"}} {
		var serves, feeds []health.TargetID
		for _, s := range servers {
			if q.Feeds[i].Serves(s) {
				serves = append(serves, s.ID)
			}
			if q.Feeds[i].Feeds(s, "psu/1", "psu 1") {
				feeds = append(feeds, s.ID)
			}
			if q.Feeds[i].Feeds(s, "psu/2", "PSU 2") {
				t.Errorf("feed %s has psu/2", q.Feeds[i].Name)
			}
		}
		if !slices.Equal(serves, want) || !slices.Equal(feeds, want) {
			t.Errorf("feed %s serves %q and feeds %q, want %q", q.Feeds[i].Name, serves, feeds, want)
		}
	}
	// Where the air is clean (ISA-71.04 G1) more humidity is allowed for.
	if clean, other := q.Air.Recommended.Wet, airOf(config.Moisture{Class: "A1", Corrosion: "G2"}).Recommended.Wet; clean != 70 || other != 50 {
		t.Errorf("recommended up to %v %% in clean air, %v %% in other", clean, other)
	}
	if a := airOf(config.Moisture{Class: "none"}); a.HasAllowable {
		t.Errorf("no class has limits: %+v", a)
	}
}

func TestWhichServersAreReviewed(t *testing.T) {
	f := &reporttest.Fleet{}
	add := func(id, driver, rack, model string) {
		m := reporttest.NewMachine(health.Target{ID: health.TargetID(id), Driver: driver, Site: "x", Rack: rack})
		m.Identity.Model = model
		f.Machines = append(f.Machines, m)
	}
	add("db-1", "redfish", "old", "R1")
	add("db_2", "redfish", "A1", "R1")
	add("db3", "ipmi", "A2", "R2")
	add("dbx", "redfish", "A1", "R9")
	add("gone", "redfish", "A1", "R1")
	add("probe", push.Driver, "A1", "")
	cfg := &config.Config{}
	for _, id := range []string{"db-1", "db_2", "db3", "dbx", "new"} {
		c := config.Target{}
		c.ID, c.Site, c.Rack = health.TargetID(id), "x", "A1"
		if id == "db3" {
			c.Rack = "A2"
		}
		cfg.Targets = append(cfg.Targets, c)
	}
	choose := func(o *capacityOptions, cfg *config.Config) *capacity.Request {
		t.Helper()
		q := &capacity.Request{}
		if err := o.choose(t.Context(), f, cfg, q); err != nil {
			t.Fatal(err)
		}
		return q
	}
	names := func(ts []health.Target) string {
		var out []string
		for _, x := range ts {
			out = append(out, string(x.ID))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	// db-1 was read in another rack, and stands in A1 now.
	q := choose(&capacityOptions{racks: []string{"A1"}}, cfg)
	if got := names(q.Targets) + "; not chosen " + names(q.Others); got != "db-1 db_2 dbx; not chosen db3" || !slices.Equal(q.NeverRead, []health.TargetID{"new"}) || !slices.Equal(q.Retired, []health.TargetID{"gone"}) {
		t.Errorf("reviewed %s; never read %q, retired %q", got, q.NeverRead, q.Retired)
	}
	if q := choose(&capacityOptions{}, nil); names(q.Targets) != "db-1 db3 db_2 dbx gone" || len(q.Others) != 0 {
		t.Errorf("without a configuration: %s", names(q.Targets))
	}
	for text, want := range map[string][]health.TargetID{"2 x db": {"db-1", "db3", "db_2"}, "2 x db-1": {"db-1"}, "2×r1": {"db-1", "db_2", "gone"}, "2 x R9 in A2": {"dbx"}} {
		q := choose(&capacityOptions{adds: []string{text}}, nil)
		if c := q.Changes[0]; !slices.Equal(c.Like, want) || c.N != 2 || (len(c.Racks) == 1) != strings.HasSuffix(text, "A2") {
			t.Errorf("%s: %+v", text, c)
		}
	}
}

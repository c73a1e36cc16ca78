package sqlite_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
	"dewline/store/sqlite"
)

func TestIncidentsAreKeptWholeAndFoundAgain(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := sqlite.Open(ctx, dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	incident := func(n int, state health.IncidentState, target, rack string) health.Incident {
		opened := at.Add(time.Duration(n) * time.Hour)
		return health.Incident{
			ID: health.IncidentID(target), State: state, Cause: health.CauseWater, Severity: health.SeverityCritical, Rule: "leak_spreads",
			Summary: "100 % wet", Alternatives: []string{}, Racks: []string{rack}, Opened: opened, Found: opened, Changed: opened.Add(time.Minute),
			Targets:  []health.IncidentTarget{{Target: health.TargetID(target), Rack: rack, First: opened}},
			Evidence: []health.IncidentEvidence{{Event: "e-" + target, Fault: "f-" + target, Target: health.TargetID(target), At: opened}},
		}
	}
	a, b := incident(0, health.IncidentOpen, "db-1", "A1"), incident(2, health.IncidentClosed, "web_1", "A2")
	members := []health.IncidentMember{{Incident: a.ID, Event: "e-db-1", Fault: "f-db-1"}, {Incident: b.ID, Event: "e-web_1", Fault: "f-web_1"}}
	for range 2 { // the second time changes nothing
		if err := db.SaveIncidents(ctx, 7, []health.Incident{b, a}, members); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = sqlite.Open(ctx, dir, sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for name, c := range map[string]struct {
		choose health.IncidentFilter
		want   []health.Incident
	}{
		"all, oldest first":               {health.IncidentFilter{}, []health.Incident{a, b}},
		"open ones":                       {health.IncidentFilter{Open: true}, []health.Incident{a}},
		"by the beginning of the ID":      {health.IncidentFilter{ID: b.ID[:6]}, []health.Incident{b}},
		"a wildcard is no beginning":      {health.IncidentFilter{ID: "%"}, nil},
		"by target":                       {health.IncidentFilter{Target: "web_1"}, []health.Incident{b}},
		"by an event":                     {health.IncidentFilter{Event: "e-db-1"}, []health.Incident{a}},
		"by a fault":                      {health.IncidentFilter{Event: "f-web_1"}, []health.Incident{b}},
		"by rack":                         {health.IncidentFilter{Rack: "A2"}, []health.Incident{b}},
		"changed since":                   {health.IncidentFilter{Since: at.Add(time.Hour)}, []health.Incident{b}},
		"opened before":                   {health.IncidentFilter{Until: at.Add(time.Hour)}, []health.Incident{a}},
		"an event that belongs to none":   {health.IncidentFilter{Event: "e-none"}, nil},
		"open ones of a target of closed": {health.IncidentFilter{Target: "web_1", Open: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := db.Incidents(ctx, c.choose)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if n, err := db.IncidentCursor(ctx); err != nil || n != 7 {
		t.Errorf("cursor %d, %v", n, err)
	}
}

func TestEventsAreNumberedInOrderOfCommit(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(ctx, t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	for i, id := range []string{"one", "two", "three"} {
		v := &health.Visit{
			Target: "db-1", Started: at.Add(-time.Duration(i) * time.Minute), Result: health.Done, Snapshot: &health.Snapshot{},
			Due:    map[health.Tier]time.Time{health.TierReadings: at.Add(-time.Duration(i) * time.Minute)},
			Events: []health.Event{{ID: id, Target: "db-1", Kind: health.KindFailed, At: at}},
		}
		if err := db.Record(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	ids := func(es []health.NumberedEvent, err error) (out []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range es {
			if i > 0 && e.N != es[i-1].N+1 {
				t.Errorf("%s has number %d after %d", e.ID, e.N, es[i-1].N)
			}
			out = append(out, e.ID)
		}
		return out
	}
	if got := ids(db.EventsFrom(ctx, 1, 10)); !slices.Equal(got, []string{"two", "three"}) {
		t.Error(got)
	}
	if got := ids(db.EventsFrom(ctx, 0, 1)); !slices.Equal(got, []string{"one"}) {
		t.Error(got)
	}
	if got := ids(db.EventsUpTo(ctx, 2, 1)); !slices.Equal(got, []string{"two"}) {
		t.Error(got)
	}
	if err := db.SaveIncidents(ctx, 3, nil, []health.IncidentMember{{Event: "two", Incident: "none"}}); err == nil {
		t.Error("evidence of an incident that is not there was kept")
	}
	incident := health.Incident{ID: "i", State: health.IncidentOpen, Opened: at, Changed: at}
	if err := db.SaveIncidents(ctx, 3, []health.Incident{incident}, []health.IncidentMember{{Event: "two", Incident: "i"}, {Event: "three", Incident: "i"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := db.IncidentMembers(ctx, 2); err != nil || len(got) != 1 || got["three"] != "i" {
		t.Errorf("%v, %v", got, err)
	}
}

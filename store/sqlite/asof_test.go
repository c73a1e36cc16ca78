package sqlite

import (
	"strings"
	"testing"
	"time"

	"dewline/health"
)

func TestPartsAreAsTheyWere(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	visit := func(at time.Time, serial, firmware string) {
		t.Helper()
		identity := health.Identity{Model: "X", BMCFirmware: firmware}
		v := &health.Visit{
			Target: "t1", Due: map[health.Tier]time.Time{health.TierInventory: at}, Started: at, Result: health.Done,
			Snapshot: &health.Snapshot{Target: "t1", At: at}, Delta: health.Delta{Identity: &identity, Components: []health.KnownComponent{
				{Component: health.Component{ID: "psu/1", Class: health.ClassPSU, Serial: serial, Presence: health.Present, State: health.OK}, Since: at},
			}},
		}
		v.ID = health.VisitID(v)
		record(t, db, v)
	}
	visit(start, "A", "1.0")
	visit(start.Add(24*time.Hour), "A", "1.1")
	visit(start.Add(48*time.Hour), "B", "1.1")
	for _, c := range []struct {
		after            time.Duration
		serial, firmware string
		ok               bool
	}{
		{-2 * time.Hour, "", "", false}, {time.Minute, "A", "1.0", true}, {25 * time.Hour, "A", "1.1", true}, {47 * time.Hour, "A", "1.1", true}, {72 * time.Hour, "B", "1.1", true},
	} {
		parts, identity, ok, err := db.PartsAt(t.Context(), "t1", start.Add(c.after))
		must(t, err)
		serial := ""
		if len(parts) == 1 {
			serial = parts[0].Serial
		}
		if ok != c.ok || serial != c.serial || identity.BMCFirmware != c.firmware {
			t.Errorf("after %s: %+v %+v %v", c.after, parts, identity, ok)
		}
	}
	if _, _, ok, err := db.PartsAt(t.Context(), "nobody", start); err != nil || ok {
		t.Errorf("of a target that there is not: %v, %v", ok, err)
	}
}

// TestPartsAreFoundWithoutLookingThroughVisits: there may be a hundred million of them.
func TestPartsAreFoundWithoutLookingThroughVisits(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	rows, err := db.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+lastTold, 1, 2, 3)
	must(t, err)
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		must(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	must(t, rows.Err())
	scans := 0
	for _, s := range steps {
		if strings.HasPrefix(s, "SCAN visits") { // of its first row
			scans++
		}
		if strings.Contains(s, "component_history") && !strings.Contains(s, "SEARCH") || strings.HasPrefix(s, "SCAN v ") {
			t.Errorf("it looks at too much: %s", s)
		}
	}
	if scans > 1 || len(steps) < 4 {
		t.Errorf("the plan is\n%s", strings.Join(steps, "\n"))
	}
}

package sqlite

import (
	"testing"
	"time"

	"dewline/health"
)

// What is known of parts outlives the visits that told it: what was last told holds from then on, and of a time before it nobody knows any more.
func TestPartsOfAServerWhoseVisitsAreGone(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{Retention: Retention{Raw: time.Hour}})
	for i, serial := range []string{"A", "A", "B"} {
		at := start.Add(time.Duration(i) * 24 * time.Hour)
		identity := health.Identity{Model: "X", BMCFirmware: "1." + serial}
		v := &health.Visit{
			Target: "t1", Due: map[health.Tier]time.Time{health.TierInventory: at}, Started: at, Result: health.Done,
			Snapshot: &health.Snapshot{Target: "t1", At: at}, Delta: health.Delta{Identity: &identity, Components: []health.KnownComponent{
				{Component: health.Component{ID: "psu/1", Class: health.ClassPSU, Serial: serial, Presence: health.Present, State: health.OK}, Since: at},
			}},
		}
		v.ID = health.VisitID(v)
		record(t, db, v)
	}
	must(t, db.retain(t.Context(), start.Add(1000*time.Hour)))
	if n := count(t, db, "SELECT count(*) FROM visits"); n != 0 {
		t.Fatalf("%d visits are left", n)
	}
	for _, after := range []time.Duration{49 * time.Hour, 500 * time.Hour} {
		parts, identity, ok, err := db.PartsAt(t.Context(), "t1", start.Add(after))
		must(t, err)
		if !ok || len(parts) != 1 || parts[0].Serial != "B" || identity.BMCFirmware != "1.B" || !parts[0].Since.IsZero() || parts[0].State != health.Unknown {
			t.Errorf("%s after: %+v, %+v, %v", after, parts, identity, ok)
		}
	}
	for _, after := range []time.Duration{-time.Hour, time.Hour, 30 * time.Hour} {
		parts, identity, ok, err := db.PartsAt(t.Context(), "t1", start.Add(after))
		must(t, err)
		if ok || len(parts) > 0 || identity != (health.Identity{}) {
			t.Errorf("%s after, nobody knows: %+v, %+v", after, parts, identity)
		}
	}
}

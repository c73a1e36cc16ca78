package main

import (
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/influx"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// TestKilledProgram: the whole program, reading six simulated BMCs over both protocols, is killed at random moments and started
// again. What a reader saw committed before a kill is there after it; at the end each tick and each event is there once, and InfluxDB
// has the points of the visits, all of them and no others.
func TestKilledProgram(t *testing.T) {
	t.Parallel()
	kills, r, _ := storetest.Kills(t, storetest.KillDaemon)
	const perRoom = 20 // bounds what one store and one server hold
	for done := 0; done < kills && !t.Failed(); done += perRoom {
		killInARoom(t, r, min(perRoom, kills-done))
	}
}

func killInARoom(t *testing.T, r *rand.Rand, kills int) {
	t.Helper()
	server := newLake(t)
	demo, config, dataDir, env := room(t, fmt.Sprintf("[influxdb]\nurl = %q\nbucket = \"hw/autogen\"\n", server.URL))
	seen := map[int64]string{} // by Seq, the IDs of all visits that were ever seen committed
	for k := range kills {
		d := startDaemon(t, config, env...)
		first := int64(len(seen))
		if k%4 != 3 { // else it is killed while it opens its store and logs in
			eventually(t, "it records", func() bool { return storeExists(t, dataDir) && lastSeq(t, dataDir) > first })
		}
		for _, s := range demo.Servers { // something to tell, in the log and in the readings
			if k%2 == 0 {
				s.Machine.FailFan(0)
			} else {
				s.Machine.RepairFan(0)
			}
		}
		after := time.Duration(r.IntN(1200)) * time.Millisecond
		time.Sleep(after) // no condition: the moment is what is tested
		if storeExists(t, dataDir) {
			look(t, dataDir, seen)
		}
		d.kill()
		if storeExists(t, dataDir) {
			look(t, dataDir, seen)
		}
	}
	before := int64(len(seen))
	d := startDaemon(t, config, env...)
	eventually(t, "it records after the last kill", func() bool { return lastSeq(t, dataDir) > before+12 })
	d.stop()

	db, err := sqlite.Open(t.Context(), dataDir, sqlite.Options{Sinks: []string{influx.DefaultName}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	deliverRest(t, db, server.URL)
	look(t, dataDir, seen)
	visits := storetest.All(t, db)
	events := map[string]bool{}
	want := map[string]bool{}
	for _, v := range visits {
		for _, e := range v.Events {
			if events[e.ID] {
				t.Errorf("event %s (%s %s of %s) is there twice", e.ID, e.Component, e.Kind, v.Target)
			}
			events[e.ID] = true
		}
		for _, line := range influx.Encode(v, *v.Where) {
			want[line] = true
		}
	}
	accountedOnce(t, visits, map[health.Tier]time.Duration{health.TierReadings: time.Second, health.TierEvents: time.Second, health.TierHealth: 2 * time.Second})
	server.mu.Lock()
	defer server.mu.Unlock()
	for line := range want {
		if server.points[line] == 0 {
			t.Errorf("InfluxDB has not: %s", line)
		}
	}
	for line := range maps.Keys(server.points) {
		if !want[line] && !strings.HasPrefix(line, "hw_chain ") { // the anchor is of the store as it was then, not of a visit
			t.Errorf("InfluxDB has what the store has not: %s", line)
		}
	}
	integrityOf(t, filepath.Join(dataDir, "dewline.db"))
	t.Logf("%d kills: %d visits, %d events, %d points", kills, len(visits), len(events), len(want))
	if len(visits) < kills || len(events) < len(demo.Servers) {
		t.Errorf("%d visits and %d events prove little", len(visits), len(events))
	}
}

// storeExists tells whether there is a store with its tables: one that is just being made has none yet.
func storeExists(t *testing.T, dataDir string) bool {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), dataDir)
	if err != nil {
		return false
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	return true
}

// look holds the committed visits against those seen before, and adds the new ones.
func look(t *testing.T, dataDir string, seen map[int64]string) {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), dataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	visits := storetest.All(t, db)
	now, ids := map[int64]string{}, map[string]int64{}
	for _, v := range visits {
		if at, ok := ids[v.ID]; ok {
			t.Errorf("visit %s of %s is there twice: %d and %d", v.ID, v.Target, at, v.Seq)
		}
		ids[v.ID], now[v.Seq] = v.Seq, v.ID
	}
	for _, seq := range slices.Sorted(maps.Keys(seen)) {
		if now[seq] != seen[seq] {
			t.Errorf("visit %d was %s and is %q now", seq, seen[seq], now[seq])
		}
	}
	maps.Copy(seen, now)
}

// accountedOnce: from a target's first tick of a tier to its last, each tick was answered by one visit or stands in one range.
func accountedOnce(t *testing.T, visits []*health.Visit, every map[health.Tier]time.Duration) {
	t.Helper()
	type line struct {
		target health.TargetID
		tier   health.Tier
	}
	ticks := map[line]map[int64]int{}
	add := func(l line, due time.Time, n int) {
		if ticks[l] == nil {
			ticks[l] = map[int64]int{}
		}
		for i := range n {
			ticks[l][due.Add(time.Duration(i)*every[l.tier]).UnixNano()]++
		}
	}
	for _, v := range visits {
		for tier, due := range v.Due {
			add(line{v.Target, tier}, due, 1)
		}
		for _, s := range v.Skipped {
			add(line{v.Target, s.Tier}, s.First, s.Count)
		}
	}
	checked := 0
	for l, got := range ticks {
		period := every[l.tier].Nanoseconds()
		if period == 0 {
			continue
		}
		due := slices.Sorted(maps.Keys(got))
		for i, at := range due {
			checked++
			if got[at] != 1 {
				t.Errorf("%s, %s: the tick of %s is accounted for %d times", l.target, l.tier, time.Unix(0, at).UTC(), got[at])
			}
			// The first visit of a new target does not wait for its phase.
			if gap := at - due[max(0, i-1)]; gap > period || i > 1 && gap != period {
				t.Errorf("%s, %s: nothing tells of the ticks between %s and %s", l.target, l.tier, time.Unix(0, due[i-1]).UTC(), time.Unix(0, at).UTC())
			}
		}
	}
	if checked == 0 {
		t.Error("no ticks")
	}
}

func integrityOf(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var word string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&word); err != nil || word != "ok" {
		t.Errorf("integrity check: %s, %v", word, err)
	}
}

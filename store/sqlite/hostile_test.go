package sqlite

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// A BMC that writes a reading into a part's name, or changes its thresholds and serial numbers at each visit.
func TestWhatNeverStaysTheSameIsBounded(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	m := storetest.NewMachine("t", 2, 1)
	const visits = maxVersions + 16
	var all []*health.Visit
	for i := range visits {
		v := m.Visit(start.Add(time.Duration(i) * time.Minute))
		c := &v.Snapshot.Components[0]
		c.Name = fmt.Sprintf("Fan 1 (%d rpm)", 6000+i)
		v.Snapshot.Readings[0].Thresholds = &health.Thresholds{UpperCritical: new(float64(i))}
		known := *c
		known.Serial = fmt.Sprint("S", i)
		v.Delta.Components = []health.KnownComponent{{Component: known, Since: start}}
		v.Delta.Identity = &health.Identity{Serial: fmt.Sprint(i)}
		all = append(all, v)
	}
	for _, v := range all {
		record(t, db, v)
	}
	for query, most := range map[string]int64{
		"SELECT count(*) FROM parts":             maxVersions + 2,
		"SELECT count(*) FROM component_history": maxVersions,
		"SELECT count(*) FROM identity_history":  maxVersions,
		"SELECT count(*) FROM thresholds":        maxVersions,
	} {
		if n := count(t, db, query); n < maxVersions || n > most {
			t.Errorf("%s: %d, want %d to %d", query, n, maxVersions, most)
		}
	}
	vs := storetest.All(t, db)
	for i, v := range vs {
		want := storetest.Kept(all[i])
		if i >= maxVersions { // a name that was read, if not this one's
			want.Snapshot.Components[0].Name = v.Snapshot.Components[0].Name
		}
		if d := storetest.Diff(want, v); d != "" || v.Snapshot.Components[0].Name == "" {
			t.Fatalf("visit %d: %s", i, d)
		}
	}
	// What is known now is the newest all the same.
	k, err := db.Recall(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	c := k.Components[all[0].Snapshot.Components[0].ID]
	if want := fmt.Sprint("S", visits-1); c.Serial != want || k.Identity.Serial != fmt.Sprint(visits-1) {
		t.Errorf("known: %+v", c)
	}
	cs, err := db.Components(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if th := cs[0].Series[0].Thresholds; th == nil || *th.UpperCritical != visits-1 {
		t.Errorf("thresholds in force: %+v", th)
	}
}

func TestARefusedVisitIsToldFromAStoreThatFails(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	v := storetest.NewMachine("t", 2, 1).Visit(start)
	v.Snapshot.Components[0].State = 9
	if err := db.Record(t.Context(), v); !errors.Is(err, health.ErrRefused) {
		t.Errorf("a visit that cannot be: %v", err)
	}
	onWriter(t, db, trap)
	v = storetest.NewMachine("t", 2, 1).Visit(start)
	v.Snapshot.Log = []health.LogEntry{{Source: "sel", ID: "2", Observed: start, Message: "poison"}}
	if err := db.Record(t.Context(), v); !errors.Is(err, health.ErrRefused) {
		t.Errorf("a visit that the database refuses: %v", err)
	}
	onWriter(t, db, "PRAGMA query_only = 1")
	v = storetest.NewMachine("t", 2, 1).Visit(start)
	if err := db.Record(t.Context(), v); err == nil || errors.Is(err, health.ErrRefused) {
		t.Errorf("a store that cannot be written: %v", err)
	}
}

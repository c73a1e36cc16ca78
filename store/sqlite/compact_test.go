package sqlite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

var start = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func record(t testing.TB, db *DB, vs ...*health.Visit) {
	t.Helper()
	errs := make(chan error, len(vs))
	for _, v := range vs {
		go func() { errs <- db.Record(t.Context(), v) }()
	}
	for range vs {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

func count(t testing.TB, db *DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.read.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func integrity(t testing.TB, db *DB) {
	t.Helper()
	for _, q := range []string{"PRAGMA integrity_check", "SELECT count(*) = 0 OR 'rows break a foreign key' FROM pragma_foreign_key_check"} {
		var s string
		if err := db.read.QueryRowContext(t.Context(), q).Scan(&s); err != nil || s != "ok" && s != "1" {
			t.Errorf("%s: %s, %v", q, s, err)
		}
	}
}

// randomVisits fills a store with visits of several targets over some hours.
func randomVisits(t testing.TB, db *DB, seed uint64, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	vs := make([]*health.Visit, n)
	for i := range vs {
		target := health.TargetID(fmt.Sprintf("t%d", r.IntN(3)))
		vs[i] = storetest.Random(r, target, start.Add(time.Duration(i)*time.Minute).Add(time.Duration(r.Int64N(1e9))))
	}
	for some := range slices.Chunk(vs, 25) {
		record(t, db, some...)
	}
}

func TestCompactionChangesNothing(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			db := openIn(t, t.TempDir(), Options{})
			randomVisits(t, db, seed, 200) // 3 h 20 min
			all := func() []*health.Visit {
				vs, err := db.After(t.Context(), 0, 1000)
				if err != nil {
					t.Fatal(err)
				}
				return vs
			}
			series := func() (out [][]Sample) {
				for i := range 40 {
					s, err := db.Series(t.Context(), "t1", health.ComponentID(fmt.Sprintf("fan/%d", i)), health.Speed, time.Time{}, time.Time{})
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, s)
				}
				return out
			}
			before, seriesBefore := all(), series()
			if err := db.CompactBefore(t.Context(), start.Add(2*time.Hour)); err != nil {
				t.Fatal(err)
			}
			if fresh, blocks := count(t, db, "SELECT count(*) FROM fresh"), count(t, db, "SELECT count(*) FROM blocks"); fresh != count(t, db,
				"SELECT count(*) FROM visits WHERE hour >= ?", hourOf(start.Add(2*time.Hour).UnixNano())) || blocks < 6 {
				t.Errorf("%d visits are left as rows beside %d blocks", fresh, blocks)
			}
			if d := storetest.Diff(before, all()); d != "" {
				t.Error("After differs: " + d)
			}
			if d := storetest.Diff(seriesBefore, series()); d != "" {
				t.Error("Series differs: " + d)
			}
			integrity(t, db)
		})
	}
}

func TestLateVisitsOfACompactedHour(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	m := storetest.NewMachine("t", 6, 1)
	var vs []*health.Visit
	for i := range 60 {
		vs = append(vs, m.Visit(start.Add(time.Duration(i)*time.Minute)))
	}
	compact := func() {
		t.Helper()
		if err := db.CompactBefore(t.Context(), start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM fresh"); n != 0 {
			t.Errorf("%d visits are left as rows", n)
		}
		if n := count(t, db, "SELECT count(*) FROM blocks"); n != 1 {
			t.Errorf("%d blocks", n)
		}
	}
	record(t, db, vs[:40]...)
	compact()
	record(t, db, vs[40:]...) // late
	again := storetest.Clone(vs[3])
	again.Seq = 0
	record(t, db, again) // known from the block alone
	if again.Seq != vs[3].Seq {
		t.Errorf("a visit of a compacted hour recorded twice: Seq %d, then %d", vs[3].Seq, again.Seq)
	}
	compact()
	compact()
	got, err := db.After(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(vs) {
		t.Fatalf("%d visits", len(got))
	}
	for _, v := range vs {
		if d := storetest.Diff(storetest.Kept(v), got[v.Seq-1]); d != "" {
			t.Error(d)
		}
	}
	s, err := db.Series(t.Context(), "t", "fan/1", health.Speed, start.Add(10*time.Minute), start.Add(20*time.Minute))
	if err != nil || len(s) != 10 {
		t.Fatalf("%d samples, %v", len(s), err)
	}
	for i, x := range s {
		if v := vs[10+i]; !x.At.Equal(v.Started) || x.Value != v.Snapshot.Readings[1].Value || x.Unit != health.RPM || x.Seq != v.Seq {
			t.Errorf("sample %d is %+v, read was %v at %v", i, x, v.Snapshot.Readings[1].Value, v.Started)
		}
	}
}

func TestCompactionWaitsForEverySink(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{Sinks: []string{"a", "b"}})
	m := storetest.NewMachine("t", 2, 1)
	for i := range 5 {
		record(t, db, m.Visit(start.Add(time.Duration(i)*time.Minute)))
	}
	for _, step := range []struct {
		sink       string
		seq, fresh int64
	}{{"a", 5, 5}, {"b", 4, 5}, {"b", 5, 0}} {
		if err := db.SetSinkCursor(t.Context(), step.sink, step.seq); err != nil {
			t.Fatal(err)
		}
		if err := db.CompactBefore(t.Context(), start.Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM fresh"); n != step.fresh {
			t.Errorf("sink %s at %d: %d visits are left as rows, want %d", step.sink, step.seq, n, step.fresh)
		}
	}
}

func TestAnHourTooLargeForOneBlockMakesMore(t *testing.T) {
	of := func(n, parts int) []*frame {
		frames := make([]*frame, n)
		s := &shape{parts: make([]uint32, parts)}
		for i := range s.parts {
			s.parts[i] = uint32(i)
		}
		for i := range frames {
			frames[i] = &frame{seq: int64(i), shape: s, states: make([]byte, parts)}
		}
		return frames
	}
	for name, c := range map[string]struct {
		frames []*frame
		want   []int
	}{
		"as many visits as fit, and one": {of(maxVisits+1, 1), []int{maxVisits, 1}},
		"as many cells as fit, and more": {of(9, maxCells/8), []int{8, 1}},
	} {
		var got []int
		for _, b := range split(c.frames) {
			got = append(got, len(b))
			if frames, err := decodeColumns(encodeColumns(b)); err != nil || len(frames) != len(b) {
				t.Errorf("%s: a block of %d visits comes back with %d, %v", name, len(b), len(frames), err)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: blocks of %v visits, want %v", name, got, c.want)
		}
	}
}

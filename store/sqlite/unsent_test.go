package sqlite

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/health"
)

// follow takes what a sink takes: what comes after its cursor, past what cannot be read; and gives their seqs.
func follow(t *testing.T, db *DB, sink string) (took []int64) {
	t.Helper()
	cursor, err := db.SinkCursor(t.Context(), sink)
	must(t, err)
	for {
		visits, err := db.After(t.Context(), cursor, 5)
		if errors.Is(err, ErrCorrupt) {
			to, err := db.PassUnread(t.Context(), sink, cursor)
			if must(t, err); to == cursor {
				t.Fatalf("it stands at %d", cursor)
			}
			cursor = to
			continue
		}
		if must(t, err); len(visits) == 0 {
			return took
		}
		for _, v := range visits {
			took, cursor = append(took, v.Seq), v.Seq
		}
		must(t, db.SetSinkCursor(t.Context(), sink, cursor))
	}
}

// takeReturned takes what can be read again, some at a time.
func takeReturned(t *testing.T, db *DB, sink string) (took []int64) {
	t.Helper()
	for {
		visits, err := db.Returned(t.Context(), sink, 3)
		if must(t, err); len(visits) == 0 {
			return took
		}
		for _, v := range visits {
			took = append(took, v.Seq)
		}
		must(t, db.SettleReturned(t.Context(), sink, visits[0].Seq, visits[len(visits)-1].Seq))
	}
}

func unsentOf(t *testing.T, db *DB, sink string) Sink {
	t.Helper()
	sinks, err := db.Sinks(t.Context())
	must(t, err)
	return sinks[slices.IndexFunc(sinks, func(s Sink) bool { return s.Name == sink })]
}

// Two of three days are lost: a sink goes on with the third, gets the second when its file is back, and the first counts as given up when it is
// dropped.
func TestASinkGoesPastLostFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log lockedLog
	db := openIn(t, dir, Options{Sinks: []string{"s"}, Retention: Retention{Raw: 24 * time.Hour, MaxLag: map[string]time.Duration{"s": time.Hour}},
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	seqs := map[int][]int64{} // by day
	var visits []*health.Visit
	visits = append(visits, threeDays(midnight)...)
	slices.SortStableFunc(visits, func(a, b *health.Visit) int { return a.At().Compare(b.At()) })
	for _, v := range visits {
		record(t, db, v) // one after the other: together they would come in any order
		day := int(v.At().Sub(midnight) / (24 * time.Hour))
		seqs[day] = append(seqs[day], v.Seq)
	}
	moveAll(t, db)
	paths := make([]string, 0, 3)
	for name := range filesOf(t, dir) {
		paths = append(paths, filepath.Join(dir, periodsName, name))
	}
	slices.Sort(paths)
	away := t.TempDir()
	for _, p := range paths[:2] {
		must(t, os.Rename(p, filepath.Join(away, filepath.Base(p))))
	}
	if got := follow(t, db, "s"); !slices.Equal(got, seqs[2]) {
		t.Errorf("it took %v, not %v", got, seqs[2])
	}
	if s := unsentOf(t, db, "s"); s.Unsent != 24 || s.GivenUp != 0 || s.Cursor != 36 {
		t.Errorf("%+v", s)
	}
	if strings.Count(log.String(), "visits cannot be read") != 1 || !strings.Contains(log.String(), filepath.Base(paths[0])) { // they are one run
		t.Errorf("it said %s", &log)
	}
	if got := takeReturned(t, db, "s"); len(got) != 0 {
		t.Errorf("%v are taken from lost files", got)
	}
	// The second of the two comes back; the store is opened anew between two of its visits.
	must(t, os.Rename(filepath.Join(away, filepath.Base(paths[1])), paths[1]))
	first, err := db.Returned(t.Context(), "s", 5)
	must(t, err)
	if len(first) != 5 || first[0].Seq != seqs[1][0] {
		t.Fatalf("%d visits came back, %v", len(first), first)
	}
	must(t, db.SettleReturned(t.Context(), "s", first[0].Seq, first[2].Seq))
	o := db.o
	must(t, db.Close())
	db = openIn(t, dir, o)
	if got := takeReturned(t, db, "s"); !slices.Equal(got, seqs[1][3:]) {
		t.Errorf("it took %v, not %v", got, seqs[1][3:])
	}
	if s := unsentOf(t, db, "s"); s.Unsent != 12 || s.GivenUp != 0 {
		t.Errorf("%+v", s)
	}
	// What comes after that is taken as ever.
	late := threeDays(midnight.Add(72 * time.Hour))[0]
	record(t, db, late)
	if got := follow(t, db, "s"); !slices.Equal(got, []int64{37}) {
		t.Errorf("it took %v", got)
	}
	must(t, db.retain(t.Context(), midnight.Add(73*time.Hour)))
	if s := unsentOf(t, db, "s"); s.Unsent != 0 || s.GivenUp != 12 {
		t.Errorf("after the first day was dropped: %+v", s)
	}
	if n := count(t, db, "SELECT count(*) FROM unsent"); n != 0 {
		t.Errorf("%d are kept in mind that are not there", n)
	}
}

// One block is damaged among others: only its visits are left out, and what stands before it in one batch is given.
func TestASinkGoesPastOneDamagedBlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storeOfThreeDays(t, dir, Options{})
	moveAll(t, db)
	var name string
	var place, seq int64
	must(t, db.read.QueryRowContext(t.Context(), "SELECT p.name, b.place, b.first_seq FROM blocks b JOIN periods p ON p.id = b.period ORDER BY b.first_seq LIMIT 1 OFFSET 8").Scan(&name, &place, &seq))
	path := filepath.Join(dir, periodsName, name)
	whole, err := os.ReadFile(path)
	must(t, err)
	bad := slices.Clone(whole)
	bad[place+blockHeader+2] ^= 1
	must(t, os.WriteFile(path, bad, 0o600))
	got := follow(t, db, "s")
	if len(got) != 35 || slices.Contains(got, seq) || !slices.IsSorted(got) {
		t.Errorf("it took %v, with %d damaged", got, seq)
	}
	if got := takeReturned(t, db, "s"); len(got) != 0 {
		t.Errorf("%v are taken", got)
	}
	must(t, os.Remove(path))
	if got := takeReturned(t, db, "s"); len(got) != 0 {
		t.Errorf("%v are taken", got)
	}
	must(t, os.WriteFile(path, whole, 0o600))
	if got := takeReturned(t, db, "s"); !slices.Equal(got, []int64{seq}) || unsentOf(t, db, "s").Unsent != 0 {
		t.Errorf("%v are taken, not %d", got, seq)
	}
}

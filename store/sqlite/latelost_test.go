package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// walked is the seqs of what WalkVisits gives beside what cannot be read, and how many hours that is.
func walked(t *testing.T, db *DB) (seqs []int64, unread int) {
	t.Helper()
	r := Range{Unread: func(id health.TargetID, at time.Time, err error) {
		if unread++; !errors.Is(err, ErrCorrupt) || at.Before(midnight) || !at.Before(midnight.Add(24*time.Hour)) || id != "a" && id != "b" {
			t.Errorf("%s, %v: %v", id, at, err)
		}
	}}
	must(t, db.WalkVisits(t.Context(), r, nil, func(v *health.Visit) error { seqs = append(seqs, v.Seq); return nil }))
	return seqs, unread
}

// Visits that come late for an hour whose file is lost are kept and read, and claim nothing of those that are lost. When the file is back they are
// merged, each once; when it does not come back they are in the rollup of the hour.
func TestLateVisitsOfALostHour(t *testing.T) {
	t.Parallel()
	for _, back := range []bool{true, false} {
		t.Run(map[bool]string{true: "the file comes back", false: "it does not"}[back], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db := storeOfThreeDays(t, dir, Options{Sinks: []string{"s"}, Retention: Retention{Raw: time.Hour, MaxLag: map[string]time.Duration{"s": time.Hour}}})
			moveAll(t, db)
			all, _ := walked(t, db)
			var first *health.Visit
			must(t, db.WalkVisits(t.Context(), Range{}, nil, func(v *health.Visit) error {
				if first == nil && v.Target == "a" {
					first = v
				}
				return nil
			}))
			before, err := db.Rollups(t.Context(), "a", "fan/1", health.Speed, midnight, midnight.Add(time.Hour))
			must(t, err)
			var name string
			must(t, db.read.QueryRowContext(t.Context(), "SELECT name FROM periods ORDER BY day LIMIT 1").Scan(&name))
			path, away := filepath.Join(dir, periodsName, name), filepath.Join(t.TempDir(), "away")
			must(t, os.Rename(path, away))

			late := storetest.NewMachine("a", 3, 5).Visit(midnight.Add(30 * time.Minute))
			again := storetest.Clone(first) // stands in the lost file
			again.Seq = 0
			record(t, db, late)
			record(t, db, again)
			if late.Seq != 37 || again.Seq != 38 {
				t.Errorf("they are recorded as %d and %d", late.Seq, again.Seq)
			}
			if err := db.CompactBefore(t.Context(), at(1000)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("compact: %v", err)
			}
			if visits, err := db.After(t.Context(), 36, 5); err != nil || len(visits) != 2 || storetest.Diff(storetest.Kept(late), visits[0]) != "" {
				t.Errorf("a follower gets %d, %v", len(visits), err)
			}
			if got, unread := walked(t, db); len(got) != 26 || !slices.Contains(got, 37) || unread != 12 {
				t.Errorf("walked %v, %d hours unread", got, unread)
			}
			if err := db.WalkVisits(t.Context(), Range{}, nil, func(*health.Visit) error { return nil }); !errors.Is(err, ErrCorrupt) {
				t.Errorf("who does not ask what is unread: %v", err)
			}
			if err := db.Hours(t.Context(), "a", midnight, midnight.Add(time.Hour), func(*health.HourFacts) error { return nil }); !errors.Is(err, ErrCorrupt) {
				t.Errorf("the hour counts as read: %v", err)
			}
			n := func(rs []health.Rollup) (n uint32) {
				for _, r := range rs {
					n += r.N
				}
				return n
			}
			if rs, err := db.Rollups(t.Context(), "a", "fan/1", health.Speed, midnight, midnight.Add(time.Hour)); err != nil || n(rs) != n(before)+2 {
				t.Errorf("%d in rollups, %v", n(rs), err)
			}
			if back {
				must(t, os.Rename(away, path))
				must(t, db.CompactBefore(t.Context(), at(1000)))
				if got, unread := walked(t, db); len(got) != len(all)+1 || !slices.Contains(got, 37) || slices.Contains(got, 38) || unread != 0 {
					t.Errorf("with its file again: walked %v, %d hours unread", got, unread)
				}
				if rs, err := db.Rollups(t.Context(), "a", "fan/1", health.Speed, midnight, midnight.Add(time.Hour)); err != nil || n(rs) != n(before)+1 {
					t.Errorf("with its file again: %d in rollups, %v", n(rs), err)
				}
				if _, err := db.After(t.Context(), 0, 100); err != nil {
					t.Error(err)
				}
			} else {
				must(t, db.retain(t.Context(), midnight.Add(26*time.Hour)))
				if rs, err := db.Rollups(t.Context(), "a", "fan/1", health.Speed, midnight, midnight.Add(time.Hour)); err != nil || n(rs) != n(before)+2 {
					t.Errorf("after it was dropped: %d in rollups, %v", n(rs), err)
				}
				if n := count(t, db, "SELECT (SELECT count(*) FROM fresh) + (SELECT count(*) FROM visits WHERE seq IN (37, 38))"); n != 0 {
					t.Errorf("%d rows are left", n)
				}
			}
			integrity(t, db)
		})
	}
}

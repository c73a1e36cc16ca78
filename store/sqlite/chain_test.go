package sqlite

import (
	"database/sql"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"dewline/store/storetest"
)

func links(t *testing.T, db *DB, from int64) ([]Link, error) {
	t.Helper()
	var out []Link
	err := db.Chain(t.Context(), from, func(l Link) error {
		out = append(out, l)
		return nil
	})
	return out, err
}

func TestEventsAreChained(t *testing.T) {
	dir := t.TempDir()
	db := openIn(t, dir, Options{})
	if head, n, err := db.ChainHead(t.Context()); err != nil || head != "" || n != 0 {
		t.Fatalf("of no events: %q %d %v", head, n, err)
	}
	r := rand.New(rand.NewPCG(3, 3))
	add := func(db *DB, n int) {
		for i := range n {
			record(t, db, storetest.Random(r, "t1", start.Add(time.Duration(i)*time.Minute)))
		}
	}
	add(db, 60)
	all, err := links(t, db, 1)
	if err != nil || len(all) < 10 {
		t.Fatalf("%d links, %v", len(all), err)
	}
	head, n, err := db.ChainHead(t.Context())
	if err != nil || head != all[len(all)-1].Chain || n != all[len(all)-1].N {
		t.Fatalf("head %q of %d, %v", head, n, err)
	}
	if some, err := links(t, db, 5); err != nil || len(some) != len(all)-4 || some[0] != all[4] {
		t.Fatalf("from the fifth: %d links, %v", len(some), err)
	}
	// The next process goes on where this one ended.
	must(t, db.Close())
	db = openIn(t, dir, Options{})
	add(db, 40)
	longer, err := links(t, db, 1)
	if err != nil || len(longer) <= len(all) || longer[len(all)-1] != all[len(all)-1] {
		t.Fatalf("%d links, %v", len(longer), err)
	}
	must(t, db.Close())

	for name, change := range map[string]string{
		"a message changed":      "UPDATE events SET message = message || '.' WHERE n = 4",
		"a severity changed":     "UPDATE events SET severity = CASE severity WHEN 'ok' THEN 'critical' ELSE 'ok' END WHERE n = 4",
		"a time changed":         "UPDATE events SET at = coalesce(at, 0) + 1 WHERE n = 4",
		"an event taken out":     "DELETE FROM events WHERE n = 4",
		"a hash changed":         "UPDATE events SET content = zeroblob(32) WHERE n = 4",
		"two events exchanged":   "UPDATE events SET n = CASE n WHEN 4 THEN -5 WHEN 5 THEN -4 END WHERE n IN (4, 5); UPDATE events SET n = -n WHERE n < 0",
		"the chain written over": "UPDATE events SET chain = zeroblob(32) WHERE n = 4",
	} {
		t.Run(name, func(t *testing.T) {
			copied := t.TempDir()
			db := openIn(t, dir, Options{})
			path := filepath.Join(copied, "dewline.db")
			must(t, db.Backup(t.Context(), path))
			must(t, db.Close())
			raw, err := sql.Open("sqlite", path)
			must(t, err)
			_, err = raw.Exec(change)
			must(t, err)
			must(t, raw.Close())
			if _, err := links(t, openIn(t, copied, Options{}), 1); !errors.Is(err, ErrChain) {
				t.Errorf("the change was not found: %v", err)
			}
		})
	}
}

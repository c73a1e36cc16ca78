package sqlite

import (
	"testing"
	"time"

	"dewline/store/storetest"
)

// openIn opens a store that commits at once, closed with the test.
func openIn(t testing.TB, dir string, o Options) *DB {
	t.Helper()
	if o.CommitEvery == 0 {
		o.CommitEvery = time.Millisecond
	}
	db, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store { return openIn(t, t.TempDir(), Options{}) })
}

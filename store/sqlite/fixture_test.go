package sqlite

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// makeFixture set, TestFixturesOfEverySchema first writes one of the schema as it is now. To be done once, before a migration is
// added to a schema that was released: testdata/schema-N.db.gz is then what such a store looks like, and the .json what it holds.
const makeFixture = "DEWLINE_MAKE_FIXTURE"

// fixtureHolds is what a store must still hold after every migration.
type fixtureHolds struct {
	Visits   []*health.Visit
	Events   []health.Event
	Faults   []health.Fault
	Log      []LogEntry
	Statuses []Status
	Cursor   int64
	Series   []Sample
}

func holdsOf(t testing.TB, db *DB) fixtureHolds {
	t.Helper()
	var h fixtureHolds
	var errs [7]error
	h.Visits, errs[0] = db.After(t.Context(), 0, 1<<20)
	h.Events, errs[1] = db.Events(t.Context(), time.Time{}, time.Time{}, "")
	h.Faults, errs[2] = db.Faults(t.Context(), FaultFilter{})
	h.Log, errs[3] = db.LogEntries(t.Context(), time.Time{}, time.Time{}, "")
	h.Statuses, errs[4] = db.Statuses(t.Context())
	h.Cursor, errs[5] = db.SinkCursor(t.Context(), "influxdb")
	h.Series, errs[6] = db.Series(t.Context(), "quiet", "fan/1", health.Speed, time.Time{}, time.Time{})
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return h
}

func writeFixture(t *testing.T, to string) {
	t.Helper()
	dir := t.TempDir()
	db := openIn(t, dir, Options{Sinks: []string{"influxdb"}})
	quiet := storetest.NewMachine("quiet", 4, 1)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 12 {
		at := start.Add(time.Duration(i) * 15 * time.Minute)
		record(t, db, quiet.Visit(at))
		if i%2 == 0 {
			record(t, db, storetest.Random(r, "odd", at.Add(time.Second)))
		}
	}
	err := errors.Join(db.SetSinkCursor(t.Context(), "influxdb", 15), db.CompactBefore(t.Context(), start.Add(2*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(holdsOf(t, db))
	if err != nil {
		t.Fatal(err)
	}
	if count(t, db, "SELECT count(*) FROM blocks") == 0 || count(t, db, "SELECT count(*) FROM fresh") == 0 {
		t.Fatal("a fixture has both blocks and fresh visits")
	}
	if err := db.Close(); err != nil { // moves the WAL into the file
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.WriteFile(to+".db.gz", z.Bytes(), 0o644), os.WriteFile(to+".json", b, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// unpackFixture puts a store of the schema into dir.
func unpackFixture(t *testing.T, schema int, dir string) (holds []byte) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("testdata/schema-%d.db.gz", schema))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	holds, err = os.ReadFile(fmt.Sprintf("testdata/schema-%d.json", schema))
	if err != nil {
		t.Fatal(err)
	}
	return holds
}

func TestFixturesOfEverySchema(t *testing.T) {
	ms, err := readMigrations(embedded)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(makeFixture) != "" {
		writeFixture(t, fmt.Sprintf("testdata/schema-%d", len(ms)))
	}
	files, err := filepath.Glob("testdata/schema-*.db.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for schema := 1; schema <= len(files); schema++ {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) {
			dir := t.TempDir()
			want := unpackFixture(t, schema, dir)
			db := openIn(t, dir, Options{})
			check := func(when string) {
				t.Helper()
				got, err := json.Marshal(holdsOf(t, db))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s it holds something else:\n%.2000s\nwant\n%.2000s", when, got, want)
				}
				integrity(t, db)
			}
			check("once migrated")
			if schema < len(ms) {
				if _, err := os.Stat(fmt.Sprintf("%s.before-schema-%d", db.path, len(ms))); err != nil {
					t.Errorf("no copy was made before: %v", err)
				}
			}
			if err := db.CompactBefore(t.Context(), start.Add(24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			check("once compacted")
			moveAll(t, db)
			if inFiles(t, db) == 0 || inRows(t, db) != 0 {
				t.Errorf("%d blocks in files, %d in rows", inFiles(t, db), inRows(t, db))
			}
			check("once moved into files")
			record(t, db, storetest.NewMachine("quiet", 4, 9).Visit(start.Add(24*time.Hour)))
		})
	}
}

// Stores that programs between two releases left, at each schema on the way, hold the same after the rest of the way.
func TestMigrationInTwoSteps(t *testing.T) {
	ms, err := readMigrations(embedded)
	if err != nil {
		t.Fatal(err)
	}
	for half := 2; half < len(ms); half++ {
		t.Run(fmt.Sprint("by schema ", half), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			want := unpackFixture(t, 1, dir)
			raw, err := sql.Open("sqlite", dsn(filepath.Join(dir, FileName), "rw"))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := raw.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(ms[:half].apply(t.Context(), conn, filepath.Join(dir, FileName)), conn.Close(), raw.Close()); err != nil {
				t.Fatal(err)
			}
			db := openIn(t, dir, Options{})
			if got, err := json.Marshal(holdsOf(t, db)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("it holds something else: %v\n%.2000s\nwant\n%.2000s", err, got, want)
			}
			integrity(t, db)
		})
	}
}

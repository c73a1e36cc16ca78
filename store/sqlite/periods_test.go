package sqlite

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// farDay is after every day of a test.
const farDay = int64(100_000)

// moveAll compacts and moves everything.
func moveAll(t testing.TB, db *DB) {
	t.Helper()
	must(t, db.CompactBefore(context.Background(), time.Unix(0, farDay*hoursPerDay*hour)))
	_, err := db.moveDays(context.Background(), farDay, 1<<30)
	must(t, err)
}

// inFiles and inRows are how many blocks stand where.
func inFiles(t testing.TB, db *DB) int64 {
	return count(t, db, "SELECT count(*) FROM blocks WHERE period IS NOT NULL AND length(data) = 0")
}

func inRows(t testing.TB, db *DB) int64 {
	return count(t, db, "SELECT count(*) FROM blocks WHERE period IS NULL AND length(data) > 0")
}

// filesOf are the files in a folder of closed days, with their bytes.
func filesOf(t testing.TB, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	es, err := os.ReadDir(filepath.Join(folder, periodsName))
	must(t, err)
	for _, e := range es {
		b, err := os.ReadFile(filepath.Join(folder, periodsName, e.Name()))
		must(t, err)
		if i, err := e.Info(); err != nil || i.Mode() != 0o600 || !isPeriod.MatchString(e.Name()) {
			t.Errorf("%s: %v, %v", e.Name(), i.Mode(), err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

// threeDays is visits of three days of two machines, every four hours.
func threeDays(from time.Time) (vs []*health.Visit) {
	for _, name := range []health.TargetID{"a", "b"} {
		m := storetest.NewMachine(name, 3, 1)
		for i := range 18 {
			vs = append(vs, m.Visit(from.Add(time.Duration(i)*4*time.Hour)))
		}
	}
	return vs
}

var midnight = start.Truncate(24 * time.Hour)

func storeOfThreeDays(t testing.TB, dir string, o Options) *DB {
	t.Helper()
	db := openIn(t, dir, o)
	record(t, db, threeDays(midnight)...)
	must(t, db.CompactBefore(t.Context(), at(1000)))
	return db
}

// everything is what the store gives readers of visits.
type everything struct {
	Holds   fixtureHolds
	Walked  []*health.Visit
	Hours   []*health.HourFacts
	Rollups []health.Rollup
	Ticks   []TickHour
}

func everythingOf(t testing.TB, db *DB) (all everything) {
	t.Helper()
	all.Holds = holdsOf(t, db)
	must(t, db.WalkVisits(t.Context(), Range{}, nil, func(v *health.Visit) error { all.Walked = append(all.Walked, v); return nil }))
	for _, id := range []health.TargetID{"a", "b"} {
		must(t, db.Hours(t.Context(), id, time.Time{}, time.Time{}, func(h *health.HourFacts) error { all.Hours = append(all.Hours, h); return nil }))
		r, err := db.Rollups(t.Context(), id, "fan/1", health.Speed, time.Time{}, time.Time{})
		must(t, err)
		all.Rollups = append(all.Rollups, r...)
		k, err := db.Ticks(t.Context(), id, time.Time{}, time.Time{})
		must(t, err)
		all.Ticks = append(all.Ticks, k...)
		s, err := db.Series(t.Context(), id, "fan/1", health.Speed, time.Time{}, time.Time{})
		must(t, err)
		all.Holds.Series = append(all.Holds.Series, s...)
	}
	return all
}

// movingStore has its blocks in files whenever it is read.
type movingStore struct {
	*DB
	t     *testing.T
	moved *int64
}

func (s movingStore) After(ctx context.Context, seq int64, limit int) ([]*health.Visit, error) {
	moveAll(s.t, s.DB)
	*s.moved += inFiles(s.t, s.DB)
	return s.DB.After(ctx, seq, limit)
}

func TestStoreWithFiles(t *testing.T) {
	t.Parallel()
	var moved int64
	storetest.Run(t, func(t *testing.T) storetest.Store { return movingStore{openIn(t, t.TempDir(), Options{}), t, &moved} })
	if moved < 100 {
		t.Errorf("%d blocks were in files: the suite proves little", moved)
	}
}

func TestMovedVisitsReadTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storeOfThreeDays(t, dir, Options{})
	want := everythingOf(t, db)
	check := func(when string, db *DB) {
		t.Helper()
		if d := storetest.Diff(want, everythingOf(t, db)); d != "" {
			t.Errorf("%s: %s", when, d)
		}
	}
	day, _ := dayOf(hourOf(midnight.UnixNano()))
	more, err := db.moveDays(t.Context(), day+2, 1)
	if must(t, err); !more || inFiles(t, db) != 12 || inRows(t, db) != 24 {
		t.Errorf("after one day: more %v, %d in files, %d in rows", more, inFiles(t, db), inRows(t, db))
	}
	check("with a day in a file", db)
	more, err = db.moveDays(t.Context(), day+2, 9)
	if must(t, err); more || inFiles(t, db) != 24 || inRows(t, db) != 12 {
		t.Errorf("before the third day: more %v, %d in files, %d in rows", more, inFiles(t, db), inRows(t, db))
	}
	moveAll(t, db)
	files := filesOf(t, dir)
	if inFiles(t, db) != 36 || inRows(t, db) != 0 || len(files) != 3 {
		t.Errorf("%d in files, %d in rows, %d files", inFiles(t, db), inRows(t, db), len(files))
	}
	check("with all in files", db)
	integrity(t, db)
	moveAll(t, db) // again
	must(t, db.removePeriods(t.Context()))
	if !maps.Equal(files, filesOf(t, dir)) {
		t.Error("to move again changed a file")
	}
	size, err := db.Size(t.Context())
	must(t, err)
	st, err := os.Stat(db.path)
	if must(t, err); size < st.Size()+int64(len(strings.Join(listOfValues(files), ""))) {
		t.Errorf("size %d leaves the files out", size)
	}
	ro, err := OpenReadOnly(t.Context(), dir)
	must(t, err)
	check("opened to read", ro)
	must(t, errors.Join(ro.Close(), db.Close()))
	db = openIn(t, dir, Options{})
	check("opened anew", db)

	// A visit that comes late: its hour becomes a row again, and the files stay as they are.
	late := storetest.NewMachine("a", 3, 9).Visit(midnight.Add(5 * time.Minute))
	again := storetest.Clone(want.Walked[0])
	again.Seq = 0
	record(t, db, late, again)
	if again.Seq != want.Walked[0].Seq {
		t.Errorf("a visit that stands in a file is recorded again as %d", again.Seq)
	}
	must(t, db.CompactBefore(t.Context(), at(1000)))
	if inFiles(t, db) != 35 || inRows(t, db) != 1 || !maps.Equal(files, filesOf(t, dir)) {
		t.Errorf("after a late visit: %d in files, %d in rows", inFiles(t, db), inRows(t, db))
	}
	want = everythingOf(t, db)
	if len(want.Walked) != 37 {
		t.Fatalf("%d visits", len(want.Walked))
	}
	moveAll(t, db)
	check("with what came late in a file", db)
	after := filesOf(t, dir)
	for name, b := range files {
		if after[name] != b {
			t.Errorf("%s was changed", name)
		}
	}
	if len(after) != 4 || inRows(t, db) != 0 {
		t.Errorf("%d files, %d in rows", len(after), inRows(t, db))
	}
	// What is not compacted keeps its day from being moved, and so do files enough.
	for i := range 4 {
		record(t, db, storetest.NewMachine("a", 3, 10).Visit(midnight.Add(time.Duration(10+i)*time.Minute)))
		if _, err := db.moveDays(t.Context(), farDay, 9); err != nil || inRows(t, db) != 0 {
			t.Errorf("a day with late visits is moved: %v", err)
		}
		moveAll(t, db)
		must(t, db.removePeriods(t.Context()))
	}
	want = everythingOf(t, db)
	integrity(t, db)
	check("after all", db)
	if n := count(t, db, "SELECT max(n) FROM (SELECT count(*) AS n FROM periods GROUP BY day)"); n > maxPeriods {
		t.Errorf("a day has %d files", n)
	}
}

func listOfValues(m map[string]string) (out []string) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func TestADamagedFileIsSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storeOfThreeDays(t, dir, Options{})
	moveAll(t, db)
	var name string
	must(t, db.read.QueryRowContext(t.Context(), "SELECT name FROM periods ORDER BY day LIMIT 1").Scan(&name))
	path := filepath.Join(dir, periodsName, name)
	whole, err := os.ReadFile(path)
	must(t, err)
	first := readBlocks(t, path)[0]
	var target health.TargetID // whose block it is
	must(t, db.read.QueryRowContext(t.Context(), "SELECT name FROM targets WHERE id = ?", first.target).Scan(&target))
	first.hour++
	moved := append(append([]byte(periodMagic), first.header()...), whole[len(periodMagic)+blockHeader:]...)
	flip := func(i int) []byte {
		b := bytes.Clone(whole)
		b[i] ^= 4
		return b
	}
	for what, c := range map[string]struct {
		bytes []byte // nil: the file is missing
		want  string
		lost  bool // is noticed without reading it
	}{
		"a bit of a header":             {flip(len(periodMagic) + 9), "checksum", false},
		"a bit of a length":             {flip(len(periodMagic) + 40), "checksum", false},
		"a bit of a block":              {flip(len(periodMagic) + blockHeader + 3), "checksum", false},
		"cut short":                     {whole[:len(periodMagic)+blockHeader+10], "cut short", true},
		"empty":                         {[]byte{}, "cut short", true},
		"missing":                       {nil, "missing", true},
		"a whole block of another hour": {moved, "is of other visits", false},
	} {
		t.Run(what, func(t *testing.T) {
			if must(t, os.Remove(path)); c.bytes != nil {
				must(t, os.WriteFile(path, c.bytes, 0o600))
			}
			defer func() { must(t, os.WriteFile(path, whole, 0o600)) }()
			_, after := db.After(t.Context(), first.first-1, 100)
			_, series := db.Series(t.Context(), target, "fan/1", health.Speed, midnight, midnight.Add(24*time.Hour))
			for by, err := range map[string]error{
				"After": after, "Series": series,
				"Hours":      db.Hours(t.Context(), target, time.Time{}, time.Time{}, func(*health.HourFacts) error { return nil }),
				"WalkVisits": db.WalkVisits(t.Context(), Range{}, nil, func(*health.Visit) error { return nil }),
			} {
				if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v", by, err)
				}
			}
			if s, err := db.Series(t.Context(), "a", "fan/1", health.Speed, midnight.Add(24*time.Hour), time.Time{}); err != nil || len(s) != 12 {
				t.Errorf("the other days have %d samples, %v", len(s), err)
			}
			state, err := db.Retention(t.Context())
			if lost := len(state.LostFiles) == 1 && state.LostFiles[0] == name; err != nil || lost != c.lost {
				t.Errorf("lost files %v, %v", state.LostFiles, err)
			}
			// The rest goes on: a backup says what it lacks, and has all else.
			copied := filepath.Join(t.TempDir(), FileName)
			if err := db.Backup(t.Context(), copied); !errors.Is(err, ErrLacking) || !strings.Contains(err.Error(), path) {
				t.Errorf("Backup: %v", err)
			}
			back, err := OpenReadOnly(t.Context(), filepath.Dir(copied))
			must(t, err)
			defer back.Close()
			if s, err := back.Series(t.Context(), "a", "fan/1", health.Speed, midnight.Add(24*time.Hour), time.Time{}); err != nil || len(s) != 12 {
				t.Errorf("the other days of the backup have %d samples, %v", len(s), err)
			}
			if _, err := back.After(t.Context(), first.first-1, 100); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), name) {
				t.Errorf("After of the backup: %v", err)
			}
		})
	}
	if _, err := db.After(t.Context(), 0, 100); err != nil {
		t.Error(err)
	}
	must(t, os.Remove(path))
	record(t, db, storetest.NewMachine("a", 3, 5).Visit(at(900)))
	if inFiles(t, db) != 36 {
		t.Errorf("%d blocks in files", inFiles(t, db))
	}
	must(t, db.Close())
	var log lockedLog
	openIn(t, dir, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "are missing or cut short") || !strings.Contains(log.String(), name) {
		t.Errorf("it said %s", &log)
	}
}

func lastName(t testing.TB, db *DB) (name string) {
	t.Helper()
	must(t, db.read.QueryRowContext(t.Context(), "SELECT name FROM periods ORDER BY day DESC LIMIT 1").Scan(&name))
	return name
}

// Whatever a kill leaves between two steps, the next process goes on with.
func TestInterruptedMoves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storeOfThreeDays(t, dir, Options{})
	want := everythingOf(t, db)
	folder := filepath.Join(dir, periodsName)
	day, _ := dayOf(hourOf(midnight.UnixNano()))
	reopen := func() {
		t.Helper()
		must(t, db.Close())
		db = openIn(t, dir, Options{})
	}
	settled := func(when string, files, rows int) {
		t.Helper()
		if d := storetest.Diff(want, everythingOf(t, db)); d != "" {
			t.Errorf("%s: %s", when, d)
		}
		_, err := db.moveDays(t.Context(), day+1, 9)
		must(t, errors.Join(err, db.removePeriods(t.Context())))
		if n := len(filesOf(t, dir)); n != files || inRows(t, db) != int64(rows) {
			t.Errorf("%s: %d files, %d blocks in rows", when, n, inRows(t, db))
		}
		if n := count(t, db, "SELECT count(*) FROM periods"); n != int64(files) {
			t.Errorf("%s: %d files have a row", when, n)
		}
		if d := storetest.Diff(want, everythingOf(t, db)); d != "" {
			t.Errorf("%s, later: %s", when, d)
		}
		integrity(t, db)
	}
	// While it is written.
	must(t, os.WriteFile(filepath.Join(folder, ".period-1.part"), []byte(periodMagic), 0o600))
	reopen()
	settled("a half written file", 1, 24)
	// It has no name yet, but its row.
	name := lastName(t, db)
	onWriter(t, db, "INSERT INTO periods (name, day, bytes) VALUES ('2026-11-24-00000000000000000000000000000000.blocks', 20000, 5)")
	reopen()
	settled("a row of a file that never had its name", 1, 24)
	// Half of its rows point to it: the others have their bytes.
	b := readBlocks(t, filepath.Join(folder, name))
	must(t, db.submit(t.Context(), &op{do: func(ctx context.Context, w *writer) error {
		for _, x := range b[:5] {
			if err := w.exec(ctx, "UPDATE blocks SET data = ?, period = NULL, place = NULL, size = NULL WHERE target = ? AND hour = ?", x.data, x.target, x.hour); err != nil {
				return err
			}
		}
		return w.exec(ctx, "UPDATE periods SET moved = 0")
	}}))
	reopen()
	settled("a file whose rows are half moved", 1, 24)
	// The rows of a day are gone, its file is not; and its file is gone, the row is not.
	for _, gone := range []bool{false, true} {
		must(t, db.submit(t.Context(), &op{do: func(ctx context.Context, w *writer) error {
			for _, x := range b {
				if err := w.exec(ctx, "UPDATE blocks SET data = ?, period = NULL, place = NULL, size = NULL WHERE target = ? AND hour = ?", x.data, x.target, x.hour); err != nil {
					return err
				}
			}
			return nil
		}}))
		if gone {
			must(t, os.Remove(filepath.Join(folder, name)))
		}
		reopen()
		if must(t, db.removePeriods(t.Context())); len(filesOf(t, dir)) != 0 || count(t, db, "SELECT count(*) FROM periods") != 0 {
			t.Errorf("a file that no block stands in is left: %v", filesOf(t, dir))
		}
		settled("a file without rows", 1, 24)
	}
	// A file under the name of one that is to be made: what stands there is replaced by what belongs there.
	moveAll(t, db)
	if !isPeriod.MatchString(lastName(t, db)) || len(filesOf(t, dir)) != 3 {
		t.Errorf("files %v", filesOf(t, dir))
	}
	// A file that no row names is another store's, and stays.
	stranger := filepath.Join(folder, "2020-01-01-00112233445566778899aabbccddeeff.blocks")
	must(t, os.WriteFile(stranger, nil, 0o600))
	must(t, db.Close())
	var log lockedLog
	db = openIn(t, dir, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, db.removePeriods(t.Context()))
	if _, err := os.Stat(stranger); err != nil || !strings.Contains(log.String(), "are left alone") {
		t.Errorf("a stranger: %v; said %s", err, &log)
	}
}

func readBlocks(t testing.TB, path string) (all []*filed) {
	t.Helper()
	must(t, eachFiled(path, func(b *filed) error { all = append(all, b); return nil }))
	return all
}

func TestFilesGoWithTheirVisits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storeOfThreeDays(t, dir, Options{Retention: Retention{Raw: 24 * time.Hour}})
	moveAll(t, db)
	second := midnight.Add(40 * time.Hour) // 16 h of the first day are too old
	must(t, errors.Join(db.retain(t.Context(), second), db.removePeriods(t.Context())))
	if len(filesOf(t, dir)) != 3 || inFiles(t, db) != 36-2*4 {
		t.Errorf("%d files, %d blocks in them", len(filesOf(t, dir)), inFiles(t, db))
	}
	must(t, db.retain(t.Context(), midnight.Add(49*time.Hour)))
	// Somebody is reading, here and in another process: nothing is taken from under them.
	ro, err := OpenReadOnly(t.Context(), dir)
	must(t, err)
	defer ro.Close()
	for _, reader := range []*DB{db, ro} {
		must(t, reader.held.enter(reader.periodsDir()))
		must(t, db.removePeriods(t.Context()))
		if len(filesOf(t, dir)) != 3 {
			t.Error("a file is removed while somebody reads")
		}
		reader.held.leave()
	}
	must(t, db.removePeriods(t.Context()))
	if len(filesOf(t, dir)) != 2 || count(t, db, "SELECT count(*) FROM periods") != 2 {
		t.Errorf("files %v", filesOf(t, dir))
	}
	integrity(t, db)

	// The size cap counts the files. A day's file goes with its last hour.
	state, err := db.Retention(t.Context())
	must(t, err)
	files, err := db.periodBytes(t.Context())
	must(t, err)
	size, all, free, err := db.pages(t.Context())
	if must(t, err); state.Used != (all-free)*size+files || files == 0 {
		t.Errorf("used %d, of which %d in files and %d in pages", state.Used, files, (all-free)*size)
	}
	db.o.Retention = Retention{MaxBytes: state.Used - 1}
	must(t, errors.Join(db.retain(t.Context(), at(1000)), db.removePeriods(t.Context())))
	after, err := db.Retention(t.Context())
	if must(t, err); after.Used >= state.Used || !after.CappedBefore.After(midnight.Add(24*time.Hour)) || after.CappedBefore.After(midnight.Add(48*time.Hour)) {
		t.Errorf("capped: %+v, before %+v", after, state)
	}
	db.o.Retention.MaxBytes = 1
	must(t, errors.Join(db.retain(t.Context(), at(1000)), db.removePeriods(t.Context())))
	if len(filesOf(t, dir)) != 0 || count(t, db, "SELECT count(*) FROM blocks") != 0 {
		t.Errorf("the smallest cap leaves %v", filesOf(t, dir))
	}
}

package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"context"
	"sync"

	"dewline/health"
	"dewline/store/storetest"
)

// hoursOfVisits records a visit of each target every ten minutes for some hours, and compacts them where no sink keeps it from it.
func hoursOfVisits(t testing.TB, db *DB, targets, sensors, hours int) {
	t.Helper()
	for k := range targets {
		m := storetest.NewMachine(health.TargetID(fmt.Sprint("t", k)), sensors, uint64(k))
		var vs []*health.Visit
		for i := range hours * 6 {
			v := m.Visit(start.Add(time.Duration(i) * 10 * time.Minute))
			if i%20 == 0 {
				v.Events = []health.Event{{ID: fmt.Sprintf("%d-%d", k, i), Target: v.Target, Kind: health.KindFailed, Transition: health.Asserted, At: v.Started}}
				v.Snapshot.Log = []health.LogEntry{{Source: "sel", ID: fmt.Sprint(i), Observed: v.Started, Message: "fan 1 failed"}}
			}
			vs = append(vs, v)
		}
		record(t, db, vs...)
	}
	must(t, db.CompactBefore(t.Context(), start.Add(time.Duration(hours)*time.Hour)))
}

func at(hours float64) time.Time { return start.Add(time.Duration(hours * float64(time.Hour))) }

func TestAgedVisitsGoAndTheRestStays(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{Retention: Retention{Raw: 10 * time.Hour, Rollups: 48 * time.Hour}})
	hoursOfVisits(t, db, 3, 6, 20)
	events, err := db.Events(t.Context(), time.Time{}, time.Time{}, "")
	must(t, err)
	last, err := db.MaxSeq(t.Context())
	must(t, err)
	must(t, db.retain(t.Context(), at(20.1)))
	st, err := db.Retention(t.Context())
	must(t, err)
	if !st.RawSince.Equal(at(10)) || !st.CappedBefore.IsZero() || !st.RollupsSince.Equal(start.Truncate(24*time.Hour)) {
		t.Errorf("state %+v", st)
	}
	vs := storetest.All(t, db)
	if len(vs) != 3*6*10 {
		t.Errorf("%d visits are left", len(vs))
	}
	for _, v := range vs {
		if v.At().Before(at(10)) || len(v.Snapshot.Readings) != 6 {
			t.Errorf("visit %d of %v has %d readings", v.Seq, v.At(), len(v.Snapshot.Readings))
		}
	}
	if r, err := db.Rollups(t.Context(), "t1", "fan/1", health.Speed, time.Time{}, time.Time{}); err != nil || len(r) != 120 {
		t.Errorf("%d rollups, %v", len(r), err)
	}
	if s, err := db.Series(t.Context(), "t1", "fan/1", health.Speed, time.Time{}, time.Time{}); err != nil || len(s) != 60 {
		t.Errorf("%d samples, %v", len(s), err)
	}
	check := func() {
		t.Helper()
		left, err := db.Events(t.Context(), time.Time{}, time.Time{}, "")
		must(t, err)
		if d := storetest.Diff(events, left); d != "" {
			t.Error("events " + d)
		}
		if l, err := db.LogEntries(t.Context(), time.Time{}, time.Time{}, ""); err != nil || len(l) != 18 {
			t.Errorf("%d log entries, %v", len(l), err)
		}
	}
	check()
	must(t, db.retain(t.Context(), at(100)))
	if n := count(t, db, "SELECT (SELECT count(*) FROM visits) + (SELECT count(*) FROM blocks) + (SELECT count(*) FROM rollups)"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	check()
	if s, err := db.Statuses(t.Context()); err != nil || len(s) != 3 || s[2].LastSeq != last {
		t.Errorf("statuses %+v, %v", s, err)
	}
	// Numbers of the log are never given again, also not to the next process.
	dir := db.dir
	must(t, db.Close())
	db = openIn(t, dir, Options{})
	v := storetest.NewMachine("t1", 6, 1).Visit(at(101))
	record(t, db, v)
	if v.Seq != last+1 {
		t.Errorf("Seq %d after %d", v.Seq, last)
	}
	integrity(t, db)
}

func TestRetentionAndTheSinks(t *testing.T) {
	var log bytes.Buffer
	db := openIn(t, t.TempDir(), Options{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Sinks: []string{"influxdb", "other"},
		Retention: Retention{Raw: 2 * time.Hour, MaxLag: map[string]time.Duration{"influxdb": 10 * time.Hour, "other": 10 * time.Hour}},
	})
	m := storetest.NewMachine("t", 3, 1)
	for i := range 120 { // one after the other: 6 per hour
		record(t, db, m.Visit(start.Add(time.Duration(i)*10*time.Minute)))
	}
	must(t, db.SetSinkCursor(t.Context(), "influxdb", 15))
	must(t, db.SetSinkCursor(t.Context(), "other", 120))
	must(t, db.SetSinkCursor(t.Context(), "retired", 1)) // no longer configured
	givenUp := func() string {
		sinks, err := db.Sinks(t.Context())
		must(t, err)
		var s []string
		for _, k := range sinks {
			s = append(s, fmt.Sprint(k.Name, " ", k.GivenUp))
		}
		return strings.Join(s, ", ")
	}
	// Ages: two hours are delivered and old; the third is half delivered and waits.
	must(t, db.retain(t.Context(), at(11.5)))
	if n, want := count(t, db, "SELECT min(seq) FROM visits"), int64(13); n != want {
		t.Errorf("the oldest visit is %d, want %d", n, want)
	}
	if s := givenUp(); s != "influxdb 0, other 0, retired 0" || log.Len() != 0 {
		t.Errorf("given up: %s; said: %s", s, &log)
	}
	// Past MaxLag they go, and are counted and said.
	must(t, db.retain(t.Context(), at(13.5)))
	if n := count(t, db, "SELECT min(seq) FROM visits"); n != 19 {
		t.Errorf("the oldest visit is %d", n)
	}
	if s := givenUp(); s != "influxdb 3, other 0, retired 0" {
		t.Errorf("given up: %s", s)
	}
	if !strings.Contains(log.String(), "sink=influxdb visits=3") {
		t.Errorf("said: %s", &log)
	}
	// The follower goes on with what there is; what is gone between is what was counted.
	vs, err := db.After(t.Context(), 15, 1)
	must(t, err)
	if len(vs) != 1 || vs[0].Seq != 19 {
		t.Errorf("after 15 comes %v", vs)
	}
	integrity(t, db)
}

func TestASinkTooFarBehindDoesNotHoldCompactionUp(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{Sinks: []string{"s"}, Retention: Retention{MaxLag: map[string]time.Duration{"s": 5 * time.Hour}}})
	hoursOfVisits(t, db, 1, 3, 4)
	if n := count(t, db, "SELECT count(*) FROM blocks"); n != 0 {
		t.Errorf("%d blocks", n)
	}
	must(t, db.CompactBefore(t.Context(), at(7.5)))
	if n := count(t, db, "SELECT count(*) FROM blocks"); n != 2 {
		t.Errorf("%d blocks, want those of two hours", n)
	}
	if vs := storetest.All(t, db); len(vs) != 24 {
		t.Errorf("%d visits", len(vs))
	}
}

func TestTheSizeCapWins(t *testing.T) {
	var log bytes.Buffer
	db := openIn(t, t.TempDir(), Options{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Sinks: []string{"s"},
		Retention: Retention{Raw: 1000 * time.Hour, Rollups: 1000 * time.Hour, MaxLag: map[string]time.Duration{"s": 1000 * time.Hour}},
	})
	hoursOfVisits(t, db, 4, 60, 60)
	must(t, db.SetSinkCursor(t.Context(), "s", 1440))
	must(t, db.CompactBefore(t.Context(), at(60)))
	must(t, db.MergeDaysBefore(t.Context(), at(72)))
	used := func() int64 {
		s, err := db.Retention(t.Context())
		must(t, err)
		return s.Used
	}
	whole := used()
	size := func() int64 {
		must(t, db.checkpoint(t.Context()))
		n, err := db.Size(t.Context())
		must(t, err)
		return n
	}
	before := size()
	db.o.Retention.MaxBytes = whole * 3 / 4
	must(t, db.retain(t.Context(), at(60.2)))
	st, err := db.Retention(t.Context())
	must(t, err)
	if st.Used > whole*3/4 || st.Used < whole/2 {
		t.Errorf("%d bytes used of %d allowed, %d before", st.Used, whole*3/4, whole)
	}
	if !st.RawSince.Equal(st.CappedBefore) || !st.RawSince.After(at(3)) {
		t.Errorf("state %+v", st)
	}
	if r, err := db.Rollups(t.Context(), "t1", "fan/1", health.Speed, time.Time{}, time.Time{}); err != nil || len(r) != 360 {
		t.Errorf("%d rollups, %v", len(r), err)
	}
	// Far too small: all closed hours go, then the days of rollups; the last hour, events and logs stay, and it is said once.
	db.o.Retention.MaxBytes = 1
	for range 3 {
		must(t, db.retain(t.Context(), at(60.2)))
	}
	if n := strings.Count(log.String(), "larger than its max_size"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
	if n := count(t, db, "SELECT count(*) FROM rollups WHERE day < ?", hourOf(at(60).UnixNano())/24); n != 0 {
		t.Errorf("%d rollups are left", n)
	}
	if n := count(t, db, "SELECT count(*) FROM events"); n == 0 {
		t.Error("events were dropped")
	}
	if n := count(t, db, "SELECT count(*) FROM blocks"); n != 0 {
		t.Errorf("%d blocks of closed hours are left", n)
	}
	if after := size(); after > before/2 {
		t.Errorf("the files take %d bytes, before %d", after, before)
	}
	integrity(t, db)
}

func TestAStoreOfBeforeStopsGrowingAndGetsItsRollups(t *testing.T) {
	dir := t.TempDir()
	unpackFixture(t, 1, dir)
	db := openIn(t, dir, Options{Retention: Retention{Raw: time.Hour}})
	e, err := db.Series(t.Context(), "quiet", "fan/1", health.Speed, time.Time{}, time.Time{})
	must(t, err)
	want, _ := rolledNaively(e)
	must(t, db.makeMissing(t.Context()))
	must(t, db.makeMissing(t.Context()))
	if n := count(t, db, "SELECT count(*) FROM meta WHERE key = 'rollups_missing'"); n != 0 {
		t.Error("rollups are still missing")
	}
	got, err := db.Rollups(t.Context(), "quiet", "fan/1", health.Speed, time.Time{}, time.Time{})
	must(t, err)
	sameRollups(t, "made", want, got)
	must(t, db.retain(t.Context(), at(1000)))
	got, err = db.Rollups(t.Context(), "quiet", "fan/1", health.Speed, time.Time{}, time.Time{})
	must(t, err)
	sameRollups(t, "dropped", want, got)
	db.o.Retention.Rollups = 50 * time.Hour
	// Without auto_vacuum its free pages are used again.
	if n := count(t, db, "PRAGMA auto_vacuum"); n != 0 {
		t.Fatalf("auto_vacuum %d: the fixture shows nothing", n)
	}
	var pages []int64
	for round := range 6 {
		m := storetest.NewMachine("quiet", 200, uint64(round))
		var vs []*health.Visit
		for i := range 60 {
			vs = append(vs, m.Visit(at(float64(2000+round*100)+float64(i)/60)))
		}
		record(t, db, vs...)
		must(t, db.CompactBefore(t.Context(), at(float64(2001+round*100))))
		must(t, db.retain(t.Context(), at(float64(2050+round*100))))
		pages = append(pages, count(t, db, "PRAGMA page_count"))
	}
	if pages[5] > pages[1]+pages[1]/10 {
		t.Errorf("the file grows: %d pages", pages)
	}
	integrity(t, db)
}

func TestDamagedVisitsAreDroppedWithTheirHourAndHoldNothingElseUp(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{Retention: Retention{Raw: 2 * time.Hour}})
	for k := range 2 {
		m := storetest.NewMachine(health.TargetID(fmt.Sprint("t", k)), 4, 1)
		for i := range 12 {
			record(t, db, m.Visit(start.Add(time.Duration(i)*10*time.Minute)))
		}
	}
	onWriter(t, db, "UPDATE fresh SET data = x'0100000000ff' WHERE seq = 2")
	err := db.CompactBefore(t.Context(), at(2))
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("CompactBefore: %v", err)
	}
	if n := count(t, db, "SELECT count(*) FROM blocks"); n != 3 {
		t.Errorf("%d blocks, want all but the damaged one", n)
	}
	must(t, db.retain(t.Context(), at(20)))
	if n := count(t, db, "SELECT (SELECT count(*) FROM visits) + (SELECT count(*) FROM blocks) + (SELECT count(*) FROM fresh)"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if r, err := db.Rollups(t.Context(), "t1", "fan/1", health.Speed, time.Time{}, time.Time{}); err != nil || len(r) != 12 {
		t.Errorf("%d rollups of the other target, %v", len(r), err)
	}
}

func TestAClockThatJumpsAheadEmptiesNothing(t *testing.T) {
	clock := &agingClock{}
	base := time.Now()
	tell := func(after, ahead time.Duration) time.Duration { // what the clock says beyond base
		// A step of the wall clock alone: the monotonic reading goes on as before.
		now := base.Add(after)
		if ahead != 0 {
			clock.wall = clock.wall.Add(-ahead)
			defer func() {
				if clock.wall.Before(base.Add(-ahead / 2)) {
					clock.wall = clock.wall.Add(ahead)
				}
			}()
			return clock.now(now).Sub(base.Add(-ahead))
		}
		return clock.now(now).Sub(base)
	}
	if d := tell(0, 0); d != 0 {
		t.Errorf("at first %v", d)
	}
	if d := tell(time.Hour, 0); d != time.Hour {
		t.Errorf("an hour later %v", d)
	}
	const jump = 1000 * 24 * time.Hour
	if d := tell(2*time.Hour, jump); d.Round(time.Second) != 2*time.Hour {
		t.Errorf("after a jump %v", d)
	}
	if d := tell(20*time.Hour, jump); d.Round(time.Second) != 20*time.Hour {
		t.Errorf("18 h after a jump %v", d)
	}
	if d := tell(27*time.Hour, jump); d.Round(time.Second) != jump+27*time.Hour {
		t.Errorf("more than a day after a jump %v", d)
	}
}

func TestRunDropsAndSaysTroubleOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		db, err := Open(t.Context(), dir, Options{CommitEvery: time.Millisecond, Retention: Retention{Raw: 2 * time.Hour, Rollups: 72 * time.Hour},
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		must(t, err)
		defer func() { must(t, db.Close()) }()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- db.Run(ctx) }()
		m := storetest.NewMachine("t", 3, 1)
		for range 5 {
			must(t, db.Record(t.Context(), m.Visit(time.Now())))
			time.Sleep(time.Hour)
		}
		synctest.Wait()
		oldest := count(t, db, "SELECT min(hour) FROM visits")
		if age := time.Since(time.Unix(0, oldest*hour)); age > 4*time.Hour || age < 2*time.Hour {
			t.Errorf("the oldest visit is %v old", age)
		}
		if n := count(t, db, "SELECT count(*) FROM rollups"); n < 4 {
			t.Errorf("%d hours of rollups", n)
		}
		if log.String() != "" {
			t.Errorf("it said: %s", &log)
		}
		must(t, db.Record(t.Context(), m.Visit(time.Now())))
		onWriter(t, db, "UPDATE fresh SET data = x'0100000000ff', hour = hour - 2 WHERE seq = (SELECT max(seq) FROM fresh)")
		time.Sleep(10 * time.Minute)
		if n := strings.Count(log.String(), "keep store: compact"); n != 1 {
			t.Errorf("said %d times: %s", n, &log)
		}
		cancel()
		must(t, <-done)
	})
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

package truth

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/report"
	"dewline/report/render"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

// Issue: a report on so many servers and days takes under a minute and under so much memory.
const (
	scaleServers = 100
	scaleDays    = 90
	scaleMemory  = 500 << 20
	scaleTime    = time.Minute // not asserted: it is the machine's
)

// TestReportOnAHundredServers fills a store with ninety days of visits a minute and reports on all of it, in a process of its own, whose
// memory is measured. Two servers are recorded; the others are copies of theirs in the store's own tables.
func TestReportOnAHundredServers(t *testing.T) {
	if dir := os.Getenv("DEWLINE_SCALE_CHILD"); dir != "" {
		reportAtScale(t, dir)
		return
	}
	if os.Getenv("DEWLINE_LONG") == "" {
		t.Skip("a report on a hundred servers: with DEWLINE_LONG=1")
	}
	servers, days := int(number(t, "DEWLINE_SCALE_SERVERS", scaleServers)), int(number(t, "DEWLINE_SCALE_DAYS", scaleDays))
	dir := os.Getenv("DEWLINE_SCALE_DIR") // kept, and used again
	if dir == "" {
		dir = t.TempDir()
	}
	if _, err := os.Stat(filepath.Join(dir, "dewline.db")); err != nil {
		fillStore(t, dir, servers, days)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestReportOnAHundredServers$", "-test.v")
	cmd.Env = append(os.Environ(), "DEWLINE_SCALE_CHILD="+dir)
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	took := time.Since(begun)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	peak := usage.Maxrss << 10 // Linux counts in KiB
	t.Logf("%d servers × %d days: %.1f s, %.1f s CPU, %d MiB at most (asked for: under %s, %d MiB)", servers, days, took.Seconds(),
		(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), peak>>20, scaleTime, scaleMemory>>20)
	if peak > scaleMemory {
		t.Errorf("the report took %d MiB", peak>>20)
	}
}

// reportAtScale makes the report on all that is in a store, and every format of it.
func reportAtScale(t *testing.T, dir string) {
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r := storeReader{db}
	targets, err := r.Targets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	days := time.Duration(scaleDays)
	if s := os.Getenv("DEWLINE_SCALE_DAYS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		days = time.Duration(n)
	}
	end := epoch.Add(days * 24 * time.Hour)
	q := verification.Request{Incident: epoch.Add(16 * 24 * time.Hour), Baseline: 14 * 24 * time.Hour, Soak: 72 * time.Hour, GeneratedAt: end, Program: "truth"}
	for _, x := range targets {
		q.Targets = append(q.Targets, x.ID)
	}
	begun := time.Now()
	rep, err := verification.Build(t.Context(), r, q)
	if err != nil {
		t.Fatal(err)
	}
	built := time.Since(begun)
	texts, err := report.TextsIn(report.Reference)
	if err != nil {
		t.Fatal(err)
	}
	doc := rep.Document(texts)
	for name, err := range map[string]error{"html": render.HTML(io.Discard, doc), "pdf": render.PDF(io.Discard, doc), "json": json.NewEncoder(io.Discard).Encode(rep)} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, table := range render.Tables(doc) {
		if err := render.CSV(io.Discard, table); err != nil {
			t.Fatal(err)
		}
	}
	var hours float64
	for _, s := range rep.Servers {
		hours += s.Windows.SoakCounted
	}
	if want := float64(len(targets)) * (end.Sub(q.Incident).Hours() - 1); hours < want {
		t.Errorf("%.0f hours of soak were counted, want %.0f: the store is not what it should be", hours, want)
	}
	t.Logf("built in %.1f s, all in %.1f s: %d servers, %s", built.Seconds(), time.Since(begun).Seconds(), len(rep.Servers), rep.Verdict)
}

const recorded = 2 // servers that are recorded as a collector does

func fillStore(t *testing.T, dir string, servers, days int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{Log: slog.New(slog.DiscardHandler), CommitEvery: 20 * time.Millisecond, CommitMax: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for n := range recorded {
		visits := likeVisits(t, n)
		for day := range days {
			var wg sync.WaitGroup
			for minute := range 24 * 60 {
				v := visits(epoch.Add(time.Duration(day)*24*time.Hour + time.Duration(minute)*time.Minute))
				if day == 0 && minute == 0 { // with it comes what the others change
					if err := db.Record(t.Context(), v); err != nil {
						t.Fatal(err)
					}
					continue
				}
				wg.Go(func() {
					if err := db.Record(t.Context(), v); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if err := db.CompactBefore(t.Context(), epoch.Add(time.Duration(day)*24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			if t.Failed() {
				return
			}
		}
	}
	if err := db.CompactBefore(t.Context(), epoch.Add(time.Duration(days)*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	copyServers(t, filepath.Join(dir, "dewline.db"), servers)
}

// likeVisits makes visits as those that a real one of a simulated machine is like: of its parts, with values that walk by the steps
// that they have.
func likeVisits(t *testing.T, n int) func(at time.Time) *health.Visit {
	t.Helper()
	s := &server{make: make_{profile: bmcsim.ProfileLegacy, driver: health.DriverRedfish}, seed: uint64(n), target: health.Target{
		ID: health.TargetID(fmt.Sprintf("server-%03d", n)), Driver: health.DriverRedfish, Address: "https://sim", Rack: "A1", Origin: health.OriginSim,
	}}
	_, clock := s.ready(epoch)
	now := func() time.Time { return time.Unix(0, clock.Load()).UTC() }
	b, err := serve(s, now)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	kept := &keeper{}
	c := collector.New(collector.Options{Recorder: kept})
	known := health.NewKnown(s.target.ID).For(s.target)
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	visit := func(at time.Time, tiers ...health.Tier) *health.Visit {
		due := map[health.Tier]time.Time{}
		for _, tier := range tiers {
			due[tier] = at
		}
		clock.Store(at.UnixNano())
		v, err := c.Visit(context.Background(), s.target, known, b.source, due, at)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	all := visit(epoch, health.AllTiers[:]...)
	few := visit(epoch.Add(time.Minute), health.TierReadings, health.TierEvents)
	some := visit(epoch.Add(15*time.Minute), health.TierReadings, health.TierEvents, health.TierHealth)
	if few.Result != health.Done || some.Result != health.Done || len(few.Snapshot.Readings) < 20 {
		t.Fatalf("visits to copy: %s %s, %d readings", few.Error, some.Error, len(few.Snapshot.Readings))
	}
	return func(at time.Time) *health.Visit {
		if at.Equal(epoch) {
			return all
		}
		like := few
		if at.Sub(epoch)%(15*time.Minute) == 0 {
			like = some
		}
		v := *like
		v.Due = maps.Clone(like.Due)
		for tier := range v.Due {
			v.Due[tier] = at
		}
		v.Started, v.Events, v.Skipped, v.Unread = at, nil, nil, nil
		v.Delta = health.Delta{}
		snap := *like.Snapshot
		snap.At, snap.Log, snap.Readings = at, nil, slices.Clone(like.Snapshot.Readings)
		for i := range snap.Readings {
			r := &snap.Readings[i]
			step := math.Pow(10, math.Ceil(math.Log10(math.Max(math.Abs(r.Value), 1)))-3)
			r.Value = math.Round(r.Value/step+float64(rng.IntN(5)-2)) * step
		}
		v.Snapshot = &snap
		v.ID = health.VisitID(&v)
		return &v
	}
}

// keeper takes visits and keeps none.
type keeper struct{}

func (*keeper) Recall(_ context.Context, id health.TargetID) (*health.Known, error) {
	return health.NewKnown(id), nil
}
func (*keeper) Record(context.Context, *health.Visit) error { return nil }

// copyServers makes more servers of those that are in a store, row by row.
func copyServers(t *testing.T, path string, servers int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := map[string]string{}
	for _, name := range []string{"components", "parts", "series", "configured", "rollups", "component_history", "identity_history", "places", "ticks", "blocks", "latest"} {
		rows, err := db.QueryContext(t.Context(), "SELECT name FROM pragma_table_info(?)", name)
		if err != nil {
			t.Fatal(err)
		}
		var columns strings.Builder
		for rows.Next() {
			var c string
			if err := rows.Scan(&c); err != nil {
				t.Fatal(err)
			}
			if c != "target" && (name != "blocks" || c != "id") {
				columns.WriteString(", " + c)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		tables[name] = columns.String()
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	var most int64
	if err := db.QueryRowContext(t.Context(), "SELECT max(seq) FROM visits").Scan(&most); err != nil {
		t.Fatal(err)
	}
	for n := recorded; n < servers; n++ {
		like, to := n%recorded+1, n+1
		exec("INSERT INTO targets (id, name, endpoint, driver, last_driver, origin, identity, host_power, first_seen_ns) SELECT ?1, ?2, endpoint, driver, last_driver, origin, identity, host_power, first_seen_ns FROM targets WHERE id = ?3", to, fmt.Sprintf("server-%03d", n), like)
		for name, columns := range tables {
			exec("INSERT INTO "+name+" (target"+columns+") SELECT ?1"+columns+" FROM "+name+" WHERE target = ?2", to, like)
		}
		// An hour's last visit stands for all of it: what is known of a time is looked up by it.
		exec("INSERT INTO visits (seq, target, hour) SELECT max(seq) + ?1, ?2, hour FROM visits WHERE target = ?3 GROUP BY hour", int64(n)*most, to, like)
	}
}

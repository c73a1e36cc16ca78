package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the fixture multiplies rows

	"dewline/health"
	"dewline/report/capacity"
	"dewline/store/sqlite"
)

// A fleet as the claim has it: of each server four series that are set beside those of others, eighteen more that are wanted by the day, and twelve
// that nobody wants.
const scaleParts = 16 // memory modules, which have no series

// scaleKinds is how many days differ; each server has them in an order of its own.
func scaleKinds(servers int) int { return min(servers/10, 16) }

type scaleSeries struct {
	health.SeriesID
	class health.Class
	every int // steps between two readings
	value func(kind, step int, noise float64) float64
}

var scaleFrom = time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)

func swing(kind, step int) float64 {
	return math.Sin(float64(step)/float64(health.StepsPerDay)*2*math.Pi + float64(kind))
}

func allScaleSeries() []scaleSeries {
	var out []scaleSeries
	add := func(component string, class health.Class, q health.Quantity, u health.Unit, every int, value func(kind, step int, noise float64) float64) {
		out = append(out, scaleSeries{health.SeriesID{Component: health.ComponentID(component), Quantity: q, Unit: u}, class, every, value})
	}
	steady := func(v float64) func(int, int, float64) float64 {
		return func(int, int, float64) float64 { return v }
	}
	add("psu/1", health.ClassPSU, health.InputPower, health.Watt, 1, func(k, i int, r float64) float64 { return math.Round(300 + 80*swing(k, i) + 30*r) })
	add("temperature/Inlet", health.ClassTemperature, health.Temperature, health.Celsius, 1, func(k, i int, r float64) float64 { return math.Round((22+3*swing(k, i)+0.5*r)*2) / 2 })
	add("fan/1", health.ClassFan, health.Duty, health.Percent, 1, func(k, i int, r float64) float64 { return math.Round(35 + 10*swing(k, i) + 3*r) })
	// What dewline computes has all the digits that a float has.
	add("temperature/Inlet", health.ClassTemperature, health.DewPoint, health.Celsius, 1, func(k, i int, r float64) float64 { return 11 + 2*swing(k, i) + 0.3*r })
	add("temperature/Inlet", health.ClassTemperature, health.CondensationMargin, health.Kelvin, 1, func(k, i int, r float64) float64 { return 9 + 2*swing(k, i) + 0.3*r })
	add("psu/1", health.ClassPSU, health.PowerCapacity, health.Watt, 3, steady(800))
	for n := range 4 {
		drive := fmt.Sprint("drive/", n)
		add(drive, health.ClassDrive, health.LifeLeft, health.Percent, 3, func(k, i int, _ float64) float64 { return float64(90 - n) })
		add(drive, health.ClassDrive, health.SpareLeft, health.Percent, 3, steady(100))
		add(drive, health.ClassDrive, health.MediaErrors, health.Number, 3, steady(0))
		add(drive, health.ClassDrive, health.PowerOnHours, health.Hour, 3, func(k, i int, _ float64) float64 { return float64(20000 + i/12) })
	}
	for n := range 12 {
		if n%3 == 0 {
			add(fmt.Sprint("fan/", n+2), health.ClassFan, health.Speed, health.RPM, 1, func(k, i int, r float64) float64 { return math.Round((5000+1200*swing(k, i)+100*r)/60) * 60 })
		} else {
			add(fmt.Sprint("temperature/T", n), health.ClassTemperature, health.Temperature, health.Celsius, 1, func(k, i int, r float64) float64 { return math.Round(40 + 5*swing(k, i) + 2*r) })
		}
	}
	return out
}

// scaleValue is what a series reads in a step of a day of a kind, NaN: nothing. In a kind's gaps nothing at all is read.
func scaleValue(s *scaleSeries, n, kind, step int) float64 {
	if (kind*31+step)%97 == 3 || step%s.every != 0 {
		return math.NaN()
	}
	r := rand.New(rand.NewPCG(uint64(n+1), uint64(kind*health.StepsPerDay+step)))
	return s.value(kind, step, r.NormFloat64())
}

func scaleVisit(server int, at time.Time, readings []health.Reading, first bool) *health.Visit {
	id := health.TargetID(fmt.Sprintf("s-%05d", server))
	where := health.Target{ID: id, Address: "https://192.0.2.1", Driver: "redfish", Site: fmt.Sprint("site", server/2500), Rack: fmt.Sprint("R", server/25), Position: server%25 + 1}
	v := &health.Visit{
		Target: id, Where: &where, Driver: "redfish", Due: map[health.Tier]time.Time{health.TierReadings: at}, Started: at, Took: time.Second, Result: health.Done,
		Snapshot: &health.Snapshot{Target: id, Driver: "redfish", At: at, Took: time.Second, Tiers: health.TiersOf(health.TierReadings), HostPower: health.HostOn, Readings: readings},
	}
	seen := map[health.ComponentID]bool{}
	put := func(c health.Component) {
		if seen[c.ID] {
			return
		}
		seen[c.ID] = true
		c.Presence, c.State = health.Present, health.OK
		v.Snapshot.Components = append(v.Snapshot.Components, c)
		if first {
			c.Name, c.Manufacturer, c.Model, c.Firmware, c.Place = string(c.ID), "Acme", "M-"+string(c.Class), "1.2.3", "/redfish/v1/Chassis/1"
			c.Serial = fmt.Sprintf("SN%05d-%s", server, c.ID)
			v.Delta.Components = append(v.Delta.Components, health.KnownComponent{Component: c, Since: at})
		}
	}
	for _, s := range allScaleSeries() {
		put(health.Component{ID: s.Component, Class: s.class})
	}
	for n := range scaleParts {
		put(health.Component{ID: health.ComponentID(fmt.Sprint("memory/", n)), Class: health.ClassMemory, CapacityBytes: 32 << 30})
	}
	if first {
		v.Delta.Identity = &health.Identity{Manufacturer: "Acme", Model: fmt.Sprint("R", server%7), Serial: fmt.Sprint("S", server), BIOS: "2.1", BMCFirmware: fmt.Sprint("1.", server%3)}
	}
	v.ID = health.VisitID(v)
	return v
}

// fillScale makes the store of a fleet: one visit of each server, which makes its dictionary; the days of each kind from visits of the first one;
// and the rows of those days for all others, as their own visits would have made them. Of the last day the hours are not merged yet.
func fillScale(t *testing.T, dir string, servers, days int) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{CommitEvery: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	series := allScaleSeries()
	readings := func(kind, step int) (out []health.Reading) {
		for n := range series {
			if v := scaleValue(&series[n], n, kind, step); !math.IsNaN(v) {
				s := &series[n]
				out = append(out, health.Reading{Component: s.Component, Quantity: s.Quantity, Unit: s.Unit, Value: v, Derived: s.Quantity == health.DewPoint || s.Quantity == health.CondensationMargin})
			}
		}
		return out
	}
	put := func(visits []*health.Visit) {
		for some := range slices.Chunk(visits, 256) {
			var wg sync.WaitGroup
			errs := make([]error, len(some))
			for i, v := range some {
				wg.Go(func() { errs[i] = db.Record(t.Context(), v) })
			}
			wg.Wait()
			for _, err := range errs {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var visits []*health.Visit
	for s := range servers {
		visits = append(visits, scaleVisit(s, scaleFrom.Add(-48*time.Hour), readings(0, 0), true))
	}
	put(visits)
	// The kinds lie in days before those of the fleet, and go again.
	kinds := scaleKinds(servers)
	before := scaleFrom.AddDate(0, 0, -100)
	visits = nil
	for k := range kinds + 1 {
		for i := range health.StepsPerDay {
			if r := readings(k%kinds, i); len(r) > 0 {
				visits = append(visits, scaleVisit(0, before.AddDate(0, 0, k).Add(time.Duration(i)*health.AlignStep+7*time.Second), r, false))
			}
		}
	}
	put(visits)
	for _, err := range []error{db.CompactBefore(t.Context(), scaleFrom), db.MergeDaysBefore(t.Context(), before.AddDate(0, 0, kinds)), db.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	raw, err := sql.Open("sqlite", "file:"+files[0]+"?_pragma=synchronous(0)&_pragma=temp_store(2)")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetMaxOpenConns(1)
	day := func(at time.Time) int64 { return at.Unix() / 86400 }
	for d := range days {
		// All but the last: whole days. The last one: the hours of the day that was not merged.
		from, part := day(before), "r.part = 0"
		if d == days-1 {
			part = "r.part > 0"
		}
		if _, err := raw.ExecContext(t.Context(), `INSERT INTO rollups (target, day, part, hours, data)
			SELECT t.id, ?1, r.part, r.hours, r.data FROM targets t CROSS JOIN rollups r
			WHERE r.target = (SELECT id FROM targets WHERE name = 's-00000') AND r.day = CASE WHEN ?2 THEN ?3 + ?4 ELSE ?3 + (CAST(substr(t.name, 3) AS INTEGER) * 31 + ?5 * 17) % ?6 END AND `+part,
			day(scaleFrom)+int64(d), d == days-1, from, kinds, d, kinds); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := raw.ExecContext(t.Context(), "DELETE FROM rollups WHERE day < ?", day(scaleFrom)); err != nil {
		t.Fatal(err)
	}
}

// expectedSum is the site's draw in each step that counts, computed from the values.
func expectedSum(servers, days int) (sums []float64, excluded int) {
	series := allScaleSeries()
	values := make([][]float64, scaleKinds(servers))
	for k := range values {
		for i := range health.StepsPerDay {
			values[k] = append(values[k], scaleValue(&series[0], 0, k, i))
		}
	}
	for d := range days {
		of := make([]int, len(values))
		for s := range servers {
			k := (s*31 + d*17) % len(values)
			if d == days-1 { // the one that is not merged
				k = 0
			}
			of[k]++
		}
		for i := range health.StepsPerDay {
			sum, read := 0.0, 0
			for k, n := range of {
				if v := values[k][i]; !math.IsNaN(v) {
					sum, read = sum+float64(n)*v, read+n
				}
			}
			if read == 0 || float64(read) < 0.95*float64(servers) {
				excluded++
				continue
			}
			sums = append(sums, sum*float64(servers)/float64(read))
		}
	}
	slices.Sort(sums)
	return sums, excluded
}

// TestCapacityOfAFleet makes the review of a fleet with the command, in a process of its own: what it holds at most is asserted, what it costs is told.
// DEWLINE_FLEET=SERVERS chooses the size, DEWLINE_FLEET_DIR keeps the store; in make long it is a thousand servers of ninety days.
func TestCapacityOfAFleet(t *testing.T) {
	t.Parallel()
	servers, days := 30, 3
	if os.Getenv("DEWLINE_LONG") != "" {
		servers, days = 1000, 90
	}
	if s := os.Getenv("DEWLINE_FLEET"); s != "" {
		var err error
		if servers, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
		days = 90
	}
	dir := os.Getenv("DEWLINE_FLEET_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); err != nil {
		fillScale(t, data, servers, days)
	} else { // one that was kept may be of an earlier version
		db, err := sqlite.Open(t.Context(), data, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	until := scaleFrom.AddDate(0, 0, days)
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command(os.Args[0], "report", "capacity", "--data-dir", data, "--since", scaleFrom.Format(time.RFC3339), "--until", until.Format(time.RFC3339),
		"--generated-at", until.Add(time.Hour).Format(time.RFC3339), "--add", "4 x s-00001", "--zip=false", "--out", out)
	cmd.Env = append(os.Environ(), runAsDewline+"=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak, err := watchMemory(cmd)
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	took, cpu := time.Since(begin), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	t.Logf("%d servers, %d days: %s of CPU (%s user), %s by the clock, %d MB of memory at most", servers, days, cpu.Round(time.Millisecond), cmd.ProcessState.UserTime().Round(time.Millisecond), took.Round(time.Millisecond), peak>>20)
	if peak > 1<<30 {
		t.Errorf("it holds %d MB", peak>>20)
	}
	checkScale(t, out, servers, days)
	_ = os.RemoveAll(out)
}

// checkScale holds the review of a fleet against its values.
func checkScale(t *testing.T, out string, servers, days int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rep capacity.Report
	if err := json.Unmarshal(b, &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Servers) != servers || rep.Groups[0].Draw == nil {
		t.Fatalf("%d servers, all of them %+v", len(rep.Servers), rep.Groups[0])
	}
	all, excluded := expectedSum(servers, days)
	g := &rep.Groups[0]
	if g.Draw.N != len(all) || g.Excluded != excluded || g.Servers != servers {
		t.Errorf("%d steps of %d servers, %d excluded; want %d and %d", g.Draw.N, g.Servers, g.Excluded, len(all), excluded)
	}
	for _, c := range []struct {
		what       string
		got, exact float64
		within     float64
	}{
		{"P50", g.Draw.P50, all[(len(all)+1)/2-1], health.HistogramError}, {"P95", g.Draw.P95, all[int(math.Ceil(0.95*float64(len(all))))-1], health.HistogramError},
		{"P99", g.Draw.P99, all[int(math.Ceil(0.99*float64(len(all))))-1], health.HistogramError}, {"maximum", g.Draw.Max, all[len(all)-1], 1e-9}, {"minimum", g.Draw.Min, all[0], 1e-9},
	} {
		if math.Abs(c.got-c.exact) > c.within*c.exact {
			t.Errorf("%s of the sum is %v, want %v within %v", c.what, c.got, c.exact, c.within)
		}
	}
	s := &rep.Servers[servers/2]
	if s.Power.Source != "psu_input" || s.Cooling.Inlet == nil || s.Cooling.Duty == nil || s.Cooling.DewPoint == nil || s.Cooling.Margin == nil || len(rep.Drives) != 4*servers || rep.Drives[0].LifeLeft == nil {
		t.Errorf("%+v", s)
	}
}

// watchMemory waits for a process, and is what it held in memory at most, as the kernel says.
func watchMemory(cmd *exec.Cmd) (peak int64, err error) {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)); err == nil {
			for line := range bytes.Lines(b) {
				if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "VmHWM:" {
					if kb, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil {
						peak = max(peak, kb<<10)
					}
				}
			}
		}
		select {
		case err := <-done:
			return peak, err
		case <-tick.C:
		}
	}
}

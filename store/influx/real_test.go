package influx

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
	"dewline/internal/secret"
	"dewline/store/influx/influxtest"
	"dewline/store/storetest"
)

func realOptions(srv *influxtest.Server) Options {
	return Options{URL: srv.URL, Bucket: "hardware/autogen", Timeout: 10 * time.Second}
}

// realSink is a sink that comes back quickly.
func realSink(t *testing.T, o Options, m *storetest.Memory) (*Sink, *logged) {
	t.Helper()
	s, out := newSink(t, o, m, nil)
	s.back = backoff{5 * time.Millisecond, 100 * time.Millisecond}
	return s, out
}

// stored is every point of a database: what it is stored under -> its fields. Each measurement is asked for by itself:
// one SELECT over all of them would take the state of hw_event, a text, for the number that it is elsewhere, as null.
func stored(t *testing.T, srv *influxtest.Server, db string) map[string]map[string]any {
	t.Helper()
	points := map[string]map[string]any{}
	for _, list := range srv.Query(db, `SHOW MEASUREMENTS`) {
		for _, row := range list.Values {
			for _, se := range srv.Query(db, fmt.Sprintf(`SELECT * FROM "%v" GROUP BY *`, row[0])) {
				addSeries(points, se)
			}
		}
	}
	return points
}

func addSeries(points map[string]map[string]any, se influxtest.Series) {
	p := parsed{measurement: se.Name, tags: map[string]string{}}
	for k, v := range se.Tags {
		if v != "" { // a tag that another series of the measurement has
			p.tags[k] = v
		}
	}
	for _, row := range se.Values {
		fields := map[string]any{}
		for i, col := range se.Columns {
			switch v := row[i].(type) {
			case nil:
			case json.Number:
				if col == "time" {
					p.time, _ = v.Int64()
				} else {
					fields[col], _ = v.Float64()
				}
			default:
				fields[col] = v
			}
		}
		points[fmt.Sprint(p.series(), p.time)] = fields
	}
}

// expected is the points of all recorded visits, as stored gives them: numbers as float64.
func expected(t *testing.T, visits []*health.Visit, but func(line string) bool) map[string]map[string]any {
	t.Helper()
	points := map[string]map[string]any{}
	for _, v := range visits {
		tg := target()
		if v.Where != nil {
			tg = *v.Where
		}
		for _, l := range Encode(v, tg) {
			if but != nil && but(l) {
				continue
			}
			p, err := parseLine(l)
			if err != nil {
				t.Fatalf("%v: %s", err, l)
			}
			for k, f := range p.fields {
				if n, ok := f.(int64); ok {
					p.fields[k] = float64(n)
				}
			}
			points[fmt.Sprint(p.series(), p.time)] = p.fields
		}
	}
	return points
}

// random is a visit such as many machines give, with text as the worst of them give it.
func random(rng *rand.Rand, n int) *health.Visit {
	odd := []string{"", "A1", `rack\`, "a b,c=d", "ünïcode-名前", `"quoted"`, "new\nline", "#", `\,`, " lead", "tail "}
	pick := func() string { return odd[rng.IntN(len(odd))] }
	at := t0.Add(time.Duration(n)*time.Minute + time.Duration(rng.Int64N(1e9)))
	v := &health.Visit{
		Target: health.TargetID(fmt.Sprintf("db-%d", n%5)), Started: at, Took: time.Duration(rng.Int64N(5e9)), Result: health.Done,
		Due:      map[health.Tier]time.Time{health.TierReadings: at.Add(-time.Duration(rng.Int64N(2e9)))},
		Cost:     health.Cost{Requests: rng.IntN(9), Exchanges: rng.IntN(90)},
		Snapshot: &health.Snapshot{Gaps: make([]health.Gap, rng.IntN(3))},
	}
	v.Where = &health.Target{ID: v.Target, Site: pick(), Rack: pick(), Labels: map[string]string{"owner": pick(), "state": "kaltim", pick(): "x"}}
	if n%7 == 0 {
		v.Due[health.TierHealth] = at
	}
	for i := range 3 + rng.IntN(10) {
		c := health.Component{
			Class: health.Classes[rng.IntN(len(health.Classes))], Presence: health.Presence(rng.IntN(3)), State: health.State(rng.IntN(4)),
		}
		c.ID = health.ComponentID(fmt.Sprintf("%s/%d%s", c.Class, i, pick()))
		v.Snapshot.Components = append(v.Snapshot.Components, c)
		value := []float64{0, -273.15, 6120, 81.5, math.MaxFloat64, 5e-324, 1e21, rng.Float64() * 100}[rng.IntN(8)]
		v.Snapshot.Readings = append(v.Snapshot.Readings,
			health.Reading{Component: c.ID, Quantity: health.Temperature, Unit: health.Celsius, Value: value},
			health.Reading{Component: c.ID, Quantity: health.Count, Unit: health.Number, Value: math.NaN()})
	}
	if n%4 == 0 {
		v.Unread = []health.ComponentRef{{ID: "fan/gone", Class: health.ClassFan}}
	}
	for i := range rng.IntN(4) {
		v.Events = append(v.Events, health.Event{
			ID: fmt.Sprintf("e%d-%d", n, i), Component: "psu/1", Class: health.ClassPSU, Kind: health.KindInputLost, Severity: health.SeverityWarning,
			Transition: health.Asserted, Message: pick() + " happened", At: at.Add(time.Duration(i)), Source: "sel", SourceTime: at.Add(-time.Hour),
		})
	}
	if n%10 == 9 {
		v.Result, v.Reason, v.Started, v.Snapshot, v.Events, v.Took, v.Cost = health.Missed, health.ReasonBackOff, time.Time{}, nil, nil, 0, health.Cost{}
		v.Skipped = []health.TickRange{{Tier: health.TierEvents, First: at.Add(-time.Hour), Last: at, Count: 60, Reason: health.ReasonNotRunning}}
	}
	return v
}

func TestRealEveryPointComesBackAsItWas(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	m := storetest.NewMemory()
	rng := rand.New(rand.NewPCG(2026, 11))
	for n := range 200 {
		record(t, m, random(rng, n))
	}
	// Two like events of one visit.
	twice := visit()
	twice.Seq = 0
	record(t, m, twice)

	o := realOptions(srv)
	o.BatchLines = 500
	s, out := realSink(t, o, m)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	run(t, s)
	until(t, func() bool { return cursor(t, m) == 201 })
	want := expected(t, m.Visits(), nil)
	if diff := cmp.Diff(want, stored(t, srv, "hardware")); diff != "" {
		t.Errorf("points (-recorded +stored):\n%.4000s", diff)
	}
	if n := len(m.Rejected(DefaultName)); n != 0 || out.count("WARN") != 0 {
		t.Errorf("%d refused, log:\n%s", n, out)
	}
	if got := srv.Query("hardware", `SELECT count(event_id) FROM hw_event WHERE target='db-1' AND kind='input_lost' AND (event_id='e1' OR event_id='e2')`); len(got) != 1 || fmt.Sprint(got[0].Values[0][1]) != "2" {
		t.Errorf("two like events of one visit: %v", got)
	}
	if st := s.State(); st.Cursor != 201 || st.Lag != 0 || int(st.Delivered) < len(want) {
		t.Errorf("state %+v, %d points", st, len(want))
	}

	// All of it again: nothing changes.
	o.Name = "again"
	s, _ = realSink(t, o, m)
	run(t, s)
	until(t, func() bool { return s.State().Cursor == 201 })
	if diff := cmp.Diff(want, stored(t, srv, "hardware")); diff != "" {
		t.Errorf("written twice (-recorded +stored):\n%.4000s", diff)
	}
}

func TestRealKilledInMidStream(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	kills := 2 // of the server: a second or two each
	if os.Getenv("DEWLINE_LONG") != "" {
		kills = 20
	}
	visits := kills * 200
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	m := storetest.NewMemory()
	o := realOptions(srv)
	o.BatchLines = 40
	s, out := realSink(t, o, m)
	stop := run(t, s)
	for k := range kills {
		from := k * visits / kills
		for n := from; n < from+visits/kills; n++ {
			record(t, m, random(rng, n))
		}
		at := int64(from + 50 + rng.IntN(visits/kills-100))
		until(t, func() bool { return cursor(t, m) >= at })
		srv.Kill()
		all := int64(from + visits/kills) // a fast machine may have been done just before
		until(t, func() bool { return s.State().LastError != "" || cursor(t, m) == all })
		if k == 1 { // and we are stopped and started while it is away
			stop()
			s, _ = realSink(t, o, m)
			stop = run(t, s)
		}
		srv.Restart()
	}
	until(t, func() bool { return cursor(t, m) == int64(visits) })
	want, got := expected(t, m.Visits(), nil), stored(t, srv, "hardware")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%d points recorded, %d stored (-recorded +stored):\n%.4000s", len(want), len(got), diff)
	}
	if n := len(m.Rejected(DefaultName)); n != 0 {
		t.Errorf("%d refused: %v", n, m.Rejected(DefaultName)[0])
	}
	t.Logf("%d points over %d kills; log:\n%s", len(got), kills, out)
}

func TestRealServerThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	srv.Kill()
	m := memoryOf(t, 20)
	s, out := realSink(t, realOptions(srv), m)
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("check: %v", err)
	}
	run(t, s)
	until(t, func() bool { return s.State().LastError != "" })
	if st := s.State(); !st.Oldest.Equal(t0) || st.Lag == 0 {
		t.Errorf("state %+v", st)
	}
	srv.Restart()
	until(t, func() bool { return cursor(t, m) == 20 })
	if diff := cmp.Diff(expected(t, m.Visits(), nil), stored(t, srv, "hardware")); diff != "" {
		t.Errorf("points (-recorded +stored):\n%.4000s", diff)
	}
	until(t, func() bool { return out.count("delivering again") == 1 })
	if out.count("WARN") != 1 || !strings.Contains(out.String(), "connection refused") {
		t.Errorf("log:\n%s", out)
	}
}

func TestRealTokens(t *testing.T) {
	t.Parallel()
	srv := influxtest.StartAuthenticated(t, "admin", "the-admins-password")
	srv.Query("", `CREATE DATABASE hardware`)
	srv.Query("", `CREATE USER reader WITH PASSWORD 'the-readers-password'`)
	srv.Query("", `GRANT READ ON hardware TO reader`)
	srv.Query("", `CREATE USER writer WITH PASSWORD 'the-writers-password'`)
	srv.Query("", `GRANT WRITE ON hardware TO writer`)
	m := memoryOf(t, 5)
	for _, c := range []struct {
		name, token, err string
	}{
		{"a wrong password", "writer:not-the-password", "401 Unauthorized"},
		{"no token", "", "401 Unauthorized"},
		{"a user who may only read", "reader:the-readers-password", "403 Forbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := realOptions(srv)
			o.Token = secret.New(c.token)
			s, out := realSink(t, o, m)
			if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("check: %v", err)
			}
			stop := run(t, s)
			until(t, func() bool { return s.State().LastError != "" })
			stop()
			_, password, _ := strings.Cut(c.token, ":")
			if !strings.Contains(out.String(), c.err) || out.count("WARN") != 1 || password != "" && strings.Contains(out.String(), password) {
				t.Errorf("log:\n%s", out)
			}
			if cursor(t, m) != 0 || len(m.Rejected(DefaultName)) != 0 {
				t.Errorf("cursor %d, quarantine %v", cursor(t, m), m.Rejected(DefaultName))
			}
		})
	}
	o := realOptions(srv)
	o.Token = secret.New("writer:the-writers-password")
	s, _ := realSink(t, o, m)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	run(t, s)
	until(t, func() bool { return cursor(t, m) == 5 })
	if diff := cmp.Diff(expected(t, m.Visits(), nil), stored(t, srv, "hardware")); diff != "" {
		t.Errorf("points (-recorded +stored):\n%.4000s", diff)
	}
}

func TestRealDatabaseThatIsMadeLater(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	m := memoryOf(t, 5)
	s, out := realSink(t, realOptions(srv), m)
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), `404 Not Found: database not found: "hardware"`) {
		t.Errorf("check: %v", err)
	}
	run(t, s)
	until(t, func() bool { return s.State().LastError != "" })
	srv.Query("", `CREATE DATABASE hardware`)
	until(t, func() bool { return cursor(t, m) == 5 })
	if diff := cmp.Diff(expected(t, m.Visits(), nil), stored(t, srv, "hardware")); diff != "" {
		t.Errorf("points (-recorded +stored):\n%.4000s", diff)
	}
	if out.count("WARN") != 1 {
		t.Errorf("log:\n%s", out)
	}
}

func TestRealFieldOfAnotherType(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	// Someone else writes fan speeds as integers into the shards of these days.
	foreign := fmt.Sprintf("hw_fan,who=else speed_rpm=1i %d", t0.UnixNano())
	s, _ := realSink(t, realOptions(srv), storetest.NewMemory())
	defer s.client.CloseIdleConnections()
	if f := s.send(t.Context(), []string{foreign}); f != nil {
		t.Fatal(f)
	}
	m := storetest.NewMemory()
	rng := rand.New(rand.NewPCG(5, 5))
	for n := range 200 {
		v := random(rng, n)
		if n%3 == 0 && v.Snapshot != nil {
			v.Snapshot.Components = append(v.Snapshot.Components, health.Component{ID: "fan/x", Class: health.ClassFan, State: health.OK})
			v.Snapshot.Readings = append(v.Snapshot.Readings, health.Reading{Component: "fan/x", Quantity: health.Speed, Unit: health.RPM, Value: 10})
		}
		record(t, m, v)
	}
	s, out := realSink(t, realOptions(srv), m)
	run(t, s)
	until(t, func() bool { return cursor(t, m) == 200 })

	isBad := func(l string) bool { return strings.HasPrefix(l, "hw_fan,") && strings.Contains(l, "speed_rpm=") }
	var bad []string
	for _, v := range m.Visits() {
		for _, l := range Encode(v, *v.Where) {
			if isBad(l) {
				bad = append(bad, l)
			}
		}
	}
	var aside []string
	for _, r := range m.Rejected(DefaultName) {
		aside = append(aside, r.Line)
		if !strings.Contains(r.Error, "field type conflict") {
			t.Errorf("quarantined for %q", r.Error)
		}
	}
	sameLines(t, aside, bad)
	want := expected(t, m.Visits(), isBad)
	p, err := parseLine(foreign)
	if err != nil {
		t.Fatal(err)
	}
	want[fmt.Sprint(p.series(), p.time)] = map[string]any{"speed_rpm": 1.0}
	if diff := cmp.Diff(want, stored(t, srv, "hardware")); diff != "" {
		t.Errorf("points (-recorded +stored):\n%.4000s", diff)
	}
	if out.count("quarantine") != 1 || len(bad) < 50 {
		t.Errorf("%d bad points, log:\n%s", len(bad), out)
	}
}

func TestRealPointsBeforeTheRetentionPeriod(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	srv.Query("", `CREATE RETENTION POLICY short ON hardware DURATION 24h REPLICATION 1`)
	now := time.Now().UTC().Truncate(time.Second)
	m := storetest.NewMemory()
	at := func(n int, when time.Time) *health.Visit {
		v := simple(n)
		v.Started, v.Due = when, map[health.Tier]time.Time{health.TierReadings: when}
		return v
	}
	for n := range 30 {
		when := now.Add(time.Duration(n-30) * time.Minute)
		if n%10 == 3 {
			when = when.Add(-72 * time.Hour)
		}
		record(t, m, at(n, when))
	}
	o := realOptions(srv)
	o.Bucket = "hardware/short"
	s, _ := realSink(t, o, m)
	run(t, s)
	until(t, func() bool { return cursor(t, m) == 30 })
	if n := len(m.Rejected(DefaultName)); n != 6 {
		t.Errorf("%d points in quarantine, want the two of three visits", n)
	}
	got := srv.Query("hardware", `SELECT count(speed_rpm) FROM short.hw_fan`)
	if len(got) != 1 || fmt.Sprint(got[0].Values[0][1]) != "27" {
		t.Errorf("stored: %v", got)
	}
}

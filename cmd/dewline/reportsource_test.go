package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/store/influx"
	"dewline/store/influx/influxtest"
	"dewline/store/sqlite"
)

// writtenTwice is a history of a wet server and a dry one that lies in a store and in a real InfluxDB.
type writtenTwice struct {
	dir      string
	db       *sqlite.DB
	from, to time.Time
	servers  []health.TargetID
	o        influx.Options
}

const twiceHours = 24

func writeTwice(t *testing.T) *writtenTwice {
	t.Helper()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	w := &writtenTwice{dir: t.TempDir(), from: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), o: influx.Options{URL: srv.URL, Bucket: "hardware/autogen", Timeout: 20 * time.Second}}
	w.to = w.from.Add(twiceHours * time.Hour)
	w.open(t, sqlite.Retention{})
	h := past{From: w.from, To: w.to, Every: 10 * time.Minute, Health: 30 * time.Minute, Log: slog.New(slog.DiscardHandler)}
	at := func(after time.Duration, do func(*bmcsim.Machine)) pastStep { return pastStep{w.from.Add(after), do} }
	place := health.Target{Site: "bontang", Rack: "A1", Origin: health.OriginSim, Labels: map[string]string{"owner": "diskominfo"}}
	servers := []pastServer{
		{Target: place, Machine: bmcsim.NewMachine(bmcsim.ProfileModern, "wet", 1), Driver: health.DriverRedfish, Steps: []pastStep{
			at(13*time.Hour, func(m *bmcsim.Machine) { m.WetLeak(0) }), at(13*time.Hour+12*time.Minute, (*bmcsim.Machine).HostOff),
			at(15*time.Hour+20*time.Minute, (*bmcsim.Machine).HostOn), at(15*time.Hour, func(m *bmcsim.Machine) { m.DryLeak(0) }),
			at(15*time.Hour+37*time.Minute, func(m *bmcsim.Machine) { m.FailPSU(1) }),
		}, Silent: []span{{w.from.Add(10 * time.Hour), w.from.Add(11*time.Hour + 20*time.Minute)}}},
		{Target: place, Machine: bmcsim.NewMachine(bmcsim.ProfileBoard, "dry", 1), Driver: health.DriverIPMI},
	}
	for i := range servers {
		s := &servers[i]
		s.Target.ID, s.Target.Driver = health.TargetID(s.Machine.Name()), s.Driver
		w.servers = append(w.servers, s.Target.ID)
	}
	if err := h.play(t.Context(), servers, w.db); err != nil {
		t.Fatal(err)
	}
	// A visit that tells of ticks that were not tried, in the hour that is otherwise empty.
	v := &health.Visit{
		Target: "dry", Started: w.to.Add(90 * time.Minute), Result: health.Done, Origin: health.OriginSim, Due: map[health.Tier]time.Time{health.TierReadings: w.to.Add(90 * time.Minute)},
		Snapshot: &health.Snapshot{Target: "dry", At: w.to.Add(90 * time.Minute), Tiers: health.TiersOf(health.TierReadings), HostPower: health.HostOn},
		Skipped:  []health.TickRange{{Tier: health.TierReadings, First: w.to, Last: w.to.Add(85 * time.Minute), Count: 18, Reason: health.ReasonNotRunning}},
	}
	v.ID = health.VisitID(v)
	if err := w.db.Record(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	w.to = w.to.Add(2 * time.Hour)
	last, err := w.db.MaxSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sink, err := influx.New(w.o, w.db, func(id health.TargetID) (health.Target, bool) { return health.Target{ID: id}, true })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sink.Run(ctx) }()
	eventually(t, "all is delivered", func() bool { return sink.State().Cursor >= last })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *writtenTwice) reader(t *testing.T) *influx.Reader {
	t.Helper()
	r, err := influx.NewReader(w.o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// open opens the store, anew if it is open.
func (w *writtenTwice) open(t *testing.T, r sqlite.Retention) {
	t.Helper()
	if w.db != nil {
		if err := w.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqlite.Open(t.Context(), w.dir, sqlite.Options{CommitEvery: time.Millisecond, CommitMax: 2, Sinks: []string{influx.DefaultName}, Retention: r})
	if err != nil {
		t.Fatal(err)
	}
	w.db = db
	t.Cleanup(func() { db.Close() })
}

// asInflux is an hour of the store as InfluxDB is said to bear it: docs/SCHEMA.md.
func asInflux(h *health.HourFacts) *health.HourFacts {
	x := *h
	x.Source, x.Skipped = health.HourOfInflux, nil
	x.FirstAt, x.LastAt, x.Still = time.Time{}, time.Time{}, nil // by the hour: TestHoursReadAsAWhole
	x.Parts = slices.Clone(h.Parts)
	return &x
}

// One history for all: it takes seconds to make.
func TestRealReportsFromInfluxDB(t *testing.T) {
	t.Parallel()
	w := writeTwice(t)
	w.sameHours(t)
	if t.Failed() {
		return
	}
	w.whatRetentionTook(t)
	w.reports(t)
}

// sameHours compares InfluxDB with the store while that is whole.
func (w *writtenTwice) sameHours(t *testing.T) {
	r := w.reader(t)
	for _, id := range w.servers {
		hours := func(from func(context.Context, health.TargetID, time.Time, time.Time, func(*health.HourFacts) error) error, a, b time.Time) (out []*health.HourFacts, skipped []health.TickRange) {
			t.Helper()
			if err := from(t.Context(), id, a, b, func(h *health.HourFacts) error {
				out = append(out, asInflux(h))
				for _, s := range h.Skipped {
					s.Reason = "" // InfluxDB has none
					skipped = append(skipped, s)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return out, skipped
		}
		for _, span := range [][2]time.Time{{}, {w.from.Add(9*time.Hour + time.Minute), w.from.Add(16 * time.Hour)}} {
			want, wantSkipped := hours(w.db.Hours, span[0], span[1])
			got, gotSkipped := hours(r.Hours, span[0], span[1])
			if len(want) < 6 {
				t.Fatalf("%d hours", len(want))
			}
			// The run of skipped ticks stands in the hour in which it begins, the store's in that of the visit that tells of it.
			got = slices.DeleteFunc(got, func(h *health.HourFacts) bool { return len(h.Ticks)+len(h.Series)+len(h.Parts) == 0 })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s from %s: hours (-store +InfluxDB):\n%.6000s", id, span[0], diff)
			}
			if diff := cmp.Diff(wantSkipped, gotSkipped); diff != "" {
				t.Errorf("%s: skipped (-store +InfluxDB):\n%s", id, diff)
			}
		}
		events := func(all []health.Event, err error) []health.Event {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			for i := range all { // what InfluxDB does not have
				all[i].Evidence, all[i].Subject, all[i].SourceSeverity = nil, "", 0
			}
			return all
		}
		want := events(w.db.Events(t.Context(), time.Time{}, time.Time{}, id))
		var got []health.Event
		if err := r.EachEvent(t.Context(), id, time.Time{}, time.Time{}, func(e *health.Event) error {
			if e.From != r.Source() {
				t.Errorf("event from %q", e.From)
			}
			e.From = ""
			got = append(got, *e)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: events (-store +InfluxDB):\n%.4000s", id, diff)
		}
		faults, err := w.db.Faults(t.Context(), sqlite.FaultFilter{Target: id})
		if err != nil {
			t.Fatal(err)
		}
		// An event's time tells its place in its visit too, in nanoseconds.
		state := func(fs []health.Fault) map[string]string {
			m := map[string]string{}
			for _, f := range fs {
				m[f.ID] = strings.Join([]string{string(f.Component), string(f.Kind), f.Severity.String(), string(f.State), f.Opened.Truncate(time.Microsecond).String(), f.Cleared.Truncate(time.Microsecond).String()}, " ")
			}
			return m
		}
		if diff := cmp.Diff(state(faults), state(influx.FaultsOf(got))); diff != "" || id == "wet" && len(faults) < 3 {
			t.Errorf("%s: %d faults (-store +InfluxDB):\n%s", id, len(faults), diff)
		}
	}
}

func hoursOf(t *testing.T, id health.TargetID, from interface {
	Hours(context.Context, health.TargetID, time.Time, time.Time, func(*health.HourFacts) error) error
}) (out []*health.HourFacts) {
	t.Helper()
	if err := from.Hours(t.Context(), id, time.Time{}, time.Time{}, func(h *health.HourFacts) error { out = append(out, h); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// whatRetentionTook cuts the store, first the visits, then the rollups too, and reads the whole from both.
func (w *writtenTwice) whatRetentionTook(t *testing.T) {
	whole := map[health.TargetID][]*health.HourFacts{}
	for _, id := range w.servers {
		for _, h := range hoursOf(t, id, w.db) {
			whole[id] = append(whole[id], asInflux(h))
		}
	}
	kept := 6 * time.Hour
	cut := w.to.Add(-kept)
	if err := w.db.CompactBefore(t.Context(), w.to); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		retention sqlite.Retention
		left      health.HourSource
		asked     health.HourSource
	}{
		{sqlite.Retention{Raw: kept}, health.HourOfRollups, health.HourOfBoth},
		{sqlite.Retention{Raw: kept, Rollups: time.Hour}, "", health.HourOfInflux},
	} {
		w.open(t, step.retention)
		if err := w.db.Retain(t.Context(), w.to); err != nil {
			t.Fatal(err)
		}
		two := &twoSources{store: storeReader{w.db}, other: w.reader(t), old: map[health.TargetID]*before{}}
		for _, id := range w.servers {
			var got []*health.HourFacts
			for _, h := range hoursOf(t, id, two) {
				want := health.HourOfVisits
				if h.At.Before(cut) {
					want = step.asked
				}
				if len(h.Ticks)+len(h.Series)+len(h.Parts) == 0 {
					continue // a run of skipped ticks alone: see sameHours
				}
				if h.Source != want || !h.Whole {
					t.Errorf("%s: the hour %s is of %q, whole %t, want %q", id, h.At, h.Source, h.Whole, want)
				}
				got = append(got, asInflux(h))
			}
			if diff := cmp.Diff(whole[id], got); diff != "" {
				t.Errorf("%s, rollups kept %s: hours (-whole store +both):\n%.4000s", id, step.retention.Rollups, diff)
			}
			alone := hoursOf(t, id, w.db)
			for _, h := range alone {
				if h.At.Before(cut) && (h.Source != step.left || h.Whole || h.Power != (health.PowerCount{}) || len(h.Parts) > 0) {
					t.Errorf("%s: the store alone has the hour %s of %q, %+v", id, h.At, h.Source, h.Power)
				}
			}
			if n := len(whole[id]) - len(alone); step.left == "" && n < 10 || step.left != "" && n != 0 {
				t.Errorf("%s: the store alone lacks %d of %d hours", id, n, len(whole[id]))
			}
			if at, ok, err := w.db.WholeSince(t.Context(), id); err != nil || !ok || !at.Equal(cut) {
				t.Errorf("%s is whole since %s, %t, %v; want %s", id, at, ok, err, cut)
			}
		}
	}
}

// reports are those of the command, from the cut store.
func (w *writtenTwice) reports(t *testing.T) {
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	type rep struct {
		Source, Verdict string
		Elsewhere       string `json:"other_source"`
		Unasked         string `json:"other_source_failure"`
		Servers         []struct {
			Target, Verdict string
			Reasons         []struct{ Gate, Detail string }
			Coverage        []struct {
				Window  string
				Sources []struct {
					Source string
					Hours  int
				}
			}
			Identity struct {
				Now struct{ Serial string }
			}
		}
	}
	make := func(data, url, source string) (rep, string, string, int) {
		t.Helper()
		dir := t.TempDir()
		conf, out := filepath.Join(dir, "dewline.toml"), filepath.Join(dir, "out")
		text := fmt.Sprintf("data_dir = %q\n[influxdb]\nurl = %q\nbucket = \"hardware/autogen\"\ntimeout = \"1s\"\n[[target]]\nname = \"wet\"\naddress = \"https://127.0.0.1:1\"\norigin = \"sim\"\ncredential = \"c\"\n[[credential]]\nname = \"c\"\nusername = \"u\"\npassword = \"env:DEWLINE_TEST_NONE\"\n", data, url)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		p := &program{stdout: &stdout, stderr: &stderr, getenv: os.Getenv}
		code := p.main(t.Context(), []string{"report", "verification", "-c", conf, "--incident", w.from.Add(13*time.Hour + 5*time.Minute).Format(time.RFC3339), "--target", "wet",
			"--baseline", "2d", "--soak", "4h", "--generated-at", w.to.Format(time.RFC3339), "--source", source, "--out", out, "--key", filepath.Join(dir, "key")})
		var r rep
		if code == 0 {
			b, err := os.ReadFile(filepath.Join(out, "report.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &r); err != nil {
				t.Fatal(err)
			}
		}
		return r, out, stderr.String(), code
	}
	gated := func(r rep) bool {
		return len(r.Servers) == 1 && slices.ContainsFunc(r.Servers[0].Reasons, func(x struct{ Gate, Detail string }) bool {
			return x.Gate == "other_source" && strings.Contains(x.Detail, w.o.URL)
		})
	}
	hours := func(r rep, source string) (n int) {
		for _, c := range r.Servers[0].Coverage {
			for _, s := range c.Sources {
				if s.Source == source {
					n += s.Hours
				}
			}
		}
		return n
	}

	r, out, errs, code := make(w.dir, w.o.URL, "auto")
	if code != 0 || !gated(r) || !strings.Contains(r.Elsewhere, w.o.URL) || hours(r, "influxdb") == 0 || hours(r, "visits") == 0 || r.Servers[0].Identity.Now.Serial == "" {
		t.Errorf("auto: exit %d, %+v\n%s", code, r, errs)
	}
	if st, err := os.Stat(filepath.Join(out, "data", "01", "points.jsonl")); err != nil || st.Size() == 0 {
		t.Errorf("the evidence has no points of InfluxDB: %v", err)
	}
	var said bytes.Buffer
	p := &program{stdout: &said, stderr: &said, getenv: os.Getenv}
	if code := p.main(t.Context(), []string{"report", "verify", out}); code != 0 || !strings.Contains(said.String(), "a part of its data from InfluxDB at "+w.o.URL) {
		t.Errorf("verify: exit %d\n%s", code, &said)
	}

	if r, _, errs, code = make(w.dir, w.o.URL, "store"); code != 0 || gated(r) || r.Elsewhere != "" || hours(r, "influxdb") != 0 {
		t.Errorf("store: exit %d, %+v\n%s", code, r, errs)
	}
	const nobody = "http://127.0.0.1:1"
	if r, _, errs, code = make(w.dir, nobody, "auto"); code != 0 || !strings.Contains(r.Unasked, nobody) || r.Elsewhere != "" || !strings.Contains(errs, "could not be asked") {
		t.Errorf("auto without InfluxDB: exit %d, %+v\n%s", code, r, errs)
	}
	if _, out, errs, code = make(w.dir, nobody, "influxdb"); code != exitFailed || !strings.Contains(errs, nobody) {
		t.Errorf("influxdb without InfluxDB: exit %d\n%s", code, errs)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a report was left that was not made")
	}
	// The machine's disk is gone: what it had delivered is not.
	if r, _, errs, code = make(filepath.Join(t.TempDir(), "gone"), w.o.URL, "influxdb"); code != 0 || !gated(r) || hours(r, "visits") != 0 || r.Verdict == "verified" || len(r.Servers[0].Coverage) == 0 {
		t.Errorf("influxdb without a store: exit %d, %+v\n%s", code, r, errs)
	}
}

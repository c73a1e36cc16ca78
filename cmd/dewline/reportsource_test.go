package main

import (
	"context"
	"log/slog"
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

func writeTwice(t *testing.T, retention sqlite.Retention) *writtenTwice {
	t.Helper()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	w := &writtenTwice{dir: t.TempDir(), from: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), o: influx.Options{URL: srv.URL, Bucket: "hardware/autogen", Timeout: 20 * time.Second}}
	w.to = w.from.Add(twiceHours * time.Hour)
	var err error
	if w.db, err = sqlite.Open(t.Context(), w.dir, sqlite.Options{CommitEvery: time.Millisecond, CommitMax: 2, Sinks: []string{influx.DefaultName}, Retention: retention}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	h := past{From: w.from, To: w.to, Every: 10 * time.Minute, Health: 30 * time.Minute, Log: slog.New(slog.DiscardHandler)}
	at := func(after time.Duration, do func(*bmcsim.Machine)) pastStep { return pastStep{w.from.Add(after), do} }
	place := health.Target{Site: "bontang", Rack: "A1", Origin: health.OriginSim, Labels: map[string]string{"owner": "diskominfo"}}
	servers := []pastServer{
		{Target: place, Machine: bmcsim.NewMachine(bmcsim.ProfileModern, "wet", 1), Driver: health.DriverRedfish, Steps: []pastStep{
			at(13*time.Hour, func(m *bmcsim.Machine) { m.WetLeak(0) }), at(13*time.Hour+12*time.Minute, (*bmcsim.Machine).HostOff),
			at(15*time.Hour+20*time.Minute, (*bmcsim.Machine).HostOn), at(15*time.Hour, func(m *bmcsim.Machine) { m.DryLeak(0) }),
			at(20*time.Hour+7*time.Minute, func(m *bmcsim.Machine) { m.FailPSU(1) }),
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
	for sink.State().Cursor < last {
		time.Sleep(10 * time.Millisecond)
		if t.Context().Err() != nil {
			t.Fatal("not delivered: ", sink.State())
		}
	}
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

// asInflux is an hour of the store as InfluxDB is said to bear it: docs/SCHEMA.md.
func asInflux(h *health.HourFacts) *health.HourFacts {
	x := *h
	x.Source, x.Skipped = health.HourOfInflux, nil
	x.Parts = slices.Clone(h.Parts)
	return &x
}

func TestRealHoursFromInfluxDBAreThoseOfTheStore(t *testing.T) {
	t.Parallel()
	w := writeTwice(t, sqlite.Retention{})
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
		if err := r.EachEvent(t.Context(), id, time.Time{}, time.Time{}, func(e *health.Event) error { got = append(got, *e); return nil }); err != nil {
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

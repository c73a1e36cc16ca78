package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/store/sqlite"
)

// full is a recorder whose disk is full after some visits.
type full struct {
	*sqlite.DB
	room atomic.Int32
}

var errFull = errors.New("no space left")

func (f *full) Record(ctx context.Context, v *health.Visit) error {
	if f.room.Add(-1) < 0 {
		return errFull
	}
	return f.DB.Record(ctx, v)
}

// TestAPastThatCannotBeWritten: the visits that wait behind the one that failed do not hold the end up.
func TestAPastThatCannotBeWritten(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{CommitEvery: time.Millisecond, CommitMax: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	h := past{From: from, To: from.Add(48 * time.Hour), Every: 5 * time.Minute, Health: time.Hour, Log: slog.New(slog.DiscardHandler)}
	f := &full{DB: db}
	f.room.Store(5)
	err = h.play(t.Context(), []pastServer{{Target: health.Target{ID: "i", Driver: health.DriverIPMI}, Machine: bmcsim.NewMachine(bmcsim.ProfileBoard, "i", 1), Driver: health.DriverIPMI}}, f)
	if !errors.Is(err, errFull) {
		t.Fatalf("%v, want %v", err, errFull)
	}
}

func TestAPastIsPlayed(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{CommitEvery: time.Millisecond, CommitMax: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	h := past{From: from, To: from.Add(6 * time.Hour), Every: 5 * time.Minute, Health: 15 * time.Minute, Log: slog.New(slog.DiscardHandler)}
	rack := health.Target{Rack: "A1", Origin: health.OriginSim}
	server := func(id health.TargetID, p bmcsim.Profile, driver string, steps ...pastStep) pastServer {
		t := rack
		t.ID, t.Driver = id, driver
		return pastServer{Target: t, Machine: bmcsim.NewMachine(p, string(id), 1), Driver: driver, Steps: steps}
	}
	servers := []pastServer{
		server("r", bmcsim.ProfileModern, health.DriverRedfish, pastStep{from.Add(2*time.Hour + time.Minute), func(m *bmcsim.Machine) { m.FailPSU(1) }}),
		server("i", bmcsim.ProfileBoard, health.DriverIPMI, pastStep{from.Add(3 * time.Hour), (*bmcsim.Machine).HostOff}),
	}
	servers[0].Silent = []span{{from.Add(4 * time.Hour), from.Add(5 * time.Hour)}}
	if err := h.play(t.Context(), servers, db); err != nil {
		t.Fatal(err)
	}
	hours := map[health.TargetID][]*health.HourFacts{}
	for _, s := range servers {
		if err := db.Hours(t.Context(), s.Target.ID, time.Time{}, time.Time{}, func(f *health.HourFacts) error {
			hours[s.Target.ID] = append(hours[s.Target.ID], f)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n := len(hours[s.Target.ID]); n != 6 {
			t.Fatalf("%s has %d hours", s.Target.ID, n)
		}
	}
	if f := hours["r"][4]; f.Ticks[0].Failed != 12 || f.Power.On != 0 {
		t.Errorf("the silent hour: %+v %+v", f.Ticks, f.Power)
	}
	if f := hours["i"][4]; f.Power.Off != 12 || f.Power.On != 0 {
		t.Errorf("the hour without power: %+v", f.Power)
	}
	events, err := db.Events(t.Context(), time.Time{}, time.Time{}, "r")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range events {
		if e.Class == health.ClassPSU && e.Transition == health.Asserted {
			found = true
			if at := from.Add(2*time.Hour + 5*time.Minute); e.At.Sub(at) > time.Minute || e.At.Before(at) {
				t.Errorf("the power supply failed at %s", e.At)
			}
		}
		for _, q := range []health.Kind{health.KindCommLost} {
			if e.Kind == q && e.At.Before(from.Add(4*time.Hour)) {
				t.Errorf("%s at %s", e.Kind, e.At)
			}
		}
	}
	if !found {
		t.Errorf("no fault of the power supply among %d events", len(events))
	}
}

func BenchmarkPast(b *testing.B) {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		db, err := sqlite.Open(b.Context(), b.TempDir(), sqlite.Options{CommitEvery: time.Millisecond, CommitMax: 6})
		if err != nil {
			b.Fatal(err)
		}
		h := past{From: from, To: from.Add(24 * time.Hour), Every: 5 * time.Minute, Health: 15 * time.Minute, Log: slog.New(slog.DiscardHandler)}
		var servers []pastServer
		for i, p := range bmcsim.Profiles() {
			driver := health.DriverRedfish
			if i%2 == 1 {
				driver = health.DriverIPMI
			}
			id := health.TargetID(p.Name)
			servers = append(servers, pastServer{Target: health.Target{ID: id, Driver: driver}, Machine: bmcsim.NewMachine(p, p.Name, 1), Driver: driver})
		}
		if err := h.play(b.Context(), servers, db); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(servers)*288), "visits")
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

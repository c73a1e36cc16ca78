package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"dewline/collector"
	"dewline/health"
	"dewline/store/sqlite"
)

// A small room whose truth is written down here: eight days of three servers, a leak on the seventh, and what the reports on it are
// compared with. Its BMCs are functions of time; everything behind them is the program's own.
var (
	roomFrom   = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	roomLeak   = roomFrom.Add(6*24*time.Hour + 2*time.Hour + 5*time.Minute)
	roomOff    = roomLeak.Add(25 * time.Minute)
	roomOn     = roomLeak.Add(7 * time.Hour)
	roomTo     = roomFrom.Add(8*24*time.Hour + 12*time.Hour)
	roomFails  = roomTo.Add(-3 * time.Hour) // a power supply of db-2
	roomReport = roomTo.Add(10 * time.Minute)
)

// roomBMC is a server's BMC as a function of time.
type roomBMC struct {
	name  string
	now   time.Time
	i     int
	later time.Duration // than the times above
}

func (b *roomBMC) Close(context.Context) error { return nil }

func (b *roomBMC) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	s, err := b.read(ctx, req)
	s.At = s.At.Add(b.later)
	for i := range s.Log {
		s.Log[i].Created, s.Log[i].Observed = s.Log[i].Created.Add(b.later), s.Log[i].Observed.Add(b.later)
	}
	return s, err
}

func (b *roomBMC) read(_ context.Context, req health.Request) (*health.Snapshot, error) {
	wet := b.name != "web-1"
	off := wet && !b.now.Before(roomOff) && b.now.Before(roomOn)
	s := &health.Snapshot{
		Target: health.TargetID(b.name), Driver: health.DriverRedfish, At: b.now, Took: 300 * time.Millisecond, Tiers: req.Tiers, Scope: []string{"/all"},
		HostPower: health.HostOn, Cost: health.Cost{Requests: 4, Bytes: 9000},
		Identity: &health.Identity{Manufacturer: "Example", Model: "E-200", Serial: "SN-" + b.name, AssetTag: "A" + b.name, HostName: b.name + ".example.org", BIOS: "1.4", BMCFirmware: "2.70.70.70"},
	}
	if off {
		s.HostPower = health.HostOff
	}
	add := func(class health.Class, id, name string, state health.State, readings ...health.Reading) {
		c := health.Component{
			ID: health.ComponentID(id), Class: class, Name: name, Model: "M-" + string(class), Serial: fmt.Sprintf("%s-%s", b.name, id), Firmware: "7", Presence: health.Present, State: state,
			Place: "/all", Tier: health.TierReadings,
		}
		if off && (class == health.ClassFan || class == health.ClassDrive) {
			c.State, readings = health.Unknown, nil
		}
		if class == health.ClassTemperature {
			c.Context = "intake"
		}
		s.Components = append(s.Components, c)
		for _, r := range readings {
			r.Component = c.ID
			s.Readings = append(s.Readings, r)
		}
	}
	b.i++
	wave := float64(b.i%7) / 4
	ok := health.OK
	add(health.ClassFan, "fan/1", "Fan 1", ok, health.Reading{Quantity: health.Speed, Unit: health.RPM, Value: 6000 + 60*wave})
	for k := 1; k <= 2; k++ {
		state := ok
		if k == 2 && b.name == "db-2" && !b.now.Before(roomFails) {
			state = health.Critical
		}
		add(health.ClassPSU, fmt.Sprint("psu/", k), fmt.Sprint("PSU ", k), state)
	}
	add(health.ClassTemperature, "temperature/inlet", "Inlet", ok, health.Reading{Quantity: health.Temperature, Unit: health.Celsius, Value: 22 + wave})
	watts := 210 + 4*wave
	if off {
		watts = 9
	}
	add(health.ClassPower, "power/1", "Total power", ok, health.Reading{Quantity: health.Power, Unit: health.Watt, Value: watts})
	add(health.ClassDrive, "drive/1", "Disk 1", ok, health.Reading{Quantity: health.LifeLeft, Unit: health.Percent, Value: 91}, health.Reading{Quantity: health.MediaErrors, Unit: health.Number, Value: 0})
	leak := ok
	if b.name == "db-1" && !b.now.Before(roomLeak) && b.now.Before(roomLeak.Add(4*time.Hour)) {
		leak = health.Critical
	}
	add(health.ClassLeakDetector, "leak/1", "Leak detector 1", leak)
	if b.name == "db-1" && b.now.Equal(roomOn.Truncate(30*time.Minute).Add(30*time.Minute)) {
		s.Log = []health.LogEntry{{
			Source: "Lclog", ID: "77", Key: []byte("k77"), Raw: []byte(`{"Id":"77","Message":"Successfully logged in using jdoe, from 10.1.2.3 and GUI."}`), Created: b.now.Add(-90 * time.Second),
			Observed: b.now, Severity: health.SeverityInfo, Message: "Successfully logged in using jdoe, from 10.1.2.3 and GUI.", MessageID: "USR0030",
		}}
	}
	return s, nil
}

// makeRoom records the room in DIR/data, until a time.
func makeRoom(t testing.TB, dir string, until time.Time) string {
	t.Helper()
	data := filepath.Join(dir, "data")
	db, err := sqlite.Open(t.Context(), data, sqlite.Options{Log: slog.New(slog.DiscardHandler), CommitEvery: 2 * time.Millisecond, CommitMax: 1})
	if err != nil {
		t.Fatal(err)
	}
	playRoom(t, db, roomFrom, until, 0, "db-1", "db-2", "web-1") // one after the other: the chain of events hangs on their order
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

// playRoom makes the visits of a span, as if it all had been so much later.
func playRoom(t testing.TB, db *sqlite.DB, from, until time.Time, later time.Duration, names ...string) {
	t.Helper()
	c := collector.New(collector.Options{Recorder: db, Log: slog.New(slog.DiscardHandler)})
	for _, name := range names {
		target := health.Target{ID: health.TargetID(name), Driver: health.DriverRedfish, Address: "https://" + name + ".bmc.example.org", Site: "bontang", Rack: "A1", Position: 3}
		if name == "web-1" {
			target.Rack = "B1"
		}
		known, err := db.Recall(t.Context(), target.ID)
		if err != nil {
			t.Fatal(err)
		}
		known = known.For(target)
		bmc := &roomBMC{name: name, later: later}
		for at := from; at.Before(until); at = at.Add(30 * time.Minute) {
			bmc.now = at
			at := at.Add(later)
			due := map[health.Tier]time.Time{health.TierReadings: at, health.TierEvents: at, health.TierHealth: at, health.TierInventory: at}
			if _, err := c.Visit(t.Context(), target, known, bmc, due, at); err != nil {
				t.Fatal(err)
			}
		}
	}
}

package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"dewline/health"
	"dewline/report/reporttest"
	"dewline/store/influx"
	"dewline/store/influx/influxtest"
	"dewline/store/sqlite"
)

// TestRealFleetReadersConform runs one suite over the embedded store and a real InfluxDB that took its visits.
func TestRealFleetReadersConform(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	db, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{CommitEvery: time.Millisecond, Sinks: []string{influx.DefaultName}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	until := from.Add(48 * time.Hour)
	truth := &reporttest.Fleet{}
	var visits []*health.Visit
	for s := range 3 {
		m := reporttest.NewMachine(health.Target{ID: health.TargetID(fmt.Sprint("db-", s))})
		truth.Machines = append(truth.Machines, m)
		for i := range 48 * 4 {
			at := from.Add(time.Duration(i)*15*time.Minute + time.Duration(s*100)*time.Second)
			if s == 1 && i > 60 && i < 140 || i%11 == s { // not read is absent, in every source
				continue
			}
			v := &health.Visit{
				Target: m.Target.ID, Started: at, Took: time.Second, Result: health.Done, Due: map[health.Tier]time.Time{health.TierReadings: at},
				Snapshot: &health.Snapshot{Target: m.Target.ID, At: at, Tiers: health.TiersOf(health.TierReadings), HostPower: health.HostOn},
			}
			read := func(c health.ComponentID, class health.Class, q health.Quantity, u health.Unit, x float64) {
				m.Read(health.SeriesID{Component: c, Quantity: q, Unit: u}, class, at, x)
				v.Snapshot.Components = append(v.Snapshot.Components, health.Component{ID: c, Class: class, State: health.OK, Presence: health.Present})
				v.Snapshot.Readings = append(v.Snapshot.Readings, health.Reading{Component: c, Quantity: q, Unit: u, Value: x})
			}
			read("power/total", health.ClassPower, health.Power, health.Watt, 300+float64(i%37)*1.5)
			read("temperature/Inlet", health.ClassTemperature, health.Temperature, health.Celsius, 20+float64(i%9)/2)
			read("humidity/room", health.ClassHumidity, health.DewPoint, health.Celsius, -1+float64(i%5)*0.01)
			if i%2 == 0 {
				read("fan/1", health.ClassFan, health.Duty, health.Percent, float64(i%60))
			}
			for _, c := range v.Snapshot.Components {
				v.Delta.Components = append(v.Delta.Components, health.KnownComponent{Component: c, Since: at})
			}
			if i%50 == 7 {
				e := health.Event{ID: fmt.Sprint("e", s, "-", i), Target: m.Target.ID, Component: "fan/1", Class: health.ClassFan, Kind: health.KindDegraded, Severity: health.SeverityWarning, Transition: health.Momentary, At: at, Source: "poll"}
				v.Events, truth.Events = append(v.Events, e), append(truth.Events, e)
			}
			// Of fan/1: one fault that is over before seven o'clock, one that gets worse and stays open, one that is over five hours before the end; of fan/2 one
			// that ends after it.
			tell := func(c health.ComponentID, opened int, tr health.Transition, severity health.Severity) {
				id := fmt.Sprint("f", s, "-", opened)
				e := health.Event{
					ID: fmt.Sprint(id, tr), FaultID: id, Target: m.Target.ID, Component: c, Class: health.ClassFan, Kind: health.KindFailed, Severity: severity, Transition: tr,
					At: at.Add(time.Duration(len(v.Events))), Source: "poll",
				}
				k := slices.IndexFunc(truth.Faults, func(f health.Fault) bool { return f.ID == id })
				if k < 0 {
					k = len(truth.Faults)
					truth.Faults = append(truth.Faults, health.Fault{ID: id, Target: e.Target, Component: c, Class: e.Class, Kind: e.Kind, Opened: e.At})
				}
				f := &truth.Faults[k]
				f.Severity, f.State, f.Changed = severity, health.Asserted, e.At
				if tr == health.Cleared {
					f.State, f.Cleared = tr, e.At
				}
				v.Events, truth.Events, v.Delta.Faults = append(v.Events, e), append(truth.Events, e), append(v.Delta.Faults, *f)
			}
			for _, x := range []struct {
				i, opened int
				c         health.ComponentID
				tr        health.Transition
				severity  health.Severity
			}{
				{5, 5, "fan/1", health.Asserted, health.SeverityWarning}, {16, 5, "fan/1", health.Cleared, health.SeverityWarning},
				{20, 20, "fan/1", health.Asserted, health.SeverityWarning}, {20, 21, "fan/2", health.Asserted, health.SeverityCritical}, {24, 20, "fan/1", health.Escalated, health.SeverityCritical},
				{26, 26, "fan/1", health.Asserted, health.SeverityWarning}, {145, 26, "fan/1", health.Cleared, health.SeverityWarning}, {185, 21, "fan/2", health.Cleared, health.SeverityCritical},
			} {
				if x.i == i {
					tell(x.c, x.opened, x.tr, x.severity)
				}
			}
			v.ID = health.VisitID(v)
			visits = append(visits, v)
		}
	}
	for _, v := range visits {
		if err := db.Record(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	o := influx.Options{URL: srv.URL, Bucket: "hardware/autogen", Timeout: 20 * time.Second}
	sink, err := influx.New(o, db, func(id health.TargetID) (health.Target, bool) { return health.Target{ID: id}, true })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sink.Run(ctx) }()
	last, err := db.MaxSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is delivered", func() bool { return sink.State().Cursor >= last })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r, err := influx.NewReader(o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	t.Run("InfluxDB", func(t *testing.T) { reporttest.Conform(t, &influxFleet{Reader: r}, truth, from, until) })
	t.Run("store", func(t *testing.T) { reporttest.Conform(t, storeReader{db}, truth, from, until) })
	if err := db.CompactBefore(t.Context(), until.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	t.Run("compacted store", func(t *testing.T) { reporttest.Conform(t, storeReader{db}, truth, from, until) })
}

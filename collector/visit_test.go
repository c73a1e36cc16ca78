package collector_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dewline/collector"
	"dewline/health"
	"dewline/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		fmt.Fprintln(os.Stderr, runUntilKilled(dir, os.Getenv(killWorld)))
		os.Exit(1)
	}
	if dir := os.Getenv(onceDir); dir != "" {
		fmt.Fprintln(os.Stderr, runOnceUntilKilled(dir))
		os.Exit(1)
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// wet is a machine in damp air whose inlet is close to the dew point.
func wet(humidity float64) func(context.Context, int, health.Request) (*health.Snapshot, error) {
	return func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
		s := healthy(req)
		for _, c := range []struct {
			name  string
			class health.Class
			q     health.Quantity
			u     health.Unit
			v     float64
		}{
			{"Room Humidity", health.ClassHumidity, health.RelativeHumidity, health.Percent, humidity},
			{"Room Temp", health.ClassTemperature, health.Temperature, health.Celsius, 24},
			{"Inlet Temp", health.ClassTemperature, health.Temperature, health.Celsius, 21},
		} {
			id := health.ComponentID("sensor/" + c.name)
			s.Components = append(s.Components, health.Component{ID: id, Class: c.class, Name: c.name, Presence: health.Present, State: health.OK, Place: "sdr"})
			s.Readings = append(s.Readings, health.Reading{Component: id, Quantity: c.q, Unit: c.u, Value: c.v})
		}
		s.Scope = append(s.Scope, "sdr")
		return s, nil
	}
}

func TestPoll(t *testing.T) {
	target := health.Target{ID: "db-1", Driver: health.DriverAuto, Origin: health.OriginSim}
	t.Run("finds what is wrong now", func(t *testing.T) {
		v := collector.Poll(t.Context(), &fake{read: wet(90)}, target, health.EveryTier, 5)
		if v.Result != health.Done || v.Tiers() != health.EveryTier || v.Origin != health.OriginSim || v.Driver != health.DriverRedfish {
			t.Fatalf("visit %+v", v)
		}
		var kinds []string
		for _, f := range v.Delta.Faults {
			kinds = append(kinds, fmt.Sprintf("%s %s %s", f.Component, f.Kind, f.Severity))
		}
		if fmt.Sprint(kinds) != "[sensor/Inlet Temp condensation_risk critical sensor/Room Humidity humidity_high warning]" {
			t.Errorf("faults %v", kinds)
		}
		if len(v.Unread) != 0 {
			t.Errorf("unread %v", v.Unread)
		}
	})
	t.Run("says why nothing could be read", func(t *testing.T) {
		v := collector.Poll(t.Context(), &fake{read: func(context.Context, int, health.Request) (*health.Snapshot, error) { return unreachable() }}, target, health.EveryTier, 0)
		if v.Result != health.Failed || v.Reason != health.ReasonUnreachable || !strings.Contains(v.Error, "no route") || v.Cost.Connections != 1 {
			t.Errorf("visit %+v", v)
		}
		if len(v.Delta.Faults) != 0 || len(v.Events) != 0 {
			t.Errorf("faults of a machine that was not read: %v", v.Delta.Faults)
		}
	})
	t.Run("passes on how much of a log is wanted", func(t *testing.T) {
		collector.Poll(t.Context(), &fake{read: func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			if req.LogLimit != -1 {
				t.Errorf("limit %d", req.LogLimit)
			}
			return healthy(req), nil
		}}, target, health.TiersOf(health.TierEvents), -1)
	})
	t.Run("interrupted is not failed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		v := collector.Poll(ctx, &fake{read: func(ctx context.Context, _ int, _ health.Request) (*health.Snapshot, error) {
			cancel()
			return hang(ctx)
		}}, target, health.EveryTier, 0)
		if v.Result != health.Missed || v.Reason != health.ReasonStopped {
			t.Errorf("visit %s %s", v.Result, v.Reason)
		}
	})
	bubble(t, "a BMC that takes longer than allowed is a timeout, not a stop", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		v := collector.Poll(ctx, &fake{read: func(ctx context.Context, _ int, _ health.Request) (*health.Snapshot, error) {
			return hang(ctx)
		}}, target, health.EveryTier, 0)
		if v.Result != health.Failed || v.Reason != health.ReasonTimeout || v.Took != 5*time.Second {
			t.Errorf("visit %s %s after %s: %s", v.Result, v.Reason, v.Took, v.Error)
		}
	})
	t.Run("takes out what breaks the rules, and says so", func(t *testing.T) {
		v := collector.Poll(t.Context(), &fake{read: func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			s.Components = append(s.Components, s.Components[0])
			s.Readings = append(s.Readings, health.Reading{Component: "nobody", Quantity: health.Speed, Value: 1})
			return s, nil
		}}, target, health.TiersOf(health.TierReadings), 0)
		if len(v.Snapshot.Components) != 1 || len(v.Snapshot.Readings) != 1 || len(v.Snapshot.Gaps) != 2 {
			t.Errorf("snapshot %+v", v.Snapshot)
		}
	})
}

func TestVisitMakesHistory(t *testing.T) {
	store := storetest.NewMemory()
	var told []*health.Visit
	c := collector.New(collector.Options{Recorder: store, OnVisit: func(v *health.Visit) { told = append(told, v) }})
	target := health.Target{ID: "db-1", Driver: health.DriverRedfish, Address: "https://db-1"}
	known := health.NewKnown("db-1").For(target)
	begin := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	src := &fake{}
	for i, humidity := range []float64{40, 40, 65, 95, 40} {
		src.read = wet(humidity)
		at := begin.Add(time.Duration(i) * time.Minute)
		v, err := c.Visit(t.Context(), target, known, src, map[health.Tier]time.Time{health.TierReadings: at}, at)
		if err != nil || !v.At().Equal(at) || !v.Snapshot.At.Equal(at) || v.Seq != int64(i)+1 {
			t.Fatalf("visit %d: %v, at %s, %s", i, err, v.At(), v.Snapshot.At)
		}
	}
	want := []string{
		"sensor/Inlet Temp condensation_risk asserted", "sensor/Inlet Temp condensation_risk cleared", "sensor/Inlet Temp condensation_risk escalated",
		"sensor/Room Humidity humidity_high asserted", "sensor/Room Humidity humidity_high cleared",
	}
	if got := slices.Sorted(slices.Values(transitions(told))); !slices.Equal(got, want) { // within a visit the order is by no rule
		t.Errorf("events %q\nwant   %q", got, want)
	}
	if again, err := store.Recall(t.Context(), "db-1"); err != nil || !again.FirstSeen.Equal(begin) || len(again.Components) != len(known.Components) {
		t.Errorf("recalled %+v, %v", again, err)
	}
	t.Run("a store that refuses leaves what is known as it was", func(t *testing.T) {
		store.Refuse(func(*health.Visit) error { return errors.New("disk full") })
		at := begin.Add(time.Hour)
		src.read = wet(95)
		v, err := c.Visit(t.Context(), target, known, src, map[health.Tier]time.Time{health.TierReadings: at}, at)
		if err == nil || len(v.Delta.Faults) != 2 || len(known.Faults) != 0 || known.Ticks[health.TierReadings].Due.Equal(at) {
			t.Errorf("error %v, known %+v", err, known.Faults)
		}
	})
}

func TestAHostThatIsOff(t *testing.T) {
	bubble(t, "its fans and drives are unknown and not ok, and come back without events", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", map[health.Tier]string{health.TierReadings: "@every 60s", health.TierHealth: "@every 60s"}, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			if n >= 5 && n < 10 {
				s.HostPower = health.HostOff // and the service goes on calling the fan ok
				s.Components = s.Components[:1]
			}
			return s, nil
		})
		r.run(20 * time.Minute)
		for i, v := range r.visits() {
			off := i >= 5 && i < 10
			for _, c := range v.Snapshot.Components {
				if (c.State == health.OK) == off {
					t.Errorf("visit %d: %s is %s", i, c.ID, c.State)
				}
			}
			if missing := slices.ContainsFunc(v.Unread, func(r health.ComponentRef) bool { return r.ID == "drive/1" }); missing != off {
				t.Errorf("visit %d: unread %v", i, v.Unread)
			}
			var power []string
			for _, e := range v.Events {
				power = append(power, e.Message)
			}
			if want := map[int]string{5: "[the host is off]", 10: "[the host is on]"}[i]; fmt.Sprint(power) != cmp.Or(want, "[]") {
				t.Errorf("visit %d: events %q, want %s", i, power, want)
			}
		}
	})
}

// bench is a machine of 62 parts with 60 readings.
func bench(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
	s := healthy(health.Request{Tiers: health.TiersOf(health.TierReadings)})
	s.Components = slices.Grow(s.Components, 61)
	for i := range 60 {
		id := benchIDs[i]
		s.Components = append(s.Components, health.Component{ID: id, Class: health.ClassTemperature, Name: "Temp", Presence: health.Present, State: health.OK, Place: "sdr", Tier: health.TierReadings})
		s.Readings = append(s.Readings, health.Reading{Component: id, Quantity: health.Temperature, Unit: health.Celsius, Value: 20 + float64(i)})
	}
	s.Scope = append(s.Scope, "sdr")
	return s, nil
}

var benchIDs = func() (ids [60]health.ComponentID) {
	for i := range ids {
		ids[i] = health.ComponentID(fmt.Sprintf("sensor/%d", i))
	}
	return ids
}()

type discard struct{}

func (discard) Recall(_ context.Context, id health.TargetID) (*health.Known, error) {
	return health.NewKnown(id), nil
}
func (discard) Record(context.Context, *health.Visit) error { return nil }

// What the engine itself costs per visit, the source's 62 parts included.
func BenchmarkVisit(b *testing.B) {
	c := collector.New(collector.Options{Recorder: discard{}})
	target := health.Target{ID: "db-1", Driver: health.DriverRedfish}
	known := health.NewKnown("db-1").For(target)
	src := &fake{read: bench}
	at := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Minute)
		if _, err := c.Visit(b.Context(), target, known, src, map[health.Tier]time.Time{health.TierReadings: at, health.TierEvents: at}, at); err != nil {
			b.Fatal(err)
		}
		src.began = src.began[:0]
	}
}

// Many targets on the default schedule for three minutes of fake time: memory held per target. (Ten thousand need half a
// minute and hold as much each.)
func TestMemoryPerTarget(t *testing.T) {
	const n = 1_000
	synctest.Test(t, func(t *testing.T) {
		var before, during runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		visits := make(chan struct{}, 1<<20)
		shared := &fakeless{}
		jobs := make([]collector.Job, n)
		for i := range jobs {
			jobs[i] = job(t, fmt.Sprintf("db-%d", i), everyMinute)
		}
		c := collector.New(collector.Options{
			Recorder: discard{}, OnVisit: func(*health.Visit) { visits <- struct{}{} },
			Open: func(health.Target, string) (collector.Source, error) { return shared, nil },
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		time.AfterFunc(2*time.Minute+30*time.Second, func() {
			runtime.GC()
			runtime.ReadMemStats(&during)
		})
		if err := c.Run(ctx, jobs); err != nil {
			t.Fatal(err)
		}
		per := (int64(during.HeapAlloc+during.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / n
		t.Logf("%d visits; %d bytes of heap and stack per target of 61 parts", len(visits), per)
		if per > 100_000 {
			t.Errorf("%d bytes per target", per)
		}
		if len(visits) < 2*n {
			t.Errorf("%d visits of %d targets in three minutes", len(visits), n)
		}
	})
}

type fakeless struct{}

func (*fakeless) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	return bench(ctx, 0, req)
}
func (*fakeless) Close(context.Context) error { return nil }

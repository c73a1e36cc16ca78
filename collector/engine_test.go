package collector_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dewline/collector"
	"dewline/health"
)

func TestADayOfSchedule(t *testing.T) {
	bubble(t, "every tick is answered once, in time, and tiers due together are one visit", func(t *testing.T) {
		r := newRig(t)
		for i := range 2 {
			r.add(fmt.Sprintf("db-%d", i), everyMinute, nil)
		}
		r.run(24*time.Hour + time.Minute)
		end := time.Now()
		full := 0
		for _, v := range r.visits() {
			if v.Result != health.Done {
				t.Fatalf("visit %s of %s: %s %s %s", v.At(), v.Target, v.Result, v.Reason, v.Error)
			}
			if v.Lateness() > time.Second {
				t.Errorf("visit of %s due %v began %s", v.Target, v.Due, v.Started)
			}
			if tiers := v.Tiers(); tiers.Has(health.TierReadings) != tiers.Has(health.TierEvents) {
				t.Errorf("readings and events have one schedule and were read apart: %s", tierNames(v))
			} else if tiers == health.EveryTier {
				full++
			}
			if v.ID == "" || v.Where == nil || v.Where.Address == "" {
				t.Fatalf("visit without ID or place: %+v", v)
			}
		}
		for _, j := range r.jobs {
			// 1440 of readings and of events, 96 of health, one of inventory, and the first ones.
			if n := r.accounted(j, time.Hour, end); n < 2*1440+96 {
				t.Errorf("%s: %d ticks in a day", j.Target.ID, n)
			}
			if visits := r.sources[j.Target.ID].reads(); visits > 1440+5 {
				t.Errorf("%s: %d visits in a day", j.Target.ID, visits)
			}
			k := r.known(j.Target.ID)
			if len(k.Components) != 2 || k.HostPower != health.HostOn || k.Driver != health.DriverRedfish || len(k.Faults) != 0 {
				t.Errorf("%s: known %+v", j.Target.ID, k)
			}
			if r.sources[j.Target.ID].closed != 1 {
				t.Errorf("%s: closed %d times", j.Target.ID, r.sources[j.Target.ID].closed)
			}
		}
		if full < 2 {
			t.Errorf("%d visits read all tiers: the daily inventory shares its phase with the others", full)
		}
		if n := r.log.count("\n"); n != 0 {
			t.Errorf("a day without trouble logged %d lines", n)
		}
	})
	bubble(t, "a new fleet is read within a minute and its slow tiers within ten", func(t *testing.T) {
		r := newRig(t)
		for i := range 200 {
			r.add(fmt.Sprintf("db-%d", i), everyMinute, nil)
		}
		begin := time.Now()
		r.run(10*time.Minute + 5*time.Second)
		readings, inventory := map[health.TargetID]time.Duration{}, map[health.TargetID]time.Duration{}
		minutes := map[int]int{}
		for _, v := range r.visits() {
			after := v.Started.Sub(begin)
			if _, ok := readings[v.Target]; !ok && v.Tiers().Has(health.TierReadings) {
				readings[v.Target] = after
			}
			if v.Tiers().Has(health.TierInventory) {
				inventory[v.Target] = after
				minutes[int(after.Minutes())]++
			}
		}
		for _, j := range r.jobs {
			id := j.Target.ID
			if d, ok := readings[id]; !ok || d > time.Minute {
				t.Errorf("%s: first readings after %s", id, d)
			}
			if d, ok := inventory[id]; !ok || d > 10*time.Minute+time.Second {
				t.Errorf("%s: first inventory after %s (%v)", id, d, ok)
			}
		}
		for m := range 10 {
			if n := minutes[m]; n < 5 || n > 50 {
				t.Errorf("minute %d has %d first inventories of 200", m, n)
			}
		}
	})
}

func TestStopping(t *testing.T) {
	bubble(t, "a visit cut by the stop is missed, and no fault of the target", func(t *testing.T) {
		r := newRig(t)
		f := r.add("db-1", everyMinute, func(ctx context.Context, n int, req health.Request) (*health.Snapshot, error) {
			if n > 0 {
				return hang(ctx)
			}
			return healthy(req), nil
		})
		r.run(95 * time.Second) // into the second visit
		vs := r.visits()
		last := vs[len(vs)-1]
		if last.Result != health.Missed || last.Reason != health.ReasonStopped || len(last.Unread) != 0 || last.Snapshot != nil {
			t.Fatalf("%d visits, the last %+v", len(vs), last)
		}
		if k := r.known("db-1"); k.Access.State != health.AccessOK || k.Access.Failures != 0 || len(k.Faults) != 0 {
			t.Errorf("known %+v", k.Access)
		}
		if f.closed != 1 {
			t.Errorf("closed %d times", f.closed)
		}
		if n := r.log.count("level=WARN"); n != 0 {
			t.Errorf("%d warnings", n)
		}
	})
	bubble(t, "a visit that was read to its end is recorded after the stop", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", everyMinute, func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			time.Sleep(3 * time.Second) // and does not look at its context
			return healthy(req), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- collector.New(r.options).Run(ctx, r.jobs) }()
		for r.sources["db-1"].reads() == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if vs := r.visits(); len(vs) != 1 || vs[0].Result != health.Done {
			t.Fatalf("visits %v", results(vs))
		}
	})
	bubble(t, "a source that does not return from Close does not keep dewline from ending", func(t *testing.T) {
		r := newRig(t)
		release := make(chan struct{})
		r.add("db-1", everyMinute, nil).onClose = func(context.Context) { <-release }
		begin := time.Now()
		r.run(2 * time.Minute)
		if took := time.Since(begin) - 2*time.Minute; took > 20*time.Second {
			t.Errorf("stopping took %s", took)
		}
		close(release)
	})
	bubble(t, "a hundred hung targets end together", func(t *testing.T) {
		r := newRig(t)
		for i := range 100 {
			r.add(fmt.Sprintf("db-%d", i), everyMinute, func(ctx context.Context, _ int, _ health.Request) (*health.Snapshot, error) { return hang(ctx) })
		}
		begin := time.Now()
		r.run(30 * time.Second)
		if took := time.Since(begin) - 30*time.Second; took > time.Second {
			t.Errorf("stopping took %s", took)
		}
	})
}

func TestOverruns(t *testing.T) {
	bubble(t, "ticks that pass during a long visit are accounted for", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", everyMinute, func(ctx context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			if req.Tiers.Has(health.TierInventory) && !wait(ctx, 250*time.Second) {
				return hang(ctx)
			}
			return healthy(req), nil
		})
		r.run(time.Hour)
		until := time.Now().Add(-time.Minute)
		r.accounted(r.jobs[0], time.Hour, until)
		vs := r.visits()
		if n := results(vs); n[health.Late] != 1 {
			t.Errorf("results %v: one visit began after its next tick was due", n)
		}
		skipped := 0
		for _, v := range vs {
			for _, s := range v.Skipped {
				if s.Reason != health.ReasonOverrun {
					t.Errorf("skipped because of %s", s.Reason)
				}
				skipped += s.Count
			}
		}
		if skipped < 4 {
			t.Errorf("%d ticks skipped in a visit of 250 s", skipped)
		}
	})
	bubble(t, "a visit has the longest deadline of its tiers", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", map[health.Tier]string{health.TierReadings: "@every 60s"}, func(ctx context.Context, _ int, _ health.Request) (*health.Snapshot, error) { return hang(ctx) })
		r.add("db-2", map[health.Tier]string{health.TierReadings: "@every 1h", health.TierHealth: "@every 1h"}, func(ctx context.Context, _ int, _ health.Request) (*health.Snapshot, error) { return hang(ctx) })
		r.options.Deadline = map[health.Tier]time.Duration{health.TierHealth: 3 * time.Minute}
		r.run(30 * time.Minute)
		for _, v := range r.visits() {
			want := 30 * time.Second
			if v.Target == "db-2" {
				want = 3 * time.Minute
			}
			if v.Result == health.Failed && v.Took != want {
				t.Errorf("%s: %s took %s, want %s", v.Target, v.Result, v.Took, want)
			}
			if v.Result == health.Failed && v.Reason != health.ReasonTimeout {
				t.Errorf("reason %s", v.Reason)
			}
		}
	})
}

func TestHungTargetsDoNotDelayTheHealthy(t *testing.T) {
	p99 := func(t *testing.T, hung int) time.Duration {
		var lateness []time.Duration
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.options.Slots = 10
			const n = 200
			for i := range n {
				read := func(ctx context.Context, _ int, req health.Request) (*health.Snapshot, error) {
					wait(ctx, 400*time.Millisecond)
					return healthy(req), nil
				}
				if i%5 < hung {
					read = func(ctx context.Context, _ int, _ health.Request) (*health.Snapshot, error) { return hang(ctx) }
				}
				r.add(fmt.Sprintf("db-%d", i), map[health.Tier]string{health.TierReadings: "@every 60s"}, read)
			}
			r.run(15 * time.Minute)
			for _, v := range r.visits() {
				if v.Result == health.Done || v.Result == health.Late {
					lateness = append(lateness, v.Lateness())
				}
			}
		})
		if len(lateness) < 2_000 {
			t.Fatalf("%d visits", len(lateness))
		}
		return percentile(lateness, 0.99)
	}
	without, with := p99(t, 0), p99(t, 1)
	t.Logf("p99 lateness of the healthy: %s, with a fifth of the fleet hung %s", without, with)
	if with > without+100*time.Millisecond {
		t.Errorf("p99 lateness %s, with a fifth of the fleet hung %s", without, with)
	}
}

func TestBMCsThatHangAtOnceMakeRoomForTheOthers(t *testing.T) {
	bubble(t, "a visit in which nothing comes gives its slot to those that wait", func(t *testing.T) {
		r := newRig(t)
		r.options.Slots = 10
		begin := time.Now()
		for i := range 200 {
			r.add(fmt.Sprintf("db-%d", i), map[health.Tier]string{health.TierReadings: "@every 5s"}, func(ctx context.Context, _ int, req health.Request) (*health.Snapshot, error) {
				if i%5 == 0 && time.Since(begin) > 30*time.Second {
					return hang(ctx)
				}
				wait(ctx, 20*time.Millisecond)
				return healthy(req), nil
			})
		}
		r.run(90 * time.Second)
		var lateness []time.Duration
		for _, v := range r.visits() {
			if (v.Result == health.Done || v.Result == health.Late) && v.Started.Sub(begin) > 30*time.Second {
				lateness = append(lateness, v.Lateness())
			}
		}
		if len(lateness) < 1500 {
			t.Fatalf("%d visits", len(lateness))
		}
		// Forty within five seconds that hold nine slots for two seconds each would keep the others waiting for several.
		if most := percentile(lateness, 1); most > time.Second {
			t.Errorf("a healthy target was %s late", most)
		}
	})
}

func TestPanics(t *testing.T) {
	bubble(t, "a driver that panics costs its visit, and tells no secret", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", everyMinute, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
			switch n {
			case 1:
				panic("password=hunter2")
			case 3:
				var none []int
				_ = none[n]
			case 5:
				return nil, nil
			}
			return healthy(req), nil
		})
		r.add("db-2", everyMinute, nil)
		r.run(20 * time.Minute)
		var failed []string
		for _, v := range r.visits() {
			if v.Result != health.Failed {
				continue
			}
			failed = append(failed, string(v.Target)+" "+string(v.Reason)+" "+v.Error)
			if strings.Contains(v.Error, "hunter2") {
				t.Errorf("error %q", v.Error)
			}
		}
		if len(failed) != 3 || !strings.Contains(failed[1], "index out of range") || !strings.Contains(failed[2], "returned nothing") {
			t.Errorf("failed visits: %q", failed)
		}
		if r.log.count("hunter2") != 0 {
			t.Error("the log has the secret")
		}
		if f := r.sources["db-1"]; f.closed != 3 { // after each panic, and at the end
			t.Errorf("closed %d times", f.closed)
		}
	})
	bubble(t, "a driver that does not return costs its target until it does", func(t *testing.T) {
		r := newRig(t)
		release := make(chan struct{})
		f := r.add("db-1", everyMinute, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
			if n == 1 {
				<-release
			}
			return healthy(req), nil
		})
		r.add("db-2", everyMinute, nil)
		time.AfterFunc(20*time.Minute, func() { close(release) })
		r.run(40 * time.Minute)
		if n := r.sources["db-2"].reads(); n < 40 {
			t.Errorf("the other target was read %d times", n)
		}
		if n := f.reads(); n < 18 || n > 25 {
			t.Errorf("the target was read %d times", n)
		}
		r.accounted(r.jobs[0], time.Hour, time.Now().Add(-time.Minute))
		if n := r.log.count("did not return"); n < 1 || n > 3 {
			t.Errorf("%d log lines", n)
		}
	})
}

func TestRunRefusesATargetGivenTwice(t *testing.T) {
	r := newRig(t)
	r.add("db-1", everyMinute, nil)
	r.jobs = append(r.jobs, r.jobs[0])
	if err := collector.New(r.options).Run(t.Context(), r.jobs); err == nil {
		t.Fatal("no error")
	}
}

package collector_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dewline/collector"
	"dewline/health"
)

// doorman is a machine that counts who is logged in to it. Every source opened of it is a client of its own.
type doorman struct {
	read func(ctx context.Context, req health.Request) (*health.Snapshot, error)

	mu                      sync.Mutex
	inside, sessions        int
	reads, opened           int
	twoReaders, twoSessions bool
}

type client struct {
	b  *doorman
	in bool
}

func (c *client) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	b := c.b
	b.mu.Lock()
	b.reads++
	b.inside++
	if !c.in {
		c.in = true
		b.sessions++
	}
	b.twoReaders = b.twoReaders || b.inside > 1
	b.twoSessions = b.twoSessions || b.sessions > 1
	read := b.read
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.inside--
		b.mu.Unlock()
	}()
	if read == nil {
		return healthy(req), nil
	}
	return read(ctx, req)
}

func (c *client) Close(context.Context) error {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.in {
		c.in = false
		c.b.sessions--
	}
	return nil
}

func (b *doorman) count() (reads, opened, sessions int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads, b.opened, b.sessions
}

// fleet is a rig whose targets are found by address, so that a reload can move them.
type fleet struct {
	*rig
	mu   sync.Mutex
	bmcs map[string]*doorman
	c    *collector.Collector
	stop func()
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{rig: newRig(t), bmcs: map[string]*doorman{}}
	f.options.Open = func(t health.Target, _ string) (collector.Source, error) {
		b := f.bmc(t.Address)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.opened++
		return &client{b: b}, nil
	}
	return f
}

func (f *fleet) bmc(address string) *doorman {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bmcs[address] == nil {
		f.bmcs[address] = &doorman{}
	}
	return f.bmcs[address]
}

func (f *fleet) job(id string) collector.Job {
	j := job(f.t, id, everyMinute)
	j.Credential, j.Secret = "bmc", "one"
	return j
}

// start runs the collector until stop is called, or the test ends.
func (f *fleet) start(jobs ...collector.Job) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	f.c = collector.New(f.options)
	done := make(chan error, 1)
	go func() { done <- f.c.Run(ctx, jobs) }()
	synctest.Wait()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
		for address, b := range f.bmcs {
			if _, _, n := b.count(); n != 0 || b.twoReaders || b.twoSessions {
				f.t.Errorf("%s: %d sessions left; two readers at once %v, two sessions at once %v", address, n, b.twoReaders, b.twoSessions)
			}
		}
	})
}

func (f *fleet) reload(jobs ...collector.Job) collector.Changes {
	f.t.Helper()
	ch, err := f.c.Reload(jobs)
	if err != nil {
		f.t.Fatal(err)
	}
	return ch
}

func hot(req health.Request) *health.Snapshot {
	s := healthy(req)
	for i := range s.Components {
		if s.Components[i].Class == health.ClassFan {
			s.Components[i].State = health.Critical
		}
	}
	return s
}

func TestReload(t *testing.T) {
	bubble(t, "an unchanged target keeps its session, and one whose labels or schedule change does too", func(t *testing.T) {
		f := newFleet(t)
		same, label, pace := f.job("same"), f.job("label"), f.job("pace")
		f.start(same, label, pace)
		defer f.stop()
		time.Sleep(10*time.Minute + 30*time.Second)
		before := map[string]int{}
		for _, j := range []collector.Job{same, label, pace} {
			before[j.Target.Address], _, _ = f.bmc(j.Target.Address).count()
		}
		label.Target.Labels, label.Target.Rack = map[string]string{"owner": "ops"}, "B7"
		pace.Schedule = job(t, "pace", map[health.Tier]string{health.TierReadings: "@every 10s"}).Schedule
		ch := f.reload(pace, same, label)
		if fmt.Sprint(ch.Adjusted) != "[label pace]" || ch.Unchanged != 1 || len(ch.Added)+len(ch.Removed)+len(ch.Restarted) != 0 {
			t.Errorf("changes %+v", ch)
		}
		time.Sleep(10 * time.Minute)
		for a, n := range before {
			reads, opened, sessions := f.bmc(a).count()
			if opened != 1 || sessions != 1 {
				t.Errorf("%s: opened %d times, %d sessions", a, opened, sessions)
			}
			if want := map[string]int{"https://pace": 60}[a]; want > 0 && (reads-n < want-1 || reads-n > want+1) {
				t.Errorf("%s: read %d times in ten minutes, want %d", a, reads-n, want)
			}
		}
		until := time.Now().Add(-2 * time.Minute)
		f.stop()
		f.accounted(same, time.Hour, until)
		f.accounted(label, time.Hour, until)
		for _, v := range f.visits() {
			if v.Target == "label" && v.At().After(until) && (v.Where.Rack != "B7" || v.Where.Labels["owner"] != "ops") {
				t.Errorf("the visit of %s says it stands in %+v", v.At(), v.Where)
			}
		}
		if n := f.log.count("level=WARN") + f.log.count("level=ERROR"); n != 0 {
			t.Errorf("%d warnings", n)
		}
	})
	bubble(t, "a tick to be made up for is not lost when its schedule changes", func(t *testing.T) {
		f := newFleet(t)
		j := f.job("db-1")
		time.Sleep(2 * time.Hour)
		f.start(j)
		time.Sleep(30 * time.Minute)
		f.stop()
		missed := j.Schedule[health.TierInventory].Next(time.Now(), "db-1", time.Hour)
		time.Sleep(2 * time.Hour) // past it
		f.start(j)
		defer f.stop()
		j.Schedule = maps.Clone(j.Schedule)
		j.Schedule[health.TierInventory] = job(t, "x", map[health.Tier]string{health.TierInventory: "0 12 * * *"}).Schedule[health.TierInventory]
		f.reload(j)
		time.Sleep(11 * time.Minute)
		var due []time.Time
		for _, v := range f.visits() {
			if d, ok := v.Due[health.TierInventory]; ok && v.Result == health.Done || v.Result == health.Late {
				due = append(due, d)
			}
		}
		if !slices.ContainsFunc(due, missed.Equal) {
			t.Errorf("inventories of %v, and not of %s", due, missed)
		}
	})
	bubble(t, "a target with another address is logged out, and read at the new one, slow tiers soon", func(t *testing.T) {
		f := newFleet(t)
		j := f.job("db-1")
		f.start(j)
		defer f.stop()
		time.Sleep(11 * time.Minute)
		j.Target.Address = "https://elsewhere"
		if ch := f.reload(j); fmt.Sprint(ch.Restarted) != "[db-1]" {
			t.Errorf("changes %+v", ch)
		}
		time.Sleep(2*time.Minute + time.Second)
		if _, _, n := f.bmc("https://db-1").count(); n != 0 {
			t.Errorf("%d sessions left at the old address", n)
		}
		var tiers health.Tiers
		for _, v := range f.visits() {
			if v.Where.Address == "https://elsewhere" {
				tiers |= v.Tiers()
			}
		}
		if tiers != health.EveryTier {
			t.Errorf("read at the new address: %v", tiers.List())
		}
	})
	bubble(t, "a visit cut by a reload is missed, and no fault of the target", func(t *testing.T) {
		f := newFleet(t)
		j := f.job("db-1")
		f.bmc("https://db-1").read = func(ctx context.Context, req health.Request) (*health.Snapshot, error) { return hang(ctx) }
		f.start(j)
		defer f.stop()
		for n := 0; n == 0; n, _, _ = f.bmc("https://db-1").count() {
			time.Sleep(time.Second)
		}
		j.Session = "another certificate"
		f.reload(j)
		synctest.Wait()
		vs := f.visits()
		if len(vs) != 1 || vs[0].Result != health.Missed || vs[0].Reason != health.ReasonStopped || !strings.Contains(vs[0].Error, "reloaded") {
			t.Fatalf("visits %+v", vs)
		}
		if k := f.known("db-1"); len(k.Faults) != 0 || k.Access.State != health.AccessOK {
			t.Errorf("known %+v", k)
		}
	})
	bubble(t, "a removed target is logged out, keeps its history, and its faults close as unmonitored", func(t *testing.T) {
		f := newFleet(t)
		j := f.job("db-1")
		f.bmc("https://db-1").read = func(_ context.Context, req health.Request) (*health.Snapshot, error) { return hot(req), nil }
		f.start(j, f.job("db-2"))
		defer f.stop()
		time.Sleep(3 * time.Minute)
		open := f.known("db-1").Faults
		if len(open) != 1 {
			t.Fatalf("faults %+v", open)
		}
		if ch := f.reload(f.job("db-2")); fmt.Sprint(ch.Removed) != "[db-1]" || ch.Unchanged != 1 {
			t.Errorf("changes %+v", ch)
		}
		synctest.Wait()
		if _, _, n := f.bmc("https://db-1").count(); n != 0 {
			t.Errorf("%d sessions left", n)
		}
		if _, err := f.c.Ask(t.Context(), "db-1", health.EveryTier, 1); !errors.Is(err, collector.ErrNoTarget) {
			t.Errorf("asked for a removed target: %v", err)
		}
		all := f.store.Visits()
		last := all[len(all)-1]
		if last.Target != "db-1" || last.Result != health.Missed || last.Reason != health.ReasonUnmonitored || len(last.Events) != 1 || len(last.Delta.Faults) != 1 {
			t.Fatalf("the last visit is %+v", last)
		}
		e, fault := last.Events[0], last.Delta.Faults[0]
		if e.Transition != health.Unmonitored || e.FaultID != fault.ID || fault.State != health.Unmonitored || fault.Cleared.IsZero() || open[fault.ID].ID == "" {
			t.Errorf("event %+v, fault %+v", e, fault)
		}
		if !slices.Contains(last.Unread, health.ComponentRef{ID: "fan/1", Class: health.ClassFan}) {
			t.Errorf("its parts are not written as unknown: %v", last.Unread)
		}
		k := f.known("db-1")
		if len(k.Faults) != 0 || k.Access.State != health.AccessUnmonitored || len(k.Components) == 0 || len(k.Ticks) == 0 {
			t.Errorf("known %+v", k)
		}
		// And once more watched: what still holds is a fault again.
		f.reload(f.job("db-2"), j)
		time.Sleep(2 * time.Minute)
		k = f.known("db-1")
		if len(k.Faults) != 1 || k.Access.State != health.AccessOK {
			t.Errorf("watched again: access %+v, faults %+v", k.Access, k.Faults)
		}
	})
	bubble(t, "targets that left while dewline did not run are found at the start, once", func(t *testing.T) {
		f := newFleet(t)
		f.bmc("https://db-1").read = func(_ context.Context, req health.Request) (*health.Snapshot, error) { return hot(req), nil }
		gone := f.job("db-1")
		gone.Target.Rack = "A1"
		f.start(gone, f.job("db-2"))
		time.Sleep(3 * time.Minute)
		f.stop()
		for range 2 {
			f.start(f.job("db-2"))
			time.Sleep(3 * time.Minute)
			f.stop()
		}
		var ended []*health.Visit
		for _, v := range f.visits() {
			if v.Reason == health.ReasonUnmonitored {
				ended = append(ended, v)
			}
		}
		if len(ended) != 1 || ended[0].Target != "db-1" || len(ended[0].Events) != 1 || ended[0].Where.Rack != "A1" {
			t.Fatalf("%d visits end a watch: %+v", len(ended), ended)
		}
		if k := f.known("db-1"); len(k.Faults) != 0 {
			t.Errorf("faults %+v", k.Faults)
		}
	})
	bubble(t, "a removed target that was left alone is still left alone when it returns", func(t *testing.T) {
		f := newFleet(t)
		f.bmc("https://db-1").read = func(context.Context, health.Request) (*health.Snapshot, error) {
			return &health.Snapshot{}, &health.Error{Reason: health.ReasonDenied, Op: "log in"}
		}
		f.start(f.job("db-1"))
		defer f.stop()
		time.Sleep(3 * time.Minute)
		f.reload()
		time.Sleep(time.Minute)
		f.reload(f.job("db-1"))
		time.Sleep(20 * time.Minute)
		if n, _, _ := f.bmc("https://db-1").count(); n != 1 {
			t.Errorf("tried %d times", n)
		}
	})
	bubble(t, "a driver that hangs for ever keeps its target's successor waiting, and nobody else", func(t *testing.T) {
		f := newFleet(t)
		release := make(chan struct{})
		f.bmc("https://db-1").read = func(_ context.Context, req health.Request) (*health.Snapshot, error) {
			<-release
			return healthy(req), nil
		}
		j := f.job("db-1")
		f.start(j, f.job("db-2"))
		time.Sleep(90 * time.Second)
		for i := range 3 {
			j.Session = fmt.Sprint(i)
			f.reload(j, f.job("db-2"))
			time.Sleep(3 * time.Minute)
		}
		if n, _, _ := f.bmc("https://db-1").count(); n != 1 {
			t.Errorf("read %d times while it hung", n)
		}
		if n, _, _ := f.bmc("https://db-2").count(); n < 10 {
			t.Errorf("the other was read %d times", n)
		}
		f.bmc("https://db-1").read = nil
		close(release)
		time.Sleep(2 * time.Minute)
		if n, _, s := f.bmc("https://db-1").count(); n < 2 || s != 1 {
			t.Errorf("after it returned: %d reads, %d sessions", n, s)
		}
		f.stop()
	})
	bubble(t, "a reload that makes no sense changes nothing", func(t *testing.T) {
		f := newFleet(t)
		f.start(f.job("db-1"))
		if _, err := f.c.Reload([]collector.Job{f.job("db-2"), f.job("db-2")}); err == nil {
			t.Error("a target given twice is taken")
		}
		time.Sleep(2 * time.Minute)
		f.stop()
		if _, err := f.c.Reload(nil); !errors.Is(err, collector.ErrNotRunning) {
			t.Errorf("after the stop: %v", err)
		}
		if n, _, _ := f.bmc("https://db-1").count(); n == 0 {
			t.Error("the target is not read any more")
		}
	})
}

// Random reloads of a fleet of which one half never changes: no tick of that half is lost, doubled or delayed, no BMC ever
// has two readers or two sessions, and none is left logged in that is not configured.
func TestRandomReloads(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 11))
				f := newFleet(t)
				for i := range 12 {
					rnd := rand.New(rand.NewPCG(seed, uint64(100+i)))
					var mu sync.Mutex
					bad := i%4 == 3
					f.bmc(fmt.Sprintf("https://db-%d", i)).read = func(ctx context.Context, req health.Request) (*health.Snapshot, error) {
						mu.Lock()
						kind, d := rnd.IntN(8), time.Duration(rnd.IntN(4000))*time.Millisecond
						mu.Unlock()
						switch {
						case bad && kind == 0:
							return hang(ctx)
						case bad && kind == 1:
							panic("driver")
						case bad && kind == 2:
							return unreachable()
						}
						if !wait(ctx, d) {
							return hang(ctx)
						}
						return healthy(req), nil
					}
				}
				all := map[string]collector.Job{}
				for i := range 12 {
					id := fmt.Sprintf("db-%d", i)
					all[id] = f.job(id)
				}
				now := maps.Clone(all)
				f.start(slices.Collect(maps.Values(now))...)
				for range 60 {
					time.Sleep(time.Duration(rnd.IntN(90_000)) * time.Millisecond)
					for i := 6; i < 12; i++ { // those below six never change
						id := fmt.Sprintf("db-%d", i)
						j, here := now[id]
						switch {
						case rnd.IntN(3) > 0:
						case !here:
							now[id] = all[id]
						default:
							switch rnd.IntN(5) {
							case 0:
								delete(now, id)
								continue
							case 1:
								j.Target.Rack = fmt.Sprint(rnd.IntN(100))
							case 2:
								j.Session = fmt.Sprint(rnd.IntN(100))
							case 3:
								j.Secret = fmt.Sprint(rnd.IntN(100))
							case 4:
								j.Schedule = job(t, id, map[health.Tier]string{health.TierReadings: fmt.Sprintf("@every %ds", 5+rnd.IntN(100))}).Schedule
							}
							now[id] = j
						}
					}
					f.reload(slices.Collect(maps.Values(now))...)
					if rnd.IntN(4) == 0 { // twice in a moment
						f.reload(slices.Collect(maps.Values(now))...)
					}
				}
				until := time.Now()
				time.Sleep(6 * time.Minute)
				for id := range all {
					_, here := now[id]
					if _, _, n := f.bmc("https://" + id).count(); !here && n != 0 {
						t.Errorf("%s is not configured and has %d sessions open", id, n)
					}
				}
				f.stop()
				for i := range 6 {
					j := all[fmt.Sprintf("db-%d", i)]
					if n := f.accounted(j, time.Hour, until); n < 20 {
						t.Errorf("%s had %d ticks", j.Target.ID, n)
					}
					if i%4 == 3 {
						continue
					}
					if _, opened, _ := f.bmc(j.Target.Address).count(); opened != 1 {
						t.Errorf("%s was opened %d times", j.Target.ID, opened)
					}
				}
				for _, v := range f.visits() {
					if len(v.Target) == 4 && v.Target < "db-6" && v.Target != "db-3" && v.Result != health.Done && v.At().Before(until) {
						t.Errorf("%s, which did not change: %s %s %s", v.Target, v.Result, v.Reason, v.Error)
					}
				}
			})
		})
	}
}

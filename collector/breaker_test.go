package collector_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
)

func TestUnreachable(t *testing.T) {
	bubble(t, "after three failures one probe in about five minutes, until it answers", func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		f := r.add("db-1", everyMinute, func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			if d := time.Since(begin); d > 20*time.Minute && d < 2*time.Hour {
				return unreachable()
			}
			return healthy(req), nil
		})
		r.run(3 * time.Hour)
		var failed []time.Time
		for _, at := range f.began {
			if d := at.Sub(begin); d > 20*time.Minute && d < 2*time.Hour {
				failed = append(failed, at)
			}
		}
		if n := len(failed); n < 17 || n > 28 {
			t.Errorf("%d attempts in 100 minutes", n)
		}
		gaps := map[time.Duration]bool{}
		for i := 3; i < len(failed); i++ {
			d := failed[i].Sub(failed[i-1])
			gaps[d] = true
			if d < 4*time.Minute || d > 7*time.Minute {
				t.Errorf("probe %d came %s after the one before", i, d)
			}
		}
		if len(gaps) < 2 {
			t.Error("no jitter: every probe came after the same pause")
		}
		r.accounted(r.jobs[0], time.Hour, time.Now().Add(-time.Minute))
		vs := r.visits()
		got := slices.DeleteFunc(transitions(vs), func(s string) bool { return !strings.Contains(s, "comm_lost") })
		if fmt.Sprint(got) != "[bmc comm_lost asserted bmc comm_lost cleared]" {
			t.Errorf("events %v", got)
		}
		if n := r.log.count("level=WARN"); n != 2 { // suspect, unreachable
			t.Errorf("%d warnings", n)
		}
		if n := r.log.count("level=INFO"); n != 1 {
			t.Errorf("%d infos", n)
		}
		var unread, madeUp bool
		for _, v := range vs {
			d := v.At().Sub(begin)
			if v.Result == health.Failed {
				unread = unread || slices.Contains(v.Unread, health.ComponentRef{ID: "fan/1", Class: health.ClassFan})
			}
			if v.Tiers().Has(health.TierHealth) && d > 2*time.Hour && d < 2*time.Hour+8*time.Minute && v.Result == health.Done {
				madeUp = true
			}
		}
		if !unread || !madeUp {
			t.Errorf("failed visits leave their parts unread: %v; the health tier is made up for soon: %v", unread, madeUp)
		}
	})
	bubble(t, "what is stored is obeyed after a restart", func(t *testing.T) {
		r := newRig(t)
		f := r.add("db-1", everyMinute, func(context.Context, int, health.Request) (*health.Snapshot, error) { return unreachable() })
		r.run(10 * time.Minute)
		k := r.known("db-1")
		if k.Access.State != health.AccessUnreachable || k.Access.NextTry.IsZero() || k.Access.Reason != health.ReasonUnreachable {
			t.Fatalf("access %+v", k.Access)
		}
		before := f.reads()
		r.run(time.Until(k.Access.NextTry) - time.Second)
		if n := f.reads(); n != before {
			t.Errorf("read %d times before the next try", n-before)
		}
		r.run(2 * time.Minute)
		if n := f.reads(); n != before+1 {
			t.Errorf("read %d times after it", n-before)
		}
		r.accounted(r.jobs[0], time.Hour, time.Now().Add(-2*time.Minute))
	})
}

// A BMC without a log that can be read: nothing is asked by a visit of the events tier alone, and nothing is heard.
func TestAVisitThatAskedNothingProvesNothing(t *testing.T) {
	apart := map[health.Tier]string{health.TierReadings: "@every 60s", health.TierEvents: "@every 7s", health.TierHealth: "@every 15m", health.TierInventory: "0 3 * * *"}
	noLog := func(r *rig, fail func() (*health.Snapshot, error)) func(context.Context, int, health.Request) (*health.Snapshot, error) {
		begin := time.Now()
		return func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			switch d := time.Since(begin); {
			case req.Tiers == health.Tiers(0).With(health.TierEvents):
				return &health.Snapshot{Driver: health.DriverRedfish, Logs: []health.LogInfo{{ID: "SEL", Skipped: "no_entries"}}}, nil
			case d > 20*time.Minute && d < 2*time.Hour:
				return fail()
			}
			return healthy(req), nil
		}
	}
	bubble(t, "it neither ends nor delays the silence of a dead BMC", func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.add("db-1", apart, noLog(r, unreachable))
		r.run(3 * time.Hour)
		var got []string
		idle, dead, silent := 0, false, 0
		for _, v := range r.visits() {
			switch events := v.Tiers() == health.Tiers(0).With(health.TierEvents); {
			case events && dead && (v.Result != health.Missed || v.Reason != health.ReasonBackOff || v.Snapshot != nil):
				t.Errorf("%s: %s %s of a BMC that was found dead before", v.At(), v.Result, v.Reason)
			case events && dead:
				silent++
			case v.Result == health.Failed:
				dead = true
			case v.Answered():
				dead = false
			}
			if v.Tiers() == health.Tiers(0).With(health.TierEvents) && v.Result == health.Done {
				idle++
			}
			for _, e := range v.Events {
				if e.Kind == health.KindCommLost {
					got = append(got, fmt.Sprint(e.Transition, " after ", e.At.Sub(begin).Truncate(5*time.Minute)))
				}
			}
		}
		if want := []string{"asserted after 20m0s", "cleared after 2h0m0s"}; !slices.Equal(got, want) || idle < 100 {
			t.Errorf("%q, want %q; %d visits asked nothing", got, want, idle)
		}
		if silent < 10 {
			t.Errorf("only %d visits asked nothing of a dead BMC", silent)
		}
		if n := r.log.count("level=INFO"); n != 1 {
			t.Errorf("it was well again %d times", n)
		}
	})
	bubble(t, "it does not count as an answer before the first one", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", map[health.Tier]string{health.TierEvents: "@every 60s"}, noLog(r, unreachable))
		r.run(time.Hour)
		if k := r.known("db-1"); !k.FirstSeen.IsZero() || !k.Access.Since.IsZero() || k.Access.Failures != 0 {
			t.Errorf("first seen %s, access %+v", k.FirstSeen, k.Access)
		}
	})
	bubble(t, "it takes no denial back", func(t *testing.T) {
		r := newRig(t)
		denials := map[string][]time.Time{}
		var mu sync.Mutex
		denied := func(id string) (*health.Snapshot, error) {
			mu.Lock()
			defer mu.Unlock()
			denials[id] = append(denials[id], time.Now())
			return &health.Snapshot{Cost: health.Cost{Requests: 1}}, &health.Error{Reason: health.ReasonDenied, Op: "log in"}
		}
		// Two are denied, and half an hour later visited again: first their events, of which nothing is asked.
		slow := map[health.Tier]string{health.TierReadings: "@every 20m", health.TierEvents: "@every 7s"}
		for _, id := range []string{"db-1", "db-2"} {
			r.add(id, slow, noLog(r, func() (*health.Snapshot, error) { return denied(id) }))
		}
		r.add("db-3", everyMinute, func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			mu.Lock()
			wait := len(denials["db-1"]) == 0 || len(denials["db-2"]) == 0 || time.Since(denials["db-1"][0]) < 31*time.Minute || time.Since(denials["db-2"][0]) < 31*time.Minute
			mu.Unlock()
			if wait {
				return healthy(req), nil
			}
			return denied("db-3")
		})
		for i := range r.jobs {
			r.jobs[i].Credential = "bmc"
		}
		r.run(80 * time.Minute)
		for id, at := range denials {
			if a := r.known(health.TargetID(id)).Access; len(at) != 1 || a.Reason != health.ReasonSuspended {
				t.Errorf("%s was denied %d times: %+v", id, len(at), a)
			}
		}
		if len(denials) != 3 {
			t.Errorf("denied: %v", denials)
		}
	})
}

func TestDenied(t *testing.T) {
	bubble(t, "a denied login is one attempt, then half an hour, an hour, two", func(t *testing.T) {
		r := newRig(t)
		f := r.add("db-1", everyMinute, func(context.Context, int, health.Request) (*health.Snapshot, error) {
			return &health.Snapshot{}, &health.Error{Reason: health.ReasonDenied, Op: "log in", Err: errors.New("401 Unauthorized")}
		})
		r.run(12 * time.Hour)
		if n := len(f.began); n != 5 {
			t.Fatalf("%d attempts in twelve hours", n)
		}
		want := 30 * time.Minute
		for i := 1; i < len(f.began); i++ {
			if d := f.began[i].Sub(f.began[i-1]); d < want || d > want+2*time.Minute {
				t.Errorf("attempt %d came %s after the one before, want %s", i, d, want)
			}
			want *= 2
		}
		k := r.known("db-1")
		if k.Access.State != health.AccessDenied {
			t.Errorf("access %+v", k.Access)
		}
		r.accounted(r.jobs[0], time.Hour, time.Now().Add(-6*time.Minute))
		for _, v := range r.visits() {
			if v.Result == health.Missed && (v.Reason != health.ReasonBackOff || !strings.Contains(v.Error, "401")) {
				t.Errorf("missed visit: %s %q", v.Reason, v.Error)
			}
		}
		if n := len(r.visits()); n > 12*12+10 {
			t.Errorf("%d visits recorded in twelve hours of back-off", n)
		}
	})
	bubble(t, "the back-off ends at a day", func(t *testing.T) {
		r := newRig(t)
		f := r.add("db-1", map[health.Tier]string{health.TierReadings: "@every 10m"}, func(context.Context, int, health.Request) (*health.Snapshot, error) {
			return &health.Snapshot{}, &health.Error{Reason: health.ReasonDenied, Op: "log in"}
		})
		r.run(10 * 24 * time.Hour)
		last := f.began[len(f.began)-1].Sub(f.began[len(f.began)-2])
		if last < 24*time.Hour || last > 25*time.Hour {
			t.Errorf("the last pause was %s", last)
		}
	})
}

func TestRecordingFails(t *testing.T) {
	bubble(t, "a full disk is said once, survived, and nothing known advances past it", func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		full := func() bool { d := time.Since(begin); return d > 5*time.Minute && d < 30*time.Minute }
		r.store.Refuse(func(*health.Visit) error {
			if full() {
				return errors.New("disk full")
			}
			return nil
		})
		for _, id := range []string{"db-1", "db-2", "db-3"} {
			r.add(id, everyMinute, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
				s := healthy(req)
				s.NextCursors = health.Cursors{"sel": fmt.Appendf(nil, "%d", n+1)}
				if want := fmt.Sprint(n); n > 0 && string(req.Cursors["sel"]) != want {
					t.Errorf("visit %d was given the cursor %s", n, req.Cursors["sel"])
				}
				return s, nil
			})
		}
		r.run(time.Hour)
		if n := r.log.count("level=ERROR"); n != 1 {
			t.Errorf("%d errors logged", n)
		}
		if n := r.log.count("takes visits again"); n != 1 {
			t.Errorf("said to work again %d times", n)
		}
		for _, j := range r.jobs {
			r.accounted(j, time.Hour, time.Now().Add(-time.Minute))
			if n := r.sources[j.Target.ID].reads(); n < 30 || n > 40 {
				t.Errorf("%s was read %d times in an hour with 25 minutes of full disk", j.Target.ID, n)
			}
		}
	})
	bubble(t, "a visit that alone is refused does not hold up its target for ever", func(t *testing.T) {
		r := newRig(t)
		r.store.Refuse(func(v *health.Visit) error {
			if v.Target == "db-1" && v.Snapshot != nil && v.Snapshot.Cost.Requests == 13 {
				return fmt.Errorf("%w: constraint failed", health.ErrRefused)
			}
			return nil
		})
		r.add("db-1", everyMinute, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			if n == 3 {
				s.Cost.Requests = 13
			}
			return s, nil
		})
		r.add("db-2", everyMinute, nil)
		r.run(20 * time.Minute)
		var refused []*health.Visit
		for _, v := range r.visits() {
			if v.Result == health.Failed {
				refused = append(refused, v)
			}
		}
		if len(refused) != 1 || !strings.Contains(refused[0].Error, "constraint failed") {
			t.Fatalf("failed visits %+v", refused)
		}
		r.accounted(r.jobs[0], time.Hour, time.Now().Add(-time.Minute))
	})
	bubble(t, "a stop while the disk is full ends within its grace", func(t *testing.T) {
		r := newRig(t)
		r.store.Refuse(func(*health.Visit) error { return errors.New("disk full") })
		r.add("db-1", everyMinute, nil)
		begin := time.Now()
		r.run(5 * time.Minute)
		if took := time.Since(begin) - 5*time.Minute; took > 15*time.Second {
			t.Errorf("stopping took %s", took)
		}
	})
}

func TestRestart(t *testing.T) {
	bubble(t, "ticks while dewline did not run are accounted for, and the slow tiers made up for", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", everyMinute, nil)
		time.Sleep(2 * time.Hour) // 02:00
		r.run(30 * time.Minute)
		first := len(r.visits())
		time.Sleep(2 * time.Hour) // past the inventory of 03:46
		r.run(12 * time.Minute)
		r.accounted(r.jobs[0], time.Hour, time.Now().Add(-time.Minute))
		vs := r.visits()
		var inventory *health.Visit
		down := 0
		for _, v := range vs[first:] {
			if v.Tiers().Has(health.TierInventory) {
				inventory = v
			}
			for _, s := range v.Skipped {
				if s.Reason != health.ReasonNotRunning {
					t.Errorf("skipped because of %s", s.Reason)
				}
				down += s.Count
			}
		}
		if inventory == nil || inventory.Result != health.Done || inventory.Lateness() < 30*time.Minute {
			t.Errorf("inventory %+v", inventory)
		}
		if down < 2*119 {
			t.Errorf("%d ticks while dewline did not run", down)
		}
	})
	bubble(t, "another address is another machine", func(t *testing.T) {
		r := newRig(t)
		f := r.add("db-1", everyMinute, func(context.Context, int, health.Request) (*health.Snapshot, error) {
			return &health.Snapshot{}, &health.Error{Reason: health.ReasonDenied, Op: "log in"}
		})
		r.run(5 * time.Minute)
		r.jobs[0].Target.Address = "https://db-1-new"
		before := f.reads()
		r.run(5 * time.Minute)
		if f.reads() != before+1 {
			t.Errorf("read %d times after the address changed", f.reads()-before)
		}
	})
}

// Whatever targets, disks and restarts do, each tick is accounted for once.
func TestEveryTickIsAccountedForOnce(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 7))
				r := newRig(t)
				r.options.Slots = 1 + rnd.IntN(4)
				for i := range 6 {
					rnd := rand.New(rand.NewPCG(seed, uint64(i)))
					bad := rnd.Float64()
					r.add(fmt.Sprintf("db-%d", i), everyMinute, func(ctx context.Context, _ int, req health.Request) (*health.Snapshot, error) {
						if rnd.Float64() > bad {
							wait(ctx, time.Duration(rnd.IntN(3000))*time.Millisecond)
							return healthy(req), nil
						}
						switch rnd.IntN(5) {
						case 0:
							return hang(ctx)
						case 1:
							panic("driver")
						case 2:
							if !wait(ctx, time.Duration(rnd.IntN(200))*time.Second) {
								return hang(ctx)
							}
							return healthy(req), nil
						case 3:
							return &health.Snapshot{}, &health.Error{Reason: health.ReasonDenied, Op: "log in"}
						}
						return unreachable()
					})
				}
				refuse := seed%2 == 1
				r.store.Refuse(func(*health.Visit) error {
					if refuse && time.Now().Minute()%20 < 4 {
						return errors.New("disk full")
					}
					return nil
				})
				for range 3 {
					r.run(time.Duration(60+rnd.IntN(120)) * time.Minute)
					time.Sleep(time.Duration(rnd.IntN(90)) * time.Minute)
				}
				refuse = false
				r.run(2*time.Hour + 30*time.Minute)
				for _, j := range r.jobs {
					// Up to the last thing that was recorded of it: what comes after is the next start's to account for.
					var until time.Time
					for _, tick := range r.known(j.Target.ID).Ticks {
						if until.IsZero() || tick.Due.Before(until) {
							until = tick.Due
						}
					}
					r.accounted(j, time.Hour, until)
				}
			})
		})
	}
}

func TestOKSinceTheFirstAnswer(t *testing.T) {
	bubble(t, "a target that has always answered is ok since its first visit", func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.add("db-1", everyMinute, func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) { return healthy(req), nil })
		r.run(30 * time.Minute)
		a := r.known("db-1").Access
		if first := r.visits()[0]; a.State != health.AccessOK || !a.Since.Equal(first.At().Add(first.Took)) {
			t.Errorf("access %+v, the first visit was at %s, %s after the start", a, first.At(), first.At().Sub(begin))
		}
	})
	bubble(t, "one that has never answered is ok since never", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", everyMinute, func(ctx context.Context, _ int, _ health.Request) (*health.Snapshot, error) { return hang(ctx) })
		r.run(10 * time.Second) // stopped in its first visit
		if a := r.known("db-1").Access; !a.Since.IsZero() {
			t.Errorf("access %+v", a)
		}
	})
}

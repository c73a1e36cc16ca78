package collector_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dewline/collector"
	"dewline/health"
	"dewline/store/storetest"
)

func denied() (*health.Snapshot, error) {
	return &health.Snapshot{}, &health.Error{Reason: health.ReasonDenied, Op: "log in", Err: errors.New("401 Unauthorized")}
}

// deny makes the machines of the named targets deny whoever comes.
func (f *fleet) deny(yes bool, ids ...string) {
	for _, id := range ids {
		b := f.bmc("https://" + id)
		b.mu.Lock()
		b.read = nil
		if yes {
			b.read = func(context.Context, health.Request) (*health.Snapshot, error) { return denied() }
		}
		b.mu.Unlock()
	}
}

func (f *fleet) attempts(ids ...string) (n int) {
	for _, id := range ids {
		r, _, _ := f.bmc("https://" + id).count()
		n += r
	}
	return n
}

// wrong is eight targets of one credential that all deny it, their jobs and their names.
func wrong(f *fleet) (jobs []collector.Job, ids []string) {
	for i := range 8 {
		ids = append(ids, fmt.Sprintf("db-%02d", i))
		jobs = append(jobs, f.job(ids[i]))
	}
	f.deny(true, ids...)
	return jobs, ids
}

func withSecret(jobs []collector.Job, secret string) []collector.Job {
	out := make([]collector.Job, len(jobs))
	for i, j := range jobs {
		j.Secret = secret
		out[i] = j
	}
	return out
}

func TestLockOutGuard(t *testing.T) {
	bubble(t, "three targets that deny a credential suspend it for all, said once, until a reload", func(t *testing.T) {
		f := newFleet(t)
		jobs, ids := wrong(f)
		other := f.job("other")
		other.Credential = "another"
		jobs = append(jobs, other)
		f.start(jobs...)
		defer f.stop()
		time.Sleep(26 * time.Hour)
		if n := f.attempts(ids...); n != 3 {
			t.Errorf("%d attempts with the wrong password", n)
		}
		if n := f.attempts("other"); n < 26*60-5 {
			t.Errorf("the target of another credential was read %d times", n)
		}
		if n := f.log.count("credential is suspended"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if n := f.log.count("level=WARN") + f.log.count("level=ERROR"); n > 1+3 {
			t.Errorf("%d warnings and errors", n)
		}
		for _, id := range ids {
			k := f.known(health.TargetID(id))
			if k.Access.State != health.AccessDenied || k.Access.Reason != health.ReasonSuspended || !strings.Contains(k.Access.Error, `credential "bmc" is suspended: db-`) {
				t.Fatalf("%s: access %+v", id, k.Access)
			}
		}
		if got := fmt.Sprint(f.c.Suspended()); got != "[bmc]" {
			t.Errorf("suspended: %s", got)
		}
		if v, err := f.c.Ask(t.Context(), "db-05", health.EveryTier, 1); err != nil || v.Reason != health.ReasonDenied || !strings.Contains(v.Error, "suspended") {
			t.Errorf("asked: %+v, %v", v, err)
		}
		// The same wrong password after a reload: three more, by others than those who denied it before.
		if ch := f.reload(jobs...); fmt.Sprint(ch.Resumed) != "[bmc]" || ch.Unchanged != 9 {
			t.Errorf("changes %+v", ch)
		}
		time.Sleep(25 * time.Minute)
		if n := f.attempts(ids...); n != 6 {
			t.Errorf("%d attempts after a reload that changed nothing", n)
		}
		until := time.Now().Add(-6 * time.Minute)
		f.stop()
		for _, j := range jobs[:2] {
			f.accounted(j, time.Hour, until)
		}
	})
	bubble(t, "two are no more than two", func(t *testing.T) {
		f := newFleet(t)
		jobs, ids := wrong(f)
		f.deny(false, ids[2:]...)
		f.start(jobs...)
		defer f.stop()
		time.Sleep(3 * time.Hour)
		if n := f.log.count("suspended"); n != 0 {
			t.Errorf("suspended %d times", n)
		}
		if n := f.attempts(ids[0]); n > 4 {
			t.Errorf("%d attempts in three hours", n)
		}
	})
	bubble(t, "a target that takes the credential again denies it no more", func(t *testing.T) {
		f := newFleet(t)
		jobs, ids := wrong(f)
		f.deny(false, ids[1:]...)
		f.start(jobs...)
		defer f.stop()
		time.Sleep(25 * time.Minute)
		f.deny(false, ids[0])
		time.Sleep(10 * time.Minute)
		f.deny(true, ids[1], ids[2])
		time.Sleep(15 * time.Minute)
		if got := f.c.Suspended(); len(got) != 0 {
			t.Errorf("suspended: %v", got)
		}
		f.deny(true, ids[3])
		time.Sleep(2 * time.Minute)
		if got := fmt.Sprint(f.c.Suspended()); got != "[bmc]" {
			t.Errorf("suspended: %s", got)
		}
	})
	bubble(t, "visits under way with the old secret do not suspend the new one", func(t *testing.T) {
		f := newFleet(t)
		jobs, ids := wrong(f)
		for _, id := range ids {
			f.bmc("https://" + id).read = func(ctx context.Context, _ health.Request) (*health.Snapshot, error) {
				time.Sleep(70 * time.Second) // and does not look at its context, so that it is not cut
				return denied()
			}
		}
		f.options.Deadline = map[health.Tier]time.Duration{health.TierReadings: 5 * time.Minute}
		f.start(jobs...)
		defer f.stop()
		time.Sleep(65 * time.Second) // all are under way, none has ended
		f.deny(false, ids...)
		f.reload(withSecret(jobs, "two")...)
		time.Sleep(5 * time.Minute)
		if n := f.log.count("is suspended"); n != 0 || len(f.c.Suspended()) != 0 {
			t.Errorf("suspended: %v", f.c.Suspended())
		}
		for _, id := range ids {
			if k := f.known(health.TargetID(id)); k.Access.State != health.AccessOK {
				t.Errorf("%s: access %+v", id, k.Access)
			}
		}
	})
	bubble(t, "a reload that is faster than a target's recall is not undone by it", func(t *testing.T) {
		f := newFleet(t)
		jobs, ids := wrong(f)
		f.start(jobs...)
		time.Sleep(10 * time.Minute)
		f.stop()
		slow := &slowRecall{Memory: f.store}
		f.options.Recorder = slow
		f.start(jobs...)
		defer f.stop()
		f.deny(false, ids...)
		f.reload(jobs...)
		time.Sleep(40 * time.Minute)
		if got := f.c.Suspended(); len(got) != 0 {
			t.Errorf("suspended: %v", got)
		}
		for _, id := range ids {
			if k := f.known(health.TargetID(id)); k.Access.State != health.AccessOK {
				t.Errorf("%s: access %+v", id, k.Access)
			}
		}
	})
	bubble(t, "a suspension outlives a restart, and a corrected password ends it", func(t *testing.T) {
		f := newFleet(t)
		jobs, ids := wrong(f)
		f.start(jobs...)
		time.Sleep(10 * time.Minute)
		f.stop()
		before := f.attempts(ids...)
		f.start(jobs...)
		time.Sleep(2 * time.Hour)
		if n := f.attempts(ids...); n != before {
			t.Errorf("%d attempts after the restart", n-before)
		}
		if n := f.log.count("suspended since before this start"); n != 1 {
			t.Errorf("said %d times", n)
		}
		f.deny(false, ids...)
		ch := f.reload(withSecret(jobs, "two")...)
		if len(ch.Restarted) != 8 || fmt.Sprint(ch.Resumed) != "[bmc]" {
			t.Errorf("changes %+v", ch)
		}
		time.Sleep(2 * time.Minute)
		for _, id := range ids {
			if k := f.known(health.TargetID(id)); k.Access.State != health.AccessOK || k.Access.Failures != 0 {
				t.Errorf("%s: access %+v", id, k.Access)
			}
		}
		f.stop()
		f.start(withSecret(jobs, "two")...)
		time.Sleep(2 * time.Minute)
		if got := f.c.Suspended(); len(got) != 0 {
			t.Errorf("suspended after one more restart: %v", got)
		}
		f.stop()
	})
	bubble(t, "a resumed credential is not suspended again by a restart before its targets were read", func(t *testing.T) {
		f := newFleet(t)
		jobs, ids := wrong(f)
		f.start(jobs...)
		time.Sleep(10 * time.Minute)
		f.deny(false, ids...)
		f.reload(jobs...)
		time.Sleep(2 * time.Minute) // those three that denied it back off still
		f.stop()
		f.start(jobs...)
		time.Sleep(2 * time.Hour)
		if got := f.c.Suspended(); len(got) != 0 {
			t.Errorf("suspended: %v", got)
		}
		for _, id := range ids {
			if k := f.known(health.TargetID(id)); k.Access.State != health.AccessOK {
				t.Errorf("%s: access %+v", id, k.Access)
			}
		}
		f.stop()
	})
	bubble(t, "Renew resumes only what has another secret now", func(t *testing.T) {
		f := newFleet(t)
		jobs, ids := wrong(f)
		f.start(jobs...)
		defer f.stop()
		time.Sleep(10 * time.Minute)
		if ch, err := f.c.Renew(jobs); err != nil || !ch.Empty() {
			t.Errorf("changes %+v, %v", ch, err)
		}
		time.Sleep(time.Hour)
		if n := f.attempts(ids...); n != 3 {
			t.Errorf("%d attempts", n)
		}
		f.deny(false, ids...)
		if ch, err := f.c.Renew(withSecret(jobs, "two")); err != nil || fmt.Sprint(ch.Resumed) != "[bmc]" {
			t.Errorf("changes %+v, %v", ch, err)
		}
		time.Sleep(2 * time.Minute)
		if n := f.attempts(ids...); n < 8 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestReloadForgivesADenial(t *testing.T) {
	for name, c := range map[string]struct {
		restart bool
		change  func(*collector.Job)
		want    int // attempts in all
	}{
		"not if nothing changed":                                {false, func(*collector.Job) {}, 1},
		"not if only its labels changed":                        {false, func(j *collector.Job) { j.Target.Rack = "B1" }, 1},
		"if the secret changed":                                 {false, func(j *collector.Job) { j.Secret = "two" }, 2},
		"if it has another credential":                          {false, func(j *collector.Job) { j.Credential = "another" }, 2},
		"if it was denied before a restart, when none can tell": {true, func(*collector.Job) {}, 2},
	} {
		bubble(t, name, func(t *testing.T) {
			f := newFleet(t)
			j := f.job("db-1")
			f.deny(true, "db-1")
			f.start(j)
			time.Sleep(5 * time.Minute)
			if c.restart {
				f.stop()
				f.start(j)
				time.Sleep(2 * time.Minute)
			}
			c.change(&j)
			f.reload(j)
			time.Sleep(10 * time.Minute)
			f.reload(j)
			time.Sleep(10 * time.Minute)
			if n := f.attempts("db-1"); n != c.want {
				t.Errorf("%d attempts, want %d", n, c.want)
			}
			if k := f.known("db-1"); k.Access.State != health.AccessDenied || k.Access.NextTry.IsZero() {
				t.Errorf("access %+v", k.Access)
			}
			f.stop()
		})
	}
}

func TestAVisitThatHangsIsSeen(t *testing.T) {
	bubble(t, "a store that does not answer is a stall; one that refuses, a hung BMC and a driver that never returns are not", func(t *testing.T) {
		f := newFleet(t)
		f.options.Slots = 2
		block := make(chan struct{})
		var stuck atomic.Bool
		f.store.Refuse(func(*health.Visit) error { return errors.New("disk full") })
		f.bmc("https://db-1").read = func(ctx context.Context, _ health.Request) (*health.Snapshot, error) { return hang(ctx) }
		f.bmc("https://db-2").read = func(context.Context, health.Request) (*health.Snapshot, error) { <-block; return denied() }
		f.options.Recorder = hanging{f.store, &stuck, block}
		f.start(f.job("db-1"), f.job("db-2"), f.job("db-3"), f.job("db-4"))
		for range 60 {
			time.Sleep(time.Minute)
			if err := f.c.Stalled(); err != nil {
				t.Fatal(err)
			}
		}
		f.store.Refuse(nil)
		time.Sleep(5 * time.Minute)
		s := f.c.Stats()
		if s.Targets != 4 || s.Visits == 0 || s.Lateness.Count == 0 || s.Commit.Count == 0 || s.Healthy.Size != 1 || s.Access[health.AccessOK] == 0 {
			t.Errorf("stats %+v", s)
		}
		stuck.Store(true)
		time.Sleep(10 * time.Minute)
		if err := f.c.Stalled(); err == nil || !strings.Contains(err.Error(), "records a visit") {
			t.Errorf("a store that hangs: %v", err)
		}
		close(block)
		time.Sleep(5 * time.Minute)
		if err := f.c.Stalled(); err != nil {
			t.Errorf("after it came back: %v", err)
		}
		f.stop()
	})
}

// hanging is a recorder that hangs when told to.
type hanging struct {
	collector.Recorder
	stuck *atomic.Bool
	block <-chan struct{}
}

func (h hanging) Record(ctx context.Context, v *health.Visit) error {
	if h.stuck.Load() {
		<-h.block
	}
	return h.Recorder.Record(ctx, v)
}

// slowRecall is a store that takes its time.
type slowRecall struct{ *storetest.Memory }

func (s *slowRecall) Recall(ctx context.Context, id health.TargetID) (*health.Known, error) {
	time.Sleep(5 * time.Second)
	return s.Memory.Recall(ctx, id)
}

package collector

import (
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/schedule"
)

func planOf(t *testing.T, spec string) plan {
	t.Helper()
	s, err := schedule.Parse(spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	return newPlan(Job{Target: health.Target{ID: "db-1"}, Schedule: map[health.Tier]schedule.Spec{health.TierReadings: s}}, time.Hour)
}

var t0 = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func TestAClockThatGoesBackIsNotWaitedFor(t *testing.T) {
	p := planOf(t, "@every 60s")
	p.start(t0, nil)
	at, _ := p.earliest()
	p.take(at)
	if p.checkClock(at.Add(30 * time.Second)) {
		t.Error("a clock that goes on went back")
	}
	back := at.Add(-3 * time.Hour)
	if !p.checkClock(back) {
		t.Fatal("a clock that went back three hours was not noticed")
	}
	if next, ok := p.earliest(); !ok || next.Sub(back) > time.Minute {
		t.Errorf("the next tick is %s away", next.Sub(back))
	}
	if p.checkClock(back.Add(time.Second)) {
		t.Error("it is noticed twice")
	}
}

func TestTicksThatAClockJumpedOverAreNotBlamedOnAVisit(t *testing.T) {
	p := planOf(t, "@every 60s")
	p.start(t0, nil)
	at, _ := p.earliest()
	p.jumped = true // what checkClock notes when the wall clock outruns the monotonic one
	due, late := p.take(at.Add(2 * time.Hour))
	if len(due) != 1 || !late {
		t.Fatalf("due %v, late %v", due, late)
	}
	if rs := p.ranges(); len(rs) != 1 || rs[0].Reason != health.ReasonNotRunning || rs[0].Count < 119 || rs[0].Count > 121 {
		t.Errorf("ranges %+v", rs)
	}
}

func TestALongRangeIsCountedWithoutAWalk(t *testing.T) {
	p := planOf(t, "@every 1s")
	begin := time.Now()
	s, ok := p.passed(health.TierReadings, t0, t0.AddDate(1, 0, 0))
	if !ok || s.Count != 365*24*3600 {
		t.Errorf("%d ticks in a year", s.Count)
	}
	if want := p.after(health.TierReadings, t0.AddDate(1, 0, 0).Add(-time.Second)); !s.Last.Equal(want) || s.before.Add(time.Second) != s.Last {
		t.Errorf("last %s, want %s", s.Last, want)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %s", took)
	}
}

func TestTheLastSkippedTicksCanBeTakenOutOneByOne(t *testing.T) {
	p := planOf(t, "@every 60s")
	p.start(t0, nil)
	at, _ := p.earliest()
	first := p.next[health.TierReadings].due
	p.skipDue(at.Add(5*time.Minute), health.ReasonBackOff)
	p.skipDue(at.Add(6*time.Minute), health.ReasonBackOff)
	if rs := p.ranges(); len(rs) != 1 || !rs[0].First.Equal(first) {
		t.Fatalf("ranges %+v: two runs of one reason are one", rs)
	}
	n := p.ranges()[0].Count
	var last time.Time
	for i := range n {
		due, why := p.popLast()
		d := due[health.TierReadings]
		if why != health.ReasonBackOff || (!last.IsZero() && last.Sub(d) > time.Minute) || d.IsZero() {
			t.Fatalf("pop %d: %s %s after %s", i, d, why, last)
		}
		last = d
	}
	if p.pending() || !last.Equal(first) {
		t.Errorf("after %d: %+v, last %s", n, p.ranges(), last)
	}
}

func TestAccessIsForgottenWhenAStoredTimeIsAbsurd(t *testing.T) {
	a := health.Access{State: health.AccessUnreachable, NextTry: t0.AddDate(10, 0, 0)}
	if resting(a, t0) {
		t.Error("a target would rest for ten years")
	}
	a.NextTry = t0.Add(time.Minute)
	if !resting(a, t0) || resting(a, t0.Add(time.Minute)) {
		t.Error("a minute's rest is a minute")
	}
}

func TestSlotsMoveOn(t *testing.T) {
	c := New(Options{Slots: 10})
	if cap(c.healthy) != 9 || cap(c.failing) != 1 || cap(c.slow) != 160 {
		t.Fatalf("slots %d, %d, %d", cap(c.healthy), cap(c.failing), cap(c.slow))
	}
	c.healthy.take(t.Context(), nil)
	release := c.hold()
	release()
	if len(c.healthy)+len(c.slow) != 0 {
		t.Errorf("held after release: %d, %d", len(c.healthy), len(c.slow))
	}
}

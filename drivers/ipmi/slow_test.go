package ipmi

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
)

// slug is a BMC of 200 sensors, 40 of them temperatures, that takes its time for each.
type slug struct {
	f     *fakeBMC
	each  time.Duration
	now   time.Time
	from  int
	known *health.Known
}

func newSlug(t *testing.T) *slug {
	s := &slug{f: newFake(t), each: 400 * time.Millisecond, now: time.Unix(1_800_000_000, 0), known: health.NewKnown("slug")}
	var recs [][]byte
	for i := range uint16(200) {
		typ, unit, name := uint8(2), uint8(4), "Rail" // voltage
		if i%5 == 0 {
			typ, unit, name = 1, 1, "Temp"
		}
		recs = append(recs, fullRecord(i+1, uint8(i+1), typ, unit, fmt.Sprintf("%s %d", name, i)))
	}
	sdrsOf(recs...).serve(s.f)
	slowly := func(b []byte) func(command) ([]byte, error) {
		return func(command) ([]byte, error) { s.now = s.now.Add(s.each); return b, nil }
	}
	s.f.on(netFnSensor, 0x2d, slowly([]byte{40, 0xc0, 0, 0}))
	s.f.on(netFnSensor, 0x27, slowly(make([]byte, 7)))
	s.f.on(netFnChassis, 0x01, func(command) ([]byte, error) { return []byte{1, 0, 0, 0}, nil })
	return s
}

func (s *slug) visit(t *testing.T, tiers ...health.Tier) (v *visit, took time.Duration, unread []health.ComponentRef) {
	t.Helper()
	v = s.f.visit(tiers...)
	v.req.Patience, v.now, v.clock, v.from = time.Minute, s.now, func() time.Time { return s.now }, s.from
	mem, err := loadMemory(s.known.Memory)
	if err != nil {
		t.Fatal(err)
	}
	v.mem, v.snap.Tiers, v.snap.At = mem, v.req.Tiers, s.now
	if err := v.run(t.Context()); err != nil && !isAnyCode(err) {
		t.Fatalf("run: %v", err)
	}
	took, s.from = s.now.Sub(v.now), v.from
	s.now = s.now.Add(time.Minute)
	seen := &health.Visit{Result: health.Done, Snapshot: v.snap, Started: v.now, Due: map[health.Tier]time.Time{}}
	for _, tier := range tiers {
		seen.Due[tier] = v.now
	}
	unread = s.known.UnreadBy(seen)
	for id, c := range s.known.Components {
		if s.known.Gone(c.Component, seen) {
			t.Errorf("%s seems gone", id)
		}
	}
	for _, c := range v.snap.Components {
		k, _ := s.known.Components[c.ID].Merge(c, v.now)
		s.known.Components[c.ID] = k
	}
	if s.known.Memory, err = json.Marshal(v.mem); err != nil {
		t.Fatal(err)
	}
	return v, took, unread
}

func readOf(v *visit) map[health.ComponentID]bool {
	m := map[health.ComponentID]bool{}
	for _, c := range v.snap.Components {
		if !c.StateNotRead && c.Place == placeSDR {
			m[c.ID] = true
		}
	}
	return m
}

// TestASlowBMCIsReadInTurnAndItsReadingsStayOnTime: 200 sensors at 0.4 s each do not fit into a minute.
func TestASlowBMCIsReadInTurnAndItsReadingsStayOnTime(t *testing.T) {
	s := newSlug(t)
	first, took, _ := s.visit(t, health.TierReadings)
	if n := len(readOf(first)); n != 200 || took < time.Minute {
		t.Fatalf("the first visit reads everything, and learns: %d sensors in %s", n, took)
	}
	l, ok := Learned(s.known.Memory)
	if !ok || len(l.Slow) != 1 || l.Slow[0].Members != 160 || l.Slow[0].Seconds != 0.5 {
		t.Errorf("learned %+v", l.Slow)
	}
	turns := map[health.ComponentID]int{}
	for n := range 6 {
		v, took, unread := s.visit(t, health.TierReadings)
		if took > 45*time.Second || len(unread) > 0 || len(v.snap.Gaps) > 0 {
			t.Errorf("visit %d took %s, unread %v, gaps %+v", n, took, unread, v.snap.Gaps)
		}
		temperatures := 0
		for id := range readOf(v) {
			if s.known.Components[id].Class == health.ClassTemperature {
				temperatures++
			} else {
				turns[id]++
			}
		}
		if temperatures != 40 {
			t.Errorf("visit %d reads %d of 40 temperatures", n, temperatures)
		}
	}
	for id, n := range turns {
		if n > 2 {
			t.Errorf("%s had %d turns", id, n)
		}
	}
	if len(turns) != 160 {
		t.Errorf("%d of 160 had a turn in six visits", len(turns))
	}

	// Once a day all of it is due: what has to wait is said, and is not gone.
	v, took, unread := s.visit(t, health.AllTiers[:]...)
	left := 0
	for _, g := range v.snap.Gaps {
		if g.Reason == health.ReasonBudget && g.Component != "" {
			left++
		}
	}
	if took > time.Minute || left != 200-len(readOf(v)) || len(unread) != left || left == 0 {
		t.Errorf("the inventory took %s, read %d, %d gaps with reason budget, %d unread", took, len(readOf(v)), left, len(unread))
	}

	s.each = time.Millisecond
	for range 2 {
		v, _, unread = s.visit(t, health.TierReadings)
	}
	if n := len(readOf(v)); n != 200 || len(unread) > 0 || v.mem.Slow != nil {
		t.Errorf("fast again: %d sensors, unread %v, %+v", n, unread, v.mem.Slow)
	}
	for id, c := range s.known.Components {
		if c.Place == placeSDR && c.Tier != health.TierReadings {
			t.Errorf("%s is still of the %s tier", id, c.Tier)
		}
	}
}

// TestASlowBMCIsFoundOutByAVisitThatIsCut: the deadline of a readings visit comes before its patience ends.
func TestASlowBMCIsFoundOutByAVisitThatIsCut(t *testing.T) {
	s := newSlug(t)
	synctest.Test(t, func(t *testing.T) {
		s.f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { time.Sleep(s.each); return []byte{40, 0xc0, 0, 0}, nil })
		known := health.NewKnown("slug")
		from := 0
		for n := range 8 {
			v := s.f.visit(health.TierReadings)
			v.req.Patience, v.now, v.from = time.Minute, time.Now(), from
			mem, err := loadMemory(known.Memory)
			if err != nil {
				t.Fatal(err)
			}
			v.mem, v.snap.Tiers = mem, v.req.Tiers
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			err = v.run(ctx)
			cut := ctx.Err() != nil
			cancel()
			if cut != (n == 0) || cut != (err != nil) {
				t.Errorf("visit %d: cut %t, %v", n, cut, err)
			}
			seen := &health.Visit{Result: health.Done, Snapshot: v.snap, Started: v.now, Due: map[health.Tier]time.Time{health.TierReadings: v.now}}
			if unread := known.UnreadBy(seen); len(unread) > 0 {
				t.Errorf("visit %d: unread %v", n, unread)
			}
			for _, c := range v.snap.Components {
				k, _ := known.Components[c.ID].Merge(c, v.now)
				known.Components[c.ID] = k
			}
			if known.Memory, err = json.Marshal(v.mem); err != nil {
				t.Fatal(err)
			}
			from = v.from
			time.Sleep(time.Minute)
		}
	})
}

// TestEvenTheSlowestBMCReadsOneOfThoseThatWait: where what cannot wait takes all the time, the others still come round.
func TestEvenTheSlowestBMCReadsOneOfThoseThatWait(t *testing.T) {
	s := newSlug(t)
	s.each = 3 * time.Second
	s.visit(t, health.TierReadings)
	seen := map[health.ComponentID]bool{}
	for range 3 {
		v, _, _ := s.visit(t, health.TierReadings)
		for id := range readOf(v) {
			seen[id] = true
		}
	}
	if len(seen) != 40+3 {
		t.Errorf("%d sensors in three visits", len(seen))
	}
}

package collector_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dewline/collector"
	"dewline/health"
)

func unread(v *health.Visit, id health.ComponentID) bool {
	return slices.ContainsFunc(v.Unread, func(r health.ComponentRef) bool { return r.ID == id })
}

// once is the first visit of a target, with its readings.
func once(t *testing.T, src collector.Source) *health.Visit {
	t.Helper()
	c := collector.New(collector.Options{Recorder: discard{}})
	now := time.Now()
	v, err := c.Visit(t.Context(), health.Target{ID: "db-1"}, health.NewKnown("db-1"), src, map[health.Tier]time.Time{health.TierReadings: now}, now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNothingUnreadKeepsItsLastValue(t *testing.T) {
	bubble(t, "the slow tiers' parts are unknown while an outage keeps their ticks from being tried", func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.add("db-1", map[health.Tier]string{health.TierReadings: "@every 60s", health.TierHealth: "@every 15m"}, func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			if d := time.Since(begin); d > time.Hour && d < 3*time.Hour {
				return unreachable()
			}
			return healthy(req), nil
		})
		r.run(4 * time.Hour)
		said := map[time.Duration]bool{} // by quarter of an hour
		for _, v := range r.visits() {
			if d := v.At().Sub(begin); d > time.Hour+15*time.Minute && d < 3*time.Hour && unread(v, "drive/1") {
				said[d.Truncate(15*time.Minute)] = true
			}
		}
		if len(said) < 7 {
			t.Errorf("the drive was unknown in %d of 7 quarters of an hour in which nobody answered", len(said))
		}
	})
	bubble(t, "a visit that the store refuses leaves what it read unknown", func(t *testing.T) {
		r := newRig(t)
		r.store.Refuse(func(v *health.Visit) error {
			if v.Target == "db-1" && v.Snapshot != nil && v.Snapshot.Cost.Requests == 13 {
				return errors.New("constraint failed")
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
		for _, v := range r.visits() {
			if v.Result == health.Failed && !unread(v, "fan/1") {
				t.Errorf("unread %v", v.Unread)
			}
		}
	})
	bubble(t, "a visit refused in a fleet of one is given up as well", func(t *testing.T) {
		r := newRig(t)
		r.store.Refuse(func(v *health.Visit) error {
			if v.Snapshot != nil && v.Snapshot.Cost.Requests == 13 {
				return fmt.Errorf("%w: constraint failed", health.ErrRefused)
			}
			return nil
		})
		f := r.add("db-1", everyMinute, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			if n == 3 {
				s.Cost.Requests = 13
			}
			return s, nil
		})
		r.run(time.Hour)
		if n := f.reads(); n < 40 {
			t.Errorf("read %d times in an hour", n)
		}
		r.accounted(r.jobs[0], time.Hour, time.Now().Add(-time.Minute))
	})
	bubble(t, "a driver that never returns is no silence", func(t *testing.T) {
		r := newRig(t)
		end := make(chan struct{})
		r.add("db-1", everyMinute, func(ctx context.Context, n int, req health.Request) (*health.Snapshot, error) {
			if n == 5 {
				<-end // whatever its context says
				return nil, ctx.Err()
			}
			return healthy(req), nil
		})
		begin := time.Now()
		time.AfterFunc(time.Hour, func() { close(end) })
		r.run(2 * time.Hour)
		told := 0
		for _, v := range r.visits() {
			if d := v.At().Sub(begin); d > 20*time.Minute && d < time.Hour && unread(v, "fan/1") {
				told++
			}
		}
		if told < 5 {
			t.Errorf("%d visits said in 40 minutes that nothing is read", told)
		}
		r.accounted(r.jobs[0], time.Hour, time.Now().Add(-time.Minute))
	})
	bubble(t, "a part that is gone is said to be absent, once", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", map[health.Tier]string{health.TierReadings: "@every 60s"}, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			if n >= 5 {
				s.Components, s.Readings = nil, nil
			}
			return s, nil
		})
		r.run(20 * time.Minute)
		said := 0
		for i, v := range r.visits() {
			for _, c := range v.Snapshot.Components {
				if i >= 5 && c.ID == "fan/1" {
					said++
					if c.Presence != health.Absent || c.State != health.Unknown {
						t.Errorf("visit %d: %+v", i, c)
					}
				}
			}
			if i >= 5 && unread(v, "fan/1") {
				t.Errorf("visit %d: unread", i)
			}
		}
		if said != 1 {
			t.Errorf("said %d times", said)
		}
		if got := fmt.Sprint(transitions(r.visits())); got != "[fan/1 absent_removed asserted]" {
			t.Errorf("events %s", got)
		}
	})
}

func TestAPartOfAHostThatIsOff(t *testing.T) {
	for _, c := range []struct {
		name  string
		after health.Presence // what the BMC says when the host is on again
		want  string
	}{
		{"called absent while the host sleeps was not put in when it wakes", health.Present, "[]"},
		{"taken out while the host sleeps is missed when it wakes", health.Absent, "[drive/1 absent_removed asserted]"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			r := newRig(t)
			r.add("db-1", map[health.Tier]string{health.TierReadings: "@every 60s", health.TierHealth: "@every 60s"}, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
				s := healthy(req)
				switch {
				case n >= 5 && n < 10:
					s.HostPower = health.HostOff
					s.Components[1].Presence, s.Components[1].State = health.Absent, health.Unknown
				case n >= 10 && c.after == health.Absent:
					s.Components[1].Presence, s.Components[1].State = health.Absent, health.Unknown
				}
				return s, nil
			})
			r.run(20 * time.Minute)
			if got := fmt.Sprint(transitions(r.visits())); got != c.want {
				t.Errorf("events %s, want %s", got, c.want)
			}
			for i, v := range r.visits() {
				for _, p := range v.Snapshot.Components {
					if i >= 5 && i < 10 && p.ID == "drive/1" && p.Presence != health.PresenceUnknown {
						t.Errorf("visit %d: the drive is %s", i, p.Presence)
					}
				}
			}
		})
	}
}

func TestAHostileBMCIsBounded(t *testing.T) {
	tiers := map[health.Tier]string{health.TierReadings: "@every 60s"}
	long := strings.Repeat("ü", health.MaxText) // twice too long
	bubble(t, "names invented at each visit fill what is known, and nothing more", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", tiers, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			s.Scope = append(s.Scope, fmt.Sprint("place ", n))
			s.NextCursors = health.Cursors{}
			for i := range 100 {
				s.NextCursors[fmt.Sprint(n, "/", i)] = []byte("1")
				s.Scope = append(s.Scope, fmt.Sprint(n, "/", i))
			}
			for i := range 1500 {
				id := health.ComponentID(fmt.Sprintf("drive/%d-%d", n, i))
				s.Components = append(s.Components, health.Component{ID: id, Class: health.ClassDrive, Presence: health.Present, State: health.OK, Place: "sdr"})
				s.Readings = append(s.Readings, health.Reading{Component: id, Quantity: health.Temperature, Unit: health.Celsius, Value: 20})
			}
			s.Scope = append(s.Scope, "sdr")
			return s, nil
		})
		r.run(8 * time.Minute)
		k := r.known("db-1")
		if len(k.Components) > health.MaxComponents || len(k.Places) > health.MaxComponents || len(k.Cursors) > 256 {
			t.Errorf("%d components, %d places, %d cursors", len(k.Components), len(k.Places), len(k.Cursors))
		}
		seen := map[health.ComponentID]bool{}
		events := 0
		for _, v := range r.visits() {
			for _, c := range v.Snapshot.Components {
				seen[c.ID] = true
			}
			events += len(v.Events)
		}
		if len(seen) > health.MaxComponents {
			t.Errorf("%d parts were recorded", len(seen))
		}
		if events > 4*health.MaxComponents {
			t.Errorf("%d events", events)
		}
		last := r.visits()[len(r.visits())-1]
		if !slices.ContainsFunc(last.Snapshot.Gaps, func(g health.Gap) bool { return strings.Contains(g.Part, "past the first") }) {
			t.Errorf("what is left out is not said: %v", last.Snapshot.Gaps)
		}
		if !slices.ContainsFunc(last.Snapshot.Components, func(c health.Component) bool { return c.ID == "fan/1" }) {
			t.Error("the part that was known before is left out")
		}
	})
	bubble(t, "a list that is longer than what is held makes no part disappear", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", tiers, func(_ context.Context, n int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			for i := range health.MaxComponents + 100 {
				id := health.ComponentID(fmt.Sprintf("drive/%d", (i+50*n)%(health.MaxComponents+100)))
				s.Components = append(s.Components, health.Component{ID: id, Class: health.ClassDrive, Presence: health.Present, State: health.OK, Place: "sdr"})
			}
			s.Scope = append(s.Scope, "sdr")
			return s, nil
		})
		r.run(3 * time.Minute)
		if got := transitions(r.visits()); len(got) != 0 {
			t.Errorf("%d events, first %s", len(got), got[0])
		}
	})
	t.Run("texts are cut between characters, and lists are bounded", func(t *testing.T) {
		v := once(t, &fake{read: func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			c := &s.Components[0]
			c.Name, c.Status, c.Location, c.Serial = "x"+long, "x"+long, "\xff\xfe", long
			for i := range 10000 {
				c.Conditions = append(c.Conditions, health.Condition{Kind: health.KindFailed, Severity: health.SeverityWarning, Evidence: fmt.Sprint(i)})
				s.Gaps = append(s.Gaps, health.Gap{Part: fmt.Sprint(i), Reason: health.ReasonTimeout, Error: "x" + long})
			}
			s.Memory = make([]byte, 64<<20)
			return s, nil
		}})
		c := v.Snapshot.Components[0]
		for _, s := range []string{c.Name, c.Status, c.Location, c.Serial, v.Snapshot.Gaps[0].Error} {
			if len(s) > health.MaxText || !utf8.ValidString(s) || s == "" {
				t.Errorf("%d bytes, valid %v", len(s), utf8.ValidString(s))
			}
		}
		if len(c.Conditions) > 100 || len(v.Events) != 1 || len(v.Events[0].Evidence) > 100 {
			t.Errorf("%d conditions, %d events", len(c.Conditions), len(v.Events))
		}
		if len(v.Snapshot.Gaps) > 1001 {
			t.Errorf("%d gaps", len(v.Snapshot.Gaps))
		}
		if v.Delta.Memory != nil {
			t.Errorf("%d bytes of memory", len(v.Delta.Memory))
		}
	})
	t.Run("an error is cut between characters", func(t *testing.T) {
		v := once(t, &fake{read: func(context.Context, int, health.Request) (*health.Snapshot, error) {
			return nil, &health.Error{Reason: health.ReasonMalformed, Op: "read", Err: errors.New("x" + long)}
		}})
		if len(v.Error) > health.MaxText || !utf8.ValidString(v.Error) {
			t.Errorf("%d bytes, valid %v", len(v.Error), utf8.ValidString(v.Error))
		}
	})
	t.Run("a part listed twice is at its worst", func(t *testing.T) {
		v := once(t, &fake{read: func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			again := s.Components[0]
			again.State = health.Critical
			s.Components = append(s.Components, again)
			return s, nil
		}})
		if len(v.Snapshot.Components) != 1 || v.Snapshot.Components[0].State != health.Critical || len(v.Delta.Faults) != 1 {
			t.Errorf("%+v, faults %v", v.Snapshot.Components, v.Delta.Faults)
		}
	})
}

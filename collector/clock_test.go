package collector_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/schedule"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// failing is a machine whose fan has failed, and who says when it was read.
func failing(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
	s := healthy(req)
	for i := range s.Components {
		if s.Components[i].Class == health.ClassFan {
			s.Components[i].State = health.Critical
		}
	}
	return s, nil
}

// dewline is stopped, the clock is set, and dewline is started again, with the embedded store: each tick of either run is answered once, the time
// between is told as not running if there is any, nothing that holds is told twice, and the log goes on in order.
func TestAClockThatIsSetByHours(t *testing.T) {
	for _, step := range []time.Duration{-3 * time.Hour, -30 * time.Minute, 5 * time.Hour, 49 * time.Hour} {
		t.Run(fmt.Sprint("by ", step), func(t *testing.T) {
			dir := t.TempDir()
			begin := 72*time.Hour + 17*time.Second // after the bubbles' own
			specs := map[health.Tier]string{health.TierReadings: "@every 60s", health.TierEvents: "@every 5m", health.TierHealth: "*/15 * * * *"}
			// In fake time a tick of the same due time would begin in the same nanosecond, and be the same visit.
			before := map[health.Tier]string{health.TierReadings: "@every 59.999s", health.TierEvents: "@every 299.999s", health.TierHealth: "7-59/15 * * * *"}
			run := func(specs map[health.Tier]string, from, long time.Duration) (first, last time.Time) {
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(from)
					first = time.Now().UTC()
					db, err := sqlite.Open(context.Background(), dir, sqlite.Options{CommitEvery: time.Millisecond})
					if err != nil {
						t.Fatal(err)
					}
					source := &fake{read: failing}
					ctx, cancel := context.WithTimeout(t.Context(), long)
					defer cancel()
					c := collector.New(collector.Options{Recorder: db, Spread: time.Minute, Open: func(health.Target, string) (collector.Source, error) { return source, nil }})
					if err := c.Run(ctx, []collector.Job{job(t, "db-1", specs)}); err != nil {
						t.Fatal(err)
					}
					last = time.Now().UTC()
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
				})
				return first, last
			}
			_, stopped := run(before, begin, 2*time.Hour)
			started, ended := run(specs, begin+2*time.Hour+step, 2*time.Hour)

			db, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			visits := storetest.All(t, db)
			ids, asserted, second := map[string]bool{}, map[string]int{}, -1
			for i, v := range visits {
				if ids[v.ID] {
					t.Errorf("visit %s is there twice", v.ID)
				}
				ids[v.ID] = true
				if v.Seq != int64(i+1) {
					t.Errorf("visit %d has number %d", i, v.Seq)
				}
				for _, e := range v.Events {
					asserted[fmt.Sprint(e.Component, " ", e.Kind, " ", e.Transition)]++
				}
				if step := v.Started.Sub(visits[max(0, i-1)].Started); second < 0 && (step < 0 || step > 5*time.Minute) {
					second = i
				}
			}
			if second < 100 {
				t.Fatalf("the second run begins with visit %d of %d", second, len(visits))
			}
			if len(asserted) == 0 {
				t.Error("the fan's fault was not told")
			}
			for what, n := range asserted {
				if n != 1 {
					t.Errorf("%s is told %d times", what, n)
				}
			}
			known, err := db.Recall(t.Context(), "db-1")
			if err != nil {
				t.Fatal(err)
			}
			if len(known.Faults) != 1 {
				t.Errorf("%d faults are open", len(known.Faults))
			}
			ticksOnce(t, visits[second:], specs, started, ended)
			notRunning := 0
			for _, v := range visits[second:] {
				for _, s := range v.Skipped {
					if s.Reason != health.ReasonNotRunning {
						t.Errorf("%s: skipped for %s", v.Started, s.Reason)
					}
					if s.Tier == health.TierReadings {
						notRunning += s.Count
					}
				}
			}
			want := max(0, int(started.Sub(stopped)/time.Minute))
			if notRunning < want-1 || notRunning > want+1 {
				t.Errorf("%d ticks passed while it did not run, want %d", notRunning, want)
			}
		})
	}
}

// ticksOnce: between two times each tick of each tier is answered once.
func ticksOnce(t *testing.T, visits []*health.Visit, specs map[health.Tier]string, from, to time.Time) {
	t.Helper()
	for tier, spec := range job(t, "db-1", specs).Schedule {
		answered := map[time.Time]int{}
		for _, v := range visits {
			if due, ok := v.Due[tier]; ok && v.Result != health.Missed {
				answered[due.UTC()]++
			}
		}
		n := 0
		for due := spec.Next(from, "db-1", time.Minute); due.Before(to); due = spec.Next(due, "db-1", time.Minute) {
			n++
			if answered[due] != 1 {
				t.Errorf("%s: the tick of %s is answered %d times", tier, due, answered[due])
			}
		}
		if n < 7 {
			t.Errorf("%s: %d ticks prove little", tier, n)
		}
	}
}

// The nights in which the clock is changed: what is due in the hour that is left out comes at its end, what is due in the hour that comes
// twice comes once, an interval goes on as if nothing were, and each tick is accounted for.
func TestNightsOfTheChangedClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		from    time.Time
		nightly []string // due times of 30 2 * * *
		hourly  int      // from 00:00 to 06:00 of the night
	}{
		{"spring", time.Date(2000, 3, 25, 12, 0, 0, 0, time.UTC), []string{"2000-03-26T03:00:00+02:00", "2000-03-27T02:30:00+02:00"}, 5},
		{"autumn", time.Date(2000, 10, 28, 12, 0, 0, 0, time.UTC), []string{"2000-10-29T02:30:00+02:00", "2000-10-30T02:30:00+01:00"}, 7},
	} {
		bubble(t, c.name, func(t *testing.T) {
			time.Sleep(time.Until(c.from))
			r := newRig(t)
			r.options.Spread = time.Nanosecond // the specs' own times
			r.add("db-1", everyMinute, func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) { return healthy(req), nil })
			for tier, text := range map[health.Tier]string{health.TierInventory: "30 2 * * *", health.TierHealth: "0 * * * *", health.TierReadings: "*/10 1-3 * * *"} {
				spec, err := schedule.Parse(text, berlin)
				if err != nil {
					t.Fatal(err)
				}
				r.jobs[0].Schedule[tier] = spec
			}
			r.run(40 * time.Hour)
			if n := r.accounted(r.jobs[0], time.Nanosecond, time.Now().Add(-time.Hour)); n < 2300 { // 40 hours of events alone are 2,400
				t.Errorf("%d ticks", n)
			}
			var nightly []string
			hourly := 0
			night := c.from.In(berlin).AddDate(0, 0, 1)
			midnight := time.Date(night.Year(), night.Month(), night.Day(), 0, 0, 0, 0, berlin)
			for _, v := range r.visits() {
				if due, ok := v.Due[health.TierInventory]; ok && due.Sub(c.from) > time.Hour { // the first is at once
					nightly = append(nightly, due.In(berlin).Format(time.RFC3339))
				}
				if due, ok := v.Due[health.TierHealth]; ok && !due.Before(midnight) && due.In(berlin).Day() == night.Day() && due.In(berlin).Hour() < 6 {
					hourly++
				}
				if v.Result != health.Done || len(v.Skipped) > 0 {
					t.Errorf("visit of %s: %s, skipped %v", v.At(), v.Result, v.Skipped)
				}
			}
			if fmt.Sprint(nightly) != fmt.Sprint(c.nightly) {
				t.Errorf("nightly at %v, want %v", nightly, c.nightly)
			}
			if hourly != c.hourly {
				t.Errorf("%d hourly ones in the night, want %d", hourly, c.hourly)
			}
		})
	}
}

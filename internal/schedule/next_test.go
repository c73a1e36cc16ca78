package schedule_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dewline/internal/schedule"
)

func must(t testing.TB, s string) schedule.Spec {
	t.Helper()
	spec, err := schedule.Parse(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func dues(s schedule.Spec, from, to time.Time, id string, spread time.Duration) []time.Time {
	var l []time.Time
	for at := s.Next(from, id, spread); !at.After(to); at = s.Next(at, id, spread) {
		l = append(l, at)
	}
	return l
}

func TestDueTimesOverADayOfDaylightSaving(t *testing.T) {
	for name, c := range map[string]struct {
		spec     string
		from, to string // UTC, exclusive and inclusive
		want     []string
	}{
		"a time the clock jumps over is due when the jump ends": {
			"CRON_TZ=Europe/Paris 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		"a time that comes twice is due the first time": {
			"CRON_TZ=Europe/Paris 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		"every hour goes on through the doubled hour": {
			"CRON_TZ=Europe/Paris 0 * * * *", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"}},
		"every hour goes on through the missing hour": {
			"CRON_TZ=Europe/Paris 0 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T03:00:00Z"}},
		"a midnight that does not exist is due at one": { // São Paulo 2018-11-04
			"CRON_TZ=America/Sao_Paulo 0 0 * * *", "2018-11-03T03:00:00Z", "2018-11-05T02:00:00Z",
			[]string{"2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"}},
		"hourly on a day without a midnight": {
			"CRON_TZ=America/Sao_Paulo 0 * 4 11 *", "2018-11-04T00:00:00Z", "2018-11-04T05:00:00Z",
			[]string{"2018-11-04T03:00:00Z", "2018-11-04T04:00:00Z", "2018-11-04T05:00:00Z"}},
		"half an hour of shift": { // Lord Howe 2026-10-04: 02:00 becomes 02:30
			"CRON_TZ=Australia/Lord_Howe 15 2 * * *", "2026-10-03T00:00:00Z", "2026-10-04T20:00:00Z",
			[]string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		"a day that an island skipped is due when it is over": { // Apia had no 2011-12-30
			"CRON_TZ=Pacific/Apia 0 12 30 12 *", "2011-12-01T00:00:00Z", "2012-12-31T00:00:00Z",
			[]string{"2011-12-30T10:00:00Z", "2012-12-29T22:00:00Z"}},
		"29 February over a century without one": {
			"0 0 29 2 *", "2096-03-01T00:00:00Z", "2108-03-01T00:00:00Z",
			[]string{"2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			from, err := time.Parse(time.RFC3339, c.from)
			if err != nil {
				t.Fatal(err)
			}
			to, err := time.Parse(time.RFC3339, c.to)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, at := range dues(must(t, c.spec), from, to, "x", 0) {
				got = append(got, at.Format(time.RFC3339))
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Fatalf("due %v\nwant %v", got, c.want)
			}
		})
	}
}

// The reference asks of every minute whether its wall clock matches: slow, and too simple to be wrong.
func TestRealTimeSpecsAgreeWithAWalkOverEveryMinute(t *testing.T) {
	zones := []string{"Europe/Paris", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Beirut", "America/Havana", "Asia/Kathmandu"}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		minute := rapid.IntRange(0, 59).Draw(t, "minute")
		dom := rapid.IntRange(1, 28).Draw(t, "day")
		anyDay := rapid.Bool().Draw(t, "any day")
		day := "*"
		if !anyDay {
			day = fmt.Sprint(dom)
		}
		spec, err := schedule.Parse(fmt.Sprintf("%d * %s * *", minute, day), loc)
		if err != nil {
			t.Fatal(err)
		}
		from := time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*24).Draw(t, "hour")) * time.Hour)
		var want time.Time
		for at := from.Add(time.Minute); at.Before(from.Add(40 * 24 * time.Hour)); at = at.Add(time.Minute) {
			w := at.In(loc)
			if w.Minute() == minute && (anyDay || w.Day() == dom) {
				want = at
				break
			}
		}
		if got := spec.Next(from, "", 0); !got.Equal(want) {
			t.Fatalf("%q after %s: due %s, want %s", spec, from, got, want)
		}
	})
}

var specs = rapid.SampledFrom([]string{
	"@every 1s", "@every 60s", "@every 7s", "@every 15m", "@every 1500ms", "@every 2400h", "* * * * * *", "*/5 * * * *", "0 3 * * *",
	"@weekly", "0 3,4,12 * * *", "0 0 29 2 *", "CRON_TZ=Europe/Paris 30 2 * * *", "CRON_TZ=Europe/Paris */30 * * * *",
	"CRON_TZ=America/Sao_Paulo 0 0 * * *", "*/7 1-3 * * 1-5", "CRON_TZ=Australia/Lord_Howe */20 2 * * *",
})

func TestDueTimesHaveTheirProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, err := schedule.Parse(specs.Draw(t, "spec"), nil)
		if err != nil {
			t.Fatal(err)
		}
		id := rapid.StringN(0, 12, -1).Draw(t, "id")
		spread := time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "spread"))
		after := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "unix"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))

		due := spec.Next(after, id, spread)
		if !due.After(after) {
			t.Fatalf("due %s, not after %s", due, after)
		}
		if due.Location() != time.UTC {
			t.Fatalf("due in %s", due.Location())
		}
		// Asking again at any moment before it gives the same answer: what a second collector, or this one after a
		// restart, computes.
		between := after.Add(time.Duration(rapid.Int64Range(0, int64(due.Sub(after))-1).Draw(t, "between")))
		if again := spec.Next(between, id, spread); !again.Equal(due) {
			t.Fatalf("at %s due %s, at %s due %s", after.UTC(), due, between.UTC(), again)
		}
		following := spec.Next(due, id, spread)
		if !following.After(due) {
			t.Fatalf("due %s and then %s", due, following)
		}
		// The shifted time belongs to exactly one unshifted one, and stays below the next and within the spread.
		base := spec.Next(after, id, 0)
		if strings.HasPrefix(spec.String(), "@every") {
			if p := spec.Period(after); following.Sub(due) != p || due.Sub(after) > p {
				t.Fatalf("due %s and then %s, every %s", due, following, p)
			}
			return
		}
		if late := due.Sub(base); late > spread || (late < 0 && due.Sub(after) > spread) {
			t.Fatalf("due %s, unshifted %s, spread %s", due, base, spread)
		}
	})
}

func TestShiftedSpecsAreDueAsOftenAsUnshiftedOnes(t *testing.T) {
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, s := range []string{"*/5 * * * *", "0 3,4,12 * * *", "CRON_TZ=Europe/Paris 30 2 * * *", "CRON_TZ=Europe/Paris 0 * * * *"} {
		spec := must(t, s)
		plain := dues(spec, from, from.AddDate(0, 1, 0), "", 0)
		for i := range 20 {
			id := fmt.Sprintf("bmc-%d", i)
			shifted := dues(spec, plain[0].Add(-1), plain[len(plain)-1].Add(-1), id, time.Hour)
			if d := len(plain) - len(shifted); d < 0 || d > 2 {
				t.Fatalf("%q: %d due times for %s, %d without a shift", s, len(shifted), id, len(plain))
			}
		}
	}
}

func TestTargetsSpreadEvenly(t *testing.T) {
	from := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, s := range []string{"@every 60s", "0 3 * * *"} {
		spec := must(t, s)
		const n, buckets = 10_000, 60
		var count [buckets]int
		width := min(spec.Period(from), time.Hour) / buckets
		for i := range n {
			due := spec.Next(from, fmt.Sprintf("db-%d", i), time.Hour)
			count[int(due.Sub(due.Truncate(width*buckets))/width)]++
		}
		for b, c := range count {
			if want := float64(n) / buckets; math.Abs(float64(c)-want) > 5*math.Sqrt(want) {
				t.Errorf("%q: bucket %d has %d of %d targets, want about %.0f", s, b, c, n, want)
			}
		}
	}
}

// These times are part of the interface: a change of the hash would move the phase of every installed target.
func TestPhasesNeverChange(t *testing.T) {
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ spec, id, want string }{
		{"@every 60s", "db-1", "00:00:30.334"},
		{"@every 60s", "db-2", "00:00:43.317"},
		{"@every 15m", "db-1", "00:01:30.334"},
		{"0 3 * * *", "db-1", "03:46:30.334"},
	} {
		if got := must(t, c.spec).Next(at, c.id, schedule.DefaultSpread).Format("15:04:05.000"); got != c.want {
			t.Errorf("%q of %s is due %s, want %s", c.spec, c.id, got, c.want)
		}
	}
}

func TestEveryHoldsWhateverTheClockSays(t *testing.T) {
	spec := must(t, "@every 60s")
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 5), time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		due := spec.Next(at, "x", 0)
		if d := due.Sub(at); d <= 0 || d > time.Minute {
			t.Errorf("after %s due %s", at, due)
		}
		if again := spec.Next(due, "x", 0); again.Sub(due) != time.Minute {
			t.Errorf("after %s due %s", due, again)
		}
	}
}

func TestPeriodIsTheDistanceOfDueTimes(t *testing.T) {
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{"@every 60s": time.Minute, "*/5 * * * *": 5 * time.Minute, "0 3 * * *": 24 * time.Hour, "@weekly": 7 * 24 * time.Hour} {
		if got := must(t, s).Period(at); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

func TestPhaseStaysBelowItsDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(-5, int64(time.Hour)).Draw(t, "d"))
		if p := schedule.Phase(rapid.String().Draw(t, "id"), d); p < 0 || (p > 0 && p >= d) {
			t.Fatalf("phase %s of %s", p, d)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	at := time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC)
	for _, s := range []string{"@every 60s", "0 3 * * *", "* * * * * *", "CRON_TZ=Europe/Paris 30 2 * * *"} {
		spec := must(b, s)
		b.Run(s, func(b *testing.B) {
			for b.Loop() {
				spec.Next(at, "db-1", time.Hour)
			}
		})
	}
}

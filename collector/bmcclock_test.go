package collector_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// TestABMCsClockYearsOff: a BMC whose clock was never set, or stands years away, is read over both protocols as any other: its entries come once, in
// their order, with its time beside ours; visits, events and faults bear ours; and when the clock is set, nothing is lost, doubled or taken for a
// cleared log.
func TestABMCsClockYearsOff(t *testing.T) {
	for _, driver := range []string{health.DriverRedfish, health.DriverIPMI} {
		for _, c := range []struct {
			name     string
			from, to time.Time // what its clock shows before and after it is set; zero: what it is
			unset    bool      // what it shows before is no time
		}{
			{"counting from its start", time.Unix(120, 0), time.Time{}, true},
			{"in 2003", time.Date(2003, 4, 5, 6, 7, 8, 0, time.UTC), time.Time{}, false},
			{"in 2009", time.Date(2009, 12, 31, 23, 59, 58, 0, time.UTC), time.Time{}, false},
			{"in 2099", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}, false},
			{"goes wrong: back to its start", time.Time{}, time.Unix(300, 0), false},
			{"goes wrong: on to 2099", time.Time{}, time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), false},
		} {
			t.Run(driver+" "+c.name, func(t *testing.T) {
				t.Parallel()
				m := bmcsim.NewMachine(bmcsim.ProfileMixed, "db-1", 3)
				if driver == health.DriverIPMI {
					m = bmcsim.NewMachine(bmcsim.ProfileWhitebox, "db-1", 3)
				}
				clock := func(base time.Time) func() time.Time {
					begun := time.Now()
					return func() time.Time {
						if base.IsZero() {
							return time.Now()
						}
						return base.Add(time.Since(begun))
					}
				}
				var base atomic.Value // the simulated BMC asks at any time
				base.Store(clock(c.from))
				shows := func() time.Time { return base.Load().(func() time.Time)() }
				m.SetClock(shows)
				m.ClearLog() // so that all its entries are of this clock
				target := health.Target{ID: "db-1", Driver: driver}
				var src collector.Source
				var counts func(bmcsim.Event) bool
				if driver == health.DriverIPMI {
					srv, err := bmcsim.ServeIPMI(m, bmcsim.IPMIOptions{Now: shows})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = srv.Close() })
					target.Address, counts = srv.URL(), srv.Logs
					if src, err = ipmi.Open(target.ID, ipmi.Options{Address: srv.URL(), Username: srv.Username(), Password: secret.New(srv.Password())}); err != nil {
						t.Fatal(err)
					}
				} else {
					srv, err := bmcsim.ServeRedfish(m, bmcsim.RedfishOptions{Now: shows})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = srv.Close() })
					target.Address, counts = srv.URL(), func(bmcsim.Event) bool { return true }
					if src, err = redfish.Open(target.ID, redfish.Options{
						Address: srv.URL(), Username: srv.Username(), Password: secret.New(srv.Password()), TLS: redfish.TLS{Fingerprint: srv.CertFingerprint()},
					}); err != nil {
						t.Fatal(err)
					}
				}
				t.Cleanup(func() { _ = src.Close(t.Context()) })
				db, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{CommitEvery: time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				known, err := db.Recall(t.Context(), target.ID)
				if err != nil {
					t.Fatal(err)
				}
				known = known.For(target)
				col := collector.New(collector.Options{Recorder: db, Open: func(health.Target, string) (collector.Source, error) { return src, nil }})
				begin := time.Now()
				visit := func() *health.Visit {
					t.Helper()
					now := time.Now()
					due := map[health.Tier]time.Time{}
					for _, tier := range health.AllTiers {
						due[tier] = now
					}
					v, err := col.Visit(t.Context(), target, known, src, due, now)
					if err != nil || v.Result != health.Done || len(v.Snapshot.Gaps) > 0 {
						t.Fatalf("%s %s, gaps %+v, %v", v.Result, v.Error, v.Snapshot.Gaps, err)
					}
					for _, l := range v.Snapshot.Logs {
						if l.Cleared || l.Lost {
							t.Errorf("log %+v", l)
						}
					}
					return v
				}
				visit()
				m.FailFan(0)
				visit()
				base.Store(clock(c.to))
				m.RepairFan(0)
				visit()
				m.CorrectError(0)
				visit()
				visit()
				end := time.Now()

				var want []bmcsim.Event
				for _, e := range m.Log() {
					if counts(e) {
						want = append(want, e)
					}
				}
				entries, err := db.LogEntries(t.Context(), time.Time{}, time.Time{}, target.ID)
				if err != nil {
					t.Fatal(err)
				}
				if len(entries) != len(want) {
					t.Fatalf("%d entries of %d", len(entries), len(want))
				}
				for i, e := range entries {
					at := want[i].Time.Truncate(time.Second)
					if at.Year() < 1990 { // no time: counted from the BMC's start
						at = time.Time{}
					}
					if e.ID != strconv.Itoa(want[i].ID) || !e.Created.Equal(at) {
						t.Errorf("entry %d is %s of %s, want %d of %s", i, e.ID, e.Created, want[i].ID, at)
					}
					if e.Observed.Before(begin) || e.Observed.After(end) {
						t.Errorf("entry %s was read at %s", e.ID, e.Observed)
					}
				}
				told := map[health.Transition]int{}
				for _, v := range storetest.All(t, db) {
					for _, e := range v.Events {
						if e.At.Before(begin) || e.At.After(end.Add(time.Millisecond)) {
							t.Errorf("event %s %s at %s", e.Component, e.Kind, e.At)
						}
						if e.Kind == health.KindFailed && e.Class == health.ClassFan {
							told[e.Transition]++
						}
					}
				}
				if told[health.Asserted] != 1 || told[health.Cleared] != 1 {
					t.Errorf("the fan's failure: %v", told)
				}
				if driver == health.DriverIPMI {
					checkClock(t, storetest.All(t, db), c.unset, begin, c.from)
				}
			})
		}
	}
}

// checkClock checks what the first visit says of the clock.
func checkClock(t *testing.T, vs []*health.Visit, unset bool, begin, from time.Time) {
	t.Helper()
	state, skew := health.Unknown, ""
	for _, c := range vs[0].Snapshot.Components {
		if c.ID == "bmc/BMC clock" {
			state = c.State
		}
	}
	for _, r := range vs[0].Snapshot.Readings {
		if r.Quantity == health.ClockSkew {
			skew = fmt.Sprintf("%.0f", r.Value/86400)
		}
	}
	want := ""
	if !from.IsZero() {
		want = fmt.Sprintf("%.0f", from.Sub(begin).Hours()/24)
	} else {
		want = "0"
	}
	switch {
	case unset && (state != health.Warning || skew != ""):
		t.Errorf("a clock that is not set is %s, %s days ahead", state, skew)
	case !unset && (state != health.OK || skew != want && skew != "-"+want):
		t.Errorf("the clock is %s, %s days ahead, want %s", state, skew, want)
	}
}

package collector_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
)

// A BMC that is read by another protocol than before names its parts differently: what the old one told closes as no longer watched, once, and
// what still holds is told by the new one, as found at the start. Nothing stays open for ever that nobody can close.
func TestAnotherProtocolEndsWhatTheOldOneTold(t *testing.T) {
	read := func(driver, fan string) func(context.Context, int, health.Request) (*health.Snapshot, error) {
		return func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
			s := healthy(req)
			s.Driver = driver
			for i := range s.Components {
				if c := &s.Components[i]; c.Class == health.ClassFan {
					c.ID, c.State, c.Place = health.ComponentID(fan), health.Critical, driver+" fans"
				}
			}
			s.Readings, s.Scope = nil, []string{driver + " fans"}
			return s, nil
		}
	}
	check := func(t *testing.T, r *rig) {
		var got []string
		for _, v := range r.visits() {
			for _, e := range v.Events {
				got = append(got, string(e.Component)+" "+string(e.Kind)+" "+string(e.Transition))
				if e.Component == "fan/redfish" && !e.AtStart {
					t.Error("what was found by the new protocol is not marked as found at the start")
				}
			}
		}
		slices.Sort(got)
		if want := []string{"fan/ipmi failed asserted", "fan/ipmi failed unmonitored", "fan/redfish failed asserted"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		k := r.known("db-1")
		if len(k.Faults) != 1 || k.Driver != health.DriverRedfish {
			t.Errorf("%d faults are open, driver %s", len(k.Faults), k.Driver)
		}
		if _, ok := k.Components["fan/ipmi"]; ok {
			t.Error("the old protocol's part is still held")
		}
		unknown := 0
		for _, v := range r.visits() {
			if v.Result == health.Done && slices.Contains(v.Unread, health.ComponentRef{ID: "fan/ipmi", Class: health.ClassFan}) {
				unknown++
			}
		}
		if unknown != 1 {
			t.Errorf("the old part is written as unknown %d times", unknown)
		}
	}
	bubble(t, "an auto target whose BMC learns Redfish", func(t *testing.T) {
		r := newRig(t)
		ipmi, redfish := read(health.DriverIPMI, "fan/ipmi"), read(health.DriverRedfish, "fan/redfish")
		r.add("db-1", everyMinute, func(ctx context.Context, n int, req health.Request) (*health.Snapshot, error) {
			if n < 5 {
				return ipmi(ctx, n, req)
			}
			return redfish(ctx, n, req)
		})
		r.jobs[0].Target.Driver = health.DriverAuto
		r.run(20 * time.Minute)
		check(t, r)
	})
	bubble(t, "a configuration that names another driver", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", everyMinute, read(health.DriverIPMI, "fan/ipmi"))
		r.jobs[0].Target.Driver = health.DriverIPMI
		r.run(20 * time.Minute)
		r.sources["db-1"].read = read(health.DriverRedfish, "fan/redfish")
		r.jobs[0].Target.Driver = health.DriverRedfish
		synctest.Wait()
		r.run(20 * time.Minute)
		check(t, r)
	})
	bubble(t, "a configuration that names another driver, whose first visits fail, and a restart before it is read", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", everyMinute, read(health.DriverIPMI, "fan/ipmi"))
		r.jobs[0].Target.Driver = health.DriverAuto
		r.run(20 * time.Minute)
		r.sources["db-1"].read = func(context.Context, int, health.Request) (*health.Snapshot, error) { return unreachable() }
		r.jobs[0].Target.Driver = health.DriverRedfish
		synctest.Wait()
		r.run(90 * time.Second) // fewer failures than make it unreachable
		if k := r.known("db-1"); k.Driver != "" || k.Endpoint != "redfish https://db-1" || len(k.Faults) != 1 {
			t.Fatalf("before the restart: driver %q of %q, %d faults", k.Driver, k.Endpoint, len(k.Faults))
		}
		r.sources["db-1"].read = read(health.DriverRedfish, "fan/redfish")
		synctest.Wait()
		r.run(20 * time.Minute)
		r.jobs[0].Target.Driver = health.DriverAuto // the same protocol by another configuration ends nothing
		synctest.Wait()
		r.run(20 * time.Minute)
		r.jobs[0].Target.Driver = health.DriverRedfish
		check(t, r)
	})
}

package influx

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"dewline/health"
)

func TestFaultsOfAStreamAreThoseOfAllEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []health.Event
		open := map[string][]string{} // by component
		at := t0
		for n := range rapid.IntRange(0, 120).Draw(t, "events") {
			at = at.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "later")) * time.Minute) // some of one moment
			c := rapid.SampledFrom([]string{"fan/1", "fan/2"}).Draw(t, "component")
			e := health.Event{
				ID: fmt.Sprintf("e%03d", n), Target: "a", Component: health.ComponentID(c), Kind: health.KindFailed, At: at,
				Severity: rapid.SampledFrom([]health.Severity{health.SeverityWarning, health.SeverityCritical}).Draw(t, "severity"),
			}
			e.Transition = rapid.SampledFrom([]health.Transition{health.Asserted, health.Momentary, health.Escalated, health.Cleared, health.Cleared, health.Unmonitored}).Draw(t, "transition")
			told := rapid.Bool().Draw(t, "told")
			switch some := open[c]; {
			case e.Transition == health.Asserted && told:
				e.FaultID, open[c] = e.ID, append(some, e.ID)
			case e.Transition != health.Asserted && told && len(some) > 0:
				k := rapid.IntRange(0, len(some)-1).Draw(t, "fault")
				if e.FaultID = some[k]; e.Transition == health.Cleared || e.Transition == health.Unmonitored {
					open[c] = slices.Delete(slices.Clone(some), k, k+1)
				}
			}
			// One that does not say which fault it ends must not end one of which more is told.
			if e.FaultID == "" && len(open[c]) > 0 {
				continue
			}
			events = append(events, e)
		}
		from := t0.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "from")) * time.Minute)
		want := slices.DeleteFunc(FaultsOf(events), func(f health.Fault) bool { return f.Closed() && f.Cleared.Before(from) })
		var got []health.Fault
		for _, c := range []health.ComponentID{"fan/1", "fan/2"} {
			group := fold{from: from}
			for _, e := range events {
				if e.Component == c {
					group.next(e)
					group.next(e) // delivered twice
				}
			}
			got = append(got, group.end()...)
		}
		order := func(a, b health.Fault) int { return cmp.Or(a.Opened.Compare(b.Opened), cmp.Compare(a.ID, b.ID)) }
		slices.SortFunc(want, order)
		slices.SortFunc(got, order)
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("faults (-of all events +of the stream):\n%s", diff)
		}
	})
}

func TestFaultsOfAStreamThatAreOverAreNotHeld(t *testing.T) {
	from := t0.Add(1000 * 24 * time.Hour)
	group := fold{from: from}
	tell := func(at time.Time, fault string, tr health.Transition) {
		group.next(health.Event{ID: fmt.Sprint(fault, tr), FaultID: fault, Target: "a", Component: "fan/1", Kind: health.KindFailed, Transition: tr, At: at})
	}
	tell(t0, "old", health.Asserted) // and never over
	for n := range 3000 {
		at := t0.Add(time.Duration(n+1) * time.Hour)
		tell(at, fmt.Sprint("f", n), health.Asserted)
		tell(at.Add(time.Minute), fmt.Sprint("f", n), health.Cleared)
		if len(group.faults) > 40 || len(group.byID) > 40 || len(group.same) > 1 {
			t.Fatalf("after %d faults that are over %d are held, %d by ID, and %d events", n, len(group.faults), len(group.byID), len(group.same))
		}
	}
	tell(from.Add(time.Hour), "new", health.Asserted)
	var ids []string
	for _, f := range group.end() {
		ids = append(ids, f.ID)
	}
	if !slices.Equal(ids, []string{"old", "new"}) {
		t.Errorf("faults %q, want those that are open", ids)
	}
}

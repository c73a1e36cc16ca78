package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"dewline/health"
)

// census is what the collector asks of a store to find targets that left the configuration.
type census interface {
	Targets(ctx context.Context) ([]health.TargetID, error)
	Configured(ctx context.Context, id health.TargetID) (*health.Target, error)
}

func runLeave(t *testing.T, open func(t *testing.T) Store) {
	start := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	t.Run("a fault that is no longer watched is no longer open, and a visit of no tick is kept", func(t *testing.T) {
		s := open(t)
		v := NewMachine("t", 3, 1).Visit(start)
		v.Where = &health.Target{ID: "t", Rack: "A1"}
		fault := health.Fault{
			ID: "f", Target: "t", Component: "fan/1", Class: health.ClassFan, Kind: health.KindFailed, Severity: health.SeverityCritical,
			State: health.Asserted, Opened: start, Changed: start,
		}
		v.Delta.Faults = []health.Fault{fault}
		must(t, s.Record(t.Context(), v))
		at := start.Add(time.Hour)
		fault.State, fault.Cleared, fault.Changed = health.Unmonitored, at, at
		end := &health.Visit{
			Target: "t", Where: v.Where, Driver: "redfish", Started: at, Result: health.Missed, Reason: health.ReasonUnmonitored, Error: "gone",
			Unread: []health.ComponentRef{{ID: "fan/1", Class: health.ClassFan}},
			Events: []health.Event{{ID: "e", Target: "t", Component: "fan/1", Kind: health.KindFailed, Transition: health.Unmonitored, At: at, FaultID: "f"}},
			Delta:  health.Delta{Faults: []health.Fault{fault}, Access: &health.Access{State: health.AccessUnmonitored}},
		}
		must(t, s.Record(t.Context(), end))
		k, err := s.Recall(t.Context(), "t")
		must(t, err)
		if len(k.Faults) != 0 || k.Access.State != health.AccessUnmonitored || len(k.Ticks) == 0 {
			t.Errorf("known %+v", k)
		}
		all := All(t, s)
		if d := Diff(Kept(end), all[len(all)-1]); d != "" {
			t.Error(d)
		}
		c := s.(census)
		ids, err := c.Targets(t.Context())
		must(t, err)
		where, err := c.Configured(t.Context(), "t")
		must(t, err)
		none, err := c.Configured(t.Context(), "stranger")
		must(t, err)
		if !slices.Equal(ids, []health.TargetID{"t"}) || where == nil || where.Rack != "A1" || none != nil {
			t.Errorf("targets %v, configured %+v, a stranger %+v", ids, where, none)
		}
	})
	t.Run("what another endpoint taught is forgotten when the first visit to a new one commits", func(t *testing.T) {
		s := open(t)
		known := health.NewKnown("t")
		for i, d := range []health.Delta{
			{Endpoint: "auto a", Driver: "ipmi", Cursors: health.Cursors{"sel": []byte(`1`)}, Memory: []byte(`{"a":1}`), Access: &health.Access{State: health.AccessSuspect, Failures: 1},
				Air: &health.AirMemory{
					Alarms: []health.AirAlarm{{Component: "t", Kind: health.KindOverThreshold, Level: health.SeverityOK, Next: health.SeverityWarning, Since: start}},
					Spans:  []health.AirSpan{{Component: "t", Cells: []health.AirCell{{From: start, Low: 21.5, High: 22}}}},
				}},
			{Endpoint: "auto a", Cursors: health.Cursors{"log": []byte(`2`)}},
			{Endpoint: "auto b", Cursors: health.Cursors{"log": []byte(`3`)}},
			{Endpoint: "redfish b"}, // which protocol it was is known until one is read
			{FirstSeen: start},
			{Endpoint: "auto c", Driver: "redfish", Memory: []byte(`{"c":1}`)},
		} {
			v := NewMachine("t", 1, 1).Visit(start.Add(time.Duration(i) * time.Minute))
			v.Delta = d
			must(t, s.Record(t.Context(), v))
			known.Apply(Clone(&d))
			got, err := s.Recall(t.Context(), "t")
			must(t, err)
			if diff := Diff(known, got); diff != "" {
				t.Fatalf("after visit %d: %s", i, diff)
			}
		}
	})
}

package incident_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/collector/incident"
	"dewline/health"
)

// memory is a store that forgets what was not kept.
type memory struct {
	events    []health.NumberedEvent
	incidents map[string]health.Incident
	members   map[string]string
	cursor    int64
	fail      int // so many saves fail
}

func (m *memory) Changed() <-chan struct{} { return nil }

func (m *memory) EventsFrom(_ context.Context, n int64, limit int) ([]health.NumberedEvent, error) {
	from := m.events[min(int(n), len(m.events)):]
	return from[:min(limit, len(from))], nil
}

func (m *memory) EventsUpTo(_ context.Context, n int64, limit int) ([]health.NumberedEvent, error) {
	return m.events[max(0, int(n)-limit):n], nil
}

func (m *memory) Incidents(_ context.Context, choose health.IncidentFilter) (out []health.Incident, _ error) {
	for _, x := range m.incidents {
		if !choose.Open || x.State == health.IncidentOpen {
			out = append(out, x)
		}
	}
	return out, nil
}

func (m *memory) IncidentCursor(context.Context) (int64, error) { return m.cursor, nil }
func (m *memory) IncidentMembers(context.Context, int64) (map[string]string, error) {
	return m.members, nil
}

func (m *memory) SaveIncidents(_ context.Context, cursor int64, changed []health.Incident, members []health.IncidentMember) error {
	if m.fail > 0 {
		m.fail--
		return errors.New("disk full")
	}
	m.cursor = cursor
	for _, x := range changed {
		m.incidents[x.ID] = x
	}
	for _, x := range members {
		m.members[x.Event] = x.Incident
	}
	return nil
}

func (m *memory) Configured(_ context.Context, id health.TargetID) (*health.Target, error) {
	return &health.Target{ID: id, Site: "bontang", Rack: "A1"}, nil
}

func follower(m *memory) *incident.Follower {
	return &incident.Follower{Store: m, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return start.Add(time.Hour) }}
}

func roofLeak() *memory {
	m := &memory{incidents: map[string]health.Incident{}, members: map[string]string{}}
	for i, s := range []step{
		{0, "A1/a", silent, ""}, {30, "A1/b", "fan failed critical", ""}, {60, "A1/b", rail, ""}, {90, "A1/c", leak, ""}, {120, "A1/d", inputOff, ""},
		{600, "A1/c", dry, ""}, {620, "A1/a", answers, ""},
	} {
		m.events = append(m.events, health.NumberedEvent{N: int64(i + 1), Event: *s.event()})
	}
	return m
}

// The same events give the same incidents, wherever the follower is stopped, and however often what it found cannot be kept.
func TestFollowingIsTheSameHoweverItIsInterrupted(t *testing.T) {
	want := roofLeak()
	if err := follower(want).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(want.incidents) != 1 {
		t.Fatalf("%d incidents", len(want.incidents))
	}
	for stop := range len(want.events) {
		t.Run(fmt.Sprintf("stopped after event %d", stop), func(t *testing.T) {
			m := roofLeak()
			all := m.events
			m.events = all[:stop]
			if err := follower(m).CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.events, m.fail = all, 1
			if err := follower(m).CatchUp(t.Context()); err == nil {
				t.Fatal("a disk that is full was not noticed")
			}
			if err := follower(m).CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.incidents, m.incidents); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(want.members, m.members); d != "" {
				t.Error(d)
			}
		})
	}
}

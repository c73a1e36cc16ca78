package health

import (
	"math"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func TestMerge(t *testing.T) {
	psu := Component{
		ID: "psu/1", Class: ClassPSU, Name: "PS1", Serial: "S1", Presence: Present, State: OK, Place: "p", Tier: TierReadings,
		Conditions: []Condition{{KindPredictedFailure, SeverityWarning, "FailurePredicted=true"}},
	}
	known, changed := KnownComponent{}.Merge(psu, t0)
	if !changed || !known.Since.Equal(t0) {
		t.Fatalf("a new component: changed %v, since %v", changed, known.Since)
	}
	later := t0.Add(time.Minute)

	t.Run("empty text keeps what was read before", func(t *testing.T) {
		m, changed := known.Merge(Component{ID: "psu/1", Class: ClassPSU, Presence: Present, State: OK, Status: "other words"}, later)
		if changed || m.Serial != "S1" || m.Name != "PS1" || !m.Since.Equal(t0) {
			t.Errorf("got %+v, changed %v", m, changed)
		}
	})
	t.Run("a kind that is not named keeps its condition", func(t *testing.T) {
		m, _ := known.Merge(Component{ID: "psu/1", Class: ClassPSU, Presence: Present, State: OK}, later)
		if len(m.Conditions) != 1 {
			t.Errorf("conditions %v", m.Conditions)
		}
	})
	t.Run("a description without a state keeps the state", func(t *testing.T) {
		m, changed := known.Merge(Component{ID: "psu/1", Class: ClassPSU, Serial: "S2", StateNotRead: true, Tier: TierInventory}, later)
		if !changed || m.State != OK || m.Presence != Present || m.Serial != "S2" || m.StateNotRead || m.Tier != TierReadings {
			t.Errorf("got %+v, changed %v", m, changed)
		}
	})
	t.Run("a first description without a state is unknown, not ok", func(t *testing.T) {
		m, _ := KnownComponent{}.Merge(Component{ID: "x", State: OK, StateNotRead: true}, t0)
		if m.State != Unknown {
			t.Errorf("state %v", m.State)
		}
	})
	t.Run("a new state is since then", func(t *testing.T) {
		m, changed := known.Merge(Component{ID: "psu/1", Class: ClassPSU, Presence: Present, State: Critical}, later)
		if !changed || !m.Since.Equal(later) {
			t.Errorf("got %+v, changed %v", m, changed)
		}
	})
}

func TestTierOfAPartRisesOnlyWhereTheDriverMovesIt(t *testing.T) {
	known := KnownComponent{Component: Component{ID: "drive/1", Class: ClassDrive, Tier: TierHealth, Presence: Present, State: OK}}
	if m, _ := known.Merge(Component{ID: "drive/1", Class: ClassDrive, Tier: TierInventory, Presence: Present, State: OK}, t0); m.Tier != TierHealth {
		t.Errorf("another tier that reads it too: %v", m.Tier)
	}
	m, changed := known.Merge(Component{ID: "drive/1", Class: ClassDrive, Tier: TierInventory, TierMoved: true, Presence: Present, State: OK}, t0)
	if !changed || m.Tier != TierInventory || m.TierMoved {
		t.Errorf("moved: %v, changed %v, still moving %v", m.Tier, changed, m.TierMoved)
	}
	if m, _ := m.Merge(Component{ID: "drive/1", Class: ClassDrive, Tier: TierHealth, Presence: Present, State: OK}, t0); m.Tier != TierHealth {
		t.Errorf("back again: %v", m.Tier)
	}
}

func TestUnreadAndGone(t *testing.T) {
	k := NewKnown("db-1")
	for _, c := range []Component{
		{ID: "fan/1", Class: ClassFan, Place: "thermal", Tier: TierReadings, Presence: Present},
		{ID: "fan/2", Class: ClassFan, Place: "thermal", Tier: TierReadings, Presence: Present},
		{ID: "fan/3", Class: ClassFan, Place: "thermal", Tier: TierReadings, Presence: Absent},
		{ID: "drive/1", Class: ClassDrive, Place: "storage", Tier: TierHealth, Presence: Present},
	} {
		k.Components[c.ID] = KnownComponent{Component: c}
	}
	visit := func(result Result, s *Snapshot) *Visit {
		return &Visit{Result: result, Snapshot: s, Started: t0, Due: map[Tier]time.Time{TierReadings: t0}}
	}
	other := visit(Done, &Snapshot{Scope: []string{"thermal"}})
	other.Due = map[Tier]time.Time{TierHealth: t0}
	if k.Gone(k.Components["fan/2"].Component, other) {
		t.Error("a visit of another tier shows nothing of a component it does not read")
	}
	ids := func(refs []ComponentRef) (out []ComponentID) {
		for _, r := range refs {
			out = append(out, r.ID)
		}
		return out
	}
	fan1 := []Component{{ID: "fan/1", Class: ClassFan, State: OK}}
	for _, c := range []struct {
		name   string
		visit  *Visit
		unread []ComponentID
		gone   bool // fan/2
	}{
		{"a failed visit leaves all present parts of its tiers unread", visit(Failed, &Snapshot{}), []ComponentID{"fan/1", "fan/2"}, false},
		{"a part missing from a place read whole is gone, not unread", visit(Done, &Snapshot{Components: fan1, Scope: []string{"thermal"}}), nil, true},
		{"a part missing from a place not read is unread, not gone", visit(Done, &Snapshot{Components: fan1}), []ComponentID{"fan/2"}, false},
		{"a gap keeps its part from being gone", visit(Done, &Snapshot{Components: fan1, Scope: []string{"thermal"}, Gaps: []Gap{{Component: "fan/2"}}}), []ComponentID{"fan/2"}, false},
		{"a sleeping host's parts are not gone", visit(Done, &Snapshot{Components: fan1, Scope: []string{"thermal"}, HostPower: HostOff}), []ComponentID{"fan/2"}, false},
		{"a part only described is unread", visit(Done, &Snapshot{Components: []Component{{ID: "fan/1", StateNotRead: true}, {ID: "fan/2"}}}), []ComponentID{"fan/1"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ids(k.UnreadBy(c.visit))
			if len(got) != len(c.unread) {
				t.Fatalf("unread %v, want %v", got, c.unread)
			}
			for i := range got {
				if got[i] != c.unread[i] {
					t.Errorf("unread %v, want %v", got, c.unread)
				}
			}
			if gone := k.Gone(k.Components["fan/2"].Component, c.visit); gone != c.gone {
				t.Errorf("gone %v, want %v", gone, c.gone)
			}
		})
	}
}

func TestSanitize(t *testing.T) {
	s := &Snapshot{
		Components: []Component{{ID: "a"}, {ID: "b"}, {ID: "a"}, {ID: ""}},
		Readings: []Reading{
			{Component: "a", Quantity: Temperature, Value: 1}, {Component: "a", Quantity: Temperature, Value: 2},
			{Component: "c", Quantity: Temperature, Value: 3}, {Component: "b", Quantity: Temperature, Value: math.NaN()},
			{Component: "b", Quantity: Speed, Value: 4},
		},
	}
	s.Sanitize()
	if len(s.Components) != 2 || len(s.Readings) != 2 || s.Readings[0].Value != 1 || s.Readings[1].Value != 4 {
		t.Errorf("components %v, readings %v", s.Components, s.Readings)
	}
	if len(s.Gaps) != 5 {
		t.Errorf("each thing taken out is a gap: %v", s.Gaps)
	}
}

func TestForAnotherEndpointDropsWhatWasLearned(t *testing.T) {
	k := NewKnown("db-1").For(Target{Address: "https://a", Driver: "auto"})
	k.Driver, k.Memory, k.Access.State = DriverIPMI, []byte("{}"), AccessDenied
	if k.For(Target{Address: "https://a", Driver: "auto"}).Driver != DriverIPMI {
		t.Error("the same endpoint lost what was learned")
	}
	k.Faults["f"] = Fault{ID: "f", State: Asserted}
	k.For(Target{Address: "https://b", Driver: "auto"})
	if k.Driver != "" || k.Memory != nil || k.Access.State != AccessOK || len(k.Faults) != 1 {
		t.Errorf("after a new address: %+v", k)
	}
}

func TestApplyNeverTurnsTicksBack(t *testing.T) {
	k := NewKnown("x")
	k.Apply(&Delta{Ticks: map[Tier]Tick{TierReadings: {Due: t0.Add(time.Minute), Result: Done}}})
	k.Apply(&Delta{Ticks: map[Tier]Tick{TierReadings: {Due: t0, Result: Missed}}})
	if got := k.Ticks[TierReadings]; got.Result != Done {
		t.Errorf("tick %+v", got)
	}
}

func TestEventIDs(t *testing.T) {
	e := &LogEntry{Source: "sel", ID: "1", Key: []byte("a")}
	again, other := *e, *e
	again.Raw = []byte("fetched another way")
	other.Key = []byte("b") // the log was cleared and the ID given out again
	if LogEventID("t", e) != LogEventID("t", &again) || LogEventID("t", e) == LogEventID("t", &other) {
		t.Error("an entry's ID must follow its key, and nothing else")
	}
	if deriveID("ab", "c") == deriveID("a", "bc") {
		t.Error("two lists of parts hash alike")
	}
}

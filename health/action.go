package health

import (
	"cmp"
	"slices"
	"time"
)

// ActionKind is what an operator did. The list grows only by addition.
type ActionKind string

const (
	ActionAck        ActionKind = "acknowledge"   // of a fault: somebody looks after it
	ActionUnack      ActionKind = "unacknowledge" // of a fault
	ActionSilence    ActionKind = "silence"       // what is chosen is not notified from From to Until
	ActionSilenceEnd ActionKind = "silence_end"   // of a silence, before its Until
)

// Action is an entry of the operators' log: who did what, when, and why. Entries are added, never changed and never removed: what
// is in force follows from them. Its JSON is an interface (docs/SCHEMA.md).
type Action struct {
	N     int64      `json:"n"` // its place in the log, from 1; given by the store
	ID    string     `json:"id"`
	Kind  ActionKind `json:"action"`
	At    time.Time  `json:"at"`
	By    string     `json:"by"`
	Why   string     `json:"why"`
	Fault string     `json:"fault,omitempty"`   // the ID, of ack and unack
	Ends  string     `json:"silence,omitempty"` // the ID of the silence that a silence_end ends
	From  time.Time  `json:"from,omitzero"`     // of a silence
	Until time.Time  `json:"until,omitzero"`    // of a silence; of an acknowledgement, zero for until it is withdrawn
	Match *Matcher   `json:"match,omitempty"`   // of a silence
}

// ActionID derives an ID from what an action is.
func ActionID(a *Action) string {
	return deriveID("action", string(a.Kind), a.At.UTC().Format(time.RFC3339Nano), a.By, a.Why, a.Fault, a.Ends)
}

// Matcher chooses by where something stands and what it is. Every list that is not empty must hold the value; an empty Matcher
// chooses everything.
type Matcher struct {
	Targets []TargetID        `json:"targets,omitempty"`
	Sites   []string          `json:"sites,omitempty"`
	Racks   []string          `json:"racks,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Classes []Class           `json:"classes,omitempty"`
	Kinds   []Kind            `json:"kinds,omitempty"`
	AtLeast Severity          `json:"severity,omitempty"` // zero: of every severity
}

// Empty tells whether the matcher chooses everything.
func (m *Matcher) Empty() bool {
	return len(m.Targets)+len(m.Sites)+len(m.Racks)+len(m.Labels)+len(m.Classes)+len(m.Kinds) == 0 && m.AtLeast == SeverityUnknown
}

// Place tells whether the matcher chooses things of a target.
func (m *Matcher) Place(t *Target) bool {
	if !in(m.Targets, t.ID) || !in(m.Sites, t.Site) || !in(m.Racks, t.Rack) {
		return false
	}
	for name, want := range m.Labels {
		if got, ok := t.Labels[name]; !ok || got != want {
			return false
		}
	}
	return true
}

// Thing tells whether the matcher chooses a class, kind and severity. One that is not known is not taken for harmless.
func (m *Matcher) Thing(c Class, k Kind, s Severity) bool {
	if s == SeverityUnknown {
		s = SeverityWarning
	}
	return in(m.Classes, c) && in(m.Kinds, k) && s >= m.AtLeast
}

func in[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

// Silence is a maintenance window: it mutes notifications and nothing else.
type Silence struct {
	ID      string    `json:"id"`
	Match   Matcher   `json:"match"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"` // as asked for
	By      string    `json:"by"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"` // when it was asked for
	Ended   time.Time `json:"ended,omitzero"`
	EndedBy string    `json:"ended_by,omitempty"`
	EndWhy  string    `json:"ended_why,omitempty"`
}

// End is when the silence is over.
func (s *Silence) End() time.Time {
	if !s.Ended.IsZero() && s.Ended.Before(s.Until) {
		return s.Ended
	}
	return s.Until
}

// Active tells whether the silence is in force at a time.
func (s *Silence) Active(at time.Time) bool { return !at.Before(s.From) && at.Before(s.End()) }

// Ack is the acknowledgement of a fault.
type Ack struct {
	Fault string    `json:"fault"`
	By    string    `json:"by"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"`
}

// Silences is every silence that a log of actions holds, in the order in which they were asked for.
func Silences(log []Action) []Silence {
	var out []Silence
	for i := range log {
		a := &log[i]
		switch a.Kind {
		case ActionSilence:
			s := Silence{ID: a.ID, From: a.From, Until: a.Until, By: a.By, Why: a.Why, At: a.At}
			if a.Match != nil {
				s.Match = *a.Match
			}
			out = append(out, s)
		case ActionSilenceEnd:
			for k := range out {
				if s := &out[k]; s.ID == a.Ends && s.Ended.IsZero() {
					s.Ended, s.EndedBy, s.EndWhy = a.At, a.By, a.Why
				}
			}
		}
	}
	return out
}

// Acks is the acknowledgements in force at a time, by fault.
func Acks(log []Action, at time.Time) map[string]Ack {
	out := map[string]Ack{}
	for i := range log {
		switch a := &log[i]; a.Kind {
		case ActionAck:
			out[a.Fault] = Ack{a.Fault, a.By, a.Why, a.At, a.Until}
		case ActionUnack:
			delete(out, a.Fault)
		}
	}
	for fault, a := range out {
		if !a.Until.IsZero() && !at.Before(a.Until) {
			delete(out, fault)
		}
	}
	return out
}

// SilencedBy is the silence in force at a time that mutes something, nil for none: the one that ends last.
func SilencedBy(all []Silence, at time.Time, t *Target, c Class, k Kind, sev Severity) *Silence {
	var found *Silence
	for i := range all {
		s := &all[i]
		if !s.Active(at) || !s.Match.Place(t) || !s.Match.Thing(c, k, sev) {
			continue
		}
		if found == nil || cmp.Compare(s.End().UnixNano(), found.End().UnixNano()) > 0 {
			found = s
		}
	}
	return found
}

// Notice is an event that a receiver of notifications is still to be told of.
type Notice struct {
	N        int64  // the number of the event
	Silence  string // the silence that holds it back; "" for none
	Incident string // the incident that it is evidence of, as far as that is known yet
	Event
}

// NotifierState is how delivery to one receiver stands. It is kept in the store, so that status shows it without the daemon.
type NotifierState struct {
	Name      string
	Cursor    int64 // the number of the last event that was looked at
	Waiting   int   // events that wait to be sent
	Silenced  int   // events that a silence holds back
	Oldest    time.Time
	Muted     int64 // events that were over when their silence was, and of which nobody was told yet
	Sent      int64 // messages that the receiver confirmed
	LastSent  time.Time
	LastError string // "" while all is well
	ErrorAt   time.Time
}

// NoticeChange is what changes of a receiver's queue, in one commit.
type NoticeChange struct {
	Cursor   int64    // 0: stays; it never goes back
	Add      []Notice // by N; Silence says what holds it back
	Remove   []int64  // numbers of events that were told, or need not be
	Muted    int64    // added to the count, or with SetMuted put in its place
	SetMuted bool
	Sent     int64
	SentAt   time.Time
	Error    *string // nil: stays
	ErrorAt  time.Time
}

package health

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Message is one notification: what changed in one group, an incident or a rack, since the last one. Templates of the configuration
// are given it, and its JSON, which webhooks get, is an interface (docs/NOTIFICATIONS.md).
type Message struct {
	Version  int    `json:"version"`
	ID       string `json:"id"` // of its one event, or derived from all of theirs: the same events, the same ID
	Receiver string `json:"receiver"`
	// Group is what the events have in common: an incident's ID, or site and rack; empty in a summary of several groups.
	Group    string         `json:"group"`
	Incident string         `json:"incident,omitempty"`
	Site     string         `json:"site,omitempty"`
	Rack     string         `json:"rack,omitempty"`
	Severity Severity       `json:"severity"` // the worst of what began or got worse; ok if all of it is over
	Summary  bool           `json:"summary"`  // several groups in one, after an outage or because of the rate limit
	HeldBack int            `json:"held_back"`
	Muted    int64          `json:"muted"` // events that were over when the silence that held them back was: in the record, told to nobody
	Test     bool           `json:"test"`  // made by `dewline notify test`: nothing happened
	Text     string         `json:"text"`  // the same for people
	Chain    *Chain         `json:"chain,omitempty"`
	Events   []MessageEvent `json:"events"`
}

// Chain is the end of the hash chain of all events in a store, and how many they are. Kept outside the machine, it shows later that no
// event of before was changed or taken out.
type Chain struct {
	Head   string `json:"head"`
	Length int64  `json:"length"`
}

// MessageEvent is an event as receivers are told of it.
type MessageEvent struct {
	ID        string            `json:"id"` // the idempotency key: delivery is at least once
	N         int64             `json:"n"`
	Target    TargetID          `json:"target"`
	Site      string            `json:"site,omitempty"`
	Rack      string            `json:"rack,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Component ComponentID       `json:"component"`
	Class     Class             `json:"class"`
	Kind      Kind              `json:"kind"`
	Severity  Severity          `json:"severity"`
	State     Transition        `json:"state"`
	Message   string            `json:"message"`
	Rule      string            `json:"rule"`
	At        time.Time         `json:"at"`
	Fault     string            `json:"fault,omitempty"`
	Opened    time.Time         `json:"opened,omitzero"` // of its fault
	Origin    Origin            `json:"origin,omitempty"`
}

// MessageID is the ID of a message about events.
func MessageID(receiver string, events []MessageEvent) string {
	if len(events) == 1 {
		return events[0].ID
	}
	h := sha256.New()
	for i := range events {
		h.Write([]byte(events[i].ID))
		h.Write([]byte{0})
	}
	h.Write([]byte(receiver))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

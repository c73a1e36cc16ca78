package health

import "time"

// IncidentCause is what an incident's evidence bears, no more. The list grows only by addition.
type IncidentCause string

const (
	CauseWater         IncidentCause = "water"          // a leak was detected, and a neighbour shows what water does
	CausePossibleWater IncidentCause = "possible_water" // moisture beside electrical faults, or several kinds of faults that water makes
	CauseCondensation  IncidentCause = "condensation"   // several targets close to the dew point, and nothing else
	CauseUndetermined  IncidentCause = "undetermined"   // together, but nothing speaks of water: silence, or power lost
)

// IncidentState is open or closed.
type IncidentState string

const (
	IncidentOpen   IncidentState = "open"
	IncidentClosed IncidentState = "closed"
)

// IncidentSign is what a piece of evidence is a sign of. The list grows only by addition.
type IncidentSign string

const (
	SignLeak       IncidentSign = "leak"       // a leak detector is wet
	SignMoisture   IncidentSign = "moisture"   // condensation risk, humidity, a leak detector that may be soaked, polarity unconfirmed
	SignElectrical IncidentSign = "electrical" // voltages, currents, power supplies that fail, bus errors
	SignPower      IncidentSign = "power"      // input power lost or out of range
	SignIntrusion  IncidentSign = "intrusion"  // a chassis is open
	SignSilence    IncidentSign = "silence"    // a BMC no longer answers, a host went off
)

// Incident is what happened to several neighbouring targets within a short time. Its JSON is an interface (docs/SCHEMA.md).
type Incident struct {
	// ID is derived from the first sign's event when the incident was found, and stays.
	ID       string        `json:"id"`
	State    IncidentState `json:"state"`
	Cause    IncidentCause `json:"cause"`
	Severity Severity      `json:"severity"`
	Rule     string        `json:"rule"` // of docs/MOISTURE.md
	// Summary is one sentence; Explanation says which rule on which evidence; Alternatives what else looks like this.
	Summary      string   `json:"summary"`
	Explanation  string   `json:"explanation"`
	Alternatives []string `json:"alternatives"`
	Origin       Origin   `json:"origin,omitempty"` // demo, sim or replay if any of its targets is

	Site  string   `json:"site,omitempty"`
	Racks []string `json:"racks"` // of the targets, without "" for those without a rack

	Opened  time.Time `json:"opened"`          // the first sign
	Found   time.Time `json:"found"`           // the sign that made it an incident
	Changed time.Time `json:"changed"`         // the last sign, or the end of one
	Closed  time.Time `json:"closed,omitzero"` // when it had been quiet for long enough; zero while open

	FirstSign string             `json:"first_sign"`          // event ID
	Targets   []IncidentTarget   `json:"targets"`             // in the order in which they showed their first sign, at most MaxIncidentTargets
	More      int                `json:"more_signs,omitzero"` // of targets beyond those
	Evidence  []IncidentEvidence `json:"evidence"`            // in order of time, at most MaxIncidentEvidence
	Signs     int                `json:"signs"`               // all of them, also those beyond
}

// MaxIncidentEvidence bounds the evidence that an incident lists.
const MaxIncidentEvidence = 200

// MaxIncidentTargets bounds the targets that an incident lists.
const MaxIncidentTargets = 500

// IncidentTarget is a target of an incident, and how the incident reached it.
type IncidentTarget struct {
	Target    TargetID       `json:"target"`
	Site      string         `json:"site,omitempty"`
	Rack      string         `json:"rack,omitempty"`
	Position  int            `json:"position,omitempty"`
	First     time.Time      `json:"first"`
	Component ComponentID    `json:"component"` // of the first sign
	Kind      Kind           `json:"kind"`      // of the first sign
	Kinds     []IncidentSign `json:"signs"`
	Count     int            `json:"count"` // of signs
	Open      int            `json:"open"`  // faults of them that are still open
}

// IncidentEvidence is an event that belongs to an incident.
type IncidentEvidence struct {
	Event     string       `json:"event"`           // ID
	Fault     string       `json:"fault,omitempty"` // ID; empty for what was momentary
	Target    TargetID     `json:"target"`
	Component ComponentID  `json:"component"`
	Class     Class        `json:"class"`
	Kind      Kind         `json:"kind"`
	Severity  Severity     `json:"severity"`
	Sign      IncidentSign `json:"sign"`
	At        time.Time    `json:"at"`
	Ended     time.Time    `json:"ended,omitzero"` // when its fault was cleared, or no longer watched
	Message   string       `json:"message"`
}

// IncidentMember says that an event is evidence of an incident.
type IncidentMember struct{ Incident, Event, Fault string }

// IncidentID derives an incident's ID from the event of its first sign.
func IncidentID(firstEvent string) string { return deriveID("incident", firstEvent) }

// IncidentFilter chooses incidents; the zero value chooses all.
type IncidentFilter struct {
	ID     string   // or the beginning of one
	Open   bool     // only open ones
	Target TargetID // that concern this target
	Event  string   // that hold this event, or this fault, as evidence
	Rack   string
	Since  time.Time // changed then or later
	Until  time.Time // opened before
}

// NumberedEvent is a committed event with its place in the log of events: from 1, without a hole, in order of commit.
type NumberedEvent struct {
	N int64
	Event
}

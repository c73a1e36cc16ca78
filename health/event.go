package health

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

// Severity of an event or log entry.
type Severity uint8

const (
	SeverityUnknown Severity = iota
	SeverityOK
	SeverityInfo
	SeverityWarning
	SeverityCritical
)

var severityNames = [...]string{"unknown", "ok", "info", "warning", "critical"}

func (s Severity) String() string               { return enumName(severityNames[:], uint8(s)) }
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (s *Severity) UnmarshalText(b []byte) error {
	return enumParse("severity", severityNames[:], b, (*uint8)(s))
}

// Kind of fault. The list is closed.
type Kind string

const (
	KindFailed             Kind = "failed"
	KindDegraded           Kind = "degraded"
	KindPredictedFailure   Kind = "predicted_failure"
	KindAbsentRemoved      Kind = "absent_removed"
	KindInserted           Kind = "inserted"
	KindInputLost          Kind = "input_lost"
	KindInputOutOfRange    Kind = "input_out_of_range"
	KindOverThreshold      Kind = "over_threshold"
	KindUnderThreshold     Kind = "under_threshold"
	KindRedundancyLost     Kind = "redundancy_lost"
	KindRedundancyDegraded Kind = "redundancy_degraded"
	KindLeakDetected       Kind = "leak_detected"
	KindHumidityHigh       Kind = "humidity_high"
	KindHumidityLow        Kind = "humidity_low"
	KindCondensationRisk   Kind = "condensation_risk"
	KindDetectorFault      Kind = "detector_fault"
	KindUncorrectableError Kind = "uncorrectable_error"
	KindCorrectableError   Kind = "correctable_error"
	KindRebuild            Kind = "rebuild"
	KindIntrusion          Kind = "intrusion"
	KindLogCleared         Kind = "log_cleared"
	KindLogFull            Kind = "log_full_overflow"
	KindCommLost           Kind = "comm_lost"
	KindConfigError        Kind = "config_error"
	KindWatchdogReset      Kind = "watchdog_reset"
	KindInfo               Kind = "info"
	KindUnknown            Kind = "unknown"
)

// Kinds lists every kind.
var Kinds = []Kind{
	KindFailed, KindDegraded, KindPredictedFailure, KindAbsentRemoved, KindInserted, KindInputLost, KindInputOutOfRange,
	KindOverThreshold, KindUnderThreshold, KindRedundancyLost, KindRedundancyDegraded, KindLeakDetected, KindHumidityHigh,
	KindHumidityLow, KindCondensationRisk, KindDetectorFault, KindUncorrectableError, KindCorrectableError, KindRebuild,
	KindIntrusion, KindLogCleared, KindLogFull, KindCommLost, KindConfigError, KindWatchdogReset, KindInfo, KindUnknown,
}

// Transition says what an event did.
type Transition string

const (
	Asserted    Transition = "asserted"
	Cleared     Transition = "cleared"
	Momentary   Transition = "momentary"
	Escalated   Transition = "escalated"
	Deescalated Transition = "deescalated" // still asserted, lower severity
	Unmonitored Transition = "unmonitored" // no longer watched, since its target left the configuration: nobody knows whether it holds
)

// Event is something that changed.
type Event struct {
	ID         string
	Target     TargetID
	Component  ComponentID
	Class      Class
	Kind       Kind
	Severity   Severity
	Transition Transition
	Rule       string // which rule said so: one of detect's, or "log:" and the row of the driver's table for an entry of a log
	Message    string
	Evidence   []string
	// Subject tells things of one component apart that have no component of their own: the part's name in a log entry whose part is
	// not certain, the class of parts that are fewer than expected.
	Subject string `json:",omitzero"`
	// SourceSeverity is what the service says of how grave it is. Severity is ours.
	SourceSeverity Severity `json:",omitzero"`

	// At is the visit's time plus the event's ordinal in that visit in nanoseconds, so that two like events of one
	// visit are two points. SourceTime is the BMC's own, zero if none.
	At         time.Time
	Source     string // "poll", or the log the entry came from
	SourceTime time.Time
	AtStart    bool // the condition was there when the target was first seen
	// FaultID is the fault that the event opened, changed or closed. A momentary event with one is further evidence of that fault:
	// the log's word for what was polled, or the other way round.
	FaultID string
	// From names where it was read, if that is not the embedded store. It is not stored.
	From string `json:",omitzero"`
}

// Fault is a condition that stays open until cleared.
type Fault struct {
	ID        string // the ID of the event that opened it
	Target    TargetID
	Component ComponentID
	Class     Class
	Kind      Kind
	Severity  Severity
	State     Transition // Asserted, Cleared or Unmonitored
	Rule      string
	Message   string
	Evidence  []string
	Opened    time.Time
	Changed   time.Time
	Cleared   time.Time // when it was closed: cleared, or no longer watched; zero while open
	AtStart   bool
	Subject   string `json:",omitzero"` // as in Event
	Flap      Flap   `json:",omitzero"`
}

// Flap is the damping of a fault that comes and goes. The zero value is a fault that does not.
type Flap struct {
	Flapping bool      `json:"flapping,omitempty"` // it comes and goes: it stays open until it was away for a while
	Count    int       `json:"count,omitempty"`    // how often it began, or got worse, since it was first found flapping and before
	Last     time.Time `json:"last,omitzero"`      // when it last did
	Away     time.Time `json:"away,omitzero"`      // since when it is away; zero while it is there
}

// Closed tells whether the fault is no longer open: cleared, or no longer watched.
func (f *Fault) Closed() bool { return f.State == Cleared || f.State == Unmonitored }

// PolledEventID derives the ID of a change seen by polling: a repeated delivery has the same ID, a later like change
// another.
func PolledEventID(t TargetID, c ComponentID, k Kind, tr Transition, firstVisit time.Time) string {
	return deriveID("poll", string(t), string(c), string(k), string(tr), firstVisit.UTC().Format(time.RFC3339Nano))
}

// LogEventID derives the ID of an event that a log entry reported. Generation must come from the log or its cursor, never
// from our clock, so that an entry read again has the same ID.
func LogEventID(t TargetID, e *LogEntry) string {
	return deriveID("log", string(t), e.Source, e.Generation, e.ID, string(e.Key))
}

// Subjected is a component's ID as PolledEventID takes it for one of several things of that component.
func Subjected(c ComponentID, subject string) ComponentID {
	if subject == "" {
		return c
	}
	return c + "|" + ComponentID(subject)
}

// FurtherEventID derives the ID of a further event of a log entry that ends more than one fault.
func FurtherEventID(entry string, n int) string { return deriveID("further", entry, strconv.Itoa(n)) }

func deriveID(parts ...string) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts { // length-prefixed: no two lists of parts hash alike
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

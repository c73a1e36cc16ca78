package health

import (
	"encoding/json"
	"time"
)

// Request is what a visit asks of a driver.
type Request struct {
	Tiers   Tiers
	Cursors Cursors
	Memory  json.RawMessage // what the driver learned of this BMC before; nil if nothing
	// Patience is how long the visit may take before it makes a tick of another visit late. What the readings and events
	// tiers need is read however long it takes; of the rest, as much as fits. 0: all of it.
	Patience time.Duration
	// LogLimit is how many of the newest entries of a log are read when there is no cursor for it: 0 means
	// DefaultLogLimit, negative all.
	LogLimit int
}

// DefaultLogLimit is how many of a log's newest entries a first visit reads.
const DefaultLogLimit = 200

// Cursors say how far each log was read, by log source. What stands in one is its driver's own affair.
type Cursors map[string]json.RawMessage

// Snapshot is what one visit read. Drivers always return one, also beside an error, so that the cost is counted.
type Snapshot struct {
	Target TargetID
	Driver string    // redfish or ipmi
	At     time.Time // when the reading began, by our clock
	Took   time.Duration
	Tiers  Tiers

	// Scope lists the places (Component.Place) that were read whole. Absence is judged only there.
	Scope []string

	HostPower  HostPower // means something only in a visit of the readings tier
	Identity   *Identity // nil: not read in this visit
	Components []Component
	Readings   []Reading
	Log        []LogEntry
	Logs       []LogInfo
	Gaps       []Gap
	Cost       Cost
	// Judged is what follows from the readings by rules of dewline's own. It is not stored: its events and faults are.
	Judged []Judgement `json:"-"`

	// NextCursors replaces the cursors of the logs it names. Memory replaces the driver's memory; nil leaves it.
	NextCursors Cursors
	Memory      json.RawMessage
}

// Cost is what a visit cost the BMC. Every attempt counts, also refused and failed ones.
type Cost struct {
	Requests    int   `json:"requests"`    // HTTP requests sent, login included
	Connections int   `json:"connections"` // TCP connections opened
	Exchanges   int   `json:"exchanges"`   // IPMI request datagrams sent, set-up and retries included
	Bytes       int64 `json:"bytes"`       // of bodies received
}

func (c Cost) Add(d Cost) Cost {
	return Cost{c.Requests + d.Requests, c.Connections + d.Connections, c.Exchanges + d.Exchanges, c.Bytes + d.Bytes}
}

// Gap is a part that should have been read and was not.
type Gap struct {
	Part   string // for people: a URL path, a sensor's name, "SDR record 0x0012"
	Reason Reason
	Error  string // at most MaxText bytes, never a secret

	// What the gap concerns. Place: every component of that place. Component: that one. Both empty: whatever this
	// visit's tiers should have read.
	Place     string
	Component ComponentID
}

// LogInfo tells how a log was met: read, or skipped and why.
type LogInfo struct {
	ID      string // LogEntry.Source of its entries: short, unique in the target
	Path    string // where it lives: the LogService's URL path, "sel"; Cursors are keyed by it
	Name    string
	Total   *int // entries the service counts, nil if not told
	Read    int
	Skipped string // "journal", "dump", "post_codes", "audit", "no_entries", …; empty: read

	Cleared bool // emptied since the last visit
	Lost    bool // there is a hole between the last entry read before and the oldest one there now
	Full    bool // no room left, or overflowed: new entries are not kept
	More    bool // the visit ended before the log's end; the cursor stands at the last entry read
}

// LogEntry is one entry of the SEL or of a Redfish LogService.
type LogEntry struct {
	Source     string // the log: "sel", "Lclog"
	Generation string // changes when the log was cleared, so that a reused ID is new again
	ID         string // as the service gives it
	// Key is what makes the entry itself, however it was fetched: the SEL record's 16 bytes; of a Redfish entry a hash of
	// Created, MessageId and Message. (The JSON of one entry differs between the collection and its own URL: HPE Cray EX
	// adds links and ETags.)
	Key []byte
	Raw []byte // evidence: the SEL record's 16 bytes, or the entry's JSON (at most 16 KiB)

	Created  time.Time // the BMC's clock; zero if it says none or its clock was not set
	Observed time.Time // ours

	Severity  Severity // the source's word for it
	Message   string
	MessageID string
	Args      []string
	Component ComponentID // which component it speaks of, if that is certain
	Origin    string      // Redfish OriginOfCondition, or the sensor's name
	Kind      Kind        // the driver's decoding, empty if none is certain
	Cleared   bool        // the entry reports the end of the condition

	// Decoded is the rest of the driver's decoding. It is not stored with the entry: it follows from it.
	Decoded Decoded   `json:",omitzero"`
	SEL     *SELEvent // for SEL event records
}

// Decoded is what a driver's table makes of a log entry beside its kind.
type Decoded struct {
	Rule     string   // the row of the table: "FanFailed", "04.01.2"; empty: the entry is not mapped
	Severity Severity // ours; SeverityUnknown: the table has none, the source's word counts
	Class    Class    // of the part it speaks of, also where the part itself is not certain
	Names    []string // by which it calls the part
	// Lasts: a condition began that holds until another entry or a reading says that it is over. An entry that neither begins nor
	// ends one tells what happened.
	Lasts bool
	// Ends are further kinds that are over with this entry: a part that was restored neither failed nor is degraded, one that was
	// taken out is no longer at fault.
	Ends []Kind
	// Vague: it tells only that the part's health is now such, not what is wrong.
	Vague bool
}

// SELEvent is a decoded SEL event record (IPMI 2.0 section 32.1).
type SELEvent struct {
	RecordType   uint8
	Generator    uint16
	SensorType   uint8
	SensorNumber uint8
	EventType    uint8 // event/reading type code, 7 bits
	Deassert     bool
	Data         [3]byte
}

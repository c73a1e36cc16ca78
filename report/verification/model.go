package verification

import (
	"time"

	"dewline/health"
)

// Verdict on a server, or on all of them. The zero value is the one that stands until something is shown.
type Verdict uint8

const (
	Inconclusive Verdict = iota
	Verified
	Observations // verified with observations
	FaultFound
)

var verdictNames = [...]string{"inconclusive", "verified", "verified_with_observations", "fault_found"}

func (v Verdict) String() string               { return verdictNames[v] }
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// rank orders verdicts: the worst of several servers is that of all.
func (v Verdict) rank() int {
	return [...]int{Inconclusive: 2, Verified: 0, Observations: 1, FaultFound: 3}[v]
}

// Stage of a verdict that is not "fault found" or "inconclusive": how long it has been watched.
type Stage string

const (
	Initial Stage = "initial" // under 30 days of soak: for return to service, to be watched until a date
	Final   Stage = "final"
)

const (
	// StandardWatch is the soak after which a verdict is final; ExtendedWatch is how long fans, power supplies and connectors
	// are to be watched: residue corrodes for weeks and months (research: no standard gives hours).
	StandardWatch = 30 * 24 * time.Hour
	ExtendedWatch = 90 * 24 * time.Hour
	// beforeEvidence is between the end of the baseline and the first evidence.
	beforeEvidence = 24 * time.Hour
	// lookBack is how far before the incident evidence is looked for.
	lookBack = 7 * 24 * time.Hour
)

// Request says what to report on.
//
// Its JSON is how an open verification is kept: what is left out there is of the moment at which the report is made.
type Request struct {
	Incident      time.Time         `json:"incident"`
	FirstEvidence time.Time         `json:"first_evidence,omitzero"` // of a detected incident; zero: looked for
	IncidentID    string            `json:"incident_id,omitempty"`   // of a detected incident
	Targets       []health.TargetID `json:"targets"`                 // the affected servers
	Controls      []health.TargetID `json:"controls"`                // servers that the incident spared, to compare with
	Baseline      time.Duration     `json:"baseline"`
	Soak          time.Duration     `json:"soak"`
	PowerRestored time.Time         `json:"power_restored,omitzero"` // attested; zero: as observed
	Title         string            `json:"title,omitempty"`
	Reference     string            `json:"reference,omitempty"`
	Attestations  []Attestation     `json:"attestations"`
	GeneratedAt   time.Time         `json:"-"` // part of the input: the same input gives the same report
	Until         time.Time         `json:"-"` // data until then; zero: GeneratedAt
	Program       string            `json:"-"` // version of dewline
	ConfigSum     string            `json:"-"` // SHA-256 of the configuration, "" if there was none
	MadeBy        string            `json:"made_by,omitempty"`
	Actions       []health.Action   `json:"-"` // the operators' log
	ChainHead     string            `json:"-"` // of the hash chain of the event log
	ChainLength   int64             `json:"-"`
	ChainBroken   string            `json:"-"` // what is wrong with it; "" if it was checked and is whole
}

// Attestation is a person's word for what no BMC can see.
type Attestation struct {
	What    string            `json:"what" toml:"what"` // drying, inspection, cleaning, power_on, explanation
	By      string            `json:"by" toml:"by"`
	At      time.Time         `json:"at" toml:"at"`
	Text    string            `json:"text,omitempty" toml:"text"`
	Targets []health.TargetID `json:"targets" toml:"targets"` // none: all of them
	// Event is what an explanation explains: an event's or fault's ID, or the beginning of one.
	Event string `json:"event,omitempty" toml:"event"`
}

// Report is the model; its JSON is an interface (docs/SCHEMA.md).
type Report struct {
	Version     int       `json:"version"`
	Kind        string    `json:"kind"` // "verification"
	Simulated   bool      `json:"simulated"`
	Redacted    bool      `json:"redacted"` // names of people and addresses were replaced
	Title       string    `json:"title"`
	Reference   string    `json:"reference,omitempty"`
	GeneratedAt time.Time `json:"generated_at"`
	Program     string    `json:"program"`
	ConfigSum   string    `json:"config_sha256,omitempty"`
	MadeBy      string    `json:"made_by,omitempty"`
	Source      string    `json:"source"`
	Elsewhere   string    `json:"other_source,omitempty"`         // a part of the data is from it
	Unasked     string    `json:"other_source_failure,omitempty"` // why it could not be asked

	Verdict      Verdict       `json:"verdict"`
	Stage        Stage         `json:"stage,omitempty"`
	WatchUntil   time.Time     `json:"watch_until,omitzero"`
	SoakLeft     float64       `json:"soak_left_hours"` // of the server that has the most left
	Incident     Incident      `json:"incident"`
	Gates        []Gate        `json:"gates"`
	Servers      []Server      `json:"servers"`
	Controls     []string      `json:"controls"`
	Attestations []Attestation `json:"attestations"`
	Entries      []Entry       `json:"operators_log"`
	Statistics   Statistics    `json:"statistics"`
	Chain        Chain         `json:"event_chain"`
	Limits       []string      `json:"limits"` // keys of what no BMC can see
}

// Entry of the operators' log that concerns these servers since the first evidence. It changes no verdict.
type Entry struct {
	At     time.Time         `json:"at"`
	Action health.ActionKind `json:"action"`
	By     string            `json:"by"`
	Why    string            `json:"why"`
	Target health.TargetID   `json:"target,omitempty"` // of the fault
	Fault  string            `json:"fault,omitempty"`
	What   string            `json:"what,omitempty"` // the fault's message, or what a silence chooses
	From   time.Time         `json:"from,omitzero"`
	Until  time.Time         `json:"until,omitzero"`
}

// Incident as the report takes it.
type Incident struct {
	ID            string    `json:"id,omitempty"`
	Reported      time.Time `json:"reported"`
	FirstEvidence time.Time `json:"first_evidence"` // the earlier of Reported and what was found
	Evidence      string    `json:"evidence,omitempty"`
	PowerRestored time.Time `json:"power_restored_attested,omitzero"`
}

// Chain is the head of the event log's hash chain when the report was made.
type Chain struct {
	Head   string `json:"head,omitempty"`
	Length int64  `json:"length"`
	Broken string `json:"broken,omitempty"`
}

// Statistics are those of small numbers: what "nothing happened" can bear.
type Statistics struct {
	Servers     int     `json:"servers"`
	ServerYears float64 `json:"server_years"`
	// UpperBound is the yearly failure rate per server that no failure in that time excludes at 95 %: 3 / server-years.
	UpperBound float64 `json:"upper_bound_per_year_95,omitempty"`
	Compared   int     `json:"series_compared"`
	Unchanged  int     `json:"series_unchanged"`
	Changed    int     `json:"series_changed"`
	NotShown   int     `json:"series_not_shown"`
}

// Server is one server's part of the report.
type Server struct {
	Target     health.TargetID `json:"target"`
	Site       string          `json:"site,omitempty"`
	Rack       string          `json:"rack,omitempty"`
	Position   int             `json:"position,omitempty"`
	Verdict    Verdict         `json:"verdict"`
	Stage      Stage           `json:"stage,omitempty"`
	WatchUntil time.Time       `json:"watch_until,omitzero"`
	Reasons    []Reason        `json:"reasons"` // the gates and findings that led to the verdict
	Windows    Windows         `json:"windows"`
	Coverage   []Coverage      `json:"coverage"` // baseline, soak
	Identity   Identity        `json:"identity"`
	Parts      []Part          `json:"parts"`
	Events     []Event         `json:"events"`
	Deviations []Deviation     `json:"deviations"`
	Drives     []Drive         `json:"drives"`
	Redundancy []Redundancy    `json:"redundancy"`
	Detectors  []Detector      `json:"moisture_detectors"`
	Moisture   []MoistureRange `json:"moisture"`
	Hours      []HourMark      `json:"-"` // for the strip
	elsewhere  string          // names another source, if a part of this is from it
	Charts     charts          `json:"-"`
	evidence   time.Time
	acted      []health.Fault // that operators did something about
}

// Reason is a gate that was not passed, or what was observed.
type Reason struct {
	Gate   string  `json:"gate"`
	Limit  Verdict `json:"at_most"`
	Window string  `json:"window,omitempty"`
	// Key and Args are the text, in any language; Detail is it in English.
	Key    string `json:"-"`
	Args   []any  `json:"-"`
	Detail string `json:"detail"`
}

// Windows of a server. A zero time is none.
type Windows struct {
	BaselineFrom time.Time `json:"baseline_from"`
	BaselineTo   time.Time `json:"baseline_to"`
	OutageFrom   time.Time `json:"outage_from,omitzero"`
	OutageTo     time.Time `json:"outage_to,omitzero"`
	Restored     string    `json:"restored"` // observed, attested, never_off, not_restored
	SoakFrom     time.Time `json:"soak_from,omitzero"`
	SoakTo       time.Time `json:"soak_to,omitzero"`
	Restarted    time.Time `json:"soak_restarted,omitzero"` // after the last critical fault or leak in it
	SoakPlanned  float64   `json:"soak_planned_hours"`
	SoakCounted  float64   `json:"soak_counted_hours"`
	SoakOff      float64   `json:"soak_host_off_hours"`      // shown, not counted
	SoakIdle     float64   `json:"soak_low_power_hours"`     // shown, not counted
	SoakUnknown  float64   `json:"soak_power_unknown_hours"` // shown, not counted
	Hours        int       `json:"baseline_hours"`           // with data
	PowerMedian  *float64  `json:"baseline_power_watts,omitempty"`
}

// Coverage of one window.
type Coverage struct {
	Window  string    `json:"window"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Due     int       `json:"due"`
	Done    int       `json:"done"`
	Share   float64   `json:"share"`
	Longest float64   `json:"longest_gap_hours"`
	Frozen  int       `json:"frozen_hours"`
	Clipped int       `json:"hours_from_rollups"` // whose visits are gone
	// Sources is what its hours were made of: "visits", "rollups", "influxdb", "rollups and influxdb".
	Sources []SourceHours `json:"sources"`
	Worst   []Covered     `json:"parts_below"` // quantities and states under 95 %
	Tracked int           `json:"parts_tracked"`
}

// SourceHours is how many hours are of one source.
type SourceHours struct {
	Source string `json:"source"`
	Hours  int    `json:"hours"`
}

// Covered is how far one quantity, or the state of a component that has none, was read.
type Covered struct {
	Component health.ComponentID `json:"component"`
	Quantity  health.Quantity    `json:"quantity,omitempty"`
	Due       int                `json:"due"`
	Read      int                `json:"read"`
	Share     float64            `json:"share"`
}

// Identity before and after.
type Identity struct {
	Known  bool            `json:"baseline_known"`
	Before health.Identity `json:"before"`
	Now    health.Identity `json:"now"`
}

// Part before and after.
type Part struct {
	Component health.ComponentID `json:"component"`
	Class     health.Class       `json:"class"`
	Name      string             `json:"name,omitempty"`
	Location  string             `json:"location,omitempty"`
	Model     string             `json:"model,omitempty"`
	Serial    string             `json:"serial,omitempty"`
	Firmware  string             `json:"firmware,omitempty"`
	Change    string             `json:"change"` // none, swapped, missing, new, firmware, unread, unknown_before
	Was       string             `json:"was,omitempty"`
	Before    string             `json:"state_before"` // worst known state that held for most of the baseline
	Now       string             `json:"state_now"`    // of the last hour with data
	Faults    int                `json:"faults_since"`
}

// Event since the first evidence.
type Event struct {
	ID         string             `json:"id"`
	At         time.Time          `json:"at"`
	SourceTime time.Time          `json:"source_time,omitzero"`
	Skew       *float64           `json:"clock_skew_seconds,omitempty"`
	Component  health.ComponentID `json:"component,omitempty"`
	Class      health.Class       `json:"class,omitempty"`
	Kind       health.Kind        `json:"kind"`
	Severity   health.Severity    `json:"severity"`
	State      health.Transition  `json:"state"`
	Message    string             `json:"message"`
	Source     string             `json:"source"`
	Rule       string             `json:"rule"`
	Raw        string             `json:"raw,omitempty"` // the log entry as the BMC gave it
	Fault      string             `json:"fault,omitempty"`
	Open       bool               `json:"open"` // its fault still is
	Explained  bool               `json:"explained"`
	From       string             `json:"from,omitempty"` // where it was read, if not in the embedded store
}

// Deviation of one series between baseline and soak, in hourly medians.
type Deviation struct {
	Component  health.ComponentID `json:"component"`
	Name       string             `json:"name,omitempty"`
	Quantity   health.Quantity    `json:"quantity"`
	Unit       health.Unit        `json:"unit"`
	NBefore    int                `json:"hours_before"`
	NAfter     int                `json:"hours_after"`
	Before     float64            `json:"median_before"`
	After      float64            `json:"median_after"`
	Adjusted   []string           `json:"adjusted_for"` // inlet, power
	Difference float64            `json:"difference"`   // adjusted
	Low        float64            `json:"low"`          // of its 90 % interval
	High       float64            `json:"high"`
	Margin     float64            `json:"margin"`
	Scale      float64            `json:"scale"`                        // robust, not under the step of the sensor
	Score      float64            `json:"robust_z"`                     // difference / scale
	Control    *float64           `json:"control_difference,omitempty"` // median over the controls' same sensor
	Result     string             `json:"result"`                       // unchanged, changed, not_shown
}

// Drive before and after. Nil: not told.
type Drive struct {
	Component   health.ComponentID `json:"component"`
	Name        string             `json:"name,omitempty"`
	Serial      string             `json:"serial,omitempty"`
	Life        [2]*float64        `json:"life_left_percent"`
	MediaErrors [2]*float64        `json:"media_errors"`
	Spare       [2]*float64        `json:"spare_left_percent"`
	Predicted   bool               `json:"predicted_failure"`
}

// Detector is a leak detector, and what it may be said to have reported.
type Detector struct {
	Target    health.TargetID    `json:"target"`
	Component health.ComponentID `json:"component"`
	Name      string             `json:"name,omitempty"`
	Location  string             `json:"location,omitempty"`
	Working   bool               `json:"working"` // read in 95 % of the soak, and not at fault
	// witness tells that it worked and reported no liquid in 95 % of the soak. One that reports liquid all the time, or may be broken where
	// only its vendor knows, cannot tell whether more comes, and stands for no neighbour.
	witness bool
	// Dry are the spans, at least an hour long, in which it reported no liquid in every visit.
	Dry  []Span `json:"reported_no_liquid"`
	Wet  []Span `json:"reported_liquid"`
	Lost []Span `json:"not_read"`
}

// Span of time.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// MoistureRange is how a moisture quantity stood since the incident.
type MoistureRange struct {
	Component health.ComponentID `json:"component"`
	Name      string             `json:"name,omitempty"`
	Quantity  health.Quantity    `json:"quantity"`
	Unit      health.Unit        `json:"unit"`
	Derived   bool               `json:"derived"`
	Hours     int                `json:"hours"`
	Min       float64            `json:"min"`
	Max       float64            `json:"max"`
	Last      float64            `json:"last"`
	LastAt    time.Time          `json:"last_at"`
}

// HourMark is an hour of the strip.
type HourMark struct {
	At    time.Time
	Share float64 // of due visits that were read; -1: none was due
	Kind  string  // read, partly, unread, frozen, off
}

type charts struct {
	margin, inlet, humidity []pointsOf
}

type pointsOf struct {
	component health.ComponentID
	name      string
	unit      health.Unit
	points    []hourValue
}

type hourValue struct {
	at time.Time
	v  float64
}

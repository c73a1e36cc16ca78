package health

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Result is how a tick ended.
type Result string

const (
	Done   Result = "done"   // read, wholly or with gaps
	Late   Result = "late"   // as done, but begun after the next tick was due
	Failed Result = "failed" // tried; nothing could be read
	Missed Result = "missed" // not tried, and Reason says why
)

// Visit is one tick of one target, or several tiers' ticks that were due together, and all that it brought. It is the
// unit of recording: it commits whole or not at all.
type Visit struct {
	ID      string // VisitID: recording the same visit twice is recording it once
	Seq     int64  // given by the store, in order of commit; 0 before
	Target  TargetID
	Where   *Target // the target as configured at this visit: sinks take site, rack and labels from here
	Driver  string
	Origin  Origin
	Due     map[Tier]time.Time // the ticks it answers
	Started time.Time          // zero for a missed one
	Took    time.Duration
	Result  Result
	Reason  Reason // for Failed and Missed
	Error   string // at most MaxText bytes, never a secret
	Cost    Cost

	Snapshot *Snapshot // nil for Missed; for Failed only its Cost and Gaps mean something
	// Skipped are ticks before this visit that were not tried, as ranges with their reason: no tick goes unaccounted.
	Skipped []TickRange
	// Unread lists the known components that this visit should have read and did not: sinks write them as unknown.
	Unread []ComponentRef
	Events []Event
	Delta  Delta
}

// TickRange is a run of ticks of one tier that were not tried.
type TickRange struct {
	Tier        Tier
	First, Last time.Time // due times
	Count       int
	Reason      Reason
}

// VisitID derives the ID of a visit: of its target, its beginning and the ticks it answers.
func VisitID(v *Visit) string {
	parts := []string{"visit", string(v.Target), v.At().UTC().Format(time.RFC3339Nano)}
	for _, t := range v.Tiers().List() {
		parts = append(parts, t.String(), v.Due[t].UTC().Format(time.RFC3339Nano))
	}
	return deriveID(parts...)
}

// At is the time of the visit's points: when it began, or when it was due if it never did.
func (v *Visit) At() time.Time {
	if !v.Started.IsZero() {
		return v.Started
	}
	var at time.Time
	for _, d := range v.Due {
		if at.IsZero() || d.Before(at) {
			at = d
		}
	}
	return at
}

// Tiers of the ticks the visit answers.
func (v *Visit) Tiers() Tiers {
	var s Tiers
	for t := range v.Due {
		s = s.With(t)
	}
	return s
}

// Lateness is how long after the earliest due time the visit began; 0 for a missed one.
func (v *Visit) Lateness() time.Duration {
	var worst time.Duration
	if v.Started.IsZero() {
		return 0
	}
	for _, d := range v.Due {
		worst = max(worst, v.Started.Sub(d))
	}
	return worst
}

// Answered tells whether the visit shows that its target answers. One that asked nothing, as of the events of a BMC without a log that
// can be read, ends well and shows nothing: the BMC may have been dead for days.
func (v *Visit) Answered() bool {
	s := v.Snapshot
	if v.Result != Done && v.Result != Late || s == nil {
		return false
	}
	return s.Cost.Requests > 0 || s.Cost.Exchanges > 0 || len(s.Readings) > 0 || len(s.Log) > 0 ||
		slices.ContainsFunc(s.Components, func(c Component) bool { return !c.StateNotRead }) // of what pushes: nothing is ever asked
}

// ComponentRef names a component and its class.
type ComponentRef struct {
	ID    ComponentID
	Class Class
}

// AccessState is how we get on with a BMC.
type AccessState string

const (
	AccessOK          AccessState = "ok"
	AccessSuspect     AccessState = "suspect"
	AccessUnreachable AccessState = "unreachable"
	AccessDenied      AccessState = "denied"
	// AccessUnmonitored: the target is no longer in the configuration. The other fields of Access are as they were before.
	AccessUnmonitored AccessState = "unmonitored"
)

// Access is the stored breaker of a target: shown by status, obeyed by the schedule.
type Access struct {
	State    AccessState
	Since    time.Time
	NextTry  time.Time // zero: at the next tick
	Failures int       // in a row
	Reason   Reason
	Error    string
}

// Known is what is held of a target between visits: the same after a restart as before it.
type Known struct {
	Target TargetID
	// Endpoint is the address and configured driver all this was learned from: another endpoint may be another machine.
	Endpoint   string
	Driver     string // the sticky choice for driver auto; "" before the first success
	Before     string `json:"-"` // the driver of the endpoint before this one, until the next success
	Identity   Identity
	HostPower  HostPower
	Components map[ComponentID]KnownComponent
	Faults     map[string]Fault // open ones, by ID
	Cursors    Cursors
	Memory     json.RawMessage
	Access     Access
	Ticks      map[Tier]Tick // the last answered tick of each tier
	FirstSeen  time.Time     // first successful visit; zero before
	// Places that were read whole at least once, and when first. What is found in a place for the first time was there at
	// the start; it was not inserted.
	Places map[string]time.Time
	Air    AirMemory `json:",omitzero"`
	// Recent is what of faults that began lately outlives them: how often, and when the last one ended.
	Recent map[RecentKey]Recent `json:"-"`
	Clock  BMCClock             `json:",omitzero"`
}

// RecentKey names a condition.
type RecentKey struct {
	Component ComponentID
	Kind      Kind
	Subject   string
}

// Recent is how a condition came and went lately.
type Recent struct {
	RecentKey
	Begun []time.Time // when it began or got worse, oldest first; at most a few
	Fault string      // the last fault of it
	Ended time.Time   // when that one was cleared; zero while it is open
	// Polled: a reading ended it in a visit that did not read the logs. Their entries of it, read later, are no new fault.
	Polled bool
}

// BMCClock is how far a BMC's clock was ahead of ours when its skew was last noted.
type BMCClock struct {
	Skew time.Duration
	At   time.Time // zero: not known
}

// KnownComponent is a component as last seen, and since when its state and presence have been so.
type KnownComponent struct {
	Component
	Since time.Time
}

// Tick is how the last tick of a tier ended.
type Tick struct {
	Due      time.Time
	Result   Result
	Lateness time.Duration
}

// Delta is what a visit changes of Known; it is committed with the visit, and applied in RAM only afterwards. Nil and
// zero fields change nothing.
type Delta struct {
	Endpoint   string
	Driver     string
	Identity   *Identity
	HostPower  *HostPower
	Components []KnownComponent // new and changed ones, whole
	Faults     []Fault          // opened, changed and cleared ones, whole
	Cursors    Cursors
	Memory     json.RawMessage
	Access     *Access
	Ticks      map[Tier]Tick
	FirstSeen  time.Time
	Places     []string      // read whole for the first time, at the visit's time
	PlacesAt   time.Time     // when
	Air        *AirMemory    `json:",omitempty"` // whole
	Forget     []ComponentID // no longer held at all: an absent part of long ago, a part of another class now
	Recent     []Recent      `json:",omitempty"` // new and changed ones, whole; one without a fault is no longer held
	Clock      *BMCClock     `json:",omitempty"`
}

// NewKnown is what is known of a target before its first visit.
func NewKnown(id TargetID) *Known {
	return &Known{
		Target: id, Components: map[ComponentID]KnownComponent{}, Faults: map[string]Fault{}, Cursors: Cursors{},
		Ticks: map[Tier]Tick{}, Access: Access{State: AccessOK}, Places: map[string]time.Time{},
		Recent: map[RecentKey]Recent{},
	}
}

// Apply advances what is known by a committed delta.
func (k *Known) Apply(d *Delta) {
	if d.Endpoint != "" && d.Endpoint != k.Endpoint {
		k.moved(d.Endpoint)
	}
	if d.Driver != "" {
		k.Driver, k.Before = d.Driver, ""
	}
	if d.Identity != nil {
		k.Identity = *d.Identity
	}
	if d.HostPower != nil {
		k.HostPower = *d.HostPower
	}
	for _, c := range d.Components {
		k.Components[c.ID] = c
	}
	for _, f := range d.Faults {
		if f.Closed() {
			delete(k.Faults, f.ID)
		} else {
			k.Faults[f.ID] = f
		}
	}
	maps.Copy(k.Cursors, d.Cursors)
	if d.Memory != nil {
		k.Memory = d.Memory
	}
	if d.Access != nil {
		k.Access = *d.Access
	}
	for t, tick := range d.Ticks {
		if tick.Due.After(k.Ticks[t].Due) { // a visit of older ticks recorded late turns nothing back
			k.Ticks[t] = tick
		}
	}
	for _, p := range d.Places {
		k.Places[p] = d.PlacesAt
	}
	for _, id := range d.Forget {
		delete(k.Components, id)
	}
	if d.Air != nil {
		k.Air = *d.Air
	}
	for _, r := range d.Recent {
		if r.Fault == "" {
			delete(k.Recent, r.RecentKey)
		} else {
			k.Recent[r.RecentKey] = r
		}
	}
	if d.Clock != nil {
		k.Clock = *d.Clock
	}
	if !d.FirstSeen.IsZero() {
		k.FirstSeen = d.FirstSeen
	}
}

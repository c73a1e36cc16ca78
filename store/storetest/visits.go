package storetest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"dewline/health"
)

// Machine makes the visits of a quiet machine: every minute all its sensors, as random walks in the steps that BMCs
// quantise to (0.5 °C, 60 rpm, 0.01 V, 3 W).
type Machine struct {
	Target     health.TargetID
	r          *rand.Rand
	components []health.Component
	readings   []health.Reading
	steps      []float64 // of the readings; the values are whole numbers of them
	at         []int     // of the readings, in steps
}

// NewMachine makes a machine of n sensors. The same seed gives the same visits.
func NewMachine(target health.TargetID, n int, seed uint64) *Machine {
	m := &Machine{Target: target, r: rand.New(rand.NewPCG(seed, 1))}
	kinds := []struct {
		class    health.Class
		quantity health.Quantity
		unit     health.Unit
		step     float64
		start    int
	}{
		{health.ClassTemperature, health.Temperature, health.Celsius, 0.5, 60},
		{health.ClassFan, health.Speed, health.RPM, 60, 100},
		{health.ClassVoltage, health.Voltage, health.Volt, 0.01, 1200},
		{health.ClassPower, health.Power, health.Watt, 3, 90},
	}
	for i := range n {
		k := kinds[i%len(kinds)]
		id := health.ComponentID(fmt.Sprintf("%s/%d", k.class, i))
		m.components = append(m.components, health.Component{
			ID: id, Class: k.class, Name: fmt.Sprintf("%s %d", k.class, i), Presence: health.Present, State: health.OK, Place: "sdr",
		})
		m.readings = append(m.readings, health.Reading{Component: id, Quantity: k.quantity, Unit: k.unit})
		m.steps, m.at = append(m.steps, k.step), append(m.at, k.start+m.r.IntN(20))
	}
	return m
}

// Visit is the machine's visit of the readings and events tiers due at due, begun a few milliseconds late.
func (m *Machine) Visit(due time.Time) *health.Visit {
	started := due.Add(time.Duration(m.r.IntN(40_000_000)))
	cost := health.Cost{Requests: 3, Bytes: 18_000 + m.r.Int64N(200)}
	s := &health.Snapshot{
		Target: m.Target, Driver: health.DriverRedfish, At: started, Took: 300*time.Millisecond + time.Duration(m.r.IntN(100_000_000)),
		Tiers: health.TiersOf(health.TierReadings, health.TierEvents), HostPower: health.HostOn, Cost: cost,
		Components: Clone(m.components), Readings: Clone(m.readings),
	}
	for i := range s.Readings {
		m.at[i] += m.r.IntN(3) - 1
		// As a driver does it: the decimal nearest to so many steps.
		s.Readings[i].Value = math.Round(float64(m.at[i])*m.steps[i]*100) / 100
	}
	tick := health.Tick{Due: due, Result: health.Done, Lateness: started.Sub(due)}
	v := &health.Visit{
		Target: m.Target, Driver: health.DriverRedfish, Started: started, Took: s.Took, Result: health.Done, Cost: cost, Snapshot: s,
		Due:   map[health.Tier]time.Time{health.TierReadings: due, health.TierEvents: due},
		Delta: health.Delta{Ticks: map[health.Tier]health.Tick{health.TierReadings: tick, health.TierEvents: tick}},
	}
	v.ID = health.VisitID(v)
	return v
}

// Random makes a visit of everything that a visit can hold, and much that it should not: odd values, odd texts, failures, parts
// that change their name. Its time is at. Two calls with like generators give like visits.
func Random(r *rand.Rand, target health.TargetID, at time.Time) *health.Visit {
	v := &health.Visit{
		Target: target, Driver: pick(r, health.DriverRedfish, health.DriverIPMI), Origin: pick(r, health.OriginReal, health.OriginDemo),
		Due: map[health.Tier]time.Time{}, Started: at, Took: time.Duration(r.Int64N(1e10)), Result: health.Done,
		Cost: health.Cost{Requests: r.IntN(9), Connections: r.IntN(2), Exchanges: r.IntN(70), Bytes: r.Int64N(1e6)},
	}
	for _, t := range health.AllTiers {
		if r.IntN(2) == 0 || t == health.TierReadings {
			v.Due[t] = at.Add(-time.Duration(r.Int64N(3e10)))
		}
	}
	if r.IntN(2) == 0 {
		v.Where = &health.Target{
			ID: target, Address: "https://[2001:db8::7]", Driver: health.DriverAuto, Site: "bontang", Rack: pick(r, "A1", "A2"),
			Position: r.IntN(3), Labels: map[string]string{"owner": "diskominfo"}, Expect: health.Expect{Fans: new(r.IntN(3))},
		}
	}
	for range r.IntN(3) / 2 {
		first := at.Add(-time.Duration(r.Int64N(1e13)))
		v.Skipped = append(v.Skipped, health.TickRange{
			Tier: health.TierHealth, First: first, Last: at, Count: r.IntN(100), Reason: health.ReasonNotRunning,
		})
	}
	switch r.IntN(8) {
	case 0:
		v.Result, v.Started, v.Took, v.Cost = health.Missed, time.Time{}, 0, health.Cost{}
		v.Reason = pick(r, health.ReasonStopped, health.ReasonOverrun)
	case 1:
		v.Result, v.Reason, v.Error = health.Failed, health.ReasonTimeout, "log in: i/o timeout"
		v.Snapshot = &health.Snapshot{Target: target, Cost: v.Cost, Gaps: []health.Gap{{Part: "/redfish/v1", Reason: health.ReasonTimeout}}}
	default:
		v.Snapshot = randomSnapshot(r, v)
	}
	for range r.IntN(4) {
		v.Unread = append(v.Unread, health.ComponentRef{ID: componentID(r), Class: pick(r, health.Classes...)})
	}
	for i := range r.IntN(3) {
		v.Events = append(v.Events, randomEvent(r, target, at.Add(time.Duration(i)), i))
	}
	v.Delta = randomDelta(r, v)
	v.ID = health.VisitID(v)
	return v
}

func randomSnapshot(r *rand.Rand, v *health.Visit) *health.Snapshot {
	s := &health.Snapshot{
		Target: v.Target, Driver: v.Driver, At: v.Started, Took: v.Took, Tiers: v.Tiers(), HostPower: health.HostPower(r.IntN(3)),
		Cost: v.Cost, Scope: []string{"sdr"},
	}
	if r.IntN(4) == 0 {
		s.At, s.Took, s.Cost = s.At.Add(time.Duration(r.Int64N(1e9))), s.Took/2, s.Cost.Add(health.Cost{Requests: 1})
	}
	for _, i := range r.Perm(40)[:r.IntN(40)] {
		id := health.ComponentID(fmt.Sprintf("fan/%d", i))
		s.Components = append(s.Components, health.Component{
			ID: id, Class: health.ClassFan, Name: pick(r, "Fan", "Kühler \xff", string(id)), Presence: health.Presence(r.IntN(3)),
			State: health.State(r.IntN(4)), StateNotRead: r.IntN(9) == 0, Status: "Enabled/OK",
		})
		for _, q := range []health.Quantity{health.Speed, health.Duty}[:r.IntN(3)] {
			rd := health.Reading{Component: id, Quantity: q, Unit: health.RPM, Value: Value(r), Derived: r.IntN(5) == 0}
			if r.IntN(5) == 0 {
				rd.Thresholds = &health.Thresholds{LowerCritical: new(Value(r)), UpperFatal: new(0.0)}
			}
			s.Readings = append(s.Readings, rd)
		}
	}
	for range r.IntN(3) {
		s.Gaps = append(s.Gaps, health.Gap{
			Part: text(r), Reason: pick(r, health.ReasonTimeout, health.Reason("new")), Error: text(r), Place: pick(r, "", "sdr"),
			Component: componentID(r),
		})
	}
	for range r.IntN(3) {
		s.Log = append(s.Log, randomLogEntry(r, v.Started))
	}
	return s
}

func randomLogEntry(r *rand.Rand, at time.Time) health.LogEntry {
	e := health.LogEntry{
		Source: pick(r, "sel", "Lclog"), Generation: text(r), ID: fmt.Sprint(r.Uint64()), Observed: at, Severity: health.Severity(r.IntN(5)),
		Message: text(r), MessageID: "PSU0003", Component: componentID(r), Origin: text(r), Kind: pick(r, health.Kinds...),
		Cleared: r.IntN(2) == 0,
	}
	// BMC clocks: not set, years off, with an offset.
	e.Created = pick(r, time.Time{}, at.UTC(), time.Unix(0, 0).UTC(), time.Date(9998, 1, 2, 3, 4, 5, 6, time.FixedZone("", 8*3600)))
	if r.IntN(2) == 0 {
		e.Args = []string{"1", "zwei"}
	}
	if r.IntN(2) == 0 {
		e.Raw = fmt.Appendf(nil, `{"Id":%q,"Padding":"%0*d"}`, e.ID, r.IntN(600), 0)
		e.Key = e.Raw[:8]
	}
	if r.IntN(2) == 0 {
		e.SEL = &health.SELEvent{RecordType: 2, Generator: uint16(r.Uint32()), SensorType: 8, SensorNumber: 0x51, EventType: 0x6f,
			Deassert: r.IntN(2) == 0, Data: [3]byte{1, 0xff, byte(r.Uint32())}}
	}
	return e
}

func randomEvent(r *rand.Rand, t health.TargetID, at time.Time, i int) health.Event {
	e := health.Event{
		Target: t, Component: componentID(r), Class: pick(r, health.Classes...), Kind: pick(r, health.Kinds...),
		Severity: health.Severity(r.IntN(5)), Transition: pick(r, health.Asserted, health.Cleared, health.Momentary), Rule: "rule",
		Message: text(r), At: at, Source: "poll", AtStart: r.IntN(2) == 0, FaultID: fmt.Sprint(r.Uint64()),
		SourceTime: pick(r, time.Time{}, at.UTC()), Subject: text(r), SourceSeverity: health.Severity(r.IntN(5)),
	}
	if r.IntN(2) == 0 {
		e.Evidence = []string{"DetectorState=Critical", ""}
	}
	e.ID = health.PolledEventID(t, e.Component, e.Kind, e.Transition, at) + fmt.Sprint(i)
	return e
}

func randomDelta(r *rand.Rand, v *health.Visit) health.Delta {
	at := v.At().UTC()
	d := health.Delta{Ticks: map[health.Tier]health.Tick{}}
	if r.IntN(4) == 0 { // with or without what was learned there
		d.Endpoint = pick(r, "auto https://db-1", "auto https://db-1", "ipmi ipmi://db-1")
	}
	for t, due := range v.Due {
		d.Ticks[t] = health.Tick{Due: due.UTC(), Result: v.Result, Lateness: time.Duration(r.Int64N(1e9))}
	}
	if r.IntN(3) == 0 {
		d.Driver, d.FirstSeen = v.Driver, at
		d.Identity = &health.Identity{Manufacturer: "Example", Serial: pick(r, "A", "B")}
		d.HostPower = new(health.HostPower(r.IntN(3)))
		d.Memory = json.RawMessage(fmt.Sprintf(`{"sdr":%d}`, r.IntN(2)))
		d.Access = &health.Access{State: health.AccessSuspect, Since: at, Failures: r.IntN(4), Reason: health.ReasonTimeout, Error: text(r)}
		d.Places, d.PlacesAt = []string{pick(r, "sdr", "fans")}, at
		d.Cursors = health.Cursors{pick(r, "sel", "Lclog"): json.RawMessage(fmt.Sprint(r.IntN(3)))}
	}
	for range r.IntN(4) {
		id := componentID(r)
		c := health.KnownComponent{Since: at, Component: health.Component{
			ID: id, Class: pick(r, health.Classes...), Name: text(r), Serial: pick(r, "S1", "S2"), Presence: health.Presence(r.IntN(3)),
			State: health.State(r.IntN(4)), Place: "sdr", Tier: health.TierHealth, CapacityBytes: r.Int64(),
		}}
		if r.IntN(2) == 0 {
			c.Conditions = []health.Condition{{Kind: health.KindLeakDetected, Severity: health.SeverityCritical, Evidence: "wet"}}
		}
		d.Components = append(d.Components, c)
	}
	if r.IntN(3) == 0 {
		d.Forget = []health.ComponentID{componentID(r)}
	}
	for range r.IntN(3) {
		f := health.Fault{
			ID: fmt.Sprintf("%s-%d", v.Target, r.IntN(10)), Target: v.Target, Component: componentID(r), Class: health.ClassFan,
			Kind: pick(r, health.Kinds...), Severity: health.SeverityWarning, State: pick(r, health.Asserted, health.Cleared),
			Rule: "rule", Message: text(r), Evidence: []string{text(r)}, Opened: at, Changed: at,
		}
		if f.State == health.Cleared {
			f.Cleared = at
		}
		if r.IntN(2) == 0 {
			f.Subject = text(r)
			f.Flap = health.Flap{Flapping: true, Count: r.IntN(9), Last: at, Away: pick(r, time.Time{}, at)}
		}
		d.Faults = append(d.Faults, f)
		re := health.Recent{
			RecentKey: health.RecentKey{Component: f.Component, Kind: health.KindFailed, Subject: pick(r, "", "fans")},
			Begun:     []time.Time{at.Add(-time.Minute), at}, Fault: pick(r, "", f.ID), Ended: pick(r, time.Time{}, at),
		}
		d.Recent = append(d.Recent, re)
	}
	if r.IntN(4) == 0 {
		d.Clock = &health.BMCClock{Skew: time.Duration(r.Int64N(1e12)), At: at}
	}
	return d
}

// Value is a finite value as BMCs send them, and as they should not.
func Value(r *rand.Rand) float64 {
	switch r.IntN(8) {
	case 0:
		return math.Copysign(0, float64(r.IntN(2)*2-1))
	case 1:
		return pick(r, math.MaxFloat64, -math.SmallestNonzeroFloat64, 1e300, 1<<53+2, 0.1+0.2, math.Pi)
	case 2:
		for {
			if f := math.Float64frombits(r.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
				return f
			}
		}
	case 3:
		return float64(r.IntN(20000)) / 1000
	}
	return float64(r.IntN(300)) / 2
}

func componentID(r *rand.Rand) health.ComponentID {
	return health.ComponentID(fmt.Sprintf("fan/%d", r.IntN(40)))
}

func text(r *rand.Rand) string {
	return pick(r, "", "Fan 1", "suhu ruang ° 温度", "two\nlines", `quote " and \`, "/redfish/v1/Chassis/1")
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

//go:fix inline

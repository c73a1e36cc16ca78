package main

import (
	"fmt"
	"slices"
	"time"

	"dewline/health"
)

// pollDoc is one document of `poll -o json` (docs/SCHEMA.md). Arrays are never null.
type pollDoc struct {
	Version     int             `json:"version"`
	Target      health.TargetID `json:"target"`
	Driver      string          `json:"driver"`
	Origin      health.Origin   `json:"origin,omitempty"` // demo, sim, replay: no real machine
	At          string          `json:"at"`
	TookSeconds float64         `json:"took_seconds"`
	HostPower   string          `json:"host_power"`
	Identity    health.Identity `json:"identity"`
	Components  []pollComponent `json:"components"`
	Readings    []pollReading   `json:"readings"`
	Log         []pollEntry     `json:"log"`
	Logs        []pollLog       `json:"logs"`
	Faults      []faultDoc      `json:"faults"`
	Gaps        []pollGap       `json:"gaps"`
	Cost        health.Cost     `json:"cost"`
	Error       *pollError      `json:"error,omitempty"`
}

type pollError struct {
	Reason  health.Reason `json:"reason"`
	Message string        `json:"message"`
}

type pollComponent struct {
	ID            health.ComponentID `json:"id"`
	Class         health.Class       `json:"class"`
	Name          string             `json:"name"`
	Presence      string             `json:"presence"`
	State         string             `json:"state"`
	Status        string             `json:"status,omitempty"`
	Location      string             `json:"location,omitempty"`
	Context       string             `json:"context,omitempty"`
	Manufacturer  string             `json:"manufacturer,omitempty"`
	Model         string             `json:"model,omitempty"`
	Serial        string             `json:"serial,omitempty"`
	PartNumber    string             `json:"part_number,omitempty"`
	Firmware      string             `json:"firmware,omitempty"`
	CapacityBytes int64              `json:"capacity_bytes,omitempty"`
}

type pollReading struct {
	Component  health.ComponentID `json:"component"`
	Quantity   health.Quantity    `json:"quantity"`
	Unit       health.Unit        `json:"unit"`
	Value      float64            `json:"value"`
	Thresholds *pollThresholds    `json:"thresholds,omitempty"`
	Derived    bool               `json:"derived,omitempty"`
}

type pollThresholds struct {
	LowerFatal    *float64 `json:"lower_fatal,omitempty"`
	LowerCritical *float64 `json:"lower_critical,omitempty"`
	LowerCaution  *float64 `json:"lower_caution,omitempty"`
	UpperCaution  *float64 `json:"upper_caution,omitempty"`
	UpperCritical *float64 `json:"upper_critical,omitempty"`
	UpperFatal    *float64 `json:"upper_fatal,omitempty"`
}

type pollEntry struct {
	Source    string             `json:"source"`
	ID        string             `json:"id"`
	Created   string             `json:"created,omitempty"`
	Severity  string             `json:"severity"`
	Message   string             `json:"message"`
	MessageID string             `json:"message_id,omitempty"`
	Component health.ComponentID `json:"component,omitempty"`
	Origin    string             `json:"origin,omitempty"`
}

type pollLog struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Total   *int   `json:"total,omitempty"`
	Read    int    `json:"read"`
	Skipped string `json:"skipped,omitempty"`
	Full    bool   `json:"full,omitempty"` // no room left: new entries are not kept
	More    bool   `json:"more,omitempty"` // the visit ended before the log's end
}

// faultDoc is a fault in `poll`; `faults` and `events` add to it.
type faultDoc struct {
	Component health.ComponentID `json:"component"`
	Kind      health.Kind        `json:"kind"`
	Severity  string             `json:"severity"`
	State     health.Transition  `json:"state"`
	Rule      string             `json:"rule"`
	Evidence  []string           `json:"evidence"`
}

type pollGap struct {
	Part   string        `json:"part"`
	Reason health.Reason `json:"reason"`
	Error  string        `json:"error"`
}

// readAnything tells a reading with gaps from one that is nothing but gaps.
func (d *pollDoc) readAnything() bool {
	return len(d.Components) > 0 || len(d.Readings) > 0 || len(d.Log) > 0 ||
		slices.ContainsFunc(d.Logs, func(l pollLog) bool { return l.Skipped == "" && l.Total != nil })
}

// newPollDoc makes the document of one visit.
func newPollDoc(v *health.Visit) *pollDoc {
	d := &pollDoc{
		Version: 1, Target: v.Target, Driver: v.Driver, Origin: v.Origin, At: formatTime(v.At()), TookSeconds: v.Took.Seconds(),
		HostPower:  health.HostPowerUnknown.String(),
		Components: []pollComponent{}, Readings: []pollReading{}, Log: []pollEntry{}, Logs: []pollLog{}, Faults: []faultDoc{},
		Gaps: []pollGap{}, Cost: v.Cost,
	}
	if v.Result == health.Failed || v.Result == health.Missed {
		d.Error = &pollError{v.Reason, v.Error}
		return d
	}
	s := v.Snapshot
	d.HostPower = s.HostPower.String()
	if s.Identity != nil {
		d.Identity = *s.Identity
	}
	for _, c := range s.Components {
		d.Components = append(d.Components, pollComponent{
			c.ID, c.Class, c.Name, c.Presence.String(), c.State.String(), c.Status, c.Location, c.Context, c.Manufacturer,
			c.Model, c.Serial, c.PartNumber, c.Firmware, c.CapacityBytes,
		})
	}
	for _, r := range s.Readings {
		d.Readings = append(d.Readings, pollReading{
			r.Component, r.Quantity, r.Unit, r.Value, (*pollThresholds)(r.Thresholds), r.Derived,
		})
	}
	for _, e := range s.Log {
		d.Log = append(d.Log, pollEntry{
			e.Source, e.ID, formatTime(e.Created), e.Severity.String(), e.Message, e.MessageID, e.Component, e.Origin,
		})
	}
	for _, l := range s.Logs {
		d.Logs = append(d.Logs, pollLog{l.ID, l.Name, l.Total, l.Read, l.Skipped, l.Full, l.More})
	}
	for _, f := range v.Delta.Faults {
		if f.Closed() { // its end is in the same log as its beginning
			continue
		}
		evidence := f.Evidence
		if evidence == nil {
			evidence = []string{}
		}
		d.Faults = append(d.Faults, faultDoc{f.Component, f.Kind, f.Severity.String(), f.State, f.Rule, evidence})
	}
	for _, g := range s.Gaps {
		d.Gaps = append(d.Gaps, pollGap{g.Part, g.Reason, g.Error})
	}
	if !d.readAnything() {
		d.Error = &pollError{health.ReasonNotFound, "it answers, and tells of no part and no log"}
		if len(d.Gaps) > 0 {
			d.Error = &pollError{d.Gaps[0].Reason, fmt.Sprintf("nothing could be read: %s: %s", d.Gaps[0].Part, d.Gaps[0].Error)}
		}
	}
	return d
}

// formatTime is RFC 3339 with the zone, milliseconds, "" for the zero time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

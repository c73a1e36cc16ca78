package health

import (
	"encoding/json"
	"time"
)

// Verification is a verification after an incident that is still watched: it is computed anew from time to time, and data since From is
// kept for it, whatever retention says.
type Verification struct {
	ID         string     `json:"id"`
	Title      string     `json:"title,omitempty"`
	Reference  string     `json:"reference,omitempty"`
	Incident   time.Time  `json:"incident"`
	IncidentID string     `json:"incident_id,omitempty"`
	Targets    []TargetID `json:"targets"`
	From       time.Time  `json:"data_kept_since"` // the beginning of the baseline
	Opened     time.Time  `json:"opened"`
	Computed   time.Time  `json:"computed"` // when the verdict was made last
	Verdict    string     `json:"verdict"`
	Stage      string     `json:"stage,omitempty"`
	SoakLeft   float64    `json:"soak_left_hours"`
	WatchUntil time.Time  `json:"watch_until,omitzero"`
	// Servers in the order of the report.
	Servers  []VerifiedServer `json:"servers"`
	Error    string           `json:"error,omitempty"` // why it could not be computed the last time
	Closed   time.Time        `json:"closed,omitzero"`
	ClosedBy string           `json:"closed_by,omitempty"`
	ClosedAs string           `json:"closed_why,omitempty"`
	// Request is what the report was asked for with: how to compute it anew.
	Request json.RawMessage `json:"-"`
}

// VerifiedServer is the verdict on one server.
type VerifiedServer struct {
	Target  TargetID `json:"target"`
	Verdict string   `json:"verdict"`
	Stage   string   `json:"stage,omitempty"`
}

// VerificationID derives an ID from which servers were in which incident: the same report made again is the same verification.
func VerificationID(incident time.Time, targets []TargetID) string {
	parts := []string{"verification", incident.UTC().Format(time.RFC3339Nano)}
	for _, t := range targets {
		parts = append(parts, string(t))
	}
	return deriveID(parts...)
}

// VerdictEventID derives the ID of the event that a server's verdict changed.
func VerdictEventID(verification string, t TargetID, verdict, stage string, at time.Time) string {
	return deriveID("verdict", verification, string(t), verdict, stage, at.UTC().Format(time.RFC3339Nano))
}

// RuleVerification is the rule of events that tell of a verification's verdict. They say nothing of a machine that is not known
// already, so that nothing is concluded from them.
const RuleVerification = "verification"

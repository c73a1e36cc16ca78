package redfish

import (
	"bytes"
	"strings"

	"dewline/health"

	"github.com/stmcginnis/gofish/schemas"
)

// status is Resource.Status; a bare string is taken as its Health.
type status struct {
	State, Health, Rollup string
	Conditions            []string // messages of Status.Conditions, evidence only
}

func (s *status) UnmarshalJSON(b []byte) error {
	*s = status{}
	var bare text
	if len(b) > 0 && b[0] == '"' {
		_ = bare.UnmarshalJSON(b)
		s.Health = string(bare)
		return nil
	}
	if s.quick(b) {
		return nil
	}
	*s = status{}
	var o struct {
		State, Health, HealthRollup text
		Conditions                  many[struct{ Message text }]
	}
	if decode(b, &o) != nil {
		return nil
	}
	*s = status{State: string(o.State), Health: string(o.Health), Rollup: string(o.HealthRollup)}
	for _, c := range o.Conditions {
		if len(s.Conditions) < 8 && c.Message != "" {
			s.Conditions = append(s.Conditions, string(c.Message))
		}
	}
	return nil
}

// quick takes the shape that nearly every Status has, an object of plain strings and nulls, without a decoder of its own:
// there is one in every element of Thermal and Power. It reports false for anything else. b is valid JSON.
func (s *status) quick(b []byte) bool {
	if len(b) < 2 || b[0] != '{' {
		return false
	}
	space := func() {
		for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
			b = b[1:]
		}
	}
	str := func() (string, bool) {
		if len(b) == 0 || b[0] != '"' {
			return "", false
		}
		end := bytes.IndexByte(b[1:], '"') + 2
		if end < 2 || !plain(b[:end]) {
			return "", false
		}
		v := string(b[1 : end-1])
		b = b[end:]
		return v, true
	}
	b = b[1:]
	for {
		space()
		if len(b) > 0 && b[0] == '}' {
			return true
		}
		key, ok := str()
		space()
		if !ok || len(b) == 0 || b[0] != ':' {
			return false
		}
		b = b[1:]
		space()
		value, null := "", bytes.HasPrefix(b, []byte("null"))
		if null {
			b = b[4:]
		} else if value, ok = str(); !ok {
			return false
		}
		value = strings.TrimSpace(value)
		switch {
		case key == "State":
			s.State = value
		case key == "Health":
			s.Health = value
		case key == "HealthRollup":
			s.Rollup = value
		case strings.EqualFold(key, "State"), strings.EqualFold(key, "Health"), strings.EqualFold(key, "HealthRollup"), strings.EqualFold(key, "Conditions"):
			return false // as encoding/json has it, whatever the case
		}
		space()
		if len(b) > 0 && b[0] == ',' {
			b = b[1:]
		}
	}
}

// words are the service's own words, kept as evidence.
func (s status) words() string {
	if s.State == "" && s.Health == "" && s.Rollup == "" {
		return ""
	}
	w := s.State + "/" + s.Health
	if s.Health == "" && s.Rollup != "" {
		w = s.State + "/rollup " + s.Rollup
	}
	seen := map[string]bool{}
	for _, c := range s.Conditions {
		if !seen[c] {
			seen[c] = true
			w += "; " + c
		}
	}
	return cut(w, health.MaxText)
}

// healthWords maps what services write in Health. The schema has three values; the others were met on firmware that
// predates it or ignores it: Cisco CIMC (NORMAL), H3C and Inspur (Enabled), iLO OEM (Degraded, Failed).
var healthWords = map[string]health.State{
	strings.ToLower(string(schemas.OKHealth)):       health.OK,
	strings.ToLower(string(schemas.WarningHealth)):  health.Warning,
	strings.ToLower(string(schemas.CriticalHealth)): health.Critical,

	"good": health.OK, "normal": health.OK, "enabled": health.OK, "healthy": health.OK,
	"degraded": health.Warning, "noncritical": health.Warning, "non-critical": health.Warning, "minor": health.Warning,
	"failed": health.Critical, "failure": health.Critical, "fatal": health.Critical, "major": health.Critical,
	"nonrecoverable": health.Critical, "non-recoverable": health.Critical, "error": health.Critical,
}

func healthOf(s string) health.State { return healthWords[strings.ToLower(strings.TrimSpace(s))] }

// stateOf judges a Status. Health missing is unknown, never ok. Health OK of a part that is not running is unknown: an
// absent drive of Cisco CIMC says OK. A bad Health stays what it is whatever the State: an unplugged PSU of an IBM OpenBMC
// machine is UnavailableOffline and Critical (ibm-openbmc/bmcweb PR #1281), and filtering by Enabled hides it.
func stateOf(s status, rollup bool) (health.State, health.Presence) {
	st := healthOf(s.Health)
	if rollup && s.Health == "" {
		st = healthOf(s.Rollup)
	}
	presence := health.Present
	switch schemas.State(canonicalState(s.State)) {
	case schemas.AbsentState:
		presence = health.Absent
		fallthrough
	case schemas.DisabledState, schemas.StandbyOfflineState, schemas.UnavailableOfflineState, schemas.DeferringState:
		if st == health.OK {
			st = health.Unknown
		}
	case schemas.DegradedState:
		if st == health.OK {
			st = health.Warning
		}
	}
	return st, presence
}

// canonicalState gives the schema's spelling of a State.
func canonicalState(s string) string {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "absent", "notpresent", "not present", "notinstalled", "not installed", "removed", "missing", "empty":
		return string(schemas.AbsentState)
	case "disabled":
		return string(schemas.DisabledState)
	case "standbyoffline":
		return string(schemas.StandbyOfflineState)
	case "unavailableoffline":
		return string(schemas.UnavailableOfflineState)
	case "deferring":
		return string(schemas.DeferringState)
	case "degraded":
		return string(schemas.DegradedState)
	case "enabled", "present", "": // AMI MegaRAC writes "Present"
		return string(schemas.EnabledState)
	}
	return s
}

// running reports whether the part works as far as its State says.
func running(s status) bool { return canonicalState(s.State) == string(schemas.EnabledState) }

// severityOf maps the Severity or MessageSeverity of a log entry.
func severityOf(s string) health.Severity {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "ok", "normal", "cleared":
		return health.SeverityOK
	case "informational", "information", "info", "condition", "debug":
		return health.SeverityInfo
	case "warning", "minor", "caution", "degraded":
		return health.SeverityWarning
	case "critical", "major", "fatal", "emergency", "alert", "error":
		return health.SeverityCritical
	}
	return health.SeverityUnknown
}

// hostPowerOf maps PowerState. PoweringOff still runs.
func hostPowerOf(s string) health.HostPower {
	switch strings.ToLower(s) {
	case strings.ToLower(string(schemas.OnPowerState)), strings.ToLower(string(schemas.PoweringOnPowerState)),
		strings.ToLower(string(schemas.PoweringOffPowerState)), strings.ToLower(string(schemas.PausedPowerState)):
		return health.HostOn
	case strings.ToLower(string(schemas.OffPowerState)):
		return health.HostOff
	}
	return health.HostPowerUnknown
}

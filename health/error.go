package health

import "errors"

// Reason says why something was not read. The list grows only by addition.
type Reason string

const (
	ReasonDenied      Reason = "denied" // wrong password, locked account, missing privilege
	ReasonUnreachable Reason = "unreachable"
	ReasonTimeout     Reason = "timeout"
	ReasonTLS         Reason = "tls"
	ReasonUnsupported Reason = "unsupported"
	ReasonNotFound    Reason = "not_found"
	ReasonMalformed   Reason = "malformed"
	ReasonTooLarge    Reason = "too_large"
	ReasonBudget      Reason = "budget"
	ReasonBusy        Reason = "busy"         // HTTP 429 and 503, session table full, IPMI node busy
	ReasonServerError Reason = "server_error" // other HTTP 5xx, IPMI unspecified error
	ReasonStopped     Reason = "stopped"      // we stopped: no fault of the target
	ReasonNotRunning  Reason = "not_running"  // dewline did not run then
	ReasonOverrun     Reason = "overrun"      // the visit before took too long
	ReasonBackOff     Reason = "back_off"     // the BMC is left alone for a while after failures
	ReasonSuspended   Reason = "suspended"    // its credential was denied by several targets and is not used
	ReasonStale       Reason = "stale"        // what there is, is too old to say anything of now
	ReasonUnmonitored Reason = "unmonitored"  // the target is no longer in the configuration
)

// ErrRefused is wrapped by a store's errors that say that a visit cannot be kept as it is, now or later, while others can.
var ErrRefused = errors.New("refused")

// Error is why a target, or a part of one, could not be read. It holds no secret.
type Error struct {
	Reason Reason
	Op     string // what was done: "log in", "GET /redfish/v1"
	Err    error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Op + ": " + string(e.Reason)
	}
	return e.Op + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ReasonFor is the reason an error carries, ReasonServerError for one that carries none.
func ReasonFor(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ReasonServerError
}

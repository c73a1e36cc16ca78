package collector

import (
	"time"

	"dewline/health"
	"dewline/internal/schedule"
)

const (
	unreachableAfter = 3 // failures in a row
	probeEvery       = 5 * time.Minute
	deniedFirst      = 30 * time.Minute
	deniedMost       = 24 * time.Hour
)

// accessAfter is how we get on with a target after a visit that ended now, and whether that changes anything.
func accessAfter(a health.Access, id health.TargetID, result health.Result, reason health.Reason, text string, now time.Time) (health.Access, bool) {
	switch {
	case result == health.Missed || reason == health.ReasonStopped:
		return a, false // says nothing of the target
	case result != health.Failed:
		if a.State == health.AccessOK && a.Failures == 0 && !a.Since.IsZero() { // no Since: it has never answered yet
			return a, false
		}
		return health.Access{State: health.AccessOK, Since: now}, true
	}
	next := health.Access{State: health.AccessSuspect, Since: now, Failures: 1, Reason: reason, Error: text}
	denied := reason == health.ReasonDenied
	// Counted are failures of one sort: a login denied after an outage is the first denied login.
	if a.State != health.AccessOK && (a.State == health.AccessDenied) == denied {
		next.Since, next.Failures = a.Since, a.Failures+1
	}
	switch {
	case denied:
		next.State = health.AccessDenied
		next.NextTry = now.Add(denyPause(next.Failures))
	case next.Failures >= unreachableAfter:
		next.State = health.AccessUnreachable
		// Jitter differs from probe to probe, so that targets that failed together are not probed together for ever.
		jitter := schedule.Phase(string(id)+next.Since.String()+string(rune('a'+next.Failures%26)), probeEvery/5)
		next.NextTry = now.Add(probeEvery - probeEvery/10 + jitter)
	}
	return next, true
}

// resting says whether a target is to be left alone now. A stored time further off than any back-off is a clock that
// was wrong when it was stored.
func resting(a health.Access, now time.Time) bool {
	if a.Reason == health.ReasonSuspended {
		return true // however long: a reload ends it
	}
	return now.Before(a.NextTry) && a.NextTry.Sub(now) <= deniedMost
}

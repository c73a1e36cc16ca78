package verification

import (
	"slices"
	"strings"
	"time"

	"dewline/health"
	"dewline/report"
)

// grave are the kinds of faults that stand against a server while they are open, whatever their severity.
func grave(f *health.Fault) bool {
	switch f.Kind {
	case health.KindLeakDetected, health.KindRedundancyLost, health.KindPredictedFailure, health.KindFailed, health.KindUncorrectableError:
		return true
	case health.KindCommLost, health.KindLogFull, health.KindLogCleared, health.KindDetectorFault, health.KindAbsentRemoved:
		return false // each has a gate of its own
	}
	return f.Severity == health.SeverityCritical
}

// lostSight tells whether a fault closed because its server, or its protocol, was watched no more, and nothing has shown since that it is over:
// that its part is well, unless a log alone told of it, or that the same was found anew, which is judged itself.
func (h *history) lostSight(f *health.Fault) bool {
	if f.State != health.Unmonitored {
		return false
	}
	anew := slices.ContainsFunc(h.faults, func(o health.Fault) bool {
		return o.Component == f.Component && o.Kind == f.Kind && o.ID != f.ID && !o.Opened.Before(f.Cleared)
	})
	_, last := statesIn(slices.Concat(h.within(upHour(f.Cleared), h.until), h.begun))
	well := last[f.Component].state == "ok" && !strings.HasPrefix(f.Rule, "log:")
	return !anew && !well
}

// unexplained tells whether a machine says of itself as a whole that it is not well, and no part of it says why, or its slow parts were not
// read since: the failure that a drive predicts is in the health of its machine up to a quarter of an hour before it is seen in the drive.
func (h *history) unexplained(q *Request, f *health.Fault, from time.Time) bool {
	whole := func(c health.Class) bool {
		return c == health.ClassSystem || c == health.ClassChassis || c == health.ClassBMC
	}
	if f.Kind != health.KindDegraded || f.Closed() || !whole(f.Class) || h.explainedFault(q, f) {
		return false
	}
	part := slices.ContainsFunc(h.faults, func(o health.Fault) bool {
		return !whole(o.Class) && !o.Closed() && o.Severity >= f.Severity && !o.Opened.Before(from)
	})
	read := slices.ContainsFunc(slices.Concat(h.within(upHour(f.Opened), h.until), h.begun), func(x *health.HourFacts) bool {
		return !x.At.Before(f.Opened) && slices.ContainsFunc(x.Ticks, func(t health.TickCount) bool { return t.Tier == health.TierHealth && t.Done+t.Late > 0 })
	})
	return !part || !read
}

func (h *history) judgeFaults(rs *reasons, q *Request, from time.Time) {
	escalated := map[string]bool{}
	for _, e := range h.events {
		if e.Transition == health.Escalated && !e.At.Before(from) {
			escalated[e.FaultID] = true
		}
	}
	for _, f := range h.faults {
		// One that was met when its part was first read, late, may be older: nobody knows, so it counts.
		since := !f.Opened.Before(from) || escalated[f.ID]
		switch {
		case (since || f.Kind == health.KindLeakDetected) && grave(&f) && h.lostSight(&f):
			rs.add("unwatched", "", "reason.unwatched", f.Message, report.Stamp(f.Opened), report.Stamp(f.Cleared))
		case !f.Closed() && since && grave(&f):
			rs.add("critical_open", "", "reason.open", f.Message, report.Stamp(f.Opened))
		case !f.Closed() && since && f.Kind == health.KindAbsentRemoved:
			// judged as a part
		case since && h.unexplained(q, &f, from):
			rs.add("unexplained", "", "reason.unexplained", f.Message, report.Stamp(f.Opened))
		case !f.Closed() && since:
			rs.add("observed", "", "reason.open", f.Message, report.Stamp(f.Opened))
		case !f.Closed() && f.Kind == health.KindLeakDetected:
			// However old: a detector that reports liquid all the time cannot tell whether more came, or whether any of it went.
			rs.add("critical_open", "", "reason.leak_stands", f.Message, report.Stamp(f.Opened))
		case !f.Closed() && f.Severity >= health.SeverityWarning:
			rs.add("observed", "", "reason.open_before", f.Message, report.Stamp(f.Opened))
		case f.Closed() && !f.Cleared.Before(from) && f.Severity >= health.SeverityWarning:
			// It stood in the window, whenever it arose.
			rs.add("observed", "", "reason.was_open", f.Message, report.Stamp(f.Opened), report.Stamp(f.Cleared))
		}
	}
	momentary := 0
	for _, e := range h.events {
		if e.Transition == health.Momentary && e.FaultID == "" && e.Severity >= health.SeverityWarning && !e.At.Before(from) && e.Kind != health.KindLogCleared {
			momentary++
		}
	}
	if momentary > 0 {
		rs.add("observed", "", "reason.momentary", momentary)
	}
}

package verification

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"dewline/health"
	"dewline/report"
)

// history is what is known of one server in the windows of a report.
type history struct {
	target health.Target
	hours  []*health.HourFacts // from the beginning of the baseline, in order
	begun  []*health.HourFacts // the hour that is not over: what is there, but nothing to be counted
	events []health.Event      // from the beginning of the baseline
	log    []health.LogEntry
	faults []health.Fault // open at some moment since the beginning of the baseline

	known          bool // what was installed at the end of the baseline
	before, now    map[health.ComponentID]health.KnownComponent
	wasID, isID    health.Identity
	baseFrom, base time.Time // of the baseline
	until          time.Time
	frozen         map[time.Time]bool // hours in which the BMC repeated itself
	elsewhere      string             // names another source, if a part of this is from it
}

// read gathers a server's history. Hours are whole ones, until the last of them; what was said and found is until now.
func read(ctx context.Context, r report.Reader, t health.Target, from, to, until, now time.Time) (*history, error) {
	// Before it was watched there was nothing to be read: the baseline begins with the first visit, if there is none before.
	first, err := firstHour(ctx, r, t.ID, from, to)
	if err != nil {
		return nil, err
	}
	if first.After(from) {
		from = first
	}
	h := &history{target: t, baseFrom: from, base: to, until: until}
	if err := r.Hours(ctx, t.ID, from, now, func(f *health.HourFacts) error {
		if f.At.Before(until) {
			h.hours = append(h.hours, f)
		} else {
			h.begun = append(h.begun, f)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if h.events, err = r.Events(ctx, t.ID, from, now); err != nil {
		return nil, err
	}
	// What an earlier report said of the machine is nothing that happened to it.
	h.events = slices.DeleteFunc(h.events, func(e health.Event) bool { return e.Rule == health.RuleVerification })
	if h.log, err = r.LogEntries(ctx, t.ID, from, now); err != nil {
		return nil, err
	}
	if h.faults, err = r.Faults(ctx, t.ID, from, now); err != nil {
		return nil, err
	}
	before, wasID, known, err := r.Parts(ctx, t.ID, to.Add(-time.Hour))
	if err != nil {
		return nil, err
	}
	are, isID, _, err := r.Parts(ctx, t.ID, now)
	if err != nil {
		return nil, err
	}
	h.known, h.wasID, h.isID = known, wasID, isID
	varying := varyingOf(h.within(h.baseFrom, h.base))
	if len(varying) == 0 {
		varying = varyingOf(h.hours)
	}
	h.frozen = frozenHours(slices.Concat(h.hours, h.begun), varying) // what the hour that has begun repeats was frozen in the one before
	h.before, h.now = byID(before), byID(are)
	o, ok := r.(report.Other)
	if ok && slices.ContainsFunc(h.hours, func(f *health.HourFacts) bool { return f.Source.Elsewhere() }) {
		h.elsewhere, _ = o.Other()
	}
	for _, e := range h.events {
		if e.From != "" {
			h.elsewhere = e.From
		}
	}
	return h, nil
}

// firstHour is the first hour with visits if there are none before from; else from itself.
func firstHour(ctx context.Context, r report.Reader, id health.TargetID, from, to time.Time) (time.Time, error) {
	found := errors.New("found")
	first, windows := from, []span{{time.Time{}, from}, {from, to}}
	if e, ok := r.(interface {
		Earlier(context.Context, health.TargetID, time.Time) (bool, error)
	}); ok {
		if earlier, err := e.Earlier(ctx, id, from); earlier || err != nil {
			return from, err
		}
		windows = windows[1:]
	}
	for _, w := range windows {
		err := r.Hours(ctx, id, w.from, w.to, func(f *health.HourFacts) error {
			first = maxTime(f.At, from)
			return found
		})
		if err == nil {
			continue
		}
		if errors.Is(err, found) {
			return first, nil
		}
		return from, err
	}
	return from, nil
}

type span struct{ from, to time.Time }

func byID(cs []health.KnownComponent) map[health.ComponentID]health.KnownComponent {
	m := make(map[health.ComponentID]health.KnownComponent, len(cs))
	for _, c := range cs {
		m[c.ID] = c
	}
	return m
}

// part is what is known of a component, now or before.
func (h *history) part(id health.ComponentID) health.KnownComponent {
	if c, ok := h.now[id]; ok {
		return c
	}
	return h.before[id]
}

// within are the hours that begin from <= At < to.
func (h *history) within(from, to time.Time) []*health.HourFacts {
	if from.IsZero() || !from.Before(to) {
		return nil
	}
	at := func(t time.Time) int {
		i, _ := slices.BinarySearchFunc(h.hours, t, func(f *health.HourFacts, t time.Time) int { return f.At.Compare(t) })
		return i
	}
	return h.hours[at(from):at(to)]
}

// upHour is the beginning of the first whole hour at or after t.
func upHour(t time.Time) time.Time {
	h := t.UTC().Truncate(time.Hour)
	if h.Before(t) {
		h = h.Add(time.Hour)
	}
	return h
}

// evidenceKinds are what water does and BMCs tell, for finding when it began. Silence counts only close to the incident: it has many causes.
var evidenceKinds = map[health.Kind]time.Duration{
	health.KindLeakDetected: lookBack, health.KindCondensationRisk: lookBack, health.KindHumidityHigh: lookBack, health.KindDetectorFault: lookBack,
	health.KindInputLost: 2 * 24 * time.Hour, health.KindInputOutOfRange: 2 * 24 * time.Hour, health.KindIntrusion: 2 * 24 * time.Hour,
	health.KindCommLost: 2 * time.Hour,
}

// firstEvidence is the first event of the affected servers before the incident that may belong to it, and what it was.
func firstEvidence(ctx context.Context, r report.Reader, q *Request) (time.Time, string, error) {
	first, what := q.Incident, ""
	if !q.FirstEvidence.IsZero() && q.FirstEvidence.Before(first) {
		first = q.FirstEvidence
	}
	for _, id := range q.Targets {
		events, err := r.Events(ctx, id, q.Incident.Add(-lookBack), q.Incident)
		if err != nil {
			return first, what, err
		}
		for _, e := range events {
			back, ok := evidenceKinds[e.Kind]
			electrical := (e.Class == health.ClassVoltage || e.Class == health.ClassPSU || e.Class == health.ClassCurrent) && e.Severity == health.SeverityCritical
			if electrical && !ok {
				back, ok = 2*24*time.Hour, true
			}
			if !ok || e.Transition != health.Asserted && e.Transition != health.Escalated && e.Transition != health.Momentary || e.AtStart {
				continue
			}
			if e.At.Before(first) && !e.At.Before(q.Incident.Add(-back)) {
				first, what = e.At, string(id)+": "+e.Message
			}
		}
	}
	return first, what, nil
}

// explained tells whether an attestation explains an event or its fault.
func (q *Request) explained(t health.TargetID, ids ...string) bool {
	for _, a := range q.Attestations {
		if a.What != "explanation" || len(a.Event) < 6 || len(a.Targets) > 0 && !slices.Contains(a.Targets, t) {
			continue
		}
		for _, id := range ids {
			if id != "" && strings.HasPrefix(id, a.Event) {
				return true
			}
		}
	}
	return false
}

// attested tells whether someone attests something of a server, at or after a moment.
func (q *Request) attested(what string, t health.TargetID, since time.Time) bool {
	return slices.ContainsFunc(q.Attestations, func(a Attestation) bool {
		return a.What == what && !a.At.Before(since) && !a.At.After(q.GeneratedAt) && (len(a.Targets) == 0 || slices.Contains(a.Targets, t))
	})
}

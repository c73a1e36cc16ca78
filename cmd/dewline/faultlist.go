package main

import (
	"context"
	"time"

	"dewline/health"
	"dewline/store/sqlite"
)

// faultList is which faults are asked for.
type faultList struct {
	match        health.Matcher
	since, until time.Time
	open, closed bool
}

// read gives the faults as they stand, with what operators did about them.
func (l *faultList) read(ctx context.Context, db *sqlite.DB, now time.Time) ([]storedFaultDoc, error) {
	places, err := db.Places(ctx)
	if err != nil {
		return nil, err
	}
	if err := known(&l.match, places); err != nil {
		return nil, err
	}
	filter := sqlite.FaultFilter{Open: !l.closed, Since: l.since, Until: l.until}
	if len(l.match.Targets) == 1 {
		filter.Target = l.match.Targets[0]
	}
	faults, err := db.Faults(ctx, filter)
	if err != nil {
		return nil, err
	}
	actions, err := db.Actions(ctx)
	if err != nil {
		return nil, err
	}
	sortFaults(faults, l.closed)
	acks, silences := health.Acks(actions, now), health.Silences(actions)
	of := map[string][]health.Action{}
	for _, a := range actions {
		if a.Fault != "" {
			of[a.Fault] = append(of[a.Fault], a)
		}
	}
	var docs []storedFaultDoc
	for i := range faults {
		f := &faults[i]
		t := placeOf(places, f.Target)
		if f.Closed() && !l.closed || !f.Closed() && !l.open || !l.match.Place(t) || !l.match.Thing(f.Class, f.Kind, f.Severity) {
			continue
		}
		d := newStoredFaultDoc(f, t)
		if a, ok := acks[f.ID]; ok {
			d.Ack = &a
		}
		if !f.Closed() {
			d.Silence = health.SilencedBy(silences, now, t, f.Class, f.Kind, f.Severity)
		}
		d.Actions = append(d.Actions, of[f.ID]...)
		docs = append(docs, d)
	}
	return docs, nil
}

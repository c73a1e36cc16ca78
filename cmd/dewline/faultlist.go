package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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
			if !f.Closed() {
				if d.Worse, err = worseSince(ctx, db, f, a.At); err != nil {
					return nil, err
				}
			}
		}
		if !f.Closed() {
			d.Silence = health.SilencedBy(silences, now, t, f.Class, f.Kind, f.Severity)
		}
		d.Actions = append(d.Actions, of[f.ID]...)
		docs = append(docs, d)
	}
	return docs, nil
}

// worseSince tells whether a fault escalated after a time: who acknowledged it did not know that.
func worseSince(ctx context.Context, db *sqlite.DB, f *health.Fault, at time.Time) (bool, error) {
	if !f.Changed.After(at) {
		return false, nil
	}
	events, err := db.Events(ctx, at, time.Time{}, f.Target)
	return slices.ContainsFunc(events, func(e health.Event) bool {
		return e.FaultID == f.ID && e.Transition == health.Escalated && e.At.After(at)
	}), err
}

// followFaults tells the open faults, and then what becomes of each, until ctx ends.
func (p *program) followFaults(ctx context.Context, db *sqlite.DB, l *faultList, asJSON bool) error {
	type told struct {
		state string
		doc   storedFaultDoc
	}
	known := map[string]told{}
	tell := func(d storedFaultDoc) error {
		if asJSON {
			return p.faultDocs(d)
		}
		at := cmp.Or(d.Cleared, d.Changed, d.Opened)
		line := fmt.Sprintf("%-20s  %s  %-11s  %-8s  %s%s %s %s: %s", toSecond(at), d.ID[:min(shortID, len(d.ID))], d.State, d.Severity, d.Target, originMark(d.Origin),
			d.Component, d.Kind, d.Message)
		if notes := faultNotes(&d); len(notes) > 0 {
			line += " (" + strings.Join(notes, ", ") + ")"
		}
		_, err := fmt.Fprintln(p.stdout, cellText(line))
		return err
	}
	return follow(ctx, db.Dir(), func(ctx context.Context) error {
		docs, err := l.read(ctx, db, time.Now())
		if err != nil {
			return err
		}
		here := map[string]bool{}
		for _, d := range docs {
			here[d.ID] = true
			state := fmt.Sprint(d.State, d.Severity, faultNotes(&d))
			if known[d.ID].state == state {
				continue
			}
			known[d.ID] = told{state, d}
			if err := tell(d); err != nil {
				return err
			}
		}
		for id, before := range known {
			if here[id] {
				continue
			}
			delete(known, id)
			f, err := db.FaultNow(ctx, id)
			if err != nil {
				return err
			}
			if f == nil || !f.Closed() {
				continue // less grave than asked for, by now
			}
			t := health.Target{ID: f.Target, Site: before.doc.Site, Rack: before.doc.Rack, Origin: before.doc.Origin}
			if err := tell(newStoredFaultDoc(f, &t)); err != nil {
				return err
			}
		}
		return nil
	})
}

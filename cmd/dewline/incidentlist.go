package main

import (
	"context"
	"fmt"
	"slices"

	"dewline/health"
	"dewline/store/sqlite"
)

// incidentLister finds the incidents that are asked for.
type incidentLister struct {
	p      *program
	db     *sqlite.DB
	match  health.Matcher
	choose health.IncidentFilter
	json   bool
	told   map[string]string // by ID: what was told of it last
}

func (l *incidentLister) find(ctx context.Context) ([]health.Incident, error) {
	found, err := l.db.Incidents(ctx, l.choose)
	if err != nil || l.match.Empty() {
		return found, err
	}
	places, err := l.db.Places(ctx) // for the labels: an incident keeps the rest itself
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(x health.Incident) bool { return !l.chosen(&x, places) }), nil
}

func (l *incidentLister) chosen(x *health.Incident, places map[health.TargetID]health.Target) bool {
	m := &l.match
	if least := (health.Matcher{AtLeast: m.AtLeast}); !least.Thing("", "", x.Severity) {
		return false
	}
	here := slices.ContainsFunc(x.Targets, func(t health.IncidentTarget) bool {
		return m.Place(&health.Target{ID: t.Target, Site: t.Site, Rack: t.Rack, Labels: places[t.Target].Labels})
	})
	if !here || len(m.Classes)+len(m.Kinds) == 0 {
		return here
	}
	of := health.Matcher{Classes: m.Classes, Kinds: m.Kinds}
	return slices.ContainsFunc(x.Evidence, func(v health.IncidentEvidence) bool { return of.Thing(v.Class, v.Kind, v.Severity) })
}

// follow tells what there is, and then each change, until ctx ends.
func (l *incidentLister) follow(ctx context.Context) error {
	l.told = map[string]string{}
	first, ended := true, l.choose.Open || l.choose.Since.IsZero()
	l.choose.Open = false // that one is over is told, too
	return follow(ctx, l.db.Dir(), func(ctx context.Context) error {
		found, err := l.find(ctx)
		if err != nil {
			return err
		}
		for i := range found {
			x := &found[i]
			state := fmt.Sprint(x.State, " ", x.Cause, " ", x.Severity, " ", len(x.Targets)+x.More)
			if l.told[x.ID] == state {
				continue
			}
			l.told[x.ID] = state
			if first && ended && x.State != health.IncidentOpen {
				continue // of before
			}
			if l.json {
				err = l.p.incidentDocs(found[i : i+1])
			} else {
				_, err = fmt.Fprintln(l.p.stdout, cellText(fmt.Sprintf("%s  %s  %-6s  %-8s  %s%s: %s", toSecond(formatTime(x.Changed)), x.ID[:min(shortID, len(x.ID))],
					x.State, x.Severity, x.Cause, originMark(x.Origin), x.Summary)))
			}
			if err != nil {
				return err
			}
		}
		first = false
		return nil
	})
}

// failOnIncidents is exit code 4 if one of the incidents is open and at least so grave.
func failOnIncidents(found []health.Incident, least health.Severity) error {
	for i := range found {
		if x := &found[i]; least > 0 && x.State == health.IncidentOpen && (x.Severity >= least || x.Severity == health.SeverityUnknown) {
			return &exitError{code: exitFaults}
		}
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/store/sqlite"
)

// eventDoc is one document of `events -o json` (docs/SCHEMA.md): poll's fault object and more.
type eventDoc struct {
	Version int             `json:"version"`
	N       int64           `json:"n"`
	ID      string          `json:"id"`
	At      string          `json:"at"`
	Target  health.TargetID `json:"target"`
	Site    string          `json:"site,omitempty"`
	Rack    string          `json:"rack,omitempty"`
	faultDoc
	Class      health.Class  `json:"class"`
	Message    string        `json:"message"`
	Fault      string        `json:"fault,omitempty"`
	Opened     string        `json:"opened,omitempty"`
	Cleared    string        `json:"cleared,omitempty"`
	Source     string        `json:"source"`
	SourceTime string        `json:"source_time,omitempty"`
	AtStart    bool          `json:"at_start"`
	Subject    string        `json:"subject,omitempty"`
	Origin     health.Origin `json:"origin,omitempty"`
}

func newEventDoc(e *health.NumberedEvent, t *health.Target, opened, cleared time.Time) eventDoc {
	evidence := e.Evidence
	if evidence == nil {
		evidence = []string{}
	}
	return eventDoc{
		Version: 1, N: e.N, ID: e.ID, At: formatTime(e.At), Target: e.Target, Site: t.Site, Rack: t.Rack, Class: e.Class, Message: e.Message,
		faultDoc: faultDoc{e.Component, e.Kind, e.Severity.String(), e.Transition, e.Rule, evidence}, Fault: e.FaultID,
		Opened: formatTime(opened), Cleared: formatTime(cleared), Source: e.Source, SourceTime: formatTime(e.SourceTime), AtStart: e.AtStart,
		Subject: e.Subject, Origin: t.Origin,
	}
}

func (p *program) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "what changed: each event once, in the order in which it was recorded",
		Long: `Events lists what changed in the last 24 hours, or since --since, in the order in which it was recorded. With --follow it
goes on, from the store alone, whether or not a daemon runs: first what --since asks for, or nothing of before, then each event once
as it is recorded, until Ctrl-C.

--fail-on exits with 4 if one of the listed events began something, made it worse or happened, and is at least that grave; whether it
is over since does not matter (dewline faults tells what is open).`,
		Example: `  dewline events --since 7d --rack A1
  dewline events --follow --severity warning
  dewline events --since 1h --kind leak_detected --fail-on warning
  dewline events --follow -o json | jq .message`,
	}
	store, match, span := newStoreFlags(cmd), newMatchFlags(cmd), newSpanFlags(cmd, "")
	fail := failOnFlag(cmd, "one of these began or got worse and is")
	follow := followFlag(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		m, err := match.matcher()
		if err != nil {
			return err
		}
		now := time.Now()
		since, until, err := span.span(now)
		if err != nil {
			return err
		}
		if err := followAlone(*follow, *fail, until); err != nil {
			return err
		}
		least, err := failOn(*fail)
		if err != nil {
			return err
		}
		db, err := store.open(cmd.Context())
		if err != nil {
			return err
		}
		defer db.Close()
		places, err := db.Places(cmd.Context())
		if err != nil {
			return err
		}
		if err := known(&m, places); err != nil {
			return err
		}
		if since.IsZero() && !*follow {
			since = now.Add(-24 * time.Hour)
		}
		l := &eventLister{p: p, db: db, match: m, since: since, until: until, json: *output == "json", places: places, live: *follow}
		if err := l.run(cmd.Context()); err != nil {
			return err
		}
		if least > 0 && l.worst >= least {
			return &exitError{code: exitFaults}
		}
		return nil
	}
	return cmd
}

// eventLister prints events.
type eventLister struct {
	p            *program
	db           *sqlite.DB
	match        health.Matcher
	since, until time.Time
	json, live   bool
	places       map[health.TargetID]health.Target
	cursor       int64
	printed      int
	worst        health.Severity // of what began, got worse or happened
}

const eventPage = 500

func (l *eventLister) run(ctx context.Context) error {
	var err error
	if l.since.IsZero() {
		l.cursor, err = l.db.LastEvent(ctx)
	} else {
		l.cursor, err = l.db.EventBefore(ctx, l.since)
	}
	if err != nil {
		return err
	}
	if !l.live {
		return l.list(ctx)
	}
	if err := l.drain(ctx); err != nil {
		return err
	}
	return follow(ctx, l.db.Dir(), l.drain)
}

// chosen tells whether an event is asked for.
func (l *eventLister) chosen(ctx context.Context, e *health.Event) (*health.Target, bool, error) {
	if _, ok := l.places[e.Target]; !ok && l.live { // it came while we follow
		places, err := l.db.Places(ctx)
		if err != nil {
			return nil, false, err
		}
		l.places = places
	}
	t := placeOf(l.places, e.Target)
	ok := l.match.Place(t) && l.match.Thing(e.Class, e.Kind, e.Severity) && !e.At.Before(l.since) && (l.until.IsZero() || e.At.Before(l.until))
	return t, ok, nil
}

func (l *eventLister) list(ctx context.Context) error {
	table := l.p.newTable(eventHead...)
	err := l.pages(ctx, func(e *health.NumberedEvent, t *health.Target) error {
		if l.json {
			return l.doc(ctx, e, t)
		}
		table.row(eventCells(&e.Event, t)...)
		return nil
	})
	switch {
	case err != nil || l.json:
		return err
	case len(table.rows) == 0:
		_, err = fmt.Fprintf(l.p.stdout, "no such events since %s\n", toSecond(formatTime(l.since)))
		return err
	}
	return table.flush()
}

var eventHead = []string{"AT", "SEVERITY", "STATE", "TARGET", "COMPONENT", "KIND", "MESSAGE"}

func eventCells(e *health.Event, t *health.Target) []string {
	return []string{toSecond(formatTime(e.At)), e.Severity.String(), string(e.Transition), string(e.Target) + originMark(t.Origin), string(e.Component),
		string(e.Kind), e.Message}
}

// pages gives the chosen events behind the cursor, and moves it.
func (l *eventLister) pages(ctx context.Context, f func(*health.NumberedEvent, *health.Target) error) error {
	for {
		events, err := l.db.EventsFrom(ctx, l.cursor, eventPage)
		if err != nil || len(events) == 0 {
			return err
		}
		for i := range events {
			e := &events[i]
			t, ok, err := l.chosen(ctx, &e.Event)
			if err != nil {
				return err
			}
			if ok {
				if e.Transition != health.Cleared && e.Transition != health.Unmonitored && e.Transition != health.Deescalated {
					// What is not known to be harmless is not harmless.
					if l.worst = max(l.worst, e.Severity); e.Severity == health.SeverityUnknown {
						l.worst = health.SeverityCritical
					}
				}
				if err := f(e, t); err != nil {
					return err
				}
			}
			l.cursor = e.N
		}
	}
}

func (l *eventLister) doc(ctx context.Context, e *health.NumberedEvent, t *health.Target) error {
	var opened, cleared time.Time
	if e.FaultID != "" {
		f, err := l.db.FaultNow(ctx, e.FaultID)
		if err != nil {
			return err
		}
		if f != nil {
			opened, cleared = f.Opened, f.Cleared
		}
	}
	enc := json.NewEncoder(l.p.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(newEventDoc(e, t, opened, cleared))
}

// drain prints what is there.
func (l *eventLister) drain(ctx context.Context) error {
	return l.pages(ctx, func(e *health.NumberedEvent, t *health.Target) error {
		if l.json {
			return l.doc(ctx, e, t)
		}
		return l.line(&e.Event, t)
	})
}

// line prints one event; columns of their usual width, since what comes later is not known.
func (l *eventLister) line(e *health.Event, t *health.Target) error {
	cell := eventCells(e, t)
	for i := range cell {
		if cell[i] = cellText(cell[i]); cell[i] == "" {
			cell[i] = "-"
		}
	}
	if l.printed++; l.printed == 1 {
		if _, err := fmt.Fprintf(l.p.stdout, "%-20s  %-8s  %-11s  %s\n", "AT", "SEVERITY", "STATE", "TARGET COMPONENT KIND: MESSAGE"); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%-20s  %-8s  %-11s  %s %s %s: %s", cell[0], cell[1], cell[2], cell[3], cell[4], cell[5], cell[6])
	if width, _, ok := terminal(l.p.stdout); ok {
		text = cut(text, width)
	}
	_, err := fmt.Fprintln(l.p.stdout, text)
	return err
}

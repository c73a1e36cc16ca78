package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
)

// storedFaultDoc is one document of `faults -o json` (docs/SCHEMA.md): poll's fault object and more.
type storedFaultDoc struct {
	Version int             `json:"version"`
	ID      string          `json:"id"`
	Target  health.TargetID `json:"target"`
	Site    string          `json:"site,omitempty"`
	Rack    string          `json:"rack,omitempty"`
	faultDoc
	Class    health.Class    `json:"class"`
	Message  string          `json:"message"`
	Opened   string          `json:"opened"`
	Changed  string          `json:"changed,omitempty"`
	Cleared  string          `json:"cleared,omitempty"`
	AtStart  bool            `json:"at_start"`
	Subject  string          `json:"subject,omitempty"`
	Flapping bool            `json:"flapping,omitempty"`
	Origin   health.Origin   `json:"origin,omitempty"`
	Ack      *health.Ack     `json:"acknowledged,omitempty"`
	Worse    bool            `json:"escalated_since_acknowledged,omitempty"`
	Silence  *health.Silence `json:"silenced,omitempty"` // the one in force now
	Actions  []health.Action `json:"actions"`            // whoever acknowledged it or withdrew that, oldest first
}

func newStoredFaultDoc(f *health.Fault, t *health.Target) storedFaultDoc {
	evidence := f.Evidence
	if evidence == nil {
		evidence = []string{}
	}
	return storedFaultDoc{
		Version: 1, ID: f.ID, Target: f.Target, Site: t.Site, Rack: t.Rack, Class: f.Class, Message: f.Message,
		faultDoc: faultDoc{f.Component, f.Kind, f.Severity.String(), f.State, f.Rule, evidence},
		Opened:   formatTime(f.Opened), Changed: formatTime(f.Changed), Cleared: formatTime(f.Cleared), AtStart: f.AtStart, Subject: f.Subject,
		Flapping: f.Flap.Flapping, Origin: t.Origin, Actions: []health.Action{},
	}
}

func (p *program) faultsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "faults",
		Short: "what is broken: open faults, and with --closed those of before",
		Long: `Faults lists the open faults that the store knows, the worst first, also while the daemon runs. --closed lists those that
are over, newest last; both flags together list all. Times choose by when a fault opened. --follow tells the open faults, and then
each again when it opens, changes or is over, until Ctrl-C; what came and went between two looks at the store is in dewline events.

--fail-on exits with 4 if one of the listed faults is open and at least that grave. Faults that are acknowledged or silenced do
not count for it, and it says how many those were; with --count-muted they count too. One that got worse since it was acknowledged counts.`,
		Example: `  dewline faults
  dewline faults --rack A1 --severity critical -o json
  dewline faults --closed --since 7d --kind leak_detected
  dewline faults --follow --severity warning
  dewline faults --fail-on critical || page-someone`,
	}
	store, match, span := newStoreFlags(cmd), newMatchFlags(cmd), newSpanFlags(cmd, "")
	open := cmd.Flags().Bool("open", false, "open faults (what is listed without a flag)")
	closed := cmd.Flags().Bool("closed", false, "faults that are over: cleared, or no longer watched")
	fail := failOnFlag(cmd, "one of these is open that is")
	follow := followFlag(cmd)
	countMuted := cmd.Flags().Bool("count-muted", false, "with --fail-on, also count faults that are acknowledged or silenced")
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
		least, err := failOn(*fail)
		if err != nil {
			return err
		}
		if err := followAlone(*follow, *fail, until); err != nil {
			return err
		}
		if *follow && (*closed || *open) {
			return usageError("--follow tells open faults, and when they are over: leave out --open and --closed")
		}
		if *countMuted && least == 0 {
			return usageError("--count-muted says what --fail-on counts: give that too")
		}
		l := faultList{match: m, since: since, until: until, open: *open || !*closed, closed: *closed}
		db, err := store.open(cmd.Context())
		if err != nil {
			return err
		}
		defer db.Close()
		if *follow {
			return p.followFaults(cmd.Context(), db, &l, *output == "json")
		}
		docs, err := l.read(cmd.Context(), db, now)
		if err != nil {
			return err
		}
		if *output == "json" {
			if err := p.faultDocs(docs...); err != nil {
				return err
			}
		} else if err := p.printFaults(docs, &l); err != nil {
			return err
		}
		return p.failOnFaults(docs, least, *countMuted)
	}
	return cmd
}

func (p *program) faultDocs(docs ...storedFaultDoc) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	for _, d := range docs {
		if err := enc.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

// failOnFaults is exit code 4 if one of the faults is at least so grave, and says what it left out.
func (p *program) failOnFaults(docs []storedFaultDoc, least health.Severity, countMuted bool) error {
	if least == 0 {
		return nil
	}
	found, muted := 0, 0
	for _, d := range docs {
		var s health.Severity
		if err := s.UnmarshalText([]byte(d.Severity)); err != nil {
			return err
		}
		// What is not known to be harmless is not harmless.
		if d.Cleared != "" || s < least && s != health.SeverityUnknown {
			continue
		}
		if (d.Ack != nil && !d.Worse || d.Silence != nil) && !countMuted {
			muted++
			continue
		}
		found++
	}
	if muted > 0 {
		fmt.Fprintf(p.stderr, "%s acknowledged or silenced: not counted for --fail-on (--count-muted counts them)\n", count(muted, "fault"))
	}
	if found > 0 {
		return &exitError{code: exitFaults}
	}
	return nil
}

func (p *program) printFaults(docs []storedFaultDoc, l *faultList) error {
	if len(docs) == 0 {
		what := "faults"
		switch {
		case l.open && !l.closed:
			what = "open faults"
		case l.closed && !l.open:
			what = "closed faults"
		}
		if !l.match.Empty() || !l.since.IsZero() || !l.until.IsZero() {
			what += " of these"
		}
		_, err := fmt.Fprintf(p.stdout, "no %s in the store (`dewline status` shows how each BMC answers: what is not read is not known)\n", what)
		return err
	}
	head := []string{"ID", "SEVERITY", "TARGET", "RACK", "COMPONENT", "KIND", "OPENED"}
	if l.closed {
		head = append(head, "CLOSED")
	}
	t := p.newTable(append(head, "NOTE", "MESSAGE")...)
	muted := 0
	for _, d := range docs {
		row := []string{d.ID[:min(shortID, len(d.ID))], d.Severity, string(d.Target) + originMark(d.Origin), d.Rack, string(d.Component), string(d.Kind),
			toSecond(d.Opened)}
		if l.closed {
			row = append(row, toSecond(d.Cleared))
		}
		notes := faultNotes(&d)
		if d.Ack != nil || d.Silence != nil {
			muted++
		}
		t.row(append(row, strings.Join(notes, ", "), d.Message)...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if muted == 0 {
		return nil
	}
	var b strings.Builder
	for _, d := range docs {
		id := d.ID[:min(shortID, len(d.ID))]
		if a := d.Ack; a != nil {
			fmt.Fprintf(&b, "%s acknowledged by %s at %s%s: %s\n", id, a.By, toSecond(formatTime(a.At)), untilText(a.Until), a.Why)
		}
		if s := d.Silence; s != nil {
			fmt.Fprintf(&b, "%s silenced by %s until %s: %s (silence %s)\n", id, s.By, toSecond(formatTime(s.End())), s.Why, s.ID[:min(shortID, len(s.ID))])
		}
	}
	_, err := fmt.Fprintf(p.stdout, "\n%s", printable(b.String()))
	return err
}

func untilText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + toSecond(formatTime(t))
}

func faultNotes(d *storedFaultDoc) []string {
	var notes []string
	for _, n := range []struct {
		is   bool
		word string
	}{
		{d.Ack != nil, "acknowledged"}, {d.Worse, "worse since"}, {d.Silence != nil, "silenced"}, {d.Flapping, "flapping"}, {d.AtStart, "found at start"},
		{d.State == health.Unmonitored, "no longer watched"},
	} {
		if n.is {
			notes = append(notes, n.word)
		}
	}
	return notes
}

// sortFaults puts the worst first, and what is closed in the order in which it opened.
func sortFaults(fs []health.Fault, closed bool) {
	if closed {
		return // the store has them in that order
	}
	slices.SortStableFunc(fs, func(a, b health.Fault) int { return worstFirst(&a, &b) })
}

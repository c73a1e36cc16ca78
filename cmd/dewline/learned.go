package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/store/sqlite"
)

// learners put what a driver keeps of a BMC into words.
var learners = map[string]func(json.RawMessage) (health.Learned, bool){health.DriverRedfish: redfish.Learned, health.DriverIPMI: ipmi.Learned}

// learnedDoc is `learned` of `status --target -o json` (docs/SCHEMA.md).
type learnedDoc struct {
	Driver   string    `json:"driver"`
	Firmware string    `json:"firmware,omitempty"`
	Facts    []factDoc `json:"facts"`
	Slow     []slowDoc `json:"slow"`
}

type factDoc struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type slowDoc struct {
	Part    string  `json:"part"`
	Seconds float64 `json:"seconds_each"`
	Since   string  `json:"since"`
	Members int     `json:"members"`
	Read    int     `json:"read"`
	Oldest  string  `json:"oldest_read,omitempty"`
}

func newLearnedDoc(ctx context.Context, db *sqlite.DB, id health.TargetID, driver string) (*learnedDoc, error) {
	known, err := db.Recall(ctx, id)
	if err != nil {
		return nil, err
	}
	d := &learnedDoc{Driver: cmp.Or(known.Driver, driver), Facts: []factDoc{}, Slow: []slowDoc{}}
	learner := learners[d.Driver]
	if learner == nil {
		return d, nil
	}
	l, ok := learner(known.Memory)
	if !ok {
		return d, nil
	}
	d.Firmware = cmp.Or(l.Firmware, known.Identity.BMCFirmware)
	for _, f := range l.Facts {
		d.Facts = append(d.Facts, factDoc(f))
	}
	if f, ok := clockFact(known.Clock); ok {
		d.Facts = append(d.Facts, f)
	}
	for _, s := range l.Slow {
		d.Slow = append(d.Slow, slowDoc{s.Part, s.Seconds, formatTime(s.Since), s.Members, s.Read, formatTime(s.Oldest)})
	}
	return d, nil
}

// clockOff is how far a BMC's clock may be off without a word.
const clockOff = 2 * time.Minute

// clockFact tells of a BMC's clock that is wrong: the entries of its logs bear its time.
func clockFact(c health.BMCClock) (factDoc, bool) {
	off := c.Skew.Abs().Round(time.Second)
	if c.At.IsZero() || off < clockOff {
		return factDoc{}, false
	}
	way := "ahead of"
	if c.Skew < 0 {
		way = "behind"
	}
	return factDoc{"clock", fmt.Sprintf("%s %s ours, noted at %s: its log entries bear that time; set it, or give the BMC an NTP server", off, way, formatTime(c.At))}, true
}

// printLearned prints it below the table.
func (p *program) printLearned(d statusDoc) error {
	l := d.Learned
	if l == nil {
		return nil
	}
	fmt.Fprintf(p.stdout, "\n%s, firmware %s, over %s\n", printable(string(d.Target)), printable(cmp.Or(l.Firmware, "not known")), cmp.Or(l.Driver, "no protocol yet"))
	if d.NextTry != "" {
		fmt.Fprintf(p.stdout, "not tried again before %s\n", toSecond(d.NextTry))
	}
	if len(l.Facts) == 0 {
		fmt.Fprintln(p.stdout, "nothing was learned of this BMC yet")
	}
	t := p.newTable("LEARNED", "")
	for _, f := range l.Facts {
		t.row(f.Name, f.Value)
	}
	if len(l.Facts) > 0 {
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(l.Slow) == 0 {
		return nil
	}
	fmt.Fprintln(p.stdout, "\nread in turn over several visits, since they are slow:")
	t = p.newTable("PART", "EACH", "SINCE", "READ", "OLDEST")
	for _, s := range l.Slow {
		t.row(s.Part, fmt.Sprintf("%g s", s.Seconds), toSecond(s.Since), fmt.Sprintf("%d of %d", s.Read, s.Members), cmp.Or(toSecond(s.Oldest), "not yet"))
	}
	return t.flush()
}

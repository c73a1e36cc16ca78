package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dewline/health"
)

// printPoll prints one document for people.
func (p *program) printPoll(d *pollDoc, separate bool) error {
	if separate {
		fmt.Fprintln(p.stdout)
	}
	if d.Error != nil {
		_, err := fmt.Fprintf(p.stdout, "%s  cannot be read (%s): %s\n", cellText(string(d.Target)), d.Error.Reason, printable(d.Error.Message))
		if len(d.Gaps) > 1 && err == nil {
			return p.printGaps(d.Gaps)
		}
		return err
	}
	id, name := d.Identity, cellText(string(d.Target))
	if d.Origin != health.OriginReal {
		name += " (" + cellText(string(d.Origin)) + ")"
	}
	fmt.Fprintf(p.stdout, "%s  %s, serial %s, host %s, BMC firmware %s\n", name,
		cmp.Or(cellText(id.Manufacturer+" "+id.Model), "maker and model not told"), cmp.Or(cellText(id.Serial), "not told"), d.HostPower,
		cmp.Or(cellText(id.BMCFirmware), "not told"))
	fmt.Fprintf(p.stdout, "read over %s at %s in %.2f s: %s, %s, %s\n\n", d.Driver, d.At, d.TookSeconds,
		count(len(d.Components), "part"), count(len(d.Readings), "reading"), costText(d.Cost))

	readings := map[health.ComponentID][]string{}
	for _, r := range d.Readings {
		readings[r.Component] = append(readings[r.Component], readingText(r))
	}
	t := p.newTable("STATE", "CLASS", "NAME", "READING", "STATUS")
	components := slices.Clone(d.Components)
	slices.SortStableFunc(components, func(a, b pollComponent) int { return cmp.Compare(classOrder(a.Class), classOrder(b.Class)) })
	for _, c := range components {
		state := c.State
		if c.Presence == "absent" {
			state = "absent"
		}
		t.row(state, string(c.Class), cmp.Or(c.Name, string(c.ID)), strings.Join(readings[c.ID], ", "), c.Status)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if len(d.Faults) == 0 {
		fmt.Fprintf(p.stdout, "\nno fault in this reading%s%s\n", unwellSay(d.Components), gapsSay(d.Gaps))
	} else {
		fmt.Fprintln(p.stdout)
		t = p.newTable("FAULT", "SEVERITY", "COMPONENT", "EVIDENCE")
		for _, f := range d.Faults {
			t.row(string(f.Kind), f.Severity, string(f.Component), strings.Join(f.Evidence, "; "))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(d.Gaps) > 0 {
		fmt.Fprintln(p.stdout)
		if err := p.printGaps(d.Gaps); err != nil {
			return err
		}
	}
	return p.printLogs(d)
}

func (p *program) printGaps(gaps []pollGap) error {
	t := p.newTable("NOT READ", "REASON", "ERROR")
	for _, g := range gaps {
		t.row(g.Part, string(g.Reason), g.Error)
	}
	return t.flush()
}

// newestShown is how many log entries the table shows; -o json has all that were read.
const newestShown = 10

func (p *program) printLogs(d *pollDoc) error {
	if len(d.Logs) == 0 {
		return nil
	}
	fmt.Fprintln(p.stdout)
	for _, l := range d.Logs {
		if l.Skipped != "" {
			fmt.Fprintf(p.stdout, "log %s: not read (%s)\n", cellText(l.ID), cellText(l.Skipped))
			continue
		}
		of := "read"
		if l.Total != nil {
			of = fmt.Sprintf("of %d read", *l.Total)
		}
		if l.More {
			of += ", more are there (--log all)"
		}
		fmt.Fprintf(p.stdout, "log %s: %s %s\n", cellText(l.ID), fmt.Sprintf("%d entries", l.Read), of)
	}
	entries := slices.Clone(d.Log)
	slices.SortStableFunc(entries, func(a, b pollEntry) int { return cmp.Compare(b.Created, a.Created) })
	if len(entries) > newestShown {
		entries = entries[:newestShown]
	}
	if len(entries) == 0 {
		return nil
	}
	t := p.newTable("SEVERITY", "CREATED", "LOG", "MESSAGE")
	for _, e := range entries {
		t.row(e.Severity, e.Created, e.Source, cmp.Or(e.Message, e.MessageID))
	}
	return t.flush()
}

// unwellSay tells of parts that are not well and yet no fault: a chassis or system that only repeats what a part of it
// says, or a service's word that no rule covers. "No fault" alone would read as if all were well.
func unwellSay(components []pollComponent) string {
	n := 0
	for _, c := range components {
		if c.Presence != "absent" && (c.State == "warning" || c.State == "critical") {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", but %s in warning or critical state", count(n, "part"))
}

func gapsSay(gaps []pollGap) string {
	if len(gaps) == 0 {
		return ""
	}
	return fmt.Sprintf(", but %s could not be read: unknown is not ok", count(len(gaps), "part"))
}

func readingText(r pollReading) string {
	unit := string(r.Unit)
	if r.Unit == health.Number {
		unit = strings.ReplaceAll(string(r.Quantity), "_", " ")
	}
	text := number(r.Value) + " " + unit
	switch r.Quantity {
	case health.Speed, health.Duty, health.Temperature, health.Power, health.Voltage, health.Current, health.Energy, health.RelativeHumidity, health.Flow:
		return text // the unit, and the part it is of, say what it is
	}
	if r.Unit == health.Number {
		return text
	}
	return strings.ReplaceAll(string(r.Quantity), "_", " ") + " " + text
}

func costText(c health.Cost) string {
	if c.Exchanges > 0 && c.Requests == 0 {
		return count(c.Exchanges, "exchange")
	}
	return count(c.Requests, "request") + " on " + count(c.Connections, "connection")
}

// classOrder puts what an operator looks for after water first.
func classOrder(c health.Class) int {
	first := []health.Class{health.ClassLeakDetector, health.ClassHumidity, health.ClassFan, health.ClassPSU, health.ClassPowerUnit, health.ClassDrive}
	if i := slices.Index(first, c); i >= 0 {
		return i
	}
	return len(first) + slices.Index(health.Classes, c)
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/term"

	"dewline/health"
	"dewline/report/verification"
)

// attested is what people can attest, in the order in which they are asked.
var attested = []string{"drying", "inspection", "cleaning", "power_on", "explanation"}

// soundAttestation says what is missing of an attestation.
func soundAttestation(a *verification.Attestation) error {
	switch {
	case !slices.Contains(attested, a.What):
		return fmt.Errorf("what = %q; it is one of %s", a.What, strings.Join(attested, ", "))
	case strings.TrimSpace(a.By) == "":
		return errors.New("it says not by whom: by = \"name, role\"")
	case a.At.IsZero():
		return errors.New("it says not when: at = 2026-11-25T09:00:00+08:00")
	case a.What == "explanation" && len(a.Event) < 6:
		return errors.New("it explains nothing: event = the ID of an event or fault, or its first 6 characters at least")
	case a.What != "explanation" && a.Event != "":
		return errors.New("event belongs to an explanation")
	}
	return nil
}

// askAttestations asks on the terminal for what people attest.
func (p *program) askAttestations(q *verification.Request) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return usageError("--ask asks on a terminal, and standard input is none: put attestations into a file and give it as --attestations")
	}
	return (&interview{in: bufio.NewReader(os.Stdin), out: p.stderr}).ask(q)
}

// interview asks questions, line by line.
type interview struct {
	in  *bufio.Reader
	out io.Writer
}

// questions of each thing that can be attested.
var questions = map[string]string{
	"drying": "Were the servers dried?", "inspection": "Were they opened and inspected?", "cleaning": "Were they cleaned?",
	"power_on": "Who decided to power them on?", "explanation": "Is there an event that someone explains, such as a part that was pulled on purpose?",
}

const (
	maxAnswer = 2000 // bytes
	maxTries  = 3
)

// line asks for one answer, until sound takes it.
func (v *interview) line(prompt string, sound func(string) error) (string, error) {
	for range maxTries {
		fmt.Fprint(v.out, prompt, " ")
		s, err := v.in.ReadString('\n')
		if err != nil {
			return "", usageError("the answers end before the last question: no report was made")
		}
		s = strings.TrimSpace(s)
		switch {
		case len(s) > maxAnswer:
			err = fmt.Errorf("at most %d bytes", maxAnswer)
		case printable(s) != s:
			err = errors.New("it holds characters that cannot be printed")
		default:
			err = sound(s)
		}
		if err == nil {
			return s, nil
		}
		fmt.Fprintf(v.out, "  %s\n", printable(err.Error()))
	}
	return "", usageError("%d answers that cannot be used: no report was made", maxTries)
}

func anything(string) error { return nil }

// ask adds to a request what is answered, if it is confirmed in the end.
func (v *interview) ask(q *verification.Request) error {
	fmt.Fprintln(v.out, "What no BMC can see stands in the report as the word of the person named. Enter alone: nobody says so.")
	var got []verification.Attestation
	for _, what := range attested {
		for {
			a, err := v.one(what, q.Targets)
			if err != nil {
				return err
			}
			if a == nil {
				break
			}
			got = append(got, *a)
			if what != "explanation" { // of those there may be many
				break
			}
		}
	}
	if len(got) == 0 {
		fmt.Fprintln(v.out, "Nobody attests anything.")
		return nil
	}
	fmt.Fprintln(v.out)
	for _, a := range got {
		servers := "all servers"
		if len(a.Targets) > 0 {
			servers = strings.Join(texts(a.Targets), ", ")
		}
		fmt.Fprintf(v.out, "  %-11s  %s  %s: %s  (%s) %s\n", a.What, a.At.Format(time.RFC3339), a.By, a.Text, servers, a.Event)
	}
	yes, err := v.line("Put this into the report? [y/N]", anything)
	if err != nil {
		return err
	}
	if yes = strings.ToLower(yes); yes != "y" && yes != "yes" {
		return usageError("it was not confirmed: no report was made")
	}
	q.Attestations = append(q.Attestations, got...)
	return nil
}

// one asks for one attestation; nil: nobody makes it.
func (v *interview) one(what string, targets []health.TargetID) (*verification.Attestation, error) {
	a := &verification.Attestation{What: what}
	var err error
	fmt.Fprintf(v.out, "\n%s\n", questions[what])
	if what == "explanation" {
		if a.Event, err = v.line("  ID of the event or fault, its first 6 characters at least [none]:", func(s string) error {
			if s != "" && len(s) < 6 {
				return errors.New("6 characters at least: see `dewline events`")
			}
			return nil
		}); err != nil || a.Event == "" {
			return nil, err
		}
	}
	if a.By, err = v.line("  who says so, name and role [nobody]:", func(s string) error {
		if s == "" && what == "explanation" {
			return errors.New("someone has to say so")
		}
		return nil
	}); err != nil || a.By == "" {
		return nil, err
	}
	if _, err := v.line("  when, with its zone (2026-11-25T09:00+08:00):", func(s string) (err error) {
		a.At, err = timeOf("at", s)
		if err != nil || a.At.IsZero() {
			return errors.New("a time with its zone, such as 2026-11-25T09:00+08:00")
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if a.Text, err = v.line("  what was done:", anything); err != nil {
		return nil, err
	}
	_, err = v.line("  of which servers, with commas between [all]:", func(s string) error {
		a.Targets = nil
		for name := range strings.SplitSeq(s, ",") {
			id := health.TargetID(strings.TrimSpace(name))
			switch {
			case id == "":
			case !slices.Contains(targets, id):
				return fmt.Errorf("%q is no server of this report: they are %s", id, strings.Join(texts(targets), ", "))
			default:
				a.Targets = append(a.Targets, id)
			}
		}
		return nil
	})
	return a, err
}

// readAttestations reads what people attest, strictly.
func readAttestations(path string) ([]verification.Attestation, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("read attestations: %w", err)}
	}
	var file struct {
		Attestation []attestationEntry `toml:"attestation"`
	}
	d := toml.NewDecoder(strings.NewReader(string(b))).DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(strict.Errors) > 0 {
			line, column := strict.Errors[0].Position()
			return nil, usageError("%s:%d:%d: unknown key %q", path, line, column, strings.Join(strict.Errors[0].Key(), "."))
		}
		if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, column := bad.Position()
			return nil, usageError("%s:%d:%d: %v", path, line, column, bad)
		}
		return nil, usageError("%s: %w", path, err)
	}
	out := make([]verification.Attestation, len(file.Attestation))
	for i, e := range file.Attestation {
		out[i] = verification.Attestation{What: e.What, By: e.By, Text: e.Text, Targets: append([]health.TargetID{}, e.Targets...), Event: e.Event}
		var err error
		if out[i].At, err = e.at(); err == nil {
			err = soundAttestation(&out[i])
		}
		if err != nil {
			return nil, usageError("%s: attestation %d: %w", path, i+1, err)
		}
	}
	return out, nil
}

// attestationEntry is an attestation as it stands in a file. A time without a zone would be another one on each machine that reads it.
type attestationEntry struct {
	What    string            `toml:"what"`
	By      string            `toml:"by"`
	At      any               `toml:"at"`
	Text    string            `toml:"text"`
	Targets []health.TargetID `toml:"targets"`
	Event   string            `toml:"event"`
}

func (e *attestationEntry) at() (time.Time, error) {
	switch at := e.At.(type) {
	case nil:
		return time.Time{}, nil // said by who judges the rest
	case time.Time:
		return at, nil
	case string:
		if t, err := timeOf("at", at); err == nil && !t.IsZero() {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("at = %v is no time with a zone: write it as at = 2026-11-25T09:00:00+08:00", e.At)
}

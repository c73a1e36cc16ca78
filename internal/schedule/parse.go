package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones must not depend on what the machine has installed

	"github.com/robfig/cron/v3"
)

const (
	minEvery  = time.Second
	maxEvery  = 10 * 366 * 24 * time.Hour
	maxText   = 256
	starBit   = 1 << 63 // robfig/cron marks a field written as * or ? with it
	fieldBits = starBit - 1
)

// Spec is a parsed cron spec. It is immutable; two specs with the same String have the same due times. The zero Spec is
// never due.
type Spec struct {
	text  string
	every time.Duration // of @every; 0 for a spec with fields
	cron  *cron.SpecSchedule
	loc   *time.Location
}

var parser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Parse reads a spec. Its zone is the one of its CRON_TZ= or TZ= prefix, else loc, else UTC. The zone must be one that
// every machine knows by name: "Local" is refused.
func Parse(s string, loc *time.Location) (Spec, error) {
	spec, err := parse(s, loc)
	if err != nil {
		if len(s) > maxText {
			s = s[:maxText] + "…"
		}
		return Spec{}, fmt.Errorf("parse schedule %q: %w", s, err)
	}
	return spec, nil
}

func parse(s string, loc *time.Location) (Spec, error) {
	if len(s) > maxText {
		return Spec{}, fmt.Errorf("longer than %d bytes", maxText)
	}
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return Spec{}, errors.New(`empty; for example "@every 60s" or "0 3 * * *"`)
	}
	if loc == nil {
		loc = time.UTC
	}
	zone := loc.String()
	// robfig/cron v3.0.1 slices out of range on a zone that no space follows, so it never sees the prefix.
	if z, found := cutZone(fields[0]); found {
		if z == "" {
			return Spec{}, errors.New("no zone after TZ=")
		}
		if len(fields) == 1 {
			return Spec{}, errors.New("nothing follows the zone")
		}
		zone, fields = z, fields[1:]
	}
	if zone == "Local" {
		return Spec{}, errors.New("zone Local differs from machine to machine; name it, for example Asia/Jakarta")
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return Spec{}, fmt.Errorf("load zone: %w", err)
	}
	text := strings.Join(fields, " ")
	if fields[0] == "@every" {
		return parseEvery(text, fields[1:])
	}
	c, err := parseFields(text)
	if err != nil {
		if d, derr := time.ParseDuration(text); derr == nil && d > 0 {
			err = fmt.Errorf("a duration; did you mean %q?", "@every "+text)
		}
		return Spec{}, err
	}
	if err := fires(c); err != nil {
		return Spec{}, err
	}
	if loc != time.UTC && loc.String() != "UTC" {
		text = "CRON_TZ=" + loc.String() + " " + text
	}
	return Spec{text: text, cron: c, loc: loc}, nil
}

func cutZone(field string) (zone string, found bool) {
	if z, ok := strings.CutPrefix(field, "CRON_TZ="); ok {
		return z, true
	}
	return strings.CutPrefix(field, "TZ=")
}

// parseEvery does what robfig/cron does not: it refuses distances of zero and less (which become one second there) and
// keeps fractions of a second.
func parseEvery(text string, args []string) (Spec, error) {
	if len(args) != 1 {
		return Spec{}, errors.New(`@every takes one duration, for example "@every 60s"`)
	}
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return Spec{}, fmt.Errorf(`read duration of @every: %w (units are h, m, s: a day is "24h")`, err)
	}
	if d < minEvery {
		return Spec{}, fmt.Errorf("@every %s is less than %s", d, minEvery)
	}
	if d > maxEvery {
		return Spec{}, fmt.Errorf("@every %s is more than ten years", d)
	}
	return Spec{text: "@every " + d.String(), every: d, loc: time.UTC}, nil
}

func parseFields(text string) (c *cron.SpecSchedule, err error) {
	// The parser is unmaintained and has panicked on bad input before (robfig/cron issues 470 and 554).
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, fmt.Errorf("no cron spec: %v", r)
		}
	}()
	sched, err := parser.Parse(text)
	if err != nil {
		return nil, err
	}
	c, ok := sched.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cron spec of unexpected type %T", sched)
	}
	u := *c
	u.Location = time.UTC // the zone is ours to apply
	return &u, nil
}

// fires refuses a spec that is never due. An empty field (",") matches nothing and keeps robfig/cron's search busy for
// seconds; a day that no named month has is searched for five years and not found.
func fires(c *cron.SpecSchedule) error {
	for _, f := range []struct {
		name string
		bits uint64
	}{{"second", c.Second}, {"minute", c.Minute}, {"hour", c.Hour}, {"day of month", c.Dom}, {"month", c.Month}, {"day of week", c.Dow}} {
		if f.bits&fieldBits == 0 {
			return fmt.Errorf("the %s names no time", f.name)
		}
	}
	if c.Dow&starBit == 0 && c.Dom&starBit == 0 {
		return nil // either day will do: a weekday comes in every month
	}
	days := [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for m, last := range days {
		if c.Month&(1<<(m+1)) == 0 {
			continue
		}
		for d := 1; d <= last; d++ {
			if c.Dom&(1<<d) != 0 {
				return nil
			}
		}
	}
	return errors.New("never due: none of its months has any of its days")
}

// String is the spec in one canonical form that Parse reads back.
func (s Spec) String() string { return s.text }

// IsZero says whether the spec is the zero Spec, which is never due.
func (s Spec) IsZero() bool { return s.text == "" }

// MarshalText writes String.
func (s Spec) MarshalText() ([]byte, error) { return []byte(s.text), nil }

// UnmarshalText is Parse in UTC; empty text gives the zero Spec.
func (s *Spec) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*s = Spec{}
		return nil
	}
	p, err := Parse(string(b), time.UTC)
	if err != nil {
		return err
	}
	*s = p
	return nil
}

package notify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"dewline/health"
)

// mostLines bounds the events that a text lists; the rest are counted.
const mostLines = 50

// Text is a message for people. What a BMC says is made harmless: control characters become visible.
func Text(m *health.Message) string {
	var b strings.Builder
	if m.Test {
		b.WriteString("TEST: this is a test of dewline's notifications. Nothing happened.\n\n")
	}
	if m.Summary {
		fmt.Fprintf(&b, "Summary of %d events of several groups, of the time in which messages could not be sent.\n\n", len(m.Events))
	}
	if m.Incident != "" {
		fmt.Fprintf(&b, "Incident %s: `dewline incidents show %.8s` tells how it spread.\n\n", m.Incident, m.Incident)
	}
	for i := range m.Events {
		if i == mostLines {
			break
		}
		e := &m.Events[i]
		mark := ""
		if e.Origin != health.OriginReal {
			mark = " [" + string(e.Origin) + "]"
		}
		fmt.Fprintf(&b, "%s  %-8s %-11s %s %s %s: %s%s\n", e.At.UTC().Format(time.RFC3339), e.Severity, e.State, e.Target, e.Component, e.Kind,
			oneLine(e.Message), mark)
	}
	if rest := m.Events[min(mostLines, len(m.Events)):]; len(rest) > 0 {
		fmt.Fprintf(&b, "\nand %d more:\n", len(rest))
		counts := map[string]int{}
		for i := range rest {
			counts[fmt.Sprintf("%s %s", rest[i].Kind, rest[i].State)]++
		}
		var kinds []string
		for k := range counts {
			kinds = append(kinds, k)
		}
		slices.Sort(kinds)
		for _, k := range kinds {
			fmt.Fprintf(&b, "  %d × %s\n", counts[k], k)
		}
		b.WriteString("`dewline events` lists them.\n")
	}
	if m.HeldBack > 0 {
		fmt.Fprintf(&b, "\n%d of these events were held back by the rate limit.\n", m.HeldBack)
	}
	if m.Muted > 0 {
		fmt.Fprintf(&b, "\n%d further events were silenced and were over when the silence was: `dewline events` lists them.\n", m.Muted)
	}
	if c := m.Chain; c != nil {
		fmt.Fprintf(&b, "\nThe record held %d events then; the head of their hash chain was %s.\n", c.Length, c.Head)
	}
	return b.String()
}

// Subject is a message in one line.
func Subject(m *health.Message) string {
	what := "dewline"
	if m.Test {
		what = "TEST dewline"
	}
	where := m.Group
	switch {
	case m.Summary:
		where = "several groups"
	case m.Incident != "":
		where = fmt.Sprintf("incident %.8s", m.Incident)
	}
	if len(m.Events) == 1 {
		e := &m.Events[0]
		return oneLine(fmt.Sprintf("[%s] %s %s: %s %s", what, e.Severity, e.State, e.Target, e.Kind))
	}
	began, over := 0, 0
	for i := range m.Events {
		if ends(m.Events[i].State) {
			over++
		} else {
			began++
		}
	}
	return oneLine(fmt.Sprintf("[%s] %s: %d new or changed, %d over, %s", what, m.Severity, began, over, where))
}

// oneLine makes text of a BMC harmless in one line: control characters, line breaks above all, become visible.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return '�'
	}, s)
}

// manyLines is oneLine that keeps line breaks and tabs.
func manyLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return '�'
	}, s)
}

// maxText bounds what a template makes.
const maxText = 1 << 20

// limited is a buffer that refuses more than maxText.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxText {
		return 0, fmt.Errorf("the text is longer than %d bytes", maxText)
	}
	return l.Buffer.Write(p)
}

// render is what a template makes of a message; nil: the default.
func render(t *template.Template, m *health.Message, def func(*health.Message) string) string {
	if t == nil {
		return def(m)
	}
	var b limited
	if err := t.Execute(&b, m); err != nil {
		// Better a plain message than none: the configuration was checked with a message of its own, which may have differed.
		return def(m) + "\n(the template of the configuration failed: " + err.Error() + ")\n"
	}
	return b.String()
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"dewline/health"
)

// followed runs a command that follows until stop is called, which gives its exit code.
func (w *ward) followed(args ...string) (out *lockedBuffer, stop func() int) {
	ctx, cancel := context.WithCancel(w.t.Context())
	out = &lockedBuffer{}
	p := &program{stdout: out, stderr: os.Stderr, getenv: func(string) string { return "" }}
	done := make(chan int, 1)
	go func() { done <- p.main(ctx, append(args, "--data-dir", w.dir)) }()
	return out, func() int { cancel(); return <-done }
}

func TestFaultsAreFollowedFromTheirBeginningToTheirEnd(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	old := w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted)
	out, stop := w.followed("faults", "--follow", "--rack", "A1", "--severity", "critical", "-o", "json")
	table, stopTable := w.followed("faults", "--follow")
	docs := func() (all []string) {
		for line := range strings.Lines(out.String()) {
			var d storedFaultDoc
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatal(err)
			}
			all = append(all, d.ID+" "+string(d.State))
		}
		return all
	}
	eventually(t, "what is open already", func() bool { return len(docs()) == 1 })
	w.change("db-2", "A2", "", health.KindFailed, health.ClassFan, health.SeverityCritical, health.Asserted)
	next := w.change("db-1", "A1", "", health.KindFailed, health.ClassPSU, health.SeverityCritical, health.Asserted)
	eventually(t, "one that begins", func() bool { return len(docs()) == 2 })
	w.change("db-1", "A1", old, health.KindFailed, health.ClassFan, health.SeverityCritical, health.Cleared)
	eventually(t, "one that is over", func() bool { return len(docs()) == 3 })
	if got, want := strings.Join(docs(), "\n"), old+" asserted\n"+next+" asserted\n"+old+" cleared"; got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
	eventually(t, "lines for people", func() bool { return strings.Count(table.String(), "\n") >= 4 })
	if s := table.String(); strings.ContainsRune(s, 0x1b) || !strings.Contains(s, "cleared") {
		t.Error(s)
	}
	if a, b := stop(), stopTable(); a != exitInterrupted || b != exitInterrupted {
		t.Errorf("exit %d and %d", a, b)
	}
}

func TestIncidentsAreFollowedAsTheySpread(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	save := func(id string, state health.IncidentState, targets ...string) {
		t.Helper()
		x := health.Incident{ID: health.IncidentID(id), State: state, Cause: health.CauseWater, Severity: health.SeverityCritical, Summary: "water", Racks: []string{"A1"}, Opened: at, Changed: at}
		for _, id := range targets {
			x.Targets = append(x.Targets, health.IncidentTarget{Target: health.TargetID(id), Rack: "A1", First: at})
		}
		if err := w.db.SaveIncidents(t.Context(), 0, []health.Incident{x}, nil); err != nil {
			t.Fatal(err)
		}
	}
	save("before", health.IncidentClosed, "db-1", "db-2")
	save("now", health.IncidentOpen, "db-1", "db-2")
	out, stop := w.followed("incidents", "--follow", "-o", "json")
	docs := func() (all []incidentDoc) {
		for line := range strings.Lines(out.String()) {
			var d incidentDoc
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
		return all
	}
	eventually(t, "the open one", func() bool { return len(docs()) == 1 })
	save("now", health.IncidentOpen, "db-1", "db-2", "db-3")
	eventually(t, "that it spread", func() bool { return len(docs()) == 2 })
	save("now", health.IncidentClosed, "db-1", "db-2", "db-3")
	eventually(t, "that it is over", func() bool { return len(docs()) == 3 })
	if code := stop(); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	for i, d := range docs() {
		if d.ID != health.IncidentID("now") || len(d.Targets) != min(i+2, 3) || (d.State == health.IncidentClosed) != (i == 2) {
			t.Errorf("document %d: %s %s, %d targets", i, d.ID, d.State, len(d.Targets))
		}
	}
}

func TestEventsFailOnWhatBeganNotOnWhatEnded(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	id := w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityWarning, health.Asserted)
	w.change("db-1", "A1", id, health.KindFailed, health.ClassFan, health.SeverityCritical, health.Cleared)
	w.change("db-2", "A2", "", health.KindIntrusion, health.ClassIntrusion, health.SeverityUnknown, health.Momentary)
	for args, want := range map[string]int{
		"--fail-on warning":               exitFaults,
		"--fail-on critical --rack A1":    exitOK,     // its end is no fault
		"--fail-on critical --rack A2":    exitFaults, // what is not known to be harmless is not harmless
		"--fail-on warning --class psu":   exitOK,
		"--fail-on info":                  exitUsage,
		"--fail-on warning --follow":      exitUsage,
		"--follow --until 1h":             exitUsage,
		"--fail-on warning --since 0s":    exitOK,
		"--fail-on warning -o json":       exitFaults,
		"--fail-on warning --kind faild":  exitUsage,
		"--fail-on warning --rack nobody": exitUsage,
	} {
		if _, errs, code := w.dewline(append([]string{"events"}, strings.Fields(args)...)...); code != want {
			t.Errorf("events %s exits with %d, want %d: %s", args, code, want, errs)
		}
	}
}

func TestStatusShowsWhatNoTableKnows(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	status := func() (string, int) {
		t.Helper()
		text, errs, code := w.dewline("status")
		out, _, _ := w.dewline("status", "-o", "json")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var d collectorDoc
		dec := json.NewDecoder(bytes.NewReader([]byte(lines[len(lines)-1])))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&d); err != nil || code != exitOK {
			t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
		}
		return text, d.Collector.Unmapped
	}
	if text, n := status(); n != 0 || strings.Contains(text, "no table") {
		t.Errorf("%d: %s", n, text)
	}
	at := time.Now().UTC()
	e := health.Event{ID: "e1", Target: "db-1", Component: "log/sel", Class: health.ClassLog, Kind: health.KindUnknown, Severity: health.SeverityWarning, Transition: health.Momentary, Rule: "log", At: at, Source: "sel"}
	v := &health.Visit{Target: "db-1", Started: at, Due: map[health.Tier]time.Time{health.TierEvents: at}, Result: health.Done, Snapshot: &health.Snapshot{Target: "db-1", At: at}, Events: []health.Event{e}}
	if err := w.db.Record(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if text, n := status(); n != 1 || !strings.Contains(text, "1 log entry of severity warning or critical that no table knows: `dewline events --kind unknown") {
		t.Errorf("%d: %s", n, text)
	}
}

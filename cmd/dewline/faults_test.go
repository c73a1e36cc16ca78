package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/sqlite"
)

// ward is a store with faults of two racks.
type ward struct {
	t   *testing.T
	dir string
	db  *sqlite.DB
	n   int
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{t: t, dir: t.TempDir()}
	w.open()
	return w
}

func (w *ward) open() {
	w.t.Helper()
	db, err := sqlite.Open(w.t.Context(), w.dir, sqlite.Options{CommitEvery: time.Millisecond})
	if err != nil {
		w.t.Fatal(err)
	}
	w.db = db
	w.t.Cleanup(func() { _ = db.Close() })
}

// change records a visit that asserts or clears a fault; the fault's ID is that of the event that opened it.
func (w *ward) change(target, rack, fault string, kind health.Kind, class health.Class, sev health.Severity, tr health.Transition) string {
	w.t.Helper()
	w.n++
	at := time.Now().UTC().Truncate(time.Millisecond)
	id := fmt.Sprintf("%08x-%s-%s", w.n, target, tr)
	e := health.Event{
		ID: id, Target: health.TargetID(target), Component: health.ComponentID(class) + "/1", Class: class, Kind: kind, Severity: sev, Transition: tr,
		Rule: "state", Message: "fan \x1b[2J of " + target, At: at.Add(time.Duration(w.n)), Source: "poll", FaultID: fault,
	}
	if fault == "" {
		fault = id
		e.FaultID = id
	}
	f := health.Fault{
		ID: fault, Target: e.Target, Component: e.Component, Class: class, Kind: kind, Severity: sev, State: health.Asserted, Rule: "state",
		Message: e.Message, Opened: at, Changed: at,
	}
	if tr == health.Cleared {
		f.State, f.Cleared = health.Cleared, at
	}
	v := &health.Visit{
		Target: e.Target, Started: at.Add(time.Duration(w.n) * time.Microsecond), Due: map[health.Tier]time.Time{health.TierReadings: at}, Result: health.Done,
		Where:    &health.Target{ID: e.Target, Rack: rack, Site: "bontang", Labels: map[string]string{"owner": "lab"}},
		Snapshot: &health.Snapshot{Target: e.Target, At: at}, Events: []health.Event{e}, Delta: health.Delta{Faults: []health.Fault{f}},
	}
	if err := w.db.Record(w.t.Context(), v); err != nil {
		w.t.Fatal(err)
	}
	return fault
}

// dewline runs a command on the store, and gives its output and exit code.
func (w *ward) dewline(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	code = p.main(w.t.Context(), append(args, "--data-dir", w.dir))
	return out.String(), errs.String(), code
}

func (w *ward) faults(args ...string) []storedFaultDoc {
	w.t.Helper()
	out, errs, code := w.dewline(append([]string{"faults", "-o", "json"}, args...)...)
	if code != exitOK {
		w.t.Fatalf("faults %v exits with %d: %s", args, code, errs)
	}
	var docs []storedFaultDoc
	for line := range strings.Lines(out) {
		var d storedFaultDoc
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			w.t.Fatal(err)
		}
		docs = append(docs, d)
	}
	return docs
}

func TestFaultsAreChosenByFilters(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	fan := w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityWarning, health.Asserted)
	leak := w.change("db-2", "A2", "", health.KindLeakDetected, health.ClassLeakDetector, health.SeverityCritical, health.Asserted)
	gone := w.change("db-2", "A2", "", health.KindFailed, health.ClassPSU, health.SeverityCritical, health.Asserted)
	w.change("db-2", "A2", gone, health.KindFailed, health.ClassPSU, health.SeverityCritical, health.Cleared)
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"open ones, the worst first":   {nil, []string{leak, fan}},
		"of one rack":                  {[]string{"--rack", "A1"}, []string{fan}},
		"of either rack":               {[]string{"--rack", "A1", "--rack", "A2"}, []string{leak, fan}},
		"of a target":                  {[]string{"--target", "db-2"}, []string{leak}},
		"of a site":                    {[]string{"--site", "bontang"}, []string{leak, fan}},
		"with a label":                 {[]string{"--label", "owner=lab"}, []string{leak, fan}},
		"with a label nobody has":      {[]string{"--label", "owner=x"}, nil},
		"of a class":                   {[]string{"--class", "fan"}, []string{fan}},
		"of a kind":                    {[]string{"--kind", "leak_detected"}, []string{leak}},
		"at least critical":            {[]string{"--severity", "critical"}, []string{leak}},
		"closed ones":                  {[]string{"--closed"}, []string{gone}},
		"open and closed":              {[]string{"--open", "--closed"}, []string{fan, leak, gone}},
		"opened before there were any": {[]string{"--until", "1h"}, nil},
		"opened lately":                {[]string{"--since", "1h"}, []string{leak, fan}},
	} {
		var got []string
		for _, d := range w.faults(c.args...) {
			got = append(got, d.ID)
			if d.Evidence == nil || d.Actions == nil {
				t.Errorf("%s: an array is null: %+v", name, d)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	for args, want := range map[string]string{
		"--rack A9":         `knows no rack "A9": did you mean "A`,
		"--kind leak":       "did you mean leak_detected?",
		"--severity bad":    "one of info, warning, critical",
		"--label owner":     "name=value",
		"--since yesterday": "is no time",
		"--fail-on info":    "warning or critical",
		"--count-muted":     "give that too",
	} {
		_, errs, code := w.dewline(append([]string{"faults"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("faults %s: exit %d, %q; want 2 and %q", args, code, errs, want)
		}
	}
	out, _, code := w.dewline("faults")
	if code != exitOK || strings.ContainsRune(out, 0x1b) || !strings.Contains(out, "leak_detected") {
		t.Errorf("table, exit %d:\n%s", code, out)
	}
}

func TestFailOnLeavesOutWhatIsAcknowledgedOrSilenced(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	fan := w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityWarning, health.Asserted)
	w.change("db-2", "A2", "", health.KindFailed, health.ClassFan, health.SeverityWarning, health.Asserted)
	if err := w.db.Close(); err != nil { // acks go into the store itself: no daemon runs
		t.Fatal(err)
	}
	want := func(code int, args ...string) string {
		t.Helper()
		_, errs, got := w.dewline(args...)
		if got != code {
			t.Errorf("%v exits with %d, want %d: %s", args, got, code, errs)
		}
		return errs
	}
	want(exitFaults, "faults", "--fail-on", "warning")
	want(exitOK, "faults", "--fail-on", "critical")
	want(exitUsage, "ack", fan)                         // why?
	want(exitUsage, "ack", "00000", "--why", "x")       // two begin so
	want(exitUsage, "ack", "feed", "--why", "x")        // none
	want(exitUsage, "ack", fan, "--undo", "--why", "x") // is not
	want(exitOK, "ack", fan[:8], "--by", "rina", "--why", "fan ordered", "--until", "8h")
	want(exitFaults, "faults", "--fail-on", "warning")
	want(exitUsage, "silence", "add", "--until", "1h", "--why", "x")                 // what?
	want(exitUsage, "silence", "add", "--rack", "A7", "--until", "1h", "--why", "x") // no such rack
	want(exitUsage, "silence", "add", "--rack", "A2", "--until", "-1h", "--why", "x")
	want(exitOK, "silence", "add", "--rack", "A2", "--until", "2h", "--by", "rina", "--why", "new PDU")
	if errs := want(exitOK, "faults", "--fail-on", "warning"); !strings.Contains(errs, "2 faults acknowledged or silenced") {
		t.Errorf("it says %q", errs)
	}
	want(exitFaults, "faults", "--fail-on", "warning", "--count-muted")
	docs := w.faults()
	if len(docs) != 2 || docs[0].Ack == nil || docs[0].Ack.By != "rina" || docs[0].State != health.Asserted || docs[1].Silence == nil || docs[1].Silence.Why != "new PDU" {
		t.Errorf("faults say %+v", docs)
	}
	out, _, _ := w.dewline("silence", "list", "-o", "json")
	var s silenceDoc
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.State != "active" || s.By != "rina" {
		t.Fatalf("silence list: %v %s", err, out)
	}
	want(exitOK, "silence", "end", s.ID[:10], "--by", "budi", "--why", "done")
	want(exitUsage, "silence", "end", s.ID, "--why", "again")
	want(exitOK, "ack", fan, "--undo", "--by", "budi", "--why", "wrong server")
	docs = w.faults()
	if docs[0].Ack != nil || docs[1].Silence != nil || len(docs[0].Actions) != 2 || docs[0].Actions[1].By != "budi" {
		t.Errorf("after both were undone: %+v", docs)
	}
	out, _, code := w.dewline("export", "--what", "actions")
	if code != exitOK || strings.Count(out, "\n") != 4 || !strings.Contains(out, "new PDU") || !strings.Contains(out, "wrong server") {
		t.Errorf("export, exit %d: %s", code, out)
	}
}

func TestEventsAreFollowedEachOnce(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityWarning, health.Asserted)
	ctx, stop := context.WithCancel(t.Context())
	out := &lockedBuffer{}
	p := &program{stdout: out, stderr: os.Stderr, getenv: func(string) string { return "" }}
	done := make(chan int, 1)
	go func() {
		done <- p.main(ctx, []string{"events", "--follow", "--since", "1h", "--rack", "A1", "-o", "json", "--data-dir", w.dir})
	}()
	lines := func() []string { return strings.Split(strings.TrimSpace(out.String()), "\n") }
	eventually(t, "the event of before", func() bool { return strings.Count(out.String(), "\n") == 1 })
	fault := ""
	for i := range 20 {
		if i%2 == 0 {
			fault = w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityWarning, health.Asserted)
		} else {
			w.change("db-1", "A1", fault, health.KindFailed, health.ClassFan, health.SeverityWarning, health.Cleared)
		}
	}
	w.change("db-2", "A2", "", health.KindFailed, health.ClassFan, health.SeverityWarning, health.Asserted) // another rack
	eventually(t, "the twenty of after", func() bool { return len(lines()) >= 21 })
	// The daemon ends, another begins: the follower stays.
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.change("db-1", "A1", "", health.KindIntrusion, health.ClassChassis, health.SeverityWarning, health.Asserted)
	eventually(t, "the one after a restart", func() bool { return len(lines()) >= 22 })
	stop()
	if code := <-done; code != exitInterrupted {
		t.Errorf("it exits with %d", code)
	}
	seen := map[string]int{}
	var last int64
	for _, l := range lines() {
		var d eventDoc
		if err := json.Unmarshal([]byte(l), &d); err != nil {
			t.Fatal(err)
		}
		if seen[d.ID]++; d.N <= last || d.Opened == "" {
			t.Errorf("out of order or without its fault: %s", l)
		}
		last = d.N
	}
	if len(seen) != 22 || len(lines()) != 22 {
		t.Errorf("%d events in %d lines", len(seen), len(lines()))
	}
}

func TestOperatorsActThroughTheRunningDaemon(t *testing.T) {
	t.Parallel()
	_, config, dataDir, env := room(t, "")
	d := startDaemon(t, config, env...)
	eventually(t, "the daemon's socket", func() bool { _, err := os.Stat(filepath.Join(dataDir, "control.sock")); return err == nil })
	eventually(t, "a target in the store", func() bool { return lastSeq(t, dataDir) > 6 })
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, getenv: os.Getenv}
	if code := p.main(t.Context(), []string{"silence", "add", "--all", "--until", "1h", "--by", "rina", "--why", "drill", "-o", "json", "-c", config}); code != exitOK {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var a actionDoc
	if err := json.Unmarshal(out.Bytes(), &a); err != nil || a.N != 1 || a.By != "rina" {
		t.Errorf("%v: %s", err, &out)
	}
	d.kill() // it is on disk
	db, err := sqlite.OpenReadOnly(t.Context(), dataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	log, err := db.Actions(t.Context())
	if err != nil || len(log) != 1 || log[0].Why != "drill" || !log[0].Match.Empty() {
		t.Errorf("the record holds %+v (%v)", log, err)
	}
}

func TestAnAcknowledgedFaultThatGetsWorseCountsAgain(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	fan := w.change("db-1", "A1", "", health.KindFailed, health.ClassFan, health.SeverityWarning, health.Asserted)
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(when string, worse bool, code int) {
		t.Helper()
		docs := w.faults()
		_, errs, got := w.dewline("faults", "--fail-on", "warning")
		if len(docs) != 1 || docs[0].Ack == nil || docs[0].Worse != worse || got != code {
			t.Errorf("%s: exit %d, want %d: %s %+v", when, got, code, errs, docs)
		}
	}
	ack := func() {
		t.Helper()
		if _, errs, code := w.dewline("ack", fan, "--by", "rina", "--why", "fan ordered"); code != exitOK {
			t.Fatalf("ack: exit %d: %s", code, errs)
		}
	}
	record := func(sev health.Severity, tr health.Transition) {
		t.Helper()
		w.open()
		w.change("db-1", "A1", fan, health.KindFailed, health.ClassFan, sev, tr)
		if err := w.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ack()
	check("acknowledged", false, exitOK)
	record(health.SeverityInfo, health.Deescalated)
	check("milder since", false, exitOK)
	record(health.SeverityCritical, health.Escalated)
	check("worse since", true, exitFaults)
	if out, _, _ := w.dewline("faults"); !strings.Contains(out, "worse since") {
		t.Errorf("the table does not say so:\n%s", out)
	}
	ack()
	check("acknowledged again", false, exitOK)
}

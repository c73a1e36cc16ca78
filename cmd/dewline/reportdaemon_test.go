package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/sqlite"
)

// A verification was left open while all was well; then a power supply failed. The daemon computes it anew by itself, and its receiver is
// told of the verdict that changed: once, however often the daemon is started.
func TestARunningDaemonTellsOfAVerdictThatChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	db, err := sqlite.Open(t.Context(), data, sqlite.Options{Log: slog.New(slog.DiscardHandler), CommitEvery: 2 * time.Millisecond, CommitMax: 1})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Truncate(time.Hour).Sub(roomTo)
	playRoom(t, db, roomLeak.Add(-3*24*time.Hour).Truncate(time.Hour), roomTo, later, "db-2")
	q := roomRequest()
	q.Targets, q.Controls = []health.TargetID{"db-2"}, nil
	q.Incident, q.Baseline, q.GeneratedAt = q.Incident.Add(later), 2*24*time.Hour, roomFails.Add(later-2*time.Hour)
	for i := range q.Attestations {
		q.Attestations[i].At = q.Attestations[i].At.Add(later)
	}
	v, err := openOf(q, roomDossier(t, db, q, "en").report)
	if err != nil {
		t.Fatal(err)
	}
	if err := keepVerification(t.Context(), db, v); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	h := newHook(t)
	config := filepath.Join(dir, "dewline.toml")
	never := "0 0 1 1 *" // what is tested is what follows from the past
	text := fmt.Sprintf("data_dir = %q\n[[credential]]\nname = \"bmc\"\nusername = \"monitor\"\npassword = \"env:BMC\"\n[schedule]\nreadings = %q\nevents = %q\nhealth = %q\ninventory = %q\n", data, never, never, never, never)
	text += "[[target]]\nname = \"db-2\"\naddress = \"https://127.0.0.1:1\"\ncredential = \"bmc\"\n"
	text += fmt.Sprintf("[[notify.webhook]]\nname = \"hook\"\nurl = %q\nwait = \"1s\"\ninterval = \"1s\"\nmax_per_hour = 0\n", h.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list := func() (doc verificationDoc) {
		t.Helper()
		code, out, errs := dewline(t, "report", "list", "-c", config, "-o", "json")
		if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitOK {
			t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
		}
		return doc
	}
	told := func() (texts []string) {
		for _, m := range h.got() {
			for _, e := range m.Events {
				texts = append(texts, string(e.Target)+" "+e.Severity.String()+" "+e.Rule+" "+e.Message)
			}
		}
		return texts
	}
	if was := list(); was.Verdict != "verified" {
		t.Fatalf("before: %+v", was)
	}

	d := startDaemon(t, config, "BMC=secret", renewSoon+"=10ms")
	eventually(t, "the receiver is told", func() bool { return len(told()) > 0 })
	now := list()
	if now.ID != v.ID || now.Verdict != "fault_found" || !now.Computed.After(v.Computed) || now.Error != "" || !now.Closed.IsZero() {
		t.Errorf("computed anew: %+v", now)
	}
	d.stop()
	// It is computed again, and nothing is new.
	d = startDaemon(t, config, "BMC=secret", renewSoon+"=1s") // times have seconds
	eventually(t, "the next daemon computes it too", func() bool { return list().Computed.After(now.Computed) })
	// What is told comes in the order in which it happened: once a later event is told, nothing was left that would be.
	last := health.Event{
		ID: health.VerdictEventID(v.ID, "db-2", "verified", "", time.Now()), Target: "db-2", Class: health.ClassSystem, Kind: health.KindInfo, Severity: health.SeverityWarning,
		SourceSeverity: health.SeverityWarning, Transition: health.Momentary, Rule: health.RuleVerification, Message: "the last", At: time.Now(),
	}
	d.stop()
	if db, err = sqlite.Open(t.Context(), data, sqlite.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if vs, err := db.Verifications(t.Context(), false); err != nil || len(vs) != 1 {
		t.Fatalf("%+v, %v", vs, err)
	} else if err := db.SaveVerification(t.Context(), &vs[0], []health.Event{last}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	d = startDaemon(t, config, "BMC=secret")
	eventually(t, "the last event is told", func() bool { return strings.Contains(strings.Join(told(), "\n"), "the last") })
	d.stop()
	want := regexp.MustCompile(`^db-2 critical ` + health.RuleVerification + ` verification ` + v.ID[:shortID] + ` of the incident of ` + regexp.QuoteMeta(q.Incident.Format(time.RFC3339)) +
		`: the verdict is now fault found, it was verified \(initial\)$`)
	if got := told(); len(got) != 2 || !want.MatchString(got[0]) {
		t.Errorf("told: %q", got)
	}
}

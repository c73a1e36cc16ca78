package main

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

// A verification is watched until nothing is left to be watched; then it closes by itself, and what it kept may go.
func TestAVerificationClosesWhenItWasWatchedToItsEnd(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		verdict verification.Verdict
		stage   verification.Stage
		until   time.Time
		closed  bool
	}{
		{"the soak is not over", verification.Inconclusive, "", time.Time{}, false},
		{"initial", verification.Verified, verification.Initial, at.Add(time.Hour), false},
		{"final and watched", verification.Verified, verification.Final, at.Add(time.Hour), false},
		{"watched to its end", verification.Verified, verification.Final, time.Time{}, true},
		{"with observations, watched to its end", verification.Observations, verification.Final, time.Time{}, true},
		{"a fault is found", verification.FaultFound, "", time.Time{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rep := &verification.Report{GeneratedAt: at, Verdict: c.verdict, Stage: c.stage, WatchUntil: c.until, Servers: []verification.Server{{Target: "a", Verdict: c.verdict, Stage: c.stage}}}
			v := health.Verification{ID: "v"}
			take(&v, rep)
			if closed := !v.Closed.IsZero(); closed != c.closed || closed && (v.ClosedBy != "dewline" || !v.Closed.Equal(at)) {
				t.Errorf("closed %v by %q", v.Closed, v.ClosedBy)
			}
		})
	}
}

// fromIncident makes a report on an incident that dewline found itself.
func fromIncident(t *testing.T, data string) {
	dir := t.TempDir()
	args := func(id, out string) []string {
		return []string{"report", "verification", "--data-dir", data, "--from-incident", id, "--baseline", "4d", "--soak", "24h", "--once", "--zip=false",
			"--generated-at", roomReport.Format(time.RFC3339), "--out", filepath.Join(dir, out)}
	}
	opened := roomLeak.Add(-10 * time.Hour) // a sign that no event of these two is
	incident := func(id string, targets ...health.TargetID) health.Incident {
		i := health.Incident{
			ID: id, State: health.IncidentOpen, Cause: health.CauseWater, Severity: health.SeverityCritical, Rule: "leak_spreads", Summary: "water: two targets in rack A1",
			Alternatives: []string{}, Racks: []string{"A1"}, Opened: opened, Found: roomLeak.Add(time.Hour), Changed: roomLeak.Add(time.Hour), Evidence: []health.IncidentEvidence{},
		}
		for _, x := range targets {
			i.Targets = append(i.Targets, health.IncidentTarget{Target: x, Rack: "A1", First: opened})
		}
		return i
	}
	db, err := sqlite.Open(t.Context(), data, sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ours, other := health.IncidentID("ours"), health.IncidentID("other")
	n, err := db.IncidentCursor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.SaveIncidents(t.Context(), n, []health.Incident{incident(ours, "db-1", "db-2"), incident(other, "web-1")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := dewline(t, args(ours[:10], "ours")...); code != 0 || !strings.HasPrefix(stdout, "Fault found\n") {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	var doc struct {
		Incident verification.Incident
		Servers  []struct {
			Target  health.TargetID
			Windows verification.Windows
		}
	}
	if err := json.Unmarshal(read(t, dir, "ours", "report.json"), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Incident.ID != ours || !doc.Incident.Reported.Equal(roomLeak.Add(time.Hour)) || !doc.Incident.FirstEvidence.Equal(opened) {
		t.Errorf("incident %+v", doc.Incident)
	}
	if len(doc.Servers) != 2 || doc.Servers[0].Target != "db-1" || doc.Servers[1].Target != "db-2" || !doc.Servers[0].Windows.BaselineTo.Equal(opened.Add(-24*time.Hour).Truncate(time.Hour)) {
		t.Errorf("servers of the incident, and the baseline's end a day before its first sign: %+v", doc.Servers[0].Windows)
	}
	if page := read(t, dir, "ours", "report.html"); !strings.Contains(string(page), ours) {
		t.Error("the page does not name the incident")
	}
	for _, c := range []struct{ id, want string }{{"ffffff", `there is no incident "ffffff": see`}, {commonPrefix(ours, other), "give more of the ID"}} {
		if c.id == "" {
			continue
		}
		if code, _, stderr := dewline(t, args(c.id, "none")...); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d\n%s", c.id, code, stderr)
		}
	}
	both := append(args(ours, "none"), "--incident", "2026-03-07T02:20Z")
	if code, _, stderr := dewline(t, both...); code != exitUsage || !strings.Contains(stderr, "either --incident TIME or --from-incident ID") {
		t.Errorf("both: exit %d\n%s", code, stderr)
	}
}

func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// renewedAndTold lets a verdict change while receivers of notifications follow: they are told of it, once, through the words that they are
// told anything in.
func renewedAndTold(t *testing.T, db *sqlite.DB) {
	h := newHook(t)
	stop := tell(t, db, time.Now, h.receiver("hook"))
	defer stop()
	q := roomRequest()
	q.Targets = q.Targets[1:] // db-2
	q.GeneratedAt = roomFails.Add(-2 * time.Hour)
	v, err := openOf(q, roomDossier(t, db, q, "en").report)
	if err != nil {
		t.Fatal(err)
	}
	if err := keepVerification(t.Context(), db, v); err != nil {
		t.Fatal(err)
	}
	k := &verificationKeeper{db: db, log: slog.New(slog.DiscardHandler)}
	k.renew(t.Context(), roomFails.Add(-time.Hour))
	k.renew(t.Context(), roomReport)
	told := func() (texts []string) {
		for _, m := range h.got() {
			for _, e := range m.Events {
				texts = append(texts, string(e.Target)+" "+e.Severity.String()+" "+e.Message)
			}
		}
		return texts
	}
	eventually(t, "the receiver is told", func() bool { return len(told()) > 0 })
	k.renew(t.Context(), roomReport.Add(time.Minute))
	want := regexp.MustCompile(`^db-2 critical verification ` + v.ID[:shortID] + ` of the incident of \S+: the verdict is now fault found, it was verified \(initial\)$`)
	if got := told(); len(got) != 1 || !want.MatchString(got[0]) {
		t.Errorf("told: %q", got)
	}
	v.Closed, v.ClosedBy = roomReport, "test"
	if err := db.SaveVerification(t.Context(), v, nil); err != nil {
		t.Fatal(err)
	}
	// Closed, it is computed no more.
	before := len(told())
	k.renew(t.Context(), roomReport.Add(2*time.Hour))
	if vs, err := db.Verifications(t.Context(), true); err != nil || len(vs) == 0 || len(told()) != before {
		t.Errorf("%+v, %v, told %q", vs, err, told())
	}
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
	"dewline/report"
	"dewline/report/evidence"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before committing it")

const roomAttestations = `
[[attestation]]
what = "drying"
by = "A. Rahman, facilities"
at = 2026-03-07T06:00:00Z
text = "dehumidifiers"

[[attestation]]
what = "inspection"
by = "B. Sari, hardware"
at = 2026-03-07T07:00:00Z
`

// roomRequest is what the golden report is asked for with.
func roomRequest() *verification.Request {
	return &verification.Request{
		Incident: roomLeak.Add(15 * time.Minute), Targets: []health.TargetID{"db-1", "db-2"}, Controls: []health.TargetID{"web-1"}, Baseline: 4 * 24 * time.Hour, Soak: 24 * time.Hour,
		Title: "Leak over rack A1", Reference: "R-1", GeneratedAt: roomReport, Program: "golden", MadeBy: "tester", ConfigSum: strings.Repeat("ab", 32),
		Attestations: []verification.Attestation{
			{What: "drying", By: "A. Rahman, facilities", At: roomLeak.Add(4 * time.Hour), Text: "dehumidifiers"},
			{What: "inspection", By: "B. Sari, hardware", At: roomLeak.Add(5 * time.Hour)},
		},
	}
}

// TestTheVerificationReport makes one report of a small room and looks at all of it.
func TestTheVerificationReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := makeRoom(t, dir, roomTo)
	db, err := sqlite.Open(t.Context(), data, sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	faults, err := db.OpenFaults(t.Context())
	if err != nil || len(faults) == 0 {
		t.Fatalf("%d faults, %v", len(faults), err)
	}
	for _, f := range faults {
		if f.Target == "db-2" {
			if err := db.AddAction(t.Context(), &health.Action{Kind: health.ActionAck, At: roomTo, By: "oncall", Why: "a spare is ordered", Fault: f.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("golden", func(t *testing.T) { goldenReport(t, db) })
	t.Run("redacted", func(t *testing.T) { redactedReport(t, db) })
	t.Run("renewed", func(t *testing.T) { renewedVerification(t, db) })
	t.Run("renewed and told", func(t *testing.T) { renewedAndTold(t, db) })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("command", func(t *testing.T) { commandReport(t, data) })
	t.Run("of a detected incident", func(t *testing.T) { fromIncident(t, data) })
}

func roomDossier(t *testing.T, db *sqlite.DB, q *verification.Request, lang string) *dossier {
	t.Helper()
	d, err := newDossier(t.Context(), db, storeReader{db}, q)
	if err != nil {
		t.Fatal(err)
	}
	if d.texts, err = report.TextsIn(lang); err != nil {
		t.Fatal(err)
	}
	if d.key, err = evidence.ThrowAway(); err != nil {
		t.Fatal(err)
	}
	return d
}

// goldenReport compares every file with the golden ones: those for people and programs in words, the others by their sums.
func goldenReport(t *testing.T, db *sqlite.DB) {
	out := filepath.Join(t.TempDir(), "verification")
	d := roomDossier(t, db, roomRequest(), "en")
	if err := d.write(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	verdicts := map[health.TargetID]string{}
	for _, s := range d.report.Servers {
		verdicts[s.Target] = s.Verdict.String()
	}
	if diff := cmp.Diff(map[health.TargetID]string{"db-1": "verified_with_observations", "db-2": "fault_found"}, verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	var tables strings.Builder
	csv, err := filepath.Glob(filepath.Join(out, "tables", "*.csv"))
	if err != nil || len(csv) < 10 {
		t.Fatalf("%d tables, %v", len(csv), err)
	}
	for _, f := range csv {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tables.WriteString("-- " + filepath.Base(f) + " --\n" + strings.ReplaceAll(string(b), "\r\n", "\n"))
	}
	// How long a visit took is measured anew each time: the sums of the visits are left out.
	manifest := bytes.Join(slices.DeleteFunc(slices.Collect(bytes.Lines(read(t, out, "MANIFEST"))), func(l []byte) bool {
		return bytes.HasSuffix(l, []byte("/raw.jsonl\n")) || bytes.HasSuffix(l, []byte("/visits.jsonl\n"))
	}), nil)
	for name, got := range map[string][]byte{
		"report.json": read(t, out, "report.json"), "report.html": read(t, out, "report.html"), "tables.txt": []byte(tables.String()), "MANIFEST": manifest,
	} {
		golden := filepath.Join("testdata", "verification", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s is not as it was; with -update it is written anew (-want +got):\n%s", name, firstDifference(string(want), string(got)))
		}
	}
	// The evidence has everything: each visit, its readings in five minutes, and those around events whole.
	lines := func(name string) int { return bytes.Count(read(t, out, "data", "01", name), []byte("\n")) }
	visits := lines("visits.jsonl")
	// 4 days of baseline before the 24 hours before the leak, then all to the end.
	if want := int(roomTo.Sub(roomLeak.Add(-5*24*time.Hour).Truncate(time.Hour)) / (30 * time.Minute)); visits != want {
		t.Errorf("%d visits, want %d", visits, want)
	}
	if raw := lines("raw.jsonl"); raw == 0 || raw >= visits/2 {
		t.Errorf("%d of %d visits are whole", raw, visits)
	}
	values := 0
	for l := range bytes.Lines(read(t, out, "data", "01", "readings.jsonl")) {
		var x rollupLine
		if err := json.Unmarshal(l, &x); err != nil {
			t.Fatal(err)
		}
		if x.Component == "power/1" && x.Quantity == health.Power {
			values += len(x.At)
			if len(x.Value) != len(x.At) {
				t.Errorf("%s: %d values at %d times", x.Day, len(x.Value), len(x.At))
			}
		}
	}
	if values != visits {
		t.Errorf("%d readings of power in %d visits", values, visits)
	}
	if n := bytes.Count(read(t, out, "data", "actions.jsonl"), []byte("a spare is ordered")); n != 1 {
		t.Errorf("the acknowledgement is there %d times", n)
	}

	// With all raw, in Indonesian: the same verdict in its words.
	d = roomDossier(t, db, roomRequest(), "id")
	d.raw = true
	out = filepath.Join(t.TempDir(), "verifikasi")
	if err := d.write(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if raw := lines("raw.jsonl"); raw != visits {
		t.Errorf("%d of %d visits are whole with --raw", raw, visits)
	}
	page := read(t, out, "report.html")
	for _, want := range []string{`lang="id"`, "Ditemukan kerusakan", "Redundansi catu daya dan kipas", "diakui"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the Indonesian page lacks %q", want)
		}
	}
	for _, bad := range []string{"⟨", "%!"} {
		if i := bytes.Index(page, []byte(bad)); i >= 0 {
			t.Errorf("the page has %q: …%s", bad, page[max(0, i-80):min(len(page), i+80)])
		}
	}
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	cut := func(l []string) string {
		if i >= len(l) {
			return "(the end)"
		}
		return l[i][:min(len(l[i]), 400)]
	}
	return "-" + cut(a) + "\n+" + cut(b)
}

// redactedReport looks for names in every file of a redacted report.
func redactedReport(t *testing.T, db *sqlite.DB) {
	q := roomRequest()
	d := roomDossier(t, db, q, "en")
	var err error
	if d.redact, err = redactor(t.Context(), d, q, nil); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "redacted")
	if err := d.write(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(out, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b := read(t, path)
		files++
		for _, name := range []string{"jdoe", "10.1.2.3", "A. Rahman", "oncall", "tester", "bmc.example.org", "db-1.example.org", "amRvZS"} { // the last one is jdoe, in Base64
			if bytes.Contains(b, []byte(name)) {
				t.Errorf("%s holds %q", path, name)
			}
		}
		return nil
	})
	if err != nil || files < 20 {
		t.Fatalf("%d files, %v", files, err)
	}
	html := read(t, out, "report.html")
	if !bytes.Contains(html, []byte("Names of people and addresses were replaced")) || !bytes.Contains(html, []byte("2.70.70.70")) {
		t.Error("the page does not say that it is redacted, or has lost a version of firmware")
	}
	var doc struct{ Redacted bool }
	if err := json.Unmarshal(read(t, out, "report.json"), &doc); err != nil || !doc.Redacted {
		t.Errorf("the JSON does not say that it is redacted: %v", err)
	}
	code, stdout, _ := dewline(t, "report", "verify", out)
	if code != 0 || !strings.Contains(stdout, "REDACTED dewline hardware verification") || !strings.Contains(stdout, "names of people and addresses were replaced before it was signed") {
		t.Errorf("exit %d:\n%s", code, stdout)
	}
	if code, stdout, _ = dewline(t, "report", "verify", out, "-o", "json"); code != 0 || !strings.Contains(stdout, `"redacted":true`) {
		t.Errorf("exit %d:\n%s", code, stdout)
	}
}

// renewedVerification keeps a verification open while its verdict changes.
func renewedVerification(t *testing.T, db *sqlite.DB) {
	q := roomRequest()
	q.GeneratedAt = roomFails.Add(-2 * time.Hour) // all is well yet
	d := roomDossier(t, db, q, "en")
	if v := d.report.Verdict; v != verification.Observations {
		t.Fatalf("before the late failure: %s", v)
	}
	v, err := openOf(q, d.report)
	if err != nil {
		t.Fatal(err)
	}
	if want := roomLeak.Add(-5 * 24 * time.Hour).Truncate(time.Hour); !v.From.Equal(want) {
		t.Errorf("data is kept since %s, want %s", v.From, want)
	}
	if err := keepVerification(t.Context(), db, v); err != nil {
		t.Fatal(err)
	}
	last, err := db.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := &verificationKeeper{db: db, log: slog.New(slog.DiscardHandler)}
	told := func() []health.NumberedEvent {
		t.Helper()
		events, err := db.EventsFrom(t.Context(), last, 10)
		if err != nil {
			t.Fatal(err)
		}
		return events
	}
	k.renew(t.Context(), roomFails.Add(-time.Hour))
	if e := told(); len(e) != 0 {
		t.Fatalf("told though nothing changed: %+v", e)
	}
	k.renew(t.Context(), roomReport)
	events := told()
	if len(events) != 1 || events[0].Target != "db-2" || events[0].Severity != health.SeverityCritical || events[0].Rule != health.RuleVerification ||
		!strings.Contains(events[0].Message, "the verdict is now fault found, it was verified (initial)") {
		t.Fatalf("%+v", events)
	}
	k.renew(t.Context(), roomReport.Add(time.Minute))
	if e := told(); len(e) != 1 {
		t.Errorf("told again: %+v", e)
	}
	// What was told of the verdict is nothing that happened to the server: the next report has it not.
	again := roomDossier(t, db, func() *verification.Request { q := roomRequest(); q.GeneratedAt = roomReport.Add(time.Hour); return q }(), "en")
	for _, s := range again.report.Servers {
		if slices.ContainsFunc(s.Events, func(e verification.Event) bool { return e.Rule == health.RuleVerification }) || !s.Windows.Restarted.Equal(d.report.Servers[0].Windows.Restarted) && s.Target == "db-1" {
			t.Errorf("%s counts its own verdict: %+v", s.Target, s.Windows)
		}
	}
	open, err := db.Verifications(t.Context(), false)
	if err != nil || len(open) != 1 || open[0].Verdict != "fault_found" || open[0].Error != "" {
		t.Errorf("%+v, %v", open, err)
	}
	// One that cannot be computed says so, and keeps its verdict.
	broken := open[0]
	broken.Request = json.RawMessage(`{"targets":["db-1"]}`)
	if err := db.SaveVerification(t.Context(), &broken, nil); err != nil {
		t.Fatal(err)
	}
	k.renew(t.Context(), roomReport.Add(2*time.Minute))
	if open, err = db.Verifications(t.Context(), false); err != nil || len(open) != 1 || open[0].Error == "" || open[0].Verdict != "fault_found" {
		t.Errorf("%+v, %v", open, err)
	}
	broken.Closed, broken.ClosedBy = roomReport, "test"
	if err := db.SaveVerification(t.Context(), &broken, nil); err != nil {
		t.Fatal(err)
	}
}

// commandReport makes reports as a person does.
func commandReport(t *testing.T, data string) {
	dir := t.TempDir()
	attest := filepath.Join(dir, "attest.toml")
	if err := os.WriteFile(attest, []byte(roomAttestations), 0o600); err != nil {
		t.Fatal(err)
	}
	generated := roomReport.Format(time.RFC3339)
	args := func(out string, more ...string) []string {
		return append([]string{"report", "verification", "--data-dir", data, "--incident", roomLeak.Add(15 * time.Minute).Format("2006-01-02T15:04Z07:00"), "--baseline", "4d", "--soak", "24h",
			"--attestations", attest, "--by", "tester", "--out", filepath.Join(dir, out)}, more...)
	}
	code, stdout, stderr := dewline(t, args("first", "--rack", "A1", "--title", "A title", "--reference", "R-9", "--generated-at", generated)...)
	if code != 0 || !strings.HasPrefix(stdout, "Fault found\n") || !strings.HasSuffix(stdout, filepath.Join(dir, "first", "report.html")+"\n") {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	if !strings.Contains(stderr, "made a signing key") || strings.Contains(stderr, "is open") {
		t.Errorf("standard error:\n%s", stderr)
	}
	for _, want := range []string{"A title", "R-9"} {
		if !bytes.Contains(read(t, dir, "first", "report.html"), []byte(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}

	// The same input gives the same bytes, signature and ZIP included.
	again := filepath.Join(dir, "again")
	if err := os.MkdirAll(again, 0o755); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := dewline(t, args(filepath.Join("again", "first"), "--rack", "A1", "--title", "A title", "--reference", "R-9", "--generated-at", generated)...); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	if !bytes.Equal(read(t, dir, "first.zip"), read(t, again, "first.zip")) {
		t.Error("the same input gave other bytes")
	}

	// Checked by us and by stock minisign, and not once a byte is changed.
	public := filepath.Join(data, "report.key.pub")
	for _, path := range []string{"first", "first.zip"} {
		if code, stdout, _ := dewline(t, "report", "verify", filepath.Join(dir, path)); code != 0 || !strings.Contains(stdout, "Internally whole, signer unproven") {
			t.Errorf("%s: exit %d\n%s", path, code, stdout)
		}
		if code, stdout, _ := dewline(t, "report", "verify", filepath.Join(dir, path), "--public-key", public); code != 0 || !strings.Contains(stdout, "Whole: all ") {
			t.Errorf("%s with the key: exit %d\n%s", path, code, stdout)
		}
	}
	if minisign, err := exec.LookPath("minisign"); err == nil {
		if out, err := exec.Command(minisign, "-V", "-m", filepath.Join(dir, "first", "MANIFEST"), "-p", public).CombinedOutput(); err != nil {
			t.Errorf("minisign: %v\n%s", err, out)
		}
	} else if os.Getenv("CI") == "true" {
		t.Error("minisign is missing")
	}
	page := filepath.Join(dir, "first", "tables", "events.csv")
	b := read(t, page)
	b[len(b)/2] ^= 1
	if err := os.WriteFile(page, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := dewline(t, "report", "verify", filepath.Join(dir, "first")); code != 1 || !strings.Contains(stdout, "tables/events.csv was changed") {
		t.Errorf("exit %d\n%s", code, stdout)
	}

	// One that is not over stays open, keeps its data, and says so; attested power is shown.
	code, stdout, stderr = dewline(t, args("open", "--target", "db-1", "--power-restored", roomOn.Add(2*time.Hour).Format(time.RFC3339), "--zip=false")...)
	if code != 0 || !strings.Contains(stderr, "is open: ") || !strings.Contains(stderr, "retention keeps all data since 2026-03-02T02:00:00Z") {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	var doc struct {
		Servers []struct {
			Windows struct {
				Restored string
				SoakFrom time.Time `json:"soak_from"`
			}
		}
	}
	if err := json.Unmarshal(read(t, dir, "open", "report.json"), &doc); err != nil || doc.Servers[0].Windows.Restored != "attested" || !doc.Servers[0].Windows.SoakFrom.Equal(roomOn.Add(2*time.Hour).Truncate(time.Hour).Add(time.Hour)) {
		t.Errorf("%+v, %v", doc, err)
	}
	_, status, _ := dewline(t, "status", "--data-dir", data)
	if !strings.Contains(status, "retention removes nothing since 2026-03-02T02:00:00Z while verifications are open") {
		t.Errorf("status:\n%s", status)
	}
	code, list, _ := dewline(t, "report", "list", "--data-dir", data, "-o", "json")
	var v verificationDoc
	if err := json.Unmarshal([]byte(list), &v); err != nil || code != 0 || !slices.Equal(v.Targets, []health.TargetID{"db-1"}) || len(v.ID) != 32 {
		t.Fatalf("exit %d, %v\n%s", code, err, list)
	}
	if code, _, stderr := dewline(t, "report", "close", v.ID[:8], "--data-dir", data, "--by", "me"); code != exitUsage || !strings.Contains(stderr, "why?") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	if code, stdout, stderr := dewline(t, "report", "close", v.ID[:8], "--data-dir", data, "--by", "me", "--why", "settled"); code != 0 || !strings.Contains(stdout, "is closed") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	if code, stdout, _ := dewline(t, "report", "list", "--data-dir", data); code != 0 || stdout != "no verification is open\n" {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	if code, stdout, _ := dewline(t, "report", "list", "--all", "--data-dir", data); code != 0 || !strings.Contains(stdout, "closed ") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	if code, _, stderr := dewline(t, "report", "close", v.ID[:8], "--data-dir", data, "--by", "me", "--why", "again"); code != exitUsage || !strings.Contains(stderr, "is open: see") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	if code, _, stderr := dewline(t, args("asked", "--rack", "A1", "--ask")...); code != exitUsage || !strings.Contains(stderr, "--attestations") {
		t.Errorf("--ask off a terminal: exit %d\n%s", code, stderr)
	}
	if code, _, stderr := dewline(t, args("once", "--rack", "A1", "--once", "--redact", "--zip=false")...); code != 0 || strings.Contains(stderr, "is open") {
		t.Errorf("--once: exit %d\n%s", code, stderr)
	}
}

func TestPeopleAreAskedForWhatTheyAttest(t *testing.T) {
	ask := func(answers string) (*verification.Request, string, error) {
		q := &verification.Request{Targets: []health.TargetID{"db-1", "db-2"}}
		var out bytes.Buffer
		err := (&interview{in: bufio.NewReader(strings.NewReader(answers)), out: &out}).ask(q)
		return q, out.String(), err
	}
	q, said, err := ask("A. Rahman, facilities\nyesterday\n2026-03-07T09:00+08:00\n48 h at 30 % RH\ndb-3\ndb-1, db-2\n" + // drying, with two answers that cannot be used
		"\n\n\n" + // inspection, cleaning, decision: nobody
		"3f9\n3f9c2a11\nB\n2026-03-07T10:00+08:00\npulled for inspection\n\n\n" + // an explanation, then no more
		"y\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	zone := time.FixedZone("", 8*3600)
	want := []verification.Attestation{
		{What: "drying", By: "A. Rahman, facilities", At: time.Date(2026, 3, 7, 9, 0, 0, 0, zone), Text: "48 h at 30 % RH", Targets: []health.TargetID{"db-1", "db-2"}},
		{What: "explanation", By: "B", At: time.Date(2026, 3, 7, 10, 0, 0, 0, zone), Text: "pulled for inspection", Event: "3f9c2a11"},
	}
	if diff := cmp.Diff(want, q.Attestations); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, w := range []string{"a time with its zone", `"db-3" is no server of this report`, "6 characters at least: see", "Put this into the report?"} {
		if !strings.Contains(said, w) {
			t.Errorf("it did not say %q:\n%s", w, said)
		}
	}
	for i := range want {
		if err := soundAttestation(&want[i]); err != nil {
			t.Errorf("what was asked for is not sound: %v", err)
		}
	}
	if q, _, err := ask("\n\n\n\n\n"); err != nil || len(q.Attestations) != 0 {
		t.Errorf("nobody: %+v, %v", q.Attestations, err)
	}
	for what, answers := range map[string]string{
		"not confirmed": "A\n2026-03-07T09:00+08:00\n\n\n\n\n\n\nn\n", "cut short": "A\n2026-03-07T09:00", "never sound": "A\nx\ny\nz\n",
	} {
		if q, _, err := ask(answers); err == nil || len(q.Attestations) != 0 || !strings.Contains(err.Error(), "no report was made") {
			t.Errorf("%s: %+v, %v", what, q.Attestations, err)
		}
	}
}

var _ dayReader = storeReader{}

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dewline/internal/config"
	"dewline/report"
	"dewline/report/evidence"
	"dewline/report/render"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

func (p *program) reportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "reports from what was recorded: verification after an incident, review of capacity",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.verificationCommand(), p.capacityCommand(), p.verifyCommand(), p.reportListCommand(), p.reportCloseCommand())
	return cmd
}

type verificationOptions struct {
	config, dataDir, out, lang, key, title, reference, attestations, by string
	incident, restored, generated                                       string
	fromIncident, source                                                string
	baseline, soak                                                      string
	targets, racks, sites                                               []string
	zip, raw, ask, redact, once                                         bool
}

func (p *program) verificationCommand() *cobra.Command {
	o := &verificationOptions{}
	cmd := &cobra.Command{
		Use:   "verification",
		Short: "may these servers carry production again? the post-incident hardware verification report",
		Long: `Verification compares what the BMCs reported before an incident with what they report since power was restored, and says
for each server: verified, verified with observations, inconclusive, or fault found, with the rules that led there. It writes a folder with
the report (HTML, PDF, JSON, CSV), the data it rests on, and a signed list of sums that 'dewline report verify' and stock minisign check.

What no BMC can see (drying, inspection, cleaning, the decision to power on) comes from a file of attestations:

  [[attestation]]
  what = "drying"                       # drying, inspection, cleaning, power_on, explanation
  by = "A. Rahman, facilities"
  at = 2026-11-25T09:00:00+08:00
  text = "48 h at 30 % RH"
  targets = ["db-1", "db-2"]            # left out: all servers of the report
  event = "3f9c2a…"                     # of an explanation: the event or fault it explains

With --ask it asks for them on the terminal, one after the other, and shows them before they go into the report.

While the soak or the watch after it is not over, the verification stays open: 'dewline run' computes it anew and notifies when a
verdict changes, and retention keeps its data ('dewline report list', 'dewline report close').`,
		Example: `  dewline report verification --incident 2025-07-24T22:10+08:00 --rack A1 --out ./verification
  dewline report verification --from-incident 5f2c9a --attestations signed.toml --soak 72h --lang id --out ./verifikasi`,
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", "", "configuration `file` (default ./dewline.toml, then /etc/dewline/dewline.toml)")
	f.StringVar(&o.dataDir, "data-dir", "", "read this data_dir, without a configuration")
	f.StringVar(&o.incident, "incident", "", "when it was noticed: a `time` with its zone")
	f.StringVar(&o.fromIncident, "from-incident", "", "a detected incident's `ID` (dewline incidents)")
	f.StringArrayVar(&o.targets, "target", nil, "an affected `server`; may be repeated")
	f.StringArrayVar(&o.racks, "rack", nil, "all servers of this `rack`; may be repeated")
	f.StringArrayVar(&o.sites, "site", nil, "all servers of this `site`; may be repeated")
	f.StringVar(&o.baseline, "baseline", "14d", "how much `time` before the incident is compared with")
	f.StringVar(&o.soak, "soak", "72h", "how much `time` with power is needed for a verdict")
	f.StringVar(&o.restored, "power-restored", "", "when power was restored, if it is to be attested: a `time`")
	f.StringVar(&o.title, "title", "", "`title` of the report")
	f.StringVar(&o.reference, "reference", "", "your `reference` number")
	f.StringVar(&o.attestations, "attestations", "", "`file` with what people attest (TOML)")
	f.BoolVar(&o.ask, "ask", false, "ask on the terminal for what people attest")
	f.BoolVar(&o.redact, "redact", false, "replace names of people and addresses, each by the same word everywhere")
	f.BoolVar(&o.once, "once", false, "do not leave the verification open: nobody watches it, and retention keeps nothing for it")
	f.StringVar(&o.by, "by", "", "who makes the report (default: the user's name)")
	f.StringVar(&o.lang, "lang", report.Reference, "language of the report: "+strings.Join(report.Languages(), ", "))
	f.StringVar(&o.out, "out", "", "`folder` to write to; it must not exist, or be empty")
	f.StringVar(&o.key, "key", "", "signing key `file` (default: report.key in data_dir, made at first use)")
	f.StringVar(&o.generated, "generated-at", "", "the report's own `time` (default: now); the same input gives the same bytes")
	f.BoolVar(&o.zip, "zip", true, "also write the folder as FOLDER.zip")
	f.BoolVar(&o.raw, "raw", false, "put every visit into the evidence, not only those around events")
	f.StringVar(&o.source, "source", sourceAuto, "where data is from: auto (the store; InfluxDB of the configuration for what retention took from it), store or influxdb: `which`")
	_ = cmd.RegisterFlagCompletionFunc("source", cobra.FixedCompletions(reportSources, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions(report.Languages(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return ofDamaged(p.verification(cmd.Context(), o)) }
	return cmd
}

// timeOf reads a time with its zone; seconds may be left out.
func timeOf(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError("--%s %q is no time with a zone: write it as 2025-07-24T22:10+08:00", flag, s)
}

func (o *verificationOptions) request(now time.Time) (*verification.Request, error) {
	q := &verification.Request{Title: o.title, Reference: o.reference, GeneratedAt: now, MadeBy: o.by, IncidentID: o.fromIncident}
	var err error
	if q.Incident, err = timeOf("incident", o.incident); err != nil {
		return nil, err
	}
	if q.PowerRestored, err = timeOf("power-restored", o.restored); err != nil {
		return nil, err
	}
	if o.generated != "" {
		if q.GeneratedAt, err = timeOf("generated-at", o.generated); err != nil {
			return nil, err
		}
	}
	switch {
	case o.incident != "" && q.Incident.After(q.GeneratedAt):
		return nil, usageError("--incident %s lies after the report, %s", o.incident, q.GeneratedAt.Format(time.RFC3339))
	case q.PowerRestored.After(q.GeneratedAt):
		return nil, usageError("--power-restored %s lies after the report, %s", o.restored, q.GeneratedAt.Format(time.RFC3339))
	case o.incident != "" && o.restored != "" && q.PowerRestored.Before(q.Incident):
		return nil, usageError("--power-restored %s lies before the incident, %s", o.restored, o.incident)
	}
	for _, d := range []struct {
		flag, text string
		to         *time.Duration
	}{{"baseline", o.baseline, &q.Baseline}, {"soak", o.soak, &q.Soak}} {
		if *d.to, err = config.ParseDuration(d.text); err != nil || *d.to < 0 {
			return nil, usageError("--%s %q is no length of time: write it as 14d or 72h", d.flag, d.text)
		}
	}
	if q.Soak <= 0 {
		return nil, usageError("--soak %s: a soak of no length shows nothing", o.soak)
	}
	if o.attestations != "" {
		if q.Attestations, err = readAttestations(o.attestations); err != nil {
			return nil, err
		}
	}
	if q.MadeBy == "" {
		if u, err := user.Current(); err == nil {
			q.MadeBy = u.Username
		}
	}
	return q, nil
}

func (p *program) verification(ctx context.Context, o *verificationOptions) error {
	if o.out == "" {
		return usageError("--out is missing: the folder to write to")
	}
	if (o.incident == "") == (o.fromIncident == "") {
		return usageError("either --incident TIME or --from-incident ID says which incident it is")
	}
	texts, err := report.TextsIn(o.lang)
	if err != nil {
		return usageError("--lang: %w", err)
	}
	if !slices.Contains(reportSources, o.source) {
		return usageError("--source %q is none: it is auto, store or influxdb", o.source)
	}
	q, err := o.request(time.Now().Truncate(time.Second))
	if err != nil {
		return err
	}
	if err := freeFolder(o.out); err != nil { // before the work is done
		return err
	}
	dir := o.dataDir
	var cfg *config.Config
	if dir == "" {
		if cfg, q.ConfigSum, err = reportConfig(o.config); err != nil {
			return err
		}
		dir = cfg.DataDir
	}
	var second *config.InfluxDB
	if cfg != nil {
		second = cfg.InfluxDB
	}
	if o.source == sourceInflux && second == nil {
		return usageError("--source influxdb: there is no [influxdb] in a configuration: give it as --config, without --data-dir")
	}
	q.Program = readBuildInfo().Version
	r, db, end, err := o.sources(ctx, dir, second)
	if err != nil {
		return err
	}
	defer end()
	if err := choose(ctx, r, db, o, q); err != nil {
		return err
	}
	if o.ask {
		if err := p.askAttestations(q); err != nil {
			return err
		}
	}
	d, err := newDossier(ctx, db, r, q)
	if err != nil {
		return err
	}
	d.texts, d.raw = texts, o.raw
	if o.redact {
		if d.redact, err = redactor(ctx, d, q, cfg); err != nil {
			return err
		}
	}
	if d.key, err = p.reportKey(o.key, dir, d.report.Simulated); err != nil {
		return err
	}
	if err := d.write(ctx, o.out); err != nil {
		return err
	}
	if o.zip {
		if err := writeWhole(filepath.Clean(o.out)+".zip", func(w io.Writer) error { return evidence.Zip(w, o.out, q.GeneratedAt) }); err != nil {
			return err
		}
	}
	if err := p.sayVerdict(d.report, texts, o.out); err != nil {
		return err
	}
	if o.once || o.generated != "" || o.source == sourceInflux {
		return nil
	}
	return p.leaveOpen(ctx, dir, q, d.report)
}

// reportConfig reads the configuration of a report, and gives the sum by which the report names it.
func reportConfig(flag string) (*config.Config, string, error) {
	cfg, err := loadConfig(flag)
	if err != nil {
		return nil, "", err
	}
	path, err := config.Find(flag)
	if err != nil {
		return nil, "", err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("read the configuration: %w", err)
	}
	sum := sha256.Sum256(b)
	return cfg, hex.EncodeToString(sum[:]), nil
}

// readChain checks the chain of all events, and gives its links since the beginning of the baseline.
func readChain(ctx context.Context, db *sqlite.DB, q *verification.Request) ([]sqlite.Link, error) {
	from := q.Incident.Add(-q.Baseline - 9*24*time.Hour) // evidence may lie a week and a day before the incident
	first, err := db.FirstEvent(ctx, from)
	if err != nil {
		return nil, err
	}
	links := []sqlite.Link{}
	err = db.Chain(ctx, 1, func(l sqlite.Link) error {
		if first > 0 && l.N >= first {
			links = append(links, l)
		}
		q.ChainHead, q.ChainLength = l.Chain, l.N
		return nil
	})
	if errors.Is(err, sqlite.ErrChain) {
		q.ChainBroken, err = err.Error(), nil
	}
	return links, err
}

// reportKey is the key that signs: of simulated data, one that is thrown away.
func (p *program) reportKey(path, dir string, simulated bool) (evidence.Key, error) {
	if simulated {
		return evidence.ThrowAway()
	}
	if path == "" {
		path = filepath.Join(dir, "report.key")
	}
	key, made, err := evidence.KeyFile(path)
	if made {
		fmt.Fprintf(p.stderr, "made a signing key: %s; give its public part, %s.pub, to those who are to check your reports, and back the key up\n", path, path)
	}
	return key, err
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// ofDamaged says what can be done when the store has lost what a report rests on: it is not made of the rest.
func ofDamaged(err error) error {
	if errors.Is(err, sqlite.ErrCorrupt) {
		return fmt.Errorf("%w: no report was made. If it is a file of data_dir/periods, copy it back there from a folder of backups; else restore the store from a backup", err)
	}
	return err
}

// freeFolder refuses a folder to write to in which something is.
func freeFolder(out string) error {
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return usageError("--out %s is not a folder, or lies in what is none: choose another", out)
	case err != nil:
		return fmt.Errorf("write report: %w", err)
	case len(entries) > 0:
		return usageError("--out %s is not empty: choose another folder, or remove it", out)
	}
	return nil
}

// writeReport makes a folder that appears under its name when it is whole. One that is there and not empty is left alone.
func writeReport(out string, fill func(tmp string) error) error {
	out = filepath.Clean(out)
	if err := freeFolder(out); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+"-*")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := fill(tmp); err != nil {
		return err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.Rename(tmp, out); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// reportFiles writes every format of a report from its one model.
func reportFiles(dir string, doc *report.Document, model any) error {
	file := func(name string, write func(io.Writer) error) error {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		return errors.Join(write(f), f.Close())
	}
	if err := file("report.json", func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(model)
	}); err != nil {
		return err
	}
	if err := file("report.html", func(w io.Writer) error { return render.HTML(w, doc) }); err != nil {
		return err
	}
	if err := file("report.pdf", func(w io.Writer) error { return render.PDF(w, doc) }); err != nil {
		return err
	}
	for _, t := range render.Tables(doc) {
		if err := file(filepath.Join("tables", t.ID+".csv"), func(w io.Writer) error { return render.CSV(w, t) }); err != nil {
			return err
		}
	}
	return nil
}

// sayVerdict tells on the terminal what the report says on its first page.
func (p *program) sayVerdict(rep *verification.Report, texts *report.Texts, out string) error {
	if rep.Simulated {
		fmt.Fprintln(p.stdout, texts.Say("simulated"))
	}
	if rep.Unasked != "" {
		fmt.Fprintf(p.stderr, "made without a second source, which could not be asked: %s\n", printable(rep.Unasked))
	}
	fmt.Fprintf(p.stdout, "%s\n", texts.Say("verdict."+rep.Verdict.String()))
	t := p.newTable(texts.Say("col.server"), texts.Say("col.verdict"), texts.Say("col.soak"), texts.Say("col.reasons"))
	for _, s := range rep.Servers {
		var reasons []string
		for _, r := range s.Reasons {
			reasons = append(reasons, texts.Say(r.Key, r.Args...))
		}
		if len(reasons) == 0 {
			reasons = []string{texts.Say("reason.none")}
		}
		t.row(string(s.Target), texts.Say("verdict."+s.Verdict.String()), fmt.Sprintf("%.0f/%.0f", s.Windows.SoakCounted, s.Windows.SoakPlanned), strings.Join(reasons, "; "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s\n", filepath.Join(out, "report.html"))
	return nil
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/internal/config"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

// An open verification is one whose soak, or the watch after it, is not over. The daemon computes it anew (verificationKeeper), and the
// store keeps its data. Commands open and close it through the daemon if one runs, else in the store itself.

// openOf is how a report is kept as a verification.
func openOf(q *verification.Request, rep *verification.Report) (*health.Verification, error) {
	request, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("keep verification: %w", err)
	}
	v := &health.Verification{
		ID: health.VerificationID(q.Incident, q.Targets), Title: q.Title, Reference: q.Reference, Incident: q.Incident, IncidentID: q.IncidentID, Targets: q.Targets,
		Opened: rep.GeneratedAt, Request: request,
	}
	take(v, rep)
	return v, nil
}

// take puts what was computed into a verification, and closes it when its watch is over.
func take(v *health.Verification, rep *verification.Report) {
	v.Computed, v.Verdict, v.Stage, v.SoakLeft, v.WatchUntil, v.Error = rep.GeneratedAt, rep.Verdict.String(), string(rep.Stage), rep.SoakLeft, rep.WatchUntil, ""
	v.Servers = []health.VerifiedServer{}
	for i := range rep.Servers {
		s := &rep.Servers[i]
		v.Servers = append(v.Servers, health.VerifiedServer{Target: s.Target, Verdict: s.Verdict.String(), Stage: string(s.Stage)})
		if v.From.IsZero() || s.Windows.BaselineFrom.Before(v.From) {
			v.From = s.Windows.BaselineFrom
		}
	}
	if watched(rep) && v.Closed.IsZero() {
		v.Closed, v.ClosedBy, v.ClosedAs = rep.GeneratedAt, "dewline", "watched to its end"
	}
}

// watched tells that nothing is left to be watched.
func watched(rep *verification.Report) bool {
	return rep.Stage == verification.Final && rep.WatchUntil.IsZero()
}

// verdictEvents are the events that tell of each server whose verdict is another than before.
func verdictEvents(before, now *health.Verification) []health.Event {
	if before == nil {
		return nil
	}
	was := map[health.TargetID]health.VerifiedServer{}
	for _, s := range before.Servers {
		was[s.Target] = s
	}
	var out []health.Event
	for _, s := range now.Servers {
		old, ok := was[s.Target]
		if !ok || old == s {
			continue
		}
		severity := health.SeverityWarning // whoever is told of anything is told of this
		if s.Verdict == verification.FaultFound.String() {
			severity = health.SeverityCritical
		}
		out = append(out, health.Event{
			ID: health.VerdictEventID(now.ID, s.Target, s.Verdict, s.Stage, now.Computed), Target: s.Target, Class: health.ClassSystem, Kind: health.KindInfo,
			Severity: severity, SourceSeverity: severity, Transition: health.Momentary, Rule: health.RuleVerification, Source: "verification",
			Message: fmt.Sprintf("verification %s of the incident of %s: the verdict is now %s, it was %s",
				now.ID[:shortID], now.Incident.Format(time.RFC3339), verdictWords(s), verdictWords(old)),
			Evidence: []string{now.ID}, At: now.Computed.Add(time.Duration(len(out))),
		})
	}
	return out
}

func verdictWords(s health.VerifiedServer) string {
	w := strings.ReplaceAll(s.Verdict, "_", " ")
	if s.Stage != "" {
		w += " (" + s.Stage + ")"
	}
	return w
}

// findVerification is a verification by its ID, nil if there is none.
func findVerification(ctx context.Context, db *sqlite.DB, id string) (*health.Verification, error) {
	all, err := db.Verifications(ctx, true)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].ID == id {
			return &all[i], nil
		}
	}
	return nil, nil
}

// keepVerification puts a verification into the store in place of what was there, with what there is to tell of it.
func keepVerification(ctx context.Context, db *sqlite.DB, v *health.Verification) error {
	before, err := findVerification(ctx, db, v.ID)
	if err != nil {
		return err
	}
	return db.SaveVerification(ctx, v, verdictEvents(before, v))
}

// verificationMessage carries a verification over the control socket.
type verificationMessage struct {
	health.Verification
	Request json.RawMessage `json:"request"`
}

// answerVerification keeps a verification for another dewline command.
func (d *service) answerVerification(w http.ResponseWriter, r *http.Request) {
	var m verificationMessage
	if err := json.NewDecoder(io.LimitReader(r.Body, maxControlBody)).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v := &m.Verification
	v.Request = m.Request
	var q verification.Request
	if err := json.Unmarshal(m.Request, &q); err != nil || v.ID != health.VerificationID(q.Incident, q.Targets) || len(q.Targets) == 0 || v.From.IsZero() {
		http.Error(w, "it is no verification", http.StatusBadRequest)
		return
	}
	if err := keepVerification(r.Context(), d.db, v); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	d.log.Info("verification", "id", v.ID, "verdict", v.Verdict, "data_kept_since", v.From, "closed", !v.Closed.IsZero())
}

// keep puts a verification into the store, through the daemon if one runs.
func (a actor) keep(ctx context.Context, v *health.Verification) error {
	body, err := json.Marshal(verificationMessage{*v, v.Request})
	if err != nil {
		return err
	}
	resp, err := askDaemon(ctx, a.dir, "/verification", body)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	if resp != nil {
		defer resp.Body.Close()
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxControlBody))
		if err != nil {
			return fmt.Errorf("read the daemon's answer: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the daemon answers %s: %s", resp.Status, bytes.TrimSpace(answer))
		}
		return nil
	}
	db, err := sqlite.Open(ctx, a.dir, sqlite.Options{})
	if err != nil {
		return fmt.Errorf("no daemon answers on %s, and the store cannot be opened: %w", controlSocket(a.dir), err)
	}
	return errors.Join(keepVerification(ctx, db, v), db.Close())
}

// leaveOpen keeps a verification that is not over, and says so. The report is there whether that can be done or not.
func (p *program) leaveOpen(ctx context.Context, dir string, q *verification.Request, rep *verification.Report) error {
	if watched(rep) {
		return nil
	}
	v, err := openOf(q, rep)
	if err != nil {
		return err
	}
	if err := (actor{p, dir}).keep(ctx, v); err != nil {
		return fmt.Errorf("the report is made, but it could not be left open to be watched (--once does without): %w", err)
	}
	fmt.Fprintf(p.stderr, "verification %s is open: `dewline run` computes it anew every hour and notifies when a verdict changes; retention keeps all data since %s for it (dewline report close %s)\n",
		v.ID[:shortID], v.From.Format(time.RFC3339), v.ID[:shortID])
	return nil
}

// verificationDoc is one document of `report list -o json` (docs/SCHEMA.md).
type verificationDoc struct {
	Version int `json:"version"`
	health.Verification
}

func (p *program) reportListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "open verifications: their verdicts, and since when data is kept for them",
		Long: `List shows the verifications whose soak, or the watch after it, is not over. 'dewline run' computes each anew every hour and notifies
when a verdict changes. As long as one is open, retention removes nothing since the beginning of its baseline.`,
		Example: "  dewline report list\n  dewline report list --all -o json",
	}
	configPath, output := configFlag(cmd), outputFlag(cmd)
	dataDir := cmd.Flags().String("data-dir", "", "read this data_dir, without a configuration")
	all := cmd.Flags().Bool("all", false, "closed ones too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := dirOf(*dataDir, *configPath)
		if err != nil {
			return err
		}
		db, err := openStore(cmd.Context(), dir)
		if err != nil {
			return err
		}
		defer db.Close()
		vs, err := db.Verifications(cmd.Context(), *all)
		if err != nil {
			return err
		}
		return p.listVerifications(vs, *output)
	}
	return cmd
}

func (p *program) listVerifications(vs []health.Verification, output format) error {
	if output == "json" {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		for _, v := range vs {
			if err := enc.Encode(verificationDoc{1, v}); err != nil {
				return err
			}
		}
		return nil
	}
	if len(vs) == 0 {
		_, err := fmt.Fprintln(p.stdout, "no verification is open")
		return err
	}
	t := p.newTable("ID", "INCIDENT", "SERVERS", "VERDICT", "SOAK LEFT", "DATA KEPT SINCE", "COMPUTED", "STATE")
	for _, v := range vs {
		state := "open"
		switch {
		case !v.Closed.IsZero():
			state = "closed " + toSecond(formatTime(v.Closed)) + " by " + v.ClosedBy
		case v.Error != "":
			state = "cannot be computed: " + v.Error
		}
		t.row(v.ID[:shortID], toSecond(formatTime(v.Incident)), fmt.Sprint(len(v.Targets)), verdictWords(health.VerifiedServer{Verdict: v.Verdict, Stage: v.Stage}),
			fmt.Sprintf("%.0f h", v.SoakLeft), toSecond(formatTime(v.From)), toSecond(formatTime(v.Computed)), state)
	}
	return t.flush()
}

// dirOf is the data_dir that is named, or that of the configuration.
func dirOf(dataDir, configPath string) (string, error) {
	if dataDir != "" {
		return dataDir, nil
	}
	cfg, err := loadConfig(configPath)
	if err != nil {
		return "", err
	}
	return cfg.DataDir, nil
}

func (p *program) reportCloseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "close ID",
		Short: "close an open verification: it is computed no more, and retention may drop its data",
		Long: `Close ends the watch of a verification (dewline report list). No verdict changes by it: a report that was made stays as it is. Data
that only it kept may be dropped from then on; 'dewline report verification' opens it again.`,
		Example: `  dewline report close 3f9c2a11 --why "the insurer has settled"`,
		Args:    cobra.ExactArgs(1),
	}
	configPath := configFlag(cmd)
	dataDir := cmd.Flags().String("data-dir", "", "read this data_dir, without a configuration")
	by := newByFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := dirOf(*dataDir, *configPath)
		if err != nil {
			return err
		}
		var who health.Action
		if err := by.apply(&who, p.getenv); err != nil {
			return err
		}
		v, err := openVerification(cmd.Context(), dir, args[0])
		if err != nil {
			return err
		}
		v.Closed, v.ClosedBy, v.ClosedAs = time.Now().UTC().Truncate(time.Second), who.By, who.Why
		if err := (actor{p, dir}).keep(cmd.Context(), v); err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.stdout, "verification %s is closed: data since %s is no longer kept for it\n", v.ID[:shortID], v.From.Format(time.RFC3339))
		return err
	}
	return cmd
}

// openVerification is the one open verification whose ID begins so.
func openVerification(ctx context.Context, dir, prefix string) (*health.Verification, error) {
	db, err := openStore(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	vs, err := db.Verifications(ctx, false)
	if err != nil {
		return nil, err
	}
	vs = slices.DeleteFunc(vs, func(v health.Verification) bool { return !strings.HasPrefix(v.ID, prefix) })
	switch len(vs) {
	case 0:
		return nil, usageError("no verification %q is open: see `dewline report list`", prefix)
	case 1:
		return &vs[0], nil
	}
	return nil, usageError("%d verifications begin with %q: give more of the ID", len(vs), prefix)
}

// verificationKeeper computes open verifications anew.
type verificationKeeper struct {
	db  *sqlite.DB
	log *slog.Logger
	// influx is where hours may be that the store does not hold; nil: nowhere.
	influx *config.InfluxDB
	// first is how soon after its start the daemon computes them.
	first time.Duration
}

const (
	// renewAfter is how long after the end of each hour verifications are computed: they count whole hours.
	renewAfter = 5 * time.Minute
	// renewShare bounds the work: one that takes a minute has an hour's rest at least.
	renewShare = 60
)

// run computes them every hour until ctx ends.
func (k *verificationKeeper) run(ctx context.Context) error {
	for wait := k.first; ; {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		began := time.Now()
		k.renew(ctx, began.UTC().Truncate(time.Second))
		now := time.Now()
		next := now.Truncate(time.Hour).Add(time.Hour + renewAfter)
		wait = max(next.Sub(now), renewShare*now.Sub(began))
	}
}

// renew computes every open verification as of now.
func (k *verificationKeeper) renew(ctx context.Context, now time.Time) {
	vs, err := k.db.Verifications(ctx, false)
	if err != nil {
		if ctx.Err() == nil {
			k.log.Error("open verifications cannot be read", "err", err)
		}
		return
	}
	for i := range vs {
		if err := k.one(ctx, &vs[i], now); err != nil && ctx.Err() == nil {
			k.log.Error("an open verification cannot be computed anew", "verification", vs[i].ID, "err", err)
		}
	}
}

func (k *verificationKeeper) one(ctx context.Context, v *health.Verification, now time.Time) error {
	before := *v
	rep, err := k.compute(ctx, v, now)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		v.Error = err.Error()
		return errors.Join(err, k.db.RenewVerification(ctx, v, nil))
	}
	take(v, rep)
	events := verdictEvents(&before, v)
	for i := range events {
		k.log.Warn("a verdict changed", "target", events[i].Target, "message", events[i].Message)
	}
	return k.db.RenewVerification(ctx, v, events)
}

func (k *verificationKeeper) compute(ctx context.Context, v *health.Verification, now time.Time) (*verification.Report, error) {
	var q verification.Request
	if err := json.Unmarshal(v.Request, &q); err != nil {
		return nil, fmt.Errorf("read what verification %s was asked for with: %w", v.ID, err)
	}
	q.GeneratedAt, q.Program = now, cmp.Or(readBuildInfo().Version, "dewline")
	r, end, err := verificationReader(k.db, k.influx, sourceAuto)
	if err != nil {
		return nil, err
	}
	defer end()
	d, err := newDossier(ctx, k.db, r, &q)
	if err != nil {
		return nil, err
	}
	if d.report.Unasked != "" { // without it the verdict would be another, and nothing had changed
		return nil, errors.New(d.report.Unasked)
	}
	return d.report, nil
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dewline/health"
	"dewline/internal/config"
	"dewline/report"
	"dewline/report/evidence"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

// newDossier makes the report that is asked for. It has no texts and no key yet.
func newDossier(ctx context.Context, db *sqlite.DB, r report.Reader, q *verification.Request) (*dossier, error) {
	d := &dossier{reader: r, chain: []sqlite.Link{}, actions: []health.Action{}}
	var err error
	if db == nil { // InfluxDB alone
		d.report, err = verification.Build(ctx, r, *q)
		return d, err
	}
	if d.chain, err = readChain(ctx, db, q); err != nil {
		return nil, err
	}
	if d.actions, err = actionsFor(ctx, db, q); err != nil {
		return nil, err
	}
	q.Actions = d.actions
	d.report, err = verification.Build(ctx, r, *q)
	return d, err
}

// actionsFor is the operators' log as far as it concerns the servers of a report.
func actionsFor(ctx context.Context, db *sqlite.DB, q *verification.Request) ([]health.Action, error) {
	all, err := db.Actions(ctx)
	if err != nil {
		return nil, err
	}
	out := []health.Action{}
	for i := range all {
		a := &all[i]
		concerns, err := actionConcerns(ctx, db, a, q.Targets)
		if err != nil {
			return nil, err
		}
		if concerns && !a.At.After(q.GeneratedAt) {
			out = append(out, *a)
		}
	}
	return out, nil
}

// redactor knows the names that the report speaks of.
func redactor(ctx context.Context, d *dossier, q *verification.Request, cfg *config.Config) (*evidence.Redactor, error) {
	users, addresses := []string{q.MadeBy}, []string{}
	for _, a := range q.Attestations {
		users = append(users, a.By)
	}
	for _, a := range d.actions {
		users = append(users, a.By)
	}
	host := func(address string) {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			address = u.Hostname()
		}
		addresses = append(addresses, address)
	}
	if cfg != nil {
		if cfg.InfluxDB != nil {
			host(cfg.InfluxDB.URL)
		}
		for i := range cfg.Targets {
			users = append(users, cfg.Targets[i].Credential.Username)
			host(cfg.Targets[i].Address)
		}
	}
	targets, err := d.reader.Targets(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		host(t.Address)
	}
	for i := range d.report.Servers {
		addresses = append(addresses, d.report.Servers[i].Identity.Before.HostName, d.report.Servers[i].Identity.Now.HostName)
	}
	r := evidence.NewRedactor(users, addresses)
	for i := range d.report.Servers {
		s := &d.report.Servers[i]
		r.Keep(s.Identity.Before.BMCFirmware, s.Identity.Before.BIOS, s.Identity.Now.BMCFirmware, s.Identity.Now.BIOS, string(s.Target))
		for _, p := range s.Parts {
			r.Keep(p.Firmware)
			if p.Change == "firmware" {
				r.Keep(p.Was)
			}
		}
		entries, err := d.reader.LogEntries(ctx, s.Target, s.Windows.BaselineFrom, d.report.GeneratedAt)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			r.Learn(e.Message)
		}
	}
	return r, nil
}

// redactedNote is what stands beside a report whose names were replaced.
const redactedNote = `In this report, in its tables and in its data, names of people and addresses were replaced before it was signed: each
by the same word wherever it stands. The original is with who made the report.

The sums of data/chain.jsonl are those of the events as they were recorded.
`

// write writes the report, its evidence and their seal into a folder that appears when it is whole.
func (d *dossier) write(ctx context.Context, out string) error {
	return writeReport(out, func(tmp string) error {
		rep := d.report
		rep.Redacted = d.redact != nil
		doc := rep.Document(d.texts)
		if d.redact != nil {
			d.redact.In(doc)
		}
		model := any(rep)
		if d.redact != nil {
			model = redactedModel{rep, d.redact}
		}
		if err := reportFiles(tmp, doc, model); err != nil {
			return err
		}
		if err := d.data(ctx, tmp); err != nil {
			return err
		}
		if d.redact != nil {
			note := fmt.Sprintf("%s\nReplaced: %d names, %d addresses.\n", redactedNote, d.redact.Users(), d.redact.Addresses())
			if err := os.WriteFile(filepath.Join(tmp, "REDACTED.txt"), []byte(note), 0o644); err != nil {
				return fmt.Errorf("write report: %w", err)
			}
		}
		return evidence.Seal(tmp, d.key, d.comment())
	})
}

// comment is what is signed beside the manifest.
func (d *dossier) comment() string {
	rep := d.report
	var words []string
	if d.redact != nil {
		words = append(words, evidence.Redacted)
	}
	if rep.Simulated {
		words = append(words, "SIMULATED")
	}
	from := ""
	if rep.Elsewhere != "" {
		from = ", a part of its data from " + rep.Elsewhere
		if d.redact != nil {
			from = d.redact.Text(from)
		}
	}
	return strings.Join(append(words, fmt.Sprintf("dewline hardware verification, incident %s, %s, verdict %s, made %s",
		rep.Incident.Reported.Format(time.RFC3339), plural(len(rep.Servers), "server"), rep.Verdict, rep.GeneratedAt.Format(time.RFC3339))+from), " ")
}

// redactedModel is a model whose JSON has the names in it replaced.
type redactedModel struct {
	model  *verification.Report
	redact *evidence.Redactor
}

func (m redactedModel) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(m.model)
	if err != nil {
		return nil, err
	}
	return m.redact.JSON(b), nil
}

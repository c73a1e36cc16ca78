package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/config"
)

// reloadDoc is what a reload changed: `reload -o json` (docs/SCHEMA.md).
type reloadDoc struct {
	Version   int               `json:"version"`
	File      string            `json:"file"`
	Added     []health.TargetID `json:"added"`
	Removed   []health.TargetID `json:"removed"`
	Restarted []health.TargetID `json:"restarted"`
	Adjusted  []health.TargetID `json:"adjusted"`
	Unchanged int               `json:"unchanged"`
	Resumed   []string          `json:"resumed_credentials"`
	Applied   []string          `json:"applied"`       // other keys that are in force now
	Restart   []string          `json:"needs_restart"` // keys that changed and are not in force
	Warnings  []config.Fault    `json:"warnings"`
}

// faultsDoc is how the daemon refuses a configuration.
type faultsDoc struct {
	Faults []config.Fault `json:"faults"`
}

// reload reads the configuration again and puts in force what changed. An error changes nothing; it is config.Faults for a
// configuration that is broken.
func (d *service) reload(ctx context.Context) (*reloadDoc, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.systemd.reloading()
	defer func() { d.systemd.ready(d.status()) }()
	doc, err := d.apply(ctx)
	if faults, ok := errors.AsType[config.Faults](err); ok {
		places := make([]string, 0, 5)
		for _, f := range faults[:min(len(faults), 5)] {
			places = append(places, f.Error())
		}
		d.log.Error("the new configuration is refused; the old one stays in force", "faults", len(faults), "first", places)
		return nil, err
	}
	if err != nil {
		d.log.Error("reload failed; the old configuration stays in force", "err", err)
		return nil, err
	}
	args := []any{"added", len(doc.Added), "removed", len(doc.Removed), "restarted", len(doc.Restarted), "adjusted", len(doc.Adjusted), "unchanged", doc.Unchanged}
	if len(doc.Applied) > 0 {
		args = append(args, "applied", doc.Applied)
	}
	d.log.Info("configuration reloaded", args...)
	if len(doc.Restart) > 0 {
		d.log.Warn("some changes need a restart of dewline, and are not in force", "keys", doc.Restart)
	}
	return doc, nil
}

func (d *service) apply(ctx context.Context) (*reloadDoc, error) {
	next, err := readConfig(d.path)
	if err != nil {
		return nil, err
	}
	if missing := next.SecretFaults(); len(missing) > 0 {
		return nil, missing
	}
	if len(next.Targets)+len(next.Probes) == 0 {
		return nil, config.Faults{{File: d.path, Line: 1, Column: 1, Message: "the configuration has no [[target]]: there is nothing to read"}}
	}
	doc := &reloadDoc{
		Version: 1, File: d.path, Applied: []string{}, Restart: []string{}, Warnings: append([]config.Fault{}, next.Warnings...),
	}
	old := d.config()
	d.keep(old, next, doc)
	replace := func() {}
	if next.InfluxDB != nil && d.influxDigest(old.InfluxDB) != d.influxDigest(next.InfluxDB) {
		sink, err := openInflux(next.InfluxDB, d.db, d.health, d.log)
		if err != nil {
			return nil, err
		}
		doc.Applied = append(doc.Applied, "influxdb")
		replace = func() { d.delivery.replace(sink) }
	}
	told, err := newReceivers(&next.Notify, d.digest)
	if err != nil {
		return nil, err
	}
	jobs, secrets := d.jobs(next)
	before := *d.targets.Load()
	d.take(next) // before the collector: what it opens from now on is the new definition
	changes, err := d.applyJobs(ctx, jobs)
	if err != nil {
		d.targets.Store(&before)
		d.cfg.Store(old)
		d.rooms.Set(mappings(old))
		return nil, err
	}
	d.secrets = secrets
	d.denials.forget()
	replace()
	if told.digest != d.told {
		d.told = told.digest
		d.crier.replace(told)
		doc.Applied = append(doc.Applied, "notify")
	}
	for key, changed := range map[string]bool{"moisture": old.Moisture != next.Moisture, "air": !reflect.DeepEqual(old.Airs, next.Airs),
		"probe": d.input != nil && !reflect.DeepEqual(old.Probes, next.Probes)} {
		if changed {
			doc.Applied = append(doc.Applied, key)
		}
	}
	slices.Sort(doc.Applied)
	if d.input != nil && !reflect.DeepEqual(old.Probes, next.Probes) {
		d.input.Set(pushProbes(next))
	}
	if d.level.Level() != next.Log.Level {
		d.level.Set(next.Log.Level)
		doc.Applied = append(doc.Applied, "log.level")
	}
	doc.Added, doc.Removed = orEmpty(changes.Added), orEmpty(changes.Removed)
	doc.Restarted, doc.Adjusted = orEmpty(changes.Restarted), orEmpty(changes.Adjusted)
	doc.Unchanged, doc.Resumed = changes.Unchanged, orEmpty(changes.Resumed)
	return doc, nil
}

// applyJobs waits a moment for a collector that is just being started.
func (d *service) applyJobs(ctx context.Context, jobs []collector.Job) (collector.Changes, error) {
	deadline := time.Now().Add(2 * time.Second)
	for {
		ch, err := d.collector.Reload(jobs)
		if !errors.Is(err, collector.ErrNotRunning) || ctx.Err() != nil || time.Now().After(deadline) {
			return ch, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// keep leaves in the next configuration what only a restart can change, and names it.
func (d *service) keep(old, next *config.Config, doc *reloadDoc) {
	for _, k := range []struct {
		key     string
		changed bool
		keep    func()
	}{
		{"data_dir", old.DataDir != next.DataDir, func() { next.DataDir = old.DataDir }},
		{"schedule.spread", old.Schedule.Spread != next.Schedule.Spread, func() { next.Schedule.Spread = old.Schedule.Spread }},
		{"collector", !reflect.DeepEqual(old.Collector, next.Collector), func() { next.Collector = old.Collector }},
		{"log.format", old.Log.Format != next.Log.Format, func() { next.Log.Format = old.Log.Format }},
		// The store must know from its opening whose cursor it waits for.
		{"influxdb", (old.InfluxDB == nil) != (next.InfluxDB == nil), func() { next.InfluxDB = old.InfluxDB }},
		{"influxdb.max_lag", old.InfluxDB != nil && next.InfluxDB != nil && old.InfluxDB.MaxLag != next.InfluxDB.MaxLag,
			func() { next.InfluxDB.MaxLag = old.InfluxDB.MaxLag }},
		{"input", !reflect.DeepEqual(old.Input, next.Input), func() { next.Input = old.Input }},
		{"incidents", !reflect.DeepEqual(old.Incidents, next.Incidents), func() { next.Incidents = old.Incidents }},
		{"retention", old.Retention != next.Retention, func() { next.Retention = old.Retention }},
		{"backup", !sameBackup(old.Backup, next.Backup), func() { next.Backup = old.Backup }},
	} {
		if k.changed {
			doc.Restart = append(doc.Restart, k.key)
			k.keep()
		}
	}
}

func sameBackup(a, b *config.Backup) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Path == b.Path && a.Keep == b.Keep && a.Schedule.Equal(b.Schedule)
}

func (d *service) health(id health.TargetID) (health.Target, bool) {
	t, ok := d.target(id)
	if !ok {
		return health.Target{}, false
	}
	return t.Target, true
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// hangUp reloads at every signal until ctx ends. Signals that come while a reload is under way make one more.
func (d *service) hangUp(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			_, _ = d.reload(ctx) // logged there
		}
	}
}

func (d *service) answerReload(w http.ResponseWriter, r *http.Request) {
	doc, err := d.reload(context.WithoutCancel(r.Context()))
	answer, code := any(doc), http.StatusOK
	if faults, ok := errors.AsType[config.Faults](err); ok {
		answer, code = faultsDoc{faults}, http.StatusUnprocessableEntity
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(answer) // who asked has gone: nothing to tell anyone
}

func (p *program) reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "make the running daemon read its configuration again",
		Long: `Reload asks the running daemon to read its configuration again, as SIGHUP does, and prints what changed. Unchanged
targets keep their sessions and their schedule. Removed ones are logged out, keep their history, and their open faults
close as unmonitored. A broken configuration is refused, with every fault and its place (exit 2): the old one stays in
force. What needs a restart is named. Suspended credentials are used again.`,
		Example: "  dewline reload -c /etc/dewline/dewline.toml",
	}
	configPath := configFlag(cmd)
	dataDir := cmd.Flags().String("data-dir", "", "ask the daemon of this data_dir, instead of the configuration's")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return p.reload(cmd.Context(), *configPath, *dataDir, *output)
	}
	return cmd
}

func (p *program) reload(ctx context.Context, flag, dir string, output format) error {
	var broken error // of the file here: the daemon reads its own, which is the same one in all but odd cases
	if dir == "" {
		path, err := config.Find(flag)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		cfg, err := readConfig(path)
		if err == nil {
			dir = cfg.DataDir
		} else if broken = err; dir == "" {
			if dir = roughDataDir(path); dir == "" {
				return &exitError{exitUsage, broken}
			}
		}
	}
	doc, err := reloadDaemon(ctx, dir)
	if errors.Is(err, errNoDaemon) && broken != nil {
		return &exitError{exitUsage, broken}
	}
	if faults, ok := errors.AsType[config.Faults](err); ok && output == "json" {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		for _, f := range faults {
			if err := enc.Encode(f); err != nil {
				return err
			}
		}
		return &exitError{code: exitUsage}
	}
	if err != nil {
		return err
	}
	if output == "json" {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(doc)
	}
	return p.printReload(doc)
}

func (p *program) printReload(doc *reloadDoc) error {
	var b strings.Builder
	list := func(what string, ids []health.TargetID) {
		const most = 20
		if len(ids) == 0 {
			return
		}
		names := make([]string, 0, most)
		for _, id := range ids[:min(len(ids), most)] {
			names = append(names, cellText(string(id)))
		}
		if len(ids) > most {
			names = append(names, fmt.Sprintf("and %d more", len(ids)-most))
		}
		fmt.Fprintf(&b, "%-10s %s\n", what, strings.Join(names, ", "))
	}
	list("added", doc.Added)
	list("removed", doc.Removed)
	list("restarted", doc.Restarted)
	list("adjusted", doc.Adjusted)
	fmt.Fprintf(&b, "%-10s %d targets\n", "unchanged", doc.Unchanged)
	for _, s := range []struct {
		what string
		keys []string
	}{{"resumed", doc.Resumed}, {"applied", doc.Applied}, {"not yet", doc.Restart}} {
		if len(s.keys) > 0 {
			fmt.Fprintf(&b, "%-10s %s", s.what, printable(strings.Join(s.keys, ", ")))
			if s.what == "not yet" {
				b.WriteString(": needs a restart of dewline")
			}
			b.WriteString("\n")
		}
	}
	for _, w := range doc.Warnings {
		fmt.Fprintf(p.stderr, "warning: %s\n", printable(w.Error()))
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

// errNoDaemon is that nobody listens on a control socket.
var errNoDaemon = errors.New("no daemon runs with this data_dir, or it is another user's")

// reloadDaemon asks the daemon of a data_dir to reload. The error is config.Faults if it refuses its configuration.
func reloadDaemon(ctx context.Context, dataDir string) (*reloadDoc, error) {
	resp, err := askDaemon(ctx, dataDir, "/reload", nil)
	if err != nil {
		return nil, err
	}
	if resp == nil {
		return nil, fmt.Errorf("reload %s: %w (a changed data_dir needs a restart; --data-dir names the old one)", dataDir, errNoDaemon)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxControlBody))
	if err != nil {
		return nil, fmt.Errorf("read the daemon's answer: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		var doc reloadDoc
		if err := json.Unmarshal(answer, &doc); err != nil {
			return nil, fmt.Errorf("read the daemon's answer: %w", err)
		}
		return &doc, nil
	case http.StatusUnprocessableEntity:
		var doc faultsDoc
		if err := json.Unmarshal(answer, &doc); err != nil {
			return nil, fmt.Errorf("read the daemon's answer: %w", err)
		}
		return nil, config.Faults(doc.Faults)
	}
	return nil, fmt.Errorf("the daemon answers %s: %s", resp.Status, bytes.TrimSpace(answer))
}

var dataDirLine = regexp.MustCompile(`(?m)^\s*data_dir\s*=\s*("(?:[^"\\\n]|\\.)*"|'[^'\n]*')`)

// roughDataDir finds data_dir in a configuration that is broken somewhere, "" if it cannot: only to ask the daemon there,
// who then refuses that configuration.
func roughDataDir(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	m := dataDirLine.FindSubmatch(text)
	if m == nil {
		return ""
	}
	word := string(m[1])
	if !strings.HasPrefix(word, "'") {
		if word, err = strconv.Unquote(word); err != nil {
			return ""
		}
	} else {
		word = strings.Trim(word, "'")
	}
	rough, err := config.Parse(path, slices.Concat([]byte("data_dir = "), []byte(strconv.Quote(word)), []byte("\n")))
	if err != nil {
		return ""
	}
	return rough.DataDir
}

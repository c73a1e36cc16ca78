package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/config"
	"dewline/internal/secret"
)

// pollParallel is how many BMCs one `poll` reads at a time.
const pollParallel = 32

type pollFlags struct {
	config, address, username, password, driver, fingerprint, caFile, log, failOn, replay string
	insecure                                                                              bool
	timeout                                                                               time.Duration
	tryDenied                                                                             bool
}

func (p *program) pollCommand() *cobra.Command {
	var f pollFlags
	cmd := &cobra.Command{
		Use:   "poll [TARGET...]",
		Short: "read BMCs once, now, and print what they say",
		Long: `Poll makes one full visit, all tiers, to the named targets of the configuration (to all of them if none is named), or
to one BMC given by --address, with no configuration at all. It writes no store; its faults come from this one reading.`,
		Example: `  dewline poll db-1
  dewline poll -c dewline.toml -o json | jq 'select(.faults != [])'
  BMC=secret dewline poll --address https://10.0.0.7 --username monitor --password env:BMC --insecure
  dewline poll --address ipmi://10.0.0.8 --username monitor --password file:bmc.pass
  dewline poll --replay db-1.tar.gz -o json     the decoders of today on a machine recorded earlier`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeTargets,
	}
	output := outputFlag(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.config, "config", "c", "", "configuration `file` (default ./dewline.toml, then /etc/dewline/dewline.toml)")
	fl.StringVar(&f.address, "address", "", "poll this one BMC: https://HOST[:PORT], ipmi://HOST[:PORT], or HOST for either")
	fl.StringVar(&f.username, "username", "", "user on the BMC (with --address)")
	fl.StringVar(&f.password, "password", "", "where the password is: env:NAME, file:PATH or cred:NAME (with --address)")
	fl.StringVar(&f.driver, "driver", "", "auto, redfish or ipmi (with --address; default by the address)")
	fl.BoolVar(&f.insecure, "insecure", false, "do not verify the BMC's certificate (with --address)")
	fl.StringVar(&f.fingerprint, "fingerprint", "", "SHA-256 fingerprint the BMC's certificate must have (with --address)")
	fl.StringVar(&f.caFile, "ca-file", "", "certificates that vouch for the BMC's (with --address)")
	fl.StringVar(&f.replay, "replay", "", "poll a recorded machine: a `file` of dewline record, or a Redfish mock-up (folder or .tar.gz)")
	fl.StringVar(&f.log, "log", strconv.Itoa(health.DefaultLogLimit), "how many of the newest entries of each log: a number or all")
	fl.StringVar(&f.failOn, "fail-on", "", "exit 4 if there is a fault at least this severe: warning or critical")
	fl.DurationVar(&f.timeout, "timeout", 5*time.Minute, "longest time for one BMC")
	fl.BoolVar(&f.tryDenied, "try-denied", false, "also log in where a login was denied lately: one attempt more, and accounts lock")
	_ = cmd.RegisterFlagCompletionFunc("driver", cobra.FixedCompletions([]string{"auto", "redfish", "ipmi"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"warning", "critical"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.poll(cmd.Context(), f, args, *output)
	}
	return cmd
}

func (p *program) poll(ctx context.Context, f pollFlags, names []string, output format) error {
	limit, err := parseLogLimit(f.log)
	if err != nil {
		return err
	}
	failOn, err := parseFailOn(f.failOn)
	if err != nil {
		return err
	}
	read := func(t *config.Target, guard *lockout) *pollDoc { return p.pollOne(ctx, t, guard, limit, f.timeout) }
	var targets []config.Target
	var dataDir string
	if f.replay != "" {
		doc, err := p.replayed(ctx, f, names, limit)
		if err != nil {
			return err
		}
		targets, read = make([]config.Target, 1), func(*config.Target, *lockout) *pollDoc { return doc }
	} else if targets, dataDir, err = p.pollTargets(f, names); err != nil {
		return err
	}

	guard, err := p.lockout(ctx, dataDir, f.tryDenied)
	if err != nil {
		return err
	}
	// Targets are read side by side and printed in their order, each as soon as those before it are.
	docs := make([]chan *pollDoc, len(targets))
	for i := range docs {
		docs[i] = make(chan *pollDoc, 1)
	}
	slots := make(chan struct{}, pollParallel)
	var wg sync.WaitGroup
	defer wg.Wait() // also when printing fails: BMCs are logged out of
	for i := range targets {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			docs[i] <- read(&targets[i], guard)
		})
	}
	failed, worst := 0, health.SeverityUnknown
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	for i, c := range docs {
		doc := <-c
		if doc.Error != nil {
			failed++
		}
		for _, fault := range doc.Faults {
			var severity health.Severity
			if err := severity.UnmarshalText([]byte(fault.Severity)); err != nil {
				return err
			}
			worst = max(worst, severity)
		}
		if output == "json" {
			err = enc.Encode(doc)
		} else {
			err = p.printPoll(doc, i > 0)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return &exitError{code: exitInterrupted}
	case failed > 0:
		return &exitError{code: exitTargets}
	case failOn != health.SeverityUnknown && worst >= failOn:
		return &exitError{code: exitFaults}
	}
	return nil
}

// replayed is the document of --replay.
func (p *program) replayed(ctx context.Context, f pollFlags, names []string, limit int) (*pollDoc, error) {
	if len(names) > 0 || f.address != "" || f.config != "" {
		return nil, usageError("give --replay, --address or names of targets, not several of them")
	}
	if err := connectionFlags(f); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return pollReplay(ctx, f.replay, limit)
}

// connectionFlags refuses the flags that only go with --address.
func connectionFlags(f pollFlags) error {
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"--username", f.username != ""}, {"--password", f.password != ""}, {"--insecure", f.insecure}, {"--driver", f.driver != ""},
		{"--fingerprint", f.fingerprint != ""}, {"--ca-file", f.caFile != ""},
	} {
		if flag.set {
			return usageError("%s goes with --address; for a configured target it stands in the configuration", flag.name)
		}
	}
	return nil
}

func parseLogLimit(s string) (int, error) {
	if s == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, usageError("--log %q: a number of entries from 1, or all", s)
	}
	return n, nil
}

func parseFailOn(s string) (health.Severity, error) {
	switch s {
	case "":
		return health.SeverityUnknown, nil
	case "warning":
		return health.SeverityWarning, nil
	case "critical":
		return health.SeverityCritical, nil
	}
	return 0, usageError("--fail-on %q: warning or critical", s)
}

// pollTargets is what poll shall read: one BMC from the flags, or targets of the configuration, whose data_dir it gives.
func (p *program) pollTargets(f pollFlags, names []string) (targets []config.Target, dataDir string, err error) {
	if f.address != "" {
		if len(names) > 0 {
			return nil, "", usageError("give --address or names of targets, not both")
		}
		t, err := p.adHocTarget(f)
		if err != nil {
			return nil, "", err
		}
		return []config.Target{*t}, "", nil
	}
	if err := connectionFlags(f); err != nil {
		return nil, "", err
	}
	cfg, err := loadConfig(f.config)
	if err != nil {
		return nil, "", err
	}
	p.warn(cfg)
	targets, err = selectTargets(cfg, names)
	return targets, cfg.DataDir, err
}

// selectTargets is the named targets, all of them for no name.
func selectTargets(cfg *config.Config, names []string) ([]config.Target, error) {
	if len(names) == 0 {
		if len(cfg.Targets) == 0 {
			return nil, usageError("the configuration has no [[target]]: add one, or poll one BMC with --address")
		}
		return cfg.Targets, nil
	}
	var ts []config.Target
	for _, n := range names {
		i := slices.IndexFunc(cfg.Targets, func(t config.Target) bool { return string(t.ID) == n })
		if i < 0 {
			return nil, usageError("no target %q in the configuration%s", n, nearestTarget(cfg, n))
		}
		ts = append(ts, cfg.Targets[i])
	}
	return ts, nil
}

// adHocTarget is a target made of flags alone, checked by the same rules as a configured one.
func (p *program) adHocTarget(f pollFlags) (*config.Target, error) {
	name := f.address
	if u, err := url.Parse(f.address); err == nil && u.Host != "" {
		name = u.Host
	}
	var ref secret.Ref
	if f.password != "" {
		if err := ref.UnmarshalText([]byte(f.password)); err != nil {
			return nil, usageError("--password: %w", err)
		}
		if ref.Inline() {
			return nil, usageError("--password on the command line can be seen by every user of this machine: use env:NAME, file:PATH or cred:NAME")
		}
		if _, err := ref.Resolve(); err != nil {
			return nil, usageError("--password: %w", err)
		}
	}
	t, err := config.AdHoc(config.Target{
		Target:     health.Target{ID: health.TargetID(name), Address: f.address, Driver: f.driver},
		Credential: config.Credential{Username: f.username, Password: ref},
		TLS:        config.TLS{CAFile: f.caFile, Fingerprint: f.fingerprint, Insecure: f.insecure},
	})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return t, nil
}

// pollOne reads one target, all tiers: over the session of the daemon that watches it, if one runs here, else over one of
// its own, and logs out.
func (p *program) pollOne(ctx context.Context, t *config.Target, guard *lockout, limit int, timeout time.Duration) *pollDoc {
	dataDir := guard.dataDir
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	failed := func(err error) *pollDoc {
		return newPollDoc(&health.Visit{
			Target: t.ID, Driver: t.Driver, Origin: t.Origin, Started: time.Now(), Result: health.Failed, Reason: health.ReasonFor(err), Error: err.Error(),
		})
	}
	if dataDir != "" {
		doc, err := pollDaemon(ctx, dataDir, pollRequest{Target: t.ID, LogLimit: limit})
		if err != nil {
			return failed(err)
		}
		if doc != nil {
			return doc
		}
	}
	if why := guard.enter(t); why != "" {
		return failed(&health.Error{Reason: health.ReasonDenied, Op: "read", Err: errors.New(why)})
	}
	v := &health.Visit{}
	defer func() {
		if err := guard.leave(t, v); err != nil {
			p.warnDenials(err)
		}
	}()
	src, err := openTarget(t, "", "", commandSessions(dataDir), slog.New(slog.DiscardHandler))
	if err != nil {
		return failed(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = src.Close(ctx) // the session ends by itself later; nothing of the reading depends on it
	}()
	v = collector.Poll(ctx, src, t.Target, health.EveryTier, limit)
	v.Driver = cmp.Or(v.Driver, t.Driver)
	return newPollDoc(v)
}

func (p *program) warnDenials(err error) {
	fmt.Fprintf(p.stderr, "warning: %s\n", printable(err.Error()))
}

func completeTargets(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	flag, _ := cmd.Flags().GetString("config")
	cfg, err := loadConfig(flag)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range cfg.Targets {
		if !slices.Contains(given, string(t.ID)) {
			names = append(names, string(t.ID))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// warn prints the warnings of a configuration.
func (p *program) warn(cfg *config.Config) {
	for _, w := range cfg.Warnings {
		fmt.Fprintln(p.stderr, "warning:", printable(w.Error()))
	}
}

// nearestTarget hints at the target that was probably meant.
func nearestTarget(cfg *config.Config, name string) string {
	var known []string
	for _, t := range cfg.Targets {
		known = append(known, string(t.ID))
	}
	if near := config.Suggest(name, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

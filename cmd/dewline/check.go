package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/config"
	"dewline/store/influx"
)

func (p *program) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "every fault of a configuration, with its place",
		Long: `Check reads the configuration and prints every fault with file:line:column and what to do about it. It exits with 0 if
there is none and 2 otherwise. With --connect it then reads each BMC once (one log-in each) and asks InfluxDB.
A login that was denied before is not tried again before its time. Of a certificate that nobody vouches for it shows the
fingerprint, and the line that would trust it; --pin writes it, and never over another one.`,
		Example: "  dewline check -c dewline.toml\n  dewline check -c dewline.toml --connect\n  dewline check -c dewline.toml --connect --pin\n  dewline check -o json",
	}
	configPath := configFlag(cmd)
	connect := cmd.Flags().Bool("connect", false, "also read each BMC once, and ask InfluxDB")
	again := cmd.Flags().Bool("try-denied", false, "also log in where a login was denied lately: one attempt more, and accounts lock")
	pin := cmd.Flags().Bool("pin", false, "with --connect: write the fingerprints of certificates that nobody vouches for into the configuration, after asking")
	yes := cmd.Flags().Bool("yes", false, "do not ask (with --pin)")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return p.check(cmd.Context(), *configPath, *connect || *pin, *again, *pin, *yes, *output)
	}
	return cmd
}

func (p *program) check(ctx context.Context, path string, connect, again, pin, yes bool, output format) error {
	path, err := config.Find(path)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	pins, err := newPinning(path, pin, yes)
	if err != nil {
		return err
	}
	cfg, err := readConfig(path)
	if err == nil { // what a daemon would stumble over at its first visit is told now
		if missing := cfg.SecretFaults(); len(missing) > 0 {
			err = missing
		}
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
		return &exitError{exitUsage, err}
	}
	p.warn(cfg)
	if cfg.Backup == nil {
		fmt.Fprintf(p.stderr, "warning: %s: %s (%s)\n", printable(path), noBackup, noBackupHint)
	}
	if output == "table" {
		fmt.Fprintf(p.stdout, "%s: %s, no fault\n", path, count(len(cfg.Targets), "target"))
	}
	if len(cfg.Targets) == 0 {
		fmt.Fprintf(p.stderr, "warning: %s: no [[target]]: `dewline run` will refuse to start\n", path)
	}
	if !connect {
		return nil
	}
	return p.connect(ctx, cfg, again, pins, output)
}

// connectDoc is one line of `check --connect -o json`.
type connectDoc struct {
	Target  health.TargetID `json:"target,omitempty"`
	Sink    string          `json:"sink,omitempty"`
	OK      bool            `json:"ok"`
	Driver  string          `json:"driver,omitempty"`
	Reason  health.Reason   `json:"reason,omitempty"`
	Message string          `json:"message,omitempty"`
	// Certificate is the one that was not accepted.
	Certificate *certificateDoc `json:"certificate,omitempty"`
}

// connectTimeout is the longest one BMC may take: enough for a slow TLS handshake, a login and a first discovery.
const connectTimeout = time.Minute

func (p *program) connect(ctx context.Context, cfg *config.Config, again bool, pins *pinning, output format) error {
	guard, err := p.lockout(ctx, cfg.DataDir, again)
	if err != nil {
		return err
	}
	docs := make([]chan connectDoc, len(cfg.Targets))
	slots := make(chan struct{}, pollParallel)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range docs {
		docs[i] = make(chan connectDoc, 1)
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			d := p.connectTarget(ctx, &cfg.Targets[i], guard)
			if d.Reason == health.ReasonTLS {
				d.Certificate = certificate(ctx, &cfg.Targets[i])
			}
			docs[i] <- d
		})
	}
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	failed := 0
	tell := func(d connectDoc) error {
		if !d.OK {
			failed++
		}
		if output == "json" {
			return enc.Encode(d)
		}
		name := cmpName(d)
		if d.OK {
			_, err := fmt.Fprintf(p.stdout, "%s: ok %s\n", cellText(name), d.Driver)
			return err
		}
		more := ""
		if d.Certificate != nil {
			more = d.Certificate.text() + d.Certificate.advice(d.Target)
		}
		_, err := fmt.Fprintf(p.stdout, "%s: %s: %s\n%s", cellText(name), d.Reason, printable(d.Message), more)
		return err
	}
	for i, c := range docs {
		d := <-c
		if d.Certificate != nil {
			if err := pins.offer(p, &cfg.Targets[i], d.Certificate); err != nil {
				return err
			}
		}
		if err := tell(d); err != nil {
			return err
		}
	}
	if cfg.InfluxDB != nil {
		if err := tell(connectInflux(ctx, cfg.InfluxDB)); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return &exitError{code: exitInterrupted}
	}
	if failed > 0 {
		return &exitError{code: exitTargets}
	}
	return nil
}

func cmpName(d connectDoc) string {
	if d.Sink != "" {
		return d.Sink
	}
	return string(d.Target)
}

// connectTarget reads the readings tier once: it shows that address, certificate, credential and privilege are right.
func (p *program) connectTarget(ctx context.Context, t *config.Target, guard *lockout) connectDoc {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	nonce := rand.Text()
	switch doc, err := pollDaemon(ctx, guard.dataDir, pollRequest{Target: t.ID, LogLimit: 1, Readings: true, Nonce: nonce, Like: definitionDigest(nonce, t)}); {
	case err != nil:
		return connectDoc{Target: t.ID, Reason: health.ReasonFor(err), Message: err.Error()}
	case doc != nil && doc.Error != nil:
		return connectDoc{Target: t.ID, Driver: doc.Driver, Reason: doc.Error.Reason, Message: doc.Error.Message}
	case doc != nil:
		return connectDoc{Target: t.ID, OK: true, Driver: doc.Driver}
	}
	if why := guard.enter(t); why != "" {
		return connectDoc{Target: t.ID, Reason: health.ReasonDenied, Message: why}
	}
	v := &health.Visit{}
	defer func() {
		if err := guard.leave(t, v); err != nil {
			p.warnDenials(err)
		}
	}()
	src, err := openTarget(t, "", "", commandSessions(guard.dataDir), slog.New(slog.DiscardHandler))
	if err != nil {
		return connectDoc{Target: t.ID, Reason: health.ReasonFor(err), Message: err.Error()}
	}
	v = collector.Poll(ctx, src, t.Target, health.TiersOf(health.TierReadings), 1)
	closeCtx, cancelClose := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelClose()
	_ = src.Close(closeCtx)
	if v.Result != health.Done && v.Result != health.Late {
		return connectDoc{Target: t.ID, Driver: v.Driver, Reason: v.Reason, Message: v.Error}
	}
	return connectDoc{Target: t.ID, OK: true, Driver: v.Driver}
}

// noLog stands where a sink wants a log to follow and has no need of one, since it only checks its server.
type noLog struct{ influx.Log }

func connectInflux(ctx context.Context, c *config.InfluxDB) connectDoc {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	d := connectDoc{Sink: influx.DefaultName}
	sink, err := openInflux(c, noLog{}, func(health.TargetID) (health.Target, bool) { return health.Target{}, false }, slog.New(slog.DiscardHandler))
	if err == nil {
		err = sink.Check(ctx)
	}
	if err != nil {
		d.Reason, d.Message = health.ReasonFor(err), err.Error()
		return d
	}
	d.OK = true
	return d
}

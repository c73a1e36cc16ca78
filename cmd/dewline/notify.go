package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/internal/config"
	"dewline/notify"
)

func (p *program) notifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "who is told of faults: try it",
		Long:  "Receivers of notifications stand in the configuration (docs/NOTIFICATIONS.md); dewline status shows how delivery stands.",
		Example: `  dewline notify test
  dewline notify test oncall`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.notifyTestCommand())
	return cmd
}

// notifyTestDoc is one document of `notify test -o json` (docs/SCHEMA.md).
type notifyTestDoc struct {
	Version  int    `json:"version"`
	Receiver string `json:"receiver"`
	OK       bool   `json:"ok"`
	Answer   string `json:"answer,omitempty"`
	Error    string `json:"error,omitempty"`
}

func (p *program) notifyTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [NAME...]",
		Short: "send a marked test message, and say what the receiver answered",
		Long: `Test sends one message that says that it is a test to each receiver, or to those named, and prints what they answered. It
needs no daemon and writes nothing. A receiver that does not take it makes the exit code 1.`,
		Example: "  dewline notify test -c dewline.toml\n  dewline notify test oncall -o json",
		Args:    cobra.ArbitraryArgs,
	}
	configPath, output := configFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := loadConfig(*configPath)
		if err != nil {
			return err
		}
		p.warn(cfg)
		if missing := cfg.SecretFaults(); len(missing) > 0 {
			return &exitError{exitUsage, missing}
		}
		r, err := newReceivers(&cfg.Notify, nil)
		if err != nil {
			return err
		}
		names := r.names()
		if len(names) == 0 {
			return usageError("the configuration has no receiver: add a [[notify.alertmanager]], [[notify.webhook]], [[notify.mail]] or [[notify.heartbeat]]")
		}
		for _, a := range args {
			if slices.Contains(names, a) {
				continue
			}
			if near := config.Suggest(a, names); near != "" {
				return usageError("no receiver is called %q: did you mean %q?", a, near)
			}
			return usageError("no receiver is called %q: there are %s", a, strings.Join(names, ", "))
		}
		return p.notifyTest(cmd.Context(), r, args, *output)
	}
	return cmd
}

func (p *program) notifyTest(ctx context.Context, r *receivers, names []string, output format) error {
	var docs []notifyTestDoc
	try := func(name string, timeout time.Duration, send func(context.Context) (string, error)) {
		if len(names) > 0 && !slices.Contains(names, name) {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		answer, err := send(attempt)
		d := notifyTestDoc{Version: 1, Receiver: name, OK: err == nil, Answer: answer}
		if err != nil {
			d.Error = err.Error()
			if errors.Is(err, context.DeadlineExceeded) {
				d.Error = fmt.Sprintf("no answer within %s", timeout)
			}
		}
		docs = append(docs, d)
	}
	for i := range r.told {
		to := &r.told[i]
		try(to.Name, to.Timeout, func(ctx context.Context) (string, error) {
			return to.Sender.Send(ctx, testMessage(to.Name, time.Now()))
		})
	}
	for i := range r.beats {
		b := &r.beats[i]
		try(b.name, b.timeout, func(ctx context.Context) (string, error) { return b.ping.Ping(ctx, nil) })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	bad := 0
	t := p.newTable("RECEIVER", "RESULT", "ANSWER")
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	for _, d := range docs {
		result, said := "ok", d.Answer
		if !d.OK {
			bad++
			result, said = "failed", d.Error
		}
		if output == "json" {
			if err := enc.Encode(d); err != nil {
				return err
			}
			continue
		}
		t.row(d.Receiver, result, said)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if bad > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d of %s did not take the test message", bad, count(len(docs), "receiver"))}
	}
	return nil
}

// testMessage is marked in every form: nobody is to run for it.
func testMessage(receiver string, now time.Time) *health.Message {
	now = now.UTC().Truncate(time.Millisecond)
	e := health.MessageEvent{
		ID: "test-" + fmt.Sprint(now.UnixMilli()), Target: "dewline-test", Component: "test", Class: health.ClassSensor, Kind: health.KindInfo,
		Severity: health.SeverityInfo, State: health.Momentary, Message: "this is a test of dewline's notifications: nothing happened", Rule: "test", At: now,
	}
	m := &health.Message{
		Version: 1, Receiver: receiver, ID: e.ID, Group: "test", Severity: health.SeverityInfo, Test: true, Events: []health.MessageEvent{e},
	}
	m.Text = notify.Text(m)
	return m
}

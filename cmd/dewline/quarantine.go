package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/store/influx"
	"dewline/store/sqlite"
)

// quarantineDoc is one point of `quarantine -o json` (docs/SCHEMA.md).
type quarantineDoc struct {
	Version     int    `json:"version"`
	ID          int64  `json:"id"`
	Sink        string `json:"sink"`
	Visit       int64  `json:"visit"`
	RefusedAt   string `json:"refused_at"`
	Measurement string `json:"measurement"`
	Target      string `json:"target"`
	Component   string `json:"component,omitempty"`
	Line        string `json:"line"`
	Error       string `json:"error"`
	Released    bool   `json:"released"`
}

// quarantineRequest is what `quarantine release` and `drop` ask of the daemon.
type quarantineRequest struct {
	Action string  `json:"action"` // release, drop
	All    bool    `json:"all"`
	IDs    []int64 `json:"ids"`
}

// quarantineResult is what came of it, and what -o json prints.
type quarantineResult struct {
	Version  int  `json:"version"`
	Released int  `json:"released"`
	Dropped  int  `json:"dropped"`
	Daemon   bool `json:"daemon"` // false: none runs here; released points wait for its next start
}

func (p *program) quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "points that InfluxDB refused: read them, send them again, or drop them",
		Long: `Quarantine is where points stand that InfluxDB refused for good: a field of another type, a time before its retention
period. The rest goes on without them. Once the cause is gone (the measurement with the wrong type is dropped, the
retention period is longer), release them: they are sent again, in their order, beside what else is delivered. What is
refused again stays, with InfluxDB's new words. It works with and without a running daemon.`,
		Example: `  dewline quarantine                     what is refused, and why
  dewline quarantine show 17             the whole point, and InfluxDB's words
  dewline quarantine release 17 18       send these again
  dewline quarantine release --all
  dewline quarantine drop --all          these readings stay in the store; InfluxDB will never have them`,
	}
	configPath := cmd.PersistentFlags().StringP("config", "c", "", "configuration `file` (default ./dewline.toml, then /etc/dewline/dewline.toml)")
	dataDir := cmd.PersistentFlags().String("data-dir", "", "use this data_dir, without a configuration")
	folder := func() (string, error) {
		if *dataDir != "" {
			return *dataDir, nil
		}
		cfg, err := loadConfig(*configPath)
		if err != nil {
			return "", err
		}
		return cfg.DataDir, nil
	}
	list := &cobra.Command{Use: "list", Short: "what is in quarantine, oldest first", Example: "  dewline quarantine list --limit 0\n  dewline quarantine list -o json"}
	listing := func(c *cobra.Command) {
		output := outputFlag(c)
		limit := c.Flags().Int("limit", 100, "at most so many rows of a table, 0: all; JSON is always whole")
		c.RunE = func(cmd *cobra.Command, _ []string) error {
			if *limit < 0 {
				return usageError("--limit must not be negative")
			}
			dir, err := folder()
			if err != nil {
				return err
			}
			return p.quarantineList(cmd.Context(), dir, *limit, *output)
		}
	}
	listing(list)
	listing(cmd)
	show := &cobra.Command{
		Use: "show ID...", Short: "whole points, as they were sent, and InfluxDB's words", Args: cobra.MinimumNArgs(1), Example: "  dewline quarantine show 17",
	}
	output := outputFlag(show)
	show.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := pointIDs(args)
		if err != nil {
			return err
		}
		dir, err := folder()
		if err != nil {
			return err
		}
		return p.quarantineShow(cmd.Context(), dir, ids, *output)
	}
	cmd.AddCommand(list, show)
	for _, a := range []struct{ action, short string }{
		{"release", "send points again"},
		{"drop", "take points out for ever; the readings stay in the store"},
	} {
		c := &cobra.Command{Use: a.action + " {ID... | --all}", Short: a.short, Args: cobra.ArbitraryArgs, Example: fmt.Sprintf("  dewline quarantine %s 17 18\n  dewline quarantine %s --all", a.action, a.action)}
		output := outputFlag(c)
		all := c.Flags().Bool("all", false, "every point in quarantine")
		c.RunE = func(cmd *cobra.Command, args []string) error {
			ids, err := pointIDs(args)
			if err != nil {
				return err
			}
			if *all == (len(ids) > 0) {
				return usageError("%s needs either IDs (see `dewline quarantine`) or --all", a.action)
			}
			dir, err := folder()
			if err != nil {
				return err
			}
			return p.quarantineChange(cmd.Context(), dir, quarantineRequest{a.action, *all, ids}, *output)
		}
		cmd.AddCommand(c)
	}
	return cmd
}

func pointIDs(args []string) ([]int64, error) {
	ids := make([]int64, 0, len(args))
	for _, a := range args {
		id, err := strconv.ParseInt(a, 10, 64)
		if err != nil || id <= 0 {
			return nil, usageError("%q is no ID of a point: a number, see `dewline quarantine`", a)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (p *program) rejected(ctx context.Context, dir string) ([]quarantineDoc, error) {
	db, err := openStore(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Rejected(ctx, influx.DefaultName)
	if err != nil {
		return nil, err
	}
	docs := make([]quarantineDoc, len(rows))
	for i, r := range rows {
		docs[i] = newQuarantineDoc(r)
	}
	return docs, nil
}

func newQuarantineDoc(r health.Rejected) quarantineDoc {
	measurement, tags := influx.Series(r.Line)
	return quarantineDoc{
		Version: 1, ID: r.ID, Sink: influx.DefaultName, Visit: r.Seq, RefusedAt: formatTime(r.At), Measurement: measurement, Target: tags["target"],
		Component: tags["component"], Line: r.Line, Error: r.Error, Released: r.Released,
	}
}

func (p *program) quarantineList(ctx context.Context, dir string, limit int, output format) error {
	docs, err := p.rejected(ctx, dir)
	if err != nil {
		return err
	}
	if output == "json" {
		return p.quarantineJSON(docs)
	}
	if len(docs) == 0 {
		_, err := fmt.Fprintln(p.stdout, "nothing is in quarantine")
		return err
	}
	shown := docs
	if limit > 0 {
		shown = docs[:min(limit, len(docs))]
	}
	t := p.newTable("ID", "REFUSED", "MEASUREMENT", "TARGET", "COMPONENT", "WHY")
	for _, d := range shown {
		why := d.Error
		if d.Released {
			why = "released, waits to be sent; before: " + why
		}
		t.row(strconv.FormatInt(d.ID, 10), toSecond(d.RefusedAt), d.Measurement, d.Target, d.Component, why)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if n := len(docs) - len(shown); n > 0 {
		_, err = fmt.Fprintf(p.stdout, "and %s more: --limit 0 for all\n", count(n, "point"))
	}
	return err
}

func (p *program) quarantineShow(ctx context.Context, dir string, ids []int64, output format) error {
	docs, err := p.rejected(ctx, dir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(docs, func(d quarantineDoc) bool { return d.ID == id }) {
			return usageError("point %d is not in quarantine", id)
		}
	}
	docs = slices.DeleteFunc(docs, func(d quarantineDoc) bool { return !slices.Contains(ids, d.ID) })
	if output == "json" {
		return p.quarantineJSON(docs)
	}
	for i, d := range docs {
		if i > 0 {
			fmt.Fprintln(p.stdout)
		}
		state := "refused"
		if d.Released {
			state = "released, waits to be sent"
		}
		if _, err := fmt.Fprintf(p.stdout, "point     %d, %s\nrefused   %s, by %s\nof        visit %d of %s\nwhy       %s\nline      %s\n",
			d.ID, state, d.RefusedAt, d.Sink, d.Visit, cellText(d.Target), cellText(d.Error), printable(d.Line)); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) quarantineJSON(docs []quarantineDoc) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	for _, d := range docs {
		if err := enc.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

// quarantineChange asks the daemon, or changes the store where none runs.
func (p *program) quarantineChange(ctx context.Context, dir string, req quarantineRequest, output format) error {
	result, err := changeByDaemon(ctx, dir, req)
	if err != nil {
		return err
	}
	if result == nil {
		looked, err := openStore(ctx, dir) // there is one, and it is not made by asking
		if err != nil {
			return err
		}
		if err := looked.Close(); err != nil {
			return err
		}
		db, err := sqlite.Open(ctx, dir, sqlite.Options{Sinks: []string{influx.DefaultName}})
		if err != nil {
			return err
		}
		result, err = changeQuarantine(ctx, db, req)
		if err := errors.Join(err, db.Close()); err != nil {
			return notQuarantined(err)
		}
	}
	if output == "json" {
		return json.NewEncoder(p.stdout).Encode(result)
	}
	text := count(result.Dropped, "point") + " dropped"
	if req.Action == "release" {
		text = count(result.Released, "point") + " released: sent again now"
		if !result.Daemon {
			text = count(result.Released, "point") + " released: sent again when dewline runs next"
		}
	}
	_, err = fmt.Fprintln(p.stdout, text)
	return err
}

// notQuarantined makes the error of an ID that is not there one of usage.
func notQuarantined(err error) error {
	if errors.Is(err, sqlite.ErrNotQuarantined) {
		return &exitError{exitUsage, err}
	}
	return err
}

func changeQuarantine(ctx context.Context, db *sqlite.DB, req quarantineRequest) (*quarantineResult, error) {
	ids := req.IDs
	if req.All {
		ids = nil
	} else if ids == nil {
		ids = []int64{}
	}
	r := &quarantineResult{Version: 1}
	var err error
	switch req.Action {
	case "release":
		r.Released, err = db.Release(ctx, influx.DefaultName, ids)
	case "drop":
		r.Dropped, err = db.Discard(ctx, influx.DefaultName, ids)
	default:
		err = fmt.Errorf("%q is nothing that can be done with the quarantine", req.Action)
	}
	return r, err
}

func (d *service) answerQuarantine(w http.ResponseWriter, r *http.Request) {
	var req quarantineRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 8<<20)).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	result, err := changeQuarantine(r.Context(), d.db, req)
	switch {
	case errors.Is(err, sqlite.ErrNotQuarantined):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	d.log.Info("quarantine changed by request", "released", result.Released, "dropped", result.Dropped)
	result.Daemon = true
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result) // who asked has gone: nothing to tell anyone
}

// changeByDaemon is nil and no error where no daemon runs.
func changeByDaemon(ctx context.Context, dir string, req quarantineRequest) (*quarantineResult, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	resp, err := askDaemon(ctx, dir, "/quarantine", body)
	if err != nil || resp == nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the daemon's answer: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		r := &quarantineResult{}
		if err := json.Unmarshal(answer, r); err != nil {
			return nil, fmt.Errorf("read the daemon's answer: %w", err)
		}
		return r, nil
	case http.StatusNotFound:
		return nil, usageError("%s", bytes.TrimSpace(answer))
	}
	return nil, fmt.Errorf("the daemon answers %s: %s", resp.Status, bytes.TrimSpace(answer))
}

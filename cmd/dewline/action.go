package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/internal/config"
	"dewline/store/sqlite"
)

// byFlags are who does something and why: without both nothing enters the record.
type byFlags struct{ by, why *string }

func newByFlags(cmd *cobra.Command) byFlags {
	return byFlags{
		cmd.Flags().String("by", "", "who does this, a `name` (default: the user you are logged in as)"),
		cmd.Flags().String("why", "", "why, in a few `words`; they stay in the record for ever"),
	}
}

// maxWhy bounds what an operator writes into the record, in bytes.
const maxWhy = 2000

// apply sets who and why.
func (f byFlags) apply(a *health.Action, getenv func(string) string) error {
	a.By, a.Why = strings.TrimSpace(*f.by), strings.TrimSpace(*f.why)
	if a.By == "" {
		if a.By = getenv("SUDO_USER"); a.By == "" {
			if u, err := user.Current(); err == nil {
				a.By = u.Username
			}
		}
	}
	switch {
	case a.By == "":
		return usageError("who are you? --by NAME")
	case a.Why == "":
		return usageError("why? --why \"a few words\": whoever comes after you reads them")
	case len(a.By) > 200 || len(a.Why) > maxWhy:
		return usageError("--by takes 200 bytes and --why %d", maxWhy)
	case !utf8.ValidString(a.By) || !utf8.ValidString(a.Why):
		return usageError("--by and --why are UTF-8 text")
	}
	return nil
}

// untilWhen reads when something ends: a time, or how long from a beginning.
func untilWhen(text string, from time.Time) (time.Time, error) {
	for _, layout := range [...]string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	d, err := config.ParseDuration(strings.TrimPrefix(text, "+"))
	if err != nil || d <= 0 {
		return time.Time{}, fmt.Errorf("%q is no time (2026-11-23T07:00:00Z), no day (2026-11-23, midnight UTC) and no duration (90m, 8h, 2d)", text)
	}
	return from.Add(d), nil
}

// maxWindow bounds silences: one for ever would be a fault nobody hears of any more.
const maxWindow = 366 * 24 * time.Hour

// actor does what an operator asks: through the daemon if one runs, else in the store itself.
type actor struct {
	p   *program
	dir string
}

// do puts an action into the record; it is there when do returns.
func (a actor) do(ctx context.Context, act *health.Action) error {
	if _, err := os.Stat(filepath.Join(a.dir, "dewline.db")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds no store yet: `dewline run` makes one at its first start", a.dir)
	}
	body, err := json.Marshal(act)
	if err != nil {
		return err
	}
	resp, err := askDaemon(ctx, a.dir, "/action", body)
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
		return json.Unmarshal(answer, act)
	}
	db, err := sqlite.Open(ctx, a.dir, sqlite.Options{})
	if err != nil {
		return fmt.Errorf("no daemon answers on %s, and the store cannot be opened: %w", controlSocket(a.dir), err)
	}
	return errors.Join(db.AddAction(ctx, act), db.Close())
}

// answerAction puts an action into the record for another dewline command.
func (d *service) answerAction(w http.ResponseWriter, r *http.Request) {
	var act health.Action
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&act); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := soundAction(&act); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := d.db.AddAction(r.Context(), &act); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	d.log.Info("operator", "action", string(act.Kind), "by", act.By, "why", act.Why, "fault", act.Fault, "silence", act.Ends)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(act) // who asked has gone: nothing to tell anyone
}

// soundAction says what is missing of an action that came over the socket.
func soundAction(a *health.Action) error {
	switch {
	case a.By == "" || a.Why == "" || a.At.IsZero():
		return errors.New("an action says who, why and when")
	case (a.Kind == health.ActionAck || a.Kind == health.ActionUnack) && a.Fault == "":
		return errors.New("an acknowledgement names a fault")
	case a.Kind == health.ActionSilence && (a.Match == nil || !a.From.Before(a.Until)):
		return errors.New("a silence says what, from when and until when")
	case a.Kind == health.ActionSilenceEnd && a.Ends == "":
		return errors.New("the end of a silence names it")
	}
	switch a.Kind {
	case health.ActionAck, health.ActionUnack, health.ActionSilence, health.ActionSilenceEnd:
		return nil
	}
	return fmt.Errorf("no action is called %q", a.Kind)
}

// actionDocs prints what was done.
func (p *program) actionDocs(acts []*health.Action) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	for _, a := range acts {
		if err := enc.Encode(actionDoc{1, *a}); err != nil {
			return err
		}
	}
	return nil
}

// actionDoc is an entry of the operators' log (docs/SCHEMA.md).
type actionDoc struct {
	Version int `json:"version"`
	health.Action
}

// exportActions gives the operators' log of a span. A choice of targets leaves out what concerns none of them by name: a silence of
// a rack concerns whoever stood there, so it stays.
func exportActions(ctx context.Context, db *sqlite.DB, r sqlite.Range, row func(exportRow) error) error {
	actions, err := db.Actions(ctx)
	if err != nil {
		return err
	}
	for i := range actions {
		a := &actions[i]
		if a.At.Before(r.Since) || !r.Until.IsZero() && !a.At.Before(r.Until) {
			continue
		}
		concerns, err := actionConcerns(ctx, db, a, r.Targets)
		if err != nil {
			return err
		}
		if !concerns {
			continue
		}
		id, ends, match := a.ID, a.Ends, ""
		if a.Kind == health.ActionSilence {
			ends, match = a.ID, matchText(a.Match)
		}
		if err := row(exportRow{a.At, string(a.Kind), a.By, a.Why, a.Fault, ends, a.From, a.Until, match, a.N, id}); err != nil {
			return err
		}
	}
	return nil
}

func actionConcerns(ctx context.Context, db *sqlite.DB, a *health.Action, targets []health.TargetID) (bool, error) {
	switch {
	case len(targets) == 0:
		return true, nil
	case a.Fault != "":
		f, err := db.FaultNow(ctx, a.Fault)
		return f != nil && slices.Contains(targets, f.Target), err
	case a.Match != nil && len(a.Match.Targets) > 0:
		return slices.ContainsFunc(targets, func(t health.TargetID) bool { return slices.Contains(a.Match.Targets, t) }), nil
	}
	return true, nil
}

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
	"dewline/store/sqlite"
)

// silenceDoc is one document of `silence list -o json` (docs/SCHEMA.md).
type silenceDoc struct {
	Version int    `json:"version"`
	State   string `json:"state"` // planned, active or over
	health.Silence
}

func (p *program) silenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "maintenance windows: what is expected is recorded, and notified to nobody",
		Long: `A silence mutes notifications of what it chooses, from one time to another, with who and why. Nothing else changes: faults
are recorded and shown as ever, and silences stay in the record for ever. What is still open when a silence ends is notified then.`,
		Example: `  dewline silence add --rack A1 --until 2h --why "new PDU"
  dewline silence list
  dewline silence end 5b1e --why "done early"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.silenceAddCommand(), p.silenceListCommand(), p.silenceEndCommand())
	return cmd
}

func (p *program) silenceAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add",
		Short: "announce a maintenance window",
		Long: `Add chooses by target, rack, site, label, class, kind and severity; what is given must all fit. --all is every
target. A window lasts a year at most.`,
		Example: `  dewline silence add --target db-1 --until 90m --why "fan replaced"
  dewline silence add --site bontang --from 2026-12-01T18:00:00Z --until 4h --why "generator test" --by rina`,
		Args: cobra.NoArgs,
	}
	store, match, by := newStoreFlags(cmd), newMatchFlags(cmd), newByFlags(cmd)
	from := cmd.Flags().String("from", "", "from this `time` on, or so long from now (default: now)")
	until := cmd.Flags().String("until", "", "until when: a `time`, or how long from its beginning (90m, 8h, 2d)")
	all := cmd.Flags().Bool("all", false, "every target and every fault")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, now := cmd.Context(), time.Now()
		m, err := match.matcher()
		if err != nil {
			return err
		}
		act := health.Action{Kind: health.ActionSilence, At: now, From: now, Match: &m}
		switch {
		case m.Empty() && !*all:
			return usageError("silence what? --target, --rack, --site, --label, --class, --kind or --severity; or --all")
		case !m.Empty() && *all:
			return usageError("--all is everything: leave out the others")
		case *until == "":
			return usageError("until when? --until 2h, or a time")
		}
		if *from != "" {
			if act.From, err = untilWhen(*from, now); err != nil {
				return usageError("--from: %w", err)
			}
		}
		if act.Until, err = untilWhen(*until, act.From); err != nil {
			return usageError("--until: %w", err)
		}
		switch {
		case !act.Until.After(now):
			return usageError("--until %s is over already", *until)
		case !act.Until.After(act.From):
			return usageError("--until is not after --from")
		case act.Until.Sub(act.From) > maxWindow:
			return usageError("a silence lasts a year at most: what is muted for longer is forgotten")
		}
		if err := by.apply(&act, p.getenv); err != nil {
			return err
		}
		dir, places, err := readOnce(ctx, store, (*sqlite.DB).Places)
		if err != nil {
			return err
		}
		if err := known(&m, places); err != nil {
			return err
		}
		if err := (actor{p, dir}).do(ctx, &act); err != nil {
			return err
		}
		if *output == "json" {
			return p.actionDocs([]*health.Action{&act})
		}
		_, err = fmt.Fprintf(p.stdout, "silence %s: %s, from %s until %s, by %s\n", act.ID[:shortID], printable(matchText(&m)), toSecond(formatTime(act.From)),
			toSecond(formatTime(act.Until)), printable(act.By))
		return err
	}
	return cmd
}

func (p *program) silenceListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "silences that are planned or in force, and with --all those that are over",
		Example: "  dewline silence list\n  dewline silence list --all -o json", Args: cobra.NoArgs,
	}
	store := newStoreFlags(cmd)
	all := cmd.Flags().Bool("all", false, "also those that are over")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		db, err := store.open(cmd.Context())
		if err != nil {
			return err
		}
		defer db.Close()
		actions, err := db.Actions(cmd.Context())
		if err != nil {
			return err
		}
		now := time.Now()
		found := slices.DeleteFunc(health.Silences(actions), func(s health.Silence) bool { return !*all && !now.Before(s.End()) })
		if *output == "json" {
			enc := json.NewEncoder(p.stdout)
			enc.SetEscapeHTML(false)
			for _, s := range found {
				if err := enc.Encode(silenceDoc{1, silenceState(&s, now), s}); err != nil {
					return err
				}
			}
			return nil
		}
		if len(found) == 0 {
			what := "no silence is planned or in force"
			if *all {
				what = "no silences"
			}
			_, err := fmt.Fprintln(p.stdout, what)
			return err
		}
		t := p.newTable("ID", "STATE", "FROM", "UNTIL", "BY", "WHAT", "WHY")
		for _, s := range found {
			why := s.Why
			if !s.Ended.IsZero() {
				why += " (ended by " + s.EndedBy + ": " + s.EndWhy + ")"
			}
			t.row(s.ID[:min(shortID, len(s.ID))], silenceState(&s, now), toSecond(formatTime(s.From)), toSecond(formatTime(s.End())), s.By, matchText(&s.Match), why)
		}
		return t.flush()
	}
	return cmd
}

func (p *program) silenceEndCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "end SILENCE-ID",
		Short:   "end a silence now, or call off a planned one",
		Example: `  dewline silence end 5b1e --why "done early"`,
		Args: func(_ *cobra.Command, given []string) error {
			if len(given) != 1 || given[0] == "" {
				return usageError("which silence? `dewline silence list` lists them\nTry 'dewline silence end --help'.")
			}
			return nil
		},
	}
	store, by := newStoreFlags(cmd), newByFlags(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, now := cmd.Context(), time.Now()
		act := health.Action{Kind: health.ActionSilenceEnd, At: now}
		if err := by.apply(&act, p.getenv); err != nil {
			return err
		}
		dir, actions, err := readOnce(ctx, store, (*sqlite.DB).Actions)
		if err != nil {
			return err
		}
		found := slices.DeleteFunc(health.Silences(actions), func(s health.Silence) bool { return !strings.HasPrefix(s.ID, args[0]) })
		switch {
		case len(found) == 0:
			return usageError("the store knows no silence %q: `dewline silence list --all` lists them", args[0])
		case len(found) > 1:
			return usageError("%d silences begin with %q: give more of the ID", len(found), args[0])
		case !now.Before(found[0].End()):
			return usageError("silence %s is over since %s", args[0], toSecond(formatTime(found[0].End())))
		}
		act.Ends = found[0].ID
		if err := (actor{p, dir}).do(ctx, &act); err != nil {
			return err
		}
		if *output == "json" {
			return p.actionDocs([]*health.Action{&act})
		}
		_, err = fmt.Fprintf(p.stdout, "silence %s is over: what it held back and is still open is notified now\n", act.Ends[:min(shortID, len(act.Ends))])
		return err
	}
	return cmd
}

// readOnce asks a store one thing and closes it: what then is to be written goes through the daemon, or needs the store for itself.
func readOnce[T any](ctx context.Context, f storeFlags, ask func(*sqlite.DB, context.Context) (T, error)) (dir string, answer T, err error) {
	if dir, err = f.dir(); err != nil {
		return dir, answer, err
	}
	db, err := openStore(ctx, dir)
	if err != nil {
		return dir, answer, err
	}
	answer, err = ask(db, ctx)
	return dir, answer, errors.Join(err, db.Close())
}

func silenceState(s *health.Silence, now time.Time) string {
	switch {
	case !now.Before(s.End()):
		return "over"
	case s.Active(now):
		return "active"
	}
	return "planned"
}

// matchText is what a matcher chooses, in words.
func matchText(m *health.Matcher) string {
	var parts []string
	add := func(name string, values ...string) {
		if len(values) > 0 {
			parts = append(parts, name+" "+strings.Join(values, "|"))
		}
	}
	add("target", texts(m.Targets)...)
	add("site", m.Sites...)
	add("rack", m.Racks...)
	for name, v := range m.Labels {
		add(name, v)
	}
	slices.Sort(parts[max(0, len(parts)-len(m.Labels)):])
	add("class", texts(m.Classes)...)
	add("kind", texts(m.Kinds)...)
	if m.AtLeast != health.SeverityUnknown {
		add("at least", m.AtLeast.String())
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ", ")
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

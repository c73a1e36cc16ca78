package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/internal/config"
	"dewline/store/sqlite"
)

// matchFlags are the flags that choose by where something stands and what it is, the same in every command.
type matchFlags struct {
	targets, racks, sites, labels, classes, kinds *[]string
	severity                                      *string
}

func newMatchFlags(cmd *cobra.Command) matchFlags {
	list := func(name, usage string) *[]string {
		return cmd.Flags().StringArray(name, nil, usage+"; may be repeated")
	}
	f := matchFlags{
		targets: list("target", "only this `target`"), racks: list("rack", "only targets in this `rack`"), sites: list("site", "only targets at this `site`"),
		labels: list("label", "only targets with this label, as `name=value`"), classes: list("class", "only components of this `class`"),
		kinds:    list("kind", "only faults of this `kind`"),
		severity: cmd.Flags().String("severity", "", "at least this `severity`: info, warning or critical"),
	}
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets)
	fixed := func(flag string, words []string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	fixed("kind", kindWords())
	fixed("class", classWords())
	fixed("severity", severityWords)
	return f
}

var severityWords = []string{"info", "warning", "critical"}

func kindWords() []string {
	out := make([]string, len(health.Kinds))
	for i, k := range health.Kinds {
		out[i] = string(k)
	}
	return out
}

func classWords() []string {
	out := make([]string, len(health.Classes))
	for i, c := range health.Classes {
		out[i] = string(c)
	}
	return out
}

// matcher is what the flags choose.
func (f matchFlags) matcher() (health.Matcher, error) {
	m := health.Matcher{Racks: *f.racks, Sites: *f.sites}
	for _, t := range *f.targets {
		m.Targets = append(m.Targets, health.TargetID(t))
	}
	for _, l := range *f.labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return m, usageError("--label %q is no label: name=value, for example owner=diskominfo", l)
		}
		if before, twice := m.Labels[name]; twice && before != value {
			return m, usageError("--label %s is given twice: a target has one value of it", name)
		}
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[name] = value
	}
	for _, c := range *f.classes {
		if err := wordOf("--class", c, classWords()); err != nil {
			return m, err
		}
		m.Classes = append(m.Classes, health.Class(c))
	}
	for _, k := range *f.kinds {
		if err := wordOf("--kind", k, kindWords()); err != nil {
			return m, err
		}
		m.Kinds = append(m.Kinds, health.Kind(k))
	}
	if *f.severity != "" {
		if err := wordOf("--severity", *f.severity, severityWords); err != nil {
			return m, err
		}
		if err := m.AtLeast.UnmarshalText([]byte(*f.severity)); err != nil {
			return m, usageError("--severity: %w", err)
		}
	}
	return m, nil
}

func wordOf(flag, word string, words []string) error {
	if slices.Contains(words, word) {
		return nil
	}
	if near := config.Suggest(word, words); near != "" {
		return usageError("%s cannot be %q: did you mean %s?", flag, word, near)
	}
	return usageError("%s cannot be %q: one of %s", flag, word, strings.Join(words, ", "))
}

// known says what of the matcher the store has never seen: a misspelt rack must not look like one without faults.
func known(m *health.Matcher, places map[health.TargetID]health.Target) error {
	var names, racks, sites []string
	for id, t := range places {
		names, racks, sites = append(names, string(id)), append(racks, t.Rack), append(sites, t.Site)
	}
	ask := func(what, word string, words []string) error {
		if slices.Contains(words, word) {
			return nil
		}
		hint := ""
		if near := config.Suggest(word, words); near != "" {
			hint = fmt.Sprintf(": did you mean %q?", near)
		}
		return usageError("the store knows no %s %q%s", what, word, hint)
	}
	for _, t := range m.Targets {
		if err := ask("target", string(t), names); err != nil {
			return err
		}
	}
	for _, r := range m.Racks {
		if err := ask("rack", r, racks); err != nil {
			return err
		}
	}
	for _, s := range m.Sites {
		if err := ask("site", s, sites); err != nil {
			return err
		}
	}
	return nil
}

// placeOf is where a target stands.
func placeOf(places map[health.TargetID]health.Target, id health.TargetID) *health.Target {
	t := places[id]
	t.ID = id
	return &t
}

// spanFlags are --since and --until.
type spanFlags struct{ since, until *string }

func newSpanFlags(cmd *cobra.Command, since string) spanFlags {
	return spanFlags{
		cmd.Flags().String("since", since, "from this `time` on: 2026-11-23T07:00:00Z, a day, or how long ago (24h, 7d)"),
		cmd.Flags().String("until", "", "up to before this `time`"),
	}
}

func (f spanFlags) span(now time.Time) (since, until time.Time, err error) {
	if since, err = parseWhen(*f.since, now); err != nil {
		return since, until, usageError("--since: %w", err)
	}
	if until, err = parseWhen(*f.until, now); err != nil {
		return since, until, usageError("--until: %w", err)
	}
	if !until.IsZero() && !since.Before(until) {
		return since, until, usageError("--since is not before --until")
	}
	return since, until, nil
}

// storeFlags say which store is read.
type storeFlags struct{ config, dataDir *string }

func newStoreFlags(cmd *cobra.Command) storeFlags {
	return storeFlags{configFlag(cmd), cmd.Flags().String("data-dir", "", "the store of this data_dir, without a configuration")}
}

func (f storeFlags) dir() (string, error) {
	if *f.dataDir != "" {
		return *f.dataDir, nil
	}
	cfg, err := loadConfig(*f.config)
	if err != nil {
		return "", err
	}
	return cfg.DataDir, nil
}

func (f storeFlags) open(ctx context.Context) (*sqlite.DB, error) {
	dir, err := f.dir()
	if err != nil {
		return nil, err
	}
	return openStore(ctx, dir)
}

// failOnFlag is --fail-on.
func failOnFlag(cmd *cobra.Command, what string) *string {
	s := cmd.Flags().String("fail-on", "", "exit with 4 if "+what+" at least `severity`: warning or critical")
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"warning", "critical"}, cobra.ShellCompDirectiveNoFileComp))
	return s
}

func failOn(text string) (health.Severity, error) {
	switch text {
	case "":
		return health.SeverityUnknown, nil
	case "warning":
		return health.SeverityWarning, nil
	case "critical":
		return health.SeverityCritical, nil
	}
	return 0, usageError("--fail-on cannot be %q: warning or critical", text)
}

// worstFirst orders by severity, then by time.
func worstFirst(a, b *health.Fault) int {
	return cmp.Or(cmp.Compare(b.Severity, a.Severity), a.Opened.Compare(b.Opened), cmp.Compare(a.ID, b.ID))
}

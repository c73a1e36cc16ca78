package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/store/influx"
	"dewline/store/sqlite"
)

// statusDoc is one target of `status -o json` (docs/SCHEMA.md).
type statusDoc struct {
	Version int             `json:"version"`
	Target  health.TargetID `json:"target"`
	Driver  string          `json:"driver"`
	Origin  health.Origin   `json:"origin,omitempty"` // demo, sim, replay: no real machine
	State   string          `json:"state"`
	Since   string          `json:"since,omitempty"`
	NextTry string          `json:"next_try,omitempty"`
	Reason  health.Reason   `json:"reason,omitempty"`
	Error   string          `json:"error,omitempty"`
	Tiers   []statusTier    `json:"tiers"`
	Faults  int             `json:"faults"`
}

type statusTier struct {
	Tier        string        `json:"tier"`
	Due         string        `json:"due"`
	Result      health.Result `json:"result"`
	LateSeconds float64       `json:"late_seconds"`
}

// collectorDoc is the last document of `status -o json`.
type collectorDoc struct {
	Collector collectorStatus `json:"collector"`
}

type collectorStatus struct {
	LagSeconds  map[string]float64 `json:"lag_seconds"`
	Quarantined int                `json:"quarantined"`
	StoreBytes  int64              `json:"store_bytes"`
	// GivenUp is how many visits retention dropped before the sink took them.
	GivenUp      map[string]int64 `json:"given_up"`
	RawSince     string           `json:"raw_since,omitempty"`
	RollupsSince string           `json:"rollups_since,omitempty"`
	CappedBefore string           `json:"size_capped_before,omitempty"`
	Backup       *backupStatus    `json:"backup,omitempty"`
}

type backupStatus struct {
	Folder string `json:"folder"`
	Last   string `json:"last,omitempty"`
	Path   string `json:"path,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Error  string `json:"error,omitempty"`
	Since  string `json:"since,omitempty"`
	Next   string `json:"next,omitempty"`
}

func (p *program) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [TARGET...]",
		Short: "what the store knows: how each BMC answers, and how many faults are open",
		Long: `Status reads the store, also while the daemon runs; it asks no BMC. For each target: how we get on with its BMC, how
the last tick of each tier ended, and the number of open faults.`,
		Example:           "  dewline status\n  dewline status -o json db-1",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeTargets,
	}
	configPath := configFlag(cmd)
	dataDir := cmd.Flags().String("data-dir", "", "read this data_dir, without a configuration")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := *dataDir
		if dir == "" {
			cfg, err := loadConfig(*configPath)
			if err != nil {
				return err
			}
			dir = cfg.DataDir
		}
		return p.status(cmd.Context(), dir, args, *output)
	}
	return cmd
}

// openStore opens a store for reading.
func openStore(ctx context.Context, dir string) (*sqlite.DB, error) {
	db, err := sqlite.OpenReadOnly(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no store yet: `dewline run` makes one at its first start", dir)
	}
	return db, err
}

func (p *program) status(ctx context.Context, dir string, names []string, output format) error {
	db, err := openStore(ctx, dir)
	if err != nil {
		return err
	}
	defer db.Close()
	all, err := db.Statuses(ctx)
	if err != nil {
		return err
	}
	var docs []statusDoc
	for _, s := range all {
		if len(names) == 0 || slices.Contains(names, string(s.Target)) {
			docs = append(docs, newStatusDoc(s))
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(docs, func(d statusDoc) bool { return string(d.Target) == n }) {
			return usageError("the store knows no target %q", n)
		}
	}
	c, err := newCollectorStatus(ctx, db)
	if err != nil {
		return err
	}
	if output == "json" {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		for _, d := range docs {
			if err := enc.Encode(d); err != nil {
				return err
			}
		}
		return enc.Encode(collectorDoc{*c})
	}
	return p.printStatus(docs, c)
}

func newStatusDoc(s sqlite.Status) statusDoc {
	d := statusDoc{
		Version: 1, Target: s.Target, Driver: s.Driver, Origin: s.Origin, State: string(s.Access.State), Since: formatTime(s.Access.Since),
		NextTry: formatTime(s.Access.NextTry), Reason: s.Access.Reason, Error: s.Access.Error, Tiers: []statusTier{}, Faults: s.OpenFaults,
	}
	for _, tier := range health.AllTiers {
		if tick, ok := s.Ticks[tier]; ok {
			d.Tiers = append(d.Tiers, statusTier{tier.String(), formatTime(tick.Due), tick.Result, tick.Lateness.Seconds()})
		}
	}
	return d
}

// newCollectorStatus tells how far each sink is behind: the age of the oldest visit it has not taken, 0 for none.
func newCollectorStatus(ctx context.Context, db *sqlite.DB) (*collectorStatus, error) {
	c := &collectorStatus{LagSeconds: map[string]float64{}, GivenUp: map[string]int64{}}
	sinks, err := db.Sinks(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range sinks {
		next, err := db.After(ctx, s.Cursor, 1)
		if err != nil {
			return nil, err
		}
		c.LagSeconds[s.Name], c.GivenUp[s.Name] = 0, s.GivenUp
		if len(next) > 0 {
			c.LagSeconds[s.Name] = max(0, time.Since(next[0].At()).Seconds())
		}
	}
	if c.Quarantined, err = db.Quarantined(ctx); err != nil {
		return nil, err
	}
	if c.StoreBytes, err = db.Size(ctx); err != nil {
		return nil, err
	}
	kept, err := db.Retention(ctx)
	if err != nil {
		return nil, err
	}
	c.RawSince, c.RollupsSince, c.CappedBefore = formatTime(kept.RawSince), formatTime(kept.RollupsSince), formatTime(kept.CappedBefore)
	b, err := db.BackupState(ctx)
	if err != nil {
		return nil, err
	}
	if b != nil {
		c.Backup = &backupStatus{b.Folder, formatTime(b.Last), b.Path, b.Bytes, b.Error, formatTime(b.Since), formatTime(b.Next)}
	}
	return c, nil
}

func (p *program) printStatus(docs []statusDoc, c *collectorStatus) error {
	if len(docs) == 0 {
		fmt.Fprintln(p.stdout, "the store knows no target yet")
	}
	t := p.newTable("TARGET", "DRIVER", "STATE", "SINCE", "FAULTS", "LAST TICKS", "ERROR")
	for _, d := range docs {
		var ticks []string
		for _, tier := range d.Tiers {
			ticks = append(ticks, tier.Tier+" "+string(tier.Result))
		}
		name := string(d.Target)
		if d.Origin != health.OriginReal {
			name += " (" + string(d.Origin) + ")"
		}
		t.row(name, d.Driver, d.State, d.Since, fmt.Sprint(d.Faults), strings.Join(ticks, ", "), cmp.Or(d.Error, string(d.Reason)))
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "\nstore %s", bytesText(c.StoreBytes))
	for name, lag := range c.LagSeconds {
		fmt.Fprintf(p.stdout, ", %s %s behind", name, time.Duration(lag*float64(time.Second)).Round(time.Second))
	}
	if c.Quarantined > 0 {
		fmt.Fprintf(p.stdout, ", %d points refused by %s and kept in quarantine", c.Quarantined, influx.DefaultName)
	}
	fmt.Fprintln(p.stdout)
	for name, n := range c.GivenUp {
		if n > 0 {
			fmt.Fprintf(p.stdout, "%d visits were dropped before %s took them\n", n, name)
		}
	}
	if c.RawSince != "" {
		fmt.Fprintf(p.stdout, "readings are kept since %s", c.RawSince)
		if c.CappedBefore != "" {
			fmt.Fprintf(p.stdout, " (earlier ones were dropped for max_size)")
		}
		fmt.Fprintln(p.stdout)
	}
	return p.printBackup(c.Backup)
}

func (p *program) printBackup(b *backupStatus) error {
	var err error
	switch {
	case b == nil:
		_, err = fmt.Fprintln(p.stdout, "no backups: none is configured, or the daemon has not run since")
	case b.Error != "":
		_, err = fmt.Fprintf(p.stdout, "BACKUPS FAIL since %s: %s (last: %s)\n", b.Since, printable(b.Error), cmp.Or(b.Last, "never"))
	case b.Last == "":
		_, err = fmt.Fprintf(p.stdout, "no backup made yet; they go to %s\n", printable(b.Folder))
	default:
		_, err = fmt.Fprintf(p.stdout, "last backup %s, %s, %s\n", b.Last, bytesText(b.Bytes), printable(b.Path))
	}
	return err
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}

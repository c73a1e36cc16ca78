package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/internal/config"
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
	InARow  int             `json:"failures,omitempty"` // in a row
	Tiers   []statusTier    `json:"tiers"`
	Faults  int             `json:"faults"`
	Learned *learnedDoc     `json:"learned,omitempty"` // with --target
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
	LagSeconds map[string]float64 `json:"lag_seconds"`
	// LagUnknown is why it cannot be told how far a sink is behind: such a sink is not in LagSeconds.
	LagUnknown  map[string]string `json:"lag_unknown"`
	Quarantined int               `json:"quarantined"`
	StoreBytes  int64             `json:"store_bytes"`
	// LostFiles are files of closed days that are missing or cut short: their visits cannot be read.
	LostFiles []string `json:"lost_files"`
	// Unmapped is how many log entries of severity warning or critical no table knows: events of kind unknown.
	Unmapped int `json:"unmapped_log_entries"`
	// GivenUp is how many visits retention dropped before the sink took them.
	GivenUp map[string]int64 `json:"given_up"`
	// Unsent is how many visits a sink went past since they cannot be read. It gets them when they can be.
	Unsent map[string]int64 `json:"unsent"`
	// QuarantineDropped is how many refused points went because the quarantine was full.
	QuarantineDropped map[string]int64 `json:"quarantine_dropped"`
	RawSince          string           `json:"raw_since,omitempty"`
	RollupsSince      string           `json:"rollups_since,omitempty"`
	CappedBefore      string           `json:"size_capped_before,omitempty"`
	// PinnedSince is since when nothing is dropped, whatever retention says, for the verifications that are open.
	PinnedSince   string                 `json:"kept_for_verifications_since,omitempty"`
	Verifications []verificationDoc      `json:"verifications"`
	Backup        *backupStatus          `json:"backup,omitempty"`
	Notify        map[string]notifierDoc `json:"notify"`
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
the last tick of each tier ended, and the number of open faults. With --target also what dewline learned of that BMC:
whether its $expand tells the truth, how it is logged in to, in what order its logs are, and which of its parts are so
slow that they are read in turn.`,
		Example:           "  dewline status\n  dewline status -o json db-1\n  dewline status --target db-1",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeTargets,
	}
	configPath := configFlag(cmd)
	dataDir := cmd.Flags().String("data-dir", "", "read this data_dir, without a configuration")
	output := outputFlag(cmd)
	var learned []string
	cmd.Flags().StringArrayVar(&learned, "target", nil, "this target, with what was learned of its BMC; can be repeated")
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, configured := *dataDir, []config.Target(nil)
		if dir == "" {
			cfg, err := loadConfig(*configPath)
			if err != nil {
				return err
			}
			dir, configured = cfg.DataDir, cfg.Targets
		}
		return p.status(cmd.Context(), dir, configured, slices.Concat(args, learned), learned, *output)
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

// stateUnknown is that of a target that has never answered: no failure, and not ok either.
const stateUnknown = "unknown"

// status prints what a store knows. A configured target that it does not know yet is shown as such: a BMC that hangs in its
// first visit must not be missing.
func (p *program) status(ctx context.Context, dir string, configured []config.Target, names, learned []string, output format) error {
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
		docs = append(docs, newStatusDoc(s))
	}
	for _, t := range configured {
		if !slices.ContainsFunc(docs, func(d statusDoc) bool { return d.Target == t.ID }) {
			docs = append(docs, statusDoc{Version: 1, Target: t.ID, Driver: t.Driver, Origin: t.Origin, State: stateUnknown, Tiers: []statusTier{}})
		}
	}
	slices.SortFunc(docs, func(a, b statusDoc) int { return cmp.Compare(a.Target, b.Target) })
	docs = slices.DeleteFunc(docs, func(d statusDoc) bool { return len(names) > 0 && !slices.Contains(names, string(d.Target)) })
	for _, n := range names {
		if !slices.ContainsFunc(docs, func(d statusDoc) bool { return string(d.Target) == n }) {
			return usageError("the store knows no target %q", n)
		}
	}
	for i := range docs {
		if d := &docs[i]; slices.Contains(learned, string(d.Target)) {
			if d.Learned, err = newLearnedDoc(ctx, db, d.Target, d.Driver); err != nil {
				return err
			}
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
		NextTry: formatTime(s.Access.NextTry), Reason: s.Access.Reason, Error: s.Access.Error, InARow: s.Access.Failures, Tiers: []statusTier{}, Faults: s.OpenFaults,
	}
	if s.Access.State == health.AccessOK && s.Access.Since.IsZero() {
		d.State = stateUnknown
	}
	for _, tier := range health.AllTiers {
		if tick, ok := s.Ticks[tier]; ok {
			d.Tiers = append(d.Tiers, statusTier{tier.String(), formatTime(tick.Due), tick.Result, tick.Lateness.Seconds()})
		}
	}
	return d
}

// newCollectorStatus tells how far each sink is behind: the age of the oldest visit it has not taken, 0 for none. If that visit is lost or damaged
// the age is unknown, and the rest is told.
func newCollectorStatus(ctx context.Context, db *sqlite.DB) (*collectorStatus, error) {
	c := &collectorStatus{LagSeconds: map[string]float64{}, LagUnknown: map[string]string{}, GivenUp: map[string]int64{}, Unsent: map[string]int64{}, QuarantineDropped: map[string]int64{}}
	sinks, err := db.Sinks(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range sinks {
		c.GivenUp[s.Name], c.Unsent[s.Name], c.QuarantineDropped[s.Name] = s.GivenUp, s.Unsent, s.Dropped
		next, err := db.After(ctx, s.Cursor, 1)
		switch {
		case errors.Is(err, sqlite.ErrCorrupt):
			c.LagUnknown[s.Name] = err.Error()
		case err != nil:
			return nil, err
		case len(next) > 0:
			c.LagSeconds[s.Name] = max(0, time.Since(next[0].At()).Seconds())
		default:
			c.LagSeconds[s.Name] = 0
		}
	}
	if c.Quarantined, err = db.Quarantined(ctx); err != nil {
		return nil, err
	}
	if c.StoreBytes, err = db.Size(ctx); err != nil {
		return nil, err
	}
	if c.Unmapped, err = db.Unmapped(ctx); err != nil {
		return nil, err
	}
	kept, err := db.Retention(ctx)
	if err != nil {
		return nil, err
	}
	c.RawSince, c.RollupsSince, c.CappedBefore = formatTime(kept.RawSince), formatTime(kept.RollupsSince), formatTime(kept.CappedBefore)
	c.LostFiles = append([]string{}, kept.LostFiles...)
	c.PinnedSince, c.Verifications = formatTime(kept.PinnedSince), []verificationDoc{}
	open, err := db.Verifications(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, v := range open {
		c.Verifications = append(c.Verifications, verificationDoc{1, v})
	}
	if c.Notify, err = notifierDocs(ctx, db); err != nil {
		return nil, err
	}
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
	t := p.newTable("TARGET", "DRIVER", "STATE", "SINCE", "FAULTS", "LAST TICK", "ERROR")
	for _, d := range docs {
		name := string(d.Target)
		if d.Origin != health.OriginReal {
			name += " (" + string(d.Origin) + ")"
		}
		t.row(name, d.Driver, d.State, toSecond(d.Since), fmt.Sprint(d.Faults), lastTick(d.Tiers, time.Now()), troubleText(d))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, d := range docs {
		if err := p.printLearned(d); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.stdout, "\nstore %s", bytesText(c.StoreBytes))
	for _, name := range slices.Sorted(maps.Keys(c.LagSeconds)) {
		lag := c.LagSeconds[name]
		fmt.Fprintf(p.stdout, ", %s %s behind", name, time.Duration(lag*float64(time.Second)).Round(time.Second))
	}
	if c.Quarantined > 0 {
		fmt.Fprintf(p.stdout, ", %s refused by %s and kept in quarantine (`dewline quarantine`)", count(c.Quarantined, "point"), influx.DefaultName)
	}
	fmt.Fprintln(p.stdout)
	for _, name := range slices.Sorted(maps.Keys(c.LagUnknown)) {
		fmt.Fprintln(p.stdout, cellText(fmt.Sprintf("how far %s is behind is NOT KNOWN: what it is to take next cannot be read, and the daemon will go past it: %s", name, c.LagUnknown[name])))
	}
	if c.Unmapped > 0 {
		what := "log entries"
		if c.Unmapped == 1 {
			what = "log entry"
		}
		fmt.Fprintf(p.stdout, "%d %s of severity warning or critical that no table knows: `dewline events --kind unknown --since 365d`\n", c.Unmapped, what)
	}
	for name, n := range c.QuarantineDropped {
		if n > 0 {
			fmt.Fprintf(p.stdout, "%s went from the full quarantine of %s\n", count(int(n), "refused point"), name)
		}
	}
	for name, n := range c.GivenUp {
		if n > 0 {
			fmt.Fprintf(p.stdout, "%d visits were dropped before %s took them\n", n, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Unsent)) {
		if n := c.Unsent[name]; n > 0 {
			fmt.Fprintf(p.stdout, "%s NOT SENT to %s, since they cannot be read: they follow when their file is back in periods, and are given up when retention drops their day\n",
				strings.ToUpper(count(int(n), "visit")), name)
		}
	}
	if len(c.LostFiles) > 0 {
		fmt.Fprintf(p.stdout, "%s OF CLOSED DAYS LOST: readings of %s and more cannot be read; bring back periods/%s from a backup (docs/OPERATIONS.md)\n",
			strings.ToUpper(count(len(c.LostFiles), "file")), printable(c.LostFiles[0][:len(time.DateOnly)]), printable(c.LostFiles[0]))
	}
	if c.RawSince != "" {
		fmt.Fprintf(p.stdout, "readings are kept since %s", c.RawSince)
		if c.CappedBefore != "" {
			fmt.Fprintf(p.stdout, " (earlier ones were dropped for max_size)")
		}
		fmt.Fprintln(p.stdout)
	}
	for _, v := range c.Verifications {
		line := fmt.Sprintf("verification %s of the incident of %s is open, %s, %.0f h of soak left", v.ID[:shortID], toSecond(formatTime(v.Incident)),
			verdictWords(health.VerifiedServer{Verdict: v.Verdict, Stage: v.Stage}), v.SoakLeft)
		if v.Error != "" {
			line += "; it CANNOT BE COMPUTED: " + v.Error
		}
		fmt.Fprintln(p.stdout, cellText(line))
	}
	if c.PinnedSince != "" {
		fmt.Fprintf(p.stdout, "retention removes nothing since %s while verifications are open (dewline report close)\n", toSecond(c.PinnedSince))
	}
	if err := p.printNotify(c.Notify); err != nil {
		return err
	}
	return p.printBackup(c.Backup)
}

func (p *program) printNotify(all map[string]notifierDoc) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		n := all[name]
		line := fmt.Sprintf("notify %s: %s sent", name, count(int(n.Sent), "message"))
		if n.Waiting > 0 {
			line += fmt.Sprintf(", %s waiting for %s", count(n.Waiting, "event"), time.Duration(n.OldestSeconds*float64(time.Second)).Round(time.Second))
		}
		if n.Silenced > 0 {
			line += fmt.Sprintf(", %s silenced", count(n.Silenced, "event"))
		}
		if n.Error != "" {
			line += fmt.Sprintf("; FAILS since %s: %s", toSecond(n.ErrorSince), n.Error)
		}
		if _, err := fmt.Fprintln(p.stdout, cellText(line)); err != nil {
			return err
		}
	}
	return nil
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

// troubleText is why a target is not read, and when it is tried again.
func troubleText(d statusDoc) string {
	why := cmp.Or(d.Error, string(d.Reason))
	if d.NextTry == "" {
		return why
	}
	return "next try " + toSecond(d.NextTry) + ": " + why
}

// lastTick is how long ago a target's newest tick was due, and what became of the last tick of each tier. The age is what
// shows that no daemon runs, or that a target is no longer configured.
func lastTick(tiers []statusTier, now time.Time) string {
	var newest time.Time
	byResult := map[health.Result][]string{}
	for _, t := range tiers {
		if due, err := time.Parse(time.RFC3339, t.Due); err == nil && due.After(newest) {
			newest = due
		}
		byResult[t.Result] = append(byResult[t.Result], t.Tier)
	}
	if newest.IsZero() {
		return "never"
	}
	var results []string
	for _, r := range []health.Result{health.Failed, health.Missed, health.Late, health.Done} {
		switch {
		case len(byResult[r]) == len(tiers):
			results = []string{"all " + string(r)}
		case len(byResult[r]) > 0 && r != health.Done:
			results = append(results, strings.Join(byResult[r], ", ")+" "+string(r))
		}
	}
	return now.Sub(newest).Round(time.Second).String() + " ago: " + strings.Join(results, "; ")
}

// toSecond cuts the fraction off a time of formatTime, for tables.
func toSecond(s string) string {
	if whole, _, ok := strings.Cut(s, "."); ok {
		return whole + "Z"
	}
	return s
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

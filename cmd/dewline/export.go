package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
	"dewline/internal/config"
	"dewline/store/sqlite"
)

// exportKinds is what can be exported.
var exportKinds = []string{"readings", "events", "log", "visits", "faults", "actions"}

type exportOptions struct {
	what, format, out string
	r                 sqlite.Range
}

func (p *program) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "what the store holds, as JSON Lines or CSV",
		Long: `Export writes readings, events, log entries, visits, faults or actions (what operators acknowledged and silenced) from the store, also while the daemon runs. A file appears
under its name when it is whole. When the store has lost readings of closed days, the rest is exported, what lacks is said, and the exit code is 1. Cells of CSV that a spreadsheet would take for a formula begin with an apostrophe.
--since and --until take a time (2026-11-23T07:00:00Z), a day (2026-11-23, from midnight UTC), or an age (90d, 12h).`,
		Example: `  dewline export --since 7d --format csv --out readings.csv
  dewline export --what events --target db-1 --target db-2
  dewline export --what log --since 2026-11-23 --until 2026-11-24 --out log.jsonl`,
	}
	configPath := configFlag(cmd)
	dataDir := cmd.Flags().String("data-dir", "", "read this data_dir, without a configuration")
	since := cmd.Flags().String("since", "", "from this `time` on")
	until := cmd.Flags().String("until", "", "up to before this `time`")
	targets := cmd.Flags().StringArray("target", nil, "only this `target`; may be repeated")
	o := &exportOptions{}
	cmd.Flags().StringVar(&o.what, "what", "readings", strings.Join(exportKinds, ", "))
	cmd.Flags().StringVar(&o.format, "format", "jsonl", "jsonl or csv")
	cmd.Flags().StringVar(&o.out, "out", "-", "`path` of the file; - is standard output")
	fixed := func(flag string, words ...string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	fixed("what", exportKinds...)
	fixed("format", "jsonl", "csv")
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains(exportKinds, o.what) {
			return usageError("--what cannot be %q: one of %s", o.what, strings.Join(exportKinds, ", "))
		}
		if o.format != "jsonl" && o.format != "csv" {
			return usageError("--format cannot be %q: jsonl or csv", o.format)
		}
		if o.out == "" {
			return usageError("--out is empty: a path, or - for standard output")
		}
		var err error
		now := time.Now()
		if o.r.Since, err = parseWhen(*since, now); err != nil {
			return usageError("--since: %w", err)
		}
		if o.r.Until, err = parseWhen(*until, now); err != nil {
			return usageError("--until: %w", err)
		}
		if !o.r.Until.IsZero() && !o.r.Since.Before(o.r.Until) {
			return usageError("--since is not before --until")
		}
		dir := *dataDir
		if dir == "" {
			cfg, err := loadConfig(*configPath)
			if err != nil {
				return err
			}
			dir = cfg.DataDir
		}
		for _, t := range *targets {
			o.r.Targets = append(o.r.Targets, health.TargetID(t))
		}
		return p.export(cmd.Context(), dir, o)
	}
	return cmd
}

// parseWhen reads a time, a day, or an age before now; "" is no time.
func parseWhen(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range [...]string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() < 1700 || t.Year() > 2261 {
				return time.Time{}, fmt.Errorf("%q is out of range: from 1700 to 2261", s)
			}
			return t, nil
		}
	}
	d, err := config.ParseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%q is no time (2026-11-23T07:00:00Z), no day (2026-11-23) and no age (90d, 12h)", s)
	}
	return now.Add(-d), nil
}

func (p *program) export(ctx context.Context, dir string, o *exportOptions) error {
	db, err := openStore(ctx, dir)
	if err != nil {
		return err
	}
	defer db.Close()
	statuses, err := db.Statuses(ctx)
	if err != nil {
		return err
	}
	for _, t := range o.r.Targets {
		if !slices.ContainsFunc(statuses, func(s sqlite.Status) bool { return s.Target == t }) {
			return usageError("the store knows no target %q", t)
		}
	}
	var lacks unreadHours
	o.r.Unread = lacks.add
	if o.out == "-" {
		progress := p.progress()
		if _, _, ok := terminal(p.stdout); ok {
			progress = nil // it would stand among the rows
		}
		err = exportTo(ctx, db, p.stdout, o, progress)
	} else {
		err = writeWhole(o.out, func(w io.Writer) error { return exportTo(ctx, db, w, o, p.progress()) })
	}
	if err != nil {
		return err
	}
	return lacks.err()
}

// unreadHours are hours of targets that an export could not read.
type unreadHours struct {
	n           int
	targets     map[health.TargetID]bool
	first, last time.Time
	why         error // of the first
}

func (u *unreadHours) add(target health.TargetID, hour time.Time, err error) {
	if u.n++; u.n == 1 {
		u.targets, u.first, u.why = map[health.TargetID]bool{}, hour, err
	}
	u.targets[target], u.last = true, hour // they come in order
}

// err says what the export lacks; nil if that is nothing.
func (u *unreadHours) err() error {
	if u.n == 0 {
		return nil
	}
	hours, targets := count(u.n, "hour"), count(len(u.targets), "target")
	return fmt.Errorf("the export is NOT WHOLE: all else is exported, but not visits of %s of %s, between %s and %s, which cannot be read: %w. If it is a file of data_dir/periods, copy it back there from a folder of backups, and export again",
		hours, targets, u.first.Format(time.RFC3339), u.last.Add(time.Hour).Format(time.RFC3339), u.why)
}

// writeWhole makes a file that appears under its name when it is whole, or not at all. A link is followed, so that it is what
// the name stands for that is replaced.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		if st.IsDir() {
			return fmt.Errorf("write %s: it is a folder", path)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0) // a pipe or a device: nothing can be put in its place
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// progress shows on a terminal how far it is; nil elsewhere.
func (p *program) progress() func(rows int64, done, all int) {
	width, _, ok := terminal(p.stderr)
	if !ok {
		return nil
	}
	var last time.Time
	return func(rows int64, done, all int) {
		if done >= 0 && time.Since(last) < 200*time.Millisecond {
			return
		}
		last = time.Now()
		line := fmt.Sprintf("%d rows", rows)
		if all > 0 {
			line = fmt.Sprintf("%d rows, %d %%", rows, 100*done/all)
		}
		if done < 0 { // over
			line = ""
		}
		fmt.Fprintf(p.stderr, "\r\x1b[K%.*s", width-1, line)
	}
}

// exportTo writes the rows. It holds one hour of one target, or some hundred rows, at a time.
func exportTo(ctx context.Context, db *sqlite.DB, w io.Writer, o *exportOptions, progress func(rows int64, done, all int)) (err error) {
	buf := bufio.NewWriterSize(w, 1<<16)
	rows := newRowWriter(buf, o.format, exportColumns[o.what])
	n, done, all := int64(0), 0, 0
	if progress == nil {
		progress = func(int64, int, int) {}
	}
	defer func() { progress(n, -1, 0) }()
	row := func(r exportRow) error {
		if n++; n%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			progress(n, done, all)
		}
		return rows.write(r)
	}
	hours := func(d, a int) { done, all = d, a; progress(n, done, all) }
	switch o.what {
	case "readings":
		err = db.WalkVisits(ctx, o.r, hours, func(v *health.Visit) error { return eachReading(v, row) })
	case "visits":
		err = db.WalkVisits(ctx, o.r, hours, func(v *health.Visit) error { return row(visitRow(v)) })
	case "events":
		err = db.WalkEvents(ctx, o.r, func(e *health.Event) error { return row(eventRow(e)) })
	case "log":
		err = db.WalkLog(ctx, o.r, func(e *sqlite.LogEntry) error { return row(logRow(e)) })
	case "faults":
		err = db.WalkFaults(ctx, o.r, func(f *health.Fault) error { return row(faultRow(f)) })
	case "actions":
		err = exportActions(ctx, db, o.r, row)
	}
	if err != nil {
		return err
	}
	return errors.Join(rows.flush(), buf.Flush())
}

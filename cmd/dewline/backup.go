package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dewline/internal/config"
	"dewline/store/sqlite"
)

const (
	// noBackup is said at the start of a daemon, and by check.
	noBackup     = "no [backup] is configured: the store may stand in the room that floods"
	noBackupHint = "name a folder on another disk, better in another room"
)

func (p *program) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "copy the store, also while the daemon runs",
		Long: `Backup writes a copy of the store, whole and checked, or none. PATH is a new file, which then holds everything, or a folder,
into which a file named by the time is put, and beside it, in the folder "periods", what all the copies there share: the readings of closed
days. Without --to it is the path of [backup]. To restore a copy, stop the daemon and put it into an empty data_dir as dewline.db, with
the folder "periods" if there is one beside it (docs/OPERATIONS.md).`,
		Example: "  dewline backup\n  dewline backup --to /mnt/nas/dewline\n  dewline backup --to before-upgrade.db",
	}
	configPath := configFlag(cmd)
	dataDir := cmd.Flags().String("data-dir", "", "copy the store of this data_dir, without a configuration")
	to := cmd.Flags().String("to", "", "new `path` of the copy, or a folder for it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, path := *dataDir, *to
		if dir == "" {
			cfg, err := loadConfig(*configPath)
			if err != nil {
				return err
			}
			dir = cfg.DataDir
			if path == "" && cfg.Backup != nil {
				path = cfg.Backup.Path
			}
		}
		if path == "" {
			return usageError("where to: give --to PATH, or configure [backup]")
		}
		db, err := openStore(cmd.Context(), dir)
		if err != nil {
			return err
		}
		defer db.Close()
		path, size, err := backupTo(cmd.Context(), db, path, time.Now())
		if err != nil {
			return err
		}
		what := ""
		if st, err := os.Stat(path); err == nil && st.Size() < size {
			what = `, with its files in the folder "periods" beside it`
		}
		_, err = fmt.Fprintf(p.stdout, "%s: %s%s, checked\n", path, bytesText(size), what)
		return err
	}
	return cmd
}

// backupTo copies the store to a new file, or into a folder under a name of the time.
func backupTo(ctx context.Context, db *sqlite.DB, path string, now time.Time) (made string, size int64, err error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		unlock, err := sqlite.LockBackups(path)
		if err != nil {
			return "", 0, err
		}
		defer unlock()
		return backupInto(ctx, db, path, now)
	}
	// The folder of the file too: the daemon's backups into it remove what looks as if a killed one had left it there.
	unlock, err := sqlite.LockBackups(filepath.Dir(path))
	if err != nil {
		return "", 0, err
	}
	defer unlock()
	if err := db.Backup(ctx, path); err != nil {
		return "", 0, err
	}
	size, err = sqlite.BackupBytes(ctx, path)
	return path, size, err
}

// backupInto copies the store into a folder that is locked. A copy that lacks what the store lost is made, with an error.
func backupInto(ctx context.Context, db *sqlite.DB, folder string, now time.Time) (made string, size int64, err error) {
	name := now.UTC().Format(backupName)
	lacking := db.BackupInto(ctx, folder, name)
	if lacking != nil && !errors.Is(lacking, sqlite.ErrLacking) {
		return "", 0, lacking
	}
	made = filepath.Join(folder, name)
	if size, err = sqlite.BackupBytes(ctx, made); err != nil {
		return "", 0, err
	}
	return made, size, lacking
}

// backupName is how backups in a folder are named: in order of time.
const backupName = "dewline-20060102T150405Z.db"

var isBackup = regexp.MustCompile(`^dewline-\d{8}T\d{6}Z\.db$`)

// backups lists the backups of a folder, oldest first.
func backups(dir string) ([]string, error) {
	es, err := os.ReadDir(dir) // in order of name
	var names []string
	for _, e := range es {
		if isBackup.MatchString(e.Name()) && e.Type().IsRegular() {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, err
}

// prune removes all but the newest keep of a folder, never the one just made, and what none of the others needs.
func prune(ctx context.Context, dir string, keep int, made string) error {
	all, err := backups(dir)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(p string) bool { return p == made })
	var errs []error
	for _, path := range all[:max(0, len(all)-(keep-1))] {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(append(errs, sqlite.RemoveUnneeded(ctx, dir))...)
}

const (
	backupRetry = 15 * time.Minute // after one that failed, unless the next is due before
	backupLook  = time.Minute      // how often the clock is looked at: it may be set
)

// backupKeeper makes the scheduled backups of the daemon.
type backupKeeper struct {
	c     *config.Backup
	db    *sqlite.DB
	log   *slog.Logger
	state sqlite.BackupState
}

func newBackupKeeper(c *config.Backup, db *sqlite.DB, log *slog.Logger) *backupKeeper {
	return &backupKeeper{c: c, db: db, log: log, state: sqlite.BackupState{Folder: c.Path}}
}

// run makes backups until ctx ends. One that was due while the daemon did not run is made at its start.
func (k *backupKeeper) run(ctx context.Context) error {
	if old, err := k.db.BackupState(ctx); err == nil && old != nil && old.Folder == k.c.Path {
		k.state = *old
	}
	if sameDisk(k.c.Path, k.db.Dir()) {
		k.log.Warn("backups stand on the same file system as data_dir: what takes the one takes the other", "path", k.c.Path)
	}
	due := k.first(time.Now())
	for {
		for {
			now := time.Now()
			if due.Sub(now) > 2*366*24*time.Hour { // the clock was far ahead when this was computed
				due = k.c.Schedule.Next(now, "", 0)
			}
			if !due.After(now) {
				break
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(min(due.Sub(now), backupLook)):
			}
		}
		due = k.make(ctx, time.Now())
		if ctx.Err() != nil {
			return nil
		}
	}
}

// first is when the first one of this run is due. However often the daemon is started anew, and whatever kills it, it makes no more backups than
// the schedule has: each one removes an older one. So those that stand in the folder count, also where the state of before does not know of them,
// and one that failed or was cut short is tried again no sooner than without a restart.
func (k *backupKeeper) first(now time.Time) time.Time {
	last := k.state.Last
	if t := newestBackup(k.c.Path, now); t.After(last) {
		last = t
	}
	if last.After(now) { // the clock was ahead
		last = now
	}
	due := now
	if !last.IsZero() {
		due = k.c.Schedule.Next(last, "", 0)
	}
	if wait := k.state.Next.Sub(now); !due.After(now) && wait > 0 && wait <= backupRetry {
		due = k.state.Next
	}
	return due
}

// newestBackup is when the newest backup of a folder was made, by its name; zero if there is none.
func newestBackup(dir string, now time.Time) (newest time.Time) {
	all, _ := backups(dir) // if it cannot be read, making one fails too, and says why
	for _, path := range all {
		if t, err := time.Parse(backupName, filepath.Base(path)); err == nil && !t.After(now) {
			newest = t // in order of name
		}
	}
	return newest
}

// make makes one, and says when the next is due.
func (k *backupKeeper) make(ctx context.Context, now time.Time) (next time.Time) {
	begun := k.state
	begun.Next = now.Add(backupRetry) // if this one ends the process
	if err := k.db.SetBackupState(ctx, &begun); err != nil && ctx.Err() == nil {
		k.log.Debug("keep state of backups", "error", err)
	}
	path, size, err := k.once(ctx, now)
	if ctx.Err() != nil {
		return now // stopping is not failing
	}
	before := k.state.Error
	next = k.c.Schedule.Next(now, "", 0)
	if err != nil && path != "" { // a second one would lack the same, and push out another that is older
		k.state.Last, k.state.Path, k.state.Bytes = now, path, size
	}
	switch {
	case err == nil:
		k.state.Last, k.state.Path, k.state.Bytes, k.state.Error, k.state.Since = now, path, size, "", time.Time{}
		if before != "" {
			k.log.Info("backups are made again", "path", path)
		} else {
			k.log.Debug("backup made", "path", path, "bytes", size, "took", time.Since(now))
		}
	default:
		if retry := now.Add(backupRetry); path == "" && (next.IsZero() || next.After(retry)) {
			next = retry
		}
		if k.state.Error = err.Error(); k.state.Since.IsZero() {
			k.state.Since = now
		}
		if before == "" {
			text := "no backup is made"
			if errors.Is(err, sqlite.ErrLacking) {
				text = "a backup is made, but is not whole"
			} else if path != "" {
				text = "a backup is made, but what is old cannot be removed"
			}
			k.log.Error(text, "error", err, "next_try", next)
		} else {
			k.log.Debug("still no backup is made", "error", err)
		}
	}
	k.state.Next = next
	if err := k.db.SetBackupState(ctx, &k.state); err != nil && ctx.Err() == nil {
		k.log.Debug("keep state of backups", "error", err)
	}
	return next
}

func (k *backupKeeper) once(ctx context.Context, now time.Time) (path string, size int64, err error) {
	// The folder is not made: where a disk should be mounted and is not, it would be one on the wrong disk.
	if st, err := os.Stat(k.c.Path); err != nil {
		return "", 0, fmt.Errorf("folder of backups: %w", err)
	} else if !st.IsDir() {
		return "", 0, fmt.Errorf("folder of backups: %s is no folder", k.c.Path)
	}
	unlock, err := sqlite.LockBackups(k.c.Path)
	if err != nil {
		return "", 0, fmt.Errorf("folder of backups: %w", err)
	}
	defer unlock()
	if err := sqlite.RemoveBackupParts(k.c.Path); err != nil {
		return "", 0, err
	}
	path, size, lacking := backupInto(ctx, k.db, k.c.Path, now)
	if lacking != nil && path == "" {
		return "", 0, lacking
	}
	if err := prune(ctx, k.c.Path, k.c.Keep, path); err != nil {
		return path, size, errors.Join(lacking, fmt.Errorf("remove old backups: %w", err))
	}
	return path, size, lacking
}

// sameDisk tells whether two folders stand on one file system, as far as can be told.
func sameDisk(a, b string) bool {
	device := func(path string) (uint64, bool) {
		st, err := os.Stat(path)
		if err != nil {
			return 0, false
		}
		s, ok := st.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(s.Dev), true // another type on other systems
	}
	x, okX := device(a)
	y, okY := device(b)
	return okX && okY && x == y
}

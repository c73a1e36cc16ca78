package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// partName is what backups under way are called: a killed process leaves such a file, and nothing reads it.
const partName = ".dewline-backup-*.part"

// Backup writes a copy of the store to path while it is written to: a whole SQLite file of its own, as of the beginning of the
// copy, on disk and checked when Backup returns. It is there whole or not at all; a file that is there already is an error
// that wraps fs.ErrExist, and stays. The copy is readable for its owner only. It works on a store opened read-only too.
func (db *DB) Backup(ctx context.Context, path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("back up store to %s: %w", path, err)
		}
	}()
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), partName) // 0600
	if err != nil {
		return err
	}
	part := f.Name()
	defer func() {
		if err != nil { // also what SQLite leaves beside a copy that was cut short
			for _, suffix := range [...]string{"", "-journal", "-wal", "-shm"} {
				_ = os.Remove(part + suffix)
			}
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	// A connection of its own: those of readers are query_only, which forbids this too.
	from, err := sql.Open("sqlite", dsn(db.path, "ro"))
	if err != nil {
		return err
	}
	_, err = from.ExecContext(ctx, "VACUUM INTO ?", part)
	if err := errors.Join(err, from.Close()); err != nil {
		return err
	}
	if err := syncFile(part); err != nil {
		return err
	}
	if err := VerifyBackup(ctx, part); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

// VerifyBackup tells whether the file is a whole store that this program can open. It does not change it.
func VerifyBackup(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	ms, err := readMigrations(embedded)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dsn(path, "ro", "query_only(1)")+"&immutable=1")
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	version, err := ms.check(ctx, conn)
	if err != nil {
		return err
	}
	if version == 0 {
		return errors.New("verify copy: it is empty")
	}
	var result string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return fmt.Errorf("verify copy: %w", err)
	}
	if result != "ok" {
		return fmt.Errorf("verify copy: %w: %s", ErrCorrupt, result)
	}
	return nil
}

// RemoveBackupParts takes away what backups into the folder left when their process was killed. None may be under way there.
func RemoveBackupParts(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, partName+"*")) // with journals
	var errs []error
	for _, path := range left {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(append(errs, err)...)
}

// BackupState is how the scheduled backups stand.
type BackupState struct {
	Folder string    `json:"folder"`
	Last   time.Time `json:"last,omitzero"` // the last one that succeeded; zero: none has
	Path   string    `json:"path,omitempty"`
	Bytes  int64     `json:"bytes,omitempty"`
	Error  string    `json:"error,omitempty"` // why none succeeded since; "" if the last one did
	Since  time.Time `json:"since,omitzero"`  // since when they fail
	Next   time.Time `json:"next,omitzero"`
}

const metaBackup = "backup"

// SetBackupState keeps how the scheduled backups stand; nil: there are none.
func (db *DB) SetBackupState(ctx context.Context, s *BackupState) error {
	if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		if s == nil {
			return w.exec(ctx, "DELETE FROM meta WHERE key = ?", metaBackup)
		}
		return w.setMeta(ctx, metaBackup, asJSON(s))
	}}); err != nil {
		return fmt.Errorf("keep state of backups: %w", err)
	}
	return nil
}

// BackupState is how the scheduled backups stand; nil: there are none.
func (db *DB) BackupState(ctx context.Context) (*BackupState, error) {
	var s *BackupState
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		s = &BackupState{}
		return json.Unmarshal([]byte(text), s)
	}, "SELECT value FROM meta WHERE key = ?", metaBackup)
	if err != nil {
		return nil, fmt.Errorf("read state of backups: %w", err)
	}
	return s, nil
}

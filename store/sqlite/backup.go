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

// Backup writes a copy of the store to path while it is written to: a whole SQLite file of its own, with what the store has in files of closed
// days, as of the beginning of the copy, on disk and checked when Backup returns. It is there whole or not at all; a file that is
// there already is an error that wraps fs.ErrExist, and stays. The copy is readable for its owner only. It works on a store opened
// read-only too.
//
// What the store itself cannot read of its files is not in the copy: then the copy is made, and an error that wraps ErrLacking says what it lacks.
func (db *DB) Backup(ctx context.Context, path string) error {
	return db.backUp(ctx, path, db.takeIn)
}

// BackupInto is Backup to a new file of that name in a folder, beside which the files of closed days are put into the folder "periods" there: each
// is copied once for all the copies in the folder. The caller holds LockBackups.
func (db *DB) BackupInto(ctx context.Context, folder, name string) error {
	if a, err := os.Stat(folder); err != nil {
		return fmt.Errorf("back up store: %w", err)
	} else if b, err := os.Stat(db.dir); err == nil && os.SameFile(a, b) {
		return fmt.Errorf("back up store: %s is the folder of the store itself: name another", folder)
	}
	return db.backUp(ctx, filepath.Join(folder, name), func(ctx context.Context, part string) ([]string, error) {
		return db.copyPeriods(ctx, part, filepath.Join(folder, periodsName))
	})
}

// backUp copies the database, and has the files of closed days brought along, which says what could not be.
func (db *DB) backUp(ctx context.Context, path string, bring func(ctx context.Context, part string) (lacks []string, err error)) (err error) {
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
	part, named := f.Name(), false
	defer func() {
		if !named { // also what SQLite leaves beside a copy that was cut short
			for _, suffix := range [...]string{"", "-journal", "-wal", "-shm"} {
				_ = os.Remove(part + suffix)
			}
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	// From before the copy is begun until the files that it names are copied too, none of them is removed.
	if err := db.held.enter(db.periodsDir()); err != nil {
		return err
	}
	defer db.held.leave()
	// A connection of its own: those of readers are query_only, which forbids this too.
	from, err := sql.Open("sqlite", dsn(db.path, "ro"))
	if err != nil {
		return err
	}
	_, err = from.ExecContext(ctx, "VACUUM INTO ?", part)
	if err := errors.Join(err, from.Close()); err != nil {
		return err
	}
	lacks, err := bring(ctx, part)
	if err != nil {
		return err
	}
	if err := syncFile(part); err != nil {
		return err
	}
	if _, err := verifyCopy(ctx, part); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	named = true
	if err := syncFile(filepath.Dir(path)); err != nil {
		return err
	}
	if len(lacks) > 0 {
		return fmt.Errorf("%w: %d files of closed days could not be read, the first: %s", ErrLacking, len(lacks), lacks[0])
	}
	return nil
}

// VerifyBackup tells whether the file is a whole store that this program can open, with the files of closed days that it names beside it. It does
// not change it. Files are held against their length: their bytes were checked when they were copied, and are whenever they are read.
func VerifyBackup(ctx context.Context, path string) error {
	named, err := verifyCopy(ctx, path)
	if err != nil {
		return err
	}
	for _, p := range named {
		file := filepath.Join(filepath.Dir(path), periodsName, p.name)
		if st, err := os.Stat(file); err != nil {
			return fmt.Errorf("verify copy: %w: it names %w", ErrCorrupt, err)
		} else if st.Size() != p.bytes {
			return fmt.Errorf("verify copy: %w: %s is cut short", ErrCorrupt, file)
		}
	}
	return nil
}

// verifyCopy checks the database alone, and gives the files that it names.
func verifyCopy(ctx context.Context, path string) (named []namedPeriod, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	ms, err := readMigrations(embedded)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path, "ro", "query_only(1)")+"&immutable=1")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	version, err := ms.check(ctx, conn)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		return nil, errors.New("verify copy: it is empty")
	}
	var result string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return nil, fmt.Errorf("verify copy: %w", err)
	}
	if result != "ok" {
		return nil, fmt.Errorf("verify copy: %w: %s", ErrCorrupt, result)
	}
	return periodsNamed(ctx, conn)
}

// RemoveBackupParts takes away what backups into the folder left when their process was killed. The caller holds LockBackups.
func RemoveBackupParts(dir string) error {
	return errors.Join(removeParts(dir, partName+"*"), // with journals
		removeParts(filepath.Join(dir, periodsName), periodPart))
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

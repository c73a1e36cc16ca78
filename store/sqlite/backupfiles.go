package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrLacking is wrapped when a backup was made that lacks what the store itself has lost.
var ErrLacking = errors.New("the backup is made, but lacks what the store cannot read")

type namedPeriod struct {
	name  string
	bytes int64
}

// periodsNamed are the files in which blocks of a store stand. A copy of an older schema has none.
func periodsNamed(ctx context.Context, q querier) (named []namedPeriod, err error) {
	has := false
	if err := each(ctx, q, func(*sql.Rows) error { has = true; return nil }, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'periods'"); err != nil || !has {
		return nil, err
	}
	err = each(ctx, q, func(rows *sql.Rows) error {
		var p namedPeriod
		if err := rows.Scan(&p.name, &p.bytes); err != nil {
			return err
		}
		if !isPeriod.MatchString(p.name) {
			return corrupt("a file of a closed day is named %q", p.name)
		}
		named = append(named, p)
		return nil
	}, "SELECT p.name, p.bytes FROM periods p WHERE "+periodInUse)
	return named, err
}

// openCopy opens a copy under way to change it, without a journal: if that fails, the copy is removed.
func openCopy(part string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(part, "rw", "journal_mode(OFF)", "synchronous(OFF)"))
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// takeIn puts the bytes of blocks that stand in files back into the rows of a copy.
func (db *DB) takeIn(ctx context.Context, part string) (lacks []string, err error) {
	to, err := openCopy(part)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	var ids []int64
	if err := each(ctx, to, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT id FROM blocks WHERE period IS NOT NULL ORDER BY period, place"); err != nil {
		return nil, err
	}
	r := periodReader{dir: db.periodsDir()}
	defer r.close()
	tx, err := to.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // after a commit it does nothing
	for _, id := range ids {
		var b *filed
		err := each(ctx, tx, func(rows *sql.Rows) (err error) {
			b, err = r.scan(rows)
			return err
		}, "SELECT "+blockColumns+" FROM blocks b LEFT JOIN periods p ON p.id = b.period WHERE b.id = ?", id)
		if _, unread := errors.AsType[*fs.PathError](err); unread || errors.Is(err, ErrCorrupt) { // the row goes on naming the file, and says so whenever it is read
			if len(lacks) == 0 || lacks[len(lacks)-1] != err.Error() {
				lacks = append(lacks, err.Error())
			}
			continue
		} else if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE blocks SET data = ?, period = NULL, place = NULL, size = NULL WHERE id = ?", b.data, id); err != nil {
			return nil, err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM periods AS p WHERE NOT "+periodInUse); err != nil {
		return nil, err
	}
	return lacks, tx.Commit()
}

// copyPeriods copies the files that a copy of the database names into dir, those that are not there yet.
func (db *DB) copyPeriods(ctx context.Context, part, dir string) (lacks []string, err error) {
	to, err := openCopy(part)
	if err != nil {
		return nil, err
	}
	// A file that was about to be filled or removed is not copied: the copy must not wait for it.
	_, err = to.ExecContext(ctx, "DELETE FROM periods AS p WHERE NOT "+periodInUse)
	var named []namedPeriod
	if err == nil {
		named, err = periodsNamed(ctx, to)
	}
	if err := errors.Join(err, to.Close()); err != nil || len(named) == 0 {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	for _, p := range named {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := copyPeriod(filepath.Join(db.periodsDir(), p.name), filepath.Join(dir, p.name), p.bytes)
		if errors.Is(err, ErrCorrupt) || errors.Is(err, errSource) {
			lacks = append(lacks, err.Error())
		} else if err != nil {
			return nil, err
		}
	}
	return lacks, syncFile(dir)
}

// errSource is wrapped when it is the store's own file that cannot be read.
var errSource = errors.New("read")

// copyPeriod copies a file that is not there yet, whole or not at all, and holds it against the hash in its name.
func copyPeriod(from, to string, bytes int64) (err error) {
	if st, err := os.Stat(to); err == nil && st.Size() == bytes {
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("%w: %w", errSource, err)
	}
	defer src.Close()
	dst, err := os.CreateTemp(filepath.Dir(to), periodPart) // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = dst.Close()
			_ = os.Remove(dst.Name())
		}
	}()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(dst, sum), sourceOf{src}); err != nil {
		return err
	}
	if !strings.HasSuffix(to, "-"+hex.EncodeToString(sum.Sum(nil))[:32]+".blocks") {
		return corrupt("%s is not what was written", from)
	}
	if err := errors.Join(dst.Sync(), dst.Close()); err != nil {
		return err
	}
	return os.Rename(dst.Name(), to)
}

// sourceOf tells errors of reading from those of writing.
type sourceOf struct{ r io.Reader }

func (s sourceOf) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errSource, err)
	}
	return n, err
}

// BackupBytes is what a copy takes, with the files of closed days that it names.
func BackupBytes(ctx context.Context, path string) (int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	n := st.Size()
	named, err := namesOf(ctx, path)
	for _, p := range named {
		n += p.bytes
	}
	return n, err
}

// LockBackups keeps other backups, and the removal of old ones, out of a folder until unlock is called. On a file system that knows no such locks
// nothing is kept out.
func LockBackups(folder string) (unlock func(), err error) {
	var h folderHold
	unlock, err = h.alone(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, err
	case err != nil:
		return func() {}, nil
	case unlock == nil:
		return nil, fmt.Errorf("another backup is under way in %s: try again when it is done", folder)
	}
	return unlock, nil
}

// RemoveUnneeded removes from the folder "periods" in a folder of backups the files of closed days that no store in the folder names, whatever the
// store's name is. If one of them cannot be asked, nothing is removed. The caller holds LockBackups.
func RemoveUnneeded(ctx context.Context, folder string) error {
	dir := filepath.Join(folder, periodsName)
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
		return nil
	} else if err != nil {
		return err
	}
	stores, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, e := range stores {
		path := filepath.Join(folder, e.Name())
		if is, err := isStore(path, e); err != nil {
			return err
		} else if !is {
			continue
		}
		if _, err := os.Stat(path + "-wal"); err == nil {
			return fmt.Errorf("%s may be in use: no files of closed days are removed", path)
		}
		named, err := namesOf(ctx, path)
		if err != nil {
			return fmt.Errorf("which files of closed days %s needs: %w", path, err)
		}
		for _, p := range named {
			needed[p.name] = true
		}
	}
	var errs []error
	for _, f := range files {
		if isPeriod.MatchString(f.Name()) && !needed[f.Name()] {
			errs = append(errs, os.Remove(filepath.Join(dir, f.Name())))
		}
	}
	return errors.Join(errs...)
}

// isStore tells whether a file is a database of ours, by its first bytes.
func isStore(path string, e fs.DirEntry) (bool, error) {
	if !e.Type().IsRegular() {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, dbHeaderSize)
	if _, err := io.ReadFull(f, head); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return bytes.HasPrefix(head, []byte("SQLite format 3\x00")) && binary.BigEndian.Uint32(head[68:]) == applicationID, nil
}

// namesOf are the files that a store which nobody writes names.
func namesOf(ctx context.Context, path string) ([]namedPeriod, error) {
	db, err := sql.Open("sqlite", dsn(path, "ro", "query_only(1)")+"&immutable=1")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return periodsNamed(ctx, db)
}

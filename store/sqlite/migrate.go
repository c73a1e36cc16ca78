package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrations are the SQL files in order; the schema version is how many of them a store has had.
type migrations []migration

type migration struct{ name, sql string }

// ErrNewer is wrapped when a store was written by a newer dewline: this one would not understand it.
var ErrNewer = errors.New("store is newer than this program")

// applicationID is "dewl": SQLite files that are not ours are refused.
const applicationID = 0x6465776c

// readMigrations takes every file NNNN_what.sql of dir, which must be numbered from 1 without a hole.
func readMigrations(f fs.FS) (migrations, error) {
	names, err := fs.Glob(f, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var ms migrations
	for i, n := range names { // Glob sorts
		base := strings.TrimPrefix(n, "migrations/")
		number, _, _ := strings.Cut(base, "_")
		if k, err := strconv.Atoi(number); err != nil || k != i+1 {
			return nil, fmt.Errorf("migration %s: expected number %d", base, i+1)
		}
		b, err := fs.ReadFile(f, n)
		if err != nil {
			return nil, err
		}
		ms = append(ms, migration{base, string(b)})
	}
	return ms, nil
}

// check tells the store's version, and whether this program can work with it.
func (ms migrations) check(ctx context.Context, c *sql.Conn) (version int, err error) {
	var app, objects int
	if err := errors.Join(
		c.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version),
		c.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app),
		c.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects),
	); err != nil {
		return 0, err
	}
	switch {
	case objects == 0 && version == 0:
		return 0, nil
	case app != applicationID:
		return 0, errors.New("not a dewline store")
	case version > len(ms):
		return version, newer(version, len(ms))
	}
	return version, nil
}

// apply brings the store to the newest schema, each step in a transaction of its own; a new store is made in one. A store that holds
// data is copied first, to path + ".before-schema-N".
func (ms migrations) apply(ctx context.Context, c *sql.Conn, path string) error {
	version, err := ms.check(ctx, c)
	if err != nil || version == len(ms) {
		return err
	}
	if version > 0 {
		if err := copyTo(ctx, c, fmt.Sprintf("%s.before-schema-%d", path, len(ms))); err != nil {
			return fmt.Errorf("copy store before migration: %w", err)
		}
	}
	for from := version; from < len(ms); {
		to := from + 1
		if from == 0 {
			to = len(ms)
		}
		if err := ms.step(ctx, c, from, to); err != nil {
			_, _ = c.ExecContext(ctx, "ROLLBACK") // there may be no transaction left to roll back
			return err
		}
		from = to
	}
	return nil
}

// step does some migrations in one transaction, which sets the version too: they are done whole or not at all.
func (ms migrations) step(ctx context.Context, c *sql.Conn, from, to int) error {
	begin := "BEGIN IMMEDIATE;\n"
	for _, m := range ms[from:to] {
		if _, err := c.ExecContext(ctx, begin+m.sql); err != nil {
			return fmt.Errorf("migrate store by %s: %w", m.name, err)
		}
		begin = ""
	}
	if _, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d;\nPRAGMA user_version = %d;\nCOMMIT;", applicationID, to)); err != nil {
		return fmt.Errorf("migrate store to schema %d: %w", to, err)
	}
	return nil
}

// copyTo writes the store to a new file, whole under its name or not there. A copy made before stays: it is the older one.
func copyTo(ctx context.Context, c *sql.Conn, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	part := to + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Made here, empty, so that it is never readable for others.
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := syncFile(part); err != nil {
		return err
	}
	return os.Rename(part, to)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

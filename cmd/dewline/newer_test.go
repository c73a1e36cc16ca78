package main

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dewline/store/sqlite"
)

// contents is every file and folder below dir: mode, size, time of the last change and a digest, by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%v %d %v", info.Mode(), info.Size(), info.ModTime())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		all[strings.TrimPrefix(path, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A store that a newer dewline has changed is left alone by every command, byte for byte, with no file more or less: exit 2, and it says
// what is there and what is known.
func TestANewerStoreIsRefusedByEveryCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// make gives the store of a newer program its state on disk, from one whose only sign of it is in the WAL.
		make func(t *testing.T, from, to string)
	}{
		{"closed by the newer program", func(t *testing.T, from, to string) {
			copyFiles(t, from, to, "dewline.db", "dewline.db-wal", "dewline.lock")
			raw, err := sql.Open("sqlite", filepath.Join(to, "dewline.db"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := raw.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
				t.Fatal(err)
			}
			if err := raw.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(to, "dewline.db-wal")); err == nil {
				t.Fatal("there is a WAL still")
			}
		}},
		{"restored from a backup: no other file", func(t *testing.T, from, to string) {
			raw, err := sql.Open("sqlite", filepath.Join(from, "dewline.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if _, err := raw.Exec("VACUUM INTO ?", filepath.Join(to, "dewline.db")); err != nil {
				t.Fatal(err)
			}
		}},
		{"killed after its migration: that is in the WAL alone", func(t *testing.T, from, to string) {
			copyFiles(t, from, to, "dewline.db", "dewline.db-wal", "dewline.lock")
		}},
		{"killed, and its index of the WAL is there too", func(t *testing.T, from, to string) {
			copyFiles(t, from, to, "dewline.db", "dewline.db-wal", "dewline.db-shm", "dewline.lock")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			old, data := filepath.Join(dir, "old"), filepath.Join(dir, "data")
			db, err := sqlite.Open(t.Context(), old, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			raw, err := sql.Open("sqlite", filepath.Join(old, "dewline.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if _, err := raw.Exec("CREATE TABLE later (x INTEGER) STRICT; PRAGMA user_version = 999"); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
			c.make(t, old, data)
			config := filepath.Join(dir, "dewline.toml")
			text := "data_dir = \"data\"\n[[credential]]\nname = \"c\"\nusername = \"u\"\npassword = \"env:PATH\"\n[[target]]\nname = \"db-1\"\naddress = \"https://127.0.0.1:1\"\ncredential = \"c\"\n"
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			for _, args := range [][]string{
				{"run"}, {"status"}, {"faults"}, {"events"}, {"poll"}, {"check", "--connect", "-o", "json"}, {"record", "db-1", "--out", filepath.Join(dir, "capture")},
				{"export"}, {"backup", "--to", filepath.Join(dir, "copy.db")}, {"incidents"}, {"silence", "list"},
				{"quarantine"}, {"quarantine", "release", "--all"}, {"quarantine", "drop", "1"},
				{"report", "verification", "--incident", "2026-11-23T07:00:00Z", "--target", "db-1", "--out", filepath.Join(dir, "report")},
				{"run"}, // the others did not make it palatable
			} {
				out, errs, code := command(t, append(args, "-c", config)...)
				if code != exitUsage || !strings.Contains(errs, "newer than this program") || !strings.Contains(errs, "999") || out != "" {
					t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
				}
				if d := cmp.Diff(before, contents(t, dir)); d != "" {
					t.Fatalf("%v changed files (-before +after):\n%s", args, d)
				}
			}
		})
	}
}

// copyFiles copies by another process: to read a database here and close it would drop the locks that SQLite has on it.
func copyFiles(t *testing.T, from, to string, names ...string) {
	t.Helper()
	for _, n := range names {
		if out, err := exec.Command("cp", "-p", filepath.Join(from, n), to).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v: %s", n, err, out)
		}
	}
}

package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dewline/store/sqlite"
)

// A store that a newer dewline has changed is left alone by every command: exit 2, and it says what to do.
func TestANewerStoreIsRefusedByEveryCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	db, err := sqlite.Open(t.Context(), data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", filepath.Join(data, "dewline.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("PRAGMA user_version = 999"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "dewline.toml")
	text := "data_dir = \"data\"\n[[credential]]\nname = \"c\"\nusername = \"u\"\npassword = \"env:PATH\"\n[[target]]\nname = \"db-1\"\naddress = \"https://127.0.0.1:1\"\ncredential = \"c\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"run"}, {"status"}, {"export"}, {"backup", "--to", filepath.Join(dir, "copy.db")}, {"incidents"},
		{"quarantine"}, {"quarantine", "release", "--all"}, {"quarantine", "drop", "1"},
		{"report", "verification", "--incident", "2026-11-23T07:00:00Z", "--target", "db-1", "--out", filepath.Join(dir, "report")},
	} {
		out, errs, code := command(t, append(args, "-c", config)...)
		if code != exitUsage || !strings.Contains(errs, "newer than this program") || !strings.Contains(errs, "999") || out != "" {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
	}
	raw, err = sql.Open("sqlite", filepath.Join(data, "dewline.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var version int
	if err := raw.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version != 999 {
		t.Errorf("the store is of version %d now, %v", version, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "copy.db")); err == nil {
		t.Error("a copy was made of what is not understood")
	}
}

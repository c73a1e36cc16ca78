package main

import (
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dewline/store/sqlite"
)

// What was asked for wrongly is said before any work is done, and leaves nothing behind.
func TestABadRequestForAReportIsSaidAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := makeRoom(t, dir, roomFrom.Add(2*time.Hour))
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	attest := func(name, lines string) string {
		return file(name, "[[attestation]]\nwhat = \"drying\"\nby = \"A\"\n"+lines+"\n")
	}
	full := filepath.Join(dir, "full")
	if err := os.Mkdir(full, 0o755); err != nil {
		t.Fatal(err)
	}
	file("full/x", "")
	const at = "2026-03-01T01:00Z"
	for _, c := range []struct {
		name string
		args []string // a later flag stands for an earlier one
		want string
	}{
		{"a time without a zone", []string{"--incident", "2026-03-01T01:00"}, `--incident "2026-03-01T01:00" is no time with a zone: write it as`},
		{"an incident after the report", []string{"--incident", "2026-03-02T01:00+08:00"}, "--incident 2026-03-02T01:00+08:00 lies after the report, 2026-03-01T02:00:00Z"},
		{"power restored before the incident", []string{"--power-restored", "2026-03-01T00:59Z"}, "--power-restored 2026-03-01T00:59Z lies before the incident, " + at},
		{"power restored after the report", []string{"--power-restored", "2026-03-01T02:59Z"}, "--power-restored 2026-03-01T02:59Z lies after the report"},
		{"a rack that is none", []string{"--rack", "A2"}, `the embedded store knows no rack "A2": did you mean "A1"?`},
		{"a site that is none", []string{"--site", "bontan"}, `the embedded store knows no site "bontan": did you mean "bontang"?`},
		{"a server that is none", []string{"--target", "db1"}, `the embedded store knows no target "db1": did you mean "db-1"?`},
		{"a soak of nothing", []string{"--soak", "0s"}, "--soak 0s: a soak of no length"},
		{"a baseline before the beginning", []string{"--baseline=-4d"}, `--baseline "-4d" is no length of time`},
		{"a language that is none", []string{"--lang", "fr"}, `no texts in language "fr": there are en, id`},
		{"a folder in which something is", []string{"--out", full}, "full is not empty"},
		{"a file for a folder", []string{"--out", filepath.Join(full, "x")}, "is not a folder"},
		{"a folder in a file", []string{"--out", filepath.Join(full, "x", "y")}, "is not a folder"},
		{"attested without a zone", []string{"--attestations", attest("local.toml", "at = 2026-03-01T01:30:00")}, "local.toml: attestation 1: at = 2026-03-01T01:30:00 is no time with a zone"},
		{"attested on a day", []string{"--attestations", attest("day.toml", "at = 2026-03-01")}, "day.toml: attestation 1: at = 2026-03-01 is no time with a zone"},
		{"attested at no time", []string{"--attestations", attest("never.toml", "")}, "never.toml: attestation 1: it says not when"},
		{"attested of a server that is none", []string{"--attestations", attest("other.toml", "at = 2026-03-01T01:30:00Z\ntargets = [\"db1\"]")}, `other.toml: the embedded store knows no target "db1": did you mean "db-1"?`},
		{"an unknown key", []string{"--attestations", attest("key.toml", "when = 1")}, `key.toml:4:1: unknown key "attestation.when"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(dir, "out")
			args := append([]string{"report", "verification", "--data-dir", data, "--incident", at, "--rack", "A1", "--generated-at", "2026-03-01T02:00:00Z", "--out", out}, c.args...)
			code, stdout, stderr := dewline(t, args...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit %d\n%s%s", code, stdout, stderr)
			}
			for _, left := range []string{out, out + ".zip", filepath.Join(data, "report.key")} {
				if _, err := os.Lstat(left); err == nil {
					t.Errorf("%s was left behind", left)
				}
			}
		})
	}
}

func TestAttestationsNameTheirMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.toml")
	text := ""
	for _, at := range []string{`2026-03-07T09:00:00+08:00`, `"2026-03-07T09:00+08:00"`, `2026-03-07T01:00:00Z`} {
		text += "[[attestation]]\nwhat = \"drying\"\nby = \"A\"\nat = " + at + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readAttestations(path)
	if err != nil || len(got) != 3 {
		t.Fatalf("%d, %v", len(got), err)
	}
	for _, a := range got {
		if !a.At.Equal(time.Date(2026, 3, 7, 1, 0, 0, 0, time.UTC)) || a.What != "drying" || a.By != "A" || a.Targets == nil {
			t.Errorf("%+v", a)
		}
	}
}

// A day whose file is lost is no day without faults: a report that would rest on it is not made, and says which file it is.
func TestAReportOnALostDayNamesItsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := makeRoom(t, dir, roomFrom.Add(6*time.Hour))
	db, err := sqlite.Open(t.Context(), data, sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.CompactBefore(t.Context(), time.Now()), db.Close()); err != nil {
		t.Fatal(err)
	}
	const name = "2026-03-01-00000000000000000000000000000000.blocks"
	raw, err := sql.Open("sqlite", filepath.Join(data, "dewline.db"))
	if err != nil {
		t.Fatal(err)
	}
	day := roomFrom.Unix() / (24 * 3600)
	_, err = raw.ExecContext(t.Context(), "INSERT INTO periods (id, name, day, bytes, moved) VALUES (1, ?, ?, 99, 1)", name, day)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := raw.ExecContext(t.Context(), "UPDATE blocks SET period = 1, place = 8, size = 99, data = x'' WHERE hour % 24 = 1")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := moved.RowsAffected(); err != nil || n != 3 {
		t.Fatalf("%d blocks, %v", n, err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	code, stdout, stderr := dewline(t, "report", "verification", "--data-dir", data, "--incident", "2026-03-01T03:00Z", "--rack", "A1", "--once", "--out", out)
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, name) || !strings.Contains(stderr, "is missing") || !strings.Contains(stderr, "copy it back there from a folder of backups") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	for _, left := range []string{out, out + ".zip", filepath.Join(data, "report.key")} {
		if _, err := os.Lstat(left); err == nil {
			t.Errorf("%s was left behind", left)
		}
	}
}

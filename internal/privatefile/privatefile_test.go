package privatefile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dewline/internal/privatefile"
)

func TestWriteReadRemove(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sessions")
	path := filepath.Join(dir, "a")
	if names, err := privatefile.List(dir); err != nil || len(names) != 0 {
		t.Fatalf("no folder: %v, %v", names, err)
	}
	for _, text := range []string{"one", "another, longer"} {
		if err := privatefile.Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := privatefile.Read(path, 100); err != nil || string(b) != text {
			t.Fatalf("%q, %v", b, err)
		}
	}
	for p, want := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
	part := filepath.Join(dir, ".part-1")
	if err := os.WriteFile(part, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := privatefile.List(dir); err != nil || len(names) != 1 || names[0] != "a" {
		t.Errorf("list: %v, %v", names, err)
	}
	privatefile.RemoveParts(dir)
	if _, err := os.Stat(part); !os.IsNotExist(err) {
		t.Errorf("half a file stays: %v", err)
	}
	for range 2 {
		if err := privatefile.Remove(path); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	if _, err := privatefile.Read(path, 100); !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("read what is gone: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := privatefile.Write(path, []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path  string
		limit int64
		want  string
	}{
		"a file that is too large":    {path, 9, "more than 9"},
		"a link":                      {link, 100, "link"},
		"a file that others can read": {open, 100, "others than its owner"},
		"a folder":                    {dir, 100, "no regular file"},
	} {
		if _, err := privatefile.Read(c.path, c.limit); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package evidence

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)

func sealed(t *testing.T) (string, Key) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "verification")
	for name, text := range map[string]string{"report.json": `{"verdict":"inconclusive"}` + "\n", "tables/events.csv": "time\n", "empty": ""} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	k, err := ThrowAway()
	if err != nil {
		t.Fatal(err)
	}
	if err := Seal(dir, k, "verification of rack A1\nat 2026-11-27T08:00:00Z"); err != nil {
		t.Fatal(err)
	}
	return dir, k
}

func check(t *testing.T, path string, public []byte) *Result {
	t.Helper()
	r, err := CheckPath(path, public)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAWholeFolderIsWhole(t *testing.T) {
	dir, k := sealed(t)
	r := check(t, dir, nil)
	if !r.Whole() || r.Known || r.Files != 3 || r.Comment != "verification of rack A1 at 2026-11-27T08:00:00Z" {
		t.Fatalf("%+v", r)
	}
	if r := check(t, dir, k.Public()); !r.Whole() || !r.Known {
		t.Fatalf("with its key: %+v", r)
	}
	other, err := ThrowAway()
	if err != nil {
		t.Fatal(err)
	}
	if r := check(t, dir, other.Public()); r.Whole() || r.Signed || !strings.Contains(r.Faults[0], "another key") {
		t.Fatalf("with another key: %+v", r)
	}
	if err := Seal(dir, k, ""); err == nil {
		t.Fatal("sealed twice")
	}
}

func TestAnyChangedByteIsFound(t *testing.T) {
	dir, k := sealed(t)
	for _, name := range []string{"report.json", "tables/events.csv", Manifest, Signature, PublicKey} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			for _, bit := range []byte{1, 0x20} {
				changed := bytes.Clone(whole)
				changed[i] ^= bit
				if err := os.WriteFile(path, changed, 0o644); err != nil {
					t.Fatal(err)
				}
				for _, public := range [][]byte{nil, k.Public()} {
					r, err := CheckPath(dir, public)
					if err == nil && r.Whole() {
						t.Fatalf("%s with byte %d changed from %q to %q passes", name, i, whole[i], changed[i])
					}
				}
			}
		}
		for _, changed := range [][]byte{whole[:len(whole)-1], append(bytes.Clone(whole), '\n'), nil} {
			if err := os.WriteFile(path, changed, 0o644); err != nil {
				t.Fatal(err)
			}
			if r, err := CheckPath(dir, k.Public()); err == nil && r.Whole() {
				t.Fatalf("%s of %d instead of %d bytes passes", name, len(changed), len(whole))
			}
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !check(t, dir, k.Public()).Whole() {
		t.Fatal("the folder was not put back")
	}
}

// pipe makes what a reader who opens it waits at for ever.
func pipe(path string) error { return syscall.Mkfifo(path, 0o600) }

func TestAddedRemovedAndLinkedFilesAreFound(t *testing.T) {
	for name, do := range map[string]func(dir string) error{
		"a file more":        func(d string) error { return os.WriteFile(filepath.Join(d, "extra.txt"), nil, 0o644) },
		"a hidden file more": func(d string) error { return os.WriteFile(filepath.Join(d, "tables", ".x"), nil, 0o644) },
		"a file less":        func(d string) error { return os.Remove(filepath.Join(d, "empty")) },
		"a link":             func(d string) error { return os.Symlink("report.json", filepath.Join(d, "link")) },
		"no signature":       func(d string) error { return os.Remove(filepath.Join(d, Signature)) },
		"a file made a link": func(d string) error {
			os.Remove(filepath.Join(d, "empty"))
			return os.Symlink("/dev/null", filepath.Join(d, "empty"))
		},
		"a pipe more": func(d string) error { return pipe(filepath.Join(d, "pipe")) },
		"a file made a pipe": func(d string) error {
			return errors.Join(os.Remove(filepath.Join(d, "empty")), pipe(filepath.Join(d, "empty")))
		},
		"the signature made a pipe": func(d string) error {
			return errors.Join(os.Remove(filepath.Join(d, Signature)), pipe(filepath.Join(d, Signature)))
		},
		"the public key made a pipe": func(d string) error {
			return errors.Join(os.Remove(filepath.Join(d, PublicKey)), pipe(filepath.Join(d, PublicKey)))
		},
		"a folder made a link": func(d string) error {
			return errors.Join(os.Rename(filepath.Join(d, "tables"), d+"-tables"), os.Symlink(d+"-tables", filepath.Join(d, "tables")))
		},
		"a name with a break": func(d string) error { return os.WriteFile(filepath.Join(d, "a\nb"), nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, k := sealed(t)
			if err := do(dir); err != nil {
				t.Fatal(err)
			}
			if r := check(t, dir, k.Public()); r.Whole() || len(r.Faults) == 0 {
				t.Fatalf("%+v", r)
			}
		})
	}
	t.Run("no public key inside, but the reader has one", func(t *testing.T) {
		dir, k := sealed(t)
		if err := os.Remove(filepath.Join(dir, PublicKey)); err != nil {
			t.Fatal(err)
		}
		if r := check(t, dir, k.Public()); !r.Whole() {
			t.Fatalf("%+v", r)
		}
		if r := check(t, dir, nil); r.Whole() {
			t.Fatalf("without any key: %+v", r)
		}
	})
	if _, err := CheckPath(t.TempDir(), nil); err == nil {
		t.Error("an empty folder was checked")
	}
	dir, _ := sealed(t)
	if err := errors.Join(os.Remove(filepath.Join(dir, Manifest)), pipe(filepath.Join(dir, Manifest))); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckPath(dir, nil); err == nil || !strings.Contains(err.Error(), "MANIFEST is no regular file") {
		t.Errorf("a pipe for a manifest: %v", err)
	}
}

func TestZipIsTheSameEachTimeAndChecks(t *testing.T) {
	dir, k := sealed(t)
	var one, two bytes.Buffer
	for _, b := range []*bytes.Buffer{&one, &two} {
		if err := Zip(b, dir, at); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Fatal("the same folder gave other bytes")
	}
	path := filepath.Join(t.TempDir(), "r.zip")
	if err := os.WriteFile(path, one.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := check(t, path, k.Public()); !r.Whole() || r.Files != 3 {
		t.Fatalf("%+v", r)
	}
}

func TestAZipThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	for name, names := range map[string][]string{
		"a name twice":           {"v/MANIFEST", "v/a", "v/a"},
		"a name in another case": {"v/MANIFEST", "v/a", "v/A"},
		"a way out":              {"v/MANIFEST", "v/../../a"},
		"no folder":              {"a", "b"},
		"two folders":            {"v/MANIFEST", "w/MANIFEST"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			for _, n := range names {
				if _, err := z.Create(n); err != nil {
					t.Fatal(err)
				}
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "r.zip")
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			if r, err := CheckPath(path, nil); err == nil {
				t.Fatalf("%+v", r)
			}
		})
	}
}

// TestStockToolsAgree checks with what a reader without dewline has.
func TestStockToolsAgree(t *testing.T) {
	dir, k := sealed(t)
	pub := filepath.Join(t.TempDir(), "known.pub")
	if err := os.WriteFile(pub, k.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing, and its check is a part of this test", name)
			}
			t.Skipf("%s is not installed", name)
		}
		cmd := exec.Command(path, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("sha256sum", "--strict", "-c", Manifest); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	if out, err := run("minisign", "-V", "-m", Manifest, "-p", pub); err != nil || !strings.Contains(out, "verification of rack A1") {
		t.Errorf("minisign: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, Manifest), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run("minisign", "-V", "-m", Manifest, "-p", pub); err == nil {
		t.Errorf("minisign took a changed manifest:\n%s", out)
	}
}

func TestKeyIsMadeOnceAndKeptToItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "report.key")
	k, made, err := KeyFile(path)
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st.Mode(), err)
	}
	again, made, err := KeyFile(path)
	if err != nil || made || !again.private.Equal(k.private) {
		t.Fatalf("made %v, %v", made, err)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil || !bytes.Equal(public, k.Public()) {
		t.Fatalf("%q, %v", public, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := KeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("a key that others can read: %v", err)
	}
}

func FuzzCheckManifest(f *testing.F) {
	f.Add([]byte("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  report.json\n"))
	f.Add([]byte("x"))
	f.Add([]byte("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  ../x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		listed, err := parseManifest(b)
		if err == nil && len(listed) == 0 {
			t.Error("an empty manifest passes")
		}
	})
}

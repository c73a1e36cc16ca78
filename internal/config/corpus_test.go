package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the messages into the corpus; read the difference before committing it")

const wantPrefix = "# want "

// cutWants parts a fixture into the messages it expects and the rest.
func cutWants(text string) (wants []string, body string) {
	for {
		line, rest, _ := strings.Cut(text, "\n")
		want, ok := strings.CutPrefix(line, wantPrefix)
		if !ok {
			return wants, text
		}
		wants, text = append(wants, want), rest
	}
}

// corpus runs every fixture of a folder: read gives the messages of a file, which must be those of its leading comments.
func corpus(t *testing.T, dir string, least int, read func(t *testing.T, path string, data []byte) []Fault) {
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < least {
		t.Fatalf("testdata/%s has %d fixtures, want at least %d", dir, len(paths), least)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			folder, err := filepath.Abs(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			say := func(data []byte) []string {
				var got []string
				for _, f := range read(t, path, data) {
					line := strings.TrimPrefix(f.Error(), path+":")
					got = append(got, strings.ReplaceAll(line, folder, "DIR"))
				}
				return got
			}
			wants, body := cutWants(string(data))
			if *update {
				n := len(say([]byte(body)))
				wants = say([]byte(strings.Repeat(wantPrefix+"\n", n) + body))
				var text strings.Builder
				for _, w := range wants {
					text.WriteString(wantPrefix + w + "\n")
				}
				if err := os.WriteFile(path, []byte(text.String()+body), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(wants) == 0 {
				t.Fatal("the fixture expects nothing")
			}
			got := say(data)
			if strings.Join(got, "\n") != strings.Join(wants, "\n") {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(wants, "\n  "))
			}
			if strings.Contains(strings.Join(got, "\n"), "hunter2") {
				t.Error("a message holds a password")
			}
		})
	}
}

func TestBadConfigurations(t *testing.T) {
	corpus(t, "bad", 40, func(t *testing.T, path string, data []byte) []Fault {
		cfg, err := Parse(path, data)
		faults, ok := errors.AsType[Faults](err)
		if !ok || cfg != nil {
			t.Fatalf("error %v, configuration %v", err, cfg)
		}
		return faults
	})
}

func TestWarnings(t *testing.T) {
	corpus(t, "warn", 5, func(t *testing.T, path string, data []byte) []Fault {
		cfg, err := Parse(path, data)
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Warnings
	})
}

func TestAFaultInJSON(t *testing.T) {
	_, err := Parse("a.toml", []byte("adress = 1\n"))
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) != 1 {
		t.Fatalf("error %v", err)
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(faults[0]); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"file", "line", "column", "key", "message", "hint"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no %q in %s", key, b.String())
		}
	}
	if len(got) != 6 || got["line"] != 1.0 || got["column"] != 1.0 || got["key"] != "adress" || got["file"] != "a.toml" {
		t.Errorf("got %s", b.String())
	}
}

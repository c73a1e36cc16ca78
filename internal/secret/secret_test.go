package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dewline/internal/secret"
)

const needle = "hunter2-needle"

// holder has secrets where leaks have happened: exported, unexported, behind a pointer, in a slice, in a map.
type holder struct {
	Name     string
	Secret   secret.Secret
	Ref      secret.Ref
	hidden   secret.Secret
	hiddenR  secret.Ref
	Pointer  *secret.Secret
	PointerR *secret.Ref
	Many     []secret.Secret
	Map      map[string]secret.Ref
	any      any
}

type xmlHolder struct {
	S secret.Secret
	R secret.Ref
}

func newHolder(t *testing.T) holder {
	t.Helper()
	s := secret.New(needle)
	r, err := secret.ParseRef(needle)
	if err != nil {
		t.Fatal(err)
	}
	if s.Reveal() != needle {
		t.Fatalf("Reveal() = %q", s.Reveal())
	}
	return holder{
		Name: "bmc", Secret: s, Ref: r, hidden: s, hiddenR: r, Pointer: &s, PointerR: &r, Many: []secret.Secret{s},
		Map: map[string]secret.Ref{"a": r}, any: s,
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	h := newHolder(t)
	things := map[string]any{"holder": h, "pointer to holder": &h, "secret": h.Secret, "ref": h.Ref, "slice": h.Many,
		"map": h.Map, "error": fmt.Errorf("log in: %v", h)}
	for name, v := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%40s", "%T"} {
			out := fmt.Sprintf(verb, v)
			if leaks(out) {
				t.Errorf("%s under %s prints the secret: %s", name, verb, out)
			}
		}
		j, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if leaks(string(j)) {
			t.Errorf("%s in JSON: %s", name, j)
		}
		for kind, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("log in", "value", v)
			if leaks(b.String()) {
				t.Errorf("%s in slog %s: %s", name, kind, b.String())
			}
			if !strings.Contains(b.String(), "value") {
				t.Errorf("slog %s wrote nothing of %s: %q", kind, name, b.String())
			}
		}
	}
	x, err := xml.Marshal(xmlHolder{h.Secret, h.Ref})
	if err != nil || leaks(string(x)) {
		t.Errorf("XML: %s %v", x, err)
	}
}

// leaks finds the needle as text, and in hex as %x would print it.
func leaks(out string) bool {
	return strings.Contains(out, needle) || strings.Contains(strings.ToLower(out), fmt.Sprintf("%x", needle))
}

func TestASecretShowsThatItIsThere(t *testing.T) {
	h := newHolder(t)
	if got := fmt.Sprintf("%v %#v %s %q %d", h.Secret, h.Secret, h.Secret, h.Secret, h.Secret); got != "*** *** *** *** ***" {
		t.Errorf("got %s", got)
	}
	j, err := json.Marshal(map[string]any{"s": h.Secret, "r": h.Ref})
	if err != nil || string(j) != `{"r":"***","s":"***"}` {
		t.Errorf("JSON: %s %v", j, err)
	}
	if !(secret.Secret{}).IsZero() || !secret.New("").IsZero() || h.Secret.IsZero() {
		t.Error("IsZero is wrong")
	}
	if !h.Secret.Equal(secret.New(needle)) || h.Secret.Equal(secret.New("other")) || h.Secret.Equal(secret.Secret{}) {
		t.Error("Equal is wrong")
	}
	if (secret.Secret{}).Reveal() != "" {
		t.Error("the zero secret reveals something")
	}
}

func TestParseRef(t *testing.T) {
	tests := []struct {
		name, text, prints string
		inline             bool
		err                string
	}{
		{name: "empty names nothing", text: "", prints: ""},
		{name: "environment", text: "env:BMC_PASSWORD", prints: "env:BMC_PASSWORD"},
		{name: "absolute file", text: "file:/etc/dewline/bmc.pass", prints: "file:/etc/dewline/bmc.pass"},
		{name: "relative file", text: "file:bmc.pass", prints: "file:bmc.pass"},
		{name: "systemd credential", text: "cred:bmc", prints: "cred:bmc"},
		{name: "anything else is inline", text: "hunter2", prints: "***", inline: true},
		{name: "a user and password is inline", text: "admin:hunter2", prints: "***", inline: true},
		{name: "another case is inline, not a reference", text: "ENV:X", prints: "***", inline: true},
		{name: "environment without a name", text: "env:", err: "env: must be followed"},
		{name: "environment with a bad name", text: "env:hunter2!", err: "env: must be followed"},
		{name: "environment that starts with a digit", text: "env:1X", err: "env: must be followed"},
		{name: "file without a path", text: "file:", err: "file: must be followed"},
		{name: "file with a zero byte", text: "file:/a\x00b", err: "file: must be followed"},
		{name: "credential that climbs out", text: "cred:../hunter2", err: "cred: must be followed"},
		{name: "credential dot dot", text: "cred:..", err: "cred: must be followed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r secret.Ref
			err := r.UnmarshalText([]byte(tt.text))
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error holds the text: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.String() != tt.prints || r.Inline() != tt.inline || r.IsZero() != (tt.text == "") {
				t.Errorf("got %q inline %v zero %v", r, r.Inline(), r.IsZero())
			}
		})
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // not left to the umask
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("DEWLINE_TEST_SECRET", needle)
	t.Setenv("DEWLINE_TEST_EMPTY", "")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	write("good", needle+"\n", 0o600)
	write("read-only", needle, 0o400)
	write("windows", needle+"\r\n", 0o600)
	write("two newlines", needle+"\n\n", 0o600)
	write("group", needle, 0o640)
	write("it's others", needle, 0o604)
	write("empty", "\n", 0o600)
	write("big", strings.Repeat("x", secret.MaxSize+1), 0o600)
	write("by-acl", needle, 0o440)

	tests := []struct {
		name, ref, want string
		err             []string // parts the message must have
	}{
		{name: "nothing", ref: "", want: ""},
		{name: "inline", ref: needle, want: needle},
		{name: "environment", ref: "env:DEWLINE_TEST_SECRET", want: needle},
		{name: "environment not set", ref: "env:DEWLINE_TEST_NOT_SET", err: []string{"DEWLINE_TEST_NOT_SET is not set", "export"}},
		{name: "environment empty", ref: "env:DEWLINE_TEST_EMPTY", err: []string{"DEWLINE_TEST_EMPTY is empty"}},
		{name: "file with one newline", ref: "file:good", want: needle},
		{name: "absolute file", ref: "file:" + filepath.Join(dir, "good"), want: needle},
		{name: "file of mode 0400", ref: "file:read-only", want: needle},
		{name: "file with a DOS line end", ref: "file:windows", want: needle},
		{name: "only one newline is trimmed", ref: "file:two newlines", want: needle + "\n"},
		{name: "group can read", ref: "file:group", err: []string{"mode 0640", "run: chmod 600 " + dir + "/group"}},
		{name: "others can read, in a path that needs quotes", ref: "file:it's others",
			err: []string{"mode 0604", `chmod 600 '` + dir + `/it'\''s others'`}},
		{name: "empty file", ref: "file:empty", err: []string{"is empty"}},
		{name: "file too big", ref: "file:big", err: []string{"larger than 65536 bytes"}},
		{name: "folder", ref: "file:" + dir, err: []string{"no regular file"}},
		{name: "device", ref: "file:/dev/null", err: []string{"no regular file"}},
		{name: "file missing", ref: "file:absent", err: []string{"absent: no such file", "mode 0600"}},
		{name: "credential", ref: "cred:good", want: needle},
		{name: "credential with the bits of an ACL mask", ref: "cred:by-acl", want: needle},
		{name: "credential missing", ref: "cred:absent", err: []string{"LoadCredential=absent:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := secret.ParseRef(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.In(dir).Resolve()
			if len(tt.err) > 0 {
				if err == nil {
					t.Fatal("no error")
				}
				for _, part := range tt.err {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("error %q lacks %q", err, part)
					}
				}
				if leaks(err.Error()) || !got.IsZero() {
					t.Errorf("the error or its value holds the secret: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Reveal() != tt.want {
				t.Errorf("got %q, want %q", got.Reveal(), tt.want)
			}
		})
	}
}

func TestResolveWithoutSystemd(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	r, err := secret.ParseRef("cred:bmc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(); err == nil || !strings.Contains(err.Error(), "LoadCredential=bmc:/path") {
		t.Errorf("error %v", err)
	}
}

func TestResolveReadsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pass")
	r, err := secret.ParseRef("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"old", "new"} {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Resolve(); err != nil || got.Reveal() != want {
			t.Errorf("got %q %v, want %q", got.Reveal(), err, want)
		}
	}
}

func TestRefEqual(t *testing.T) {
	parse := func(s string) secret.Ref {
		t.Helper()
		r, err := secret.ParseRef(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if !parse("hunter2").Equal(parse("hunter2")) || !parse("file:a").In("/x").Equal(parse("file:a").In("/x")) {
		t.Error("like references differ")
	}
	if parse("hunter2").Equal(parse("hunter3")) || parse("env:A").Equal(parse("cred:A")) ||
		parse("file:a").In("/x").Equal(parse("file:a").In("/y")) {
		t.Error("unlike references are equal")
	}
}

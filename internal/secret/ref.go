package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// MaxSize bounds the file a secret is read from, in bytes. A bigger one is the wrong file.
const MaxSize = 64 << 10

type scheme uint8

const (
	none scheme = iota
	inline
	env
	file
	cred
)

// Ref names a secret: "env:NAME", "file:/path", "cred:NAME"; any other text is the secret itself (inline). The zero Ref
// names nothing and resolves to the zero Secret.
type Ref struct {
	scheme scheme
	name   string // of the variable, file or credential; "" for an inline one
	dir    string // where a relative file is looked for; "" is the working directory
	inline Secret
}

// ParseRef reads a reference. The error never holds the text, which may be a secret.
func ParseRef(text string) (Ref, error) {
	kind, name, ok := strings.Cut(text, ":")
	if ok {
		switch kind {
		case "env":
			if !isEnvName(name) {
				return Ref{}, errors.New("env: must be followed by the name of an environment variable (letters, digits and _)")
			}
			return Ref{scheme: env, name: name}, nil
		case "file":
			if name == "" || strings.ContainsRune(name, 0) {
				return Ref{}, errors.New("file: must be followed by the path of a file")
			}
			return Ref{scheme: file, name: name}, nil
		case "cred":
			if !isCredName(name) {
				return Ref{}, errors.New("cred: must be followed by the name of a systemd credential (a plain file name)")
			}
			return Ref{scheme: cred, name: name}, nil
		}
	}
	if text == "" {
		return Ref{}, nil
	}
	return Ref{scheme: inline, inline: New(text)}, nil
}

// UnmarshalText is ParseRef in place.
func (r *Ref) UnmarshalText(b []byte) error {
	p, err := ParseRef(string(b))
	if err == nil {
		*r = p
	}
	return err
}

// In gives the same reference with relative file: paths belonging to dir.
func (r Ref) In(dir string) Ref {
	if r.scheme == file {
		r.dir = dir
	}
	return r
}

// IsZero tells whether the reference names nothing.
func (r Ref) IsZero() bool { return r.scheme == none }

// Inline tells whether the reference is the secret itself, which whoever reads the configuration can read too.
func (r Ref) Inline() bool { return r.scheme == inline }

// Equal tells whether both name the same secret; inline ones are compared by their text. It is also what go-cmp calls.
func (r Ref) Equal(o Ref) bool {
	return r.scheme == o.scheme && r.name == o.name && r.dir == o.dir && r.inline.Equal(o.inline)
}

// Resolve fetches the secret. It reads anew at every call. The error names what is missing and what to do about it, and
// never holds a secret.
func (r Ref) Resolve() (Secret, error) {
	switch r.scheme {
	case none:
		return Secret{}, nil
	case inline:
		return r.inline, nil
	case env:
		return r.fromEnv()
	case file:
		return r.fromFile()
	default:
		return r.fromCredential()
	}
}

func (r Ref) fromEnv() (Secret, error) {
	v, ok := os.LookupEnv(r.name)
	if !ok {
		return Secret{}, fmt.Errorf("resolve %s: environment variable %s is not set (export it where dewline is started)", r, r.name)
	}
	if v == "" {
		return Secret{}, fmt.Errorf("resolve %s: environment variable %s is empty (export it with the secret in it)", r, r.name)
	}
	return New(v), nil
}

func (r Ref) fromFile() (Secret, error) {
	path := r.path()
	s, err := read(path, func(fi fs.FileInfo) error {
		if perm := fi.Mode().Perm(); perm&0o044 != 0 {
			return fmt.Errorf("%s has mode %04o: others than its owner can read it (run: chmod 600 %s)", path, perm, shellQuote(path))
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w (create it with the secret in it, mode 0600, owned by the user dewline runs as)", err)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w (run: chown it to the user dewline runs as)", err)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("resolve %s: %w", r, err)
	}
	return s, nil
}

func (r Ref) path() string {
	if filepath.IsAbs(r.name) {
		return r.name
	}
	return filepath.Join(r.dir, r.name)
}

func (r Ref) fromCredential() (Secret, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return Secret{}, fmt.Errorf("resolve %s: $CREDENTIALS_DIRECTORY is not set (start dewline by systemd with LoadCredential=%s:/path in its unit)", r, r.name)
	}
	// No look at the mode: systemd grants access by ACL, whose mask shows as group bits.
	s, err := read(filepath.Join(dir, r.name), nil)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (add LoadCredential=%s:/path to the systemd unit)", err, r.name)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("resolve %s: %w", r, err)
	}
	return s, nil
}

// read takes a secret from a regular file. It looks at the file before opening it, because opening a FIFO would wait for
// a writer, and judges the mode of what it opened.
func read(path string, judge func(fs.FileInfo) error) (Secret, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return Secret{}, err
	}
	if !fi.Mode().IsRegular() {
		return Secret{}, fmt.Errorf("%s is no regular file (name a file that holds the secret and nothing else)", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, err
	}
	defer f.Close()
	if fi, err = f.Stat(); err != nil {
		return Secret{}, err
	}
	if judge != nil {
		if err := judge(fi); err != nil {
			return Secret{}, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return Secret{}, err
	}
	if len(b) > MaxSize {
		return Secret{}, fmt.Errorf("%s is larger than %d bytes (it is the wrong file)", path, MaxSize)
	}
	// Editors end a file with one newline; a secret may itself end in another.
	text := strings.TrimSuffix(string(b), "\n")
	text = strings.TrimSuffix(text, "\r")
	if text == "" {
		return Secret{}, fmt.Errorf("%s is empty (write the secret into it)", path)
	}
	return New(text), nil
}

func isEnvName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func isCredName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= 255 && !strings.ContainsAny(s, "/\x00")
}

// shellQuote makes a path safe to paste into a shell.
func shellQuote(s string) string {
	plain := func(c rune) bool {
		return strings.ContainsRune("/._-+,=@%", c) || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	if strings.TrimFunc(s, plain) == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// String is the reference as it was written, *** for an inline one.
func (r Ref) String() string {
	switch r.scheme {
	case none:
		return ""
	case inline:
		return hidden
	case env:
		return "env:" + r.name
	case file:
		return "file:" + r.name
	default:
		return "cred:" + r.name
	}
}

func (r Ref) GoString() string             { return r.String() }
func (r Ref) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, r.String()) }
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
func (r Ref) LogValue() slog.Value         { return slog.StringValue(r.String()) }

package evidence

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"aead.dev/minisign"
)

// Result is what a check found.
type Result struct {
	Files   int    // listed and as they were
	Comment string // signed with the manifest; "" if the signature is not good
	KeyID   string // of the key that signed, as minisign shows it
	// Signed: the signature is that of the manifest, by the key in question. Known: that key was the reader's own, not the one
	// that lies in the folder.
	Signed, Known bool
	Faults        []string // each a line for a person; none: whole
}

// Whole tells whether nothing is wrong.
func (r *Result) Whole() bool { return r.Signed && len(r.Faults) == 0 }

const (
	maxManifest  = 64 << 20
	maxKeyFile   = 4 << 10
	maxSignature = 64 << 10
	maxFaults    = 100 // what is said of a folder in which everything is wrong
)

// CheckPath checks a folder or a ZIP. Public is the text of the public key that the reader knows the signer by; nil takes the one in the
// folder, which proves less. An error means that there is nothing to check; what is wrong with the files is in the result.
func CheckPath(name string, public []byte) (*Result, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("check report: %w", err)
	}
	if st.IsDir() {
		return Check(os.DirFS(name), public)
	}
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, fmt.Errorf("check report: %s is neither a folder nor a ZIP: %w", name, err)
	}
	defer z.Close()
	if err := saneZip(&z.Reader); err != nil {
		return nil, fmt.Errorf("check report %s: %w", name, err)
	}
	root, err := rootOf(&z.Reader)
	if err != nil {
		return nil, fmt.Errorf("check report %s: %w", name, err)
	}
	return Check(root, public)
}

// saneZip refuses what two programs could read in two ways: a name twice, or one that leaves the folder.
func saneZip(z *zip.Reader) error {
	seen := map[string]bool{}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if !fs.ValidPath(f.Name) || strings.Contains(f.Name, "\\") {
			return fmt.Errorf("%q is no name for a file of a report", f.Name)
		}
		if seen[strings.ToLower(f.Name)] {
			return fmt.Errorf("%s is in it twice", f.Name)
		}
		seen[strings.ToLower(f.Name)] = true
	}
	return nil
}

// rootOf is the one folder of a ZIP, or the ZIP itself if the manifest lies there.
func rootOf(z *zip.Reader) (fs.FS, error) {
	if _, err := fs.Stat(z, Manifest); err == nil {
		return z, nil
	}
	entries, err := fs.ReadDir(z, ".")
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 || !entries[0].IsDir() {
		return nil, errors.New("no report: there is no MANIFEST in it, nor one folder that has it")
	}
	return fs.Sub(z, entries[0].Name())
}

// Check checks a folder.
func Check(dir fs.FS, public []byte) (*Result, error) {
	manifest, err := readSmall(dir, Manifest, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("check report: no report here: %w", err)
	}
	r := &Result{Known: public != nil}
	if err := r.signature(dir, manifest, public); err != nil {
		r.fault("%v", err)
	}
	listed, err := parseManifest(manifest)
	if err != nil {
		r.fault("%v", err)
		return r, nil
	}
	there, err := filesOf(dir)
	if err != nil {
		r.fault("%v", err)
	}
	for _, n := range there {
		if _, ok := listed[n]; !ok && n != Manifest && n != Signature && n != PublicKey {
			r.fault("%s is not listed: it was added after the signature", n)
		}
	}
	names := make([]string, 0, len(listed))
	for n := range listed {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		f, err := openRegular(dir, n)
		if err != nil {
			r.fault("%s is listed and cannot be read: %v", n, err)
			continue
		}
		sum, err := sumOf(f)
		err = errors.Join(err, f.Close())
		switch {
		case err != nil:
			r.fault("%s is listed and cannot be read: %v", n, err)
		case sum != listed[n]:
			r.fault("%s was changed", n)
		default:
			r.Files++
		}
	}
	return r, nil
}

func (r *Result) fault(format string, args ...any) {
	switch {
	case len(r.Faults) < maxFaults:
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	case len(r.Faults) == maxFaults:
		r.Faults = append(r.Faults, "and more")
	}
}

func (r *Result) signature(dir fs.FS, manifest, public []byte) error {
	inside, err := readSmall(dir, PublicKey, maxKeyFile)
	if err != nil && (public == nil || !errors.Is(err, fs.ErrNotExist)) {
		return fmt.Errorf("no public key to check the signature with: %w", err)
	}
	if public == nil {
		public = inside
	}
	var key minisign.PublicKey
	if err := key.UnmarshalText(bytes.TrimSpace(public)); err != nil {
		return fmt.Errorf("the public key cannot be read: %w", err)
	}
	text, err := readSmall(dir, Signature, maxSignature)
	if err != nil {
		return fmt.Errorf("the signature is missing: %w", err)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(text); err != nil {
		return fmt.Errorf("the signature cannot be read: %w", err)
	}
	r.KeyID = fmt.Sprintf("%016X", s.KeyID)
	if !minisign.Verify(key, manifest, text) {
		if key.ID() != s.KeyID {
			return fmt.Errorf("it was signed with another key, %016X, not with %016X", s.KeyID, key.ID())
		}
		return errors.New("the signature is not that of this MANIFEST: one of them was changed")
	}
	r.Signed, r.Comment = true, s.TrustedComment
	// The convenient key must not differ from the one that signed: a reader who takes it must get the same answer.
	if inside != nil && !bytes.Equal(inside, publicText(key)) {
		return fmt.Errorf("%s was changed: it is not the key that signed", PublicKey)
	}
	// Not all of the file is signed, but all of it is ours: what differs from what Seal writes was changed.
	s.UntrustedComment = untrusted
	if canonical, err := s.MarshalText(); err != nil || !bytes.Equal(append(canonical, '\n'), text) {
		return fmt.Errorf("%s was changed beyond what is signed", Signature)
	}
	return nil
}

func publicText(key minisign.PublicKey) []byte {
	b, err := key.MarshalText()
	if err != nil {
		return nil
	}
	return append(b, '\n')
}

// parseManifest reads what sha256sum writes, strictly: a line that two readers could read in two ways is refused.
func parseManifest(b []byte) (map[string]string, error) {
	out := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		raw, err := hex.DecodeString(sum)
		if !ok || err != nil || len(raw) != 32 || sum != strings.ToLower(sum) || !fs.ValidPath(name) || name == "." {
			return nil, fmt.Errorf("%s:%d: no line of a manifest", Manifest, n)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%s:%d: %s is listed twice", Manifest, n, name)
		}
		out[name] = sum
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", Manifest, err)
	}
	if len(out) == 0 || !bytes.HasSuffix(b, []byte("\n")) {
		return nil, fmt.Errorf("%s is empty or cut short", Manifest)
	}
	return out, nil
}

// openRegular opens a file and nothing else: a named pipe in its place would keep the check waiting for ever.
func openRegular(dir fs.FS, name string) (fs.File, error) {
	st, err := fs.Stat(dir, name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return dir.Open(name)
}

func readSmall(dir fs.FS, name string, most int64) ([]byte, error) {
	f, err := openRegular(dir, path.Clean(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return b, nil
}

package evidence

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"aead.dev/minisign"
)

// Names of the files that Seal adds.
const (
	Manifest  = "MANIFEST"
	Signature = "MANIFEST.minisig"
	PublicKey = "signer.pub"

	untrusted = "signed by dewline; check with: minisign -V -m MANIFEST -p KEY"
)

// Seal lists every file of the folder in MANIFEST, signs it, and puts the public key beside it. Comment is signed too: one
// line that says which report this is.
func Seal(dir string, k Key, comment string) error {
	names, err := filesOf(os.DirFS(dir))
	if err != nil {
		return fmt.Errorf("seal %s: %w", dir, err)
	}
	var b strings.Builder
	for _, n := range names {
		if n == Manifest || n == Signature || n == PublicKey {
			return fmt.Errorf("seal %s: there is a %s already", dir, n)
		}
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(n)))
		if err != nil {
			return fmt.Errorf("seal %s: %w", dir, err)
		}
		sum, err := sumOf(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("seal %s: %w", dir, err)
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, n)
	}
	signature := minisign.SignWithComments(k.private, []byte(b.String()), oneLine(comment), untrusted)
	for _, f := range []struct {
		name string
		data []byte
	}{{Manifest, []byte(b.String())}, {PublicKey, k.Public()}, {Signature, append(signature, '\n')}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.data, 0o644); err != nil {
			return fmt.Errorf("seal %s: %w", dir, err)
		}
	}
	return nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func sumOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// filesOf are the names of all regular files, sorted; anything else but folders is refused: a link could lead anywhere.
func filesOf(f fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(f, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no regular file", p)
		case strings.ContainsAny(p, "\n\r\\"):
			return fmt.Errorf("%q is no name for a file of a report", p)
		}
		names = append(names, p)
		return nil
	})
	slices.Sort(names)
	return names, err
}

// Zip writes the folder as a ZIP, its files under the folder's own name, all with the time given: the same folder gives the
// same bytes.
func Zip(w io.Writer, dir string, at time.Time) error {
	names, err := filesOf(os.DirFS(dir))
	if err != nil {
		return fmt.Errorf("zip %s: %w", dir, err)
	}
	z := zip.NewWriter(w)
	base := filepath.Base(filepath.Clean(dir))
	for _, n := range names {
		if err := zipFile(z, filepath.Join(dir, filepath.FromSlash(n)), path.Join(base, n), at); err != nil {
			return fmt.Errorf("zip %s: %w", dir, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("zip %s: %w", dir, err)
	}
	return nil
}

func zipFile(z *zip.Writer, from, name string, at time.Time) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at.UTC()})
	if err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}

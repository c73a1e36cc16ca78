package evidence

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"aead.dev/minisign"
)

// Key signs reports.
type Key struct{ private minisign.PrivateKey }

// Public is the text of a public key file, as `minisign -p` reads it.
func (k Key) Public() []byte {
	b, err := k.private.Public().(minisign.PublicKey).MarshalText()
	if err != nil {
		panic("evidence: a key that cannot be written: " + err.Error()) // it never fails
	}
	return append(b, '\n')
}

// ThrowAway makes a key that is kept nowhere: for reports on simulated data.
func ThrowAway() (Key, error) {
	_, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("make a key: %w", err)
	}
	return Key{private}, nil
}

// KeyFile reads the signing key, or makes it if there is none: made tells which. The file holds the key as it is, readable for
// its owner only; beside it stands the public key, PATH.pub. A file that others can read is refused.
func KeyFile(path string) (k Key, made bool, err error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k, err := ThrowAway()
		if err != nil {
			return Key{}, false, err
		}
		return k, true, k.keep(path)
	case err != nil:
		return Key{}, false, fmt.Errorf("read signing key: %w", err)
	case st.Mode().Perm()&0o077 != 0:
		return Key{}, false, fmt.Errorf("read signing key: %s can be read by others (mode %04o): chmod 600 it, and if someone may have copied it, remove it and tell your readers of the new public key", path, st.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Key{}, false, fmt.Errorf("read signing key: %w", err)
	}
	if minisign.IsEncrypted(b) {
		return Key{}, false, fmt.Errorf("read signing key: %s is protected by a password, which dewline does not ask for", path)
	}
	if err := k.private.UnmarshalText(b); err != nil {
		return Key{}, false, fmt.Errorf("read signing key %s: %w", path, err)
	}
	return k, false, nil
}

// keep writes the key where there is none, whole or not at all.
func (k Key) keep(path string) error {
	b, err := k.private.MarshalText()
	if err != nil {
		return fmt.Errorf("write signing key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write signing key: %w", err)
	}
	if err := os.WriteFile(path+".pub", k.Public(), 0o644); err != nil {
		return fmt.Errorf("write public key: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return fmt.Errorf("write signing key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(b, '\n'))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write signing key: %w", err)
	}
	// A link, not a rename: if two make the key at once, one fails, and no report is signed by a key that is gone.
	if err := os.Link(tmp.Name(), path); err != nil {
		return fmt.Errorf("write signing key: %w", err)
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/config"
)

// certificateDoc is, in `check --connect -o json`, a certificate that could not be verified.
type certificateDoc struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint"` // SHA-256
	// Changed: another one is pinned. Line is what to put into File after line Below, if the target may be pinned; Pinned that
	// it has been.
	Changed bool   `json:"changed"`
	Line    string `json:"line,omitempty"`
	File    string `json:"file,omitempty"`
	Below   int    `json:"below,omitempty"`
	Pinned  bool   `json:"pinned"`
}

// pinning is what --pin and --yes ask for.
type pinning struct {
	file     string
	pin, yes bool
	in       io.Reader
}

// newPinning refuses what could not be answered.
func newPinning(file string, pin, yes bool) (*pinning, error) {
	if yes && !pin {
		return nil, usageError("--yes goes with --pin")
	}
	if pin && !yes && !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, usageError("--pin asks for each certificate, on a terminal; with --yes it takes those that are there now, unseen")
	}
	return &pinning{file: file, pin: pin, yes: yes, in: os.Stdin}, nil
}

// certificate is what a target shows whose certificate was not accepted, nil if that cannot be seen. No login and no request is
// sent over that connection.
func certificate(ctx context.Context, t *config.Target) *certificateDoc {
	address := t.Address
	if !strings.Contains(address, "://") {
		address = "https://" + hostPort(address)
	}
	c, err := redfish.Certificate(ctx, address)
	if err != nil {
		return nil
	}
	d := &certificateDoc{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		Fingerprint: fmt.Sprintf("%x", sha256.Sum256(c.Raw)),
	}
	d.Changed = t.TLS.Fingerprint != "" && t.TLS.Fingerprint != d.Fingerprint
	return d
}

// offer says what to put where, and puts it there if that is asked for.
func (g *pinning) offer(p *program, t *config.Target, d *certificateDoc) error {
	if d.Changed || t.TLS != (config.TLS{}) {
		return nil // a person has settled it otherwise
	}
	data, err := os.ReadFile(g.file)
	if err != nil {
		return fmt.Errorf("pin the certificate of %s: %w", t.ID, err)
	}
	out, text, line, err := config.Pin(g.file, data, t.ID, d.Fingerprint)
	if err != nil {
		if g.pin {
			return fmt.Errorf("pin the certificate of %s: %w", t.ID, err)
		}
		d.Line, d.File = text, g.file
		return nil
	}
	d.Line, d.File, d.Below = text, g.file, line-1
	if !g.pin {
		return nil
	}
	if !g.yes {
		fmt.Fprintf(p.stderr, "%s shows this certificate, which nobody vouches for:\n%sCompare the fingerprint with what the BMC's own page says. Pin it? [y/N] ", printable(string(t.ID)), d.text())
		answer, err := bufio.NewReader(g.in).ReadString('\n')
		if err != nil && answer == "" {
			return nil
		}
		if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
			return nil
		}
	}
	if err := replaceFile(g.file, out); err != nil {
		return fmt.Errorf("pin the certificate of %s: %w", t.ID, err)
	}
	d.Pinned = true
	return nil
}

// text is the certificate for people, a line for each part.
func (d *certificateDoc) text() string {
	return fmt.Sprintf("  subject      %s\n  issuer       %s\n  valid        %s to %s\n  fingerprint  %s (SHA-256)\n",
		printable(d.Subject), printable(d.Issuer), d.NotBefore.Format(time.RFC3339), d.NotAfter.Format(time.RFC3339), d.Fingerprint)
}

// advice is what follows for the target.
func (d *certificateDoc) advice(t health.TargetID) string {
	switch {
	case d.Changed:
		return fmt.Sprintf("  THE CERTIFICATE IS NOT THE PINNED ONE. Someone may stand between, or the BMC has made a new one: find out before you trust it.\n  It is never pinned over; if the new one is right, change the fingerprint of %s yourself.\n", printable(string(t)))
	case d.Pinned:
		return fmt.Sprintf("  pinned: %s:%d: %s\n", printable(d.File), d.Below+1, d.Line)
	case d.Line != "" && d.Below > 0:
		return fmt.Sprintf("  to trust it, put below %s:%d, or use --pin:\n    %s\n", printable(d.File), d.Below, d.Line)
	case d.Line != "":
		return fmt.Sprintf("  to trust it, put into its [[target]] in %s:\n    %s\n", printable(d.File), d.Line)
	}
	return ""
}

// replaceFile puts a new text in the place of a file, whole or not at all, with its mode and owner; where path is a link, in the
// place of what it leads to.
func replaceFile(path string, data []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".dewline-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if st, ok := info.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
		err = errors.Join(err, f.Chown(int(st.Uid), int(st.Gid)))
	}
	err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

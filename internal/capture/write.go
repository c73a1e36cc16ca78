package capture

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// body is one entry to be written.
type body struct {
	name string
	data []byte
}

const (
	methodRedacted = "serial numbers, UUIDs, MAC and IP addresses, user and host names, asset tags and e-mail addresses are replaced: the same by the same, of the same length and kind; makers' own areas of FRU data are zeroed; passwords, tokens and keys are blanked"
	methodKept     = "identities are kept (--no-redact); passwords, tokens and keys are blanked"
)

// redact takes secrets and, unless they are to be kept, identities out of a recording, and gives the entries of its file.
func (r *Recording) redact(key []byte, secret *secrets, identities bool) []body {
	l := newLedger(key)
	if identities {
		l.learn(r)
	}
	index := redfishIndex{Documents: []*Document{}, Logins: []Login{}}
	var out []body
	taken := map[string]bool{}
	for n, d := range r.Documents {
		b := secret.json(d.Body)
		if identities {
			b = l.rewrite(b)
		}
		c := *d
		c.Body = nil
		c.URL = l.url(secret.text(d.URL), identities)
		c.Header = map[string]string{}
		for k, v := range d.Header {
			if v = secret.text(v); identities {
				v = l.text(v, prose)
			}
			c.Header[k] = v
		}
		if len(b) > 0 {
			c.Entry = entryName(c.URL, n)
			if taken[c.Entry] {
				c.Entry = "other/" + itoa(n) + ".json"
			}
			taken[c.Entry] = true
			out = append(out, body{c.Entry, b})
		}
		index.Documents = append(index.Documents, &c)
	}
	for _, g := range r.Logins {
		g.URL = l.url(secret.text(g.URL), identities)
		index.Logins = append(index.Logins, g)
	}
	slices.SortFunc(index.Logins, func(a, b Login) int { return strings.Compare(a.URL, b.URL) })
	m := &r.Manifest
	for i := range m.NotRead {
		n := &m.NotRead[i]
		if n.Part, n.Reason = secret.text(n.Part), secret.text(n.Reason); identities {
			n.Part, n.Reason = l.text(n.Part, aWord), l.text(n.Reason, aWord)
		}
	}
	if r.IPMI != nil {
		r.scrubIPMI(secret)
		if identities {
			l.rewriteIPMI(r.IPMI)
		}
		out = append([]body{{ipmiName, encode(r.IPMI)}}, out...)
	} else {
		out = append([]body{{redfishName, encode(&index)}}, out...)
	}
	m.Redaction = Redaction{Identities: identities, Secrets: true, Method: methodKept, Replaced: len(l.used), Masked: secret.masked}
	if identities {
		m.Redaction.Method = methodRedacted
	}
	m.Entries = []Entry{}
	for _, b := range out {
		h := sha256.Sum256(b.data)
		m.Entries = append(m.Entries, Entry{Name: b.name, Bytes: int64(len(b.data)), SHA256: hex.EncodeToString(h[:])})
	}
	return append([]body{{manifestName, encode(m)}}, out...)
}

// learn finds every identity in a recording.
func (l *ledger) learn(r *Recording) {
	for _, i := range r.known {
		l.find(i.Kind, i.Text)
	}
	for _, d := range r.Documents {
		l.collect(d.Body)
		l.collectText(unescape(d.URL), aWord)
		for _, v := range d.Header {
			l.collectText(v, prose)
		}
	}
	if r.IPMI != nil {
		l.collectIPMI(r.IPMI)
	}
	l.settle()
}

// url replaces what a URL names, segment by segment.
func (l *ledger) url(u string, identities bool) string {
	if !identities {
		return u
	}
	plain := l.text(u, aWord)
	p, query, has := strings.Cut(plain, "?")
	if !strings.Contains(p, "%") {
		return plain
	}
	parts := strings.Split(p, "/")
	for i, part := range parts { // a name with escapes in it
		if s := unescape(part); s != part {
			if with := l.text(s, aWord); with != s {
				parts[i] = url.PathEscape(with)
			}
		}
	}
	p = strings.Join(parts, "/")
	if has {
		p += "?" + query
	}
	return p
}

func unescape(s string) string {
	if out, err := url.PathUnescape(s); err == nil {
		return out
	}
	return s
}

func (r *Recording) scrubIPMI(secret *secrets) {
	for i := range r.IPMI.FRU {
		f := &r.IPMI.FRU[i]
		img, have := f.image()
		editFRU(img, have, func(f fruField) {
			if s, ok := f.text(); ok {
				if with := secret.text(s); with != s && len(with) == len(s) {
					f.put(with)
				}
			}
		}, func(b []byte) { copy(b, secret.bytes(slices.Clone(b))) })
		f.restore(img)
	}
	for i := range r.IPMI.SDR {
		r.IPMI.SDR[i].Data = secret.bytes(r.IPMI.SDR[i].Data)
	}
	for i := range r.IPMI.SEL {
		r.IPMI.SEL[i].Data = secret.bytes(r.IPMI.SEL[i].Data)
	}
}

func encode(v any) []byte {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		panic("capture: " + err.Error()) // of our own types: cannot be
	}
	return append(b, '\n')
}

// write writes the entries under the file's final name, at once or not at all.
func (r *Recording) write(out string, entries []body) (err error) {
	dir := filepath.Dir(out)
	f, err := os.CreateTemp(dir, "."+filepath.Base(out)+".*")
	if err != nil {
		return err //nolint:wrapcheck // names the file
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", out, err), os.Remove(f.Name()))
		}
	}()
	err = writeTar(f, r.Manifest.Time, entries)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err //nolint:wrapcheck // wrapped above
	}
	if err = os.Rename(f.Name(), out); err != nil {
		return err //nolint:wrapcheck // wrapped above
	}
	if d, derr := os.Open(dir); derr == nil { // the name itself, too
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

func writeTar(w io.Writer, at time.Time, entries []body) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(e.data)), ModTime: at.Truncate(time.Second), Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return err //nolint:wrapcheck // wrapped by write
		}
		if _, err := t.Write(e.data); err != nil {
			return err //nolint:wrapcheck // wrapped by write
		}
	}
	if err := t.Close(); err != nil {
		return err //nolint:wrapcheck // wrapped by write
	}
	return z.Close() //nolint:wrapcheck // wrapped by write
}

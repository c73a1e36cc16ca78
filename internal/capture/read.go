package capture

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Bounds of a recording, of what is read and of what is written.
const (
	maxFile      = 256 << 20 // as it lies on the disk
	maxTotal     = 512 << 20 // unpacked
	maxEntry     = 64 << 20
	maxEntries   = 100_000
	maxExchanges = 200_000
	// MaxBody is the largest document that is kept, the same as the Redfish driver takes.
	MaxBody = 8 << 20
)

// Errors of reading a recording.
var (
	ErrNoRecording = errors.New("no recording of dewline")
	ErrNewer       = errors.New("recorded in a newer format")
	ErrDamaged     = errors.New("the recording is damaged")
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

func itoa(n int) string { return strconv.Itoa(n) }

// Open reads a recording: a file that `dewline record` wrote, or a Redfish mock-up (a folder of NAME/…/index.json, or a
// .tar.gz of one).
func Open(file string) (*Recording, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	if st.IsDir() {
		return openFolder(file)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file", file, ErrNoRecording)
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("%s: %w: %d bytes are more than %d MiB", file, ErrNoRecording, st.Size(), maxFile>>20)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	defer f.Close() //nolint:errcheck // read only
	r, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// Read reads a recording, or a mock-up, from a .tar.gz stream.
func Read(from io.Reader) (*Recording, error) { return read(from, maxTotal) }

// read is Read with a bound on what is unpacked.
func read(from io.Reader, total int64) (*Recording, error) {
	z, err := gzip.NewReader(bufio.NewReader(io.LimitReader(from, maxFile)))
	if err != nil {
		return nil, fmt.Errorf("%w: not a .tar.gz file", ErrNoRecording)
	}
	defer z.Close() //nolint:errcheck // read only
	limited := &io.LimitedReader{R: z, N: total + 1}
	r, err := unpack(limited, total)
	if limited.N <= 0 { // whatever the reader made of the end
		return nil, damaged("unpacked it is larger than %d MiB", total>>20)
	}
	return r, err
}

func unpack(from io.Reader, total int64) (*Recording, error) {
	t := tar.NewReader(from)
	h, err := t.Next()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNoRecording, err) //nolint:errorlint // told, not judged
	}
	if h.Name != manifestName {
		return readMockup(t, h, total)
	}
	var m Manifest
	b, err := readEntry(t, h)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, damaged("%s: %v", manifestName, err)
	}
	switch {
	case m.Format > FormatVersion:
		return nil, fmt.Errorf("%w: format %d, this dewline reads up to %d: update it", ErrNewer, m.Format, FormatVersion)
	case m.Format < 1:
		return nil, fmt.Errorf("%w: manifest without a format", ErrNoRecording)
	case m.Protocol != ProtocolRedfish && m.Protocol != ProtocolIPMI:
		return nil, damaged("protocol %.20q is neither redfish nor ipmi", m.Protocol)
	case len(m.Entries) > maxEntries:
		return nil, damaged("%d entries: at most %d are read", len(m.Entries), maxEntries)
	}
	listed := map[string]Entry{}
	for _, e := range m.Entries {
		if _, twice := listed[e.Name]; twice || !safeName(e.Name) || e.Name == manifestName || e.Bytes < 0 || e.Bytes > maxEntry {
			return nil, damaged("the manifest lists a bad entry %.80q", e.Name)
		}
		listed[e.Name] = e
	}
	got, err := readEntries(t, listed)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, from); err != nil { // the checksum of gzip itself stands at the end
		return nil, damaged("%v", err)
	}
	return assemble(m, got)
}

// readEntries reads what follows the manifest: every entry listed, each once, nothing else.
func readEntries(t *tar.Reader, listed map[string]Entry) (map[string][]byte, error) {
	got := map[string][]byte{}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, damaged("%v", err)
		}
		e, known := listed[h.Name]
		if !known {
			return nil, damaged("entry %.80q is not in the manifest", h.Name)
		}
		if _, twice := got[h.Name]; twice {
			return nil, damaged("entry %.80q is there twice", h.Name)
		}
		if h.Size != e.Bytes {
			return nil, damaged("entry %s has %d bytes, the manifest says %d", h.Name, h.Size, e.Bytes)
		}
		b, err := readEntry(t, h)
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != e.SHA256 {
			return nil, damaged("entry %s is not what the manifest vouches for: its SHA-256 differs", h.Name)
		}
		got[h.Name] = b
	}
	if len(got) != len(listed) {
		return nil, damaged("%d of %d entries are there", len(got), len(listed))
	}
	return got, nil
}

// readEntry reads one regular entry; its size is bounded before anything is read.
func readEntry(t *tar.Reader, h *tar.Header) ([]byte, error) {
	if h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > maxEntry {
		return nil, damaged("entry %.80q is no regular file of at most %d MiB", h.Name, maxEntry>>20)
	}
	b, err := io.ReadAll(io.LimitReader(t, maxEntry+1)) // grows with what truly comes
	if err != nil {
		return nil, damaged("entry %.80q: %v", h.Name, err)
	}
	if int64(len(b)) != h.Size {
		return nil, damaged("entry %.80q ends early", h.Name)
	}
	return b, nil
}

// assemble makes a recording of its entries.
func assemble(m Manifest, got map[string][]byte) (*Recording, error) {
	r := &Recording{Manifest: m}
	if m.Protocol == ProtocolIPMI {
		r.IPMI = &IPMI{}
		if err := strict(got[ipmiName], r.IPMI); err != nil {
			return nil, damaged("%s: %v", ipmiName, err)
		}
		if n := len(r.IPMI.Exchanges) + len(r.IPMI.SDR) + len(r.IPMI.SEL) + len(r.IPMI.FRU); n > maxExchanges {
			return nil, damaged("%s: %d answers: at most %d are read", ipmiName, n, maxExchanges)
		}
		return r, nil
	}
	var index redfishIndex
	if err := strict(got[redfishName], &index); err != nil {
		return nil, damaged("%s: %v", redfishName, err)
	}
	if len(index.Documents) > maxExchanges || len(index.Logins) > 64 {
		return nil, damaged("%s: too many documents", redfishName)
	}
	seen := map[string]bool{}
	for _, d := range index.Documents {
		if d == nil || seen[d.URL] || !strings.HasPrefix(d.URL, "/") || len(d.URL) > 4096 {
			return nil, damaged("%s: a bad document", redfishName)
		}
		seen[d.URL] = true
		if d.Status != 0 && (d.Status < 100 || d.Status > 599) {
			return nil, damaged("%s: status %d", redfishName, d.Status)
		}
		if d.Entry != "" {
			b, ok := got[d.Entry]
			if !ok {
				return nil, damaged("%s: entry %.80q is missing", redfishName, d.Entry)
			}
			d.Body = b
		}
	}
	r.Documents, r.Logins = index.Documents, index.Logins
	return r, nil
}

func strict(b []byte, v any) error {
	if b == nil {
		return errors.New("it is missing")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(v); err != nil {
		return err //nolint:wrapcheck // wrapped by assemble
	}
	if d.More() {
		return errors.New("more follows it")
	}
	return nil
}

// Hex is bytes as hexadecimal digits in JSON.
type Hex []byte

// MarshalText writes the digits.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText reads them.
func (h *Hex) UnmarshalText(b []byte) error {
	out, err := hex.DecodeString(string(b))
	if err != nil {
		return fmt.Errorf("bytes in hexadecimal: %w", err)
	}
	*h = out
	return nil
}

package capture

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Journal is a recording in the making: one line of JSON for each answer, appended as it comes, in FILE.partial. What is in
// it is not redacted yet, but for secrets, so the file is its owner's alone (0600) and goes when the recording is finished.
type Journal struct {
	out    string
	f      *os.File
	secret *secrets

	mu      sync.Mutex
	head    journalHead
	docs    map[string]*Document
	order   []string
	logins  map[string]Login
	answers map[string]*Exchange // by key
	keys    []string
	fresh   map[string]bool // asked in this run: an error is not asked again
	size    int64
	err     error
}

type journalHead struct {
	Format  int       `json:"dewline_journal"`
	Source  string    `json:"source"` // protocol and address
	Key     []byte    `json:"key"`    // of the replacements; goes with the journal
	Started time.Time `json:"started"`
	Resumed int       `json:"resumed"`
}

// line is one line of a journal after the first.
type line struct {
	Resumed  *time.Time `json:"resumed,omitempty"`
	Document *Document  `json:"document,omitempty"`
	Body     []byte     `json:"body,omitempty"`
	Login    *Login     `json:"login,omitempty"`
	Exchange *Exchange  `json:"exchange,omitempty"`
}

// ErrOther is a journal that belongs to the recording of something else.
var ErrOther = errors.New("an unfinished recording of another BMC is there")

// ErrNoJournal is a file, where the journal would be, that is none.
var ErrNoJournal = errors.New("what is there is no unfinished recording of dewline's")

// ErrFull ends a recording whose BMC has more to say than is kept.
var ErrFull = errors.New("the recording is as large as one may be")

// PartialName is where the unfinished recording of a file lies.
func PartialName(out string) string { return out + ".partial" }

// Begin begins a recording, or takes up one that was interrupted. Source says what is recorded; passwords are never kept.
func Begin(out, source string, now time.Time, passwords ...string) (*Journal, error) {
	if st, err := os.Lstat(PartialName(out)); err == nil && !st.Mode().IsRegular() { // a link may lead to another's file
		return nil, fmt.Errorf("%s: %w: it is not a regular file", PartialName(out), ErrNoJournal)
	}
	f, err := os.OpenFile(PartialName(out), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	j := &Journal{
		out: out, f: f, secret: newSecrets(passwords), docs: map[string]*Document{}, logins: map[string]Login{},
		answers: map[string]*Exchange{}, fresh: map[string]bool{},
	}
	if err := j.load(source, now); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", PartialName(out), err), f.Close())
	}
	return j, nil
}

func (j *Journal) load(source string, now time.Time) error {
	st, err := j.f.Stat()
	if err != nil {
		return err //nolint:wrapcheck // wrapped by Begin
	}
	if !st.Mode().IsRegular() || st.Size() > 2*maxTotal {
		return fmt.Errorf("%w: remove it to begin anew", ErrNoJournal)
	}
	if err := j.f.Chmod(0o600); err != nil {
		return err //nolint:wrapcheck // wrapped by Begin
	}
	r := bufio.NewReaderSize(io.LimitReader(j.f, 2*maxTotal), 1<<16)
	var good int64 // bytes up to the last whole line
	for first := true; ; first = false {
		b, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if first && !begun(b) {
				return fmt.Errorf("%w: move it away, or record to another file", ErrNoJournal)
			}
			break // what follows was cut off by the interruption
		}
		if err != nil {
			return err //nolint:wrapcheck // wrapped by Begin
		}
		if first {
			switch err := json.Unmarshal(b, &j.head); {
			case err != nil || j.head.Format < 1 || j.head.Source == "" || len(j.head.Key) != 32:
				return fmt.Errorf("%w: move it away, or record to another file", ErrNoJournal)
			case j.head.Format != FormatVersion:
				return fmt.Errorf("%w: an unfinished recording of format %d, this dewline writes %d: remove it to begin anew", ErrNoJournal, j.head.Format, FormatVersion)
			case j.head.Source != source:
				return fmt.Errorf("%w (%s): finish that one, or remove the file", ErrOther, strings.ToValidUTF8(j.head.Source[:min(len(j.head.Source), 100)], "?"))
			}
		} else {
			var l line
			if json.Unmarshal(b, &l) != nil {
				break
			}
			j.take(&l)
		}
		good += int64(len(b))
	}
	if err := j.f.Truncate(good); err != nil {
		return err //nolint:wrapcheck // wrapped by Begin
	}
	if _, err := j.f.Seek(good, io.SeekStart); err != nil {
		return err //nolint:wrapcheck // wrapped by Begin
	}
	clear(j.fresh)
	if good > 0 {
		j.put(&line{Resumed: &now})
		return j.err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	j.head = journalHead{Format: FormatVersion, Source: source, Key: key, Started: now}
	j.write(j.head)
	return j.err
}

// begun tells whether an unfinished first line may be that of a journal: the interruption came as it was written.
func begun(line []byte) bool {
	const head = `{"dewline_journal":`
	return strings.HasPrefix(string(line), head) || strings.HasPrefix(head, string(line))
}

// Started is when the recording began.
func (j *Journal) Started() time.Time { return j.head.Started }

// Held is how many answers the journal holds.
func (j *Journal) Held() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.order) + len(j.keys)
}

// Resumed tells whether this goes on with an earlier run.
func (j *Journal) Resumed() bool { return j.head.Resumed > 0 }

// Close closes the journal, which can be taken up again.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return nil
	}
	err := errors.Join(j.f.Sync(), j.f.Close())
	j.f = nil
	return err
}

// put takes a line in and writes it.
func (j *Journal) put(l *line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil || j.err != nil {
		return
	}
	j.take(l)
	if l.Document != nil {
		if j.size += int64(len(l.Document.Body)); j.size > maxTotal/2 || len(j.order) > maxEntries/2 {
			j.err = ErrFull
			return
		}
		l.Body = l.Document.Body
	}
	j.write(l)
}

func (j *Journal) write(v any) {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = j.f.Write(append(b, '\n'))
	}
	if err != nil {
		j.err = fmt.Errorf("write %s: %w", PartialName(j.out), err)
	}
}

// take takes a line in.
func (j *Journal) take(l *line) {
	switch {
	case l.Resumed != nil:
		j.head.Resumed++
	case l.Document != nil:
		d := l.Document
		if l.Body != nil {
			d.Body = l.Body
		}
		if _, known := j.docs[d.URL]; !known {
			j.order = append(j.order, d.URL)
		}
		j.docs[d.URL], j.fresh[d.URL] = d, true
	case l.Login != nil:
		j.logins[l.Login.URL] = *l.Login
	case l.Exchange != nil:
		k := l.Exchange.key()
		if _, known := j.answers[k]; !known {
			j.keys = append(j.keys, k)
		}
		j.answers[k], j.fresh[k] = l.Exchange, true
	}
}

// Err is the error that ended the recording: the journal cannot be written, or is full.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Document is what was answered to a URL, nil if it has to be asked for: also after an answer that may have been the
// moment's, unless this run got it.
func (j *Journal) Document(url string) *Document {
	url = j.secret.text(url)
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.docs[url]
	if d == nil || !j.fresh[url] && (d.Status == 0 || d.Status >= 500 || d.Status == 401 || d.Status == 408 || d.Status == 429) {
		return nil
	}
	return d
}

// Documents are all of them.
func (j *Journal) Documents() []*Document {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]*Document, 0, len(j.order))
	for _, u := range j.order {
		out = append(out, j.docs[u])
	}
	return out
}

// AddDocument keeps an answer. Secrets in it are blanked before it is written.
func (j *Journal) AddDocument(d *Document) {
	c := *d
	c.URL, c.Body, c.Header = j.secret.text(d.URL), j.secret.json(bytes.Clone(d.Body)), map[string]string{}
	for k, v := range d.Header {
		c.Header[k] = j.secret.text(v)
	}
	j.put(&line{Document: &c})
}

// AddLogin keeps how a login went. The token is never written; wherever it comes up later it is blanked.
func (j *Journal) AddLogin(url string, status int, token string) {
	j.secret.add(token)
	j.put(&line{Login: &Login{URL: j.secret.text(url), Status: status}})
}

// Exchange is what was answered to a command, nil if it has to be asked.
func (j *Journal) Exchange(netFn, cmd, lun uint8, data []byte) *Exchange {
	x := Exchange{NetFn: netFn, Cmd: cmd, LUN: lun, Request: data}
	if x.reservation() {
		return nil // of an earlier session it is worth nothing
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	k := x.key()
	got := j.answers[k]
	if got == nil || !j.fresh[k] && (got.Error != "" || got.Code == 0xc0 || got.Code == 0xc3) {
		return nil
	}
	return got
}

// AddExchange keeps an answer.
func (j *Journal) AddExchange(x *Exchange) {
	c := *x
	c.Request, c.Response = bytes.Clone(x.Request), j.secret.bytes(bytes.Clone(x.Response))
	j.put(&line{Exchange: &c})
}

// key is what makes two commands one: the reservation that part-wise reading needs is the session's, not the question's.
func (x *Exchange) key() string {
	d := bytes.Clone(x.Request)
	if (x.isSDR() || x.isSEL()) && len(d) >= 2 {
		d[0], d[1] = 0, 0
	}
	return fmt.Sprintf("%x.%x.%x.%x", x.NetFn, x.LUN, x.Cmd, d)
}

// The commands with a structure of their own (IPMI 2.0 sections 31, 33, 34, 35).
const (
	fnSensor  = 0x04
	fnApp     = 0x06
	fnStorage = 0x0a
	fnGroup   = 0x2c
)

func (x *Exchange) isSDR() bool {
	return (x.NetFn == fnStorage && x.Cmd == 0x23 || x.NetFn == fnSensor && x.Cmd == 0x21) && len(x.Request) == 6
}
func (x *Exchange) isSEL() bool { return x.NetFn == fnStorage && x.Cmd == 0x43 && len(x.Request) == 6 }
func (x *Exchange) isFRU() bool { return x.NetFn == fnStorage && x.Cmd == 0x11 && len(x.Request) == 4 }
func (x *Exchange) reservation() bool {
	return x.NetFn == fnStorage && (x.Cmd == 0x22 || x.Cmd == 0x42) || x.NetFn == fnSensor && x.Cmd == 0x22
}

// Finish redacts what was recorded and writes it under its final name, at once or not at all. The journal is removed then.
func (j *Journal) Finish(o FinishOptions) (*Manifest, error) {
	if err := j.Err(); err != nil && !errors.Is(err, ErrFull) {
		return nil, err
	}
	r := j.recording(o)
	entries := r.redact(j.head.Key, j.secret, !o.KeepIdentities)
	if err := r.write(j.out, entries); err != nil {
		return nil, err
	}
	err := j.Close()
	if rm := os.Remove(PartialName(j.out)); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return &r.Manifest, err
}

// FinishOptions say how a recording ends.
type FinishOptions struct {
	Dewline        string
	Now            time.Time
	KeepIdentities bool      // --no-redact
	NotRead        []NotRead // beside what the journal itself knows
	// Identities that are known beforehand: user name, address and name of the target.
	Identities []Identity
}

// recording puts what is in the journal into order.
func (j *Journal) recording(o FinishOptions) *Recording {
	j.mu.Lock()
	defer j.mu.Unlock()
	protocol, _, _ := strings.Cut(j.head.Source, " ")
	r := &Recording{Manifest: Manifest{
		Format: FormatVersion, Dewline: o.Dewline, Protocol: protocol, Time: j.head.Started.UTC(), Finished: o.Now.UTC(),
		Resumed: j.head.Resumed, NotRead: o.NotRead,
	}, known: o.Identities}
	if r.Manifest.NotRead == nil {
		r.Manifest.NotRead = []NotRead{}
	}
	for _, u := range j.order {
		d := *j.docs[u]
		r.Documents = append(r.Documents, &d)
		if d.Error != "" {
			r.Manifest.NotRead = append(r.Manifest.NotRead, NotRead{Part: d.URL, Reason: d.Error, Count: 1})
		}
	}
	for _, l := range j.logins {
		r.Logins = append(r.Logins, l)
	}
	r.Manifest.Counts.Documents = len(r.Documents)
	if protocol == ProtocolIPMI {
		xs := make([]*Exchange, 0, len(j.keys))
		for _, k := range j.keys {
			xs = append(xs, j.answers[k])
		}
		r.IPMI = structure(xs)
		c := &r.Manifest.Counts
		c.Exchanges, c.SDR, c.SEL, c.FRU = len(xs), whole(r.IPMI.SDR), whole(r.IPMI.SEL), len(r.IPMI.FRU)
	}
	return r
}

func whole(rs []Record) int {
	n := 0
	for _, r := range rs {
		if r.Code == 0 && r.Error == "" {
			n++
		}
	}
	return n
}

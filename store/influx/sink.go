package influx

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"

	"dewline/health"
	"dewline/internal/secret"
)

// Log is what a store gives a follower. Its methods may be called while others record.
type Log interface {
	// After is up to limit committed visits with a Seq above seq, in order of commit. It ends before one that cannot be read, and fails if that is the first.
	After(ctx context.Context, seq int64, limit int) ([]*health.Visit, error)
	// PassUnread moves the sink's cursor from seq past the visits next to it that cannot be read, if there are any, and gives the cursor.
	PassUnread(ctx context.Context, name string, seq int64) (int64, error)
	// Returned is up to limit of the visits that PassUnread went past and that can be read now, in order.
	Returned(ctx context.Context, name string, limit int) ([]*health.Visit, error)
	// SettleReturned says that those of Returned from the first to the last are delivered.
	SettleReturned(ctx context.Context, name string, first, last int64) error
	// Changed is closed by the next commit.
	Changed() <-chan struct{}
	// SinkCursor is the Seq up to which the sink of that name has delivered; 0 for a new one.
	SinkCursor(ctx context.Context, name string) (int64, error)
	SetSinkCursor(ctx context.Context, name string, seq int64) error
	// Quarantine keeps lines the server refused. The same line of the same visit twice is kept once.
	Quarantine(ctx context.Context, sink string, rows []health.Rejected) error
	// Released is up to limit quarantined lines that a person wants sent again, oldest first. A release wakes Changed.
	Released(ctx context.Context, sink string, limit int) ([]health.Rejected, error)
	// Settle takes the delivered ones of these out of quarantine; the refused ones stay there.
	Settle(ctx context.Context, sink string, delivered []int64, refused []health.Rejected) error
}

// Defaults of Options.
const (
	DefaultName       = "influxdb"
	DefaultTimeout    = 20 * time.Second
	DefaultBatchLines = 5000
)

// Options of a Sink. URL and Bucket are needed.
type Options struct {
	URL          string        // http:// or https://, without credentials
	Organization string        // 2.x; 1.8 and 3.x take no notice
	Bucket       string        // 1.8: "database/retention policy"
	Token        secret.Secret // 1.8: "user:password"; none where the server asks for none
	Timeout      time.Duration // of one write, 0: DefaultTimeout
	BatchLines   int           // at most so many points in one write, 0: DefaultBatchLines
	CAFile       string        // PEM; the system's authorities are not trusted then. Read when the first connection is made
	Insecure     bool          // any certificate is taken
	Name         string        // of the sink's cursor and quarantine, "": DefaultName
	Log          *slog.Logger  // nil: says nothing
}

// Sink delivers to one bucket. Run it once; State and Check may be called at any time from any goroutine.
type Sink struct {
	o       Options
	log     Log
	target  func(health.TargetID) (health.Target, bool)
	api     api.WriteAPIBlocking
	client  *http.Client
	hide    *strings.Replacer
	back    backoff
	batch   int // points in one write; a 413 makes it less. Only Run's goroutine uses it
	refused map[string]bool
	// looked is when it was last asked for visits that can be read again. Only Run's goroutine uses it.
	looked time.Time
	// anchored is the last day whose anchor was sent since the start. Only Run's goroutine uses it.
	anchored time.Time

	mu    sync.Mutex
	state State
	since time.Time // of the oldest visit that is not delivered
	said  map[string]bool
}

// State is how delivery stands.
type State struct {
	Name        string
	Cursor      int64         // Seq of the last visit that was delivered whole
	Oldest      time.Time     // of the oldest visit known to be undelivered, zero if there is none
	Lag         time.Duration // how long ago that is, 0 if there is none
	LastError   string        // what stands in the way now, "" if nothing does; holds no secret
	Since       time.Time     // since when
	Delivered   int64         // points acknowledged since the start
	Quarantined int64         // points refused for good since the start
}

// New checks the options and makes a Sink. It does no I/O. target gives what is configured of a target now: it is asked
// for visits that do not carry that themselves.
func New(o Options, log Log, target func(health.TargetID) (health.Target, bool)) (*Sink, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if log == nil || target == nil {
		return nil, errors.New("influxdb: no log or no targets to follow")
	}
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.BatchLines == 0 {
		o.BatchLines = DefaultBatchLines
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sink{
		o: o, log: log, target: target, back: defaultBackoff, batch: o.BatchLines,
		hide: hider(o.Token.Reveal()), refused: map[string]bool{}, said: map[string]bool{},
		state: State{Name: o.Name},
	}
	s.connect(newTransport(o.CAFile, o.Insecure))
	return s, nil
}

func (o *Options) check() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil: // its text may hold a password
		return errors.New("influxdb: the url cannot be read")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("influxdb: the url must be http://HOST[:PORT] or https://HOST[:PORT]")
	case u.User != nil:
		return errors.New("influxdb: the url must not hold credentials; set token (1.8: \"user:password\")")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("influxdb: the url must end with its path; organization and bucket have keys of their own")
	case o.Bucket == "":
		return errors.New("influxdb: bucket is not set (1.8: \"database/retention policy\")")
	case o.BatchLines < 0 || o.Timeout < 0:
		return errors.New("influxdb: the timeout and the size of a batch must not be negative")
	}
	return nil
}

func (s *Sink) connect(base http.RoundTripper) {
	s.client = newClient(base, s.o.Timeout)
	opts := influxdb2.DefaultOptions().SetHTTPClient(s.client).
		SetApplicationName("dewline").SetPrecision(time.Nanosecond).SetUseGZip(false)
	s.api = influxdb2.NewClientWithOptions(s.o.URL, s.o.Token.Reveal(), opts).WriteAPIBlocking(s.o.Organization, s.o.Bucket)
}

// hider takes the token, and the password in one of the form user:password, out of texts. It is a second fence: nothing
// of ours puts them there, but a server may echo what it was sent.
func hider(token string) *strings.Replacer {
	var pairs []string
	if len(token) >= 4 { // a shorter one would take letters out of every word
		pairs = append(pairs, token, "***")
	}
	if _, password, ok := strings.Cut(token, ":"); ok && len(password) >= 4 {
		pairs = append(pairs, password, "***")
	}
	return strings.NewReplacer(pairs...)
}

// State is how delivery stands now.
func (s *Sink) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	if st.Oldest = s.since; !st.Oldest.IsZero() {
		st.Lag = max(0, time.Since(st.Oldest))
	}
	return st
}

// Check sends one write that holds no point. The server must find the address, the token and the bucket right to
// acknowledge it, and stores nothing.
func (s *Sink) Check(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	if f := s.send(ctx, []string{probe}); f != nil && !f.emptyWrite() {
		return &health.Error{Reason: f.reason(), Op: "check influxdb at " + s.o.URL, Err: f}
	}
	return nil
}

// probe is a comment of line protocol: an empty body is an error to 2.x.
const probe = "# dewline check"

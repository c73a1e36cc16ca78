package redfish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"dewline/health"
	"dewline/internal/quirk"
	"dewline/internal/secret"
)

// Options of one BMC.
type Options struct {
	Address  string // https://HOST[:PORT]; http:// is taken on loopback only, for tests
	Username string
	Password secret.Secret
	Auth     string // auto (the default), session or basic
	TLS      TLS
	Log      *slog.Logger // nil: discard

	// RequestBudget bounds the requests of one visit; 0 means DefaultRequestBudget, or ten times that for a visit with
	// the health or inventory tier and for one that has to learn, negative none.
	RequestBudget int
	Timeout       time.Duration // per request; 0 means DefaultTimeout
	UserAgent     string        // "" means "dewline"

	// Transport, if set, is given the connection to the BMC and gives what is used in its place: a recorder in front of it,
	// or a recording instead of it. What guards the BMC stands before it all the same.
	Transport func(http.RoundTripper) http.RoundTripper
	Now       func() time.Time // nil: time.Now; a replay tells the time of its recording
	// NoClock: the documents are not of the time that Now tells, so the BMC's clock cannot be compared with it.
	NoClock bool

	// Rows beside those of Quirks, and names of rows that are off.
	Quirks    []quirk.Quirk
	QuirksOff []string

	// KeepDir is where the session is written down for as long as it lives, so that a process that was killed can be
	// succeeded in it; "" for nowhere. Who gives it must be the only one to read this target.
	KeepDir string
}

// TLS says how the BMC's certificate is verified; the zero value is against the system's roots.
type TLS struct {
	CAFile      string // PEM file of the roots to trust instead
	Fingerprint string // SHA-256 of the leaf certificate in hex, with or without colons: trust that one only
	Insecure    bool   // no verification
}

// Defaults of Options.
const (
	DefaultTimeout       = 20 * time.Second // Lenovo XCC takes 11.4 s for one drive (check_redfish #80)
	DefaultRequestBudget = 400
)

// Client reads one BMC. It is a collector Source.
type Client struct {
	id   health.TargetID
	o    Options
	base *url.URL

	quirks    quirk.Table
	http      *http.Client
	transport *http.Transport

	mu      sync.Mutex // guards session and, during a visit, auth and mem.Sessions
	session session
	full    bool // the session table was full at the last login
	// keepFailed: the session could not be written down, and that was said.
	keepFailed bool

	reading  sync.Mutex // one visit at a time
	tlsReady bool
	mem      *memory
	tokens   bucket
	recalled bool // mem is the collector's, or newer
}

// Open makes a client. It does no I/O: a wrong address shows here, a dead one at the first Read.
func Open(id health.TargetID, o Options) (*Client, error) {
	base, err := parseAddress(o.Address)
	if err != nil {
		return nil, err
	}
	switch o.Auth {
	case "":
		o.Auth = AuthAuto
	case AuthAuto, AuthSession, AuthBasic:
	default:
		return nil, fmt.Errorf("open redfish: auth is %q, not auto, session or basic", o.Auth)
	}
	if o.TLS.Fingerprint != "" {
		if _, err := parseFingerprint(o.TLS.Fingerprint); err != nil {
			return nil, fmt.Errorf("open redfish: %w", err)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.UserAgent == "" {
		o.UserAgent = "dewline"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	on, err := quirks.With(o.Quirks, o.QuirksOff)
	if err != nil {
		return nil, fmt.Errorf("open redfish: %w", err)
	}
	c := &Client{id: id, o: o, base: base, quirks: on, mem: newMemory()}
	chain, transport := newTransport(base, o, o.Log.With("target", string(id)), c.deniedPath)
	c.transport = transport
	c.http = &http.Client{Transport: chain, CheckRedirect: checkRedirect, Timeout: o.Timeout}
	return c, nil
}

func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimSpace(address), "/"))
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("open redfish: an address is https://HOST or https://HOST:PORT")
	}
	switch u.Scheme {
	case "https":
	case "http":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, errors.New("open redfish: http sends the password in clear text: only https is taken")
		}
	default:
		return nil, fmt.Errorf("open redfish: scheme %q is not https", u.Scheme)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// Read reads the tiers asked for. A snapshot is always returned, also beside an error, so that the cost is counted; the
// error is a *health.Error and means that nothing could be read.
func (c *Client) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	start := c.o.Now()
	v := newVisit(c, ctx, req, start)
	err := v.run()
	s := v.snapshot()
	s.Took = c.o.Now().Sub(start)
	s.Cost = v.meter.cost()
	if err != nil {
		return s, err
	}
	return s, nil
}

// Close ends the session and the connections. The client can be used again.
func (c *Client) Close(ctx context.Context) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	err := c.logout(ctx)
	c.transport.CloseIdleConnections()
	return err
}

// prepare does what Open must not: reads the CA file.
func (c *Client) prepare() error {
	if c.tlsReady || c.base.Scheme != "https" {
		return nil
	}
	conf, err := tlsConfig(c.o.TLS, c.base.Hostname())
	if err != nil {
		return &health.Error{Reason: health.ReasonTLS, Op: "set up TLS", Err: err}
	}
	c.transport.TLSClientConfig = conf
	c.tlsReady = true
	return nil
}

// recall takes the memory the collector kept. What is held already wins: it is newer, or the same.
func (c *Client) recall(raw json.RawMessage) {
	if len(raw) == 0 || c.recalled || len(raw) > maxBody {
		return
	}
	if m := decodeMemory(c.base, raw); m != nil {
		c.mem = m
		c.recalled = true
	}
}

package redfish

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"dewline/health"
)

const (
	maxBody    = 8 << 20
	inFlight   = 2 // requests at once towards one BMC
	maxHeaders = 64 << 10
)

// meter counts what one visit costs. It travels in the request's context.
type meter struct {
	requests, connections atomic.Int64
	bytes                 atomic.Int64
	budget                int64 // requests; 0: none
}

func (m *meter) cost() health.Cost {
	return health.Cost{Requests: int(m.requests.Load()), Connections: int(m.connections.Load()), Bytes: m.bytes.Load()}
}

type meterKey struct{}

func withMeter(ctx context.Context, m *meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

func meterOf(ctx context.Context) *meter {
	if m, ok := ctx.Value(meterKey{}).(*meter); ok {
		return m
	}
	return new(meter)
}

// errBudget ends what a visit may ask for.
var errBudget = errors.New("the visit's request budget is spent")

// errTooLarge is a body over maxBody.
var errTooLarge = fmt.Errorf("body over %d MiB", maxBody>>20)

// pin refuses every request that is not for the one service: gofish and net/http send X-Auth-Token along wherever an
// @odata.id or a redirect leads.
type pin struct {
	next         http.RoundTripper
	scheme, host string // host with port
}

func (p pin) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != p.scheme || !p.ours(r) || (r.Host != "" && r.Host != r.URL.Host) || r.URL.User != nil {
		closeBody(r)
		return nil, &health.Error{Reason: health.ReasonUnsupported, Op: r.Method, Err: errors.New("request to another host refused")}
	}
	return p.next.RoundTrip(r)
}

// ours tells whether a request is for our service: its host and port, or of a login that was redirected, its host.
func (p pin) ours(r *http.Request) bool {
	at := hostPort(r.URL)
	if at == p.host {
		return true
	}
	if r.Response == nil || r.Context().Value(ownSession{}) == nil { // no redirect led here, or not a login
		return false
	}
	host, _, err := net.SplitHostPort(p.host)
	return err == nil && strings.EqualFold(r.URL.Hostname(), host)
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// ownSession marks the two requests that may change something: login and logout of our own session.
type ownSession struct{}

// readOnly refuses everything that is neither a GET nor about our own session.
type readOnly struct{ next http.RoundTripper }

func (t readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	own := r.Context().Value(ownSession{}) != nil
	if r.Method != http.MethodGet && (!own || r.Method != http.MethodPost && r.Method != http.MethodDelete) {
		closeBody(r)
		return nil, &health.Error{Reason: health.ReasonUnsupported, Op: r.Method, Err: errors.New("dewline only reads")}
	}
	return t.next.RoundTrip(r)
}

// denied refuses paths that hurt some BMC (quirks.go). The driver does not ask for them; this is the second lock.
type denied struct {
	next http.RoundTripper
	deny func(path string) bool
}

func (t denied) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && t.deny(r.URL.Path) {
		closeBody(r)
		return nil, &health.Error{Reason: health.ReasonUnsupported, Op: "GET " + r.URL.Path, Err: errors.New("this path hurts the BMC")}
	}
	return t.next.RoundTrip(r)
}

// count counts and bounds the requests of a visit.
type count struct{ next http.RoundTripper }

func (t count) RoundTrip(r *http.Request) (*http.Response, error) {
	m := meterOf(r.Context())
	// Logging out is always allowed: a session left behind is worse than one request over budget.
	if n := m.requests.Add(1); m.budget > 0 && n > m.budget && r.Method != http.MethodDelete {
		m.requests.Add(-1)
		closeBody(r)
		return nil, &health.Error{Reason: health.ReasonBudget, Op: r.Method + " " + r.URL.Path, Err: errBudget}
	}
	return t.next.RoundTrip(r)
}

// throttle keeps at most inFlight requests under way, until their bodies are closed.
type throttle struct {
	next  http.RoundTripper
	slots chan struct{}
}

func (t throttle) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case t.slots <- struct{}{}:
	case <-r.Context().Done():
		closeBody(r)
		return nil, r.Context().Err()
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		<-t.slots
		return nil, err
	}
	resp.Body = &slotBody{ReadCloser: resp.Body, free: func() { <-t.slots }}
	return resp, nil
}

type slotBody struct {
	io.ReadCloser
	free func()
	done atomic.Bool
}

func (b *slotBody) Close() error {
	err := b.ReadCloser.Close()
	if !b.done.Swap(true) {
		b.free()
	}
	return err
}

// capped bounds and counts bodies. It unpacks gzip itself: we do not ask for it, to spare the BMC's CPU, and some iLO
// generations send it anyway; the cap holds for what comes out.
type capped struct{ next http.RoundTripper }

func (t capped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body := io.Reader(resp.Body)
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(io.LimitReader(resp.Body, maxBody))
		if err != nil {
			_ = resp.Body.Close()
			return nil, &health.Error{Reason: health.ReasonMalformed, Op: r.Method + " " + r.URL.Path, Err: fmt.Errorf("gzip body: %w", err)}
		}
		body = z
		resp.Header.Del("Content-Encoding")
		resp.ContentLength = -1
	}
	resp.Body = &cappedBody{r: body, c: resp.Body, left: maxBody, meter: meterOf(r.Context())}
	return resp, nil
}

type cappedBody struct {
	r     io.Reader
	c     io.Closer
	left  int64
	meter *meter
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.meter.bytes.Add(int64(n))
	b.left -= int64(n)
	if b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

func (b *cappedBody) Close() error { return b.c.Close() }

// cancelBody ends its request's context with the body.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// newTransport builds the chain: pin, readOnly, denied, count, throttle, wire, capped, net/http.
func newTransport(base *url.URL, o Options, log *slog.Logger, deny func(string) bool) (http.RoundTripper, *http.Transport) {
	dialer := &net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy: nil, // a BMC is never behind the environment's proxy, and a proxy would see the token
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			meterOf(ctx).connections.Add(1)
			return dialer.DialContext(ctx, network, addr)
		},
		MaxIdleConns: inFlight, MaxIdleConnsPerHost: inFlight, MaxConnsPerHost: inFlight,
		IdleConnTimeout:        30 * time.Minute, // BMCs close idle ones themselves; a handshake costs them up to a second of CPU
		TLSHandshakeTimeout:    o.Timeout,
		ResponseHeaderTimeout:  o.Timeout,
		MaxResponseHeaderBytes: maxHeaders,
		DisableCompression:     true,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1: BMC servers' HTTP/2 is young
	}
	t.DialTLSContext = nil
	lowest := http.RoundTripper(t)
	if o.Transport != nil {
		lowest = o.Transport(t)
	}
	chain := http.RoundTripper(capped{lowest})
	chain = wire{chain, log, o.Now}
	chain = throttle{chain, make(chan struct{}, inFlight)}
	chain = count{chain}
	chain = denied{chain, deny}
	chain = readOnly{chain}
	return pin{chain, base.Scheme, hostPort(base)}, t
}

// tlsConfig is the verification the options ask for: system roots, a CA file, a pinned leaf, or none.
func tlsConfig(o TLS, host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, CipherSuites: cipherSuites()}
	switch {
	case o.Fingerprint != "":
		want, err := parseFingerprint(o.Fingerprint)
		if err != nil {
			return nil, err
		}
		c.InsecureSkipVerify = true // the pin below verifies instead
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("no certificate to compare with the pinned fingerprint")
			}
			got := sha256.Sum256(s.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(got[:], want) != 1 {
				return fmt.Errorf("certificate's SHA-256 fingerprint is %x, not the pinned one", got)
			}
			return nil
		}
	case o.Insecure:
		c.InsecureSkipVerify = true
	case o.CAFile != "":
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA file %s: no certificate in it", o.CAFile)
		}
	}
	return c, nil
}

// cipherSuites adds the RSA key exchange with AES, which Go no longer offers by default and many BMCs of 2012 to 2018
// have nothing else than. TLS 1.3 and the ECDHE suites are preferred all the same.
func cipherSuites() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	return append(ids, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
}

// parseFingerprint reads a SHA-256 fingerprint in hex, with or without colons and a "sha256:" in front.
func parseFingerprint(s string) ([]byte, error) {
	s = strings.TrimSpace(s)
	if len(s) > 7 && strings.EqualFold(s[:7], "sha256:") {
		s = s[7:]
	}
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(s))
	if err != nil || len(b) != sha256.Size {
		return nil, errors.New("a fingerprint is the SHA-256 of the certificate: 64 hex digits")
	}
	return b, nil
}

// checkRedirect follows one redirect, on the same host, that leaves the path as it is but for a trailing slash: iLO 4 and
// Supermicro ask for a slash with 307 and 308; net/http then keeps method and body. A login may also be sent to another port,
// whose certificate is verified like that of the first. Anything else is returned as it is.
func checkRedirect(r *http.Request, via []*http.Request) error {
	from := via[len(via)-1]
	if len(via) > 1 || r.Method != from.Method || r.URL.Scheme != from.URL.Scheme || r.URL.User != nil ||
		!strings.EqualFold(r.URL.Hostname(), from.URL.Hostname()) ||
		hostPort(r.URL) != hostPort(from.URL) && r.Context().Value(ownSession{}) == nil ||
		strings.TrimSuffix(r.URL.Path, "/") != strings.TrimSuffix(from.URL.Path, "/") ||
		r.URL.Path == from.URL.Path && hostPort(r.URL) == hostPort(from.URL) {
		return http.ErrUseLastResponse
	}
	return nil
}

// resolve turns a link of the BMC into a path with query of this service, or "" if it leads elsewhere. Fragments are
// cut: Thermal#/Fans/0 is read with Thermal. Climbing out of /redfish is refused.
func resolve(base *url.URL, l link) string {
	s := strings.TrimSpace(string(l))
	if s == "" || len(s) > 2048 {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil { // a sensor called "Fan Duty %"
		u, err = url.Parse(strings.ReplaceAll(s, "%", "%25"))
	}
	if err != nil || u.Opaque != "" || u.User != nil {
		return ""
	}
	if u.Host != "" || u.Scheme != "" {
		if u.Scheme != base.Scheme || hostPort(u) != hostPort(base) {
			return ""
		}
	}
	p := u.EscapedPath()
	if !strings.HasPrefix(p, "/") || strings.Contains(p, "//") {
		return ""
	}
	low := strings.ToLower(path.Clean(u.Path))
	if low != "/redfish" && !strings.HasPrefix(low, "/redfish/") {
		return ""
	}
	if clean := path.Clean(u.Path); clean != strings.TrimSuffix(u.Path, "/") {
		return ""
	}
	p = strings.TrimSuffix(p, "/")
	if u.RawQuery != "" {
		p += "?" + u.RawQuery
	}
	return p
}

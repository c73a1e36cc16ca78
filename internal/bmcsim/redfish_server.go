package bmcsim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Credential of every simulated BMC whose options name none.
const (
	DefaultUsername = "monitor"
	DefaultPassword = "dewline-sim-1"
)

// RedfishOptions says how a Redfish service behaves; the zero value is a well-behaved one without $expand.
type RedfishOptions struct {
	Username, Password string // DefaultUsername, DefaultPassword if empty
	Addr               string // a loopback address; "127.0.0.1:0" if empty

	// Expand answers $expand. Without it the query is ignored and the plain resource comes back, as old firmware does.
	Expand bool
	// ExpandLies drops the last member of every expanded collection and the readings of the others, as some firmware does.
	ExpandLies bool
	// IgnoreSkip serves the first page whatever $skip says, so that a repeated nextLink never ends.
	IgnoreSkip bool
	// BasicOnly has no session service: logging in is 404 and only HTTP Basic authentication works.
	BasicOnly bool
	// SessionOnly refuses HTTP Basic authentication.
	SessionOnly bool
	// MaxSessions is how many sessions may be open; one more is refused with 503. 8 if 0.
	MaxSessions int
	// LockAfter is how many failed logins in a row lock the account until Unlock; 0 never locks.
	LockAfter int
	// StaleETag sends an ETag that never changes and answers If-None-Match with 304, although the readings moved on.
	StaleETag bool

	// Now is the BMC's clock; time.Now if nil.
	Now func() time.Time
}

// RedfishStats counts what clients did since the server started or ResetStats.
type RedfishStats struct {
	Requests      int // every HTTP request, refused ones too
	Connections   int // accepted TCP connections
	Logins        int // sessions created
	LoginFailures int // wrong name or password, by session or Basic
	Logouts       int // sessions deleted by a client
	OpenSessions  int // now
	InFlightMax   int // most requests at once
	Writes        int // requests other than GET, HEAD, and those that open or close a session: a reader makes none
	BytesSent     int64
	ByPath        map[string]int // GET requests per path, without query
	ByQuery       map[string]int // GET requests per path and query
}

// resources is what a service shows: a machine or a recorded tree.
type resources interface {
	// get returns the JSON document at a clean path ("/redfish/v1/Chassis"), as bytes or as a value to be marshalled.
	get(path string, at time.Time) (any, bool)
}

// RedfishServer is a Redfish service on loopback.
type RedfishServer struct {
	redfishFaults
	o     RedfishOptions
	res   resources
	cert  *serverCert
	addr  string
	sess  sessions
	etagN string

	mu       sync.Mutex
	srv      *http.Server
	served   chan struct{}
	closed   bool
	byPath   map[string]int
	byQuery  map[string]int
	inFlight atomic.Int64

	requests, connections, writes, inFlightMax, bytesSent atomic.Int64
}

// ServeRedfish puts a machine on the wire. Close ends it.
func ServeRedfish(m *Machine, o RedfishOptions) (*RedfishServer, error) {
	return serveResources(m.Name(), newMachineTree(m, o.Expand), o)
}

func serveResources(name string, res resources, o RedfishOptions) (*RedfishServer, error) {
	if o.Username == "" {
		o.Username = DefaultUsername
	}
	if o.Password == "" {
		o.Password = DefaultPassword
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 8
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := checkLoopback(o.Addr); err != nil {
		return nil, err
	}
	cert, err := newServerCert(name)
	if err != nil {
		return nil, fmt.Errorf("serve redfish: %w", err)
	}
	s := &RedfishServer{o: o, res: res, cert: cert, byPath: map[string]int{}, byQuery: map[string]int{}, etagN: `W/"` + cert.fingerprint[:12] + `"`}
	s.redfishFaults.init()
	s.sess.limit, s.sess.lockAfter = o.MaxSessions, o.LockAfter
	if err := s.listen(o.Addr); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *RedfishServer) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("serve redfish: %w", err)
	}
	if s.addr == "" { // a restart keeps it
		s.addr = l.Addr().String()
	}
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // a client that gives up is no news
		// BMCs speak HTTP/1.1.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{s.cert.tls}, MinVersion: tls.VersionTLS12},
	}
	served := make(chan struct{})
	s.mu.Lock()
	s.srv, s.served = srv, served
	s.mu.Unlock()
	go func() {
		defer close(served)
		_ = srv.ServeTLS(&gateListener{Listener: l, s: s}, "", "")
	}()
	return nil
}

// Handler answers requests without a connection: for compressed history, in which TLS would be most of the work.
func (s *RedfishServer) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// URL of the service, "https://127.0.0.1:PORT".
func (s *RedfishServer) URL() string { return "https://" + s.addr }

// Addr of the listener, "127.0.0.1:PORT".
func (s *RedfishServer) Addr() string { return s.addr }

// Username and Password the service accepts.
func (s *RedfishServer) Username() string { return s.o.Username }

// Password the service accepts.
func (s *RedfishServer) Password() string { return s.o.Password }

// CertFingerprint is the SHA-256 of the certificate in lower-case hex, without separators.
func (s *RedfishServer) CertFingerprint() string { return s.cert.fingerprint }

// CertPEM is the certificate, which is its own CA.
func (s *RedfishServer) CertPEM() []byte { return s.cert.pem }

// Close ends the service and all its connections, and waits for its goroutines. It can be called again.
func (s *RedfishServer) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	return s.stop()
}

func (s *RedfishServer) stop() error {
	s.mu.Lock()
	srv, served := s.srv, s.served
	s.mu.Unlock()
	err := srv.Close()
	<-served
	// Close does not wait for handlers; their contexts are done, so they end by themselves.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if e := srv.Shutdown(ctx); e != nil && !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	for s.inFlight.Load() > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("close redfish: %w", err)
	}
	return nil
}

// RestartListener is a BMC restart: all connections drop, all sessions are forgotten, the same port listens again.
func (s *RedfishServer) RestartListener() error {
	if err := s.stop(); err != nil {
		return err
	}
	s.sess.expire()
	return s.listen(s.addr)
}

// SessionLimit changes how many sessions may be open.
func (s *RedfishServer) SessionLimit(n int) { s.sess.setLimit(n) }

// ExpireSessions forgets every session: the next request with an old token is 401.
func (s *RedfishServer) ExpireSessions() { s.sess.expire() }

// Unlock frees an account that LockAfter locked.
func (s *RedfishServer) Unlock() { s.sess.unlock() }

// SetPassword changes the password; open sessions stay.
func (s *RedfishServer) SetPassword(p string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Password = p
}

// Stats since the start or the last ResetStats.
func (s *RedfishServer) Stats() RedfishStats {
	st := s.sess.stats()
	st.Requests, st.Connections = int(s.requests.Load()), int(s.connections.Load())
	st.InFlightMax, st.Writes, st.BytesSent = int(s.inFlightMax.Load()), int(s.writes.Load()), s.bytesSent.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.ByPath, st.ByQuery = maps.Clone(s.byPath), maps.Clone(s.byQuery)
	return st
}

// ResetStats sets every counter to zero; sessions and connections stay as they are.
func (s *RedfishServer) ResetStats() {
	s.sess.resetStats()
	for _, c := range []*atomic.Int64{&s.requests, &s.connections, &s.writes, &s.inFlightMax, &s.bytesSent} {
		c.Store(0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byPath)
	clear(s.byQuery)
}

func (s *RedfishServer) serve(w http.ResponseWriter, r *http.Request) {
	n := s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	for {
		m := s.inFlightMax.Load()
		if n <= m || s.inFlightMax.CompareAndSwap(m, n) {
			break
		}
	}
	s.requests.Add(1)
	path := cleanPath(r.URL.Path)
	if r.Method == http.MethodGet {
		s.mu.Lock()
		s.byPath[path]++
		q := path
		if r.URL.RawQuery != "" {
			q += "?" + r.URL.RawQuery
		}
		s.byQuery[q]++
		s.mu.Unlock()
	}
	f := s.redfishFaults.of(path)
	if !s.waitGate(r.Context().Done()) || !sleep(r.Context(), f.latency) {
		panic(http.ErrAbortHandler)
	}
	w = &countingWriter{ResponseWriter: w, n: &s.bytesSent}
	w.Header().Set("OData-Version", "4.0")
	w.Header().Set("Cache-Control", "no-cache")
	switch {
	case f.redirect != "":
		w.Header().Set("Location", f.redirect)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case f.status != 0:
		if f.retryAfter != "" {
			w.Header().Set("Retry-After", f.retryAfter)
		}
		writeError(w, f.status, "Base.1.8.GeneralError", "A general error has occurred. See Resolution for information on how to resolve the error.")
	case s.sessionRequest(w, r, path):
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		s.writes.Add(1)
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, "Base.1.8.OperationNotAllowed", "The HTTP method is not allowed on this resource.")
	case path != "/redfish" && path != "/redfish/v1" && !s.authorized(w, r):
	case f.hook != nil:
		f.hook(w, r)
	case f.body != nil:
		writeBody(w, r, f.body, f.cut)
	default:
		s.serveResource(w, r, path, f.cut)
	}
}

func (s *RedfishServer) serveResource(w http.ResponseWriter, r *http.Request, path string, cut int) {
	if path == "/redfish" {
		writeJSON(w, r, http.StatusOK, map[string]any{"v1": "/redfish/v1/"}, cut)
		return
	}
	if s.o.StaleETag {
		w.Header().Set("ETag", s.etagN)
		if r.Header.Get("If-None-Match") == s.etagN {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	now := s.o.Now()
	v, ok := s.res.get(path, now)
	if !ok {
		if v, ok = s.sess.resource(path); !ok || s.o.BasicOnly {
			writeError(w, http.StatusNotFound, "Base.1.8.ResourceMissingAtURI", "The resource at the URI "+path+" was not found.")
			return
		}
	}
	v, err := s.query(v, r, now)
	if err != nil {
		writeError(w, http.StatusBadRequest, "Base.1.8.QueryParameterValueFormatError", err.Error())
		return
	}
	writeJSON(w, r, http.StatusOK, v, cut)
}

func cleanPath(p string) string {
	if len(p) > 1 {
		p = strings.TrimRight(p, "/")
	}
	return p
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.n.Add(int64(n))
	return n, err //nolint:wrapcheck // a writer's error is io's
}

// writeBody sends body with its true length; cut >= 0 sends only so much of it and drops the connection.
func writeBody(w http.ResponseWriter, r *http.Request, body []byte, cut int) {
	w.Header().Set("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	if cut >= 0 && cut < len(body) {
		_, _ = w.Write(body[:cut])
		_ = http.NewResponseController(w.(*countingWriter).ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// gateListener counts connections and holds back new ones while the BMC is hung.
type gateListener struct {
	net.Listener
	s *RedfishServer
}

func (l *gateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // net/http looks at it
	}
	l.s.connections.Add(1)
	return &gateConn{Conn: c, s: l.s, done: make(chan struct{})}, nil
}

type gateConn struct {
	net.Conn
	s    *RedfishServer
	once sync.Once
	done chan struct{}
}

func (c *gateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.s.waitGate(c.done) {
		return 0, net.ErrClosed
	}
	return n, err //nolint:wrapcheck // a reader's error is net's
}

func (c *gateConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close() //nolint:wrapcheck // as above
}

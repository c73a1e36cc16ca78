package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// maxAnswer bounds what is read of an answer's body, in bytes.
const maxAnswer = 64 << 10

// answer is what came back for one write. The client's own error keeps less of it, and nothing of a 2xx or a redirect.
type answer struct {
	status int
	header http.Header
	body   []byte
}

type answerKey struct{}

// newClient follows no redirects: a POST that is redirected becomes a GET, and the page it gets looks like success.
func newClient(base http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     exchange{base},
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// exchange compresses what goes out, and puts what comes back into the answer that the request's context carries.
type exchange struct{ base http.RoundTripper }

func (x exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	var packed bytes.Buffer
	if err := pack(&packed, req.Body); err != nil {
		return nil, fmt.Errorf("compress points: %w", err)
	}
	req = req.Clone(req.Context())
	b := packed.Bytes()
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	// Empty: not sent. It tells net/http that a write may be repeated on a new connection when the server has just closed
	// the idle one.
	req.Header["Idempotency-Key"] = []string{}

	resp, err := x.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	if err != nil && resp.StatusCode == http.StatusNoContent {
		err = nil // a 204 says all without its body
	}
	if a, ok := req.Context().Value(answerKey{}).(*answer); ok {
		*a = answer{resp.StatusCode, resp.Header, body}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (x exchange) CloseIdleConnections() {
	if c, ok := x.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// packers are kept for reuse: each holds 800 kB of tables.
var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one there is
	return z
}}

func pack(to io.Writer, body io.ReadCloser) error {
	if body == nil {
		return errors.New("nothing to send")
	}
	defer body.Close()
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(to)
	if _, err := io.Copy(z, body); err != nil {
		return err
	}
	return z.Close()
}

// lazyTransport reads the authorities' file with the first connection, and again until it could be read.
type lazyTransport struct {
	caFile   string
	insecure bool
	mu       sync.Mutex
	t        *http.Transport
}

func newTransport(caFile string, insecure bool) *lazyTransport {
	return &lazyTransport{caFile: caFile, insecure: insecure}
}

func (l *lazyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t, err := l.transport()
	if err != nil {
		return nil, err
	}
	return t.RoundTrip(req)
}

// CloseIdleConnections is for exchange.
func (l *lazyTransport) CloseIdleConnections() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.CloseIdleConnections()
	}
}

func (l *lazyTransport) transport() (*http.Transport, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		return l.t, nil
	}
	conf := &tls.Config{InsecureSkipVerify: l.insecure}
	if l.caFile != "" {
		pem, err := os.ReadFile(l.caFile)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read authorities: %s holds no certificate in PEM", l.caFile)
		}
	}
	// HTTP/1.1 only: a time-out closes its connection, while HTTP/2 would go on using the dead one.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	l.t = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 1,
		Protocols:           &protocols,
	}
	return l.t, nil
}

// send makes one write. Nil: the server says that it has stored it all.
func (s *Sink) send(ctx context.Context, lines []string) *failure {
	var a answer
	err := s.api.WriteRecord(context.WithValue(ctx, answerKey{}, &a), lines...)
	if a.status != 0 {
		return s.clean(judgeAnswer(a))
	}
	if err == nil { // never seen: no answer and no error
		err = errors.New("no answer")
	}
	return s.clean(judgeError(err))
}

func (s *Sink) clean(f *failure) *failure {
	if f != nil {
		f.text = s.hide.Replace(f.text)
	}
	return f
}

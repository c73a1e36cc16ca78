package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dewline/internal/secret"
)

// HTTP is how a receiver is reached.
type HTTP struct {
	URL   secret.Secret // the whole of it: some services have their key in it
	Token secret.Secret // sent as a bearer token, if there is one
	Roots *x509.CertPool
	Now   func() time.Time
	Agent string // the User-Agent
}

// client keeps no more than one connection, and follows no redirect: a POST that becomes a GET would be lost, and told as sent.
func (h *HTTP) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: h.Roots, MinVersion: tls.VersionTLS12},
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConns: 1, IdleConnTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do sends a request and wants a 2xx. Errors name the host alone: the rest of the URL may be a key.
func (h *HTTP) do(ctx context.Context, client *http.Client, method, path string, body []byte, header http.Header) (string, error) {
	target := strings.TrimSuffix(h.URL.Reveal(), "/") + path
	if path == "" {
		target = h.URL.Reveal()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return "", &Failure{Err: errors.New("the URL of the receiver is no URL")}
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", h.Agent)
	if !h.Token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+h.Token.Reveal())
	}
	resp, err := client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without its URL
		}
		return "", &Failure{Err: fmt.Errorf("%s %s: %w", method, req.URL.Host, err)}
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // only to be shown
	said := strings.TrimSpace(resp.Status + " " + oneLine(strings.TrimSpace(string(answer[:min(len(answer), 200)]))))
	if resp.StatusCode/100 == 2 {
		return said, nil
	}
	f := &Failure{Err: fmt.Errorf("%s answers %s", req.URL.Host, h.hide(said)), After: retryAfter(resp.Header.Get("Retry-After"), h.Now())}
	switch {
	case resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusTooEarly:
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusNotFound,
		resp.StatusCode == http.StatusMethodNotAllowed: // of the receiver, not of this message
	case resp.StatusCode/100 == 4:
		f.Permanent = true
	case resp.StatusCode/100 == 3:
		f.Err = fmt.Errorf("%s answers %s: redirects are not followed, configure the URL it leads to", req.URL.Host, resp.Status)
	}
	return "", f
}

// hide takes secrets out of what a receiver echoes.
func (h *HTTP) hide(s string) string {
	for _, x := range [...]secret.Secret{h.Token, h.URL} {
		if !x.IsZero() {
			s = strings.ReplaceAll(s, x.Reveal(), "***")
		}
	}
	return s
}

// retryAfter reads seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return time.Duration(min(n, int(mostRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

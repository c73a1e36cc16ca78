package redfish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"dewline/health"
	"dewline/internal/quirk"

	"github.com/stmcginnis/gofish/schemas"
)

// Ways to authenticate.
const (
	AuthAuto    = "auto"    // a session; Basic for one visit when the session table is full, for good when there are none
	AuthSession = "session" // a session, or nothing
	AuthBasic   = "basic"
)

// standardSessions is where DSP0266 puts the sessions; iDRAC 7 and 8 have them at the second (idrac_exporter PR #137).
var standardSessions = []string{"/redfish/v1/SessionService/Sessions", "/redfish/v1/Sessions"}

// session is the one session we hold on the BMC, kept over visits. Zero: none.
type session struct {
	token string
	uri   string
}

// auth is the state of authentication within one visit; guarded by Client.mu.
type auth struct {
	basic    bool // this visit uses Basic
	relogged bool // the one new login of this visit is used up
}

// authorise sets the credential of a request and returns the token used, "" for Basic.
func (c *Client) authorise(r *http.Request, a *auth) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.basic {
		r.SetBasicAuth(c.o.Username, c.o.Password.Reveal())
		return ""
	}
	r.Header.Set("X-Auth-Token", c.session.token)
	return c.session.token
}

// login makes sure that the visit can authenticate. A wrong password is one attempt: accounts lock.
func (c *Client) login(ctx context.Context, v *visit) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loginLocked(ctx, v)
}

func (c *Client) loginLocked(ctx context.Context, v *visit) error {
	if c.o.Auth == AuthBasic || v.auth.basic || c.session.token != "" {
		v.auth.basic = v.auth.basic || c.o.Auth == AuthBasic
		return nil
	}
	if c.o.Auth == AuthAuto && (c.mem.NoSessions || c.quirk(quirk.BasicAuth)) {
		v.auth.basic = true
		return nil
	}
	for _, uri := range sessionURIs(c.mem.Sessions) {
		s, err := c.createSession(ctx, uri)
		if err == nil {
			c.session = s
			c.mem.Sessions = uri
			return nil
		}
		switch e := (*statusError)(nil); {
		case errors.As(err, &e) && (e.code == http.StatusNotFound || e.code == http.StatusMethodNotAllowed || e.code == http.StatusNotImplemented || e.code == http.StatusGone):
			continue // not here: try the next place
		case c.o.Auth == AuthAuto && errors.As(err, &e) && sessionTableFull(e):
			// RAC0218 and its like: the password was not judged, so Basic is the first attempt, not a second.
			c.o.Log.Warn("session table full, using basic authentication for this visit", "target", c.id)
			v.auth.basic = true
			return nil
		default:
			return err
		}
	}
	if c.o.Auth == AuthAuto {
		c.mem.NoSessions = true
		v.auth.basic = true
		return nil
	}
	return &health.Error{Reason: health.ReasonUnsupported, Op: "log in", Err: errors.New("the service has no sessions; set auth = \"basic\"")}
}

// sessionURIs are the places to try: the root's, then the standard one; the old one only if the root names none.
func sessionURIs(learned string) []string {
	switch learned {
	case "":
		return standardSessions
	case standardSessions[0]:
		return []string{learned}
	}
	return []string{learned, standardSessions[0]}
}

// createSession is one POST, one attempt.
func (c *Client) createSession(ctx context.Context, uri string) (session, error) {
	const op = "log in"
	payload, err := json.Marshal(map[string]string{"UserName": c.o.Username, "Password": c.o.Password.Reveal()})
	if err != nil {
		return session{}, &health.Error{Reason: health.ReasonDenied, Op: op, Err: errors.New("user name or password is no text")}
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, ownSession{}, true), c.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+uri, bytes.NewReader(payload))
	if err != nil {
		return session{}, &health.Error{Reason: health.ReasonUnsupported, Op: op, Err: err}
	}
	c.headers(req)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return session{}, classify(ctx, op, err)
	}
	body, err := readBody(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		e := &statusError{resp.StatusCode, c.scrub(messageOf(body))}
		reason := reasonForStatus(resp.StatusCode)
		if resp.StatusCode == http.StatusBadRequest && strings.Contains(strings.ToLower(e.msg), "unauthorized") {
			reason = health.ReasonDenied // iLO 4 refuses a login with 400 UnauthorizedLoginAttempt
		}
		return session{}, &health.Error{Reason: reason, Op: op, Err: e}
	}
	if err != nil {
		return session{}, classify(ctx, op, err)
	}
	s := session{token: resp.Header.Get("X-Auth-Token")}
	var doc schemas.Session
	if json.Unmarshal(body, &doc) == nil {
		s.uri = resolve(c.base, link(doc.ODataID))
	}
	if l := resp.Header.Get("Location"); l != "" {
		if u := resolve(c.base, link(l)); u != "" {
			s.uri = u
		} else if i := strings.Index(l, "/redfish/"); i >= 0 {
			// A BMC behind a port forward puts its own idea of host and port here; the path is what counts.
			if u := resolve(c.base, link(l[i:])); u != "" {
				s.uri = u
			}
		}
	}
	if s.token == "" || strings.ContainsAny(s.token, "\r\n") || len(s.token) > 4096 {
		return session{}, &health.Error{Reason: health.ReasonUnsupported, Op: op, Err: &statusError{http.StatusNotImplemented, "the service gave no token"}}
	}
	return s, nil
}

// sessionTableFull tells the refusals that mean no place for another session. 503 alone is enough: iDRAC words it in
// several languages, and a BMC that is truly busy answers the next request alike.
func sessionTableFull(e *statusError) bool {
	m := strings.ToLower(e.msg)
	return e.code == http.StatusServiceUnavailable || strings.Contains(m, "rac0218") || strings.Contains(m, "sessionlimitexceeded") ||
		strings.Contains(m, "maximum number of user sessions")
}

// relogin answers a 401 in mid-visit: the session expired. Once per visit, and not at all if another request has already
// done it.
func (c *Client) relogin(ctx context.Context, v *visit, used string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.auth.basic || used == "" {
		return false
	}
	if c.session.token != used {
		return c.session.token != ""
	}
	if v.auth.relogged {
		return false
	}
	v.auth.relogged = true
	c.session = session{}
	if err := c.loginLocked(ctx, v); err != nil {
		v.fail(classify(ctx, "log in", err))
		return false
	}
	return true
}

// logout deletes the session; it is forgotten even if that fails.
func (c *Client) logout(ctx context.Context) error {
	c.mu.Lock()
	s := c.session
	c.session = session{}
	c.mu.Unlock()
	if s.token == "" || s.uri == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, ownSession{}, true), min(c.o.Timeout, 10*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, c.base.String()+s.uri, nil)
	if err != nil {
		return &health.Error{Reason: health.ReasonUnsupported, Op: "log out", Err: err}
	}
	c.headers(req)
	req.Header.Set("X-Auth-Token", s.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return classify(ctx, "log out", err)
	}
	_, _ = readBody(resp)
	// 401 and 404: the session had already ended.
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusNotFound {
		return &health.Error{Reason: reasonForStatus(resp.StatusCode), Op: "log out", Err: &statusError{code: resp.StatusCode}}
	}
	return nil
}

func (c *Client) headers(r *http.Request) {
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", c.o.UserAgent)
	if !c.quirk(quirk.NoODataVersion) {
		r.Header.Set("OData-Version", "4.0")
	}
}

// readBody reads and closes a body, draining it so that the connection is used again.
func readBody(resp *http.Response) ([]byte, error) {
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return withoutEcho(resp.Request, b), nil
}

// withoutEcho takes out of a body the token or the Basic credential that its request carried: a service that throws them back, in an
// error or as the name of a sensor, must not bring them into the store. Short ones are left: they would be parts of words.
func withoutEcho(r *http.Request, body []byte) []byte {
	if r == nil {
		return body
	}
	_, basic, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for _, sent := range [...]string{r.Header.Get("X-Auth-Token"), basic} {
		if len(sent) >= 8 && bytes.Contains(body, []byte(sent)) { // ReplaceAll copies in any case
			body = bytes.ReplaceAll(body, []byte(sent), []byte("***"))
		}
	}
	return body
}

// scrub takes our password out of what a service echoes.
func (c *Client) scrub(s string) string {
	if p := c.o.Password.Reveal(); p != "" {
		s = strings.ReplaceAll(s, p, "***")
	}
	return s
}

// messageOf takes MessageIds and messages out of a Redfish error body (DSP0266 section 8.6).
func messageOf(body []byte) string {
	var o struct {
		Error object[struct {
			Code, Message text
			Info          many[struct{ MessageId, Message text }] `json:"@Message.ExtendedInfo"`
		}] `json:"error"`
	}
	if decode(body, &o) != nil {
		return ""
	}
	parts := []string{}
	for _, m := range o.Error.V.Info {
		if len(parts) < 3 {
			parts = append(parts, strings.TrimSpace(string(m.MessageId)+" "+string(m.Message)))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, strings.TrimSpace(string(o.Error.V.Code)+" "+string(o.Error.V.Message)))
	}
	return cut(strings.Join(parts, "; "), 400)
}

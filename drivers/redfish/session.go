package redfish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dewline/health"
	"dewline/internal/quirk"

	"github.com/stmcginnis/gofish/schemas"
)

// Ways to authenticate.
const (
	AuthAuto    = "auto"    // a session; Basic for one visit when the session table is full, for a day when there are none
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
	if v.auth.basic || c.session.token != "" {
		return nil
	}
	c.adopt(ctx)
	if c.o.Auth == AuthBasic {
		v.auth.basic = true
		return nil
	}
	if c.session.token != "" {
		return nil
	}
	if c.o.Auth == AuthAuto && (c.mem.NoSessions && !v.req.Tiers.Has(health.TierInventory) || c.quirk(quirk.BasicAuth)) {
		v.auth.basic = true
		return nil
	}
	for _, uri := range sessionURIs(c.mem.Sessions) {
		s, err := c.createSession(ctx, uri)
		if err == nil {
			c.session = s
			c.keep()
			c.mem.Sessions, c.mem.NoSessions = uri, false
			if c.full {
				c.full = false
				c.o.Log.Info("the session table has room again", "target", c.id)
			}
			return nil
		}
		switch e := (*statusError)(nil); {
		case errors.As(err, &e) && !e.full && (e.code == http.StatusNotFound || e.code == http.StatusMethodNotAllowed || e.code == http.StatusNotImplemented || e.code == http.StatusGone):
			continue // not here: try the next place
		case c.o.Auth == AuthAuto && errors.As(err, &e) && e.full:
			// RAC0218 and its like: the password was not judged, so Basic is the first attempt, not a second.
			if !c.full {
				c.full = true
				c.o.Log.Warn("session table full: basic authentication is used for each visit until there is room", "target", c.id, "err", err)
			}
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

// sessionURIs are the places to try: the one that worked or that the root names, then the standard one, then the old one. A
// place that has no sessions does not look at the password, so trying another is no second attempt.
func sessionURIs(learned string) []string {
	uris := standardSessions
	if learned != "" {
		uris = slices.Insert(slices.DeleteFunc(slices.Clone(uris), func(u string) bool { return u == learned }), 0, learned)
	}
	return uris
}

// isSessions tells whether a path is that of a collection of sessions. The login is posted to nothing else, whatever a service
// links: what it names may be an action.
func isSessions(uri string) bool {
	low := strings.ToLower(uri)
	return strings.HasSuffix(low, "/sessions") && !strings.Contains(low, "/actions/") && !strings.Contains(low, "?")
}

// ownSessionURI is resolve for what is deleted at the end: a member of a collection of sessions, or "".
func ownSessionURI(base *url.URL, l string) string {
	if u := resolve(base, link(l)); isSessions(parent(u)) && !strings.Contains(u, "?") {
		return u
	}
	return ""
}

// loginGrace is how long the answer to a login is still waited for when nobody wants it any more.
const loginGrace = 3 * time.Second

// loginContext is for the one request that must not be cut when its visit is: the BMC would hold a session that nobody can
// delete. Once there is a connection to send it on, it has loginGrace after the end of ctx.
func (c *Client) loginContext(ctx context.Context) (context.Context, context.CancelFunc) {
	sent, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(ctx), ownSession{}, true), c.o.Timeout)
	connected := new(atomic.Bool)
	sent = httptrace.WithClientTrace(sent, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	stop := context.AfterFunc(ctx, func() {
		if connected.Load() {
			select {
			case <-time.After(loginGrace):
			case <-sent.Done():
			}
		}
		cancel()
	})
	return sent, func() {
		stop()
		cancel()
	}
}

// createSession is one POST, one attempt.
func (c *Client) createSession(ctx context.Context, uri string) (session, error) {
	const op = "log in"
	payload, err := json.Marshal(map[string]string{"UserName": c.o.Username, "Password": c.o.Password.Reveal()})
	if err != nil {
		return session{}, &health.Error{Reason: health.ReasonDenied, Op: op, Err: errors.New("user name or password is no text")}
	}
	sent, cancel := c.loginContext(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(sent, http.MethodPost, c.base.String()+uri, bytes.NewReader(payload))
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
		e := &statusError{code: resp.StatusCode, msg: c.scrub(messageOf(body)), full: sessionTableFull(resp.StatusCode, body)}
		reason := reasonForStatus(resp.StatusCode)
		if e.full {
			reason = health.ReasonBusy
		}
		if to := resp.Header.Get("Location"); to != "" && resp.StatusCode >= 300 && resp.StatusCode < 400 {
			e.msg = "the BMC sends the login to " + redirectTarget(to) + ": the password goes to no other place"
		}
		if resp.StatusCode == http.StatusBadRequest && strings.Contains(strings.ToLower(e.msg), "unauthorized") {
			reason = health.ReasonDenied // iLO 4 refuses a login with 400 UnauthorizedLoginAttempt
		}
		return session{}, &health.Error{Reason: reason, Op: op, Err: e}
	}
	s := session{token: resp.Header.Get("X-Auth-Token")}
	if err != nil && !goodToken(s.token) { // with a token there is a session, whatever became of the body
		return session{}, classify(ctx, op, err)
	}
	var doc schemas.Session
	if json.Unmarshal(body, &doc) == nil {
		s.uri = ownSessionURI(c.base, doc.ODataID)
	}
	if l := resp.Header.Get("Location"); l != "" {
		if u := ownSessionURI(c.base, l); u != "" {
			s.uri = u
		} else if i := strings.Index(l, "/redfish/"); i >= 0 {
			// A BMC behind a port forward puts its own idea of host and port here; the path is what counts.
			if u := ownSessionURI(c.base, l[i:]); u != "" {
				s.uri = u
			}
		}
	}
	if !goodToken(s.token) {
		return session{}, &health.Error{Reason: health.ReasonUnsupported, Op: op, Err: &statusError{code: http.StatusNotImplemented, msg: "the service gave no token"}}
	}
	return s, nil
}

func goodToken(t string) bool { return t != "" && len(t) <= 4096 && printable(t) }

// printable is what may stand in a header.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// redirectTarget is where a redirect leads, for people: the host, or the path on the same host.
func redirectTarget(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "another place"
	}
	if u.Host != "" {
		return cut(u.Scheme+"://"+u.Host, 200)
	}
	return cut(u.Path, 200)
}

// fullNames are the messages, without registry and version, that say that no further session fits: Dell's, and those of the
// Base registry (DSP0268), which AMI, Cisco, HPE, Lenovo and OpenBMC use.
var fullNames = []string{"rac0218", "sessionlimitexceeded", "createlimitreachedforresource", "maxsessionsreached", "maximumsessionsreached"}

// fullTexts are how firmware says it that has no message of its own for it.
var fullTexts = []string{
	"maximum number of user sessions", "maximum number of sessions", "maximum number of active sessions", "maximum sessions", "max sessions",
	"session limit", "number of simultaneous sessions", "too many sessions", "no more sessions", "sessions are exhausted",
}

// sessionTableFull tells the refusals that mean no place for another session. 503 alone is enough: iDRAC words it in
// several languages, and a BMC that is truly busy answers the next request alike. A refusal of user or password (401, 403)
// counts only if a message names the table: prose may say anything.
func sessionTableFull(code int, body []byte) bool {
	switch {
	case code == http.StatusServiceUnavailable:
		return true
	case code < 400:
		return false
	}
	for _, id := range messageIDs(body) {
		name := strings.ToLower(id[strings.LastIndexByte(id, '.')+1:])
		if slices.Contains(fullNames, name) {
			return true
		}
	}
	if code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusNotFound {
		return false
	}
	text := strings.ToLower(string(body[:min(len(body), 64<<10)]))
	return strings.Contains(text, "rac0218") || slices.ContainsFunc(fullTexts, func(t string) bool { return strings.Contains(text, t) })
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
	// Some BMCs say 401 and keep the session; then it would be one more with each visit.
	if err := c.end(ctx, c.session); err != nil {
		c.o.Log.Debug("delete a session that was refused", "target", c.id, "err", err)
	}
	c.session = session{}
	c.unkeep()
	if err := c.loginLocked(ctx, v); err != nil {
		v.fail(classify(ctx, "log in", err))
		return false
	}
	return true
}

// logout deletes the session. It is forgotten even if that fails; its file then stays, so that whoever logs in next takes it
// up or deletes it.
func (c *Client) logout(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.session
	c.session = session{}
	if s.token == "" {
		return nil
	}
	err := c.end(ctx, s)
	if err == nil {
		c.unkeep()
	}
	return err
}

// end deletes a session at the BMC.
func (c *Client) end(ctx context.Context, s session) error {
	const op = "log out"
	if s.uri == "" {
		return nil
	}
	resp, err := c.ask(ctx, http.MethodDelete, s)
	if err != nil {
		return classify(ctx, op, err)
	}
	_, _ = readBody(resp)
	// 401 and 404: the session had already ended.
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusNotFound {
		return &health.Error{Reason: reasonForStatus(resp.StatusCode), Op: op, Err: &statusError{code: resp.StatusCode}}
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

// messageIDs are the identifiers of all messages of a Redfish error body.
func messageIDs(body []byte) []string {
	var o struct {
		Error object[struct {
			Code text
			Info many[struct{ MessageId text }] `json:"@Message.ExtendedInfo"`
		}] `json:"error"`
		Info many[struct{ MessageId text }] `json:"@Message.ExtendedInfo"` // iLO 4 has it outside of error
	}
	if decode(body, &o) != nil {
		return nil
	}
	ids := []string{string(o.Error.V.Code)}
	for _, m := range append(o.Error.V.Info, o.Info...) {
		ids = append(ids, string(m.MessageId))
	}
	return ids
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

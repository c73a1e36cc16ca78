package redfish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dewline/health"
	"dewline/internal/privatefile"
)

// A session outlives a kill -9 at the BMC, whose table of sessions is small. So that the next process takes it up again, its
// token is in a file of its own in Options.KeepDir, from its creation until it is deleted: never in the store, which is
// backed up and exported.

// kept is such a file.
type kept struct {
	V       int             `json:"v"`
	Target  health.TargetID `json:"target"`
	Address string          `json:"address"`
	TLS     TLS             `json:"tls"`
	Login   string          `json:"login"` // loginMark
	URI     string          `json:"uri"`
	Token   string          `json:"token"`
	Created time.Time       `json:"created"`
}

const (
	keptVersion = 1
	maxKept     = 32 << 10
	// keptFor is how long a session is taken to live on at a BMC that is no longer read: none keeps an idle one for longer.
	keptFor = 24 * time.Hour
)

func keptPath(dir string, id health.TargetID) string {
	sum := sha256.Sum256([]byte(id)) // a target's name may be anything
	return filepath.Join(dir, hex.EncodeToString(sum[:16])+".json")
}

// loginMark tells a changed user or password. It is two bytes of a digest, the same in all files: enough to see a change, and
// far too few for whoever gets hold of the files to tell by it which of his guesses is the password.
func loginMark(o *Options) string {
	sum := sha256.Sum256([]byte("dewline session\x00" + o.Username + "\x00" + o.Password.Reveal()))
	return hex.EncodeToString(sum[:2])
}

func readKept(path string) (*kept, error) {
	b, err := privatefile.Read(path, maxKept)
	if err != nil {
		return nil, err
	}
	k := &kept{}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if k.V != keptVersion || k.Target == "" || !goodToken(k.Token) {
		return nil, fmt.Errorf("read %s: it holds no session", path)
	}
	return k, nil
}

// keep writes the session down. Without it all is well but after a kill -9, so a failure is only told.
func (c *Client) keep() {
	if c.o.KeepDir == "" || c.session.uri == "" { // what has no address can neither be tested nor deleted
		return
	}
	k := kept{
		V: keptVersion, Target: c.id, Address: c.base.String(), TLS: c.o.TLS, Login: loginMark(&c.o),
		URI: c.session.uri, Token: c.session.token, Created: time.Now().UTC(),
	}
	b, err := json.Marshal(k)
	if err == nil {
		err = privatefile.Write(keptPath(c.o.KeepDir, c.id), append(b, '\n'))
	}
	if err != nil && !c.keepFailed {
		c.o.Log.Warn("the session is not written down: should dewline be killed, it stays at the BMC until that ends it", "target", c.id, "err", err)
	}
	c.keepFailed = err != nil
}

func (c *Client) unkeep() {
	if c.o.KeepDir == "" {
		return
	}
	if err := privatefile.Remove(keptPath(c.o.KeepDir, c.id)); err != nil {
		c.o.Log.Warn("the file of a session that has ended stays", "target", c.id, "err", err)
	}
}

// adopt takes up the session that an earlier process left, if it is of the same BMC, login and way to verify the certificate,
// and the BMC still knows it. One that is of another login is deleted. c.mu is held.
func (c *Client) adopt(ctx context.Context) {
	if c.o.KeepDir == "" {
		return
	}
	k, err := readKept(keptPath(c.o.KeepDir, c.id))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.o.Log.Warn("a session that was left cannot be taken up", "target", c.id, "err", err)
			c.unkeep()
		}
		return
	}
	uri := ownSessionURI(c.base, k.URI)
	switch {
	case k.Target != c.id || uri == "":
		c.unkeep()
		return
	case k.Address != c.base.String() || k.TLS != c.o.TLS || k.Login != loginMark(&c.o) || c.o.Auth == AuthBasic:
		if err := k.end(ctx, c.o); err != nil {
			c.o.Log.Debug("a session of another login or address is left to its time-out", "target", c.id, "err", err)
		}
		c.unkeep()
		return
	}
	s := session{token: k.Token, uri: uri}
	resp, err := c.ask(ctx, http.MethodGet, s)
	if err != nil {
		return // the login will tell why; the file stays for the next visit
	}
	_, _ = readBody(resp)
	switch resp.StatusCode {
	case http.StatusOK:
		c.session = s
		c.o.Log.Info("session of before the restart taken up again", "target", c.id)
	case http.StatusUnauthorized:
		c.unkeep() // it has ended
	default: // the token was taken, and the session is not shown to us: the first request will tell
		c.session = s
	}
}

// ask makes a request about a session of ours.
func (c *Client) ask(ctx context.Context, method string, s session) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, ownSession{}, true), min(c.o.Timeout, 10*time.Second))
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+s.uri, nil)
	if err != nil {
		cancel()
		return nil, &health.Error{Reason: health.ReasonUnsupported, Op: method + " session", Err: err}
	}
	c.headers(req)
	req.Header.Set("X-Auth-Token", s.token)
	resp, err := c.http.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = cancelBody{resp.Body, cancel}
	return resp, nil
}

// end deletes the session at the BMC that it was opened at, verified as it was then; at the address that o has too, as o says.
func (k *kept) end(ctx context.Context, o Options) error {
	old := Options{Address: k.Address, TLS: k.TLS, Log: o.Log, Timeout: o.Timeout, UserAgent: o.UserAgent}
	if o.Address != "" {
		if base, err := parseAddress(o.Address); err == nil && base.String() == k.Address {
			old.TLS = o.TLS
		}
	}
	c, err := Open(k.Target, old)
	if err != nil {
		return err
	}
	defer c.transport.CloseIdleConnections()
	if err := c.prepare(); err != nil {
		return err
	}
	c.session = session{token: k.Token, uri: ownSessionURI(c.base, k.URI)}
	return c.logout(ctx)
}

// EndKept deletes at their BMCs the sessions in dir that a killed process left and nobody will take up: those of targets for
// which wanted says no. One whose BMC does not answer is tried again at the next start, for a day. Only who alone uses dir may
// call it.
func EndKept(ctx context.Context, dir string, wanted func(health.TargetID) bool, log *slog.Logger) {
	privatefile.RemoveParts(dir)
	names, err := privatefile.List(dir)
	if err != nil {
		log.Warn("sessions that were left cannot be looked for", "err", err)
		return
	}
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, name := range names {
		path := filepath.Join(dir, name)
		k, err := readKept(path)
		if err == nil && wanted(k.Target) || !strings.HasSuffix(name, ".json") {
			continue
		}
		if err != nil {
			log.Warn("a session that was left cannot be deleted", "err", err)
			_ = privatefile.Remove(path)
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := k.end(ctx, Options{Log: log}); err != nil {
				log.Info("a session that was left is not deleted yet", "target", k.Target, "err", err)
				if age := time.Since(k.Created); age < keptFor && age > -keptFor {
					return
				}
			}
			if err := privatefile.Remove(path); err != nil {
				log.Warn("the file of a session that has ended stays", "target", k.Target, "err", err)
			}
		})
	}
}

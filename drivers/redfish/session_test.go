package redfish

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"dewline/health"
	"dewline/internal/secret"
)

func TestWrongPasswordIsOneAttempt(t *testing.T) {
	for _, auth := range []string{AuthAuto, AuthSession, AuthBasic} {
		t.Run(auth, func(t *testing.T) {
			srv := newService(t, ownTree(t, "classic"))
			c := srv.open(t, func(o *Options) { o.Auth = auth; o.Password = secret.New("wrong") })
			e := failing(t, c)
			if e.Reason != health.ReasonDenied {
				t.Errorf("reason %s: %v", e.Reason, e)
			}
			tried := srv.failed + len(srv.noAuth)
			if tried != 1 {
				reqs, _ := srv.counts()
				t.Errorf("%d attempts with a wrong password: %v", tried, reqs)
			}
			// A learned BMC is tried once, too.
			mem := read(t, srv.open(t), health.Request{Tiers: health.EveryTier}).Memory
			srv.failed, srv.noAuth = 0, nil
			c = srv.open(t, func(o *Options) { o.Auth = auth; o.Password = secret.New("wrong") })
			if _, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier, Memory: mem}); health.ReasonFor(err) != health.ReasonDenied {
				t.Errorf("warm: %v", err)
			}
			if tried := srv.failed + len(srv.noAuth); tried != 1 {
				t.Errorf("warm: %d attempts", tried)
			}
		})
	}
}

func TestSessionIsKeptAndDeleted(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	for range 3 {
		read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
	}
	if srv.created != 1 {
		t.Errorf("%d sessions for three visits", srv.created)
	}
	if err := c.Close(t.Context()); err != nil || srv.deleted != 1 || len(srv.sessions) != 0 {
		t.Errorf("close: %v, %d deleted, %d left", err, srv.deleted, len(srv.sessions))
	}
	read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
	if srv.created != 2 {
		t.Error("a closed client can be used again")
	}
	if err := c.Close(t.Context()); err != nil || len(srv.sessions) != 0 {
		t.Errorf("second close: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("close without a session: %v", err)
	}
}

func TestExpiredSessionIsOneNewLogin(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	clear(srv.sessions)
	w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if len(w.Gaps) > 0 || srv.created != 2 {
		t.Errorf("%d sessions, gaps %+v", srv.created, w.Gaps)
	}
	// A BMC that refuses every session: one new login a visit, not one a request.
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && r.URL.Path != rootURI {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	if _, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier, Memory: s.Memory}); health.ReasonFor(err) != health.ReasonDenied {
		t.Errorf("error %v", err)
	}
	if srv.created != 3 {
		t.Errorf("%d sessions", srv.created)
	}
}

func TestFullSessionTableMeansBasicForOneVisit(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	full := true
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if full && r.Method == http.MethodPost {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"@Message.ExtendedInfo":[{"MessageId":"IDRAC.2.1.RAC0218","Message":"The maximum number of user sessions is reached."}]}}`)
			return true
		}
		return false
	})
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	if len(s.Gaps) > 0 || srv.basic == 0 {
		t.Errorf("%d basic requests, gaps %+v", srv.basic, s.Gaps)
	}
	full = false
	before := srv.basic
	read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
	if srv.created != 1 || srv.basic != before {
		t.Errorf("the next visit: %d sessions, %d basic requests", srv.created, srv.basic-before)
	}
	full = true
	c = srv.open(t, func(o *Options) { o.Auth = AuthSession })
	if e := failing(t, c); e.Reason != health.ReasonBusy {
		t.Errorf("auth session: %v", e)
	}
}

func TestServiceWithoutSessionsMeansBasic(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		return false
	})
	s := read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
	posts := func() (n int) {
		reqs, _ := srv.counts()
		for _, r := range reqs {
			if strings.HasPrefix(r, "POST") {
				n++
			}
		}
		return n
	}
	before := posts()
	read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if posts() != before {
		t.Error("that there are no sessions is remembered")
	}
}

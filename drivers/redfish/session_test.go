package redfish

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
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
	if len(missing(w)) > 0 || srv.created != 2 {
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

// What a service links or answers may be anything: an action that a POST starts, a resource that a DELETE removes.
func TestOnlySessionsAreCreatedAndDeleted(t *testing.T) {
	const (
		action  = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"
		account = "/redfish/v1/AccountService/Accounts/3"
	)
	tree := ownTree(t, "classic")
	change(t, tree, rootURI, func(d map[string]any) {
		d["Links"] = map[string]any{"Sessions": map[string]any{"@odata.id": action}}
	})
	srv := newService(t, tree)
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			srv.mu.Lock()
			srv.created++
			srv.sessions["token-of-ours"] = account
			srv.mu.Unlock()
			w.Header().Set("X-Auth-Token", "token-of-ours")
			w.Header().Set("Location", account)
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"@odata.id":%q}`, account)
			return true
		}
		return false
	})
	c := srv.open(t)
	read(t, c, health.Request{Tiers: health.EveryTier})
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	reqs, _ := srv.counts()
	for _, r := range reqs {
		method, at, _ := strings.Cut(r, " ")
		if method != http.MethodGet && r != "POST "+standardSessions[0] {
			t.Errorf("%s %s", method, at)
		}
	}
	if srv.created != 1 || srv.deleted != 0 {
		t.Errorf("%d logins, %d deleted", srv.created, srv.deleted)
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
	if len(missing(s)) > 0 || srv.basic == 0 {
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

// What devices answer to a login when their table is full: by issue gofish #75 and check_redfish #89 (Dell), the Base registry's
// SessionLimitExceeded (bmcweb, AMI, Cisco, Lenovo), HPE's ExtendedInfo, and prose alone.
func TestFullSessionTableIsKnownByItsName(t *testing.T) {
	extended := func(id, message string) string {
		return fmt.Sprintf(`{"error":{"@Message.ExtendedInfo":[{"Message":%q,"MessageArgs":[],"MessageArgs@odata.count":0,"MessageId":%q,"Severity":"Critical"}],"code":"Base.1.7.GeneralError","message":"A general error has occurred. See ExtendedInfo for more information"}}`, message, id)
	}
	const limit = "The session establishment failed due to the number of simultaneous sessions exceeding the limit of the implementation."
	for name, c := range map[string]struct {
		code int
		body string
		full bool
	}{
		"Dell, 503":                           {503, extended("IDRAC.2.4.RAC0218", "The maximum number of user sessions is reached."), true},
		"Dell, 400":                           {400, extended("IDRAC.2.1.RAC0218", "Die maximale Anzahl von Benutzersitzungen ist erreicht."), true},
		"iDRAC 6 and 7, an HTML page":         {400, `<html>login.html?ErrorMsg=RAC0218: The maximum number of user sessions is reached.</html>`, true},
		"Base registry, 503":                  {503, extended("Base.1.8.1.SessionLimitExceeded", limit), true},
		"Base registry, 400":                  {400, extended("Base.1.5.0.SessionLimitExceeded", limit), true},
		"Base registry, 403":                  {403, extended("Base.1.13.0.SessionLimitExceeded", limit), true},
		"Cisco, only in the code":             {400, `{"error":{"code":"Base.1.4.0.SessionLimitExceeded","message":"` + limit + `"}}`, true},
		"HPE, 400":                            {400, extended("Base.1.17.CreateLimitReachedForResource", "The create operation failed because the resource has reached the limit of possible resources."), true},
		"iLO 4, without error around it":      {400, `{"Messages":[],"Name":"Extended Error Information","@Message.ExtendedInfo":[{"MessageId":"Base.0.10.CreateLimitReachedForResource"}]}`, true},
		"AMI, prose":                          {500, `{"error":{"code":"Base.1.0.GeneralError","message":"Maximum number of active sessions reached"}}`, true},
		"429 without a word is no full table": {429, ``, false},
		"a wrong password":                    {401, extended("Base.1.8.NoValidSession", "There is no valid session established with the implementation."), false},
		"a wrong password with odd prose":     {401, extended("Base.1.8.GeneralError", "Login failed. The maximum number of sessions is not reached."), false},
		"a wrong password of iLO 4":           {400, `{"error":{"@Message.ExtendedInfo":[{"MessageId":"Base.0.10.UnauthorizedLoginAttempt"}],"code":"iLO.0.10.ExtendedInfo"}}`, false},
		"a locked account":                    {403, extended("Base.1.8.AccountForSessionNoLongerExists", "locked"), false},
	} {
		t.Run(name, func(t *testing.T) {
			srv := newService(t, ownTree(t, "classic"))
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				w.WriteHeader(c.code)
				fmt.Fprint(w, c.body)
				return true
			})
			client := srv.open(t)
			s, err := client.Read(t.Context(), health.Request{Tiers: health.TiersOf(health.TierReadings)})
			switch {
			case c.full && (err != nil || srv.basic == 0 || len(missing(s)) > 0):
				t.Errorf("full: %v, %d basic requests", err, srv.basic)
			case !c.full && (err == nil || srv.basic > 0):
				t.Errorf("not full: %v, %d basic requests: a second attempt", err, srv.basic)
			}
			if c.full {
				if e := failing(t, srv.open(t, func(o *Options) { o.Auth = AuthSession })); e.Reason != health.ReasonBusy {
					t.Errorf("with sessions alone: %v", e)
				}
			}
		})
	}
}

func TestFullSessionTableInMidVisit(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	clear(srv.sessions)
	full := true
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if full && r.Method == http.MethodPost {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if len(missing(w)) > 0 || srv.basic == 0 {
		t.Errorf("%d basic requests, gaps %+v", srv.basic, w.Gaps)
	}
	full = false
	read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if srv.created != 2 || len(srv.sessions) != 1 {
		t.Errorf("after that: %d sessions created, %d open", srv.created, len(srv.sessions))
	}
}

// A 401 does not prove that the session has ended: without a DELETE each visit would leave one behind.
func TestRefusedSessionIsDeletedBeforeANewOne(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	s := read(t, c, health.Request{Tiers: health.EveryTier})
	for range 3 {
		once := true
		srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
			if once && r.Method == http.MethodGet && r.URL.Path != rootURI {
				once = false
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			return false
		})
		read(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	}
	if len(srv.sessions) != 1 || srv.created != 4 {
		t.Errorf("%d sessions open of %d created", len(srv.sessions), srv.created)
	}
}

func TestSessionsAtTheirOldPlace(t *testing.T) {
	const old = "/redfish/v1/Sessions"
	for name, links := range map[string]string{
		"that the root names":                   `,"Links":{"Sessions":{"@odata.id":"/redfish/v1/Sessions"}}`,
		"that the root does not name":           ``,
		"the root names the place that is none": `,"Links":{"Sessions":{"@odata.id":"/redfish/v1/SessionService/Sessions"}}`,
		"the root names another host":           `,"Links":{"Sessions":{"@odata.id":"https://192.0.2.1/redfish/v1/SessionService/Sessions"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			tree := ownTree(t, "classic")
			var doc map[string]json.RawMessage
			if err := json.Unmarshal([]byte(tree[rootURI]), &doc); err != nil {
				t.Fatal(err)
			}
			delete(doc, "Links")
			b, _ := json.Marshal(doc)
			tree[rootURI] = strings.TrimSuffix(string(b), "}") + links + "}"
			srv := newService(t, tree)
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost && r.URL.Path != old {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return true
				}
				return false
			})
			c := srv.open(t)
			s := read(t, c, health.Request{Tiers: health.EveryTier})
			if srv.created != 1 || srv.basic != 0 || len(missing(s)) > 0 {
				t.Errorf("%d sessions, %d basic requests, gaps %+v", srv.created, srv.basic, s.Gaps)
			}
			if err := c.Close(t.Context()); err != nil || len(srv.sessions) != 0 {
				t.Errorf("close: %v, %d left", err, len(srv.sessions))
			}
			srv.reset()
			read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
			reqs, _ := srv.counts()
			if posts := slices.DeleteFunc(reqs, func(r string) bool { return !strings.HasPrefix(r, "POST") }); len(posts) != 1 || posts[0] != "POST "+old {
				t.Errorf("where it worked is remembered: %v", posts)
			}
		})
	}
}

func TestRedirectedLogin(t *testing.T) {
	other := newService(t, ownTree(t, "classic")) // another port of 127.0.0.1, with the same certificate
	for name, c := range map[string]struct {
		to    func(srv *service, r *http.Request) string
		code  int
		posts int // at the other
		ok    bool
	}{
		"to a slash, 307":      {func(_ *service, r *http.Request) string { return r.URL.Path + "/" }, 307, 0, true},
		"to a slash, 308":      {func(_ *service, r *http.Request) string { return r.URL.Path + "/" }, 308, 0, true},
		"to another port, 307": {func(_ *service, r *http.Request) string { return other.URL + r.URL.Path }, 307, 1, true},
		"to another port, 308": {func(_ *service, r *http.Request) string { return other.URL + r.URL.Path + "/" }, 308, 1, true},
		"to another host": {func(_ *service, r *http.Request) string {
			return strings.Replace(other.URL, "127.0.0.1", "localhost", 1) + r.URL.Path
		}, 307, 0, false},
		"to plain HTTP": {func(srv *service, r *http.Request) string {
			return strings.Replace(srv.URL, "https", "http", 1) + r.URL.Path
		}, 307, 0, false},
		"to another path":        {func(*service, *http.Request) string { return "/redfish/v1/Elsewhere" }, 307, 0, false},
		"303, which makes a GET": {func(_ *service, r *http.Request) string { return r.URL.Path + "/" }, 303, 0, false},
		"for ever":               {func(_ *service, r *http.Request) string { return r.URL.Path }, 307, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			other.reset()
			srv := newService(t, ownTree(t, "classic"))
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost || c.ok && strings.HasSuffix(r.URL.Path, "/") {
					return false
				}
				w.Header().Set("Location", c.to(srv, r))
				w.WriteHeader(c.code)
				return true
			})
			client := srv.open(t)
			before := other.created
			_, err := client.Read(t.Context(), health.Request{Tiers: health.TiersOf(health.TierReadings)})
			_, conns := other.counts()
			switch {
			case c.posts > 0:
				if other.created <= before || other.failed > 0 { // method and body came through
					t.Errorf("no session there: %v", err)
				}
				return // a token of one test service is nothing to the other
			case c.ok && (err != nil || srv.created != 1):
				t.Errorf("%v, %d sessions", err, srv.created)
			case !c.ok && (err == nil || !strings.Contains(err.Error(), "the password goes to no other place")):
				t.Errorf("error %v", err)
			}
			if conns != 0 || srv.basic != 0 {
				t.Errorf("%d connections to another place, %d basic requests", conns, srv.basic)
			}
			reqs, _ := srv.counts()
			if posts := slices.DeleteFunc(reqs, func(r string) bool { return !strings.HasPrefix(r, "POST") }); len(posts) > 2 {
				t.Errorf("%v", posts)
			}
		})
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
	// But not for ever: with the inventory they are looked for again.
	srv.onRequest(nil)
	w := read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierInventory), Memory: s.Memory})
	basic := srv.basic
	read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: w.Memory})
	if srv.created != 2 || srv.basic != basic {
		t.Errorf("%d sessions, %d basic requests after there are some", srv.created, srv.basic-basic)
	}
}

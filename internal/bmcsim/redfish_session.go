package bmcsim

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	sessionService = "/redfish/v1/SessionService"
	sessionsPath   = sessionService + "/Sessions"
)

// sessions are the open Redfish sessions of a service.
type sessions struct {
	mu        sync.Mutex
	byToken   map[string]string // token -> id
	next      int
	limit     int
	lockAfter int
	inARow    int // failed logins

	logins, failures, logouts int
}

func (s *sessions) setLimit(n int) { s.mu.Lock(); s.limit = n; s.mu.Unlock() }
func (s *sessions) expire()        { s.mu.Lock(); clear(s.byToken); s.mu.Unlock() }
func (s *sessions) unlock()        { s.mu.Lock(); s.inARow = 0; s.mu.Unlock() }
func (s *sessions) resetStats() {
	s.mu.Lock()
	s.logins, s.failures, s.logouts = 0, 0, 0
	s.mu.Unlock()
}

func (s *sessions) stats() RedfishStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return RedfishStats{Logins: s.logins, LoginFailures: s.failures, Logouts: s.logouts, OpenSessions: len(s.byToken)}
}

// try says whether a login with these credentials is good; a locked account refuses the right password too.
func (s *sessions) try(good bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lockAfter > 0 && s.inARow >= s.lockAfter {
		good = false
	}
	if !good {
		s.failures++
		s.inARow++
		return false
	}
	s.inARow = 0
	return true
}

func (s *sessions) open() (id, token string, ok bool) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byToken) >= s.limit {
		return "", "", false
	}
	if s.byToken == nil {
		s.byToken = map[string]string{}
	}
	s.next++
	id, token = strconv.Itoa(s.next), hex.EncodeToString(b[:])
	s.byToken[token] = id
	s.logins++
	return id, token, true
}

func (s *sessions) valid(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.byToken[token]
	return ok
}

func (s *sessions) delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, i := range s.byToken {
		if i == id {
			delete(s.byToken, t)
			s.logouts++
			return true
		}
	}
	return false
}

func (s *sessions) resource(path string) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch path {
	case sessionService:
		return map[string]any{
			"@odata.id": sessionService, "@odata.type": "#SessionService.v1_1_8.SessionService", "Id": "SessionService",
			"Name": "Session Service", "ServiceEnabled": true, "SessionTimeout": 1800,
			"Status": map[string]any{"State": "Enabled", "Health": "OK"}, "Sessions": link(sessionsPath),
		}, true
	case sessionsPath:
		var ids []string
		for _, id := range s.byToken {
			ids = append(ids, sessionsPath+"/"+id)
		}
		return collection(sessionsPath, "SessionCollection", "Session Collection", ids), true
	}
	for _, id := range s.byToken {
		if path == sessionsPath+"/"+id {
			return sessionDoc(id, ""), true
		}
	}
	return nil, false
}

func sessionDoc(id, user string) map[string]any {
	d := map[string]any{
		"@odata.id": sessionsPath + "/" + id, "@odata.type": "#Session.v1_3_0.Session", "Id": id, "Name": "User Session",
		"Description": "Manager User Session",
	}
	if user != "" {
		d["UserName"] = user
	}
	return d
}

// sessionRequest answers requests that open or close a session.
func (s *RedfishServer) sessionRequest(w http.ResponseWriter, r *http.Request, path string) bool {
	switch {
	case r.Method == http.MethodPost && (path == sessionsPath || path == sessionsPath+"/Members"):
		s.logIn(w, r)
	case r.Method == http.MethodDelete && strings.HasPrefix(path, sessionsPath+"/"):
		if !s.authorized(w, r) {
			return true
		}
		if !s.sess.delete(path[len(sessionsPath)+1:]) {
			writeError(w, http.StatusNotFound, "Base.1.8.ResourceMissingAtURI", "The session was not found.")
			return true
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		return false
	}
	return true
}

func (s *RedfishServer) logIn(w http.ResponseWriter, r *http.Request) {
	if s.o.BasicOnly {
		writeError(w, http.StatusNotFound, "Base.1.8.ResourceMissingAtURI", "The resource at the URI was not found.")
		return
	}
	var c struct{ UserName, Password string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&c); err != nil {
		writeError(w, http.StatusBadRequest, "Base.1.8.MalformedJSON", "The request body submitted was malformed JSON and could not be parsed by the receiving service.")
		return
	}
	if !s.sess.try(s.credentialOK(c.UserName, c.Password)) {
		writeUnauthorized(w)
		return
	}
	id, token, ok := s.sess.open()
	if !ok {
		writeError(w, http.StatusServiceUnavailable, "Base.1.8.SessionLimitExceeded", "The session establishment failed due to the number of simultaneous sessions exceeding the limit of the implementation.")
		return
	}
	w.Header().Set("X-Auth-Token", token)
	w.Header().Set("Location", sessionsPath+"/"+id)
	writeJSON(w, r, http.StatusCreated, sessionDoc(id, c.UserName), -1)
}

func (s *RedfishServer) credentialOK(user, pass string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return subtle.ConstantTimeCompare([]byte(user), []byte(s.o.Username))&subtle.ConstantTimeCompare([]byte(pass), []byte(s.o.Password)) == 1
}

// authorized answers 401 itself when it is not.
func (s *RedfishServer) authorized(w http.ResponseWriter, r *http.Request) bool {
	if t := r.Header.Get("X-Auth-Token"); t != "" && !s.o.BasicOnly {
		if s.sess.valid(t) {
			return true
		}
		writeUnauthorized(w)
		return false
	}
	if user, pass, ok := r.BasicAuth(); ok && !s.o.SessionOnly && s.sess.try(s.credentialOK(user, pass)) {
		return true
	}
	writeUnauthorized(w)
	return false
}

func writeUnauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="Redfish"`)
	writeError(w, http.StatusUnauthorized, "Base.1.8.NoValidSession", "There is no valid session established with the implementation.")
}

func writeError(w http.ResponseWriter, code int, id, msg string) {
	b, _ := json.Marshal(map[string]any{"error": map[string]any{
		"code": id, "message": msg,
		"@Message.ExtendedInfo": []any{map[string]any{"@odata.type": "#Message.v1_1_1.Message", "MessageId": id, "Message": msg, "Severity": "Critical"}},
	}})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(code)
	_, _ = w.Write(b)
}

func writeJSON(w http.ResponseWriter, r *http.Request, code int, v any, cut int) {
	b, ok := v.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(v); err != nil {
			writeError(w, http.StatusInternalServerError, "Base.1.8.InternalError", err.Error())
			return
		}
	}
	if code != http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write(b)
		return
	}
	writeBody(w, r, b, cut)
}

func link(id string) map[string]any { return map[string]any{"@odata.id": id} }

func links(ids []string) []any {
	out := make([]any, 0, len(ids))
	for _, id := range ids {
		out = append(out, link(id))
	}
	return out
}

func collection(id, kind, name string, members []string) map[string]any {
	return map[string]any{
		"@odata.id": id, "@odata.type": "#" + kind + "." + kind, "Name": name,
		"Members": links(members), "Members@odata.count": len(members),
	}
}

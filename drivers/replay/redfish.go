package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"dewline/health"
	"dewline/internal/capture"
)

// Redfish serves a recorded tree. It can be used from several goroutines at once.
type Redfish struct {
	docs   map[string]*capture.Document
	logins map[string]int // status by URL
}

// NewRedfish makes a service of a recording.
func NewRedfish(r *capture.Recording) *Redfish {
	s := &Redfish{docs: map[string]*capture.Document{}, logins: map[string]int{}}
	for _, d := range r.Documents {
		s.docs[trim(d.URL)] = d
	}
	for _, l := range r.Logins {
		s.logins[trim(l.URL)] = l.Status
	}
	return s
}

func trim(u string) string {
	p, query, found := strings.Cut(u, "?")
	p = strings.TrimSuffix(p, "/")
	if found {
		p += "?" + query
	}
	return p
}

// RoundTrip answers from the recording. There is no network beneath it.
func (s *Redfish) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<16))
		_ = r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err //nolint:wrapcheck // a transport passes errors on
	}
	switch r.Method {
	case http.MethodPost:
		return s.login(r), nil
	case http.MethodDelete:
		return answer(r, http.StatusNoContent, nil), nil
	case http.MethodGet:
		return s.get(r)
	}
	return failure(r, http.StatusMethodNotAllowed, "a recording is only read"), nil
}

// login answers as the machine did when it was recorded; where that is not known a session is given.
func (s *Redfish) login(r *http.Request) *http.Response {
	uri := trim(r.URL.RequestURI())
	status, known := s.logins[uri]
	if !known {
		status = http.StatusCreated
		if len(s.logins) > 0 { // it was recorded with another place, or with none
			status = http.StatusNotFound
		}
	}
	if status < 200 || status > 299 {
		return failure(r, status, "as recorded")
	}
	resp := answer(r, http.StatusCreated, []byte(`{"@odata.id":"`+path.Clean(r.URL.Path)+`/replay"}`))
	resp.Header.Set("X-Auth-Token", "replay")
	resp.Header.Set("Location", path.Clean(r.URL.Path)+"/replay")
	return resp
}

func (s *Redfish) get(r *http.Request) (*http.Response, error) {
	uri := trim(r.URL.RequestURI())
	d := s.docs[uri]
	if d == nil {
		if p, query, found := strings.Cut(uri, "?"); found && s.docs[p] != nil {
			return s.query(r, s.docs[p], query)
		}
		return failure(r, http.StatusNotFound, "not recorded"), nil
	}
	return s.serve(r, d)
}

func (s *Redfish) serve(r *http.Request, d *capture.Document) (*http.Response, error) {
	switch health.Reason(d.Error) {
	case "":
		return d.Response(r), nil
	case health.ReasonTimeout:
		return nil, fmt.Errorf("as recorded: %w", timeout{})
	case health.ReasonTooLarge:
		resp := answer(r, http.StatusOK, nil)
		resp.Body, resp.ContentLength = io.NopCloser(io.LimitReader(blanks{}, capture.MaxBody+1)), -1
		resp.Header.Del("Content-Length")
		return resp, nil
	}
	return nil, fmt.Errorf("as recorded: %.60s: %w", d.Error, io.ErrUnexpectedEOF)
}

// query answers what was not asked when the machine was recorded. Pages are cut out of the recorded collection; any other
// query is ignored, as most BMCs do with what they do not know.
func (s *Redfish) query(r *http.Request, d *capture.Document, query string) (*http.Response, error) {
	q, err := url.ParseQuery(query)
	if err != nil || d.Status != http.StatusOK || !q.Has("$skip") && !q.Has("$top") {
		return s.serve(r, d)
	}
	var doc map[string]json.RawMessage
	var members []json.RawMessage
	if json.Unmarshal(d.Body, &doc) != nil || json.Unmarshal(doc["Members"], &members) != nil {
		return s.serve(r, d)
	}
	if n, err := strconv.Atoi(q.Get("$skip")); err == nil && n > 0 {
		members = members[min(n, len(members)):]
	}
	if n, err := strconv.Atoi(q.Get("$top")); err == nil && n >= 0 {
		members = members[:min(n, len(members))]
	}
	if members == nil {
		members = []json.RawMessage{}
	}
	if doc["Members"], err = json.Marshal(members); err != nil {
		return s.serve(r, d)
	}
	delete(doc, "Members@odata.nextLink")
	delete(doc, "@odata.nextLink")
	b, err := json.Marshal(doc)
	if err != nil {
		return s.serve(r, d)
	}
	return answer(r, http.StatusOK, b), nil
}

// Document is what a recorded machine answers to a URL, for whoever serves it over a network.
func (s *Redfish) Document(uri string) (*capture.Document, bool) {
	d, ok := s.docs[trim(uri)]
	return d, ok
}

func answer(r *http.Request, status int, body []byte) *http.Response {
	return (&capture.Document{Status: status, Header: map[string]string{"Content-Type": "application/json"}, Body: body}).Response(r)
}

func failure(r *http.Request, status int, message string) *http.Response {
	var body bytes.Buffer
	fmt.Fprintf(&body, `{"error":{"code":"Base.1.0.GeneralError","message":%q}}`, message)
	return answer(r, status, body.Bytes())
}

// timeout is a recorded silence: it is not waited for again.
type timeout struct{}

func (timeout) Error() string { return "no answer came" }
func (timeout) Timeout() bool { return true }

type blanks struct{}

func (blanks) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

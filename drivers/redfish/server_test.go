package redfish

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/secret"
)

const (
	testUser     = "monitor"
	testPassword = "hunter2-not-in-any-log"
)

// service is a Redfish service over TLS that serves a tree, with sessions, and counts.
type service struct {
	*httptest.Server
	mu       sync.Mutex
	tree     map[string]string
	hook     func(w http.ResponseWriter, r *http.Request) bool // true: answered
	requests []string                                          // "METHOD path?query"
	conns    int
	sessions map[string]string // token -> uri
	created  int
	deleted  int
	failed   int // logins refused
	basic    int
	noAuth   []string // requests that came without credentials
	expand   bool
}

func newService(t testing.TB, tree map[string]string) *service {
	t.Helper()
	s := &service{tree: tree, sessions: map[string]string{}}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ConnState = func(_ net.Conn, cs http.ConnState) {
		if cs == http.StateNew {
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
		}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Server.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	hook := s.hook
	s.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	s.serve(w, r)
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := strings.TrimSuffix(r.URL.Path, "/")
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost && strings.HasSuffix(p, "/Sessions") {
		var c struct{ UserName, Password string }
		_ = json.NewDecoder(r.Body).Decode(&c)
		if c.UserName != testUser || c.Password != testPassword {
			s.failed++
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.created++
		token := fmt.Sprintf("token-%d", s.created)
		uri := fmt.Sprintf("%s/%d", p, s.created)
		s.sessions[token] = uri
		w.Header().Set("X-Auth-Token", token)
		w.Header().Set("Location", uri)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"@odata.id":%q}`, uri)
		return
	}
	if p != rootURI {
		user, pass, ok := r.BasicAuth()
		uri, known := s.sessions[r.Header.Get("X-Auth-Token")]
		switch {
		case ok && user == testUser && pass == testPassword:
			s.basic++
		case known && r.Method == http.MethodDelete && uri == p:
			delete(s.sessions, r.Header.Get("X-Auth-Token"))
			s.deleted++
			w.WriteHeader(http.StatusNoContent)
			return
		case known:
		default:
			s.noAuth = append(s.noAuth, p)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, ok := s.tree[p]
	if !ok || (r.URL.RawQuery != "" && !s.expand) && strings.Contains(r.URL.RawQuery, "skiptoken") {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":{"code":"Base.1.8.ResourceMissingAtURI","message":"not here"}}`)
		return
	}
	if s.expand && r.URL.Query().Has("$expand") {
		body = s.expanded(body)
	}
	fmt.Fprint(w, body)
}

// expanded puts the members into a collection.
func (s *service) expanded(body string) string {
	var c map[string]json.RawMessage
	var refs []struct {
		ID string `json:"@odata.id"`
	}
	if json.Unmarshal([]byte(body), &c) != nil || json.Unmarshal(c["Members"], &refs) != nil {
		return body
	}
	members := []json.RawMessage{}
	for _, r := range refs {
		members = append(members, json.RawMessage(s.tree[r.ID]))
	}
	c["Members"], _ = json.Marshal(members)
	b, _ := json.Marshal(c)
	return string(b)
}

// reset forgets what was counted.
func (s *service) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.conns = nil, 0
}

func (s *service) set(uri, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree[uri] = body
}

func (s *service) onRequest(h func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

func (s *service) counts() (requests []string, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests), s.conns
}

func (s *service) sessionCounts() (created, deleted, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.created, s.deleted, s.failed
}

// options are the client's for a test service, which is trusted by its pinned certificate.
func (s *service) options() Options {
	fp := sha256.Sum256(s.Certificate().Raw)
	return Options{
		Address: s.URL, Username: testUser, Password: secret.New(testPassword), TLS: TLS{Fingerprint: hex.EncodeToString(fp[:])},
		Timeout: 10 * time.Second,
	}
}

func (s *service) open(t testing.TB, change ...func(*Options)) *Client {
	t.Helper()
	o := s.options()
	for _, f := range change {
		f(&o)
	}
	c, err := Open("t", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

func read(t testing.TB, c *Client, req health.Request) *health.Snapshot {
	t.Helper()
	s, err := c.Read(t.Context(), req)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return s
}

// missing are the gaps of a snapshot, but for the numbers that are none in our own trees.
func missing(s *health.Snapshot) []health.Gap {
	return slices.DeleteFunc(slices.Clone(s.Gaps), func(g health.Gap) bool {
		return (g.Component == "temperature/CPU1_Temp" || g.Component == "psu/PSU1") && g.Error == `no number: "N/A"` ||
			g.Component == "temperature/Broken" && g.Error == "no number: 1.79e+308"
	})
}

func component(s *health.Snapshot, id health.ComponentID) *health.Component {
	for i := range s.Components {
		if s.Components[i].ID == id {
			return &s.Components[i]
		}
	}
	return nil
}

func reading(s *health.Snapshot, id health.ComponentID, q health.Quantity) *health.Reading {
	for i := range s.Readings {
		if s.Readings[i].Component == id && s.Readings[i].Quantity == q {
			return &s.Readings[i]
		}
	}
	return nil
}

func hasCondition(c *health.Component, k health.Kind, s health.Severity) bool {
	return c != nil && slices.ContainsFunc(c.Conditions, func(x health.Condition) bool { return x.Kind == k && x.Severity == s })
}

func ofClass(s *health.Snapshot, class health.Class) []health.Component {
	var l []health.Component
	for _, c := range s.Components {
		if c.Class == class {
			l = append(l, c)
		}
	}
	return l
}

// captures lists the recorded machines, or skips the test.
func captures(t testing.TB) map[string]string {
	t.Helper()
	dir := os.Getenv("DEWLINE_CAPTURES")
	files, _ := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if dir == "" || len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("DEWLINE_CAPTURES names no folder with *.tar.gz captures")
		}
		t.Skip("no captures: set DEWLINE_CAPTURES to the folder with the *.tar.gz captures")
	}
	m := map[string]string{}
	for _, f := range files {
		m[strings.TrimSuffix(filepath.Base(f), ".tar.gz")] = f
	}
	return m
}

func treeFromTar(t testing.TB, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	tree := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if path.Base(h.Name) != "index.json" {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(path.Clean(h.Name))
		if _, rest, ok := strings.Cut(dir, "/"); ok {
			dir = rest
		} else {
			dir = ""
		}
		tree[path.Join(rootURI, dir)] = string(b)
	}
	if len(tree) == 0 {
		t.Fatalf("%s holds no tree", file)
	}
	return tree
}

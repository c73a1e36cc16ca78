package bmcsim

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func smallTree() map[string][]byte {
	return map[string][]byte{
		"/redfish/v1":             []byte(`{"@odata.id":"/redfish/v1","RedfishVersion":"1.6.0","Chassis":{"@odata.id":"/redfish/v1/Chassis"}}`),
		"/redfish/v1/Chassis":     []byte(`{"@odata.id":"/redfish/v1/Chassis","Members":[{"@odata.id":"/redfish/v1/Chassis/1"},{"@odata.id":"/redfish/v1/Chassis/2"}],"Members@odata.count":2,"Members@odata.nextLink":"/redfish/v1/Chassis?$skip=2"}`),
		"/redfish/v1/Chassis/1":   []byte(`{"@odata.id":"/redfish/v1/Chassis/1","Id":"1","Status":{"Health":"OK"},"Links":{"ManagedBy":[{"@odata.id":"/redfish/v1/Managers/1"}]}}`),
		"/redfish/v1/Chassis/2/":  []byte(`{"@odata.id":"/redfish/v1/Chassis/2","Id":"2"}`),
		"/redfish/v1/Managers/1":  []byte(`{"@odata.id":"/redfish/v1/Managers/1","Id":"1"}`),
		"/redfish/v1/Broken/Half": []byte(`{"@odata.id":"/redfi`),
	}
}

// testClient trusts the server's certificate and follows no redirect.
type testClient struct {
	t     *testing.T
	s     *RedfishServer
	http  *http.Client
	token string
	basic bool
}

func newTestClient(t *testing.T, s *RedfishServer) *testClient {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CertPEM()) {
		t.Fatal("CertPEM holds no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(tr.CloseIdleConnections)
	return &testClient{t: t, s: s, basic: true, http: &http.Client{
		Transport: tr, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *testClient) do(ctx context.Context, method, path, body string) (*http.Response, []byte, error) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, c.s.URL()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		r.Header.Set("X-Auth-Token", c.token)
	} else if c.basic {
		r.SetBasicAuth(DefaultUsername, DefaultPassword)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

func (c *testClient) status(method, path, body string) int {
	c.t.Helper()
	resp, _, err := c.do(c.t.Context(), method, path, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode
}

func (c *testClient) get(path string) map[string]any {
	c.t.Helper()
	resp, b, err := c.do(c.t.Context(), http.MethodGet, path, "")
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("GET %s: %s: %s", path, resp.Status, b)
	}
	var d map[string]any
	if err := json.Unmarshal(b, &d); err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	return d
}

func (c *testClient) login() string {
	c.t.Helper()
	c.token, c.basic = "", false
	resp, b, err := c.do(c.t.Context(), http.MethodPost, sessionsPath, `{"UserName":"`+DefaultUsername+`","Password":"`+DefaultPassword+`"}`)
	if err != nil || resp.StatusCode != http.StatusCreated {
		c.t.Fatalf("log in: %v %s", err, b)
	}
	c.token = resp.Header.Get("X-Auth-Token")
	return resp.Header.Get("Location")
}

func serveSmall(t *testing.T, o RedfishOptions) (*RedfishServer, *testClient) {
	t.Helper()
	s, err := ServeTree(smallTree(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, newTestClient(t, s)
}

func TestSessionsOpenCountAndClose(t *testing.T) {
	s, c := serveSmall(t, RedfishOptions{MaxSessions: 1, LockAfter: 2})
	c.basic = false
	if got := c.status(http.MethodGet, "/redfish/v1/", ""); got != 200 {
		t.Errorf("service root without credentials: %d", got)
	}
	if got := c.status(http.MethodGet, "/redfish/v1/Chassis", ""); got != 401 {
		t.Errorf("chassis without credentials: %d", got)
	}
	if got := c.status(http.MethodPost, sessionsPath, `{"UserName":"monitor","Password":"wrong"}`); got != 401 {
		t.Errorf("wrong password: %d", got)
	}
	loc := c.login()
	c.get("/redfish/v1/Chassis/1")
	if got := c.status(http.MethodPost, sessionsPath, `{"UserName":"monitor","Password":"`+DefaultPassword+`"}`); got != 503 {
		t.Errorf("session over the limit: %d", got)
	}
	if n := len(c.get(sessionsPath)["Members"].([]any)); n != 1 {
		t.Errorf("%d sessions listed", n)
	}
	if got := c.status(http.MethodDelete, loc, ""); got != 204 {
		t.Errorf("log out: %d", got)
	}
	if got := c.status(http.MethodGet, "/redfish/v1/Chassis/1", ""); got != 401 {
		t.Errorf("token after log-out: %d", got)
	}
	st := s.Stats()
	if st.Logins != 1 || st.Logouts != 1 || st.OpenSessions != 0 || st.LoginFailures != 1 || st.Connections != 1 || st.Requests != 9 || st.Writes != 0 {
		t.Errorf("stats %+v", st)
	}
	if st.ByPath["/redfish/v1/Chassis/1"] != 2 {
		t.Errorf("requests by path: %v", st.ByPath)
	}
	c.login()
	s.ExpireSessions()
	if got := c.status(http.MethodGet, "/redfish/v1/Chassis/1", ""); got != 401 {
		t.Errorf("token after expiry: %d", got)
	}
	c.token = ""
	for range 2 {
		c.status(http.MethodPost, sessionsPath, `{"UserName":"monitor","Password":"wrong"}`)
	}
	if got := c.status(http.MethodPost, sessionsPath, `{"UserName":"monitor","Password":"`+DefaultPassword+`"}`); got != 401 {
		t.Errorf("right password of a locked account: %d", got)
	}
	s.Unlock()
	c.login()
}

func TestAWriteIsRefusedAndCounted(t *testing.T) {
	s, c := serveSmall(t, RedfishOptions{})
	if got := c.status(http.MethodPatch, "/redfish/v1/Chassis/1", `{}`); got != 405 {
		t.Errorf("PATCH: %d", got)
	}
	if s.Stats().Writes != 1 {
		t.Errorf("writes %d", s.Stats().Writes)
	}
}

func TestExpandAndPaging(t *testing.T) {
	_, plain := serveSmall(t, RedfishOptions{})
	if m := plain.get("/redfish/v1/Chassis?$expand=.($levels=1)")["Members"].([]any)[0].(map[string]any); len(m) != 1 {
		t.Errorf("a service without $expand expanded: %v", m)
	}
	if d := plain.get("/redfish/v1/Chassis?$skip=2"); len(d["Members"].([]any)) != 0 || d["Members@odata.nextLink"] != nil {
		t.Errorf("page after the last: %v", d)
	}
	_, c := serveSmall(t, RedfishOptions{Expand: true})
	d := c.get("/redfish/v1/Chassis?$expand=.($levels=1)")
	m := d["Members"].([]any)
	if len(m) != 2 || m[0].(map[string]any)["Id"] != "1" || m[1].(map[string]any)["Id"] != "2" {
		t.Errorf("expanded members: %v", m)
	}
	if l := m[0].(map[string]any)["Links"].(map[string]any)["ManagedBy"].([]any)[0].(map[string]any); len(l) != 1 {
		t.Errorf("one level of . expanded Links: %v", l)
	}
	all := c.get("/redfish/v1/Chassis/1?$expand=*")
	if l := all["Links"].(map[string]any)["ManagedBy"].([]any)[0].(map[string]any); l["Id"] != "1" {
		t.Errorf("* did not expand Links: %v", l)
	}
	if got := c.status(http.MethodGet, "/redfish/v1/Chassis?$expand=nonsense", ""); got != 400 {
		t.Errorf("nonsense $expand: %d", got)
	}
	_, liar := serveSmall(t, RedfishOptions{Expand: true, ExpandLies: true})
	if m := liar.get("/redfish/v1/Chassis?$expand=.")["Members"].([]any); len(m) != 1 || m[0].(map[string]any)["Status"] != nil {
		t.Errorf("a lying $expand told the truth: %v", m)
	}
	_, looping := serveSmall(t, RedfishOptions{IgnoreSkip: true})
	if d := looping.get("/redfish/v1/Chassis?$skip=2"); d["Members@odata.nextLink"] == nil {
		t.Errorf("no loop: %v", d)
	}
}

func TestFaultsOnRequest(t *testing.T) {
	s, c := serveSmall(t, RedfishOptions{StaleETag: true})
	s.SetStatus("/redfish/v1/Chassis", 503)
	s.SetStatus("/redfish/v1/Chassis/2", 404)
	for path, want := range map[string]int{"/redfish/v1/Chassis": 503, "/redfish/v1/Chassis/1": 503, "/redfish/v1/Chassis/2": 404, "/redfish/v1/Managers/1": 200} {
		if got := c.status(http.MethodGet, path, ""); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	s.SetStatus("/redfish/v1/Chassis", 0)
	s.SetBody("/redfish/v1/Chassis/1", []byte(`{"half":`))
	if _, b, err := c.do(t.Context(), http.MethodGet, "/redfish/v1/Chassis/1", ""); err != nil || string(b) != `{"half":` {
		t.Errorf("half JSON: %q %v", b, err)
	}
	s.SetBody("/redfish/v1/Chassis/1", nil)
	s.CutBody("/redfish/v1/Chassis/1", 10)
	if _, b, err := c.do(t.Context(), http.MethodGet, "/redfish/v1/Chassis/1", ""); err == nil {
		t.Errorf("a cut body came whole: %q", b)
	}
	s.CutBody("/redfish/v1/Chassis/1", -1)
	s.Redirect("/redfish/v1/Chassis/1", "https://192.0.2.1/")
	if resp, _, err := c.do(t.Context(), http.MethodGet, "/redfish/v1/Chassis/1", ""); err != nil || resp.StatusCode != 307 || resp.Header.Get("Location") != "https://192.0.2.1/" {
		t.Errorf("redirect: %v %v", resp, err)
	}
	s.Redirect("/redfish/v1/Chassis/1", "")
	s.Hook("/redfish/v1/Chassis/1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) })
	if got := c.status(http.MethodGet, "/redfish/v1/Chassis/1", ""); got != 418 {
		t.Errorf("hook: %d", got)
	}
	s.Hook("/redfish/v1/Chassis/1", nil)
	resp, _, err := c.do(t.Context(), http.MethodGet, "/redfish/v1/Chassis/1", "")
	if err != nil || resp.Header.Get("ETag") == "" {
		t.Errorf("no stale ETag: %v", err)
	}
	s.SetLatency(30 * time.Millisecond)
	start := time.Now()
	c.get("/redfish/v1/Chassis/1")
	if d := time.Since(start); d < 30*time.Millisecond {
		t.Errorf("latency was %v", d)
	}
}

func TestAHungServiceAcceptsAndStaysSilentUntilReleased(t *testing.T) {
	s, c := serveSmall(t, RedfishOptions{})
	c.get("/redfish/v1/Chassis")
	s.Hang(true)
	fresh := newTestClient(t, s)
	for _, hung := range []*testClient{c, fresh} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, _, err := hung.do(ctx, http.MethodGet, "/redfish/v1/Chassis", ""); err == nil {
			t.Error("a hung service answered")
		}
		cancel()
	}
	s.Hang(false)
	c.get("/redfish/v1/Chassis")
	fresh.get("/redfish/v1/Chassis")
	s.Hang(true) // and Close ends it nevertheless, with a request waiting
	go func() { _, _, _ = newTestClient(t, s).do(t.Context(), http.MethodGet, "/redfish/v1/Chassis", "") }()
}

func TestARestartKeepsThePortAndForgetsSessions(t *testing.T) {
	s, c := serveSmall(t, RedfishOptions{})
	c.login()
	addr := s.Addr()
	if err := s.RestartListener(); err != nil {
		t.Fatal(err)
	}
	if s.Addr() != addr {
		t.Errorf("address %s became %s", addr, s.Addr())
	}
	if got := c.status(http.MethodGet, "/redfish/v1/Chassis", ""); got != 401 {
		t.Errorf("old token after a restart: %d", got)
	}
	c.login()
	c.get("/redfish/v1/Chassis")
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.7:0", "localhost:0"} {
		if s, err := ServeTree(smallTree(), RedfishOptions{Addr: addr}); err == nil {
			_ = s.Close()
			t.Errorf("%s was served", addr)
		}
	}
}

func TestACaptureLoadsFromTarballAndFolder(t *testing.T) {
	dir := t.TempDir()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for name, body := range map[string]string{
		"box/index.json": `{"@odata.id":"/redfish/v1"}`, "box/Chassis/1/index.json": `{"Id":"1"}`, "box/SOURCE": "somewhere",
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	ball := filepath.Join(dir, "box.tar.gz")
	if err := os.WriteFile(ball, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{ball, filepath.Join(dir, "box")} {
		tree, err := LoadCapture(from)
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for p := range tree {
			paths = append(paths, p)
		}
		slices.Sort(paths)
		if !slices.Equal(paths, []string{"/redfish/v1", "/redfish/v1/Chassis/1"}) {
			t.Errorf("%s: %v", from, paths)
		}
	}
}

func TestEveryCaptureIsServed(t *testing.T) {
	dir := os.Getenv("DEWLINE_CAPTURES")
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("DEWLINE_CAPTURES names no folder of captures, and CI=true asks for it")
		}
		t.Skip("DEWLINE_CAPTURES names no folder of captures")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s: %v", dir, err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".tar.gz"), func(t *testing.T) {
			tree, err := LoadCapture(f)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ServeTree(tree, RedfishOptions{Expand: true})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			c := newTestClient(t, s)
			c.login()
			c.get("/redfish/v1/")
			members, _ := c.get("/redfish/v1/Chassis/?$expand=.($levels=1)")["Members"].([]any)
			if len(members) == 0 {
				t.Error("no chassis")
			}
			for _, m := range members {
				d := m.(map[string]any)
				id, _ := d["@odata.id"].(string) // Intel's chassis do not say theirs
				if tree[cleanPath(id)] != nil && len(d) < 3 {
					t.Errorf("%s was not expanded", id)
				}
			}
		})
	}
}

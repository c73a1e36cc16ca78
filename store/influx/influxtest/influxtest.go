// Package influxtest starts a real InfluxDB 1.8 for tests. It is found by DEWLINE_INFLUXD (the path of the program), in the
// cache folder of tools/real-parts.sh, or as influxd in PATH; without one the test is skipped, and fails where CI is "true".
package influxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Version of InfluxDB that tools/real-parts.sh installs.
const Version = "1.8.10"

// client keeps no connections, so that tests can look for goroutines left behind, and a restarted server is met anew.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// patience is how long a server may take to answer its first ping: a fraction of a second on an idle machine. With Flux, which nothing here
// speaks, it would be many seconds of computing.
const patience = 60 * time.Second

// Server is one influxd on loopback with a folder of its own. It ends with the test.
type Server struct {
	URL string

	t        testing.TB
	program  string
	dir      string
	username string // of the administrator, "" without authentication
	password string
	cmd      *exec.Cmd
	done     chan struct{} // closed when cmd has ended
}

// Start gives a running server without authentication.
func Start(t testing.TB) *Server { return start(t, "", "") }

// StartAuthenticated gives a running server that asks for credentials; its administrator is the one named here.
func StartAuthenticated(t testing.TB, username, password string) *Server {
	return start(t, username, password)
}

func start(t testing.TB, username, password string) *Server {
	t.Helper()
	s := &Server{t: t, program: find(t), dir: t.TempDir(), username: username, password: password}
	t.Cleanup(s.Kill)
	for try := 1; ; try++ { // between the choice of a port and its use another may take it
		s.configure()
		err := s.run()
		if err == nil {
			break
		}
		s.Kill()
		if try == 3 {
			t.Fatalf("start influxd: %v", err)
		}
	}
	if username != "" {
		s.Query("", fmt.Sprintf("CREATE USER %q WITH PASSWORD '%s' WITH ALL PRIVILEGES", username, password))
	}
	return s
}

func find(t testing.TB) string {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	if p := os.Getenv("DEWLINE_INFLUXD"); p != "" {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("DEWLINE_INFLUXD: %v", err)
		}
		return p
	}
	cache := os.Getenv("DEWLINE_CACHE")
	if cache == "" {
		if home, err := os.UserHomeDir(); err == nil {
			cache = filepath.Join(home, ".cache", "dewline")
		}
	}
	if p, err := exec.LookPath(filepath.Join(cache, "influxd-"+Version, "influxd")); err == nil {
		return p
	}
	p, err := exec.LookPath("influxd")
	if err != nil {
		missing("no influxd %s: run tools/real-parts.sh, or set DEWLINE_INFLUXD to its path", Version)
		return ""
	}
	// A distribution's older one has no /api/v2/write.
	if out, err := exec.Command(p, "version").Output(); err != nil || !bytes.Contains(out, []byte("v1.8.")) {
		missing("%s is no InfluxDB 1.8: %s", p, bytes.TrimSpace(out))
	}
	return p
}

func (s *Server) configure() {
	s.t.Helper()
	api, rpc := freePort(s.t), freePort(s.t)
	s.URL = "http://" + api
	conf := fmt.Sprintf(`reporting-disabled = true
bind-address = %q
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
  index-version = "inmem"
  query-log-enabled = false
[http]
  bind-address = %q
  flux-enabled = false
  auth-enabled = %v
  log-enabled = false
[monitor]
  store-enabled = false
`, rpc, filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data"), filepath.Join(s.dir, "wal"), api, s.username != "")
	if err := os.WriteFile(s.configFile(), []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) configFile() string { return filepath.Join(s.dir, "influxd.toml") }

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *Server) run() error {
	var out bytes.Buffer
	cmd := exec.Command(s.program, "-config", s.configFile())
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = dieWithUs()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed, as a rule
		close(done)
	}()
	s.cmd, s.done = cmd, done

	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		select {
		case <-done:
			return fmt.Errorf("it ended by itself:\n%s", tail(out.Bytes()))
		case <-deadline:
			return fmt.Errorf("no answer within %v", patience)
		case <-tick.C:
			if resp, err := client.Get(s.URL + "/ping"); err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusNoContent {
					return nil
				}
			}
		}
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

// Kill ends the server as kill -9 does, and returns when it is gone. A killed server may be killed again.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
}

// Restart starts a killed server again, with its folder and its URL.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.run(); err != nil {
		s.t.Fatalf("start influxd again: %v", err)
	}
}

// Series is one series of an answer. Numbers are json.Number, times are nanoseconds since 1970.
type Series struct {
	Name    string            `json:"name"`
	Tags    map[string]string `json:"tags"`
	Columns []string          `json:"columns"`
	Values  [][]any           `json:"values"`
}

// Query runs one InfluxQL statement, as the administrator if there is one, and fails the test on any error.
func (s *Server) Query(db, q string) []Series {
	s.t.Helper()
	series, err := s.TryQuery(db, q)
	if err != nil {
		s.t.Fatalf("query %s: %v", q, err)
	}
	return series
}

// TryQuery is Query with its error.
func (s *Server) TryQuery(db, q string) ([]Series, error) {
	form := url.Values{"db": {db}, "q": {q}, "epoch": {"ns"}}
	req, err := http.NewRequest(http.MethodPost, s.URL+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.username != "" {
		req.SetBasicAuth(s.username, s.password)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   string
		Results []struct {
			Error  string
			Series []Series
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		return nil, fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	if answer.Error != "" || len(answer.Results) != 1 || answer.Results[0].Error != "" {
		return nil, fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return answer.Results[0].Series, nil
}

// Write stores lines that dewline would not write, and fails the test if the server does not take them.
func (s *Server) Write(db, lines string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.URL+"/write?"+url.Values{"db": {db}}.Encode(), strings.NewReader(lines))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.username != "" {
		req.SetBasicAuth(s.username, s.password)
	}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("write: %v", err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusNoContent {
		s.t.Fatalf("write: status %d: %s", resp.StatusCode, body)
	}
}

// CPU is how much of it the server has used, 0 where the system does not tell.
func (s *Server) CPU() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // from the state on
	var ticks time.Duration
	for _, i := range []int{11, 12} { // user and system, in hundredths of a second
		n, err := strconv.Atoi(string(f[i]))
		if err != nil {
			return 0
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

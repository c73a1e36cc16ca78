package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dewline/internal/bmcsim"
)

// site is one BMC of each protocol and a configuration that reads both every second.
type site struct {
	redfish         *bmcsim.RedfishServer
	ipmi            *bmcsim.IPMIServer
	config, dataDir string
	env             []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	var err error
	if s.redfish, err = bmcsim.ServeRedfish(bmcsim.NewMachine(bmcsim.ProfileLegacy, "r", 1), bmcsim.RedfishOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.redfish.Close() })
	if s.ipmi, err = bmcsim.ServeIPMI(bmcsim.NewMachine(bmcsim.ProfileLegacy, "i", 2), bmcsim.IPMIOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.ipmi.Close() })
	dir := t.TempDir()
	s.config, s.dataDir = filepath.Join(dir, "dewline.toml"), filepath.Join(dir, "data")
	s.env = []string{"BMC_R=" + s.redfish.Password(), "BMC_I=" + s.ipmi.Password()}
	s.write(t, true)
	return s
}

func (s *site) write(t *testing.T, redfish bool) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir = %q\n[schedule]\nreadings = \"@every 1s\"\nevents = \"@every 1s\"\nspread = \"1s\"\n", s.dataDir)
	fmt.Fprintf(&b, "[[credential]]\nname = \"i\"\nusername = %q\npassword = \"env:BMC_I\"\n", s.ipmi.Username())
	fmt.Fprintf(&b, "[[target]]\nname = \"i\"\naddress = \"ipmi://%s\"\ncredential = \"i\"\n", s.ipmi.Addr())
	if redfish {
		fmt.Fprintf(&b, "[[credential]]\nname = \"r\"\nusername = %q\npassword = \"env:BMC_R\"\n", s.redfish.Username())
		fmt.Fprintf(&b, "[[target]]\nname = \"r\"\naddress = %q\ncredential = \"r\"\ntls = { fingerprint = %q }\n", s.redfish.URL(), s.redfish.CertFingerprint())
	}
	if err := os.WriteFile(s.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// requests that the Redfish BMC has had.
func (s *site) readAgain(t *testing.T) {
	t.Helper()
	r := s.redfish.Stats().Requests
	i := s.ipmi.Stats().Replies
	eventually(t, "both are read", func() bool { return s.redfish.Stats().Requests > r+3 && s.ipmi.Stats().Replies > i+3 })
}

func (s *site) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	for _, kv := range s.env {
		k, v, _ := strings.Cut(kv, "=")
		if os.Getenv(k) != v {
			if err := os.Setenv(k, v); err != nil { // names of this test's alone, as good for tests beside it
				t.Fatal(err)
			}
		}
	}
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, getenv: os.Getenv}
	code = p.main(t.Context(), args)
	return code, out.String(), errs.String()
}

func sessionFiles(t *testing.T, dataDir string) int {
	t.Helper()
	entries, err := os.ReadDir(sessionsDir(dataDir))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNoSessionIsLeftAfterStops(t *testing.T) {
	s := newSite(t)
	for i := range 4 {
		d := startDaemon(t, s.config, s.env...)
		s.readAgain(t)
		if n := s.redfish.Stats().OpenSessions; n != 1 || sessionFiles(t, s.dataDir) != 1 {
			t.Errorf("%d sessions, %d files while it runs", n, sessionFiles(t, s.dataDir))
		}
		d.stop()
		if r, i2 := s.redfish.Stats(), s.ipmi.Stats(); r.OpenSessions+i2.OpenSessions != 0 || r.Logins != i+1 || sessionFiles(t, s.dataDir) != 0 {
			t.Errorf("after stop %d: %d and %d sessions, %d created, %d files", i+1, r.OpenSessions, i2.OpenSessions, r.Logins, sessionFiles(t, s.dataDir))
		}
	}
}

func TestSessionOutlivesKill(t *testing.T) {
	s := newSite(t)
	for range 3 {
		d := startDaemon(t, s.config, s.env...)
		s.readAgain(t)
		d.kill()
		if r := s.redfish.Stats(); r.OpenSessions != 1 || r.Logins != 1 {
			t.Fatalf("after kill -9: %d sessions, %d created", r.OpenSessions, r.Logins)
		}
	}
	// A poll without a daemon takes it up too, and ends it.
	if code, out, errs := s.run(t, "poll", "-c", s.config, "r", "-o", "json"); code != exitOK {
		t.Fatalf("poll: %d %s %s", code, out, errs)
	}
	if r := s.redfish.Stats(); r.OpenSessions != 0 || r.Logins != 1 || sessionFiles(t, s.dataDir) != 0 {
		t.Errorf("after poll: %d sessions, %d created", r.OpenSessions, r.Logins)
	}
	d := startDaemon(t, s.config, s.env...)
	s.readAgain(t)
	// With a daemon it uses that one's.
	if code, out, errs := s.run(t, "poll", "-c", s.config, "r", "-o", "json"); code != exitOK {
		t.Fatalf("poll: %d %s %s", code, out, errs)
	}
	if r := s.redfish.Stats(); r.OpenSessions != 1 || r.Logins != 2 {
		t.Errorf("poll beside the daemon: %d sessions, %d created", r.OpenSessions, r.Logins)
	}
	token := sessionToken(t, s.dataDir)
	noFileBut(t, s.dataDir, "sessions", token, s.redfish.Password())
	if strings.Contains(d.stderr.String(), token) {
		t.Error("the log holds the token")
	}
	// Killed, and the target leaves the configuration while nothing runs: the next start ends its session.
	d.kill()
	s.write(t, false)
	d = startDaemon(t, s.config, s.env...)
	eventually(t, "the session of a target that is gone is deleted", func() bool { return s.redfish.Stats().OpenSessions == 0 && sessionFiles(t, s.dataDir) == 0 })
	// Added and removed by reload.
	s.write(t, true)
	reload := func() {
		t.Helper()
		eventually(t, "reload", func() bool { code, _, _ := s.run(t, "reload", "-c", s.config); return code == exitOK })
	}
	reload()
	eventually(t, "it is read again", func() bool { return s.redfish.Stats().OpenSessions == 1 })
	s.write(t, false)
	reload()
	eventually(t, "it is logged out of", func() bool { return s.redfish.Stats().OpenSessions == 0 && sessionFiles(t, s.dataDir) == 0 })
	d.stop()
	if n := s.redfish.Stats().OpenSessions + s.ipmi.Stats().OpenSessions; n > 5 { // IPMI's of five kills end by their idleness alone
		t.Errorf("%d sessions", n)
	}
}

func sessionToken(t *testing.T, dataDir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(sessionsDir(dataDir), "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var k struct{ Token string }
	if err := json.Unmarshal(b, &k); err != nil || k.Token == "" {
		t.Fatalf("%s: %v", b, err)
	}
	return k.Token
}

// noFileBut wants the secrets in no file of a folder but one sub-folder's.
func noFileBut(t *testing.T, dir, but string, secrets ...string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && e.Name() == but {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Fatalf("%d files looked at, %v", seen, err)
	}
}

// A poll that is interrupted, wherever it is, leaves no session.
func TestInterruptedPollLeavesNoSession(t *testing.T) {
	s := newSite(t)
	s.redfish.SetLatency(20_000_000) // 20 ms
	for _, at := range []int{1, 2, 3, 5} {
		ctx, cancel := context.WithCancel(t.Context())
		before := s.redfish.Stats().Requests
		done := make(chan int, 1)
		go func() {
			var out bytes.Buffer
			p := &program{stdout: &out, stderr: &out, getenv: os.Getenv}
			done <- p.main(ctx, []string{"poll", "--address", s.redfish.URL(), "--username", s.redfish.Username(), "--password", "file:" + passwordFile(t, s.redfish.Password()), "--insecure"})
		}()
		eventually(t, "requests", func() bool { return s.redfish.Stats().Requests >= before+at })
		cancel()
		if code := <-done; code != exitInterrupted {
			t.Errorf("exit %d", code)
		}
		if n := s.redfish.Stats().OpenSessions; n != 0 {
			t.Errorf("interrupted after %d requests: %d sessions", at, n)
		}
	}
}

func passwordFile(t *testing.T, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(path, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

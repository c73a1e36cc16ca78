package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dewline/internal/bmcsim"
)

const simPassword = bmcsim.DefaultPassword

// serveBMC is one simulated Redfish BMC.
func serveBMC(t *testing.T) *bmcsim.RedfishServer {
	t.Helper()
	s, err := bmcsim.ServeRedfish(bmcsim.NewMachine(bmcsim.ProfileModern, "modern", 1), bmcsim.RedfishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// dewline runs a command in this process.
func dewline(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, getenv: os.Getenv}
	code = p.main(t.Context(), args)
	return code, out.String(), errs.String()
}

// TestPollOfOneBMC goes through what a person meets with a first BMC: its certificate, a wrong password, silence.
func TestPollOfOneBMC(t *testing.T) {
	t.Setenv("BMC", simPassword)
	t.Setenv("WRONG", "no-such-password")
	s := serveBMC(t)
	poll := func(args ...string) (int, pollDoc, string) {
		t.Helper()
		code, out, _ := dewline(t, append([]string{"poll", "-o", "json", "--username", s.Username(), "--address", s.URL()}, args...)...)
		docs := decodeDocs(t, out)
		if len(docs) != 1 || strings.Contains(out, simPassword) || strings.Contains(out, "no-such-password") {
			t.Fatalf("%d documents: %s", len(docs), out)
		}
		return code, docs[0], out
	}
	failed := func(code int, d pollDoc, reason, message string) {
		t.Helper()
		if code != exitTargets || d.Error == nil || string(d.Error.Reason) != reason || !strings.Contains(d.Error.Message, message) {
			t.Errorf("exit %d, error %+v; want %s: %s", code, d.Error, reason, message)
		}
	}

	code, d, _ := poll("--password", "env:BMC")
	failed(code, d, "tls", s.CertFingerprint()) // the README sends people here for it
	code, d, _ = poll("--password", "env:BMC", "--fingerprint", strings.Repeat("00", 32))
	failed(code, d, "tls", s.CertFingerprint())
	if code, d, _ = poll("--password", "env:BMC", "--fingerprint", s.CertFingerprint()); code != exitOK || d.Error != nil {
		t.Errorf("with the fingerprint it met: exit %d, %+v", code, d.Error)
	}

	before := s.Stats().LoginFailures
	code, d, _ = poll("--password", "env:WRONG", "--insecure")
	failed(code, d, "denied", "log in")
	if n := s.Stats().LoginFailures - before; n != 1 {
		t.Errorf("%d attempts with a wrong password: accounts lock", n)
	}

	s.Hang(true)
	began := time.Now()
	code, d, out := poll("--password", "env:BMC", "--insecure", "--timeout", "1s")
	failed(code, d, "timeout", "no answer in time")
	if took := time.Since(began); d.TookSeconds < 0.9 || took > 15*time.Second || !strings.Contains(out, `"components":[],"readings":[],"log":[],"logs":[],"faults":[],"gaps":[]`) {
		t.Errorf("after %s: %s", took, out)
	}
	s.Hang(false)
	if n := s.Stats().OpenSessions; n != 0 {
		t.Errorf("%d sessions left open", n)
	}
}

// TestCheckConnectAsksInfluxDB: what InfluxDB says reaches the person, and its token does not.
func TestCheckConnectAsksInfluxDB(t *testing.T) {
	t.Setenv("BMC", simPassword)
	t.Setenv("TOKEN", "admin:influx-secret")
	s := serveBMC(t)
	status := http.StatusNoContent
	influxDB := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(influxDB.Close)
	check := func(url string) (int, connectDoc) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "dewline.toml")
		if err := os.WriteFile(path, fmt.Appendf(nil, "[[credential]]\nname = \"bmc\"\nusername = %q\npassword = \"env:BMC\"\n[[target]]\nname = \"db-1\"\naddress = %q\ncredential = \"bmc\"\ntls = { fingerprint = %q }\n[influxdb]\nurl = %q\nbucket = \"hw/autogen\"\ntoken = \"env:TOKEN\"\n",
			s.Username(), s.URL(), s.CertFingerprint(), url), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := dewline(t, "check", "-c", path, "--connect", "-o", "json")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var d connectDoc
		if len(lines) != 2 || !strings.Contains(lines[0], `"target":"db-1","ok":true`) || json.Unmarshal([]byte(lines[1]), &d) != nil || d.Sink != "influxdb" {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
		if strings.Contains(out+errs, "influx-secret") {
			t.Errorf("the token is told: %s%s", out, errs)
		}
		return code, d
	}
	if code, d := check(influxDB.URL); code != exitOK || !d.OK {
		t.Errorf("a server that takes writes: exit %d, %+v", code, d)
	}
	status = http.StatusUnauthorized
	if code, d := check(influxDB.URL); code != exitTargets || d.OK || d.Reason != "denied" {
		t.Errorf("a wrong token: exit %d, %+v", code, d)
	}
	influxDB.Close()
	if code, d := check(influxDB.URL); code != exitTargets || d.OK || d.Reason != "unreachable" {
		t.Errorf("no server: exit %d, %+v", code, d)
	}
}

// TestDaemonBesideAHungBMC: a target that has never answered is shown, and not as ok; a poll of it ends in time; SIGHUP
// does not end the daemon, and a SIGTERM that comes twice, as from timeout(1), still ends it clean.
func TestDaemonBesideAHungBMC(t *testing.T) {
	t.Parallel()
	good, hung := serveBMC(t), serveBMC(t)
	hung.Hang(true)
	dir := t.TempDir()
	config := filepath.Join(dir, "dewline.toml")
	var text strings.Builder
	fmt.Fprintf(&text, "data_dir = %q\n[schedule]\nreadings = \"@every 1s\"\nevents = \"@every 1s\"\nspread = \"1s\"\n[[credential]]\nname = \"bmc\"\nusername = %q\npassword = \"env:BMC\"\n",
		filepath.Join(dir, "data"), good.Username())
	for name, s := range map[string]*bmcsim.RedfishServer{"baik 服务器": good, "hung": hung} {
		fmt.Fprintf(&text, "[[target]]\nname = %q\naddress = %q\ncredential = \"bmc\"\ntls = { fingerprint = %q }\n", name, s.URL(), s.CertFingerprint())
	}
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, config, "BMC="+simPassword)
	status := func() (docs []statusDoc) {
		_, out, _ := dewline(t, "status", "-c", config, "-o", "json")
		for l := range strings.Lines(out) {
			var doc statusDoc
			if err := json.Unmarshal([]byte(l), &doc); err != nil {
				t.Fatal(err)
			}
			if doc.Target != "" {
				docs = append(docs, doc)
			}
		}
		return docs
	}
	eventually(t, "the good one to be ok since its first answer", func() bool {
		docs := status()
		return len(docs) == 2 && docs[0].Target == "baik 服务器" && docs[0].State == "ok" && docs[0].Since != ""
	})
	if h := status()[1]; h.Target != "hung" || h.State != stateUnknown || h.Tiers == nil {
		t.Errorf("a BMC that has never answered: %+v", h)
	}
	if code, out, _ := dewline(t, "status", "-c", config, "hung"); code != exitOK || !strings.Contains(out, "unknown") || !strings.Contains(out, "never") {
		t.Errorf("exit %d: %s", code, out)
	}
	code, out, _ := dewline(t, "poll", "-c", config, "-o", "json", "--timeout", "2s", "hung")
	if code != exitTargets || !strings.Contains(out, `"reason":"timeout"`) {
		t.Errorf("a poll of the hung one: exit %d: %s", code, out)
	}
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon to answer SIGHUP", func() bool { return strings.Contains(d.stderr.String(), "configuration reloaded") })
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.stop() // the second one
	if n := good.Stats().OpenSessions; n != 0 {
		t.Errorf("%d sessions left open", n)
	}
	if docs := status(); docs[1].State != stateUnknown {
		t.Errorf("stopped in its first visit: %+v", docs[1])
	}
	if strings.Contains(d.stderr.String(), simPassword) {
		t.Error("the log holds a password")
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dewline/internal/bmcsim"
)

// denying is a site of BMCs that all deny the one password that is configured.
type denying struct {
	*site
	servers []*bmcsim.RedfishServer
}

func newDenying(t *testing.T, n int) *denying {
	t.Helper()
	d := &denying{site: &site{}}
	for i := range n {
		srv, err := bmcsim.ServeRedfish(bmcsim.NewMachine(bmcsim.ProfileLegacy, fmt.Sprint("r", i), uint64(i)), bmcsim.RedfishOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = srv.Close() })
		d.servers = append(d.servers, srv)
	}
	dir := t.TempDir()
	d.config, d.dataDir = filepath.Join(dir, "dewline.toml"), filepath.Join(dir, "data")
	if err := os.Mkdir(d.dataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.password(t, "wrong")
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir = %q\n[schedule]\nreadings = \"@every 1s\"\nevents = \"@every 1s\"\nhealth = \"@every 1s\"\nspread = \"1s\"\n", d.dataDir)
	fmt.Fprintf(&b, "[[credential]]\nname = \"c\"\nusername = %q\npassword = \"file:%s\"\n", d.servers[0].Username(), filepath.Join(dir, "pass"))
	for i, srv := range d.servers {
		fmt.Fprintf(&b, "[[target]]\nname = \"r%d\"\naddress = %q\ncredential = \"c\"\ntls = { fingerprint = %q }\n", i, srv.URL(), srv.CertFingerprint())
	}
	if err := os.WriteFile(d.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *denying) password(t *testing.T, p string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(d.config), "pass"), []byte(p), 0o600); err != nil {
		t.Fatal(err)
	}
}

// attempts counts what the BMCs counted.
func (d *denying) attempts() (n int) {
	for _, s := range d.servers {
		n += s.Stats().LoginFailures
	}
	return n
}

func TestOneWrongPasswordIsOneAttemptForAllCommands(t *testing.T) {
	d := newDenying(t, 1)
	want := func(n int, when string) {
		t.Helper()
		if got := d.attempts(); got != n {
			t.Fatalf("%s: %d attempts, want %d", when, got, n)
		}
	}
	refused := func(args ...string) {
		t.Helper()
		code, out, errs := d.run(t, args...)
		if code != exitTargets || !strings.Contains(out, "not tried, since accounts lock: denied since 2") || !strings.Contains(out, "next try 2") {
			t.Fatalf("%v: exit %d\n%s\n%s", args, code, out, errs)
		}
	}
	if code, out, _ := d.run(t, "check", "--connect", "-c", d.config); code != exitTargets || !strings.Contains(out, "denied") {
		t.Fatalf("exit %d: %s", code, out)
	}
	want(1, "check")
	refused("check", "--connect", "-c", d.config)
	refused("poll", "-c", d.config)
	if code, _, errs := d.run(t, "record", "r0", "--out", filepath.Join(t.TempDir(), "r.dewline.tar.gz"), "-c", d.config); code != exitTargets || !strings.Contains(errs, "not tried, since accounts lock") {
		t.Fatalf("record: exit %d %s", code, errs)
	}
	want(1, "check, then poll and record")
	// The daemon obeys what the command met, and the commands beside it.
	p := startDaemon(t, d.config)
	eventually(t, "the daemon says so", func() bool {
		code, out, _ := d.run(t, "status", "-c", d.config, "-o", "json")
		return code == exitOK && strings.Contains(out, `"denied"`)
	})
	refused("check", "--connect", "-c", d.config)
	refused("poll", "-c", d.config)
	want(1, "the daemon, and commands beside it")
	p.stop()
	p = startDaemon(t, d.config)
	eventually(t, "it runs", func() bool { return strings.Contains(p.stderr.String(), "dewline runs") })
	refused("poll", "-c", d.config)
	p.kill()
	refused("poll", "-c", d.config)
	want(1, "restarts")
	// A person may insist: one more.
	if code, _, _ := d.run(t, "poll", "--try-denied", "-c", d.config); code != exitTargets {
		t.Fatalf("exit %d", code)
	}
	want(2, "--try-denied")
	// Another secret is tried at once; a wrong one once.
	d.password(t, "wrong again")
	if code, _, _ := d.run(t, "poll", "-c", d.config); code != exitTargets {
		t.Fatalf("exit %d", code)
	}
	refused("poll", "-c", d.config)
	want(3, "another wrong secret")
	// The right one, by the daemon, after a restart without a reload.
	d.password(t, d.servers[0].Password())
	p = startDaemon(t, d.config)
	eventually(t, "the corrected secret is used", func() bool { return d.servers[0].Stats().OpenSessions == 1 })
	eventually(t, "the denial is forgotten", func() bool { _, err := os.Stat(denialsPath(d.dataDir)); return os.IsNotExist(err) })
	p.stop()
	want(3, "the right secret")
	noFileBut(t, d.dataDir, "sessions", d.servers[0].Password(), "wrong again")
}

func TestThreeDenialsSuspendACredentialForCommands(t *testing.T) {
	d := newDenying(t, 9)
	for range 2 {
		code, out, _ := d.run(t, "check", "--connect", "-c", d.config)
		if code != exitTargets || !strings.Contains(out, `credential "c"`) {
			t.Fatalf("exit %d: %s", code, out)
		}
		if n := d.attempts(); n != 3 {
			t.Fatalf("%d attempts on 9 targets", n)
		}
	}
	p := startDaemon(t, d.config)
	eventually(t, "it runs", func() bool { return strings.Contains(p.stderr.String(), "suspended") })
	if code, out, _ := d.run(t, "poll", "r8", "-c", d.config); code != exitTargets || !strings.Contains(out, "suspended") {
		t.Errorf("exit %d: %s", code, out)
	}
	if n := d.attempts(); n != 3 {
		t.Errorf("%d attempts with the daemon", n)
	}
	p.stop()
}

// A denial that the daemon met when it was asked is one for its schedule too.
func TestDenialOfAnAskCounts(t *testing.T) {
	d := newDenying(t, 1)
	b, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	slow := strings.Replace(strings.ReplaceAll(string(b), "@every 1s", "@every 10m"), `spread = "1s"`, `spread = "10m"`, 1)
	if err := os.WriteFile(d.config, []byte(slow), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startDaemon(t, d.config)
	eventually(t, "it runs", func() bool { _, err := os.Stat(controlSocket(d.dataDir)); return err == nil })
	for range 3 {
		if code, out, _ := d.run(t, "check", "--connect", "-c", d.config); code != exitTargets || !strings.Contains(out, "denied") {
			t.Fatalf("exit %d: %s", code, out)
		}
	}
	if n := d.attempts(); n != 1 {
		t.Errorf("%d attempts", n)
	}
	p.stop()
}

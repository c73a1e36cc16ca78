package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/store/sqlite"
)

// rack is a few simulated Redfish BMCs that share a credential kept in a file, and the configuration that reads them.
type rack struct {
	t       *testing.T
	dir     string
	names   []string
	servers map[string]*bmcsim.RedfishServer
	extra   map[string]string // lines of a target's table
	head    string            // lines before the tables
	tail    string
}

func newRack(t *testing.T, n int) *rack {
	t.Helper()
	r := &rack{t: t, dir: t.TempDir(), servers: map[string]*bmcsim.RedfishServer{}, extra: map[string]string{}}
	machines, _ := bmcsim.DemoRoom(7)
	for i := range n {
		s, err := bmcsim.ServeRedfish(machines[i%3], bmcsim.RedfishOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		name := fmt.Sprintf("db-%d", i)
		r.names = append(r.names, name)
		r.servers[name] = s
	}
	r.password(r.servers["db-0"].Password())
	r.write(r.names...)
	return r
}

func (r *rack) config() string { return filepath.Join(r.dir, "dewline.toml") }
func (r *rack) data() string   { return filepath.Join(r.dir, "data") }

func (r *rack) password(s string) { r.file("pass", s) }

func (r *rack) file(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// write makes the configuration read these servers.
func (r *rack) write(names ...string) {
	r.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir = \"data\"\n%s\n[schedule]\nreadings = \"@every 1s\"\nevents = \"@every 1s\"\nhealth = \"@every 2s\"\n", r.head)
	fmt.Fprintf(&b, "[[credential]]\nname = \"bmc\"\nusername = %q\npassword = \"file:pass\"\n", r.servers[r.names[0]].Username())
	for _, n := range names {
		s := r.servers[n]
		fmt.Fprintf(&b, "[[target]]\nname = %q\naddress = %q\ncredential = \"bmc\"\ntls = { fingerprint = %q }\n%s\n", n, s.URL(), s.CertFingerprint(), r.extra[n])
	}
	r.file("dewline.toml", b.String()+r.tail)
}

// logins is how often a server was logged in to.
func (r *rack) logins() map[string]int {
	m := map[string]int{}
	for n, s := range r.servers {
		m[n] = s.Stats().Logins
	}
	return m
}

// systemd is the other end of $NOTIFY_SOCKET.
type systemd struct {
	mu   sync.Mutex
	said []string
	conn *net.UnixConn
}

func startSystemd(t *testing.T, address string) *systemd {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	s := &systemd{conn: c}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 8192)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.said = append(s.said, string(b[:n]))
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return s
}

// heard is how many messages hold a line.
func (s *systemd) heard(line string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.said {
		for l := range strings.Lines(m) {
			if strings.HasPrefix(l, line) {
				n++
			}
		}
	}
	return n
}

// TestReloadTheDaemon: a real daemon, real sockets. Unchanged and relabelled targets keep their session, a removed one is logged
// out, an added one is read; a broken file changes nothing and is told with its places; systemd hears of it all.
func TestReloadTheDaemon(t *testing.T) {
	t.Parallel()
	r := newRack(t, 4)
	r.write("db-0", "db-1", "db-2")
	socket := filepath.Join(t.TempDir(), "notify") // t.TempDir of a long test name may pass 107 bytes: this one does not
	bus := startSystemd(t, socket)
	d := startDaemon(t, r.config(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=1000000")
	open := func(n string) int { return r.servers[n].Stats().OpenSessions }
	eventually(t, "sessions on the three, READY and a sign of life", func() bool {
		return open("db-0") == 1 && open("db-1") == 1 && open("db-2") == 1 && bus.heard("READY=1") == 1 && bus.heard("WATCHDOG=1") > 2
	})
	before := r.logins()

	r.extra["db-1"] = "rack = \"B7\""
	r.head = "[log]\nlevel = \"debug\""
	r.write("db-0", "db-1", "db-3")
	code, out, errs := dewline(t, "reload", "-c", r.config())
	for _, want := range []string{`added +db-3\n`, `removed +db-2\n`, `adjusted +db-1\n`, `unchanged +1 targets\n`, `applied +log.level\n`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("reload says %q, want %s", out, want)
		}
	}
	if code != 0 || errs != "" {
		t.Errorf("exit %d: %s", code, errs)
	}
	eventually(t, "the removed target logged out, the added one logged in", func() bool { return open("db-2") == 0 && open("db-3") == 1 })
	eventually(t, "the new label in the store", func() bool {
		db, err := sqlite.OpenReadOnly(t.Context(), r.data())
		if err != nil {
			return false
		}
		defer db.Close()
		where, err := db.Configured(t.Context(), "db-1")
		all, serr := db.Statuses(t.Context())
		left := false
		for _, s := range all {
			left = left || s.Target == "db-2" && s.Access.State == health.AccessUnmonitored
		}
		return err == nil && serr == nil && where != nil && where.Rack == "B7" && left
	})
	if after := r.logins(); after["db-0"] != before["db-0"] || after["db-1"] != before["db-1"] || open("db-0") != 1 || open("db-1") != 1 {
		t.Errorf("logins before %v, after %v", before, after)
	}
	if bus.heard("RELOADING=1") != 1 || bus.heard("MONOTONIC_USEC=") != 1 || bus.heard("READY=1") != 2 {
		t.Errorf("systemd heard %q", bus.said)
	}

	r.tail = "[schedul]\nx = 1\n[[target]]\nname = \"db-9\"\nadress = \"x\"\n"
	r.write("db-0")
	code, _, errs = dewline(t, "reload", "-c", r.config())
	if code != 2 || strings.Count(errs, "dewline.toml:") < 2 || !strings.Contains(errs, "schedul") || !strings.Contains(errs, "adress") {
		t.Errorf("a broken configuration: exit %d: %s", code, errs)
	}
	// The command may end before what the daemon wrote has come through the pipe.
	eventually(t, "the daemon says that it refuses the configuration", func() bool {
		return strings.Contains(d.stderr.String(), "configuration is refused")
	})
	if n := strings.Count(d.stderr.String(), "configuration is refused"); n != 1 {
		t.Errorf("the daemon says so %d times", n)
	}
	code, out, _ = dewline(t, "reload", "-c", r.config(), "-o", "json")
	var fault struct{ Line int }
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &fault); code != 2 || err != nil || fault.Line == 0 {
		t.Errorf("as JSON: exit %d, %v: %s", code, err, out)
	}
	r.tail = ""
	r.file("pass", "")
	r.write("db-0")
	if code, _, errs = dewline(t, "reload", "-c", r.config()); code != 2 || !strings.Contains(errs, "dewline.toml:") {
		t.Errorf("a secret that is not there: exit %d: %s", code, errs)
	}
	r.password(r.servers["db-0"].Password())

	r.head = "[collector]\nslots = 9"
	r.write("db-0", "db-1", "db-3")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "SIGHUP says what needs a restart", func() bool {
		return strings.Contains(d.stderr.String(), "keys=[collector]")
	})
	code, out, _ = dewline(t, "reload", "-c", r.config(), "-o", "json")
	var doc reloadDoc
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != 0 || doc.Unchanged != 3 || fmt.Sprint(doc.Restart) != "[collector]" || doc.Added == nil {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if after := r.logins(); after["db-0"] != before["db-0"] || after["db-1"] != before["db-1"] || after["db-3"] != 1 {
		t.Errorf("logins before %v, after all %v", before, after)
	}
	d.stop()
	if bus.heard("STOPPING=1") != 1 {
		t.Errorf("systemd heard %q", bus.said)
	}
	for n := range r.servers {
		if open(n) != 0 {
			t.Errorf("%s has %d sessions open after SIGTERM", n, open(n))
		}
	}
	if strings.Contains(d.stderr.String(), r.servers["db-0"].Password()) {
		t.Error("the log holds the password")
	}
	if code, _, errs := dewline(t, "reload", "-c", r.config()); code != 1 || !strings.Contains(errs, "no daemon") {
		t.Errorf("without a daemon: exit %d: %s", code, errs)
	}
	r.tail = "[schedul]\n"
	r.write("db-0")
	if code, _, errs := dewline(t, "reload", "-c", r.config()); code != 2 || !strings.Contains(errs, "schedul") {
		t.Errorf("without a daemon, a broken configuration: exit %d: %s", code, errs)
	}
}

// TestAWrongPasswordStopsAtThree: six BMCs, one wrong password. It is tried on a few, then on none, over a restart too; once
// the file is right, a reload reads them all.
func TestAWrongPasswordStopsAtThree(t *testing.T) {
	t.Parallel()
	r := newRack(t, 6)
	right := r.servers["db-0"].Password()
	r.password("wrong")
	failures := func() (n int) {
		for _, s := range r.servers {
			n += s.Stats().LoginFailures
		}
		return n
	}
	// The BMCs are logged in to one at a time, so that it is three and not as many as begin at once.
	r.head = "[collector]\nslots = 2"
	r.write(r.names...)
	d := startDaemon(t, r.config())
	all := func(state string) func() bool {
		return func() bool {
			code, out, _ := dewline(t, "status", "-c", r.config(), "-o", "json")
			return code == 0 && strings.Count(out, `"state":"`+state+`"`) == 6
		}
	}
	eventually(t, "all six denied", all("denied"))
	if n := failures(); n != 3 {
		t.Errorf("%d attempts with a wrong password", n)
	}
	d.stop() // and all that it wrote has come through its pipe
	if n := strings.Count(d.stderr.String(), "credential is suspended"); n != 1 {
		t.Errorf("said %d times", n)
	}
	d = startDaemon(t, r.config())
	eventually(t, "the restarted daemon says that it knows", func() bool {
		return strings.Contains(d.stderr.String(), "suspended since before this start")
	})
	r.password(right)
	code, out, errs := dewline(t, "reload", "-c", r.config())
	if code != 0 || !strings.Contains(out, "resumed    bmc") || !strings.Contains(out, "restarted  db-0, db-1, db-2, db-3, db-4, db-5") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	eventually(t, "all six well", all("ok"))
	if n := failures(); n != 3 {
		t.Errorf("%d attempts with a wrong password in all", n)
	}
	d.stop()
}

func TestSystemd(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	t.Run("an abstract socket", func(t *testing.T) {
		name := fmt.Sprintf("@dewline-test-%d", os.Getpid())
		bus := startSystemd(t, name)
		n := newNotifier(env(map[string]string{"NOTIFY_SOCKET": name}), slog.New(slog.DiscardHandler))
		n.reloading()
		n.ready("3 targets")
		n.stopping()
		eventually(t, "all three messages", func() bool {
			return bus.heard("RELOADING=1") == 1 && bus.heard("READY=1") == 1 && bus.heard("STATUS=3 targets") == 1 && bus.heard("STOPPING=1") == 1
		})
		var usec int64
		for _, m := range bus.said {
			for l := range strings.Lines(m) {
				if _, err := fmt.Sscanf(l, "MONOTONIC_USEC=%d", &usec); err == nil {
					break
				}
			}
		}
		if now := monotonic().Microseconds(); usec <= 0 || usec > now || now-usec > time.Minute.Microseconds() {
			t.Errorf("MONOTONIC_USEC=%d, now %d", usec, now)
		}
	})
	t.Run("the sign of life stays out while there is no progress", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		bus := startSystemd(t, socket)
		log := &lockedBuffer{}
		n := newNotifier(env(map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": fmt.Sprint(os.Getpid())}), slog.New(slog.NewTextHandler(log, nil)))
		var mu sync.Mutex
		var trouble error
		set := func(err error) { mu.Lock(); trouble = err; mu.Unlock() }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.watch(ctx, func() string { return "well" }, func(context.Context) error { mu.Lock(); defer mu.Unlock(); return trouble })
		}()
		eventually(t, "signs of life", func() bool { return bus.heard("WATCHDOG=1") > 3 })
		set(errors.New("the store hangs"))
		eventually(t, "the trouble said", func() bool { return strings.Contains(log.String(), "the store hangs") })
		alive, said := bus.heard("WATCHDOG=1"), bus.heard("STATUS=well")
		eventually(t, "five more messages", func() bool { return bus.heard("STATUS=well") > said+5 })
		if n := bus.heard("WATCHDOG=1"); n > alive+1 { // one may have been on its way
			t.Errorf("%d signs of life without progress", n-alive)
		}
		set(nil)
		eventually(t, "signs of life again", func() bool { return bus.heard("WATCHDOG=1") > alive+3 })
		cancel()
		<-done
		if n := strings.Count(log.String(), "no progress"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
	for name, m := range map[string]map[string]string{
		"no socket":                  {"WATCHDOG_USEC": "1"},
		"a socket nobody listens on": {"NOTIFY_SOCKET": "/nonexistent/notify"},
		"another's watchdog":         {"NOTIFY_SOCKET": "/nonexistent/notify", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
		"a watchdog of nonsense":     {"NOTIFY_SOCKET": "/nonexistent/notify", "WATCHDOG_USEC": "-5"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNotifier(env(m), slog.New(slog.DiscardHandler))
			n.ready("x")
			if n.watchdog != 0 && m["NOTIFY_SOCKET"] != "" {
				t.Errorf("watchdog %s", n.watchdog)
			}
		})
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/store/influx"
	"dewline/store/influx/influxtest"
	"dewline/store/sqlite"
)

// daemon is the program, running as a process of its own.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func startDaemon(t *testing.T, config string, env ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: exec.Command(os.Args[0], "run", "-c", config), stderr: &lockedBuffer{}}
	d.cmd.Env = append(os.Environ(), append(env, runAsDewline+"=1")...)
	d.cmd.Stderr = d.stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			_ = d.cmd.Process.Kill()
			_ = d.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("daemon said:\n%s", d.stderr)
		}
	})
	return d
}

// stop sends SIGTERM and wants exit code 0.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Fatalf("after SIGTERM: %v\n%s", err, d.stderr)
	}
}

func (d *daemon) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	_ = d.cmd.Wait()
}

// eventually waits for a condition of another process, a generous while at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	tick := time.NewTicker(250 * time.Millisecond) // most conditions open the store or run a command
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 90 s for: %s", what)
		}
		<-tick.C
	}
}

// room starts the simulated room and writes a configuration that reads it every second.
func room(t *testing.T, extra string) (demo *bmcsim.Demo, config, dataDir string, env []string) {
	t.Helper()
	demo, err := bmcsim.StartDemo(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := demo.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	dataDir = filepath.Join(dir, "data")
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir = %q\n[schedule]\nreadings = \"@every 1s\"\nevents = \"@every 1s\"\nhealth = \"@every 2s\"\nspread = \"1s\"\n", dataDir)
	for i, s := range demo.Servers {
		name := fmt.Sprintf("BMC_PASSWORD_%d", i)
		env = append(env, name+"="+s.Password)
		fmt.Fprintf(&b, "[[credential]]\nname = %q\nusername = %q\npassword = \"env:%s\"\n", s.Name, s.Username, name)
		fmt.Fprintf(&b, "[[target]]\nname = %q\naddress = %q\ncredential = %q\nsite = %q\nrack = %q\n", s.Name, s.URL, s.Name, s.Site, s.Rack)
		if s.Fingerprint != "" {
			fmt.Fprintf(&b, "tls = { fingerprint = %q }\n", s.Fingerprint)
		}
	}
	config = filepath.Join(dir, "dewline.toml")
	if err := os.WriteFile(config, []byte(b.String()+extra), 0o600); err != nil {
		t.Fatal(err)
	}
	return demo, config, dataDir, env
}

// influxCount is what `SELECT count(field)` says, 0 while the server is down or holds no such measurement.
func influxCount(s *influxtest.Server, query string) int {
	series, err := s.TryQuery("hw", query)
	if err != nil || len(series) == 0 {
		return 0
	}
	n, _ := series[0].Values[0][1].(json.Number)
	count, _ := strconv.Atoi(n.String())
	return count
}

// TestDaemonEndToEnd: six simulated BMCs over both protocols, the real store, a real InfluxDB that dies in mid-stream and
// comes back, a daemon that is killed and started again, and one that is stopped: nothing lost, nothing doubled, no
// session left behind.
func TestDaemonEndToEnd(t *testing.T) {
	t.Parallel()
	server := influxtest.Start(t)
	server.Query("", "CREATE DATABASE hw")
	demo, config, dataDir, env := room(t, fmt.Sprintf("[influxdb]\nurl = %q\nbucket = \"hw/autogen\"\n", server.URL))

	d := startDaemon(t, config, env...)
	eventually(t, "fan readings of all six servers in InfluxDB", func() bool {
		series, err := server.TryQuery("hw", "SHOW TAG VALUES FROM hw_fan WITH KEY = target")
		return err == nil && len(series) == 1 && len(series[0].Values) == len(demo.Servers)
	})
	server.Kill()
	before := lastSeq(t, dataDir)
	eventually(t, "ten more visits recorded while InfluxDB is down", func() bool { return lastSeq(t, dataDir) > before+10 })
	d.kill() // kill -9, with visits not yet delivered
	d = startDaemon(t, config, env...)
	after := lastSeq(t, dataDir)
	eventually(t, "the restarted daemon records", func() bool { return lastSeq(t, dataDir) > after+5 })
	server.Restart()
	eventually(t, "the sink catches up", func() bool { return sinkLag(t, dataDir) < 20 })
	d.stop()

	// What a stopping daemon did not deliver any more, the next one does.
	db, err := sqlite.Open(t.Context(), dataDir, sqlite.Options{Sinks: []string{influx.DefaultName}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	deliverRest(t, db, server.URL)
	visits, err := db.After(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(visits) == 0 {
		t.Fatal("no visits recorded")
	}
	points, events := map[string]int{}, 0
	for _, v := range visits {
		if v.Result != health.Missed { // a visit cut by the stop has points too, but also ranges of ticks do: they are left out here
			for _, tier := range v.Tiers().List() {
				points[tier.String()]++
			}
		}
		events += len(v.Events)
	}
	for tier, want := range points {
		if got := influxCount(server, fmt.Sprintf(`SELECT count(took_seconds) FROM hw_visit WHERE tier = '%s' AND result != 'missed'`, tier)); got != want {
			t.Errorf("InfluxDB has %d %s visits, the store %d", got, tier, want)
		}
	}
	if got := influxCount(server, `SELECT count(event_id) FROM hw_event`); got != events {
		t.Errorf("InfluxDB has %d events, the store %d", got, events)
	}
	for _, s := range demo.Servers {
		if n := s.OpenSessions(); n > 1 { // the one of the kill -9 may still stand
			t.Errorf("%s has %d sessions open after SIGTERM", s.Name, n)
		}
	}
	for _, s := range demo.Servers {
		if strings.Contains(d.stderr.String(), s.Password) {
			t.Errorf("the log holds the password of %s", s.Name)
		}
	}

	out := &bytes.Buffer{}
	p := &program{stdout: out, stderr: os.Stderr, getenv: os.Getenv}
	if code := p.main(t.Context(), []string{"status", "-c", config, "-o", "json"}); code != exitOK {
		t.Fatalf("status exits with %d", code)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(demo.Servers)+1 {
		t.Fatalf("status prints %d documents: %s", len(lines), out)
	}
	for _, l := range lines[:len(demo.Servers)] {
		var doc statusDoc
		if err := json.Unmarshal([]byte(l), &doc); err != nil || doc.State != "ok" || len(doc.Tiers) < 3 {
			t.Errorf("status %s (%v)", l, err)
		}
	}
}

// deliverRest delivers everything recorded, as the daemon's sink would.
func deliverRest(t *testing.T, db *sqlite.DB, url string) {
	t.Helper()
	sink, err := influx.New(influx.Options{URL: url, Bucket: "hw/autogen"}, db, func(health.TargetID) (health.Target, bool) {
		return health.Target{}, false // each visit says where its target stood
	})
	if err != nil {
		t.Fatal(err)
	}
	last, err := db.MaxSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sink.Run(ctx) }()
	eventually(t, "everything recorded is delivered", func() bool { return sink.State().Cursor >= last })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func lastSeq(t *testing.T, dataDir string) int64 {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), dataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seq, err := db.MaxSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// sinkLag is how many visits the sink is behind.
func sinkLag(t *testing.T, dataDir string) int64 {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), dataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cursor, err := db.SinkCursor(t.Context(), "influxdb")
	if err != nil {
		t.Fatal(err)
	}
	seq, err := db.MaxSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seq - cursor
}

// TestOneDaemonPerDataDir: a second one says who holds the folder and leaves the first alone, and a poll goes over the
// first one's sessions instead of opening its own.
func TestOneDaemonPerDataDir(t *testing.T) {
	t.Parallel()
	demo, config, dataDir, env := room(t, "")
	d := startDaemon(t, config, env...)
	eventually(t, "the first daemon's store", func() bool {
		_, err := os.Stat(filepath.Join(dataDir, "dewline.db"))
		return err == nil
	})
	second := exec.Command(os.Args[0], "run", "-c", config)
	second.Env = append(os.Environ(), append(env, runAsDewline+"=1")...)
	out, err := second.CombinedOutput()
	if err == nil || exitCode(err) != "1" || !strings.Contains(string(out), fmt.Sprint(d.cmd.Process.Pid)) {
		t.Errorf("a second daemon: %v\n%s", err, out)
	}
	eventually(t, "sessions on all servers", func() bool {
		for _, s := range demo.Servers {
			if s.OpenSessions() != 1 {
				return false
			}
		}
		return true
	})
	poll := exec.Command(os.Args[0], "poll", "-c", config, "-o", "json")
	poll.Env = append(os.Environ(), runAsDewline+"=1") // no passwords: the daemon has them
	poll.Stderr = os.Stderr
	out, err = poll.Output()
	if err != nil {
		t.Errorf("poll beside the daemon: %v\n%s", err, out)
	}
	docs := decodeDocs(t, string(out))
	if len(docs) != len(demo.Servers) {
		t.Errorf("%d documents for %d servers", len(docs), len(demo.Servers))
	}
	for _, doc := range docs {
		if doc.Error != nil || len(doc.Readings) == 0 || len(doc.Log)+len(doc.Logs) == 0 {
			t.Errorf("%s: %d readings, %d logs, error %v", doc.Target, len(doc.Readings), len(doc.Logs), doc.Error)
		}
	}
	for _, s := range demo.Servers {
		if n := s.OpenSessions(); n != 1 {
			t.Errorf("%s has %d sessions open beside the daemon's", s.Name, n-1)
		}
	}
	d.stop()
	for _, s := range demo.Servers {
		if n := s.OpenSessions(); n != 0 {
			t.Errorf("%s has %d sessions open after SIGTERM", s.Name, n)
		}
	}
}

// TestPollTheRoom: every simulated server polls well, in both formats, and what differs between two polls is not the IDs.
func TestPollTheRoom(t *testing.T) {
	t.Parallel()
	demo, config, _, env := room(t, "")
	poll := func(args ...string) (string, int) {
		out := &bytes.Buffer{}
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], append([]string{"poll", "-c", config}, args...)...)
		cmd.Env = append(os.Environ(), append(env, runAsDewline+"=1")...)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		err := cmd.Run()
		if err == nil {
			return out.String(), 0
		}
		return out.String(), cmd.ProcessState.ExitCode()
	}
	first, code := poll("-o", "json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, first)
	}
	second, _ := poll("-o", "json")
	firstDocs, secondDocs := decodeDocs(t, first), decodeDocs(t, second)
	if len(firstDocs) != len(demo.Servers) || len(secondDocs) != len(demo.Servers) {
		t.Fatalf("%d and %d documents for %d servers", len(firstDocs), len(secondDocs), len(demo.Servers))
	}
	for i, a := range firstDocs {
		b := secondDocs[i]
		if a.Error != nil || len(a.Components) == 0 || len(a.Readings) == 0 || a.Identity.Serial == "" || a.HostPower != "on" {
			t.Errorf("%s: %d components, %d readings, identity %+v, host %s, error %v", a.Target, len(a.Components), len(a.Readings), a.Identity, a.HostPower, a.Error)
		}
		classes := map[string]int{}
		for j, c := range a.Components {
			classes[string(c.Class)]++
			if j < len(b.Components) && c.ID != b.Components[j].ID {
				t.Errorf("%s: component %s is %s in the next poll", a.Target, c.ID, b.Components[j].ID)
			}
		}
		for _, class := range []string{"fan", "psu", "temperature"} {
			if classes[class] == 0 {
				t.Errorf("%s: no %s among %v", a.Target, class, classes)
			}
		}
		if len(a.Gaps) > 0 {
			t.Errorf("%s: gaps %v", a.Target, a.Gaps)
		}
		if a.Cost.Requests+a.Cost.Exchanges == 0 {
			t.Errorf("%s: reading it cost nothing", a.Target)
		}
	}
	table, code := poll(demo.Servers[0].Name)
	if code != 0 || !strings.Contains(table, "STATE") {
		t.Errorf("exit %d: %s", code, table)
	}
	if out, code := poll("no-such-server"); code != 2 || out != "" {
		t.Errorf("an unknown target: exit %d: %s", code, out)
	}
	for _, s := range demo.Servers {
		if n := s.OpenSessions(); n != 0 {
			t.Errorf("%s has %d sessions open after the polls", s.Name, n)
		}
	}
}

func decodeDocs(t *testing.T, s string) []pollDoc {
	t.Helper()
	var docs []pollDoc
	dec := json.NewDecoder(strings.NewReader(s))
	for dec.More() {
		var d pollDoc
		if err := dec.Decode(&d); err != nil {
			t.Fatalf("%v in %s", err, s)
		}
		docs = append(docs, d)
	}
	return docs
}

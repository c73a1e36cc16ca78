package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"dewline/store/influx/influxtest"
)

// debugAddress is where a daemon that was started with --debug-listen answers.
func (d *daemon) debugAddress() (base string) {
	d.t.Helper()
	eventually(d.t, "the address in the log", func() bool {
		m := regexp.MustCompile(`address=(http://127\.0\.0\.1:\d+)/debug/dewline`).FindStringSubmatch(d.stderr.String())
		if m != nil {
			base = m[1]
		}
		return m != nil
	})
	return base
}

func TestDebugListen(t *testing.T) {
	for _, address := range []string{":6060", "0.0.0.0:6060", "[::]:6060", "10.0.0.7:6060", "example.org:6060", "6060"} {
		l, err := listenDebug(t.Context(), address)
		if exit, ok := errors.AsType[*exitError](err); !ok || exit.code != exitUsage {
			t.Errorf("%s: %v, %v", address, l, err)
		}
	}
	t.Parallel()
	r := newRack(t, 2)
	cmd := exec.Command(os.Args[0], "run", "-c", r.config(), "--debug-listen", "127.0.0.1:0")
	d := &daemon{t: t, cmd: cmd, stderr: &lockedBuffer{}}
	cmd.Env, cmd.Stderr = append(os.Environ(), runAsDewline+"=1"), d.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	base := d.debugAddress()
	get := func(path, host string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body)
		return resp.StatusCode, b.String()
	}
	var doc debugDoc
	eventually(t, "visits in the numbers", func() bool {
		code, body := get("/debug/dewline", "")
		return code == 200 && json.Unmarshal([]byte(body), &doc) == nil && doc.Lateness.Count > 3 && doc.Access["ok"] == 2
	})
	if doc.Targets != 2 || doc.Visits == 0 || doc.Commit.P50Seconds <= 0 || doc.Commit.P99Seconds < doc.Commit.P50Seconds || doc.Slots["healthy"][1] != 58 ||
		doc.WAL == 0 || doc.Store <= doc.WAL || doc.Stalled != "" {
		t.Errorf("numbers %+v", doc)
	}
	if code, body := get("/debug/metrics", ""); code != 200 || !strings.Contains(body, "/sched/goroutines:goroutines ") || !strings.Contains(body, "p99<=") {
		t.Errorf("metrics: %d %s", code, body)
	}
	if code, body := get("/debug/pprof/goroutine?debug=1", ""); code != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("profile: %d %.200s", code, body)
	}
	if code, _ := get("/debug/dewline", "evil.example:6060"); code != http.StatusForbidden {
		t.Errorf("another Host: %d", code)
	}
	d.stop()
}

// TestDebugListenTellsHowFarTheSinkIs: how old what InfluxDB has not taken is, and why; nothing once it has all.
func TestDebugListenTellsHowFarTheSinkIs(t *testing.T) {
	t.Parallel()
	server := influxtest.Start(t)
	server.Query("", "CREATE DATABASE hw")
	server.Kill()
	_, config, _, env := room(t, fmt.Sprintf("[influxdb]\nurl = %q\nbucket = \"hw/autogen\"\n", server.URL))
	cmd := exec.Command(os.Args[0], "run", "-c", config, "--debug-listen", "127.0.0.1:0")
	d := &daemon{t: t, cmd: cmd, stderr: &lockedBuffer{}}
	cmd.Env, cmd.Stderr = append(os.Environ(), append(env, runAsDewline+"=1")...), d.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	base := d.debugAddress()
	numbers := func() (doc debugDoc) {
		resp, err := http.Get(base + "/debug/dewline")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	first := 0.0
	eventually(t, "it lags, and says why", func() bool {
		doc := numbers()
		first = doc.SinkLag["influxdb"]
		return first > 0 && strings.Contains(doc.SinkError, "refused")
	})
	eventually(t, "it lags more", func() bool { return numbers().SinkLag["influxdb"] > first+1 })
	server.Restart()
	eventually(t, "it has caught up", func() bool {
		doc := numbers()
		return doc.SinkError == "" && doc.SinkLag["influxdb"] < first+1 && influxCount(server, "SELECT count(took_seconds) FROM hw_visit") > 20
	})
	d.stop()
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dewline/health"
	"dewline/store/influx"
	"dewline/store/influx/influxtest"
	"dewline/store/sqlite"
)

// command runs the program as a process of its own.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return commandIn(t, nil, args...)
}

// commandIn is command with more in its environment.
func commandIn(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), env...), runAsDewline+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func quarantineOf(t *testing.T, config string) (docs []quarantineDoc) {
	t.Helper()
	out, errs, code := command(t, "quarantine", "-c", config, "-o", "json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	for line := range strings.Lines(out) {
		var d quarantineDoc
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		docs = append(docs, d)
	}
	return docs
}

// TestQuarantineEndToEnd: a real InfluxDB holds a field of another type. What it refuses can be read, and is there once the cause is
// gone and a person has released it: through the running daemon, and without one.
func TestQuarantineEndToEnd(t *testing.T) {
	t.Parallel()
	server := influxtest.Start(t)
	server.Query("", "CREATE DATABASE hw")
	server.Write("hw", `hw_fan,target=old speed_rpm="fast"`) // now: types are per shard
	_, config, dataDir, env := room(t, fmt.Sprintf("[influxdb]\nurl = %q\nbucket = \"hw/autogen\"\n", server.URL))
	d := startDaemon(t, config, env...)
	eventually(t, "fans are refused", func() bool { return storeExists(t, dataDir) && len(quarantineOf(t, config)) >= 6 })
	eventually(t, "and hold up nothing", func() bool { return influxCount(server, "SELECT count(state) FROM hw_temperature") > 20 })

	docs := quarantineOf(t, config)
	first := docs[0]
	if first.Measurement != "hw_fan" || first.Target == "" || first.Component == "" || !strings.Contains(first.Error, "field type conflict") || first.Released ||
		!strings.HasPrefix(first.Line, "hw_fan,") || first.ID == 0 || first.Visit == 0 || first.RefusedAt == "" || first.Sink != "influxdb" || first.Version != 1 {
		t.Errorf("%+v", first)
	}
	out, _, code := command(t, "quarantine", "list", "-c", config, "--limit", "2")
	if code != exitOK || !strings.Contains(out, "hw_fan") || !strings.Contains(out, "more: --limit 0") || strings.Count(out, "\n") != 4 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	out, _, code = command(t, "quarantine", "show", fmt.Sprint(first.ID), "-c", config)
	if code != exitOK || !strings.Contains(out, first.Line) || !strings.Contains(out, "field type conflict") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, _, _ = command(t, "status", "-c", config); !strings.Contains(out, "kept in quarantine (`dewline quarantine`)") {
		t.Errorf("status:\n%s", out)
	}
	if _, errs, code := command(t, "quarantine", "release", "999999", "-c", config); code != exitUsage || !strings.Contains(errs, "999999") {
		t.Errorf("a point that is not there: exit %d: %s", code, errs)
	}
	// Released too early it is refused again.
	if out, errs, code := command(t, "quarantine", "release", fmt.Sprint(first.ID), "-c", config); code != exitOK || out != "1 point released: sent again now\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	eventually(t, "it is refused again", func() bool { return strings.Contains(d.stderr.String(), "refused_again=1") })
	if again := quarantineOf(t, config); again[0].ID != first.ID || again[0].Released {
		t.Errorf("first in quarantine: %+v", again[0])
	}
	if out, _, code := command(t, "quarantine", "drop", fmt.Sprint(first.ID), "-c", config, "-o", "json"); code != exitOK || out != `{"version":1,"released":0,"dropped":1,"daemon":true}`+"\n" {
		t.Errorf("exit %d: %s", code, out)
	}

	server.Query("hw", "DROP MEASUREMENT hw_fan")
	if _, errs, code := command(t, "quarantine", "release", "--all", "-c", config); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	eventually(t, "all released points are stored", func() bool { return len(quarantineOf(t, config)) == 0 })
	d.stop()

	// Without a daemon: what is released goes out at its next start.
	db, err := sqlite.Open(t.Context(), dataDir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	visits, err := db.After(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	fans := 0
	for _, v := range visits {
		if v.Snapshot != nil {
			for _, r := range v.Snapshot.Readings {
				if strings.HasPrefix(string(r.Component), "fan/") && r.Quantity == health.Speed {
					fans++
				}
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := influxCount(server, "SELECT count(speed_rpm) FROM hw_fan"); got != fans-1 { // one was dropped
		t.Errorf("InfluxDB has %d speeds of fans, the store %d", got, fans)
	}
	quarantineOne(t, dataDir, `hw_fan,component=fan/9,target=later state=0i 1795417200000000000`)
	if out, _, code := command(t, "quarantine", "release", "--all", "-c", config); code != exitOK || out != "1 point released: sent again when dewline runs next\n" {
		t.Errorf("exit %d: %s", code, out)
	}
	if docs := quarantineOf(t, config); len(docs) != 1 || !docs[0].Released {
		t.Errorf("%+v", docs)
	}
	d = startDaemon(t, config, env...)
	eventually(t, "the next daemon sends it", func() bool { return influxCount(server, "SELECT count(state) FROM hw_fan WHERE target = 'later'") == 1 })
	d.stop()
	quarantineOne(t, dataDir, `hw_fan,target=never state=0i 1`)
	if out, _, code := command(t, "quarantine", "drop", "--all", "--data-dir", dataDir); code != exitOK || out != "1 point dropped\n" {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, _, code := command(t, "quarantine", "--data-dir", dataDir); code != exitOK || out != "nothing is in quarantine\n" {
		t.Errorf("exit %d: %s", code, out)
	}
}

func quarantineOne(t *testing.T, dataDir, line string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), dataDir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Quarantine(t.Context(), influx.DefaultName, []health.Rejected{{Line: line, Error: "refused in a test", Seq: 1}}); err != nil {
		t.Fatal(err)
	}
}

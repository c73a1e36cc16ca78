package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// startSim runs `dewline sim` in this process until the test ends, and waits until it is ready.
func startSim(t *testing.T, args ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	out := &lockedBuffer{}
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		p := &program{stdout: out, stderr: &errs, getenv: os.Getenv}
		done <- p.main(ctx, append([]string{"sim", "--config-out", filepath.Join(dir, "sim.toml"), "--control", filepath.Join(dir, "s")}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != exitOK || errs.Len() > 0 {
			t.Errorf("sim: exit %d\n%s%s", code, out, &errs)
		}
	})
	for range 1000 {
		if code, _, _ := dewline(t, "sim", "faults", "--control", filepath.Join(dir, "s")); code == exitOK {
			return dir
		}
		select {
		case code := <-done:
			done <- code
			t.Fatalf("sim ended: %d\n%s%s", code, out, &errs)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("sim is not ready\n%s", out)
	return ""
}

func TestSimIsReadLikeRealMachines(t *testing.T) {
	dir := startSim(t, "--server", "gpu=modern", "--server", "nas=whitebox/ipmi", "--fault", "fan-failed=2@gpu")
	config, control := filepath.Join(dir, "sim.toml"), filepath.Join(dir, "s")
	faults := func(target string) string {
		t.Helper()
		code, out, errs := dewline(t, "poll", "-c", config, "-o", "json", target)
		docs := decodeDocs(t, out)
		if code != exitOK || len(docs) != 1 {
			t.Fatalf("poll: exit %d\n%s%s", code, out, errs)
		}
		var all []string
		for _, f := range docs[0].Faults {
			all = append(all, string(f.Component)+" "+string(f.Kind))
		}
		return strings.Join(all, ", ")
	}
	if f := faults("gpu"); !strings.Contains(f, "fan/") || strings.Contains(f, "leak") {
		t.Errorf("with a failed fan: %s", f)
	}
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := dewline(t, append([]string{"sim"}, args...)...)
		if code != want {
			t.Errorf("sim %v: exit %d, want %d\n%s%s", args, code, want, out, errs)
		}
		return out + errs
	}
	run(exitOK, "fault", "--control", control, "wet@*")
	if f := faults("gpu"); !strings.Contains(f, "leak_detector/") {
		t.Errorf("with a wet detector: %s", f)
	}
	if f := faults("nas"); !strings.Contains(f, "leak_detector/") {
		t.Errorf("with a wet detector: %s", f)
	}
	if out := run(exitOK, "faults", "--control", control); !strings.Contains(out, "fan-failed=2@gpu, wet=0@*") {
		t.Error(out)
	}
	run(exitOK, "clear", "--control", control, "wet@*")
	if f := faults("nas"); strings.Contains(f, "leak_detector/") {
		t.Errorf("dried: %s", f)
	}
	run(exitOK, "clear", "--control", control, "all")
	if f := faults("gpu"); f != "" {
		t.Errorf("all cleared: %s", f)
	}
	run(exitUsage, "fault", "--control", control, "drowned@gpu")
	run(exitFailed, "fault", "--control", control, "wet=9@gpu")
	run(exitFailed, "clear", "--control", control, "host-off@gpu")
	run(exitUsage, "fault", "--control", control)

	status, err := os.ReadFile(config)
	if err != nil || strings.Count(string(status), `origin = "sim"`) != 2 || strings.Contains(string(status), simPassword) {
		t.Errorf("configuration %s, %v", status, err)
	}
	if st, err := os.Stat(config + ".pass"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v", st, err)
	}
}

// TestSimServesRecordings: what is served from a recording reads like its replay.
func TestSimServesRecordings(t *testing.T) {
	first := startSim(t, "--server", "red=mixed", "--server", "lan=board/ipmi", "--fault", "psu-failed@*")
	dir := t.TempDir()
	for _, name := range []string{"red", "lan"} {
		// BMCs date by the second: what was logged about when a BMC is met is news or history by chance. So the failure must be older.
		recent := func(e pollEntry) bool {
			at, err := time.Parse(time.RFC3339, e.Created)
			return err == nil && time.Since(at) < 3*time.Second
		}
		for slices.ContainsFunc(onePoll(t, "-c", filepath.Join(first, "sim.toml"), name).Log, recent) {
			select {
			case <-t.Context().Done():
				t.Fatal("the log stays recent")
			case <-time.After(100 * time.Millisecond):
			}
		}
		code, out, errs := dewline(t, "record", "-c", filepath.Join(first, "sim.toml"), name, "--rate", "1000", "--no-redact", "--out", filepath.Join(dir, name+".tar.gz"))
		if code != exitOK {
			t.Fatalf("record %s: exit %d\n%s%s", name, code, out, errs)
		}
	}
	again := startSim(t, "--replay", filepath.Join(dir, "red.tar.gz"), "--replay", filepath.Join(dir, "lan.tar.gz"))
	for _, name := range []string{"red", "lan"} {
		served := onePoll(t, "-c", filepath.Join(again, "sim.toml"), name)
		replayed := onePoll(t, "--replay", filepath.Join(dir, name+".tar.gz"))
		if len(served.Faults) == 0 {
			t.Errorf("%s: the failed power supply is not told", name)
		}
		sameReading(t, served, replayed)
	}
}

func TestAScenarioIsPlayed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leak.toml")
	if err := os.WriteFile(file, []byte("[[step]]\nfault = \"wet\"\ntarget = \"gpu\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := startSim(t, "--server", "gpu=modern", "--scenario", file)
	if _, out, _ := dewline(t, "poll", "-c", filepath.Join(dir, "sim.toml"), "-o", "json"); !strings.Contains(out, `"leak_detector/`) || strings.Contains(out, `"faults":[]`) {
		t.Errorf("%s", out)
	}
}

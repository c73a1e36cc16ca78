package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// openIPMISim starts OpenIPMI's ipmi_sim on a machine of its own.
func openIPMISim(t *testing.T) bmcAt {
	t.Helper()
	from := os.Getenv("DEWLINE_IPMI_SIM_DIR")
	if _, err := exec.LookPath("ipmi_sim"); from == "" || err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no ipmi_sim: tools/real-parts.sh")
		}
		t.Skip("no ipmi_sim: tools/real-parts.sh")
	}
	dir := t.TempDir()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port, console := udp.LocalAddr().(*net.UDPAddr).Port, tcp.Addr().(*net.TCPAddr).Port
	_, _ = udp.Close(), tcp.Close()
	gen, err := filepath.Abs(filepath.Join(from, "gen.py"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("python3", gen, "bmc", fmt.Sprint(port), fmt.Sprint(console), dir, "127.0.0.1", "0").CombinedOutput(); err != nil {
		t.Fatalf("make machine: %v\n%s", err, out)
	}
	conf := filepath.Join(dir, "bmc.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(string(text), "startnow false", "startcmd \"sleep 3600\"\n  startnow true")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ipmi_sim", "-n", "-c", "bmc.conf", "-f", "bmc.emu", "-s", filepath.Join(dir, "state"))
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	none := func() int { return 0 } // it does not tell
	b := bmcAt{flags: []string{"--address", fmt.Sprintf("ipmi://127.0.0.1:%d", port), "--username", "monitor", "--password", "env:BMC"}, sessions: none, writes: none}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if code, _, _ := dewline(t, append([]string{"poll", "-o", "json"}, b.flags...)...); code == exitOK {
			return b
		}
	}
	t.Fatal("ipmi_sim does not answer")
	return b
}

// TestAReplayOfAnotherProjectsBMC: the wire, the records and the FRU data are OpenIPMI's.
func TestAReplayOfAnotherProjectsBMC(t *testing.T) {
	t.Setenv("BMC", "monpass1")
	b := openIPMISim(t)
	plain, redacted := filepath.Join(t.TempDir(), "plain.tar.gz"), filepath.Join(t.TempDir(), "redacted.tar.gz")
	live := onePoll(t, b.flags...)
	if len(live.Components) < 20 {
		t.Fatalf("%d components", len(live.Components))
	}
	recordTo(t, plain, b, "--no-redact")
	sameReading(t, live, onePoll(t, "--replay", plain))
	recordTo(t, redacted, b)
	sameShape(t, live, onePoll(t, "--replay", redacted))
}

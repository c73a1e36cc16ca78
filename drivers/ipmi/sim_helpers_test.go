package ipmi

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/secret"
)

// simMachine is a real ipmi_sim (OpenIPMI) with a machine that gen.py made.
type simMachine struct {
	dir, name     string
	port, console int
	cmd           *exec.Cmd
}

// simDir is the folder of gen.py. Without the parts the test is skipped, on CI it fails.
func simDir(t testing.TB) string {
	t.Helper()
	miss := func(format string, a ...any) {
		t.Helper()
		if os.Getenv("CI") == "true" {
			t.Fatalf(format, a...)
		}
		t.Skipf(format, a...)
	}
	for _, tool := range []string{"ipmi_sim", "sdrcomp", "ipmitool", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			miss("%s is needed for this test (Debian: openipmi, ipmitool, python3): %v", tool, err)
		}
	}
	dir := os.Getenv("DEWLINE_IPMI_SIM_DIR")
	if dir == "" {
		dir = "../../../shared/bmc-stand-ins/ipmi_sim"
	}
	if _, err := os.Stat(filepath.Join(dir, "gen.py")); err != nil {
		miss("DEWLINE_IPMI_SIM_DIR must name the folder of gen.py: %v", err)
	}
	return dir
}

func freePort(t testing.TB) int {
	t.Helper()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	return u.LocalAddr().(*net.UDPAddr).Port
}

func freeTCPPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// made are the machines that gen.py made in this process: it takes longer than most tests.
var made struct {
	sync.Mutex
	dirs map[string]string
}

// Ports of a made machine, replaced in every copy.
const madePort, madeConsole = 60623, 60624

func makeMachine(t testing.TB, extra int, env []string) string {
	t.Helper()
	gen, err := filepath.Abs(filepath.Join(simDir(t), "gen.py"))
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprint(extra, env)
	made.Lock()
	defer made.Unlock()
	if dir, ok := made.dirs[key]; ok {
		return dir
	}
	dir, err := os.MkdirTemp(madeDir, "machine")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("python3", gen, "bmc", fmt.Sprint(madePort), fmt.Sprint(madeConsole), dir, "127.0.0.1", fmt.Sprint(extra))
	c.Env = append(os.Environ(), env...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("make machine: %v\n%s", err, out)
	}
	if made.dirs == nil {
		made.dirs = map[string]string{}
	}
	made.dirs[key] = dir
	return dir
}

// madeDir holds made machines, for as long as the process runs.
var madeDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "dewline-ipmi")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		madeDir = dir
		return m.Run()
	}())
}

// newSim makes a machine with extra temperature sensors and starts it.
func newSim(t testing.TB, extra int, env ...string) *simMachine {
	t.Helper()
	from := makeMachine(t, extra, env)
	m := &simMachine{dir: t.TempDir(), name: "bmc", port: freePort(t), console: freeTCPPort(t)}
	if err := os.CopyFS(m.dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// The host is on: a process stands for it.
	conf := filepath.Join(m.dir, m.name+".conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	on := strings.NewReplacer(
		"startnow false", "startcmd \"sleep 3600\"\n  startnow true",
		fmt.Sprint(madePort), fmt.Sprint(m.port), fmt.Sprint(madeConsole), fmt.Sprint(m.console), from, m.dir,
	).Replace(string(text))
	if err := os.WriteFile(conf, []byte(on), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	m.start(t)
	return m
}

func (m *simMachine) start(t testing.TB) {
	t.Helper()
	m.cmd = exec.Command("ipmi_sim", "-n", "-c", m.name+".conf", "-f", m.name+".emu", "-s", filepath.Join(m.dir, "state"))
	m.cmd.Dir = m.dir
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its "host" ends with it
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It is up when it answers capabilities, which it does once the LAN is started.
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if m.answers() {
			return
		}
		time.Sleep(20 * time.Millisecond) // poll of a condition
	}
	t.Fatal("ipmi_sim does not answer")
}

func (m *simMachine) answers() bool {
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", m.port))
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := c.Write(encodeSessionless(encodeRequest(message{netFn: netFnApp, cmd: 0x38, data: []byte{0x8e, 2}}))); err != nil {
		return false
	}
	_, err = c.Read(make([]byte, maxDatagram))
	return err == nil
}

func (m *simMachine) stop() {
	if m.cmd != nil && m.cmd.Process != nil {
		_ = syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL)
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// console sends commands to the emulator and waits for each to be done.
func (m *simMachine) tell(t testing.TB, commands ...string) {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", m.console))
	if err != nil {
		t.Fatalf("console: %v", err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	prompt := func() string {
		var b strings.Builder
		for {
			x, err := r.ReadByte()
			if err != nil {
				t.Fatalf("console: %v after %q", err, b.String())
			}
			b.WriteByte(x)
			if strings.HasSuffix(b.String(), "> ") {
				return b.String()
			}
		}
	}
	prompt()
	for _, cmd := range commands {
		fmt.Fprintf(c, "%s\n", cmd)
		if out := prompt(); strings.Contains(out, "rror") || strings.Contains(out, "nvalid") {
			t.Fatalf("console %q: %s", cmd, out)
		}
	}
}

// ipmitool is the second opinion.
func (m *simMachine) ipmitool(t testing.TB, args ...string) string {
	t.Helper()
	c := exec.Command("ipmitool", append([]string{
		"-I", "lanplus", "-H", "127.0.0.1", "-p", fmt.Sprint(m.port), "-U", "admin", "-P", "secret12", "-C", "3",
	}, args...)...)
	c.Env = append(os.Environ(), "TZ=UTC")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("ipmitool %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// open is a client that asks for the one suite this simulator has: each refusal of 17 would cost a quarter of the time-out.
func (m *simMachine) open(t testing.TB, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{Address: fmt.Sprintf("ipmi://127.0.0.1:%d", m.port), Username: "monitor", Password: secret.New("monpass1"), Timeout: 2 * time.Second, CipherSuites: []int{3}}
	for _, f := range change {
		f(&o)
	}
	c, err := Open("t", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func componentOf(t testing.TB, s *health.Snapshot, id health.ComponentID) health.Component {
	t.Helper()
	for _, c := range s.Components {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no component %s", id)
	return health.Component{}
}

func readingOf(s *health.Snapshot, id health.ComponentID, q health.Quantity) (health.Reading, bool) {
	for _, r := range s.Readings {
		if r.Component == id && r.Quantity == q {
			return r, true
		}
	}
	return health.Reading{}, false
}

func mustRead(t testing.TB, c *Client, req health.Request) *health.Snapshot {
	t.Helper()
	s, err := c.Read(t.Context(), req)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return s
}

func conditionOf(c health.Component, k health.Kind) (health.Severity, bool) {
	for _, x := range c.Conditions {
		if x.Kind == k {
			return x.Severity, true
		}
	}
	return 0, false
}

package bmcsim

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tool finds a real client; without it the test is skipped, or fails where everything must be there.
func tool(t *testing.T, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed, and CI=true asks for it", name)
		}
		t.Skipf("%s is not installed", name)
	}
	return p
}

type ipmitool struct {
	t     *testing.T
	path  string
	s     *IPMIServer
	suite int
}

func (i ipmitool) run(args ...string) string {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), time.Minute)
	defer cancel()
	_, port, _ := strings.Cut(i.s.Addr(), ":")
	base := []string{"-I", "lanplus", "-H", "127.0.0.1", "-p", port, "-U", DefaultUsername, "-P", DefaultPassword, "-C", strconv.Itoa(i.suite)}
	cmd := exec.CommandContext(ctx, i.path, append(base, args...)...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		i.t.Fatalf("ipmitool -C %d %s: %v\n%s", i.suite, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// table splits lines of cells between bars.
func table(out string) [][]string {
	var rows [][]string
	for line := range strings.Lines(out) {
		var row []string
		for cell := range strings.SplitSeq(line, "|") {
			row = append(row, strings.TrimSpace(cell))
		}
		if len(row) > 1 {
			rows = append(rows, row)
		}
	}
	return rows
}

// troubled is a machine with something wrong of every kind.
func troubled(p Profile) *Machine {
	m := testMachine(p)
	m.SetRoom(24, 92)
	m.FailFan(1)
	m.RemoveFan(2)
	m.WetLeak(0)
	m.LosePSUInput(0)
	m.FailDrive(1)
	m.PredictDrive(0)
	m.CorrectError(3)
	m.OpenLid()
	return m
}

func serveIPMI(t *testing.T, m *Machine, o IPMIOptions) *IPMIServer {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return testTime }
	}
	s, err := ServeIPMI(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var leadingNumber = regexp.MustCompile(`^-?[0-9.]+`)

func TestIpmitoolReadsWhatTheMachineMeasures(t *testing.T) {
	path := tool(t, "ipmitool")
	for _, p := range []Profile{ProfileWhitebox, ProfileBoard, ProfileBlade} {
		for _, suite := range []int{3, 17} {
			t.Run(fmt.Sprintf("%s with cipher suite %d", p.Name, suite), func(t *testing.T) {
				t.Parallel()
				m := troubled(p)
				s := serveIPMI(t, m, IPMIOptions{Suites: []int{suite}})
				i := ipmitool{t, path, s, suite}
				checkSensors(t, i)
				checkSEL(t, i)
				checkRest(t, i, m)
				if st := s.Stats(); st.Bad != 0 || st.Writes != 0 || st.OpenSessions != 0 || st.Logins != st.Logouts {
					t.Errorf("stats %+v", st)
				}
			})
		}
	}
}

func checkSensors(t *testing.T, i ipmitool) {
	t.Helper()
	rows := map[string][]string{}
	for _, r := range table(i.run("sdr", "elist", "full")) {
		rows[r[0]] = r
	}
	states := map[string][]string{}
	for _, r := range table(i.run("sdr", "elist", "compact")) {
		states[r[0]] = r
	}
	analog := 0
	for _, v := range i.s.SensorValues() {
		if v.Discrete {
			name := strings.TrimSpace(v.Name)
			if x := i.s.byNum[v.Number]; x.share > 1 {
				if v.Number != x.num {
					continue // ipmitool shows the first of the sensors that share a record
				}
				name = strings.TrimSpace(x.name)
			}
			r := states[name]
			if r == nil || r[1] != fmt.Sprintf("%02Xh", v.Number) {
				t.Errorf("compact %q (%02Xh): ipmitool has %v", name, v.Number, r)
			}
			continue
		}
		analog++
		r := rows[v.Name]
		if r == nil || r[1] != fmt.Sprintf("%02Xh", v.Number) {
			t.Errorf("%q: ipmitool has %v", v.Name, r)
			continue
		}
		if !v.Readable {
			if r[4] != "No Reading" {
				t.Errorf("%q without a reading: ipmitool has %v", v.Name, r)
			}
			continue
		}
		got, err := strconv.ParseFloat(leadingNumber.FindString(r[4]), 64)
		if err != nil || math.Abs(got-v.Value) > 0.0051 {
			t.Errorf("%q: ipmitool has %v, the machine %v", v.Name, r[4], v.Value)
		}
	}
	if analog != len(rows) {
		t.Errorf("%d sensors with values, ipmitool lists %d", analog, len(rows))
	}
	for name, want := range map[string]string{
		"PS1 Status": "Power Supply AC lost", "PS Redundancy": "Redundancy Lost", "Chassis Intru": "General Chassis intrusion", "ACPI State": "S0/G0: working",
	} {
		if r := states[name]; r == nil || !strings.Contains(r[4], want) {
			t.Errorf("%s: ipmitool has %v, want %s", name, r, want)
		}
	}
	wet := map[string]string{"Water Leak": "State Asserted", "Rope Leak": "", "Leak Zone 1": "Transition to Critical from less severe"}
	for name, r := range states {
		if want, ok := wet[name]; ok && r[4] != want {
			t.Errorf("wet %s: ipmitool has %q, want %q", name, r[4], want)
		}
	}
	// The state column comes from the threshold bits.
	if r := rows["Room Humidity"]; r != nil && r[2] != "ucr" {
		t.Errorf("humidity above its upper critical threshold: %v", r)
	}
}

func checkSEL(t *testing.T, i ipmitool) {
	t.Helper()
	rows := table(i.run("sel", "elist"))
	if want := len(i.s.selRecords()); len(rows) != want {
		t.Errorf("%d SEL entries, ipmitool lists %d", want, len(rows))
	}
	var all []string
	for _, r := range rows {
		all = append(all, strings.Join(r, " | "))
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"11/23/26 | 07:00:00 UTC", "Log area reset/cleared | Asserted", "Lower Critical going low | Asserted | Reading 0 < Threshold",
		"Power Supply AC lost | Asserted", "Drive Fault | Asserted", "Predictive Failure | Asserted", "Correctable ECC | Asserted", "General Chassis intrusion | Asserted",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("SEL lacks %q:\n%s", want, text)
		}
	}
	if !slices.ContainsFunc(all, func(l string) bool { return strings.Contains(l, "Leak") && strings.HasSuffix(l, "Asserted") }) {
		t.Errorf("SEL has no leak:\n%s", text)
	}
}

func checkRest(t *testing.T, i ipmitool, m *Machine) {
	t.Helper()
	st := m.At(testTime)
	fru := i.run("fru")
	want := []string{m.Profile().Manufacturer, m.Profile().Model, m.Serial(), m.id.boardSerial, m.id.assetTag, m.id.partNumber, "Sun Jan  5 06:00:00 2025"}
	for _, p := range st.PSUs {
		want = append(want, p.Serial)
	}
	for _, w := range want {
		if !strings.Contains(fru, w) {
			t.Errorf("FRU lacks %q:\n%s", w, fru)
		}
	}
	if strings.Contains(fru, "checksum") || strings.Contains(fru, "Unknown") {
		t.Errorf("FRU is damaged:\n%s", fru)
	}
	major, minor := bmcVersion(m.Profile().BMCFirmware)
	if info := i.run("mc", "info"); !strings.Contains(info, fmt.Sprintf("Firmware Revision         : %d.%02x", major, minor)) || !strings.Contains(info, "IPMI Version              : 2.0") {
		t.Errorf("mc info:\n%s", info)
	}
	if c := i.run("chassis", "status"); !regexp.MustCompile(`System Power +: on`).MatchString(c) || !regexp.MustCompile(`Drive Fault +: true`).MatchString(c) || !regexp.MustCompile(`Cooling/Fan Fault +: true`).MatchString(c) {
		t.Errorf("chassis status:\n%s", c)
	}
	if d := i.run("dcmi", "power", "reading"); !strings.Contains(d, fmt.Sprintf("%.0f Watts", st.PowerWatts)) || !strings.Contains(d, "activated") {
		t.Errorf("DCMI power of %v W:\n%s", st.PowerWatts, d)
	}
	m.SetPowerLimit(450)
	if d := i.run("dcmi", "power", "get_limit"); !regexp.MustCompile(`Power Limit: +450 Watts`).MatchString(d) || !regexp.MustCompile(`(?i)power limit active`).MatchString(d) {
		t.Errorf("DCMI power limit of 450 W:\n%s", d)
	}
	// ipmitool guesses the byte order of a GUID; both of its guesses are the sixteen bytes that were sent.
	back := slices.Clone(m.id.guid[:])
	slices.Reverse(back)
	turned := fmt.Sprintf("%x-%x-%x-%x-%x", back[0:4], back[4:6], back[6:8], back[8:10], back[10:])
	if g := i.run("mc", "guid"); !strings.Contains(g, m.UUID()) && !strings.Contains(g, turned) {
		t.Errorf("GUID %s:\n%s", m.UUID(), g)
	}
}

func TestIpmitoolWithTheWrongPasswordIsRefused(t *testing.T) {
	path := tool(t, "ipmitool")
	s := serveIPMI(t, testMachine(ProfileBoard), IPMIOptions{Password: "another"})
	_, port, _ := strings.Cut(s.Addr(), ":")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-I", "lanplus", "-H", "127.0.0.1", "-p", port, "-U", DefaultUsername, "-P", DefaultPassword, "-C", "17", "mc", "info").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Unable to establish") {
		t.Errorf("%v: %s", err, out)
	}
	if st := s.Stats(); st.Logins != 0 || st.Attempts != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestFreeIPMIReadsSharedRecords(t *testing.T) {
	path := tool(t, "ipmi-sensors")
	m := troubled(ProfileBlade)
	s := serveIPMI(t, m, IPMIOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-D", "LAN_2_0", "-h", s.Addr(), "-u", DefaultUsername, "-p", DefaultPassword, "-I", "17", "-l", "USER",
		"--shared-sensors", "--quiet-cache", "--sdr-cache-directory="+t.TempDir()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rows := table(string(out))
	if want := len(s.SensorValues()) + 1; len(rows) != want { // a heading
		t.Errorf("%d rows, want %d:\n%s", len(rows), want, out)
	}
	var drives []string
	for _, r := range rows {
		if strings.HasPrefix(r[1], "DRIVE") {
			drives = append(drives, r[len(r)-1])
		}
	}
	want := []string{"'Drive Presence' 'Predictive Failure'", "'Drive Presence' 'Drive Fault'", "'Drive Presence'", "'Drive Presence'"}
	if !slices.Equal(drives, want) {
		t.Errorf("drives %v, want %v", drives, want)
	}
}

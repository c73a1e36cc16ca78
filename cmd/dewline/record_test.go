package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/capture"
)

// steady is a time at which simulated machines stand still, so that two readings of one are equal.
func steady() func() time.Time {
	at := time.Now().Truncate(time.Second)
	return func() time.Time { return at }
}

// bmc is one BMC to be recorded, and the flags that reach it.
type bmcAt struct {
	flags    []string
	sessions func() int
	writes   func() int
}

func simRedfish(t *testing.T, m *bmcsim.Machine, o bmcsim.RedfishOptions) (bmcAt, *bmcsim.RedfishServer) {
	t.Helper()
	o.Now = steady()
	s, err := bmcsim.ServeRedfish(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return atRedfish(s), s
}

func atRedfish(s *bmcsim.RedfishServer) bmcAt {
	return bmcAt{
		flags:    []string{"--address", s.URL(), "--username", s.Username(), "--password", "env:BMC", "--fingerprint", s.CertFingerprint()},
		sessions: func() int { return s.Stats().OpenSessions }, writes: func() int { return s.Stats().Writes },
	}
}

func simIPMI(t *testing.T, m *bmcsim.Machine, o bmcsim.IPMIOptions) (bmcAt, *bmcsim.IPMIServer) {
	t.Helper()
	o.Now = steady()
	s, err := bmcsim.ServeIPMI(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return bmcAt{
		flags:    []string{"--address", s.URL(), "--username", s.Username(), "--password", "env:BMC"},
		sessions: func() int { return s.Stats().OpenSessions }, writes: func() int { return s.Stats().Writes },
	}, s
}

func onePoll(t *testing.T, args ...string) *pollDoc {
	t.Helper()
	code, out, errs := dewline(t, append([]string{"poll", "-o", "json"}, args...)...)
	docs := decodeDocs(t, out)
	if code != exitOK || len(docs) != 1 {
		t.Fatalf("poll %v: exit %d\n%s%s", args, code, out, errs)
	}
	return &docs[0]
}

func recordTo(t *testing.T, file string, b bmcAt, args ...string) (stdout string) {
	t.Helper()
	code, out, errs := dewline(t, append(append([]string{"record", "--out", file, "--rate", "1000"}, b.flags...), args...)...)
	if code != exitOK {
		t.Fatalf("record: exit %d\n%s%s", code, out, errs)
	}
	if _, err := os.Stat(capture.PartialName(file)); err == nil {
		t.Error("the unredacted journal was left behind")
	}
	if n := b.sessions(); n != 0 {
		t.Errorf("%d sessions left open", n)
	}
	if n := b.writes(); n != 0 {
		t.Errorf("%d writes to the BMC", n)
	}
	return out
}

// sameReading compares what was read, not when and by what means.
func sameReading(t *testing.T, live, replayed *pollDoc) {
	t.Helper()
	clean := func(d *pollDoc) *pollDoc {
		c := *d
		c.Target, c.Origin, c.At, c.TookSeconds, c.Cost = "", "", "", 0, health.Cost{}
		c.Components, c.Readings = nil, nil
		for _, x := range d.Components {
			if x.ID == "bmc/BMC clock" {
				x.Status = ""
			}
			c.Components = append(c.Components, x)
		}
		for _, x := range d.Readings {
			if x.Quantity != health.ClockSkew {
				c.Readings = append(c.Readings, x)
			}
		}
		return &c
	}
	if diff := cmp.Diff(clean(live), clean(replayed), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the replay differs (-live +replayed):\n%s", diff)
	}
}

// sameShape compares all but the identities, which are replaced.
func sameShape(t *testing.T, live, replayed *pollDoc) {
	t.Helper()
	shape := func(d *pollDoc) (lines []string) {
		for _, c := range d.Components {
			if c.ID == "bmc/BMC clock" {
				c.Status = ""
			}
			lines = append(lines, fmt.Sprint(c.Class, len(c.ID), c.Presence, c.State, len(c.Status), c.Model, len(c.Serial), c.PartNumber, c.Firmware, c.CapacityBytes))
		}
		for _, r := range d.Readings {
			if r.Quantity != health.ClockSkew {
				lines = append(lines, fmt.Sprint(len(r.Component), r.Quantity, r.Unit, r.Value, r.Derived))
			}
		}
		for _, e := range d.Log {
			lines = append(lines, fmt.Sprint(e.Created, e.Severity, len(e.Message), e.MessageID))
		}
		for _, f := range d.Faults {
			lines = append(lines, fmt.Sprint(f.Kind, f.Severity, f.State, f.Rule))
		}
		for _, g := range d.Gaps {
			lines = append(lines, fmt.Sprint(len(g.Part), g.Reason))
		}
		return append(lines, d.HostPower, d.Identity.Manufacturer, d.Identity.Model, d.Identity.BMCFirmware, fmt.Sprint(len(d.Identity.Serial)))
	}
	if diff := cmp.Diff(shape(live), shape(replayed)); diff != "" {
		t.Errorf("the redacted replay has another shape (-live +replayed):\n%s", diff)
	}
}

// spoiled is a machine with faults of an hour ago: what came in the second of a visit may be history or news, by the roundings of two clocks.
func spoiled(p bmcsim.Profile, name string) *bmcsim.Machine {
	m := bmcsim.NewMachine(p, name, 7)
	m.SetClock(func() time.Time { return time.Now().Add(-time.Hour) })
	defer m.SetClock(time.Now)
	m.FailFan(1)
	m.PredictDrive(0)
	m.WetLeak(0)
	return m
}

func TestAReplayReadsWhatTheMachineSaid(t *testing.T) {
	t.Setenv("BMC", simPassword)
	for _, p := range bmcsim.Profiles() {
		for _, protocol := range []string{"redfish", "ipmi"} {
			t.Run(p.Name+" over "+protocol, func(t *testing.T) {
				var b bmcAt
				if protocol == "redfish" {
					b, _ = simRedfish(t, spoiled(p, "m"), bmcsim.RedfishOptions{Expand: p.Redfish != bmcsim.ShapeLegacy})
				} else {
					b, _ = simIPMI(t, spoiled(p, "m"), bmcsim.IPMIOptions{ReadLimit: 32})
				}
				dir := t.TempDir()
				plain, redacted := filepath.Join(dir, "plain.tar.gz"), filepath.Join(dir, "redacted.tar.gz")
				live := onePoll(t, b.flags...)
				recordTo(t, plain, b, "--no-redact")
				recordTo(t, redacted, b)
				sameReading(t, live, onePoll(t, "--replay", plain))
				sameShape(t, live, onePoll(t, "--replay", redacted))

				_, first, _ := dewline(t, "poll", "-o", "json", "--replay", redacted)
				_, second, _ := dewline(t, "poll", "-o", "json", "--replay", redacted)
				if first != second || !strings.Contains(first, `"origin":"replay"`) || !strings.Contains(first, `"took_seconds":0,`) {
					t.Error("two replays of one recording differ")
				}
			})
		}
	}
}

// TestReplaysOfRealTrees records the Redfish trees of real machines, served as they were captured.
func TestReplaysOfRealTrees(t *testing.T) {
	dir := os.Getenv("DEWLINE_CAPTURES")
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("DEWLINE_CAPTURES is not set: tools/real-parts.sh")
		}
		t.Skip("DEWLINE_CAPTURES is not set")
	}
	t.Setenv("BMC", simPassword)
	files, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s: %v", dir, err)
	}
	if os.Getenv("DEWLINE_LONG") == "" { // the smallest: the large ones take minutes under the race detector
		size := func(f string) int64 {
			st, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			return st.Size()
		}
		slices.SortFunc(files, func(a, b string) int { return int(size(a) - size(b)) })
		files = files[:min(4, len(files))]
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			tree, err := bmcsim.LoadCapture(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := bmcsim.ServeTree(tree, bmcsim.RedfishOptions{Now: steady()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			b := atRedfish(s)
			live := onePoll(t, b.flags...)
			plain, redacted := filepath.Join(t.TempDir(), "plain.tar.gz"), filepath.Join(t.TempDir(), "redacted.tar.gz")
			recordTo(t, plain, b, "--no-redact", "--max-documents", "0")
			sameReading(t, live, onePoll(t, "--replay", plain))
			recordTo(t, redacted, b)
			sameShape(t, live, onePoll(t, "--replay", redacted))

			mockup := onePoll(t, "--replay", file) // the tree itself, as people have them
			for _, d := range []*pollDoc{live, mockup} {
				for i := range d.Gaps {
					d.Gaps[i].Error = "" // the words of a 404 are the server's own
				}
			}
			sameReading(t, live, mockup)

			r, err := capture.Open(redacted)
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for _, d := range r.Documents {
				all.WriteString(d.URL + "\n" + string(d.Body) + "\n")
			}
			for _, c := range append(live.Components, pollComponent{Serial: live.Identity.Serial}, pollComponent{Serial: live.Identity.UUID}) {
				if len(c.Serial) >= 7 && strings.Contains(all.String(), c.Serial) && strings.Trim(c.Serial, c.Serial[:1]) != "" {
					t.Errorf("serial number %s of %s is in the redacted recording", c.Serial, c.ID)
				}
			}
		})
	}
}

// TestAnInterruptedRecordGoesOn: nothing is asked twice, nothing is left on the BMC, nothing stands under the final name.
func TestAnInterruptedRecordGoesOn(t *testing.T) {
	t.Setenv("BMC", simPassword)
	b, s := simRedfish(t, spoiled(bmcsim.ProfileMixed, "m"), bmcsim.RedfishOptions{})
	file := filepath.Join(t.TempDir(), "m.tar.gz")
	args := append([]string{"record", "--out", file, "--rate", "1000"}, b.flags...)

	ctx, cancel := context.WithCancel(t.Context())
	s.Hook("/redfish/v1/Managers/1", func(w http.ResponseWriter, _ *http.Request) {
		cancel() // Ctrl-C while it is asked
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, getenv: os.Getenv}
	code := p.main(ctx, args)
	if code != exitInterrupted || !strings.Contains(errs.String(), "the same command goes on from there") || strings.Contains(errs.String(), simPassword) {
		t.Fatalf("exit %d\n%s%s", code, &out, &errs)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("half a recording stands under the final name")
	}
	raw, err := os.ReadFile(capture.PartialName(file))
	if err != nil || strings.Contains(string(raw), simPassword) {
		t.Errorf("journal: %v", err)
	}
	if n := s.Stats().OpenSessions; n != 0 {
		t.Errorf("%d sessions left open", n)
	}
	s.Hook("/redfish/v1/Managers/1", nil)
	before := s.Stats().ByQuery
	if code, out, errs := dewline(t, args...); code != exitOK || !strings.Contains(errs, "going on with") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	stats := s.Stats()
	for url, n := range stats.ByQuery {
		if n > 1 && before[url] > 0 && url != "/redfish/v1/Managers/1" {
			t.Errorf("%s was asked %d times", url, n)
		}
	}
	if stats.InFlightMax > 1 || stats.Writes > 0 {
		t.Errorf("%d requests at once, %d writes", stats.InFlightMax, stats.Writes)
	}
	r, err := capture.Open(file)
	if err != nil || r.Manifest.Resumed != 1 {
		t.Errorf("%v, %v", r, err)
	}
	if code, _, errs := dewline(t, args...); code != exitFailed || !strings.Contains(errs, "overwrites nothing") {
		t.Errorf("over a file that is there: exit %d, %s", code, errs)
	}
}

// TestRecordLeavesTheDaemonItsSession: there is one session of dewline's on a BMC.
func TestRecordLeavesTheDaemonItsSession(t *testing.T) {
	t.Setenv("BMC", simPassword)
	_, s := simRedfish(t, spoiled(bmcsim.ProfileLegacy, "m"), bmcsim.RedfishOptions{})
	dir := t.TempDir()
	config := filepath.Join(dir, "dewline.toml")
	text := fmt.Sprintf("data_dir = %q\n[[credential]]\nname = \"bmc\"\nusername = %q\npassword = \"env:BMC\"\n[[target]]\nname = \"db-1\"\naddress = %q\ncredential = \"bmc\"\ntls = { fingerprint = %q }\n",
		filepath.Join(dir, "data"), s.Username(), s.URL(), s.CertFingerprint())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, config)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if noDaemon(t.Context(), filepath.Join(dir, "data"), "db-1") != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the daemon does not answer")
		}
		time.Sleep(20 * time.Millisecond) // poll of a condition, in another process
	}
	file := filepath.Join(dir, "r.tar.gz")
	if code, _, errs := dewline(t, "record", "-c", config, "db-1", "--out", file, "--rate", "1000"); code != exitFailed || !strings.Contains(errs, "the daemon that runs here reads db-1") {
		t.Errorf("beside a daemon: exit %d, %s", code, errs)
	}
	d.stop()
	if code, _, errs := dewline(t, "record", "-c", config, "db-1", "--out", file, "--rate", "1000"); code != exitOK {
		t.Errorf("without one: exit %d, %s", code, errs)
	}
}

// TestARecordOfABMCThatTellsSecrets: what a service echoes, logs or keeps under odd names is not in the file.
func TestARecordOfABMCThatTellsSecrets(t *testing.T) {
	t.Setenv("BMC", simPassword)
	m := spoiled(bmcsim.ProfileModern, "m")
	b, s := simRedfish(t, m, bmcsim.RedfishOptions{})
	token := ""
	s.Hook("/redfish/v1/Chassis/1/Odd", func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("X-Auth-Token")
		w.Header().Set("Set-Cookie", "session="+token)
		fmt.Fprintf(w, `{"Echo":%q,"Log":"login of %s with %s","%s":1,"Snmp":{"CommunityString":"public-ring"},"Host":%q}`, token, s.Username(), simPassword, simPassword, r.Host)
	})
	s.SetBody("/redfish/v1/Chassis", []byte(`{"@odata.id":"/redfish/v1/Chassis","Members":[{"@odata.id":"/redfish/v1/Chassis/1"}],"Oem":{"X":{"@odata.id":"/redfish/v1/Chassis/1/Odd"},"Y":{"@odata.id":"https://198.51.100.9/redfish/v1/Chassis/2"},"Z":{"@odata.id":"/redfish/v1/../../etc"}}}`))
	for _, extra := range [][]string{nil, {"--no-redact"}} {
		file := filepath.Join(t.TempDir(), "m.tar.gz")
		recordTo(t, file, b, extra...)
		r, err := capture.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		all, odd := "", false
		for _, d := range r.Documents {
			all += d.URL + "\n" + string(d.Body) + "\n" + fmt.Sprint(d.Header) + "\n"
			odd = odd || strings.HasSuffix(d.URL, "/Odd")
		}
		if token == "" || !odd {
			t.Fatal("the odd document was not read")
		}
		for _, secret := range []string{token, simPassword, "public-ring"} {
			if strings.Contains(all, secret) {
				t.Errorf("%v: the secret %q is in the recording", extra, secret)
			}
		}
		if extra == nil {
			for _, identity := range []string{m.Serial(), m.UUID(), "of " + s.Username()} {
				if strings.Contains(all, identity) {
					t.Errorf("the identity %q is in the recording", identity)
				}
			}
		}
	}
}

// TestABMCThatFallsSilentIsRecordedAllTheSame: the first run stops there and is kept, the second one, which gets no further,
// finishes with what there is and says what is missing.
func TestABMCThatFallsSilentIsRecordedAllTheSame(t *testing.T) {
	t.Setenv("BMC", simPassword)
	b, s := simRedfish(t, spoiled(bmcsim.ProfileMixed, "m"), bmcsim.RedfishOptions{})
	file := filepath.Join(t.TempDir(), "m.tar.gz")
	dead := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for _, at := range []string{"/redfish/v1/Odd/1", "/redfish/v1/Odd/2", "/redfish/v1/Odd/3"} {
		s.Hook(at, dead)
	}
	s.SetBody("/redfish/v1/Chassis", []byte(`{"@odata.id":"/redfish/v1/Chassis","Members":[{"@odata.id":"/redfish/v1/Chassis/1"}],"Oem":{"a":{"@odata.id":"/redfish/v1/Odd/1"},"b":{"@odata.id":"/redfish/v1/Odd/2"},"c":{"@odata.id":"/redfish/v1/Odd/3"}}}`))
	args := append([]string{"record", "--out", file, "--rate", "1000"}, b.flags...)
	if code, out, errs := dewline(t, args...); code != exitTargets || !strings.Contains(errs, "the same command goes on from there") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	last := ""
	for range 5 {
		code, out, errs := dewline(t, args...)
		if last = out + errs; code == exitOK {
			break
		}
	}
	r, err := capture.Open(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, last)
	}
	if !strings.Contains(last, "everything after this") || !strings.Contains(fmt.Sprint(r.Manifest.NotRead), "everything after this") {
		t.Errorf("what is missing is not told: %s\n%v", last, r.Manifest.NotRead)
	}
	if n := s.Stats().OpenSessions; n != 0 {
		t.Errorf("%d sessions left open", n)
	}
}

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dewline/collector/incident"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/config"
	"dewline/store/sqlite"
)

// cable is the network before a BMC: while it is cut, every connection ends at once. The port stays taken, so that no other server gets it.
type cable struct {
	l   net.Listener
	to  string
	cut atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{l: l, to: to}
	c.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.carry(near) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.drop(true)
		c.wg.Wait()
	})
	return c
}

func (c *cable) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer far.Close()
	c.mu.Lock()
	c.conns = append(c.conns, near, far)
	c.mu.Unlock()
	if c.cut.Load() { // also if it was cut meanwhile
		return
	}
	c.wg.Go(func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	})
	_, _ = io.Copy(near, far)
}

// drop cuts the cable, or mends it.
func (c *cable) drop(cut bool) {
	c.cut.Store(cut)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.conns {
		_ = x.Close()
	}
	c.conns = nil
}

// silentRoom is eight calm BMCs: four in rack A1, one in A2, three in B1; a4 is read over IPMI.
func silentRoom(t *testing.T) (machines map[string]*bmcsim.Machine, quiet map[string]func(bool), config, dataDir string, env []string) {
	t.Helper()
	machines, quiet = map[string]*bmcsim.Machine{}, map[string]func(bool){}
	dir := t.TempDir()
	dataDir = filepath.Join(dir, "data")
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir = %q\n[schedule]\nreadings = \"@every 1s\"\nevents = \"@every 1s\"\nspread = \"1s\"\n", dataDir)
	fmt.Fprintf(&b, "[[credential]]\nname = \"all\"\nusername = %q\npassword = \"env:BMC_PASSWORD\"\n", bmcsim.DefaultUsername)
	for i, name := range []string{"a1", "a2", "a3", "a4", "lone", "b1", "b2", "b3"} {
		rack := map[byte]string{'a': "A1", 'l': "A2", 'b': "B1"}[name[0]]
		if name == "a4" {
			m := bmcsim.NewMachine(bmcsim.ProfileBoard, name, uint64(i))
			s, err := bmcsim.ServeIPMI(m, bmcsim.IPMIOptions{Privilege: 2})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			machines[name] = m
			fmt.Fprintf(&b, "[[target]]\nname = %q\naddress = %q\ncredential = \"all\"\nsite = \"bontang\"\nrack = %q\n", name, s.URL(), rack)
			continue
		}
		m := bmcsim.NewMachine(bmcsim.ProfileModern, name, uint64(i))
		s, err := bmcsim.ServeRedfish(m, bmcsim.RedfishOptions{Expand: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		c := newCable(t, s.Addr())
		machines[name], quiet[name] = m, c.drop
		fmt.Fprintf(&b, "[[target]]\nname = %q\naddress = \"https://%s\"\ncredential = \"all\"\nsite = \"bontang\"\nrack = %q\ntls = { fingerprint = %q }\n",
			name, c.l.Addr(), rack, s.CertFingerprint())
	}
	config = filepath.Join(dir, "dewline.toml")
	if err := os.WriteFile(config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return machines, quiet, config, dataDir, []string{"BMC_PASSWORD=" + bmcsim.DefaultPassword}
}

// shownIncidents is what `dewline incidents -o json` says, in order of rack.
func shownIncidents(t *testing.T, dataDir string) []health.Incident {
	t.Helper()
	code, stdout, stderr := dewline(t, "incidents", "-o", "json", "--data-dir", dataDir)
	if code != exitOK {
		t.Fatalf("incidents: exit %d: %s", code, stderr)
	}
	var out []health.Incident
	for line := range strings.Lines(stdout) {
		var doc incidentDoc
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, doc.Incident)
	}
	slices.SortFunc(out, func(a, b health.Incident) int {
		return cmp.Compare(strings.Join(a.Racks, " "), strings.Join(b.Racks, " "))
	})
	return out
}

// TestSilenceOfNeighboursIsOneIncident: three BMCs of a rack of four fall silent, one before the others, and the hosts of another rack go off together,
// while a BMC of a third rack falls silent alone and the others go on. The running daemon makes one incident of each rack, with exactly those
// targets, the first sign and the order of the spread; it is killed in between. When the BMCs answer again their faults end, nothing is doubled, and
// after the quiet the incidents are over.
func TestSilenceOfNeighboursIsOneIncident(t *testing.T) {
	t.Parallel()
	machines, quiet, configFile, dataDir, env := silentRoom(t)
	d := startDaemon(t, configFile, env...)
	events := func(target string, kind health.Kind, transition health.Transition) (found []health.Event) {
		for _, e := range storedEvents(t, dataDir) {
			if string(e.Target) == target && e.Kind == kind && e.Transition == transition {
				found = append(found, e)
			}
		}
		return found
	}
	read := func(name string) int {
		db, err := sqlite.OpenReadOnly(t.Context(), dataDir)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		k, err := db.Recall(t.Context(), health.TargetID(name))
		if err != nil {
			t.Fatal(err)
		}
		return len(k.Components)
	}
	eventually(t, "all BMCs were read", func() bool {
		if !storeExists(t, dataDir) {
			return false
		}
		for name := range machines {
			if read(name) == 0 {
				return false
			}
		}
		return true
	})

	for _, name := range []string{"b1", "b2", "b3"} {
		machines[name].HostOff()
	}
	quiet["lone"](true)
	for _, names := range [][]string{{"a3"}, {"a1", "a2"}} {
		for _, name := range names {
			quiet[name](true)
		}
		eventually(t, names[0]+" is reported silent", func() bool { return len(events(names[0], health.KindCommLost, health.Asserted)) > 0 })
	}
	eventually(t, "the lone one is, too", func() bool { return len(events("lone", health.KindCommLost, health.Asserted)) > 0 })
	eventually(t, "two incidents", func() bool {
		x := shownIncidents(t, dataDir)
		return len(x) == 2 && len(x[1].Targets) == 3
	})
	check := func(when string, state health.IncidentState, open int) []health.Incident {
		t.Helper()
		found := shownIncidents(t, dataDir)
		if len(found) != 2 {
			t.Fatalf("%s: %d incidents: %+v", when, len(found), found)
		}
		for i, want := range []struct{ rack, targets string }{{"A1", "a1 a2 a3"}, {"B1", "b1 b2 b3"}} {
			x := found[i]
			var targets []string
			faults := 0
			for n, y := range x.Targets {
				targets = append(targets, string(y.Target))
				faults += y.Open
				if y.Count != 1 || !slices.Equal(y.Kinds, []health.IncidentSign{health.SignSilence}) {
					t.Errorf("%s: %s shows %d signs, %v", when, y.Target, y.Count, y.Kinds)
				}
				if n > 0 && y.First.Before(x.Targets[n-1].First) {
					t.Errorf("%s: the targets are not in the order of their first signs: %+v", when, x.Targets)
				}
			}
			if i == 0 && targets[0] != "a3" {
				t.Errorf("%s: it began on %s, want a3", when, targets[0])
			}
			slices.Sort(targets) // the others at once, in any order
			if got := strings.Join(targets, " "); got != want.targets || !slices.Equal(x.Racks, []string{want.rack}) || x.Site != "bontang" {
				t.Errorf("%s: incident of %v with %s, want %s with %s", when, x.Racks, got, want.rack, want.targets)
			}
			if x.Rule != incident.RuleSilence || x.Cause != health.CauseUndetermined || x.State != state || x.Signs != 3 || len(x.Evidence) != 3 || len(x.Alternatives) == 0 {
				t.Errorf("%s: %s %s %s, %d signs, %d in evidence, %d alternatives", when, x.Rule, x.Cause, x.State, x.Signs, len(x.Evidence), len(x.Alternatives))
			}
			first := storedEvents(t, dataDir)[x.FirstSign]
			if first.Target != x.Targets[0].Target || !first.At.Equal(x.Opened) || x.Evidence[0].Event != x.FirstSign || !x.Targets[0].First.Equal(x.Opened) {
				t.Errorf("%s: the first sign is %+v, the incident opened %s on %s", when, first, x.Opened, x.Targets[0].Target)
			}
			if !strings.Contains(x.Summary, "3 targets in rack "+want.rack) || !strings.Contains(x.Summary, "on "+string(x.Targets[0].Target)) {
				t.Errorf("%s: summary %q", when, x.Summary)
			}
			if i == 0 && faults != open || i == 1 && faults != 0 { // that a host is off is no fault
				t.Errorf("%s: %d faults of %s are open, want %d", when, faults, want.rack, open)
			}
		}
		return found
	}
	before := check("while they are silent", health.IncidentOpen, 3)
	if _, out, _ := dewline(t, "incidents", "show", before[0].ID, "--data-dir", dataDir); !strings.Contains(out, "a3") || !strings.Contains(out, "switch") {
		t.Errorf("shown: %s", out)
	}
	d.kill()

	// The pause before the next probe of a silent BMC is over while dewline is down.
	silent := []string{"a1", "a2", "a3", "lone"}
	db, err := sqlite.Open(t.Context(), dataDir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range silent {
		k, err := db.Recall(t.Context(), health.TargetID(name))
		if err != nil {
			t.Fatal(err)
		}
		if k.Access.State != health.AccessUnreachable || k.Access.NextTry.IsZero() {
			t.Errorf("%s is %+v", name, k.Access)
		}
		k.Access.NextTry = time.Time{}
		now := time.Now().UTC()
		v := &health.Visit{
			Target: k.Target, Started: now, Result: health.Missed, Reason: health.ReasonStopped, Due: map[health.Tier]time.Time{health.TierInventory: now},
			Delta: health.Delta{Access: &k.Access},
		}
		v.ID = health.VisitID(v)
		if err := db.Record(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range silent {
		quiet[name](false)
	}
	for _, name := range []string{"b1", "b2", "b3"} {
		machines[name].HostOn()
	}
	d = startDaemon(t, configFile, env...)
	for _, name := range silent {
		eventually(t, name+" answers again", func() bool { return len(events(name, health.KindCommLost, health.Cleared)) > 0 })
	}
	hosts := func(word string) (n int) {
		for _, e := range storedEvents(t, dataDir) {
			if e.Rule == incident.RuleHostPower && e.Target[0] == 'b' && strings.Contains(strings.Join(e.Evidence, " "), "now: "+word) {
				n++
			}
		}
		return n
	}
	eventually(t, "the hosts are on again", func() bool { return hosts("on") >= 3 })
	eventually(t, "the incident knows", func() bool {
		x := shownIncidents(t, dataDir)
		return len(x) == 2 && !slices.ContainsFunc(x[0].Targets, func(y health.IncidentTarget) bool { return y.Open > 0 })
	})
	check("when they are back", health.IncidentOpen, 0) // open until it was quiet for long enough
	d.stop()

	if db, err = sqlite.Open(t.Context(), dataDir, sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	f := followIncidents(db, config.Default().Incidents, nil, slog.New(slog.DiscardHandler))
	f.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	err = f.CatchUp(t.Context())
	if e := db.Close(); err != nil || e != nil {
		t.Fatal(err, e)
	}
	for i, x := range check("two hours later", health.IncidentClosed, 0) {
		if x.ID != before[i].ID || !x.Closed.Equal(x.Changed.Add(incident.DefaultQuiet)) {
			t.Errorf("%s, which was %s, is closed %s, and changed last %s", x.ID, before[i].ID, x.Closed, x.Changed)
		}
	}
	for name := range machines {
		want := 0
		if slices.Contains(silent, name) {
			want = 1
		}
		if a, c := len(events(name, health.KindCommLost, health.Asserted)), len(events(name, health.KindCommLost, health.Cleared)); a != want || c != want {
			t.Errorf("%s: lost %d times and back %d times, want %d", name, a, c, want)
		}
	}
	if off, on := hosts("off"), hosts("on"); off != 3 || on != 3 {
		t.Errorf("hosts went off %d times and on %d times", off, on)
	}
}

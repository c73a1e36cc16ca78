package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/schedule"
	"dewline/internal/secret"
	"dewline/store/storetest"
)

// simulated is one BMC of the fleet, of either protocol.
type simulated struct {
	redfish *bmcsim.RedfishServer
	ipmi    *bmcsim.IPMIServer
	hostile string // how, "" for a good one
}

// hostileRedfish are the ways in which a Redfish service means harm, hostileIPMI those of an IPMI BMC. Elsewhere is a server that must never
// be asked for anything.
func hostileRedfish(elsewhere string) []struct {
	name string
	do   func(s *bmcsim.RedfishServer)
} {
	foreign := []byte(strings.ReplaceAll(`{"Members":[{"@odata.id":"HOST/redfish/v1/Chassis/1"},{"@odata.id":"//HOST/x"},{"@odata.id":"/redfish/v1/../../etc/passwd"}]}`, "HOST", elsewhere))
	return []struct {
		name string
		do   func(s *bmcsim.RedfishServer)
	}{
		{"accepts and is silent", func(s *bmcsim.RedfishServer) { s.Hang(true) }},
		{"answers slower than anybody waits", func(s *bmcsim.RedfishServer) { s.SetLatency(time.Minute) }},
		{"refuses everything", func(s *bmcsim.RedfishServer) { s.SetStatus("/", http.StatusServiceUnavailable); s.SetRetryAfter("1") }},
		{"denies everybody", func(s *bmcsim.RedfishServer) { s.SetStatus("/redfish/v1/S", http.StatusUnauthorized) }},
		{"half a root", func(s *bmcsim.RedfishServer) { s.SetBody("/redfish/v1", []byte(`{"Systems":{"@odata.id":"/redf`)) }},
		{"9 MB of root", func(s *bmcsim.RedfishServer) {
			s.SetBody("/redfish/v1", append([]byte(`{"Name":"`), bytes.Repeat([]byte("a"), 9<<20)...))
		}},
		{"leads elsewhere", func(s *bmcsim.RedfishServer) {
			for _, c := range []string{"Chassis", "Systems", "Managers"} {
				s.SetBody("/redfish/v1/"+c, foreign)
			}
		}},
		{"redirects elsewhere", func(s *bmcsim.RedfishServer) { s.Redirect("/redfish/v1/Chassis", elsewhere+"/redfish/v1/Chassis") }},
		{"drops the connection in mid-body", func(s *bmcsim.RedfishServer) { s.CutBody("/redfish/v1/Systems", 20) }},
		{"a body that never ends", func(s *bmcsim.RedfishServer) {
			s.Hook("/redfish/v1/Chassis", func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
						return
					}
				}
			})
		}},
		{"members without end", func(s *bmcsim.RedfishServer) {
			s.Hook("/redfish/v1/Chassis", func(w http.ResponseWriter, r *http.Request) {
				n := rand.Int()
				fmt.Fprintf(w, `{"Members":[{"@odata.id":"/redfish/v1/Chassis/x%d"}],"Members@odata.nextLink":"/redfish/v1/Chassis?$skip=%d"}`, n, n)
			})
		}},
		{"braces 100,000 deep", func(s *bmcsim.RedfishServer) {
			s.SetBody("/redfish/v1/Chassis", []byte(strings.Repeat(`{"a":`, 100_000)))
		}},
	}
}

var hostileIPMI = []struct {
	name string
	do   func(s *bmcsim.IPMIServer)
}{
	{"silent", func(s *bmcsim.IPMIServer) { s.Silent(true) }},
	{"forges", func(s *bmcsim.IPMIServer) { s.Forge(true); s.Duplicate(true) }},
	{"loses two of three answers", func(s *bmcsim.IPMIServer) { s.LoseReplies(0.66, 7) }},
	{"always busy", func(s *bmcsim.IPMIServer) { s.Busy(1 << 30) }},
	{"answers slower than anybody waits", func(s *bmcsim.IPMIServer) { s.SetLatency(20 * time.Second) }},
	{"a byte at a time", func(s *bmcsim.IPMIServer) { s.SetReadLimit(1) }},
	{"another repository at every look", func(s *bmcsim.IPMIServer) { s.TouchSDR() }},
}

// noise answers every command with bytes of chance: what a decoder makes of it is nothing to build on, and must end.
func noise(seed uint64) func(netFn, cmd, lun byte, data []byte) (byte, []byte, bool) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	return func(byte, byte, byte, []byte) (byte, []byte, bool) {
		mu.Lock()
		defer mu.Unlock()
		out := make([]byte, r.IntN(64))
		for i := range out {
			out[i] = byte(r.Uint32())
		}
		return 0, out, r.IntN(8) == 0
	}
}

// TestHostileBMCsDoNotHoldUpTheOthers: many of a fleet mean harm, in every way at once, over both protocols. The others keep their schedule; nobody
// is written to, no other host is asked, nothing grows without bound, and afterwards nothing of ours is left running. 160 good and 40 hostile BMCs with
// DEWLINE_LONG, 20 of each without.
func TestHostileBMCsDoNotHoldUpTheOthers(t *testing.T) {
	good, hostile, every, ticks := 20, 20, 10*time.Second, 3
	if os.Getenv("DEWLINE_LONG") != "" {
		good, hostile, every, ticks = 160, 40, 20*time.Second, 4
	}
	stranger, err := bmcsim.ServeRedfish(bmcsim.NewMachine(bmcsim.ProfileLegacy, "stranger", 1), bmcsim.RedfishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Close() })
	harm := hostileRedfish(stranger.URL())
	ways := len(harm) + len(hostileIPMI) + 1
	met := map[string]int{} // ways

	sims := map[health.TargetID]*simulated{}
	var targets []health.Target
	for i := range good + hostile {
		id := health.TargetID(fmt.Sprintf("bmc-%03d", i))
		x := &simulated{}
		m := bmcsim.NewMachine(bmcsim.Profiles()[i%len(bmcsim.Profiles())], string(id), uint64(i))
		target := health.Target{ID: id, Driver: health.DriverRedfish}
		way := -1 // the hostile ones stand among the others
		if step := (good + hostile) / hostile; i%step == 0 {
			way = i / step % ways
		}
		overRedfish := i%2 == 0
		if way >= 0 {
			overRedfish = way < len(harm)
		}
		if overRedfish {
			if x.redfish, err = bmcsim.ServeRedfish(m, bmcsim.RedfishOptions{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = x.redfish.Close() })
			target.Address = x.redfish.URL()
			if way >= 0 {
				x.hostile = harm[way].name
				harm[way].do(x.redfish)
			}
		} else {
			o := bmcsim.IPMIOptions{}
			if way == ways-1 {
				x.hostile, o.Answer = "noise", noise(uint64(i))
			}
			if x.ipmi, err = bmcsim.ServeIPMI(m, o); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = x.ipmi.Close() })
			target.Driver, target.Address = health.DriverIPMI, x.ipmi.URL()
			if way >= 0 && x.hostile == "" {
				x.hostile = hostileIPMI[way-len(harm)].name
				hostileIPMI[way-len(harm)].do(x.ipmi)
			}
		}
		if x.hostile != "" {
			met[x.hostile]++
		}
		sims[id] = x
		targets = append(targets, target)
	}
	openOne := func(target health.Target, _ string) (collector.Source, error) {
		if x := sims[target.ID]; x.redfish != nil {
			return redfish.Open(target.ID, redfish.Options{
				Address: target.Address, Username: x.redfish.Username(), Password: secret.New(x.redfish.Password()),
				TLS: redfish.TLS{Fingerprint: x.redfish.CertFingerprint()},
			})
		}
		x := sims[target.ID]
		return ipmi.Open(target.ID, ipmi.Options{Address: target.Address, Username: x.ipmi.Username(), Password: secret.New(x.ipmi.Password())})
	}
	// A busy machine may need longer than a tick for the good ones alone: the ticks are as long as they need, three times as long at most.
	if alone := time.Duration(good) * meanVisit(t, sims, targets, openOne); alone > every {
		every = min(alone, 3*every).Round(time.Second)
	}
	t.Logf("a tick is %s", every)
	spec, err := schedule.Parse("@every "+every.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var jobs []collector.Job
	for _, target := range targets {
		jobs = append(jobs, collector.Job{Target: target, Schedule: map[health.Tier]schedule.Spec{health.TierReadings: spec, health.TierEvents: spec}})
	}

	var mu sync.Mutex
	visits := map[health.TargetID][]*health.Visit{}
	enough := make(chan struct{})
	var once sync.Once
	c := collector.New(collector.Options{
		Recorder: storetest.NewMemory(), Spread: time.Second, Deadline: map[health.Tier]time.Duration{health.TierReadings: every, health.TierEvents: every},
		Open: openOne,
		OnVisit: func(v *health.Visit) {
			mu.Lock()
			defer mu.Unlock()
			visits[v.Target] = append(visits[v.Target], v)
			for id, x := range sims {
				if x.hostile == "" && len(visits[id]) < ticks {
					return
				}
			}
			once.Do(func() { close(enough) })
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, jobs) }()
	select {
	case <-enough:
	case <-time.After(time.Duration(ticks+10) * every):
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the collector does not end")
	}

	mu.Lock()
	defer mu.Unlock()
	done := 0
	for id, x := range sims {
		got := visits[id]
		if x.hostile != "" {
			for _, v := range got {
				if v.Cost.Requests > 10*redfish.DefaultRequestBudget || v.Cost.Bytes > 64<<20 || v.Cost.Exchanges > 20_000 {
					t.Errorf("%s (%s) cost %+v", id, x.hostile, v.Cost)
				}
			}
		} else {
			n := 0
			for i, v := range got {
				// The stop cuts what is under way; what came before is to be done, and no tick left out.
				if v.Result == health.Missed && v.Reason == health.ReasonStopped {
					continue
				}
				// The first visit reads a whole repository of sensor records, and may take longer than a tick.
				if i > 1 && i < ticks && (v.Result != health.Done && v.Result != health.Late || len(v.Skipped) > 0) {
					t.Errorf("%s, visit %d: %s %s %s, skipped %+v; late %s, took %s, cost %+v", id, i, v.Result, v.Reason, v.Error, v.Skipped, v.Lateness(), v.Took, v.Cost)
					continue
				}
				if v.Result == health.Done || v.Result == health.Late {
					n++
				}
			}
			if n < ticks {
				t.Errorf("%s did %d of %d ticks", id, n, ticks)
			}
			done += n
		}
		if x.redfish != nil {
			st := x.redfish.Stats()
			if st.InFlightMax > 2 || st.LoginFailures > 2 || x.hostile == "" && st.Writes > 0 || st.Writes > 2*len(got)+2 {
				t.Errorf("%s (%s): %+v", id, x.hostile, st)
			}
		} else if st := x.ipmi.Stats(); st.Writes > 0 || st.LoginFailures > 2 || st.LoginFailures > 0 && x.hostile == "" {
			// (A RAKP message that comes twice can spoil a login, which a BMC counts as one that failed.)
			t.Errorf("%s (%s): %+v", id, x.hostile, st)
		}
	}
	if st := stranger.Stats(); st.Requests > 0 {
		t.Errorf("another host was asked: %+v", st)
	}
	if len(met) < ways-1 { // both protocols have one of the same name
		t.Errorf("only these ways: %v", met)
	}
	t.Logf("%d good BMCs did %d ticks beside %d hostile ones: %v", good, done, hostile, met)
	var left []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the collector's goroutines:\n%s", strings.Join(left, "\n\n"))
		}
	})
	eventually(t, "no goroutine of the collector's is left", func() bool {
		left = goroutinesOf("dewline/collector", "dewline/drivers/", "net/http.(*persistConn)", "net/http.(*Transport)")
		return len(left) == 0
	})
}

// meanVisit is how long the first visit of one of some good BMCs takes, one after the other. It is what this machine gives at
// this moment, not a claim.
func meanVisit(t *testing.T, sims map[health.TargetID]*simulated, targets []health.Target, openOne collector.OpenFunc) time.Duration {
	t.Helper()
	n, began := 0, time.Now()
	for _, target := range targets {
		if sims[target.ID].hostile != "" || n == 6 {
			continue
		}
		n++
		src, err := openOne(target, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Read(t.Context(), health.Request{Tiers: health.TiersOf(health.TierReadings, health.TierEvents)}); err != nil {
			t.Fatalf("read %s: %v", target.ID, err)
		}
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began) / time.Duration(n)
}

// goroutinesOf is the stacks of this process that name one of the given functions. The simulated servers' own goroutines are not the collector's.
func goroutinesOf(names ...string) []string {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return slices.DeleteFunc(strings.Split(string(stacks), "\n\n"), func(stack string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(stack, name) })
	})
}

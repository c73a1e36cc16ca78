package collector_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
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

// sockets is simulated BMCs on real sockets, every other one over IPMI, and the collector that reads them.
type sockets struct {
	name  string
	store *storetest.Memory
	open  map[health.TargetID]func() (collector.Source, error)
	hang  []func(bool)
	hung  map[health.TargetID]bool
	jobs  []collector.Job
	log   sayings
}

// sayings counts what a log says.
type sayings struct {
	mu  sync.Mutex
	all []string
}

func (l *sayings) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *sayings) count(parts ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.all {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) }) {
			n++
		}
	}
	return n
}

func (l *sayings) of(id string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.all), func(s string) bool { return !strings.Contains(s, "target="+id) })
}

// newSockets has n BMCs with the same names and phases in every fleet. Those whose number hangs chooses can be hung; a fleet
// without them leaves them out.
func newSockets(t *testing.T, name string, n int, every time.Duration, hangs func(int) bool, without bool) *sockets {
	t.Helper()
	f := &sockets{name: name, store: storetest.NewMemory(), open: map[health.TargetID]func() (collector.Source, error){}, hung: map[health.TargetID]bool{}}
	spec, err := schedule.Parse("@every "+every.String(), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	var closers []func() error
	t.Cleanup(func() { // side by side: a server that was hung takes its time
		for _, hang := range f.hang {
			hang(false)
		}
		var closing sync.WaitGroup
		for _, end := range closers {
			closing.Go(func() { _ = end() })
		}
		closing.Wait()
	})
	for i := range n {
		if without && hangs(i) {
			continue
		}
		id := health.TargetID(fmt.Sprintf("bmc-%03d", i))
		m := bmcsim.NewMachine(bmcsim.ProfileLegacy, string(id), uint64(i))
		target := health.Target{ID: id}
		if i%2 == 0 {
			s, err := bmcsim.ServeRedfish(m, bmcsim.RedfishOptions{})
			if err != nil {
				t.Fatal(err)
			}
			closers = append(closers, s.Close)
			target.Driver, target.Address = health.DriverRedfish, s.URL()
			f.open[id] = func() (collector.Source, error) {
				return redfish.Open(id, redfish.Options{
					Address: s.URL(), Username: s.Username(), Password: secret.New(s.Password()), TLS: redfish.TLS{Fingerprint: s.CertFingerprint()},
				})
			}
			if hangs(i) {
				f.hang = append(f.hang, s.Hang)
			}
		} else {
			s, err := bmcsim.ServeIPMI(m, bmcsim.IPMIOptions{})
			if err != nil {
				t.Fatal(err)
			}
			closers = append(closers, s.Close)
			target.Driver, target.Address = health.DriverIPMI, s.URL()
			f.open[id] = func() (collector.Source, error) {
				return ipmi.Open(id, ipmi.Options{Address: s.URL(), Username: s.Username(), Password: secret.New(s.Password())})
			}
			if hangs(i) {
				f.hang = append(f.hang, s.Silent)
			}
		}
		if hangs(i) {
			f.hung[id] = true
		}
		f.jobs = append(f.jobs, collector.Job{Target: target, Schedule: map[health.Tier]schedule.Spec{health.TierReadings: spec}})
	}
	return f
}

func (f *sockets) collector(slots int, deadline time.Duration) *collector.Collector {
	return collector.New(collector.Options{
		Open:     func(t health.Target, _ string) (collector.Source, error) { return f.open[t.ID]() },
		Recorder: f.store, Slots: slots, Deadline: map[health.Tier]time.Duration{health.TierReadings: deadline}, Spread: time.Second,
		Log: slog.New(slog.NewTextHandler(&f.log, nil)),
	})
}

// TestHungBMCsOnRealSockets reads two fleets side by side, in the same seconds of the same process: one in which a fifth of
// the BMCs accept connections and stay silent (over UDP: stay silent) from some moment on, and one without those. It counts;
// the two distributions of lateness are printed for people to compare, since times on a busy machine mean nothing.
func TestHungBMCsOnRealSockets(t *testing.T) {
	// A small fleet by default: long enough to see that hung BMCs hold slots, not to see them given up on.
	long := os.Getenv("DEWLINE_LONG") != ""
	n, slots, warm, hung, every := 10, 5, 3*time.Second, 7*time.Second, 2*time.Second
	if long {
		n, slots, warm, hung, every = 200, 20, 30*time.Second, 80*time.Second, 10*time.Second
	}
	const deadline = 15 * time.Second
	hangs := func(i int) bool { return i%10 < 2 } // one of each protocol in ten
	with, without := newSockets(t, "a fifth hung", n, every, hangs, false), newSockets(t, "none hung", n, every, hangs, true)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, f := range []*sockets{with, without} {
		c := f.collector(slots, deadline)
		running.Go(func() {
			if err := c.Run(ctx, f.jobs); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(warm)
	for _, hang := range with.hang {
		hang(true)
	}
	since := time.Now()
	time.Sleep(hung)
	until := time.Now().Add(-every) // later ticks may be under way when all stops
	stop()
	for _, hang := range with.hang {
		hang(false) // so that the log-outs of the stop are answered
	}
	running.Wait()

	late, over := map[string][]time.Duration{}, map[string]int{}
	for _, f := range []*sockets{with, without} {
		visits := map[health.TargetID][]*health.Visit{}
		for _, v := range f.store.Visits() {
			visits[v.Target] = append(visits[v.Target], v)
		}
		for _, job := range f.jobs {
			id := job.Target.ID
			l, skipped := f.check(t, job, visits[id], since, until)
			late[f.name] = append(late[f.name], l...)
			over[f.name] += skipped
			if f.hung[id] && long {
				f.givenUp(t, id, visits[id], since)
			}
		}
	}
	for _, f := range []*sockets{with, without} {
		l := late[f.name]
		if len(l) == 0 {
			t.Fatal("no visit was counted")
		}
		t.Logf("lateness of the healthy, %-13s %5d ticks answered, %d passed over: p50 %s, p90 %s, p99 %s, most %s", f.name+":", len(l), over[f.name],
			percentile(l, 0.5), percentile(l, 0.9), percentile(l, 0.99), slices.Max(l))
	}
	// A machine that is itself too slow passes over ticks in both fleets alike.
	if a, b, all := over[with.name], over[without.name], len(late[with.name]); a > b+all/50 {
		t.Errorf("%d ticks of the healthy were passed over, %d where none hangs, of %d", a, b, all)
	}
	for id := range with.hung {
		if !long {
			break
		}
		if n := with.log.count("target is suspect", "target="+string(id)); n != 1 {
			t.Errorf("%s: said %d times that it is suspect:\n%s", id, n, strings.Join(with.log.of(string(id)), ""))
		}
	}
	if n := without.log.count("level=WARN"); n > 0 {
		t.Errorf("%d warnings of the fleet without hung BMCs: %v", n, without.log.all)
	}
}

// check counts a target's ticks between two moments, and gives the lateness of those answered and the number passed over. A
// healthy target's are all accounted for, and none failed.
func (f *sockets) check(t *testing.T, job collector.Job, visits []*health.Visit, since, until time.Time) (late []time.Duration, over int) {
	t.Helper()
	id := job.Target.ID
	if f.hung[id] {
		return nil, 0
	}
	spec := job.Schedule[health.TierReadings]
	results := map[time.Time]health.Result{}
	lateness := map[time.Time]time.Duration{}
	for _, v := range visits {
		if due, ok := v.Due[health.TierReadings]; ok {
			results[due], lateness[due] = v.Result, v.Lateness()
		}
		for _, s := range v.Skipped {
			for at := s.First; !at.After(s.Last); at = spec.Next(at, string(id), 0) {
				results[at] = health.Missed
			}
		}
	}
	for due := spec.Next(since, string(id), 0); due.Before(until); due = spec.Next(due, string(id), 0) {
		switch results[due] {
		case health.Done, health.Late:
			late = append(late, lateness[due])
		case health.Missed:
			over++
		case health.Failed:
			t.Errorf("%s, %s is healthy: its tick of %s failed", f.name, id, due.Format(time.RFC3339Nano))
		default:
			t.Errorf("%s, %s: the tick of %s is not accounted for", f.name, id, due.Format(time.RFC3339Nano))
		}
	}
	return late, over
}

// givenUp checks what is known of a BMC that hangs.
func (f *sockets) givenUp(t *testing.T, id health.TargetID, visits []*health.Visit, since time.Time) {
	t.Helper()
	failed := 0
	for _, v := range visits {
		if v.Result == health.Failed {
			failed++
		}
		if (v.Result == health.Done || v.Result == health.Late) && v.Started.After(since.Add(time.Second)) {
			t.Errorf("%s hangs, and answered at %s", id, v.Started)
		}
	}
	k, err := f.store.Recall(context.WithoutCancel(t.Context()), id)
	if err != nil {
		t.Fatal(err)
	}
	if failed == 0 || k.Access.State == health.AccessOK || k.Access.Reason == "" || k.Access.Failures != failed {
		t.Errorf("%s hangs: %d failed visits, access %+v", id, failed, k.Access)
	}
}

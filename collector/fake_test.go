package collector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dewline/collector"
	"dewline/collector/detect"
	"dewline/health"
	"dewline/internal/schedule"
	"dewline/store/storetest"
)

var everyMinute = map[health.Tier]string{
	health.TierReadings: "@every 60s", health.TierEvents: "@every 60s", health.TierHealth: "@every 15m", health.TierInventory: "0 3 * * *",
}

func job(t testing.TB, id string, specs map[health.Tier]string) collector.Job {
	t.Helper()
	j := collector.Job{
		Target:   health.Target{ID: health.TargetID(id), Address: "https://" + id, Driver: health.DriverRedfish},
		Schedule: map[health.Tier]schedule.Spec{},
	}
	for tier, text := range specs {
		s, err := schedule.Parse(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		j.Schedule[tier] = s
	}
	return j
}

// fake is a source whose Read is a function, and which notices what a source must not be put through.
type fake struct {
	read func(ctx context.Context, n int, req health.Request) (*health.Snapshot, error)

	mu      sync.Mutex
	n       int
	inside  bool
	abused  bool
	began   []time.Time
	closed  int
	onClose func(ctx context.Context)
}

func (f *fake) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	f.mu.Lock()
	f.abused = f.abused || f.inside
	f.inside = true
	n := f.n
	f.n++
	f.began = append(f.began, time.Now())
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inside = false
		f.mu.Unlock()
	}()
	if f.read == nil {
		return healthy(req), nil
	}
	return f.read(ctx, n, req)
}

func (f *fake) Close(ctx context.Context) error {
	if f.onClose != nil {
		f.onClose(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abused = f.abused || f.inside
	f.closed++
	return nil
}

func (f *fake) reads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// healthy is a machine with a fan and, where the health tier is read, a drive.
func healthy(req health.Request) *health.Snapshot {
	s := &health.Snapshot{Driver: health.DriverRedfish, HostPower: health.HostOn, Cost: health.Cost{Requests: 1}}
	if req.Tiers.Has(health.TierReadings) {
		s.Scope = append(s.Scope, "fans")
		s.Components = append(s.Components, health.Component{
			ID: "fan/1", Class: health.ClassFan, Name: "Fan 1", Presence: health.Present, State: health.OK, Place: "fans", Tier: health.TierReadings,
		})
		s.Readings = append(s.Readings, health.Reading{Component: "fan/1", Quantity: health.Speed, Unit: health.RPM, Value: 6000})
	}
	if req.Tiers.Has(health.TierHealth) {
		s.Scope = append(s.Scope, "drives")
		s.Components = append(s.Components, health.Component{
			ID: "drive/1", Class: health.ClassDrive, Name: "Drive 1", Presence: health.Present, State: health.OK, Place: "drives", Tier: health.TierHealth,
		})
	}
	return s
}

func unreachable() (*health.Snapshot, error) {
	return &health.Snapshot{Cost: health.Cost{Connections: 1}}, &health.Error{Reason: health.ReasonUnreachable, Op: "connect", Err: errors.New("no route to host")}
}

func hang(ctx context.Context) (*health.Snapshot, error) {
	<-ctx.Done()
	return &health.Snapshot{Cost: health.Cost{Requests: 1}}, &health.Error{Reason: health.ReasonTimeout, Op: "GET /redfish/v1", Err: ctx.Err()}
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(s))
}

// rig is a collector over fakes and a store in memory.
type rig struct {
	t       *testing.T
	store   *storetest.Memory
	sources map[health.TargetID]*fake
	jobs    []collector.Job
	options collector.Options
	log     *lines
	seen    []*health.Visit // the visits so far, read once: a copy of each is made
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, store: storetest.NewMemory(), sources: map[health.TargetID]*fake{}, log: &lines{}}
	r.options = collector.Options{
		Recorder: r.store, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Open: func(t health.Target, _ string) (collector.Source, error) { return r.sources[t.ID], nil },
	}
	return r
}

func (r *rig) add(id string, specs map[health.Tier]string, read func(context.Context, int, health.Request) (*health.Snapshot, error)) *fake {
	f := &fake{read: read}
	r.sources[health.TargetID(id)] = f
	r.jobs = append(r.jobs, job(r.t, id, specs))
	return f
}

// run runs the collector for a while of fake time, stops it and waits for it.
func (r *rig) run(d time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), d)
	defer cancel()
	if err := collector.New(r.options).Run(ctx, r.jobs); err != nil {
		r.t.Fatal(err)
	}
	for id, f := range r.sources {
		if f.abused {
			r.t.Errorf("%s: the source was called from two goroutines at once", id)
		}
	}
}

func (r *rig) visits() []*health.Visit {
	r.t.Helper()
	last := int64(0)
	if n := len(r.seen); n > 0 {
		last = r.seen[n-1].Seq
	}
	vs, err := r.store.After(context.Background(), last, 1<<30)
	if err != nil {
		r.t.Fatal(err)
	}
	r.seen = append(r.seen, vs...)
	return r.seen
}

func (r *rig) known(id health.TargetID) *health.Known {
	r.t.Helper()
	k, err := r.store.Recall(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

// accounted checks that each tick of a job after the first one answered is a visit's or in a skipped range, once, up to
// until, and returns how many there were.
func (r *rig) accounted(j collector.Job, spread time.Duration, until time.Time) int {
	r.t.Helper()
	total := 0
	for tier, spec := range j.Schedule {
		answered := map[time.Time]int{}
		var ranges []health.TickRange
		var first time.Time
		for _, v := range r.visits() {
			if v.Target != j.Target.ID {
				continue
			}
			if d, ok := v.Due[tier]; ok {
				answered[d.UTC()]++
				if first.IsZero() || d.Before(first) {
					first = d
				}
			}
			for _, s := range v.Skipped {
				if s.Tier == tier {
					ranges = append(ranges, s)
					if first.IsZero() || s.First.Before(first) {
						first = s.First
					}
				}
			}
		}
		counts := make([]int, len(ranges))
		for due := spec.Next(first.Add(-1), string(j.Target.ID), spread); due.Before(until); due = spec.Next(due, string(j.Target.ID), spread) {
			total++
			n := answered[due]
			for i, s := range ranges {
				if !due.Before(s.First) && !due.After(s.Last) {
					n++
					counts[i]++
				}
			}
			if n != 1 {
				r.t.Errorf("%s %s: tick %s is accounted for %d times", j.Target.ID, tier, due.Format(time.RFC3339), n)
			}
		}
		for i, s := range ranges {
			want := counts[i]
			if !spec.Next(s.First.Add(-1), string(j.Target.ID), spread).Equal(s.First) {
				want++ // it begins with a tick off the schedule: the first, or one made up for
			}
			if s.Last.Before(until) && want != s.Count {
				r.t.Errorf("%s %s: range %s to %s (%s) says %d ticks and holds %d", j.Target.ID, tier, s.First.Format(time.RFC3339), s.Last.Format(time.RFC3339), s.Reason, s.Count, want)
			}
		}
	}
	return total
}

func tierNames(v *health.Visit) string { return fmt.Sprint(v.Tiers().List()) }

func results(vs []*health.Visit) map[health.Result]int {
	m := map[health.Result]int{}
	for _, v := range vs {
		m[v.Result]++
	}
	return m
}

// transitions leaves out that the host went off or came on, which is no event of a part.
func transitions(vs []*health.Visit) []string {
	var l []string
	for _, v := range vs {
		for _, e := range v.Events {
			if e.Rule == detect.RuleHostPower {
				continue
			}
			l = append(l, fmt.Sprintf("%s %s %s", e.Component, e.Kind, e.Transition))
		}
	}
	return l
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func percentile(d []time.Duration, p float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(float64(len(d))*p))]
}

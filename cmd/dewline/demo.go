package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/config"
	"dewline/internal/schedule"
	"dewline/internal/secret"
	"dewline/store/sqlite"
)

// demoEvery is the demo's rhythm: fast enough that a person sees the leak come and go.
const demoEvery = "@every 5s"

func (p *program) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "six simulated servers and a roof leak; no configuration",
		Long: `Demo starts six simulated servers on this machine's loopback, three that speak Redfish and three that speak IPMI, and reads
them with the real drivers on the real schedule, every 5 seconds. A fan fails, a leak detector gets wet and the room's
humidity closes on the dew point; each comes and goes within 50 seconds. On a terminal it shows a live table; otherwise
it prints a line for each event: TIME TARGET COMPONENT KIND asserted|cleared.`,
		Example: "  dewline demo\n  dewline demo --for 2m\n  dewline demo --for 1m --out ./demo && dewline status --data-dir ./demo/data",
	}
	length := cmd.Flags().Duration("for", 0, "end by itself after this long (default: until Ctrl-C)")
	out := cmd.Flags().String("out", "", "keep what was recorded in this `folder` (default: a temporary one, deleted at the end)")
	seed := cmd.Flags().Uint64("seed", 1, "seed of the simulated machines' noise")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *length < 0 {
			return usageError("--for %s: a positive duration", *length)
		}
		return p.demo(cmd.Context(), *length, *out, *seed)
	}
	return cmd
}

func (p *program) demo(ctx context.Context, length time.Duration, out string, seed uint64) (err error) {
	dir := filepath.Join(out, "data")
	if out == "" {
		if dir, err = os.MkdirTemp("", "dewline-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	interrupted := ctx
	if length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, length)
		defer cancel()
	}
	room, err := bmcsim.StartDemo(context.WithoutCancel(ctx), seed)
	if err != nil {
		return fmt.Errorf("start the simulated servers: %w", err)
	}
	defer func() { err = errors.Join(err, room.Close()) }()

	log := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := sqlite.Open(ctx, dir, sqlite.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	jobs, targets, err := demoJobs(room)
	if err != nil {
		return err
	}
	show := newDemoView(p, jobs)
	c := collector.New(collector.Options{
		Open: func(t health.Target, chosen string) (collector.Source, error) {
			return openTarget(targets[t.ID], chosen, "", log.With("target", t.ID))
		},
		Recorder: db, Log: log, OnVisit: show.visit, Spread: time.Second,
	})
	show.start()
	err = supervise(ctx, c, jobs, db, nil)
	show.stop()
	if err != nil {
		return err
	}
	if out != "" {
		fmt.Fprintf(p.stderr, "recorded in %s (simulated machines): dewline status --data-dir %s\n", dir, dir)
	}
	if length > 0 && interrupted.Err() != nil {
		return &exitError{code: exitInterrupted}
	}
	return nil
}

// demoJobs makes configured targets of the simulated servers: they are reached like real ones, certificate pinned.
func demoJobs(room *bmcsim.Demo) ([]collector.Job, map[health.TargetID]*config.Target, error) {
	specs := map[health.Tier]schedule.Spec{}
	for tier, text := range map[health.Tier]string{
		health.TierReadings: demoEvery, health.TierEvents: demoEvery, health.TierHealth: "@every 15s", health.TierInventory: "@every 1h",
	} {
		spec, err := schedule.Parse(text, time.UTC)
		if err != nil {
			return nil, nil, err
		}
		specs[tier] = spec
	}
	var jobs []collector.Job
	targets := map[health.TargetID]*config.Target{}
	for _, s := range room.Servers {
		var password secret.Ref
		if err := password.UnmarshalText([]byte(s.Password)); err != nil {
			return nil, nil, err
		}
		t := &config.Target{
			Target: health.Target{
				ID: health.TargetID(s.Name), Address: s.URL, Driver: s.Driver, Site: s.Site, Rack: s.Rack, Position: s.Position, Origin: health.OriginDemo,
			},
			Credential: config.Credential{Username: s.Username, Password: password},
			TLS:        config.TLS{Fingerprint: s.Fingerprint},
		}
		targets[t.ID] = t
		jobs = append(jobs, collector.Job{Target: t.Target, Schedule: specs})
	}
	return jobs, targets, nil
}

// demoView shows what the visits bring: a live table on a terminal, a line per event elsewhere.
type demoView struct {
	p       *program
	out     io.Writer
	tty     bool
	mu      sync.Mutex
	order   []health.TargetID
	servers map[health.TargetID]*demoServer
	events  []string
	done    chan struct{}
	stopped sync.WaitGroup
}

type demoServer struct {
	driver  string
	power   health.HostPower
	state   string
	parts   map[health.ComponentID]health.Component
	values  map[health.ComponentID]map[health.Quantity]health.Reading
	open    map[string]health.Fault
	visited time.Time
}

func newDemoView(p *program, jobs []collector.Job) *demoView {
	v := &demoView{p: p, out: p.stdout, servers: map[health.TargetID]*demoServer{}, done: make(chan struct{})}
	_, _, v.tty = terminal(p.stdout)
	for _, j := range jobs {
		v.order = append(v.order, j.Target.ID)
		v.servers[j.Target.ID] = &demoServer{
			state: "unknown", parts: map[health.ComponentID]health.Component{}, open: map[string]health.Fault{},
			values: map[health.ComponentID]map[health.Quantity]health.Reading{},
		}
	}
	return v
}

// visit takes in one committed visit.
func (v *demoView) visit(visit *health.Visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.servers[visit.Target]
	s.driver = cmp.Or(visit.Driver, s.driver)
	switch visit.Result {
	case health.Done, health.Late:
		s.visited, s.state = visit.Started, "ok"
		s.power = visit.Snapshot.HostPower
		for _, c := range visit.Snapshot.Components {
			s.parts[c.ID] = c
			if c.Tier == health.TierReadings {
				delete(s.values, c.ID) // a value that was not read now is not shown as if it were
			}
		}
		for _, r := range visit.Snapshot.Readings {
			if s.values[r.Component] == nil {
				s.values[r.Component] = map[health.Quantity]health.Reading{}
			}
			s.values[r.Component][r.Quantity] = r
		}
	case health.Failed:
		s.state = "failed"
	}
	for _, f := range visit.Delta.Faults {
		if f.State == health.Cleared {
			delete(s.open, f.ID)
		} else {
			s.open[f.ID] = f
		}
	}
	for _, e := range visit.Events {
		if e.Transition != health.Asserted && e.Transition != health.Cleared {
			continue
		}
		// One space between the fields, none within: the line is for programs too.
		line := fmt.Sprintf("%s %s %s %s %s", formatTime(e.At), field(string(e.Target)), field(string(e.Component)), e.Kind, e.Transition)
		v.events = append(v.events, line)
		if !v.tty {
			fmt.Fprintln(v.out, line)
		}
	}
}

// field is text without white space, "-" for none.
func field(s string) string {
	return cmp.Or(strings.ReplaceAll(cellText(s), " ", "_"), "-")
}

func (v *demoView) start() {
	if !v.tty {
		return
	}
	v.stopped.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			v.draw()
			select {
			case <-v.done:
				return
			case <-tick.C:
			}
		}
	})
}

func (v *demoView) stop() {
	close(v.done)
	v.stopped.Wait()
	if v.tty {
		v.draw()
	}
}

func (v *demoView) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	_, height, _ := terminal(v.out)
	t := v.p.newTable("SERVER", "DRIVER", "BMC", "HOST", "FANS", "INLET", "HUMIDITY", "DEW POINT", "MARGIN", "LEAK", "FAULTS")
	t.out = &b
	for _, id := range v.order {
		s := v.servers[id]
		t.row(string(id), s.driver, s.state, s.power.String(), s.worst(health.ClassFan), s.reading(health.Temperature, "intake", "inlet"),
			s.reading(health.RelativeHumidity), s.reading(health.DewPoint), s.reading(health.CondensationMargin), s.worst(health.ClassLeakDetector),
			s.faults())
	}
	fmt.Fprintf(&b, "dewline demo: six SIMULATED servers on loopback, read every 5 s. %s  (Ctrl-C ends it)\n\n", time.Now().Format(time.RFC3339))
	head := b.String()
	b.Reset()
	b.WriteString("\x1b[H\x1b[2J")
	b.WriteString(head)
	_ = t.flush()
	room := max(3, height-len(v.order)-6)
	fmt.Fprintf(&b, "\nevents\n")
	for _, e := range v.events[max(0, len(v.events)-room):] {
		b.WriteString(e + "\n")
	}
	_, _ = io.WriteString(v.out, b.String())
}

// worst is the worst state of a class, unknown when the server has no such part.
func (s *demoServer) worst(class health.Class) string {
	var states []health.State
	for _, c := range s.parts {
		if c.Class == class && c.Presence != health.Absent {
			states = append(states, c.State)
		}
	}
	if len(states) == 0 {
		return "-"
	}
	return health.Worst(states...).String()
}

// reading is the lowest value of a quantity (the margin that matters is the smallest one), of sensors in the given
// context or so named; "-" where there is none.
func (s *demoServer) reading(q health.Quantity, contexts ...string) string {
	var found []health.Reading
	for id, values := range s.values {
		r, ok := values[q]
		c := s.parts[id]
		match := len(contexts) == 0 || slices.ContainsFunc(contexts, func(x string) bool {
			return c.Context == x || strings.Contains(strings.ToLower(c.Name), x)
		})
		if ok && match {
			found = append(found, r)
		}
	}
	if len(found) == 0 {
		return "-"
	}
	low := slices.MinFunc(found, func(a, b health.Reading) int { return cmp.Compare(a.Value, b.Value) })
	return fmt.Sprintf("%.1f %s", low.Value, low.Unit)
}

func (s *demoServer) faults() string {
	var kinds []string
	for _, f := range s.open {
		kinds = append(kinds, string(f.Kind))
	}
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), ",")
}

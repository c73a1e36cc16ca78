package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"dewline/collector"
	"dewline/health"
)

// demoView shows what the visits bring: a live table on a terminal, a line per event elsewhere.
type demoView struct {
	out     io.Writer
	live    *table // nil: a line per event
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

func newDemoView(out io.Writer, live *table, jobs []collector.Job) *demoView {
	v := &demoView{out: out, live: live, servers: map[health.TargetID]*demoServer{}, done: make(chan struct{})}
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
		if v.live == nil {
			fmt.Fprintln(v.out, line)
		}
	}
}

// field is text without white space, "-" for none.
func field(s string) string {
	return cmp.Or(strings.ReplaceAll(cellText(s), " ", "_"), "-")
}

func (v *demoView) start() {
	if v.live == nil {
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
	if v.live != nil {
		v.draw()
	}
}

func (v *demoView) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	width, height, _ := terminal(v.out)
	_, _ = io.WriteString(v.out, v.screen(width, height, time.Now()))
}

// screen is the whole picture for a terminal of that size, and what it takes to put it over the last one without flicker.
func (v *demoView) screen(width, height int, now time.Time) string {
	var b strings.Builder
	t := *v.live
	t.out, t.width = &b, width
	t.head, t.rows = []string{"SERVER", "BMC", "HOST", "FANS", "INLET", "HUMID", "DEW PT", "MARGIN", "LEAK", "FAULTS"}, nil
	wide := width >= 100
	if wide {
		t.head = slices.Insert(t.head, 1, "DRIVER")
	}
	for _, id := range v.order {
		s := v.servers[id]
		row := []string{string(id), s.state, s.power.String(), s.worst(health.ClassFan), s.reading(health.Temperature, "intake", "inlet"),
			s.reading(health.RelativeHumidity), s.reading(health.DewPoint), s.reading(health.CondensationMargin), s.worst(health.ClassLeakDetector),
			s.faults()}
		if wide {
			row = slices.Insert(row, 1, s.driver)
		}
		t.row(row...)
	}
	fmt.Fprintf(&b, "%s  dewline demo: SIMULATED servers, read every 5 s; Ctrl-C ends it\n", now.Format(time.TimeOnly))
	b.WriteString("temperatures in °C, humidity in %, margin to condensation in K\n\n")
	_ = t.flush()
	b.WriteString("\nevents\n")
	room := max(3, height-len(v.order)-7)
	for _, e := range v.events[max(0, len(v.events)-room):] {
		_, clock, _ := strings.Cut(e, "T")
		b.WriteString(cut(clock, width) + "\n")
	}
	const home, restOfLine, restOfScreen = "\x1b[H", "\x1b[K", "\x1b[J"
	return home + strings.ReplaceAll(b.String(), "\n", restOfLine+"\n") + restOfScreen
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
	return fmt.Sprintf("%.1f", low.Value)
}

// faults is how many are open, and their kinds, the worst first.
func (s *demoServer) faults() string {
	open := slices.SortedFunc(maps.Values(s.open), func(a, b health.Fault) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Kind, b.Kind))
	})
	var kinds []string
	for _, f := range open {
		if !slices.Contains(kinds, string(f.Kind)) {
			kinds = append(kinds, string(f.Kind))
		}
	}
	if len(open) == 0 {
		return "-"
	}
	return fmt.Sprintf("%d %s", len(open), strings.Join(kinds, ","))
}

package incident

import (
	"cmp"
	"slices"
	"time"

	"dewline/health"
)

// Options of an Engine; zero values are the defaults.
type Options struct {
	Window time.Duration // how far apart signs may be; default DefaultWindow
	Quiet  time.Duration // after how long without a sign an incident is over; default DefaultQuiet
	// Site: all targets of a site are neighbours. Otherwise those of a rack, and of racks that Adjacent lists together.
	Site     bool
	Adjacent [][]string
}

const (
	DefaultWindow = 10 * time.Minute
	DefaultQuiet  = 30 * time.Minute

	// grace is how much later than its time an event may be committed and still join an incident: a visit takes minutes.
	grace = 10 * time.Minute
	// horizon is for how long signs that led to nothing are remembered. It is longer than any window, since events come late.
	horizon = 6 * time.Hour
	// maxRecent bounds them.
	maxRecent = 10000
)

// sign is an event that may be evidence, and where its target stands.
type sign struct {
	health.IncidentEvidence
	where      health.Target
	neighbours int
}

// Engine finds incidents in a sequence of events. It does no I/O and reads no clock. It is for one goroutine.
type Engine struct {
	o       Options
	open    []*health.Incident // sorted
	recent  []sign             // that belong to no incident, in order of commit
	changed map[string]*health.Incident
	members []health.IncidentMember
}

// New makes an engine that goes on with the given open incidents.
func New(o Options, open []health.Incident) *Engine {
	o.Window, o.Quiet = cmp.Or(o.Window, DefaultWindow), cmp.Or(o.Quiet, DefaultQuiet)
	e := &Engine{o: o, changed: map[string]*health.Incident{}}
	for i := range open {
		x := clone(&open[i])
		e.open = append(e.open, &x)
	}
	e.sort()
	return e
}

// sort keeps the open incidents in an order that a restart does not change: a sign joins the first that takes it.
func (e *Engine) sort() {
	slices.SortFunc(e.open, func(a, b *health.Incident) int { return cmp.Or(a.Found.Compare(b.Found), cmp.Compare(a.ID, b.ID)) })
}

// Remember takes an event that was dealt with before a restart, and belongs to no incident: it may become evidence still.
func (e *Engine) Remember(ev *health.Event, where health.Target, neighbours int) {
	if ended(ev) {
		e.endRecent(ev)
	} else if s, ok := newSign(ev, where, neighbours); ok {
		e.keep(s)
	}
}

// Event takes the next committed event. Neighbours is how many targets there are in the neighbourhood, itself included; 0 if
// that is not known.
func (e *Engine) Event(ev *health.Event, where health.Target, neighbours int) {
	if ended(ev) {
		e.end(ev)
		return
	}
	s, ok := newSign(ev, where, neighbours)
	if !ok {
		return
	}
	for _, x := range e.open {
		if e.belongs(x, &s) {
			e.add(x, s)
			e.explain(x)
			return
		}
	}
	e.keep(s)
	e.find(s)
}

// Sign tells whether an event can be evidence, or can end some: other events need not be given.
func Sign(ev *health.Event) bool { return ended(ev) || signOf(ev) != "" }

func ended(ev *health.Event) bool {
	return ev.FaultID != "" && (ev.Transition == health.Cleared || ev.Transition == health.Unmonitored)
}

func newSign(ev *health.Event, where health.Target, neighbours int) (sign, bool) {
	kind := signOf(ev)
	if kind == "" {
		return sign{}, false
	}
	return sign{health.IncidentEvidence{
		Event: ev.ID, Fault: ev.FaultID, Target: ev.Target, Component: ev.Component, Class: ev.Class, Kind: ev.Kind, Severity: ev.Severity,
		Sign: kind, At: ev.At, Message: ev.Message,
	}, where, neighbours}, true
}

func (e *Engine) keep(s sign) {
	newest := s.At
	for i := range e.recent {
		newest = later(newest, e.recent[i].At)
	}
	e.recent = append(e.recent, s)
	e.recent = slices.DeleteFunc(e.recent, func(r sign) bool { return newest.Sub(r.At) > horizon+e.o.Window })
	if n := len(e.recent) - maxRecent; n > 0 {
		e.recent = slices.Delete(e.recent, 0, n)
	}
}

func (e *Engine) endRecent(ev *health.Event) {
	for i := range e.recent {
		if e.recent[i].Fault == ev.FaultID && e.recent[i].Ended.IsZero() {
			e.recent[i].Ended = ev.At
		}
	}
}

// end notes that a fault is over.
func (e *Engine) end(ev *health.Event) {
	e.endRecent(ev)
	for _, x := range e.open {
		hit := false
		for i := range x.Evidence {
			if v := &x.Evidence[i]; v.Fault == ev.FaultID && v.Ended.IsZero() {
				v.Ended, hit = ev.At, true
			}
		}
		if hit {
			x.Changed = later(x.Changed, ev.At)
			for i := range x.Targets {
				countOpen(x, &x.Targets[i])
			}
			e.changed[x.ID] = x
		}
	}
}

// countOpen counts the open faults of a target of an incident.
func countOpen(x *health.Incident, t *health.IncidentTarget) {
	open := map[string]bool{}
	for _, v := range x.Evidence {
		if v.Target == t.Target && v.Fault != "" && v.Ended.IsZero() {
			open[v.Fault] = true
		}
	}
	t.Open = len(open)
}

// near tells whether two targets are neighbours.
func (e *Engine) near(site, rack, site2, rack2 string) bool {
	if site != site2 {
		return false
	}
	if e.o.Site || rack == rack2 {
		return true
	}
	for _, g := range e.o.Adjacent {
		if slices.Contains(g, rack) && slices.Contains(g, rack2) {
			return true
		}
	}
	return false
}

// Near tells whether two targets are neighbours.
func (e *Engine) Near(a, b health.Target) bool { return e.near(a.Site, a.Rack, b.Site, b.Rack) }

// belongs tells whether a sign joins an incident: until it was quiet, without a sign or the end of one, for Quiet.
func (e *Engine) belongs(x *health.Incident, s *sign) bool {
	if s.At.Before(x.Opened.Add(-e.o.Window)) || s.At.After(x.Changed.Add(e.o.Quiet)) {
		return false
	}
	return slices.ContainsFunc(x.Targets, func(t health.IncidentTarget) bool {
		return t.Target == s.Target || e.near(t.Site, t.Rack, s.where.Site, s.where.Rack)
	})
}

func (e *Engine) find(s sign) {
	var together []sign
	t := newTally()
	for i := range e.recent {
		r := &e.recent[i]
		if d := r.At.Sub(s.At); d.Abs() <= e.o.Window && e.Near(r.where, s.where) {
			together = append(together, *r)
			t.add(&r.IncidentEvidence)
		}
	}
	found, ok := t.judge(s.neighbours)
	if !ok {
		return
	}
	slices.SortStableFunc(together, func(a, b sign) int { return a.At.Compare(b.At) })
	x := &health.Incident{
		State: health.IncidentOpen, Site: s.where.Site, Racks: []string{}, Alternatives: []string{}, Found: s.At,
		Targets: []health.IncidentTarget{}, Evidence: []health.IncidentEvidence{},
	}
	var members []health.IncidentMember
	for _, r := range together {
		members = append(members, join(x, r))
	}
	x.FirstSign = together[0].Event
	x.ID = health.IncidentID(x.FirstSign)
	for i := range members {
		members[i].Incident = x.ID
	}
	taken := make(map[string]bool, len(members))
	for _, m := range members {
		taken[m.Event] = true
	}
	e.recent = slices.DeleteFunc(e.recent, func(r sign) bool { return taken[r.Event] })
	x.Rule, x.Cause = found.name, found.cause
	e.members = append(e.members, members...)
	e.open = append(e.open, x)
	e.sort()
	e.changed[x.ID] = x
	describe(x)
}

// add gives an incident further evidence.
func (e *Engine) add(x *health.Incident, s sign) {
	m := join(x, s)
	m.Incident = x.ID
	e.members = append(e.members, m)
	e.changed[x.ID] = x
}

// explain judges an incident anew: its cause may have become stronger.
func (e *Engine) explain(x *health.Incident) {
	if r, ok := tallyOf(x).judge(0); ok && strength(r.cause) > strength(x.Cause) {
		x.Rule, x.Cause = r.name, r.cause
	}
	describe(x)
}

// join puts a sign into an incident.
func join(x *health.Incident, s sign) health.IncidentMember {
	x.Signs++
	if len(x.Evidence) < health.MaxIncidentEvidence {
		x.Evidence = append(x.Evidence, s.IncidentEvidence)
		slices.SortStableFunc(x.Evidence, func(a, b health.IncidentEvidence) int { return a.At.Compare(b.At) })
	}
	x.Severity = max(x.Severity, s.Severity, health.SeverityWarning)
	x.Changed = later(later(x.Changed, s.At), s.Ended)
	if x.Opened.IsZero() || s.At.Before(x.Opened) {
		x.Opened = s.At
	}
	if s.where.Rack != "" && !slices.Contains(x.Racks, s.where.Rack) {
		x.Racks = append(x.Racks, s.where.Rack)
		slices.Sort(x.Racks)
	}
	if x.Origin == health.OriginReal {
		x.Origin = s.where.Origin
	}
	i := slices.IndexFunc(x.Targets, func(t health.IncidentTarget) bool { return t.Target == s.Target })
	if i < 0 && len(x.Targets) >= health.MaxIncidentTargets {
		x.More++
		return health.IncidentMember{Event: s.Event, Fault: s.Fault}
	}
	if i < 0 {
		i = len(x.Targets)
		x.Targets = append(x.Targets, health.IncidentTarget{
			Target: s.Target, Site: s.where.Site, Rack: s.where.Rack, Position: s.where.Position, First: s.At, Component: s.Component, Kind: s.Kind,
			Kinds: []health.IncidentSign{},
		})
	}
	t := &x.Targets[i]
	t.Count++
	if s.At.Before(t.First) {
		t.First, t.Component, t.Kind = s.At, s.Component, s.Kind
	}
	if !slices.Contains(t.Kinds, s.Sign) {
		t.Kinds = append(t.Kinds, s.Sign)
		slices.Sort(t.Kinds)
	}
	countOpen(x, t)
	slices.SortStableFunc(x.Targets, func(a, b health.IncidentTarget) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Target, b.Target))
	})
	return health.IncidentMember{Event: s.Event, Fault: s.Fault}
}

// Sweep closes the incidents that have been quiet for long enough. It is called when no event waits to be taken.
func (e *Engine) Sweep(now time.Time) {
	e.open = slices.DeleteFunc(e.open, func(x *health.Incident) bool {
		stillOpen := slices.ContainsFunc(x.Evidence, func(v health.IncidentEvidence) bool { return v.Fault != "" && v.Ended.IsZero() })
		if stillOpen || now.Before(x.Changed.Add(e.o.Quiet+grace)) {
			return false
		}
		x.State, x.Closed = health.IncidentClosed, x.Changed.Add(e.o.Quiet)
		e.changed[x.ID] = x
		return true
	})
}

// Take is the incidents that are new or changed since the last Take, and their new evidence.
func (e *Engine) Take() ([]health.Incident, []health.IncidentMember) {
	out := make([]health.Incident, 0, len(e.changed))
	for _, x := range e.changed {
		out = append(out, clone(x))
	}
	slices.SortFunc(out, func(a, b health.Incident) int { return cmp.Or(a.Found.Compare(b.Found), cmp.Compare(a.ID, b.ID)) })
	members := e.members
	clear(e.changed)
	e.members = nil
	return out, members
}

// clone shares nothing with x that an engine changes.
func clone(x *health.Incident) health.Incident {
	c := *x
	c.Targets, c.Evidence, c.Racks = slices.Clone(x.Targets), slices.Clone(x.Evidence), slices.Clone(x.Racks)
	for i := range c.Targets {
		c.Targets[i].Kinds = slices.Clone(c.Targets[i].Kinds)
	}
	return c
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

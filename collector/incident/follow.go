package incident

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"dewline/health"
)

// Store is where events come from and incidents are kept.
type Store interface {
	Changed() <-chan struct{}
	EventsFrom(ctx context.Context, n int64, limit int) ([]health.NumberedEvent, error)
	EventsUpTo(ctx context.Context, n int64, limit int) ([]health.NumberedEvent, error)
	Incidents(ctx context.Context, choose health.IncidentFilter) ([]health.Incident, error)
	IncidentCursor(ctx context.Context) (int64, error)
	IncidentMembers(ctx context.Context, n int64) (map[string]string, error)
	SaveIncidents(ctx context.Context, cursor int64, changed []health.Incident, members []health.IncidentMember) error
	Configured(ctx context.Context, id health.TargetID) (*health.Target, error)
}

// Follower follows the committed events of a store and keeps the incidents that it finds there.
type Follower struct {
	Store   Store
	Options Options
	// Fleet is the targets as they are configured now; nil: the store says where a target stands.
	Fleet func() []health.Target
	Log   *slog.Logger
	// Now is the clock by which incidents are closed.
	Now func() time.Time
	// OnIncident is told of each incident that was found, got another cause, or was closed, after that was kept. May be nil.
	OnIncident func(health.Incident)
}

const (
	fetch = 500
	// back is how many events before the cursor are looked at after a restart for signs that led to nothing yet.
	back       = 20000
	sweepEvery = time.Minute
	retryFirst = time.Second
	retryMost  = time.Minute
)

// run is a follower at work.
type run struct {
	*Follower
	engine *Engine
	cursor int64
	saved  int64                           // the cursor that is kept
	causes map[string]health.IncidentCause // of the incidents that were told of
	// What is to be kept, and could not be yet.
	changed []health.Incident
	members []health.IncidentMember
}

// Run follows until ctx ends, and returns nil then.
func (f *Follower) Run(ctx context.Context) error {
	r := &run{Follower: f, causes: map[string]health.IncidentCause{}}
	if !r.insist(ctx, r.restore) {
		return nil
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		changed := f.Store.Changed() // before EventsFrom: what commits in between wakes us
		caughtUp := false
		if !r.insist(ctx, func(ctx context.Context) (err error) {
			caughtUp, err = r.take(ctx)
			return err
		}) {
			return nil
		}
		if !caughtUp {
			continue
		}
		r.engine.Sweep(f.Now())
		if !r.insist(ctx, r.save) {
			return nil
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// CatchUp deals with all that is committed, and returns.
func (f *Follower) CatchUp(ctx context.Context) error {
	r := &run{Follower: f, causes: map[string]health.IncidentCause{}}
	if err := r.restore(ctx); err != nil {
		return err
	}
	for {
		caughtUp, err := r.take(ctx)
		if err == nil && !caughtUp {
			continue
		}
		if err == nil {
			r.engine.Sweep(f.Now())
			err = r.save(ctx)
		}
		return err
	}
}

// restore makes the engine as it was when the cursor was kept.
func (r *run) restore(ctx context.Context) error {
	cursor, err := r.Store.IncidentCursor(ctx)
	if err != nil {
		return err
	}
	open, err := r.Store.Incidents(ctx, health.IncidentFilter{Open: true})
	if err != nil {
		return err
	}
	before, err := r.Store.EventsUpTo(ctx, cursor, back)
	if err != nil {
		return err
	}
	members, err := r.Store.IncidentMembers(ctx, max(0, cursor-back))
	if err != nil {
		return err
	}
	e := New(r.Options, open)
	fleet := r.fleet()
	for i := range before {
		ev := &before[i].Event
		if members[ev.ID] != "" || !Sign(ev) {
			continue
		}
		where, n, err := r.where(ctx, e, fleet, ev.Target)
		if err != nil {
			return err
		}
		e.Remember(ev, where, n)
	}
	for _, x := range open {
		r.causes[x.ID] = x.Cause
	}
	r.engine, r.cursor, r.saved = e, cursor, cursor
	return nil
}

// take deals with the next events. The engine is ahead of what is kept until save succeeds: take is not called in between.
func (r *run) take(ctx context.Context) (caughtUp bool, err error) {
	if err := r.save(ctx); err != nil { // what an earlier call left
		return false, err
	}
	events, err := r.Store.EventsFrom(ctx, r.cursor, fetch)
	if err != nil || len(events) == 0 {
		return true, err
	}
	type placed struct {
		ev    *health.Event
		where health.Target
		n     int
	}
	var signs []placed
	fleet := r.fleet()
	for i := range events { // all that can fail comes before the engine moves
		ev := &events[i].Event
		if !Sign(ev) {
			continue
		}
		where, n, err := r.where(ctx, r.engine, fleet, ev.Target)
		if err != nil {
			return false, err
		}
		signs = append(signs, placed{ev, where, n})
	}
	for _, s := range signs {
		r.engine.Event(s.ev, s.where, s.n)
	}
	r.cursor = events[len(events)-1].N
	return false, r.save(ctx)
}

// save keeps what the engine found and how far it is, in one commit.
func (r *run) save(ctx context.Context) error {
	changed, members := r.engine.Take()
	r.members = append(r.members, members...)
	for _, x := range changed {
		if i := slices.IndexFunc(r.changed, func(c health.Incident) bool { return c.ID == x.ID }); i >= 0 {
			r.changed[i] = x
		} else {
			r.changed = append(r.changed, x)
		}
	}
	if r.cursor == r.saved && len(r.changed) == 0 {
		return nil
	}
	if err := r.Store.SaveIncidents(ctx, r.cursor, r.changed, r.members); err != nil {
		return err
	}
	r.saved = r.cursor
	for _, x := range r.changed {
		r.tell(x)
	}
	r.changed, r.members = nil, nil
	return nil
}

// tell says what became of an incident, once.
func (r *run) tell(x health.Incident) {
	before, known := r.causes[x.ID]
	if known && before == x.Cause && x.State == health.IncidentOpen {
		return
	}
	what := "incident"
	switch {
	case x.State == health.IncidentClosed:
		what = "incident is over"
		delete(r.causes, x.ID)
	case known:
		what = "incident looks different now"
	}
	if x.State == health.IncidentOpen {
		r.causes[x.ID] = x.Cause
	}
	r.Log.Warn(what, "id", x.ID, "cause", string(x.Cause), "rule", x.Rule, "summary", x.Summary)
	if r.OnIncident != nil {
		r.OnIncident(x)
	}
}

// fleet is the targets as configured when a batch of events is dealt with.
type fleet struct {
	of     func() []health.Target // nil: not known
	byName map[health.TargetID]health.Target
	counts map[[2]string]int // of neighbours, by site and rack
}

func (r *run) fleet() *fleet { return &fleet{of: r.Fleet, counts: map[[2]string]int{}} }

func (f *fleet) all() map[health.TargetID]health.Target {
	if f.byName == nil && f.of != nil {
		f.byName = map[health.TargetID]health.Target{}
		for _, t := range f.of() {
			f.byName[t.ID] = t
		}
	}
	return f.byName
}

// near is how many targets there are in a target's neighbourhood.
func (f *fleet) near(e *Engine, t health.Target) int {
	place := [2]string{t.Site, t.Rack}
	n, known := f.counts[place]
	if !known {
		for _, o := range f.all() {
			if e.Near(t, o) {
				n++
			}
		}
		f.counts[place] = n
	}
	return n
}

// where is where a target stands, and how many stand near it.
func (r *run) where(ctx context.Context, e *Engine, fleet *fleet, id health.TargetID) (health.Target, int, error) {
	t, ok := fleet.all()[id]
	if !ok {
		c, err := r.Store.Configured(ctx, id)
		if err != nil {
			return health.Target{}, 0, err
		}
		if c != nil {
			t = *c
		}
		t.ID = id
	}
	return t, fleet.near(e, t), nil
}

// insist tries until it succeeds, or ctx ends: then it is false.
func (r *run) insist(ctx context.Context, do func(context.Context) error) bool {
	said := ""
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := do(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if text := err.Error(); text != said {
			said = text
			r.Log.Error("incidents cannot be followed now; they are tried again", "err", fmt.Errorf("follow incidents: %w", err))
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

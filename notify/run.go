package notify

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"dewline/health"
)

// Follower tells one receiver what is committed. Its fields belong to the goroutine of Run.
type Follower struct {
	o Options
	r Receiver

	cursor   int64
	muted    int64
	actions  int64 // how many of them silences was made of
	silences []health.Silence
	places   map[health.TargetID]health.Target

	groups   map[string]*group
	limit    *rate.Limiter
	tries    int       // failures in a row
	before   time.Time // not to be tried before
	failing  bool      // something failed since the last success: what is due then shares one message
	said     string    // the error that was logged last
	refresh  time.Time // when what is open is due again
	still    string    // why no heartbeat is sent, as it was logged
	restarts bool      // nothing was sent since the start: what waits is a backlog
}

// group is what is remembered of one.
type group struct {
	since time.Time // a row of it was first seen waiting; zero: none is
	sent  time.Time
	worst health.Severity // of the last message
	held  bool            // it was due, and the rate limit held it back
	tries int
}

// New makes a follower. Its receiver must be registered in the store.
func New(o Options, r Receiver) *Follower {
	f := &Follower{o: o, r: r, groups: map[string]*group{}, restarts: true}
	if r.PerHour > 0 {
		f.limit = rate.NewLimiter(rate.Every(time.Hour/time.Duration(r.PerHour)), max(3, r.PerHour/4))
	}
	return f
}

// Run tells until ctx ends, and returns nil then. What was not confirmed is told by the next Run.
func (f *Follower) Run(ctx context.Context) error {
	storeTries := 0
	loaded := false
	for {
		changed := f.o.Store.Changed() // before all questions: what commits in between wakes us
		err := error(nil)
		if !loaded {
			if err = f.load(ctx); err == nil {
				loaded = true
			}
		}
		pause := idle
		if err == nil {
			pause, err = f.step(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil { // of the store: the receivers' are dealt with
			pause = backoff(storeTries, 0)
			storeTries++
			f.say("the store does not say what is to be notified: "+err.Error(), 0)
			changed = nil
		} else {
			storeTries = 0
		}
		timer := time.NewTimer(max(pause, 10*time.Millisecond))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (f *Follower) load(ctx context.Context) error {
	states, err := f.o.Store.NotifierStates(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.Name == f.r.Name {
			f.cursor, f.muted, f.said = s.Cursor, s.Muted, s.LastError // an error of before stands until something is confirmed
		}
	}
	return nil
}

// step does what is due, and says how long nothing will be.
func (f *Follower) step(ctx context.Context) (time.Duration, error) {
	if err := f.recall(ctx); err != nil {
		return 0, err
	}
	if err := f.take(ctx); err != nil {
		return 0, err
	}
	if err := f.release(ctx); err != nil {
		return 0, err
	}
	pause, err := f.send(ctx)
	if err != nil {
		return 0, err
	}
	again, err := f.keepOpen(ctx)
	if err != nil {
		return 0, err
	}
	now := f.o.Now()
	for i := range f.silences {
		if s := &f.silences[i]; s.Active(now) {
			pause = min(pause, s.End().Sub(now))
		}
	}
	return min(pause, again, idle), nil
}

// recall reads what silences there are, and where targets stand.
func (f *Follower) recall(ctx context.Context) error {
	n, err := f.o.Store.ActionCount(ctx)
	if err != nil || n == f.actions {
		return err
	}
	log, err := f.o.Store.Actions(ctx)
	if err != nil {
		return err
	}
	f.actions, f.silences = n, health.Silences(log)
	return nil
}

// take gives new events their rows.
func (f *Follower) take(ctx context.Context) error {
	for {
		states, err := f.o.Store.Notices(ctx, f.r.Name, false, maxQueue)
		if err != nil || len(states) >= maxQueue {
			return err
		}
		events, err := f.o.Store.EventsFrom(ctx, f.cursor, fetch)
		if err != nil || len(events) == 0 {
			return err
		}
		if f.places, err = f.o.Store.Places(ctx); err != nil {
			return err
		}
		change := health.NoticeChange{Cursor: events[len(events)-1].N}
		now := f.o.Now()
		for i := range events {
			e := &events[i]
			want, err := f.wants(ctx, &e.Event)
			if err != nil {
				return err
			}
			if !want {
				continue
			}
			row := health.Notice{N: e.N}
			sev, err := f.gravest(ctx, &e.Event)
			if err != nil {
				return err
			}
			if s := health.SilencedBy(f.silences, now, f.place(e.Target), e.Class, e.Kind, sev); s != nil {
				row.Silence = s.ID
			}
			change.Add = append(change.Add, row)
		}
		if err := f.o.Store.ChangeNotices(ctx, f.r.Name, change); err != nil {
			return err
		}
		f.cursor = change.Cursor
	}
}

func (f *Follower) place(id health.TargetID) *health.Target {
	t := f.places[id]
	t.ID = id
	return &t
}

// wants tells whether the receiver is to be told of an event.
func (f *Follower) wants(ctx context.Context, e *health.Event) (bool, error) {
	m := &f.r.Match
	if !m.Place(f.place(e.Target)) {
		return false, nil
	}
	switch {
	case e.Transition == health.Momentary && e.FaultID != "":
		return false, nil // further evidence of a fault that it knows already
	case m.Thing(e.Class, e.Kind, grave(e)):
		return true, nil
	case e.FaultID == "" || e.Transition == health.Asserted || e.Transition == health.Momentary:
		return false, nil
	}
	// It is over, or better: whoever was told of the worst is told of that.
	history, err := f.o.Store.FaultHistory(ctx, e.FaultID)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(history, func(h health.Event) bool { return !ends(h.Transition) && m.Thing(h.Class, h.Kind, grave(&h)) }), nil
}

// gravest is the severity by which an event is silenced: its own, and of what is over or better that of its fault at its worst. A silence of
// critical faults would let their ends through else, which are ok.
func (f *Follower) gravest(ctx context.Context, e *health.Event) (health.Severity, error) {
	if e.FaultID == "" || !ends(e.Transition) && e.Transition != health.Deescalated {
		return e.Severity, nil
	}
	history, err := f.o.Store.FaultHistory(ctx, e.FaultID)
	if err != nil {
		return 0, err
	}
	worst := grave(e)
	for i := range history {
		if !ends(history[i].Transition) {
			worst = max(worst, grave(&history[i]))
		}
	}
	return worst, nil
}

// grave is an event's severity; one that is not known is not taken for harmless.
func grave(e *health.Event) health.Severity {
	if e.Severity == health.SeverityUnknown {
		return health.SeverityWarning
	}
	return e.Severity
}

func ends(t health.Transition) bool { return t == health.Cleared || t == health.Unmonitored }

// release lets go of what silences held back that are over.
func (f *Follower) release(ctx context.Context) error {
	held, err := f.o.Store.Notices(ctx, f.r.Name, true, maxQueue)
	if err != nil || len(held) == 0 {
		return err
	}
	if f.places == nil {
		if f.places, err = f.o.Store.Places(ctx); err != nil {
			return err
		}
	}
	now := f.o.Now()
	byFault := map[string][]health.Notice{}
	var change health.NoticeChange
	for _, h := range held {
		switch {
		case health.SilencedBy(f.silences, now, f.place(h.Target), h.Class, h.Kind, h.Severity) != nil, f.inForce(h.Silence, now):
		case h.FaultID == "":
			change.Remove, change.Muted = append(change.Remove, h.N), change.Muted+1
		default:
			byFault[h.FaultID] = append(byFault[h.FaultID], h)
		}
	}
	for id, rows := range byFault {
		fault, err := f.o.Store.FaultNow(ctx, id)
		if err != nil {
			return err
		}
		last := rows[len(rows)-1]
		told := rows[0].ID != id // its beginning was not held back
		if fault != nil && !fault.Closed() || told {
			change.Add = append(change.Add, health.Notice{N: last.N})
			rows = rows[:len(rows)-1]
		}
		for _, r := range rows {
			change.Remove, change.Muted = append(change.Remove, r.N), change.Muted+1
		}
	}
	if len(change.Add)+len(change.Remove) == 0 {
		return nil
	}
	if err := f.o.Store.ChangeNotices(ctx, f.r.Name, change); err != nil {
		return err
	}
	f.muted += change.Muted
	f.refresh = time.Time{} // what was held back and is open belongs to it now
	return nil
}

func (f *Follower) inForce(silence string, now time.Time) bool {
	return slices.ContainsFunc(f.silences, func(s health.Silence) bool { return s.ID == silence && s.Active(now) })
}

// backoff waits longer after each failure in a row, by chance a little less or more; not less than a receiver asked for.
func backoff(tries int, after time.Duration) time.Duration {
	d := retryMost
	if tries < 20 {
		d = min(retryFirst<<tries, retryMost)
	}
	d = d/2 + rand.N(d/2+1)
	if after = min(after, mostRetryAfter); after > 0 {
		d = max(d, after+rand.N(after/10+1))
	}
	return d
}

// say logs an error once until it changes.
func (f *Follower) say(text string, waiting int) {
	if text == f.said {
		return
	}
	f.said = text
	f.o.Log.Error("notifications are not taken; they are kept and tried again", "receiver", f.r.Name, "waiting", waiting, "err", text)
}

func (f *Follower) recovered() {
	if f.said != "" {
		f.o.Log.Info("notifications are taken again", "receiver", f.r.Name)
	}
	f.said, f.tries, f.before, f.failing = "", 0, time.Time{}, false
}

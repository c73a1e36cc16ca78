package notify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"dewline/health"
)

// batch is rows that belong together.
type batch struct {
	key  string
	rows []health.Notice
}

// keyOf is the group of an event: its incident, else where it happened.
func (f *Follower) keyOf(n *health.Notice) string {
	if n.Incident != "" {
		return "incident " + n.Incident
	}
	t := f.place(n.Target)
	switch {
	case t.Rack != "":
		return fmt.Sprintf("rack %s/%s", t.Site, t.Rack)
	case t.Site != "":
		return "site " + t.Site
	}
	return "target " + string(n.Target)
}

// send tells what is due, and says when the next is.
func (f *Follower) send(ctx context.Context) (time.Duration, error) {
	now := f.o.Now()
	if now.Before(f.before) {
		return f.before.Sub(now), nil
	}
	rows, err := f.o.Store.Notices(ctx, f.r.Name, false, maxQueue)
	if err != nil || len(rows) == 0 {
		f.restarts = f.restarts && err != nil
		f.forget(now, nil)
		return idle, err
	}
	if f.places == nil {
		if f.places, err = f.o.Store.Places(ctx); err != nil {
			return 0, err
		}
	}
	due, pause := f.due(rows, now)
	backlog := (f.failing || f.restarts) && len(due) > 1
	if len(due) > 1 && (backlog || slices.ContainsFunc(due, func(b batch) bool { return f.groups[b.key].held })) {
		if !f.allowed(now) {
			return f.hold(ctx, due, now)
		}
		_, wait, err := f.deliver(ctx, due, now)
		return wait, err
	}
	for i, b := range due {
		if !f.allowed(now) {
			return f.hold(ctx, due[i:], now)
		}
		ok, wait, err := f.deliver(ctx, []batch{b}, now)
		if err != nil || !ok {
			return wait, err
		}
		pause = min(pause, wait)
	}
	return pause, nil
}

// due is the groups whose time has come, the worst first, and how long until the next one's.
func (f *Follower) due(rows []health.Notice, now time.Time) ([]batch, time.Duration) {
	var all []batch
	at := map[string]int{}
	for i := range rows {
		key := f.keyOf(&rows[i])
		k, ok := at[key]
		if !ok {
			k = len(all)
			at[key] = k
			all = append(all, batch{key: key})
		}
		all[k].rows = append(all[k].rows, rows[i])
	}
	f.forget(now, at)
	pause := idle
	var due []batch
	for _, b := range all {
		g := f.groups[b.key]
		if g == nil {
			g = &group{}
			f.groups[b.key] = g
		}
		if g.since.IsZero() {
			g.since = now
		}
		when := g.since.Add(f.r.Wait)
		if next := g.sent.Add(f.r.Interval); !g.sent.IsZero() && next.After(when) && worst(b.rows) <= g.worst {
			when = next
		}
		if when.After(now) {
			pause = min(pause, when.Sub(now))
			continue
		}
		due = append(due, b)
	}
	slices.SortStableFunc(due, func(a, b batch) int { return cmp.Compare(worst(b.rows), worst(a.rows)) })
	return due, pause
}

// forget drops what is remembered of groups that nothing waits for, once their interval is over.
func (f *Follower) forget(now time.Time, waiting map[string]int) {
	for key, g := range f.groups {
		if _, ok := waiting[key]; ok {
			continue
		}
		g.since, g.held = time.Time{}, false
		if now.Sub(g.sent) > f.r.Interval {
			delete(f.groups, key)
		}
	}
}

// worst is the gravest of what began or got worse; ok if all of it is over.
func worst(rows []health.Notice) health.Severity {
	w := health.SeverityOK
	for i := range rows {
		if !ends(rows[i].Transition) && rows[i].Transition != health.Deescalated {
			w = max(w, grave(&rows[i].Event))
		}
	}
	return w
}

// allowed takes a message from the rate limit.
func (f *Follower) allowed(now time.Time) bool { return f.limit == nil || f.limit.AllowN(now, 1) }

// hold notes what the rate limit holds back, and says for how long.
func (f *Follower) hold(ctx context.Context, due []batch, now time.Time) (time.Duration, error) {
	for _, b := range due {
		f.groups[b.key].held = true
	}
	pause := time.Hour / time.Duration(f.r.PerHour)
	text := fmt.Sprintf("held back by the rate limit of %d messages an hour", f.r.PerHour)
	if f.said == text {
		return pause, nil
	}
	f.say(text, count(due))
	return pause, f.o.Store.ChangeNotices(ctx, f.r.Name, health.NoticeChange{Error: &text, ErrorAt: now})
}

// deliver sends one message about batches. It is false if the receiver did not confirm; then nothing else is due for a while.
func (f *Follower) deliver(ctx context.Context, due []batch, now time.Time) (ok bool, pause time.Duration, err error) {
	m, rows, err := f.message(ctx, due)
	if err != nil {
		return false, 0, err
	}
	attempt, cancel := context.WithTimeout(ctx, f.r.Timeout)
	_, sendErr := f.r.Sender.Send(attempt, m)
	cancel()
	if sendErr != nil {
		if ctx.Err() != nil {
			return false, idle, nil
		}
		return false, f.failed(ctx, due, sendErr, now), nil
	}
	// The receiver has it: that is noted even if we are just being stopped, rather than sent again.
	kept, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	change := health.NoticeChange{SetMuted: true, Sent: 1, SentAt: f.o.Now(), Error: new("")}
	for i := range rows {
		change.Remove = append(change.Remove, rows[i].N)
	}
	if err := f.o.Store.ChangeNotices(kept, f.r.Name, change); err != nil {
		return false, 0, err
	}
	f.muted = 0
	for _, b := range due {
		g := f.groups[b.key]
		g.sent, g.worst, g.held, g.tries = now, worst(b.rows), false, 0
		g.since = time.Time{}
	}
	f.restarts = false
	f.recovered()
	if total := count(due); total > len(rows) {
		for _, b := range due {
			f.groups[b.key].sent = time.Time{} // the rest goes on at once
		}
		return true, 0, nil
	}
	return true, idle, nil
}

func count(due []batch) (n int) {
	for _, b := range due {
		n += len(b.rows)
	}
	return n
}

// failed notes that a receiver did not confirm, and says when it is tried again.
func (f *Follower) failed(ctx context.Context, due []batch, err error, now time.Time) time.Duration {
	why := failure(err)
	if f.limit != nil {
		f.limit.AllowN(now, -1) // an attempt that failed is no message
	}
	text := err.Error()
	f.failing = true
	wait := backoff(f.tries, why.After)
	f.tries++
	f.before = now.Add(wait)
	if text != f.said {
		if err := f.o.Store.ChangeNotices(ctx, f.r.Name, health.NoticeChange{Error: &text, ErrorAt: now}); err != nil {
			text += " (and the store does not take that: " + err.Error() + ")"
		}
	}
	f.say(text, count(due))
	if why.Permanent && len(due) == 1 { // others pass it
		g := f.groups[due[0].key]
		g.tries++
		g.sent, g.worst = now.Add(backoff(g.tries+2, 0)-f.r.Interval), health.SeverityCritical
		f.failing, f.tries, f.before = false, 0, time.Time{}
		wait = retryFirst
	}
	return wait
}

// message is what is told of batches, oldest first, and the rows that it tells of: maxEvents at most.
func (f *Follower) message(ctx context.Context, due []batch) (*health.Message, []health.Notice, error) {
	var rows []health.Notice
	m := &health.Message{Version: 1, Receiver: f.r.Name, Summary: len(due) > 1, Muted: f.muted}
	for _, b := range due {
		rows = append(rows, b.rows...)
		if f.groups[b.key].held {
			m.HeldBack += len(b.rows)
		}
	}
	slices.SortFunc(rows, func(a, b health.Notice) int { return cmp.Compare(a.N, b.N) })
	rows = rows[:min(len(rows), maxEvents)]
	for i := range rows {
		e, err := f.event(ctx, &rows[i])
		if err != nil {
			return nil, nil, err
		}
		m.Events = append(m.Events, e)
	}
	if len(due) == 1 {
		m.Group, m.Incident = due[0].key, rows[0].Incident
		m.Site, m.Rack = m.Events[0].Site, m.Events[0].Rack
		for _, e := range m.Events {
			if e.Site != m.Site {
				m.Site = ""
			}
			if e.Rack != m.Rack {
				m.Rack = ""
			}
		}
	}
	m.Severity, m.ID = worst(rows), health.MessageID(f.r.Name, m.Events)
	m.Chain = chainOf(ctx, f.o.Store)
	m.Text = Text(m)
	return m, rows, nil
}

func (f *Follower) event(ctx context.Context, n *health.Notice) (health.MessageEvent, error) {
	t := f.place(n.Target)
	e := health.MessageEvent{
		ID: n.ID, N: n.N, Target: n.Target, Site: t.Site, Rack: t.Rack, Labels: t.Labels, Component: n.Component, Class: n.Class, Kind: n.Kind,
		Severity: n.Severity, State: n.Transition, Message: n.Message, Rule: n.Rule, At: n.At, Fault: n.FaultID, Origin: t.Origin,
	}
	if n.FaultID == "" {
		return e, nil
	}
	fault, err := f.o.Store.FaultNow(ctx, n.FaultID)
	if err != nil || fault == nil {
		return e, err
	}
	e.Opened = fault.Opened
	if ends(n.Transition) {
		e.Severity = fault.Severity // of what is over
	}
	return e, nil
}

// keepOpen tells a receiver that wants state what is open, when that is due.
func (f *Follower) keepOpen(ctx context.Context) (time.Duration, error) {
	r, ok := f.r.Sender.(Refresher)
	if !ok {
		return idle, nil
	}
	now := f.o.Now()
	if now.Before(f.before) {
		return f.before.Sub(now), nil
	}
	if wait := f.refresh.Sub(now); wait > 0 {
		return wait, nil
	}
	open, err := f.open(ctx)
	if err != nil {
		return 0, err
	}
	still := errText(f.alive(ctx, now))
	if still != "" && still != f.still {
		f.o.Log.Error("no heartbeat is sent", "receiver", f.r.Name, "err", still)
	}
	f.still = still
	attempt, cancel := context.WithTimeout(ctx, f.r.Timeout)
	err = r.Refresh(attempt, open, still == "", chainOf(ctx, f.o.Store))
	cancel()
	switch {
	case ctx.Err() != nil:
		return idle, nil
	case err != nil:
		return f.failed(ctx, nil, err, now), nil
	}
	if f.said != "" {
		if err := f.o.Store.ChangeNotices(ctx, f.r.Name, health.NoticeChange{Error: new("")}); err != nil {
			return 0, err
		}
	}
	f.recovered()
	f.refresh = now.Add(f.r.Resend)
	return f.r.Resend, nil
}

func (f *Follower) alive(ctx context.Context, now time.Time) error {
	if f.o.Alive != nil {
		if err := f.o.Alive(ctx); err != nil {
			return err
		}
	}
	return f.o.Store.Beat(ctx, f.r.Name, now)
}

// open is the open faults that the receiver is to know of. One that began inside a silence is not among them.
func (f *Follower) open(ctx context.Context) ([]health.MessageEvent, error) {
	faults, err := f.o.Store.OpenFaults(ctx)
	if err != nil {
		return nil, err
	}
	held, err := f.o.Store.Notices(ctx, f.r.Name, true, maxQueue)
	if err != nil {
		return nil, err
	}
	hidden := map[string]bool{}
	for _, h := range held {
		if h.ID == h.FaultID {
			hidden[h.FaultID] = true
		}
	}
	if f.places, err = f.o.Store.Places(ctx); err != nil {
		return nil, err
	}
	var out []health.MessageEvent
	for i := range faults {
		x := &faults[i]
		t := f.place(x.Target)
		if hidden[x.ID] || !f.r.Match.Place(t) || !f.r.Match.Thing(x.Class, x.Kind, x.Severity) {
			continue
		}
		out = append(out, health.MessageEvent{
			ID: x.ID, Target: x.Target, Site: t.Site, Rack: t.Rack, Labels: t.Labels, Component: x.Component, Class: x.Class, Kind: x.Kind,
			Severity: x.Severity, State: health.Asserted, Message: x.Message, Rule: x.Rule, At: x.Changed, Fault: x.ID, Opened: x.Opened, Origin: t.Origin,
		})
	}
	return out, nil
}

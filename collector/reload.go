package collector

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"dewline/health"
	"dewline/internal/schedule"
)

// ErrNotRunning is that there is nothing to reload: the collector does not run, or is stopping.
var ErrNotRunning = errors.New("the collector does not run")

// Changes is what a reload changes, by name.
type Changes struct {
	Added   []health.TargetID
	Removed []health.TargetID // logged out; history stays, open faults close as unmonitored
	// Restarted are logged out and then read by their new definition: address, driver, credential, TLS, …
	Restarted []health.TargetID
	// Adjusted keep their session: schedule, labels, site, rack, expected parts.
	Adjusted  []health.TargetID
	Unchanged int
	// Resumed are the suspended credentials that are used again.
	Resumed []string
}

// Empty tells whether the reload changed nothing.
func (c *Changes) Empty() bool {
	return len(c.Added)+len(c.Removed)+len(c.Restarted)+len(c.Adjusted)+len(c.Resumed) == 0
}

// Reload makes the running collector read these jobs instead of the ones before, and resumes every suspended credential. It
// returns at once: sessions are closed, and what was cut is recorded, in the targets' own goroutines, and what comes next for
// a target waits for that. Unchanged targets notice nothing. An error (a target given twice, ErrNotRunning) changes nothing.
func (c *Collector) Reload(jobs []Job) (Changes, error) { return c.apply(jobs, true) }

// Renew is Reload, but resumes only those suspended credentials whose Secret is another one now.
func (c *Collector) Renew(jobs []Job) (Changes, error) { return c.apply(jobs, false) }

func (c *Collector) apply(jobs []Job, resumeAll bool) (Changes, error) {
	var ch Changes
	if err := distinct(jobs); err != nil {
		return ch, fmt.Errorf("reload: %w", err)
	}
	c.liveMu.Lock()
	defer c.liveMu.Unlock()
	l := c.live
	if l == nil || l.ctx.Err() != nil {
		return ch, fmt.Errorf("reload: %w", ErrNotRunning)
	}
	ch.Resumed = c.guard.resume(jobs, resumeAll)
	wanted := make(map[health.TargetID]bool, len(jobs))
	for _, j := range jobs {
		wanted[j.Target.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(l.watched)) {
		if wanted[id] {
			continue
		}
		where := l.watched[id].job.Target
		l.stop(id)
		c.next(l, id, func() { c.retire(l, id, &where) })
		ch.Removed = append(ch.Removed, id)
	}
	for _, j := range jobs {
		id := j.Target.ID
		w := l.watched[id]
		switch {
		case w == nil:
			c.start(l, j, byReload)
			ch.Added = append(ch.Added, id)
			continue
		case w.job.session() != j.session():
			why := byReload
			if w.job.Credential != j.Credential || w.job.Secret != j.Secret {
				why = withNewSecret
			}
			l.stop(id)
			c.start(l, j, why)
			ch.Restarted = append(ch.Restarted, id)
			continue
		case !reflect.DeepEqual(w.job.Target, j.Target) || !maps.EqualFunc(w.job.Schedule, j.Schedule, schedule.Spec.Equal):
			ch.Adjusted = append(ch.Adjusted, id)
		default:
			ch.Unchanged++
		}
		w.job = j
		w.deliver(j)
	}
	for _, ids := range [][]health.TargetID{ch.Added, ch.Restarted, ch.Adjusted} {
		slices.Sort(ids)
	}
	return ch, nil
}

// deliver leaves the newest definition for the target's goroutine, which takes it between two visits. liveMu is held.
func (w *watched) deliver(j Job) {
	select {
	case <-w.post: // one that was not taken yet
	default:
	}
	w.post <- j
}

// session is what of a job a session hangs on.
func (j *Job) session() [6]string {
	t := &j.Target
	return [...]string{t.Address, t.Driver, string(t.Origin), j.Credential, j.Secret, j.Session}
}

// reloaded takes a definition that keeps the session, and what a reload forgives.
func (w *watcher) reloaded(j Job) {
	w.adjust(j)
	a := w.known.Access
	switch {
	case a.Reason == health.ReasonSuspended && !w.c.guard.isSuspended(j.Credential):
		w.owe(resumed(a, w.now()))
	case a.State == health.AccessDenied && a.Reason != health.ReasonSuspended && !w.denied:
		// Denied before this start, perhaps to another secret: nobody knows. Reloading is how a person says "try again".
		w.owe(forgiven(w.now()))
	}
}

// owe changes access in RAM; the next visit that is recorded carries it.
func (w *watcher) owe(a health.Access) {
	w.known.Access, w.owed = a, &a
	w.publish()
}

// adjust takes another definition of the same target. Ticks of the old schedule that are due stay due; the next ones are of
// the new. Those that were skipped are of the old one: its account is closed before.
func (w *watcher) adjust(j Job) {
	old := w.job.Schedule
	changed := health.Tiers(0)
	for _, t := range health.AllTiers {
		if !old[t].Equal(j.Schedule[t]) {
			changed = changed.With(t)
		}
	}
	if changed != 0 && w.pending() {
		w.account()
	}
	w.job = j
	now := time.Now()
	for _, t := range changed.List() {
		if next := w.next[t]; !next.due.IsZero() && !next.due.After(now) { // also one that is to be made up for
			continue
		}
		from := now
		if w.last[t].After(from) { // taken a moment early
			from = w.last[t]
		}
		due := w.after(t, from)
		w.next[t] = tick{due, due}
	}
}

package collector

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"dewline/health"
)

const (
	// suspendAfter targets that deny one credential within denyWindow suspend it: it is the credential that is wrong, and
	// where accounts come from a directory each further attempt locks it for everyone.
	suspendAfter = 3
	denyWindow   = time.Hour
)

// guard keeps one wrong password from being tried on the whole fleet.
type guard struct {
	log   *slog.Logger
	mu    sync.Mutex
	creds map[string]*credential
	// inForce is the secret of each credential by the newest configuration: what a visit begun with an older one says counts
	// no more. Resumed are the credentials that were resumed since the start: what is stored of them from before does not.
	inForce map[string]string
	resumed map[string]bool
}

type credential struct {
	denied    map[health.TargetID]time.Time
	suspended string // why, "" if it is not
	secret    string // Job.Secret that was denied
}

func (g *guard) of(name string) *credential {
	c := g.creds[name]
	if c == nil {
		if g.creds == nil {
			g.creds = map[string]*credential{}
		}
		c = &credential{denied: map[health.TargetID]time.Time{}}
		g.creds[name] = c
	}
	return c
}

// take takes the secrets of a configuration.
func (g *guard) take(jobs []Job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.takeLocked(jobs)
}

func (g *guard) takeLocked(jobs []Job) {
	g.inForce = make(map[string]string)
	for _, j := range jobs {
		g.inForce[j.Credential] = j.Secret
	}
}

// note takes what a read said of a job's credential.
func (g *guard) note(j *Job, v *health.Visit, now time.Time) {
	if j.Credential == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if secret, ok := g.inForce[j.Credential]; !ok || secret != j.Secret {
		return
	}
	c := g.of(j.Credential)
	switch {
	case v.Answered():
		delete(c.denied, j.Target.ID)
		return
	case v.Result != health.Failed || v.Reason != health.ReasonDenied:
		return
	}
	if names := g.denyLocked(c, j, now); names != nil {
		g.log.Error("credential is suspended: several targets deny it, and accounts lock; none of its targets is tried until its secret changes or `dewline reload`",
			"credential", j.Credential, "denied_by", names)
	}
}

// deny takes a denial that was met before this start.
func (g *guard) deny(j *Job, at time.Time) {
	if j.Credential == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if names := g.denyLocked(g.of(j.Credential), j, at); names != nil {
		g.log.Warn("credential is suspended since before this start: none of its targets is tried until `dewline reload`",
			"credential", j.Credential, "denied_by", names)
	}
}

// denyLocked counts a denial, and gives the targets that denied if it is the one that suspends the credential.
func (g *guard) denyLocked(c *credential, j *Job, now time.Time) []string {
	if c.secret != j.Secret && c.suspended == "" { // what was denied to another secret counts no more
		clear(c.denied)
		c.secret = j.Secret
	}
	maps.DeleteFunc(c.denied, func(_ health.TargetID, at time.Time) bool { return now.Sub(at) > denyWindow })
	c.denied[j.Target.ID] = now
	if len(c.denied) < suspendAfter || c.suspended != "" {
		return nil
	}
	names := make([]string, 0, len(c.denied))
	for id := range c.denied {
		names = append(names, string(id))
	}
	slices.Sort(names)
	c.suspended = fmt.Sprintf("%s: %s denied it within %s; none of its targets is tried until `dewline reload`, since accounts lock",
		suspendedPrefix(j.Credential), strings.Join(names, ", "), denyWindow)
	return names
}

// suspendedPrefix begins the text of a suspension, by which a stored one is known to be of this credential.
func suspendedPrefix(name string) string { return fmt.Sprintf("credential %q is suspended", name) }

// recalled takes a suspension stored before this start; false if it is of another credential than the target has now, or was
// lifted since. The
// secret of then is not known: it is taken to be that of now.
func (g *guard) recalled(j *Job, a health.Access) bool {
	name := j.Credential
	if name == "" || !strings.HasPrefix(a.Error, suspendedPrefix(name)+":") {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.resumed[name] { // by a reload that was faster than this target's recall
		return false
	}
	if c := g.of(name); c.suspended == "" {
		c.suspended, c.secret = a.Error, j.Secret
		g.log.Warn("credential is suspended since before this start: none of its targets is tried until `dewline reload`", "credential", name)
	}
	return true
}

// suspended is why a credential is not used, "" if it is.
func (g *guard) suspended(name string) string {
	if name == "" {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.creds[name]; c != nil {
		return c.suspended
	}
	return ""
}

func (g *guard) isSuspended(name string) bool { return g.suspended(name) != "" }

// resume uses suspended credentials again: all of them, or those whose secret is another one in the given jobs. It gives
// their names.
func (g *guard) resume(jobs []Job, all bool) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.inForce
	g.takeLocked(jobs)
	if g.resumed == nil {
		g.resumed = map[string]bool{}
	}
	for name, secret := range g.inForce {
		if old, ok := before[name]; all || !ok || old != secret {
			g.resumed[name] = true
		}
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(g.creds)) {
		c := g.creds[name]
		secret, used := g.inForce[name]
		if !all && used && c.secret == secret {
			continue
		}
		if c.suspended != "" && used {
			names = append(names, name)
			g.log.Info("credential is used again", "credential", name)
		}
		if c.suspended != "" || !used {
			delete(g.creds, name) // and its denials: they are of the past
		}
	}
	return names
}

// Suspended is the credentials that are not used now, by name.
func (c *Collector) Suspended() []string {
	g := &c.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	var names []string
	for name, cred := range g.creds {
		if cred.suspended != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// suspendedAccess is the access of a target whose credential is suspended. How often the target itself denied us is kept.
func suspendedAccess(a health.Access, text string, now time.Time) health.Access {
	s := health.Access{State: health.AccessDenied, Since: now, Reason: health.ReasonSuspended, Error: text}
	if a.State == health.AccessDenied {
		s.Since, s.Failures = a.Since, a.Failures
	}
	return s
}

// resumed is the access of a target whose credential is no longer suspended: one that denied us itself backs off anew, the
// others are tried, a few at a time as all targets are that are not known to be well.
func resumed(a health.Access, now time.Time) health.Access {
	if a.Failures == 0 {
		return forgiven(now)
	}
	a.Reason, a.NextTry = health.ReasonDenied, now.Add(denyPause(a.Failures))
	return a
}

// forgiven is the access of a target that denied us, and is tried again because something has changed.
func forgiven(now time.Time) health.Access {
	return health.Access{State: health.AccessSuspect, Since: now, Reason: health.ReasonDenied, Error: "denied before the configuration was reloaded; not tried since"}
}

// denyPause is how long a target is left alone after so many denials in a row.
func denyPause(failures int) time.Duration {
	return min(deniedMost, deniedFirst<<min(max(failures, 1)-1, 10))
}

// suspend accounts for the ticks that are due as not tried, and says so once in the record.
func (w *watcher) suspend(now time.Time, why string) {
	w.skipDue(now, health.ReasonBackOff)
	first := w.known.Access.Reason != health.ReasonSuspended
	if first {
		w.close()
		w.owe(suspendedAccess(w.known.Access, clip(why), w.now()))
	}
	if w.pending() && (first || w.unaccounted(now) >= probeEvery) {
		w.account()
	}
}

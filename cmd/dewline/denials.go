package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/config"
	"dewline/internal/privatefile"
	"dewline/store/sqlite"
)

// Which BMC denied which login is in the store, as the access of its target. Beside it, in data_dir/denials.json (0600), is
// what the store cannot say: with which secret, so that a corrected one is tried at once; and what commands met while no
// daemon ran, which obey both and write to no store.

// denial is a login that a BMC refused.
type denial struct {
	Target     health.TargetID `json:"target"`
	Endpoint   string          `json:"endpoint"`
	Credential string          `json:"credential"`
	Mark       string          `json:"mark"` // secretMark
	At         time.Time       `json:"at"`
	NextTry    time.Time       `json:"next_try"`
	Failures   int             `json:"failures"`
	Error      string          `json:"error"`
}

type denialsFile struct {
	V       int      `json:"v"`
	Denials []denial `json:"denials"`
}

const (
	maxDenialsFile = 64 << 20
	denialWindow   = time.Hour // in which three targets that deny one credential suspend it
	denialTargets  = 3
	denialPause    = 30 * time.Minute // after the first denial, then twice as long each
	denialMost     = 24 * time.Hour
)

func denialsPath(dataDir string) string { return filepath.Join(dataDir, "denials.json") }

// secretMark tells a changed user or password by two bytes of a digest: enough to see a change, far too few to find the
// password by.
func secretMark(c *config.Credential) string {
	password, err := c.Password.Resolve()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte("dewline session\x00" + c.Username + "\x00" + password.Reveal()))
	return hex.EncodeToString(sum[:2])
}

func readDenials(dataDir string) ([]denial, error) {
	b, err := privatefile.Read(denialsPath(dataDir), maxDenialsFile)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var f denialsFile
	if err := json.Unmarshal(b, &f); err != nil || f.V != 1 {
		return nil, fmt.Errorf("%s is not what dewline writes: remove it", denialsPath(dataDir))
	}
	return f.Denials, nil
}

// editDenials changes the file, one process at a time. Without a data_dir there is none.
func editDenials(dataDir string, edit func([]denial) []denial) error {
	dir, err := os.Open(dataDir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("remember denied logins: %w", err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("remember denied logins: %w", err)
	}
	before, err := readDenials(dataDir)
	if err != nil {
		before = nil // what cannot be read is made anew
	}
	after := edit(slices.Clone(before))
	if err == nil && slices.Equal(before, after) {
		return nil
	}
	if len(after) == 0 {
		return privatefile.Remove(denialsPath(dataDir))
	}
	b, err := json.Marshal(denialsFile{1, after})
	if err != nil {
		return fmt.Errorf("remember denied logins: %w", err)
	}
	return privatefile.Write(denialsPath(dataDir), b)
}

// saysOfLogin tells whether a read says anything of a target's login, and whether that was denied.
func saysOfLogin(v *health.Visit) (denied, says bool) {
	denied = v.Result == health.Failed && v.Reason == health.ReasonDenied
	return denied, denied || v.Answered()
}

// withVisit is the denials after a read of a target.
func withVisit(ds []denial, t *config.Target, v *health.Visit, now time.Time) []denial {
	denied, says := saysOfLogin(v)
	if !says {
		return ds
	}
	mark, failures := secretMark(&t.Credential), 1
	if i := slices.IndexFunc(ds, func(d denial) bool { return d.Target == t.ID }); i >= 0 {
		if ds[i].Mark == mark && ds[i].Endpoint == health.Endpoint(t.Target) {
			failures = ds[i].Failures + 1
		}
		ds = slices.Delete(ds, i, i+1)
	}
	if !denied || t.Credential.Name == "" {
		return ds
	}
	return append(ds, denial{
		Target: t.ID, Endpoint: health.Endpoint(t.Target), Credential: t.Credential.Name, Mark: mark, At: now,
		NextTry: now.Add(min(denialMost, denialPause<<min(failures-1, 10))), Failures: failures, Error: v.Error,
	})
}

// denialKeeper writes down what the daemon's visits say of logins.
type denialKeeper struct {
	dataDir string
	target  func(health.TargetID) (*config.Target, bool)
	log     *slog.Logger

	mu     sync.Mutex
	listed map[health.TargetID]bool
	met    []*health.Visit
}

// take is told of every visit, and must be quick.
func (k *denialKeeper) take(v *health.Visit) {
	denied, says := saysOfLogin(v)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !says || !denied && !k.listed[v.Target] {
		return
	}
	k.met = append(k.met, v)
}

// flush brings the file up to date.
func (k *denialKeeper) flush() {
	k.mu.Lock()
	met := k.met
	k.met = nil
	k.mu.Unlock()
	if len(met) == 0 {
		return
	}
	var after []denial
	err := editDenials(k.dataDir, func(ds []denial) []denial {
		for _, v := range met {
			if t, ok := k.target(v.Target); ok {
				ds = withVisit(ds, t, v, v.At().UTC().Round(0))
			}
		}
		after = ds
		return ds
	})
	if err != nil {
		k.log.Warn("denied logins are remembered in the store alone", "err", err)
		return
	}
	k.list(after)
}

func (k *denialKeeper) list(ds []denial) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listed = map[health.TargetID]bool{}
	for _, d := range ds {
		k.listed[d.Target] = true
	}
}

// forget is what a reload does: all logins may be tried again.
func (k *denialKeeper) forget() {
	if err := editDenials(k.dataDir, func([]denial) []denial { return nil }); err != nil {
		k.log.Warn("denied logins are still remembered", "err", err)
		return
	}
	k.list(nil)
}

func (k *denialKeeper) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			k.flush()
		}
	}
}

// lockout is the lock-out guard of a command that reads BMCs itself.
type lockout struct {
	dataDir string
	denials []denial
	access  map[health.TargetID]health.Access
	again   bool // the user said so

	mu    sync.Mutex
	turn  *sync.Cond
	creds map[string]*tried
}

// tried is how a credential does in this command.
type tried struct {
	flying, denied int
	proven         bool
}

// enter waits until a target may be tried with its credential: before any BMC has taken it, no more are tried at once than may
// deny it. It gives why the target is not tried, "" if it is; then leave must follow.
func (l *lockout) enter(t *config.Target) string {
	if why := l.refusal(t); why != "" {
		return why
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.of(t.Credential.Name)
	for !c.proven && c.denied < denialTargets && c.flying >= denialTargets-c.denied {
		l.turn.Wait()
	}
	if c.denied >= denialTargets && t.Credential.Name != "" {
		return fmt.Sprintf("not tried, since accounts lock: credential %q was just denied by %d targets", t.Credential.Name, c.denied)
	}
	c.flying++
	return ""
}

func (l *lockout) of(name string) *tried {
	if l.creds[name] == nil {
		l.creds[name] = &tried{}
	}
	return l.creds[name]
}

// leave takes what a read said, and writes it down.
func (l *lockout) leave(t *config.Target, v *health.Visit) error {
	l.mu.Lock()
	c := l.of(t.Credential.Name)
	c.flying--
	denied, says := saysOfLogin(v)
	if denied {
		c.denied++
	} else if says {
		c.proven = true
	}
	l.turn.Broadcast()
	l.mu.Unlock()
	if l.dataDir == "" || !says {
		return nil
	}
	return editDenials(l.dataDir, func(ds []denial) []denial { return withVisit(ds, t, v, time.Now().UTC().Round(0)) })
}

// lockout is newLockout, whose error is told as a warning; only a store that is newer than this program is one that ends the command.
func (p *program) lockout(ctx context.Context, dataDir string, again bool) (*lockout, error) {
	guard, err := newLockout(ctx, dataDir, again)
	if errors.Is(err, sqlite.ErrNewer) {
		return nil, err
	}
	if err != nil {
		p.warnDenials(err)
	}
	return guard, nil
}

// newLockout reads what is known of denied logins. The error is that something is there and cannot be read.
func newLockout(ctx context.Context, dataDir string, again bool) (*lockout, error) {
	l := &lockout{dataDir: dataDir, access: map[health.TargetID]health.Access{}, again: again, creds: map[string]*tried{}}
	l.turn = sync.NewCond(&l.mu)
	if dataDir == "" {
		return l, nil
	}
	denials, unreadable := readDenials(dataDir)
	if unreadable != nil {
		unreadable = fmt.Errorf("whether logins were denied before is not known: %w", unreadable)
	}
	l.denials = denials
	db, err := sqlite.OpenReadOnly(ctx, dataDir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || !storeThere(dataDir) {
			return l, unreadable
		}
		return l, errors.Join(unreadable, fmt.Errorf("whether logins were denied before is not known: %w", err))
	}
	defer db.Close()
	statuses, err := db.Statuses(ctx)
	if err != nil {
		return l, fmt.Errorf("whether logins were denied before is not known: %w", err)
	}
	for _, s := range statuses {
		l.access[s.Target] = s.Access
	}
	return l, unreadable
}

func storeThere(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, "dewline.db"))
	return !errors.Is(err, fs.ErrNotExist)
}

// renewed tells whether a credential is known to have been denied with other secrets alone.
func renewed(ds []denial, credential, mark string) bool {
	seen := false
	for _, d := range ds {
		if d.Credential == credential {
			if d.Mark == mark {
				return false
			}
			seen = true
		}
	}
	return seen
}

// refusal is why a target is not tried now, "" if it is.
func (l *lockout) refusal(t *config.Target) string {
	if l.again || t.Credential.Name == "" {
		return ""
	}
	const lift = "; to have it tried before: correct the secret, or `dewline reload` a running daemon, or --try-denied"
	now, mark := time.Now(), secretMark(&t.Credential)
	changed := renewed(l.denials, t.Credential.Name, mark)
	if why := l.suspension(t.Credential.Name, mark); why != "" && !changed {
		return "not tried, since accounts lock: " + why + lift
	}
	rest := func(since, next time.Time, text string) string {
		if !now.Before(next) || next.Sub(now) > denialMost {
			return ""
		}
		return fmt.Sprintf("not tried, since accounts lock: denied since %s, next try %s: %s%s", since.UTC().Format(time.RFC3339), next.UTC().Format(time.RFC3339), text, lift)
	}
	for _, d := range l.denials {
		if d.Target == t.ID && d.Mark == mark && d.Endpoint == health.Endpoint(t.Target) {
			if why := rest(d.At, d.NextTry, d.Error); why != "" {
				return why
			}
		}
	}
	if a := l.access[t.ID]; a.State == health.AccessDenied && a.Reason == health.ReasonDenied && !changed {
		return rest(a.Since, a.NextTry, a.Error)
	}
	return ""
}

// suspension is why a credential is used for no target, "" if it is used.
func (l *lockout) suspension(name, mark string) string {
	for _, a := range l.access {
		if a.State == health.AccessDenied && a.Reason == health.ReasonSuspended && strings.HasPrefix(a.Error, fmt.Sprintf("credential %q is suspended:", name)) {
			return fmt.Sprintf("since %s %s", a.Since.UTC().Format(time.RFC3339), a.Error)
		}
	}
	var last time.Time
	for _, d := range l.denials {
		if d.Credential == name && d.Mark == mark && d.At.After(last) {
			last = d.At
		}
	}
	var by []string
	for _, d := range l.denials {
		if d.Credential == name && d.Mark == mark && last.Sub(d.At) <= denialWindow {
			by = append(by, string(d.Target))
		}
	}
	if len(by) < denialTargets {
		return ""
	}
	slices.Sort(by)
	return fmt.Sprintf("since %s credential %q is suspended: %s denied it", last.UTC().Format(time.RFC3339), name, strings.Join(by, ", "))
}

// recallDenials gives the collector's first jobs what commands met, and which secrets are others than those denied.
func recallDenials(cfg *config.Config, jobs []collector.Job) error {
	ds, err := readDenials(cfg.DataDir)
	if err != nil {
		return err
	}
	if len(ds) == 0 {
		return nil
	}
	targets := map[health.TargetID]*config.Target{}
	for i := range cfg.Targets {
		targets[cfg.Targets[i].ID] = &cfg.Targets[i]
	}
	marks := map[string]string{}
	for i := range jobs {
		t := targets[jobs[i].Target.ID]
		if t == nil || t.Credential.Name == "" {
			continue
		}
		mark, ok := marks[t.Credential.Name]
		if !ok {
			mark = secretMark(&t.Credential)
			marks[t.Credential.Name] = mark
		}
		jobs[i].Renewed = renewed(ds, t.Credential.Name, mark)
		for _, d := range ds {
			if d.Target == t.ID && d.Mark == mark && d.Endpoint == health.Endpoint(t.Target) {
				jobs[i].Denied = &health.Access{
					State: health.AccessDenied, Since: d.At, NextTry: d.NextTry, Failures: d.Failures, Reason: health.ReasonDenied, Error: d.Error,
				}
			}
		}
	}
	return nil
}

package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dewline/collector"
	"dewline/collector/moisture"
	"dewline/collector/push"
	"dewline/health"
	"dewline/internal/config"
	"dewline/store/sqlite"
)

// service is a running `dewline run`: what a reload changes, and what it needs for that.
type service struct {
	path      string // of the configuration
	log       *slog.Logger
	level     *slog.LevelVar
	db        *sqlite.DB
	collector *collector.Collector
	delivery  *delivery // nil: no InfluxDB at the start
	crier     *crier
	told      string // the digest of the crier's receivers
	systemd   *notifier
	key       [32]byte // of the digests, this process's own
	firmware  map[health.TargetID]string
	denials   *denialKeeper
	rooms     *moisture.Rooms
	input     *push.Input // nil: nothing can be pushed

	reloading sync.Mutex // one at a time
	secrets   map[string]string
	cfg       atomic.Pointer[config.Config] // in force
	targets   atomic.Pointer[map[health.TargetID]*config.Target]
}

func newService(path string, cfg *config.Config, log *slog.Logger, level *slog.LevelVar) (*service, error) {
	d := &service{path: path, log: log, level: level, firmware: map[health.TargetID]string{}, rooms: &moisture.Rooms{}}
	if _, err := rand.Read(d.key[:]); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	d.take(cfg)
	return d, nil
}

// visited is told of every visit that was recorded.
func (d *service) visited(v *health.Visit) {
	d.rooms.Take(v)
	d.denials.take(v)
}

func (d *service) config() *config.Config { return d.cfg.Load() }

// take puts a configuration in force for whatever is opened from now on.
func (d *service) take(cfg *config.Config) {
	targets := make(map[health.TargetID]*config.Target, len(cfg.Targets))
	for i := range cfg.Targets {
		targets[cfg.Targets[i].ID] = &cfg.Targets[i]
	}
	d.targets.Store(&targets)
	d.cfg.Store(cfg)
	d.rooms.Set(mappings(cfg))
}

func (d *service) target(id health.TargetID) (*config.Target, bool) {
	t, ok := (*d.targets.Load())[id]
	return t, ok
}

func (d *service) open(t health.Target, chosen string) (collector.Source, error) {
	now, ok := d.target(t.ID)
	if !ok { // a reload took it away a moment ago
		return nil, &health.Error{Reason: health.ReasonStopped, Op: "open driver", Err: fmt.Errorf("%q is no longer configured", t.ID)}
	}
	return openTarget(now, chosen, d.firmware[t.ID], sessionsDir(d.config().DataDir), d.log)
}

// digest tells two lists of values apart without telling what they are.
func (d *service) digest(parts ...string) string {
	h := hmac.New(sha256.New, d.key[:])
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// jobs makes the collector's jobs of a configuration, and notes the digests of its secrets.
func (d *service) jobs(cfg *config.Config) ([]collector.Job, map[string]string) {
	secrets, files := map[string]string{}, map[string]string{}
	var jobs []collector.Job
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		name := t.Credential.Name
		if _, ok := secrets[name]; !ok {
			secrets[name] = d.secret(&t.Credential)
		}
		jobs = append(jobs, collector.Job{
			Target: t.Target, Schedule: t.Schedule, Credential: name, Secret: secrets[name], Session: d.session(t, files),
		})
	}
	return jobs, secrets
}

// secret is the digest of a credential: of its user, and of its password as it is now.
func (d *service) secret(c *config.Credential) string {
	password, err := c.Password.Resolve()
	if err != nil {
		return d.digest(c.Username, "unresolved")
	}
	return d.digest(c.Username, "resolved", password.Reveal())
}

// session is the digest of what a target's session hangs on beyond its credential. Files holds authorities read already.
func (d *service) session(t *config.Target, files map[string]string) string {
	if f := t.TLS.CAFile; f != "" && files[f] == "" {
		pem, err := os.ReadFile(f) // config has read it, and found it small
		files[f] = d.digest(string(pem), fmt.Sprint(err))
	}
	return d.digest(t.TLS.CAFile, files[t.TLS.CAFile], t.TLS.Fingerprint, fmt.Sprint(t.TLS.Insecure), t.Auth, t.Privilege, fmt.Sprint(t.CipherSuites),
		fmt.Sprint(t.Quirks, t.QuirksOff, t.LeakSensors))
}

// influxDigest is the digest of where and how points are delivered; "" for nowhere.
func (d *service) influxDigest(c *config.InfluxDB) string {
	if c == nil {
		return ""
	}
	token, err := c.Token.Resolve()
	return d.digest(c.URL, c.Organization, c.Bucket, token.Reveal(), fmt.Sprint(err), c.Timeout.String(), fmt.Sprint(c.TLS))
}

// renewEvery is how often the secrets of suspended credentials are looked at.
const renewEvery = time.Minute

// renew uses suspended credentials again whose secret was corrected where it is kept, until ctx ends: no reload is needed.
func (d *service) renew(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if names := d.collector.Suspended(); len(names) > 0 {
			d.renewSecrets(names)
		}
	}
}

func (d *service) renewSecrets(names []string) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	jobs, secrets := d.jobs(d.config())
	changed := false
	for i := range jobs {
		name := jobs[i].Credential
		if !slices.Contains(names, name) || secrets[name] == d.secrets[name] {
			jobs[i].Secret = d.secrets[name] // others keep their sessions
			continue
		}
		changed = true
	}
	if !changed {
		return
	}
	if _, err := d.collector.Renew(jobs); err != nil {
		d.log.Debug("use corrected secrets", "err", err)
		return
	}
	for _, name := range names {
		d.secrets[name] = secrets[name]
	}
}

// progress says why there is none: a target's goroutine that does not move, or a store that does not answer.
func (d *service) progress(ctx context.Context) error {
	if err := d.collector.Stalled(); err != nil {
		return err
	}
	if _, err := d.db.MaxSeq(ctx); err != nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	return nil
}

// status is one line on how the daemon does.
func (d *service) status() string {
	s := d.collector.Stats()
	var states []string
	for _, state := range slices.Sorted(maps.Keys(s.Access)) {
		states = append(states, fmt.Sprintf("%d %s", s.Access[state], state))
	}
	line := fmt.Sprintf("%d targets", s.Targets)
	if len(states) > 0 {
		line += ": " + strings.Join(states, ", ")
	}
	if d.delivery != nil {
		if st := d.delivery.State(); st.LastError != "" {
			line += "; InfluxDB " + st.Lag.Round(time.Second).String() + " behind"
		}
	}
	if len(s.Suspended) > 0 {
		line += "; suspended credentials: " + strings.Join(s.Suspended, ", ")
	}
	return line
}

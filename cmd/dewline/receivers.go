package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"dewline/internal/config"
	"dewline/internal/secret"
	"dewline/notify"
	"dewline/store/sqlite"
)

// receivers is what the configuration's [[notify.…]] tables are made into.
type receivers struct {
	told  []notify.Receiver
	beats []beat
	// digest tells two of them apart, secrets included, without telling what they are.
	digest string
}

type beat struct {
	name           string
	every, timeout time.Duration
	ping           *notify.Ping
}

func (r *receivers) names() []string {
	var out []string
	for i := range r.told {
		out = append(out, r.told[i].Name)
	}
	for i := range r.beats {
		out = append(out, r.beats[i].name)
	}
	return out
}

// newReceivers resolves the secrets of receivers and makes them. Digest is told all that they hang on.
func newReceivers(c *config.Notify, digest func(parts ...string) string) (*receivers, error) {
	r := &receivers{}
	var parts []string
	fail := func(name string, err error) (*receivers, error) {
		return nil, fmt.Errorf("receiver %q of notifications: %w", name, err)
	}
	for i := range c.Alertmanagers {
		a := &c.Alertmanagers[i]
		h, all, err := reach(a.URL, a.Token, a.CAFile)
		if err != nil {
			return fail(a.Name, err)
		}
		parts = append(append(parts, "alertmanager", fmt.Sprint(a.Route, a.Resend, a.Heartbeat, a.Timeout)), all...)
		r.told = append(r.told, notify.Receiver{
			Name: a.Name, Match: a.Match, Wait: time.Second, Interval: time.Second, Resend: a.Resend, Timeout: a.Timeout,
			Sender: notify.NewAlertmanager(h, a.Resend, a.Heartbeat),
		})
	}
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		h, all, err := reach(w.URL, w.Token, w.CAFile)
		if err != nil {
			return fail(w.Name, err)
		}
		key, err := w.Secret.Resolve()
		if err != nil {
			return fail(w.Name, err)
		}
		parts = append(append(parts, "webhook", fmt.Sprint(w.Route, w.Pace, w.Timeout), w.BodyText(), reveal(key)), all...)
		r.told = append(r.told, notify.Receiver{
			Name: w.Name, Match: w.Match, Wait: w.Wait, Interval: w.Interval, PerHour: w.PerHour, Timeout: w.Timeout, Sender: notify.NewWebhook(h, key, w.Body),
		})
	}
	for i := range c.Mails {
		m := &c.Mails[i]
		password, err := m.Password.Resolve()
		if err != nil {
			return fail(m.Name, err)
		}
		roots, pem, err := authorities(m.CAFile)
		if err != nil {
			return fail(m.Name, err)
		}
		s, err := notify.NewSMTP(notify.SMTP{
			Host: m.Host, Port: m.Port, TLS: notify.TLSMode(m.TLS), Username: m.Username, Password: password, From: m.From, To: m.To, Roots: roots,
			Timeout: m.Timeout, Subject: m.Subject, Body: m.Body, Now: time.Now,
		})
		if err != nil {
			return fail(m.Name, err)
		}
		subject, body := m.Texts()
		parts = append(parts, "mail", fmt.Sprint(m.Route, m.Pace, m.Host, m.Port, m.TLS, m.Username, m.From, m.To, m.Timeout), subject, body, reveal(password), pem)
		r.told = append(r.told, notify.Receiver{
			Name: m.Name, Match: m.Match, Wait: m.Wait, Interval: m.Interval, PerHour: m.PerHour, Timeout: m.Timeout, Sender: s,
		})
	}
	for i := range c.Heartbeats {
		b := &c.Heartbeats[i]
		h, all, err := reach(b.URL, secret.Ref{}, b.CAFile)
		if err != nil {
			return fail(b.Name, err)
		}
		parts = append(append(parts, "heartbeat", fmt.Sprint(b.Name, b.Method, b.Every, b.Timeout)), all...)
		r.beats = append(r.beats, beat{b.Name, b.Every, b.Timeout, notify.NewPing(h, b.Method)})
	}
	if digest != nil {
		r.digest = digest(parts...)
	}
	return r, nil
}

func reveal(s secret.Secret) string {
	if s.IsZero() {
		return ""
	}
	return s.Reveal()
}

// reach resolves how a receiver is reached, and gives what that hangs on.
func reach(url, token secret.Ref, caFile string) (notify.HTTP, []string, error) {
	h := notify.HTTP{Now: time.Now, Agent: "dewline/" + readBuildInfo().Version}
	var err error
	if h.URL, err = url.Resolve(); err != nil {
		return h, nil, err
	}
	if text := reveal(h.URL); !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return h, nil, errors.New("its URL does not begin with http:// or https://")
	}
	if h.Token, err = token.Resolve(); err != nil {
		return h, nil, err
	}
	roots, pem, err := authorities(caFile)
	h.Roots = roots
	return h, []string{reveal(h.URL), reveal(h.Token), pem}, err
}

// authorities reads a file of certificates; nil for none: the system's.
func authorities(file string) (*x509.CertPool, string, error) {
	if file == "" {
		return nil, "", nil
	}
	pem, err := os.ReadFile(file) // config has read it, and found it small
	if err != nil {
		return nil, "", err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, "", fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, string(pem), nil
}

// crier tells all receivers, and can be given others while it runs. What they were told already is in the store.
type crier struct {
	db    *sqlite.DB
	log   *slog.Logger
	alive func(context.Context) error

	mu   sync.Mutex
	now  *receivers
	next chan *receivers // holds one: the newest
}

// newCrier enters the receivers into the store: from now on nothing that is recorded is missed.
func newCrier(ctx context.Context, db *sqlite.DB, r *receivers, alive func(context.Context) error, log *slog.Logger) (*crier, error) {
	c := &crier{db: db, log: log, alive: alive, now: r, next: make(chan *receivers, 1)}
	return c, c.register(ctx, r)
}

func (c *crier) register(ctx context.Context, r *receivers) error {
	dropped, err := c.db.RegisterNotifiers(ctx, r.names())
	if len(dropped) > 0 {
		c.log.Warn("receivers are no longer configured: what waited for them is dropped", "receivers", dropped)
	}
	return err
}

// Run tells until ctx ends, and returns nil then.
func (c *crier) Run(ctx context.Context) error {
	for {
		c.mu.Lock()
		r := c.now
		c.mu.Unlock()
		some, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		o := notify.Options{Store: c.db, Log: c.log, Now: time.Now, Alive: c.alive}
		for _, to := range r.told {
			wg.Go(func() { _ = notify.New(o, to).Run(some) }) // nil always: it goes on until it is stopped
		}
		for _, b := range r.beats {
			wg.Go(func() {
				_ = (&notify.Beat{Options: o, Name: b.name, Every: b.every, Timeout: b.timeout, Ping: b.ping}).Run(some)
			})
		}
		var next *receivers
		select {
		case <-ctx.Done():
		case next = <-c.next:
		}
		stop() // what was not confirmed, the next ones tell
		wg.Wait()
		if next == nil {
			return nil
		}
		if err := c.register(ctx, next); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			c.log.Error("the new receivers cannot be entered into the store; the old ones stay", "err", err)
			continue
		}
		c.mu.Lock()
		c.now = next
		c.mu.Unlock()
	}
}

// replace makes other receivers be told from now on. Calls are made one at a time.
func (c *crier) replace(r *receivers) {
	select {
	case <-c.next:
	default:
	}
	c.next <- r
}

// working says why dewline does not do its work: heartbeats stop then.
func (d *service) working(ctx context.Context) error {
	if err := d.progress(ctx); err != nil {
		return err
	}
	if d.collector.Refused() {
		return errors.New("the store takes no visits")
	}
	return nil
}

// notifierDoc is how a receiver stands, in status and the debug numbers.
type notifierDoc struct {
	Waiting       int     `json:"waiting"`
	Silenced      int     `json:"silenced"`
	OldestSeconds float64 `json:"oldest_seconds"`
	Sent          int64   `json:"sent"`
	LastSent      string  `json:"last_sent,omitempty"`
	Error         string  `json:"error,omitempty"`
	ErrorSince    string  `json:"error_at,omitempty"`
}

func notifierDocs(ctx context.Context, db *sqlite.DB) (map[string]notifierDoc, error) {
	states, err := db.NotifierStates(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]notifierDoc{}
	for _, s := range states {
		d := notifierDoc{Waiting: s.Waiting, Silenced: s.Silenced, Sent: s.Sent, LastSent: formatTime(s.LastSent), Error: s.LastError, ErrorSince: formatTime(s.ErrorAt)}
		if !s.Oldest.IsZero() {
			d.OldestSeconds = max(0, time.Since(s.Oldest).Seconds())
		}
		out[s.Name] = d
	}
	return out, nil
}

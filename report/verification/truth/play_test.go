package truth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
	"dewline/store/sqlite"
)

// span is from <= t < to.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

func anyHas(spans []span, t time.Time) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.has(t) })
}

// act is something that happens to a machine.
type act struct {
	at time.Time
	do func(*bmcsim.Machine)
}

// partGap is a part of the tree that answers 500 for a while.
type partGap struct {
	span
	part string // "power", "thermal", "storage", "leak"
}

// tick is a row of the ledger: what a BMC showed at a due time, and who asked.
type tick struct {
	at        time.Time
	health    bool // the health tier was due too
	inventory bool // so was the inventory
	down      bool // the collector did not run
	silent    bool // the BMC did not answer
	hidden    []string
	state     bmcsim.State
	frozen    bool
	logOff    bool
	occurred  []bmcsim.Event // that were logged since the last tick
}

// server is one server of a world: its machine, what happens to it, and the ledger of what its BMC showed.
type server struct {
	target   health.Target
	make     make_
	seed     uint64
	acts     []act
	silent   []span
	down     []span      // the collector does not run
	restarts []time.Time // of the collector, between two visits
	gaps     []partGap
	frozen   []span
	log      logTruth
	damages  []damage
	notes    []string // what was drawn, for people

	machine *bmcsim.Machine
	ledger  []tick
}

func (s *server) do(at time.Time, f func(*bmcsim.Machine)) { s.acts = append(s.acts, act{at, f}) }

func (s *server) freeze(x span) {
	s.frozen = append(s.frozen, x)
	s.do(x.from, (*bmcsim.Machine).Freeze)
	s.do(x.to, func(m *bmcsim.Machine) {
		if !anyHas(s.frozen, x.to) { // of two that overlap, the later end ends both
			m.Thaw()
		}
	})
}

// rhythm is how often a world's servers are read.
type rhythm struct{ every, health time.Duration }

// player plays the history of servers into a store.
type player struct {
	db     *sqlite.DB
	rhythm rhythm
}

// ready makes the server's machine as it is at a moment, with all that happened before.
func (s *server) ready(at time.Time) (left []act, clock *atomic.Int64) {
	clock = &atomic.Int64{}
	s.machine = bmcsim.NewMachine(s.make.profile, string(s.target.ID), s.seed)
	s.machine.SetClock(func() time.Time { return time.Unix(0, clock.Load()).UTC() })
	left = slices.SortedStableFunc(slices.Values(s.acts), func(a, b act) int { return a.at.Compare(b.at) })
	for len(left) > 0 && left[0].at.Before(at) {
		clock.Store(left[0].at.UnixNano())
		left[0].do(s.machine)
		left = left[1:]
	}
	clock.Store(at.UnixNano())
	return left, clock
}

// play makes every visit of a server from <= t < to, as a collector that was started at from.
func (p player) play(ctx context.Context, s *server, from, to time.Time) (err error) {
	acts, clock := s.ready(from)
	now := func() time.Time { return time.Unix(0, clock.Load()).UTC() }
	bmc, err := serve(s, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bmc.close()) }()
	rec := &accountant{Recorder: p.db}
	c := collector.New(collector.Options{Recorder: rec, Log: slog.New(slog.DiscardHandler)})
	known, err := p.db.Recall(ctx, s.target.ID)
	if err != nil {
		return err
	}
	known = known.For(s.target)
	var hidden []string
	running := true
	logged := s.machine.Log()
	inventory := known.Ticks[health.TierInventory].Due
	for at := from; at.Before(to); at = at.Add(p.rhythm.every) {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(acts) > 0 && !acts[0].at.After(at) {
			clock.Store(acts[0].at.UnixNano())
			acts[0].do(s.machine)
			acts = acts[1:]
		}
		clock.Store(at.UnixNano())
		t := tick{at: at, health: at.Sub(epoch)%p.rhythm.health == 0, down: anyHas(s.down, at), silent: anyHas(s.silent, at), state: s.machine.At(at), frozen: anyHas(s.frozen, at), logOff: anyHas(s.log.off, at)}
		for _, g := range s.gaps {
			if g.has(at) {
				t.hidden = append(t.hidden, g.part)
			}
		}
		t.inventory = at.Sub(inventory) >= 24*time.Hour
		t.occurred = newer(logged, s.machine.Log())
		logged = s.machine.Log()
		s.ledger = append(s.ledger, t)

		due := map[health.Tier]time.Time{health.TierReadings: at, health.TierEvents: at}
		if t.health {
			due[health.TierHealth] = at
		}
		if at.Sub(inventory) >= 24*time.Hour {
			due[health.TierInventory], inventory = at, at
		}
		if t.down {
			rec.skip(due)
			running = false
			continue
		}
		if slices.ContainsFunc(s.restarts, func(r time.Time) bool { return r.Before(at) && !r.Before(at.Add(-p.rhythm.every)) }) {
			running = false
		}
		if !running { // a new process: it knows what the store knows
			if known, err = p.db.Recall(ctx, s.target.ID); err != nil {
				return err
			}
			known = known.For(s.target)
			if err := bmc.reopen(); err != nil {
				return err
			}
			running = true
		}
		if !slices.Equal(hidden, t.hidden) {
			bmc.hide(s.make, hidden, t.hidden)
			hidden = t.hidden
		}
		src := bmc.source
		if t.silent {
			src = silence{}
		}
		rec.known = known
		if _, err := c.Visit(ctx, s.target, known, src, due, at); err != nil {
			return fmt.Errorf("visit %s at %s: %w", s.target.ID, at.Format(time.RFC3339), err)
		}
	}
	return nil
}

// seenFrozen takes back that the BMC repeated itself where only one visit of a freeze was answered: with nothing to compare it with, nobody
// can tell.
func (s *server) seenFrozen() {
	answered := func(k int) bool { return !s.ledger[k].down && !s.ledger[k].silent }
	frozen := func(k, step int) bool {
		for k += step; k >= 0 && k < len(s.ledger); k += step {
			if answered(k) {
				return s.ledger[k].frozen
			}
		}
		return false
	}
	var alone []int
	for k := range s.ledger {
		if s.ledger[k].frozen && answered(k) && !frozen(k, -1) && !frozen(k, 1) {
			alone = append(alone, k)
		}
	}
	for _, k := range alone {
		s.ledger[k].frozen = false
	}
}

// newer are the entries of a log that were not in it before.
func newer(before, now []bmcsim.Event) []bmcsim.Event {
	return slices.DeleteFunc(now, func(e bmcsim.Event) bool { return slices.Contains(before, e) })
}

// accountant records visits as the engine does after ticks that passed while it did not run.
type accountant struct {
	collector.Recorder
	known   *health.Known
	skipped []health.TickRange
}

func (a *accountant) skip(due map[health.Tier]time.Time) {
	for _, tier := range health.AllTiers {
		at, ok := due[tier]
		if !ok {
			continue
		}
		i := slices.IndexFunc(a.skipped, func(r health.TickRange) bool { return r.Tier == tier })
		if i < 0 {
			a.skipped = append(a.skipped, health.TickRange{Tier: tier, First: at, Last: at, Count: 1, Reason: health.ReasonNotRunning})
			continue
		}
		a.skipped[i].Last, a.skipped[i].Count = at, a.skipped[i].Count+1
	}
}

func (a *accountant) Record(ctx context.Context, v *health.Visit) error {
	if v.Skipped = a.skipped; len(v.Skipped) > 0 {
		a.skipped = nil
		for _, u := range a.known.UnreadBy(v) {
			if !slices.Contains(v.Unread, u) {
				v.Unread = append(v.Unread, u)
			}
		}
	}
	return a.Recorder.Record(ctx, v)
}

// bmc is a simulated BMC that is served, and the driver that reads it.
type bmc struct {
	source  collector.Source
	open    func() (collector.Source, error)
	redfish *bmcsim.RedfishServer
	end     func() error
}

func (b *bmc) reopen() (err error) {
	if err := b.source.Close(context.Background()); err != nil {
		return err
	}
	b.source, err = b.open()
	return err
}

func (b *bmc) close() error { return errors.Join(b.source.Close(context.Background()), b.end()) }

func (b *bmc) hide(m make_, before, now []string) {
	for _, part := range before {
		for _, path := range m.paths[part] {
			b.redfish.SetStatus(path, 0)
		}
	}
	for _, part := range now {
		for _, path := range m.paths[part] {
			b.redfish.SetStatus(path, http.StatusInternalServerError)
		}
	}
}

func serve(s *server, now func() time.Time) (*bmc, error) {
	log := slog.New(slog.DiscardHandler)
	password := secret.New(bmcsim.DefaultPassword)
	b := &bmc{}
	if s.make.driver == health.DriverIPMI {
		srv, err := bmcsim.ServeIPMI(s.machine, bmcsim.IPMIOptions{Privilege: 2, Now: now})
		if err != nil {
			return nil, err
		}
		b.end = srv.Close
		b.open = func() (collector.Source, error) {
			return ipmi.Open(s.target.ID, ipmi.Options{Address: srv.URL(), Username: bmcsim.DefaultUsername, Password: password, Log: log, Now: now})
		}
	} else {
		srv, err := bmcsim.ServeRedfish(s.machine, bmcsim.RedfishOptions{Expand: s.make.profile.Redfish != bmcsim.ShapeLegacy, Now: now})
		if err != nil {
			return nil, err
		}
		b.redfish, b.end = srv, srv.Close
		b.open = func() (collector.Source, error) {
			return redfish.Open(s.target.ID, redfish.Options{
				Address: srv.URL(), Username: bmcsim.DefaultUsername, Password: password, TLS: redfish.TLS{Fingerprint: srv.CertFingerprint()}, Log: log, Now: now,
				Transport: func(http.RoundTripper) http.RoundTripper { return direct{srv.Handler()} },
			})
		}
	}
	var err error
	if b.source, err = b.open(); err != nil {
		return nil, errors.Join(err, b.end())
	}
	return b, nil
}

// direct carries a request to a handler in this process: TLS would be most of the work.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &answer{header: http.Header{}, status: http.StatusOK}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	d.handler.ServeHTTP(w, r)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// silence is a BMC that does not answer: what a driver says of one, without the wait.
type silence struct{}

func (silence) Read(context.Context, health.Request) (*health.Snapshot, error) {
	return &health.Snapshot{}, &health.Error{Reason: health.ReasonTimeout, Op: "read", Err: errors.New("no answer")}
}
func (silence) Close(context.Context) error { return nil }

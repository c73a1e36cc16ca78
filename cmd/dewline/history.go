package main

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

	"golang.org/x/sync/errgroup"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
)

// Compressed history: simulated BMCs whose clocks run as fast as they can be read. Everything but the clock and the wire is real:
// the drivers read what the BMCs answer, and the collector's own function makes each visit.

// pastStep is something that happens to one machine at a time.
type pastStep struct {
	At time.Time
	Do func(*bmcsim.Machine)
}

// pastServer is one simulated server whose past is played.
type pastServer struct {
	Target  health.Target
	Machine *bmcsim.Machine
	Driver  string
	Steps   []pastStep
	// Silent are spans in which the BMC does not answer: nothing is asked of it, and the visit fails as it would.
	Silent []span
	// Skip tells which visits are not made at all, as if dewline did not run.
	Skip func(at time.Time) bool
}

// past is how a history is played.
type past struct {
	From, To time.Time
	Every    time.Duration // of readings and events
	Health   time.Duration
	Log      *slog.Logger
}

// play makes every visit of every server, in order of time for each, and records them.
func (h past) play(ctx context.Context, servers []pastServer, recorder collector.Recorder) error {
	g, gctx := errgroup.WithContext(ctx)
	for i := range servers {
		// The next visit is read while the last one is written: a past that is not whole is thrown away, so none need wait for the disk.
		a := &ahead{Recorder: recorder, visits: make(chan *health.Visit, playAhead), ended: make(chan struct{})}
		g.Go(func() error { return a.write(gctx) })
		g.Go(func() error {
			defer close(a.visits)
			c := collector.New(collector.Options{Recorder: a, Log: h.Log})
			if err := h.one(gctx, c, &servers[i]); err != nil {
				return fmt.Errorf("play the past of %s: %w", servers[i].Target.ID, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// playAhead is how many visits of one server may wait to be written.
const playAhead = 32

// ahead records one server's visits in their order, behind the reading of the next ones.
type ahead struct {
	collector.Recorder
	visits chan *health.Visit
	ended  chan struct{} // nothing more is written
}

func (a *ahead) Record(ctx context.Context, v *health.Visit) error {
	select {
	case a.visits <- v:
		return nil
	case <-a.ended:
		return errors.New("an earlier visit could not be written")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write records until there are no more visits, or one cannot be written.
func (a *ahead) write(ctx context.Context) error {
	defer close(a.ended)
	for v := range a.visits {
		if err := a.Recorder.Record(ctx, v); err != nil {
			return fmt.Errorf("record visit of %s: %w", v.Target, err)
		}
	}
	return nil
}

func (h past) one(ctx context.Context, c *collector.Collector, s *pastServer) (err error) {
	var ns atomic.Int64
	ns.Store(h.From.UnixNano())
	now := func() time.Time { return time.Unix(0, ns.Load()).UTC() }
	s.Machine.SetClock(now)
	src, end, err := openPast(s, now, h.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	known := health.NewKnown(s.Target.ID).For(s.Target)
	steps := slices.SortedFunc(slices.Values(s.Steps), func(a, b pastStep) int { return a.At.Compare(b.At) })
	inventory := time.Time{}
	for at := h.From; at.Before(h.To); at = at.Add(h.Every) {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(steps) > 0 && !steps[0].At.After(at) {
			ns.Store(steps[0].At.UnixNano())
			steps[0].Do(s.Machine)
			steps = steps[1:]
		}
		ns.Store(at.UnixNano())
		if s.Skip != nil && s.Skip(at) {
			continue
		}
		due := map[health.Tier]time.Time{health.TierReadings: at, health.TierEvents: at}
		if at.Sub(h.From)%h.Health == 0 {
			due[health.TierHealth] = at
		}
		if at.Sub(inventory) >= 24*time.Hour {
			due[health.TierInventory], inventory = at, at
		}
		from := src
		if slices.ContainsFunc(s.Silent, func(x span) bool { return x.has(at) }) {
			from = silent{}
		}
		if _, err := c.Visit(ctx, s.Target, known, from, due, at); err != nil {
			return err
		}
	}
	return nil
}

// openPast serves a machine on loopback and opens its driver, both by the clock given.
func openPast(s *pastServer, now func() time.Time, log *slog.Logger) (collector.Source, func() error, error) {
	password := secret.New(bmcsim.DefaultPassword)
	if s.Driver == health.DriverIPMI {
		srv, err := bmcsim.ServeIPMI(s.Machine, bmcsim.IPMIOptions{Privilege: 2, Now: now})
		if err != nil {
			return nil, nil, err
		}
		src, err := ipmi.Open(s.Target.ID, ipmi.Options{Address: srv.URL(), Username: bmcsim.DefaultUsername, Password: password, Log: log, Now: now,
			Exchange: func(ipmi.Exchange) ipmi.Exchange { return commandsOf(srv) }})
		if err != nil {
			return nil, nil, errors.Join(err, srv.Close())
		}
		return src, func() error { return errors.Join(src.Close(context.Background()), srv.Close()) }, nil
	}
	srv, err := bmcsim.ServeRedfish(s.Machine, bmcsim.RedfishOptions{Expand: s.Machine.Profile().Redfish != bmcsim.ShapeLegacy, Now: now})
	if err != nil {
		return nil, nil, err
	}
	src, err := redfish.Open(s.Target.ID, redfish.Options{
		Address: srv.URL(), Username: bmcsim.DefaultUsername, Password: password, TLS: redfish.TLS{Fingerprint: srv.CertFingerprint()}, Log: log, Now: now,
		Transport: func(http.RoundTripper) http.RoundTripper { return direct{srv.Handler()} },
	})
	if err != nil {
		return nil, nil, errors.Join(err, srv.Close())
	}
	return src, func() error { return errors.Join(src.Close(context.Background()), srv.Close()) }, nil
}

// direct carries a request to a handler in this process.
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

// commandsOf runs commands on a BMC in this process.
func commandsOf(srv *bmcsim.IPMIServer) ipmi.Exchange {
	return func(_ context.Context, netFn, cmd, lun uint8, data []byte) (uint8, []byte, error) {
		code, out, silent := srv.Execute(netFn, cmd, lun, data)
		if silent {
			return 0, nil, &health.Error{Reason: health.ReasonTimeout, Err: errors.New("no answer")}
		}
		return code, out, nil
	}
}

// answer is a handler's answer.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// silent is a BMC that does not answer: what a driver says of one, without waiting for it.
type silent struct{}

func (silent) Read(context.Context, health.Request) (*health.Snapshot, error) {
	return &health.Snapshot{}, &health.Error{Reason: health.ReasonTimeout, Op: "read", Err: errors.New("no answer")}
}
func (silent) Close(context.Context) error { return nil }

// span is from <= t < to.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

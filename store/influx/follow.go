package influx

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"dewline/health"
)

// fetch is how many visits are asked of the log at a time: enough for a batch, little enough to hold.
const fetch = 128

// Run follows the log and delivers until ctx ends, and returns nil then. What was not acknowledged by that time is sent
// again by the next Run.
func (s *Sink) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	var cursor int64
	if !s.insist(ctx, "read the sink's cursor", func(ctx context.Context) (err error) {
		cursor, err = s.log.SinkCursor(ctx, s.o.Name)
		return err
	}) {
		return nil
	}
	s.mu.Lock()
	s.state.Cursor = cursor
	s.mu.Unlock()
	for {
		changed := s.log.Changed() // before After: what commits in between wakes us
		released, ok := s.sendReleased(ctx)
		if !ok {
			return nil
		}
		returned, ok := s.sendReturned(ctx)
		if !ok {
			return nil
		}
		var visits []*health.Visit
		if !s.insist(ctx, "read the log", func(ctx context.Context) (err error) {
			visits, cursor, err = s.next(ctx, cursor)
			return err
		}) {
			return nil
		}
		if len(visits) == 0 {
			s.pending(time.Time{})
			if released+returned > 0 { // there may be more
				continue
			}
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		for len(visits) > 0 {
			s.pending(visits[0].At())
			pts, n := s.take(visits)
			if a, ok := s.anchor(ctx, visits[0]); ok {
				pts = append([]point{a}, pts...)
			}
			seq := visits[n-1].Seq
			if !s.deliver(ctx, pts, seq) {
				return nil
			}
			cursor, visits = seq, visits[n:]
		}
	}
}

// next is the visits after the cursor, and the cursor, which goes past what cannot be read.
func (s *Sink) next(ctx context.Context, cursor int64) ([]*health.Visit, int64, error) {
	for {
		visits, err := s.log.After(ctx, cursor, fetch)
		if err == nil {
			return visits, cursor, nil
		}
		to, passErr := s.log.PassUnread(ctx, s.o.Name, cursor)
		if passErr != nil || to == cursor { // it is not that
			return nil, cursor, err
		}
		cursor = to
		s.mu.Lock()
		s.state.Cursor = cursor
		s.mu.Unlock()
	}
}

// returnedEvery is how often it is asked whether visits can be read again that could not.
const returnedEvery = time.Minute

// sendReturned sends some of the visits that the cursor went past and that can be read now, and says how many. Some between others, as
// released points. It is false if ctx ended.
func (s *Sink) sendReturned(ctx context.Context) (int, bool) {
	if now := time.Now(); now.Sub(s.looked) >= returnedEvery {
		s.looked = now
	} else {
		return 0, true
	}
	var visits []*health.Visit
	if !s.insist(ctx, "look for visits that can be read again", func(ctx context.Context) (err error) {
		visits, err = s.log.Returned(ctx, s.o.Name, fetch)
		return err
	}) {
		return 0, false
	}
	if len(visits) == 0 {
		return 0, true
	}
	s.looked = time.Time{} // there may be more
	pts, n := s.take(visits)
	visits = visits[:n]
	rejected, ok := s.putAll(ctx, pts)
	if !ok {
		return 0, false
	}
	kept, cancel := keepAlive(ctx)
	defer cancel()
	if !s.setAside(kept, rejected) || !s.insist(kept, "settle visits that could be read again", func(ctx context.Context) error {
		return s.log.SettleReturned(ctx, s.o.Name, visits[0].Seq, visits[n-1].Seq)
	}) {
		return 0, false
	}
	s.counted(len(pts), len(rejected))
	s.o.Log.Info("influxdb: visits that could not be read before are sent", slog.String("sink", s.o.Name), slog.Int("visits", n), slog.Time("from", visits[0].At()))
	return n, true
}

// point is one line and the visit it is of.
type point struct {
	line string
	seq  int64
	id   int64 // in quarantine, of a point that was refused before
}

// take encodes visits from the front until a batch is full, at least one, and says how many.
func (s *Sink) take(visits []*health.Visit) (pts []point, n int) {
	for n < len(visits) {
		v := visits[n]
		lines := Encode(v, s.where(v))
		if n > 0 && len(pts)+len(lines) > s.batch {
			break
		}
		for _, l := range lines {
			pts = append(pts, point{line: l, seq: v.Seq})
		}
		n++
	}
	return pts, n
}

// where is the target as configured at the visit, so that a write repeated after a change of configuration is the same;
// for a visit that does not tell, as configured now.
func (s *Sink) where(v *health.Visit) health.Target {
	if v.Where != nil {
		return *v.Where
	}
	t, _ := s.target(v.Target)
	return t
}

// deliver puts whole visits, up to seq, into the server, sets refused points aside, and moves the cursor. It is false if
// ctx ended before that.
func (s *Sink) deliver(ctx context.Context, pts []point, seq int64) bool {
	rejected, ok := s.putAll(ctx, pts)
	if !ok {
		return false
	}
	// The server has it: say so even if we are just being stopped, rather than send it all again.
	ctx, cancel := keepAlive(ctx)
	defer cancel()
	if !s.setAside(ctx, rejected) || !s.insist(ctx, "move the sink's cursor", func(ctx context.Context) error {
		return s.log.SetSinkCursor(ctx, s.o.Name, seq)
	}) {
		return false
	}
	s.mu.Lock()
	s.state.Cursor = seq
	s.mu.Unlock()
	s.counted(len(pts), len(rejected))
	return true
}

// putAll puts points into the server, and gives those that it refuses for good. It is false if ctx ended before that.
func (s *Sink) putAll(ctx context.Context, pts []point) (rejected []health.Rejected, ok bool) {
	for rest := pts; len(rest) > 0; {
		n := min(len(rest), s.batch)
		r, err := s.put(ctx, rest[:n])
		if err != nil {
			return nil, false
		}
		rejected, rest = append(rejected, r...), rest[n:]
	}
	return rejected, true
}

// setAside keeps refused points in quarantine. It is false if ctx ended before that.
func (s *Sink) setAside(ctx context.Context, rejected []health.Rejected) bool {
	if len(rejected) == 0 {
		return true
	}
	if !s.insist(ctx, "quarantine refused points", func(ctx context.Context) error {
		return s.log.Quarantine(ctx, s.o.Name, rejected)
	}) {
		return false
	}
	s.sayRefused(rejected)
	return true
}

func (s *Sink) counted(sent, rejected int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Delivered += int64(sent - rejected)
	s.state.Quarantined += int64(rejected)
}

// stopGrace is how long what is already stored may take to be noted after a stop.
const stopGrace = 5 * time.Second

// keepAlive is a context that lives stopGrace longer than ctx.
func keepAlive(ctx context.Context) (context.Context, context.CancelFunc) {
	kept, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(stopGrace, cancel)
		context.AfterFunc(kept, func() { t.Stop() })
	})
	return kept, func() { stop(); cancel() }
}

// insist does what must succeed, with back-off, until it does or ctx ends; then it is false.
func (s *Sink) insist(ctx context.Context, what string, do func(context.Context) error) bool {
	for try := 0; ; try++ {
		err := do(ctx)
		if err == nil {
			if try > 0 {
				s.recovered()
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.troubled(&failure{kind: "store", text: what + ": " + err.Error()})
		if !s.back.wait(ctx, try, 0) {
			return false
		}
	}
}

func (s *Sink) pending(oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = oldest
}

// troubled notes that nothing goes on for now. Each kind of trouble is said once until delivery goes on again.
func (s *Sink) troubled(f *failure) {
	s.mu.Lock()
	if s.state.LastError == "" {
		s.state.Since = time.Now()
	}
	s.state.LastError = s.hide.Replace(f.Error())
	text, said := s.state.LastError, s.said[f.kind]
	s.said[f.kind] = true
	s.mu.Unlock()
	if !said {
		s.o.Log.Warn("influxdb: nothing is delivered now; points are kept and sent again", slog.String("sink", s.o.Name),
			slog.String("url", s.o.URL), slog.String("error", text))
	}
}

func (s *Sink) recovered() {
	s.mu.Lock()
	since := s.state.Since
	s.state.LastError, s.state.Since = "", time.Time{}
	clear(s.said)
	s.mu.Unlock()
	if !since.IsZero() {
		s.o.Log.Info("influxdb: delivering again", slog.String("sink", s.o.Name),
			slog.Duration("after", time.Since(since).Round(time.Second)))
	}
}

// sayRefused logs the first refusal of each measurement and reason, since a field of the wrong type is refused for ever.
func (s *Sink) sayRefused(rows []health.Rejected) {
	for _, r := range rows {
		key := fmt.Sprint(measurementOf(r.Line), conflict(r.Error))
		if s.refused[key] || len(s.refused) >= 100 {
			continue
		}
		s.refused[key] = true
		s.o.Log.Warn("influxdb refuses points for good; they go to quarantine, the others are stored",
			slog.String("sink", s.o.Name), slog.Int64("visit", r.Seq), slog.String("line", r.Line), slog.String("error", r.Error))
	}
}

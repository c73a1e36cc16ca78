package push

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"dewline/health"
)

const (
	// Bucket is within what time the lines of a probe are one visit.
	Bucket = 10 * time.Second
	// ahead is how far a sender's clock may be ahead of ours.
	ahead = time.Minute
	// firstReport is how long after a start what was sent before may stay away before it is silence.
	firstReport = time.Minute
)

// Recorder is what keeps visits, as the collector does it.
type Recorder interface {
	Recall(ctx context.Context, id health.TargetID) (*health.Known, error)
}

// Visit makes and records a visit of what a source reads: collector.Collector.Visit.
type Visit func(ctx context.Context, t health.Target, known *health.Known, src Source, due map[health.Tier]time.Time, at time.Time) error

// Source gives one snapshot.
type Source struct{ snap *health.Snapshot }

func (s Source) Read(context.Context, health.Request) (*health.Snapshot, error) { return s.snap, nil }
func (s Source) Close(context.Context) error                                    { return nil }

// memory is what is kept with the target: when each sensor was last reported, and when last as wet, be it long after.
type memory struct {
	Sensors map[health.ComponentID]time.Time `json:"sensors"`
	Wet     map[health.ComponentID]time.Time `json:"wet,omitempty"`
}

func (m memory) clone() memory {
	next := memory{Sensors: map[health.ComponentID]time.Time{}, Wet: map[health.ComponentID]time.Time{}}
	maps.Copy(next.Sensors, m.Sensors)
	maps.Copy(next.Wet, m.Wet)
	return next
}

// probe is a target at work. One thing at a time happens to it.
type probe struct {
	Probe
	mu      sync.Mutex
	known   *health.Known // nil: to be recalled
	mem     memory
	since   time.Time // when it began to be waited for
	expired time.Time // when silence was recorded last
}

// recall takes up what is known. mu is held.
func (p *probe) recall(ctx context.Context, r Recorder) error {
	if p.known != nil {
		return nil
	}
	known, err := r.Recall(ctx, p.Target.ID)
	if err != nil {
		return err
	}
	p.known, p.mem = known.For(p.Target), memory{}
	if len(known.Memory) > 0 {
		if err := json.Unmarshal(known.Memory, &p.mem); err != nil {
			p.mem = memory{} // as if nothing had been reported: it will be again
		}
	}
	p.mem = p.mem.clone()
	return nil
}

// take records reports. It returns how many said nothing new.
func (p *probe) take(ctx context.Context, r Recorder, visit Visit, reports []report, now time.Time) (old int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.recall(ctx, r); err != nil {
		return 0, err
	}
	p.clockSet(now)
	slices.SortStableFunc(reports, func(a, b report) int { return a.at.Compare(b.at) })
	for len(reports) > 0 {
		n := 1
		for n < len(reports) && reports[n].at.Sub(reports[0].at) < Bucket {
			n++
		}
		skipped, err := p.record(ctx, visit, reports[:n])
		if err != nil {
			return old, err
		}
		old, reports = old+skipped, reports[n:]
	}
	return old, nil
}

// clockSet forgets reports that were dated later than any can be now: our clock was ahead when they were taken. Else whatever is reported
// until then would be old news, a leak too, and the silence of a probe would be none.
func (p *probe) clockSet(now time.Time) {
	later := func(_ health.ComponentID, at time.Time) bool { return at.After(now.Add(2 * ahead)) }
	maps.DeleteFunc(p.mem.Sensors, later)
	maps.DeleteFunc(p.mem.Wet, later)
}

// record records what was reported about the same time: of each sensor its newest value. Of a leak sensor that was wet in between it is that one:
// senders that gather what they read send a short alarm and its end together.
func (p *probe) record(ctx context.Context, visit Visit, reports []report) (old int, err error) {
	newest := map[*Sensor]report{}
	var at time.Time
	for _, x := range reports {
		if !x.at.After(p.mem.Sensors[x.sensor.ID()]) {
			old++
			continue
		}
		before, overtaken := newest[x.sensor]
		if overtaken {
			old++
		}
		if overtaken && x.sensor.wet(before.value) {
			x.value = before.value
		}
		newest[x.sensor] = x // they are in order of time
		at = x.at
	}
	if len(newest) == 0 {
		return old, nil
	}
	s := &health.Snapshot{Driver: Driver, HostPower: health.HostPowerUnknown}
	next := p.mem.clone()
	first := true
	for i := range p.Sensors {
		x, ok := newest[&p.Sensors[i]]
		if !ok {
			continue
		}
		if first { // the same time may be told of other sensors in another request: that is another visit
			at, first = at.Add(time.Duration(i)), false
		}
		c, reading, gap := x.sensor.component(x.value)
		s.Components = append(s.Components, c)
		if reading != nil {
			s.Readings = append(s.Readings, *reading)
		}
		if gap != nil {
			s.Gaps = append(s.Gaps, *gap)
		}
		next.Sensors[c.ID] = x.at
		if x.sensor.wet(x.value) {
			next.Wet[c.ID] = x.at
		}
	}
	return old, p.visit(ctx, visit, s, next, at)
}

func (p *probe) visit(ctx context.Context, visit Visit, s *health.Snapshot, next memory, at time.Time) error {
	b, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("keep when sensors reported: %w", err)
	}
	s.Memory = b
	at = at.Round(0).UTC()
	if err := visit(ctx, p.Target, p.known, Source{s}, map[health.Tier]time.Time{health.TierReadings: at}, at); err != nil {
		p.known = nil // it may be recorded or not: the store knows
		return err
	}
	p.mem = next
	return nil
}

// expire records the silence of the sensors that were not reported for maxAge.
func (p *probe) expire(ctx context.Context, r Recorder, visit Visit, maxAge time.Duration, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if since := now.Sub(p.expired); since >= 0 && since < maxAge {
		return nil
	}
	if err := p.recall(ctx, r); err != nil {
		return err
	}
	p.clockSet(now)
	s := &health.Snapshot{Driver: Driver}
	for i := range p.Sensors {
		x := &p.Sensors[i]
		last := p.mem.Sensors[x.ID()]
		// After a start there is a moment for those who went on sending; for one that never sent, as long as for any.
		patience := min(maxAge, firstReport)
		if last.IsZero() {
			patience = maxAge
		}
		if now.Sub(last) < maxAge || now.Sub(p.since).Abs() < patience {
			continue
		}
		why := "not reported for " + maxAge.String()
		if !last.IsZero() {
			why += ", last " + last.UTC().Format(time.RFC3339)
		}
		c := x.blank()
		c.Status = why
		c.Conditions = []health.Condition{{Kind: health.KindDetectorFault, Severity: health.SeverityWarning, Evidence: why}}
		s.Components = append(s.Components, c)
		s.Gaps = append(s.Gaps, health.Gap{Part: x.Name, Component: c.ID, Reason: health.ReasonStale, Error: why})
	}
	if len(s.Components) == 0 {
		return nil
	}
	if err := p.visit(ctx, visit, s, p.mem, now); err != nil {
		return err
	}
	p.expired = now
	return nil
}

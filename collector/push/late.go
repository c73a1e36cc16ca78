package push

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"dewline/health"
)

// lateMost is how old a report may be to tell of anything: what is older has a sender without a clock.
const lateMost = 7 * 24 * time.Hour

// lateLog is the log that late reports are entries of.
const lateLog = "push"

// takeLate records that leak sensors were wet at a time that is too long ago to say anything of now: what an agent held back
// through an outage of its network is no reading, but water was there. It is an event of its own time, one for each stretch
// of reports in which none is later than maxAge after the one before, and opens no fault: what is now, the next report says.
func (p *probe) takeLate(ctx context.Context, r Recorder, visit Visit, reports []report, maxAge time.Duration, now time.Time) (told int, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.recall(ctx, r); err != nil {
		return 0, err
	}
	p.clockSet(now)
	slices.SortStableFunc(reports, func(a, b report) int { return a.at.Compare(b.at) })
	s := &health.Snapshot{Driver: Driver, HostPower: health.HostPowerUnknown, NextCursors: health.Cursors{lateLog: json.RawMessage("{}")}}
	next := p.mem.clone()
	for _, x := range reports {
		id := x.sensor.ID()
		last, known := next.Wet[id]
		if known && !x.at.After(last) {
			continue // told before
		}
		next.Wet[id] = x.at
		if known && x.at.Sub(last) <= maxAge {
			continue
		}
		what := clip(x.sensor.Field + "=" + text(x.value))
		s.Log = append(s.Log, health.LogEntry{
			Source: lateLog, Generation: "1", ID: strconv.FormatInt(x.at.UnixNano(), 10), Key: []byte(string(id) + " " + what), Raw: []byte(what),
			Created: x.at.UTC(), Observed: now, Severity: health.SeverityCritical, Component: id, Kind: health.KindLeakDetected,
			Message: fmt.Sprintf("%s was wet at %s (%s); the report came %s late", x.sensor.Name, x.at.UTC().Format(time.RFC3339), what, now.Sub(x.at).Round(time.Second)),
			Decoded: health.Decoded{Rule: "late_report", Severity: health.SeverityCritical, Class: health.ClassLeakDetector},
		})
	}
	if len(s.Log) == 0 {
		p.mem = next
		return 0, nil
	}
	s.Logs = []health.LogInfo{{ID: lateLog, Path: lateLog, Name: "reports that came late", Read: len(s.Log)}}
	if p.known.Cursors == nil {
		p.known.Cursors = health.Cursors{}
	}
	if p.known.Cursors[lateLog] == nil { // this log has no history: each of its entries is news
		p.known.Cursors[lateLog] = json.RawMessage("{}")
	}
	return len(s.Log), p.visit(ctx, visit, s, next, now.Add(-time.Nanosecond)) // what is of now has this moment
}

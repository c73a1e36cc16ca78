package influx

import (
	"context"
	"fmt"
	"time"

	"dewline/health"
)

// chained is a log whose events are chained by hash.
type chained interface {
	ChainHead(ctx context.Context) (head string, length int64, err error)
}

// anchor is the head of the chain of events as a point of its own, once a day (UTC): outside the machine it shows later that
// the events of before were not changed. It stands before the day's first visit; ok is false if there is none to send.
func (s *Sink) anchor(ctx context.Context, v *health.Visit) (p point, ok bool) {
	c, chains := s.log.(chained)
	day := v.At().UTC().Truncate(24 * time.Hour)
	if !chains || !day.After(s.anchored) {
		return point{}, false
	}
	head, length, err := c.ChainHead(ctx)
	if err != nil || head == "" {
		return point{}, false // an anchor is worth no outage; the next batch tries again
	}
	s.anchored = day
	return point{line: fmt.Sprintf("hw_chain head=%q,length=%di %d", head, length, day.UnixNano()), seq: v.Seq}, true
}

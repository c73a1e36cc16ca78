package influx

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff waits longer after each failure in a row, by chance a little less or more, so that many collectors do not come
// back at once to a server that has just come up.
type backoff struct{ first, most time.Duration }

var defaultBackoff = backoff{first: time.Second, most: time.Minute}

// mostRetryAfter bounds what a server can ask for.
const mostRetryAfter = time.Hour

// delay after failure number try, counted from 0: half of what is due to all of it, and not less than after, to which a
// tenth at most is added.
func (b backoff) delay(try int, after time.Duration) time.Duration {
	d := b.most
	if try < 30 {
		d = min(b.first<<try, b.most)
	}
	d = d/2 + rand.N(d/2+1)
	if after = min(after, mostRetryAfter); after > 0 {
		d = max(d, after+rand.N(after/10+1))
	}
	return d
}

// wait is false if ctx ended first.
func (b backoff) wait(ctx context.Context, try int, after time.Duration) bool {
	t := time.NewTimer(b.delay(try, after))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

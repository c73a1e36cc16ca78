package redfish

import (
	"context"

	"dewline/health"
)

// Explore reads documents that no visit needs, one after the other, over the client's session: those that next names, until
// it names none. Got is told what came of each. It asks under the rules of a visit, without a budget of requests: paths that
// hurt are refused, links elsewhere too, and a BMC that no longer answers ends it with an error.
func (c *Client) Explore(ctx context.Context, next func() string, got func(uri string, body []byte, err error)) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.prepare(); err != nil {
		return err
	}
	v := newVisit(c, ctx, health.Request{}, c.o.Now())
	v.meter.budget = 0
	if e := v.login(); e != nil {
		return e
	}
	for uri := next(); uri != ""; uri = next() {
		if resolve(c.base, link(uri)) != uri {
			continue
		}
		raw, e := v.fetch(uri)
		if broken := v.failed(); broken != nil {
			return broken
		}
		if e != nil {
			got(uri, nil, e)
		} else {
			got(uri, raw, nil)
		}
	}
	return nil
}

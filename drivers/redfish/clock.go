package redfish

import (
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// clockSlow is how long a manager's answer may take for its DateTime, which was made somewhere meanwhile, to tell the time.
const clockSlow = 8 * time.Second

// readClock compares the clock of the BMC, by which its logs are dated, with ours. A machine with several managers has one
// clock of them: the first BMC that tells the time, and none other while that is there.
func (v *visit) readClock(p *part, uri string, d *managerDoc) {
	at := timeOf(d.DateTime)
	if v.c.o.NoClock || at.IsZero() { // not told, or not set: 1970
		return
	}
	if !slices.ContainsFunc(v.mem.Managers, func(m manager) bool { return m.URI == v.mem.Clock }) {
		v.mem.Clock = uri
		for _, m := range v.mem.Managers {
			var x managerDoc
			if v.into(m.URI, &x) == nil && strings.EqualFold(string(x.ManagerType), "BMC") && !timeOf(x.DateTime).IsZero() {
				v.mem.Clock = m.URI
				break
			}
		}
	}
	v.mu.Lock()
	doc := v.docs[uri]
	v.mu.Unlock()
	if v.mem.Clock != uri || doc == nil || doc.asked.IsZero() || doc.took > clockSlow {
		return
	}
	skew := at.Sub(doc.asked.Add(doc.took / 2)).Round(time.Second)
	p.set(health.ClockSkew, health.Second, number{V: skew.Seconds(), OK: true}, nil)
}

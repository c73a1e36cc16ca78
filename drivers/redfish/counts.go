package redfish

import (
	"maps"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// A BMC that counts one more member than it ever lists (itself, a Settings resource, an empty bay) would leave a gap for
// ever, and what is taken out of it would never be gone. It is believed to count so when it did from the first time on
// that the collection was read, by the same number, over that many visits and that long, while nothing it had listed was
// missing. A collection that ever counted truly, or lacks what it listed before, is short.
const (
	overcountVisits = 3
	overcountFor    = 24 * time.Hour
)

// tally is how a collection counts its members, by the firmware that it was seen with.
type tally struct {
	Extra   int       `json:"x,omitempty"` // counted, and never listed; 0: it counts truly
	Visits  int       `json:"n,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Known   bool      `json:"k,omitempty"` // it is its way of counting
	Members []string  `json:"m,omitempty"` // as in a roster: what it listed so far
}

// accounted reports whether a list of which all pages were read has all members, though it counts more.
func (v *visit) accounted(uri string, list []string, counted, met int) bool {
	place, _, _ := strings.Cut(uri, "?")
	extra := max(0, counted-met)
	c := v.mem.Counts[place]
	switch {
	case extra == 0:
		if counted > 0 && v.mem.counts(place, 0) {
			v.mem.Counts[place] = &tally{}
		}
		return true
	case c != nil && c.Extra == 0 || v.hostPower == health.HostOff:
		return false
	}
	members := make([]string, len(list))
	size := 0
	for i, u := range list {
		members[i] = strings.TrimPrefix(u, place+"/")
		size += len(members[i])
	}
	slices.Sort(members)
	if c == nil {
		if !v.mem.counts(place, size) {
			return false
		}
		c = &tally{Extra: extra, Since: v.at.UTC().Truncate(time.Second), Members: members}
		v.mem.Counts[place] = c
	}
	lost := slices.ContainsFunc(c.Members, func(m string) bool { return !slices.Contains(members, m) })
	more := slices.ContainsFunc(members, func(m string) bool { return !slices.Contains(c.Members, m) })
	switch {
	case c.Extra == extra && c.Known && !(lost && more): // what is listed in turns is no whole list
		if (lost || more) && v.mem.counts(place, size) {
			c.Members = members
		}
		return true
	case lost:
		c.Visits = 0
		return false
	case c.Extra != extra || more:
		*c = tally{Extra: extra, Since: v.at.UTC().Truncate(time.Second), Members: members}
	}
	if v.full && !v.countedOnce[place] {
		v.countedOnce[place] = true
		c.Visits = min(c.Visits+1, overcountVisits)
	}
	c.Known = c.Visits >= overcountVisits && v.at.Sub(c.Since) >= overcountFor
	return c.Known
}

// counts reports whether there is room to remember one more collection.
func (m *memory) counts(place string, size int) bool {
	if len(m.Counts) >= maxMembers && m.Counts[place] == nil {
		return false
	}
	for _, c := range m.Counts {
		for _, u := range c.Members {
			size += len(u)
		}
	}
	return size <= maxRoster/4
}

// overcounts are the collections that count more than they list, with how many.
func (m *memory) overcounts(yield func(place string, c *tally) bool) {
	for _, place := range slices.Sorted(maps.Keys(m.Counts)) {
		if c := m.Counts[place]; c.Extra > 0 && !yield(place, c) {
			return
		}
	}
}

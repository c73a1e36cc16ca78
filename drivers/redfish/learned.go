package redfish

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dewline/health"
)

// Learned is a memory of this driver in words; false if it is none.
func Learned(raw json.RawMessage) (health.Learned, bool) {
	m := newMemory()
	if len(raw) == 0 || json.Unmarshal(raw, m) != nil || m.V != memoryVersion {
		return health.Learned{}, false
	}
	l := health.Learned{Firmware: m.Firmware}
	fact := func(name, format string, args ...any) {
		l.Facts = append(l.Facts, health.Fact{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	fact("service", "%s", strings.TrimSpace(strings.Join([]string{m.Root.Vendor, m.Root.Product, "Redfish " + m.Root.Version}, " ")))
	switch {
	case m.NoSessions:
		fact("authentication", "basic: the service has no sessions")
	case m.Sessions != "":
		fact("authentication", "session at %s", m.Sessions)
	}
	truth := 0
	for _, told := range m.Expand {
		if told {
			truth++
		}
	}
	switch {
	case m.ExpandIgnored:
		fact("expand", "offered and ignored: not asked for")
	case m.Root.Expand == "":
		fact("expand", "not offered")
	case len(m.Expand) == 0:
		fact("expand", "offered, not compared yet")
	default:
		fact("expand", "compared on %d collections: true on %d, not used on %d", len(m.Expand), truth, len(m.Expand)-truth)
		for _, place := range slices.Sorted(maps.Keys(m.Expand)) {
			if !m.Expand[place] {
				fact("expand_untrue", "%s", place)
			}
		}
	}
	for _, s := range m.Logs {
		if s.Skipped != "" {
			continue
		}
		order := s.Order
		if order == "" {
			order = "order not known yet"
		}
		fact("log", "%s: %s, $skip %s", s.Source, order, map[int]string{0: "not tried", 1: "works", -1: "not honoured"}[s.Skip])
	}
	trusted := 0
	for _, r := range m.Rosters {
		if r != nil && r.Seen >= trustedAfter {
			trusted++
		}
	}
	fact("lists", "%d of %d are not asked for again until the inventory", trusted, len(m.Rosters))
	often := 0
	for _, k := range m.Sensors {
		if k.Often && !k.Covered {
			often++
		}
	}
	if len(m.Sensors) > 0 {
		fact("sensors", "%d, of which %d are read with every readings visit", len(m.Sensors), often)
	}
	for place, c := range m.overcounts {
		if c.Known {
			fact("overcount", "%s counts %d more than it ever listed, in each of %d visits or more: taken for its way of counting", place, c.Extra, overcountVisits)
		} else {
			fact("overcount", "%s counts %d more than it lists: a gap, until it is known to be its way of counting", place, c.Extra)
		}
	}
	if len(m.Missing) > 0 {
		fact("dead_links", "%d links of the service lead nowhere", len(m.Missing))
	}
	for _, place := range slices.Sorted(maps.Keys(m.Slow)) {
		s := m.Slow[place]
		if s == nil {
			continue
		}
		p := health.SlowPart{Part: place, Seconds: s.Seconds, Since: s.Since, Members: len(s.Members)}
		for i, x := range s.Members {
			if !x.Read.IsZero() {
				p.Read++
			}
			if i == 0 || x.Read.Before(p.Oldest) {
				p.Oldest = x.Read
			}
		}
		l.Slow = append(l.Slow, p)
	}
	return l, true
}

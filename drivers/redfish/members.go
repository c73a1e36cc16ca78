package redfish

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"dewline/health"
	"dewline/internal/quirk"
)

// trustedAfter is how many full visits in a row must find the same before it is taken for granted until the inventory: a
// BMC that has just started lists less than it has.
const trustedAfter = 2

// maxRoster bounds the bytes of all rosters: what a BMC lists is its own affair, what we keep is ours.
const maxRoster = 256 << 10

// roster is what a collection listed when it was last read whole. Members are their paths below it, or whole ones.
type roster struct {
	Members []string `json:"m,omitempty"`
	Seen    int      `json:"n"`
}

// container is a document of which only the links matter.
type container struct {
	Links json.RawMessage `json:"l"`
	Seen  int             `json:"n"`
}

// brief tells a health visit that takes lists and links for granted from one that looks at them anew: a discovery, an
// inventory, the first visits to a machine.
func (v *visit) brief() bool {
	return v.full && !v.learning && !v.req.Tiers.Has(health.TierInventory) && v.mem.Learned && !v.mem.Stale
}

func (v *visit) proven(place string) bool {
	return v.mem.Root.Expand != "" && v.mem.Expand[place] && !v.c.quirk(quirk.NoExpand)
}

// collection lists a collection's members and makes their bodies known to the visit: as it is remembered, inline ones as
// they are, by one $expand where it was proven, otherwise left to be fetched one by one. It reports whether the list is
// whole; if not, the gap is noted.
func (v *visit) collection(place, kind string) ([]string, bool) {
	if v.full {
		if uris, ok := v.remembered(place, kind); ok {
			return uris, true
		}
	}
	v.denies = false
	v.listing(place)
	uris, whole := v.list(place)
	v.listedBy(place, kind, uris)
	if v.full && whole && !(kind == "drives" && strings.Contains(place, "#")) { // their storage is read anyway
		v.remember(place, uris)
		if !v.brief() && kind != "alarms" {
			v.prove(place, uris)
		}
	}
	return uris, whole
}

func (v *visit) list(place string) ([]string, bool) {
	if v.proven(place) {
		if uris, ok := v.expanded(place); ok {
			return v.sorted(uris), true
		}
		if e := v.failed(); e != nil {
			v.gap(place, e, place, "")
			return nil, false
		}
	}
	uris, e := v.members(place, true)
	if e != nil {
		v.gap(place, e, place, "")
		v.goneLink(e)
		return v.sorted(uris), false
	}
	return v.sorted(uris), true
}

// expanded reads a collection with its members in one request. An answer that is not as it was when it was proven is the
// last that is asked for until the next firmware.
func (v *visit) expanded(place string) ([]string, bool) {
	query := place + "?" + v.mem.Root.Expand
	uris, e := v.members(query, true)
	whole := e == nil
	if whole {
		var d collectionDoc
		_ = v.into(query, &d)
		extra := 0
		if c := v.mem.Counts[place]; c != nil && c.Known {
			extra = c.Extra
		}
		whole = !d.Count.OK || int(d.Count.V)-len(d.Members) == extra || d.Next != "" || d.Next2 != ""
	}
	if !whole {
		if v.failed() == nil {
			v.mem.Expand[place] = false
		}
		return nil, false
	}
	v.mu.Lock()
	v.docs[place] = v.docs[query]
	v.mu.Unlock()
	return uris, true
}

// sorted drops what must not be read, and makes the order of a collection, which differs between requests on some
// firmware, that of the links.
func (v *visit) sorted(uris []string) []string {
	allowed := v.allowed(uris)
	v.denies = len(allowed) < len(uris) // with $expand the BMC itself would read it
	slices.Sort(allowed)
	return allowed
}

// remembered gives the members of a collection without asking for it. They are read; one that is there no more makes the
// list be read after all, now and until the next inventory, since what left a bay is often replaced.
func (v *visit) remembered(place, kind string) ([]string, bool) {
	if kind == "drives" || kind == "alarms" || !v.trusted(place) { // of alarms only some are read
		return nil, false
	}
	uris := v.mem.Rosters[place].uris(place)
	wanted := slices.DeleteFunc(slices.Clone(uris), func(u string) bool { return strings.EqualFold(segment(u), "Settings") })
	if kind == "sensors" {
		wanted = slices.DeleteFunc(slices.Clone(uris), func(u string) bool { return v.mem.Sensors[u].Covered || v.mem.Sensors[u].Rare })
	}
	if kind == "sensors" { // those that cannot wait were read before
		v.unhurry(true)
		defer v.unhurry(false)
	}
	v.prefetch(wanted)
	for _, u := range wanted {
		if _, e := v.get(u); e != nil && e.Reason == health.ReasonNotFound && !errors.Is(e, errMissing) {
			delete(v.mem.Rosters, place)
			v.lost[place] = true
			return nil, false
		}
	}
	return wanted, true
}

// trusted reports whether this visit takes a collection's list from memory. Where one request reads list and members that
// one does it, and sees changes.
func (v *visit) trusted(place string) bool {
	r := v.mem.Rosters[place]
	return v.brief() && r != nil && r.Seen >= trustedAfter && !slices.Contains(v.mem.Inline, place) && !(v.proven(place) && len(r.Members) > 0)
}

// plain is the collection if it will be asked for as it is, without $expand.
func (v *visit) plain(place string) string {
	if v.proven(place) || v.trusted(place) {
		return ""
	}
	v.listing(place)
	return place
}

// remember notes what a collection lists. Nothing is learned of a host that is off: BMCs drop what it held.
func (v *visit) remember(place string, uris []string) {
	if v.hostPower == health.HostOff || v.lost[place] || v.brief() && v.mem.Rosters[place] == nil {
		return
	}
	size := 0
	for _, u := range uris {
		size += len(u)
	}
	if size > maxRoster/4 || v.mem.rosterSize()+size > maxRoster {
		delete(v.mem.Rosters, place)
		return
	}
	r := &roster{Seen: 1}
	for _, u := range uris {
		r.Members = append(r.Members, strings.TrimPrefix(u, place+"/"))
	}
	if old := v.mem.Rosters[place]; old != nil && slices.Equal(old.Members, r.Members) {
		r.Seen = min(old.Seen+1, trustedAfter)
	}
	v.mem.Rosters[place] = r
}

func (m *memory) rosterSize() int {
	n := 0
	for place, r := range m.Rosters {
		n += len(place)
		for _, u := range r.Members {
			n += len(u)
		}
	}
	return n
}

func (r *roster) uris(place string) []string {
	l := make([]string, len(r.Members))
	for i, m := range r.Members {
		if l[i] = m; !strings.HasPrefix(m, "/") {
			l[i] = place + "/" + m
		}
	}
	return l
}

// contain reads a document into dst. keep gives its links if it says nothing else of interest, nil if it does; then a brief
// visit takes the links from memory.
func (v *visit) contain(uri string, dst any, keep func() any) *health.Error {
	old := v.mem.Containers[uri]
	if v.unknown(uri) == "" && json.Unmarshal(old.Links, dst) == nil {
		return nil
	}
	if e := v.into(uri, dst); e != nil {
		return e
	}
	links := keep()
	if links == nil || v.hostPower == health.HostOff {
		delete(v.mem.Containers, uri)
		return nil
	}
	raw, err := json.Marshal(links)
	if err != nil || len(raw) > 8<<10 || len(v.mem.Containers) >= maxMembers {
		return nil
	}
	c := &container{Links: raw, Seen: 1}
	if old != nil && string(old.Links) == string(raw) {
		c.Seen = min(old.Seen+1, trustedAfter)
	}
	v.mem.Containers[uri] = c
	return nil
}

// unknown is the document unless this visit takes its links from memory.
func (v *visit) unknown(uri string) string {
	if c := v.mem.Containers[uri]; c != nil && c.Seen >= trustedAfter && v.brief() {
		return ""
	}
	return uri
}

// notePower forgets what was taken for granted when the host is switched: its parts come and go with it.
func (v *visit) notePower() {
	if v.hostPower == health.HostPowerUnknown {
		return
	}
	if now := v.hostPower.String(); v.mem.HostPower != now {
		if v.mem.HostPower != "" {
			clear(v.mem.Rosters)
			clear(v.mem.Containers)
		}
		v.mem.HostPower = now
	}
}

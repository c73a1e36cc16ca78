package redfish

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dewline/health"
)

// maxMembers bounds the members of one collection; the largest met is 300 sensors.
const maxMembers = 2000

// maxPages bounds the pages of one collection.
const maxPages = 64

type collectionDoc struct {
	Type    text `json:"@odata.type"`
	Members many[memberRef]
	Count   number `json:"Members@odata.count"`
	Next    link   `json:"@odata.nextLink"`
	Next2   link   `json:"Members@odata.nextLink"`
	// iLO 4 before Redfish conformance.
	Links object[struct {
		Member many[link] `json:"Member"`
	}] `json:"links"`
}

// memberRef is a member: its link, and its body if the service put it in.
type memberRef struct {
	uri  link
	body []byte
}

func (m *memberRef) UnmarshalJSON(b []byte) error {
	m.uri, m.body = "", nil
	n := 0
	eachKey(b, func(key string, value []byte) {
		switch {
		case key == "@odata.id" && m.uri == "":
			_ = m.uri.UnmarshalJSON(value)
		case !strings.HasPrefix(key, "@") && key != "href":
			n++
		}
	})
	if m.uri == "" { // no object, or its link is written in another way
		_ = m.uri.UnmarshalJSON(b)
	}
	if n > 1 { // an Id alone is no body
		m.body = slices.Clone(b)
	}
	return nil
}

// eachKey calls f for the keys of a JSON object, with what follows each: a quoted string up to its end, else the rest. The
// text must be valid; expanded collections are the larger part of what is read, and this is a pass without decoding.
func eachKey(b []byte, f func(key string, value []byte)) {
	depth := 0
	var key []byte // waiting for its value
	expect := false
	for i := 0; i < len(b); i++ {
		c := b[i]
		if depth == 1 && key != nil && c != ':' && c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			end := len(b)
			if c == '"' {
				end = closing(b, i) + 1
			}
			f(string(key), b[i:min(end, len(b))])
			key = nil
		}
		switch c {
		case '{', '[':
			depth++
			expect = depth == 1 && c == '{'
		case '}', ']':
			depth--
		case ',':
			expect = depth == 1
		case '"':
			end := closing(b, i)
			if expect && depth == 1 {
				key, expect = b[i+1:min(end, len(b))], false
			}
			i = end
		}
	}
}

// closing is where a quoted string that begins at i ends.
func closing(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}

type rawJSON []byte

func (r *rawJSON) UnmarshalJSON(b []byte) error { *r = b; return nil }

// single reports whether what a link to a collection leads to is the one resource itself, as some firmware has it.
func single(d *collectionDoc) bool {
	return d.Type != "" && !strings.Contains(string(d.Type), "Collection") && !d.Count.OK && len(d.Links.V.Member) == 0
}

// members lists a collection's members, in its order, each once, over all its pages. A page that comes again or leads
// elsewhere ends the list. Inline bodies become documents of the visit when inline is set.
//
// A list that has fewer members than it counts, or has some that lead nowhere, is given beside errShort: what is missing in it
// is not gone.
func (v *visit) members(uri string, inline bool) ([]string, *health.Error) {
	if strings.Contains(uri, "#") {
		return v.membersWithin(uri)
	}
	var list []string
	counted, met, stray := 0, 0, 0
	cutOff := false // there are pages that were not read
	seen, pages := map[string]bool{}, map[string]bool{}
	for page := uri; page != ""; {
		if pages[page] || len(pages) >= maxPages {
			return list, &health.Error{Reason: health.ReasonMalformed, Op: "GET " + uri, Err: errPages}
		}
		pages[page] = true
		var d collectionDoc
		if e := v.into(page, &d); e != nil {
			return list, e
		}
		refs := d.Members
		if len(refs) == 0 && page == uri && single(&d) {
			return []string{uri}, nil
		}
		if n := d.Count; page == uri && n.OK && n.V > 0 && n.V <= maxMembers {
			counted = int(n.V)
		}
		for _, l := range d.Links.V.Member {
			refs = append(refs, memberRef{uri: l})
		}
		met += len(refs)
		for _, m := range refs {
			u := resolve(v.c.base, m.uri)
			if u == "" && m.uri != "" {
				stray++
			}
			if u == "" || seen[u] || strings.HasPrefix(uri+"/", u+"/") {
				continue // another host, twice (Intel lists one drive 32 times), or the collection itself
			}
			if len(list) >= maxMembers {
				return list, &health.Error{Reason: health.ReasonTooLarge, Op: "GET " + uri, Err: errMembers}
			}
			seen[u] = true
			list = append(list, u)
			if inline && len(m.body) > 0 {
				v.mu.Lock()
				if _, ok := v.docs[u]; !ok {
					v.docs[u] = &document{raw: m.body}
				}
				v.mu.Unlock()
				if uri == page && !strings.Contains(uri, "?") {
					v.noteInline(uri)
				}
			}
		}
		next := d.Next
		if next == "" {
			next = d.Next2
		}
		// An empty page ends a list, but for the first: some count from one.
		page = resolve(v.c.base, next)
		if len(refs) == 0 && len(pages) > 1 {
			cutOff = page != ""
			page = ""
		} else if next != "" && page == "" {
			cutOff = true // on another host
		}
	}
	if stray > 0 || cutOff && met < counted || !cutOff && !v.accounted(uri, list, counted, met) {
		why := fmt.Errorf("%w: %d of the %d it counts, %d of them lead nowhere", errShort, met, max(counted, met), stray)
		return list, &health.Error{Reason: health.ReasonMalformed, Op: "GET " + uri, Err: why}
	}
	return list, nil
}

// errShort is a list that is not all of what it says it is.
var errShort = errors.New("the collection does not list all of its members")

type resourceDoc struct {
	ID           text `json:"Id"`
	Manufacturer text
	Model        text
	ChassisType  text
	SerialNumber text
	LogServices  link

	Storage, Storages, SimpleStorage, Memory, Processors                          collectionLink
	Sensors, Drives, LeakDetectors, NetworkAdapters, PowerSupplies, Pumps         collectionLink
	Thermal, Power, ThermalSubsystem, PowerSubsystem, EnvironmentMetrics, Metrics link
	LeakDetection                                                                 link
	PCIeDevices                                                                   many[link]
	FirmwareVersion                                                               text
	Oem                                                                           object[oemLinks]
	Links                                                                         object[struct{ Chassis, ComputerSystems, Contains, Drives many[link] }]
}

type oemLinks struct {
	Alarms link // Cray EX: Chassis/Enclosure/Oem/Alarms
	Hpe    object[struct {
		Links object[struct{ SmartStorage link }]
	}]
	Hp object[struct {
		Links object[struct{ SmartStorage link }] `json:"links"`
	}]
}

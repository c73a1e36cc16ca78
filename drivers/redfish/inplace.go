package redfish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dewline/health"
)

// collectionLink is how a resource names a collection: by a link, as the schemas have it, or by the members themselves, an array
// of links or of whole objects where the link belongs. The place of such an array is "document#property", its members
// without a resource of their own are "document#property/name".
type collectionLink struct {
	link   link
	inside bool
}

func (l *collectionLink) UnmarshalJSON(b []byte) error {
	*l = collectionLink{}
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '[' {
		l.inside = true
		return nil
	}
	_ = l.link.UnmarshalJSON(b)
	// The collection itself, without an address of its own.
	l.inside = l.link == "" && len(b) > 0 && b[0] == '{' && bytes.Contains(b, []byte(`"Members"`))
	return nil
}

// MarshalJSON is for the links of a document that are remembered.
func (l collectionLink) MarshalJSON() ([]byte, error) {
	if l.inside {
		return []byte("[]"), nil
	}
	return json.Marshal(string(l.link))
}

// collectionAt is the place that a document's property names, "" for none.
func (v *visit) collectionAt(doc, property string, l collectionLink) string {
	if !l.inside {
		return v.link(l.link)
	}
	if raw, e := v.get(doc); e == nil {
		// An array around the link to the collection.
		if refs, _ := arrayIn(raw, property); len(refs) == 1 && len(refs[0].body) == 0 && strings.EqualFold(segment(string(refs[0].uri)), property) {
			return v.link(refs[0].uri)
		}
	}
	return doc + "#" + property
}

// arrayIn gives the members that stand in a document itself; false if it has no such array.
func arrayIn(doc []byte, property string) (many[memberRef], bool) {
	var d map[string]rawJSON
	if decode(doc, &d) != nil {
		return nil, false
	}
	raw := bytes.TrimSpace(d[property])
	if len(raw) > 0 && raw[0] == '{' {
		var c struct{ Members rawJSON }
		_ = decode(raw, &c)
		raw = bytes.TrimSpace(c.Members)
	}
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var l many[memberRef]
	_ = l.UnmarshalJSON(raw)
	return l, true
}

var errNoArray = errors.New("the resource does not list them itself any more")

// within lists an array that stands for a collection, with the bodies of those that are nowhere else. A body beside a link
// is an excerpt as often as the whole, so the link is followed.
func (v *visit) within(place string) (uris []string, bodies map[string][]byte, _ *health.Error) {
	doc, property, _ := strings.Cut(place, "#")
	raw, e := v.get(doc)
	if e != nil {
		return nil, nil, e
	}
	refs, ok := arrayIn(raw, property)
	if !ok {
		return nil, nil, &health.Error{Reason: health.ReasonNotFound, Op: "GET " + doc, Err: errNoArray}
	}
	bodies = map[string][]byte{}
	stray := 0
	for i, m := range refs {
		if i == maxMembers {
			return uris, bodies, &health.Error{Reason: health.ReasonTooLarge, Op: "GET " + doc, Err: errMembers}
		}
		u := resolve(v.c.base, m.uri)
		switch {
		case u != "" && u != doc:
		case u == "" && m.uri != "", len(m.body) == 0: // on another host, or nothing at all
			stray++
			continue
		default:
			u = place + "/" + innerName(m.body, i)
			for bodies[u] != nil {
				u += "." + strconv.Itoa(i)
			}
			bodies[u] = m.body
		}
		if !slices.Contains(uris, u) {
			uris = append(uris, u)
		}
	}
	if stray > 0 {
		why := fmt.Errorf("%w: %d of the %d in %s lead nowhere", errShort, stray, len(refs), property)
		return uris, bodies, &health.Error{Reason: health.ReasonMalformed, Op: "GET " + doc, Err: why}
	}
	return uris, bodies, nil
}

// innerName tells a member of an array by what it calls itself: its number changes when one before it goes.
func innerName(body []byte, i int) string {
	var d struct {
		ID             text `json:"Id"`
		MemberID, Name text
	}
	_ = decode(body, &d)
	for _, n := range []text{d.ID, d.MemberID, d.Name} {
		if s := url.PathEscape(cut(strings.ReplaceAll(string(n), "/", "_"), 64)); s != "" && s != "." && s != ".." {
			return s
		}
	}
	return strconv.Itoa(i)
}

// insideOf is the array that a member without a resource of its own stands in, "" for a resource.
func insideOf(uri string) string {
	doc, rest, ok := strings.Cut(uri, "#")
	property, name, member := strings.Cut(rest, "/")
	if !ok || !member || name == "" {
		return ""
	}
	return doc + "#" + property
}

// inner is the body of a member that has no resource of its own.
func (v *visit) inner(place, uri string) ([]byte, *health.Error) {
	_, bodies, e := v.within(place)
	if b := bodies[uri]; b != nil {
		return b, nil
	}
	if e == nil {
		e = &health.Error{Reason: health.ReasonNotFound, Op: "GET " + place, Err: errNoArray}
	}
	return nil, e
}

// membersWithin is members of an array that stands for a collection.
func (v *visit) membersWithin(place string) ([]string, *health.Error) {
	uris, bodies, e := v.within(place)
	for u, body := range bodies {
		v.mu.Lock()
		v.docs[u] = &document{raw: body}
		v.mu.Unlock()
	}
	if len(bodies) > 0 {
		v.noteInline(place)
	}
	return uris, e
}

// noteInline remembers a place that carries its members' bodies.
func (v *visit) noteInline(place string) {
	if !slices.Contains(v.mem.Inline, place) && len(v.mem.Inline) < 256 {
		v.mem.Inline = append(v.mem.Inline, place)
		slices.Sort(v.mem.Inline)
	}
}

// listedBy remembers which array lists resources that a readings visit reads without it.
func (v *visit) listedBy(place, kind string, uris []string) {
	switch kind {
	case "fans", "pumps", "supplies", "leaks":
	default:
		return
	}
	for _, u := range uris {
		if strings.Contains(place, "#") && insideOf(u) == "" && len(v.mem.Listed) < maxMembers {
			v.mem.Listed[u] = place
		}
	}
}

// placeOf is the collection that lists a member.
func (v *visit) placeOf(uri string) string {
	if place := v.mem.Listed[uri]; place != "" {
		return place
	}
	return parent(uri)
}

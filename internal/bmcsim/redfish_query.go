package bmcsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var expandForm = regexp.MustCompile(`^([.*~])(?:\(\$levels=([0-9]{1,2})\))?$`)

// query applies $skip, $top and $expand.
func (s *RedfishServer) query(v any, r *http.Request, now time.Time) (any, error) {
	size := 0
	if p, ok := s.res.(interface{ pageSize(path string) int }); ok {
		size = p.pageSize(cleanPath(r.URL.Path))
	}
	if r.URL.RawQuery == "" && size == 0 {
		return v, nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("query %q: not a query string", r.URL.RawQuery)
	}
	skip, err := queryInt(q, "$skip")
	if err != nil {
		return nil, err
	}
	top, err := queryInt(q, "$top")
	if err != nil {
		return nil, err
	}
	if top < 0 && size > 0 {
		top = size
	}
	expand := q.Get("$expand")
	if (skip < 0 || s.o.IgnoreSkip) && top < 0 && (expand == "" || !s.o.Expand) {
		return v, nil
	}
	doc, err := asDoc(v)
	if err != nil {
		return v, nil //nolint:nilerr // a document that is no JSON is served as it is
	}
	if s.o.IgnoreSkip {
		skip = -1
	}
	page(doc, r, skip, top)
	if expand == "" || !s.o.Expand {
		return doc, nil
	}
	m := expandForm.FindStringSubmatch(expand)
	if m == nil {
		return nil, fmt.Errorf("the value %q for the parameter $expand is of a different format than the parameter can accept", expand)
	}
	levels := 1
	if m[2] != "" {
		levels, _ = strconv.Atoi(m[2])
	}
	e := expander{s: s, now: now, kind: m[1], left: 5000}
	out := e.expand(doc, min(levels, 6), false, true)
	if s.o.ExpandLies {
		lie(out)
	}
	return out, nil
}

func queryInt(q url.Values, name string) (int, error) {
	if !q.Has(name) {
		return -1, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the value %q for the parameter %s is of a different format than the parameter can accept", q.Get(name), name)
	}
	return n, nil
}

// asDoc gives a document whose top level can be changed.
func asDoc(v any) (map[string]any, error) {
	switch d := v.(type) {
	case map[string]any:
		return maps.Clone(d), nil
	case []byte:
		var out map[string]any
		if err := json.Unmarshal(d, &out); err != nil {
			return nil, fmt.Errorf("decode document: %w", err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("document is a %T", v)
}

// page cuts Members. What is skipped is counted from the start of the collection; a recorded first page that ends before the
// collection does has no more to give, so that its nextLink leads to an empty last page.
func page(doc map[string]any, r *http.Request, skip, top int) {
	members, ok := doc["Members"].([]any)
	if !ok || (skip < 0 && top < 0) {
		return
	}
	skip = min(max(skip, 0), len(members))
	if skip > 0 {
		delete(doc, "Members@odata.nextLink")
	}
	rest := members[skip:]
	if top >= 0 && top < len(rest) {
		rest = rest[:top]
		if top > 0 {
			doc["Members@odata.nextLink"] = fmt.Sprintf("%s?$skip=%d&$top=%d", strings.TrimRight(r.URL.Path, "/"), skip+top, top)
		}
	}
	doc["Members"] = rest
}

type expander struct {
	s    *RedfishServer
	now  time.Time
	kind string // "." subordinate, "~" in Links, "*" both
	left int    // documents that may still be put in, so that a recorded loop ends
}

func (e *expander) expand(v any, levels int, inLinks, top bool) any {
	switch d := v.(type) {
	case []any:
		out := make([]any, len(d))
		for i, x := range d {
			out[i] = e.expand(x, levels, inLinks, false)
		}
		return out
	case map[string]any:
		if id, ok := d["@odata.id"].(string); ok && len(d) == 1 && !top {
			return e.follow(d, id, levels, inLinks)
		} else if ok && !top {
			levels-- // a resource that is there in full is a level of its own
		}
		out := make(map[string]any, len(d))
		for k, x := range d {
			if k == "Oem" || k == "Actions" {
				out[k] = x
				continue
			}
			out[k] = e.expand(x, levels, inLinks || k == "Links", false)
		}
		return out
	}
	return v
}

func (e *expander) follow(stub map[string]any, id string, levels int, inLinks bool) any {
	if levels <= 0 || e.left <= 0 || (inLinks && e.kind == ".") || (!inLinks && e.kind == "~") || strings.Contains(id, "#") {
		return stub
	}
	v, ok := e.s.res.get(cleanPath(id), e.now)
	if !ok {
		return stub
	}
	doc, err := asDoc(v)
	if err != nil {
		return stub
	}
	e.left--
	return e.expand(doc, levels-1, false, true)
}

// lie takes the last member away and the readings of the others, leaving the count.
func lie(v any) {
	doc, _ := v.(map[string]any)
	members, _ := doc["Members"].([]any)
	if len(members) == 0 {
		return
	}
	members = members[:len(members)-1]
	for _, m := range members {
		if d, ok := m.(map[string]any); ok {
			delete(d, "Reading")
			delete(d, "Status")
		}
	}
	doc["Members"] = members
}

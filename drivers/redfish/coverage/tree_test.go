package coverage_test

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
)

type doc = map[string]any

// tree is a capture: every document by its URL path, and which of them can be reached.
type tree struct {
	docs   map[string]doc
	urls   []string        // of docs, sorted, so that every run counts in the same order
	broken map[string]bool // documents that are no JSON: Lenovo XCC ends two MetricReports with a dangling comma

	// reached from the service root over any @odata.id, Members entry or nextLink.
	reached map[string]bool
	// standard is reached without entering an Oem object.
	standard map[string]bool
	// dangling are links to documents that the capture does not have: the server answers them with 404.
	dangling map[string]bool
}

const root = "/redfish/v1"

func loadTree(path string) (*tree, map[string][]byte, error) {
	l := recording(path)
	<-l.ready
	return l.tree, l.raw, l.err
}

// loaded is a recording, read once in a process. Nothing changes it.
type loaded struct {
	ready chan struct{}
	tree  *tree
	raw   map[string][]byte
	err   error

	services [2]struct { // without and with $expand
		sync.Mutex
		s *service
	}
}

// service is a recording that is served to the end of the process, and the visits of a client that several tests look at.
type service struct {
	srv    *bmcsim.RedfishServer
	client *redfish.Client
	first  *health.Snapshot
	twice  []string         // what the first visit asked for more than once
	second *health.Snapshot // with what the first one learned
	alone  map[health.Tier]*health.Snapshot
}

var (
	loadedMu sync.Mutex
	loadedBy = map[string]*loaded{}
)

func recording(path string) *loaded {
	loadedMu.Lock()
	defer loadedMu.Unlock()
	if l := loadedBy[path]; l != nil {
		return l
	}
	l := &loaded{ready: make(chan struct{})}
	loadedBy[path] = l
	go func() {
		defer close(l.ready)
		if l.raw, l.err = bmcsim.LoadCapture(path); l.err == nil {
			l.tree = parseTree(l.raw)
		}
	}()
	return l
}

// visited is a recording behind a service with or without $expand, with its visits made: once in a process, they are most
// of what these tests cost.
func visited(t *testing.T, path string, expand bool) *service {
	t.Helper()
	_, raw, err := loadTree(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &recording(path).services[0]
	if expand {
		l = &recording(path).services[1]
	}
	l.Lock()
	defer l.Unlock()
	if l.s != nil {
		return l.s
	}
	s := meet(t, raw, bmcsim.RedfishOptions{Expand: expand})
	memory := s.first.Memory
	if s.second.Memory != nil {
		memory = s.second.Memory
	}
	for _, tier := range health.AllTiers {
		s.alone[tier] = read(t, s.client, health.Request{Tiers: health.TiersOf(tier), Memory: slices.Clone(memory), Cursors: s.second.NextCursors})
	}
	l.s = s
	return s
}

// meet serves a recording and visits it twice.
func meet(t *testing.T, raw map[string][]byte, o bmcsim.RedfishOptions) *service {
	t.Helper()
	srv, err := bmcsim.ServeTree(raw, o)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{srv: srv, client: dial(t, srv), alone: map[health.Tier]*health.Snapshot{}}
	s.first = read(t, s.client, full)
	s.twice = twice(srv)
	s.second = read(t, s.client, health.Request{Tiers: health.EveryTier, LogLimit: -1, Memory: slices.Clone(s.first.Memory), Cursors: s.first.NextCursors})
	return s
}

// fullVisit is the first visit of a recording without $expand.
func fullVisit(t *testing.T, path string) *health.Snapshot {
	t.Helper()
	return visited(t, path, false).first
}

// offersExpand: the service says in its root that it can; what does not is never asked, so that it is the same service with
// and without.
func offersExpand(t *tree) bool {
	o := obj(obj(t.docs[root], "ProtocolFeaturesSupported"), "ExpandQuery")
	return o["ExpandAll"] == true || o["Links"] == true || o["NoLinks"] == true
}

func parseTree(raw map[string][]byte) *tree {
	t := &tree{docs: map[string]doc{}, broken: map[string]bool{}, dangling: map[string]bool{}}
	for url, b := range raw {
		var d doc
		if err := json.Unmarshal(b, &d); err != nil {
			t.broken[cleanURL(url)] = true
			continue
		}
		// HPE Cray EX answers a link to nothing with 200 and an error: that is no document.
		if _, isError := d["error"]; isError && len(d) == 1 {
			continue
		}
		t.docs[cleanURL(url)] = d
	}
	t.embedded()
	t.urls = slices.Sorted(maps.Keys(t.docs))
	t.reached = t.closure(true)
	t.standard = t.closure(false)
	return t
}

// embedded adds the resources that are written out inside another document and are not recorded on their own: Delta's shelf
// was recorded with $expand, its six supplies and 142 sensors stand in their collections only.
func (t *tree) embedded() {
	own := map[string]doc{}
	var inside func(v any)
	inside = func(v any) {
		switch v := v.(type) {
		case doc:
			id := str(v, "@odata.id")
			if str(v, "@odata.type") != "" && !strings.Contains(id, "#") && strings.HasPrefix(id, root+"/") && len(v) > 2 {
				if u := cleanURL(id); t.docs[u] == nil && own[u] == nil {
					own[u] = v
				}
			}
			for _, x := range v {
				inside(x)
			}
		case []any:
			for _, x := range v {
				inside(x)
			}
		}
	}
	for _, u := range slices.Sorted(maps.Keys(t.docs)) {
		inside(t.docs[u])
	}
	maps.Copy(t.docs, own)
}

// closure is every document that a chain of links reaches from the service root.
func (t *tree) closure(oem bool) map[string]bool {
	seen := map[string]bool{}
	for todo := []string{root}; len(todo) > 0; {
		url := todo[0]
		todo = todo[1:]
		if seen[url] || t.broken[url] {
			continue
		}
		d, ok := t.docs[url]
		if !ok {
			t.dangling[url] = true
			continue
		}
		seen[url] = true
		links(d, oem, func(u string) { todo = append(todo, u) })
	}
	return seen
}

// links calls f with every URL a document links to. Redfish 1.0 and some old firmware give members as plain strings.
func links(v any, oem bool, f func(string)) {
	switch v := v.(type) {
	case doc:
		for k, x := range v {
			s, text := x.(string)
			switch {
			case k == "Oem" && !oem:
			case text && (k == "@odata.id" || strings.HasSuffix(k, "@odata.nextLink")):
				f(cleanURL(s))
			case k == "Members":
				for _, m := range list(x) {
					if s, ok := m.(string); ok {
						f(cleanURL(s))
					}
				}
				links(x, oem, f)
			default:
				links(x, oem, f)
			}
		}
	case []any:
		for _, x := range v {
			links(x, oem, f)
		}
	}
}

// each calls f with every reachable document, in order of URL.
func (t *tree) each(f func(url, kind string, d doc)) {
	for _, u := range t.urls {
		if t.reached[u] {
			f(u, kindOf(t.docs[u]), t.docs[u])
		}
	}
}

// kindOf is a document's resource type, by @odata.type or, where that is missing, by what only that type has.
func kindOf(d doc) string {
	if s := str(d, "@odata.type"); s != "" {
		return s[strings.LastIndexAny(s, ".#")+1:]
	}
	for _, k := range []struct{ property, kind string }{
		{"DetectorState", "LeakDetector"},
		{"ReadingType", "Sensor"},
		{"Temperatures", "Thermal"},
		{"PowerSupplies", "Power"},
		{"MemoryDeviceType", "Memory"},
		{"ProcessorType", "Processor"},
	} {
		if _, ok := d[k.property]; ok {
			return k.kind
		}
	}
	return ""
}

// cleanURL is a link without fragment, query and trailing slash (HPE iLO ends its links with one).
func cleanURL(u string) string {
	if i := strings.IndexAny(u, "#?"); i >= 0 {
		u = u[:i]
	}
	return strings.TrimRight(u, "/")
}

// scope is the chassis, system or manager a URL belongs to: "/redfish/v1/Chassis/1".
func scope(url string) string {
	p := strings.Split(url, "/")
	return strings.Join(p[:min(len(p), 5)], "/")
}

func lastSegment(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

func str(d doc, key string) string {
	s, _ := d[key].(string)
	return strings.TrimSpace(s)
}

func obj(d doc, key string) doc {
	o, _ := d[key].(doc)
	return o
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// rows are the objects of an array that are more than a link: Chassis.Links.Drives lists links only.
func rows(d doc, key string) []doc {
	var l []doc
	for _, x := range list(d[key]) {
		if o, ok := x.(doc); ok && (len(o) > 1 || str(o, "@odata.id") == "") {
			l = append(l, o)
		}
	}
	return l
}

func num(d doc, key string) (float64, bool) {
	f, ok := d[key].(float64)
	return f, ok && !math.IsNaN(f) && !math.IsInf(f, 0)
}

func link(d doc, key string) string {
	return cleanURL(str(obj(d, key), "@odata.id"))
}

package coverage_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
)

// full reads everything there is.
var full = health.Request{Tiers: health.EveryTier, LogLimit: -1}

// habits are what services do beyond what a recording holds. The parts of the machine are the same under each.
var habits = []habit{
	{name: "without expand", shared: true},
	{name: "with expand", o: bmcsim.RedfishOptions{Expand: true}, shared: true},
	{name: "with an expand that lies", o: bmcsim.RedfishOptions{Expand: true, ExpandLies: true}},
	{name: "without sessions", o: bmcsim.RedfishOptions{BasicOnly: true, Expand: true}},
	{name: "with a stale ETag", o: bmcsim.RedfishOptions{StaleETag: true}},
	{name: "with a page that never ends", o: bmcsim.RedfishOptions{IgnoreSkip: true}},
}

type habit struct {
	name   string
	o      bmcsim.RedfishOptions
	shared bool // its visits are made once for all tests
	tiers  bool // each tier is also read alone, and by clients that know nothing yet
}

func TestDriverReportsEveryPartOfEveryCapture(t *testing.T) {
	type job struct {
		capture, file string
		h             habit
	}
	name := func(j job) string { return j.capture + "/" + j.h.name }
	var always, other, deep []job
	all := captures(t)
	for c, file := range sorted(all) {
		for _, h := range habits {
			j := job{c, file, h}
			if h.shared && h.o.Expand && !expanding(t, all, c) {
				t.Logf("%s: not taken, see expanding", name(j))
				continue
			}
			if !h.shared {
				other = append(other, j)
				continue
			}
			always, deep = append(always, j), append(deep, j)
		}
	}
	chosen := map[string]bool{}
	for _, j := range sample(t, "tier by tier", deep, 1, name) {
		chosen[name(j)] = true
	}
	for _, j := range append(always, sample(t, "other habits of a service", other, 3, name)...) {
		j.h.tiers = chosen[name(j)]
		t.Run(name(j), func(t *testing.T) {
			t.Parallel()
			compareCapture(t, j.file, j.h)
		})
	}
}

func compareCapture(t *testing.T, file string, h habit) {
	tr, raw, err := loadTree(file)
	if err != nil {
		t.Fatal(err)
	}
	w := walk(tr)
	var s *service
	if h.shared {
		s = visited(t, file, h.o.Expand)
	} else {
		s = meet(t, raw, h.o)
		t.Cleanup(func() { _ = s.srv.Close() })
	}
	srv, client, snap := s.srv, s.client, s.first
	comps := reportedOf(snap)
	for _, class := range walked {
		t.Run(string(class), func(t *testing.T) {
			for _, s := range disagreements(w, class, comps) {
				t.Error(s)
			}
		})
	}
	t.Run("logs", func(t *testing.T) { compareLogs(t, w, snap) })
	t.Run("gaps", func(t *testing.T) { compareGaps(t, tr, snap) })
	t.Run("unique", func(t *testing.T) { checkUnique(t, snap) })
	t.Run("again", func(t *testing.T) {
		sameIDs(t, "a second reading", snap, s.second)
		for _, e := range s.second.Log {
			t.Errorf("a second reading brought log entry %s/%s again", e.Source, e.ID)
		}
		if !h.tiers {
			return
		}
		sameIDs(t, "a new client", snap, read(t, open(t, srv), full))
		sameIDs(t, "a new client with the memory of the first", snap, read(t, open(t, srv), health.Request{Tiers: health.EveryTier, LogLimit: -1, Memory: snap.Memory}))
	})
	t.Run("scope", func(t *testing.T) { compareScope(t, snap) })
	t.Run("urgency", func(t *testing.T) { checkTiers(t, comps) })
	if h.tiers {
		t.Run("tiers", func(t *testing.T) { compareTiers(t, client, open(t, srv), snap) })
	}
	t.Run("manners", func(t *testing.T) { checkManners(t, srv, h.o.BasicOnly) })
	table(t, w, s, comps)
}

// dial opens a client that is left open.
func dial(t *testing.T, srv *bmcsim.RedfishServer) *redfish.Client {
	t.Helper()
	c, err := redfish.Open("machine", redfish.Options{
		Address: srv.URL(), Username: srv.Username(), Password: secret.New(srv.Password()),
		TLS: redfish.TLS{Fingerprint: srv.CertFingerprint()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, srv *bmcsim.RedfishServer) *redfish.Client {
	t.Helper()
	c := dial(t, srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		_ = c.Close(ctx)
	})
	return c
}

func read(t *testing.T, c *redfish.Client, req health.Request) *health.Snapshot {
	t.Helper()
	snap, err := c.Read(t.Context(), req)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return snap
}

// compareLogs: every log service is named once, every hardware log read to its end.
func compareLogs(t *testing.T, w *truth, snap *health.Snapshot) {
	infos := map[string][]health.LogInfo{}
	for _, l := range snap.Logs {
		infos[cleanURL(l.Path)] = append(infos[cleanURL(l.Path)], l)
	}
	entries := map[string]map[string]int{}
	for _, e := range snap.Log {
		if entries[e.Source] == nil {
			entries[e.Source] = map[string]int{}
		}
		entries[e.Source][e.ID]++
	}
	seen := map[string]bool{}
	for _, l := range w.logs {
		got := infos[l.url]
		delete(infos, l.url)
		if len(got) != 1 {
			t.Errorf("log %s (%s) is named %d times", l.url, l.name, len(got))
			continue
		}
		info := got[0]
		if info.ID == "" || seen[info.ID] {
			t.Errorf("log %s: its ID %q is not unique", l.url, info.ID)
		}
		seen[info.ID] = true
		brought := entries[info.ID]
		switch l.kind {
		case hardwareLog:
			if info.Skipped != "" {
				t.Errorf("hardware log %s was skipped as %s; it has %d entries", l.url, info.Skipped, l.entries)
			}
		case otherLog, noEntries:
			if info.Skipped == "" || len(brought) > 0 {
				t.Errorf("log %s (%s, %s) was read: %d entries", l.url, l.name, l.kind, len(brought))
			}
		case unclearLog:
		}
		if info.Skipped == "" && l.kind != noEntries {
			if info.Read != l.entries || len(brought) != l.entries || info.More {
				t.Errorf("log %s has %d entries, Read says %d, %d came, more %t", l.url, l.entries, info.Read, len(brought), info.More)
			}
			for id := range l.ids {
				if brought[id] != 1 {
					t.Errorf("log %s: entry %s came %d times", l.url, id, brought[id])
				}
			}
		}
	}
	for path := range infos {
		t.Errorf("log %s is no LogService of the capture", path)
	}
}

var pathIn = regexp.MustCompile(`/redfish/v1[^\s?#"]*`)

// compareGaps: a gap is true if the capture lacks the document it names, or if that is no JSON. And a supply, a fan or a
// sensor that a collection lists and the capture lacks is a gap: a part not read is not silence.
func compareGaps(t *testing.T, tr *tree, snap *health.Snapshot) {
	var named []string
	for _, g := range snap.Gaps {
		paths := pathIn.FindAllString(g.Part+" "+g.Place, -1)
		named = append(named, paths...)
		if !slices.ContainsFunc(paths, func(p string) bool {
			p = cleanURL(p)
			_, there := tr.docs[p]
			return tr.broken[p] || !there && tr.dangling[p] || listsDangling(tr, p)
		}) {
			t.Errorf("gap %q (place %q, component %q): %s: %s, and the capture has it", g.Part, g.Place, g.Component, g.Reason, g.Error)
		}
	}
	tr.each(func(url, kind string, d doc) {
		if !slices.Contains([]string{"PowerSupplyCollection", "FanCollection", "SensorCollection", "DriveCollection", "MemoryCollection", "ProcessorCollection", "LeakDetectorCollection"}, kind) {
			return
		}
		for _, m := range list(d["Members"]) {
			o, _ := m.(doc)
			u := cleanURL(str(o, "@odata.id"))
			if tr.dangling[u] && len(o) == 1 && !slices.ContainsFunc(named, func(p string) bool { p = cleanURL(p); return p == u || p == url }) {
				t.Errorf("%s is listed and cannot be read, and there is no gap", u)
			}
		}
	})
}

// listsDangling: a gap may name the collection instead of each of its members.
func listsDangling(tr *tree, url string) bool {
	found := false
	if d, ok := tr.docs[url]; ok && strings.HasSuffix(kindOf(d), "Collection") {
		links(d["Members"], true, func(u string) { found = found || tr.dangling[u] })
	}
	return found
}

func checkUnique(t *testing.T, snap *health.Snapshot) {
	ids := map[health.ComponentID]bool{}
	for _, c := range snap.Components {
		if ids[c.ID] {
			t.Errorf("component %s came twice", c.ID)
		}
		ids[c.ID] = true
		if !slices.Contains(health.Classes, c.Class) || !strings.HasPrefix(string(c.ID), string(c.Class)+"/") {
			t.Errorf("component %s has class %q", c.ID, c.Class)
		}
	}
	type key struct {
		c health.ComponentID
		q health.Quantity
	}
	readings := map[key]bool{}
	for _, r := range snap.Readings {
		if !ids[r.Component] {
			t.Errorf("reading of %s, which is no component", r.Component)
		}
		if k := (key{r.Component, r.Quantity}); readings[k] {
			t.Errorf("%s of %s came twice", r.Quantity, r.Component)
		} else {
			readings[k] = true
		}
		if r.Quantity == health.Duty && (r.Value < 0 || r.Value > 100) {
			t.Errorf("%s: a duty of %v %%", r.Component, r.Value)
		}
	}
}

func sameIDs(t *testing.T, what string, a, b *health.Snapshot) {
	t.Helper()
	has := func(s *health.Snapshot) map[health.ComponentID]string {
		m := map[health.ComponentID]string{}
		for _, c := range s.Components {
			m[c.ID] = fmt.Sprintf("%s %q %s", c.Presence, c.Name, c.Place)
		}
		return m
	}
	x, y := has(a), has(b)
	for id, is := range x {
		if y[id] != is {
			t.Errorf("%s: %s was %s and is %s", what, id, is, y[id])
		}
	}
	for id := range y {
		if _, ok := x[id]; !ok {
			t.Errorf("%s: %s is new", what, id)
		}
	}
	if len(b.Gaps) != len(a.Gaps) {
		t.Errorf("%s: %d gaps, %d before", what, len(b.Gaps), len(a.Gaps))
	}
}

// twice lists what was asked for more than once.
func twice(srv *bmcsim.RedfishServer) []string {
	var l []string
	for q, n := range srv.Stats().ByQuery {
		if n > 1 {
			l = append(l, fmt.Sprintf("%s (%d times)", q, n))
		}
	}
	slices.Sort(l)
	return l
}

// table prints walker against driver.
func table(t *testing.T, w *truth, s *service, comps []*reported) {
	t.Helper()
	snap := s.first
	var tiers []string
	for _, tier := range health.AllTiers {
		if one := s.alone[tier]; one != nil {
			tiers = append(tiers, fmt.Sprintf("%s %d", tier, one.Cost.Requests))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-16s %7s %7s %7s %7s\n", "class", "walker", "absent", "driver", "absent")
	for _, class := range walked {
		parts := w.of(class)
		away := len(matching(parts, (*part).absent))
		n, gone := 0, 0
		for _, c := range comps {
			if c.Class == class {
				n++
				if c.Presence == health.Absent {
					gone++
				}
			}
		}
		fmt.Fprintf(&b, "%-16s %7d %7d %7d %7d\n", class, len(parts), away, n, gone)
	}
	entries := 0
	for _, l := range w.logs {
		if l.kind == hardwareLog {
			entries += l.entries
		}
	}
	fmt.Fprintf(&b, "%-16s %7d %7s %7d\n%-16s %7d %7s %7d\n", "log services", len(w.logs), "", len(snap.Logs), "log entries", entries, "", len(snap.Log))
	others := map[health.Class]int{}
	for _, c := range comps {
		if !slices.Contains(walked, c.Class) {
			others[c.Class]++
		}
	}
	for _, class := range slices.Sorted(maps.Keys(others)) {
		fmt.Fprintf(&b, "%-16s %7s %7s %7d\n", class, "-", "", others[class])
	}
	cost, _ := json.Marshal(snap.Cost)
	fmt.Fprintf(&b, "first full visit %s; warm visits, requests: %s; %d gaps; memory %d bytes", cost, cmp.Or(strings.Join(tiers, ", "), "not taken"), len(snap.Gaps), len(snap.Memory))
	if again := s.twice; len(again) > 0 {
		fmt.Fprintf(&b, "\nread more than once in the first visit: %d, as %s", len(again), strings.Join(again[:min(len(again), 3)], ", "))
	}
	t.Log(b.String())
}

package redfish

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dewline/health"
)

// logMachine serves one log as a service of a given habit.
type logMachine struct {
	*service
	ids      []int
	epoch    string // differs when the log was cleared
	newest   bool   // newest first
	page     int    // 0: no pages
	skip     bool   // honours $skip
	links    bool   // members are links only
	spelled  bool   // 100 before 99
	failFrom int    // pages from this $skip on answer 500
}

func newLogMachine(t *testing.T) *logMachine {
	const entries = "/redfish/v1/Systems/1/LogServices/Sel/Entries"
	tree := ownTree(t, "classic")
	tree["/redfish/v1/Systems/1/LogServices"] = `{"Members":[{"@odata.id":"/redfish/v1/Systems/1/LogServices/Sel"}]}`
	tree["/redfish/v1/Managers/1/LogServices"] = `{"Members":[]}`
	m := &logMachine{service: newService(t, tree), epoch: "2026-11-20", failFrom: -1}
	m.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, entries) {
			return false
		}
		body := func(id int) string {
			return fmt.Sprintf(`{"@odata.id":"%s/%d","Id":"%d","Severity":"OK","MessageId":"X.1.0.A","Message":"m%d","Created":"%sT%02d:%02d:%02dZ"}`,
				entries, id, id, id, m.epoch, id/3600%24, id/60%60, id%60)
		}
		if id, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, entries+"/")); err == nil {
			fmt.Fprint(w, body(id))
			return true
		}
		ids := slices.Clone(m.ids)
		if m.newest {
			slices.Reverse(ids)
		}
		if m.spelled {
			slices.SortFunc(ids, func(a, b int) int { return strings.Compare(strconv.Itoa(a), strconv.Itoa(b)) })
		}
		from := 0
		q, _ := url.ParseQuery(r.URL.RawQuery)
		if s := q.Get("$skip"); s != "" && (m.skip || q.Has("p")) {
			from, _ = strconv.Atoi(s)
		}
		if m.failFrom >= 0 && from >= m.failFrom {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		total := len(ids)
		ids = ids[min(from, total):]
		next := ""
		if m.page > 0 && len(ids) > m.page {
			ids = ids[:m.page]
			next = fmt.Sprintf(`,"Members@odata.nextLink":"%s?$skip=%d&p=1"`, entries, from+m.page)
		}
		var l []string
		for _, id := range ids {
			if m.links {
				l = append(l, fmt.Sprintf(`{"@odata.id":"%s/%d"}`, entries, id))
			} else {
				l = append(l, body(id))
			}
		}
		fmt.Fprintf(w, `{"@odata.id":%q,"Members@odata.count":%d,"Members":[%s]%s}`, entries, total, strings.Join(l, ","), next)
		return true
	})
	return m
}

func (m *logMachine) fill(from, to int) {
	m.ids = nil
	for i := from; i <= to; i++ {
		m.ids = append(m.ids, i)
	}
}

func entryIDs(s *health.Snapshot) (l []string) {
	for _, e := range s.Log {
		l = append(l, e.ID)
	}
	return l
}

func span(from, to int) (l []string) {
	for i := from; i <= to; i++ {
		l = append(l, strconv.Itoa(i))
	}
	return l
}

func TestLogsAreReadOnceInAnyOrder(t *testing.T) {
	for _, h := range []struct {
		name string
		set  func(m *logMachine)
	}{
		{"oldest first, one page", func(*logMachine) {}},
		{"newest first, one page", func(m *logMachine) { m.newest = true }},
		{"oldest first, in pages", func(m *logMachine) { m.page = 50 }},
		{"newest first, in pages", func(m *logMachine) { m.newest, m.page = true, 50 }},
		{"oldest first, in pages, with $skip", func(m *logMachine) { m.page, m.skip = 50, true }},
		{"oldest first, one page, with $skip", func(m *logMachine) { m.skip = true }},
		{"in the order of their digits, one page", func(m *logMachine) { m.spelled = true }},
		{"in the order of their digits, in pages", func(m *logMachine) { m.spelled, m.page = true, 50 }},
		{"in the order of their digits, with $skip", func(m *logMachine) { m.spelled, m.page, m.skip = true, 50, true }},
		{"links only", func(m *logMachine) { m.links = true }},
		{"links only, newest first", func(m *logMachine) { m.links, m.newest = true, true }},
	} {
		t.Run(h.name, func(t *testing.T) {
			m := newLogMachine(t)
			h.set(m)
			c := m.open(t)
			cursors := health.Cursors{}
			visit := func(limit int) *health.Snapshot {
				t.Helper()
				s := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Cursors: cursors, LogLimit: limit})
				maps.Copy(cursors, s.NextCursors)
				for _, e := range s.Log {
					if e.Source != "Sel" || e.Created.IsZero() || len(e.Key) == 0 || len(e.Raw) == 0 {
						t.Errorf("entry %+v", e)
					}
				}
				return s
			}
			m.fill(1, 300)
			first := visit(60)
			if want := span(241, 300); !slices.Equal(entryIDs(first), want) {
				t.Fatalf("first visit reads the newest: got %d entries %v…", len(first.Log), entryIDs(first)[:min(3, len(first.Log))])
			}
			if first.Logs[0].Total == nil || *first.Logs[0].Total != 300 {
				t.Errorf("log %+v", first.Logs[0])
			}
			if s := visit(60); len(s.Log) != 0 {
				t.Errorf("nothing is new: %v", entryIDs(s))
			}
			m.fill(1, 307)
			s := visit(60)
			if !slices.Equal(entryIDs(s), span(301, 307)) || s.Log[0].Generation != first.Log[0].Generation {
				t.Errorf("seven new: %v", entryIDs(s))
			}
			m.fill(20, 312) // it wraps
			if s := visit(60); !slices.Equal(entryIDs(s), span(308, 312)) || s.Logs[0].Cleared || s.Logs[0].Lost {
				t.Errorf("wrapped: %v %+v", entryIDs(s), s.Logs[0])
			}
			m.ids = nil
			if s := visit(60); len(s.Log) != 0 || !s.Logs[0].Cleared {
				t.Errorf("cleared: %v %+v", entryIDs(s), s.Logs[0])
			}
			m.epoch = "2026-11-21" // IDs start anew
			m.fill(1, 4)
			s = visit(60)
			if !slices.Equal(entryIDs(s), span(1, 4)) || s.Log[0].Generation == first.Log[0].Generation || s.Logs[0].Cleared {
				t.Errorf("after the clear: %v %+v", entryIDs(s), s.Logs[0])
			}
			m.epoch = "2026-11-22" // cleared and refilled between two visits
			m.fill(1, 3)
			if s := visit(60); !slices.Equal(entryIDs(s), span(1, 3)) || !s.Logs[0].Cleared || s.Log[0].Generation == "2" {
				t.Errorf("reused IDs: %v %+v", entryIDs(s), s.Logs[0])
			}
		})
	}
}

func TestLogThatRanPastTheCursorHasAHole(t *testing.T) {
	m := newLogMachine(t)
	m.fill(1, 10)
	c := m.open(t)
	s := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents)})
	m.fill(500, 520)
	w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Cursors: s.NextCursors})
	if !w.Logs[0].Lost || w.Logs[0].Cleared || !slices.Equal(entryIDs(w), span(500, 520)) {
		t.Errorf("%+v %v", w.Logs[0], entryIDs(w))
	}
}

func TestCursorNeverPassesAHole(t *testing.T) {
	for _, newest := range []bool{false, true} {
		m := newLogMachine(t)
		m.page, m.newest = 50, newest
		m.fill(1, 20)
		c := m.open(t)
		s := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents)})
		m.fill(1, 200)
		m.failFrom = 100
		w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Cursors: s.NextCursors})
		if !w.Logs[0].More || len(w.Gaps) == 0 {
			t.Errorf("newest first %v: %+v, gaps %+v", newest, w.Logs[0], w.Gaps)
		}
		got := entryIDs(w)
		cursors := s.NextCursors
		maps.Copy(cursors, w.NextCursors)
		m.failFrom = -1
		got = append(got, entryIDs(read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Cursors: cursors}))...)
		if !slices.Equal(got, span(21, 200)) {
			t.Errorf("newest first %v: after the failure %d entries in all, want 180", newest, len(got))
		}
	}
}

func TestALogThatOverflowsBetweenTwoLooksAtItsService(t *testing.T) {
	m := newLogMachine(t)
	m.fill(1, 3)
	c := m.open(t)
	s := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents)})
	if s.Logs[0].Full {
		t.Fatal("full from the start")
	}
	m.set("/redfish/v1/Systems/1/LogServices/Sel", `{"@odata.id":"/redfish/v1/Systems/1/LogServices/Sel","Id":"Sel","Overflow":true,"Entries":{"@odata.id":"/redfish/v1/Systems/1/LogServices/Sel/Entries"}}`)
	m.fill(1, 4)
	s = read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Cursors: s.NextCursors, Memory: s.Memory})
	if !s.Logs[0].Full {
		t.Errorf("not told with the entry that overflowed it: %+v", s.Logs)
	}
}

func TestProvenSkipReadsTheTailOnly(t *testing.T) {
	m := newLogMachine(t)
	m.skip = true
	m.fill(1, 300)
	c := m.open(t)
	s := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents)})
	m.fill(1, 302)
	m.reset()
	w := read(t, c, health.Request{Tiers: health.TiersOf(health.TierEvents), Cursors: s.NextCursors, Memory: s.Memory})
	// One for the new entries, and since there are some one for the service: they may have filled it.
	if reqs, _ := m.counts(); len(reqs) != 2 || !strings.Contains(reqs[0], "$skip=299") || !strings.HasSuffix(reqs[1], "/Sel") || w.Cost.Bytes > 2000 {
		t.Errorf("%v, %d bytes", reqs, w.Cost.Bytes)
	}
	if !slices.Equal(entryIDs(w), span(301, 302)) {
		t.Errorf("%v", entryIDs(w))
	}
}

func TestFullLog(t *testing.T) {
	m := newLogMachine(t)
	m.set("/redfish/v1/Systems/1/LogServices/Sel", `{"@odata.id":"/redfish/v1/Systems/1/LogServices/Sel","Id":"Sel","MaxNumberOfRecords":10,"OverWritePolicy":"NeverOverWrites","Entries":{"@odata.id":"/redfish/v1/Systems/1/LogServices/Sel/Entries"}}`)
	m.fill(1, 10)
	if s := read(t, m.open(t), health.Request{Tiers: health.TiersOf(health.TierEvents)}); !s.Logs[0].Full {
		t.Errorf("%+v", s.Logs[0])
	}
}

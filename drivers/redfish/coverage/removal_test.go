package coverage_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"dewline/health"
	"dewline/internal/bmcsim"
)

// TestDriverSeesThatAPartIsGone takes one part at a time out of a recording: that part is gone, every other one is what it
// was, whether the driver remembers the machine or meets it anew.
func TestDriverSeesThatAPartIsGone(t *testing.T) {
	type job struct {
		capture, file string
		class         health.Class
		part          int
		id            string
	}
	name := func(j job) string { return fmt.Sprintf("%s/%s %s", j.capture, j.class, j.id) }
	var jobs []job
	for c, file := range sorted(captures(t)) {
		tr, _, err := loadTree(file)
		if err != nil {
			t.Fatal(err)
		}
		w := walk(tr)
		for _, class := range walked {
			for i, p := range chosen(w.of(class)) {
				jobs = append(jobs, job{c, file, class, i, p.ids[0]})
			}
		}
	}
	var removed, tried atomic.Int64
	t.Run("parts", func(t *testing.T) { // ends when all of them have
		for _, j := range sample(t, "parts taken out", jobs, share(6), name) {
			t.Run(name(j), func(t *testing.T) {
				t.Parallel()
				tr, raw, err := loadTree(j.file)
				if err != nil {
					t.Fatal(err)
				}
				w := walk(tr)
				snap := fullVisit(t, j.file)
				p := chosen(w.of(j.class))[j.part]
				was := match(w.of(j.class), reportedOf(snap))[p]
				if was == nil {
					t.Logf("%s is not matched: TestDriverReportsEveryPartOfEveryCapture tells of it", p)
					return
				}
				tried.Add(1)
				removed.Add(int64(takeOut(t, raw, w, p, was, snap)))
			})
		}
	})
	t.Logf("%d of %d parts taken out", removed.Load(), tried.Load())
	if n := tried.Load(); n > 20 && removed.Load() < n/2 { // fewer: a sample
		t.Errorf("only %d of %d parts could be taken out", removed.Load(), n)
	}
}

// chosen are the first part of a list, and one of those that share their name with another: IDs made by counting move when
// one of them goes.
func chosen(parts []*part) []*part {
	there := matching(parts, func(p *part) bool { return !p.absent() && p.optional == "" })
	if len(there) == 0 {
		return nil
	}
	l := there[:1]
	k := slices.IndexFunc(there[1:], func(p *part) bool {
		return len(matching(there, func(o *part) bool { return shareName(p, o) })) > 1
	})
	if k >= 0 {
		l = append(slices.Clone(l), there[k+1])
	}
	return l
}

// takeOut returns 1 if the part could be taken out: 0 if another document still tells of it.
func takeOut(t *testing.T, raw map[string][]byte, w *truth, p *part, was *reported, before *health.Snapshot) int {
	without := remove(t, raw, p.urls)
	now := walk(parseTree(without))
	if len(now.of(p.class)) != len(w.of(p.class))-1 {
		return 0
	}
	gone := readTree(t, without, health.Request{Tiers: health.EveryTier, LogLimit: -1, Memory: slices.Clone(before.Memory)})
	known := health.NewKnown(before.Target)
	learn(known, before)
	v := visitOf(health.EveryTier, gone)
	if !known.Gone(was.Component, v) {
		t.Errorf("%s was taken out of %s and is not gone: place %s, gaps %v", was.ID, strings.Join(p.urls, " and "), was.Place, gone.Gaps)
	}
	steady(t, fmt.Sprintf("%s was taken out", was.ID), known, v, was.ID)
	for _, wrong := range disagreements(now, p.class, reportedOf(gone)) {
		t.Error(wrong)
	}

	// A BMC that nothing is remembered of has one part less; then the part is put in.
	anew := readTree(t, without, full)
	for _, wrong := range disagreements(now, p.class, reportedOf(anew)) {
		t.Errorf("met anew: %s", wrong)
	}
	known = health.NewKnown(before.Target)
	learn(known, anew)
	put := readTree(t, raw, health.Request{Tiers: health.EveryTier, LogLimit: -1, Memory: slices.Clone(anew.Memory)})
	in := 0
	for _, c := range put.Components {
		if _, ok := known.Components[c.ID]; !ok && c.Class == p.class {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%s was put in, and %d parts of its class are new", p, in)
	}
	for _, wrong := range disagreements(w, p.class, reportedOf(put)) {
		t.Errorf("put in: %s", wrong)
	}
	for _, c := range put.Components {
		if k, ok := known.Components[c.ID]; ok && c.Class == p.class && (k.Serial != c.Serial || k.Name != c.Name) {
			t.Errorf("%s was put in, and %s is no longer %q serial %q, but %q serial %q", p, c.ID, k.Name, k.Serial, c.Name, c.Serial)
		}
	}
	return 1
}

// steady: of the walked classes nothing but one component comes or goes. (The sensors of a supply that left may now be told
// of on their own.)
func steady(t *testing.T, what string, known *health.Known, v *health.Visit, but health.ComponentID) {
	t.Helper()
	for id, c := range known.Components {
		if id != but && slices.Contains(walked, c.Class) && known.Gone(c.Component, v) {
			t.Errorf("%s, and %s seems gone too", what, id)
		}
	}
	for _, c := range v.Snapshot.Components {
		if _, ok := known.Components[c.ID]; !ok && slices.Contains(walked, c.Class) {
			t.Errorf("%s, and %s is new", what, c.ID)
		}
	}
}

func readTree(t *testing.T, raw map[string][]byte, req health.Request) *health.Snapshot {
	t.Helper()
	srv, err := bmcsim.ServeTree(raw, bmcsim.RedfishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Close() }()
	c := open(t, srv)
	s := read(t, c, req)
	_ = c.Close(t.Context())
	return s
}

// remove is a recording without the given documents, their children, the elements of lists that link to them, and the
// given elements of documents (a fragment names one).
func remove(t *testing.T, raw map[string][]byte, urls []string) map[string][]byte {
	t.Helper()
	whole, pieces := map[string]bool{}, map[string]map[string][]int{}
	for _, u := range urls {
		at, piece, isPiece := strings.Cut(u, "#/")
		if !isPiece {
			whole[u] = true
			continue
		}
		array, index, _ := strings.Cut(piece, "/")
		i, err := strconv.Atoi(index)
		if err != nil {
			t.Fatalf("%s: %v", u, err)
		}
		if pieces[at] == nil {
			pieces[at] = map[string][]int{}
		}
		pieces[at][array] = append(pieces[at][array], i)
	}
	gone := func(u string) bool {
		for w := range whole {
			if u == w || strings.HasPrefix(u, w+"/") {
				return true
			}
		}
		return false
	}
	out := map[string][]byte{}
	for u, b := range raw {
		var d doc
		if gone(cleanURL(u)) {
			continue
		}
		out[u] = b
		if json.Unmarshal(b, &d) != nil {
			continue
		}
		changed := false
		for array, indexes := range pieces[cleanURL(u)] {
			// rows are counted without bare links; so are the fragments made of them.
			row := -1
			d[array] = slices.DeleteFunc(list(d[array]), func(x any) bool {
				if o, ok := x.(doc); !ok || len(o) == 1 && str(o, "@odata.id") != "" {
					return false
				}
				row++
				return slices.Contains(indexes, row)
			})
			changed = true
		}
		if unlink(d, gone) {
			changed = true
		}
		if !changed {
			continue
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		out[u] = text
	}
	return out
}

// unlink takes out what links to documents that are gone: elements of lists, with the counts beside the lists, and links
// that stand alone.
func unlink(v any, gone func(url string) bool) bool {
	dead := func(x any) bool {
		o, _ := x.(doc)
		id := str(o, "@odata.id")
		return id != "" && !strings.Contains(id, "#") && gone(cleanURL(id))
	}
	changed := false
	switch v := v.(type) {
	case doc:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if o, ok := v[k].(doc); ok && len(o) == 1 && dead(o) {
				delete(v, k)
				changed = true
				continue
			}
			if l := list(v[k]); l != nil {
				kept := slices.DeleteFunc(slices.Clone(l), dead)
				if len(kept) != len(l) {
					v[k], changed = kept, true
					if _, counted := v[k+"@odata.count"]; counted {
						v[k+"@odata.count"] = len(kept)
					}
				}
			}
			changed = unlink(v[k], gone) || changed
		}
	case []any:
		for _, x := range v {
			changed = unlink(x, gone) || changed
		}
	}
	return changed
}

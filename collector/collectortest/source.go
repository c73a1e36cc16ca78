package collectortest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dewline/health"
)

// Source is the collector's, by shape.
type Source interface {
	Read(ctx context.Context, req health.Request) (*health.Snapshot, error)
	Close(ctx context.Context) error
}

// Options of TestSource.
type Options struct {
	// Tiers that the machine has something for; default: all.
	Tiers health.Tiers
	// Patience is how long one read may take; default a minute.
	Patience time.Duration
	// Prompt is how soon a read must return when its context ends; default 2 s.
	Prompt time.Duration
}

// TestSource checks a driver against a machine that answers and does not change meanwhile. Open gives a new source of that
// machine each time; its teardown may be nil.
func TestSource(t *testing.T, open func(t *testing.T) (src Source, teardown func())) {
	TestSourceWith(t, Options{}, open)
}

// TestSourceWith is TestSource with options.
func TestSourceWith(t *testing.T, o Options, open func(t *testing.T) (src Source, teardown func())) {
	o.Tiers = cmp.Or(o.Tiers, health.EveryTier)
	o.Patience = cmp.Or(o.Patience, time.Minute)
	o.Prompt = cmp.Or(o.Prompt, 2*time.Second)
	s := suite{o, open}
	t.Run("a full visit keeps the rules of a snapshot", s.full)
	t.Run("each tier reads what it is asked for and says so", s.tiers)
	t.Run("a second visit finds the same parts", s.stable)
	t.Run("a log is read once", s.cursors)
	t.Run("what a source has learned serves another", s.memory)
	t.Run("a read ends soon after its context", s.cancel)
	t.Run("closed twice, and used again", s.closing)
}

type suite struct {
	Options
	open func(t *testing.T) (Source, func())
}

func (s *suite) source(t *testing.T) Source {
	t.Helper()
	src, teardown := s.open(t)
	t.Cleanup(func() {
		if err := s.close(src); err != nil {
			t.Errorf("close: %v", err)
		}
		if teardown != nil {
			teardown()
		}
	})
	return src
}

func (s *suite) close(src Source) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	defer cancel()
	return src.Close(ctx)
}

func (s *suite) read(t *testing.T, src Source, req health.Request) *health.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	snap, err := src.Read(ctx, req)
	if snap == nil {
		t.Fatalf("read of %v: no snapshot (error: %v): cost cannot be counted", req.Tiers.List(), err)
	}
	if err != nil {
		t.Fatalf("read of %v: %v", req.Tiers.List(), err)
	}
	CheckSnapshot(t, snap)
	if snap.Cost.Requests+snap.Cost.Exchanges == 0 {
		t.Errorf("read of %v cost nothing: %+v", req.Tiers.List(), snap.Cost)
	}
	return snap
}

// CheckSnapshot checks the rules that every snapshot keeps, whatever a BMC says.
func CheckSnapshot(t testing.TB, s *health.Snapshot) {
	t.Helper()
	if s.Driver != health.DriverRedfish && s.Driver != health.DriverIPMI {
		t.Errorf("driver %q", s.Driver)
	}
	components := map[health.ComponentID]health.Component{}
	for _, c := range s.Components {
		if _, twice := components[c.ID]; twice {
			t.Errorf("component %q is listed twice", c.ID)
		}
		components[c.ID] = c
		switch {
		case c.ID == "":
			t.Errorf("component %q has no ID", c.Name)
		case !slices.Contains(health.Classes, c.Class):
			t.Errorf("%s: class %q", c.ID, c.Class)
		case c.Presence == health.Absent && c.State != health.Unknown:
			t.Errorf("%s: absent, and %s", c.ID, c.State)
		case int(c.Tier) >= len(health.AllTiers):
			t.Errorf("%s: tier %d", c.ID, c.Tier)
		}
		text(t, string(c.ID)+": text", string(c.ID), c.Name, c.Location, c.Context, c.Manufacturer, c.Model, c.Serial, c.PartNumber, c.Firmware, c.Status, c.Place)
		for _, n := range c.Conditions {
			if !slices.Contains(health.Kinds, n.Kind) {
				t.Errorf("%s: condition of kind %q", c.ID, n.Kind)
			}
			text(t, string(c.ID)+": evidence", n.Evidence)
		}
		if c.CapacityBytes < 0 {
			t.Errorf("%s: capacity %d", c.ID, c.CapacityBytes)
		}
	}
	type key struct {
		c health.ComponentID
		q health.Quantity
	}
	readings := map[key]bool{}
	for _, r := range s.Readings {
		k := key{r.Component, r.Quantity}
		switch c, ok := components[r.Component]; {
		case !ok:
			t.Errorf("reading of %q, which is no component of the snapshot", r.Component)
		case c.Presence == health.Absent:
			t.Errorf("%s is absent and has a %s", r.Component, r.Quantity)
		}
		if readings[k] {
			t.Errorf("%s: %s is given twice", r.Component, r.Quantity)
		}
		readings[k] = true
		if r.Quantity == "" || r.Unit == "" {
			t.Errorf("%s: quantity %q, unit %q", r.Component, r.Quantity, r.Unit)
		}
		finite(t, r.Component, r.Quantity, &r.Value)
		if l := r.Thresholds; l != nil {
			finite(t, r.Component, r.Quantity, l.LowerFatal, l.LowerCritical, l.LowerCaution, l.UpperCaution, l.UpperCritical, l.UpperFatal)
		}
		if r.Derived {
			t.Errorf("%s: %s is derived: that is not a driver's work", r.Component, r.Quantity)
		}
	}
	for _, g := range s.Gaps {
		if g.Reason == "" {
			t.Errorf("gap %q without a reason", g.Part)
		}
		text(t, "gap", g.Part, g.Error, g.Place, string(g.Component))
	}
	places := map[string]bool{}
	for _, p := range s.Scope {
		if p == "" || places[p] {
			t.Errorf("scope lists %q twice, or nothing", p)
		}
		places[p] = true
	}
	checkLogs(t, s)
}

func checkLogs(t testing.TB, s *health.Snapshot) {
	t.Helper()
	ids, paths := map[string]bool{}, map[string]bool{}
	read := map[string]int{}
	for _, l := range s.Logs {
		if l.ID == "" || ids[l.ID] || (l.Path != "" && paths[l.Path]) {
			t.Errorf("log %q at %q is not the only one of its name and path", l.ID, l.Path)
		}
		ids[l.ID], paths[l.Path] = true, true
		if l.Skipped == "" && l.Path == "" {
			t.Errorf("log %q was read and has no path", l.ID)
		}
		read[l.ID] = l.Read
	}
	entries, given := map[string]bool{}, map[string]int{}
	for i := range s.Log {
		e := &s.Log[i]
		id := health.LogEventID("x", e)
		if entries[id] {
			t.Errorf("log %s gives entry %s twice", e.Source, e.ID)
		}
		entries[id] = true
		given[e.Source]++
		switch {
		case !ids[e.Source]:
			t.Errorf("entry %s is of log %q, which the snapshot does not list", e.ID, e.Source)
		case len(e.Key) == 0:
			t.Errorf("log %s: entry %s has no key", e.Source, e.ID)
		case len(e.Raw) > 16<<10:
			t.Errorf("log %s: entry %s has %d raw bytes", e.Source, e.ID, len(e.Raw))
		case e.Kind != "" && !slices.Contains(health.Kinds, e.Kind):
			t.Errorf("log %s: entry %s has kind %q", e.Source, e.ID, e.Kind)
		}
		text(t, "log entry", e.Source, e.Generation, e.ID, e.Message, e.MessageID, e.Origin)
	}
	for id, n := range given {
		if ids[id] && read[id] != n {
			t.Errorf("log %s: %d entries, and says it read %d", id, n, read[id])
		}
	}
	for path, c := range s.NextCursors {
		if !paths[path] {
			t.Errorf("cursor for %q, which is no path of a log", path)
		}
		if !json.Valid(c) {
			t.Errorf("cursor for %q is no JSON: %q", path, c)
		}
	}
	if s.Memory != nil && !json.Valid(s.Memory) {
		t.Errorf("memory is no JSON: %.100q", s.Memory)
	}
}

func text(t testing.TB, what string, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if len(s) > health.MaxText {
			t.Errorf("%s of %d bytes: %.60q…", what, len(s), s)
		}
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			t.Errorf("%s is no clean text: %.60q", what, s)
		}
	}
}

func finite(t testing.TB, c health.ComponentID, q health.Quantity, vs ...*float64) {
	t.Helper()
	for _, v := range vs {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			t.Errorf("%s: %s of %g", c, q, *v)
		}
	}
}

func (s *suite) full(t *testing.T) {
	src := s.source(t)
	snap := s.read(t, src, health.Request{Tiers: s.Tiers})
	if len(snap.Components) == 0 {
		t.Error("no components")
	}
	if s.Tiers.Has(health.TierReadings) && len(snap.Readings) == 0 {
		t.Error("no readings")
	}
	if s.Tiers.Has(health.TierInventory) && snap.Identity == nil {
		t.Error("no identity")
	}
	// A place is what absence is judged by: each part must name the one that lists it, or never be missed.
	inScope := 0
	for _, c := range snap.Components {
		if slices.Contains(snap.Scope, c.Place) {
			inScope++
		}
	}
	if inScope == 0 {
		t.Errorf("no component is of a place in scope (%q): nothing can ever be found gone", snap.Scope)
	}
}

func (s *suite) tiers(t *testing.T) {
	src := s.source(t)
	full := s.read(t, src, health.Request{Tiers: s.Tiers})
	byID := map[health.ComponentID]health.Component{}
	for _, c := range full.Components {
		byID[c.ID] = c
	}
	for _, tier := range s.Tiers.List() {
		snap := s.read(t, src, health.Request{Tiers: health.TiersOf(tier), Cursors: full.NextCursors, Memory: full.Memory})
		if tier != health.TierEvents && len(snap.Log) > 0 {
			t.Errorf("%s: %d log entries that nobody asked for", tier, len(snap.Log))
		}
		if tier == health.TierReadings && snap.Cost.Requests+snap.Cost.Exchanges > full.Cost.Requests+full.Cost.Exchanges {
			t.Errorf("readings alone cost more than a full visit: %+v, %+v", snap.Cost, full.Cost)
		}
		read := map[health.ComponentID]health.Component{}
		for _, c := range snap.Components {
			read[c.ID] = c
			f, known := byID[c.ID]
			switch {
			case !known:
				t.Errorf("%s: %s is no component of a full visit", tier, c.ID)
			case f.Class != c.Class:
				t.Errorf("%s: %s is a %s, in a full visit a %s", tier, c.ID, c.Class, f.Class)
			case c.Place != "" && f.Place != c.Place:
				t.Errorf("%s: %s is of place %q, in a full visit of %q", tier, c.ID, c.Place, f.Place)
			}
		}
		if tier == health.TierInventory {
			continue // it describes; what state it reads is its own affair
		}
		for id, f := range byID {
			c, listed := read[id]
			if f.Tier == tier && !f.StateNotRead && (!listed || c.StateNotRead) && !mentioned(snap, id) {
				t.Errorf("%s reads %s, says a full visit; alone it gives it no state and no gap", tier, id)
			}
			if listed && c.Presence == health.Present && f.Presence == health.Present && !c.StateNotRead && !f.StateNotRead && c.Tier == tier && c.State != f.State {
				t.Errorf("%s: %s is %s, in a full visit %s", tier, id, c.State, f.State)
			}
		}
		// A place read whole that leaves out a part which is there makes it gone.
		for id, f := range byID {
			if _, listed := read[id]; !listed && f.Presence != health.Absent && slices.Contains(snap.Scope, f.Place) && !mentioned(snap, id) && snap.HostPower != health.HostOff {
				t.Errorf("%s reads place %q whole, without %s: it would be found gone", tier, f.Place, id)
			}
		}
	}
}

func mentioned(s *health.Snapshot, id health.ComponentID) bool {
	return slices.ContainsFunc(s.Gaps, func(g health.Gap) bool { return g.Component == id || g.Component == "" })
}

func (s *suite) stable(t *testing.T) {
	src := s.source(t)
	first := s.read(t, src, health.Request{Tiers: s.Tiers})
	second := s.read(t, src, health.Request{Tiers: s.Tiers, Cursors: first.NextCursors, Memory: first.Memory})
	other := s.read(t, s.source(t), health.Request{Tiers: s.Tiers})
	for _, again := range []*health.Snapshot{second, other} {
		a, b := ids(first), ids(again)
		for _, id := range a {
			if !slices.Contains(b, id) {
				t.Errorf("%s is missing the second time", id)
			}
		}
		for _, id := range b {
			if !slices.Contains(a, id) {
				t.Errorf("%s is new the second time", id)
			}
		}
	}
	if c := second.Cost; c.Connections > first.Cost.Connections {
		t.Errorf("a warm visit opened %d connections, the first %d", c.Connections, first.Cost.Connections)
	}
}

func ids(s *health.Snapshot) []health.ComponentID {
	var l []health.ComponentID
	for _, c := range s.Components {
		l = append(l, c.ID)
	}
	slices.Sort(l)
	return l
}

func (s *suite) cursors(t *testing.T) {
	if !s.Tiers.Has(health.TierEvents) {
		t.Skip("no events tier")
	}
	src := s.source(t)
	req := health.Request{Tiers: health.TiersOf(health.TierEvents)}
	seen := map[string]bool{}
	for visit := range 3 {
		snap := s.read(t, src, req)
		if n := len(snap.Log); n > health.DefaultLogLimit*max(1, len(snap.Logs)) {
			t.Errorf("visit %d read %d entries of %d logs", visit, n, len(snap.Logs))
		}
		for i := range snap.Log {
			id := health.LogEventID("x", &snap.Log[i])
			if seen[id] {
				t.Errorf("visit %d gives entry %s of %s again", visit, snap.Log[i].ID, snap.Log[i].Source)
			}
			seen[id] = true
		}
		next := health.Cursors{}
		maps.Copy(next, req.Cursors)
		maps.Copy(next, snap.NextCursors)
		req.Cursors = next
		if snap.Memory != nil {
			req.Memory = snap.Memory
		}
	}
}

func (s *suite) memory(t *testing.T) {
	first := s.read(t, s.source(t), health.Request{Tiers: s.Tiers})
	again := s.read(t, s.source(t), health.Request{Tiers: s.Tiers, Cursors: first.NextCursors, Memory: first.Memory})
	if a, b := ids(first), ids(again); !slices.Equal(a, b) {
		t.Errorf("with memory %d parts, without %d", len(b), len(a))
	}
	// What stands in the store may be from another version, or damaged.
	for _, bad := range []string{`{}`, `null`, `"x"`, `[1]`, `{"version":-1}`} {
		cursors := health.Cursors{}
		for k := range first.NextCursors {
			cursors[k] = json.RawMessage(bad)
		}
		got := s.read(t, s.source(t), health.Request{Tiers: s.Tiers, Cursors: cursors, Memory: json.RawMessage(bad)})
		if a, b := ids(first), ids(got); !slices.Equal(a, b) {
			t.Errorf("with memory %s: %d parts, want %d", bad, len(b), len(a))
		}
	}
}

func (s *suite) cancel(t *testing.T) {
	src := s.source(t)
	for name, after := range map[string]time.Duration{"before it began": 0, "soon after": 5 * time.Millisecond} {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(after, cancel)
		if after == 0 {
			cancel()
		}
		began := time.Now()
		snap, err := src.Read(ctx, health.Request{Tiers: s.Tiers})
		took := time.Since(began)
		timer.Stop()
		cancel()
		if took > after+s.Prompt {
			t.Errorf("cancelled %s: returned after %s", name, took)
		}
		if snap == nil {
			t.Fatalf("cancelled %s: no snapshot", name)
		}
		if err == nil && after == 0 && len(snap.Gaps) == 0 {
			t.Errorf("cancelled %s: neither an error nor a gap", name)
		}
		if err != nil {
			if e, ok := errors.AsType[*health.Error](err); !ok {
				t.Errorf("cancelled %s: %T is no *health.Error: %v", name, err, err)
			} else if e.Reason == health.ReasonDenied {
				t.Errorf("cancelled %s: reason %s would shut the target out for half an hour", name, e.Reason)
			}
		}
	}
	s.read(t, src, health.Request{Tiers: s.Tiers}) // and goes on
}

func (s *suite) closing(t *testing.T) {
	src := s.source(t)
	if err := s.close(src); err != nil {
		t.Errorf("close before any read: %v", err)
	}
	first := s.read(t, src, health.Request{Tiers: s.Tiers})
	for range 2 {
		if err := s.close(src); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if again := s.read(t, src, health.Request{Tiers: s.Tiers}); !slices.Equal(ids(first), ids(again)) {
		t.Error("after close it finds other parts")
	}
}

package detect

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"dewline/health"
)

// index finds the part that a log entry speaks of.
type index struct {
	class map[health.ComponentID]health.Class
	parts map[health.Class][]candidate
}

type candidate struct {
	id         health.ComponentID
	name       string // letters and digits
	plain      string
	redundancy bool // it states whether its group is redundant
}

func newIndex(known *health.Known, s *health.Snapshot) *index {
	all := make(map[health.ComponentID]*health.Component, len(known.Components))
	for id := range known.Components {
		c := known.Components[id].Component
		all[id] = &c
	}
	for i := range s.Components {
		c := &s.Components[i]
		if old := all[c.ID]; old != nil {
			merged := *c
			merged.Name = cmp.Or(c.Name, old.Name)
			merged.Conditions = append(slices.Clone(c.Conditions), old.Conditions...)
			c = &merged
		}
		all[c.ID] = c
	}
	x := &index{class: make(map[health.ComponentID]health.Class, len(all)), parts: map[health.Class][]candidate{}}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		c := all[id]
		x.class[id] = c.Class
		x.parts[c.Class] = append(x.parts[c.Class], candidate{id, letters(c.Name), c.Name, slices.ContainsFunc(c.Conditions, func(n health.Condition) bool {
			return n.Kind == health.KindRedundancyLost || n.Kind == health.KindRedundancyDegraded
		})})
	}
	return x
}

// partOf is the component that an entry speaks of, and its class. Where that is not certain it is the log, and subject tells what the
// entry calls the part: two parts must never be taken for one, so a name has to fit exactly one.
func (x *index) partOf(e *health.LogEntry) (health.ComponentID, health.Class, string) {
	want := e.Decoded.Class
	if c, known := x.class[e.Component]; known && e.Component != "" {
		if !isRollUp(c) || want == "" || isRollUp(want) {
			return e.Component, c, ""
		}
		if id, ok := x.named(want, e); ok { // said of the machine, meant of a part
			return id, want, ""
		}
		return e.Component, c, subjectOf(e)
	}
	if e.Component != "" {
		return e.Component, cmp.Or(want, health.ClassLog), ""
	}
	if want != "" {
		if id, ok := x.named(want, e); ok {
			return id, want, ""
		}
	}
	s := subjectOf(e)
	if s == "" && (e.Kind == health.KindRedundancyLost || e.Kind == health.KindRedundancyDegraded || e.Kind == health.KindIntrusion) {
		s = string(want) // there is one such thing, or the log cannot tell them apart
	}
	return logComponent(e), cmp.Or(want, health.ClassLog), s
}

// named finds the one part of a class that an entry can mean.
func (x *index) named(class health.Class, e *health.LogEntry) (health.ComponentID, bool) {
	parts := x.parts[class]
	found := map[health.ComponentID]bool{}
	for _, n := range e.Decoded.Names {
		l := letters(n)
		if !strings.ContainsFunc(l, unicode.IsLetter) {
			continue
		}
		for _, c := range parts {
			if c.name == l || letters(tail(c.id)) == l {
				found[c.id] = true
			}
		}
	}
	if len(found) == 0 {
		for _, n := range e.Decoded.Names[:min(len(e.Decoded.Names), 1)] {
			if id, ok := byOrdinal(parts, n); ok {
				found[id] = true
			}
		}
	}
	if len(found) == 0 && (e.Kind == health.KindRedundancyLost || e.Kind == health.KindRedundancyDegraded) {
		for _, c := range parts {
			if c.redundancy {
				found[c.id] = true
			}
		}
	}
	if len(found) == 0 && class == health.ClassIntrusion && len(parts) == 1 {
		found[parts[0].id] = true
	}
	if len(found) != 1 {
		return "", false
	}
	for id := range found {
		return id, true
	}
	return "", false
}

var ordinals = regexp.MustCompile(`[0-9]+[A-Za-z]?`)

// byOrdinal finds the part by a bare number, as Dell gives it ("1", "2B"), if the names of all parts of the class have one number each
// and no two the same.
func byOrdinal(parts []candidate, n string) (health.ComponentID, bool) {
	n = strings.ToLower(strings.TrimSpace(n))
	if o := ordinals.FindString(n); o != n || n == "" {
		return "", false
	}
	ids := map[string]health.ComponentID{}
	for _, c := range parts {
		o := ordinals.FindAllString(strings.ToLower(c.plain), -1)
		if len(o) != 1 || ids[o[0]] != "" {
			return "", false
		}
		ids[o[0]] = c.id
	}
	id, ok := ids[n]
	return id, ok
}

// subjectOf is what an entry calls its part: the same at the beginning of a condition and at its end.
func subjectOf(e *health.LogEntry) string {
	s := e.Origin
	if s == "" && len(e.Decoded.Names) > 0 {
		s = e.Decoded.Names[0]
	}
	if s == "" || e.Decoded.Class == "" {
		return s
	}
	return cut(string(e.Decoded.Class) + " " + s)
}

func tail(id health.ComponentID) string {
	_, t, _ := strings.Cut(string(id), "/")
	return t
}

// letters is a name without what services write now so, now so: spaces, punctuation, case.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

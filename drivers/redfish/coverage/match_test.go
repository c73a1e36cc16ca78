package coverage_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dewline/health"
)

// reported is a component of the driver with its readings.
type reported struct {
	health.Component
	readings map[health.Quantity]health.Reading
}

func reportedOf(s *health.Snapshot) []*reported {
	byID := map[health.ComponentID]map[health.Quantity]health.Reading{}
	for _, r := range s.Readings {
		if byID[r.Component] == nil {
			byID[r.Component] = map[health.Quantity]health.Reading{}
		}
		byID[r.Component][r.Quantity] = r
	}
	l := make([]*reported, 0, len(s.Components))
	for _, c := range s.Components {
		l = append(l, &reported{c, byID[c.ID]})
	}
	return l
}

// likeness is how much speaks for a component being a part: 0 if nothing does. It knows nothing of how the driver makes
// its IDs, only that a component keeps a name, a serial or an ID of the part it stands for.
func likeness(p *part, c *reported) int {
	if c.Class != p.class && !slices.Contains(p.also, c.Class) {
		return 0
	}
	n := 0
	if p.serial != "" && plain(p.serial) == plain(c.Serial) {
		n += 16
	}
	own := plain(lastSegment(string(c.ID)))
	for _, name := range p.names {
		switch full := plain(name); {
		case full != "" && (full == plain(c.Name) || full == plain(c.Location)):
			n += 8
		case full != "" && strings.HasSuffix(own, full):
			n += 4
		}
	}
	for _, id := range p.ids {
		if plain(id) != "" && (own == plain(id) || plain(id) == plain(c.Name)) {
			n += 8
		}
	}
	if n == 0 {
		return 0
	}
	for _, u := range p.urls {
		if place := cleanURL(c.Place); place != "" && strings.HasPrefix(u, place) {
			n += 4
			break
		}
	}
	for q, vs := range p.values {
		if r, ok := c.readings[q]; ok && slices.ContainsFunc(vs, func(v float64) bool { return near(v, r.Value) }) {
			n += 2
		}
	}
	return n
}

func near(a, b float64) bool { return max(a-b, b-a) <= 1e-6*max(1, a, -a) }

// match gives each part at most one component and each component at most one part, the likest pairs first, and then as many
// as can be (augmenting paths), so that no part is called missing because another took its component.
func match(parts []*part, comps []*reported) map[*part]*reported {
	type pair struct {
		p    *part
		c    *reported
		like int
	}
	var pairs []pair
	edges := map[*part][]*reported{}
	for _, p := range parts {
		for _, c := range comps {
			if like := likeness(p, c); like > 0 {
				pairs = append(pairs, pair{p, c, like})
				edges[p] = append(edges[p], c)
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if a.like != b.like {
			return cmp.Compare(b.like, a.like)
		}
		return cmp.Compare(a.p.optional, b.p.optional)
	})
	of, taken := map[*part]*reported{}, map[*reported]*part{}
	for _, x := range pairs {
		if of[x.p] == nil && taken[x.c] == nil {
			of[x.p], taken[x.c] = x.c, x.p
		}
	}
	var augment func(p *part, seen map[*reported]bool) bool
	augment = func(p *part, seen map[*reported]bool) bool {
		for _, c := range edges[p] {
			if seen[c] {
				continue
			}
			seen[c] = true
			if q := taken[c]; q == nil || augment(q, seen) {
				of[p], taken[c] = c, p
				return true
			}
		}
		return false
	}
	for _, p := range parts {
		if of[p] == nil && p.optional == "" {
			augment(p, map[*reported]bool{})
		}
	}
	return of
}

// disagreements compares what the driver reports of one class with the parts there are: one sentence each.
func disagreements(w *truth, class health.Class, comps []*reported) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	parts := w.of(class)
	of := match(parts, comps)
	taken := map[*reported]bool{}
	for _, c := range of {
		taken[c] = true
	}
	// An optional part that is reported may be the very part that seems to be missing: it stands for one.
	spare := len(matching(parts, func(p *part) bool { return p.optional != "" && of[p] != nil }))
	for _, p := range parts {
		c := of[p]
		switch {
		case c != nil:
			wrong = append(wrong, p.compare(c, w.off)...)
		case p.optional != "":
		case spare > 0:
			spare--
		default:
			say("missing: %s", p)
		}
	}
	for _, c := range comps {
		if c.Class == class && !taken[c] {
			say("no such part, or one reported twice: %s %q (place %s, serial %q)", c.ID, c.Name, c.Place, c.Serial)
		}
	}
	return wrong
}

func (p *part) String() string {
	name := ""
	if len(p.names) > 0 {
		name = p.names[0]
	}
	return fmt.Sprintf("%s %q id %v serial %q at %s", p.class, name, p.ids, p.serial, strings.Join(p.urls, " = "))
}

// compare says in what the driver's account of a part differs from the documents'.
func (p *part) compare(c *reported, hostOff bool) []string {
	var wrong []string
	say := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s (%s): ", c.ID, p.url())+fmt.Sprintf(format, args...))
	}
	switch {
	case p.absent() && c.Presence != health.Absent:
		say("is absent in the capture, reported %s", c.Presence)
	case p.state == "Enabled" && c.Presence != health.Present:
		say("is there in the capture, reported %s", c.Presence)
	case p.state == "" && c.Presence == health.Absent:
		say("reported absent, and no document says so")
	}
	if c.StateNotRead {
		say("its state was not read")
	}
	if p.absent() && len(c.readings) > 0 {
		say("is absent and has readings %v", c.readings)
	}
	if p.absent() && c.State == health.OK {
		say("is absent and called ok")
	}
	for q, r := range c.readings {
		if vs := p.values[q]; len(vs) > 0 && !slices.ContainsFunc(vs, func(v float64) bool { return near(v, r.Value) }) {
			say("%s is %v, the capture says %v", q, r.Value, vs)
		}
		if slices.Contains(p.forbid, q) {
			say("reported with a %s of %v, which it does not measure", q, r.Value)
		}
	}
	for _, q := range p.demand {
		if _, ok := c.readings[q]; !ok && !p.absent() && !hostOff && !slices.Contains(p.forbid, q) {
			say("no %s, the capture says %v", q, p.values[q])
		}
	}
	if p.state == "Enabled" && !hostOff {
		want, told := map[string]health.State{"OK": health.OK, "Warning": health.Warning, "Critical": health.Critical}[p.health]
		if told && c.State != want {
			say("is %s in the capture, reported %s", p.health, c.State)
		}
	}
	if p.state == "" && p.health == "" && p.class != health.ClassTemperature && p.class != health.ClassLeakDetector && c.State == health.OK {
		say("called ok, and no document says so")
	}
	return wrong
}

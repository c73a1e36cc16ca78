package redfish

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"dewline/health"
	"dewline/internal/quirk"
)

// part is one component while it is being put together from all the resources that state it.
type part struct {
	health.Component
	values  []health.Reading
	odd     []oddValue
	home    string   // chassis, system or unit it belongs to: URI
	names   []string // what resources call it, normalised
	related string   // the one part it measures (RelatedItem), if it names exactly one
	of      string   // the one resource it is a sensor of
	claimed map[string]bool
	legacy  bool // from an array of Thermal or Power
	member  bool // identified by a resource of its own
}

// oddValue is what a resource says where a number should be.
type oddValue struct {
	q    health.Quantity
	said string
}

// union collects the parts of a visit, each once.
type union struct {
	v     *visit
	list  []*part
	byID  map[health.ComponentID]*part
	byURI map[string]*part // resources and sensors that state a part
	cited map[string]citation
	twins map[string]int // IDs by path that were taken, and how often
}

// citation: a part's resource states the value of a sensor.
type citation struct {
	p *part
	q health.Quantity
}

func newUnion(v *visit) *union {
	return &union{v: v, byID: map[health.ComponentID]*part{}, byURI: map[string]*part{}, cited: map[string]citation{}, twins: map[string]int{}}
}

// identity builds an ID: the class, the home where it is not the primary one, and the base. It does not depend on what
// else was read.
func (u *union) identity(class health.Class, home, base string) health.ComponentID {
	q := ""
	if home != "" && home != u.v.mem.Primary && !u.v.primarySystem(home) {
		q = idText(segment(home)) + ":"
	}
	return health.ComponentID(string(class) + "/" + q + idText(base))
}

// idText makes a text fit for an ID: no spaces, slashes or control characters, at most 128 bytes.
func idText(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == '/':
			return '_'
		case r == unicode.ReplacementChar, !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.TrimSpace(s))
	if s == "" {
		return "_"
	}
	return cut(s, maxIDText)
}

const maxIDText = 128

// add takes a part under its ID. Another part that already has the ID keeps it, and this one is named by its path.
func (u *union) add(p *part, uri string) *part {
	if q, ok := u.byURI[uri]; ok && uri != "" && q.Class == p.Class {
		return q
	}
	if _, taken := u.byID[p.ID]; taken {
		path, frag, _ := strings.Cut(uri, "#")
		segs := strings.Split(strings.TrimPrefix(path, rootURI+"/"), "/")
		base := string(p.Class) + "/" + idText(strings.Join(segs, ":")+frag)
		p.ID = health.ComponentID(base)
		for u.byID[p.ID] != nil {
			u.twins[base]++
			end := "~" + strconv.Itoa(u.twins[base]+1)
			// The number outlives the cut: names that are the same as far as an ID goes would be tried for ever.
			p.ID = health.ComponentID(cut(base, len(p.Class)+1+maxIDText-len(end)) + end)
		}
	}
	u.byID[p.ID] = p
	if uri != "" {
		u.byURI[uri] = p
	}
	u.list = append(u.list, p)
	return p
}

// coldest is what a temperature sensor of a server can measure (TMP75 and its like); below it is a margin that nothing
// tells apart, or a sentinel.
const coldest = -55

// sentinel is all ones: what 16 bits say when there is no value. No server draws as many watts; other quantities may have it.
const sentinel = 65535

// set gives a part a reading. The first resource that states a quantity wins: they are read in the order of trust.
func (p *part) set(q health.Quantity, unit health.Unit, n number, th *health.Thresholds) {
	if !n.OK || math.IsInf(n.V, 0) || math.IsNaN(n.V) || q == health.Temperature && n.V < coldest || unit == health.Watt && n.V == sentinel {
		if n.OK {
			n.Odd = strconv.FormatFloat(n.V, 'g', 6, 64)
		}
		if n.Odd != "" && len(p.odd) < 8 {
			p.odd = append(p.odd, oddValue{q, n.Odd})
		}
		return
	}
	for i := range p.values {
		if p.values[i].Quantity == q {
			if p.values[i].Thresholds == nil && p.values[i].Unit == unit {
				p.values[i].Thresholds = th
			}
			return
		}
	}
	p.values = append(p.values, health.Reading{Quantity: q, Unit: unit, Value: n.V, Thresholds: th})
}

func (p *part) has(q health.Quantity) bool {
	return slices.ContainsFunc(p.values, func(r health.Reading) bool { return r.Quantity == q })
}

func (p *part) condition(k health.Kind, s health.Severity, evidence string) {
	for i, c := range p.Conditions {
		if c.Kind == k {
			if s > c.Severity {
				p.Conditions[i] = health.Condition{Kind: k, Severity: s, Evidence: cut(evidence, health.MaxText)}
			}
			return
		}
	}
	p.Conditions = append(p.Conditions, health.Condition{Kind: k, Severity: s, Evidence: cut(evidence, health.MaxText)})
}

// judge applies a Status.
func (p *part) judge(s status, rollup bool) {
	p.State, p.Presence = stateOf(s, rollup)
	p.Status = s.words()
}

// also merges what a second resource says of the part: the worse state, presence and descriptive fields that were
// missing. Where the two disagree the evidence names both.
func (p *part) also(o *part) {
	if o.Status != "" && o.Status != p.Status {
		switch {
		case p.Status == "":
			p.Status = o.Status
		case o.State != p.State:
			p.Status = cut(p.Status+"; "+o.Status, health.MaxText)
		}
	}
	switch {
	case p.State == health.Unknown && p.Presence != health.Absent:
		p.State = o.State
	case o.State == health.Warning || o.State == health.Critical:
		p.State = health.Worst(p.State, o.State)
	}
	if o.Presence == health.Absent || p.Presence == health.PresenceUnknown {
		p.Presence = o.Presence
	}
	for _, f := range []struct{ to, from *string }{
		{&p.Name, &o.Name}, {&p.Location, &o.Location}, {&p.Context, &o.Context}, {&p.Manufacturer, &o.Manufacturer},
		{&p.Model, &o.Model}, {&p.Serial, &o.Serial}, {&p.PartNumber, &o.PartNumber}, {&p.Firmware, &o.Firmware},
	} {
		*f.to = cmp.Or(*f.to, *f.from)
	}
	p.CapacityBytes = cmp.Or(p.CapacityBytes, o.CapacityBytes)
	for _, c := range o.Conditions {
		p.condition(c.Kind, c.Severity, c.Evidence)
	}
	for _, r := range o.values {
		p.set(r.Quantity, r.Unit, number{V: r.Value, OK: true}, r.Thresholds)
	}
	p.odd = append(p.odd, o.odd...)
	for _, n := range o.names {
		if !slices.Contains(p.names, n) {
			p.names = append(p.names, n)
		}
	}
}

// norm makes names of one thing alike: "CPU #1 Temperature" and "CPU1 Temp".
func norm(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
	return strings.ReplaceAll(s, "temperature", "temp")
}

func norms(names ...string) []string {
	var l []string
	for _, n := range names {
		if n = norm(n); n != "" && !slices.Contains(l, n) {
			l = append(l, n)
		}
	}
	return l
}

// serialNumber drops what firmware writes when it has none.
func serialNumber(s string) string {
	switch strings.ToLower(strings.Trim(s, " .")) {
	case "", "n/a", "na", "none", "unknown", "not available", "notavailable", "not specified", "to be filled by o.e.m", "0", "00000000",
		"null", "default string", "xxxxxxxx", "no dimm", "not present", "-":
		return ""
	}
	return s
}

// match finds the part that a resource of another tree states again: by the link it names, by what was learned before,
// by serial number, by name, by the one part both measure. from is the collection the resource stands in: two of its
// members never are the same part.
func (u *union) match(o *part, uri, from string, sources ...string) *part {
	for _, s := range append([]string{uri}, sources...) {
		if p := u.byURI[s]; s != "" && p != nil && p.Class == o.Class && !p.claimed[from] {
			return p
		}
	}
	if a, ok := u.v.mem.Same[uri]; ok && a.fits(o) {
		if p := u.byID[a.ID]; p != nil && !p.claimed[from] {
			return p
		}
		return nil
	}
	fits := func(p *part) bool {
		return p.Class == o.Class && p.home == o.home && !p.claimed[from] && p.legacy && !(p.Serial != "" && o.Serial != "" && p.Serial != o.Serial)
	}
	for _, p := range u.list {
		if fits(p) && p.Serial != "" && p.Serial == o.Serial {
			return p
		}
	}
	for _, n := range o.names {
		for _, p := range u.list {
			if fits(p) && slices.Contains(p.names, n) {
				return p
			}
		}
	}
	if o.related == "" {
		return nil
	}
	var found *part
	for _, p := range u.list {
		if fits(p) && p.related == o.related {
			if found != nil {
				return nil // several sensors on one part: no telling which
			}
			found = p
		}
	}
	return found
}

// fits tells whether an alias is of the part's class: a sensor may be said to measure another thing than when it was learned.
func (a alias) fits(p *part) bool { return strings.HasPrefix(string(a.ID), string(p.Class)+"/") }

// merge adds a part that a resource of its own states, into the part another tree stated before if there is one.
func (u *union) merge(o *part, uri, from string, sources ...string) (p *part, isNew bool) {
	if p = u.match(o, uri, from, sources...); p != nil {
		if p.claimed == nil {
			p.claimed = map[string]bool{}
		}
		p.claimed[from] = true
		p.also(o)
		u.byURI[uri] = p
		if p.legacy {
			u.v.mem.Same[uri] = alias{ID: p.ID, Place: p.Place, Name: p.Name}
		}
		return p, false
	}
	if a, ok := u.v.mem.Same[uri]; ok && a.fits(o) {
		// The resource that names the part was not read in this visit: it keeps the name.
		if p := u.byID[a.ID]; p == nil {
			o.ID, o.Place, o.Name = a.ID, a.Place, cmp.Or(a.Name, o.Name)
		}
	}
	o.claimed = map[string]bool{from: true}
	o.member = true
	return u.add(o, uri), true
}

// pairOrdinals pairs what names could not: as many new members as legacy parts, all numbered, with the same numbers.
// members are the parts of one collection, in its order, not yet merged.
func pairOrdinals(legacy, members []*part) map[*part]*part {
	if len(legacy) == 0 || len(legacy) != len(members) {
		return nil
	}
	number := func(l []*part) map[string]*part {
		m := map[string]*part{}
		for _, p := range l {
			o := ""
			for _, n := range p.names {
				if o = ordinal(n); o != "" {
					break
				}
			}
			if o == "" || m[o] != nil {
				return nil
			}
			m[o] = p
		}
		return m
	}
	a, b := number(legacy), number(members)
	if a == nil || b == nil {
		return nil
	}
	pairs := map[*part]*part{}
	for o, m := range b {
		l := a[o]
		if l == nil || l.Serial != "" && m.Serial != "" && l.Serial != m.Serial {
			return nil
		}
		pairs[m] = l
	}
	return pairs
}

// ordinal is the last number in a name with the letter behind it: "sysfan1a" -> "1a".
func ordinal(n string) string {
	end := strings.LastIndexFunc(n, unicode.IsDigit)
	if end < 0 {
		return ""
	}
	start := end
	for start > 0 && n[start-1] >= '0' && n[start-1] <= '9' {
		start--
	}
	tail := n[end+1:]
	if len(tail) > 1 {
		tail = ""
	}
	return strings.TrimLeft(n[start:end+1], "0") + tail
}

// finish writes the parts into the snapshot, in order of their IDs.
func (u *union) finish(s *health.Snapshot) {
	slices.SortStableFunc(u.list, func(a, b *part) int { return strings.Compare(string(a.ID), string(b.ID)) })
	sentinels := u.v.c.quirk(quirk.Sentinels)
	for _, p := range u.list {
		if sentinels {
			p.values = slices.DeleteFunc(p.values, func(r health.Reading) bool { return r.Value == sentinel })
		}
		if u.v.hostPower == health.HostOff {
			p.hostOff()
		}
		if id := u.v.partAt(p.of); id != p.ID {
			p.Of = id
		}
		s.Components = append(s.Components, p.Component)
		if p.Presence == health.Absent {
			continue // what an empty slot measures is noise
		}
		for _, r := range p.values {
			r.Component = p.ID
			s.Readings = append(s.Readings, r)
		}
		if u.v.hostPower == health.HostOff {
			continue // it has no value then
		}
		for i, o := range p.odd {
			if !p.has(o.q) && !slices.ContainsFunc(p.odd[:i], func(x oddValue) bool { return x.q == o.q }) {
				s.Gaps = append(s.Gaps, health.Gap{
					Part: string(o.q) + " of " + cmp.Or(p.Name, string(p.ID)), Component: p.ID, Reason: health.ReasonMalformed, Error: "no number: " + o.said,
				})
			}
		}
	}
}

// hostOff: with the host off firmware reports fans and rails as failed, or as ok (check_redfish #110); neither is known.
// A zero is the host's being off and no measurement of the part.
func (p *part) hostOff() {
	switch p.Class {
	case health.ClassFan, health.ClassVoltage, health.ClassCurrent:
		p.values = slices.DeleteFunc(p.values, func(r health.Reading) bool { return r.Value == 0 })
	case health.ClassDrive, health.ClassVolume:
		if p.State != health.OK {
			return // a failed drive does not heal by switching off
		}
	default:
		return
	}
	p.State = health.Unknown
	p.Status = cut(strings.TrimSpace(p.Status+" (host off)"), health.MaxText)
}

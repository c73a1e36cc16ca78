package capacity

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"dewline/health"
	"dewline/report"
)

// fleet is a review in the making.
type fleet struct {
	q       *Request
	servers []*server
	// equipment is what is no server: a rack PDU measures again what the servers draw.
	equipment []health.TargetID
	bare      []string // feeds of which no power supply was found
	shares    []string // what draws more than is reviewed, and is held against no budget
	twice     []string // power supplies that are on both of two feeds that carry each other
	partly    []string // feeds on which supplies hang, or may, that tell no input
	byID      map[health.TargetID]*server
	groups    []*group
	faults    []*health.Fault // in the order in which they opened
	byFault   map[health.TargetID][]*health.Fault
	// correctable are the events that tell of corrected errors: of a server and part, by day.
	correctable map[health.TargetID]map[health.ComponentID]map[time.Time]int
	first, last time.Time // the first step in which anything was read, and the end of the last
	silent      int       // whole days between them in which nothing was
	scratch     [health.StepsPerDay]float64
	names       map[string]string // while it is planned: what many servers share is held once
}

// server is one server in the making.
type server struct {
	target   health.Target
	identity health.Identity
	parts    []installed // in order of ID
	// read are parts that were ever read, where the source does not tell what is installed.
	read  []installed
	query health.DayQuery
	// Places in query.Aligned.
	inputs, boards, duties []int
	inlet, dew, humidity   int        // -1: none
	daily                  []*tracked // beside query.Daily

	first, last time.Time // steps in which anything was read
	watched     int       // steps
	power       powerTally
	air         airTally
	memberships []membership
	feeds       []feedPart
	limits      *Air
	shared      bool // its power supplies feed other servers too
	sampling    float64
}

// installed is what a review needs of a part. Those of all servers are held at once.
type installed struct {
	ID, Of                                      health.ComponentID
	Class                                       health.Class
	Name, Manufacturer, Model, Serial, Firmware string
	CapacityBytes                               int64
}

// tracked is a series of which each day is taken.
type tracked struct {
	health.SeriesID
	Class   health.Class
	Derived bool
	dist
	steps  int
	last   dayValue // the last value of the last day
	gained float64  // of a counter, after the first day
	lasts  dayRuns  // of wear and of counters
}

// plan asks what there is of each server, and chooses what to read.
func plan(ctx context.Context, r report.FleetReader, q *Request) (*fleet, error) {
	f := &fleet{q: q, names: map[string]string{}, byID: map[health.TargetID]*server{}, byFault: map[health.TargetID][]*health.Fault{}, correctable: map[health.TargetID]map[health.ComponentID]map[time.Time]int{}}
	targets := map[health.TargetID]health.Target{}
	var ids []health.TargetID
	for _, t := range q.Targets {
		targets[t.ID], ids = t, append(ids, t.ID)
	}
	if err := r.EachInventory(ctx, ids, q.Until, func(id health.TargetID, facts *health.PartFacts) error {
		if isEquipment(facts) {
			f.equipment = append(f.equipment, id)
			return nil
		}
		t := targets[id]
		s := &server{target: t, limits: &q.Air, query: health.DayQuery{Target: t.ID}, inlet: -1, dew: -1, humidity: -1}
		s.air.warmest.most = int(q.Until.Sub(q.From) / health.AlignStep)
		f.hold(s, facts)
		s.choose(facts)
		f.servers = append(f.servers, s)
		f.byID[t.ID] = s
		return nil
	}); err != nil {
		return nil, err
	}
	f.share()
	if err := r.EachFault(ctx, q.From, q.Until, func(x *health.Fault) error {
		if s := f.byID[x.Target]; s != nil {
			kept := *x
			f.faults = append(f.faults, &kept)
			f.byFault[x.Target] = append(f.byFault[x.Target], &kept)
			s.power.fault(x, q.Until)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := r.EachEvent(ctx, q.From, q.Until, func(x *health.Event) error {
		if f.byID[x.Target] == nil || x.Kind != health.KindCorrectableError || x.Transition == health.Cleared || x.Transition == health.Unmonitored {
			return nil
		}
		parts := f.correctable[x.Target]
		if parts == nil {
			parts = map[health.ComponentID]map[time.Time]int{}
			f.correctable[x.Target] = parts
		}
		if parts[x.Component] == nil {
			parts[x.Component] = map[time.Time]int{}
		}
		parts[x.Component][x.At.UTC().Truncate(24*time.Hour)]++
		return nil
	}); err != nil {
		return nil, err
	}
	if err := f.others(ctx, r); err != nil {
		return nil, err
	}
	f.join()
	f.names = nil
	return f, nil
}

// others leaves of those that were not chosen only servers.
func (f *fleet) others(ctx context.Context, r report.FleetReader) error {
	if len(f.q.Sites)+len(f.q.Racks)+len(f.q.Feeds) == 0 || len(f.q.Others) == 0 {
		return nil // nothing is held against anything
	}
	var ids []health.TargetID
	for i := range f.q.Others {
		ids = append(ids, f.q.Others[i].ID)
	}
	equipment := map[health.TargetID]bool{}
	if err := r.EachInventory(ctx, ids, f.q.Until, func(id health.TargetID, facts *health.PartFacts) error {
		equipment[id] = isEquipment(facts)
		return nil
	}); err != nil {
		return err
	}
	f.q.Others = slices.DeleteFunc(slices.Clone(f.q.Others), func(t health.Target) bool { return equipment[t.ID] })
	return nil
}

// once is a text that many servers share.
func once[S ~string](f *fleet, s S) S {
	if x, ok := f.names[string(s)]; ok {
		return S(x)
	}
	f.names[string(s)] = string(s)
	return s
}

// hold keeps of a server's inventory what the review needs.
func (f *fleet) hold(s *server, facts *health.PartFacts) {
	s.identity = facts.Identity
	s.parts = make([]installed, len(facts.Parts))
	for i := range facts.Parts {
		p := &facts.Parts[i]
		p.ID = once(f, p.ID)
		s.parts[i] = installed{p.ID, once(f, p.Of), once(f, p.Class), once(f, p.Name), once(f, p.Manufacturer), once(f, p.Model), p.Serial, once(f, p.Firmware), p.CapacityBytes}
	}
	for i := range facts.Series {
		x := &facts.Series[i]
		x.Component, x.Quantity, x.Unit, x.Class = once(f, x.Component), once(f, x.Quantity), once(f, x.Unit), once(f, x.Class)
		if !facts.Known {
			s.read = append(s.read, installed{ID: x.Component, Class: x.Class})
		}
	}
}

// part is what is known of a part: nothing, if it is not.
func (s *server) part(id health.ComponentID) installed {
	k, ok := slices.BinarySearchFunc(s.parts, id, func(p installed, id health.ComponentID) int { return cmp.Compare(p.ID, id) })
	if !ok {
		return installed{}
	}
	return s.parts[k]
}

// described is what is known of a series' component; of one that the source does not describe, what its ID says.
func described(facts *health.PartFacts, x *health.SeriesFacts) health.Component {
	if k, ok := slices.BinarySearchFunc(facts.Parts, x.Component, func(p health.KnownComponent, id health.ComponentID) int { return cmp.Compare(p.ID, id) }); ok {
		return facts.Parts[k].Component
	}
	_, name, _ := strings.Cut(string(x.Component), "/")
	return health.Component{ID: x.Component, Class: x.Class, Name: name}
}

func (s *server) name(id health.ComponentID) string { return cmp.Or(s.part(id).Name, string(id)) }

// isEquipment tells a power distributor or a cooling unit that is read like a server.
func isEquipment(facts *health.PartFacts) bool {
	equipment := false
	for _, p := range facts.Parts {
		switch p.Class {
		case health.ClassSystem, health.ClassCPU, health.ClassMemory:
			return false
		}
		equipment = equipment || strings.Contains(p.Place, "/PowerEquipment/") || strings.Contains(p.Place, "/ThermalEquipment/")
	}
	return equipment
}

// share finds power supplies that several servers of a rack tell of, by serial number: the nodes of one chassis, of which each tells what
// all of them draw. Their own meters are taken.
func (f *fleet) share() {
	type supply struct {
		place  Place
		serial string
	}
	by := map[supply][]*server{}
	for _, s := range f.servers {
		for _, p := range s.parts {
			if p.Class == health.ClassPSU && len(p.Serial) >= 5 && strings.Trim(p.Serial, p.Serial[:1]) != "" {
				k := supply{Place{s.target.Site, s.target.Rack}, p.Serial}
				by[k] = append(by[k], s)
			}
		}
	}
	for _, servers := range by {
		for _, s := range servers {
			if s != servers[0] {
				servers[0].shared, s.shared = true, true
				servers[0].inputs, s.inputs = nil, nil
			}
		}
	}
}

// choose picks the series to read.
func (s *server) choose(facts *health.PartFacts) {
	align := func(x *health.SeriesFacts) int {
		s.query.Aligned = append(s.query.Aligned, x.SeriesID)
		return len(s.query.Aligned) - 1
	}
	var inlet, dew, humidity *health.SeriesFacts
	var duties []*health.SeriesFacts // of sensors that are named after fans
	better := func(to **health.SeriesFacts, x *health.SeriesFacts, c health.Component) {
		if *to == nil || airRank(c) < airRank(described(facts, *to)) {
			*to = x
		}
	}
	for i := range facts.Series {
		x := &facts.Series[i]
		c := described(facts, x)
		keep := false
		switch x.Quantity {
		case health.InputPower:
			if keep = x.Class == health.ClassPSU && x.Unit == health.Watt; keep {
				s.inputs = append(s.inputs, align(x))
			}
		case health.Power:
			if keep = x.Unit == health.Watt && isWhole(c); keep {
				s.boards = append(s.boards, align(x))
			}
		case health.Temperature:
			if x.Unit == health.Celsius && !x.Derived && report.IsInlet(c) {
				better(&inlet, x, c)
			}
		case health.DewPoint:
			if x.Unit == health.Celsius {
				better(&dew, x, c)
			}
		case health.RelativeHumidity:
			if x.Unit == health.Percent {
				better(&humidity, x, c)
			}
		case health.Duty:
			if keep = x.Class == health.ClassFan && x.Unit == health.Percent; keep {
				s.duties = append(s.duties, align(x))
			} else if x.Class == health.ClassSensor && x.Unit == health.Percent && strings.Contains(strings.ToLower(c.Name), "fan") {
				duties = append(duties, x)
			}
		case health.CondensationMargin, health.LifeLeft, health.SpareLeft, health.MediaErrors, health.PowerOnHours, health.CorrectableErrors, health.UncorrectableErr:
			keep = true
		case health.PowerCapacity:
			keep = x.Class == health.ClassPSU
		case health.PowerLimit:
			keep = x.Unit == health.Watt
		case health.Utilisation:
			keep = x.Class != health.ClassLog
		}
		if keep && x.Quantity != health.Duty {
			s.track(x)
		}
	}
	if len(s.duties) == 0 {
		for _, x := range duties {
			s.duties = append(s.duties, align(x))
		}
	}
	for _, a := range []struct {
		x  *health.SeriesFacts
		to *int
	}{{inlet, &s.inlet}, {dew, &s.dew}, {humidity, &s.humidity}} {
		if a.x != nil {
			*a.to = align(a.x)
			s.track(a.x)
		}
	}
}

func (s *server) track(x *health.SeriesFacts) {
	s.query.Daily = append(s.query.Daily, x.SeriesID)
	s.daily = append(s.daily, &tracked{SeriesID: x.SeriesID, Class: x.Class, Derived: x.Derived})
}

// airRank prefers sensors at the inlet to such in the room, and those to any other.
func airRank(c health.Component) int {
	name := strings.ToLower(c.Name)
	switch {
	case c.Context == "intake" || strings.Contains(name, "inlet") || strings.Contains(name, "intake"):
		return 0
	case c.Context == "room" || strings.Contains(name, "room") || strings.Contains(name, "ambient"):
		return 1
	}
	return 2
}

// isWhole tells a meter that may be that of the whole machine, as opposed to that of a part.
func isWhole(c health.Component) bool {
	switch c.Class {
	case health.ClassPower, health.ClassSystem, health.ClassChassis, health.ClassPowerUnit:
	default:
		return false
	}
	name := strings.ToLower(c.Name)
	return !slices.ContainsFunc([]string{"cpu", "processor", "memory", "dimm", "gpu", "fan", "drive", "disk", "hdd", "pcie", "psu", "supply"}, func(w string) bool { return strings.Contains(name, w) })
}

// day takes a day of a server, and tells whether anything was read of it.
func (f *fleet) day(x *health.DayFacts) bool {
	s := f.byID[x.Target]
	from, until := f.steps(x.Day)
	var read [health.StepsPerDay]bool
	for _, a := range x.Aligned {
		for i, v := range a {
			read[i] = read[i] || v == v // not NaN
		}
	}
	steps, first, last := 0, -1, -1
	for i := from; i < until; i++ {
		if !read[i] {
			continue
		}
		if steps++; first < 0 {
			first = i
		}
		last = i
	}
	if first >= 0 {
		s.seen(x.Day.Add(time.Duration(first) * health.AlignStep))
		s.seen(x.Day.Add(time.Duration(last) * health.AlignStep))
	}
	for i := range x.Daily {
		d := &x.Daily[i]
		if d.N == 0 {
			continue
		}
		if len(x.Aligned) == 0 || steps == 0 {
			steps = max(steps, d.Steps)
			s.seen(d.At.Truncate(health.AlignStep))
		}
		s.daily[i].take(x.Day, d)
	}
	s.watched += steps
	draw := f.scratch[:]
	s.power.day(s, x, from, until, draw)
	s.air.day(s, x, from, until)
	since := s.first
	if since.IsZero() { // visited, and nothing read of it yet: it is missing from now on
		since = x.Day.Add(time.Duration(from) * health.AlignStep)
	}
	for i := range s.memberships {
		s.memberships[i].take(since, draw)
	}
	for i := range s.feeds {
		s.feeds[i].take(s, since, x)
	}
	return steps > 0
}

// steps are those of a day that lie in the window.
func (f *fleet) steps(day time.Time) (from, until int) {
	from, until = 0, health.StepsPerDay
	if d := f.q.From.Sub(day); d > 0 {
		from = int(d / health.AlignStep)
	}
	if d := f.q.Until.Sub(day); d < 24*time.Hour {
		until = int(d / health.AlignStep)
	}
	return from, until
}

func (s *server) seen(at time.Time) {
	if s.first.IsZero() || at.Before(s.first) {
		s.first = at
	}
	if at.After(s.last) {
		s.last = at
	}
}

func (t *tracked) take(day time.Time, d *health.DaySeries) {
	var h health.Histogram // kept where percentiles are told
	if t.Quantity == health.CondensationMargin || t.Quantity == health.Utilisation {
		h = d.Hist
	}
	v := dayValue{dayNumber(day), d.Last}
	if t.n > 0 {
		t.gained += gain(t.last.v, v.v)
	}
	t.merge(h, int(d.N), d.Sum, d.Min, d.Max)
	t.steps += d.Steps
	t.last = v
	if t.Quantity == health.LifeLeft || t.Quantity == health.CorrectableErrors {
		t.lasts.add(v)
	}
}

// sampling is every how many seconds it was read, in the steps in which it was.
func (t *tracked) sampling() float64 {
	return float64(t.steps) * health.AlignStep.Seconds() / float64(t.n)
}

// of are the tracked series of a quantity.
func (s *server) of(q health.Quantity) []*tracked {
	var out []*tracked
	for _, t := range s.daily {
		if t.Quantity == q && t.n > 0 {
			out = append(out, t)
		}
	}
	return out
}

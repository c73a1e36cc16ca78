package redfish

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

const (
	// slowRequest is how long one member may take on average before its place is slow.
	slowRequest = 5 * time.Second
	// forHealth is the share of patience that the health and inventory tiers may use: the logs come after them.
	forHealth = 0.8
	// timeoutsOfPlace end the reading of one place, not of the visit: the BMC has answered elsewhere.
	timeoutsOfPlace = 2
)

var (
	errLater    = errors.New("a slow part: read in turn, over several visits")
	errPatience = errors.New("left for a later visit, so that readings stay on time")
	errTokens   = errors.New("left for a later visit: more requests were made lately than this BMC is to bear")
)

// slowPlace is a collection whose members are read in turn over several visits, because all of them in one would make
// readings late.
type slowPlace struct {
	Seconds float64   `json:"seconds"` // of one request, roughly
	Since   time.Time `json:"since"`
	// Members that are known, in order of their links, with what they are.
	Members []slowMember `json:"members,omitempty"`
}

type slowMember struct {
	URI  string             `json:"uri"`
	ID   health.ComponentID `json:"id,omitempty"`
	Read time.Time          `json:"read,omitzero"`
}

// bucket bounds requests that are not urgent over a longer time than a visit. It is the reading goroutine's, under the visit's
// lock.
type bucket struct {
	tokens float64
	filled time.Time
}

func (b *bucket) take(now time.Time, perMinute float64) bool {
	most := 10 * perMinute
	if b.filled.IsZero() {
		b.tokens = most
	} else if d := now.Sub(b.filled); d > 0 {
		b.tokens = min(most, b.tokens+d.Minutes()*perMinute)
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// budget is what a visit knows of time. Guarded by visit.mu.
type budget struct {
	patience  time.Duration // 0: none is needed
	unhurried bool          // what is read now can wait
	admitted  map[string]bool
	asked     map[string][]string // place -> members wanted while unhurried
	took      map[string]*timing
	left      map[string]bool // places of which something was left for want of time
	timeouts  map[string]int
	lists     map[string]bool // collections asked for as such: they never wait for a turn, or no member ever would have one
}

type timing struct {
	n     int
	total time.Duration
}

func (t *timing) mean() time.Duration {
	if t == nil || t.n == 0 {
		return 0
	}
	return t.total / time.Duration(t.n)
}

func newBudget(patience time.Duration) budget {
	return budget{
		patience: patience, asked: map[string][]string{}, took: map[string]*timing{}, left: map[string]bool{}, timeouts: map[string]int{},
		lists: map[string]bool{}, admitted: map[string]bool{},
	}
}

// unhurry begins, or ends, the reading of what can wait.
func (v *visit) unhurry(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if on && v.patience > 0 && len(v.admitted) == 0 {
		v.admit()
	}
	v.unhurried = on
}

// admit chooses the slow members of this visit: those after the last ones read, as many as half of the time that is left
// is good for, and at least one.
func (v *visit) admit() {
	var ring []string
	seconds := map[string]float64{}
	for place, s := range v.mem.Slow {
		for _, m := range s.Members {
			ring = append(ring, m.URI)
			seconds[m.URI] = v.mem.Slow[place].Seconds
		}
	}
	if len(ring) == 0 {
		return
	}
	slices.Sort(ring)
	from, found := slices.BinarySearch(ring, v.mem.SlowAfter)
	if found {
		from++
	}
	allot := (v.patience.Seconds()*forHealth - v.c.o.Now().Sub(v.at).Seconds()) / 2
	for i := range ring {
		u := ring[(from+i)%len(ring)]
		if allot -= seconds[u] / inFlight; allot < 0 && i > 0 {
			break
		}
		v.admitted[u] = true
		v.mem.SlowAfter = u
	}
}

// wait tells what is not asked for now: slow members whose turn it is not, and what there is no time or token for.
func (v *visit) wait(uri string) *health.Error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.unhurried {
		return nil
	}
	place := parent(uri)
	slow := v.mem.Slow[place]
	if path, _, _ := strings.Cut(uri, "?"); v.lists[path] {
		slow = nil
	} else {
		v.asked[place] = append(v.asked[place], uri)
	}
	why := error(nil)
	switch {
	case v.timeouts[place] >= timeoutsOfPlace:
		v.left[place] = true
		why = errPatience
	case v.patience > 0 && slow != nil && !v.admitted[uri]:
		why = errLater
	case v.patience > 0 && !(slow != nil && len(v.admitted) == 1) && v.c.o.Now().Sub(v.at)+v.took[place].mean() > time.Duration(float64(v.patience)*forHealth):
		v.left[place] = true
		why = errPatience
	case v.c.o.RequestBudget >= 0 && !v.c.tokens.take(v.c.o.Now(), float64(cmp.Or(v.c.o.RequestBudget, DefaultRequestBudget))):
		why = errTokens
	}
	if why == nil {
		return nil
	}
	return &health.Error{Reason: health.ReasonBudget, Op: "GET " + uri, Err: why}
}

// clock notes how long a request took.
func (v *visit) clock(uri string, d time.Duration, e *health.Error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	path, _, _ := strings.Cut(uri, "?")
	if !v.unhurried || v.lists[path] {
		return
	}
	place := parent(uri)
	t := v.took[place]
	if t == nil {
		t = new(timing)
		v.took[place] = t
	}
	t.n++
	t.total += d
	switch {
	case e == nil:
		v.timeouts[place] = 0
	case e.Reason == health.ReasonTimeout:
		v.timeouts[place]++
	}
}

// later reports whether a member was left for its turn and its place can be judged without it: what it is, is known, and a
// gap says that it was not read. In a health visit nothing of an inventory part's absence is judged.
func (v *visit) later(uri string, e *health.Error) bool {
	if !errors.Is(e, errLater) || !v.req.Tiers.Has(health.TierInventory) {
		return false
	}
	for _, m := range v.mem.Slow[parent(uri)].Members {
		if m.URI == uri && m.ID != "" {
			v.gaps = append(v.gaps, health.Gap{Part: uri, Reason: e.Reason, Error: errLater.Error(), Component: m.ID})
			return true
		}
	}
	return false
}

// listing notes that a collection is asked for as such.
func (v *visit) listing(place string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lists[place] = true
}

// settle learns from the visit which places are slow, and which no longer are.
func (v *visit) settle() {
	if !v.full || v.ctx.Err() != nil || v.failed() != nil {
		return
	}
	patience := v.patience.Seconds() * forHealth
	var all timing
	for _, t := range v.took {
		all.n, all.total = all.n+t.n, all.total+t.total
	}
	each := func(place string) float64 {
		if t := v.took[place]; t != nil {
			return t.mean().Seconds()
		}
		return all.mean().Seconds()
	}
	whole := func(place string) float64 { return each(place) * float64(len(v.asked[place])) / inFlight }
	sum := 0.0
	for _, place := range slices.Sorted(keys(v.asked)) {
		switch s := v.mem.Slow[place]; {
		case s == nil && (v.timeouts[place] >= timeoutsOfPlace || v.took[place] != nil && v.took[place].n > 1 && each(place) >= slowRequest.Seconds()):
			v.slow(place, each(place))
		case s == nil:
			sum += whole(place)
		case v.took[place] != nil:
			v.remeasured(place, s, each(place), whole(place), patience)
		}
	}
	if patience > 0 && len(v.left) > 0 {
		// All of it together takes too long: what takes the most waits its turn, until the rest takes half of the time.
		biggest := slices.SortedFunc(keys(v.asked), func(a, b string) int { return cmp.Or(cmp.Compare(whole(b), whole(a)), cmp.Compare(a, b)) })
		for _, place := range biggest {
			if sum <= patience/2 {
				break
			}
			if v.mem.Slow[place] == nil && len(v.asked[place]) > 1 {
				sum -= whole(place)
				v.slow(place, each(place))
			}
		}
	}
	for place, s := range v.mem.Slow {
		v.attendance(place, s)
	}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func roughly(seconds float64) float64 { return math.Ceil(seconds*2) / 2 }

func (v *visit) slow(place string, seconds float64) {
	v.mem.Slow[place] = &slowPlace{Seconds: roughly(seconds), Since: v.at.UTC().Truncate(time.Second)}
	v.c.o.Log.Warn("a slow part of the BMC is read in turn from now on, so that readings stay on time", "target", v.c.id, "part", place,
		"seconds_each", roughly(seconds), "members", len(v.asked[place]))
}

// remeasured takes in how a slow place did this time. It returns to its tier when all of it takes a fifth of the time.
func (v *visit) remeasured(place string, s *slowPlace, each, whole, patience float64) {
	if each < slowRequest.Seconds()/2 && (patience == 0 || whole <= patience/5) && v.timeouts[place] == 0 {
		v.c.o.Log.Info("a part of the BMC is fast again and read as usual", "target", v.c.id, "part", place)
		delete(v.mem.Slow, place)
		return
	}
	if now := roughly(each); now > s.Seconds*1.25 || now < s.Seconds*0.75 {
		s.Seconds = now // small changes are not worth writing the memory again
	}
}

// attendance notes the members of a slow place, and makes those that were read parts of the inventory tier.
func (v *visit) attendance(place string, s *slowPlace) {
	if len(v.asked[place]) == 0 {
		return // not wanted in this visit
	}
	old := map[string]slowMember{}
	for _, m := range s.Members {
		old[m.URI] = m
	}
	s.Members = nil
	for _, u := range slices.Compact(slices.Sorted(slices.Values(v.asked[place]))) {
		m := old[u]
		m.URI = u
		if p := v.union.byURI[u]; p != nil && v.docs[u] != nil && v.docs[u].err == nil {
			m.ID, m.Read = p.ID, v.at.UTC().Truncate(time.Second)
			if p.Tier == health.TierHealth {
				p.Tier, p.TierMoved = health.TierInventory, true
			}
		}
		if len(s.Members) < maxMembers {
			s.Members = append(s.Members, m)
		}
	}
}

// gaveUp reports whether a timeout concerns one place only.
func (v *visit) gaveUp(e *health.Error) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	se, ok := errors.AsType[*statusError](e)
	return v.unhurried && v.read > 0 && e.Reason == health.ReasonTimeout && (!ok || se.code == http.StatusGatewayTimeout)
}

package truth

import (
	"fmt"
	"math"
	"slices"
	"time"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/report/verification"
)

// bounds are what a verdict may be.
type bounds struct {
	best     verification.Verdict // none better
	why      []string
	standing bool // a fault that a BMC shows stands: "fault found" is true
	grey     bool // so close to a limit that inconclusive is as good
	unseen   []string
}

var order = map[verification.Verdict]int{verification.Verified: 0, verification.Observations: 1, verification.Inconclusive: 2, verification.FaultFound: 3}

func (b *bounds) atMost(v verification.Verdict, format string, args ...any) {
	if order[v] > order[b.best] {
		b.best = v
	}
	b.why = append(b.why, fmt.Sprintf("%s: ", v)+fmt.Sprintf(format, args...))
}

// evidence is the first that any of the servers showed of the water.
func (i *incident) evidence() time.Time {
	first := i.found
	for _, s := range i.servers {
		for _, e := range s.episodes() {
			water := e.part == "leak" || e.part == "room" || e.part == "psu" && e.kind == critical
			if water && !e.shown.IsZero() && e.shown.Before(first) && e.began.After(i.found.Add(-40*time.Hour)) {
				first = e.shown
			}
		}
	}
	return first
}

func hourOf(t time.Time) time.Time { return t.Truncate(time.Hour) }

func nextHour(t time.Time) time.Time {
	if h := hourOf(t); h.Before(t) {
		return h.Add(time.Hour)
	}
	return t
}

// bounds of the verdict on a server, by what was done to it and what its BMC showed.
func (i *incident) bounds(s *server) *bounds {
	b := &bounds{best: verification.Verified}
	end := hourOf(i.made)
	eps := s.episodes()

	// The windows.
	evidence := i.evidence()
	baseTo := hourOf(evidence.Add(-24 * time.Hour))
	baseFrom := baseTo.Add(-baseline)
	if baseFrom.Before(epoch) {
		baseFrom = epoch
	}
	hours := baseTo.Sub(baseFrom).Hours()
	if hours < minBaseline {
		b.atMost(verification.Observations, "%.0f hours of baseline", hours)
		if s.target.Expect.Fans == nil {
			b.atMost(verification.Inconclusive, "no baseline and nothing expected")
		}
	}
	b.grey = math.Abs(hours-minBaseline) < 1.5 && s.target.Expect.Fans == nil
	soakFrom := nextHour(i.found)
	if !i.on.IsZero() {
		soakFrom = nextHour(i.on)
	} else if up, was := s.outage(evidence, end); was { // what looks like an outage is one
		if up.IsZero() {
			b.atMost(verification.Inconclusive, "it is silent or off since")
			up = end
		}
		soakFrom = up
	}

	// What was shown.
	restart := soakFrom
	for _, e := range eps {
		grave := e.kind == critical || e.kind == leaking
		if e.part == "leak" && s.make.leak && s.secret(e.index) {
			b.standing, b.grey = true, true // any of its states may be water
			if e.ended.IsZero() {
				e.ended = e.over
			}
		}
		switch {
		case e.shown.IsZero():
			b.unseen = append(b.unseen, e.part)
			b.grey = b.grey || e.maybe
		case e.began.Before(baseTo) && (hours >= minBaseline || e.shown.Before(baseTo)) && e.kind != leaking: // it was so before; liquid is liquid whenever it came
			if e.ended.IsZero() {
				b.atMost(verification.Observations, "%s %d was so before", e.part, e.index)
			}
			continue
		case e.ended.IsZero():
			b.standing = true
			b.atMost(verification.Inconclusive, "%s %d stands since %s", e.part, e.index, at(e.began))
		default:
			b.standing = b.standing || e.only           // whom to believe is for people
			b.grey = b.grey || e.only || e.kind == gone // a part that is not there is not read either
			b.atMost(verification.Observations, "%s %d from %s to %s", e.part, e.index, at(e.began), at(e.ended))
		}
		until := e.ended
		if until.IsZero() {
			until = i.made
		}
		if grave && !e.shown.IsZero() && until.After(soakFrom) && until.After(restart) && !i.explains {
			restart = nextHour(until)
		}
	}
	if i.explains { // and then it is for people to judge: the rules of the soak do not bind
		for _, e := range eps {
			b.grey = b.grey || (e.kind == critical || e.kind == leaking) && (e.ended.IsZero() || e.ended.After(soakFrom))
		}
	}
	if s.exchanged() {
		b.atMost(verification.Observations, "a part was exchanged")
	}
	for k := range s.ledger {
		if t := &s.ledger[k]; s.make.vendorLeak && t.at.After(baseTo) && t.state.Leaks[0].State == bmcsim.LeakFault {
			b.standing = true // its two states are the vendor's secret: either may be water
		}
	}

	i.soakBounds(b, s, restart, end, hours >= minBaseline, baseFrom, baseTo)
	i.coverageBounds(b, s, "soak", restart, end)
	if hours >= minBaseline {
		i.coverageBounds(b, s, "baseline", baseFrom, baseTo)
	}
	if from := baseFrom.Add(time.Hour); slices.ContainsFunc(s.log.spoilt, func(t time.Time) bool { return t.After(from) && t.Before(i.made.Add(-i.rhythm.every)) }) {
		b.atMost(verification.Inconclusive, "the log was spoilt")
	}
	// What services of logs there are, and whether they are on, is read with the inventory: in between, nobody asks.
	if slices.ContainsFunc(s.ledger, func(t tick) bool { return t.logOff && t.inventory && !t.down && !t.silent }) {
		b.atMost(verification.Inconclusive, "the log was off")
	}
	for _, what := range []string{"drying", "inspection"} {
		ok := false
		for _, a := range i.attest {
			ok = ok || a.What == what && !a.At.Before(evidence) && (len(a.Targets) == 0 || slices.Contains(a.Targets, s.target.ID))
		}
		if !ok {
			b.atMost(verification.Inconclusive, "%s is not attested", what)
		}
	}
	if x := s.target.Expect.Fans; x != nil && *x > s.make.profile.Fans {
		b.atMost(verification.Inconclusive, "a fan is expected that is not there")
	}
	for k := range s.ledger {
		if t := &s.ledger[k]; s.make.profile.LeakBoolean && !t.at.Before(restart) && t.state.Leaks[0].State == bmcsim.LeakFault {
			b.grey = true // this make says nothing at all of a detector that broke: is that a part that was not read?
		}
	}
	if !slices.ContainsFunc(i.servers, func(o *server) bool { return o.detects(restart, end) }) {
		b.atMost(verification.Observations, "no detector worked")
	}
	return b
}

// outage is when what looks like an outage ended: the first whole hours in which the host was seen off, else in which the BMC was silent. Zero
// if it has not.
func (s *server) outage(evidence, end time.Time) (up time.Time, was bool) {
	type hour struct{ asked, answered, off int }
	hours := map[time.Time]*hour{}
	for k := range s.ledger {
		t := &s.ledger[k]
		h := hours[hourOf(t.at)]
		if h == nil {
			h = &hour{}
			hours[hourOf(t.at)] = h
		}
		switch {
		case t.down: // nobody asked
			continue
		case !t.silent && !t.state.HostOn:
			h.off++
			fallthrough
		case !t.silent:
			h.answered++
		}
		h.asked++
	}
	for at, off := hourOf(evidence), false; at.Before(end) && !off; at = at.Add(time.Hour) {
		looks := func() bool { h := hours[at]; return h != nil && h.asked > 0 && (h.off > 0 || h.answered == 0) }
		if !looks() {
			continue
		}
		silence := was
		for ; at.Before(end) && (looks() || hours[at] == nil || hours[at].asked == 0); at = at.Add(time.Hour) {
			off = off || hours[at] != nil && hours[at].off > 0
		}
		if !silence || off {
			was, up = true, at
			if !at.Before(end) {
				up = time.Time{}
			}
		}
	}
	return up, was
}

// exchanged tells whether a serial number that the BMC shows to who reads what is due is another than at the start.
func (s *server) exchanged() bool {
	first := &s.ledger[0].state
	for k := range s.ledger {
		t := &s.ledger[k]
		if t.down || t.silent {
			continue
		}
		ipmi := s.make.driver == health.DriverIPMI
		if t.state.PSUs[1].Serial != first.PSUs[1].Serial && (!ipmi || t.inventory) && !slices.Contains(t.hidden, "psu") && !t.state.PSUs[1].Absent {
			return true
		}
		if t.state.Drives[0].Serial != first.Drives[0].Serial && !ipmi && t.health && !slices.Contains(t.hidden, "storage") && !t.state.Drives[0].Removed {
			return true
		}
	}
	return false
}

// detects tells whether the detector worked in nearly all of a window.
func (s *server) detects(from, to time.Time) bool {
	if !s.make.leak {
		return false
	}
	good, all := 0, 0
	for i := range s.ledger {
		t := &s.ledger[i]
		if t.at.Before(from) || !t.at.Before(to) {
			continue
		}
		all++
		if s.tells(0, t) {
			good++
		}
	}
	return all > 0 && float64(good) >= 0.93*float64(all)
}

// tells whether a detector can be known at a tick.
func (s *server) tells(detector int, t *tick) bool {
	still := t.frozen && t.state.HostOn // with the host off, too little moves to tell
	return !t.down && !still && s.readable(condition{"leak", detector, leaking}, t) && t.state.Leaks[detector].State != bmcsim.LeakFault
}

// soakBounds counts hours of soak.
func (i *incident) soakBounds(b *bounds, s *server, from, end time.Time, metered bool, baseFrom, baseTo time.Time) {
	var draws []float64
	for _, t := range s.ledger {
		if t.state.HostOn && !t.at.Before(baseFrom) && t.at.Before(baseTo) {
			draws = append(draws, t.state.PowerWatts)
		}
	}
	slices.Sort(draws)
	least := 0.0
	if metered && len(draws) > 0 {
		least = draws[len(draws)/2] / 2
	}
	sure, perhaps := 0, 0
	for h := from; h.Before(end); h = h.Add(time.Hour) {
		bad, all := 0, 0
		for _, t := range s.ledger {
			if t.at.Before(h) || !t.at.Before(h.Add(time.Hour)) {
				continue
			}
			all++
			if t.down || t.silent || !t.state.HostOn || t.frozen || t.state.PowerWatts < least || slices.Contains(t.hidden, "psu") {
				bad++
			}
		}
		if bad == 0 && all > 0 {
			sure++
		}
		if bad < all {
			perhaps++
		}
	}
	planned := int(i.soak.Hours())
	switch {
	case perhaps < planned-1:
		b.atMost(verification.Inconclusive, "%d to %d hours of soak, of %d", sure, perhaps, planned)
	case sure < planned:
		b.grey = true
	}
}

// coverageBounds counts what was read of a window.
func (i *incident) coverageBounds(b *bounds, s *server, name string, from, to time.Time) {
	worst, best := 1.0, 0.0
	parts := map[string][2]float64{}
	for _, shift := range []time.Duration{-time.Hour, 0, time.Hour} {
		all, read := 0, 0
		on, unread := map[string]int{}, map[string]int{}
		for k := range s.ledger {
			t := &s.ledger[k]
			if t.at.Before(from.Add(shift)) || !t.at.Before(to) {
				continue
			}
			all++
			if !t.down && !t.silent && !t.frozen {
				read++
			}
			for part := range s.make.paths {
				if !t.state.HostOn || part == "storage" && !t.health {
					continue
				}
				on[part]++
				if t.down || t.silent || t.frozen || slices.Contains(t.hidden, part) {
					unread[part]++
				}
			}
		}
		if all == 0 {
			continue
		}
		share := float64(read) / float64(all)
		worst, best = min(worst, share), max(best, share)
		for part, n := range on {
			share := 1 - float64(unread[part])/float64(n)
			x, ok := parts[part]
			if !ok {
				x = [2]float64{share, share}
			}
			parts[part] = [2]float64{min(x[0], share), max(x[1], share)}
		}
	}
	switch {
	case best < 0.99:
		b.atMost(verification.Inconclusive, "%.1f %% of the %s was read", 100*best, name)
	case worst < 0.99:
		b.grey = true
	}
	for part, x := range parts {
		switch {
		case x[1] < 0.95 && (part != "leak" || s.make.leak):
			b.atMost(verification.Inconclusive, "%.1f %% of %s in the %s was read", 100*x[1], part, name)
		case x[0] < 0.96:
			b.grey = true
		}
	}
}

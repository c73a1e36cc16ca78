package verification

import (
	"cmp"
	"math"
	"slices"
	"time"

	"dewline/health"
	"dewline/report"
)

// dues is how many ticks of each tier were due in a window, and how many of them were read.
type dues struct{ due, done [len(health.AllTiers)]int }

// coverage counts what was read of a window. Only hours that keep says count for parts (the host on); of visits, all do.
func (h *history) coverage(name string, from, to time.Time, keep func(*health.HourFacts) bool, exp expected, rate tierRates) Coverage {
	c := Coverage{Window: name, From: from, To: to, Worst: []Covered{}, Sources: []SourceHours{}}
	if from.IsZero() || !from.Before(to) {
		return c
	}
	hours := h.within(from, to)
	for _, source := range [...]health.HourSource{health.HourOfVisits, health.HourOfRollups, health.HourOfInflux, health.HourOfBoth} {
		n := 0
		for _, f := range hours {
			if f.Source == source {
				n++
			}
		}
		if n > 0 {
			c.Sources = append(c.Sources, SourceHours{cmp.Or(string(source), "visits"), n})
		}
	}
	var all, kept dues
	skipped := skippedIn(h.hours, from, to)
	gap, longest := time.Duration(0), time.Duration(0)
	at := from
	next := 0
	series, states := map[seriesKey]int{}, map[health.ComponentID]int{}
	for ; at.Before(to); at = at.Add(time.Hour) {
		var f *health.HourFacts
		if next < len(hours) && hours[next].At.Equal(at) {
			f = hours[next]
			next++
		}
		due, done := h.account(at, f, skipped, rate)
		still := f != nil && h.frozen[f.At]
		if still {
			c.Frozen++
			done[health.TierReadings] = 0
		}
		if f != nil && (f.Source == health.HourOfRollups || f.Source == health.HourOfBoth) {
			c.Clipped++
		}
		for t := range health.AllTiers {
			all.due[t], all.done[t] = all.due[t]+due[t], all.done[t]+done[t]
		}
		if done[health.TierReadings] == 0 {
			gap += time.Hour
			longest = max(longest, gap)
		} else {
			gap = 0
		}
		if f != nil && !keep(f) && !still {
			continue
		}
		for t := range health.AllTiers {
			kept.due[t] += due[t]
		}
		if f == nil || still {
			continue
		}
		for i := range f.Series {
			s := &f.Series[i]
			if s.Derived {
				continue
			}
			series[keyOf(s)] += s.N
		}
		for _, p := range f.Parts {
			states[p.Component] += p.OK + p.Warning + p.Critical
			if p.Class == health.ClassLeakDetector { // one that cannot tell was read all the same: its own gate says what that costs
				states[p.Component] += p.Unknown
			}
		}
	}
	c.Due, c.Done, c.Longest = all.due[health.TierReadings], all.done[health.TierReadings], longest.Hours()
	c.Share = share(c.Done, c.Due)

	// Against what is due: the ticks of the tier that reads the part.
	measured := map[health.ComponentID]bool{}
	judge := func(id health.ComponentID, q health.Quantity, tier health.Tier, read int) {
		due := kept.due[tier]
		if due == 0 {
			return
		}
		c.Tracked++
		if s := share(read, due); s < minPart {
			c.Worst = append(c.Worst, Covered{id, q, due, min(read, due), s})
		}
	}
	for k, tier := range exp.series {
		measured[k.component] = true
		judge(k.component, k.quantity, tier, series[k])
	}
	for id := range exp.parts {
		if !measured[id] {
			judge(id, "", h.part(id).Tier, states[id])
		}
	}
	slices.SortFunc(c.Worst, func(a, b Covered) int {
		return cmp.Or(cmp.Compare(a.Share, b.Share), cmp.Compare(a.Component, b.Component), cmp.Compare(a.Quantity, b.Quantity))
	})
	return c
}

// expected is what a window should have: series with the tier that reads them, and parts by their state.
type expected struct {
	series map[seriesKey]health.Tier
	parts  map[health.ComponentID]bool
}

// expectedOf is what was read in at least half of the visits of its tier with the host on: what comes and goes by itself is no gap when
// it is not there.
func (h *history) expectedOf(hours []*health.HourFacts) expected {
	e := expected{map[seriesKey]health.Tier{}, map[health.ComponentID]bool{}}
	series, parts := map[seriesKey]int{}, map[health.ComponentID]int{}
	var ticks, withParts [len(health.AllTiers)]int
	for _, f := range hours {
		if !hostOn(f) {
			continue
		}
		for _, k := range f.Ticks {
			ticks[k.Tier] += k.Done + k.Late
			if f.Whole {
				withParts[k.Tier] += k.Done + k.Late
			}
		}
		for i := range f.Series {
			if s := &f.Series[i]; !s.Derived {
				series[keyOf(s)] += s.N
			}
		}
		for _, p := range f.Parts {
			parts[p.Component] += p.OK + p.Warning + p.Critical
		}
	}
	for k, n := range series {
		if tier := nearestTier(n, ticks, h.part(k.component).Tier); 2*n >= ticks[tier] {
			e.series[k] = tier
		}
	}
	for id, n := range parts {
		if all := withParts[h.part(id).Tier]; n > 0 && 2*n >= all {
			e.parts[id] = true
		}
	}
	return e
}

// nearestTier is the tier whose rhythm a series was read at: a fan's duty may come with the health tier though its speed comes
// with the readings. One that was read half of the time is still of the tier that should have read it.
func nearestTier(n int, ticks [len(health.AllTiers)]int, otherwise health.Tier) health.Tier {
	best, least := otherwise, math.Inf(1)
	for _, t := range health.AllTiers {
		if t == health.TierEvents || ticks[t] <= 0 {
			continue
		}
		if d := math.Abs(math.Log(float64(n) / float64(ticks[t]))); d < least-1e-9 {
			best, least = t, d
		}
	}
	return best
}

func share(read, due int) float64 {
	if due <= 0 {
		return 0
	}
	return min(1, float64(read)/float64(due))
}

// account is how many ticks of each tier were due in an hour, and how many were read.
func (h *history) account(at time.Time, f *health.HourFacts, skipped map[hourTier]int, rate tierRates) (due, done [len(health.AllTiers)]int) {
	for t := range health.AllTiers {
		due[t] = skipped[hourTier{at, health.Tier(t)}]
	}
	if f != nil {
		for _, k := range f.Ticks {
			due[k.Tier] += k.Done + k.Late + k.Failed + k.Missed
			done[k.Tier] += k.Done + k.Late
		}
	}
	// An hour of which nothing is told, or the last before such: dewline did not run and has not told so yet. It was due as any other.
	if f == nil && due[health.TierReadings] == 0 || f != nil && h.hour(at.Add(time.Hour)) == nil {
		for t := range due {
			due[t] = max(due[t], int(rate[t]+0.5))
		}
	}
	return due, done
}

// hour is the facts of one hour; nil if there are none.
func (h *history) hour(at time.Time) *health.HourFacts {
	if fs := h.within(at, at.Add(time.Hour)); len(fs) > 0 {
		return fs[0]
	}
	return nil
}

type hourTier struct {
	at   time.Time
	tier health.Tier
}

// skippedIn spreads the runs of ticks that were not tried over the hours that they lie in.
func skippedIn(all []*health.HourFacts, from, to time.Time) map[hourTier]int {
	out := map[hourTier]int{}
	for _, f := range all {
		for _, r := range f.Skipped {
			if r.Count <= 0 || r.Last.Before(from) || !r.First.Before(to) {
				continue
			}
			step := time.Duration(0)
			if r.Count > 1 {
				step = r.Last.Sub(r.First) / time.Duration(r.Count-1)
			}
			for i := range min(r.Count, 1_000_000) {
				at := r.First.Add(time.Duration(i) * step)
				if !at.Before(from) && at.Before(to) {
					out[hourTier{at.UTC().Truncate(time.Hour), r.Tier}]++
				}
			}
		}
	}
	return out
}

// tierRates are ticks an hour, by tier.
type tierRates [len(health.AllTiers)]float64

// rateOf is how many ticks of each tier an hour has, as a rule.
func rateOf(hours []*health.HourFacts) tierRates {
	var rate tierRates
	for t := range health.AllTiers {
		var n []float64
		for _, f := range hours {
			sum := 0
			for _, k := range f.Ticks {
				if int(k.Tier) == t {
					sum += k.Done + k.Late + k.Failed + k.Missed
				}
			}
			n = append(n, float64(sum))
		}
		rate[t] = report.Median(n)
	}
	return rate
}

package collector

import (
	"slices"
	"time"

	"dewline/health"
	"dewline/internal/schedule"
)

const tiers = len(health.AllTiers)

// plan knows the ticks of one target: which come next, and which passed unanswered and are not yet recorded as such.
type plan struct {
	job    Job
	spread time.Duration
	next   [tiers]tick
	last   [tiers]time.Time // due time of the last tick taken or skipped
	spans  []span
	jumped bool      // the clock stepped forward, or the machine slept
	seen   time.Time // when the clock was last looked at
}

// tick is due at one time and tried at another, which is later for one made up for after a restart.
type tick struct {
	due, at time.Time
}

// span is a range of skipped ticks, with the tick before its last, so that the last can be taken out again.
type span struct {
	health.TickRange
	before time.Time
}

func newPlan(j Job, spread time.Duration) plan { return plan{job: j, spread: spread} }

func (p *plan) after(t health.Tier, at time.Time) time.Time {
	return p.job.Schedule[t].Next(at, string(p.job.Target.ID), p.spread)
}

// start plans the first ticks. A tier that was never read is read soon: at its next tick, or within ten minutes, spread
// over the fleet. Ticks that passed while dewline did not run are accounted for; the last one of the slow tiers is made
// up for, since the next may be a day away.
func (p *plan) start(now time.Time, known map[health.Tier]health.Tick) {
	p.seen = now
	soon := now.Round(0).Add(schedule.Phase(string(p.job.Target.ID), min(firstSpread, p.spread)) + 1).UTC()
	for _, t := range health.AllTiers {
		if p.job.Schedule[t].IsZero() {
			continue
		}
		before, answered := known[t]
		due := p.after(t, now)
		if due.Equal(before.Due) { // answered a moment early, just before the stop
			due = p.after(t, due)
		}
		p.next[t] = tick{due, due}
		if !answered {
			if soon.Before(due) {
				p.next[t] = tick{soon, soon}
			}
			continue
		}
		r, ok := p.passed(t, before.Due, now)
		if !ok {
			continue
		}
		if (t == health.TierHealth || t == health.TierInventory) && soon.Before(due) {
			p.next[t] = tick{r.Last, soon}
			if r, ok = p.passed(t, before.Due, r.Last.Add(-1)); !ok {
				continue
			}
		}
		r.Reason = health.ReasonNotRunning
		p.add(r)
	}
}

// passed is the range of a tier's ticks after one time and up to another. A range of more than maxWalk ticks is counted
// by their distance.
func (p *plan) passed(t health.Tier, after, upTo time.Time) (span, bool) {
	const maxWalk = 2000
	first := p.after(t, after)
	if first.IsZero() || first.After(upTo) {
		return span{}, false
	}
	s := span{TickRange: health.TickRange{Tier: t, First: first, Last: first, Count: 1}, before: first}
	for s.Count < maxWalk {
		n := p.after(t, s.Last)
		if n.IsZero() || n.After(upTo) {
			return s, true
		}
		s.before, s.Last, s.Count = s.Last, n, s.Count+1
	}
	period := p.job.Schedule[t].Period(upTo)
	from := s.Last
	s.Last = p.after(t, upTo.Add(-3*period))
	s.before = s.Last
	for n := p.after(t, s.Last); !n.IsZero() && !n.After(upTo); n = p.after(t, n) {
		s.before, s.Last = s.Last, n
	}
	s.Count += int((s.Last.Sub(from) + period/2) / period)
	return s, true
}

// earliest is when a tick is to be tried next; false if no tier has a schedule.
func (p *plan) earliest() (time.Time, bool) {
	var first time.Time
	for _, t := range p.next {
		if !t.at.IsZero() && (first.IsZero() || t.at.Before(first)) {
			first = t.at
		}
	}
	return first, !first.IsZero()
}

// checkClock notices steps of the clock: forward, so that ticks it jumped over are not blamed on a visit; and back, where
// waiting for the planned ticks would be silence. Then it plans anew.
func (p *plan) checkClock(now time.Time) (back bool) {
	wall, mono := now.Round(0).Sub(p.seen.Round(0)), now.Sub(p.seen)
	p.jumped = p.jumped || wall-mono > clockSlack
	p.seen = now
	for _, t := range health.AllTiers {
		if p.last[t].IsZero() || !now.Add(clockSlack).Before(p.last[t]) {
			continue
		}
		due := p.after(t, now)
		p.next[t], p.last[t] = tick{due, due}, time.Time{}
		back = true
	}
	return back
}

// take takes the ticks that are due, or will be within a second, for a visit that begins now. Of a tier's ticks that
// passed it takes the oldest; those after it are skipped, and the visit is late.
func (p *plan) take(now time.Time) (due map[health.Tier]time.Time, late bool) {
	due = map[health.Tier]time.Time{}
	for _, t := range health.AllTiers {
		if next := p.next[t]; next.at.IsZero() || next.at.After(now.Add(together)) {
			continue
		}
		d := p.next[t].due
		due[t] = d
		p.last[t] = d
		if s, ok := p.passed(t, d, now); ok {
			late = true
			s.Reason = p.skipReason(health.ReasonOverrun)
			p.add(s)
			p.last[t] = s.Last
		}
		n := p.after(t, p.last[t])
		p.next[t] = tick{n, n}
	}
	p.jumped = false
	return due, late
}

func (p *plan) skipReason(r health.Reason) health.Reason {
	if p.jumped {
		return health.ReasonNotRunning
	}
	return r
}

// skipDue accounts for all ticks up to now as not tried.
func (p *plan) skipDue(now time.Time, why health.Reason) {
	for _, t := range health.AllTiers {
		if p.next[t].at.IsZero() || p.next[t].at.After(now) {
			continue
		}
		p.skip(t, now, why)
	}
	p.jumped = false
}

func (p *plan) skip(t health.Tier, upTo time.Time, why health.Reason) {
	d := p.next[t].due
	s := span{TickRange: health.TickRange{Tier: t, First: d, Last: d, Count: 1}, before: d}
	if more, ok := p.passed(t, d, upTo); ok {
		s.before, s.Last, s.Count = more.before, more.Last, 1+more.Count
		if more.Count == 1 {
			s.before = d
		}
	}
	s.Reason = p.skipReason(why)
	p.add(s)
	p.last[t] = s.Last
	n := p.after(t, s.Last)
	p.next[t] = tick{n, n}
}

// skipPassed accounts for those ticks whose successors are due as well; the newest of each tier stays.
func (p *plan) skipPassed(now time.Time, why health.Reason) {
	for _, t := range health.AllTiers {
		next := p.next[t]
		if next.at.IsZero() || next.at.After(now) {
			continue
		}
		s, ok := p.passed(t, next.due, now)
		if !ok {
			continue
		}
		newest := s.Last
		p.skip(t, newest.Add(-1), why)
		p.next[t] = tick{newest, newest}
	}
}

// nextPassing is when the next tick of those waited for will be passed by its successor.
func (p *plan) nextPassing(now time.Time) time.Time {
	first := now.Add(maxSleep)
	for _, t := range health.AllTiers {
		if next := p.next[t]; !next.at.IsZero() && !next.at.After(now) {
			if n := p.after(t, next.due); n.After(now) && n.Before(first) {
				first = n
			}
		}
	}
	return first
}

// soon plans a tier's next tick off its schedule, if its next one is later. One that is to be made up for stays itself.
func (p *plan) soon(t health.Tier, at time.Time) {
	if next := p.next[t]; !next.at.IsZero() && at.Before(next.at) {
		if at.Before(next.due) {
			next.due = at
		}
		p.next[t] = tick{next.due, at}
	}
}

// add appends a range, to the one before it if it goes on from there.
func (p *plan) add(s span) {
	for i := len(p.spans) - 1; i >= 0; i-- {
		if o := &p.spans[i]; o.Tier == s.Tier {
			if o.Reason != s.Reason || !s.First.After(o.Last) {
				break
			}
			s.First, s.Count = o.First, o.Count+s.Count
			if s.before.Equal(s.Last) || s.before.Before(o.Last) {
				s.before = o.Last
			}
			*o = s
			return
		}
	}
	p.spans = append(p.spans, s)
}

func (p *plan) pending() bool { return len(p.spans) > 0 }

// unaccounted is how long ago the oldest tick was skipped that is not recorded yet.
func (p *plan) unaccounted(now time.Time) time.Duration {
	var d time.Duration
	for _, s := range p.spans {
		d = max(d, now.Sub(s.First))
	}
	return d
}

// ranges is the skipped ticks as a visit carries them.
func (p *plan) ranges() []health.TickRange {
	var rs []health.TickRange
	for _, s := range p.spans {
		rs = append(rs, s.TickRange)
	}
	return rs
}

// popLast takes the last skipped tick of each tier out of the ranges, for a missed visit that stands for them.
func (p *plan) popLast() (map[health.Tier]time.Time, health.Reason) {
	due := map[health.Tier]time.Time{}
	var why health.Reason
	for i, s := range slices.Backward(p.spans) {
		if _, taken := due[s.Tier]; taken {
			continue
		}
		due[s.Tier], why = s.Last, s.Reason
		if s.Count == 1 {
			p.spans = slices.Delete(p.spans, i, i+1)
			continue
		}
		s.Count, s.Last = s.Count-1, s.before
		if r, ok := p.passed(s.Tier, s.First, s.Last.Add(-1)); ok {
			s.before = r.Last
		} else {
			s.before = s.First
		}
		p.spans[i] = s
	}
	return due, why
}

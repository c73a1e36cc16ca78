package verification

import (
	"time"

	"dewline/health"
)

const (
	// minVarying is how many sensors that vary it takes to tell that all stand still.
	minVarying = 3
	// minFrozen is how long they must.
	minFrozen = time.Hour
)

// tally is in how many hours a sensor was read, and moved.
type tally struct{ moved, of int }

// varyingOf are the sensors that vary: in a quarter of the hours at least, the values of the hour are not all that of the hour before.
func varyingOf(hours []*health.HourFacts) map[seriesKey]bool {
	counts, last := map[seriesKey]*tally{}, map[seriesKey]float64{}
	for _, f := range hours {
		if f.Power.Off > 0 {
			continue
		}
		for i := range f.Series {
			s := &f.Series[i]
			if s.Derived || s.Quantity == health.ClockSkew {
				continue
			}
			k := keyOf(s)
			before, known := last[k]
			last[k] = s.Last
			if !known && s.N < 2 {
				continue
			}
			c := counts[k]
			if c == nil {
				c = &tally{}
				counts[k] = c
			}
			c.of++
			if s.Min != s.Max || known && s.First != before {
				c.moved++
			}
		}
	}
	out := map[seriesKey]bool{}
	for k, c := range counts {
		if c.of >= 12 && 4*c.moved >= c.of {
			out[k] = true
		}
	}
	return out
}

// frozenHours are those in which a BMC repeated itself: with the host on, visits for an hour or longer brought the same values of every
// sensor, three of which vary. Of one that repeated itself where an hour or more begins or ends in which nothing was read, nobody knows
// for how long it did: that time counts too.
func frozenHours(hours []*health.HourFacts, varying map[seriesKey]bool) map[time.Time]bool {
	out := map[time.Time]bool{}
	if len(varying) < minVarying {
		return out
	}
	var run health.StillRun
	// Hours in which the run has a visit: its first too, for what it brought may have been old by then.
	var repeats []time.Time
	end := func() {
		if !run.From.IsZero() && run.To.Sub(run.From) >= minFrozen {
			for _, at := range repeats {
				out[at] = true
			}
		}
		run, repeats = health.StillRun{}, nil
	}
	var gap span // the last one of an hour or more: from a visit to the next
	begin := func(at time.Time) {
		if run.From = at; at.Equal(gap.to) {
			run.From = gap.from
		}
	}
	var before *health.HourFacts
	var unread time.Time // until when nothing was read
	for _, f := range hours {
		if before != nil && !f.FirstAt.IsZero() && f.FirstAt.Sub(before.LastAt) >= minFrozen {
			if gap = (span{before.LastAt, f.FirstAt}); !run.From.IsZero() {
				run.To = f.FirstAt
			}
		}
		switch {
		case !f.Whole || f.Power.Off > 0 || f.Power.On > 0 && f.FirstAt.IsZero():
			// It may have stood still into the hour in which it was seen to be off.
			if before != nil && f.Power.On > 0 && !run.From.IsZero() && repeated(before, f, varying) {
				run.To = f.FirstAt
				repeats = append(repeats, f.At)
			}
			end()
			before = nil
			continue
		case f.FirstAt.IsZero(): // nothing was read: the next visit tells whether it still stands still
			unread = f.At.Add(time.Hour)
			continue
		}
		switch {
		case before == nil || !repeated(before, f, varying):
			end()
		default:
			if run.From.IsZero() {
				begin(before.LastAt)
				repeats = append(repeats, before.At)
			}
			run.To = f.FirstAt
			repeats = append(repeats, f.At)
		}
		for _, r := range f.Still {
			if !run.To.Equal(r.From) || run.To.IsZero() {
				end()
				begin(r.From)
			}
			run.To = r.To
			repeats = append(repeats, f.At)
		}
		if !run.To.Equal(f.LastAt) {
			end()
		}
		before = f
	}
	if !run.From.IsZero() && unread.Sub(run.To) >= minFrozen {
		run.To = unread
	}
	end()
	return out
}

// repeated tells whether an hour begins with the values that the one before ended with.
func repeated(before, f *health.HourFacts, varying map[seriesKey]bool) bool {
	last := map[seriesKey]float64{}
	for i := range before.Series {
		last[keyOf(&before.Series[i])] = before.Series[i].Last
	}
	seen := 0
	for i := range f.Series {
		s := &f.Series[i]
		v, ok := last[keyOf(s)]
		if !ok || s.Derived || s.Quantity == health.ClockSkew {
			continue
		}
		if v != s.First {
			return false
		}
		if varying[keyOf(s)] {
			seen++
		}
	}
	return seen >= minVarying
}

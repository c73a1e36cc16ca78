package schedule

import (
	"math/bits"
	"time"
)

// DefaultSpread is over how long the targets of a spec with fields are spread.
const DefaultSpread = time.Hour

// Phases are whole multiples of it, so that due times stay readable.
const phaseStep = time.Millisecond

// Next is the first due time of id strictly after the given time, in UTC. Spread bounds the shift of a spec with fields:
// 0 or less means no shift; `@every` does not look at it. It is zero only for the zero Spec.
func (s Spec) Next(after time.Time, id string, spread time.Duration) time.Time {
	switch {
	case s.IsZero():
		return time.Time{}
	case s.every > 0:
		return nextEvery(after, s.every, phase(id, s.every))
	}
	// Each shift stays below the distance to the next unshifted time, so the due time sought belongs to the last
	// unshifted time that is not after `after`, or to the first one after it. Look back for the former, no further than
	// needed: a spec of every second has 3600 times in an hour.
	var base time.Time
	for back := time.Second; ; back *= 8 {
		back = min(back, max(spread, 0))
		base = s.base(after.Add(-back))
		if !base.After(after) || back >= spread {
			break
		}
	}
	for !base.IsZero() {
		following := s.base(base)
		if following.IsZero() {
			return time.Time{}
		}
		due := base.Add(phase(id, min(spread, following.Sub(base))))
		if due.After(after) {
			return due
		}
		base = following
	}
	return time.Time{}
}

// Period is the distance of the two unshifted due times that follow at: 0 for the zero Spec.
func (s Spec) Period(at time.Time) time.Duration {
	if s.IsZero() {
		return 0
	}
	if s.every > 0 {
		return s.every
	}
	first := s.base(at)
	return s.base(first).Sub(first)
}

// base is the first unshifted time of a spec with fields strictly after t.
func (s Spec) base(t time.Time) time.Time {
	if s.cron.Hour&starBit != 0 {
		return s.realTime(t)
	}
	return s.wallTime(t)
}

// wallTime walks the wall clock as if it had no jumps, and then asks when the clock shows that time.
func (s Spec) wallTime(t time.Time) time.Time {
	wall := wallAt(t, s.loc)
	for {
		wall = s.search(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if at := instant(wall, s.loc); at.After(t) {
			return at
		}
	}
}

// realTime is the first instant after t whose wall clock matches. robfig/cron's own zone handling loses days in zones
// that change at midnight; between two changes a zone is a fixed offset, and there it has no such trouble.
func (s Spec) realTime(t time.Time) time.Time {
	for period := t; ; {
		_, offset := period.In(s.loc).Zone()
		_, end := period.In(s.loc).ZoneBounds()
		shift := time.Duration(offset) * time.Second
		wall := s.search(t.UTC().Add(shift))
		if wall.IsZero() {
			return time.Time{}
		}
		if at := wall.Add(-shift); end.IsZero() || at.Before(end) {
			return at
		}
		period, t = end, end.Add(-1) // the next period, its first instant included
	}
}

func wallAt(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// search is the next match of the fields on a clock without zones. robfig/cron gives up after five years; 29 February
// can be eight years away (2096 to 2104).
func (s Spec) search(wall time.Time) time.Time {
	for range 3 {
		if at := s.cron.Next(wall); !at.IsZero() {
			return at
		}
		wall = time.Date(wall.Year()+5, 1, 1, 0, 0, 0, -1, time.UTC)
	}
	return time.Time{}
}

// instant is when a zone's clock shows the given wall time: the first time if it does so twice, and the end of the jump if
// it jumps over it.
func instant(wall time.Time, loc *time.Location) time.Time {
	var found time.Time
	// Offsets lie within a day of UTC, so the zone's offset a day and a half before and after brackets any one change.
	for _, probe := range [...]time.Duration{-36 * time.Hour, 36 * time.Hour} {
		_, offset := wall.Add(probe).In(loc).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if wallAt(at, loc).Equal(wall) && (found.IsZero() || at.Before(found)) {
			found = at
		}
	}
	if !found.IsZero() {
		return found
	}
	// Jumped over. With the offset before the jump the time falls after it; the jump is where that period begins.
	_, before := wall.Add(-36 * time.Hour).In(loc).Zone()
	start, _ := wall.Add(-time.Duration(before) * time.Second).In(loc).ZoneBounds()
	return start.UTC()
}

// nextEvery is the first of phase + k*d (since the Unix epoch) strictly after t.
func nextEvery(t time.Time, d, phase time.Duration) time.Time {
	into := sinceEpochMod(t, d) - phase // how far t is into its own interval
	if into < 0 {
		into += d
	}
	return t.Add(d - into).UTC().Round(0)
}

// sinceEpochMod is the time since the Unix epoch modulo d, in 128 bits: nanoseconds in 64 bits end in 2262, and a
// machine whose clock is that wrong must still not be read in a tight loop.
func sinceEpochMod(t time.Time, d time.Duration) time.Duration {
	sec, nsec := t.Unix(), uint64(t.Nanosecond())
	neg := sec < 0
	if neg {
		sec = -sec
	}
	hi, lo := bits.Mul64(uint64(sec), uint64(time.Second))
	m := bits.Rem64(hi, lo, uint64(d))
	if neg && m != 0 {
		m = uint64(d) - m
	}
	return time.Duration((m + nsec) % uint64(d))
}

// phase is the shift of id within d: 0 <= phase < d.
func phase(id string, d time.Duration) time.Duration {
	steps := uint64(d / phaseStep)
	if d <= 0 || steps == 0 {
		return 0
	}
	return time.Duration(hash(id)%steps) * phaseStep
}

// Phase is hash(id) mod d in whole milliseconds, 0 for d below one: for spreading what is not on a schedule.
func Phase(id string, d time.Duration) time.Duration { return phase(id, d) }

// hash is FNV-1a with splitmix64's finaliser: names that differ in their last digit must land far apart. Changing it
// would move every due time of every installation.
func hash(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

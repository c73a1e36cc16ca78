package health

import "time"

// AlignStep is how long the intervals of aligned series are. They begin at multiples of it since 1970, on every source alike.
const AlignStep = 5 * time.Minute

// StepsPerDay is how many of them a day has.
const StepsPerDay = int(24 * time.Hour / AlignStep)

// SeriesID names a series of a target. Values that were read and such as were computed are one series.
type SeriesID struct {
	Component ComponentID
	Quantity  Quantity
	Unit      Unit
}

// DayQuery says which series of a target are wanted of each day.
type DayQuery struct {
	Target TargetID
	// Aligned are wanted in steps of AlignStep, to be set beside those of other targets.
	Aligned []SeriesID
	// Daily are wanted as one rollup a day. A series may be in both.
	Daily []SeriesID
}

// DayFacts is a UTC day of a target as a capacity review reads it.
type DayFacts struct {
	Target TargetID
	Day    time.Time // where it begins
	// Aligned has StepsPerDay values for each series of DayQuery.Aligned, in that order: the mean of what was read in a step, NaN
	// where nothing was, and outside the time asked for. Nil for a series of which the day has nothing.
	Aligned [][]float64
	// Daily is in the order of DayQuery.Daily.
	Daily []DaySeries
	// Ticks are those of the day, one for each tier that has any, in order of tier.
	Ticks []TickCount
}

// DaySeries is one series in a day. N is 0 where nothing was read; nothing else of it means anything then.
type DaySeries struct {
	Rollup
	// Steps is in how many steps of AlignStep a value was read: N values in so many steps tell how often it was sampled, and Steps
	// of those in the time asked for how well it is covered.
	Steps int
}

// SeriesFacts describes a series that was ever read.
type SeriesFacts struct {
	SeriesID
	Class      Class
	Derived    bool        // dewline computed it (all of it)
	Thresholds *Thresholds // in force; nil: none were stated, or the source does not keep them
}

// PartFacts is what is known of a target's parts at a time.
type PartFacts struct {
	// Known: the source tells what was installed. If not, Identity and Parts are empty, which is not the same as nothing.
	Known    bool
	Identity Identity
	// Parts that are installed, in order of ID; not empty bays. Presence and State are unknown: they belong to hours.
	Parts []KnownComponent
	// Series that were ever read of this target, in order of component, quantity and unit.
	Series []SeriesFacts
}

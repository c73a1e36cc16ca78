package health

import "time"

// RollupDay is the five-minute rollups of one series in one UTC day.
type RollupDay struct {
	SeriesID
	Derived bool
	Day     time.Time // where it begins
	Rollups []Rollup  // in order of time
}

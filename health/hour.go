package health

import "time"

// HourFacts is what one hour of visits says of a target, made for reports: an hour is small, and its whole can be counted.
// A visit belongs to the hour in which it began, or was due if it never did.
type HourFacts struct {
	At time.Time // where the hour begins, UTC
	// Whole tells that it was made of the visits themselves. Else they are gone and it was made of their rollups: Power, Parts
	// and Gaps are then not known, which is not the same as empty.
	Whole bool
	// Source is what it was made of.
	Source HourSource  `json:",omitempty"`
	Ticks  []TickCount // one for each tier that has any, in order of tier
	Power  PowerCount
	// Series in order of component and quantity.
	Series []HourSeries
	// Parts in order of ID.
	Parts []HourPart
	Gaps  int
	// FirstAt and LastAt are when readings were first and last read in the hour; Still are runs of visits in which every value was that
	// of the visit before. A run ends with the hour: whether it goes on in the next, First and Last of its series tell.
	FirstAt, LastAt time.Time
	Still           []StillRun
	// Skipped are runs of ticks that were not tried, told by visits of this hour; they may lie before it.
	Skipped []TickRange
}

// Read adds a visit that brought readings, in order of time; moved tells that a value was not that of the visit before.
func (f *HourFacts) Read(at time.Time, moved bool) {
	switch n := len(f.Still); {
	case f.FirstAt.IsZero():
		f.FirstAt = at
	case moved:
	case n > 0 && f.Still[n-1].To.Equal(f.LastAt):
		f.Still[n-1].To = at
	default:
		f.Still = append(f.Still, StillRun{f.LastAt, at})
	}
	f.LastAt = at
}

// ReadAsAWhole notes that readings came in an hour whose visits are not told one by one: it stood still if no series of it moved. What stood still
// for less than the hour is not seen.
func (f *HourFacts) ReadAsAWhole() {
	several := false
	still := true
	for i := range f.Series {
		s := &f.Series[i]
		if s.Derived || s.Quantity == ClockSkew {
			continue
		}
		several = several || s.N > 1
		still = still && s.Min == s.Max
	}
	if len(f.Series) == 0 {
		return
	}
	f.FirstAt, f.LastAt = f.At, f.At.Add(time.Hour-1)
	if still && several {
		f.Still = []StillRun{{f.FirstAt, f.LastAt}}
	}
}

// StillRun is visits from one to another, of which each repeats the values of the one before it.
type StillRun struct{ From, To time.Time }

// HourSource is what an hour was made of.
type HourSource string

const (
	HourOfVisits  HourSource = ""                     // the visits in the embedded store
	HourOfRollups HourSource = "rollups"              // five-minute rollups and hourly medians in the embedded store: the visits are gone
	HourOfInflux  HourSource = "influxdb"             // points in InfluxDB
	HourOfBoth    HourSource = "rollups and influxdb" // values and ticks of rollups, host power, states and gaps of InfluxDB
)

// Elsewhere tells whether a part of it is not from the embedded store.
func (s HourSource) Elsewhere() bool { return s == HourOfInflux || s == HourOfBoth }

// TickCount says how the ticks of one tier ended.
type TickCount struct {
	Tier                       Tier
	Done, Late, Failed, Missed int
}

// PowerCount is in how many visits that read it the host was on, off, or did not say.
type PowerCount struct{ On, Off, Unknown int }

// HourSeries is one quantity of a component in an hour.
type HourSeries struct {
	Component        ComponentID
	Quantity         Quantity
	Unit             Unit
	Derived          bool
	N                int
	Min, Max, Median float64 // Median is the lower one: a value that was read
	// First and Last are the first and last value, for counters.
	First, Last float64
}

// HourPart is in how many visits of an hour a component was met how. Unread: it should have been read and was not.
type HourPart struct {
	Component                                      ComponentID
	Class                                          Class
	OK, Warning, Critical, Unknown, Absent, Unread int
}

package report

import (
	"context"
	"time"

	"dewline/health"
)

// FleetReader is where a capacity review reads from: a whole fleet, day by day. The embedded store is one, InfluxDB another; both
// pass one conformance suite. What holds for all methods:
//
//   - Times are UTC. from is in, until is out, both at multiples of health.AlignStep.
//   - What was not read is absent (NaN, N = 0, no call), never 0 and never the last value.
//   - What f is given is the reader's: f may keep it only until it returns. An error of f ends the call and is returned as it is.
//   - f is never called from two goroutines at once.
//   - A target that the source does not know is no error: there is nothing of it.
type FleetReader interface {
	// Source says where this data comes from, for the report: "the embedded store", "InfluxDB at …".
	Source() string
	// Lacks names what this source cannot tell, whatever it holds; the report says so wherever it would have used it.
	Lacks() []Lack
	// Targets that there is data of, as they were configured last, in order of ID.
	Targets(ctx context.Context) ([]health.Target, error)
	// EachInventory calls f for each of ids, in their order: what was installed, as far as visits until then had told, and which series
	// there are. What f is given is its to keep.
	EachInventory(ctx context.Context, ids []health.TargetID, at time.Time, f func(health.TargetID, *health.PartFacts) error) error
	// Days calls f for each day that touches from to until and each target of want: all targets of a day before those of the next,
	// in the order of want. A target of which a day has nothing at all gets no call.
	//
	// Memory: what is held at once may grow with the number of targets and of their series, not with the number of days.
	Days(ctx context.Context, from, until time.Time, want []health.DayQuery, f func(*health.DayFacts) error) error
	// EachFault calls f for each fault of any target that was open at some moment from <= t < until, in the order in which they
	// opened. One that was closed after until is given as open: it was.
	EachFault(ctx context.Context, from, until time.Time, f func(*health.Fault) error) error
	// EachEvent calls f for each event of any target, in order of time.
	EachEvent(ctx context.Context, from, until time.Time, f func(*health.Event) error) error
	// Runs are the spans in which dewline ran; none if the source does not tell (LackRuns).
	Runs(ctx context.Context) ([]Run, error)
}

// Lack is something that a source cannot tell.
type Lack string

const (
	LackInventory  Lack = "inventory"  // models, serials, capacities, firmware: PartFacts.Known is false
	LackThresholds Lack = "thresholds" // SeriesFacts.Thresholds is always nil
	LackFaults     Lack = "faults"     // whether a fault was open, as opposed to the events that tell of it
	LackRuns       Lack = "runs"
	LackTicks      Lack = "ticks"   // visits that were skipped or missed
	LackSamples    Lack = "samples" // daily rollups are of the means of steps, not of every value
)

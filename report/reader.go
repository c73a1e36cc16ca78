package report

import (
	"context"
	"time"

	"dewline/health"
)

// Reader is where reports read from: the embedded store, or what InfluxDB still holds of it. Its methods may be
// called from several goroutines at once.
type Reader interface {
	// Source says where this data comes from, for the report: "the embedded store", "InfluxDB at …".
	Source() string
	// Targets that there is data of, as they were configured last.
	Targets(ctx context.Context) ([]health.Target, error)
	// Hours calls f for each hour with visits that begins from <= At < to, in order.
	Hours(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.HourFacts) error) error
	// Parts is what was installed, as far as visits until then had told; ok is false if nothing is known of that time.
	Parts(ctx context.Context, id health.TargetID, at time.Time) (parts []health.KnownComponent, identity health.Identity, ok bool, err error)
	// Events and log entries that dewline saw at since <= time < until, in order.
	Events(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.Event, error)
	LogEntries(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.LogEntry, error)
	// Faults that were open at some moment since then: opened before until, and not closed before since.
	Faults(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.Fault, error)
	// Runs are the spans in which dewline ran.
	Runs(ctx context.Context) ([]Run, error)
	// Rollups of one series in five minutes each.
	Rollups(ctx context.Context, id health.TargetID, c health.ComponentID, q health.Quantity, from, to time.Time) ([]health.Rollup, error)
	// Visits calls f for each whole visit, in order.
	Visits(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.Visit) error) error
}

// Other is a Reader with a second source beside the embedded store, for what that does not hold (any more).
type Other interface {
	// Other names it, and why it could not be asked if it was to be.
	Other() (name, failure string)
}

// Run is a span in which dewline ran. Ended is the last sign of life where it did not end in order.
type Run struct {
	Started, Ended time.Time
	Clean          bool
}

// OpenIn is a fault that was opened before until, as it stood then: one that was closed later was open. Nil if it was closed before since.
func OpenIn(f health.Fault, since, until time.Time) *health.Fault {
	if f.Closed() && f.Cleared.Before(since) {
		return nil
	}
	if f.Closed() && !f.Cleared.Before(until) {
		f.State, f.Cleared = health.Asserted, time.Time{}
	}
	return &f
}

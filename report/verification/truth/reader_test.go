package truth

import (
	"context"
	"errors"
	"time"

	"dewline/health"
	"dewline/report"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

// storeReader is the embedded store as the report reads it; the program's own is a method or two away from it.
type storeReader struct{ *sqlite.DB }

var _ report.Reader = storeReader{}

func (r storeReader) Source() string { return "the embedded store" }

func (r storeReader) Targets(ctx context.Context) ([]health.Target, error) {
	statuses, err := r.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	var out []health.Target
	for _, s := range statuses {
		t, err := r.Configured(ctx, s.Target)
		if err != nil {
			return nil, err
		}
		if t == nil {
			t = &health.Target{}
		}
		t.ID, t.Origin = s.Target, s.Origin
		out = append(out, *t)
	}
	return out, nil
}

func (r storeReader) Parts(ctx context.Context, id health.TargetID, at time.Time) ([]health.KnownComponent, health.Identity, bool, error) {
	return r.PartsAt(ctx, id, at)
}

func (r storeReader) Events(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.Event, error) {
	return r.DB.Events(ctx, since, until, id)
}

func (r storeReader) LogEntries(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.LogEntry, error) {
	entries, err := r.DB.LogEntries(ctx, since, until, id)
	if err != nil {
		return nil, err
	}
	out := make([]health.LogEntry, len(entries))
	for i, e := range entries {
		out[i] = e.LogEntry
	}
	return out, nil
}

func (r storeReader) Faults(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.Fault, error) {
	all, err := r.DB.Faults(ctx, sqlite.FaultFilter{Target: id, Until: until})
	if err != nil {
		return nil, err
	}
	var out []health.Fault
	for _, f := range all {
		if x := report.OpenIn(f, since, until); x != nil {
			out = append(out, *x)
		}
	}
	return out, nil
}

func (r storeReader) Runs(context.Context) ([]report.Run, error) { return nil, nil }

func (r storeReader) Visits(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.Visit) error) error {
	return r.WalkVisits(ctx, sqlite.Range{Since: from, Until: to, Targets: []health.TargetID{id}}, nil, f)
}

// chain checks the hash chain of the events, as the command does.
func chain(ctx context.Context, db *sqlite.DB, q *verification.Request) error {
	err := db.Chain(ctx, 1, func(l sqlite.Link) error {
		q.ChainHead, q.ChainLength = l.Chain, l.N
		return nil
	})
	if errors.Is(err, sqlite.ErrChain) {
		q.ChainBroken, err = err.Error(), nil
	}
	return err
}

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dewline/health"
	"dewline/internal/config"
	"dewline/report"
	"dewline/store/influx"
	"dewline/store/sqlite"
)

// Where a report reads from.
const (
	sourceAuto   = "auto"
	sourceStore  = "store"
	sourceInflux = "influxdb"
)

var reportSources = []string{sourceAuto, sourceStore, sourceInflux}

// openInfluxReader is InfluxDB as the configuration has it.
func openInfluxReader(c *config.InfluxDB) (*influx.Reader, error) {
	o, err := influxOptions(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return influx.NewReader(o)
}

// sources opens what a verification reads from. The store is nil if there is none and none is needed.
func (o *verificationOptions) sources(ctx context.Context, dir string, c *config.InfluxDB) (report.Reader, *sqlite.DB, func(), error) {
	var db *sqlite.DB
	if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); o.source != sourceInflux || !errors.Is(err, fs.ErrNotExist) {
		if db, err = openStore(ctx, dir); err != nil {
			return nil, nil, nil, err
		}
	}
	r, end, err := verificationReader(db, c, o.source)
	if err != nil {
		if db != nil {
			db.Close()
		}
		return nil, nil, nil, err
	}
	return r, db, func() {
		end()
		if db != nil {
			db.Close()
		}
	}, nil
}

// verificationReader is what a verification reads from: the store, nil if there is none, and what the configuration has beside it.
func verificationReader(db *sqlite.DB, c *config.InfluxDB, source string) (report.Reader, func(), error) {
	if source == sourceStore || c == nil {
		return storeReader{db}, func() {}, nil
	}
	two := &twoSources{store: storeReader{db}, only: source == sourceInflux, old: map[health.TargetID]*before{}}
	r, err := openInfluxReader(c)
	if err != nil {
		if two.only {
			return nil, nil, err
		}
		two.failure = err // its token cannot be had, for example: the store may hold all that is needed
		return two, func() {}, nil
	}
	two.other = r
	return two, r.Close, nil
}

// twoSources is the embedded store, and InfluxDB for what that does not hold, or no longer: hours whose visits it does not have, and events
// before them. Where both have something the store's stands.
type twoSources struct {
	store storeReader    // without a database: there is none
	other *influx.Reader // nil: it could not be had
	only  bool           // readings, visits and events are InfluxDB's alone, and it must answer

	mu      sync.Mutex
	failure error // why it could not be asked
	needed  bool  // it was to be asked, or would have been
	old     map[health.TargetID]*before
}

var (
	_ report.Reader = (*twoSources)(nil)
	_ report.Other  = (*twoSources)(nil)
)

// before is what InfluxDB has of a target that the store does not.
type before struct {
	since  time.Time // from here on the store holds every visit; zero: it holds none
	events []health.Event
	asked  bool
}

func (s *twoSources) Source() string {
	if s.only {
		return s.other.Source()
	}
	return s.store.Source()
}

func (s *twoSources) Other() (name, failure string) {
	if s.other != nil {
		name = s.other.Source()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil && s.needed {
		failure = s.failure.Error()
	}
	return name, failure
}

// failed notes that InfluxDB did not answer; it is not asked again. The error stays one where it has to answer, and where the caller ended it.
func (s *twoSources) failed(ctx context.Context, err error) error {
	if err == nil || s.only || ctx.Err() != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
	return nil
}

func (s *twoSources) Targets(ctx context.Context) ([]health.Target, error) {
	var out []health.Target
	var err error
	if s.store.db != nil {
		if out, err = s.store.Targets(ctx); err != nil {
			return nil, err
		}
	}
	if !s.only {
		return out, nil
	}
	more, err := s.other.Targets(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range more {
		if !slices.ContainsFunc(out, func(x health.Target) bool { return x.ID == t.ID }) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b health.Target) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// before is what InfluxDB is to be asked for; nil if nothing of this time.
func (s *twoSources) before(ctx context.Context, id health.TargetID, from time.Time) (*before, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.old[id]
	if b == nil {
		b = &before{}
		if s.store.db != nil && !s.only {
			var err error
			if b.since, _, err = s.store.db.WholeSince(ctx, id); err != nil {
				return nil, err
			}
		}
		s.old[id] = b
	}
	if !b.since.IsZero() && !from.IsZero() && !from.Before(b.since) {
		return nil, nil
	}
	if s.needed = true; s.failure != nil || s.other == nil {
		return nil, nil
	}
	return b, nil
}

// Earlier tells whether there are visits of a target before a time. What the store still holds tells it as a rule.
func (s *twoSources) Earlier(ctx context.Context, id health.TargetID, at time.Time) (bool, error) {
	found := errors.New("found")
	has := func(*health.HourFacts) error { return found }
	if s.store.db != nil && !s.only {
		if err := s.store.Hours(ctx, id, time.Time{}, at, has); err != nil {
			return errors.Is(err, found), unless(err, found)
		}
	}
	if err := s.Hours(ctx, id, time.Time{}, at, has); err != nil {
		return errors.Is(err, found), unless(err, found)
	}
	return false, nil
}

func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

func (s *twoSources) Hours(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.HourFacts) error) error {
	b, err := s.before(ctx, id, from)
	if err != nil {
		return err
	}
	if b == nil {
		return s.store.Hours(ctx, id, from, to, f)
	}
	end := to
	if !b.since.IsZero() && (to.IsZero() || b.since.Before(to)) {
		end = b.since
	}
	own, stop := iter.Pull2(s.storeHours(ctx, id, from, to))
	defer stop()
	mine, err, more := own()
	give := func(theirs *health.HourFacts) error { // what the store has before theirs, and theirs
		for more && (theirs == nil || mine.At.Before(theirs.At)) {
			if err != nil {
				return err
			}
			if err := f(mine); err != nil {
				return stopped{err}
			}
			mine, err, more = own()
		}
		if theirs == nil {
			return err
		}
		if more && err == nil && mine.At.Equal(theirs.At) {
			theirs = joined(mine, theirs)
			mine, err, more = own()
		}
		if err := f(theirs); err != nil {
			return stopped{err}
		}
		return err
	}
	if from.IsZero() || end.IsZero() || from.Before(end) {
		err := s.other.Hours(ctx, id, from, end, give)
		if by, ok := errors.AsType[stopped](err); ok {
			return by.error
		}
		if err := s.failed(ctx, err); err != nil {
			return err
		}
	}
	if err := give(nil); err != nil {
		if by, ok := errors.AsType[stopped](err); ok {
			return by.error
		}
		return err
	}
	return nil
}

// stopped is an error of the one who asked.
type stopped struct{ error }

func (s *twoSources) storeHours(ctx context.Context, id health.TargetID, from, to time.Time) iter.Seq2[*health.HourFacts, error] {
	return func(yield func(*health.HourFacts, error) bool) {
		if s.only || s.store.db == nil {
			return
		}
		enough := errors.New("enough")
		if err := s.store.Hours(ctx, id, from, to, func(h *health.HourFacts) error {
			if !yield(h, nil) {
				return enough
			}
			return nil
		}); err != nil && !errors.Is(err, enough) {
			yield(&health.HourFacts{}, err)
		}
	}
}

// joined is an hour that both have: the store's, and of one that is left as a rollup, host power, states and gaps from InfluxDB.
func joined(mine, theirs *health.HourFacts) *health.HourFacts {
	if mine.Whole {
		return mine
	}
	h := *mine
	h.Whole, h.Source, h.Power, h.Parts, h.Gaps = theirs.Whole, health.HourOfBoth, theirs.Power, theirs.Parts, theirs.Gaps
	return &h
}

func (s *twoSources) Parts(ctx context.Context, id health.TargetID, at time.Time) ([]health.KnownComponent, health.Identity, bool, error) {
	if s.store.db == nil {
		return nil, health.Identity{}, false, nil
	}
	return s.store.Parts(ctx, id, at)
}

// past are the events before the store holds the target's visits that the store does not have.
func (s *twoSources) past(ctx context.Context, id health.TargetID, from time.Time) ([]health.Event, error) {
	b, err := s.before(ctx, id, from)
	if b == nil || err != nil {
		return nil, err
	}
	if b.asked {
		return b.events, nil
	}
	b.asked = true
	known := map[string]bool{}
	if s.store.db != nil && !s.only {
		own, err := s.store.Events(ctx, id, time.Time{}, b.since)
		if err != nil {
			return nil, err
		}
		for _, e := range own {
			known[e.ID] = true
		}
	}
	err = s.other.EachEvent(ctx, id, time.Time{}, b.since, func(e *health.Event) error {
		if !known[e.ID] {
			b.events = append(b.events, *e)
		}
		return nil
	})
	return b.events, s.failed(ctx, err)
}

func (s *twoSources) Events(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.Event, error) {
	past, err := s.past(ctx, id, since)
	if err != nil {
		return nil, err
	}
	var out []health.Event
	if s.store.db != nil && !s.only {
		if out, err = s.store.Events(ctx, id, since, until); err != nil {
			return nil, err
		}
	}
	for _, e := range past {
		if (since.IsZero() || !e.At.Before(since)) && (until.IsZero() || e.At.Before(until)) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b health.Event) int { return a.At.Compare(b.At) })
	return out, nil
}

func (s *twoSources) LogEntries(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.LogEntry, error) {
	if s.store.db == nil {
		return nil, nil
	}
	return s.store.LogEntries(ctx, id, since, until)
}

func (s *twoSources) Faults(ctx context.Context, id health.TargetID, since, until time.Time) ([]health.Fault, error) {
	var out []health.Fault
	var err error
	if s.store.db != nil && !s.only {
		if out, err = s.store.Faults(ctx, id, since, until); err != nil {
			return nil, err
		}
	}
	b, err := s.before(ctx, id, since)
	if b == nil || err != nil {
		return out, err
	}
	past, err := s.past(ctx, id, since)
	if err != nil {
		return nil, err
	}
	for _, f := range influx.FaultsOf(past) {
		// A store that began anew has its own word for what was still there.
		if !f.Closed() && !b.since.IsZero() {
			f.State, f.Cleared = health.Unmonitored, b.since
		}
		if x := report.OpenIn(f, since, until); x != nil && f.Opened.Before(until) && !slices.ContainsFunc(out, func(o health.Fault) bool { return o.ID == f.ID }) {
			out = append(out, *x)
		}
	}
	slices.SortStableFunc(out, func(a, b health.Fault) int { return a.Opened.Compare(b.Opened) })
	return out, nil
}

func (s *twoSources) Runs(ctx context.Context) ([]report.Run, error) {
	if s.store.db == nil {
		return nil, nil
	}
	return s.store.Runs(ctx)
}

func (s *twoSources) Rollups(ctx context.Context, id health.TargetID, c health.ComponentID, q health.Quantity, from, to time.Time) ([]health.Rollup, error) {
	var own []health.Rollup
	var err error
	if s.store.db != nil && !s.only {
		if own, err = s.store.Rollups(ctx, id, c, q, from, to); err != nil {
			return nil, err
		}
	}
	b, err := s.before(ctx, id, from)
	if b == nil || err != nil {
		return own, err
	}
	theirs, err := s.other.Rollups(ctx, id, c, q, from, to)
	if err := s.failed(ctx, err); err != nil {
		return nil, err
	}
	has := map[time.Time]bool{}
	for _, r := range own {
		has[r.At] = true
	}
	for _, r := range theirs {
		if !has[r.At] && (b.since.IsZero() || r.At.Before(b.since)) {
			own = append(own, r)
		}
	}
	slices.SortStableFunc(own, func(a, b health.Rollup) int { return a.At.Compare(b.At) })
	return own, nil
}

// Visits are the store's: InfluxDB has points, not visits.
func (s *twoSources) Visits(ctx context.Context, id health.TargetID, from, to time.Time, f func(*health.Visit) error) error {
	if s.only || s.store.db == nil {
		return nil
	}
	return s.store.Visits(ctx, id, from, to, f)
}

// Points are those of InfluxDB in a time whose visits the store does not hold.
func (s *twoSources) Points(ctx context.Context, id health.TargetID, from, to time.Time, f func(*influx.Point) error) error {
	b, err := s.before(ctx, id, from)
	if b == nil || err != nil {
		return err
	}
	if !b.since.IsZero() && b.since.Before(to) {
		to = b.since
	}
	for at := from; at.Before(to); at = at.Add(6 * time.Hour) {
		end := at.Add(6 * time.Hour)
		if end.After(to) {
			end = to
		}
		if err := s.other.Points(ctx, id, at, end, f); err != nil {
			return err
		}
	}
	return nil
}

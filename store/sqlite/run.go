package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

const (
	heartbeat = 30 * time.Second
	// compactGrace is how long after its end an hour is left open: visits begun in it may still be under way.
	compactGrace = 5 * time.Minute
)

// Run keeps the store: it marks the time in which the daemon runs, compacts closed hours, drops what Retention says, and moves the WAL
// into the database, until ctx ends, and then returns nil. What goes wrong is logged, once until it changes, and tried again; only a start that cannot be marked is an error. One
// Run per open store.
func (db *DB) Run(ctx context.Context) error {
	var run int64
	if err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		now := time.Now().UnixNano()
		if err := w.exec(ctx, "INSERT INTO runs (pid, started_ns, alive_ns) VALUES (?, ?, ?)", os.Getpid(), now, now); err != nil {
			return err
		}
		var err error
		run, err = w.number(ctx, "SELECT max(id) FROM runs")
		return err
	}}); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("mark start of run: %w", err)
	}
	alive := func(ctx context.Context, column string) error {
		return db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
			now := time.Now().UnixNano()
			// alive_ns only goes up: a clock that is set back must not make a run end before it began.
			return w.exec(ctx, "UPDATE runs SET alive_ns = max(alive_ns, ?2)"+column+" WHERE id = ?1", run, now)
		}})
	}
	clock, err := db.loadClock(ctx)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("read the clock of retention: %w", err)
	}
	said := map[string]string{}
	mover := periodMover{db: db, done: math.MinInt64}
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			// Without ctx: the end is worth marking, and Close waits for it.
			if err := alive(context.WithoutCancel(ctx), ", stopped_ns = max(alive_ns, ?2)"); err != nil && !errors.Is(err, ErrClosed) {
				db.o.Log.Warn("mark end of run", "error", err)
			}
			return nil
		case <-t.C:
		}
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"mark run as alive", func() error { return alive(ctx, "") }},
			{"compact", func() error { return db.CompactBefore(ctx, time.Now().Add(-compactGrace)) }},
			{"make rollups", func() error { return db.makeMissing(ctx) }},
			{"merge rollups", func() error { return db.MergeDaysBefore(ctx, time.Now().Add(-compactGrace)) }},
			{"move closed days into files", func() error { return mover.step(ctx, clock.now(time.Now())) }},
			{"drop what is old", func() error {
				now := clock.now(time.Now())
				if err := db.saveClock(ctx, now); err != nil {
					return err
				}
				if _, missing, err := metaInt(ctx, db.read, metaMissing); err != nil || missing {
					return err // nothing is dropped before its rollup is made
				}
				return db.retain(ctx, now)
			}},
			{"remove files of dropped days", func() error { return db.removePeriods(ctx) }},
			{"checkpoint", func() error { return db.checkpoint(ctx) }},
		} {
			err := step.do()
			switch text := fmt.Sprint(err); {
			case ctx.Err() != nil:
			case err == nil:
				delete(said, step.name)
			case said[step.name] != text:
				said[step.name] = text
				db.o.Log.Error("keep store: "+step.name, "error", err)
			}
		}
	}
}

// checkpoint moves the WAL into the database and empties it. Readers that are at work keep it from being emptied; then the next
// one does it.
func (db *DB) checkpoint(ctx context.Context) error {
	return db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		w.checkpoint = true
		return nil
	}})
}

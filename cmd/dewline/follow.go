package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

const (
	// followEvery is how often a follower looks whether the store's files changed: two looks at a file, no query.
	followEvery = 500 * time.Millisecond
	// followAnyway is how often it asks the store even so.
	followAnyway = 30 * time.Second
)

// followFlag is --follow.
func followFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().BoolP("follow", "f", false, "go on with what is recorded from now on")
}

// followAlone refuses what makes no sense beside --follow.
func followAlone(follow bool, fail string, until time.Time) error {
	switch {
	case follow && !until.IsZero():
		return usageError("--follow has no end: leave out --until")
	case follow && fail != "":
		return usageError("--follow has no end, and so no exit code: leave out --fail-on")
	}
	return nil
}

// follow calls drain at once, and again whenever the store of a folder may have changed, until ctx ends. The daemon is another process: that
// it wrote shows in the time and size of its files.
func follow(ctx context.Context, dir string, drain func(context.Context) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	seen, asked := storeMark(dir), time.Now()
	if err := drain(ctx); err != nil { // what came before the mark
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		mark := storeMark(dir)
		if mark == seen && time.Since(asked) < followAnyway {
			continue
		}
		seen, asked = mark, time.Now()
		if err := drain(ctx); err != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return err
		}
	}
}

type fileMark struct {
	size int64
	at   time.Time
}

// storeMark changes with every commit to a store.
func storeMark(dir string) [2]fileMark {
	var m [2]fileMark
	for i, name := range [...]string{"dewline.db-wal", "dewline.db"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil {
			m[i] = fileMark{st.Size(), st.ModTime()}
		} else if !errors.Is(err, fs.ErrNotExist) {
			m[i] = fileMark{-1, time.Now()} // cannot be seen: ask
		}
	}
	return m
}

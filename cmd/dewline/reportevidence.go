package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dewline/health"
	"dewline/report"
	"dewline/report/verification"
)

// around is how much raw data before and after each event the evidence has.
const around = time.Hour

// evidenceFiles writes the data that a verification rests on, as JSON Lines by server: events and log entries whole, an account of
// every hour, visits whole around each event (or all of them).
func evidenceFiles(ctx context.Context, dir string, r report.Reader, rep *verification.Report, raw bool) error {
	for i := range rep.Servers {
		s := &rep.Servers[i]
		folder := filepath.Join(dir, "data", fmt.Sprintf("%02d", i+1)) // a server's name may hold anything
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("write evidence: %w", err)
		}
		from, until := s.Windows.BaselineFrom, rep.GeneratedAt
		if err := jsonLines(filepath.Join(folder, "server.json"), func(put func(any) error) error {
			return put(map[string]any{"target": s.Target, "from": from, "until": until})
		}); err != nil {
			return err
		}
		events, err := r.Events(ctx, s.Target, from, until)
		if err != nil {
			return err
		}
		if err := jsonLines(filepath.Join(folder, "events.jsonl"), func(put func(any) error) error {
			for _, e := range events {
				if err := put(e); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		entries, err := r.LogEntries(ctx, s.Target, from, until)
		if err != nil {
			return err
		}
		if err := jsonLines(filepath.Join(folder, "log.jsonl"), func(put func(any) error) error {
			for _, e := range entries {
				if err := put(e); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		if err := jsonLines(filepath.Join(folder, "hours.jsonl"), func(put func(any) error) error {
			return r.Hours(ctx, s.Target, from, until, func(h *health.HourFacts) error { return put(h) })
		}); err != nil {
			return err
		}
		if err := jsonLines(filepath.Join(folder, "visits.jsonl"), func(put func(any) error) error {
			for _, sp := range rawSpans(events, from, until, raw) {
				if err := r.Visits(ctx, s.Target, sp[0], sp[1], func(v *health.Visit) error { return put(v) }); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// rawSpans are the times whose visits are put in whole, in order and without overlap.
func rawSpans(events []health.Event, from, until time.Time, all bool) [][2]time.Time {
	if all {
		return [][2]time.Time{{from, until}}
	}
	var out [][2]time.Time
	for _, e := range events {
		a, b := e.At.Add(-around), e.At.Add(around)
		if n := len(out); n > 0 && !a.After(out[n-1][1]) {
			if b.After(out[n-1][1]) {
				out[n-1][1] = b
			}
			continue
		}
		out = append(out, [2]time.Time{a, b})
	}
	return out
}

func jsonLines(path string, fill func(put func(any) error) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	err = fill(func(v any) error { return e.Encode(v) })
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	return nil
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dewline/health"
	"dewline/report"
	"dewline/report/evidence"
	"dewline/report/verification"
	"dewline/store/influx"
	"dewline/store/sqlite"
)

// around is how much raw data before and after each event the evidence has.
const around = time.Hour

// dossier is a verification report and what is to stand beside it.
type dossier struct {
	reader  report.Reader
	report  *verification.Report
	texts   *report.Texts
	chain   []sqlite.Link
	actions []health.Action
	key     evidence.Key
	raw     bool               // every visit whole
	redact  *evidence.Redactor // nil: nothing is replaced
}

// data writes what a verification rests on, as JSON Lines by server (docs/VERIFICATION.md).
func (d *dossier) data(ctx context.Context, dir string) error {
	for i := range d.report.Servers {
		s := &d.report.Servers[i]
		folder := filepath.Join(dir, "data", fmt.Sprintf("%02d", i+1)) // a server's name may hold anything
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("write evidence: %w", err)
		}
		if err := d.server(ctx, folder, s); err != nil {
			return err
		}
	}
	if err := d.lines(filepath.Join(dir, "data", "actions.jsonl"), func(put func(any) error) error { return putAll(put, d.actions) }); err != nil {
		return err
	}
	return d.lines(filepath.Join(dir, "data", "chain.jsonl"), func(put func(any) error) error { return putAll(put, d.chain) })
}

func putAll[T any](put func(any) error, all []T) error {
	for i := range all {
		if err := put(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

func (d *dossier) server(ctx context.Context, folder string, s *verification.Server) error {
	from, until := s.Windows.BaselineFrom, d.report.GeneratedAt
	events, err := d.reader.Events(ctx, s.Target, from, until)
	if err != nil {
		return err
	}
	entries, err := d.reader.LogEntries(ctx, s.Target, from, until)
	if err != nil {
		return err
	}
	if d.redact != nil {
		for i := range entries {
			entries[i].Raw, entries[i].Key = d.redact.Bytes(entries[i].Raw), d.redact.Bytes(entries[i].Key)
		}
	}
	for _, f := range []struct {
		name string
		fill func(put func(any) error) error
	}{
		{"server.json", func(put func(any) error) error {
			return put(map[string]any{"target": s.Target, "from": from, "until": until})
		}},
		{"events.jsonl", func(put func(any) error) error { return putAll(put, events) }},
		{"log.jsonl", func(put func(any) error) error { return putAll(put, entries) }},
		{"hours.jsonl", func(put func(any) error) error {
			return d.reader.Hours(ctx, s.Target, from, until, func(h *health.HourFacts) error { return put(h) })
		}},
		{"readings.jsonl", func(put func(any) error) error { return d.readings(ctx, s.Target, from, until, put) }},
	} {
		if err := d.lines(filepath.Join(folder, f.name), f.fill); err != nil {
			return err
		}
	}
	spans := rawSpans(events, from, until, d.raw)
	if two, ok := d.reader.(*twoSources); ok && d.report.Elsewhere != "" {
		if err := d.lines(filepath.Join(folder, "points.jsonl"), func(put func(any) error) error {
			for _, sp := range spans {
				if err := two.Points(ctx, s.Target, sp[0], sp[1], func(p *influx.Point) error { return put(p) }); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return d.lines(filepath.Join(folder, "raw.jsonl"), func(whole func(any) error) error {
		return d.lines(filepath.Join(folder, "visits.jsonl"), func(put func(any) error) error {
			return d.reader.Visits(ctx, s.Target, from, until, func(v *health.Visit) error {
				for len(spans) > 0 && v.At().After(spans[0][1]) {
					spans = spans[1:]
				}
				if len(spans) > 0 && !v.At().Before(spans[0][0]) {
					if err := whole(v); err != nil {
						return err
					}
				}
				return put(visitLineOf(v))
			})
		})
	})
}

// visitLine is a visit without what it read.
type visitLine struct {
	ID        string               `json:"id"`
	Due       map[string]time.Time `json:"due"` // by tier
	Started   time.Time            `json:"started,omitzero"`
	Took      float64              `json:"took_seconds"`
	Result    health.Result        `json:"result"`
	Reason    health.Reason        `json:"reason,omitempty"`
	Error     string               `json:"error,omitempty"`
	HostPower string               `json:"host_power,omitempty"`
	Read      int                  `json:"readings"`
	Requests  int                  `json:"requests"`
	Exchanges int                  `json:"exchanges"`
	Gaps      []gapLine            `json:"gaps,omitempty"`
	Unread    []health.ComponentID `json:"unread,omitempty"`
	Skipped   []health.TickRange   `json:"skipped,omitempty"`
}

type gapLine struct {
	Part   string        `json:"part"`
	Reason health.Reason `json:"reason"`
	Error  string        `json:"error,omitempty"`
}

func visitLineOf(v *health.Visit) visitLine {
	l := visitLine{
		ID: v.ID, Due: map[string]time.Time{}, Started: v.Started, Took: v.Took.Seconds(), Result: v.Result, Reason: v.Reason, Error: v.Error,
		Requests: v.Cost.Requests, Exchanges: v.Cost.Exchanges, Skipped: v.Skipped,
	}
	for tier, at := range v.Due {
		l.Due[tier.String()] = at
	}
	if s := v.Snapshot; s != nil {
		l.HostPower, l.Read = s.HostPower.String(), len(s.Readings)
		for _, g := range s.Gaps {
			l.Gaps = append(l.Gaps, gapLine{g.Part, g.Reason, g.Error})
		}
	}
	for _, c := range v.Unread {
		l.Unread = append(l.Unread, c.ID)
	}
	return l
}

// rollupLine is one series of a UTC day in steps of five minutes. At are the steps in which it was read, from 0 at midnight: a step that is
// not in it was not read. Where each step has one value, Value has them; else N, Min, Mean and Max.
type rollupLine struct {
	Day       string             `json:"day"`
	Component health.ComponentID `json:"component"`
	Quantity  health.Quantity    `json:"quantity"`
	Unit      health.Unit        `json:"unit"`
	Derived   bool               `json:"derived,omitempty"`
	At        []int              `json:"at"`
	Value     []float64          `json:"value,omitempty"`
	N         []uint32           `json:"n,omitempty"`
	Min       []float64          `json:"min,omitempty"`
	Mean      []float64          `json:"mean,omitempty"`
	Max       []float64          `json:"max,omitempty"`
}

func rollupLineOf(d *health.RollupDay) rollupLine {
	l := rollupLine{Day: d.Day.Format(time.DateOnly), Component: d.Component, Quantity: d.Quantity, Unit: d.Unit, Derived: d.Derived}
	single := true
	for i := range d.Rollups {
		single = single && d.Rollups[i].N == 1
	}
	for i := range d.Rollups {
		r := &d.Rollups[i]
		l.At = append(l.At, int(r.At.Sub(d.Day)/health.AlignStep))
		if single {
			l.Value = append(l.Value, r.Last)
			continue
		}
		l.N, l.Min, l.Mean, l.Max = append(l.N, r.N), append(l.Min, r.Min), append(l.Mean, r.Mean()), append(l.Max, r.Max)
	}
	return l
}

// dayReader is a source that gives the rollups of all series at once.
type dayReader interface {
	RollupDays(ctx context.Context, id health.TargetID, from, to time.Time, f func(health.RollupDay) error) error
}

// readings puts every series in five-minute rollups. A source that knows series one by one is asked for those that its hours name.
func (d *dossier) readings(ctx context.Context, id health.TargetID, from, until time.Time, put func(any) error) error {
	reader := d.reader
	if two, ok := reader.(*twoSources); ok {
		b, err := two.before(ctx, id, from)
		if err != nil {
			return err
		}
		if b == nil {
			reader = two.store
		}
	}
	if r, ok := reader.(dayReader); ok {
		return r.RollupDays(ctx, id, from, until, func(x health.RollupDay) error { return put(rollupLineOf(&x)) })
	}
	seen := map[health.SeriesID]bool{}
	var all []health.HourSeries
	if err := d.reader.Hours(ctx, id, from, until, func(h *health.HourFacts) error {
		for _, s := range h.Series {
			if k := (health.SeriesID{Component: s.Component, Quantity: s.Quantity}); !seen[k] {
				seen[k] = true
				all = append(all, s)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, s := range all {
		rollups, err := d.reader.Rollups(ctx, id, s.Component, s.Quantity, from, until)
		if err != nil {
			return err
		}
		for len(rollups) > 0 {
			x := health.RollupDay{SeriesID: health.SeriesID{Component: s.Component, Quantity: s.Quantity, Unit: rollups[0].Unit}, Derived: s.Derived, Day: rollups[0].At.UTC().Truncate(24 * time.Hour)}
			n := 0
			for n < len(rollups) && rollups[n].Unit == x.Unit && rollups[n].At.Before(x.Day.Add(24*time.Hour)) {
				n++
			}
			x.Rollups, rollups = rollups[:n], rollups[n:]
			if err := put(rollupLineOf(&x)); err != nil {
				return err
			}
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

// lines writes JSON Lines, redacted if that is asked for.
func (d *dossier) lines(path string, fill func(put func(any) error) error) error {
	if d.redact == nil {
		return jsonLines(path, fill)
	}
	return jsonLines(path, func(put func(any) error) error {
		return fill(func(v any) error {
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			return put(json.RawMessage(bytes.TrimSpace(d.redact.JSON(b))))
		})
	})
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

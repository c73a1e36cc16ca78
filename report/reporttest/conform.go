package reporttest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/report"
)

// Conform checks a reader against what was read of a fleet: the same suite for every source.
func Conform(t *testing.T, r report.FleetReader, truth *Fleet, from, until time.Time) {
	t.Helper()
	want, err := truth.Targets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Targets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := func(ts []health.Target) (out []health.TargetID) {
		for _, x := range ts {
			out = append(out, x.ID)
		}
		return out
	}
	if !slices.Equal(ids(want), ids(got)) {
		t.Errorf("targets %q, want %q", ids(got), ids(want))
	}
	var queries []health.DayQuery
	backward := append(ids(want), "nobody")
	slices.Reverse(backward) // not in the order that a source has them in
	inventories := map[health.TargetID]*health.PartFacts{}
	var asked []health.TargetID
	if err := r.EachInventory(t.Context(), backward, until, func(id health.TargetID, facts *health.PartFacts) error {
		inventories[id], asked = facts, append(asked, id)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, backward) || len(inventories["nobody"].Series)+len(inventories["nobody"].Parts) > 0 {
		t.Errorf("inventories of %s, want %s; of nobody %+v", asked, backward, inventories["nobody"])
	}
	for _, id := range backward[1:] {
		facts, known := inventories[id], truth.inventory(id)
		q := health.DayQuery{Target: id, Aligned: []health.SeriesID{{Component: "fan/none", Quantity: health.Speed, Unit: health.RPM}}}
		for i, s := range known.Series {
			q.Daily = append(q.Daily, s.SeriesID)
			if i%2 == 0 {
				q.Aligned = append(q.Aligned, s.SeriesID)
			}
		}
		if !slices.EqualFunc(facts.Series, known.Series, func(a, b health.SeriesFacts) bool { return a.SeriesID == b.SeriesID && a.Derived == b.Derived }) {
			t.Errorf("series of %s: %+v, want %+v", id, facts.Series, known.Series)
		}
		queries = append(queries, q, health.DayQuery{Target: "nobody" + id, Aligned: q.Aligned})
	}
	for _, w := range [][2]time.Time{{from, until}, {from.Add(7*time.Hour + health.AlignStep), until.Add(-5*time.Hour - health.AlignStep)}} {
		var expected, given []*health.DayFacts
		keep := func(to *[]*health.DayFacts) func(*health.DayFacts) error {
			return func(f *health.DayFacts) error { *to = append(*to, copied(f)); return nil }
		}
		if err := errors.Join(truth.Days(t.Context(), w[0], w[1], queries, keep(&expected)), r.Days(t.Context(), w[0], w[1], queries, keep(&given))); err != nil {
			t.Fatal(err)
		}
		if len(expected) == 0 || len(expected) != len(given) {
			t.Fatalf("from %s: %d days of targets, want %d", w[0], len(given), len(expected))
		}
		for i := range expected {
			same(t, expected[i], given[i])
		}
	}
	stop := errors.New("enough")
	n := 0
	if err := r.Days(t.Context(), from, until, queries, func(*health.DayFacts) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("an error of the one who asks: %v after %d calls", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Days(ctx, from, until, queries, func(*health.DayFacts) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that is ended: %v", err)
	}
	var events, told []string
	note := func(to *[]string) func(*health.Event) error {
		return func(e *health.Event) error { *to = append(*to, e.ID); return nil }
	}
	if err := errors.Join(truth.EachEvent(t.Context(), from, until, note(&events)), r.EachEvent(t.Context(), from, until, note(&told))); err != nil {
		t.Fatal(err)
	}
	if len(events) == 0 || !slices.Equal(events, told) {
		t.Errorf("events %q, want %q", told, events)
	}
	for _, w := range [][2]time.Time{{from, until}, {from.Add(7 * time.Hour), until.Add(-5 * time.Hour)}} {
		var want, got []string
		note := func(to *[]string) func(*health.Fault) error {
			return func(f *health.Fault) error {
				*to = append(*to, fmt.Sprintf("%s of %s %s %s: %s, %s from %s to %s", f.ID, f.Target, f.Component, f.Kind, f.Severity, f.State, f.Opened.Sub(from), f.Cleared.Sub(from)))
				return nil
			}
		}
		if err := errors.Join(truth.EachFault(t.Context(), w[0], w[1], note(&want)), r.EachFault(t.Context(), w[0], w[1], note(&got))); err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 || !slices.Equal(want, got) {
			t.Errorf("faults from %s to %s:\n%s\nwant\n%s", w[0], w[1], strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	n = 0
	if err := r.EachFault(t.Context(), from, until, func(*health.Fault) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("an error of the one who asks for faults: %v after %d calls", err, n)
	}
}

func copied(f *health.DayFacts) *health.DayFacts {
	x := *f
	x.Aligned, x.Daily, x.Ticks = make([][]float64, len(f.Aligned)), slices.Clone(f.Daily), slices.Clone(f.Ticks)
	for i := range f.Aligned {
		x.Aligned[i] = slices.Clone(f.Aligned[i])
	}
	for i := range x.Daily {
		x.Daily[i].Hist = slices.Clone(x.Daily[i].Hist)
	}
	return &x
}

// same compares a day. Means and sums may be added in another order.
func same(t *testing.T, want, got *health.DayFacts) {
	t.Helper()
	near := func(a, b float64) bool {
		return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(1, math.Abs(a))
	}
	if want.Target != got.Target || !want.Day.Equal(got.Day) {
		t.Fatalf("%s of %s, want %s of %s", got.Day, got.Target, want.Day, want.Target)
	}
	for k := range want.Aligned {
		if !slices.EqualFunc(want.Aligned[k], got.Aligned[k], near) {
			t.Errorf("%s of %s, aligned %d:\n%v\nwant\n%v", got.Day, got.Target, k, got.Aligned[k], want.Aligned[k])
		}
	}
	for k := range want.Daily {
		a, b := want.Daily[k], got.Daily[k]
		if a.N != b.N || a.N > 0 && (a.Steps != b.Steps || a.Min != b.Min || a.Max != b.Max || a.Last != b.Last || !near(a.Sum, b.Sum) || a.Unit != b.Unit || !a.At.Equal(b.At) || a.Span != b.Span || !slices.Equal(a.Hist, b.Hist)) {
			t.Errorf("%s of %s, daily %d: %+v, want %+v", got.Day, got.Target, k, b, a)
		}
	}
}

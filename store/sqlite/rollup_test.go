package sqlite

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dewline/health"
	"dewline/store/storetest"
)

// rolledNaively is the rollups and medians of samples in order of time, computed the plain way.
func rolledNaively(samples []Sample) (rollups []health.Rollup, medians []HourMedian) {
	group := func(d time.Duration, f func(at time.Time, some []Sample)) {
		for rest := samples; len(rest) > 0; {
			at, n := rest[0].At.Truncate(d), 1
			for n < len(rest) && rest[n].At.Truncate(d).Equal(at) {
				n++
			}
			f(at, rest[:n])
			rest = rest[n:]
		}
	}
	group(5*time.Minute, func(at time.Time, some []Sample) {
		var v []float64
		sum := 0.0
		for _, s := range some {
			v, sum = append(v, s.Value), sum+s.Value
		}
		rollups = append(rollups, health.Rollup{At: at, Span: 5 * time.Minute, N: uint32(len(v)), Min: slices.Min(v), Max: slices.Max(v),
			Sum: sum, Last: v[len(v)-1], Unit: some[0].Unit, Hist: health.HistogramOf(v)})
	})
	group(time.Hour, func(at time.Time, some []Sample) {
		var v []float64
		for _, s := range some {
			v = append(v, s.Value)
		}
		slices.Sort(v)
		medians = append(medians, HourMedian{at, v[(len(v)-1)/2], some[0].Unit})
	})
	return rollups, medians
}

func sameRollups(t *testing.T, what string, want, got []health.Rollup) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("%s: %d rollups, want %d", what, len(got), len(want))
		return
	}
	for i, w := range want {
		g := got[i]
		// A sum of floats depends on their order and on how it is rounded.
		scale := max(math.Abs(w.Min), math.Abs(w.Max)) * float64(w.N)
		if math.Abs(w.Sum/2-g.Sum/2) > scale*1e-9+1e-300 && !math.IsInf(w.Sum, 0) && !math.IsInf(scale, 0) {
			t.Errorf("%s: sum %v, want %v", what, g.Sum, w.Sum)
		}
		g.Sum = w.Sum
		if w.Min == 0 { // which of two zeros is the less is open
			w.Min, g.Min = math.Abs(w.Min), math.Abs(g.Min)
		}
		if w.Max == 0 {
			w.Max, g.Max = math.Abs(w.Max), math.Abs(g.Max)
		}
		if d := storetest.Diff(w, g); d != "" {
			t.Errorf("%s: rollup %d %s", what, i, d)
			return
		}
	}
}

// forSeries calls f for every quantity that randomVisits may have read of a target.
func forSeries(t *testing.T, f func(c health.ComponentID, q health.Quantity)) {
	t.Helper()
	for i := range 5 {
		for _, q := range []health.Quantity{health.Speed, health.Duty} {
			f(health.ComponentID(fmt.Sprintf("fan/%d", i)), q)
		}
	}
}

type expected struct {
	rollups map[string][]health.Rollup
	medians map[string][]HourMedian
}

// expectedOf is what must be said of target t1, from its visits.
func expectedOf(t *testing.T, db *DB) expected {
	t.Helper()
	e := expected{map[string][]health.Rollup{}, map[string][]HourMedian{}}
	forSeries(t, func(c health.ComponentID, q health.Quantity) {
		s, err := db.Series(t.Context(), "t1", c, q, time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if len(s) > 0 {
			e.rollups[string(c)+" "+string(q)], e.medians[string(c)+" "+string(q)] = rolledNaively(s)
		}
	})
	if len(e.rollups) < 5 {
		t.Fatalf("only %d series are compared", len(e.rollups))
	}
	return e
}

func (e expected) compare(t *testing.T, what string, db *DB, from, to time.Time) {
	t.Helper()
	forSeries(t, func(c health.ComponentID, q health.Quantity) {
		name := string(c) + " " + string(q)
		if e.rollups[name] == nil {
			return
		}
		got, err := db.Rollups(t.Context(), "t1", c, q, from, to)
		if err != nil {
			t.Fatal(err)
		}
		outside := func(at time.Time) bool { return !within(at, from, to) }
		want := slices.DeleteFunc(slices.Clone(e.rollups[name]), func(r health.Rollup) bool { return outside(r.At) })
		sameRollups(t, what+": "+name, want, got)
		medians, err := db.HourlyMedians(t.Context(), "t1", c, q, from, to)
		if err != nil {
			t.Fatal(err)
		}
		if d := storetest.Diff(slices.DeleteFunc(slices.Clone(e.medians[name]), func(m HourMedian) bool { return outside(m.At) }), medians); d != "" {
			t.Errorf("%s: medians of %s %s", what, name, d)
		}
	})
}

// ticksNaively accounts for the ticks of visits, the plain way.
func ticksNaively(visits []*health.Visit) []TickHour {
	var out []TickHour
	at := func(v *health.Visit, tier health.Tier) *TickHour {
		h := v.At().UTC().Truncate(time.Hour)
		for i := range out {
			if out[i].At.Equal(h) && out[i].Tier == tier {
				return &out[i]
			}
		}
		out = append(out, TickHour{At: h, Tier: tier})
		return &out[len(out)-1]
	}
	for _, v := range visits {
		for _, tier := range v.Tiers().List() {
			x := at(v, tier)
			bit := uint64(1) << v.At().UTC().Minute()
			switch v.Result {
			case health.Done:
				x.Done++
			case health.Late:
				x.Late++
			case health.Failed:
				x.Failed++
			case health.Missed:
				x.Missed++
			}
			if v.Result == health.Done || v.Result == health.Late {
				x.Answered |= bit
				continue
			}
			x.Unanswered |= bit
			if x.Reasons == nil {
				x.Reasons = map[health.Reason]int{}
			}
			x.Reasons[v.Reason]++
		}
		for _, s := range v.Skipped {
			x := at(v, s.Tier)
			x.Skipped = append(x.Skipped, s)
		}
	}
	slices.SortFunc(out, func(a, b TickHour) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Tier, b.Tier)) })
	return out
}

func TestRollupsAreTheSameOpenClosedMergedAndWithoutTheirVisits(t *testing.T) {
	for seed := range uint64(1) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			db := openIn(t, t.TempDir(), Options{Retention: Retention{Raw: time.Hour}})
			r := rand.New(rand.NewPCG(seed, 0))
			for range 16 { // 6 h 40 min from 7 o'clock, out of order
				var vs []*health.Visit
				for range 25 {
					at := start.Add(time.Duration(r.Int64N(int64(400 * time.Minute))))
					v := storetest.Random(r, health.TargetID(fmt.Sprintf("t%d", r.IntN(3))), at)
					if v.Snapshot != nil {
						for k := range v.Snapshot.Readings {
							v.Snapshot.Readings[k].Derived = false
						}
					}
					vs = append(vs, v)
				}
				record(t, db, vs...)
			}
			e := expectedOf(t, db)
			visits, err := db.After(t.Context(), 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(visits, func(a, b *health.Visit) int { return a.At().Compare(b.At()) })
			ticks := ticksNaively(slices.DeleteFunc(visits, func(v *health.Visit) bool { return v.Target != "t1" }))
			all := func(what string) {
				t.Helper()
				e.compare(t, what, db, time.Time{}, time.Time{})
				got, err := db.Ticks(t.Context(), "t1", time.Time{}, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				if d := storetest.Diff(ticks, got); d != "" {
					t.Errorf("%s: ticks %s", what, d)
				}
			}
			all("no hour closed")
			e.compare(t, "a part of it", db, start.Add(90*time.Minute), start.Add(3*time.Hour))
			must(t, db.CompactBefore(t.Context(), start.Add(3*time.Hour)))
			all("three hours closed")
			must(t, db.CompactBefore(t.Context(), start.Add(24*time.Hour)))
			all("all closed")
			e.compare(t, "a part of it", db, start.Add(90*time.Minute), start.Add(3*time.Hour))
			must(t, db.MergeDaysBefore(t.Context(), start.Add(18*time.Hour)))
			if n := count(t, db, "SELECT count(*) FROM rollups WHERE part > 0"); n != 0 {
				t.Errorf("%d hours are not merged into their day", n)
			}
			all("days merged")
			must(t, db.retain(t.Context(), start.Add(5*time.Hour)))
			if n := count(t, db, "SELECT count(*) FROM visits WHERE hour < ?", hourOf(start.Add(4*time.Hour).UnixNano())); n != 0 {
				t.Errorf("%d visits are left that are too old", n)
			}
			all("some visits dropped")
			must(t, db.retain(t.Context(), start.Add(1000*time.Hour)))
			if n := count(t, db, "SELECT (SELECT count(*) FROM visits) + (SELECT count(*) FROM blocks) + (SELECT count(*) FROM fresh)"); n != 0 {
				t.Errorf("%d rows are left of visits", n)
			}
			all("all visits dropped")
			integrity(t, db)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLateVisitsRemakeTheirRollup(t *testing.T) {
	for name, dropped := range map[string]bool{"while the others are there": false, "when the others were dropped": true} {
		t.Run(name, func(t *testing.T) {
			db := openIn(t, t.TempDir(), Options{Retention: Retention{Raw: time.Hour}})
			m := storetest.NewMachine("t", 6, 1)
			var vs []*health.Visit
			for i := range 60 {
				vs = append(vs, m.Visit(start.Add(time.Duration(i)*time.Minute)))
			}
			late := []*health.Visit{vs[3], vs[4], vs[17], vs[58]}
			onTime := slices.DeleteFunc(slices.Clone(vs), func(v *health.Visit) bool { return slices.Contains(late, v) })
			var samples []Sample
			for _, v := range vs {
				samples = append(samples, Sample{At: v.Started, Value: v.Snapshot.Readings[1].Value, Unit: health.RPM})
			}
			want, medians := rolledNaively(samples)
			close := func() {
				t.Helper()
				must(t, db.CompactBefore(t.Context(), start.Add(time.Hour)))
				must(t, db.MergeDaysBefore(t.Context(), start.Add(24*time.Hour)))
			}
			check := func(what string) {
				t.Helper()
				got, err := db.Rollups(t.Context(), "t", "fan/1", health.Speed, time.Time{}, time.Time{})
				must(t, err)
				if dropped { // the time of the last value is not kept: the one that came first stays
					for i := range min(len(want), len(got)) {
						want[i].Last = got[i].Last
					}
				}
				sameRollups(t, what, want, got)
				ticks, err := db.Ticks(t.Context(), "t", time.Time{}, time.Time{})
				must(t, err)
				if len(ticks) != 2 || ticks[0].Done != 60 || ticks[0].Answered != 1<<60-1 {
					t.Errorf("%s: ticks %+v", what, ticks)
				}
				m, err := db.HourlyMedians(t.Context(), "t", "fan/1", health.Speed, time.Time{}, time.Time{})
				must(t, err)
				if len(m) != 1 || math.Abs(m[0].Value-medians[0].Value) > medians[0].Value*health.HistogramError {
					t.Errorf("%s: median %v, want %v", what, m, medians)
				}
			}
			record(t, db, onTime...)
			close()
			if dropped {
				must(t, db.retain(t.Context(), start.Add(3*time.Hour)))
				if n := count(t, db, "SELECT count(*) FROM blocks"); n != 0 {
					t.Fatalf("%d blocks are left", n)
				}
			}
			record(t, db, late[:2]...)
			record(t, db, late[2:]...)
			check("not compacted")
			close()
			check("compacted")
			close()
			must(t, db.CompactBefore(t.Context(), start.Add(24*time.Hour)))
			check("compacted again")
			must(t, db.retain(t.Context(), start.Add(3*time.Hour)))
			check("dropped")
		})
	}
}

func randomRolled(t *rapid.T) *rolled {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	out := &rolled{}
	for _, h := range r.Perm(24)[:1+r.IntN(4)] {
		var frames []*frame
		quiet := storetest.NewMachine("t", 5, r.Uint64())
		for i := range r.IntN(40) {
			at := start.Truncate(24 * time.Hour).Add(time.Duration(h)*time.Hour + time.Duration(i)*time.Minute)
			f := &frame{seq: int64(i), at: at.UnixNano(), shape: &shape{}}
			f.due, f.result = health.Tiers(1+r.IntN(15)), []health.Result{health.Done, health.Late, health.Failed, health.Missed, "new"}[r.IntN(5)]
			f.reason = []health.Reason{"", health.ReasonTimeout, "odd"}[r.IntN(3)]
			if r.IntN(9) == 0 {
				f.skip = []health.TickRange{{Tier: health.TierHealth, First: at, Last: at.Add(time.Hour), Count: 5, Reason: health.ReasonOverrun}}
			}
			for k, reading := range quiet.Visit(at).Snapshot.Readings {
				if r.IntN(10) == 0 {
					continue
				}
				v := reading.Value
				if k == 0 {
					v = storetest.Value(r)
				}
				f.shape.series, f.values = append(f.shape.series, uint32(3*k)), append(f.values, v)
			}
			frames = append(frames, f)
		}
		out = out.with(rollUp(frames, hourOf(start.Truncate(24*time.Hour).UnixNano())+int64(h)))
	}
	return out
}

func TestRollupsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := randomRolled(t)
		got, err := decodeRollup(encodeRollup(want), nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := diffRolled(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func diffRolled(want, got *rolled) string {
	type open struct {
		Hours  uint32
		Series []any
		Ticks  []any
		Skips  []any
	}
	of := func(r *rolled) (o open) {
		o.Hours = r.hours
		for _, s := range r.series {
			o.Series = append(o.Series, s.id)
			for _, b := range s.buckets {
				o.Series = append(o.Series, b.at, b.n, b.min, b.max, b.sum, b.last, b.hist)
			}
			for _, m := range s.medians {
				o.Series = append(o.Series, m.hour, m.value)
			}
		}
		for _, t := range r.ticks {
			o.Ticks = append(o.Ticks, t.hour, t.tier, t.counts, t.minutes, t.failed)
			for _, c := range t.reasons {
				o.Ticks = append(o.Ticks, c.reason, c.n)
			}
		}
		for _, s := range r.skips {
			o.Skips = append(o.Skips, s.hour, s.TickRange)
		}
		return o
	}
	a, b := of(want), of(got)
	return cmp.Or(diffAny("hours", []any{a.Hours}, []any{b.Hours}), diffAny("series", a.Series, b.Series), diffAny("ticks", a.Ticks, b.Ticks),
		diffAny("skips", a.Skips, b.Skips))
}

func diffAny(what string, a, b []any) string {
	if len(a) != len(b) {
		return fmt.Sprintf("%s: %d, want %d of them", what, len(b), len(a))
	}
	for i := range a {
		if d := storetest.Diff(a[i], b[i]); d != "" {
			return fmt.Sprintf("%s[%d]%s", what, i, d)
		}
	}
	return ""
}

// FuzzRollup: damaged bytes are an error or a rollup that packs again; never a panic, never more memory than is bounded.
func FuzzRollup(f *testing.F) {
	for seed := range uint64(4) {
		m := storetest.NewMachine("t", 3, seed)
		var frames []*frame
		for i := range 20 {
			at := start.Add(time.Duration(i) * time.Minute)
			fr := &frame{seq: int64(i), at: at.UnixNano(), shape: &shape{series: []uint32{0, 1, 2}}}
			fr.due, fr.result = 3, health.Done
			if i == 5 {
				fr.result, fr.reason = health.Failed, health.ReasonTimeout
				fr.skip = []health.TickRange{{First: at, Last: at, Count: 1, Reason: health.ReasonOverrun}}
			}
			for _, r := range m.Visit(at).Snapshot.Readings {
				fr.values = append(fr.values, r.Value/float64(seed+1))
			}
			frames = append(frames, fr)
		}
		plain, err := unpack(encodeRollup(rollUp(frames, hourOf(start.UnixNano()))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		r, err := decodeRolled(plain, nil)
		if err != nil {
			return
		}
		again, err := decodeRollup(encodeRollup(r), nil)
		if err != nil {
			t.Fatalf("what was read cannot be packed: %v", err)
		}
		if len(again.series) != len(r.series) || len(again.ticks) != len(r.ticks) || len(again.skips) != len(r.skips) {
			t.Fatal("what was packed again is something else")
		}
	})
}

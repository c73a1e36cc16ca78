package sqlite

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// hoursNaively counts visits the plain way.
func hoursNaively(visits []*health.Visit) []*health.HourFacts {
	slices.SortStableFunc(visits, func(a, b *health.Visit) int { return cmp.Or(a.At().Compare(b.At()), cmp.Compare(a.Seq, b.Seq)) })
	by := map[time.Time][]*health.Visit{}
	var order []time.Time
	for _, v := range visits {
		h := v.At().UTC().Truncate(time.Hour)
		if by[h] == nil {
			order = append(order, h)
		}
		by[h] = append(by[h], v)
	}
	var out []*health.HourFacts
	for _, h := range order {
		f := &health.HourFacts{At: h, Whole: true}
		ticks := map[health.Tier]*health.TickCount{}
		parts := map[health.ComponentID]*health.HourPart{}
		part := func(id health.ComponentID, class health.Class) *health.HourPart {
			if parts[id] == nil {
				parts[id] = &health.HourPart{Component: id, Class: class}
			}
			return parts[id]
		}
		type key struct {
			c health.ComponentID
			q health.Quantity
			u health.Unit
			d bool
		}
		values := map[key][]float64{}
		for _, v := range by[h] {
			for t := range v.Due {
				if ticks[t] == nil {
					ticks[t] = &health.TickCount{Tier: t}
				}
				switch v.Result {
				case health.Done:
					ticks[t].Done++
				case health.Late:
					ticks[t].Late++
				case health.Missed:
					ticks[t].Missed++
				default:
					ticks[t].Failed++
				}
			}
			f.Skipped = append(f.Skipped, v.Skipped...)
			for _, u := range v.Unread {
				part(u.ID, u.Class).Unread++
			}
			s := v.Snapshot
			if s != nil {
				f.Gaps += len(s.Gaps)
			}
			if s == nil || v.Result != health.Done && v.Result != health.Late {
				continue
			}
			if _, due := v.Due[health.TierReadings]; due || s.Tiers.Has(health.TierReadings) {
				f.Power.On += map[bool]int{true: 1}[s.HostPower == health.HostOn]
				f.Power.Off += map[bool]int{true: 1}[s.HostPower == health.HostOff]
				f.Power.Unknown += map[bool]int{true: 1}[s.HostPower == health.HostPowerUnknown]
			}
			for _, c := range s.Components {
				if c.StateNotRead {
					continue
				}
				p := part(c.ID, c.Class)
				switch {
				case c.Presence == health.Absent:
					p.Absent++
				case c.State == health.OK:
					p.OK++
				case c.State == health.Warning:
					p.Warning++
				case c.State == health.Critical:
					p.Critical++
				default:
					p.Unknown++
				}
			}
			met, moved := false, false
			for _, r := range s.Readings {
				k := key{r.Component, r.Quantity, r.Unit, r.Derived}
				if v := values[k]; !r.Derived && r.Quantity != health.ClockSkew {
					met, moved = true, moved || len(v) > 0 && v[len(v)-1] != r.Value
				}
				values[k] = append(values[k], r.Value)
			}
			if _, due := v.Due[health.TierReadings]; due && met {
				if at := v.At().UTC(); f.FirstAt.IsZero() {
					f.FirstAt = at
				} else if !moved {
					f.Still = append(f.Still, health.StillRun{From: f.LastAt, To: at})
				}
				f.LastAt = v.At().UTC()
			}
		}
		for _, t := range health.AllTiers {
			if ticks[t] != nil {
				f.Ticks = append(f.Ticks, *ticks[t])
			}
		}
		for _, p := range parts {
			f.Parts = append(f.Parts, *p)
		}
		slices.SortFunc(f.Parts, func(a, b health.HourPart) int { return cmp.Compare(a.Component, b.Component) })
		for k, v := range values {
			s := health.HourSeries{Component: k.c, Quantity: k.q, Unit: k.u, Derived: k.d, N: len(v), First: v[0], Last: v[len(v)-1]}
			slices.Sort(v)
			s.Min, s.Max, s.Median = v[0], v[len(v)-1], v[(len(v)-1)/2]
			f.Series = append(f.Series, s)
		}
		for i := 1; i < len(f.Still); { // runs that go on from each other are one
			if !f.Still[i].From.Equal(f.Still[i-1].To) {
				i++
				continue
			}
			f.Still[i-1].To = f.Still[i].To
			f.Still = slices.Delete(f.Still, i, i+1)
		}
		sortSeries(f.Series)
		out = append(out, f)
	}
	return out
}

func hoursIn(t *testing.T, db *DB, from, to time.Time) (out []*health.HourFacts) {
	t.Helper()
	must(t, db.Hours(t.Context(), "t1", from, to, func(h *health.HourFacts) error {
		out = append(out, h)
		return nil
	}))
	return out
}

func TestVisitsThatRepeatTheOneBeforeAreARun(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	var vs []*health.Visit
	for i, value := range []float64{20, 20, 20, 21, 22, 22} {
		v := storetest.Random(rand.New(rand.NewPCG(7, uint64(i))), "t1", start.Add(time.Duration(10*i)*time.Minute))
		v.Started = start.Add(time.Duration(10*i) * time.Minute)
		v.Due, v.Result, v.Skipped = map[health.Tier]time.Time{health.TierReadings: v.Started}, health.Done, nil
		v.Snapshot = &health.Snapshot{Target: "t1", At: v.Started, Tiers: health.TiersOf(health.TierReadings), Readings: []health.Reading{
			{Component: "temperature/a", Quantity: health.Temperature, Unit: health.Celsius, Value: value},
			{Component: "temperature/b", Quantity: health.Temperature, Unit: health.Celsius, Value: 30},
			{Component: "bmc", Quantity: health.ClockSkew, Unit: health.Second, Value: float64(i)}, // ours moves, whatever theirs does
		}}
		v.ID = health.VisitID(v)
		vs = append(vs, v)
	}
	record(t, db, vs...)
	hours := hoursIn(t, db, start, start.Add(time.Hour))
	if len(hours) != 1 {
		t.Fatalf("%d hours", len(hours))
	}
	at := func(m int) time.Time { return start.Add(time.Duration(m) * time.Minute).UTC() }
	want := []health.StillRun{{From: at(0), To: at(20)}, {From: at(40), To: at(50)}}
	if h := hours[0]; !slices.EqualFunc(h.Still, want, func(a, b health.StillRun) bool { return a.From.Equal(b.From) && a.To.Equal(b.To) }) || !h.FirstAt.Equal(at(0)) || !h.LastAt.Equal(at(50)) {
		t.Errorf("read from %s to %s, still %v, want %v", h.FirstAt, h.LastAt, h.Still, want)
	}
}

func TestHoursCountWhatTheVisitsSay(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{Retention: Retention{Raw: time.Hour}})
	r := rand.New(rand.NewPCG(7, 0))
	for range 8 {
		var vs []*health.Visit
		for range 25 {
			v := storetest.Random(r, health.TargetID(fmt.Sprintf("t%d", r.IntN(2))), start.Add(time.Duration(r.Int64N(int64(300*time.Minute)))))
			if v.Snapshot != nil {
				for k := range v.Snapshot.Readings { // so that a series is one, whatever is random in it
					v.Snapshot.Readings[k].Derived = false
				}
			}
			vs = append(vs, v)
		}
		record(t, db, vs...)
	}
	visits, err := db.After(t.Context(), 0, 1000)
	must(t, err)
	want := hoursNaively(slices.DeleteFunc(visits, func(v *health.Visit) bool { return v.Target != "t1" }))
	if len(want) < 4 {
		t.Fatalf("only %d hours", len(want))
	}
	compare := func(what string, want, got []*health.HourFacts) {
		t.Helper()
		if len(want) != len(got) {
			t.Fatalf("%s: %d hours, want %d", what, len(got), len(want))
		}
		for i := range want {
			if d := storetest.Diff(want[i], got[i]); d != "" {
				t.Fatalf("%s, %s: %s", what, want[i].At, d)
			}
		}
	}
	compare("no hour closed", want, hoursIn(t, db, time.Time{}, time.Time{}))
	compare("two of them", want[1:3], hoursIn(t, db, want[1].At, want[3].At))
	must(t, db.CompactBefore(t.Context(), start.Add(2*time.Hour)))
	compare("some closed", want, hoursIn(t, db, time.Time{}, time.Time{}))
	must(t, db.CompactBefore(t.Context(), start.Add(24*time.Hour)))
	compare("all closed", want, hoursIn(t, db, time.Time{}, time.Time{}))

	// When the visits are gone, what rollups hold is left, and what they do not hold is not made up.
	must(t, db.retain(t.Context(), start.Add(1000*time.Hour)))
	for _, h := range want {
		h.Whole, h.Power, h.Parts, h.Gaps = false, health.PowerCount{}, nil, 0
		h.FirstAt, h.LastAt, h.Still, h.Source = time.Time{}, time.Time{}, nil, health.HourOfRollups
		h.ReadAsAWhole()
		for i := range h.Series {
			h.Series[i].First = 0
		}
	}
	got := hoursIn(t, db, time.Time{}, time.Time{})
	for _, h := range slices.Concat(want, got) {
		for i := range h.Series {
			s := &h.Series[i]
			s.First = 0 // of five minutes, not of the first visit
			if s.Min == 0 {
				s.Min = 0 // of two zeros
			}
			if s.Max == 0 {
				s.Max = 0
			}
		}
	}
	compare("all dropped", want, got)
	if h := hoursIn(t, db, start.Add(-time.Hour), start.Add(-time.Minute)); len(h) != 0 {
		t.Errorf("%d hours of a time without visits", len(h))
	}
}

func BenchmarkHours(b *testing.B) {
	db := openIn(b, b.TempDir(), Options{})
	hoursOfVisits(b, db, 1, 60, 24*14)
	b.ResetTimer()
	n := 0
	for b.Loop() {
		must(b, db.Hours(b.Context(), "t0", time.Time{}, time.Time{}, func(*health.HourFacts) error {
			n++
			return nil
		}))
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/hour")
}

package sqlite

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"dewline/health"
)

// A fleet as the claim has it: four series of each server that are set beside those of others, and more that are wanted as one
// histogram a day.
const (
	fleetAligned = 4
	fleetDaily   = 16
	fleetKinds   = 64 // days that differ; each server has them in an order of its own
)

func fleetSeries() []health.SeriesID {
	out := []health.SeriesID{
		{Component: "power/total", Quantity: health.InputPower, Unit: health.Watt}, {Component: "temperature/Inlet", Quantity: health.Temperature, Unit: health.Celsius},
		{Component: "fan/1", Quantity: health.Duty, Unit: health.Percent}, {Component: "humidity/room", Quantity: health.DewPoint, Unit: health.Celsius},
	}
	for i := range fleetDaily {
		s := health.SeriesID{Component: health.ComponentID(fmt.Sprint("temperature/", i)), Quantity: health.Temperature, Unit: health.Celsius}
		if i%4 == 0 {
			s = health.SeriesID{Component: health.ComponentID(fmt.Sprint("fan/", i)), Quantity: health.Speed, Unit: health.RPM}
		}
		out = append(out, s)
	}
	return out
}

// fleetValue is what a series reads in a step of a day of a kind, as a BMC gives it: in steps of its own. NaN: nothing was read.
func fleetValue(series, kind, step int) float64 {
	r := rand.New(rand.NewPCG(uint64(series+1), uint64(kind*health.StepsPerDay+step)))
	if (kind+step)%97 == 3 {
		return math.NaN()
	}
	swing := math.Sin(float64(step)/float64(health.StepsPerDay)*2*math.Pi + float64(kind))
	switch {
	case series == 0:
		return math.Round(300 + 80*swing + 30*r.NormFloat64())
	case series == 1:
		return math.Round((22+3*swing+0.5*r.NormFloat64())*2) / 2
	case series == 2:
		return math.Round(35 + 10*swing + 3*r.NormFloat64())
	case series == 3:
		return math.Round((11+2*swing+0.3*r.NormFloat64())*100) / 100
	case series%4 == 0:
		return math.Round((5000+1200*swing+100*r.NormFloat64())/60) * 60
	}
	return math.Round(40 + 5*swing + 2*r.NormFloat64())
}

func kindOfDay(server, day int) int { return (server*31 + day*17) % fleetKinds }

// fillFleet writes what retention leaves of a fleet that was visited every five minutes: one visit of each server through the writer, for the
// dictionary, and the days' rollups as compaction packs them.
func fillFleet(t *testing.T, db *DB, servers, days int, from time.Time) {
	t.Helper()
	wanted := fleetSeries()
	var visits []*health.Visit
	for s := range servers {
		v := dayVisit(health.TargetID(fmt.Sprintf("s-%05d", s)), from.Add(-48*time.Hour), nil, false)
		for i, id := range wanted {
			v.Snapshot.Components = append(v.Snapshot.Components, health.Component{ID: id.Component, Class: health.ClassSensor, State: health.OK, Presence: health.Present})
			v.Snapshot.Readings = append(v.Snapshot.Readings, health.Reading{Component: id.Component, Quantity: id.Quantity, Unit: id.Unit, Value: fleetValue(i, 0, 1)})
		}
		visits = append(visits, v)
	}
	for some := range slices.Chunk(visits, 256) {
		record(t, db, some...)
	}
	if err := db.CompactBefore(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	numbers := make([]int64, servers)
	var ids []uint32
	for s := range numbers {
		var err error
		if numbers[s], err = targetNumber(t.Context(), db.read, visits[s].Target); err != nil {
			t.Fatal(err)
		}
		d, err := loadDict(t.Context(), db.read, numbers[s])
		if err != nil {
			t.Fatal(err)
		}
		var of []uint32
		for _, id := range wanted {
			for n, e := range d.series {
				if e.quantity == id.Quantity && d.component(uint32(n)) == id.Component {
					of = append(of, uint32(n))
				}
			}
		}
		if ids == nil {
			ids = of
		} else if !slices.Equal(ids, of) {
			t.Fatal("dictionaries of like servers differ")
		}
	}
	blobs := make([][]byte, fleetKinds)
	for kind := range blobs {
		var frames []*frame
		day := from.UnixNano() / hour
		r := &rolled{}
		for h := range hoursPerDay {
			frames = frames[:0]
			for k := range bucketsPerHour {
				step := h*bucketsPerHour + k
				f := &frame{at: (day+int64(h))*hour + int64(k)*rollupSpan + 1, shape: &shape{}}
				f.due, f.result = health.TiersOf(health.TierReadings), health.Done
				for i, id := range ids {
					if v := fleetValue(i, kind, step); !math.IsNaN(v) {
						f.shape.series, f.values = append(f.shape.series, id), append(f.values, v)
					}
				}
				frames = append(frames, f)
			}
			r = r.with(rollUp(frames, day+int64(h)))
		}
		blobs[kind] = encodeRollup(r)
	}
	first, _ := dayOf(hourOf(from.UnixNano()))
	for day := range days {
		server := 0
		for some := range slices.Chunk(numbers, 1000) {
			if err := db.submit(t.Context(), &op{do: func(ctx context.Context, w *writer) error {
				for _, n := range some {
					if err := w.exec(ctx, "INSERT INTO rollups (target, day, part, hours, data) VALUES (?, ?, 0, ?, ?)", n, first+int64(day), 1<<hoursPerDay-1,
						blobs[kindOfDay(server, day)]); err != nil {
						return err
					}
					server++
				}
				return nil
			}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAFleetIsReadDayByDay reads a fleet as a capacity review does. DEWLINE_FLEET=SERVERS chooses its size; in make long it is a thousand servers of
// ninety days.
func TestAFleetIsReadDayByDay(t *testing.T) {
	servers, days := 20, 3
	if os.Getenv("DEWLINE_LONG") != "" {
		servers, days = 1000, 90
	}
	if s := os.Getenv("DEWLINE_FLEET"); s != "" {
		var err error
		if servers, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
		days = 90
	}
	from := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	dir := os.Getenv("DEWLINE_FLEET_DIR")
	kept := dir != ""
	if !kept {
		dir = t.TempDir()
	}
	db := openIn(t, dir, Options{})
	if n := count(t, db, "SELECT count(*) FROM targets"); n == 0 {
		fillFleet(t, db, servers, days, from)
	}
	series := fleetSeries()
	var want []health.DayQuery
	for s := range servers {
		want = append(want, health.DayQuery{Target: health.TargetID(fmt.Sprintf("s-%05d", s)), Aligned: series[:fleetAligned], Daily: series[fleetAligned:]})
	}
	var peak uint64
	memory := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse+m.StackInuse)
	}
	begin := time.Now()
	calls, values := 0, 0
	sums := make([]float64, health.StepsPerDay) // of power, of the day under way
	expected := slices.Clone(sums)
	var at time.Time
	if err := db.Days(t.Context(), from, from.Add(time.Duration(days)*24*time.Hour), want, func(f *health.DayFacts) error {
		server, _ := strconv.Atoi(string(f.Target[2:]))
		day := int(f.Day.Sub(from) / (24 * time.Hour))
		if !f.Day.Equal(at) {
			at = f.Day
			clear(sums)
			memory()
		}
		for k, v := range f.Aligned {
			for i, x := range v {
				if !math.IsNaN(x) {
					values++
					if k == 0 {
						sums[i] += x
					}
				}
			}
		}
		if calls%(servers*days/60+1) == 0 { // some against what was written, one by one
			kind := kindOfDay(server, day)
			for k, v := range f.Aligned {
				for i, x := range v {
					if w := fleetValue(k, kind, i); x != w && !(math.IsNaN(x) && math.IsNaN(w)) {
						t.Fatalf("%s, %s, step %d of %s: %v, want %v", f.Target, f.Day, i, series[k].Component, x, w)
					}
				}
			}
			for k := range f.Daily {
				d := &f.Daily[k]
				var all []float64
				for i := range health.StepsPerDay {
					if w := fleetValue(k+fleetAligned, kind, i); !math.IsNaN(w) {
						all = append(all, w)
					}
				}
				last := all[len(all)-1]
				slices.Sort(all)
				if int(d.N) != len(all) || d.Steps != len(all) || d.Min != all[0] || d.Max != all[len(all)-1] || d.Last != last {
					t.Fatalf("%s: %d values in %d steps, want %d", series[k+fleetAligned].Component, d.N, d.Steps, len(all))
				}
				for _, q := range []float64{0.5, 0.95, 0.99} {
					exact := all[int(math.Ceil(q*float64(len(all))))-1]
					if got := d.Quantile(q); math.Abs(got-exact) > health.HistogramError*math.Abs(exact) {
						t.Fatalf("%s: quantile %v is %v, want %v within %v", series[k+fleetAligned].Component, q, got, exact, health.HistogramError)
					}
				}
			}
		}
		calls++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	memory()
	for i := range expected { // of the last day
		for s := range servers {
			if v := fleetValue(0, kindOfDay(s, days-1), i); !math.IsNaN(v) {
				expected[i] += v
			}
		}
		if math.Abs(sums[i]-expected[i]) > 1e-6 {
			t.Fatalf("step %d: the sum of power is %v, want %v", i, sums[i], expected[i])
		}
	}
	if calls != servers*days {
		t.Errorf("%d days of servers, want %d", calls, servers*days)
	}
	if peak > 1<<30 {
		t.Errorf("it holds %d MB", peak>>20)
	}
	size, err := db.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d servers, %d days: %d aligned values in %s, heap at most %d MB, store %d MB, %.2f bytes per sample", servers, days, values, took.Round(time.Millisecond), peak>>20, size>>20,
		float64(size)/float64(values)*fleetAligned/float64(len(series)))
}

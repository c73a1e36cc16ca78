package capacity

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"dewline/health"
	"dewline/report"
)

// large is a fleet whose days cost nothing to read: what is measured is the review.
type large struct {
	servers, days int
	facts         *health.PartFacts
	shapes        [][][]float64 // aligned series of a day, of some machines
}

func newLarge(servers, days int) *large {
	l := &large{servers: servers, days: days, facts: &health.PartFacts{Known: true, Identity: health.Identity{Model: "R1"}}}
	for _, x := range []struct {
		id    health.SeriesID
		class health.Class
	}{{board, health.ClassPower}, {inlet, health.ClassTemperature}, {fan1, health.ClassFan}, {dew, health.ClassTemperature}} {
		l.facts.Series = append(l.facts.Series, health.SeriesFacts{SeriesID: x.id, Class: x.class})
	}
	l.facts.Parts = []health.KnownComponent{part("temperature/Inlet", health.ClassTemperature, "", "", 0), part("power/System Power", health.ClassPower, "", "", 0)}
	r := rand.New(rand.NewPCG(1, 1))
	for range 64 {
		var shape [][]float64
		for _, level := range []float64{400, 45, 24, 11} { // in the order of the query: power, duty, inlet, dew point
			v := make([]float64, health.StepsPerDay)
			for i := range v {
				v[i] = math.Round(level*(1+0.2*math.Sin(float64(i)/40)+0.05*r.Float64())*10) / 10
			}
			shape = append(shape, v)
		}
		l.shapes = append(l.shapes, shape)
	}
	return l
}

func (l *large) Source() string       { return "made up" }
func (l *large) Lacks() []report.Lack { return nil }
func (l *large) Targets(context.Context) ([]health.Target, error) {
	out := make([]health.Target, l.servers)
	for i := range out {
		out[i] = health.Target{ID: health.TargetID(fmt.Sprintf("s-%05d", i)), Site: fmt.Sprint("site", i/2500), Rack: fmt.Sprint("R", i/25), Position: i % 25}
	}
	return out, nil
}
func (l *large) EachInventory(_ context.Context, ids []health.TargetID, _ time.Time, f func(health.TargetID, *health.PartFacts) error) error {
	for _, id := range ids {
		if err := f(id, l.facts); err != nil {
			return err
		}
	}
	return nil
}
func (l *large) Days(_ context.Context, from, until time.Time, want []health.DayQuery, f func(*health.DayFacts) error) error {
	x := health.DayFacts{}
	for day := from; day.Before(until); day = day.Add(24 * time.Hour) {
		for i := range want {
			shape := l.shapes[i%len(l.shapes)]
			x = health.DayFacts{Target: want[i].Target, Day: day, Aligned: shape[:len(want[i].Aligned)], Daily: make([]health.DaySeries, len(want[i].Daily))}
			for k := range x.Daily {
				v := shape[k%len(shape)]
				x.Daily[k] = health.DaySeries{Steps: len(v), Rollup: health.Rollup{At: day, Span: 24 * time.Hour, N: uint32(len(v)), Min: 1, Max: 900, Sum: 1, Last: v[0], Hist: health.HistogramOf(v[:8])}}
			}
			if err := f(&x); err != nil {
				return err
			}
		}
	}
	return nil
}
func (l *large) EachFault(context.Context, time.Time, time.Time, func(*health.Fault) error) error {
	return nil
}
func (l *large) EachEvent(context.Context, time.Time, time.Time, func(*health.Event) error) error {
	return nil
}
func (l *large) Runs(context.Context) ([]report.Run, error) { return nil, nil }

// BenchmarkBuild is the review without reading: 1,000 servers, 4 aligned series, 30 days. Its cost for a day of a server, and what it holds.
func BenchmarkBuild(b *testing.B) {
	l := newLarge(1000, 30)
	targets, err := l.Targets(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	q := Request{From: from, Until: from.Add(30 * 24 * time.Hour), GeneratedAt: from.Add(30 * 24 * time.Hour), Targets: targets, Air: Air{HasAllowable: true, Recommended: Envelope{High: 27}, Allowable: Envelope{High: 35}}}
	for b.Loop() {
		rep, err := Build(b.Context(), l, q)
		if err != nil {
			b.Fatal(err)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/float64(l.servers), "heap-bytes/server")
		runtime.KeepAlive(rep)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*l.servers*l.days), "ns/server-day")
}

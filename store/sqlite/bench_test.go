package sqlite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

const benchSensors = 100

// BenchmarkRecord records visits of 100 sensors from 256 targets at once, as a fleet does, with a commit for as many as wait.
func BenchmarkRecord(b *testing.B) {
	db := openIn(b, b.TempDir(), Options{CommitEvery: 20 * time.Millisecond})
	const targets = 256
	machines := make([]*storetest.Machine, targets)
	for i := range machines {
		machines[i] = storetest.NewMachine(health.TargetID(fmt.Sprintf("db-%d", i)), benchSensors, uint64(i))
		machines[i].Visit(start)
	}
	round := func(i int) []*health.Visit {
		vs := make([]*health.Visit, targets)
		for k, m := range machines {
			vs[k] = m.Visit(start.Add(time.Duration(i) * time.Minute))
		}
		return vs
	}
	record(b, db, round(0)...) // dictionaries
	n, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer() // making visits is not recording them
		i++
		vs := round(i)
		b.StartTimer()
		var wg sync.WaitGroup
		for _, v := range vs {
			wg.Go(func() {
				if err := db.Record(b.Context(), v); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		n += len(vs)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "visits/s")
	b.ReportMetric(float64(n)*benchSensors/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(i), "ms/commit") // 256 visits are a full one, which waits for no more
}

// BenchmarkSize records a day of 20 machines with 100 sensors each, a visit a minute, and reports what the files take after
// compaction and checkpoint, divided by the samples held. Everything counts: timestamps, ticks, costs, states, dictionaries, log
// of visits, free pages. The day lies in the past; compaction runs once an hour of it, as in a daemon.
func BenchmarkSize(b *testing.B) {
	for b.Loop() {
		db := openIn(b, b.TempDir(), Options{CommitEvery: 5 * time.Millisecond, CommitMax: 1200})
		const targets, hours = 20, 24
		var machines []*storetest.Machine
		for i := range targets {
			machines = append(machines, storetest.NewMachine(health.TargetID(fmt.Sprintf("db-%d", i)), benchSensors, uint64(i)))
		}
		var took time.Duration
		for h := range hours {
			var vs []*health.Visit
			for m := range 60 {
				for _, x := range machines {
					vs = append(vs, x.Visit(start.Add(time.Duration(h)*time.Hour+time.Duration(m)*time.Minute)))
				}
			}
			record(b, db, vs...)
			begun := time.Now()
			if err := db.CompactBefore(b.Context(), start.Add(time.Duration(h+1)*time.Hour)); err != nil {
				b.Fatal(err)
			}
			took += time.Since(begun)
		}
		if err := db.checkpoint(b.Context()); err != nil {
			b.Fatal(err)
		}
		const samples = targets * hours * 60 * benchSensors
		st, err := os.Stat(db.path)
		if err != nil {
			b.Fatal(err)
		}
		if held := count(b, db, "SELECT sum(samples) FROM blocks"); held != samples {
			b.Fatalf("%d samples held of %d", held, samples)
		}
		all, err := db.Size(b.Context())
		// Rollups are counted apart: they are what stays when the samples are gone.
		rollups := float64(count(b, db, "SELECT sum(length(data)) FROM rollups"))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(rollups/samples, "B/sample(rollups)")
		b.ReportMetric((float64(all)-rollups)/samples, "B/sample(files)")
		b.ReportMetric((float64(st.Size()-4096*count(b, db, "PRAGMA freelist_count"))-rollups)/samples, "B/sample(used)")
		b.ReportMetric(float64(count(b, db, "SELECT sum(length(data)) FROM blocks"))/samples, "B/sample(blocks)")
		b.ReportMetric(took.Seconds()*1e6/(targets*hours), "µs/block")
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSeries reads one sensor's 30 days, compacted.
func BenchmarkSeries(b *testing.B) {
	db := openIn(b, b.TempDir(), Options{CommitEvery: 5 * time.Millisecond, CommitMax: 3000})
	const days = 30
	m := storetest.NewMachine("db-1", benchSensors, 1)
	for d := range days {
		var vs []*health.Visit
		for i := range 1440 {
			vs = append(vs, m.Visit(start.Add(time.Duration(d*1440+i)*time.Minute)))
		}
		record(b, db, vs...)
		if err := db.CompactBefore(b.Context(), start.Add(time.Duration(d+1)*24*time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := db.Series(b.Context(), "db-1", "temperature/0", health.Temperature, time.Time{}, time.Time{})
		if err != nil || len(s) != days*1440 {
			b.Fatalf("%d samples, %v", len(s), err)
		}
	}
	b.ReportMetric(days*1440*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkAfter reads the log as a follower does, at its open end.
func BenchmarkAfter(b *testing.B) {
	db := openIn(b, b.TempDir(), Options{CommitMax: 1000})
	const n = 500
	vs := make([]*health.Visit, n)
	for i := range vs {
		vs[i] = storetest.NewMachine(health.TargetID(fmt.Sprintf("db-%d", i%50)), benchSensors, rand.Uint64()).
			Visit(start.Add(time.Duration(i/50) * time.Minute))
	}
	record(b, db, vs...)
	b.ReportAllocs()
	for b.Loop() {
		if got, err := db.After(b.Context(), 0, n); err != nil || len(got) != n {
			b.Fatalf("%d visits, %v", len(got), err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "visits/s")
}

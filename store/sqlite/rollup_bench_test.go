package sqlite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// BenchmarkRollups records 1,000 visits of each of 10 machines of 100 sensors, a visit a minute, and reports what their rollups take,
// hour by hour and merged into days, apart from the visits themselves: per sample they were made of and per bucket.
func BenchmarkRollups(b *testing.B) {
	for b.Loop() {
		db := openIn(b, b.TempDir(), Options{CommitEvery: 5 * time.Millisecond, CommitMax: 1000})
		const targets, visits = 10, 1000
		for k := range targets {
			m := storetest.NewMachine(health.TargetID(fmt.Sprintf("db-%d", k)), benchSensors, uint64(k))
			var vs []*health.Visit
			for i := range visits {
				vs = append(vs, m.Visit(start.Truncate(24*time.Hour).Add(time.Duration(i)*time.Minute)))
			}
			record(b, db, vs...)
		}
		begun := time.Now()
		must(b, db.CompactBefore(b.Context(), at(100)))
		compacted := time.Since(begun)
		bytes := func() float64 { return float64(count(b, db, "SELECT sum(length(data)) FROM rollups")) }
		const samples = targets * visits * benchSensors
		const buckets = targets * visits / 5 * benchSensors
		hours := bytes()
		begun = time.Now()
		must(b, db.MergeDaysBefore(b.Context(), at(100)))
		b.ReportMetric(float64(time.Since(begun).Microseconds())/targets, "µs/day-merge")
		b.ReportMetric(float64(compacted.Microseconds())/(targets*17), "µs/hour-compact")
		b.ReportMetric(hours/samples, "B/sample(hours)")
		b.ReportMetric(bytes()/samples, "B/sample(days)")
		b.ReportMetric(bytes()/buckets, "B/bucket(days)")
		b.ReportMetric(float64(count(b, db, "SELECT sum(length(data)) FROM blocks"))/samples, "B/sample(blocks)")
		must(b, db.Close())
	}
}

// BenchmarkReadRollups reads one sensor's 30 days of rollups.
func BenchmarkReadRollups(b *testing.B) {
	db := openIn(b, b.TempDir(), Options{CommitEvery: 5 * time.Millisecond, CommitMax: 3000})
	const days = 30
	m := storetest.NewMachine("db-1", benchSensors, 1)
	from := start.Truncate(24 * time.Hour)
	for d := range days {
		var vs []*health.Visit
		for i := range 288 {
			vs = append(vs, m.Visit(from.Add(time.Duration(d*288+i)*5*time.Minute)))
		}
		record(b, db, vs...)
	}
	must(b, db.CompactBefore(b.Context(), at(1000)))
	must(b, db.MergeDaysBefore(b.Context(), at(1000)))
	b.ReportAllocs()
	for b.Loop() {
		if r, err := db.Rollups(b.Context(), "db-1", "temperature/0", health.Temperature, time.Time{}, time.Time{}); err != nil || len(r) != days*288 {
			b.Fatalf("%d rollups, %v", len(r), err)
		}
	}
}

// BenchmarkRetention drops half of 100 machines' visits of 100 sensors (1,000 each, 10 million samples) while others are recorded, and reports
// how long an hour of them takes, what the file is afterwards, and how long a visit that was recorded meanwhile waited at most.
func BenchmarkRetention(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		db := openIn(b, b.TempDir(), Options{CommitEvery: 5 * time.Millisecond, CommitMax: 1000, Retention: Retention{Raw: 8 * time.Hour}})
		const targets, visits = 100, 1000
		var machines []*storetest.Machine
		for k := range targets {
			machines = append(machines, storetest.NewMachine(health.TargetID(fmt.Sprintf("db-%d", k)), benchSensors, rand.Uint64()))
		}
		for i := 0; i < visits; i += 20 {
			var vs []*health.Visit
			for k := range 20 {
				for _, m := range machines {
					vs = append(vs, m.Visit(start.Add(time.Duration(i+k)*time.Minute)))
				}
			}
			record(b, db, vs...)
			must(b, db.CompactBefore(b.Context(), start.Add(time.Duration(i)*time.Minute)))
		}
		must(b, db.checkpoint(b.Context()))
		before, err := os.Stat(db.path)
		must(b, err)
		var worst atomic.Int64
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			m := storetest.NewMachine("busy", 100, 1)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				v := m.Visit(at(16.6).Add(time.Duration(i) * time.Second))
				begun := time.Now()
				if err := db.Record(b.Context(), v); err != nil {
					b.Error(err)
				}
				worst.Store(max(worst.Load(), int64(time.Since(begun))))
			}
		}()
		b.StartTimer()
		begun := time.Now()
		must(b, db.retain(b.Context(), at(16)))
		took := time.Since(begun)
		b.StopTimer()
		close(stop)
		<-stopped
		must(b, db.checkpoint(b.Context()))
		after, err := os.Stat(db.path)
		must(b, err)
		b.ReportMetric(took.Seconds()*1e3/8, "ms/hour-dropped")
		b.ReportMetric(float64(worst.Load())/1e6, "ms-longest-record")
		b.ReportMetric(float64(before.Size())/1e6, "MB-before")
		b.ReportMetric(float64(after.Size())/1e6, "MB-after")
		must(b, db.Close())
		b.StartTimer()
	}
}

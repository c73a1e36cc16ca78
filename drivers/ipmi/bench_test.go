package ipmi

import (
	"fmt"
	"testing"

	"dewline/health"
)

func BenchmarkReadings(b *testing.B) {
	for _, extra := range []int{0, 28, 120} {
		b.Run(fmt.Sprintf("sensors=%d", 32+extra), func(b *testing.B) {
			m := newSim(b, extra)
			c := m.open(b)
			s := mustRead(b, c, health.Request{Tiers: health.EveryTier})
			req := health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory}
			exchanges := 0
			b.ReportAllocs()
			for b.Loop() {
				exchanges += mustRead(b, c, req).Cost.Exchanges
			}
			b.ReportMetric(float64(exchanges)/float64(b.N), "exchanges/op")
		})
	}
}

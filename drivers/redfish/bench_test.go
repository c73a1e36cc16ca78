package redfish

import (
	"testing"

	"dewline/health"
)

// BenchmarkReadings is a warm visit of the readings tier over TLS on loopback, server included.
func BenchmarkReadings(b *testing.B) {
	for _, name := range []string{"classic", "modern"} {
		b.Run(name, func(b *testing.B) {
			srv := newService(b, ownTree(b, name))
			c := srv.open(b)
			s := read(b, c, health.Request{Tiers: health.EveryTier})
			srv.reset()
			b.ReportAllocs()
			n, requests, connections := 0, 0, 0
			for b.Loop() {
				w := read(b, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
				n++
				requests += w.Cost.Requests
				connections += w.Cost.Connections
			}
			b.ReportMetric(float64(requests)/float64(n), "requests/op")
			b.ReportMetric(float64(connections)/float64(n), "connections/op")
		})
	}
}

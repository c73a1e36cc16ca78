package redfish

import (
	"context"
	"os"
	"syscall"
	"testing"

	"dewline/health"
	"dewline/internal/secret"
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

// BenchmarkReadingsLive is the same against the service that DEWLINE_REDFISH names ("https://127.0.1.1:8443"), which is
// not verified; CPU is the client's alone.
func BenchmarkReadingsLive(b *testing.B) {
	address := os.Getenv("DEWLINE_REDFISH")
	if address == "" {
		b.Skip("DEWLINE_REDFISH names no service")
	}
	c, err := Open("live", Options{
		Address: address, Username: os.Getenv("DEWLINE_REDFISH_USERNAME"), Password: secret.New(os.Getenv("DEWLINE_REDFISH_PASSWORD")),
		TLS: TLS{Insecure: true},
	})
	if err != nil {
		b.Fatal(err)
	}
	cold := read(b, c, health.Request{Tiers: health.EveryTier})
	checkSnapshot(b, cold)
	var n, requests, connections int
	var start, end syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &start)
	for b.Loop() {
		w := read(b, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: cold.Memory})
		n++
		requests += w.Cost.Requests
		connections += w.Cost.Connections
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &end)
	cpu := end.Utime.Nano() + end.Stime.Nano() - start.Utime.Nano() - start.Stime.Nano()
	b.ReportMetric(float64(requests)/float64(n), "requests/op")
	b.ReportMetric(float64(connections)/float64(n), "connections/op")
	b.ReportMetric(float64(cpu)/float64(n)/1e6, "cpu-ms/op")
	b.ReportMetric(float64(cold.Cost.Requests), "cold-requests")
	if err := c.Close(context.WithoutCancel(b.Context())); err != nil {
		b.Fatal(err)
	}
}

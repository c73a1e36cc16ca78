package collector_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/store/influx"
	"dewline/store/influx/influxtest"
)

// BenchmarkDelayFromFaultToEvent: parts of simulated machines fail at random moments of fake time, are read at the default tiers by the
// real drivers, and each delay is from the fault to the end of the visit that makes an event of it, and to the moment when a real
// InfluxDB has taken it (reading and delivering take real time, which is added). Run it with -benchtime=100x or more.
func BenchmarkDelayFromFaultToEvent(b *testing.B) {
	type fault struct {
		name       string
		class      health.Class
		fail, mend func(m *bmcsim.Machine, i int)
	}
	faults := []fault{
		{"fan", health.ClassFan, (*bmcsim.Machine).FailFan, (*bmcsim.Machine).RepairFan},
		{"psu", health.ClassPSU, (*bmcsim.Machine).LosePSUInput, (*bmcsim.Machine).RestorePSUInput},
		{"drive", health.ClassDrive, (*bmcsim.Machine).FailDrive, (*bmcsim.Machine).RepairDrive}, // its state is read every 15 minutes, the log every minute
		{"leak", health.ClassLeakDetector, (*bmcsim.Machine).WetLeak, (*bmcsim.Machine).DryLeak},
	}
	server := influxtest.Start(b)
	server.Query("", "CREATE DATABASE hw")
	for _, x := range scenarioMachines {
		b.Run(fmt.Sprint(x.protocol, "-", x.profile.Name), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			s := newStage(b, x.profile, x.protocol)
			sink, err := influx.New(influx.Options{URL: server.URL, Bucket: "hw/autogen"}, s.db, func(health.TargetID) (health.Target, bool) { return health.Target{}, false })
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- sink.Run(ctx) }()
			defer func() {
				stop()
				<-done
			}()
			minute := time.Duration(0)
			tick := func() *health.Visit {
				v := s.visit(minute)
				minute += time.Minute
				return v
			}
			tick()
			var toEvent, toInflux []float64
			for b.Loop() {
				f := faults[len(toEvent)%len(faults)]
				for range r.IntN(20) { // any minute of the health tier's quarter of an hour
					tick()
				}
				began := minute - time.Minute + time.Duration(r.Int64N(int64(time.Minute)))
				s.now.Store(stageStart.Add(began).UnixNano())
				f.fail(s.machine, 0)
				for found := false; !found; {
					at := minute
					v := tick()
					read := time.Now()
					found = slices.ContainsFunc(v.Events, func(e health.Event) bool { return e.Class == f.class && e.Transition == health.Asserted })
					if !found {
						continue
					}
					toEvent = append(toEvent, (at - began + v.Took).Seconds())
					last, err := s.db.MaxSeq(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					for sink.State().Cursor < last {
						time.Sleep(time.Millisecond)
					}
					toInflux = append(toInflux, (at - began + v.Took + time.Since(read)).Seconds())
				}
				s.now.Store(stageStart.Add(minute - 30*time.Second).UnixNano())
				f.mend(s.machine, 0)
				for len(s.known.Faults) > 0 {
					tick()
				}
				minute += time.Hour // past the damping
			}
			for name, l := range map[string][]float64{"event": toEvent, "influxdb": toInflux} {
				slices.Sort(l)
				b.ReportMetric(l[len(l)/2], "p50-s-to-"+name)
				b.ReportMetric(l[len(l)*99/100], "p99-s-to-"+name)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

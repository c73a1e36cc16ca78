package influx

import (
	"fmt"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/influx/influxtest"
)

// fullVisit is one readings visit of a machine with 100 parts, each with two readings: what a two-socket server gives.
func fullVisit(n int) *health.Visit {
	v := simple(n)
	v.Snapshot = &health.Snapshot{}
	for i := range 100 {
		id := health.ComponentID(fmt.Sprintf("temperature/Sensor.Embedded.%d", i))
		v.Snapshot.Components = append(v.Snapshot.Components,
			health.Component{ID: id, Class: health.ClassTemperature, Presence: health.Present, State: health.OK})
		v.Snapshot.Readings = append(v.Snapshot.Readings,
			health.Reading{Component: id, Quantity: health.Temperature, Unit: health.Celsius, Value: 20 + float64((i+n)%100)/2},
			health.Reading{Component: id, Quantity: health.Power, Unit: health.Watt, Value: float64(i)})
	}
	return v
}

func BenchmarkEncode(b *testing.B) {
	v, tg := fullVisit(0), target()
	b.ReportAllocs()
	points := 0
	for b.Loop() {
		points += len(Encode(v, tg))
	}
	b.ReportMetric(float64(points)/b.Elapsed().Seconds(), "points/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(points), "ns/point")
}

// BenchmarkDeliver writes to a real server on this machine; points are encoded, compressed, sent, acknowledged.
func BenchmarkDeliver(b *testing.B) {
	srv := influxtest.Start(b)
	srv.Query("", `CREATE DATABASE hardware`)
	s, err := New(Options{URL: srv.URL, Bucket: "hardware/autogen", Timeout: time.Minute}, noLog{}, known)
	if err != nil {
		b.Fatal(err)
	}
	points, n := 0, 0
	for b.Loop() {
		visits := make([]*health.Visit, 49)
		for i := range visits {
			visits[i] = fullVisit(n)
			n++
		}
		for len(visits) > 0 {
			pts, k := s.take(visits)
			if rejected, err := s.put(b.Context(), pts); err != nil || len(rejected) > 0 {
				b.Fatal(rejected, err)
			}
			points += len(pts)
			visits = visits[k:]
		}
	}
	b.ReportMetric(float64(points)/b.Elapsed().Seconds(), "points/s")
}

type noLog struct{ Log }

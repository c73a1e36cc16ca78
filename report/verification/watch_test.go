package verification

import (
	"testing"
	"time"
)

// A good verdict is initial for thirty days of soak, then final and watched to ninety; hours that do not count move the dates. The whole is as
// far as the server that has the most left.
func TestAVerdictIsInitialThenFinalThenWatchedNoMore(t *testing.T) {
	t0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const day = 24
	at := func(days float64) time.Time { return t0.Add(time.Duration(days * day * float64(time.Hour))) }
	server := func(counted, since float64, reasons ...Reason) Server {
		return Server{
			Target: "a", Rack: "A1", Detectors: []Detector{{witness: true}}, Reasons: reasons,
			Windows: Windows{SoakFrom: t0, SoakTo: at(since), SoakPlanned: 72, SoakCounted: counted * day},
		}
	}
	bad := Reason{Gate: "critical_open", Limit: FaultFound, Key: "reason.open"}
	seen := Reason{Gate: "observed", Limit: Observations, Key: "reason.open"}
	for _, c := range []struct {
		name    string
		servers []Server
		verdict Verdict
		stage   Stage
		until   time.Time
	}{
		{"the soak is over", []Server{server(3, 3)}, Verified, Initial, at(30)},
		{"an hour before thirty days", []Server{server(30-1.0/24, 30-1.0/24)}, Verified, Initial, at(30)},
		{"thirty days", []Server{server(30, 30)}, Verified, Final, at(90)},
		{"thirty days, with observations", []Server{server(30, 30, seen)}, Observations, Final, at(90)},
		{"thirty-one days, of which two were off", []Server{server(29, 31)}, Verified, Initial, at(32)},
		{"an hour before ninety days", []Server{server(90-1.0/24, 90-1.0/24)}, Verified, Final, at(90)},
		{"ninety days", []Server{server(90, 90)}, Verified, Final, time.Time{}},
		{"ninety-five days, of which ten were off", []Server{server(85, 95)}, Verified, Final, at(100)},
		{"one of them has its thirty days, the other not", []Server{server(31, 31), server(20, 31)}, Verified, Initial, at(41)},
		{"one of them has its ninety days, the other not", []Server{server(95, 95), server(80, 95)}, Verified, Final, at(105)},
		{"a fault stands", []Server{server(30, 30), server(30, 30, bad)}, FaultFound, "", time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Report{Servers: c.servers}
			r.conclude(&Request{})
			if r.Verdict != c.verdict || r.Stage != c.stage || !r.WatchUntil.Equal(c.until) {
				t.Errorf("%s, %q until %v; want %s, %q until %v", r.Verdict, r.Stage, r.WatchUntil, c.verdict, c.stage, c.until)
			}
		})
	}
}

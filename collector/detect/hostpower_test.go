package detect_test

import (
	"testing"
	"time"

	"dewline/collector/detect"
	"dewline/health"
)

func TestAHostThatGoesOffIsAnEventAndNoFault(t *testing.T) {
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		was, now health.HostPower
		result   health.Result
		tier     health.Tier
		want     string
	}{
		"goes off":                               {health.HostOn, health.HostOff, health.Done, health.TierReadings, "the host is off"},
		"comes on":                               {health.HostOff, health.HostOn, health.Late, health.TierReadings, "the host is on"},
		"stays on":                               {health.HostOn, health.HostOn, health.Done, health.TierReadings, ""},
		"is not known any more":                  {health.HostOn, health.HostPowerUnknown, health.Done, health.TierReadings, ""},
		"was not known":                          {health.HostPowerUnknown, health.HostOff, health.Done, health.TierReadings, ""},
		"a visit that failed says nothing":       {health.HostOn, health.HostOff, health.Failed, health.TierReadings, ""},
		"a visit of other tiers does not ask it": {health.HostOn, health.HostOff, health.Done, health.TierHealth, ""},
	} {
		t.Run(name, func(t *testing.T) {
			known := health.NewKnown("db-1")
			known.HostPower = c.was
			v := &health.Visit{Target: "db-1", Started: at, Result: c.result, Due: map[health.Tier]time.Time{c.tier: at}, Snapshot: &health.Snapshot{HostPower: c.now}}
			e := detect.HostPower(known, v, 3)
			if (e == nil) != (c.want == "") {
				t.Fatalf("%+v", e)
			}
			if e == nil {
				return
			}
			if e.Message != c.want || e.FaultID != "" || e.Severity != health.SeverityInfo || !e.At.Equal(at.Add(3)) || e.ID == "" {
				t.Errorf("%+v", e)
			}
		})
	}
}

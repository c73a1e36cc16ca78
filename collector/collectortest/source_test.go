package collectortest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"dewline/collector/collectortest"
	"dewline/health"
)

// model is a driver of a machine in memory that keeps all rules.
type model struct{}

func (model) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	s := &health.Snapshot{Driver: health.DriverIPMI, HostPower: health.HostOn, Cost: health.Cost{Exchanges: 2}}
	if ctx.Err() != nil {
		return s, &health.Error{Reason: health.ReasonStopped, Op: "open session", Err: ctx.Err()}
	}
	fan := health.Component{ID: "sensor/1", Class: health.ClassFan, Name: "FAN1", Presence: health.Present, Place: "sdr", Tier: health.TierReadings}
	switch {
	case req.Tiers.Has(health.TierReadings):
		fan.State = health.OK
		s.Readings = []health.Reading{{Component: fan.ID, Quantity: health.Speed, Unit: health.RPM, Value: 4000}}
		s.Components, s.Scope = []health.Component{fan}, []string{"sdr"}
	case req.Tiers.Has(health.TierInventory):
		fan.StateNotRead = true
		s.Components = []health.Component{fan}
	}
	if req.Tiers.Has(health.TierInventory) {
		s.Identity = &health.Identity{Manufacturer: "Model"}
		s.Memory = json.RawMessage(`{"version":1}`)
	}
	if req.Tiers.Has(health.TierEvents) {
		var next int
		if json.Unmarshal(req.Cursors["sel"], &next) != nil {
			next = 0
		}
		info := health.LogInfo{ID: "sel", Path: "sel"}
		for ; next < 3; next++ {
			info.Read++
			s.Log = append(s.Log, health.LogEntry{Source: "sel", ID: fmt.Sprint(next), Key: fmt.Append(nil, next)})
		}
		s.Logs = []health.LogInfo{info}
		s.NextCursors = health.Cursors{"sel": fmt.Append(nil, next)}
	}
	return s, nil
}

func (model) Close(context.Context) error { return nil }

func TestADriverThatKeepsTheRulesPasses(t *testing.T) {
	collectortest.TestSource(t, func(*testing.T) (collectortest.Source, func()) { return model{}, nil })
}

// recorder is a test that notes its failures instead of failing.
type recorder struct {
	testing.TB
	said []string
}

func (*recorder) Helper()                      {}
func (r *recorder) Errorf(f string, as ...any) { r.said = append(r.said, fmt.Sprintf(f, as...)) }

func TestASnapshotThatBreaksARuleIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*health.Snapshot)
		says  string
	}{
		"a component twice":           {func(s *health.Snapshot) { s.Components = append(s.Components, s.Components[0]) }, "listed twice"},
		"a class of its own":          {func(s *health.Snapshot) { s.Components[0].Class = "blower" }, "class"},
		"absent and ok":               {func(s *health.Snapshot) { s.Components[0].Presence, s.Readings = health.Absent, nil }, "absent, and ok"},
		"a reading of nothing":        {func(s *health.Snapshot) { s.Readings[0].Component = "x" }, "no component"},
		"a reading twice":             {func(s *health.Snapshot) { s.Readings = append(s.Readings, s.Readings[0]) }, "given twice"},
		"a reading that is no number": {func(s *health.Snapshot) { s.Readings[0].Value = math.NaN() }, "of NaN"},
		"a threshold that is no number": {func(s *health.Snapshot) {
			v := math.Inf(1)
			s.Readings[0].Thresholds = &health.Thresholds{UpperFatal: &v}
		}, "of +Inf"},
		"a gap without a reason":           {func(s *health.Snapshot) { s.Gaps = []health.Gap{{Part: "x"}} }, "without a reason"},
		"text without end":                 {func(s *health.Snapshot) { s.Components[0].Status = strings.Repeat("x", health.MaxText+1) }, "bytes"},
		"text that is none":                {func(s *health.Snapshot) { s.Components[0].Name = "\xff" }, "no clean text"},
		"an entry of a log not listed":     {func(s *health.Snapshot) { s.Log[0].Source = "other" }, "does not list"},
		"an entry twice":                   {func(s *health.Snapshot) { s.Log = append(s.Log, s.Log[0]) }, "twice"},
		"an entry without a key":           {func(s *health.Snapshot) { s.Log[0].Key = nil }, "no key"},
		"a cursor of no log":               {func(s *health.Snapshot) { s.NextCursors = health.Cursors{"x": []byte("1")} }, "no path of a log"},
		"a cursor that is no JSON":         {func(s *health.Snapshot) { s.NextCursors = health.Cursors{"sel": []byte("{")} }, "no JSON"},
		"a kind of its own":                {func(s *health.Snapshot) { s.Components[0].Conditions = []health.Condition{{Kind: "sad"}} }, "of kind"},
		"a driver without a name":          {func(s *health.Snapshot) { s.Driver = "" }, "driver"},
		"a scope that says nothing":        {func(s *health.Snapshot) { s.Scope = []string{""} }, "or nothing"},
		"a log that counts what is not":    {func(s *health.Snapshot) { s.Logs[0].Read++ }, "says it read"},
		"a log of somebody else's name":    {func(s *health.Snapshot) { s.Logs = append(s.Logs, s.Logs[0]) }, "not the only one"},
		"a value that a driver worked out": {func(s *health.Snapshot) { s.Readings[0].Derived = true }, "derived"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := model{}.Read(t.Context(), health.Request{Tiers: health.EveryTier})
			if err != nil {
				t.Fatal(err)
			}
			r := &recorder{TB: t}
			if collectortest.CheckSnapshot(r, s); len(r.said) > 0 {
				t.Fatalf("a good snapshot: %q", r.said)
			}
			c.spoil(s)
			if collectortest.CheckSnapshot(r, s); !strings.Contains(strings.Join(r.said, "\n"), c.says) {
				t.Errorf("said %q, want %q", r.said, c.says)
			}
		})
	}
}

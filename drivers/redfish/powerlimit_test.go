package redfish

import (
	"testing"

	"dewline/health"
)

// TestPowerLimits: a limit is a reading while one is in force; null, 0 and a control that is off are none.
func TestPowerLimits(t *testing.T) {
	const env = "/redfish/v1/Chassis/tray/EnvironmentMetrics"
	limits := func(s *health.Snapshot) (out []float64) {
		for _, r := range s.Readings {
			if r.Quantity == health.PowerLimit {
				if r.Unit != health.Watt {
					t.Errorf("%+v", r)
				}
				out = append(out, r.Value)
			}
		}
		return out
	}
	for _, c := range []struct {
		name       string
		tree, path string
		key        string
		value      any
		want       []float64
	}{
		{"PowerControl with a limit", "classic", power, "PowerLimit", map[string]any{"LimitInWatts": 450, "LimitException": "NoAction"}, []float64{450}},
		{"PowerControl with none", "classic", power, "PowerLimit", map[string]any{"LimitInWatts": nil}, nil},
		{"PowerControl with a limit of 0", "classic", power, "PowerLimit", map[string]any{"LimitInWatts": 0}, nil},
		{"EnvironmentMetrics with a limit", "modern", env, "PowerLimitWatts", map[string]any{"SetPoint": 5200, "ControlMode": "Automatic"}, []float64{5200}},
		{"EnvironmentMetrics with a limit that says no mode", "modern", env, "PowerLimitWatts", map[string]any{"SetPoint": 5200.5}, []float64{5200.5}},
		{"EnvironmentMetrics with a control that is off", "modern", env, "PowerLimitWatts", map[string]any{"SetPoint": 5200, "ControlMode": "Disabled"}, nil},
		{"EnvironmentMetrics with a limit of null", "modern", env, "PowerLimitWatts", map[string]any{"SetPoint": nil, "ControlMode": "Automatic"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := ownTree(t, c.tree)
			change(t, tree, c.path, func(d map[string]any) {
				if c.path == power {
					d["PowerControl"] = []any{map[string]any{"Name": "System Power", "PowerConsumedWatts": 344.5, c.key: c.value}}
					return
				}
				d[c.key] = c.value
			})
			s, _ := everything(t, tree)
			if got := limits(s); len(got) != len(c.want) || len(got) == 1 && got[0] != c.want[0] {
				t.Errorf("limits %v, want %v", got, c.want)
			}
		})
	}
}

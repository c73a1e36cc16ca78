package config

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"dewline/health"
)

func TestEveryValueOfMoistureArrives(t *testing.T) {
	cfg := mustParse(t, filepath.Join(t.TempDir(), "dewline.toml"), `
[moisture]
class = "recommended"
corrosion = "G1"
tape = true
alarm_delay = "0s"
max_age = "10m"
humidity_error = 5
temperature_error = 0.5
margin_warning = 6.5
margin_critical = 3
[incidents]
window = "5m"
quiet = "1h"
scope = "site"
adjacent = [["A1", "A2"], ["A2", "A3"]]
`+oneCredential+`
[[target]]
name = "db-1"
address = "10.0.0.7"
credential = "bmc"
rack = "A1"
[input]
listen = "[::1]:9000"
token = "env:T"
rate = 5
[[probe]]
name = "room-1"
site = "bontang"
rack = "A1"
position = 3
[[probe.sensor]]
name = "rope"
quantity = "leak"
measurement = "m"
field = "f"
tags = { a = "b" }
scale = -0.1
context = "rack"
wet = ["1", "wet"]
dry = ["0"]
[[air]]
target = "room-1"
racks = ["A1"]
site = ""
[[leak_sensor]]
sensor = "Zone 7"
wet = [0]
`)
	for name, c := range map[string][2]any{
		"moisture":  {cfg.Moisture, Moisture{"recommended", "G1", true, 0, 10 * time.Minute, 5, 0.5, 6.5, 3}},
		"incidents": {cfg.Incidents, Incidents{5 * time.Minute, time.Hour, "site", [][]string{{"A1", "A2"}, {"A2", "A3"}}}},
		"input":     {*cfg.Input, Input{Listen: "[::1]:9000", Token: cfg.Input.Token, Rate: 5}},
		"token":     {cfg.Input.Token.String(), "env:T"},
		"probe": {cfg.Probes[0], Probe{
			Target:  health.Target{ID: "room-1", Driver: "push", Address: "push:", Site: "bontang", Rack: "A1", Position: 3},
			Sensors: []ProbeSensor{{"rope", "leak", "m", "f", map[string]string{"a": "b"}, -0.1, "rack", []string{"1", "wet"}, []string{"0"}}},
		}},
		"air":                      {cfg.Airs[0], Air{Target: "room-1", Racks: []string{"A1"}}},
		"leak sensor":              {cfg.LeakSensors[0], LeakSensor{Sensor: "Zone 7", Wet: []int{0}}},
		"the target's own sensors": {cfg.Targets[0].LeakSensors, cfg.LeakSensors},
		"warnings":                 {len(cfg.Warnings), 0},
	} {
		if !reflect.DeepEqual(c[0], c[1]) {
			t.Errorf("%s: got %+v, want %+v", name, c[0], c[1])
		}
	}
}

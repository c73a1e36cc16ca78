package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2/unstable"

	"dewline/health"
	"dewline/internal/quirk"
	"dewline/internal/schedule"
)

const exampleFile = "../../config.example.toml"

var compare = cmp.Options{
	cmp.Comparer(func(a, b schedule.Spec) bool { return a.String() == b.String() }),
	cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
	cmpopts.IgnoreUnexported(Config{}),
	cmp.Comparer(func(a, b map[string][]quirk.Quirk) bool { return reflect.DeepEqual(a, b) }),
}

func readExample(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var commented = regexp.MustCompile(`(?m)^#([^ #\n])`)

// uncommented is the example with its example lines in force.
func uncommented(t *testing.T) string { return commented.ReplaceAllString(readExample(t), "$1") }

func TestTheExampleIsTheDefaults(t *testing.T) {
	got, err := Parse(exampleFile, []byte(readExample(t)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, compare); diff != "" {
		t.Errorf("config.example.toml differs from Default() (-default +file):\n%s", diff)
	}
	empty, err := Parse("empty.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), empty, compare); diff != "" {
		t.Errorf("an empty file differs from Default() (-default +file):\n%s", diff)
	}
}

func TestTheCommentedExamplesParseToTheDefaults(t *testing.T) {
	got, err := Parse(exampleFile, []byte(uncommented(t)))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Warnings) > 0 {
		t.Errorf("the example warns: %v", got.Warnings)
	}
	if len(got.Targets) != 1 || got.InfluxDB == nil || got.Backup == nil {
		t.Fatalf("%d targets, influxdb %v", len(got.Targets), got.InfluxDB)
	}
	common, target, influx, backup := defaults()
	target.ID, target.Address, target.Position = "db-1", "10.0.0.7", 1
	target.Labels = map[string]string{"owner": "diskominfo"}
	target.Expect = health.Expect{Fans: new(6), PSUs: new(2), Drives: new(8)}
	target.Schedule = common.Schedule.Tiers
	target.Credential = got.Targets[0].Credential
	target.Quirks = got.Quirks
	if rows := got.Quirks[health.DriverRedfish]; len(rows) != 1 || len(rows[0].Effects) != 1 || rows[0].Deny == nil {
		t.Errorf("the [[quirk]] of the example is %+v", got.Quirks)
	}
	target.LeakSensors = []LeakSensor{{Sensor: "Water Leak", Wet: []int{1}, Dry: []int{0}}}
	if want := []Air{{Target: "db-1", Humidity: "humidity/Room Humidity", Temperature: "temperature/Room Temp", Targets: []health.TargetID{"db-1"}}}; !reflect.DeepEqual(got.Airs, want) {
		t.Errorf("[[air]] %+v", got.Airs)
	}
	if c := target.Credential; c.Name != "bmc" || c.Username != "monitor" || c.Password.String() != "file:/etc/dewline/bmc.pass" {
		t.Errorf("credential %+v", c)
	}
	if diff := cmp.Diff(*target, got.Targets[0], compare); diff != "" {
		t.Errorf("the [[target]] of the example differs from the defaults (-default +file):\n%s", diff)
	}
	input := defaultInput()
	input.Token = got.Input.Token
	if diff := cmp.Diff(input, got.Input, compare); diff != "" || input.Token.String() != "file:/etc/dewline/push.token" {
		t.Errorf("[input] of the example differs from the defaults (-default +file):\n%s", diff)
	}
	if p := got.Probes; len(p) != 1 || p[0].ID != "room-1" || p[0].Driver != "push" || len(p[0].Sensors) != 1 || p[0].Sensors[0].Scale != 1 || p[0].Sensors[0].Tags["source"] != "10.0.0.9" {
		t.Errorf("[[probe]] of the example: %+v", p)
	}
	supply := func(amps, volts float64) Supply {
		s := defaultSupply()
		s.Amps, s.Volts = amps, volts
		return s
	}
	if diff := cmp.Diff([]Budget{{Name: "bontang", Supply: supply(63, 400)}}, got.SiteBudgets); diff != "" {
		t.Errorf("[[site]] of the example (-default +file):\n%s", diff)
	}
	if diff := cmp.Diff([]Budget{{Name: "A1", Supply: supply(32, 230)}}, got.RackBudgets); diff != "" {
		t.Errorf("[[rack]] of the example (-default +file):\n%s", diff)
	}
	if diff := cmp.Diff([]Feed{{Name: "A1-left", PSUs: []string{"psu/1", "PSU 1"}, Supply: supply(16, 230)}}, got.Feeds); diff != "" {
		t.Errorf("[[feed]] of the example (-default +file):\n%s", diff)
	}
	backup.Path = "/mnt/backup/dewline"
	if diff := cmp.Diff(backup, got.Backup, compare); diff != "" {
		t.Errorf("[backup] of the example differs from the defaults (-default +file):\n%s", diff)
	}
	exampleOfNotify(t, &got.Notify)
	influx.URL, influx.Bucket, influx.Token = "http://127.0.0.1:8086", "hardware/autogen", got.InfluxDB.Token
	if got.InfluxDB.Token.String() != "env:INFLUX_TOKEN" {
		t.Errorf("token %s", got.InfluxDB.Token)
	}
	if diff := cmp.Diff(influx, got.InfluxDB, compare); diff != "" {
		t.Errorf("[influxdb] of the example differs from the defaults (-default +file):\n%s", diff)
	}
}

// exampleOfNotify compares the receivers of the example with their defaults.
func exampleOfNotify(t *testing.T, got *Notify) {
	t.Helper()
	if len(got.Alertmanagers)+len(got.Webhooks)+len(got.Mails)+len(got.Heartbeats) != 4 {
		t.Fatalf("receivers of the example: %+v", got)
	}
	a, w, m, h := defaultAlertmanager(), defaultWebhook(), defaultMail(), defaultHeartbeat()
	a.Name, a.URL = "alerts", got.Alertmanagers[0].URL
	w.Name, w.URL = "hook", got.Webhooks[0].URL
	m.Name, m.Host, m.Port, m.From, m.To = "oncall", "mail.example.org", 587, "dewline@example.org", []string{"oncall@example.org"}
	h.Name, h.URL = "alive", got.Heartbeats[0].URL
	want := Notify{[]Alertmanager{a}, []Webhook{w}, []Mail{m}, []Heartbeat{h}}
	if diff := cmp.Diff(want, *got, compare, cmp.AllowUnexported(Webhook{}, Mail{})); diff != "" {
		t.Errorf("[[notify]] of the example differs from the defaults (-default +file):\n%s", diff)
	}
}

// optionsOf lists the paths of every option of the raw structs; tables are no options.
func optionsOf(typ reflect.Type, path string) []string {
	var paths []string
	for f := range typ.Fields() {
		p := join(path, f.Tag.Get("toml"))
		switch {
		case f.Type.Kind() == reflect.Struct:
			paths = append(paths, optionsOf(f.Type, p)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			paths = append(paths, optionsOf(f.Type.Elem(), p)...)
		default:
			paths = append(paths, p)
		}
	}
	return paths
}

func TestTheExampleHasEveryOptionAndNoOther(t *testing.T) {
	root, faults, _ := parseTree(newSource(exampleFile, []byte(uncommented(t))))
	if len(faults) > 0 {
		t.Fatal(Faults(faults))
	}
	var there []string
	var walk func(tab *table, path string)
	walk = func(tab *table, path string) {
		for _, e := range tab.entries {
			p := join(path, e.name)
			switch {
			case p == "target.labels" || p == "probe.labels" || p == "probe.sensor.tags":
				there = append(there, p)
			case e.val.kind == unstable.Table:
				walk(e.val.table, p)
			case e.val.headers:
				for _, element := range e.val.list {
					walk(element.table, p)
				}
			default:
				there = append(there, p)
			}
		}
	}
	walk(root, "")
	want := optionsOf(reflect.TypeFor[rawFile](), "")
	slices.Sort(want)
	slices.Sort(there)
	if len(want) < 30 {
		t.Fatalf("only %d options were found by reflection", len(want))
	}
	if diff := cmp.Diff(want, there); diff != "" {
		t.Errorf("options of the raw structs and of config.example.toml (-structs +file):\n%s", diff)
	}
}

func TestEveryOptionOfTheExampleIsExplained(t *testing.T) {
	option := regexp.MustCompile(`^#?[a-z_]+ = `)
	lines := strings.Split(readExample(t), "\n")
	n := 0
	for i, line := range lines {
		if !option.MatchString(line) {
			continue
		}
		n++
		if i == 0 || !strings.HasPrefix(lines[i-1], "# ") {
			t.Errorf("line %d has no explanation above it: %s", i+1, line)
		}
	}
	if want := len(optionsOf(reflect.TypeFor[rawFile](), "")); n != want {
		t.Errorf("%d options found, want %d", n, want)
	}
}

package main

import (
	"strings"
	"testing"
	"time"

	"dewline/collector"
	"dewline/health"
)

func TestCells(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "fan 1": 5, "ventilasi °C": 12, "服务器": 6, "ｆａｎ": 6, "ﾌｧﾝ": 3, "кулер": 5, "e\u0301": 1, "🌬\uFE0F": 2, "팬": 2,
	} {
		if got := cells(text); got != want {
			t.Errorf("%q takes %d cells, want %d", text, got, want)
		}
		for width := 1; width <= want; width++ {
			if c := cut(text, width); cells(c) > width {
				t.Errorf("%q cut to %d cells is %q", text, width, c)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{6120: "6120", 23.5: "23.5", 12.0961: "12.096", 0: "0", -1e-9: "0", -3: "-3", 0.0005: "0.001", 100: "100"} {
		if got := number(v); got != want {
			t.Errorf("%v is printed as %q, want %q", v, got, want)
		}
	}
}

// TestHostileTexts: a BMC's words can neither move the cursor, nor turn the writing, nor break a line.
func TestHostileTexts(t *testing.T) {
	var b strings.Builder
	table := &table{out: &b, width: 60, head: []string{"STATE", "NAME", "READING"}, colour: true}
	for _, name := range []string{
		"a\x1b[2Jb", "\u009b31mred", "line\nbreak\r\ttab", "abc\u202egnp.exe", "\u2066iso", "x\u2028y", strings.Repeat("A", 1<<20), "lone \xff\x00", "服务器风扇 🌬\uFE0F",
	} {
		table.row("ok", name, "1 rpm")
	}
	table.row("warning", "ok", "")
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 11 {
		t.Errorf("%d lines for 10 rows", len(lines))
	}
	for _, l := range lines {
		plain := strings.NewReplacer("\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(l)
		if strings.ContainsAny(plain, "\x1b\u009b\u202e\u2066\u2028\r\t\x00") || cells(plain) > 60 {
			t.Errorf("a line of %d cells: %q", cells(plain), l)
		}
	}
	if strings.Count(b.String(), "\x1b[32m") != 9 {
		t.Errorf("a part named ok is painted as if it were: %q", lines[len(lines)-1])
	}
}

// On a narrow terminal a name is still a whole name.
func TestANarrowTerminalCutsNoName(t *testing.T) {
	const name = "rack-12-node-0417"
	head := []string{"TARGET", "DRIVER", "STATE", "SINCE", "FAULTS", "LAST TICK", "ERROR"}
	for width := 20; width <= 200; width += 10 {
		var b strings.Builder
		table := &table{out: &b, width: width, head: head}
		table.row(name, "redfish", "unreachable", "2026-11-23T07:00:00Z", "3", "readings late 12s", strings.Repeat("no route to host ", 4))
		table.row("db-1", "ipmi", "ok", "2026-11-23T07:00:00Z", "0", "readings done", "")
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		stacked := !strings.HasPrefix(lines[0], "TARGET")
		if !strings.Contains(b.String(), "db-1") || !strings.Contains(b.String(), name[:narrowName-1]) || (width <= 40) && (!stacked || !strings.Contains(b.String(), name)) || width >= 80 && stacked {
			t.Errorf("at %d columns, stacked %t:\n%s", width, stacked, b.String())
		}
		for _, l := range lines {
			if !stacked && cells(l) > width {
				t.Errorf("%d cells at %d columns: %q", cells(l), width, l)
			}
		}
		if stacked && !strings.Contains(b.String(), "  STATE      unreachable\n") {
			t.Errorf("at %d columns:\n%s", width, b.String())
		}
	}
}

// TestDemoFitsTheTerminal: nothing wraps at 80 columns, and the numbers of a server can be read there.
func TestDemoFitsTheTerminal(t *testing.T) {
	job := collector.Job{Target: health.Target{ID: "mail-1"}}
	v := newDemoView(&strings.Builder{}, &table{}, []collector.Job{job})
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	parts := []health.Component{
		{ID: "fan/1", Class: health.ClassFan, State: health.Critical}, {ID: "inlet", Class: health.ClassTemperature, Name: "Inlet Temp"},
		{ID: "room", Class: health.ClassHumidity}, {ID: "leak", Class: health.ClassLeakDetector, State: health.Unknown},
	}
	for i := range parts {
		parts[i].Tier, parts[i].Presence = health.TierReadings, health.Present
	}
	visit := &health.Visit{
		Target: "mail-1", Driver: health.DriverRedfish, Result: health.Done, Started: at,
		Snapshot: &health.Snapshot{HostPower: health.HostPowerUnknown, Components: parts, Readings: []health.Reading{
			{Component: "inlet", Quantity: health.Temperature, Value: -12.34}, {Component: "inlet", Quantity: health.CondensationMargin, Value: 10.55},
			{Component: "room", Quantity: health.RelativeHumidity, Value: 100}, {Component: "room", Quantity: health.DewPoint, Value: 22.7},
		}},
	}
	for _, f := range []health.Fault{
		{ID: "1", Kind: "humidity_high", Severity: health.SeverityWarning}, {ID: "2", Kind: "leak_detected", Severity: health.SeverityCritical},
		{ID: "3", Kind: "degraded", Severity: health.SeverityWarning},
	} {
		f.State = health.Asserted
		visit.Delta.Faults = append(visit.Delta.Faults, f)
		visit.Events = append(visit.Events, health.Event{
			At: at, Target: "mail-1", Component: health.ComponentID(strings.Repeat("long/", 30)), Kind: f.Kind, Transition: health.Asserted,
		})
	}
	v.visit(visit)
	for _, width := range []int{80, 120} {
		screen := v.screen(width, 24, at)
		lines := strings.Split(screen, "\n")
		if len(lines) > 24 {
			t.Errorf("%d lines on a terminal of 24", len(lines))
		}
		for _, l := range lines {
			if plain := strings.NewReplacer("\x1b[H", "", "\x1b[K", "", "\x1b[J", "").Replace(l); cells(plain) > width {
				t.Errorf("%d cells at %d columns: %q", cells(plain), width, plain)
			}
		}
		for _, want := range []string{"mail-1 ", "critical", "-12.3", "10.6", "100.0", "22.7", "unknown", "3 leak_"} {
			if !strings.Contains(screen, want) {
				t.Errorf("at %d columns there is no %q in:\n%s", width, want, screen)
			}
		}
	}
}

func TestLastTick(t *testing.T) {
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	tick := func(tier string, ago time.Duration, r health.Result) statusTier {
		return statusTier{Tier: tier, Due: formatTime(now.Add(-ago)), Result: r}
	}
	for want, tiers := range map[string][]statusTier{
		"never":                   nil,
		"5s ago: all done":        {tick("readings", 5*time.Second, health.Done), tick("health", time.Hour, health.Done)},
		"3h0m0s ago: all failed":  {tick("readings", 3*time.Hour, health.Failed)},
		"5s ago: readings failed": {tick("readings", 5*time.Second, health.Failed), tick("health", time.Hour, health.Done)},
		"1s ago: events failed; readings, health missed": {
			tick("readings", time.Second, health.Missed), tick("events", time.Second, health.Failed), tick("health", time.Hour, health.Missed),
		},
	} {
		if got := lastTick(tiers, now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestNoFaultIsNotAllWell(t *testing.T) {
	var out strings.Builder
	p := &program{stdout: &out, getenv: func(string) string { return "" }}
	for want, d := range map[string]*pollDoc{
		"no fault in this reading\n": {Components: []pollComponent{{ID: "fan/1", Presence: "present", State: "ok"}, {ID: "fan/2", Presence: "absent", State: "critical"}}},
		"no fault in this reading, but 1 part in warning or critical state, but 2 parts could not be read: unknown is not ok\n": {
			Components: []pollComponent{{ID: "bmc", Presence: "present", State: "critical"}}, Gaps: []pollGap{{}, {}},
		},
	} {
		out.Reset()
		if err := p.printPoll(d, false); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v: no %q in %q", err, want, out.String())
		}
	}
}

package ipmi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/secret"
)

// Units as ipmitool prints them, and how ours come from them.
var ipmitoolUnits = map[string]struct {
	unit  health.Unit
	scale float64
}{
	"RPM": {health.RPM, 1}, "degrees C": {health.Celsius, 1}, "Volts": {health.Volt, 1}, "Watts": {health.Watt, 1},
	"Amps": {health.Ampere, 1}, "percent": {health.Percent, 1}, "CFM": {health.CubicMPerHour, 0.3048 * 0.3048 * 0.3048 * 60},
	"liters": {health.Litre, 1},
}

func checkNumbers(t *testing.T, m *simMachine, s *health.Snapshot, rename func(string) string) {
	t.Helper()
	rows := strings.Split(strings.TrimSpace(m.ipmitool(t, "-c", "sdr", "list", "full")), "\n")
	if len(rows) < 22 {
		t.Fatalf("ipmitool lists %d sensors", len(rows))
	}
	byName := map[string]health.Reading{}
	for _, c := range s.Components {
		for _, r := range s.Readings {
			if r.Component == c.ID && c.Place == placeSDR {
				byName[c.Name] = r
			}
		}
	}
	if len(byName) != len(rows) {
		t.Errorf("%d readings, ipmitool has %d", len(byName), len(rows))
	}
	for _, row := range rows {
		f := strings.Split(row, ",")
		name := rename(f[0])
		r, ok := byName[name]
		if !ok {
			t.Errorf("no reading of %q", name)
			continue
		}
		u, known := ipmitoolUnits[f[2]]
		if !known {
			t.Fatalf("%s: ipmitool's unit %q is not in the test's table", name, f[2])
		}
		want, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, decimals, _ := strings.Cut(f[1], ".")
		printed := 0.5 * math.Pow(10, -float64(len(decimals)))
		if got := r.Value / u.scale; math.Abs(got-want) > printed*1.0001 || r.Unit != u.unit {
			t.Errorf("%s = %v %s, ipmitool says %s %s", name, r.Value, r.Unit, f[1], f[2])
		}
	}
}

func TestEveryNumberEqualsIpmitool(t *testing.T) {
	t.Parallel()
	m := newSim(t, 40)
	c := m.open(t, func(o *Options) { o.CipherSuites = nil }) // 17 is refused, 3 taken
	s := mustRead(t, c, health.Request{Tiers: health.EveryTier})
	checkNumbers(t, m, s, func(n string) string { return n })
	if s.HostPower != health.HostOn {
		t.Errorf("host power %v", s.HostPower)
	}
	if len(s.Gaps) != 0 {
		t.Errorf("gaps: %+v", s.Gaps)
	}
	r, _ := readingOf(s, "temperature/Inlet Temp", health.Temperature)
	if r.Thresholds == nil || r.Thresholds.UpperCaution == nil || *r.Thresholds.UpperCaution != 38 || r.Thresholds.LowerCritical != nil {
		t.Errorf("thresholds of the inlet: %+v", r.Thresholds)
	}
	if r, ok := readingOf(s, "voltage/Vbus 12V", health.Voltage); !ok || r.Thresholds == nil || math.Abs(*r.Thresholds.LowerCritical-10.773) > 1e-9 {
		t.Errorf("12 V: %+v", r)
	}
	for _, class := range []health.Class{health.ClassFan, health.ClassPSU, health.ClassDrive, health.ClassTemperature, health.ClassHumidity, health.ClassLeakDetector, health.ClassIntrusion, health.ClassCPU} {
		if !slices.ContainsFunc(s.Components, func(c health.Component) bool { return c.Class == class }) {
			t.Errorf("no component of class %s", class)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	// A closed client opens again by itself.
	mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestSixBitNamesCostNothing(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0, "SIXBIT=1")
	s := mustRead(t, m.open(t), health.Request{Tiers: health.EveryTier})
	if len(s.Gaps) != 0 {
		t.Errorf("gaps: %+v", s.Gaps)
	}
	// ipmitool cannot read these two names; what it prints stands in the records' order.
	rows := strings.Split(strings.TrimSpace(m.ipmitool(t, "-c", "sdr", "list", "full")), "\n")
	names := map[string]string{strings.Split(rows[11], ",")[0]: "12V", strings.Split(rows[12], ",")[0]: "3.3VCC"}
	checkNumbers(t, m, s, func(n string) string {
		if real, ok := names[n]; ok {
			return real
		}
		return n
	})
	if psu := componentOf(t, s, "psu/PSU1 Status"); psu.Serial != "PS-bmc" {
		t.Errorf("a FRU locator with a 6-bit name is lost: %+v", psu)
	}
}

func TestInventoryEqualsIpmitool(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	s := mustRead(t, m.open(t), health.Request{Tiers: health.TiersOf(health.TierInventory)})
	fru := m.ipmitool(t, "fru")
	field := func(device int, name string) string {
		part := strings.Split(fru, "FRU Device Description")[device+1]
		for line := range strings.Lines(part) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
				return strings.TrimSpace(v)
			}
		}
		t.Fatalf("ipmitool prints no %s for FRU %d", name, device)
		return ""
	}
	id := s.Identity
	if id == nil {
		t.Fatal("no identity")
	}
	psu := componentOf(t, s, "psu/PSU1 Status")
	for _, x := range []struct{ what, got, want string }{
		{"manufacturer", id.Manufacturer, field(0, "Product Manufacturer")},
		{"model", id.Model, field(0, "Product Name")},
		{"serial", id.Serial, field(0, "Product Serial")},
		{"part number", id.SKU, field(0, "Product Part Number")},
		{"asset tag", id.AssetTag, field(0, "Product Asset Tag")},
		{"power supply's maker", psu.Manufacturer, field(1, "Product Manufacturer")},
		{"power supply's model", psu.Model, field(1, "Product Name")},
		{"power supply's serial", psu.Serial, field(1, "Product Serial")},
		{"power supply's part number", psu.PartNumber, field(1, "Product Part Number")},
	} {
		if x.got != x.want || x.got == "" {
			t.Errorf("%s %q, ipmitool says %q", x.what, x.got, x.want)
		}
	}
	if !psu.StateNotRead {
		t.Error("the inventory alone claims to know the state of a power supply")
	}
	mc := m.ipmitool(t, "mc", "info")
	if !strings.Contains(mc, "Firmware Revision         : "+id.BMCFirmware) {
		t.Errorf("firmware %q, ipmitool says:\n%s", id.BMCFirmware, mc)
	}
}

// rawSEL is the log as ipmitool reads it.
func (m *simMachine) rawSEL(t testing.TB) [][]byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sel")
	m.ipmitool(t, "sel", "writeraw", file)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) { // an empty log makes no file
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for c := range slices.Chunk(b, 16) {
		if c[2] >= selTimestampOEM && c[2] < selPlainOEM { // ipmitool writes the manufacturer the other way round
			c[7], c[9] = c[9], c[7]
		}
		out = append(out, c)
	}
	return out
}

func TestLogEqualsIpmitoolAndIsReadOnce(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	m.ipmitool(t, "sel", "time", "set", "now")
	m.tell(t, "sensor_set_bit 0x20 0 28 1 1 1", "sensor_set_value 0x20 0 7 95 1", "sensor_set_bit 0x20 0 26 1 1 1",
		"sel_add 0x20 0xc0 1 2 3 4 5 6 7 8 9 10 11 12 13", "sel_add 0x20 0x02 0 0 0 0 0x20 0x00 0x04 0x23 0x00 0x6f 0x01 0xff 0xff")
	c := m.open(t)
	s := mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings, health.TierEvents)})
	raw := m.rawSEL(t)
	if len(raw) < 7 || len(s.Log) != len(raw) {
		t.Fatalf("%d entries, ipmitool has %d", len(s.Log), len(raw))
	}
	elist := strings.Split(strings.TrimSpace(m.ipmitool(t, "-c", "sel", "elist")), "\n")
	for i, e := range s.Log {
		if hex.EncodeToString(e.Raw) != hex.EncodeToString(raw[i]) {
			t.Errorf("entry %d: % x, ipmitool has % x", i, e.Raw, raw[i])
		}
		f := strings.Split(elist[i], ",") // id, date, time, sensor, event, direction
		if id, err := strconv.ParseUint(f[0], 16, 16); err != nil || fmt.Sprint(id) != e.ID {
			t.Errorf("entry %d: ID %s, ipmitool says %s", i, e.ID, f[0])
		}
		if e.SEL == nil {
			continue
		}
		if !e.Created.IsZero() && e.Created.Format("01/02/2006 15:04:05") != f[1]+" "+strings.TrimSuffix(f[2], " UTC") && e.Created.Format("01/02/06 15:04:05") != f[1]+" "+strings.TrimSuffix(f[2], " UTC") {
			t.Errorf("entry %d: created %v, ipmitool says %s %s", i, e.Created, f[1], f[2])
		}
		if !strings.Contains(f[3], e.Origin) {
			t.Errorf("entry %d: of sensor %q, ipmitool says %q", i, e.Origin, f[3])
		}
	}
	leak := s.Log[0]
	if leak.Component != "leak_detector/Water Leak" || leak.Kind != health.KindLeakDetected || leak.Severity != health.SeverityWarning || leak.Cleared {
		t.Errorf("leak entry: %+v", leak)
	}
	if i := slices.IndexFunc(s.Log, func(e health.LogEntry) bool {
		return e.Origin == "CPU1 Temp" && e.Kind == health.KindOverThreshold && e.Severity == health.SeverityCritical
	}); i < 0 {
		t.Errorf("no critical entry of CPU1 Temp: %+v", s.Log)
	}

	// Nothing new: one exchange for the log.
	req := health.Request{Tiers: health.TiersOf(health.TierEvents), Cursors: s.NextCursors, Memory: s.Memory}
	s = mustRead(t, c, req)
	if len(s.Log) != 0 || s.Cost.Exchanges != 1 {
		t.Errorf("unchanged log: %d entries, %d exchanges", len(s.Log), s.Cost.Exchanges)
	}
	// The recovery is read alone, one exchange more than the info, and as a recovery.
	m.tell(t, "sensor_set_bit 0x20 0 28 1 0 1")
	req.Cursors = s.NextCursors
	s = mustRead(t, c, req)
	if len(s.Log) != 1 || !s.Log[0].Cleared || s.Log[0].Kind != health.KindLeakDetected || s.Log[0].Severity == health.SeverityCritical {
		t.Fatalf("recovery: %+v", s.Log)
	}
	if s.Cost.Exchanges > 3 {
		t.Errorf("%d exchanges for one new entry", s.Cost.Exchanges)
	}
	generation := s.Log[0].Generation

	// Cleared, then refilled: said, and the reused ID is of another generation.
	m.ipmitool(t, "sel", "clear")
	for deadline := time.Now().Add(5 * time.Second); len(m.rawSEL(t)) > 0 && time.Now().Before(deadline); {
	}
	m.tell(t, "sensor_set_bit 0x20 0 28 1 1 1")
	req.Cursors = s.NextCursors
	s = mustRead(t, c, req)
	if len(s.Logs) != 1 || !s.Logs[0].Cleared {
		t.Errorf("the clear was not noticed: %+v", s.Logs)
	}
	if len(s.Log) != 1 || s.Log[0].Generation == generation {
		t.Errorf("after the clear: %+v", s.Log)
	}
}

func TestChangesAtRunTimeShow(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	c := m.open(t)
	req := health.Request{Tiers: health.TiersOf(health.TierReadings)}
	s := mustRead(t, c, req)
	req.Memory = s.Memory
	leak := componentOf(t, s, "leak_detector/Water Leak")
	if leak.State == health.OK {
		t.Error("a detector of unknown polarity is called dry")
	}
	if sev, named := conditionOf(leak, health.KindLeakDetected); !named || sev != health.SeverityOK {
		t.Errorf("dry leak detector: %+v", leak)
	}
	if d := componentOf(t, s, "drive/Drive 0"); d.State != health.OK || d.Presence != health.Present {
		t.Errorf("drive: %+v", d)
	}
	m.tell(t, "sensor_set_bit 0x20 0 28 1 1 0", "sensor_set_bit 0x20 0 28 0 0 0", "sensor_set_bit 0x20 0 26 1 1 0", "sensor_set_bit 0x20 0 27 0 0 0",
		"sensor_set_value 0x20 0 7 95 0", "sensor_set_value 0x20 0 1 5 0", "sensor_set_value 0x20 0 17 85 0", "sensor_set_bit 0x20 0 23 3 1 0",
		"sensor_set_bit 0x20 0 25 0 0 0", "sensor_set_bit 0x20 0 25 5 1 0", "sensor_set_bit 0x20 0 29 1 1 0")
	s = mustRead(t, c, req)
	for _, want := range []struct {
		id       health.ComponentID
		kind     health.Kind
		severity health.Severity
		state    health.State
	}{
		{"leak_detector/Water Leak", health.KindLeakDetected, health.SeverityWarning, health.Warning},
		{"leak_detector/Leak OEM", health.KindLeakDetected, health.SeverityWarning, health.Warning},
		{"drive/Drive 0", health.KindFailed, health.SeverityCritical, health.Critical},
		{"temperature/CPU1 Temp", health.KindOverThreshold, health.SeverityCritical, health.Critical},
		{"fan/Fan 1", health.KindFailed, health.SeverityCritical, health.Critical},
		{"humidity/Inlet RH", health.KindHumidityHigh, health.SeverityWarning, health.Warning},
		{"psu/PSU1 Status", health.KindInputLost, health.SeverityCritical, health.Critical},
		{"power_unit/PSU Redund", health.KindRedundancyLost, health.SeverityCritical, health.Critical},
	} {
		got := componentOf(t, s, want.id)
		if sev, _ := conditionOf(got, want.kind); sev != want.severity || got.State != want.state {
			t.Errorf("%s: %s %v, state %v; want %v, %v (%s)", want.id, want.kind, sev, got.State, want.severity, want.state, got.Status)
		}
	}
	if d := componentOf(t, s, "drive/Drive 1"); d.Presence != health.Absent || d.State != health.Unknown {
		t.Errorf("a pulled drive: %+v", d)
	}
	if r, _ := readingOf(s, "fan/Fan 1", health.Speed); r.Value != 500 {
		t.Errorf("fan 1: %v", r.Value)
	}
}

func TestSixtySensorsInSixtyTwoExchanges(t *testing.T) {
	t.Parallel()
	m := newSim(t, 28) // 32 of its own
	c := m.open(t)
	req := health.Request{Tiers: health.EveryTier}
	s := mustRead(t, c, req)
	req = health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory, Cursors: s.NextCursors}
	warm := mustRead(t, c, req)
	if n := countSensors(warm); n != 60 {
		t.Fatalf("%d sensors", n)
	}
	if warm.Cost.Exchanges > 62 {
		t.Errorf("%d exchanges for 60 sensors", warm.Cost.Exchanges)
	}
	req.Tiers = health.TiersOf(health.TierReadings, health.TierEvents)
	both := mustRead(t, c, req)
	if both.Cost.Exchanges != warm.Cost.Exchanges+1 {
		t.Errorf("the unchanged log costs %d exchanges", both.Cost.Exchanges-warm.Cost.Exchanges)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Another process with the committed memory opens a session and compares the stamp, and reads no record again.
	again := m.open(t)
	req.Tiers = health.TiersOf(health.TierReadings)
	s = mustRead(t, again, req)
	if s.Cost.Exchanges > warm.Cost.Exchanges+5 {
		t.Errorf("%d exchanges after a restart, %d before", s.Cost.Exchanges, warm.Cost.Exchanges)
	}
	if len(s.Components) != len(warm.Components) {
		t.Errorf("%d components after a restart, %d before", len(s.Components), len(warm.Components))
	}
	t.Logf("warm %d, after a restart %d, memory %d bytes", warm.Cost.Exchanges, s.Cost.Exchanges, len(req.Memory))
}

func countSensors(s *health.Snapshot) int {
	n := 0
	for _, c := range s.Components {
		if c.Place == placeSDR {
			n++
		}
	}
	return n
}

// impatient is for BMCs that are known to keep silent; elsewhere a busy machine must not make for retries.
func impatient(o *Options) { o.Timeout = 300 * time.Millisecond }

func TestBMCRestartInMidSession(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	c := m.open(t, impatient)
	s := mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
	m.stop()
	if _, err := c.Read(t.Context(), health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory}); health.ReasonFor(err) != health.ReasonUnreachable && health.ReasonFor(err) != health.ReasonTimeout {
		t.Errorf("read of a dead BMC: %v", err)
	}
	m.start(t)
	mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	// Restarted between two visits: the second opens a new session by itself.
	m.stop()
	m.start(t)
	s2 := mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if len(s2.Gaps) != 0 || len(s2.Readings) != len(s.Readings) {
		t.Errorf("after the restart: %d readings of %d, gaps %+v", len(s2.Readings), len(s.Readings), s2.Gaps)
	}
}

func TestBMCRestartInMidVisit(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", m.port), "127.0.0.1:0")
	c := m.open(t, impatient, func(o *Options) { o.Address = p.address() })
	s := mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
	n := 0
	p.set(func(d []byte) [][]byte {
		if n++; n == 10 {
			m.stop()
			m.start(t)
		}
		return [][]byte{d}
	}, nil)
	s2 := mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if len(s2.Gaps) != 0 || len(s2.Readings) != len(s.Readings) {
		t.Errorf("%d readings of %d, gaps %+v", len(s2.Readings), len(s.Readings), s2.Gaps)
	}
}

func TestWrongPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	for _, x := range []struct{ name, user, password string }{
		{"a wrong password", "monitor", "monpass2"},
		{"an unknown user", "nobody", "monpass1"},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", m.port), "127.0.0.1:0")
			c := m.open(t, impatient, func(o *Options) {
				o.Address, o.Username, o.Password = p.address(), x.user, secret.New(x.password)
			})
			s, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier})
			if health.ReasonFor(err) != health.ReasonDenied {
				t.Fatalf("error %v", err)
			}
			if strings.Contains(err.Error(), x.password) {
				t.Error("the error holds the password")
			}
			if n := p.count(isPayload(payloadRAKP1)); n != 1 {
				t.Errorf("%d times RAKP 1", n)
			}
			if s == nil || s.Cost.Exchanges != p.total() {
				t.Errorf("cost %+v, %d datagrams sent", s, p.total())
			}
		})
	}
}

func TestAnOperatorSessionRisesToItsPrivilege(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	c := m.open(t, func(o *Options) { o.Username, o.Password, o.Privilege = "oper", secret.New("operpass"), "operator" })
	mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", m.port), "[::1]:0")
	c := m.open(t, func(o *Options) { o.Address = p.address() })
	if !strings.HasPrefix(p.address(), "ipmi://[::1]:") {
		t.Fatal(p.address())
	}
	mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
}

func TestDeadlineCutsAVisitShort(t *testing.T) {
	t.Parallel()
	m := newSim(t, 0)
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", m.port), "127.0.0.1:0")
	c := m.open(t, func(o *Options) { o.Address, o.Timeout = p.address(), 10*time.Second })
	s := mustRead(t, c, health.Request{Tiers: health.TiersOf(health.TierReadings)})
	n := 0
	hung := make(chan struct{})
	p.set(func(d []byte) [][]byte {
		if n++; n == 10 {
			close(hung)
		}
		if n >= 10 {
			return nil
		}
		return [][]byte{d}
	}, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-hung; cancel(nil) }()
	begin := time.Now()
	cut, err := c.Read(ctx, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
	if err != nil {
		t.Fatalf("something was read: %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("stopped after %v", d)
	}
	if slices.Contains(cut.Scope, placeSDR) || len(cut.Gaps) == 0 || cut.Gaps[0].Reason != health.ReasonStopped {
		t.Errorf("scope %v, gaps %+v", cut.Scope, cut.Gaps)
	}
	if len(cut.Readings) == 0 || len(cut.Readings) >= len(s.Readings) {
		t.Errorf("%d readings of %d", len(cut.Readings), len(s.Readings))
	}
}

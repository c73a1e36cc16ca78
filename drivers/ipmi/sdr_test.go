package ipmi

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
)

func someRecords(n int) [][]byte {
	var out [][]byte
	for i := range n {
		out = append(out, fullRecord(uint16(i+1), uint8(i+1), typeTemperature, 1, fmt.Sprintf("Temperature %02d", i)))
	}
	return out
}

func TestTheRepositoryIsReadInTheChunksTheBMCGives(t *testing.T) {
	for _, x := range []struct{ limit, chunk, exchanges int }{
		{0, wholeRecord, 10}, {32, 32, 10*2 + 4}, {16, 16, 10*4 + 5}, {20, 16, 10*4 + 5},
	} {
		t.Run(fmt.Sprintf("at most %d bytes", x.limit), func(t *testing.T) {
			f, s := newFake(t), sdrsOf(someRecords(10)...)
			s.limit = x.limit
			s.serve(f)
			repo, gaps, err := readRepository(t.Context(), f, s.info, nil)
			if err != nil || len(gaps) != 0 || len(repo.sensors) != 10 || repo.Chunk != x.chunk {
				t.Fatalf("%d sensors, chunk %d, %v %v", len(repo.sensors), repo.Chunk, gaps, err)
			}
			if f.total > x.exchanges {
				t.Errorf("%d exchanges, want at most %d", f.total, x.exchanges)
			}
			f.total = 0
			if _, _, err = readRepository(t.Context(), f, s.info, &repository{Chunk: repo.Chunk}); err != nil || f.total > x.exchanges-2 && x.limit > 0 {
				t.Errorf("with the chunk known: %d exchanges, %v", f.total, err)
			}
		})
	}
}

func TestWhatOneBadRecordCosts(t *testing.T) {
	good := someRecords(5)
	for _, x := range []struct {
		name    string
		spoil   func(s *fakeSDRs)
		sensors int
		gaps    int
	}{
		{"a record too short for its type", func(s *fakeSDRs) { s.records[3] = append(good[2][:4:4], 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10) }, 4, 1},
		{"a record that claims more than comes", func(s *fakeSDRs) { s.records[3] = good[2][:30] }, 4, 1},
		{"an empty record", func(s *fakeSDRs) { s.records[3] = nil }, 4, 1},
		{"a record that cannot be read", func(s *fakeSDRs) { delete(s.records, 3) }, 4, 1},
		{"a chain that leads back before all were read", func(s *fakeSDRs) { s.next[4] = 2 }, 4, 1},
		{"a chain that leads back after all were read", func(s *fakeSDRs) { s.next[5] = 2 }, 5, 0},
		{"a chain that leads to itself", func(s *fakeSDRs) { s.next[3] = 3 }, 3, 1},
		{"a reservation that is cancelled three times", func(s *fakeSDRs) { s.limit, s.cancel = 32, 3 }, 5, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			f, s := newFake(t), sdrsOf(good...)
			f.maxCalls = 200
			x.spoil(s)
			s.serve(f)
			repo, gaps, err := readRepository(t.Context(), f, s.info, nil)
			if err != nil || len(repo.sensors) != x.sensors || len(gaps) != x.gaps || (repo.Bad > 0) != (x.gaps > 0) {
				t.Errorf("%d sensors, bad %d, gaps %+v, %v", len(repo.sensors), repo.Bad, gaps, err)
			}
			for _, g := range gaps {
				if g.Place != "" || g.Component != "" {
					t.Errorf("a gap that concerns more than its record: %+v", g)
				}
			}
		})
	}
}

func TestDeviceRecordsWhereThereIsNoRepository(t *testing.T) {
	f, s := newFake(t), sdrsOf(someRecords(3)...)
	f.on(netFnSensor, 0x20, func(command) ([]byte, error) { return []byte{3, 0x81, 1, 2, 3, 4}, nil })
	f.on(netFnSensor, 0x22, func(command) ([]byte, error) { return []byte{0, 0}, nil })
	f.on(netFnSensor, 0x21, s.get)
	v := f.visit(health.TierReadings)
	if err := v.ensureSDR(t.Context()); err != nil || len(v.mem.SDR.sensors) != 3 || !v.mem.SDR.Stamp.Device {
		t.Fatalf("%+v %v", v.mem.SDR, err)
	}
}

func TestARepositoryIsKeptUntilItsStampChanges(t *testing.T) {
	f, s := newFake(t), sdrsOf(someRecords(4)...)
	s.serve(f)
	v := f.visit(health.TierInventory)
	if err := v.ensureSDR(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v.mem)
	if err != nil {
		t.Fatal(err)
	}
	mem, err := loadMemory(raw)
	if err != nil || len(mem.SDR.sensors) != 4 || !reflect.DeepEqual(mem.SDR.sensors[0].id, v.mem.SDR.sensors[0].id) {
		t.Fatalf("%+v %v", mem, err)
	}
	read := func() int {
		w := f.visit(health.TierInventory)
		w.mem = mem
		before := f.calls[[2]uint8{netFnStorage, 0x23}]
		if err := w.ensureSDR(t.Context()); err != nil {
			t.Fatal(err)
		}
		mem = w.mem
		return f.calls[[2]uint8{netFnStorage, 0x23}] - before
	}
	if n := read(); n != 0 {
		t.Errorf("%d records read again", n)
	}
	s.info.Add++
	if n := read(); n != 4 {
		t.Errorf("%d records read after a change", n)
	}
	for _, bad := range []string{`{"v":1,"sdr":{"records":"AAAA"}}`, `{"v":9}`, `[]`, `{"v":1,"sdr":{"chunk":-1,"records":null}}`} {
		if m, _ := loadMemory(json.RawMessage(bad)); m == nil {
			t.Errorf("%s gives no memory", bad)
		}
	}
}

func TestSharedRecords(t *testing.T) {
	b := compactRecord(1, 40, typeDriveSlot, eventSpecific, 0x1ff, "Bay ")
	b[23], b[24] = 4, 0x80|1 // four sensors, numeric from 1, instances count up
	d, err := decodeRecord(b)
	if err != nil || len(d.sensors) != 4 {
		t.Fatalf("%+v %v", d, err)
	}
	for i, s := range d.sensors {
		if s.name != fmt.Sprintf("Bay%d", i+1) || s.key.number != uint8(40+i) || s.instance != uint8(1+i) {
			t.Errorf("%d: %+v", i, s)
		}
	}
	b[23], b[24] = 0x10|3, 25 // letters from Z
	if d, _ = decodeRecord(b); d.sensors[0].name != "BayZ" || d.sensors[1].name != "BayAA" || d.sensors[2].name != "BayAB" {
		t.Errorf("%v", d.sensors)
	}
}

func TestNamesThatAreShared(t *testing.T) {
	repo := &repository{Records: records{
		fullRecord(1, 1, typeTemperature, 1, "Temp"), fullRecord(2, 2, typeTemperature, 1, "Temp"), fullRecord(3, 3, typeFan, 18, "Temp"),
	}}
	repo.build()
	var got []string
	for _, p := range repo.sensors {
		got = append(got, string(p.id))
	}
	if want := []string{"temperature/Temp #01", "temperature/Temp #02", "fan/Temp"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestNames(t *testing.T) {
	for _, x := range []struct {
		name string
		tl   byte
		data []byte
		want string
	}{
		{"8-bit text", 0xc5, []byte("Fan 1"), "Fan 1"},
		{"8-bit text, padded", 0xc8, []byte("Fan 1\x00\x00\x00"), "Fan 1"},
		{"Latin 1", 0xc3, []byte{'T', 0xb0, 'C'}, "T°C"},
		{"6-bit, length in bytes", 0x83, []byte{0x29, 0xdc, 0xa6}, "IPMI"},
		{"6-bit, length in characters", 0x84, []byte{0x29, 0xdc, 0xa6}, "IPMI"},
		{"BCD plus", 0x42, []byte{0x12, 0xc3}, "12.3"},
		{"control characters", 0xc6, []byte("F\x1b[2J1"), "F[2J1"},
		{"a length beyond the record", 0xdf, []byte("ab"), "ab"},
		{"nothing", 0xc0, nil, ""},
		{"two bytes a character", 0x0a, []byte("F\x00a\x00n\x00 \x001\x00"), "Fan 1"},
		{"two bytes a character, high first", 0x0a, []byte("\x00F\x00a\x00n\x00 \x001"), "Fan 1"},
		{"one letter, padded", 0xc4, []byte("F\x00\x00\x00"), "F"},
	} {
		if got := decodeID(x.tl, x.data); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
}

func TestConversion(t *testing.T) {
	// raw 54h, M=4, B=0, K1=0, K2=-2 is 3.36.
	s := sensor{factors: types.ReadingFactors{M: 4, R_Exp: -2}, analog: true, event: eventThreshold, typ: typeVoltage}
	s.unit.BaseUnit = 4
	if got := measureOf(&s).value(&s, 0x54, s.factors); math.Abs(got-3.36) > 1e-12 {
		t.Errorf("%v", got)
	}
	for _, x := range []struct {
		name     string
		sensor   sensor
		quantity health.Quantity
		unit     health.Unit
		raw      uint8
		value    float64
	}{
		{"degrees Fahrenheit", sensor{name: "T", unit: types.SensorUnit{BaseUnit: 2}}, health.Temperature, health.Celsius, 212, 100},
		{"kelvin", sensor{name: "T", unit: types.SensorUnit{BaseUnit: 3}}, health.Temperature, health.Celsius, 255, -18.15},
		{"a margin is no temperature", sensor{name: "CPU1 Therm Margin", unit: types.SensorUnit{BaseUnit: 1, AnalogDataFormat: 2}}, health.TemperatureMargin, health.Kelvin, 0xd8, -40},
		{"humidity by name", sensor{name: "Room Humidity", typ: typeOther, unit: types.SensorUnit{Percentage: true}}, health.RelativeHumidity, health.Percent, 60, 60},
		{"a fan's duty", sensor{name: "Fan 1 PWM", typ: typeFan, unit: types.SensorUnit{Percentage: true}}, health.Duty, health.Percent, 60, 60},
		{"a load", sensor{name: "CPU usage", typ: typeOther, unit: types.SensorUnit{Percentage: true}}, health.Utilisation, health.Percent, 60, 60},
		{"litres a minute, by rate", sensor{name: "Flow", unit: types.SensorUnit{BaseUnit: 37, RateUnit: 4}}, health.Flow, health.LitrePerMin, 8, 8},
		{"litres a second, by modifier", sensor{name: "Flow", unit: types.SensorUnit{BaseUnit: 37, ModifierRelation: types.SensorModifierRelation_Div, ModifierUnit: 22}}, health.Flow, health.LitrePerMin, 2, 120},
		{"cubic feet a minute of air", sensor{name: "Airflow", unit: types.SensorUnit{BaseUnit: 17}}, health.AirFlow, health.CubicMPerHour, 100, 169.901079552},
		{"a supply's input", sensor{name: "PSU1 Pin", entity: entityPSU, unit: types.SensorUnit{BaseUnit: 6}}, health.InputPower, health.Watt, 200, 200},
		{"a supply's output", sensor{name: "PSU1 Vout", entity: entityPSU, unit: types.SensorUnit{BaseUnit: 4}}, health.OutputVoltage, health.Volt, 12, 12},
		{"pounds per square inch", sensor{name: "P", unit: types.SensorUnit{BaseUnit: 15}}, health.Pressure, health.Kilopascal, 10, 68.94757293168},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := x.sensor
			s.factors.M = 1
			m := measureOf(&s)
			if v := m.value(&s, x.raw, s.factors); m.quantity != x.quantity || m.unit != x.unit || math.Abs(v-x.value) > 1e-9 {
				t.Errorf("%s %v %s", m.quantity, v, m.unit)
			}
		})
	}
}

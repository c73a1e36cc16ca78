package capacity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"dewline/health"
	"dewline/report/reporttest"
)

// The small fleet: forty days of raw samples of seven servers in two racks and two sites, with what goes wrong in real ones: gaps, a power
// supply that fails, one that is not read, a meter that reads less, a server without a meter, one that came late, counters that are reset.

var (
	begin = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	end   = begin.Add(40 * 24 * time.Hour)
)

func series(c string, q health.Quantity, u health.Unit) health.SeriesID {
	return health.SeriesID{Component: health.ComponentID(c), Quantity: q, Unit: u}
}

var (
	psu1   = series("psu/1", health.InputPower, health.Watt)
	psu2   = series("psu/2", health.InputPower, health.Watt)
	rated1 = series("psu/1", health.PowerCapacity, health.Watt)
	rated2 = series("psu/2", health.PowerCapacity, health.Watt)
	board  = series("power/System Power", health.Power, health.Watt)
	cpuW   = series("power/CPU Power", health.Power, health.Watt)
	limit  = series("power/System Power", health.PowerLimit, health.Watt)
	inlet  = series("temperature/Inlet", health.Temperature, health.Celsius)
	dew    = series("temperature/Inlet", health.DewPoint, health.Celsius)
	rh     = series("humidity/Room", health.RelativeHumidity, health.Percent)
	margin = series("temperature/Inlet", health.CondensationMargin, health.Kelvin)
	fan1   = series("fan/1", health.Duty, health.Percent)
	fan2   = series("fan/2", health.Duty, health.Percent)
	life1  = series("drive/1", health.LifeLeft, health.Percent)
	life2  = series("drive/2", health.LifeLeft, health.Percent)
	life3  = series("drive/3", health.LifeLeft, health.Percent)
	spare1 = series("drive/1", health.SpareLeft, health.Percent)
	media1 = series("drive/1", health.MediaErrors, health.Number)
	hours1 = series("drive/1", health.PowerOnHours, health.Hour)
	ecc    = series("memory/1", health.CorrectableErrors, health.Number)
	use    = series("cpu/1", health.Utilisation, health.Percent)
	selUse = series("log/sel", health.Utilisation, health.Percent)
)

func classOf(id health.SeriesID) health.Class {
	c, _, _ := strings.Cut(string(id.Component), "/")
	return health.Class(c)
}

func part(id string, class health.Class, model, firmware string, bytes int64) health.KnownComponent {
	return health.KnownComponent{Component: health.Component{ID: health.ComponentID(id), Class: class, Name: "the " + id, Model: model, Serial: "S" + id, Firmware: firmware, CapacityBytes: bytes}}
}

// smallFleet is made of a seed, the same for everyone.
func smallFleet(seed uint64) *reporttest.Fleet {
	r := rand.New(rand.NewPCG(seed, 7))
	f := &reporttest.Fleet{}
	add := func(name, site, rack string, position int, maker, model, bios string) *reporttest.Machine {
		m := reporttest.NewMachine(health.Target{ID: health.TargetID(name), Driver: "redfish", Site: site, Rack: rack, Position: position, Labels: map[string]string{"owner": "lab"}})
		m.Identity = health.Identity{Manufacturer: maker, Model: model, Serial: "SN-" + name, BIOS: bios, BMCFirmware: "1." + bios}
		f.Machines = append(f.Machines, m)
		return m
	}
	web1 := add("web-1", "bontang", "A1", 1, "Acme", "R1", "2.1")
	web2 := add("web-2", "bontang", "A1", 3, "Acme", "R1", "2.2")
	db1 := add("db-1", "bontang", "A1", 5, "Acme", "R2", "2.1")
	gpu1 := add("gpu-1", "bontang", "A2", 1, "Bolt", "G8", "7")
	nas1 := add("nas-1", "bontang", "A2", 9, "Bolt", "N4", "")
	app1 := add("app-1", "samarinda", "", 0, "Acme", "R1", "2.1")
	old1 := add("old-1", "samarinda", "", 0, "", "", "")
	fail := begin.Add(5*24*time.Hour + 30*time.Minute)
	for k := 0; ; k++ {
		at := begin.Add(time.Duration(k)*health.AlignStep + time.Duration(r.IntN(200))*time.Second)
		if !at.Before(end) {
			break
		}
		day := at.Sub(begin).Hours() / 24
		busy := 1 + 0.25*math.Sin(2*math.Pi*day) + 0.1*r.Float64()
		read := func(m *reporttest.Machine, id health.SeriesID, v float64) {
			m.Read(id, classOf(id), at, math.Round(v*10)/10)
		}
		gap := func(m *reporttest.Machine, hour0, hours float64) bool {
			return m != nil && at.Sub(begin).Hours() >= hour0 && at.Sub(begin).Hours() < hour0+hours
		}
		if !gap(web1, 200, 5) {
			failed := !at.Before(fail) && at.Before(fail.Add(12*time.Hour))
			if failed {
				read(web1, psu1, 210*busy+day)
			} else {
				read(web1, psu1, 100*busy+day)
				if k%97 != 5 { // now and then one supply is not read: the meter stands in
					read(web1, psu2, 98*busy+day)
				}
			}
			read(web1, board, 180*busy+day)
			read(web1, cpuW, 90*busy)
			read(web1, rated1, 550)
			read(web1, rated2, 495)
			read(web1, inlet, 24+2*busy)
			read(web1, dew, 12+r.Float64()*6)
			read(web1, rh, 40+20*r.Float64())
			read(web1, margin, 6+3*r.Float64())
			read(web1, fan1, 30+10*busy+day*0.2)
			read(web1, fan2, 32+10*busy+day*0.2)
			if k%12 == 0 {
				read(web1, life1, math.Floor(62.5-0.35*day))
				read(web1, life2, math.Floor(80-0.3*day+30*math.Floor(day/20)))
				read(web1, life3, 97)
				read(web1, spare1, 100)
				read(web1, media1, 3+math.Floor(day/10))
				read(web1, hours1, 20000+24*day)
			}
			if k%5 == 0 { // a second sample in the step
				at = at.Add(70 * time.Second).Truncate(time.Second)
				if at.Before(begin.Add(time.Duration(k+1) * health.AlignStep)) {
					read(web1, psu1, 140*busy)
					read(web1, psu2, 130*busy)
				}
			}
		}
		if r.IntN(50) > 0 && !gap(web2, 400, 30) {
			read(web2, psu1, 150*busy)
			read(web2, psu2, 140*busy)
			read(web2, rated1, 300)
			read(web2, rated2, 300)
			read(web2, inlet, 25+2*busy)
		}
		if r.IntN(40) > 0 {
			read(db1, board, 400*busy-2*day)
			read(db1, inlet, 31+3*busy)
			read(db1, fan1, 55)
			read(db1, rated1, 800)
		}
		if r.IntN(40) > 0 {
			if k%1000 == 17 {
				read(gpu1, psu1, 0)
			} else {
				read(gpu1, psu1, min(800*busy, 900))
			}
			read(gpu1, limit, 900)
			read(gpu1, use, 50*busy)
			read(gpu1, selUse, 3)
			read(gpu1, ecc, math.Mod(math.Floor(day*day/8), 120))
		}
		if k%3 == 0 {
			read(nas1, inlet, 26)
		}
		if day >= 10 {
			read(app1, board, 250+1.5*day+5*r.Float64())
		}
		if day < 0.02 {
			read(old1, use, 1)
		}
	}
	web1.Parts = []health.KnownComponent{part("psu/1", health.ClassPSU, "P550", "1.0", 0), part("psu/2", health.ClassPSU, "P550", "1.1", 0), part("drive/1", health.ClassDrive, "D1", "A", 1e12),
		part("drive/2", health.ClassDrive, "D1", "A", 1e12), part("drive/3", health.ClassDrive, "D2", "B", 0), part("fan/1", health.ClassFan, "", "", 0), part("fan/2", health.ClassFan, "", "", 0)}
	web2.Parts = []health.KnownComponent{part("psu/1", health.ClassPSU, "P300", "1.0", 0), part("psu/2", health.ClassPSU, "P300", "1.0", 0), part("drive/1", health.ClassDrive, "D1", "B", 2e12)}
	db1.Parts = []health.KnownComponent{part("psu/1", health.ClassPSU, "P800", "", 0), part("fan/1", health.ClassFan, "F", "", 0)}
	gpu1.Parts = []health.KnownComponent{part("memory/1", health.ClassMemory, "M32", "", 32<<30), part("memory/2", health.ClassMemory, "M32", "", 32<<30)}
	for _, m := range f.Machines { // two servers have no part in common
		for i := range m.Parts {
			m.Parts[i].Serial = string(m.Target.ID) + " " + string(m.Parts[i].ID)
		}
	}
	smallFaults(f, fail)
	return f
}

func (x testFaults) add(target, component string, class health.Class, kind health.Kind, from time.Time, d time.Duration) *health.Fault {
	f := health.Fault{ID: fmt.Sprint(len(*x.to)), Target: health.TargetID(target), Component: health.ComponentID(component), Class: class, Kind: kind, Severity: health.SeverityWarning, State: health.Asserted, Opened: from, Message: string(kind)}
	if d > 0 {
		f.State, f.Cleared = health.Cleared, from.Add(d)
	}
	*x.to = append(*x.to, f)
	return &(*x.to)[len(*x.to)-1]
}

type testFaults struct{ to *[]health.Fault }

// smallFaults are the faults and events of the small fleet.
func smallFaults(f *reporttest.Fleet, fail time.Time) {
	x := testFaults{&f.Faults}
	x.add("web-1", "psu/2", health.ClassPSU, health.KindFailed, fail, 12*time.Hour)
	x.add("web-1", "power_unit/PSU Redundancy", health.ClassPowerUnit, health.KindRedundancyLost, fail, 12*time.Hour)
	x.add("web-1", "psu/2", health.ClassPSU, health.KindRedundancyLost, fail.Add(6*time.Hour), 8*time.Hour)
	for i := range 3 {
		x.add("db-1", "fan/1", health.ClassFan, health.KindFailed, begin.Add(time.Duration(10+7*i)*24*time.Hour), time.Duration(i+1)*time.Hour)
	}
	x.add("gpu-1", "temperature/Inlet", health.ClassTemperature, health.KindOverThreshold, begin.Add(-time.Hour), 0).AtStart = true
	x.add("web-2", "drive/1", health.ClassDrive, health.KindPredictedFailure, begin.Add(30*24*time.Hour), 0)
	x.add("web-2", "fan/7", health.ClassFan, health.KindDegraded, begin.Add(-10*24*time.Hour), 11*24*time.Hour)
	x.add("db-1", "fan/redundancy", health.ClassPowerUnit, health.KindRedundancyDegraded, begin.Add(-24*time.Hour), 48*time.Hour).Message = "fan redundancy"
	x.add("gpu-1", "memory/1", health.ClassMemory, health.KindCorrectableError, begin.Add(35*24*time.Hour), 0)
	for i := range 12 {
		d := time.Duration(3*i) * 24 * time.Hour
		f.Events = append(f.Events, health.Event{ID: fmt.Sprint("e", i), Target: "db-1", Component: "memory/3", Class: health.ClassMemory, Kind: health.KindCorrectableError, Transition: health.Momentary, At: begin.Add(d)})
	}
	slices.SortFunc(f.Faults, func(a, b health.Fault) int { return a.Opened.Compare(b.Opened) })
}

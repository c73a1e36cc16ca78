package bmcsim

import (
	"fmt"
	"math"
	"time"
)

// State is what a machine's sensors measure at one moment. Names are those of the profile.
type State struct {
	Time    time.Time
	Version uint64 // of the machine's state; readings change with Time too
	HostOn  bool

	Fans   []FanState
	PSUs   []PSUState
	Drives []DriveState
	DIMMs  []DIMMState
	CPUs   []CPUState
	Leaks  []LeakDetectorState

	RoomTempC, RoomRH float64 // °C, %
	InletC, ExhaustC  float64
	Volts12, Volts5   float64 // valid with the host on
	Volts33Standby    float64
	PowerWatts        float64 // what the machine draws from the mains
	PowerLimitWatts   float64 // that is in force, 0: none
	EnergyKWh         float64

	FanRedundant, PSURedundant bool
	Intrusion                  bool
	HumidityAlarm              int // 0 normal, 1 above caution, 2 above critical
}

// FanState of one fan; with the host off it stands still.
type FanState struct {
	Name, Serial   string
	RPM, Duty      float64 // rpm, %
	Failed, Absent bool
}

// PSUState of one power supply.
type PSUState struct {
	Name, Serial, Model       string
	InputWatts, OutputWatts   float64
	InputVolts, CapacityWatts float64
	TempC                     float64
	Failed, Absent, InputLost bool
}

// Good is true for one that carries load.
func (p PSUState) Good() bool { return !p.Failed && !p.Absent && !p.InputLost }

// DriveState of one drive bay.
type DriveState struct {
	Name, Serial, Model        string
	CapacityBytes              int64
	LifeLeft, TempC            float64 // %, °C
	PowerOnHours               int
	Failed, Predicted, Removed bool
}

// DIMMState of one memory module.
type DIMMState struct {
	Name, Serial string
	CapacityMiB  int
	TempC        float64
	Failed       bool
	Correctable  int
}

// CPUState of one processor; the temperature is valid with the host on.
type CPUState struct {
	Name  string
	TempC float64
}

// LeakDetectorState of one leak detector.
type LeakDetectorState struct {
	Name  string
	State LeakState
	Volts float64 // of the detector's own measuring circuit
}

// At is what the machine's sensors measure at t: a function of the seed, of what was done to the machine, and of t.
func (m *Machine) At(t time.Time) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen != nil {
		s := *m.frozen
		s.Time, s.Version = t, m.version
		return s
	}
	n := noise{seed: m.seed ^ hashString(m.name), t: t}
	s := State{
		Time: t, Version: m.version, HostOn: m.hostOn, Intrusion: m.intrusion, HumidityAlarm: m.rhAlarm,
		FanRedundant: m.fansGood(), PSURedundant: m.psusGood(),
		RoomTempC: m.roomTemp + n.slow("room", 0.1), RoomRH: min(max(m.roomRH+n.slow("rh", 0.3), 0), 100),
		InletC:  m.roomTemp + m.inletOff + n.slow("inlet", 0.1),
		Volts12: 12.1 + n.fast("12v", 0.03), Volts5: 5.02 + n.fast("5v", 0.015), Volts33Standby: 3.31 + n.fast("3.3v", 0.01),
	}
	load := 0.0
	if m.hostOn {
		load = max(0, m.load+n.slow("load", 0.12))
	}
	m.stateOfFans(&s, n, load)
	m.stateOfPower(&s, n, load)
	s.ExhaustC = s.InletC + 2 + 22*load
	for i := range m.profile.CPUs {
		s.CPUs = append(s.CPUs, CPUState{Name: fmt.Sprintf("CPU%d", i+1), TempC: s.InletC + 12 + 60*load + m.heat + n.fast(fmt.Sprint("cpu", i), 1)})
	}
	for i, d := range m.dimms {
		s.DIMMs = append(s.DIMMs, DIMMState{
			Name: fmt.Sprintf("DIMM_%c%d", 'A'+i/2, i%2+1), Serial: fmt.Sprintf("%08X", mix(m.seed, uint64(200+i))&0xffffffff), CapacityMiB: 32768,
			TempC: s.InletC + 8 + 20*load, Failed: d.failed, Correctable: d.correctable,
		})
	}
	hours := int(t.Sub(simEpoch).Hours())
	for i, d := range m.drives {
		s.Drives = append(s.Drives, DriveState{
			Name: fmt.Sprintf("Bay %d", i), Serial: swapped(fmt.Sprintf("S%011X", mix(m.seed, uint64(300+i))&0xfffffffffff), d.swaps), Model: "SIM NVMe 1920G",
			CapacityBytes: 1_920_383_410_176, LifeLeft: d.life, TempC: s.InletC + 9 + n.slow(fmt.Sprint("drive", i), 1),
			PowerOnHours: max(hours, 0) + 900, Failed: d.failed, Predicted: d.predicted, Removed: d.removed,
		})
	}
	for i, l := range m.leaks {
		volts := 1.84 + n.fast(fmt.Sprint("leak", i), 0.01)
		switch l {
		case LeakWet:
			volts = 0.7
		case LeakFault:
			volts = 0
		}
		s.Leaks = append(s.Leaks, LeakDetectorState{Name: m.profile.Leaks[i], State: l, Volts: volts})
	}
	return s
}

func (m *Machine) versionNow() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version
}

func (m *Machine) stateOfFans(s *State, n noise, load float64) {
	duty := 0.0
	if m.hostOn {
		duty = 30 + 45*load + max(s.InletC-25, 0)*2
		if !s.FanRedundant { // the others make up for the one that is missing
			duty += 25
		}
		duty = min(duty, 100)
	}
	for i, f := range m.fans {
		fs := FanState{Name: fmt.Sprintf("Fan %d", i+1), Serial: fmt.Sprintf("FN%06X", mix(m.seed, uint64(400+i))&0xffffff), Failed: f.failed, Absent: f.absent}
		if !f.failed && !f.absent {
			fs.Duty = duty
			fs.RPM = math.Round(fanMaxRPM * duty / 100 * (1 - f.wear) * (1 + n.fast(fmt.Sprint("fan", i), 0.01)))
		}
		s.Fans = append(s.Fans, fs)
	}
}

func (m *Machine) stateOfPower(s *State, n noise, load float64) {
	s.PowerLimitWatts = m.limit
	good := 0
	for _, p := range m.psus {
		if !p.failed && !p.absent && !p.inputLost {
			good++
		}
	}
	dc := 11.0 // the BMC and the standby rails
	if m.hostOn {
		dc = 160 + 420*load + n.fast("dc", 4)
	}
	for i, p := range m.psus {
		ps := PSUState{
			Name: fmt.Sprintf("PSU %d", i+1), Serial: swapped(fmt.Sprintf("PS%08X", mix(m.seed, uint64(500+i))&0xffffffff), p.swaps), Model: "SIM-PWR-1100",
			CapacityWatts: 1100, Failed: p.failed, Absent: p.absent, InputLost: p.inputLost, TempC: s.InletC + 6 + 10*load,
		}
		if !p.absent && !p.inputLost {
			ps.InputVolts = 230 + n.slow("mains", 2)
		}
		if ps.Good() {
			ps.OutputWatts = math.Round(dc / float64(good))
			ps.InputWatts = math.Round(dc/float64(good)*(1+p.loss)/0.93 + 4)
			s.PowerWatts += ps.InputWatts
		}
		s.PSUs = append(s.PSUs, ps)
	}
	s.EnergyKWh = math.Round(max(s.Time.Sub(simEpoch).Hours(), 0)*0.33*1000) / 1000
}

// noise is small, deterministic, and the same for everyone who asks about the same second.
type noise struct {
	seed uint64
	t    time.Time
}

// fast changes every second.
func (n noise) fast(key string, amplitude float64) float64 {
	return amplitude * unit(mix(n.seed^hashString(key), uint64(n.t.Unix())))
}

// slow wanders between values half a minute apart.
func (n noise) slow(key string, amplitude float64) float64 {
	const step = 30
	k, sec := n.seed^hashString(key), n.t.Unix()
	a, b := unit(mix(k, uint64(sec/step))), unit(mix(k, uint64(sec/step+1)))
	f := float64(sec%step) / step
	return amplitude * (a + (b-a)*f)
}

func unit(x uint64) float64 { return float64(x>>11)/(1<<52) - 1 }

// mix is a finaliser after SplitMix64.
func mix(a, b uint64) uint64 {
	x := a + (b+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashString(s string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

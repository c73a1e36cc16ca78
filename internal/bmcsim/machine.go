package bmcsim

import (
	"fmt"
	"sync"
	"time"
)

// LeakState of a leak detector.
type LeakState uint8

// What a leak detector says: dry, wet, or that it cannot tell (cable off, short).
const (
	LeakOK LeakState = iota
	LeakWet
	LeakFault
)

func (s LeakState) String() string { return [...]string{"ok", "wet", "fault"}[s] }

// Thresholds of the sensors every machine has, in the sensor's own unit. Logs and SDRs use the same.
const (
	fanMaxRPM      = 16000.0
	fanLowCritical = 1200.0
	fanLowCaution  = 1800.0

	roomRHUpperCaution  = 80.0
	roomRHUpperCritical = 90.0
	roomRHLowerCaution  = 20.0
	roomRHLowerCritical = 10.0

	inletUpperCaution  = 38.0
	inletUpperCritical = 43.0
	inletLowerCaution  = 5.0
	cpuUpperCaution    = 88.0
	cpuUpperCritical   = 95.0
)

type fan struct {
	failed, absent bool
	wear           float64 // share of its speed that is lost
}

type psu struct {
	failed, absent, inputLost bool
	loss                      float64 // share of what it gives that it wastes beyond its due
	swaps                     int
}

type drive struct {
	failed, predicted, removed bool
	life                       float64 // percent left
	swaps                      int
}

type dimm struct {
	failed      bool
	correctable int
}

// Machine is the physical state of one simulated server. Its methods can be called from any goroutine. Indexes count from 0;
// one beyond the profile's parts panics, as a slice would.
type Machine struct {
	name    string
	seed    uint64
	profile Profile
	id      identity

	mu      sync.Mutex
	now     func() time.Time
	asOf    time.Time // time of log entries while a scenario's step runs; zero: now()
	version uint64    // changes with every change of state

	fans      []fan
	psus      []psu
	drives    []drive
	dimms     []dimm
	leaks     []LeakState
	wetBefore []bool // wet, or broken while it was
	roomTemp  float64
	roomRH    float64
	inletOff  float64 // inlet against room air, kelvin
	hostOn    bool
	intrusion bool
	rhAlarm   int // 0 normal, 1 above caution, 2 above critical
	load      float64
	heat      float64 // of the processors, beyond what their load makes, kelvin
	limit     float64 // of its power, 0: none is set
	frozen    *State  // what is repeated while the sensor task hangs
	log       eventLog
}

type identity struct {
	serial, assetTag, uuid, boardSerial, partNumber string
	guid                                            [16]byte
}

// NewMachine makes a healthy, running server in a room of 24 °C and 45 % relative humidity. The same profile, name and seed make
// the same machine.
func NewMachine(profile Profile, name string, seed uint64) *Machine {
	m := &Machine{
		name: name, seed: seed, profile: profile, now: time.Now, hostOn: true, roomTemp: 24, roomRH: 45, inletOff: -0.3, load: defaultLoad,
		fans: make([]fan, profile.Fans), psus: make([]psu, profile.PSUs), drives: make([]drive, profile.Drives),
		dimms: make([]dimm, profile.DIMMs), leaks: make([]LeakState, len(profile.Leaks)), wetBefore: make([]bool, len(profile.Leaks)),
	}
	h := mix(seed, hashString(name))
	for i := range m.drives {
		m.drives[i].life = 100 - float64(mix(h, uint64(i))%9)
	}
	m.id = identity{
		serial: fmt.Sprintf("SIM%07X", h&0xfffffff), boardSerial: fmt.Sprintf("BRD%07X", h>>28&0xfffffff),
		assetTag: "asset-" + name, partNumber: fmt.Sprintf("%03d-%05d", h>>40%1000, h>>20%100000),
	}
	for i := range 2 {
		x := mix(h, uint64(100+i))
		for j := range 8 {
			m.id.guid[8*i+j] = byte(x >> (8 * j))
		}
	}
	m.id.guid[6] = m.id.guid[6]&0x0f | 0x40 // an RFC 4122 UUID, version 4
	m.id.guid[8] = m.id.guid[8]&0x3f | 0x80
	g := m.id.guid
	m.id.uuid = fmt.Sprintf("%x-%x-%x-%x-%x", g[0:4], g[4:6], g[6:8], g[8:10], g[10:])
	m.log.capacity, m.log.wraps = 512, true
	m.log.history(mix(h, 7))
	return m
}

// Name of the machine.
func (m *Machine) Name() string { return m.name }

// Profile of the machine.
func (m *Machine) Profile() Profile { return m.profile }

// Serial number of the machine, as its BMC tells it.
func (m *Machine) Serial() string { return m.id.serial }

// UUID of the machine, as its BMC tells it.
func (m *Machine) UUID() string { return m.id.uuid }

// SetClock gives the clock that times log entries; time.Now otherwise.
func (m *Machine) SetClock(now func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = now
}

// change runs f with the machine locked and the time of its log entries.
func (m *Machine) change(f func(at time.Time)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.asOf
	if at.IsZero() {
		at = m.now()
	}
	m.version++
	f(at)
}

// during runs f; changes it makes to the machine are logged as of t.
func (m *Machine) during(t time.Time, f func(*Machine)) {
	m.mu.Lock()
	m.asOf = t
	m.mu.Unlock()
	f(m)
	m.mu.Lock()
	m.asOf = time.Time{}
	m.mu.Unlock()
}

// set changes a flag and logs it if it was not so already.
func (m *Machine) set(flag *bool, on bool, e Event) {
	if *flag == on {
		return
	}
	*flag = on
	e.Asserted = on
	m.log.add(e)
}

// FailFan stops a fan: 0 rpm, below its lower critical threshold.
func (m *Machine) FailFan(i int) { m.fanFailed(i, true) }

// RepairFan lets it turn again.
func (m *Machine) RepairFan(i int) { m.fanFailed(i, false) }

func (m *Machine) fanFailed(i int, on bool) {
	m.change(func(at time.Time) {
		before := m.fansGood()
		m.set(&m.fans[i].failed, on, Event{Time: at, Part: PartFan, Index: i, What: Failed})
		m.fanRedundancy(at, before)
	})
}

// RemoveFan takes a fan out of its place.
func (m *Machine) RemoveFan(i int) { m.fanAbsent(i, true) }

// InsertFan puts it back.
func (m *Machine) InsertFan(i int) { m.fanAbsent(i, false) }

func (m *Machine) fanAbsent(i int, on bool) {
	m.change(func(at time.Time) {
		before := m.fansGood()
		m.set(&m.fans[i].absent, on, Event{Time: at, Part: PartFan, Index: i, What: Removed})
		m.fanRedundancy(at, before)
	})
}

func (m *Machine) fansGood() bool {
	for _, f := range m.fans {
		if f.failed || f.absent {
			return false
		}
	}
	return true
}

func (m *Machine) fanRedundancy(at time.Time, before bool) {
	if after := m.fansGood(); after != before {
		m.log.add(Event{Time: at, Part: PartFanRedundancy, What: RedundancyLost, Asserted: !after})
	}
}

// FailPSU makes a power supply fail: no output.
func (m *Machine) FailPSU(i int) { m.psuFlag(i, &m.psus[i].failed, true, Failed) }

// RepairPSU makes it good again.
func (m *Machine) RepairPSU(i int) { m.psuFlag(i, &m.psus[i].failed, false, Failed) }

// LosePSUInput takes the mains from a power supply.
func (m *Machine) LosePSUInput(i int) { m.psuFlag(i, &m.psus[i].inputLost, true, InputLost) }

// RestorePSUInput gives it back.
func (m *Machine) RestorePSUInput(i int) { m.psuFlag(i, &m.psus[i].inputLost, false, InputLost) }

// RemovePSU takes a power supply out of its bay.
func (m *Machine) RemovePSU(i int) { m.psuFlag(i, &m.psus[i].absent, true, Removed) }

// InsertPSU puts it back.
func (m *Machine) InsertPSU(i int) { m.psuFlag(i, &m.psus[i].absent, false, Removed) }

func (m *Machine) psuFlag(i int, flag *bool, on bool, what What) {
	m.change(func(at time.Time) {
		before := m.psusGood()
		m.set(flag, on, Event{Time: at, Part: PartPSU, Index: i, What: what})
		if after := m.psusGood(); after != before {
			m.log.add(Event{Time: at, Part: PartPSURedundancy, What: RedundancyLost, Asserted: !after})
		}
	})
}

func (m *Machine) psusGood() bool {
	for _, p := range m.psus {
		if p.failed || p.absent || p.inputLost {
			return false
		}
	}
	return true
}

// FailDrive makes a drive fail.
func (m *Machine) FailDrive(i int) { m.driveFlag(i, &m.drives[i].failed, true, Failed) }

// RepairDrive makes it good again.
func (m *Machine) RepairDrive(i int) { m.driveFlag(i, &m.drives[i].failed, false, Failed) }

// PredictDrive makes a drive predict its failure.
func (m *Machine) PredictDrive(i int) { m.driveFlag(i, &m.drives[i].predicted, true, Predicted) }

// UnpredictDrive takes the prediction back, as a replaced drive would.
func (m *Machine) UnpredictDrive(i int) { m.driveFlag(i, &m.drives[i].predicted, false, Predicted) }

// RemoveDrive pulls a drive from its bay.
func (m *Machine) RemoveDrive(i int) { m.driveFlag(i, &m.drives[i].removed, true, Removed) }

// InsertDrive puts it back.
func (m *Machine) InsertDrive(i int) { m.driveFlag(i, &m.drives[i].removed, false, Removed) }

func (m *Machine) driveFlag(i int, flag *bool, on bool, what What) {
	m.change(func(at time.Time) { m.set(flag, on, Event{Time: at, Part: PartDrive, Index: i, What: what}) })
}

// SetDriveLife sets what a drive's flash has left, in percent. No BMC logs it.
func (m *Machine) SetDriveLife(i int, percent float64) {
	m.change(func(time.Time) { m.drives[i].life = percent })
}

// FailDIMM makes a memory module raise an uncorrectable error.
func (m *Machine) FailDIMM(i int) { m.dimmFailed(i, true) }

// RepairDIMM makes it good again.
func (m *Machine) RepairDIMM(i int) { m.dimmFailed(i, false) }

func (m *Machine) dimmFailed(i int, on bool) {
	m.change(func(at time.Time) {
		m.set(&m.dimms[i].failed, on, Event{Time: at, Part: PartDIMM, Index: i, What: Failed})
	})
}

// CorrectError counts one corrected memory error and logs it.
func (m *Machine) CorrectError(i int) {
	m.change(func(at time.Time) {
		m.dimms[i].correctable++
		m.log.add(Event{Time: at, Part: PartDIMM, Index: i, What: Corrected, Asserted: true})
	})
}

// WetLeak makes a leak detector wet.
func (m *Machine) WetLeak(i int) { m.setLeak(i, LeakWet) }

// DryLeak dries it, and mends a broken one.
func (m *Machine) DryLeak(i int) { m.setLeak(i, LeakOK) }

// BreakLeak takes the cable off a leak detector: it can no longer tell.
func (m *Machine) BreakLeak(i int) { m.setLeak(i, LeakFault) }

func (m *Machine) setLeak(i int, to LeakState) {
	m.change(func(at time.Time) {
		from := m.leaks[i]
		if from == to {
			return
		}
		m.leaks[i] = to
		log := func(what What, asserted bool) {
			m.log.add(Event{Time: at, Part: PartLeak, Index: i, What: what, Asserted: asserted})
		}
		// One that breaks while it is wet does not say that it is dry.
		if from == LeakFault {
			log(DetectorFault, false)
		}
		if to == LeakOK && m.wetBefore[i] {
			log(Wet, false)
		}
		switch to {
		case LeakFault:
			log(DetectorFault, true)
		case LeakWet:
			if !m.wetBefore[i] {
				log(Wet, true)
			}
		}
		m.wetBefore[i] = to == LeakWet || to == LeakFault && m.wetBefore[i]
	})
}

// SetRoom sets the air of the room: temperature in °C, relative humidity in percent. Inlets follow the temperature. A machine
// whose profile has room sensors logs humidity that crosses its thresholds.
func (m *Machine) SetRoom(tempC, rh float64) {
	m.change(func(at time.Time) {
		m.roomTemp, m.roomRH = tempC, rh
		alarm := 0
		switch {
		case rh >= roomRHUpperCritical:
			alarm = 2
		case rh >= roomRHUpperCaution:
			alarm = 1
		}
		if !m.profile.Room {
			m.rhAlarm = alarm
			return
		}
		for m.rhAlarm < alarm {
			m.rhAlarm++
			m.log.add(Event{Time: at, Part: PartHumidity, Index: m.rhAlarm, What: OverThreshold, Asserted: true, Value: rh})
		}
		for m.rhAlarm > alarm {
			m.log.add(Event{Time: at, Part: PartHumidity, Index: m.rhAlarm, What: OverThreshold, Value: rh})
			m.rhAlarm--
		}
	})
}

// SetInletOffset sets how much warmer (or, below 0, colder) than the room the air at the inlet is, in kelvin.
func (m *Machine) SetInletOffset(kelvin float64) {
	m.change(func(time.Time) { m.inletOff = kelvin })
}

// SetPowerLimit makes the BMC tell of a power limit that is in force; 0 ends it. The machine draws what it draws.
func (m *Machine) SetPowerLimit(watts float64) {
	m.change(func(time.Time) { m.limit = watts })
}

// HostOff powers the host off; the BMC stays up.
func (m *Machine) HostOff() { m.host(false) }

// HostOn powers it on.
func (m *Machine) HostOn() { m.host(true) }

func (m *Machine) host(on bool) {
	m.change(func(at time.Time) {
		off := !m.hostOn
		m.set(&off, !on, Event{Time: at, Part: PartHost, What: PoweredOff})
		m.hostOn = on
	})
}

// OpenLid opens the chassis.
func (m *Machine) OpenLid() { m.lid(true) }

// CloseLid closes it.
func (m *Machine) CloseLid() { m.lid(false) }

func (m *Machine) lid(open bool) {
	m.change(func(at time.Time) { m.set(&m.intrusion, open, Event{Time: at, Part: PartLid, What: Intrusion}) })
}

// ClearLog erases the log as an operator would: identifiers start anew and the first entry says that it was cleared.
func (m *Machine) ClearLog() {
	m.change(func(at time.Time) { m.log.clear(at) })
}

// SetLogCapacity bounds the log. One that wraps drops its oldest entry for a new one; the other drops the new one and says that
// it overflowed.
func (m *Machine) SetLogCapacity(n int, wraps bool) {
	m.change(func(time.Time) { m.log.capacity, m.log.wraps = n, wraps })
}

// Log is the machine's event log, oldest first.
func (m *Machine) Log() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.all()
}

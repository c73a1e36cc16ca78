package bmcsim

import (
	"fmt"
	"time"
)

// What wears, is exchanged, or goes wrong without a word: none of it is logged, as no BMC logs it.

// defaultLoad is how busy a host is, on average, unless it is told otherwise.
const defaultLoad = 0.35

// SetFanWear makes a fan turn slower than its duty asks for: 0 is a new one, 0.3 turns at 70 %.
func (m *Machine) SetFanWear(i int, share float64) {
	m.change(func(time.Time) { m.fans[i].wear = share })
}

// SetHeat makes the processors hotter than their load makes them: paste that dries, a heat sink that clogs.
func (m *Machine) SetHeat(kelvin float64) {
	m.change(func(time.Time) { m.heat = kelvin })
}

// SetPSULoss makes a power supply take more from the mains for what it gives, by a share of it.
func (m *Machine) SetPSULoss(i int, share float64) {
	m.change(func(time.Time) { m.psus[i].loss = share })
}

// SetLoad makes the host busy: 0 is idle, 1 all it can.
func (m *Machine) SetLoad(load float64) {
	m.change(func(time.Time) { m.load = load })
}

// SwapPSU puts another power supply of the same model into the bay, with another serial number. It is a good one.
func (m *Machine) SwapPSU(i int) {
	m.change(func(time.Time) { m.psus[i] = psu{swaps: m.psus[i].swaps + 1} })
}

// SwapDrive puts another drive of the same model into the bay, with another serial number. It is a new one.
func (m *Machine) SwapDrive(i int) {
	m.change(func(time.Time) { m.drives[i] = drive{swaps: m.drives[i].swaps + 1, life: 100} })
}

// serial of a part that was exchanged some times.
func swapped(serial string, swaps int) string {
	if swaps == 0 {
		return serial
	}
	return fmt.Sprintf("%s-%d", serial, swaps)
}

// Freeze makes the BMC repeat what its sensors measured last, and log nothing of them, as one does whose sensor task hangs: it answers
// every request, and time stands still in its answers. Thaw ends that.
func (m *Machine) Freeze() {
	m.mu.Lock()
	at := m.asOf
	if at.IsZero() {
		at = m.now()
	}
	m.mu.Unlock()
	s := m.At(at)
	m.change(func(time.Time) { m.frozen, m.log.hung = &s, true })
}

// Thaw lets it measure again.
func (m *Machine) Thaw() {
	m.change(func(time.Time) { m.frozen, m.log.hung = nil, false })
}

// Quietly makes changes of which the machine's log tells nothing.
func (m *Machine) Quietly(f func(*Machine)) {
	m.setQuiet(true)
	defer m.setQuiet(false)
	f(m)
}

func (m *Machine) setQuiet(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log.quiet = on
}

// SwitchLog switches the log on or off: one that is off keeps what it has, and takes nothing.
func (m *Machine) SwitchLog(on bool) {
	m.change(func(time.Time) { m.log.off = !on })
}

// WipeLog erases the log without an entry that says so: identifiers start anew.
func (m *Machine) WipeLog() {
	m.change(func(at time.Time) { m.log.wipe(at) })
}

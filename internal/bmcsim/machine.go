package bmcsim

import "time"

type Machine struct{ name string }

func (m *Machine) Name() string { return m.name }

type machineTree struct{ m *Machine }

func newMachineTree(m *Machine, _ bool) machineTree   { return machineTree{m} }
func (machineTree) get(string, time.Time) (any, bool) { return nil, false }

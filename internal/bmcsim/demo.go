package bmcsim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The demo's room.
const (
	DemoSite = "bontang"
	DemoRack = "A1"
	// DemoPeriod is how often the story repeats.
	DemoPeriod = 60 * time.Second

	demoRoomC = 24.0
	demoDryRH = 45.0
	demoWetRH = 92.0 // a dew point of 22.6 °C in air of 24 °C
	demoTick  = 500 * time.Millisecond
)

var demoServers = []struct {
	name    string
	profile Profile
	driver  string
	inlet   float64 // against the room, kelvin; the second stands in the draught of the cooling unit
}{
	{"web-1", ProfileLegacy, "redfish", -0.4},
	{"gpu-1", ProfileModern, "redfish", -1.1},
	{"db-1", ProfileMixed, "redfish", -0.5},
	{"nas-1", ProfileWhitebox, "ipmi", -0.3},
	{"app-1", ProfileBoard, "ipmi", -0.2},
	{"mail-1", ProfileBlade, "ipmi", -0.6},
}

// DemoRoom is what `dewline demo` plays: six servers in one rack and a roof that leaks. Seconds since the start:
//
//	 9-24  a fan stops and turns again
//	14-30  a leak detector is wet and dries
//	17-21  the humidity of the room rises from 45 to 92 %: the dew point comes within a kelvin of the coldest inlet
//	35-39  it falls back to 45 %
//
// Then the room is calm until the story repeats, DemoPeriod after its start, with another fan and another detector. Every
// change lasts at least 14 seconds, so that polling every 5 seconds sees it come and go well within 50.
func DemoRoom(seed uint64) ([]*Machine, *Scenario) {
	var machines []*Machine
	for i, d := range demoServers {
		m := NewMachine(d.profile, d.name, mix(seed, uint64(i)))
		m.SetInletOffset(d.inlet)
		m.SetRoom(demoRoomC, demoDryRH)
		machines = append(machines, m)
	}
	const (
		web, gpu, db, nas, app, mail = 0, 1, 2, 3, 4, 5
		s                            = time.Second
	)
	fans, leaks := []int{app, web, mail, gpu}, []int{gpu, nas, db, mail}
	steps := []Step{
		{At: 9 * s, Who: fans, Do: func(m *Machine) { m.FailFan(1) }},
		{At: 24 * s, Who: fans, Do: func(m *Machine) { m.RepairFan(1) }},
		{At: 14 * s, Who: leaks, Do: func(m *Machine) { m.WetLeak(0) }},
		{At: 30 * s, Who: leaks, Do: func(m *Machine) { m.DryLeak(0) }},
	}
	steps = append(steps, Room(17*s, 21*s, demoRoomC, demoDryRH, demoWetRH)...)
	steps = append(steps, Room(35*s, 39*s, demoRoomC, demoWetRH, demoDryRH)...)
	return machines, &Scenario{Machines: machines, Steps: steps, Period: DemoPeriod}
}

// DemoDriver is the driver by which the demo's server number i is read.
func DemoDriver(i int) string { return demoServers[i].driver }

// DemoServer is one simulated server of the demo, and how to reach it.
type DemoServer struct {
	Name        string
	URL         string // https://127.0.0.1:PORT or ipmi://127.0.0.1:PORT
	Driver      string // "redfish" or "ipmi"
	Username    string
	Password    string
	Fingerprint string // SHA-256 of the certificate, lower-case hex; empty for IPMI
	Site, Rack  string
	Position    int
	Machine     *Machine

	OpenSessions func() int // how many sessions stand open on it now
}

// Demo is the demo's room on the wire.
type Demo struct {
	Servers []DemoServer

	cancel context.CancelFunc
	wg     sync.WaitGroup
	close  []func() error
}

// StartDemo serves DemoRoom on ephemeral loopback ports and starts its story, which goes on until ctx is done or Close.
func StartDemo(ctx context.Context, seed uint64) (*Demo, error) {
	machines, story := DemoRoom(seed)
	d := &Demo{cancel: func() {}}
	for i, m := range machines {
		s := DemoServer{
			Name: m.Name(), Driver: demoServers[i].driver, Username: DefaultUsername, Password: DefaultPassword,
			Site: DemoSite, Rack: DemoRack, Position: i + 1, Machine: m,
		}
		if s.Driver == "ipmi" {
			srv, err := ServeIPMI(m, IPMIOptions{Privilege: 2})
			if err != nil {
				return nil, errors.Join(fmt.Errorf("start demo: %w", err), d.Close())
			}
			s.URL = srv.URL()
			s.OpenSessions = func() int { return srv.Stats().OpenSessions }
			d.close = append(d.close, srv.Close)
		} else {
			srv, err := ServeRedfish(m, RedfishOptions{Expand: m.Profile().Redfish != ShapeLegacy})
			if err != nil {
				return nil, errors.Join(fmt.Errorf("start demo: %w", err), d.Close())
			}
			s.URL, s.Fingerprint = srv.URL(), srv.CertFingerprint()
			s.OpenSessions = func() int { return srv.Stats().OpenSessions }
			d.close = append(d.close, srv.Close)
		}
		d.Servers = append(d.Servers, s)
	}
	ctx, d.cancel = context.WithCancel(ctx)
	story.Start = time.Now()
	d.wg.Go(func() {
		t := time.NewTicker(demoTick)
		defer t.Stop()
		story.Run(ctx, t.C)
	})
	return d, nil
}

// Close ends the story and all servers.
func (d *Demo) Close() error {
	d.cancel()
	d.wg.Wait()
	var errs []error
	for _, c := range d.close {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

package bmcsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Node is one simulated BMC and what stands behind it. Machine is nil for a recorded one, and one of the two servers is.
type Node struct {
	Name    string
	Machine *Machine
	Redfish *RedfishServer
	IPMI    *IPMIServer
}

// URL of the BMC.
func (n *Node) URL() string {
	if n.IPMI != nil {
		return n.IPMI.URL()
	}
	return n.Redfish.URL()
}

// Close ends it.
func (n *Node) Close() error {
	if n.IPMI != nil {
		return n.IPMI.Close()
	}
	return n.Redfish.Close()
}

// NamedFault is something that can go wrong with a BMC or a machine, by a name that flags and scenarios use.
type NamedFault struct {
	Name string
	Does string // for people
	// Value is what it takes: "" nothing, otherwise a word for it. Default stands for one that is left out; "" means that it
	// must be given.
	Value, Default string
	Momentary      bool // it happens and is over: it cannot last

	check func(value string) error
	apply func(n *Node, value string, on bool) error
}

var errNotHere = errors.New("this BMC has no such thing")

// NamedFaults are all of them, in the order they are shown in.
func NamedFaults() []NamedFault {
	parts := func(count func(*Machine) int, do func(*Machine, int, bool)) (func(string) error, func(*Node, string, bool) error) {
		return checkIndex, func(n *Node, value string, on bool) error {
			if n.Machine == nil {
				return fmt.Errorf("%w: it is a recording", errNotHere)
			}
			i, _ := strconv.Atoi(value)
			if have := count(n.Machine); i >= have {
				return fmt.Errorf("%w: number %d of %d, counted from 0", errNotHere, i, have)
			}
			do(n.Machine, i, on)
			return nil
		}
	}
	either := func(yes, no func(*Machine, int)) func(*Machine, int, bool) {
		return func(m *Machine, i int, on bool) {
			if on {
				yes(m, i)
			} else {
				no(m, i)
			}
		}
	}
	fans := func(m *Machine) int { return m.Profile().Fans }
	psus := func(m *Machine) int { return m.Profile().PSUs }
	drives := func(m *Machine) int { return m.Profile().Drives }
	dimms := func(m *Machine) int { return m.Profile().DIMMs }
	leaks := func(m *Machine) int { return len(m.Profile().Leaks) }
	var list []NamedFault
	part := func(name, does string, count func(*Machine) int, yes, no func(*Machine, int)) {
		check, apply := parts(count, either(yes, no))
		list = append(list, NamedFault{Name: name, Does: does, Value: "number", Default: "0", check: check, apply: apply})
	}
	part("fan-failed", "a fan stands still", fans, (*Machine).FailFan, (*Machine).RepairFan)
	part("fan-absent", "a fan is taken out", fans, (*Machine).RemoveFan, (*Machine).InsertFan)
	part("psu-failed", "a power supply gives nothing", psus, (*Machine).FailPSU, (*Machine).RepairPSU)
	part("psu-input-lost", "a power supply has no mains", psus, (*Machine).LosePSUInput, (*Machine).RestorePSUInput)
	part("psu-absent", "a power supply is taken out", psus, (*Machine).RemovePSU, (*Machine).InsertPSU)
	part("drive-failed", "a drive fails", drives, (*Machine).FailDrive, (*Machine).RepairDrive)
	part("drive-predicted", "a drive predicts its failure", drives, (*Machine).PredictDrive, (*Machine).UnpredictDrive)
	part("drive-absent", "a drive is pulled", drives, (*Machine).RemoveDrive, (*Machine).InsertDrive)
	part("dimm-failed", "a memory module has an uncorrectable error", dimms, (*Machine).FailDIMM, (*Machine).RepairDIMM)
	part("wet", "a leak detector is wet", leaks, (*Machine).WetLeak, (*Machine).DryLeak)
	part("leak-broken", "a leak detector's cable is off", leaks, (*Machine).BreakLeak, (*Machine).DryLeak)
	machine := func(do func(m *Machine, v float64, on bool)) func(*Node, string, bool) error {
		return func(n *Node, value string, on bool) error {
			if n.Machine == nil {
				return fmt.Errorf("%w: it is a recording", errNotHere)
			}
			v, _ := strconv.ParseFloat(value, 64)
			do(n.Machine, v, on)
			return nil
		}
	}
	list = append(list,
		NamedFault{Name: "host-off", Does: "the host is powered off", apply: machine(func(m *Machine, _ float64, on bool) { m.host(!on) })},
		NamedFault{Name: "lid-open", Does: "the chassis is open", apply: machine(func(m *Machine, _ float64, on bool) { m.lid(on) })},
		NamedFault{Name: "humidity", Does: "the room's relative humidity, %", Value: "percent", check: checkNumber(0, 100), apply: machine(func(m *Machine, v float64, on bool) {
			m.setAir(&m.roomRH, v, demoDryRH, on)
		})},
		NamedFault{Name: "room-temperature", Does: "the room's temperature, °C", Value: "celsius", check: checkNumber(-20, 70), apply: machine(func(m *Machine, v float64, on bool) {
			m.setAir(&m.roomTemp, v, demoRoomC, on)
		})},
		NamedFault{Name: "log-cleared", Does: "somebody clears the event log", Momentary: true, apply: machine(func(m *Machine, _ float64, _ bool) { m.ClearLog() })},
		NamedFault{Name: "latency", Does: "every answer is late", Value: "duration", Default: "5s", check: checkDuration, apply: func(n *Node, value string, on bool) error {
			d, _ := time.ParseDuration(value)
			if !on {
				d = 0
			}
			if n.IPMI != nil {
				n.IPMI.SetLatency(d)
			} else {
				n.Redfish.SetLatency(d)
			}
			return nil
		}},
		NamedFault{Name: "hang", Does: "the BMC takes what comes and says nothing", apply: func(n *Node, _ string, on bool) error {
			if n.IPMI != nil {
				n.IPMI.Silent(on)
			} else {
				n.Redfish.Hang(on)
			}
			return nil
		}},
		NamedFault{Name: "restart", Does: "the BMC restarts: sessions and connections are gone", Momentary: true, apply: func(n *Node, _ string, _ bool) error {
			if n.IPMI != nil {
				return n.IPMI.Restart()
			}
			return n.Redfish.RestartListener()
		}},
		NamedFault{Name: "sessions-expired", Does: "the BMC forgets its sessions", Momentary: true, apply: func(n *Node, _ string, _ bool) error {
			if n.IPMI != nil {
				n.IPMI.ExpireSessions()
			} else {
				n.Redfish.ExpireSessions()
			}
			return nil
		}},
		redfishFault("503", "answers 503 below a path", "path", "/", checkPath, func(s *RedfishServer, path string, on bool) error {
			s.SetStatus(path, map[bool]int{true: http.StatusServiceUnavailable}[on])
			return nil
		}),
		redfishFault("401", "answers 401 below a path", "path", "/", checkPath, func(s *RedfishServer, path string, on bool) error {
			s.SetStatus(path, map[bool]int{true: http.StatusUnauthorized}[on])
			return nil
		}),
		redfishFault("session-limit", "so many sessions may be open", "number", "0", checkIndex, func(s *RedfishServer, value string, on bool) error {
			limit, _ := strconv.Atoi(value)
			if !on {
				limit = s.o.MaxSessions
			}
			s.SessionLimit(limit)
			return nil
		}),
		redfishFault("half-json", "a document ends in its middle", "path", "", checkPath, (*RedfishServer).halve),
		redfishFault("cut", "a connection breaks off in the middle of a document", "path", "", checkPath, func(s *RedfishServer, path string, on bool) error {
			s.CutBody(path, map[bool]int{true: 100, false: -1}[on])
			return nil
		}),
		redfishFault("html", "a document is a web page", "path", "", checkPath, func(s *RedfishServer, path string, on bool) error {
			if on {
				s.SetBody(path, []byte("<html><body>Session timed out</body></html>"))
			} else {
				s.SetBody(path, nil)
			}
			return nil
		}),
		ipmiFault("packet-loss", "so many of the answers are lost, %", "percent", "20", checkNumber(0, 100), func(s *IPMIServer, value string, on bool) {
			p, _ := strconv.ParseFloat(value, 64)
			if !on {
				p = 0
			}
			s.LoseReplies(p/100, 1)
		}),
		ipmiFault("forged", "forged datagrams come before every answer", "", "", nil, func(s *IPMIServer, _ string, on bool) { s.Forge(on) }),
		ipmiFault("duplicate", "every datagram comes twice", "", "", nil, func(s *IPMIServer, _ string, on bool) { s.Duplicate(on) }),
		ipmiFault("busy", "the BMC is busy for so many commands", "number", "10", checkIndex, func(s *IPMIServer, value string, on bool) {
			n, _ := strconv.Atoi(value)
			if !on {
				n = 0
			}
			s.Busy(n)
		}),
		ipmiFault("read-limit", "so many bytes of a record are returned at once", "number", "16", checkIndex, func(s *IPMIServer, value string, on bool) {
			n, _ := strconv.Atoi(value)
			if !on {
				n = s.o.ReadLimit
			}
			s.SetReadLimit(n)
		}),
	)
	return list
}

func redfishFault(name, does, value, def string, check func(string) error, do func(*RedfishServer, string, bool) error) NamedFault {
	return NamedFault{Name: name, Does: does + " (Redfish)", Value: value, Default: def, check: check, apply: func(n *Node, v string, on bool) error {
		if n.Redfish == nil {
			return fmt.Errorf("%w: it speaks IPMI", errNotHere)
		}
		return do(n.Redfish, v, on)
	}}
}

func ipmiFault(name, does, value, def string, check func(string) error, do func(*IPMIServer, string, bool)) NamedFault {
	return NamedFault{Name: name, Does: does + " (IPMI)", Value: value, Default: def, check: check, apply: func(n *Node, v string, on bool) error {
		if n.IPMI == nil {
			return fmt.Errorf("%w: it speaks Redfish", errNotHere)
		}
		do(n.IPMI, v, on)
		return nil
	}}
}

// setAir sets one of the two values of the room's air, or puts it back to what is usual.
func (m *Machine) setAir(which *float64, v, usual float64, on bool) {
	if !on {
		v = usual
	}
	m.mu.Lock()
	temp, rh := m.roomTemp, m.roomRH
	if which == &m.roomRH {
		rh = v
	} else {
		temp = v
	}
	m.mu.Unlock()
	m.SetRoom(temp, rh)
}

// halve answers a path with the first half of what stands there now.
func (s *RedfishServer) halve(path string, on bool) error {
	if !on {
		s.SetBody(path, nil)
		return nil
	}
	v, ok := s.res.get(cleanPath(path), s.o.Now())
	if !ok {
		return fmt.Errorf("%w: no document at %s", errNotHere, path)
	}
	body, ok := v.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(v); err != nil {
			return fmt.Errorf("halve %s: %w", path, err)
		}
	}
	s.SetBody(path, bytes.Clone(body[:len(body)/2]))
	return nil
}

func checkIndex(v string) error {
	if n, err := strconv.Atoi(v); err != nil || n < 0 || n > 10_000 {
		return fmt.Errorf("%q is no number from 0", v)
	}
	return nil
}

func checkNumber(low, high float64) func(string) error {
	return func(v string) error {
		if f, err := strconv.ParseFloat(v, 64); err != nil || math.IsNaN(f) || f < low || f > high {
			return fmt.Errorf("%q is no number from %g to %g", v, low, high)
		}
		return nil
	}
}

func checkDuration(v string) error {
	if d, err := time.ParseDuration(v); err != nil || d < 0 || d > 24*time.Hour {
		return fmt.Errorf("%q is no duration such as 500ms or 10s", v)
	}
	return nil
}

func checkPath(v string) error {
	if !strings.HasPrefix(v, "/") {
		return fmt.Errorf("%q is no path such as /redfish/v1/Chassis/1", v)
	}
	return nil
}

// Order is a fault that shall happen: to whom, when, for how long.
type Order struct {
	Fault  string
	Value  string
	Target string        // a name, or * for all
	After  time.Duration // since it was ordered
	For    time.Duration // 0: until it is cleared
}

// ParseOrder reads NAME[=VALUE]@TARGET[+AFTER][/FOR].
func ParseOrder(s string) (Order, error) {
	what, rest, found := strings.Cut(s, "@")
	if i := strings.LastIndexByte(s, '@'); found { // a path may hold one
		what, rest = s[:i], s[i+1:]
	}
	if !found || rest == "" {
		return Order{}, fmt.Errorf("fault %q: NAME[=VALUE]@TARGET[+AFTER][/FOR], as in fan-failed=1@web-1+10s/1m", s)
	}
	var o Order
	o.Fault, o.Value, _ = strings.Cut(what, "=")
	duration := func(to *time.Duration, text string) error {
		if err := checkDuration(text); err != nil {
			return fmt.Errorf("fault %q: %w", s, err)
		}
		*to, _ = time.ParseDuration(text)
		return nil
	}
	if before, text, has := strings.Cut(rest, "/"); has {
		rest = before
		if err := duration(&o.For, text); err != nil {
			return Order{}, err
		}
		if o.For == 0 {
			return Order{}, fmt.Errorf("fault %q: it lasts no time at all", s)
		}
	}
	if before, text, has := strings.Cut(rest, "+"); has {
		rest = before
		if err := duration(&o.After, text); err != nil {
			return Order{}, err
		}
	}
	o.Target = rest
	if err := o.complete(); err != nil {
		return Order{}, fmt.Errorf("fault %q: %w", s, err)
	}
	return o, nil
}

// complete checks an order and fills in the value that was left out.
func (o *Order) complete() error {
	all := NamedFaults()
	i := slices.IndexFunc(all, func(f NamedFault) bool { return f.Name == o.Fault })
	if i < 0 {
		return fmt.Errorf("no fault is named %q; there are: %s", o.Fault, strings.Join(FaultNames(), ", "))
	}
	f := all[i]
	switch {
	case f.Value == "" && o.Value != "":
		return fmt.Errorf("%s takes no value", f.Name)
	case f.Value != "" && o.Value == "":
		if o.Value = f.Default; o.Value == "" {
			return fmt.Errorf("%s needs a %s: %s=…", f.Name, f.Value, f.Name)
		}
	}
	if f.Momentary && o.For > 0 {
		return fmt.Errorf("%s happens and is over: it cannot last", f.Name)
	}
	if o.Target == "" {
		return errors.New("it names no target")
	}
	if f.check != nil {
		if err := f.check(o.Value); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

// FaultNames are the names of all faults.
func FaultNames() []string {
	var names []string
	for _, f := range NamedFaults() {
		names = append(names, f.Name)
	}
	return names
}

func (o Order) String() string {
	s := o.Fault
	if o.Value != "" {
		s += "=" + o.Value
	}
	return s + "@" + o.Target
}

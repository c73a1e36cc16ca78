package truth

import (
	"slices"
	"time"

	"dewline/health"
	"dewline/internal/bmcsim"
)

// kind of a condition that a BMC shows.
type kind uint8

const (
	critical  kind = iota
	leaking        // as critical
	predicted      // a failure
	gone           // a part that was there
)

// condition is something wrong with a part.
type condition struct {
	part  string
	index int
	kind  kind
}

// conditions of a state: the machine's own, whoever reads it.
func conditions(s *bmcsim.State) (all []condition) {
	add := func(is bool, part string, i int, k kind) {
		if is {
			all = append(all, condition{part, i, k})
		}
	}
	for i, f := range s.Fans {
		add(f.Failed && !f.Absent, "fan", i, critical)
		add(f.Absent, "fan", i, gone)
	}
	for i, p := range s.PSUs {
		add((p.Failed || p.InputLost) && !p.Absent, "psu", i, critical)
		add(p.Absent, "psu", i, gone)
	}
	for i, d := range s.Drives {
		add(d.Failed && !d.Removed, "drive", i, critical)
		add(d.Predicted && !d.Failed && !d.Removed, "drive", i, predicted)
		add(d.Removed, "drive", i, gone)
	}
	for i, d := range s.DIMMs {
		add(d.Failed, "dimm", i, critical)
	}
	for i, l := range s.Leaks {
		add(l.State == bmcsim.LeakWet, "leak", i, leaking)
	}
	add(s.HumidityAlarm == 2, "room", 0, critical)
	return all
}

// resource is the part of the tree that a condition is read from.
var resource = map[string]string{"fan": "thermal", "psu": "psu", "drive": "storage", "dimm": "memory", "leak": "leak", "room": "room"}

// shows tells whether anything that is due shows a condition: its part, or the machine's overall health.
func (s *server) shows(c condition, t *tick) bool {
	overall := s.make.driver == health.DriverRedfish && !t.silent && (c.kind == critical && c.part != "room" || c.kind == predicted)
	return s.readable(c, t) || overall
}

// readable tells whether the BMC shows a part in its resources, to who reads what is due.
func (s *server) readable(c condition, t *tick) bool {
	if t.silent || slices.Contains(t.hidden, resource[c.part]) {
		return false
	}
	legacy := s.make.driver == health.DriverRedfish && s.make.profile.Redfish == bmcsim.ShapeLegacy
	switch c.part {
	case "fan":
		if c.kind == gone && !s.make.present {
			return false // its speed cannot be read, and that is all
		}
		return t.state.HostOn
	case "drive":
		return t.health || s.make.driver == health.DriverIPMI
	case "dimm":
		return t.health && s.make.driver == health.DriverRedfish
	case "leak":
		return s.make.leak && (!legacy || !slices.Contains(t.hidden, "thermal"))
	case "room":
		return s.make.room
	}
	return true
}

// told are the conditions that the log's new entries assert, and retold tells whether they take one back.
func (s *server) told(t *tick) []condition { return s.logged(t, true) }

func (s *server) retold(t *tick, c condition) bool { return slices.Contains(s.logged(t, false), c) }

func (s *server) logged(t *tick, asserted bool) (all []condition) {
	for _, e := range t.occurred {
		if e.Part == bmcsim.PartFan && e.What == bmcsim.Removed && !s.make.present {
			continue // a make without a sensor for it has no record either
		}
		if e.Asserted != asserted {
			continue
		}
		c, ok := map[[2]uint8]condition{
			{uint8(bmcsim.PartFan), uint8(bmcsim.Failed)}: {"fan", e.Index, critical}, {uint8(bmcsim.PartFan), uint8(bmcsim.Removed)}: {"fan", e.Index, gone},
			{uint8(bmcsim.PartPSU), uint8(bmcsim.Failed)}: {"psu", e.Index, critical}, {uint8(bmcsim.PartPSU), uint8(bmcsim.InputLost)}: {"psu", e.Index, critical},
			{uint8(bmcsim.PartPSU), uint8(bmcsim.Removed)}:     {"psu", e.Index, gone},
			{uint8(bmcsim.PartDrive), uint8(bmcsim.Failed)}:    {"drive", e.Index, critical},
			{uint8(bmcsim.PartDrive), uint8(bmcsim.Predicted)}: {"drive", e.Index, predicted}, {uint8(bmcsim.PartDrive), uint8(bmcsim.Removed)}: {"drive", e.Index, gone},
			{uint8(bmcsim.PartDIMM), uint8(bmcsim.Failed)}: {"dimm", e.Index, critical}, {uint8(bmcsim.PartLeak), uint8(bmcsim.Wet)}: {"leak", e.Index, leaking},
		}[[2]uint8{uint8(e.Part), uint8(e.What)}]
		if e.Part == bmcsim.PartHumidity && e.Index == 2 {
			c, ok = condition{"room", 0, critical}, true
		}
		if ok {
			all = append(all, c)
		}
	}
	return all
}

// episode is a condition from when it was first shown until a tick at which it was no more.
type episode struct {
	condition
	began time.Time
	over  time.Time // when it was no more, whoever knew
	ended time.Time // when the BMC showed that; zero: it stands, or nobody knows
	shown time.Time // zero: never
	maybe bool      // a resource may have shown it, in a tier of another rhythm
	read  bool      // a resource of the part itself showed it
	only  bool      // only the log says that it is over, and the part was not read since
}

// heard is when somebody next read the BMC: at a tick or after it.
func (s *server) heard(from int) time.Time {
	for _, t := range s.ledger[from:] {
		if !t.silent && !t.down {
			return t.at
		}
	}
	return s.ledger[len(s.ledger)-1].at
}

// secret tells whether nobody who reads the BMC can say which of a detector's two states is liquid: of the vendor's own sensor, the fault was
// the first that was read; of another, the first was wet.
func (s *server) secret(detector int) bool {
	if s.make.driver != health.DriverIPMI || s.make.profile.IPMI == bmcsim.ShapeBlade { // which tells a severity
		return false
	}
	for k := range s.ledger {
		t := &s.ledger[k]
		state := t.state.Leaks[detector].State
		switch {
		case t.down || t.silent:
			continue
		case s.make.vendorLeak:
			return state == bmcsim.LeakFault
		case state != bmcsim.LeakFault:
			return state == bmcsim.LeakWet
		}
	}
	return false
}

// episodes of a server, from its ledger.
func (s *server) episodes() (all []*episode) {
	open := map[condition]*episode{}
	begin := func(c condition, t time.Time) *episode {
		e := open[c]
		if e == nil {
			e = &episode{condition: c, began: t}
			open[c] = e
			all = append(all, e)
		}
		return e
	}
	logRead := func(from int) bool { // the log's entries are read by some later visit
		for _, t := range s.ledger[from:] {
			if !t.silent && !t.down {
				return true
			}
		}
		return false
	}
	for i := range s.ledger {
		t := &s.ledger[i]
		now := conditions(&t.state)
		for _, c := range s.told(t) {
			e := begin(c, t.at)
			if e.shown.IsZero() && logRead(i) {
				e.shown = t.at
			}
		}
		for _, c := range now {
			if c.part == "dimm" && s.make.driver == health.DriverIPMI {
				continue
			}
			e := begin(c, t.at)
			e.read = e.read || s.readable(c, t) && !t.down
			if e.shown.IsZero() {
				switch {
				case s.shows(c, t) && !t.down:
					e.shown = t.at
				case !t.down && !t.silent:
					e.maybe = true
				}
			}
		}
		for c, e := range open {
			if slices.Contains(now, c) && (c.part != "dimm" || s.make.driver != health.DriverIPMI) {
				e.over = time.Time{}
				continue
			}
			if e.over.IsZero() {
				e.over = t.at
			}
			// Over is what a BMC shows to be over; until then nobody knows.
			// An uncorrectable error of memory is an entry of the SEL, and no state.
			if c.part == "dimm" && s.make.driver == health.DriverIPMI {
				e.ended = t.at
				delete(open, c)
				continue
			}
			broken := c.part == "leak" && t.state.Leaks[c.index].State == bmcsim.LeakFault
			if !broken && (s.readable(c, t) && !t.down || s.retold(t, c) && logRead(i)) {
				e.ended = s.heard(i)
				e.only = e.read && !s.readable(c, t)
				delete(open, c)
			}
		}
	}
	return all
}

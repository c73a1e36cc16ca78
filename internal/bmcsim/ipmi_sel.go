package bmcsim

import (
	"encoding/binary"
)

// selRecord makes the 16 bytes of an event; false for one that this make does not log.
func (s *IPMIServer) selRecord(e Event) ([]byte, bool) {
	if e.Part == PartSystem && s.m.profile.IPMI == ShapeBlade {
		// A maker's own record with a time stamp: type, maker, six bytes.
		b := binary.LittleEndian.AppendUint16(nil, uint16(e.ID))
		b = append(b, 0xc0)
		b = binary.LittleEndian.AppendUint32(b, uint32(e.Time.Unix()))
		return append(b, manufacturerID&0xff, manufacturerID>>8, 0, 'b', 'o', 'o', 't', 'o', 'k'), true
	}
	x, n, d, ok := s.selEvent(e)
	if !ok {
		return nil, false
	}
	b := binary.LittleEndian.AppendUint16(nil, uint16(e.ID))
	b = append(b, 0x02)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.Time.Unix()))
	asserted := e.Asserted
	switch {
	case e.What == Removed: // presence is what the sensor says
		asserted = !asserted
	case e.Part == PartHost: // an ACPI state is entered; it does not go away
		asserted = true
	}
	dir := x.event
	if !asserted {
		dir |= 0x80
	}
	return append(b, selfAddress, 0, 0x04, x.typ, n, dir, d[0], d[1], d[2]), true
}

// Logs says whether this make of BMC has a record for an event at all.
func (s *IPMIServer) Logs(e Event) bool {
	_, ok := s.selRecord(e)
	return ok
}

// selEvent is the sensor of an event, its number and the three event data bytes.
func (s *IPMIServer) selEvent(e Event) (x *sensor, n byte, data [3]byte, ok bool) {
	plain := func(offset byte) [3]byte { return [3]byte{offset, 0xff, 0xff} }
	crossing := func(offset byte, read float64, limit int) [3]byte { // reading and threshold follow
		return [3]byte{0x50 | offset, x.raw(read), x.raw(x.limits[limit])}
	}
	x, n = s.selSensor(e)
	if x == nil {
		return nil, 0, data, false
	}
	switch e.Part {
	case PartFan:
		if e.What == Removed {
			data = plain(1) // present: deasserted when it goes
			break
		}
		data = crossing(offsetLCLow, 0, lc)
		if !e.Asserted {
			data = crossing(offsetLCLow, fanLowCaution*2, lc)
			if x.percent {
				data = crossing(offsetLCLow, 45, lc)
			}
		}
	case PartHumidity:
		data = crossing(offsetUNCHigh, e.Value, unc)
		if e.Index == 2 {
			data = crossing(offsetUCHigh, e.Value, uc)
		}
	case PartFanRedundancy, PartPSURedundancy:
		data = plain(1)
	case PartPSU:
		data = plain(map[What]byte{Failed: 1, InputLost: 3, Removed: 0}[e.What])
	case PartDrive:
		data = plain(map[What]byte{Failed: 1, Predicted: 2, Removed: 0}[e.What])
	case PartDIMM:
		off := byte(1)
		if e.What == Corrected {
			off = 0
		}
		data = [3]byte{0x30 | off, 0xff, byte(e.Index)} // byte 3: which module
	case PartLeak:
		switch {
		case x.typ == typeOEM:
			data = plain(map[What]byte{Wet: 0, DetectorFault: 1}[e.What])
		case e.What == DetectorFault:
			return nil, 0, data, false // its reading goes away; nothing is logged
		case x.event == eventSeverity:
			data = plain(2)
		default:
			data = plain(1)
		}
	case PartHost:
		data = plain(0)
		if e.Asserted {
			data = plain(6)
		}
	case PartLid:
		data = plain(0)
	case PartLog:
		data = plain(2)
	case PartSystem:
		data = plain(1)
	}
	return x, n, data, true
}

// selSensor finds the sensor an event is about: the one of its part that can report such a thing.
func (s *IPMIServer) selSensor(e Event) (*sensor, byte) {
	for _, x := range s.sensors {
		if x.part != e.Part || (e.Part == PartFan && (x.event == eventPresent) != (e.What == Removed)) {
			continue
		}
		switch {
		case x.share > 1 && e.Index < x.share:
			return x, x.num + byte(e.Index)
		case x.index == e.Index || e.Part == PartHumidity || e.Part == PartDIMM:
			if x.part == PartSystem && x.typ != typeSystemEvent {
				continue // analog sensors of no part
			}
			return x, x.num
		}
	}
	return nil, 0
}

// selRecords are the records of the log, oldest first.
func (s *IPMIServer) selRecords() [][]byte {
	var out [][]byte
	for _, e := range s.m.Log() {
		if b, ok := s.selRecord(e); ok {
			out = append(out, b)
		}
	}
	return out
}

// sel answers the commands of the SEL.
func (s *IPMIServer) sel(cmd byte, d []byte) (byte, []byte) {
	switch cmd {
	case 0x40: // Get SEL Info
		added, erased, capacity, overflow := s.m.logTimes()
		n := len(s.selRecords())
		b := []byte{selVersion}
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint16(b, uint16(min(max(capacity-n, 0)*16, 0xffff)))
		b = binary.LittleEndian.AppendUint32(b, added)
		b = binary.LittleEndian.AppendUint32(b, erased)
		support := byte(supportReserve)
		if overflow {
			support |= supportOverflow
		}
		return ccOK, append(b, support)
	case 0x42: // Reserve SEL
		s.selRes++
		if s.selRes == 0 {
			s.selRes = 1
		}
		return ccOK, binary.LittleEndian.AppendUint16(nil, s.selRes)
	case 0x48: // Get SEL Time
		return ccOK, binary.LittleEndian.AppendUint32(nil, uint32(s.o.Now().Unix()))
	case 0x5c: // Get SEL Time UTC Offset
		return ccOK, []byte{0, 0}
	}
	if len(d) < 6 { // Get SEL Entry
		return ccLength, nil
	}
	resv, id, off, n := binary.LittleEndian.Uint16(d), binary.LittleEndian.Uint16(d[2:]), int(d[4]), int(d[5])
	if off > 0 && (resv == 0 || resv != s.selRes) {
		return ccReservation, nil
	}
	records := s.selRecords()
	at := -1
	for i, r := range records {
		if binary.LittleEndian.Uint16(r) == id {
			at = i
		}
	}
	switch {
	case len(records) == 0:
		return ccNotPresent, nil
	case id == 0:
		at = 0
	case id == 0xffff:
		at = len(records) - 1
	}
	if at < 0 {
		return ccNotPresent, nil
	}
	if off >= 16 {
		return ccParameter, nil
	}
	next := uint16(0xffff)
	if at+1 < len(records) {
		next = binary.LittleEndian.Uint16(records[at+1])
	}
	return ccOK, append(binary.LittleEndian.AppendUint16(nil, next), records[at][off:min(off+n, 16)]...)
}

func (m *Machine) logTimes() (added, erased uint32, capacity int, overflow bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint32(m.log.added.Unix()), uint32(m.log.erased.Unix()), m.log.capacity, m.log.overflow
}

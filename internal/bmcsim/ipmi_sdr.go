package bmcsim

import (
	"encoding/binary"
	"math"
	"slices"
)

// sdrRecord is one record with its five-byte header.
type sdrRecord []byte

func (r sdrRecord) id() uint16 { return binary.LittleEndian.Uint16(r) }

// repository makes the SDR repository: what the BMC is, its sensors, its FRUs.
func (s *IPMIServer) repository() []sdrRecord {
	var out []sdrRecord
	step := uint16(1)
	if s.m.profile.IPMI == ShapeBlade {
		step = 7 // record IDs are names, not numbers in a row
	}
	id := uint16(1)
	add := func(kind byte, body []byte) {
		r := binary.LittleEndian.AppendUint16(nil, id)
		r = append(r, sdrVersion, kind, byte(len(body)))
		out = append(out, append(r, body...))
		id += step
	}
	six := s.m.profile.SixBitNames
	add(0x12, append([]byte{selfAddress, 0, 0, 0x8f, 0, 0, 0, entityBoard, 1, 0}, idString("BMC", six)...))
	for _, x := range s.sensors {
		switch {
		case x.eventOnly:
			add(0x03, x.eventRecord(six))
		case x.full:
			add(0x01, x.fullRecord(six))
		default:
			add(0x02, x.compactRecord(six))
		}
	}
	for i := range s.frus[1:] {
		name := "PSU" + num(i+1) + " FRU"
		add(0x11, append([]byte{selfAddress, byte(i + 1), 0x80, 0, 0, 0x10, 0, entityPSU, byte(i + 1), 0}, idString(name, six)...))
	}
	return out
}

// idString is a type/length byte and a name: 8-bit ASCII, or 6-bit packed with its length in characters.
func idString(name string, six bool) []byte {
	if !six {
		return append([]byte{0xc0 | byte(len(name))}, name...)
	}
	up := []byte(name)
	for i, c := range up {
		if c >= 'a' && c <= 'z' {
			up[i] = c - 32
		}
	}
	return append([]byte{0x80 | byte(len(up))}, sixBit(up)...)
}

// sixBit packs characters 20h to 5Fh, four to three bytes, least significant bits first (IPMI v2.0 43.15).
func sixBit(b []byte) []byte {
	out := make([]byte, (len(b)*6+7)/8)
	for i, c := range b {
		v := uint16(c-0x20) & 0x3f << (i * 6 % 8)
		out[i*6/8] |= byte(v)
		if v > 0xff {
			out[i*6/8+1] |= byte(v >> 8)
		}
	}
	return out
}

func (x *sensor) units1() byte {
	u := x.format
	if !x.full {
		u = formatNone
	}
	if x.percent {
		u |= 1
	}
	return u
}

func (x *sensor) fullRecord(six bool) []byte {
	readable, raw := x.thresholds()
	var events uint16 // going low for lower thresholds, going high for upper ones
	for i, off := range []int{0, 2, 4, 7, 9, 11} {
		if readable&(1<<i) != 0 {
			events |= 1 << off
		}
	}
	b := []byte{selfAddress, 0, x.num, x.entity, x.instance, 0x7f, 0x44, x.typ, x.event}
	b = binary.LittleEndian.AppendUint16(b, events|uint16(readable&7)<<12)
	b = binary.LittleEndian.AppendUint16(b, events|uint16(readable>>3&7)<<12)
	b = append(b, readable, 0, x.units1(), x.unit, 0, 0) // thresholds cannot be set; linear
	f := x.factors()
	b = append(b, f[:]...)
	low, high := byte(0), byte(0xff)
	if x.format == formatTwos {
		low, high = 0x80, 0x7f
	}
	b = append(b, 0, 0, 0, 0, high, low)
	for _, i := range []int{unr, uc, unc, lnr, lc, lnc} {
		b = append(b, raw[i])
	}
	b = append(b, 0, 0, 0, 0, 0)
	return append(b, idString(x.name, six)...)
}

func (x *sensor) compactRecord(six bool) []byte {
	b := []byte{selfAddress, 0, x.num, x.entity, x.instance, 0x67, 0x40, x.typ, x.event}
	for range 3 { // assertions, deassertions, readable states
		b = binary.LittleEndian.AppendUint16(b, x.mask)
	}
	share, instances := byte(1), byte(0)
	if x.share > 1 {
		share, instances = byte(x.share), 0x80|1 // instances count up, names from 1
	}
	b = append(b, x.units1(), unitNone, 0, share, instances, 0, 0, 0, 0, 0, 0)
	return append(b, idString(x.name, six)...)
}

func (x *sensor) eventRecord(six bool) []byte {
	b := []byte{selfAddress, 0, x.num, x.entity, x.instance, x.typ, x.event, 1, 0, 0, 0}
	return append(b, idString(x.name, six)...)
}

// sdr answers the commands of the SDR repository.
func (s *IPMIServer) sdr(cmd byte, d []byte) (byte, []byte) {
	switch cmd {
	case 0x20: // Get SDR Repository Info
		b := []byte{sdrVersion}
		b = binary.LittleEndian.AppendUint16(b, uint16(len(s.sdrs)))
		b = binary.LittleEndian.AppendUint16(b, 0x1000) // free bytes
		b = binary.LittleEndian.AppendUint32(b, uint32(s.sdrTime.Unix()))
		b = binary.LittleEndian.AppendUint32(b, uint32(simEpoch.Unix()))
		return ccOK, append(b, 0x20|supportReserve)
	case 0x22: // Reserve SDR Repository
		s.reserve++
		if s.reserve == 0 {
			s.reserve = 1
		}
		return ccOK, binary.LittleEndian.AppendUint16(nil, s.reserve)
	case 0x28: // Get SDR Repository Time
		return ccOK, binary.LittleEndian.AppendUint32(nil, uint32(s.o.Now().Unix()))
	}
	if len(d) < 6 { // Get SDR
		return ccLength, nil
	}
	resv, id, off, n := binary.LittleEndian.Uint16(d), binary.LittleEndian.Uint16(d[2:]), int(d[4]), int(d[5])
	if off > 0 && (resv == 0 || resv != s.reserve) {
		return ccReservation, nil
	}
	i := slices.IndexFunc(s.sdrs, func(r sdrRecord) bool { return r.id() == id })
	switch id {
	case 0:
		i = 0
	case 0xffff:
		i = len(s.sdrs) - 1
	}
	if i < 0 {
		return ccNotPresent, nil
	}
	next := uint16(0xffff)
	if i+1 < len(s.sdrs) {
		next = s.sdrs[i+1].id()
	}
	rec := s.sdrs[i]
	if bad, ok := s.f.badSDR[rec.id()]; ok {
		rec = bad
	}
	if off > len(rec) {
		return ccParameter, nil
	}
	if n == 0xff || n > len(rec)-off {
		n = len(rec) - off
	}
	if n > maxReplyData-3 || (s.f.readLimit > 0 && n > s.f.readLimit) {
		return ccReadTooLong, nil
	}
	return ccOK, append(binary.LittleEndian.AppendUint16(nil, next), rec[off:off+n]...)
}

// SDRCount is how many records the repository holds.
func (s *IPMIServer) SDRCount() int { return len(s.sdrs) }

// SensorValue is one sensor as a client should see it.
type SensorValue struct {
	Number   byte
	Name     string // as in its record; of sensors that share one, with the number the client appends
	Discrete bool
	Type     byte    // sensor type
	Value    float64 // of a threshold sensor, after the rounding that its raw byte means
	States   uint16  // of a discrete one
	Readable bool    // false: the sensor has no reading now
}

// SensorValues are the sensors of the repository and what they read now. Event-only sensors are not among them.
func (s *IPMIServer) SensorValues() []SensorValue {
	st := s.m.At(s.o.Now())
	var out []SensorValue
	for _, x := range s.sensors {
		if x.eventOnly {
			continue
		}
		for i := range max(x.share, 1) {
			v := SensorValue{Number: x.num + byte(i), Name: x.name, Discrete: !x.full, Type: x.typ}
			if x.share > 1 {
				v.Name += num(i + 1)
			}
			if x.full {
				var y float64
				if y, v.Readable = x.value(st); v.Readable {
					y = x.cooked(x.raw(y))
				}
				v.Value = math.Round(y*1e6) / 1e6
			} else {
				v.States, v.Readable = x.bits(st, i)
			}
			out = append(out, v)
		}
	}
	return out
}

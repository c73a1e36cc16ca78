package bmcsim

import (
	"encoding/binary"
	"time"
)

// frus are the FRU images of a machine: the board with its chassis and product areas, then one for each power supply.
func (m *Machine) frus() [][]byte {
	six := m.profile.IPMI == ShapeBlade // part numbers in 6-bit ASCII, as some makers have them
	p := m.profile
	out := [][]byte{fruImage(
		fruArea([]byte{0x17}, text(m.id.partNumber, six), text(m.id.serial, false)),
		fruArea(boardHead(), text(p.Manufacturer, false), text(p.Model, false), text(m.id.boardSerial, false), text(m.id.partNumber, six), text("", false)),
		fruArea([]byte{0x19}, text(p.Manufacturer, false), text(p.Model, false), text(m.id.partNumber, six), text("1.0", false), text(m.id.serial, false), text(m.id.assetTag, false), text("", false)),
	)}
	for _, s := range m.At(simEpoch).PSUs {
		out = append(out, fruImage(nil, nil,
			fruArea([]byte{0x19}, text("Sim Power", false), text(s.Model, false), text("PWR-1100-P", six), text("B", false), text(s.Serial, false), text("", false), text("", false)),
		))
	}
	return out
}

// boardHead is the language (English) and the date of manufacture in minutes since 1996.
func boardHead() []byte {
	made := simEpoch.AddDate(-1, 0, 0).Sub(time.Date(1996, time.January, 1, 0, 0, 0, 0, time.UTC))
	b := binary.LittleEndian.AppendUint32([]byte{0x19}, uint32(made.Minutes()))
	return b[:4]
}

// text is a field with its type/length byte. One character alone is stored as two: length 1 in 8-bit ASCII marks the end.
func text(s string, six bool) []byte {
	if len(s) == 1 {
		s += " "
	}
	if six {
		packed := sixBit([]byte(s))
		return append([]byte{0x80 | byte(len(packed))}, packed...)
	}
	if s == "" {
		return []byte{0}
	}
	return append([]byte{0xc0 | byte(len(s))}, s...)
}

// fruArea is version, length in 8 bytes, head, fields, end mark, padding, checksum (FRU storage definition v1.0).
func fruArea(head []byte, fields ...[]byte) []byte {
	b := append([]byte{1, 0}, head...)
	for _, f := range fields {
		b = append(b, f...)
	}
	b = append(b, 0xc1)
	for (len(b)+1)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = byte((len(b) + 1) / 8)
	return append(b, sum(b))
}

func fruImage(chassis, board, product []byte) []byte {
	head := []byte{1, 0, 0, 0, 0, 0, 0}
	off := 1
	var body []byte
	for i, area := range [][]byte{chassis, board, product} {
		if area == nil {
			continue
		}
		head[2+i] = byte(off)
		off += len(area) / 8
		body = append(body, area...)
	}
	head = append(head, sum(head))
	img := append(head, body...)
	return append(img, make([]byte, 512-len(img))...)
}

// fru answers Get FRU Inventory Area Info and Read FRU Data.
func (s *IPMIServer) fru(cmd byte, d []byte) (byte, []byte) {
	if len(d) < 1 {
		return ccLength, nil
	}
	if int(d[0]) >= len(s.frus) {
		return ccNotPresent, nil
	}
	if d[0] > 0 && s.state().PSUs[d[0]-1].Absent {
		return ccNotPresent, nil
	}
	img := s.m.frus()[d[0]] // parts are exchanged
	if cmd == 0x10 {
		return ccOK, append(binary.LittleEndian.AppendUint16(nil, uint16(len(img))), 0) // by bytes
	}
	if len(d) < 4 {
		return ccLength, nil
	}
	off, n := int(binary.LittleEndian.Uint16(d[1:])), int(d[3])
	if off >= len(img) {
		return ccParameter, nil
	}
	n = min(n, len(img)-off)
	if n > maxReplyData-2 || (s.f.readLimit > 0 && n > s.f.readLimit) {
		return ccReadTooLong, nil
	}
	return ccOK, append([]byte{byte(n)}, img[off:off+n]...)
}

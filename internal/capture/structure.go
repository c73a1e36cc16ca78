package capture

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// structure makes records and FRU images of the exchanges that read them in parts, so that a replay can serve them in any
// other parts, and so that a name that lies across two parts is redacted.
func structure(xs []*Exchange) *IPMI {
	m := &IPMI{Exchanges: []Exchange{}, SDR: []Record{}, SEL: []Record{}, FRU: []FRU{}}
	sdr, sel := map[uint16]int{}, map[uint16]int{}
	fru := map[uint8]map[int][]byte{}
	for _, x := range xs {
		switch {
		case x.isSDR():
			m.Device = m.Device || x.NetFn == fnSensor
			m.sdrPart(sdr, x)
		case x.isSEL():
			id := binary.LittleEndian.Uint16(x.Request[2:])
			r := Record{Asked: id, Code: x.Code, Error: x.Error}
			if len(x.Response) >= 2 {
				r.Next, r.Data = binary.LittleEndian.Uint16(x.Response), x.Response[2:]
			}
			if i, known := sel[id]; known {
				m.SEL[i] = r
			} else {
				sel[id] = len(m.SEL)
				m.SEL = append(m.SEL, r)
			}
		case x.isFRU():
			if x.Code != 0 || x.Error != "" || len(x.Response) < 2 {
				m.Exchanges = append(m.Exchanges, *x)
				continue
			}
			id := x.Request[0]
			if fru[id] == nil {
				fru[id] = map[int][]byte{}
			}
			fru[id][int(binary.LittleEndian.Uint16(x.Request[1:]))] = x.Response[1:min(len(x.Response), 1+max(int(x.Response[0]), 0))]
		case x.reservation():
		default:
			m.Exchanges = append(m.Exchanges, *x)
		}
	}
	words := map[uint8]bool{}
	for _, x := range xs {
		if x.NetFn == fnStorage && x.Cmd == 0x10 && len(x.Request) == 1 && len(x.Response) >= 3 && x.Response[2]&1 != 0 {
			words[x.Request[0]] = true
		}
	}
	m.SDRLimit = limitOf(xs, (*Exchange).isSDR, 5)
	m.FRULimit = limitOf(xs, (*Exchange).isFRU, 3)
	for id, parts := range fru {
		m.FRU = append(m.FRU, FRU{ID: id, Parts: joinParts(parts, words[id])})
	}
	slices.SortFunc(m.FRU, func(a, b FRU) int { return cmp.Compare(a.ID, b.ID) })
	return m
}

// refusedSize tells the codes by which BMCs refuse to return so many bytes.
func refusedSize(code uint8) bool {
	return slices.Contains([]uint8{0xc7, 0xc8, 0xc9, 0xca, 0xce, 0xff}, code)
}

// limitOf is the least count that was refused and is above every count that was answered: what was refused below has
// another reason, of the record or device it was asked of.
func limitOf(xs []*Exchange, of func(*Exchange) bool, count int) Limit {
	answered := 0
	for _, x := range xs {
		if of(x) && x.Code == 0 && x.Error == "" {
			answered = max(answered, int(x.Request[count]))
		}
	}
	var l Limit
	for _, x := range xs {
		if !of(x) || !refusedSize(x.Code) {
			continue
		}
		if n := int(x.Request[count]); n > answered && (l.Refused == 0 || n < l.Refused) {
			l = Limit{Refused: n, Code: x.Code}
		}
	}
	return l
}

func (m *IPMI) sdrPart(at map[uint16]int, x *Exchange) {
	id, offset := binary.LittleEndian.Uint16(x.Request[2:]), int(x.Request[4])
	i, known := at[id]
	if !known {
		i = len(m.SDR)
		at[id] = i
		m.SDR = append(m.SDR, Record{Asked: id})
	}
	r := &m.SDR[i]
	if x.Code != 0 || x.Error != "" || len(x.Response) < 2 {
		if len(r.Data) == 0 || !complete(r.Data) {
			r.Code, r.Error = x.Code, x.Error
		}
		return
	}
	r.Next = binary.LittleEndian.Uint16(x.Response)
	b := x.Response[2:]
	if offset <= len(r.Data) && offset+len(b) > len(r.Data) {
		r.Data = append(r.Data[:offset:offset], b...)
	}
	if complete(r.Data) {
		r.Code, r.Error = 0, ""
	}
}

// complete tells whether a data record is as long as its header says.
func complete(b []byte) bool { return len(b) >= 5 && len(b) >= 5+int(b[4]) }

// joinParts puts what was read of a device into runs without overlap. Offsets of some devices count words of two bytes.
func joinParts(parts map[int][]byte, words bool) []Part {
	unit := 1
	if words {
		unit = 2
	}
	offsets := make([]int, 0, len(parts))
	for o := range parts {
		offsets = append(offsets, o)
	}
	slices.Sort(offsets)
	var out []Part
	for _, o := range offsets {
		b := parts[o]
		at := o * unit
		if n := len(out); n > 0 {
			last := &out[n-1]
			end := last.Offset + len(last.Data)
			if at <= end {
				if skip := end - at; skip < len(b) {
					last.Data = append(last.Data, b[skip:]...)
				}
				continue
			}
		}
		out = append(out, Part{Offset: at, Data: slices.Clone(b)})
	}
	return out
}

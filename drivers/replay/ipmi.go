package replay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"dewline/health"
	"dewline/internal/capture"
)

// Completion codes a recording answers with by itself (IPMI 2.0 table 5-2).
const (
	codeInvalidCommand = 0xc1
	codeOutOfRange     = 0xc9
	codeNotPresent     = 0xcb
)

// IPMI answers commands as a recorded BMC did. It can be used from several goroutines at once.
type IPMI struct {
	exchanges map[string]*capture.Exchange
	rec       *capture.IPMI
	sdr, sel  map[uint16]*capture.Record
	fru       map[uint8]*capture.FRU
	words     map[uint8]bool
}

// NewIPMI makes a BMC of a recording.
func NewIPMI(r *capture.Recording) (*IPMI, error) {
	if r.IPMI == nil {
		return nil, errors.New("this recording is not of IPMI")
	}
	b := &IPMI{
		exchanges: map[string]*capture.Exchange{}, rec: r.IPMI, sdr: chain(r.IPMI.SDR), sel: chain(r.IPMI.SEL),
		fru: map[uint8]*capture.FRU{}, words: map[uint8]bool{},
	}
	for i := range r.IPMI.Exchanges {
		x := &r.IPMI.Exchanges[i]
		b.exchanges[key(x.NetFn, x.Cmd, x.LUN, x.Request)] = x
		if x.NetFn == 0x0a && x.Cmd == 0x10 && len(x.Request) == 1 && len(x.Response) >= 3 {
			b.words[x.Request[0]] = x.Response[2]&1 != 0
		}
	}
	for i := range r.IPMI.FRU {
		b.fru[r.IPMI.FRU[i].ID] = &r.IPMI.FRU[i]
	}
	return b, nil
}

// chain finds records by the ID they were asked by, and by their own.
func chain(rs []capture.Record) map[uint16]*capture.Record {
	m := map[uint16]*capture.Record{}
	for i := range rs {
		if len(rs[i].Data) >= 2 {
			m[binary.LittleEndian.Uint16(rs[i].Data)] = &rs[i]
		}
	}
	for i := range rs {
		m[rs[i].Asked] = &rs[i]
	}
	return m
}

func key(netFn, cmd, lun uint8, data []byte) string {
	return fmt.Sprintf("%x.%x.%x.%x", netFn, lun, cmd, data)
}

// Exchange answers one command.
func (b *IPMI) Exchange(ctx context.Context, netFn, cmd, lun uint8, data []byte) (uint8, []byte, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err //nolint:wrapcheck // of the caller's own context
	}
	switch {
	case netFn == 0x0a && (cmd == 0x22 || cmd == 0x42), netFn == 0x04 && cmd == 0x22: // a reservation of records that do not change
		return 0, []byte{1, 0}, nil
	case (netFn == 0x0a && cmd == 0x23 || netFn == 0x04 && cmd == 0x21) && len(data) == 6:
		if (netFn == 0x04) != b.rec.Device {
			return codeInvalidCommand, nil, nil
		}
		return part(b.sdr[binary.LittleEndian.Uint16(data[2:])], int(data[4]), int(data[5]), b.rec.SDRLimit)
	case netFn == 0x0a && cmd == 0x43 && len(data) == 6:
		return part(b.sel[binary.LittleEndian.Uint16(data[2:])], int(data[4]), int(data[5]), capture.Limit{})
	}
	if x := b.exchanges[key(netFn, cmd, lun, data)]; x != nil {
		if x.Error != "" {
			return 0, nil, silence(health.Reason(x.Error))
		}
		if netFn == 0x0a && cmd == 0x48 && x.Code == 0 && len(x.Response) == 4 {
			return 0, clock(x), nil
		}
		return x.Code, bytes.Clone(x.Response), nil
	}
	if netFn == 0x0a && cmd == 0x11 && len(data) == 4 {
		return b.readFRU(data[0], int(binary.LittleEndian.Uint16(data[1:])), int(data[3]))
	}
	return codeInvalidCommand, nil, nil
}

// clock is the BMC's time as it was when the recording began, which is the time that a replay tells.
func clock(x *capture.Exchange) []byte {
	t := binary.LittleEndian.Uint32(x.Response)
	if t != 0xffffffff {
		t -= uint32(x.After.Round(time.Second) / time.Second)
	}
	return binary.LittleEndian.AppendUint32(nil, t)
}

func silence(reason health.Reason) error {
	return &health.Error{Reason: reason, Op: "replay", Err: errors.New("as recorded: no proper answer came")}
}

// part is some bytes of a record, behind the ID of its successor.
func part(r *capture.Record, offset, count int, limit capture.Limit) (uint8, []byte, error) {
	switch {
	case r == nil:
		return codeNotPresent, nil, nil
	case limit.Refused > 0 && count >= limit.Refused:
		return limit.Code, nil, nil
	case offset >= len(r.Data) && r.Code != 0:
		return r.Code, nil, nil
	case offset >= len(r.Data) && r.Error != "":
		return 0, nil, silence(health.Reason(r.Error))
	case offset > len(r.Data):
		return codeOutOfRange, nil, nil
	}
	b := r.Data[offset:min(offset+count, len(r.Data))]
	return 0, append(binary.LittleEndian.AppendUint16(nil, r.Next), b...), nil
}

// readFRU is some bytes of a FRU device, behind their count.
func (b *IPMI) readFRU(id uint8, offset, count int) (uint8, []byte, error) {
	f := b.fru[id]
	if f == nil {
		return codeNotPresent, nil, nil
	}
	if l := b.rec.FRULimit; l.Refused > 0 && count >= l.Refused {
		return l.Code, nil, nil
	}
	unit := 1
	if b.words[id] {
		unit = 2
	}
	offset, count = offset*unit, count*unit
	for _, p := range f.Parts {
		if at := offset - p.Offset; at >= 0 && at < len(p.Data) {
			got := p.Data[at:min(at+count, len(p.Data))]
			return 0, append([]byte{byte(len(got) / unit)}, got...), nil
		}
	}
	return codeOutOfRange, nil, nil
}

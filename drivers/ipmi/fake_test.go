package ipmi

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"dewline/health"
)

// fakeBMC answers commands from Go values: the cases no simulator can be made to play.
type fakeBMC struct {
	later    time.Duration // by which its visits are later than 2027-01-15T08:00:00Z
	t        testing.TB
	answers  map[[2]uint8]func(c command) ([]byte, error)
	calls    map[[2]uint8]int
	total    int
	maxCalls int
}

func newFake(t testing.TB) *fakeBMC {
	return &fakeBMC{t: t, answers: map[[2]uint8]func(command) ([]byte, error){}, calls: map[[2]uint8]int{}, maxCalls: 100_000}
}

func refusal(code uint8) error {
	return &health.Error{Reason: codeError(code).reason(), Op: "test", Err: codeError(code)}
}

func (f *fakeBMC) call(ctx context.Context, c command) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, transportError(ctx, c.op, err)
	}
	k := [2]uint8{c.netFn, c.cmd}
	f.calls[k]++
	if f.total++; f.total > f.maxCalls {
		f.t.Fatalf("more than %d calls: a loop", f.maxCalls)
	}
	a := f.answers[k]
	if a == nil {
		return nil, refusal(codeInvalidCommand)
	}
	b, err := a(c)
	if err == nil && len(b) < c.want {
		err = &health.Error{Reason: health.ReasonMalformed, Op: c.op, Err: fmt.Errorf("short answer of %d bytes", len(b))}
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (f *fakeBMC) on(netFn, cmd uint8, a func(c command) ([]byte, error)) {
	f.answers[[2]uint8{netFn, cmd}] = a
}

func (f *fakeBMC) visit(tiers ...health.Tier) *visit {
	return &visit{
		c: f, req: health.Request{Tiers: health.TiersOf(tiers...)}, snap: &health.Snapshot{HostPower: health.HostOn},
		mem: &memory{Version: memoryVersion}, now: time.Unix(1_800_000_000, 0).Add(f.later), clock: time.Now, log: slog.New(slog.DiscardHandler),
	}
}

// sdrs serves records as a repository; chain gives the successor of each.
type fakeSDRs struct {
	ids      []uint16
	records  map[uint16][]byte
	next     map[uint16]uint16
	limit    int // most bytes at once, 0 for any
	cancel   int // reservations to cancel
	reserved uint16
	info     stamp
}

func sdrsOf(recs ...[]byte) *fakeSDRs {
	s := &fakeSDRs{records: map[uint16][]byte{}, next: map[uint16]uint16{}, info: stamp{Count: uint16(len(recs)), Add: 1_700_000_000, Erase: 1_600_000_000}}
	for i, r := range recs {
		id := binary.LittleEndian.Uint16(r)
		s.ids = append(s.ids, id)
		s.records[id] = r
		s.next[id] = 0xffff
		if i > 0 {
			s.next[s.ids[i-1]] = id
		}
	}
	return s
}

func (s *fakeSDRs) serve(f *fakeBMC) {
	f.on(netFnStorage, 0x20, func(command) ([]byte, error) {
		b := binary.LittleEndian.AppendUint16([]byte{0x51}, s.info.Count)
		b = append(b, 0xff, 0xff)
		b = binary.LittleEndian.AppendUint32(b, s.info.Add)
		b = binary.LittleEndian.AppendUint32(b, s.info.Erase)
		return append(b, 2), nil
	})
	f.on(netFnStorage, 0x22, func(command) ([]byte, error) {
		s.reserved++
		return binary.LittleEndian.AppendUint16(nil, s.reserved), nil
	})
	f.on(netFnStorage, 0x23, s.get)
}

func (s *fakeSDRs) get(c command) ([]byte, error) {
	id, offset, count := binary.LittleEndian.Uint16(c.data[2:]), int(c.data[4]), int(c.data[5])
	if id == 0 && len(s.ids) > 0 {
		id = s.ids[0]
	}
	rec, ok := s.records[id]
	if !ok {
		return nil, refusal(codeNotPresent)
	}
	if offset > 0 || count < wholeRecord {
		if s.cancel > 0 {
			s.cancel--
			return nil, refusal(codeReservation)
		}
		if binary.LittleEndian.Uint16(c.data) != s.reserved {
			return nil, refusal(codeReservation)
		}
	}
	if s.limit > 0 && count > s.limit {
		return nil, refusal(codeCannotReturn)
	}
	part := rec[min(offset, len(rec)):min(offset+count, len(rec))]
	return append(binary.LittleEndian.AppendUint16(nil, s.next[id]), part...), nil
}

// fakeSEL is a log.
type fakeSEL struct {
	recs       [][]byte
	add, erase uint32
	free       uint16
	overflow   bool
	loop       bool
	meanwhile  func() // happens before the next entry is read, once
}

func selRecord(id uint16, ts uint32, typ, number, dir uint8, data ...byte) []byte {
	b := make([]byte, 16)
	binary.LittleEndian.PutUint16(b, id)
	b[2] = selSystemEvent
	binary.LittleEndian.PutUint32(b[3:], ts)
	b[7], b[9], b[10], b[11], b[12] = addrBMC, 4, typ, number, dir
	copy(b[13:], append(data, 0xff, 0xff, 0xff)[:3])
	return b
}

func (s *fakeSEL) append(n int) {
	for range n {
		id := uint16(1)
		if len(s.recs) > 0 {
			id = recordID(s.recs[len(s.recs)-1]) + 1
		}
		s.add++
		s.recs = append(s.recs, selRecord(id, s.add, typeDriveSlot, 9, eventSpecific, 1))
	}
}

func (s *fakeSEL) serve(f *fakeBMC) {
	f.on(netFnStorage, 0x40, func(command) ([]byte, error) {
		b := binary.LittleEndian.AppendUint16([]byte{0x51}, uint16(len(s.recs)))
		b = binary.LittleEndian.AppendUint16(b, s.free)
		b = binary.LittleEndian.AppendUint32(b, s.add)
		b = binary.LittleEndian.AppendUint32(b, s.erase)
		op := byte(2)
		if s.overflow {
			op |= 0x80
		}
		return append(b, op), nil
	})
	f.on(netFnStorage, 0x43, func(c command) ([]byte, error) {
		if do := s.meanwhile; do != nil {
			s.meanwhile = nil
			do()
		}
		id := binary.LittleEndian.Uint16(c.data[2:])
		for i, r := range s.recs {
			if recordID(r) == id || id == 0 && i == 0 || id == selLast && i == len(s.recs)-1 {
				next := uint16(0xffff)
				if i+1 < len(s.recs) {
					next = recordID(s.recs[i+1])
				} else if s.loop {
					next = recordID(s.recs[0])
				}
				return append(binary.LittleEndian.AppendUint16(nil, next), r...), nil
			}
		}
		return nil, refusal(codeNotPresent)
	})
}

// readSEL reads the log once and gives the visit.
func (f *fakeBMC) readSEL(cursors health.Cursors, limit int) *visit {
	f.t.Helper()
	v := f.visit(health.TierEvents)
	v.req.Cursors, v.req.LogLimit = cursors, limit
	if err := v.readSEL(f.t.Context()); err != nil && !isRecordError(err) {
		f.t.Fatal(err)
	}
	return v
}

package ipmi

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"dewline/health"
)

// fruLocator is a locator record of a logical FRU device of the BMC (IPMI 2.0 table 43-7).
func fruLocator(id uint16, fru uint8, name string) []byte {
	b := make([]byte, 16+len(name))
	binary.LittleEndian.PutUint16(b, id)
	b[2], b[3], b[4] = 0x51, 0x11, byte(len(b)-5)
	b[5], b[6], b[7], b[12], b[13], b[15] = addrBMC, fru, 0x80, 0x07, fru, 0xc0|byte(len(name))
	copy(b[16:], name)
	return b
}

// fruImage is a FRU device with a product area.
func fruImage(serial string) []byte {
	area := []byte{1, 0, 25, 0xc4, 'A', 'c', 'm', 'e', 0xc1 + 4, 'M', 'o', 'd', 'e', 'l', 0xc0, 0xc0, 0xc0 | byte(len(serial))}
	area = append(append(area, serial...), 0xc0, 0xc1)
	for len(area)%8 != 7 {
		area = append(area, 0)
	}
	area[1] = byte(len(area)/8 + 1)
	area = append(area, checksum(area))
	head := []byte{1, 0, 0, 0, 1, 0, 0}
	return append(append(head, checksum(head)), area...)
}

// slowFRU is a BMC of twelve FRU devices that takes its time for every read of one.
type slowFRU struct {
	f    *fakeBMC
	each time.Duration
	now  time.Time
	mem  json.RawMessage
}

func newSlowFRU(t *testing.T) *slowFRU {
	s := &slowFRU{f: newFake(t), each: 3 * time.Second, now: time.Unix(1_800_000_000, 0)}
	var recs [][]byte
	images := map[uint8][]byte{0: fruImage("MACHINE")}
	for n := range uint8(11) {
		recs = append(recs, fruLocator(uint16(n)+1, n+1, fmt.Sprintf("Board %d", n+1)))
		images[n+1] = fruImage(fmt.Sprintf("SER%d", n+1))
	}
	sdrsOf(recs...).serve(s.f)
	s.f.on(netFnApp, 0x01, func(command) ([]byte, error) {
		return []byte{0x20, 1, 3, 0x45, 2, 0xbf, 0x7c, 0x2a, 0, 0x5f, 0x0b}, nil
	})
	s.f.on(netFnStorage, 0x10, func(c command) ([]byte, error) { return []byte{byte(len(images[c.data[0]])), 0, 0}, nil })
	s.f.on(netFnStorage, 0x11, func(c command) ([]byte, error) {
		s.now = s.now.Add(s.each)
		image, at, n := images[c.data[0]], int(binary.LittleEndian.Uint16(c.data[1:])), int(c.data[3])
		return append([]byte{byte(n)}, image[at:at+n]...), nil
	})
	return s
}

func (s *slowFRU) inventory(t *testing.T) (*visit, time.Duration) {
	t.Helper()
	v := s.f.visit(health.TierInventory)
	v.req.Patience, v.now, v.clock = time.Minute, s.now, func() time.Time { return s.now }
	var err error
	if v.mem, err = loadMemory(s.mem); err != nil {
		t.Fatal(err)
	}
	if err := v.run(t.Context()); err != nil && !isAnyCode(err) {
		t.Fatal(err)
	}
	took := s.now.Sub(v.now)
	if s.mem, err = json.Marshal(v.mem); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(24 * time.Hour)
	return v, took
}

func boards(v *visit) (read []health.ComponentID) {
	for _, c := range v.snap.Components {
		if c.Place == placeFRU {
			read = append(read, c.ID)
		}
	}
	return read
}

func TestTheFRUDataOfASlowBMCIsReadInTurnOverSeveralInventories(t *testing.T) {
	s := newSlowFRU(t)
	seen := map[health.ComponentID]int{}
	for day := range 6 {
		v, took := s.inventory(t)
		if took > time.Minute || v.snap.Identity == nil || v.snap.Identity.Serial != "MACHINE" {
			t.Errorf("day %d took %s: %+v", day, took, v.snap.Identity)
		}
		read := boards(v)
		for _, id := range read {
			seen[id]++
		}
		left := 11 - len(read)
		if !slices.ContainsFunc(v.snap.Gaps, func(g health.Gap) bool {
			return g.Reason == health.ReasonBudget && g.Place == placeFRU && g.Part == fmt.Sprintf("FRU data of %d devices", left)
		}) || slices.Contains(v.snap.Scope, placeFRU) || len(read) == 0 {
			t.Errorf("day %d: read %v, gaps %+v, scope %v", day, read, v.snap.Gaps, v.snap.Scope)
		}
	}
	for id, n := range seen {
		if n > 3 {
			t.Errorf("%s had %d turns in six days", id, n)
		}
	}
	if len(seen) != 11 {
		t.Errorf("%d of 11 boards had a turn: %v", len(seen), seen)
	}
	l, ok := Learned(s.mem)
	if !ok || len(l.Slow) != 1 || l.Slow[0].Part != "FRU data" || l.Slow[0].Members != 12 || l.Slow[0].Oldest.IsZero() {
		t.Errorf("learned %+v", l.Slow)
	}

	s.each = time.Millisecond
	v, _ := s.inventory(t)
	if read := boards(v); len(read) != 11 || len(v.snap.Gaps) > 0 || !slices.Contains(v.snap.Scope, placeFRU) || v.mem.SlowFRUs != nil {
		t.Errorf("fast again: %v, gaps %+v, %+v", read, v.snap.Gaps, v.mem.SlowFRUs)
	}
}

// A device that alone takes longer than there is: the machine is not said to have lost its serial number, and the others have
// their turn.
func TestAFRUDeviceThatTakesTheWholeVisitIsLeft(t *testing.T) {
	s := newSlowFRU(t)
	s.each = 40 * time.Second
	v, took := s.inventory(t)
	if took > 2*time.Minute || v.snap.Identity != nil || !slices.ContainsFunc(v.snap.Gaps, func(g health.Gap) bool { return g.Part == "FRU FRU 0" && g.Reason == health.ReasonBudget }) {
		t.Errorf("took %s, %+v, gaps %+v", took, v.snap.Identity, v.snap.Gaps)
	}
}

// One that gives a byte at a time, of thirty-two devices: the requests for all of them have a bound as well.
func TestRequestsForFRUDataAreBounded(t *testing.T) {
	s := newSlowFRU(t)
	s.each = 0
	s.f.on(netFnStorage, 0x10, func(command) ([]byte, error) { return []byte{0xff, 0xff, 0}, nil })
	image := bytes.Repeat([]byte{0}, 0x10000)
	copy(image, []byte{1, 0, 1, 1, 1, 0, 0})
	image[7] = checksum(image[:7])
	image[8], image[9] = 1, 255
	s.f.on(netFnStorage, 0x11, func(c command) ([]byte, error) { return []byte{1, image[binary.LittleEndian.Uint16(c.data[1:])]}, nil })
	v, _ := s.inventory(t)
	if n := s.f.calls[[2]uint8{netFnStorage, 0x11}]; n > maxFRUReads || n < maxFRUReads/2 {
		t.Errorf("%d reads", n)
	}
	if !slices.ContainsFunc(v.snap.Gaps, func(g health.Gap) bool { return g.Reason == health.ReasonBudget && g.Place == placeFRU }) {
		t.Errorf("gaps %+v", v.snap.Gaps)
	}
}

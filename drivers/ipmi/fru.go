package ipmi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"dewline/health"
	"dewline/internal/quirk"
)

const (
	firstFRUSize = 64 // bytes asked for at first; halved when refused
	minFRUSize   = 8
	maxFRUArea   = 255 * 8
)

// inventory is what the areas of a FRU device say; empty texts were not told.
type inventory struct {
	ChassisPart, ChassisSerial                                                          string
	BoardMaker, BoardName, BoardSerial, BoardPart                                       string
	ProductMaker, ProductName, ProductPart, ProductVersion, ProductSerial, ProductAsset string
}

var errFRU = errors.New("malformed FRU data")

// describe gives a part its maker, model and serial: the component that already stands for its entity, or one of its own.
func (v *visit) describe(l locator, inv *inventory) {
	class, known := entityClasses[l.entity]
	if !known {
		class = health.ClassChassis
	}
	c := health.Component{
		ID: health.ComponentID(string(class) + "/" + l.name), Class: class, Name: l.name, Location: location(l.entity, l.instance),
		Presence: health.Present, Status: "FRU data read", Place: placeFRU, Tier: health.TierInventory,
	}
	if v.named(c.ID, l) {
		c.ID += health.ComponentID(fmt.Sprintf(" (FRU %d)", l.fru))
	}
	if p := v.standsFor(class, l); p != nil {
		c = p.component()
		c.StateNotRead = true
		for i := range v.snap.Components {
			if v.snap.Components[i].ID == p.id {
				inv.describe(&v.snap.Components[i])
				return
			}
		}
	}
	inv.describe(&c)
	v.snap.Components = append(v.snap.Components, c)
}

// named tells whether a sensor or another FRU device has an ID already.
func (v *visit) named(id health.ComponentID, l locator) bool {
	for _, p := range v.mem.SDR.sensors {
		if p.id == id {
			return true
		}
	}
	for _, o := range v.mem.SDR.frus {
		if o.fru != l.fru && o.name == l.name {
			return true
		}
	}
	return false
}

// standsFor is the one sensor whose component is a locator's part, nil if none or several are.
func (v *visit) standsFor(class health.Class, l locator) *part {
	var found *part
	for _, p := range v.mem.SDR.sensors {
		if p.eventOnly || p.class != class || p.entity != l.entity || p.instance != l.instance {
			continue
		}
		if found != nil {
			return nil
		}
		found = p
	}
	return found
}

// readFRU reads one device's areas (sections 34.1, 34.2): the header, then only the areas that identify. What can be read of a
// partly broken device is returned beside the error.
func (v *visit) readFRU(ctx context.Context, fru uint8) (*inventory, error) {
	info, err := v.c.call(ctx, command{op: fmt.Sprintf("get FRU %d area info", fru), netFn: netFnStorage, cmd: 0x10, data: []byte{fru}, want: 3})
	if err != nil {
		return nil, err
	}
	r := &fruReader{v: v, fru: fru, size: int(binary.LittleEndian.Uint16(info)), words: info[2]&1 != 0}
	h, err := r.read(ctx, 0, 8)
	if err != nil {
		return nil, err
	}
	areas, err := fruAreas(h)
	if err != nil {
		return nil, err
	}
	inv := &inventory{}
	var bad error
	for kind, offset := range areas {
		if offset == 0 {
			continue
		}
		a, err := r.area(ctx, offset)
		if err == nil {
			err = inv.decode(kind, a)
		}
		if err != nil {
			bad = err
			if errors.Is(err, errFRUBudget) {
				return nil, err // part of it would name another machine than all of it
			}
			if !isAnyCode(err) && !isRecordError(err) && !errors.Is(err, errFRU) {
				return nil, err
			}
		}
	}
	return inv, bad
}

type fruReader struct {
	v     *visit
	fru   uint8
	size  int
	words bool // offsets and counts are in words of two bytes
}

// area reads one area, whose second byte is its length in units of 8 bytes.
func (r *fruReader) area(ctx context.Context, offset int) ([]byte, error) {
	h, err := r.read(ctx, offset, 8)
	if err != nil {
		return nil, err
	}
	n := int(h[1]) * 8
	if n < 8 || n > maxFRUArea || offset+n > r.size {
		return nil, fmt.Errorf("%w: area of %d bytes at %d of %d", errFRU, n, offset, r.size)
	}
	rest, err := r.read(ctx, offset+8, n-8)
	return append(h, rest...), err
}

func (r *fruReader) read(ctx context.Context, offset, n int) ([]byte, error) {
	if offset+n > r.size {
		return nil, fmt.Errorf("%w: %d bytes at %d of %d", errFRU, n, offset, r.size)
	}
	unit := 1
	if r.words {
		unit = 2
	}
	var out []byte
	chunk := r.v.mem.FRUChunk
	if chunk == 0 && r.v.quirk(quirk.SmallReads) {
		chunk = smallChunk
	}
	if chunk < minFRUSize || chunk > firstFRUSize {
		chunk = firstFRUSize
	}
	for tries := 0; len(out) < n; tries++ {
		if tries > n/minFRUSize+8 { // a BMC may give a byte at a time
			return nil, fmt.Errorf("%w: %d of %d bytes in %d reads", errFRU, len(out), n, tries)
		}
		if r.v.fruReads++; r.v.fruReads > maxFRUReads || r.v.spent(1) {
			return nil, errFRUBudget
		}
		at, want := offset+len(out), min(chunk, n-len(out))
		d := []byte{r.fru, byte(at / unit), byte(at / unit >> 8), byte((want + unit - 1) / unit)}
		b, err := r.v.c.call(ctx, command{op: fmt.Sprintf("read FRU %d", r.fru), netFn: netFnStorage, cmd: 0x11, data: d, want: 1})
		if tooMuch(err) && chunk > minFRUSize {
			chunk = max(chunk/2, minFRUSize)
			r.v.mem.FRUChunk = chunk
			continue
		}
		if err != nil {
			return nil, err
		}
		got := head(b[1:], min(int(b[0])*unit, want))
		if len(got) == 0 {
			return nil, fmt.Errorf("%w: no bytes at %d", errFRU, at)
		}
		if r.words && len(got)%2 != 0 && len(out)+len(got) < n {
			return nil, fmt.Errorf("%w: odd count from a device of words", errFRU)
		}
		out = append(out, got...)
	}
	return out, nil
}

// The areas that identify, as their offsets stand in the common header (FRU specification section 8).
const (
	areaChassis = iota
	areaBoard
	areaProduct
)

// fruAreas is where the areas are, in bytes; 0 is none.
func fruAreas(h []byte) ([3]int, error) {
	if len(h) < 8 || checksum(h[:8]) != 0 || h[0]&0x0f != 1 {
		return [3]int{}, fmt.Errorf("%w: header %x", errFRU, head(h, 8))
	}
	return [3]int{int(h[2]) * 8, int(h[3]) * 8, int(h[4]) * 8}, nil
}

// decode reads the fields of an area. Fields may end early; a wrong checksum condemns the area.
func (inv *inventory) decode(kind int, a []byte) error {
	if len(a) < 8 || checksum(a) != 0 {
		return fmt.Errorf("%w: checksum of area", errFRU)
	}
	var to []*string
	at := 3
	switch kind {
	case areaChassis:
		to = []*string{&inv.ChassisPart, &inv.ChassisSerial}
	case areaBoard:
		at = 6 // after the date of manufacture
		to = []*string{&inv.BoardMaker, &inv.BoardName, &inv.BoardSerial, &inv.BoardPart}
	case areaProduct:
		to = []*string{&inv.ProductMaker, &inv.ProductName, &inv.ProductPart, &inv.ProductVersion, &inv.ProductSerial, &inv.ProductAsset}
	}
	body := a[:len(a)-1]
	for _, t := range to {
		if at >= len(body) || body[at] == 0xc1 { // end of fields
			return nil
		}
		n := int(body[at] & 0x3f)
		if at+1+n > len(body) {
			return fmt.Errorf("%w: field of %d bytes at %d of %d", errFRU, n, at, len(a))
		}
		*t = fruText(body[at]>>6, body[at+1:at+1+n])
		at += 1 + n
	}
	return nil
}

// fruText reads a field (FRU specification section 13). Binary fields are text in practice as often as not.
func fruText(kind byte, b []byte) string {
	switch kind {
	case 1:
		return cleanName(decodeBCD(b))
	case 2:
		return cleanName(decodeSixBit(b))
	}
	s := cleanName(decodeText(b))
	if kind == 0 && s == "" && strings.Trim(string(b), "\x00") != "" {
		return fmt.Sprintf("%x", b)
	}
	return s
}

func firstOf(s ...string) string {
	for _, x := range s {
		if x != "" {
			return x
		}
	}
	return ""
}

// identity fills in the machine's identity: the product as sold, else its board, else its chassis.
func (inv *inventory) identity(id *health.Identity) {
	id.Manufacturer = firstOf(inv.ProductMaker, inv.BoardMaker)
	id.Model = firstOf(inv.ProductName, inv.BoardName)
	id.Serial = firstOf(inv.ProductSerial, inv.ChassisSerial, inv.BoardSerial)
	id.SKU = firstOf(inv.ProductPart, inv.ChassisPart, inv.BoardPart)
	id.AssetTag = inv.ProductAsset
}

func (inv *inventory) describe(c *health.Component) {
	c.Manufacturer = firstOf(inv.ProductMaker, inv.BoardMaker)
	c.Model = firstOf(inv.ProductName, inv.BoardName)
	c.Serial = firstOf(inv.ProductSerial, inv.BoardSerial)
	c.PartNumber = firstOf(inv.ProductPart, inv.BoardPart)
}

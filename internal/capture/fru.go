package capture

import (
	"strings"
)

// fruField is one field of a FRU area: its bytes, in place, and what they are.
type fruField struct {
	kind     byte   // how it is encoded (FRU specification section 13)
	b        []byte // in the image
	identity bool   // serial number or asset tag
	custom   bool   // whatever the maker wanted to say
	as       reading
}

// image is the bytes of a FRU device, with what was not read between them as zero.
func (f *FRU) image() (img []byte, have []bool) {
	const most = 1 << 16
	n := 0
	for _, p := range f.Parts {
		if p.Offset >= 0 && p.Offset+len(p.Data) <= most {
			n = max(n, p.Offset+len(p.Data))
		}
	}
	img, have = make([]byte, n), make([]bool, n)
	for _, p := range f.Parts {
		if p.Offset < 0 || p.Offset+len(p.Data) > n {
			continue
		}
		copy(img[p.Offset:], p.Data)
		for i := range p.Data {
			have[p.Offset+i] = true
		}
	}
	return img, have
}

func (f *FRU) restore(img []byte) {
	for i, p := range f.Parts {
		if p.Offset >= 0 && p.Offset+len(p.Data) <= len(img) {
			copy(f.Parts[i].Data, img[p.Offset:])
		}
	}
}

func all(have []bool, from, to int) bool {
	if from < 0 || to > len(have) || from > to {
		return false
	}
	for _, h := range have[from:to] {
		if !h {
			return false
		}
	}
	return true
}

func sum(b []byte) (s byte) {
	for _, c := range b {
		s += c
	}
	return s
}

// edit goes through a device's areas. Fields are given to edit; what cannot be taken apart is given to blind as a whole. A
// checksum that was right is right afterwards, and one that was wrong is as wrong as it was.
func editFRU(img []byte, have []bool, edit func(fruField), blind func([]byte)) {
	if !all(have, 0, 8) || img[0]&0x0f != 1 || sum(img[:8]) != 0 {
		blind(img)
		return
	}
	areas := []int{int(img[1]) * 8, int(img[2]) * 8, int(img[3]) * 8, int(img[4]) * 8, int(img[5]) * 8}
	done := make([]bool, len(img))
	mark := func(from, to int) {
		for i := from; i < min(to, len(img)); i++ {
			done[i] = true
		}
	}
	mark(0, 8)
	for kind, at := range areas[1:4] {
		if at == 0 || at+8 > len(img) || !have[at] || !have[at+1] {
			continue
		}
		n := int(img[at+1]) * 8
		if n < 8 || at+n > len(img) {
			continue
		}
		a := img[at : at+n]
		was := sum(a)
		if !fruFields(kind, a, edit) {
			blind(a[3 : n-1])
		}
		if all(have, at, at+n) {
			a[n-1] -= sum(a) - was
		}
		mark(at, at+n)
	}
	if at := areas[4]; at != 0 {
		for at+5 <= len(img) {
			n := int(img[at+2])
			end := at + 5 + n
			if end > len(img) || !all(have, at, end) {
				break
			}
			data := img[at+5 : end]
			was, head := sum(data)+img[at+3], sum(img[at:at+5])
			if typ := img[at]; typ >= 0xc0 || typ == 0x03 { // the maker's own, and management access: names, addresses
				clear(data)
				img[at+3] = was - sum(data)
				img[at+4] += head - sum(img[at:at+5])
			}
			last := img[at+1]&0x80 != 0
			mark(at, end)
			if at = end; last {
				break
			}
		}
	}
	if at := areas[0]; at != 0 && at < len(img) { // internal use: anything at all
		for i := at + 1; i < len(img) && !done[i]; i++ {
			img[i], done[i] = 0, true
		}
		done[at] = true
	}
	for i := 0; i < len(img); i++ { // what lies between and behind
		if !done[i] {
			end := i
			for end < len(img) && !done[end] {
				end++
			}
			blind(img[i:end])
			i = end
		}
	}
}

// fruFields goes through the fields of an area: 0 chassis, 1 board, 2 product. It tells whether it came to their end.
func fruFields(kind int, a []byte, edit func(fruField)) bool {
	at := 3
	identities, fixed := []int{1}, 2
	switch kind {
	case 1:
		at, identities, fixed = 6, []int{2}, 5
	case 2:
		identities, fixed = []int{4, 5}, 7
	}
	body := a[:len(a)-1]
	for i := 0; ; i++ {
		if at >= len(body) {
			return false
		}
		if body[at] == 0xc1 {
			return true
		}
		n := int(body[at] & 0x3f)
		if at+1+n > len(body) {
			return false
		}
		f := fruField{kind: body[at] >> 6, b: body[at+1 : at+1+n], custom: i >= fixed}
		if kind == 2 && i == 3 {
			f.as = aVersion
		}
		for _, id := range identities {
			f.identity = f.identity || id == i
		}
		edit(f)
		at += 1 + n
	}
}

const bcdDigits = "0123456789 -."

// text is the field as text; ok is false for bytes that are none.
func (f fruField) text() (string, bool) {
	switch f.kind {
	case 1:
		var out []byte
		for _, c := range f.b {
			for _, d := range []byte{c >> 4, c & 0x0f} {
				if int(d) >= len(bcdDigits) {
					return "", false
				}
				out = append(out, bcdDigits[d])
			}
		}
		return string(out), true
	case 2:
		var out []byte
		bits, n := uint32(0), 0
		for _, c := range f.b {
			bits |= uint32(c) << n
			for n += 8; n >= 6; n -= 6 {
				out = append(out, byte(bits&0x3f)+0x20)
				bits >>= 6
			}
		}
		return string(out), true
	}
	for _, c := range f.b {
		if c < 0x20 && c != 0 {
			return "", false
		}
	}
	return string(f.b), true
}

// put writes a text of the same length back.
func (f fruField) put(s string) {
	switch f.kind {
	case 1:
		for i := range f.b {
			hi, lo := strings.IndexByte(bcdDigits, s[2*i]), strings.IndexByte(bcdDigits, s[2*i+1])
			if hi < 0 || lo < 0 {
				hi, lo = 0, 0
			}
			f.b[i] = byte(hi<<4 | lo)
		}
	case 2:
		rest := uint32(0)
		if used := len(s) * 6 % 8; used != 0 { // bits behind the last character stay
			rest = uint32(f.b[len(f.b)-1]) >> used
		}
		bits, n, at := uint32(0), 0, 0
		for i := range len(s) {
			c := s[i]
			if c >= 'a' && c <= 'z' {
				c -= 0x20
			}
			bits |= uint32(c-0x20) & 0x3f << n
			for n += 6; n >= 8; n -= 8 {
				f.b[at] = byte(bits)
				bits >>= 8
				at++
			}
		}
		if at < len(f.b) {
			f.b[at] = byte(bits | rest<<n)
		}
	default:
		copy(f.b, s)
	}
}

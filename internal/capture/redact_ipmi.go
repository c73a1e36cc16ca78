package capture

import (
	"encoding/hex"
	"strings"
)

// cutPadding parts the padding from a text: NULs and blanks on both sides.
func cutPadding(s string) (lead, core, tail string) {
	core = strings.TrimLeft(s, "\x00 ")
	lead = s[:len(s)-len(core)]
	core = strings.TrimRight(core, "\x00 ")
	return lead, core, s[len(lead)+len(core):]
}

// identifier tells whether a word looks like a serial number: letters and digits, and long.
func identifier(s string) bool {
	return len(s) >= 6 && strings.ContainsAny(s, "0123456789") && !strings.ContainsAny(s, " ")
}

// collectIPMI makes known what identities a machine's FRU data and answers name.
func (l *ledger) collectIPMI(m *IPMI) {
	for i := range m.FRU {
		img, have := m.FRU[i].image()
		editFRU(img, have, func(f fruField) {
			s, ok := f.text()
			if !ok {
				return
			}
			_, core, _ := cutPadding(s)
			if f.identity || f.custom && identifier(core) {
				l.find(Serial, core)
			}
			l.collectText(core, f.as)
		}, func(b []byte) { runs(b, func(s []byte) { l.collectText(string(s), prose) }) })
	}
	for i := range m.Exchanges {
		runs(m.Exchanges[i].Response, func(s []byte) { l.collectText(string(s), prose) })
	}
	for i := range m.SEL {
		runs(m.SEL[i].Data, func(s []byte) { l.collectText(string(s), prose) })
	}
}

// rewriteIPMI puts the replacements into them.
func (l *ledger) rewriteIPMI(m *IPMI) {
	for i := range m.FRU {
		img, have := m.FRU[i].image()
		editFRU(img, have, l.field, l.blind)
		m.FRU[i].restore(img)
	}
	for i := range m.Exchanges {
		x := &m.Exchanges[i]
		switch {
		case x.NetFn == fnApp && (x.Cmd == 0x08 || x.Cmd == 0x37) && len(x.Response) == 16: // device and system GUID
			l.guid(x.Response)
		case x.NetFn == fnGroup && (x.Cmd == 0x06 || x.Cmd == 0x09) && len(x.Response) > 2, // DCMI asset tag, controller's name
			x.NetFn == fnApp && x.Cmd == 0x59 && len(x.Response) > 2: // system info: host name, operating system
			l.blind(x.Response[2:])
		case x.isFRU() || len(x.Response) < 6:
		default:
			l.raw(x.Response)
		}
	}
	for i := range m.SDR {
		if d := m.SDR[i].Data; len(d) > 5 {
			l.raw(d[5:])
		}
	}
	for i := range m.SEL {
		if d := m.SEL[i].Data; len(d) > 3 && d[2] >= 0xc0 { // only records of the maker's own have room for any
			l.raw(d[3:])
		}
	}
}

// field replaces what a FRU field names.
func (l *ledger) field(f fruField) {
	s, ok := f.text()
	if !ok {
		if f.identity || f.custom {
			l.opaque(f.b)
		}
		return
	}
	lead, core, tail := cutPadding(s)
	with := ""
	if f.identity || f.custom && identifier(core) {
		with = l.whole(Serial, core)
	} else {
		with = l.text(core, f.as)
	}
	if with != core && len(with) == len(core) {
		f.put(lead + with + tail)
	}
}

// guid replaces a GUID of 16 bytes. Version and variant stand at different places in the byte orders in use: all those
// bytes stay, so that a decoder finds the same order.
func (l *ledger) guid(b []byte) {
	zero := true
	for _, c := range b {
		zero = zero && (c == 0 || c == 0xff)
	}
	if zero {
		return
	}
	c := hex.EncodeToString(b)
	l.used[c] = true
	r, err := hex.DecodeString(l.replacement(UUID, c))
	if err != nil {
		return
	}
	for i := range b {
		if i < 6 || i > 9 {
			b[i] = r[i]
		}
	}
}

// opaque replaces bytes that are no text.
func (l *ledger) opaque(b []byte) {
	c := hex.EncodeToString(b)
	if placeholder(c) {
		return
	}
	l.used[c] = true
	if r, err := hex.DecodeString(l.draw(Serial, "0"+c, 0)[1:]); err == nil && len(r) == len(b) {
		copy(b, r)
	}
}

// blind replaces every text in bytes of unknown structure, whatever it says.
func (l *ledger) blind(b []byte) {
	runs(b, func(s []byte) {
		if with := l.whole(Serial, string(s)); len(with) == len(s) {
			copy(s, with)
		}
	})
	l.binary(b)
}

// raw replaces what is known, and what shows by its form, in bytes of unknown structure.
func (l *ledger) raw(b []byte) {
	runs(b, func(s []byte) {
		if with := l.text(string(s), prose); len(with) == len(s) {
			copy(s, with)
		}
	})
	l.binary(b)
}

// binary replaces the MAC addresses and UUIDs that are known, where they stand as bytes.
func (l *ledger) binary(b []byte) {
	for c, kind := range l.kinds {
		if kind != MAC && kind != UUID || len(c) != 12 && len(c) != 32 {
			continue
		}
		find, err := hex.DecodeString(c)
		if err != nil {
			continue
		}
		with, err := hex.DecodeString(l.replacement(kind, c))
		if err != nil {
			continue
		}
		for i := 0; i+len(find) <= len(b); i++ {
			if string(b[i:i+len(find)]) == string(find) {
				copy(b[i:], with)
				l.used[c] = true
				i += len(find) - 1
			}
		}
	}
}

// runs goes through the runs of printable characters in bytes, of four and more.
func runs(b []byte, do func([]byte)) {
	for i := 0; i < len(b); i++ {
		end := i
		for end < len(b) && b[end] >= 0x20 && b[end] < 0x7f {
			end++
		}
		if end-i >= 4 {
			do(b[i:end])
		}
		i = end
	}
}

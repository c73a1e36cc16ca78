package capture

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// field encodes a FRU field.
func field(kind byte, b ...byte) []byte { return append([]byte{kind<<6 | byte(len(b))}, b...) }

func area(head []byte, fields ...[]byte) []byte {
	a := append([]byte{1, 0}, head...)
	for _, f := range fields {
		a = append(a, f...)
	}
	a = append(a, 0xc1)
	for len(a)%8 != 7 {
		a = append(a, 0)
	}
	a[1] = byte(len(a)+1) / 8
	return append(a, -sum(a))
}

func sixBit(s string) []byte {
	f := fruField{kind: 2, b: make([]byte, len(s)*6/8)}
	f.put(s)
	return field(2, f.b...)
}

func fruImage(t *testing.T, spoil func(chassis, board, product []byte)) []byte {
	t.Helper()
	chassis := area([]byte{0x17}, field(3, []byte("CPART")...), sixBit("CSER1234"), field(3, []byte("MAC A0:B1:C2:D3:E4:F5")...))
	board := area([]byte{25, 1, 2, 3}, field(3, []byte("Maker")...), field(3, []byte("Board X")...), field(3, []byte("BSER98765 ")...), field(3, []byte("BP-1")...), field(3), field(3, []byte("CUSTOM77441X")...))
	product := area([]byte{25}, field(3, []byte("Maker")...), field(3, []byte("Product Y")...), field(3, []byte("PP-2")...), field(3, []byte("1.0.0.1")...), field(1, 0x12, 0x34, 0x56, 0x78), field(3, []byte("ASSET-0042")...), field(3))
	if spoil != nil {
		spoil(chassis, board, product)
	}
	at := []int{8, 8 + len(chassis), 8 + len(chassis) + len(board), 8 + len(chassis) + len(board) + len(product)}
	h := []byte{1, 0, byte(at[0] / 8), byte(at[1] / 8), byte(at[2] / 8), byte(at[3] / 8), 0}
	h = append(h, -sum(h))
	oem := []byte{0xc0, 0x82, 16, 0, 0}
	data := []byte("oem-serial-55321")
	oem[3] = -sum(data)
	oem[4] = -sum(oem[:4])
	return bytes.Join([][]byte{h, chassis, board, product, oem, data}, nil)
}

func recordFRU(t *testing.T, image []byte) (*Recording, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "r.tar.gz")
	j, err := Begin(file, "ipmi ipmi://10.0.0.8", began, "topsecret-ipmi")
	if err != nil {
		t.Fatal(err)
	}
	add := func(netFn, cmd uint8, req, resp []byte) {
		j.AddExchange(&Exchange{NetFn: netFn, Cmd: cmd, Request: req, Response: resp})
	}
	add(fnStorage, 0x10, []byte{0}, []byte{byte(len(image)), byte(len(image) >> 8), 0})
	for at := 0; at < len(image); at += 16 {
		b := image[at:min(at+16, len(image))]
		add(fnStorage, 0x11, []byte{0, byte(at), byte(at >> 8), 16}, append([]byte{byte(len(b))}, b...))
	}
	add(fnApp, 0x37, nil, []byte{0x4c, 0x4c, 0x45, 0x44, 0x51, 0, 0x35, 0x10, 0x80, 0x52, 0xb4, 0xc0, 0x4f, 0x4a, 0x4d, 0x32})
	oem := append([]byte{1, 0, 0xe0}, "BSER98765\xa0\xb1\xc2\xd3"...)
	add(fnStorage, 0x43, []byte{0, 0, 0, 0, 0, 0xff}, append([]byte{2, 0}, oem...))
	mac := append([]byte{2, 0, 0xe1, 0xa0, 0xb1, 0xc2, 0xd3, 0xe4, 0xf5}, "topsecret-ipmi"[:7]...)
	add(fnStorage, 0x43, []byte{0, 0, 2, 0, 0, 0xff}, append([]byte{0xff, 0xff}, mac...))
	add(fnGroup, 0x06, []byte{0xdc, 0, 16}, append([]byte{0xdc, 16}, "topsecret-ipmi-A"...))
	if _, err := j.Finish(FinishOptions{Now: began}); err != nil {
		t.Fatal(err)
	}
	r, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	_, content := unpacked(t, file)
	return r, content
}

func TestFRUDataIsRedactedAndStaysWhole(t *testing.T) {
	image := fruImage(t, nil)
	r, _ := recordFRU(t, image)
	if len(r.IPMI.FRU) != 1 || len(r.IPMI.FRU[0].Parts) != 1 {
		t.Fatalf("%+v", r.IPMI.FRU)
	}
	got := []byte(r.IPMI.FRU[0].Parts[0].Data)
	if len(got) != len(image) {
		t.Fatalf("%d bytes of %d", len(got), len(image))
	}
	texts := map[string]bool{}
	have := make([]bool, len(got))
	for i := range have {
		have[i] = true
	}
	editFRU(bytes.Clone(got), have, func(f fruField) {
		if s, ok := f.text(); ok {
			texts[strings.TrimSpace(s)] = true
		}
	}, func(b []byte) {
		if len(bytes.Trim(b, "\x00")) > 0 {
			t.Errorf("not taken apart: %q", b)
		}
	})
	for _, s := range []string{"CSER1234", "BSER98765", "12345678", "ASSET-0042", "CUSTOM77441X", "MAC A0:B1:C2:D3:E4:F5"} {
		if texts[s] {
			t.Errorf("%s is still there", s)
		}
	}
	for _, s := range []string{"CPART", "Maker", "Board X", "BP-1", "Product Y", "PP-2", "1.0.0.1"} {
		if !texts[s] {
			t.Errorf("%s is gone: %v", s, texts)
		}
	}
	if bytes.Contains(got, []byte("oem-serial")) {
		t.Error("the maker's own record is still there")
	}
	for kind, at := range got[2:5] {
		a := got[int(at)*8:]
		if a = a[:int(a[1])*8]; sum(a) != 0 {
			t.Errorf("checksum of area %d", kind)
		}
	}
	rec := got[int(got[5])*8:]
	if sum(rec[:5]) != 0 || sum(rec[5:21])+rec[3] != 0 {
		t.Error("checksums of the multi-record")
	}
	for _, s := range r.IPMI.SEL {
		if bytes.Contains(s.Data, []byte("BSER98765")) || bytes.Contains(s.Data, []byte{0xa0, 0xb1, 0xc2, 0xd3, 0xe4, 0xf5}) {
			t.Errorf("a log record names the machine: %q", s.Data)
		}
	}
	for _, x := range r.IPMI.Exchanges {
		if x.Cmd == 0x37 && (bytes.HasPrefix(x.Response, []byte{0x4c, 0x4c, 0x45}) || x.Response[7] != 0x10 || x.Response[8] != 0x80) {
			t.Errorf("GUID %x", x.Response)
		}
		if bytes.Contains(x.Response, []byte("topsecret-ipmi")) {
			t.Errorf("the password is in %q", x.Response)
		}
	}
}

// TestAWrongChecksumStaysWrong: it may be what the report is about.
func TestAWrongChecksumStaysWrong(t *testing.T) {
	r, _ := recordFRU(t, fruImage(t, func(_, board, _ []byte) { board[len(board)-1] += 5 }))
	got := []byte(r.IPMI.FRU[0].Parts[0].Data)
	b := got[int(got[3])*8:]
	if b = b[:int(b[1])*8]; sum(b) != 5 || bytes.Contains(b, []byte("BSER98765")) {
		t.Errorf("sum %d of %q", sum(b), b)
	}
}

func TestFRUDataWithoutStructureIsRedactedBlindly(t *testing.T) {
	image := append([]byte{9, 9, 9}, "garbage SERIAL4711 and more ABCD1234"...)
	r, _ := recordFRU(t, image)
	if got := r.IPMI.FRU[0].Parts[0].Data; bytes.Contains(got, []byte("4711")) || bytes.Contains(got, []byte("ABCD1234")) {
		t.Errorf("%q", got)
	}
}

func FuzzFRU(f *testing.F) {
	f.Add([]byte{1, 0, 1, 0, 0, 0, 0, 0xfe, 1, 1, 0x17, 0xc1, 0, 0, 0, 0x26})
	f.Fuzz(func(t *testing.T, b []byte) {
		have := make([]bool, len(b))
		for i := range have {
			have[i] = i%97 != 13
		}
		l := newLedger(make([]byte, 32))
		m := &IPMI{FRU: []FRU{{Parts: []Part{{Data: bytes.Clone(b)}}}}, SEL: []Record{{Data: bytes.Clone(b)}}, SDR: []Record{{Data: bytes.Clone(b)}}}
		l.collectIPMI(m)
		l.settle()
		l.rewriteIPMI(m)
		if len(m.FRU[0].Parts[0].Data) != len(b) {
			t.Error("another length")
		}
		editFRU(bytes.Clone(b), have, l.field, l.blind)
	})
}

func TestATapServesWhatTheJournalHolds(t *testing.T) {
	j, err := Begin(filepath.Join(t.TempDir(), "x"), "ipmi a", began)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	asked := 0
	x := j.Tap(func(_ context.Context, netFn, cmd, lun uint8, data []byte) (uint8, []byte, error) {
		asked++
		return 0, []byte{byte(asked)}, nil
	}, NewPace(1e6), func() time.Time { return began }, func(error) string { return "" })
	for _, c := range []struct {
		what string
		req  []byte
		cmd  uint8
		want int
	}{
		{"a question", []byte{1}, 0x10, 1}, {"the same", []byte{1}, 0x10, 1}, {"another", []byte{2}, 0x10, 2},
		{"a record", []byte{7, 7, 1, 0, 0, 16}, 0x23, 3}, {"the same under another reservation", []byte{8, 8, 1, 0, 0, 16}, 0x23, 3},
		{"a reservation", nil, 0x22, 4}, {"a reservation anew", nil, 0x22, 5},
	} {
		if _, _, err := x(t.Context(), fnStorage, c.cmd, 0, c.req); err != nil || asked != c.want {
			t.Errorf("%s: asked %d times, want %d, %v", c.what, asked, c.want, err)
		}
	}
}

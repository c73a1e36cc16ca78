package ipmi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"dewline/health"
)

// pair is the two ends of a session: what one seals the other opens.
func pair(id int) (bmc, console *seal) {
	su, _ := suiteByID(id)
	k1, k2 := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	return &seal{suite: su, k1: k1, k2: k2, local: 7, remote: 9}, &seal{suite: su, k1: k1, k2: k2, local: 9, remote: 7}
}

func response(seq uint8, data ...byte) []byte {
	b := []byte{addrConsole, (netFnSensor | 1) << 2}
	b = append(b, checksum(b), addrBMC, seq<<2, 0x2d, 0)
	b = append(b, data...)
	return append(b, checksum(b[3:]))
}

func TestSealedDatagrams(t *testing.T) {
	for _, id := range []int{3, 17} {
		bmc, console := pair(id)
		for n := range 40 { // every length of padding
			msg := response(5, bytes.Repeat([]byte{0xa5}, n)...)
			d, err := bmc.encode(msg)
			if err != nil {
				t.Fatal(err)
			}
			if (len(d)-4-bmc.suite.code)%4 != 0 {
				t.Errorf("suite %d: signed range of %d bytes", id, len(d)-4-bmc.suite.code)
			}
			got, err := console.decode(d)
			if err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("suite %d, %d bytes: %x %v", id, n, got, err)
			}
			if _, err := console.decode(d); !errors.Is(err, errReplayed) {
				t.Fatalf("a replay: %v", err)
			}
			for i := range d { // any flipped bit is noticed
				bad := bytes.Clone(d)
				bad[i] ^= 0x10
				if m, err := console.decode(bad); err == nil {
					t.Fatalf("suite %d: flipped byte %d believed: %x", id, i, m)
				}
			}
			for i := range d {
				if _, err := console.decode(d[:i]); err == nil {
					t.Fatalf("suite %d: believed when cut to %d bytes", id, i)
				}
			}
		}
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, x := range []struct {
		seq  uint32
		want bool
	}{{0, false}, {5, true}, {5, false}, {4, true}, {4, false}, {40, true}, {9, true}, {8, false}, {5, false}, {39, true}, {1000, true}, {968, false}, {969, true}, {969, false}} {
		if got := w.take(x.seq); got != x.want {
			t.Errorf("%d: %v", x.seq, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"ipmi://10.0.0.7": "10.0.0.7:623", "ipmi://10.0.0.7:6230": "10.0.0.7:6230", "ipmi://[fe80::1]": "[fe80::1]:623",
		"ipmi://[fe80::1]:99": "[fe80::1]:99", "fe80::1": "[fe80::1]:623", "bmc-1": "bmc-1:623", "ipmi://bmc-1/": "bmc-1:623",
		"https://bmc": "", "ipmi://": "", "ipmi://user@bmc": "", "ipmi://bmc:0": "", "ipmi://bmc:99999": "", "ipmi://bmc/path": "", "": "",
	} {
		got, err := hostPort(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	for _, o := range []Options{
		{Address: "bmc", Privilege: "root"}, {Address: "bmc", CipherSuites: []int{0}}, {Address: "bmc", Username: "12345678901234567"},
	} {
		if _, err := Open("t", o); err == nil {
			t.Errorf("%+v opens", o)
		}
	}
}

// needSeeds gives a fuzz test the seeds that are made here, beside those in its folder of testdata/fuzz, which the tool itself takes: both are of every kind a
// decoder can meet, and a fuzz test without any would test nothing.
func needSeeds(f *testing.F, seeds [][]byte) {
	f.Helper()
	folder := filepath.Join("testdata", "fuzz", f.Name())
	if files, err := os.ReadDir(folder); err != nil || len(files) == 0 || len(seeds) == 0 {
		f.Fatalf("%d seeds made, and none in %s: %v", len(seeds), folder, err)
	}
	for _, s := range seeds {
		f.Add(s)
	}
}

func FuzzDatagram(f *testing.F) {
	var seeds [][]byte
	for _, id := range []int{3, 17} {
		bmc, _ := pair(id)
		d, err := bmc.encode(response(5, 0x2e, 0xc0, 0xc0))
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, d, d[:20], encodeSessionless(response(5, 1, 2)), encodeSetup(payloadOpenReply, make([]byte, 36)), encodeSetup(payloadRAKP2, []byte{1, 0x0d}))
	}
	needSeeds(f, seeds)
	bmc, _ := pair(17)
	genuine, err := bmc.encode(response(5, 0x2e, 0xc0, 0xc0))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, d []byte) {
		for _, id := range []int{3, 17} {
			_, console := pair(id)
			m, err := console.decode(d)
			if err == nil { // only what the other end sealed opens
				if len(d) < 16+32 || binary.LittleEndian.Uint32(d[6:]) != console.local {
					t.Fatalf("opened %x", d)
				}
				_, _ = decodeResponse(m)
			}
		}
		if b, err := decodeSessionless(d); err == nil {
			if m, err := decodeResponse(b); err == nil && len(m.data) > len(b) {
				t.Fatal("more data than bytes")
			}
		}
		for _, want := range []uint8{payloadOpenReply, payloadRAKP2, payloadRAKP4} {
			if p, err := decodeSetup(d, want); err == nil {
				_ = checkReply(p, 1, 9, 36)
			}
		}
		_, console := pair(17)
		if _, err := console.decode(d); err == nil {
			return
		}
		if _, err := console.decode(genuine); err != nil {
			t.Fatalf("after %x the genuine datagram is refused: %v", d, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	needSeeds(f, [][]byte{
		fullRecord(1, 1, typeFan, 18, "Fan 1"), compactRecord(2, 2, typePSU, eventSpecific, 0x7f, "PSU"),
		{3, 0, 0x51, recordEventOnly, 13, 0x20, 0, 1, 7, 1, 0x23, 0x6f, 1, 0, 0, 0, 0xc1, 'w'},
		{1, 0, 0x51, recordFRULocator, 0x13, 0x20, 1, 0x80, 0, 0, 0x10, 0, 10, 1, 0, 0xc8, 'P', 's', 'u', '1', ' ', 'F', 'r', 'u'},
		{1, 0, 0x51, 0xc0, 3, 1, 2, 3}, {1, 0, 0x51, recordFull, 0xff}, {},
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeRecord(b)
		if err != nil {
			return
		}
		repo := &repository{Records: records{b}}
		repo.build()
		for _, p := range repo.sensors {
			if p.name == "" || len([]rune(p.name)) > maxName+4 {
				t.Fatalf("name %q", p.name)
			}
			for v := range 256 {
				o := p.observe(raw{value: uint8(v), scanning: true, has: true, states: uint16(v) | 0x2a00}, p.factors, &thresholds{0x3f, p.limits}, health.HostOn)
				if o.reading != nil && (o.reading.Value != o.reading.Value || o.reading.Value-o.reading.Value != 0) {
					t.Fatalf("value %v", o.reading.Value)
				}
				if o.component.State > health.Critical || len(o.component.Status) > health.MaxText {
					t.Fatalf("%+v", o.component)
				}
			}
		}
		if len(d.sensors) > 15 {
			t.Fatalf("%d sensors of one record", len(d.sensors))
		}
	})
}

func FuzzSELEntry(f *testing.F) {
	needSeeds(f, [][]byte{
		selRecord(1, 1e9, typeTemperature, 1, eventThreshold, 0x59, 43, 42), selRecord(2, 5, typeDriveSlot, 2, eventSpecific|0x80, 1),
		{1, 0, 0xc0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {1, 0, 0xe0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {},
	})
	repo := &repository{Records: records{fullRecord(1, 1, typeTemperature, 1, "T"), compactRecord(2, 2, typeDriveSlot, eventSpecific, 0x1ff, "D")}}
	repo.build()
	f.Fuzz(func(t *testing.T, b []byte) {
		v := newFake(t).visit(health.TierEvents)
		v.mem.SDR = repo
		if len(b) != 16 {
			if _, err := decodeSEL(b); err == nil {
				t.Fatal("a record that is not 16 bytes")
			}
			return
		}
		e := v.logEntry(b, "g")
		if e.Message == "" || len(e.Message) > health.MaxText || !bytes.Equal(e.Raw, b) || e.Severity > health.SeverityCritical {
			t.Fatalf("%+v", e)
		}
	})
}

func FuzzFRU(f *testing.F) {
	area := []byte{1, 2, 0, 0xc4, 'A', 'C', 'M', 'E', 0xc1, 0, 0, 0, 0, 0, 0, 0}
	area[15] = checksum(area[:15])
	head := []byte{1, 0, 0, 0, 1, 0, 0, 0}
	head[7] = checksum(head[:7])
	needSeeds(f, [][]byte{append(bytes.Clone(head), area...), head, area, {}})
	f.Fuzz(func(t *testing.T, image []byte) {
		fake := newFake(t)
		fake.maxCalls = 2000
		fake.on(netFnStorage, 0x10, func(command) ([]byte, error) {
			return append(binary.LittleEndian.AppendUint16(nil, uint16(min(len(image), 0xffff))), 0), nil
		})
		fake.on(netFnStorage, 0x11, func(c command) ([]byte, error) {
			at, n := int(binary.LittleEndian.Uint16(c.data[1:])), int(c.data[3])
			if at > len(image) {
				return nil, refusal(codeOutOfRange)
			}
			b := image[at:min(at+n, len(image))]
			return append([]byte{byte(len(b))}, b...), nil
		})
		inv, err := fake.visit(health.TierInventory).readFRU(t.Context(), 0)
		if err == nil && inv == nil {
			t.Fatal("neither data nor error")
		}
		for kind := range 3 {
			_ = (&inventory{}).decode(kind, image)
		}
	})
}

func FuzzMemory(f *testing.F) {
	needSeeds(f, [][]byte{
		[]byte(`{"v":1,"suite":3,"sdr":{"stamp":{"count":1,"add":1,"erase":1},"chunk":255,"records":"AAD//w=="}}`), []byte(`{}`), []byte(`null`), {},
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, _ := loadMemory(b); m == nil {
			t.Fatal("no memory")
		}
	})
}

package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dewline/health"
	"dewline/store/storetest"
)

func TestNumbersAreTheFormat(t *testing.T) {
	// Blobs hold these as numbers: a change of health must not change what is stored.
	for got, want := range map[uint8]uint8{
		uint8(health.Unknown): 0, uint8(health.OK): 1, uint8(health.Warning): 2, uint8(health.Critical): 3,
	} {
		if got != want {
			t.Errorf("state %d is stored as %d", got, want)
		}
	}
	if health.PresenceUnknown != 0 || health.Present != 1 || health.Absent != 2 {
		t.Error("presence changed its numbers")
	}
	if health.HostPowerUnknown != 0 || health.HostOn != 1 || health.HostOff != 2 {
		t.Error("host power changed its numbers")
	}
	if health.TierReadings != 0 || health.TierEvents != 1 || health.TierHealth != 2 || health.TierInventory != 3 {
		t.Error("tiers changed their numbers")
	}
	if words[1] != "redfish" || words[4] != "done" || words[len(words)-1] != "back_off" || len(words) != 26 {
		t.Error("words may only be appended to")
	}
}

func TestIntColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(
			rapid.SliceOfN(rapid.Int64(), 1, 70),
			rapid.SliceOfN(rapid.Int64Range(-3, 3), 1, 70),
			rapid.SliceOfN(rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0, -1}), 1, 5),
		).Draw(t, "v")
		var c columns
		c.ints(v, 33)
		r := columnsReader{head: wire{b: c.head}, data: wire{b: c.data}}
		got, extra := r.ints(len(v))
		if err := r.failed(); err != nil || extra != 33 || !slices.Equal(v, got) || len(r.head.b)+len(r.data.b) != 0 {
			t.Fatalf("%v came back as %v, %d, %v", v, got, extra, err)
		}
	})
}

func TestFloatColumnsComeBackToTheBit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		v := make([]float64, 1+r.IntN(5))
		for i := range v {
			v[i] = storetest.Value(r)
		}
		var c columns
		c.floats(v)
		d := columnsReader{head: wire{b: c.head}, data: wire{b: c.data}}
		got := d.floats(len(v))
		if !slices.EqualFunc(v, got, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			t.Fatalf("%v came back as %v, %v", v, got, d.failed())
		}
	}
}

func TestDecimalsOfSensorsNeedNoTable(t *testing.T) {
	for i := range 100_000 {
		for e := range 4 {
			v := float64(i) / pow10[e]
			if m, k, ok := decimal(v); !ok || k > e || float64(m)/pow10[k] != v {
				t.Fatalf("%v is %d / 10^%d, %v", v, m, k, ok)
			}
		}
	}
}

func TestRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.Uint32Range(0, maxDictionary-1)).Draw(t, "ids")
		if rapid.Bool().Draw(t, "sorted") {
			slices.Sort(ids)
		}
		w := wire{b: appendRuns(nil, ids)}
		got := readRuns(&w, len(ids))
		if err := w.end(); err != nil || !slices.Equal(ids, got) {
			t.Fatalf("%v came back as %v, %v", ids, got, err)
		}
	})
}

// sampleFrames is what real visits look like, for seeds.
func sampleFrames() [][]*frame {
	gap := []health.Gap{{Part: "PSU 2", Reason: health.ReasonTimeout, Error: "i/o timeout", Component: "psu/2"}}
	plain := &frame{seq: 1, at: 1_764_000_000_000_000_000, took: 3e8, started: true, shape: &shape{},
		frameKind: frameKind{driver: "ipmi", result: health.Missed, reason: health.ReasonStopped, due: 3}}
	full := func(seq int64, v ...float64) *frame {
		return &frame{
			seq: seq, at: plain.at + seq*60e9 + seq*seq*1001, took: 3e8 + seq, started: true, cost: costInts{3, 0, 0, 18_000 + seq},
			dueAt:     [tierCount]int64{-1e6 * seq},
			frameKind: frameKind{driver: "redfish", result: health.Done, due: 1, hasSnap: true, snapDriver: "redfish", hostPower: 1},
			shape:     &shape{parts: []uint32{0, 1, 5}, series: []uint32{0, 1}}, states: []byte{5, 5, 1 << 4}, values: v,
			gaps: gap[:seq%2], unread: []uint32{3}, snap: snapFrame{at: plain.at + seq*60e9, took: 1},
		}
	}
	return [][]*frame{{plain}, {full(2, 21.5, math.Pi)}, {plain, full(2, 21.5, 5400), full(3, 22, 5460), full(4, -0.5, 1e300)}}
}

func FuzzUnpack(f *testing.F) {
	for _, fs := range sampleFrames() {
		f.Add(encodeFrames(fs, true))
	}
	f.Add(pack(make([]byte, 4000), false))
	f.Add(pack([]byte("raw"), false))
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := unpack(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || plain != nil {
				t.Errorf("%v with %d bytes", err, len(plain))
			}
			return
		}
		if again, err := unpack(pack(plain, false)); err != nil || string(again) != string(plain) {
			t.Errorf("packed again: %v", err)
		}
	})
}

func FuzzDecodeColumns(f *testing.F) {
	for _, fs := range sampleFrames() {
		f.Add(encodeColumns(fs))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, err := decodeColumns(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || frames != nil {
				t.Errorf("%v with %d frames", err, len(frames))
			}
			return
		}
		// What decodes is a block: it encodes, and decodes to the same again.
		again, err := decodeColumns(encodeColumns(frames))
		if err != nil {
			t.Fatal(err)
		}
		if len(again) != len(frames) {
			t.Fatalf("%d frames, then %d", len(frames), len(again))
		}
		// One series alone is the same as in the whole.
		for id := range uint32(3) {
			var want, got []float64
			for _, f := range frames {
				for i, s := range f.shape.series {
					if s == id {
						want = append(want, f.values[i])
					}
				}
			}
			all := func([]*frame) (func(uint32) bool, error) { return func(s uint32) bool { return s == id }, nil }
			if err := pickSeries(pack(b, false), all, func(_ *frame, _ uint32, v float64) { got = append(got, v) }); err != nil {
				t.Fatal(err)
			}
			if diff := storetest.Diff(want, got); diff != "" {
				t.Fatalf("series %d%s", id, diff)
			}
		}
		d := &target{name: "t"}
		for i := range frames {
			if diff := storetest.Diff(frames[i], again[i]); diff != "" {
				t.Fatalf("frame %d%s", i, diff)
			}
			if d.holds(frames[i]) {
				frames[i].visit(d)
			}
		}
	})
}

func FuzzSEL(f *testing.F) {
	f.Add(appendSEL(&health.SELEvent{RecordType: 2, Generator: 0x20, SensorType: 8, EventType: 0x6f, Deassert: true}))
	f.Add([]byte{1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := readSEL(b); err == nil && e != nil && len(appendSEL(e)) != len(b) {
			t.Errorf("%x is %+v", b, e)
		}
	})
}

func TestDamageIsAnError(t *testing.T) {
	good := encodeFrames(sampleFrames()[2], true)
	plain, err := unpack(good)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := slices.Clone(good)
			bad[i] ^= 1 << bit
			// zstd has bits that mean nothing: the same bytes may come out, others never.
			if got, err := unpack(bad); !errors.Is(err, ErrCorrupt) && !bytes.Equal(got, plain) {
				t.Errorf("byte %d, bit %d flipped: %v", i, bit, err)
			}
		}
		if _, err := unpack(good[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestSmallBytesThatClaimMuchAreRefused(t *testing.T) {
	claim := func(build func(c *columns)) []byte {
		var c columns
		build(&c)
		b := binary.AppendUvarint(nil, maxVisits)
		return append(appendBytes(b, c.head), c.data...)
	}
	zeros := make([]int64, maxVisits)
	for name, b := range map[string][]byte{
		"visits": binary.AppendUvarint(nil, 1<<40),
		"parts": claim(func(c *columns) {
			for range 3 {
				c.ints(zeros, 0)
			}
			c.pieces(maxVisits, func(_ int, b []byte) []byte { return (&frameKind{}).append(b, true) })
			for range costFields {
				c.ints(zeros, 0)
			}
			c.pieces(maxVisits, func(_ int, b []byte) []byte {
				return binary.AppendUvarint(append(b, 1, 0), maxDictionary) // one run of every number
			})
		}),
	} {
		if _, err := decodeColumns(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package ipmi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dewline/health"
)

func TestRepositoriesWithoutEnd(t *testing.T) {
	whole := func(id uint16) []byte {
		b := make([]byte, 260)
		copy(b, fullRecord(id, uint8(id), typeTemperature, 1, fmt.Sprintf("T %d", id)))
		b[4] = 255
		return b
	}
	for _, x := range []struct {
		name  string
		get   func(c command) ([]byte, error)
		calls int
		why   health.Reason
	}{
		{"65,535 records of the largest size", func(c command) ([]byte, error) {
			id := max(binary.LittleEndian.Uint16(c.data[2:]), 1)
			at := int(c.data[4])
			rec := whole(id)
			return append(binary.LittleEndian.AppendUint16(nil, id+1), rec[at:min(at+int(c.data[5]), len(rec))]...), nil
		}, 3 * maxRecords, health.ReasonTooLarge},
		{"65,535 records of no use", func(c command) ([]byte, error) {
			id := max(binary.LittleEndian.Uint16(c.data[2:]), 1)
			return append(binary.LittleEndian.AppendUint16(nil, id+1), byte(id), byte(id>>8), 0x51, 0xc0, 0), nil
		}, maxRecords + 10, health.ReasonTooLarge},
		{"one that gives a byte at a time", func(c command) ([]byte, error) {
			id := max(binary.LittleEndian.Uint16(c.data[2:]), 1)
			if id > 20 {
				return nil, refusal(codeNotPresent)
			}
			rec := whole(id)
			at := int(c.data[4])
			n := 1
			if at == 0 {
				n = 5
			}
			return append(binary.LittleEndian.AppendUint16(nil, id+1), rec[at:at+n]...), nil
		}, 20*(partTries+2) + 20, health.ReasonMalformed},
		{"one that never advances", func(c command) ([]byte, error) {
			return append([]byte{1, 0}, fullRecord(1, 1, typeFan, 18, "Fan")...), nil
		}, 10, health.ReasonMalformed},
		{"one that breaks off", func(c command) ([]byte, error) {
			return append([]byte{0, 0}, fullRecord(1, 1, typeFan, 18, "Fan")...), nil
		}, 10, health.ReasonMalformed},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFake(t)
			s := sdrsOf()
			s.info.Count = 0xffff
			s.serve(f)
			f.on(netFnStorage, 0x23, x.get)
			f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{30, 0xc0, 0xc0}, nil })
			v := f.visit(health.TierReadings)
			if err := v.run(t.Context()); err != nil && !isAnyCode(err) {
				t.Fatal(err)
			}
			if n := f.calls[[2]uint8{netFnStorage, 0x23}]; n > x.calls {
				t.Errorf("%d requests for records", n)
			}
			if !slices.ContainsFunc(v.snap.Gaps, func(g health.Gap) bool { return g.Reason == x.why }) || slices.Contains(v.snap.Scope, placeSDR) {
				t.Errorf("gaps %d, scope %v", len(v.snap.Gaps), v.snap.Scope)
			}
			raw, err := json.Marshal(v.mem)
			if err != nil || len(raw) > maxRecordsBytes {
				t.Errorf("memory of %d bytes, %v", len(raw), err)
			}
			if m, err := loadMemory(raw); err != nil || len(m.SDR.Records) != len(v.mem.SDR.Records) {
				t.Errorf("memory does not come back: %v", err)
			}
		})
	}
}

func TestARepositoryThatChangesAtEveryVisitIsNotReadAtEveryVisit(t *testing.T) {
	for _, x := range []struct {
		name  string
		whole bool
	}{{"read to its end", true}, {"cut off each time", false}} {
		t.Run(x.name, func(t *testing.T) {
			f, s := newFake(t), sdrsOf(someRecords(20)...)
			s.serve(f)
			get := func(c command) ([]byte, error) { return s.get(c) }
			f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{30, 0xc0, 0xc0}, nil })
			mem := &memory{Version: memoryVersion}
			read := func(tiers ...health.Tier) (*visit, int) {
				s.info.Count++
				n := 0
				f.on(netFnStorage, 0x23, func(c command) ([]byte, error) {
					if n++; n > 15 && !x.whole {
						return nil, &health.Error{Reason: health.ReasonTimeout, Op: "test", Err: errSilent}
					}
					return get(c)
				})
				v := f.visit(tiers...)
				v.mem, v.checkSDR = mem, true
				_ = v.run(t.Context())
				mem = v.mem
				return v, n
			}
			for range churnLimit + 1 {
				read(health.TierReadings, health.TierHealth)
			}
			for range 5 {
				v, n := read(health.TierReadings, health.TierHealth)
				if n != 0 || slices.Contains(v.snap.Scope, placeSDR) || len(v.snap.Readings) < 15 {
					t.Errorf("%d records read again, scope %v, %d readings", n, v.snap.Scope, len(v.snap.Readings))
				}
				if !slices.ContainsFunc(v.snap.Gaps, func(g health.Gap) bool { return g.Place == placeSDR && g.Reason == health.ReasonBudget }) {
					t.Errorf("not said: %+v", v.snap.Gaps)
				}
			}
			if _, n := read(health.TierReadings, health.TierInventory); n == 0 {
				t.Error("not even the inventory reads it again")
			}
			s.info.Count-- // the same as last time: it has come to rest
			if v, _ := read(health.TierReadings, health.TierHealth); x.whole && !slices.Contains(v.snap.Scope, placeSDR) {
				t.Errorf("scope %v, gaps %+v", v.snap.Scope, v.snap.Gaps)
			}
		})
	}
}

func TestFirstVisitsToHugeLogsAreBounded(t *testing.T) {
	for _, x := range []struct {
		name  string
		entry func(id uint16) (next, own uint16, ok bool)
		least int // entries read
	}{
		{"IDs that count up", func(id uint16) (uint16, uint16, bool) {
			if id == selLast {
				id = 65534
			}
			next := id + 1
			return next, id, true
		}, 200},
		{"IDs that have wrapped", func(id uint16) (uint16, uint16, bool) {
			if id == selLast {
				id = 7
			}
			next := id + 1
			if id == 7 {
				next = 0xffff
			}
			return next, id, id <= 7 || id > 30
		}, 1},
		{"IDs in leaps, the last one low", func(id uint16) (uint16, uint16, bool) {
			if id == selLast {
				id = 5
			}
			return id + 16, id, id%16 == 5
		}, 1},
		{"a chain that never ends", func(id uint16) (uint16, uint16, bool) {
			if id == selLast {
				return 9, 60000, true
			}
			return (id + 2) & 0x7fff, id, true
		}, 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFake(t)
			f.on(netFnStorage, 0x40, func(command) ([]byte, error) {
				return []byte{0x51, 0xff, 0xff, 0, 1, 1, 0, 0, 0x60, 1, 0, 0, 0x60, 2}, nil
			})
			f.on(netFnStorage, 0x43, func(c command) ([]byte, error) {
				next, own, ok := x.entry(binary.LittleEndian.Uint16(c.data[2:]))
				if !ok {
					return nil, refusal(codeNotPresent)
				}
				return append(binary.LittleEndian.AppendUint16(nil, next), selRecord(own, 1_700_000_000, typeFan, 1, eventThreshold, 0)...), nil
			})
			v := f.readSEL(nil, 200)
			if n := len(v.snap.Log); n < x.least || n > 200 {
				t.Errorf("%d entries", n)
			}
			if f.total > 700 {
				t.Errorf("%d requests", f.total)
			}
			if len(v.snap.Log) < 200 && len(v.snap.Gaps) == 0 && !v.snap.Logs[0].More {
				t.Error("that entries were left out is not said")
			}
			before := f.total
			w := f.readSEL(v.snap.NextCursors, 200)
			if n := f.total - before; n > maxSELPerVisit+10 || len(w.snap.Log) > maxSELPerVisit {
				t.Errorf("second visit: %d requests", n)
			}
		})
	}
}

// History that did not fit into one visit must not come back as news: detection takes what follows a cursor for new.
func TestAFirstReadingOfTheLogThatIsCutOffLeavesNoCursor(t *testing.T) {
	f, s := newFake(t), newLog(500)
	s.serve(f)
	get := f.answers[[2]uint8{netFnStorage, 0x43}]
	mem := &memory{Version: memoryVersion}
	for visits := 1; ; visits++ {
		n := 0
		f.on(netFnStorage, 0x43, func(c command) ([]byte, error) {
			if n++; n > 40 { // the visit's deadline
				return nil, &health.Error{Reason: health.ReasonTimeout, Op: "test", Err: errSilent}
			}
			return get(c)
		})
		v := f.visit(health.TierEvents)
		v.mem = mem
		err := v.readSEL(t.Context())
		if err == nil {
			if v.snap.NextCursors == nil || len(v.snap.Log) == 0 || visits > 3 {
				t.Errorf("visit %d: cursors %s, %d entries", visits, v.snap.NextCursors, len(v.snap.Log))
			}
			break
		}
		if v.snap.NextCursors != nil || len(v.snap.Gaps) == 0 || slices.Contains(v.snap.Scope, placeSEL) {
			t.Fatalf("visit %d: cursors %s, gaps %v", visits, v.snap.NextCursors, v.snap.Gaps)
		}
		if visits > 5 {
			t.Fatal("it never ends")
		}
	}
}

func TestAFRUDeviceThatClaims64KiBAndGivesAByteAtATime(t *testing.T) {
	f := newFake(t)
	f.on(netFnStorage, 0x10, func(command) ([]byte, error) { return []byte{0xff, 0xff, 0}, nil })
	image := make([]byte, 0x10000)
	copy(image, []byte{1, 0, 1, 1, 1, 0, 0})
	image[7] = checksum(image[:7])
	image[8], image[9] = 1, 255
	f.on(netFnStorage, 0x11, func(c command) ([]byte, error) {
		return []byte{1, image[binary.LittleEndian.Uint16(c.data[1:])]}, nil
	})
	v := f.visit(health.TierInventory)
	if err := v.readFRUs(t.Context(), &health.Identity{}); err != nil {
		t.Fatal(err)
	}
	if f.total > 900 || len(v.snap.Gaps) != 1 || slices.Contains(v.snap.Scope, placeFRU) {
		t.Errorf("%d requests, gaps %+v", f.total, v.snap.Gaps)
	}
}

func TestNamesHoldNoControlCharacters(t *testing.T) {
	for _, name := range []string{"\x1b[2JFan", "Fan\r\nlevel=ERROR", "\x9b31mFan", "\u202eFan", "\x00", "\x01\x02", "Fan\x7f", "\xff\xfe\xfd"} {
		s := sdrsOf(fullRecord(1, 1, typeFan, 18, name), compactRecord(2, 2, typePSU, eventSpecific, 0x7f, name))
		f := newFake(t)
		s.serve(f)
		repo, _, err := readRepository(t.Context(), f, s.info, nil)
		if err != nil || len(repo.sensors) != 2 || repo.sensors[0].id == repo.sensors[1].id {
			t.Fatalf("%q: %v", name, err)
		}
		for _, p := range repo.sensors {
			for _, r := range string(p.id) + p.name {
				if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0xfffd {
					t.Errorf("%q became %q", name, p.name)
				}
			}
		}
	}
}

func TestDamagedMemoryIsAsNone(t *testing.T) {
	repo := &repository{Stamp: stamp{Count: 2, Add: 9}, Chunk: 255, Records: records(someRecords(2))}
	good, err := json.Marshal(&memory{Version: memoryVersion, SDR: repo})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := loadMemory(good); err != nil || len(m.SDR.sensors) != 2 {
		t.Fatal(err)
	}
	torn, err := json.Marshal(&memory{Version: memoryVersion, SDR: &repository{Records: records{[]byte{1, 0, 0x51, recordFull, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"half":                 string(good[:len(good)/2]),
		"another kind":         `[1,2]`,
		"records of rubbish":   `{"v":1,"sdr":{"stamp":{"count":1,"add":1,"erase":1},"chunk":255,"records":"AAAA"}}`,
		"a record that is bad": string(torn),
	} {
		if m, err := loadMemory(json.RawMessage(raw)); err == nil || m == nil || m.SDR != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	m2, err := loadMemory(json.RawMessage(strings.Replace(string(good), `"chunk":255`, `"chunk":-4,"bad":-1000000,"churn":-9`, 1)))
	if err != nil || m2.SDR.Bad != 0 || m2.SDR.Churn != 0 || m2.SDR.Chunk != wholeRecord {
		t.Errorf("%+v, %v", m2.SDR, err)
	}
}

func TestWhatSensorsRefuse(t *testing.T) {
	for _, x := range []struct {
		code    uint8
		notRead bool
		reason  health.Reason // of a gap; empty: none
	}{
		{codeNodeBusy, true, health.ReasonBusy}, {codeInvalidCommand, true, health.ReasonUnsupported},
		{codeNotPresent, false, ""}, {codeNotInThisState, false, ""}, {codeUnspecified, true, health.ReasonServerError},
	} {
		t.Run(fmt.Sprintf("%02Xh", x.code), func(t *testing.T) {
			f, s := newFake(t), sdrsOf(someRecords(2)...)
			s.serve(f)
			f.on(netFnSensor, 0x2d, func(c command) ([]byte, error) {
				if c.data[0] == 1 {
					return nil, refusal(x.code)
				}
				return []byte{30, 0xc0, 0xc0}, nil
			})
			v := f.visit(health.TierReadings)
			if err := v.run(t.Context()); err != nil && !isAnyCode(err) {
				t.Fatal(err)
			}
			bad, good := componentOf(t, v.snap, "temperature/Temperature 00"), componentOf(t, v.snap, "temperature/Temperature 01")
			if bad.StateNotRead != x.notRead || bad.State != health.Unknown || good.State != health.OK || len(v.snap.Readings) != 1 {
				t.Errorf("%+v, %+v", bad, good)
			}
			i := slices.IndexFunc(v.snap.Gaps, func(g health.Gap) bool { return g.Component == bad.ID })
			if (i >= 0) != (x.reason != "") || i >= 0 && v.snap.Gaps[i].Reason != x.reason {
				t.Errorf("gaps %+v", v.snap.Gaps)
			}
		})
	}
}

func TestRAKP2WithWrongLengths(t *testing.T) {
	p := newProxy(t, reference(t, 17), "127.0.0.1:0")
	p.set(nil, func(d []byte) [][]byte {
		if !isPayload(payloadRAKP2)(d) {
			return [][]byte{d}
		}
		var out [][]byte
		for n := range len(d) { // every truncation, with the length field as it was and as it would be
			out = append(out, d[:n])
			if n >= 16 {
				x := slices.Clone(d[:n])
				binary.LittleEndian.PutUint16(x[14:], uint16(n-16))
				out = append(out, x)
			}
		}
		for _, n := range []uint16{0, 1, 7, 39, 71, 73, 0xffff} {
			x := slices.Clone(d)
			binary.LittleEndian.PutUint16(x[14:], n)
			out = append(out, x)
		}
		return append(out, d)
	})
	mustRead(t, openAt(t, p.address()), health.Request{Tiers: readings})
}

func TestCapabilitiesThatLie(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(data []byte)
		reason health.Reason
	}{
		{"only IPMI 1.5", func(d []byte) { d[1] &^= 0x80 }, health.ReasonUnsupported},
		{"every bit", func(d []byte) {
			for i := range d {
				d[i] = 0xff
			}
		}, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := newProxy(t, reference(t, 17), "127.0.0.1:0")
			p.set(nil, func(d []byte) [][]byte {
				if len(d) > 22 && d[4] == authTypeNone {
					x.change(d[21 : len(d)-1])
					d[len(d)-1] = 0
					d[len(d)-1] = checksum(d[17:])
				}
				return [][]byte{d}
			})
			_, err := openAt(t, p.address()).Read(t.Context(), health.Request{Tiers: readings})
			if (err == nil) != (x.reason == "") || err != nil && health.ReasonFor(err) != x.reason {
				t.Errorf("%v", err)
			}
		})
	}
}

// Replies that come just in time make every sensor cost a wait: the deadline cuts the sweep, what was read stays.
func TestADeadlineInMidSweepOfASlowBMC(t *testing.T) {
	p := newProxy(t, reference(t, 17), "127.0.0.1:0")
	c := openAt(t, p.address(), func(o *Options) { o.Timeout = 300 * time.Millisecond })
	s := mustRead(t, c, health.Request{Tiers: health.EveryTier})
	n := 0
	p.set(nil, func(d []byte) [][]byte {
		if n++; n > 2 { // the chassis and the first sensor come at once
			time.Sleep(250 * time.Millisecond) // this is the slowness that is tested
		}
		return [][]byte{d}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	begin := time.Now()
	cut, err := c.Read(ctx, health.Request{Tiers: health.TiersOf(health.TierReadings, health.TierEvents), Memory: s.Memory})
	if d := time.Since(begin); err != nil || d > 2*time.Second {
		t.Fatalf("%v after %v", err, d)
	}
	if len(cut.Readings) == 0 || len(cut.Readings) > 2 || slices.Contains(cut.Scope, placeSDR) || slices.Contains(cut.Scope, placeSEL) {
		t.Errorf("%d readings, scope %v", len(cut.Readings), cut.Scope)
	}
	psu := componentOf(t, cut, "psu/PSU 1")
	if !psu.StateNotRead || psu.State != health.Unknown {
		t.Errorf("what was not read: %+v", psu)
	}
	if len(cut.Gaps) == 0 {
		t.Error("no gap")
	}
	for _, g := range cut.Gaps {
		if g.Reason != health.ReasonTimeout {
			t.Errorf("gap %+v", g)
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A flood of forged datagrams from the BMC's own address, with the session's ID: nothing false is believed, and the wait for a
// reply that never comes ends in time.
func TestAFloodOfForgedDatagrams(t *testing.T) {
	p := newProxy(t, reference(t, 17), "127.0.0.1:0")
	c := openAt(t, p.address(), func(o *Options) { o.Timeout = 100 * time.Millisecond })
	s := mustRead(t, c, health.Request{Tiers: readings})
	to := c.link.s.t.conn.LocalAddr().(*net.UDPAddr)
	p.mu.Lock()
	forged := slices.Clone(p.got[len(p.got)-1])
	p.mu.Unlock()
	forged[len(forged)-1] ^= 1
	var sent atomic.Int64
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				for range 10 {
					_, _ = p.conn.WriteTo(forged, to)
					sent.Add(1)
				}
			}
		}
	}()
	defer func() { close(stop); <-done }()
	waitFor(t, "a hundred forged datagrams", func() bool { return sent.Load() > 100 })
	got := mustRead(t, c, health.Request{Tiers: readings, Memory: s.Memory})
	if len(got.Gaps) != 0 || len(got.Readings) != len(s.Readings) || c.link.tally.dropped[errForged.Error()] == 0 {
		t.Errorf("%d readings of %d, gaps %+v", len(got.Readings), len(s.Readings), got.Gaps)
	}
	p.set(func([]byte) [][]byte { return nil }, nil) // the BMC falls silent, the flood goes on
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begin, cpu := time.Now(), cpuTime()
	_, err := c.Read(ctx, health.Request{Tiers: readings, Memory: s.Memory})
	took, used := time.Since(begin), cpuTime()-cpu
	if health.ReasonFor(err) != health.ReasonTimeout || took > 2*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	t.Logf("%d forged datagrams; the silent visit took %v and %v of CPU, the flood's included", sent.Load(), took, used)
}

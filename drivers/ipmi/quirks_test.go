package ipmi

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/quirk"
	"dewline/internal/secret"
)

// repositoryOf reads a fake's repository through the visit, as a client would.
func repositoryOf(t *testing.T, f *fakeBMC, tiers ...health.Tier) *visit {
	t.Helper()
	f.maxCalls = 500
	v := f.visit(tiers...)
	if err := v.ensureSDR(t.Context()); err != nil {
		t.Fatalf("repository: %v, gaps %+v", err, v.snap.Gaps)
	}
	return v
}

// wantRepository: so many sensors, so many gaps, and whether the place counts as read whole.
func wantRepository(t *testing.T, s *fakeSDRs, sensors, gaps int, whole bool) {
	t.Helper()
	f := newFake(t)
	s.serve(f)
	v := repositoryOf(t, f, health.TierReadings)
	if r := v.mem.SDR; len(r.sensors) != sensors || len(v.snap.Gaps) != gaps || (r.Bad == 0) != whole || r.Next != 0 {
		t.Errorf("%d sensors, bad %d, gaps %+v", len(r.sensors), r.Bad, v.snap.Gaps)
	}
}

// refusing wraps the answers of a repository.
func refusing(s *fakeSDRs, f *fakeBMC, code func(id uint16, offset, count int) uint8) {
	s.serve(f)
	f.on(netFnStorage, 0x23, func(c command) ([]byte, error) {
		if code := code(binary.LittleEndian.Uint16(c.data[2:]), int(c.data[4]), int(c.data[5])); code != 0 {
			return nil, refusal(code)
		}
		return s.get(c)
	})
}

// quirkTests has one test for each row of the table, on bytes shaped like the device's.
var quirkTests = map[string]func(t *testing.T){
	"sdr-read-limit": func(t *testing.T) {
		for _, code := range []uint8{codeCannotReturn, codeLengthInvalid, codeLengthLimit, codeOutOfRange, codeNotProvided} {
			for _, limit := range []int{8, 16, 20, 22, 32} {
				f, s := newFake(t), sdrsOf(someRecords(6)...)
				refusing(s, f, func(_ uint16, _, count int) uint8 {
					if count > limit {
						return code
					}
					return 0
				})
				v := repositoryOf(t, f, health.TierReadings)
				if len(v.mem.SDR.sensors) != 6 || len(v.snap.Gaps) != 0 || v.mem.SDR.Chunk > limit {
					t.Errorf("%02x at %d: %d sensors, chunk %d, gaps %+v", code, limit, len(v.mem.SDR.sensors), v.mem.SDR.Chunk, v.snap.Gaps)
				}
			}
		}
	},
	"sdr-whole-read-fails": func(t *testing.T) {
		f, s := newFake(t), sdrsOf(someRecords(6)...)
		refusing(s, f, func(_ uint16, offset, count int) uint8 {
			if offset == 0 && count == wholeRecord {
				return codeUnspecified
			}
			return 0
		})
		if v := repositoryOf(t, f, health.TierReadings); len(v.mem.SDR.sensors) != 6 || len(v.snap.Gaps) != 0 || f.calls[[2]uint8{netFnStorage, 0x23}] > 20 {
			t.Errorf("%d sensors, gaps %+v, calls %v", len(v.mem.SDR.sensors), v.snap.Gaps, f.calls)
		}
	},
	"sdr-whole-read-short": func(t *testing.T) {
		f, s := newFake(t), sdrsOf(someRecords(6)...)
		s.serve(f)
		f.on(netFnStorage, 0x23, func(c command) ([]byte, error) {
			b, err := s.get(c)
			if c.data[5] == wholeRecord && len(b) > 2+40 {
				b = b[:2+40]
			}
			return b, err
		})
		v := repositoryOf(t, f, health.TierReadings)
		if len(v.mem.SDR.sensors) != 6 || len(v.snap.Gaps) != 0 || v.mem.SDR.sensors[5].name != "Temperature 05" {
			t.Errorf("%d sensors, gaps %+v", len(v.mem.SDR.sensors), v.snap.Gaps)
		}
	},
	"sdr-record-claims-more": func(t *testing.T) {
		for _, refuses := range []bool{false, true} { // a read behind the end: nothing comes, or C9h
			recs := someRecords(4)
			recs[1][4] += 5
			f, s := newFake(t), sdrsOf(recs...)
			refusing(s, f, func(id uint16, offset, _ int) uint8 {
				if refuses && id == 2 && offset >= len(recs[1]) {
					return codeOutOfRange
				}
				return 0
			})
			v := repositoryOf(t, f, health.TierReadings)
			if len(v.mem.SDR.sensors) != 4 || len(v.snap.Gaps) != 0 || v.mem.SDR.sensors[1].name != "Temperature 01" || v.mem.SDR.Chunk != wholeRecord {
				t.Errorf("refused %t: %d sensors, chunk %d, gaps %+v", refuses, len(v.mem.SDR.sensors), v.mem.SDR.Chunk, v.snap.Gaps)
			}
		}
		// Cut within the name it is not whole: under half a name it would be another sensor.
		recs := someRecords(4)
		recs[1] = recs[1][:len(recs[1])-3]
		wantRepository(t, sdrsOf(recs...), 3, 1, false)
	},
	"sdr-count-wrong": func(t *testing.T) {
		for _, count := range []uint16{1, 4, 9} {
			s := sdrsOf(someRecords(6)...)
			s.info.Count = count
			wantRepository(t, s, 6, 0, true)
		}
	},
	"sdr-no-end": func(t *testing.T) {
		for name, spoil := range map[string]func(s *fakeSDRs){
			"the chain leads to a record that is not there": func(s *fakeSDRs) { s.next[6] = 7 },
			"the chain leads back to the first":             func(s *fakeSDRs) { s.next[6] = 1 },
			"the last is its own successor":                 func(s *fakeSDRs) { s.next[6] = 6 },
			"its successor is 0":                            func(s *fakeSDRs) { s.next[6] = 0 },
		} {
			t.Run(name, func(t *testing.T) {
				s := sdrsOf(someRecords(6)...)
				spoil(s)
				wantRepository(t, s, 6, 0, true)
			})
		}
	},
	"sdr-last-refused": func(t *testing.T) {
		for id, whole := range map[uint16]bool{6: true, 3: false} {
			f, s := newFake(t), sdrsOf(someRecords(6)...)
			refusing(s, f, func(asked uint16, _, _ int) uint8 {
				if asked == id {
					return codeTimeout
				}
				return 0
			})
			v := repositoryOf(t, f, health.TierReadings)
			if len(v.mem.SDR.sensors) != 5 || len(v.snap.Gaps) != 1 || v.snap.Gaps[0].Reason != health.ReasonTimeout || (v.mem.SDR.Bad == 0) != whole {
				t.Errorf("record %d: %d sensors, bad %d, gaps %+v", id, len(v.mem.SDR.sensors), v.mem.SDR.Bad, v.snap.Gaps)
			}
		}
	},
	"sdr-other-id": func(t *testing.T) {
		s := sdrsOf(someRecords(6)...)
		for id := range s.records { // each bears the number before its own
			binary.LittleEndian.PutUint16(s.records[id], id-1)
		}
		wantRepository(t, s, 6, 0, true)
	},
	"sdr-commands-missing": func(t *testing.T) {
		f, s := newFake(t), sdrsOf(someRecords(6)...)
		s.limit = 16
		s.serve(f)
		delete(f.answers, [2]uint8{netFnStorage, 0x20})
		delete(f.answers, [2]uint8{netFnStorage, 0x22})
		v := repositoryOf(t, f, health.TierReadings)
		if len(v.mem.SDR.sensors) != 6 || v.mem.SDR.Bad != 0 || len(v.snap.Gaps) != 0 {
			t.Fatalf("%d sensors, gaps %+v", len(v.mem.SDR.sensors), v.snap.Gaps)
		}
		// A repository that is known stays, though its BMC, while it starts, knows no command.
		delete(f.answers, [2]uint8{netFnStorage, 0x23})
		w := f.visit(health.TierReadings)
		w.mem, w.checkSDR = v.mem, true
		if err := w.ensureSDR(t.Context()); err != nil || len(w.mem.SDR.sensors) != 6 {
			t.Errorf("%d sensors afterwards, %v", len(w.mem.SDR.sensors), err)
		}
	},
	"wrong-checksums": func(t *testing.T) {
		b := response(9, 0x55, 0xc0)
		b[2]++
		b[len(b)-1]--
		m, err := decodeResponse(b)
		if err != nil || !m.answers(message{netFn: netFnSensor, cmd: 0x2d, seq: 9}) || m.data[0] != 0x55 {
			t.Errorf("%+v %v", m, err)
		}
		p := newProxy(t, reference(t, 17), "127.0.0.1:0")
		p.set(nil, func(d []byte) [][]byte {
			if len(d) > 22 && d[4] == authTypeNone { // Get Channel Authentication Capabilities
				d[len(d)-1]++
			}
			return [][]byte{d}
		})
		mustRead(t, openAt(t, p.address()), health.Request{Tiers: readings})
	},
	"sessionless-format": func(t *testing.T) {
		d := encodeSessionless(encodeRequest(message{netFn: netFnApp, cmd: 0x38, data: []byte{0x8e, privUser}}))
		if d[4] != authTypeNone || int(d[13]) != len(d)-14 || binary.LittleEndian.Uint32(d[9:]) != 0 {
			t.Errorf("% x", d)
		}
	},
	"rakp2-length": func(t *testing.T) {
		p := newProxy(t, reference(t, 3), "127.0.0.1:0")
		p.set(nil, func(d []byte) [][]byte {
			if isPayload(payloadRAKP2)(d) {
				d = append(slices.Clone(d), 1, 2, 3, 4)
				binary.LittleEndian.PutUint16(d[14:], binary.LittleEndian.Uint16(d[14:])+4)
			}
			return [][]byte{d}
		})
		mustRead(t, openAt(t, p.address()), health.Request{Tiers: readings})
	},
	"highest-privilege": func(t *testing.T) {
		su, _ := suiteByID(17)
		for _, level := range []uint8{privUser, privOperator, privAdmin} {
			if p := openRequest(1, level, 7, su); p[1] != level {
				t.Errorf("Open Session asks for level %d, not %d", p[1], level)
			}
		}
	},
	"suite-no-resources": func(t *testing.T) {
		for _, all := range []bool{false, true} {
			p := newProxy(t, reference(t, 3, 17), "127.0.0.1:0")
			var opens atomic.Int64
			p.set(nil, func(d []byte) [][]byte {
				if !isPayload(payloadOpenReply)(d) {
					return [][]byte{d}
				}
				if opens.Add(1) == 1 || all {
					d = slices.Clone(d)
					d[17] = statusNoResources
				}
				return [][]byte{d}
			})
			s, err := openAt(t, p.address()).Read(t.Context(), health.Request{Tiers: readings})
			if all && (health.ReasonFor(err) != health.ReasonBusy || opens.Load() != 2) || !all && (err != nil || len(s.Readings) == 0) {
				t.Errorf("refused for all %t: %v after %d openings", all, err, opens.Load())
			}
		}
	},
	"two-sessions": func(t *testing.T) {
		srv, err := bmcsim.ServeIPMI(bmcsim.NewMachine(bmcsim.Profiles()[0], "m", 1), bmcsim.IPMIOptions{MaxSessions: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = srv.Close() })
		for range 3 { // a restart is another client
			c := openAt(t, srv.Addr(), func(o *Options) { o.Username, o.Password = srv.Username(), secret.New(srv.Password()) })
			for range 3 {
				mustRead(t, c, health.Request{Tiers: readings})
			}
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if st := srv.Stats(); st.OpenSessions != 0 || st.LoginFailures != 0 {
			t.Errorf("%+v", st)
		}
	},
	"late-answers": func(t *testing.T) {
		req := message{netFn: netFnSensor, cmd: 0x2d, seq: 9}
		for name, b := range map[string][]byte{"the request before": response(8, 0x55, 0xc0), "another command": append([]byte{addrConsole, (netFnSensor | 1) << 2, 0, addrBMC, 9 << 2, 0x27, 0}, 1, 2, 0)} {
			if m, err := decodeResponse(b); err != nil || m.answers(req) {
				t.Errorf("an answer to %s is taken: %+v %v", name, m, err)
			}
		}
	},
	"sel-ends-early": func(t *testing.T) {
		for name, at := range map[string]uint16{"in the middle": 4, "behind the first": 1, "before the last": 9} {
			f, s := newFake(t), newLog(10)
			s.serve(f)
			plain := f.answers[[2]uint8{netFnStorage, 0x43}]
			f.on(netFnStorage, 0x43, func(c command) ([]byte, error) {
				b, err := plain(c)
				if err == nil && recordID(b[2:]) == at {
					b[0], b[1] = 0xff, 0xff
				}
				return b, err
			})
			v := f.readSEL(nil, 0)
			want := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}
			if !slices.Equal(ids(v), want) || len(v.snap.Gaps) != 0 {
				t.Errorf("%s: %v, gaps %+v", name, ids(v), v.snap.Gaps)
			}
			at = 12 // among the new ones
			s.append(4)
			if v = f.readSEL(v.snap.NextCursors, 0); !slices.Equal(ids(v), []string{"11", "12", "13", "14"}) {
				t.Errorf("%s: then %v", name, ids(v))
			}
		}
		// A count that is too high is no reason to look for what is not there, entry by entry.
		f, s := newFake(t), newLog(10)
		s.serve(f)
		plain := f.answers[[2]uint8{netFnStorage, 0x40}]
		f.on(netFnStorage, 0x40, func(c command) ([]byte, error) {
			b, err := plain(c)
			binary.LittleEndian.PutUint16(b[1:], 60)
			return b, err
		})
		if v := f.readSEL(nil, 0); len(v.snap.Log) != 10 || f.total > 13 {
			t.Errorf("%d entries in %d exchanges", len(v.snap.Log), f.total)
		}
	},
	"sel-repeats": func(t *testing.T) {
		f, s := newFake(t), newLog(6)
		s.serve(f)
		plain := f.answers[[2]uint8{netFnStorage, 0x43}]
		f.on(netFnStorage, 0x43, func(c command) ([]byte, error) {
			b, err := plain(c)
			if binary.LittleEndian.Uint16(c.data[2:]) == 0 {
				b[0], b[1] = 1, 0 // the first entry's successor is itself, by its own ID
			}
			return b, err
		})
		if v := f.readSEL(nil, 0); !slices.Equal(ids(v), []string{"1", "2", "3", "4", "5", "6"}) || len(v.snap.Gaps) != 0 {
			t.Errorf("%v, gaps %+v", ids(v), v.snap.Gaps)
		}
		// One record under ever new IDs ends.
		f.maxCalls = 100
		f.on(netFnStorage, 0x43, func(c command) ([]byte, error) {
			id := binary.LittleEndian.Uint16(c.data[2:])
			return append(binary.LittleEndian.AppendUint16(nil, id+1), s.recs[0]...), nil
		})
		if v := f.readSEL(nil, 0); !slices.Equal(ids(v), []string{"1"}) || len(v.snap.Gaps) != 1 {
			t.Errorf("without end: %v, gaps %+v", ids(v), v.snap.Gaps)
		}
	},
	"sel-record-types": func(t *testing.T) {
		f, s := newFake(t), newLog(2)
		s.recs[1][2] = 0x05
		s.serve(f)
		v := f.readSEL(nil, 0)
		if len(v.snap.Log) != 2 || v.snap.Log[1].Message == "" || len(v.snap.Log[1].Raw) != 16 || v.snap.Log[1].Kind != "" {
			t.Errorf("%+v", v.snap.Log)
		}
	},
	"sel-reserve-refused": func(t *testing.T) {
		f, s := newFake(t), newLog(3)
		s.serve(f) // without an answer to Reserve SEL (42h)
		if v := f.readSEL(nil, 0); len(v.snap.Log) != 3 || f.calls[[2]uint8{netFnStorage, 0x42}] != 0 {
			t.Errorf("%v, calls %v", ids(v), f.calls)
		}
	},
	"pulled-supply-is-silent": func(t *testing.T) {
		f, s := newFake(t), sdrsOf(compactRecord(1, 1, typePSU, eventSpecific, 0x7f, "PS1 Status"), compactRecord(2, 2, typePSU, eventSpecific, 0x7f, "PS2 Status"))
		s.serve(f)
		f.on(netFnSensor, 0x2d, func(c command) ([]byte, error) {
			if c.data[0] == 2 {
				return []byte{0, 0xe0, 0, 0}, nil // initial update in progress: unavailable
			}
			return []byte{0, 0xc0, 1, 0}, nil
		})
		v := repositoryOf(t, f, health.TierReadings)
		if err := v.readSensors(t.Context(), true); err != nil || len(v.snap.Components) != 2 {
			t.Fatalf("%+v %v", v.snap.Components, err)
		}
		if a, b := v.snap.Components[0], v.snap.Components[1]; a.State != health.OK || b.State != health.Unknown || b.Presence == health.Absent || b.Status == "" {
			t.Errorf("%+v", v.snap.Components)
		}
	},
}

func TestEveryQuirk(t *testing.T) {
	seen := map[string]bool{}
	for _, q := range Quirks() {
		if seen[q.Name] {
			t.Errorf("two rows are named %s", q.Name)
		}
		seen[q.Name] = true
		if q.What == "" || !strings.HasPrefix(q.Source, "https://") {
			t.Errorf("%s says not what it is about, or has no link: %+v", q.Name, q)
		}
		test := quirkTests[q.Name]
		if test == nil {
			t.Errorf("row %s has no test", q.Name)
			continue
		}
		t.Run(q.Name, test)
	}
	for name := range quirkTests {
		if !seen[name] {
			t.Errorf("the test of %s is about no row", name)
		}
	}
}

// Rows of a configuration: each effect, for the BMC it names and for no other.
func TestQuirksOfAConfiguration(t *testing.T) {
	foreign := someRecords(2)
	foreign[1][5] = 0x2c // kept by a management engine
	for _, x := range []struct {
		effect quirk.Effect
		calls  func(f *fakeBMC) string // what differs
	}{
		{quirk.SmallReads, func(f *fakeBMC) string { return fmt.Sprint(f.calls[[2]uint8{netFnStorage, 0x22}] > 0) }},
		{quirk.NoDCMI, func(f *fakeBMC) string { return fmt.Sprint(f.calls[[2]uint8{netFnGroup, 0x02}] == 0) }},
		{quirk.BMCOwnsSensors, func(f *fakeBMC) string { return fmt.Sprint(f.calls[[2]uint8{netFnSensor, 0x2d}] == 2) }},
	} {
		if len(quirk.Effects("ipmi")) != 3 || !slices.Contains(quirk.Effects("ipmi"), x.effect) {
			t.Errorf("%s is not known", x.effect)
		}
		for vendor, on := range map[string]bool{"^10368$": true, "^fujitsu": true, "^dell": false, "": true} {
			match, err := quirk.Match(vendor)
			if err != nil {
				t.Fatal(err)
			}
			f, s := newFake(t), sdrsOf(foreign...)
			s.serve(f)
			f.on(netFnApp, 0x01, func(command) ([]byte, error) {
				return []byte{0x20, 1, 3, 0x45, 2, 0, 0x80, 0x28, 0, 0x5f, 0x0b}, nil // firmware 3.45 of 10368, product 0b5fh
			})
			f.on(netFnSensor, 0x2d, func(command) ([]byte, error) { return []byte{60, 0xc0, 0xc0}, nil })
			v := f.visit(health.TierReadings)
			v.rows = quirk.Table{{Name: "mine", Vendor: match, Effects: []quirk.Effect{x.effect}}}
			if err := v.run(t.Context()); err != nil && !isAnyCode(err) {
				t.Fatal(err)
			}
			if x.calls(f) != fmt.Sprint(on) {
				t.Errorf("%s for %q: %v", x.effect, vendor, f.calls)
			}
			if asked := f.calls[[2]uint8{netFnApp, 0x01}]; asked != min(1, len(vendor)) {
				t.Errorf("%s for %q: asked %d times who it is", x.effect, vendor, asked)
			}
			raw, err := json.Marshal(v.mem)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := loadMemory(raw); err != nil || (m.Device == nil) != (vendor == "") {
				t.Errorf("memory %s: %v", raw, err)
			}
		}
	}
	if _, err := Open("t", Options{Address: "127.0.0.1", QuirksOff: []string{"no-such"}}); err == nil || !strings.Contains(err.Error(), `"no-such"`) {
		t.Errorf("an unknown name: %v", err)
	}
}

package ipmi

import (
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bougou/go-ipmi/pkg/bmc"
	"github.com/bougou/go-ipmi/pkg/hal/mock"
	"github.com/bougou/go-ipmi/pkg/handlers"
	"github.com/bougou/go-ipmi/pkg/server"
	"github.com/bougou/go-ipmi/pkg/transport/udp"
	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
	"dewline/internal/secret"
)

// fullRecord is a full sensor record of an unsigned linear sensor in the given unit, with all thresholds readable.
func fullRecord(id uint16, number, typ, unit uint8, name string) []byte {
	b := make([]byte, 48+len(name))
	binary.LittleEndian.PutUint16(b, id)
	b[2], b[3], b[4] = 0x51, recordFull, byte(len(b)-5)
	b[5], b[7], b[8], b[9], b[10], b[11] = addrBMC, number, 7, 1, 0x7f, 0x48
	b[12], b[13] = typ, eventThreshold
	b[15], b[17], b[18] = 0x70, 0x70, 0x3f
	b[21], b[24] = unit, 1
	copy(b[36:42], []byte{220, 210, 200, 4, 7, 10}) // UNR UC UNC LNR LC LNC
	b[47] = 0xc0 | byte(len(name))
	copy(b[48:], name)
	return b
}

// compactRecord is a compact record of a discrete sensor.
func compactRecord(id uint16, number, typ, event uint8, mask uint16, name string) []byte {
	b := make([]byte, 32+len(name))
	binary.LittleEndian.PutUint16(b, id)
	b[2], b[3], b[4] = 0x51, recordCompact, byte(len(b)-5)
	b[5], b[7], b[8], b[9], b[12], b[13] = addrBMC, number, 7, 1, typ, event
	binary.LittleEndian.PutUint16(b[18:], mask)
	b[20] = 0xc0
	b[23] = 1
	b[31] = 0xc0 | byte(len(name))
	copy(b[32:], name)
	return b
}

// reference is go-ipmi's own BMC in this process: it speaks cipher suite 17, which Debian's ipmi_sim does not.
func reference(t testing.TB, suites ...types.CipherSuiteID) string {
	t.Helper()
	hal := mock.New()
	if err := hal.Chassis().SetPower(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for i, rec := range [][]byte{
		fullRecord(1, 1, typeTemperature, 1, "Inlet Temp"), fullRecord(2, 2, typeFan, 18, "Fan 1"),
		compactRecord(3, 3, typePSU, eventSpecific, 0x7f, "PSU 1"),
	} {
		if err := hal.Storage().SDR().Write(t.Context(), uint16(i+1), rec); err != nil {
			t.Fatal(err)
		}
	}
	b := bmc.New(bmc.DeviceInfo{DeviceID: 32, FirmwareMajor: 2, FirmwareMinor: 0x31, IPMIVersion: 0x20, ManufacturerID: 343, ProductID: 1}, [16]byte{1, 2, 3}, hal)
	b.SetCipherSuites(suites)
	user, err := b.Users.Add(2, "monitor")
	if err != nil {
		t.Fatal(err)
	}
	user.SetPassword([]byte("monpass1"))
	user.Enabled = true
	user.ChannelAccess[1] = bmc.UserChannelAccess{MaxPrivilege: bmc.PrivilegeLevelUser, Enabled: true}
	reg := handlers.NewRegistry()
	handlers.RegisterAllHandlers(reg)
	reg.RegisterFunc(types.CommandGetSensorReading, func(_ context.Context, _ *handlers.HandlerContext, d []byte) ([]byte, types.CompletionCode, error) {
		switch {
		case len(d) == 1 && d[0] == 3:
			return []byte{0, 0xc0, 0x01, 0}, 0, nil
		case len(d) == 1 && (d[0] == 1 || d[0] == 2):
			return []byte{20 + d[0], 0xc0, 0xc0}, 0, nil
		}
		return nil, types.CompletionCode(codeNotPresent), nil
	})
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	srv := server.NewServer(b, udp.Wrap(c), server.WithHandlerRegistry(reg))
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(context.Background()) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return c.LocalAddr().String()
}

func openAt(t testing.TB, address string, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{Address: address, Username: "monitor", Password: secret.New("monpass1"), Timeout: 200 * time.Millisecond}
	for _, f := range change {
		f(&o)
	}
	c, err := Open("t", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var readings = health.TiersOf(health.TierReadings)

func TestCipherSuites(t *testing.T) {
	for _, x := range []struct {
		name   string
		has    []types.CipherSuiteID
		wanted []int
		used   int
	}{
		{"17 is preferred", []types.CipherSuiteID{3, 17}, nil, 17},
		{"3 where there is no 17", []types.CipherSuiteID{3}, nil, 3},
		{"17 where there is no 3", []types.CipherSuiteID{17}, nil, 17},
		{"the configured one", []types.CipherSuiteID{3, 17}, []int{3}, 3},
		{"the configured order", []types.CipherSuiteID{17}, []int{3, 17}, 17},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := newProxy(t, reference(t, x.has...), "127.0.0.1:0")
			c := openAt(t, p.address(), func(o *Options) { o.CipherSuites = x.wanted })
			s := mustRead(t, c, health.Request{Tiers: readings})
			if c.link.suite != x.used {
				t.Errorf("suite %d", c.link.suite)
			}
			if r, ok := readingOf(s, "temperature/Inlet Temp", health.Temperature); !ok || r.Value != 21 {
				t.Errorf("reading %+v", r)
			}
			if psu := componentOf(t, s, "psu/PSU 1"); psu.State != health.OK || psu.Presence != health.Present {
				t.Errorf("psu: %+v", psu)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			// The suite that worked is in the memory: the next client asks for no other.
			before := p.count(isPayload(payloadOpenRequest))
			mustRead(t, openAt(t, p.address(), func(o *Options) { o.CipherSuites = x.wanted }), health.Request{Tiers: readings, Memory: s.Memory})
			if n := p.count(isPayload(payloadOpenRequest)) - before; n != 1 {
				t.Errorf("%d open session requests with the suite known", n)
			}
		})
	}
}

func TestWrongPasswordWithSuite17IsTriedOnce(t *testing.T) {
	p := newProxy(t, reference(t, 3, 17), "127.0.0.1:0")
	s, err := openAt(t, p.address(), func(o *Options) { o.Password = secret.New("wrong") }).Read(t.Context(), health.Request{Tiers: health.EveryTier})
	if health.ReasonFor(err) != health.ReasonDenied {
		t.Errorf("error %v", err)
	}
	if n := p.count(isPayload(payloadRAKP1)); n != 1 {
		t.Errorf("%d times RAKP 1", n)
	}
	if s == nil || s.Cost.Exchanges != p.total() || len(s.Readings) != 0 {
		t.Errorf("snapshot %+v", s)
	}
}

func TestNoCommonSuiteIsUnsupported(t *testing.T) {
	c := openAt(t, reference(t, 3), func(o *Options) { o.CipherSuites = []int{17} })
	if _, err := c.Read(t.Context(), health.Request{Tiers: readings}); health.ReasonFor(err) != health.ReasonUnsupported {
		t.Errorf("error %v", err)
	}
}

// The network's and attackers' tricks: after every one of them the readings are right, and nothing false was believed.
func TestHostileDatagrams(t *testing.T) {
	flip := func(at int) func(d []byte) [][]byte {
		return func(d []byte) [][]byte {
			if !sealed(d) {
				return [][]byte{d}
			}
			bad := append([]byte(nil), d...)
			bad[at%len(bad)] ^= 0x40
			return [][]byte{bad, d}
		}
	}
	var last, held []byte
	lose := 0
	for _, x := range []struct {
		name        string
		toBMC, toUs func(d []byte) [][]byte
		why         error // that something was dropped for
	}{
		{"an AuthCode that is wrong by a bit", nil, flip(-1 + 1<<20), nil},
		{"an encrypted byte that is wrong by a bit", nil, flip(40), errForged},
		{"an initialisation vector that is wrong by a bit", nil, flip(16), errForged},
		{"a session ID that is wrong by a bit", nil, flip(6), errSession},
		{"a sequence number that is wrong by a bit", nil, flip(10), errForged},
		{"a length that is wrong by a bit", nil, flip(14), nil},
		{"every reply twice", nil, func(d []byte) [][]byte { return [][]byte{d, d} }, errReplayed},
		{"the reply before, again", nil, func(d []byte) [][]byte {
			out := [][]byte{d}
			if last != nil && sealed(d) {
				out = [][]byte{last, d}
			}
			last = d
			return out
		}, errReplayed},
		{"a plain IPMI 1.5 answer in the session", nil, func(d []byte) [][]byte {
			if !sealed(d) {
				return [][]byte{d}
			}
			forged := encodeSessionless(append([]byte{addrConsole, 0x14 << 2, 0}, 0x20, 0, 0x2d, 0, 0x63, 0xc0, 0xc0, 0))
			return [][]byte{forged, d}
		}, errFrame},
		{"an answer without encryption", nil, func(d []byte) [][]byte {
			if !sealed(d) {
				return [][]byte{d}
			}
			forged := append([]byte(nil), d...)
			forged[5] = payloadIPMI
			return [][]byte{forged, d}
		}, errUnsealed},
		{"every length of truncation", nil, func(d []byte) [][]byte {
			var out [][]byte
			if sealed(d) {
				for n := range len(d) {
					out = append(out, d[:n])
				}
			}
			return append(out, d)
		}, errShort},
		{"an oversized datagram", nil, func(d []byte) [][]byte { return [][]byte{make([]byte, 1500), d} }, errFrame},
		{"every set-up request and every third other one twice", func(d []byte) [][]byte {
			if lose++; lose%3 == 0 || !sealed(d) {
				return [][]byte{d, d}
			}
			return [][]byte{d}
		}, nil, nil},
		{"every fifth datagram lost on the way there", func(d []byte) [][]byte {
			if lose++; lose%5 == 0 {
				return nil
			}
			return [][]byte{d}
		}, nil, nil},
		{"every fifth datagram lost on the way back", nil, func(d []byte) [][]byte {
			if lose++; lose%5 == 0 {
				return nil
			}
			return [][]byte{d}
		}, nil},
		{"every fifth answer overtaken by the one after it", nil, func(d []byte) [][]byte {
			if lose++; held == nil && lose%5 == 0 {
				held = d
				return nil
			}
			out := [][]byte{d}
			if held != nil {
				out, held = append(out, held), nil
			}
			return out
		}, nil},
		{"every fifth request overtaken by its own repetition", func(d []byte) [][]byte {
			if lose++; held == nil && lose%5 == 0 {
				held = d
				return nil
			}
			out := [][]byte{d}
			if held != nil {
				out, held = append(out, held), nil
			}
			return out
		}, nil, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			last, held, lose = nil, nil, 0
			p := newProxy(t, reference(t, 3, 17), "127.0.0.1:0")
			p.set(x.toBMC, x.toUs)
			c := openAt(t, p.address(), func(o *Options) { o.Timeout = 100 * time.Millisecond })
			var count tally
			var memory []byte
			for range 3 {
				s := mustRead(t, c, health.Request{Tiers: readings, Memory: memory})
				memory = s.Memory
				if len(s.Gaps) != 0 {
					t.Fatalf("gaps: %+v", s.Gaps)
				}
				for id, want := range map[health.ComponentID]float64{"temperature/Inlet Temp": 21, "fan/Fan 1": 22} {
					found := false
					for _, r := range s.Readings {
						if r.Component == id {
							found = true
							if r.Value != want {
								t.Fatalf("%s = %v", id, r.Value)
							}
						}
					}
					if !found {
						t.Fatalf("no reading of %s", id)
					}
				}
				for k, v := range c.link.tally.dropped {
					for range v {
						count.drop(errorString(k))
					}
				}
			}
			if x.why != nil && count.dropped[x.why.Error()] == 0 {
				t.Errorf("nothing dropped for %q: %v", x.why, count.dropped)
			}
		})
	}
}

type errorString string

func (e errorString) Error() string { return string(e) }

func TestRetriesHaveNewSequenceNumbers(t *testing.T) {
	p := newProxy(t, reference(t, 17), "127.0.0.1:0")
	c := openAt(t, p.address(), func(o *Options) { o.Timeout = 50 * time.Millisecond })
	s := mustRead(t, c, health.Request{Tiers: readings})
	lost := map[string]int{}
	p.set(func(d []byte) [][]byte { // every request's first two attempts are lost
		if !sealed(d) {
			return [][]byte{d}
		}
		if lost["n"]++; lost["n"]%3 != 0 {
			return nil
		}
		return [][]byte{d}
	}, nil)
	before := p.total()
	s2 := mustRead(t, c, health.Request{Tiers: readings, Memory: s.Memory})
	if len(s2.Readings) != len(s.Readings) || len(s2.Gaps) != 0 {
		t.Fatalf("%d readings, gaps %+v", len(s2.Readings), s2.Gaps)
	}
	if n := p.total() - before; n != s2.Cost.Exchanges {
		t.Errorf("%d datagrams, %d counted", n, s2.Cost.Exchanges)
	}
	seen := map[uint32]bool{}
	ivs := map[[16]byte]bool{}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.sent {
		if !sealed(d) {
			continue
		}
		seq := binary.LittleEndian.Uint32(d[10:])
		if seen[seq] || ivs[[16]byte(d[16:32])] {
			t.Fatalf("sequence number %d or its IV sent twice", seq)
		}
		seen[seq], ivs[[16]byte(d[16:32])] = true, true
	}
}

func TestForgedHandshakeRepliesDoNotEndIt(t *testing.T) {
	p := newProxy(t, reference(t, 17), "127.0.0.1:0")
	p.set(nil, func(d []byte) [][]byte {
		if sealed(d) || len(d) < 24 {
			return [][]byte{d}
		}
		wrongTag := append([]byte(nil), d...)
		wrongTag[16] ^= 0xff
		wrongTag[17] = statusUnauthorizedName
		refusal := append([]byte(nil), d[:18]...)
		refusal[14], refusal[15], refusal[17] = 2, 0, statusUnauthorizedName
		wrongID := append([]byte(nil), d...)
		wrongID[21] ^= 0xff
		wrongID[17] = statusNoResources
		wrongProof := append([]byte(nil), d...)
		wrongProof[len(d)-1] ^= 1
		if d[5] != payloadRAKP2 && d[5] != payloadRAKP4 {
			return [][]byte{wrongTag, wrongID, refusal, d}
		}
		return [][]byte{wrongTag, wrongID, refusal, wrongProof, d}
	})
	mustRead(t, openAt(t, p.address()), health.Request{Tiers: readings})
	if n := p.count(isPayload(payloadRAKP1)); n != 1 {
		t.Errorf("%d times RAKP 1", n)
	}
}

func TestNobodyThere(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, x := range []struct {
		name, address string
		reason        health.Reason
	}{
		{"a socket that never answers", silent.LocalAddr().String(), health.ReasonTimeout},
		{"a port where nobody listens", closed.LocalAddr().String(), health.ReasonUnreachable},
		{"a name that does not exist", "dewline-test.invalid:623", health.ReasonUnreachable},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := openAt(t, x.address, func(o *Options) { o.Timeout = 50 * time.Millisecond })
			begin := time.Now()
			s, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier})
			if health.ReasonFor(err) != x.reason || s == nil {
				t.Errorf("error %v (%s), snapshot %v", err, health.ReasonFor(err), s != nil)
			}
			if d := time.Since(begin); d > 10*time.Second {
				t.Errorf("after %v", d)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestTheContextEndsAWait(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // cancel once the first datagram is there, so that the client is waiting
		_, _, _ = silent.ReadFrom(make([]byte, 100))
		cancel()
	}()
	c := openAt(t, silent.LocalAddr().String(), func(o *Options) { o.Timeout = time.Minute })
	begin := time.Now()
	s, err := c.Read(ctx, health.Request{Tiers: health.EveryTier})
	if health.ReasonFor(err) != health.ReasonStopped || time.Since(begin) > 10*time.Second || s.Cost.Exchanges != 1 {
		t.Errorf("%v after %v, cost %+v", err, time.Since(begin), s.Cost)
	}
}

func TestIdleSessions(t *testing.T) {
	p := newProxy(t, reference(t, 17), "127.0.0.1:0")
	c := openAt(t, p.address(), func(o *Options) { o.Timeout = 500 * time.Millisecond })
	s := mustRead(t, c, health.Request{Tiers: readings})
	read := func(idle time.Duration) *health.Snapshot {
		t.Helper()
		c.link.used = time.Now().Add(-idle)
		s := mustRead(t, c, health.Request{Tiers: readings, Memory: s.Memory})
		if len(s.Readings) != 2 || len(s.Gaps) != 0 {
			t.Fatalf("%d readings, gaps %+v", len(s.Readings), s.Gaps)
		}
		return s
	}
	warm := read(30 * time.Second).Cost.Exchanges
	if n := read(55 * time.Second).Cost.Exchanges; n != warm {
		t.Errorf("a session that lives on is opened anew: %d exchanges, %d warm", n, warm)
	}
	// The BMC has ended it: its answers to the old session ID stop. One question tells, and the next time none is wasted.
	var old atomic.Uint32 // the proxy reads it beside
	old.Store(c.link.s.seal.remote)
	p.set(func(d []byte) [][]byte {
		if sealed(d) && binary.LittleEndian.Uint32(d[6:]) == old.Load() {
			return nil
		}
		return [][]byte{d}
	}, nil)
	if n := read(58 * time.Second).Cost.Exchanges; n != warm+1+4 {
		t.Errorf("%d exchanges for an ended session, %d warm", n, warm)
	}
	old.Store(c.link.s.seal.remote)
	if n := read(59 * time.Second).Cost.Exchanges; n != warm+4 {
		t.Errorf("%d exchanges once the BMC's patience is known, %d warm", n, warm)
	}
}

func TestAHungBMCCostsFewWaits(t *testing.T) {
	p := newProxy(t, reference(t, 17), "127.0.0.1:0")
	c := openAt(t, p.address(), func(o *Options) { o.Timeout = 20 * time.Millisecond })
	s := mustRead(t, c, health.Request{Tiers: readings})
	p.set(func(d []byte) [][]byte { return nil }, nil)
	s, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier, Memory: s.Memory})
	if health.ReasonFor(err) != health.ReasonTimeout {
		t.Errorf("%v", err)
	}
	if s.Cost.Exchanges > 12 || len(s.Readings) != 0 {
		t.Errorf("cost %+v, %d readings", s.Cost, len(s.Readings))
	}
}

package bmcsim

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// IPMIOptions says how an IPMI BMC behaves; the zero value is a well-behaved one with cipher suites 3 and 17.
type IPMIOptions struct {
	Username, Password string // DefaultUsername, DefaultPassword if empty; a password has at most 20 bytes
	Addr               string // a loopback address; "127.0.0.1:0" if empty

	// Suites the BMC accepts: of 0, 1, 2, 3, 15, 16, 17. 3 and 17 if nil.
	Suites []int
	// Privilege is the account's limit: 2 user, 3 operator, 4 administrator (if 0).
	Privilege byte
	// Kg is the BMC key of two-key logins; none if empty.
	Kg []byte
	// MaxSessions is how many sessions may be open at once; 5 if 0.
	MaxSessions int
	// LockAfter is how many failed logins in a row lock the account until Unlock; 0 never locks.
	LockAfter int
	// ReadLimit is how many bytes one Get SDR or Read FRU Data may return; more is refused with CAh. 0 is no limit.
	ReadLimit int
	// Refuse names commands answered with C1h, by NetFn<<8 | command: 0x2c02 is a BMC without DCMI power.
	Refuse []uint16

	// Answer, if set, answers every command that is not about sessions, instead of the machine: a recorded BMC. Silent is a
	// command that gets no answer.
	Answer func(netFn, cmd, lun byte, data []byte) (code byte, out []byte, silent bool)

	// Now is the BMC's clock; time.Now if nil.
	Now func() time.Time
}

// IPMIStats counts what clients did since the server started or ResetStats.
type IPMIStats struct {
	Datagrams     int // that arrived, bad ones too
	Bad           int // that were thrown away: malformed, unknown session, wrong authentication code, replayed
	Replies       int // datagrams sent, forged and doubled ones too
	Logins        int // sessions activated
	Attempts      int // logins that got as far as the password; those that are no Logins failed or were given up
	LoginFailures int // refused: wrong name, wrong password, no such cipher suite, privilege beyond the account's
	Logouts       int // Close Session
	OpenSessions  int // now
	Writes        int // commands that would have changed the BMC; all are refused, a reader sends none
	ByCommand     map[uint16]int
}

// IPMIServer is an IPMI 2.0 BMC on loopback.
type IPMIServer struct {
	m       *Machine
	o       IPMIOptions
	addr    string
	sensors []*sensor
	byNum   map[byte]*sensor
	frus    [][]byte

	mu       sync.Mutex
	conn     *net.UDPConn
	done     chan struct{}
	stop     chan struct{}
	closed   bool
	sessions map[uint32]*ipmiSession
	sdrs     []sdrRecord
	sdrTime  time.Time
	reserve  uint16
	selRes   uint16
	powerMin float64
	powerMax float64
	inARow   int
	stats    IPMIStats
	f        ipmiFaults
	rng      *rand.Rand
	now      State // of the second it was asked for: a sweep asks once per sensor
}

// ipmiFaults is what an IPMI server does wrong on request.
type ipmiFaults struct {
	dropEvery int
	arrived   int
	lose      float64
	duplicate bool
	forge     bool
	silent    bool
	busy      int
	latency   time.Duration
	readLimit int
	badSDR    map[uint16][]byte
}

// ServeIPMI puts a machine on the wire. Close ends it.
func ServeIPMI(m *Machine, o IPMIOptions) (*IPMIServer, error) {
	if o.Username == "" {
		o.Username = DefaultUsername
	}
	if o.Password == "" {
		o.Password = DefaultPassword
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Suites == nil {
		o.Suites = []int{3, 17}
	}
	if o.Privilege == 0 {
		o.Privilege = 4
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 5
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Password) > 20 || len(o.Username) > 16 || len(o.Kg) > 20 {
		return nil, errors.New("serve ipmi: IPMI 2.0 has names of up to 16 bytes, passwords and keys of up to 20")
	}
	for _, s := range o.Suites {
		if _, ok := cipherSuites[s]; !ok {
			return nil, fmt.Errorf("serve ipmi: cipher suite %d is not simulated", s)
		}
	}
	if err := checkLoopback(o.Addr); err != nil {
		return nil, err
	}
	s := &IPMIServer{m: m, o: o, sensors: sensorsOf(m.profile), byNum: map[byte]*sensor{}, frus: m.frus(), sdrTime: simEpoch, rng: rand.New(rand.NewPCG(m.seed, 1))}
	for _, x := range s.sensors {
		for i := range max(x.share, 1) {
			s.byNum[x.num+byte(i)] = x
		}
	}
	s.f.readLimit = o.ReadLimit
	s.stats.ByCommand = map[uint16]int{}
	s.sdrs = s.repository()
	if err := s.listen(o.Addr); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *IPMIServer) listen(addr string) error {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return fmt.Errorf("serve ipmi: %w", err)
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		return fmt.Errorf("serve ipmi: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == "" { // a restart keeps it
		s.addr = c.LocalAddr().String()
	}
	s.conn, s.done, s.stop = c, make(chan struct{}), make(chan struct{})
	s.sessions = map[uint32]*ipmiSession{}
	go s.loop(c, s.done, s.stop)
	return nil
}

// Addr of the socket, "127.0.0.1:PORT".
func (s *IPMIServer) Addr() string { return s.addr }

// URL is "ipmi://127.0.0.1:PORT".
func (s *IPMIServer) URL() string { return "ipmi://" + s.addr }

// Username the BMC accepts.
func (s *IPMIServer) Username() string { return s.o.Username }

// Password the BMC accepts.
func (s *IPMIServer) Password() string { return s.o.Password }

// Close ends the server and waits for its goroutine. It can be called again.
func (s *IPMIServer) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	return s.end()
}

func (s *IPMIServer) end() error {
	s.mu.Lock()
	c, done, stop := s.conn, s.done, s.stop
	s.conn = nil
	s.mu.Unlock()
	if c == nil { // a restart did not get its port back
		return nil
	}
	close(stop)
	err := c.Close()
	<-done
	if err != nil {
		return fmt.Errorf("close ipmi: %w", err)
	}
	return nil
}

// Restart is a BMC restart: all sessions and reservations are forgotten, the same port listens again.
func (s *IPMIServer) Restart() error {
	if err := s.end(); err != nil {
		return err
	}
	s.mu.Lock()
	s.reserve, s.selRes = 0, 0
	s.mu.Unlock()
	return s.listen(s.addr)
}

// Stats since the start or the last ResetStats.
func (s *IPMIServer) Stats() IPMIStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.ByCommand = maps.Clone(s.stats.ByCommand)
	for _, x := range s.sessions {
		if x.active {
			st.OpenSessions++
		}
	}
	return st
}

// ResetStats sets every counter to zero; sessions stay as they are.
func (s *IPMIServer) ResetStats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = IPMIStats{ByCommand: map[uint16]int{}}
}

// state is what the machine measures now. The slices in it are shared: it is read only.
func (s *IPMIServer) state() State {
	now := s.o.Now()
	if s.now.Time.Unix() != now.Unix() || s.now.Version != s.m.versionNow() {
		s.now = s.m.At(now)
	}
	return s.now
}

func (s *IPMIServer) fault(set func(*ipmiFaults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set(&s.f)
}

// DropEvery throws away every nth datagram that arrives; 0 none.
func (s *IPMIServer) DropEvery(n int) { s.fault(func(f *ipmiFaults) { f.dropEvery, f.arrived = n, 0 }) }

// LoseReplies loses each reply with probability p, the same ones for the same seed.
func (s *IPMIServer) LoseReplies(p float64, seed uint64) {
	s.fault(func(f *ipmiFaults) { f.lose = p })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rng = rand.New(rand.NewPCG(seed, 2))
}

// Duplicate sends every reply twice.
func (s *IPMIServer) Duplicate(on bool) { s.fault(func(f *ipmiFaults) { f.duplicate = on }) }

// Forge sends, before every reply, what an attacker on the path could: noise, a cut packet, the reply with a wrong authentication
// code, with another payload, and one without authentication or encryption.
func (s *IPMIServer) Forge(on bool) { s.fault(func(f *ipmiFaults) { f.forge = on }) }

// Silent answers nothing.
func (s *IPMIServer) Silent(on bool) { s.fault(func(f *ipmiFaults) { f.silent = on }) }

// Busy answers the next n commands with C0h, node busy.
func (s *IPMIServer) Busy(n int) { s.fault(func(f *ipmiFaults) { f.busy = n }) }

// SetLatency delays every reply by d. One datagram is handled at a time, as BMCs do.
func (s *IPMIServer) SetLatency(d time.Duration) { s.fault(func(f *ipmiFaults) { f.latency = d }) }

// SetReadLimit changes how many bytes one Get SDR or Read FRU Data may return; 0 is no limit.
func (s *IPMIServer) SetReadLimit(n int) { s.fault(func(f *ipmiFaults) { f.readLimit = n }) }

// SetSDR replaces the bytes of an SDR, header and all, as they come from broken firmware; nil takes it back.
func (s *IPMIServer) SetSDR(id uint16, record []byte) {
	s.fault(func(f *ipmiFaults) {
		if f.badSDR == nil {
			f.badSDR = map[uint16][]byte{}
		}
		f.badSDR[id] = record
		if record == nil {
			delete(f.badSDR, id)
		}
	})
	s.TouchSDR()
}

// TouchSDR moves the repository's time of change, as a firmware that rebuilt it would, and cancels reservations.
func (s *IPMIServer) TouchSDR() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sdrTime = s.sdrTime.Add(time.Hour)
	s.reserve++
}

// ExpireSessions forgets every session without a restart.
func (s *IPMIServer) ExpireSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// Unlock frees an account that LockAfter locked.
func (s *IPMIServer) Unlock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inARow = 0
}

func (s *IPMIServer) loop(c *net.UDPConn, done, stop chan struct{}) {
	defer close(done)
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a client's port went away: ICMP says so to the next read
		}
		s.mu.Lock()
		s.stats.Datagrams++
		s.f.arrived++
		f := s.f
		s.mu.Unlock()
		if f.silent || (f.dropEvery > 0 && f.arrived%f.dropEvery == 0) {
			continue
		}
		if f.latency > 0 {
			t := time.NewTimer(f.latency)
			select {
			case <-t.C:
			case <-stop:
				t.Stop()
				return
			}
		}
		s.mu.Lock()
		out := s.datagram(buf[:n])
		if out == nil {
			s.stats.Bad++
			s.mu.Unlock()
			continue
		}
		out = s.spoil(out)
		s.stats.Replies += len(out)
		s.mu.Unlock()
		for _, b := range out {
			_, _ = c.WriteToUDPAddrPort(b, from)
		}
	}
}

// spoil applies the faults of the way back.
func (s *IPMIServer) spoil(out [][]byte) [][]byte {
	if s.f.lose > 0 && s.rng.Float64() < s.f.lose {
		return nil
	}
	if s.f.duplicate {
		out = append(out, out...)
	}
	if s.f.forge {
		out = append(s.forgeries(out[0]), out...)
	}
	return out
}

func (s *IPMIServer) forgeries(reply []byte) [][]byte {
	noise := make([]byte, 4+s.rng.IntN(60))
	for i := range noise {
		noise[i] = byte(s.rng.Uint32())
	}
	garbage := append([]byte{6, 0, 0xff, 7, 6}, noise...)
	wrongCode := append([]byte(nil), reply...)
	wrongCode[len(wrongCode)-1] ^= 0x5a
	wrongPayload := append([]byte(nil), reply...)
	wrongPayload[len(wrongPayload)/2] ^= 0x21
	list := [][]byte{noise, garbage, reply[:len(reply)/2], wrongCode, wrongPayload}
	if plain := s.plainForgery(reply); plain != nil {
		list = append(list, plain)
	}
	return list
}

package bmcsim

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the protocol's
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net"
	"os"
	"testing"
	"time"
)

// ipmiClient is the least that can log in and send commands; it throws away what does not authenticate.
type ipmiClient struct {
	conn      net.Conn
	password  string
	newHash   func() hash.Hash
	n         int // bytes of authentication code
	sid       uint32
	k1, k2    []byte
	seq       uint32
	rq        byte
	rejected  int
	last      []byte // the last request datagram
	wait      time.Duration
	integrity byte
	auth      byte
}

func dialIPMI(t *testing.T, s *IPMIServer, suite int) *ipmiClient {
	t.Helper()
	conn, err := net.Dial("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &ipmiClient{conn: conn, password: DefaultPassword, newHash: sha1.New, n: 12, wait: 300 * time.Millisecond, auth: 1, integrity: 1}
	if suite == 17 {
		c.newHash, c.n, c.auth, c.integrity = sha256.New, 16, 3, 4
	}
	return c
}

func (c *ipmiClient) mac(key []byte, parts ...[]byte) []byte {
	m := hmac.New(c.newHash, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

var errNoReply = errors.New("no reply")

// exchange sends a datagram and returns the first reply that accept takes.
func (c *ipmiClient) exchange(b []byte, accept func([]byte) []byte) ([]byte, error) {
	c.last = b
	if _, err := c.conn.Write(b); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(c.wait)
	buf := make([]byte, 2048)
	for {
		if err := c.conn.SetReadDeadline(deadline); err != nil {
			return nil, err
		}
		n, err := c.conn.Read(buf)
		if err != nil {
			return nil, errNoReply
		}
		if out := accept(bytes.Clone(buf[:n])); out != nil {
			return out, nil
		}
		c.rejected++
	}
}

func (c *ipmiClient) handshake(kind byte, payload []byte, least int) ([]byte, error) {
	return c.exchange(packet(kind, 0, 0, payload), func(b []byte) []byte {
		if len(b) < 16+least || b[5] != kind+1 {
			return nil
		}
		if b[17] != 0 {
			return b[16:18]
		}
		return b[16:]
	})
}

type rakpStatus byte

func (s rakpStatus) Error() string { return fmt.Sprintf("status %02Xh", byte(s)) }

func (c *ipmiClient) login() error {
	open := []byte{1, 4, 0, 0, 0xd, 0xc, 0xb, 0xa, 0, 0, 0, 8, c.auth, 0, 0, 0, 1, 0, 0, 8, c.integrity, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0}
	r, err := c.handshake(payloadOpenRequest, open, 8)
	if err != nil {
		return err
	}
	if r[1] != 0 {
		return rakpStatus(r[1])
	}
	console, bmc := open[4:8], r[8:12]
	rc := bytes.Repeat([]byte{0x42}, 16)
	who := append([]byte{4, byte(len(DefaultUsername))}, DefaultUsername...)
	r1 := append(append(append([]byte{2, 0, 0, 0}, bmc...), rc...), 4, 0, 0, byte(len(DefaultUsername)))
	if r, err = c.handshake(payloadRAKP1, append(r1, DefaultUsername...), 8); err != nil {
		return err
	}
	if r[1] != 0 {
		return rakpStatus(r[1])
	}
	kuid := make([]byte, 20)
	copy(kuid, c.password)
	rm, guid := r[8:24], r[24:40]
	code := c.mac(kuid, rm, console, who)
	if !hmac.Equal(r[40:], c.mac(kuid, console, bmc, rc, rm, guid, who)) {
		code[0] ^= 1 // go on as a client would that has no right to
	}
	sik := c.mac(kuid, rc, rm, who)
	if r, err = c.handshake(payloadRAKP3, append(append([]byte{3, 0, 0, 0}, bmc...), code...), 8); err != nil {
		return err
	}
	if r[1] != 0 {
		return rakpStatus(r[1])
	}
	if !hmac.Equal(r[8:], c.mac(sik, rc, bmc, guid)[:c.n]) {
		return errors.New("RAKP 4 does not authenticate")
	}
	c.sid, c.seq = binary.LittleEndian.Uint32(bmc), 0
	c.k1, c.k2 = c.mac(sik, bytes.Repeat([]byte{1}, 20)), c.mac(sik, bytes.Repeat([]byte{2}, 20))
	return nil
}

func (c *ipmiClient) send(netfn, cmd byte, data ...byte) ([]byte, error) {
	c.rq += 4
	msg := ipmiMessage(0x20, netfn<<2, 0x81, c.rq, cmd, data)
	c.seq++
	pad := (16 - (len(msg)+1)%16) % 16
	for i := range pad {
		msg = append(msg, byte(i+1))
	}
	msg = append(msg, byte(pad))
	block, err := aes.NewCipher(c.k2[:16])
	if err != nil {
		return nil, err
	}
	iv := bytes.Repeat([]byte{byte(c.seq)}, 16)
	sealed := make([]byte, len(msg))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, msg)
	b := packet(0xc0, c.sid, c.seq, append(iv, sealed...))
	n := (4 - (len(b)-4+2)%4) % 4
	b = append(append(b, bytes.Repeat([]byte{0xff}, n)...), byte(n), 7)
	b = append(b, c.mac(c.k1, b[4:])[:c.n]...)
	return c.exchange(b, c.open)
}

// open checks and decrypts a reply and returns completion code and data.
func (c *ipmiClient) open(b []byte) []byte {
	if len(b) < 16+32+2+c.n || b[4] != 6 || b[5] != 0xc0 {
		return nil
	}
	if !hmac.Equal(b[len(b)-c.n:], c.mac(c.k1, b[4:len(b)-c.n])[:c.n]) {
		return nil
	}
	n := int(binary.LittleEndian.Uint16(b[14:]))
	block, err := aes.NewCipher(c.k2[:16])
	if err != nil || 16+n > len(b) || n%16 != 0 {
		return nil
	}
	out := make([]byte, n-16)
	cipher.NewCBCDecrypter(block, b[16:32]).CryptBlocks(out, b[32:16+n])
	out = out[:len(out)-1-int(out[len(out)-1])]
	if out[4]&0xfc != c.rq {
		return nil
	}
	return out[6 : len(out)-1]
}

func (c *ipmiClient) must(t *testing.T, netfn, cmd byte, data ...byte) []byte {
	t.Helper()
	b, err := c.send(netfn, cmd, data...)
	if err != nil {
		t.Fatalf("command %02Xh/%02Xh: %v", netfn, cmd, err)
	}
	return b
}

func loggedIn(t *testing.T, s *IPMIServer, suite int) *ipmiClient {
	t.Helper()
	c := dialIPMI(t, s, suite)
	if err := c.login(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestALoginIsRefusedForTheRightReason(t *testing.T) {
	s := serveIPMI(t, testMachine(ProfileBoard), IPMIOptions{Suites: []int{17}, MaxSessions: 1, LockAfter: 2})
	want := func(c *ipmiClient, status byte) {
		t.Helper()
		if err := c.login(); !errors.Is(err, rakpStatus(status)) {
			t.Errorf("got %v, want status %02Xh", err, status)
		}
	}
	want(dialIPMI(t, s, 3), statusNoSuite)
	first := loggedIn(t, s, 17)
	want(dialIPMI(t, s, 17), statusNoResources)
	if b := first.must(t, netApp, 0x3c, le32(first.sid)...); b[0] != 0 {
		t.Errorf("close session: % x", b)
	}
	wrong := dialIPMI(t, s, 17)
	wrong.password = "guess"
	want(wrong, statusBadIntegrity)
	want(wrong, statusBadIntegrity)
	want(dialIPMI(t, s, 17), statusBadIntegrity) // locked now
	s.Unlock()
	loggedIn(t, s, 17)
	if st := s.Stats(); st.Logins != 2 || st.Logouts != 1 || st.OpenSessions != 1 || st.Attempts != 5 || st.LoginFailures != 4 {
		t.Errorf("stats %+v", st)
	}
	low := serveIPMI(t, testMachine(ProfileBoard), IPMIOptions{Privilege: 2})
	want(dialIPMI(t, low, 17), statusBadRole)
}

func TestReplaysForgeriesAndPlainPacketsAreThrownAway(t *testing.T) {
	s := serveIPMI(t, testMachine(ProfileBoard), IPMIOptions{})
	c := loggedIn(t, s, 3)
	c.must(t, netApp, 0x01)
	c.wait = 50 * time.Millisecond
	replay := c.last
	forged := bytes.Clone(replay)
	forged[len(forged)-1] ^= 1
	plain := packet(0, c.sid, c.seq+1, ipmiMessage(0x20, netApp<<2, 0x81, 0, 1, nil))
	for name, b := range map[string][]byte{"replay": replay, "forgery": forged, "plain": plain, "cut": replay[:30]} {
		if _, err := c.exchange(b, func(b []byte) []byte { return b }); !errors.Is(err, errNoReply) {
			t.Errorf("%s was answered", name)
		}
	}
	if st := s.Stats(); st.Bad != 4 {
		t.Errorf("%d bad datagrams, want 4", st.Bad)
	}
	c.wait = time.Second
	c.must(t, netApp, 0x01)
}

func TestIPMIFaultsOnRequest(t *testing.T) {
	m := testMachine(ProfileWhitebox)
	s := serveIPMI(t, m, IPMIOptions{Refuse: []uint16{0x2c02}})
	c := loggedIn(t, s, 17)
	c.wait = 100 * time.Millisecond
	count := func(n int) (lost int) {
		for range n {
			if _, err := c.send(netApp, 0x01); err != nil {
				lost++
			}
		}
		return lost
	}
	if b := c.must(t, netGroup, 0x02, dcmiGroup, 1, 0, 0); b[0] != ccInvalid {
		t.Errorf("refused command: % x", b)
	}
	if b := c.must(t, netStorage, 0x47, 1, 0, 'C', 'L', 'R', 0xaa); b[0] != ccPrivilege || s.Stats().Writes != 1 || len(m.Log()) != 5 {
		t.Errorf("clear SEL: % x, %d writes", b, s.Stats().Writes)
	}
	s.DropEvery(3)
	if lost := count(6); lost != 2 {
		t.Errorf("every third dropped: %d of 6 lost", lost)
	}
	s.DropEvery(0)
	s.LoseReplies(0.5, 7)
	if lost := count(20); lost < 4 || lost > 16 {
		t.Errorf("half of the replies lost: %d of 20", lost)
	}
	s.LoseReplies(0, 0)
	s.Silent(true)
	if lost := count(1); lost != 1 {
		t.Error("silent, and answered")
	}
	s.Silent(false)
	s.Busy(2)
	for _, want := range []byte{ccBusy, ccBusy, 0} {
		if b := c.must(t, netApp, 0x01); b[0] != want {
			t.Errorf("busy: %02Xh, want %02Xh", b[0], want)
		}
	}
	s.SetLatency(30 * time.Millisecond)
	start := time.Now()
	if count(1); time.Since(start) < 30*time.Millisecond {
		t.Error("no latency")
	}
	s.SetLatency(0)
	c.rejected = 0
	s.Forge(true)
	c.wait = time.Second
	if b := c.must(t, netApp, 0x01); b[0] != 0 || c.rejected != 6 {
		t.Errorf("among forgeries: % x, %d rejected", b, c.rejected)
	}
	s.Forge(false)
	s.Duplicate(true)
	for range 5 {
		if b := c.must(t, netApp, 0x01); b[0] != 0 {
			t.Errorf("doubled: % x", b)
		}
	}
	s.Duplicate(false)
	c.wait = 50 * time.Millisecond
	s.ExpireSessions()
	if lost := count(1); lost != 1 {
		t.Error("an expired session was answered")
	}
	if err := c.login(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if lost := count(1); lost != 1 {
		t.Error("a session survived the restart")
	}
	c.wait = time.Second
	if err := c.login(); err != nil {
		t.Errorf("log in after the restart: %v", err)
	}
}

func TestSDRReadsAreReservedPartialAndLimited(t *testing.T) {
	s := serveIPMI(t, testMachine(ProfileBlade), IPMIOptions{ReadLimit: 16})
	c := loggedIn(t, s, 3)
	get := func(resv, id uint16, off, n byte) []byte {
		t.Helper()
		b := binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, resv), id)
		return c.must(t, netStorage, 0x23, append(b, off, n)...)
	}
	if b := get(0, 0, 0, 0xff); b[0] != ccReadTooLong {
		t.Errorf("whole record: %02Xh", b[0])
	}
	if b := get(0, 0, 5, 8); b[0] != ccReservation {
		t.Errorf("partial read without a reservation: %02Xh", b[0])
	}
	read := func() (records int) {
		resv := binary.LittleEndian.Uint16(c.must(t, netStorage, 0x22)[1:])
		for id, next := uint16(0), uint16(0); id != 0xffff; id = next {
			head := get(resv, id, 0, 5)
			if head[0] != 0 {
				t.Fatalf("record %d: %02Xh", id, head[0])
			}
			next = binary.LittleEndian.Uint16(head[1:])
			var body []byte
			for len(body) < int(head[7]) {
				b := get(resv, id, byte(5+len(body)), byte(min(16, int(head[7])-len(body))))
				if b[0] != 0 {
					t.Fatalf("record %d at %d: %02Xh", id, len(body), b[0])
				}
				body = append(body, b[3:]...)
			}
			records++
		}
		return records
	}
	info := c.must(t, netStorage, 0x20)
	if n := read(); n != s.SDRCount() || n != int(binary.LittleEndian.Uint16(info[2:])) {
		t.Errorf("%d records read, %d told, %d there", n, binary.LittleEndian.Uint16(info[2:]), s.SDRCount())
	}
	resv := binary.LittleEndian.Uint16(c.must(t, netStorage, 0x22)[1:])
	s.TouchSDR()
	if b := get(resv, 0, 5, 8); b[0] != ccReservation {
		t.Errorf("reservation after a change of the repository: %02Xh", b[0])
	}
	if again := c.must(t, netStorage, 0x20); bytes.Equal(info, again) {
		t.Error("the repository's time of change stayed")
	}
	s.SetSDR(1, []byte{1, 0, 0x51, 0x12, 200})
	if b := get(0, 1, 0, 5); b[7] != 200 {
		t.Errorf("broken record: % x", b)
	}
}

func TestThePresencePingIsAnswered(t *testing.T) {
	s := serveIPMI(t, testMachine(ProfileBoard), IPMIOptions{})
	c := dialIPMI(t, s, 3)
	b, err := c.exchange([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 9, 0, 0}, func(b []byte) []byte { return b })
	if err != nil || len(b) != 28 || b[8] != 0x40 || b[9] != 9 || b[20] != 0x81 {
		t.Errorf("pong % x, %v", b, err)
	}
	auth := append([]byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, ipmiMessage(0x20, netApp<<2, 0x81, 4, 0x38, []byte{0x8e, 4})...)
	b, err = c.exchange(auth, func(b []byte) []byte { return b })
	if err != nil || len(b) < 24 || b[20] != 0 || b[24]&2 == 0 {
		t.Errorf("authentication capabilities % x, %v", b, err)
	}
}

func TestOnlyLoopbackIsServedByIPMI(t *testing.T) {
	if s, err := ServeIPMI(testMachine(ProfileBoard), IPMIOptions{Addr: "0.0.0.0:0"}); err == nil {
		_ = s.Close()
		t.Error("all addresses were served")
	}
}

func TestARestartThatLosesItsPortSaysSoAndStillCloses(t *testing.T) {
	s := serveIPMI(t, testMachine(ProfileBoard), IPMIOptions{})
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	thief, err := net.ListenPacket("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	if err := s.Restart(); err == nil {
		t.Error("the restart got a port that is taken")
	}
}

func FuzzDatagram(f *testing.F) {
	// A server with its clock standing, and one session whose keys are known.
	m := testMachine(ProfileBlade)
	s, err := ServeIPMI(m, IPMIOptions{Now: func() time.Time { return testTime }, Suites: []int{0, 3, 17}})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	files, err := os.ReadDir("testdata/fuzz/FuzzDatagram")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds in testdata/fuzz/FuzzDatagram: %v", err)
	}
	s.mu.Lock()
	s.sessions[0x01020304] = &ipmiSession{id: 0x01020304, active: true, role: 4, privilege: 2, last: testTime}
	s.mu.Unlock()
	f.Fuzz(func(t *testing.T, b []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, out := range s.datagram(bytes.Clone(b)) {
			if len(out) < 12 || out[0] != 6 {
				t.Errorf("reply % x", out)
			}
			if out[3] == 7 && out[4] == 6 && len(out) != 16+int(binary.LittleEndian.Uint16(out[14:])) {
				t.Errorf("length of % x", out)
			}
		}
		// The same bytes as the message of a session without encryption reach every command.
		if x := s.sessions[0x01020304]; x != nil {
			s.message(b, x)
		} else {
			s.sessions[0x01020304] = &ipmiSession{id: 0x01020304, active: true, role: 4, privilege: 2, last: testTime}
		}
	})
}

package bmcsim

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the protocol's
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"slices"
	"time"
)

// cipherSuite is a row of IPMI v2.0 table 22-20.
type cipherSuite struct{ auth, integrity, confidentiality byte }

var cipherSuites = map[int]cipherSuite{
	0: {0, 0, 0}, 1: {1, 0, 0}, 2: {1, 1, 0}, 3: {1, 1, 1}, 15: {3, 0, 0}, 16: {3, 4, 0}, 17: {3, 4, 1},
}

// Payload types of RMCP+ (IPMI v2.0 table 13-16).
const (
	payloadIPMI         = 0x00
	payloadOpenRequest  = 0x10
	payloadOpenResponse = 0x11
	payloadRAKP1        = 0x12
	payloadRAKP2        = 0x13
	payloadRAKP3        = 0x14
	payloadRAKP4        = 0x15
)

// Status codes of RMCP+ and RAKP messages (IPMI v2.0 table 13-15).
const (
	statusNoResources      = 0x01
	statusInvalidSession   = 0x02
	statusBadRole          = 0x0a
	statusUnauthorizedName = 0x0d
	statusBadIntegrity     = 0x0f
	statusNoSuite          = 0x11
)

const sessionIdle = 60 * time.Second // IPMI v2.0 6.12.15

type ipmiSession struct {
	id, console uint32
	suite       cipherSuite
	role        byte
	user        []byte
	consoleRand [16]byte
	bmcRand     [16]byte
	kuid        []byte // the password as a key
	sik, k1, k2 []byte
	active      bool
	privilege   byte
	out         uint32 // last sequence number sent
	in          uint32 // highest received
	window      uint32 // bit i: in-i was received
	last        time.Time
}

func hashOf(alg byte) (func() hash.Hash, int) {
	switch alg {
	case 1:
		return sha1.New, 12
	case 3, 4:
		return sha256.New, 16
	}
	return nil, 0
}

// mac is the authentication algorithm's HMAC, nothing for the one called none.
func (c cipherSuite) mac(key []byte, parts ...[]byte) []byte {
	h, _ := hashOf(c.auth)
	if h == nil {
		return nil
	}
	m := hmac.New(h, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// code is the authentication code of a packet in the session.
func (x *ipmiSession) code(b []byte) []byte {
	alg := map[byte]byte{1: 1, 4: 3}[x.suite.integrity]
	h, n := hashOf(alg)
	if h == nil {
		return nil
	}
	m := hmac.New(h, x.k1)
	m.Write(b)
	return m.Sum(nil)[:n]
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// datagram answers one datagram; nil for one that is thrown away.
func (s *IPMIServer) datagram(b []byte) [][]byte {
	if len(b) < 5 || b[0] != 6 {
		return nil
	}
	switch b[3] & 0x1f {
	case 6:
		return asfPong(b)
	case 7:
		if b[4]&0x0f == 6 {
			return s.rmcpPlus(b[4:])
		}
		return s.sessionless15(b[4:])
	}
	return nil
}

// asfPong answers an RMCP presence ping (IPMI v2.0 13.2.3).
func asfPong(b []byte) [][]byte {
	if len(b) < 12 || b[8] != 0x80 {
		return nil
	}
	return [][]byte{{
		6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, b[9], 0, 16,
		0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0,
	}}
}

// sessionless15 answers commands in IPMI 1.5 framing outside of any session.
func (s *IPMIServer) sessionless15(b []byte) [][]byte {
	if len(b) < 10 || b[0] != 0 || !bytes.Equal(b[1:9], make([]byte, 8)) || len(b) < 10+int(b[9]) {
		return nil
	}
	reply := s.message(b[10:10+int(b[9])], nil)
	if reply == nil {
		return nil
	}
	out := append([]byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(reply))}, reply...)
	return [][]byte{out}
}

func (s *IPMIServer) rmcpPlus(b []byte) [][]byte {
	if len(b) < 12 {
		return nil
	}
	kind := b[1]
	id, seq := binary.LittleEndian.Uint32(b[2:]), binary.LittleEndian.Uint32(b[6:])
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if len(b) < 12+n {
		return nil
	}
	payload := b[12 : 12+n]
	if kind&0xc0 == 0 && id == 0 {
		var typ byte
		var out []byte
		switch kind {
		case payloadIPMI:
			typ, out = payloadIPMI, s.message(payload, nil)
		case payloadOpenRequest:
			typ, out = payloadOpenResponse, s.openSession(payload)
		case payloadRAKP1:
			typ, out = payloadRAKP2, s.rakp1(payload)
		case payloadRAKP3:
			typ, out = payloadRAKP4, s.rakp3(payload)
		}
		if out == nil {
			return nil
		}
		return [][]byte{packet(typ, 0, 0, out)}
	}
	x := s.sessions[id]
	if x == nil || !x.active || kind&0x3f != payloadIPMI {
		return nil
	}
	if (kind&0x40 != 0) != (x.suite.integrity != 0) || (kind&0x80 != 0) != (x.suite.confidentiality != 0) {
		return nil
	}
	if x.suite.integrity != 0 && !x.authentic(b, 12+n) {
		return nil
	}
	if !x.fresh(seq) {
		return nil
	}
	if x.suite.confidentiality != 0 {
		if payload = decrypt(x.k2[:16], payload); payload == nil {
			return nil
		}
	}
	x.last = s.o.Now()
	reply := s.message(payload, x)
	if reply == nil {
		return nil
	}
	return [][]byte{x.seal(reply)}
}

func packet(kind byte, id, seq uint32, payload []byte) []byte {
	out := []byte{6, 0, 0xff, 7, 6, kind}
	out = binary.LittleEndian.AppendUint32(out, id)
	out = binary.LittleEndian.AppendUint32(out, seq)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(payload)))
	return append(out, payload...)
}

// authentic checks the trailer of a packet whose payload ends at end: pad, pad length, next header, code.
func (x *ipmiSession) authentic(b []byte, end int) bool {
	_, n := hashOf(map[byte]byte{1: 1, 4: 3}[x.suite.integrity])
	if len(b) < end+2+n {
		return false
	}
	signed := b[:len(b)-n]
	if signed[len(signed)-1] != 7 || int(signed[len(signed)-2]) != len(signed)-2-end {
		return false
	}
	return hmac.Equal(x.code(signed), b[len(b)-n:])
}

// fresh keeps a sliding window of 32 sequence numbers (IPMI v2.0 6.12.13).
func (x *ipmiSession) fresh(seq uint32) bool {
	switch {
	case seq == 0:
		return false
	case seq > x.in:
		if d := seq - x.in; d < 32 {
			x.window = x.window<<d | 1
		} else {
			x.window = 1
		}
		x.in = seq
		return true
	case x.in-seq >= 32 || x.window&(1<<(x.in-seq)) != 0:
		return false
	}
	x.window |= 1 << (x.in - seq)
	return true
}

// seal makes the packet of a reply in the session.
func (x *ipmiSession) seal(reply []byte) []byte {
	kind := byte(payloadIPMI)
	if x.suite.confidentiality != 0 {
		kind |= 0x80
		reply = encrypt(x.k2[:16], reply)
	}
	if x.suite.integrity != 0 {
		kind |= 0x40
	}
	x.out++
	out := packet(kind, x.console, x.out, reply)
	if x.suite.integrity == 0 {
		return out
	}
	pad := (4 - (len(out)-4+2)%4) % 4
	out = append(out, bytes.Repeat([]byte{0xff}, pad)...)
	out = append(out, byte(pad), 7)
	return append(out, x.code(out[4:])...)
}

// plainForgery is the shape of a reply with neither authentication nor encryption, to the same session.
func (s *IPMIServer) plainForgery(reply []byte) []byte {
	if len(reply) < 16 || reply[4] != 6 || reply[5]&0xc0 == 0 {
		return nil
	}
	id, seq := binary.LittleEndian.Uint32(reply[6:]), binary.LittleEndian.Uint32(reply[10:])
	return packet(payloadIPMI, id, seq, ipmiMessage(0x81, 5, 0x20, 0, 0x2d, []byte{0, 0xff, 0xc0, 0xc0}))
}

func encrypt(key, plain []byte) []byte {
	pad := (16 - (len(plain)+1)%16) % 16
	for i := range pad {
		plain = append(plain, byte(i+1))
	}
	plain = append(plain, byte(pad))
	iv := make([]byte, 16)
	_, _ = rand.Read(iv) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has 16 bytes
	}
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plain)
	return append(iv, out...)
}

func decrypt(key, b []byte) []byte {
	if len(b) < 32 || len(b)%16 != 0 {
		return nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has 16 bytes
	}
	out := make([]byte, len(b)-16)
	cipher.NewCBCDecrypter(block, b[:16]).CryptBlocks(out, b[16:])
	pad := int(out[len(out)-1])
	if pad > 15 || pad+1 > len(out) {
		return nil
	}
	for i, p := range out[len(out)-1-pad : len(out)-1] {
		if p != byte(i+1) {
			return nil
		}
	}
	return out[:len(out)-1-pad]
}

func (s *IPMIServer) openSession(b []byte) []byte {
	if len(b) < 32 {
		return nil
	}
	tag, console := b[0], b[4:8]
	refuse := func(status byte) []byte { return append([]byte{tag, status, 0, 0}, console...) }
	want := cipherSuite{b[12] & 0x3f, b[20] & 0x3f, b[28] & 0x3f}
	if !slices.ContainsFunc(s.o.Suites, func(n int) bool { return cipherSuites[n] == want }) {
		s.stats.LoginFailures++
		return refuse(statusNoSuite)
	}
	now := s.o.Now()
	active, oldest := 0, (*ipmiSession)(nil)
	for id, x := range s.sessions {
		switch {
		case now.Sub(x.last) > sessionIdle:
			delete(s.sessions, id)
		case x.active:
			active++
		case oldest == nil || x.last.Before(oldest.last):
			oldest = x
		}
	}
	if active >= s.o.MaxSessions {
		return refuse(statusNoResources)
	}
	if len(s.sessions)-active >= 16 {
		delete(s.sessions, oldest.id)
	}
	x := &ipmiSession{console: binary.LittleEndian.Uint32(console), suite: want, last: now, privilege: 2}
	for x.id == 0 || s.sessions[x.id] != nil {
		var r [4]byte
		_, _ = rand.Read(r[:]) // never fails
		x.id = binary.LittleEndian.Uint32(r[:])
	}
	s.sessions[x.id] = x
	out := append([]byte{tag, 0, s.o.Privilege, 0}, console...)
	out = append(out, le32(x.id)...)
	out = append(out, 0, 0, 0, 8, want.auth, 0, 0, 0)
	out = append(out, 1, 0, 0, 8, want.integrity, 0, 0, 0)
	return append(out, 2, 0, 0, 8, want.confidentiality, 0, 0, 0)
}

// attempt is the password as a key; a locked account has one that nobody knows. A login counts as failed until RAKP message 3
// proves it good: a client that sees in RAKP message 2 that its password is wrong need not say so.
func (s *IPMIServer) attempt() []byte {
	k := make([]byte, 20)
	if s.o.LockAfter > 0 && s.inARow >= s.o.LockAfter {
		_, _ = rand.Read(k)
	} else {
		copy(k, s.o.Password)
	}
	s.stats.Attempts++
	s.inARow++
	return k
}

func (s *IPMIServer) rakp1(b []byte) []byte {
	if len(b) < 28 || len(b) < 28+int(b[27]) {
		return nil
	}
	tag := b[0]
	x := s.sessions[binary.LittleEndian.Uint32(b[4:])]
	if x == nil || x.active {
		return []byte{tag, statusInvalidSession, 0, 0, 0, 0, 0, 0}
	}
	refuse := func(status byte) []byte {
		s.stats.LoginFailures++
		delete(s.sessions, x.id)
		return append([]byte{tag, status, 0, 0}, le32(x.console)...)
	}
	x.user = slices.Clone(b[28 : 28+int(b[27])])
	if string(x.user) != s.o.Username {
		return refuse(statusUnauthorizedName)
	}
	x.role = b[24]
	if x.role&0x0f > s.o.Privilege {
		return refuse(statusBadRole)
	}
	copy(x.consoleRand[:], b[8:24])
	_, _ = rand.Read(x.bmcRand[:]) // never fails
	if x.kuid == nil {             // a repeated RAKP 1 is no second attempt
		x.kuid = s.attempt()
	}
	kg := x.kuid
	if len(s.o.Kg) > 0 {
		kg = make([]byte, 20)
		copy(kg, s.o.Kg)
	}
	who := append([]byte{x.role, byte(len(x.user))}, x.user...)
	x.sik = x.suite.mac(kg, x.consoleRand[:], x.bmcRand[:], who)
	x.k1, x.k2 = x.suite.mac(x.sik, bytes.Repeat([]byte{1}, 20)), x.suite.mac(x.sik, bytes.Repeat([]byte{2}, 20))
	guid := s.m.id.guid[:]
	out := append([]byte{tag, 0, 0, 0}, le32(x.console)...)
	out = append(out, x.bmcRand[:]...)
	out = append(out, guid...)
	return append(out, x.suite.mac(x.kuid, le32(x.console), le32(x.id), x.consoleRand[:], x.bmcRand[:], guid, who)...)
}

func (s *IPMIServer) rakp3(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	tag := b[0]
	x := s.sessions[binary.LittleEndian.Uint32(b[4:])]
	if x == nil || x.kuid == nil {
		return []byte{tag, statusInvalidSession, 0, 0, 0, 0, 0, 0}
	}
	who := append([]byte{x.role, byte(len(x.user))}, x.user...)
	good := b[1] == 0 && subtle.ConstantTimeCompare(x.suite.mac(x.kuid, x.bmcRand[:], le32(x.console), who), b[8:]) == 1
	if !good {
		s.stats.LoginFailures++
		delete(s.sessions, x.id)
		if b[1] != 0 {
			return nil // the client itself gave up: it saw that the password is wrong
		}
		return append([]byte{tag, statusBadIntegrity, 0, 0}, le32(x.console)...)
	}
	s.inARow = 0
	if !x.active { // a repeated RAKP 3 is answered again
		x.active = true
		s.stats.Logins++
	}
	out := append([]byte{tag, 0, 0, 0}, le32(x.console)...)
	icv := x.suite.mac(x.sik, x.consoleRand[:], le32(x.id), s.m.id.guid[:])
	if _, n := hashOf(x.suite.auth); n > 0 {
		icv = icv[:n]
	}
	return append(out, icv...)
}

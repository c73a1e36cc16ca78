package ipmi

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bougou/go-ipmi/pkg/crypto"
	"github.com/bougou/go-ipmi/pkg/types"
)

// Payload types of RMCP+ (IPMI 2.0 table 13-16) and its flags.
const (
	payloadIPMI        = 0x00
	payloadOpenRequest = 0x10
	payloadOpenReply   = 0x11
	payloadRAKP1       = 0x12
	payloadRAKP2       = 0x13
	payloadRAKP3       = 0x14
	payloadRAKP4       = 0x15
	flagEncrypted      = 0x80
	flagAuthenticated  = 0x40

	authTypeNone  = 0x00 // of an IPMI 1.5 session header
	authTypeRMCPP = 0x06

	addrBMC     = 0x20
	addrConsole = 0x81
)

// maxDatagram is the largest datagram taken: RMCP+ headers, a 255-byte message, padding and trailer fit well within.
const maxDatagram = 1024

var rmcpHeader = [4]byte{0x06, 0x00, 0xff, 0x07} // version 1.0, no acknowledgement asked, class IPMI

// Why a datagram is dropped. They are counted by their text.
var (
	errNotOurs    = errors.New("not the answer asked for")
	errShort      = errors.New("too short")
	errFrame      = errors.New("bad framing")
	errForged     = errors.New("wrong authentication code")
	errUnsealed   = errors.New("not encrypted and authenticated")
	errSession    = errors.New("another session's")
	errReplayed   = errors.New("sequence number seen or too old")
	errDecryption = errors.New("cannot be decrypted")
)

// message is an IPMI LAN message (IPMI 2.0 section 13.8).
type message struct {
	netFn, cmd, lun, seq uint8
	data                 []byte // of a request
	code                 uint8  // completion code of a response
}

func checksum(b []byte) byte {
	var s byte
	for _, x := range b {
		s += x
	}
	return -s
}

// encodeRequest is the request as the BMC at address 20h gets it.
func encodeRequest(m message) []byte {
	b := make([]byte, 0, 7+len(m.data))
	b = append(b, addrBMC, m.netFn<<2|m.lun&3)
	b = append(b, checksum(b))
	body := len(b)
	b = append(b, addrConsole, m.seq<<2, m.cmd)
	b = append(b, m.data...)
	return append(b, checksum(b[body:]))
}

// decodeResponse takes a response message apart. Its data is a part of b. The addresses are not looked at: some firmware (and
// go-ipmi's server) fills in its own for the console's, and within a session the AuthCode says who speaks. Nor are the two checksums: Supermicro X9 boards send wrong ones, and what they
// guard against the AuthCode, or UDP's checksum outside a session, rules out already.
func decodeResponse(b []byte) (message, error) {
	if len(b) < 8 {
		return message{}, errShort
	}
	return message{netFn: b[1] >> 2, lun: b[4] & 3, seq: b[4] >> 2, cmd: b[5], code: b[6], data: b[7 : len(b)-1]}, nil
}

// answers tells whether a response belongs to a request.
func (m message) answers(req message) bool {
	return m.netFn == req.netFn|1 && m.cmd == req.cmd && m.seq == req.seq && m.lun == req.lun&3
}

// encodeSessionless wraps a message in the IPMI 1.5 format. The RMCP+ format is allowed outside a session too, but
// OpenIPMI's simulator, for one, does not answer it.
func encodeSessionless(msg []byte) []byte {
	b := append([]byte{}, rmcpHeader[:]...)
	b = append(b, authTypeNone, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(msg)))
	return append(b, msg...)
}

func decodeSessionless(d []byte) ([]byte, error) {
	if len(d) < 14 {
		return nil, errShort
	}
	if d[0] != 0x06 || d[2] != 0xff && d[2] != 0 || d[3] != 0x07 || d[4] != authTypeNone {
		return nil, errFrame
	}
	n := int(d[13])
	if len(d) < 14+n { // a pad byte may follow (IPMI 1.5 table 12-9)
		return nil, errShort
	}
	return d[14 : 14+n], nil
}

// encodeSetup wraps a session set-up payload: RMCP+ without session, integrity or confidentiality.
func encodeSetup(payloadType uint8, payload []byte) []byte {
	b := make([]byte, 16, 16+len(payload))
	copy(b, rmcpHeader[:])
	b[4], b[5] = authTypeRMCPP, payloadType
	binary.LittleEndian.PutUint16(b[14:], uint16(len(payload)))
	return append(b, payload...)
}

func decodeSetup(d []byte, want uint8) ([]byte, error) {
	p, err := frameRMCPP(d)
	if err != nil {
		return nil, err
	}
	if d[5] != want || binary.LittleEndian.Uint32(d[6:]) != 0 {
		return nil, errNotOurs
	}
	return p, nil
}

// frameRMCPP checks the header of an RMCP+ datagram and gives its payload.
func frameRMCPP(d []byte) ([]byte, error) {
	if len(d) < 16 {
		return nil, errShort
	}
	// The sequence byte of RMCP is ffh for IPMI (section 13.1.3); some firmware answers 00h.
	if d[0] != 0x06 || d[2] != 0xff && d[2] != 0 || d[3] != 0x07 || d[4] != authTypeRMCPP {
		return nil, errFrame
	}
	n := int(binary.LittleEndian.Uint16(d[14:]))
	if len(d) < 16+n {
		return nil, errShort
	}
	return d[16 : 16+n], nil
}

// suite is a cipher suite (IPMI 2.0 table 22-20). Only those that authenticate and encrypt every datagram are here.
type suite struct {
	id    int
	auth  types.AuthAlg
	integ types.IntegrityAlg
	code  int // bytes of the AuthCode
}

var suites = []suite{
	{3, types.AuthAlg_HMAC_SHA1, types.IntegrityAlg_HMAC_SHA1_96, 12},
	{17, types.AuthAlg_HMAC_SHA256, types.IntegrityAlg_HMAC_SHA256_128, 16},
}

func suiteByID(id int) (suite, bool) {
	for _, s := range suites {
		if s.id == id {
			return s, true
		}
	}
	return suite{}, false
}

// seal holds a session's keys and makes and opens its datagrams. The zero window accepts any first sequence number.
type seal struct {
	suite  suite
	k1, k2 []byte
	local  uint32 // our session ID: in datagrams to us
	remote uint32 // the BMC's: in datagrams to it
	sent   uint32 // last sequence number sent
	recv   window
}

// encode seals one IPMI message under the next sequence number and a fresh IV. A retry is encoded anew: a BMC may drop a
// sequence number it has seen (section 6.12.13).
func (s *seal) encode(msg []byte) ([]byte, error) {
	iv := make([]byte, 16)
	if _, err := rand.Read(iv); err != nil {
		return nil, fmt.Errorf("make IV: %w", err)
	}
	body, err := crypto.EncryptAESPayload(msg, s.k2, iv)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	s.sent++
	if s.sent == 0 { // 0 is for datagrams outside a session
		s.sent = 1
	}
	d := encodeSetup(payloadIPMI|flagEncrypted|flagAuthenticated, body)
	binary.LittleEndian.PutUint32(d[6:], s.remote)
	binary.LittleEndian.PutUint32(d[10:], s.sent)
	pad := -(len(d) - 4 + 2) & 3 // from AuthType to Next Header is a multiple of 4 (section 13.28.4)
	for range pad {
		d = append(d, 0xff)
	}
	d = append(d, byte(pad), 0x07)
	code, err := crypto.SessionIntegrityAuthCode(s.suite.integ, d[4:], s.k1, "")
	if err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	return append(d, code...), nil
}

// decode opens a datagram of the session. Nothing of it is looked at beyond lengths before the AuthCode was found right;
// only then does the sequence window move.
func (s *seal) decode(d []byte) ([]byte, error) {
	body, err := frameRMCPP(d)
	if err != nil {
		return nil, err
	}
	if d[5] != payloadIPMI|flagEncrypted|flagAuthenticated {
		return nil, errUnsealed
	}
	if binary.LittleEndian.Uint32(d[6:]) != s.local {
		return nil, errSession
	}
	if len(d) < 16+len(body)+2+s.suite.code {
		return nil, errShort
	}
	signed, code := d[4:len(d)-s.suite.code], d[len(d)-s.suite.code:]
	want, err := crypto.SessionIntegrityAuthCode(s.suite.integ, signed, s.k1, "")
	if err != nil || !hmac.Equal(want, code) {
		return nil, errForged
	}
	if !s.recv.take(binary.LittleEndian.Uint32(d[10:])) {
		return nil, errReplayed
	}
	if len(body) < 32 || len(body)%16 != 0 { // IV and at least one block
		return nil, errDecryption
	}
	msg, err := crypto.DecryptAESPayload(body, s.k2)
	if err != nil {
		return nil, errDecryption
	}
	return msg, nil
}

// window remembers which of the last 32 sequence numbers came (section 6.12.13).
type window struct {
	last uint32
	seen uint32 // bit i: last-i came
}

func (w *window) take(seq uint32) bool {
	switch {
	case seq == 0:
		return false
	case w.last == 0:
		w.last, w.seen = seq, 1
		return true
	case seq > w.last:
		if n := seq - w.last; n < 32 {
			w.seen <<= n
		} else {
			w.seen = 0
		}
		w.last, w.seen = seq, w.seen|1
		return true
	}
	n := w.last - seq
	if n >= 32 || w.seen&(1<<n) != 0 {
		return false
	}
	w.seen |= 1 << n
	return true
}

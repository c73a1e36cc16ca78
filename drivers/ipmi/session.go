package ipmi

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/bougou/go-ipmi/pkg/crypto"

	"dewline/health"
)

// Privilege levels of a session (IPMI 2.0 section 6.8).
const (
	privUser     = 2
	privOperator = 3
	privAdmin    = 4
)

// RMCP+ status codes (IPMI 2.0 table 13-15) that decide what comes next.
const (
	statusOK               = 0x00
	statusNoResources      = 0x01
	statusInvalidSession   = 0x02
	statusBadAuth          = 0x04
	statusBadIntegrity     = 0x05
	statusNoAuthMatch      = 0x06
	statusNoIntegMatch     = 0x07
	statusInactiveSession  = 0x08
	statusBadRole          = 0x09
	statusUnauthorizedRole = 0x0a
	statusNoRoleResources  = 0x0b
	statusBadNameLength    = 0x0c
	statusUnauthorizedName = 0x0d
	statusUnauthorizedGUID = 0x0e
	statusBadCheckValue    = 0x0f
	statusBadConfident     = 0x10
	statusNoSuiteMatch     = 0x11
)

var statusNames = map[uint8]string{
	statusNoResources: "no room for another session", statusInvalidSession: "invalid session ID",
	0x03: "invalid payload type", statusBadAuth: "authentication algorithm not supported",
	statusBadIntegrity: "integrity algorithm not supported", statusNoAuthMatch: "no matching authentication payload",
	statusNoIntegMatch: "no matching integrity payload", statusInactiveSession: "inactive session ID",
	statusBadRole: "invalid role", statusUnauthorizedRole: "privilege not allowed for this user",
	statusNoRoleResources: "no room for another session of this role", statusBadNameLength: "invalid length of the user name",
	statusUnauthorizedName: "unknown user", statusUnauthorizedGUID: "unauthorized GUID",
	statusBadCheckValue: "wrong password", statusBadConfident: "confidentiality algorithm not supported",
	statusNoSuiteMatch: "cipher suite not supported", 0x12: "invalid parameter",
}

// statusError is a refusal in the set-up of a session.
type statusError uint8

func (s statusError) Error() string {
	if n, ok := statusNames[uint8(s)]; ok {
		return fmt.Sprintf("%s (RMCP+ status 0x%02x)", n, uint8(s))
	}
	return fmt.Sprintf("RMCP+ status 0x%02x", uint8(s))
}

func (s statusError) reason() health.Reason {
	switch uint8(s) {
	case statusNoResources, statusNoRoleResources:
		return health.ReasonBusy
	case statusBadRole, statusUnauthorizedRole, statusBadNameLength, statusUnauthorizedName, statusUnauthorizedGUID, statusBadCheckValue:
		return health.ReasonDenied
	case statusBadAuth, statusBadIntegrity, statusNoAuthMatch, statusNoIntegMatch, statusBadConfident, statusNoSuiteMatch:
		return health.ReasonUnsupported
	}
	return health.ReasonServerError
}

var (
	errPassword   = errors.New("wrong password, or a BMC that does not know it")
	errBMCKey     = errors.New("the BMC's proof does not match: it may have a BMC key (Kg) set")
	errProven     = errors.New(", after a RAKP 2 that was right")
	errDowngraded = errors.New("the BMC chose other algorithms than those asked for")
)

// login is what a session is opened with.
type login struct {
	user      string
	password  func() []byte // 20 bytes, asked for only while keys are made
	privilege uint8
	suites    []int // in order of preference
	timeout   time.Duration
}

// waits for the answers to one datagram: a BMC that is busy for a moment gets time, one that is silent is given up.
func (l *login) waits() []time.Duration { return []time.Duration{l.timeout, l.timeout, 2 * l.timeout} }

// session is one authenticated and encrypted session.
type session struct {
	t     *transport
	login *login
	seal  seal
	seq   uint8 // rqSeq of the last request, 6 bits
}

// openSession sets up a session. A refusal of the user or the password ends it at once: accounts lock. A suite that is
// refused or met with silence is followed by the next one.
func openSession(ctx context.Context, t *transport, l *login) (*session, error) {
	const op = "open IPMI session"
	caps, err := channelCapabilities(ctx, t, l)
	if err != nil {
		return nil, transportError(ctx, op, err)
	}
	var last, full error
	for _, id := range l.suites {
		su, ok := suiteByID(id)
		if !ok {
			continue
		}
		s, err := openWith(ctx, t, l, su)
		if err == nil {
			return s, nil
		}
		if errors.Is(err, errBMCKey) && !caps.bmcKey {
			err = fmt.Errorf("%w (the BMC says none is set)", err)
		}
		status, refused := errors.AsType[statusError](err)
		switch {
		case errors.Is(err, errPassword), errors.Is(err, errBMCKey):
			return nil, &health.Error{Reason: health.ReasonDenied, Op: op, Err: err}
		case refused && uint8(status) == statusNoResources:
			// Some say so of a cipher suite they do not have; no password was judged yet.
			full = &health.Error{Reason: health.ReasonBusy, Op: op, Err: err}
		case refused && status.reason() != health.ReasonUnsupported:
			return nil, &health.Error{Reason: status.reason(), Op: op, Err: err}
		case ctx.Err() != nil:
			return nil, transportError(ctx, op, err)
		case refused, errors.Is(err, errDowngraded):
			last = &health.Error{Reason: health.ReasonUnsupported, Op: op, Err: fmt.Errorf("suite %d: %w", id, err)}
		default:
			last = transportError(ctx, op, fmt.Errorf("suite %d: %w", id, err))
		}
	}
	if full != nil {
		return nil, full
	}
	if last == nil {
		last = &health.Error{Reason: health.ReasonUnsupported, Op: op, Err: errors.New("no cipher suite to try")}
	}
	return nil, last
}

type capabilities struct{ bmcKey bool }

// channelCapabilities asks which IPMI versions the channel speaks (section 22.13), outside a session. It doubles as the
// test whether anybody is there; an ASF presence ping would be one datagram more, and many BMCs do not answer it.
func channelCapabilities(ctx context.Context, t *transport, l *login) (capabilities, error) {
	var c capabilities
	req := message{netFn: netFnApp, cmd: 0x38, seq: randomSeq(), data: []byte{0x8e, l.privilege}}
	err := t.roundTrip(ctx, l.waits(), func() ([]byte, error) {
		req.seq = (req.seq + 1) & 0x3f
		return encodeSessionless(encodeRequest(req)), nil
	}, func(d []byte) (drop, fail error) {
		b, err := decodeSessionless(d)
		if err != nil {
			return err, nil
		}
		m, err := decodeResponse(b)
		if err != nil {
			return err, nil
		}
		late := m // an answer to an earlier attempt is as good
		late.seq = req.seq
		if !late.answers(req) {
			return errNotOurs, nil
		}
		if m.code != 0 { // some refuse the extended form: Open Session will tell
			return nil, nil
		}
		if len(m.data) < 8 {
			return errShort, nil
		}
		if m.data[1]&0x80 == 0 || m.data[3]&0x02 == 0 {
			return nil, &health.Error{Reason: health.ReasonUnsupported, Op: "open IPMI session", Err: errors.New("the BMC speaks IPMI 1.5 only")}
		}
		c.bmcKey = m.data[2]&0x20 != 0
		return nil, nil
	})
	return c, err
}

func randomSeq() uint8 {
	var b [1]byte
	_, _ = rand.Read(b[:])
	return b[0] & 0x3f
}

// openWith runs Open Session and RAKP 1 to 4 (sections 13.17 to 13.23) with one cipher suite. It starts over once where the BMC
// lost the thread: it takes the session for open already, since its last answer was lost; or it refuses RAKP 3 although its
// own RAKP 2 proved that it knows the password, since a RAKP 1 that reached it twice made it change its mind about the nonce.
func openWith(ctx context.Context, t *transport, l *login, su suite) (*session, error) {
	s, err := handshake(ctx, t, l, su, false)
	status, refused := errors.AsType[statusError](err)
	if refused && (uint8(status) == statusInvalidSession || uint8(status) == statusInactiveSession || errors.Is(err, errProven)) {
		return handshake(ctx, t, l, su, true)
	}
	return s, err
}

// handshake: settle is to wait a moment for a newer RAKP 2, in a network that doubles requests.
func handshake(ctx context.Context, t *transport, l *login, su suite, settle bool) (*session, error) {
	var random [25]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("make session ID: %w", err)
	}
	tag, nonce := random[0], random[1:17]
	local := binary.LittleEndian.Uint32(random[17:]) | 1 // never 0

	p, err := setup(ctx, t, l, payloadOpenRequest, openRequest(tag, l.privilege, local, su), func(p []byte) error {
		return checkReply(p, tag, local, 36)
	})
	if err != nil {
		return nil, err
	}
	if p[16] != uint8(su.auth) || p[24] != uint8(su.integ) || p[32] != 1 {
		return nil, errDowngraded
	}
	remote := binary.LittleEndian.Uint32(p[8:])

	// RAKP 1 and 2. A RAKP 2 with a wrong proof is dropped like any forged datagram, but RAKP 1 is not sent again: it is
	// the one attempt a wrong password gets.
	role := 0x10 | l.privilege // look the user up by name alone
	password := l.password()
	defer clear(password)
	var forged bool
	var bmcNonce, guid []byte
	_, err = setupOnce(ctx, t, l, payloadRAKP1, rakp1(tag+1, remote, nonce, role, l.user), func(p []byte) error {
		codeLen := crypto.RAKP2AuthCodeLen(su.auth)
		if err := checkReply(p, tag+1, local, 40+codeLen); err != nil {
			return err
		}
		want, err := crypto.RAKP2AuthCode(su.auth, local, remote, nonce, p[8:24], p[24:40], role, l.user, password)
		if err != nil || !hmac.Equal(want, p[40:40+codeLen]) {
			forged = true
			return errForged
		}
		bmcNonce, guid = append([]byte(nil), p[8:24]...), append([]byte(nil), p[24:40]...)
		if settle {
			return errSettle
		}
		return nil
	}, func() bool { return forged })
	if forged && bmcNonce == nil && ctx.Err() == nil {
		return nil, errPassword
	}
	if err != nil {
		return nil, err
	}

	sik, k1, k2, err := crypto.DeriveSessionKeys(su.auth, nonce, bmcNonce, role, l.user, password)
	if err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	proof, err := crypto.RAKP3AuthCode(su.auth, bmcNonce, local, role, l.user, password)
	if err != nil {
		return nil, fmt.Errorf("make proof: %w", err)
	}
	icv, err := crypto.RAKP4ICV(su.auth, nonce, remote, guid, sik)
	if err != nil {
		return nil, fmt.Errorf("check proof: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// From here on the BMC may hold a session, whether or not its RAKP 4 reaches us.
	s := &session{t: t, login: l, seq: randomSeq(), seal: seal{suite: su, k1: k1, k2: k2, local: local, remote: remote}}
	forged = false
	_, err = setupOnce(ctx, t, l, payloadRAKP3, rakp3(tag+2, remote, proof), func(p []byte) error {
		if err := checkReply(p, tag+2, local, 8+len(icv)); err != nil {
			return err
		}
		if !hmac.Equal(icv, p[8:8+len(icv)]) {
			forged = true
			return errForged
		}
		forged = false
		return nil
	}, func() bool { return forged })
	if err != nil {
		if forged && ctx.Err() == nil {
			s.farewell()
			return nil, errBMCKey
		}
		if _, refused := errors.AsType[statusError](err); refused {
			return nil, fmt.Errorf("%w%w", err, errProven)
		}
		_ = s.leave(ctx)
		return nil, err
	}
	return s, nil
}

// checkReply checks what all set-up replies share: message tag, status, our session ID; then the length. Neither a wrong tag
// nor a wrong ID ends the wait; a refusal counts only with both right.
func checkReply(p []byte, tag uint8, local uint32, length int) error {
	if len(p) < 2 {
		return errShort
	}
	if p[0] != tag {
		return errNotOurs
	}
	if len(p) < 8 {
		if p[1] != statusOK { // some (OpenIPMI's simulator) refuse with tag and status alone
			return statusError(p[1])
		}
		return errShort
	}
	if binary.LittleEndian.Uint32(p[4:]) != local {
		return errNotOurs
	}
	if p[1] != statusOK {
		return statusError(p[1])
	}
	if len(p) < length {
		return errShort
	}
	return nil
}

func setup(ctx context.Context, t *transport, l *login, payloadType uint8, payload []byte, check func([]byte) error) ([]byte, error) {
	return setupOnce(ctx, t, l, payloadType, payload, check, nil)
}

// setupOnce sends a set-up payload and gives the first reply that check finds right. Once stop says so it is not sent again.
func setupOnce(ctx context.Context, t *transport, l *login, payloadType uint8, payload []byte, check func([]byte) error, stop func() bool) ([]byte, error) {
	var got []byte
	d := encodeSetup(payloadType, payload)
	err := t.roundTrip(ctx, l.waits(), func() ([]byte, error) {
		if stop != nil && stop() {
			return nil, errForged
		}
		return d, nil
	}, func(r []byte) (drop, fail error) {
		p, err := decodeSetup(r, payloadType+1)
		if err != nil {
			return err, nil
		}
		err = check(p)
		if _, ok := errors.AsType[statusError](err); ok || errors.Is(err, errSettle) {
			return nil, err
		}
		if err != nil {
			return err, nil
		}
		got = append([]byte(nil), p...)
		return nil, nil
	})
	return got, err
}

func openRequest(tag, privilege uint8, local uint32, su suite) []byte {
	p := make([]byte, 32)
	p[0], p[1] = tag, privilege
	binary.LittleEndian.PutUint32(p[4:], local)
	p[11], p[12] = 8, uint8(su.auth)            // payload type 0: authentication
	p[16], p[19], p[20] = 1, 8, uint8(su.integ) // 1: integrity
	p[24], p[27], p[28] = 2, 8, 1               // 2: confidentiality, AES-CBC-128
	return p
}

func rakp1(tag uint8, remote uint32, nonce []byte, role uint8, user string) []byte {
	p := make([]byte, 28, 28+len(user))
	p[0] = tag
	binary.LittleEndian.PutUint32(p[4:], remote)
	copy(p[8:24], nonce)
	p[24], p[27] = role, uint8(len(user))
	return append(p, user...)
}

func rakp3(tag uint8, remote uint32, proof []byte) []byte {
	p := make([]byte, 8, 8+len(proof))
	p[0] = tag
	binary.LittleEndian.PutUint32(p[4:], remote)
	return append(p, proof...)
}

// exchange sends one request and gives its response. All attempts carry the same rqSeq, so that a late answer to an earlier
// one still counts, but each a new session sequence number.
func (s *session) exchange(ctx context.Context, req message, waits []time.Duration) (message, error) {
	s.seq = (s.seq + 1) & 0x3f
	req.seq = s.seq
	var got message
	err := s.t.roundTrip(ctx, waits, func() ([]byte, error) {
		return s.seal.encode(encodeRequest(req))
	}, func(d []byte) (drop, fail error) {
		b, err := s.seal.decode(d)
		if err != nil {
			return err, nil
		}
		m, err := decodeResponse(b)
		if err != nil {
			return err, nil
		}
		if !m.answers(req) {
			return errNotOurs, nil
		}
		got = m
		return nil, nil
	})
	return got, err
}

// leaveGrace bounds how long the end of a session is waited for. It outlives the caller's context: a visit that is cut short
// must not cost the BMC one of its few sessions for a minute.
const leaveGrace = time.Second

func (s *session) closeRequest() message {
	return message{netFn: netFnApp, cmd: 0x3c, data: binary.LittleEndian.AppendUint32(nil, s.seal.remote)}
}

// leave ends the session at the BMC (section 22.19), whatever has become of the context. The keys are known since RAKP 2, so it
// also ends one whose RAKP 4 did not come. Without an answer the BMC will end it by itself, after a minute.
func (s *session) leave(ctx context.Context) error {
	const op = "close IPMI session"
	grace := min(2*s.login.timeout, leaveGrace)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*grace)
	defer cancel()
	m, err := s.exchange(ctx, s.closeRequest(), []time.Duration{grace / 2, grace / 2})
	if err != nil {
		return transportError(ctx, op, err)
	}
	if m.code != 0 {
		return &health.Error{Reason: codeError(m.code).reason(), Op: op, Err: codeError(m.code)}
	}
	return nil
}

// farewell sends Close Session once and waits for nothing: for sessions that are taken for lost, but may live.
func (s *session) farewell() {
	req := s.closeRequest()
	s.seq = (s.seq + 1) & 0x3f
	req.seq = s.seq
	if d, err := s.seal.encode(encodeRequest(req)); err == nil {
		s.t.tally.cost.Exchanges++
		_, _ = s.t.conn.Write(d)
	}
}

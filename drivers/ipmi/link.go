package ipmi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"dewline/health"
)

// Network functions (IPMI 2.0 table 5-1).
const (
	netFnChassis = 0x00
	netFnSensor  = 0x04
	netFnApp     = 0x06
	netFnStorage = 0x0a
	netFnGroup   = 0x2c
)

// Completion codes (IPMI 2.0 table 5-2) that decide what comes next.
const (
	codeNoPowerLimit    = 0x80 // of DCMI Get Power Limit alone
	codeNodeBusy        = 0xc0
	codeInvalidCommand  = 0xc1
	codeInvalidForLUN   = 0xc2
	codeTimeout         = 0xc3
	codeNoSpace         = 0xc4
	codeReservation     = 0xc5
	codeLengthInvalid   = 0xc7
	codeLengthLimit     = 0xc8
	codeOutOfRange      = 0xc9
	codeCannotReturn    = 0xca
	codeNotPresent      = 0xcb
	codeInvalidField    = 0xcc
	codeIllegalForType  = 0xcd
	codeNotProvided     = 0xce
	codeSDRInUpdate     = 0xd0
	codeFirmwareUpdate  = 0xd1
	codeInitialising    = 0xd2
	codeNoDestination   = 0xd3
	codePrivilege       = 0xd4
	codeNotInThisState  = 0xd5
	codeSubDisabled     = 0xd6
	codeUnspecified     = 0xff
	codeEraseInProgress = 0x81 // of the SEL commands
)

// codeError is a completion code other than 0.
type codeError uint8

var codeNames = map[uint8]string{
	codeNodeBusy: "node busy", codeInvalidCommand: "invalid command", codeInvalidForLUN: "invalid command for this LUN",
	codeTimeout: "timeout while processing", codeNoSpace: "out of space", codeReservation: "reservation cancelled",
	codeLengthInvalid: "request data length invalid", codeLengthLimit: "request data length limit exceeded",
	codeOutOfRange: "parameter out of range", codeCannotReturn: "cannot return so many bytes",
	codeNotPresent: "not present", codeInvalidField: "invalid data field", codeIllegalForType: "illegal for this sensor or record",
	codeNotProvided: "response could not be provided", codeSDRInUpdate: "SDR repository in update mode",
	codeFirmwareUpdate: "device in firmware update mode", codeInitialising: "initialisation in progress",
	codeNoDestination: "destination unavailable", codePrivilege: "insufficient privilege",
	codeNotInThisState: "not supported in present state", codeSubDisabled: "sub-function disabled", codeUnspecified: "unspecified error",
}

func (c codeError) Error() string {
	if n, ok := codeNames[uint8(c)]; ok {
		return fmt.Sprintf("%s (0x%02x)", n, uint8(c))
	}
	return fmt.Sprintf("completion code 0x%02x", uint8(c))
}

func (c codeError) reason() health.Reason {
	switch uint8(c) {
	case codeNodeBusy, codeSDRInUpdate, codeFirmwareUpdate, codeInitialising, codeReservation, codeEraseInProgress, codeNoSpace:
		return health.ReasonBusy
	case codeInvalidCommand, codeInvalidForLUN, codeSubDisabled, codeIllegalForType, codeLengthInvalid, codeLengthLimit,
		codeInvalidField, codeOutOfRange, codeCannotReturn:
		return health.ReasonUnsupported
	case codeTimeout:
		return health.ReasonTimeout
	case codeNotPresent:
		return health.ReasonNotFound
	case codePrivilege:
		return health.ReasonDenied
	}
	return health.ReasonServerError
}

// isCode tells whether err is one of the given completion codes.
func isCode(err error, codes ...uint8) bool {
	c, ok := errors.AsType[codeError](err)
	return ok && slices.Contains(codes, uint8(c))
}

// command is one request, for whoever answers it.
type command struct {
	op              string // what it does, for people
	netFn, cmd, lun uint8
	data            []byte
	want            int // the least bytes of data a good answer has
	// probe: many BMCs do not have it, and some of those keep silent instead of saying so. Asked once, without consequences
	// for the session.
	probe bool
}

// caller runs commands: a link to a BMC, or a recorded or made-up one in tests. The error is a *health.Error; its cause a
// codeError if the BMC answered.
type caller interface {
	call(ctx context.Context, c command) ([]byte, error)
}

const (
	// idleTrust is how long a session may lie idle and still be taken for alive. BMCs drop idle sessions after 60 s, give or
	// take 3 (IPMI 2.0 section 6.12.15).
	idleTrust = 50 * time.Second
	// busyRetries is how often a busy BMC is asked again.
	busyRetries = 2
	// busyLimit is how often that is done in one visit: a BMC that is busy for every sensor is left to its work.
	busyLimit = 12
	// silentLimit is how many commands in a row may go unanswered on a live session before a visit asks no more: a hung BMC
	// must not cost a wait per sensor.
	silentLimit = 2
)

// link is a BMC reached over a session that is opened when needed and again, once a visit, when it was lost.
type link struct {
	address string
	login   login
	log     *slog.Logger
	tally   *tally

	s        *session
	used     time.Time     // when the session last brought an answer
	deadIdle time.Duration // an idleness this BMC was seen to end sessions after; 0 if none was
	fresh    bool          // the session was opened in this visit
	reopened bool          // it was lost and opened again in this visit
	failed   error         // why nothing more is asked in this visit
	busy     int           // times it was asked again in this visit since it was busy
	silent   int           // commands in a row that brought no answer
	suite    int           // the suite that worked, 0 if none has
}

// begin starts a visit's count.
func (l *link) begin(t *tally) {
	l.tally, l.fresh, l.reopened, l.failed, l.silent, l.busy = t, false, false, nil, 0, 0
	if l.s != nil {
		l.s.t.tally = t
	}
}

func (l *link) open(ctx context.Context) error {
	t, err := dial(ctx, l.address, l.tally)
	if err == nil {
		lg := l.login
		if i := slices.Index(lg.suites, l.suite); i > 0 {
			lg.suites = slices.Insert(slices.Delete(slices.Clone(lg.suites), i, i+1), 0, l.suite)
		}
		var s *session
		if s, err = openSession(ctx, t, &lg); err == nil {
			l.s, l.used, l.fresh, l.suite = s, time.Now(), true, s.seal.suite.id
			if err = l.raise(ctx); err == nil {
				return nil
			}
			_ = l.s.leave(ctx)
			l.drop()
			l.failed = err
			return err
		}
		_ = t.close()
	}
	l.failed = err
	return err
}

// raise asks for the configured privilege: a session starts at user level, whatever it may rise to (section 6.8).
func (l *link) raise(ctx context.Context) error {
	if l.login.privilege <= privUser {
		return nil
	}
	const op = "set session privilege level"
	m, err := l.s.exchange(ctx, message{netFn: netFnApp, cmd: 0x3b, data: []byte{l.login.privilege}}, l.login.waits())
	if err != nil {
		return transportError(ctx, op, err)
	}
	if m.code != 0 { // 80h to 82h: not available to this user
		return &health.Error{Reason: health.ReasonDenied, Op: op, Err: codeError(m.code)}
	}
	return nil
}

// drop forgets the session without a word to the BMC.
func (l *link) drop() {
	if l.s != nil {
		_ = l.s.t.close()
		l.s = nil
	}
}

func (l *link) call(ctx context.Context, c command) ([]byte, error) {
	for busy := 0; ; busy++ {
		b, err := l.try(ctx, c)
		l.wire(ctx, c, b, err)
		if busy < busyRetries && l.busy < busyLimit && isCode(err, codeNodeBusy, codeTimeout) {
			l.busy++
			if pause(ctx, l.login.timeout/8<<busy) {
				continue
			}
		}
		return b, err
	}
}

// wire logs a command and how it ended. What is in requests and answers is left out: none of them holds a secret today.
func (l *link) wire(ctx context.Context, c command, answer []byte, err error) {
	if !l.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("op", c.op), slog.String("command", fmt.Sprintf("%02x:%02x", c.netFn, c.cmd)), slog.Int("bytes", len(answer))}
	if err != nil {
		attrs = append(attrs, slog.String("error", clip(err.Error())))
	}
	l.log.LogAttrs(ctx, slog.LevelDebug, "ipmi", attrs...)
}

// pause waits, and tells whether the context still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// try runs a command once. A session kept from an earlier visit may have ended meanwhile, for idleness or with a restart of
// the BMC, which shows as silence or as a privilege that is gone: it is then opened anew and the command run again.
func (l *link) try(ctx context.Context, c command) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, transportError(ctx, c.op, err)
	}
	if l.failed != nil {
		return nil, l.failed
	}
	waits := l.login.waits()
	if l.s != nil {
		switch idle := time.Since(l.used); {
		case l.deadIdle > 0 && idle >= l.deadIdle:
			l.drop()
		case idle >= idleTrust: // perhaps ended: one question will tell
			waits = waits[:1]
		}
	}
	if l.s == nil {
		if err := l.open(ctx); err != nil {
			return nil, err
		}
		waits = l.login.waits()
	}
	if c.probe {
		waits = waits[:1]
	}
	idle := time.Since(l.used)
	m, err := l.s.exchange(ctx, message{netFn: c.netFn, cmd: c.cmd, lun: c.lun, data: c.data}, waits)
	lost := errors.Is(err, errSilent) || errors.Is(err, errRefused)
	stale := err == nil && !l.fresh && (m.code == codePrivilege || m.code == codeTimeout)
	if (lost || stale) && ctx.Err() == nil && !l.reopened && !(c.probe && idle < idleTrust) {
		l.log.Debug("session lost, opening another", "op", c.op, "idle", idle, "silent", lost)
		if lost && idle >= idleTrust {
			l.deadIdle = idle
		}
		l.reopened = true
		if idle < idleTrust {
			l.s.farewell()
		}
		l.drop()
		if err := l.open(ctx); err != nil {
			return nil, err
		}
		m, err = l.s.exchange(ctx, message{netFn: c.netFn, cmd: c.cmd, lun: c.lun, data: c.data}, l.login.waits())
	}
	if err != nil {
		err = transportError(ctx, c.op, err)
		if l.silent++; ctx.Err() == nil && !c.probe && l.silent >= silentLimit {
			l.s.farewell()
			l.drop()
			l.failed = err
		}
		return nil, err
	}
	l.used, l.silent = time.Now(), 0
	if m.code != 0 {
		return nil, &health.Error{Reason: codeError(m.code).reason(), Op: c.op, Err: codeError(m.code)}
	}
	if len(m.data) < c.want {
		return nil, &health.Error{Reason: health.ReasonMalformed, Op: c.op, Err: fmt.Errorf("answer of %d bytes, want %d", len(m.data), c.want)}
	}
	return slices.Clone(m.data), nil
}

// close ends the session at the BMC, unless that is seen to have ended it by now.
func (l *link) close(ctx context.Context) error {
	if l.s == nil {
		return nil
	}
	l.s.t.tally = &tally{} // of no visit
	defer l.drop()
	if l.deadIdle > 0 && time.Since(l.used) >= l.deadIdle {
		return nil
	}
	return l.s.leave(ctx)
}

package ipmi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"dewline/health"
)

// tally counts what a visit cost and which datagrams were dropped.
type tally struct {
	cost    health.Cost
	dropped map[string]int
}

func (t *tally) drop(why error) {
	if t.dropped == nil {
		t.dropped = map[string]int{}
	}
	t.dropped[why.Error()]++
}

// transport is one connected UDP socket: the kernel gives us only datagrams from the BMC's address and port.
type transport struct {
	conn  net.Conn
	tally *tally
	buf   [maxDatagram + 1]byte
}

func dial(ctx context.Context, address string, t *tally) (*transport, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return nil, &health.Error{Reason: reasonOf(ctx, health.ReasonUnreachable), Op: "open UDP socket", Err: err}
	}
	return &transport{conn: c, tally: t}, nil
}

func (t *transport) close() error { return t.conn.Close() }

var (
	errSilent  = errors.New("no answer")
	errRefused = errors.New("port refused")
	// errSettle: taken, unless a newer one comes within a quarter of the wait.
	errSettle = errors.New("taken, a newer one may come")
)

// roundTrip sends what encode makes, anew for each attempt, until accept takes a datagram that came back. Accept says
// errNotOurs or another reason to drop one: it is counted, and the wait goes on to its end. Its other error ends the trip: at
// once, or, for a refusal, after a quarter of the wait in which something better may come. Anyone can forge a refusal in the
// set-up of a session, and a network that doubles requests makes a BMC send one beside the right answer.
func (t *transport) roundTrip(ctx context.Context, waits []time.Duration, encode func() ([]byte, error), accept func([]byte) (drop, fail error)) error {
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := t.buf[:]
	last := errSilent
	for _, wait := range waits {
		d, err := encode()
		if err != nil {
			return err
		}
		until := time.Now().Add(wait)
		_ = t.conn.SetReadDeadline(until)
		if err := ctx.Err(); err != nil {
			return err
		}
		t.tally.cost.Exchanges++
		_, err = t.conn.Write(d)
		if refused(err) { // the refusal of an earlier datagram: this one was not sent
			_, err = t.conn.Write(d)
		}
		if err != nil && !refused(err) {
			return fmt.Errorf("send: %w", err)
		}
		last = errSilent
		var refusal error
		settled, short := false, false
		for {
			n, err := t.conn.Read(buf)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if settled || refusal != nil {
					return refusal
				}
				break
			}
			if refused(err) {
				// Nobody listens: the BMC may be restarting. Wait a part of the usual time, then ask again; an answer to an
				// earlier attempt may still come.
				last = errRefused
				until = earlier(until, time.Now().Add(wait/4))
				_ = t.conn.SetReadDeadline(until)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				continue
			}
			if err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			t.tally.cost.Bytes += int64(n)
			if n > maxDatagram {
				t.tally.drop(errFrame)
				continue
			}
			drop, fail := accept(buf[:n])
			_, no := errors.AsType[statusError](fail)
			if errors.Is(fail, errSettle) {
				settled, refusal = true, nil
			} else if no && !settled && refusal == nil {
				refusal = fail
			}
			if no || settled {
				if !short {
					short, until = true, earlier(until, time.Now().Add(wait/4))
					_ = t.conn.SetReadDeadline(until)
					if ctx.Err() != nil {
						return ctx.Err()
					}
				}
				continue
			}
			if fail != nil {
				return fail
			}
			if drop == nil {
				return nil
			}
			t.tally.drop(drop)
		}
	}
	return last
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// reasonOf is why a wait ended: our deadline or our stop if the context ended, else the given reason.
func reasonOf(ctx context.Context, otherwise health.Reason) health.Reason {
	switch err := ctx.Err(); {
	case err == nil:
		return otherwise
	case errors.Is(err, context.DeadlineExceeded):
		return health.ReasonTimeout
	}
	return health.ReasonStopped
}

// transportError gives a failed round trip its reason.
func transportError(ctx context.Context, op string, err error) error {
	if _, ok := errors.AsType[*health.Error](err); ok {
		return err
	}
	r := health.ReasonUnreachable
	if errors.Is(err, errSilent) {
		r = health.ReasonTimeout
	}
	return &health.Error{Reason: reasonOf(ctx, r), Op: op, Err: err}
}

package ipmi

import (
	"context"
	"errors"
	"fmt"

	"dewline/health"
)

// Exchange runs one command: its completion code and what follows it, or a *health.Error if no answer came.
type Exchange = func(ctx context.Context, netFn, cmd, lun uint8, data []byte) (code uint8, answer []byte, err error)

// tapped is a link whose commands go through what Options.Exchange made of it.
type tapped struct {
	l      *link
	tap    func(Exchange) Exchange
	silent int // commands in a row that brought no answer
}

// caller is who runs the commands of a visit.
func (c *Client) caller() caller {
	if c.tap == nil {
		return c.link
	}
	return &tapped{l: c.link, tap: c.tap}
}

func (t *tapped) call(ctx context.Context, c command) ([]byte, error) {
	asked := false
	code, b, err := t.tap(func(ctx context.Context, netFn, cmd, lun uint8, data []byte) (uint8, []byte, error) {
		asked = true
		b, err := t.l.call(ctx, command{op: c.op, netFn: netFn, cmd: cmd, lun: lun, data: data, probe: c.probe})
		if code, refused := errors.AsType[codeError](err); refused {
			return uint8(code), nil, nil
		}
		return 0, b, err
	})(ctx, c.netFn, c.cmd, c.lun, c.data)
	if !asked {
		t.l.tally.cost.Exchanges++ // a recorded one: what it cost then is not told
	}
	if err != nil {
		if !c.probe {
			t.silent++
		}
		if he, ok := errors.AsType[*health.Error](err); ok {
			return nil, &health.Error{Reason: he.Reason, Op: c.op, Err: he.Err}
		}
		return nil, transportError(ctx, c.op, err)
	}
	t.silent = 0
	if code != 0 {
		return nil, &health.Error{Reason: codeError(code).reason(), Op: c.op, Err: codeError(code)}
	}
	if len(b) < c.want {
		return nil, &health.Error{Reason: health.ReasonMalformed, Op: c.op, Err: fmt.Errorf("answer of %d bytes, want %d", len(b), c.want)}
	}
	return b, nil
}

// over tells whether nothing more can be asked.
func (t *tapped) over() bool { return t.l.failed != nil || t.silent >= silentLimit }

// questions are the commands that Ask runs: none of them changes anything.
var questions = map[[2]uint8]bool{
	{netFnApp, 0x01}: true, {netFnApp, 0x08}: true, {netFnApp, 0x37}: true, // device ID, device GUID, system GUID
	{netFnChassis, 0x01}: true,                                                                                  // chassis status
	{netFnSensor, 0x23}:  true, {netFnSensor, 0x25}: true, {netFnSensor, 0x27}: true, {netFnSensor, 0x2d}: true, // factors, hysteresis, thresholds, reading
	{netFnStorage, 0x10}: true, {netFnStorage, 0x11}: true, // FRU area info, FRU data
	{netFnStorage, 0x20}: true, {netFnStorage, 0x40}: true, {netFnStorage, 0x41}: true, {netFnStorage, 0x48}: true, // SDR info, SEL info, SEL allocation, SEL time
	{netFnGroup, 0x01}: true, {netFnGroup, 0x02}: true, {netFnGroup, 0x03}: true, // DCMI capabilities, power, power limit
}

// Ask runs one command that only asks, over the client's session, for a recording that holds more than a visit reads.
func (c *Client) Ask(ctx context.Context, netFn, cmd, lun uint8, data []byte) (code uint8, answer []byte, err error) {
	if !questions[[2]uint8{netFn, cmd}] {
		return 0, nil, fmt.Errorf("command 0x%02x of function 0x%02x is not one that only asks", cmd, netFn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link.tally == nil {
		c.link.begin(&tally{})
	}
	b, err := c.caller().call(ctx, command{op: fmt.Sprintf("command 0x%02x of function 0x%02x", cmd, netFn), netFn: netFn, cmd: cmd, lun: lun, data: data, probe: true})
	if code, refused := errors.AsType[codeError](err); refused {
		return uint8(code), nil, nil
	}
	return 0, b, err
}

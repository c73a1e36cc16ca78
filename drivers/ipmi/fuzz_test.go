package ipmi

import (
	"testing"

	"dewline/collector/collectortest"
	"dewline/health"
)

// FuzzAnswers: whole visits to a BMC whose answers, after the session's set-up, are the fuzzer's: device ID, chassis, repository, sensors, log, FRU, DCMI. The
// input is cut into answers by its own bytes: a completion code and a length before each; when it is used up it begins anew.
func FuzzAnswers(f *testing.F) {
	record := fullRecord(1, 1, typeTemperature, 1, "T")
	info := []byte{0x51, 1, 0, 0xff, 0xff, 1, 0, 0, 0x60, 1, 0, 0, 0x50, 2}
	answer := func(code byte, data ...byte) []byte { return append([]byte{code, byte(len(data))}, data...) }
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	needSeeds(f, [][]byte{
		join(answer(0, 1, 0, 0), answer(0, info...), answer(0, append([]byte{0xff, 0xff}, record...)...), answer(0, 60, 0xc0, 0xc0)),
		join(answer(0, 1, 0x10, 0x40), answer(codeCannotReturn), answer(0, 1, 0), answer(codeReservation)),
		join(answer(0, 0x20, 1, 3, 0x45, 2, 0xbf, 0x7c, 0x2a, 0, 0x5f, 0x0b), answer(0, info...), answer(0, append([]byte{2, 0}, selRecord(1, 1e9, typeFan, 1, eventThreshold)...)...)),
		{0xff, 0xff}, {},
	})
	f.Fuzz(func(t *testing.T, script []byte) {
		fake, at := newFake(t), 0
		fake.maxCalls = 60_000
		next := func(command) ([]byte, error) {
			if len(script) < 2 {
				return nil, refusal(codeInvalidCommand)
			}
			if at+2 > len(script) {
				at = 0
			}
			code, n := script[at], int(script[at+1])
			b := script[at+2 : min(at+2+n, len(script))]
			at += 2 + len(b)
			if code != 0 {
				return nil, refusal(code)
			}
			return append([]byte(nil), b...), nil
		}
		for _, netFn := range []uint8{netFnChassis, netFnSensor, netFnApp, netFnStorage, netFnGroup} {
			for cmd := range uint8(0x80) {
				fake.on(netFn, cmd, next)
			}
		}
		v := fake.visit(health.AllTiers[:]...)
		for range 2 { // cold, and with what was learned of it
			before := fake.total
			_ = v.run(t.Context())
			if n := fake.total - before; n > 20_000 {
				t.Errorf("%d commands in one visit", n)
			}
			v.snap.Driver = health.DriverIPMI
			collectortest.CheckSnapshot(t, v.snap)
			w := fake.visit(health.AllTiers[:]...)
			w.mem, w.req.Cursors = v.mem, v.snap.NextCursors
			v = w
		}
	})
}

package ipmi

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
)

// readIdentity reads who the machine is: device ID, system GUID, FRU data.
func (v *visit) readIdentity(ctx context.Context) error {
	id := &health.Identity{}
	b, err := v.c.call(ctx, command{op: "get device ID", netFn: netFnApp, cmd: 0x01, want: 11})
	if err != nil {
		v.gap(health.Gap{Part: "device ID", Reason: health.ReasonFor(err), Error: clip(err.Error())})
		if !isAnyCode(err) && !isRecordError(err) {
			return err
		}
	} else {
		v.any = true
		deviceIdentity(b, id)
		v.mem.Device = deviceOf(b)
		if v.mem.under(id.BMCFirmware) {
			v.log.Info("firmware changed, learning anew", "to", id.BMCFirmware)
		}
	}
	g, err := v.c.call(ctx, command{op: "get system GUID", netFn: netFnApp, cmd: 0x37, want: 16, probe: true})
	if err == nil {
		id.UUID = systemGUID([16]byte(g))
	} else if ctx.Err() != nil {
		return err
	}
	v.snap.Identity = id
	return v.readFRUs(ctx, id)
}

// deviceIdentity takes the answer to Get Device ID apart (section 20.1).
func deviceIdentity(b []byte, id *health.Identity) {
	id.BMCFirmware = fmt.Sprintf("%d.%02x", b[2]&0x7f, b[3])
	if len(b) >= 15 && binary.LittleEndian.Uint32(b[11:]) != 0 {
		id.BMCFirmware += fmt.Sprintf(" (aux %02x%02x%02x%02x)", b[11], b[12], b[13], b[14])
	}
	maker := uint32(b[6]) | uint32(b[7])<<8 | uint32(b[8]&0x0f)<<16
	name := ""
	if maker != 0 && maker != 0xfffff {
		if s := types.OEM(maker).String(); s != "" && !strings.EqualFold(s, "unknown") {
			name = s + " "
		}
	}
	id.BMCModel = fmt.Sprintf("%sproduct 0x%04x (manufacturer %d)", name, binary.LittleEndian.Uint16(b[9:]), maker)
}

// systemGUID is the GUID as text. Three byte orders are in use: that of SMBIOS, the reversed one of the IPMI specification and
// that of RFC 4122. The first that gives a UUID of a known version is taken; a GUID of zeros or ones is none.
func systemGUID(g [16]byte) string {
	if g == [16]byte{} {
		return ""
	}
	ones := [16]byte{}
	for i := range ones {
		ones[i] = 0xff
	}
	if g == ones {
		return ""
	}
	smbios := [16]byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
	var reversed [16]byte
	for i := range g {
		reversed[15-i] = g[i]
	}
	for _, c := range [][16]byte{smbios, g, reversed} {
		if ver := c[6] >> 4; ver >= 1 && ver <= 8 && c[8]>>6 == 2 {
			return guidText(c)
		}
	}
	return guidText(smbios)
}

func guidText(g [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[:4], g[4:6], g[6:8], g[8:10], g[10:])
}

// readClock compares the BMC's clock with ours: entries of its log bear its time.
func (v *visit) readClock(ctx context.Context) error {
	asked := v.clock()
	b, err := v.c.call(ctx, command{op: "get SEL time", netFn: netFnStorage, cmd: 0x48, want: 4})
	c := health.Component{ID: idClock, Class: health.ClassBMC, Name: "BMC clock", Place: placeClock, Tier: health.TierHealth}
	if err != nil {
		if isCode(err, codeInvalidCommand, codeInvalidForLUN) {
			return nil
		}
		c.StateNotRead = true
		v.snap.Components = append(v.snap.Components, c)
		v.gap(health.Gap{Part: "BMC clock", Component: c.ID, Reason: health.ReasonFor(err), Error: clip(err.Error())})
		return err
	}
	v.scope(placeClock)
	c.Presence = health.Present
	ts := binary.LittleEndian.Uint32(b)
	notSet := health.Condition{Kind: health.KindConfigError, Severity: health.SeverityOK, Evidence: "clock set"}
	if created := selTime(ts); created.IsZero() {
		notSet.Severity, notSet.Evidence = warning, "clock not set: counts from the BMC's start"
		c.State, c.Status = health.Warning, notSet.Evidence
	} else {
		// The answer was made somewhere between question and answer, in whole seconds.
		skew := created.Sub(asked.Add(v.clock().Sub(asked) / 2)).Round(time.Second)
		c.State, c.Status = health.OK, fmt.Sprintf("clock set, %+.0f s from ours", skew.Seconds())
		v.snap.Readings = append(v.snap.Readings, health.Reading{
			Component: c.ID, Quantity: health.ClockSkew, Unit: health.Second, Value: skew.Seconds(),
		})
	}
	c.Conditions = []health.Condition{notSet}
	v.snap.Components = append(v.snap.Components, c)
	return nil
}

package ipmi

import (
	"context"
	"encoding/binary"

	"dewline/health"
	"dewline/internal/quirk"
)

// What memory.DCMI holds.
const (
	dcmiUnknown = iota
	dcmiYes
	dcmiNo
)

const dcmiGroup = 0xdc

// readDCMI reads the machine's power where the BMC has DCMI (DCMI 1.5 section 6.6.1). A BMC that said no, or nothing, is asked
// again only with the inventory: firmware is updated now and then.
func (v *visit) readDCMI(ctx context.Context) error {
	if v.quirk(quirk.NoDCMI) {
		return nil
	}
	if v.mem.DCMI == dcmiNo && !v.req.Tiers.Has(health.TierInventory) {
		return nil
	}
	b, err := v.c.call(ctx, command{
		op: "get DCMI power reading", netFn: netFnGroup, cmd: 0x02, data: []byte{dcmiGroup, 0x01, 0x00, 0x00}, want: 18,
		probe: v.mem.DCMI != dcmiYes,
	})
	c := health.Component{
		ID: idDCMI, Class: health.ClassPower, Name: "DCMI power", Place: placeDCMI, Tier: health.TierReadings,
	}
	if err != nil {
		if ctx.Err() != nil || v.mem.DCMI == dcmiYes && !isCode(err, codeInvalidCommand, codeInvalidForLUN) {
			c.StateNotRead = true
			v.snap.Components = append(v.snap.Components, c)
			v.gap(health.Gap{Part: "DCMI power", Component: c.ID, Reason: health.ReasonFor(err), Error: clip(err.Error())})
			return err
		}
		if !isCode(err, codeNodeBusy, codeTimeout, codeInitialising, codeNotInThisState) {
			v.mem.DCMI = dcmiNo
		}
		return nil
	}
	if b[0] != dcmiGroup {
		v.mem.DCMI = dcmiNo
		return nil
	}
	v.mem.DCMI = dcmiYes
	v.scope(placeDCMI)
	c.Presence = health.Present
	if b[17]&0x40 == 0 {
		c.Status = "power measurement not active"
		v.snap.Components = append(v.snap.Components, c)
		return nil
	}
	// A power meter says how much, not how well: no state but what the reading is.
	c.Status = "power measurement active"
	v.snap.Components = append(v.snap.Components, c)
	v.snap.Readings = append(v.snap.Readings, health.Reading{
		Component: c.ID, Quantity: health.Power, Unit: health.Watt, Value: float64(binary.LittleEndian.Uint16(b[1:])),
	})
	return nil
}

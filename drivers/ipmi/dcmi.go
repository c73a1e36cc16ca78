package ipmi

import (
	"context"
	"encoding/binary"
	"math"
	"slices"

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

// dcmiPower is the part that DCMI's power readings are of.
func dcmiPower() health.Component {
	return health.Component{ID: idDCMI, Class: health.ClassPower, Name: "DCMI power", Place: placeDCMI, Tier: health.TierReadings}
}

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
	c := dcmiPower()
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

// readPowerLimit reads the limit that holds the machine's power down, where the BMC gives power readings (DCMI 1.5 section 6.6.2). That none is in
// force is an answer with a completion code of its own; a BMC that refuses the question is not asked again under its firmware.
func (v *visit) readPowerLimit(ctx context.Context) error {
	if v.quirk(quirk.NoDCMI) || v.mem.DCMI != dcmiYes || v.mem.DCMILimit == dcmiNo {
		return nil
	}
	b, err := v.c.call(ctx, command{
		op: "get DCMI power limit", netFn: netFnGroup, cmd: 0x03, data: []byte{dcmiGroup, 0x00, 0x00}, want: 14, probe: v.mem.DCMILimit != dcmiYes,
	})
	switch {
	case isCode(err, codeNoPowerLimit):
		v.mem.DCMILimit = dcmiYes
		return nil
	case isCode(err, codeNodeBusy, codeTimeout, codeInitialising, codeNotInThisState):
		if v.mem.DCMILimit == dcmiYes {
			v.gap(health.Gap{Part: "DCMI power limit", Reason: health.ReasonFor(err), Error: clip(err.Error())})
		}
		return nil
	case err != nil && (ctx.Err() != nil || v.mem.DCMILimit == dcmiYes && !isAnyCode(err)):
		v.gap(health.Gap{Part: "DCMI power limit", Reason: health.ReasonFor(err), Error: clip(err.Error())})
		return err
	case err != nil || b[0] != dcmiGroup:
		v.mem.DCMILimit = dcmiNo
		return nil
	}
	v.mem.DCMILimit = dcmiYes
	watts := binary.LittleEndian.Uint16(b[4:])
	if watts == 0 || watts == math.MaxUint16 { // never set
		return nil
	}
	if !slices.ContainsFunc(v.snap.Components, func(c health.Component) bool { return c.ID == idDCMI }) {
		c := dcmiPower()
		c.StateNotRead = true // its power is
		v.snap.Components = append(v.snap.Components, c)
	}
	v.snap.Readings = append(v.snap.Readings, health.Reading{Component: idDCMI, Quantity: health.PowerLimit, Unit: health.Watt, Value: float64(watts)})
	return nil
}

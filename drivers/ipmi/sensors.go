package ipmi

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
	"dewline/internal/quirk"
)

// raw is the answer to Get Sensor Reading (IPMI 2.0 section 35.14).
type raw struct {
	value       uint8
	scanning    bool
	unavailable bool
	has         bool   // states came: a short answer has none
	states      uint16 // discrete: asserted states. Threshold: low byte the crossed thresholds
}

func decodeReading(b []byte) raw {
	r := raw{value: b[0], scanning: b[1]&0x40 != 0, unavailable: b[1]&0x20 != 0}
	if len(b) > 2 {
		r.has, r.states = true, uint16(b[2])
	}
	if len(b) > 3 {
		r.states |= uint16(b[3]&0x7f) << 8
	}
	return r
}

// observed is what one sensor brought.
type observed struct {
	component health.Component
	reading   *health.Reading
	gap       *health.Gap
}

// offWithHost are the classes whose parts sleep with the host: an idle fan or an unpowered rail is neither well nor broken. A
// power supply's own sensors stay awake.
var offWithHost = []health.Class{health.ClassFan, health.ClassVoltage, health.ClassCurrent, health.ClassDrive, health.ClassPump}

// read asks one sensor and says what its answer means.
func (v *visit) read(ctx context.Context, p *part) (observed, error) {
	if reason := p.unreadable(); reason != "" && !v.quirk(quirk.BMCOwnsSensors) {
		c := p.component()
		c.Status = reason
		return observed{component: c}, nil
	}
	b, err := v.c.call(ctx, command{
		op: "get sensor reading " + p.name, netFn: netFnSensor, cmd: 0x2d, lun: p.key.lun, data: []byte{p.key.number}, want: 2,
	})
	if err != nil {
		return v.unread(p, err), err
	}
	r := decodeReading(b)
	f := p.factors
	if p.measure != nil && p.linear.IsNonLinear() && r.scanning && !r.unavailable {
		if f, err = v.factors(ctx, p, r.value); err != nil {
			return v.unread(p, err), err
		}
	}
	o := p.observe(r, f, v.thresholds(p), v.snap.HostPower)
	if p.class == health.ClassLeakDetector {
		v.ambiguousLeak(p, r, &o)
	}
	return o, nil
}

// unreadable says why a sensor is not asked: it belongs to software on the host, or to a controller behind the BMC.
func (p *part) unreadable() string {
	switch {
	case p.key.owner&1 != 0:
		return "kept by software on the host: not readable over the network"
	case p.key.owner != addrBMC:
		return fmt.Sprintf("kept by controller 0x%02x behind the BMC: not asked", p.key.owner)
	}
	return ""
}

// unread is a sensor whose answer did not come, or was a refusal. A refusal that says why is no gap.
func (v *visit) unread(p *part, err error) observed {
	c := p.component()
	if isCode(err, codeNotPresent, codeNotInThisState) {
		c.Status = clip(err.Error())
		return observed{component: c}
	}
	c.StateNotRead = true
	return observed{component: c, gap: &health.Gap{
		Part: "sensor " + p.name, Component: p.id, Reason: health.ReasonFor(err), Error: clip(err.Error()),
	}}
}

// factors asks a non-linear sensor how to convert this one reading (section 35.5).
func (v *visit) factors(ctx context.Context, p *part, value uint8) (types.ReadingFactors, error) {
	b, err := v.c.call(ctx, command{
		op: "get sensor reading factors " + p.name, netFn: netFnSensor, cmd: 0x23, lun: p.key.lun, data: []byte{p.key.number, value}, want: 7,
	})
	if err != nil {
		return types.ReadingFactors{}, err
	}
	return types.ReadingFactors{
		M: int16(types.TwoSComplement(uint32(b[2]&0xc0)<<2|uint32(b[1]), 10)), Tolerance: b[2] & 0x3f,
		B:     int16(types.TwoSComplement(uint32(b[4]&0xc0)<<2|uint32(b[3]), 10)),
		R_Exp: int8(types.TwoSComplement(uint32(b[6]>>4), 4)), B_Exp: int8(types.TwoSComplement(uint32(b[6]&15), 4)),
	}, nil
}

// observe turns an answer into a component and a reading. It is pure.
func (p *part) observe(r raw, f types.ReadingFactors, th *thresholds, power health.HostPower) observed {
	c := p.component()
	asleep := power == health.HostOff && p.entity != entityPSU && slices.Contains(offWithHost, p.class)
	switch {
	case r.unavailable:
		c.Status = "reading unavailable"
	case !r.scanning:
		c.Status = "scanning disabled"
	case asleep:
		c.Status = "host off"
	}
	if c.Status != "" {
		if p.class == health.ClassLeakDetector && !asleep {
			// A detector that does not detect must not be taken for a dry floor.
			c.Conditions = []health.Condition{{Kind: health.KindDetectorFault, Severity: warning, Evidence: c.Status}}
		}
		return observed{component: c}
	}
	if p.class == health.ClassLeakDetector {
		c.Conditions = append(c.Conditions, health.Condition{Kind: health.KindDetectorFault, Severity: health.SeverityOK, Evidence: "reading available"})
	}
	if p.event != eventThreshold {
		p.discrete(&c, r)
		return observed{component: c}
	}
	p.compare(&c, r)
	if p.measure == nil {
		return observed{component: c}
	}
	v := p.measure.value(&p.sensor, r.value, f)
	if math.IsNaN(v) || math.Abs(v) > maxNumber {
		return observed{component: c, gap: &health.Gap{
			Part: "sensor " + p.name, Component: p.id, Reason: health.ReasonMalformed,
			Error: fmt.Sprintf("raw reading 0x%02x converts to no number", r.value),
		}}
	}
	c.Presence = health.Present
	reading := &health.Reading{Component: p.id, Quantity: p.measure.quantity, Unit: p.measure.unit, Value: v}
	if !p.linear.IsNonLinear() { // thresholds of a non-linear sensor need factors of their own
		reading.Thresholds = p.limitsOf(th)
	}
	return observed{component: c, reading: reading}
}

// maxNumber is beyond every quantity there is: what converts to more, as the tenth power of a reading may, is garbage.
const maxNumber = 1e300

// compared is which threshold comparisons a reading of this sensor brings. Some records name none although the sensor has
// thresholds: then those that can be read.
func (p *part) compared() uint8 {
	if p.returned != 0 {
		return p.returned & 0x3f
	}
	return uint8(p.mask) & 0x3f
}

// compare judges a threshold sensor by the comparisons the BMC made. A sensor that compares with nothing is unknown: that a
// fan without thresholds stands still is no good news.
func (p *part) compare(c *health.Component, r raw) {
	mask := p.compared()
	switch {
	case !r.has:
		c.Status = "no comparison with thresholds came"
		return
	case mask == 0:
		c.Status = "no thresholds to compare with"
		return
	}
	crossed := uint8(r.states) & mask
	worst := map[health.Kind]health.Condition{}
	var words []string
	for i, x := range crossings {
		if mask&(1<<i) == 0 {
			continue
		}
		k := crossingKind(p.class, x.severity, x.high)
		sev := health.SeverityOK
		if crossed&(1<<i) != 0 {
			sev = x.severity
			words = append(words, x.name)
			if p.class == health.ClassLeakDetector {
				sev = warning // which side of the threshold is wet, only the vendor knows
			}
		}
		if old, ok := worst[k]; !ok || sev > old.Severity || sev != health.SeverityOK && sev == old.Severity {
			worst[k] = health.Condition{Kind: k, Severity: sev, Evidence: "threshold: " + x.name} // the farthest crossed
		}
	}
	c.Status = "within thresholds"
	if len(words) > 0 {
		c.Status = "past threshold: " + strings.Join(words, ", ")
	}
	onlyWorst(worst)
	addConditions(c, worst)
}

// onlyWorst leaves one of a sensor's kinds asserted. One reading that is past several thresholds is one fault: a fan past
// "critical" has failed, and is no longer degraded as well.
func onlyWorst(byKind map[health.Kind]health.Condition) {
	var worst health.Condition
	for _, k := range slices.Sorted(maps.Keys(byKind)) {
		if byKind[k].Severity > worst.Severity {
			worst = byKind[k]
		}
	}
	if worst.Severity == health.SeverityOK {
		return
	}
	for k, x := range byKind {
		if k != worst.Kind && x.Severity != health.SeverityOK {
			byKind[k] = health.Condition{Kind: k, Severity: health.SeverityOK, Evidence: worst.Evidence}
		}
	}
}

// discrete judges a sensor by its asserted states.
func (p *part) discrete(c *health.Component, r raw) {
	mask := p.mask & 0x7fff
	if mask == 0 { // records without a mask are common: then every state counts
		mask = 0x7fff
	}
	states := r.states & mask
	if !r.has {
		c.Status = "no states came"
		return
	}
	c.Status = clip(p.asserted(states))
	if p.table == nil {
		return
	}
	worst := map[health.Kind]health.Condition{}
	var canFail, canSayOK, saysOK, bad bool
	for off := range uint8(15) {
		e, known := p.table[off]
		if !known || mask&(1<<off) == 0 {
			continue
		}
		set := states&(1<<off) != 0
		if set && e.presence != health.PresenceUnknown {
			c.Presence = e.presence
		}
		canSayOK = canSayOK || e.severity == health.SeverityOK
		saysOK = saysOK || set && e.severity == health.SeverityOK
		if e.kind == "" || e.momentary {
			continue
		}
		canFail = true
		sev := health.SeverityOK
		if set {
			sev, bad = e.severity, true
		}
		if old, ok := worst[e.kind]; !ok || sev > old.Severity {
			worst[e.kind] = health.Condition{Kind: e.kind, Severity: sev, Evidence: p.words[off]}
		}
	}
	if off, ok := presenceOffset(p.table); ok && c.Presence == health.PresenceUnknown && p.mask&(1<<off) != 0 {
		c.Presence = health.Absent // its presence would be asserted
	}
	if c.Presence == health.Absent {
		c.Status = clip("absent: " + c.Status)
		return
	}
	if p.event == eventSeverity {
		onlyWorst(worst) // its states are grades of one fault
	}
	if !saysOK && !bad && (!canFail || canSayOK) {
		return // nothing about health; or neither well nor ill, where well would be asserted
	}
	addConditions(c, worst)
}

// asserted are the asserted states in the specification's words.
func (p *part) asserted(states uint16) string {
	var w []string
	for off := range uint8(15) {
		if states&(1<<off) != 0 {
			w = append(w, p.words[off])
		}
	}
	if len(w) == 0 {
		return "no state asserted"
	}
	return strings.Join(w, ", ")
}

// eventName is an offset in the specification's words, or its number where they are the vendor's.
func eventName(typ, event, off uint8) string {
	if event != eventThreshold && event < 0x70 && (event != eventSpecific || typ < typeOEM) {
		if e := types.EventReadingType(event).EventForOffset(types.SensorType(typ), off); e != nil && e.EventName != "" {
			return e.EventName
		}
	}
	if event == eventThreshold {
		if e := types.EventReadingType(event).EventForOffset(types.SensorType(typ), off); e != nil {
			return e.EventName
		}
	}
	return fmt.Sprintf("state %d (type 0x%02x/0x%02x)", off, event, typ)
}

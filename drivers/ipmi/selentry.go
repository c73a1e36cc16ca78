package ipmi

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
)

// SEL record types (IPMI 2.0 section 31.6.1).
const (
	selSystemEvent  = 0x02
	selTimestampOEM = 0xc0 // to dfh
	selPlainOEM     = 0xe0 // to ffh
)

// decodeSEL takes a SEL record apart as far as its type goes.
func decodeSEL(rec []byte) (health.LogEntry, error) {
	if len(rec) != 16 {
		return health.LogEntry{}, fmt.Errorf("%w: SEL entry of %d bytes", errRecord, len(rec))
	}
	e := health.LogEntry{
		Source: selID, ID: fmt.Sprintf("%d", recordID(rec)), Key: append([]byte(nil), rec...), Raw: append([]byte(nil), rec...),
	}
	typ := rec[2]
	if typ < selPlainOEM {
		e.Created = selTime(binary.LittleEndian.Uint32(rec[3:]))
	}
	switch {
	case typ == selSystemEvent:
		s, err := types.ParseSEL(rec)
		if err != nil || s.Standard == nil {
			return e, fmt.Errorf("%w: %v", errRecord, err)
		}
		x := s.Standard
		e.SEL = &health.SELEvent{
			RecordType: typ, Generator: uint16(x.GeneratorID), SensorType: uint8(x.SensorType), SensorNumber: uint8(x.SensorNumber),
			EventType: uint8(x.EventReadingType), Deassert: bool(x.EventDir),
			Data: [3]byte{x.EventData.EventData1, x.EventData.EventData2, x.EventData.EventData3},
		}
	case typ >= selPlainOEM:
		e.Message = fmt.Sprintf("OEM entry, type 0x%02x: % x", typ, rec[3:])
	case typ >= selTimestampOEM:
		maker := uint32(rec[7]) | uint32(rec[8])<<8 | uint32(rec[9])<<16
		e.Message = fmt.Sprintf("OEM entry, type 0x%02x, manufacturer %d: % x", typ, maker, rec[10:])
	default:
		e.Message = fmt.Sprintf("entry of unknown type 0x%02x: % x", typ, rec[3:])
	}
	return e, nil
}

// logEntry is a SEL record as a log entry: which sensor, what happened, how grave by our own tables.
func (v *visit) logEntry(rec []byte, generation string) health.LogEntry {
	e, err := decodeSEL(rec)
	e.Observed, e.Generation = v.now, generation
	if err != nil {
		e.Message = fmt.Sprintf("entry that cannot be decoded: % x", rec)
	}
	if e.SEL == nil {
		return e
	}
	p := v.sensorOf(e.SEL)
	class := health.Class("")
	name := fmt.Sprintf("%s sensor 0x%02x", types.SensorType(e.SEL.SensorType), e.SEL.SensorNumber)
	if p != nil {
		class, name = p.class, p.name
		e.Component, e.Origin = p.id, p.name
	}
	var value string
	if p != nil && p.measure != nil && e.SEL.EventType == eventThreshold && !p.linear.IsNonLinear() {
		value = p.eventValues(e.SEL.Data)
	}
	interpret(&e, class, p)
	direction := "asserted"
	if e.SEL.Deassert {
		direction = "deasserted"
	}
	off := e.SEL.Data[0] & 0x0f
	e.Message = clip(fmt.Sprintf("%s: %s%s %s", name, eventName(e.SEL.SensorType, e.SEL.EventType, off), value, direction))
	e.MessageID = fmt.Sprintf("ipmi.%02x.%02x.%x", e.SEL.EventType, e.SEL.SensorType, off)
	if e.SEL.Data[1] != 0xff || e.SEL.Data[2] != 0xff {
		e.Args = []string{fmt.Sprintf("0x%02x", e.SEL.Data[1]), fmt.Sprintf("0x%02x", e.SEL.Data[2])}
	}
	return e
}

// eventValues is the reading and the threshold a threshold event carries in its data bytes 2 and 3 (section 29.7).
func (p *part) eventValues(d [3]byte) string {
	var w []string
	if d[0]>>6 == 1 {
		w = append(w, fmt.Sprintf("reading %.4g %s", p.measure.value(&p.sensor, d[1], p.factors), p.measure.unit))
	}
	if d[0]>>4&3 == 1 {
		w = append(w, fmt.Sprintf("threshold %.4g %s", p.measure.value(&p.sensor, d[2], p.factors), p.measure.unit))
	}
	if len(w) == 0 {
		return ""
	}
	return " (" + strings.Join(w, ", ") + ")"
}

// interpret fills in severity, kind and direction from our tables. The end of a condition is not as grave as the condition,
// whatever its offset: the direction bit decides.
func interpret(e *health.LogEntry, class health.Class, p *part) {
	off := e.SEL.Data[0] & 0x0f
	if e.SEL.EventType == eventThreshold {
		i, real := thresholdOffsets[off]
		if !real { // the way back over a threshold: which one is past now, only a reading tells
			e.Severity = info
			return
		}
		x := crossings[i]
		e.Kind, e.Severity, e.Cleared = crossingKind(class, x.severity, x.high), x.severity, e.SEL.Deassert
		if class == health.ClassLeakDetector {
			e.Severity = warning
		}
		if e.Cleared {
			e.Severity = health.SeverityOK
		}
		return
	}
	confirmed := p != nil && p.confirmed && p.event == e.SEL.EventType
	if class == health.ClassLeakDetector && e.SEL.EventType == eventState && !confirmed {
		// Asserted 1, or the end of 0, says "active"; that active means water is likely, not certain.
		e.Kind, e.Severity = health.KindLeakDetected, warning
		if (off == 1) == e.SEL.Deassert {
			e.Cleared, e.Severity = true, info
		}
		return
	}
	table := effects(e.SEL.SensorType, e.SEL.EventType, class)
	if confirmed {
		table = p.table
	}
	x, known := table[off]
	switch {
	case !known:
		e.Severity = info
		if e.SEL.EventType >= 0x70 || e.SEL.SensorType >= typeOEM {
			e.Severity = health.SeverityUnknown // the vendor's own: how grave, only the vendor knows
		}
	case x.presence == health.Present && e.SEL.Deassert, x.presence == health.Absent && !e.SEL.Deassert:
		e.Kind, e.Severity = health.KindAbsentRemoved, warning
	case x.presence != health.PresenceUnknown:
		e.Kind, e.Severity = health.KindInserted, info
	case x.severity == health.SeverityOK && !e.SEL.Deassert:
		e.Severity = health.SeverityOK
	case x.severity == health.SeverityOK: // the end of "all is well": what is wrong, another entry says
		e.Severity = info
	case x.kind == "":
		e.Severity = info
	default:
		e.Kind, e.Severity, e.Cleared = x.kind, x.severity, e.SEL.Deassert && !x.momentary
		if e.SEL.Deassert {
			e.Severity = health.SeverityOK
		}
	}
}

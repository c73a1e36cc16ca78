package ipmi

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
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
	v.interpret(&e, class, p)
	e.Decoded.Names = []string{name}
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

// occurrences are kinds of which a log tells that they happened, not that they last. (Get SEL Info tells how full the log is.)
var occurrences = map[health.Kind]bool{
	health.KindUncorrectableError: true, health.KindCorrectableError: true, health.KindWatchdogReset: true, health.KindLogCleared: true,
	health.KindLogFull: true, health.KindInfo: true, health.KindUnknown: true,
}

// happens are sensor types whose states are occurrences: an NMI, a hang at boot. Their ends are not logged.
var happens = map[uint8]bool{typeCriticalIntr: true, typeFirmwareProgress: true, typeSystemEvent: true, typeBootError: true, typeOSStop: true}

// recovered are the kinds that are over with the one that an entry says is over.
var recovered = map[health.Kind][]health.Kind{
	health.KindFailed: {health.KindDegraded}, health.KindDegraded: {health.KindFailed},
	health.KindRedundancyLost: {health.KindRedundancyDegraded}, health.KindRedundancyDegraded: {health.KindRedundancyLost},
}

// interpret fills in severity, kind and direction from our tables. The end of a condition is not as grave as the condition, whatever
// its offset: the direction bit decides. (FreeIPMI's interpretation takes one severity for both directions.)
func (v *visit) interpret(e *health.LogEntry, class health.Class, p *part) {
	off := e.SEL.Data[0] & 0x0f
	if class == "" {
		class = typeClasses[e.SEL.SensorType]
	}
	d := &e.Decoded
	d.Class, d.Rule = class, ruleID(e.SEL.EventType, e.SEL.SensorType, off)
	begins := func(k health.Kind, s health.Severity) {
		e.Kind, e.Severity, d.Lasts = k, s, !occurrences[k]
	}
	over := func(k health.Kind, ends ...health.Kind) {
		e.Kind, e.Severity, e.Cleared, d.Ends = k, health.SeverityOK, true, append(ends, recovered[k]...)
	}
	defer func() { d.Severity = e.Severity }()
	if e.SEL.EventType == eventThreshold {
		i, real := thresholdOffsets[off]
		if !real { // the way back over a threshold: which one is past now, only a reading tells
			e.Severity = info
			return
		}
		x := crossings[i]
		if e.SEL.Deassert {
			if x = v.stillPast(e.SEL, p, i); x.name == "" {
				over(crossingKind(class, crossings[i].severity, crossings[i].high))
				return
			}
		}
		begins(crossingKind(class, x.severity, x.high), x.severity)
		if class == health.ClassLeakDetector {
			e.Severity = warning
		}
		return
	}
	confirmed := p != nil && p.confirmed && p.event == e.SEL.EventType
	if class == health.ClassLeakDetector && e.SEL.EventType == eventState && !confirmed {
		// Asserted 1, or the end of 0, says "active"; that active means water is likely, not certain.
		if (off == 1) != e.SEL.Deassert {
			begins(health.KindLeakDetected, warning)
		} else {
			over(health.KindLeakDetected)
			e.Severity = info
		}
		return
	}
	table := effects(e.SEL.SensorType, e.SEL.EventType, class)
	if confirmed {
		table = p.table
	}
	x, known := table[off]
	switch {
	case !known && class == health.ClassLeakDetector && p != nil:
		// The vendor's own states of a rope: as when it is read, any other than that in which it was first seen is likely water.
		if (v.mem.Leaks[p.key.String()]>>off&1 == 1) == e.SEL.Deassert || p.suspicious(1<<off) && !e.SEL.Deassert {
			begins(health.KindLeakDetected, warning)
		} else {
			over(health.KindLeakDetected)
			e.Severity = info
		}
	case !known:
		e.Severity, d.Rule = info, ""
		if e.SEL.EventType == eventState || e.SEL.EventType >= 0x70 || e.SEL.SensorType >= typeOEM {
			e.Severity = health.SeverityUnknown // the vendor's own: what it means, and how grave it is, only the vendor knows
		}
	case x.presence == health.Present && e.SEL.Deassert, x.presence == health.Absent && !e.SEL.Deassert:
		begins(health.KindAbsentRemoved, warning)
		d.Ends = []health.Kind{health.KindFailed, health.KindDegraded, health.KindPredictedFailure, health.KindInputLost, health.KindInputOutOfRange}
	case x.presence != health.PresenceUnknown:
		over(health.KindAbsentRemoved)
	case x.severity == health.SeverityOK && !e.SEL.Deassert: // all is well: the kinds of the other offsets are over
		kinds := kindsOf(table)
		if len(kinds) == 0 {
			e.Severity = health.SeverityOK
			break
		}
		over(kinds[0], kinds[1:]...)
	case x.severity == health.SeverityOK: // the end of "all is well": what is wrong, another entry says
		e.Severity = info
	case x.kind == "":
		e.Severity = info
	case e.SEL.Deassert && x.momentary:
		e.Kind, e.Severity = x.kind, health.SeverityOK
	case e.SEL.Deassert:
		over(x.kind)
		d.Ends = nil // that state alone is left
	default:
		begins(x.kind, x.severity)
		d.Lasts = d.Lasts && !x.momentary && !happens[e.SEL.SensorType]
	}
	d.Ends = slices.DeleteFunc(d.Ends, func(k health.Kind) bool { return k == e.Kind })
}

// ruleID names a row of the tables: event type, sensor type where it counts, offset.
func ruleID(event, typ, off uint8) string {
	if event == eventSpecific {
		return fmt.Sprintf("ipmi.%02x.%02x.%x", event, typ, off)
	}
	return fmt.Sprintf("ipmi.%02x.%x", event, off)
}

// kindsOf are the kinds of fault that a table knows, in order.
func kindsOf(table map[uint8]effect) []health.Kind {
	var kinds []health.Kind
	for _, off := range slices.Sorted(maps.Keys(table)) {
		if x := table[off]; x.kind != "" && !x.momentary && !slices.Contains(kinds, x.kind) {
			kinds = append(kinds, x.kind)
		}
	}
	return kinds
}

// stillPast is the threshold that is still passed when the ith is not any more: the value came back from beyond the critical one, and
// is beyond the non-critical one as far as the reading in the record says, or it says none.
func (v *visit) stillPast(e *health.SELEvent, p *part, i int) crossing {
	if p == nil || i%3 == 0 {
		return crossing{}
	}
	t := v.thresholds(p)
	if t == nil {
		return crossing{}
	}
	for k := i - 1; k >= i-i%3; k-- { // the next ones inward
		if t.mask&(1<<k) == 0 {
			continue
		}
		if e.Data[0]>>6 == 1 && p.measure != nil && !p.linear.IsNonLinear() {
			read, at := p.measure.value(&p.sensor, e.Data[1], p.factors), p.measure.value(&p.sensor, t.raw[k], p.factors)
			if crossings[k].high && read < at || !crossings[k].high && read > at {
				continue
			}
		}
		return crossings[k]
	}
	return crossing{}
}

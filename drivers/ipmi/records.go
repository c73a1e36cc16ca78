package ipmi

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/bougou/go-ipmi/pkg/types"
)

// Record types of the SDR repository that are read (IPMI 2.0 chapter 43).
const (
	recordFull       = 0x01
	recordCompact    = 0x02
	recordEventOnly  = 0x03
	recordFRULocator = 0x11
	recordMCLocator  = 0x12
)

// sensorKey names a sensor in its BMC.
type sensorKey struct{ owner, lun, number uint8 }

func (k sensorKey) String() string { return fmt.Sprintf("%02x.%x.%02x", k.owner, k.lun, k.number) }

// sensor is what the data records say of one sensor.
type sensor struct {
	key       sensorKey
	channel   uint8
	name      string
	eventOnly bool // has no reading: it only names what events speak of
	analog    bool // has factors to convert a reading with
	entity    uint8
	instance  uint8
	typ       uint8 // sensor type
	event     uint8 // event/reading type
	unit      types.SensorUnit
	factors   types.ReadingFactors
	linear    types.LinearizationFunc
	mask      uint16   // discrete: the states it can report. Threshold: low byte the readable thresholds
	returned  uint8    // thresholds whose comparison comes with the reading, bits as in Get Sensor Reading
	limits    [6]uint8 // raw thresholds of the record: LNC LC LNR UNC UC UNR, the bits' order
	limitsSet bool     // the record's thresholds are those in force
	canAsk    bool     // Get Sensor Thresholds answers
	direction uint8    // 1 input, 2 output
}

// locator is a FRU device locator: where inventory data of a part is.
type locator struct {
	fru      uint8
	entity   uint8
	instance uint8
	name     string
}

// decoded is what one data record holds.
type decoded struct {
	sensors []sensor // several for a record that sensors share
	fru     *locator
}

var errRecord = errors.New("malformed data record")

// decodeRecord takes an SDR apart. Types that are of no use here give an empty result. It never fails for a name: a
// record whose text cannot be read is still a sensor.
func decodeRecord(b []byte) (d decoded, err error) {
	defer func() { // the codec is not ours: what it stumbles over costs one record
		if r := recover(); r != nil {
			d, err = decoded{}, fmt.Errorf("%w: %v", errRecord, r)
		}
	}()
	if len(b) < 5 || len(b) < 5+int(b[4]) {
		return decoded{}, fmt.Errorf("%w: %d bytes", errRecord, len(b))
	}
	b = b[:5+int(b[4])]
	switch b[3] {
	case recordFull:
		return decodeFull(b)
	case recordCompact:
		return decodeCompact(b)
	case recordEventOnly:
		return decodeEventOnly(b)
	case recordFRULocator:
		return decodeFRULocator(b)
	}
	return decoded{}, nil
}

// withoutName is a copy of a record with an empty ID string: the codec refuses records whose packed name it cannot measure
// (OpenIPMI's compiler counts 6-bit names in characters, as the specification also does).
func withoutName(b []byte, at int) []byte {
	c := append([]byte(nil), b[:at+1]...)
	c[at] = 0xc0
	return c
}

func decodeFull(b []byte) (decoded, error) {
	const id = 47
	if len(b) <= id {
		return decoded{}, fmt.Errorf("%w: full sensor record of %d bytes", errRecord, len(b))
	}
	sdr, err := types.ParseSDR(withoutName(b, id), 0)
	if err != nil || sdr.Full == nil {
		return decoded{}, fmt.Errorf("%w: %v", errRecord, err)
	}
	f := sdr.Full
	s := sensor{
		key: sensorKey{b[5], b[6] & 3, uint8(f.SensorNumber)}, channel: b[6] >> 4, name: decodeID(b[id], b[id+1:]),
		entity: uint8(f.SensorEntityID), instance: uint8(f.SensorEntityInstance),
		typ: uint8(f.SensorType), event: uint8(f.SensorEventReadingType), unit: f.SensorUnit,
		factors: f.ReadingFactors, linear: f.LinearizationFunc & 0x7f, direction: f.SensorDirection,
		mask:     uint16(b[18]) | uint16(b[19])<<8,
		limits:   [6]uint8{f.LNC_Raw, f.LCR_Raw, f.LNR_Raw, f.UNC_Raw, f.UCR_Raw, f.UNR_Raw},
		returned: returnedThresholds(b), limitsSet: f.SensorInitialization.InitThresholds,
	}
	s.analog = s.unit.AnalogDataFormat != types.SensorAnalogUnitFormat_NotAnalog
	access := b[11] >> 2 & 3 // 0 none, 1 readable, 2 readable and settable, 3 fixed and unreadable
	s.canAsk = s.event == eventThreshold && (access == 1 || access == 2)
	s.limitsSet = s.limitsSet || access == 3
	s.nameIfEmpty()
	return decoded{sensors: []sensor{s}}, nil
}

// returnedThresholds is which comparisons a reading brings: bits 14:12 of the two event masks (section 43.1).
func returnedThresholds(b []byte) uint8 { return b[15]>>4&7 | b[17]>>4&7<<3 }

func decodeCompact(b []byte) (decoded, error) {
	const id = 31
	if len(b) <= id {
		return decoded{}, fmt.Errorf("%w: compact sensor record of %d bytes", errRecord, len(b))
	}
	sdr, err := types.ParseSDR(withoutName(b, id), 0)
	if err != nil || sdr.Compact == nil {
		return decoded{}, fmt.Errorf("%w: %v", errRecord, err)
	}
	c := sdr.Compact
	s := sensor{
		key: sensorKey{b[5], b[6] & 3, uint8(c.SensorNumber)}, channel: b[6] >> 4, name: decodeID(b[id], b[id+1:]),
		entity: uint8(c.SensorEntityID), instance: uint8(c.SensorEntityInstance),
		typ: uint8(c.SensorType), event: uint8(c.SensorEventReadingType), unit: c.SensorUnit,
		mask: uint16(b[18]) | uint16(b[19])<<8, direction: c.SensorDirection,
	}
	if s.event == eventThreshold {
		s.returned = returnedThresholds(b)
	}
	return decoded{sensors: share(s, b[23], b[24])}, nil
}

func decodeEventOnly(b []byte) (decoded, error) {
	const id = 16
	if len(b) <= id {
		return decoded{}, fmt.Errorf("%w: event-only record of %d bytes", errRecord, len(b))
	}
	s := sensor{
		key: sensorKey{b[5], b[6] & 3, b[7]}, channel: b[6] >> 4, name: decodeID(b[id], b[id+1:]), eventOnly: true,
		entity: b[8], instance: b[9] & 0x7f, typ: b[10], event: b[11] & 0x7f,
	}
	return decoded{sensors: share(s, b[12], b[13])}, nil
}

// share expands a record that several sensors share: numbers count up, names get a modifier, entity instances count up if
// the record says so (sections 43.2, 43.3).
func share(s sensor, b1, b2 byte) []sensor {
	n := max(int(b1&0x0f), 1)
	if n > 1 && int(s.key.number)+n > 0xff {
		n = 0xff - int(s.key.number)
	}
	var out []sensor
	for i := range max(n, 1) {
		c := s
		if n > 1 {
			at := int(b2&0x7f) + i
			c.key.number += uint8(i)
			if b2&0x80 != 0 {
				c.instance = (c.instance + uint8(i)) & 0x7f
			}
			if b1>>4&3 == 1 {
				c.name += alphaModifier(at)
			} else {
				c.name += strconv.Itoa(at)
			}
		}
		c.nameIfEmpty()
		out = append(out, c)
	}
	return out
}

// alphaModifier counts A to Z, AA to ZZ.
func alphaModifier(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return string(rune('A'+n/26-1)) + string(rune('A'+n%26))
}

func (s *sensor) nameIfEmpty() {
	if s.name == "" {
		s.name = fmt.Sprintf("Sensor 0x%02x", s.key.number)
	}
}

func decodeFRULocator(b []byte) (decoded, error) {
	const id = 15
	if len(b) <= id {
		return decoded{}, fmt.Errorf("%w: FRU locator of %d bytes", errRecord, len(b))
	}
	// Only logical FRU devices of the BMC itself; others lie on buses behind it.
	if b[5] != addrBMC || b[7]&0x80 == 0 {
		return decoded{}, nil
	}
	l := &locator{fru: b[6], entity: b[12], instance: b[13] & 0x7f, name: decodeID(b[id], b[id+1:])}
	if l.name == "" {
		l.name = fmt.Sprintf("FRU %d", l.fru)
	}
	return decoded{fru: l}, nil
}

// convert is a raw reading or threshold in the sensor's own unit.
func (s *sensor) convert(raw uint8, f types.ReadingFactors) float64 {
	return types.ConvertReading(raw, s.unit.AnalogDataFormat, f, s.linear)
}

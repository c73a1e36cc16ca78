package ipmi

import (
	"errors"
	"fmt"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
)

// part is a sensor and the component it becomes.
type part struct {
	sensor
	id      health.ComponentID // empty for event-only sensors: they have a name but no state
	class   health.Class
	measure *measure // nil for sensors without a number
	table   map[uint8]effect
	// confirmed: a profile says what the states of this leak sensor mean.
	confirmed bool

	// What is the same at every visit: the codec's names come out of tables that it builds anew each time.
	where string
	words [15]string // the states of a discrete sensor
}

func newPart(s sensor) *part {
	p := &part{sensor: s}
	if s.analog && s.event == eventThreshold {
		m := measureOf(&p.sensor)
		p.measure = &m
	}
	p.class = classOf(&p.sensor, p.measure)
	if s.event != eventThreshold {
		p.table = effects(s.typ, s.event, p.class)
		for off := range p.words {
			p.words[off] = eventName(s.typ, s.event, uint8(off))
		}
	}
	p.where = location(s.entity, s.instance)
	return p
}

// Components that are no sensors. A sensor of the same class and name ("SEL" is common) gets its number.
const (
	idLog   health.ComponentID = "log/System Event Log"
	idClock health.ComponentID = "bmc/BMC clock"
	idDCMI  health.ComponentID = "power/DCMI power"
)

// nameParts gives every sensor with a state its component ID. Names are not unique in the wild: those that are shared get the
// sensor's number, and where even that is shared its owner and LUN. Which ones are shared does not depend on the order.
func nameParts(parts []*part) {
	count := map[string]int{string(idLog): 1, string(idClock): 1, string(idDCMI): 1}
	for _, c := range chassisParts {
		count[string(c.id)] = 1
	}
	plain := func(p *part) string { return string(p.class) + "/" + p.name }
	numbered := func(p *part) string { return fmt.Sprintf("%s #%02x", plain(p), p.key.number) }
	for _, p := range parts {
		if !p.eventOnly {
			count[plain(p)]++
			count[numbered(p)]++
		}
	}
	for _, p := range parts {
		switch {
		case p.eventOnly:
		case count[plain(p)] == 1:
			p.id = health.ComponentID(plain(p))
		case count[numbered(p)] == 1:
			p.id = health.ComponentID(numbered(p))
		default:
			p.id = health.ComponentID(plain(p) + " #" + p.key.String())
		}
	}
}

// location names the entity a sensor belongs to: "power supply 1".
func location(entity, instance uint8) string {
	if entity == 0 {
		return ""
	}
	if instance >= 0x60 { // device-relative (section 39.1)
		instance -= 0x60
	}
	return fmt.Sprintf("%s %d", types.EntityID(entity), instance)
}

// component is the part without its state.
func (p *part) component() health.Component {
	return health.Component{
		ID: p.id, Class: p.class, Name: p.name, Location: p.where, Context: contexts[p.entity],
		Place: placeSDR, Tier: health.TierReadings,
	}
}

func isAnyCode(err error) bool {
	_, ok := errors.AsType[codeError](err)
	return ok
}

// isRecordError tells whether what came was no proper record or answer: another try would bring the same.
func isRecordError(err error) bool {
	return errors.Is(err, errRecord) || health.ReasonFor(err) == health.ReasonMalformed
}

func recordReason(err error) health.Reason {
	if isRecordError(err) {
		return health.ReasonMalformed
	}
	return health.ReasonFor(err)
}

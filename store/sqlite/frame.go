package sqlite

import (
	"encoding/binary"
	"time"

	"dewline/health"
)

// frame is what a visit's blob holds of it: everything but events and log entries, with numbers of the target's dictionary
// in place of components and series. Times are nanoseconds since 1970.
type frame struct {
	seq     int64
	at      int64 // Visit.At
	started bool  // else at is when it was due
	took    int64
	cost    costInts
	dueAt   [tierCount]int64 // relative to at; 0 for a tier that is not in due

	frameKind
	shape  *shape
	states []byte    // of shape.parts: StateNotRead<<4 | presence<<2 | state
	values []float64 // of shape.series
	gaps   []health.Gap
	unread []uint32 // parts
	skip   []health.TickRange

	snap snapFrame // if hasSnap
}

const tierCount = len(health.AllTiers)

// frameKind is the part of a frame that is the same in most visits of a target.
type frameKind struct {
	driver string
	origin health.Origin
	result health.Result
	reason health.Reason
	err    string
	due    health.Tiers
	where  uint32 // number of the configured target, from 1; 0: none given
	id     string // "" if health.VisitID, as always

	hasSnap    bool
	snapTarget string // "" if the visit's, as always
	snapDriver string
	snapTiers  health.Tiers
	hostPower  health.HostPower
	snapNoTime bool
}

// snapFrame is what of a snapshot mostly repeats the visit.
type snapFrame struct {
	at, took int64
	cost     costInts
}

// shape is what a visit read: parts in the order of its components, series in the order of its readings.
type shape struct {
	parts, series []uint32
}

// costInts are requests, connections, exchanges and bytes.
type costInts [costFields]int64

const costFields = 4

func costOf(c health.Cost) costInts {
	return costInts{int64(c.Requests), int64(c.Connections), int64(c.Exchanges), c.Bytes}
}

func (c costInts) cost() health.Cost {
	return health.Cost{Requests: int(c[0]), Connections: int(c[1]), Exchanges: int(c[2]), Bytes: c[3]}
}

// A block holds at most maxVisits frames with maxCells states, values and unread parts together; an hour that has more makes two blocks.
const (
	maxVisits = 1 << 14
	maxCells  = 1 << 21
)

func (f *frame) cells() int { return len(f.shape.parts) + len(f.shape.series) + len(f.unread) }

func (k *frameKind) append(b []byte, started bool) []byte {
	var flags byte
	for i, set := range [...]bool{started, k.hasSnap, k.snapTarget != "", k.snapNoTime} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(b, flags, byte(k.due))
	b = appendWord(b, k.driver)
	b = appendWord(b, k.origin)
	b = appendWord(b, k.result)
	b = appendWord(b, k.reason)
	b = appendBytes(b, k.err)
	b = appendBytes(b, k.id)
	b = binary.AppendUvarint(b, uint64(k.where))
	if k.hasSnap {
		b = append(b, byte(k.snapTiers), byte(k.hostPower))
		b = appendWord(b, k.snapDriver)
		if k.snapTarget != "" {
			b = appendBytes(b, k.snapTarget)
		}
	}
	return b
}

type startedKind struct {
	frameKind
	started bool
}

func readKind(w *wire) (k startedKind) {
	flags := w.byte()
	k.due = health.Tiers(w.byte())
	if flags > 15 || k.due >= 1<<tierCount {
		w.fail("unknown flags of a visit")
		return
	}
	k.started, k.hasSnap, k.snapNoTime = flags&1 != 0, flags&2 != 0, flags&8 != 0
	k.driver = readWord[string](w)
	k.origin = readWord[health.Origin](w)
	k.result = readWord[health.Result](w)
	k.reason = readWord[health.Reason](w)
	k.err = w.str()
	k.id = w.str()
	k.where = uint32(w.count(maxDictionary))
	if k.hasSnap {
		k.snapTiers = health.Tiers(w.byte())
		k.hostPower = health.HostPower(w.byte())
		if k.hostPower > health.HostOff {
			w.fail("unknown host power")
		}
		k.snapDriver = readWord[string](w)
		if flags&4 != 0 {
			k.snapTarget = w.str()
		}
	}
	return k
}

func appendGaps(b []byte, gaps []health.Gap) []byte {
	for _, g := range gaps {
		b = appendWord(b, g.Reason)
		b = appendBytes(b, g.Part)
		b = appendBytes(b, g.Error)
		b = appendBytes(b, g.Place)
		b = appendBytes(b, string(g.Component))
	}
	return b
}

func readGaps(w *wire) (gaps []health.Gap) {
	for len(w.b) > 0 {
		g := health.Gap{Reason: readWord[health.Reason](w), Part: w.str(), Error: w.str(), Place: w.str()}
		g.Component = health.ComponentID(w.str())
		gaps = append(gaps, g)
	}
	return gaps
}

func appendSkips(b []byte, skips []health.TickRange) []byte {
	for _, s := range skips {
		b = append(b, byte(s.Tier))
		b = appendInt(b, s.First.UnixNano())
		b = appendInt(b, s.Last.UnixNano()-s.First.UnixNano())
		b = appendInt(b, int64(s.Count))
		b = appendWord(b, s.Reason)
	}
	return b
}

func readSkips(w *wire) (skips []health.TickRange) {
	for len(w.b) > 0 {
		s := health.TickRange{Tier: health.Tier(w.byte())}
		if int(s.Tier) >= tierCount {
			w.fail("unknown tier")
			return nil
		}
		first := w.int()
		s.First, s.Last = time.Unix(0, first).UTC(), time.Unix(0, first+w.int()).UTC()
		s.Count = int(w.int())
		s.Reason = readWord[health.Reason](w)
		skips = append(skips, s)
	}
	return skips
}

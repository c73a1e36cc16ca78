package bmcsim

import (
	"slices"
	"time"
)

// Part of a machine an event is about.
type Part uint8

// Parts that events name.
const (
	PartSystem Part = iota
	PartFan
	PartFanRedundancy
	PartPSU
	PartPSURedundancy
	PartDrive
	PartDIMM
	PartLeak
	PartHumidity // Index 1: the upper caution threshold, 2: the upper critical one
	PartHost
	PartLid
	PartLog
)

// What happened to it.
type What uint8

// What an event says.
const (
	Booted What = iota
	Failed
	Removed
	Predicted
	InputLost
	RedundancyLost
	Corrected
	Wet
	DetectorFault
	OverThreshold
	PoweredOff
	Intrusion
	Cleared
)

// Event is one entry of a machine's log, in no protocol's words: the Redfish server makes a LogEntry of it, the IPMI server a SEL
// record.
type Event struct {
	ID       int // 1, 2, …; starts anew after a clear
	Time     time.Time
	Part     Part
	Index    int
	What     What
	Asserted bool    // false: it went away
	Value    float64 // what the sensor read, if it is about a threshold
}

// eventLog is bounded as a SEL is.
type eventLog struct {
	entries  []Event
	nextID   int
	capacity int
	wraps    bool
	overflow bool
	added    time.Time // of the last entry
	erased   time.Time
	quiet    bool // nothing of what happens now is logged
	hung     bool // nothing of the sensors is
	off      bool // logging is switched off
}

// simEpoch is before everything that happens to a simulated machine.
var simEpoch = time.Date(2026, time.January, 5, 6, 0, 0, 0, time.UTC)

// history is what a machine's log holds when nobody has ever looked at it.
func (l *eventLog) history(h uint64) {
	t := simEpoch.Add(time.Duration(h%86400) * time.Second)
	l.clear(t)
	l.add(Event{Time: t.Add(3 * time.Minute), Part: PartSystem, What: Booted, Asserted: true})
	l.add(Event{Time: t.Add(50 * time.Hour), Part: PartLid, What: Intrusion, Asserted: true})
	l.add(Event{Time: t.Add(50*time.Hour + 7*time.Minute), Part: PartLid, What: Intrusion})
	l.add(Event{Time: t.Add(51 * time.Hour), Part: PartSystem, What: Booted, Asserted: true})
}

func (l *eventLog) add(e Event) {
	if l.quiet || l.off || l.hung && e.Part != PartLog && e.Part != PartHost {
		return
	}
	if len(l.entries) >= l.capacity {
		if !l.wraps {
			l.overflow = true
			return
		}
		l.entries = slices.Delete(l.entries, 0, len(l.entries)-l.capacity+1)
	}
	if l.nextID == 0 || l.nextID > 0xfffe { // FFFFh is no record ID
		l.nextID = 1
	}
	e.ID = l.nextID
	l.nextID++
	l.added = e.Time
	l.entries = append(l.entries, e)
}

func (l *eventLog) clear(at time.Time) {
	l.wipe(at)
	l.add(Event{Time: at, Part: PartLog, What: Cleared, Asserted: true})
}

func (l *eventLog) wipe(at time.Time) { l.entries, l.nextID, l.overflow, l.erased = nil, 1, false, at }

func (l *eventLog) all() []Event { return slices.Clone(l.entries) }

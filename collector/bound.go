package collector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"dewline/collector/detect"
	"dewline/health"
)

// Bounds of what one BMC can make us hold, visit after visit. A machine of ours has 1,500 parts in 40 places, and 10 logs.
const (
	maxPlaces     = health.MaxComponents
	maxCursors    = 256
	maxMemory     = 8 << 20 // bytes
	maxConditions = 64      // of one part
	maxArgs       = 64      // of one log entry
	maxRaw        = 16 << 10
	maxGaps       = 1000
)

// bound cuts a snapshot down to what is held of the target, whatever a BMC or a driver did, and says as gaps what it left
// out. Parts that are known stay: those that come new have the room that is left.
func bound(s *health.Snapshot, known *health.Known) {
	tidy(s)
	first := make(map[health.ComponentID]int, len(s.Components))
	room := health.MaxComponents - len(known.Components)
	left := map[health.ComponentID]bool{}
	kept := s.Components[:0]
	for _, c := range s.Components {
		i, again := first[c.ID]
		_, held := known.Components[c.ID]
		switch {
		case again:
			kept[i] = worse(kept[i], c)
			kept = append(kept, c) // for Sanitize, which says so
			continue
		case !held && room <= 0:
			left[c.ID] = true
			continue
		case !held:
			room--
		}
		first[c.ID] = len(kept)
		kept = append(kept, c)
	}
	clear(s.Components[len(kept):])
	s.Components = kept
	if len(left) > 0 {
		s.Readings = slices.DeleteFunc(s.Readings, func(r health.Reading) bool { return left[r.Component] })
		s.Gaps = append(s.Gaps, tooMuch("components past the first %d", health.MaxComponents, len(left)))
	}
	if len(s.Memory) > maxMemory {
		s.Gaps = append(s.Gaps, tooMuch("memory of the driver past %d bytes", maxMemory, len(s.Memory)))
		s.Memory = nil
	}
	boundCursors(s, known)
}

func tooMuch(what string, limit, n int) health.Gap {
	return health.Gap{Part: fmt.Sprintf(what, limit), Reason: health.ReasonTooLarge, Error: fmt.Sprintf("%d left out", n)}
}

// boundCursors leaves out cursors of logs past the bound: those are read from their beginning each time, and what they hold
// is recorded once all the same.
func boundCursors(s *health.Snapshot, known *health.Known) {
	room, out := maxCursors-len(known.Cursors), 0
	if len(s.NextCursors) <= room {
		return
	}
	next := health.Cursors{}
	for _, path := range slices.Sorted(maps.Keys(s.NextCursors)) {
		if _, held := known.Cursors[path]; !held {
			if room <= 0 {
				out++
				continue
			}
			room--
		}
		next[path] = s.NextCursors[path]
	}
	s.NextCursors = next
	if out > 0 {
		s.Gaps = append(s.Gaps, tooMuch("cursors of logs past the first %d", maxCursors, out))
	}
}

// worse is one part of two descriptions of it: which of them is right nobody knows, so that it is as bad as either says.
func worse(a, b health.Component) health.Component {
	switch {
	case b.StateNotRead:
		return a
	case a.StateNotRead:
		a.StateNotRead, a.State, a.Presence, a.Status = false, b.State, b.Presence, b.Status
	default:
		a.State = health.Worst(a.State, b.State)
	}
	a.Conditions = append(slices.Clip(a.Conditions), b.Conditions...)
	return a
}

// tidy makes every text valid UTF-8 of at most health.MaxText bytes.
func tidy(s *health.Snapshot) {
	for i := range s.Components {
		c := &s.Components[i]
		c.ID, c.Class = clip(c.ID), clip(c.Class)
		for _, t := range []*string{
			&c.Name, &c.Location, &c.Context, &c.Manufacturer, &c.Model, &c.Serial, &c.PartNumber, &c.Firmware, &c.Status, &c.Place,
		} {
			*t = clip(*t)
		}
		if len(c.Conditions) > maxConditions {
			// The bad ones first: what is left out asserts and clears nothing.
			cs := slices.Clone(c.Conditions)
			slices.SortStableFunc(cs, func(a, b health.Condition) int { return int(b.Severity) - int(a.Severity) })
			c.Conditions = cs[:maxConditions]
		}
		for k := range c.Conditions {
			c.Conditions[k].Evidence = clip(c.Conditions[k].Evidence)
		}
	}
	for i := range s.Readings {
		s.Readings[i].Component = clip(s.Readings[i].Component)
	}
	for i := range s.Scope {
		s.Scope[i] = clip(s.Scope[i])
	}
	tidyGaps(s)
	if id := s.Identity; id != nil {
		for _, t := range []*string{
			&id.Manufacturer, &id.Model, &id.Serial, &id.SKU, &id.UUID, &id.AssetTag, &id.HostName, &id.BIOS, &id.BMCModel, &id.BMCFirmware,
		} {
			*t = clip(*t)
		}
	}
	for i := range s.Logs {
		l := &s.Logs[i]
		l.ID, l.Name = clip(l.ID), clip(l.Name)
	}
	for i := range s.Log {
		e := &s.Log[i]
		for _, t := range []*string{&e.Source, &e.Generation, &e.ID, &e.Message, &e.MessageID, &e.Origin} {
			*t = clip(*t)
		}
		e.Component = clip(e.Component)
		e.Args = e.Args[:min(len(e.Args), maxArgs)]
		for k := range e.Args {
			e.Args[k] = clip(e.Args[k])
		}
		e.Raw = e.Raw[:min(len(e.Raw), maxRaw)]
	}
}

func tidyGaps(s *health.Snapshot) {
	for i := range s.Gaps {
		g := &s.Gaps[i]
		g.Part, g.Error, g.Place, g.Component = clip(g.Part), clip(g.Error), clip(g.Place), clip(g.Component)
	}
}

// boundGaps comes last: until then every gap keeps a part from being taken for gone.
func boundGaps(s *health.Snapshot) {
	if n := len(s.Gaps); n > maxGaps {
		s.Gaps = append(slices.Clip(s.Gaps[:maxGaps-1]), tooMuch("gaps past the first %d", maxGaps-1, n-maxGaps+1))
	}
}

// clip is s as valid UTF-8 of at most health.MaxText bytes, cut between characters.
func clip[T ~string](s T) T {
	if len(s) <= health.MaxText && utf8.ValidString(string(s)) {
		return s
	}
	v := strings.ToValidUTF8(string(s[:min(len(s), 2*health.MaxText)]), string(utf8.RuneError))
	if len(v) > health.MaxText {
		n := health.MaxText
		for !utf8.RuneStart(v[n]) {
			n--
		}
		v = v[:n]
	}
	return T(v)
}

// quench makes unknown what a host that is off leaves without power, whatever the service says: fans, rails, drives. BMCs also
// call such parts absent: whether they are there shows when the host is on again.
func quench(s *health.Snapshot, known *health.Known) {
	if !hostOff(s, known) {
		return
	}
	for i := range s.Components {
		if c := &s.Components[i]; detect.SleepsWithHost(c.Class) {
			c.State = health.Unknown
			if c.Presence == health.Absent {
				c.Presence = health.PresenceUnknown
			}
		}
	}
}

func hostOff(s *health.Snapshot, known *health.Known) bool {
	power := known.HostPower
	if s.Tiers.Has(health.TierReadings) {
		power = s.HostPower
	}
	return power == health.HostOff
}

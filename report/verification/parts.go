package verification

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"dewline/health"
	"dewline/report"
)

// How a part changed since the baseline.
const (
	changeNone     = "none"
	changeSwapped  = "swapped"
	changeMissing  = "missing"
	changeNew      = "new"
	changeFirmware = "firmware"
	changeUnread   = "unread"
	changeUnknown  = "unknown_before"
)

// lastState is how a part was met in the last hour that says, of the given hours.
type lastState struct {
	state  string // ok, warning, critical, unknown, absent, unread
	at     time.Time
	anyway bool // met at all, present
}

// statesIn is how each part stood: usual is the state it had most often, last that of the last hour that tells.
func statesIn(hours []*health.HourFacts) (usual map[health.ComponentID]string, last map[health.ComponentID]lastState) {
	usual, last = map[health.ComponentID]string{}, map[health.ComponentID]lastState{}
	sums := map[health.ComponentID]*health.HourPart{}
	for _, f := range hours {
		for _, p := range f.Parts {
			s := sums[p.Component]
			if s == nil {
				s = &health.HourPart{}
				sums[p.Component] = s
			}
			s.OK, s.Warning, s.Critical, s.Unknown, s.Absent = s.OK+p.OK, s.Warning+p.Warning, s.Critical+p.Critical, s.Unknown+p.Unknown, s.Absent+p.Absent
			met := p.OK+p.Warning+p.Critical+p.Unknown > 0
			st := ""
			switch {
			case p.Critical > 0:
				st = "critical"
			case p.Warning > 0:
				st = "warning"
			case p.OK > 0:
				st = "ok"
			case p.Absent > 0:
				st = "absent"
			case p.Unknown > 0:
				st = "unknown"
			default:
				continue // not read in this hour: the last word stands, with its time
			}
			last[p.Component] = lastState{st, f.At, met}
		}
	}
	for id, s := range sums {
		most, n := "unread", 0
		for _, k := range []struct {
			name string
			n    int
		}{{"critical", s.Critical}, {"warning", s.Warning}, {"ok", s.OK}, {"absent", s.Absent}, {"unknown", s.Unknown}} {
			if k.n > n {
				most, n = k.name, k.n
			}
		}
		usual[id] = most
	}
	return usual, last
}

// parts compares what was there before and is now.
func (h *history) parts(before, after []*health.HourFacts, since time.Time) []Part {
	usual, _ := statesIn(before)
	_, last := statesIn(after)
	measured := map[health.ComponentID]bool{} // of rollups: they have no states
	for _, f := range before {
		for i := range f.Series {
			measured[f.Series[i].Component] = measured[f.Series[i].Component] || !f.Whole
		}
	}
	ids := map[health.ComponentID]bool{}
	for id := range usual {
		ids[id] = true
	}
	for id := range last {
		ids[id] = true
	}
	var out []Part
	for id := range ids {
		c := h.part(id)
		p := Part{
			Component: id, Class: c.Class, Name: c.Name, Location: c.Location, Model: c.Model, Serial: c.Serial, Firmware: c.Firmware,
			Change: changeNone, Before: cmp.Or(usual[id], "unread"), Now: cmp.Or(last[id].state, "unread"),
		}
		was, wasKnown := h.before[id]
		now := h.now[id]
		wasPresent := wasKnown && (usual[id] != "" && usual[id] != "absent" && usual[id] != "unread" || usual[id] == "" && measured[id])
		switch {
		case !h.known:
			p.Change = changeUnknown
		case wasPresent && p.Now == "absent":
			p.Change = changeMissing
		case wasPresent && p.Now == "unread":
			p.Change = changeUnread
		case wasPresent && was.Serial != "" && now.Serial != "" && was.Serial != now.Serial:
			p.Change, p.Was = changeSwapped, was.Serial
		case wasPresent && was.Firmware != "" && now.Firmware != "" && was.Firmware != now.Firmware:
			p.Change, p.Was = changeFirmware, was.Firmware
		case wasKnown && !wasPresent && usual[id] != "absent":
			p.Change = changeUnknown // it was there once; the baseline does not tell
		case !wasPresent && p.Now != "absent" && p.Now != "unread" && isHardware(c.Class):
			p.Change = changeNew
		}
		for _, f := range h.faults {
			if f.Component != id || f.Opened.Before(since) {
				continue
			}
			p.Faults++
			// Its place was read whole, and it was not in it: that is absence. Not read is another thing, and so is a machine with fewer
			// parts than are expected (a fault with a subject).
			if f.Kind == health.KindAbsentRemoved && f.Subject == "" && !f.Closed() && (wasPresent || !h.known) {
				p.Change = changeMissing
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Component, b.Component))
	})
	return out
}

// isHardware is what a hand can put in.
func isHardware(c health.Class) bool {
	switch c {
	case health.ClassFan, health.ClassPSU, health.ClassDrive, health.ClassStorageController, health.ClassMemory, health.ClassCPU, health.ClassGPU,
		health.ClassPCIe, health.ClassNIC, health.ClassBattery, health.ClassPump:
		return true
	}
	return false
}

// maxRaw bounds what is shown of a log entry as the BMC gave it; the evidence has all of it.
const maxRaw = 400

// eventsSince are the events since the evidence, raw and decoded.
func (h *history) eventsSince(q *Request, evidence time.Time) []Event {
	raw := map[string]*health.LogEntry{}
	for i := range h.log {
		e := &h.log[i]
		raw[health.LogEventID(h.target.ID, e)] = e
	}
	open := map[string]bool{}
	for _, f := range h.faults {
		open[f.ID] = !f.Closed()
	}
	var out []Event
	for _, e := range h.events {
		if e.At.Before(evidence) {
			continue
		}
		x := Event{
			ID: e.ID, At: e.At, SourceTime: e.SourceTime, Component: e.Component, Class: e.Class, Kind: e.Kind, Severity: e.Severity, State: e.Transition,
			Message: e.Message, Source: e.Source, Rule: e.Rule, Fault: e.FaultID, Open: open[e.FaultID] && e.FaultID != "",
			Explained: q.explained(h.target.ID, e.ID, e.FaultID), From: e.From,
		}
		if l := raw[e.ID]; l != nil {
			x.Raw = rawText(l.Raw)
		}
		if !e.SourceTime.IsZero() {
			s := e.SourceTime.Sub(e.At).Seconds()
			x.Skew = &s
		}
		out = append(out, x)
	}
	return out
}

// rawText is bytes as a person can read them: text as text, all else in hex.
func rawText(b []byte) string {
	if utf8.Valid(b) && !slices.ContainsFunc(b, func(c byte) bool { return c < 0x20 && c != '\n' && c != '\r' && c != '\t' }) {
		s := string(b)
		if len(s) > maxRaw {
			n := maxRaw
			for n > 0 && s[n]&0xC0 == 0x80 {
				n--
			}
			s = s[:n] + "…"
		}
		return s
	}
	return hex.EncodeToString(b[:min(len(b), maxRaw/2)])
}

// drives compares wear, as the median of the first and last day that tell.
func (h *history) drives(before, after []*health.HourFacts, parts []Part) []Drive {
	value := func(hours []*health.HourFacts, id health.ComponentID, q health.Quantity) *float64 {
		for _, f := range slices.Backward(hours) {
			for i := range f.Series {
				if s := &f.Series[i]; s.Component == id && s.Quantity == q {
					v := s.Last
					return &v
				}
			}
		}
		return nil
	}
	out := []Drive{}
	for _, p := range parts {
		if p.Class != health.ClassDrive || p.Before == "absent" && p.Now == "absent" {
			continue
		}
		d := Drive{Component: p.Component, Name: p.Name, Serial: p.Serial}
		for _, x := range []struct {
			to *[2]*float64
			q  health.Quantity
		}{{&d.Life, health.LifeLeft}, {&d.MediaErrors, health.MediaErrors}, {&d.Spare, health.SpareLeft}} {
			x.to[0], x.to[1] = value(before, p.Component, x.q), value(after, p.Component, x.q)
		}
		d.Predicted = slices.ContainsFunc(h.faults, func(f health.Fault) bool {
			return f.Component == p.Component && f.Kind == health.KindPredictedFailure && !f.Closed()
		})
		out = append(out, d)
	}
	return out
}

// detectors says of each leak detector what it reported, hour by hour, from a moment on.
func (h *history) detectors(from, soakFrom, until time.Time) []Detector {
	type per struct{ hours map[time.Time]health.HourPart }
	all := map[health.ComponentID]*per{}
	for _, f := range h.within(from.UTC().Truncate(time.Hour), until) { // the hour of the first evidence too
		for _, p := range f.Parts {
			if p.Class != health.ClassLeakDetector {
				continue
			}
			if all[p.Component] == nil {
				all[p.Component] = &per{map[time.Time]health.HourPart{}}
			}
			all[p.Component].hours[f.At] = p
		}
	}
	rate, skipped := rateOf(h.hours), skippedIn(h.hours, from.UTC().Truncate(time.Hour), until)
	told := h.leaksTold(from, rate)
	out := []Detector{}
	for id, p := range all {
		c := h.part(id)
		d := Detector{Target: h.target.ID, Component: id, Name: c.Name, Location: c.Location, Dry: []Span{}, Wet: []Span{}, Lost: []Span{}}
		read, dry, of := 0, 0, 0
		for at := from.UTC().Truncate(time.Hour); at.Before(until); at = at.Add(time.Hour) {
			x := p.hours[at]
			known := x.OK + x.Warning + x.Critical
			due, done := h.account(at, h.hour(at), skipped, rate)
			if h.frozen[at] { // a BMC that repeats itself says nothing of the detector
				known = 0
			}
			whole := known > 0 && x.Unread+x.Unknown+x.Absent == 0 && done[c.Tier] >= due[c.Tier]
			switch {
			case x.Warning+x.Critical > 0, told[at][id], told[at][""]:
				extend(&d.Wet, at)
			case whole:
				extend(&d.Dry, at)
			default:
				extend(&d.Lost, at)
			}
			if !soakFrom.IsZero() && !at.Before(soakFrom) {
				of += max(due[c.Tier], known)
				read += known
				if known > 0 {
					dry += x.OK
				}
			}
		}
		faulty := slices.ContainsFunc(h.faults, func(f health.Fault) bool {
			return f.Component == id && f.Kind == health.KindDetectorFault && (!f.Closed() || !soakFrom.IsZero() && f.Cleared.After(soakFrom))
		})
		d.Working = of > 0 && share(read, of) >= minDetector && !faulty
		d.witness = d.Working && share(dry, of) >= minDetector
		if faulty { // a detector that is at fault says nothing that can be relied on
			d.Dry = slices.DeleteFunc(d.Dry, func(s Span) bool {
				return slices.ContainsFunc(h.faults, func(f health.Fault) bool {
					return f.Component == id && f.Kind == health.KindDetectorFault && f.Opened.Before(s.To) && (!f.Closed() || f.Cleared.After(s.From))
				})
			})
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Detector) int { return cmp.Compare(a.Component, b.Component) })
	return out
}

// leaksTold are the hours of which a log tells of a leak, and its detector; "" for one that is no detector known here. A log tells of
// what came and went between two visits: it lay in the hours since the visit before.
func (h *history) leaksTold(from time.Time, rate tierRates) map[time.Time]map[health.ComponentID]bool {
	between := time.Hour
	if r := rate[health.TierEvents]; r >= 1 {
		between = time.Duration(float64(time.Hour) / r)
	}
	out := map[time.Time]map[health.ComponentID]bool{}
	for _, e := range h.events {
		if e.Source == "poll" || e.Kind != health.KindLeakDetected || e.Transition == health.Cleared || e.At.Before(from) {
			continue // what was read of the detector itself is counted by the hour
		}
		id := e.Component
		if h.part(id).Class != health.ClassLeakDetector {
			id = ""
		}
		for at := e.At.Add(-between).UTC().Truncate(time.Hour); at.Before(e.At); at = at.Add(time.Hour) {
			if out[at] == nil {
				out[at] = map[health.ComponentID]bool{}
			}
			out[at][id] = true
		}
	}
	return out
}

func extend(spans *[]Span, at time.Time) {
	if n := len(*spans); n > 0 && (*spans)[n-1].To.Equal(at) {
		(*spans)[n-1].To = at.Add(time.Hour)
		return
	}
	*spans = append(*spans, Span{at, at.Add(time.Hour)})
}

// moisture is how the quantities of air stood since the evidence.
func (h *history) moisture(since time.Time) ([]MoistureRange, charts) {
	var c charts
	by := map[seriesKey]*MoistureRange{}
	lines := map[seriesKey][]hourValue{}
	for _, f := range h.hours {
		for i := range f.Series {
			s := &f.Series[i]
			inlet := s.Quantity == health.Temperature && report.IsInlet(h.part(s.Component).Component)
			switch s.Quantity {
			case health.RelativeHumidity, health.AbsoluteHumidity, health.DewPoint, health.CondensationMargin:
			default:
				if !inlet {
					continue
				}
			}
			k := keyOf(s)
			v := s.Median
			if s.Quantity == health.CondensationMargin {
				v = s.Min // the closest it came
			}
			lines[k] = append(lines[k], hourValue{f.At, v})
			if f.At.Before(since.UTC().Truncate(time.Hour)) || inlet {
				continue
			}
			r := by[k]
			if r == nil {
				r = &MoistureRange{Component: s.Component, Name: h.part(s.Component).Name, Quantity: s.Quantity, Unit: s.Unit, Derived: s.Derived, Min: s.Min, Max: s.Max}
				by[k] = r
			}
			r.Hours++
			r.Min, r.Max, r.Last, r.LastAt = min(r.Min, s.Min), max(r.Max, s.Max), s.Last, f.At
		}
	}
	out := []MoistureRange{}
	for _, r := range by {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b MoistureRange) int {
		return cmp.Or(cmp.Compare(a.Quantity, b.Quantity), cmp.Compare(a.Component, b.Component))
	})
	keys := make([]seriesKey, 0, len(lines))
	for k := range lines {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b seriesKey) int {
		return cmp.Or(cmp.Compare(a.component, b.component), cmp.Compare(a.quantity, b.quantity), cmp.Compare(a.unit, b.unit), cmp.Compare(strconv.FormatBool(a.derived), strconv.FormatBool(b.derived)))
	})
	for _, k := range keys {
		p := pointsOf{k.component, cmp.Or(h.part(k.component).Name, string(k.component)), k.unit, lines[k]}
		switch k.quantity {
		case health.CondensationMargin:
			c.margin = append(c.margin, p)
		case health.RelativeHumidity:
			c.humidity = append(c.humidity, p)
		case health.Temperature:
			c.inlet = append(c.inlet, p)
		}
	}
	return out, c
}

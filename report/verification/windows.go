package verification

import (
	"cmp"
	"slices"
	"time"

	"dewline/health"
	"dewline/report"
)

// seriesKey names a series of one server.
type seriesKey struct {
	component health.ComponentID
	quantity  health.Quantity
	unit      health.Unit
	derived   bool
}

func keyOf(s *health.HourSeries) seriesKey {
	return seriesKey{s.Component, s.Quantity, s.Unit, s.Derived}
}

func find(f *health.HourFacts, k seriesKey) *health.HourSeries {
	for i := range f.Series {
		if keyOf(&f.Series[i]) == k {
			return &f.Series[i]
		}
	}
	return nil
}

// hourKind is how an hour counts.
type hourKind uint8

const (
	hourUnread hourKind = iota
	hourCounted
	hourOff     // the host was off in it
	hourIdle    // under half the baseline's power
	hourUnknown // host power, or the power drawn, is not known
	hourFrozen  // every sensor that varies stood still
)

// windows places a server's windows. The evidence is that of the incident.
func (h *history) windows(q *Request, evidence time.Time) (Windows, map[time.Time]hourKind) {
	w := Windows{BaselineFrom: h.baseFrom, BaselineTo: h.base, SoakPlanned: q.Soak.Hours(), Restored: "not_restored"}
	base := h.within(w.BaselineFrom, w.BaselineTo)
	var draws []float64
	power, hasPower := mainPower(base)
	for _, f := range base {
		if len(f.Series)+len(f.Parts) > 0 {
			w.Hours++
		}
		if s := find(f, power); hasPower && s != nil && hostOn(f) {
			draws = append(draws, s.Median)
		}
	}
	if len(draws) > 0 {
		m := report.Median(draws)
		w.PowerMedian = &m
	}

	// The outage: the first time after the evidence that the host was seen off, until it was on again; else that nothing answered. A network
	// that fails with the water is silence too, and the hours after it, before the power was taken away, are no soak.
	after := h.within(evidence.UTC().Truncate(time.Hour), h.until)
	down := func(f *health.HourFacts) bool {
		if powerTold(f) {
			return f.Power.Off > 0 || f.Power.On == 0
		}
		return f.Power.Off > 0 || !answered(f)
	}
	from, to, off := -1, -1, false
	for i := 0; i < len(after) && !off && after[i].At.Before(q.Incident.Add(lookBack)); i++ {
		if !down(after[i]) {
			continue
		}
		first := i
		for ; i < len(after) && down(after[i]); i++ {
			off = off || after[i].Power.Off > 0
		}
		if from < 0 || off {
			from, to = first, i
		}
	}
	switch {
	case len(after) == 0:
	case from < 0:
		w.Restored, w.SoakFrom = "never_off", upHour(q.Incident)
	default:
		w.OutageFrom = maxTime(after[from].At, evidence)
		if to < len(after) {
			w.Restored, w.OutageTo = "observed", after[to].At
			w.SoakFrom = w.OutageTo
		}
	}
	if !q.PowerRestored.IsZero() {
		w.Restored, w.SoakFrom = "attested", upHour(q.PowerRestored)
		if !w.OutageFrom.IsZero() {
			w.OutageTo = q.PowerRestored
		}
	}
	if w.SoakFrom.IsZero() {
		return w, nil
	}
	w.SoakTo = h.until
	// The soak begins anew after the last critical fault or leak in it: after it came, and after it went.
	restart := func(at time.Time) {
		if again := upHour(at); !at.Before(w.SoakFrom) && again.After(w.SoakFrom) && again.After(w.Restarted) {
			w.Restarted = again
		}
	}
	for _, e := range h.events {
		if worrying(&e) && !q.explained(h.target.ID, e.ID, e.FaultID) {
			restart(e.At)
		}
	}
	for _, f := range h.faults {
		leak := f.Kind == health.KindLeakDetected // whenever it came: an hour with liquid reported is none of the soak
		if f.Closed() && (leak || f.Severity == health.SeverityCritical && !f.Opened.Before(h.base)) && !h.explainedFault(q, &f) {
			restart(f.Cleared)
		}
	}
	kinds := map[time.Time]hourKind{}
	for _, f := range h.within(w.SoakFrom, w.SoakTo) {
		k := h.kindOf(f, power, hasPower, w.PowerMedian)
		kinds[f.At] = k
		if f.At.Before(w.Restarted) {
			continue
		}
		switch k {
		case hourCounted:
			w.SoakCounted++
		case hourOff:
			w.SoakOff++
		case hourIdle:
			w.SoakIdle++
		case hourUnknown:
			w.SoakUnknown++
		}
	}
	return w, kinds
}

// explainedFault tells whether an attestation explains a fault, or an event of it.
func (h *history) explainedFault(q *Request, f *health.Fault) bool {
	return q.explained(h.target.ID, f.ID) || slices.ContainsFunc(h.events, func(e health.Event) bool {
		return e.FaultID == f.ID && q.explained(h.target.ID, e.ID)
	})
}

// powerTold tells whether an hour's source says if the host was on: rollups do not, nor what earlier versions wrote to InfluxDB.
func powerTold(f *health.HourFacts) bool {
	return f.Whole && !(f.Source.Elsewhere() && f.Power.On+f.Power.Off == 0 && f.Power.Unknown > 0)
}

// hostOn tells whether the host was on all through an hour, or the hour's source does not say that it was not.
func hostOn(f *health.HourFacts) bool { return f.Power.Off == 0 && (f.Power.On > 0 || !powerTold(f)) }

// answered tells whether a visit read anything in an hour.
func answered(f *health.HourFacts) bool {
	return slices.ContainsFunc(f.Ticks, func(t health.TickCount) bool { return t.Tier == health.TierReadings && t.Done+t.Late > 0 })
}

// worrying is an event after which a soak begins anew.
func worrying(e *health.Event) bool {
	// A momentary event of a fault is more evidence of it, not another.
	up := e.Transition == health.Asserted || e.Transition == health.Escalated || e.Transition == health.Momentary && e.FaultID == ""
	return up && (e.Severity == health.SeverityCritical || e.Kind == health.KindLeakDetected)
}

func (h *history) kindOf(f *health.HourFacts, power seriesKey, hasPower bool, baseline *float64) hourKind {
	switch {
	case f.Power.Off > 0:
		return hourOff
	case f.Power.On == 0:
		if !powerTold(f) && len(f.Series) > 0 {
			return hourUnknown
		}
		return hourUnread
	case h.frozen[f.At]:
		return hourFrozen
	case baseline == nil:
		return hourCounted // no meter: the host's word alone; the report says so
	}
	s := find(f, power)
	switch {
	case !hasPower || s == nil:
		return hourUnknown
	case s.Median < minPower**baseline:
		return hourIdle
	}
	return hourCounted
}

// mainPower is the series that measures what the whole machine draws: the largest one.
func mainPower(hours []*health.HourFacts) (seriesKey, bool) {
	sums := map[seriesKey][]float64{}
	for _, f := range hours {
		for i := range f.Series {
			s := &f.Series[i]
			if (s.Quantity == health.Power || s.Quantity == health.InputPower) && s.Unit == health.Watt && f.Power.Off == 0 {
				sums[keyOf(s)] = append(sums[keyOf(s)], s.Median)
			}
		}
	}
	var best seriesKey
	greatest, found := 0.0, false
	for k, v := range sums {
		if m := report.Median(v); m > greatest || m == greatest && found && k.component < best.component {
			best, greatest, found = k, m, true
		}
	}
	return best, found && greatest > 0
}

func maxTime(a, b time.Time) time.Time {
	if cmp.Compare(a.UnixNano(), b.UnixNano()) >= 0 {
		return a
	}
	return b
}

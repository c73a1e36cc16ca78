package verification

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"dewline/health"
	"dewline/report"
)

// conclude draws what concerns several servers, and the verdicts.
func (out *Report) conclude(q *Request) {
	detectorsIn := map[string]bool{} // by rack
	for _, s := range out.Servers {
		for _, d := range s.Detectors {
			if d.witness && s.Rack != "" {
				detectorsIn[s.Site+"\x00"+s.Rack] = true
			}
		}
	}
	en, err := report.TextsIn(report.Reference)
	if err != nil {
		panic("verification: " + err.Error()) // it is embedded
	}
	out.Verdict = Verified
	hours := math.Inf(1)
	for i := range out.Servers {
		s := &out.Servers[i]
		own := slices.ContainsFunc(s.Detectors, func(d Detector) bool { return d.witness })
		if !own && !(s.Rack != "" && detectorsIn[s.Site+"\x00"+s.Rack]) {
			s.Reasons = append(s.Reasons, Reason{Gate: "no_detector", Limit: gate("no_detector").Limit, Window: "soak", Key: "reason.no_detector"})
		}
		slices.SortStableFunc(s.Reasons, func(a, b Reason) int { return cmp.Compare(b.Limit.rank(), a.Limit.rank()) })
		for k := range s.Reasons {
			r := &s.Reasons[k]
			r.Detail = en.Say(r.Key, r.Args...)
		}
		s.Verdict = judge(s.Reasons)
		soaked := time.Duration(s.Windows.SoakCounted * float64(time.Hour))
		if s.Verdict == Verified || s.Verdict == Observations {
			s.Stage = Final
			// If all hours count from now on: those that did not have moved the date.
			if soaked < StandardWatch {
				s.Stage, s.WatchUntil = Initial, s.Windows.SoakTo.Add(StandardWatch-soaked)
			} else if soaked < ExtendedWatch {
				s.WatchUntil = s.Windows.SoakTo.Add(ExtendedWatch - soaked)
			}
		}
		if s.Verdict.rank() > out.Verdict.rank() {
			out.Verdict = s.Verdict
		}
		out.SoakLeft = max(out.SoakLeft, s.Windows.SoakPlanned-s.Windows.SoakCounted)
		hours = min(hours, s.Windows.SoakCounted)
		out.Statistics.ServerYears += s.Windows.SoakCounted / (24 * 365.25)
		for _, d := range s.Deviations {
			out.Statistics.Compared++
			switch d.Result {
			case "unchanged":
				out.Statistics.Unchanged++
			case "changed":
				out.Statistics.Changed++
			default:
				out.Statistics.NotShown++
			}
		}
	}
	out.Statistics.Servers = len(out.Servers)
	if out.Statistics.ServerYears > 0 {
		out.Statistics.UpperBound = 3 / out.Statistics.ServerYears
	}
	if out.Verdict == Verified || out.Verdict == Observations {
		out.Stage = Final
		if slices.ContainsFunc(out.Servers, func(s Server) bool { return s.Stage == Initial }) {
			out.Stage = Initial
		}
		for _, s := range out.Servers { // of those that are as far as the whole
			if s.Stage == out.Stage && s.WatchUntil.After(out.WatchUntil) {
				out.WatchUntil = s.WatchUntil
			}
		}
	}
}

// controlSet is what servers that the incident spared did between the same windows: for each sensor, how much it changed there.
type controlSet struct {
	diffs map[string][]float64 // by component and quantity
}

// maxControls bounds the servers that are compared with: more say no more.
const maxControls = 12

func controlsOf(ctx context.Context, r report.Reader, q *Request, byName map[health.TargetID]health.Target, baseFrom, baseTo, until, now time.Time) (*controlSet, error) {
	c := &controlSet{map[string][]float64{}}
	for _, id := range q.Controls[:min(len(q.Controls), maxControls)] {
		h, err := read(ctx, r, byName[id], baseFrom, baseTo, until, now)
		if err != nil {
			return nil, err
		}
		from := cmp.Or(q.PowerRestored, q.Incident)
		running := func(hours []*health.HourFacts) []*health.HourFacts {
			return slices.DeleteFunc(slices.Clone(hours), func(f *health.HourFacts) bool { return !hostOn(f) })
		}
		for _, d := range h.deviations(running(h.within(baseFrom, baseTo)), running(h.within(upHour(from), until))) {
			if d.NAfter >= minHoursCompared && d.NBefore >= minHoursCompared {
				k := string(d.Component) + "\x00" + string(d.Quantity)
				c.diffs[k] = append(c.diffs[k], d.Difference)
			}
		}
	}
	return c, nil
}

// compare puts the controls' change beside each server's own.
func (c *controlSet) compare(ds []Deviation) {
	for i := range ds {
		if v := c.diffs[string(ds[i].Component)+"\x00"+string(ds[i].Quantity)]; len(v) > 0 {
			m := report.Median(v)
			ds[i].Control = &m
		}
	}
}

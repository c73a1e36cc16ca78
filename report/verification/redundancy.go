package verification

import (
	"dewline/health"
	"dewline/report"
)

// Redundancy is how many of the parts that stand in for each other a server had and has.
type Redundancy struct {
	Class    health.Class `json:"class"` // psu, fan
	Expected *int         `json:"expected,omitempty"`
	Before   int          `json:"present_before"`
	BeforeOK int          `json:"ok_before"`
	Now      int          `json:"present_now"`
	NowOK    int          `json:"ok_now"`
	Unread   int          `json:"not_read_now"` // of which nothing is known
	Lost     []string     `json:"open_faults"`  // of redundancy: lost or degraded
	Came     int          `json:"faults_since"` // of redundancy, since the first evidence, open or not
}

// redundancy counts power supplies and fans before and after.
func (h *history) redundancy(s *Server) []Redundancy {
	out := []Redundancy{}
	for _, class := range []health.Class{health.ClassPSU, health.ClassFan} {
		r := Redundancy{Class: class, Lost: []string{}}
		if class == health.ClassPSU {
			r.Expected = h.target.Expect.PSUs
		} else {
			r.Expected = h.target.Expect.Fans
		}
		for _, p := range s.Parts {
			if p.Class != class {
				continue
			}
			present := func(state string) int {
				if state == "absent" || state == "unread" || state == "" {
					return 0
				}
				return 1
			}
			r.Before, r.Now = r.Before+present(p.Before), r.Now+present(p.Now)
			switch {
			case p.Now == "ok":
				r.NowOK++
			case p.Now == "unread" || p.Now == "unknown":
				r.Unread++
			}
			if p.Before == "ok" {
				r.BeforeOK++
			}
		}
		for _, f := range h.faults {
			if f.Kind != health.KindRedundancyLost && f.Kind != health.KindRedundancyDegraded || redundancyOf(&f) != class {
				continue
			}
			if !f.Closed() {
				r.Lost = append(r.Lost, f.Message)
			}
			if !f.Opened.Before(s.evidence) {
				r.Came++
			}
		}
		if r.Before+r.Now+r.Unread+len(r.Lost)+r.Came > 0 || r.Expected != nil {
			out = append(out, r)
		}
	}
	return out
}

// redundancyOf is what a fault of redundancy concerns: fans if it says so, else power.
func redundancyOf(f *health.Fault) health.Class {
	switch f.Class {
	case health.ClassFan, health.ClassPSU:
		return f.Class
	case health.ClassPowerUnit:
		return health.ClassPSU
	}
	return ""
}

func (w writer) redundancy() report.Section {
	table := report.Table{ID: "redundancy", Columns: []report.Column{
		{Key: "server", Title: w.Say("col.server")}, {Key: "class", Title: w.Say("col.class")}, {Key: "expected", Title: w.Say("col.expected"), Right: true},
		{Key: "ok_before", Title: w.Say("col.ok_before"), Right: true}, {Key: "present_before", Title: w.Say("col.present_before"), Right: true},
		{Key: "ok_now", Title: w.Say("col.ok_now"), Right: true}, {Key: "present_now", Title: w.Say("col.present_now"), Right: true}, {Key: "unknown_now", Title: w.Say("col.unknown_now"), Right: true},
		{Key: "faults_since", Title: w.Say("col.redundancy_faults"), Right: true}, {Key: "open", Title: w.Say("col.redundancy_open"), Width: 2.5},
	}, Note: w.Say("redundancy.note")}
	for _, s := range w.r.Servers {
		for _, r := range s.Redundancy {
			expected := report.None()
			if r.Expected != nil {
				expected = report.Count(*r.Expected)
			}
			ok := report.Count(r.NowOK)
			if r.NowOK < r.BeforeOK {
				ok.Tone = report.Notice
			}
			open := report.Cell{Text: w.Say("none"), Value: ""}
			if len(r.Lost) > 0 {
				open = report.Cell{Text: joined(r.Lost), Tone: report.Bad}
			}
			table.Rows = append(table.Rows, []report.Cell{
				report.Text(string(s.Target)), report.Text(string(r.Class)), expected, report.Count(r.BeforeOK), report.Count(r.Before), ok, report.Count(r.Now), report.Count(r.Unread), report.Count(r.Came), open,
			})
		}
	}
	if len(table.Rows) == 0 {
		return w.section("redundancy", false, report.Paragraph{Text: w.Say("redundancy.untold"), Tone: report.Faint})
	}
	return w.section("redundancy", false, table)
}

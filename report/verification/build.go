package verification

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dewline/health"
	"dewline/report"
)

// maxAtOnce is how many servers' histories are held at once.
const maxAtOnce = 4

// Build makes the report. The reader is asked from several goroutines.
func Build(ctx context.Context, r report.Reader, q Request) (*Report, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	if q.Until.IsZero() || q.Until.After(q.GeneratedAt) {
		q.Until = q.GeneratedAt
	}
	until := q.Until.UTC().Truncate(time.Hour) // whole hours only: what is under way cannot be counted
	targets, err := r.Targets(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[health.TargetID]health.Target{}
	for _, t := range targets {
		byName[t.ID] = t
	}
	evidence, what, err := firstEvidence(ctx, r, &q)
	if err != nil {
		return nil, err
	}
	out := &Report{
		Version: 1, Kind: "verification", Title: q.Title, Reference: q.Reference, GeneratedAt: q.GeneratedAt, Program: q.Program, ConfigSum: q.ConfigSum,
		MadeBy: q.MadeBy, Source: r.Source(), Gates: Gates, Servers: []Server{}, Controls: []string{}, Attestations: q.Attestations,
		Incident: Incident{ID: q.IncidentID, Reported: q.Incident, FirstEvidence: evidence, Evidence: what, PowerRestored: q.PowerRestored},
		Chain:    Chain{q.ChainHead, q.ChainLength, q.ChainBroken}, Limits: Unseen,
	}
	out.Attestations = append([]Attestation{}, out.Attestations...)
	for i := range out.Attestations { // JSON has no null for an array
		out.Attestations[i].Targets = append([]health.TargetID{}, out.Attestations[i].Targets...)
	}
	baseTo := evidence.Add(-beforeEvidence).UTC().Truncate(time.Hour)
	baseFrom := baseTo.Add(-q.Baseline)

	controls, err := controlsOf(ctx, r, &q, byName, baseFrom, baseTo, until, q.Until)
	if err != nil {
		return nil, err
	}
	for _, id := range q.Controls {
		out.Controls = append(out.Controls, string(id))
	}
	// A few at once: what a fleet takes in memory is what its reports hold, and the histories of so many.
	out.Servers = make([]Server, len(q.Targets))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), maxAtOnce))
	for i, id := range q.Targets {
		t, ok := byName[id]
		if !ok {
			t = health.Target{ID: id}
		}
		out.Simulated = out.Simulated || t.Origin != health.OriginReal
		g.Go(func() error {
			h, err := read(gctx, r, t, baseFrom, baseTo, until, q.Until)
			if err == nil {
				out.Servers[i] = *h.server(&q, evidence, controls)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i := range out.Servers {
		out.Elsewhere = cmp.Or(out.Elsewhere, out.Servers[i].elsewhere)
	}
	if o, ok := r.(report.Other); ok {
		_, out.Unasked = o.Other()
	}
	out.Entries = q.entries(evidence, out.Servers)
	out.conclude(&q)
	return out, nil
}

func (q *Request) check() error {
	switch {
	case len(q.Targets) == 0:
		return errors.New("no server to report on")
	case q.Incident.IsZero() || q.GeneratedAt.IsZero():
		return errors.New("the time of the incident, or of the report, is missing")
	case q.Incident.After(q.GeneratedAt):
		return fmt.Errorf("the incident, %s, lies after the report, %s", q.Incident.Format(time.RFC3339), q.GeneratedAt.Format(time.RFC3339))
	case !q.PowerRestored.IsZero() && (q.PowerRestored.Before(q.Incident) || q.PowerRestored.After(q.GeneratedAt)):
		return fmt.Errorf("power restored at %s does not lie between the incident and the report", q.PowerRestored.Format(time.RFC3339))
	case q.Baseline < 0 || q.Soak <= 0:
		return errors.New("baseline and soak are lengths of time")
	}
	return nil
}

// Unseen are what no BMC can see: keys of texts "limit.…".
var Unseen = []string{"residue", "insulation", "connectors", "boards", "cabling", "building", "data", "statistics"}

// reasons collects why a verdict is no better.
type reasons struct{ list []Reason }

// add notes a reason. Key is that of its text in the catalogue; English is it in the reference language.
func (rs *reasons) add(gateID, window, key string, args ...any) {
	rs.list = append(rs.list, Reason{Gate: gateID, Limit: gate(gateID).Limit, Window: window, Key: key, Args: args})
}

// server judges one server.
func (h *history) server(q *Request, evidence time.Time, controls *controlSet) *Server {
	base := h.within(h.baseFrom, h.base)
	w, kinds := h.windows(q, evidence)
	s := &Server{
		Target: h.target.ID, Site: h.target.Site, Rack: h.target.Rack, Position: h.target.Position, Windows: w, Identity: Identity{h.known, h.wasID, h.isID}, evidence: evidence,
		acted: h.actedOn(q), elsewhere: h.elsewhere,
	}
	var rs reasons
	hasBaseline := w.Hours >= minBaseline

	soakFrom := maxTime(w.SoakFrom, w.Restarted)
	soak := h.within(soakFrom, w.SoakTo)
	counted := slices.DeleteFunc(slices.Clone(soak), func(f *health.HourFacts) bool { return kinds[f.At] != hourCounted })
	on := hostOn

	// Coverage.
	rate := rateOf(h.hours)
	exp := h.expectedOf(base)
	if !hasBaseline {
		exp = h.expectedOf(soak)
	}
	if hasBaseline {
		s.Coverage = append(s.Coverage, h.coverage("baseline", w.BaselineFrom, w.BaselineTo, on, exp, rate))
	}
	s.Coverage = append(s.Coverage, h.coverage("soak", soakFrom, w.SoakTo, func(f *health.HourFacts) bool {
		k := kinds[f.At]
		return k == hourCounted || k == hourUnread || k == hourFrozen || k == hourUnknown
	}, exp, rate))
	for _, c := range s.Coverage {
		if c.Due == 0 && c.Window == "soak" {
			continue // no data: said below
		}
		if c.Share < minVisits {
			rs.add("visits", c.Window, "reason.visits", c.Done, c.Due, report.Percent(c.Share), c.Longest)
		}
		if n := len(c.Worst); n > 0 {
			rs.add("parts", c.Window, "reason.parts", n, c.Tracked, h.label(c.Worst[0].Component), report.Percent(c.Worst[0].Share))
		}
		if c.Frozen > 0 {
			rs.add("parts", c.Window, "reason.frozen", c.Frozen)
		}
	}

	// The soak.
	switch {
	case w.SoakFrom.IsZero():
		rs.add("no_data", "soak", "reason.not_restored")
	case !w.Restarted.IsZero() && !w.Restarted.Before(w.SoakTo): // it has not begun yet: said below
	case len(soak) == 0 || !slices.ContainsFunc(soak, func(f *health.HourFacts) bool { return len(f.Series)+len(f.Parts) > 0 }):
		rs.add("no_data", "soak", "reason.no_data")
	}
	if left := w.SoakPlanned - w.SoakCounted; left > 0 {
		rs.add("soak", "soak", "reason.soak", w.SoakCounted, w.SoakPlanned, left)
	}
	if !w.Restarted.IsZero() {
		id := "observed"
		if w.SoakCounted < w.SoakPlanned {
			id = "soak_fault"
		}
		rs.add(id, "soak", "reason.restarted", report.Stamp(w.Restarted))
	}
	if w.PowerMedian == nil && hasBaseline {
		rs.add("observed", "soak", "reason.no_meter")
	}
	if hasBaseline && w.SoakIdle > 0 {
		rs.add("observed", "soak", "reason.idle", w.SoakIdle)
	}

	// The baseline.
	expects := h.target.Expect
	if !hasBaseline {
		rs.add("no_baseline", "baseline", "reason.no_baseline", w.Hours, minBaseline)
		if expects.Fans == nil && expects.PSUs == nil && expects.Drives == nil {
			rs.add("no_baseline_expect", "baseline", "reason.no_expect")
		}
	}

	// What arose since the baseline ended, or would have: water precedes notice.
	since := evidence.Add(-beforeEvidence).UTC().Truncate(time.Hour)

	// Parts.
	after := slices.Concat(h.within(maxTime(evidence, w.SoakFrom).UTC().Truncate(time.Hour), h.until), h.begun)
	s.Parts = h.parts(base, after, since)
	h.judgeParts(&rs, q, s.Parts)
	h.judgeExpect(&rs, slices.Concat(soak, h.begun))

	// Events, logs, faults.
	s.Events = h.eventsSince(q, evidence)
	h.judgeFaults(&rs, q, since)
	h.judgeLogs(&rs)

	// Readings.
	if hasBaseline && len(counted) > 0 {
		s.Deviations = h.deviations(slices.DeleteFunc(slices.Clone(base), func(f *health.HourFacts) bool { return !on(f) }), counted)
		controls.compare(s.Deviations)
		for _, d := range s.Deviations {
			if d.Result == "changed" {
				rs.add("observed", "soak", "reason.deviation", h.label(d.Component), string(d.Quantity), report.Digits(d.Difference), string(d.Unit))
			}
		}
	}
	if s.Deviations == nil {
		s.Deviations = []Deviation{}
	}
	s.Drives = h.drives(base, after, s.Parts)
	for _, d := range s.Drives {
		if b, n := d.MediaErrors[0], d.MediaErrors[1]; b != nil && n != nil && *n > *b {
			rs.add("observed", "soak", "reason.media_errors", h.label(d.Component), *b, *n)
		}
	}

	s.Redundancy = h.redundancy(s)

	// Moisture.
	s.Detectors = h.detectors(evidence, soakFrom, h.until)
	s.Moisture, s.Charts = h.moisture(evidence)
	s.Hours = h.strip(kinds)

	// What people must do.
	if !q.attested("drying", h.target.ID, evidence) {
		rs.add("drying", "", "reason.drying")
	}
	if !q.attested("inspection", h.target.ID, evidence) {
		rs.add("inspection", "", "reason.inspection")
	}
	if q.ChainBroken != "" {
		rs.add("chain", "", "reason.chain", q.ChainBroken)
	}
	if h.elsewhere != "" {
		in := func(hours []*health.HourFacts) (n int) {
			for _, f := range hours {
				if f.Source.Elsewhere() {
					n++
				}
			}
			return n
		}
		rs.add("other_source", "", "reason.other_source", h.elsewhere, in(base), len(base), in(soak), len(soak))
	}
	s.Reasons = rs.list
	return s
}

// judgeParts looks for what is missing, exchanged or not read.
func (h *history) judgeParts(rs *reasons, q *Request, parts []Part) {
	for _, p := range parts {
		explained := slices.ContainsFunc(h.events, func(e health.Event) bool {
			return e.Component == p.Component && q.explained(h.target.ID, e.ID, e.FaultID)
		})
		switch p.Change {
		case changeMissing:
			id := "part_missing"
			if explained {
				id = "observed"
			}
			rs.add(id, "soak", "reason.missing", h.label(p.Component))
		case changeUnread:
			rs.add("expected", "soak", "reason.unread", h.label(p.Component))
		case changeSwapped:
			rs.add("observed", "soak", "reason.swapped", h.label(p.Component), p.Was, p.Serial)
		case changeNew:
			rs.add("observed", "soak", "reason.new", h.label(p.Component))
		case changeFirmware:
			rs.add("observed", "soak", "reason.firmware", h.label(p.Component), p.Was, p.Firmware)
		case changeNone:
			if slices.Contains([]string{"ok", "warning", "critical"}, p.Before) && p.Now == "unknown" && p.Class != health.ClassLeakDetector { // which has a gate of its own
				rs.add("expected", "soak", "reason.now_unknown", h.label(p.Component))
			}
		}
	}
	if h.known && h.wasID.BMCFirmware != "" && h.isID.BMCFirmware != "" && h.wasID.BMCFirmware != h.isID.BMCFirmware {
		rs.add("observed", "", "reason.bmc_firmware", h.wasID.BMCFirmware, h.isID.BMCFirmware)
	}
	if h.known && h.wasID.Serial != "" && h.isID.Serial != "" && h.wasID.Serial != h.isID.Serial {
		rs.add("part_missing", "", "reason.other_machine", h.wasID.Serial, h.isID.Serial)
	}
}

// judgeExpect counts parts against what the configuration says there should be.
func (h *history) judgeExpect(rs *reasons, soak []*health.HourFacts) {
	_, last := statesIn(soak)
	present := map[health.Class]int{}
	there := map[health.Class][]health.Component{}
	for id, l := range last {
		if l.anyway {
			c := h.part(id).Component
			c.State = health.Unknown
			if l.state == "ok" || l.state == "warning" || l.state == "critical" {
				c.State = health.OK
			}
			there[c.Class] = append(there[c.Class], c)
		}
	}
	for class, cs := range there {
		for i := range cs {
			if !slices.ContainsFunc(cs, func(o health.Component) bool { return cs[i].Shadows(&o) }) {
				present[class]++
			}
		}
	}
	for _, x := range []struct {
		class health.Class
		want  *int
	}{{health.ClassFan, h.target.Expect.Fans}, {health.ClassPSU, h.target.Expect.PSUs}, {health.ClassDrive, h.target.Expect.Drives}} {
		if x.want != nil && present[x.class] < *x.want {
			rs.add("expected", "soak", "reason.expect", string(x.class), present[x.class], *x.want)
		}
	}
}

func (h *history) judgeLogs(rs *reasons) {
	seen := map[string]bool{}
	say := func(message string, at time.Time) {
		if !seen[message] {
			seen[message] = true
			rs.add("log", "", "reason.log", message, report.Stamp(at))
		}
	}
	// Of the log itself: what stands in it is another matter.
	bad := func(k health.Kind, rule string) bool {
		return k == health.KindLogCleared || k == health.KindLogFull || rule == "log_state"
	}
	for _, e := range h.events {
		if e.Transition != health.Cleared && bad(e.Kind, e.Rule) {
			say(e.Message, e.At)
		}
	}
	for _, f := range h.faults {
		if bad(f.Kind, f.Rule) {
			say(f.Message, f.Opened)
		}
	}
}

// strip is how each hour of the windows was covered, for the picture.
func (h *history) strip(kinds map[time.Time]hourKind) []HourMark {
	rate := rateOf(h.hours)
	out := make([]HourMark, 0, len(h.hours))
	for _, f := range h.hours {
		m := HourMark{At: f.At, Kind: "unread"}
		due, done := 0, 0
		for _, t := range f.Ticks {
			if t.Tier == health.TierReadings {
				due, done = t.Done+t.Late+t.Failed+t.Missed, t.Done+t.Late
			}
		}
		m.Share = share(done, max(due, int(rate[health.TierReadings])))
		switch {
		case kinds[f.At] == hourFrozen:
			m.Kind = "frozen"
		case f.Power.Off > 0:
			m.Kind = "off"
		case m.Share >= minVisits:
			m.Kind = "read"
		case m.Share > 0:
			m.Kind = "partly"
		}
		out = append(out, m)
	}
	return out
}

func (h *history) label(id health.ComponentID) string {
	if c := h.part(id); c.Name != "" {
		return c.Name
	}
	return string(id)
}

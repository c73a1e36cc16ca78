package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// verdict is a rule that holds.
type verdict struct {
	name  string
	cause health.IncidentCause
}

// Rules, as incidents name them.
const (
	RuleLeakSpreads      = "leak_spreads"
	RuleMoistElectrical  = "moisture_and_electrical"
	RuleDetectors        = "detectors"
	RuleMoistSilence     = "moisture_and_silence"
	RuleMixed            = "mixed_faults"
	RuleCondensation     = "condensation"
	RuleSilence          = "silence"
	leastTogether        = 3 // targets, for the rules that no moisture supports
	leastSilentBesideWet = 2
)

// judge finds the strongest rule that an incident's signs fulfil. Neighbours bounds the rule of silence; 0 asks for no share.
func judge(x *health.Incident, neighbours int) (verdict, bool) {
	has := func(t health.IncidentTarget, signs ...health.IncidentSign) bool {
		return slices.ContainsFunc(signs, func(s health.IncidentSign) bool { return slices.Contains(t.Kinds, s) })
	}
	targets := func(signs ...health.IncidentSign) (out []health.TargetID) {
		for _, t := range x.Targets {
			if has(t, signs...) {
				out = append(out, t.Target)
			}
		}
		return out
	}
	n := len(x.Targets)
	if n < 2 {
		return verdict{}, false
	}
	leak, moist := targets(health.SignLeak), targets(health.SignMoisture)
	electrical, power := targets(health.SignElectrical), targets(health.SignPower)
	intrusion, silent := targets(health.SignIntrusion), targets(health.SignSilence)
	hard := targets(health.SignElectrical, health.SignPower, health.SignIntrusion)
	kinds := 0
	for _, ts := range [][]health.TargetID{electrical, power, intrusion, silent} {
		if len(ts) > 0 {
			kinds++
		}
	}
	var detectors []health.TargetID
	for _, v := range x.Evidence {
		if v.Sign == health.SignMoisture && detectorFault(v.Kind) && !slices.Contains(detectors, v.Target) {
			detectors = append(detectors, v.Target)
		}
	}
	switch {
	case len(leak) > 0:
		return verdict{RuleLeakSpreads, health.CauseWater}, true
	case apart(moist, hard):
		return verdict{RuleMoistElectrical, health.CausePossibleWater}, true
	case len(detectors) >= 2:
		return verdict{RuleDetectors, health.CausePossibleWater}, true
	case len(moist) > 0 && len(without(silent, moist)) >= leastSilentBesideWet:
		return verdict{RuleMoistSilence, health.CausePossibleWater}, true
	case len(targets(health.SignElectrical, health.SignPower, health.SignIntrusion, health.SignSilence)) >= leastTogether && kinds >= 2 && len(electrical) > 0:
		return verdict{RuleMixed, health.CausePossibleWater}, true
	case len(moist) >= 2:
		return verdict{RuleCondensation, health.CauseCondensation}, true
	case len(electrical) == 0 && len(intrusion) == 0 && len(moist) == 0:
		if together := len(targets(health.SignPower, health.SignSilence)); together >= leastTogether && 2*together >= neighbours {
			return verdict{RuleSilence, health.CauseUndetermined}, true
		}
	}
	return verdict{}, false
}

// apart tells whether there is one of a and one of b that are two.
func apart(a, b []health.TargetID) bool {
	return len(a) > 0 && len(b) > 0 && (len(a) > 1 || len(b) > 1 || a[0] != b[0])
}

func without(a, b []health.TargetID) []health.TargetID {
	return slices.DeleteFunc(slices.Clone(a), func(t health.TargetID) bool { return slices.Contains(b, t) })
}

// strength orders causes: an incident's gets stronger, never weaker.
func strength(c health.IncidentCause) int {
	return slices.Index([]health.IncidentCause{health.CauseUndetermined, health.CauseCondensation, health.CausePossibleWater, health.CauseWater}, c)
}

var causeWords = map[health.IncidentCause]string{
	health.CauseWater: "water", health.CausePossibleWater: "possibly water", health.CauseCondensation: "condensation",
	health.CauseUndetermined: "together, cause undetermined",
}

// because says what each rule concludes from, and other what else looks like it.
var because = map[string]string{
	RuleLeakSpreads:     "a leak detector is wet on one target, and a neighbour shows what water does",
	RuleMoistElectrical: "moisture on one target, and electrical faults, lost power or an opened chassis on a neighbour",
	RuleDetectors:       "leak detectors of neighbouring targets are at fault together: a soaked detector looks like that",
	RuleMoistSilence:    "moisture on one target, and neighbours that fell silent",
	RuleMixed:           "electrical faults beside lost power, opened chassis or silence, of neighbours, within a short time; no detector is wet",
	RuleCondensation:    "neighbouring targets are close to the dew point of their air, and nothing else is wrong with them",
	RuleSilence: "neighbours fell silent or lost their input power together, and nothing speaks of water; that alone is not called water, though it is the" +
		" commonest first sign of it",
}

var other = map[string][]string{
	RuleLeakSpreads:     {"a failed leak detector: detectors fail wet", "a leak confined to one machine, and an unrelated fault beside it"},
	RuleMoistElectrical: {"a fault of the power feed while the room is humid", "maintenance: opened chassis, pulled power cords"},
	RuleDetectors:       {"a supply or cable that the detectors share", "a firmware update of the detectors"},
	RuleMoistSilence:    {"a switch or power feed that failed while the room is humid", "planned maintenance"},
	RuleMixed:           {"a surge or a failing power feed", "maintenance: opened chassis, pulled power cords"},
	RuleCondensation:    {"a cooling unit set too cold, or one that no longer dries the air", "one humidity sensor that all their margins rest on, and that is wrong"},
	RuleSilence: {"a management switch or router that restarts or failed", "a power feed that failed or was switched off",
		"planned maintenance, or a firmware update of all BMCs"},
}

// describe writes summary, explanation and alternatives.
func describe(x *health.Incident) {
	slices.SortStableFunc(x.Evidence, func(a, b health.IncidentEvidence) int { return a.At.Compare(b.At) })
	place := "without a rack"
	switch {
	case len(x.Racks) == 1:
		place = "in rack " + x.Racks[0]
	case len(x.Racks) > 1:
		place = "in racks " + strings.Join(x.Racks, ", ")
	case x.Site != "":
		place = "in site " + x.Site
	}
	first, last := x.Targets[0], x.Targets[len(x.Targets)-1]
	span := last.First.Sub(first.First).Round(time.Second)
	x.Summary = fmt.Sprintf("%s: %d targets %s, the last %s after the first; first sign: %s on %s (%s)",
		causeWords[x.Cause], len(x.Targets), place, span, plain(first.Kind), first.Target, first.Component)
	x.Explanation = fmt.Sprintf("Rule %s: %s.", x.Rule, because[x.Rule])
	var counts []string
	for _, s := range []health.IncidentSign{health.SignLeak, health.SignMoisture, health.SignElectrical, health.SignPower, health.SignIntrusion, health.SignSilence} {
		n := 0
		for _, t := range x.Targets {
			if slices.Contains(t.Kinds, s) {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, fmt.Sprintf("%s on %d", s, n))
		}
	}
	x.Explanation += " Signs, by targets: " + strings.Join(counts, ", ") + "."
	if way := direction(x.Targets); way != "" {
		x.Explanation += " " + way
	}
	x.Alternatives = slices.Clone(other[x.Rule])
}

// direction says so if the signs went through one rack in order of height: water runs down.
func direction(ts []health.IncidentTarget) string {
	if len(ts) < 3 {
		return ""
	}
	down, up := true, true
	for i, t := range ts {
		if t.Position == 0 || t.Rack != ts[0].Rack {
			return ""
		}
		if i > 0 {
			down = down && t.Position < ts[i-1].Position && t.First.After(ts[i-1].First)
			up = up && t.Position > ts[i-1].Position && t.First.After(ts[i-1].First)
		}
	}
	way := "It went down"
	switch {
	case up:
		way = "It went up"
	case !down:
		return ""
	}
	return fmt.Sprintf("%s the rack, from U%d to U%d.", way, ts[0].Position, ts[len(ts)-1].Position)
}

func plain(k health.Kind) string { return strings.ReplaceAll(string(k), "_", " ") }

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

// tally is what a judgement rests on: which targets show which signs, as bits, and whose leak detectors are at fault.
type tally struct {
	signs     map[health.TargetID]uint8
	detectors map[health.TargetID]bool
}

var bits = map[health.IncidentSign]uint8{
	health.SignLeak: 1, health.SignMoisture: 2, health.SignElectrical: 4, health.SignPower: 8, health.SignIntrusion: 16, health.SignSilence: 32,
}

func newTally() *tally {
	return &tally{signs: map[health.TargetID]uint8{}, detectors: map[health.TargetID]bool{}}
}

func (t *tally) add(e *health.IncidentEvidence) {
	t.signs[e.Target] |= bits[e.Sign]
	if e.Sign == health.SignMoisture && detectorFault(e.Kind) {
		t.detectors[e.Target] = true
	}
}

// tallyOf is an incident's.
func tallyOf(x *health.Incident) *tally {
	t := newTally()
	for i := range x.Evidence {
		t.add(&x.Evidence[i])
	}
	for _, y := range x.Targets { // their signs are counted beyond the evidence that is listed
		for _, s := range y.Kinds {
			t.signs[y.Target] |= bits[s]
		}
	}
	return t
}

// judge finds the strongest rule that the signs fulfil. Neighbours bounds the rule of silence; 0 asks for no share.
func (t *tally) judge(neighbours int) (verdict, bool) {
	const leak, moist, electrical, power, intrusion, silence = 1, 2, 4, 8, 16, 32
	if len(t.signs) < 2 {
		return verdict{}, false
	}
	count := func(any uint8) (n int) {
		for _, s := range t.signs {
			if s&any != 0 {
				n++
			}
		}
		return n
	}
	kinds, dryAndSilent := 0, 0
	var all uint8
	for _, s := range t.signs {
		all |= s
		if s&silence != 0 && s&moist == 0 {
			dryAndSilent++
		}
	}
	for _, k := range []uint8{electrical, power, intrusion, silence} {
		if all&k != 0 {
			kinds++
		}
	}
	const hard = electrical | power | intrusion
	switch {
	case all&leak != 0:
		return verdict{RuleLeakSpreads, health.CauseWater}, true
	case t.apart(moist, hard):
		return verdict{RuleMoistElectrical, health.CausePossibleWater}, true
	case len(t.detectors) >= 2:
		return verdict{RuleDetectors, health.CausePossibleWater}, true
	case all&moist != 0 && dryAndSilent >= leastSilentBesideWet:
		return verdict{RuleMoistSilence, health.CausePossibleWater}, true
	case all&electrical != 0 && kinds >= 2 && count(hard|silence) >= leastTogether:
		return verdict{RuleMixed, health.CausePossibleWater}, true
	case count(moist) >= 2:
		return verdict{RuleCondensation, health.CauseCondensation}, true
	case all&(electrical|intrusion|moist) == 0:
		if together := count(power | silence); together >= leastTogether && 2*together >= neighbours {
			return verdict{RuleSilence, health.CauseUndetermined}, true
		}
	}
	return verdict{}, false
}

// apart tells whether one target shows one of a, and another one of b.
func (t *tally) apart(a, b uint8) bool {
	ofA, ofB, both := 0, 0, 0
	for _, s := range t.signs {
		isA, isB := s&a != 0, s&b != 0
		switch {
		case isA && isB:
			both++
		case isA:
			ofA++
		case isB:
			ofB++
		}
	}
	return ofA > 0 && (ofB > 0 || both > 0) || ofB > 0 && both > 0 || both > 1
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

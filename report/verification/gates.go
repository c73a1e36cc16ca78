package verification

// Gate is a rule that bounds a verdict. This is the whole table: the report prints it, docs/VERIFICATION.md has it, and a test
// compares the two.
type Gate struct {
	ID    string  `json:"id"`
	Limit Verdict `json:"at_most"`
	Text  string  `json:"text"` // in English; the report's language has it under "gate." + ID
}

// Limits of the gates.
const (
	minVisits   = 0.99 // of due visits, per window
	minPart     = 0.95 // of due readings of each quantity, or states of a component without any, per window
	minDetector = 0.95 // of the soak, for a leak detector to count as working
	minPower    = 0.5  // of the baseline's median, for an hour to count as soak
	minBaseline = 48   // hours with data, for a baseline to be one
)

// Gates in the order in which a report names them.
var Gates = []Gate{
	{"critical_open", FaultFound, "a leak is still there, whenever it arose, or a critical fault, a lost redundancy or a predicted failure that arose since the baseline ended is"},
	{"part_missing", FaultFound, "a part that was there before is gone or failed, and no attestation explains it"},
	{"no_data", Inconclusive, "nothing was read since power was restored"},
	{"visits", Inconclusive, "under 99 % of due visits were read, in the baseline or the soak"},
	{"parts", Inconclusive, "under 95 % of due readings of a component's quantity, in the baseline or the soak; frozen hours are none"},
	{"log", Inconclusive, "a hardware log was cleared, was full, overflowed, lost entries or was switched off since the baseline began"},
	{"chain", Inconclusive, "the chain of events in the store is broken: one was changed or taken out"},
	{"expected", Inconclusive, "a part that was there before, or that the configuration expects, was not read"},
	{"unwatched", Inconclusive, "a leak, a critical fault, a lost redundancy or a predicted failure stood when its server, or its protocol, was watched no more, and nothing has shown since that it is over"},
	{"unexplained", Inconclusive, "a machine says of itself as a whole that it is not well since the baseline ended, and none of its parts says why, or its slow parts were not read since; unless an attestation explains it"},
	{"soak", Inconclusive, "the soak is not complete"},
	{"soak_fault", Inconclusive, "a leak, or a critical fault that arose since the baseline ended, was there during the soak, even if it went again: the soak restarts, unless an attestation explains it"},
	{"drying", Inconclusive, "nobody attests that the servers were dried"},
	{"inspection", Inconclusive, "nobody attests that the servers were inspected"},
	{"no_baseline_expect", Inconclusive, "there is no baseline, and the configuration does not say how many parts there should be"},
	{"no_baseline", Observations, "there is no baseline: nothing can be said of what changed"},
	{"no_detector", Observations, "no leak detector at the server or in its rack worked through the soak without reporting a leak"},
	{"other_source", Observations, "a part of the data is not from the embedded store"},
	{"observed", Observations, "something was observed: see the reasons"},
}

// gate is the row of an ID.
func gate(id string) Gate {
	for _, g := range Gates {
		if g.ID == id {
			return g
		}
	}
	panic("verification: no gate " + id)
}

// judge is the verdict that a server's reasons leave: verified if there are none.
func judge(reasons []Reason) Verdict {
	v := Verified
	for _, r := range reasons {
		if r.Limit.rank() > v.rank() {
			v = r.Limit
		}
	}
	return v
}

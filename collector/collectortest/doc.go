// Package collectortest is the suite that every driver passes: what the collector, the detector and the stores rely on,
// asked of a source that reads a real or simulated machine. TestSource is the whole of it; CheckSnapshot, the rules of one
// snapshot, also serves fuzz tests and tests against hostile machines.
//
// What a driver owes:
//
//   - Opening does no I/O. A wrong option shows then, a dead address at the first Read.
//   - Read always returns a snapshot, also beside an error, so that what it cost is counted. An error is a *health.Error with a
//     reason, and means that nothing could be read; whatever was read comes without an error, and what is missing as gaps.
//   - It reads what the tiers of the request ask for and says so: entries of logs only in the events tier, and for every part
//     the tier that judges its state. What a tier's visit does not look at is not mentioned, or marked StateNotRead.
//   - Parts have IDs that stay: over visits, restarts, tiers read alone or together, and whatever else could not be read. One
//     part has one ID however many documents or records tell of it. It is never left out for being absent, disabled or failed.
//   - Unknown is not ok. Without the service's word a state is unknown; what is absent has no state and no readings.
//   - A place in Scope was read whole: a part of it that is not in the snapshot is gone. So a driver names a place only if it
//     heard of every part in it, and names for each part the place that lists it.
//   - A gap says what was not read and why, with the component or place if it concerns one. Not there (404) is no gap after it was
//     learned to be so.
//   - Numbers are finite, in the units of package health, with thresholds in the same unit; no number is better than a wrong one.
//     The driver normalises, and judges nothing beyond what the service says; it derives nothing.
//   - Log entries have keys by which they are told apart, whatever their IDs do, and come once: the cursor it gives back is the
//     one it gets next time, and only what was committed comes back. It must cope with a cursor of long ago.
//   - Memory is what was learned, as JSON, without secrets. It may come back to another source of the same target, or not at all,
//     and is checked like any input.
//   - Texts are clean: valid UTF-8, no control characters, at most health.MaxText bytes.
//   - Read ends soon after its context, and that is health.ReasonStopped, not the machine's fault. Close ends the session, can
//     be called twice, and the source can be used again afterwards.
//   - Nothing is written to the machine but its own session; a password that was refused is not tried again in that visit.
//
// A recorded machine (drivers/replay) lies beneath a real driver, so a replay owes all of this. It differs in what a recording cannot
// have: its time is that of the recording, every visit finds the machine as it was, no connection is made, a login tells nothing of a
// password, and what was not recorded is not there (404, C1h), however the driver asks. What was silent is silent at once, as the
// same gap.
package collectortest

// Package detect judges: what was known of a target and what a visit brought give events and faults. It is pure; the
// same input gives the same output, IDs included, so that a visit recorded twice doubles nothing. docs/EVENTS.md tells the rules for
// people; this is how they are built.
//
// # The fault state machine
//
// A fault is one condition: a component, a kind, and where the component is not certain a subject (key). At most one is open for a
// key. Four rules open and close faults, and the one of the highest precedence that says that the condition holds is the one whose word
// ends it (Fault.Rule):
//
//	presence   the part is gone from a place that was read whole, or reported absent after it was present
//	condition  the service names the kind (Component.Conditions); it ends when the same kind is named with severity ok
//	state      a state of warning or critical that no condition explains; its kind follows from class and thresholds (StateKind)
//	log        an entry that begins a lasting condition (LogEntry.Decoded.Lasts)
//
// and beside them condensation margins, access (comm_lost), the state of logs, and parts fewer than expected. What is not read or
// unknown opens and clears nothing; a gap clears nothing; the parts of a host that is off are unknown.
//
// A pass first collects what holds (wanted) and what is denied (denied), by all rules together, then settles: first what ends, then what
// begins or changes. Log entries come after that, in their order, against the faults as they then stand: an entry either opens a fault,
// closes one of the log's own, changes its grade, or is a momentary event that names the fault it is evidence of. So each entry that
// counts is one event, with an ID of its own, and a condition that is polled and logged is one fault (sameCondition, adopt, refine).
// A condition that a reading saw end is remembered (Known.Recent) until its entries were read.
//
// # From the log alone
//
// A fault of rule log ends by its entry; or by a reading that says ok of the same thing (deniesLog: the state for kinds that show in a
// state, else the condition of that kind, or presence), two minutes after the entry at the earliest, since BMCs log first and update
// their sensors later. Entries that neither begin nor end anything are momentary, and so is one whose part nothing tells.
//
// # Damping
//
// Known.Recent counts how often a condition began or got worse within FlapWindow. From FlapCount on its fault is flapping: it keeps its
// worst severity, its ends are held back (held) until it was away for FlapHold, and only its entries, not its readings, make events.
// A part that is gone or exchanged closes its faults at once.
//
// # Found at the start
//
// What was already so when a part was first seen is asserted once, marked AtStart. A part is inserted only if its place
// had been read whole before; what a first reading of a place finds was there. The first time a log is read it holds history, up to
// years of it: its entries are recorded, but only those that the BMC dates after the target's first visit become events. Undated history
// makes none. What a machine's history left behind shows in the state of its parts.
//
// # Roll-ups
//
// The roll-ups of a machine (system, chassis, BMC) repeat what their parts say. They open a fault only if no fault of
// a part, now or at the visit before, is at least as severe: a drive that fails between two visits of the health tier
// shows first as a critical system.
package detect

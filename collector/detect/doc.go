// Package detect judges: what was known of a target and what a visit brought give events and faults. It is pure; the
// same input gives the same output, IDs included, so that a visit recorded twice doubles nothing.
//
// # What opens and clears a fault
//
// There is at most one open fault per component and kind. Drivers say how parts are, in three ways, and each clears only
// by its own word:
//
//   - A condition (Component.Conditions) names a kind. It opens a fault of that kind, and clears it when the same kind is
//     named with severity ok. A kind that is not named was not read: it opens and clears nothing.
//   - A state of warning or critical that no asserted condition explains opens a fault whose kind follows from the class
//     (see StateKind) and, for sensors, from the thresholds. It clears when the state is ok. Unknown clears nothing.
//   - A part that is gone, or reported absent after it was present, opens absent_removed (a leak detector:
//     detector_fault) and clears its other faults. That ends when the part is present again.
//
// A gap clears nothing. A host that is off makes its fans, rails and drives unknown: it opens and clears nothing there.
// Derived condensation margins open condensation_risk by their size (see the Margin constants), with hysteresis; a
// margin that could not be computed clears nothing. A target that turned unreachable has comm_lost until a visit succeeds.
//
// The roll-ups of a machine (system, chassis, BMC) repeat what their parts say. They open a fault only if no fault of
// a part, now or at the visit before, is at least as severe: a drive that fails between two visits of the health tier
// shows first as a critical system.
//
// # Found at the start
//
// What was already so when a part was first seen is asserted once, marked AtStart. A part is inserted only if its place
// had been read whole before; what a first reading of a place finds was there.
//
// # Logs
//
// A log entry with a kind, or of severity warning or critical, is a momentary event (kind unknown if none is certain:
// unmapped is never dropped). The first time a log is read it holds history, up to years of it: its entries are recorded,
// but only those that the BMC dates after the target's first visit become events, marked AtStart when that visit is this
// one. Undated history makes none. What a machine's history left behind shows in the state of its parts.
package detect

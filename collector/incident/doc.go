// Package incident finds what happens to several neighbouring targets together: water that spreads through a rack, and what
// looks like it. It follows the committed events with a cursor of its own; incidents and cursor are kept in one commit, so that a
// crash at any moment loses and doubles nothing.
//
// # Signs
//
// An event is a sign if it is what water does: a wet leak detector (leak); condensation risk, high humidity, a leak detector
// at fault or of unconfirmed polarity (moisture); a power supply that fails, a voltage or current out of its limits, a bus error
// (electrical); input power that is lost (power); an opened chassis (intrusion); a BMC that no longer answers or a host that
// went off (silence). What a target's first visit found is history, and no sign. Neither is what became better.
//
// # Neighbours and windows
//
// Targets are neighbours in one rack of one site, in racks that the configuration calls adjacent, or, with scope "site", in one
// site. Targets without a rack are neighbours of those of their site without one. A sign is held against those of its neighbours
// that are at most Window away in time. The clock is that of the events: processing them again gives the same.
//
// # Rules, the strongest first
//
//   - leak_spreads (water): a leak on one target and any sign on another.
//   - moisture_and_electrical (possible_water): moisture on one target, and electrical, power or intrusion signs on another.
//   - detectors (possible_water): leak detectors at fault on two targets.
//   - moisture_and_silence (possible_water): moisture on one target and silence on two others.
//   - mixed_faults (possible_water): three targets with at least two kinds of electrical, power, intrusion and silence signs, one of them
//     electrical.
//   - condensation (condensation): condensation risk or high humidity on two targets, and no other sign.
//   - silence (undetermined): three targets, and at least half of all neighbours, silent or without input power, and no other sign.
//     That is what a switch that restarts looks like, or a feed that fails. It is never called water: only that it happened together.
//
// Further signs of neighbours join an open incident until it was quiet for Quiet; its cause gets stronger, never weaker. It is
// closed, as of Quiet after its last change, when none of its faults is open any more.
package incident

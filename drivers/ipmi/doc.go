// Package ipmi reads a BMC over IPMI 2.0 (RMCP+, "lanplus"): sensors by their data records, the system event log with a
// cursor, chassis status, FRU identity, DCMI power and its limit. It only reads; it changes nothing in a BMC but its own session.
//
// The session layer is our own, on the codecs of github.com/bougou/go-ipmi; docs/decisions/ipmi-session.md says why.
// From the bottom up:
//
//	transport.go  one UDP socket, one request in flight, retries, what was dropped
//	wire.go       framing, integrity, confidentiality, the sequence window
//	session.go    capabilities, Open Session, RAKP 1-4, Close Session
//	link.go       commands over a session: reopening it, completion codes as errors
//	sdr.go        the sensor data repository, read once and kept (memory.go); records.go decodes, names.go names
//	sensors.go    one Get Sensor Reading per sensor; units.go, discrete.go, classes.go say what it means
//	sel.go        the system event log, entry by entry
//	chassis.go, fru.go, identity.go, dcmi.go  the rest
//	client.go     a visit
//
// Everything a BMC sends is hostile until proven otherwise: a datagram that is not authentic, not in sequence or not the
// answer asked for is counted and forgotten; lengths are checked before use; chains of records have seen-sets and caps.
package ipmi

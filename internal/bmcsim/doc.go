// Package bmcsim is a set of simulated baseboard management controllers: Redfish over HTTPS and IPMI 2.0 (RMCP+) over UDP, on
// loopback only. `dewline demo`, tests and benchmarks use it; nothing in the collector's own path does.
//
// A [Machine] is the physical state of one server: fans, power supplies, drives, leak detectors, the air of the room it stands
// in. Its [Profile] says which vendor's shape a BMC shows of it. [ServeRedfish] and [ServeIPMI] put such a machine on the wire,
// [ServeTree] serves a recorded Redfish tree with the same sessions, counters and faults. A [Scenario] moves machines along a
// script; [DemoRoom] is the one `dewline demo` plays.
//
// The wire is real: TLS with a certificate of its own, Redfish sessions, RAKP with HMAC-SHA1 and HMAC-SHA256, AES-CBC, checked
// authentication codes, SDR, SEL and FRU bytes that ipmitool and FreeIPMI read. The IPMI server shares no code with dewline's
// IPMI driver, so that a mistake in one is not mirrored by the other. Still, a simulator written by the authors of the reader
// proves little about machines: real captures and other projects' simulators do that.
//
// Nothing in the state of a machine reads a clock: values are a function of the seed, what was done to the machine and the time
// asked for. The servers ask for the time of their options' Now.
package bmcsim

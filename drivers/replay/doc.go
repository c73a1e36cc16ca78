// Package replay is a recorded machine: an http.RoundTripper for the Redfish driver and an exchanger of commands for the IPMI
// driver, so that a replay runs the real decoders on what a real BMC said. It knows neither driver; cmd joins them.
//
// The same recording gives the same snapshot every time, also when the driver asks in another order, in parts of another
// size, or asks something new. What was not recorded is answered as a BMC answers that has no such thing: 404 or C1h.
package replay

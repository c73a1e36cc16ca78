// Package redfish reads a BMC over Redfish (DSP0266): it turns the resources of one service into a health.Snapshot.
//
// # How a visit goes
//
// A visit asks for tiers. What to request for them stands in the driver's memory (type memory): which systems, chassis
// and managers there are, which of their resources exist, which legacy and new resources state the same part, which logs
// are hardware logs and whether $expand tells the truth. Memory is learned by a discovery (the first visit, every visit
// of the inventory tier, and when a learned link is gone) and travels in Snapshot.Memory, so that a restart does not
// repeat it. A warm visit of the readings tier on a machine with Thermal and Power is three requests.
//
// # One union
//
// Machines state the same fan in Thermal, in ThermalSubsystem and in Sensors, some in one of them only. All are read and
// merged into one part each (union.go); the identity of a part comes from the resource that the readings tier reads.
//
// # What is trusted
//
// Nothing. Every request passes a chain of http.RoundTrippers (transport.go) that pins scheme, host and port, refuses
// everything but GET and the POST and DELETE of our own session, refuses paths known to hurt, counts, and bounds the
// number of requests and the size of bodies. Poll data is decoded into small structs of tolerant types (tolerant.go): one
// odd value costs one value. gofish gives the service root, the session and the enumerations of the schemas.
package redfish

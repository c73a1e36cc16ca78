// Package push takes readings of humidity, temperature and leak probes that others send, in InfluxDB's line protocol: telegraf reads a
// rack PDU over SNMP and writes to dewline as if it were an InfluxDB.
//
// # A probe is a target
//
// What is pushed is recorded as visits of a target of its own, with a component per sensor, by the same way as every visit: derive,
// detect, record. The answer 204 comes when the visits are on disk, not before. Which line is which sensor stands in the
// configuration; a line that no sensor names is not kept.
//
// # Time
//
// A visit's time is that of its lines. Lines of one probe within Bucket of each other are one visit. What is older than MaxAge when it comes says nothing of
// now and is no reading; that a leak sensor was wet then is an event of its own time, for water was there. What is dated more than a minute ahead is refused, since the sender's clock is wrong. A value no newer than
// the last one of its sensor changes nothing, so that a write may be repeated, also over a restart: the times are kept in the target's memory.
//
// # Silence
//
// A sensor that was not reported for MaxAge is unknown, a gap, and a detector_fault, in a visit of its own, and again every MaxAge:
// no sink shows its last value for ever. It ends with its next report.
package push

// Package influx delivers what the store has committed to InfluxDB 1.8, 2.x and 3.x.
//
// A [Sink] follows the store's log of visits with a cursor that the store keeps. Nothing is copied for it: it encodes a
// visit when it sends it ([Encode]; docs/SCHEMA.md describes the points). The cursor moves only when the server has
// acknowledged every point of a visit, so that an outage of any length, on either side, loses nothing. What is sent
// twice changes nothing, because a point's time and tags follow from the visit alone.
//
// # What becomes of a write
//
//   - 204: the points are stored.
//   - No connection, time-out, 401, 403, 404, 429, 5xx, a redirect, any answer that InfluxDB does not give: the points
//     are kept and sent again, with back-off and jitter, not before Retry-After. The trouble is logged once, and its end.
//   - 400 or 422 that blames the points (a partial write, a field of another type, a time before the retention period, a
//     line that does not parse): the batch is divided until the points at fault stand alone; these go to quarantine with
//     the server's words, the others are stored. 1.8 stores the good points of such a batch, 2.x does so for 422 and
//     stores none for 400: writing the good ones again is right for both.
//   - 413: the batch is divided, and later ones are smaller.
//
// # Reading back
//
// A [Reader] asks for what a Sink wrote, by InfluxQL at /query: a target's hours (counts, minima, maxima and medians are made by the server), events,
// faults as the events tell of them, rollups and points. Answers come in parts of bounded size, and a query whose answer breaks off is asked again
// from its beginning.
//
// Only the blocking API of influxdb-client-go is used: its asynchronous one counts a partial write as a success and keeps
// what it could not send in memory only. Compression is ours and not the client's, whose gzip is a pipe: no length for
// proxies that want one, and an unsynchronised error variable.
package influx

// Package sqlite is dewline's embedded store: one SQLite file in data_dir, and beside it immutable files with the visits of closed days, written by
// one daemon, read by anyone who may.
//
// # Shape
//
// The unit of recording is the visit. Each has a row that says which target and hour it belongs to, until its hour is dropped; what
// it read stands, until its hour closes, in a blob of its own, and afterwards in one block of columns per target and hour. Numbers
// from a dictionary per target stand for components and series in both, and both are one format (a visit's blob is a block
// of one visit). There is never a row per sample. Events, log entries, faults, components, cursors and what a driver
// remembers of its BMC are plain rows, written in the transaction of their visit.
//
// A day's blocks move into a file in the folder periods when it has been over for a day; their rows then say where they stand. docs/decisions/retention.md
// says in which order, and what holds whenever that is interrupted.
//
// When an hour closes, rollups of five minutes are made of it, with histograms, and an account of its ticks; they stay when Retention
// drops the visits. Events, log entries and faults stay for ever.
//
// # Promises
//
//   - Record returns nil only after the visit is on disk (WAL, synchronous=FULL). It is then there exactly once, whatever
//     happens to the process, and After gives it back, before and after compaction alike, until retention drops it. Then it
//     still is in the rollups, once, and if a sink had not taken it, it was counted.
//   - A visit commits whole or not at all. One that cannot be stored does not take others of its commit with it.
//   - Damage is an error, never a wrong value: blobs and blocks carry a checksum, and decoding is bounded.
//   - A value comes back with exactly the bits it came with. NaN and infinities are not values: Record turns such a reading
//     into a gap.
//
// # Limits
//
// data_dir must be on a local file system: SQLite's WAL needs shared memory and working locks. Strings of events, faults
// and components are kept as given, but descriptive fields of components and lists of strings pass through JSON, which
// replaces bytes that are no UTF-8.
package sqlite

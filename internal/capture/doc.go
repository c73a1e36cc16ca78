// Package capture is the recording of one BMC: what it answered, in one file that a replay can serve and a bug report can carry.
//
// A recording is made in two steps. While the BMC is asked, every answer is appended to a [Journal], which an interrupted
// recording is resumed from. At the end [Journal.Finish] redacts all of it at once, because a serial number that one
// document names may stand in the log messages of another, and writes the file under its final name. [Open] reads such a
// file, which may come from anyone: everything in it is bounded and checked.
//
// The format and why it is so: docs/decisions/capture.md.
package capture

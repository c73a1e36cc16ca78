// Package collector is the engine: it reads every target when its schedule says, in the target's own goroutine, within a
// bounded number of slots and with a deadline, and hands what each visit brought to a Recorder, whole.
//
// # A visit
//
// Tiers due within a second of each other are one visit, and so are those that fell due while it waited for a slot. It
// goes Source.Read, moisture.Derive, detect.Judge, Recorder.Record; only when it is recorded does what is known in RAM
// advance, by the same health.Delta. A visit that cannot be recorded (a full disk) is tried again with growing pauses by
// its target's goroutine, which does nothing else meanwhile; the ticks that pass are accounted for as overrun. What is
// known never advances past what is recorded, so nothing is lost but the readings of those ticks.
//
// # Every tick is accounted for
//
// A tick is answered by a visit (done, late, failed, or missed because dewline stopped), or lies in a range of the next
// recorded visit (Visit.Skipped): those that passed while a visit or the wait for a slot took too long (overrun), while a
// failing target was left alone (back_off), and while dewline did not run (not_running). A visit that waited answers the
// oldest tick it waited with, and is late if it began after the next one was due. While a target is left alone for
// longer than five minutes, one missed visit per five minutes carries the ranges so far.
//
// # Targets that fail
//
// After a failure a target is suspect; after three, unreachable, and tried once in five minutes for all tiers together.
// A denied login is one attempt: the next comes after 30 minutes, then 60, up to a day, because accounts lock. All
// targets that are not ok share a tenth of the slots, so that hung BMCs, each of which takes a whole deadline, never
// starve the healthy. A visit that holds a slot for longer than SlotPatience moves on to a second, larger set, for the
// same reason: the first visit to a BMC that has just hung is made in good faith. The state is stored (health.Access) and
// obeyed after a restart.
//
// Three targets that deny one credential within an hour suspend it: none of its targets is tried until Reload, since it is
// the credential that is wrong. That is stored too.
//
// # Stopping
//
// When the context ends, visits under way are cut and recorded as missed (stopped): no fault of the target. Those that
// had been read to their end are recorded. Then every source is closed, each with its own time limit, and Run returns
// when all is over.
//
// A driver that panics costs its visit, which fails as malformed; one that does not return when its context ends costs
// its target until it does, and nobody else.
package collector

// Package health holds the words every part of dewline speaks: what a BMC is (Target), what one reading of it brought
// (Snapshot), what that says about its parts (Component, Reading), what could not be read (Gap), what changed (Event,
// Fault), and how a tick of the schedule ended (Visit). Data and pure functions only: nothing here does I/O, reads a
// clock or starts a goroutine.
//
// # Rules the types keep
//
//   - The zero State is Unknown: silence is never health.
//   - A Reading exists only with a value. A sensor without one is a Component in its state and, when it should have had
//     a value, a Gap.
//   - A Gap says what should have been read and was not. Absence is judged only in places listed in Snapshot.Scope.
//   - What a Visit brought is committed whole; Known (what is held in RAM of a target) advances only afterwards, by the
//     same Delta that was committed.
package health

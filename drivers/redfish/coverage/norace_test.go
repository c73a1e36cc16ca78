//go:build !race

package coverage_test

// underRace: the race detector is on.
const underRace = false

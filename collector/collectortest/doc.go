// Package collectortest is the suite that every driver passes: what the collector, the detector and the stores rely on,
// asked of a source that reads a real or simulated machine.
package collectortest

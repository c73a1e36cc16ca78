package health

import "time"

// Learned is what a driver keeps of a BMC, for people: its memory in words. It holds for the firmware that it was learned of.
type Learned struct {
	Firmware string
	Facts    []Fact
	Slow     []SlowPart
}

// Fact is one thing that was learned. Names are a driver's own, and stable.
type Fact struct{ Name, Value string }

// SlowPart is a place of which the members are read in turn over several visits, since all of them in one would make readings
// late.
type SlowPart struct {
	Part    string
	Seconds float64 // each, roughly
	Since   time.Time
	Members int
	Read    int       // of them so far, since it is slow
	Oldest  time.Time // when the one was read whose turn is longest ago; zero: one was not read yet
}

package storetest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// KillTest is one of the tests that kill a process at random moments.
type KillTest int

const (
	KillStore     KillTest = iota // store/sqlite: while it records and compacts
	KillRetention                 // store/sqlite: while it drops, too
	KillEngine                    // collector: collector, store and sink
	KillDaemon                    // cmd/dewline: the program, with simulated BMCs
	killTests
	// KillEvents, collector: with simulated BMCs of both protocols and a real InfluxDB, held against the BMCs' logs. It kills as often as
	// the others together.
	KillEvents
)

// DefaultKills is how often processes are killed in all, unless DEWLINE_KILLS says otherwise.
const DefaultKills = 50

// share is a test's part of all kills, in percent: the cheap ones get more.
func (k KillTest) share() int {
	if k == KillEvents {
		return 100
	}
	return [killTests]int{KillStore: 40, KillRetention: 20, KillEngine: 32, KillDaemon: 8}[k]
}

func (k KillTest) of(all int) int { return (all*k.share() + 99) / 100 }

// Kills is how often a test kills, and the source of its moments. DEWLINE_KILLS sets the number for all tests together,
// DEWLINE_SEED the seed, which is logged. The same seed makes the same moments and the same data; what a process was just
// doing then is up to the machine.
func Kills(t *testing.T, k KillTest) (n int, r *rand.Rand, seed uint64) {
	t.Helper()
	all := number(t, "DEWLINE_KILLS", DefaultKills)
	seed = number(t, "DEWLINE_SEED", rand.Uint64N(1e6))
	n = k.of(int(min(all, 1e6)))
	t.Logf("%d kills; DEWLINE_SEED=%d for the same moments", n, seed)
	return n, rand.New(rand.NewPCG(seed, uint64(k))), seed
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 && name == "DEWLINE_KILLS" {
		t.Fatalf("%s: %q is not a number of that kind", name, s)
	}
	return n
}

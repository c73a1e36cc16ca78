package storetest

import "testing"

// The Makefile's and the documentation's numbers are of all tests together.
func TestKillsAddUp(t *testing.T) {
	for _, all := range []int{DefaultKills, 1000} {
		sum := 0
		for k := range killTests {
			if n := k.of(all); n == 0 {
				t.Errorf("test %d has no part of %d kills", k, all)
			}
			sum += k.of(all)
		}
		if sum < all || sum > all+int(killTests) {
			t.Errorf("%d kills become %d", all, sum)
		}
	}
	t.Setenv("DEWLINE_KILLS", "1000")
	t.Setenv("DEWLINE_SEED", "7")
	n, a, seed := Kills(t, KillDaemon)
	_, b, _ := Kills(t, KillDaemon)
	if n != 80 || seed != 7 || a.Uint64() != b.Uint64() {
		t.Errorf("%d kills, seed %d, and the source does not repeat", n, seed)
	}
}

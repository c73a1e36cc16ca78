package config

import (
	"math"
	"testing"
)

func TestABudgetIsInVoltAmperes(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Supply
		want float64
	}{
		{"30 A at 208 V, 80 % of it all the time", Supply{Amps: 30, Volts: 208, Phases: 1, Derating: 0.8, PowerFactor: 0.5}, 4992},
		{"three phases of 32 A, 400 V between them", Supply{Amps: 32, Volts: 400, Phases: 3, Derating: 0.8, PowerFactor: 0.95}, 17736.2},
		{"without derating", Supply{Amps: 10, Volts: 230, Phases: 1, Derating: 1, PowerFactor: 1}, 2300},
	} {
		if got := c.s.VoltAmperes(); math.Abs(got-c.want) > 0.01 {
			t.Errorf("%s: %v VA, want %v", c.name, got, c.want)
		}
	}
}

func TestWhichSuppliesAreOnAFeed(t *testing.T) {
	f := &Feed{PSUs: []string{"psu/1", "PSU 1"}}
	for _, c := range []struct {
		id, name string
		want     bool
	}{{"psu/1", "left", true}, {"psu/7", "psu 1", true}, {"PSU/1", "left", false}, {"psu/2", "PSU 2", false}, {"psu/10", "PSU 10", false}} {
		if got := f.FeedsPSU(c.id, c.name); got != c.want {
			t.Errorf("%s %q: %v", c.id, c.name, got)
		}
	}
}
